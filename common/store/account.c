/* Accounts. A key is sealed under the id of its row, so it is written in two steps: the row, then
 * the key. */
#include "store/account.h"
#include "store/store_internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <string.h>

#define KEY_MAX 65536

static const char *const kinds[] = {"service", "api-key"};
static const char *const states[] = {"up", "drain", "off"};

const char *account_kind_name(enum account_kind k)
{
    return kinds[(unsigned)k < ARRAY_LEN(kinds) ? k : 0];
}

const char *account_state_name(enum account_state s)
{
    return states[(unsigned)s < ARRAY_LEN(states) ? s : ACCOUNT_OFF];
}

bool account_kind_from(struct slice text, enum account_kind *ret)
{
    int i = word_index(kinds, ARRAY_LEN(kinds), text);
    if (i >= 0)
        *ret = (enum account_kind)i;
    return i >= 0;
}

bool account_state_from(struct slice text, enum account_state *ret)
{
    int i = word_index(states, ARRAY_LEN(states), text);
    if (i >= 0)
        *ret = (enum account_state)i;
    return i >= 0;
}

#define ACCOUNT_COLUMNS                                                                            \
    "SELECT id, name, kind, state, project, location, email, host, key_id, key_fingerprint, "      \
    "scope, quota_project, token_uri, note, cleared_at_ms, created_at FROM account "

struct walk {
    account_cb cb;
    void *arg;
};

static enum err account_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct account a = {
        .id = col_int(q, 0),
        .name = col_text(q, 1),
        .kind = ACCOUNT_SERVICE,
        .state = ACCOUNT_OFF,
        .project = col_text(q, 4),
        .location = col_text(q, 5),
        .email = col_text(q, 6),
        .host = col_text(q, 7),
        .key_id = col_text(q, 8),
        .key_fingerprint = col_text(q, 9),
        .scope = col_text(q, 10),
        .quota_project = col_text(q, 11),
        .token_uri = col_text(q, 12),
        .note = col_text(q, 13),
        .cleared_at_ms = col_int(q, 14),
        .created_at = col_int(q, 15),
    };
    /* The schema admits the known words only; an unknown one of a newer schema shows as off. */
    (void)account_kind_from(col_text(q, 2), &a.kind);
    (void)account_state_from(col_text(q, 3), &a.state);
    return w->cb(w->arg, &a);
}

enum err account_list(struct store *s, account_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, account_row, &w, msg, ACCOUNT_COLUMNS "ORDER BY name", NO_VALS);
}

enum err account_get(struct store *s, struct slice name, account_cb cb, void *arg,
                     struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_one(s, account_row, &w, "account", name, msg, ACCOUNT_COLUMNS "WHERE name = ?1",
                  VALS(v_text(name)));
}

static enum err id_row(struct query *q, void *arg)
{
    int64_t *ret = arg;
    *ret = col_int(q, 0);
    return ERR_OK;
}

enum err account_id(struct store *s, struct slice name, int64_t *ret, struct errmsg *msg)
{
    return db_one(s, id_row, ret, "account", name, msg, "SELECT id FROM account WHERE name = ?1",
                  VALS(v_text(name)));
}

/* An API key goes into a header as it is. */
static enum err check_key(struct store *s, enum account_kind kind, struct slice key,
                          struct errmsg *msg)
{
    if (key.n == 0 || key.n > KEY_MAX)
        return db_set(s, msg, ERR_INVALID, "a key has 1 to %d bytes", KEY_MAX);
    for (size_t i = 0; kind == ACCOUNT_API_KEY && i < key.n; i++)
        if (key.p[i] < '!' || key.p[i] > '~')
            return db_set(s, msg, ERR_INVALID, "an API key is visible ASCII without spaces");
    return ERR_OK;
}

static enum err put_key(struct store *s, const struct master_key *k, int64_t id, struct slice key,
                        const struct slice *key_id, struct errmsg *msg)
{
    char row[24], print[FINGERPRINT_SIZE];
    struct sbuf sealed;
    sbuf_init(&sealed, KEY_MAX + 256);
    struct seal_place at = {"account", seal_row(id, row), "key"};
    enum err e = k ? seal(k, &at, key, &sealed) : ERR_CRYPTO;
    if (e != ERR_OK)
        db_set(s, msg, e, "the key cannot be sealed: %s", k ? err_str(e) : "no master key");
    fingerprint(key, print);
    if (e == ERR_OK)
        e = db_exec(s, msg,
                    "UPDATE account SET key_sealed = ?2, key_fingerprint = ?3, "
                    "key_id = coalesce(?4, key_id) WHERE id = ?1",
                    VALS(v_int(id), v_blob(sbuf_slice(&sealed)), v_z(print),
                         key_id ? v_text(*key_id) : v_null()));
    sbuf_finish(&sealed);
    return e;
}

static enum err insert(struct store *s, enum account_kind kind, const struct account_fields *f,
                       struct errmsg *msg)
{
    enum account_state state = f->state ? *f->state : ACCOUNT_UP;
    return db_exec(
        s, msg,
        "INSERT INTO account (name, kind, state, project, location, email, host, key_id, scope, "
        "quota_project, token_uri, note, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
        "coalesce(nullif(?9, ''), '" ACCOUNT_DEFAULT_SCOPE
        "'), ?10, coalesce(nullif(?11, ''), '" ACCOUNT_DEFAULT_TOKEN_URI "'), ?12, ?13)",
        VALS(v_text(f->name), v_z(account_kind_name(kind)), v_z(account_state_name(state)),
             v_text(f->project), v_text(f->location), v_text(f->email), v_text(f->host),
             v_text(f->key_id), v_text(f->scope), v_text(f->quota_project), v_text(f->token_uri),
             v_text(f->note), v_int(clock_wall_s())));
}

/* SQLite names the column, people the thing. */
static enum err name_taken(struct store *s, enum err e, struct slice name, struct errmsg *msg)
{
    char buf[128];
    struct slice shown = db_clean(name, buf, sizeof buf);
    return e == ERR_EXISTS ? db_set(s, msg, e, "an account %.*s exists already", SLICE_FMT(shown))
                           : e;
}

enum err account_add(struct store *s, const struct master_key *k, enum account_kind kind,
                     const struct account_fields *f, struct slice key, int64_t *ret_id,
                     struct errmsg *msg)
{
    struct scope sc;
    enum err e = check_key(s, kind, key, msg);
    if (e == ERR_OK)
        e = db_scope_begin(s, &sc, msg);
    if (e != ERR_OK)
        return e;
    int64_t id = 0;
    e = name_taken(s, insert(s, kind, f, msg), f->name, msg);
    if (e == ERR_OK) {
        id = db_last_id(s);
        e = put_key(s, k, id, key, NULL, msg);
    }
    e = db_scope_end(s, &sc, e, msg);
    if (e == ERR_OK && ret_id)
        *ret_id = id;
    return e;
}

enum err account_set(struct store *s, struct slice name, const struct account_fields *f,
                     struct errmsg *msg)
{
    enum err e = db_exec(
        s, msg,
        "UPDATE account SET name = coalesce(?2, name), project = coalesce(?3, project), "
        "location = coalesce(?4, location), email = coalesce(?5, email), host = coalesce(?6, "
        "host), "
        "key_id = coalesce(?7, key_id), scope = coalesce(?8, scope), "
        "quota_project = coalesce(?9, quota_project), token_uri = coalesce(?10, token_uri), "
        "note = coalesce(?11, note), state = coalesce(?12, state) WHERE name = ?1",
        VALS(v_text(name), v_text_or_null(f->name), v_text_or_null(f->project),
             v_text_or_null(f->location), v_text_or_null(f->email), v_text_or_null(f->host),
             v_text_or_null(f->key_id), v_text_or_null(f->scope), v_text_or_null(f->quota_project),
             v_text_or_null(f->token_uri), v_text_or_null(f->note),
             f->state ? v_z(account_state_name(*f->state)) : v_null()));
    return db_need_change(s, name_taken(s, e, f->name, msg), "account", name, msg);
}

struct key_owner {
    int64_t id;
    enum account_kind kind;
};

static enum err owner_row(void *arg, const struct account *a)
{
    struct key_owner *o = arg;
    *o = (struct key_owner){a->id, a->kind};
    return ERR_OK;
}

enum err account_set_key(struct store *s, const struct master_key *k, struct slice name,
                         struct slice key, struct slice key_id, struct errmsg *msg)
{
    struct scope sc;
    enum err e = db_scope_begin(s, &sc, msg);
    if (e != ERR_OK)
        return e;
    struct key_owner o = {0, ACCOUNT_SERVICE};
    e = account_get(s, name, owner_row, &o, msg);
    if (e == ERR_OK)
        e = check_key(s, o.kind, key, msg);
    if (e == ERR_OK)
        e = put_key(s, k, o.id, key, &key_id, msg);
    if (e == ERR_OK)
        e = db_exec(s, msg, "DELETE FROM token WHERE account = ?1", VALS(v_text(name)));
    return db_scope_end(s, &sc, e, msg);
}

enum err account_remove(struct store *s, struct slice name, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "DELETE FROM account WHERE name = ?1", VALS(v_text(name)));
    return db_need_change(s, e, "account", name, msg);
}

enum err account_clear(struct store *s, struct slice name, struct errmsg *msg)
{
    struct scope sc;
    enum err e = db_scope_begin(s, &sc, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(s, msg, "UPDATE account SET cleared_at_ms = ?2 WHERE name = ?1",
                VALS(v_text(name), v_int(clock_wall_ms())));
    e = db_need_change(s, e, "account", name, msg);
    if (e == ERR_OK)
        e = db_exec(s, msg, "DELETE FROM cooldown WHERE account = ?1", VALS(v_text(name)));
    if (e == ERR_OK)
        e = db_exec(s, msg,
                    "UPDATE token SET fails = 0, retry_at = 0 WHERE account = ?1 AND fails > 0",
                    VALS(v_text(name)));
    return db_scope_end(s, &sc, e, msg);
}

struct unseal_walk {
    struct store *s;
    const struct master_key *k;
    struct errmsg *msg;
    struct secret **ret;
    size_t bad;
};

static enum err unseal_row(struct query *q, void *arg)
{
    struct unseal_walk *w = arg;
    char row[24];
    struct seal_place at = {"account", seal_row(col_int(q, 0), row), "key"};
    struct slice name = col_text(q, 2);
    if (col_is_null(q, 1))
        return db_set(w->s, w->msg, ERR_NOT_FOUND, "account %.*s has no key", SLICE_FMT(name));
    enum err e = unseal(w->k, &at, col_blob(q, 1), w->ret);
    return e == ERR_OK ? e
                       : db_set(w->s, w->msg, e,
                                "the key of account %.*s does not open with this master key",
                                SLICE_FMT(name));
}

enum err account_key_unseal(struct store *s, const struct master_key *k, int64_t id,
                            struct secret **ret, struct errmsg *msg)
{
    struct unseal_walk w = {.s = s, .k = k, .msg = msg, .ret = ret};
    char row[24];
    return db_one(s, unseal_row, &w, "account id", slice_of(seal_row(id, row)), msg,
                  "SELECT id, key_sealed, name FROM account WHERE id = ?1", VALS(v_int(id)));
}

static enum err check_row(struct query *q, void *arg)
{
    struct unseal_walk *w = arg;
    struct secret *key = NULL;
    w->ret = &key;
    enum err e = unseal_row(q, w);
    secret_unref(&key);
    if (e != ERR_OK)
        w->bad++;
    return e == ERR_NOMEM ? e : ERR_OK;
}

enum err account_check_keys(struct store *s, const struct master_key *k, size_t *ret_bad,
                            struct errmsg *msg)
{
    struct unseal_walk w = {.s = s, .k = k, .msg = msg};
    enum err e = db_each(s, check_row, &w, msg,
                         "SELECT id, key_sealed, name FROM account ORDER BY id", NO_VALS);
    if (e == ERR_OK)
        *ret_bad = w.bad;
    return e;
}
