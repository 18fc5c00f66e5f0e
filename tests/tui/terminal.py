"""A program on a terminal of a fixed size: keys go in, a Screen shows what comes out.

    with Terminal(["build/debug/credswap"], 80, 24, {"TERM": "xterm-256color"}) as terminal:
        terminal.wait_for("ACCOUNTS")
        terminal.send("q")
        self.assertEqual(terminal.wait_end(), 0)
"""
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time

from screen import Screen

KEPT = 8 << 20  # bytes of output that stay in `log`
KEYS = {
    "up": "\033OA", "down": "\033OB", "right": "\033OC", "left": "\033OD", "home": "\033OH", "end": "\033OF",
    "pgup": "\033[5~", "pgdn": "\033[6~", "insert": "\033[2~", "delete": "\033[3~", "backtab": "\033[Z",
    "esc": "\033", "enter": "\r", "tab": "\t", "backspace": "\177",
    "f1": "\033OP", "f2": "\033OQ", "f3": "\033OR", "f4": "\033OS", "f5": "\033[15~", "f6": "\033[17~",
    "f7": "\033[18~", "f8": "\033[19~", "f9": "\033[20~", "f10": "\033[21~",
}


class Terminal:
    def __init__(self, argv, width, height, env=None, cwd=None, limit_s=120, as_user=None):
        """env is added to a small environment of its own: what the caller's says about terminals does not count.
        After limit_s everything fails that still waits.  as_user: (uid, gid) that it gets."""
        term = (env or {}).get("TERM", "xterm-256color") or ""  # None: it has none
        locale = (env or {}).get("LC_ALL", "C.UTF-8")
        self.screen = Screen(width, height, wraps_late=not term.startswith("ansi"), utf8="UTF-8" in locale)
        self.bytes_received = 0
        self.log = b""
        self.returncode = None
        self.is_blind = False  # what comes is kept in `log`, and no screen made of it
        self.deadline = time.monotonic() + limit_s
        self.master, slave = os.openpty()
        self.name = os.ttyname(slave)
        os.set_blocking(self.master, False)
        self.set_size(width, height)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        kept.update({name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")})
        kept.update({"TERM": term, "LC_ALL": locale}, **(env or {}))
        try:
            self.process = subprocess.Popen(
                argv, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, start_new_session=True,
                env={name: value for name, value in kept.items() if value is not None},
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                **({"user": as_user[0], "group": as_user[1], "extra_groups": []} if as_user else {}))
        except BaseException:
            os.close(self.master)
            raise
        finally:
            os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- towards the program ----

    def send(self, *keys):
        """Text, bytes, or names of KEYS in angle brackets: send("abc", "<enter>")."""
        for key in keys:
            if isinstance(key, str):
                name = key[1:-1] if key[:1] == "<" and key[-1:] == ">" else None
                key = (KEYS[name] if name in KEYS else key).encode()
            while key:
                self.check_limit("sending")
                try:
                    key = key[os.write(self.master, key):]
                except BlockingIOError:
                    self.pump(0.01)

    def paste(self, text):
        """As a terminal does with what is pasted, when the program asked for it."""
        is_bracketed = 2004 in self.screen.modes
        self.send("\033[200~" * is_bracketed + text.replace("\n", "\r") + "\033[201~" * is_bracketed)

    def set_size(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        self.pump(0)
        self.screen.resize(width, height)
        self.set_size(width, height)

    def kill(self, number):
        self.process.send_signal(number)

    def hang_up(self):
        """The terminal is gone, as when ssh is cut."""
        if self.master is not None:
            os.close(self.master)
            self.master = None

    # ---- from it ----

    def pump(self, timeout_s):
        """Reads what is there, at most once; False: nothing came in that time."""
        if self.master is None:
            time.sleep(min(timeout_s, 0.01))
            return False
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EAGAIN):
                raise
            data = b""  # nobody has it open any more
        if not data:
            time.sleep(min(timeout_s, 0.01))
            return False
        self.bytes_received += len(data)
        self.log = (self.log + data)[-KEPT:]
        if not self.is_blind:
            self.screen.feed(data)
        return True

    def unread(self):
        """How many bytes the program has not read yet."""
        slave = os.open(self.name, os.O_RDWR | os.O_NOCTTY)
        try:
            return struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, bytes(4)))[0]
        finally:
            os.close(slave)

    def check_limit(self, doing):
        if time.monotonic() > self.deadline:
            raise AssertionError(f"the terminal's time is over while {doing}\n{self.screen}")

    def wait_until(self, what, timeout_s=15, doing="waiting"):
        """Until WHAT() is true; returns it."""
        end = time.monotonic() + timeout_s
        while True:
            found = what()
            if found:
                return found
            self.check_limit(doing)
            if time.monotonic() > end:
                raise AssertionError(f"{doing}: not within {timeout_s} s\n{self.screen}")
            if not self.pump(0.05) and self.process.poll() is not None and not self.pump(0.05):
                if what():
                    return True
                raise AssertionError(f"{doing}: it ended with {self.process.returncode}\n{self.screen}")

    def wait_for(self, text, timeout_s=15):
        """Until TEXT stands on the screen; (y, x) of it."""
        return self.wait_until(lambda: self.screen.find(text), timeout_s, f"waiting for {text!r}")

    def wait_gone(self, text, timeout_s=15):
        self.wait_until(lambda: not self.screen.find(text), timeout_s, f"waiting until {text!r} is gone")

    def settle(self, quiet_s=0.15, timeout_s=15):
        """Until nothing came for quiet_s; returns the screen's lines."""
        end = time.monotonic() + timeout_s
        while self.pump(quiet_s):
            self.check_limit("settling")
            if time.monotonic() > end:
                raise AssertionError(f"it never stops sending\n{self.screen}")
        return self.screen.text()

    def wait_end(self, timeout_s=15):
        """Until the program has ended and all it sent was read; its exit status."""
        end = time.monotonic() + timeout_s
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"it does not end\n{self.screen}")
            self.pump(0.02)
        while self.pump(0):
            pass
        self.returncode = self.process.returncode
        return self.returncode

    def is_cooked(self):
        """The modes are a shell's again: lines, echo, signals."""
        flags = termios.tcgetattr(self.master)
        return bool(flags[3] & termios.ICANON and flags[3] & termios.ECHO and flags[0] & termios.ICRNL)

    def close(self):
        self.hang_up()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number:
                self.process.send_signal(number)
            try:
                self.returncode = self.process.wait(2)
                return
            except subprocess.TimeoutExpired:
                continue
