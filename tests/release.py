#!/usr/bin/env python3
"""What the release binaries must be, read from the files themselves: release.py BUILD_DIR

A flag that a compiler does not know is left out silently (cmake/Hardening.cmake), so the result is looked at here.
"""
import os
import platform
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = ("credswapd", "credswap")


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def hardening(path):
    """(claim, whether it holds)"""
    head, segments = said("readelf", "-hW", path), said("readelf", "-lW", path)
    dynamic, symbols = said("readelf", "-dW", path), said("readelf", "--dyn-syms", "-W", path)
    stack = re.search(r"GNU_STACK.*", segments)
    yield "position independent", bool(re.search(r"Type:\s+DYN", head)) and bool(re.search(r"Flags:.*\bPIE\b", dynamic))
    yield "relocations are read-only", "GNU_RELRO" in segments
    yield "all symbols are bound at the start", bool(re.search(r"\(FLAGS(_1)?\).*\b(BIND_)?NOW\b", dynamic))
    yield "the stack is not executable", bool(stack) and not re.search(r"RWE", stack[0])
    yield "no segment is writable and executable", not re.search(r"LOAD.*\bRWE\b", segments)
    yield "stack protector", "__stack_chk_fail" in symbols
    yield "checked library calls (FORTIFY)", len(re.findall(r"\w+_chk@", symbols.replace("__stack_chk_fail", ""))) >= 3
    yield "no path to libraries inside", not re.search(r"RPATH|RUNPATH", dynamic)
    yield "no text relocations", "TEXTREL" not in dynamic
    if platform.machine() == "x86_64":
        yield "branch targets are marked", said("objdump", "-d", "--no-show-raw-insn", path).count("endbr64") > 100


def missing_in_image(paths):
    """Packages that the programs' libraries come from and the Dockerfile's last stage does not install. It is a Debian 12
    image, so only there can that be told."""
    with open("/etc/os-release", encoding="utf-8") as file:
        if "\nVERSION_ID=\"12\"" not in file.read() or not shutil.which("dpkg-query"):
            return None
    with open(os.path.join(ROOT, "Dockerfile"), encoding="utf-8") as file:
        stage = file.read().rsplit("\nFROM ", 1)[1]
    needed = {name for path in paths for name in re.findall(r"NEEDED.*\[(.*?)\]", said("readelf", "-dW", path))}
    found = {m[2]: m[1] for path in paths for m in re.finditer(r"=> (\S*/(\S+)) \(0x", said("ldd", path))}
    files = {os.path.basename(os.path.realpath(found[n])) for n in needed if n in found}  # /lib or /usr/lib: both are said
    packages = {said("dpkg-query", "-S", f"*/{platform.machine()}-linux-gnu/{name}").split(":")[0] for name in files}
    return sorted(p for p in packages if not re.search(rf"\s{re.escape(p)}\s", stage) and p != "libc6")


def main(build):
    paths = [os.path.join(build, name) for name in PROGRAMS]
    failed = passed = 0
    for path in paths:
        broken = [claim for claim, holds in hardening(path) if not holds]
        print(f"{'FAIL ' if broken else 'ok   '} {os.path.basename(path)}: {'not: ' + ', '.join(broken) if broken else 'hardened'}")
        failed, passed = failed + bool(broken), passed + (not broken)
    missing = missing_in_image(paths)
    if missing is not None:
        print(f"{'FAIL ' if missing else 'ok   '} the image has the libraries{': not ' + ' '.join(missing) if missing else ''}")
        failed, passed = failed + bool(missing), passed + (not missing)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
