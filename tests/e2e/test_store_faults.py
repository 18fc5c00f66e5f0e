"""What becomes of the store while requests run: locked, full, read-only, gone, overwritten, newer.  None of it is a request's concern."""
import contextlib
import errno
import functools
import os
import sqlite3
import statistics
import subprocess
import threading
import time

import client
import pki
from harness import ALICE, BODY, CONSOLE, GENERATE, LabCase, ShimCase, clean_env, preload, shim, until

BEARER = [("authorization", "Bearer " + ALICE)]
LATE_S = 0.05  # no request waits longer for SQLite


class Watch:
    """Asks without end from two threads, one on a kept connection and one on new ones; keeps how long each took.  A third asks
    the cloud without the proxy: when that is late too, the machine is."""

    def __init__(self, lab):
        self.lab = lab
        self.took, self.wrong, self.without = [], [], []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(keep,)) for keep in (True, False)]
        self.threads.append(threading.Thread(target=self.compare))

    def compare(self):
        cloud = client.Plain(("127.0.0.1", self.lab.cloud.port))
        cloud.sock = client.trusting(self.lab.cloud.ca).wrap_socket(cloud.sock, server_hostname="tunnel.test")
        cloud.reader = client.Reader(cloud.sock)
        while not self.over.is_set():
            begin = time.monotonic()
            cloud.send(client.request("POST", "/echo", "tunnel.test", body=BODY))
            cloud.reader.response()
            self.without.append(time.monotonic() - begin)
            time.sleep(0.005)
        cloud.close()

    def run(self, keep):
        tunnel = None
        while not self.over.is_set():
            try:
                tunnel = tunnel or self.lab.tunnel()
                begin = time.monotonic()
                response = tunnel.ask("POST", GENERATE, BODY, BEARER)
                self.took.append(time.monotonic() - begin)
                if response.status != 200:
                    self.wrong.append(repr(response)[:400])
                if not keep:
                    tunnel.close()
                    tunnel = None
            except Exception as error:  # the test shows it
                self.wrong.append(repr(error))
                tunnel = None
            time.sleep(0.005)
        if tunnel:
            tunnel.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exc):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Late(AssertionError):
    """Requests were slower than they should be; a machine with much else to do may be the reason."""


def timed(test):
    """What SQLite makes wait waits each time: a test that was only Late is tried again, twice."""
    @functools.wraps(test)
    def run(self):
        for _ in range(2):
            try:
                return test(self)
            except Late:
                shim.reset()
                self.lab.fresh()
        return test(self)
    return run


class Faults(ShimCase):
    LAB = {"accounts": 2, "claude": False, "env": preload()}
    FRESH = True

    @contextlib.contextmanager
    def unhurt(self, seconds=0.0):
        """Requests run meanwhile; none fails, and none waits for the store.  A first second without fault is the measure."""
        with Watch(self.lab) as before:
            time.sleep(1.0)
        with Watch(self.lab) as during:
            yield during
            time.sleep(seconds)
        self.assertEqual(before.wrong, [])
        self.assertEqual(during.wrong[:3], [])
        self.asked = len(before.took) + len(during.took)
        self.compare(before, during)

    @staticmethod
    def compare(before, during):
        limit = max(before.took) + LATE_S
        late = [t for t in during.took if t > limit]
        machine = sum(t > max(before.without) + LATE_S / 2 for t in during.without)
        if len(late) > max(2, len(during.took) // 50) + 2 * machine:
            raise Late(f"more than {limit:.3f} s: {late}; {machine} without the proxy, too")
        if statistics.median(during.took) > statistics.median(before.took) + LATE_S or len(during.took) < 10:
            raise Late(f"{len(during.took)} requests took {statistics.median(during.took):.3f} s, "
                       f"{statistics.median(before.took):.3f} s before")
        if max(during.took) > max(before.took) + max(during.without) + 1.0:
            raise Late(f"one took {max(during.took):.3f} s")

    def edit(self, *statuses, conf=None):
        """An edit by the console that must be refused in one line of words."""
        done = subprocess.run([CONSOLE, "--config", conf or self.lab.conf, "account", "set", "acct-2", "weight=9", "--pool", "gemini"],
                              capture_output=True, text=True, timeout=60, env=clean_env(), check=False)
        self.assertIn(done.returncode, statuses, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def mint_anew(self):
        """Ends all tokens: the next requests need new ones."""
        before = self.mints()
        self.cloud.expire()
        self.assertTrue(until(lambda: self.mints() >= before + 2, 10), self.lab.output()[-600:])

    def mints(self):
        return sum(self.cloud.stats()["mints"].values())

    def stored(self):
        """(requests counted, mints kept) in the store."""
        return (self.lab.query("select sum(requests) n from usage")[0]["n"] or 0,
                self.lab.query("select sum(mints) n from token where sealed is not null")[0]["n"] or 0)

    def assertHealed(self, is_another=False):
        """All that happened meanwhile has come to the store, and edits act again; without a restart.  ANOTHER: what the old
        file held before is gone with it."""
        self.assertTrue(until(lambda: self.lab.page("/readyz", self.lab.admin)[0] == 200, 8), self.lab.output()[-1500:])
        if is_another:
            self.assertTrue(until(lambda: self.stored() >= (1, 2), 8), self.stored())
        else:
            self.assertTrue(until(lambda: self.stored() == (self.asked, self.mints()), 8), (self.stored(), self.asked, self.mints()))
        self.assertEditsAct()
        told = [line for line in self.lab.log_text().splitlines() if '"level":"warn"' in line or '"level":"error"' in line]
        self.assertLess(len(told), 30, told[:30])

    def assertEditsAct(self):
        self.lab.cs("client", "set", "alice", "state=off")
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 403, 3))
        self.lab.cs("client", "set", "alice", "state=on")
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 3))

    @timed
    def test_locked_for_seconds(self):
        with contextlib.closing(sqlite3.connect(self.lab.path("credswap.db"), timeout=5, isolation_level=None)) as db:
            with self.unhurt():
                db.execute("begin exclusive")
                begin = time.monotonic()
                self.mint_anew()
                said = self.edit(75)
                self.assertIn("locked", said)
                self.assertGreater(time.monotonic() - begin, 4.5)  # the console is patient, within reason
                db.execute("rollback")
        self.assertHealed()

    def disk(self, number, word, statuses):
        """Every write to the store fails with NUMBER; the console sees the real thing in a folder of its own."""
        with self.unhurt():
            shim.set(write_errno=number)
            self.mint_anew()
            time.sleep(1.5)
            self.assertEqual(self.lab.page("/readyz", self.lab.admin)[0], 503)
            self.assertTrue(until(lambda: "writer_stuck" in self.lab.log_text(), 3))
            said = self.edit(*statuses, conf=self.console_conf)
            self.assertIn(word, said)
            shim.set(write_errno=0)
        self.assertHealed()

    @contextlib.contextmanager
    def other_folder(self, *mount):
        """A folder for the console's eyes; MOUNT are mount commands for it.  self.console_conf names it."""
        folder = self.lab.path("other")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for command in mount:
            done = subprocess.run(["mount", *[c.format(folder=folder, store=self.lab.dir) for c in command]], capture_output=True,
                                  check=False)
            if done.returncode:
                self.skipTest("needs the right to mount")
        try:
            self.console_conf = self.lab.path("console.conf")
            with open(self.lab.conf, encoding="utf-8") as f:
                text = f.read()
            with open(self.console_conf, "w", encoding="utf-8") as out:
                out.write(text.replace(f"sqlite:{self.lab.dir}", f"sqlite:{folder}"))
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=False)
            os.rmdir(folder)

    @timed
    def test_a_disk_that_turned_read_only(self):
        with self.other_folder(["--bind", "{store}", "{folder}"], ["-o", "remount,ro,bind", "{folder}"]):
            self.disk(errno.EROFS, "read-only", (77,))

    @timed
    def test_a_full_disk(self):
        with self.other_folder(["-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", "{folder}"]) as folder:
            with open(self.lab.path("credswap.db"), "rb") as f:
                pki.write_private(os.path.join(folder, "credswap.db"), f.read())
            with contextlib.suppress(OSError), open(os.path.join(folder, "filler"), "wb", buffering=0) as f:
                while True:
                    f.write(bytes(4096))
            self.disk(errno.ENOSPC, "full", (74,))

    @timed
    def test_a_disk_with_errors(self):
        self.console_conf = None
        with self.unhurt():
            shim.set(write_errno=errno.EIO)
            self.mint_anew()
            time.sleep(1.0)
            shim.set(write_errno=0)
        self.assertHealed()

    def delete_store(self):
        for name in os.listdir(self.lab.dir):
            if name.startswith("credswap.db") and not name.endswith(".lock"):
                os.unlink(self.lab.path(name))

    def copy_store(self):
        copy = self.lab.path("copy.db")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)
        self.lab.cs("backup", copy)
        return copy

    @timed
    def test_deleted_before_the_first_token(self):
        copy = self.copy_store()
        self.delete_store()
        with self.unhurt():
            self.mint_anew()
            self.assertIn("no store", self.edit(66))
            self.assertTrue(until(lambda: self.lab.page("/readyz", self.lab.admin)[0] == 503, 3))
            pki.write_private(self.lab.path("credswap.db"), b"")  # as the sqlite3 shell leaves it
            time.sleep(0.5)
            os.unlink(self.lab.path("credswap.db"))
            self.lab.cs("restore", copy, "--yes")
        self.assertHealed(is_another=True)

    @timed
    def test_garbage_in_its_place_and_a_backup_put_back(self):
        copy = self.copy_store()
        with self.unhurt():
            pki.write_private(self.lab.path("garbage"), b"this is no database at all\n" * 4000)
            for name in ("credswap.db-wal", "credswap.db-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.lab.path(name))
            os.rename(self.lab.path("garbage"), self.lab.path("credswap.db"))
            self.mint_anew()
            self.assertIn("damaged", self.edit(1, 65))
            self.assertTrue(until(lambda: self.lab.page("/readyz", self.lab.admin)[0] == 503, 3))
            with open(self.lab.path("credswap.db"), "rb") as f:
                self.assertTrue(f.read().startswith(b"this is no database"), "the garbage was touched")
            os.rename(copy, self.lab.path("credswap.db"))
        self.assertHealed(is_another=True)

    @timed
    def test_overwritten_in_place_and_a_backup_put_back(self):
        copy = self.copy_store()
        with self.unhurt():
            with open(self.lab.path("credswap.db"), "r+b") as f:
                f.write(os.urandom(os.path.getsize(self.lab.path("credswap.db"))))
            time.sleep(1.0)
            self.edit(1, 65)
            for name in ("credswap.db-wal", "credswap.db-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.lab.path(name))
            os.rename(copy, self.lab.path("credswap.db"))
        self.assertTrue(until(lambda: self.lab.page("/readyz", self.lab.admin)[0] == 200, 8), self.lab.output()[-1500:])
        self.assertEditsAct()

    @timed
    def test_a_newer_schema_appears(self):
        version = self.lab.sql("pragma user_version")[0]
        with self.unhurt():
            self.lab.sql("pragma user_version = 9999")
            self.assertIn("schema", self.edit(65))
            self.assertTrue(until(lambda: self.lab.page("/readyz", self.lab.admin)[0] == 503, 3), "nobody noticed")
            was = self.stored()
            self.lab.sql("update client set state = 'off' where name = 'alice'")  # means what it means to newer programs
            time.sleep(1.0)
            self.assertEqual(self.stored(), was, "it wrote into a schema it does not know")
            self.lab.sql(f"update client set state = 'on' where name = 'alice'; pragma user_version = {version}")
        self.assertHealed()
