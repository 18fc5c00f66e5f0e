"""HTTP/2 frame by frame from a client's side: what RFC 9113 and RFC 7541 say must become of each, and floods.

After every case a new connection is served; where only a stream was to blame, so is the same one.
"""
import collections
import contextlib
import re
import time

import answers
import wire2
from harness import ALICE, BODY, GENERATE, VERTEX, LabCase
from wire2 import (ACK, CALM, CANCEL, CLOSED, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL, FRAME_SIZE, GOAWAY, HAS_PRIORITY,
                   HEADERS, NO_ERROR, PADDED, PING, PREFACE, PRIORITY, PROTOCOL, PUSH_PROMISE, REFUSED, RST_STREAM, SETTINGS, WINDOW_UPDATE, block,
                   frame, headers, literal, number, setting, u32)

OF_BYTES = True


def answers_of(body):
    return answers.expected("gemini", "gemini-2.5-pro", body)


WANTED = answers_of(BODY)
PSEUDO = [(":method", "POST"), (":scheme", "https"), (":authority", VERTEX), (":path", GENERATE)]
BEARER = ("authorization", "Bearer " + ALICE)
GOOD = PSEUDO + [BEARER]
OPTIONS = [(":method", "OPTIONS")] + PSEUDO[1:]
GOAWAY_IS = collections.namedtuple("GOAWAY_IS", "codes")      # a connection error
RESET_IS = collections.namedtuple("RESET_IS", "codes")        # stream 1 is reset
STATUS_IS = collections.namedtuple("STATUS_IS", "status")     # stream 1 is answered
FINE = STATUS_IS(200)


def connection(*codes):
    return GOAWAY_IS(frozenset(codes))


def stream(*codes):
    return RESET_IS(frozenset(codes))


def either(*outcomes):
    """Where the RFC leaves it to us."""
    return outcomes


def post(number=1, fields=GOOD, body=BODY):
    return headers(number, fields, end=False) + frame(DATA, END_STREAM, number, body)


def without(name, fields=GOOD):
    return [(n, v) for n, v in fields if n != name]


def put(name, value):
    return [(n, value if n == name else v) for n, v in GOOD]


HALF = headers(1, GOOD, end=False)                      # a request that goes on
OPEN = block(GOOD)
CONTENT = [("content-length", "5")]

# name: (section of RFC 9113 or of RFC 7541 with "H", frames behind preface and SETTINGS, outcome)
CASES = {
    # frames and their size
    "data too large": ("4.2", HALF + frame(DATA, 0, 1, bytes(16385)), either(connection(FRAME_SIZE), stream(FRAME_SIZE))),
    "headers too large": ("4.2", frame(HEADERS, 5, 1, OPEN + literal("x-pad", "p" * 16384)), connection(FRAME_SIZE)),
    "settings too large": ("4.2", frame(SETTINGS, 0, 0, setting((0x99, 1)) * 2731), connection(FRAME_SIZE)),
    "an unknown frame too large": ("4.2", frame(0xb0, 0, 0, bytes(16385)), connection(FRAME_SIZE)),
    "an unknown frame": ("5.5", frame(0xb0, 0xff, 1, b"what") + post(), FINE),
    "unknown flags": ("4.1", frame(HEADERS, 0xd2 | END_HEADERS, 1, OPEN) + frame(DATA, 0xf7 & ~PADDED, 1, BODY), FINE),
    "the reserved bit": ("4.1", frame(HEADERS, END_HEADERS, 1 | 1 << 31, OPEN) + frame(DATA, END_STREAM, 1 | 1 << 31, BODY), FINE),
    # states of streams
    "data on an idle stream": ("5.1", frame(DATA, 0, 1, b"x"), connection(PROTOCOL)),
    "reset of an idle stream": ("5.1", frame(RST_STREAM, 0, 1, u32(CANCEL)), connection(PROTOCOL)),
    "window of an idle stream": ("5.1", frame(WINDOW_UPDATE, 0, 1, u32(1)), connection(PROTOCOL)),
    "continuation of an idle stream": ("5.1", frame(CONTINUATION, 4, 1, OPEN), connection(PROTOCOL)),
    "priority of an idle stream": ("5.1", frame(PRIORITY, 0, 9, u32(0) + b"\x10") + post(), FINE),
    "data behind the end": ("5.1", post() + frame(DATA, 0, 1, b"x"), either(connection(CLOSED), stream(CLOSED), FINE)),
    "headers behind the end": ("5.1", post() + headers(1, GOOD), either(connection(CLOSED, PROTOCOL), stream(CLOSED), FINE)),
    "window behind the end": ("5.1", post() + frame(WINDOW_UPDATE, 0, 1, u32(1)), FINE),
    "data behind a reset": ("5.1", HALF + frame(RST_STREAM, 0, 1, u32(CANCEL)) + frame(DATA, 0, 1, b"x") + post(3), "3"),
    "headers behind a reset": ("5.1", HALF + frame(RST_STREAM, 0, 1, u32(CANCEL)) + headers(1, GOOD) + post(3),
                               either(connection(CLOSED, PROTOCOL), "3")),
    "an even stream": ("5.1.1", headers(2, GOOD), connection(PROTOCOL)),
    "streams that go down": ("5.1.1", headers(5, GOOD, end=False) + headers(3, GOOD), connection(PROTOCOL, CLOSED)),
    "a stream of its own size": ("5.1.1", post(0x7fffffff), "0x7fffffff"),
    "a stream depends on itself": ("5.3", frame(HEADERS, 0x25, 1, u32(1) + b"\0" + OPEN), either(connection(PROTOCOL), stream(PROTOCOL))),
    "priority on itself": ("5.3", HALF + frame(PRIORITY, 0, 1, u32(1) + b"\0"), either(connection(PROTOCOL), stream(PROTOCOL))),
    # DATA
    "data on stream 0": ("6.1", HALF + frame(DATA, 0, 0, b"x"), connection(PROTOCOL)),
    "data of padding alone": ("6.1", HALF + frame(DATA, PADDED, 1, b"\x02\0\0") + frame(DATA, END_STREAM, 1, BODY), FINE),
    "padded data": ("6.1", HALF + frame(DATA, PADDED | END_STREAM, 1, b"\x05" + BODY + bytes(5)), FINE),
    "padding longer than data": ("6.1", HALF + frame(DATA, PADDED, 1, b"\x06abcde"), connection(PROTOCOL)),
    "padded data without its length": ("6.1", HALF + frame(DATA, PADDED, 1), connection(FRAME_SIZE, PROTOCOL)),
    # HEADERS
    "headers on stream 0": ("6.2", headers(0, GOOD), connection(PROTOCOL)),
    "padded headers": ("6.2", frame(HEADERS, 0xc, 1, b"\x03" + OPEN + bytes(3)) + frame(DATA, END_STREAM, 1, BODY), FINE),
    "padding longer than headers": ("6.2", frame(HEADERS, 0xd, 1, b"\x05abcd"), connection(PROTOCOL)),
    "headers with priority": ("6.2", frame(HEADERS, 0x24, 1, u32(0) + b"\x10" + OPEN) + frame(DATA, END_STREAM, 1, BODY), FINE),
    "headers too short for priority": ("6.2", frame(HEADERS, 0x25, 1, b"\0\0"), connection(FRAME_SIZE, PROTOCOL)),
    # PRIORITY, RST_STREAM
    "priority on stream 0": ("6.3", frame(PRIORITY, 0, 0, u32(1) + b"\0"), connection(PROTOCOL)),
    "priority of four bytes": ("6.3", HALF + frame(PRIORITY, 0, 1, u32(0)), either(connection(FRAME_SIZE), stream(FRAME_SIZE))),
    "reset of stream 0": ("6.4", frame(RST_STREAM, 0, 0, u32(CANCEL)), connection(PROTOCOL)),
    "reset of three bytes": ("6.4", HALF + frame(RST_STREAM, 0, 1, b"\0\0\0"), connection(FRAME_SIZE)),
    "reset with an unknown code": ("7", HALF + frame(RST_STREAM, 0, 1, u32(0x7777)) + post(3), "3"),
    # SETTINGS
    "settings on a stream": ("6.5", frame(SETTINGS, 0, 1), connection(PROTOCOL)),
    "settings of five bytes": ("6.5", frame(SETTINGS, 0, 0, bytes(5)), connection(FRAME_SIZE)),
    "settings acknowledged with payload": ("6.5", frame(SETTINGS, ACK, 0, setting((3, 1))), connection(FRAME_SIZE)),
    "an unknown setting": ("6.5.2", frame(SETTINGS, 0, 0, setting((0xfe, 7), (0, 1), (0x0a0a, 1))) + post(), FINE),
    "a setting twice": ("6.5.3", frame(SETTINGS, 0, 0, setting((4, 1), (4, 70000))) + post(), FINE),
    "push neither on nor off": ("6.5.2", frame(SETTINGS, 0, 0, setting((2, 2))), connection(PROTOCOL)),
    "a window too large": ("6.5.2", frame(SETTINGS, 0, 0, setting((4, 1 << 31))), connection(FLOW_CONTROL)),
    "frames too small": ("6.5.2", frame(SETTINGS, 0, 0, setting((5, 16383))), connection(PROTOCOL)),
    "frames too large": ("6.5.2", frame(SETTINGS, 0, 0, setting((5, 1 << 24))), connection(PROTOCOL)),
    "frames as large as can be": ("6.5.2", frame(SETTINGS, 0, 0, setting((5, (1 << 24) - 1))) + post(), FINE),
    "no header table": ("6.5.2", frame(SETTINGS, 0, 0, setting((1, 0))) + post(), FINE),
    "a huge header table": ("6.5.2", frame(SETTINGS, 0, 0, setting((1, 0xffffffff))) + post(), FINE),
    "no streams of ours": ("6.5.2", frame(SETTINGS, 0, 0, setting((3, 0))) + post(), FINE),
    "no header list": ("6.5.2", frame(SETTINGS, 0, 0, setting((6, 0))) + post(), FINE),
    "extended CONNECT as a client's": ("RFC 8441 3", frame(SETTINGS, 0, 0, setting((8, 1))) + post(), FINE),
    # PUSH_PROMISE, PING, GOAWAY
    "a promise of a client": ("8.4", HALF + frame(PUSH_PROMISE, 4, 1, u32(2) + OPEN), connection(PROTOCOL)),
    "a ping on a stream": ("6.7", frame(PING, 0, 1, bytes(8)), connection(PROTOCOL)),
    "a ping of seven bytes": ("6.7", frame(PING, 0, 0, bytes(7)), connection(FRAME_SIZE)),
    "a ping's answer that nobody asked for": ("6.7", frame(PING, ACK, 0, bytes(8)) + post(), FINE),
    "goaway on a stream": ("6.8", frame(GOAWAY, 0, 1, bytes(8)), connection(PROTOCOL)),
    "goaway of seven bytes": ("6.8", frame(GOAWAY, 0, 0, bytes(7)), connection(FRAME_SIZE)),
    "goaway, and what began before": ("6.8", HALF + frame(GOAWAY, 0, 0, bytes(8) + b"bye") + frame(DATA, END_STREAM, 1, BODY), FINE),
    # WINDOW_UPDATE
    "no more window": ("6.9", frame(WINDOW_UPDATE, 0, 0, u32(0)), connection(PROTOCOL)),
    "no more window of a stream": ("6.9", HALF + frame(WINDOW_UPDATE, 0, 1, u32(0)), either(connection(PROTOCOL), stream(PROTOCOL))),
    "a window of three bytes": ("6.9", frame(WINDOW_UPDATE, 0, 0, bytes(3)), connection(FRAME_SIZE)),
    "too much window": ("6.9.1", frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)), connection(FLOW_CONTROL)),
    "too much window of a stream": ("6.9.1", HALF + frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff)), either(connection(FLOW_CONTROL), stream(FLOW_CONTROL))),
    "too much window by a setting": ("6.9.2", HALF + frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff - 65535)) + frame(SETTINGS, 0, 0, setting((4, 65536))),
                                     either(connection(FLOW_CONTROL), stream(FLOW_CONTROL))),
    # CONTINUATION
    "headers in three pieces": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + frame(CONTINUATION, 0, 1, OPEN[9:40]) + frame(CONTINUATION, 4, 1, OPEN[40:]) +
                                frame(DATA, END_STREAM, 1, BODY), FINE),
    "a continuation of nothing": ("6.10", HALF + frame(CONTINUATION, 4, 1), connection(PROTOCOL)),
    "a continuation on stream 0": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + frame(CONTINUATION, 4, 0, OPEN[9:]), connection(PROTOCOL)),
    "a continuation of another stream": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + frame(CONTINUATION, 4, 3, OPEN[9:]), connection(PROTOCOL)),
    "headers among continuations": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + headers(3, GOOD), connection(PROTOCOL)),
    "data among continuations": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + frame(DATA, 0, 1, b"x"), connection(PROTOCOL)),
    "a ping among continuations": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + frame(PING, 0, 0, bytes(8)), connection(PROTOCOL)),
    "an unknown frame among continuations": ("6.10", frame(HEADERS, 0, 1, OPEN[:9]) + frame(0xb0, 0, 1), connection(PROTOCOL)),
    # HPACK
    "index 0": ("H 6.1", headers(1, b"\x80"), connection(COMPRESSION)),
    "an index behind the tables": ("H 2.3.3", headers(1, b"\x82" + number(70, 7, 0x80)), connection(COMPRESSION)),
    "a name behind the tables": ("H 2.3.3", headers(1, number(70, 4, 0x10) + b"\x01x"), connection(COMPRESSION)),
    "an index without end": ("H 5.1", headers(1, b"\xff" + b"\xff" * 12), connection(COMPRESSION)),
    "a string longer than its block": ("H 5.2", headers(1, b"\x10\x05ab"), connection(COMPRESSION)),
    "Huffman's end": ("H 5.2", headers(1, OPEN + b"\x10\x01x\x84\xff\xff\xff\xff"), connection(COMPRESSION)),
    "Huffman with zeros for padding": ("H 5.2", headers(1, OPEN + b"\x10\x01x\x81\x18"), connection(COMPRESSION)),
    "Huffman with a byte of padding": ("H 5.2", headers(1, OPEN + b"\x10\x01x\x82\x1f\xff"), connection(COMPRESSION)),
    "a table larger than ours": ("H 6.3", headers(1, number(4097, 5, 0x20) + OPEN), connection(COMPRESSION)),
    "a table's size behind a field": ("H 4.2", headers(1, OPEN + number(100, 5, 0x20)), connection(COMPRESSION)),
    "a smaller table": ("H 4.2", headers(1, number(0, 5, 0x20) + number(100, 5, 0x20) + OPEN, end=False) + frame(DATA, END_STREAM, 1, BODY), FINE),
    "empty names": ("8.2.1", headers(1, GOOD + [("", "x")]), stream(PROTOCOL)),
    # messages
    "a method alone": ("8.3.1", headers(1, GOOD[:1]), stream(PROTOCOL)),
    "no fields at all": ("8.3.1", headers(1, b""), stream(PROTOCOL)),
    "headers twice": ("8.1", HALF + headers(1, [("x-a", "b")], end=False), stream(PROTOCOL)),
    "trailers": ("8.1", HALF + frame(DATA, 0, 1, BODY) + headers(1, [("x-a", "b")]), FINE),
    "trailers with a pseudo field": ("8.1", HALF + frame(DATA, 0, 1, BODY) + headers(1, [(":path", "/")]), stream(PROTOCOL)),
    "trailers with a length": ("8.1", HALF + frame(DATA, 0, 1, BODY) + headers(1, [("content-length", "5")]), either(stream(PROTOCOL), FINE)),
    "less than its length": ("8.1.1", headers(1, GOOD + CONTENT, end=False) + frame(DATA, END_STREAM, 1, b"1234"), stream(PROTOCOL)),
    "more than its length": ("8.1.1", headers(1, GOOD + CONTENT, end=False) + frame(DATA, END_STREAM, 1, b"123456"), stream(PROTOCOL)),
    "more than its length in pieces": ("8.1.1", headers(1, GOOD + CONTENT, end=False) + frame(DATA, 0, 1, b"123") + frame(DATA, 0, 1, b"456"), stream(PROTOCOL)),
    "a length and no body": ("8.1.1", headers(1, GOOD + CONTENT), either(stream(PROTOCOL), STATUS_IS(400))),
    "a body of exactly its length": ("8.1.1", headers(1, GOOD + [("content-length", str(len(BODY)))], end=False) + frame(DATA, 0, 1, BODY) +
                                     frame(DATA, END_STREAM, 1), FINE),
    "upper case": ("8.2.1", headers(1, GOOD + [("X-A", "b")]), stream(PROTOCOL)),
    "a line in a value": ("8.2.1", headers(1, GOOD + [("x-a", "b\r\nx-c: d")]), stream(PROTOCOL)),
    "a space before a value": ("8.2.1", headers(1, GOOD + [("x-a", " b")]), stream(PROTOCOL)),
    "a colon in a name": ("8.2.1", headers(1, GOOD + [("x:a", "b")]), stream(PROTOCOL)),
    "te: trailers": ("8.2.2", post(1, GOOD + [("te", "trailers")]), FINE),
    "a pseudo field behind others": ("8.3", headers(1, GOOD[:3] + [("x-a", "b")] + GOOD[3:]), stream(PROTOCOL)),
    "an unknown pseudo field": ("8.3", headers(1, GOOD[:4] + [(":colour", "red"), BEARER]), stream(PROTOCOL)),
    "an answer's pseudo field": ("8.3", headers(1, GOOD[:4] + [(":status", "200"), BEARER]), stream(PROTOCOL)),
    "an empty path": ("8.3.1", headers(1, put(":path", "")), stream(PROTOCOL)),
    "a path without a slash": ("8.3.1", headers(1, put(":path", "v1/x")), stream(PROTOCOL)),
    "a scheme that is not https": ("8.3.1", headers(1, put(":scheme", "http")), STATUS_IS(421)),
    "another authority": ("8.3.1", headers(1, put(":authority", "other.test")), STATUS_IS(421)),
    "CONNECT": ("8.5", headers(1, [(":method", "CONNECT"), (":authority", VERTEX)], end=False), either(stream(PROTOCOL), STATUS_IS(405), STATUS_IS(400))),
    "CONNECT with a path": ("8.5", headers(1, put(":method", "CONNECT"), end=False), stream(PROTOCOL)),
    "cookies in crumbs": ("8.2.3", post(1, GOOD + [("cookie", "a=b"), ("cookie", "c=d")]), FINE),
}
CASES.update({f"no {n}": ("8.3.1", headers(1, without(n)), stream(PROTOCOL)) for n in (":method", ":scheme", ":authority", ":path")})
CASES.update({f"{n} twice": ("8.3.1", headers(1, GOOD[:4] + [(n, v)] + GOOD[4:]), stream(PROTOCOL)) for n, v in PSEUDO})
CASES.update({f"{n}: {v}": ("8.2.2", headers(1, GOOD + [(n, v)]), stream(PROTOCOL)) for n, v in (
    ("connection", "keep-alive"), ("connection", "x-a"), ("keep-alive", "timeout=5"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, deflate"))})


class FramesCase(LabCase):
    LAB = {"accounts": 3, "conf": {"limits": {"header_timeout": 3}}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert cls.lab.ask(token=ALICE).status == 200  # a token is there

    def wire(self, *first, **how):
        wire = wire2.Wire(self.lab.tunnel(VERTEX, alpn=["h2"]), *first, **how)
        self.addCleanup(wire.close)
        return wire

    def serves(self, wire=None, number=101):
        """A new connection, or WIRE by a stream NUMBER, is served."""
        if wire:
            wire.send(post(number))
            answer = wire.over(number)
            self.assertEqual((answer.status, bytes(answer.body)), (200, WANTED))
        else:
            self.assertStatus(self.lab.ask(token=ALICE, h2=True), 200)

    def expect(self, wire, *outcomes):
        """True when it was one of them; a text is the number of a stream that must be answered with 200."""
        one = next((int(o, 0) for o in outcomes if isinstance(o, str)), 1)
        answer = wire.answer(one)
        is_last = all(isinstance(o, GOAWAY_IS) for o in outcomes)
        wire.until(lambda: wire.eof or wire.goaway or (answer.is_over and not is_last))
        return any(self.is_one(wire, o, answer) for o in outcomes)

    def is_one(self, wire, outcome, answer):
        if isinstance(outcome, GOAWAY_IS):
            return wire.goaway is not None and wire.goaway[0] in outcome.codes and wire.until(lambda: wire.eof, 5)
        if isinstance(outcome, RESET_IS):
            return wire.goaway is None and answer.reset in outcome.codes and answer.status is None
        return answer.ended and answer.status == (200 if isinstance(outcome, str) else outcome.status)


class Front(FramesCase):
    pass


def make(name, section, data, outcome):
    outcomes = outcome if isinstance(outcome, tuple) and not hasattr(outcome, "_fields") else (outcome,)

    def test(self):
        before = len(self.cloud.log(VERTEX))
        wire = self.wire()
        wire.send(data)
        self.assertTrue(self.expect(wire, *outcomes),
                        f"RFC 9113 {section}: goaway {wire.goaway}, end {wire.eof}, " +
                        str({n: (a.status, a.reset, a.ended) for n, a in wire.answers.items()}))
        if not any(isinstance(o, GOAWAY_IS) for o in outcomes) and "goaway" not in name and "0x7fffffff" not in outcomes:
            self.serves(wire)
        if all(isinstance(o, RESET_IS) or (isinstance(o, STATUS_IS) and o.status >= 400) for o in outcomes):
            whole = [r for r in self.cloud.log(VERTEX)[before:] if r["status"] == 200]
            self.assertEqual(len(whole), 1)  # of serves(): nothing else was asked for to its end
        self.serves()
        self.assertCleanCloud()
    test.__doc__ = None
    return test


for _name, _case in CASES.items():
    setattr(Front, "test_" + re.sub(r"\W+", "_", _name).strip("_"), make(_name, *_case))


class Start(FramesCase):
    """The preface (section 3.4), and what must be the first frame."""

    def test_a_wrong_preface(self):
        for first in (PREFACE.replace(b"SM", b"SX"), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\0" * 24, frame(SETTINGS)):
            with self.subTest(first=first):
                wire = self.wire(first + frame(SETTINGS) + post())
                self.assertTrue(wire.until(lambda: wire.eof, 6))
                self.assertIsNone(wire.answer(1).status)
        self.serves()

    def test_no_settings_first(self):
        for first in (post(), frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK), frame(WINDOW_UPDATE, 0, 0, u32(1))):
            with self.subTest(first=first[:9]):
                wire = self.wire(PREFACE + first)
                self.assertTrue(self.expect(wire, connection(PROTOCOL)))
        self.serves()

    def test_byte_by_byte(self):
        wire = self.wire(b"")
        for byte in PREFACE + frame(SETTINGS, 0, 0, setting((4, 70000))) + post():
            wire.send(bytes([byte]))
        self.assertEqual(wire.over(1).status, 200)

    def test_our_own_first_words(self):
        wire = self.wire()
        wire.until(lambda: wire.is_acknowledged)
        self.assertEqual(wire.frames[0][:3], (SETTINGS, 0, 0))
        said = dict((int.from_bytes(wire.frames[0][3][i:i + 2], "big"), int.from_bytes(wire.frames[0][3][i + 2:i + 6], "big"))
                    for i in range(0, len(wire.frames[0][3]), 6))
        self.assertEqual((said[3], said[4], said[8]), (100, 131072, 1))

    def test_nothing_but_a_preface(self):
        began = time.monotonic()
        wire = self.wire()
        self.assertTrue(wire.until(lambda: wire.eof, 10))
        self.assertLess(time.monotonic() - began, 8)


class Flow(FramesCase):
    """Windows (section 6.9) in both directions, and answers in time."""

    def ask(self, wire, number=1, size=100000):
        wire.send(post(number, body=b'{"fake":{"bytes":%d}}' % size))

    def body(self, size):
        return answers_of(b'{"fake":{"bytes":%d}}' % size)

    def test_a_ping_is_answered_with_its_own_bytes(self):
        wire = self.wire()
        wire.send(frame(PING, 0, 0, b"12345678"))
        self.assertTrue(wire.until(lambda: (PING, ACK, 0, b"12345678") in wire.frames))

    def test_no_more_than_the_streams_window(self):
        for window in (0, 1, 1000, 65535):
            with self.subTest(window=window):
                wire = self.wire(PREFACE + frame(SETTINGS, 0, 0, setting((4, window))))
                self.ask(wire, size=50000 + window)
                wire.until(lambda: wire.answer(1).is_over or len(wire.answer(1).body) > window, 0.7)
                self.assertEqual((wire.answer(1).status, len(wire.answer(1).body)), (200, window))
                wire.send(frame(WINDOW_UPDATE, 0, 0, u32(1 << 20)) + frame(WINDOW_UPDATE, 0, 1, u32(10)))
                wire.until(lambda: len(wire.answer(1).body) > window + 10, 0.5)
                self.assertEqual(len(wire.answer(1).body), window + 10)
                wire.send(frame(WINDOW_UPDATE, 0, 1, u32(1 << 20)))
                self.assertEqual(bytes(wire.over(1).body), self.body(50000 + window))

    def test_no_more_than_the_connections_window(self):
        wire = self.wire(PREFACE + frame(SETTINGS, 0, 0, setting((4, 1 << 20))))
        self.ask(wire, 1, 200000)
        self.ask(wire, 3, 200000)
        wire.until(lambda: False, 0.7)
        self.assertEqual(len(wire.answer(1).body) + len(wire.answer(3).body), 65535)
        wire.send(frame(WINDOW_UPDATE, 0, 0, u32(1 << 20)))
        for one in (1, 3):
            self.assertEqual(bytes(wire.over(one).body), self.body(200000))

    def test_a_window_that_becomes_negative(self):
        wire = self.wire(PREFACE + frame(SETTINGS, 0, 0, setting((4, 30000))))
        self.ask(wire)
        wire.until(lambda: len(wire.answer(1).body) >= 30000)
        wire.send(frame(SETTINGS, 0, 0, setting((4, 10000))) + frame(WINDOW_UPDATE, 0, 1, u32(20000)))  # that makes 0 of -20000
        wire.until(lambda: False, 0.5)
        self.assertEqual(len(wire.answer(1).body), 30000)
        wire.send(frame(WINDOW_UPDATE, 0, 0, u32(1 << 20)) + frame(WINDOW_UPDATE, 0, 1, u32(5)))
        wire.until(lambda: len(wire.answer(1).body) > 30005, 0.5)
        self.assertEqual(len(wire.answer(1).body), 30005)
        wire.send(frame(SETTINGS, 0, 0, setting((4, 1 << 20))))
        self.assertEqual(bytes(wire.over(1).body), self.body(100000))

    def test_frames_of_the_size_that_the_client_takes(self):
        for most in (16384, 1 << 20):
            wire = self.wire(PREFACE + frame(SETTINGS, 0, 0, setting((4, 1 << 21), (5, most))) + frame(WINDOW_UPDATE, 0, 0, u32(1 << 21)))
            self.ask(wire, size=500000)
            self.assertEqual(bytes(wire.over(1).body), self.body(500000))
            self.assertLessEqual(wire.answer(1).most, most)

    def test_a_client_that_sends_more_than_its_window(self):
        self.cloud.fail("stall-on-head", host=VERTEX, times=1)
        wire = self.wire()
        wire.until(lambda: wire.is_acknowledged)
        wire.send(HALF)
        for _ in range(4000):  # the provider does not read either: what the kernels take is no violation
            wire.send(frame(DATA, 0, 1, b" " * 16384))
            wire.more(0.0001)
            if wire.goaway or wire.eof or wire.answer(1).is_over:
                break
        self.assertTrue(self.expect(wire, stream(FLOW_CONTROL), connection(FLOW_CONTROL)))
        self.serves()

    def test_a_client_gets_its_window_back(self):
        wire = self.wire()
        wire.until(lambda: wire.is_acknowledged)
        size = 0
        wire.send(HALF)
        while size < 1 << 20:
            wire.send(frame(DATA, 0, 1, b" " * 16384))
            size += 16384
            wire.until(lambda: 131072 + sum(int.from_bytes(p, "big") for k, _, s, p in wire.frames if k == WINDOW_UPDATE and s == 1) >= size + 16384)
        wire.send(frame(DATA, END_STREAM, 1, BODY))
        self.assertEqual(wire.over(1).status, 200)

    def test_padding_counts(self):
        wire = self.wire()
        wire.send(HALF)
        for _ in range(400):  # 100 KB of padding alone
            wire.send(frame(DATA, PADDED, 1, b"\xff" + bytes(255)))
            wire.more(0.001)
        wire.send(frame(DATA, END_STREAM, 1, BODY))
        self.assertEqual(wire.over(1).status, 200)

    def test_a_hundred_streams_and_no_more(self):
        self.cloud.fail("stall", host=VERTEX, times=-1)
        wire = self.wire()
        wire.until(lambda: wire.is_acknowledged)
        wire.send(*(headers(n, GOOD, end=False) for n in range(1, 205, 2)))
        wire.until(lambda: wire.goaway or any(a.reset is not None for a in wire.answers.values()))
        if not wire.goaway:
            refused = {n: a.reset for n, a in wire.answers.items() if a.reset is not None}
            self.assertTrue(wire.until(lambda: wire.answer(203).reset is not None))
            self.assertEqual(refused, {n: REFUSED for n in refused})
            self.assertGreaterEqual(min(refused), 201)
        else:
            self.assertIn(wire.goaway[0], (PROTOCOL, REFUSED))
        wire.close()
        self.cloud.heal()
        self.serves()

    def test_an_answer_before_the_request_ends(self):
        self.cloud.fail("early", host=VERTEX, times=1, status=413)
        wire = self.wire()
        wire.send(HALF + frame(DATA, 0, 1, b"{"))
        answer = wire.over(1)
        self.assertEqual((answer.status, answer.ended), (413, True))
        self.assertTrue(wire.until(lambda: answer.reset is not None))
        self.assertEqual(answer.reset, NO_ERROR)  # section 8.1
        wire.send(frame(DATA, 0, 1, b"more") + frame(DATA, END_STREAM, 1))
        self.serves(wire)

    def test_no_header_table_is_used_where_there_is_none(self):
        wire = self.wire(PREFACE + frame(SETTINGS, 0, 0, setting((1, 0))), table=0)
        for one in (1, 3, 5):
            wire.send(post(one))
            self.assertEqual(wire.over(one).status, 200)


class Floods(FramesCase):
    """Frames that cost and bring nothing (T-10): the connection ends, others never notice."""

    LAB = {"accounts": 3}  # a flood may take longer than the short deadline of the others

    def flood(self, data, codes=(CALM,), count=3000, first=b"", good=None):
        before = self.lab.rss()
        with contextlib.closing(self.lab.tunnel(VERTEX, h2=True)) as honest:
            self.assertStatus(honest.ask("POST", GENERATE, BODY, [BEARER]), 200)
            wire = self.wire()
            wire.until(lambda: wire.is_acknowledged)
            wire.send(first)
            for at in range(0, count, 100):
                wire.send(*(data(i) if callable(data) else data for i in range(at, at + 100)))
                if wire.eof or not wire.until(lambda: True) or wire.goaway:
                    break
                wire.more(0.001)
            self.assertTrue(wire.until(lambda: wire.eof, 10), "it goes on")
            self.assertTrue(wire.goaway is None or wire.goaway[0] in codes, wire.goaway)
            self.assertStatus(honest.ask("POST", GENERATE, BODY, [BEARER]), 200)
        self.assertLess(self.lab.rss() - before, 64 << 20)
        self.serves()

    def test_pings(self):
        self.flood(frame(PING, 0, 0, bytes(8)))

    def test_settings(self):
        self.flood(frame(SETTINGS, 0, 0, setting((4, 65535))))

    def test_data_without_bytes(self):
        self.flood(frame(DATA, 0, 1), first=HALF)

    def test_padding_alone(self):
        self.flood(frame(DATA, PADDED, 1, b"\0"), first=HALF)

    def test_priorities(self):
        self.flood(frame(PRIORITY, 0, 1, u32(0) + b"\x10"))

    def test_windows(self):
        self.flood(frame(WINDOW_UPDATE, 0, 0, u32(1)))

    def test_resets_of_requests(self):
        self.cloud.fail("stall", host=VERTEX, times=-1)
        self.cloud.heal()
        self.flood(lambda i: headers(2 * i + 1, GOOD, end=False) + frame(RST_STREAM, 0, 2 * i + 1, u32(CANCEL)), codes=(CALM, NO_ERROR, 2))
        seen = len([r for r in self.cloud.log(VERTEX)])
        self.assertLess(seen, 1500)

    def test_resets_that_we_are_made_to_say(self):
        self.flood(lambda i: headers(2 * i + 1, GOOD, end=False) + frame(WINDOW_UPDATE, 0, 2 * i + 1, u32(0)), codes=(CALM, PROTOCOL))

    def test_requests_that_are_none(self):
        self.flood(lambda i: headers(2 * i + 1, [(":method", "GET")]))

    def test_continuations(self):
        self.flood(frame(CONTINUATION, 0, 1, b""), first=frame(HEADERS, 0, 1, OPEN[:9]), codes=(CALM, PROTOCOL, COMPRESSION, 2))

    def test_a_head_without_end(self):
        piece = literal("x-a", "v" * 16000)
        self.flood(frame(CONTINUATION, 0, 1, piece), first=frame(HEADERS, 0, 1, OPEN), codes=(CALM, PROTOCOL, COMPRESSION, 2), count=300)

    def test_unknown_frames(self):
        self.flood(frame(0xb0, 0, 0, bytes(16384)), count=2000)

    def test_a_bomb_of_references(self):
        wire = self.wire()
        wire.until(lambda: wire.is_acknowledged)
        before = self.lab.rss()
        bomb = literal("x-bomb", "b" * 3900, first=0x40) + b"\xbe" * 12000  # 47 MB when unpacked
        for one in range(1, 41, 2):
            wire.send(headers(one, block(GOOD) + bomb))
        wire.until(lambda: wire.eof or wire.answer(39).is_over)
        self.assertEqual({a.status for a in wire.answers.values()} - {431, None}, set())
        self.assertLess(self.lab.rss() - before, 32 << 20)
        self.serves()

    def test_a_head_that_never_ends(self):
        began = time.monotonic()
        wire = self.wire()
        wire.send(frame(HEADERS, 0, 1, OPEN[:9]))
        self.assertTrue(wire.until(lambda: wire.eof, 15))
        self.assertLess(time.monotonic() - began, 10)

    def test_who_pings_while_it_works_is_no_flood(self):
        with self.wire() as wire:
            for one in range(1, 2 * 40, 2):
                wire.send(frame(PING, 0, 0, bytes(8)) * 50, frame(WINDOW_UPDATE, 0, 0, u32(1)) * 20, post(one))
                self.assertEqual(wire.over(one).status, 200)

    def test_who_cancels_now_and_then_is_no_flood(self):
        with self.wire() as wire:
            for one in range(1, 2 * 60, 2):
                wire.send(post(one) if one % 4 == 1 else HALF.replace(u32(1), u32(one), 1) + frame(RST_STREAM, 0, one, u32(CANCEL)))
                if one % 4 == 1:
                    self.assertEqual(wire.over(one).status, 200)


if __name__ == "__main__":
    import unittest
    unittest.main()
