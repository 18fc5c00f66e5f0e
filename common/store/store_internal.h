/* What the files of this room share: statements, values, scopes. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H
#include "base/embed.h"
#include "base/seal.h"
#include "store/store.h"

#include <sqlite3.h>

#define STMT_MAX 128
#define APPLICATION_ID 0x43537770

/* SQL is the address of a literal; one literal, one statement. */
struct stmt {
    const char *sql;
    sqlite3_stmt *st;
    bool is_busy;
};

struct store {
    sqlite3 *db;
    char *path;
    unsigned flags;
    int schema;
    bool in_tx;     /* we began a transaction: SQLite must still be in it */
    bool has_watch; /* the temporary triggers of store_change_begin are there */
    const struct master_key *key;
    struct errmsg last; /* sentence of the last failure */
    int last_rc;        /* SQLite's code of it; whoever wants to know clears it first */
    struct stmt stmts[STMT_MAX];
    size_t stmt_count;
};

/* Values for the ?1, ?2, ... of a statement. Text and bytes are borrowed until db_end. */
enum val_type {
    VAL_INT,
    VAL_REAL,
    VAL_TEXT,
    VAL_BLOB,
    VAL_NULL
};
struct val {
    enum val_type type;
    int64_t i;
    double d;
    struct slice s;
};
static inline struct val v_int(int64_t i)
{
    return (struct val){.type = VAL_INT, .i = i};
}
static inline struct val v_real(double d)
{
    return (struct val){.type = VAL_REAL, .d = d};
}
static inline struct val v_text(struct slice s)
{
    return (struct val){.type = VAL_TEXT, .s = s};
}
static inline struct val v_z(const char *z)
{
    return (struct val){.type = VAL_TEXT, .s = slice_of(z)};
}
static inline struct val v_blob(struct slice s)
{
    return (struct val){.type = VAL_BLOB, .s = s};
}
static inline struct val v_null(void)
{
    return (struct val){.type = VAL_NULL};
}
/* A NULL pointer is SQL's NULL: "leave it". */
static inline struct val v_text_or_null(struct slice s)
{
    return s.p ? v_text(s) : v_null();
}
static inline struct val v_int_or_null(const int64_t *i)
{
    return i ? v_int(*i) : v_null();
}
#define VALS(...)                                                                                  \
    ((const struct val[]){__VA_ARGS__}),                                                           \
        sizeof((const struct val[]){__VA_ARGS__}) / sizeof(struct val)
#define NO_VALS NULL, 0

/* A running statement. db_end is due after every db_query that returned ERR_OK. */
struct query {
    struct store *s;
    sqlite3_stmt *st;
    struct stmt *slot; /* NULL: not from the cache */
};
enum err db_query(struct store *s, struct query *ret, struct errmsg *msg, const char *sql,
                  const struct val *vals, size_t count) NODISCARD;
/** The next row, or *ret_row false. */
enum err db_next(struct query *q, bool *ret_row, struct errmsg *msg) NODISCARD;
void db_end(struct query *q);
/** Runs to the end. */
enum err db_exec(struct store *s, struct errmsg *msg, const char *sql, const struct val *vals,
                 size_t count) NODISCARD;
/** The first column of the first row; ERR_NOT_FOUND without one. */
enum err db_int(struct store *s, int64_t *ret, struct errmsg *msg, const char *sql,
                const struct val *vals, size_t count) NODISCARD;
/** Rows that the last INSERT, UPDATE or DELETE met (triggers not counted). */
int64_t db_changes(struct store *s);
int64_t db_last_id(struct store *s);
/** Several statements at once, no values; for schema and settings. */
enum err db_script(struct store *s, const char *sql, struct errmsg *msg) NODISCARD;

int64_t col_int(struct query *q, int i);
double col_real(struct query *q, int i);
struct slice col_text(struct query *q, int i);
struct slice col_blob(struct query *q, int i);
bool col_is_null(struct query *q, int i);

/* What a walk does with each row: fill a noun and hand it to the caller's callback. */
typedef enum err (*db_row_cb)(struct query *q, void *arg);
enum err db_each(struct store *s, db_row_cb cb, void *arg, struct errmsg *msg, const char *sql,
                 const struct val *vals, size_t count) NODISCARD;
/** As db_each, ERR_NOT_FOUND ("no such WHAT: NAME") when there was no row. */
enum err db_one(struct store *s, db_row_cb cb, void *arg, const char *what, struct slice name,
                struct errmsg *msg, const char *sql, const struct val *vals,
                size_t count) NODISCARD;

/** Turns SQLite's last failure into a value and a sentence. */
enum err db_failed(struct store *s, struct errmsg *msg);
enum err db_code(int extended);
/** Sets the sentence, as the store's last one and as the caller's, and gives E. No argument may lie
 * in s->last. */
#define db_set(s, msg, e, ...) (err_set(&(s)->last, e, __VA_ARGS__), db_said(s, msg, e))
static inline enum err db_said(const struct store *s, struct errmsg *msg, enum err e)
{
    if (msg)
        *msg = s->last;
    return e;
}
/** ERR_NOT_FOUND with "no such WHAT: NAME" when nothing was changed. */
enum err db_need_change(struct store *s, enum err e, const char *what, struct slice name,
                        struct errmsg *msg) NODISCARD;

/* Several statements that hold together: a transaction, or a savepoint inside one. */
struct scope {
    bool is_tx;
};
enum err db_scope_begin(struct store *s, struct scope *ret, struct errmsg *msg) NODISCARD;
/** Commits when E is ERR_OK, else undoes; returns E or the commit's own failure. */
enum err db_scope_end(struct store *s, struct scope *sc, enum err e, struct errmsg *msg) NODISCARD;

/** Index of TEXT in WORDS, or -1. */
int word_index(const char *const *words, size_t count, struct slice text);
/** Printable ASCII only, at most SIZE bytes: for what comes from the network. */
struct slice db_clean(struct slice s, char *buf, size_t size);
/** Renders a number as the row name of a sealed value. */
char *seal_row(int64_t id, char buf[24]);

/* migrate.c, for tests too: any list of steps */
enum err migrate_with(struct store *s, const struct embedded_file *files, size_t count,
                      struct errmsg *msg) NODISCARD;
/* open.c */
enum err store_look(const char *path, int newest, unsigned flags, int *ret_schema,
                    struct errmsg *msg) NODISCARD;
enum err store_check_modes(const char *path, struct errmsg *msg) NODISCARD;

#endif
