"""What the proxy says in a provider's place: each row of the table of statuses, in each API's own shape."""
import contextlib
import json
import re
import time

import client
from harness import (ALICE, BODY, BOB, CLAUDE, CLAUDE_BODY, GEMINI, GEMINI_PATH, GENERATE, OAUTH, VERTEX, Lab, LabCase, email,
                     until)

OF_BYTES = True

APIS = {"vertex": (VERTEX, GENERATE, BODY), "gemini": (GEMINI, GEMINI_PATH, BODY), "anthropic": (CLAUDE, "/v1/messages", CLAUDE_BODY)}
CLIENTS = {"limited": ("--models", "none-*"), "off": (), "slowed": ("--rpm", "1"), "zoe": ("--pool", "zero"), "nora": ("--pool", "narrow"), "gone": ("--expires", "1s"),
           "eve": ("--pool", "empty")}
MARK = "qqmarkerqq"
HEADER_S = READ_S = 1


def token(name):
    return f"gemini-{name}-99887766554433221100"


class Case(LabCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab = Lab(accounts=2, start=False, conf={"limits": {"header_timeout": HEADER_S}, "upstream": {"read_timeout": READ_S}, "run": {"workers": 1}})
        cls.addClassCleanup(lab.kill)
        lab.cs("pool", "set", "zero", "acct-1=0", "claude-key=0")
        lab.cs("pool", "set", "narrow", "acct-2=1", "claude-key=1")
        lab.cs("pool", "set", "empty", "acct-1=1")
        lab.cs("pool", "set", "empty", "acct-1=0")
        lab.cs("model", "set", "acct-2", "gemini-2.5-pro", VERTEX)
        lab.cs("model", "set", "claude-key", "claude-haiku-4-5", CLAUDE)
        for name, more in CLIENTS.items():
            lab.add_client(name, "gemini", token(name), *more)
        lab.cs("client", "set", "off", "state=off")
        lab.start()

    def ask(self, api, who=None, **how):
        """One request of API with a mark that nothing of ours may repeat."""
        host, path, body = APIS[api]
        path, body = how.pop("path", path), how.pop("body", body)
        headers = [("x-mark", MARK), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")]
        return self.lab.ask(host, f"{path}{'&' if '?' in path else '?'}m={MARK}", body, headers + list(how.pop("headers", ())), who, **how)

    def check(self, response, status, api, retry=None, word=None, words=()):
        """RETRY: does Retry-After stand there?  WORD: of Proxy-Status."""
        message = self.assertOwnError(response, status, api, words)
        self.assertRegex(response.one("proxy-status"), rf"\Acredswap; error={word or '[a-z_]+'}\Z")
        self.assertEqual(response.one("content-type"), "application/json")
        self.assertRegex(response.one("x-credswap-request-id"), r"\Acs_[0-9a-f]{16}\Z")
        for name in ("proxy-status", "x-credswap-request-id", "content-type", "content-length"):
            self.assertEqual(len(response.all(name)), 1, response)
        self.assertFalse({n for n, _ in response.headers} & {"server", "x-powered-by", "via"}, response)
        if retry is not None:
            self.assertEqual(response.one("retry-after") is not None, retry, response)
        if response.one("retry-after"):
            self.assertTrue(1 <= int(response.one("retry-after")) <= 3600)
        if api == "anthropic":
            data = json.loads(response.body)
            self.assertEqual({data["request_id"], response.one("request-id")}, {response.one("x-credswap-request-id")})
        for text in (MARK, ALICE, BOB, "acct-", "client-project", "@"):
            self.assertNotIn(text.encode(), response.raw)
        return message

    def check_log(self):
        self.lab.scan_secrets()
        self.assertNotIn(MARK, self.lab.log_text())


class Table(Case):
    def each(self, who, status, **more):
        for api in APIS:
            with self.subTest(api=api, status=status):
                self.check(self.ask(api, who), status, api, **more)
        self.assertNothingForwarded()
        self.check_log()

    def test_no_token(self):
        self.each(None, 401, retry=False)

    def test_an_unknown_token(self):
        self.each("gemini-nobody-0011223344", 401, retry=False)

    def test_a_client_that_is_off(self):
        self.each(token("off"), 403, retry=False)

    def test_a_client_that_expired(self):
        self.assertTrue(until(lambda: self.ask("gemini", token("gone")).status == 403, 3))
        self.cloud.reset()
        self.each(token("gone"), 403, retry=False)

    def test_a_model_that_the_client_may_not_use(self):
        self.each(token("limited"), 403, retry=False)

    def test_two_tokens(self):
        for api in APIS:
            with self.subTest(api=api):
                self.check(self.ask(api, ALICE, headers=[("x-api-key", BOB)]), 400, api, retry=False)
        self.assertNothingForwarded()
        self.check_log()

    def test_a_model_that_no_account_serves(self):
        for api, path, body in (("vertex", GENERATE.replace("2.5-pro", "9"), BODY), ("gemini", GEMINI_PATH.replace("2.5-pro", "9"), BODY), ("anthropic", "/v1/messages", CLAUDE_BODY.replace(b"haiku-4-5", b"opus-9"))):
            with self.subTest(api=api):
                self.check(self.ask(api, token("nora"), path=path, body=body), 404, api, retry=False, word="destination_not_found")
        self.assertNothingForwarded()
        self.check_log()

    def test_accounts_of_weight_0(self):
        self.each(token("zoe"), 503, retry=True, words=("1 of weight 0",))

    def test_no_account_that_could_serve_the_host(self):
        message = self.check(self.ask("anthropic", ALICE), 503, "anthropic", retry=False)
        self.assertIn("API key", message)
        self.assertNothingForwarded()

    def test_a_client_over_its_limit(self):
        self.ask("gemini", token("slowed"))
        self.cloud.reset()
        self.each(token("slowed"), 429, retry=True)

    def test_paths_that_are_not_served(self):
        for api in APIS:
            for path in ("/", "/nope", "*", "/v1/../v1/models", "/v1/%2e%2e/models", "//v1/models", "/v1//models", "/v1/models%2fx", "/v1/a\\b", "/v1/mod%", "/v1/%00", "/v1/..;/models", "/v1beta/m\u00f6dels"):
                with self.subTest(api=api, path=path):
                    with contextlib.closing(self.lab.tunnel(APIS[api][0])) as tunnel:
                        method = "OPTIONS" if path == "*" else "POST"
                        tunnel.send(client.request(method, path, APIS[api][0], [("authorization", "Bearer " + ALICE), ("x-mark", MARK)], b"{}"))
                        self.check(tunnel.reader.response(method), 400 if not path.isascii() else 404, api, retry=False)
        self.assertNothingForwarded()
        self.check_log()

    def test_what_the_parser_refuses(self):
        """These have no head to speak of, and yet the shape, the id and no byte of theirs."""
        for api, (host, path, _) in APIS.items():
            start = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ALICE}\r\nX-Mark: {MARK}\r\n".encode()
            for label, data, status in (("space before colon", start + b"X-A : b\r\n\r\n", 400), ("both framings", start + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400), ("garbage", b"\0" + MARK.encode(), 400),
                                        ("long target", start.replace(b" HTTP", b"?" + b"a" * 20000 + b" HTTP") + b"\r\n", 414), ("long head", start + b"X: " + b"y" * 70000, 431), ("many fields", start + b"X: y\r\n" * 200 + b"\r\n", 431),
                                        ("late head", start, 408), ("bad chunk", start + b"Transfer-Encoding: chunked\r\n\r\nzz" + MARK.encode() + b"\r\n", 400)):
                with self.subTest(api=api, what=label), self.lab.tunnel(host) as tunnel:
                    tunnel.send(data)
                    self.check(tunnel.reader.response(), status, api, retry=False, word="http_request_error")
                    self.assertTrue(tunnel.reader.at_end(4))
        self.assertEqual([r for r in self.cloud.log() if r["body_done"] and r["host"] != OAUTH], [])
        self.check_log()

    def test_identity_and_methods(self):
        for api, (host, path, _) in APIS.items():
            for label, line, status in (("host", f"POST {path} HTTP/1.1\r\nHost: {MARK}.test", 421), ("absolute", f"POST https://{MARK}.test{path} HTTP/1.1\r\nHost: {host}", 421), ("method", f"TRACE {path} HTTP/1.1\r\nHost: {host}", 405)):
                with self.subTest(api=api, what=label), self.lab.tunnel(host) as tunnel:
                    tunnel.send(f"{line}\r\nAuthorization: Bearer {ALICE}\r\nX-Mark: {MARK}\r\n\r\n".encode())
                    response = tunnel.reader.response()
                    self.check(response, status, api, retry=False)
                    if status == 405:
                        self.assertIn("POST", response.one("allow") or "", response)
                    self.assertTrue(tunnel.reader.at_end(4))
        self.assertNothingForwarded()
        self.check_log()

    def test_head_gets_the_same_without_a_body(self):
        for api in ("vertex", "gemini"):
            with self.lab.tunnel(APIS[api][0]) as tunnel:
                response = tunnel.ask("HEAD", "/v1/models", b"", [("x-mark", MARK)])
                self.assertEqual((response.status, response.body), (401, b""))
                self.assertTrue(response.one("x-credswap-request-id"))
                self.assertStatus(tunnel.ask("HEAD", "/v1/models", b"", [("x-mark", MARK)]), 401)  # and the connection is in step
        self.assertNothingForwarded()

    def test_in_gateway_mode_too(self):
        for api, (_, path, body) in APIS.items():
            for who, status in ((None, 401), (token("off"), 403), (token("limited"), 403), (token("zoe"), 503), (ALICE, 404)):
                with self.subTest(api=api, status=status):
                    at = f"/{api}{path if status != 404 else '/nope'}"
                    headers = [("authorization", "Bearer " + who)] if who else []
                    with client.Plain(("127.0.0.1", self.lab.port)) as plain:
                        plain.send(client.request("POST", at, "proxy.test", headers + [("x-mark", MARK)], body))
                        self.check(plain.reader.response(), status, api)
        self.assertNothingForwarded()
        self.check_log()


class Upstream(Case):
    """Rows whose cause is the provider; and what is the provider's own stays so."""

    def each(self, kind, status, **how):
        more = how.pop("more", {})
        for api, (host, _, _) in APIS.items():
            with self.subTest(api=api, kind=kind):
                self.cloud.fail(kind, host=host, times=-1, **how)
                self.check(self.ask(api, BOB if api == "anthropic" else ALICE), status, api, **more)
                self.cloud.heal()
        self.check_log()

    def test_broken_answers_and_none(self):
        self.each("bad-status-line", 502, more={"word": "http_protocol_error", "retry": False})
        self.each("cut-before-head", 502, more={"word": "destination_unavailable", "retry": False})

    def test_no_connection(self):
        self.cloud.control("POST", "/close")
        time.sleep(0.1)
        self.each("tls-refuse", 502)

    def test_too_late(self):
        self.each("stall", 504, more={"retry": False})

    def test_the_providers_own_errors_pass_with_our_id(self):
        for api, (host, _, _) in APIS.items():
            for status in (400, 404, 413, 418):
                with self.subTest(api=api, status=status):
                    self.cloud.fail(str(status), host=host)
                    response = self.ask(api, BOB if api == "anthropic" else ALICE)
                    self.assertStatus(response, status)
                    self.assertIsNone(response.one("proxy-status"))
                    self.assertRegex(response.one("x-credswap-request-id"), r"\Acs_[0-9a-f]{16}\Z")
                    if api == "anthropic":
                        self.assertTrue(json.loads(response.body)["request_id"].startswith("req_fake"))
                        self.assertTrue(response.one("request-id").startswith("req_fake"))

    def test_a_token_endpoint_that_refuses(self):
        self.cloud.expire()
        for number in (1, 2):
            self.cloud.account(email(number), "disabled")
            self.lab.cs("account", "refresh", f"acct-{number}", status=None)
        try:
            self.check(self.ask("vertex", ALICE), 503, "vertex", retry=True)
        finally:
            for number in (1, 2):
                self.cloud.account(email(number), "ok")
                self.lab.cs("account", "refresh", f"acct-{number}", status=None)
                self.lab.cs("account", "clear", f"acct-{number}")
        self.assertTrue(until(lambda: self.ask("vertex", ALICE).status == 200, 8))


class Connects(LabCase):
    """Refusals in clear: one sentence, a word of RFC 9209, and nothing of what was asked."""

    LAB = {"accounts": 1, "claude": False, "conf": {"limits": {"header_timeout": HEADER_S}}}

    def test_sentences(self):
        name = MARK + ".test"
        for label, line, status, word in (
                ("port", f"CONNECT {name}:22", 403, "http_request_denied"), ("address", "CONNECT 10.0.0.1:443", 403, "destination_ip_prohibited"), ("name", f"CONNECT {name}:443", 502, "dns_error"),
                ("authority", f"CONNECT {name}", 400, "http_request_error"), ("malformed", f"CONNECT {name}:443 ", 400, "http_request_error"), ("other host", f"CONNECT {VERTEX}:443", 421, "http_request_error"),
                ("page", f"GET /{MARK}", 404, "http_request_denied"), ("page method", f"DELETE /{MARK}", 405, "http_request_denied"), ("asterisk", "OPTIONS *", 405, "http_request_denied"), ("https in clear", f"GET https://{name}/", 400, "http_request_error"),
                ("ftp", f"GET ftp://{name}/", 400, "http_request_error"), ("swap host in clear", f"GET http://{VERTEX}/", 403, "http_request_denied"), ("location", f"POST /v1/projects/p/locations/{MARK}_/x", 404, "http_request_denied")):
            with self.subTest(what=label), client.Plain(("127.0.0.1", self.lab.port), timeout=6) as plain:
                host = line.split()[1].split("://")[-1].strip("/") if ("://" in line or "CONNECT" in line and label != "authority") and label != "other host" else name
                plain.send(f"{line} HTTP/1.1\r\nHost: {host}\r\nX-Mark: {MARK}\r\n\r\n".encode())
                response = plain.reader.response()
                self.assertStatus(response, status)
                self.assertEqual(response.all("proxy-status"), [f"credswap; error={word}"])
                self.assertTrue(response.one("content-type").startswith("text/plain"))
                self.assertTrue(response.body.strip())
                self.assertNotIn(MARK.encode(), response.raw)
                self.assertIsNone(response.one("server"))
                if status == 405:
                    self.assertEqual(response.one("allow"), "GET, HEAD")
        self.assertNothingForwarded()
        for line in self.lab.log_text().splitlines():
            entry = json.loads(line)
            if MARK in line:  # where somebody wanted to go is what the log is for; nothing else
                self.assertIn(entry.pop("host", ""), (name,))
            self.assertNotIn(MARK, json.dumps(entry))

    def test_a_client_token_is_no_host(self):
        """Somebody mixed up the variables: neither the log nor a name server learns it."""
        for line in (f"CONNECT {ALICE}:443", f"CONNECT {ALICE}.test:443", f"CONNECT a.{ALICE}.test:443", f"GET http://{ALICE}/", f"GET http://{ALICE}.test/x"):
            with self.subTest(line=line), client.Plain(("127.0.0.1", self.lab.port), timeout=6) as plain:
                host = re.split(r"[ /]+", line.replace("http:/", ""))[1]
                plain.send(f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                response = plain.reader.response()
                self.assertStatus(response, 400)
                self.assertNotIn(ALICE.encode(), response.raw)
                self.assertTrue(plain.reader.at_end(3))
        self.lab.scan_secrets()
