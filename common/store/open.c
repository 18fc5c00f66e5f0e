/* Opening: look before touching. A file that is damaged, foreign, newer or readable for others is
 * refused by a read-only connection, before a writing one exists that could recover, checkpoint or
 * convert anything.
 *
 * Files of the store are never opened here directly: closing such a descriptor would drop SQLite's
 * POSIX locks of this process. Modes come from stat, content from SQLite. */
#include "store/store_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define PATIENT_MS 5000
#define DAEMON_MS 50

/* The folder of PATH, "." when it names none. */
static enum err dir_of(const char *path, char *buf, size_t size, struct errmsg *msg)
{
    const char *slash = strrchr(path, '/');
    struct slice dir = SLICE(".");
    if (slash)
        dir = slice_make(path, slash == path ? 1 : (size_t)(slash - path));
    return slice_copy(dir, buf, size) ? ERR_OK
                                      : err_set(msg, ERR_INVALID, "store: the path is too long");
}

static enum err check_mode(const char *path, bool is_dir, struct errmsg *msg)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            return ERR_OK;
        return err_set(msg, errno == EACCES ? ERR_DENIED : ERR_IO, "store: cannot look at %s (%s)",
                       path, strerrordesc_np(errno));
    }
    if (is_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        return err_set(msg, ERR_INVALID, "store: %s is not a %s", path,
                       is_dir ? "directory" : "regular file");
    if (st.st_mode & 077)
        return err_set(msg, ERR_PERMISSION, "store: others may read %s (mode %04o); chmod %s it",
                       path, (unsigned)(st.st_mode & 07777), is_dir ? "700" : "600");
    return ERR_OK;
}

enum err store_check_modes(const char *path, struct errmsg *msg)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char buf[PATH_SIZE];
    enum err e = dir_of(path, buf, sizeof buf, msg);
    if (e == ERR_OK)
        e = check_mode(buf, true, msg);
    for (size_t i = 0; e == ERR_OK && i < sizeof ends / sizeof *ends; i++) {
        int n = snprintf(buf, sizeof buf, "%s%s", path, ends[i]);
        if (n < 0 || (size_t)n >= sizeof buf)
            return err_set(msg, ERR_INVALID, "store: the path is too long");
        e = check_mode(buf, false, msg);
    }
    return e;
}

/* Each missing folder of DIR; the last one for the owner only. */
static enum err make_dirs(const char *dir, struct errmsg *msg)
{
    char buf[PATH_SIZE];
    if (!slice_copy(slice_of(dir), buf, sizeof buf))
        return err_set(msg, ERR_INVALID, "store: the path is too long");
    for (char *p = buf + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(buf, 0755) != 0 && errno != EEXIST)
            return err_set(msg, ERR_IO, "store: cannot make directory %s (%s)", buf,
                           strerrordesc_np(errno));
        *p = '/';
    }
    if (mkdir(buf, 0700) == 0) /* whatever the umask says */
        return chmod(buf, 0700) == 0 ? ERR_OK : err_set(msg, ERR_IO, "store: chmod %s", buf);
    if (errno == EEXIST)
        return ERR_OK;
    return err_set(msg, ERR_IO, "store: cannot make directory %s (%s)", buf,
                   strerrordesc_np(errno));
}

/* An empty file is an empty database. SQLite gives -wal and -shm the mode of the database. */
static enum err make_file(const char *path, struct errmsg *msg)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST
                   ? ERR_OK
                   : err_set(msg, errno == ENOSPC || errno == EDQUOT ? ERR_IO : ERR_DENIED,
                             "store: cannot make %s (%s)", path, strerrordesc_np(errno));
    int rc = fchmod(fd, 0600);
    close(fd);
    return rc == 0 ? ERR_OK : err_set(msg, ERR_IO, "store: chmod %s", path);
}

static enum err make_store(const char *path, struct errmsg *msg)
{
    char dir[PATH_SIZE];
    enum err e = dir_of(path, dir, sizeof dir, msg);
    if (e == ERR_OK)
        e = make_dirs(dir, msg);
    if (e == ERR_OK)
        e = store_check_modes(path, msg); /* before anything is put there */
    return e == ERR_OK ? make_file(path, msg) : e;
}

static struct store *store_new(const char *path)
{
    struct store *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->path = mem_dup(path);
    if (s->path)
        return s;
    mem_free(s);
    return NULL;
}

static enum err connect(const char *path, int how, struct store **ret, struct errmsg *msg)
{
    struct store *s = store_new(path);
    if (!s) {
        err_set(msg, ERR_NOMEM, "store: %s", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    int rc = sqlite3_open_v2(path, &s->db, how | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK) {
        enum err e =
            s->db ? db_failed(s, msg) : db_set(s, msg, ERR_NOMEM, "store: %s", err_str(ERR_NOMEM));
        CHECK(e != ERR_OK);
        store_close(s);
        return e;
    }
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, 64 << 20);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    *ret = s;
    return ERR_OK;
}

/* "Page 20: unable to get the page. error code=7" is no damage but a read that failed. */
static enum err damaged(struct store *s, struct slice finding, struct errmsg *msg)
{
    static const char mark[] = "error code=";
    size_t at = slice_search(finding, slice_of(mark));
    struct slice number = slice_sub(finding, at + sizeof mark - 1, finding.n);
    size_t digits = 0;
    while (digits < number.n && number.p[digits] >= '0' && number.p[digits] <= '9')
        digits++;
    uint64_t code = 0;
    if (at < finding.n && slice_to_u64(slice_sub(number, 0, digits), &code) && code < 10000) {
        enum err e = db_code((int)code);
        if (e != ERR_DB && e != ERR_OK)
            return db_set(s, msg, e, "store %s: cannot be read (%s)", s->path,
                          sqlite3_errstr((int)code));
    }
    return db_set(s, msg, ERR_DB, "store %s: the file is damaged (%.*s); restore a backup", s->path,
                  SLICE_FMT(slice_sub(finding, 0, 200)));
}

/* Only what a proxy cannot do without is read, so that the look stays cheap beside a large history.
 */
static enum err look_quick(struct store *s, struct errmsg *msg)
{
    static const char *const checks[] = {
        "PRAGMA quick_check(generation)",    "PRAGMA quick_check(account)",
        "PRAGMA quick_check(pool)",          "PRAGMA quick_check(pool_member)",
        "PRAGMA quick_check(client)",        "PRAGMA quick_check(host_rule)",
        "PRAGMA quick_check(account_model)", "PRAGMA quick_check(token)",
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct query q;
        bool row = false;
        enum err e = db_query(s, &q, msg, checks[i], NO_VALS);
        if (e != ERR_OK)
            return e;
        e = db_next(&q, &row, msg);
        if (e == ERR_OK && (!row || !slice_eq(col_text(&q, 0), SLICE("ok"))))
            e = damaged(s, row ? col_text(&q, 0) : SLICE("no answer"), msg);
        db_end(&q);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static enum err look_version(struct store *s, int newest, unsigned flags, struct errmsg *msg)
{
    int64_t app = 0, version = 0, tables = 0;
    enum err e = db_int(s, &tables, msg, "SELECT count(*) FROM sqlite_schema", NO_VALS);
    if (e == ERR_OK)
        e = db_int(s, &app, msg, "PRAGMA application_id", NO_VALS);
    if (e == ERR_OK)
        e = db_int(s, &version, msg, "PRAGMA user_version", NO_VALS);
    if (e != ERR_OK)
        return e;
    if (tables == 0 && app == 0 && version == 0) {
        s->schema = 0;
        return ERR_OK;
    }
    if (app != APPLICATION_ID || version < 1)
        return db_set(s, msg, ERR_INVALID, "store %s: this is a database of another program",
                      s->path);
    s->schema = version > INT32_MAX ? INT32_MAX : (int)version;
    if (version > newest && !(flags & STORE_ALLOW_NEWER))
        return db_set(s, msg, ERR_SCHEMA,
                      "store %s: its schema is %lld, this program knows %d; use the newer program "
                      "or restore a backup",
                      s->path, (long long)version, newest);
    return look_quick(s, msg);
}

enum err store_look(const char *path, int newest, unsigned flags, int *ret_schema,
                    struct errmsg *msg)
{
    struct store *s = NULL;
    enum err e = connect(path, SQLITE_OPEN_READONLY, &s, msg);
    if (e != ERR_OK)
        return e;
    sqlite3_busy_timeout(s->db, flags & STORE_PATIENT ? PATIENT_MS : DAEMON_MS);
    e = look_version(s, newest, flags, msg);
    if (e == ERR_OK)
        *ret_schema = s->schema;
    store_close(s);
    return e;
}

static enum err set_up(struct store *s, struct errmsg *msg)
{
    enum err e = db_script(s,
                           "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; "
                           "PRAGMA cell_size_check = ON; PRAGMA recursive_triggers = ON; "
                           "PRAGMA journal_size_limit = 67108864;",
                           msg);
    if (e == ERR_OK) /* a first read, which opens the files beside it too: they may go away later */
        e = db_script(s, "SELECT count(*) FROM sqlite_schema", msg);
    if (e != ERR_OK || s->flags & STORE_READ_ONLY)
        return e;
    /* A killed process loses nothing with NORMAL, a power cut may lose the last second of counters.
     * People's edits are few and survive that too. */
    e = db_script(
        s, s->flags & STORE_PATIENT ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
        msg);
    if (e == ERR_OK && !store_is_wal(s))
        e = db_script(s, "PRAGMA journal_mode = WAL", msg);
    return e;
}

static enum err refuse_missing(const char *path, struct errmsg *msg)
{
    if (access(path, F_OK) == 0)
        return ERR_OK;
    return err_set(msg, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED,
                   "store %s: %s (credswapd makes it at its first start)", path,
                   strerrordesc_np(errno));
}

enum err store_open(const char *path, unsigned flags, struct store **ret, struct errmsg *msg)
{
    if (flags & STORE_READ_ONLY)
        flags &= ~(unsigned)STORE_CREATE;
    else
        flags &= ~(unsigned)STORE_ALLOW_NEWER;
    enum err e = flags & STORE_CREATE ? make_store(path, msg) : refuse_missing(path, msg);
    if (e == ERR_OK)
        e = store_check_modes(path, msg);
    int schema = 0;
    if (e == ERR_OK)
        e = store_look(path, store_schema_newest(), flags, &schema, msg);
    if (e != ERR_OK)
        return e;
    if (schema < store_schema_newest() && flags & STORE_READ_ONLY)
        return err_set(msg, ERR_DB,
                       "store %s: its schema %d is older than this program's %d; start "
                       "credswapd or run a command that writes, to upgrade it",
                       path, schema, store_schema_newest());
    struct store *s = NULL;
    e = connect(path, flags & STORE_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, &s,
                msg);
    if (e != ERR_OK)
        return e;
    s->flags = flags;
    s->schema = schema;
    sqlite3_busy_timeout(s->db, flags & STORE_PATIENT ? PATIENT_MS : DAEMON_MS);
    e = set_up(s, msg);
    if (e == ERR_OK)
        *ret = s;
    else
        store_close(s);
    return e;
}

enum err store_follow(struct store **s, struct errmsg *msg)
{
    struct store *old = *s, *next = NULL;
    int has_moved = 0;
    (void)sqlite3_file_control(old->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (!has_moved)
        return ERR_OK;
    /* Nothing is made: an empty store would drive all clients out. */
    enum err e = store_open(old->path, old->flags & ~(unsigned)STORE_CREATE, &next, msg);
    if (e != ERR_OK)
        return e;
    CHECK(next);
    if (next->schema == 0)
        e = err_set(msg, ERR_NOT_FOUND, "store %s: the file is empty; restore a backup", old->path);
    if (e == ERR_OK && !(next->flags & STORE_READ_ONLY))
        e = store_migrate(next, msg);
    if (e != ERR_OK) {
        store_close(next);
        return e;
    }
    next->key = old->key;
    store_close(old); /* SQLite sees that it was moved, and leaves the files at the path alone */
    *s = next;
    return ERR_OK;
}

enum err store_check_schema(struct store *s, struct errmsg *msg)
{
    int64_t version = 0;
    enum err e = db_int(s, &version, msg, "PRAGMA user_version", NO_VALS);
    if (e != ERR_OK || version <= store_schema_newest())
        return e;
    return db_set(s, msg, ERR_SCHEMA,
                  "store %s: its schema is %lld by now, this program knows %d; use the newer "
                  "program or restore a backup",
                  s->path, (long long)version, store_schema_newest());
}
