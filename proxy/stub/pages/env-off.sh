# credswap @VERSION@: takes back what env.sh exported and restores the former values. Use it with:  . ./FILE
# A variable that you changed since then is left alone.

# NAME OURS: gives NAME its former value back if it still has ours.
_credswap_restore() {
    eval "_credswap_was=\${$1-} _credswap_kept=\${_CREDSWAP_OLD_$1+y}"
    if [ "$_credswap_was" = "$2" ]; then
        if [ -n "$_credswap_kept" ]; then
            eval "export $1=\"\$_CREDSWAP_OLD_$1\""
        else
            unset "$1"
        fi
    fi
    unset "_CREDSWAP_OLD_$1"
}

if [ -n "${_CREDSWAP_PROXY-}" ]; then
    for _credswap_name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY; do
        _credswap_restore "$_credswap_name" "$_CREDSWAP_PROXY"
    done
    for _credswap_name in no_proxy NO_PROXY; do
        _credswap_restore "$_credswap_name" "${_CREDSWAP_NO_PROXY-}"
    done
    _credswap_restore NODE_USE_ENV_PROXY 1
    for _credswap_name in @BASE_VARS@ @EXTRA_VARS@; do
        _credswap_restore "$_credswap_name" "${_CREDSWAP_BUNDLE-}"
    done
    if [ -n "${_CREDSWAP_BUNDLE-}" ]; then
        command rm -f "${_CREDSWAP_BUNDLE%/*}/base"
    fi
fi
unset _CREDSWAP_PROXY _CREDSWAP_NO_PROXY _CREDSWAP_BUNDLE _credswap_was _credswap_kept _credswap_name
unset -f _credswap_restore
