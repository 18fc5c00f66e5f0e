#!/usr/bin/env bash
# analyze.sh [BUILD_DIR] [FILE ...]: clang-tidy (.clang-tidy) and cppcheck over the programs' sources.
# Needs the compile_commands.json of a configured build. The last line is "N passed, N failed" (files, and cppcheck as one).
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/debug}
[ $# = 0 ] || shift
[ -f "$build/compile_commands.json" ] || {
  echo "analyze.sh: no $build/compile_commands.json: cmake --preset debug" >&2
  exit 66
}
if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(git ls-files --cached --others --exclude-standard 'common/*.c' 'proxy/*.c' 'admin-tui/*.c')
fi
jobs=$(nproc)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The build's flags are gcc's; clang adds its own warnings, the thread capabilities first of all.
tidy() {
  local log
  log=$2/$(tr / _ <<<"$3").log
  if ! clang-tidy --quiet -p "$1" --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wthread-safety \
    --extra-arg=-Wconditional-uninitialized "$3" >"$log" 2>/dev/null; then
    grep -E '(error|warning): ' "$log" | sed "s|$PWD/||" | sort -u
    : >"$log.failed"
  fi
}
export -f tidy
# shellcheck disable=SC2016 # the inner shell expands them
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$jobs" bash -c 'tidy "$0" "$1" "$2"' "$build" "$out"
failed=$(find "$out" -name '*.failed' | wc -l)
passed=$((${#files[@]} - failed))

if [ $# = 0 ]; then
  if cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j "$jobs" \
    --enable=warning,performance,portability --suppressions-list=tests/lint/cppcheck.txt \
    -I common -I proxy -I admin-tui -D_GNU_SOURCE --library=tests/lint/cppcheck.xml "${files[@]}"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
