"""admin-tui/ui on real pseudo terminals: what is drawn, typed, cut off, and left behind."""
import os
import random
import signal
import subprocess
import time
import unittest

from terminal import Terminal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("CREDSWAP_BUILD") or os.path.join(ROOT, "build/debug"))
DRIVER = os.path.join(BUILD, "tests/ui_driver")
OLD = ("vt100", "ansi", "linux")


class Case(unittest.TestCase):
    def start(self, *options, term="xterm-256color", width=80, height=24, **env):
        terminal = Terminal([DRIVER, *options], width, height, {"TERM": term, **env})
        self.addCleanup(terminal.close)
        if width >= 40 and height >= 10:
            terminal.wait_for("END")
            terminal.settle()
        return terminal

    def restored(self, terminal):
        screen = terminal.screen
        self.assertFalse(screen.modes & {1000, 1002, 1006, 1049, 2004}, screen.modes)
        self.assertTrue(screen.cursor_is_shown())
        self.assertTrue(terminal.is_cooked())


class Show(Case):
    def test_every_terminal_shows_the_same_words(self):
        for term in ("xterm-256color", "xterm", "tmux-256color", "screen", "linux", "vt100", "vt220", "ansi"):
            for locale in ("C.UTF-8", "C"):
                with self.subTest(term=term, locale=locale):
                    terminal = self.start(term=term, LC_ALL=locale)
                    lines = terminal.screen.text()
                    self.assertEqual(lines[0], "ui driver 80x24")
                    self.assertEqual(lines[1], "good  warn  fail  dim   reverse")
                    is_utf8 = locale != "C" and not term.startswith(("vt", "ansi", "linux"))
                    self.assertEqual(lines[2], "\u2588" * 10 + lines[2][10:] if is_utf8 else "#" * 10 + "." * 10)
                    self.assertEqual(lines[3], ("Z\u00fcrich" if is_utf8 else "Z?rich") + " ?[31m?")
                    self.assertEqual(lines[6], "row 6 " + "." * 48)
                    self.assertEqual(lines[23], "row 23 " + "." * 48 + " " * 22 + "END")
                    self.assertEqual(terminal.screen.unknown, [])
                    terminal.send("q")
                    self.assertEqual(terminal.wait_end(), 0)
                    self.restored(terminal)

    def test_an_unchanged_screen_sends_nothing(self):
        for term in ("xterm-256color", "vt100", "ansi"):
            terminal = self.start(term=term)
            before = terminal.bytes_received
            terminal.settle(1.0)  # it is shown three times meanwhile
            self.assertEqual(terminal.bytes_received, before)

    def test_a_key_changes_few_bytes(self):
        terminal = self.start()
        before = terminal.bytes_received
        terminal.send("x")
        terminal.wait_for("keys 78")
        terminal.settle()
        self.assertLess(terminal.bytes_received - before, 60)
        self.assertEqual(terminal.screen.clears, self.start().screen.clears)

    def test_colours_and_their_absence(self):
        colored = self.start().screen
        self.assertEqual([colored.attrs(1, x).fg for x in (0, 6, 12, 18)], [28, 130, 160, None])
        self.assertEqual([colored.attrs(1, x).bg for x in (0, 6, 12, 18)], [None] * 4)
        self.assertTrue(colored.attrs(1, 24).reverse)
        self.assertTrue(colored.attrs(1, 18).dim)
        self.assertEqual([self.start(term="screen").screen.attrs(1, x).fg for x in (0, 6, 12)], [2, 5, 1])
        for terminal in (self.start("--no-color"), self.start(NO_COLOR="1"), self.start(term="vt100")):
            self.assertEqual({a.fg for row in terminal.screen.rows for _, a in row}, {None})
            self.assertTrue(terminal.screen.attrs(1, 24).reverse)
        terminal = self.start(NO_COLOR="")
        self.assertEqual(terminal.screen.attrs(1, 0).fg, 28)
        terminal.send("C")
        terminal.wait_for("keys 43")
        terminal.settle()
        self.assertIsNone(terminal.screen.attrs(1, 0).fg)

    def test_ascii_can_be_asked_for_and_toggled(self):
        terminal = self.start("--ascii")
        self.assertEqual(terminal.screen.text()[2], "#" * 10 + "." * 10)
        terminal.send("d")
        terminal.wait_for("inside 30x5")
        y, x = terminal.screen.find(" Title ")
        self.assertEqual(terminal.screen.text()[y][x - 2:x], "+-")
        terminal.send("<esc>")
        terminal.wait_gone("inside")
        terminal.send("A")
        terminal.wait_for("\u2588" * 10)
        self.assertEqual(terminal.screen.text()[3][:6], "Z\u00fcrich")

    def test_redraw_repairs_what_another_program_wrote(self):
        terminal = self.start()
        want = terminal.screen.text()
        terminal.screen.feed("\033[2J\033[Hgarbage")
        terminal.send("\f")
        terminal.wait_for("keys c")
        got = terminal.settle()
        self.assertEqual(got[:4] + got[5:], want[:4] + want[5:])

    def test_a_terminal_that_cannot_is_told_what_can(self):
        for term, status, words in (("dumb", 69, "cannot move its cursor"), ("nonsense-9", 69, "unknown here"),
                                    ("evil\033[31m", 69, "TERM=? "), (None, 69, "TERM is not set")):
            terminal = Terminal([DRIVER], 80, 24, {"TERM": term})
            self.addCleanup(terminal.close)
            self.assertEqual(terminal.wait_end(), status)
            said = terminal.log.decode()
            self.assertIn(words, said)
            self.assertIn("credswap --once --plain", said)
            self.assertNotIn("\033", said)

    def test_no_terminal_is_told_what_can(self):
        done = subprocess.run([DRIVER], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False,
                              env={**os.environ, "TERM": "xterm"})
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn("credswap --once --plain", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


class Keys(Case):
    def keys(self, sent, want, **how):
        terminal = self.start(**how)
        for key in sent:
            terminal.send(key)
            terminal.settle(0.06)
        terminal.wait_for("keys " + want)

    def test_names(self):
        self.keys(["<up>", "\033[A", "<pgdn>", "<home>", "\033[1~", "<end>", "<delete>", "<backtab>", "<f1>", "<f10>"],
                  "up up pgdn home home end delete backtab F1 F10")

    def test_each_spelling_of_backspace_and_enter(self):
        self.keys(["\177", "\b", "\r", "\n", "\t"], "7f 7f d d 9")
        self.keys(["\177", "\b", "\r"], "7f 7f d", term="vt100")

    def test_characters_also_in_pieces(self):
        terminal = self.start()
        terminal.send(b"\xc3")
        terminal.settle(0.2)
        terminal.send(b"\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xff\xc3a")
        terminal.wait_for("keys fc 20ac 1f600 other other 61")

    def test_escape_is_quick_and_alt_is_no_escape(self):
        terminal = self.start()
        begin = time.monotonic()
        terminal.send("<esc>")
        terminal.wait_for("keys 1b")
        self.assertLess(time.monotonic() - begin, 2)
        terminal.send("\033y")
        terminal.wait_for("keys 1b other")
        terminal.send("\033[99;5~z")
        terminal.wait_for("keys 1b other other 7a")

    def test_the_mouse(self):
        terminal = self.start()
        terminal.send("\033[<0;5;7M\033[<0;5;7m")
        terminal.wait_for("click 6 4")
        terminal.send("\033[<64;5;7M")
        terminal.wait_for("wheelup")
        self.assertFalse({1000, 1006} & self.start("--no-mouse").screen.modes)

    def test_a_storm_of_bytes_is_survived(self):
        chance = random.Random(5)
        terminal = self.start()
        for _ in range(60):
            size = chance.randrange(1, 400)
            data = bytes(b for b in chance.randbytes(size) if b not in b"q\x03\x13\x11\x1a\x1cXS")
            terminal.send(data)
            terminal.pump(0)
        terminal.settle(0.3)
        terminal.kill(signal.SIGTERM)
        self.assertEqual(terminal.wait_end(30), 100 + signal.SIGTERM)
        self.restored(terminal)


class Dialog(Case):
    def test_it_covers_and_uncovers(self):
        terminal = self.start()
        before = terminal.screen.text()
        terminal.send("d")
        y, x = terminal.wait_for("inside 30x5")
        terminal.settle()
        lines = terminal.screen.text()
        self.assertEqual(lines[y - 1][x - 1:x + 31], "\u250c\u2500 Title " + "\u2500" * 22 + "\u2510")
        self.assertEqual(lines[y][x - 1] + lines[y][x + 30], "\u2502\u2502")
        self.assertEqual(lines[y + 5][x - 1:x + 31], "\u2514" + "\u2500" * 30 + "\u2518")
        terminal.send("<esc>")
        terminal.wait_gone("inside")
        after = terminal.settle()
        self.assertEqual(after[5:], before[5:])

    def test_frames_of_old_terminals(self):
        for term in OLD + ("screen",):
            terminal = self.start(term=term, LC_ALL="C")
            terminal.send("d")
            terminal.wait_for("inside 30x5")
            terminal.settle()
            y, x = terminal.screen.find(" Title ")
            self.assertEqual(terminal.screen.text()[y][x - 2:x], "\u250c\u2500", term)

    def test_it_fits_any_size(self):
        terminal = self.start()
        terminal.send("d")
        terminal.wait_for("inside 30x5")
        for width, height, want in ((20, 5, "inside 18x3"), (100, 30, "inside 30x5"), (14, 3, "inside 12x1"),
                                    (120, 40, "inside 30x5")):
            terminal.resize(width, height)
            terminal.wait_for(want)
            terminal.settle()
            for line in terminal.screen.text():
                self.assertLessEqual(len(line), width)


class Entry(Case):
    def type(self, terminal, *keys):
        for key in keys:
            terminal.send(key)
            terminal.settle(0.06)

    def opened(self, key="e", **how):
        terminal = self.start(**how)
        terminal.send(key)
        terminal.wait_for({"e": "Weight", "h": "Key", ":": ":"}[key])
        terminal.settle()
        return terminal

    def test_fields_are_filled_and_told(self):
        terminal = self.opened()
        terminal.wait_for("letters and digits")
        self.assertTrue(terminal.screen.cursor_is_shown())
        self.type(terminal, "alice", "<enter>", "<backspace>", "H", "<tab>")
        terminal.wait_for("0 to 1000")
        self.type(terminal, "\025", "250", "<enter>")
        terminal.wait_for("result [alice][Z\u00fcricH][250]")
        terminal.settle()
        self.assertFalse(terminal.screen.cursor_is_shown())

    def test_the_cursor_stands_in_the_field(self):
        terminal = self.opened()
        y, x = terminal.screen.find("Name")
        self.assertEqual(terminal.screen.cursor(), (y, x + 8))
        self.type(terminal, "ab", "<left>")
        self.assertEqual(terminal.screen.cursor(), (y, x + 9))

    def test_editing(self):
        for keys, want in ((["abc def ghi", "\027", "X"], "abc def X"), (["abc def  ", "\027"], "abc"),
                           (["abc", "\025", "z"], "z"), (["abc", "\001", "X"], "Xabc"), (["abc", "<home>", "X"], "Xabc"),
                           (["abc", "\001", "\005", "X"], "abcX"), (["abc", "<left>", "<left>", "<delete>"], "ac"),
                           (["abc", "\010", "\177"], "a"), (["abc", "<right>", "<right>", "d"], "abcd"),
                           (["  abc  "], "abc"), (["abcdef", "<home>", "\013", "x"], "x"),
                           (["abcdefghijklmnopqrstuvwxyz"], "abcdefghijklmnopqrst"), (["\u00e9\u00e8", "<left>", "x"], "\u00e9x\u00e8")):
            with self.subTest(keys=keys):
                terminal = self.opened()
                self.type(terminal, *keys, "<tab>", "<tab>", "<enter>")
                terminal.wait_for(f"result [{want}][Z\u00fcrich][10]")

    def test_long_text_scrolls_and_too_long_is_told(self):
        terminal = self.opened()
        self.type(terminal, "abcdefghijklmnop")
        self.assertTrue(terminal.screen.find("fghijklmnop"))
        self.assertFalse(terminal.screen.find("abcdef"))
        self.type(terminal, "<home>")
        self.assertTrue(terminal.screen.find("abcdefghijkl"))
        self.type(terminal, "<end>", "qrstuvw")
        terminal.wait_for("at most 20 characters")

    def test_a_paste_does_not_submit(self):
        terminal = self.opened("h")
        key = '{\n  "type": "service_account",\n' + "x" * 2300 + "\n}\n"
        terminal.paste(key)
        terminal.wait_for("characters, not shown")
        terminal.settle()
        self.assertFalse(terminal.screen.find("result ["))
        self.assertNotIn(b"service_account", terminal.log)
        self.assertNotIn(b"xxxx", terminal.log)
        self.type(terminal, "<enter>")
        terminal.wait_for(f"result [{len(key.strip().replace(chr(10), ' '))} bytes]")

    def test_escape_leaves_and_a_complaint_stays_until_a_key(self):
        terminal = self.opened()
        self.type(terminal, "bad", "<tab>", "<tab>", "<enter>")
        terminal.wait_for("this one is not taken")
        self.type(terminal, "1")
        terminal.wait_gone("this one is not taken")
        self.type(terminal, "<esc>")
        terminal.wait_for("result left")

    def test_a_line_at_the_bottom(self):
        for term in ("xterm-256color", "vt100"):
            terminal = self.opened(":", term=term)
            self.assertEqual(terminal.screen.text()[23], ":")
            self.type(terminal, "account list")
            self.assertEqual(terminal.screen.text()[23], ":account list")
            self.assertEqual(terminal.screen.cursor(), (23, 13))
            self.type(terminal, "\025", "bad", "<enter>")
            self.assertEqual(terminal.screen.text()[22], "this one is not taken")
            self.type(terminal, "\025", "x", "<enter>")
            terminal.wait_for("result [x]")
            self.assertIn("END", terminal.settle()[23])

    def test_what_was_typed_survives_another_size(self):
        terminal = self.opened()
        self.type(terminal, "alice", "<tab>", "2")
        for width, height in ((40, 10), (20, 4), (3, 2), (1, 1), (200, 50), (80, 24)):
            terminal.resize(width, height)
            terminal.settle(0.1)
        terminal.wait_for("Weight")
        self.type(terminal, "3", "<tab>", "<enter>")
        terminal.wait_for("result [alice][Z\u00fcrich23][10]")

    def test_fields_turn_pages_where_there_is_no_room(self):
        terminal = self.opened(width=40, height=10)
        terminal.resize(40, 4)
        terminal.settle()
        for label in ("Name", "Label", "Weight"):
            terminal.wait_for(label)
            self.type(terminal, "<tab>")

    def test_a_storm_of_keys_and_sizes(self):
        chance = random.Random(7)
        keys = ["<up>", "<down>", "<left>", "<right>", "<home>", "<end>", "<delete>", "<backspace>", "<tab>", "<backtab>",
                "\025", "\027", "\001", "\005", "\013", "a", "bc ", "\u00fc", "\u4e2d", "<enter>", "\033[200~", "\033[201~"]
        terminal = self.opened()
        for turn in range(400):
            terminal.send(chance.choice(keys))
            if turn % 8 == 0:
                terminal.resize(chance.randrange(1, 90), chance.randrange(1, 30))
            if turn % 20 == 0:
                terminal.send("\033[201~", "<esc>")
                terminal.settle(0.05)
                terminal.send(chance.choice("eh:d"))
            terminal.pump(0)
        terminal.settle(0.3)
        terminal.kill(signal.SIGTERM)
        self.assertEqual(terminal.wait_end(30), 100 + signal.SIGTERM)


class Life(Case):
    def test_signals_end_it_with_the_terminal_restored(self):
        for number, said in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM),
                             (signal.SIGHUP, signal.SIGHUP), (signal.SIGQUIT, signal.SIGTERM)):
            terminal = self.start()
            terminal.kill(number)
            self.assertEqual(terminal.wait_end(), 100 + said)
            self.restored(terminal)
            terminal.wait_until(lambda t=terminal: t.screen.find("ended"), doing="ended")

    def test_control_c_is_a_signal(self):
        terminal = self.start()
        terminal.send("\003")
        self.assertEqual(terminal.wait_end(), 100 + signal.SIGINT)
        self.restored(terminal)

    def test_it_stops_and_the_screen_comes_back(self):
        shell = ["/bin/bash", "--norc", "--noprofile", "-i"]
        terminal = Terminal(shell, 80, 24, {"PS1": "prompt$ "})
        self.addCleanup(terminal.close)
        terminal.wait_for("prompt$")
        terminal.send(DRIVER + "\r")
        terminal.wait_for("END")
        terminal.send("d")
        terminal.wait_for("inside")
        want = terminal.settle()
        terminal.send("\032")
        terminal.wait_for("Stopped")
        terminal.settle()
        self.assertFalse(terminal.screen.modes & {1000, 1006, 1049})
        terminal.resize(70, 20)
        terminal.send("fg\r")
        terminal.wait_for("ui driver 70x20")
        terminal.resize(80, 24)
        terminal.wait_for("ui driver 80x24")
        got = terminal.settle()
        self.assertEqual(got[6:], want[6:])
        self.assertTrue({1049, 2004} <= terminal.screen.modes)
        terminal.send("q")
        terminal.wait_for("ended 0")
        terminal.send("exit\r")
        self.assertEqual(terminal.wait_end(), 0)

    def test_a_stop_from_outside_is_repaired(self):
        terminal = self.start()
        want = terminal.screen.text()
        terminal.kill(signal.SIGSTOP)
        terminal.screen.feed("\033[?1049l\033[2J$ ")
        terminal.kill(signal.SIGCONT)
        terminal.wait_for("END")
        self.assertEqual(terminal.settle(), want)
        terminal.send("q")
        self.assertEqual(terminal.wait_end(), 0)
        self.restored(terminal)

    def test_a_terminal_that_is_gone_ends_it_at_once(self):
        terminal = self.start()
        terminal.hang_up()
        begin = time.monotonic()
        self.assertIn(terminal.process.wait(10), (3, 100 + signal.SIGHUP))
        self.assertLess(time.monotonic() - begin, 5)

    def test_output_that_is_held_back_does_not_hold_the_program(self):
        terminal = self.start()
        terminal.send("\023")  # Ctrl-S
        time.sleep(0.2)
        terminal.send("x")
        terminal.settle(0.5)
        self.assertIsNone(terminal.screen.find("keys 78"))
        terminal.kill(signal.SIGTERM)
        self.assertEqual(terminal.wait_end(10), 100 + signal.SIGTERM)
        self.assertTrue(terminal.is_cooked())

    def test_a_crash_leaves_a_usable_terminal(self):
        for key, number in (("X", signal.SIGABRT), ("S", signal.SIGSEGV)):
            terminal = self.start()
            terminal.send(key)
            self.assertNotEqual(terminal.wait_end(30), 0)
            self.restored(terminal)
            self.assertTrue(terminal.process.returncode in (-number, 1), terminal.process.returncode)  # 1: the sanitizer's

    def test_a_storm_of_sizes(self):
        chance = random.Random(9)
        terminal = self.start()
        terminal.send("d")
        for turn in range(150):
            terminal.resize(*((1, 1) if turn % 10 == 0 else (chance.randrange(1, 300), chance.randrange(1, 100))))
            terminal.pump(0.005)
        terminal.resize(600, 300)  # beyond what is drawn
        terminal.wait_for("ui driver 512x256")
        terminal.resize(80, 24)
        terminal.wait_for("ui driver 80x24")
        terminal.send("q")
        self.assertEqual(terminal.wait_end(), 0)
        self.restored(terminal)
