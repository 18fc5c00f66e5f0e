#include "base/mem.h"
#include "tls/lru.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int freed;

static void count_free(void *p)
{
    freed++;
}

static struct lru *make(size_t max)
{
    struct lru *l = NULL;
    freed = 0;
    assert_int_equal(lru_create(max, count_free, &l), ERR_OK);
    return l;
}

static void the_one_not_asked_for_longest_goes_first(void **state)
{
    struct lru *l = make(2);
    int a, b, c;
    assert_int_equal(lru_put(l, SLICE("a"), &a), ERR_OK);
    assert_int_equal(lru_put(l, SLICE("b"), &b), ERR_OK);
    assert_ptr_equal(lru_get(l, SLICE("a")), &a);
    assert_int_equal(lru_put(l, SLICE("c"), &c), ERR_OK);
    assert_null(lru_get(l, SLICE("b")));
    assert_ptr_equal(lru_get(l, SLICE("a")), &a);
    assert_ptr_equal(lru_get(l, SLICE("c")), &c);
    assert_int_equal(freed, 1);
    lru_destroy(l);
    assert_int_equal(freed, 3);
}

static void a_second_value_replaces_the_first(void **state)
{
    struct lru *l = make(2);
    int a, b;
    assert_int_equal(lru_put(l, SLICE("a"), &a), ERR_OK);
    assert_int_equal(lru_put(l, SLICE("a"), &b), ERR_OK);
    assert_int_equal(freed, 1);
    assert_int_equal(lru_count(l), 1);
    assert_ptr_equal(lru_get(l, SLICE("a")), &b);
    lru_remove(l, SLICE("a"));
    lru_remove(l, SLICE("a"));
    assert_int_equal(lru_count(l), 0);
    assert_int_equal(freed, 2);
    lru_destroy(l);
}

static void it_stays_within_its_bound(void **state)
{
    struct lru *l = make(100);
    int v;
    char key[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(lru_put(l, slice_of(key), &v), ERR_OK);
        assert_true(lru_count(l) <= 100);
    }
    assert_non_null(lru_get(l, SLICE("k4900")));
    assert_null(lru_get(l, SLICE("k4899")));
    lru_destroy(l);
    assert_int_equal(freed, 5000);
}

static void without_memory_the_value_is_freed_and_the_map_whole(void **state)
{
    for (int n = 1; n < 8; n++) {
        struct lru *l = make(8);
        int v;
        mem_fail_after(n, 1);
        enum err e = lru_put(l, SLICE("x"), &v);
        mem_fail_after(0, 0);
        assert_int_equal(freed, e == ERR_OK ? 0 : 1);
        assert_int_equal(lru_put(l, SLICE("y"), &v), ERR_OK);
        assert_ptr_equal(lru_get(l, SLICE("y")), &v);
        lru_destroy(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_not_asked_for_longest_goes_first),
        cmocka_unit_test(a_second_value_replaces_the_first),
        cmocka_unit_test(it_stays_within_its_bound),
        cmocka_unit_test(without_memory_the_value_is_freed_and_the_map_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
