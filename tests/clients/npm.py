"""Installs what a lock file pins, once, outside the tree: build/clients/NAME-HASH/node_modules."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLACE = os.path.join(ROOT, "build", "clients")
NODE = 20
PROBE_S = 20


class Unreachable(Exception):
    """The npm clients cannot be had here; the text says why."""


def node_version():
    try:
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
        return int(re.match(r"v(\d+)", said)[1])
    except (OSError, subprocess.SubprocessError, TypeError):
        return 0


def probe():
    """Raises Unreachable unless npm can be asked for a package."""
    try:
        done = subprocess.run(["npm", "view", "ws@8.23.0", "version", "--fetch-retries=0", f"--fetch-timeout={PROBE_S * 500}"],
                              capture_output=True, text=True, timeout=PROBE_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        raise Unreachable("npm cannot be reached") from None
    if done.returncode or not done.stdout.strip():
        raise Unreachable("npm cannot be reached")


def install(folder):
    """FOLDER has a package.json and a lock file; returns its node_modules.  What was installed before needs no network.
    An npm that answers and then fails is an error, not Unreachable."""
    if node_version() < NODE:
        raise Unreachable(f"needs Node {NODE}")
    digest = hashlib.sha256()
    for name in ("package.json", "package-lock.json"):
        with open(os.path.join(folder, name), "rb") as f:
            digest.update(f.read())
    os.makedirs(PLACE, exist_ok=True)
    folder = os.path.normpath(folder)
    kind = "cli" if os.path.basename(folder) == "cli" else "sdk"
    place = os.path.join(PLACE, f"{kind}-{digest.hexdigest()[:12]}")
    with open(os.path.join(PLACE, kind + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(place, "done")):
            probe()
            for old in os.listdir(PLACE):
                if old.startswith(kind + "-"):
                    shutil.rmtree(os.path.join(PLACE, old))
            os.mkdir(place)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(folder, name), place)
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=place,
                                  capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise RuntimeError(f"npm ci in {folder}: {done.stderr[-2000:]}")
            with open(os.path.join(place, "done"), "w"):
                pass
    return os.path.join(place, "node_modules")
