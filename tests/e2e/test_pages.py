"""The proxy's own pages, the admin port, and how the daemon behaves as a service."""
import contextlib
import copy
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import answers
import client
from harness import (ALICE, BODY, CONSOLE, DAEMON, GENERATE, STREAM, VERTEX, Lab, LabCase, clean_env, conf_text,
                     email, free_port, merge, until)


class Pages(LabCase):
    LAB = {"accounts": 1, "claude": False}

    def test_the_front_page(self):
        for path in ("/", "/setup"):
            status, headers, body = self.lab.page(path, headers={"User-Agent": "curl/7.88.1"})
            self.assertEqual(status, 200)
            self.assertIn("text/plain", headers["content-type"])
            self.assertIn(b"credswap", body)
            self.assertIn(self.fingerprint().encode(), body.replace(b":", b"").lower())
            status, headers, body = self.lab.page(path, headers={"User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*"})
            self.assertEqual((status, "text/html" in headers["content-type"]), (200, True))
            self.assertIn(b"<", body)

    def fingerprint(self):
        """What `sha256sum -c` needs, or the certificate's own fingerprint: either form may be shown."""
        with open(self.lab.ca, "rb") as f:
            pem = f.read()
        shown = self.lab.page("/ca.sha256")[2].decode().split()[0].replace(":", "").lower()
        done = subprocess.run(["openssl", "x509", "-in", self.lab.ca, "-noout", "-fingerprint", "-sha256"], capture_output=True,
                              text=True, check=True)
        self.assertIn(shown, (hashlib.sha256(pem).hexdigest(), done.stdout.split("=")[1].strip().replace(":", "").lower()))
        return shown

    def test_the_ca_in_both_forms(self):
        with open(self.lab.ca, "rb") as f:
            pem = f.read()
        status, headers, body = self.lab.page("/ca.pem")
        self.assertEqual((status, body), (200, pem))
        self.assertTrue(headers["etag"])
        self.assertEqual(self.lab.page("/ca.pem", headers={"If-None-Match": headers["etag"]})[0], 304)
        der = subprocess.run(["openssl", "x509", "-in", self.lab.ca, "-outform", "DER"], capture_output=True, check=True).stdout
        self.assertEqual(self.lab.page("/ca.crt")[2], der)
        self.fingerprint()

    def test_the_lines_of_an_invitation_run_as_they_are_shown(self):
        """Also copied from a terminal of 80 columns, where a longer line would be two."""
        said = self.lab.cs("client", "add", "carol", "--service", "gemini").stdout
        placeholder, _, lines = said.partition("\n\n")
        self.lab.placeholders.append(placeholder)
        self.assertLessEqual(max(map(len, lines.split("\n"))), 78)
        home = self.lab.path("home")
        env = {**clean_env(), "HOME": home, "XDG_CONFIG_HOME": ""}
        done = subprocess.run(["sh", "-ec", lines + 'echo "$HTTPS_PROXY $GEMINI_API_KEY"'], env=env, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split("\n")[-2], f"http://127.0.0.1:{self.lab.port} {placeholder}")
        other = re.sub(r"s=(\w)", lambda found: "s=" + ("1" if found[1] == "0" else "0"), lines)
        done = subprocess.run(["sh", "-c", other + 'echo "<$HTTPS_PROXY>"'], env=env, capture_output=True, text=True, check=False)
        self.assertIn("FAILED", done.stdout)
        self.assertIn("<>", done.stdout)  # a script with another sum is not run

    def test_env_scripts(self):
        for name, needle in (("env.sh", b"https_proxy"), ("env.fish", b"https_proxy"), ("env.ps1", b"HTTPS_PROXY"),
                             ("env.github", b"HTTPS_PROXY"), ("env.gitlab", b"HTTPS_PROXY")):
            for off in ("", "?off"):
                with self.subTest(name=name, off=off):
                    status, _, body = self.lab.page(f"/{name}{off}")
                    self.assertEqual(status, 200)
                    self.assertIn(needle.lower(), body.lower())
        for off in ("", "?off"):
            script = self.lab.page("/env.sh" + off)[2]
            for shell in ("sh", "bash"):
                done = subprocess.run([shell, "-n"], input=script, capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_env_sh_really_leads_a_client_here_and_back(self):
        home = self.lab.path("home")
        os.makedirs(home, exist_ok=True)
        for name, off in (("on.sh", ""), ("off.sh", "?off")):
            with open(self.lab.path(name), "wb") as out:
                out.write(self.lab.page("/env.sh" + off)[2])
        script = f"""set -e; . {self.lab.path('on.sh')} >&2; . {self.lab.path('on.sh')} >&2
            test -n "$https_proxy"; test "$https_proxy" = "$HTTPS_PROXY"; test -s "$SSL_CERT_FILE"
            curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' -H 'x-goog-api-key: {ALICE}' -d '{{}}' https://{VERTEX}{GENERATE}
            . {self.lab.path('off.sh')} >&2; echo "${{https_proxy-unset}} ${{HTTPS_PROXY-unset}} ${{SSL_CERT_FILE-unset}}" """
        for shell in ("sh", "bash"):
            with self.subTest(shell=shell):
                done = subprocess.run([shell, "-c", script], capture_output=True, text=True, timeout=60, check=False,
                                      env=clean_env(HOME=home, XDG_CONFIG_HOME=home + "/.config"))
                self.assertEqual(done.stdout.split("\n")[:2], ["200", "unset unset unset"], done.stderr)

    def test_absolute_form_to_itself(self):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=10)) as sock:
            own = f"127.0.0.1:{self.lab.port}"
            sock.sendall(client.request("GET", f"http://{own}/ca.sha256", own))
            self.assertStatus(client.Reader(sock).response("GET"), 200)

    def test_status_and_me(self):
        status, headers, body = self.lab.page("/status")
        self.assertEqual((status, "json" in headers["content-type"]), (200, True))
        json.loads(body)
        self.assertEqual(self.lab.page("/me")[0], 401)
        status, _, body = self.lab.page("/me", headers={"Authorization": "Bearer " + ALICE})
        self.assertEqual(status, 200)
        json.loads(body)
        self.assertNotIn(b"acct-1", body)
        self.assertNotIn(ALICE.encode(), body)
        self.assertEqual(self.lab.page("/me", headers={"Authorization": "Bearer gemini-nobody-1"})[0], 401)

    def test_unknown_pages_and_methods(self):
        self.assertEqual(self.lab.page("/nothing")[0], 404)
        for path in ("/", "/ca.pem", "/status"):
            self.assertIn(self.lab.page(path, method="DELETE")[0], (400, 404, 405, 501))
        status, _, body = self.lab.page("/ca.pem", method="HEAD")
        self.assertEqual((status, body), (200, b""))

    def test_admin_pages_are_on_their_own_port_only(self):
        for path in ("/healthz", "/readyz", "/status", "/metrics"):
            self.assertEqual(self.lab.page(path, self.lab.admin)[0], 200, path)
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(self.lab.page(path)[0], 404, path)
        json.loads(self.lab.page("/status", self.lab.admin)[2])

    def test_metrics_are_prometheus_text(self):
        self.lab.ask(token=ALICE)
        status, headers, body = self.lab.page("/metrics", self.lab.admin)
        self.assertIn("text/plain", headers["content-type"])
        text = body.decode()
        helped = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
        names = {re.sub(r"_(bucket|sum|count)$", "", n) if re.sub(r"_(bucket|sum|count)$", "", n) in helped else n
                 for n in re.findall(r"^(credswap_[a-z0-9_]+)", text, re.M)}
        self.assertTrue(names)
        self.assertEqual(names - helped, set())
        self.assertTrue(any(v > 0 for n, v in self.lab.metrics().items() if "request" in n and n.split("{")[0].endswith("_total")))
        self.assertEqual(status, 200)

    def test_access_lines_are_json_with_ids_and_without_secrets(self):
        response = self.lab.ask(path=GENERATE + "?key=" + ALICE)
        wanted = response.one("x-credswap-request-id")
        self.assertTrue(until(lambda: wanted in self.lab.log_text(), 3))
        lines = [json.loads(line) for line in self.lab.log_text().splitlines() if line]
        line = [entry for entry in lines if wanted in json.dumps(entry)][-1]
        self.assertIn("alice", json.dumps(line))
        self.assertIn("acct-1", json.dumps(line))
        self.lab.scan_secrets()

    def test_rows_that_tools_may_read(self):
        self.lab.ask(token=ALICE)
        self.assertTrue(until(lambda: self.lab.query("select * from usage"), 5))
        self.assertTrue(until(lambda: self.lab.query("select * from request"), 5))
        self.assertTrue(until(lambda: self.lab.query("select * from node"), 5), "no row in node")
        self.assertTrue(self.lab.query("select * from event"))


class Service(LabCase):
    LAB = {"accounts": 1, "claude": False}

    def stream(self, events=40, gap=50):
        """Begins a slow stream in a thread; returns (thread, box with the result)."""
        box = {}
        body = json.dumps({"fake": {"events": events, "gap_ms": gap}}).encode()

        def run():
            try:
                box["response"] = self.lab.ask(path=STREAM, body=body, token=ALICE)
            except (client.Broken, OSError) as error:
                box["error"] = error
        thread = threading.Thread(target=run)
        thread.start()
        self.assertTrue(self.cloud.wait(lambda c: [r for r in c.log(VERTEX) if r["sent"]], 5))
        return thread, box, answers.expected("gemini-sse", "gemini-2.5-pro", body)

    def test_term_drains(self):
        thread, box, wanted = self.stream()
        begin = time.monotonic()
        self.lab.signal(signal.SIGTERM)
        time.sleep(0.3)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", self.lab.port), timeout=2).close()
        with contextlib.suppress(OSError):
            self.assertEqual(self.lab.page("/readyz", self.lab.admin)[0], 503)
        thread.join()
        self.assertEqual(box.get("response") and box["response"].body, wanted, box)
        self.assertEqual(self.lab.daemon.wait(8), 0)
        self.assertLess(time.monotonic() - begin, 8)
        self.lab.check_output()
        self.lab.daemon = None
        self.lab.start()

    def test_the_drain_has_an_end(self):
        thread, box, _ = self.stream(events=400, gap=50)
        begin = time.monotonic()
        self.lab.signal(signal.SIGTERM)
        self.assertEqual(self.lab.daemon.wait(12), 0)
        self.assertTrue(4 <= time.monotonic() - begin <= 9)
        thread.join()
        self.assertIsInstance(box.get("error"), (client.Broken, OSError))
        self.lab.daemon = None
        self.lab.start()

    def test_a_second_term_ends_at_once(self):
        thread, _, _ = self.stream(events=200, gap=50)
        self.lab.signal(signal.SIGTERM)
        time.sleep(0.5)
        begin = time.monotonic()
        self.lab.signal(signal.SIGTERM)
        self.lab.daemon.wait(5)
        self.assertLess(time.monotonic() - begin, 3)
        thread.join()
        self.lab.daemon = None
        self.lab.start()

    def test_hup_rereads_the_file_and_keeps_connections(self):
        thread, box, wanted = self.stream(events=20)
        with self.lab.tunnel() as tunnel:
            self.assertStatus(tunnel.ask("POST", GENERATE, BODY, [("authorization", "Bearer " + ALICE)]), 200)
            self.lab.sections["policy"]["ports"] = [443, 8443]
            self.lab.sections["upstream"]["connect_to"].append(f"tunnel.test:8443:127.0.0.1:{self.cloud.port}")
            self.lab.rewrite()
            os.rename(self.lab.path("log"), self.lab.path("log.1"))
            self.lab.logs.append(self.lab.path("log.1"))
            self.lab.signal(signal.SIGHUP)

            def reachable():
                with contextlib.closing(self.lab.tunnel("tunnel.test", port=8443, tls=False)) as other:
                    return other.connect_status == 200
            self.assertTrue(until(reachable, 4))
            self.assertStatus(tunnel.ask("POST", GENERATE, BODY, [("authorization", "Bearer " + ALICE)]), 200)
        thread.join()
        self.assertEqual(box.get("response") and box["response"].body, wanted, box)
        self.assertTrue(until(lambda: os.path.exists(self.lab.path("log")), 3))

    def test_hup_with_a_broken_file_changes_nothing(self):
        with open(self.lab.conf, encoding="utf-8") as f:
            good = f.read()
        try:
            with open(self.lab.conf, "w", encoding="utf-8") as out:
                out.write(good + "nonsense {\n")
            self.lab.signal(signal.SIGHUP)
            time.sleep(0.7)
            self.assertStatus(self.lab.ask(token=ALICE), 200)
        finally:
            with open(self.lab.conf, "w", encoding="utf-8") as out:
                out.write(good)

    def test_usr1_reopens_the_log(self):
        os.rename(self.lab.path("log"), self.lab.path("log.2"))
        self.lab.logs.append(self.lab.path("log.2"))
        self.lab.signal(signal.SIGUSR1)
        self.assertTrue(until(lambda: os.path.exists(self.lab.path("log")), 3))
        wanted = self.lab.ask(token=ALICE).one("x-credswap-request-id")
        self.assertTrue(until(lambda: wanted in self.lab.log_text(), 3))

    def test_a_second_daemon_on_the_store_exits_75(self):
        other = merge(copy.deepcopy(self.lab.sections), {"listen": {
            "proxy": [f"127.0.0.1:{free_port()}"], "admin": f"127.0.0.1:{free_port()}", "socket": self.lab.path("second.sock")}})
        path = self.lab.path("second.conf")
        with open(path, "w", encoding="utf-8") as out:
            out.write(conf_text(other))
        done = subprocess.run([DAEMON, "--config", path], capture_output=True, text=True, timeout=20, env=clean_env(), check=False)
        self.assertEqual(done.returncode, 75, done.stderr)
        self.assertTrue(done.stderr.strip() or "another" in self.lab.log_text())
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_bad_configuration_is_78_with_file_and_line(self):
        with open(self.lab.conf, encoding="utf-8") as f:
            good = f.read()
        path = self.lab.path("bad.conf")
        for bad in (good.replace("tunnel =", "tunel ="), good + "extra {\n}\n", good + "policy {\n",
                    good.replace("workers = 2", 'workers = "many"')):
            with open(path, "w", encoding="utf-8") as out:
                out.write(bad)
            done = subprocess.run([DAEMON, "--config", path, "--check"], capture_output=True, text=True, timeout=20, env=clean_env(),
                                  check=False)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertRegex(done.stderr + done.stdout, r"bad\.conf:\d+")

    def test_versions_and_usage(self):
        for program in (DAEMON, CONSOLE):
            for flag in ("--version", "--help"):
                done = subprocess.run([program, flag], capture_output=True, text=True, timeout=20, env=clean_env(), check=False)
                self.assertEqual(done.returncode, 0, (program, flag, done.stderr))
                self.assertIn("credswap", done.stdout)
        self.lab.cs("no-such-verb", status=64)

    def test_open_files_do_not_pile_up(self):
        def count():
            return len(os.listdir(f"/proc/{self.lab.daemon.pid}/fd"))
        self.lab.ask(token=ALICE)
        before = count()
        for _ in range(100):
            self.lab.ask(token=ALICE)
        self.assertTrue(until(lambda: count() <= before + 8, 5), (before, count()))


class Console(LabCase):
    LAB = {"accounts": 2}

    def test_every_listing_has_json(self):
        self.lab.ask(token=ALICE)
        for words in ("account list", "account show acct-1", "pool list", "client list", "client show alice", "host list", "model list",
                      "status", "tokens", "usage", "requests", "events", "doctor", "config show --origin", "ca show",
                      f"host test {VERTEX}:443"):
            with self.subTest(words=words):
                self.lab.cs_json(*words.split())

    def test_refresh_and_test_through_the_socket(self):
        self.lab.cs("account", "refresh", "acct-1")
        self.assertGreaterEqual(self.cloud.stats()["mints"][email(1)], 1)
        self.lab.cs("account", "test", "acct-1")

    def test_socket_commands_without_a_daemon_are_69(self):
        lab = Lab(accounts=1, claude=False, clients=False, start=False)
        try:
            for words in (("account", "refresh", "acct-1"), ("account", "test", "acct-1")):
                lab.cs(*words, status=69)
            self.assertNotEqual(lab.cs("wait", "--ready", "--timeout", "1", status=None).returncode, 0)
            lab.cs("status")
        finally:
            lab.close()

    def test_bad_input_changes_nothing(self):
        before = self.lab.sql("select * from account"), self.lab.sql("select * from pool_member")
        for words, status, stdin in ((("account", "add", "-", "--name", "broken"), 65, "{}"),
                                     (("account", "add", "/nonexistent.json"), 66, ""),
                                     (("account", "add", "-", "--name", "broken"), 65, '{"type":"service_account"}'),
                                     (("account", "set", "acct-1", "weight=-1"), (64, 65), ""),
                                     (("account", "set", "acct-1", "weight=many"), (64, 65), ""),
                                     (("account", "set", "acct-1", "colour=red"), (64, 65), ""),
                                     (("pool", "set", "gemini", "acct-1=5", "nobody=1"), None, ""),
                                     (("client", "add", "alice", "--service", "gemini", "--token", "-"), None, "gemini-x-1234567890123456")):
            with self.subTest(words=words):
                done = self.lab.cs(*words, stdin=stdin, status=None)
                self.assertNotEqual(done.returncode, 0)
                if status:
                    self.assertIn(done.returncode, status if isinstance(status, tuple) else (status,), done.stderr)
                self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual((self.lab.sql("select * from account"), self.lab.sql("select * from pool_member")), before)

    def test_a_new_client_sees_its_token_once(self):
        done = self.lab.cs("client", "add", "henry", "--service", "gemini")
        token = re.search(r"gemini-[A-Za-z0-9_-]{16,}", done.stdout)[0]
        self.assertTrue(until(lambda: self.lab.ask(token=token).status == 200, 2))
        self.assertNotIn(token, json.dumps(self.lab.cs_json("client", "show", "henry")))
        done = self.lab.cs("client", "rotate", "henry")
        newer = re.search(r"gemini-[A-Za-z0-9_-]{16,}", done.stdout)[0]
        self.assertNotEqual(newer, token)
        self.assertTrue(until(lambda: self.lab.ask(token=newer).status == 200, 2))
        self.lab.placeholders += [token, newer]

    def test_a_client_service_account_file_has_googles_shape(self):
        text = self.lab.cs("client", "service-account", "alice").stdout
        data = json.loads(text)
        self.assertEqual(data["type"], "service_account")
        self.assertTrue({"project_id", "private_key_id", "private_key", "client_email", "token_uri"} <= set(data))
