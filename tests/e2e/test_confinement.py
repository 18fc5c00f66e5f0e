"""The placeholder stays here, whatever it is written like and wherever it stands, and only a known one opens anything."""
import base64
import contextlib
import itertools
import json
import socket

import client
import servers
from harness import ALICE, BODY, BOB, CLAUDE, CLAUDE_BODY, CLAUDE_KEY, GEMINI, GEMINI_PATH, GENERATE, OAUTH, VERTEX, Lab, LabCase

OF_BYTES = True

RAW = ALICE.encode()
BEARER = ("authorization", "Bearer " + ALICE)
CARRIERS = ("authorization", "x-api-key", "x-goog-api-key")
STRANGER = "gemini-nobody-00000000000"


def percent(text, every=1, lower=False):
    return "".join(f"%{ord(c):02{'x' if lower else 'X'}}" if i % every == 0 else c for i, c in enumerate(text))


def b64(lead, url=False, tail=b"zz"):
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    return encode(b"x" * lead + RAW + tail).decode()


def forms():
    """{label: text that holds the placeholder}"""
    found = {"raw": ALICE, "inside text": f"a{ALICE}b", "quoted": f'"{ALICE}"', "json": json.dumps({"t": ALICE}), "percent": percent(ALICE), "percent lower": percent(ALICE, lower=True),
             "percent third": percent(ALICE, 3), "percent one": "%67" + ALICE[1:], "percent last": ALICE[:-1] + f"%{ord(ALICE[-1]):02x}", "percent twice": percent(percent(ALICE)),
             "percent of percent": percent(ALICE).replace("%", "%25"), "half twice": ALICE[:9] + percent(ALICE[9:]).replace("%", "%25"), "basic": "Basic " + base64.b64encode(b"user:" + RAW).decode(),
             "percent of base64": percent(b64(1)), "hex": RAW.hex(), "upper hex": RAW.hex().upper()}
    for lead in range(3):
        found |= {f"base64 {lead}": b64(lead), f"base64 {lead} alone": b64(lead, tail=b""), f"base64url {lead}": b64(lead, True), f"base64url {lead} bare": b64(lead, True).rstrip("=")}
    return found


class Case(LabCase):
    LAB = {"accounts": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.ask(token=ALICE)  # the token is minted: from here on nothing but requests can dial

    def setUp(self):
        super().setUp()
        self.last = 0

    def arrived(self):
        rows = self.cloud.log(since=self.last)
        self.last = max([self.last] + [r["n"] for r in rows])
        return [r for r in rows if r["host"] != OAUTH]

    def refused(self, response, statuses=(400,)):
        rows = self.arrived()
        self.assertIn(response.status, statuses, response)
        self.assertEqual([(r["host"], r["target"]) for r in rows], [])
        for text in (ALICE, percent(ALICE), b64(0, tail=b"")[:24]):
            self.assertNotIn(text.encode(), response.raw)

    def served(self, response):
        """200, forwarded once, with one credential of ours."""
        rows = self.arrived()
        self.assertStatus(response, 200)
        self.assertEqual(len(rows), 1)
        credentials = [(n, v[:12]) for n, v in rows[0]["headers"] if n in CARRIERS or n in ("proxy-authorization", "cookie")]
        self.assertEqual(credentials, [("authorization", "Bearer ya29.")])
        self.assertNotIn("key=", rows[0]["target"])
        return rows[0]


class Placement(Case):
    """A misplaced placeholder beside a good one: the client is known, so only the misplaced one can be the reason."""

    KEPT = ("Referer", "Cookie", "User-Agent", "X-Custom", "Origin", "Accept", "Accept-Language", "Content-Type", "If-None-Match", "From", "Date", "X-Auth-Token", "Api-Key",
            "X-Access-Token", "X-Goog-Api-Client", "X-Goog-Request-Params", "X-Goog-Iam-Authorization-Token", "Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Anthropic-Version", "Anthropic-Beta",
            "X-Stainless-Lang", "Traceparent", "Baggage", "Idempotency-Key", "X-Request-Id", "Authorization-X", "X-Original-Url", "Max-Forwards", "Cookie2", "Www-Authenticate", "Range")
    DROPPED = ("Proxy-Authorization", "X-Forwarded-For", "X-Forwarded-Authorization", "Forwarded", "Via", "TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection", "X-Real-IP",
               "X-Goog-User-Project", "HTTP2-Settings", "X-Credswap-Request-Id", "Expect", "Connection", "X-HTTP-Method-Override")

    def test_every_form_in_other_fields(self):
        with contextlib.ExitStack() as stack:
            for name, (label, text) in itertools.product(("Referer", "Cookie", "x-lower", "X-UPPER"), forms().items()):
                with self.subTest(field=name, form=label):
                    self.refused(self.lab.ask(headers=[BEARER, (name, text)]))
            stack.callback(self.assertCleanCloud)

    def test_every_other_field(self):
        for name in self.KEPT:
            for case in (str, str.lower, str.upper):
                with self.subTest(field=case(name)):
                    self.refused(self.lab.ask(headers=[BEARER, (case(name), f"a={ALICE}; b")]))
        self.assertCleanCloud()

    def test_fields_that_end_here(self):
        for name in self.DROPPED:
            for label in ("raw", "percent", "base64 1"):
                with self.subTest(field=name, form=label):
                    response = self.lab.ask(headers=[BEARER, (name, forms()[label])])
                    self.assertIn(response.status, (200, 400, 417), response)
                    self.assertLessEqual(len(self.arrived()), 1)
        self.assertCleanCloud()

    def test_a_field_repeated(self):
        for name in ("Cookie", "X-Custom", "Accept"):
            with self.subTest(field=name):
                self.refused(self.lab.ask(headers=[BEARER, (name, "a"), (name, "b"), (name, ALICE)]))
                self.refused(self.lab.ask(headers=[(name, ALICE), (name, "b"), BEARER]))

    def test_as_a_field_name(self):
        for name in (ALICE, "x-" + ALICE, RAW.hex()):
            with self.subTest(name=name):
                self.refused(self.lab.ask(headers=[BEARER, (name, "1")]))

    def test_underscored_names(self):
        for name in ("x_api_key", "X_Goog_Api_Key", "AUTHORIZATION_", "x-api_key"):
            with self.subTest(name=name):
                self.refused(self.lab.ask(headers=[BEARER, (name, ALICE)]))
                self.refused(self.lab.ask(headers=[(name, ALICE)]))

    def test_every_form_in_the_query(self):
        for name, (label, text) in itertools.product(("trace", "api_key", "token", ""), forms().items()):
            if set(text) & set(' "{}'):
                continue
            with self.subTest(name=name, form=label):
                self.refused(self.lab.ask(path=f"{GENERATE}?alt=json&{name}={text}", headers=[BEARER]))
        for query in (f"?{ALICE}", f"?{ALICE}=1", f"?a;key={ALICE}", f"?a={ALICE}&key={ALICE}", f"?{percent(ALICE)}", f"?keys={ALICE}", f"?key%00={ALICE}", f"?a=?key={ALICE}"):
            with self.subTest(query=query):
                self.refused(self.lab.ask(path=GENERATE + query, headers=[BEARER]))
        self.assertCleanCloud()

    def test_every_form_in_the_path(self):
        for label, text in forms().items():
            if set(text) & set(' "{}'):
                continue
            for path in (GENERATE.replace("gemini-2.5-pro", text), GENERATE.replace("client-project", text), GENERATE.replace("/v1/", f"/v1/{text}/../")):
                with self.subTest(form=label, path=path[:40]):
                    # the project's place is replaced by the account's: a placeholder there need not be refused, only not leave
                    response = self.lab.ask(path=path, headers=[BEARER])
                    if "client-project" in path or response.status != 200:
                        self.refused(response, (400, 404))
                    self.arrived()
        self.refused(self.lab.ask(path=f"{GENERATE}#{ALICE}", headers=[BEARER]))
        self.assertCleanCloud()

    def test_trailers(self):
        for name in ("x-trace", "authorization", "x-api-key", "cookie", "x-goog-api-key"):
            for label in ("raw", "percent", "base64 0"):
                with self.subTest(name=name, form=label):
                    body = b"%x\r\n%s\r\n0\r\n%s: %s\r\n\r\n" % (len(BODY), BODY, name.encode(), forms()[label].encode())
                    self.served(self.lab.ask(body=body, headers=[BEARER, ("transfer-encoding", "chunked")]))
        body = b"%x;t=%s\r\n%s\r\n0;%s\r\n\r\n" % (len(BODY), RAW, BODY, RAW)
        self.served(self.lab.ask(body=body, headers=[BEARER, ("transfer-encoding", "chunked")]))
        self.assertCleanCloud()

    def test_websocket_subprotocols(self):
        upgrade = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]
        for text in (ALICE, f"chat, {ALICE}"):  # a browser's way to say it: it is taken out of the list
            with self.subTest(protocol=text[:5]):
                self.lab.ask(method="GET", body=b"", headers=upgrade + [BEARER, ("sec-websocket-protocol", text)])
                self.assertEqual(len(self.arrived()), 1)
                self.refused(self.lab.ask(method="GET", body=b"", headers=upgrade + [("x-api-key", BOB), ("sec-websocket-protocol", text)]))
        for text in (f"base64url.bearer.authorization.k8s.io.{b64(0, True, b'').rstrip('=')}, v4", f"chat, bearer.{ALICE}"):
            with self.subTest(protocol=text[:20]):
                self.refused(self.lab.ask(method="GET", body=b"", headers=upgrade + [BEARER, ("sec-websocket-protocol", text)]))
                self.refused(self.lab.ask(method="GET", body=b"", headers=upgrade + [("sec-websocket-protocol", text)]), (400, 401))
        self.assertCleanCloud()

    def test_gateway_mode(self):
        for headers, path in (([("cookie", "a=" + ALICE)], ""), ([("x-debug", percent(ALICE))], ""), ([], "?trace=" + ALICE)):
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=5)) as sock:
                sock.sendall(client.request("POST", f"/vertex{GENERATE}{path}", "proxy.test", [BEARER] + headers, BODY))
                self.refused(client.Reader(sock).response())
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=5)) as sock:
            sock.sendall(client.request("POST", f"/vertex{GENERATE}", "proxy.test", [BEARER], BODY))
            self.served(client.Reader(sock).response())
        self.assertCleanCloud()

    def test_it_may_stand_in_a_body(self):
        body = json.dumps({"contents": [{"parts": [{"text": ALICE}]}]}).encode()
        row = self.served(self.lab.ask(body=body, headers=[BEARER]))
        self.assertEqual(row["body"].encode(), body)

    def test_what_only_looks_like_it_passes(self):
        for label, text in {"prefix": ALICE[:12], "suffix": ALICE[8:], "another": STRANGER, "reversed": ALICE[::-1], "percent signs": "100%, %zz, %", "base64 of another": base64.b64encode(STRANGER.encode()).decode(),
                            "one letter off": ALICE[:-1] + "0", "long": "a" * 3000, "percents": "%25" * 300, "split": ALICE[:10] + " " + ALICE[10:]}.items():
            with self.subTest(text=label):
                self.assertStatus(self.lab.ask(headers=[BEARER, ("x-debug", text)]), 200)
                self.assertEqual(dict(map(tuple, self.arrived()[0]["headers"]))["x-debug"], text)
        self.assertCleanCloud()


class Carriers(Case):
    """Where it may stand: one credential arrives, ours."""

    def test_every_spelling_of_a_carrier(self):
        for name in ("Authorization", "AUTHORIZATION", "authorization", "aUtHoRiZaTiOn"):
            for value in (f"Bearer {ALICE}", f"bearer {ALICE}", f"BEARER {ALICE}", f"Bearer   {ALICE}", f"Bearer {ALICE}  "):
                with self.subTest(name=name, value=value[:9]):
                    self.served(self.lab.ask(headers=[(name, value)]))
        for name in ("X-Api-Key", "x-api-key", "X-API-KEY", "X-Goog-Api-Key", "x-goog-api-key", "X-GOOG-API-KEY"):
            with self.subTest(name=name):
                self.served(self.lab.ask(headers=[(name, ALICE)]))
        for query in (f"key={ALICE}", f"KEY={ALICE}", f"key={percent(ALICE)}", f"key={percent(ALICE, 2)}", f"k%65y={ALICE}", f"access_token={ALICE}", f"alt=json&key={ALICE}", f"key={ALICE}&alt=json", f"&key={ALICE}&"):
            with self.subTest(query=query[:12]):
                self.served(self.lab.ask(path=f"{GENERATE}?{query}"))
        self.assertCleanCloud()

    def test_several_equal_ones(self):
        together = [("x-api-key", ALICE), ("x-goog-api-key", ALICE), BEARER]
        for count in (2, 3):
            for headers in itertools.permutations(together, count):
                self.served(self.lab.ask(headers=headers))
        self.served(self.lab.ask(path=f"{GENERATE}?key={ALICE}&key={ALICE}&access_token={percent(ALICE)}", headers=together))
        for header in together:
            with self.subTest(twice=header[0]):
                self.served(self.lab.ask(headers=[header, header]))
        self.served(self.lab.ask(headers=[BEARER, ("x-api-key", ""), ("x-goog-api-key", "")]))
        self.assertCleanCloud()

    def test_several_differing_ones(self):
        def put(carrier, token):
            return (carrier, "Bearer " + token if carrier == "authorization" else token)
        for other in (BOB, STRANGER, ALICE + "x", ALICE[:-1], ALICE.upper()):
            for a, b in itertools.product(CARRIERS, CARRIERS):
                for first, second in ((ALICE, other), (other, ALICE)):
                    with self.subTest(a=a, b=b, other=other[:9]):
                        self.refused(self.lab.ask(headers=[put(a, first), put(b, second)]))
            self.refused(self.lab.ask(path=f"{GENERATE}?key={other}", headers=[BEARER]))
            self.refused(self.lab.ask(path=f"{GENERATE}?key={ALICE}&key={other}"))
        self.assertCleanCloud()

    def test_named_away_by_connection(self):
        for name in CARRIERS:
            with self.subTest(name=name):
                self.served(self.lab.ask(headers=[("connection", f"{name}, x-y"), (name, ("Bearer " if name == "authorization" else "") + ALICE)]))
        self.assertCleanCloud()

    def test_an_api_key_account_gets_one_key(self):
        version = ("anthropic-version", "2023-06-01")
        for headers in ([("x-api-key", BOB)], [("authorization", "Bearer " + BOB)], [("x-api-key", BOB), ("authorization", "Bearer " + BOB)], [("x-api-key", BOB), ("x-api-key", BOB)]):
            self.assertStatus(self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, headers + [version]), 200)
            row = self.arrived()[-1]
            self.assertEqual([(n, v) for n, v in row["headers"] if n in CARRIERS], [("x-api-key", CLAUDE_KEY)])
        self.assertCleanCloud()

    def test_connect_with_the_placeholder(self):
        """It is for the proxy here, and ends here."""
        for field in (f"Authorization: Bearer {ALICE}", f"Proxy-Authorization: Basic {base64.b64encode(b'x:' + RAW).decode()}", f"Cookie: {ALICE}"):
            connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n{field}\r\n\r\n".encode()
            self.refused(self.lab.ask(connect=connect), (401,))
            self.served(self.lab.ask(connect=connect, headers=[BEARER]))
        self.assertCleanCloud()


class Unknown(Case):
    """Exact bytes or nothing: and nobody is dialled for nothing."""

    @classmethod
    def setUpClass(cls):
        LabCase.setUpClass.__func__(cls)  # no request before: there is no idle connection that would hide a dial

    def tokens(self):
        shown = self.lab.cs_json("client", "list")
        texts = {"none": None, "prefix": ALICE[:-1], "half": ALICE[:12], "suffix": ALICE[1:], "longer": ALICE + "x", "longer before": "x" + ALICE, "upper": ALICE.upper(), "title": ALICE.title(), "one upper": ALICE[:-1] + "F",
                 "swapped": ALICE.swapcase(), "doubled": ALICE * 2, "quoted": f'"{ALICE}"', "star": "*", "glob": "gemini-*", "question": ALICE[:-1] + "?", "percent": "%", "like": "gemini-%", "sql": "' or 1=1 --", "name": "alice",
                 "service": "gemini", "comma": ALICE + ",", "pair": f"{ALICE}, {BOB}", "colon": "alice:" + ALICE, "dot": ALICE + ".", "dash": ALICE + "-", "space inside": ALICE[:9] + " " + ALICE[9:], "tab inside": ALICE[:9] + "\t" + ALICE[9:],
                 "percent form": percent(ALICE), "base64": base64.b64encode(RAW).decode(), "hex": RAW.hex(), "high": ALICE + "\xff", "nbsp": "\xa0" + ALICE, "long": "a" * 5000, "short": "a", "real": "ya29.c.abcdef", "key": CLAUDE_KEY,
                 "null": "null", "undefined": "undefined", "one letter off": ALICE[:-1] + "e", "bearer twice": "Bearer " + ALICE, "zero width": ALICE + "\xe2\x80\x8b", "stranger": STRANGER}
        for number, row in enumerate(shown if isinstance(shown, list) else next(v for v in shown.values() if isinstance(v, list))):
            texts |= {f"shown {number} {k}": v for k, v in row.items() if isinstance(v, str) and v.strip()}
        return texts

    def test_near_misses(self):
        before = self.cloud.stats()
        for label, token in self.tokens().items():
            for carrier in CARRIERS:
                with self.subTest(token=label, carrier=carrier):
                    if token is not None and not token.isascii():
                        token = token.encode("latin-1", "replace").decode("latin-1")
                    self.refused(self.lab.ask(token=token, carrier=carrier), (401,))
        for query in (f"key={ALICE}%00", f"key=%00{ALICE}", f"key={ALICE}%20", f"key={ALICE}+", f"key=+{ALICE}", f"key={ALICE.upper()}", f"key={percent(percent(ALICE)).replace('%', '%25')}", "key=", "key", f"key={ALICE}%0a",
                      f"key={ALICE}%", "key=" + "%00" * 400, f"xkey={STRANGER}", f"key={STRANGER}"):
            with self.subTest(query=query[:40]):
                self.refused(self.lab.ask(path=f"{GENERATE}?{query}"), (400, 401))
        for value in (ALICE, f"Basic {base64.b64encode(b'x:' + RAW).decode()}", f"Token {ALICE}", f"Bearer\t{ALICE}", f"Bearer{ALICE}", f"Bearer:{ALICE}", f"Bearer={ALICE}", "Bearer", "Bearer ", "", f"Digest {ALICE}", f"Negotiate {ALICE}"):
            with self.subTest(authorization=value[:8]):
                self.refused(self.lab.ask(headers=[("authorization", value)]), (401,))
        for name in ("x-auth-token", "api-key", "cookie", "proxy-authorization", "x-access-token"):
            with self.subTest(only_in=name):
                self.refused(self.lab.ask(headers=[(name, ALICE)]), (401,))
        after = self.cloud.stats()
        self.assertEqual((after["connections"], after["handshakes"], after["mint_attempts"]), (before["connections"], before["handshakes"], before["mint_attempts"]))
        self.assertCleanCloud()

    def test_nul_behind_a_token(self):
        for token in (ALICE + "\0", "\0" + ALICE, ALICE + "\0x", ALICE[:5] + "\0" + ALICE[5:]):
            for carrier in CARRIERS:
                self.refused(self.lab.ask(token=token, carrier=carrier), (400,))

    def test_a_known_one_on_other_hosts(self):
        """Gemini and Claude clients alike: the pool decides, and a Google token never goes to Anthropic."""
        self.refused(self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, [BEARER]), (503, 404, 403))
        self.assertStatus(self.lab.ask(GEMINI, GEMINI_PATH, headers=[BEARER]), 200)
        self.assertEqual(len(self.arrived()), 1)


class Web(servers.Server):
    """An http:// origin that keeps what it was sent."""

    def __init__(self):
        self.heads = []
        super().__init__()

    def serve(self, conn):
        conn.settimeout(5)
        self.heads.append(servers.read_head(conn))
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class InClear(LabCase):
    """http:// relayed to a stranger: no client token goes there, misplaced or not."""

    @classmethod
    def setUpClass(cls):
        cls.web = Web()
        cls.addClassCleanup(cls.web.close)
        cls.lab = Lab(accounts=1, claude=False, conf={"policy": {"ports": [80, 443]}}, connect_to=[f"web.test:80:127.0.0.1:{cls.web.port}"])

    def relay(self, headers=(), target="/x"):
        self.web.heads.clear()
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=5)) as sock:
            sock.sendall(client.request("GET", f"http://web.test{target}", "web.test", headers))
            return client.Reader(sock).response("GET")

    def test_strangers_get_what_is_theirs(self):
        response = self.relay([("authorization", "Bearer of-the-web-site"), ("cookie", "a=b"), ("proxy-authorization", "Basic YTpi"), ("x-api-key", "theirs")])
        self.assertStatus(response, 200)
        head = self.web.heads[0].lower()
        self.assertIn(b"bearer of-the-web-site", head)
        self.assertIn(b"cookie: a=b", head)
        self.assertNotIn(b"proxy-authorization", head)
        self.assertTrue(head.startswith(b"get /x http/1.1\r\nhost: web.test\r\n"), head)

    def test_a_client_token_does_not_go_there(self):
        for headers, target in (([BEARER], "/x"), ([("x-api-key", ALICE)], "/x"), ([("x-goog-api-key", ALICE)], "/x"), ([], f"/x?key={ALICE}"), ([], f"/x?key={percent(ALICE)}"),
                                ([("x-api-key", "theirs"), BEARER], "/x"), ([BEARER, ("cookie", ALICE)], "/x")):
            with self.subTest(headers=headers, target=target):
                response = self.relay(headers, target)
                self.assertEqual((response.status, self.web.heads), (400, []))
                self.assertNotIn(RAW, response.raw)
