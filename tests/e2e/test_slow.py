"""Clients that are slow, never end, never read, or come in floods: each has a bound, and others are served."""
import contextlib
import ctypes
import ctypes.util
import itertools
import json
import socket
import ssl
import threading
import time
import unittest

import answers
import client
from harness import ALICE, BODY, GENERATE, VERTEX, Lab, LabCase, built_with, slow, until

BEARER = [("authorization", "Bearer " + ALICE)]
WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
CONNECT = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode()
HEAD = f"POST {GENERATE} HTTP/1.1\r\nHost: {VERTEX}\r\nAuthorization: Bearer {ALICE}\r\n".encode()
HEADER_S, IDLE_S, READ_S = 2, 2, 3
KIB = 1024


def hello():
    """The bytes of a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=VERTEX).do_handshake()
    return outgoing.read()


class SlowCase(LabCase):
    LAB = {"accounts": 1, "claude": False, "quarantine_mb": 4, "conf": {
        "run": {"workers": 1}, "limits": {"header_timeout": HEADER_S, "idle_timeout": IDLE_S}, "upstream": {"read_timeout": READ_S},
        "retry": {"replay_bytes": 16384}}}

    def setUp(self):
        super().setUp()
        self.assertServed()

    def dial(self, source="127.0.0.1", timeout=12):
        return socket.create_connection(("127.0.0.1", self.lab.port), timeout=timeout, source_address=(source, 0))

    def assertServed(self, within=5.0, **how):
        begin = time.monotonic()
        response = self.lab.ask(token=ALICE, **how)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, WANTED)
        self.assertLess(time.monotonic() - begin, within)


def drip_and_read(sock, drip, gap, patience=12):
    """Sends DRIP byte by byte and reads all the while, in one thread: two at once spoil a TLS object of Python's, which then
    takes what came for the end.  Returns (what came, has the peer ended)."""
    got, due, end = b"", time.monotonic(), time.monotonic() + patience
    while (now := time.monotonic()) < end:
        if drip and now >= due:
            try:
                sock.sendall(drip[:1])
                drip = drip[1:]
            except OSError:
                drip = b""  # it may have spoken before it ended
            due = now + gap
        sock.settimeout(max(0.01, (min(due, end) if drip else end) - time.monotonic()))
        try:
            data = sock.recv(65536)
        except TimeoutError:
            continue
        except OSError:  # a reset, or the end without close_notify
            data = b""
        if not data:
            return got, True
        got += data
    return got, False


class Slow(SlowCase):
    """header_timeout counts from the first byte due to the last, idle_timeout from one byte to the next."""

    def outer(self, data=b"", drip=b"", gap=0.12):
        def run():
            sock = self.dial()
            sock.sendall(data)
            return sock, sock, drip, gap
        return run

    def inner(self, data=b"", drip=b"", gap=0.12, first=False):
        def run():
            tunnel = self.lab.tunnel(timeout=12)
            if first:
                self.assertStatus(tunnel.ask("POST", GENERATE, BODY, BEARER), 200)
            if data:
                tunnel.send(data)
            return tunnel, tunnel.sock, drip, gap
        return run

    def cases(self):
        """{name: (what a client does, seconds after which its connection must end)}"""
        first_flight = hello()
        length = HEAD + b"Content-Length: 100\r\n\r\n"
        chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        endless = b"X: " + b"y" * 200
        return {
            "nothing": (self.outer(), HEADER_S), "half a connect": (self.outer(CONNECT[:30]), HEADER_S),
            "connect in drips": (self.outer(b"", CONNECT[:-2] + endless), HEADER_S),
            "connect, and no hello": (self.outer(CONNECT), HEADER_S), "half a hello": (self.outer(CONNECT + first_flight[:80]), HEADER_S),
            "a hello in drips": (self.outer(CONNECT, first_flight), HEADER_S),
            "a whole hello, and no more": (self.outer(CONNECT + first_flight), HEADER_S),
            "a page in drips": (self.outer(b"", b"GET / HTTP/1.1\r\nHost: x\r\n" + endless), HEADER_S),
            "a clear request in drips": (self.outer(b"", b"GET http://tunnel.test/ HTTP/1.1\r\n" + endless), HEADER_S),
            "empty lines": (self.outer(b"\r\n"), HEADER_S),
            "a tunnel, and no request": (self.inner(), HEADER_S), "half a head": (self.inner(HEAD), HEADER_S),
            "a head in drips": (self.inner(b"", HEAD + endless), HEADER_S),
            "a head without its last byte": (self.inner(HEAD + b"\r"), HEADER_S),
            "a body that stalls": (self.inner(length + b"x" * 10), IDLE_S), "no body at all": (self.inner(length), IDLE_S),
            "a chunk that stalls": (self.inner(chunked + b"5\r\nab"), IDLE_S), "a size that stalls": (self.inner(chunked + b"5"), IDLE_S),
            "no last chunk": (self.inner(chunked + b"2\r\n{}\r\n"), IDLE_S),
            "trailers that stall": (self.inner(chunked + b"2\r\n{}\r\n0\r\nX-A: "), IDLE_S),
            "idle": (self.inner(first=True), IDLE_S), "second head in drips": (self.inner(HEAD[:1], HEAD[1:] + endless, first=True), HEADER_S),
            "second head stalls": (self.inner(HEAD, first=True), HEADER_S),
        }

    def test_every_wait_has_an_end(self):
        results = {}

        def one(name, begin_with):
            try:
                begin = time.monotonic()
                owner, sock, drip, gap = begin_with()
                started = time.monotonic()
                with contextlib.closing(owner):
                    got, ended = drip_and_read(sock, drip, gap)
                    results[name] = (ended, time.monotonic() - begin, started - begin, got)
            except Exception as error:  # told in the main thread
                results[name] = error
        cases = self.cases()
        threads = [threading.Thread(target=one, args=(name, case[0]), daemon=True) for name, case in cases.items()]
        for thread in threads:
            thread.start()
        self.assertServed()
        for thread in threads:
            thread.join(20)
        for name, (_, limit) in cases.items():
            with self.subTest(client=name):
                result = results.get(name)
                self.assertIsInstance(result, tuple, result)
                ended, seconds, setup, got = result
                self.assertTrue(ended, "still open")
                self.assertGreaterEqual(seconds, limit - 0.6)
                self.assertLessEqual(seconds - setup, limit + 3.5)
                self.assertNotIn(b" 200 ", got.replace(b"HTTP/1.1 200 Connection Established", b""))
        self.assertServed()
        self.assertEqual([r for r in self.cloud.log(VERTEX) if r["body_done"] and r["body_len"] != len(BODY)], [])

    def test_a_body_in_drips_is_no_silence(self):
        with self.lab.tunnel(timeout=12) as tunnel:
            tunnel.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY))
            for at in range(0, len(BODY), 5):
                tunnel.send(BODY[at:at + 5])
                time.sleep(0.6)
            self.assertEqual(tunnel.reader.response().body, WANTED)

    def test_the_rest_of_a_body_that_nobody_wants_has_an_end(self):
        for data in (b"GET /setup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx", b"GET /setup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5"):
            with contextlib.closing(self.dial()) as sock:
                sock.sendall(data)
                begin = time.monotonic()
                reader = client.Reader(sock)
                reader.rest()
                self.assertTrue(reader.eof)
                self.assertLess(time.monotonic() - begin, IDLE_S + 3.5)

    def test_a_client_that_never_reads_is_let_go(self):
        body = json.dumps({"fake": {"bytes": 50 << 20}}).encode()
        with self.lab.tunnel(timeout=20) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, body))
            begin = time.monotonic()
            row = self.cloud.wait(lambda c: [r for r in c.log(VERTEX) if r["body_len"] == len(body) and r["aborted"]], 12)
            self.assertTrue(row, "the provider is still held")
            self.assertTrue(READ_S - 1 <= time.monotonic() - begin <= READ_S + 5)
            with self.assertRaises(client.Broken):
                tunnel.reader.response()

    def test_garbage_instead_of_tls_ends_at_once(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 400, b"\x80\x2e\x01\x03\x01", b"\x15\x03\x03\x00\x02\x02\x28", b"\xff" * 20000):
            with self.subTest(data=data[:8]), contextlib.closing(self.dial()) as sock:
                begin = time.monotonic()
                sock.sendall(CONNECT + data)
                reader = client.Reader(sock)
                reader.rest()
                self.assertTrue(reader.eof)
                self.assertLess(time.monotonic() - begin, HEADER_S + 3)


class Unread(SlowCase):
    """What a peer does not take stays with the other peer: a quarter of a megabyte in each direction, no more."""

    LAB = {**SlowCase.LAB, "conf": {**SlowCase.LAB["conf"], "limits": {"header_timeout": 30, "idle_timeout": 30}, "upstream": {"read_timeout": 30}}}
    FRESH = True  # what a test before had and freed would hide what this one needs
    MANY = 30

    @classmethod
    def setUpClass(cls):
        if built_with("libtsan"):
            raise unittest.SkipTest("most of the resident memory is ThreadSanitizer's own")
        cls.target = socket.create_server(("127.0.0.1", 0))
        cls.addClassCleanup(cls.target.close)
        cls.lab = Lab(connect_to=[f"flood.test:443:127.0.0.1:{cls.target.getsockname()[1]}"], start=False, **cls.LAB)
        cls.lab.save()

    BOUND = (256 + 64) * KIB  # of the one direction that is full, and the connection itself

    def assertBounded(self, open_one, least=30 * KIB, look=lambda: None):
        """LOOK: called while all of them wait."""
        with open(f"/proc/{self.lab.daemon.pid}/maps", encoding="ascii") as maps:
            dear = 2 if "libasan" in maps.read() else 1  # it rounds a chunk of 16 KiB and its header up to 32
        growth = self.growth(open_one, look)
        self.assertLess(growth, self.BOUND * dear)
        self.assertGreater(growth, least, "nothing waits: the test proves nothing")

    def growth(self, open_one, look):
        self.assertServed()
        base = peak = self.lab.rss()
        held = []
        try:
            for _ in range(self.MANY):
                held.append(open_one())
            end = time.monotonic() + 2
            while time.monotonic() < end:
                peak = max(peak, self.lab.rss())
                time.sleep(0.05)
            look()
            self.assertServed()
        finally:
            for tunnel in held:
                tunnel.close()
        return (peak - base) / self.MANY

    def test_answers(self):
        body = json.dumps({"fake": {"bytes": 20 << 20}}).encode()

        def open_one():
            tunnel = self.lab.tunnel(timeout=20)
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, body))
            return tunnel
        self.assertBounded(open_one)

    def test_uploads(self):
        self.cloud.fail("stall-on-head", host=VERTEX, path="*stuck*", times=-1)

        def open_one():
            tunnel = self.lab.tunnel(timeout=0.15)
            with contextlib.suppress(TimeoutError, OSError):
                tunnel.send(client.request("POST", GENERATE.replace("2.5-pro", "stuck"), VERTEX, BEARER + [("content-length", "90000000")]))
                for _ in range(300):
                    tunnel.send(b"z" * 65536)
            return tunnel
        self.assertBounded(open_one)

    def test_tunnels(self):
        sent, last = [], []  # of each tunnel: bytes, and when

        def flood(conn, mine):
            with conn, contextlib.suppress(OSError):
                while True:
                    sent[mine] += conn.send(b"t" * 65536)
                    last[mine] = time.monotonic()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    conn = self.target.accept()[0]
                    sent.append(0)
                    last.append(0)
                    threading.Thread(target=flood, args=(conn, len(sent) - 1), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()

        def stand_still():
            self.assertEqual(len(sent), self.MANY)
            self.assertGreater(min(sent), 65536)
            self.assertLess(max(last), time.monotonic() - 1)
        # What waits in the proxy itself is little: a flood that stands still proves more.
        self.assertBounded(lambda: self.lab.tunnel("flood.test", tls=False), least=-1, look=stand_still)

    def test_heads_in_the_making(self):
        def open_one():
            tunnel = self.lab.tunnel()
            tunnel.send(HEAD + b"X-A: " + b"y" * 60000)
            return tunnel
        self.assertBounded(open_one)


class Floods(SlowCase):
    LAB = {**SlowCase.LAB, "conf": {**SlowCase.LAB["conf"], "limits": {"header_timeout": HEADER_S, "idle_timeout": IDLE_S,
                                                                       "connections_per_client": 50, "connections": 120}}}

    def flood(self, data, inside):
        """Sends DATA, a generator, until the proxy has had enough.  Returns (bytes taken, what came back, ended)."""
        tunnel = self.lab.tunnel(timeout=6) if inside else None
        sock = tunnel.sock if inside else self.dial(timeout=6)
        taken = 0
        with contextlib.closing(sock):
            with contextlib.suppress(OSError):
                for piece in data:
                    sock.sendall(piece)
                    taken += len(piece)
            reader = client.Reader(sock)
            return taken, reader.rest(), reader.eof

    def test_heads_without_end(self):
        def lines(first, one):
            yield first
            for _ in range((1 << 20) // len(one)):
                yield one
        for name, first, one in (("fields", b"", b"X-A: " + b"y" * 2000 + b"\r\n"), ("one value", b"X-A: ", b"y" * 4096), ("tiny fields", b"", b"a:\r\n" * 500),
                                 ("names", b"", b"n" * 4096), ("cookies", b"", b"Cookie: a=b\r\n" * 100)):
            for inside, start in ((True, HEAD), (False, CONNECT[:-2])):
                with self.subTest(flood=name, inside=inside):
                    self.endless(lines(start + first, one), inside)
        with self.subTest(flood="target"):
            self.endless(lines(b"GET /" + b"a" * 100, b"b" * 4096), False)
        with self.subTest(flood="for ever"):
            self.endless((HEAD if n == 0 else b"X-A: b\r\n" * 400 for n in itertools.count()), True)
        self.assertServed()

    def endless(self, data, inside):
        """It is refused, read on for a moment so that the refusal arrives, and cut; nothing of it is kept."""
        base, begin = self.lab.rss(), time.monotonic()
        _, got, ended = self.flood(data, inside)
        self.assertTrue(ended)
        self.assertLess(time.monotonic() - begin, 6)
        self.assertNotIn(b" 200 ", got)
        self.assertLess(self.lab.rss() - base, 8 << 20)

    def test_pipelined_requests(self):
        """A thousand questions in one breath: answered in order as far as they are, and others do not wait for them."""
        one = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        base = self.lab.rss()
        with self.lab.tunnel(timeout=0.5) as tunnel:
            self.quietly(tunnel.send, one * 1000)  # as much as is taken while nothing is read
            tunnel.sock.settimeout(8)
            self.assertServed()
            count = 0
            with contextlib.suppress(client.Broken, OSError):
                while count < 1000:
                    self.assertEqual(tunnel.reader.response().body, WANTED)
                    count += 1
            self.assertGreaterEqual(count, 1)
        self.assertLess(self.lab.rss() - base, 8 << 20)
        self.assertServed()

    def test_pipelined_pages_that_nobody_reads(self):
        base = self.lab.rss()
        begin = time.monotonic()
        self.flood((b"GET /setup HTTP/1.1\r\nHost: x\r\n\r\n" * 100 for _ in itertools.count()), False)
        self.assertLess(time.monotonic() - begin, 8)
        self.assertLess(self.lab.rss() - base, 8 << 20)
        self.assertServed()

    @staticmethod
    def quietly(what, *args):
        with contextlib.suppress(OSError):
            what(*args)

    def hold(self, count, source):
        """COUNT connections from SOURCE, each with CONNECT; (sockets that were served, others)."""
        served, refused = [], 0
        for _ in range(count):
            try:
                sock = self.dial(source, timeout=3)
                sock.sendall(CONNECT)
                if client.Reader(sock).head()[1] == 200:
                    served.append(sock)
                    continue
            except (client.Broken, OSError):
                pass
            sock.close()
            refused += 1
        return served, refused

    def quiet_again(self):
        def served():
            with contextlib.suppress(client.Broken, OSError):
                return self.lab.ask(token=ALICE).status == 200
            return False
        self.assertTrue(until(served, 6))

    def test_one_address_cannot_take_all(self):
        served, refused = self.hold(70, "127.0.0.1")
        try:
            self.assertLessEqual(len(served), 50)
            self.assertGreaterEqual(len(served), 40)
            self.assertGreaterEqual(refused, 20)
            other, none = self.hold(3, "127.0.0.9")
            self.assertEqual((len(other), none), (3, 0), "another address waits for the flood")
            for sock in other:
                sock.close()
        finally:
            for sock in served:
                sock.close()
        self.quiet_again()

    def test_all_addresses_have_a_bound_together(self):
        held = []
        try:
            total = 0
            for last in range(20, 26):
                served, _ = self.hold(30, f"127.0.0.{last}")
                held += served
                total += len(served)
            self.assertLessEqual(total, 120)
            self.assertGreaterEqual(total, 90)
        finally:
            for sock in held:
                sock.close()
        self.quiet_again()

    def test_connections_that_end_at_once(self):
        for _ in range(300):
            self.dial().close()
        self.quiet_again()
        self.assertLess(self.lab.metrics().get("credswap_connections_open", 0), 20)


class LibSsl:
    """What Python's ssl does not offer: key updates and renegotiation, by the library itself."""

    def __init__(self, sock, version):
        lib = self.lib = ctypes.CDLL(ctypes.util.find_library("ssl"))
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(lib, name).restype = ctypes.c_void_p
        method = ctypes.c_void_p(lib.TLS_client_method())
        self.ctx = ctypes.c_void_p(lib.SSL_CTX_new(method))
        lib.SSL_CTX_ctrl(self.ctx, 124, ctypes.c_long(version), None)  # SSL_CTX_set_max_proto_version
        self.ssl = ctypes.c_void_p(lib.SSL_new(self.ctx))
        lib.SSL_set_fd(self.ssl, sock.fileno())
        lib.SSL_ctrl(self.ssl, 55, ctypes.c_long(0), ctypes.c_char_p(VERTEX.encode()))  # SSL_set_tlsext_host_name
        if lib.SSL_connect(self.ssl) != 1:
            raise ConnectionError("handshake")

    def key_update(self):
        return self.lib.SSL_key_update(self.ssl, 1) == 1 and self.lib.SSL_do_handshake(self.ssl) == 1

    def renegotiate(self):
        return self.lib.SSL_renegotiate(self.ssl) == 1 and self.lib.SSL_do_handshake(self.ssl) == 1

    def close(self):
        self.lib.SSL_free(self.ssl)
        self.lib.SSL_CTX_free(self.ctx)


class TlsFloods(SlowCase):
    def connected(self, version):
        sock = self.dial(timeout=None)
        sock.settimeout(None)
        sock.sendall(CONNECT)
        self.assertEqual(client.Reader(sock).head()[1], 200)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, b"\x03" + b"\0" * 15)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, b"\x03" + b"\0" * 15)
        return sock, LibSsl(sock, version)

    def test_key_updates_that_nobody_reads_the_answers_of(self):
        base = self.lab.rss()
        sock, tls = self.connected(0x0304)
        with contextlib.closing(sock), contextlib.closing(tls):
            count = 0
            begin = time.monotonic()
            while count < 100000 and time.monotonic() - begin < 4 and tls.key_update():
                count += 1
            self.assertGreater(count, 10, "no key update went out")
            self.assertServed()
            self.assertLess(self.lab.rss() - base, 8 << 20)
            # the flood is no request: the head is still due
            self.assertTrue(until(lambda: self.closed(sock), HEADER_S + 5), "a flood keeps the connection")
        self.assertServed()

    @staticmethod
    def closed(sock):
        try:
            data = sock.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not data

    def test_renegotiation_is_not_done(self):
        sock, tls = self.connected(0x0303)
        with contextlib.closing(sock), contextlib.closing(tls):
            self.assertFalse(tls.renegotiate())
        self.assertServed()


slow(Slow.test_a_body_in_drips_is_no_silence)
