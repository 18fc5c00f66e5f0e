#!/usr/bin/env bash
# coverage.sh: replays the corpus of each fuzz target and prints, for each source that a target names in its line
# `/* drives: FILE ... */`, how many of its lines the corpora of the targets that name it reach together (h1.c has two roles
# and a target for each). The last line is "N passed, N failed"; below 90 % a source fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=build/fuzz-coverage
least=90
[ -f $build/build.ninja ] || cmake --preset fuzz-coverage >/dev/null
cmake --build $build -j "$(nproc)" >$build/build.log 2>&1 || {
  tail -n 30 $build/build.log >&2
  exit 1
}

declare -A drivers=()
passed=0
failed=0
for source in tests/fuzz/*.c; do
  grep -q '^/\* room: ' "$source" || continue
  name=$(basename "$source" .c)
  read -ra drives < <(sed -n 's|^/\* drives: \(.*\) \*/$|\1|p' "$source") || true
  if [ ${#drives[@]} = 0 ] || [ ! -x "$build/tests/fuzz_$name" ]; then
    echo "FAIL  $name: no line that says what it drives, or not built"
    failed=$((failed + 1))
    continue
  fi
  LLVM_PROFILE_FILE=$build/$name.raw "$build/tests/fuzz_$name" "tests/fuzz/corpus/$name" >/dev/null
  for file in "${drives[@]}"; do drivers[$file]+="$name "; done
done

for file in $(printf '%s\n' "${!drivers[@]}" | sort); do
  read -ra names <<<"${drivers[$file]}"
  objects=()
  profiles=()
  for name in "${names[@]}"; do
    profiles+=("$build/$name.raw")
    [ "$name" = "${names[0]}" ] || objects+=(-object "$build/tests/fuzz_$name")
  done
  llvm-profdata merge -sparse "${profiles[@]}" -o $build/one.profile
  percent=$(llvm-cov report "$build/tests/fuzz_${names[0]}" ${objects[@]+"${objects[@]}"} -instr-profile=$build/one.profile 2>/dev/null |
    awk -v file="$file" '$1 ~ ("(^|/)" file "$") { sub("%", "", $10); print int($10) }')
  verdict=ok
  [ "${percent:-0}" -ge $least ] || verdict=FAIL
  printf '%-5s %-32s %3d %%  %s\n' $verdict "$file" "${percent:-0}" "${names[*]}"
  if [ $verdict = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
rm -f $build/*.raw $build/one.profile
echo "$passed passed, $failed failed"
[ $failed = 0 ]
