/* Pools: join, find, warn. */
#include "cli/pools.h"

#include "cli/cli.h"
#include "store/pool.h"

struct search {
    struct slice name;
    bool is_found;
};

static enum err on_pool(void *arg, const struct pool *p)
{
    struct search *x = arg;
    x->is_found |= slice_eq(p->name, x->name);
    return ERR_OK;
}

enum err pools_exists(struct store *s, struct slice pool, bool *ret, struct errmsg *msg)
{
    struct search x = {pool, false};
    enum err e = pool_list(s, on_pool, &x, msg);
    if (e == ERR_OK)
        *ret = x.is_found;
    return e;
}

enum err pools_join(struct store *s, struct slice pool, struct slice account, double weight,
                    struct errmsg *msg)
{
    bool is_there = false;
    enum err e = pools_exists(s, pool, &is_there, msg);
    if (e == ERR_OK && !is_there)
        e = pool_add(s, pool, msg);
    if (e != ERR_OK)
        return e;
    e = pool_set(s, pool, account, weight, msg);
    return e == ERR_NOT_FOUND
               ? err_set(msg, e, "there is no account %.*s; credswap account list has them",
                         SLICE_FMT(account))
               : e;
}

struct names {
    char first[65];
    int count;
};

static enum err on_member(void *arg, const struct pool_member *m)
{
    struct names *n = arg;
    if (n->count++ == 0 && !slice_copy(m->pool, n->first, sizeof n->first))
        return ERR_TOO_LARGE;
    return ERR_OK;
}

enum err pools_only_one(struct store *s, struct slice account, char ret[65], struct errmsg *msg)
{
    struct names n = {{0}, 0};
    enum err e = pool_member_list(s, (struct slice){NULL, 0}, account, on_member, &n, msg);
    if (e != ERR_OK)
        return e;
    if (n.count != 1)
        return err_set(msg, ERR_INVALID, "%.*s is in %s pool; say which one with --pool",
                       (int)account.n, account.p, n.count ? "more than one" : "no");
    memcpy(ret, n.first, sizeof n.first);
    return ERR_OK;
}

struct warning {
    struct cli *c;
    struct slice account, pool;
    int up;
    bool is_wanted;
};

static enum err on_candidate(void *arg, const struct pool_member *m)
{
    struct warning *w = arg;
    w->up += m->state == ACCOUNT_UP && m->weight > 0;
    w->is_wanted |= slice_eq(m->account, w->account);
    return ERR_OK;
}

static enum err on_checked_pool(void *arg, const struct pool *p)
{
    struct warning *w = arg;
    w->up = 0;
    w->is_wanted = slice_eq(p->name, w->pool);
    enum err e =
        pool_member_list(w->c->store, p->name, (struct slice){NULL, 0}, on_candidate, w, NULL);
    if (e == ERR_OK && w->is_wanted && w->up == 0 && p->clients > 0)
        cli_say(w->c, "warning: pool %s has no account left that can serve its %lld client%s",
                p->name.p, (long long)p->clients, p->clients == 1 ? "" : "s");
    return ERR_OK;
}

void pools_warn(struct cli *c, struct slice account, struct slice pool)
{
    struct warning w = {.c = c, .account = account, .pool = pool};
    enum err e = pool_list(c->store, on_checked_pool, &w, NULL);
    (void)e; /* only a courtesy */
}
