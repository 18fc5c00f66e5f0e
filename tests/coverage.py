#!/usr/bin/env python3
"""Lines and branches of each room that the tests of a build with --coverage reached: coverage.py BUILD_DIR

Shown, not judged, but for the pure rooms that decide whose token goes where: those must reach LINES_WANTED.
"""
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PURE = ("http", "policy", "route", "auth", "keys")
LINES_WANTED = 0.90
AT_ONCE = 40  # files for one gcov


def gcov(build, notes):
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *notes], cwd=build,
                          capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if line.strip():
            report = json.loads(line)
            for file in report["files"]:
                yield os.path.relpath(os.path.join(report["current_working_directory"], file["file"]), ROOT), file["lines"]


def collect(build):
    """room -> {"lines": [all, reached], "branches": [all, reached]} of the room's own .c files"""
    notes = sorted(glob.glob(os.path.join(build, "CMakeFiles", "*.dir", "**", "*.gcno"), recursive=True))
    if not notes:
        raise SystemExit(f"{build} was not built with --coverage")
    rooms = {}
    for start in range(0, len(notes), AT_ONCE):
        for name, lines in gcov(build, notes[start:start + AT_ONCE]):
            found = re.match(r"(?:common|proxy|admin-tui)/(\w+)/\w+\.c\Z", name)
            if not found:
                continue
            room = rooms.setdefault(found[1], {"lines": [0, 0], "branches": [0, 0]})
            numbers = {}
            for line in lines:  # a line may be there once for each function that it is part of
                numbers[line["line_number"]] = numbers.get(line["line_number"], 0) + line["count"]
            for count in numbers.values():
                room["lines"][0] += 1
                room["lines"][1] += count > 0
            for branch in (b for line in lines for b in line["branches"]):
                room["branches"][0] += 1
                room["branches"][1] += branch["count"] > 0
    return rooms


def share(pair):
    return pair[1] / pair[0] if pair[0] else 1.0


def main(build):
    rooms = collect(os.path.abspath(build))
    low = [room for room in PURE if room not in rooms or share(rooms[room]["lines"]) < LINES_WANTED]
    print(f"{'room':14} {'lines':>13} {'':>6} {'branches':>13}")
    for room, has in sorted(rooms.items(), key=lambda item: (item[0] not in PURE, item[0])):
        print("{:14} {:6}/{:6} {:6.1%} {:6}/{:6} {:6.1%}{}".format(
            room, has["lines"][1], has["lines"][0], share(has["lines"]), has["branches"][1], has["branches"][0],
            share(has["branches"]), f"  below {LINES_WANTED:.0%} of lines" if room in low else ""))
    print(f"{len(PURE) - len(low)} passed, {len(low)} failed")
    return 1 if low else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
