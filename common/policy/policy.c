/* The static configuration, compiled; and the verdict on one authority: the first thing that
 * happens to a CONNECT. */
#include "policy/policy.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "policy/policy_internal.h"

#include <ifaddrs.h>

void policy_destroy(struct policy *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->swap_domain_count; i++)
        mem_free(p->swap_domains[i]);
    for (size_t i = 0; i < p->connect_count; i++)
        mem_free(p->connect[i].text);
    mem_free(p->clients.v);
    mem_free(p->deny.v);
    mem_free(p->allow.v);
    mem_free(p->balancers.v);
    mem_free(p->self);
    mem_free(p->ports);
    mem_free(p->swap_domains);
    mem_free(p->connect);
    mem_free(p);
}

static enum err bad(struct errmsg *msg, const char *key, const char *value)
{
    return err_set(msg, ERR_CONFIG, "%s: bad value '%s'", key, value);
}

static enum err take_networks(const struct conf_list *l, const char *key, struct networks *ret,
                              struct errmsg *msg)
{
    ret->v = mem_calloc(l->n, sizeof *ret->v);
    if (!ret->v)
        return err_set(msg, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++) {
        struct slice s = slice_of(l->v[i]);
        if (slice_eq(s, SLICE("private")))
            ret->has_private = true;
        else if (slice_eq(s, SLICE("any")))
            ret->has_any = true;
        else if (address_cidr(s, &ret->v[ret->n]))
            ret->n++;
        else
            return bad(msg, key, l->v[i]);
    }
    return ERR_OK;
}

static enum err take_ports(const struct conf_list *l, struct policy *p, struct errmsg *msg)
{
    p->ports = mem_calloc(l->n, sizeof *p->ports);
    if (!p->ports)
        return err_set(msg, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++)
        if (!address_port(slice_of(l->v[i]), &p->ports[p->port_count++]))
            return bad(msg, "policy.ports", l->v[i]);
    return ERR_OK;
}

static enum err take_domains(const struct conf_list *l, struct policy *p, struct errmsg *msg)
{
    p->swap_domains = mem_calloc(l->n, sizeof *p->swap_domains);
    for (size_t i = 0; p->swap_domains && i < l->n; i++) {
        char *copy = mem_dup(l->v[i]);
        if (!copy)
            return err_set(msg, ERR_NOMEM, "out of memory");
        for (char *c = copy; *c; c++)
            *c = ascii_lower(*c);
        p->swap_domains[p->swap_domain_count++] = copy;
    }
    return p->swap_domains ? ERR_OK : err_set(msg, ERR_NOMEM, "out of memory");
}

static bool make_connect_rule(struct connect_rule *r)
{
    struct slice part[4];
    char text[HOST_MAX + 16];
    struct sbuf dial;
    if (!address_connect_to(slice_of(r->text), part))
        return false;
    if (part[1].n && (!address_port(part[1], &r->port) || r->port == 0))
        return false;
    r->has_star = part[0].n == 0 || part[0].p[0] == '*';
    r->suffix = slice_sub(part[0], part[0].n && r->has_star ? 1 : 0, part[0].n);
    struct slice host = part[2].n ? part[2] : part[0], port = part[3].n ? part[3] : part[1];
    /* An empty DIALHOST or DIALPORT keeps what was asked for, so that must be one name, one port.
     */
    if (host.n == 0 || host.p[0] == '*' || port.n == 0)
        return false;
    bool is_ipv6 = slice_find(host, ':', 0) < host.n;
    sbuf_init(&dial, sizeof text);
    sbuf_adds(&dial, is_ipv6 ? "[" : "");
    sbuf_add_slice(&dial, host);
    sbuf_adds(&dial, is_ipv6 ? "]:" : ":");
    sbuf_add_slice(&dial, port);
    bool ok = !dial.failed && authority_parse(sbuf_slice(&dial), 0, &r->to.to) == ERR_OK;
    sbuf_finish(&dial);
    return ok;
}

static enum err take_connect_to(const struct conf_list *l, struct policy *p, struct errmsg *msg)
{
    p->connect = mem_calloc(l->n, sizeof *p->connect);
    if (!p->connect)
        return err_set(msg, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++) {
        struct connect_rule *r = &p->connect[i];
        r->text = mem_dup(l->v[i]);
        if (!r->text)
            return err_set(msg, ERR_NOMEM, "out of memory");
        p->connect_count++;
        for (char *c = r->text; *c; c++)
            *c = ascii_lower(*c);
        if (!make_connect_rule(r))
            return err_set(msg, ERR_CONFIG, "upstream.connect_to: bad value '%s'", l->v[i]);
    }
    return ERR_OK;
}

static bool is_on_loopback(const char *host_port)
{
    static const struct cidr v4 = {AF_INET, 8, {127}}, v6 = {AF_INET6, 128, {[15] = 1}};
    struct slice host, port;
    struct cidr ip;
    if (!address_split(slice_of(host_port), &host, &port))
        return false;
    if (!address_ip(host, &ip))
        return slice_ieq(host, SLICE("localhost"));
    return cidr_has(&v4, ip.family, ip.addr) || cidr_has(&v6, ip.family, ip.addr);
}

static bool all_on_loopback(const struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!is_on_loopback(l->v[i]))
            return false;
    return true;
}

/* Never an open proxy by accident: tunnels to anywhere only for callers that are on this machine or
 * said who they are. */
static enum verdict fallback_of(const struct conf *c)
{
    if (*c->policy.tunnel)
        return strcmp(c->policy.tunnel, "allow") == 0 ? VERDICT_TUNNEL : VERDICT_DENY;
    bool is_open = strcmp(c->policy.proxy_auth, "required") == 0 ||
                   (all_on_loopback(&c->listen.proxy) && all_on_loopback(&c->listen.proxy_tls));
    return is_open ? VERDICT_TUNNEL : VERDICT_DENY;
}

enum err policy_create(const struct conf *c, struct policy **ret, struct errmsg *msg)
{
    struct policy *p = mem_calloc(1, sizeof *p);
    if (!p)
        return err_set(msg, ERR_NOMEM, "out of memory");
    enum err e = take_networks(&c->policy.clients, "policy.clients", &p->clients, msg);
    if (!e)
        e = take_networks(&c->policy.deny_networks, "policy.deny_networks", &p->deny, msg);
    if (!e)
        e = take_networks(&c->policy.allow_networks, "policy.allow_networks", &p->allow, msg);
    if (!e)
        e = take_networks(&c->listen.proxy_protocol, "listen.proxy_protocol", &p->balancers, msg);
    if (!e)
        e = take_ports(&c->policy.ports, p, msg);
    if (!e)
        e = take_domains(&c->policy.swap_domains, p, msg);
    if (!e)
        e = take_connect_to(&c->upstream.connect_to, p, msg);
    if (e) {
        policy_destroy(p);
        return e;
    }
    p->fallback = fallback_of(c);
    p->answers_tokens = c->policy.virtual_accounts;
    *ret = p;
    return ERR_OK;
}

static enum err add_self(struct policy *p, const struct plain_address *a)
{
    struct plain_address *grown = mem_realloc(p->self, (p->self_count + 1) * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    p->self = grown;
    p->self[p->self_count++] = *a;
    return ERR_OK;
}

/* A listener on all addresses is reached by each address of this machine. */
static enum err add_interfaces(struct policy *p, uint16_t port)
{
    struct ifaddrs *all;
    enum err e = ERR_OK;
    if (getifaddrs(&all) != 0)
        return ERR_IO;
    for (struct ifaddrs *i = all; i && !e; i = i->ifa_next) {
        if (!i->ifa_addr)
            continue;
        struct plain_address a = plain_address(i->ifa_addr);
        a.port = port;
        if (a.family)
            e = add_self(p, &a);
    }
    freeifaddrs(all);
    return e;
}

enum err policy_add_self(struct policy *p, const struct sockaddr *sa)
{
    static const unsigned char any[16];
    struct plain_address a = plain_address(sa);
    if (a.family == 0)
        return ERR_OK; /* a Unix socket: nobody can name it in a CONNECT */
    if (memcmp(a.addr, any, sizeof any) == 0)
        return add_interfaces(p, a.port);
    return add_self(p, &a);
}

bool policy_is_swap_domain(const struct policy *p, struct slice host)
{
    for (size_t i = 0; i < p->swap_domain_count; i++) {
        struct slice d = slice_of(p->swap_domains[i]);
        if (slice_eq(host, d) ||
            (host.n > d.n && slice_ends(host, d) && host.p[host.n - d.n - 1] == '.'))
            return true;
    }
    return false;
}

bool rule_matches(struct slice pattern, struct slice host)
{
    if (pattern.n == 0 || pattern.p[0] != '*')
        return slice_eq(pattern, host);
    if (pattern.n == 1)
        return true;
    struct slice suffix = slice_sub(pattern, 1, pattern.n);
    if ((suffix.p[0] != '.' && suffix.p[0] != '-') || host.n <= suffix.n ||
        !slice_ends(host, suffix))
        return false;
    /* "*-x" stands for a part of one label: a name further down belongs to whoever runs that zone.
     */
    size_t star = host.n - suffix.n;
    return suffix.p[0] == '.' || slice_find(slice_sub(host, 0, star), '.', 0) == star;
}

static bool may_dial_literal(const struct policy *p, const struct authority *a)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    if (a->is_ipv6)
        return inet_pton(AF_INET6, a->host, &in6.sin6_addr) == 1 &&
               policy_may_dial(p, (const struct sockaddr *)&in6);
    return inet_pton(AF_INET, a->host, &in4.sin_addr) == 1 &&
           policy_may_dial(p, (const struct sockaddr *)&in4);
}

static bool has_port(const struct policy *p, uint16_t port)
{
    for (size_t i = 0; i < p->port_count; i++)
        if (p->ports[i] == port)
            return true;
    return false;
}

static struct decision decide_rule(const struct policy *p, const struct snap_rule *r,
                                   const struct authority *a)
{
    struct slice host = authority_host(a);
    switch (r->action) {
    case RULE_SWAP:
        if (a->port != 443 && !policy_connect_to(p, a))
            return (struct decision){
                VERDICT_DENY, r,
                "port"}; /* a credential goes to 443, or where the operator mapped it */
        if (!policy_is_swap_domain(p, host))
            return (struct decision){VERDICT_DENY, r, "swap_domains"};
        if (r->api == API_NONE)
            return (struct decision){VERDICT_DENY, r, "api"};
        return (struct decision){VERDICT_SWAP, r, "rule"};
    case RULE_TUNNEL:
        return (struct decision){VERDICT_TUNNEL, r, "rule"};
    case RULE_DENY:
        break;
    }
    return (struct decision){VERDICT_DENY, r, "rule"};
}

struct decision policy_decide(const struct policy *p, const struct snapshot *s,
                              const struct authority *a)
{
    struct slice host = authority_host(a);
    if (!has_port(p, a->port))
        return (struct decision){VERDICT_DENY, NULL, "port"};
    if (a->is_ip && !policy_connect_to(p, a) && !may_dial_literal(p, a))
        return (struct decision){VERDICT_DENY, NULL, "address"};
    for (size_t i = 0; i < s->rule_count; i++)
        if (rule_matches(s->rules[i].pattern, host))
            return decide_rule(p, &s->rules[i], a);
    return (struct decision){p->fallback, NULL, "default"};
}

bool policy_answers_tokens(const struct policy *p, const struct snapshot *s,
                           const struct authority *a, const struct decision *d)
{
    struct slice host = authority_host(a);
    bool is_refused = d->verdict == VERDICT_DENY && strcmp(d->reason, "default") != 0;
    return p->answers_tokens && s->virtual_count && d->verdict != VERDICT_SWAP && !is_refused &&
           a->port == 443 && policy_is_swap_domain(p, host) &&
           (slice_eq(host, SLICE(TOKEN_HOST)) || slice_eq(host, SLICE(TOKEN_HOST_OLD)));
}

const struct connect_to *policy_connect_to(const struct policy *p, const struct authority *a)
{
    struct slice host = authority_host(a);
    for (size_t i = 0; i < p->connect_count; i++) {
        const struct connect_rule *r = &p->connect[i];
        if (r->port && r->port != a->port)
            continue;
        if (r->has_star ? slice_ends(host, r->suffix) && (r->suffix.n == 0 || host.n > r->suffix.n)
                        : slice_eq(host, r->suffix))
            return &r->to;
    }
    return NULL;
}
