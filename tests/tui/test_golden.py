"""Whole screens of the console against tests/tui/screens, with a store, a clock and a daemon that are always the same.

CREDSWAP_REWRITE=1 (run.py --rewrite) writes the files anew instead of comparing.
"""
import contextlib
import difflib
import os
import re
import sqlite3
import time
import unittest

import console

SCREENS = os.path.join(console.HERE, "screens")
REWRITES = bool(os.environ.get("CREDSWAP_REWRITE"))
NAMES = ("accounts", "tokens", "clients", "live", "hosts", "events", "trust", "nodes")
SIZES = ((80, 24), (40, 10), (200, 50))
WAIT_S = 8


def read_golden(name):
    with open(os.path.join(SCREENS, name + ".txt"), encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


def difference(name, want, got):
    return "\n".join(difflib.unified_diff(want, got, f"screens/{name}.txt", "the terminal", lineterm=""))


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.lab = console.Fixed()
        cls.addClassCleanup(cls.lab.close)

    def setUp(self):
        self.lab.set_clock(console.NOW)
        self.addCleanup(self.lab.fake.forget)

    def open(self, width, height, *words, **env):
        terminal = self.lab.open(width, height, *words, **env)
        self.addCleanup(terminal.close)
        return terminal

    def shows(self, terminal, name, variant=""):
        """The terminal shows what the file says, and goes on doing so."""
        name = f"{name}.{terminal.screen.width}x{terminal.screen.height}" + (f".{variant}" if variant else "")

        def lines():  # how long until the next try is of another clock
            return [re.sub(r"next try in \S+ ", "next try in 1s ", line) for line in console.replace_lots(terminal.screen.text())]
        if REWRITES:
            terminal.settle(0.5)
            with open(os.path.join(SCREENS, name + ".txt"), "w", encoding="utf-8") as f:
                f.write("\n".join(lines()) + "\n")
            return
        want = read_golden(name)
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and (lines() != want or terminal.pump(0.05)):
            terminal.pump(0.05)
        if lines() != want:
            self.fail(f"after {WAIT_S} s:\n{difference(name, want, lines())}")
        self.assertEqual(terminal.screen.unknown, [])

    def leave(self, terminal):
        terminal.send("<esc>")  # what is staged is dropped
        terminal.settle()
        terminal.send("q")
        self.assertEqual(terminal.wait_end(), 0)
        self.assertTrue(terminal.is_cooked())
        self.assertFalse(terminal.screen.modes & {1000, 1002, 1006, 1049, 2004})


class Screens(Case):
    def test_every_screen_with_the_daemon(self):
        self.lab.fake.start()
        for width, height in SIZES:
            with self.subTest(size=(width, height)):
                terminal = self.open(width, height)
                for digit, name in enumerate(NAMES, 1):
                    terminal.send(str(digit))
                    self.shows(terminal, name)
                self.leave(terminal)

    def test_every_screen_without_a_daemon(self):
        for width, height in SIZES[:2]:
            with self.subTest(size=(width, height)):
                terminal = self.open(width, height)
                for digit, name in enumerate(NAMES, 1):
                    terminal.send(str(digit))
                    self.shows(terminal, name, "away")
                self.leave(terminal)

    def test_a_share_is_marked_only_where_the_daemon_has_followed(self):
        """Until then its answers were by other shares: right after each edit, everybody would look far off."""
        self.lab.fake.start()
        terminal = self.open(80, 24)
        terminal.wait_for("-9.1!")
        self.addCleanup(self.lab.sql, "UPDATE generation SET value = 214")
        self.lab.sql("UPDATE generation SET value = 215")
        terminal.wait_gone("-9.1!")
        self.assertTrue(terminal.screen.find("-9.1"), terminal.screen)
        self.leave(terminal)

    def test_figures_of_a_daemon_that_went_say_their_age(self):
        self.lab.fake.start()
        for width, height in SIZES:
            with self.subTest(size=(width, height)):
                terminal = self.open(width, height)
                terminal.wait_for("RUN")
                terminal.send("p")
                terminal.wait_for("paused")
                self.lab.fake.stop()
                self.lab.set_clock(console.NOW + 14)
                terminal.send("r")
                terminal.wait_for("DOWN?")
                terminal.send("k")
                self.shows(terminal, "accounts", "gone")
                self.leave(terminal)
                self.lab.fake.forget()
                self.lab.set_clock(console.NOW)
                self.lab.fake.start()


class Dialogs(Case):
    def test_apply(self):
        self.lab.fake.start()
        for width, height in SIZES:
            with self.subTest(size=(width, height)):
                terminal = self.open(width, height)
                terminal.wait_for("RUN")
                terminal.send("G", "k", "k", "]", "]", "j", "d")
                terminal.wait_for("STAGED 2")
                self.shows(terminal, "staged")
                terminal.send("w")
                self.shows(terminal, "apply")
                terminal.send("<enter>")  # confirms nothing
                self.shows(terminal, "apply")
                terminal.send("n")
                self.shows(terminal, "staged")
                terminal.send("<esc>")
                terminal.wait_for("dropped 2")
                self.leave(terminal)

    def test_help(self):
        self.lab.fake.start()
        for width, height in SIZES:
            with self.subTest(size=(width, height)):
                terminal = self.open(width, height)
                terminal.wait_for("RUN")
                terminal.send("?")
                self.shows(terminal, "help")
                terminal.send("/", "sigma", "<enter>")
                self.shows(terminal, "help-search")
                terminal.send("<esc>")
                self.shows(terminal, "accounts")
                self.leave(terminal)

    def test_an_entry_form(self):
        self.lab.fake.start()
        for width, height in SIZES:
            with self.subTest(size=(width, height)):
                terminal = self.open(width, height, "clients")
                terminal.wait_for("RUN")
                terminal.send("a")
                terminal.wait_for("add a client")
                terminal.send("frank", "<tab>", "<end>", "<backspace>", "x")
                self.shows(terminal, "form")
                terminal.send(*["<enter>"] * 7)  # there is no such service
                self.shows(terminal, "form-problem")
                terminal.send("<esc>")
                terminal.wait_gone("frank")
                self.leave(terminal)

    def test_a_command_line(self):
        terminal = self.open(80, 24)
        terminal.wait_for("DOWN")
        terminal.send(":", "account rm sa-old", "<enter>")
        self.shows(terminal, "command")
        terminal.send("<esc>")
        terminal.wait_gone("run this?")
        terminal.send(":", "host test api.anthropic.com", "<enter>")
        terminal.wait_for("closes")
        self.shows(terminal, "command-answer")
        terminal.send("<esc>")
        self.shows(terminal, "accounts", "away")
        self.leave(terminal)


class Terminals(Case):
    """The same words everywhere; what a terminal cannot show has another sign in its place."""

    def look(self, variant, sees_colour, **env):
        self.lab.fake.start()
        terminal = self.open(80, 24, None, **env)
        for digit, name in enumerate(NAMES, 1):
            terminal.send(str(digit))
            self.shows(terminal, name, variant)
            colours = {attrs.fg for row in terminal.screen.rows for _, attrs in row}
            self.assertEqual(colours != {None}, sees_colour, colours)
        terminal.send("1", "]", "w")
        self.shows(terminal, "apply", variant or "one")
        terminal.send("n")
        terminal.wait_gone("18.2% ->")
        self.leave(terminal)

    def test_vt100(self):
        self.look("ascii", False, TERM="vt100")

    def test_no_color(self):
        self.look("", False, NO_COLOR="1")

    def test_c_locale(self):
        self.look("ascii", True, LC_ALL="C")

    def test_colour(self):
        self.look("", True)

    def test_dumb(self):
        self.lab.fake.start()
        terminal = self.open(80, 24, TERM="dumb")
        self.assertEqual(terminal.wait_end(), 69)
        self.assertTrue(terminal.is_cooked())
        said = terminal.log.decode()
        self.assertIn("cannot move its cursor", said)
        self.assertIn("credswap --once --plain", said)
        self.assertNotIn("\033", said)

    def test_once_plain(self):
        """For cron and screen readers: lines, no sequences, with and without a daemon, on any TERM."""
        for there in (True, False):
            if there:
                self.lab.fake.start()
            else:
                self.lab.fake.forget()
            for name, variant, words, env in [(n, "plain", (), {"TERM": "dumb"}) for n in NAMES] + \
                    [(n, "plain-c", ("--ascii",), {"LC_ALL": "C"}) for n in NAMES]:
                with self.subTest(name=name, there=there):
                    said = self.lab.run("dashboard", name, "--once", "--plain", *words, **env)
                    self.assertNotIn("\033", said)
                    got = console.replace_lots(said.split("\n"))
                    file = f"{name}.{variant}" + ("" if there else ".away")
                    if REWRITES:
                        with open(os.path.join(SCREENS, file + ".txt"), "w", encoding="utf-8") as f:
                            f.write("\n".join(got) + "\n")
                    want = read_golden(file)
                    self.assertEqual(want, got, difference(file, want, got))

    def test_once_waits_for_each_answer(self):
        """Figures that are there and requests that are not yet would be a screen that nobody ever saw."""
        answer = self.lab.fake.answer

        def late(question):
            if question["cmd"] == "live":
                time.sleep(0.8)
            return answer(question)
        self.lab.fake.answer = late
        self.addCleanup(delattr, self.lab.fake, "answer")
        self.lab.fake.start()
        said = self.lab.run("dashboard", "live", "--once", "--plain", TERM="dumb")
        self.assertIn("5 under way", said)

    def test_once_sums_all_of_a_long_day(self):
        """The screen goes on while it sums in pieces; who prints one waits for the whole."""
        lab = console.Fixed()
        self.addCleanup(lab.close)
        noon = console.NOW - console.NOW % 60 - 60
        with contextlib.closing(sqlite3.connect(lab.path("credswap.db"))) as db, db:
            db.executemany("insert or ignore into usage (minute, client, account, model, requests) values (?, 'erin', 'sa-prod-1', ?, 1)",
                           [(noon - 60 * m, f"model-{k:03}") for m in range(20, 320) for k in range(300)])
        said = lab.run("dashboard", "clients", "--once", "--plain", TERM="dumb")
        erin = next(line for line in said.split("\n") if " erin " in line)
        self.assertIn("90K", erin, said)


class Files(unittest.TestCase):
    def test_every_file_belongs_to_a_test(self):
        """A screen that nobody compares would rot."""
        with open(__file__, encoding="utf-8") as f:
            text = f.read()
        for name in os.listdir(SCREENS):
            word, *parts = name[:-len(".txt")].split(".")
            self.assertIn(f'"{word}"', text, name)
            for part in parts:
                self.assertTrue(part in [f"{w}x{h}" for w, h in SIZES] or f'"{part}"' in text or part == "away", name)
