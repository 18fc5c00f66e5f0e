/* When a crowd of connections counts as gone. */
#include "server/server_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_few_are_no_crowd(void **state)
{
    struct crowd c = {0};
    assert_false(crowd_left(&c, 1000, 0));
    assert_false(crowd_left(&c, 0, 1000));
    assert_false(crowd_left(&c, 0, 100000));
}

static void once_after_ten_seconds(void **state)
{
    struct crowd c = {0};
    assert_false(crowd_left(&c, 5000, 1000));
    assert_false(crowd_left(&c, 2501, 2000));
    assert_false(crowd_left(&c, 2500, 3000));
    assert_false(crowd_left(&c, 0, 12999));
    assert_true(crowd_left(&c, 0, 13000));
    assert_false(crowd_left(&c, 0, 14000));
    assert_false(crowd_left(&c, 0, 100000));
}

/* What half of them held until the end must not be forgotten because the other half left first. */
static void those_who_leave_a_moment_later_count_too(void **state)
{
    struct crowd c = {0};
    assert_false(crowd_left(&c, 1500, 1000));
    assert_false(crowd_left(&c, 740, 1050));
    assert_false(crowd_left(&c, 0, 1100));
    assert_true(crowd_left(&c, 0, 11050));
}

static void who_comes_back_begins_anew(void **state)
{
    struct crowd c = {0};
    assert_false(crowd_left(&c, 2000, 0));
    assert_false(crowd_left(&c, 900, 1000));
    assert_false(crowd_left(&c, 1900, 9000));
    assert_false(crowd_left(&c, 900, 12000));
    assert_false(crowd_left(&c, 900, 21999));
    assert_true(crowd_left(&c, 900, 22000));
}

static void a_crowd_that_halves_again_is_seen_again(void **state)
{
    struct crowd c = {0};
    assert_false(crowd_left(&c, 8000, 0));
    assert_false(crowd_left(&c, 4000, 1));
    assert_true(crowd_left(&c, 3000, 10001));
    assert_false(crowd_left(&c, 1500, 20000));
    assert_true(crowd_left(&c, 1500, 30000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_are_no_crowd),
        cmocka_unit_test(once_after_ten_seconds),
        cmocka_unit_test(those_who_leave_a_moment_later_count_too),
        cmocka_unit_test(who_comes_back_begins_anew),
        cmocka_unit_test(a_crowd_that_halves_again_is_seen_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
