# credswap @VERSION@: sends programs of this shell through the proxy @PROXY@ and lets them trust its CA.
# Use it with:  source env.fish       Undo it with:  the file that @PROXY@/env.fish?off gives
# The bundle is what this machine trusts already (its own store, or the files that CA variables named
# before; `base` remembers them) plus the CA below.
set -g __credswap_pem '@PEM@'
set -g __credswap_to '@PROXY@'

function __credswap_set -a name value ours
    if set -q $name
        if not set -q _CREDSWAP_PROXY; or test "$$name" != "$ours"
            set -gx _CREDSWAP_OLD_$name "$$name"
        end
    end
    set -gx $name $value
end

function __credswap_before -a name
    set -g __credswap_was ''
    set -q $name; and set -g __credswap_was "$$name"
    if set -q _CREDSWAP_PROXY
        if contains -- "$__credswap_was" "$_CREDSWAP_PROXY" "$_CREDSWAP_BUNDLE" "$_CREDSWAP_NO_PROXY"
            set -l old _CREDSWAP_OLD_$name
            set -g __credswap_was ''
            set -q $old; and set -g __credswap_was "$$old"
        end
    end
end

function __credswap_take -a kind file
    if test -n "$file" -a "$file" != "$__credswap_bundle"; and test -f "$file" -a -r "$file"
        contains -- "$kind $file" $__credswap_base; or set -g -a __credswap_base "$kind $file"
    end
end

function __credswap_write_bundle
    if not string match -q 'base *' -- $__credswap_base
        set -l found
        if test (command uname -s) = Darwin
            command security find-certificate -a -p /System/Library/Keychains/SystemRootCertificates.keychain /Library/Keychains/System.keychain
            and set found yes
        end
        for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem /usr/local/share/certs/ca-root-nss.crt
            if test -z "$found" -a -r $file -a -s $file
                command cat $file
                set found yes
            end
        end
        test -n "$found"; or echo 'credswap: no system trust store found; only the hosts that the proxy intercepts will verify' >&2
    end
    for entry in $__credswap_base
        command cat (string replace -r '^\S+ ' '' -- $entry); and echo
    end
    printf '%s\n' $__credswap_pem
end

function __credswap_on
    set -l dir
    if set -q XDG_CONFIG_HOME; and test -n "$XDG_CONFIG_HOME"
        set dir $XDG_CONFIG_HOME/credswap
    else if set -q HOME; and test -n "$HOME"
        set dir $HOME/.config/credswap
    else
        echo 'credswap: set HOME or XDG_CONFIG_HOME first: the CA bundle needs a place' >&2
        return 1
    end
    set -g __credswap_bundle $dir/bundle.pem
    set -g __credswap_base
    command mkdir -p $dir; or return 1
    for name in @BASE_VARS@
        __credswap_before $name
        __credswap_take base $__credswap_was
    end
    for name in @EXTRA_VARS@
        __credswap_before $name
        __credswap_take extra $__credswap_was
    end
    if test -r $dir/base
        while read -l line
            test -n "$line"; and __credswap_take (string split -m 1 ' ' -- $line)
        end <$dir/base
    end
    printf '%s\n' $__credswap_pem >$dir/ca.pem; or return 1
    printf '%s\n' $__credswap_base >$dir/base; or return 1
    __credswap_write_bundle >$__credswap_bundle.$fish_pid; or return 1
    command mv -f $__credswap_bundle.$fish_pid $__credswap_bundle; or return 1

    set -l direct
    for name in no_proxy NO_PROXY
        __credswap_before $name
        for host in (string split -n , -- "$__credswap_was") localhost 127.0.0.1 ::1
            contains -- $host $direct; or set -a direct $host
        end
    end
    set direct (string join , $direct)
    if string match -q -r 'googleapis\.com|anthropic\.com' -- $direct
        echo "credswap: no_proxy ($direct) keeps API hosts away from the proxy" >&2
    end
    for name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY
        __credswap_set $name $__credswap_to "$_CREDSWAP_PROXY"
    end
    for name in no_proxy NO_PROXY
        __credswap_set $name $direct "$_CREDSWAP_NO_PROXY"
    end
    __credswap_set NODE_USE_ENV_PROXY 1 1
    for name in @BASE_VARS@ @EXTRA_VARS@
        __credswap_set $name $__credswap_bundle "$_CREDSWAP_BUNDLE"
    end
    set -gx _CREDSWAP_PROXY $__credswap_to
    set -gx _CREDSWAP_NO_PROXY $direct
    set -gx _CREDSWAP_BUNDLE $__credswap_bundle
    if isatty stderr
        echo "credswap: this shell now uses $__credswap_to" >&2
    end
    return 0
end

__credswap_on
set -l __credswap_result $status
functions -e __credswap_set __credswap_before __credswap_take __credswap_write_bundle __credswap_on
set -e __credswap_pem __credswap_to __credswap_was __credswap_bundle __credswap_base
test $__credswap_result -eq 0
