"""HTTP/2 frame by frame from a provider's side: hostile and odd answers, refusals, floods, settings at their ends.

After every case the client has a proper answer (from elsewhere, or our own 502), or sees that one was cut; nobody waits beyond a bound,
no account rests for what a connection did, and the next request is served.
"""
import base64
import contextlib
import re
import time

import answers
import client
import wire2
from harness import ALICE, BODY, GENERATE, VERTEX, Lab, LabCase
from wire2 import (ACK, CANCEL, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL, FRAME_SIZE, GOAWAY, HEADERS,
                   INTERNAL, NO_ERROR, PADDED, PING, PRIORITY, PROTOCOL, PUSH_PROMISE, REFUSED, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, literal,
                   number, setting, u32)

BEARER = [("authorization", "Bearer " + ALICE)]
WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
OK = [(":status", "200"), ("content-type", "application/json")]
OWN = "S"  # the request's stream
ELSEWHERE = "elsewhere"  # the client has a 200 of another attempt
BAD = "bad"              # our 502
CUT = "cut"              # what began is broken off
HERE = "here"            # this answer is good
BOTH = (ELSEWHERE, BAD)


def step(kind, flags=0, stream=0, payload=b"", size=None):
    return [kind, flags, stream, base64.b64encode(payload).decode(), size]


def head(fields=(), end=False, stream=OWN, flags=END_HEADERS):
    return step(HEADERS, flags | (END_STREAM if end else 0), stream, fields if isinstance(fields, bytes) else block(fields or OK))


def data(payload=b"{}", end=True, stream=OWN):
    return step(DATA, END_STREAM if end else 0, stream, payload)


def reset(code, stream=OWN):
    return step(RST_STREAM, 0, stream, u32(code))


def answer(*fields, body=b"{}"):
    return [head(OK + list(fields)), data(body)]


# name: (section, steps, what the client sees, the code that we send; None: any or none)
CASES = {
    # frames that must not be
    "data before headers": ("8.1", [data()], BOTH, PROTOCOL),
    "data of a stream that never was": ("5.1", [data(stream="S+100")], BOTH, PROTOCOL),
    "headers of a stream that never was": ("5.1", [head(stream="S+100", end=True)], BOTH, PROTOCOL),
    "headers of an even stream": ("5.1.1", [head(stream=2, end=True)], BOTH, PROTOCOL),
    "window of a stream that never was": ("5.1", [step(WINDOW_UPDATE, 0, "S+100", u32(1))], BOTH, PROTOCOL),
    "reset of a stream that never was": ("5.1", [reset(CANCEL, "S+100")], BOTH, PROTOCOL),
    "a promise": ("8.4", [step(PUSH_PROMISE, 4, OWN, u32(2) + block(OK))], BOTH, PROTOCOL),
    "data on stream 0": ("6.1", [data(stream=0)], BOTH, PROTOCOL),
    "headers on stream 0": ("6.2", [head(stream=0)], BOTH, PROTOCOL),
    "padding longer than data": ("6.1", [head(), step(DATA, PADDED, OWN, b"\x06abcde")], (CUT,), PROTOCOL),
    "data too large": ("4.2", [head(), data(bytes(16385))], (CUT,), FRAME_SIZE),
    "headers too large": ("4.2", [head(block(OK) + literal("x-a", "a" * 16384))], BOTH, FRAME_SIZE),
    "data that claims more than there is": ("4.2", [head(), step(DATA, 0, OWN, b"x", 100), {"wait_ms": 100}], (CUT,), None),
    "an unknown frame": ("5.5", [step(0xb0, 255, OWN, b"what"), *answer()], HERE, None),
    "a continuation alone": ("6.10", [step(CONTINUATION, 4, OWN, block(OK))], BOTH, PROTOCOL),
    "headers among continuations": ("6.10", [head(flags=0), head()], BOTH, PROTOCOL),
    "a ping among continuations": ("6.10", [head(flags=0), step(PING, 0, 0, bytes(8))], BOTH, PROTOCOL),
    "headers in pieces": ("6.10", [head(flags=0), step(CONTINUATION, 4, OWN, literal("x-a", "b")), data()], HERE, None),
    "priority on stream 0": ("6.3", [step(PRIORITY, 0, 0, bytes(5))], BOTH, PROTOCOL),
    "reset of three bytes": ("6.4", [step(RST_STREAM, 0, OWN, bytes(3))], BOTH, FRAME_SIZE),
    "push switched on": ("6.5.2", [step(SETTINGS, 0, 0, setting((2, 1)))], BOTH, PROTOCOL),
    "a window too large": ("6.5.2", [step(SETTINGS, 0, 0, setting((4, 1 << 31)))], BOTH, FLOW_CONTROL),
    "frames too small": ("6.5.2", [step(SETTINGS, 0, 0, setting((5, 100)))], BOTH, PROTOCOL),
    "settings of five bytes": ("6.5", [step(SETTINGS, 0, 0, bytes(5))], BOTH, FRAME_SIZE),
    "settings acknowledged with payload": ("6.5", [step(SETTINGS, ACK, 0, bytes(6))], BOTH, FRAME_SIZE),
    "an acknowledgement too many": ("6.5", [step(SETTINGS, ACK), step(SETTINGS, ACK), *answer()], (HERE, ELSEWHERE, BAD), None),
    "settings on a stream": ("6.5", [step(SETTINGS, 0, OWN)], BOTH, PROTOCOL),
    "an unknown setting": ("6.5.2", [step(SETTINGS, 0, 0, setting((0xfe, 1))), *answer()], HERE, None),
    "a ping of seven bytes": ("6.7", [step(PING, 0, 0, bytes(7))], BOTH, FRAME_SIZE),
    "a ping on a stream": ("6.7", [step(PING, 0, OWN, bytes(8))], BOTH, PROTOCOL),
    "goaway on a stream": ("6.8", [step(GOAWAY, 0, OWN, bytes(8))], BOTH, PROTOCOL),
    "no more window": ("6.9", [step(WINDOW_UPDATE, 0, 0, u32(0))], BOTH, PROTOCOL),
    "no more window of a stream": ("6.9", [step(WINDOW_UPDATE, 0, OWN, u32(0))], BOTH, PROTOCOL),
    "too much window": ("6.9.1", [step(WINDOW_UPDATE, 0, 0, u32(0x7fffffff))], BOTH, FLOW_CONTROL),
    "too much window of a stream": ("6.9.1", [step(WINDOW_UPDATE, 0, OWN, u32(0x7fffffff))], BOTH, FLOW_CONTROL),
    # HPACK
    "index 0": ("H 6.1", [head(b"\x80")], BOTH, COMPRESSION),
    "an index behind the tables": ("H 2.3.3", [head(number(127, 7, 0x80))], BOTH, COMPRESSION),
    "a table larger than ours": ("H 6.3", [head(number(4097, 5, 0x20) + block(OK))], BOTH, COMPRESSION),
    "Huffman's end": ("H 5.2", [head(block(OK) + b"\x10\x01x\x84\xff\xff\xff\xff")], BOTH, COMPRESSION),
    "a bomb of references": ("H 7.3", [{"repeat": 1, "steps": [head(block(OK) + literal("x-bomb", "b" * 3900, first=0x40) + b"\xbe" * 12000)]}], BAD, None),
    "a head too large": ("10.5.1", [head(block(OK) + literal("x-a", "a" * 16000), flags=0)] +
                         [step(CONTINUATION, 0, OWN, literal("x-a", "a" * 16000))] * 6 + [step(CONTINUATION, 4, OWN)], BOTH, None),
    # messages
    "headers twice": ("8.1", [head(), head(OK)], (CUT,), PROTOCOL),
    "less than its length": ("8.1.1", answer(("content-length", "5")), (CUT,), PROTOCOL),
    "more than its length": ("8.1.1", answer(("content-length", "1")), (CUT,), PROTOCOL),
    "a length and no body": ("8.1.1", [head(OK + [("content-length", "5")], end=True)], BAD, PROTOCOL),
    "two lengths": ("8.1.1", answer(("content-length", "2"), ("content-length", "2")), BAD, PROTOCOL),
    "a length that is none": ("8.1.1", answer(("content-length", "+2")), BAD, PROTOCOL),
    "exactly its length": ("8.1.1", answer(("content-length", "2")), HERE, None),
    "trailers": ("8.1", [head(), data(end=False), head([("grpc-status", "0")], end=True)], HERE, None),
    "trailers with a pseudo field": ("8.1", [head(), data(end=False), head([(":status", "200")], end=True)], (CUT,), PROTOCOL),
    "trailers that do not end": ("8.1", [head(), data(end=False), head([("x-a", "b")])], (CUT,), PROTOCOL),
    "interim answers": ("8.1", [head([(":status", "103"), ("link", "x")])] * 3 + answer(), HERE, None),
    "an interim answer that ends": ("8.1.1", [head([(":status", "103")], end=True)], BOTH, PROTOCOL),
    "interim answers without end": ("8.1", [{"repeat": 300, "steps": [head([(":status", "102")])]}], BAD, PROTOCOL),
    "a 101": ("8.6", [head([(":status", "101")])], BAD, PROTOCOL),
    "data behind the end": ("5.1", answer() + [data(b"more", end=False)], HERE, None),
    "headers behind the end": ("5.1", answer() + [head()], HERE, None),
    "no content with content": ("8.1.1", [head([(":status", "204")]), data()], (CUT, 204), None),
    # resets and farewells
    "a refused stream": ("8.7", [reset(REFUSED)], ELSEWHERE, None),
    "a cancelled stream": ("7", [reset(CANCEL)], BOTH, None),
    "an internal error": ("7", [reset(INTERNAL)], BOTH, None),
    "HTTP/1.1 required": ("7", [reset(13)], BOTH, None),
    "a reset without error and without answer": ("8.1", [reset(NO_ERROR)], BOTH, None),
    "a reset without error behind the answer": ("8.1", answer() + [reset(NO_ERROR)], HERE, None),
    "a reset inside the answer": ("8.1", [head(), data(end=False), reset(INTERNAL)], (CUT,), None),
    "goaway that includes it": ("6.8", [step(GOAWAY, 0, 0, u32(0x7fffffff) + u32(0)), *answer()], HERE, None),
    "goaway that does not": ("6.8", [step(GOAWAY, 0, 0, u32(0) + u32(0))], ELSEWHERE, None),
    "goaway twice": ("6.8", [step(GOAWAY, 0, 0, u32(0x7fffffff) + u32(0)), step(GOAWAY, 0, 0, u32(0) + u32(0))], ELSEWHERE, None),
    "goaway that goes up": ("6.8", [step(GOAWAY, 0, 0, u32(0) + u32(0)), step(GOAWAY, 0, 0, u32(99) + u32(0))], ELSEWHERE, None),
    "goaway with an error": ("6.8", [step(GOAWAY, 0, 0, u32(0) + u32(INTERNAL) + b"oops")], ELSEWHERE, None),
    "no words, and gone": ("9.1", [], BOTH, None),
}
CASES.update({"answer: " + what: ("8.3.2", [head(block(fields)), data()], BAD, PROTOCOL) for what, fields in {
    "no status": [("x-a", "b")], "two statuses": [(":status", "200"), (":status", "200")], "a short status": [(":status", "20")],
    "a word for status": [(":status", "2x0")], "status 999": [(":status", "999")], "status 099": [(":status", "099")],
    "status last": [("x-a", "b"), (":status", "200")], "a request's pseudo field": OK[:1] + [(":path", "/")],
    "an unknown pseudo field": OK[:1] + [(":colour", "red")], "upper case": OK + [("X-A", "b")], "a line in a value": OK + [("x-a", "b\r\nc: d")],
    "NUL in a value": OK + [("x-a", "b\0")], "connection": OK + [("connection", "close")], "keep-alive": OK + [("keep-alive", "timeout=5")],
    "transfer-encoding": OK + [("transfer-encoding", "chunked")], "upgrade": OK + [("upgrade", "h2c")], "no name": OK + [("", "b")]}.items()})


class UpstreamCase(LabCase):
    CONF = {"upstream": {"read_timeout": 4}}

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(accounts=4, conf=cls.CONF, cloud_args=("--h2",), quarantine_mb=4)
        assert cls.lab.ask(token=ALICE).status == 200

    def play(self, *steps, kind="frames", **how):
        self.cloud.fail(kind, host=VERTEX, times=1, frames=list(steps), **how)

    def ask(self, h2=True, body=BODY):
        """(what the client saw, the answer)."""
        try:
            response = self.lab.ask(token=ALICE, h2=h2, body=body)
        except client.Broken:
            return CUT, None
        if response.status == 200:
            return (ELSEWHERE if response.body == WANTED else HERE), response
        if response.status == 502:
            self.assertOwnError(response, 502, "vertex")
            return BAD, response
        return response.status, response

    def serves(self):
        self.cloud.heal()
        for h2 in (True, False):
            self.assertEqual(self.ask(h2)[0], ELSEWHERE)
        self.assertEqual(self.lab.query("SELECT account, reason FROM cooldown"), [])

    def codes(self):
        """What we told the provider: codes of RST_STREAM and GOAWAY."""
        return {int.from_bytes(p[:4] if kind == RST_STREAM else p[4:8], "big") for _, kind, _, _, p in self.cloud.frames() if kind in (RST_STREAM, GOAWAY)}


class Answers(UpstreamCase):
    pass


def make(name, section, steps, outcome, code):
    outcomes = outcome if isinstance(outcome, tuple) else (outcome,)

    def test(self):
        for h2 in (True, False):
            self.cloud.reset()
            self.play(*steps, then=None if steps else "fin")
            began = time.monotonic()
            saw, _ = self.ask(h2)
            self.assertIn(saw, outcomes, f"RFC 9113 {section}, front h2 {h2}: we said {self.codes()}")
            if HERE not in outcomes and name != "data that claims more than there is":
                self.assertLess(time.monotonic() - began, 3)
            if code is not None:
                self.cloud.wait(lambda _: code in self.codes(), 2)
                self.assertIn(code, self.codes())
        self.serves()
    return test


for _name, _case in CASES.items():
    setattr(Answers, "test_" + re.sub(r"\W+", "_", _name).strip("_"), make(_name, *_case))


class Floods(UpstreamCase):
    """Frames without end from a provider: an end within bounds, of time and memory."""

    def flood(self, *steps, before=(), count=40000, saw=BOTH):
        resident = self.lab.rss()
        self.play(*before, {"repeat": count, "steps": list(steps)})
        began = time.monotonic()
        got, _ = self.ask()
        self.assertIn(got, saw)
        self.assertLess(time.monotonic() - began, 10)
        self.assertLess(self.lab.rss() - resident, 48 << 20)
        self.serves()

    def test_settings(self):
        self.flood(step(SETTINGS, 0, 0, setting((3, 100))))

    def test_pings(self):
        self.flood(step(PING, 0, 0, bytes(8)))

    def test_resets(self):
        self.flood(reset(CANCEL), saw=(ELSEWHERE, BAD))

    def test_continuations(self):
        self.flood(step(CONTINUATION, 0, OWN), before=[head(flags=0)])

    def test_a_head_without_end(self):
        self.flood(step(CONTINUATION, 0, OWN, literal("x-a", "a" * 4000)), before=[head(flags=0)])

    def test_data_without_bytes(self):
        self.flood(step(DATA, 0, OWN), before=[head()], saw=(CUT,))

    def test_padding_alone(self):
        self.flood(step(DATA, PADDED, OWN, b"\0"), before=[head()], saw=(CUT,))

    def test_windows(self):
        self.flood(step(WINDOW_UPDATE, 0, 0, u32(1)), count=200000, saw=(ELSEWHERE, BAD, 504))

    def test_unknown_frames(self):
        self.flood(step(0xb0, 0, 0, bytes(16384)), count=4000)

    def test_priorities(self):
        self.flood(step(PRIORITY, 0, OWN, u32(0) + b"\x10"))

    def test_a_connection_that_falls_silent_is_asked_once(self):
        self.cloud.fail("frames", host=VERTEX, times=1, frames=[], alone=True)
        self.assertEqual(self.ask()[0], 504)
        began = time.monotonic()
        self.assertEqual(self.ask()[0], ELSEWHERE)
        self.assertLess(time.monotonic() - began, 2)
        self.serves()

    def test_a_head_that_waits(self):
        self.play(head(flags=0))
        began = time.monotonic()
        self.assertEqual(self.ask()[0], 504)
        self.assertLess(time.monotonic() - began, 8)
        self.serves()

    def test_an_answer_beyond_the_window(self):
        self.play(head(), *[data(bytes(16384), end=False)] * 20)
        with contextlib.closing(wire2.Wire(self.lab.tunnel(VERTEX, alpn=["h2"]), wire2.PREFACE + wire2.frame(SETTINGS, 0, 0, setting((4, 0))))) as wire:
            pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", VERTEX), (":path", GENERATE)]
            wire.send(wire2.headers(1, pseudo + BEARER, end=False) + wire2.frame(DATA, END_STREAM, 1, BODY))
            one = wire.over(1)
            self.assertEqual((one.status, len(one.body), one.reset is not None), (200, 0, True))
        self.assertTrue(self.cloud.wait(lambda _: FLOW_CONTROL in self.codes()))
        self.serves()


class Farewells(UpstreamCase):
    """Refusals and ends while several are under way: each client sees its 200, whatever it speaks."""

    CONF = {"upstream": {"read_timeout": 20}}

    def crowd(self, count=12):
        with contextlib.closing(self.lab.tunnel(VERTEX, h2=True, timeout=40)) as tunnel:
            xs = [tunnel.open("POST", GENERATE, BEARER, BODY) for _ in range(count)]
            tunnel.wait(*xs)
        self.assertEqual({(x.status, bytes(x.body) == WANTED) for x in xs}, {(200, True)})

    def test_goaway_with_a_low_number(self):
        for last in (0, 5, 11):
            with self.subTest(last=last):
                self.cloud.reset()
                steps = [step(GOAWAY, 0, 0, u32(last) + u32(0)), {"wait_ms": 100}]
                self.cloud.fail("frames", host=VERTEX, times=1, skip=5, frames=steps, then="close")
                self.crowd()
                self.serves()

    def test_a_connection_that_is_lost(self):
        for then in ("close", "fin", "rst"):
            with self.subTest(then=then):
                self.cloud.reset()
                # what was asked before is answered by then: a cut answer would have to look cut
                self.cloud.fail("frames", host=VERTEX, times=1, skip=5, frames=[{"wait_ms": 100}], then=then)
                self.crowd()
                self.serves()

    def test_refused_streams(self):
        self.cloud.fail("refuse", host=VERTEX, times=3)
        self.crowd()
        self.serves()

    def test_who_refuses_for_ever_is_given_up(self):
        self.cloud.fail("refuse", host=VERTEX, times=-1)
        for h2 in (True, False):
            self.assertEqual(self.ask(h2)[0], BAD)
        self.serves()


class Settings(UpstreamCase):
    """Settings at their ends, from the first frame on."""

    CONF = {"upstream": {"read_timeout": 5}}

    def start(self, values, later=None, count=1):
        """The next connection has these; those that are there are used up first."""
        self.lab.signal(1)  # a reload: the pool lets go
        time.sleep(0.3)
        self.cloud.fail("settings", host=VERTEX, times=count, values=values, later=later)

    def crowd(self, count, body=BODY):
        with contextlib.closing(self.lab.tunnel(VERTEX, h2=True, timeout=40)) as tunnel:
            xs = [tunnel.open("POST", GENERATE, BEARER, body) for _ in range(count)]
            tunnel.wait(*xs)
        self.assertEqual([x.status for x in xs], [200] * count)
        used = [r for r in self.cloud.stats()["rules"] if r["kind"] == "settings"]
        self.assertGreater(sum(r["hits"] for r in used), 0, "the connection was not new")
        self.serves()
        self.assertCleanCloud()

    def test_no_streams_at_first(self):
        self.start({3: 0}, {3: 100})
        self.crowd(20)

    def test_no_streams_ever(self):
        self.start({3: 0}, count=20)
        began = time.monotonic()
        self.assertIn(self.ask()[0], (504, BAD, ELSEWHERE))
        self.assertLess(time.monotonic() - began, 12)
        self.serves()

    def test_one_stream(self):
        self.start({3: 1}, count=50)
        self.crowd(20)

    def test_no_header_table(self):
        self.start({1: 0})
        self.crowd(20)

    def test_a_large_header_table(self):
        self.start({1: 65536})
        self.crowd(20)

    def test_no_window_at_first(self):
        for window in (0, 1):
            with self.subTest(window=window):
                self.start({4: window}, {4: 65535})
                self.crowd(5, b'{"a":"' + b"x" * 100000 + b'"}')

    def test_a_window_that_shrinks(self):
        self.start({4: 65535}, {4: 100})
        self.crowd(5, b'{"a":"' + b"x" * 300000 + b'"}')

    def test_frames_of_each_size(self):
        for most in (16384, (1 << 24) - 1):
            with self.subTest(most=most):
                self.start({5: most})
                self.crowd(3, b'{"a":"' + b"x" * 500000 + b'"}')

    def test_a_short_header_list(self):
        self.start({6: 8192})
        self.crowd(3)


class Beginnings(UpstreamCase):
    """What comes instead of a provider's SETTINGS."""

    def test_first_words(self):
        for steps, then in (([{"raw": base64.b64encode(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").decode()}], None),
                            ([step(PING, 0, 0, bytes(8))], None), ([step(SETTINGS, ACK)], None), ([head(stream=1)], None),
                            ([step(SETTINGS), step(GOAWAY, 0, 0, bytes(8))], None), ([step(SETTINGS)], "fin"), ([], "rst"), ([], "close")):
            with self.subTest(steps=steps, then=then):
                self.cloud.reset()
                self.lab.signal(1)
                time.sleep(0.3)
                self.play(*steps, kind="frames-at-start", then=then)
                self.assertIn(self.ask()[0], BOTH)
                self.serves()

    def test_silence(self):
        self.lab.signal(1)
        time.sleep(0.3)
        self.play(kind="frames-at-start")
        began = time.monotonic()
        self.assertIn(self.ask()[0], (504, BAD, ELSEWHERE))
        self.assertLess(time.monotonic() - began, 9)
        self.serves()


class Pairings(LabCase):
    """Whoever speaks what: what is lost or refused before the answer is asked elsewhere, and the client sees a 200."""

    def test_all_four(self):
        for back in (False, True):
            with contextlib.closing(Lab(accounts=4, cloud_args=("--h2",) if back else ())) as lab:
                kinds = [("cut-before-head", {"how": how}) for how in ("fin", "rst", "close")] + [("cut-on-head", {})]
                kinds += [("refuse", {}), ("goaway", {})] if back else []
                for front in (False, True):
                    for kind, how in kinds:
                        for warm in (False, True):  # over a connection that has served, too
                            with self.subTest(front=front, back=back, kind=kind, warm=warm, **how):
                                lab.cloud.reset()
                                if warm:
                                    self.assertStatus(lab.ask(token=ALICE, h2=front), 200)
                                lab.cloud.fail(kind, host=VERTEX, times=2, **how)
                                response = lab.ask(token=ALICE, h2=front)
                                self.assertStatus(response, 200)
                                self.assertEqual(response.body, WANTED)
                                self.assertEqual({r["alpn"] for r in lab.cloud.log(VERTEX)}, {"h2" if back else "http/1.1"})
                self.assertEqual(lab.query("SELECT account, reason FROM cooldown"), [])


if __name__ == "__main__":
    import unittest
    unittest.main()
