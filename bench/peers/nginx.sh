# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run.sh, which gives and takes the variables
# A reverse proxy: no CONNECT, no choice of an account; the header is a constant. It streams, as any
# proxy of event streams must.
PEER_DIRECT=true
PEER_MODES="keepalive single fresh resume down up sse idle"

peer_have() { command -v nginx >/dev/null; }

peer_setup() {
  local dir=$WORK/nginx kind temp=
  mkdir "$dir"
  for kind in client_body proxy fastcgi uwsgi scgi; do temp+="  ${kind}_temp_path $dir/$kind;"$'\n'; done
  cat >"$dir/nginx.conf" <<CONF
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid $dir/pid;
error_log $dir/log error;
events { worker_connections 16000; }
http {
$temp
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  upstream provider {
    server 127.0.0.1:$ORIGIN_PORT;
    keepalive 256;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:$PORT ssl backlog=4096;
    ssl_certificate $WORK/leaf.pem;
    ssl_certificate_key $WORK/leaf.key;
    ssl_protocols TLSv1.3;
    location / {
      proxy_pass https://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer $REAL";
      proxy_ssl_server_name on;
      proxy_ssl_name localhost;
      proxy_ssl_protocols TLSv1.3;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_buffer_size 16k;
      proxy_buffers 8 16k;
      proxy_busy_buffers_size 32k;
      proxy_read_timeout 300s;
    }
  }
}
CONF
}

peer_start() { start_pinned nginx -p "$WORK/nginx" -e "$WORK/nginx/log" -c "$WORK/nginx/nginx.conf"; }
