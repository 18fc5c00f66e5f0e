"""HTTP/2 towards clients, towards providers, both and neither: the same story."""
import contextlib
import json
import signal
import threading
import time
import unittest

import answers
import client
import client2
import h2.errors
import wire2
from harness import (ALICE, BODY, CLAUDE, CLAUDE_BODY, BOB, GEMINI, GENERATE, STREAM, VERTEX, Lab, LabCase, built_with, query_key, until)

BEARER = [("authorization", "Bearer " + ALICE)]
WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
MB = 1 << 20


def sized(count):
    return json.dumps({"fake": {"bytes": count}}).encode()


def of_events(events, gap_ms=0):
    return json.dumps({"fake": {"events": events, "gap_ms": gap_ms}}).encode()


class H2Case(LabCase):
    FRONT, BACK = True, True
    LAB = {"accounts": 4}

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(**{**cls.LAB, "cloud_args": ("--h2",) if cls.BACK else ()})

    def tunnel(self, host=VERTEX, **how):
        return self.lab.tunnel(host, h2=self.FRONT, **how)

    def ask(self, host=VERTEX, path=GENERATE, body=BODY, token=ALICE, headers=(), method="POST", carrier="authorization", **how):
        return self.lab.ask(host, path, body, headers, token, method, carrier, h2=self.FRONT, **how)

    def rows(self):
        return [r for r in self.cloud.log(VERTEX) if r["host"] == VERTEX]


class Story:
    """What holds whoever speaks what."""

    def test_a_request_is_swapped(self):
        response = self.ask()
        self.assertStatus(response, 200)
        self.assertEqual(response.body, WANTED)
        self.assertTrue(response.one("x-credswap-request-id"))
        row = self.rows()[-1]
        self.assertEqual(row["alpn"], "h2" if self.BACK else "http/1.1")
        self.assertTrue(dict(map(tuple, row["headers"]))["authorization"].startswith("Bearer ya29.c."))
        self.assertCleanCloud()

    def test_every_carrier(self):
        for carrier in ("x-api-key", "x-goog-api-key"):
            self.assertStatus(self.ask(carrier=carrier), 200)
        self.assertStatus(self.ask(path=query_key(GENERATE, ALICE), token=None), 200)
        self.assertStatus(self.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, BOB, [("anthropic-version", "2023-06-01")], carrier="x-api-key"), 200)
        self.assertCleanCloud()

    def test_what_is_refused_goes_nowhere(self):
        for status, how in ((401, {"token": "gemini-nobody-00000000000"}), (401, {"token": None}), (404, {"path": "/telemetry"}),
                            (400, {"headers": [("x-note", ALICE)]}), (405, {"method": "TRACE", "body": b""}),
                            (400, {"headers": [("x-api-key", "gemini-other-0000000000")]})):
            with self.subTest(status=status, how=how):
                self.assertStatus(self.ask(**how), status)
        self.assertEqual(self.rows(), [])
        self.assertCleanCloud()

    def test_a_stream_comes_as_it_is_made(self):
        times = []
        with contextlib.closing(self.tunnel()) as tunnel:
            response = tunnel.ask("POST", STREAM, of_events(5, 200), BEARER, on_piece=lambda _: times.append(time.monotonic()))
        self.assertStatus(response, 200)
        self.assertEqual(response.body, answers.expected("gemini-sse", "gemini-2.5-pro", of_events(5, 200)))
        self.assertGreater(times[-1] - times[0], 0.6)

    def test_large_bodies_both_ways(self):
        self.assertEqual(self.ask(body=sized(20 * MB)).body, answers.expected("gemini", "gemini-2.5-pro", sized(20 * MB)))
        body = b'{"a":"' + b"x" * (8 * MB) + b'"}'
        self.assertStatus(self.ask(body=body), 200)
        self.assertEqual(self.rows()[-1]["body_len"], len(body))
        self.assertCleanCloud()

    def test_a_refused_account_is_replaced(self):
        for kind in ("429", "503", "cut-before-head"):
            with self.subTest(kind=kind):
                self.cloud.reset()
                self.cloud.fail(kind, host=VERTEX, times=1)
                response = self.ask()
                self.assertStatus(response, 200)
                self.assertEqual(response.body, WANTED)
                self.assertEqual(len(self.rows()), 2)
        self.assertCleanCloud()

    def test_an_expired_token_is_renewed(self):
        self.assertStatus(self.ask(), 200)
        self.cloud.expire()
        for _ in range(40):
            self.assertEqual(self.ask().body, WANTED)
        # of accounts that rested meanwhile, too: a later test's body may be too large to be sent again
        for number in range(1, self.LAB["accounts"] + 1):
            self.lab.cs("account", "refresh", f"acct-{number}")

    def test_an_answer_that_breaks_off_looks_broken(self):
        self.cloud.fail("cut", host=VERTEX, bytes=1000, times=1)
        with self.assertRaises(client.Broken):
            self.ask(body=sized(100000))
        self.assertStatus(self.ask(), 200)

    def test_head_and_get(self):
        path = "/v1beta/models/gemini-2.5-pro"
        response = self.ask(GEMINI, path, b"", method="GET")
        head = self.ask(GEMINI, path, b"", method="HEAD")
        self.assertEqual({r["method"]: r["status"] for r in self.cloud.log(GEMINI)}, {"GET": response.status, "HEAD": head.status})
        self.assertEqual(head.body, b"")

    def test_a_client_that_goes_takes_its_request_along(self):
        self.cloud.fail("stall", host=VERTEX, times=1)
        tunnel = self.tunnel()
        if self.FRONT:
            x = tunnel.open("POST", GENERATE, BEARER, BODY)
        else:
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, BODY))
        self.assertTrue(until(self.rows))
        if self.FRONT:
            tunnel.cancel(x)
        else:
            tunnel.close()
        self.assertTrue(until(lambda: self.rows()[-1]["aborted"], 3))
        tunnel.close()


class BothH2(Story, H2Case):
    FRONT, BACK = True, True


class FrontH2(Story, H2Case):
    FRONT, BACK = True, False


class BackH2(Story, H2Case):
    FRONT, BACK = False, True


class Streams(H2Case):
    """Many at once."""

    def test_a_hundred_over_few_connections(self):
        with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
            for _ in range(5):
                xs = [tunnel.open("POST", GENERATE, BEARER, sized(3000 + i)) for i in range(100)]
                tunnel.wait(*xs)
                for i, x in enumerate(xs):
                    self.assertEqual(bytes(x.body), answers.expected("gemini", "gemini-2.5-pro", sized(3000 + i)))
        self.assertLessEqual(len({r["conn"] for r in self.rows()}), 4)
        self.assertEqual(len(self.rows()), 500)
        self.assertCleanCloud()

    def test_one_that_stalls_holds_up_nobody(self):
        with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
            slow = tunnel.open("POST", GENERATE, BEARER, sized(30 * MB), hold=True)
            until(lambda: tunnel.pump() and len(slow.body) > 60000)
            for _ in range(20):
                self.assertEqual(tunnel.ask("POST", GENERATE, sized(200000), BEARER).body,
                                 answers.expected("gemini", "gemini-2.5-pro", sized(200000)))
            self.assertLess(len(slow.body), MB)
            tunnel.release(slow)
            self.assertEqual(tunnel.result(slow).body, answers.expected("gemini", "gemini-2.5-pro", sized(30 * MB)))

    def test_a_cancelled_one_ends_alone(self):
        with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
            xs = [tunnel.open("POST", STREAM, BEARER, of_events(10, 100)) for _ in range(6)]
            until(lambda: tunnel.pump() and all(x.body for x in xs))
            for x in xs[::2]:
                tunnel.cancel(x)
            tunnel.wait(*xs[1::2])
            for x in xs[1::2]:
                self.assertEqual(bytes(x.body), answers.expected("gemini-sse", "gemini-2.5-pro", of_events(10, 100)))
        self.assertTrue(until(lambda: sum(bool(r["aborted"]) for r in self.rows()) == 3, 3))

    def test_a_drain_lets_them_end(self):
        tunnel = self.tunnel(timeout=60)
        x = tunnel.open("POST", STREAM, BEARER, of_events(10, 150))
        until(lambda: tunnel.pump() and x.body)
        self.lab.daemon.terminate()
        self.assertEqual(tunnel.result(x).body, answers.expected("gemini-sse", "gemini-2.5-pro", of_events(10, 150)))
        while not tunnel.eof:
            tunnel.pump()
        self.assertEqual(tunnel.goaway[0], h2.errors.ErrorCodes.NO_ERROR)
        self.assertEqual(self.lab.daemon.wait(10), 0)
        self.lab.daemon = None
        self.lab.start()

    def test_a_request_that_crosses_the_farewell_is_no_reset(self):
        """A reset would take GOAWAY with it on its way to a client that has not read it yet."""
        with contextlib.closing(self.tunnel(timeout=60)) as busy, contextlib.closing(self.lab.tunnel(VERTEX, h2=True)) as tunnel:
            idle = wire2.Wire(tunnel)
            idle.until(lambda: idle.is_acknowledged)
            x = busy.open("POST", STREAM, BEARER, of_events(10, 400))
            until(lambda: busy.pump() and x.body)
            self.lab.daemon.terminate()
            self.assertTrue(idle.until(lambda: idle.goaway), "no farewell")
            request = [(":method", "POST"), (":scheme", "https"), (":authority", VERTEX), (":path", GENERATE), *BEARER]
            for one in (1, 3, 5):  # the first would be answered by the reset, the others would find it
                idle.sock.sendall(wire2.headers(one, request))
                time.sleep(0.05)
            self.assertEqual(busy.result(x).status, 200)
        self.assertEqual(self.lab.daemon.wait(10), 0)
        self.lab.daemon = None
        self.lab.start()

    def test_a_reset_flood_ends_the_connection_alone(self):
        with contextlib.closing(self.tunnel(timeout=20)) as good, contextlib.closing(self.tunnel(timeout=20)) as bad:
            self.assertStatus(good.ask("POST", GENERATE, BODY, BEARER), 200)
            self.cloud.fail("stall", host=VERTEX, times=-1, path="*slow*")
            with contextlib.suppress(OSError, client2.h2.exceptions.ProtocolError):
                for _ in range(1000):
                    bad.cancel(bad.open("POST", GENERATE.replace("2.5-pro", "slow"), BEARER, BODY))
            with contextlib.suppress(OSError, client2.h2.exceptions.ProtocolError):
                while bad.pump():
                    pass
            self.assertTrue(bad.eof or bad.goaway)
            self.assertStatus(good.ask("POST", GENERATE, BODY, BEARER), 200)

    def test_threads_of_clients(self):
        bad = []

        def run():
            with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
                for _ in range(10):
                    xs = [tunnel.open("POST", GENERATE, BEARER, BODY) for _ in range(20)]
                    tunnel.wait(*xs)
                    bad.extend((x.status, x.reset) for x in xs if bytes(x.body) != WANTED)
        threads = [threading.Thread(target=run) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(bad, [])


class Stalled(H2Case):
    """A hundred streams of one connection that nobody reads: what is held is bounded by their windows."""

    WINDOW, COUNT = 128 * 1024, 100
    UPLOADS, SIZE = 100, 2 * MB  # more than the kernels take
    CONNECTION = 0  # what each stream's own connection to the provider costs
    LAB = {"accounts": 4, "quarantine_mb": 4, "conf": {"retry": {"replay_bytes": 65536, "replay_total_bytes": 1 << 20}}}

    def held(self, tunnel, before):
        """What the daemon holds when nothing moves any more."""
        tunnel.sock.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while tunnel.pump():
                pass
        tunnel.sock.settimeout(60)
        return self.lab.rss() - before

    def assertBounded(self, held):
        if not built_with("libasan") and not built_with("libtsan"):  # whose heaps are their own
            self.assertLess(held, self.COUNT * (self.WINDOW + self.CONNECTION) + 8 * MB)

    def test_answers_that_are_not_read(self):
        self.assertStatus(self.ask(), 200)
        with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
            before = self.lab.rss()
            xs = [tunnel.open("POST", GENERATE, BEARER, sized(8 * MB), hold=True) for _ in range(self.COUNT)]
            self.assertBounded(self.held(tunnel, before))
            self.assertEqual({x.status for x in xs}, {200})
            self.assertLess(max(len(x.body) for x in xs), 70000)
            self.assertStatus(self.ask(), 200)
            for x in xs[::10]:  # they have lost nothing
                tunnel.release(x)
                self.assertEqual(tunnel.result(x).body, answers.expected("gemini", "gemini-2.5-pro", sized(8 * MB)))

    def test_requests_that_are_not_read(self):
        self.assertStatus(self.ask(), 200)
        self.cloud.fail("stall-on-head", host=VERTEX, times=self.UPLOADS)
        with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
            before = self.lab.rss()
            xs = [tunnel.open("POST", GENERATE, BEARER, b"x" * self.SIZE) for _ in range(self.UPLOADS)]
            self.assertBounded(self.held(tunnel, before))
            self.assertGreater(sum(bool(x.pending) for x in xs), self.UPLOADS // 2)
            self.assertEqual({x.status for x in xs}, {None})
        self.cloud.heal()
        self.lab.signal(signal.SIGHUP)  # the fake's connection stays deaf: another one
        time.sleep(0.3)
        self.assertStatus(self.ask(), 200)


class StalledByHttp1(Stalled):
    FRONT, BACK = True, False
    UPLOADS, SIZE = 30, 8 * MB
    CONNECTION = 96 * 1024


class Refused(H2Case):
    """Providers that refuse streams or go away in between: the client sees a 200."""

    def test_refused_streams_are_asked_again(self):
        for kind in ("refuse", "goaway"):
            with self.subTest(kind=kind):
                self.cloud.reset()
                self.cloud.fail(kind, host=VERTEX, times=2)
                response = self.ask()
                self.assertStatus(response, 200)
                self.assertEqual(response.body, WANTED)
        self.assertCleanCloud()

    def test_connections_lost_under_many(self):
        self.assertStatus(self.ask(), 200)
        self.cloud.fail("cut-before-head", host=VERTEX, times=2)
        with contextlib.closing(self.tunnel(timeout=60)) as tunnel:
            xs = [tunnel.open("POST", GENERATE, BEARER, BODY) for _ in range(50)]
            tunnel.wait(*xs)
        self.assertEqual({(x.status, bytes(x.body) == WANTED) for x in xs}, {(200, True)})


class Alpn(H2Case):
    def test_who_offers_what_gets_what(self):
        for offer, chosen in ((None, None), (["http/1.1"], "http/1.1"), (["h2"], "h2"), (["http/1.1", "h2"], "h2"),
                              (["grpc-exp", "h2"], "h2"), (["h2", "http/1.1"], "h2")):
            with contextlib.closing(self.lab.tunnel(alpn=offer)) as tunnel:
                self.assertEqual(tunnel.tls.selected_alpn_protocol(), chosen, offer)

    def test_the_provider_is_offered_http_1_only_where_that_is_wanted(self):
        lab = Lab(accounts=1, cloud_args=("--h2",), conf={"upstream": {"http2": False}})
        with contextlib.closing(lab):
            self.assertStatus(lab.ask(token=ALICE), 200)
            self.assertEqual([r["alpn"] for r in lab.cloud.log(VERTEX)], ["http/1.1"])

    def test_curl_of_both_kinds(self):
        for option, version in (("--http1.1", b"1.1"), ("--http2", b"2")):
            done = self.lab.curl(option, "-H", "Authorization: Bearer " + ALICE, "-d", BODY.decode(), "-w", "\n%{http_version}",
                                 f"https://{VERTEX}{GENERATE}")
            body, _, got = done.stdout.rpartition(b"\n")
            self.assertEqual((body, got), (WANTED, version), done.stderr)


if __name__ == "__main__":
    unittest.main()

