"""One daemon between the C load and the C origin of bench/, and what the tests look at.

Builds on tests/e2e/harness.py; CREDSWAP_BUILD and CREDSWAP_BENCH name the folders of the programs.
"""
import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tests", "fakes")]

import harness  # noqa: E402
import pki  # noqa: E402

BENCH = os.path.abspath(os.environ.get("CREDSWAP_BENCH") or os.path.join(ROOT, "build", "bench"))
LOAD, ORIGIN = os.path.join(BENCH, "bench_load"), os.path.join(BENCH, "bench_origin")
MEGABYTE = 1 << 20
PROXY_CPU, LOAD_CPU = {0}, {1}
MANY_FILES = 16100  # what the load asks for itself


def is_exact():
    """Whether the build is one whose memory and CPU time mean something: no sanitizer in it."""
    with open(harness.DAEMON, "rb") as f:
        program = f.read()
    return not any(word in program for word in (b"__asan_init", b"__tsan_init"))


def status_of(process, name):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
        return int(re.search(rf"{name}:\s+(\d+)", f.read())[1]) * 1024


class Wrong(AssertionError):
    """What a test found."""


def require(fact, *words):
    if not fact:
        raise Wrong(" ".join(str(w) for w in words))


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY_FILES:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_FILES, MANY_FILES))
            return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def in_child(cpus):
    """Runs in a new child: dies with the runner, on CPUS where there are more than one."""
    harness.die_with_parent()
    if cpus and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, cpus)


class Origin:
    """The provider and token endpoint; stands where harness.Lab has the fake cloud. H2: offers HTTP/2, with so many
    streams on a connection."""

    def __init__(self, directory, cpus, h2=None):
        pair = os.path.join(directory, "server-google.pem")
        self.ca = os.path.join(directory, "ca.pem")
        self.port = harness.free_port()
        self.ports = {"main": self.port}
        self.h2_connections = None
        self.process = subprocess.Popen([ORIGIN, pair, pair, f"{self.port}/h2/{h2}" if h2 else str(self.port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=lambda: in_child(cpus))
        require(self.process.stdout.readline() == "ready\n", "the origin did not start")

    def register(self, **_what):
        """Accepts any credential that has the shape of its own."""

    def stop(self):
        """How many requests it answered."""
        if self.process.poll() is None:
            self.process.terminate()
        text, _ = self.process.communicate(timeout=20)
        found = re.search(r"answers=(\d+) h2_connections=(\d+)", text or "")
        if found:
            self.h2_connections = int(found[2])
        return int(found[1]) if found else None


def go_first(pid):
    """Puts a process before all ordinary ones, so that its core is free whoever else runs; False: may not."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(1))
        return True
    except PermissionError:
        return False


class Run:
    """A load that is running; result() is its line as a dict."""

    def __init__(self, lab, mode, *args, direct=False, cpus=LOAD_CPU):
        where = ["-d", "-p", str(lab.cloud.port)] if direct else ["-x", str(lab.port), "-p", "443"]
        self.command = [LOAD, "-m", mode, "-H", harness.VERTEX, "-f", harness.GENERATE, "-t", harness.ALICE,
                        "-P", str(lab.daemon.pid), *(["-u"] if direct else []), *where, *[str(a) for a in args]]
        self.name = mode
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, preexec_fn=lambda: in_child(cpus))

    def result(self, seconds=180):
        out, err = self.process.communicate(timeout=seconds)
        require(self.process.returncode == 0, self.name, "failed:", err[-2000:])
        found = {}
        for word in out.split():
            name, _, value = word.partition("=")
            with contextlib.suppress(ValueError):
                found[name] = float(value)
        require(found.get("errors") == 0, out, err[-2000:])
        require(not found.get("lost"), out, err[-2000:])
        found["answers"] = int(re.search(r"swapped=\d+/(\d+)", out)[1])
        return found

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class LoadLab(harness.Lab):
    """pinned: the daemon on one CPU, load and origin on another."""

    def __init__(self, workers=1, pinned=True, conf=None, accounts=1, h2=None):  # pylint: disable=super-init-not-called
        self.env = harness.clean_env()
        self.env["ASAN_OPTIONS"] += ":quarantine_size_mb=4"
        self.dir = tempfile.mkdtemp(prefix="credswap-load-")
        self.daemon, self.logs, self.placeholders, self.runs = None, [], [], []
        self.pinned, self.is_first = pinned, False
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        try:
            os.chmod(self.dir, 0o700)
            self.cloud = Origin(harness.shared_keys(), LOAD_CPU if pinned else None, h2)
            self.stack.callback(self.cloud.stop)
            self.port, self.admin = harness.free_port(), harness.free_port()
            base = {"run": {"workers": workers, "drain_timeout": 30},
                    "limits": {"connections": 20000, "connections_per_client": 20000, "idle_timeout": 600}}
            self.write_conf(harness.merge(base, conf), ())
            self.ca = self.path("ca.pem")
            pki.write_private(self.path("master.key"), os.urandom(32))
            self.cs("ca", "init")
            self.setup(accounts, False, True)
            self.start()
            if pinned and (os.cpu_count() or 1) > 1:
                for thread in os.listdir(f"/proc/{self.daemon.pid}/task"):
                    os.sched_setaffinity(int(thread), PROXY_CPU)
        except BaseException:
            self.close(check=False)
            raise

    def close(self, check=True):
        for run in self.runs:
            run.end()
        super().close(check)

    def go_first(self):
        """Daemon, origin and the loads to come run before everything else on their cores."""
        self.is_first = go_first(self.daemon.pid) and go_first(self.cloud.process.pid)

    def load(self, mode, *args, **how):
        run = Run(self, mode, *args, cpus=LOAD_CPU if self.pinned else None, **how)
        self.runs.append(run)
        if self.is_first:
            go_first(run.process.pid)
        return run

    def warm(self):
        """A token is there, pools and free lists have been used."""
        self.load("keepalive", "-c", 16, "-s", 1).result()
        self.load("sse", "-c", 16, "-e", 3, "-o", "-s", 20).result()

    # -- what the daemon holds --

    def status(self, name):
        """A line of /proc/PID/status in bytes."""
        return status_of(self.daemon, name)

    def pss(self):
        """Bytes; its anonymous pages where the kernel does not let us look closer."""
        try:
            with open(f"/proc/{self.daemon.pid}/smaps_rollup", encoding="ascii") as f:
                return int(re.search(r"\nPss:\s+(\d+)", f.read())[1]) * 1024
        except PermissionError:
            return self.status("RssAnon")

    def fds(self):
        """Open descriptors; None where the kernel does not let us look."""
        try:
            return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        except PermissionError:
            return None

    def connections(self):
        return int(self.metrics()["credswap_connections"])

    def cpu_s(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="ascii") as f:
            user, kernel = f.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


class Repeat:
    """Calls WHAT every SECONDS while the block runs; the block fails with what WHAT raised."""

    def __init__(self, seconds, what):
        self.seconds, self.what = seconds, what
        self.count, self.error = 0, None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.ending.wait(self.seconds):
            try:
                self.what()
            except Exception as error:  # pylint: disable=broad-except  # raised again below
                self.error = error
                return
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_exc):
        self.ending.set()
        self.thread.join()
        if kind is None and self.error:
            raise self.error
