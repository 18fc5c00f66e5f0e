# credswap @VERSION@: takes back what env.fish exported and restores the former values.
# A variable that you changed since then is left alone.
function __credswap_restore -a name ours
    set -l old _CREDSWAP_OLD_$name
    if set -q $name; and test "$$name" = "$ours"
        if set -q $old
            set -gx $name "$$old"
        else
            set -e $name
        end
    end
    set -e $old
end

if set -q _CREDSWAP_PROXY
    for name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY
        __credswap_restore $name $_CREDSWAP_PROXY
    end
    for name in no_proxy NO_PROXY
        __credswap_restore $name "$_CREDSWAP_NO_PROXY"
    end
    __credswap_restore NODE_USE_ENV_PROXY 1
    for name in @BASE_VARS@ @EXTRA_VARS@
        __credswap_restore $name "$_CREDSWAP_BUNDLE"
    end
    command rm -f (string replace -r '[^/]*$' '' -- "$_CREDSWAP_BUNDLE")base
end
set -e _CREDSWAP_PROXY _CREDSWAP_NO_PROXY _CREDSWAP_BUNDLE
functions -e __credswap_restore
