# shellcheck shell=bash disable=SC2034 # sourced by run.sh and syscalls.sh; peers/*.sh use what stands here
# A throw-away directory, the origin, and how to start, measure and end one peer.

BUILD=$(realpath -m "${BUILD:-build/release}")
TOOLS=$(realpath -m "${TOOLS:-build/bench}")
LOAD_CPU=${BENCH_LOAD_CPU:-1}
PROXY_CPU=${BENCH_PROXY_CPU:-0}
TOKEN=gemini-bench-0123456789abcdef0123456789
REAL=ya29.c.$(printf 'bench-0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv%.0s' {1..15}) # as the origin's
WORK='' ORIGIN_PID='' PEER_PID=''

note() { printf 'bench: %s\n' "$*" >&2; }
die() {
  note "$*"
  exit 1
}

# PID: TERM, then a second TERM, then KILL.
end_process() {
  local signal try
  for signal in TERM TERM KILL; do
    kill -s $signal "$1" 2>/dev/null || break
    for ((try = 0; try < 20; try++)); do
      kill -0 "$1" 2>/dev/null || break 2
      sleep 0.1
    done
  done
  wait "$1" 2>/dev/null || true
}

bench_end() {
  [ -z "$PEER_PID" ] || end_process "$PEER_PID"
  [ -z "$ORIGIN_PID" ] || end_process "$ORIGIN_PID"
  [ -z "$WORK" ] || rm -rf "$WORK"
}

pinned() { # CPU COMMAND...
  local cpu=$1
  shift
  if [ "$(nproc --all)" -gt "$cpu" ] && command -v taskset >/dev/null; then exec taskset -c "$cpu" "$@"; else exec "$@"; fi
}

free_ports() { # COUNT
  /usr/bin/python3 - "$1" <<'PY'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PY
}

make_certs() {
  local names=DNS:localhost,DNS:oauth2.googleapis.com,DNS:us-central1-aiplatform.googleapis.com,DNS:us-east4-aiplatform.googleapis.com
  local new=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2)
  "${new[@]}" -subj /CN=bench-ca -keyout "$WORK/ca.key" -out "$WORK/ca.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$WORK/leaf.key" \
    -out "$WORK/leaf.csr" 2>/dev/null
  openssl x509 -req -in "$WORK/leaf.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" -days 2 -out "$WORK/leaf.pem" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names") 2>/dev/null
}

bench_begin() {
  local line
  unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY CREDSWAP_CONFIG
  [ -x "$TOOLS/bench_load" ] || die "no $TOOLS/bench_load: ./deploy.sh bench builds it"
  ulimit -n "$(ulimit -Hn)"
  WORK=$(mktemp -d /tmp/credswap-bench.XXXXXX)
  cp "$TOOLS/bench_load" "$TOOLS/bench_origin" "$WORK/"
  make_certs
  read -r ORIGIN_PORT TUNNEL_PORT H2_ORIGIN_PORT <<<"$(free_ports 3)"
  mkfifo "$WORK/origin.out"
  (pinned "$LOAD_CPU" "$WORK/bench_origin" "$WORK/leaf.pem" "$WORK/leaf.key" "$ORIGIN_PORT" "$TUNNEL_PORT" \
    "$H2_ORIGIN_PORT/h2") \
    >"$WORK/origin.out" &
  ORIGIN_PID=$!
  read -r -t 10 line <"$WORK/origin.out" || die "the origin did not start"
  mkdir -p bench/results
}

describe_machine() {
  printf '# %s, %s CPUs, Linux %s, %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc --all)" \
    "$(uname -r)" "$(openssl version)"
  printf '# load average %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
}

declare -A PORTS=() SPARES=() H2_PORTS=()

peer_select() { # PEER: what the other functions work on
  PEER_DIRECT=false PEER_HOST=localhost PEER_PATH=/bench
  PEER_MODES="keepalive single fresh resume down up sse idle tunnel-down tunnel-fresh"
  PEER_H2_HOST=localhost PEER_H2_PATH=/bench
  PEER=$1 PORT=${PORTS[$1]} SPARE_PORT=${SPARES[$1]} H2_PORT=${H2_PORTS[$1]}
  # shellcheck source=/dev/null
  . "bench/peers/$1.sh"
}

peer_prepare() {
  [ -f "bench/peers/$1.sh" ] || die "no peer $1"
  read -r "PORTS[$1]" "SPARES[$1]" "H2_PORTS[$1]" <<<"$(free_ports 3)"
  peer_select "$1"
  if ! peer_have; then
    note "$1 is not installed: left out"
    return 1
  fi
  peer_setup
}

start_pinned() {
  (pinned "$PROXY_CPU" "$@") >>"$WORK/$PEER.out" 2>&1 &
  PEER_PID=$!
}

peer_up() {
  local try
  peer_start
  for ((try = 0; try < 100; try++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
      sleep 0.3
      return 0
    fi
    kill -0 "$PEER_PID" 2>/dev/null || break
    sleep 0.1
  done
  note "$PEER did not start: $(tail -n 5 "$WORK/$PEER.out")"
  return 1
}

peer_down() {
  end_process "$PEER_PID"
  PEER_PID=
}

# MODE: prints the arguments of the load, one a line.
load_args() {
  local kind=$1 host=$PEER_HOST path=$PEER_PATH port=443 dial=$PORT
  case $PEER_HOST in localhost) port=$ORIGIN_PORT ;; esac
  case $1 in
  h2-*)
    host=$PEER_H2_HOST path=$PEER_H2_PATH
    case $host in localhost) port=$H2_ORIGIN_PORT ;; esac
    ! $PEER_DIRECT || dial=$H2_PORT
    ;;
  tunnel-*)
    kind=${1#tunnel-} host=localhost port=$TUNNEL_PORT dial=$PORT
    ! $PEER_DIRECT || dial=$SPARE_PORT
    echo -u
    ;;
  esac
  if $PEER_DIRECT; then printf '%s\n' -d -p "$dial"; else printf '%s\n' -x "$dial" -p "$port"; fi
  printf '%s\n' -m "$kind" -H "$host" -f "$path" -t "$TOKEN" -s "$SECONDS_EACH"
}

load() { # MODE [OPTION...]
  local args=()
  mapfile -t args < <(load_args "$1")
  shift
  (pinned "$LOAD_CPU" timeout 120 "$WORK/bench_load" "${args[@]}" "$@")
}

peer_measure() { # MODE: prints the load's line
  local status=0
  peer_up && load "$1" -P "$PEER_PID" || status=1
  [ -z "$PEER_PID" ] || peer_down
  return $status
}
