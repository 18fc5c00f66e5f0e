#!/usr/bin/env python3
"""Fails the n-th allocation of the whole daemon, for many n: run.py [--build DIR] [--step N]

Each run either ends by itself with a sentence and a status from sysexits, or serves; it never dies by a
signal, reports nothing to a sanitizer, and says nothing secret. A run that serves is asked one request and
ended by TERM. The builds with assertions read CREDSWAP_FAIL_ALLOC (common/base/mem.c)."""
import argparse
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "fakes")]

parser = argparse.ArgumentParser()
parser.add_argument("--build", default=os.environ.get("CREDSWAP_BUILD", "build/debug"))
parser.add_argument("--step", type=int, default=23)
options = parser.parse_args()
os.environ["CREDSWAP_BUILD"] = os.path.abspath(options.build)

import harness  # noqa: E402  (reads CREDSWAP_BUILD)

SENTENCES = range(64, 79)
LAST = 1200  # a start takes somewhat fewer; those beyond fail in requests


def one(lab, n):
    """None when all is well, else what was wrong."""
    env = dict(lab.env, CREDSWAP_FAIL_ALLOC=str(n))
    with subprocess.Popen([harness.DAEMON, "--config", lab.conf], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=env, cwd=lab.dir) as daemon:
        deadline = time.monotonic() + 20
        ready = False
        while daemon.poll() is None and not ready and time.monotonic() < deadline:
            try:
                ready = lab.page("/readyz", lab.admin)[0] == 200
            except OSError:
                time.sleep(0.05)
        if ready:
            try:
                lab.ask(token=harness.ALICE)
            except Exception:  # pylint: disable=broad-except
                pass  # the allocation that failed may have been this request's: it may be cut, nothing else
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
        try:
            said = daemon.communicate(timeout=20)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            daemon.kill()
            return "it hangs"
    if "Sanitizer" in said or "runtime error" in said or daemon.returncode < 0:
        return f"status {daemon.returncode}\n{said[-3000:]}"
    if not ready and daemon.returncode not in SENTENCES:
        return f"status {daemon.returncode} without a reason: {said[-500:]}"
    if ready and daemon.returncode != 0:
        return f"served, and then status {daemon.returncode}: {said[-3000:]}"
    return None


def main():
    passed = failed = 0
    lab = harness.Lab(accounts=1, claude=False, start=False)
    try:
        for n in range(1, LAST, options.step):
            wrong = one(lab, n)
            if wrong:
                failed += 1
                print(f"FAIL  allocation {n}: {wrong}", flush=True)
            else:
                passed += 1
    finally:
        lab.close(check=False)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
