"""A terminal in memory: what xterm, screen, tmux, linux, vt100 and ansi do with what ncurses sends them.

Screen(80, 24).feed(b"...").text() is the list of its lines without spaces at their ends.  What it does not know
it keeps in `unknown`, so that a test can say that nothing of it came.
"""
import codecs
import collections
import unicodedata

Attrs = collections.namedtuple("Attrs", "bold dim underline blink reverse hidden fg bg")
PLAIN = Attrs(False, False, False, False, False, False, None, None)
BLANK = (" ", PLAIN)
# DEC's line drawing, ASCII 0x5f..0x7e
LINES = dict(zip("_`abcdefghijklmnopqrstuvwxyz{|}~",
                 "\u00a0\u25c6\u2592\u2409\u240c\u240d\u240a\u00b0\u00b1\u2424\u240b\u2518\u2510\u250c\u2514\u253c"
                 "\u23ba\u23bb\u2500\u23bc\u23bd\u251c\u2524\u2534\u252c\u2502\u2264\u2265\u03c0\u2260\u00a3\u00b7"))
IGNORED_MODES = {1, 12, 45, 1004, 1034}  # cursor keys, blinking, reverse wrap, focus, meta
MOUSE_MODES = {9, 1000, 1002, 1003, 1005, 1006, 1015}
FLAGS = {1: "bold", 2: "dim", 3: "dim", 4: "underline", 5: "blink", 7: "reverse", 8: "hidden"}
CLEARS = {21: ("bold",), 22: ("bold", "dim"), 23: (), 24: ("underline",), 25: ("blink",), 27: ("reverse",),
          28: ("hidden",)}


class Screen:
    def __init__(self, width, height, wraps_late=True, utf8=True):
        """wraps_late: a character in the last column wraps only when the next one comes (all but TERM=ansi)."""
        self.width, self.height = width, height
        self.wraps_late = wraps_late
        self.utf8 = utf8
        self.unknown = []
        self.bells = 0
        self.clears = 0  # of the whole screen
        self.title = ""
        self.modes = set()  # DEC's private ones that are on: 25 cursor, 1049 other screen, 2004 paste, mouse
        self.reset()

    def reset(self):
        self.rows = self.empty()
        self.other = self.empty()
        self.y = self.x = 0
        self.late = False  # the next character wraps first
        self.attr = PLAIN
        self.top, self.bottom = 0, self.height - 1
        self.sets, self.shift = ["B", "B"], 0
        self.pc = False  # SGR 11: bytes are code page 437
        self.inserts = False
        self.saved = None
        self.modes = {7, 25}
        self.tabs = set(range(8, 1000, 8))
        self.last = " "
        self.state, self.params = self.ground, ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    # ---- what tests ask ----

    def text(self):
        return ["".join(char for char, _ in row).rstrip() for row in self.rows]

    def attrs(self, y, x):
        return self.rows[y][x][1]

    def cursor(self):
        return self.y, min(self.x, self.width - 1)

    def cursor_is_shown(self):
        return 25 in self.modes

    def is_alternate(self):
        return 1049 in self.modes

    def find(self, text):
        """(y, x) of its first place, or None."""
        for y, row in enumerate(self.rows):
            x = "".join(char or "\0" for char, _ in row).find(text)
            if x >= 0:
                return y, x
        return None

    def __str__(self):
        edge = "+" + "-" * self.width + "+"
        return "\n".join([edge, *("|" + line.ljust(self.width) + "|" for line in self.text()), edge])

    # ---- cells ----

    def empty(self):
        return [self.blank_row() for _ in range(self.height)]

    def blank(self):
        bg = getattr(self, "attr", PLAIN).bg
        return (" ", PLAIN._replace(bg=bg)) if bg is not None else BLANK

    def blank_row(self):
        return [self.blank()] * self.width

    def resize(self, width, height):
        for name in ("rows", "other"):
            rows = [(row + [BLANK] * width)[:width] for row in getattr(self, name)]
            if name == "rows" and not self.is_alternate() and self.y >= height:
                rows = rows[self.y - height + 1:]
            setattr(self, name, (rows + [[BLANK] * width for _ in range(height)])[:height])
        self.width, self.height = width, height
        self.y, self.x = min(self.y, height - 1), min(self.x, width - 1)
        self.top, self.bottom = 0, height - 1
        self.late = False

    def scroll_up(self, count=1, top=None):
        top = self.top if top is None else top
        for _ in range(min(count, self.height)):
            del self.rows[top]
            self.rows.insert(self.bottom, self.blank_row())

    def scroll_down(self, count=1, top=None):
        top = self.top if top is None else top
        for _ in range(min(count, self.height)):
            del self.rows[self.bottom]
            self.rows.insert(top, self.blank_row())

    def down(self):
        if self.y == self.bottom:
            self.scroll_up()
        elif self.y < self.height - 1:
            self.y += 1

    def up(self):
        if self.y == self.top:
            self.scroll_down()
        elif self.y > 0:
            self.y -= 1

    def go(self, y, x):
        self.y = max(0, min(y, self.height - 1))
        self.x = max(0, min(x, self.width - 1))
        self.late = False

    def put(self, char):
        columns = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if unicodedata.combining(char):
            return
        if self.late or self.x + columns > self.width:
            self.late = False
            if 7 in self.modes:
                self.x = 0
                self.down()
            else:
                self.x = max(0, self.width - columns)
        cells = [(char, self.attr), ("", self.attr)][:columns]
        row = self.rows[self.y]
        if self.inserts:
            row[self.x:self.x] = cells
            del row[self.width:]
        else:
            row[self.x:self.x + columns] = cells[:self.width - self.x]
        self.last = char
        self.x += columns
        if self.x >= self.width:
            self.x = self.width - 1
            self.late = 7 in self.modes
            if self.late and not self.wraps_late:
                self.late = False
                self.x = 0
                self.down()

    # ---- the stream ----

    def feed(self, data):
        if isinstance(data, str):
            data = data.encode()
        for byte in data:
            if self.pc and byte >= 0x80 and self.state == self.ground:
                self.put(bytes([byte]).decode("cp437"))
                continue
            for char in self.decoder.decode(bytes([byte])) if self.utf8 else chr(byte):
                self.state(char)
        return self

    def ground(self, char):
        code = ord(char)
        if char == "\033":
            self.state, self.params = self.escape, ""
        elif code < 0x20:
            self.control(char)
        elif code != 0x7f:
            if self.pc and code > 0x7f:
                char = char.encode("latin-1", "replace").decode("cp437")
            elif self.sets[self.shift] == "0":
                char = LINES.get(char, char)
            self.put(char)

    def control(self, char):
        if char == "\a":
            self.bells += 1
        elif char == "\b":
            self.go(self.y, self.x - 1)
        elif char == "\t":
            later = [tab for tab in self.tabs if tab > self.x]
            self.go(self.y, min(later, default=self.width - 1))
        elif char in "\n\v\f":
            self.late = False
            self.down()
        elif char == "\r":
            self.go(self.y, 0)
        elif char in "\016\017":
            self.shift = int(char == "\016")
        elif char != "\0":  # padding
            self.unknown.append(repr(char))

    def escape(self, char):
        self.state = self.ground
        if char == "[":
            self.state, self.params = self.csi, ""
        elif char == "]":
            self.state, self.params = self.osc, ""
        elif char in "()*+#% ":
            self.params = char
            self.state = self.charset
        elif char == "7":
            self.saved = (self.y, self.x, self.late, self.attr, list(self.sets), self.shift)
        elif char == "8":
            self.restore()
        elif char == "D":
            self.down()
        elif char == "E":
            self.go(self.y, 0)
            self.down()
        elif char == "M":
            self.up()
        elif char == "H":
            self.tabs.add(self.x)
        elif char == "c":
            self.reset()
        elif char == "g":  # a visible bell of screen
            self.bells += 1
        elif char not in "=>\\":
            self.unknown.append("ESC " + char)

    def restore(self):
        if self.saved is None:
            self.go(0, 0)
            return
        self.y, self.x, self.late, self.attr, sets, self.shift = self.saved
        self.sets = list(sets)
        self.y, self.x = min(self.y, self.height - 1), min(self.x, self.width - 1)

    def charset(self, char):
        self.state = self.ground
        if self.params in "()":
            self.sets["()".index(self.params)] = char

    def osc(self, char):
        if char == "\a" or self.params.endswith("\033"):
            self.title = self.params.rstrip("\033").partition(";")[2]
            self.state = self.ground
        elif len(self.params) < 4096:
            self.params += char

    def csi(self, char):
        if char == "\033":
            self.unknown.append("CSI " + self.params)
            self.state = self.escape
        elif ord(char) < 0x20:
            self.control(char)
        elif char < "@":
            self.params += char
        else:
            self.state = self.ground
            self.sequence(char)

    def sequence(self, final):
        text = self.params
        if text[:1] in ("?", ">", "=", "<"):
            self.private(text, final)
            return
        try:
            numbers = [int(part.split(":")[0] or 0) for part in text.split(";")] if text else [0]
        except ValueError:
            self.unknown.append(f"CSI {text}{final}")
            return
        first = numbers[0]
        n = max(1, first)
        act = {
            "A": lambda: self.go(self.y - n, self.x), "B": lambda: self.go(self.y + n, self.x),
            "C": lambda: self.go(self.y, self.x + n), "D": lambda: self.go(self.y, self.x - n),
            "E": lambda: self.go(self.y + n, 0), "F": lambda: self.go(self.y - n, 0),
            "G": lambda: self.go(self.y, n - 1), "`": lambda: self.go(self.y, n - 1),
            "a": lambda: self.go(self.y, self.x + n), "e": lambda: self.go(self.y + n, self.x),
            "d": lambda: self.go(n - 1, self.x),
            "H": lambda: self.go(n - 1, max(1, (numbers + [1])[1]) - 1),
            "f": lambda: self.go(n - 1, max(1, (numbers + [1])[1]) - 1),
            "I": lambda: [self.control("\t") for _ in range(n)],
            "Z": lambda: [self.go(self.y, max((t for t in self.tabs if t < self.x), default=0)) for _ in range(n)],
            "J": lambda: self.erase_display(first), "K": lambda: self.erase_line(first),
            "L": lambda: self.lines_at_cursor(self.scroll_down, n), "M": lambda: self.lines_at_cursor(self.scroll_up, n),
            "@": lambda: self.insert_cells(n), "P": lambda: self.delete_cells(n), "X": lambda: self.erase_cells(n),
            "S": lambda: self.scroll_up(n), "T": lambda: self.scroll_down(n),
            "b": lambda: [self.put(self.last) for _ in range(n)],
            "m": lambda: self.sgr(numbers), "r": lambda: self.region(numbers),
            "g": lambda: self.tabs.clear() if first == 3 else self.tabs.discard(self.x),
            "h": lambda: self.mode(numbers, True), "l": lambda: self.mode(numbers, False),
            "s": lambda: self.escape("7"), "u": self.restore,
            "t": lambda: None, "i": lambda: None, "n": lambda: None, "c": lambda: None, "q": lambda: None,
        }.get(final)
        if act:
            act()
        else:
            self.unknown.append(f"CSI {text}{final}")

    def mode(self, numbers, on):
        if numbers == [4]:
            self.inserts = on
        elif numbers not in ([34], [20]):  # a cursor of some kind; new line mode is never used
            self.unknown.append(f"mode {numbers}")

    def private(self, text, final):
        if final in "hl" and text[0] == "?":
            for number in text[1:].split(";"):
                self.private_mode(int(number or 0), final == "h")
        elif not (text[0] in ">=?" and final in "cmpqnu"):
            self.unknown.append(f"CSI {text}{final}")

    def private_mode(self, number, on):
        if number in (47, 1047, 1049):
            if on != self.is_alternate():
                self.switch(on, number == 1049)
            number = 1049
        elif number in (3, 4, 5, 6, 8):  # columns, smooth, reverse, origin, repeat: only reset by us
            if on and number in (3, 6):
                self.unknown.append(f"mode ?{number}")
        elif number not in IGNORED_MODES | MOUSE_MODES | {7, 25, 2004, 1048}:
            self.unknown.append(f"mode ?{number}")
        (self.modes.add if on else self.modes.discard)(number)

    def switch(self, on, saves):
        if on and saves:
            self.escape("7")
        self.rows, self.other = self.other, self.rows
        if on:
            self.rows = self.empty()
        elif saves:
            self.restore()

    def region(self, numbers):
        top, bottom = numbers[0], (numbers + [0])[1]
        top, bottom = max(1, top), min(bottom or self.height, self.height)
        if top < bottom or self.height == 1:
            self.top, self.bottom = top - 1, bottom - 1
            self.go(0, 0)

    def lines_at_cursor(self, scroll, count):
        if self.top <= self.y <= self.bottom:
            scroll(count, self.y)
            self.x, self.late = 0, False

    def erase_display(self, how):
        self.late = False
        if how == 0:
            self.erase_line(0)
            self.rows[self.y + 1:] = [self.blank_row() for _ in self.rows[self.y + 1:]]
            self.clears += self.y == 0 and self.x == 0
        elif how == 1:
            self.erase_line(1)
            self.rows[:self.y] = [self.blank_row() for _ in self.rows[:self.y]]
        else:
            self.rows = self.empty()
            self.clears += how == 2

    def erase_line(self, how):
        row = self.rows[self.y]
        self.late = False
        start = 0 if how else self.x
        end = self.x + 1 if how == 1 else self.width
        row[start:end] = [self.blank()] * (end - start)

    def insert_cells(self, n):
        row = self.rows[self.y]
        self.late = False
        row[self.x:self.x] = [self.blank()] * min(n, self.width)
        del row[self.width:]

    def delete_cells(self, n):
        row = self.rows[self.y]
        self.late = False
        del row[self.x:self.x + n]
        row.extend([self.blank()] * (self.width - len(row)))

    def erase_cells(self, n):
        end = min(self.x + n, self.width)
        self.late = False
        self.rows[self.y][self.x:end] = [self.blank()] * (end - self.x)

    def sgr(self, numbers):
        at = 0
        while at < len(numbers):
            code = numbers[at]
            at += 1
            if code == 0:
                self.attr = PLAIN
            elif code in FLAGS:
                self.attr = self.attr._replace(**{FLAGS[code]: True})
            elif code in CLEARS:
                self.attr = self.attr._replace(**{name: False for name in CLEARS[code]})
            elif code in (10, 11, 12):
                self.pc = code != 10
            elif code in (38, 48):
                size = {5: 2, 2: 4}.get((numbers + [0] * 2)[at], 1)
                value = numbers[at + 1] if size == 2 and at + 1 < len(numbers) else tuple(numbers[at + 1:at + size])
                self.attr = self.attr._replace(**{"fg" if code == 38 else "bg": value})
                at += size
            else:
                self.color(code)

    def color(self, code):
        for base, name, bright in ((30, "fg", 0), (40, "bg", 0), (90, "fg", 8), (100, "bg", 8)):
            if base <= code < base + 8:
                self.attr = self.attr._replace(**{name: code - base + bright})
                return
        if code in (39, 49):
            self.attr = self.attr._replace(**{"fg" if code == 39 else "bg": None})
        else:
            self.unknown.append(f"SGR {code}")
