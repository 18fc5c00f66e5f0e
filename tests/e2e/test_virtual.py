"""Virtual service accounts: our answers at Google's token endpoint, what goes on to Google untouched, passes, and the metadata server."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import time
import urllib.parse

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.service_account
import requests
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import answers
import client
import client2
from harness import (ALICE, BODY, GEMINI, GEMINI_PATH, GENERATE, MODEL, OAUTH, VERTEX, LabCase, ShimCase, email, key_file, preload, shim, until)

WWW = "www.googleapis.com"
WWW_TOKEN = "/oauth2/v4/token"
AUDIENCE = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FORM = [("content-type", "application/x-www-form-urlencoded")]
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
OURS = MODEL.format("us-central1", "google", "gemini-2.5-pro", "generateContent").replace("client-project", "credswap")
WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
LAB = {"accounts": 1, "cloud_args": ("--extra-host", WWW), "connect_to": (WWW + ":443:127.0.0.1:{p[main]}",)}


def b64(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(info, **change):
    """The claims that Google's libraries write; a change of None takes a claim away."""
    now = int(time.time())
    claims = {"iss": info["client_email"], "scope": SCOPE, "aud": AUDIENCE, "iat": now, "exp": now + 3600, **change}
    return {k: v for k, v in claims.items() if v is not None}


def sign(info, claims, header=None, key=None, how=hashes.SHA256):
    header = header or {"alg": "RS256", "typ": "JWT", "kid": info["private_key_id"]}
    key = key or serialization.load_pem_private_key(info["private_key"].encode(), None)
    text = b64(header) + "." + b64(claims)
    return text + "." + b64(key.sign(text.encode(), padding.PKCS1v15(), how()))


def form_of(assertion, grant=GRANT):
    return urllib.parse.urlencode({"grant_type": grant, "assertion": assertion}).encode()


class Case(LabCase):
    LAB = LAB

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.info = cls.file("alice")

    @classmethod
    def file(cls, name):
        """A new key file for the client, known to the daemon."""
        info = json.loads(cls.lab.cs("client", "service-account", name).stdout)
        return info

    def post(self, assertion, host=OAUTH, path="/token", headers=(), **how):
        return self.lab.ask(host, path, form_of(assertion), FORM + list(headers), **how)

    def known(self, info, seconds=2):
        """The daemon follows the store within a second."""
        def given():
            with contextlib.suppress(OSError):  # not intercepted yet
                response = self.post(sign(info, claims_of(info)))
                return response if response.status == 200 else None
            return None
        got = until(given, seconds)
        self.assertTrue(got, "the daemon does not know the key")
        token = self.pass_of(got)
        self.cloud.reset()  # of what went on to Google before that
        self.cloud.register(placeholders=[token])
        return token

    def pass_of(self, response):
        self.assertStatus(response, 200)
        token = json.loads(response.body)["access_token"]
        self.lab.placeholders.append(token)  # so that logs and the store are searched for it
        self.cloud.register(placeholders=[token])
        return token

    def fresh_pass(self, info=None):
        info = info or self.info
        return self.pass_of(self.post(sign(info, claims_of(info))))

    def use(self, token, **how):
        return self.lab.ask(path=how.pop("path", OURS), token=token, **how)

    def endpoint_saw(self):
        """What reached the token endpoint, but for the proxy's own minting."""
        ours = email(1)
        return [r for r in self.cloud.log() if r["host"] in (OAUTH, WWW) and r["account"] != ours]

    def assertGoogleError(self, response, words, status=400):
        self.assertStatus(response, status)
        data = json.loads(response.body)
        self.assertEqual(data["error"], "invalid_grant")
        self.assertIn(words, data["error_description"])
        self.assertTrue(response.one("x-credswap-request-id"))
        self.assertEqual(response.one("content-type"), "application/json; charset=UTF-8")
        self.assertEqual(self.endpoint_saw(), [])


class Answers(Case):
    """An assertion by one of our accounts is answered here, and nowhere else."""

    def setUp(self):
        super().setUp()
        self.known(self.info)
        self.cloud.reset()

    def test_a_good_one_gets_a_pass_and_no_real_token(self):
        for host, path in ((OAUTH, "/token"), (WWW, WWW_TOKEN)):
            with self.subTest(host=host):
                response = self.post(sign(self.info, claims_of(self.info)), host, path)
                token = self.pass_of(response)
                data = json.loads(response.body)
                self.assertEqual((set(data), data["expires_in"], data["token_type"]), ({"access_token", "expires_in", "token_type"}, 3599, "Bearer"))
                self.assertTrue(token.startswith("gemini-va1-"), token)
                self.assertEqual((response.one("cache-control"), response.one("pragma")), ("no-store", "no-cache"))
        self.assertEqual(self.endpoint_saw(), [])

    def test_the_pass_works_wherever_a_placeholder_works(self):
        token = self.fresh_pass()
        for host, path in ((VERTEX, OURS), (GEMINI, GEMINI_PATH)):
            for carrier in ("authorization", "x-goog-api-key", "x-api-key"):
                with self.subTest(host=host, carrier=carrier):
                    response = self.lab.ask(host, path, token=token, carrier=carrier)
                    self.assertEqual((response.status, response.body), (200, WANTED), response)
            self.assertStatus(self.lab.ask(host, f"{path}?access_token={token}"), 200)
            self.assertStatus(self.lab.ask(host, path, token=token, h2=True), 200)
        seen = [r for r in self.cloud.log() if r["host"] == VERTEX]
        self.assertIn("/projects/acct-1-project/", seen[0]["target"])
        self.assertCleanCloud()
        rows = until(lambda: self.lab.query("select distinct client from request where status = 200 and host = ?", VERTEX))
        self.assertIn("alice", [r["client"] for r in rows])

    def test_a_pass_must_not_leave_by_another_place(self):
        token = self.fresh_pass()
        for path in (OURS + "?trace=" + token, OURS.replace("gemini-2.5-pro", token)):
            self.assertOwnError(self.lab.ask(path=path, token=token), 400, "vertex")
        for headers in ([("x-trace", token)], [("cookie", "a=" + token)], [("x-b64", base64.b64encode(token.encode()).decode())]):
            self.assertOwnError(self.lab.ask(path=OURS, token=token, headers=headers), 400, "vertex")
        self.assertNothingForwarded()

    def test_two_credentials_are_refused(self):
        response = self.lab.ask(path=OURS, token=self.fresh_pass(), headers=[("x-goog-api-key", ALICE)])
        self.assertOwnError(response, 400, "vertex")
        self.assertNothingForwarded()

    def test_forged_and_changed_passes_are_unknown(self):
        token = self.fresh_pass()
        raw = base64.urlsafe_b64decode(token[11:])
        later = raw[:8] + (int.from_bytes(raw[8:16], "big") + 3600).to_bytes(8, "big") + raw[16:]
        other = (2).to_bytes(8, "big") + raw[8:]
        forged = [token[:11] + b64(x) for x in (later, other, raw[:16] + bytes(32), bytes(48), raw[:47] + bytes([raw[47] ^ 1]))]
        forged += ["claude" + token[6:], token[:-1], token + "A", token[:-1] + ("B" if token[-1] == "A" else "A"), token[:11].upper() + token[11:]]
        for text in forged:
            with self.subTest(text=text):
                self.assertOwnError(self.use(text), 401, "vertex")
        self.assertNothingForwarded()

    def test_every_refusal(self):
        info, now = self.info, int(time.time())
        stranger = rsa.generate_private_key(65537, 2048)
        good = sign(info, claims_of(info))
        header, body, signature = good.split(".")
        public = serialization.load_pem_private_key(info["private_key"].encode(), None).public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

        def hs256(key):
            text = b64({"alg": "HS256", "typ": "JWT", "kid": info["private_key_id"]}) + "." + body
            mac = hmac.HMAC(key, hashes.SHA256())
            mac.update(text.encode())
            return text + "." + b64(mac.finalize())

        signed, times = "Invalid JWT Signature", "short-lived token"
        cases = {
            "alg none": (b64({"alg": "none"}) + "." + body + "." + b64(b"x"), signed),
            "alg None": (sign(info, claims_of(info), {"alg": "None"}), signed),
            "hs256 with the public key": (hs256(public), signed),
            "rs512": (sign(info, claims_of(info), {"alg": "RS512"}, how=hashes.SHA512), signed),
            "rs256 said, sha512 meant": (sign(info, claims_of(info), how=hashes.SHA512), signed),
            "another key": (sign(info, claims_of(info), key=stranger), signed),
            "wrong kid": (sign(info, claims_of(info), {"alg": "RS256", "kid": "0" * 40}), signed),
            "changed payload": (header + "." + b64({**claims_of(info), "scope": "x"}) + "." + signature, signed),
            "changed header": (b64({"alg": "RS256", "typ": "JWT"}) + "." + body + "." + signature, signed),
            "signature cut": (good[:-4], signed),
            "crit": (sign(info, claims_of(info), {"alg": "RS256", "crit": ["b64"], "b64": False}), "Invalid JWT"),
            "alg twice": (b64(b'{"alg":"RS256","alg":"none"}') + "." + body + "." + signature, "Invalid JWT"),
            "header no json": (b64(b"RS256") + "." + body + "." + signature, "Invalid JWT"),
            "expired": (sign(info, claims_of(info, iat=now - 3700, exp=now - 100)), times),
            "from the future": (sign(info, claims_of(info, iat=now + 300, exp=now + 3600)), times),
            "for too long": (sign(info, claims_of(info, exp=now + 3700)), times),
            "ends before it begins": (sign(info, claims_of(info, iat=now, exp=now)), times),
            "no exp": (sign(info, claims_of(info, exp=None)), times),
            "exp a string": (sign(info, claims_of(info, exp=str(now + 3600))), times),
            "huge exp": (sign(info, claims_of(info, exp=1e300)), times),
            "audience elsewhere": (sign(info, claims_of(info, aud="https://oauth2.googleapis.com/token/")), "audience"),
            "audience a list": (sign(info, claims_of(info, aud=[AUDIENCE])), "audience"),
            "no audience": (sign(info, claims_of(info, aud=None)), "audience"),
            "id token": (sign(info, claims_of(info, scope=None, target_audience="https://x.test")), "id tokens"),
            "for a user": (sign(info, claims_of(info, sub="boss@corp.test")), "act for a user"),
        }
        for label, (assertion, words) in cases.items():
            with self.subTest(what=label):
                self.assertGoogleError(self.post(assertion), words)
        self.assertTrue(until(lambda: '"reason":"assertion_signature"' in self.lab.log_text()))

    def test_what_libraries_vary_is_accepted(self):
        info = self.info
        for label, assertion in {"no kid (node)": sign(info, claims_of(info), {"alg": "RS256"}), "old audience": sign(info, claims_of(info, aud="https://www.googleapis.com/oauth2/v4/token")),
                                 "sub is iss": sign(info, claims_of(info, sub=info["client_email"])), "no scope": sign(info, claims_of(info, scope=None)),
                                 "a clock that is a little ahead": sign(info, claims_of(info, iat=int(time.time()) + 30, exp=int(time.time()) + 3600))}.items():
            with self.subTest(what=label):
                self.pass_of(self.post(assertion))
        plain = f"assertion={sign(info, claims_of(info))}&grant_type={GRANT}".encode()
        self.pass_of(self.lab.ask(OAUTH, "/token", plain, [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")]))
        self.pass_of(self.post(sign(info, claims_of(info)), h2=True))
        with self.lab.tunnel(OAUTH) as tunnel:  # in chunks, and twice on one connection
            body = form_of(sign(info, claims_of(info)))
            for _ in range(2):
                tunnel.send(client.request("POST", "/token", OAUTH, FORM + [("transfer-encoding", "chunked")]))
                for part in (body[:7], body[7:]):
                    tunnel.send(b"%x\r\n%s\r\n" % (len(part), part))
                tunnel.send(b"0\r\n\r\n")
                self.pass_of(tunnel.reader.response())
        self.assertEqual(self.endpoint_saw(), [])

    def test_two_at_once_over_http2(self):
        with contextlib.closing(client2.Tunnel(("127.0.0.1", self.lab.port), OAUTH, ca=self.lab.ca)) as tunnel:
            self.assertEqual(tunnel.tls.selected_alpn_protocol(), "h2")
            for _ in range(2):
                self.pass_of(tunnel.ask("POST", "/token", form_of(sign(self.info, claims_of(self.info))), FORM))

    def test_odd_names_have_addresses_of_their_own(self):
        for number, name in enumerate(("my job (ci) @ night", "a@b", "X" * 128)):
            self.lab.add_client("odd", "gemini", f"gemini-odd-{number}-0123456789abcdef")
            self.lab.sql(f"update client set name = '{name}' where name = 'odd'")
            info = self.file(name)
            self.assertRegex(info["client_email"], r"\A[A-Za-z0-9._=-]+@credswap\.iam\.gserviceaccount\.com\Z")
            self.assertStatus(self.use(self.known(info)), 200)

    def test_google_auth_for_python(self):
        session = requests.Session()
        session.proxies = {"https": f"http://127.0.0.1:{self.lab.port}"}
        session.verify = self.lab.ca
        session.trust_env = False
        transport = google.auth.transport.requests.Request(session)
        made = google.oauth2.service_account.Credentials.from_service_account_info(self.info, scopes=[SCOPE])
        made.refresh(transport)
        self.lab.placeholders.append(made.token)
        self.cloud.register(placeholders=[made.token])
        for url in ("https://" + VERTEX + OURS, "https://" + GEMINI + GEMINI_PATH):
            headers = {}
            made.apply(headers)
            response = session.post(url, data=BODY, headers=headers, timeout=20)
            self.assertEqual((response.status_code, response.content), (200, WANTED))
        self.assertEqual(self.endpoint_saw(), [])
        self.assertCleanCloud()
        bad = {**self.info, "private_key": json.load(open(key_file(2), encoding="utf-8"))["private_key"]}
        made = google.oauth2.service_account.Credentials.from_service_account_info(bad, scopes=[SCOPE])
        with self.assertRaisesRegex(google.auth.exceptions.RefreshError, "Invalid JWT Signature"):
            made.refresh(transport)


class SelfSigned(Case):
    """SDKs of Google's gRPC services sign a token themselves (AIP-4111) and never ask the token endpoint."""

    def setUp(self):
        super().setUp()
        self.known(self.info)
        self.cloud.reset()

    def made(self, info=None, header=None, key=None, **change):
        info = info or self.info
        mine = {"sub": info["client_email"], "aud": f"https://{VERTEX}/", "scope": None, **change}
        return sign(info, claims_of(info, **mine), header, key)

    def test_it_stands_in_a_placeholders_place(self):
        for label, token in (("for a host", self.made()), ("for a service", self.made(aud=f"https://{VERTEX}/google.cloud.aiplatform.v1.PredictionService")), ("for scopes", self.made(aud=None, scope=SCOPE)),
                             ("without kid", self.made(header={"alg": "RS256", "typ": "JWT"}))):
            for h2 in (False, True):
                with self.subTest(what=label, h2=h2):
                    response = self.use(token, h2=h2)
                    self.assertEqual((response.status, response.body), (200, WANTED), response)
        self.assertCleanCloud()
        seen = [r for r in self.cloud.log() if r["host"] == VERTEX]
        self.assertEqual({dict(r["headers"])["authorization"][:12] for r in seen}, {"Bearer ya29."})
        self.assertNotIn("eyJ", self.lab.log_text())

    def test_what_proves_nothing_is_unknown(self):
        now = int(time.time())
        stranger = rsa.generate_private_key(65537, 2048)
        good = self.made()
        head, body, signature = good.split(".")
        for label, token in {"another key": self.made(key=stranger), "alg none": b64({"alg": "none"}) + f".{body}.{signature}", "expired": self.made(iat=now - 3600, exp=now - 61), "too long": self.made(exp=now + 3700),
                             "the endpoint's": self.made(aud=AUDIENCE), "elsewhere": self.made(aud="https://evil.test/"), "no purpose": self.made(aud=None), "for a user": self.made(sub="boss@corp.test"),
                             "changed": f"{head}.{b64({**claims_of(self.info), 'aud': f'https://{VERTEX}/x'})}.{signature}", "no such client": self.made({**self.info, "client_email": "x@credswap.iam.gserviceaccount.com"}),
                             "a real account's": self.made(json.load(open(key_file(3), encoding="utf-8"))), "huge": good + "A" * 20000, "an assertion": sign(self.info, claims_of(self.info))}.items():
            with self.subTest(what=label):
                self.assertOwnError(self.use(token), 401, "vertex")
        self.assertNothingForwarded()

    def test_it_must_not_leave(self):
        token = self.made()
        for how in ({"headers": [("x-trace", token)]}, {"path": OURS + "?x=" + token}, {"headers": [("x-trace", base64.b64encode(token.encode()).decode())]}, {"path": OURS + "?x=" + token[-520:]}):
            self.assertOwnError(self.use(token, **how), 400, "vertex")
        self.assertNothingForwarded()
        self.assertStatus(self.lab.ask(WWW, "/storage/v1/b", b"", [("authorization", "Bearer " + token)], method="GET"), 400)
        self.assertEqual(self.endpoint_saw(), [])
        other = self.made(json.load(open(key_file(3), encoding="utf-8")))
        self.lab.ask(WWW, "/storage/v1/b", b"", [("authorization", "Bearer " + other)], method="GET")
        self.assertEqual(len(self.endpoint_saw()), 1)

    def test_a_model_in_the_body(self):
        path = MODEL.format("us-central1", "x", "y", "z").rsplit("/publishers", 1)[0] + "/endpoints/openapi/chat/completions"
        response = self.lab.ask(path=path, body=b'{"model":"google/gemini-2.5-pro","messages":[]}', token=self.made())
        self.assertNotEqual(response.status, 400, response)

    def test_it_ends_with_the_client(self):
        token = self.made()
        self.assertStatus(self.use(token), 200)
        self.lab.cs("client", "set", "alice", "state=off")
        try:
            self.assertTrue(until(lambda: self.use(token).status == 403, 1.5))
        finally:
            self.lab.cs("client", "set", "alice", "state=on")
        self.assertTrue(until(lambda: self.use(token).status == 200, 1.5))
        self.file("alice")
        self.assertTrue(until(lambda: self.use(token).status == 401, 1.5))
        self.cloud.reset()
        type(self).info = self.file("alice")


class Foreign(Case):
    """What is not ours to answer is Google's, byte for byte."""

    def setUp(self):
        super().setUp()
        self.known(self.info)
        self.cloud.reset()

    def seen(self):
        got = self.endpoint_saw()
        self.assertEqual(len(got), 1, got)
        return got[0]

    def test_an_unknown_issuer_goes_on_untouched(self):
        with open(key_file(3), encoding="utf-8") as f:
            real = json.load(f)
        unknown = {**real, "client_email": "nobody@credswap.iam.gserviceaccount.com"}
        for label, info, host, path, status in (("a real account", real, OAUTH, "/token", 200), ("no client of ours", unknown, OAUTH, "/token", 400), ("the old address", real, WWW, WWW_TOKEN, 200)):
            for h2 in (False, True):
                with self.subTest(what=label, h2=h2):
                    self.cloud.reset()
                    body = form_of(sign(info, claims_of(info)))
                    response = self.lab.ask(host, path, body, FORM + [("user-agent", "gl-x"), ("x-goog-api-client", "a/1 b/2")], h2=h2)
                    self.assertStatus(response, status)
                    seen = self.seen()
                    self.assertEqual((seen["method"], seen["target"], seen["body"].encode("latin-1")), ("POST", path, body))
                    sent = dict(seen["headers"])
                    self.assertEqual((sent["user-agent"], sent["x-goog-api-client"], sent["content-type"]), ("gl-x", "a/1 b/2", FORM[0][1]))
                    if status == 200:
                        self.assertTrue(json.loads(response.body)["access_token"].startswith("ya29."))
        self.assertCleanCloud()

    def test_other_grants_and_bodies_go_on_untouched(self):
        refresh = b"grant_type=refresh_token&client_id=x.apps.googleusercontent.com&client_secret=s&refresh_token=1%2F%2F0abc"
        good = sign(self.info, claims_of(self.info))
        bodies = {"refresh": refresh, "code": b"grant_type=authorization_code&code=4/x", "no form": b"\x00\xff\xfe" * 40, "two assertions": form_of(good) + b"&assertion=" + good.encode(),
                  "another grant": form_of(good, "urn:ietf:params:oauth:grant-type:token-exchange"), "no jwt": form_of("a.b.c"), "iss twice": form_of(b64({"alg": "RS256"}) + "." + b64(b'{"iss":"a","iss":"b"}') + ".AAAA"),
                  "not utf-8": form_of(b64({"alg": "RS256"}) + "." + b64(b'{"iss":"\xff"}') + ".AAAA"), "as large as no assertion is": form_of("A" * 200000), "20 KB": form_of(good + "A" * 20000),
                  "deep": form_of(b64({}) + "." + b64(b'{"iss":' * 50) + ".AAAA")}
        for label, body in bodies.items():
            with self.subTest(what=label):
                self.cloud.reset()
                response = self.lab.ask(OAUTH, "/token", body, FORM)
                self.assertStatus(response, 400)
                seen = self.seen()
                self.assertEqual((seen["body_len"], seen["body_sha256"]), (len(body), hashlib.sha256(body).hexdigest()))
        for label, headers in {"json": [("content-type", "application/json")], "no type": [], "coded": FORM + [("content-encoding", "gzip")]}.items():
            with self.subTest(what=label):
                self.cloud.reset()
                self.lab.ask(OAUTH, "/token", form_of(good), headers)
                self.assertEqual(self.seen()["body"].encode(), form_of(good))

    def test_every_other_path_and_method_goes_on_untouched(self):
        for method, host, path, body in (("GET", WWW, "/discovery/v1/apis?key=AIza-of-the-user&prettyPrint=false", b""), ("POST", WWW, "/upload/storage/v1/b/x/o?uploadType=media", b"x" * 300000),
                                         ("DELETE", WWW, "/storage/v1/b/x/o/y%2Fz", b""), ("POST", OAUTH, "/revoke", b"token=1//x"), ("GET", OAUTH, "/tokeninfo?access_token=ya29.of-the-user", b""),
                                         ("POST", WWW, WWW_TOKEN + "?alt=json", form_of("x")), ("GET", OAUTH, "/token", b"")):
            with self.subTest(path=path):
                self.cloud.reset()
                # A credential of the user's own, and nothing of ours in its place.
                headers = [("authorization", "Bearer user.own-token"), ("x-goog-api-key", "AIza-user"), ("x-http-method-override", "PATCH")]
                response = self.lab.ask(host, path, body, headers, method=method)
                self.assertNotEqual(response.status, 0)
                seen = self.seen()
                sent = dict(seen["headers"])
                self.assertEqual((seen["method"], seen["target"], seen["body_len"]), (method, path, len(body)))
                self.assertEqual((sent["authorization"], sent["x-goog-api-key"], sent["x-http-method-override"]), ("Bearer user.own-token", "AIza-user", "PATCH"))
                self.assertTrue(response.one("x-credswap-request-id"))
        self.assertNotIn("user.own-token", self.lab.log_text())

    def test_neither_placeholder_nor_pass_goes_on(self):
        token = self.fresh_pass()
        self.cloud.reset()
        for secret in (ALICE, token):
            for host, path, headers in ((WWW, "/storage/v1/b", [("authorization", "Bearer " + secret)]), (OAUTH, "/tokeninfo?access_token=" + secret, []), (WWW, "/x", [("x-goog-api-key", secret)])):
                with self.subTest(host=host, path=path.split("?")[0]):
                    self.assertStatus(self.lab.ask(host, path, b"", headers, method="GET"), 400)
        for host, path, headers, body in ((WWW, "/x", [("x-other", "a" + token)], b""), (WWW, "/x/" + token, [], b""), (OAUTH, "/token", FORM, b"grant_type=refresh_token&refresh_token=" + token.encode())):
            self.assertStatus(self.lab.ask(host, path, body, headers, method="POST" if body else "GET"), 400)
        self.assertEqual(self.endpoint_saw(), [])
        self.assertNotIn(token, self.lab.log_text())

    def test_the_authority_rules_hold_here(self):
        body = form_of(sign(self.info, claims_of(self.info)))
        for how, path in (({"sni": WWW}, "/token"), ({"sni": False}, None)):
            if path:
                self.assertStatus(self.lab.ask(OAUTH, path, body, FORM, **how), 421)
        with self.lab.tunnel(OAUTH) as tunnel:
            tunnel.send(client.request("POST", "/token", VERTEX, FORM, body))
            self.assertStatus(tunnel.reader.response(), 421)
        for method in ("TRACE", "PROPFIND"):
            self.assertStatus(self.lab.ask(OAUTH, "/token", b"", [], method=method), 405)
        self.assertEqual(self.endpoint_saw(), [])

    def test_a_large_answer_and_a_cut_one(self):
        response = self.lab.ask(WWW, "/echo", b"y" * 2000000, [])
        self.assertStatus(response, 200)
        self.cloud.fail("cut", host=WWW, bytes=10)
        with self.assertRaises(client.Broken):
            self.lab.ask(WWW, "/echo", b"y" * 2000, [])
        self.cloud.fail("tls-refuse", host=OAUTH)
        self.assertStatus(self.lab.ask(OAUTH, "/token", b"grant_type=x", FORM), 502)

    def test_a_body_that_does_not_come_is_408(self):
        self.lab.sections["limits"] = {"idle_timeout": 1}
        self.lab.rewrite()
        self.lab.signal(1)
        try:
            self.assertTrue(until(lambda: "config_reloaded" in self.lab.log_text() or "reload" in self.lab.log_text(), 5))
            with self.lab.tunnel(OAUTH) as tunnel:
                tunnel.send(client.request("POST", "/token", OAUTH, FORM + [("content-length", "100")], b"grant"))
                self.assertStatus(tunnel.reader.response(), 408)
        finally:
            del self.lab.sections["limits"]
            self.lab.rewrite()
            self.lab.signal(1)


class Revocation(ShimCase, Case):
    """A pass is worth what its client is worth, at once."""

    LAB = {**LAB, "env": preload()}

    def client(self, name):
        self.lab.add_client(name, "gemini", f"gemini-{name}-0123456789abcdef")
        info = self.file(name)
        token = self.known(info)
        self.assertStatus(self.use(token), 200)
        return info, token

    def becomes(self, token, status):
        got = until(lambda: (r := self.use(token)).status == status and r, 1.5)
        self.assertTrue(got, f"no {status} within a second and a half")
        return got

    def test_off_and_on(self):
        info, token = self.client("off")
        self.lab.cs("client", "set", "off", "state=off")
        self.becomes(token, 403)
        self.assertGoogleError(self.post(sign(info, claims_of(info))), "switched off")
        self.lab.cs("client", "set", "off", "state=on")
        self.becomes(token, 200)

    def test_rotated_placeholder(self):
        info, token = self.client("rotated")
        self.lab.cs("client", "rotate", "rotated", "--token", "-", stdin="gemini-rotated-9876543210fedcba")
        self.lab.placeholders.append("gemini-rotated-9876543210fedcba")
        self.becomes(token, 401)
        self.assertStatus(self.use(self.fresh_pass(info)), 200)

    def test_replaced_key(self):
        info, token = self.client("replaced")
        new = self.file("replaced")
        self.becomes(token, 401)
        self.cloud.reset()
        self.assertGoogleError(self.post(sign(info, claims_of(info))), "Invalid JWT Signature")
        self.assertStatus(self.use(self.fresh_pass(new)), 200)

    def test_changed_by_sql_alone(self):
        _info, token = self.client("edited")
        self.lab.sql("update client set sa_key_id = 'other' where name = 'edited'")
        self.becomes(token, 401)

    def test_revoked_and_removed(self):
        for verb, status in (("revoke", 401), ("rm", 401)):
            info, token = self.client(verb)
            self.lab.cs("client", verb, verb, "--yes")
            self.becomes(token, status)
            self.cloud.reset()
            self.assertStatus(self.post(sign(info, claims_of(info))), 400)  # Google's: it knows no such account
            self.assertEqual(len(self.endpoint_saw()), 1)

    def test_a_pass_ends_with_its_client(self):
        self.lab.add_client("brief", "gemini", "gemini-brief-0123456789abcdef", "--expires", "10m")
        info = self.file("brief")
        token = self.known(info)
        response = self.post(sign(info, claims_of(info)))
        self.lab.placeholders.append(json.loads(response.body)["access_token"])
        self.assertTrue(500 < json.loads(response.body)["expires_in"] < 600)
        shim.set(clock_s=700)
        self.assertEqual(self.use(token).status, 401)
        self.assertGoogleError(self.post(sign(info, claims_of(info, iat=int(time.time()) + 690, exp=int(time.time()) + 1300))), "expired")

    def test_a_pass_ends_after_an_hour_and_another_is_given(self):
        info, token = self.client("hour")
        shim.set(clock_s=3500)
        self.cloud.config(skew=3500)
        self.assertStatus(self.use(token), 200)
        shim.set(clock_s=3601)
        self.cloud.config(skew=3601)
        self.assertIn("expired", self.assertOwnError(self.use(token), 401, "vertex"))
        ahead = int(time.time()) + 3601
        token = self.pass_of(self.post(sign(info, claims_of(info, iat=ahead, exp=ahead + 3600))))
        self.assertStatus(self.use(token), 200)
        self.cloud.config(skew=0)

    def test_no_other_credential_of_the_client_leaves_beside_it(self):
        """A client has a placeholder and any number of passes: none of them may stand anywhere else."""
        info, one = self.client("several")
        time.sleep(1.1)
        two = self.pass_of(self.post(sign(info, claims_of(info))))
        self.assertNotEqual(one, two)
        self.cloud.reset()
        for token in (one, ALICE):
            for note in (two, f"x{two}y") + ((ALICE,) if token == one else ()):
                with self.subTest(token=token[:11], note=note[:12]):
                    self.assertStatus(self.use(token, headers=[("x-note", note)]), 400)
        self.assertEqual([r for r in self.cloud.log() if r["host"] == VERTEX], [])

    def test_a_restart_and_other_workers_change_nothing(self):
        _info, token = self.client("steady")
        for _ in range(8):  # two workers
            self.assertStatus(self.use(token), 200)
        self.lab.stop()
        self.lab.start()
        self.assertStatus(self.use(token), 200)


class Interception(LabCase):
    """Nobody's trust is asked for while no client has a file; rules and policy have the last word."""

    LAB = LAB
    FRESH = True

    def intercepted(self, host=OAUTH):
        """Whose certificate a client sees: ours, or the cloud's."""
        for ca, ours in ((self.lab.ca, True), (self.cloud.ca, False)):
            with contextlib.suppress(OSError), contextlib.closing(client.Tunnel(("127.0.0.1", self.lab.port), host, ca=ca)) as tunnel:
                return ours if tunnel.tls else tunnel.connect_status
        return None  # it changed in between

    def becomes(self, what, host=OAUTH):
        self.assertTrue(until(lambda: self.intercepted(host) == what, 1.5), f"{host} does not become {what}")

    def test_only_while_a_client_has_one(self):
        self.assertEqual((self.intercepted(), self.intercepted(WWW)), (False, False))
        self.lab.cs("client", "service-account", "alice")
        self.becomes(True)
        self.assertTrue(self.intercepted(WWW))
        self.assertEqual(self.lab.cs_json("host", "test", OAUTH)["verdict"], "answer")
        self.lab.cs("client", "revoke", "alice", "--yes")
        self.becomes(False)
        self.assertEqual(self.lab.cs_json("host", "test", OAUTH)["verdict"], "tunnel")

    def test_a_rule_that_denies_wins(self):
        self.lab.cs("client", "service-account", "alice")
        self.becomes(True)
        self.lab.cs("host", "set", OAUTH, "deny")
        self.becomes(403)
        self.lab.cs("host", "set", OAUTH, "tunnel")
        self.becomes(True)

    def test_off_by_configuration(self):
        self.lab.cs("client", "service-account", "alice")
        self.becomes(True)
        info = json.loads(self.lab.cs("client", "service-account", "alice").stdout)
        signed = sign(info, claims_of(info, sub=info["client_email"], aud=f"https://{VERTEX}/", scope=None))
        given = until(lambda: (r := self.lab.ask(OAUTH, "/token", form_of(sign(info, claims_of(info))), FORM)).status == 200 and r, 2)
        token = json.loads(given.body)["access_token"]
        self.lab.placeholders += [token, signed]
        for one in (token, signed):
            self.assertStatus(self.lab.ask(path=OURS, token=one), 200)
        self.lab.sections["policy"]["virtual_accounts"] = False
        self.lab.rewrite()
        try:
            self.lab.signal(1)
            self.becomes(False)
            for one in (token, signed):
                self.assertTrue(until(lambda: {self.lab.ask(path=OURS, token=one).status for _ in range(8)} == {401}, 2))
        finally:
            del self.lab.sections["policy"]["virtual_accounts"]
            self.lab.rewrite()

    def test_where_tunnels_are_denied_only_our_own_are_answered(self):
        info = json.loads(self.lab.cs("client", "service-account", "alice").stdout)
        self.becomes(True)
        self.lab.sections["policy"]["tunnel"] = "list"
        self.lab.rewrite()
        self.lab.signal(1)
        try:
            self.assertTrue(until(lambda: self.lab.ask(WWW, "/x", b"", method="GET").status == 403, 3))
            self.cloud.reset()
            good = self.lab.ask(OAUTH, "/token", form_of(sign(info, claims_of(info))), FORM)
            self.assertStatus(good, 200)
            self.lab.placeholders.append(json.loads(good.body)["access_token"])
            self.assertStatus(self.lab.ask(OAUTH, "/token", b"grant_type=refresh_token&refresh_token=x", FORM), 403)
            self.assertEqual(self.cloud.log(), [])
        finally:
            self.lab.sections["policy"]["tunnel"] = "allow"
            self.lab.rewrite()

    def test_a_connection_that_outlives_the_last_file_goes_on_to_google(self):
        info = json.loads(self.lab.cs("client", "service-account", "alice").stdout)
        self.becomes(True)
        with self.lab.tunnel(OAUTH) as tunnel:
            got = tunnel.ask("POST", "/token", form_of(sign(info, claims_of(info))), FORM)
            self.assertStatus(got, 200)
            self.lab.placeholders.append(json.loads(got.body)["access_token"])
            self.lab.cs("client", "revoke", "alice", "--yes")
            self.becomes(False)
            self.assertStatus(tunnel.ask("POST", "/token", form_of(sign(info, claims_of(info))), FORM), 400)
            self.assertEqual(len(self.cloud.log(host=OAUTH)), 1)
            self.lab.cs("host", "set", OAUTH, "swap", "--api", "gemini")
            self.assertTrue(until(lambda: self.lab.cs_json("host", "test", OAUTH)["verdict"] == "swap"))
            time.sleep(1)
            self.assertStatus(tunnel.ask("POST", "/token", b"grant_type=x", FORM), 403)
            self.assertEqual(len(self.cloud.log(host=OAUTH)), 1)


class Metadata(Case):
    """The metadata server's own paths, for callers with proxy credentials only."""

    LAB = {**LAB, "conf": {"policy": {"metadata_server": True}}}
    BASE = "/computeMetadata/v1"
    FLAVOR = {"Metadata-Flavor": "Google"}

    @staticmethod
    def basic(token, user="x"):
        return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()

    def get(self, path, headers=None, host="metadata.google.internal", token=ALICE, method="GET"):
        """Through the proxy (HOST), or at its own port (None)."""
        conn = http.client.HTTPConnection("127.0.0.1", self.lab.port, timeout=10)
        headers = dict(self.FLAVOR if headers is None else headers)
        if token:
            headers["Proxy-Authorization" if host else "Authorization"] = self.basic(token)
        with contextlib.closing(conn):
            conn.request(method, (f"http://{host}" if host else "") + path, headers=headers)
            response = conn.getresponse()
            return response.status, response.headers, response.read().decode()

    def test_what_sdks_ask(self):
        mail = self.info["client_email"]
        account = {"aliases": ["default"], "email": mail, "scopes": [SCOPE, "https://www.googleapis.com/auth/generative-language.retriever"]}
        wanted = {"/": "instance/\nproject/\nuniverse/\n", "": "instance/\nproject/\nuniverse/\n", "/instance": "service-accounts/\n", "/instance/": "service-accounts/\n",
                  "/project/project-id": "credswap", "/project/numeric-project-id": "0", "/universe/universe-domain": "googleapis.com", "/universe/universe_domain": "googleapis.com",
                  "/instance/service-accounts/": f"default/\n{mail}/\n", "/instance/service-accounts/default/email": mail, f"/instance/service-accounts/{mail}/email": mail,
                  "/instance/service-accounts/default/scopes": "\n".join(account["scopes"]) + "\n", "/instance/service-accounts/default/": "aliases\nemail\nscopes\ntoken\n"}
        for host in ("metadata.google.internal", "169.254.169.254", None):
            for path, text in wanted.items():
                with self.subTest(host=host, path=path):
                    if host is None and path == "":
                        continue  # no path of the metadata server's at our own port
                    status, headers, body = self.get(self.BASE + path, host=host)
                    self.assertEqual((status, body, headers["Metadata-Flavor"]), (200, text, "Google"))
            status, _headers, body = self.get(self.BASE + "/instance/service-accounts/default/?recursive=true", host=host)
            self.assertEqual((status, json.loads(body)), (200, account))
            status, _headers, body = self.get(self.BASE + "/instance/service-accounts/?recursive=True", host=host)
            self.assertEqual((status, json.loads(body)), (200, {"default": account}))
        self.assertEqual(self.get("/")[0::2], (200, "computeMetadata/\n"))

    def test_the_token_is_a_pass(self):
        for host in ("metadata.google.internal", "169.254.169.254", None):
            status, headers, body = self.get(self.BASE + "/instance/service-accounts/default/token?scopes=" + SCOPE, host=host)
            self.assertEqual((status, headers["Metadata-Flavor"], headers["Content-Type"], headers["Cache-Control"]), (200, "Google", "application/json", "no-store"))
            data = json.loads(body)
            self.lab.placeholders.append(data["access_token"])
            self.cloud.register(placeholders=[data["access_token"]])
            self.assertEqual((data["expires_in"], data["token_type"]), (3599, "Bearer"))
            self.assertStatus(self.use(data["access_token"]), 200)
        self.assertCleanCloud()

    def test_a_client_without_a_file_is_served_too(self):
        status, _headers, body = self.get(self.BASE + "/instance/service-accounts/default/token", token="claude-bob-fedcba9876543210")
        token = json.loads(body)["access_token"]
        self.lab.placeholders.append(token)
        self.assertEqual((status, token[:11]), (200, "claude-va1-"))
        self.lab.cs("client", "rotate", "bob", "--token", "-", stdin="claude-bob-0123456789abcdef")
        self.lab.placeholders.append("claude-bob-0123456789abcdef")
        self.assertTrue(until(lambda: self.use(token).status == 401, 1.5))

    def test_strangers_get_nothing(self):
        token = self.BASE + "/instance/service-accounts/default/token"
        for label, got in {"no credentials": self.get(token, token=None), "unknown": self.get(token, token="gemini-nobody-0123456789"), "no flavor": self.get(token, headers={}),
                           "wrong flavor": self.get(token, headers={"Metadata-Flavor": "Amazon"}), "forwarded": self.get(token, headers={**self.FLAVOR, "X-Forwarded-For": "10.0.0.1"}),
                           "own port, no credentials": self.get(token, host=None, token=None),
                           "two credentials": self.get(token, headers={**self.FLAVOR, "Authorization": self.basic(ALICE)})}.items():
            with self.subTest(what=label):
                self.assertEqual(got[0], 403)
                self.assertNotIn("va1-", got[2])
        self.assertEqual(self.get(token, method="POST")[0], 405)
        for path in ("/instance/service-accounts/default/identity?audience=x", "/instance/service-accounts/other/token", "/instance/disks", "/instance/service-accounts/default/token/x", "/../v1/x"):
            self.assertEqual(self.get(self.BASE + path)[0], 404, path)

    def test_a_pass_buys_no_pass(self):
        """As proxy credentials a pass names its client as well, but it does not renew itself."""
        token = self.fresh_pass()
        for account in ("default", self.info["client_email"]):
            for path in ("/token", "/token/", "/token?scopes=x"):
                status, _headers, body = self.get(f"{self.BASE}/instance/service-accounts/{account}{path}", token=token)
                self.assertEqual(status, 403)
                self.assertNotIn("va1-", body)
        status, _headers, body = self.get(self.BASE + "/instance/service-accounts/default/email", token=token)
        self.assertEqual((status, body), (200, self.info["client_email"]))


class NoMetadata(Case):
    """Off, as it is from the start."""

    def test_it_is_as_unreachable_as_any_metadata_server(self):
        for host in ("metadata.google.internal", "169.254.169.254"):
            status = Metadata.get(self, Metadata.BASE + "/instance/service-accounts/default/token", headers=Metadata.FLAVOR, host=host)[0]
            self.assertEqual(status, 403)
        self.assertEqual(Metadata.get(self, Metadata.BASE + "/instance", headers=Metadata.FLAVOR, host=None)[0], 404)

    basic = staticmethod(Metadata.basic)
