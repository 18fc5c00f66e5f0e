#!/usr/bin/env bash
# Measures credswap beside its peers on this machine: bench/run.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'TXT'
usage: bench/run.sh [--modes "MODE ..."] [--reps N] [--seconds N] [PEER ...]

  MODE   keepalive h2-32 h2-1 single h2-single fresh resume down h2-down up h2-up sse h2-sse idle tunnel-down
         tunnel-fresh (default: all)
  PEER   credswap credswap-2w nginx haproxy squid (default: all that are installed)

Environment: BUILD (build/release), TOOLS (build/bench), BENCH_PROXY_CPU (0), BENCH_LOAD_CPU (1), BENCH_WORKERS (1)
TXT
}

MODES="keepalive h2-32 h2-1 single h2-single fresh resume down h2-down up h2-up sse h2-sse idle tunnel-down tunnel-fresh"
REPS=3 SECONDS_EACH=2 PEERS=()
while [ $# -gt 0 ]; do
  case $1 in
  --modes | --reps | --seconds)
    [ $# -gt 1 ] || { usage >&2 && exit 64; }
    case $1 in
    --modes) MODES=$2 ;;
    --reps) REPS=$2 ;;
    --seconds) SECONDS_EACH=$2 ;;
    esac
    shift
    ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 64 ;;
  *) PEERS+=("$1") ;;
  esac
  shift
done
[ ${#PEERS[@]} -gt 0 ] || PEERS=(credswap credswap-2w nginx haproxy squid)

# shellcheck source=bench/lib.sh
. bench/lib.sh
trap 'bench_end' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
bench_begin

RAW=bench/results/$(date -u +%Y%m%d-%H%M%S).txt
describe_machine >"$RAW"
ready=()
for peer in "${PEERS[@]}"; do
  if peer_prepare "$peer"; then
    ready+=("$peer")
  fi
done
for ((rep = 1; rep <= REPS; rep++)); do
  for mode in $MODES; do
    for peer in ${ready[@]+"${ready[@]}"}; do
      peer_select "$peer"
      case " $PEER_MODES " in *" $mode "*) ;; *) continue ;; esac
      line=$(peer_measure "$mode") || line="mode=$mode failed=1"
      line="peer=$peer rep=$rep mode=$mode ${line#* }" # the load knows no tunnel-
      printf '%s\n' "$line" | tee -a "$RAW" >&2
    done
  done
done
/usr/bin/python3 bench/table.py "$RAW"
printf '\nraw lines: %s\n' "$RAW"
