# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run.sh, which gives and takes the variables
# A reverse proxy with the header as a constant; its tunnel is mode tcp: no CONNECT either.
PEER_DIRECT=true
PEER_MODES="keepalive single fresh resume down up sse idle tunnel-down tunnel-fresh h2-32 h2-1 h2-single h2-sse h2-down h2-up"

peer_have() { command -v haproxy >/dev/null; }

peer_setup() {
  mkdir "$WORK/haproxy"
  cat "$WORK/leaf.pem" "$WORK/leaf.key" >"$WORK/haproxy/both.pem"
  cat >"$WORK/haproxy/haproxy.cfg" <<CONF
global
  nbthread 1
  maxconn 7000
  ssl-server-verify none
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  option http-no-delay
  http-reuse always
frontend proxy
  bind 127.0.0.1:$PORT ssl crt $WORK/haproxy/both.pem ssl-min-ver TLSv1.3 alpn http/1.1 backlog 4096
  http-request set-header Authorization "Bearer $REAL"
  default_backend provider
backend provider
  server one 127.0.0.1:$ORIGIN_PORT ssl sni str(localhost) pool-max-conn 1000
frontend proxy2
  bind 127.0.0.1:$H2_PORT ssl crt $WORK/haproxy/both.pem ssl-min-ver TLSv1.3 alpn h2 backlog 4096
  http-request set-header Authorization "Bearer $REAL"
  default_backend provider2
backend provider2
  server one 127.0.0.1:$H2_ORIGIN_PORT ssl sni str(localhost) alpn h2 pool-max-conn 1000
listen tunnel
  mode tcp
  option splice-auto
  bind 127.0.0.1:$SPARE_PORT backlog 4096
  server one 127.0.0.1:$TUNNEL_PORT
CONF
}

peer_start() { start_pinned haproxy -db -f "$WORK/haproxy/haproxy.cfg"; }
