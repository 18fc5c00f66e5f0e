#!/usr/bin/env bash
# The one entry for a person: ./deploy.sh help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

PYTHON=/usr/bin/python3 # the distribution's: it is the one that sees python3-cryptography
RELEASE=build/release
RUN=data/run
PID_FILE=$RUN/credswapd.pid
DEMO_PID_FILE=$RUN/demo.pid
OUT_LOG=$RUN/credswapd.log # what the daemon says on stderr
IN_DOCKER=false
JOBS=${JOBS:-$(nproc 2>/dev/null || echo 2)}

usage() {
  cat <<'TXT'
usage: ./deploy.sh VERB

  check              what is present and missing; exit 0 only when start would work
  build              release build: build/release/credswapd, build/release/credswap
  demo [--keep]      a proxy on a throw-away store against a fake cloud on loopback, with real requests
  start stop restart status logs
                     the real thing in the background (logs -f follows)
  test [--quick | --full]
                     install the test tools, build in every way, run every test and check; with --quick what belongs to
                     each change, with --full everything at its full size and length
  fuzz [MINUTES] [TARGET ...]
                     run each fuzz target (default: 15 minutes, all); fuzz merge [TARGET ...] takes what was found into the tree
  packages [FOR]     install with apt what build (or run, demo, test, fuzz) needs, and do nothing else
  bench              run the benchmarks and print the table
  clean [--yes]      stop, remove build output and cached tokens; keys, CA and accounts stay
  help               this

  --docker           with build, start, stop, restart, status, logs: the same with docker compose
Settings: data/credswap.conf, or the file that CREDSWAP_CONFIG names. What is missing is installed with apt.
TXT
}

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
warn() { printf 'deploy.sh: %s\n' "$*" >&2; }
die() {
  warn "$*"
  exit 1
}

# ---- packages ----------------------------------------------------------------------------------

os_release() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" /etc/os-release 2>/dev/null || true; }
is_debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

packages_for() { # build | run | demo | test | fuzz | bench
  local llhttp=libllhttp-dev
  [ "$(os_release VERSION_ID)" != 12 ] || llhttp=node-llhttp # its C sources are compiled in
  local build="cmake ninja-build gcc libc6-dev pkg-config libevent-dev libssl-dev libcurl4-openssl-dev libcjson-dev
    libncurses-dev libsqlite3-dev libnghttp2-dev libconfuse-dev libc-ares-dev libsystemd-dev uthash-dev
    zlib1g-dev $llhttp"
  local run="ca-certificates openssl curl python3"
  case $1 in
  build) echo "$build" ;;
  run) echo "$build $run" ;;
  demo) echo "$build $run python3-cryptography" ;;
  test) echo "$build $run python3-cryptography python3-h2 python3-hpack python3-google-auth libcmocka-dev clang clang-format clang-tidy cppcheck
    shellcheck mandoc sqlite3 git zsh fish nghttp2-client procps valgrind binutils libhttp-parser-dev
    wget python3-requests python3-httpx python3-aiohttp python3-grpcio $(node_packages)" ;;
  fuzz) echo "$build $run python3-cryptography clang llvm libhttp-parser-dev" ;;
  bench) echo "nginx-light haproxy squid-openssl strace procps" ;;
  esac
}

# Of the clients from npm. Debian 12's Node is too old for them: without another one they are skipped.
node_packages() {
  command -v npm >/dev/null || [ "$(os_release VERSION_ID)" = 12 ] || echo "nodejs npm"
}

missing_packages() {
  local name
  for name in $(packages_for "$1"); do
    dpkg-query -W -f '${Status}\n' "$name" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$name"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root: run '$*' as root, or install sudo"
  fi
}

need_packages() { # as packages_for
  if ! is_debian; then
    warn "this is no Debian: install by yourself what is missing of: $(packages_for "$1" | xargs)"
    return 0
  fi
  local missing
  missing=$(missing_packages "$1")
  [ -n "$missing" ] || return 0
  step "installing: $missing"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # shellcheck disable=SC2086 # a list of names
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

cmd_packages() {
  case ${1-build} in
  build | run | demo | test | fuzz) need_packages "${1-build}" ;;
  *) usage >&2 && exit 64 ;;
  esac
}

# ---- building ----------------------------------------------------------------------------------

# PRESET [TARGET ...]: configures once, builds what changed.
build_preset() {
  local preset=$1
  shift
  if [ ! -f "build/$preset/build.ninja" ]; then
    local options=() log
    [ "$preset" != release ] || options+=(-DCREDSWAP_WERROR=OFF) # a newer compiler's new warning must not stop a user
    mkdir -p build
    log=build/configure-$preset.log
    cmake --preset "$preset" ${options[@]+"${options[@]}"} >"$log" 2>&1 || {
      tail -n 30 "$log" >&2
      return 1
    }
  fi
  cmake --build "build/$preset" -j "$JOBS" ${1:+--target "$@"}
}

is_built() { [ -x $RELEASE/credswapd ] && [ -x $RELEASE/credswap ]; }

build_release() {
  need_packages "${1:-build}"
  build_preset release
  is_built || die "the build made no $RELEASE/credswapd or $RELEASE/credswap"
}

cmd_build() {
  build_release
  say "built $RELEASE/credswapd and $RELEASE/credswap ($($RELEASE/credswapd --version 2>/dev/null | head -n 1))"
}

# ---- the real thing ----------------------------------------------------------------------------

console() { $RELEASE/credswap --no-input "$@"; }

# KEY: a value of the configuration; of a list the first.
setting() { console config show | sed -n "s/^${1//./\\.} = {\{0,1\}\"\{0,1\}\([^\",}]*\).*$/\1/p"; }

# FILE PROGRAM: the process that FILE names, if it still is that program.
pid_from() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  case $pid in '' | *[!0-9]*) return 1 ;; esac
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q -- "$2" || return 1
  echo "$pid"
}
daemon_pid() { pid_from "$PID_FILE" credswapd; }

private_dir() {
  mkdir -p "$1"
  chmod 700 "$1"
}

first_use() {
  local key cert
  private_dir $RUN
  key=$(setting store.master_key_file)
  cert=$(setting ca.cert)
  if [ -n "$key" ] && [ ! -e "$key" ] && [ -z "${CREDENTIALS_DIRECTORY-}" ]; then
    (umask 077 && head -c 32 /dev/urandom >"$key.new" && mv -n "$key.new" "$key")
    say "made the master key $key: without it the store cannot be read, so keep a copy in a safe place"
  fi
  if [ ! -e "$cert" ]; then
    console ca init
  fi
}

import_old_system() {
  local map=data/map/map-config.json
  [ -f $map ] || return 0
  [ "$(console account list --json | tr -d '[:space:]')" = '[]' ] || return 0
  step "the store is empty: importing $map"
  local extra=()
  [ ! -f config/app_config.json ] || extra+=(--app config/app_config.json)
  compgen -G 'data/jwt/*' >/dev/null && extra+=(--tokens data/jwt)
  console import $map --keys data/json ${extra[@]+"${extra[@]}"}
}

client_lines() {
  local address
  address=$(setting listen.advertise)
  [ -n "$address" ] || address=$(setting listen.proxy)
  cat <<TXT

A client needs a placeholder:   $RELEASE/credswap client add NAME --service gemini
and these lines:                curl -fsS http://$address/env.sh -o env.sh && . ./env.sh
More for every kind of client:  http://$address/     (CA sha256: $(sha256sum <"$(setting ca.cert)" | cut -c1-64))
The console:                    $RELEASE/credswap
TXT
}

cmd_start() {
  local pid
  if pid=$(daemon_pid); then
    say "credswapd runs already (pid $pid)"
    client_lines
    return 0
  fi
  is_built || build_release run
  first_use
  $RELEASE/credswapd --check || die "the configuration above must be mended first"
  import_old_system
  setsid nohup $RELEASE/credswapd >>$OUT_LOG 2>&1 </dev/null &
  echo $! >$PID_FILE
  if ! console wait --ready --timeout 30; then
    tail -n 20 $OUT_LOG >&2
    pid=$(daemon_pid) && kill "$pid"
    rm -f $PID_FILE
    die "credswapd did not become ready; its last lines are above ($OUT_LOG)"
  fi
  say "credswapd is ready (pid $(daemon_pid))"
  client_lines
}

# PID SECONDS: TERM, then a second TERM, then KILL.
end_process() {
  local pid=$1 left=$(($2 * 10)) signal
  for signal in TERM TERM KILL; do
    kill -s $signal "$pid" 2>/dev/null || return 0
    while [ $left -gt 0 ]; do
      kill -0 "$pid" 2>/dev/null || return 0
      sleep 0.1
      left=$((left - 1))
    done
    left=20
  done
}

cmd_stop() {
  local pid stopped=false drain=30
  if pid=$(pid_from $DEMO_PID_FILE deploy.sh); then
    end_process "$pid" 30
    stopped=true
    say "the demo has stopped"
  fi
  if pid=$(daemon_pid); then
    [ ! -x $RELEASE/credswap ] || drain=$(setting run.drain_timeout || echo 30)
    end_process "$pid" $((${drain:-30} + 5))
    rm -f $PID_FILE
    stopped=true
    say "credswapd has stopped"
  fi
  $stopped || say "nothing is running"
}

cmd_status() {
  local pid
  if ! pid=$(daemon_pid); then
    say "credswapd is not running (./deploy.sh start)"
    return 1
  fi
  say "credswapd runs (pid $pid)"
  console status
}

cmd_logs() {
  local file=$OUT_LOG named
  if [ -x $RELEASE/credswap ]; then
    named=$(setting log.file)
    case $named in '' | -) ;; *) file=$named ;; esac
  fi
  [ -f "$file" ] || die "no log yet: $file"
  tail -n 200 "$@" "$file"
}

# ---- docker ------------------------------------------------------------------------------------

DOCKER_UID=10001
DOCKER_KEY=data/docker/master.key

compose() { docker compose "$@"; }

docker_first_use() {
  if [ ! -e $DOCKER_KEY ]; then
    private_dir data/docker
    (umask 077 && head -c 32 /dev/urandom >$DOCKER_KEY)
    say "made the master key $DOCKER_KEY: without it the store cannot be read, so keep a copy in a safe place"
  fi
  if [ "$(stat -c %u $DOCKER_KEY)" != $DOCKER_UID ]; then # the container's user must read it, nobody else
    if [ "$(id -u)" = 0 ]; then
      chown $DOCKER_UID $DOCKER_KEY
    else
      docker run --rm --network none --user 0 --entrypoint chown -v "$PWD/data/docker:/keys" credswap:latest \
        $DOCKER_UID /keys/master.key
    fi
  fi
  compose run --rm --no-deps -T credswap credswap ca show >/dev/null 2>&1 ||
    compose run --rm --no-deps -T credswap credswap --no-input ca init
}

cmd_docker() {
  docker compose version >/dev/null 2>&1 ||
    die "docker with its compose plugin is needed (Debian 13: apt install docker.io docker-compose; or docker.com)"
  local verb=$1
  shift
  case $verb in
  build) compose build ;;
  start)
    compose build
    docker_first_use
    compose up -d --wait --wait-timeout 60 || {
      compose logs --tail 20 >&2
      die "the container did not become healthy; its last lines are above"
    }
    compose exec -T credswap credswap env --shell sh
    ;;
  stop) compose down ;;
  restart) compose restart ;;
  status)
    compose ps
    compose exec -T credswap credswap status
    ;;
  logs) compose logs --tail 200 "$@" ;;
  *) die "$verb knows no --docker" ;;
  esac
}

# ---- check -------------------------------------------------------------------------------------

CHECK_MISSING=0
present() { printf 'ok       %s\n' "$*"; }
notice() { printf 'note     %s\n' "$*"; }
missing() {
  printf 'MISSING  %s\n' "$*"
  CHECK_MISSING=$((CHECK_MISSING + 1))
}

check_tools() {
  local names
  if ! is_debian; then
    notice "no Debian: packages are not looked at"
  else
    names=$(missing_packages run)
    if [ -z "$names" ]; then
      present "tools and libraries (Debian $(os_release VERSION_ID))"
    else
      missing "packages: $names (./deploy.sh build installs them)"
    fi
  fi
  if is_built; then
    present "$RELEASE/credswapd, $RELEASE/credswap"
  else
    notice "not built yet (start builds)"
  fi
}

check_configuration() {
  local file=${CREDSWAP_CONFIG:-data/credswap.conf} out
  if [ ! -x $RELEASE/credswapd ]; then
    [ ! -f "$file" ] || notice "$file is there; it is checked once the programs are built"
  elif out=$($RELEASE/credswapd --check 2>&1); then
    [ -f "$file" ] || file="all defaults, no $file"
    present "configuration: $file"
  else
    missing "a good configuration: $out"
  fi
}

check_ports() {
  local address host port
  for address in "$(setting listen.proxy 2>/dev/null || echo 127.0.0.1:3128)" \
    "$(setting listen.admin 2>/dev/null || echo 127.0.0.1:9180)"; do
    host=${address%:*} port=${address##*:}
    [ -n "$port" ] || continue
    case $host in '' | 0.0.0.0 | '[::]') host=127.0.0.1 ;; esac
    if ! (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
      present "port $address is free"
    elif daemon_pid >/dev/null; then
      present "port $address is ours"
    else
      missing "port $address: something else listens there (listen.proxy, listen.admin in the configuration)"
    fi
  done
}

# FILE WHAT: a private file has no rights for others.
check_private() {
  local mode
  mode=$(stat -c %a "$1")
  case $mode in
  ?00) present "$2 $1" ;;
  *) missing "$2 $1 has mode $mode: chmod 600 $1" ;;
  esac
}

check_secrets() {
  local key cert cakey
  key=$(setting store.master_key_file 2>/dev/null || echo $RUN/master.key)
  cert=$(setting ca.cert 2>/dev/null || echo certs/ca.pem)
  cakey=$(setting ca.key 2>/dev/null || echo $RUN/ca.key)
  if [ -e "$key" ]; then
    check_private "$key" "master key"
    [ "$(stat -c %s "$key")" = 32 ] || missing "master key $key: it must have 32 bytes"
  else
    notice "no master key yet (start makes $key)"
  fi
  if [ ! -e "$cert" ]; then
    notice "no CA yet (start makes $cert)"
  elif ! openssl x509 -in "$cert" -noout -checkend 0 >/dev/null 2>&1; then
    missing "CA $cert does not parse or has expired"
  elif [ ! -e "$cakey" ]; then
    missing "CA key $cakey, though $cert is there"
  else
    check_private "$cakey" "CA key"
    present "CA $cert, good until $(openssl x509 -in "$cert" -noout -enddate | cut -d= -f2)"
  fi
}

check_database() {
  local url
  url=$(setting store.url 2>/dev/null || echo sqlite:$RUN/credswap.db)
  url=${url#sqlite:}
  if [ ! -e "$url" ]; then
    notice "no database yet (start makes $url)"
    return
  fi
  if "$PYTHON" - "$url" <<'PY'
import sqlite3, sys
try:
    db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=5)
    sys.exit(db.execute("pragma quick_check").fetchone()[0] != "ok")
except sqlite3.Error:
    sys.exit(1)
PY
  then
    present "database $url"
  else
    missing "database $url is damaged: restore a backup with '$RELEASE/credswap restore FILE'"
  fi
}

check_key_files() {
  local file why
  compgen -G 'data/json/*.json' >/dev/null || {
    notice "no key files in data/json (accounts may be in the store already)"
    return 0
  }
  for file in data/json/*.json; do
    if why=$("$PYTHON" - "$file" 2>&1 <<'PY'
import json, subprocess, sys
try:
    with open(sys.argv[1], encoding="utf-8") as f:
        key = json.load(f)
    lacking = [k for k in ("client_email", "private_key", "token_uri", "project_id") if not isinstance(key.get(k), str)]
    if key.get("type") != "service_account" or lacking:
        sys.exit("not a service-account key" + (": lacks " + ", ".join(lacking) if lacking else ""))
    if subprocess.run(["openssl", "pkey", "-noout"], input=key["private_key"].encode(), capture_output=True).returncode:
        sys.exit("its private key does not parse")
except (OSError, ValueError) as error:
    sys.exit(type(error).__name__ + ": not readable JSON")
PY
    ); then
      check_private "$file" "key file"
    else
      missing "key file $file: $why"
    fi
  done
}

check_clock() {
  # Signed assertions fail when the clock is minutes off.
  if [ "$(date +%s)" -lt 1735689600 ]; then
    missing "the clock says $(date -u +%F): signed tokens would be refused"
  elif [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = no ]; then
    notice "the clock ($(date -u +%FT%TZ)) is not synchronised; more than a minute off, and token requests fail"
  else
    present "clock $(date -u +%FT%TZ)"
  fi
}

cmd_check() {
  check_tools
  if [ -x "$PYTHON" ] && command -v openssl >/dev/null; then
    check_configuration
    check_secrets
    check_database
    check_key_files
  fi
  check_ports
  check_clock
  if [ $CHECK_MISSING -gt 0 ]; then
    say "$CHECK_MISSING missing"
    return 1
  fi
  say "start would work"
}

# ---- demo --------------------------------------------------------------------------------------

DEMO_DIR=
DEMO_CLOUD= # process ids; setsid: a Ctrl-C is for this script alone
DEMO_DAEMON=
DEMO_FAILED=0
# Made at run time, for this run only.
DEMO_GEMINI=
DEMO_CLAUDE=

demo_console() { $RELEASE/credswap --config "$DEMO_DIR/credswap.conf" "$@"; }
demo_control() { # METHOD PATH [JSON]
  curl -fsS --noproxy '*' -X "$1" ${3:+--data "$3"} "http://127.0.0.1:$DEMO_CONTROL$2"
}
demo_bad() {
  DEMO_FAILED=$((DEMO_FAILED + 1))
  say "   WRONG: $*"
}
mask() { # [SCHEME ]CREDENTIAL
  local credential=${1##* }
  printf '%s%s...(%d bytes)' "${1%"$credential"}" "${credential:0:10}" ${#credential}
}

demo_end() {
  local status=0
  trap '' INT TERM
  if [ -n "$DEMO_DAEMON" ]; then
    kill "$DEMO_DAEMON" 2>/dev/null || true
    wait "$DEMO_DAEMON" || status=$?
    DEMO_DAEMON=
    [ $status = 0 ] || warn "credswapd ended with status $status"
  fi
  if [ -n "$DEMO_CLOUD" ]; then
    kill "$DEMO_CLOUD" 2>/dev/null || true
    wait "$DEMO_CLOUD" 2>/dev/null || true
    DEMO_CLOUD=
  fi
  [ -z "$DEMO_DIR" ] || rm -rf "$DEMO_DIR"
  DEMO_DIR=
  rm -f $DEMO_PID_FILE
  return $status
}

free_ports() { # N
  "$PYTHON" - "$1" <<'PY'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PY
}

demo_start_cloud() {
  local key line
  key=demo-$(openssl rand -hex 20)
  printf '%s' "$key" >"$DEMO_DIR/claude.key"
  mkfifo "$DEMO_DIR/cloud.out"
  setsid "$PYTHON" tests/fakes/cloud.py --dir "$DEMO_DIR/cloud" --accounts 2 --no-stdin \
    --api-key "api.anthropic.com=$key" >"$DEMO_DIR/cloud.out" 2>"$DEMO_DIR/cloud.err" &
  DEMO_CLOUD=$!
  read -r -t 30 line <"$DEMO_DIR/cloud.out" || die "the fake cloud did not start: $(cat "$DEMO_DIR/cloud.err")"
  DEMO_PORT=$(json_get "$line" 'd["ports"]["main"]')
  DEMO_CONTROL=$(json_get "$line" 'd["ports"]["control"]')
}

# JSON EXPRESSION: prints the Python EXPRESSION over d.
json_get() { "$PYTHON" -c 'import json, sys; d = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$1" "$2"; }

demo_configure() {
  local proxy admin host targets=
  read -r proxy admin <<<"$(free_ports 2)"
  DEMO_PROXY=127.0.0.1:$proxy
  for host in generativelanguage.googleapis.com '*-aiplatform.googleapis.com' oauth2.googleapis.com api.anthropic.com; do
    targets+="${targets:+, }\"$host:443:127.0.0.1:$DEMO_PORT\""
  done
  cat >"$DEMO_DIR/credswap.conf" <<CONF
listen {
  proxy = {"$DEMO_PROXY"}
  admin = "127.0.0.1:$admin"
  socket = "$DEMO_DIR/credswap.sock"
}
store {
  url = "sqlite:$DEMO_DIR/credswap.db"
  master_key_file = "$DEMO_DIR/master.key"
}
ca {
  cert = "$DEMO_DIR/ca.pem"
  key = "$DEMO_DIR/ca.key"
}
upstream {
  ca_file = "$DEMO_DIR/cloud/ca.pem"
  connect_to = {$targets}
}
log { file = "$DEMO_DIR/log" }
CONF
  head -c 32 /dev/urandom >"$DEMO_DIR/master.key"
  DEMO_GEMINI=gemini-demo-$(openssl rand -hex 12)
  DEMO_CLAUDE=claude-demo-$(openssl rand -hex 12)
  demo_console ca init >/dev/null
  demo_console account add "$DEMO_DIR/cloud/accounts/acct-1.json" --name acct-1 --pool gemini --weight 1 >/dev/null
  demo_console account add "$DEMO_DIR/cloud/accounts/acct-2.json" --name acct-2 --pool gemini --weight 1 >/dev/null
  demo_console account add --kind api-key --host api.anthropic.com --name claude-key --pool claude - \
    <"$DEMO_DIR/claude.key" >/dev/null
  printf %s "$DEMO_GEMINI" | demo_console client add alice --service gemini --token - >/dev/null
  printf %s "$DEMO_CLAUDE" | demo_console client add bob --service claude --token - >/dev/null
  demo_control POST /register "{\"placeholders\": [\"$DEMO_GEMINI\", \"$DEMO_CLAUDE\"]}" >/dev/null
}

# TITLE KIND MODEL HEADER PLACEHOLDER URL BODY: one request through HTTPS_PROXY; KIND says what the cloud must have answered.
demo_ask() {
  local title=$1 kind=$2 model=$3 header=$4 placeholder=$5 url=$6 body=$7 status rows ended=0
  rows=$(demo_control GET /log | "$PYTHON" -c 'import json, sys; print(max((r["n"] for r in json.load(sys.stdin)), default=0))')
  say ""
  say "-- $title"
  say "   curl $url"
  say "   went in:        $header: $(mask "$placeholder")"
  status=$(HTTPS_PROXY=http://$DEMO_PROXY curl -sS -m 30 -N --noproxy '' --cacert "$DEMO_DIR/ca.pem" -H 'content-type: application/json' \
    -H 'anthropic-version: 2023-06-01' -H @- --data "$body" -o "$DEMO_DIR/answer" -w '%{http_code}' "$url" \
    <<<"$header: $placeholder") || ended=$?
  [ $ended = 0 ] || demo_bad "curl ended with $ended"
  [ "$status" = 200 ] || demo_bad "status $status: $(head -c 300 "$DEMO_DIR/answer" 2>/dev/null)"
  demo_control GET /log >"$DEMO_DIR/seen"
  "$PYTHON" - "$rows" "$kind" "$model" "$body" "$DEMO_DIR" <<'PY' || DEMO_FAILED=$((DEMO_FAILED + 1))
import json, sys
sys.path.insert(0, "tests/fakes")
import answers
after, kind, model, body, place = int(sys.argv[1]), *sys.argv[2:6]
good = True
for row in json.load(open(place + "/seen")):
    if row["n"] <= after or row["host"] == "oauth2.googleapis.com":
        continue
    names = ("authorization", "x-api-key", "x-goog-api-key")
    held = [line for line in row["head"].split("\r\n") if line.split(":")[0].lower() in names]
    print(f"   the cloud saw:  {'; '.join(held)}")
    print(f"   as account:     {row['account']}, and answered {row['status']}")
with open(place + "/answer", "rb") as f:
    got = f.read()
if got != answers.expected(kind, model, body.encode()):
    print(f"   WRONG: the answer differs from what the cloud sent: {got[:200]!r}")
    good = False
text = got.decode(errors="replace")
print(f"   came back:      {len(got)} bytes{', %d events' % text.count('data:') if 'sse' in kind else ''}, byte for byte the cloud's answer"
      if good else "")
sys.exit(not good)
PY
}

demo_requests() {
  local google=https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro
  local vertex=https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1/publishers/google/models/gemini-2.5-pro
  local claude=https://api.anthropic.com/v1/messages
  local ask='{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}'
  local chat='"max_tokens":64,"messages":[{"role":"user","content":"hello"}]'
  demo_ask "Gemini API, plain" gemini gemini-2.5-pro x-goog-api-key "$DEMO_GEMINI" "$google:generateContent" "$ask"
  demo_ask "Gemini on Vertex AI, streamed" gemini-sse gemini-2.5-pro Authorization "Bearer $DEMO_GEMINI" \
    "$vertex:streamGenerateContent?alt=sse" "$ask"
  demo_ask "Claude, plain" claude claude-sonnet-4-5 x-api-key "$DEMO_CLAUDE" $claude "{\"model\":\"claude-sonnet-4-5\",$chat}"
  demo_ask "Claude, streamed" claude-sse claude-sonnet-4-5 x-api-key "$DEMO_CLAUDE" $claude \
    "{\"model\":\"claude-sonnet-4-5\",\"stream\":true,$chat}"

  demo_control POST /fail '{"kind": "429", "host": "*aiplatform*", "times": 1}' >/dev/null
  demo_ask "failover: the first account that is asked answers 429" gemini gemini-2.5-pro Authorization "Bearer $DEMO_GEMINI" \
    "$vertex:generateContent" "$ask"
  [ "$("$PYTHON" -c 'import json, sys
rows = [r for r in json.load(open(sys.argv[1])) if r["host"] != "oauth2.googleapis.com"][-2:]
print([r["status"] for r in rows] == [429, 200] and rows[0]["account"] != rows[1]["account"])' "$DEMO_DIR/seen")" = True ] ||
    demo_bad "the second account did not take over"

  say ""
  say "-- what a careful proxy never does (a placeholder or a foreign credential reaching the cloud)"
  local broken
  broken=$(demo_control GET /violations)
  if [ "$broken" = '[]' ]; then say "   none"; else demo_bad "$broken"; fi
  if grep -qF -e "$DEMO_GEMINI" -e "$DEMO_CLAUDE" -e ya29. -e "$(cat "$DEMO_DIR/claude.key")" "$DEMO_DIR/log" "$DEMO_DIR"/credswap.db*; then
    demo_bad "a secret stands in the log or in the database"
  else
    say "   no secret in the log, none readable in the database"
  fi
}

cmd_demo() {
  local keep=false
  case ${1-} in
  '') ;;
  --keep) keep=true ;;
  *) usage >&2 && exit 64 ;;
  esac
  ! pid_from $DEMO_PID_FILE deploy.sh >/dev/null || die "a demo runs already; ./deploy.sh stop ends it"
  build_release demo
  unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY CREDSWAP_CONFIG \
    SSL_CERT_FILE CURL_CA_BUNDLE
  private_dir $RUN
  echo $$ >$DEMO_PID_FILE
  umask 077
  DEMO_DIR=$(mktemp -d /tmp/credswap-demo.XXXXXX)
  trap 'demo_end || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  step "a fake cloud on loopback, a proxy on a throw-away store"
  demo_start_cloud
  demo_configure
  setsid $RELEASE/credswapd --config "$DEMO_DIR/credswap.conf" >"$DEMO_DIR/out" 2>&1 &
  DEMO_DAEMON=$!
  demo_console wait --ready --timeout 30 || die "credswapd did not become ready: $(tail -n 5 "$DEMO_DIR/out" "$DEMO_DIR/log" 2>/dev/null)"
  say "   fake cloud on 127.0.0.1:$DEMO_PORT, proxy on $DEMO_PROXY, accounts acct-1 and acct-2 (Google), claude-key (Anthropic)"
  say "   clients: alice may use Gemini, bob may use Claude"

  step "requests"
  demo_requests
  step "the console's view"
  demo_console account list || DEMO_FAILED=$((DEMO_FAILED + 1))
  for _ in $(seq 30); do # the daemon writes once a second
    demo_console usage | grep bob >/dev/null && break
    sleep 0.1
  done
  demo_console usage || DEMO_FAILED=$((DEMO_FAILED + 1))
  say ""
  say "The console on this demo (while it runs: ./deploy.sh demo --keep):"
  say "   $RELEASE/credswap --config $DEMO_DIR/credswap.conf"
  if $keep; then
    say ""
    say "Running until Ctrl-C or ./deploy.sh stop. Try: HTTPS_PROXY=http://$DEMO_PROXY curl --cacert $DEMO_DIR/ca.pem ..."
    trap 'demo_finish' INT TERM
    while kill -0 "$DEMO_DAEMON" 2>/dev/null; do sleep 1; done
    die "credswapd ended by itself"
  fi
  demo_finish
}

demo_finish() {
  step "stopping"
  demo_end || DEMO_FAILED=$((DEMO_FAILED + 1))
  if [ $DEMO_FAILED -gt 0 ]; then
    say "$DEMO_FAILED of the demo's answers were wrong"
    exit 1
  fi
  say "every answer was right"
  exit 0
}

# ---- test --------------------------------------------------------------------------------------

TEST_PASSED=0
TEST_FAILED=0
TEST_SUMMARY=
TEST_SKIPPED= # lines that name what could not run here

# NAME STATUS SECONDS: counts the "N passed, N failed" (or ctest's own words) of a log; no count: the exit status is one test.
count() {
  local name=$1 status=$2 line passed failed
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed|^[0-9]+% tests passed, [0-9]+ tests failed out of [0-9]+' \
    "build/test-logs/$name.log" | tail -n 1 || true)
  case $line in
  *"out of "*)
    failed=${line#*passed, } passed=${line##*out of }
    failed=${failed%% *}
    passed=$((passed - failed))
    ;;
  *passed*)
    failed=${line#*passed, } passed=${line%% *}
    failed=${failed%% *}
    ;;
  *)
    passed=$((status == 0)) failed=0
    ;;
  esac
  [ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
  TEST_PASSED=$((TEST_PASSED + passed))
  TEST_FAILED=$((TEST_FAILED + failed))
  line=$(grep '^skipped: ' "build/test-logs/$name.log" || true)
  TEST_SKIPPED+=${line:+$line$'\n'}
  TEST_SUMMARY+=$(printf '%-18s %5d passed %5d failed %6d s' "$name" "$passed" "$failed" "$3")$'\n'
  [ "$failed" = 0 ]
}

# NAME COMMAND...: runs it here and counts.
tally() {
  local name=$1 status=0 start=$SECONDS
  shift
  step "$name"
  "$@" 2>&1 | tee "build/test-logs/$name.log" || status=$?
  count "$name" "$status" $((SECONDS - start))
}

# NAME COMMAND...: runs it beside what follows; collect NAME waits, shows and counts. Only for what no clock can disturb.
beside() {
  local name=$1
  shift
  rm -f "build/test-logs/$name.end"
  (
    status=0 start=$SECONDS
    "$@" >"build/test-logs/$name.log" 2>&1 </dev/null || status=$?
    echo "$status $((SECONDS - start))" >"build/test-logs/$name.end"
  ) &
}
collect() {
  local name=$1 status seconds
  step "$name"
  wait # one thing is beside at a time
  cat "build/test-logs/$name.log"
  read -r status seconds <"build/test-logs/$name.end" || status=1 seconds=0 # it was ended, and that is no pass
  count "$name" "$status" "$seconds"
}

# Sanitizers of gcc 12 want a fixed memory layout on recent kernels.
fixed_layout() {
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    setarch "$(uname -m)" -R "$@"
  else
    "$@"
  fi
}

run_ctest() { # BUILD
  fixed_layout ctest --test-dir "build/$1" --output-on-failure -j "$JOBS" --no-tests=error
}
run_e2e() { # PRESET [--quick] [NAME...]
  local preset=$1
  shift
  # more at a time than there are cores: tests wait a good deal
  CREDSWAP_BUILD=build/$preset fixed_layout "$PYTHON" tests/e2e/run.py --jobs $((JOBS + 2)) "$@"
}

run_tui() { # BUILD
  CREDSWAP_BUILD=build/$1 fixed_layout "$PYTHON" tests/tui/run.py
}

run_tui_limits() { # BUILD, with the benchmark's tools
  CREDSWAP_BUILD=build/$1 CREDSWAP_BENCH=build/$1 "$PYTHON" tests/tui/run.py --limits
}

run_clients() { # BUILD
  CREDSWAP_BUILD=build/$1 fixed_layout "$PYTHON" tests/clients/run.py --jobs "$JOBS"
}

# NAME PRESET OPTION...: the preset with other options, in build/NAME.
build_variant() {
  local name=$1 preset=$2
  shift 2
  [ -f "build/$name/build.ninja" ] || cmake --preset "$preset" -B "build/$name" "$@" >"build/configure-$name.log" 2>&1 || {
    tail -n 30 "build/configure-$name.log"
    return 1
  }
  cmake --build "build/$name" -j "$JOBS"
}
# The release build, where what the optimizer says about the whole program is an error too; with the benchmark's tools.
build_strict() { build_variant strict release -DCMAKE_EXE_LINKER_FLAGS=-Werror -DCREDSWAP_BENCH=ON; }
# Leaks are left to AddressSanitizer: gcc 12 takes each object that is handed on inside another for one.
build_fanalyzer() {
  build_variant fanalyzer release -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS=-fanalyzer -Wno-analyzer-malloc-leak"
}
build_coverage() {
  build_variant coverage debug -DCREDSWAP_SANITIZE= "-DCMAKE_C_FLAGS=--coverage -fprofile-update=atomic" || return 1
  find build/coverage -name '*.gcda' -delete
}

# Every way of building. Two cores are busy with it, so what only computes goes beside.
test_builds() {
  beside analyze tests/lint/analyze.sh build/debug
  tally build-clang build_preset clang credswapd credswap || true
  tally build-release build_strict || true
  tally fanalyzer build_fanalyzer || true
  collect analyze || true
  beside cost "$PYTHON" tests/cost/run.py --build build/strict
  tally release "$PYTHON" tests/release.py build/strict || true
  tally build-coverage build_coverage || true
  tally build-tsan build_preset tsan credswapd credswap fault_shim || true
  collect cost || true
}

# What the clock can disturb: nothing runs beside.
test_runs() { # SIZE
  local slow=test_load.Weights # beyond the quick ones the test with the most threads at work
  tally ctest-coverage run_ctest coverage || true
  tally coverage "$PYTHON" tests/coverage.py build/coverage || true
  tally memory-release run_e2e strict test_memory test_h2.Stalled test_pins.Files.test_the_table test_websocket.Live.test_a_client_that_does_not_read || true # a sanitizer's heap is not the one that users run
  if [ "$1" = full ]; then
    tally tui-limits run_tui_limits strict || true
    tally load "$PYTHON" tests/load/run.py --full --build build/strict --bench build/strict || true
    tally fault fixed_layout "$PYTHON" tests/fault/run.py --build build/debug --full || true
    tally e2e-tsan run_e2e tsan || true
  else
    tally load "$PYTHON" tests/load/run.py --build build/strict --bench build/strict || true
    tally fault fixed_layout "$PYTHON" tests/fault/run.py --build build/debug || true
    tally e2e-tsan run_e2e tsan --quick --threads || true
    tally e2e-tsan-load run_e2e tsan $slow || true
  fi
}

cmd_test() {
  local size=normal
  case ${1-} in
  '') ;;
  --quick) size=quick ;;
  --full) size=full && export CREDSWAP_FULL=1 ;;
  *) usage >&2 && exit 64 ;;
  esac
  need_packages test
  mkdir -p build/test-logs
  trap 'jobs -p | xargs -r -n 1 pkill -TERM -P || true' EXIT # what runs beside ends with us
  beside lint "$PYTHON" tests/lint/run.py
  tally build-debug build_preset debug || true
  collect lint || true
  [ $size = quick ] || test_builds
  if [ -x build/debug/credswapd ]; then
    tally ctest run_ctest debug || true
    beside tui run_tui debug # it waits for terminals more than it works
    if [ $size = quick ]; then
      tally e2e-asan run_e2e debug --quick || true
      collect tui || true
    else
      tally e2e-asan run_e2e debug || true
      collect tui || true
      tally clients run_clients debug || true
      test_runs $size
    fi
  fi
  step "summary"
  printf '%s' "$TEST_SUMMARY"
  printf '%s' "$TEST_SKIPPED"
  say "in $((SECONDS / 60)) min"
  say "$TEST_PASSED passed, $TEST_FAILED failed"
  [ $TEST_FAILED = 0 ]
}

# ---- fuzz --------------------------------------------------------------------------------------

FUZZ_WORK=build/fuzz-work # NAME/: what was found; NAME.log; NAME-crash-...: an input that ends the target

# NAME SECONDS: one target, from the corpus, the seeds and what was found before.
fuzz_one() {
  local name=$1 seconds=$2 status=0 dict log=$FUZZ_WORK/$1.log work=$FUZZ_WORK/$1 before
  mkdir -p "$work" "$FUZZ_WORK/seeds/$name"
  rm -f "$work"-{crash,timeout,oom,leak}-*
  dict=$(sed -n 's|^/\* dict: \(.*\) \*/$|-dict=tests/fuzz/dict/\1.dict|p' "tests/fuzz/$name.c")
  before=$(find "$work" -type f | wc -l)
  fixed_layout "build/fuzz/tests/fuzz_$name" ${dict:+"$dict"} -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -max_len=8192 -len_control=50 -print_final_stats=1 -artifact_prefix="$work-" "$work" "tests/fuzz/corpus/$name" \
    "$FUZZ_WORK/seeds/$name" >"$log" 2>&1 || status=$?
  printf '%-14s %10s executions %6d new inputs %3d crashes\n' "$name" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" $(($(find "$work" -type f | wc -l) - before)) $((status != 0))
  [ $status = 0 ] || grep -h 'Test unit written to' "$log" |
    sed "s|.*written to \(.*\)|   again: build/fuzz/tests/fuzz_$name \1   (log: $log)|" || say "   see $log"
  return $status
}

# Adds to the corpus in the tree what reaches code that nothing in it reaches, small inputs first.
fuzz_merge() {
  local name
  for name in "$@"; do
    mkdir -p "$FUZZ_WORK/$name" "$FUZZ_WORK/seeds/$name" "tests/fuzz/corpus/$name"
    "build/fuzz/tests/fuzz_$name" -merge=1 -use_counters=0 -max_len=2048 -rss_limit_mb=1024 "tests/fuzz/corpus/$name" \
      "$FUZZ_WORK/$name" "$FUZZ_WORK/seeds/$name" >"$FUZZ_WORK/$name.merge.log" 2>&1 ||
      die "merging $name failed: $FUZZ_WORK/$name.merge.log"
    printf '%-14s %4d inputs, %6d bytes\n' "$name" "$(find "tests/fuzz/corpus/$name" -type f | wc -l)" \
      "$(find "tests/fuzz/corpus/$name" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }')"
  done
}

cmd_fuzz() {
  local minutes=15 merge=false name pid failed=0 pids=() targets=()
  case ${1-} in
  merge) merge=true && shift ;;
  '' | *[!0-9]*) ;;
  *) minutes=$1 && shift ;;
  esac
  need_packages fuzz
  build_preset fuzz >/dev/null || die "the fuzz targets do not build: ./deploy.sh packages fuzz"
  targets=("$@")
  [ $# -gt 0 ] || mapfile -t targets < <(grep -l '^/\* room: ' tests/fuzz/*.c | sed 's|.*/||; s|\.c$||')
  mkdir -p $FUZZ_WORK
  for name in "${targets[@]}"; do
    [ -x "build/fuzz/tests/fuzz_$name" ] || die "there is no fuzz target $name"
  done
  rm -rf $FUZZ_WORK/seeds
  "$PYTHON" tests/fuzz/seeds.py $FUZZ_WORK/seeds
  if $merge; then
    fuzz_merge "${targets[@]}"
    return
  fi
  say "${#targets[@]} targets, $minutes minutes each, $JOBS at a time"
  for name in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
    fuzz_one "$name" $((minutes * 60)) &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
  say "$((${#targets[@]} - failed)) passed, $failed failed"
  [ $failed = 0 ]
}

# ---- bench, clean ------------------------------------------------------------------------------

# The peers; without one of them its row is missing. A package's own service must not run because of us.
bench_peers() {
  local new service
  is_debian || return 0
  new=$(missing_packages bench)
  need_packages bench || warn "not every peer could be installed"
  [ -d /run/systemd/system ] || return 0
  for service in nginx haproxy squid; do
    case " $new" in *" $service"*) as_root systemctl disable --now --quiet $service || true ;; esac
  done
}

cmd_bench() {
  [ -f bench/run.sh ] || die "bench/run.sh is missing from this tree"
  build_release demo
  bench_peers
  if [ ! -f build/bench/build.ninja ]; then
    cmake --preset release -B build/bench -DCREDSWAP_BENCH=ON -DCREDSWAP_WERROR=OFF >build/configure-bench.log 2>&1 || {
      tail -n 30 build/configure-bench.log >&2
      return 1
    }
  fi
  cmake --build build/bench -j "$JOBS" --target bench
  bash bench/run.sh "$@"
  if [ $# = 0 ]; then
    say ""
    bash bench/syscalls.sh
  fi
}

forget_tokens() { # of the store that the configuration names
  local url
  url=$(setting store.url 2>/dev/null || echo sqlite:$RUN/credswap.db)
  url=${url#sqlite:}
  [ -f "$url" ] || return 0
  "$PYTHON" - "$url" <<'PY'
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=5) as db:
    print(f"forgot {db.execute('delete from token').rowcount} cached tokens")
PY
}

cmd_clean() {
  local answer=
  case ${1-} in
  --yes) answer=y ;;
  '') [ ! -t 0 ] || read -r -p 'Stop everything, remove build/ and the cached tokens? (keys, CA and accounts stay) [y/N] ' answer ;;
  *) usage >&2 && exit 64 ;;
  esac
  case $answer in
  y | Y | yes) ;;
  *) die "nothing was removed (--yes skips the question)" ;;
  esac
  cmd_stop
  forget_tokens
  rm -rf build
  say "removed build/"
}

# ---- main --------------------------------------------------------------------------------------

main() {
  local arguments=() word
  for word in "$@"; do
    if [ "$word" = --docker ]; then IN_DOCKER=true; else arguments+=("$word"); fi
  done
  set -- ${arguments[@]+"${arguments[@]}"}
  local verb=${1-help}
  [ $# = 0 ] || shift
  if $IN_DOCKER; then
    cmd_docker "$verb" "$@"
    return
  fi
  case $verb in
  check) cmd_check ;;
  build) cmd_build ;;
  demo) cmd_demo "$@" ;;
  start) cmd_start ;;
  stop) cmd_stop ;;
  restart) cmd_stop && cmd_start ;;
  status) cmd_status ;;
  logs) cmd_logs "$@" ;;
  test) cmd_test "$@" ;;
  packages) cmd_packages "$@" ;;
  fuzz) cmd_fuzz "$@" ;;
  bench) cmd_bench "$@" ;;
  clean) cmd_clean "$@" ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit 64
    ;;
  esac
}

main "$@"
