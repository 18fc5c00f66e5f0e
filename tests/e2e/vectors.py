"""Requests that two parsers could read in two ways, and odd ones that are perfectly valid: one table.

VECTORS is the table; seeds() gives the same bytes to whoever wants to start from them.  Each vector is one
request (or what an attacker would like to be one) to VERTEX inside a tunnel, by ALICE:

  refused   one answer of 400 to 505 at most, the connection closed, nothing forwarded, what follows not run
  cut       the same, but the head was fine and the body is not: nothing that reached upstream may be complete
  accepted  forwarded once, with the body in `body` and the method in `method`; the connection then serves another
  normal    accepted, and upstream sees exactly `seen` as head
"""
from dataclasses import dataclass

from harness import ALICE, BODY, GEMINI, GENERATE, VERTEX

START = f"POST {GENERATE} HTTP/1.1\r\n".encode()
HOST = f"Host: {VERTEX}\r\n".encode()
AUTH = f"Authorization: Bearer {ALICE}\r\n".encode()
BASE = START + HOST + AUTH
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SIZED = LENGTH + b"\r\n" + BODY
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
FOLLOW = START.replace(b"/client-project/", b"/smuggled/") + HOST + AUTH + SIZED
URI_MAX, HEAD_MAX, FIELDS_MAX = 16384, 65536, 128


@dataclass(frozen=True)
class Vector:
    name: str
    data: bytes
    want: str
    body: bytes = BODY
    method: str = "POST"
    target: str = GENERATE
    seen: bytes = b""
    status: int = 0  # of a refusal, where the contract names one; of an answer otherwise (0: 200)
    closes: bool = False  # an accepted request after which the connection ends


VECTORS = []


def refused(name, data, status=0):
    VECTORS.append(Vector(name, data, "refused", status=status))


def cut(name, body, head=BASE + CHUNKED):
    VECTORS.append(Vector(name, head + b"\r\n" + body, "cut"))


def accepted(name, data, **more):
    VECTORS.append(Vector(name, data, "accepted", **more))


def normal(name, data, fields=b"", framing=LENGTH.lower(), line=START, **more):
    """FIELDS: what of the client's fields goes on, as upstream sees it."""
    seen = (line + b"host: " + VERTEX.encode() + b"\r\n" + fields + b"authorization: Bearer TOKEN\r\n" + framing)
    VECTORS.append(Vector(name, data, "normal", seen=seen, **more))


# ---- framing: Transfer-Encoding ----

TE_VALUES = {
    "x": b"xchunked", "suffix": b"chunkedx", "part": b"chunk", "identity": b"identity", "gzip": b"gzip",
    "gzip, chunked": b"gzip, chunked", "chunked, gzip": b"chunked, gzip", "identity, chunked": b"identity, chunked",
    "chunked, identity": b"chunked, identity", "cow, chunked": b"cow, chunked", "twice": b"chunked, chunked",
    "twice by space": b"chunked chunked", "comma behind": b"chunked,", "comma before": b",chunked",
    "commas": b", ,chunked", "parameter": b"chunked;a=b", "semicolon": b"chunked;", "weight": b"chunked;q=1",
    "quoted": b'"chunked"', "single quoted": b"'chunked'", "brackets": b"[chunked]", "backslash": b"\\chunked",
    "percent": b"%63hunked", "inner tab": b"chun\tked", "inner space": b"chun ked", "vtab before": b"\x0bchunked",
    "vtab behind": b"chunked\x0b", "ff before": b"\x0cchunked", "ff behind": b"chunked\x0c", "0x85 before": b"\x85chunked",
    "0x85 behind": b"chunked\x85", "nbsp before": b"\xa0chunked", "nbsp behind": b"chunked\xa0",
    "utf-8 nbsp": b"\xc2\xa0chunked", "bom": b"\xef\xbb\xbfchunked", "0xff": b"\xffchunked", "nul before": b"\x00chunked",
    "nul behind": b"chunked\x00", "nul inside": b"chu\x00nked", "cr before": b"\rchunked", "cr behind": b"chunked\r",
    "cr inside": b"chun\rked", "lf before": b"\nchunked", "lf inside": b"chun\nked", "del": b"chunked\x7f", "soh": b"\x01chunked",
    "esc": b"chunked\x1b", "backspace": b"chunkedx\x08", "fold": b"\r\n chunked", "fold tab": b"\r\n\tchunked",
    "fold inside": b"chun\r\n ked", "fold list": b"identity,\r\n chunked", "lf fold": b"\n chunked", "empty": b"",
    "blank": b"   ", "zero": b"0", "null": b"null", "trailers": b"trailers", "dash": b"-chunked", "dotless i": b"chunke\xc4\xb1d",
    "long s": b"chun\xe2\x84\xaaed", "colon": b": chunked", "header in it": b"chunked\r X: y", "cr header": b"chunked\rX: y",
    "deflate then": b"deflate\r\nTransfer-Encoding: chunked", "twice fields": b"chunked\r\nTransfer-Encoding: chunked",
    "identity field behind": b"chunked\r\nTransfer-Encoding: identity", "identity field before": b"identity\r\nTransfer-Encoding: chunked",
    "empty field behind": b"chunked\r\nTransfer-Encoding:", "case field behind": b"chunked\r\ntransfer-encoding: x",
}
TE_NAMES = {
    "space colon": b"Transfer-Encoding : chunked", "tab colon": b"Transfer-Encoding\t: chunked",
    "space before": b" Transfer-Encoding: chunked", "tab before": b"\tTransfer-Encoding: chunked",
    "underscore": b"Transfer_Encoding: chunked", "inner space": b"Transfer Encoding: chunked",
    "inner tab": b"Transfer-\tEncoding: chunked", "nul name": b"Transfer-Encoding\x00: chunked",
    "nul before": b"\x00Transfer-Encoding: chunked", "vtab name": b"Transfer-Encoding\x0b: chunked",
    "ff name": b"\x0cTransfer-Encoding: chunked", "high name": b"Transfer-Enco\xf0ding: chunked", "nbsp name": b"\xa0Transfer-Encoding: chunked",
    "0x85 name": b"Transfer-Encoding\x85: chunked", "cr before": b"X: y\rTransfer-Encoding: chunked", "lf before": b"X: y\nTransfer-Encoding: chunked",
    "cr line": b"X: y\r\n\rTransfer-Encoding: chunked", "crcrlf": b"X: y\r\r\nTransfer-Encoding: chunked",
    "fold colon": b"Transfer-Encoding\r\n : chunked", "lf colon": b"Transfer-Encoding\n: chunked", "cr colon": b"Transfer-Encoding\r: chunked",
    "no colon": b"Transfer-Encoding chunked", "semicolon": b"Transfer-Encoding;: chunked", "quoted": b'"Transfer-Encoding": chunked',
    "paren": b"(Transfer-Encoding): chunked", "slash": b"Transfer/Encoding: chunked", "at": b"Transfer-Encoding@: chunked",
    "equals": b"Transfer-Encoding=chunked", "bracket": b"{Transfer-Encoding: chunked", "del": b"Transfer-Encoding\x7f: chunked",
    "empty before": b": y\r\nTransfer-Encoding: chunked", "comma": b"Transfer-Encoding,X: chunked",
}

for label, value in TE_VALUES.items():
    line = b"Transfer-Encoding: " + value + b"\r\n"
    refused("te value " + label, BASE + line + b"\r\n" + CHUNKS)
    refused("te value with length " + label, BASE + b"Content-Length: 4\r\n" + line + b"\r\n" + CHUNKS)
for label, line in TE_NAMES.items():
    refused("te name " + label, BASE + line + b"\r\n\r\n" + CHUNKS)
    refused("te name with length " + label, BASE + line + b"\r\n" + LENGTH + b"\r\n" + BODY)
for label, coding in {"exact": b"Transfer-Encoding: chunked", "upper value": b"Transfer-Encoding: CHUNKED", "mixed": b"tRaNsFeR-eNcOdInG: cHuNkEd",
                      "no space": b"Transfer-Encoding:chunked", "spaces": b"Transfer-Encoding:    chunked", "tab": b"Transfer-Encoding:\tchunked",
                      "space behind": b"Transfer-Encoding: chunked  "}.items():
    accepted("te valid " + label, BASE + coding + b"\r\n\r\n" + CHUNKS)
    refused("te and length " + label, BASE + LENGTH + coding + b"\r\n\r\n" + CHUNKS)
    refused("length and te " + label, BASE + coding + b"\r\n" + LENGTH + b"\r\n" + CHUNKS)
refused("te and length 0", BASE + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n" + CHUNKS)
refused("te and two lengths", BASE + LENGTH + CHUNKED + LENGTH + b"\r\n" + CHUNKS)
refused("te named by connection", BASE + b"Connection: transfer-encoding\r\n" + CHUNKED + LENGTH + b"\r\n" + CHUNKS)
OLD = START.replace(b"1.1", b"1.0") + HOST + AUTH
refused("te in 1.0", OLD + CHUNKED + b"\r\n" + CHUNKS)
refused("te in 1.0 kept", OLD + b"Connection: keep-alive\r\n" + CHUNKED + b"\r\n" + CHUNKS)
refused("te in 1.0 with length", OLD + CHUNKED + LENGTH + b"\r\n" + CHUNKS)
accepted("te content-encoding chunked is another field", BASE + b"Content-Encoding: chunked\r\n" + SIZED)
accepted("te x-transfer-encoding is another field", BASE + b"X-Transfer-Encoding: chunked\r\n" + SIZED)
accepted("te in the query is no field", BASE.replace(b" HTTP", b"?transfer-encoding=chunked HTTP") + SIZED,
         target=GENERATE + "?transfer-encoding=chunked")

# ---- framing: Content-Length ----

N = b"%d" % len(BODY)
CL_VALUES = {
    "plus": b"+" + N, "minus": b"-" + N, "minus one": b"-1", "minus zero": b"-0", "plus zero": b"+0", "hex": b"0x2b", "hex digits": b"2b",
    "octal": b"0o53", "float": N + b".0", "exponent": b"4e1", "underscore": b"4_3", "comma": b"4,3", "list": N + b", 3",
    "equal list": N + b", " + N, "comma behind": N + b",", "comma before": b"," + N, "semicolon": N + b";", "parameter": N + b";q=1",
    "inner space": b"4 3", "inner tab": b"4\t3", "twice by space": N + b" " + N, "quoted": b'"' + N + b'"', "single quoted": b"'" + N + b"'",
    "word": b"many", "nan": b"NaN", "infinity": b"Infinity", "empty": b"", "blank": b"   ", "vtab before": b"\x0b" + N, "vtab behind": N + b"\x0b",
    "ff before": b"\x0c" + N, "ff behind": N + b"\x0c", "nbsp before": b"\xa0" + N, "nbsp behind": N + b"\xa0", "0x85": N + b"\x85",
    "nul before": b"\x00" + N, "nul behind": N + b"\x00", "cr behind": N + b"\r", "cr before": b"\r" + N, "lf before": b"\n" + N, "del": N + b"\x7f",
    "fold": b"\r\n " + N, "fold behind": N + b"\r\n 0", "full width": "\uff14\uff13".encode(), "arabic": "\u0664\u0663".encode(), "superscript": "4\u00b3".encode(),
    "2^31": b"-2147483648", "2^63": b"9223372036854775808", "2^63-1": b"9223372036854775807", "2^64-1": b"18446744073709551615",
    "2^64": b"18446744073709551616", "2^64+n": b"18446744073709551659", "2^32 many": b"4294967296" * 4, "40 digits": b"9" * 40,
    "19 digits": b"1" + b"0" * 18, "zeros and 19 digits": N.rjust(19, b"0"), "400 zeros": N.rjust(400, b"0"), "percent": b"%34%33",
    "colon": b": " + N, "dot": b".", "slash": N + b"/1", "bracket": b"[" + N + b"]", "two fields": N + b"\r\nContent-Length: 3",
    "two fields reversed": b"3\r\nContent-Length: " + N, "two fields and zero": N + b"\r\nContent-Length: 0", "two equal fields": N + b"\r\nContent-Length: " + N,
    "two fields case": N + b"\r\ncontent-length: 3", "three fields": N + b"\r\nContent-Length: " + N + b"\r\nContent-Length: 3",
    "two fields, one empty": N + b"\r\nContent-Length:", "tab behind": N + b"\t", "two fields, zeros": N + b"\r\nContent-Length: 0" + N,
}
CL_NAMES = {
    "space colon": b"Content-Length : ", "tab colon": b"Content-Length\t: ", "space before": b" Content-Length: ", "tab before": b"\tContent-Length: ",
    "underscore": b"Content_Length: ", "inner space": b"Content Length: ", "nul": b"Content-Length\x00: ", "vtab": b"Content-Length\x0b: ",
    "high": b"Content-L\xe4ngth: ", "fold colon": b"Content-Length\r\n : ", "cr before": b"X: y\rContent-Length: ", "lf before": b"X: y\nContent-Length: ",
    "nbsp": b"\xa0Content-Length: ", "quoted": b'"Content-Length": ', "crcrlf": b"X: y\r\r\nContent-Length: ", "no colon": b"Content-Length ",
}
for label, value in CL_VALUES.items():
    refused("cl value " + label, BASE + b"Content-Length: " + value + b"\r\n\r\n" + BODY)
for label, name in CL_NAMES.items():
    refused("cl name " + label, BASE + name + N + b"\r\n\r\n" + BODY)
    refused("cl second name " + label, BASE + name + b"3\r\n" + LENGTH + b"\r\n" + BODY)
for label, value in {"zero before": b"0" + N, "18 digits": N.rjust(18, b"0"), "spaces": b"   " + N + b"  ", "tab before": b"\t" + N}.items():
    normal("cl valid " + label, BASE + b"Content-Length:" + value + b"\r\n\r\n" + BODY)
normal("cl valid upper name", BASE + b"CONTENT-LENGTH: " + N + b"\r\n\r\n" + BODY)
normal("cl named by connection stays", BASE + b"Connection: content-length\r\n" + SIZED)
accepted("cl zero", BASE + b"Content-Length: 0\r\n\r\n", body=b"")
accepted("cl none", BASE + b"\r\n", body=b"")
accepted("cl x-content-length is another field", BASE + b"X-Content-Length: 3\r\n" + SIZED)

# ---- chunks ----

S = b"%x" % len(BODY)


def chunk(line, end=b"\r\n", last=b"0\r\n\r\n"):
    return line + b"\r\n" + BODY + end + last


CHUNK_LINES = {
    "0x": b"0x" + S, "0X": b"0X" + S, "plus": b"+" + S, "minus": b"-" + S, "minus zero": b"-0", "space before": b" " + S, "tab before": b"\t" + S,
    "space behind": S + b" ", "tab behind": S + b"\t", "space word": S + b" abc", "space extension": S + b" ;a=b", "tab extension": S + b"\t;a=b",
    "empty": b"", "extension only": b";a=b", "not hex": b"g", "half hex": S + b"g", "h behind": S + b"h", "underscore": b"2_b",
    "underscore before": b"0_" + S, "comma": S + b",", "dot": S + b".0", "colon": S + b":a", "quoted": b'"' + S + b'"', "17 digits": S.rjust(17, b"0"),
    "100 digits": S.rjust(100, b"0"), "2^64+n": b"1" + S.rjust(16, b"0"), "2^64": b"1" + b"0" * 16, "16 f": b"f" * 16, "2^63": b"8" + b"0" * 15, "2^60": b"1" + b"0" * 15, "18 f": b"f" * 18, "nul": S + b"\x00",
    "nul before": b"\x00" + S, "vtab": S + b"\x0b", "ff": b"\x0c" + S, "nbsp": S + b"\xa0", "high": b"\xb2" + S, "full width": "\uff12\uff42".encode(),
    "cr": S + b"\r", "cr before": b"\r" + S, "two crs": S + b"\r\r", "lf before": b"\n" + S, "crlf before": b"\r\n" + S, "lf in extension": S + b";a\nb",
    "cr in extension": S + b";a\rb", "nul in extension": S + b";a\x00b", "del in extension": S + b";a\x7f", "ctl in extension": S + b";a=\x01",
    "lf in quoted": S + b';a="\n"', "cr in quoted": S + b';a="\r"', "huge extension": S + b";" + b"e" * 5000, "huge value": S + b";a=" + b"e" * 70000,
    "cr extension crlf": S + b";a\r\rb",
}
for label, line in CHUNK_LINES.items():
    cut("chunk line " + label, chunk(line))
for label, body in {
        "lf for crlf": b"%s\n%s\n0\n\n" % (S, BODY), "lf behind size": b"%s\n%s\r\n0\r\n\r\n" % (S, BODY), "lf behind data": chunk(S, b"\n"),
        "cr behind data": chunk(S, b"\r"), "cr x behind data": chunk(S, b"\rX"), "nothing behind data": chunk(S, b""), "xx behind data": chunk(S, b"XX"),
        "data too long": chunk(S, b"YYY\r\n"), "data too short": b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY) + 3, BODY), "lflf behind data": chunk(S, b"\n\n"),
        "lf behind extension": b"%s;a\n%s\r\n0\r\n\r\n" % (S, BODY), "lf behind last size": chunk(S, last=b"0\n\r\n"), "lf at the end": chunk(S, last=b"0\r\n\n"),
        "cr at the end": chunk(S, last=b"0\r\n\rX"), "data in the last": chunk(S, last=b"0\r\nX\r\n\r\n"), "last 0x0": chunk(S, last=b"0x0\r\n\r\n"),
        "last -0": chunk(S, last=b"-0\r\n\r\n"), "last with space": chunk(S, last=b"0 \r\n\r\n"), "last 17 zeros": chunk(S, last=b"0" * 17 + b"\r\n\r\n"),
        "many extensions": b"".join(b"1;%s\r\n%c\r\n" % (b"e" * 200, b) for b in BODY) + b"0\r\n\r\n",
        "trailer without colon": chunk(S, last=b"0\r\nX y\r\n\r\n"), "trailer with space": chunk(S, last=b"0\r\nX : y\r\n\r\n"),
        "trailer fold": chunk(S, last=b"0\r\nX: y\r\n z\r\n\r\n"), "trailer fold first": chunk(S, last=b"0\r\n X: y\r\n\r\n"),
        "trailer lf": chunk(S, last=b"0\r\nX: y\n\r\n"), "trailer lf end": chunk(S, last=b"0\r\nX: y\r\n\n"), "trailer cr": chunk(S, last=b"0\r\nX: y\rZ: a\r\n\r\n"),
        "trailer nul": chunk(S, last=b"0\r\nX: \x00\r\n\r\n"), "trailer nul name": chunk(S, last=b"0\r\nX\x00: y\r\n\r\n"),
        "trailer underscore": chunk(S, last=b"0\r\nX_A: y\r\n\r\n"), "trailer fold behind": chunk(S, last=b"0\r\nX: y\r\n\tz: a\r\n\r\n"),
        "trailer transfer-encoding": chunk(S, last=b"0\r\nTransfer-Encoding: gzip\r\n\r\n"),
        "trailer paren": chunk(S, last=b"0\r\nX(: y\r\n\r\n"), "trailer empty name": chunk(S, last=b"0\r\n: y\r\n\r\n"), "trailer high name": chunk(S, last=b"0\r\nX\xe4: y\r\n\r\n"), "trailer ctl": chunk(S, last=b"0\r\nX: \x01\r\n\r\n"),
        "huge trailer": chunk(S, last=b"0\r\nX: " + b"t" * 5000 + b"\r\n\r\n"), "many trailers": chunk(S, last=b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n"),
        "request as trailer": chunk(S, last=b"0\r\nGET /x HTTP/1.1\r\nHost: " + VERTEX.encode() + b"\r\n\r\n"),
}.items():
    cut("chunks " + label, body)
for label, body in {
        "plain": CHUNKS, "upper hex": chunk(S.upper()), "16 digits": chunk(S.rjust(16, b"0")), "zeros last": chunk(S, last=b"0" * 16 + b"\r\n\r\n"),
        "extension": chunk(S + b";a"), "extension value": chunk(S + b";a=b"), "extension quoted": chunk(S + b';a="b;c\\"d"'), "extensions": chunk(S + b";a=b;c;d=\"e\""),
        "extension last": chunk(S, last=b"0;a=b\r\n\r\n"), "extension 3000": chunk(S + b";a=" + b"e" * 3000), "one byte each": b"".join(b"1\r\n%c\r\n" % b for b in BODY) + b"0\r\n\r\n",
        "trailer": chunk(S, last=b"0\r\nX-A: b\r\n\r\n"), "trailers": chunk(S, last=b"0\r\nX-A: b\r\nX-B:\r\n\r\n"), "trailer 3000": chunk(S, last=b"0\r\nX: " + b"t" * 3000 + b"\r\n\r\n"),
        "trailer with the placeholder": chunk(S, last=b"0\r\nX-A: " + ALICE.encode() + b"\r\n\r\n"), "trailer authorization": chunk(S, last=b"0\r\nAuthorization: Bearer x\r\n\r\n"),
        "trailer host": chunk(S, last=b"0\r\nHost: evil.test\r\n\r\n"), "trailer x-api-key": chunk(S, last=b"0\r\nx-api-key: x\r\n\r\n"),
        "trailer content-length": chunk(S, last=b"0\r\nContent-Length: 99\r\n\r\n"),
        "trailer connection": chunk(S, last=b"0\r\nConnection: close\r\n\r\n"),
}.items():
    normal("chunks valid " + label, BASE + CHUNKED + b"\r\n" + body, framing=CHUNKED.lower())
MANY = b'{"contents":[],"pad":"' + b"p" * 3000 + b'"}'
accepted("chunks of one byte, many", BASE + CHUNKED + b"\r\n" + b"".join(b"1\r\n%c\r\n" % b for b in MANY) + b"0\r\n\r\n", body=MANY)
accepted("chunks of growing size", BASE + CHUNKED + b"\r\n" + b"".join(b"%X\r\n%s\r\n" % (len(p), p) for p in (MANY[i * (i - 1) // 2:i * (i + 1) // 2] for i in range(1, 90)) if p) + b"0\r\n\r\n", body=MANY)
accepted("chunks with an extension each", BASE + CHUNKED + b"\r\n" + b"".join(b"10;e=%d\r\n%s\r\n" % (i % 10, MANY[i:i + 16]) for i in range(0, 3008, 16)) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(MANY) - 3008, MANY[3008:]), body=MANY)
accepted("crlf behind a body", BASE + SIZED + b"\r\n")
accepted("crlf behind chunks", BASE + CHUNKED + b"\r\n" + CHUNKS + b"\r\n")
accepted("chunks none", BASE + CHUNKED + b"\r\n0\r\n\r\n", body=b"")

# ---- bytes in lines ----

for byte in [*range(0, 9), *range(10, 32), 127]:
    refused(f"byte {byte:02x} in a value", BASE + b"X-A: a" + bytes([byte]) + b"b\r\n" + SIZED)
for byte in (0, 1, 9, 10, 11, 12, 13, 31, 32, 34, 40, 41, 44, 47, 59, 60, 61, 62, 63, 64, 91, 92, 93, 123, 125, 127, 128, 160, 255):
    refused(f"byte {byte:02x} in a name", BASE + b"X-" + bytes([byte]) + b"A: b\r\n" + SIZED)
for byte in (0, 1, 9, 10, 11, 12, 13, 32, 127, 128, 133, 160, 255):
    refused(f"byte {byte:02x} in the target", START.replace(b"/v1/", b"/v1/" + bytes([byte])) + HOST + AUTH + SIZED)
    refused(f"byte {byte:02x} in the method", START.replace(b"POST", b"PO" + bytes([byte]) + b"ST") + HOST + AUTH + SIZED)
    refused(f"byte {byte:02x} before the method", bytes([byte]) + BASE + SIZED)
    refused(f"byte {byte:02x} behind the version", START.replace(b"1.1\r", b"1.1" + bytes([byte]) + b"\r") + HOST + AUTH + SIZED)
    refused(f"byte {byte:02x} before a name", BASE + bytes([byte]) + b"X-A: b\r\n" + SIZED)
    if byte not in (9, 32) and byte < 128:
        refused(f"byte {byte:02x} behind a value", BASE + b"X-A: b" + bytes([byte]) + b"\r\n" + SIZED)
        refused(f"byte {byte:02x} before a value", BASE + b"X-A: " + bytes([byte]) + b"b\r\n" + SIZED)
for byte in (9, 13, 11, 12):
    refused(f"byte {byte:02x} for the first space", START.replace(b"POST ", b"POST" + bytes([byte])) + HOST + AUTH + SIZED)
    refused(f"byte {byte:02x} for the second space", START.replace(b" HTTP", bytes([byte]) + b"HTTP") + HOST + AUTH + SIZED)
refused("lf lines", (BASE + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY)
refused("lf behind the request line", START.replace(b"\r\n", b"\n") + HOST + AUTH + SIZED)
refused("lf at the end of the head", BASE + LENGTH + b"\n" + BODY)
refused("cr lines", (BASE + LENGTH + b"\r\n").replace(b"\r\n", b"\r") + BODY + b"\r\n\r\n")
refused("crcrlf", BASE + b"X-A: b\r\r\n" + SIZED)
refused("cr alone on a line", BASE + b"\r\r\n" + SIZED)
refused("lfcr", BASE + b"X-A: b\n\r" + SIZED)
refused("fold", BASE + b"X-A: b\r\n c\r\n" + SIZED)
refused("fold tab", BASE + b"X-A: b\r\n\tc\r\n" + SIZED)
refused("fold blank", BASE + b"X-A: b\r\n \r\n" + SIZED)
refused("fold of host", START + b"Host:\r\n " + VERTEX.encode() + b"\r\n" + AUTH + SIZED)
refused("fold of authorization", START + HOST + b"Authorization:\r\n Bearer " + ALICE.encode() + b"\r\n" + SIZED)
refused("fold first", START + b" X: y\r\n" + HOST + AUTH + SIZED)
refused("fold as a field", START + b" Host: evil.test\r\n" + HOST + AUTH + SIZED)
refused("space before colon", BASE + b"X-A : b\r\n" + SIZED)
refused("tab before colon", BASE + b"X-A\t: b\r\n" + SIZED)
refused("space before colon of host", START + HOST.replace(b":", b" :") + AUTH + SIZED)
refused("empty name", BASE + b": b\r\n" + SIZED)
refused("empty name first", START + b": b\r\n" + HOST + AUTH + SIZED)
refused("blank name", BASE + b" : b\r\n" + SIZED)
refused("colon only", BASE + b":\r\n" + SIZED)
refused("no colon", BASE + b"X-A\r\n" + SIZED)
refused("name of utf-8", BASE + "X-\u00e4: b\r\n".encode() + SIZED)
refused("underscore in a name", BASE + b"X_A: b\r\n" + SIZED)
refused("underscore host", BASE + b"Ho_st: b\r\n" + SIZED)
for label, field, seen in (
        ("empty value", b"X-Empty:\r\n", b"X-Empty: \r\n"), ("blank value", b"X-Empty:   \r\n", b"X-Empty: \r\n"),
        ("spaces round value", b"X-A: \t b \t\r\n", b"X-A: b\r\n"), ("no space after colon", b"X-A:b\r\n", b"X-A: b\r\n"),
        ("tab inside value", b"X-A: b\tc\r\n", b"X-A: b\tc\r\n"), ("colons in value", b"X-A: b:c::\r\n", b"X-A: b:c::\r\n"),
        ("odd token name", b"X!#$%&'*+-.^`|~9: b\r\n", b"X!#$%&'*+-.^`|~9: b\r\n"), ("high bytes in value", b"X-A: \xe4\xf6\xff\x80\r\n", b"X-A: \xe4\xf6\xff\x80\r\n"),
        ("utf-8 value", "X-A: \u00e4\u20ac\r\n".encode(), "X-A: \u00e4\u20ac\r\n".encode()), ("quoted value", b'X-A: "b, \\"c"\r\n', b'X-A: "b, \\"c"\r\n'),
        ("one letter name", b"a: b\r\n", b"a: b\r\n"), ("digits name", b"123: b\r\n", b"123: b\r\n"), ("repeated field", b"Accept: a\r\nAccept: b\r\n", b"Accept: a\r\nAccept: b\r\n"),
        ("long value", b"X-A: " + b"v" * 20000 + b"\r\n", b"X-A: " + b"v" * 20000 + b"\r\n"), ("long name", b"X-" + b"n" * 2000 + b": b\r\n", b"X-" + b"n" * 2000 + b": b\r\n"),
        ("two cookies", b"Cookie: a=b\r\nCookie: c=d\r\n", b"Cookie: a=b\r\nCookie: c=d\r\n"), ("request in a value", b"X-A: GET /x HTTP/1.1\r\n", b"X-A: GET /x HTTP/1.1\r\n"),
        ("conditions and ranges", b"Range: bytes=0-5\r\nIf-None-Match: \"x\"\r\nIf-Range: y\r\n", b"Range: bytes=0-5\r\nIf-None-Match: \"x\"\r\nIf-Range: y\r\n"),
        ("what caches read", b"Pragma: no-cache\r\nCache-Control: no-store\r\nMax-Forwards: 0\r\n", b"Pragma: no-cache\r\nCache-Control: no-store\r\nMax-Forwards: 0\r\n"),
        ("what browsers send", b"Origin: https://x.test\r\nSec-Fetch-Mode: cors\r\nDNT: 1\r\nAccept-Encoding: gzip, br;q=0.5, *;q=0\r\n", b"Origin: https://x.test\r\nSec-Fetch-Mode: cors\r\nDNT: 1\r\nAccept-Encoding: gzip, br;q=0.5, *;q=0\r\n"),
        ("content-encoding", b"Content-Encoding: gzip\r\nContent-MD5: x\r\nDigest: y\r\n", b"Content-Encoding: gzip\r\nContent-MD5: x\r\nDigest: y\r\n"),
        ("value of one tab", b"X-A: \t\r\n", b"X-A: \r\n"), ("comma value", b"X-A: ,\r\n", b"X-A: ,\r\n"), ("name that begins like ours", b"Content-Length-X: 9\r\nHost-X: y\r\nAuthorization-X: z\r\n", b"Content-Length-X: 9\r\nHost-X: y\r\nAuthorization-X: z\r\n"),
        ("dash name", b"-: b\r\n", b"-: b\r\n"), ("value of colons", b"X-A:::\r\n", b"X-A: ::\r\n")):
    normal("field " + label, BASE + field + SIZED, seen)

# ---- the request line ----


def with_line(line, fields=HOST + AUTH):
    return line + b"\r\n" + fields + SIZED


PATH = GENERATE.encode()
for label, version in {"0.9": b"HTTP/0.9", "1.2": b"HTTP/1.2", "1.9": b"HTTP/1.9", "2.0": b"HTTP/2.0", "3.0": b"HTTP/3.0", "0.0": b"HTTP/0.0", "1.10": b"HTTP/1.10", "01.1": b"HTTP/01.1",
                       "1.01": b"HTTP/1.01", "11": b"HTTP/11", "1": b"HTTP/1", "1.": b"HTTP/1.", ".1": b"HTTP/.1", "1,1": b"HTTP/1,1", "10.1": b"HTTP/10.1", "-1.1": b"HTTP/-1.1",
                       "+1.1": b"HTTP/+1.1", "overflow": b"HTTP/4294967297.1", "lower": b"http/1.1", "mixed": b"Http/1.1", "space": b"HTTP /1.1", "space inside": b"HTTP/ 1.1", "junk": b"HTTP/1.1x",
                       "other": b"HTCPCP/1.0", "https": b"HTTPS/1.1", "slash": b"HTTP//1.1", "dash": b"HTTP-1.1", "icy": b"ICY/1.1", "rtsp": b"RTSP/1.0", "none": b"HTTP/", "word": b"x",
                       "twice": b"HTTP/1.1 HTTP/1.1", "2": b"HTTP/2"}.items():
    refused("version " + label, with_line(b"POST " + PATH + b" " + version))
refused("version missing", f"GET {GENERATE}\r\n".encode())
refused("version missing with fields", with_line(b"POST " + PATH))
refused("version missing with space", with_line(b"POST " + PATH + b" "))
refused("preface of h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
refused("garbage", bytes(range(1, 200)) + b"\r\n\r\n")
refused("tls inside", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60 + b"\r\n\r\n")
refused("socks", b"\x05\x01\x00")
refused("many empty lines", b"\r\n" * 50 + BASE + SIZED)
refused("lf first", b"\n" + BASE + SIZED)
refused("two spaces", START.replace(b" /", b"  /") + HOST + AUTH + SIZED)
refused("two spaces behind", START.replace(b" HTTP", b"  HTTP") + HOST + AUTH + SIZED)
refused("space at the end", START.replace(b"1.1\r", b"1.1 \r") + HOST + AUTH + SIZED)
refused("method only", with_line(b"POST"))
refused("no method", with_line(PATH + b" HTTP/1.1"))
refused("no target", with_line(b"POST HTTP/1.1"))
refused("empty target", with_line(b"POST  HTTP/1.1"))
for label, target in {"asterisk": b"*", "no slash": b"v1/x", "fragment": PATH + b"#x", "fragment first": b"#/x", "backslash first": b"\\v1\\x", "query first": b"?a=b", "dot first": b"./v1",
                      "authority": VERTEX.encode() + b":443", "scheme only": b"https://", "no authority": b"https:///v1/x", "one slash": b"https:/" + VERTEX.encode() + PATH,
                      "no slashes": b"https:" + PATH, "ftp": b"ftp://" + VERTEX.encode() + PATH, "ws": b"wss://" + VERTEX.encode() + PATH, "file": b"file:///etc/passwd",
                      "javascript": b"javascript:x", "http": b"http://" + VERTEX.encode() + PATH, "other host": b"https://" + GEMINI.encode() + PATH, "other port": b"https://" + VERTEX.encode() + b":444" + PATH,
                      "userinfo": b"https://a@" + VERTEX.encode() + PATH, "userinfo host": b"https://" + VERTEX.encode() + b"@evil.test" + PATH, "userinfo password": b"https://a:b@" + VERTEX.encode() + PATH,
                      "backslash host": b"https://" + VERTEX.encode() + b"\\@evil.test" + PATH, "empty port": b"https://" + VERTEX.encode() + b":" + PATH, "port 0443": b"https://" + VERTEX.encode() + b":0443" + PATH,
                      "port +443": b"https://" + VERTEX.encode() + b":+443" + PATH, "percent host": b"https://" + VERTEX.replace(".", "%2e").encode() + PATH, "quoted": b'"' + PATH + b'"',
                      "absolute fragment": b"https://" + VERTEX.encode() + PATH + b"#x", "foreign address": b"https://127.0.0.1" + PATH, "double scheme": b"https://https://" + VERTEX.encode() + PATH,
                      "trailing dot": b"https://" + VERTEX.encode() + b"." + PATH, "suffix host": b"https://" + VERTEX.encode() + b".evil.test" + PATH, "scheme of digits": b"1https://" + VERTEX.encode() + PATH}.items():
    refused("target " + label, with_line(b"POST " + target + b" HTTP/1.1"))
for label, target in {"absolute": f"https://{VERTEX}{GENERATE}", "absolute upper scheme": f"HTTPS://{VERTEX}{GENERATE}", "absolute upper host": f"https://{VERTEX.upper()}{GENERATE}",
                      "absolute with port": f"https://{VERTEX}:443{GENERATE}"}.items():
    normal("target " + label, with_line(b"POST " + target.encode() + b" HTTP/1.1"))
for label, query in {"query": "?a=b", "empty query": "?", "odd query": "?a=b&&c&=d&e=f=g", "percent query": "?a=%00%0d%0a%20", "question marks": "?a?b??", "slashes in query": "?a=/../x",
                     "plus": "?a=b+c", "colon": "?a=http://evil.test/", "semicolon": "?a;b=c", "at": "?a@b"}.items():
    accepted("target " + label, START.replace(b" HTTP", query.encode() + b" HTTP") + HOST + AUTH + SIZED, target=GENERATE + query)
for label, query in {"odd visible bytes in the query": "?a=\"<>\\^`{|}[]'()*!$,", "long words in the query": "?" + "&".join(f"k{i}=v" for i in range(500))}.items():
    accepted("target " + label, START.replace(b" HTTP", query.encode() + b" HTTP") + HOST + AUTH + SIZED, target=GENERATE + query)
for label, old, new in (("encoded dash", "2.5-pro", "2.5%2Dpro"), ("encoded in lower case", "2.5-pro", "2.5%2dpro"), ("encoded dot inside", "2.5-pro", "2%2E5-pro")):
    accepted("target " + label, START.replace(old.encode(), new.encode()) + HOST + AUTH + SIZED, target=GENERATE.replace(old, new), status=-1)
for label, size, want in (("at the limit", URI_MAX, True), ("one beyond", URI_MAX + 1, False), ("far beyond", 70000, False)):
    line = START.replace(b" HTTP", b"?a=" + b"b" * (size - len(PATH) - 3) + b" HTTP") + HOST + AUTH + SIZED
    if want:
        accepted("target " + label, line, target=GENERATE + "?a=" + "b" * (size - len(PATH) - 3))
    else:
        refused("target " + label, line, 414 if size < HEAD_MAX else 0)
for method in ("post", "Post", "pOST", "PO(ST", "PO/ST", "PO:ST", "PO\"ST", "POST,GET", "", "GE T", "POST\0", "P@ST", "[POST]"):
    refused("method " + repr(method), with_line(method.encode() + b" " + PATH + b" HTTP/1.1"))
for method in ("TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "MKCOL", "SOURCE", "PURGE", "BREW", "LINK", "SEARCH", "X" * 300, "M-SEARCH", "PRI", "ANNOUNCE", "QUERY"):
    refused("method " + method[:20], with_line(method.encode() + b" " + PATH + b" HTTP/1.1"))
    refused("method without body " + method[:20], method.encode() + b" " + PATH + b" HTTP/1.1\r\n" + HOST + AUTH + b"\r\n")
refused("method connect with authority", b"CONNECT " + VERTEX.encode() + b":443 HTTP/1.1\r\n" + HOST + AUTH + b"\r\n")
refused("method connect elsewhere", b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n" + AUTH + b"\r\n")
refused("method trace with max-forwards", b"TRACE / HTTP/1.1\r\n" + HOST + AUTH + b"Max-Forwards: 0\r\n\r\n")
normal("empty line first", b"\r\n" + BASE + SIZED)
normal("two empty lines first", b"\r\n\r\n" + BASE + SIZED)

# ---- Host ----

for label, value in {"empty": b"", "blank": b"  ", "list": VERTEX.encode() + b", evil.test", "list of equals": VERTEX.encode() + b"," + VERTEX.encode(), "comma": VERTEX.encode() + b",",
                     "userinfo": b"a@" + VERTEX.encode(), "userinfo password": b"a:b@" + VERTEX.encode(), "userinfo behind": VERTEX.encode() + b"@evil.test", "path": VERTEX.encode() + b"/x", "slash": VERTEX.encode() + b"/",
                     "query": VERTEX.encode() + b"?x", "fragment": VERTEX.encode() + b"#x", "space": VERTEX.encode() + b" evil.test", "tab": VERTEX.encode() + b"\tevil.test", "port 0": VERTEX.encode() + b":0",
                     "port empty": VERTEX.encode() + b":", "port 65536": VERTEX.encode() + b":65536", "port 65979": VERTEX.encode() + b":65979", "port plus": VERTEX.encode() + b":+443", "port minus": VERTEX.encode() + b":-443",
                     "port 0443": VERTEX.encode() + b":0443", "port 443x": VERTEX.encode() + b":443x", "port hex": VERTEX.encode() + b":0x1bb", "port twice": VERTEX.encode() + b":443:443", "port space": VERTEX.encode() + b" :443",
                     "port space behind": VERTEX.encode() + b": 443", "port word": VERTEX.encode() + b":https", "port float": VERTEX.encode() + b":443.0", "port at": VERTEX.encode() + b":443@evil.test", "two colons": VERTEX.encode() + b"::443",
                     "scheme": b"https://" + VERTEX.encode(), "slashes": b"//" + VERTEX.encode(), "quoted": b'"' + VERTEX.encode() + b'"', "percent": VERTEX.replace(".", "%2e").encode(), "backslash": VERTEX.encode() + b"\\evil.test",
                     "nul": VERTEX.encode() + b"\x00", "nul suffix": VERTEX.encode() + b"\x00.evil.test", "underscore": VERTEX.replace("-", "_").encode(), "star": b"*", "star name": b"*-aiplatform.googleapis.com", "dots": VERTEX.replace(".", "..").encode(),
                     "dot first": b"." + VERTEX.encode(), "two dots behind": VERTEX.encode() + b"..", "dot": b".", "brackets": b"[" + VERTEX.encode() + b"]", "bracket open": b"[" + VERTEX.encode(), "empty brackets": b"[]", "semicolon": VERTEX.encode() + b";x",
                     "utf-8": "g\u043eogleapis.com".encode(), "high": VERTEX.encode() + b"\xff", "dash first": b"-" + VERTEX.encode(), "braces": b"{" + VERTEX.encode() + b"}", "long": b"a" * 300 + b"." + VERTEX.encode(),
                     "long label": b"a" * 64 + b"." + VERTEX.encode(), "pipe": VERTEX.encode() + b"|", "equals": b"a=" + VERTEX.encode(), "ampersand": VERTEX.encode() + b"&a"}.items():
    refused("host " + label, START + b"Host: " + value + b"\r\n" + AUTH + SIZED)
for label, value in {"other": GEMINI, "claude": "api.anthropic.com", "evil": "evil.test", "port 444": VERTEX + ":444", "port 80": VERTEX + ":80", "prefix": "x" + VERTEX, "suffix": VERTEX + ".evil.test", "parent": "googleapis.com",
                     "shorter": VERTEX[:-1], "longer": VERTEX + "m", "ip": "127.0.0.1", "ipv6": "[::1]", "ipv6 port": "[::1]:443", "localhost": "localhost", "trailing dot": VERTEX + ".", "trailing dot port": VERTEX + ".:443",
                     "other port of ipv6": "[2001:db8::1]:443", "metadata": "169.254.169.254", "number": "2130706433"}.items():
    refused("host differs " + label, START + f"Host: {value}\r\n".encode() + AUTH + SIZED, 0 if label == "number" else 421)
refused("host missing", START + AUTH + SIZED)
refused("host twice", BASE + HOST + SIZED)
refused("host twice differing", BASE + b"Host: evil.test\r\n" + SIZED)
refused("host twice differing first", START + b"Host: evil.test\r\n" + HOST + AUTH + SIZED)
refused("host twice by case", BASE + b"hOST: evil.test\r\n" + SIZED)
refused("host and an empty one", BASE + b"Host:\r\n" + SIZED)
refused("host three times", BASE + HOST + HOST + SIZED)
refused("host twice in 1.0", OLD + HOST + SIZED)
refused("host other in 1.0", START.replace(b"1.1", b"1.0") + b"Host: evil.test\r\n" + AUTH + SIZED, 421)
refused("host differs from an absolute target", with_line(f"POST https://{VERTEX}{GENERATE} HTTP/1.1".encode(), b"Host: evil.test\r\n" + AUTH))
refused("host missing beside an absolute target", with_line(f"POST https://{VERTEX}{GENERATE} HTTP/1.1".encode(), AUTH))
refused("host agrees with a foreign absolute target", with_line(f"POST https://{GEMINI}{GENERATE} HTTP/1.1".encode(), f"Host: {GEMINI}\r\n".encode() + AUTH), 421)
for label, value in {"upper": VERTEX.upper(), "port": VERTEX + ":443", "mixed": VERTEX.title(), "spaces": f"  {VERTEX}\t"}.items():
    normal("host valid " + label, START + f"Host: {value}\r\n".encode() + AUTH + SIZED)
for label, name in {"lower": b"host", "upper": b"HOST", "mixed": b"hOsT"}.items():
    normal("host valid name " + label, START + name + b":" + VERTEX.encode() + b"\r\n" + AUTH + SIZED)
normal("host last", START + AUTH + SIZED.replace(b"\r\n", b"\r\n" + HOST, 1))
normal("host named by connection stays", BASE + b"Connection: host\r\n" + SIZED)
accepted("host missing in 1.0", START.replace(b"1.1", b"1.0") + AUTH + SIZED, closes=True)
accepted("1.0", OLD + SIZED, closes=True)
accepted("1.0 kept", OLD + b"Connection: keep-alive\r\n" + SIZED)
accepted("1.0 kept by upper case", OLD + b"CONNECTION: Keep-Alive\r\n" + SIZED)
accepted("1.0 keep-alive and close", OLD + b"Connection: keep-alive, close\r\n" + SIZED, closes=True)

# ---- Connection, Upgrade, Expect and other fields that end here ----

for label, fields, kept in (
        ("close", b"Connection: close\r\n", b""), ("keep-alive", b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n", b""), ("named", b"Connection: x-a\r\nX-A: b\r\nX-B: c\r\n", b"X-B: c\r\n"),
        ("named list", b"Connection: x-a , X-B,,\r\nX-A: b\r\nx-b: c\r\nX-C: d\r\n", b"X-C: d\r\n"), ("two connections", b"Connection: x-a\r\nConnection: x-b\r\nX-A: b\r\nX-B: c\r\n", b""),
        ("proxy-connection", b"Proxy-Connection: keep-alive\r\n", b""), ("te", b"TE: trailers, deflate\r\nConnection: te\r\n", b""), ("trailer", b"Trailer: x-a\r\n", b""),
        ("proxy-authorization", b"Proxy-Authorization: Basic YTpi\r\n", b""), ("named authorization", b"Connection: authorization\r\n", b""), ("named all credentials", b"Connection: authorization, x-api-key, x-goog-api-key, host\r\n", b""),
        ("upgrade h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n", b""), ("upgrade h2c without connection", b"Upgrade: h2c\r\n", b""),
        ("upgrade tls", b"Connection: upgrade\r\nUpgrade: TLS/1.2\r\n", b""), ("upgrade list", b"Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", b""),
        ("forwarding", b"Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil.test\r\nX-Real-IP: 1.2.3.4\r\nVia: 1.1 x\r\n", b""), ("user project", b"X-Goog-User-Project: other\r\n", b""),
        ("method override", b"X-HTTP-Method-Override: DELETE\r\n", b""), ("other credentials", b"X-Goog-Api-Key: " + ALICE.encode() + b"\r\nX-Api-Key: " + ALICE.encode() + b"\r\n", b""),
        ("empty credentials", b"X-Api-Key:\r\n", b""), ("expect continue sent at once", b"Expect: 100-continue\r\n", b""), ("connection of odd tokens", b"Connection: , ,close-ish,\x80\r\n", b"")):
    normal("connection " + label, BASE + fields + SIZED, kept, closes=label == "close")
accepted("expect upper", BASE + b"Expect: 100-CONTINUE\r\n" + SIZED)
accepted("expect mixed, with chunks", BASE + b"eXpEcT: 100-Continue\r\n" + CHUNKED + b"\r\n" + CHUNKS)
for label, value in {"upper": b"Keep-Alive", "and a name": b"keep-alive, X", "twice": b"keep-alive, keep-alive", "te": b"TE, keep-alive", "empty": b"", "commas": b",,keep-alive,,", "tabs": b"\tkeep-alive\t,\tx"}.items():
    accepted("connection keeps: " + label, BASE + b"Connection: " + value + b"\r\n" + SIZED)
for label, value in {"upper": b"CLOSE", "in a list": b"x-a, close", "beside keep-alive": b"keep-alive, close", "in a second field": b"keep-alive\r\nConnection: close"}.items():
    accepted("connection closes: " + label, BASE + b"Connection: " + value + b"\r\n" + SIZED, closes=True)
accepted("expect in 1.0", OLD + b"Expect: 100-continue\r\n" + SIZED, closes=True)

# ---- sizes ----

ROOM = HEAD_MAX - len(BASE + b"X-Forwarded-Pad: \r\n" + LENGTH + b"\r\n")
OWN = 3  # Host, Authorization, Content-Length
accepted("fields at the limit", BASE + b"".join(b"X-%d: y\r\n" % i for i in range(FIELDS_MAX - OWN)) + SIZED)
refused("fields one beyond", BASE + b"".join(b"X-%d: y\r\n" % i for i in range(FIELDS_MAX - OWN + 1)) + SIZED, 431)
refused("fields far beyond", BASE + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + SIZED, 431)
refused("fields of one name", BASE + b"Accept: y\r\n" * 200 + SIZED, 431)
accepted("head at the limit", BASE + b"X-Forwarded-Pad: " + b"y" * ROOM + b"\r\n" + SIZED)
refused("head one beyond", BASE + b"X-Forwarded-Pad: " + b"y" * (ROOM + 1) + b"\r\n" + SIZED, 431)
refused("head far beyond", BASE + b"X-Forwarded-Pad: " + b"y" * 300000 + b"\r\n" + SIZED, 431)
refused("head without end", BASE + b"X-Forwarded-Pad: " + b"y" * 300000, 431)
refused("name without end", BASE + b"y" * 300000, 431)
accepted("fields ninety", BASE + b"".join(b"X-%d: y\r\n" % i for i in range(90)) + SIZED)

# ---- bodies on methods that seldom have one ----

LIST = "/v1/projects/client-project/locations/us-central1/publishers/google/models"
for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
    line = f"{method} {GENERATE} HTTP/1.1\r\n".encode() + HOST + AUTH
    accepted(method.lower() + " without body", line + b"\r\n", body=b"", method=method, status=-1)
    accepted(method.lower() + " with a length", line + SIZED, method=method, status=-1)
    accepted(method.lower() + " with chunks", line + CHUNKED + b"\r\n" + CHUNKS, method=method, status=-1)
    accepted(method.lower() + " with length 0", line + b"Content-Length: 0\r\n\r\n", body=b"", method=method, status=-1)
    refused(method.lower() + " with both", line + LENGTH + CHUNKED + b"\r\n" + CHUNKS)
    refused(method.lower() + " te xchunked", line + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS)
for method in ("PUT", "PATCH"):
    accepted(method.lower(), f"{method} {GENERATE} HTTP/1.1\r\n".encode() + HOST + AUTH + SIZED, method=method, status=-1)
    accepted(method.lower() + " with chunks", f"{method} {GENERATE} HTTP/1.1\r\n".encode() + HOST + AUTH + CHUNKED + b"\r\n" + CHUNKS, method=method, status=-1)
    accepted(method.lower() + " without body", f"{method} {GENERATE} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n", body=b"", method=method, status=-1)
refused("asterisk options twice", b"OPTIONS ** HTTP/1.1\r\n" + HOST + AUTH + b"\r\n")

# ---- CONNECT, in clear, to the proxy's port ----

CONNECTS = []


def connect(name, authority, fields=None, want="refused", status=0, line=b"CONNECT %s HTTP/1.1\r\n", body=b""):
    """AUTHORITY as text or bytes; FIELDS None: a Host that says the same."""
    authority = authority.encode() if isinstance(authority, str) else authority
    fields = b"Host: " + authority + b"\r\n" if fields is None else fields
    CONNECTS.append(Vector(name, line.replace(b"%s", authority) + fields + b"\r\n" + body, want, status=status))


for label, authority in {
        "no port": VERTEX, "empty port": f"{VERTEX}:", "port 0": f"{VERTEX}:0", "port 00": f"{VERTEX}:00", "port 65536": f"{VERTEX}:65536", "port 65979": f"{VERTEX}:65979", "port 4294967739": f"{VERTEX}:4294967739",
        "port 2^64+443": f"{VERTEX}:18446744073709552059", "port plus": f"{VERTEX}:+443", "port minus": f"{VERTEX}:-443", "port 443x": f"{VERTEX}:443x", "port x443": f"{VERTEX}:x443", "port 0443": f"{VERTEX}:0443", "port 00443": f"{VERTEX}:00443",
        "port hex": f"{VERTEX}:0x1bb", "port octal": f"{VERTEX}:0o673", "port float": f"{VERTEX}:443.0", "port exponent": f"{VERTEX}:4e2", "port word": f"{VERTEX}:https", "port underscore": f"{VERTEX}:4_43", "port comma": f"{VERTEX}:443,444",
        "port twice": f"{VERTEX}:443:443", "two colons": f"{VERTEX}::443", "port path": f"{VERTEX}:443/x", "port slash": f"{VERTEX}:443/", "port query": f"{VERTEX}:443?x", "port fragment": f"{VERTEX}:443#x", "port backslash": f"{VERTEX}:443\\x",
        "port userinfo behind": f"{VERTEX}:443@evil.test:443", "port semicolon": f"{VERTEX}:443;x", "port percent": f"{VERTEX}:%34%34%33", "space before port": f"{VERTEX}: 443", "space before colon": f"{VERTEX} :443", "space before": f" {VERTEX}:443",
        "space behind": f"{VERTEX}:443 ", "tab inside": f"{VERTEX}\t:443", "nul": f"{VERTEX}\0:443", "nul behind port": f"{VERTEX}:443\0", "nul suffix": f"{VERTEX}\0.evil.test:443", "cr": f"{VERTEX}\r:443", "lf": f"{VERTEX}\n:443", "vtab": f"{VERTEX}\x0b:443",
        "del": f"{VERTEX}\x7f:443", "userinfo": f"user@{VERTEX}:443", "userinfo password": f"user:pass@{VERTEX}:443", "userinfo empty": f"@{VERTEX}:443", "userinfo of a host": f"evil.test:443@{VERTEX}:443", "path": f"{VERTEX}/x:443", "query": f"{VERTEX}?x:443",
        "fragment": f"{VERTEX}#x:443", "backslash": f"{VERTEX}\\x:443", "percent": VERTEX.replace(".", "%2e") + ":443", "percent nul": f"{VERTEX}%00:443", "empty": "", "colon": ":", "port only": ":443", "slash": f"/{VERTEX}:443", "slashes": f"//{VERTEX}:443",
        "asterisk": "*", "star": "*:443", "star name": "*-aiplatform.googleapis.com:443", "star label": "*.googleapis.com:443", "underscore": "us_central1-aiplatform.googleapis.com:443", "two dots": VERTEX.replace(".", "..", 1) + ":443", "dot first": f".{VERTEX}:443",
        "two dots behind": f"{VERTEX}..:443", "dot": ".:443", "dash first": f"-{VERTEX}:443", "dash behind": "evil-.test:443", "comma": f"{VERTEX},evil.test:443", "semicolon": f"{VERTEX};evil.test:443", "quoted": f'"{VERTEX}":443', "brackets": f"[{VERTEX}]:443",
        "parens": f"({VERTEX}):443", "braces": f"{{{VERTEX}}}:443", "pipe": f"{VERTEX}|:443", "caret": f"{VERTEX}^:443", "dollar": f"${VERTEX}:443", "ampersand": f"{VERTEX}&x:443", "equals": f"a={VERTEX}:443", "plus": f"a+{VERTEX}:443", "exclamation": f"{VERTEX}!:443",
        "long label": "a" * 64 + ".test:443", "254 bytes": ".".join(["a" * 49] * 5) + ".test:443", "300 bytes": "a." * 148 + "test:443", "10000 bytes": "a" * 10000 + ":443", "20000 bytes": "a" * 20000 + ":443", "utf-8": "b\u00fccher.test:443", "utf-8 dot": VERTEX.replace(".", "\u3002") + ":443",
        "full width": "\uff47oogleapis.com:443", "high byte": b"\xff.test:443", "soft hyphen": "goo\u00adgleapis.com:443", "nbsp": f"\u00a0{VERTEX}:443", "absolute": f"http://{VERTEX}:443", "absolute slash": f"http://{VERTEX}:443/", "absolute https": f"https://{VERTEX}:443/",
        "absolute without port": f"https://{VERTEX}", "ipv6 without brackets": "::1:443", "ipv6 open": "[::1:443", "ipv6 close": "::1]:443", "ipv6 without colon": "[::1]443", "ipv6 without port": "[::1]", "ipv6 empty": "[]:443", "ipv6 zone": "[fe80::1%eth0]:443",
        "ipv6 zone encoded": "[fe80::1%25eth0]:443", "ipv6 nested": "[[::1]]:443", "ipv6 junk": "[::1x]:443", "ipv6 future": "[v1.a]:443", "ipv6 two gaps": "[1::2::3]:443", "ipv6 long": "[1:2:3:4:5:6:7:8:9]:443", "ipv4 short": "127.1:443", "ipv4 octal": "0177.0.0.1:443",
        "ipv4 hex": "0x7f000001:443", "ipv4 number": "2130706433:443", "ipv4 five": "1.2.3.4.5:443", "ipv4 256": "256.1.1.1:443", "hex label": "evil.0x7f:443", "all digits": "443:443"}.items():
    connect("authority " + label, authority, b"", status=0 if set(str(authority)) & set("\0\r\n \t\x0b\x7f") or label in ("empty", "20000 bytes") else 400)
for label, authority in {"loopback": "127.0.0.1:443", "ipv6 loopback": "[::1]:443", "mapped": "[::ffff:127.0.0.1]:443", "private": "10.0.0.1:443", "metadata": "169.254.169.254:443", "port 80": f"{VERTEX}:80", "port 444": f"{VERTEX}:444", "port 8443": f"{VERTEX}:8443",
                         "port 22": "echo.test:22", "port 25": "echo.test:25", "port 65535": "echo.test:65535"}.items():
    connect("policy " + label, authority, status=403)
AT = f"{VERTEX}:443"
for label, value in {"other": f"{GEMINI}:443", "evil": "evil.test", "other port": f"{VERTEX}:444", "port 80": f"{VERTEX}:80", "prefix": f"x{VERTEX}:443", "suffix": f"{VERTEX}.evil.test:443", "address": "127.0.0.1:443", "localhost": "localhost"}.items():
    connect("host differs " + label, AT, f"Host: {value}\r\n".encode(), status=421)
for label, fields in {"empty": b"Host:\r\n", "blank": b"Host:  \r\n", "twice": f"Host: {AT}\r\nHost: {AT}\r\n".encode(), "twice differing": f"Host: {AT}\r\nHost: evil.test\r\n".encode(), "list": f"Host: {AT}, evil.test\r\n".encode(), "userinfo": f"Host: a@{AT}\r\n".encode(),
                      "path": f"Host: {AT}/x\r\n".encode(), "port x": f"Host: {AT}x\r\n".encode(), "port plus": f"Host: {VERTEX}:+443\r\n".encode(), "space": f"Host: {VERTEX} :443\r\n".encode(), "nul": f"Host: {AT}\0\r\n".encode()}.items():
    connect("host " + label, AT, fields)
for label, fields in {"space colon": b"X : y\r\n", "fold": b"X: y\r\n z\r\n", "no colon": b"X\r\n", "empty name": b": y\r\n", "bare lf": b"X: y\n", "bare cr": b"X: y\rZ: a\r\n", "nul": b"X: \0\r\n", "underscore": b"X_Y: z\r\n", "two lengths": b"Content-Length: 0\r\nContent-Length: 1\r\n",
                      "length and te": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "te x": b"Transfer-Encoding: xchunked\r\n", "length plus": b"Content-Length: +0\r\n", "length word": b"Content-Length: a\r\n"}.items():
    connect("field " + label, AT, f"Host: {AT}\r\n".encode() + fields, status=400)
connect("fields too many", AT, b"X: y\r\n" * 129, status=431)
connect("head too large", AT, b"X: " + b"y" * 70000 + b"\r\n", status=431)
connect("body length", AT, b"Content-Length: 4\r\n", status=400, body=b"GET ")
connect("body length of a request", AT, b"Content-Length: 40\r\n", status=400, body=b"GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n")
connect("body chunked", AT, CHUNKED, status=400, body=b"0\r\n\r\n")
connect("body without its end", AT, b"Content-Length: 1000000\r\n", status=400)
connect("body expected", AT, b"Content-Length: 4\r\nExpect: 100-continue\r\n", status=400)
for label, line in {"lower": b"connect %s HTTP/1.1\r\n", "mixed": b"Connect %s HTTP/1.1\r\n", "two spaces": b"CONNECT  %s HTTP/1.1\r\n", "tab": b"CONNECT\t%s HTTP/1.1\r\n", "space behind": b"CONNECT %s HTTP/1.1 \r\n", "space before": b" CONNECT %s HTTP/1.1\r\n", "no version": b"CONNECT %s\r\n",
                    "2.0": b"CONNECT %s HTTP/2.0\r\n", "0.9": b"CONNECT %s HTTP/0.9\r\n", "1.2": b"CONNECT %s HTTP/1.2\r\n", "lower version": b"CONNECT %s http/1.1\r\n", "lf": b"CONNECT %s HTTP/1.1\n", "cr": b"CONNECT %s HTTP/1.1\r", "crcrlf": b"CONNECT %s HTTP/1.1\r\r\n", "version junk": b"CONNECT %s HTTP/1.1x\r\n",
                    "method junk": b"XCONNECT %s HTTP/1.1\r\n", "nul": b"CONNECT\0%s HTTP/1.1\r\n", "other method": b"OPTIONS %s HTTP/1.1\r\n", "get": b"GET %s HTTP/1.1\r\n", "absolute path": b"CONNECT /%s HTTP/1.1\r\n"}.items():
    connect("line " + label, AT, line=line)
connect("tls", "", line=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60 + b"\r\n")
connect("socks 4", "", line=b"\x04\x01\x01\xbb\x7f\0\0\x01\0")
connect("socks 5", "", line=b"\x05\x01\0")
connect("proxy protocol", "", line=b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")
connect("proxy protocol 2", "", line=b"\r\n\r\n\0\r\nQUIT\n")
connect("h2 preface", "", b"", line=b"PRI * HTTP/2.0\r\n", body=b"SM\r\n\r\n")
for label, authority, fields, line in (
        ("plain", AT, None, b"CONNECT %s HTTP/1.1\r\n"), ("1.0", AT, b"", b"CONNECT %s HTTP/1.0\r\n"), ("1.0 with host", AT, None, b"CONNECT %s HTTP/1.0\r\n"), ("no host", AT, b"", b"CONNECT %s HTTP/1.1\r\n"),
        ("host without port", AT, f"Host: {VERTEX}\r\n".encode(), b"CONNECT %s HTTP/1.1\r\n"), ("host upper", AT, f"HOST: {VERTEX.upper()}:443\r\n".encode(), b"CONNECT %s HTTP/1.1\r\n"), ("upper", f"{VERTEX.upper()}:443", None, b"CONNECT %s HTTP/1.1\r\n"),
        ("trailing dot", f"{VERTEX}.:443", None, b"CONNECT %s HTTP/1.1\r\n"), ("many fields", AT, b"".join(b"X-%d: y\r\n" % i for i in range(100)), b"CONNECT %s HTTP/1.1\r\n"), ("long field", AT, b"X-A: " + b"y" * 30000 + b"\r\n", b"CONNECT %s HTTP/1.1\r\n"),
        ("length 0", AT, b"Content-Length: 0\r\n", b"CONNECT %s HTTP/1.1\r\n"), ("close", AT, b"Connection: close\r\n", b"CONNECT %s HTTP/1.1\r\n"), ("proxy-connection", AT, b"Proxy-Connection: Keep-Alive\r\nUser-Agent: curl/8\r\n", b"CONNECT %s HTTP/1.1\r\n"),
        ("empty line first", AT, None, b"\r\nCONNECT %s HTTP/1.1\r\n"), ("spaces round the host", AT, f"Host: \t{AT} \r\n".encode(), b"CONNECT %s HTTP/1.1\r\n"), ("odd values", AT, b"X-A:\r\nX-B: \xe4\tb\r\n", b"CONNECT %s HTTP/1.1\r\n"),
        ("credentials", AT, b"Proxy-Authorization: Basic YTpi\r\n", b"CONNECT %s HTTP/1.1\r\n"), ("trailing dot, upper", f"{VERTEX.upper()}.:443", None, b"CONNECT %s HTTP/1.1\r\n"),
        ("trailing dot, host without", f"{VERTEX}.:443", f"Host: {AT}\r\n".encode(), b"CONNECT %s HTTP/1.1\r\n"), ("host with a trailing dot", AT, f"Host: {VERTEX}.:443\r\n".encode(), b"CONNECT %s HTTP/1.1\r\n"), ("127 fields", AT, b"X: y\r\n" * 127 + f"Host: {AT}\r\n".encode(), b"CONNECT %s HTTP/1.1\r\n"),
        ("two empty lines first", AT, None, b"\r\n\r\nCONNECT %s HTTP/1.1\r\n"), ("expect", AT, b"Expect: 100-continue\r\n", b"CONNECT %s HTTP/1.1\r\n"), ("1.0 keep-alive", AT, b"Proxy-Connection: keep-alive\r\nConnection: keep-alive\r\n", b"CONNECT %s HTTP/1.0\r\n"), ("upgrade", AT, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"CONNECT %s HTTP/1.1\r\n")):
    connect("valid " + label, authority, fields, "accepted", line=line)


def seeds():
    """(name, bytes) of every vector: a start for whoever wants to try more."""
    for v in VECTORS:
        yield v.name, v.data
    for v in CONNECTS:
        yield "connect " + v.name, v.data
