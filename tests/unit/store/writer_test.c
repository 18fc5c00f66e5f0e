/* The writing thread: batches, bounds, weather, and a kill. */
#include "unit/store/fixture.h"

#include "base/log.h"
#include "store/event.h"
#include "store/usage.h"
#include "store/writer.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static atomic_int freed, ran;
static atomic_long behind_s; /* of the monotonic clock, for this program alone */

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, id, ret);
    if (r == 0 && id == CLOCK_MONOTONIC)
        ret->tv_sec -= atomic_load(&behind_s);
    return r;
}

static void count_free(void *arg)
{
    (void)arg;
    atomic_fetch_add(&freed, 1);
}

static enum err add_usage(struct store *s, void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
    struct usage u = {.minute = 60, .client = SLICE("c"), .requests = 1};
    return usage_add(s, &u, NULL);
}

static enum err add_event(struct store *s, void *arg)
{
    char text[32];
    snprintf(text, sizeof text, "event %d", (int)(intptr_t)arg);
    return event_put(s, EVENT_INFO, SLICE("t"), slice_of(text), NULL);
}

/* Writes, then fails: what it wrote must not stay. */
static enum err spoiled(struct store *s, void *arg)
{
    struct errmsg msg;
    assert_int_equal(add_event(s, arg), ERR_OK);
    return pool_set(s, SLICE("nowhere"), SLICE("nobody"), 1, &msg);
}

static void post(struct writer *w, enum err (*run)(struct store *, void *), bool droppable, int n)
{
    for (int i = 0; i < n; i++)
        writer_post(w, (struct writer_job){run, count_free, (void *)(intptr_t)i, droppable});
}

static struct writer *start(struct fix *f)
{
    struct writer *w = NULL;
    atomic_store(&freed, 0);
    atomic_store(&ran, 0);
    assert_ok(f, writer_start(f->path, f->key, &w, &f->msg));
    return w;
}

/* A flush waits for the commit; arguments are freed right after it. */
static void assert_freed(int n)
{
    for (int i = 0; i < 200 && atomic_load(&freed) < n; i++)
        usleep(5000);
    assert_int_equal(atomic_load(&freed), n);
}

static int64_t requests(struct fix *f)
{
    return shell_int(f, "SELECT coalesce(sum(requests), 0) FROM usage");
}

static void jobs_share_transactions(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    post(w, add_usage, true, 3000);
    assert_int_equal(writer_flush(w, 10000), ERR_OK);
    assert_int_equal(requests(f), 3000);
    struct writer_stats st;
    writer_stats(w, &st);
    assert_int_equal(st.jobs, 3000);
    assert_in_range(st.commits, 1, 40);
    assert_true(st.is_healthy && st.dropped == 0 && st.failed == 0 && st.queue == 0);
    assert_freed(3000);
    /* without a flush: soon, by itself */
    post(w, add_usage, true, 1);
    for (int i = 0; i < 100 && requests(f) < 3001; i++)
        usleep(20000);
    assert_int_equal(requests(f), 3001);
    writer_stop(w);
    assert_int_equal(freed, 3001);
}

static void a_bad_job_is_undone_alone(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    post(w, add_usage, true, 10);
    post(w, spoiled, false, 2);
    post(w, add_usage, true, 10);
    assert_int_equal(writer_flush(w, 10000), ERR_OK);
    assert_int_equal(requests(f), 20);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM event"), 0);
    struct writer_stats st;
    writer_stats(w, &st);
    assert_int_equal(st.failed, 2);
    assert_true(st.is_healthy && st.last_error_at_ms > 0);
    assert_string_equal(st.last_error, "no such pool");
    writer_stop(w);
    assert_int_equal(freed, 22);
}

static double ms_since(struct timespec t1)
{
    struct timespec t2;
    clock_gettime(CLOCK_MONOTONIC, &t2);
    return (double)(t2.tv_sec - t1.tv_sec) * 1e3 + (double)(t2.tv_nsec - t1.tv_nsec) / 1e6;
}

static void a_locked_store_blocks_nobody(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    assert_int_equal(shell(f, "BEGIN IMMEDIATE"), SQLITE_OK);
    struct timespec t1;
    clock_gettime(CLOCK_MONOTONIC, &t1);
    post(w, add_event, false, 100);
    post(w, add_usage, true, 25000);
    assert_true(ms_since(t1) < 2000);
    assert_int_equal(writer_flush(w, 300), ERR_TIMEOUT);
    struct writer_stats st;
    writer_stats(w, &st);
    assert_false(st.is_healthy);
    assert_non_null(strstr(st.last_error, "locked"));
    assert_in_range(st.queue, 20000, 20612);
    assert_int_equal(st.dropped, 25100 - st.queue);
    assert_freed((int)st.dropped);
    assert_true(st.oldest_ms >= 250);
    assert_int_equal(st.commits, 0);
    assert_int_equal(shell(f, "COMMIT"), SQLITE_OK);
    assert_int_equal(writer_flush(w, 20000), ERR_OK);
    writer_stats(w, &st);
    assert_true(st.is_healthy && st.failed == 0);
    /* nothing that may not be dropped was */
    assert_int_equal(shell_int(f, "SELECT count(*) FROM event"), 100);
    assert_int_equal(requests(f), 25000 - (int64_t)st.dropped);
    writer_stop(w);
    assert_int_equal(freed, 25100);
}

static void stopping_writes_what_is_left(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    post(w, add_usage, true, 700);
    writer_stop(w);
    assert_int_equal(requests(f), 700);
    assert_int_equal(freed, 700);
    writer_stop(NULL);
}

static void stopping_gives_up_after_a_while(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    assert_int_equal(shell(f, "BEGIN IMMEDIATE"), SQLITE_OK);
    post(w, add_usage, true, 600);
    struct timespec t1;
    clock_gettime(CLOCK_MONOTONIC, &t1);
    writer_stop(w);
    assert_true(ms_since(t1) > 4000 && ms_since(t1) < 9000);
    assert_int_equal(freed, 600);
    shell(f, "ROLLBACK");
    assert_int_equal(requests(f), 0);
}

static enum err write_much(struct store *s, void *arg)
{
    char text[400];
    memset(text, 'x', sizeof text);
    snprintf(text, 16, "%d", (int)(intptr_t)arg);
    text[strlen(text)] = 'x';
    return event_put(s, EVENT_INFO, SLICE("t"), slice_make(text, sizeof text), NULL);
}

/* max_page_count stands in for the full disk: SQLite answers SQLITE_FULL alike. */
static enum err limit_pages(struct store *s, void *arg);
static void a_full_disk_drops_nothing_that_matters(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    writer_post(w, (struct writer_job){limit_pages, NULL, (void *)1, false});
    assert_int_equal(writer_flush(w, 5000), ERR_OK);
    post(w, write_much, false, 2000);
    assert_int_equal(writer_flush(w, 1500), ERR_TIMEOUT);
    struct writer_stats st;
    writer_stats(w, &st);
    assert_false(st.is_healthy);
    assert_non_null(strstr(st.last_error, "full"));
    assert_int_equal(st.dropped, 0);
    writer_stop(w);
    assert_int_equal(freed, 2000);
    assert_ok(f, store_check(f->s, &f->msg));
}

static void no_memory_drops_loudly(void **state)
{
    struct fix *f = *state;
    struct writer *w = start(f);
    usleep(50000);
    mem_fail_after(1, 1);
    post(w, add_usage, false, 3);
    mem_fail_after(0, 0);
    struct writer_stats st;
    writer_stats(w, &st);
    assert_int_equal(st.dropped, 3);
    assert_int_equal(freed, 3);
    writer_stop(w);
    for (long n = 1; n < 100; n++) {
        mem_fail_after(n, 0);
        enum err e = writer_start(f->path, f->key, &w, &f->msg);
        mem_fail_after(0, 0);
        if (e == ERR_OK) {
            writer_stop(w);
            return;
        }
        assert_int_equal(e, ERR_NOMEM);
    }
    fail();
}

static void a_store_that_cannot_open_is_said(void **state)
{
    struct fix *f = *state;
    struct writer *w = NULL;
    chmod(f->path, 0644);
    assert_err(f, ERR_PERMISSION, writer_start(f->path, f->key, &w, &f->msg));
    chmod(f->path, 0600);
}

/* Starts a writer whose hour is over in a second, and waits until that has passed. */
static void let_an_hour_pass(struct fix *f, int schema)
{
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", schema);
    assert_int_equal(shell(f, "INSERT INTO usage (minute, client, account, model, requests) "
                              "VALUES (60, 'c', 'a', 'm', 1)"),
                     SQLITE_OK);
    atomic_store(&behind_s, 3599);
    struct writer *w = start(f);
    assert_int_equal(shell(f, sql), SQLITE_OK);
    usleep(100000);
    atomic_store(&behind_s, 0);
    sleep(2);
    writer_stop(w);
}

static void old_history_goes_once_an_hour(void **state)
{
    struct fix *f = *state;
    let_an_hour_pass(f, store_schema_newest());
    assert_int_equal(requests(f), 0);
}

static void nothing_goes_from_a_store_of_a_newer_program(void **state)
{
    struct fix *f = *state;
    let_an_hour_pass(f, store_schema_newest() + 1);
    assert_int_equal(requests(f), 1);
}

/* A child writes, says what it has committed, and is killed in the middle. */
static void what_was_committed_survives_a_kill(void **state)
{
    struct fix *f = *state;
    int said[2];
    assert_int_equal(pipe(said), 0);
    pid_t child = fork();
    if (child == 0) {
        struct writer *w = NULL;
        if (writer_start(f->path, f->key, &w, NULL) != ERR_OK)
            _exit(1);
        for (int i = 1;; i++) {
            post(w, add_usage, false, 100);
            if (writer_flush(w, 10000) != ERR_OK || write(said[1], &i, sizeof i) != sizeof i)
                _exit(1);
        }
    }
    int rounds = 0;
    while (rounds < 5)
        assert_int_equal(read(said[0], &rounds, sizeof rounds), sizeof rounds);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(said[1]);
    while (read(said[0], &rounds, sizeof rounds) == sizeof rounds)
        ;
    close(said[0]);
    struct store *s = NULL;
    assert_ok(f, store_open(f->path, 0, &s, &f->msg));
    assert_ok(f, store_check(s, &f->msg));
    store_close(s);
    assert_true(requests(f) >= rounds * 100);
}

#include "store/store_internal.h"
static enum err limit_pages(struct store *s, void *arg)
{
    int64_t pages = 0;
    char sql[64];
    enum err e = db_int(s, &pages, NULL, "PRAGMA page_count", NO_VALS);
    if (e != ERR_OK || !arg)
        return e;
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %lld", (long long)pages + 20);
    return db_script(s, sql, NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
    const struct CMUnitTest tests[] = {
        T(jobs_share_transactions),
        T(a_bad_job_is_undone_alone),
        T(a_locked_store_blocks_nobody),
        T(stopping_writes_what_is_left),
        T(stopping_gives_up_after_a_while),
        T(a_full_disk_drops_nothing_that_matters),
        T(no_memory_drops_loudly),
        T(a_store_that_cannot_open_is_said),
        T(old_history_goes_once_an_hour),
        T(nothing_goes_from_a_store_of_a_newer_program),
        T(what_was_committed_survives_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
