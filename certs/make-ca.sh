#!/usr/bin/env bash
# Makes the same CA as `credswap ca init`, with nothing but OpenSSL: for offline key ceremonies and for audits.
set -euo pipefail

usage() {
    cat <<'TXT'
usage: certs/make-ca.sh [--cert FILE] [--key FILE] [--host NAME] [--days N] [DOMAIN|ADDRESS ...]
Makes a P-256 CA that can sign for the DOMAINs (and all below them) and ADDRESSes only.
Defaults: --cert certs/ca.pem --key data/run/ca.key --days 1825, domains googleapis.com anthropic.com
Existing files are never overwritten. The domains must cover policy.swap_domains of the configuration.
TXT
}

cert=certs/ca.pem key=data/run/ca.key host="" days=1825
while [ $# -gt 0 ]; do
    case $1 in
    --cert) cert=${2:?--cert needs a file}; shift 2 ;;
    --key) key=${2:?--key needs a file}; shift 2 ;;
    --host) host=${2:?--host needs a name}; shift 2 ;;
    --days) days=${2:?--days needs a number}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    -*) usage >&2; exit 64 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- googleapis.com anthropic.com

refuse() {
    printf 'make-ca.sh: %s\n' "$2" >&2
    exit "$1"
}
case $days in '' | *[!0-9]*) refuse 64 "--days takes a number" ;; esac
{ [ "$days" -ge 1825 ] && [ "$days" -le 3660 ]; } || refuse 64 "a CA lives 5 to 10 years: --days 1825 to 3660"
case $host in *[!a-z0-9.-]*) refuse 64 "--host takes a lower-case name" ;; esac
for f in "$cert" "$key"; do
    [ ! -e "$f" ] || refuse 73 "$f exists already and is not overwritten"
done

constraints=critical has_v4="" has_v6=""
for name in "$@"; do
    case $name in
    '' | *[!a-z0-9.:-]* | .* | *. | *..*) refuse 64 "'$name' is neither a lower-case domain name nor an address" ;;
    *:*) constraints+=",permitted;IP:$name/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" has_v6=1 ;;
    *[!0-9.]*) constraints+=",permitted;DNS:$name" ;;
    *) constraints+=",permitted;IP:$name/255.255.255.255" has_v4=1 ;;
    esac
done
# A constraint on names says nothing about addresses, so these are excluded by name.
[ -n "$has_v4" ] || constraints+=",excluded;IP:0.0.0.0/0.0.0.0"
[ -n "$has_v6" ] || constraints+=",excluded;IP:::/::"

umask 077
work=$(mktemp -d "$(dirname "$key")/.make-ca.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/conf" <<CONF
[req]
distinguished_name = dn
x509_extensions = ca
prompt = no
string_mask = nombstr
[dn]
O = credswap
CN = credswap CA${host:+ on $host}
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
nameConstraints = $constraints
CONF
openssl req -x509 -new -config "$work/conf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$days" \
    -set_serial "0x4$(openssl rand -hex 16 | cut -c2-)" -keyout "$work/key" -out "$work/cert" 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
chmod 600 "$work/key"
chmod 644 "$work/cert"
ln "$work/key" "$key" || refuse 73 "cannot write $key" # ln: fails where a file is, unlike mv
if ! cp -np "$work/cert" "$cert" || ! cmp -s "$work/cert" "$cert"; then
    rm -f "$key"
    refuse 73 "cannot write $cert"
fi
printf 'CA certificate %s\nCA key         %s (keep it to yourself)\nSHA-256        %s\n' "$cert" "$key" \
    "$(openssl x509 -in "$cert" -noout -fingerprint -sha256 | cut -d= -f2)"
