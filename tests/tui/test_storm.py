"""Random sizes and random keys.  The console neither ends nor hangs, and without a confirmation nothing changes.

CREDSWAP_FULL=1 (run.py --full): 1,000 sizes and 100,000 keys.  CREDSWAP_SEED=N repeats a storm; the seed is printed.
"""
import os
import random
import time
import unittest

import console
from terminal import KEYS

FULL = bool(os.environ.get("CREDSWAP_FULL"))
SIZES, PRESSED = (1000, 100000) if FULL else (150, 12000)
WILD_SIZES, WILD_PRESSED = (200, 20000) if FULL else (40, 3000)
HANG_S = 30
BURSTS = (1, 2, 5, 20, 80)  # keys at once: what was typed before a question opened is dropped, so few of many act
NAMES = [name for name in KEYS if name not in ("esc", "f10")]
TYPED = "".join(chr(c) for c in range(0x20, 0x7f))
LEAVES = "q"  # these end the console, as they should: F10, Ctrl-C and the terminal's own signals are left out, too
CONTROL = [chr(c) for c in range(1, 32) if chr(c) not in "\x03\x11\x13\x1a\x1b\x1c\r\n"]


class Storm:
    """Draws keys.  confirms: y and n and whole words of a typed confirmation may come, too."""

    def __init__(self, seed, confirms):
        self.dice = random.Random(seed)
        self.letters = [c for c in TYPED if c not in LEAVES and (confirms or c not in "yY")]
        self.confirms = confirms

    def key(self):
        """Esc with what follows it at once would be another key: it comes with a pause, and so apart (esc())."""
        kind = self.dice.random()
        if kind < 0.62:
            return self.dice.choice(self.letters)
        if kind < 0.80:
            return KEYS[self.dice.choice(NAMES)] if self.confirms else KEYS[self.dice.choice([n for n in NAMES if n != "enter"])]
        if kind < 0.86:
            return "\r"
        if kind < 0.88:
            return "\x1b[<%d;%d;%d%s" % (self.dice.choice((0, 64, 65)), self.dice.randint(1, 300), self.dice.randint(1, 100), self.dice.choice("Mm"))
        if kind < 0.90:
            return self.dice.choice(("\u00e4", "\u20ac", "\U0001f600", "\ufffd"))
        if kind < 0.92:
            return "\x1b[200~" + "".join(self.dice.choice(self.letters) for _ in range(self.dice.randint(0, 30))) + "\x1b[201~"
        if kind < 0.94:
            return self.dice.choice("12345678")
        return self.dice.choice(CONTROL)

    def burst(self, count):
        return "".join(self.key() for _ in range(count))

    def size(self):
        if self.dice.random() < 0.5:
            return self.dice.randint(1, 300), self.dice.randint(1, 100)
        return self.dice.randint(1, 90), self.dice.randint(1, 30)


class Case(unittest.TestCase):
    def setUp(self):
        self.lab = console.Fixed(is_clock_still=False)
        self.addCleanup(self.lab.close)
        self.lab.become_nobody()
        self.seed = int(os.environ.get("CREDSWAP_SEED") or random.randrange(1 << 30))
        print(f"      {self.id()}: CREDSWAP_SEED={self.seed}", flush=True)

    def start(self):
        terminal = self.lab.open(80, 24, limit_s=900)
        self.addCleanup(terminal.close)
        terminal.wait_for("credswap")
        return terminal

    def blow(self, terminal, storm, sizes, pressed, back):
        """Keys and sizes; what was typed must be read within HANG_S.  BACK is called when the console ended by itself."""
        rest = pressed
        for i in range(sizes):
            count = rest if i == sizes - 1 else pressed // sizes
            rest -= count
            while count > 0:
                n = min(storm.dice.choice(BURSTS), count)
                count -= n
                if terminal.process.poll() is not None:
                    terminal = back(terminal)
                try:
                    terminal.send(storm.burst(n))
                except OSError:  # it ended meanwhile
                    continue
                if storm.dice.random() < 0.3:
                    terminal.pump(0.03)
                    terminal.send("<esc>")
                    terminal.pump(0.03)
                self.drain(terminal)
            width, height = storm.size()
            terminal.set_size(width, height)
        return terminal

    def drain(self, terminal):
        end = time.monotonic() + HANG_S
        while terminal.unread() and terminal.process.poll() is None:
            terminal.pump(0.005)
            if time.monotonic() > end:
                self.fail(f"it does not read its keys for {HANG_S} s")

    def ends_well(self, terminal):
        """Leaves by Esc and q, and says nothing that a sanitizer would say."""
        for _ in range(6):
            terminal.send("<esc>")
            terminal.pump(0.05)
            terminal.settle(0.1)
        terminal.set_size(80, 24)
        terminal.settle(0.3)
        terminal.send("<f10>")
        self.assertEqual(terminal.wait_end(30), 0, terminal.log[-3000:])
        self.check(terminal)

    def check(self, terminal):
        self.assertTrue(terminal.is_cooked())
        for words in (b"Sanitizer", b"runtime error", b"BUG"):
            self.assertNotIn(words, terminal.log[-20000:])


class Calm(Case):
    def test_without_a_confirmation_nothing_changes(self):
        before = self.lab.configuration()
        storm = Storm(self.seed, confirms=False)
        terminal = self.start()
        terminal.is_blind = True

        def back(ended):
            self.fail(f"it ended with {ended.process.returncode}: {ended.log[-3000:]}")
        terminal = self.blow(terminal, storm, SIZES, PRESSED, back)
        self.ends_well(terminal)
        after = self.lab.configuration()
        for name, rows in before.items():
            self.assertEqual(rows, after[name], name)


class Wild(Case):
    def test_with_every_key_it_stands(self):
        storm = Storm(self.seed, confirms=True)

        def again(ended):
            """`:q`, y at "leave?" and the like end it: that is no crash."""
            if ended is not None:
                self.assertEqual(ended.wait_end(), 0, ended.log[-3000:])
                self.check(ended)
            terminal = self.start()
            terminal.is_blind = True
            return terminal
        terminal = self.blow(again(None), storm, WILD_SIZES, WILD_PRESSED, again)
        if terminal.process.poll() is None:
            self.ends_well(terminal)
