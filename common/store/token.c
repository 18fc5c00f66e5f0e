/* Tokens at rest. A sealed token opens only for its account's id and its scope. */
#include "store/token.h"
#include "store/store_internal.h"

#include <stdio.h>

#define SCOPE_MAX 2048
#define TOKEN_MAX 16384
#define ERROR_MAX 300

/* The name of the row in the seal: "7 https://www.googleapis.com/auth/cloud-platform". */
struct token_place {
    char row[SCOPE_MAX + 32];
    struct seal_place at;
};

static bool place_of(int64_t account_id, struct slice scope, struct token_place *ret)
{
    if (scope.n == 0 || scope.n > SCOPE_MAX)
        return false;
    snprintf(ret->row, sizeof ret->row, "%lld %.*s", (long long)account_id, SLICE_FMT(scope));
    ret->at = (struct seal_place){"token", ret->row, "sealed"};
    return true;
}

#define TOKEN_COLUMNS                                                                              \
    "SELECT a.id, t.account, t.scope, t.expires_at, t.minted_at, t.mints, t.fails, t.retry_at, "   \
    "t.last_error, t.mint_ms, t.sealed IS NOT NULL, t.fingerprint FROM token t "                   \
    "JOIN account a ON a.name = t.account "

struct walk {
    token_state_cb cb;
    void *arg;
};

static enum err state_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct token_state t = {
        .account_id = col_int(q, 0),
        .account = col_text(q, 1),
        .scope = col_text(q, 2),
        .expires_at = col_int(q, 3),
        .minted_at = col_int(q, 4),
        .mints = col_int(q, 5),
        .fails = col_int(q, 6),
        .retry_at = col_int(q, 7),
        .last_error = col_text(q, 8),
        .mint_ms = col_int(q, 9),
        .has_token = col_int(q, 10) != 0,
        .fingerprint = col_text(q, 11),
    };
    return w->cb(w->arg, &t);
}

enum err token_list(struct store *s, token_state_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, state_row, &w, msg, TOKEN_COLUMNS "ORDER BY t.account, t.scope", NO_VALS);
}

enum err token_state_get(struct store *s, int64_t account_id, struct slice scope, token_state_cb cb,
                         void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_one(s, state_row, &w, "token for scope", scope, msg,
                  TOKEN_COLUMNS "WHERE a.id = ?1 AND t.scope = ?2",
                  VALS(v_int(account_id), v_text(scope)));
}

struct load {
    struct store *s;
    const struct master_key *k;
    const struct seal_place *at;
    struct secret **ret;
    int64_t expires_at;
    struct errmsg *msg;
};

static enum err load_row(struct query *q, void *arg)
{
    struct load *l = arg;
    enum err e = unseal(l->k, l->at, col_blob(q, 0), l->ret);
    if (e != ERR_OK)
        return db_set(l->s, l->msg, e, "the stored token of this account does not open");
    l->expires_at = col_int(q, 1);
    return ERR_OK;
}

enum err token_load(struct store *s, const struct master_key *k, int64_t account_id,
                    struct slice scope, struct secret **ret, int64_t *ret_expires_at,
                    struct errmsg *msg)
{
    struct token_place place;
    if (!place_of(account_id, scope, &place))
        return db_set(s, msg, ERR_INVALID, "a scope has 1 to %d bytes", SCOPE_MAX);
    struct load l = {s, k, &place.at, ret, 0, msg};
    enum err e =
        db_one(s, load_row, &l, "stored token for scope", scope, msg,
               "SELECT t.sealed, t.expires_at FROM token t JOIN account a ON a.name = t.account "
               "WHERE a.id = ?1 AND t.scope = ?2 AND t.sealed IS NOT NULL",
               VALS(v_int(account_id), v_text(scope)));
    if (e == ERR_OK)
        *ret_expires_at = l.expires_at;
    return e;
}

static enum err gone(struct store *s, enum err e, int64_t account_id, struct errmsg *msg)
{
    char row[24];
    return db_need_change(s, e, "account id", slice_of(seal_row(account_id, row)), msg);
}

enum err token_store(struct store *s, const struct master_key *k, int64_t account_id,
                     struct slice scope, struct slice token, int64_t expires_at, int64_t minted_at,
                     int64_t mint_ms, struct errmsg *msg)
{
    struct token_place place;
    if (!place_of(account_id, scope, &place) || token.n == 0 || token.n > TOKEN_MAX)
        return db_set(s, msg, ERR_INVALID, "a token has 1 to %d bytes", TOKEN_MAX);
    char print[FINGERPRINT_SIZE];
    fingerprint(token, print);
    struct sbuf sealed;
    sbuf_init(&sealed, TOKEN_MAX + 256);
    enum err e = seal(k, &place.at, token, &sealed);
    if (e != ERR_OK)
        db_set(s, msg, e, "the token cannot be sealed: %s", err_str(e));
    else
        e = db_exec(s, msg,
                    "INSERT INTO token (account, scope, expires_at, minted_at, mints, mint_ms, "
                    "fingerprint, sealed) SELECT name, ?2, ?3, ?4, 1, ?5, ?6, ?7 FROM account "
                    "WHERE id = ?1 ON CONFLICT (account, scope) DO UPDATE SET "
                    "expires_at = excluded.expires_at, minted_at = excluded.minted_at, "
                    "mints = mints + 1, mint_ms = excluded.mint_ms, fails = 0, retry_at = 0, "
                    "last_error = '', fingerprint = excluded.fingerprint, sealed = excluded.sealed",
                    VALS(v_int(account_id), v_text(scope), v_int(expires_at), v_int(minted_at),
                         v_int(mint_ms), v_z(print), v_blob(sbuf_slice(&sealed))));
    sbuf_finish(&sealed);
    return gone(s, e, account_id, msg);
}

enum err token_fail(struct store *s, int64_t account_id, struct slice scope, int64_t fails,
                    int64_t retry_at, struct slice error, struct errmsg *msg)
{
    char buf[ERROR_MAX];
    enum err e = db_exec(s, msg,
                         "INSERT INTO token (account, scope, fails, retry_at, last_error) "
                         "SELECT name, ?2, ?3, ?4, ?5 FROM account WHERE id = ?1 "
                         "ON CONFLICT (account, scope) DO UPDATE SET fails = excluded.fails, "
                         "retry_at = excluded.retry_at, last_error = excluded.last_error",
                         VALS(v_int(account_id), v_text(scope), v_int(fails), v_int(retry_at),
                              v_text(db_clean(error, buf, sizeof buf))));
    return gone(s, e, account_id, msg);
}

enum err token_drop(struct store *s, int64_t account_id, struct slice scope,
                    struct slice fingerprint_or_any, struct errmsg *msg)
{
    return db_exec(s, msg,
                   "UPDATE token SET sealed = NULL, fingerprint = '', expires_at = 0 "
                   "WHERE account = (SELECT name FROM account WHERE id = ?1) AND scope = ?2 "
                   "AND (?3 = '' OR fingerprint = ?3)",
                   VALS(v_int(account_id), v_text(scope), v_text(fingerprint_or_any)));
}

enum err token_drop_all(struct store *s, int64_t account_id, struct errmsg *msg)
{
    return db_exec(s, msg,
                   "UPDATE token SET sealed = NULL, fingerprint = '', expires_at = 0 "
                   "WHERE ?1 = 0 OR account = (SELECT name FROM account WHERE id = ?1)",
                   VALS(v_int(account_id)));
}
