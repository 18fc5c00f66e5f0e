#!/usr/bin/env bash
# System calls of a proxy for one request, counted by strace: bench/syscalls.sh [--mode keepalive|h2-32|h2-1] [PEER ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SECONDS_EACH=2 MODE=keepalive
if [ "${1:-}" = --mode ]; then
  MODE=$2
  shift 2
fi
# shellcheck source=bench/lib.sh
. bench/lib.sh
trap 'bench_end' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
command -v strace >/dev/null || die "strace is not installed"
bench_begin

children_of() {
  local child
  echo "$1"
  for child in $(pgrep -P "$1"); do children_of "$child"; done
}

# Counted from before the first connection; the load says how many answers it had in all.
count_calls() {
  local attach=() pid tracer line answers
  peer_up
  for pid in $(children_of "$PEER_PID"); do attach+=(-p "$pid"); done
  strace -f -c -o "$WORK/$PEER.calls" "${attach[@]}" 2>/dev/null &
  tracer=$!
  sleep 0.5
  line=$(load "$MODE") || true
  kill -INT $tracer 2>/dev/null || true
  wait $tracer || true
  peer_down
  answers=$(sed -n 's/.*swapped=[0-9]*\/\([0-9]*\).*/\1/p' <<<"$line")
  awk -v peer="$PEER" -v answers="${answers:-0}" '
    answers && $1 ~ /^[0-9.]+$/ && $NF != "total" {
      calls = $4 / answers; sum += calls
      if (calls >= 0.05) what = what sprintf("%s%.1f %s", what == "" ? "" : ", ", calls, $NF)
    }
    END { if (answers) printf "| %s | %.1f | %s |\n", peer, sum, what; else printf "| %s | failed | |\n", peer }
  ' "$WORK/$PEER.calls"
}

[ $# -gt 0 ] || set -- credswap nginx haproxy squid
printf '| peer | calls/request | what |\n|---|---|---|\n'
for peer in "$@"; do
  peer_prepare "$peer" || continue
  count_calls
done
