"""Answers that a hostile or broken provider might give, and what a client may see of each.

One table for the end-to-end tests (test_answers.py) and for fuzzing: seeds() yields (name, bytes).  A vector's bytes
hold the word `evil` wherever nothing of them may reach a client.
"""
import dataclasses

PASSED, REFUSED, CUT = "passed", "502", "cut"
OK = b"HTTP/1.1 200 OK\r\n"
END = b"\r\n"
TWO = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@dataclasses.dataclass
class Vector:
    """parts: what the provider sends, one after the other.  want: PASSED (status, body, has: fields that the client
    must see, lacks: names that it must not), REFUSED (our own 502) or CUT (body is what may have come before).
    end: keep (the connection stays), close (close_notify and FIN), fin, rst.  reuse: may the connection carry
    another request?  None: nobody minds."""

    name: str
    parts: tuple
    want: str
    status: int = 200
    body: bytes = b"{}"
    end: str = "keep"
    method: str = "POST"
    has: tuple = ()
    lacks: tuple = ()
    reuse: object = False

    @property
    def data(self):
        return b"".join(self.parts)


def passed(name, *parts, **more):
    return Vector(name, parts, PASSED, **more)


def refused(name, *parts, **more):
    return Vector(name, parts, REFUSED, **more)


def cut(name, *parts, body=b"", **more):
    return Vector(name, parts, CUT, body=body, **more)


def status_lines():
    tail = b"\r\nContent-Length: 4\r\n\r\nevil"
    lines = {
        "letters for digits": b"HTTP/1.1 2OO OK", "two digits": b"HTTP/1.1 20 OK", "four digits": b"HTTP/1.1 2000 OK",
        "one digit": b"HTTP/1.1 2 OK", "no status": b"HTTP/1.1 OK", "status glued": b"HTTP/1.1 200OK", "no space": b"HTTP/1.1200 OK",
        "status 000": b"HTTP/1.1 000 OK", "status 099": b"HTTP/1.1 099 OK", "status 600": b"HTTP/1.1 600 OK",
        "status 999": b"HTTP/1.1 999 OK", "status minus": b"HTTP/1.1 -20 OK", "status plus": b"HTTP/1.1 +20 OK",
        "status hex": b"HTTP/1.1 0xc8 OK", "status float": b"HTTP/1.1 200.0 OK", "status spaced": b"HTTP/1.1 2 00 OK",
        "two spaces": b"HTTP/1.1  200 OK", "tab": b"HTTP/1.1\t200 OK", "tab behind status": b"HTTP/1.1 200\tOK",
        "space first": b" HTTP/1.1 200 OK", "tab first": b"\tHTTP/1.1 200 OK", "line first": b"\r\nHTTP/1.1 200 OK",
        "bare lf first": b"\nHTTP/1.1 200 OK", "version 1.2": b"HTTP/1.2 200 OK", "version 2.0": b"HTTP/2.0 200 OK",
        "version 2": b"HTTP/2 200 OK", "version 3": b"HTTP/3 200 OK", "version 0.9": b"HTTP/0.9 200 OK", "version 0.0": b"HTTP/0.0 200 OK",
        "version 1": b"HTTP/1 200 OK", "version 1.10": b"HTTP/1.10 200 OK", "version 01.1": b"HTTP/01.1 200 OK",
        "version 1.1.1": b"HTTP/1.1.1 200 OK", "version overflow": b"HTTP/4294967297.1 200 OK", "version words": b"HTTP/one.one 200 OK",
        "version minus": b"HTTP/-1.1 200 OK", "version comma": b"HTTP/1,1 200 OK", "no version": b"HTTP 200 OK", "no slash": b"HTTP1.1 200 OK",
        "space in version": b"HTTP/ 1.1 200 OK", "space before slash": b"HTTP /1.1 200 OK", "lower case": b"http/1.1 200 OK",
        "mixed case": b"Http/1.1 200 OK", "other protocol": b"ICY 200 OK", "rtsp": b"RTSP/1.0 200 OK", "xhttp": b"XHTTP/1.1 200 OK",
        "nul in reason": b"HTTP/1.1 200 O\0K", "nul in status": b"HTTP/1.1 2\x0000 OK", "nul in version": b"HTTP/1.1\0 200 OK",
        "control in reason": b"HTTP/1.1 200 O\x01K", "escape in reason": b"HTTP/1.1 200 \x1b[31mOK", "delete in reason": b"HTTP/1.1 200 O\x7fK",
        "vtab in reason": b"HTTP/1.1 200 O\x0bK", "bare cr in reason": b"HTTP/1.1 200 O\rK", "cr cr": b"HTTP/1.1 200 OK\r",
        "bare cr field": b"HTTP/1.1 200 OK\rX-Evil: evil", "bare lf end": b"HTTP/1.1 200 OK\nX-A: b", "empty": b"",
        "only a name": b"HTTP/1.1", "only a version and space": b"HTTP/1.1 ", "request": b"GET /evil HTTP/1.1",
        "utf-8 mark first": b"\xef\xbb\xbfHTTP/1.1 200 OK", "high byte in version": b"HTTP/1.\xb1 200 OK",
    }
    for name, line in lines.items():
        yield refused("status line: " + name, line + tail)
    yield refused("http/0.9", b"<html>evil</html>\r\n", end="close")
    yield refused("http/0.9 with an empty line", b"<html>\r\n\r\nevil</html>", end="close")
    yield refused("binary", bytes(range(128, 256)) * 3 + b"evil", end="close")
    yield refused("nothing but zeros", b"\0" * 600, end="close")
    yield refused("a tls record", b"\x16\x03\x03\x00\x40" + b"\2" * 64, end="close")
    yield refused("an h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", end="close")
    yield refused("h2 settings", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", end="close")
    yield refused("an ssh banner", b"SSH-2.0-evil\r\n", end="close")
    yield refused("a mail banner", b"220 evil ESMTP\r\n", end="close")


def framings():
    chunks = b"4\r\nevil\r\n0\r\n\r\n"
    both = {
        "length and chunked": TWO + CHUNKED, "chunked and length": CHUNKED + TWO, "length 0 and chunked": b"Content-Length: 0\r\n" + CHUNKED,
        "chunked and bad length": CHUNKED + b"Content-Length: x\r\n", "length and identity": b"Content-Length: 4\r\nTransfer-Encoding: identity\r\n",
        "lower case both": b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
    }
    codings = {
        "identity": b" identity", "gzip": b" gzip", "gzip, chunked": b" gzip, chunked", "chunked, gzip": b" chunked, gzip",
        "chunked, identity": b" chunked, identity", "chunked twice": b" chunked, chunked", "xchunked": b" xchunked",
        "chunkedx": b" chunkedx", "chunk": b" chunk", "quoted": b' "chunked"', "parameter": b" chunked;q=1", "comma behind": b" chunked,",
        "comma before": b" ,chunked", "vtab": b" \x0bchunked", "form feed behind": b" chunked\x0c", "nbsp": b" \xa0chunked",
        "nul behind": b" chunked\0", "empty": b"", "spaces": b"   ", "fold": b"\r\n chunked", "bare cr": b" chunked\rX-A: b", "split": b" chun ked",
        "backslash": b" chunk\\ed", "utf-8": "\u00a0chunked".encode(),
    }
    for name, fields in both.items():
        yield refused("framing: " + name, OK + fields + END + chunks)
    for name, value in codings.items():
        yield refused("coding: " + name, OK + b"Transfer-Encoding:" + value + END + END + chunks)
    yield refused("coding: two fields", OK + CHUNKED + CHUNKED + END + chunks)
    yield refused("coding: two different fields", OK + CHUNKED + b"Transfer-Encoding: identity\r\n" + END + chunks)
    yield refused("coding: in http/1.0", b"HTTP/1.0 200 OK\r\n" + CHUNKED + END + chunks)
    yield refused("coding: space before colon", OK + b"Transfer-Encoding : chunked\r\n" + TWO + END + chunks)
    yield refused("coding: tab before colon", OK + b"Transfer-Encoding\t: chunked\r\n" + TWO + END + chunks)
    yield refused("coding: nul in the name", OK + b"Transfer-\0Encoding: chunked\r\n" + TWO + END + chunks)
    lengths = {
        "plus": b" +4", "minus": b" -4", "minus zero": b" -0", "hex": b" 0x4", "float": b" 4.0", "exponent": b" 4e0", "word": b" many", "empty": b"",
        "space": b" ", "two numbers": b" 4 4", "list": b" 4, 2", "same list": b" 4, 4", "semicolon": b" 4;", "quoted": b' "4"', "vtab": b" \x0b4",
        "form feed": b" 4\x0c", "nbsp": b" \xa04", "nul": b" 4\0", "underscore": b" 0_4", "letter behind": b" 4x", "2^64+4": b" 18446744073709551620",
        "2^63": b" 9223372036854775808", "2^32 squared": b" 99999999999999999999999999", "many zeros": b" " + b"0" * 30 + b"4", "fold": b"\r\n 4",
        "octal": b" 0o4", "arabic": "\u0664".encode(), "full width": " \uff14".encode(), "bare cr": b" 4\rX: y", "comma first": b" ,4",
    }
    for name, value in lengths.items():
        yield refused("length: " + name, OK + b"Content-Length:" + value + END + END + b"evil")
    yield refused("length: two different", OK + b"Content-Length: 4\r\n" + TWO + END + b"evil")
    yield refused("length: good then empty", OK + b"Content-Length: 4\r\nContent-Length:\r\n" + END + b"evil")
    yield refused("length: space before colon", OK + b"Content-Length : 4\r\n" + END + b"evil")


def chunks():
    """Each begins well, so that the head is with the client already."""
    good = b"5\r\nhello\r\n"
    sizes = {
        "hex prefix": b"0x4", "plus": b"+4", "minus": b"-4", "space before": b" 4", "tab before": b"\t4", "word behind": b"4 evil", "empty": b"",
        "no hex": b"zz", "17 digits": b"0" * 16 + b"4", "overflow": b"10000000000000004", "f times 17": b"f" * 17,
        "underscore": b"0_4", "float": b"4.0", "nul": b"4\0", "nul before": b"\x004", "vtab": b"4\x0b", "cr": b"4\r", "h": b"4h", "list": b"4, 4",
        "extension with nul": b"4;a=\0", "extension with lf": b"4;a\nb", "extension with bare cr": b"4;a\rb", "huge extension": b"4;" + b"e" * 70000,
        "only a semicolon": b";a", "high byte": b"4\xff", "quoted": b'"4"',
    }
    for name, size in sizes.items():
        yield cut("chunk: " + name, OK + CHUNKED + END + good, size + b"\r\nevil\r\n0\r\n\r\n", body=b"hello")
    yield cut("chunk: all f", OK + CHUNKED + END + good + b"f" * 16 + b"\r\nevil", body=b"helloevil", end="fin")
    tails = {
        "lf behind size": b"4\nevil\r\n0\r\n\r\n", "lf behind data": b"4\r\nevil\n0\r\n\r\n", "xx behind data": b"4\r\nevilXX0\r\n\r\n",
        "data too long": b"4\r\nevilevil\r\n0\r\n\r\n", "no crlf behind data": b"4\r\nevil0\r\n\r\n", "cr only behind data": b"4\r\nevil\r0\r\n\r\n",
        "lf behind last": b"4\r\nevil\r\n0\n\n", "lf ends trailers": b"4\r\nevil\r\n0\r\nX-A: b\n\r\n", "trailer without colon": b"4\r\nevil\r\n0\r\nevil\r\n\r\n",
        "trailer with nul": b"4\r\nevil\r\n0\r\nX: a\0\r\n\r\n", "trailer with space before colon": b"4\r\nevil\r\n0\r\nX : a\r\n\r\n",
        "trailer with bare cr": b"4\r\nevil\r\n0\r\nX: a\rb\r\n\r\n", "huge trailer": b"4\r\nevil\r\n0\r\nX: " + b"t" * 70000 + b"\r\n\r\n",
        "many trailers": b"4\r\nevil\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "second answer inside": b"4\r\nevil\r\n" + EVIL,
    }
    for name, tail in tails.items():
        yield cut("chunk: " + name, OK + CHUNKED + END + good, tail, body=b"helloevil")
    for end in ("close", "fin", "rst"):
        yield cut("chunk: none last, " + end, OK + CHUNKED + END + good, body=b"hello", end=end)
        yield cut("chunk: half a size, " + end, OK + CHUNKED + END + good + b"1", body=b"hello", end=end)
        yield cut("chunk: half of its data, " + end, OK + CHUNKED + END + good + b"8\r\nfour", body=b"hellofour", end=end)
        yield cut("chunk: last without its end, " + end, OK + CHUNKED + END + good + b"0\r\n", body=b"hello", end=end)
        yield cut("chunk: inside a trailer, " + end, OK + CHUNKED + END + good + b"0\r\nX-A: b\r\n", body=b"hello", end=end)
        yield cut("length: body too short, " + end, OK + b"Content-Length: 9\r\n" + END + b"hello", body=b"hello", end=end)
        yield cut("length: no body at all, " + end, OK + b"Content-Length: 9\r\n" + END, body=b"", end=end)
    for end in ("fin", "rst"):
        yield cut("until close, but " + end, OK + END + b"hello", body=b"hello", end=end)
        yield cut("http/1.0 until close, but " + end, b"HTTP/1.0 200 OK\r\n\r\nhello", body=b"hello", end=end)


def fields():
    tail = TWO + END + b"{}"
    lines = {
        "fold": b"X-A: b\r\n evil", "fold with tab": b"X-A: b\r\n\tevil", "fold of nothing": b"X-A: b\r\n ", "space before name": b" X-A: b",
        "nul in value": b"X-A: a\0evil", "nul in name": b"X\0A: evil", "nul alone": b"\0", "control in value": b"X-A: a\x01evil",
        "escape in value": b"X-A: \x1b[2Jevil", "delete in value": b"X-A: a\x7fevil", "vtab in value": b"X-A: a\x0bevil", "bare cr in value": b"X-A: a\revil",
        "bare cr and field": b"X-A: a\rX-Evil: evil", "cr cr lf": b"X-A: evil\r", "bare lf": b"X-A: b\nX-Evil: evil", "bare lf fold": b"X-A: b\n evil",
        "space before colon": b"X-A : evil", "tab before colon": b"X-A\t: evil", "empty name": b": evil", "only a colon": b":", "no colon": b"evil",
        "space in name": b"X A: evil", "high byte in name": b"X-\xe4: evil", "bracket in name": b"X(A): evil", "slash in name": b"X/A: evil",
        "quote in name": b'"X-A": evil', "bare cr in name": b"X\rA: evil", "control in name": b"X\x01A: evil", "equals in name": b"X=A: evil",
        "second status line": b"HTTP/1.1 200 evil", "comma in name": b"X,A: evil",
    }
    for name, line in lines.items():
        yield refused("field: " + name, OK + line + END + tail)
        if name in ("fold", "no colon", "empty name", "nul in value", "bare lf"):
            yield refused("field: first, " + name, OK + TWO + line + END + END + b"{}")
    yield refused("head: one long value", OK + b"X-A: " + b"v" * 70000 + END + tail)
    yield refused("head: one long name", OK + b"X" * 70000 + b": b\r\n" + tail)
    yield refused("head: long in all", OK + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 900) for i in range(100)) + tail)
    yield refused("head: many fields", OK + b"".join(b"X-%d: y\r\n" % i for i in range(400)) + tail)
    yield refused("head: many empty fields", OK + b"X:\r\n" * 3000 + tail)
    yield refused("head: long reason", b"HTTP/1.1 200 " + b"r" * 70000 + END + tail)
    yield refused("head: endless line", OK + b"X-A: " + b"v" * 200000, end="close")
    for end in ("close", "fin", "rst"):
        yield refused("head: nothing at all, " + end, b"", end=end)
        yield refused("head: half a status line, " + end, b"HTTP/1.1 20", end=end)
        yield refused("head: half a field, " + end, OK + b"X-Evil: ev", end=end)
        yield refused("head: no empty line, " + end, OK + TWO, end=end)
        yield refused("head: half of its last end, " + end, OK + TWO + b"\r", end=end)


def interims():
    hundred = b"HTTP/1.1 100 Continue\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </evil.css>; rel=preload\r\n\r\n"
    last = OK + TWO + END + b"{}"
    yield passed("interim: 100", hundred, last, reuse=None)
    yield passed("interim: 100 in the same piece", hundred + last, reuse=None)
    yield passed("interim: 102", b"HTTP/1.1 102 Processing\r\n\r\n" + last, reuse=None)
    yield passed("interim: 103", hints, last, reuse=None, lacks=("link",))
    yield passed("interim: 199", b"HTTP/1.1 199 Odd\r\n\r\n" + last, reuse=None)
    yield passed("interim: twenty", hundred * 20 + last, reuse=None)
    yield refused("interim: twenty-one", hundred * 21 + last)
    yield refused("interim: three thousand", hundred * 3000 + last)
    yield refused("interim: with a length and a body", b"HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\nevil" + last)
    yield refused("interim: broken", b"HTTP/1.1 1OO Continue\r\n\r\n" + last)
    yield refused("interim: 101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nevil")
    yield refused("interim: 101 bare", b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + last)
    yield refused("interim: 101 to h2c", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nevil")
    for end in ("close", "fin", "rst"):
        yield refused("interim: and no more, " + end, hundred, end=end)


def bodiless():
    for status, line in ((204, b"HTTP/1.1 204 No Content\r\n"), (304, b"HTTP/1.1 304 Not Modified\r\n")):
        more = {"status": status, "body": b""}
        yield passed(f"{status}", line + END, reuse=None, lacks=("transfer-encoding",), **more)
        yield passed(f"{status} with a body", line + END + b"evil", **more)
        yield passed(f"{status} with length and body", line + b"Content-Length: 4\r\n" + END + b"evil", **more)
        yield passed(f"{status} with a length", line + b"Content-Length: 4\r\n" + END, **more)
        yield passed(f"{status} with a coding", line + CHUNKED + END, **more)
        yield passed(f"{status} with length 0", line + b"Content-Length: 0\r\n" + END, **{**more, "reuse": None})
        yield passed(f"{status} with length, its body later", line + b"Content-Length: 4\r\n" + END, b"evil", **more)
        yield passed(f"{status} with chunks", line + CHUNKED + END + b"4\r\nevil\r\n0\r\n\r\n", lacks=("transfer-encoding",), **more)
        yield passed(f"{status} with a second answer", line + END + EVIL, **more)
        yield passed(f"{status} with a second answer later", line + END, EVIL, **more)
        yield passed(f"{status} whose body is an answer", line + b"Content-Length: %d\r\n" % len(EVIL) + END, EVIL, **more)
    head = {"method": "HEAD", "body": b""}
    yield passed("head", OK + TWO + END, has=(("content-length", "2"),), **head)
    yield passed("head with a body", OK + b"Content-Length: 4\r\n" + END + b"evil", **head)
    yield passed("head with a body later", OK + b"Content-Length: 4\r\n" + END, b"evil", **head)
    yield passed("head with chunks", OK + CHUNKED + END + b"4\r\nevil\r\n0\r\n\r\n", **head)
    yield passed("head whose body is an answer", OK + b"Content-Length: %d\r\n" % len(EVIL) + END, EVIL, **head)


def strays():
    good = OK + TWO + END + b"{}"
    for name, more in (("byte", b"x"), ("line", b"\r\n"), ("answer", EVIL), ("half an answer", EVIL[:20]), ("nul", b"\0"),
                       ("100", b"HTTP/1.1 100 Continue\r\n\r\n"), ("408", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")):
        yield passed("stray: " + name, good + more)
        yield passed("stray: later " + name, good, more)
        yield passed("stray: behind chunks, " + name, OK + CHUNKED + END + HELLO + more, body=b"hello")
    yield passed("stray: body longer than its length", OK + TWO + END + b"{}evilevil")
    yield passed("stray: behind length 0", OK + b"Content-Length: 0\r\n" + END + EVIL, body=b"")


def oddities():
    """Valid, and therefore not to be refused."""
    last = TWO + END + b"{}"
    yield passed("valid: plain", OK + last, reuse=True)
    yield passed("valid: chunked", OK + CHUNKED + END + HELLO, body=b"hello", reuse=True)
    yield passed("valid: in pieces", OK[:9], OK[9:] + b"Content-", b"Length: 2\r", b"\n\r", b"\n{", b"}", reuse=True)
    yield passed("valid: chunks in pieces", OK + CHUNKED + b"\r", b"\n5", b"\r\nhel", b"lo\r", b"\n0\r\n", b"\r\n", body=b"hello", reuse=True)
    yield passed("valid: no reason", b"HTTP/1.1 200 \r\n" + last, reuse=None)
    yield passed("valid: no reason and no space", b"HTTP/1.1 200\r\n" + last, reuse=None)
    yield passed("valid: another reason", b"HTTP/1.1 200 Fine, thanks\r\n" + last, reuse=None)
    yield passed("valid: long reason", b"HTTP/1.1 200 " + b"r" * 2000 + END + last, reuse=None)
    yield passed("valid: high bytes in reason", b"HTTP/1.1 200 Sch\xf6n\r\n" + last, reuse=None)
    yield passed("valid: tab in reason", b"HTTP/1.1 200 a\tb\r\n" + last, reuse=None)
    yield passed("valid: status 599", b"HTTP/1.1 599 Odd\r\n" + last, status=599, reuse=None)
    yield passed("valid: status 299", b"HTTP/1.1 299 Odd\r\n" + last, status=299, reuse=None)
    yield passed("valid: status 418", b"HTTP/1.1 418 Teapot\r\n" + last, status=418, reuse=None)
    yield passed("valid: lower case names", OK + b"content-length:2\r\n\r\n{}", reuse=None)
    yield passed("valid: upper case names", OK + b"CONTENT-LENGTH: 2\r\nX-UPPER: y\r\n\r\n{}", has=(("x-upper", "y"),), reuse=None)
    yield passed("valid: upper case coding", OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n" + HELLO, body=b"hello", reuse=None)
    yield passed("valid: spaces round values", OK + b"X-A:  \t b \t \r\n" + last, has=(("x-a", "b"),), reuse=None)
    yield passed("valid: length with zeros", OK + b"Content-Length: 0002\r\n\r\n{}", reuse=None)
    yield passed("valid: empty value", OK + b"X-A:\r\n" + last, has=(("x-a", ""),), reuse=None)
    yield passed("valid: odd name", OK + b"X!#$%&'*+-.^`|~9: b\r\n" + last, has=(("x!#$%&'*+-.^`|~9", "b"),), reuse=None)
    yield passed("valid: underscore in a name", OK + b"X_Trace: b\r\nX-A: b\r\n" + last, has=(("x-a", "b"),), reuse=None)
    yield passed("valid: high bytes in a value", OK + b"X-A: \xe4\xf6\r\n" + last, has=(("x-a", "\xe4\xf6"),), reuse=None)
    yield passed("valid: colons in a value", OK + b"X-A: a:b: c\r\n" + last, has=(("x-a", "a:b: c"),), reuse=None)
    yield passed("valid: many cookies", OK + b"Set-Cookie: a=1; Path=/\r\nX-A: b\r\nSet-Cookie: b=2\r\nset-cookie: c=3, d\r\n" + last,
                 has=(("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2"), ("set-cookie", "c=3, d")), reuse=None)
    yield passed("valid: ninety fields", OK + b"".join(b"X-%d: y\r\n" % i for i in range(90)) + last, has=(("x-89", "y"),), reuse=None)
    yield passed("valid: long value", OK + b"X-A: " + b"v" * 30000 + END + last, has=(("x-a", "v" * 30000),), reuse=None)
    yield passed("valid: compressed", OK + b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\nContent-Length: 6\r\n\r\n\x1f\x8b\x08\0\r\n",
                 body=b"\x1f\x8b\x08\0\r\n", has=(("content-encoding", "gzip"), ("vary", "Accept-Encoding")), reuse=None)
    yield passed("valid: chunk extensions", OK + CHUNKED + END + b"2;a=b\r\nhe\r\n3 \r\nllo\r\n0;last\r\n\r\n".replace(b"3 ", b'3;c="d;e"'),
                 body=b"hello", reuse=None)
    yield passed("valid: empty chunked", OK + CHUNKED + END + b"0\r\n\r\n", body=b"", reuse=None)
    yield passed("valid: zeros in sizes", OK + CHUNKED + END + b"00005\r\nhello\r\n0000\r\n\r\n", body=b"hello", reuse=None)
    yield passed("valid: upper case sizes", OK + CHUNKED + END + b"A\r\n0123456789\r\n0\r\n\r\n", body=b"0123456789", reuse=None)
    yield passed("valid: single bytes", OK + CHUNKED + END + b"".join(b"1\r\n%c\r\n" % b for b in b"hello") + b"0\r\n\r\n", body=b"hello", reuse=None)
    yield passed("valid: trailers are dropped", OK + CHUNKED + b"Trailer: x-evil\r\n\r\n5\r\nhello\r\n0\r\nX-Evil: evil\r\nContent-Length: 9\r\n\r\n",
                 body=b"hello", lacks=("x-evil", "trailer"), reuse=None)
    yield passed("valid: length 0", OK + b"Content-Length: 0\r\n\r\n", body=b"", reuse=None)
    yield passed("valid: body like an answer", OK + b"Content-Length: %d\r\n\r\n" % len(EVIL.replace(b"evil", b"good")) + EVIL.replace(b"evil", b"good"),
                 body=EVIL.replace(b"evil", b"good"), reuse=None)
    yield passed("valid: until close", OK + END + b"{}", end="close")
    yield passed("valid: until close, empty", OK + END, body=b"", end="close")
    yield passed("valid: http/1.0 until close", b"HTTP/1.0 200 OK\r\n\r\n{}", end="close")
    yield passed("valid: http/1.0 with a length", b"HTTP/1.0 200 OK\r\n" + last, end="close")
    yield passed("valid: http/1.0 that stays without a word", b"HTTP/1.0 200 OK\r\n" + last)
    yield passed("valid: http/1.0 keep-alive", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + last, lacks=("connection",), reuse=None)
    yield passed("valid: says close and stays", OK + b"Connection: close\r\n" + last)
    yield passed("valid: says CLOSE in a list", OK + b"Connection: x-a, CLOSE\r\n" + last)
    yield passed("valid: says close by fin", OK + b"Connection: close\r\n" + last, end="fin")
    for status in (301, 302, 303, 307, 308):
        yield passed(f"redirect {status}", b"HTTP/1.1 %d Found\r\nLocation: https://tunnel.test/evil\r\n" % status + last, status=status,
                     has=(("location", "https://tunnel.test/evil"),), reuse=None)


def stripped():
    """Fields that are between the provider and us, or that only we may set."""
    last = TWO + END + b"{}"
    for name, value in (("Connection", b"x-hop"), ("Keep-Alive", b"timeout=5"), ("Proxy-Connection", b"keep-alive"), ("Proxy-Authenticate", b"Basic"),
                        ("Proxy-Authentication-Info", b"x=y"), ("TE", b"trailers"), ("Trailer", b"x-a"), ("Upgrade", b"h2c"),
                        ("Alt-Svc", b'h3=":443"; ma=86400'), ("ALT-SVC", b"clear"), ("HTTP2-Settings", b"AAMAAABkAAQAAP__")):
        yield passed(f"stripped: {name}", OK + name.encode() + b": " + value + b"\r\nX-A: b\r\n" + last, has=(("x-a", "b"),),
                     lacks=(name.lower(),), reuse=None)
    yield passed("stripped: named by connection", OK + b"X-Hop: evil\r\nConnection: x-hop, X-Other\r\nX-OTHER: evil\r\nX-A: b\r\n" + last,
                 has=(("x-a", "b"),), lacks=("connection", "x-hop", "x-other"), reuse=None)
    yield passed("stripped: not the framing", OK + b"Connection: content-length, content-type\r\nContent-Type: a/b\r\n" + last,
                 has=(("content-type", "a/b"),), reuse=None)
    yield passed("stripped: request id", OK + b"X-Credswap-Request-Id: evil\r\nx-credswap-request-id: evil2\r\n" + last, reuse=None)
    yield passed("stripped: proxy status", OK + b"Proxy-Status: credswap; error=http_request_denied\r\n" + last, lacks=("proxy-status",), reuse=None)


def vectors():
    for family in (oddities, stripped, status_lines, framings, fields, interims, bodiless, strays, chunks):
        yield from family()


def seeds():
    """(name, bytes) of every vector, for fuzzing."""
    for vector in vectors():
        yield vector.name, vector.data
