"""The console's live feed over the Unix socket: figures, requests under way and their end, trust, leaves."""
import contextlib
import json
import os
import pwd
import socket
import ssl
import subprocess
import time

import client
from harness import ALICE, BODY, BOB, CLAUDE, CLAUDE_BODY, GENERATE, STREAM, VERTEX, LabCase, clean_env, email, until

BEARER = [("authorization", "Bearer " + ALICE)]
VERSION = [("anthropic-version", "2023-06-01")]
AT_ONCE_S = 10
ROW = {"id", "conn", "worker", "age_ms", "phase", "client", "peer", "account", "method", "host", "path", "model", "status",
       "attempts", "up", "down", "front", "back", "ms"}


class Console:
    """One connection to the daemon's socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(AT_ONCE_S)
        self.sock.connect(path)
        self.left = b""

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.left:
            piece = self.sock.recv(1 << 20)
            if not piece:
                return None
            self.left += piece
        line, _, self.left = self.left.partition(b"\n")
        return json.loads(line)

    def ask(self, cmd, **more):
        self.send(json.dumps({"cmd": cmd, **more}).encode() + b"\n")
        answer = self.line()
        if answer["cmd"] != cmd:
            raise AssertionError(f"{cmd} was answered by {answer}")
        return answer

    def close(self):
        self.sock.close()


class FeedCase(LabCase):
    FRESH = True

    def setUp(self):
        super().setUp()
        self.console = self.connect()

    def connect(self):
        console = Console(self.lab.path("credswap.sock"))
        self.addCleanup(console.close)
        return console

    def members(self, figures=None):
        return {(m["pool"], m["account"]): m for m in (figures or self.console.ask("figures"))["members"]}

    def asks(self, count, status=200):
        with contextlib.closing(self.lab.tunnel()) as tunnel:
            for _ in range(count):
                self.assertStatus(tunnel.ask("POST", GENERATE, BODY, BEARER), status)

    def only(self, number):
        """All weight on one account; the other stays in reserve with next to none."""
        self.lab.cs("pool", "set", "gemini", f"acct-{number}=1000000", f"acct-{3 - number}=0.001")
        time.sleep(1.1)

    def begin(self, path=STREAM, h2=False, body=BODY):
        """A request whose answer nobody has read yet."""
        tunnel = self.lab.tunnel(h2=h2)
        self.addCleanup(tunnel.close)
        if h2:
            tunnel.open("POST", path, BEARER, body)
        else:
            tunnel.send(client.request("POST", path, VERTEX, BEARER, body))
        return tunnel

    def live(self, count, phase=None):
        """The rows, once there are COUNT of them (all in PHASE)."""
        rows = until(lambda: [r for r in [self.console.ask("live")["live"]]
                              if len(r) == count and all(phase in (None, x["phase"]) for x in r)])
        self.assertTrue(rows, self.console.ask("live"))
        return rows[0]


class Figures(FeedCase):
    def test_they_follow_traffic_and_begin_anew_with_a_weight(self):
        before = self.console.ask("figures")
        self.assertEqual((before["requests"], before["requests_5m"], before["ttfb_ms"], sum(before["rate"])), (0, 0, None, 0))
        self.assertEqual(set(self.members(before)), {("gemini", "acct-1"), ("gemini", "acct-2"), ("claude", "acct-1"),
                                                     ("claude", "acct-2"), ("claude", "claude-key")})
        self.asks(40)
        seen = self.members()
        both = [seen["gemini", "acct-1"], seen["gemini", "acct-2"]]
        self.assertEqual(sum(m["requests"] for m in both), 40)
        self.assertTrue(all(m["requests"] > 5 for m in both), both)
        self.assertEqual(seen["claude", "acct-1"]["requests"], 0)
        self.assertEqual([m["open"] + m["limited"] + m["errors"] for m in both], [0, 0])
        self.assertEqual([m["held"] for m in self.members(before).values()], [0] * 5)
        self.assertTrue(all(m["held"] for m in both), both)
        self.assertEqual(seen["claude", "claude-key"]["held"], 0)  # there is no token
        figures = until(lambda: [f for f in [self.console.ask("figures")] if sum(f["rate"]) == 40])[0]
        self.assertEqual((figures["requests"], figures["requests_5m"], figures["errors_5m"]), (40, 40, 0))
        self.assertLessEqual(figures["ttfb_ms"]["p50"], figures["ttfb_ms"]["p95"])
        self.lab.cs("pool", "set", "gemini", "acct-1=1000000", "acct-2=0.001")
        changed = time.monotonic()
        anew = until(lambda: [m for m in [self.members()] if m["gemini", "acct-1"]["requests"] == 0])
        self.assertTrue(anew)
        if time.monotonic() - changed < 3:
            self.assertLessEqual(anew[0]["gemini", "acct-1"]["window_s"], 2)
        self.assertGreater(anew[0]["claude", "acct-1"]["window_s"], anew[0]["gemini", "acct-1"]["window_s"])
        self.asks(10)
        seen = self.members()
        self.assertEqual((seen["gemini", "acct-1"]["requests"], seen["gemini", "acct-2"]["requests"]), (10, 0))

    def test_identity_and_parts(self):
        self.asks(3)
        self.assertStatus(self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, VERSION, token=BOB, carrier="x-api-key"), 200)
        figures = until(lambda: [f for f in [self.console.ask("figures")] if f["tokens"]["memory"] >= 1])[0]
        self.assertEqual((figures["ok"], figures["state"], figures["pid"], figures["workers"], figures["name"]),
                         (True, "running", self.lab.daemon.pid, 2, socket.gethostname()))
        self.assertLess(abs(figures["at_ms"] / 1000 - time.time()), 60)
        self.assertEqual(figures["generation"], self.lab.query("select value from generation")[0]["value"])

        self.assertGreaterEqual(figures["tokens"]["mints"], 1)
        self.assertEqual((figures["tokens"]["mint_failures"], figures["tokens"]["flights"]), (0, 0))
        self.assertTrue(figures["writer"]["healthy"])
        self.assertEqual(len(figures["rate"]), 60)
        self.assertNotIn("ya29.", json.dumps(figures))

    def test_failed_attempts_count_where_they_failed(self):
        self.only(1)
        self.cloud.fail("503", account=email(1), times=2, host=VERTEX)
        self.asks(2)
        seen = until(lambda: [m for m in [self.members()] if m["gemini", "acct-1"]["errors"] == 2])
        self.assertTrue(seen, self.members())
        self.assertEqual((seen[0]["gemini", "acct-1"]["requests"], seen[0]["gemini", "acct-2"]["requests"]), (0, 2))
        self.cloud.fail("429", account=email(1), host=VERTEX)
        self.asks(1)
        self.assertTrue(until(lambda: self.members()["gemini", "acct-1"]["limited"] == 1), self.members())
        self.assertEqual(self.console.ask("figures")["errors_5m"], 0)

    def test_a_rest_of_the_whole_account_begins_a_window(self):
        self.only(1)
        self.asks(5)
        self.assertEqual(self.members()["gemini", "acct-1"]["requests"], 5)
        self.cloud.fail("401", account=email(1), times=2, host=VERTEX)
        self.asks(1)
        self.assertTrue(until(lambda: self.members()["gemini", "acct-1"]["requests"] == 0), self.members())

    def test_answers_of_our_own_are_requests_and_no_ones_share(self):
        self.assertEqual(self.lab.ask(token="gemini-nobody-0123456789").status, 401)
        self.lab.cs("account", "set", "acct-1", "state=off")
        self.lab.cs("account", "set", "acct-2", "state=off")
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 503))
        served = sum(r["status"] == 200 for r in self.cloud.log(VERTEX))
        figures = until(lambda: [f for f in [self.console.ask("figures")] if f["errors_5m"] == 1])
        self.assertTrue(figures)
        self.assertEqual(figures[0]["requests_5m"], served + 2)


class Live(FeedCase):
    def test_a_stalled_stream_and_its_end(self):
        for h2 in (False, True):
            with self.subTest(h2=h2):
                self.cloud.fail("stall-body", host=VERTEX, bytes=300)
                tunnel = self.begin(STREAM + "&x=secretquery", h2)
                row = self.live(1, "stream")[0]
                self.assertEqual(set(row), ROW)
                self.assertEqual((row["client"], row["status"], row["method"], row["host"], row["path"], row["model"]),
                                 ("alice", 200, "POST", VERTEX, STREAM.partition("?")[0], "gemini-2.5-pro"))
                self.assertEqual((row["front"], row["up"], row["down"] > 0), ("h2" if h2 else "h1", len(BODY), True))
                self.assertIn(row["back"], ("h1", "h2"))
                self.assertEqual(row["attempts"], [{"account": row["account"], "status": 200, "reason": None}])
                ms = row["ms"]
                self.assertTrue(0 <= ms["route"] <= ms["token"] <= ms["sent"] <= ms["first"] <= row["age_ms"], row)
                self.assertTrue(row["peer"].startswith("127.0.0.1:"))
                seen = self.members()
                self.assertEqual(seen["gemini", row["account"]]["open"], 1)
                self.assertEqual(sum(m["open"] for m in seen.values()), 1)
                self.assertEqual(self.connect().ask("end", id=row["id"]), {"ok": True, "cmd": "end"})
                if not h2:
                    with self.assertRaises(client.Broken):
                        tunnel.reader.response("POST")
                self.assertEqual(self.console.ask("live"), {"ok": True, "cmd": "live", "total": 0, "silent": 0, "live": []})
                self.assertEqual(self.console.ask("end", id=row["id"]), {"ok": False, "cmd": "end", "error": "no such request"})
                me = f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"
                what = f"ended request {row['id']} of alice"
                rows = until(lambda: self.lab.query("select who, what from event where what = ?", what))
                self.assertEqual([(r["who"], r["what"]) for r in rows], [(me, what)])
                self.assertTrue(until(lambda: "ended_by_operator" in self.lab.log_text()))

    def test_attempts_after_a_429_and_what_waits_for_its_answer(self):
        self.only(1)
        self.cloud.fail("429", account=email(1), host=VERTEX)
        self.cloud.fail("stall", account=email(2), host=VERTEX)
        self.begin(GENERATE)
        self.assertTrue(until(lambda: [r for r in self.console.ask("live")["live"] if len(r["attempts"]) == 2]))
        row = self.live(1, "send")[0]
        self.assertEqual(row["attempts"], [{"account": "acct-1", "status": 429, "reason": None},
                                           {"account": "acct-2", "status": 0, "reason": None}])
        self.assertEqual((row["account"], row["status"], row["ms"]["first"]), ("acct-2", 0, None))
        self.assertIsNotNone(row["ms"]["sent"])
        self.assertEqual(self.members()["gemini", "acct-2"]["open"], 1)
        self.assertEqual(self.members()["gemini", "acct-2"]["requests"], 0)
        self.assertTrue(self.console.ask("end", id=row["id"])["ok"])

    def test_what_has_not_gone_to_a_provider_shows_neither_path_nor_model(self):
        self.cloud.fail("stall", host="oauth2.googleapis.com", times=-1)
        self.begin(GENERATE + "?key=" + ALICE)
        row = self.live(1, "token")[0]
        self.assertEqual((row["path"], row["model"], row["back"], row["client"]), ("", "", None, "alice"))
        self.assertEqual((row["ms"]["token"], row["ms"]["sent"]), (None, None))
        self.assertNotIn(ALICE, json.dumps(self.console.ask("live")))
        self.assertTrue(self.console.ask("end", id=row["id"])["ok"])

    def test_a_body_that_does_not_come(self):
        tunnel = self.lab.tunnel(CLAUDE)
        self.addCleanup(tunnel.close)
        tunnel.send(client.request("POST", "/v1/messages", CLAUDE, [("x-api-key", BOB), ("content-length", "100")], b'{"max'))
        row = self.live(1, "model")[0]
        self.assertEqual((row["client"], row["account"], row["attempts"], row["up"]), ("bob", None, [], 5))
        self.assertEqual(row["ms"], {"route": None, "token": None, "sent": None, "first": None})
        self.assertTrue(self.console.ask("end", id=row["id"])["ok"])
        self.assertIsNone(tunnel.reader.line())

    def test_the_oldest_first_over_all_workers_and_no_more_than_asked(self):
        self.cloud.fail("stall", host=VERTEX, times=-1)
        for _ in range(12):
            self.begin(GENERATE)
        rows = self.live(12, "send")
        ages = [r["age_ms"] for r in rows]
        self.assertTrue(all(a >= b - 20 for a, b in zip(ages, ages[1:])), ages)  # each worker looks at its own moment
        some = self.console.ask("live", limit=5)
        self.assertEqual((some["total"], [r["id"] for r in some["live"]]), (12, [r["id"] for r in rows[:5]]))
        self.assertEqual(len(self.console.ask("live", limit=100000)["live"]), 12)
        for row in rows:
            self.assertTrue(self.console.ask("end", id=row["id"])["ok"])
        self.assertEqual(self.console.ask("live")["total"], 0)


class Trust(FeedCase):
    def test_who_refuses_our_certificate(self):
        none = self.console.ask("trust")
        self.assertEqual((none["ok_24h"], none["refused_24h"], none["refused"]), (0, 0, []))
        self.asks(1)
        self.assertTrue(until(lambda: self.console.ask("trust")["ok_24h"] == 1))
        proxy = f"127.0.0.1:{self.lab.port}"
        subprocess.run(["openssl", "s_client", "-verify_return_error", "-proxy", proxy, "-connect", VERTEX + ":443"],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, env=clean_env())
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "-x", "http://" + proxy, f"https://{VERTEX}/"],
                              capture_output=True, timeout=30, check=False, env=clean_env())
        self.assertEqual(done.returncode, 60, done)
        with self.assertRaises(ssl.SSLError):
            client.Tunnel(("127.0.0.1", self.lab.port), CLAUDE, context=ssl.create_default_context())
        seen = until(lambda: [t for t in [self.console.ask("trust")] if t["refused_24h"] == 3])
        self.assertTrue(seen, self.console.ask("trust"))
        rows = {r["host"]: r for r in seen[0]["refused"]}
        self.assertEqual(set(rows), {VERTEX, CLAUDE})
        self.assertEqual((rows[VERTEX]["peer"], rows[VERTEX]["why"], rows[VERTEX]["times"]), ("127.0.0.1", "unknown ca", 2))
        self.assertLess(abs(rows[CLAUDE]["last_at"] - time.time()), 60)
        self.assertEqual(seen[0]["ok_24h"], 1)

    def test_leaves(self):
        none = self.console.ask("leaves")
        self.assertEqual((none["cached"], none["hits"], none["signed"], none["leaves"]), (0, 0, 0, []))
        for _ in range(6):
            self.asks(1)
        self.assertStatus(self.lab.ask(CLAUDE, "/v1/messages", CLAUDE_BODY, VERSION, token=BOB, carrier="x-api-key"), 200)
        seen = until(lambda: [x for x in [self.console.ask("leaves")] if x["hits"] == 5])
        self.assertTrue(seen, self.console.ask("leaves"))
        self.assertEqual((seen[0]["cached"], seen[0]["signed"], seen[0]["max"]), (2, 2, 1024))
        rows = {r["host"]: r for r in seen[0]["leaves"]}
        self.assertEqual((rows[VERTEX]["hits"], rows[CLAUDE]["hits"]), (5, 0))
        self.assertLess(abs(rows[VERTEX]["signed_at"] - time.time()), 60)
        self.assertGreater(rows[VERTEX]["expires_at"], time.time() + 86400)
        self.assertEqual(len(self.console.ask("leaves", limit=1)["leaves"]), 1)


class Lines(FeedCase):
    """What consoles do to each other and to the daemon."""

    def test_answers_come_in_the_order_of_the_lines(self):
        words = ["figures", "live", "trust", "end", "leaves", "figures", "live"] * 20
        self.console.send(b"".join(json.dumps({"cmd": w, "id": "cs_none"}).encode() + b"\r\n" for w in words))
        self.assertEqual([self.console.line()["cmd"] for _ in words], words)

    def test_who_says_no_more_still_gets_every_answer(self):
        self.console.send(b'{"cmd":"figures"}\n{"cmd":"live"}\n{"cmd":"figures"}\n')
        self.console.sock.shutdown(socket.SHUT_WR)
        self.assertEqual([self.console.line()["cmd"] for _ in range(3)], ["figures", "live", "figures"])
        self.assertIsNone(self.console.line())

    def test_lines_that_mean_nothing(self):
        for line, cmd in ((b'{"cmd":"live","limit":0}', "live"), (b'{"cmd":"live","limit":"5"}', "live"), (b'{"cmd":"leaves","limit":-1}', "leaves"),
                          (b'{"cmd":"live","limit":1,"limit":2}', "live"), (b'{"cmd":"end"}', "end"), (b'{"cmd":"end","id":""}', "end"),
                          (b'{"cmd":"end","id":5}', "end"), (b'{"cmd":"end","id":"cs_\xff"}', "end"), (b'{"cmd":"end","id":"' + b"x" * 5000 + b'"}', "end"),
                          (b'{"cmd":"Figures"}', None), (b'{"cmd":"figures"', None), (b'{"cmd":"live\\u0000"}', None), (b"\0\1\2", None)):
            with self.subTest(line=line[:40]):
                self.console.send(line + b"\n")
                answer = self.console.line()
                self.assertEqual((answer["ok"], answer.get("cmd")), (False, cmd), answer)
                self.assertTrue(answer["error"])
        self.assertTrue(self.console.ask("figures")["ok"])

    def test_one_that_never_reads_and_one_that_leaves_harm_nobody(self):
        self.cloud.fail("stall", host=VERTEX, times=-1)
        for _ in range(5):
            self.begin(GENERATE)
        self.live(5, "send")
        mute = self.connect()
        mute.sock.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(200):
                mute.send(b'{"cmd":"live"}\n' * 500)
        for _ in range(30):
            hasty = Console(self.lab.path("credswap.sock"))
            hasty.send(b'{"cmd":"figures"}\n{"cmd":"live"}\n')
            hasty.close()
        self.assertEqual(self.console.ask("figures")["exchanges"] >= 0, True)
        self.assertEqual(self.console.ask("live")["total"], 5)
        self.cloud.reset()
        self.asks(1)

    def test_a_stop_while_consoles_ask(self):
        consoles = [self.connect() for _ in range(8)]
        for console in consoles:
            console.send(b'{"cmd":"figures"}\n{"cmd":"live"}\n' * 50)
        self.lab.stop()
