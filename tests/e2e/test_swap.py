"""Where a placeholder may stand, what takes its place, and what the proxy answers by itself."""
import base64
import contextlib
import json
import socket
import time

import answers
import client
from harness import (ALICE, BODY, BOB, CLAUDE, CLAUDE_BODY, CLAUDE_KEY, GEMINI, GEMINI_PATH, GENERATE, MODEL, OAUTH, STREAM,
                     VERTEX, LabCase, email, query_key, until)

BEARER = [("authorization", "Bearer " + ALICE)]
STRANGER = "gemini-nobody-00000000000"


class Positions(LabCase):
    """The four places of a credential, alone and together."""

    def seen(self, host):
        row = [r for r in self.cloud.log(host) if r["host"] == host][-1]
        return row, dict(map(tuple, row["headers"]))

    def test_each_position_is_swapped_for_one_bearer(self):
        for host, path in ((VERTEX, GENERATE), (GEMINI, GEMINI_PATH)):
            for carrier in ("authorization", "x-api-key", "x-goog-api-key", "?key"):
                with self.subTest(host=host, carrier=carrier):
                    self.cloud.reset()
                    if carrier == "?key":
                        response = self.lab.ask(host, query_key(path, ALICE))
                    else:
                        response = self.lab.ask(host, path, token=ALICE, carrier=carrier)
                    self.assertStatus(response, 200)
                    self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", BODY))
                    self.assertTrue(response.one("x-credswap-request-id"))
                    row, headers = self.seen(host)
                    self.assertTrue(headers["authorization"].startswith("Bearer ya29.c."))
                    self.assertNotIn("x-api-key", headers)
                    self.assertNotIn("x-goog-api-key", headers)
                    self.assertNotIn("key=", row["target"])
                    self.assertCleanCloud()

    def test_an_api_key_account_uses_its_own_header(self):
        version = [("anthropic-version", "2023-06-01")]
        for carrier in ("x-api-key", "authorization"):
            with self.subTest(carrier=carrier):
                response = self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, version, BOB, carrier=carrier)
                self.assertStatus(response, 200)
                _, headers = self.seen(CLAUDE)
                self.assertEqual(headers["x-api-key"], CLAUDE_KEY)
                self.assertNotIn("authorization", headers)
        self.assertCleanCloud()

    def test_other_query_members_and_order_stay(self):
        target = STREAM.replace("?alt=sse", "?a=1&key=" + ALICE + "&alt=sse&b=%2F+x")
        self.assertStatus(self.lab.ask(path=target), 200)
        row, _ = self.seen(VERTEX)
        self.assertEqual(row["target"].partition("?")[2], "a=1&alt=sse&b=%2F+x")

    def test_the_same_placeholder_twice_is_fine(self):
        headers = BEARER + [("x-goog-api-key", ALICE)]
        self.assertStatus(self.lab.ask(path=query_key(GENERATE, ALICE), headers=headers), 200)
        self.assertCleanCloud()

    def test_two_different_candidates_are_refused(self):
        for headers in (BEARER + [("x-api-key", BOB)], BEARER + [("x-goog-api-key", STRANGER)],
                        BEARER + [("authorization", "Bearer " + STRANGER)]):
            with self.subTest(headers=headers):
                self.cloud.reset()
                self.assertOwnError(self.lab.ask(headers=headers), 400, "vertex")
                self.assertNothingForwarded()

    def test_a_placeholder_anywhere_else_is_refused(self):
        raw = ALICE.encode()
        percent = "".join(f"%{b:02X}" for b in raw)
        cases = {
            "cookie": [("cookie", "session=" + ALICE)], "referer": [("referer", f"https://x.test/?t={ALICE}")],
            "user-agent": [("user-agent", "tool/" + ALICE)], "custom": [("x-debug", ALICE)],
            "percent": [("x-debug", percent)], "half percent": [("x-debug", ALICE[:9] + percent[27:])],
            "base64": [("x-debug", base64.b64encode(raw).decode())],
            "basic": [("x-debug", "Basic " + base64.b64encode(b"user:" + raw).decode())],
            "base64url": [("x-debug", base64.urlsafe_b64encode(b"ab" + raw).decode().rstrip("="))],
            "underscore": [("x_api_key", ALICE)], "name": [(ALICE, "1")],
        }
        for label, headers in cases.items():
            with self.subTest(position=label):
                self.cloud.reset()
                response = self.lab.ask(headers=BEARER + headers)
                self.assertOwnError(response, 400, "vertex")
                self.assertNothingForwarded()
        for label, path in {"path": GENERATE.replace("gemini-2.5-pro", ALICE), "other query": GENERATE + "?trace=" + ALICE,
                            "percent query": GENERATE + "?trace=" + percent}.items():
            with self.subTest(position=label):
                self.cloud.reset()
                self.assertStatus(self.lab.ask(path=path, headers=BEARER), 400)
                self.assertNothingForwarded()

    def test_placeholders_in_trailers_do_not_leave(self):
        body = b"%x\r\n%s\r\n0\r\nx-trace: %s\r\n\r\n" % (len(BODY), BODY, ALICE.encode())
        response = self.lab.ask(body=body, headers=BEARER + [("transfer-encoding", "chunked")])
        self.assertIn(response.status, (200, 400))
        self.assertEqual(self.cloud.violations(), [])

    def test_what_a_proxy_adds_is_stripped(self):
        headers = BEARER + [("x-forwarded-for", "1.2.3.4"), ("x-real-ip", "1.2.3.4"), ("via", "1.1 x"), ("forwarded", "for=x"),
                            ("proxy-connection", "keep-alive"), ("proxy-authorization", "Basic YTpi"), ("te", "trailers"),
                            ("x-goog-user-project", "foreign"), ("connection", "x-named"), ("x-named", "1"), ("x-kept", "v")]
        self.assertStatus(self.lab.ask(headers=headers), 200)
        _, seen = self.seen(VERTEX)
        self.assertNotIn("x-named", seen)
        self.assertEqual(seen["x-kept"], "v")
        self.assertCleanCloud()

    def test_the_path_follows_the_account_and_the_host(self):
        cases = [(VERTEX, "us-central1"), ("europe-west4-aiplatform.googleapis.com", "europe-west4"),
                 ("aiplatform.googleapis.com", "global"), ("aiplatform.us.rep.googleapis.com", "us"),
                 ("aiplatform.eu.rep.googleapis.com", "eu")]
        for host, location in cases:
            with self.subTest(host=host):
                path = MODEL.format(location, "google", "gemini-2.5-pro", "generateContent")
                self.assertStatus(self.lab.ask(host, path, token=ALICE), 200)
                row, _ = self.seen(host)
                project = row["account"].split("@")[1].split(".")[0]
                self.assertEqual(row["target"], path.replace("client-project", project))
        self.assertCleanCloud()

    def test_body_bytes_are_not_touched(self):
        body = b'{"contents" : [ {"parts":[{"text":"\\u00e4\xc3\xa4 1e400 12345678901234567890"}]} ],\n "x":1.0}'
        self.assertStatus(self.lab.ask(body=body, token=ALICE), 200)
        row, _ = self.seen(VERTEX)
        self.assertEqual(row["body"].encode("latin-1"), body)

    def test_curl_through_https_proxy_in_both_protocols(self):
        for flag in ("--http1.1", "--http2"):
            with self.subTest(flag=flag):
                done = self.lab.curl(flag, "-w", "\n%{http_code}", "-H", "x-goog-api-key: " + ALICE, "-H",
                                     "content-type: application/json", "-d", BODY.decode(), f"https://{GEMINI}{GEMINI_PATH}")
                self.assertEqual(done.returncode, 0, done.stderr)
                body, _, code = done.stdout.rpartition(b"\n")
                self.assertEqual((code, body), (b"200", answers.expected("gemini", "gemini-2.5-pro", BODY)))
        self.assertCleanCloud()

    def test_models_and_streams_of_all_apis(self):
        vertex_claude = json.dumps({"anthropic_version": "vertex-2023-10-16", "max_tokens": 5, "messages": []}).encode()
        claude = MODEL.format("us-central1", "anthropic", "claude-haiku-4-5@20251001", "{}")
        cases = [(GEMINI, GEMINI_PATH.replace("generate", "streamGenerate") + "?alt=sse", BODY, ALICE, "gemini-sse", "gemini-2.5-pro"),
                 (GEMINI, GEMINI_PATH.replace("generate", "streamGenerate"), BODY, ALICE, "gemini-array", "gemini-2.5-pro"),
                 (VERTEX, STREAM, BODY, ALICE, "gemini-sse", "gemini-2.5-pro"),
                 (VERTEX, GENERATE.replace("generateContent", "countTokens"), BODY, ALICE, "count-gemini", ""),
                 (VERTEX, GENERATE.replace("generateContent", "predict"), BODY, ALICE, "predict", ""),
                 (VERTEX, claude.format("rawPredict"), vertex_claude, BOB, "claude", "claude-haiku-4-5@20251001"),
                 (VERTEX, claude.format("streamRawPredict"), vertex_claude, BOB, "claude-sse", "claude-haiku-4-5@20251001"),
                 (VERTEX, MODEL.format("us-central1", "anthropic", "count-tokens", "rawPredict"), CLAUDE_BODY, BOB,
                  "count-claude", "")]
        for host, path, body, token, kind, model in cases:
            with self.subTest(kind=kind, host=host):
                response = self.lab.ask(host, path, body, token=token)
                self.assertStatus(response, 200)
                self.assertEqual(response.body, answers.expected(kind, model, body))
        for path, kind, more in (("/v1/messages", "claude", b""), ("/v1/messages", "claude-sse", b',"stream":true'),
                                 ("/v1/messages/count_tokens", "count-claude", b""), ("/v1/messages?beta=true", "claude", b"")):
            with self.subTest(path=path, kind=kind):
                body = CLAUDE_BODY[:-1] + more + b"}"
                response = self.lab.ask(CLAUDE, path, body, [("anthropic-version", "2023-06-01")], BOB, carrier="x-api-key")
                self.assertStatus(response, 200)
                self.assertEqual(response.body, answers.expected(kind, "claude-haiku-4-5", body))
        self.assertCleanCloud()


class Refusals(LabCase):
    """The table of the proxy's own answers."""

    def test_no_token_and_an_unknown_one(self):
        for host, path, body, api in ((VERTEX, GENERATE, BODY, "vertex"), (GEMINI, GEMINI_PATH, BODY, "gemini"),
                                      (CLAUDE, "/v1/messages", CLAUDE_BODY, "anthropic")):
            with self.subTest(host=host):
                self.assertOwnError(self.lab.ask(host, path, body), 401, api)
                self.assertOwnError(self.lab.ask(host, path, body, token=STRANGER), 401, api)
                self.assertOwnError(self.lab.ask(host, path, body, token=ALICE + "x"), 401, api)
                self.assertOwnError(self.lab.ask(host, path, body, token=ALICE.upper()), 401, api)
        self.assertNothingForwarded()

    def test_the_connection_lives_on_after_a_refusal(self):
        with self.lab.tunnel() as tunnel:
            self.assertStatus(tunnel.ask("POST", GENERATE, BODY), 401)
            self.assertStatus(tunnel.ask("POST", GENERATE, BODY, BEARER), 200)

    def test_disabled_and_expired_clients(self):
        lab = self.lab
        lab.add_client("carol", "gemini", "gemini-carol-11112222333344445555")
        lab.add_client("dave", "gemini", "gemini-dave-66667777888899990000", "--expires", "1s")
        self.assertTrue(until(lambda: lab.ask(token="gemini-carol-11112222333344445555").status == 200, 3))
        lab.cs("client", "set", "carol", "state=off")
        self.assertTrue(until(lambda: lab.ask(token="gemini-carol-11112222333344445555").status == 403, 3))
        self.assertTrue(until(lambda: lab.ask(token="gemini-dave-66667777888899990000").status == 403, 4))
        self.assertOwnError(lab.ask(token="gemini-dave-66667777888899990000"), 403, "vertex")

    def test_a_revoked_client_is_unknown(self):
        token = "gemini-erin-aaaabbbbccccddddeeee"
        self.lab.add_client("erin", "gemini", token)
        self.assertTrue(until(lambda: self.lab.ask(token=token).status == 200, 3))
        self.lab.cs("client", "revoke", "erin", "--yes")
        self.assertTrue(until(lambda: self.lab.ask(token=token).status in (401, 403), 3))

    def test_a_client_limited_to_models(self):
        token = "gemini-frank-ffff0000ffff0000ffff"
        self.lab.add_client("frank", "gemini", token, "--models", "gemini-2.5-*")
        self.assertTrue(until(lambda: self.lab.ask(token=token).status == 200, 3))
        self.cloud.reset()
        response = self.lab.ask(path=GENERATE.replace("gemini-2.5-pro", "gemini-3-pro"), token=token)
        self.assertOwnError(response, 403, "vertex")
        for verb in ("batchGenerateContent", "asyncBatchEmbedContent"):
            self.assertOwnError(self.lab.ask(GEMINI, f"/v1beta/models/gemini-2.5-pro:{verb}", b'{"batch":{}}', token=token), 403, "gemini")
        self.assertNothingForwarded()

    def test_a_client_over_its_limit(self):
        token = "gemini-grace-12341234123412341234"
        self.lab.add_client("grace", "gemini", token, "--rpm", "2")
        self.assertTrue(until(lambda: self.lab.ask(token=token).status == 200, 3))
        statuses = [self.lab.ask(token=token) for _ in range(4)]
        refused = [r for r in statuses if r.status == 429]
        self.assertTrue(refused, [r.status for r in statuses])
        self.assertOwnError(refused[-1], 429, "vertex")
        self.assertTrue(0 < int(refused[-1].one("retry-after")) <= 60)

    def test_paths_outside_the_rule(self):
        cases = [(VERTEX, "/telemetry/batch", ALICE, "vertex"), (GEMINI, "/v1beta/corpora", ALICE, "gemini"),
                 (CLAUDE, "/api/event_logging/v2/batch", BOB, "anthropic"), (CLAUDE, "/api/claude_code/settings", BOB, "anthropic"),
                 (VERTEX, "/v1/projects/p/locations/us-central1/datasets", ALICE, "vertex"), (VERTEX, "/", ALICE, "vertex"),
                 (VERTEX, GENERATE.replace("/v1/", "/v1/../telemetry/"), ALICE, "vertex")]
        for host, path, token, api in cases:
            with self.subTest(path=path):
                response = self.lab.ask(host, path, b"{}", token=token)
                if ".." in path and response.status == 400:
                    continue
                self.assertOwnError(response, 404, api)
        self.assertNothingForwarded()

    def test_a_google_account_cannot_serve_the_claude_api(self):
        response = self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, [("anthropic-version", "2023-06-01")], ALICE)
        self.assertOwnError(response, 503, "anthropic")
        self.assertNothingForwarded()

    def test_methods_that_echo_are_refused(self):
        for method in ("TRACE", "TRACK", "CONNECT"):
            with self.subTest(method=method):
                response = self.lab.ask(method=method, headers=BEARER, body=b"")
                self.assertTrue(400 <= response.status < 502, response)
                self.assertNothingForwarded()


class Pools(LabCase):
    """Who may serve, decided by weights, states and models."""

    FRESH = True

    def test_all_weights_zero_drained_or_off(self):
        lab = self.lab
        self.assertStatus(lab.ask(token=ALICE), 200)
        steps = [("weights", "update pool_member set weight=0 where pool='gemini'", "update pool_member set weight=1")]
        for label, down, up in steps:
            lab.sql(down)
            self.assertTrue(until(lambda: lab.ask(token=ALICE).status == 503, 1.5), label)
            response = lab.ask(token=ALICE)
            self.assertOwnError(response, 503, "vertex")
            self.assertGreater(int(response.one("retry-after")), 0)
            lab.sql(up)
            self.assertTrue(until(lambda: lab.ask(token=ALICE).status == 200, 1.5), label)
        for state in ("drain", "off"):
            for number in (1, 2):
                lab.cs("account", "set", f"acct-{number}", f"state={state}")
            self.assertTrue(until(lambda: lab.ask(token=ALICE).status == 503, 1.5), state)
            self.assertIn("2", self.assertOwnError(lab.ask(token=ALICE), 503, "vertex"))
            for number in (1, 2):
                lab.cs("account", "set", f"acct-{number}", "state=up")
            self.assertTrue(until(lambda: lab.ask(token=ALICE).status == 200, 1.5), state)

    def test_a_model_that_no_account_serves(self):
        lab = self.lab
        for number in (1, 2):
            lab.cs("model", "set", f"acct-{number}", "gemini-2.5-pro", VERTEX)
        other = GENERATE.replace("gemini-2.5-pro", "gemini-9")
        self.assertTrue(until(lambda: lab.ask(path=other, token=ALICE).status == 404, 2))
        self.cloud.reset()
        self.assertOwnError(lab.ask(path=other, token=ALICE), 404, "vertex")
        self.assertNothingForwarded()
        self.assertStatus(lab.ask(token=ALICE), 200)

    def test_a_model_row_names_the_domain_and_the_location(self):
        lab = self.lab
        lab.cs("model", "set", "acct-1", "gemini-2.5-pro", "europe-west4-aiplatform.googleapis.com")
        lab.cs("pool", "set", "gemini", "acct-1=1", "acct-2=0")

        def moved():
            self.cloud.reset()
            self.assertStatus(lab.ask(token=ALICE), 200)
            return self.cloud.log("europe-west4-aiplatform.googleapis.com")
        rows = until(moved, 3)
        self.assertTrue(rows)
        self.assertIn("/projects/acct-1-project/locations/europe-west4/", rows[0]["target"])
        self.assertEqual(self.cloud.violations(), [])

    def test_a_model_row_cannot_lead_a_token_astray(self):
        lab = self.lab
        lab.cs("model", "set", "acct-1", "gemini-2.5-pro", "tunnel.test", status=None)
        lab.sql("insert or replace into account_model(account, model, domain) values('acct-1', 'gemini-2.5-pro', 'tunnel.test')")
        time.sleep(1.1)
        for _ in range(10):
            lab.ask(token=ALICE)
        self.assertEqual(self.cloud.log("tunnel.test"), [])
        self.assertEqual(self.cloud.violations("token-astray"), [])

    def test_explain_names_the_choice(self):
        self.lab.cs("account", "set", "acct-2", "state=off")
        text = json.dumps(self.lab.cs_json("explain", "--client", "alice", "--model", "gemini-2.5-pro"))
        self.assertIn("acct-1", text)
        self.assertIn("acct-2", text)

    def test_operations_stay_with_their_account(self):
        lab = self.lab
        path = MODEL.format("us-central1", "google", "veo-3.1", "predictLongRunning")
        for number in range(6):
            response = lab.ask(path=path, body=b'{"instances":[{"prompt":"%d"}]}' % number, token=ALICE)
            self.assertStatus(response, 200)
            name = json.loads(response.body)["name"]
            fetch = json.dumps({"operationName": name}).encode()
            again = lab.ask(path=path.replace("predictLongRunning", "fetchPredictOperation"), body=fetch, token=ALICE)
            self.assertStatus(again, 200)

    def test_an_upload_stays_with_its_account(self):
        lab = self.lab
        for number in range(4):
            start = [("x-goog-upload-protocol", "resumable"), ("x-goog-upload-command", "start")]
            response = lab.ask(GEMINI, "/upload/v1beta/files", b"{}", start, ALICE, carrier="x-goog-api-key")
            self.assertStatus(response, 200)
            url = response.one("x-goog-upload-url")
            self.assertTrue(url.startswith(f"https://{GEMINI}/upload/"))
            finish = [("x-goog-upload-command", "upload, finalize"), ("x-goog-upload-offset", "0")]
            done = lab.ask(GEMINI, url.split(GEMINI, 1)[1], b"data%d" % number, finish, ALICE, carrier="x-goog-api-key")
            self.assertStatus(done, 200)
            name = json.loads(done.body)["file"]["name"]
            self.assertStatus(lab.ask(GEMINI, "/v1beta/" + name, b"", token=ALICE, method="GET"), 200)


class Gateway(LabCase):
    """Clients that cannot use a proxy name it as their base URL."""

    def direct(self, path, body, headers):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=15)) as sock:
            sock.sendall(client.request("POST", path, f"127.0.0.1:{self.lab.port}", headers, body))
            return client.Reader(sock).response()

    def test_gateway_paths_of_the_three_apis(self):
        version = [("anthropic-version", "2023-06-01")]
        response = self.direct("/anthropic/v1/messages", CLAUDE_BODY, [("x-api-key", BOB)] + version)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, answers.expected("claude", "claude-haiku-4-5", CLAUDE_BODY))
        response = self.direct("/gemini" + GEMINI_PATH, BODY, [("x-goog-api-key", ALICE)])
        self.assertStatus(response, 200)
        for prefix in ("/vertex", ""):
            with self.subTest(prefix=prefix):
                response = self.direct(prefix + GENERATE, BODY, BEARER)
                self.assertStatus(response, 200)
                self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", BODY))
        self.assertCleanCloud()

    def test_gateway_refuses_like_the_api(self):
        self.assertOwnError(self.direct("/anthropic/v1/messages", CLAUDE_BODY, []), 401, "anthropic")
        self.assertOwnError(self.direct("/vertex" + GENERATE, BODY, []), 401, "vertex")
        self.assertOwnError(self.direct("/anthropic/api/telemetry", CLAUDE_BODY, [("x-api-key", BOB)]), 404, "anthropic")
        self.assertNothingForwarded()


class Prepared(LabCase):
    """A small lab for questions about accounts."""

    LAB = {"accounts": 1}

    def test_the_account_listing_shows_what_was_added(self):
        rows = {r["name"]: r for r in self.lab.rows("account", "list")}
        self.assertEqual(set(rows), {"acct-1", "claude-key"})
        self.assertNotIn("private_key", json.dumps(rows).replace("private_key_id", ""))
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.cloud.stats()["mints"][email(1)], 1)
        tokens = until(lambda: self.lab.query("select * from token"), 3)
        self.assertTrue(tokens)
        self.assertNotIn("ya29.", repr(tokens))
        self.assertEqual([r["host"] for r in self.cloud.log(OAUTH)], [OAUTH])
