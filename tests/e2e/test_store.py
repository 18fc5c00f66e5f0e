"""The store: private, backed up, and no reason for a request to wait or fail."""
import contextlib
import os
import sqlite3
import subprocess
import time
import unittest

import pki
from harness import ALICE, BODY, DAEMON, GENERATE, Lab, LabCase, clean_env, until

BEARER = [("authorization", "Bearer " + ALICE)]


class Store(LabCase):
    LAB = {"accounts": 2, "claude": False}
    FRESH = True

    def test_a_wide_open_store_is_refused(self):
        self.lab.stop()
        try:
            os.chmod(self.lab.dir, 0o755)
            done = subprocess.run([DAEMON, "--config", self.lab.conf], capture_output=True, text=True, timeout=20, env=clean_env(),
                                  check=False)
            self.assertNotEqual(done.returncode, 0)
        except subprocess.TimeoutExpired:
            self.fail("it started on a store in a directory of mode 0755")
        finally:
            os.chmod(self.lab.dir, 0o700)
            self.lab.start()

    def test_files_are_private(self):
        for name in os.listdir(self.lab.dir):
            if name.startswith("credswap.db") or name in ("ca.key", "master.key"):
                self.assertEqual(os.stat(self.lab.path(name)).st_mode & 0o077, 0, name)

    def test_backup_and_restore(self):
        copy = self.lab.path("saved.db")
        self.lab.cs("backup", copy)
        self.assertGreater(os.path.getsize(copy), 0)
        self.assertEqual(os.stat(copy).st_mode & 0o077, 0)
        self.lab.scan_secrets(copy)
        self.lab.stop()
        self.lab.cs("client", "set", "alice", "state=off")
        self.lab.cs("restore", copy, "--yes")
        self.lab.start()
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_undo_takes_back_one_change(self):
        self.lab.cs("account", "set", "acct-2", "state=off")
        self.lab.cs("account", "set", "acct-1", "state=off")
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 503, 2))
        self.lab.cs("undo", "--yes")
        self.assertTrue(until(lambda: self.lab.ask(token=ALICE).status == 200, 2))

    def test_a_damaged_store_is_refused_and_left_alone(self):
        self.lab.stop()
        path = self.lab.path("credswap.db")
        for name in ("credswap.db-wal", "credswap.db-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.lab.path(name))
        with open(path, "r+b") as f:
            f.write(b"this is not a database at all" * 10)
        before = open(path, "rb").read()
        done = subprocess.run([DAEMON, "--config", self.lab.conf], capture_output=True, text=True, timeout=20, env=clean_env(),
                              check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(open(path, "rb").read(), before)
        self.lab.fresh()

    def refused(self, *statuses):
        """The daemon must not start; it says why in one line."""
        try:
            done = subprocess.run([DAEMON, "--config", self.lab.conf], capture_output=True, text=True, timeout=15,
                                  env=clean_env(), check=False)
        except subprocess.TimeoutExpired:
            self.fail("it started")
        said = done.stderr + (self.lab.log_text() if os.path.exists(self.lab.path("log")) else "")
        self.assertIn(done.returncode, statuses, said)
        self.assertTrue(said.strip())
        return said

    def test_a_newer_schema_is_refused(self):
        self.lab.stop()
        version = self.lab.sql("pragma user_version")[0]
        self.lab.sql("pragma user_version = 9999")
        self.refused(65, 78)
        self.assertEqual(self.lab.sql("pragma user_version"), ["9999"])
        self.lab.sql(f"pragma user_version = {version}")
        self.lab.start()

    def test_a_foreign_master_key_is_refused_or_serves_nothing(self):
        self.lab.stop()
        with open(self.lab.path("master.key"), "rb") as f:
            good = f.read()
        try:
            pki.write_private(self.lab.path("master.key"), os.urandom(32))
            self.refused(65, 77, 78)
        finally:
            pki.write_private(self.lab.path("master.key"), good)
            self.lab.start()

    def test_a_readable_master_key_is_refused(self):
        self.lab.stop()
        try:
            os.chmod(self.lab.path("master.key"), 0o644)
            self.refused(77, 78)
        finally:
            os.chmod(self.lab.path("master.key"), 0o600)
            self.lab.start()

    def test_sealed_values_do_not_open_in_another_row(self):
        """Whoever may write the database cannot lend one account's key to another."""
        lab = self.lab
        lab.stop()
        lab.sql("update account set key_sealed = (select key_sealed from account where name = 'acct-2') where name = 'acct-1'")
        lab.sql("delete from token")
        lab.start()
        for _ in range(10):
            self.assertStatus(lab.ask(token=ALICE), 200)
        rows = [r for r in self.cloud.log("us-central1-aiplatform.googleapis.com")]
        self.assertEqual({r["account"].split("@")[0] for r in rows}, {"acct-2"})

    def test_a_locked_database_does_not_stop_requests(self):
        lab = self.lab
        self.assertStatus(lab.ask(token=ALICE), 200)
        with contextlib.closing(sqlite3.connect(lab.path("credswap.db"), timeout=5, isolation_level=None)) as db:
            db.execute("begin exclusive")
            end = time.monotonic() + 4
            worst = 0.0
            with lab.tunnel() as tunnel:
                while time.monotonic() < end:
                    begin = time.monotonic()
                    self.assertStatus(tunnel.ask("POST", GENERATE, BODY, BEARER), 200)
                    worst = max(worst, time.monotonic() - begin)
            db.execute("rollback")
        self.assertLess(worst, 0.5)
        self.assertTrue(until(lambda: lab.query("select * from usage"), 6))

    def test_a_deleted_database_does_not_stop_requests(self):
        lab = self.lab
        self.assertStatus(lab.ask(token=ALICE), 200)
        for name in os.listdir(lab.dir):
            if name.startswith("credswap.db"):
                os.unlink(lab.path(name))
        time.sleep(1.5)
        for _ in range(5):
            self.assertStatus(lab.ask(token=ALICE), 200)

    def test_every_change_leaves_one_audit_row(self):
        before = len(self.lab.query("select * from event"))
        self.lab.cs("account", "set", "acct-1", "weight=7")
        rows = self.lab.query("select * from event")
        self.assertEqual(len(rows), before + 1)
        self.lab.cs("account", "set", "acct-1", "weight=-7", status=None)
        self.assertEqual(len(self.lab.query("select * from event")), before + 1)


class Full(unittest.TestCase):
    """A disk without a free byte under the store."""

    def test_requests_go_on(self):
        lab = Lab(accounts=1, claude=False, start=False)
        mount = lab.path("small")
        os.mkdir(mount, 0o700)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", mount], capture_output=True, check=False)
        if done.returncode:
            lab.close()
            self.skipTest("needs the right to mount")
        try:
            for name in os.listdir(lab.dir):
                if name.startswith("credswap.db"):
                    with open(lab.path(name), "rb") as f:
                        pki.write_private(os.path.join(mount, name), f.read())
            lab.sections["store"]["url"] = f"sqlite:{mount}/credswap.db"
            lab.rewrite()
            lab.start()
            self.assertEqual(lab.ask(token=ALICE).status, 200)
            with contextlib.suppress(OSError), open(os.path.join(mount, "filler"), "wb", buffering=0) as f:
                while True:
                    f.write(bytes(4096))
            for _ in range(30):
                self.assertEqual(lab.ask(token=ALICE).status, 200)
                time.sleep(0.1)
            os.unlink(os.path.join(mount, "filler"))
            self.assertEqual(lab.ask(token=ALICE).status, 200)
            lab.stop()
        finally:
            lab.kill()
            subprocess.run(["umount", "-l", mount], check=False)
            lab.close(check=False)
