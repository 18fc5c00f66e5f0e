"""What hostile and broken providers answer, and that no client sees more of it than it may."""
import base64
import contextlib
import json
import socket
import ssl
import threading
import time

import answer_vectors
import answers
import client
from answer_vectors import CUT, EVIL, PASSED, REFUSED
from harness import ALICE, BODY, GEMINI, GENERATE, OAUTH, VERTEX, Lab, LabCase, until

OF_BYTES = True

CAROL = "gemini-carol-00112233445566"
WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "alt-svc", "proxy-authenticate"}


def coded(data):
    return base64.b64encode(data).decode()


def bearer(token):
    return [("authorization", "Bearer " + token)]


class AnswerCase(LabCase):
    """One worker, so that what one client leaves in a connection would meet the next one."""

    CONF = {}

    @classmethod
    def setUpClass(cls):
        conf = {"run": {"workers": 1}, "log": {"level": "debug"}, **cls.CONF}
        cls.lab = Lab(accounts=1, claude=False, conf=conf, start=False)
        cls.addClassCleanup(cls.lab.kill)
        cls.lab.add_client("carol", "gemini", CAROL)
        cls.lab.start()

    def setUp(self):
        super().setUp()
        self.assertStatus(self.ask(CAROL), 200)  # a token is there, and an idle connection

    def ask(self, token=ALICE, method="POST", host=VERTEX, path=GENERATE, body=BODY, timeout=20):
        return self.lab.ask(host, path, body if method == "POST" else b"", method=method, token=token, timeout=timeout)

    def upstream(self):
        """The cloud's rows of everything but the token endpoint."""
        return [r for r in self.cloud.log() if r["host"] != OAUTH]

    def next_is_right(self, *, used=None, fresh=None):
        """Another client gets its own answer.  fresh: it must not come by connection USED (False: it must)."""
        response = self.ask(CAROL)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, WANTED)
        row = self.upstream()[-1]
        if fresh is not None:
            (self.assertNotEqual if fresh else self.assertEqual)(row["conn"], used, "the connection of the odd answer")


class Vectors(AnswerCase):
    def deliver(self, vector):
        self.cloud.reset()
        how = {"keep": True} if vector.end == "keep" else {"how": vector.end}
        self.cloud.fail("raw", data=[coded(p) for p in vector.parts], gap_ms=12, times=-1, **how)
        host, path = (VERTEX, GENERATE) if vector.method == "POST" else (GEMINI, "/v1beta/models")
        tunnel = self.lab.tunnel(host, timeout=10)
        with contextlib.closing(tunnel):
            try:
                response = tunnel.ask(vector.method, path, BODY if vector.method == "POST" else b"", bearer(ALICE))
            except client.Broken as broken:
                return broken, tunnel.reader.eof
            if vector.want == REFUSED:
                self.cloud.heal()
                again = tunnel.ask("POST", GENERATE, BODY, bearer(ALICE)) if host == VERTEX else None
                self.assertEqual(again.body, WANTED, "the client's connection lost its step")
            return response, tunnel.reader.eof

    def check(self, vector):
        got, ended = self.deliver(vector)
        shown = got.head + (got.partial if isinstance(got, client.Broken) else got.body)
        rows = self.upstream()
        self.assertTrue(rows, "nothing was asked")
        used = [r["conn"] for r in rows if r["rule"] == "raw"][-1]
        if vector.want == CUT:
            self.assertIsInstance(got, client.Broken, f"looks whole: {shown[:300]!r}")
            self.assertTrue(ended, "not cut, only silent")
            self.assertTrue(got.head.startswith(b"HTTP/1.1 200 "), got.head[:100])
            self.assertTrue(vector.body.startswith(got.partial), got.partial[:100])
        elif vector.want == REFUSED:
            self.assertNotIsInstance(got, client.Broken, f"{got} {shown[:300]!r}")
            self.assertOwnError(got, 502, "vertex")
            self.assertNotIn(b"evil", shown)
        else:
            self.assertNotIsInstance(got, client.Broken, f"{got} {shown[:300]!r}")
            self.check_passed(vector, got)
        if len(vector.parts) > 1 and vector.want == PASSED:
            self.assertTrue(self.cloud.wait(lambda c: all(r["ended"] for r in c.log() if r["rule"] == "raw"), 2))
            time.sleep(0.03)  # what came behind the answer is with the proxy
        self.cloud.heal()
        if vector.method == "POST":
            self.next_is_right(used=used, fresh=None if vector.reuse is None else not vector.reuse)
        else:
            self.next_is_right()
            self.gemini_is_right(used, vector)
        self.assertEqual([v for v in self.cloud.violations() if v["kind"] != "credentials"], [])

    def gemini_is_right(self, used, vector):
        response = self.ask(CAROL, "GET", GEMINI, "/v1beta/models")
        self.assertStatus(response, 200)
        self.assertEqual(response.body, b'{"models":[{"name":"models/gemini-2.5-pro"}]}')
        if vector.reuse is False:
            self.assertNotEqual(self.upstream()[-1]["conn"], used)

    def check_passed(self, vector, got):
        self.assertEqual((got.status, got.body), (vector.status, vector.body), got)
        self.assertEqual(got.interim, [], "interim answers are for us")
        self.assertRegex(got.head.split(b"\r\n")[0], rb"\AHTTP/1\.1 \d{3} [\t -~\x80-\xff]*\Z")
        ids = got.all("x-credswap-request-id")
        self.assertEqual(len(ids), 1, got)
        self.assertTrue(ids[0].startswith("cs_"), got)
        names = {n for n, _ in got.headers}
        self.assertFalse(names & HOP_BY_HOP - {"connection"}, got)
        self.assertIn(got.one("connection"), (None, "close"))
        for name, value in vector.has:
            self.assertIn((name, value), got.headers, got)
        self.assertFalse(names & set(vector.lacks) - {"connection"}, got)
        if not vector.name.startswith("redirect"):
            self.assertNotIn(b"evil", got.raw)
        asked = [(r["method"], r["host"]) for r in self.upstream()]
        self.assertEqual(asked, [(vector.method, VERTEX if vector.method == "POST" else GEMINI)], "one question, and no redirect followed")

    def run_family(self, family):
        for vector in family():
            with self.subTest(vector=vector.name):
                self.check(vector)
        self.lab.scan_secrets()

    def test_valid_oddities_pass(self):
        self.run_family(answer_vectors.oddities)

    def test_fields_between_us_and_the_provider_stay_here(self):
        self.run_family(answer_vectors.stripped)

    def test_status_lines(self):
        self.run_family(answer_vectors.status_lines)

    def test_framings(self):
        self.run_family(answer_vectors.framings)

    def test_fields(self):
        self.run_family(answer_vectors.fields)

    def test_interim_answers(self):
        self.run_family(answer_vectors.interims)

    def test_answers_without_a_body(self):
        self.run_family(answer_vectors.bodiless)

    def test_stray_bytes(self):
        self.run_family(answer_vectors.strays)

    def test_chunks_and_cuts(self):
        self.run_family(answer_vectors.chunks)

    def test_seeds_are_the_table(self):
        seeds = dict(answer_vectors.seeds())
        self.assertGreater(len(seeds), 350)
        self.assertEqual(seeds["stray: answer"], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + EVIL)


class Reuse(AnswerCase):
    """An upstream connection carries the next request only when the one before ended provably clean."""

    def conns(self):
        return [r["conn"] for r in self.upstream()]

    def test_clean_answers_share_a_connection(self):
        for token in (ALICE, CAROL, ALICE, CAROL):
            self.assertStatus(self.ask(token), 200)
        self.assertEqual(len(set(self.conns())), 1)

    def test_an_answer_before_any_question_is_nobodys(self):
        for data in (EVIL, EVIL[:10], b"\r\n", b"x", EVIL * 3):
            with self.subTest(data=data[:40]):
                self.cloud.reset()
                self.next_is_right()
                before = self.conns()[-1]
                self.assertGreaterEqual(self.cloud.push(data), 1)
                time.sleep(0.1)
                self.next_is_right(used=before, fresh=True)

    def test_an_answer_sent_with_the_handshake_is_not_kept(self):
        """Bytes that were there before the request cannot be told from an answer; but they spoil one request at most."""
        self.cloud.control("POST", "/close")
        time.sleep(0.1)
        self.cloud.greet(EVIL + EVIL)
        try:
            with contextlib.suppress(client.Broken):
                self.assertIn(self.ask().status, (200, 502))
        finally:
            self.cloud.greet(b"")
        for _ in range(3):
            self.next_is_right()

    def test_an_early_answer_spoils_its_connection(self):
        self.cloud.fail("raw-on-head", data=coded(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), keep=True)
        with self.lab.tunnel(timeout=8) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, bearer(ALICE) + [("content-length", "1000")], b"x" * 500))
            self.assertEqual(tunnel.reader.response().body, b"{}")
            tunnel.send(b"x" * 500)
            self.next_is_right(used=self.conns()[-1], fresh=True)

    def test_a_client_that_leaves_spoils_its_connection(self):
        self.cloud.fail("raw", data=[coded(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"), coded(b"evil")], gap_ms=300, keep=True)
        with self.lab.tunnel() as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, bearer(ALICE), BODY))
            tunnel.reader.head()
        time.sleep(0.05)
        self.next_is_right(used=self.conns()[0], fresh=True)

    def test_a_connection_closed_while_idle_is_not_an_error(self):
        for _ in range(5):
            self.next_is_right()
            self.cloud.control("POST", "/close")
            time.sleep(0.03)
        self.assertEqual(len(set(self.conns())), 5)

    def test_an_early_refusal_while_the_body_goes_on(self):
        """Head and body of the early answer reach the client although it is still sending."""
        self.cloud.fail("early", status=413, host=VERTEX, times=-1)
        with self.lab.tunnel(timeout=8) as tunnel:
            tunnel.send(client.request("POST", GENERATE, VERTEX, bearer(ALICE) + [("content-length", "400000")]))
            for _ in range(3):
                with contextlib.suppress(OSError):
                    tunnel.send(b"x" * 100000)
                    time.sleep(0.05)
            self.assertStatus(tunnel.reader.response(), 413)
        self.cloud.heal()
        self.next_is_right()


class Truncation(AnswerCase):
    """A cut must be seen by clients of every kind: a reset or a TLS end without close_notify, never a clean end."""

    CUTS = {"no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
            "short body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "until close": b"HTTP/1.1 200 OK\r\n\r\nhalf",
            "1.0 until close": b"HTTP/1.0 200 OK\r\n\r\nhalf", "1.0 short": b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhalf"}

    def ending(self, version, tls):
        """(all bytes, "clean" or "cut") of an answer to a client of VERSION."""
        path = GENERATE if tls else "/vertex" + GENERATE
        data = client.request("POST", path, VERTEX if tls else f"127.0.0.1:{self.lab.port}", bearer(ALICE), BODY, version=version)
        if tls:
            with self.lab.tunnel(tls=False, timeout=8) as tunnel:
                sock = client.trusting(self.lab.ca).wrap_socket(tunnel.sock, server_hostname=VERTEX, suppress_ragged_eofs=False)
        else:
            sock = socket.create_connection(("127.0.0.1", self.lab.port), timeout=8)
        got = b""
        with sock:
            sock.sendall(data)
            try:
                while piece := sock.recv(65536):
                    got += piece
            except (ConnectionError, ssl.SSLError):
                return got, "cut"
        return got, "clean"

    def test_no_clean_end(self):
        for name, data in self.CUTS.items():
            for version in ("HTTP/1.1", "HTTP/1.0"):
                for tls in (True, False):
                    with self.subTest(cut=name, version=version, tls=tls):
                        self.cloud.fail("raw", data=coded(data), how="fin")
                        got, end = self.ending(version, tls)
                        self.assertIn(b" 200 ", got[:40])
                        self.assertEqual(end, "cut", got)
                        self.assertNotIn(b"\r\n0\r\n", got)

    def test_a_whole_answer_ends_clean(self):
        for tls in (True, False):
            self.cloud.fail("raw", data=coded(b"HTTP/1.1 200 OK\r\n\r\nwhole"), how="close")
            got, end = self.ending("HTTP/1.0", tls)
            self.assertEqual((got[-5:], end), (b"whole", "clean"))


class Injection(AnswerCase):
    """No value that comes from elsewhere begins a new line of a head."""

    def test_model_and_query_with_line_ends(self):
        for path in (GENERATE.replace("gemini-2.5-pro", "gemini%0d%0aX-Evil:%20evil"), GENERATE + "?alt=%0d%0aX-Evil:%20evil&%0aX-Evil=1",
                     GENERATE.replace("client-project", "p%0d%0aX-Evil:evil"), GENERATE.replace("us-central1", "us%0d%0aX-Evil:evil"),
                     GENERATE.replace("gemini-2.5-pro", "gemini%00evil"), GENERATE.replace("gemini-2.5-pro", "%E5%98%8A%E5%98%8DX-Evil")):
            with self.subTest(path=path):
                self.cloud.reset()
                response = self.ask(path=path)
                self.assertNotIn("x-evil", dict(response.headers))
                for row in self.upstream():
                    self.assertEqual([n for n, _ in row["headers"] if n.startswith("x-evil")], [])
                self.assertEqual(self.cloud.violations("malformed"), [])

    def test_a_token_with_line_ends_is_no_token(self):
        self.cloud.expire()
        self.cloud.fail("401", host=VERTEX, times=1)
        self.cloud.fail("token-crlf", times=-1)
        response = self.ask()
        self.assertOwnError(response, 503, "vertex")
        for row in self.upstream():
            self.assertEqual([n for n, _ in row["headers"] if n == "x-injected"], [])
        self.cloud.heal()
        self.assertTrue(until(lambda: self.lab.cs("account", "refresh", "acct-1", status=None).returncode == 0, 5))
        self.assertTrue(until(lambda: self.ask().status == 200, 5))

    def test_keys_and_names_with_line_ends_are_refused(self):
        add = ("account", "add", "--kind", "api-key", "--host", "api.anthropic.com", "--name")
        for name, key in (("evil", "sk-ant\r\nX-Evil: evil"), ("evil", "sk-ant\nx"), ("evil", "sk ant"), ("e\r\nX: y", "sk-ant-good-0123456789"),
                          ("evil", "sk-ant-\x01"), ("evil", "sk-ant-\u00e4")):
            with self.subTest(name=name, key=key):
                done = self.lab.cs(*add, name, "-", stdin=key, status=None)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertNotIn("sk-ant", done.stderr + done.stdout)
        self.assertEqual([r["name"] for r in self.lab.query("select name from account")], ["acct-1"])


class Stalls(AnswerCase):
    """Providers that begin and never end: the silence has a bound, and what came looks cut."""

    CONF = {"upstream": {"read_timeout": 2}}

    def test_silences(self):
        cases = {
            "before the head": (b"", 504), "in the status line": (b"HTTP/1.1 2", 504), "in the head": (b"HTTP/1.1 200 OK\r\nX-A:", 504),
            "behind an interim": (b"HTTP/1.1 100 Continue\r\n\r\n", 504),
            "in a body by length": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", None),
            "in a body by chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", None),
            "in a body until close": (b"HTTP/1.1 200 OK\r\n\r\nhalf", None)}
        results = {}

        def one(name, data, place):
            begin = time.monotonic()
            try:
                with self.lab.tunnel(timeout=10) as tunnel:
                    got = tunnel.ask("POST", GENERATE.replace("2.5-pro", f"stall-{place}"), BODY, bearer(ALICE))
            except client.Broken as broken:
                got = broken
            results[name] = (got, time.monotonic() - begin)

        threads = []
        for place, (name, (data, _)) in enumerate(cases.items()):
            self.cloud.fail("raw", data=coded(data), hold=True, times=-1, path=f"*stall-{place}:*")
            threads.append(threading.Thread(target=one, args=(name, data, place)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, (_, status) in cases.items():
            with self.subTest(silence=name):
                got, seconds = results[name]
                self.assertTrue(1.5 <= seconds <= 6, seconds)
                if status:
                    self.assertOwnError(got, status, "vertex")
                else:
                    self.assertIsInstance(got, client.Broken, got)
                    self.assertTrue(b"half".startswith(got.partial), got.partial)
        self.assertTrue(until(lambda: all(r["aborted"] for r in self.upstream() if r["rule"] == "raw"), 2), "the provider was not told")
        self.next_is_right()

    def test_a_head_in_drips_has_a_bound_in_all(self):
        """A byte in each second is no silence, but a head is not a stream."""
        self.cloud.fail("raw", data=[coded(b"HTTP/1.1 200 OK\r\n")] + [coded(b"X")] * 40, gap_ms=400, hold=True)
        begin = time.monotonic()
        got = self.ask(timeout=14)
        self.assertOwnError(got, 504, "vertex")
        self.assertTrue(1.5 <= time.monotonic() - begin <= 6)

    def test_interim_answers_in_drips_do_not_hold_a_client(self):
        self.cloud.fail("raw", data=[coded(b"HTTP/1.1 100 Continue\r\n\r\n")] * 15, gap_ms=600, hold=True)
        begin = time.monotonic()
        self.assertOwnError(self.ask(timeout=14), 504, "vertex")
        self.assertLess(time.monotonic() - begin, 6)


class Secrets(AnswerCase):
    """A provider that echoes what it got."""

    def test_our_errors_say_nothing_of_an_answer(self):
        token = self.cloud.tokens()[0]["token"]
        self.cloud.fail("raw", data=coded(b"HTTP/1.1 2OO " + token.encode() + b"\r\nX: " + token.encode() + b"\r\n\r\n" + token.encode()), keep=True)
        response = self.ask()
        self.assertOwnError(response, 502, "vertex")
        self.assertNotIn(token.encode(), response.raw)
        for path in ("/status", "/metrics"):
            self.assertNotIn(token.encode(), self.lab.page(path, self.lab.admin)[2])
        self.assertNotIn(token.encode(), self.lab.page("/status")[2])
        self.assertEqual(json.loads(response.body)["error"]["code"], 502)
        self.lab.scan_secrets()
