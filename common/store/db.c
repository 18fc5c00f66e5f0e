/* Statements and values: the one place that calls SQLite's step, bind and column functions. Every
 * failure becomes an enum err with a sentence here. */
#include "store/store_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

static enum err constraint_code(int extended)
{
    switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return ERR_EXISTS;
    default:
        return ERR_INVALID;
    }
}

enum err db_code(int extended)
{
    switch (extended & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return ERR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return ERR_IO;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    case SQLITE_CONSTRAINT:
        return constraint_code(extended);
    case SQLITE_MISMATCH:
        return ERR_INVALID;
    default:
        return ERR_DB;
    }
}

/* SQLite's words for a broken CHECK are "CHECK constraint failed: NAME", and our names are
 * sentences. */
static const char *constraint_words(const char *text)
{
    static const char lead[] = "CHECK constraint failed: ";
    return strncmp(text, lead, sizeof lead - 1) == 0 ? text + sizeof lead - 1 : text;
}

static enum err busy(struct store *s, struct errmsg *msg)
{
    int pid = store_locked_by(s->path);
    if (pid > 0)
        return db_set(s, msg, ERR_BUSY, "store %s: locked by process %d; try again", s->path, pid);
    return db_set(s, msg, ERR_BUSY, "store %s: locked by another program; try again", s->path);
}

static enum err constraint(struct store *s, int extended, struct errmsg *msg)
{
    const char *text = constraint_words(sqlite3_errmsg(s->db));
    if (extended == SQLITE_CONSTRAINT_TRIGGER && strncmp(text, "no such ", 8) == 0)
        return db_set(s, msg, ERR_NOT_FOUND, "%s", text);
    if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
        return db_set(s, msg, ERR_INVALID,
                      "it names something that is not there, or is still used");
    return db_set(s, msg, constraint_code(extended), "%s", text);
}

enum err db_failed(struct store *s, struct errmsg *msg)
{
    int extended = sqlite3_extended_errcode(s->db);
    s->last_rc = extended;
    enum err e = db_code(extended);
    switch (extended & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return busy(s, msg);
    case SQLITE_CONSTRAINT:
        return constraint(s, extended, msg);
    case SQLITE_FULL:
        return db_set(s, msg, e, "store %s: the disk is full", s->path);
    case SQLITE_READONLY:
        return db_set(s, msg, e, "store %s: it is read-only", s->path);
    case SQLITE_IOERR: /* of the files beside the database SQLite says no more than that */
        if (sqlite3_system_errno(s->db) == ENOSPC)
            return db_set(s, msg, e, "store %s: the disk is full", s->path);
        return db_set(s, msg, e, "store %s: %s", s->path, sqlite3_errmsg(s->db));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return db_set(s, msg, ERR_DB, "store %s: the file is damaged (%s); restore a backup",
                      s->path, sqlite3_errmsg(s->db));
    default:
        return db_set(s, msg, e == ERR_OK ? ERR_DB : e, "store %s: %s", s->path,
                      sqlite3_errmsg(s->db));
    }
}

enum err db_script(struct store *s, const char *sql, struct errmsg *msg)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : db_failed(s, msg);
}

static struct stmt *stmt_find(struct store *s, const char *sql)
{
    for (size_t i = 0; i < s->stmt_count; i++)
        if (s->stmts[i].sql == sql)
            return &s->stmts[i];
    return NULL;
}

/* A statement that is running already (a callback that asks the same again) gets a second, uncached
 * copy. */
static enum err stmt_take(struct store *s, const char *sql, struct query *ret, struct errmsg *msg)
{
    struct stmt *slot = stmt_find(s, sql);
    *ret = (struct query){.s = s};
    if (slot && !slot->is_busy) {
        slot->is_busy = true;
        ret->slot = slot;
        ret->st = slot->st;
        return ERR_OK;
    }
    unsigned how = slot ? 0 : SQLITE_PREPARE_PERSISTENT;
    if (sqlite3_prepare_v3(s->db, sql, -1, how, &ret->st, NULL) != SQLITE_OK)
        return db_failed(s, msg);
    if (!slot && s->stmt_count < STMT_MAX) {
        ret->slot = &s->stmts[s->stmt_count++];
        *ret->slot = (struct stmt){sql, ret->st, true};
    }
    return ERR_OK;
}

static int bind_one(sqlite3_stmt *st, int at, const struct val *v)
{
    const char *p = v->s.p ? v->s.p : "";
    switch (v->type) {
    case VAL_INT:
        return sqlite3_bind_int64(st, at, v->i);
    case VAL_REAL:
        return sqlite3_bind_double(st, at, v->d);
    case VAL_TEXT:
        return sqlite3_bind_text64(st, at, p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case VAL_BLOB:
        return sqlite3_bind_blob64(st, at, p, v->s.n, SQLITE_STATIC);
    case VAL_NULL:
        break;
    }
    return sqlite3_bind_null(st, at);
}

enum err db_query(struct store *s, struct query *ret, struct errmsg *msg, const char *sql,
                  const struct val *vals, size_t count)
{
    /* A full disk can make SQLite roll back on its own. What follows must not commit alone. */
    if (s->in_tx && sqlite3_get_autocommit(s->db)) {
        struct errmsg why = s->last;
        return db_set(s, msg, ERR_IO, "store: the transaction was lost (%.300s)", why.text);
    }
    enum err e = stmt_take(s, sql, ret, msg);
    if (e != ERR_OK)
        return e;
    DCHECK((int)count >= sqlite3_bind_parameter_count(ret->st));
    for (size_t i = 0; i < count; i++) {
        if (bind_one(ret->st, (int)i + 1, &vals[i]) != SQLITE_OK) {
            e = db_failed(s, msg);
            db_end(ret);
            return e;
        }
    }
    return ERR_OK;
}

enum err db_next(struct query *q, bool *ret_row, struct errmsg *msg)
{
    int rc = sqlite3_step(q->st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return db_failed(q->s, msg);
    *ret_row = rc == SQLITE_ROW;
    return ERR_OK;
}

void db_end(struct query *q)
{
    if (q->slot) {
        sqlite3_reset(q->st);
        sqlite3_clear_bindings(q->st);
        q->slot->is_busy = false;
    } else {
        sqlite3_finalize(q->st);
    }
    q->st = NULL;
}

enum err db_each(struct store *s, db_row_cb cb, void *arg, struct errmsg *msg, const char *sql,
                 const struct val *vals, size_t count)
{
    struct query q;
    enum err e = db_query(s, &q, msg, sql, vals, count);
    if (e != ERR_OK)
        return e;
    bool row = true;
    while ((e = db_next(&q, &row, msg)) == ERR_OK && row) {
        e = cb(&q, arg);
        if (e != ERR_OK)
            break;
    }
    db_end(&q);
    return e;
}

static enum err no_row(struct query *q, void *arg)
{
    (void)q;
    (void)arg;
    return ERR_OK;
}

enum err db_exec(struct store *s, struct errmsg *msg, const char *sql, const struct val *vals,
                 size_t count)
{
    return db_each(s, no_row, NULL, msg, sql, vals, count);
}

struct one {
    db_row_cb cb;
    void *arg;
    bool is_found;
};

static enum err one_row(struct query *q, void *arg)
{
    struct one *o = arg;
    o->is_found = true;
    return o->cb(q, o->arg);
}

enum err db_one(struct store *s, db_row_cb cb, void *arg, const char *what, struct slice name,
                struct errmsg *msg, const char *sql, const struct val *vals, size_t count)
{
    struct one o = {cb, arg, false};
    enum err e = db_each(s, one_row, &o, msg, sql, vals, count);
    if (e != ERR_OK || o.is_found)
        return e;
    char buf[128];
    struct slice shown = db_clean(name, buf, sizeof buf);
    return db_set(s, msg, ERR_NOT_FOUND, "no such %s: %.*s", what, SLICE_FMT(shown));
}

static enum err int_row(struct query *q, void *arg)
{
    *(int64_t *)arg = col_int(q, 0);
    return ERR_OK;
}

enum err db_int(struct store *s, int64_t *ret, struct errmsg *msg, const char *sql,
                const struct val *vals, size_t count)
{
    int64_t found = 0;
    struct one o = {int_row, &found, false};
    enum err e = db_each(s, one_row, &o, msg, sql, vals, count);
    if (e == ERR_OK && o.is_found)
        *ret = found;
    return e == ERR_OK && !o.is_found ? ERR_NOT_FOUND : e;
}

int64_t db_changes(struct store *s)
{
    return sqlite3_changes64(s->db);
}

int64_t db_last_id(struct store *s)
{
    return sqlite3_last_insert_rowid(s->db);
}

enum err db_need_change(struct store *s, enum err e, const char *what, struct slice name,
                        struct errmsg *msg)
{
    if (e != ERR_OK || db_changes(s) > 0)
        return e;
    char buf[128];
    struct slice shown = db_clean(name, buf, sizeof buf);
    return db_set(s, msg, ERR_NOT_FOUND, "no such %s: %.*s", what, SLICE_FMT(shown));
}

int64_t col_int(struct query *q, int i)
{
    return sqlite3_column_int64(q->st, i);
}

double col_real(struct query *q, int i)
{
    return sqlite3_column_double(q->st, i);
}

/* "" for NULL, and when there was no memory to convert: text columns are UTF-8 and never converted.
 */
struct slice col_text(struct query *q, int i)
{
    const char *p = (const char *)sqlite3_column_text(q->st, i);
    return p ? slice_make(p, (size_t)sqlite3_column_bytes(q->st, i)) : slice_make("", 0);
}

struct slice col_blob(struct query *q, int i)
{
    const void *p = sqlite3_column_blob(q->st, i);
    return slice_make(p, p ? (size_t)sqlite3_column_bytes(q->st, i) : 0);
}

bool col_is_null(struct query *q, int i)
{
    return sqlite3_column_type(q->st, i) == SQLITE_NULL;
}

enum err db_scope_begin(struct store *s, struct scope *ret, struct errmsg *msg)
{
    ret->is_tx = !s->in_tx;
    return ret->is_tx ? store_begin(s, msg) : db_exec(s, msg, "SAVEPOINT step", NO_VALS);
}

enum err db_scope_end(struct store *s, struct scope *sc, enum err e, struct errmsg *msg)
{
    if (sc->is_tx && e == ERR_OK)
        return store_commit(s, msg);
    if (sc->is_tx) {
        store_rollback(s);
        return e;
    }
    /* After an error only the way back matters: a transaction that SQLite has ended fails on its
     * own. */
    if (e != ERR_OK && db_exec(s, NULL, "ROLLBACK TO step", NO_VALS) != ERR_OK)
        return e;
    enum err released = db_exec(s, e == ERR_OK ? msg : NULL, "RELEASE step", NO_VALS);
    return e == ERR_OK ? released : e;
}

int word_index(const char *const *words, size_t count, struct slice text)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(text, slice_of(words[i])))
            return (int)i;
    return -1;
}

struct slice db_clean(struct slice s, char *buf, size_t size)
{
    size_t n = s.n < size ? s.n : size;
    for (size_t i = 0; i < n; i++)
        buf[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
    return slice_make(buf, n);
}

char *seal_row(int64_t id, char buf[24])
{
    snprintf(buf, 24, "%lld", (long long)id);
    return buf;
}
