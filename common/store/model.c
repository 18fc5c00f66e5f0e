/* Model rows of accounts. */
#include "store/model.h"
#include "store/store_internal.h"

struct walk {
    model_cb cb;
    void *arg;
};

static enum err model_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct model m = {col_int(q, 0), col_text(q, 1), col_text(q, 2), col_text(q, 3)};
    return w->cb(w->arg, &m);
}

enum err model_list(struct store *s, struct slice account, model_cb cb, void *arg,
                    struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, model_row, &w, msg,
                   "SELECT id, account, model, domain FROM account_model "
                   "WHERE ?1 = '' OR account = ?1 ORDER BY account, model",
                   VALS(v_text(account)));
}

enum err model_set(struct store *s, struct slice account, struct slice model, struct slice domain,
                   struct errmsg *msg)
{
    return db_exec(s, msg,
                   "INSERT INTO account_model (account, model, domain) VALUES (?1, ?2, ?3) "
                   "ON CONFLICT (account, model) DO UPDATE SET domain = excluded.domain",
                   VALS(v_text(account), v_text(model), v_text(domain)));
}

enum err model_remove(struct store *s, struct slice account, struct slice model, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "DELETE FROM account_model WHERE account = ?1 AND model = ?2",
                         VALS(v_text(account), v_text(model)));
    return db_need_change(s, e, "model of this account", model, msg);
}
