"""The table of vectors against the proxy, and what needs more than one request or a pause in it."""
import re
import socket
import ssl
import time

import answers
from harness import ALICE, BODY, GENERATE, OAUTH, VERTEX, LabCase, slow
from vectors import (AUTH, BASE, CHUNKED, CHUNKS, FOLLOW, HOST, LENGTH, SIZED, START, VECTORS)

OF_BYTES = True

WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
AT_ONCE_S = 4  # far below every time limit of the proxy, far above what a busy machine needs


class Deliver(LabCase):
    LAB = {"accounts": 1, "claude": False}

    def setUp(self):
        super().setUp()
        self.last = 0

    def arrived(self):
        """What upstream saw since the last call, without the token endpoint."""
        rows = self.cloud.log(since=self.last)
        self.last = max([self.last] + [r["n"] for r in rows])
        return [r for r in rows if r["host"] != OAUTH]

    def deliver(self, data, pieces=None):
        """(statuses, whether the connection was closed, bytes): all that came back for DATA."""
        with self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
            try:
                for piece in pieces or [data]:
                    tunnel.send(piece)
            except (ConnectionError, ssl.SSLError):
                pass
            got = tunnel.reader.rest()
            return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)], tunnel.reader.eof, got

    def check_refusal(self, statuses, ended, got, status=0):
        self.assertTrue(ended, f"the connection stays open: {got[:200]!r}")
        self.assertLessEqual(len(statuses), 1, got[:400])
        self.assertTrue(all(400 <= s <= 505 for s in statuses), statuses)
        if status:
            self.assertEqual(statuses, [status])
        self.assertNotIn(ALICE.encode(), got)

    def check_next(self):
        """A request on a new connection works, and only it is whole (one that was cut may be on its way yet)."""
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(len([r for r in self.arrived() if r["body_done"]]), 1)


class Hostile(Deliver):
    def test_what_is_refused(self):
        for number, v in enumerate(v for v in VECTORS if v.want == "refused"):
            with self.subTest(vector=v.name):
                back = self.deliver(v.data + FOLLOW)
                self.assertEqual([r["head"] for r in self.arrived()], [])
                self.check_refusal(*back, v.status)
                if number % 10 == 0:
                    self.check_next()
        self.assertCleanCloud()

    def test_bodies_that_are_cut_short(self):
        for v in [v for v in VECTORS if v.want == "cut"]:
            with self.subTest(vector=v.name):
                back = self.deliver(v.data + FOLLOW)
                self.assertEqual([r["body"] for r in self.arrived() if r["body_done"]], [])
                self.check_refusal(*back)
        self.check_next()
        self.assertEqual(self.cloud.violations("malformed"), [])

    def test_what_is_wrong_already_is_not_waited_for(self):
        """Heads without their end: nobody has to run into a time limit to learn that they are bad."""
        for label, data in (("0.9", START.replace(b" HTTP/1.1", b"")), ("version", START.replace(b"1.1", b"9.9")), ("garbage", b"\0\1\2"), ("tls", b"\x16\x03\x01"), ("lower", b"post / HTTP/1.1\r\n"), ("two spaces", START.replace(b" /", b"  /")),
                            ("cr lines", BASE.replace(b"\r\n", b"\r") + b"\r"), ("lf line", START.replace(b"\r\n", b"\n")), ("cr in a value", BASE + b"X: a\rb"), ("nul in a value", BASE + b"X: a\0"), ("fold", BASE + b" x\r\n"), ("no colon", BASE + b"x\r\n"),
                            ("empty name", BASE + b": x\r\n"), ("space before colon", BASE + b"X : y\r\n"), ("crcrlf", BASE + b"X: y\r\r\n"), ("long target", START.replace(b" HTTP", b"?" + b"a" * 20000 + b" HTTP"))):
            with self.subTest(head=label):
                self.check_refusal(*self.deliver(data))
        for label, body in (("size", b"x\r\n"), ("0x", b"0x"), ("minus", b"-"), ("space", b"5 "), ("lf", b"5\n"), ("end", b"1\r\naX"), ("trailer", b"0\r\n x"), ("trailer lf", b"0\r\n\n")):
            with self.subTest(chunk=label):
                self.check_refusal(*self.deliver(BASE + CHUNKED + b"\r\n" + body))
        self.assertEqual([r for r in self.arrived() if r["body_done"]], [])

    def test_a_request_gets_one_answer_though_its_body_is_bad(self):
        """The refusal of its head; a second one would be read as the answer to the next request."""
        for label, head, status in (("no token", START + HOST, 401), ("unknown token", START + HOST + b"Authorization: Bearer nobody-0123456789\r\n", 401), ("path", b"POST /nope HTTP/1.1\r\n" + HOST + AUTH, 404),
                                    ("misplaced", BASE + b"Cookie: a=" + ALICE.encode() + b"\r\n", 400), ("misdirected", START + b"Host: evil.test\r\n" + AUTH, 421)):
            for body in (b"zz\r\n", b"5\r\nhelloXX", b"-1\r\n", b"0\r\n x: y\r\n\r\n", b"5\n"):
                for pieces in ([head + CHUNKED + b"\r\n" + body + FOLLOW], [head + CHUNKED + b"\r\n", body + FOLLOW]):
                    with self.subTest(head=label, body=body, pieces=len(pieces)):
                        statuses, ended, got = self.deliver(b"", pieces)
                        self.assertEqual((statuses, ended), ([status], True), got[:300])
        self.assertEqual(self.arrived(), [])

    def test_requests_behind_a_refused_one_do_not_run(self):
        for label, first in (("malformed", BASE + b"X-A : b\r\n" + SIZED), ("misdirected", START + b"Host: evil.test\r\n" + AUTH + SIZED),
                             ("method", b"TRACE / HTTP/1.1\r\n" + HOST + AUTH + b"\r\n"), ("connect", b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n"),
                             ("two tokens", BASE + b"X-Api-Key: other-token-0123456789\r\n" + SIZED), ("misplaced", BASE + b"Cookie: a=" + ALICE.encode() + b"\r\n" + SIZED)):
            with self.subTest(first=label):
                self.check_refusal(*self.deliver(first + FOLLOW * 3))
                self.assertEqual(self.arrived(), [])

    def test_a_hostile_follower_does_not_spoil_the_first(self):
        for label, follower in (("smuggled head", b"GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\n"), ("garbage", b"\x00\x01\x02"), ("cl and te", BASE + LENGTH + CHUNKED + b"\r\n" + CHUNKS),
                                ("a line too much", b"X: y\r\n\r\n"), ("bare lf", b"\n\n" + FOLLOW)):
            with self.subTest(follower=label):
                statuses, ended, got = self.deliver(BASE + SIZED + follower + FOLLOW)
                self.assertEqual(statuses[:1], [200], got[:300])
                self.assertLessEqual(len(statuses), 2)
                self.assertTrue(ended)
                self.assertEqual([r["body"] for r in self.arrived()], [BODY.decode()])

    def test_a_body_longer_than_its_length_is_the_next_request(self):
        short = BASE + b"Content-Length: 2\r\n\r\n{}" + BODY[2:] + FOLLOW
        statuses, ended, _ = self.deliver(short)
        self.assertEqual((len(statuses), statuses[-1], ended), (2, 400, True))
        self.assertEqual([r["body"] for r in self.arrived()], ["{}"])
        none = BASE + b"\r\n" + BODY + FOLLOW
        statuses, ended, _ = self.deliver(none)
        self.assertEqual((len(statuses), statuses[-1], ended), (2, 400, True))
        self.assertEqual([r["body"] for r in self.arrived()], [""])

    def test_a_body_that_ends_early_is_never_complete_upstream(self):
        for label, data in (("length", BASE + b"Content-Length: 100\r\n\r\n" + BODY), ("length and a request", BASE + b"Content-Length: 9999\r\n\r\n" + BODY + FOLLOW),
                            ("chunk", BASE + CHUNKED + b"\r\n40\r\n" + BODY), ("no last chunk", BASE + CHUNKED + b"\r\n" + CHUNKS[:-5]), ("no end of trailers", BASE + CHUNKED + b"\r\n" + CHUNKS[:-2]),
                            ("trailer", BASE + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X-A: b\r\n"), ("half a size line", BASE + CHUNKED + b"\r\n2"), ("15 digits", BASE + b"Content-Length: 999999999999999\r\n\r\n" + BODY)):
            for how in ("fin", "reset"):
                with self.subTest(body=label, how=how):
                    with self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
                        tunnel.send(data)
                        time.sleep(0.02)
                        if how == "fin":
                            tunnel.sock.shutdown(socket.SHUT_WR)
                            got = tunnel.reader.rest()
                            self.assertTrue(tunnel.reader.eof)
                            self.assertNotIn(b"HTTP/1.1 2", got)
                    self.assertEqual([r["body"] for r in self.arrived() if r["body_done"]], [])
        self.check_next()
        self.assertEqual(self.cloud.violations("malformed"), [])

    def test_a_head_that_ends_early_is_nothing(self):
        data = BASE + LENGTH + b"\r\n"
        for size in range(1, len(data), 7):
            with self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
                tunnel.send(data[:size])
                tunnel.sock.shutdown(socket.SHUT_WR)
                self.assertNotIn(b"HTTP/1.1 2", tunnel.reader.rest())
                self.assertTrue(tunnel.reader.eof)
        self.assertEqual(self.arrived(), [])

    def test_the_log_has_no_request_bytes(self):
        self.deliver(BASE + b"X-Marker-Qq: zz\x00zz\r\n" + SIZED)
        self.assertNotIn("X-Marker-Qq", self.lab.log_text())
        self.lab.scan_secrets()

    @slow
    def test_a_refusal_does_not_depend_on_how_the_bytes_are_cut(self):
        some = [v for v in VECTORS if v.want in ("refused", "cut") and len(v.data) < 2000][::6]
        for v in some:
            for size in (1, 7, 64):
                with self.subTest(vector=v.name, size=size):
                    data = v.data + FOLLOW
                    statuses, ended, got = self.deliver(data, [data[i:i + size] for i in range(0, len(v.data) + 40, size)])
                    self.check_refusal(statuses, ended, got)
                    self.assertEqual([r["body"] for r in self.arrived() if r["body_done"]], [])
        self.assertCleanCloud()


class Valid(Deliver):
    """Refusing everything would be easy."""

    def head_seen(self, row):
        head = re.sub(r"ya29\.[!-~]+", "TOKEN", row["head"]).replace("/acct-1-project/", "/client-project/")
        return head.encode("latin-1") + b"\r\n"

    def check_served(self, v, response, row):
        self.assertEqual((row["method"], row["body_done"], row["body"].encode("latin-1")), (v.method, True, v.body))
        self.assertEqual(row["target"].replace("/acct-1-project/", "/client-project/"), v.target)
        self.assertEqual(response.status, row["status"])
        if v.status >= 0:
            self.assertStatus(response, v.status or 200)
        if response.status == 200 and v.method == "POST" and v.body:
            self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", v.body))
        credentials = [n for n, _ in row["headers"] if n in ("authorization", "x-api-key", "x-goog-api-key")]
        self.assertEqual(credentials, ["authorization"])
        if v.want == "normal":
            self.assertEqual(self.head_seen(row), v.seen)

    def one(self, v, pieces=None):
        with self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
            for piece in pieces or [v.data]:
                tunnel.send(piece)
            response = tunnel.reader.response(v.method)
            if response.status >= 400 and response.one("proxy-status"):
                self.fail(response)
            rows = self.arrived()
            self.assertEqual(len(rows), 1)
            self.check_served(v, response, rows[0])
            if v.closes:
                self.assertTrue(tunnel.reader.at_end(AT_ONCE_S))
                return
            tunnel.send(BASE + SIZED)
            self.assertEqual(tunnel.reader.response().body, WANTED)
            self.assertEqual(len(self.arrived()), 1)

    def test_what_is_accepted(self):
        for v in [v for v in VECTORS if v.want in ("accepted", "normal")]:
            with self.subTest(vector=v.name):
                self.one(v)
        self.assertCleanCloud()

    def test_one_byte_at_a_time(self):
        by_name = {v.name: v for v in VECTORS}
        for name in ("host valid spaces", "chunks valid extension quoted", "chunks valid trailers", "two empty lines first", "te valid exact", "target absolute", "connection named list"):
            with self.subTest(vector=name):
                data = by_name[name].data
                self.one(by_name[name], [data[i:i + 1] for i in range(len(data))])
        self.assertCleanCloud()

    @slow
    def test_cut_in_two_at_every_byte(self):
        by_name = {v.name: v for v in VECTORS}
        for name in ("cl valid zero before", "chunks valid extension quoted", "chunks valid trailers"):
            v = by_name[name]
            for at in range(1, len(v.data)):
                with self.subTest(vector=name, at=at):
                    self.one(v, [v.data[:at], v.data[at:]])
        self.assertCleanCloud()

    def test_pipelined_requests_are_answered_in_order(self):
        kinds = [BASE + SIZED, BASE + CHUNKED + b"\r\n" + CHUNKS, b"\r\n" + BASE + SIZED, BASE + b"Expect: 100-continue\r\n" + SIZED]
        with self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
            tunnel.send(b"".join(kinds * 25))
            for _ in range(100):
                self.assertEqual(tunnel.reader.response().body, WANTED)
        self.assertEqual([r["body"] for r in self.arrived()], [BODY.decode()] * 100)
        self.assertCleanCloud()

    def test_expect_continue_is_answered(self):
        with self.lab.tunnel() as tunnel:
            tunnel.send(BASE + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n")
            head, status, _ = tunnel.reader.head()
            self.assertEqual(status, 100, head)
            tunnel.send(BODY)
            self.assertEqual(tunnel.reader.response().body, WANTED)

    def test_expect_continue_of_a_refused_request_gets_its_refusal(self):
        with self.lab.tunnel(timeout=AT_ONCE_S) as tunnel:
            tunnel.send(START + HOST + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n")
            self.assertStatus(tunnel.reader.response(), 401)
            self.assertTrue(tunnel.reader.at_end(AT_ONCE_S))
        self.assertEqual(self.arrived(), [])

    def test_other_expectations_do_not_stall(self):
        for value in (b"100-continued", b"y 100-continue", b"100-continue, x", b"x=y", b""):
            with self.subTest(value=value):
                statuses, _, got = self.deliver(BASE + b"Connection: close\r\nExpect: " + value + b"\r\n" + SIZED)
                self.assertIn(statuses, ([200], [400], [417]), got[:200])
                self.arrived()
        self.assertCleanCloud()

    def test_http_1_0_gets_a_whole_answer_and_a_close(self):
        with self.lab.tunnel() as tunnel:
            tunnel.send(START.replace(b"1.1", b"1.0") + HOST + AUTH + SIZED)
            response = tunnel.reader.response()
            self.assertEqual((response.status, response.body), (200, WANTED))
            self.assertIsNone(response.one("transfer-encoding"))
            self.assertTrue(tunnel.reader.at_end())

    def test_head_and_get(self):
        with self.lab.tunnel() as tunnel:
            headers = [("authorization", "Bearer " + ALICE)]
            self.assertStatus(tunnel.ask("HEAD", "/v1beta/models", b"", headers), tunnel.ask("GET", "/v1beta/models", b"", headers).status)
            self.assertEqual(tunnel.ask("POST", GENERATE, BODY, headers).body, WANTED)

    def test_an_answer_without_body_keeps_the_connection_in_step(self):
        data = "SFRUUC8xLjEgMjA0IE5vIENvbnRlbnQNCkNvbm5lY3Rpb246IGNsb3NlDQoNCg=="
        self.cloud.fail("raw", host=VERTEX, data=data)
        with self.lab.tunnel() as tunnel:
            headers = [("authorization", "Bearer " + ALICE)]
            response = tunnel.ask("POST", GENERATE, BODY, headers)
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(tunnel.ask("POST", GENERATE, BODY, headers).body, WANTED)
