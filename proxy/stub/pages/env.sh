# credswap @VERSION@: sends programs of this shell through the proxy @PROXY@ and lets them trust its CA.
# Use it with:  . ./env.sh       Undo it with:  . the file that @PROXY@/env.sh?off gives
# On disk it writes only ca.pem, bundle.pem and base into ${XDG_CONFIG_HOME:-~/.config}/credswap.
# The bundle is what this machine trusts already (its own store, or the files that CA variables named
# before; `base` remembers them) plus the CA below.
_credswap_pem='@PEM@'
_credswap_to='@PROXY@'

# NAME VALUE OURS: exports NAME=VALUE; a former value other than OURS is kept for ?off.
_credswap_set() {
    eval "_credswap_had=\${$1+y} _credswap_was=\${$1-}"
    if [ -n "$_credswap_had" ]; then
        if [ -z "${_CREDSWAP_PROXY-}" ] || [ "$_credswap_was" != "$3" ]; then
            eval "export _CREDSWAP_OLD_$1=\"\$_credswap_was\""
        fi
    fi
    eval "export $1=\"\$2\""
}

# NAME: the value that NAME had before us, into _credswap_was.
_credswap_before() {
    eval "_credswap_was=\${$1-}"
    if [ -n "${_CREDSWAP_PROXY-}" ]; then
        case $_credswap_was in
        "$_CREDSWAP_PROXY" | "${_CREDSWAP_BUNDLE-}" | "${_CREDSWAP_NO_PROXY-}")
            eval "_credswap_was=\${_CREDSWAP_OLD_$1-}"
            ;;
        esac
    fi
}

# KIND FILE: adds a file to the list that the bundle is made of, once.
_credswap_take() {
    if [ -z "$2" ] || [ "$2" = "$_credswap_bundle" ] || [ ! -f "$2" ] || [ ! -r "$2" ]; then
        return 0
    fi
    case "
$_credswap_base
" in
    *"
$1 $2
"*) ;;
    *) _credswap_base="$_credswap_base
$1 $2" ;;
    esac
}

_credswap_system_store() {
    if [ "$(command uname -s)" = Darwin ]; then
        command security find-certificate -a -p \
            /System/Library/Keychains/SystemRootCertificates.keychain \
            /Library/Keychains/System.keychain && return 0
    fi
    for _credswap_file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
        /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/ca-bundle.pem \
        /etc/ssl/cert.pem /usr/local/share/certs/ca-root-nss.crt; do
        if [ -r "$_credswap_file" ] && [ -s "$_credswap_file" ]; then
            command cat "$_credswap_file"
            return
        fi
    done
    printf '%s\n' 'credswap: no system trust store found; only the hosts that the proxy intercepts will verify' >&2
}

_credswap_write_bundle() {
    case $_credswap_base in
    *"
base "*) ;;
    *) _credswap_system_store ;;
    esac
    while IFS= read -r _credswap_line; do
        if [ -n "$_credswap_line" ]; then
            command cat "${_credswap_line#* }" && printf '\n'
        fi
    done <<CREDSWAP_LIST
$_credswap_base
CREDSWAP_LIST
    printf '%s\n' "$_credswap_pem"
}

_credswap_on() {
    _credswap_dir=${XDG_CONFIG_HOME:-${HOME:+$HOME/.config}}
    _credswap_dir=${_credswap_dir:-${RUNNER_TEMP-}}
    if [ -z "$_credswap_dir" ]; then
        printf '%s\n' 'credswap: set HOME or XDG_CONFIG_HOME first: the CA bundle needs a place' >&2
        return 1
    fi
    _credswap_dir=$_credswap_dir/credswap
    _credswap_bundle=$_credswap_dir/bundle.pem
    command mkdir -p "$_credswap_dir" || return 1

    _credswap_base=
    for _credswap_name in @BASE_VARS@; do
        _credswap_before "$_credswap_name"
        _credswap_take base "$_credswap_was"
    done
    for _credswap_name in @EXTRA_VARS@; do
        _credswap_before "$_credswap_name"
        _credswap_take extra "$_credswap_was"
    done
    if [ -r "$_credswap_dir/base" ]; then
        while IFS= read -r _credswap_line; do
            _credswap_take "${_credswap_line%% *}" "${_credswap_line#* }"
        done <"$_credswap_dir/base"
    fi
    printf '%s\n' "$_credswap_pem" >|"$_credswap_dir/ca.pem" || return 1
    printf '%s\n' "$_credswap_base" >|"$_credswap_dir/base" || return 1
    _credswap_write_bundle >|"$_credswap_bundle.$$" || return 1
    command mv -f "$_credswap_bundle.$$" "$_credswap_bundle" || return 1

    _credswap_before no_proxy
    _credswap_direct=$_credswap_was
    _credswap_before NO_PROXY
    if [ -n "$_credswap_was" ] && [ "$_credswap_was" != "$_credswap_direct" ]; then
        _credswap_direct=${_credswap_direct:+$_credswap_direct,}$_credswap_was
    fi
    for _credswap_name in localhost 127.0.0.1 ::1; do
        case ",$_credswap_direct," in
        *",$_credswap_name,"*) ;;
        *) _credswap_direct=${_credswap_direct:+$_credswap_direct,}$_credswap_name ;;
        esac
    done
    case $_credswap_direct in
    *googleapis.com* | *anthropic.com*)
        printf '%s\n' "credswap: no_proxy ($_credswap_direct) keeps API hosts away from the proxy" >&2
        ;;
    esac

    for _credswap_name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY; do
        _credswap_set "$_credswap_name" "$_credswap_to" "${_CREDSWAP_PROXY-}"
    done
    for _credswap_name in no_proxy NO_PROXY; do
        _credswap_set "$_credswap_name" "$_credswap_direct" "${_CREDSWAP_NO_PROXY-}"
    done
    _credswap_set NODE_USE_ENV_PROXY 1 1
    for _credswap_name in @BASE_VARS@ @EXTRA_VARS@; do
        _credswap_set "$_credswap_name" "$_credswap_bundle" "${_CREDSWAP_BUNDLE-}"
    done
    export _CREDSWAP_PROXY="$_credswap_to" _CREDSWAP_NO_PROXY="$_credswap_direct" _CREDSWAP_BUNDLE="$_credswap_bundle"
    if [ -t 2 ]; then
        printf '%s\n' "credswap: this shell now uses $_credswap_to" >&2
    fi
}

_credswap_forget() {
    unset -f _credswap_set _credswap_before _credswap_take _credswap_system_store \
        _credswap_write_bundle _credswap_on _credswap_forget
    unset _credswap_pem _credswap_to _credswap_had _credswap_was _credswap_base _credswap_file \
        _credswap_line _credswap_dir _credswap_bundle _credswap_name _credswap_direct
}

if _credswap_on; then
    _credswap_forget
else
    _credswap_forget
    false
fi
