/* Opening, schema steps, backups, and who may look. */
#include "unit/store/fixture.h"

#include "store/store_internal.h"

#include <fcntl.h>
#include <sys/wait.h>

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* Content of a file without opening it through SQLite. */
static size_t slurp(const char *path, char *buf, size_t size)
{
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(buf, 1, size, in);
    fclose(in);
    return n;
}

static void files_are_private_whatever_the_umask(void **state)
{
    struct fix *f = *state;
    char path[256];
    mode_t before = umask(0);
    snprintf(path, sizeof path, "%s/x/y/z.db", f->dir);
    struct store *s = NULL;
    assert_ok(f, store_open(path, STORE_CREATE, &s, &f->msg));
    assert_ok(f, store_migrate(s, &f->msg));
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(mode_of(fix_file(f, "x/y/z.db-wal")), 0600);
    assert_int_equal(mode_of(fix_file(f, "x/y/z.db-shm")), 0600);
    assert_int_equal(mode_of(fix_file(f, "x/y")), 0700);
    umask(before);
    store_close(s);
    unlink(path);
    rmdir(fix_file(f, "x/y"));
    rmdir(fix_file(f, "x"));
}

static void wide_permissions_are_refused(void **state)
{
    struct fix *f = *state;
    static const char *const files[] = {"t.db", "t.db-wal", "t.db-shm", ""};
    struct store *s = NULL;
    for (size_t i = 0; i < 4; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
        unsigned was = mode_of(path);
        assert_int_equal(chmod(path, was | 040), 0);
        assert_err(f, ERR_PERMISSION, store_open(f->path, 0, &s, &f->msg));
        assert_err(f, ERR_PERMISSION, store_open(f->path, STORE_READ_ONLY, &s, &f->msg));
        assert_err(f, ERR_PERMISSION, store_open(f->path, STORE_CREATE, &s, &f->msg));
        assert_non_null(strstr(f->msg.text, "chmod"));
        assert_int_equal(chmod(path, was), 0);
    }
    assert_ok(f, store_open(f->path, 0, &s, &f->msg));
    store_close(s);
}

static void a_missing_store_is_not_found(void **state)
{
    struct fix *f = *state;
    struct store *s = NULL;
    assert_err(f, ERR_NOT_FOUND, store_open(fix_file(f, "none.db"), 0, &s, &f->msg));
    assert_err(f, ERR_NOT_FOUND, store_open(fix_file(f, "none.db"), STORE_READ_ONLY, &s, &f->msg));
    assert_err(f, ERR_NOT_FOUND,
               store_open(fix_file(f, "none.db"), STORE_READ_ONLY | STORE_CREATE, &s, &f->msg));
    assert_int_equal(access(fix_file(f, "none.db"), F_OK), -1);
}

static void a_newer_schema_is_refused(void **state)
{
    struct fix *f = *state;
    assert_int_equal(shell(f, "PRAGMA user_version = 999"), SQLITE_OK);
    struct store *s = NULL;
    assert_err(f, ERR_SCHEMA, store_open(f->path, 0, &s, &f->msg));
    assert_err(f, ERR_SCHEMA, store_open(f->path, STORE_CREATE, &s, &f->msg));
    assert_err(f, ERR_SCHEMA, store_open(f->path, STORE_READ_ONLY, &s, &f->msg));
    assert_non_null(strstr(f->msg.text, "999"));
    assert_err(f, ERR_SCHEMA, store_migrate(f->s, &f->msg));
    assert_ok(f, store_open(f->path, STORE_READ_ONLY | STORE_ALLOW_NEWER, &s, &f->msg));
    assert_int_equal(store_schema(s), 999);
    store_close(s);
}

static void refuse_untouched(struct fix *f, const char *path)
{
    static char before[1 << 20], after[1 << 20];
    struct store *s = NULL;
    size_t n = slurp(path, before, sizeof before);
    struct stat st1, st2;
    assert_int_equal(stat(path, &st1), 0);
    assert_err(f, ERR_DB, store_open(path, STORE_CREATE, &s, &f->msg));
    assert_err(f, ERR_DB, store_open(path, 0, &s, &f->msg));
    assert_err(f, ERR_DB, store_open(path, STORE_READ_ONLY, &s, &f->msg));
    assert_non_null(strstr(f->msg.text, "damaged"));
    assert_int_equal(stat(path, &st2), 0);
    assert_int_equal(slurp(path, after, sizeof after), n);
    assert_memory_equal(before, after, n);
    assert_int_equal(st1.st_mtime, st2.st_mtime);
}

static void overwrite(const char *path, long at, size_t n)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    assert_int_equal(pwrite(fd, junk, n, at), (ssize_t)n);
    close(fd);
}

static void a_damaged_file_is_refused_and_untouched(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    /* copies, closed properly: nothing but the one file */
    assert_ok(f, store_backup(f->s, fix_file(f, "junk.db"), &f->msg));
    overwrite(fix_file(f, "junk.db"), 0, 4096);
    refuse_untouched(f, fix_file(f, "junk.db"));
    assert_ok(f, store_backup(f->s, fix_file(f, "schema.db"), &f->msg));
    overwrite(fix_file(f, "schema.db"), 100, 400);
    refuse_untouched(f, fix_file(f, "schema.db"));
    /* a page of the account table */
    int64_t root = shell_int(f, "SELECT rootpage FROM sqlite_schema WHERE name = 'account'");
    assert_ok(f, store_backup(f->s, fix_file(f, "account.db"), &f->msg));
    overwrite(fix_file(f, "account.db"), (root - 1) * 4096, 4096);
    refuse_untouched(f, fix_file(f, "account.db"));
    /* cut off */
    assert_ok(f, store_backup(f->s, fix_file(f, "short.db"), &f->msg));
    assert_int_equal(truncate(fix_file(f, "short.db"), 4096 * 3 + 100), 0);
    refuse_untouched(f, fix_file(f, "short.db"));
    /* no database at all */
    int fd = open(fix_file(f, "text.db"), O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "hello, this is a text file\n", 27), 27);
    close(fd);
    refuse_untouched(f, fix_file(f, "text.db"));
}

static void another_programs_database_is_refused(void **state)
{
    struct fix *f = *state;
    sqlite3 *db = NULL;
    sqlite3_open(fix_file(f, "other.db"), &db);
    sqlite3_exec(db, "CREATE TABLE photos (id)", NULL, NULL, NULL);
    sqlite3_close(db);
    chmod(fix_file(f, "other.db"), 0600);
    struct store *s = NULL;
    assert_err(f, ERR_INVALID, store_open(fix_file(f, "other.db"), STORE_CREATE, &s, &f->msg));
    assert_non_null(strstr(f->msg.text, "another program"));
    /* a directory in its place */
    mkdir(fix_file(f, "d.db"), 0700);
    assert_err(f, ERR_INVALID, store_open(fix_file(f, "d.db"), STORE_CREATE, &s, &f->msg));
    rmdir(fix_file(f, "d.db"));
}

/* For each version that ever was: a store of it comes forward to today's, with its rows. */
static void every_old_version_comes_forward(void **state)
{
    struct fix *f = *state;
    for (int v = 0; v <= store_schema_newest(); v++) {
        char path[256];
        snprintf(path, sizeof path, "%s/v%d.db", f->dir, v);
        struct store *s = NULL;
        assert_ok(f, store_open(path, STORE_CREATE, &s, &f->msg));
        assert_ok(f, migrate_with(s, credswap_schema, (size_t)v, &f->msg));
        assert_int_equal(store_schema(s), v);
        if (v > 0)
            assert_int_equal(sqlite3_exec(s->db,
                                          "INSERT INTO account (name, kind) VALUES ('old', "
                                          "'service'); INSERT INTO pool_member (pool, "
                                          "account, weight) VALUES ('gemini', 'old', 2.5)",
                                          NULL, NULL, NULL),
                             SQLITE_OK);
        store_close(s);
        assert_ok(f, store_open(path, STORE_CREATE, &s, &f->msg));
        assert_ok(f, store_migrate(s, &f->msg));
        assert_int_equal(store_schema(s), store_schema_newest());
        int64_t n = 0;
        assert_ok(f,
                  db_int(s, &n, &f->msg,
                         "SELECT count(*) FROM pool_member WHERE account = 'old' AND weight = 2.5",
                         NO_VALS));
        assert_int_equal(n, v > 0);
        assert_ok(f, store_check(s, &f->msg));
        store_close(s);
    }
}

static const struct embedded_file *steps_with(const char *next)
{
    static struct embedded_file steps[100];
    static char name[32];
    size_t n = (size_t)store_schema_newest();
    assert_true(n + 1 < sizeof steps / sizeof *steps);
    for (size_t i = 0; i < n; i++)
        steps[i] = credswap_schema[i];
    snprintf(name, sizeof name, "%03zu_test.sql", n + 1);
    steps[n] = (struct embedded_file){name, (const unsigned char *)next, strlen(next)};
    return steps;
}

static void a_step_is_one_transaction_after_a_backup(void **state)
{
    struct fix *f = *state;
    int now = store_schema_newest();
    size_t count = (size_t)now + 1;
    char bak[256], bak2[300], step[32];
    snprintf(bak, sizeof bak, "%s.bak-v%d", f->path, now);
    snprintf(bak2, sizeof bak2, "%s.2", bak);
    snprintf(step, sizeof step, "%03d_test.sql", now + 1);
    /* one that fails half way changes nothing */
    assert_err(f, ERR_DB,
               migrate_with(f->s,
                            steps_with("ALTER TABLE pool ADD COLUMN x TEXT; SELECT nonsense;"),
                            count, &f->msg));
    assert_non_null(strstr(f->msg.text, step));
    assert_int_equal(shell_int(f, "PRAGMA user_version"), now);
    assert_int_equal(
        shell_int(f, "SELECT count(*) FROM pragma_table_info('pool') WHERE name = 'x'"), 0);
    assert_int_equal(mode_of(bak), 0600);
    /* an old backup is never overwritten */
    assert_ok(
        f, migrate_with(f->s, steps_with("ALTER TABLE pool ADD COLUMN x TEXT;"), count, &f->msg));
    assert_int_equal(shell_int(f, "PRAGMA user_version"), now + 1);
    assert_int_equal(access(bak2, F_OK), 0);
    assert_ok(f, migrate_with(f->s, steps_with("nonsense"), count, &f->msg));
    struct store *s = NULL;
    assert_err(f, ERR_SCHEMA, store_open(f->path, 0, &s, &f->msg));
    assert_ok(f, store_open(bak, 0, &s, &f->msg));
    assert_int_equal(store_schema(s), now);
    store_close(s);
}

static void one_daemon_for_a_store(void **state)
{
    struct fix *f = *state;
    int a = -1, b = -1;
    assert_false(store_is_served(f->path));
    assert_ok(f, store_lock_daemon(f->path, &a, &f->msg));
    assert_true(store_is_served(f->path));
    assert_err(f, ERR_BUSY, store_lock_daemon(f->path, &b, &f->msg));
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(f->msg.text, pid));
    store_unlock_daemon(a);
    assert_ok(f, store_lock_daemon(f->path, &b, &f->msg));
    store_unlock_daemon(b);
}

/* Whoever has the database to itself locks bytes of it, and none of the files beside. */
static void a_store_that_somebody_has_alone_says_by_whom(void **state)
{
    struct fix *f = *state;
    store_close(f->s);
    f->s = NULL;
    assert_int_equal(store_locked_by(f->path), 0);
    assert_int_equal(shell(f, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"), SQLITE_OK);
    int pid = store_locked_by(f->path);
    if (access("/proc/locks", R_OK) == 0 && pid != 0) /* it may be hidden */
        assert_int_equal(pid, getpid());
    assert_err(f, ERR_BUSY, store_open(f->path, STORE_READ_ONLY, &f->s, &f->msg));
    assert_int_equal(shell(f, "COMMIT"), SQLITE_OK);
}

static void what_is_read_together_is_of_one_moment(void **state)
{
    struct fix *f = *state;
    int64_t before = 0, during = 0, after = 0;
    assert_ok(f, store_read_begin(f->s, &f->msg));
    assert_ok(f, store_generation(f->s, &before, &f->msg));
    assert_int_equal(shell(f, "INSERT INTO pool (name) VALUES ('p')"), SQLITE_OK);
    assert_ok(f, store_generation(f->s, &during, &f->msg));
    assert_err(f, ERR_INVALID, store_read_begin(f->s, &f->msg));
    store_read_end(f->s);
    assert_ok(f, store_generation(f->s, &after, &f->msg));
    assert_int_equal(before, during);
    assert_int_equal(before + 1, after);
}

static void a_locked_store_says_by_whom(void **state)
{
    struct fix *f = *state;
    int up[2], down[2];
    assert_int_equal(pipe(up) | pipe(down), 0);
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db = NULL;
        char c = 'x';
        sqlite3_open(f->path, &db);
        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        _exit(write(up[1], &c, 1) == 1 && read(down[0], &c, 1) == 1 ? 0 : 1);
    }
    char c;
    assert_int_equal(read(up[0], &c, 1), 1);
    struct store *s = NULL;
    assert_ok(f, store_open(f->path, 0, &s, &f->msg));
    assert_err(f, ERR_BUSY, store_begin(s, &f->msg));
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", (int)child);
    if (!strstr(f->msg.text, pid)) /* /proc/locks may be hidden */
        assert_non_null(strstr(f->msg.text, "another program"));
    assert_int_equal(write(down[1], &c, 1), 1);
    waitpid(child, NULL, 0);
    assert_ok(f, store_begin(s, &f->msg));
    store_close(s);
    close(up[0]), close(up[1]), close(down[0]), close(down[1]);
}

static void a_backup_comes_back(void **state)
{
    struct fix *f = *state;
    char bak[256];
    snprintf(bak, sizeof bak, "%s/b.db", f->dir);
    add_account(f, "before");
    assert_ok(f, store_backup(f->s, bak, &f->msg));
    assert_int_equal(mode_of(bak), 0600);
    assert_err(f, ERR_EXISTS, store_backup(f->s, bak, &f->msg));
    add_account(f, "after");
    int64_t g1 = 0, g2 = 0, v1 = 0, v2 = 0;
    assert_ok(f, store_generation(f->s, &g1, &f->msg));
    struct store *other = NULL;
    assert_ok(f, store_open(f->path, STORE_READ_ONLY, &other, &f->msg));
    assert_ok(f, store_data_version(other, &v1, &f->msg));
    assert_ok(f, store_restore(f->s, bak, &f->msg));
    assert_ok(f, store_data_version(other, &v2, &f->msg));
    assert_ok(f, store_generation(other, &g2, &f->msg));
    assert_true(g2 > g1 && v1 != v2);
    int64_t id = 0;
    assert_ok(f, account_id(other, SLICE("before"), &id, &f->msg));
    assert_err(f, ERR_NOT_FOUND, account_id(other, SLICE("after"), &id, &f->msg));
    /* what is no backup changes nothing */
    overwrite(bak, 0, 4096);
    assert_err(f, ERR_DB, store_restore(f->s, bak, &f->msg));
    assert_err(f, ERR_DENIED, store_restore(other, bak, &f->msg));
    assert_ok(f, account_id(other, SLICE("before"), &id, &f->msg));
    assert_true(store_is_wal(f->s));
    store_close(other);
}

static void a_read_only_connection_writes_nothing(void **state)
{
    struct fix *f = *state;
    struct store *s = NULL;
    assert_ok(f, store_open(f->path, STORE_READ_ONLY, &s, &f->msg));
    assert_err(f, ERR_DENIED, pool_add(s, SLICE("p"), &f->msg));
    assert_non_null(strstr(f->msg.text, "read-only"));
    store_close(s);
}

static void another_file_at_the_path_is_followed(void **state)
{
    struct fix *f = *state;
    char bak[256];
    snprintf(bak, sizeof bak, "%s/b.db", f->dir);
    struct store *reader = NULL, *before;
    int64_t id = 0;
    add_account(f, "old");
    assert_ok(f, store_backup(f->s, bak, &f->msg));
    assert_ok(f, store_open(f->path, STORE_READ_ONLY, &reader, &f->msg));
    add_account(f, "lost");

    before = reader;
    assert_ok(f, store_follow(&reader, &f->msg));
    assert_ptr_equal(reader, before); /* nothing has moved */

    assert_int_equal(unlink(f->path), 0);
    assert_err(f, ERR_NOT_FOUND, store_follow(&reader, &f->msg));
    assert_err(f, ERR_NOT_FOUND, store_follow(&f->s, &f->msg));
    assert_int_equal(access(f->path, F_OK), -1); /* and nothing was made */
    assert_ok(f, account_id(reader, SLICE("lost"), &id, &f->msg));

    int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_true(store_follow(&reader, &f->msg) != ERR_OK); /* an empty file is no store */
    assert_err(f, ERR_NOT_FOUND, store_follow(&f->s, &f->msg));
    assert_int_equal(write(fd, "nonsense", 8), 8);
    close(fd);
    assert_true(store_follow(&reader, &f->msg) != ERR_OK);
    assert_ptr_equal(reader, before);
    assert_ok(f, account_id(reader, SLICE("lost"), &id, &f->msg));

    assert_int_equal(rename(bak, f->path), 0);
    assert_ok(f, store_follow(&reader, &f->msg));
    assert_ok(f, store_follow(&f->s, &f->msg));
    assert_ok(f, account_id(reader, SLICE("old"), &id, &f->msg));
    assert_err(f, ERR_NOT_FOUND, account_id(reader, SLICE("lost"), &id, &f->msg));
    add_account(f, "new");
    assert_ok(f, account_id(reader, SLICE("new"), &id, &f->msg));
    store_close(reader);
}

static void a_schema_that_became_newer_is_noticed(void **state)
{
    struct fix *f = *state;
    assert_ok(f, store_check_schema(f->s, &f->msg));
    assert_int_equal(shell(f, "PRAGMA user_version = 999"), SQLITE_OK);
    assert_err(f, ERR_SCHEMA, store_check_schema(f->s, &f->msg));
    assert_non_null(strstr(f->msg.text, "999"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
    const struct CMUnitTest tests[] = {
        T(files_are_private_whatever_the_umask),
        T(wide_permissions_are_refused),
        T(a_missing_store_is_not_found),
        T(a_newer_schema_is_refused),
        T(a_damaged_file_is_refused_and_untouched),
        T(another_programs_database_is_refused),
        T(every_old_version_comes_forward),
        T(a_step_is_one_transaction_after_a_backup),
        T(one_daemon_for_a_store),
        T(a_locked_store_says_by_whom),
        T(a_store_that_somebody_has_alone_says_by_whom),
        T(what_is_read_together_is_of_one_moment),
        T(a_backup_comes_back),
        T(a_read_only_connection_writes_nothing),
        T(another_file_at_the_path_is_followed),
        T(a_schema_that_became_newer_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
