"""The console on a store, at a moment and beside a daemon that are always the same.

    with Fixed() as lab:
        lab.fake.start()
        terminal = lab.open(80, 24, "accounts")

A Fixed is one temporary directory.  Its paths are relative ones, its clock stands still (tests/fault/shim.c), its
machine is called prod-eu-1 and its user mia; what is drawn by lot (the CA's key) is replaced in what is compared.
"""
import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading

import harness
from terminal import Terminal

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = 1795442551  # 2026-11-23 14:02:31 UTC
CONF = """listen {
  proxy = {"127.0.0.1:3128"}
  admin = "127.0.0.1:9180"
  socket = "credswap.sock"
  advertise = "proxy.example:3128"
}
store {
  url = "sqlite:credswap.db"
  master_key_file = "master.key"
}
ca {
  cert = "ca.pem"
  key = "ca.key"
}
"""
CONFIGURATION = ("pool", "account", "pool_member", "account_model", "client", "host_rule", "generation")


def daemon_says():
    """The answers of a daemon in full swing, by the word that was asked."""
    with open(os.path.join(HERE, "fixed.json"), encoding="utf-8") as f:
        return json.load(f)


class FakeDaemon:
    """Answers at the daemon's socket what `answers` says, without end; `asked` is what came."""

    def __init__(self, path):
        self.path = path
        self.answers = daemon_says()
        self.asked = []
        self.listener, self.thread, self.open = None, None, []

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.accept, args=(self.listener,), daemon=True)
        self.thread.start()

    def accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self.open.append(peer)
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        rest = b""
        with contextlib.suppress(OSError):
            while True:
                data = peer.recv(65536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    peer.sendall(self.answer(json.loads(line)))

    def answer(self, question):
        word = question["cmd"]
        self.asked.append(question)
        said = self.answers.get(word, {"ok": False, "error": "unknown command"})
        return json.dumps({"ok": True, "cmd": word, **said}).encode() + b"\n"

    def stop(self):
        """As a daemon that is killed: the socket's file stays."""
        if self.listener:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.thread.join()
            self.listener = None
        for peer in self.open:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        self.open = []

    def forget(self):
        self.stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Fixed:
    def __init__(self, is_clock_still=True):
        self.dir = tempfile.mkdtemp(prefix="credswap-tui-")
        self.terminals = []
        self.shim = self.path("shim")
        with open(self.shim, "wb") as f:
            f.write(bytes(24))
        if is_clock_still:
            self.set_clock(NOW)
        self.program = harness.CONSOLE
        self.as_user = None
        self.fake = FakeDaemon(self.path("credswap.sock"))
        try:
            self.make()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for terminal in self.terminals:
            terminal.close()
        self.fake.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    # ---- time, disk ----

    def set_word(self, at, value):
        with open(self.shim, "r+b", buffering=0) as f:
            os.pwrite(f.fileno(), struct.pack("=q", value), 8 * at)

    def set_clock(self, at_s):
        """The wall clock of all its programs stands at AT_S; 0: it goes on."""
        self.set_word(2, at_s * 10 ** 9)

    def refuse_writes(self, number):
        """Writes to the store fail with errno NUMBER; 0: they go on."""
        self.set_word(1, number)

    # ---- the store ----

    def make(self):
        with open(self.path("credswap.conf"), "w", encoding="ascii") as f:
            f.write(CONF)
        with open(os.open(self.path("master.key"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(bytes(range(32)))
        self.run("ca", "init")
        with open(os.path.join(HERE, "fixed.sql"), encoding="utf-8") as f:
            self.sql(f.read().replace(":NOW", str(NOW)))

    def sql(self, text):
        with contextlib.closing(sqlite3.connect(self.path("credswap.db"), timeout=10)) as db:
            db.executescript(text)

    def query(self, text, *args):
        with contextlib.closing(sqlite3.connect(self.path("credswap.db"), timeout=10)) as db:
            return db.execute(text, args).fetchall()

    def configuration(self):
        """Everything that an operator's change would change; when somebody was seen does not count, nor an act that is noted
        and changed no setting (a backup)."""
        found = {}
        for table in CONFIGURATION:
            columns = [row[1] for row in self.query(f"pragma table_info({table})") if row[1] not in ("last_seen_at",)]
            found[table] = self.query(f"select {', '.join(columns)} from {table} order by 1")
        found["event"] = self.query("select who, what, undone_by from event where kind = 'audit' and before || after <> '' order by id")
        return found

    # ---- programs ----

    def environment(self):
        preload = harness.preload()
        if self.as_user:
            preload["LD_PRELOAD"] = re.sub(r"\S*/fault_shim.so", self.path("fault_shim.so"), preload["LD_PRELOAD"])
        return {**preload, "CREDSWAP_SHIM": self.shim, "CREDSWAP_SHIM_HOST": "prod-eu-1",
                "CREDSWAP_SHIM_USER": "mia"}

    def command(self, *words):
        return [self.program, "--config", "credswap.conf", *words]

    def run(self, *words, status=0, **env):
        """A command without a terminal; what it printed."""
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False, cwd=self.dir, env={**harness.clean_env(), **self.environment(), "LC_ALL": "C.UTF-8", **env})
        if done.returncode != status:
            raise AssertionError(f"credswap {' '.join(words)}: exit {done.returncode}, expected {status}: {done.stderr}")
        return done.stdout if status == 0 else done.stderr

    def open(self, width, height, screen=None, *options, limit_s=120, **env):
        """The dashboard on a terminal."""
        words = ["dashboard", *([screen] if screen else []), *options]
        terminal = Terminal(self.command(*words), width, height, {**self.environment(), **env}, cwd=self.dir,
                            as_user=self.as_user, limit_s=limit_s)
        self.terminals.append(terminal)
        return terminal

    def become_nobody(self):
        """What is typed at random must not write where only root may: a copy of the program, run as nobody."""
        self.program = self.path("credswap")
        shutil.copy2(harness.CONSOLE, self.program)
        shutil.copy2(os.path.join(harness.BUILD, "tests/fault_shim.so"), self.dir)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.as_user = (nobody.pw_uid, nobody.pw_gid)
            for name in [".", *os.listdir(self.dir)]:
                os.chown(self.path(name), *self.as_user)


def replace_lots(lines):
    """Lines without what the CA's key decides: fingerprints and serial numbers, in as many columns."""
    def crosses(found):
        return re.sub("[0-9a-fA-F]", "x", found[0])
    return [re.sub(r"\b[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){3,}\b|\b[0-9a-f]{16,}\b", crosses, line) for line in lines]
