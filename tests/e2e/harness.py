"""Brings up the built programs against the fake cloud, and takes them down again.

A Lab is one temporary directory with one fake cloud, one store and one proxy on free loopback
ports.  CREDSWAP_BUILD names the folder of the built programs (default build/debug).
"""
import atexit
import base64
import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "fakes"))

import pki  # noqa: E402
from fake import FakeCloud  # noqa: E402

import client  # noqa: E402

BUILD = os.path.abspath(os.environ.get("CREDSWAP_BUILD") or os.path.join(ROOT, "build", "debug"))
DAEMON = os.path.join(BUILD, "credswapd")
CONSOLE = os.path.join(BUILD, "credswap")

GEMINI = "generativelanguage.googleapis.com"
VERTEX = "us-central1-aiplatform.googleapis.com"
CLAUDE = "api.anthropic.com"
OAUTH = "oauth2.googleapis.com"
ALICE = "gemini-alice-0123456789abcdef"
BOB = "claude-bob-fedcba9876543210"
CLAUDE_KEY = "sk-ant-api03-real-" + "k" * 40
MODEL = "/v1/projects/client-project/locations/{}/publishers/{}/models/{}:{}"
GENERATE = MODEL.format("us-central1", "google", "gemini-2.5-pro", "generateContent")
STREAM = MODEL.format("us-central1", "google", "gemini-2.5-pro", "streamGenerateContent") + "?alt=sse"
GEMINI_PATH = "/v1beta/models/gemini-2.5-pro:generateContent"
BODY = b'{"contents":[{"parts":[{"text":"hello"}]}]}'
CLAUDE_BODY = b'{"model":"claude-haiku-4-5","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}'

SANITIZER = re.compile(rb"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|"
                       rb"runtime error: |AddressSanitizer:DEADLYSIGNAL|CHECK failed")
PRIVATE = b"PRIVATE" + b" KEY-----"


def clean_env(**more):
    """The environment without anything that leads a client elsewhere or changes its trust."""
    drop = {"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CREDSWAP_CONFIG",
            "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"}
    env = {k: v for k, v in os.environ.items()
           if not k.lower().endswith("_proxy") and k not in drop
           and (not k.startswith("CREDSWAP_") or k == "CREDSWAP_BUILD")}
    env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(more)
    return env


_given = set()


_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """Runs in a new child: the daemon must not outlive a killed test run (PR_SET_PDEATHSIG)."""
    _libc.prctl(1, signal.SIGKILL)


def free_port():
    """A free port below the range from which the kernel takes ports for outgoing connections."""
    while True:
        port = random.randrange(15000, 31000)
        if port in _given:
            continue
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


_keys = None


def shared_keys():
    """Keys are dear: one set of certificates and service accounts serves the whole run."""
    global _keys
    if _keys is None:
        _keys = tempfile.mkdtemp(prefix="credswap-keys-")
        atexit.register(shutil.rmtree, _keys, ignore_errors=True)
        pki.make_servers(_keys)
        pki.make_accounts(os.path.join(_keys, "accounts"), 4)
    return _keys


def key_file(number):
    return os.path.join(shared_keys(), "accounts", f"acct-{number}.json")


def email(number):
    return f"acct-{number}@acct-{number}-project.iam.gserviceaccount.com"


def conf_text(sections):
    """SECTIONS, a dict of dicts, in the syntax of the configuration file."""
    def value(v):
        if isinstance(v, bool):
            return "true" if v else "false"
        if isinstance(v, int):
            return str(v)
        if isinstance(v, (list, tuple)):
            return "{" + ", ".join(value(x) for x in v) + "}"
        return '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"'
    lines = []
    for name, keys in sections.items():
        lines += [f"{name} {{"] + [f"  {k} = {value(v)}" for k, v in keys.items()] + ["}"]
    return "\n".join(lines) + "\n"


def merge(base, change):
    for name, keys in (change or {}).items():
        base.setdefault(name, {}).update(keys)
    return base


class Failed(AssertionError):
    """A command or program did not do what every test relies on."""


class Lab:
    """accounts: how many service accounts (named acct-1 ...), all in pool gemini with weight 1 and, when
    claude is set, in pool claude beside an API key for api.anthropic.com.  Clients alice (gemini) and bob
    (claude) exist.  conf: sections and keys to set on top.  connect_to: entries before the ordinary ones, in
    which {p[main]}, {p[expired]} and so on are the cloud's ports.  quarantine_mb: how much freed memory
    AddressSanitizer may hold back, for tests that measure memory.  env: more of the daemon's environment."""

    def __init__(self, accounts=2, conf=None, claude=True, clients=True, cloud_args=(), connect_to=(), start=True,
                 quarantine_mb=None, env=None):
        self.env = clean_env(**(env or {}))
        if quarantine_mb is not None:
            self.env["ASAN_OPTIONS"] += f":quarantine_size_mb={quarantine_mb}"
        self.dir = tempfile.mkdtemp(prefix="credswap-e2e-")
        self.daemon = None
        self.logs = []
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        try:
            os.chmod(self.dir, 0o700)
            self.cloud = FakeCloud(shared_keys(), "--second", "127.0.0.2", *cloud_args, accounts=4)
            self.stack.callback(self.cloud.stop)
            self.port, self.admin = free_port(), free_port()
            self.write_conf(conf, connect_to)
            self.ca = self.path("ca.pem")
            self.placeholders = []
            pki.write_private(self.path("master.key"), os.urandom(32))
            self.cs("ca", "init")
            self.setup(accounts, claude, clients)
            if start:
                self.start()
        except BaseException:
            self.close(check=False)
            raise

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write_conf(self, conf, connect_to):
        self.connect_to = [c.format(p=self.cloud.ports) for c in connect_to] + [f"{h}:443:127.0.0.1:{self.cloud.port}" for h in (
            "*-aiplatform.googleapis.com", "aiplatform.googleapis.com", "aiplatform.us.rep.googleapis.com",
            "aiplatform.eu.rep.googleapis.com", GEMINI, CLAUDE, OAUTH, "tunnel.test")]
        self.sections = merge({
            "listen": {"proxy": [f"127.0.0.1:{self.port}"], "admin": f"127.0.0.1:{self.admin}",
                       "socket": self.path("credswap.sock")},
            "run": {"workers": 2, "drain_timeout": 5},
            "store": {"url": "sqlite:" + self.path("credswap.db"), "master_key_file": self.path("master.key")},
            "ca": {"cert": self.path("ca.pem"), "key": self.path("ca.key")},
            "upstream": {"ca_file": self.cloud.ca, "connect_to": self.connect_to},
            "policy": {"tunnel": "allow", "ports": [443]},
            "log": {"level": "info", "file": self.path("log")}}, conf)
        self.conf = self.path("credswap.conf")
        self.rewrite()

    def rewrite(self):
        """Writes the configuration file anew from self.sections."""
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(conf_text(self.sections))

    def setup(self, accounts, claude, clients):
        for number in range(1, accounts + 1):
            self.cs("account", "add", key_file(number), "--name", f"acct-{number}", "--pool", "gemini", "--weight", "1")
        if claude:
            self.cs("account", "add", "--kind", "api-key", "--host", CLAUDE, "--name", "claude-key", "--pool",
                    "claude", "-", stdin=CLAUDE_KEY)
            self.cloud.register(api_keys={CLAUDE: {CLAUDE_KEY: "claude-key"}})
            if accounts:
                self.cs("pool", "set", "claude", *(f"acct-{n}=1" for n in range(1, accounts + 1)))
        if clients:
            self.add_client("alice", "gemini", ALICE)
            if claude:
                self.add_client("bob", "claude", BOB)

    def add_client(self, name, service, token, *more):
        self.cs("client", "add", name, "--service", service, "--token", "-", *more, stdin=token)
        self.placeholders.append(token)
        self.cloud.register(placeholders=[token])

    # -- the console --

    def cs(self, *args, stdin="", status=0, timeout=60):
        """Runs `credswap ARGS`; fails unless it exits with STATUS (None: any)."""
        done = subprocess.run([CONSOLE, "--config", self.conf, *args], input=stdin, text=True, timeout=timeout,
                              capture_output=True, env=clean_env(), cwd=self.dir, check=False)
        if SANITIZER.search(done.stderr.encode()):
            raise Failed(f"credswap {' '.join(args)}: {done.stderr[-3000:]}")
        if status is not None and done.returncode != status:
            raise Failed(f"credswap {' '.join(args)}: exit {done.returncode}, expected {status}: "
                         f"{(done.stderr or done.stdout).strip()[-600:]}")
        return done

    def cs_json(self, *args):
        text = self.cs(*args, "--json").stdout
        try:
            return json.loads(text)
        except ValueError as exc:
            raise Failed(f"credswap {' '.join(args)} --json printed no JSON: {text[:300]!r}") from exc

    def rows(self, *args):
        """A listing as a list of objects, whether it is a bare array or wrapped in an object."""
        found = self.cs_json(*args)
        if isinstance(found, dict):
            lists = [v for v in found.values() if isinstance(v, list)]
            found = lists[0] if lists else [found]
        return found

    # -- the store --

    def sql(self, text):
        """Runs TEXT in the sqlite3 shell, as any operator may."""
        done = subprocess.run(["sqlite3", "-batch", "-cmd", ".timeout 5000", self.path("credswap.db"), text],
                              capture_output=True, text=True, errors="replace", timeout=30, check=False)
        if done.returncode:
            raise Failed(f"sqlite3: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def query(self, text, *args):
        with contextlib.closing(sqlite3.connect(f"file:{self.path('credswap.db')}?mode=ro", uri=True, timeout=5)) as db:
            db.row_factory = sqlite3.Row
            return [dict(r) for r in db.execute(text, args)]

    # -- the daemon --

    def start(self, wait=True, args=()):
        name = self.path(f"out.{len(self.logs)}")
        self.logs.append(name)
        with open(name, "wb") as out:
            self.daemon = subprocess.Popen([DAEMON, "--config", self.conf, *args], stdin=subprocess.DEVNULL, stdout=out,
                                           stderr=out, env=self.env, cwd=self.dir,
                                           preexec_fn=die_with_parent)
        if wait:
            done = self.cs("wait", "--ready", "--timeout", "20", status=None)
            if done.returncode:
                raise Failed(f"not ready (exit {done.returncode}): {done.stderr.strip()[-300:]}\n{self.output()[-2000:]}")
        return self.daemon

    def output(self):
        text = ""
        for name in self.logs + [self.path("log")]:
            with contextlib.suppress(OSError), open(name, encoding="utf-8", errors="replace") as f:
                text += f.read()
        return text

    def log_text(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def signal(self, number):
        os.kill(self.daemon.pid, number)

    def kill(self):
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None

    def stop(self, seconds=25):
        """SIGTERM; the daemon must end by itself with status 0 and no report of a sanitizer."""
        if self.daemon is None:
            return
        daemon, self.daemon = self.daemon, None
        early = daemon.poll()
        if early is None:
            daemon.send_signal(signal.SIGTERM)
        try:
            status = daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise Failed(f"no end within {seconds} s of SIGTERM\n{self.output()[-2000:]}") from None
        self.check_output()
        if early is not None:
            raise Failed(f"the daemon had ended by itself with {early}\n{self.output()[-3000:]}")
        if status != 0:
            raise Failed(f"exit status {status} after SIGTERM\n{self.output()[-3000:]}")

    def check_output(self):
        for name in self.logs + [self.path("log")]:
            with contextlib.suppress(FileNotFoundError), open(name, "rb") as f:
                text = f.read()
                found = SANITIZER.search(text)
                if found:
                    raise Failed(text[max(0, found.start() - 200):found.start() + 5000].decode(errors="replace"))

    def save(self):
        """Remembers the stopped store as the state that fresh() goes back to."""
        shutil.copytree(self.dir, self.dir + ".saved", dirs_exist_ok=True,
                        ignore=lambda _d, names: [n for n in names if n.endswith(".sock")])
        self.stack.callback(shutil.rmtree, self.dir + ".saved", ignore_errors=True)

    def fresh(self):
        """A new daemon on the saved store, a cloud that has seen nothing."""
        self.stop()
        for name in os.listdir(self.dir):
            if name.startswith("credswap.db") or name.startswith("out.") or name == "log":
                os.unlink(self.path(name))
        self.logs = []
        for name in os.listdir(self.dir + ".saved"):
            if name.startswith("credswap.db"):
                shutil.copy2(os.path.join(self.dir + ".saved", name), self.path(name))
        self.cloud.reset(tokens=True)
        self.start()

    def close(self, check=True):
        try:
            if check:
                self.stop()
                self.scan_secrets()
        finally:
            self.kill()
            self.stack.close()

    def rss(self):
        """Resident memory of the daemon in bytes."""
        with open(f"/proc/{self.daemon.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024

    # -- what must hold afterwards --

    def secrets(self):
        found = [p.encode() for p in self.placeholders] + [b"ya29.", PRIVATE, CLAUDE_KEY.encode()]
        for number in range(1, 5):
            with open(key_file(number), encoding="utf-8") as f:
                found.append(json.load(f)["private_key"].splitlines()[2].encode())
        return found + [base64.b64encode(p.encode())[:24] for p in self.placeholders]

    def scan_secrets(self, *more):
        """No placeholder, token or key in any log, output or file of the store."""
        names = self.logs + [self.path("log")] + [self.path(n) for n in os.listdir(self.dir)
                                                  if n.startswith("credswap.db")] + list(more)
        for name in names:
            with contextlib.suppress(FileNotFoundError), open(name, "rb") as f:
                data = f.read()
                for secret in self.secrets():
                    at = data.find(secret)
                    if at >= 0:
                        shown = re.sub(rb"[^ -~]", b".", data[max(0, at - 120):at])
                        raise Failed(f"a secret ({secret[:7].decode()}...) in {os.path.basename(name)} "
                                     f"after {shown.decode()!r}")

    # -- looking and asking --

    def page(self, path, port=None, headers=None, method="GET"):
        """(status, headers, body) of a direct request to the proxy port, or to PORT."""
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", headers=headers or {},
                                         method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def metrics(self):
        """{name with labels: value}"""
        text = self.page("/metrics", self.admin)[2].decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([a-zA-Z_:][^ #]*(?:\{[^}]*\})?) ([0-9.eE+-]+|NaN)$", text, re.M)}

    def tunnel(self, host=VERTEX, h2=False, **how):
        if h2:
            import client2  # here: it needs python3-h2
            return client2.Tunnel(("127.0.0.1", self.port), host, ca=self.ca, **how)
        return client.Tunnel(("127.0.0.1", self.port), host, ca=self.ca, **how)

    def ask(self, host=VERTEX, path=GENERATE, body=BODY, headers=(), token=None, method="POST", carrier="authorization",
            **how):
        """One request on a new connection.  token: a placeholder, put where CARRIER says."""
        with contextlib.closing(self.tunnel(host, **how)) as tunnel:
            return tunnel.ask(method, path, body, credential(carrier, token) + list(headers))

    def curl(self, *args, timeout=30, **env):
        """curl behind HTTPS_PROXY, trusting our CA."""
        env.setdefault("HTTPS_PROXY", f"http://127.0.0.1:{self.port}")
        return subprocess.run(["curl", "-sS", "--max-time", str(timeout), "--cacert", self.ca, *args],
                              capture_output=True, timeout=timeout + 10, env=clean_env(**env), check=False)


def shim_file(size):
    """A file of SIZE zero bytes that a daemon maps; gone when the tests are over."""
    handle, path = tempfile.mkstemp(prefix="credswap-shim-")
    os.ftruncate(handle, size)
    os.close(handle)
    atexit.register(os.unlink, path)
    return path


class Shim:
    """What tests/fault/shim.c does in a daemon that was started with preload()."""

    def __init__(self):
        self.path = None

    def file(self):
        if self.path is None:
            self.path = shim_file(16)
        return self.path

    def set(self, clock_s=None, write_errno=None):
        """Moves the wall clock by CLOCK_S from the real one; every write to the store fails with WRITE_ERRNO (0: none)."""
        with open(self.file(), "r+b", buffering=0) as f:
            for at, value in ((0, None if clock_s is None else int(clock_s * 1e9)), (8, write_errno)):
                if value is not None:
                    os.pwrite(f.fileno(), struct.pack("=q", value), at)

    def reset(self):
        self.set(clock_s=0, write_errno=0)


shim = Shim()


def built_with(library):
    """Whether the daemon is linked with LIBRARY (libasan, libtsan)."""
    return library in subprocess.run(["ldd", DAEMON], capture_output=True, text=True, check=False).stdout


def preload():
    """The environment that puts the shim into a daemon: behind a sanitizer's library, which must be first."""
    linked = subprocess.run(["ldd", DAEMON], capture_output=True, text=True, check=False).stdout
    sanitizers = re.findall(r"=> (\S*/lib[at]san\S*)", linked)
    return {"LD_PRELOAD": " ".join(sanitizers + [os.path.join(BUILD, "tests", "fault_shim.so")]), "CREDSWAP_SHIM": shim.file()}


def credential(carrier, token):
    if token is None:
        return []
    return [(carrier, ("Bearer " if carrier == "authorization" else "") + token)]


def until(what, seconds=5.0, gap=0.05):
    """Polls WHAT() until true; returns the last value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(gap)


def slow(test):
    """Marks a test or class that --quick leaves out."""
    test.slow = True
    return test


def query_key(path, token):
    return f"{path}{'&' if '?' in path else '?'}key={urllib.parse.quote(token)}"


class LabCase(unittest.TestCase):
    """A test class with one lab for all its tests."""

    LAB = {}
    FRESH = False

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(start=not cls.FRESH, **cls.LAB)
        if cls.FRESH:
            cls.lab.save()

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def setUp(self):
        self.cloud = self.lab.cloud
        if self.FRESH:
            self.lab.fresh()
        else:
            self.cloud.reset()

    def tearDown(self):
        daemon = self.lab.daemon
        if daemon is not None and daemon.poll() is not None:
            status, output = daemon.returncode, self.lab.output()[-4000:]
            self.lab.daemon = None
            self.lab.start()
            self.fail(f"the daemon died with {status}\n{output}")
        if self.FRESH:
            self.lab.stop()  # here, so that a bad end is this test's

    def assertStatus(self, response, status):
        self.assertEqual(response.status, status, response)

    def assertNothingForwarded(self):
        seen = [r for r in self.cloud.log() if r["host"] != OAUTH]
        self.assertEqual([(r["method"], r["host"], r["target"]) for r in seen], [])
        self.assertEqual([v for v in self.cloud.violations() if v["kind"] in ("malformed", "placeholder")], [])

    def assertCleanCloud(self):
        self.assertEqual(self.cloud.violations(), [])
        self.assertEqual(self.cloud.errors, [])

    def assertOwnError(self, response, status, api, words=()):
        """An answer that the proxy made itself, in the shape of API: vertex, gemini or anthropic."""
        self.assertStatus(response, status)
        self.assertIn("credswap", response.one("proxy-status") or "", response)
        self.assertTrue(response.one("x-credswap-request-id"), response)
        data = json.loads(response.body)
        if api == "anthropic":
            kinds = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
                     404: "not_found_error", 429: "rate_limit_error"}
            self.assertEqual((data["type"], set(data["error"]) >= {"type", "message"}), ("error", True))
            self.assertEqual(data["error"]["type"], kinds.get(status, data["error"]["type"]))
            self.assertIn("request_id", data)
        else:
            states = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
                      429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
            self.assertEqual(data["error"]["code"], status)
            self.assertEqual(data["error"]["status"], states.get(status, data["error"]["status"]))
        message = data["error"]["message"]
        self.assertTrue(message)
        for word in words:
            self.assertIn(word, message)
        self.assertNotIn(b"ya29.", response.raw)
        return message


class ShimCase(LabCase):
    """Daemons that preload() the shim: no test leaves it set."""

    def setUp(self):
        shim.reset()
        super().setUp()

    def tearDown(self):
        shim.reset()
        super().tearDown()
