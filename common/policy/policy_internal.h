/* Between the files of this room. */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H
#include "conf/address.h"
#include "policy/policy.h"

/* An address without its family's wrapping: v4-mapped IPv6 is the IPv4 that the kernel would dial.
 */
struct plain_address {
    int family; /* AF_INET, AF_INET6; 0: none that we know */
    unsigned char addr[16];
    uint16_t port;
};

struct connect_rule {
    struct slice
        suffix; /* of the host, when has_star, else the whole host; into conf's copy of the text */
    bool has_star; /* also for an empty HOST: a star and no suffix */
    uint16_t port; /* 0: any */
    struct connect_to to;
    char *text;
};

struct networks {
    struct cidr *v;
    size_t n;
    bool has_private, has_any; /* the words "private" and "any" */
};

struct policy {
    struct networks clients, deny, allow, balancers;
    struct plain_address *self;
    size_t self_count;
    uint16_t *ports;
    size_t port_count;
    char **swap_domains;
    size_t swap_domain_count;
    struct connect_rule *connect;
    size_t connect_count;
    enum verdict fallback; /* for hosts without a rule */
    bool answers_tokens;   /* policy.virtual_accounts */
};

struct plain_address plain_address(const struct sockaddr *sa);
/** No host has such an address: unspecified, multicast, broadcast. Never dialled, whatever the
 * configuration. */
bool is_nowhere(const struct plain_address *a);
/** The networks behind the word "private" of deny_networks. */
bool is_special(const struct plain_address *a);
/** The IPv4 address that an IPv6 address carries (NAT64, 6to4, Teredo's client, ISATAP); false when
 * none. */
bool embedded_v4(const struct plain_address *a, struct plain_address *ret);
/** The word "private" of policy.clients: loopback, RFC 1918, RFC 4193. */
bool is_private_client(const struct plain_address *a);
bool networks_have(const struct networks *n, const struct plain_address *a);

#endif
