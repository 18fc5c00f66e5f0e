"""Starts the fake cloud as a child process and talks to its control port."""
import base64
import http.client
import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class FakeCloud:
    """with FakeCloud(dir, accounts=2) as cloud: cloud.port, cloud.ports, cloud.fail(...), ..."""

    def __init__(self, directory, *args, accounts=0):
        command = [sys.executable, os.path.join(HERE, "cloud.py"), "--dir", directory,
                   "--accounts", str(accounts), *args]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the fake cloud did not start: " + self.process.stderr.read().decode())
        ready = json.loads(line)
        self.dir = directory
        self.ports = ready["ports"]
        self.port = self.ports["main"]
        self.ca = ready["ca"]
        self.errors = []
        threading.Thread(target=self._read_errors, daemon=True).start()
        self._lock = threading.Lock()
        self._control = None

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line.decode(errors="replace"))

    def control(self, method, path, body=None):
        with self._lock:
            for attempt in (0, 1):
                try:
                    if self._control is None:
                        self._control = http.client.HTTPConnection("127.0.0.1", self.ports["control"],
                                                                   timeout=30)
                    self._control.request(method, path, json.dumps(body) if body is not None else None)
                    response = self._control.getresponse()
                    result = json.loads(response.read())
                    break
                except (http.client.HTTPException, OSError):
                    self._control = None
                    if attempt:
                        raise
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {result}")
        return result

    def stats(self):
        return self.control("GET", "/stats")

    def log(self, host=None, since=0, limit=1000, raw=True):
        query = f"/log?raw={int(raw)}&since={since}&limit={limit}" + (f"&host={host}" if host else "")
        return self.control("GET", query)

    def violations(self, kind=None):
        return [v for v in self.control("GET", "/violations") if kind in (None, v["kind"])]

    def frames(self):
        return [(conn, kind, flags, stream, bytes.fromhex(data)) for conn, kind, flags, stream, data in self.control("GET", "/frames")]

    def tokens(self, raw=True):
        return self.control("GET", f"/tokens?raw={int(raw)}")

    def fail(self, kind, **rule):
        return self.control("POST", "/fail", {"kind": kind, **rule})

    def push(self, data):
        """Unasked bytes to every idle connection."""
        return self.control("POST", "/push", {"data": base64.b64encode(data).decode()})["pushed"]

    def greet(self, data):
        """Unasked bytes at the start of every new connection; b"" ends it."""
        return self.control("POST", "/greet", {"data": base64.b64encode(data).decode()})

    def open(self, words):
        """Lets answers to requests with WORDS in the body go on beyond their gate."""
        return self.control("POST", "/open", {"words": words})

    def heal(self):
        return self.control("POST", "/heal")

    def reset(self, tokens=False):
        return self.control("POST", "/reset", {"tokens": tokens})

    def register(self, **what):
        return self.control("POST", "/register", what)

    def account(self, email, state):
        return self.control("POST", "/account", {"email": email, "state": state})

    def expire(self, account=None):
        return self.control("POST", "/expire", {"account": account})

    def config(self, **what):
        return self.control("POST", "/config", what)

    def wait(self, what, seconds=5.0):
        """Polls until WHAT(self) is true; returns its value or None after SECONDS."""
        end = time.monotonic() + seconds
        while True:
            value = what(self)
            if value or time.monotonic() > end:
                return value
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()


def fake_account(cloud, name):
    """The registered e-mail that begins with NAME@."""
    found = [a["email"] for a in cloud.control("GET", "/accounts") if a["email"].startswith(name + "@")]
    if len(found) != 1:
        raise KeyError(name)
    return found[0]
