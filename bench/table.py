#!/usr/bin/env python3
"""table.py RAW [BASE]: medians of the raw lines as a Markdown table, with ratios to BASE (credswap)."""

import statistics
import sys

COLUMNS = (
    ("keepalive", "us/request", "cpu_us_per_unit", 1),
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


def main(path, base="credswap"):
    found = {key: statistics.median(values) for key, values in read(path).items()}
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


if __name__ == "__main__":
    main(*sys.argv[1:])
