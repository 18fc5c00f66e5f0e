"""What the console was told and shown once is nowhere afterwards: not in what the terminal got, not in its memory."""
import base64
import contextlib
import json
import os
import re
import unittest

import console
import harness

PAGE = os.sysconf("SC_PAGE_SIZE")
PLACEHOLDER = re.compile(rb"gemini-[A-Za-z0-9_-]{20,}")


def touched(pagemap, first, last):
    """Spans of the pages between FIRST and LAST that are there (or swapped out), at most 16 MiB each."""
    flags = os.pread(pagemap.fileno(), (last - first) // PAGE * 8, first // PAGE * 8)
    start = None
    for i in range(0, len(flags), 8):
        at = first + i // 8 * PAGE
        is_there = flags[i + 7] & 0xc0
        if start is not None and (not is_there or at - start >= 1 << 24):
            yield start, at
            start = None
        if is_there and start is None:
            start = at
    if start is not None:
        yield start, last


def memory(pid):
    """All that the process holds, stacks and freed heap too, of the pages that were ever touched.  Needs the right to look
    (root, or its own user where the process lets it): the debug build lets."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem, \
            open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for line in maps:
            span, rights, *_ = line.split()
            first, last = (int(x, 16) for x in span.split("-"))
            if not rights.startswith("rw") or last - first > 1 << 32:  # the sanitizer's shadow holds no bytes of ours
                continue
            for at, end in touched(pagemap, first, last):
                with contextlib.suppress(OSError):
                    found.append((at, os.pread(mem.fileno(), end - at, at)))
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.lab = console.Fixed(is_clock_still=False)
        self.addCleanup(self.lab.close)

    def start(self, *words):
        terminal = self.lab.open(100, 40, *words)
        terminal.wait_for("credswap")
        return terminal

    def clean(self, terminal, secrets):
        """None of SECRETS in its memory, nor in what the terminal got, the page that showed one excepted."""
        pieces = memory(terminal.process.pid)
        self.assertGreater(sum(len(piece) for _, piece in pieces), 1 << 20)  # it was looked at
        for at, piece in pieces:
            for secret in secrets:
                where = piece.find(secret)
                self.assertEqual(where, -1, f"a secret lies at {at + where:x}")
        for secret in secrets:
            self.assertNotIn(secret, terminal.log)

    def shown_once(self, terminal, title):
        """The placeholder on the page; then the page is closed."""
        terminal.wait_for(title)
        terminal.settle()
        found = PLACEHOLDER.search("".join(terminal.screen.text()).encode())
        self.assertTrue(found, terminal.screen)
        self.assertTrue(any(found[0] in piece for _, piece in memory(terminal.process.pid)), "memory() finds nothing at all")
        terminal.send("<esc>")
        terminal.wait_gone("closes")
        terminal.settle()
        self.assertIsNone(PLACEHOLDER.search(str(terminal.screen).encode()), terminal.screen)
        terminal.log = b""  # from here on it may not come again
        return found[0]

    def leave(self, terminal):
        terminal.send("<f10>")
        self.assertEqual(terminal.wait_end(), 0)
        self.assertIsNone(PLACEHOLDER.search(str(terminal.screen).encode()), "on the terminal after the console")


class Clients(Case):
    def test_added_and_rotated(self):
        terminal = self.start("clients")
        terminal.wait_for("alice")
        terminal.send("a")
        terminal.wait_for("add a client")
        terminal.send("frank", *["<enter>"] * 7)
        terminal.wait_for("add this client?")
        terminal.settle()
        terminal.send("y")
        first = self.shown_once(terminal, "client added")
        self.clean(terminal, [first, first[8:]])
        terminal.wait_for("frank")
        terminal.send("/", "frank", "<enter>")
        terminal.wait_gone("alice  ")
        terminal.send("t")
        terminal.wait_for("y apply")
        terminal.settle()
        terminal.send("y")
        second = self.shown_once(terminal, "closes")
        self.assertNotEqual(first, second)
        self.clean(terminal, [first, second])
        self.leave(terminal)
        for name in os.listdir(self.lab.dir):
            if name.startswith("credswap.db"):
                with open(self.lab.path(name), "rb") as f:
                    data = f.read()
                self.assertFalse(first in data or second in data, name)


class Keys(Case):
    def pasted(self):
        with open(harness.key_file(1), encoding="utf-8") as f:
            text = f.read()
        lines = json.loads(text)["private_key"].splitlines()
        der = base64.b64decode("".join(lines[1:-1]))
        return text, [lines[2].encode(), lines[-3].encode(), der[200:232], der[-100:-68]]

    def test_pasted(self):
        text, secrets = self.pasted()
        terminal = self.start("accounts")
        terminal.wait_for("sa-prod-1")
        terminal.send("a")
        terminal.wait_for("add an account")
        terminal.send("<tab>", "sa-new", *["<enter>"] * 5)
        terminal.wait_for("paste the key file")
        terminal.paste(text)
        terminal.wait_for("add this account?")
        terminal.settle()
        terminal.send("y")
        terminal.wait_for("OK  ")
        terminal.wait_for("sa-new")
        terminal.settle()
        self.clean(terminal, secrets)
        self.leave(terminal)

    def test_pasted_and_given_up(self):
        text, secrets = self.pasted()
        terminal = self.start("accounts")
        terminal.wait_for("sa-prod-1")
        terminal.send("a")
        terminal.wait_for("add an account")
        terminal.send(*["<enter>"] * 6)
        terminal.wait_for("paste the key file")
        terminal.paste(text[:-3])
        terminal.settle()
        terminal.paste(" ,}\n}\n")  # whole, and yet none: a parser has had it in its hands
        terminal.settle()
        terminal.send("<esc>")
        terminal.wait_gone("paste the key file")
        terminal.settle()
        self.clean(terminal, secrets)
        terminal.send("a")
        terminal.wait_for("add an account")
        terminal.send(*["<enter>"] * 6)
        terminal.wait_for("paste the key file")
        terminal.paste(text)
        terminal.wait_for("add this account?")
        terminal.settle()
        terminal.send("n")
        terminal.wait_gone("add this account?")
        terminal.settle()
        self.clean(terminal, secrets)
        self.leave(terminal)


class Pages(Case):
    def test_no_screen_has_more_than_a_prefix(self):
        """Each screen, with the details of each row: what the store says of placeholders, keys and tokens is prefixes."""
        terminal = self.start()
        for digit in "12345678":
            terminal.send(digit)
            for _ in range(8):
                terminal.send("<enter>")
                terminal.settle(0.1)
                terminal.send("<esc>")
                terminal.settle(0.06)
                terminal.send("j")
        terminal.settle()
        for pattern in (PLACEHOLDER, re.compile(rb"ya29\."), re.compile(rb"PRIVATE " + rb"KEY"), re.compile(rb"sk-ant-")):
            self.assertIsNone(pattern.search(terminal.log), pattern)
        self.leave(terminal)
