/* Who calls, and how much: connections of an address, the pace of a client, what is forgotten. */
#include "server/server_internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WALL_MS INT64_C(1700000000000)

static struct limits *limits;

static int make(void **state)
{
    clock_set_fake(1000000, WALL_MS);
    return limits_create(&limits) != ERR_OK;
}

static int end(void **state)
{
    limits_destroy(limits);
    clock_unset_fake();
    return 0;
}

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        a.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        a.ss_family = AF_INET6;
    return a;
}

static const char *caller(const struct sockaddr_storage *p)
{
    static struct sbuf out;
    sbuf_finish(&out);
    sbuf_init(&out, 4096);
    limits_print_caller(limits, p, &out);
    static char text[4096];
    snprintf(text, sizeof text, "%s", sbuf_z(&out));
    sbuf_finish(&out);
    return text;
}

static void an_address_has_so_many_connections(void **state)
{
    struct sockaddr_storage a = peer("10.0.0.1"), b = peer("10.0.0.2"), c = peer("fd00::1");
    for (int i = 0; i < 3; i++) {
        assert_true(limits_enter(limits, &a, 3));
        assert_true(limits_enter(limits, &c, 3));
    }
    assert_false(limits_enter(limits, &a, 3));
    assert_false(limits_enter(limits, &c, 3));
    assert_true(limits_enter(limits, &b, 3));
    limits_leave(limits, &a);
    assert_true(limits_enter(limits, &a, 3));
    assert_false(limits_enter(limits, &a, 3));
    assert_non_null(strstr(caller(&a), "\"address\":\"10.0.0.1\",\"connections\":3,"));
}

static void an_address_is_the_same_in_both_spellings(void **state)
{
    struct sockaddr_storage v4 = peer("10.0.0.1"), v6 = peer("::ffff:10.0.0.1");
    assert_true(limits_enter(limits, &v4, 1));
    assert_false(limits_enter(limits, &v6, 1));
}

static void a_leave_without_an_enter_counts_nothing(void **state)
{
    struct sockaddr_storage a = peer("10.0.0.1");
    limits_leave(limits, &a);
    assert_true(limits_enter(limits, &a, 1));
    limits_leave(limits, &a);
    limits_leave(limits, &a);
    assert_true(limits_enter(limits, &a, 1));
    assert_false(limits_enter(limits, &a, 1));
}

static void zero_is_no_limit(void **state)
{
    struct sockaddr_storage a = peer("10.0.0.1");
    for (int i = 0; i < 1000; i++)
        assert_true(limits_enter(limits, &a, 0));
}

static void the_last_failures_are_kept_newest_first(void **state)
{
    struct sockaddr_storage a = peer("10.0.0.1");
    for (int i = 0; i < 12; i++) {
        limits_note_failure(limits, &a, i == 11 ? "newest" : i == 3 ? "too old" : "other");
        clock_advance_fake(1000);
    }
    const char *text = caller(&a);
    assert_non_null(strstr(text, "\"failures\":12,\"last_failures\":[{\"what\":\"newest\""));
    assert_null(strstr(text, "too old"));
    int n = 0;
    for (const char *p = text; (p = strstr(p, "\"what\"")); p++)
        n++;
    assert_int_equal(n, 8);
}

/* Addresses without connections and recent failures are forgotten: a walk over the whole network
 * finds room again and again. */
static void addresses_that_are_gone_are_forgotten(void **state)
{
    char text[32];
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 65536; i++) {
            snprintf(text, sizeof text, "10.%u.%u.%u", round, i >> 8, i & 255);
            struct sockaddr_storage a = peer(text);
            limits_note_failure(limits, &a, "x");
            if (i % 64 == 0) {
                assert_true(limits_enter(limits, &a, 1));
                limits_leave(limits, &a);
            }
        }
        clock_advance_fake(3602u * 1000u);
    }
    struct sockaddr_storage last = peer("10.3.0.7");
    assert_non_null(strstr(caller(&last), "\"failures\":1,"));
}

static void an_open_connection_is_never_forgotten(void **state)
{
    struct sockaddr_storage a = peer("10.0.0.1");
    char text[32];
    assert_true(limits_enter(limits, &a, 1));
    clock_advance_fake(7200u * 1000u);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "172.16.%u.%u", i >> 8, i & 255);
        struct sockaddr_storage b = peer(text);
        limits_note_failure(limits, &b, "x");
    }
    assert_false(limits_enter(limits, &a, 1));
}

/* ---- clients ---- */

static void a_client_without_a_limit_never_waits(void **state)
{
    struct snap_client c = {.id = 1};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(limits_client_wait_s(limits, &c, 5000000), 0);
}

static void a_minutes_worth_may_come_at_once_then_at_the_pace(void **state)
{
    struct snap_client c = {.id = 1, .rpm = 6};
    uint64_t now = 5000000;
    for (int i = 0; i < 6; i++)
        assert_int_equal(limits_client_wait_s(limits, &c, now), 0);
    uint32_t wait = limits_client_wait_s(limits, &c, now);
    assert_true(wait >= 10 && wait <= 11);
    /* who was refused was not counted, and who waits as told gets in */
    for (int i = 0; i < 100; i++)
        assert_int_equal(limits_client_wait_s(limits, &c, now), wait);
    now += wait * 1000;
    assert_int_equal(limits_client_wait_s(limits, &c, now), 0);
    assert_true(limits_client_wait_s(limits, &c, now) > 0);
    /* over an hour it is the pace, whatever the burst */
    int passed = 0;
    for (int s = 0; s < 3600; s++)
        passed += limits_client_wait_s(limits, &c, now + (uint64_t)s * 1000) == 0;
    assert_true(passed >= 359 && passed <= 361);
}

static void the_pace_holds_for_odd_and_huge_limits(void **state)
{
    static const int64_t rpms[] = {1, 7, 59, 61, 1000, 59999, 60001, 1000000, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(rpms); i++) {
        struct snap_client c = {.id = (int64_t)i + 10, .rpm = rpms[i]};
        int passed = 0;
        while (passed < 100000 && limits_client_wait_s(limits, &c, 5000000) == 0)
            passed++;
        int64_t want = rpms[i] < 60000 ? rpms[i] : 60000;
        if (passed < want || passed > want + want / 10 + 1)
            fail_msg("%lld: %d at once", (long long)rpms[i], passed);
    }
}

static void clients_do_not_wait_for_each_other(void **state)
{
    struct snap_client a = {.id = 1, .rpm = 1}, b = {.id = 4097, .rpm = 1};
    assert_int_equal(limits_client_wait_s(limits, &a, 5000000), 0);
    assert_true(limits_client_wait_s(limits, &a, 5000000) > 0);
    assert_int_equal(limits_client_wait_s(limits, &b, 5000000), 0);
}

static const char *client_page(const struct snap_client *c, int64_t now_s)
{
    static char text[2048];
    struct sbuf out;
    sbuf_init(&out, 2000);
    limits_print_client(limits, c, now_s, &out);
    snprintf(text, sizeof text, "%s", sbuf_z(&out));
    sbuf_finish(&out);
    return text;
}

static void a_clients_day_adds_up_and_ends_at_midnight(void **state)
{
    struct snap_client c = {.id = 1, .name = SLICE("al\"ice"), .rpm = 9, .expires_at = 1800000000};
    int64_t noon = INT64_C(1700000000) / 86400 * 86400 + 43200;
    limits_add_usage(limits, 1, noon, 2, 1, 10, 20);
    limits_add_usage(limits, 1, noon + 5, 3, 0, 1, 2);
    limits_add_usage(limits, 2, noon, 99, 99, 99, 99);
    const char *text = client_page(&c, noon + 10);
    assert_non_null(strstr(text, "{\"client\":\"al\\\"ice\""));
    assert_non_null(
        strstr(text, "\"today\":{\"requests\":5,\"errors\":1,\"bytes_up\":11,\"bytes_down\":22}"));
    assert_non_null(strstr(text, "\"resets_at\":\"2023-11-15T00:00:00Z\""));
    assert_non_null(strstr(text, "\"expires_at\":\"2027-01-15T08:00:00Z\""));
    text = client_page(&c, noon + 43200);
    assert_non_null(strstr(text, "\"today\":{\"requests\":0,"));
    struct snap_client unknown = {.id = 77, .name = SLICE("x")};
    assert_non_null(strstr(client_page(&unknown, noon), "\"requests\":0,"));
}

#define LIMITS(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LIMITS(an_address_has_so_many_connections),
        LIMITS(an_address_is_the_same_in_both_spellings),
        LIMITS(a_leave_without_an_enter_counts_nothing),
        LIMITS(zero_is_no_limit),
        LIMITS(the_last_failures_are_kept_newest_first),
        LIMITS(addresses_that_are_gone_are_forgotten),
        LIMITS(an_open_connection_is_never_forgotten),
        LIMITS(a_client_without_a_limit_never_waits),
        LIMITS(a_minutes_worth_may_come_at_once_then_at_the_pace),
        LIMITS(the_pace_holds_for_odd_and_huge_limits),
        LIMITS(clients_do_not_wait_for_each_other),
        LIMITS(a_clients_day_adds_up_and_ends_at_midnight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
