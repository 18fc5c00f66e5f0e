#!/usr/bin/env python3
"""Functions with a better one in base, and words that promise work for later."""

import re

import common

ALWAYS = {
    "strcpy": "slice_copy or sbuf", "strcat": "sbuf", "sprintf": "snprintf or sbuf_addf", "vsprintf": "vsnprintf",
    "gets": "sbuf", "strtok": "slice_next", "strtok_r": "slice_next", "atoi": "slice_to_u64", "atol": "slice_to_u64",
    "atof": "strtod", "sscanf": "slice_next, slice_to_u64", "system": "posix_spawn", "popen": "posix_spawn",
    "rand": "RAND_bytes", "srand": "RAND_bytes", "random": "RAND_bytes", "alloca": "the arena", "tmpnam": "mkstemp",
    "mktemp": "mkstemp", "gethostbyname": "c-ares", "asctime": "clock_format_utc", "ctime": "clock_format_utc",
}
IN_TESTS = {"rand", "srand", "random", "atoi"}  # repeatable on purpose; input is the test's own
HEAP = {"malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "vasprintf"}
SAY = {"printf", "puts", "putchar", "vprintf"}
CALL = re.compile(r"(?<![\w.])(?<!->)([a-z_]\w*)[ \t]*\(")
ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)")
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def banned_in(path):
    """name -> what to use, for this file."""
    names = dict(ALWAYS)
    if path.parts[0] == "tests":
        return {name: use for name, use in names.items() if name not in IN_TESTS}
    if path.parts[:2] != ("common", "base"):
        names.update((name, "mem_* of base/mem.h") for name in HEAP)
    if path.name != "main.c" and path.parts[0] != "admin-tui":
        names.update((name, "log_* or a FILE that the caller names") for name in SAY)
    return names


def check():
    problems = []
    for path in common.files(".c", ".h"):
        text = common.blank(common.read(path))
        text = ATTRIBUTE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
        names = banned_in(path)
        for match in CALL.finditer(text):
            if match.group(1) in names:
                problems.append(f"{path}:{common.line_of(text, match.start())}: {match.group(1)}(): "
                                f"use {names[match.group(1)]}")
    for path in common.files(".c", ".h", ".py", ".sh", ".cmake", ".sql", ".md"):
        if path.parts[:2] == ("tests", "lint"):
            continue
        text = common.read(path)
        for match in LATER.finditer(text):
            problems.append(f"{path}:{common.line_of(text, match.start())}: {match.group(1)}: do it or describe it in docs/")
    return problems
