/* Authorities to their one canonical form (T-14): what is compared, looked up, dialled and printed
 * afterwards is this form only, so there is no second spelling that could slip past a rule. */
#include "policy/policy_internal.h"

#include <stdio.h>

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* All digits, or 0x...: inet_aton(3) and its friends would read the name as an IPv4 address (RFC
 * 6943 section 3.1.1). */
static bool is_number_label(struct slice label)
{
    size_t i = 0;
    if (slice_starts(label, SLICE("0x")))
        return true;
    while (i < label.n && label.p[i] >= '0' && label.p[i] <= '9')
        i++;
    return i == label.n;
}

/* Lower-cases HOST into RET; false for anything but a DNS name or a canonical dotted quad. */
static bool take_name(struct slice host, struct authority *ret)
{
    struct slice rest, label = {0};
    struct cidr ip;
    if (host.n && host.p[host.n - 1] == '.') /* "host." is "host": exactly one dot */
        host.n--;
    if (host.n == 0 || host.n > HOST_MAX)
        return false;
    for (size_t i = 0; i < host.n; i++)
        ret->host[i] = ascii_lower(host.p[i]);
    ret->host[host.n] = '\0';
    ret->host_len = host.n;
    rest = authority_host(ret);
    while (slice_next(&rest, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!is_host_char(label.p[i]))
                return false;
    }
    if (!is_number_label(label))
        return true;
    /* inet_pton takes four decimal parts; leading zeros would be octal to others. */
    ret->is_ip = address_ip(authority_host(ret), &ip) && ip.family == AF_INET;
    return ret->is_ip;
}

static bool take_ipv6(struct slice host, struct authority *ret)
{
    struct cidr ip;
    if (!address_ip(host, &ip) || ip.family != AF_INET6)
        return false;
    if (!inet_ntop(AF_INET6, ip.addr, ret->host, sizeof ret->host))
        return false;
    ret->host_len = strlen(ret->host);
    ret->is_ip = ret->is_ipv6 = true;
    return true;
}

enum err authority_parse(struct slice text, uint16_t default_port, struct authority *ret)
{
    struct authority a;
    struct slice host = text, port = {0};
    memset(&a, 0, sizeof a);
    bool is_ipv6 = text.n > 0 && text.p[0] == '[';
    if (!address_split(text, &host, &port)) {
        if (default_port == 0 || (is_ipv6 && text.p[text.n - 1] != ']'))
            return ERR_INVALID;
        host = is_ipv6 ? slice_sub(text, 1, text.n - 1) : text;
        a.port = default_port;
    } else if (!address_port(port, &a.port) || a.port == 0) {
        return ERR_INVALID;
    }
    if (!(is_ipv6 ? take_ipv6(host, &a) : take_name(host, &a)))
        return ERR_INVALID;
    *ret = a;
    return ERR_OK;
}

bool authority_eq(const struct authority *a, const struct authority *b)
{
    return a->port == b->port && a->is_ipv6 == b->is_ipv6 &&
           slice_eq(authority_host(a), authority_host(b));
}

char *authority_print(const struct authority *a, char *buf, size_t size)
{
    snprintf(buf, size, a->is_ipv6 ? "[%s]:%u" : "%s:%u", a->host, (unsigned)a->port);
    return buf;
}
