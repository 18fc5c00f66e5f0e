#!/usr/bin/env python3
"""The option table, credswap.conf(5) and each other: every key, its default, nothing that is not there."""

import re

import common

TABLE = common.ROOT / "common/conf/options.c"
MAN = common.ROOT / "docs/man/credswap.conf.5"
ROW = re.compile(r"\b(INT|BOOL|STR|LIST|INTS)\(\s*(\w+),\s*(\w+),(.*?)\)\s*,\s*(?=\n)", re.S)
STRING = re.compile(r'"((?:\\.|[^"\\])*)"')
ITEM = re.compile(r"^\.It Va ([a-z_]+\.[a-z0-9_]+)(?: = (.*))?$", re.M)


def table_options():
    """section.key -> default as the environment would say it"""
    found = {}
    text = TABLE.read_text()
    text = text[text.index("options[] = {"):]
    for kind, section, key, rest in ROW.findall(text):
        strings = STRING.findall(rest)
        # INT has its unit first; the help is last (adjacent literals join), the default stands before it
        default = strings[1] if kind == "INT" else strings[0]
        found[f"{section}.{key}"] = default
    return found


def plain(value):
    """A default as the manual spells it: quotes, braces and spaces carry no meaning here."""
    return re.sub(r"\\\(dq|[{}\"\s]", "", value or "")


def check():
    if not TABLE.exists() or not MAN.exists():
        return [f"{p.relative_to(common.ROOT)} is missing" for p in (TABLE, MAN) if not p.exists()]
    table = table_options()
    manual = dict(ITEM.findall(MAN.read_text()))
    problems = [f"docs/man/credswap.conf.5: {name} is not described" for name in sorted(table.keys() - manual.keys())]
    problems += [f"docs/man/credswap.conf.5: {name} does not exist" for name in sorted(manual.keys() - table.keys())]
    for name in sorted(table.keys() & manual.keys()):
        if plain(table[name]) != plain(manual[name]):
            problems.append(f"docs/man/credswap.conf.5: default of {name} is {table[name]!r}, not {manual[name]!r}")
    return problems if table else ["no option was found in common/conf/options.c"]
