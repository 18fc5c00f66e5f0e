/* What would happen to a host now: the board's rows as the proxy's snapshot, asked as the proxy
 * asks it. The master key is not needed, so whether an API key opens is not seen here. */
#include "base/mem.h"
#include "conf/conf.h"
#include "policy/policy.h"
#include "route/route.h"
#include "store/rule.h"
#include "views/hosts_internal.h"

#include <stdio.h>

struct picture {
    struct snapshot snap;
    struct snap_account *accounts;
    struct snap_pool *pools;
    struct snap_member *members;
    struct snap_rule *rules;
    struct snap_cooldown *cooldowns;
    struct secret *some_key; /* stands for each API key */
};

static void picture_finish(struct picture *p)
{
    mem_free(p->accounts);
    mem_free(p->pools);
    mem_free(p->members);
    mem_free(p->rules);
    mem_free(p->cooldowns);
    secret_unref(&p->some_key);
}

static void copy_accounts(struct picture *p, const struct board *b)
{
    for (int i = 0; i < b->account_count; i++) {
        const struct board_account *a = &b->accounts[i];
        p->accounts[i] = (struct snap_account){.id = a->id,
                                               .name = slice_of(a->name),
                                               .kind = a->kind,
                                               .state = a->state,
                                               .host = slice_of(a->host),
                                               .api_key = p->some_key};
        if (a->cool_until > b->now_s)
            p->cooldowns[p->snap.cooldown_count++] =
                (struct snap_cooldown){.account_id = a->id,
                                       .model = SLICE(""),
                                       .since_ms = a->cool_since * 1000,
                                       .until_ms = a->cool_until * 1000};
    }
}

static void copy_pools(struct picture *p, const struct board *b)
{
    for (int i = 0; i < b->member_count; i++)
        p->members[i] = (struct snap_member){.account = (uint32_t)b->members[i].account,
                                             .weight = b->members[i].weight};
    for (int i = 0; i < b->pool_count; i++)
        p->pools[i] = (struct snap_pool){.id = b->pools[i].id,
                                         .name = slice_of(b->pools[i].name),
                                         .members = p->members + b->pools[i].first,
                                         .member_count = (size_t)b->pools[i].count};
}

static void copy_rules(struct picture *p, const struct board *b)
{
    for (int i = 0; i < b->rule_count; i++) {
        const struct board_rule *r = &b->rules[i];
        struct snap_rule *to = &p->rules[i];
        *to = (struct snap_rule){.id = r->id, .pattern = slice_of(r->pattern)};
        if (!rule_action_from(slice_of(r->action), &to->action))
            to->action = RULE_DENY; /* a word of a newer store */
        if (!api_from(slice_of(r->api), &to->api))
            to->api = API_NONE;
    }
}

static bool picture_make(struct picture *p, const struct board *b)
{
    *p = (struct picture){.some_key = secret_new("", 0)};
    p->accounts = mem_calloc((size_t)b->account_count + 1, sizeof *p->accounts);
    p->cooldowns = mem_calloc((size_t)b->account_count + 1, sizeof *p->cooldowns);
    p->pools = mem_calloc((size_t)b->pool_count + 1, sizeof *p->pools);
    p->members = mem_calloc((size_t)b->member_count + 1, sizeof *p->members);
    p->rules = mem_calloc((size_t)b->rule_count + 1, sizeof *p->rules);
    if (!p->some_key || !p->accounts || !p->cooldowns || !p->pools || !p->members || !p->rules)
        return false;
    copy_accounts(p, b);
    copy_pools(p, b);
    copy_rules(p, b);
    p->snap.accounts = p->accounts;
    p->snap.account_count = (size_t)b->account_count;
    p->snap.pools = p->pools;
    p->snap.pool_count = (size_t)b->pool_count;
    p->snap.rules = p->rules;
    p->snap.rule_count = (size_t)b->rule_count;
    p->snap.cooldowns = p->cooldowns;
    for (int i = 0; i < b->client_count; i++)
        p->snap.virtual_count += b->clients[i].has_virtual;
    return true;
}

/* ---- in words ---- */

static void say_why(const struct hosts *v, const struct host_look *l, struct sbuf *out)
{
    const struct conf *conf = app_conf(v->screen.app);
    int n = l->rule ? hosts_number(v, l->rule->id) : 0;
    const char *pattern = l->rule ? l->rule->pattern.p : "";
    const char *api = l->rule && l->rule->api ? api_name(l->rule->api) : "";
    bool is_default = strcmp(l->reason, "default") == 0;
    if (strcmp(l->word, "answer") == 0)
        sbuf_adds(out, "answer: the token endpoint, for clients with a service-account file\n");
    else if (is_default)
        sbuf_addf(out, "%s%s: no rule matches, and policy.tunnel is %s\n",
                  l->verdict == VERDICT_DENY ? "! " : "", l->word,
                  *conf->policy.tunnel ? conf->policy.tunnel : "not set");
    else if (strcmp(l->reason, "rule") == 0)
        sbuf_addf(out, "%s%s%s%s: rule %d, %s\n", l->verdict == VERDICT_DENY ? "! " : "", l->word,
                  *api ? ", " : "", api, n, pattern);
    else if (strcmp(l->reason, "port") == 0 && l->rule)
        sbuf_addf(out, "! deny: rule %d, %s, would swap, but a token goes to port 443 only\n", n,
                  pattern);
    else if (strcmp(l->reason, "port") == 0)
        sbuf_addf(out, "! deny: port %d is none of policy.ports (%s)\n", l->at.port, v->ports);
    else if (strcmp(l->reason, "address") == 0)
        sbuf_addf(out, "! deny: this address is never dialled (policy.deny_networks: %s)\n",
                  v->deny);
    else if (strcmp(l->reason, "swap_domains") == 0)
        sbuf_addf(out, "! deny: rule %d, %s, swaps it outside policy.swap_domains\n", n, pattern);
    else
        sbuf_addf(out, "! %s: %s, rule %d, %s\n", l->word, l->reason, n, pattern);
}

static void say_accounts(const struct board *b, const struct picture *p, const struct host_look *l,
                         const struct health *h, struct sbuf *out)
{
    int n = host_look_accounts(&p->snap, l, h, b->now_ms);
    sbuf_addf(out, "%d account%s could serve it now:", n, n == 1 ? "" : "s");
    for (int i = 0; i < b->pool_count; i++)
        if (b->pools[i].count)
            sbuf_addf(out, "  %.32s %d of %d", b->pools[i].name,
                      host_look_eligible(&p->snap, &p->pools[i], l, h, b->now_ms),
                      b->pools[i].count);
    sbuf_adds(out, "\n");
}

static void say_all(struct hosts *v, const struct picture *p, const struct authority *a)
{
    const struct board *b = app_board(v->screen.app);
    struct host_look l;
    struct health *h = NULL;
    char target[HOST_MAX + 10];
    host_look(v->policy, &p->snap, a, &l);
    sbuf_addf(&v->answer, "%s\n", authority_print(a, target, sizeof target));
    say_why(v, &l, &v->answer);
    if (l.verdict == VERDICT_SWAP && host_look_health(&p->snap, b->now_ms, &h) == ERR_OK)
        say_accounts(b, p, &l, h, &v->answer);
    else if (l.verdict == VERDICT_TUNNEL && !a->is_ip)
        sbuf_adds(&v->answer, "passed on untouched, unless it resolves to a denied network\n");
    if (*l.dialled_as)
        sbuf_addf(&v->answer, "dialled as %s (upstream.connect_to)\n", l.dialled_as);
    health_destroy(h);
}

void hosts_look(struct hosts *v)
{
    struct authority a;
    struct picture p = {.some_key = NULL};
    sbuf_clear(&v->answer);
    if (!*v->tested)
        return;
    if (authority_parse(slice_of(v->tested), 443, &a) != ERR_OK) {
        sbuf_addf(&v->answer, "%s\n! no host[:port]: the proxy answers 400\n", v->tested);
        return;
    }
    if (!v->policy)
        sbuf_adds(&v->answer, "! the configuration is broken: credswap config show says how\n");
    else if (picture_make(&p, app_board(v->screen.app)))
        say_all(v, &p, &a);
    picture_finish(&p);
}

/* ---- configuration ---- */

static void join(const struct conf_list *l, char *buf, size_t size)
{
    struct sbuf b;
    sbuf_init(&b, 4096);
    for (size_t i = 0; i < l->n; i++)
        sbuf_addf(&b, "%s%s", i ? " " : "", l->v[i]);
    snprintf(buf, size, "%s", b.n ? sbuf_z(&b) : "none");
    sbuf_finish(&b);
}

/* What becomes of a host that no rule knows: asked of the policy itself, with no rule at all. */
static enum verdict rest_of(const struct policy *p, const struct conf *conf)
{
    static const struct snapshot none;
    struct authority a;
    char host[32];
    snprintf(host, sizeof host, "host.invalid:%.5s",
             conf->policy.ports.n ? conf->policy.ports.v[0] : "443");
    if (authority_parse(slice_of(host), 443, &a) != ERR_OK)
        return VERDICT_DENY;
    return policy_decide(p, &none, &a).verdict;
}

void hosts_read_conf(struct hosts *v)
{
    const struct conf *conf = app_conf(v->screen.app);
    struct errmsg msg = {0};
    join(&conf->policy.ports, v->ports, sizeof v->ports);
    join(&conf->policy.deny_networks, v->deny, sizeof v->deny);
    v->rest = VERDICT_DENY;
    if (policy_create(conf, &v->policy, &msg) == ERR_OK)
        v->rest = rest_of(v->policy, conf);
    else
        v->policy = NULL;
}
