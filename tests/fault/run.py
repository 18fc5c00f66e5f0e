#!/usr/bin/env python3
"""Lets the n-th allocation of the daemon fail, for many n: run.py [--build DIR] [--step N | --full] [--only PART] [--seed N]

start     The n-th of a whole life.  It either ends by itself with a sentence and a status from sysexits, or serves.
requests  The n-th in work of one kind by a daemon that runs: it may cost what it hit (a cut, or an answer of the proxy's own),
          the next one works.  One daemon lives through all n; at the end nothing may be left open or have leaked.
kill      tests/fault/kill.py, a few rounds.

Nowhere death by a signal, a report of a sanitizer, or a secret.  --full takes every n; else every N-th of a start,
and every second in requests, another half with another seed.  The builds with assertions read CREDSWAP_FAIL_ALLOC (common/base/mem.c)."""
import argparse
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "fakes")]
sys.dont_write_bytecode = True

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--build", default=os.environ.get("CREDSWAP_BUILD", "build/debug"))
parser.add_argument("--step", type=int, default=61)
parser.add_argument("--full", action="store_true")
parser.add_argument("--only", choices=["start", "requests", "kill"])
parser.add_argument("--kind", help="one kind of request only")
parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
options = parser.parse_args()
os.environ["CREDSWAP_BUILD"] = os.path.abspath(options.build)

import answers  # noqa: E402
import client  # noqa: E402
import harness  # noqa: E402  (reads CREDSWAP_BUILD)

SENTENCES = range(64, 79)
LAST = 1200  # a start takes somewhat fewer
BEARER = [("authorization", "Bearer " + harness.ALICE)]


# ---- the n-th of a start ----

def one_start(lab, n):
    """None when all is well, else what was wrong."""
    env = dict(lab.env, CREDSWAP_FAIL_ALLOC=str(n))
    with subprocess.Popen([harness.DAEMON, "--config", lab.conf], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=env, cwd=lab.dir) as daemon:
        deadline = time.monotonic() + 20
        ready = False
        while daemon.poll() is None and not ready and time.monotonic() < deadline:
            try:
                ready = lab.page("/readyz", lab.admin)[0] == 200
            except OSError:
                time.sleep(0.05)
        if ready:
            try:
                lab.ask(token=harness.ALICE)
            except Exception:  # pylint: disable=broad-except
                pass  # the allocation that failed may have been this request's: it may be cut, nothing else
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
        try:
            said = daemon.communicate(timeout=20)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            daemon.kill()
            return "it hangs"
    if "Sanitizer" in said or "runtime error" in said or daemon.returncode < 0:
        return f"status {daemon.returncode}\n{said[-3000:]}"
    if not ready and daemon.returncode not in SENTENCES:
        return f"status {daemon.returncode} without a reason: {said[-500:]}"
    if ready and daemon.returncode != 0:
        return f"served, and then status {daemon.returncode}: {said[-3000:]}"
    return None


def starts(step):
    passed = failed = 0
    random.seed(options.seed)
    lab = harness.Lab(accounts=1, claude=False, start=False)
    try:
        for n in range(1 + random.randrange(step), LAST, step):
            wrong = one_start(lab, n)
            failed += wrong is not None
            passed += wrong is None
            if wrong:
                print(f"FAIL  start, allocation {n}: {wrong}", flush=True)
    finally:
        lab.close(check=False)
    return passed, failed


# ---- the n-th in a request ----

class Wrong(Exception):
    """Something that no lack of memory explains."""


class Requests:
    """One daemon, and work of several kinds for it.  A kind raises Wrong, or OSError and Broken for what was cut."""

    def __init__(self):
        self.counter = harness.shim_file(8)
        self.lab = harness.Lab(accounts=3, claude=False, start=False, env={"CREDSWAP_FAIL_ALLOC": self.counter})
        self.lab.start()
        self.rpm, self.hosts = 1000, 0
        self.scopes = ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloud-platform "
                       "https://www.googleapis.com/auth/generative-language.retriever"]
        self.kinds = {"plain": self.plain, "streamed": self.streamed, "upload": self.upload, "dial": self.dial,
                      "host": self.host, "kept": self.kept, "tunnel": self.tunnel,
                      "page": self.page, "gateway": self.gateway, "admin": self.admin, "mint": self.mint, "refused": self.refused,
                      "failover": self.failover, "socket": self.socket, "status": self.status, "edit": self.edit, "reload": self.reload}

    def arm(self, n):
        with open(self.counter, "r+b", buffering=0) as f:
            os.pwrite(f.fileno(), struct.pack("=q", n), 0)

    def left(self):
        with open(self.counter, "rb") as f:
            return struct.unpack("=q", f.read(8))[0]

    def check(self, response, body=None):
        """A right answer, or one of the proxy's own."""
        if response.status == 200:
            if body is not None and response.body != body:
                raise Wrong(f"a whole answer, but not the right one: {response!r}"[:600])
        elif "credswap" not in (response.one("proxy-status") or "") or response.status not in (502, 503):
            raise Wrong(repr(response)[:600])
        return response.status == 200

    def generate(self, path, size, kind, streams=False):
        body = json.dumps({"n": random.random(), "pad": "p" * size, "fake": {"bytes": 3000, "events": 4}}).encode()
        if kind == "large":
            return self.check(self.lab.ask(path=path, body=body, token=harness.ALICE))
        return self.check(self.lab.ask(path=path, body=body, token=harness.ALICE), answers.expected(kind, "gemini-2.5-pro", body))

    def plain(self):
        return self.generate(harness.GENERATE, 10, "gemini")

    def streamed(self):
        return self.generate(harness.STREAM, 10, "gemini-sse")

    def upload(self):
        return self.generate(harness.GENERATE, 700_000, "large")

    def dial(self):
        """A new connection to the provider."""
        self.lab.cloud.control("POST", "/close")
        return self.plain()

    def host(self):
        """A host that nobody has asked for yet: a leaf for it, a dial, a session of TLS."""
        self.hosts += 1
        location = f"asia-south{self.hosts}"
        return self.check(self.lab.ask(f"{location}-aiplatform.googleapis.com", harness.GENERATE.replace("us-central1", location),
                                       token=harness.ALICE))

    def kept(self):
        """Three on one connection."""
        with self.lab.tunnel() as tunnel:
            return all([self.check(tunnel.ask("POST", harness.GENERATE, harness.BODY, BEARER)) for _ in range(3)])

    def tunnel(self):
        with client.Tunnel(("127.0.0.1", self.lab.port), "tunnel.test", ca=self.lab.cloud.ca) as tunnel:
            if tunnel.connect_status != 200:
                return self.check(tunnel.refusal())
            response = tunnel.ask("POST", "/echo", b"e" * 50_000)
            if response.status != 200:
                raise Wrong(repr(response)[:600])
            return True

    def page(self):
        return all([self.lab.page(p)[0] == 200 for p in ("/", "/env.sh", "/ca.pem", "/status")])

    def gateway(self):
        status = self.lab.page("/gemini/v1beta/models", headers={"x-goog-api-key": harness.ALICE})[0]
        return status in (200, 404)

    def admin(self):
        return all([self.lab.page(p, self.lab.admin)[0] == 200 for p in ("/healthz", "/status", "/metrics")])

    def mint(self):
        """An account of another scope has no token yet: the edit is seen, and the next request waits for a new one."""
        self.scopes.reverse()
        self.lab.sql(f"begin; update account set scope = '{self.scopes[0]}'; delete from token; commit")
        time.sleep(0.3)
        return self.plain()

    def refused(self):
        """An unknown placeholder, a denied port."""
        response = self.lab.ask(token="gemini-nobody-0123456789abcdef")
        if response.status not in (401, 503):
            raise Wrong(repr(response)[:600])
        with self.lab.tunnel("tunnel.test", port=25, tls=False) as tunnel:
            return tunnel.connect_status == 403 and response.status == 401

    def failover(self):
        self.lab.cloud.fail("503", host=harness.VERTEX, times=1)
        return self.plain()

    def socket(self):
        return self.lab.cs("account", "refresh", "acct-1", status=None, timeout=20).returncode == 0

    def status(self):
        return self.lab.cs("status", "--json", status=None, timeout=20).returncode == 0

    def edit(self):
        """An edit is seen however little memory there was."""
        self.rpm += 1
        self.lab.cs("client", "set", "alice", f"rpm={self.rpm * 1000}")
        time.sleep(0.3)
        return self.plain()

    def reload(self):
        self.lab.signal(signal.SIGHUP)
        time.sleep(0.05)
        return self.plain()

    def quietly(self, work):
        """WORK's answer, False when it was cut."""
        try:
            return work()
        except (client.Broken, OSError, ValueError):
            return False
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"no end: {error}") from None

    def settle(self, name, work):
        """Without the failure the same works: at once, or when an account's short pause is over."""
        self.arm(0)
        if self.lab.daemon.poll() is not None:
            with open(self.lab.logs[-1], encoding="utf-8", errors="replace") as f:
                raise Wrong(f"the daemon died with {self.lab.daemon.returncode}\n{f.read()[:2500]}")
        if not harness.until(lambda: self.quietly(work), 6, 0.1):
            raise Wrong(f"{name} does not work any more\n{self.lab.output()[-1500:]}")

    def size(self, work):
        """How many allocations WORK takes, for the most part."""
        counts = []
        for _ in range(3):
            self.arm(1 << 40)
            if not harness.until(lambda: self.quietly(work), 5, 0.2):
                raise Wrong(f"it does not work at all\n{self.lab.output()[-1500:]}")
            counts.append((1 << 40) - self.left())
        self.arm(0)
        return max(counts)

    def one_kind(self, name, step):
        work = self.kinds[name]
        work()
        last, passed, failed, fell = self.size(work), 0, 0, 0
        for n in range(1 + random.randrange(step), last + 1, step):
            try:
                self.arm(n)
                self.quietly(work)
                fell += self.left() <= 0
                self.settle(name, work)
                passed += 1
            except (Wrong, AssertionError) as error:
                failed += 1
                print(f"FAIL  {name}, allocation {n} (--seed {options.seed}): {error}", flush=True)
                self.arm(0)
                if self.lab.daemon.poll() is not None:
                    self.lab.daemon = None
                    self.lab.start()
        print(f"{name}: {last} allocations, {fell} of {passed + failed} failed", flush=True)
        return passed, failed

    def at_rest(self):
        """Nothing is left of all this once the clients are gone."""
        def busy():
            now = self.lab.metrics()
            found = {k: now["credswap_" + k] for k in ("connections", "exchanges")}
            found["busy upstream connections"] = now["credswap_upstream_connections"] - now["credswap_upstream_idle_connections"]
            return [f"{k} {v}" for k, v in found.items() if v != 0]
        harness.until(lambda: not busy(), 5)
        return busy()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.lab.daemon.pid}/fd"))


def requests(step):
    passed = failed = 0
    random.seed(options.seed)
    work = Requests()
    try:
        begin = work.descriptors()
        for name in work.kinds:
            if options.kind not in (None, name):
                continue
            try:
                good, bad = work.one_kind(name, step)
            except Wrong as error:
                good, bad = 0, 1
                print(f"FAIL  {name}: {error}", flush=True)
            passed += good
            failed += bad
        work.lab.cloud.control("POST", "/close")
        left = work.at_rest()
        if not harness.until(lambda: work.descriptors() <= begin + 12, 5):
            left.append(f"descriptors {work.descriptors()}, {begin} at first")
        if left:
            failed += 1
            print(f"FAIL  left behind: {left}")
        work.lab.close()  # leaks and secrets
        passed += 1
    except harness.Failed as error:
        failed += 1
        print(f"FAIL  at the end: {error}")
    finally:
        work.lab.kill()
        work.lab.close(check=False)
    return passed, failed


def kills():
    command = [sys.executable, os.path.join(HERE, "kill.py"), "--build", options.build, "--seed", str(options.seed)]
    done = subprocess.run(command + (["--full"] if options.full else []), stdout=subprocess.PIPE, text=True, check=False)
    found = re.search(r"(\d+) passed, (\d+) failed\s*\Z", done.stdout)
    print(done.stdout[:found.start()] if found else done.stdout, end="", flush=True)
    return (int(found[1]), int(found[2])) if found else (0, 1)


def main():
    step = 1 if options.full else options.step
    parts = {"start": lambda: starts(step), "requests": lambda: requests(1 if options.full else 2), "kill": kills}
    passed = failed = 0
    print(f"seed {options.seed}", flush=True)
    for name, part in parts.items():
        if options.only in (None, name):
            begin = time.monotonic()
            good, bad = part()
            passed += good
            failed += bad
            print(f"{name}: {good} passed, {bad} failed in {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
