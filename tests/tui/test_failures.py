"""What breaks around the console: it says so in words, loses nothing, and leaves the terminal as it was."""
import contextlib
import errno
import os
import shlex
import signal
import sqlite3
import time
import unittest

import console
from terminal import Terminal

TERM_S = 1.0  # a console whose terminal has gone ends within this
SLOW_S = 20


class Case(unittest.TestCase):
    def setUp(self):
        self.lab = console.Fixed(is_clock_still=False)
        self.addCleanup(self.lab.close)

    def open(self, *words, **how):
        terminal = self.lab.open(80, 24, *words, **how)
        terminal.wait_for("sa-prod-1")
        return terminal

    def stage(self, terminal, keys="]"):
        """A weight of the first account, sa-dev-1 of 20."""
        terminal.send(keys)
        terminal.wait_for("STAGED 1")

    def apply(self, terminal):
        terminal.send("w")
        terminal.wait_for("y apply")
        terminal.settle()  # who types before it stands did not read it
        terminal.send("y")

    def read(self, terminal):
        """What was not done stands in the result line; a long sentence on a page of its own, which is closed."""
        terminal.wait_for("ERROR")
        terminal.settle()
        if terminal.screen.find("it was not done"):
            terminal.send("<esc>")
            terminal.wait_gone("it was not done")
        terminal.send("k")

    def weight(self):
        return self.lab.query("select weight from pool_member where pool = 'gemini' and account = 'sa-dev-1'")[0][0]

    def restored(self, terminal):
        self.assertTrue(terminal.is_cooked())
        self.assertFalse(terminal.screen.modes & {1000, 1002, 1006, 1049, 2004}, terminal.screen.modes)
        self.assertTrue(terminal.screen.cursor_is_shown())
        self.assertNotIn(b"Sanitizer", terminal.log)

    def leave(self, terminal):
        terminal.send("<f10>")
        self.assertEqual(terminal.wait_end(), 0)
        self.restored(terminal)


class Daemon(Case):
    def test_killed_and_back(self):
        self.lab.fake.start()
        terminal = self.open()
        terminal.wait_for("RUN")
        self.stage(terminal)
        self.lab.fake.stop()
        terminal.wait_for("DOWN?")
        terminal.wait_for("figures are from")
        self.assertTrue(terminal.screen.find("20>30"), terminal.screen)
        self.lab.fake.forget()
        self.lab.fake.start()
        terminal.wait_for("RUN", SLOW_S)
        terminal.wait_gone("figures are from")
        self.assertTrue(terminal.screen.find("20>30"), terminal.screen)
        self.apply(terminal)
        terminal.wait_for("OK  ")
        self.assertEqual(self.weight(), 30)
        self.leave(terminal)

    def test_answers_that_are_none(self):
        """Garbage, a wrong word, a number where a name belongs: a sentence, and the store's own figures."""
        for said in (b"\x1b[31mnope\n", b'{"ok":true,"cmd":"trust"}\n', b'{"ok":false,"cmd":"figures","error":"\\u001b[31mno"}\n',
                     b'{"ok":true,"cmd":"figures","members":[{"pool":7}]}\n', b"[" * 4000 + b"\n"):
            with self.subTest(said=said[:40]):
                self.lab.fake.answer = lambda question, said=said: said
                self.lab.fake.start()
                terminal = self.open()
                terminal.wait_for("!! the daemon")
                self.assertFalse(terminal.screen.find("err 0.0%"), terminal.screen)  # no figure that nobody told
                self.assertNotIn(b"\x1b[31mno", terminal.log)
                self.leave(terminal)
                self.lab.fake.forget()

    def test_silent(self):
        self.lab.fake.answer = lambda question: b""
        self.lab.fake.start()
        terminal = self.open()
        terminal.wait_for("no answer for", 10)
        self.stage(terminal)  # it goes on
        self.leave(terminal)


class Store(Case):
    @contextlib.contextmanager
    def locked(self):
        with contextlib.closing(sqlite3.connect(self.lab.path("credswap.db"), isolation_level=None, timeout=5)) as other:
            other.execute("begin exclusive")
            yield
            other.execute("rollback")

    def test_locked_for_five_seconds(self):
        terminal = self.open()
        self.stage(terminal)
        with self.locked():
            begin = time.monotonic()
            self.apply(terminal)
            terminal.wait_for("working")
            terminal.send("2")  # the screen lives meanwhile
            terminal.wait_for("[2 Tokens]", 2)
            terminal.send("1")
            terminal.wait_for("[1 Accts]", 2)
            terminal.wait_until(lambda: time.monotonic() > begin + 5 or terminal.screen.find("ERROR"), 8)
        terminal.wait_gone("working")
        if terminal.screen.find("ERROR"):  # it had waited as long as it would
            self.assertTrue(terminal.screen.find("lock"), terminal.screen)
            self.assertEqual(self.weight(), 20)
            self.read(terminal)
            terminal.wait_for("STAGED 1")
            self.apply(terminal)
        terminal.wait_until(lambda: self.weight() == 30)
        terminal.wait_gone("STAGED")
        self.leave(terminal)

    def test_locked_for_too_long(self):
        terminal = self.open()
        self.stage(terminal)
        with self.locked():
            self.apply(terminal)
            terminal.wait_for("ERROR", 12)
            self.assertTrue(terminal.screen.find("lock"), terminal.screen)
            self.assertEqual(self.weight(), 20)
        self.read(terminal)
        terminal.wait_for("STAGED 1")
        self.apply(terminal)
        terminal.wait_for("OK  ")
        self.assertEqual(self.weight(), 30)
        self.leave(terminal)

    def test_disk_full(self):
        terminal = self.open()
        self.stage(terminal)
        self.lab.refuse_writes(errno.ENOSPC)
        self.apply(terminal)
        terminal.wait_for("ERROR")
        self.assertTrue(terminal.screen.find("full"), terminal.screen)
        self.assertEqual(self.weight(), 20)
        self.lab.refuse_writes(0)
        self.read(terminal)
        terminal.wait_for("STAGED 1")
        self.apply(terminal)
        terminal.wait_for("OK  ")
        self.assertEqual(self.weight(), 30)
        self.leave(terminal)

    def test_newer_schema(self):
        terminal = self.open()
        self.stage(terminal)
        self.lab.sql("pragma user_version = 99")
        terminal.wait_for("LOOK ONLY")
        terminal.wait_for("a newer credswap made this store")
        self.apply(terminal)
        terminal.wait_for("ERROR")
        self.assertTrue(terminal.screen.find("newer"), terminal.screen)
        self.assertEqual(self.weight(), 20)
        self.read(terminal)
        self.leave(terminal)

    def test_gone_and_back(self):
        terminal = self.open()
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.lab.path("credswap.db" + end), self.lab.path("away" + end))
        terminal.wait_for("the store is gone")
        self.assertTrue(terminal.screen.find("sa-prod-1"), terminal.screen)
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.lab.path("away" + end), self.lab.path("credswap.db" + end))
        terminal.wait_gone("the store is gone")
        self.leave(terminal)

    def test_two_consoles(self):
        """The second is told what the first did, before and at the moment of applying; nothing is overwritten."""
        one, two = self.open(), self.open()
        self.stage(one)
        self.stage(two, "[")
        self.apply(one)
        one.wait_for("OK  ")
        two.wait_for("changed since")
        two.send("w")
        two.wait_for("somebody changed it")
        two.settle()
        two.send("y")
        two.wait_for("ERROR")
        self.assertEqual(self.weight(), 30)
        self.read(two)
        two.wait_for("STAGED 1")
        two.send("<esc>")
        two.wait_gone("STAGED")
        two.send("[")
        two.wait_for("30>20")
        self.apply(two)
        two.wait_for("OK  ")
        self.assertEqual(self.weight(), 20)
        self.leave(one)
        self.leave(two)

    def test_changed_between_review_and_y(self):
        terminal = self.open()
        self.stage(terminal)
        terminal.send("w")
        terminal.wait_for("y apply")
        self.lab.run("pool", "set", "gemini", "sa-dev-1=7")
        terminal.send("y")
        terminal.wait_for("ERROR")
        self.assertEqual(self.weight(), 7)
        self.read(terminal)
        self.leave(terminal)


class Ends(Case):
    def test_terminal_closed(self):
        terminal = self.open()
        self.stage(terminal)
        terminal.hang_up()
        begin = time.monotonic()
        terminal.process.wait(10)
        self.assertLess(time.monotonic() - begin, TERM_S)
        self.assertEqual(self.weight(), 20)

    def test_terminal_closed_in_a_dialog(self):
        terminal = self.open()
        terminal.send("a")
        terminal.wait_for("add an account")
        terminal.hang_up()
        begin = time.monotonic()
        terminal.process.wait(10)
        self.assertLess(time.monotonic() - begin, TERM_S)

    def test_signals(self):
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            with self.subTest(number=number):
                terminal = self.open()
                self.stage(terminal)
                terminal.send("w")
                terminal.wait_for("y apply")
                terminal.kill(number)
                begin = time.monotonic()
                terminal.wait_end()
                self.assertLess(time.monotonic() - begin, TERM_S)
                self.restored(terminal)
                self.assertEqual(self.weight(), 20)

    def test_suspended_and_back(self):
        """As a shell does it: Ctrl-Z, a prompt on a terminal that is as it was, fg."""
        script = self.lab.path("run.sh")
        words = [f"{name}={shlex.quote(value)}" for name, value in self.lab.environment().items()]
        with open(script, "w", encoding="utf-8") as f:
            f.write(f"exec env {' '.join(words)} {shlex.join(self.lab.command('dashboard'))}\n")
        terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], 80, 24, {"PS1": "PROMPT ", "HISTFILE": "/dev/null"}, cwd=self.lab.dir)
        self.addCleanup(terminal.close)
        terminal.wait_for("PROMPT")
        terminal.send("sh run.sh\r")
        terminal.wait_for("sa-prod-1")
        self.stage(terminal)
        terminal.send("\x1a")
        terminal.wait_for("Stopped")
        self.assertFalse(terminal.screen.modes & {1000, 1002, 1006, 1049}, terminal.screen.modes)
        terminal.send("echo $((41 + 1))\r")
        terminal.wait_for("42")
        terminal.send("fg\r")
        terminal.wait_for("STAGED 1")
        terminal.wait_for("20>30")
        terminal.send("<f10>")
        terminal.wait_for("PROMPT")
        terminal.settle()
        self.restored_shell(terminal)

    def restored_shell(self, terminal):
        self.assertFalse(terminal.screen.modes & {1000, 1002, 1006, 1049}, terminal.screen.modes)
        terminal.send("stty -a\r")
        terminal.wait_for("-echonl")
        self.assertTrue(terminal.screen.find(" echo "), terminal.screen)
        terminal.send("exit\r")
        self.assertEqual(terminal.wait_end(), 0)
