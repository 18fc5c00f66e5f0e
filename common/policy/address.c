/* Addresses to allowed or not. The order is written down in README.md; the networks come from the
 * IANA registries of special-purpose addresses (RFC 6890 and later), in every IPv6 form that
 * carries an IPv4 address. */
#include "base/check.h"
#include "policy/policy_internal.h"

#define V4(a, b, c, d, n)                                                                          \
    {                                                                                              \
        AF_INET, n,                                                                                \
        {                                                                                          \
            a, b, c, d                                                                             \
        }                                                                                          \
    }
#define V6(n, ...)                                                                                 \
    {                                                                                              \
        AF_INET6, n,                                                                               \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct cidr nowhere[] = {
    V4(0, 0, 0, 0, 8),          /* "this network": 0.0.0.0 is loopback to connect(2) */
    V4(224, 0, 0, 0, 4),        /* multicast */
    V4(255, 255, 255, 255, 32), /* broadcast */
    V6(128, 0),                 /* unspecified */
    V6(8, 0xff),                /* multicast */
};

static const struct cidr special_v4[] = {
    V4(10, 0, 0, 0, 8),      V4(100, 64, 0, 0, 10),    /* private; carrier-grade NAT */
    V4(127, 0, 0, 0, 8),     V4(169, 254, 0, 0, 16),   /* loopback; link-local and metadata */
    V4(172, 16, 0, 0, 12),   V4(192, 0, 0, 0, 24),     /* private; protocol assignments */
    V4(192, 0, 2, 0, 24),    V4(192, 88, 99, 0, 24),   /* documentation; 6to4 relays */
    V4(192, 168, 0, 0, 16),  V4(198, 18, 0, 0, 15),    /* private; benchmarks */
    V4(198, 51, 100, 0, 24), V4(203, 0, 113, 0, 24),   /* documentation */
    V4(240, 0, 0, 0, 4),     V4(168, 63, 129, 16, 32), /* reserved; Azure's metadata */
};

/* Inside 2000::/3, the only global unicast space there is. */
static const struct cidr special_v6[] = {
    V6(23, 0x20, 0x01),             /* protocol assignments with Teredo and ORCHID */
    V6(32, 0x20, 0x01, 0x0d, 0xb8), /* documentation */
    V6(16, 0x20, 0x02),             /* 6to4 */
    V6(20, 0x3f, 0xff),             /* documentation */
};
static const struct cidr global_v6 = V6(3, 0x20);
static const struct cidr nat64 = V6(96, 0x00, 0x64, 0xff, 0x9b);

static const struct cidr client_private[] = {
    V4(127, 0, 0, 0, 8),
    V4(10, 0, 0, 0, 8),
    V4(172, 16, 0, 0, 12),
    V4(192, 168, 0, 0, 16),
    V6(128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    V6(7, 0xfc),
};

static bool in(const struct cidr *v, size_t n, const struct plain_address *a)
{
    for (size_t i = 0; i < n; i++)
        if (cidr_has(&v[i], a->family, a->addr))
            return true;
    return false;
}

static struct plain_address make_v4(const unsigned char *addr, uint16_t port)
{
    struct plain_address a = {.family = AF_INET, .port = port};
    memcpy(a.addr, addr, 4);
    return a;
}

struct plain_address plain_address(const struct sockaddr *sa)
{
    struct plain_address a = {0};
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, sa, sizeof in4);
        return make_v4((const unsigned char *)&in4.sin_addr, ntohs(in4.sin_port));
    }
    if (sa->sa_family != AF_INET6)
        return a;
    struct sockaddr_in6 in6;
    memcpy(&in6, sa, sizeof in6);
    if (memcmp(&in6.sin6_addr, mapped, sizeof mapped) == 0)
        return make_v4(in6.sin6_addr.s6_addr + 12, ntohs(in6.sin6_port));
    a.family = AF_INET6;
    a.port = ntohs(in6.sin6_port);
    memcpy(a.addr, &in6.sin6_addr, 16);
    return a;
}

bool is_nowhere(const struct plain_address *a)
{
    return a->family == 0 || in(nowhere, ARRAY_LEN(nowhere), a);
}

bool embedded_v4(const struct plain_address *a, struct plain_address *ret)
{
    static const unsigned char isatap[3] = {0x00, 0x5e, 0xfe};
    static const struct cidr teredo = V6(32, 0x20, 0x01), six_to_four = V6(16, 0x20, 0x02);
    unsigned char v4[4];
    if (a->family != AF_INET6)
        return false;
    if (cidr_has(&six_to_four, AF_INET6, a->addr)) {
        memcpy(v4, a->addr + 2, 4);
    } else if (cidr_has(&teredo, AF_INET6, a->addr)) {
        for (int i = 0; i < 4; i++) /* the client's address stands inverted */
            v4[i] = (unsigned char)~a->addr[12 + i];
    } else if (cidr_has(&nat64, AF_INET6, a->addr) ||
               ((a->addr[8] & 0xfd) == 0 && memcmp(a->addr + 9, isatap, 3) == 0)) {
        memcpy(v4, a->addr + 12, 4); /* ISATAP: [02]00:5efe:a.b.c.d */
    } else {
        return false;
    }
    *ret = make_v4(v4, a->port);
    return true;
}

bool is_special(const struct plain_address *a)
{
    struct plain_address v4;
    if (a->family == AF_INET)
        return in(special_v4, ARRAY_LEN(special_v4), a);
    if (embedded_v4(a, &v4) && (is_nowhere(&v4) || in(special_v4, ARRAY_LEN(special_v4), &v4)))
        return true;
    /* A network with DNS64 reaches each IPv4 host through NAT64's well-known prefix. */
    if (cidr_has(&nat64, AF_INET6, a->addr))
        return false;
    return !cidr_has(&global_v6, AF_INET6, a->addr) || in(special_v6, ARRAY_LEN(special_v6), a);
}

bool is_private_client(const struct plain_address *a)
{
    return in(client_private, ARRAY_LEN(client_private), a);
}

bool networks_have(const struct networks *n, const struct plain_address *a)
{
    return in(n->v, n->n, a);
}

static bool is_among(const struct networks *n, const struct sockaddr *sa)
{
    struct plain_address a = plain_address(sa);
    if (a.family == 0)
        return false;
    return n->has_any || (n->has_private && is_private_client(&a)) || networks_have(n, &a);
}

bool policy_may_connect(const struct policy *p, const struct sockaddr *sa)
{
    return is_among(&p->clients, sa);
}

bool policy_is_balancer(const struct policy *p, const struct sockaddr *sa)
{
    return is_among(&p->balancers, sa);
}

static bool is_self(const struct policy *p, const struct plain_address *a)
{
    for (size_t i = 0; i < p->self_count; i++)
        if (p->self[i].family == a->family && p->self[i].port == a->port &&
            memcmp(p->self[i].addr, a->addr, sizeof a->addr) == 0)
            return true;
    return false;
}

bool policy_may_dial(const struct policy *p, const struct sockaddr *sa)
{
    struct plain_address a = plain_address(sa), v4;
    bool has_v4 = embedded_v4(&a, &v4);
    if (is_nowhere(&a) || is_self(p, &a) || (has_v4 && is_self(p, &v4)))
        return false;
    if (networks_have(&p->deny, &a) || (has_v4 && networks_have(&p->deny, &v4)))
        return false;
    if (networks_have(&p->allow, &a) || (has_v4 && networks_have(&p->allow, &v4)))
        return true;
    return !(p->deny.has_private && is_special(&a));
}
