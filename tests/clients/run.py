#!/usr/bin/env python3
"""Runs real clients through one proxy: run.py [--build DIR] [--jobs N] [--list] [NAME ...]

NAME selects clients whose name contains it.  One line for each client and case; what cannot be run here is named in the
line "skipped: ..."; the last line is "N passed, N failed".
"""
import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tests", "fakes")]

import cli  # noqa: E402
import npm  # noqa: E402
from gitserver import GitServer  # noqa: E402

DOCS = os.path.join(ROOT, "docs", "clients.md")
LIMIT_S = 300  # of a hang: a loaded machine starts a command-line client four times in a minute
CASES = ("plain", "stream", "retry", "refused")
# The cloud holds the last pieces back until the client has shown the first: a stream must come as it is made.
WISH = "[fake bytes=24 events=6 gap_ms=5 gate=4]"
REFUSAL = "The fake cloud is out of candles."
UNKNOWN = "wrong-placeholder-0123456789abcdef"


@dataclasses.dataclass
class Client:
    """One client: how it is started, and what is to be seen of it."""

    name: str
    command: list
    kind: str = ""            # for a driver that serves several: which snippet, or which protocol
    needs: str = ""           # what npm must have installed: sdk, cli or nothing
    service: str = "gemini"   # of the placeholder
    front: str = "h1"         # the protocol that it must have spoken
    is_live: bool = False     # a WebSocket
    unsaid: tuple = ()        # cases whose message it does not show
    check: object = None      # of what else it sends
    env: dict = dataclasses.field(default_factory=dict)

    @property
    def model(self):
        """Its own, so that nobody else's cool-downs are in its way."""
        return f"{self.service}-{self.name}"


def node(name, driver, kind="", **more):
    return Client(name, ["node", "--import", "./snippets/proxy.mjs", f"{driver}.mjs"], kind=kind, needs="sdk", **more)


def python(name, driver, **more):
    return Client(name, ["/usr/bin/python3", f"{driver}_.py"], **more)


def live(name, driver, host, **more):
    """The Live API: a handshake has no body, so the faults are told apart by their order."""
    return node(name, driver, is_live=True, env={"LIVE_HOST": host}, **more)


def check_side_calls(bench, client):
    """Claude Code tells api.anthropic.com about itself: none of that goes on under an account."""
    kept = bench.lab.query("SELECT status FROM request WHERE client = ? AND reason = 'path'", client.name)
    assert kept and {r["status"] for r in kept} == {404}, kept
    went = {r["target"].partition("?")[0] for r in bench.cloud.log(host="api.anthropic.com", limit=10000)}
    assert went <= {"/v1/messages", "/v1/messages/count_tokens"}, went


def check_own_statistics(bench, _client):
    """Gemini CLI's go to another host, which is tunnelled and gets no credential."""
    assert '"kind":"tunnel","host":"play.googleapis.com"' in bench.lab.log_text()


CLIENTS = [
    Client("curl-h1", ["/usr/bin/python3", "curl_.py"], env={"SNIPPET": "snippets/curl.sh", "CURLRC": "http1.1"}),
    Client("curl-h2", ["/usr/bin/python3", "curl_.py"], env={"SNIPPET": "snippets/curl.sh", "CURLRC": "http2"}, front="h2"),
    Client("wget", ["/usr/bin/python3", "curl_.py"], env={"SNIPPET": "snippets/wget.sh"}, unsaid=("unknown",)),
    python("urllib", "urllib"),
    python("requests", "requests"),
    python("httpx-h1", "httpx", kind="h1"),
    python("httpx-h2", "httpx", kind="h2", front="h2"),
    python("aiohttp", "aiohttp"),
    python("grpcio", "grpcio", front="h2"),
    node("undici-h1", "undici", "h1"),
    node("undici-h2", "undici", "h2", front="h2"),
    node("anthropic-sdk", "claude", "anthropic", service="claude"),
    node("anthropic-gateway", "claude", "anthropic", service="claude", env={"ANTHROPIC_BASE_URL": "{proxy}/anthropic"}),
    node("anthropic-vertex", "claude", "anthropic-vertex", service="claude"),
    node("genai-key", "genai", "genai-key"),
    node("genai-vertex", "genai", "genai-vertex"),
    node("vertexai", "vertexai"),
    node("aiplatform", "aiplatform", front="h2"),
    node("google-auth", "google-auth"),
    live("ws-live", "ws-live", "us-central1-aiplatform.googleapis.com"),
    live("genai-live", "genai-live", "generativelanguage.googleapis.com", unsaid=("refused", "unknown")),
    python("claude-code", "cli", kind="claude-code", needs="cli", service="claude", check=check_side_calls),
    python("gemini-cli", "cli", kind="gemini-cli", needs="cli", check=check_own_statistics),
]




class Bench:
    """One fake cloud, one proxy with its default settings, and an account and a placeholder for each client."""

    def __init__(self, clients):
        import harness
        self.harness = harness
        self.stack = contextlib.ExitStack()
        git_root = os.path.join(harness.shared_keys(), "git")
        os.makedirs(git_root, exist_ok=True)
        self.git = GitServer(git_root, os.path.join(harness.shared_keys(), "server-other.pem"))
        self.stack.callback(self.git.close)
        self.lab = harness.Lab(accounts=4, cloud_args=("--h2",), start=False, clients=False,
                               connect_to=(f"git.tunnel.test:443:127.0.0.1:{self.git.port}",))
        self.cloud = self.lab.cloud
        try:
            self.configure(clients)
            self.lab.start()
            self.env = self.client_env()
        except BaseException:
            self.lab.close(check=False)
            raise

    def configure(self, clients):
        """As a user has it who set addresses and files, and nothing else.  No name leads out of this machine."""
        lab, harness = self.lab, self.harness
        lab.sections["upstream"]["connect_to"].append(f"*:443:127.0.0.1:{self.cloud.port}")
        del lab.sections["policy"], lab.sections["run"], lab.sections["log"]["level"]
        lab.rewrite()
        second = harness.CLAUDE_KEY + "-2"
        lab.cs("account", "add", "--kind", "api-key", "--host", harness.CLAUDE, "--name", "claude-key-2", "--pool", "claude",
               "-", stdin=second)
        self.cloud.register(api_keys={harness.CLAUDE: {second: "claude-key-2"}})
        for client in clients:
            lab.add_client(client.name, client.service, token_of(client))

    def client_env(self):
        """What `. env.sh` of the proxy leaves behind in a shell whose user trusts the fake cloud's CA."""
        home = self.lab.path("home")
        os.mkdir(home)
        script = os.path.join(home, "env.sh")
        with open(script, "wb") as f:
            f.write(self.lab.page("/env.sh")[2])
        base = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", "SSL_CERT_FILE": self.cloud.ca}
        done = subprocess.run(["sh", "-e", "-c", '. "$1"; exec env -0', "sh", script], env=base, capture_output=True, check=True)
        return dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if "=" in pair)

    def place(self, client, modules):
        """A folder of its own with the snippets, the drivers, a home and the modules."""
        place = self.lab.path("run", client.name)
        os.makedirs(os.path.join(place, "home"))
        shutil.copytree(os.path.join(HERE, "snippets"), os.path.join(place, "snippets"))
        shutil.copytree(os.path.join(HERE, "drive"), place, dirs_exist_ok=True)
        if modules:
            os.symlink(modules, os.path.join(place, "node_modules"))
        if client.needs == "cli":
            cli.command_folder(modules, place)
        if "CURLRC" in client.env:
            with open(os.path.join(place, "home", ".curlrc"), "w") as f:
                f.write(client.env["CURLRC"] + "\n")
        return place

    def start(self, client, place, token, cases):
        """Runs CASES; returns ({case: what was printed}, all that was said)."""
        path = self.env["PATH"] if client.needs != "cli" else f"{os.path.join(place, 'bin')}:{self.env['PATH']}"
        env = {**self.env, "PATH": path, "HOME": os.path.join(place, "home"), "TAG": client.name, "MODEL": client.model, "KIND": client.kind,
               "WISH": WISH, "GEMINI_API_KEY": token, "ANTHROPIC_API_KEY": token, "GEMINI_MODEL": client.model,
               "ANTHROPIC_MODEL": client.model, "PYTHONPATH": f"snippets:{os.path.join(ROOT, 'tests', 'fakes')}",
               "PYTHONDONTWRITEBYTECODE": "1",
               **{k: v.format(proxy=self.env["HTTPS_PROXY"]) for k, v in client.env.items()}}
        out, err = [], []
        with subprocess.Popen(client.command + list(cases), cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, start_new_session=True,
                              preexec_fn=self.harness.die_with_parent) as child:
            stop = threading.Timer(LIMIT_S, os.killpg, (child.pid, signal.SIGKILL))
            stop.start()
            reader = threading.Thread(target=lambda: err.append(child.stderr.read()), daemon=True)
            reader.start()
            for line in child.stdout:
                out.append(line)
                if line == "first piece\n":
                    self.cloud.open(f"{client.name}-stream ")
            reader.join()
            stop.cancel()
        lines = [json.loads(line) for line in out if line.startswith('{"case"')]
        return {line["case"]: line for line in lines}, "".join(out + err)[-3000:]

    def close(self):
        try:
            self.lab.close()
        finally:
            self.stack.close()


# -- what must have been seen --

def token_of(client):
    return f"{client.service}-{client.name}-0123456789abcdef"


def seen(bench, client, case):
    """What the cloud received of a case, in order."""
    return [r for r in bench.cloud.log(limit=10000) if f"{client.name}-{case} " in (r["body"] or "")]


def expected(row):
    """The pieces of text that the cloud made of a request: one unless a stream was asked for."""
    import answers
    kept = row["body"] is not None
    body = row["body"].encode("latin-1") if kept else row["body_sha256"].encode()
    digest = answers.sha(body)
    parsed = json.loads(body) if kept and body[:1] == b"{" else {}
    size, events, _ = answers.options(parsed, body)
    if "stream" not in row["target"].lower() and not parsed.get("stream"):
        return [answers.text(digest, size)]
    return [answers.text(f"{digest}:{i}", size) for i in range(events)]


def credential_of(row):
    """Which credential the cloud accepted: the account's, never what the client sent."""
    found = [v for n, v in row["headers"] if n in ("authorization", "x-api-key", "x-goog-api-key")]
    return len(found) == 1 and found[0].startswith(("Bearer ya29.", "sk-ant-api03-real-")) and bool(row["account"])


class Checks:
    """The cases of one client, after it ran; each raises AssertionError."""

    def __init__(self, bench, client, results, said):
        self.bench, self.client, self.results, self.said = bench, client, results, said

    def result(self, case):
        if case not in self.results:
            raise AssertionError(f"the client printed no result: {self.said}")
        return self.results[case]

    def answered(self, case):
        rows = [r for r in seen(self.bench, self.client, case) if r["status"] == 200]
        if not rows:
            raise AssertionError(f"the cloud answered no such request; the client said {self.result(case)}")
        assert all(credential_of(r) for r in rows), "another credential than the account's went out"
        return rows[-1]

    def right(self, case):
        result = self.result(case)
        if self.client.is_live:
            assert result.get("text") == f"{self.client.name}-{case} say something", result
        else:
            assert result.get("text") == "".join(expected(self.answered(case))), result

    plain = right

    def stream(self, case):
        result = self.result(case)
        if self.client.is_live:
            said = f"{self.client.name}-stream say something {WISH}"
            assert result.get("pieces") == [f"{said} {n}" for n in range(1, 5)], result
            return
        pieces = expected(self.answered(case))
        assert "error" not in result and "".join(result["pieces"]) == "".join(pieces), (result, pieces)
        assert len(pieces) == 6 and len(result["pieces"]) > 1, result

    def retry(self, case):
        """One account is out of quota; the client must not notice."""
        self.right(case)
        if self.client.is_live:
            return
        rows = seen(self.bench, self.client, case)
        assert [r["status"] for r in rows] == [429, 200], [r["status"] for r in rows]
        assert rows[0]["account"] != rows[1]["account"], "the same account was asked again"

    def refused(self, case):
        """What the provider says of a bad request is the client's to see."""
        result = self.result(case)
        assert "error" in result, result
        assert case in self.client.unsaid or REFUSAL in result["error"], result

    def unknown(self, case):
        """A placeholder that nobody was given: the sentence and the request's number reach whoever reads the error."""
        result = self.result(case)
        assert "error" in result and seen(self.bench, self.client, case) == [], result
        assert case in self.client.unsaid or "(credswap, request cs_" in result["error"], result

    def recorded(self, _case):
        """The store has its requests, with its name, its account and its protocol."""
        client = self.client

        def rows():
            return self.bench.lab.query("SELECT account, tried, status, attempts, front, model, reason FROM request "
                                        "WHERE client = ?", client.name)
        wanted = len(CASES)
        found = self.bench.harness.until(lambda: len(rows()) >= wanted and rows(), seconds=8) or rows()
        assert len(found) >= wanted, found
        good = [r for r in found if r["status"] in (200, 101)]
        assert len(good) >= wanted - 1 and all(r["account"] for r in good), found
        assert {r["front"] for r in found} == {client.front}, found
        assert client.is_live or {r["model"] for r in good} == {client.model}, found
        assert any(r["attempts"] > 1 for r in good), found


def arm(cloud, client):
    """The faults for this client alone."""
    if client.is_live:
        where = {"host": client.env["LIVE_HOST"], "path": "/ws/*"}
        cloud.fail("429", times=1, skip=2, **where)
        cloud.fail("400", times=1, skip=3, message=REFUSAL, **where)
    else:
        cloud.fail("429", times=1, words=f"{client.name}-retry ")
        cloud.fail("400", times=-1, words=f"{client.name}-refused ", message=REFUSAL)


def run_client(bench, client, modules):
    """[(case, what is wrong or "")]"""
    place = bench.place(client, modules)
    arm(bench.cloud, client)
    results, said = bench.start(client, place, token_of(client), CASES)
    more, said2 = bench.start(client, place, UNKNOWN, ("unknown",))
    if not results:
        return [("run", said)]
    checks = Checks(bench, client, {**results, **more}, said + said2)
    found = []
    for case in (*CASES, "unknown", "recorded", *(["side traffic"] if client.check else [])):
        try:
            if case == "side traffic":
                client.check(bench, client)
            else:
                getattr(checks, case)(case)
            found.append((case, ""))
        except AssertionError as wrong:
            found.append((case, str(wrong)[:1500]))
    return found


def check_documented():
    """docs/clients.md shows each snippet as it was run."""
    with open(DOCS, encoding="utf-8") as f:
        text = f.read()
    folder = os.path.join(HERE, "snippets")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            shown = f.read().removeprefix("# shellcheck shell=sh\n")
        wrong = "" if f"\n{shown}```" in text else f"{name} does not stand in docs/clients.md as it is"
        yield f"documented {name}", wrong


def violations(bench):
    """What no careful proxy lets out; of what wget says inside a blind tunnel the proxy knows nothing."""
    blind = {r["conn"] for r in bench.cloud.log(host="tunnel.test")}
    return [v for v in bench.cloud.violations() if v["conn"] not in blind or v["kind"] != "forwarded-header"] + bench.cloud.errors


def other_hosts(bench):
    """Hosts that clients went to and docs/clients.md does not name."""
    lines = [json.loads(line) for line in bench.lab.log_text().splitlines() if '"event":"connection"' in line]
    known = {"swap": ("generativelanguage.googleapis.com", "aiplatform.googleapis.com", "api.anthropic.com"),
             "tunnel": ("tunnel.test", "play.googleapis.com")}
    return sorted({f"{r['kind']} {r['host']}" for r in lines if not r.get("host", "").endswith(known.get(r["kind"], ""))})


# -- git --

def git(bench, place, *args, status=0, check=True):
    env = {**bench.env, "HOME": place, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    for kind in ("AUTHOR", "COMMITTER"):
        env.update({f"GIT_{kind}_NAME": "test", f"GIT_{kind}_EMAIL": "test@tunnel.test"})
    done = subprocess.run(args, cwd=place, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False,
                          stdin=subprocess.DEVNULL)
    assert not check or done.returncode == status, (args, done.returncode, done.stderr[-800:])
    return done


def git_cases(bench):
    """git knows the proxy from the environment, and its host is tunnelled: what is fetched and pushed is the server's."""
    place, url = bench.lab.path("run", "git"), "https://git.tunnel.test/test.git"
    os.makedirs(place)
    run = functools.partial(git, bench, place)
    bare = os.path.join(bench.git.root, "test.git")

    def clone():
        run("git", "init", "-q", "--bare", "-b", "main", bare)
        run("git", "-C", bare, "config", "http.receivepack", "true")
        bench.env["REPOSITORY"] = url
        run("sh", "-e", os.path.join(HERE, "snippets", "git.sh"))

    def push():
        with open(os.path.join(place, "work", "noise"), "wb") as f:
            f.write(os.urandom(3 << 20))
        for command in (["add", "."], ["commit", "-q", "-m", "noise"], ["push", "-q", "origin", "HEAD:main"]):
            run("git", "-C", "work", *command)
        assert bench.git.chunked, "a large push is chunked"

    def fetch():
        here = run("git", "-C", "work", "rev-parse", "HEAD").stdout
        assert run("git", "ls-remote", url, "main").stdout.split()[0] == here.strip()
        run("git", "clone", "-q", url, "again")
        assert run("git", "-C", "again", "rev-parse", "HEAD").stdout == here

    def no_such_repository():
        said = run("git", "clone", "-q", "https://git.tunnel.test/none.git", "none", check=False)
        assert said.returncode == 128 and "not found" in said.stderr, said.stderr

    def denied():
        bench.lab.cs("host", "set", "denied.tunnel.test", "deny")
        ask = functools.partial(run, "git", "ls-remote", "https://denied.tunnel.test/test.git", check=False)
        assert bench.harness.until(lambda: "403" in ask().stderr, seconds=5), ask().stderr

    def recorded():
        assert '"kind":"tunnel","host":"git.tunnel.test"' in bench.lab.log_text()
        assert {a.split("/")[0] for _, _, a in bench.git.seen} == {"git"}, bench.git.seen

    return (clone, push, fetch, no_such_repository, denied, recorded)


def wget_through_the_tunnel(bench):
    """What is only tunnelled to comes as it is, headers of the proxy's own world left out."""
    done = subprocess.run(["wget", "-q", "-O", "-", f"--ca-certificate={bench.env['SSL_CERT_FILE']}", "https://tunnel.test/any/path?x=1"],
                          env=bench.env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["target"] == "/any/path?x=1", done


def tunnelled(tally, bench):
    for case in (*git_cases(bench), functools.partial(wget_through_the_tunnel, bench)):
        name = getattr(case, "__name__", "wget").replace("_", " ")
        wrong = ""
        try:
            case()
        except AssertionError as error:
            wrong = str(error)[:1500]
        tally.add(f"tunnel {name}", wrong)


# -- running --

class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = 0
        self.skipped = {}

    def add(self, name, wrong, seconds=None):
        with self.lock:
            self.passed += not wrong
            self.failed += bool(wrong)
            print(("FAIL  " if wrong else "ok    ") + name + (f" ({seconds:.1f} s)" if seconds is not None else ""), flush=True)
            if wrong:
                print("      " + wrong.replace("\n", "\n      "), flush=True)

    def skip(self, name, why):
        with self.lock:
            self.skipped.setdefault(why, []).append(name)
            print(f"skip  {name}: {why}", flush=True)


def work(tally, bench, client, modules):
    begin = time.monotonic()
    try:
        found = run_client(bench, client, modules.result() if modules else None)
    except npm.Unreachable as why:
        tally.skip(client.name, str(why))
        return
    except Exception as error:  # one client's trouble is not the others'
        found = [("run", f"{type(error).__name__}: {error}")]
    for case, wrong in found[:-1]:
        tally.add(f"{client.name} {case}", wrong)
    tally.add(f"{client.name} {found[-1][0]}", found[-1][1], time.monotonic() - begin)


def run_all(tally, clients, args):
    """What npm installs comes when it is there, the slow ones first; the others have no need to wait."""
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, concurrent.futures.ThreadPoolExecutor(2) as fetch:
        ready = {kind: fetch.submit(npm.install, os.path.join(HERE, folder)) for kind, folder in (("cli", "cli"), ("sdk", ""))
                 if any(c.needs == kind for c in clients)}
        bench = Bench(clients)
        try:
            jobs = []
            if not args.names or any("tunnel".startswith(n) for n in args.names):
                jobs.append(pool.submit(tunnelled, tally, bench))
            left = ["cli", "sdk", ""]
            while left:
                kind = next((k for k in left if k and (k not in ready or ready[k].done())), left[-1])
                left.remove(kind)
                jobs += [pool.submit(work, tally, bench, c, ready.get(kind)) for c in clients if c.needs == kind]
            for job in jobs:
                job.result()
            tally.add("nothing went out that must not", "\n".join(str(v) for v in violations(bench)))
            tally.add("no host was asked that the docs do not name", "\n".join(other_hosts(bench)))
        finally:
            try:
                bench.close()
                tally.add("the proxy's end, its logs and its store", "")
            except Exception as error:
                tally.add("the proxy's end, its logs and its store", str(error))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="folder of credswapd and credswap (default: build/debug)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.build:
        os.environ["CREDSWAP_BUILD"] = os.path.abspath(args.build)
    clients = [c for c in CLIENTS if not args.names or any(n in c.name for n in args.names)]
    if args.list:
        print("\n".join(c.name for c in clients))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin, tally = time.monotonic(), Tally()
    for name, wrong in check_documented():
        tally.add(name, wrong)
    run_all(tally, clients, args)
    print(f"in {time.monotonic() - begin:.0f} s")
    for why, names in tally.skipped.items():
        print(f"skipped: {', '.join(names)} ({why})")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
