"""Large bodies, slow readers, single events, and clients that go away."""
import contextlib
import hashlib
import json
import socket
import threading
import time

import answers
import client
from harness import ALICE, GENERATE, STREAM, VERTEX, LabCase, slow, until

BEARER = [("authorization", "Bearer " + ALICE)]
MEGABYTE = 1 << 20
BOUND = 64 * MEGABYTE


class Peak:
    """The largest resident size of the daemon while the block runs, over the size before it."""

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        self.base = self.peak = self.lab.rss()
        self.running = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while self.running:
            self.peak = max(self.peak, self.lab.rss())
            time.sleep(0.02)

    def __exit__(self, *_exc):
        self.running = False
        self.thread.join()

    @property
    def growth(self):
        return self.peak - self.base


def drain(tunnel, method="POST"):
    """Reads an answer of known length without keeping it: (status, bytes, sha256)."""
    head, status, headers = tunnel.reader.head()
    left = int(dict(headers)["content-length"])
    digest, total = hashlib.sha256(), 0
    reader = tunnel.reader
    while total < left:
        if not reader.buf and not reader.more():
            raise client.Broken("end", head)
        piece, reader.buf = reader.buf[:left - total], reader.buf[left - total:]
        digest.update(piece)
        total += len(piece)
    return status, total, digest.hexdigest()


def expected_digest(body):
    size, _, _ = answers.options(json.loads(body))
    length, pieces = answers.gemini_plain("gemini-2.5-pro", body, size)
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return length, digest.hexdigest()


class Bulk(LabCase):
    LAB = {"accounts": 1, "claude": False, "quarantine_mb": 4}

    def setUp(self):
        super().setUp()
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.cloud.reset()

    @slow
    def test_200_megabytes_down(self):
        body = json.dumps({"fake": {"bytes": 200 * MEGABYTE}}).encode()
        with Peak(self.lab) as peak, self.lab.tunnel(timeout=120) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, body))
            status, total, digest = drain(tunnel)
        self.assertEqual((status, total, digest), (200, *expected_digest(body)))
        self.assertLess(peak.growth, BOUND)

    @slow
    def test_200_megabytes_up_by_length_and_chunked(self):
        block = bytes(range(256)) * 4096
        begin, end = b'{"pad":"', b'"}'
        filler = block.translate(bytes(97 + i % 26 for i in range(256)))
        for coding in ("length", "chunked"):
            with self.subTest(coding=coding):
                self.cloud.reset()
                digest = hashlib.sha256()
                pieces = [begin] + [filler] * 200 + [end]
                total = sum(map(len, pieces))
                framing = ("content-length", str(total)) if coding == "length" else ("transfer-encoding", "chunked")
                with Peak(self.lab) as peak, self.lab.tunnel(timeout=120) as tunnel:
                    tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER + [framing]))
                    for piece in pieces:
                        digest.update(piece)
                        tunnel.send(piece if coding == "length" else b"%x\r\n%s\r\n" % (len(piece), piece))
                    if coding == "chunked":
                        tunnel.send(b"0\r\n\r\n")
                    self.assertStatus(tunnel.reader.response(), 200)
                row = self.cloud.log(VERTEX)[-1]
                self.assertEqual((row["body_len"], row["body_sha256"]), (total, digest.hexdigest()))
                self.assertLess(peak.growth, BOUND)
        self.assertCleanCloud()

    def test_twenty_megabytes_through_curl_with_expect(self):
        path = self.lab.path("big.json")
        with open(path, "wb") as out:
            out.write(b'{"pad":"' + b"y" * 20 * MEGABYTE + b'"}')
        done = self.lab.curl("--http1.1", "-o", self.lab.path("answer"), "-w", "%{http_code}", "-H", "Authorization: Bearer " + ALICE,
                             "--data-binary", "@" + path, f"https://{VERTEX}{GENERATE}", timeout=60)
        self.assertEqual(done.stdout, b"200", done.stderr)
        self.assertEqual(self.cloud.log(VERTEX)[-1]["body_len"], 20 * MEGABYTE + 10)

    def test_events_arrive_one_by_one(self):
        body = json.dumps({"fake": {"events": 10, "gap_ms": 100, "bytes": 20}}).encode()
        for path in (STREAM, STREAM.replace("?alt=sse", "")):
            with self.subTest(path=path), self.lab.tunnel() as tunnel:
                times = []
                tunnel.ask("POST", path, body, BEARER, on_piece=lambda _p: times.append(time.monotonic()))
                gaps = [b - a for a, b in zip(times, times[1:])]
                self.assertGreaterEqual(len([g for g in gaps if g > 0.06]), 8, gaps)
                self.assertLess(times[-1] - times[0], 2.5)

    def test_a_slow_reader_holds_the_provider_back(self):
        body = json.dumps({"fake": {"bytes": 150 * MEGABYTE}}).encode()
        with Peak(self.lab) as peak, self.lab.tunnel(timeout=60) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, body))
            time.sleep(3)
            sent = self.cloud.log(VERTEX)[-1]["sent"]
            time.sleep(1)
            self.assertEqual(self.cloud.log(VERTEX)[-1]["sent"], sent, "it still flows")
        self.assertLess(sent, 40 * MEGABYTE)
        self.assertLess(peak.growth, BOUND)

    def test_a_slow_provider_holds_an_upload_back(self):
        self.cloud.fail("stall-on-head", host=VERTEX)
        sent = 0
        with Peak(self.lab) as peak, self.lab.tunnel(timeout=3) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER + [("content-length", str(500 * MEGABYTE))]))
            with contextlib.suppress(OSError):
                while sent < 200 * MEGABYTE:
                    tunnel.send(b"z" * 65536)
                    sent += 65536
        self.assertLess(sent, 60 * MEGABYTE)
        self.assertLess(peak.growth, BOUND)

    def test_many_slow_streams_are_cheap(self):
        body = json.dumps({"fake": {"events": 30, "gap_ms": 100}}).encode()
        wanted = answers.expected("gemini-sse", "gemini-2.5-pro", body)
        tunnels = []
        with Peak(self.lab) as peak:
            for _ in range(40):
                tunnel = self.lab.tunnel(timeout=30)
                tunnel.send(client.request("POST", STREAM, VERTEX, BEARER, body))
                tunnels.append(tunnel)
            for tunnel in tunnels:
                self.assertEqual(tunnel.reader.response().body, wanted)
                tunnel.close()
        self.assertLess(peak.growth, BOUND)

    def test_a_client_that_leaves_cancels_the_provider(self):
        body = json.dumps({"fake": {"events": 500, "gap_ms": 50}}).encode()
        for label, path, sent in (("stream", STREAM, body), ("before the head", GENERATE, b"{}")):
            with self.subTest(when=label):
                self.cloud.reset()
                if label != "stream":
                    self.cloud.fail("stall", host=VERTEX)
                tunnel = self.lab.tunnel()
                tunnel.send(client.request("POST", path, VERTEX, BEARER, sent))
                self.assertTrue(self.cloud.wait(lambda c: c.log(VERTEX), 5))
                if label == "stream":
                    tunnel.reader.head()
                time.sleep(0.2)
                tunnel.close()
                begin = time.time()
                row = self.cloud.wait(lambda c: [r for r in c.log(VERTEX) if r["aborted"]], 3)
                self.assertTrue(row, "the provider was not told")
                self.assertLess(row[0]["aborted"] - begin, 1.0)

    def test_a_client_that_leaves_in_an_upload_cancels_it(self):
        tunnel = self.lab.tunnel()
        tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER + [("content-length", "1000000")], b"x" * 1000))
        self.cloud.wait(lambda c: c.log(VERTEX), 2)
        tunnel.close()
        time.sleep(1.2)
        self.assertTrue(all(r["aborted"] and not r["body_done"] for r in self.cloud.log(VERTEX)))

    def test_a_client_that_leaves_a_stalled_upload_ends_it(self):
        """Nobody reads what it sent, as the provider takes nothing; its reset is heard all the same."""
        def under_way():
            return json.loads(self.lab.page("/status", self.lab.admin)[2])["exchanges"]
        self.cloud.fail("stall-on-head", host=VERTEX)
        tunnel = self.lab.tunnel(timeout=1)
        tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER + [("content-length", "90000000")]))
        with contextlib.suppress(TimeoutError):
            for _ in range(90):
                tunnel.send(b"x" * MEGABYTE)
        self.assertTrue(until(lambda: under_way() == 1, 3))
        tunnel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        tunnel.close()
        # the figure is told once a second
        self.assertTrue(until(lambda: under_way() == 0, 2.2), "the provider's connection is still held")

    def test_an_early_refusal_does_not_wait_for_the_body(self):
        with self.lab.tunnel(timeout=8) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, [("authorization", "Bearer gemini-nobody-123456789"),
                                                                  ("content-length", "100000000")], b"x" * 1000))
            self.assertStatus(tunnel.reader.response(), 401)
        self.cloud.fail("early", host=VERTEX, status=403)
        with self.lab.tunnel(timeout=8) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER + [("content-length", "100000000")], b"x" * 2_000_000))
            self.assertStatus(tunnel.reader.response(), 403)
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 3))


class Slow(LabCase):
    """Clients that never finish what they began."""

    LAB = {"accounts": 1, "claude": False, "conf": {"limits": {"header_timeout": 2, "idle_timeout": 3, "connections_per_client": 60}}}

    def ends(self, first, seconds, inside=False):
        begin = time.monotonic()
        with self.lab.tunnel(tls=inside, connect=None) as tunnel:
            tunnel.sock.settimeout(seconds)
            tunnel.send(first)
            tunnel.reader.rest()
            self.assertTrue(tunnel.reader.eof, "still open")
        return time.monotonic() - begin

    def test_a_head_that_never_ends(self):
        self.assertLess(self.ends(b"POST / HTTP/1.1\r\nHost: x", 8, inside=True), 6)

    def test_an_idle_connection(self):
        with self.lab.tunnel(timeout=10) as tunnel:
            self.assertStatus(tunnel.ask("POST", GENERATE, b"{}", BEARER), 200)
            begin = time.monotonic()
            tunnel.reader.rest()
            self.assertTrue(tunnel.reader.eof)
            self.assertTrue(1.5 <= time.monotonic() - begin <= 7)

    def test_a_connect_that_never_ends(self):
        with self.lab.tunnel(tls=False) as warm:
            self.assertEqual(warm.connect_status, 200)
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=8)) as sock:
            begin = time.monotonic()
            sock.sendall(b"CONNECT x")
            for _ in range(6):
                time.sleep(0.4)
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")
            reader = client.Reader(sock)
            reader.rest()
            self.assertTrue(reader.eof)
            self.assertLess(time.monotonic() - begin, 6)

    def test_too_many_connections_of_one_client(self):
        held = []
        try:
            refused = 0
            for _ in range(80):
                sock = socket.create_connection(("127.0.0.1", self.lab.port), timeout=3)
                held.append(sock)
                sock.sendall(f"CONNECT {VERTEX}:443 HTTP/1.1\r\n\r\n".encode())
                try:
                    refused += client.Reader(sock).head()[1] != 200
                except (client.Broken, OSError):
                    refused += 1
            self.assertGreaterEqual(refused, 20)
        finally:
            for sock in held:
                sock.close()

        # The proxy sees the ends of those connections a little later than we wrote them, and until then this
        # client is over its bound and is closed without a word.
        def served():
            with contextlib.suppress(client.Broken, OSError):
                return self.lab.ask(token=ALICE).status == 200
            return False

        self.assertTrue(until(served, 5))
