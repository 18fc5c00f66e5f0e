/* What others may see of an exchange while it runs, and how they end it. */
#include "../world.h"

static struct exchange_look last;
static int seen;

static bool note(void *arg, const struct exchange_look *look)
{
    (void)arg;
    last = *look;
    seen++;
    return true;
}

static void look(const char *phase, bool is_open)
{
    seen = 0;
    exchanges_look(&w.svc, note, NULL);
    assert_int_equal(seen, 1);
    assert_string_equal(last.phase, phase);
    assert_int_equal(last.is_open, is_open);
}

static void a_client_that_is_awaited_has_no_account_yet(void **state)
{
    play("> ask open claude\n");
    look("model", false);
    assert_int_equal(last.route_ms, -1);
    assert_int_equal(last.token_ms, -1);
    assert_int_equal(last.sent_ms, -1);
    assert_int_equal(last.first_ms, -1);
    assert_null(last.so_far.account);
    assert_int_equal(last.so_far.path.n, 0); /* no provider has had it */
    assert_int_equal(last.so_far.model.n, 0);
    assert_int_equal(w.answered, 0);
}

static void phases_have_their_times(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> wait 3\n");
    look("send", true);
    assert_int_equal(last.route_ms, 0);
    assert_int_equal(last.token_ms, 0);
    assert_int_equal(last.sent_ms, 0);
    assert_int_equal(last.first_ms, -1);
    assert_true(last.so_far.ms >= 3000);
    assert_int_equal(last.so_far.pool_id, 1);
    assert_int_equal(last.so_far.generation, 1);
    assert_true(slice_eq(last.so_far.account->name, SLICE("a")));
    assert_int_equal(last.so_far.attempts[0].account_id, A + 1);
    assert_int_equal(last.so_far.status, 0);
    assert_true(last.so_far.path.n > 0 && last.so_far.model.n > 0);
    assert_int_equal(w.answered, 0);
    play("> b1 raw HTTP/1.1 200 OK~transfer-encoding: chunked~~3~one~\n"
         "client 200 | 3~one~\n");
    look("stream", true);
    assert_true(last.first_ms >= 3000 && last.first_ms <= (int64_t)last.so_far.ms);
    assert_int_equal(last.so_far.status, 200);
    assert_int_equal(w.answered, 1);
}

static void another_account_begins_anew(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> wait 2\n");
    w.is_quiet = true;
    back_says(&w.backs[0], "HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n", 42);
    settle();
    w.is_quiet = false;
    look("send", true);
    assert_int_equal(last.so_far.attempt_count, 2);
    assert_int_equal(last.so_far.attempts[0].status, 503);
    assert_int_equal(last.so_far.attempts[1].status, 0);
    assert_true(last.route_ms >= 2000);
    assert_int_equal(last.first_ms, -1);
    assert_int_equal(w.answered, 0); /* its client saw nothing of it */
}

static void one_is_ended_by_its_id_alone(void **state)
{
    char id[REQUEST_ID_SIZE];
    play("> ask gemini\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n");
    look("send", true);
    assert_true(slice_copy(last.so_far.request_id, id, sizeof id));
    assert_false(exchange_end(&w.svc, SLICE("cs_"), "ended_by_operator", note, NULL));
    assert_false(exchange_end(&w.svc, SLICE(""), "ended_by_operator", note, NULL));
    look("send", true);
    w.is_quiet = true;
    assert_true(exchange_end(&w.svc, slice_of(id), "ended_by_operator", note, NULL));
    settle();
    w.is_quiet = false;
    assert_int_equal(seen, 2);
    seen = 0;
    exchanges_look(&w.svc, note, NULL);
    assert_int_equal(seen, 0);
    assert_false(exchange_end(&w.svc, slice_of(id), "ended_by_operator", note, NULL));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(a_client_that_is_awaited_has_no_account_yet),
        SIM(phases_have_their_times),
        SIM(another_account_begins_anew),
        SIM(one_is_ended_by_its_id_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
