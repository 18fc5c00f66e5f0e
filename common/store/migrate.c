/* Schema steps: data/schema/NNN_*.sql, built into the program, run in the order of their names. */
#include "store/store_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define MIGRATE_MS 10000
#define BACKUP_TRIES 100

/* PATH.bak-v1, or PATH.bak-v1.2 and so on when an earlier attempt left one. */
static enum err backup_first(struct store *s, struct errmsg *msg)
{
    char name[PATH_SIZE];
    for (int i = 1; i < BACKUP_TRIES; i++) {
        int n = i == 1 ? snprintf(name, sizeof name, "%s.bak-v%d", s->path, s->schema)
                       : snprintf(name, sizeof name, "%s.bak-v%d.%d", s->path, s->schema, i);
        if (n < 0 || (size_t)n >= sizeof name)
            return db_set(s, msg, ERR_INVALID, "store: the path is too long");
        enum err e = store_backup(s, name, msg);
        if (e != ERR_EXISTS)
            return e;
    }
    return db_set(s, msg, ERR_EXISTS, "store %s: too many old backups lie beside it", s->path);
}

static enum err read_version(struct store *s, int *ret, struct errmsg *msg)
{
    int64_t v = 0;
    enum err e = db_int(s, &v, msg, "PRAGMA user_version", NO_VALS);
    *ret = (int)v;
    return e;
}

static enum err broken_reference(struct query *q, void *arg)
{
    (void)q;
    (void)arg;
    return ERR_DB;
}

static enum err run_step(struct store *s, const struct embedded_file *f, int number,
                         struct errmsg *msg)
{
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version = %d", number);
    enum err e = db_script(s, (const char *)f->bytes, msg);
    if (e == ERR_OK)
        e = db_each(s, broken_reference, NULL, msg, "PRAGMA foreign_key_check", NO_VALS);
    if (e == ERR_OK)
        e = db_script(s, version, msg);
    if (e == ERR_OK)
        return ERR_OK;
    struct errmsg why = s->last;
    return db_set(s, msg, e, "schema step %s failed, nothing was changed (%.300s)", f->name,
                  why.text);
}

/* The version is asked again inside the transaction: another program may have been quicker. */
static enum err step(struct store *s, const struct embedded_file *files, int number,
                     struct errmsg *msg)
{
    int now = 0;
    enum err e = store_begin(s, msg);
    if (e == ERR_OK)
        e = read_version(s, &now, msg);
    if (e == ERR_OK && now < number)
        e = run_step(s, &files[number - 1], number, msg);
    if (e != ERR_OK) {
        store_rollback(s);
        return e;
    }
    e = store_commit(s, msg);
    if (e == ERR_OK)
        s->schema = now < number ? number : now;
    return e;
}

static enum err all_steps(struct store *s, const struct embedded_file *files, int newest,
                          struct errmsg *msg)
{
    enum err e = s->schema > 0 && s->schema < newest ? backup_first(s, msg) : ERR_OK;
    while (e == ERR_OK && s->schema < newest)
        e = step(s, files, s->schema + 1, msg);
    return e;
}

enum err migrate_with(struct store *s, const struct embedded_file *files, size_t count,
                      struct errmsg *msg)
{
    int newest = (int)count;
    enum err e = read_version(s, &s->schema, msg);
    if (e != ERR_OK)
        return e;
    if (s->schema > newest)
        return db_set(s, msg, ERR_SCHEMA, "store %s: its schema is %d, this program knows %d",
                      s->path, s->schema, newest);
    if (s->schema == newest)
        return ERR_OK;
    sqlite3_busy_timeout(s->db, MIGRATE_MS);
    e = all_steps(s, files, newest, msg);
    sqlite3_busy_timeout(s->db, s->flags & STORE_PATIENT ? 5000 : 50);
    return e;
}

enum err store_migrate(struct store *s, struct errmsg *msg)
{
    return migrate_with(s, credswap_schema, credswap_schema_count, msg);
}
