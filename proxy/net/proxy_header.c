/* The first bytes of a balancer's connection. Strict: there is one spelling of each address, and a
 * balancer that cannot write it is not guessed at. */
#include "net/proxy_header.h"

#include "base/check.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define SIGNATURE_SIZE 12
#define FIXED_SIZE 16 /* signature, version and command, family, length */
#define V4_SIZE 12    /* two addresses, two ports */
#define V6_SIZE 36

static const char signature[SIGNATURE_SIZE + 1] = "\r\n\r\n\0\r\nQUIT\n";

static bool is_begun(struct slice have, struct slice whole)
{
    size_t n = have.n < whole.n ? have.n : whole.n;
    return slice_eq(slice_sub(have, 0, n), slice_sub(whole, 0, n));
}

/* ---- version 2 ---- */

static unsigned u16_at(struct slice s, size_t at)
{
    return (unsigned)(unsigned char)s.p[at] << 8 | (unsigned char)s.p[at + 1];
}

/* FROM: source, destination, source port, destination port. */
static void take_v4(struct slice from, struct sockaddr_storage *ret)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)u16_at(from, 8))};
    memcpy(&in.sin_addr, from.p, 4);
    memcpy(ret, &in, sizeof in);
}

static void take_v6(struct slice from, struct sockaddr_storage *ret)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)u16_at(from, 32))};
    memcpy(&in.sin6_addr, from.p, 16);
    memcpy(ret, &in, sizeof in);
}

static enum proxy_header_state parse_v2(struct slice s, struct proxy_header *ret)
{
    struct proxy_header h = {.n = FIXED_SIZE};
    if (s.n > 12 && (unsigned char)s.p[12] != 0x20 && (unsigned char)s.p[12] != 0x21)
        return PROXY_HEADER_BAD;
    if (s.n < FIXED_SIZE)
        return PROXY_HEADER_MORE;
    bool is_local = (unsigned char)s.p[12] == 0x20;
    unsigned family = (unsigned char)s.p[13], n = u16_at(s, 14);
    /* over TCP and from the internet, or from nowhere in particular, or a Unix socket */
    if (!is_local && family != 0x00 && family != 0x11 && family != 0x21 && family != 0x31)
        return PROXY_HEADER_BAD;
    if (n > PROXY_HEADER_MAX - FIXED_SIZE ||
        (!is_local && ((family == 0x11 && n < V4_SIZE) || (family == 0x21 && n < V6_SIZE))))
        return PROXY_HEADER_BAD;
    h.n += n;
    if (s.n < h.n)
        return PROXY_HEADER_MORE;
    struct slice addresses = slice_sub(s, FIXED_SIZE, h.n);
    h.has_peer = !is_local && (family == 0x11 || family == 0x21);
    if (h.has_peer && family == 0x11)
        take_v4(addresses, &h.peer);
    else if (h.has_peer)
        take_v6(addresses, &h.peer);
    *ret = h;
    return PROXY_HEADER_WHOLE;
}

/* ---- version 1 ---- */

static bool take_port(struct slice text, uint16_t *ret)
{
    uint64_t v;
    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[0] == '0') || !slice_to_u64(text, &v) ||
        v > UINT16_MAX)
        return false;
    *ret = htons((uint16_t)v);
    return true;
}

/* "TCP4 SOURCE DESTINATION SPORT DPORT" */
static bool take_words(struct slice line, int family, struct sockaddr_storage *ret)
{
    struct slice word[5];
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    struct in6_addr from, to;
    uint16_t port, ignored;
    for (size_t i = 0; i < ARRAY_LEN(word); i++)
        if (!slice_next(&line, ' ', &word[i]))
            return false;
    if (line.p || !slice_copy(word[1], source, sizeof source) ||
        !slice_copy(word[2], destination, sizeof destination) ||
        inet_pton(family, source, &from) != 1 || inet_pton(family, destination, &to) != 1 ||
        !take_port(word[3], &port) || !take_port(word[4], &ignored))
        return false;
    if (family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};
        memcpy(&in.sin_addr, &from, sizeof in.sin_addr);
        memcpy(ret, &in, sizeof in);
    } else {
        struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_addr = from, .sin6_port = port};
        memcpy(ret, &in, sizeof in);
    }
    return true;
}

static bool is_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return true;
}

static enum proxy_header_state parse_v1(struct slice s, struct proxy_header *ret)
{
    struct proxy_header h = {0};
    struct slice known = slice_sub(s, 0, s.n < PROXY_HEADER_V1_MAX ? s.n : PROXY_HEADER_V1_MAX);
    size_t end = slice_find(known, '\r', 0);
    if (!is_text(slice_sub(known, 0, end)))
        return PROXY_HEADER_BAD;
    if (end + 1 >= known.n) /* no CR yet, or no byte behind it */
        return known.n < PROXY_HEADER_V1_MAX ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
    if (known.p[end + 1] != '\n')
        return PROXY_HEADER_BAD;
    struct slice line = slice_sub(known, 6, end); /* behind "PROXY " */
    h.n = end + 2;
    h.has_peer = slice_starts(line, SLICE("TCP"));
    bool ok = h.has_peer
                  ? (slice_starts(line, SLICE("TCP4 ")) && take_words(line, AF_INET, &h.peer)) ||
                        (slice_starts(line, SLICE("TCP6 ")) && take_words(line, AF_INET6, &h.peer))
                  : slice_eq(line, SLICE("UNKNOWN")) || slice_starts(line, SLICE("UNKNOWN "));
    if (!ok)
        return PROXY_HEADER_BAD;
    *ret = h;
    return PROXY_HEADER_WHOLE;
}

enum proxy_header_state proxy_header_parse(const void *p, size_t n, struct proxy_header *ret)
{
    struct slice s = slice_make(p, n), sign = slice_make(signature, SIGNATURE_SIZE);
    if (is_begun(s, sign))
        return n < SIGNATURE_SIZE ? PROXY_HEADER_MORE : parse_v2(s, ret);
    if (is_begun(s, SLICE("PROXY ")))
        return n < 6 ? PROXY_HEADER_MORE : parse_v1(s, ret);
    return PROXY_HEADER_BAD;
}
