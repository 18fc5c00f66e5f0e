# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run.sh, which gives and takes the variables
# The whole product: placeholder to account, token from the cache, access log. BUILD names the build.
PEER_HOST=us-central1-aiplatform.googleapis.com
PEER_PATH=/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:generateContent
# The provider that offers HTTP/2 has a name of its own, so that one daemon does both.
PEER_H2_HOST=us-east4-aiplatform.googleapis.com
PEER_H2_PATH=/v1/projects/p/locations/us-east4/publishers/google/models/gemini-2.5-pro:generateContent
PEER_MODES+=" h2-32 h2-1 h2-single h2-sse h2-down h2-up"
PEER_WORKERS=${BENCH_WORKERS:-1}

peer_have() { [ -x "$BUILD/credswapd" ] && [ -x "$BUILD/credswap" ]; }

peer_setup() {
  local dir=$WORK/$PEER ca
  mkdir -m 700 "$dir"
  cp "$BUILD/credswapd" "$BUILD/credswap" "$dir/" # a rebuild in between changes nothing
  cat >"$dir/credswap.conf" <<CONF
listen {
  proxy = {"127.0.0.1:$PORT"}
  admin = ""
  socket = "$dir/credswap.sock"
}
run {
  workers = $PEER_WORKERS
  drain_timeout = 1
}
store {
  url = "sqlite:$dir/credswap.db"
  master_key_file = "$dir/master.key"
}
ca {
  cert = "$dir/ca.pem"
  key = "$dir/ca.key"
}
upstream {
  ca_file = "$WORK/ca.pem"
  connect_to = {"$PEER_HOST:443:127.0.0.1:$ORIGIN_PORT", "oauth2.googleapis.com:443:127.0.0.1:$ORIGIN_PORT",
    "$PEER_H2_HOST:443:127.0.0.1:$H2_ORIGIN_PORT",
    "localhost:$TUNNEL_PORT:127.0.0.1:$TUNNEL_PORT"}
}
policy { ports = {443, $TUNNEL_PORT} }
limits { connections_per_client = 20000 }
log { file = "$dir/log" }
CONF
  (umask 077 && head -c 32 /dev/urandom >"$dir/master.key")
  service_account >"$dir/sa.json"
  ca=("$dir/credswap" --no-input --config "$dir/credswap.conf")
  {
    "${ca[@]}" ca init
    "${ca[@]}" account add "$dir/sa.json" --name bench --pool gemini --weight 1
    printf %s "$TOKEN" | "${ca[@]}" client add bench --service gemini --token -
    "${ca[@]}" host set localhost tunnel
  } >"$dir/setup.log" 2>&1 || cat "$dir/setup.log" >&2
}

service_account() {
  local key
  key=$(openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null | awk '{printf "%s\\n", $0}')
  printf '{"type":"service_account","project_id":"p","private_key_id":"k1","private_key":"%s","client_email":"%s",' \
    "$key" bench@p.iam.gserviceaccount.com
  printf '"client_id":"1","token_uri":"https://oauth2.googleapis.com/token"}\n'
}

peer_start() {
  start_pinned "$WORK/$PEER/credswapd" --config "$WORK/$PEER/credswap.conf"
}
