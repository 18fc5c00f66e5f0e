#!/usr/bin/env python3
"""kill -9 in the middle of everything: kill.py [--build DIR] [--rounds N | --full] [--seed N]

A round: clients ask without end, plain and streamed; the console and the sqlite3 shell commit edits, the socket
mints tokens; at a random moment the daemon is killed, in half of the rounds the console with it, and now and
then the daemon of the next start too. Then the store must be sound, every edit whose command had returned 0
must be there with its audit row, the next start must serve within two seconds, and no account whose token
was in the store is minted anew.

The last line is "N passed, N failed", the one before names rounds, edits and the worst start."""
import argparse
import contextlib
import json
import os
import random
import sqlite3
import ssl
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "fakes")]
sys.dont_write_bytecode = True

START_S = 2.0
ACCOUNTS = 3
CLIENTS = 3
FULL = 200


# ---- a client: its own process, for all rounds ----

def client_main():
    """Asks until standard input ends; prints what it saw that no kill explains, and how much it did."""
    import answers
    import client
    import harness
    job = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    rng = random.Random(job["seed"])
    context = client.trusting(job["ca"])
    headers = [("authorization", "Bearer " + harness.ALICE)]
    done, wrong = 0, []
    tunnel = None
    while not ended.is_set():
        streamed = rng.random() < 0.5
        body = json.dumps({"n": rng.random(), "fake": {"bytes": rng.choice([10, 3000, 40000]), "events": 6,
                                                       "gap_ms": 10 if streamed else 0}}).encode()
        path, kind = (harness.STREAM, "gemini-sse") if streamed else (harness.GENERATE, "gemini")
        try:
            if tunnel is None:
                tunnel = client.Tunnel(("127.0.0.1", job["port"]), harness.VERTEX, context=context, timeout=30)
            response = tunnel.ask("POST", path, body, headers)
            if response.status != 200:
                wrong.append(f"{response.status} {response.body[:200]!r}")
            elif response.body != answers.expected(kind, "gemini-2.5-pro", body):
                wrong.append(f"{kind}: a whole answer of {len(response.body)} bytes, but not the right one")
            done += 1
        except (client.Broken, OSError, ssl.SSLError):  # killed; a cut answer must look cut, and did
            if tunnel:
                tunnel.close()
            tunnel = None
            time.sleep(0.02)
    json.dump({"done": done, "wrong": wrong[:10]}, sys.stdout)


# ---- the edits ----

class Edits:
    """Commits by console, shell and socket until told to stop; knows what was acknowledged."""

    def __init__(self, lab, number):
        self.lab = lab
        self.number = number  # each edit has one of its own
        self.acknowledged = []
        self.errors = []
        self.current = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def kinds(self, n):
        """(command, SQL that is true when it is there, text of its audit row or None)"""
        import harness
        console = [harness.CONSOLE, "--config", self.lab.conf]
        shell = ["sqlite3", "-batch", "-cmd", ".timeout 5000", self.lab.path("credswap.db")]
        return {
            "client": (console + ["client", "set", "edited", f"rpm={n}"],
                       "select max(rpm) >= {n} from client where name = 'edited'", f"client edited: rpm={n}"),
            "pool": (console + ["pool", "set", "spare", f"acct-2={n}"],
                     "select max(weight) >= {n} from pool_member where pool = 'spare' and account = 'acct-2'",
                     f"pool spare: acct-2={n}"),
            "account": (console + ["account", "set", "acct-3", f"weight={n}", "--pool", "spare"],
                        "select max(weight) >= {n} from pool_member where pool = 'spare' and account = 'acct-3'",
                        f"acct-3: weight={n}"),
            "shell": (shell + [f"update client set tokens_per_day = {n} where name = 'edited'"],
                      "select max(tokens_per_day) >= {n} from client where name = 'edited'", None),
            "refresh": (console + ["account", "refresh", f"acct-{n % ACCOUNTS + 1}"], None, None)}

    def run(self):
        import harness
        rng = random.Random(self.number)
        while not self.stopped.is_set():
            self.number += 1
            kind = rng.choice(["client", "pool", "account", "shell", "shell", "refresh"])
            command, holds, audit = self.kinds(self.number)[kind]
            self.current = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            env=harness.clean_env(), cwd=self.lab.dir)
            said = self.current.communicate()[1].decode(errors="replace")
            if self.current.returncode == 0 and holds:
                self.acknowledged.append((kind, holds.format(n=self.number), audit))
            elif self.current.returncode not in (0, -9) and kind != "refresh":  # that one needs the daemon
                self.errors.append(f"{' '.join(command)}: {self.current.returncode} {said.strip()[-200:]}")

    def kill_now(self):
        """In the middle of its own write, with luck."""
        process = self.current
        if process and process.poll() is None:
            process.kill()

    def stop(self):
        self.stopped.set()
        self.thread.join()


# ---- a round ----

class Rounds:
    def __init__(self, lab, rng):
        self.lab = lab
        self.rng = rng
        self.edits = 0
        self.number = 1000
        self.starts = []
        self.tokens = {}
        self.mints = {}

    def start(self, measured=True):
        """Seconds until /readyz says 200."""
        begin = time.monotonic()
        self.lab.start(wait=False)
        while time.monotonic() - begin < 20:
            with contextlib.suppress(OSError):
                if self.lab.page("/readyz", self.lab.admin)[0] == 200:
                    break
            if self.lab.daemon.poll() is not None:
                raise AssertionError(f"no start: {self.lab.daemon.returncode} {self.lab.output()[-1500:]}")
            time.sleep(0.01)
        took = time.monotonic() - begin
        if measured:
            self.starts.append(took)
            assert took < START_S, f"a start took {took:.2f} s"

    def check_store(self, edits):
        with contextlib.closing(sqlite3.connect(self.lab.path("credswap.db"), timeout=5)) as db:
            said = [r[0] for r in db.execute("pragma integrity_check")]
            assert said == ["ok"], said
            said = db.execute("pragma foreign_key_check").fetchall()
            assert said == [], said
            for kind, holds, audit in edits.acknowledged:
                assert db.execute(holds).fetchone()[0] == 1, f"lost: {kind} {holds}"
                if audit:
                    rows = db.execute("select count(*) from event where kind = 'audit' and instr(what, ?) > 0", (audit,)).fetchone()[0]
                    assert rows == 1, f"{rows} audit rows of {audit}"
            self.tokens = {a for a, in db.execute("select account from token where sealed is not null and expires_at > unixepoch() + 60")}
        self.mints = self.lab.cloud.stats()["mints"]

    def check_tokens(self):
        """Nobody whose token was kept is minted anew."""
        import harness
        for _ in range(12):
            response = self.lab.ask(token=harness.ALICE)
            assert response.status == 200, response
        now = self.lab.cloud.stats()["mints"]
        for account in self.tokens:
            mail = harness.email(int(account[-1]))
            assert now.get(mail, 0) == self.mints.get(mail, 0), f"{account} was minted anew: {self.mints} {now}"
        self.lab.cloud.reset()

    def one(self):
        edits = Edits(self.lab, self.number)
        try:
            time.sleep(self.rng.uniform(0.1, 0.7))
            if self.rng.random() < 0.5:
                edits.kill_now()
            self.lab.kill()
            time.sleep(self.rng.choice([0, 0, 0.1]))  # edits go on without a daemon, too
            edits.kill_now()
        finally:
            edits.stop()
            self.number = edits.number + 1
        assert not edits.errors, edits.errors
        self.edits += len(edits.acknowledged)
        self.check_store(edits)
        if self.rng.random() < 0.25:  # killed in its start
            self.lab.start(wait=False)
            time.sleep(self.rng.uniform(0, 0.25))
            self.lab.kill()
        self.start()
        self.check_tokens()


def start_clients(lab, count):
    running = []
    for seed in range(count):
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--client"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        process.stdin.write(json.dumps({"seed": seed, "port": lab.port, "ca": lab.ca}) + "\n")
        process.stdin.flush()
        running.append(process)
    return running


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.environ.get("CREDSWAP_BUILD", "build/debug"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--full", action="store_true", help=f"{FULL} rounds")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client_main()
        return 0
    os.environ["CREDSWAP_BUILD"] = os.path.abspath(options.build)
    import harness
    rounds = FULL if options.full else options.rounds
    passed = failed = 0
    begin = time.monotonic()
    lab = harness.Lab(accounts=ACCOUNTS, claude=False, start=False)
    clients = []
    try:
        lab.add_client("edited", "gemini", "gemini-edited-0123456789abcdef")
        lab.cs("pool", "set", "spare", "acct-2=1", "acct-3=1")
        work = Rounds(lab, random.Random(options.seed))
        work.start(measured=False)
        clients = start_clients(lab, CLIENTS)
        for number in range(rounds):
            try:
                work.one()
                passed += 1
            except AssertionError as error:
                failed += 1
                print(f"FAIL  round {number} (--seed {options.seed}): {error}", flush=True)
                if lab.daemon is None:
                    work.start(measured=False)
        done = 0
        for process in clients:
            result = json.loads(process.communicate(timeout=60)[0])
            done += result["done"]
            for text in result["wrong"]:
                failed += 1
                print(f"FAIL  a client saw: {text}")
        print(f"{rounds} rounds in {time.monotonic() - begin:.0f} s, {work.edits} edits acknowledged, {done} requests, "
              f"worst start {max(work.starts, default=0):.2f} s, median {sorted(work.starts)[len(work.starts) // 2]:.2f} s")
    finally:
        for process in clients:
            if process.poll() is None:
                process.kill()
                process.wait()
        lab.close(check=not failed)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
