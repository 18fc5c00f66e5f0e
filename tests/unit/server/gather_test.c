/* A question to all workers: who answers, who does not, and what comes too late. Workers are played
 * by loops of this thread. */
#include "server/server_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORKERS 2u

static struct server server;
static struct worker workers[WORKERS];
static unsigned told, came;

static int make(void **state)
{
    clock_set_fake(1000000, INT64_C(1700000000000));
    memset(&server, 0, sizeof server);
    memset(workers, 0, sizeof workers);
    told = came = 0;
    server.worker_count = WORKERS;
    if (loop_create(&server.loop) != ERR_OK ||
        mailbox_create(server.loop->base, &server.box) != ERR_OK ||
        window_create(&server.window) != ERR_OK)
        return 1;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct worker *w = server.workers[i] = &workers[i];
        w->server = &server;
        w->index = i;
        list_init(&w->svc.exchanges);
        if (loop_create(&w->loop) != ERR_OK || mailbox_create(w->loop->base, &w->box) != ERR_OK ||
            recorder_create(&w->recorder) != ERR_OK)
            return 1;
    }
    return 0;
}

static int end(void **state)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        mailbox_destroy(workers[i].box);
        recorder_destroy(workers[i].recorder);
        loop_destroy(workers[i].loop);
    }
    mailbox_destroy(server.box);
    window_destroy(server.window);
    loop_destroy(server.loop);
    clock_unset_fake();
    return 0;
}

static void turn(struct loop *l)
{
    event_base_loop(l->base, EVLOOP_NONBLOCK);
}

static void pass(uint64_t ms)
{
    clock_advance_fake(ms);
    wheel_turn(&server.loop->wheel, loop_now(server.loop));
}

static void note(struct gather *g)
{
    told++;
    for (uint32_t i = 0; i < g->part_count; i++)
        came += g->parts[i].has_come;
    assert_ptr_equal(g->arg, &told);
    struct sbuf out;
    sbuf_init(&out, 4096);
    if (g->ask == ASK_LIVE) {
        feed_live(g, &out);
        assert_string_equal(
            sbuf_z(&out), came == WORKERS ? "{\"ok\":true,\"cmd\":\"live\",\"total\":0,\"silent\":"
                                            "0,\"live\":[]}\n"
                                          : "{\"ok\":true,\"cmd\":\"live\",\"total\":0,\"silent\":"
                                            "1,\"live\":[]}\n");
    }
    assert_int_equal(gather_open(g, 1, 1), 0);
    sbuf_finish(&out);
}

static void ask(enum ask what)
{
    struct gather_ask q = {.ask = what, .limit = 10, .id = SLICE("cs_1")};
    assert_int_equal(gather_begin(&server, &q, note, &told), ERR_OK);
    assert_int_equal(told, 0);
}

static void all_answer_and_it_is_told_once(void **state)
{
    for (enum ask what = ASK_OPEN; what <= ASK_END; what++) {
        told = came = 0;
        ask(what);
        turn(workers[1].loop);
        turn(server.loop);
        assert_int_equal(told, 0);
        turn(workers[0].loop);
        turn(server.loop);
        assert_int_equal(told, 1);
        assert_int_equal(came, WORKERS);
        pass(5000);
        assert_int_equal(told, 1);
    }
}

static void a_worker_that_is_silent_for_a_second_is_left_out(void **state)
{
    ask(ASK_LIVE);
    turn(workers[0].loop);
    turn(server.loop);
    pass(900);
    assert_int_equal(told, 0);
    pass(500);
    assert_int_equal(told, 1);
    assert_int_equal(came, 1);
    turn(workers[1].loop); /* late: nobody waits, and nothing is lost */
    turn(server.loop);
    assert_int_equal(told, 1);
}

static void an_end_with_questions_under_way_answers_them(void **state)
{
    ask(ASK_OPEN);
    turn(workers[0].loop);
}

static void what_was_counted_comes_before_the_answer(void **state)
{
    struct window_totals all;
    struct exchange_record e = {.status = 200};
    recorder_add(workers[0].recorder, &e, 1000000);
    recorder_add(workers[0].recorder, &e, 1001000); /* the next second */
    ask(ASK_OPEN);
    turn(workers[0].loop);
    turn(workers[1].loop);
    turn(server.loop);
    assert_int_equal(told, 1);
    window_totals(server.window, 1002, &all);
    assert_int_equal(all.requests, 2);
    assert_int_equal(all.rate[RATE_S - 1], 1);
    assert_int_equal(all.rate[RATE_S - 2], 1);
}

static void without_memory_nobody_is_asked(void **state)
{
    struct gather_ask q = {.ask = ASK_LIVE, .limit = 10};
    mem_fail_after(1, 0);
    assert_int_equal(gather_begin(&server, &q, note, &told), ERR_NOMEM);
    mem_fail_after(0, 0);
    ask(ASK_LIVE);
    mem_fail_after(1, 0);
    turn(workers[0].loop); /* has no room for rows */
    mem_fail_after(0, 0);
    turn(workers[1].loop);
    turn(server.loop);
    assert_int_equal(told, 1);
}

#define GATHER(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        GATHER(all_answer_and_it_is_told_once),
        GATHER(a_worker_that_is_silent_for_a_second_is_left_out),
        GATHER(an_end_with_questions_under_way_answers_them),
        GATHER(what_was_counted_comes_before_the_answer),
        GATHER(without_memory_nobody_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
