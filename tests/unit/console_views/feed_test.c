/* The feed, against a daemon that this test plays itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "views/feed.h"
#include "views/feed_parse.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIGURES                                                                                    \
    "{\"ok\":true,\"cmd\":\"figures\",\"at_ms\":5,\"version\":\"0.1.0\",\"state\":\"running\","    \
    "\"pid\":4711,\"name\":\"eu-1\",\"uptime_s\":9,\"connections\":2,\"exchanges\":3,"             \
    "\"generation\":7,\"workers\":2,\"rate\":" SIXTY ",\"requests\":99,\"errors_5m\":1,"           \
    "\"requests_5m\":50,\"ttfb_ms\":{\"p50\":412,\"p95\":1890},\"members\":[{\"pool\":\"gemini\"," \
    "\"account\":\"a\",\"window_s\":300,\"requests\":40,\"limited\":2,\"errors\":1,\"recent\":5,"  \
    "\"open\":3}],\"writer\":{\"queue\":0,\"healthy\":true},\"tokens\":{\"memory\":6,"             \
    "\"store\":7,\"mints\":8,\"mint_failures\":1,\"flights\":0,\"waited\":0,"                      \
    "\"clock_skew_s\":-2}}"
#define TEN "1,2,3,4,5,6,7,8,9,10"
#define SIXTY "[" TEN "," TEN "," TEN "," TEN "," TEN "," TEN "]"
#define LIVE                                                                                       \
    "{\"ok\":true,\"cmd\":\"live\",\"total\":118,\"live\":[{\"id\":\"01JD7Q8ZK2\",\"conn\":4,"     \
    "\"worker\":1,\"age_ms\":120000,\"phase\":\"stream\",\"client\":null,\"peer\":\"10.0.0.1\","   \
    "\"account\":\"a\",\"method\":\"POST\",\"host\":\"h\",\"path\":\"/v1\",\"model\":\"m\","       \
    "\"status\":200,\"attempts\":[{\"account\":\"b\",\"status\":429,\"reason\":null},"             \
    "{\"account\":\"a\",\"status\":200,\"reason\":\"x\"}],\"up\":1,\"down\":2,\"front\":\"h1\","   \
    "\"back\":\"h2\",\"ms\":{\"route\":0,\"token\":1,\"sent\":2,\"first\":null}}]}"
#define TRUST                                                                                      \
    "{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":61204,\"refused_24h\":7,\"refused\":[{\"peer\":"    \
    "\"10.8.3.41\",\"host\":\"api.anthropic.com\",\"why\":\"unknown ca\",\"times\":7,"             \
    "\"last_at\":1800000000}]}"
#define LEAVES                                                                                     \
    "{\"ok\":true,\"cmd\":\"leaves\",\"cached\":41,\"max\":1024,\"hits\":9,\"signed\":17,"         \
    "\"leaves\":[{\"host\":\"h\",\"expires_at\":2,\"signed_at\":1,\"hits\":3}]}"

struct rig {
    char dir[64], path[96];
    int listener, peer;
    struct feed *f;
};

static void listen_at(struct rig *r)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", r->path);
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(r->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(r->listener, 4), 0);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    snprintf(r->dir, sizeof r->dir, "/tmp/credswap-feed-XXXXXX");
    if (!mkdtemp(r->dir))
        return 1;
    snprintf(r->path, sizeof r->path, "%s/sock", r->dir);
    r->peer = -1;
    *state = r;
    clock_set_fake(100000, 1800000000000);
    listen_at(r);
    return feed_create(r->path, &r->f) != ERR_OK;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    mem_fail_after(0, 0);
    feed_destroy(r->f);
    close(r->listener);
    if (r->peer >= 0)
        close(r->peer);
    unlink(r->path);
    rmdir(r->dir);
    free(r);
    clock_unset_fake();
    return 0;
}

static void meet(struct rig *r)
{
    if (r->peer >= 0)
        close(r->peer);
    r->peer = accept(r->listener, NULL, NULL);
    assert_true(r->peer >= 0);
}

static void assert_asked(struct rig *r, const char *want)
{
    char got[1024];
    ssize_t n = recv(r->peer, got, sizeof got - 1, 0);
    assert_true(n > 0);
    got[n] = '\0';
    assert_string_equal(got, want);
}

static void answer(struct rig *r, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(r->peer, text, n, MSG_NOSIGNAL), n);
}

static void figures_come_as_they_were_sent(void **state)
{
    struct rig *r = *state;
    short events = 0;
    assert_int_equal(feed_fd(r->f, &events), -1);
    feed_ask(r->f, FEED_FIGURES);
    meet(r);
    assert_asked(r, "{\"cmd\":\"figures\"}\n");
    assert_true(feed_fd(r->f, &events) >= 0 && events == POLLIN);
    assert_false(feed_run(r->f));
    assert_false(feed_is_up(r->f));
    answer(r, FIGURES "\n");
    assert_true(feed_run(r->f));
    assert_true(feed_is_up(r->f));
    assert_string_equal(feed_problem(r->f), "");
    const struct feed_figures *g = feed_figures(r->f);
    assert_int_equal(g->at_ms, 1800000000000);
    assert_string_equal(g->name, "eu-1");
    assert_int_equal(g->pid, 4711);
    assert_int_equal(g->rate[59], 10);
    assert_int_equal(g->ttfb_p95_ms, 1890);
    assert_int_equal(g->tokens_store, 7);
    assert_true(g->has_skew && g->clock_skew_s == -2 && g->writer_healthy);
    assert_int_equal(g->member_count, 1);
    assert_string_equal(g->members[0].account, "a");
    assert_int_equal(g->members[0].open, 3);
    assert_int_equal(g->members[0].held, -1); /* a daemon from before it told that */
    assert_int_equal(feed_due_ms(r->f), 0);   /* nothing is awaited */
}

static void answers_come_in_any_order_and_any_piece(void **state)
{
    struct rig *r = *state;
    feed_ask(r->f, FEED_LIVE | FEED_TRUST | FEED_LEAVES);
    meet(r);
    assert_asked(r, "{\"cmd\":\"live\",\"limit\":500}\n{\"cmd\":\"trust\"}\n"
                    "{\"cmd\":\"leaves\",\"limit\":500}\n");
    feed_ask(r->f, FEED_LIVE); /* awaited already */
    for (const char *z = TRUST "\n" LEAVES "\r\n" LIVE "\n"; *z; z++) {
        assert_int_equal(send(r->peer, z, 1, MSG_NOSIGNAL), 1);
        bool has_news = feed_run(r->f);
        assert_int_equal(has_news, *z == '\n');
    }
    const struct feed_exchange *x = feed_live(r->f)->rows;
    assert_int_equal(feed_live(r->f)->total, 118);
    assert_int_equal(feed_live(r->f)->count, 1);
    assert_string_equal(x->id, "01JD7Q8ZK2");
    assert_string_equal(x->client, "");
    assert_true(x->sent_ms == 2 && x->first_ms == -1);
    assert_int_equal(x->attempt_count, 2);
    assert_string_equal(x->attempts[0].reason, "");
    assert_int_equal(x->attempts[0].status, 429);
    assert_string_equal(feed_trust(r->f)->rows[0].why, "unknown ca");
    assert_int_equal(feed_leaves(r->f)->signed_count, 17);
    assert_int_equal(feed_leaves(r->f)->rows[0].hits, 3);
    assert_int_equal(feed_figures(r->f)->at_ms, 0);
}

static void a_daemon_that_is_not_there_is_tried_again(void **state)
{
    struct rig *r = *state;
    static const int64_t waits[] = {1, 2, 4, 5, 5};
    close(r->listener);
    unlink(r->path);
    feed_ask(r->f, FEED_FIGURES);
    assert_non_null(strstr(feed_problem(r->f), "not running"));
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        assert_int_equal(feed_next_try_s(r->f), waits[i]);
        assert_int_equal(feed_due_ms(r->f), clock_mono_ms() + (uint64_t)waits[i] * 1000);
        assert_false(feed_run(r->f));
        clock_advance_fake((uint64_t)waits[i] * 1000);
        assert_int_equal(feed_next_try_s(r->f), 0);
        assert_false(feed_run(r->f)); /* tried, and the same again */
    }
    listen_at(r);
    feed_retry(r->f);
    assert_true(feed_run(r->f));
    meet(r);
    assert_asked(r, "{\"cmd\":\"figures\"}\n"); /* what was asked last */
    answer(r, FIGURES "\n");
    assert_true(feed_run(r->f));
    assert_true(feed_is_up(r->f));
    close(r->peer);
    r->peer = -1;
    assert_true(feed_run(r->f));
    assert_int_equal(feed_next_try_s(r->f), 1); /* from the start again */
    assert_non_null(strstr(feed_problem(r->f), "closed"));
    assert_int_equal(feed_figures(r->f)->pid, 4711); /* with their age */
}

static void silence_is_said_with_its_length(void **state)
{
    struct rig *r = *state;
    feed_ask(r->f, FEED_FIGURES);
    meet(r);
    assert_int_equal(feed_due_ms(r->f), clock_mono_ms() + 3000);
    clock_advance_fake(2999);
    assert_false(feed_run(r->f));
    clock_advance_fake(1);
    assert_true(feed_run(r->f));
    assert_string_equal(feed_problem(r->f), "no answer for 3 s");
    assert_int_equal(feed_due_ms(r->f), clock_mono_ms() + 1000);
    clock_advance_fake(4500);
    assert_true(feed_run(r->f));
    assert_string_equal(feed_problem(r->f), "no answer for 7 s");
    answer(r, FIGURES "\n");
    assert_true(feed_run(r->f));
    assert_string_equal(feed_problem(r->f), "");
    feed_ask(r->f, FEED_FIGURES);
    clock_advance_fake(15000);
    short events;
    assert_true(feed_run(r->f));
    assert_int_equal(feed_fd(r->f, &events), -1);
    assert_string_equal(feed_problem(r->f), "no answer for 15 s");
}

static void an_answer_without_sense_ends_the_connection(void **state)
{
    static const char *const lines[] = {
        "hello\n",
        "{\"ok\":true}\n",
        "{\"ok\":true,\"cmd\":\"figures\"}\n",
        TRUST "\n",
        "\n",
        "{\"ok\":true,\"cmd\":\"end\"}\n",
    };
    struct rig *r = *state;
    short events;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        feed_retry(r->f);
        feed_ask(r->f, FEED_FIGURES);
        meet(r);
        answer(r, lines[i]);
        assert_true(feed_run(r->f));
        assert_int_equal(feed_fd(r->f, &events), -1);
        assert_false(feed_is_up(r->f));
        assert_non_null(strstr(feed_problem(r->f), "the daemon"));
    }
}

static void an_answer_without_end_ends_the_connection(void **state)
{
    struct rig *r = *state;
    static char piece[65536];
    short events;
    memset(piece, ' ', sizeof piece);
    feed_ask(r->f, FEED_FIGURES);
    meet(r);
    for (int i = 0; i < 1000 && feed_fd(r->f, &events) >= 0; i++) {
        assert_true(send(r->peer, piece, sizeof piece, MSG_NOSIGNAL | MSG_DONTWAIT) != 0);
        feed_run(r->f);
    }
    assert_int_equal(feed_fd(r->f, &events), -1);
    assert_string_equal(feed_problem(r->f), "the daemon's answer is too large");
}

static void an_older_daemon_that_does_not_know_the_word_is_up(void **state)
{
    struct rig *r = *state;
    feed_ask(r->f, FEED_FIGURES);
    meet(r);
    answer(r, "{\"ok\":false,\"error\":\"no such command\"}\n");
    assert_true(feed_run(r->f));
    assert_true(feed_is_up(r->f));
    assert_string_equal(feed_problem(r->f),
                        "the daemon does not tell its figures: no such command");
    assert_int_equal(feed_figures(r->f)->at_ms, 0);
    feed_ask(r->f, FEED_FIGURES | FEED_TRUST);
    assert_true(feed_is_waiting(r->f));
    answer(r, TRUST "\n");
    assert_true(feed_run(r->f)); /* another answer does not cover it */
    assert_non_null(strstr(feed_problem(r->f), "figures"));
    assert_true(feed_is_waiting(r->f));
    answer(r, FIGURES "\n");
    assert_true(feed_run(r->f));
    assert_string_equal(feed_problem(r->f), "");
    assert_false(feed_is_waiting(r->f));
}

static void a_request_is_ended_and_what_became_of_it_is_said_once(void **state)
{
    struct rig *r = *state;
    bool ok = false;
    assert_null(feed_result(r->f, &ok));
    feed_end(r->f, "a\"b");
    meet(r);
    assert_asked(r, "{\"cmd\":\"end\",\"id\":\"a\\\"b\"}\n");
    answer(r, "{\"ok\":true,\"cmd\":\"end\"}\n");
    assert_true(feed_run(r->f));
    assert_string_equal(feed_result(r->f, &ok), "the request was ended");
    assert_true(ok);
    assert_null(feed_result(r->f, &ok));
    feed_end(r->f, "x");
    feed_end(r->f, "y");
    answer(r, "{\"ok\":false,\"cmd\":\"end\",\"error\":\"no such request\"}\n"
              "{\"ok\":true,\"cmd\":\"end\"}\n");
    assert_true(feed_run(r->f));
    assert_string_equal(feed_result(r->f, &ok), "no such request"); /* the failure is not covered */
    assert_false(ok);
    feed_end(r->f, "z");
    close(r->peer);
    r->peer = -1;
    assert_true(feed_run(r->f));
    assert_non_null(strstr(feed_result(r->f, &ok), "nobody knows"));
    assert_false(ok);
    close(r->listener);
    unlink(r->path);
    feed_retry(r->f);
    feed_end(r->f, "z");
    assert_non_null(strstr(feed_result(r->f, &ok), "nothing was ended"));
}

static void no_socket_is_never_tried(void **state)
{
    char path[200];
    struct feed *f = NULL;
    short events;
    assert_int_equal(feed_create("", &f), ERR_OK);
    feed_ask(f, FEED_FIGURES);
    assert_false(feed_run(f));
    assert_int_equal(feed_due_ms(f), 0);
    assert_int_equal(feed_fd(f, &events), -1);
    assert_non_null(strstr(feed_problem(f), "listen.socket is empty"));
    feed_destroy(f);
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(feed_create(path, &f), ERR_OK);
    feed_ask(f, FEED_FIGURES);
    assert_non_null(strstr(feed_problem(f), "too long"));
    feed_destroy(f);
}

/* ---- lines ---- */

static void assert_refused(const char *line, const char *why)
{
    struct feed_answer a;
    struct errmsg msg = {""};
    enum err e = feed_parse(slice_of(line), &a, &msg);
    if (e != ERR_PROTOCOL || !strstr(msg.text, why))
        print_error("%s -> %d %s\n", line, (int)e, msg.text);
    assert_int_equal(e, ERR_PROTOCOL);
    assert_non_null(strstr(msg.text, why));
}

static void each_member_is_checked(void **state)
{
    assert_refused("{\"ok\":1,\"cmd\":\"end\"}", "\"ok\" is neither");
    assert_refused("{\"ok\":true,\"ok\":true,\"cmd\":\"end\"}", "\"ok\" is there twice");
    assert_refused("{\"ok\":true,\"cmd\":\"status\"}", "\"cmd\"");
    assert_refused("{\"ok\":false,\"cmd\":\"end\"}", "\"error\"");
    assert_refused("{\"ok\":false,\"cmd\":\"end\",\"error\":\"\"}", "\"error\"");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":-1,\"refused_24h\":0}", "ok_24h");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":1.5,\"refused_24h\":0}", "ok_24h");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":1e300,\"refused_24h\":0}", "ok_24h");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":\"1\",\"refused_24h\":0}", "ok_24h");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"refused_24h\":0}", "\"ok_24h\" is missing");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":1,\"refused_24h\":0,\"refused\":{}}",
                   "\"refused\" is no list");
    assert_refused("{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":1,\"refused_24h\":0,\"refused\":[1]}",
                   "no object");
    assert_refused("{\"ok\":true,\"cmd\":\"live\",\"total\":0,\"live\":[{\"id\":7}]}", "\"id\"");
    assert_refused("{\"ok\":true,\"cmd\":\"end\"}x", "JSON");
}

/* TEXT with the first FROM as TO. */
static void with(struct sbuf *b, const char *line, const char *from, const char *to)
{
    const char *at = strstr(line, from);
    assert_non_null(at);
    sbuf_clear(b);
    sbuf_add(b, line, (size_t)(at - line));
    sbuf_adds(b, to);
    sbuf_adds(b, at + strlen(from));
}

static void figures_are_bounded(void **state)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    with(&b, FIGURES, "[1,2", "[2");
    assert_refused(sbuf_z(&b), "sixty");
    with(&b, FIGURES, "[1,2", "[1,2,3");
    assert_refused(sbuf_z(&b), "sixty");
    with(&b, FIGURES, "[1,2", "[1,4294967296");
    assert_refused(sbuf_z(&b), "sixty");
    with(&b, FIGURES, "0.1.0", "0.1.0-this-version-has-a-name-longer-than-it-may");
    assert_refused(sbuf_z(&b), "\"version\" is too long");
    with(&b, FIGURES, "true}", "1}");
    assert_refused(sbuf_z(&b), "\"healthy\"");
    with(&b, FIGURES, "{\"p50\":412,\"p95\":1890}", "null");
    struct feed_answer a;
    struct errmsg msg = {""};
    assert_int_equal(feed_parse(sbuf_slice(&b), &a, &msg), ERR_OK);
    assert_int_equal(a.u.figures.ttfb_p50_ms, -1);
    feed_answer_finish(&a);
    with(&b, FIGURES, "-2}", "null}");
    assert_int_equal(feed_parse(sbuf_slice(&b), &a, &msg), ERR_OK);
    assert_false(a.u.figures.has_skew);
    feed_answer_finish(&a);
    with(&b, FIGURES, "\"pid\":", "\"new\":{\"x\":[]},\"pid\":"); /* from a newer daemon */
    assert_int_equal(feed_parse(sbuf_slice(&b), &a, &msg), ERR_OK);
    feed_answer_finish(&a);
    sbuf_finish(&b);
}

static void rows_are_counted(void **state)
{
    struct sbuf b;
    struct feed_answer a;
    struct errmsg msg = {""};
    sbuf_init(&b, 1 << 20);
    for (int n = FEED_REFUSALS_MAX; n <= FEED_REFUSALS_MAX + 1; n++) {
        sbuf_clear(&b);
        sbuf_adds(&b,
                  "{\"ok\":true,\"cmd\":\"trust\",\"ok_24h\":1,\"refused_24h\":0,\"refused\":[");
        for (int i = 0; i < n; i++)
            sbuf_addf(&b,
                      "%s{\"peer\":\"p\",\"host\":\"h\",\"why\":\"w\",\"times\":1,\"last_at\":%d}",
                      i ? "," : "", i);
        sbuf_adds(&b, "]}");
        if (n > FEED_REFUSALS_MAX) {
            assert_refused(sbuf_z(&b), "\"refused\" is too long");
        } else {
            assert_int_equal(feed_parse(sbuf_slice(&b), &a, &msg), ERR_OK);
            assert_int_equal(a.u.trust.count, n);
            assert_int_equal(a.u.trust.rows[n - 1].last_at, n - 1);
            feed_answer_finish(&a);
        }
    }
    sbuf_finish(&b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(figures_come_as_they_were_sent),
        T(answers_come_in_any_order_and_any_piece),
        T(a_daemon_that_is_not_there_is_tried_again),
        T(silence_is_said_with_its_length),
        T(an_answer_without_sense_ends_the_connection),
        T(an_answer_without_end_ends_the_connection),
        T(an_older_daemon_that_does_not_know_the_word_is_up),
        T(a_request_is_ended_and_what_became_of_it_is_said_once),
        T(no_socket_is_never_tried),
        cmocka_unit_test(each_member_is_checked),
        cmocka_unit_test(figures_are_bounded),
        cmocka_unit_test(rows_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
