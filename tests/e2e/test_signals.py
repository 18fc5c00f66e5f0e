"""Signals while many clients work: nobody notices a reload or a rotated log; an end is orderly, and the next start soon."""
import contextlib
import json
import os
import signal
import socket
import threading
import time

import answers
import client
from harness import ALICE, BODY, GENERATE, STREAM, VERTEX, until
from test_load import Load

BEARER = [("authorization", "Bearer " + ALICE)]


class UnderLoad(Load):
    LAB = {"accounts": 2, "claude": False}
    FRESH = True
    WORK = [{"host": VERTEX, "path": path, "headers": [["authorization", "Bearer " + ALICE]], "kind": kind, "model": "gemini-2.5-pro",
             "body": {"contents": []}, "sizes": [16, 5000], "events": 5}
            for path, kind in ((GENERATE, "gemini"), (STREAM, "gemini-sse"))]

    def rotate(self):
        name = self.lab.path(f"log.old{len(self.lab.logs)}")
        os.rename(self.lab.path("log"), name)
        self.lab.logs.append(name)

    def lines(self):
        """All lines of all logs, each whole."""
        found = []
        for name in [n for n in self.lab.logs if "log.old" in n] + [self.lab.path("log")]:
            with open(name, encoding="utf-8") as f:
                text = f.read()
            self.assertTrue(text.endswith("\n") or not text)
            found += [json.loads(line) for line in text.splitlines()]
        return found

    def exchanges(self):
        return sum(line["event"] == "exchange" for line in self.lines())

    def test_reloads_and_rotations_cost_no_request_and_no_line(self):
        running = self.clients(4, 400, self.WORK, renew=0.1)
        self.assertTrue(self.cloud.wait(lambda c: c.stats()["answered"] > 50, 15))
        with open(self.lab.conf, encoding="utf-8") as f:
            good = f.read()
        rounds = 0
        while any(p.poll() is None for p in running) and rounds < 40:
            rounds += 1
            if rounds % 4 == 0:
                with open(self.lab.conf, "w", encoding="utf-8") as out:
                    out.write(good + "nonsense {\n")
                self.lab.signal(signal.SIGHUP)
                time.sleep(0.1)
                with open(self.lab.conf, "w", encoding="utf-8") as out:
                    out.write(good)
            elif rounds % 2:
                self.rotate()
                self.lab.signal(signal.SIGUSR1)
                self.assertTrue(until(lambda: os.path.exists(self.lab.path("log")), 3))
            else:
                self.lab.signal(signal.SIGHUP)
            time.sleep(0.1)
        self.assertEqual(sum(r["done"] for r in self.results(running)), 1600)
        self.assertGreaterEqual(rounds, 4)
        self.assertTrue(until(lambda: self.exchanges() == 1600, 5), self.exchanges())
        said = [line for line in self.lines() if line["event"] in ("reloaded", "reload_failed")]
        failed = [line for line in said if line["event"] == "reload_failed"]
        self.assertEqual(len(failed), rounds // 4)
        self.assertTrue(all("credswap.conf" in line["error"] for line in failed), failed)
        self.assertGreaterEqual(len(said), rounds // 2)
        self.assertCleanCloud()

    def streams(self, count, events):
        """COUNT streams under way: (threads, results)."""
        results = []

        def run(n):
            body = json.dumps({"n": n, "fake": {"events": events, "gap_ms": 50}}).encode()
            try:
                response = self.lab.ask(path=STREAM, body=body, token=ALICE)
                results.append(response.body == answers.expected("gemini-sse", "gemini-2.5-pro", body))
            except (client.Broken, OSError) as error:
                results.append(repr(error))
        threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        self.assertTrue(self.cloud.wait(lambda c: len([r for r in c.log(VERTEX) if r["sent"]]) >= count, 10))
        return threads, results

    def refused(self):
        try:
            socket.create_connection(("127.0.0.1", self.lab.port), timeout=2).close()
        except OSError:
            return True
        return False

    def test_term_with_streams_and_idle_clients(self):
        idle = [self.lab.tunnel() for _ in range(20)] + [client.Plain(("127.0.0.1", self.lab.port)) for _ in range(20)]
        for tunnel in idle[:10]:
            self.assertStatus(tunnel.ask("POST", GENERATE, BODY, BEARER), 200)
        threads, results = self.streams(20, 40)
        begin = time.monotonic()
        self.lab.signal(signal.SIGTERM)
        self.assertTrue(until(self.refused, 2), "it still accepts")
        with contextlib.suppress(OSError):
            self.assertEqual(self.lab.page("/readyz", self.lab.admin)[0], 503)
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * 20)
        self.assertEqual(self.lab.daemon.wait(8), 0)
        self.assertLess(time.monotonic() - begin, 6)
        for connection in idle:
            connection.close()
        self.again()

    def again(self):
        """The next start, and that it serves."""
        self.lab.check_output()
        self.lab.daemon = None
        self.lab.start()
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_a_restart_is_quick_whoever_is_connected(self):
        idle = [self.lab.tunnel() for _ in range(60)]
        running = self.clients(2, 100000, self.WORK)
        try:
            self.assertTrue(self.cloud.wait(lambda c: c.stats()["answered"] > 50, 15))
            begin = time.monotonic()
            self.lab.signal(signal.SIGTERM)
            self.assertEqual(self.lab.daemon.wait(8), 0)
            self.again()
            self.assertLess(time.monotonic() - begin, 5)
        finally:
            for process in running:
                process.kill()
                process.communicate()
            for tunnel in idle:
                tunnel.close()

    def test_a_second_term_cuts_what_runs(self):
        threads, results = self.streams(20, 400)
        self.lab.signal(signal.SIGTERM)
        time.sleep(0.3)
        begin = time.monotonic()
        self.lab.signal(signal.SIGTERM)
        self.assertEqual(self.lab.daemon.wait(5), 0)
        self.assertLess(time.monotonic() - begin, 2)
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), 20)
        self.assertNotIn(True, results)
        self.assertNotIn(False, results, "a cut answer looked whole")
        self.again()
