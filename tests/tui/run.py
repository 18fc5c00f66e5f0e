#!/usr/bin/env python3
"""Runs the tests on terminals: run.py [--build DIR] [--full] [--rewrite] [--limits] [--list] [--fail-fast] [NAME ...]

NAME selects tests whose full name (file.Class.test) contains it.  --full: the storms at their full size.  --rewrite:
the golden screens are written anew.  --limits: what the console may cost, instead
(build/strict, with the load of bench/).  One line for each test; the last line is "N passed, N failed".
"""
import argparse
import importlib.util
import os
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def end_to_end():
    """tests/e2e/run.py: how tests are run and told."""
    spec = importlib.util.spec_from_file_location("e2e_run", os.path.join(ROOT, "tests/e2e/run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="folder of the programs (default: build/debug)")
    parser.add_argument("--full", action="store_true", help="everything at its full size")
    parser.add_argument("--rewrite", action="store_true", help="write tests/tui/screens anew")
    parser.add_argument("--limits", action="store_true", help="what the console may cost beside a live proxy")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--fail-fast", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.build:
        os.environ["CREDSWAP_BUILD"] = os.path.abspath(args.build)
    if args.full:
        os.environ["CREDSWAP_FULL"] = "1"
    if args.rewrite:
        os.environ["CREDSWAP_REWRITE"] = "1"
    sys.path[:0] = [HERE, os.path.join(ROOT, "tests/e2e"), os.path.join(ROOT, "tests/fakes")]
    how = end_to_end()
    loader = unittest.TestLoader()
    suite = loader.discover(HERE, "limits_*.py" if args.limits else "test_*.py")
    if loader.errors:
        print("\n".join(loader.errors), file=sys.stderr)
        return 2
    tests = [t for t in how.flatten(suite) if not args.names or any(n in t.id() for n in args.names)]
    if args.list:
        print("\n".join(t.id() for t in tests))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # the programs get a hang-up
    signal.signal(signal.SIGALRM, how.on_alarm)
    begin = time.monotonic()
    result = how.Result(args.fail_fast)
    unittest.TestSuite(tests).run(result)
    print(f"in {time.monotonic() - begin:.0f} s, {result.skips} skipped")
    print(f"{result.passed} passed, {len(result.broken)} failed")
    return 1 if result.broken or not result.passed else 0


if __name__ == "__main__":
    sys.exit(main())
