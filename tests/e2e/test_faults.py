"""What the machine and the network around do wrong: no descriptors, a clock that jumps, name servers and a token endpoint out of order."""
import concurrent.futures
import json
import os
import resource
import socket
import threading
import time

import client
from fakedns import FakeDns
from harness import (ALICE, BODY, GEMINI, GEMINI_PATH, GENERATE, OAUTH, STREAM, VERTEX, Lab, LabCase, ShimCase, email, preload, shim, until)

BEARER = [("authorization", "Bearer " + ALICE)]


def together(lab, count):
    """The statuses of COUNT requests at once, each on a connection of its own."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [r.status for r in pool.map(lambda _: lab.ask(token=ALICE), range(count))]


class Descriptors(LabCase):
    LAB = {"accounts": 1, "claude": False, "conf": {"limits": {"idle_timeout": 60, "header_timeout": 60}}}

    def count(self):
        return len(os.listdir(f"/proc/{self.lab.daemon.pid}/fd"))

    def cpu_s(self):
        with open(f"/proc/{self.lab.daemon.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def limit(self, soft):
        hard = resource.prlimit(self.lab.daemon.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self.lab.daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
        return hard

    def test_none_left(self):
        lab, box = self.lab, {}
        body = json.dumps({"fake": {"events": 120, "gap_ms": 50}}).encode()

        def stream():
            try:
                box["events"] = lab.ask(path=STREAM, body=body, token=ALICE).status
            except Exception as error:  # the test shows it
                box["events"] = repr(error)
        thread = threading.Thread(target=stream)
        with lab.tunnel() as kept:
            thread.start()
            self.assertTrue(self.cloud.wait(lambda c: [r for r in c.log(VERTEX) if r["sent"]], 5))
            self.assertStatus(kept.ask("POST", GENERATE, BODY, BEARER), 200)  # its connection to the provider is free again, and stays
            with lab.tunnel("tunnel.test", tls=False) as blind, lab.tunnel(GEMINI) as other:
                hard = self.limit(self.count() + 20)
                crowd = [socket.create_connection(("127.0.0.1", lab.port), timeout=5) for _ in range(60)]
                try:
                    self.assertTrue(until(lambda: "accept_paused" in lab.log_text(), 5))
                    begin, used = time.monotonic(), self.cpu_s()
                    self.assertStatus(kept.ask("POST", GENERATE, BODY, BEARER), 200)
                    blind.send(b"\x16\x03\x01\x00\x05hello")
                    refused = other.ask("POST", GEMINI_PATH, BODY, [("x-goog-api-key", ALICE)])
                    message = self.assertOwnError(refused, 503, "gemini")
                    self.assertNotIn("no_descriptors", message)
                    time.sleep(2.0)
                    self.assertStatus(kept.ask("POST", GENERATE, BODY, BEARER), 200)
                    share = (self.cpu_s() - used) / (time.monotonic() - begin)
                    self.assertLess(share, 0.10, "it runs in circles")
                finally:
                    for connection in crowd:
                        connection.close()
                    self.limit(hard)
                self.assertTrue(until(lambda: self.served(), 4), "it does not accept again")
        thread.join()
        self.assertEqual(box["events"], 200)
        paused = [line for line in lab.log_text().splitlines() if "accept_paused" in line]
        self.assertLessEqual(len(paused), 4, paused)
        self.assertLess(lab.log_text().count("no_descriptors"), 10)

    def served(self):
        try:
            return self.lab.ask(token=ALICE, timeout=3).status == 200
        except (OSError, client.Broken):
            return False

    def test_a_tunnel_without_a_descriptor_is_503(self):
        with client.Plain(("127.0.0.1", self.lab.port)) as sock:
            sock.send(b"CONNECT tunnel.test:443 HTTP/1.1\r\n")
            time.sleep(0.3)
            hard = self.limit(self.count())
            try:
                sock.send(b"Host: tunnel.test:443\r\n\r\n")
                head, status, _ = sock.reader.head()
                self.assertEqual(status, 503, head)
            finally:
                self.limit(hard)
        self.assertTrue(until(self.served, 4))


class Names(LabCase):
    """Name servers out of order: 502 or 504 in words, in the time of connect_timeout, and nobody else's concern."""

    FAULTS = ["silent", "servfail", "refused", "garbage", "wrong-id", "wrong-name", "short", "empty"]

    @classmethod
    def setUpClass(cls):
        cls.dns = FakeDns({f"{f}.test": f for f in cls.FAULTS + ["truncated"]})
        cls.hosts = {f: f"asia-{f}-aiplatform.googleapis.com" for f in cls.FAULTS + ["truncated", "nxdomain"]}
        cls.lab = Lab(claude=False, conf={"upstream": {"dns": [f"127.0.0.1:{cls.dns.port}"], "connect_timeout": 3}},
                      connect_to=[f"{h}:443:{f}.test:{{p[main]}}" for f, h in cls.hosts.items()])

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.dns.close()

    def one(self, fault, box):
        """A swapped request and a tunnel to a name with FAULT: [(status, seconds)]."""
        location = self.hosts[fault].removesuffix("-aiplatform.googleapis.com")
        begin = time.monotonic()
        try:
            response = self.lab.ask(self.hosts[fault], GENERATE.replace("us-central1", location), token=ALICE)
            box[fault] = [(response, time.monotonic() - begin)]
            begin = time.monotonic()
            with self.lab.tunnel(f"{fault}.test", tls=False) as tunnel:
                box[fault].append((tunnel.refusal() if tunnel.connect_status != 200 else tunnel.connect_status,
                                   time.monotonic() - begin))
        except Exception as error:  # the test shows it
            box[fault] = error

    def test_all_of_them_at_once_beside_good_traffic(self):
        box, took = {}, []
        threads = [threading.Thread(target=self.one, args=(f, box)) for f in self.FAULTS + ["nxdomain"]]
        for thread in threads:
            thread.start()
        while any(t.is_alive() for t in threads):
            begin = time.monotonic()
            self.assertStatus(self.lab.ask(token=ALICE), 200)
            took.append(time.monotonic() - begin)
        self.assertGreater(len(took), 20)
        self.assertLess(max(took), 1.5)
        for fault in self.FAULTS + ["nxdomain"]:
            with self.subTest(fault=fault):
                self.assertIsInstance(box[fault], list, box[fault])
                (swapped, first), (tunnel, second) = box[fault]
                self.assertOwnError(swapped, swapped.status, "vertex")
                self.assertIn(swapped.status, (502, 504))
                self.assertIn(tunnel.status, (502, 504))
                self.assertTrue(tunnel.body.strip(), "no words")
                self.assertLess(first, 8.5)  # once for each account
                self.assertLess(second, 5.5)
        self.assertEqual(self.lab.query("select * from cooldown"), [])
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_truncated_answers_are_asked_for_again_over_tcp(self):
        self.assertStatus(self.lab.ask(self.hosts["truncated"], GENERATE.replace("us-central1", "asia-truncated"), token=ALICE), 200)

    def test_a_client_that_leaves_meanwhile(self):
        for _ in range(20):
            tunnel = client.Plain(("127.0.0.1", self.lab.port))
            tunnel.send(b"CONNECT silent.test:443 HTTP/1.1\r\nHost: silent.test:443\r\n\r\n")
            time.sleep(0.02)
            tunnel.close()
        self.assertStatus(self.lab.ask(token=ALICE), 200)


class DeadServer(LabCase):
    LAB = {"claude": False, "accounts": 1, "conf": {"upstream": {"dns": ["127.0.0.1:9"], "connect_timeout": 3}}}

    def test_nobody_listens_there(self):
        begin = time.monotonic()
        with self.lab.tunnel("anything.test", tls=False) as tunnel:
            self.assertIn(tunnel.connect_status, (502, 504))
        self.assertLess(time.monotonic() - begin, 4.5)
        self.assertStatus(self.lab.ask(token=ALICE), 200)


class Tokens(ShimCase):
    """The token endpoint out of order."""

    LAB = {"accounts": 2, "claude": False, "conf": {"oauth": {"timeout": 2}}, "env": preload()}
    FRESH = True

    def assertNothingInjected(self):
        for request in self.cloud.log(VERTEX):
            self.assertNotIn("x-injected", json.dumps(request))
        self.assertEqual([v for v in self.cloud.violations() if v["kind"] != "placeholder"], [])

    HOSTILE = ["lf", "nul", "non-ascii", "space", "long", "zero-expiry", "huge-expiry", "float-expiry", "null-expiry", "redirect",
               "error-200", "endless"]

    def test_hostile_answers_for_both_accounts_are_503(self):
        for kind in self.HOSTILE:
            with self.subTest(kind=kind):
                self.lab.fresh()
                self.cloud.fail("token-" + kind, host=OAUTH, times=-1)
                begin = time.monotonic()
                response = self.lab.ask(token=ALICE)
                self.assertOwnError(response, 503, "vertex")
                self.assertTrue(response.one("retry-after"))
                self.assertLess(time.monotonic() - begin, 7)
                self.assertEqual(self.cloud.log(VERTEX), [])
                self.assertEqual(self.cloud.log("tunnel.test"), [])
                self.assertLess(self.cloud.stats()["mint_attempts"], 12)
        self.assertNothingInjected()

    def test_hostile_answers_for_one_account_mean_the_other(self):
        for kind in ("crlf", "long", "endless", "garbage"):
            with self.subTest(kind=kind):
                self.lab.fresh()
                self.cloud.fail("token-" + kind, host=OAUTH, times=1)
                for _ in range(6):
                    self.assertStatus(self.lab.ask(token=ALICE), 200)
                self.assertNothingInjected()

    def test_a_certificate_that_does_not_verify(self):
        for variant in ("self-signed", "expired", "wrong-name"):
            with self.subTest(variant=variant):
                lab = Lab(accounts=1, claude=False, connect_to=[f"{OAUTH}:443:127.0.0.1:{{p[{variant}]}}"])
                try:
                    response = lab.ask(token=ALICE)
                    self.assertOwnError(response, 503, "vertex")
                    self.assertEqual(lab.cloud.log(), [])
                    self.assertTrue(until(lambda: "endpoint_certificate" in lab.log_text(), 3), lab.log_text())
                finally:
                    lab.close()

    def test_one_flight_for_each_account_however_many_ask(self):
        self.cloud.fail("stall", host=OAUTH, times=-1)
        statuses = together(self.lab, 60)
        self.assertEqual(set(statuses), {503})
        self.assertLessEqual(len(self.cloud.log(OAUTH)), 4)

    def test_waits_grow_with_jitter_and_end_with_the_trouble(self):
        self.cloud.fail("500", host=OAUTH, times=-1)
        end = time.monotonic() + 9
        while time.monotonic() < end:
            self.assertStatus(self.lab.ask(token=ALICE), 503)
            time.sleep(0.1)
        waits = [(json.loads(line)["account"], json.loads(line)["fails"], json.loads(line)["retry_in_ms"])
                 for line in self.lab.log_text().splitlines() if '"token_failed"' in line]
        self.assertTrue(4 <= len(waits) <= 10, waits)
        for _, fails, wait in waits:
            self.assertTrue(0.79 <= wait / (1000 << (fails - 1)) <= 1.21, waits)
        self.assertGreater(len({wait for _, fails, wait in waits if fails == 1} | {wait for _, fails, wait in waits if fails == 2}), 2)
        self.cloud.heal()
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 9, 0.2))

    def test_a_token_near_its_end_is_used_while_the_endpoint_is_down(self):
        for _ in range(20):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.cloud.fail("500", host=OAUTH, times=-1)
        shim.set(clock_s=3400)  # 200 s are left: a renewal is due, and fails
        self.assertEqual(set(together(self.lab, 30)), {200})
        self.assertTrue(until(lambda: "token_failed" in self.lab.log_text(), 5), "no renewal was tried")
        for _ in range(10):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertLess(len(self.cloud.log(OAUTH)), 10)


class Clock(ShimCase):
    """The wall clock jumps.  The cloud's jumps along, or does not."""

    LAB = {"accounts": 2, "claude": False, "env": preload()}
    FRESH = True

    def setUp(self):
        super().setUp()
        for _ in range(20):
            self.assertStatus(self.lab.ask(token=ALICE), 200)

    def tearDown(self):
        self.cloud.config(skew=0)
        super().tearDown()

    def mints(self):
        return [self.cloud.stats()["mints"][email(n)] for n in (1, 2)]

    def refusals(self):
        return sum(self.cloud.stats()["mint_refusals"].values())

    def both(self, seconds):
        self.cloud.config(skew=seconds)
        shim.set(clock_s=seconds)

    def test_hours_forward_renew_each_token_once(self):
        self.assertEqual(self.mints(), [1, 1])
        self.both(7200)
        self.assertEqual(set(together(self.lab, 60)), {200})
        for _ in range(10):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual(self.mints(), [2, 2])
        self.assertEqual(self.refusals(), 0, "iat and exp do not follow the clock")
        self.assertEqual([r for r in self.cloud.log(VERTEX) if r["status"] != 200], [])

    def test_hours_backward_cost_nothing(self):
        self.both(-10800)
        self.assertEqual(set(together(self.lab, 60)), {200})
        self.assertEqual(self.mints(), [1, 1])
        self.cloud.expire()
        self.assertEqual(set(together(self.lab, 60)), {200})
        for _ in range(10):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertTrue(all(m == 2 for m in self.mints()), self.mints())
        self.assertEqual(self.refusals(), 0)

    def alone(self, seconds):
        """Only ours is wrong: it is said in words, corrected, and no account's fault."""
        shim.set(clock_s=seconds)
        self.cloud.expire()
        self.assertEqual(set(together(self.lab, 40)), {200})
        for _ in range(10):
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertLessEqual(self.refusals(), 4)
        self.assertTrue(until(lambda: "clock_skew" in self.lab.log_text(), 3))
        alarm = until(lambda: self.lab.query("select who, what from event where kind = 'alarm'"), 3)
        self.assertIn("clock", json.dumps(alarm))
        self.assertEqual([r["state"] for r in self.lab.query("select state from account")], ["up", "up"])
        self.assertEqual(self.lab.query("select * from token where retry_at > unixepoch() + 120"), [])

    def test_ours_alone_is_hours_ahead(self):
        self.alone(7200)

    def test_ours_alone_is_hours_behind(self):
        self.alone(-7200)

    def test_a_corrected_clock_stays_corrected(self):
        self.alone(7200)
        shim.set(clock_s=0)  # the operator did as told
        before = self.mints()
        self.cloud.expire()
        self.assertEqual(set(together(self.lab, 40)), {200})
        self.assertEqual([b - a for a, b in zip(before, self.mints())], [1, 1])

    def test_an_endpoint_that_insists_is_no_accounts_fault(self):
        """Refused for the clock again and again, whatever we do about it."""
        self.cloud.expire()
        words = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        self.cloud.fail("400", host=OAUTH, times=-1, error="invalid_grant", message=words)
        self.assertOwnError(self.lab.ask(token=ALICE), 503, "vertex")
        shown = json.dumps(self.lab.rows("tokens"))
        self.assertTrue(until(lambda: "clock" in json.dumps(self.lab.rows("tokens")), 3), shown)
        self.cloud.heal()
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 12, 0.2))

    def test_deadlines_do_not_care(self):
        body = json.dumps({"fake": {"events": 30, "gap_ms": 100}}).encode()
        box = {}

        def stream():
            try:
                box["status"] = self.lab.ask(path=STREAM, body=body, token=ALICE).status
            except Exception as error:  # the test shows it
                box["status"] = repr(error)
        thread = threading.Thread(target=stream)
        with self.lab.tunnel() as kept, client.Tunnel(("127.0.0.1", self.lab.port), "tunnel.test", ca=self.cloud.ca) as blind:
            thread.start()
            for seconds in (7200, -7200, 50000, 0):
                time.sleep(0.6)
                self.both(seconds)
                self.assertStatus(kept.ask("POST", GENERATE, BODY, BEARER), 200)
            thread.join()
            self.assertEqual(box["status"], 200)
            self.assertStatus(blind.ask("POST", "/echo", b"still joined"), 200)

    def test_a_cooldown_does_not_outlast_a_jump_backward(self):
        self.cloud.fail("429", host=VERTEX, times=2)
        self.assertStatus(self.lab.ask(token=ALICE), 429)
        self.assertStatus(self.lab.ask(token=ALICE), 503)
        self.both(-10800)
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 8, 0.2), self.lab.ask(token=ALICE))
