# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run.sh, which gives and takes the variables
# A forward proxy with CONNECT that intercepts; one helper forges certificates, the header is a constant.
PEER_HOST=localhost
CERTGEN=/usr/lib/squid/security_file_certgen

peer_have() { command -v squid >/dev/null && [ -x $CERTGEN ]; }

peer_setup() {
  local dir=$WORK/squid
  mkdir "$dir"
  cat "$WORK/ca.pem" "$WORK/ca.key" >"$dir/ca.pem"
  $CERTGEN -c -s "$dir/certs" -M 4MB >/dev/null
  echo 127.0.0.1 localhost >"$dir/hosts"
  cat >"$dir/squid.conf" <<CONF
http_port 127.0.0.1:$PORT ssl-bump tls-cert=$dir/ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program $CERTGEN -s $dir/certs -M 4MB
sslcrtd_children 1 startup=1 idle=1
acl here src 127.0.0.0/8
acl tunnelled port $TUNNEL_PORT
http_access allow here
ssl_bump splice tunnelled
ssl_bump bump all
request_header_access Authorization deny all
request_header_replace Authorization Bearer $REAL
tls_outgoing_options flags=DONT_VERIFY_PEER
sslproxy_cert_error allow all
server_pconn_for_nonretriable allow all
cache deny all
cache_mem 8 MB
access_log none
cache_store_log none
cache_log $dir/log
pid_filename $dir/pid
hosts_file $dir/hosts
netdb_filename none
coredump_dir $dir
visible_hostname bench
pinger_enable off
max_filedescriptors 16000
read_timeout 300 seconds
shutdown_lifetime 0 seconds
via off
forwarded_for delete
CONF
  if [ "$(id -u)" = 0 ]; then # it changes to this user by itself
    chmod 711 "$WORK"
    chown -R proxy "$dir"
  fi
}

peer_start() { start_pinned squid -N -f "$WORK/squid/squid.conf"; }
