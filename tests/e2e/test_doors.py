"""The other ways in: the admin port, the console's socket, the listener inside TLS; and clients whose TLS is unusual."""
import base64
import contextlib
import json
import os
import re
import socket
import ssl
import time

import answers
import client
from harness import ALICE, BODY, GEMINI, GEMINI_PATH, GENERATE, OAUTH, VERTEX, Lab, LabCase, email, free_port, until
from servers import Echo
from vectors import FOLLOW, VECTORS

WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
BEARER = [("authorization", "Bearer " + ALICE)]
AT_ONCE_S = 4
MARK = "qqmarkerqq"


class Admin(LabCase):
    """It parses HTTP too: the same parser, and nothing but GET and HEAD of four paths."""

    LAB = {"accounts": 1, "claude": False}

    def open(self):
        return client.Plain(("127.0.0.1", self.lab.admin), timeout=AT_ONCE_S)

    def say(self, data):
        """(statuses, closed, bytes)"""
        with self.open() as plain:
            with contextlib.suppress(ConnectionError):
                plain.send(data)
            got = plain.reader.rest()
            return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)], plain.reader.eof, got

    def test_what_is_malformed_is_400_and_closed(self):
        host = b"Host: x\r\n"
        follow = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        for label, data in (("space before colon", b"GET /healthz HTTP/1.1\r\n" + host + b"X : y\r\n\r\n"), ("no host", b"GET /healthz HTTP/1.1\r\n\r\n"), ("two hosts", b"GET /healthz HTTP/1.1\r\n" + host * 2 + b"\r\n"),
                            ("both framings", b"GET /healthz HTTP/1.1\r\n" + host + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), ("bare lf", b"GET /healthz HTTP/1.1\nHost: x\n\n"), ("garbage", b"\0\1\2" + MARK.encode()),
                            ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60), ("lower", b"get /healthz HTTP/1.1\r\n" + host + b"\r\n"), ("0.9", b"GET /healthz\r\n\r\n"), ("2.0", b"GET /healthz HTTP/2.0\r\n" + host + b"\r\n"),
                            ("nul", b"GET /healthz HTTP/1.1\r\n" + host + b"X: \0\r\n\r\n"), ("fold", b"GET /healthz HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n"), ("many fields", b"GET /healthz HTTP/1.1\r\n" + host + b"X: y\r\n" * 200 + b"\r\n"),
                            ("long head", b"GET /healthz HTTP/1.1\r\n" + host + b"X: " + b"y" * 40000 + b"\r\n\r\n"), ("long target", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + host + b"\r\n")):
            with self.subTest(what=label):
                statuses, ended, got = self.say(data + follow)
                self.assertEqual((len(statuses), ended), (1, True), got[:200])
                self.assertIn(statuses[0], (400, 414, 431))
                self.assertNotIn(MARK.encode(), got)
        statuses, ended, got = self.say(follow + b"GET /healthz HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n" + follow)
        self.assertEqual((statuses, ended), ([200, 400], True), got)
        self.assertEqual(self.lab.page("/healthz", self.lab.admin)[0], 200)

    def test_methods_and_paths(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            with self.subTest(method=method), self.open() as plain:
                plain.send(client.request(method, "/status", "x", [("content-length", "4")], b"{}{}"))
                response = plain.reader.response(method)
                self.assertEqual((response.status, response.one("allow")), (405, "GET, HEAD"))
        for path in ("/", "/Healthz", "/healthz/", "//healthz", "/%68ealthz", "/status/..", "/ca.pem", "/env.sh", "/me", "/metrics%00", f"/{MARK}", f"/vertex{GENERATE}", GENERATE):
            with self.subTest(path=path), self.open() as plain:
                plain.send(client.request("GET", path, "x", BEARER))
                response = plain.reader.response("GET")
                self.assertEqual(response.status, 404, response)
                self.assertNotIn(MARK.encode(), response.raw)
        with self.open() as plain:  # no proxy either
            plain.send(f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode())
            self.assertStatus(plain.reader.response(), 405)
        self.assertNothingForwarded()

    def test_odd_and_valid(self):
        for label, data in (("1.0", b"GET /healthz HTTP/1.0\r\n\r\n"), ("absolute", b"GET http://monitor.test/healthz HTTP/1.1\r\nHost: monitor.test\r\n\r\n"), ("query", b"GET /healthz?a=b HTTP/1.1\r\nHost: x\r\n\r\n"),
                            ("body", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), ("chunks", b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), ("empty line", b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
                            ("expect", b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n")):
            with self.subTest(what=label), self.open() as plain:
                plain.send(data)
                self.assertEqual(plain.reader.response("GET").body, b"ok\n")
        with self.open() as plain:
            plain.send(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in range(3):
                self.assertStatus(plain.reader.response("HEAD"), 200)
            self.assertEqual(plain.reader.response("GET").body, b"ok\n")

    def test_its_connections_have_a_bound(self):
        held = [self.open() for _ in range(80)]
        try:
            time.sleep(0.2)
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        finally:
            for plain in held:
                plain.close()
        self.assertTrue(until(lambda: self.healthy(), 5))

    def healthy(self):
        with contextlib.suppress(OSError):
            return self.lab.page("/healthz", self.lab.admin)[0] == 200
        return False

    def test_the_log_has_nothing_of_it(self):
        self.say(f"GET /{MARK} HTTP/1.1\r\nHost: {MARK}\r\nConnection: close\r\nX-{MARK}: {ALICE}\r\n\r\n".encode())
        self.say(f"GET /{MARK} HTTP/1.1\r\nHost: {MARK}\r\nX-{MARK} : {ALICE}\r\n\r\n".encode())
        self.assertNotIn(MARK, self.lab.log_text())
        self.lab.scan_secrets()


class Socket(LabCase):
    """One JSON object a line; who is in the group may ask, and cannot hurt."""

    LAB = {"accounts": 1, "claude": False, "quarantine_mb": 4}

    def open(self, timeout=AT_ONCE_S):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(self.lab.path("credswap.sock"))
        return sock

    def say(self, data, lines):
        """The next LINES lines that come back for DATA."""
        with self.open() as sock:
            sock.sendall(data)
            got = b""
            while got.count(b"\n") < lines:
                piece = sock.recv(65536)
                if not piece:
                    break
                got += piece
            return [json.loads(line) for line in got.splitlines()]

    def test_it_is_for_owner_and_group(self):
        self.assertEqual(os.stat(self.lab.path("credswap.sock")).st_mode & 0o777, 0o660)

    def test_lines_that_mean_nothing(self):
        for label, line in (("empty", b""), ("garbage", b"\0\1\xff"), ("text", b"status"), ("array", b"[]"), ("number", b"5"), ("null", b"null"), ("no cmd", b"{}"), ("cmd number", b'{"cmd":5}'), ("cmd null", b'{"cmd":null}'), ("cmd object", b'{"cmd":{}}'),
                            ("unknown", b'{"cmd":"stop"}'), ("upper", b'{"cmd":"STATUS"}'), ("nul behind", b'{"cmd":"status\\u0000"}'), ("twice", b'{"cmd":"status","cmd":"refresh"}'), ("cut", b'{"cmd":"status"'), ("deep", b'{"a":' + b"[" * 20000 + b"]" * 20000 + b"}"),
                            ("junk behind", b'{"cmd":"status"} x'), ("two objects", b'{"cmd":"status"}{"cmd":"status"}'), ("http", b"GET /status HTTP/1.1"), ("no account", b'{"cmd":"refresh"}'), ("odd account", b'{"cmd":"refresh","account":5}'),
                            ("unknown account", b'{"cmd":"refresh","account":"qqmarkerqq"}'), ("huge account", b'{"cmd":"test","account":"' + b"a" * 50000 + b'"}'), ("path account", b'{"cmd":"test","account":"../../etc/passwd"}'),
                            ("sql account", b'{"cmd":"test","account":"\' or 1=1 --"}'), ("high bytes", b'{"cmd":"\xff\xfe"}'), ("surrogate", b'{"cmd":"\\ud800"}')):
            with self.subTest(line=label):
                said = self.say(line + b'\n{"cmd":"status"}\n', 2)
                self.assertEqual([s["ok"] for s in said], [False, True], said)
                self.assertNotIn(MARK, json.dumps(said[0]))
        self.assertNotIn(MARK, self.lab.log_text())

    def test_cut_lines_and_many_in_one(self):
        with self.open() as sock:
            for byte in b'{"cmd":"status"}\r\n':
                sock.sendall(bytes([byte]))
            self.assertIn(b'"ok":true', sock.recv(65536))
        self.assertEqual(len(self.say(b'{"cmd":"status"}\n' * 50, 50)), 50)

    def test_a_line_without_end(self):
        with self.open() as sock:
            with contextlib.suppress(OSError):
                for _ in range(40):
                    sock.sendall(b"x" * 4096)
            with contextlib.suppress(ConnectionError):
                self.assertEqual(sock.recv(10), b"")

    def test_answers_that_nobody_reads(self):
        """A reader that never reads gets no memory for it."""
        self.assertTrue(self.say(b'{"cmd":"status"}\n', 1))
        base = self.lab.rss()
        with self.open(0.5) as sock:
            with contextlib.suppress(OSError):
                for _ in range(300):
                    sock.sendall(b'{"cmd":"status"}\n' * 1000)
            time.sleep(0.3)
            self.assertLess(self.lab.rss() - base, 24 << 20)
            self.assertStatus(self.lab.ask(token=ALICE), 200)
            sock.settimeout(AT_ONCE_S)  # who reads after all gets every answer that was asked for, in order
            got = 0
            while got < 3 << 20:
                piece = sock.recv(1 << 20)
                self.assertTrue(piece)
                got += len(piece)
        self.assertTrue(self.say(b'{"cmd":"status"}\n', 1)[0]["ok"])

    def test_connections_have_a_bound(self):
        held = [self.open() for _ in range(50)]
        try:
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        finally:
            for sock in held:
                sock.close()
        self.assertTrue(until(self.answers, 5))

    def answers(self):
        with contextlib.suppress(OSError):
            return self.say(b'{"cmd":"status"}\n', 1)
        return False

    def test_a_client_that_leaves_while_it_is_answered(self):
        for _ in range(20):
            with self.open() as sock:
                sock.sendall(b'{"cmd":"refresh","account":"acct-1"}\n{"cmd":"status"}\n')
        self.assertTrue(until(self.answers, 5))

    def test_a_forgotten_token_is_minted_anew(self):
        """The console empties the store and the daemon drops its copies: the next request needs a new one."""
        self.assertEqual(self.lab.ask(token=ALICE).status, 200)
        self.assertTrue(until(lambda: any(row["has_token"] for row in self.lab.rows("tokens")), 5))
        mints = self.cloud.stats()["mints"][email(1)]
        self.assertEqual(self.lab.ask(token=ALICE).status, 200)
        self.assertEqual(self.cloud.stats()["mints"][email(1)], mints)
        said = self.lab.cs("account", "forget", "acct-1").stderr
        self.assertIn("in the running daemon", said)
        self.assertTrue(until(lambda: not any(row["has_token"] for row in self.lab.rows("tokens")), 5))
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200 and self.cloud.stats()["mints"][email(1)] == mints + 1, 5))
        self.assertIn("token forgotten", json.dumps(self.lab.rows("events")))

    def test_a_script_that_says_it_all_and_waits(self):
        """printf ... | nc -U: the end of the questions is not the end of the answers."""
        for line, lines in ((b'{"cmd":"status"}\n' * 30, 30), (b'{"cmd":"test","account":"acct-1"}\n', 1)):
            with self.open() as sock:
                sock.sendall(line)
                sock.shutdown(socket.SHUT_WR)
                got = b""
                while piece := sock.recv(65536):
                    got += piece
                self.assertEqual([json.loads(said)["ok"] for said in got.splitlines()], [True] * lines)


class InnerTls:
    """TLS over a socket that speaks TLS itself."""

    def __init__(self, outer, host, ca):
        self.outer = outer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client.trusting(ca).wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self.run(self.tls.do_handshake)

    def run(self, step, *args):
        while True:
            try:
                value = step(*args)
                self.outer.sendall(self.outgoing.read())
                return value
            except ssl.SSLWantReadError:
                self.outer.sendall(self.outgoing.read())
                data = self.outer.recv(65536)
                if not data:
                    self.incoming.write_eof()
                else:
                    self.incoming.write(data)

    def sendall(self, data):
        self.run(self.tls.write, data)

    def recv(self, size):
        try:
            return self.run(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b""


class OuterTls(LabCase):
    """listen.proxy_tls: everything that the clear port does, inside TLS of our own CA."""

    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.close)
        cls.tls_port = free_port()
        cls.lab = Lab(accounts=1, claude=False, connect_to=[f"echo.test:443:127.0.0.1:{cls.echo.port}"],
                      conf={"listen": {"proxy_tls": [f"127.0.0.1:{cls.tls_port}"]}, "limits": {"header_timeout": 1}})

    def open(self, sni="127.0.0.1", context=None):
        sock = socket.create_connection(("127.0.0.1", self.tls_port), timeout=AT_ONCE_S)
        return contextlib.closing((context or client.trusting(self.lab.ca)).wrap_socket(sock, server_hostname=sni))

    def test_curl(self):
        for args, code in ((("-H", "x-goog-api-key: " + ALICE, "-d", BODY.decode(), f"https://{GEMINI}{GEMINI_PATH}"), b"200"), (("http://127.0.0.1:9/",), b"403")):
            with self.subTest(args=args[-1]):
                done = self.lab.curl("-o", os.devnull, "-w", "%{http_code}", "--proxy-cacert", self.lab.ca, *args, HTTPS_PROXY=f"https://127.0.0.1:{self.tls_port}",
                                     http_proxy=f"https://127.0.0.1:{self.tls_port}")
                self.assertEqual((done.stdout, done.stderr), (code, b""))
        self.assertCleanCloud()

    def test_pages_and_gateway(self):
        with self.open() as sock:
            reader = client.Reader(sock)
            for path in ("/ca.pem", "/env.sh", "/status"):
                sock.sendall(client.request("GET", path, "x"))
                self.assertStatus(reader.response("GET"), 200)
            sock.sendall(client.request("POST", "/vertex" + GENERATE, "x", BEARER, BODY))
            self.assertEqual(reader.response().body, WANTED)
            start = [("x-goog-api-key", ALICE), ("x-goog-upload-protocol", "resumable"), ("x-goog-upload-command", "start")]
            sock.sendall(client.request("POST", "/gemini/upload/v1beta/files", "gate.test:4430", start, b"{}"))
            self.assertTrue(reader.response().one("x-goog-upload-url").startswith("https://gate.test:4430/gemini/upload/v1beta/files?upload_id="))
        self.assertCleanCloud()

    def test_requests_inside_tls_inside_tls(self):
        with self.open() as sock:
            sock.sendall(f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode())
            reader = client.Reader(sock)
            self.assertEqual(reader.head()[1], 200)
            inner = InnerTls(sock, VERTEX, self.lab.ca)
            reader = client.Reader(inner)
            long = json.dumps({"fake": {"bytes": 3 << 20}, "pad": "p" * 30000}).encode()
            for body in (BODY, BODY, long):
                inner.sendall(client.request("POST", GENERATE, VERTEX, BEARER, body))
                self.assertEqual(reader.response().body, answers.expected("gemini", "gemini-2.5-pro", body))
            inner.sendall(b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n")
            self.assertOwnError(reader.response(), 400, "vertex")
        self.assertCleanCloud()

    def test_the_hello_may_follow_connect_at_once(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.trusting(self.lab.ca).wrap_bio(incoming, outgoing, server_hostname=VERTEX)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        with self.open() as sock:
            sock.sendall(f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode() + outgoing.read())
            reader = client.Reader(sock)
            self.assertEqual(reader.head()[1], 200)
            self.assertTrue(reader.buf or reader.more())
            self.assertEqual(reader.buf[0], 22, "a handshake record")

    def test_tunnels(self):
        data = os.urandom(700_000)
        with self.open() as sock:
            sock.sendall(b"CONNECT echo.test:443 HTTP/1.1\r\nHost: echo.test:443\r\n\r\nearly")
            reader = client.Reader(sock)
            self.assertEqual(reader.head()[1], 200)
            self.assertEqual(reader.exactly(5), b"early")
            for at in range(0, len(data), 100_000):
                sock.sendall(data[at:at + 100_000])
                self.assertEqual(reader.exactly(100_000), data[at:at + 100_000])

    def test_refusals(self):
        for label, data, status in (("policy", b"CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n", 403), ("malformed", b"CONNECT x HTTP/1.1\r\n\r\n", 400), ("garbage", b"\0\1\2", 400), ("page", b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n", 404)):
            with self.subTest(what=label), self.open() as sock:
                sock.sendall(data)
                reader = client.Reader(sock)
                self.assertStatus(reader.response("GET"), status)
                if status != 404:
                    self.assertTrue(reader.at_end(AT_ONCE_S))

    def test_what_is_no_tls_or_none_at_all(self):
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 600, b"\x16\x03\x01\x00\x05", b""):
            with self.subTest(data=data[:6]), contextlib.closing(socket.create_connection(("127.0.0.1", self.tls_port), timeout=8)) as sock:
                sock.sendall(data)
                reader = client.Reader(sock)
                got = reader.rest()
                self.assertTrue(reader.eof, got)
                self.assertNotIn(b"HTTP/1.1", got)

    def test_a_foreign_name_gets_our_own_certificate(self):
        context = client.trusting(self.lab.ca)
        context.check_hostname = False
        for sni in (VERTEX, "evil.test", None):
            with self.open(sni, context) as sock:
                names = [v for _, v in sock.getpeercert()["subjectAltName"]]
                self.assertEqual(names, ["127.0.0.1"])
                sock.sendall(client.request("GET", "/ca.sha256", "x"))
                self.assertStatus(client.Reader(sock).response("GET"), 200)

    def test_hostile_heads(self):
        """A share of the table, one TLS further in."""
        for v in [v for v in VECTORS if v.want == "refused" and len(v.data) < 2000][::23]:
            with self.subTest(vector=v.name), self.open() as sock:
                sock.sendall(f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode())
                self.assertEqual(client.Reader(sock).head()[1], 200)
                inner = InnerTls(sock, VERTEX, self.lab.ca)
                inner.sendall(v.data + FOLLOW)
                response = client.Reader(inner).response()
                self.assertTrue(400 <= response.status <= 505, response)
        self.assertNothingForwarded()


class ProxyAuth(LabCase):
    """proxy_auth = required, and every way to get it wrong."""

    OTHER = "gemini-other-5544332211"

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(accounts=1, claude=False, start=False, conf={"policy": {"proxy_auth": "required", "ports": [80, 443]}})
        cls.addClassCleanup(cls.lab.kill)
        cls.lab.add_client("off", "gemini", cls.OTHER)
        cls.lab.cs("client", "set", "off", "state=off")
        cls.lab.start()

    @staticmethod
    def basic(text):
        return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()

    def test_what_does_not_do(self):
        good = self.basic("x:" + ALICE)
        for label, values in {"none": [], "bearer": ["Bearer " + ALICE], "raw": [ALICE], "digest": [f'Digest username="alice", response="{ALICE}"'], "negotiate": ["Negotiate YII="], "empty": [""], "scheme only": ["Basic"], "no base64": ["Basic " + ALICE + "!"],
                              "pair in clear": [f"Basic x:{ALICE}"], "no colon, unknown": [self.basic("nobody")], "wrong": [self.basic("x:gemini-nobody-0011223344")], "off": [self.basic("x:" + self.OTHER)], "suffix": [self.basic(f"x:{ALICE}x")], "nul": [self.basic(f"x:{ALICE}\0")],
                              "nul user": [self.basic(f"\0:{ALICE}x")], "upper": [self.basic("x:" + ALICE.upper())], "line": [self.basic(f"x:{ALICE}\n")], "wrong first": [self.basic("x:gemini-nobody-0011223344"), good], "huge": [self.basic("x:" + "a" * 20000)], "url alphabet": ["Basic -_-_"],
                              "glued": [good.replace(" ", "")], "tab": [good.replace(" ", "\t")], "list": [f"Bearer x, {good}"]}.items():
            for line, host in ((f"CONNECT {VERTEX}:443", f"{VERTEX}:443"), ("CONNECT evil.test:443", "evil.test:443"), ("GET http://evil.test/", "evil.test")):
                with self.subTest(credentials=label, line=line), client.Plain(("127.0.0.1", self.lab.port), timeout=AT_ONCE_S) as plain:
                    fields = "".join(f"Proxy-Authorization: {v}\r\n" for v in values)
                    plain.send(f"{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
                    response = plain.reader.response("GET")
                    self.assertStatus(response, 407)
                    self.assertTrue(response.one("proxy-authenticate").startswith("Basic realm="))
                    self.assertIn("credswap; error=", response.one("proxy-status"))
                    self.assertNotIn(ALICE.encode(), response.raw)
        self.assertNothingForwarded()
        self.lab.scan_secrets()

    def test_what_does(self):
        for label, value in {"password": self.basic("x:" + ALICE), "user alone": self.basic(ALICE + ":"), "no colon": self.basic(ALICE), "lower scheme": self.basic("x:" + ALICE).replace("Basic", "basic"), "upper scheme": self.basic("x:" + ALICE).replace("Basic", "BASIC"),
                             "spaces": self.basic("x:" + ALICE).replace(" ", "   "), "no padding": self.basic("xy:" + ALICE).rstrip("="), "utf-8 user": self.basic("J\u00f6rg:" + ALICE)}.items():
            with self.subTest(credentials=label):
                connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\nProxy-Authorization: {value}\r\n\r\n".encode()
                self.assertStatus(self.lab.ask(connect=connect, token=ALICE), 200)
                self.assertOwnError(self.lab.ask(connect=connect), 401, "vertex")  # it opens the door, and is no credential inside
        self.assertCleanCloud()

    def test_pages_are_for_everybody(self):
        for path in ("/", "/ca.pem", "/env.sh"):
            self.assertEqual(self.lab.page(path)[0], 200)
        with client.Plain(("127.0.0.1", self.lab.port)) as plain:  # gateway mode has its own credential
            plain.send(client.request("POST", "/vertex" + GENERATE, "x", BEARER, BODY))
            self.assertEqual(plain.reader.response().body, WANTED)


class ClientTls(LabCase):
    """Handshakes that are unusual and allowed."""

    LAB = {"accounts": 1, "claude": False}

    def context(self, **how):
        context = client.trusting(self.lab.ca)
        for name, value in how.items():
            setattr(context, name, value)
        return context

    def wrapped(self, context, host=VERTEX, session=None):
        tunnel = self.lab.tunnel(host, tls=False)
        return contextlib.closing(context.wrap_socket(tunnel.sock, server_hostname=host, session=session))

    def asked(self, sock, host=VERTEX, path=GENERATE):
        sock.sendall(client.request("POST", path, host, BEARER, BODY))
        response = client.Reader(sock).response()
        self.assertEqual((response.status, response.body), (200, WANTED))

    def test_ciphers_and_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for ciphers in (None, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"):
                with self.subTest(version=version.name, ciphers=ciphers):
                    context = self.context(minimum_version=version, maximum_version=version)
                    if ciphers:
                        context.set_ciphers(ciphers)
                    with self.wrapped(context) as sock:
                        self.asked(sock)

    def test_weak_ones_are_refused(self):
        for ciphers in ("NULL:@SECLEVEL=0", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0", "AECDH-AES128-SHA:@SECLEVEL=0", "AES128-SHA:@SECLEVEL=0"):
            context = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(ciphers)
            with self.subTest(ciphers=ciphers), self.assertRaises((ssl.SSLError, ConnectionError)):
                with self.wrapped(context):
                    pass

    def test_protocols_that_clients_offer(self):
        for offered, chosen in ((["http/1.0"], "http/1.0"), (["http/1.0", "http/1.1"], "http/1.1"), (["h3", "http/1.1", "http/1.0"], "http/1.1"), (["spdy/3", "http/1.1"], "http/1.1")):
            with self.subTest(offered=offered), self.lab.tunnel(alpn=offered) as tunnel:
                self.assertEqual(tunnel.tls.selected_alpn_protocol(), chosen)
                tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, BODY, version="HTTP/1.0" if chosen == "http/1.0" else "HTTP/1.1"))
                self.assertEqual(tunnel.reader.response().body, WANTED)
        for offered in (["spdy/3"], ["acme-tls/1"], ["http/1.2"]):
            with self.subTest(offered=offered), self.assertRaises((ssl.SSLError, ConnectionError)):
                self.lab.tunnel(alpn=offered).close()

    def test_curl_in_http_1_0(self):
        done = self.lab.curl("--http1.0", "-H", "x-goog-api-key: " + ALICE, "-d", BODY.decode(), f"https://{VERTEX}{GENERATE}")
        self.assertEqual((done.stdout, done.stderr), (WANTED, b""))

    def test_sessions_stay_with_their_host(self):
        """A ticket from one CONNECT serves the next to the same host, and nobody gets another host's identity by it."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context(minimum_version=version, maximum_version=version)
            with self.wrapped(context) as sock:
                self.asked(sock)
                session = sock.session
            for _ in range(2):
                with self.subTest(version=version.name), self.wrapped(context, session=session) as sock:
                    self.assertTrue(sock.session_reused)
                    self.asked(sock)
            with self.subTest(version=version.name, host=GEMINI), self.wrapped(context, GEMINI, session) as sock:
                self.assertFalse(sock.session_reused)
                self.assertEqual([v for _, v in sock.getpeercert()["subjectAltName"]], [GEMINI])
                self.asked(sock, GEMINI, GEMINI_PATH)
        self.assertCleanCloud()

    def test_a_hello_in_single_bytes(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.trusting(self.lab.ca).wrap_bio(incoming, outgoing, server_hostname=VERTEX)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        tunnel = self.lab.tunnel(tls=False)
        with contextlib.closing(tunnel):
            for byte in outgoing.read():
                tunnel.send(bytes([byte]))
            self.assertTrue(tunnel.reader.more())
            self.assertEqual(tunnel.reader.buf[0], 22)

    def test_a_client_certificate_is_not_asked_for(self):
        with self.wrapped(self.context(post_handshake_auth=True)) as sock:
            self.asked(sock)


class GatewayPaths(LabCase):
    """What follows the prefix is the provider's path, byte for byte, or refused."""

    LAB = {"accounts": 1, "claude": False}

    def ask(self, path, method="POST"):
        with client.Plain(("127.0.0.1", self.lab.port), timeout=AT_ONCE_S) as plain:
            plain.send(client.request(method, path, "proxy.test", BEARER, BODY))
            return plain.reader.response(method)

    def test_odd_paths_go_nowhere(self):
        for path in ("/vertex", "/vertex/", "/vertex//v1/x", "/vertex/../ca.key", "/vertex/%2e%2e/ca.pem", "/vertex/..%2fca.pem", "/vertex%2fv1/x", "/Vertex" + GENERATE, "/vertex\\v1", "/gemini/../vertex" + GENERATE, "/gemini/vertex" + GENERATE, "/gemini//" + GEMINI_PATH,
                     "/./vertex" + GENERATE, "//vertex" + GENERATE, "/vertex/" + GENERATE, "/v1/projects", "/v1/projects/", "/v1//projects/p/locations/us/x", "/V1/projects/p/locations/us/x", "/vertex" + GENERATE.replace("us-central1", "evil.test%2f"),
                     "/vertex" + GENERATE.replace("us-central1", "evil.test/x"), "/vertex" + GENERATE.replace("us-central1", "a.b"), "/vertex" + GENERATE.replace("us-central1", "evil@x"), "/vertex" + GENERATE.replace("us-central1", "x" * 300), "/vertex" + GENERATE.replace("us-central1", "-"),
                     "/vertex" + GENERATE.replace("us-central1", "us:443"), "/vertex" + GENERATE.replace("us-central1", "us%00"), "/vertex" + GENERATE.replace("us-central1", "")):
            with self.subTest(path=path[:60]):
                self.assertIn(self.ask(path).status, (400, 403, 404, 405))
        self.assertNothingForwarded()

    def test_hostile_heads(self):
        """A share of the table, under a provider's prefix."""
        some = [v for v in VECTORS if v.want in ("refused", "cut") and not v.name.startswith("host") and b" /v1/projects/" in v.data.split(b"\r\n")[0] and len(v.data) < 2000][::9]
        self.assertGreater(len(some), 50)
        for v in some:
            with self.subTest(vector=v.name), client.Plain(("127.0.0.1", self.lab.port), timeout=AT_ONCE_S) as plain:
                with contextlib.suppress(ConnectionError):
                    plain.send((v.data + FOLLOW).replace(b" /v1/projects/", b" /vertex/v1/projects/"))
                got = plain.reader.rest()
                self.assertTrue(plain.reader.eof)
                statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", got)
                self.assertTrue(len(statuses) <= 1 and all(s >= b"400" for s in statuses), got[:200])
                self.assertNotIn(ALICE.encode(), got)
        self.assertEqual([r["body"] for r in self.cloud.log() if r["host"] != OAUTH and (r["body_done"] or r["body_len"] == 0)], [])
        self.assertEqual(self.cloud.violations("malformed"), [])

    def test_the_query_names_no_host(self):
        for query in ("?x=/locations/europe-west4/y", "?/locations/global"):
            self.cloud.reset()
            self.ask("/vertex/v1/publishers/google/models/gemini-2.5-pro:generateContent" + query)
            self.assertEqual([r["host"] for r in self.cloud.log() if r["host"] != OAUTH], ["aiplatform.googleapis.com"])

    def test_the_rest_is_kept(self):
        for more in ("?a=%2F..%2f&b=/../", "?", "?a=b?c"):
            self.cloud.reset()
            self.assertStatus(self.ask("/vertex" + GENERATE + more), 200)
            target = [r for r in self.cloud.log(VERTEX)][-1]["target"]
            self.assertEqual(target.replace("acct-1-project", "client-project"), GENERATE + more)
        self.assertCleanCloud()


class PageRequests(LabCase):
    """Own pages asked in odd ways."""

    LAB = {"accounts": 1, "claude": False}

    def ask(self, line, fields="", body=b""):
        with client.Plain(("127.0.0.1", self.lab.port), timeout=AT_ONCE_S) as plain:
            plain.send(f"{line} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode() + body)
            response = plain.reader.response(line.split()[0])
            return response, response.one("connection") == "close" and plain.reader.at_end(AT_ONCE_S)

    def test_ranges_and_conditions(self):
        whole = self.ask("GET /ca.pem")[0]
        etag = whole.one("etag")
        for fields, status in (("Range: bytes=0-5\r\n", 200), ("Range: bytes=-1\r\nIf-Range: x\r\n", 200), (f"If-None-Match: {etag}\r\n", 304), (f'If-None-Match: "x", {etag}\r\n', 304), (f"If-None-Match: W/{etag}\r\n", 304), ("If-None-Match: *\r\n", 304),
                               ('If-None-Match: "x"\r\n', 200), ("If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n", 200), ("Accept: application/json\r\n", 200), ("Accept-Encoding: br, gzip\r\n", 200), ("Content-Length: 3\r\n", 200), ("Expect: 100-continue\r\nContent-Length: 3\r\n", 200)):
            with self.subTest(fields=fields):
                response, _ = self.ask("GET /ca.pem", fields, b"abc" if "Length" in fields else b"")
                self.assertStatus(response, status)
                self.assertEqual(response.body, whole.body if status == 200 else b"")
                self.assertEqual(response.one("etag"), etag)

    def test_a_condition_belongs_to_its_page(self):
        etag = self.ask("GET /ca.pem")[0].one("etag")
        for path in ("/env.sh", "/", "/proxy.pac", "/ca.crt"):
            with self.subTest(path=path):
                self.assertStatus(self.ask(f"GET {path}", f"If-None-Match: {etag}\r\n")[0], 200)
        text = self.ask("GET /", "User-Agent: curl/8\r\n")[0]
        page = self.ask("GET /", f"User-Agent: Mozilla/5.0\r\nIf-None-Match: {text.one('etag')}\r\n")[0]
        self.assertIn(b"<html", page.body)

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"):
            for path in ("/", "/ca.pem", "/me", "/status", "/nothing"):
                with self.subTest(method=method, path=path):
                    response, closed = self.ask(f"{method} {path}", "Content-Length: 2\r\n", b"{}")
                    self.assertEqual((response.status, response.one("allow"), closed), (405, "GET, HEAD", True))

    def test_paths(self):
        for path in ("/CA.PEM", "/ca.pem/", "//ca.pem", "/./ca.pem", "/x/../ca.pem", "/%63a.pem", "/ca.key", "/../data/run/ca.key", "/%2e%2e/ca.key", "/ca.pem%00", "/env.sh/x", "/readyz", "/debug"):
            with self.subTest(path=path):
                self.assertStatus(self.ask(f"GET {path}")[0], 404)
        for path in ("/ca.pem?x", "/?a=b&c", "/env.sh?off=1", "/env.sh?x&off"):
            with self.subTest(path=path):
                self.assertStatus(self.ask(f"GET {path}")[0], 200)

    def test_me(self):
        stranger = "gemini-nobody-0011223344"
        for fields, path, status in ((f"Authorization: Bearer {ALICE}\r\n", "/me", 200), (f"x-api-key: {ALICE}\r\nx-goog-api-key: {ALICE}\r\n", "/me", 200), ("", f"/me?key={ALICE}", 200), (f"Authorization: Bearer {ALICE}\r\nx-api-key: {stranger}\r\n", "/me", 400),
                                     (f"x-api-key: {ALICE}\r\n", f"/me?key={stranger}", 400), (f"x-api-key: {stranger}\r\n", "/me", 401), ("", "/me", 401), (f"Cookie: {ALICE}\r\n", "/me", 401)):
            with self.subTest(fields=fields, path=path):
                response, _ = self.ask(f"GET {path}", fields)
                self.assertStatus(response, status)
                self.assertNotIn(ALICE.encode(), response.raw)
                if status == 200:
                    self.assertEqual(response.one("cache-control"), "no-store")
        self.lab.scan_secrets()
