"""What lies in the daemon's memory, and what /proc shows of it, when nobody asks any more."""
import base64
import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import unittest
import urllib.parse

import client
from harness import ALICE, BODY, CLAUDE_KEY, DAEMON, GENERATE, VERTEX, LabCase, die_with_parent

PIECE = 1 << 22
NOBODY = 65534


def spans(pid):
    """(begin, end) of the writable mappings of PID that have pages."""
    with open(f"/proc/{pid}/smaps", encoding="ascii") as smaps:
        for line in smaps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
            if head:
                begin, end, perms = int(head[1], 16), int(head[2], 16), head[3]
            elif line.startswith("Rss:") and "w" in perms and "r" in perms and int(line.split()[1]) and end - begin < 1 << 30:
                yield begin, end


def find(pid, needle):
    """How often NEEDLE stands in the memory of PID, each time with the bytes round it."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for begin, end in spans(pid):
            for at in range(begin, end, PIECE):
                with contextlib.suppress(OSError, OverflowError):
                    data = os.pread(mem.fileno(), min(PIECE + len(needle), end - at), at)
                    found += [data[max(0, m.start() - 40):m.end() + 20] for m in re.finditer(re.escape(needle), data)]
    return found


@unittest.skipUnless(os.geteuid() == 0, "reads the memory of another process")
class Memory(LabCase):
    """A placeholder that was refused, and a prompt that was served, are gone when the exchange is."""

    LAB = {"accounts": 1, "claude": False, "quarantine_mb": 0, "conf": {"log": {"level": "debug"}}}

    def raw(self, data, tls=True):
        """Sends DATA and waits for whatever ends it."""
        with contextlib.suppress(client.Broken, OSError), self.lab.tunnel(tls=tls, timeout=3) as tunnel:
            tunnel.send(data)
            tunnel.reader.rest()

    def direct(self, data):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.lab.port), timeout=3) as sock:
            sock.sendall(data)
            client.Reader(sock).rest()

    def cases(self):
        lab, host = self.lab, f"Host: {VERTEX}\r\n".encode()
        start = f"POST {GENERATE} HTTP/1.1\r\n".encode() + host
        connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\n".encode()
        return {
            "unknown bearer": lambda m: lab.ask(token=m), "unknown key": lambda m: lab.ask(token=m, carrier="x-goog-api-key"),
            "in the query": lambda m: lab.ask(path=f"{GENERATE}?key={m}"), "in a cookie": lambda m: lab.ask(token=ALICE, headers=[("cookie", m)]),
            "in the path": lambda m: lab.ask(path=f"/v1/{m}", token=ALICE),
            "in a bad head": lambda m: self.raw(start + b"X-A: \x01\r\nAuthorization: Bearer " + m.encode() + b"\r\n\r\n"),
            "in a head that never ends": lambda m: self.half(start + b"Authorization: Bearer " + m.encode()),
            "behind a request": lambda m: self.raw(b"TRACE / HTTP/1.1\r\n" + host + b"\r\n" + m.encode()),
            "in a chunk trailer": lambda m: self.raw(start + f"Authorization: Bearer {ALICE}\r\n".encode() + b"Transfer-Encoding: chunked\r\n\r\n2\r\n"
                                                     b"{}\r\n0\r\nX-A: " + m.encode() + b"\r\n\r\nGET"),
            "at the proxy's own port": lambda m: lab.page("/me", headers={"authorization": "Bearer " + m}),
            "in gateway mode": lambda m: lab.page("/gemini/v1beta/models", headers={"x-goog-api-key": m}),
            "in proxy credentials": lambda m: self.direct(connect + b"Proxy-Authorization: Basic " + m.encode() + b"\r\nX : y\r\n\r\n"),
            "in a bad connect": lambda m: self.direct(b"CONNECT " + m.encode() + b":443x HTTP/1.1\r\n\r\n"),
            "in a clear request": lambda m: self.direct(f"GET http://{VERTEX}/ HTTP/1.1\r\nHost: {VERTEX}\r\nX-Api-Key: {m}\r\n\r\n".encode()),
            "in a prompt": lambda m: lab.ask(token=ALICE, body=f'{{"a":"{m}"}}'.encode()),
            "in a long prompt": lambda m: lab.ask(token=ALICE, body=b'{"a":"' + f"{m} ".encode() * 9000 + b'"}'),
        }

    def half(self, data):
        with self.lab.tunnel() as tunnel:
            tunnel.send(data)
            time.sleep(0.1)

    def test_what_was_sent_is_forgotten(self):
        marks = {}
        for name, send in self.cases().items():
            marks[name] = "gemini-mark-" + secrets.token_hex(8)
            send(marks[name])
        time.sleep(0.5)
        for name, mark in marks.items():
            with self.subTest(sent=name):
                self.assertEqual(find(self.lab.daemon.pid, mark.encode())[:3], [])
                for form in (base64.b64encode(mark.encode()), urllib.parse.quote(mark).replace("-", "%2D").encode()):
                    self.assertNotIn(form, self.lab.output().encode())
                self.assertNotIn(mark, self.lab.output(), "in the log")
                for page in (self.lab.page("/status", self.lab.admin), self.lab.page("/metrics", self.lab.admin), self.lab.page("/status")):
                    self.assertNotIn(mark.encode(), page[2])
        self.lab.scan_secrets()

    def test_the_search_finds_what_is_there(self):
        mark = "gemini-mark-" + secrets.token_hex(8)
        with self.lab.tunnel() as tunnel:
            tunnel.send(f"POST / HTTP/1.1\r\nAuthorization: Bearer {mark}".encode())
            time.sleep(0.2)
            self.assertTrue(find(self.lab.daemon.pid, mark.encode()), "a head in the making is somewhere")


class Process(LabCase):
    """What other users of the machine, and a core, could see."""

    LAB = {"accounts": 1}

    def proc(self, name):
        with open(f"/proc/{self.lab.daemon.pid}/{name}", "rb") as f:
            return f.read()

    def test_no_core_and_no_tracer(self):
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertRegex(self.proc("limits").decode(), r"Max core file size +0 +0 +bytes")
        self.assertRegex(self.proc("status").decode(), r"NoNewPrivs:\s+1")

    @unittest.skipUnless(os.geteuid() == 0, "starts the daemon as another user")
    def test_its_own_user_cannot_look(self):
        """Undumpable: its files under /proc are root's, and closed to the user that it runs as."""
        lab = self.lab
        lab.stop()
        program = shutil.copy2(DAEMON, lab.path("credswapd"))
        lab.sections["upstream"]["ca_file"] = shutil.copy2(self.cloud.ca, lab.path("roots.pem"))
        lab.rewrite()
        try:
            self.give_all(NOBODY)
            lab.daemon = subprocess.Popen([program, "--config", lab.conf], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL, env=lab.env, cwd=lab.dir, user=NOBODY, group=NOBODY,
                                          extra_groups=[], preexec_fn=die_with_parent)
            lab.cs("wait", "--ready", "--timeout", "20")
            self.assertIn(f"Uid:\t{NOBODY}\t", self.proc("status").decode())
            self.assertEqual(os.stat(f"/proc/{lab.daemon.pid}/maps").st_uid, 0)
            self.assertEqual(self.readable_as(NOBODY, ("mem", "environ", "maps")), [])
            lab.stop()
        finally:
            lab.kill()
            self.give_all(0)
            lab.start()

    def give_all(self, user):
        for name in [self.lab.dir] + [self.lab.path(n) for n in os.listdir(self.lab.dir)]:
            os.chown(name, user, user, follow_symlinks=False)

    def readable_as(self, user, names):
        """Those of the daemon's files in /proc that USER can open."""
        code = ("import contextlib, sys\nfor name in sys.argv[2:]:\n with contextlib.suppress(PermissionError):\n"
                "  open(f'/proc/{sys.argv[1]}/{name}', 'rb').close()\n  print(name)")
        done = subprocess.run([sys.executable, "-c", code, str(self.lab.daemon.pid), *names], user=user, group=user, extra_groups=[],
                              cwd="/", capture_output=True, text=True, check=True)
        return done.stdout.split()

    def test_no_secret_in_arguments_or_environment(self):
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        for name in ("cmdline", "environ"):
            data = self.proc(name)
            for secret in self.lab.secrets():
                self.assertNotIn(secret, data, name)
        for thread in os.listdir(f"/proc/{self.lab.daemon.pid}/task"):
            self.assertNotIn(CLAUDE_KEY.encode(), self.proc(f"task/{thread}/comm"))

    def test_private_files_are_private(self):
        for name in os.listdir(self.lab.dir):
            path = self.lab.path(name)
            if name.startswith("credswap.db") or name in ("ca.key", "master.key"):
                self.assertEqual(os.stat(path).st_mode & 0o077, 0, name)

    def test_errors_of_every_kind_leave_nothing(self):
        lab = self.lab
        seen = []
        for status, how in ((401, {"token": "gemini-stranger-0123456789"}), (404, {"path": "/telemetry", "token": ALICE}),
                            (400, {"token": ALICE, "headers": [("x-note", ALICE)]}), (400, {"token": ALICE, "headers": [("x-note", ALICE.replace("-", "%2d"))]}),
                            (400, {"token": ALICE, "headers": [("x-note", base64.b64encode(ALICE.encode()).decode())]}),
                            (421, {"token": ALICE, "headers": []}), (405, {"token": ALICE, "method": "TRACE"})):
            with self.subTest(status=status, how=sorted(how)):
                if status == 421:
                    with lab.tunnel() as tunnel:
                        tunnel.send(client.request("POST", GENERATE, "tunnel.test", [("authorization", "Bearer " + ALICE)], BODY))
                        response = tunnel.reader.response()
                else:
                    response = lab.ask(**how)
                self.assertStatus(response, status)
                seen.append(response.raw)
        self.cloud.fail("403", host=VERTEX, times=-1)
        seen.append(lab.ask(token=ALICE).raw)
        self.cloud.heal()
        self.cloud.fail("token-garbage", times=-1)
        self.cloud.expire()
        for kind in ("401", "cut-before-head", "bad-status-line", "endless-head"):
            self.cloud.fail(kind, host=VERTEX, times=-1)
            seen.append(lab.ask(token=ALICE).raw)
            self.cloud.heal()
        seen += [lab.page("/status", lab.admin)[2], lab.page("/metrics", lab.admin)[2], lab.page("/status")[2],
                 lab.page("/me", headers={"authorization": "Bearer " + ALICE})[2]]
        for data in seen:
            for secret in lab.secrets():
                self.assertNotIn(secret, data)
        lab.scan_secrets()
