#!/bin/bash
# env_check.sh DIR: runs the scripts that pages_test wrote into DIR in each shell that is installed.
# Prints a line for each broken promise; exit 0 only if there was none.
set -u
dir=$1
failed=0
shells='dash bash zsh busybox:sh ksh'
ca_vars='SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT AWS_CA_BUNDLE
HTTPLIB2_CA_CERTS CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE GRPC_DEFAULT_SSL_ROOTS_FILE_PATH
CARGO_HTTP_CAINFO NIX_SSL_CERT_FILE NODE_EXTRA_CA_CERTS DENO_CERT'
system=/etc/ssl/certs/ca-certificates.crt

fail() {
  printf 'env_check: %s\n' "$*" >&2
  failed=1
}
certificates() { grep -c 'BEGIN CERTIFICATE' "$1" 2>/dev/null || true; }

# SHELL WHAT SCRIPT [NAME=VALUE ...]: runs SCRIPT in a clean environment and a home of its own; output in $dir/out
in_shell() {
  local shell=$1 what=$2 script=$3
  shift 3
  rm -rf "${dir:?}/home"
  mkdir -p "$dir/home"
  # shellcheck disable=SC2086 # "busybox:sh" is two words
  env -i PATH="$PATH" HOME="$dir/home" D="$dir" "$@" ${shell/:/ } -c "$script" >"$dir/out" 2>"$dir/err" </dev/null ||
    fail "$shell: $what: exit status $?: $(head -c 300 "$dir/err")"
}
expect() { # WHAT LINE: the output has exactly this line
  grep -qxF -- "$2" "$dir/out" || fail "$1: no line \"$2\""
}

# A company's own store: two certificates that stand for it.
for name in one two; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj "/CN=company $name" \
    -days 2 -out "$dir/$name.pem" 2>/dev/null || exit 1
done
cat "$dir/one.pem" "$dir/two.pem" >"$dir/company bundle.pem"

posix_checks() {
  local shell=$1 bundle="$dir/home/.config/credswap/bundle.pem" n name
  n=$(certificates $system)

  # shellcheck disable=SC2016
  in_shell "$shell" 'strict mode' 'set -eu; . "$D/env.sh"; . "$D/env.sh"; env'
  for name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY; do
    expect "$shell: clean" "$name=http://proxy.corp:3128"
  done
  for name in no_proxy NO_PROXY; do
    expect "$shell: clean" "$name=localhost,127.0.0.1,::1"
  done
  expect "$shell: clean" NODE_USE_ENV_PROXY=1
  for name in $ca_vars; do
    expect "$shell: clean" "$name=$bundle"
  done
  [ "$(certificates "$bundle")" = $((n + 1)) ] || fail "$shell: clean: $(certificates "$bundle") certificates, not $n + 1"
  openssl x509 -in "$dir/home/.config/credswap/ca.pem" -noout 2>/dev/null || fail "$shell: ca.pem does not parse"
  grep -q '_OLD_' "$dir/out" && fail "$shell: clean: something was taken for a former value"

  # shellcheck disable=SC2016
  in_shell "$shell" 'noclobber' 'set -C; . "$D/env.sh"; . "$D/env.sh"; set | grep "^_*credswap_[a-z]*=" && exit 1; env'
  expect "$shell: noclobber" "SSL_CERT_FILE=$bundle"

  # A preset company bundle is the base instead of the system store, also the second time and in a child.
  # shellcheck disable=SC2016
  in_shell "$shell" 'company' '. "$D/env.sh"; . "$D/env.sh"; '"${shell/:/ }"' -c ". \"\$D/env.sh\""; env' \
    SSL_CERT_FILE="$dir/company bundle.pem" REQUESTS_CA_BUNDLE="$dir/company bundle.pem" \
    NODE_EXTRA_CA_CERTS="$dir/two.pem" HTTPS_PROXY=http://old.corp:8080 no_proxy=intranet.corp,localhost
  expect "$shell: company" "REQUESTS_CA_BUNDLE=$bundle"
  expect "$shell: company" "HTTPS_PROXY=http://proxy.corp:3128"
  expect "$shell: company" "no_proxy=intranet.corp,localhost,127.0.0.1,::1"
  expect "$shell: company" "NO_PROXY=intranet.corp,localhost,127.0.0.1,::1"
  [ "$(certificates "$bundle")" = 4 ] || fail "$shell: company: $(certificates "$bundle") certificates, not 2 + 1 + 1"

  # Variables that point at our bundle without the memory of this shell (a copied environment) grow nothing.
  # shellcheck disable=SC2016
  in_shell "$shell" 'copied' '. "$D/env.sh"; unset _CREDSWAP_PROXY _CREDSWAP_BUNDLE _CREDSWAP_OLD_SSL_CERT_FILE; . "$D/env.sh"' \
    SSL_CERT_FILE="$dir/company bundle.pem"
  [ "$(certificates "$bundle")" = 3 ] || fail "$shell: copied: $(certificates "$bundle") certificates, not 2 + 1"

  # shellcheck disable=SC2016
  in_shell "$shell" 'off' 'set -eu; . "$D/env.sh"; . "$D/env.sh"; PIP_CERT=/mine; export PIP_CERT; . "$D/off.sh"; . "$D/off.sh"; env' \
    SSL_CERT_FILE="$dir/company bundle.pem" HTTPS_PROXY='http://old "$corp":8080' no_proxy=
  expect "$shell: off" "SSL_CERT_FILE=$dir/company bundle.pem"
  # shellcheck disable=SC2016
  expect "$shell: off" 'HTTPS_PROXY=http://old "$corp":8080'
  expect "$shell: off" "no_proxy="
  expect "$shell: off" "PIP_CERT=/mine"
  grep -Ei '^(https_proxy=http://proxy|http_proxy|CURL_CA|NODE_|NO_PROXY|_CREDSWAP)' "$dir/out" | grep -v '^no_proxy=$' |
    grep -q . && fail "$shell: off: something of ours is left: $(head -c 300 "$dir/out")"
  [ -e "$dir/home/.config/credswap/base" ] && fail "$shell: off: base is left"

  # shellcheck disable=SC2016
  in_shell "$shell" 'gitlab' '. "$D/env.gitlab"; env'
  expect "$shell: gitlab" "GIT_SSL_CAINFO=$bundle"

  # Without a place for the bundle nothing is changed and the status says so.
  # shellcheck disable=SC2016
  in_shell "$shell" 'no home' 'unset HOME; . "$D/env.sh" && exit 3; test -z "${HTTPS_PROXY-}"'
}

github_checks() {
  local bundle="$dir/home/.config/credswap/bundle.pem"
  : >"$dir/github"
  # shellcheck disable=SC2016
  in_shell dash 'github' 'sh "$D/env.github"' GITHUB_ENV="$dir/github" PIP_CERT=/mine
  cp "$dir/github" "$dir/out"
  expect github "HTTPS_PROXY=http://proxy.corp:3128"
  expect github "NODE_EXTRA_CA_CERTS=$bundle"
  expect github "_CREDSWAP_OLD_PIP_CERT=/mine"
  grep -qv '^[A-Za-z_0-9]*=' "$dir/github" && fail "github: a line is not NAME=value"
  mapfile -t lines <"$dir/github"
  # shellcheck disable=SC2016
  in_shell dash 'github off' 'sh "$D/off.github"' "${lines[@]}" GITHUB_ENV="$dir/github"
  tail -n 25 "$dir/github" >"$dir/out"
  expect 'github off' "PIP_CERT=/mine"
  expect 'github off' "HTTPS_PROXY="
}

fish_checks() {
  local bundle="$dir/home/.config/credswap/bundle.pem"
  # shellcheck disable=SC2016
  in_shell fish 'clean' 'source $D/env.fish; source $D/env.fish; env'
  expect 'fish: clean' "https_proxy=http://proxy.corp:3128"
  expect 'fish: clean' "NO_PROXY=localhost,127.0.0.1,::1"
  expect 'fish: clean' "DENO_CERT=$bundle"
  [ "$(certificates "$bundle")" = $(($(certificates $system) + 1)) ] || fail "fish: clean: $(certificates "$bundle") certificates"
  # shellcheck disable=SC2016
  in_shell fish 'company' 'source $D/env.fish; source $D/env.fish; env' \
    SSL_CERT_FILE="$dir/company bundle.pem" NODE_EXTRA_CA_CERTS="$dir/two.pem" no_proxy=intranet.corp
  expect 'fish: company' "no_proxy=intranet.corp,localhost,127.0.0.1,::1"
  [ "$(certificates "$bundle")" = 4 ] || fail "fish: company: $(certificates "$bundle") certificates, not 4"
  # shellcheck disable=SC2016
  in_shell fish 'off' 'source $D/env.fish; source $D/off.fish; env' SSL_CERT_FILE="$dir/company bundle.pem"
  expect 'fish: off' "SSL_CERT_FILE=$dir/company bundle.pem"
  grep -Ei '^(https?_proxy|CURL_CA|NODE_|NO_PROXY|_CREDSWAP)' "$dir/out" && fail 'fish: off: something of ours is left'
}

for shell in $shells; do
  if command -v "${shell%%:*}" >/dev/null; then
    posix_checks "$shell"
  fi
done
github_checks
if command -v fish >/dev/null; then
  fish_checks
fi
exit $failed
