#!/usr/bin/env python3
"""Checks on the bytes of the tree: format, ASCII sources, no private key, scripts and manuals that parse."""

import ast
import re
import shutil
import subprocess

import common

SOURCES = (".c", ".h", ".py", ".sh", ".cmake", ".sql", "CMakeLists.txt", "Dockerfile")
# A marker alone may stand in a parser or a test; a marker with key material behind it may not.
SECRETS = (
    ("a private key", re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|[\s\"'+])*[A-Za-z0-9+/=]{48}")),
    ("a Google API key", re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("an Anthropic key", re.compile(rb"\bsk-ant-[a-z0-9]+-[0-9A-Za-z_-]{40}")),
    ("a GitHub token", re.compile(rb"\bgh[pousr]_[0-9A-Za-z]{36}\b")),
    ("an AWS key", re.compile(rb"\bAKIA[0-9A-Z]{16}\b")),
)


def run(*command):
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def check_format():
    paths = [str(p) for p in common.files(".c", ".h")]
    status, lines = run("clang-format", "--dry-run", "-Werror", *paths)
    found = [line.split(":")[0] for line in lines if "error: code should be clang-formatted" in line]
    found = [f"{name}: clang-format would change {found.count(name)} places" for name in sorted(set(found))]
    return found if found or status == 0 else lines[:5]


def check_ascii():
    problems = []
    for path in common.files(*SOURCES):
        for number, line in enumerate((common.ROOT / path).read_bytes().splitlines(), 1):
            if not line.isascii():
                problems.append(f"{path}:{number}: not ASCII")
            if b"\t" in line and path.suffix in (".c", ".h", ".py", ".sh"):
                problems.append(f"{path}:{number}: a tab")
    return problems


def check_secrets():
    problems = []
    for path in common.files():
        content = (common.ROOT / path).read_bytes()
        problems += [f"{path}: holds {what}" for what, pattern in SECRETS if pattern.search(content)]
    return problems


def check_shell():
    scripts = [str(p) for p in common.files() if p.suffix == ".sh" and p.parts[:2] != ("proxy", "stub")
               or str(p) == ".ci/run"]
    if not shutil.which("shellcheck") or not scripts:
        return []
    _, lines = run("shellcheck", "--format=gcc", *scripts)
    return lines


def check_python():
    problems = []
    for path in common.files(".py"):
        try:
            ast.parse(common.read(path))
        except SyntaxError as error:
            problems.append(f"{path}:{error.lineno}: {error.msg}")
    return problems


def check_manuals():
    pages = [str(p) for p in common.files(under=("docs/man",))]
    if not shutil.which("mandoc") or not pages:
        return []
    _, lines = run("mandoc", "-Tlint", "-Wwarning", *pages)
    return lines


def check_links():
    """Relative links of the documents lead somewhere."""
    problems = []
    for path in common.files(".md"):
        text = common.read(path)
        for match in re.finditer(r"\]\((?!https?:|#)([^)#\s]+)", text):
            if not (common.ROOT / path.parent / match.group(1)).exists():
                problems.append(f"{path}:{common.line_of(text, match.start())}: {match.group(1)} does not exist")
    return problems
