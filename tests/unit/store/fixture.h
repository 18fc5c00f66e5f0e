/* A store in a folder of its own under /tmp, a master key, and a second connection that knows
 * nothing of our code: the operator's sqlite3 shell, foreign keys off as there. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/seal.h"
#include "store/account.h"
#include "store/client.h"
#include "store/pool.h"
#include "store/store.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fix {
    char dir[64], path[128];
    struct store *s;
    struct master_key *key;
    struct errmsg msg;
    sqlite3 *shell;
};

static inline const char *fix_file(struct fix *f, const char *name)
{
    static char buf[512];
    snprintf(buf, sizeof buf, "%s/%s", f->dir, name);
    return buf;
}

#define assert_ok(f, call)                                                                         \
    do {                                                                                           \
        (f)->msg.text[0] = '\0';                                                                   \
        enum err e_ = (call);                                                                      \
        if (e_ != ERR_OK)                                                                          \
            print_error("%s: %s (%s)\n", #call, err_str(e_), (f)->msg.text);                       \
        assert_int_equal(e_, ERR_OK);                                                              \
    } while (0)
#define assert_err(f, want, call)                                                                  \
    do {                                                                                           \
        (f)->msg.text[0] = '\0';                                                                   \
        enum err e_ = (call);                                                                      \
        if (e_ != (want))                                                                          \
            print_error("%s: %s (%s)\n", #call, err_str(e_), (f)->msg.text);                       \
        assert_int_equal(e_, want);                                                                \
        assert_true((f)->msg.text[0] != '\0');                                                     \
    } while (0)

static inline int fix_make_dir(void **state)
{
    struct fix *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/credswap-store-XXXXXX");
    if (!f || !mkdtemp(f->dir))
        return 1;
    snprintf(f->path, sizeof f->path, "%s/t.db", f->dir);
    unsigned char bytes[MASTER_KEY_SIZE];
    memset(bytes, 7, sizeof bytes);
    *state = f;
    return master_key_new(slice_make(bytes, sizeof bytes), &f->key) != ERR_OK;
}

static inline int fix_setup(void **state)
{
    if (fix_make_dir(state))
        return 1;
    struct fix *f = *state;
    enum err e = store_open(f->path, STORE_CREATE | STORE_PATIENT, &f->s, &f->msg);
    if (e == ERR_OK)
        e = store_migrate(f->s, &f->msg);
    if (e != ERR_OK)
        print_error("%s\n", f->msg.text);
    return e != ERR_OK || sqlite3_open(f->path, &f->shell) != SQLITE_OK;
}

static inline int fix_teardown(void **state)
{
    struct fix *f = *state;
    mem_fail_after(0, 0);
    clock_unset_fake();
    sqlite3_close(f->shell);
    store_close(f->s);
    master_key_unref(&f->key);
    DIR *d = opendir(f->dir);
    for (struct dirent *ent; d && (ent = readdir(d));)
        if (ent->d_name[0] != '.')
            unlink(fix_file(f, ent->d_name));
    closedir(d);
    rmdir(f->dir);
    free(f);
    return 0;
}

/* As typed by hand; the answer is SQLite's result code. */
static inline int shell(struct fix *f, const char *sql)
{
    return sqlite3_exec(f->shell, sql, NULL, NULL, NULL);
}
static inline const char *shell_error(struct fix *f)
{
    return sqlite3_errmsg(f->shell);
}
static inline int64_t shell_int(struct fix *f, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t v = INT64_MIN;
    if (sqlite3_prepare_v2(f->shell, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static inline int64_t add_account(struct fix *f, const char *name)
{
    int64_t id = 0;
    struct account_fields a = {.name = slice_of(name),
                               .project = SLICE("acme-1"),
                               .location = SLICE("us-central1"),
                               .email = SLICE("a@acme-1.iam.gserviceaccount.com"),
                               .key_id = SLICE("k1")};
    assert_ok(f, account_add(f->s, f->key, ACCOUNT_SERVICE, &a,
                             SLICE("-----BEGIN PRIVATE KEY-----"), &id, &f->msg));
    return id;
}
static inline int64_t add_api_key(struct fix *f, const char *name, const char *key)
{
    int64_t id = 0;
    struct account_fields a = {.name = slice_of(name), .host = SLICE("api.anthropic.com")};
    assert_ok(f, account_add(f->s, f->key, ACCOUNT_API_KEY, &a, slice_of(key), &id, &f->msg));
    return id;
}
static inline int64_t add_client(struct fix *f, const char *name, const char *placeholder)
{
    int64_t id = 0;
    struct client_fields c = {.name = slice_of(name)};
    assert_ok(f, client_add(f->s, f->key, SERVICE_GEMINI, &c, slice_of(placeholder), &id, &f->msg));
    return id;
}

#endif
