#!/usr/bin/python3
"""run.py [CHECK ...]: every check that needs no build, one line each; the last line is "N passed, N failed"."""

import sys
import time

import banned
import headers
import layers
import manual
import options
import selftest
import text

CHECKS = {
    "selftest": selftest.check,
    "layers": layers.check,
    "banned": banned.check,
    "options": options.check,
    "manual": manual.check,
    "format": text.check_format,
    "ascii": text.check_ascii,
    "secrets": text.check_secrets,
    "shell": text.check_shell,
    "python": text.check_python,
    "manuals": text.check_manuals,
    "links": text.check_links,
    "headers": headers.check,
}


def main(names):
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"run.py: no check {unknown[0]}; there are {' '.join(CHECKS)}", file=sys.stderr)
        return 64
    passed = failed = 0
    for name in names or CHECKS:
        start = time.monotonic()
        problems = CHECKS[name]()
        for problem in problems[:40]:
            print(f"      {problem}")
        if len(problems) > 40:
            print(f"      and {len(problems) - 40} more")
        print(f"{'FAIL' if problems else 'ok  '}  lint/{name} ({time.monotonic() - start:.1f} s)", flush=True)
        failed += bool(problems)
        passed += not problems
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
