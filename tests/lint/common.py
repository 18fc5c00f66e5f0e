"""What every check shares: the tree, its files, C text without comments and strings."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ("common", "proxy", "admin-tui")


def files(*suffixes, under=(), tests=True):
    """Paths that git tracks or would track, relative to ROOT."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *under],
        capture_output=True, check=False)
    if listed.returncode == 0:
        names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    else:  # an exported tree
        names = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and "build" not in p.parts)
        if under:
            names = [n for n in names if n.startswith(tuple(u + "/" for u in under))]
    paths = [Path(n) for n in names if not suffixes or n.endswith(suffixes)]
    return [p for p in paths if (ROOT / p).is_file() and (tests or p.parts[0] != "tests")]


def program_sources():
    return files(".c", ".h", under=PROGRAM)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, keep_strings=False):
    """The same text with comments (and strings) turned into spaces: lines and columns stay."""
    def replace(match):
        word = match.group(0)
        if keep_strings and word[0] in "\"'":
            return word
        return re.sub(r"[^\n]", " ", word)
    return TOKEN.sub(replace, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
