"""What happens when a host, an account or the token endpoint fails."""
import contextlib
import json
import os
import re
import shutil
import time

import answers
import client
import pki
from fakedns import FakeDns
from harness import (ALICE, BODY, CLAUDE, CLAUDE_BODY, BOB, GEMINI, GENERATE, MODEL, OAUTH, STREAM, VERTEX, Lab, LabCase, email,
                     shared_keys, slow, until)

LONG = MODEL.format("us-central1", "google", "veo-3.1", "predictLongRunning")
DOWN = "asia-east1-aiplatform.googleapis.com"


class Accounts(LabCase):
    """Faults of one account among two."""

    FRESH = True

    def answered(self):
        """[(account number, status)] of the API requests that the cloud saw."""
        return [(r["account"] and int(r["account"].split("@")[0].split("-")[1]), r["status"])
                for r in self.cloud.log() if r["host"] != OAUTH]

    def cooldowns(self):
        return self.lab.query("select account, model, until, reason from cooldown")

    def only(self, number):
        """All weight on one account; the other stays in reserve with next to none."""
        other = 3 - number
        self.lab.cs("pool", "set", "gemini", f"acct-{number}=1000000", f"acct-{other}=0.001")
        time.sleep(1.1)

    def test_429_on_one_account_goes_to_the_other(self):
        self.only(1)
        self.cloud.fail("429", account=email(1), times=-1, host=VERTEX)
        response = self.lab.ask(token=ALICE)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", BODY))
        self.assertEqual(self.answered(), [(1, 429), (2, 200)])
        rows = until(self.cooldowns, 2)
        self.assertEqual([r["account"] for r in rows], ["acct-1"])
        self.assertTrue(3 <= rows[0]["until"] - time.time() <= 6, rows)
        self.assertIn("429", rows[0]["reason"])
        for _ in range(3):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.answered()[2:], [(2, 200)] * 3)

    def test_retry_after_sets_the_cooldown(self):
        self.only(1)
        self.cloud.fail("429", account=email(1), retry_after=30, host=VERTEX)
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        rows = until(self.cooldowns, 2)
        self.assertTrue(25 <= rows[0]["until"] - time.time() <= 31, rows)

    @slow
    def test_repeated_429_doubles_up_to_a_minute(self):
        lab = self.lab
        lab.cs("account", "set", "acct-2", "state=off")
        time.sleep(1.1)
        self.cloud.fail("429", account=email(1), times=-1, host=VERTEX)
        spans = []
        for _ in range(3):
            self.assertEqual(lab.ask(token=ALICE).status, 429)
            rows = until(lambda: [r for r in self.cooldowns() if r["until"] > time.time()], 2)
            self.assertTrue(rows, f"no cool-down after {spans}")
            spans.append(rows[0]["until"] - time.time())
            time.sleep(max(0.0, rows[0]["until"] - time.time()) + 1.1)
        self.assertTrue(3 <= spans[0] <= 6 and 8 <= spans[1] <= 11 and 18 <= spans[2] <= 21, spans)

    def test_529_and_503(self):
        self.only(1)
        self.cloud.fail("503", account=email(1), host=VERTEX)
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.answered(), [(1, 503), (2, 200)])
        time.sleep(0.5)
        self.assertEqual(self.cooldowns(), [])
        self.cloud.reset()
        self.cloud.fail("529", account=email(1), host=VERTEX)
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.answered(), [(1, 529), (2, 200)])
        rows = until(self.cooldowns, 2)
        self.assertEqual([r["account"] for r in rows], ["acct-1"])
        self.assertTrue(3 <= rows[0]["until"] - time.time() <= 6, rows)

    def test_all_accounts_refusing_shows_the_providers_answer(self):
        self.cloud.fail("429", times=-1, host=VERTEX)
        response = self.lab.ask(token=ALICE)
        self.assertEqual(response.status, 429)
        self.assertEqual(sorted(self.answered()), [(1, 429), (2, 429)])
        again = self.lab.ask(token=ALICE)
        self.assertOwnError(again, 503, "vertex")
        self.assertTrue(1 <= int(again.one("retry-after")) <= 6)
        self.assertEqual(len(self.answered()), 2)

    def test_a_cleared_cooldown_serves_at_once(self):
        self.lab.cs("account", "set", "acct-2", "state=off")
        time.sleep(1.1)
        self.cloud.fail("429", account=email(1), retry_after=50, host=VERTEX)
        self.lab.ask(token=ALICE)
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 503, 2))
        self.lab.cs("account", "clear", "acct-1")
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 2))

    def test_401_once_is_minted_anew_on_the_same_account(self):
        self.only(1)
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.cloud.expire()
        before = self.cloud.stats()["mints"][email(1)]
        response = self.lab.ask(token=ALICE)
        self.assertStatus(response, 200)
        self.assertEqual(self.answered(), [(1, 200), (1, 401), (1, 200)])
        self.assertEqual(self.cloud.stats()["mints"][email(1)], before + 1)
        self.assertEqual(self.cooldowns(), [])

    def test_a_second_401_cools_the_account(self):
        self.only(1)
        self.cloud.fail("401", account=email(1), times=-1, host=VERTEX)
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.answered(), [(1, 401), (1, 401), (2, 200)])
        rows = until(self.cooldowns, 2)
        self.assertEqual([r["account"] for r in rows], ["acct-1"])
        self.assertIn("401", rows[0]["reason"])

    def test_other_client_errors_are_passed_on_untouched(self):
        self.cloud.fail("403", host=VERTEX)
        response = self.lab.ask(token=ALICE)
        self.assertStatus(response, 403)
        self.assertIn(b"The caller does not have permission", response.body)
        self.assertEqual(len(self.answered()), 1)

    def test_a_stream_that_is_killed_never_ends_cleanly(self):
        body = json.dumps({"fake": {"events": 50, "bytes": 1000, "gap_ms": 5}}).encode()
        for how in ("fin", "rst", "close"):
            for path in (STREAM, STREAM.replace("?alt=sse", "")):
                with self.subTest(how=how, path=path):
                    self.cloud.fail("cut", host=VERTEX, bytes=20000, how=how)
                    with self.assertRaises(client.Broken) as caught:
                        self.lab.ask(path=path, body=body, token=ALICE)
                    self.assertLessEqual(len(caught.exception.partial), 20000)
        self.cloud.fail("cut", host=VERTEX, bytes=20000, how="fin")
        with self.assertRaises(client.Broken):
            self.lab.ask(body=b'{"fake":{"bytes":100000}}', token=ALICE)
        self.assertEqual(self.cooldowns(), [])

    def test_a_connection_lost_before_the_answer_is_retried_when_that_is_safe(self):
        self.cloud.fail("cut-before-head", host=VERTEX, how="rst")
        self.assertIn(self.lab.ask(token=ALICE).status, (200, 502))
        self.assertEqual(self.cooldowns(), [])

    def test_work_that_may_have_begun_is_not_sent_twice(self):
        for kind in ("cut-before-head", "cut-on-head"):
            with self.subTest(kind=kind):
                self.cloud.reset()
                self.cloud.fail(kind, host=VERTEX, how="rst")
                response = self.lab.ask(path=LONG, body=b'{"instances":[{"prompt":"once"}]}', token=ALICE)
                self.assertStatus(response, 502)
                self.assertEqual(len(self.cloud.log(VERTEX)), 1)
        self.cloud.reset()
        self.cloud.fail("503", host=VERTEX)
        self.assertStatus(self.lab.ask(path=LONG, body=b"{}", token=ALICE), 503)
        self.assertEqual(len(self.cloud.log(VERTEX)), 1)

    def test_work_that_was_refused_is_sent_to_another_account(self):
        for kind in ("429", "401"):
            with self.subTest(kind=kind):
                self.cloud.reset()
                self.cloud.fail(kind, host=VERTEX)
                self.assertStatus(self.lab.ask(path=LONG, body=b'{"instances":[{"prompt":"%s"}]}' % kind.encode(), token=ALICE),
                                  200)
                self.assertEqual([s for _, s in self.answered()], [int(kind), 200])

    def test_an_upload_with_bytes_sent_is_not_repeated(self):
        start = [("x-goog-upload-protocol", "resumable"), ("x-goog-upload-command", "start")]
        response = self.lab.ask(GEMINI, "/upload/v1beta/files", b"{}", start, ALICE)
        self.assertStatus(response, 200)
        target = response.one("x-goog-upload-url").split(GEMINI, 1)[1]
        self.cloud.reset()
        self.cloud.fail("cut-before-head", host=GEMINI)
        finish = [("x-goog-upload-command", "upload, finalize"), ("x-goog-upload-offset", "0")]
        self.assertStatus(self.lab.ask(GEMINI, target, b"x" * 5000, finish, ALICE), 502)
        self.assertEqual(len(self.cloud.log(GEMINI)), 1)

    def test_a_body_too_large_to_keep_is_not_retried(self):
        self.cloud.fail("503", host=VERTEX)
        body = b'{"pad":"' + b"x" * 1_500_000 + b'"}'
        self.assertStatus(self.lab.ask(body=body, token=ALICE), 503)
        self.assertEqual(len(self.cloud.log(VERTEX)), 1)
        self.assertStatus(self.lab.ask(body=body, token=ALICE), 200)

    def test_hostile_answers_are_not_relayed(self):
        for kind, more in (("bad-status-line", {}), ("endless-head", {}), ("1xx-flood", {"count": 2000}),
                           ("raw", {"data": "SFRUUC8xLjEgMjAwIE9LDQpDb250ZW50LUxlbmd0aDogMg0KVHJhbnNmZXItRW5jb2Rpbmc6IGNodW5rZWQNCg0Ke30="})):
            with self.subTest(kind=kind):
                self.cloud.reset()
                self.cloud.fail(kind, host=VERTEX, times=-1, **more)
                self.assertOwnError(self.lab.ask(token=ALICE), 502, "vertex")
        self.cloud.reset()
        self.cloud.fail("stray-bytes", host=VERTEX)
        with self.lab.tunnel() as tunnel:
            headers = [("authorization", "Bearer " + ALICE)]
            for number in range(4):
                body = b'{"n":%d}' % number
                response = tunnel.ask("POST", GENERATE, body, headers)
                self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", body))
        self.cloud.reset()
        self.cloud.fail("bad-chunk", host=VERTEX, bytes=200)
        with self.assertRaises(client.Broken):
            self.lab.ask(path=STREAM, token=ALICE)
        self.cloud.fail("length-long", host=VERTEX)
        with self.assertRaises(client.Broken):
            self.lab.ask(token=ALICE)

    def test_idle_upstream_connections_that_the_server_closed(self):
        for _ in range(5):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
            self.cloud.control("POST", "/close")
            time.sleep(0.05)
        self.assertStatus(self.lab.ask(path=LONG, body=b"{}", token=ALICE), 200)


class Endpoint(LabCase):
    """Faults of the token endpoint."""

    FRESH = True
    LAB = {"conf": {"oauth": {"timeout": 2}}}

    def test_a_dead_key_among_good_ones(self):
        self.lab.stop()
        self.cloud.account(email(1), "deleted")
        self.lab.start()
        for _ in range(30):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        stats = self.cloud.stats()
        self.assertLessEqual(stats["mint_refusals"][email(1)], 3)
        self.assertEqual(stats["mints"][email(2)], 1)
        self.assertTrue(self.told("(?i)not.found|invalid_grant", "account", "list"))
        self.assertTrue(self.told("(?i)not.found|invalid_grant", "tokens"))
        self.assertTrue(all(r["last_error"] for r in self.lab.query("select * from token where account = 'acct-1'")))

    def told(self, pattern, *command):
        """A row about acct-1 says PATTERN, once the store has heard of it: requests do not wait for that."""
        return until(lambda: any(re.search(pattern, row) for row in map(json.dumps, self.lab.rows(*command)) if "acct-1" in row))

    def test_a_key_that_no_longer_matches(self):
        self.lab.stop()
        folder = self.lab.path("rotated")
        path = pki.make_account(folder, "acct-1")
        with open(path, encoding="utf-8") as f:
            data = json.load(f)
        with open(os.path.join(shared_keys(), "accounts", "acct-1.json"), encoding="utf-8") as f:
            data["private_key_id"] = json.load(f)["private_key_id"]
        pki.write_private(path, json.dumps(data).encode())
        self.lab.cs("account", "rm", "acct-1", "--yes")
        self.lab.cs("account", "add", path, "--name", "acct-1", "--pool", "gemini")
        shutil.rmtree(folder)
        self.lab.start()
        for _ in range(20):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertLessEqual(self.cloud.stats()["mint_refusals"][email(1)], 3)
        self.assertTrue(self.told("invalid_grant|[Ss]ignature", "account", "list"))

    def test_odd_successes_never_reach_a_request(self):
        for kind in ("token-garbage", "token-huge", "token-crlf", "token-no-token", "token-empty", "token-negative-expiry"):
            with self.subTest(kind=kind):
                self.lab.fresh()
                self.cloud.fail(kind, host=OAUTH, times=-1)
                self.assertOwnError(self.lab.ask(token=ALICE), 503, "vertex")
                self.assertEqual(self.cloud.log(VERTEX), [])
                self.assertLess(self.cloud.stats()["mint_attempts"], 12)
        self.lab.fresh()
        self.cloud.fail("token-string-expiry", host=OAUTH, times=-1)
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_endpoint_down_then_up(self):
        self.cloud.fail("tls-refuse", host=OAUTH, times=-1)
        begin = time.monotonic()
        response = self.lab.ask(token=ALICE)
        self.assertOwnError(response, 503, "vertex")
        self.assertTrue(response.one("retry-after"))
        self.assertLess(time.monotonic() - begin, 12)
        for _ in range(10):
            self.lab.ask(token=ALICE)
        self.assertLess(self.cloud.stats()["handshakes"][OAUTH], 20)
        self.cloud.heal()
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 15, 0.3))

    def test_a_slow_endpoint_costs_its_deadline_once(self):
        self.cloud.fail("stall", host=OAUTH, times=-1)
        begin = time.monotonic()
        self.assertOwnError(self.lab.ask(token=ALICE), 503, "vertex")
        self.assertLess(time.monotonic() - begin, 8)

    def test_a_running_token_survives_a_dead_endpoint(self):
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.cloud.fail("500", host=OAUTH, times=-1)
        statuses = [self.lab.ask(token=ALICE).status for _ in range(10)]
        self.assertEqual(set(statuses), {200})

    def test_a_clock_that_is_wrong_is_corrected_from_the_date_header(self):
        self.cloud.config(skew=-1800)
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        refusals = self.cloud.stats()["mint_refusals"]
        self.assertLessEqual(sum(refusals.values()), 2)


class Hosts(LabCase):
    """Faults of a host are no account's fault."""

    @classmethod
    def setUpClass(cls):
        cls.dns = FakeDns({"two.test": ["127.0.0.3", "127.0.0.2"], "dead.test": ["127.0.0.3"]})
        cls.lab = Lab(conf={"upstream": {"dns": [f"127.0.0.1:{cls.dns.port}"], "connect_timeout": 3}},
                      connect_to=[f"{DOWN}:443:127.0.0.1:9",
                                  "asia-east2-aiplatform.googleapis.com:443:two.test:{p[main]}"])

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.dns.close()

    def test_a_host_that_is_down_is_502_and_cools_nobody(self):
        path = GENERATE.replace("us-central1", "asia-east1")
        for _ in range(3):
            self.assertOwnError(self.lab.ask(DOWN, path, token=ALICE), 502, "vertex")
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.lab.query("select * from cooldown"), [])

    def test_a_second_address_serves_when_the_first_does_not(self):
        host = "asia-east2-aiplatform.googleapis.com"
        path = GENERATE.replace("us-central1", "asia-east2")
        for _ in range(3):
            self.assertStatus(self.lab.ask(host, path, token=ALICE), 200)
        self.assertEqual({r["listener"] for r in self.cloud.log(host)}, {"second"})
        self.assertEqual(self.lab.query("select * from cooldown"), [])

    def test_a_host_that_refuses_tls(self):
        self.cloud.fail("tls-refuse", host="us-east1-aiplatform.googleapis.com", times=-1)
        response = self.lab.ask("us-east1-aiplatform.googleapis.com", GENERATE.replace("us-central1", "us-east1"), token=ALICE)
        self.assertOwnError(response, 502, "vertex")

    def test_claude_overload_goes_back_to_the_client_when_alone(self):
        self.cloud.fail("529", host=CLAUDE)
        response = self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, [("anthropic-version", "2023-06-01")], BOB)
        self.assertEqual(response.status, 529)
        self.assertEqual(json.loads(response.body)["error"]["type"], "overloaded_error")
        with contextlib.suppress(Exception):
            self.lab.cs("account", "clear", "claude-key")


class Timeouts(LabCase):
    LAB = {"conf": {"upstream": {"read_timeout": 2}, "retry": {"attempts": 1}}}

    def test_a_silent_upstream_is_504(self):
        self.cloud.fail("stall", host=VERTEX)
        begin = time.monotonic()
        self.assertOwnError(self.lab.ask(token=ALICE), 504, "vertex")
        self.assertTrue(1.5 <= time.monotonic() - begin <= 6)

    def test_a_stream_that_falls_silent_is_broken_off(self):
        self.cloud.fail("stall-body", host=VERTEX, bytes=300)
        with self.assertRaises(client.Broken):
            self.lab.ask(path=STREAM, token=ALICE)

    def test_a_slow_but_living_stream_outlasts_the_timeout(self):
        body = json.dumps({"fake": {"events": 8, "gap_ms": 500}}).encode()
        response = self.lab.ask(path=STREAM, body=body, token=ALICE)
        self.assertEqual(response.body, answers.expected("gemini-sse", "gemini-2.5-pro", body))
