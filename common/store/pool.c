/* Pools and their members. */
#include "store/pool.h"
#include "store/account.h"
#include "store/store_internal.h"

struct walk {
    pool_cb cb;
    void *arg;
};

static enum err pool_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct pool p = {col_int(q, 0), col_text(q, 1), col_int(q, 2), col_int(q, 3)};
    return w->cb(w->arg, &p);
}

enum err pool_list(struct store *s, pool_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, pool_row, &w, msg,
                   "SELECT id, name, (SELECT count(*) FROM pool_member m WHERE m.pool = p.name), "
                   "(SELECT count(*) FROM client c WHERE c.pool = p.name) FROM pool p ORDER BY id",
                   NO_VALS);
}

struct member_walk {
    pool_member_cb cb;
    void *arg;
};

static enum err member_row(struct query *q, void *arg)
{
    const struct member_walk *w = arg;
    struct pool_member m = {
        .pool = col_text(q, 0),
        .account = col_text(q, 1),
        .weight = col_real(q, 2),
        .state = ACCOUNT_OFF,
        .kind = ACCOUNT_SERVICE,
    };
    (void)account_state_from(col_text(q, 3), &m.state);
    (void)account_kind_from(col_text(q, 4), &m.kind);
    return w->cb(w->arg, &m);
}

enum err pool_member_list(struct store *s, struct slice pool, struct slice account,
                          pool_member_cb cb, void *arg, struct errmsg *msg)
{
    struct member_walk w = {cb, arg};
    return db_each(s, member_row, &w, msg,
                   "SELECT m.pool, m.account, m.weight, a.state, a.kind FROM pool_member m "
                   "JOIN account a ON a.name = m.account JOIN pool p ON p.name = m.pool "
                   "WHERE (?1 = '' OR m.pool = ?1) AND (?2 = '' OR m.account = ?2) "
                   "ORDER BY p.id, m.account",
                   VALS(v_text(pool), v_text(account)));
}

enum err pool_add(struct store *s, struct slice pool, struct errmsg *msg)
{
    char buf[128];
    struct slice shown = db_clean(pool, buf, sizeof buf);
    enum err e = db_exec(s, msg, "INSERT INTO pool (name) VALUES (?1)", VALS(v_text(pool)));
    return e == ERR_EXISTS ? db_set(s, msg, e, "a pool %.*s exists already", SLICE_FMT(shown)) : e;
}

enum err pool_remove(struct store *s, struct slice pool, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "DELETE FROM pool WHERE name = ?1", VALS(v_text(pool)));
    return db_need_change(s, e, "pool", pool, msg);
}

enum err pool_set(struct store *s, struct slice pool, struct slice account, double weight,
                  struct errmsg *msg)
{
    return db_exec(s, msg,
                   "INSERT INTO pool_member (pool, account, weight) VALUES (?1, ?2, ?3) "
                   "ON CONFLICT (pool, account) DO UPDATE SET weight = excluded.weight",
                   VALS(v_text(pool), v_text(account), v_real(weight)));
}

enum err pool_unset(struct store *s, struct slice pool, struct slice account, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "DELETE FROM pool_member WHERE pool = ?1 AND account = ?2",
                         VALS(v_text(pool), v_text(account)));
    return db_need_change(s, e, "account in this pool", account, msg);
}

enum err pool_serving(struct store *s, struct slice pool, int64_t *ret, struct errmsg *msg)
{
    return db_int(s, ret, msg,
                  "SELECT count(*) FROM pool_member m JOIN account a ON a.name = m.account "
                  "WHERE m.pool = ?1 AND m.weight > 0 AND a.state = 'up'",
                  VALS(v_text(pool)));
}
