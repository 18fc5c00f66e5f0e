/* SQLite's own allocations fail, one after the other: every call ends with ERR_NOMEM or does its
 * work whole. */
#include "unit/store/fixture.h"

#include "store/event.h"
#include "store/snapshot.h"

static sqlite3_mem_methods real;
static long fail_at, calls;

static void *flaky_malloc(int n)
{
    return ++calls == fail_at ? NULL : real.xMalloc(n);
}
static void *flaky_realloc(void *p, int n)
{
    return ++calls == fail_at ? NULL : real.xRealloc(p, n);
}

static enum err do_snapshot(struct fix *f)
{
    struct snapshot *s = NULL;
    size_t bad = 0;
    enum err e = snapshot_load(f->s, f->key, &s, &bad, &f->msg);
    if (e == ERR_OK) {
        assert_int_equal(bad, 0);
        assert_int_equal(s->account_count, 1);
        assert_int_equal(s->rule_count, 6);
        assert_string_equal(s->accounts[0].project.p, "acme-1");
        assert_int_equal(s->pools[0].member_count, 1);
    }
    snapshot_unref(&s);
    return e;
}

static enum err do_change(struct fix *f)
{
    enum err e = store_change_begin(f->s, &f->msg);
    if (e != ERR_OK)
        return e;
    struct account_fields a = {.name = SLICE("new"), .host = SLICE("api.anthropic.com")};
    e = account_add(f->s, f->key, ACCOUNT_API_KEY, &a, SLICE("sk-ant-1"), NULL, &f->msg);
    if (e == ERR_OK)
        e = pool_set(f->s, SLICE("claude"), SLICE("new"), 1, &f->msg);
    if (e != ERR_OK) {
        store_rollback(f->s);
        return e;
    }
    return store_change_commit(f->s, SLICE("mia"), SLICE("add new"), NULL, &f->msg);
}

static enum err do_undo(struct fix *f)
{
    return store_undo(f->s, SLICE("mia"), 0, NULL, &f->msg);
}

static enum err do_open(struct fix *f)
{
    struct store *s = NULL;
    enum err e = store_open(f->path, STORE_CREATE, &s, &f->msg);
    if (e == ERR_OK)
        e = store_migrate(s, &f->msg);
    store_close(s);
    return e;
}

/* The connection is new each time, so that preparing statements and making triggers fail too. */
static void torture(struct fix *f, enum err (*what)(struct fix *), int64_t accounts_after)
{
    int64_t before = shell_int(f, "SELECT count(*) FROM account");
    int64_t events = shell_int(f, "SELECT count(*) FROM event");
    long failures = 0;
    for (long n = 1;; n += 1 + n / 64) { /* each of the first, then a sample */
        store_close(f->s);
        f->s = NULL;
        assert_ok(f, store_open(f->path, STORE_PATIENT, &f->s, &f->msg));
        calls = 0;
        fail_at = n;
        enum err e = what(f);
        bool was_reached = calls >= n;
        fail_at = 0;
        if (e == ERR_OK && was_reached && accounts_after != before)
            break; /* it did without: once done is done */
        if (e == ERR_OK && !was_reached)
            break;
        failures += e != ERR_OK;
        if (e != ERR_OK && e != ERR_NOMEM)
            fail_msg("allocation %ld: %s (%s)", n, err_str(e), f->msg.text);
        if (e != ERR_OK) {
            assert_int_equal(shell_int(f, "SELECT count(*) FROM account"), before);
            assert_int_equal(shell_int(f, "SELECT count(*) FROM event"), events);
        }
        assert_true(n < 100000);
    }
    assert_true(failures > 3);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account"), accounts_after);
    assert_ok(f, store_check(f->s, &f->msg));
}

static void every_call_survives_without_memory(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    torture(f, do_open, 1);
    torture(f, do_snapshot, 1);
    torture(f, do_change, 2);
    torture(f, do_undo, 1);
}

int main(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
    sqlite3_mem_methods flaky = real;
    flaky.xMalloc = flaky_malloc;
    flaky.xRealloc = flaky_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &flaky);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_survives_without_memory, fix_setup,
                                        fix_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
