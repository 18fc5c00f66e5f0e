/* Cool-downs, as the writer keeps them for the next start and for people. */
#include "store/cooldown.h"
#include "store/store_internal.h"

struct walk {
    cooldown_cb cb;
    void *arg;
};

static enum err cooldown_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct cooldown_row c = {
        .account_id = col_int(q, 0),
        .account = col_text(q, 1),
        .model = col_text(q, 2),
        .since_ms = col_int(q, 3),
        .until_ms = col_int(q, 4),
        .step = col_int(q, 5),
        .reason = col_text(q, 6),
    };
    return w->cb(w->arg, &c);
}

enum err cooldown_list(struct store *s, int64_t now_ms, cooldown_cb cb, void *arg,
                       struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, cooldown_row, &w, msg,
                   "SELECT a.id, c.account, c.model, c.since_ms, c.until_ms, c.step, c.reason "
                   "FROM cooldown c JOIN account a ON a.name = c.account "
                   "WHERE c.until_ms > ?1 AND c.since_ms >= a.cleared_at_ms ORDER BY c.until_ms",
                   VALS(v_int(now_ms)));
}

enum err cooldown_put(struct store *s, const struct cooldown_row *row, struct errmsg *msg)
{
    char model[128], reason[64], id[24];
    enum err e =
        db_exec(s, msg,
                "INSERT INTO cooldown (account, model, since_ms, until_ms, step, reason) "
                "SELECT name, ?2, ?3, ?4, ?5, ?6 FROM account WHERE id = ?1 "
                "ON CONFLICT (account, model) DO UPDATE SET since_ms = excluded.since_ms, "
                "until_ms = excluded.until_ms, step = excluded.step, reason = excluded.reason",
                VALS(v_int(row->account_id), v_text(db_clean(row->model, model, sizeof model)),
                     v_int(row->since_ms), v_int(row->until_ms), v_int(row->step),
                     v_text(db_clean(row->reason, reason, sizeof reason))));
    return db_need_change(s, e, "account id", slice_of(seal_row(row->account_id, id)), msg);
}

enum err cooldown_remove(struct store *s, int64_t account_id, struct slice model,
                         struct errmsg *msg)
{
    return db_exec(s, msg,
                   "DELETE FROM cooldown WHERE account = (SELECT name FROM account WHERE id = ?1) "
                   "AND model = ?2",
                   VALS(v_int(account_id), v_text(model)));
}

enum err cooldown_prune(struct store *s, int64_t before_ms, struct errmsg *msg)
{
    return db_exec(s, msg, "DELETE FROM cooldown WHERE until_ms < ?1", VALS(v_int(before_ms)));
}
