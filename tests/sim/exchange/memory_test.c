/* Each allocation of an exchange fails once: it ends, the client is answered or cut, nothing stays.
 */
#include "../world.h"

static void one_exchange(void)
{
    do_ask("gemini");
    if (w.back_count && !w.backs[0].is_dead)
        do_says(&w.backs[0], "200 x: y | hello");
    settle();
}

static void one_exchange_with_a_retry(void)
{
    do_ask("open");
    send_text("67890");
    if (w.back_count && !w.backs[0].is_dead)
        do_says(&w.backs[0], "429");
    settle();
    if (w.back_count > 1 && !w.backs[1].is_dead)
        do_says(&w.backs[1], "200 x: y | hello");
    settle();
}

static void one_exchange_with_a_new_token(void)
{
    do_ask("gemini");
    if (w.back_count && !w.backs[0].is_dead)
        do_says(&w.backs[0], "401");
    settle();
    for (int i = 0; i < w.back_count; i++)
        if (!w.backs[i].is_dead && !w.backs[i].is_idle && w.svc.exchange_count)
            do_says(&w.backs[i], "200 | hello");
    settle();
}

static void one_refusal(void)
{
    send_text("GET /nowhere HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~~");
    settle();
}

static void a_plain_exchange_survives_each_failure(void **state)
{
    fail_each(state, GEMINI, NULL, one_exchange);
}

static void a_retried_exchange_survives_each_failure(void **state)
{
    fail_each(state, GEMINI, NULL, one_exchange_with_a_retry);
}

static void a_renewed_exchange_survives_each_failure(void **state)
{
    fail_each(state, GEMINI, NULL, one_exchange_with_a_new_token);
}

static void a_refusal_survives_each_failure(void **state)
{
    fail_each(state, GEMINI, NULL, one_refusal);
}

static void without_any_memory_the_connection_is_cut(void **state)
{
    assert_true(connect_client(GEMINI));
    w.log_n = 0;
    mem_fail_after(1, 1);
    do_ask("gemini");
    mem_fail_after(0, 0);
    settle();
    assert_true(w.is_front_over);
    assert_int_equal(w.back_count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(a_plain_exchange_survives_each_failure),
        SIM(a_retried_exchange_survives_each_failure),
        SIM(a_renewed_exchange_survives_each_failure),
        SIM(a_refusal_survives_each_failure),
        SIM(without_any_memory_the_connection_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
