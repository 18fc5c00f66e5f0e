#!/usr/bin/env python3
"""Loads the daemon until it shows what it holds: run.py [--full] [--build DIR] [--bench DIR] [--minutes N] [--list] [NAME ...]

NAME selects tests whose name contains it. --full takes the sizes that the issue states, and the soak; without it
everything is smaller. A build with a sanitizer runs what does not measure it. One line for each test with its figures; the last line is "N passed, N failed".
"""
import argparse
import os
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--build", default="build/release", help="folder of credswapd and credswap")
    parser.add_argument("--bench", default="build/bench", help="folder of bench_load and bench_origin")
    parser.add_argument("--minutes", type=float, default=30, help="length of the soak")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    os.environ["CREDSWAP_BUILD"] = os.path.abspath(args.build)
    os.environ["CREDSWAP_BENCH"] = os.path.abspath(args.bench)
    import lab
    import loads
    tests = [t for t in loads.TESTS if (args.full or args.names or not t.is_long)
             and (not args.names or any(n in t.name for n in args.names))]
    if args.list:
        print("\n".join(t.name for t in tests))
        return 0
    for program in (lab.harness.DAEMON, lab.harness.CONSOLE, lab.LOAD, lab.ORIGIN):
        if not os.access(program, os.X_OK):
            print(f"{program} is not built", file=sys.stderr)
            return 2
    if not lab.is_exact():
        tests = [t for t in tests if not t.needs_exact]
        print("a build with a sanitizer: without the tests of memory and CPU time", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that labs are taken down
    lab.raise_descriptor_limit()
    passed = failed = 0
    for test in tests:
        begin = time.monotonic()
        try:
            figures = test.run(args.full, args.minutes)
            passed += 1
            print(f"ok    {test.name}: {figures} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            text = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
            print(f"FAIL  {test.name} ({time.monotonic() - begin:.1f} s)\n      " + text.strip().replace("\n", "\n      "), flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
