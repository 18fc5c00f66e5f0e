/* Log lines: their form, their level, and that none is lost on the way. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sbuf.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64], moved[80];

static int setup(void **state)
{
    snprintf(path, sizeof path, "/tmp/credswap-log-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    snprintf(moved, sizeof moved, "%s.1", path);
    clock_set_fake(1, 1795356131123);
    return 0;
}

static int teardown(void **state)
{
    clock_unset_fake();
    unlink(path);
    unlink(moved);
    return 0;
}

static struct sbuf content(const char *file)
{
    struct sbuf b;
    char buf[65536];
    sbuf_init(&b, 64u << 20);
    FILE *f = fopen(file, "re");
    assert_non_null(f);
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
        sbuf_add(&b, buf, n);
    fclose(f);
    return b;
}

static void holds(const char *want)
{
    struct sbuf b = content(path);
    assert_string_equal(sbuf_z(&b), want);
    sbuf_finish(&b);
    assert_int_equal(truncate(path, 0), 0);
}

static void lines_have_one_form_in_each_format(void **state)
{
    struct errmsg msg;
    assert_int_equal(log_open(path, "info", "json", &msg), ERR_OK);
    LOG(LOG_INFO, "said", KV_Z("who", "al\"ice"), KV_U("n", UINT64_MAX), KV_I("i", -5),
        KV_Z("none", ""));
    log_flush();
    holds("{\"time\":\"2026-11-22T14:02:11.123Z\",\"level\":\"info\",\"event\":\"said\","
          "\"who\":\"al\\\"ice\",\"n\":18446744073709551615,\"i\":-5}\n");
    log_set("info", "logfmt");
    LOG(LOG_WARN, "said", KV_Z("who", "al ice=\""), KV_U("n", 0));
    LOG(LOG_ERROR, "bare", KV_Z("x", ""));
    log_flush();
    holds("time=2026-11-22T14:02:11.123Z level=warn event=said who=\"al ice=\\\"\" n=0\n"
          "time=2026-11-22T14:02:11.123Z level=error event=bare\n");
}

static void no_byte_of_a_value_breaks_its_line(void **state)
{
    static const char *const formats[] = {"json", "logfmt"};
    for (size_t f = 0; f < 2; f++) {
        log_set("info", formats[f]);
        for (int c = 0; c < 256; c++) {
            char v[] = {'a', (char)c, 'b'};
            LOG(LOG_INFO, "x", KV_S("v", (struct slice){v, 3}));
        }
        log_flush();
        struct sbuf b = content(path);
        int lines = 0;
        for (size_t i = 0; i < b.n; i++) {
            unsigned char c = (unsigned char)b.p[i];
            lines += c == '\n';
            assert_true(c == '\n' || (c >= 0x20 && c < 0x7f));
        }
        assert_int_equal(lines, 256);
        sbuf_finish(&b);
        assert_int_equal(truncate(path, 0), 0);
    }
}

static void long_values_are_cut(void **state)
{
    static char large[100000];
    log_set("info", "logfmt");
    memset(large, 'a', sizeof large);
    LOG(LOG_INFO, "x", KV_S("v", (struct slice){large, sizeof large}), KV_Z("after", "b"));
    log_flush();
    struct sbuf b = content(path);
    assert_true(b.n > 1000 && b.n < 1200);
    assert_true(slice_ends(sbuf_slice(&b), SLICE("after=\"b\"\n")));
    sbuf_finish(&b);
    assert_int_equal(truncate(path, 0), 0);
}

static void a_level_keeps_out_what_is_below_it(void **state)
{
    static const char *const words[] = {"error", "warn", "info", "debug", "trace"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        enum log_level l = LOG_ERROR;
        assert_true(log_level_parse(words[i], &l));
        assert_int_equal(l, i);
        log_set(words[i], "json");
        for (int k = LOG_ERROR; k <= LOG_TRACE; k++)
            assert_int_equal(log_wants((enum log_level)k), k <= (int)i);
    }
    enum log_level l = LOG_DEBUG;
    assert_false(log_level_parse("INFO", &l));
    assert_false(log_level_parse("", &l));
    assert_int_equal(l, LOG_DEBUG);
    log_set("nonsense", "json"); /* stays as it was */
    assert_true(log_wants(LOG_TRACE));
    log_set("info", "json");
    LOG(LOG_DEBUG, "hidden");
    log_flush();
    holds("");
}

#define THREADS 4
#define LINES 5000

static void *talker(void *arg)
{
    for (int i = 0; i < LINES; i++)
        LOG(LOG_INFO, "line", KV_U("thread", (uintptr_t)arg), KV_U("n", i));
    log_flush();
    return NULL;
}

static void check_lines(struct sbuf *b, int want)
{
    int seen[THREADS] = {0}, lines = 0;
    struct slice rest = sbuf_slice(b), line;
    while (slice_next(&rest, '\n', &line) && line.n) {
        static const struct slice before = {"\"thread\":", 9}, between = {",\"n\":", 5};
        uint64_t thread = 99, n = 0;
        size_t at = slice_search(line, before) + before.n, comma = slice_search(line, between);
        assert_true(comma < line.n);
        assert_true(slice_to_u64(slice_sub(line, at, comma), &thread));
        assert_true(slice_to_u64(slice_sub(line, comma + between.n, line.n - 1), &n));
        assert_true(thread < THREADS);
        assert_int_equal((int)n, seen[thread]++); /* in order */
        lines++;
    }
    assert_int_equal(lines, want);
}

static void the_thread_loses_no_line(void **state)
{
    pthread_t t[THREADS];
    log_set("info", "json");
    assert_int_equal(log_thread_start(), ERR_OK);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, talker, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    log_thread_stop();
    assert_int_equal(log_dropped(), 0);
    struct sbuf b = content(path);
    check_lines(&b, THREADS * LINES);
    sbuf_finish(&b);
    assert_int_equal(truncate(path, 0), 0);
}

static void a_rotated_file_is_reopened_and_no_line_is_lost(void **state)
{
    pthread_t t[THREADS];
    assert_int_equal(log_thread_start(), ERR_OK);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, talker, (void *)i), 0);
    assert_int_equal(rename(path, moved), 0);
    log_reopen();
    for (int i = 0; i < 20; i++)
        log_reopen();
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    log_thread_stop();
    struct sbuf b = content(moved), rest = content(path);
    sbuf_add(&b, rest.p, rest.n);
    int lines = 0;
    for (size_t i = 0; i < b.n; i++)
        lines += b.p[i] == '\n';
    assert_int_equal(lines, THREADS * LINES);
    sbuf_finish(&b);
    sbuf_finish(&rest);
    assert_int_equal(truncate(path, 0), 0);
}

/* When the proxy runs out of descriptors, that is worth a line most of all. */
static void without_descriptors_lines_are_written_all_the_same(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none;
        getrlimit(RLIMIT_NOFILE, &none);
        none.rlim_cur = 3;
        setrlimit(RLIMIT_NOFILE, &none);
        CHECK(log_thread_start() == ERR_OK);
        LOG(LOG_WARN, "accept_paused");
        log_thread_stop();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct sbuf b = content(path);
    assert_non_null(strstr(sbuf_z(&b), "accept_paused"));
    sbuf_finish(&b);
    assert_int_equal(truncate(path, 0), 0);
}

static void a_line_without_memory_is_counted(void **state)
{
    uint64_t before = log_dropped();
    mem_fail_after(1, 1);
    LOG(LOG_INFO, "x");
    mem_fail_after(0, 0);
    assert_int_equal(log_dropped(), before + 1);
}

static void a_file_that_cannot_be_opened_is_an_error(void **state)
{
    struct errmsg msg;
    assert_int_equal(log_open("/nonexistent/x", "info", "json", &msg), ERR_IO);
    assert_non_null(strstr(msg.text, "/nonexistent/x"));
    char large[3000];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_int_equal(log_open(large, "info", "json", &msg), ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_one_form_in_each_format),
        cmocka_unit_test(no_byte_of_a_value_breaks_its_line),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(a_level_keeps_out_what_is_below_it),
        cmocka_unit_test(the_thread_loses_no_line),
        cmocka_unit_test(a_rotated_file_is_reopened_and_no_line_is_lost),
        cmocka_unit_test(without_descriptors_lines_are_written_all_the_same),
        cmocka_unit_test(a_line_without_memory_is_counted),
        cmocka_unit_test(a_file_that_cannot_be_opened_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
