/* The verdict on a host, without anybody who prints it. */
#include "cli/host_look.h"

#include "route/route.h"

void host_look(const struct policy *p, const struct snapshot *s, const struct authority *a,
               struct host_look *ret)
{
    static const char *const words[] = {
        [VERDICT_SWAP] = "swap", [VERDICT_TUNNEL] = "tunnel", [VERDICT_DENY] = "deny"};
    struct decision d = policy_decide(p, s, a);
    const struct connect_to *to = policy_connect_to(p, a);
    bool is_ours = policy_answers_tokens(p, s, a, &d);
    *ret = (struct host_look){.at = *a,
                              .verdict = d.verdict,
                              .word = is_ours ? "answer" : words[d.verdict],
                              .reason = is_ours ? "virtual_accounts" : d.reason,
                              .rule = d.rule};
    if (to)
        authority_print(&to->to, ret->dialled_as, sizeof ret->dialled_as);
}

static bool may_serve(const struct snapshot *s, const struct snap_pool *pool,
                      const struct snap_member *m, const struct host_look *l,
                      const struct health *h, int64_t now_ms)
{
    const struct pick_request q = {
        .snap = s, .pool = pool, .api = l->rule->api, .host = authority_host(&l->at)};
    return pick_why_not(&q, h, m, now_ms) == NULL;
}

int host_look_eligible(const struct snapshot *s, const struct snap_pool *pool,
                       const struct host_look *l, const struct health *h, int64_t now_ms)
{
    int n = 0;
    for (size_t i = 0; l->verdict == VERDICT_SWAP && i < pool->member_count; i++)
        n += may_serve(s, pool, &pool->members[i], l, h, now_ms);
    return n;
}

static bool serves_in_a_pool(const struct snapshot *s, uint32_t account, const struct host_look *l,
                             const struct health *h, int64_t now_ms)
{
    for (size_t i = 0; i < s->pool_count; i++)
        for (size_t k = 0; k < s->pools[i].member_count; k++) {
            const struct snap_member *m = &s->pools[i].members[k];
            if (m->account == account && may_serve(s, &s->pools[i], m, l, h, now_ms))
                return true;
        }
    return false;
}

int host_look_accounts(const struct snapshot *s, const struct host_look *l, const struct health *h,
                       int64_t now_ms)
{
    int n = 0;
    for (uint32_t i = 0; l->verdict == VERDICT_SWAP && i < s->account_count; i++)
        n += serves_in_a_pool(s, i, l, h, now_ms);
    return n;
}

enum err host_look_health(const struct snapshot *s, int64_t now_ms, struct health **ret)
{
    struct health *h = NULL;
    enum err e = health_create(&h);
    for (size_t i = 0; e == ERR_OK && i < s->cooldown_count; i++) {
        const struct snap_cooldown *from = &s->cooldowns[i];
        struct cooldown cool = {.account_id = from->account_id,
                                .since_ms = from->since_ms,
                                .until_ms = from->until_ms,
                                .step = from->step,
                                .reason = "store"};
        if (slice_copy(from->model, cool.model, sizeof cool.model))
            health_merge(h, &cool, now_ms);
    }
    if (e == ERR_OK)
        *ret = h;
    return e;
}
