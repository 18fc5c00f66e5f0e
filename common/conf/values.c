/* Checks of configured strings. They run before any thread starts, on text that its owner wrote, so
 * they are plain rather than fast. */
#include "conf/values.h"

#include "conf/address.h"

#include <unistd.h>

static bool refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

/* Letters, digits, inner hyphens, dots between labels: what can stand in a certificate. */
static bool is_host_name(struct slice s)
{
    struct slice label;
    if (s.n == 0 || s.n > 253)
        return false;
    while (slice_next(&s, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++) {
            char c = ascii_lower(label.p[i]);
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
                return false;
        }
    }
    return true;
}

/* The last label decides: a name never ends in a number, so 127.1 and 0x7f000001 are not taken for
 * names. */
static bool ends_in_number(struct slice s)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '.')
        at--;
    struct slice last = slice_sub(s, at, s.n);
    return last.n && last.p[0] >= '0' && last.p[0] <= '9';
}

static bool is_host(struct slice s)
{
    struct cidr ip;
    return address_ip(s, &ip) || (is_host_name(s) && !ends_in_number(s));
}

static bool is_host_port(struct slice v, bool zero_ok)
{
    struct slice host, port;
    uint16_t n;
    return address_split(v, &host, &port) && is_host(host) && address_port(port, &n) &&
           (n > 0 || zero_ok);
}

bool check_listen(struct slice v, const char **ret_why)
{
    /* Port 0 lets the system choose: tests start several daemons side by side. */
    return is_host_port(v, true) ||
           refuse(ret_why, "must be \"ADDRESS:PORT\", as \"127.0.0.1:3128\" or \"[::]:3128\"");
}

bool check_listen_or_empty(struct slice v, const char **ret_why)
{
    return v.n == 0 || check_listen(v, ret_why);
}

bool check_advertise(struct slice v, const char **ret_why)
{
    return v.n == 0 || is_host_port(v, false) || refuse(ret_why, "must be \"HOST:PORT\"");
}

bool check_not_empty(struct slice v, const char **ret_why)
{
    return v.n > 0 || refuse(ret_why, "must not be empty");
}

bool check_store_url(struct slice v, const char **ret_why)
{
    if (!slice_starts(v, SLICE("sqlite:")))
        return refuse(ret_why, "must begin with \"sqlite:\", the only store there is");
    return v.n > 7 || refuse(ret_why, "names no file after \"sqlite:\"");
}

bool check_ca_file(struct slice v, const char **ret_why)
{
    char path[4096];
    if (v.n == 0)
        return true;
    if (!slice_copy(v, path, sizeof path))
        return refuse(ret_why, "is too long");
    return access(path, R_OK) == 0 || refuse(ret_why, "names a file that is missing or unreadable");
}

static const char connect_to_form[] =
    "must be \"HOST:PORT:DIALHOST:DIALPORT\" (IPv6 in brackets, a leading * in HOST)";

bool check_connect_to(struct slice v, const char **ret_why)
{
    struct slice part[4];
    uint16_t port;
    if (!address_connect_to(v, part))
        return refuse(ret_why, connect_to_form);
    struct slice host = part[0];
    if (host.n && host.p[0] == '*')
        host =
            slice_sub(host, host.n > 1 && (host.p[1] == '.' || host.p[1] == '-') ? 2 : 1, host.n);
    if (host.n && !is_host(host))
        return refuse(ret_why, connect_to_form);
    if (part[1].n && (!address_port(part[1], &port) || port == 0))
        return refuse(ret_why, "has a bad PORT");
    if (part[2].n && !is_host(part[2]))
        return refuse(ret_why, "has a bad DIALHOST");
    if (part[3].n && (!address_port(part[3], &port) || port == 0))
        return refuse(ret_why, "has a bad DIALPORT");
    if (part[2].n == 0 && (host.n == 0 || part[0].p[0] == '*'))
        return refuse(ret_why, "may leave DIALHOST empty for one whole HOST only");
    if (part[3].n == 0 && part[1].n == 0)
        return refuse(ret_why, "may leave DIALPORT empty only where PORT is given");
    return part[2].n || part[3].n || refuse(ret_why, "changes neither host nor port");
}

bool check_dns(struct slice v, const char **ret_why)
{
    struct slice host, port;
    struct cidr ip;
    uint16_t n;
    if (address_ip(v, &ip) || (address_split(v, &host, &port) && address_ip(host, &ip) &&
                               address_port(port, &n) && n > 0))
        return true;
    return refuse(ret_why, "must be the address of a name server, with or without \":PORT\"");
}

bool parent_proxy_split(struct slice v, struct slice *ret_userinfo, struct slice *ret_host_port)
{
    if (!slice_starts(v, SLICE("http://")))
        return false;
    v = slice_sub(v, 7, v.n);
    size_t at = v.n;
    while (at > 0 && v.p[at - 1] != '@')
        at--;
    *ret_userinfo = slice_sub(v, 0, at ? at - 1 : 0);
    *ret_host_port = slice_sub(v, at, v.n);
    if (ret_host_port->n && ret_host_port->p[ret_host_port->n - 1] == '/')
        ret_host_port->n--;
    return true;
}

bool check_parent_proxy(struct slice v, const char **ret_why)
{
    struct slice userinfo, host_port;
    if (v.n == 0)
        return true;
    if (parent_proxy_split(v, &userinfo, &host_port) && is_host_port(host_port, false))
        return true;
    return refuse(ret_why, "must be \"http://[user:pass@]host:port\"");
}

bool check_token_uri(struct slice v, const char **ret_why)
{
    if (!slice_starts(v, SLICE("https://")))
        return refuse(ret_why, "must begin with \"https://\"");
    size_t end = slice_find(v, '/', 8);
    struct slice authority = slice_sub(v, 8, end);
    if (!is_host(authority) && !is_host_port(authority, false))
        return refuse(ret_why, "has no valid host");
    for (size_t i = end; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] > '~' || v.p[i] == '#')
            return refuse(ret_why, "has a character that no URL has");
    return true;
}

bool check_clients(struct slice v, const char **ret_why)
{
    struct cidr c;
    return slice_eq(v, SLICE("private")) || slice_eq(v, SLICE("any")) || address_cidr(v, &c) ||
           refuse(ret_why, "must be \"private\", \"any\" or a network as \"10.0.0.0/8\"");
}

static bool one_of(struct slice v, const char *const *words)
{
    for (; *words; words++)
        if (slice_eq(v, slice_of(*words)))
            return true;
    return false;
}

bool check_tunnel(struct slice v, const char **ret_why)
{
    static const char *const words[] = {"", "allow", "list", "deny", NULL};
    return one_of(v, words) || refuse(ret_why, "must be \"allow\", \"list\", \"deny\" or empty");
}

bool check_swap_domain(struct slice v, const char **ret_why)
{
    if (!is_host_name(v) || ends_in_number(v))
        return refuse(ret_why, "must be a domain name, without * and without a leading dot");
    /* "com" would let a real token leave to half of the internet. */
    return slice_find(v, '.', 0) < v.n || refuse(ret_why, "must have at least two labels");
}

bool check_deny_network(struct slice v, const char **ret_why)
{
    struct cidr c;
    return slice_eq(v, SLICE("private")) || address_cidr(v, &c) ||
           refuse(ret_why, "must be \"private\" or a network as \"10.0.0.0/8\"");
}

bool check_allow_network(struct slice v, const char **ret_why)
{
    struct cidr c;
    return address_cidr(v, &c) || refuse(ret_why, "must be a network as \"10.0.0.0/8\"");
}

bool check_proxy_auth(struct slice v, const char **ret_why)
{
    static const char *const words[] = {"off", "optional", "required", NULL};
    return one_of(v, words) || refuse(ret_why, "must be \"off\", \"optional\" or \"required\"");
}

bool check_level(struct slice v, const char **ret_why)
{
    static const char *const words[] = {"error", "warn", "info", "debug", "trace", NULL};
    return one_of(v, words) ||
           refuse(ret_why, "must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\"");
}

bool check_format(struct slice v, const char **ret_why)
{
    static const char *const words[] = {"json", "logfmt", NULL};
    return one_of(v, words) || refuse(ret_why, "must be \"json\" or \"logfmt\"");
}
