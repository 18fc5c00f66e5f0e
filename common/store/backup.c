/* Whole copies, out and in, by SQLite's online backup: one read transaction on the source, so
 * writers go on. */
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_TRIES 100
#define COPY_PAUSE_MS 50

static enum err copy(struct store *s, sqlite3 *to, sqlite3 *from, struct errmsg *msg)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b)
        return db_set(s, msg, db_code(sqlite3_extended_errcode(to)), "backup: %s",
                      sqlite3_errmsg(to));
    int rc = SQLITE_BUSY;
    for (int i = 0; i < COPY_TRIES && (rc == SQLITE_BUSY || rc == SQLITE_LOCKED); i++) {
        if (i > 0)
            sqlite3_sleep(COPY_PAUSE_MS);
        rc = sqlite3_backup_step(b, -1) & 0xff;
    }
    int end = sqlite3_backup_finish(b);
    if (rc == SQLITE_DONE && end == SQLITE_OK)
        return ERR_OK;
    if (rc == SQLITE_DONE)
        rc = end;
    return db_set(s, msg, db_code(rc), "backup: %s", sqlite3_errstr(rc));
}

static enum err copy_to_file(struct store *s, const char *dest, struct errmsg *msg)
{
    sqlite3 *to = NULL;
    enum err e;
    if (sqlite3_open_v2(dest, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        e = db_set(s, msg, ERR_IO, "backup %s: cannot be opened", dest);
    else
        e = copy(s, to, s->db, msg);
    int rc = sqlite3_close(to);
    return e == ERR_OK && rc != SQLITE_OK ? db_set(s, msg, ERR_IO, "backup %s: not closed", dest)
                                          : e;
}

/* The name must be on the disk too before anybody relies on it. */
static void sync_dir(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 1;
    if (!slice_copy(slash ? slice_make(path, n ? n : 1) : SLICE("."), dir, sizeof dir))
        return;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!fsync(fd);
    close(fd);
}

enum err store_backup(struct store *s, const char *dest, struct errmsg *msg)
{
    int fd = open(dest, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return db_set(s, msg, errno == EEXIST ? ERR_EXISTS : ERR_IO, "backup %s: %s", dest,
                      errno == EEXIST ? "the file exists already" : strerrordesc_np(errno));
    int rc = fchmod(fd, 0600);
    close(fd);
    enum err e = rc == 0 ? copy_to_file(s, dest, msg)
                         : db_set(s, msg, ERR_IO, "backup %s: chmod failed", dest);
    if (e != ERR_OK)
        unlink(dest);
    else
        sync_dir(dest);
    return e;
}

static enum err check_source(struct store *s, const char *from, sqlite3 **ret, struct errmsg *msg)
{
    int schema = 0;
    enum err e = store_look(from, store_schema_newest(), STORE_PATIENT, &schema, msg);
    if (e == ERR_OK && schema == 0)
        e = db_set(s, msg, ERR_INVALID, "%s: not a backup of a store", from);
    if (e != ERR_OK)
        return e;
    if (sqlite3_open_v2(from, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return db_set(s, msg, ERR_IO, "%s: cannot be opened", from);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(*ret, "PRAGMA integrity_check(1)", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW ||
        !slice_eq(slice_of((const char *)sqlite3_column_text(st, 0)), SLICE("ok")))
        e = db_set(s, msg, ERR_DB, "%s: this backup is damaged", from);
    sqlite3_finalize(st);
    return e;
}

/* The generation must not stand where a running proxy has seen it already. */
static enum err raise_generation(struct store *s, int64_t before, struct errmsg *msg)
{
    return db_exec(s, msg,
                   "UPDATE generation SET value = max(value, ?1) + 1, changed_at = unixepoch()",
                   VALS(v_int(before)));
}

enum err store_restore(struct store *s, const char *from, struct errmsg *msg)
{
    if (s->in_tx)
        return db_set(s, msg, ERR_INVALID, "a transaction is open already");
    if (s->flags & STORE_READ_ONLY)
        return db_set(s, msg, ERR_DENIED, "store %s: opened read-only", s->path);
    sqlite3 *source = NULL;
    int64_t before = 0;
    enum err e = check_source(s, from, &source, msg);
    if (e == ERR_OK && s->schema > 0)
        e = store_generation(s, &before, msg);
    if (e == ERR_OK)
        e = copy(s, s->db, source, msg);
    sqlite3_close(source);
    if (e == ERR_OK)
        e = store_migrate(s, msg);
    if (e == ERR_OK)
        e = raise_generation(s, before, msg);
    return e;
}
