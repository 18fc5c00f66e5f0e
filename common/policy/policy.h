/* Host and port to SWAP, TUNNEL or DENY; addresses to allowed or not. Pure. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H
#include "base/err.h"
#include "base/slice.h"
#include "store/snapshot.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct conf;
struct policy; /* compiled from the static configuration; immutable, shared by all threads */

enum err policy_create(const struct conf *c, struct policy **ret, struct errmsg *msg) NODISCARD;
void policy_destroy(struct policy *p);

#define HOST_MAX 253
/* An authority in its one canonical form. */
struct authority {
    char host[HOST_MAX + 1 + 2]; /* lower case, no trailing dot; an IPv6 literal without brackets */
    size_t host_len;
    uint16_t port;
    bool is_ip; /* a canonical dotted quad or an IPv6 literal */
    bool is_ipv6;
};
static inline struct slice authority_host(const struct authority *a)
{
    return (struct slice){a->host, a->host_len};
}
/** Parses "host:port", "[v6]:port"; DEFAULT_PORT when no port is given (0: a port is required).
 *  ERR_INVALID for userinfo, %, #, ?, \, spaces, empty labels, underscores, non-ASCII, signs or
 * spaces in the port, port 0 or > 65535, labels > 63, a name > 253, and for every spelling of an
 * IPv4 address other than the canonical dotted quad (decimal, octal, hex, short: RFC 6943 3.1.1).
 */
enum err authority_parse(struct slice text, uint16_t default_port, struct authority *ret) NODISCARD;
bool authority_eq(const struct authority *a, const struct authority *b);
/** "host:port" with brackets where needed; BUF of at least HOST_MAX + 10. */
char *authority_print(const struct authority *a, char *buf, size_t size);

enum verdict {
    VERDICT_SWAP,
    VERDICT_TUNNEL,
    VERDICT_DENY
};
struct decision {
    enum verdict verdict;
    const struct snap_rule *rule; /* borrowed from the snapshot; NULL when no rule matched */
    const char *reason; /* static: "rule", "port", "default", "address", "swap_domains", ... */
};
/** CONNECT or absolute-form authority to a verdict: rules first (exact, then longest pattern), then
 * policy.tunnel. A swap rule outside swap_domains, or a port outside policy.ports, is DENY. A
 * literal address is checked here too. */
struct decision policy_decide(const struct policy *p, const struct snapshot *s,
                              const struct authority *a);
/* Google's token endpoint, by its two names. */
#define TOKEN_HOST "oauth2.googleapis.com"
#define TOKEN_HOST_OLD "www.googleapis.com"
/** Is A a host at which we answer for virtual service accounts? Only while a client has one and
 * policy.virtual_accounts is on; not on a host that a rule swaps or denies. D is policy_decide's;
 * with VERDICT_TUNNEL what is not ours to answer may be passed on, untouched. */
bool policy_answers_tokens(const struct policy *p, const struct snapshot *s,
                           const struct authority *a, const struct decision *d);
/** True when HOST is one of swap_domains or below one. */
bool policy_is_swap_domain(const struct policy *p, struct slice host);
/** True when PATTERN ("host", "*.x", "*-x", "*") matches HOST (both lower case). */
bool rule_matches(struct slice pattern, struct slice host);

/** May we dial this address? Deny networks (private, loopback, link-local, CGNAT, multicast,
 * metadata, unspecified, and every IPv6 form that embeds such an IPv4: mapped, compatible, NAT64,
 * 6to4, Teredo, ISATAP), except allow_networks. Own listeners are given by policy_add_self. */
bool policy_may_dial(const struct policy *p, const struct sockaddr *sa);
/** May this peer connect to us at all (policy.clients)? */
bool policy_may_connect(const struct policy *p, const struct sockaddr *sa);
/** Must this peer say by the PROXY protocol for whom it speaks (listen.proxy_protocol)? */
bool policy_is_balancer(const struct policy *p, const struct sockaddr *sa);
enum err policy_add_self(struct policy *p,
                         const struct sockaddr *sa) NODISCARD; /* before threads start */

/** upstream.connect_to: where HOST:PORT is dialled instead, or NULL. The result is exempt from
 * policy_may_dial for that host only. */
struct connect_to {
    struct authority to;
};
const struct connect_to *policy_connect_to(const struct policy *p, const struct authority *a);

#endif
