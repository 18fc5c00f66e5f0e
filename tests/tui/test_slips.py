"""Keys that come too early, pastes, and what ends beside an open question: nothing is applied that nobody saw."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from terminal import Terminal

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("CREDSWAP_BUILD") or os.path.join(HERE, "../../build/debug")
CREDSWAP = os.path.join(os.path.abspath(BUILD), "credswap")
CONF = """listen { proxy = {"127.0.0.1:3128"}
  socket = "%(dir)s/none.sock" }
store { url = "sqlite:%(dir)s/store.db"
  master_key_file = "%(dir)s/master.key" }
ca { cert = "%(dir)s/ca.pem"
  key = "%(dir)s/ca.key" }
"""


class Slips(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="credswap-tui-")
        self.addCleanup(shutil.rmtree, self.dir)
        with open(self.path("conf"), "w", encoding="utf-8") as f:
            f.write(CONF % {"dir": self.dir})
        self.run_console("ca", "init")
        for name in ("alice", "bob"):
            self.run_console("client", "add", name, "--service", "gemini")

    def path(self, name):
        return os.path.join(self.dir, name)

    def run_console(self, *words):
        subprocess.run([CREDSWAP, "--config", self.path("conf"), *words], check=True, capture_output=True, timeout=60)

    def ask(self, query):
        store = sqlite3.connect(f"file:{self.path('store.db')}?mode=ro", uri=True)
        try:
            return store.execute(query).fetchall()
        finally:
            store.close()

    def is_on(self, name):
        return self.ask(f"SELECT state FROM client WHERE name = '{name}'") != [("off",)]

    def open(self, screen, width=80, height=24):
        terminal = Terminal([CREDSWAP, "--config", self.path("conf"), "dashboard", screen], width, height)
        self.addCleanup(terminal.close)
        terminal.wait_for("?help" if width >= 60 and height >= 16 else "alice")
        terminal.settle()
        return terminal

    def test_a_key_from_before_the_question_does_not_answer_it(self):
        with self.open("clients") as terminal:
            terminal.send("xy")
            terminal.wait_for("switch off?")
            terminal.settle()
            self.assertTrue(terminal.screen.find("switch off?"))
            self.assertTrue(self.is_on("alice"))
            terminal.send("y")
            terminal.wait_for("OK ")
            self.assertFalse(self.is_on("alice"))

    def test_a_word_from_before_the_question_does_not_answer_it(self):
        with self.open("clients") as terminal:
            terminal.send("Ralice\r")
            terminal.wait_for("revoke this client?")
            terminal.settle()
            self.assertTrue(terminal.screen.find("revoke this client?"))
            self.assertEqual(self.ask("SELECT count(*) FROM event WHERE what LIKE '%revoke%'"), [(0,)])

    def test_what_is_pasted_acts_as_no_key(self):
        with self.open("clients") as terminal:
            terminal.paste("x")
            terminal.settle()
            self.assertFalse(terminal.screen.find("switch off?"))
            terminal.send("x")
            terminal.wait_for("switch off?")
            terminal.settle()
            terminal.paste("y")
            terminal.settle()
            self.assertTrue(terminal.screen.find("switch off?"))
            self.assertTrue(self.is_on("alice"))
            terminal.send("y")
            terminal.wait_for("OK ")

    def test_an_escape_in_a_paste_ends_no_paste(self):
        with self.open("clients") as terminal:
            terminal.send(":")
            terminal.settle()
            terminal.paste("client set bob state=off\033\033\nyy")
            terminal.settle()
            self.assertFalse(terminal.screen.find("run this?"))
            terminal.send("<esc>")
            terminal.settle()
            self.assertTrue(self.is_on("bob"))

    def test_a_lost_end_of_a_paste_is_left_with_esc(self):
        with self.open("clients") as terminal:
            terminal.send("\033[200~abc")
            terminal.settle(1.2)
            terminal.send("<esc>")
            terminal.settle()
            terminal.send("x")
            terminal.wait_for("switch off?")

    def test_what_ended_waits_for_the_question_at_hand(self):
        with self.open("clients") as terminal:
            terminal.send(":")
            terminal.settle()
            terminal.send("client list\r/")
            terminal.send("ali")
            terminal.wait_for("/ali")
            terminal.settle(0.5)
            self.assertTrue(terminal.screen.find("/ali"))

    def change(self, *sql):
        store = sqlite3.connect(self.path("store.db"))
        with contextlib.closing(store), store:
            for one in sql:
                store.execute(one)

    def test_a_weight_goes_to_the_account_that_was_named(self):
        """It left the list while it was typed, and the cursor is on another one."""
        self.change("INSERT INTO account (name, kind, state) VALUES ('one', 'service', 'up'), ('two', 'service', 'up')",
                    "INSERT INTO pool_member (pool, account, weight) VALUES ('gemini', 'one', 1), ('gemini', 'two', 1)")
        with self.open("accounts") as terminal:
            terminal.send("=")
            terminal.wait_for("weight of one")
            self.change("DELETE FROM pool_member WHERE account = 'one'")
            terminal.wait_for("1 accounts")
            terminal.send("7", "<enter>")
            terminal.wait_for("left this list")
            terminal.send("<esc>")
            terminal.settle()
            self.assertFalse(terminal.screen.find("STAGED"), terminal.screen)

    def test_a_form_is_of_the_settings_that_it_began_with(self):
        with self.open("clients") as terminal:
            terminal.send("l")
            terminal.wait_for("requests/min")
            self.change("UPDATE client SET tokens_per_day = 77 WHERE name = 'alice'")
            terminal.settle(1.5)
            terminal.send("<tab>", "\x15", "50", "\x18")
            terminal.wait_for("y apply")
            terminal.settle()
            terminal.send("y")
            terminal.wait_for("nothing was changed")
        self.assertEqual(self.ask("SELECT rpm, tokens_per_day FROM client WHERE name = 'alice'"), [(0, 77)])

    def test_a_review_that_goes_on_says_so(self):
        with self.open("clients", 80, 12) as terminal:
            terminal.send("?")
            terminal.wait_for("more: j")

    def test_leaving_by_command_asks_as_the_key_does(self):
        self.change("INSERT INTO account (name, kind, state) VALUES ('one', 'service', 'up')",
                    "INSERT INTO pool_member (pool, account, weight) VALUES ('gemini', 'one', 1)")
        with self.open("accounts") as terminal:
            terminal.send("+")
            terminal.wait_for("STAGED 1")
            terminal.send(":")
            terminal.settle()
            terminal.send("q", "<enter>")
            terminal.wait_for("leave?")

    def test_an_event_makes_no_line_of_the_question(self):
        self.change("UPDATE event SET what = 'harmless' || char(10) || '! all is well, press y' WHERE what LIKE 'client bob%'")
        with self.open("clients") as terminal:
            terminal.send("u")
            terminal.wait_for("harmless?! all is well")

    def test_a_pasted_key_is_nowhere_once_it_was_given_up(self):
        secret = "MARK" + "kq7Zt2" * 6 + "END"
        with self.open("accounts") as terminal:
            terminal.send("a")
            terminal.wait_for("add an account")
            for _ in range(6):
                terminal.send("\r")
            terminal.wait_for("paste the key file")
            terminal.settle()
            terminal.paste('{"type": "service_account", "private_key": "%s"}' % secret)
            terminal.wait_for("add this account?")
            self.assertGreater(self.count_in_memory(terminal, secret), 0)
            terminal.settle()
            terminal.send("n")
            terminal.wait_gone("add this account?")
            self.assertEqual(self.count_in_memory(terminal, secret), 0)

    @staticmethod
    def count_in_memory(terminal, text):
        pid, found = terminal.process.pid, 0
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                begin, end = (int(at, 16) for at in line.split()[0].split("-"))
                if line.split()[1][:2] != "rw" or end - begin > 1 << 28:
                    continue
                with contextlib.suppress(OSError, OverflowError):
                    memory.seek(begin)
                    found += memory.read(end - begin).count(text.encode())
        return found


if __name__ == "__main__":
    unittest.main()
