/* A connection: transactions, counters, and its end. Opening is open.c, schema steps are migrate.c,
 * audited changes and undo are change.c. */
#include "store/store_internal.h"

#include "base/mem.h"

void store_close(struct store *s)
{
    if (!s)
        return;
    store_rollback(s);
    for (size_t i = 0; i < s->stmt_count; i++)
        sqlite3_finalize(s->stmts[i].st);
    sqlite3_close_v2(s->db);
    mem_free(s->path);
    mem_free(s);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

int store_schema(const struct store *s)
{
    return s->schema;
}

int store_schema_newest(void)
{
    return (int)credswap_schema_count;
}

void store_set_key(struct store *s, const struct master_key *k)
{
    s->key = k;
}

const struct master_key *store_key(const struct store *s)
{
    return s->key;
}

const char *store_last_error(const struct store *s)
{
    return s->last.text;
}

enum err store_begin(struct store *s, struct errmsg *msg)
{
    if (s->in_tx)
        return db_set(s, msg, ERR_INVALID, "a transaction is open already");
    enum err e = db_exec(s, msg, "BEGIN IMMEDIATE", NO_VALS);
    s->in_tx = e == ERR_OK;
    return e;
}

enum err store_commit(struct store *s, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "COMMIT", NO_VALS);
    if (e == ERR_OK)
        s->in_tx = false;
    else
        store_rollback(s);
    return e;
}

void store_rollback(struct store *s)
{
    if (!s->in_tx)
        return;
    s->in_tx = false;
    if (!sqlite3_get_autocommit(s->db))
        (void)!sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

enum err store_read_begin(struct store *s, struct errmsg *msg)
{
    if (s->in_tx)
        return db_set(s, msg, ERR_INVALID, "a transaction is open already");
    enum err e = db_exec(s, msg, "BEGIN", NO_VALS);
    s->in_tx = e == ERR_OK;
    return e;
}

void store_read_end(struct store *s)
{
    store_rollback(s);
}

enum err store_generation(struct store *s, int64_t *ret, struct errmsg *msg)
{
    enum err e = db_int(s, ret, msg, "SELECT value FROM generation WHERE id = 1", NO_VALS);
    return e == ERR_NOT_FOUND
               ? db_set(s, msg, ERR_DB, "store %s: the row of table generation is gone", s->path)
               : e;
}

enum err store_data_version(struct store *s, int64_t *ret, struct errmsg *msg)
{
    return db_int(s, ret, msg, "PRAGMA data_version", NO_VALS);
}

static enum err wal_row(struct query *q, void *arg)
{
    bool *ret = arg;
    *ret = slice_eq(col_text(q, 0), SLICE("wal"));
    return ERR_OK;
}

bool store_is_wal(struct store *s)
{
    bool is_wal = false;
    return db_each(s, wal_row, &is_wal, NULL, "PRAGMA journal_mode", NO_VALS) == ERR_OK && is_wal;
}

static enum err integrity_row(struct query *q, void *arg)
{
    struct errmsg *finding = arg;
    struct slice text = col_text(q, 0);
    if (slice_eq(text, SLICE("ok")))
        return ERR_OK;
    return err_set(finding, ERR_DB, "%.*s", SLICE_FMT(text));
}

static enum err foreign_row(struct query *q, void *arg)
{
    struct errmsg *finding = arg;
    struct slice table = col_text(q, 0), parent = col_text(q, 2);
    return err_set(finding, ERR_DB, "row %lld of table %.*s names a missing %.*s",
                   (long long)col_int(q, 1), SLICE_FMT(table), SLICE_FMT(parent));
}

enum err store_check(struct store *s, struct errmsg *msg)
{
    struct errmsg finding = {""};
    enum err e = db_each(s, integrity_row, &finding, msg, "PRAGMA integrity_check(1)", NO_VALS);
    if (e == ERR_OK)
        e = db_each(s, foreign_row, &finding, msg, "PRAGMA foreign_key_check", NO_VALS);
    if (e != ERR_OK && finding.text[0])
        return db_set(s, msg, ERR_DB, "store %s: %.300s", s->path, finding.text);
    return e;
}
