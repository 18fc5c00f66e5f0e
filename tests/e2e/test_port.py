"""What comes to the CONNECT port from who does not mean well: authorities, heads, and what is sent behind them."""
import contextlib
import re
import socket
import ssl

import client
from harness import ALICE, BODY, CLAUDE, GEMINI, GENERATE, VERTEX, Lab, LabCase
from servers import Echo
from vectors import AUTH, BASE, CONNECTS, HOST, SIZED

OF_BYTES = True

FOLLOW = b"GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n"
AT_ONCE_S = 4


class Case(LabCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.close)
        cls.lab = Lab(accounts=1, claude=False, connect_to=[f"echo.test:443:127.0.0.1:{cls.echo.port}"])

    def open(self):
        sock = socket.create_connection(("127.0.0.1", self.lab.port), timeout=AT_ONCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return contextlib.closing(sock)

    def say(self, *pieces):
        """(statuses, whether the proxy closed, bytes) for PIECES, in clear."""
        with self.open() as sock:
            reader = client.Reader(sock)
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    sock.sendall(piece)
            got = reader.rest()
            return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)], reader.eof, got

    def nothing_happened(self):
        self.assertNothingForwarded()
        self.assertEqual(self.echo.accepted, 0)

    def setUp(self):
        super().setUp()
        self.echo.accepted = 0


class Heads(Case):
    def test_what_is_refused(self):
        for v in [v for v in CONNECTS if v.want == "refused"]:
            with self.subTest(vector=v.name):
                statuses, ended, got = self.say(v.data + FOLLOW)
                self.assertTrue(ended, got[:200])
                self.assertLessEqual(len(statuses), 1, got)
                self.assertTrue(all(400 <= s <= 505 for s in statuses), statuses)
                if v.status:
                    self.assertEqual(statuses, [v.status])
                self.assertNotIn(b"CERTIFICATE", got)
        self.nothing_happened()
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_what_is_accepted(self):
        for v in [v for v in CONNECTS if v.want == "accepted"]:
            with self.subTest(vector=v.name):
                self.assertStatus(self.lab.ask(connect=v.data, token=ALICE), 200)
                connect = v.data.replace(VERTEX.encode(), b"echo.test").replace(VERTEX.upper().encode(), b"ECHO.TEST")
                with self.lab.tunnel("echo.test", connect=connect + b"early", tls=False) as tunnel:
                    self.assertEqual((tunnel.connect_status, tunnel.reader.exactly(5)), (200, b"early"))
        self.assertCleanCloud()

    def test_the_head_byte_by_byte(self):
        for name in ("authority port plus", "line lower", "body length"):
            v = next(v for v in CONNECTS if v.name == name)
            statuses, ended, _ = self.say(*[v.data[i:i + 1] for i in range(len(v.data))])
            self.assertTrue(ended)
            self.assertEqual(statuses, [400])
        self.nothing_happened()

    def test_nothing_behind_a_refused_connect_is_acted_on(self):
        good = b"CONNECT echo.test:443 HTTP/1.1\r\nHost: echo.test:443\r\n\r\n"
        for label, first in (("policy", b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n"), ("port", b"CONNECT echo.test:25 HTTP/1.1\r\n\r\n"), ("malformed", b"CONNECT echo.test HTTP/1.1\r\n\r\n"),
                             ("host", b"CONNECT echo.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n"), ("body", b"CONNECT echo.test:443 HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"), ("name", b"CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n")):
            with self.subTest(first=label):
                statuses, ended, got = self.say(first + good + FOLLOW + b"x")
                self.assertEqual((len(statuses), ended), (1, True), got)
        self.assertEqual(self.echo.accepted, 0)


class Inside(Case):
    """What stands inside a tunnel to a swap host."""

    def connected(self, sock, connect=None):
        sock.sendall(connect or f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode())
        reader = client.Reader(sock)
        self.assertEqual(reader.head()[1], 200)
        return reader

    def test_what_is_not_tls_is_closed_at_once(self):
        for label, data in (("http", BASE + SIZED), ("connect", f"CONNECT {GEMINI}:443 HTTP/1.1\r\n\r\n".encode()), ("garbage", bytes(range(256))), ("nul", b"\0" * 600), ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n"), ("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                            ("sslv2", b"\x80\x2e\x01\x00\x02" + b"\0" * 60), ("record of version 9", b"\x16\x09\x09\x00\x05hello"), ("empty record", b"\x16\x03\x01\x00\x00" * 40), ("alert", b"\x15\x03\x01\x00\x02\x02\x28"),
                            ("application data", b"\x17\x03\x03\x00\x10" + b"x" * 16), ("huge record", b"\x16\x03\x01\xff\xff" + b"x" * 70000), ("hello cut short", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00" + b"\x16\x03\x01\x00\x01\x00")):
            with self.subTest(data=label), self.open() as sock:
                reader = self.connected(sock)
                with contextlib.suppress(ConnectionError):
                    sock.sendall(data)
                got = reader.rest()
                self.assertTrue(reader.eof, got[:80])
                self.assertNotIn(b"HTTP/1.1", got)
        self.nothing_happened()
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def hello(self, sni):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client.trusting(self.lab.ca)
        context.check_hostname = False
        tls = context.wrap_bio(incoming, outgoing, server_hostname=sni)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return tls, incoming, outgoing

    def talk(self, connect, sni, data):
        """One segment with CONNECT and ClientHello, then DATA through the TLS it makes.  None: no TLS."""
        tls, incoming, outgoing = self.hello(sni)
        with self.open() as sock:
            reader = client.Reader(sock)
            sock.sendall(connect + outgoing.read())
            status = reader.head()[1]
            if status != 200:
                return status
            incoming.write(reader.buf)
            plain = b""
            step = tls.do_handshake
            while True:
                try:
                    if step == tls.do_handshake:
                        step()
                        tls.write(data)
                        step = lambda: tls.read(65536)  # noqa: E731
                    else:
                        piece = step()
                        if not piece:
                            break
                        plain += piece
                    if outgoing.pending:
                        sock.sendall(outgoing.read())
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        sock.sendall(outgoing.read())
                    more = b""
                    with contextlib.suppress(ConnectionError):
                        more = sock.recv(65536)
                    if not more:
                        break
                    incoming.write(more)
                except ssl.SSLError:
                    break
            found = re.match(rb"HTTP/1\.1 (\d{3})", plain)
            return int(found[1]) if found else None

    def test_client_hello_in_the_segment_of_the_connect(self):
        request = (BASE + SIZED).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode()
        for sni in (VERTEX, VERTEX.upper(), None):
            with self.subTest(sni=sni):
                self.assertEqual(self.talk(connect, sni, request), 200)
        self.assertCleanCloud()

    def test_a_foreign_sni_gets_nowhere(self):
        request = (BASE + SIZED).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode()
        for sni in (GEMINI, CLAUDE, "evil.test", "localhost", "x" + VERTEX, VERTEX + ".evil.test", "googleapis.com", "a" * 60 + ".test", "europe-west4-aiplatform.googleapis.com"):
            for host in (VERTEX, sni):
                with self.subTest(sni=sni, host=host):
                    self.assertIn(self.talk(connect, sni, request.replace(HOST, f"Host: {host}\r\n".encode())), (421, None))
        self.nothing_happened()

    def test_connect_and_other_hosts_inside_tls(self):
        for target in (f"{GEMINI}:443", "echo.test:443", "127.0.0.1:443", f"{VERTEX}:443"):
            for host in (VERTEX, target):
                with self.subTest(target=target, host=host), self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
                    tunnel.send(f"CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n".encode() + AUTH + b"\r\n" + BASE + SIZED)
                    response = tunnel.reader.response()
                    self.assertIn(response.status, (400, 405, 421))
                    self.assertTrue(tunnel.reader.at_end(AT_ONCE_S))
        self.nothing_happened()

    def test_a_second_connect_in_a_tunnel_is_bytes(self):
        connect = b"CONNECT echo.test:443 HTTP/1.1\r\nHost: echo.test:443\r\n\r\n"
        with self.lab.tunnel("echo.test", connect=connect * 2, tls=False) as tunnel:
            self.assertEqual(tunnel.reader.exactly(len(connect)), connect)
        self.assertEqual(self.echo.accepted, 1)

    def test_a_request_before_connect_on_one_connection(self):
        with self.open() as sock:
            reader = client.Reader(sock)
            sock.sendall(FOLLOW + b"CONNECT echo.test:443 HTTP/1.1\r\n\r\nabc")
            self.assertEqual(reader.response("GET").status, 200)
            self.assertEqual(reader.head()[1], 200)
            self.assertEqual(reader.exactly(3), b"abc")

    def test_a_client_that_leaves_after_connect(self):
        for _ in range(10):
            with self.open() as sock:
                sock.sendall(f"CONNECT {VERTEX}:443 HTTP/1.1\r\n\r\n".encode())
            with self.open() as sock:
                sock.sendall(b"CONNECT echo.test:443 HTTP/1.1\r\n\r\n")
        self.assertStatus(self.lab.ask(token=ALICE), 200)


class Pages(Case):
    """The port's own pages take no other host's requests, and answer nothing that is malformed."""

    def test_a_placeholder_alone_opens_nothing_here(self):
        for line in (f"POST {GENERATE} HTTP/1.1", f"POST https://{VERTEX}{GENERATE} HTTP/1.1", f"POST http://{VERTEX}{GENERATE} HTTP/1.1", f"POST http://{VERTEX}:443{GENERATE} HTTP/1.1", f"POST https://{VERTEX}:443{GENERATE} HTTP/1.1"):
            if "//" not in line:
                continue  # origin-form with a provider's path is gateway mode
            with self.subTest(line=line):
                statuses, _, _ = self.say(line.encode() + b"\r\n" + HOST + AUTH + b"Connection: close\r\n" + SIZED)
                self.assertEqual(len(statuses), 1)
                self.assertIn(statuses[0], (400, 403, 404, 421))
        self.nothing_happened()

    def test_gateway_mode_takes_the_same_heads_only(self):
        line = f"POST /vertex{GENERATE} HTTP/1.1\r\n".encode()
        for label, data in (("cl and te", line + HOST + AUTH + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), ("two hosts", line + HOST + HOST + AUTH + SIZED), ("no host", line + AUTH + SIZED), ("fold", line + HOST + b" x\r\n" + AUTH + SIZED),
                            ("bare lf", line.replace(b"\r\n", b"\n") + HOST + AUTH + SIZED), ("odd host", line + b"Host: a b\r\n" + AUTH + SIZED), ("trace", line.replace(b"POST", b"TRACE") + HOST + AUTH + b"\r\n")):
            with self.subTest(head=label):
                statuses, ended, got = self.say(data + FOLLOW)
                self.assertTrue(ended, got[:200])
                self.assertEqual(len(statuses), 1)
                self.assertIn(statuses[0], (400, 405, 501))
        self.nothing_happened()
        statuses, _, _ = self.say(line + HOST + AUTH + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        self.assertEqual(statuses, [200])
