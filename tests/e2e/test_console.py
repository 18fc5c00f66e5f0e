"""The console's subcommands on a store that is in use: following, undoing, screens for people."""
import json
import os
import queue
import signal
import subprocess
import threading
import time

from harness import ALICE, CONSOLE, LabCase, clean_env, until

ROW = ("insert into request (at_ms, request_id, peer, client, account, tried, method, host, path, model, front, back, status,"
       " attempts, reason) select unixepoch() * 1000, printf('{0}-%05d', value), '127.0.0.1', 'alice', 'acct-1', '', 'POST',"
       " 'h', '/', 'm', 'h1', 'h1', 200, 1, '' from generate_series(1, {1});")


class Following:
    """`credswap ARGS --follow --json`, its lines as objects."""

    def __init__(self, lab, *args, **how):
        self.lines = queue.Queue()
        self.process = subprocess.Popen([CONSOLE, "--config", lab.conf, *args, "--follow", "--json"], env=clean_env(),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
        self.talk = []
        for stream, take in ((self.process.stdout, lambda line: self.lines.put(json.loads(line))),
                             (self.process.stderr, self.talk.append)):
            threading.Thread(target=self.read, args=(stream, take), daemon=True).start()

    @staticmethod
    def read(stream, take):
        for line in stream:
            take(line)

    def rows(self, enough, seconds=20):
        """What came until ENOUGH(rows) is true, and for a second afterwards."""
        found, end = [], time.monotonic() + seconds
        while not enough(found) and time.monotonic() < end:
            try:
                found.append(self.lines.get(timeout=0.2))
            except queue.Empty:
                pass
        time.sleep(1.2)
        while not self.lines.empty():
            found.append(self.lines.get())
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Follow(LabCase):
    LAB = {"accounts": 1, "claude": False}
    FRESH = True

    def follow(self, *args, **how):
        following = Following(self.lab, *args, **how)
        self.addCleanup(following.close)
        return following

    def mark(self, following, name, seconds=15):
        """Writes request NAME until the follower has seen it: from then on it follows."""
        count = 0

        def seen():
            nonlocal count
            count += 1
            self.lab.sql(ROW.format(f"{name}{count}", 1))
            return any(r["request_id"].startswith(name) for r in following.rows(bool, 1))
        self.assertTrue(until(seen, seconds))

    def test_a_burst_is_neither_cut_nor_doubled(self):
        following = self.follow("requests", "--limit", "1")
        self.mark(following, "first")
        self.lab.sql(ROW.format("burst", 2345))
        rows = following.rows(lambda found: len(found) >= 2345)
        self.assertEqual([r["request_id"] for r in rows], [f"burst-{n:05d}" for n in range(1, 2346)])

    def test_it_begins_with_the_last_ones(self):
        self.lab.sql(ROW.format("old", 7))
        following = self.follow("requests", "--limit", "3")
        self.assertEqual([r["request_id"] for r in following.rows(lambda found: len(found) >= 3)],
                         ["old-00005", "old-00006", "old-00007"])

    def test_a_closed_pipe_ends_it_without_a_new_row(self):
        reader, writer = os.pipe()
        following = subprocess.Popen([CONSOLE, "--config", self.lab.conf, "events", "--follow"], env=clean_env(),
                                     stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        self.assertTrue(os.read(reader, 1))
        os.close(reader)
        talk = following.communicate(timeout=10)[1]
        self.assertIn(following.returncode, (0, -signal.SIGPIPE))
        self.assertEqual(talk, "")

    def test_a_closed_pipe_is_no_full_disk(self):
        """As a service manager starts it: SIGPIPE is ignored."""
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([CONSOLE, "--config", self.lab.conf, "account", "list"], env=clean_env(), stdin=subprocess.DEVNULL,
                              stdout=writer, stderr=subprocess.PIPE, text=True, timeout=20, check=False, restore_signals=False)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_restart_of_the_daemon_does_not_end_it(self):
        following = self.follow("requests")
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual([r["status"] for r in following.rows(bool)], [200])
        self.lab.stop()
        self.lab.start()
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual([r["status"] for r in following.rows(bool)], [200])
        self.assertEqual(following.talk, [])

    def test_a_restored_store_is_followed(self):
        """Numbers are given again after it: neither history comes again, nor does something new stay away."""
        self.lab.sql(ROW.format("before", 3))
        self.lab.cs("backup", self.lab.path("saved.db"))
        self.lab.sql(ROW.format("lost", 5))
        requests, events = self.follow("requests"), self.follow("events")
        self.assertTrue(requests.rows(lambda found: len(found) >= 8))
        self.assertTrue(events.rows(bool))
        self.lab.stop()
        self.assertEqual(requests.rows(bool, 1), [])
        events.rows(bool, 1)
        self.lab.cs("restore", self.lab.path("saved.db"), "--yes")
        found = events.rows(lambda found: any("restored" in e["what"] for e in found))
        self.assertEqual([e["what"].split()[0] for e in found], ["restored"])
        self.lab.sql(ROW.format("after", 2))
        found = requests.rows(lambda found: len(found) >= 2)
        self.assertEqual([r["request_id"] for r in found], ["after-00001", "after-00002"])
        self.lab.start()

    def test_a_store_that_was_put_in_its_place_is_followed(self):
        self.lab.cs("backup", self.lab.path("moved.db"))
        following = self.follow("requests")
        self.mark(following, "first")
        self.lab.stop()
        for name in ("credswap.db", "credswap.db-wal", "credswap.db-shm"):
            if os.path.exists(self.lab.path(name)):
                os.rename(self.lab.path(name), self.lab.path(name + ".aside"))
        time.sleep(1.5)
        os.rename(self.lab.path("moved.db"), self.lab.path("credswap.db"))
        self.lab.start()
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertEqual([r["status"] for r in following.rows(bool)], [200])

    def test_a_locked_store_is_waited_for(self):
        self.lab.stop()
        following = self.follow("requests")
        self.mark(following, "first")
        shell = subprocess.Popen(["sqlite3", "-batch", self.lab.path("credswap.db")], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        shell.stdin.write("begin exclusive;\n" + ROW.format("locked", 4) + "\n")
        shell.stdin.flush()
        time.sleep(1.5)
        self.assertIsNone(following.process.poll())
        shell.stdin.write("commit;\n.quit\n")
        shell.stdin.close()
        shell.wait(10)
        self.assertEqual(len([r for r in following.rows(lambda found: len(found) >= 4) if r["request_id"].startswith("locked")]), 4)
        self.lab.start()

    def test_a_store_that_is_locked_at_the_start_is_75(self):
        self.lab.stop()
        shell = subprocess.Popen(["sqlite3", "-batch", self.lab.path("credswap.db")], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        shell.stdin.write("pragma locking_mode = exclusive; begin exclusive; create table x (y); select 'locked';\n")
        shell.stdin.flush()
        self.assertTrue(shell.stdout.readline())
        self.assertTrue(shell.stdout.readline())
        self.assertEqual(self.lab.cs("requests", status=None, timeout=30).returncode, 75)
        shell.kill()
        shell.communicate()
        self.lab.start()


class Screens(LabCase):
    LAB = {"accounts": 2, "claude": False}

    def test_filters_that_mean_nothing_are_refused(self):
        for args in (("requests", "--limit", "many"), ("requests", "--limit", "0"), ("requests", "--limit", "20000"),
                     ("requests", "--status", "6xx"), ("requests", "--status", "ok"), ("events", "--kind", "odd"),
                     ("events", "--limit", "-1"), ("usage", "--by", "day"), ("usage", "--since", "soon"), ("undo", "0"),
                     ("undo", "99999999999999999999")):
            done = self.lab.cs(*args, status=64)
            self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1), args)

    def test_one_status_or_a_class(self):
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertStatus(self.lab.ask(token="gemini-nobody-0123456789"), 401)
        self.assertTrue(until(lambda: len(self.lab.rows("requests")) >= 2, 5))
        for status, found in (("2xx", {200}), ("4xx", {401}), ("401", {401}), ("403", set())):
            self.assertEqual({r["status"] for r in self.lab.rows("requests", "--status", status)}, found)

    def test_status_is_a_screen(self):
        text = self.lab.cs("status").stdout
        for word in ("credswapd", "running", f"127.0.0.1:{self.lab.port}", "connections", "ACCOUNT", "acct-2", "sha256"):
            self.assertIn(word, text)
        self.assertNotIn("{", text)
        self.assertLess(max(map(len, text.splitlines())), 110)
        self.assertEqual(self.lab.cs_json("status")["state"], "running")

    def test_nodes(self):
        node = until(lambda: self.lab.rows("node", "list"), 5)[0]
        self.assertEqual((node["state"], node["pid"]), ("running", self.lab.daemon.pid))
        self.lab.sql("update node set seen_at = seen_at - 60")
        self.assertIn(self.lab.rows("node", "list")[0]["state"], ("silent", "running"))
        self.assertIn(node["name"], self.lab.cs("node", "list").stdout)

    def test_undo_of_one_event(self):
        self.lab.cs("account", "set", "acct-1", "weight=7")
        self.lab.cs("account", "set", "acct-2", "weight=8")
        event = [e for e in self.lab.rows("events") if "acct-1: weight=7" in e["what"]][-1]
        self.assertIn(f"{event['id']}  ", self.lab.cs("events").stdout)
        done = self.lab.cs("undo", str(event["id"]))
        self.assertIn("weight=7", done.stderr)
        weights = {m["account"]: m["weight"] for p in self.lab.rows("pool", "list") for m in p["members"]}
        self.assertEqual((weights["acct-1"], weights["acct-2"]), (1, 8))
        again = self.lab.cs("undo", str(event["id"]), status=1)
        self.assertIn("already", again.stderr)
        self.assertIn("no event 999999", self.lab.cs("undo", "999999", status=1).stderr)

    def test_events_of_a_person_are_found_by_name(self):
        who = self.lab.rows("events", "--kind", "audit")[0]["who"]
        self.assertTrue(self.lab.rows("events", "--who", who.split(" (")[0]))
        self.assertEqual(self.lab.rows("events", "--who", "nobody-of-that-name"), [])
