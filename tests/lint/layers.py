#!/usr/bin/env python3
"""A file may include its own room and lower floors, nothing else; SQL and the big libraries have one home each."""

import re

import common

FLOORS = {
    "base": 0,
    "conf": 1, "store": 1,
    "http": 2, "keys": 2, "tls": 2, "policy": 2, "route": 2, "usage": 2, "adapt": 2,
    "auth": 3, "net": 3, "token": 3,
    "upstream": 4, "stub": 4,
    "exchange": 5, "gate": 6, "server": 7,
}
CONSOLE_FLOORS = {"ui": 2, "cli": 3, "views": 3}
TOP = 8
# Neighbours on one floor that may look at each other, one way.
NEIGHBOURS = {
    ("tls", "keys"): "leaves are signed by the keeper",
    ("adapt", "http"): "adaptations work on heads",
    ("views", "cli"): "a view asks for what a subcommand does",
}
LIBRARIES = (
    (r"sqlite3\.h", "common/store"),
    (r"confuse\.h", "common/conf"),
    (r"curl/.*", "proxy/token"),
    (r"ares\.h", "proxy/net"),
    (r"nghttp2/.*", "proxy/http"),
    (r"llhttp\.h", "proxy/http"),
    (r"(ncursesw?|panel|form|menu|curses)(/.*)?\.h", "admin-tui"),
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.M)
SQL = re.compile(r'"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|CREATE\s+'
                 r'(TABLE|INDEX|TRIGGER)|DROP\s+TABLE|PRAGMA\s|BEGIN\s+IMMEDIATE|VACUUM\b)', re.I)


def floors_of(top):
    shared = {room: floor for room, floor in FLOORS.items() if (common.ROOT / "common" / room).is_dir()}
    if top == "common":
        return shared
    if top == "admin-tui":
        return {**shared, **CONSOLE_FLOORS}
    return FLOORS


def check_include(path, name):
    """Why PATH may not include "NAME", or None."""
    top = path.parts[0]
    room = path.parts[1] if len(path.parts) > 2 else ""
    parts = name.split("/")
    if ".." in parts or "." in parts:
        return "names a file by .. or ."
    roots = ["common"] if top == "common" else [top, "common"]
    if len(parts) == 1:
        if (common.ROOT / path.parent / name).is_file() and (room == "" or name.endswith("_internal.h")):
            return None
        return 'is not of the form "room/part.h"'
    if not any((common.ROOT / root / name).is_file() for root in roots):
        return f"is not below {' or '.join(roots)}"
    target = parts[0]
    floors = floors_of(top)
    if target not in floors:
        return f"room {target} has no floor in layers.py"
    if parts[-1].endswith("_internal.h") and target != room:
        return f"is private to room {target}"
    if target == room:
        return None
    mine = floors.get(room, TOP if room == "" else None)
    if mine is None:
        return f"room {room} has no floor in layers.py"
    if floors[target] < mine or (room, target) in NEIGHBOURS:
        return None
    return f"is on floor {floors[target]}, {room or 'this file'} on {mine}"


def check():
    problems = []
    for path in common.program_sources():
        text = common.blank(common.read(path), keep_strings=True)
        for match in INCLUDE.finditer(text):
            where = f"{path}:{common.line_of(text, match.start())}"
            kind, name = match.groups()
            if kind == '"':
                why = check_include(path, name)
                if why:
                    problems.append(f'{where}: "{name}" {why}')
                continue
            for pattern, home in LIBRARIES:
                if re.fullmatch(pattern, name) and not str(path).startswith(home + "/"):
                    problems.append(f"{where}: <{name}> belongs to {home}")
        if not str(path).startswith("common/store/"):
            for match in SQL.finditer(text):
                problems.append(f"{path}:{common.line_of(text, match.start())}: SQL outside common/store")
    return problems
