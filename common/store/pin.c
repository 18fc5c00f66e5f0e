/* Pins, as the writer keeps them for the next start and for people. */
#include "store/pin.h"
#include "store/store_internal.h"

#define PIN_SCHEMA 2

struct walk {
    pin_cb cb;
    void *arg;
};

static enum err pin_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct pin_row p = {
        .id = col_int(q, 0),
        .name = col_text(q, 1),
        .pool_id = col_int(q, 2),
        .account_id = col_int(q, 3),
        .pool = col_text(q, 4),
        .account = col_text(q, 5),
        .client = col_text(q, 6),
        .domain = col_text(q, 7),
        .made_at = col_int(q, 8),
        .expires_at = col_int(q, 9),
    };
    return w->cb(w->arg, &p);
}

enum err pin_list(struct store *s, int64_t after_id, int64_t now_s, pin_cb cb, void *arg,
                  struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, pin_row, &w, msg,
                   "SELECT p.id, p.name, o.id, a.id, p.pool, p.account, p.client, p.domain, "
                   "p.made_at, p.expires_at FROM pin p JOIN pool o ON o.name = p.pool "
                   "JOIN account a ON a.name = p.account "
                   "WHERE p.id > ?1 AND p.expires_at > ?2 ORDER BY p.id",
                   VALS(v_int(after_id), v_int(now_s)));
}

enum err pin_put(struct store *s, const struct pin_row *row, struct errmsg *msg)
{
    enum err e = db_exec(
        s, msg,
        "INSERT INTO pin (name, pool, account, client, domain, made_at, expires_at) "
        "SELECT ?1, o.name, a.name, ?4, ?5, ?6, ?7 FROM pool o, account a "
        "WHERE o.id = ?2 AND a.id = ?3 "
        "ON CONFLICT (name, pool) DO UPDATE SET account = excluded.account, "
        "client = excluded.client, domain = excluded.domain, made_at = excluded.made_at, "
        "expires_at = excluded.expires_at",
        VALS(v_text(row->name), v_int(row->pool_id), v_int(row->account_id), v_text(row->client),
             v_text(row->domain), v_int(row->made_at), v_int(row->expires_at)));
    return db_need_change(s, e, "account or pool of the pin", row->name, msg);
}

enum err pin_remove(struct store *s, int64_t pool_id, struct slice name, struct errmsg *msg)
{
    return db_exec(s, msg,
                   "DELETE FROM pin WHERE name = ?1 AND "
                   "pool = (SELECT name FROM pool WHERE id = ?2)",
                   VALS(v_text(name), v_int(pool_id)));
}

enum err pin_remove_named(struct store *s, struct slice pool, struct slice name, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "DELETE FROM pin WHERE name = ?1 AND (?2 = '' OR pool = ?2)",
                         VALS(v_text(name), v_text(pool)));
    return db_need_change(s, e, "pin", name, msg);
}

enum err pin_prune(struct store *s, int64_t before_s, struct errmsg *msg)
{
    return db_exec(s, msg, "DELETE FROM pin WHERE expires_at < ?1", VALS(v_int(before_s)));
}

enum err pin_changes(struct store *s, int64_t *ret, struct errmsg *msg)
{
    int64_t version = 0;
    enum err e = db_int(s, ret, msg, "SELECT value FROM pin_change WHERE id = 1", NO_VALS);
    if (e == ERR_OK || db_int(s, &version, NULL, "PRAGMA user_version", NO_VALS) != ERR_OK ||
        version >= PIN_SCHEMA)
        return e;
    return db_set(s, msg, ERR_SCHEMA, "store %s: schema %lld knows no pins", s->path,
                  (long long)version);
}
