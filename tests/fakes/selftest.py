#!/usr/bin/env python3
"""Tests of the fake cloud itself: a fake that can be fooled proves nothing about a proxy."""
import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
import sys
import tempfile
import time
import unittest
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import answers  # noqa: E402
import tokens  # noqa: E402
from fake import FakeCloud, fake_account  # noqa: E402
from fakedns import FakeDns  # noqa: E402

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding  # noqa: E402

OF_BYTES = True

GEMINI = "generativelanguage.googleapis.com"
VERTEX = "us-central1-aiplatform.googleapis.com"
CLAUDE = "api.anthropic.com"
OAUTH = "oauth2.googleapis.com"
PATH = "/v1/projects/acct-1-project/locations/us-central1/publishers/{}/models/{}:{}"
BOTH = tokens.CLOUD + " " + tokens.RETRIEVER


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion(path, scope=BOTH, age=0, life=3600, aud=tokens.AUDIENCE, **header):
    with open(path, encoding="utf-8") as f:
        key = json.load(f)
    now = int(time.time()) - age
    head = {"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"], **header}
    claims = {"iss": key["client_email"], "scope": scope, "aud": aud, "iat": now, "exp": now + life}
    signed = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
    private = serialization.load_pem_private_key(key["private_key"].encode(), None)
    return signed + "." + b64(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


class Client:
    """A TLS connection to the fake under a given name."""

    def __init__(self, cloud, host, port=None, address="127.0.0.1", verify=True):
        context = ssl.create_default_context(cafile=cloud.ca)
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = socket.create_connection((address, port or cloud.port), timeout=15)
        try:
            self.tls = context.wrap_socket(sock, server_hostname=host)
        except Exception:
            sock.close()
            raise
        self.host = host
        self.http = http.client.HTTPConnection(host)
        self.http.sock = self.tls
        self.http.auto_open = 0

    def ask(self, method, path, body=None, headers=None):
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        self.http.request(method, path, body, headers or {})
        response = self.http.getresponse()
        data = response.read()
        return response.status, data, response

    def close(self):
        self.tls.close()


class SelfTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory(prefix="fake-cloud-")
        cls.cloud = FakeCloud(cls.temp.name, "--second", "127.0.0.2", "--api-key", CLAUDE + "=sk-ant-real-1",
                              "--api-key", GEMINI + "=AIza-real-1", accounts=2)
        cls.keys = [os.path.join(cls.temp.name, "accounts", f"acct-{i}.json") for i in (1, 2)]

    @classmethod
    def tearDownClass(cls):
        status = cls.cloud.stop()
        cls.temp.cleanup()
        assert status == 0, status
        assert not cls.cloud.errors, "".join(cls.cloud.errors)

    def setUp(self):
        self.cloud.reset(tokens=True)
        self.open = contextlib.ExitStack()

    def tearDown(self):
        self.open.close()

    def client(self, host, **how):
        client = Client(self.cloud, host, **how)
        self.open.callback(client.close)
        return client

    def grant(self, text, grant=tokens.GRANT):
        form = urllib.parse.urlencode({"grant_type": grant, "assertion": text})
        return self.client(OAUTH).ask("POST", "/token", form.encode(),
                                      {"Content-Type": "application/x-www-form-urlencoded"})

    def token(self, number=0, scope=BOTH):
        status, data, _ = self.grant(assertion(self.keys[number], scope))
        self.assertEqual(status, 200, data)
        return json.loads(data)["access_token"]

    def bearer(self, number=0):
        return {"Authorization": "Bearer " + self.token(number)}

    def vertex(self, headers, verb="generateContent", model="gemini-2.5-pro", publisher="google",
               body=None, host=VERTEX, path=None):
        return self.client(host).ask("POST", path or PATH.format(publisher, model, verb),
                                     body if body is not None else {"contents": []}, headers)

    # -- the token endpoint --

    def test_a_good_assertion_is_granted_and_counted(self):
        status, data, _ = self.grant(assertion(self.keys[0]))
        answer = json.loads(data)
        self.assertEqual((status, answer["expires_in"], answer["token_type"]), (200, 3599, "Bearer"))
        token = answer["access_token"]
        self.assertEqual(len(token), 1024)
        self.assertTrue(token.startswith("ya29.c.") and token.endswith("...."))
        self.assertEqual(self.cloud.stats()["mints"][fake_account(self.cloud, "acct-1")], 1)

    def test_bad_assertions_are_refused_in_googles_words(self):
        good = assertion(self.keys[0])
        forged = good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB")
        cases = [
            (forged, "invalid_grant", "Invalid JWT Signature."),
            (assertion(self.keys[0], kid="0" * 40), "invalid_grant", "Invalid JWT Signature."),
            (assertion(self.keys[0], alg="HS256"), "invalid_grant", "Invalid JWT Signature."),
            (assertion(self.keys[0], age=900), "invalid_grant", tokens.CLOCK),
            (assertion(self.keys[0], age=-120), "invalid_grant", tokens.CLOCK),
            (assertion(self.keys[0], life=3700), "invalid_grant", tokens.CLOCK),
            (assertion(self.keys[0], aud="https://evil.test/"), "invalid_grant", "Invalid JWT: Failed audience"),
            (assertion(self.keys[0], scope=""), "invalid_scope", "Invalid OAuth scope"),
            (assertion(self.keys[0], scope="https://example.org/x"), "invalid_scope", "Invalid OAuth scope"),
            ("abc", "invalid_request", "Bad Request"),
            (good + "=", "invalid_request", "Bad Request"),
        ]
        for text, error, words in cases:
            with self.subTest(error=error, words=words):
                status, data, _ = self.grant(text)
                answer = json.loads(data)
                self.assertEqual((status, answer["error"]), (400, error))
                self.assertTrue(answer["error_description"].startswith(words), answer)
        self.assertEqual(json.loads(self.grant(good, "password")[1])["error"], "unsupported_grant_type")
        self.cloud.account(fake_account(self.cloud, "acct-1"), "deleted")
        self.assertEqual(json.loads(self.grant(good)[1])["error_description"], "Invalid grant: account not found")
        self.assertEqual(self.cloud.tokens(), [])

    def test_skew_moves_the_clock_and_the_date(self):
        self.cloud.config(skew=7200)
        status, data, response = self.grant(assertion(self.keys[0]))
        self.assertEqual((status, json.loads(data)["error"]), (400, "invalid_grant"))
        self.assertIn("GMT", response.getheader("Date"))
        self.assertEqual(self.grant(assertion(self.keys[0], age=-7200))[0], 200)

    # -- credentials at the services --

    def test_vertex_takes_one_bearer_of_the_right_project_and_place(self):
        good = self.bearer()
        self.assertEqual(self.vertex(good)[0], 200)
        self.assertEqual(self.vertex({})[0], 401)
        self.assertEqual(self.vertex({"Authorization": "Bearer ya29.c.made-up"})[0], 401)
        self.assertEqual(self.vertex({**good, "x-api-key": "left-over"})[0], 401)
        self.assertEqual(self.vertex({**good, "x-goog-api-key": "left-over"})[0], 401)
        self.assertEqual(self.vertex(good, path=PATH.format("google", "m", "predict") + "?key=left")[0], 401)
        self.assertEqual(self.vertex(self.bearer(1))[0], 403)
        self.assertEqual(self.vertex(good, host="europe-west4-aiplatform.googleapis.com")[0], 400)
        self.assertEqual(self.vertex(good, host="aiplatform.googleapis.com",
                                     path=PATH.replace("us-central1", "global").format("google", "m", "predict"))[0],
                         200)
        self.assertEqual(self.vertex(good, host="aiplatform.us.rep.googleapis.com",
                                     path=PATH.replace("us-central1", "us").format("google", "m", "predict"))[0], 200)
        kinds = {v["kind"] for v in self.cloud.violations()}
        self.assertEqual(kinds, {"credentials", "project", "location"})

    def test_scopes_and_expiry_are_enforced(self):
        only_cloud = {"Authorization": "Bearer " + self.token(0, tokens.CLOUD)}
        path = "/v1beta/models/gemini-2.5-pro:generateContent"
        status, data, _ = self.client(GEMINI).ask("POST", path, {}, only_cloud)
        self.assertEqual((status, json.loads(data)["error"]["details"][0]["reason"]),
                         (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"))
        good = self.bearer()
        self.assertEqual(self.client(GEMINI).ask("POST", path, {}, good)[0], 200)
        self.cloud.expire()
        status, data, _ = self.client(GEMINI).ask("POST", path, {}, good)
        self.assertEqual((status, json.loads(data)["error"]["details"][0]["reason"]), (401, "ACCESS_TOKEN_EXPIRED"))
        self.cloud.config(token_ttl=1)
        short = self.bearer()
        time.sleep(1.1)
        self.assertEqual(self.vertex(short)[0], 401)

    def test_gemini_takes_its_own_keys_only(self):
        path = "/v1beta/models/gemini-2.5-pro:generateContent"
        ask = self.client(GEMINI).ask
        self.assertEqual(ask("POST", path, {}, {"x-goog-api-key": "AIza-real-1"})[0], 200)
        self.assertEqual(ask("POST", path + "?key=AIza-real-1", {})[0], 200)
        self.assertEqual(ask("POST", path, {}, {"x-goog-api-key": "sk-ant-real-1"})[0], 400)
        self.assertEqual(ask("POST", path, {}, {"x-goog-api-key": "AIza-real-1", "x-api-key": "a"})[0], 401)

    def test_claude_refuses_google_tokens(self):
        body = {"model": "claude-haiku-4-5", "messages": [], "max_tokens": 1}
        version = {"anthropic-version": "2023-06-01"}
        ask = self.client(CLAUDE).ask
        self.assertEqual(ask("POST", "/v1/messages", body, {"x-api-key": "sk-ant-real-1", **version})[0], 200)
        self.assertEqual(ask("POST", "/v1/messages", body, {"x-api-key": "sk-ant-real-1"})[0], 400)
        status, data, _ = ask("POST", "/v1/messages", body, {**self.bearer(), **version})
        self.assertEqual((status, json.loads(data)["error"]["type"]), (401, "authentication_error"))
        self.assertEqual([v["kind"] for v in self.cloud.violations()], ["token-astray"])
        self.assertEqual(ask("GET", "/v1/models", None, {"x-api-key": "sk-ant-real-1", **version})[0], 200)

    # -- answers --

    def test_answers_are_functions_of_the_request(self):
        good = self.bearer()
        body = json.dumps({"contents": [], "fake": {"bytes": 300, "events": 3}}).encode()
        claude = json.dumps({"anthropic_version": "vertex-2023-10-16", "fake": {"bytes": 40}}).encode()
        cases = [("gemini", "google", "m", "generateContent", "", body),
                 ("gemini-sse", "google", "m", "streamGenerateContent", "?alt=sse", body),
                 ("gemini-array", "google", "m", "streamGenerateContent", "", body),
                 ("count-gemini", "google", "m", "countTokens", "", body),
                 ("predict", "google", "m", "predict", "", body),
                 ("embed", "google", "m", "embedContent", "", body),
                 ("claude", "anthropic", "c@1", "rawPredict", "", claude),
                 ("claude-sse", "anthropic", "c@1", "streamRawPredict", "", claude),
                 ("count-claude", "anthropic", "count-tokens", "rawPredict", "", claude)]
        for kind, publisher, model, verb, query, sent in cases:
            with self.subTest(kind=kind):
                status, data, response = self.vertex(
                    good, body=sent, path=PATH.format(publisher, model, verb) + query)
                self.assertEqual((status, data), (200, answers.expected(kind, model, sent)))
        json.loads(answers.expected("gemini-array", "m", body))
        self.assertEqual(self.cloud.violations(), [])

    def test_large_answers_and_large_chunked_bodies(self):
        good = self.bearer()
        body = json.dumps({"fake": {"bytes": 3_000_001}}).encode()
        status, data, _ = self.vertex(good, body=body)
        self.assertEqual(data, answers.expected("gemini", "gemini-2.5-pro", body))
        sent = b'{"pad":"' + b"x" * 5_000_000 + b'"}'
        pieces = (sent[i:i + 70_000] for i in range(0, len(sent), 70_000))
        status, data, _ = self.vertex(good, body=pieces)
        self.assertEqual(status, 200)
        row = self.cloud.log(VERTEX)[-1]
        self.assertEqual((row["body_len"], row["body_sha256"]), (len(sent), answers.sha(sent)))

    def test_events_come_one_by_one(self):
        client = self.client(VERTEX)
        body = json.dumps({"fake": {"events": 4, "gap_ms": 100}}).encode()
        client.http.request("POST", PATH.format("google", "m", "streamGenerateContent") + "?alt=sse", body,
                            self.bearer())
        response = client.http.getresponse()
        times = []
        while response.readline().strip():
            times.append(time.monotonic())
            response.readline()
        self.assertEqual(len(times), 4)
        self.assertGreater(times[-1] - times[0], 0.25)

    def test_operations_caches_and_files_belong_to_an_account(self):
        good = self.bearer()
        name = json.loads(self.vertex(good, "predictLongRunning", "veo")[1])["name"]
        fetch = {"operationName": name}
        self.assertEqual(self.vertex(good, "fetchPredictOperation", "veo", body=fetch)[0], 200)
        self.assertEqual(self.vertex(good, "fetchPredictOperation", "veo", body={"operationName": "x"})[0], 404)
        ask = self.client(GEMINI).ask
        start = {**good, "X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
        _, _, response = ask("POST", "/upload/v1beta/files", {}, start)
        url = urllib.parse.urlsplit(response.getheader("X-Goog-Upload-URL"))
        target = url.path + "?" + url.query
        upload = {"X-Goog-Upload-Command": "upload, finalize"}
        self.assertEqual(ask("POST", target, b"data", {**upload, **self.bearer(1)})[0], 403)
        status, data, _ = ask("POST", target, b"data", {**upload, **good})
        file = json.loads(data)["file"]
        self.assertEqual((status, file["sha256Hash"]), (200, answers.sha(b"data")))
        self.assertEqual(ask("GET", "/v1beta/" + file["name"], None, self.bearer(1))[0], 403)
        self.assertEqual(ask("GET", "/v1beta/" + file["name"], None, good)[0], 200)

    # -- the wire --

    def raw(self, host, data, seconds=3):
        client = self.client(host)
        client.tls.settimeout(seconds)
        client.tls.sendall(data)
        got = b""
        try:
            while piece := client.tls.recv(65536):
                got += piece
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        return got

    def test_malformed_requests_are_refused_and_noted(self):
        head = b"Host: " + VERTEX.encode() + b"\r\n"
        for data in (b"GET / HTTP/1.0\r\n" + head + b"\r\n", b"GET / HTTP/1.1\n" + head + b"\r\n",
                     b"GET / HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\n" + head + b"\r\n",
                     b"GET / HTTP/1.1\r\n" + head + b"A : b\r\n\r\n", b"GET / HTTP/1.1\r\n" + head + b"A: b\r\n c\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + head + head + b"\r\n",
                     b"GET https://x/ HTTP/1.1\r\n" + head + b"\r\n",
                     b"POST / HTTP/1.1\r\n" + head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"POST / HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
                     b"POST / HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n"):
            with self.subTest(data=data):
                self.cloud.reset()
                self.assertTrue(self.raw(VERTEX, data).startswith(b"HTTP/1.1 400 "))
                self.assertEqual([v["kind"] for v in self.cloud.violations()], ["malformed"])

    def test_pipelined_requests_are_answered_in_order(self):
        good = self.bearer()["Authorization"].encode()
        one = (b"POST " + PATH.format("google", "m", "countTokens").encode() + b" HTTP/1.1\r\nHost: " + VERTEX.encode()
               + b"\r\nAuthorization: " + good + b"\r\n")
        data = b"".join(one + (b"Connection: close\r\n" if n == 9 else b"") + b"Content-Length: %d\r\n\r\n%s"
                        % (len(b), b) for n in range(10) for b in [b'{"a":"%s"}' % (b"x" * 4 * n)])
        got = self.raw(VERTEX, data)
        counts = [json.loads(p.split(b"\r\n\r\n")[1])["totalTokens"] for p in got.split(b"HTTP/1.1 ")[1:]]
        self.assertEqual(counts, [2 + n for n in range(10)])

    def test_everything_is_recorded(self):
        self.vertex({**self.bearer(), "X-Odd": "v%41lue"}, body=b'{"x": "\xc3\xa4"}')
        row = self.cloud.log(VERTEX)[-1]
        self.assertEqual((row["sni"], row["alpn"], row["status"]), (VERTEX, None, 200))
        self.assertIn("\r\nX-Odd: v%41lue", row["head"])
        self.assertEqual(row["body"].encode("latin-1"), b'{"x": "\xc3\xa4"}')
        self.assertEqual(row["account"], fake_account(self.cloud, "acct-1"))
        self.assertNotIn("Bearer " + self.cloud.tokens()[0]["token"], self.cloud.log(VERTEX, raw=False)[-1]["head"])

    def test_placeholders_are_found_in_every_disguise(self):
        secret = "gemini-alice-0123456789abcdef"
        self.cloud.register(placeholders=[secret])
        good = self.bearer()
        percent = "".join(f"%{ord(c):02x}" for c in secret)
        for where, headers, target in [
                ("raw", {"Cookie": "a=" + secret}, ""), ("percent", {"X-A": percent}, ""),
                ("base64", {"X-A": base64.b64encode(b"user:" + secret.encode()).decode()}, ""),
                ("base64 at 1", {"X-A": base64.b64encode(b"u" + secret.encode()).decode()}, ""),
                ("base64 at 2", {"X-A": base64.urlsafe_b64encode(b"uu" + secret.encode()).decode()}, ""),
                ("twice percent", {"X-A": percent.replace("%", "%25")}, ""), ("query", {}, "?a=" + secret)]:
            with self.subTest(where=where):
                self.cloud.reset()
                self.vertex({**good, **headers}, path=PATH.format("google", "m", "predict") + target)
                self.assertEqual([v["kind"] for v in self.cloud.violations()], ["placeholder"])
        self.cloud.reset()
        body = b"x" * 65530 + secret.encode()
        self.vertex(good, body=iter([body[:65540], body[65540:]]))
        self.assertEqual(len(self.cloud.violations("placeholder")), 1)

    def test_wrong_names_and_certificates(self):
        client = self.client(VERTEX)
        status, _, _ = client.ask("POST", "/", b"{}", {"Host": GEMINI})
        self.assertEqual(status, 421)
        with self.assertRaises(ssl.SSLError):
            self.client("unknown.example.org")
        for variant in ("self-signed", "expired", "wrong-name"):
            with self.subTest(variant=variant):
                with self.assertRaises(ssl.SSLCertVerificationError):
                    self.client(VERTEX, port=self.cloud.ports[variant])
                self.client(VERTEX, port=self.cloud.ports[variant], verify=False)
        self.client(VERTEX, address="127.0.0.2")
        self.assertEqual(self.cloud.stats()["connections"]["second"], 1)

    # -- faults --

    def test_status_faults_have_the_providers_shapes(self):
        good = self.bearer()
        for kind, more in (("401", {}), ("403", {}), ("429", {}), ("429", {"retry_after": 7}), ("500", {}), ("503", {})):
            with self.subTest(kind=kind, more=more):
                self.cloud.fail(kind, host=VERTEX, **more)
                status, data, response = self.vertex(good)
                self.assertEqual((status, json.loads(data)["error"]["code"]), (int(kind), int(kind)))
                self.assertEqual(response.getheader("Retry-After"), str(more["retry_after"]) if more else None)
                self.assertEqual(self.vertex(good)[0], 200)
        self.cloud.fail("529", host=CLAUDE)
        status, data, _ = self.client(CLAUDE).ask("POST", "/v1/messages", {})
        self.assertEqual((status, json.loads(data)["error"]["type"]), (529, "overloaded_error"))

    def test_rules_choose_by_account_path_and_count(self):
        first, second = self.bearer(), {"Authorization": "Bearer " + self.token(1)}
        self.cloud.fail("429", account=fake_account(self.cloud, "acct-1"), path="*:generateContent", times=2, skip=1)
        self.assertEqual([self.vertex(first)[0] for _ in range(4)], [200, 429, 429, 200])
        self.assertEqual(self.vertex(second)[0], 403)

    def test_a_rate_fails_its_share_and_repeats_with_its_seed(self):
        def run():
            self.cloud.heal()
            self.cloud.fail("429", host=VERTEX, times=-1, rate=0.2, seed=7)
            return [self.vertex(good)[0] for _ in range(100)]
        good = self.bearer()
        first, second = run(), run()
        self.assertEqual(first, second)
        self.assertTrue(8 <= first.count(429) <= 34, first)
        self.assertEqual(first.count(429) + first.count(200), 100)

    def test_broken_answers(self):
        good = self.bearer()
        body = {"fake": {"bytes": 50_000}}
        expectations = {
            "cut-before-head": {}, "cut-on-head": {}, "cut": {"bytes": 20_000}, "bad-status-line": {},
            "endless-head": {}, "length-long": {}}
        for kind, more in expectations.items():
            for how in ("fin", "rst"):
                with self.subTest(kind=kind, how=how):
                    self.cloud.fail(kind, host=VERTEX, how=how, **more)
                    with self.assertRaises((http.client.HTTPException, ConnectionError, ssl.SSLError)):
                        self.vertex(good, body=body)
        self.cloud.fail("bad-chunk", host=VERTEX, bytes=100)
        with self.assertRaises((http.client.HTTPException, ValueError)):
            self.vertex(good, path=PATH.format("google", "m", "streamGenerateContent"))
        self.cloud.fail("1xx-flood", host=VERTEX, count=50)
        got = self.raw(VERTEX, b"GET / HTTP/1.1\r\nHost: " + VERTEX.encode() + b"\r\nConnection: close\r\n\r\n")
        self.assertEqual(got.count(b"102 Processing"), 50)
        self.cloud.fail("slow-head", host=VERTEX, delay_ms=300)
        begin = time.monotonic()
        self.assertEqual(self.vertex(good)[0], 200)
        self.assertGreater(time.monotonic() - begin, 0.29)
        self.cloud.fail("tls-refuse", host=VERTEX)
        with self.assertRaises(ssl.SSLError):
            self.client(VERTEX)
        self.client(VERTEX)

    def test_early_answer_and_cancelled_stream(self):
        self.cloud.fail("early", host=VERTEX, status=403)
        got = self.raw(VERTEX, b"POST / HTTP/1.1\r\nHost: " + VERTEX.encode() + b"\r\nContent-Length: 1000000\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 403 "))
        client = self.client(VERTEX)
        body = json.dumps({"fake": {"events": 1000, "gap_ms": 20}}).encode()
        client.http.request("POST", PATH.format("google", "m", "streamGenerateContent"), body, self.bearer())
        client.http.getresponse().read(10)
        client.tls.shutdown(socket.SHUT_RDWR)
        self.assertTrue(self.cloud.wait(lambda c: c.log(VERTEX)[-1]["aborted"], 2))

    def test_token_endpoint_faults(self):
        for kind, check in (("token-garbage", lambda d: b"<html>" in d), ("token-huge", lambda d: len(d) > 1 << 20),
                            ("token-crlf", lambda d: "\r\n" in json.loads(d)["access_token"]),
                            ("token-string-expiry", lambda d: json.loads(d)["expires_in"] == "3599"),
                            ("token-no-token", lambda d: "access_token" not in json.loads(d))):
            with self.subTest(kind=kind):
                self.cloud.fail(kind, host=OAUTH, account=fake_account(self.cloud, "acct-2"))
                self.assertEqual(self.grant(assertion(self.keys[0]))[0], 200)
                status, data, _ = self.grant(assertion(self.keys[1]))
                self.assertEqual(status, 200)
                self.assertTrue(check(data))
        self.cloud.fail("400", host=OAUTH, error="invalid_grant", message="Invalid JWT Signature.")
        status, data, _ = self.grant(assertion(self.keys[0]))
        self.assertEqual((status, json.loads(data)["error"]), (400, "invalid_grant"))

    def test_the_name_server(self):
        def question(name, kind):
            labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
            return b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0" + struct.pack("!HH", kind, 1)

        with FakeDns({"two.test": ["127.0.0.3", "::1", "127.0.0.1"]}) as dns, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(2)
            for name, kind, code, addresses in (("two.test", 1, 0, ["127.0.0.3", "127.0.0.1"]), ("two.test", 28, 0, ["::1"]),
                                                ("none.test", 1, 3, [])):
                udp.sendto(question(name, kind), ("127.0.0.1", dns.port))
                reply = udp.recv(4096)
                self.assertEqual((reply[:2], reply[3] & 15, reply[7]), (b"\x12\x34", code, len(addresses)))
                for address in addresses:
                    family = socket.AF_INET if kind == 1 else socket.AF_INET6
                    self.assertIn(socket.inet_pton(family, address), reply)
            self.assertEqual([n for n, _ in dns.asked], ["two.test", "two.test", "none.test"])

    def test_speed(self):
        """A slow fake would measure itself, not the proxy."""
        client = self.client(VERTEX)
        body = b'{"contents":[{"parts":[{"text":"hi"}]}]}'
        one = (b"POST " + PATH.format("google", "m", "generateContent").encode() + b" HTTP/1.1\r\nHost: "
               + VERTEX.encode() + b"\r\nAuthorization: " + self.bearer()["Authorization"].encode()
               + b"\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        client.tls.sendall(one)
        length = len(client.tls.recv(65536))
        count, begin = 2000, time.monotonic()
        for _ in range(count):
            client.tls.sendall(one)
            left = length
            while left > 0:
                left -= len(client.tls.recv(65536))
        rate = count / (time.monotonic() - begin)
        print(f"fake cloud: {rate:.0f} requests/s on one connection", file=sys.stderr)
        self.assertGreater(rate, 300)


if __name__ == "__main__":
    unittest.main()
