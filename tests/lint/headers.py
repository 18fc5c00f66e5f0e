#!/usr/bin/env python3
"""Each header compiles alone and may be included twice."""

import concurrent.futures
import os
import subprocess

import common

LIBRARIES = ("libevent_core", "openssl", "libcurl", "libcjson", "ncursesw", "sqlite3", "libconfuse", "libcares")
LLHTTP = ("/usr/share/include/llhttp", "/usr/share/llhttp/include")
ROOTS = {"common": ("common",), "proxy": ("proxy", "common"), "admin-tui": ("admin-tui", "common"),
         "tests": ("tests", "proxy", "admin-tui", "common")}


def library_flags():
    flags = subprocess.run(["pkg-config", "--cflags", *LIBRARIES], capture_output=True, text=True, check=True)
    return flags.stdout.split() + [f"-isystem{place}" for place in LLHTTP if os.path.isdir(place)]


def compile_alone(path, flags):
    roots = [f"-I{common.ROOT / root}" for root in ROOTS[path.parts[0]]]
    done = subprocess.run(
        [os.environ.get("CC", "cc"), "-std=gnu17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
         '-DCREDSWAP_VERSION="0"', *roots, *flags, "-x", "c", "-"],
        input=f'#include "{common.ROOT / path}"\n' * 2, capture_output=True, text=True, check=False)
    first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
    return f"{path}: {first.replace(str(common.ROOT) + '/', '')}" if done.returncode else None


def check():
    flags = library_flags()
    headers = [p for p in common.files(".h") if p.parts[0] in ROOTS]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [found for found in pool.map(lambda p: compile_alone(p, flags), headers) if found]
