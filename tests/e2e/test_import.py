"""Moving over from the old system's files with one command."""
import contextlib
import json
import os
import shutil
import sqlite3
import time
import unittest

import answers
import pki
import selftest
from fake import fake_account
from harness import BODY, HERE, MODEL, Lab, LabCase

OF_BYTES = True

NAMES = ["team-vertex-1", "team-vertex-2", "backup-vertex", "claude-vertex-1"]
GLOBAL = MODEL.format("global", "google", "gemini-2.5-pro", "generateContent")
AAAA, BBBB, CCCC = (f"gemini-client-key-{c * 4}" for c in "abc")
DDDD = "claude-client-key-dddd"
CLAUDE_BODY = json.dumps({"anthropic_version": "vertex-2023-10-16", "max_tokens": 1, "messages": []}).encode()


class Import(LabCase):
    """One store; each test starts from an empty one."""

    FRESH = True
    LAB = {"accounts": 0, "claude": False, "clients": False}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lab = cls.lab
        cls.old = lab.path("old")
        shutil.copytree(os.path.join(HERE, "fixtures", "legacy"), cls.old)
        cls.keys = os.path.join(cls.old, "json")
        for name in NAMES:
            pki.make_account(cls.keys, name)
        lab.placeholders += [AAAA, BBBB, CCCC, DDDD]
        lab.save()

    def setUp(self):
        super().setUp()
        self.cloud.register(accounts_dir=self.keys, placeholders=self.lab.placeholders)

    def command(self, *more, status=0):
        return self.lab.cs("import", os.path.join(self.old, "map-config.json"), "--keys", self.keys, "--app",
                           os.path.join(self.old, "config", "app_config.json"), *more, status=status)

    def dump(self):
        """The rows that an import may write, without counters and times of the running proxy."""
        with contextlib.closing(sqlite3.connect(self.lab.path("credswap.db"))) as db:
            return {t: sorted(map(repr, db.execute(f"select * from {t}"))) for t in
                    ("account", "pool", "pool_member", "client", "account_model", "host_rule")}

    def ask(self, token, path=GLOBAL, host="aiplatform.googleapis.com", body=BODY):
        return self.lab.ask(host, path, body, token=token)

    def test_dry_run_changes_nothing_and_tells_what_it_would(self):
        before = self.dump()
        done = self.command("--dry-run")
        self.assertEqual(self.dump(), before)
        for name in NAMES:
            self.assertIn(name, done.stdout)
        self.assertNotIn(AAAA, done.stdout + done.stderr)

    def test_imported_clients_work_at_once(self):
        self.command()
        time.sleep(1.1)
        for token, status in ((AAAA, 200), (BBBB, 403), (CCCC, 200)):
            with self.subTest(token=token):
                response = self.ask(token)
                self.assertStatus(response, status)
                if status == 200:
                    self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", BODY))
        claude = MODEL.format("us-east5", "anthropic", "claude-haiku-4-5@20251001", "rawPredict")
        response = self.ask(DDDD, claude, "us-east5-aiplatform.googleapis.com", CLAUDE_BODY)
        self.assertStatus(response, 200)
        self.assertEqual(self.cloud.violations(), [])

    def test_only_the_list_of_the_tokens_prefix_counts(self):
        self.command()
        time.sleep(1.1)
        claude = MODEL.format("us-east5", "anthropic", "claude-haiku-4-5@20251001", "rawPredict")
        response = self.ask(AAAA, claude, "us-east5-aiplatform.googleapis.com", CLAUDE_BODY)
        self.assertIn(response.status, (403, 404, 503))
        self.assertEqual(self.cloud.log("us-east5-aiplatform.googleapis.com"), [])

    def test_models_choose_the_account_and_the_domain(self):
        self.command()
        time.sleep(1.1)
        embed = MODEL.format("global", "google", "gemini-embedding-001", "predict")
        for _ in range(3):
            self.assertStatus(self.ask(AAAA, embed), 200)
        rows = self.cloud.log("us-central1-aiplatform.googleapis.com")
        self.assertEqual({r["account"] for r in rows}, {fake_account(self.cloud, "team-vertex-1")})
        self.assertTrue(all("/locations/us-central1/" in r["target"] for r in rows))
        self.assertStatus(self.ask(AAAA, GLOBAL.replace("gemini-2.5-pro", "gemini-1.0")), 404)

    def test_weights_become_shares(self):
        self.command()
        time.sleep(1.1)
        for _ in range(200):
            self.assertStatus(self.ask(CCCC), 200)
        counts = {}
        for key, value in self.cloud.stats()["by_account"].items():
            if "oauth2" not in key:
                name = key.split("@")[0]
                counts[name] = counts.get(name, 0) + value
        self.assertEqual(set(counts), {"team-vertex-1", "team-vertex-2", "backup-vertex"})
        self.assertTrue(60 <= counts["team-vertex-1"] <= 140 and 20 <= counts["backup-vertex"] <= 85, counts)

    def test_importing_twice_changes_nothing(self):
        self.command()
        before = self.dump()
        self.command()
        self.assertEqual(self.dump(), before)

    def test_a_cached_token_of_the_old_system_is_used(self):
        folder = os.path.join(self.old, "jwt")
        os.makedirs(folder, exist_ok=True)
        email = fake_account(self.cloud, "team-vertex-1")
        form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + selftest.assertion(
            os.path.join(self.keys, "team-vertex-1.json"))
        client = selftest.Client(self.cloud, "oauth2.googleapis.com")
        with contextlib.closing(client):
            _, data, _ = client.ask("POST", "/token", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        token = json.loads(data)["access_token"]
        with open(os.path.join(folder, "team-vertex-1.json"), "w", encoding="utf-8") as out:
            json.dump({"access_token": token, "expires_at": int(time.time()) + 3000, "token_type": "Bearer"}, out)
        self.command("--tokens", folder)
        time.sleep(1.1)
        self.assertStatus(self.ask(AAAA), 200)
        self.assertEqual(self.cloud.stats()["mints"][email], 1)
        shutil.rmtree(folder)

    def test_what_is_broken_is_named_and_nothing_is_half_done(self):
        before = self.dump()
        path = os.path.join(self.old, "broken.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write('{"clients": [')
        done = self.lab.cs("import", path, "--keys", self.keys, status=65)
        self.assertIn("broken.json", done.stderr)
        self.lab.cs("import", os.path.join(self.old, "missing.json"), "--keys", self.keys, status=66)
        hidden = os.path.join(self.keys, "backup-vertex.json")
        os.rename(hidden, hidden + ".away")
        try:
            done = self.command(status=None)
            self.assertIn("backup-vertex.json", done.stdout + done.stderr)
            if done.returncode:
                self.assertEqual(self.dump(), before)
        finally:
            os.rename(hidden + ".away", hidden)


class Running(unittest.TestCase):
    """The daemon need not run, and a running one follows."""

    def test_import_without_a_daemon(self):
        lab = Lab(accounts=0, claude=False, clients=False, start=False)
        try:
            keys = lab.path("json")
            for name in NAMES:
                pki.make_account(keys, name)
            lab.placeholders += [AAAA, CCCC, DDDD]
            lab.cloud.register(accounts_dir=keys)
            lab.cs("import", os.path.join(HERE, "fixtures", "legacy", "map-config.json"), "--keys", keys)
            lab.start()
            self.assertEqual(lab.ask("aiplatform.googleapis.com", GLOBAL, BODY, token=AAAA).status, 200)
        finally:
            lab.close()
