/* Cool-downs: how long, when they double, when they end. */
#include "base/check.h"
#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T0 INT64_C(1700000000000)
static const struct snap_account acct = {.id = 7};

static struct health *make(void)
{
    struct health *h = NULL;
    assert_int_equal(health_create(&h), ERR_OK);
    return h;
}

static int64_t cool(struct health *h, const char *model, int64_t retry_after_s, int64_t now_ms)
{
    struct cooldown c;
    health_cool(h, &acct, slice_of(model), "429", retry_after_s, now_ms, &c);
    assert_int_equal(c.account_id, acct.id);
    assert_string_equal(c.reason, "429");
    return c.until_ms - now_ms;
}

static void without_retry_after_it_doubles_to_a_minute(void **state)
{
    struct health *h = make();
    static const int64_t want[] = {5000, 10000, 20000, 40000, 60000, 60000, 60000};
    int64_t now = T0;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(cool(h, "m", -1, now), want[i]);
        now += want[i] + 1000;
    }
    now += 5 * 60 * 1000;
    assert_int_equal(cool(h, "m", -1, now), 5000);
    health_destroy(h);
}

static void refusals_while_it_is_open_do_not_escalate(void **state)
{
    struct health *h = make();
    assert_int_equal(cool(h, "m", -1, T0), 5000);
    for (int i = 1; i < 100; i++)
        assert_int_equal(cool(h, "m", -1, T0 + i), 5000 - i);
    assert_int_equal(cool(h, "m", 20, T0 + 1000), 20000); /* the provider asks for longer */
    assert_int_equal(cool(h, "m", 1, T0 + 2000), 19000);
    assert_int_equal(cool(h, "m", -1, T0 + 21000), 10000); /* ended: the second one */
    health_destroy(h);
}

static void retry_after_is_obeyed_up_to_an_hour(void **state)
{
    struct health *h = make();
    assert_int_equal(cool(h, "a", 42, T0), 42000);
    assert_int_equal(cool(h, "b", 0, T0), 1000);
    assert_int_equal(cool(h, "c", INT64_MAX, T0), 3600000);
    health_destroy(h);
}

static void a_good_answer_ends_the_doubling(void **state)
{
    struct health *h = make();
    cool(h, "m", -1, T0);
    assert_int_equal(cool(h, "m", -1, T0 + 6000), 10000);
    health_ok(h, &acct, SLICE("m"));
    assert_true(health_cool_until(h, &acct, SLICE("m"), T0 + 7000) > 0); /* but not the rest */
    assert_int_equal(cool(h, "m", -1, T0 + 20000), 5000);
    health_ok(h, &acct, SLICE("other"));
    assert_int_equal(cool(h, "m", -1, T0 + 30000), 10000);
    health_destroy(h);
}

static void keys_are_account_and_model(void **state)
{
    struct health *h = make();
    const struct snap_account other = {.id = 8};
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0), 0);
    cool(h, "m", -1, T0);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0), T0 + 5000);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0 + 5000), 0);
    assert_int_equal(health_cool_until(h, &acct, SLICE("n"), T0), 0);
    assert_int_equal(health_cool_until(h, &acct, SLICE(""), T0), 0);
    assert_int_equal(health_cool_until(h, &other, SLICE("m"), T0), 0);
    cool(h, "", 60, T0);
    assert_int_equal(health_cool_until(h, &acct, SLICE("n"), T0), T0 + 60000);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0), T0 + 60000);
    assert_int_equal(health_cool_until(NULL, &acct, SLICE("m"), T0), 0);
    health_destroy(h);
}

static void clearing_an_account_ends_what_began_before(void **state)
{
    struct health *h = make();
    struct snap_account a = acct;
    cool(h, "m", 60, T0);
    a.cleared_at_ms = T0 + 1;
    assert_int_equal(health_cool_until(h, &a, SLICE("m"), T0 + 2), 0);
    struct cooldown c;
    health_cool(h, &a, SLICE("m"), "429", -1, T0 + 2, &c); /* not "still open", not doubled */
    assert_int_equal(c.until_ms, T0 + 5002);
    assert_int_equal(c.step, 0);
    assert_int_equal(health_cool_until(h, &a, SLICE("m"), T0 + 2), T0 + 5002);
    health_destroy(h);
}

static void the_clock_may_jump_back(void **state)
{
    struct health *h = make();
    cool(h, "m", 60, T0);
    int64_t past = T0 - INT64_C(86400000);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0 - 500),
                     T0 + 60000); /* another thread's now */
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), past), 0);
    assert_int_equal(cool(h, "m", -1, past), 5000);
    health_destroy(h);
}

static void news_of_other_workers_is_taken_when_newer(void **state)
{
    struct health *h = make();
    struct cooldown c = {.account_id = 7,
                         .model = "m",
                         .since_ms = T0,
                         .until_ms = T0 + 40000,
                         .step = 3,
                         .reason = "429"};
    health_merge(h, &c, T0);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0), T0 + 40000);
    c.since_ms = T0 - 10;
    c.until_ms = T0 + 90000;
    health_merge(h, &c, T0);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0), T0 + 40000);
    c.since_ms = T0 + 10;
    c.until_ms = T0 + 20000;
    health_merge(h, &c, T0 + 10);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), T0 + 10), T0 + 20000);
    assert_int_equal(cool(h, "m", -1, T0 + 20000), 60000); /* step 4 */
    health_destroy(h);
}

/* The clock is a day back: what began in the other day is no news, and keeps no news out. */
static void news_from_a_future_counts_for_nothing(void **state)
{
    struct health *h = make();
    int64_t now = T0 - INT64_C(86400000);
    struct cooldown late = {.account_id = 7, .model = "m", .since_ms = T0, .until_ms = T0 + 9000};
    struct cooldown c = {.account_id = 7, .model = "m", .since_ms = now, .until_ms = now + 4000};
    cool(h, "m", 60, T0);
    health_merge(h, &c, now + 5);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), now + 5), now + 4000);
    health_merge(h, &late, now + 5);
    assert_int_equal(health_cool_until(h, &acct, SLICE("m"), now + 5), now + 4000);
    health_destroy(h);
}

static void the_table_is_bounded_and_drops_what_ended_first(void **state)
{
    struct health *h = make();
    char model[300];
    for (int i = 0; i < 5000; i++) {
        snprintf(model, sizeof model, "model-%d", i);
        cool(h, model, -1, T0 + i);
    }
    assert_int_equal(health_cool_until(h, &acct, SLICE("model-0"), T0 + 5000), 0);
    assert_true(health_cool_until(h, &acct, SLICE("model-4999"), T0 + 5000) > 0);
    memset(model, 'x', sizeof model);
    struct cooldown c;
    health_cool(h, &acct, slice_make(model, sizeof model), "429", -1, T0, &c);
    assert_int_equal(strlen(c.model), sizeof c.model - 1);
    assert_true(health_cool_until(h, &acct, slice_make(model, sizeof model), T0) > 0);
    health_destroy(h);
    health_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_retry_after_it_doubles_to_a_minute),
        cmocka_unit_test(refusals_while_it_is_open_do_not_escalate),
        cmocka_unit_test(retry_after_is_obeyed_up_to_an_hour),
        cmocka_unit_test(a_good_answer_ends_the_doubling),
        cmocka_unit_test(keys_are_account_and_model),
        cmocka_unit_test(clearing_an_account_ends_what_began_before),
        cmocka_unit_test(the_clock_may_jump_back),
        cmocka_unit_test(news_of_other_workers_is_taken_when_newer),
        cmocka_unit_test(news_from_a_future_counts_for_nothing),
        cmocka_unit_test(the_table_is_bounded_and_drops_what_ended_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
