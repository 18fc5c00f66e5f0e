/* Audited changes and their undoing. Temporary triggers of this connection note each configuration
 * row before and after; the commit turns what is left of it into one audit row, and undo writes the
 * rows before back. */
#include "store/store_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "store/event.h"

/* The columns of each table that people may see. Those of FIXED stand for something sealed or
 * hashed: no undo brings that back. */
#define COLS_pool(X, p) X(p, name)
#define FIXED_pool(X, p)
#define COLS_account(X, p)                                                                         \
    X(p, name)                                                                                     \
    X(p, kind)                                                                                     \
    X(p, state)                                                                                    \
    X(p, project)                                                                                  \
    X(p, location)                                                                                 \
    X(p, email) X(p, host) X(p, scope) X(p, quota_project) X(p, token_uri) X(p, note)
#define FIXED_account(X, p) X(p, key_id) X(p, key_fingerprint) X(p, cleared_at_ms)
#define COLS_client(X, p)                                                                          \
    X(p, name)                                                                                     \
    X(p, service)                                                                                  \
    X(p, pool) X(p, state) X(p, expires_at) X(p, rpm) X(p, tokens_per_day) X(p, models) X(p, note)
#define FIXED_client(X, p) X(p, visible) X(p, sa_key_id)
#define COLS_pool_member(X, p) X(p, pool) X(p, account) X(p, weight)
#define FIXED_pool_member(X, p)
#define COLS_account_model(X, p) X(p, account) X(p, model) X(p, domain)
#define FIXED_account_model(X, p)
#define COLS_host_rule(X, p) X(p, pattern) X(p, action) X(p, api) X(p, paths)
#define FIXED_host_rule(X, p)

/* A placeholder shows as the first bytes of its keyed hash. */
#define MORE_pool(p) ""
#define MORE_account(p) ""
#define MORE_client(p) ",'placeholder',lower(hex(substr(" p "placeholder_hash,1,4)))"
#define MORE_pool_member(p) ""
#define MORE_account_model(p) ""
#define MORE_host_rule(p) ""
#define DIFF_pool ""
#define DIFF_account ""
#define DIFF_client " OR json_extract(?1,'$.placeholder') IS NOT json_extract(?2,'$.placeholder')"
#define DIFF_pool_member ""
#define DIFF_account_model ""
#define DIFF_host_rule ""

#define JSON_COL(p, c) ",'" #c "'," p #c
#define SET_COL(p, c) "," #c "=json_extract(?1,'$." #c "')"
#define NAME_COL(p, c) "," #c
#define VALUE_COL(p, c) ",json_extract(?1,'$." #c "')"
#define DIFF_COL(p, c) " OR json_extract(?1,'$." #c "') IS NOT json_extract(?2,'$." #c "')"

#define JSON_OF(t, p)                                                                              \
    "json_object('id'," p "id" COLS_##t(JSON_COL, p) FIXED_##t(JSON_COL, p) MORE_##t(p) ")"
#define NOTE(t, id, before, after)                                                                 \
    "INSERT INTO credswap_change (tab, id, before, after) VALUES ('" #t "', " id ", " before       \
    ", " after "); END;"
#define TRIGGERS(t)                                                                                \
    "CREATE TEMP TRIGGER watch_" #t "_i AFTER INSERT ON main." #t " BEGIN " NOTE(                  \
        t, "new.id", "NULL",                                                                       \
        JSON_OF(t, "new.")) "CREATE TEMP TRIGGER watch_" #t "_u AFTER UPDATE ON main." #t          \
                            " BEGIN " NOTE(t, "new.id", JSON_OF(t, "old."),                        \
                                           JSON_OF(t, "new.")) "CREATE TEMP TRIGGER watch_" #t     \
                                                               "_d AFTER DELETE ON main." #t       \
                                                               " BEGIN " NOTE(t, "old.id",         \
                                                                              JSON_OF(t, "old."),  \
                                                                              "NULL")

struct watched {
    const char *name, *triggers, *current, *update, *insert, *remove, *fixed_differs;
    bool has_fixed;
};
#define WATCHED(t, fixed)                                                                          \
    {                                                                                              \
        .name = #t, .triggers = TRIGGERS(t),                                                       \
        .current = "SELECT " JSON_OF(t, "") " FROM " #t " WHERE id = ?1",                          \
        .update = "UPDATE " #t " SET id = id" COLS_##t(SET_COL, "") " WHERE id = ?2",              \
        .insert = "INSERT INTO " #t                                                                \
                  " (id" COLS_##t(NAME_COL, "") ") VALUES (?2" COLS_##t(VALUE_COL, "") ")",        \
        .remove = "DELETE FROM " #t " WHERE id = ?1",                                              \
        .fixed_differs = "SELECT 0" FIXED_##t(DIFF_COL, "") DIFF_##t, .has_fixed = fixed           \
    }

/* Parents before children: rows come back in this order and go in the other. */
static const struct watched watched[] = {
    WATCHED(pool, false),        WATCHED(account, true),        WATCHED(client, true),
    WATCHED(pool_member, false), WATCHED(account_model, false), WATCHED(host_rule, false),
};

static enum err watch_create(struct store *s, struct errmsg *msg)
{
    enum err e = db_script(
        s,
        "BEGIN;"
        "CREATE TEMP TABLE credswap_change (seq INTEGER PRIMARY KEY, tab TEXT, id INTEGER, before "
        "TEXT, after TEXT);"
        "CREATE INDEX temp.credswap_change_row ON credswap_change (tab, id, seq);"
        "CREATE TEMP TABLE credswap_undo (rank INTEGER, id INTEGER, before TEXT, after TEXT);",
        msg);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(watched); i++)
        e = db_script(s, watched[i].triggers, msg);
    if (e == ERR_OK)
        e = db_script(s, "COMMIT", msg);
    if (e != ERR_OK && !sqlite3_get_autocommit(s->db))
        (void)!sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

enum err store_change_begin(struct store *s, struct errmsg *msg)
{
    if (s->in_tx)
        return db_set(s, msg, ERR_INVALID, "a transaction is open already");
    enum err e = s->has_watch ? ERR_OK : watch_create(s, msg);
    if (e != ERR_OK)
        return e;
    s->has_watch = true;
    e = store_begin(s, msg);
    if (e == ERR_OK)
        e = db_exec(s, msg, "DELETE FROM temp.credswap_change", NO_VALS);
    if (e != ERR_OK)
        store_rollback(s);
    return e;
}

#define NET                                                                                        \
    "WITH net AS (SELECT tab, id,"                                                                 \
    " (SELECT before FROM credswap_change x WHERE x.tab = c.tab AND x.id = c.id ORDER BY seq "     \
    "LIMIT 1) b,"                                                                                  \
    " (SELECT after FROM credswap_change x WHERE x.tab = c.tab AND x.id = c.id ORDER BY seq DESC " \
    "LIMIT 1) a"                                                                                   \
    " FROM (SELECT tab, id FROM credswap_change GROUP BY tab, id ORDER BY min(seq)) c)"

static enum err audit(struct store *s, struct slice who, struct slice what, bool is_undo,
                      int64_t *ret_event, struct errmsg *msg)
{
    char who_buf[128], what_buf[500];
    int64_t changed = 0;
    enum err e =
        db_int(s, &changed, msg, NET " SELECT count(*) FROM net WHERE a IS NOT b", NO_VALS);
    if (e != ERR_OK || changed == 0)
        return e;
    e = db_exec(
        s, msg,
        NET
        " INSERT INTO event (at_ms, kind, who, what, before, after, generation, is_undo) VALUES "
        "(?1, 'audit', ?2, ?3,"
        " (SELECT json_group_array(json_object('table', tab, 'id', id, 'row', json(b))) FROM net"
        "  WHERE a IS NOT b AND b IS NOT NULL),"
        " (SELECT json_group_array(json_object('table', tab, 'id', id, 'row', json(a))) FROM net"
        "  WHERE a IS NOT b AND a IS NOT NULL),"
        " (SELECT value FROM generation), ?4)",
        VALS(v_int(clock_wall_ms()), v_text(db_clean(who, who_buf, sizeof who_buf)),
             v_text(db_clean(what, what_buf, sizeof what_buf)), v_int(is_undo)));
    if (e == ERR_OK)
        *ret_event = db_last_id(s);
    return e;
}

static enum err change_commit(struct store *s, struct slice who, struct slice what, bool is_undo,
                              int64_t undone, int64_t *ret_event, struct errmsg *msg)
{
    int64_t event = 0;
    enum err e = s->has_watch && s->in_tx ? audit(s, who, what, is_undo, &event, msg)
                                          : db_set(s, msg, ERR_INVALID, "no change was begun");
    if (e == ERR_OK && undone)
        e = db_exec(s, msg, "UPDATE event SET undone_by = ?2 WHERE id = ?1",
                    VALS(v_int(undone), v_int(event)));
    if (e == ERR_OK)
        e = store_commit(s, msg);
    else
        store_rollback(s);
    if (e == ERR_OK && ret_event)
        *ret_event = event;
    return e;
}

enum err store_change_commit(struct store *s, struct slice who, struct slice what,
                             int64_t *ret_event, struct errmsg *msg)
{
    return change_commit(s, who, what, false, 0, ret_event, msg);
}

/* ---- undo ---- */

struct undo {
    struct store *s;
    struct errmsg *msg;
    int64_t event;
    char what[500];
};

static enum err found_event(struct query *q, void *arg)
{
    struct undo *u = arg;
    u->event = col_int(q, 0);
    struct slice what = col_text(q, 1);
    if (!slice_copy(slice_sub(what, 0, sizeof u->what - 1), u->what, sizeof u->what))
        u->what[0] = '\0';
    return ERR_OK;
}

#define UNDOABLE                                                                                   \
    " FROM event WHERE kind = 'audit' AND undone_by = 0 AND before GLOB '[[]*' AND "               \
    "json_valid(before) AND json_valid(after)"

static enum err fate_row(struct query *q, void *arg)
{
    struct undo *u = arg;
    if (col_int(q, 2))
        return db_set(u->s, u->msg, ERR_NOT_FOUND, "event %lld was undone already, by event %lld",
                      (long long)col_int(q, 0), (long long)col_int(q, 2));
    return db_set(u->s, u->msg, ERR_NOT_FOUND,
                  "event %lld changed no row that could be put back: %.200s",
                  (long long)col_int(q, 0), col_text(q, 1).p);
}

/* Why EVENT cannot be undone. */
static enum err not_undoable(struct undo *u, int64_t event)
{
    enum err e = ERR_OK;
    if (event)
        e = db_each(u->s, fate_row, u, u->msg,
                    "SELECT id, what, undone_by FROM event WHERE id = ?1", VALS(v_int(event)));
    if (e == ERR_OK && event)
        return db_set(u->s, u->msg, ERR_NOT_FOUND, "there is no event %lld", (long long)event);
    return e == ERR_OK ? db_set(u->s, u->msg, ERR_NOT_FOUND, "there is nothing to undo") : e;
}

static enum err find_event(struct undo *u, int64_t event)
{
    u->event = 0;
    enum err e =
        event ? db_each(u->s, found_event, u, u->msg, "SELECT id, what" UNDOABLE " AND id = ?1",
                        VALS(v_int(event)))
              : db_each(u->s, found_event, u, u->msg,
                        "SELECT id, what" UNDOABLE " AND is_undo = 0 ORDER BY id DESC LIMIT 1",
                        NO_VALS);
    return e == ERR_OK && u->event == 0 ? not_undoable(u, event) : e;
}

/* Rows of the event side by side: before, after. Tables are known by their place in WATCHED. */
static enum err load_rows(struct undo *u)
{
    enum err e = db_exec(u->s, u->msg, "DELETE FROM temp.credswap_undo", NO_VALS);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(watched); i++)
        e = db_exec(
            u->s, u->msg,
            "WITH b AS (SELECT json_extract(value, '$.id') i, json_extract(value, '$.row') r FROM "
            "json_each((SELECT before FROM event WHERE id = ?1)) WHERE json_extract(value, "
            "'$.table') = ?2),"
            " a AS (SELECT json_extract(value, '$.id') i, json_extract(value, '$.row') r FROM "
            "json_each((SELECT after FROM event WHERE id = ?1)) WHERE json_extract(value, "
            "'$.table') = ?2)"
            " INSERT INTO credswap_undo SELECT ?3, b.i, b.r, a.r FROM b LEFT JOIN a ON a.i = b.i"
            " UNION ALL SELECT ?3, a.i, NULL, a.r FROM a WHERE a.i NOT IN (SELECT i FROM b)",
            VALS(v_int(u->event), v_z(watched[i].name), v_int((int64_t)i)));
    return e;
}

struct row_now {
    struct slice after; /* as the event left it */
    bool is_there, is_same;
};

static enum err row_now(struct query *q, void *arg)
{
    struct row_now *now = arg;
    now->is_there = true;
    now->is_same = slice_eq(col_text(q, 0), now->after);
    return ERR_OK;
}

/* What was sealed or hashed cannot come back. */
static enum err check_fixed(struct undo *u, const struct watched *w, struct query *q)
{
    int64_t differs = 1;
    enum err e = ERR_OK;
    if (!col_is_null(q, 3))
        e = db_int(u->s, &differs, u->msg, w->fixed_differs,
                   VALS(v_text(col_text(q, 2)), v_text(col_text(q, 3))));
    if (e == ERR_OK && differs)
        return db_set(u->s, u->msg, ERR_DENIED,
                      "this cannot be undone: what the %s had as its key, placeholder or cool-down "
                      "is gone",
                      w->name);
    return e;
}

/* Columns: rank, id, before, after. */
static enum err check_row(struct query *q, void *arg)
{
    struct undo *u = arg;
    const struct watched *w = &watched[col_int(q, 0)];
    int64_t id = col_int(q, 1);
    bool was_removed = col_is_null(q, 3);
    struct row_now now = {.after = col_text(q, 3)};
    enum err e = db_each(u->s, row_now, &now, u->msg, w->current, VALS(v_int(id)));
    if (e != ERR_OK)
        return e;
    if (now.is_there == was_removed || (now.is_there && !now.is_same))
        return db_set(u->s, u->msg, ERR_INVALID,
                      "row %lld of %s was changed again since; undo the later change first",
                      (long long)id, w->name);
    return col_is_null(q, 2) || !w->has_fixed ? ERR_OK : check_fixed(u, w, q);
}

static enum err put_row(struct query *q, void *arg)
{
    struct undo *u = arg;
    const struct watched *w = &watched[col_int(q, 0)];
    return db_exec(u->s, u->msg, col_is_null(q, 3) ? w->insert : w->update,
                   VALS(v_text(col_text(q, 2)), v_int(col_int(q, 1))));
}

static enum err remove_row(struct query *q, void *arg)
{
    struct undo *u = arg;
    return db_exec(u->s, u->msg, watched[col_int(q, 0)].remove, VALS(v_int(col_int(q, 1))));
}

static enum err undo_rows(struct undo *u)
{
    enum err e = load_rows(u);
    if (e == ERR_OK)
        e = db_each(u->s, check_row, u, u->msg,
                    "SELECT rank, id, before, after FROM credswap_undo ORDER BY rank", NO_VALS);
    if (e == ERR_OK)
        e = db_each(u->s, put_row, u, u->msg,
                    "SELECT rank, id, before, after FROM credswap_undo WHERE before IS NOT NULL "
                    "ORDER BY rank",
                    NO_VALS);
    if (e == ERR_OK)
        e = db_each(u->s, remove_row, u, u->msg,
                    "SELECT rank, id FROM credswap_undo WHERE before IS NULL ORDER BY rank DESC",
                    NO_VALS);
    return e;
}

enum err store_undo(struct store *s, struct slice who, int64_t event, struct errmsg *ret_what,
                    struct errmsg *msg)
{
    struct undo u = {.s = s, .msg = msg};
    enum err e = store_change_begin(s, msg);
    if (e != ERR_OK)
        return e;
    e = find_event(&u, event);
    if (e == ERR_OK)
        e = undo_rows(&u);
    if (e != ERR_OK) {
        store_rollback(s);
        return e;
    }
    struct errmsg what;
    err_set(&what, ERR_OK, "undo of %lld: %.400s", (long long)u.event, u.what);
    e = change_commit(s, who, slice_of(what.text), true, u.event, NULL, msg);
    if (e == ERR_OK && ret_what)
        err_set(ret_what, ERR_OK, "%s", u.what);
    return e;
}
