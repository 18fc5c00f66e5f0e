/* What exchanges leave behind: figures by client, account and model, the last requests, and bounds
 * on both. Through main and the writer into a real store. */
#define pool_cb store_pool_cb /* two rooms have one; nobody else includes both */
#include "unit/store/fixture.h"
#undef pool_cb

#include "base/check.h"
#include "base/log.h"
#include "net/loop.h"
#include "server/server_internal.h"
#include "store/writer.h"

static struct server server;
static struct recorder *recorder;

static const struct snap_client alice = {.id = 1, .name = {"alice", 5}};
static const struct snap_client bob = {.id = 2, .name = {"bob", 3}};
static const struct snap_account one = {.id = 11, .name = {"one", 3}};
static const struct snap_account two = {.id = 12, .name = {"two", 3}};

static int make(void **state)
{
    if (fix_setup(state))
        return 1;
    struct fix *f = *state;
    memset(&server, 0, sizeof server);
    log_set("error", "json");
    clock_set_fake(1000000, INT64_C(1700000000000));
    return limits_create(&server.limits) != ERR_OK || window_create(&server.window) != ERR_OK ||
           loop_create(&server.loop) != ERR_OK ||
           mailbox_create(server.loop->base, &server.box) != ERR_OK ||
           writer_start(f->path, f->key, &server.writer, &f->msg) != ERR_OK ||
           recorder_create(&recorder) != ERR_OK;
}

static int end(void **state)
{
    recorder_destroy(recorder);
    writer_stop(server.writer);
    mailbox_destroy(server.box);
    loop_destroy(server.loop);
    window_destroy(server.window);
    limits_destroy(server.limits);
    mem_free(server.accounts);
    return fix_teardown(state);
}

static void flush(void)
{
    recorder_flush(recorder, &server);
    event_base_loop(server.loop->base, EVLOOP_NONBLOCK);
    assert_int_equal(writer_flush(server.writer, 5000), ERR_OK);
}

static struct exchange_record some(const struct snap_client *c, const struct snap_account *a,
                                   const char *model, int status)
{
    return (struct exchange_record){.request_id = SLICE("cs_1"),
                                    .peer = SLICE("10.0.0.1:5"),
                                    .method = SLICE("POST"),
                                    .host = SLICE("h.test"),
                                    .path = SLICE("/v1/x"),
                                    .client = c,
                                    .account = a,
                                    .model = slice_of(model),
                                    .status = status,
                                    .bytes_up = 10,
                                    .bytes_down = 100,
                                    .ms = 7};
}

static void add(const struct snap_client *c, const struct snap_account *a, const char *model,
                int status)
{
    struct exchange_record r = some(c, a, model, status);
    recorder_add(recorder, &r, 0);
}

static void figures_gather_by_client_account_and_model(void **state)
{
    struct fix *f = *state;
    add(&alice, &one, "m1", 200);
    add(&alice, &one, "m1", 200);
    add(&alice, &one, "m1", 429);
    add(&alice, &one, "m1", 529);
    add(&alice, &one, "m1", 500);
    add(&alice, &one, "m1", 0);
    add(&alice, &one, "m2", 200);
    add(&alice, &two, "m1", 200);
    add(&bob, &one, "m1", 200);
    flush();
    assert_int_equal(shell_int(f, "SELECT count(*) FROM usage"), 4);
#define M1 " FROM usage WHERE client='alice' AND account='one' AND model='m1'"
    assert_int_equal(shell_int(f, "SELECT requests" M1), 6);
    assert_int_equal(shell_int(f, "SELECT limited" M1), 2);
    assert_int_equal(shell_int(f, "SELECT errors" M1), 2);
    assert_int_equal(shell_int(f, "SELECT bytes_up" M1), 60);
    assert_int_equal(shell_int(f, "SELECT bytes_down" M1), 600);
    /* main knows its accounts, and the day of each client */
    assert_int_equal(server.account_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(server.accounts[i].requests, server.accounts[i].id == 11 ? 8 : 1);
    struct sbuf out;
    sbuf_init(&out, 2048);
    limits_print_client(server.limits, &alice, clock_wall_s(), &out);
    assert_non_null(strstr(sbuf_z(&out), "\"requests\":8,\"errors\":4,\"bytes_up\":80"));
    sbuf_finish(&out);
}

static void seconds_add_up_within_their_minute(void **state)
{
    struct fix *f = *state;
    for (int i = 0; i < 5; i++) {
        add(&alice, &one, "m1", 200);
        flush();
    }
    assert_int_equal(shell_int(f, "SELECT count(*) FROM usage"), 1);
    assert_int_equal(shell_int(f, "SELECT requests FROM usage"), 5);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request"), 5);
}

static void a_client_is_seen_when_it_calls(void **state)
{
    struct fix *f = *state;
    assert_int_equal(shell(f, "INSERT INTO pool (name) VALUES ('p');"
                              "INSERT INTO client (id, name, service, pool) VALUES "
                              "(1, 'alice', 'gemini', 'p'), (2, 'bob', 'gemini', 'p')"),
                     SQLITE_OK);
    int64_t settings = shell_int(f, "SELECT value FROM generation");
    add(&alice, &one, "m1", 200);
    add(NULL, NULL, "", 401);
    flush();
    assert_int_equal(shell_int(f, "SELECT last_seen_at FROM client WHERE id=1"), 1700000000);
    assert_int_equal(shell_int(f, "SELECT last_seen_at FROM client WHERE id=2"), 0);
    assert_int_equal(shell_int(f, "SELECT value FROM generation"), settings); /* no new snapshot */
}

static void nothing_to_say_is_not_said(void **state)
{
    struct fix *f = *state;
    flush();
    assert_int_equal(shell_int(f, "SELECT count(*) FROM usage"), 0);
}

static void of_the_last_requests_failures_go_first(void **state)
{
    struct fix *f = *state;
    for (int i = 0; i < 1000; i++)
        add(&alice, &one, "m1", 200);
    for (int i = 0; i < 1000; i++)
        add(&alice, &one, "m1", 503);
    flush();
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request WHERE status=200"), 32);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request WHERE status=503"), 32);
    assert_int_equal(shell_int(f, "SELECT requests FROM usage"), 2000); /* figures count all */
}

static void more_models_than_fit_cost_their_figures_only(void **state)
{
    struct fix *f = *state;
    char model[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(model, sizeof model, "made-up-%d", i);
        add(&alice, &one, model, 404);
    }
    flush();
    assert_int_equal(shell_int(f, "SELECT count(*) FROM usage"), 256);
    assert_int_equal(shell_int(f, "SELECT sum(requests) FROM usage"), 256);
}

static void the_way_to_an_answer_is_kept(void **state)
{
    struct fix *f = *state;
    const struct attempt tries[] = {{SLICE("one"), 11, 429, NULL},
                                    {SLICE("two"), 12, 0, "connect_timeout"},
                                    {SLICE("one"), 11, 0, NULL}};
    struct exchange_record r = some(&alice, &two, "m1", 502);
    r.attempts = tries;
    r.attempt_count = 3;
    r.reason = "connect_timeout";
    recorder_add(recorder, &r, 0);
    flush();
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request WHERE attempts=3 AND "
                                  "tried='one:429 two:connect_timeout one:-' AND account='two' AND "
                                  "reason='connect_timeout' AND path='/v1/x' AND status=502"),
                     1);
}

static void long_words_are_cut_and_missing_ones_are_empty(void **state)
{
    struct fix *f = *state;
    static char x[5000];
    memset(x, 'x', sizeof x);
    struct slice all = slice_make(x, sizeof x);
    struct snap_client client = {.id = 1, .name = slice_make(x, 300)};
    struct attempt tries[8];
    for (int i = 0; i < 8; i++)
        tries[i] = (struct attempt){slice_make(x, 90), 11, 500, NULL};
    struct exchange_record r = {.request_id = all,
                                .peer = all,
                                .method = all,
                                .host = all,
                                .path = all,
                                .query_keys = all,
                                .client = &client,
                                .model = all,
                                .attempts = tries,
                                .attempt_count = 8,
                                .status = 500};
    recorder_add(recorder, &r, 0);
    struct exchange_record nothing = {0};
    recorder_add(recorder, &nothing, 0);
    flush();
    assert_int_equal(shell_int(f, "SELECT count(*) FROM usage"), 2);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request"), 2);
    assert_int_equal(shell_int(f, "SELECT length(path) FROM request WHERE status=500"), 255);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request WHERE status=0 AND client='' AND "
                                  "account='' AND path='' AND model=''"),
                     1);
}

static void without_memory_a_second_is_lost_and_nothing_else(void **state)
{
    struct fix *f = *state;
    mem_fail_after(1, 0);
    add(&alice, &one, "m1", 200);
    mem_fail_after(0, 0);
    add(&alice, &one, "m1", 200);
    flush();
    assert_int_equal(shell_int(f, "SELECT requests FROM usage"), 1);
}

#define RECORD(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        RECORD(figures_gather_by_client_account_and_model),
        RECORD(seconds_add_up_within_their_minute),
        RECORD(a_client_is_seen_when_it_calls),
        RECORD(nothing_to_say_is_not_said),
        RECORD(of_the_last_requests_failures_go_first),
        RECORD(more_models_than_fit_cost_their_figures_only),
        RECORD(the_way_to_an_answer_is_kept),
        RECORD(long_words_are_cut_and_missing_ones_are_empty),
        RECORD(without_memory_a_second_is_lost_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
