#!/usr/bin/env python3
"""Runs the end-to-end tests: run.py [--build DIR] [--quick] [--jobs N] [--list] [--fail-fast] [NAME ...]

NAME selects tests whose full name (file.Class.test) contains it.  One line for each test; the last line is
"N passed, N failed".  --quick leaves out what is marked slow.  --jobs N runs N classes at a time; what measures
memory or shares of a second is then less exact.
"""
import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 400


class TooLong(Exception):
    """A test that hangs must not hang the run."""


def on_alarm(_number, _frame):
    raise TooLong(f"no end within {LIMIT_S} s")


class Result(unittest.TestResult):
    """Prints as it goes; subtests count with their test."""

    def __init__(self, fail_fast):
        super().__init__()
        self.failfast = fail_fast
        self.passed = 0
        self.broken = {}
        self.skips = 0

    @staticmethod
    def name(test):
        test = getattr(test, "test_case", test)
        return test.id() if hasattr(test, "_testMethodName") else str(test)

    def startTest(self, test):
        super().startTest(test)
        self.begin = time.monotonic()
        self.problems = []
        signal.alarm(getattr(getattr(test, getattr(test, "_testMethodName", ""), None), "limit_s", 0) or LIMIT_S)

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)
        seconds = time.monotonic() - self.begin
        if self.problems:
            self.broken[self.name(test)] = self.problems
            print(f"FAIL  {self.name(test)} ({seconds:.1f} s)", flush=True)
            for text in self.problems[:12]:
                print("      " + text.strip().replace("\n", "\n      "), flush=True)
            if len(self.problems) > 12:
                print(f"      ... and {len(self.problems) - 12} more", flush=True)
        elif not getattr(self, "skipping", False):
            self.passed += 1
            print(f"ok    {self.name(test)} ({seconds:.1f} s)", flush=True)
        self.skipping = False

    def problem(self, test, error, label=""):
        text = label + self._exc_info_to_string(error, test)[-6000:]
        if hasattr(test, "_testMethodName") or hasattr(test, "test_case"):
            self.problems.append(text)
        else:  # setUpClass and the like: no test was started
            self.broken[self.name(test)] = [text]
            print(f"FAIL  {self.name(test)}\n      " + text.strip().replace("\n", "\n      "), flush=True)
        if self.failfast:
            self.stop()

    def addError(self, test, err):
        self.problem(test, err)

    def addFailure(self, test, err):
        self.problem(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.problem(test, err, f"[{subtest._subDescription()}]\n")

    def addSkip(self, test, reason):
        self.skipping = True
        self.skips += 1
        print(f"skip  {self.name(test)}: {reason}", flush=True)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def is_slow(test):
    return getattr(test, "slow", False) or getattr(getattr(test, test._testMethodName, None), "slow", False)


def is_of_bytes(test):
    """Of one conversation at a time, byte for byte: more threads in the daemon change nothing about it."""
    return getattr(sys.modules[type(test).__module__], "OF_BYTES", False)


def run_classes(tests, args):
    """Each class in a process of its own, args.jobs at a time.  Returns (passed, failed, skipped)."""
    names = list(dict.fromkeys(t.id().rsplit(".", 1)[0] for t in tests))
    flags = ["--quick"] * args.quick + ["--threads"] * args.threads + ["--fail-fast"] * args.fail_fast

    def one(name):
        wanted = [t.id() for t in tests if t.id().rsplit(".", 1)[0] == name]
        return subprocess.run([sys.executable, os.path.abspath(__file__), *flags, *wanted], text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, text in zip(names, pool.map(one, names)):
            found = re.search(r"in \d+ s, (\d+) skipped\n(\d+) passed, (\d+) failed\s*\Z", text)
            print(text[:found.start()] if found else f"FAIL  {name}\n{text}", end="", flush=True)
            for index, value in enumerate((found[2], found[3], found[1]) if found else (0, 1, 0)):
                totals[index] += int(value)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="folder of credswapd and credswap (default: build/debug)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", action="store_true", help="for the thread sanitizer: without modules that are OF_BYTES")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--fail-fast", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.build:
        os.environ["CREDSWAP_BUILD"] = os.path.abspath(args.build)
    sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "fakes")]
    loader = unittest.TestLoader()
    suite = unittest.TestSuite([loader.loadTestsFromName("selftest"), loader.discover(HERE, "test_*.py")])
    if loader.errors:
        print("\n".join(loader.errors), file=sys.stderr)
        return 2
    tests = [t for t in flatten(suite) if not args.names or any(n in t.id() for n in args.names)]
    if args.quick:
        tests = [t for t in tests if not is_slow(t)]
    if args.threads:
        tests = [t for t in tests if not is_of_bytes(t)]
    if args.list:
        print("\n".join(t.id() for t in tests))
        return 0
    import harness
    for program in (harness.DAEMON, harness.CONSOLE):
        if not os.access(program, os.X_OK) and any(not t.id().startswith("selftest.") for t in tests):
            print(f"{program} is not built", file=sys.stderr)
            return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that labs are taken down
    signal.signal(signal.SIGALRM, on_alarm)
    begin = time.monotonic()
    if args.jobs > 1:
        passed, failed, skipped = run_classes(tests, args)
    else:
        result = Result(args.fail_fast)
        unittest.TestSuite(tests).run(result)
        passed, failed, skipped = result.passed, len(result.broken), result.skips
    print(f"in {time.monotonic() - begin:.0f} s, {skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
