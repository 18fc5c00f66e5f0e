/* Addresses as configuration spells them. Header-only and pure, so that policy compiles the same
 * spellings without linking the configuration reader. */
#ifndef CONF_ADDRESS_H
#define CONF_ADDRESS_H
#include "base/slice.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* A network: FAMILY AF_INET (4 bytes) or AF_INET6 (16 bytes). */
struct cidr {
    int family;
    unsigned bits;
    unsigned char addr[16];
};

/** Splits "host:port" or "[v6]:port" at the last colon; brackets are dropped. False without a port
 * part, or for an IPv6 literal without brackets. Neither part is checked further. */
static inline bool address_split(struct slice s, struct slice *ret_host, struct slice *ret_port)
{
    struct slice host;
    size_t at;
    if (s.n && s.p[0] == '[') {
        at = slice_find(s, ']', 0);
        host = slice_sub(s, 1, at);
        at++;
    } else {
        at = slice_find(s, ':', 0);
        host = slice_sub(s, 0, at);
    }
    if (at >= s.n || s.p[at] != ':')
        return false;
    struct slice port = slice_sub(s, at + 1, s.n);
    if (slice_find(port, ':', 0) != port.n)
        return false;
    *ret_host = host;
    *ret_port = port;
    return true;
}

/** 0..65535 in decimal without sign, space or leading zeros. */
static inline bool address_port(struct slice s, uint16_t *ret)
{
    uint64_t v;
    if (s.n > 5 || (s.n > 1 && s.p[0] == '0') || !slice_to_u64(s, &v) || v > 65535)
        return false;
    *ret = (uint16_t)v;
    return true;
}

/** An IP literal without brackets, zone or odd spelling (inet_pton's: dotted quad or RFC 4291). */
static inline bool address_ip(struct slice s, struct cidr *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct cidr c = {0};
    if (!slice_copy(s, text, sizeof text))
        return false;
    if (inet_pton(AF_INET, text, c.addr) == 1) {
        c.family = AF_INET;
        c.bits = 32;
    } else if (inet_pton(AF_INET6, text, c.addr) == 1) {
        c.family = AF_INET6;
        c.bits = 128;
    } else {
        return false;
    }
    *ret = c;
    return true;
}

/** "10.0.0.0/8", "fd00::/8", or one address. False when bits are set past the prefix: 10.0.0.5/8 is
 * either a slip of the prefix or of the address, and guessing opens the wrong network. */
static inline bool address_cidr(struct slice s, struct cidr *ret)
{
    size_t at = slice_find(s, '/', 0);
    uint16_t bits = 0;
    struct cidr c;
    if (!address_ip(slice_sub(s, 0, at), &c))
        return false;
    if (at < s.n) {
        if (!address_port(slice_sub(s, at + 1, s.n), &bits) || bits > c.bits)
            return false;
        c.bits = bits;
    }
    for (unsigned i = c.bits; i < (c.family == AF_INET ? 32u : 128u); i++)
        if (c.addr[i / 8] >> (7 - i % 8) & 1)
            return false;
    *ret = c;
    return true;
}

/** True when the address (of FAMILY, in network order) lies in C. */
static inline bool cidr_has(const struct cidr *c, int family, const unsigned char *addr)
{
    if (c->family != family)
        return false;
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->addr, addr, whole) != 0)
        return false;
    return rest == 0 || (c->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

/** Splits a connect_to "HOST:PORT:DIALHOST:DIALPORT" (IPv6 in brackets) into its four parts. */
static inline bool address_connect_to(struct slice s, struct slice ret_part[4])
{
    for (int i = 0; i < 4; i++) {
        size_t at = 0;
        if (s.n && s.p[0] == '[') {
            at = slice_find(s, ']', 0) + 1;
            if (at > s.n)
                return false;
            ret_part[i] = slice_sub(s, 1, at - 1);
        } else {
            at = slice_find(s, ':', 0);
            ret_part[i] = slice_sub(s, 0, at);
        }
        if (i == 3)
            return at == s.n;
        if (at >= s.n || s.p[at] != ':')
            return false;
        s = slice_sub(s, at + 1, s.n);
    }
    return false;
}

#endif
