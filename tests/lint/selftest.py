#!/usr/bin/env python3
"""Plants one breach for each rule in a tree of its own: a check that finds nothing there is broken."""

import tempfile
from pathlib import Path

import banned
import common
import headers
import layers
import text

KEY = "-----BEGIN PRIVATE" + " KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ" + "\n"
# check, file, content, a word of the expected problem ("" : none expected)
CASES = (
    (layers.check, "proxy/http/a.c", '#include "exchange/x.h"\n', "floor 5"),
    (layers.check, "proxy/adapt/a.c", '#include "tls/x.h"\n', "floor 2"),
    (layers.check, "proxy/tls/a.c", '#include "keys/x.h"\n', ""),
    (layers.check, "proxy/main.c", '#include "server/x.h"\n', ""),
    (layers.check, "common/base/a.c", '#include "store/x.h"\n', "floor 1"),
    (layers.check, "common/route/a.c", '#include "exchange/x.h"\n', "not below common"),
    (layers.check, "admin-tui/views/a.c", '#include "exchange/x.h"\n', "not below admin-tui"),
    (layers.check, "admin-tui/ui/a.c", '#include "views/x.h"\n', "floor 3"),
    (layers.check, "proxy/http/b.c", '#include "../exchange/x.h"\n', ".."),
    (layers.check, "proxy/exchange/a.c", '#include "http/x_internal.h"\n', "private"),
    (layers.check, "proxy/exchange/b.c", "#include <sqlite3.h>\n", "common/store"),
    (layers.check, "proxy/exchange/c.c", 'const char *q = "SELECT 1";\n', "SQL"),
    (layers.check, "common/store/c.c", 'const char *q = "SELECT 1";\n', ""),
    (banned.check, "proxy/http/c.c", "x = strcpy (a, b);\n", "strcpy"),
    (banned.check, "proxy/http/d.c", "p = malloc(3);\n", "malloc"),
    (banned.check, "common/base/d.c", "p = malloc(3);\n", ""),
    (banned.check, "proxy/http/e.c", '/* strcpy(a) */ s = "malloc(3)"; ops->free(x); sbuf_free(x);\n', ""),
    (banned.check, "proxy/http/f.c", "void *f(void) __attribute__((malloc(x, 1), format(printf, 1, 2)));\n", ""),
    (banned.check, "proxy/http/g.c", 'printf("x");\n', "printf"),
    (banned.check, "tests/unit/a_test.c", "sprintf(a, b); x = rand();\n", "sprintf"),
    (banned.check, "docs/a.md", "TO" "DO: write this\n", "docs"),
    (text.check_secrets, "tests/a.json", KEY, "private key"),
    (text.check_secrets, "common/keys/a.c", '#define M "-----BEGIN PRIVATE KEY-----"\n', ""),
    (text.check_ascii, "proxy/http/h.c", "/* caf\u00e9 */\n", "ASCII"),
    (text.check_links, "docs/b.md", "[a](nowhere.md) [b](https://x.test/)\n", "nowhere.md"),
    (text.check_python, "tests/a.py", "def f(:\n", "tests/a.py"),
    (text.check_format, "proxy/http/i.c", "int  f( void ){return 1;}\n", "clang-format"),
    (headers.check, "proxy/http/y.h", "size_t f(void);\n", "size_t"),
)
ROOMS = ("common/base", "common/store", "common/keys", "common/route", "proxy/http", "proxy/tls", "proxy/exchange",
         "proxy/server", "admin-tui/ui", "admin-tui/views")


def planted(root, check, name, content):
    for room in ROOMS:
        (root / room).mkdir(parents=True, exist_ok=True)
        for header in ("x.h", "x_internal.h"):
            (root / room / header).write_text("")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    found = [problem for problem in check() if name in problem]
    path.unlink()
    return found


def check():
    problems = []
    kept = common.ROOT
    with tempfile.TemporaryDirectory() as place:
        common.ROOT = Path(place)
        (common.ROOT / ".clang-format").write_text((kept / ".clang-format").read_text())
        try:
            for function, name, content, word in CASES:
                found = planted(common.ROOT, function, name, content)
                if bool(found) != bool(word) or (word and word not in found[0]):
                    problems.append(f"{function.__module__}: {content.strip()!r} in {name} gave {found}")
        finally:
            common.ROOT = kept
    return problems
