"""Requests that two parsers could read in two ways, and odd ones that are perfectly valid."""
import ssl

import answers
from harness import ALICE, BODY, GENERATE, VERTEX, LabCase

START = f"POST {GENERATE} HTTP/1.1\r\n".encode()
HOST = f"Host: {VERTEX}\r\n".encode()
AUTH = f"Authorization: Bearer {ALICE}\r\n".encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BASE = START + HOST + AUTH
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def hostile():
    """{name: bytes} of requests that must be refused with the connection closed."""
    v = {}
    plain = {"cl+te": LENGTH + CHUNKED, "te+cl": CHUNKED + LENGTH, "two lengths": LENGTH + b"Content-Length: 3\r\n",
             "length list": b"Content-Length: %d, 3\r\n" % len(BODY), "length plus": b"Content-Length: +%d\r\n" % len(BODY),
             "length minus": b"Content-Length: -1\r\n", "length hex": b"Content-Length: 0x2b\r\n",
             "length empty": b"Content-Length: \r\n", "length word": b"Content-Length: many\r\n",
             "length float": b"Content-Length: 43.0\r\n", "length space": b"Content-Length: 4 3\r\n",
             "length overflow": b"Content-Length: 18446744073709551659\r\n",
             "length huge": b"Content-Length: 99999999999999999999999999\r\n",
             "te identity": b"Transfer-Encoding: identity\r\n", "te gzip": b"Transfer-Encoding: gzip\r\n",
             "te gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n", "te chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
             "te two fields": CHUNKED + CHUNKED, "te xchunked": b"Transfer-Encoding: xchunked\r\n",
             "te quoted": b'Transfer-Encoding: "chunked"\r\n', "te comma": b"Transfer-Encoding: chunked,\r\n",
             "te parameter": b"Transfer-Encoding: chunked;a=b\r\n", "te vtab": b"Transfer-Encoding:\x0bchunked\r\n",
             "te nbsp": b"Transfer-Encoding:\xa0chunked\r\n", "te formfeed": b"Transfer-Encoding: chunked\x0c\r\n",
             "te nul": b"Transfer-Encoding: chunked\x00\r\n", "te fold": b"Transfer-Encoding:\r\n chunked\r\n",
             "te bare cr": b"Transfer-Encoding: chunked\rX: y\r\n", "te space colon": b"Transfer-Encoding : chunked\r\n",
             "te empty": b"Transfer-Encoding: \r\n"}
    for name, lines in plain.items():
        v[name] = BASE + lines + b"\r\n" + (CHUNKS if "te" in name.split()[0] else BODY)
    body = LENGTH + b"\r\n" + BODY
    v["bare lf lines"] = (BASE + body[:-len(BODY)]).replace(b"\r\n", b"\n") + BODY
    v["bare lf one"] = BASE + b"X-A: b\n" + body
    v["bare cr"] = BASE + b"X-A: b\rX-B: c\r\n" + body
    v["obs-fold"] = BASE + b"X-A: b\r\n c\r\n" + body
    v["obs-fold tab"] = BASE + b"X-A: b\r\n\tc\r\n" + body
    v["fold first"] = START + b" X: y\r\n" + HOST + AUTH + body
    v["nul in value"] = BASE + b"X-A: a\x00b\r\n" + body
    v["nul in name"] = BASE + b"X\x00A: b\r\n" + body
    v["del in value"] = BASE + b"X-A: a\x7fb\r\n" + body
    v["control in value"] = BASE + b"X-A: a\x01b\r\n" + body
    v["space before colon"] = BASE + b"X-A : b\r\n" + body
    v["tab before colon"] = BASE + b"X-A\t: b\r\n" + body
    v["empty name"] = BASE + b": b\r\n" + body
    v["no colon"] = BASE + b"X-A\r\n" + body
    v["space in name"] = BASE + b"X A: b\r\n" + body
    v["high byte in name"] = BASE + b"X-\xe4: b\r\n" + body
    v["paren in name"] = BASE + b"X(A): b\r\n" + body
    v["no host"] = START + AUTH + body
    v["two hosts"] = BASE + HOST + body
    v["two different hosts"] = BASE + b"Host: evil.test\r\n" + body
    v["host empty"] = START + b"Host:\r\n" + AUTH + body
    v["host list"] = START + f"Host: {VERTEX}, evil.test\r\n".encode() + AUTH + body
    v["host userinfo"] = START + f"Host: a@{VERTEX}\r\n".encode() + AUTH + body
    v["host path"] = START + f"Host: {VERTEX}/x\r\n".encode() + AUTH + body
    v["host space"] = START + f"Host: {VERTEX} evil.test\r\n".encode() + AUTH + body
    v["version 2.0"] = START.replace(b"1.1", b"2.0") + HOST + AUTH + body
    v["version 1.2"] = START.replace(b"1.1", b"1.2") + HOST + AUTH + body
    v["version 0.9"] = START.replace(b"1.1", b"0.9") + HOST + AUTH + body
    v["version 1.10"] = START.replace(b"1.1", b"1.10") + HOST + AUTH + body
    v["version lower"] = START.replace(b"HTTP", b"http") + HOST + AUTH + body
    v["version junk"] = START.replace(b"1.1", b"1.1x") + HOST + AUTH + body
    v["http/0.9"] = f"GET {GENERATE}\r\n".encode()
    v["two spaces"] = START.replace(b" /", b"  /") + HOST + AUTH + body
    v["space at end"] = START.replace(b"1.1\r", b"1.1 \r") + HOST + AUTH + body
    v["tab in line"] = START.replace(b" HTTP", b"\tHTTP") + HOST + AUTH + body
    v["space in target"] = START.replace(b"/v1/", b"/v1/ ") + HOST + AUTH + body
    v["space first"] = b" " + BASE + body
    v["nul in target"] = START.replace(b"/v1/", b"/v1/\x00") + HOST + AUTH + body
    v["fragment"] = START.replace(b" HTTP", b"#x HTTP") + HOST + AUTH + body
    v["asterisk post"] = b"POST * HTTP/1.1\r\n" + HOST + AUTH + body
    v["no slash"] = b"POST v1/x HTTP/1.1\r\n" + HOST + AUTH + body
    v["lower method"] = START.replace(b"POST", b"post") + HOST + AUTH + body
    v["odd method"] = START.replace(b"POST", b"PO(ST") + HOST + AUTH + body
    v["pri"] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    v["garbage"] = bytes(range(1, 200)) + b"\r\n\r\n"
    v["http/1.0 chunked"] = START.replace(b"1.1", b"1.0") + HOST + AUTH + CHUNKED + b"\r\n" + CHUNKS
    v["head too large"] = BASE + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(80)) + body
    v["too many fields"] = BASE + b"".join(b"X-%d: y\r\n" % i for i in range(400)) + body
    v["endless target"] = START.replace(b" HTTP", b"?a=" + b"b" * 70000 + b" HTTP") + HOST + AUTH + body
    return v


def bad_chunks():
    """{name: chunked body} of which nothing may look like a complete request upstream."""
    n, data = len(BODY), BODY
    size = b"%x" % n
    return {"0x": b"0x%s\r\n%s\r\n0\r\n\r\n" % (size, data), "plus": b"+%s\r\n%s\r\n0\r\n\r\n" % (size, data),
            "minus": b"-%s\r\n%s\r\n0\r\n\r\n" % (size, data), "space before": b" %s\r\n%s\r\n0\r\n\r\n" % (size, data),
            "space abc": b"%s abc\r\n%s\r\n0\r\n\r\n" % (size, data), "empty size": b"\r\n%s\r\n0\r\n\r\n" % data,
            "not hex": b"g\r\n%s\r\n0\r\n\r\n" % data, "lf only": b"%s\n%s\n0\n\n" % (size, data),
            "17 digits": b"00000000000000000%s\r\n%s\r\n0\r\n\r\n" % (size, data),
            "overflow": b"ffffffffffffffffff\r\n%s\r\n0\r\n\r\n" % data, "underscore": b"0_%s\r\n%s\r\n0\r\n\r\n" % (size, data),
            "no crlf after data": b"%s\r\n%sXX0\r\n\r\n" % (size, data), "too long": b"%s\r\n%sXXX\r\n0\r\n\r\n" % (size, data),
            "lf in extension": b"%s;a\nb\r\n%s\r\n0\r\n\r\n" % (size, data), "nul in size": b"%s\x00\r\n%s\r\n0\r\n\r\n" % (size, data),
            "huge extension": b"%s;%s\r\n%s\r\n0\r\n\r\n" % (size, b"e" * 70000, data),
            "huge trailer": b"%s\r\n%s\r\n0\r\nX: %s\r\n\r\n" % (size, data, b"t" * 70000),
            "bad trailer": b"%s\r\n%s\r\n0\r\nX y\r\n\r\n" % (size, data)}


class Hostile(LabCase):
    LAB = {"accounts": 1, "claude": False}
    FOLLOW = START.replace(b"/client-project/", b"/smuggled/") + HOST + AUTH + LENGTH + b"\r\n" + BODY

    def deliver(self, data, seconds=8):
        """(statuses, ended): what came back for DATA, and whether the connection was closed by itself."""
        with self.lab.tunnel(timeout=seconds) as tunnel:
            try:
                tunnel.send(data)
            except (ConnectionError, ssl.SSLError):
                pass
            got = tunnel.reader.rest()
            return [int(p[:3]) for p in got.split(b"HTTP/1.1 ")[1:]], tunnel.reader.eof, got

    def test_ambiguous_heads(self):
        for name, data in hostile().items():
            with self.subTest(vector=name):
                self.cloud.reset()
                statuses, ended, got = self.deliver(data + self.FOLLOW)
                self.assertTrue(ended, f"connection stays open: {got[:200]!r}")
                self.assertLessEqual(len(statuses), 1, got[:400])
                self.assertTrue(all(400 <= s <= 505 for s in statuses), statuses)
                self.assertNothingForwarded()
                self.assertNotIn(ALICE.encode(), got)

    def test_chunk_tricks(self):
        for name, body in bad_chunks().items():
            with self.subTest(vector=name):
                self.cloud.reset()
                statuses, ended, got = self.deliver(BASE + CHUNKED + b"\r\n" + body + self.FOLLOW)
                self.assertTrue(ended, got[:200])
                self.assertTrue(all(s >= 400 for s in statuses) and len(statuses) <= 1, statuses)
                seen = self.cloud.log(VERTEX)
                self.assertTrue(all(not r["body_done"] for r in seen), [r["body"] for r in seen])
                self.assertEqual(self.cloud.violations(), [])

    def test_the_log_has_no_request_bytes(self):
        self.deliver(BASE + b"X-Marker-Qq: zz\x00zz\r\n" + LENGTH + b"\r\n" + BODY)
        self.assertNotIn("X-Marker-Qq", self.lab.log_text())
        self.lab.scan_secrets()

    def test_bytes_after_a_body_are_the_next_request(self):
        one = BASE + LENGTH + b"\r\n" + BODY
        with self.lab.tunnel() as tunnel:
            tunnel.send(one * 3)
            for _ in range(3):
                self.assertEqual(tunnel.reader.response().body, answers.expected("gemini", "gemini-2.5-pro", BODY))
        self.assertEqual(len(self.cloud.log(VERTEX)), 3)
        self.assertCleanCloud()


class Valid(LabCase):
    """Refusing everything would be easy."""

    LAB = {"accounts": 1, "claude": False}
    WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)

    def good(self, data, pieces=None):
        with self.lab.tunnel() as tunnel:
            for piece in pieces or [data]:
                tunnel.send(piece)
            response = tunnel.reader.response()
            self.assertStatus(response, 200)
            self.assertEqual(response.body, self.WANTED)
        self.assertCleanCloud()
        return response

    def test_valid_oddities(self):
        body = LENGTH + b"\r\n" + BODY
        cases = {
            "plain": BASE + body, "empty value": BASE + b"X-Empty:\r\n" + body, "spaces round value": BASE + b"X-A: \t b \t\r\n" + body,
            "no space after colon": START + HOST.replace(b": ", b":") + AUTH + body,
            "upper case names": START + HOST.upper().replace(VERTEX.upper().encode(), VERTEX.encode()) + AUTH + LENGTH.upper() + b"\r\n" + BODY,
            "odd token name": BASE + b"X!#$%&'*+-.^`|~9: b\r\n" + body, "high bytes in value": BASE + b"X-A: \xe4\xf6\r\n" + body,
            "ninety fields": BASE + b"".join(b"X-%d: y\r\n" % i for i in range(90)) + body,
            "long value": BASE + b"X-A: " + b"v" * 20000 + b"\r\n" + body,
            "repeated field": BASE + b"Accept: a\r\nAccept: b\r\n" + body,
            "leading crlf": b"\r\n" + BASE + body, "length with zeros": BASE + b"Content-Length: 00%d\r\n\r\n" % len(BODY) + BODY,
            "bearer lower": START + HOST + AUTH.replace(b"Bearer", b"bearer") + body,
            "chunked": BASE + CHUNKED + b"\r\n" + CHUNKS,
            "chunked upper": BASE + b"Transfer-Encoding: Chunked\r\n\r\n" + CHUNKS,
            "chunk extension": BASE + CHUNKED + b"\r\n%x;a=b;c=\"d\"\r\n%s\r\n0;last\r\n\r\n" % (len(BODY), BODY),
            "chunk upper hex and zeros": BASE + CHUNKED + b"\r\n000%X\r\n%s\r\n0000\r\n\r\n" % (len(BODY), BODY),
            "trailers": BASE + CHUNKED + b"Trailer: x-a\r\n\r\n%x\r\n%s\r\n0\r\nx-a: b\r\n\r\n" % (len(BODY), BODY),
            "one byte chunks": BASE + CHUNKED + b"\r\n" + b"".join(b"1\r\n%c\r\n" % b for b in BODY) + b"0\r\n\r\n",
        }
        for name, data in cases.items():
            with self.subTest(case=name):
                self.cloud.reset()
                self.good(data)
        self.assertEqual(self.cloud.violations(), [])

    def test_byte_by_byte(self):
        data = BASE + LENGTH + b"\r\n" + BODY
        self.good(data, [data[i:i + 1] for i in range(len(data))])

    def test_http_1_0_gets_a_whole_answer_and_a_close(self):
        with self.lab.tunnel() as tunnel:
            tunnel.send(START.replace(b"1.1", b"1.0") + HOST + AUTH + LENGTH + b"\r\n" + BODY)
            response = tunnel.reader.response()
            self.assertEqual((response.status, response.body), (200, self.WANTED))
            self.assertIsNone(response.one("transfer-encoding"))
            self.assertTrue(tunnel.reader.at_end())

    def test_connection_close_is_obeyed(self):
        with self.lab.tunnel() as tunnel:
            tunnel.send(BASE + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY)
            self.assertStatus(tunnel.reader.response(), 200)
            self.assertTrue(tunnel.reader.at_end())

    def test_expect_continue_is_answered(self):
        with self.lab.tunnel() as tunnel:
            tunnel.send(BASE + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n")
            head, status, _ = tunnel.reader.head()
            self.assertEqual(status, 100, head)
            tunnel.send(BODY)
            self.assertEqual(tunnel.reader.response().body, self.WANTED)

    def test_head_and_get(self):
        with self.lab.tunnel() as tunnel:
            headers = [("authorization", "Bearer " + ALICE)]
            self.assertStatus(tunnel.ask("HEAD", "/v1beta/models", b"", headers), tunnel.ask("GET", "/v1beta/models", b"", headers).status)
            self.assertEqual(tunnel.ask("POST", GENERATE, BODY, headers).body, self.WANTED)

    def test_an_answer_without_body_keeps_the_connection_in_step(self):
        data = "SFRUUC8xLjEgMjA0IE5vIENvbnRlbnQNCkNvbm5lY3Rpb246IGNsb3NlDQoNCg=="
        self.cloud.fail("raw", host=VERTEX, data=data)
        with self.lab.tunnel() as tunnel:
            headers = [("authorization", "Bearer " + ALICE)]
            response = tunnel.ask("POST", GENERATE, BODY, headers)
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(tunnel.ask("POST", GENERATE, BODY, headers).body, self.WANTED)
