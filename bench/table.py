#!/usr/bin/env python3
"""table.py RAW [BASE]: medians of the raw lines as a Markdown table, with ratios to BASE (credswap); then what HTTP/2 on
both sides costs against HTTP/1.1, peer by peer."""

import statistics
import sys

COLUMNS = (
    ("keepalive", "us/request", "cpu_us_per_unit", 1),
    ("single", "us/single request", "cpu_us_per_unit", 1),
    ("fresh", "us/new conn.", "cpu_us_per_unit", 1),
    ("resume", "us/resumed", "cpu_us_per_unit", 1),
    ("down", "s/GB down", "cpu_us_per_unit", 1e-6),
    ("up", "s/GB up", "cpu_us_per_unit", 1e-6),
    ("sse", "us/event", "cpu_us_per_unit", 1),
    ("idle", "KB/idle PSS", "pss_kb_per_conn", 1),
    ("tunnel-down", "s/GB tunnel", "cpu_us_per_unit", 1e-6),
    ("tunnel-fresh", "us/tunnel", "cpu_us_per_unit", 1),
)
DELAYS = (("keepalive", "p50_us", "request p50 us"), ("sse", "p50_us", "event p50 us"), ("sse", "p99_us", "event p99 us"))
# Over HTTP/2, the same over HTTP/1.1, unit, scale
PAIRS = (
    ("h2-32", "keepalive", "us/request", 1),
    ("h2-1", "keepalive", "us/request", 1),
    ("h2-single", "single", "us/request", 1),
    ("h2-down", "down", "s/GB", 1e-6),
    ("h2-up", "up", "s/GB", 1e-6),
    ("h2-sse", "sse", "us/event", 1),
)


def read(path):
    """(peer, mode, name) -> values"""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            pairs = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if line.startswith("#") or "peer" not in pairs or "failed" in pairs:
                continue
            for name, value in pairs.items():
                if name not in ("peer", "mode", "swapped"):
                    found.setdefault((pairs["peer"], pairs["mode"], name), []).append(float(value))
    return found


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def show_pairs(values, peers):
    """Medians, the ratio of the medians, and that of each repetition."""
    rows = []
    for peer in peers:
        for mode, base, unit, scale in PAIRS:
            h2, h1 = (values.get((peer, m, "cpu_us_per_unit")) for m in (mode, base))
            if h2 and h1:
                ratio = statistics.median(h2) / statistics.median(h1)
                each = " ".join(f"{a / b:.2f}" for a, b in zip(h2, h1))
                rows.append((peer, mode, base, unit, short(statistics.median(h2) * scale), short(statistics.median(h1) * scale),
                             f"x{ratio:.2f}", each))
    if rows:
        print("\n| peer | HTTP/2 | HTTP/1.1 | unit | over HTTP/2 | over HTTP/1.1 | ratio | repetitions |\n|---|---|---|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join(row), "|")


def main(path, base="credswap"):
    values = read(path)
    found = {key: statistics.median(v) for key, v in values.items()}
    peers = list(dict.fromkeys(peer for peer, _, _ in found))
    columns = [c for c in COLUMNS if any((peer, c[0], c[2]) in found for peer in peers)]
    delays = [d for d in DELAYS if any((peer, d[0], d[1]) in found for peer in peers)]
    print("| peer |", *(f"{title} |" for _, title, _, _ in columns), *(f"{title} |" for _, _, title in delays))
    print("|---|" + "---|" * (len(columns) + len(delays)))
    for peer in peers:
        cells = []
        for mode, _, name, scale in columns:
            value, unit = found.get((peer, mode, name)), found.get((base, mode, name))
            cell = "-" if value is None else short(value * scale)
            cells.append(cell if value is None or not unit or peer == base else f"{cell} (x{value / unit:.2f})")
        cells += [short(found[peer, m, n]) if (peer, m, n) in found else "-" for m, n, _ in delays]
        print("|", peer, "|", " | ".join(cells), "|")
    show_pairs(values, peers)


if __name__ == "__main__":
    main(*sys.argv[1:])
