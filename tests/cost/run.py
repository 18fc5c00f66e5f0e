#!/usr/bin/env python3
"""Instructions that a worker executes for one request, against kept figures: run.py [--build DIR] [--update] [--top N]

A release build runs under callgrind between a client and an origin in lock step (peers.py). A base run does a little of
everything; one run more for each mode does N units more. The difference between the worker threads, divided by N, is
the cost of a unit: start and end are not in it. Meanwhile time stands still for the worker (still.c): what it does once
a second is not in it either, nor is the kernel.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import glob
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tests", "fakes")]
FIGURES = os.path.join(HERE, "figures.txt")
BASE = {"keepalive": 40, "sse": 40, "fresh": 4, "h2": 40, "h2-sse": 40}
MORE = {"keepalive": 400, "sse": 400, "fresh": 40, "h2": 400, "h2-sse": 400}
UNIT = {"keepalive": "request", "sse": "event", "fresh": "connection", "h2": "request", "h2-sse": "event"}
H2_HOST = "us-east4-aiplatform.googleapis.com"  # its provider offers HTTP/2
TOLERANCE = 0.05
# The same code paths on every machine: AES-NI and AVX as OpenSSL sees them, plain SSE2 string functions of libc.
# Bits of CPUID.1 EDX (low half) and ECX, then none of leaf 7.
PINNED = {"OPENSSL_ia32cap": "0x1ed8220b078bffff:0x0",
          "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSE4_2,-SSSE3"}

STILL = "still.so"
# callgrind on a busy machine is slow: no time limit of the daemon may decide what is counted.
CONF = {"run": {"workers": 1, "seed": 1, "drain_timeout": 1}, "oauth": {"timeout": 300},
        "upstream": {"connect_timeout": 600, "keepalive": 86400},
        "limits": {"header_timeout": 3600, "idle_timeout": 86400}}

options = None


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.environ.get("CREDSWAP_BUILD") or "build/release", help="a release build")
    parser.add_argument("--update", action="store_true", help="write the figures of this run")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="print the N dearest functions outside OpenSSL")
    parser.add_argument("--mode", default="keepalive", choices=list(MORE), help="of --top")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", metavar="DIR", help="leave callgrind's files there, for callgrind_annotate")
    return parser.parse_args()


def start(lab, out):
    """The daemon under callgrind, ready to serve. The log says when: asking would itself be work of the worker."""
    import harness
    lab.daemon = subprocess.Popen(
        ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes", "--callgrind-out-file=" + out,
         harness.DAEMON, "--config", lab.conf], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, cwd=lab.dir, preexec_fn=harness.die_with_parent,
        env={**lab.env, **PINNED, "LD_PRELOAD": os.path.join(harness.shared_keys(), STILL), "CREDSWAP_STILL": lab.path("still")})
    deadline = time.monotonic() + 120
    while lab.daemon.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if '"started"' in lab.log_text():
                return
        time.sleep(0.1)
    lab.daemon.kill()
    raise SystemExit("the daemon did not start: " + lab.daemon.stderr.read().decode()[-2000:])


def hold_time(lab, is_still):
    with open(lab.path("still"), "r+b") as file:
        file.write(bytes([is_still]))


def drive_h2(lab, origin, units):
    import harness
    import peers2
    with contextlib.closing(peers2.Client(lab.port, H2_HOST, lab.ca, harness.ALICE)) as one:
        for _ in range(units["h2"]):
            one.ask(harness.GENERATE.replace("us-central1", "us-east4"))
        one.ask(harness.STREAM.replace("us-central1", "us-east4"), is_enough=lambda _: True)
        for _ in range(units["h2-sse"]):
            origin.next_event()
            one.until(lambda body: body.endswith(b"\n\n"))
        origin.end_stream()
        one.until(lambda _: False)


def drive(lab, origin, units):
    import harness
    import peers

    def client():
        return contextlib.closing(peers.Client(lab.port, harness.VERTEX, lab.ca, harness.ALICE))

    with client() as one:
        for _ in range(units["keepalive"]):
            one.ask(harness.GENERATE)
        one.ask(harness.STREAM, is_whole=lambda buf: b"\r\n\r\n" in buf)
        for _ in range(units["sse"]):
            origin.next_event()
            one.until(lambda buf: buf.endswith(b"\n\n\r\n"))
        origin.end_stream()
        one.until(lambda buf: buf.endswith(b"0\r\n\r\n"))
    for _ in range(units["fresh"]):
        with client() as one:
            one.ask(harness.GENERATE)


def count(name, units):
    """Self costs of the worker thread of a run that does UNITS."""
    import harness
    import peers
    import peers2
    import profile_text
    pair = os.path.join(harness.shared_keys(), "server-google.pem")
    origin, origin2 = peers.Origin(pair), peers2.Origin(pair)
    lab = harness.Lab(accounts=1, claude=False, start=False, conf=CONF,
                      connect_to=[f"{harness.VERTEX}:443:127.0.0.1:{origin.port}", f"{H2_HOST}:443:127.0.0.1:{origin2.port}"])
    with contextlib.closing(origin), contextlib.closing(origin2):
        try:
            out = lab.path("callgrind")
            with open(lab.path("still"), "wb") as file:
                file.write(b"\0")
            start(lab, out)
            hold_time(lab, True)
            try:
                drive(lab, origin, units)
                drive_h2(lab, origin2, units)
            except OSError as error:
                raise SystemExit(f"{error}\n{lab.output()[-3000:]}") from None
            hold_time(lab, False)
            lab.daemon.send_signal(signal.SIGTERM)
            said = lab.daemon.communicate(timeout=120)[1].decode(errors="replace")
            strangers = origin.strangers + origin2.strangers
            if lab.daemon.returncode != 0 or strangers:
                raise SystemExit(f"status {lab.daemon.returncode}, {strangers} requests without a real token: {said[-2000:]}")
            lab.daemon = None
            costs = [profile_text.self_costs(path) for path in glob.glob(out + "-*")]
            if options.keep:
                for path in glob.glob(out + "-*"):
                    shutil.copy(path, os.path.join(options.keep, f"{name}.{path.rsplit('-', 1)[1]}"))
        finally:
            lab.close(check=False)
    workers = [c for c in costs if any(fn.startswith("worker_main") for _, fn in c)]
    if len(workers) != 1:
        raise SystemExit(f"{len(workers)} of {len(costs)} threads look like the worker: not a release build with symbols?")
    return workers[0]


def measure():
    """mode -> Counter of (object, function) -> instructions for one unit"""
    runs = {"base": BASE, **{mode: {**BASE, mode: BASE[mode] + MORE[mode]} for mode in MORE}}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        counted = dict(zip(runs, pool.map(count, runs, runs.values())))
    return {mode: collections.Counter({k: (v - counted["base"][k]) / n for k, v in counted[mode].items()
                                       if v != counted["base"][k] and k[0] != STILL}) for mode, n in MORE.items()}


def toolchain():
    """What a figure depends on besides our own code."""
    import harness
    ssl_version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    comment = subprocess.run(["readelf", "-p", ".comment", harness.DAEMON], capture_output=True, text=True, check=True).stdout
    compiler = re.search(r"(GCC|clang)\D*?[( ].*?(\d+)\.\d+", comment)
    return "openssl-{} {}-{} {}".format(re.search(r"OpenSSL (\d+\.\d+)", ssl_version)[1], compiler[1].lower(), compiler[2],
                                        platform.machine())


def kept():
    with open(FIGURES, encoding="ascii") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {(" ".join(row[:3]), row[3]): int(row[4]) for row in rows}


def update(key, totals):
    figures = {**kept(), **{(key, mode): total for mode, total in totals.items()}}
    with open(FIGURES, encoding="ascii") as file:
        head = [line for line in file if line.startswith("#")]
    with open(FIGURES, "w", encoding="ascii") as file:
        file.writelines(head + [f"{k} {mode} {n}\n" for (k, mode), n in figures.items()])


def by_object(costs):
    objects = collections.Counter()
    for (name, _), n in costs.items():
        objects[re.sub(r"[-.](so|\d).*", "", name) or "?"] += n
    return ", ".join(f"{name} {n:,.0f}" for name, n in objects.most_common(6))


def judge(key, mode, total, figure):
    """(sentence, whether it is good)"""
    if figure is None:
        return f"no figure is kept for {key}: look at it, then --update", False
    change = total / figure - 1
    text = f"kept {figure:,}, {change:+.1%}"
    if change > TOLERANCE:
        return f"{text}: dearer by more than {TOLERANCE:.0%}", False
    return text + (f": cheaper by more than {TOLERANCE:.0%}, lower the figure (--update)" if change < -TOLERANCE else ""), True


def main():
    global options
    options = parse()
    os.environ["CREDSWAP_BUILD"] = os.path.abspath(options.build)
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    import harness
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", os.path.join(harness.shared_keys(), STILL),
                    os.path.join(HERE, "still.c")], check=True)
    costs = measure()
    totals = {mode: round(sum(c.values())) for mode, c in costs.items()}
    key, failed = toolchain(), 0
    if options.update:
        update(key, totals)
    figures = kept()
    for mode, total in totals.items():
        text, good = judge(key, mode, total, figures.get((key, mode)))
        failed += not good
        print(f"{'ok   ' if good else 'FAIL '} cost/{mode}: {total:,} instructions for one {UNIT[mode]} ({text})")
        print(f"      {by_object(costs[mode])}")
    if options.top:
        print(f"\ninstructions for one {UNIT[options.mode]}, calls not included; OpenSSL left out")
        own = [(n, k) for k, n in costs[options.mode].items() if not k[0].startswith(("libcrypto", "libssl"))]
        for n, (where, name) in sorted(own, reverse=True)[:options.top]:
            print(f"{n:9,.0f}  {name}  [{where}]")
    print(f"{len(totals) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
