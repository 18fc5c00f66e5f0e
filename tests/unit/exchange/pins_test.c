/* The table of pins: who finds what, what makes room, what the store takes out. */
#include "base/clock.h"
#include "base/mem.h"
#include "exchange/pins.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW_S INT64_C(1700000000)

static struct pins *table;
static const struct snap_account accounts[] = {{.id = 1}, {.id = 2}};
static const struct snap_member members[] = {{0, 1}, {1, 1}};
static const struct snap_pool pools[] = {{.id = 10, .members = members, .member_count = 1},
                                         {.id = 11, .members = members + 1, .member_count = 1}};
static const struct snapshot snap = {
    .accounts = accounts, .account_count = 2, .pools = pools, .pool_count = 2};

static int make(void **state)
{
    (void)state;
    clock_set_fake(1000000, NOW_S * 1000);
    return pins_create(&table) != ERR_OK;
}

static int drop(void **state)
{
    (void)state;
    pins_destroy(table);
    clock_unset_fake();
    return 0;
}

static struct pin pin(const char *name, int64_t pool, int64_t account)
{
    struct pin p = {
        .pool_id = pool, .account_id = account, .expires_at = NOW_S + 60, .domain = "d"};
    snprintf(p.name, sizeof p.name, "%s", name);
    return p;
}

static void put(const char *name, int64_t pool, int64_t account)
{
    struct pin p = pin(name, pool, account);
    assert_true(pins_put(table, &p, true));
}

/* The account, 0 unknown, -1 another pool's. */
static int64_t find(const char *name, int64_t pool)
{
    struct pin p;
    switch (pins_find(table, pool, slice_of(name), clock_wall_s(), &p)) {
    case PIN_OURS:
        assert_string_equal(p.name, name);
        assert_string_equal(p.domain, "d");
        return p.account_id;
    case PIN_FOREIGN:
        return -1;
    case PIN_UNKNOWN:
        break;
    }
    return 0;
}

static void a_name_belongs_to_a_pool(void **state)
{
    put("files/a", 10, 1);
    assert_int_equal(find("files/a", 10), 1);
    assert_int_equal(find("files/a", 11), -1);
    assert_int_equal(find("files/b", 10), 0);
    put("files/a", 11, 2); /* the other pool may have one of that name */
    assert_int_equal(find("files/a", 10), 1);
    assert_int_equal(find("files/a", 11), 2);
    assert_int_equal(pins_count(table), 2);
    assert_true(pins_drop(table, 10, SLICE("files/a")));
    assert_false(pins_drop(table, 10, SLICE("files/a")));
    assert_int_equal(find("files/a", 10), -1);
}

static void it_is_replaced_only_by_who_may(void **state)
{
    struct pin other = pin("files/a", 10, 2);
    put("files/a", 10, 1);
    assert_false(pins_put(table, &other, false));
    assert_int_equal(find("files/a", 10), 1);
    assert_true(pins_put(table, &other, true));
    assert_int_equal(find("files/a", 10), 2);
    assert_int_equal(pins_count(table), 1);
}

static void what_another_pool_has_is_not_taken(void **state)
{
    struct pin p = pin("files/a", 11, 2);
    put("files/a", 10, 1);
    assert_false(pins_put(table, &p, false));
    assert_int_equal(find("files/a", 11), -1);
    clock_advance_fake(60000);
    p.expires_at += 60;
    assert_true(pins_put(table, &p, false)); /* nobody has it any more */
    assert_int_equal(find("files/a", 11), 2);
}

static void it_ends(void **state)
{
    struct pin other = pin("files/a", 10, 2);
    put("files/a", 10, 1);
    clock_advance_fake(60000);
    assert_int_equal(find("files/a", 10), 0);
    assert_int_equal(find("files/a", 11), 0);
    other.expires_at += 60;
    assert_true(pins_put(table, &other, false)); /* its place is free */
    assert_int_equal(find("files/a", 10), 2);
}

static void the_oldest_make_room(void **state)
{
    char name[64];
    for (int i = 0; i < (int)PINS_MAX + 10; i++) {
        snprintf(name, sizeof name, "files/%d", i);
        put(name, 10, 1);
    }
    assert_int_equal(pins_count(table), PINS_MAX);
    assert_int_equal(find("files/9", 10), 0);
    assert_int_equal(find("files/10", 10), 1);
}

static void nobodys_haste_drives_out_what_others_have(void **state)
{
    char name[64];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "files/mine-%d", i);
        put(name, 10, 1);
    }
    for (int i = 0; i < (int)PINS_MAX + 500; i++) {
        snprintf(name, sizeof name, "files/%d", i);
        put(name, 11, 2);
    }
    assert_int_equal(pins_count(table), PINS_MAX);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "files/mine-%d", i);
        assert_int_equal(find(name, 10), 1);
    }
    put("files/one-more", 10, 1);
    assert_int_equal(find("files/mine-0", 10), 1);
    assert_int_equal(find("files/600", 11), 0);
    assert_int_equal(find("files/601", 11), 2);
}

static void a_pool_without_any_is_not_concerned(void **state)
{
    assert_false(pins_concern(table, &snap, &pools[0]));
    put("files/a", 10, 1);
    assert_true(pins_concern(table, &snap, &pools[0]));
    assert_false(pins_concern(table, &snap, &pools[1]));
    put("files/b", 12, 2); /* another pool, but an account of this one */
    assert_true(pins_concern(table, &snap, &pools[1]));
    pins_drop(table, 12, SLICE("files/b"));
    assert_false(pins_concern(table, &snap, &pools[1]));
}

static void what_the_store_lost_goes(void **state)
{
    struct pin b = pin("files/b", 10, 2);
    put("files/unwritten", 10, 1);
    put("files/written", 10, 1);
    put("files/gone", 10, 99); /* its account was removed */
    pins_written(table, 10, SLICE("files/written"));
    pins_written(table, 10, SLICE("files/never"));
    pins_sweep_begin(table);
    put("files/meanwhile", 10, 1);
    pins_written(table, 10, SLICE("files/meanwhile"));
    pins_stored(table, &b);
    uint64_t again_ms = pins_sweep(table, &snap, clock_mono_ms());
    assert_int_equal(find("files/b", 10), 2);
    assert_int_equal(find("files/written", 10), 0);
    assert_int_equal(find("files/unwritten", 10), 1);
    assert_int_equal(find("files/meanwhile", 10), 1);
    assert_int_equal(find("files/gone", 10), 99);
    assert_true(again_ms > clock_mono_ms());
    clock_advance_fake(again_ms - clock_mono_ms());
    pins_sweep_begin(table);
    assert_int_equal(pins_sweep(table, &snap, clock_mono_ms()), 0);
    assert_int_equal(find("files/unwritten", 10), 1); /* the store was locked for long, say */
    assert_int_equal(find("files/meanwhile", 10), 0);
    assert_int_equal(find("files/b", 10), 0);
    assert_int_equal(find("files/gone", 10), 99);
    clock_advance_fake(60000);
    pins_sweep_begin(table);
    pins_sweep(table, &snap, clock_mono_ms());
    assert_int_equal(pins_count(table), 0);
}

/* A full table, all of whose rows are read again: what only the table knows is not what goes. */
static void a_look_at_the_whole_store_costs_no_new_pin(void **state)
{
    char name[32];
    for (int i = 0; i < PINS_MAX; i++) {
        snprintf(name, sizeof name, "files/%d", i);
        struct pin p = pin(name, 10, 1);
        pins_stored(table, &p);
    }
    put("files/new", 10, 2);
    assert_int_equal(pins_count(table), PINS_MAX);
    for (int round = 0; round < 2; round++) {
        pins_sweep_begin(table);
        for (int i = 0; i < PINS_MAX; i++) {
            snprintf(name, sizeof name, "files/%d", i);
            struct pin p = pin(name, 10, 1);
            pins_stored(table, &p);
        }
        pins_sweep(table, &snap, clock_mono_ms());
        assert_int_equal(find("files/new", 10), 2);
        assert_int_equal(pins_count(table), PINS_MAX);
    }
}

static void *churn(void *arg)
{
    char name[32];
    struct pin found;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "files/%d", i % 50);
        struct pin p = pin(name, 10, *(const int *)arg);
        pins_put(table, &p, i % 3 == 0);
        (void)pins_find(table, 10, slice_of(name), NOW_S, &found);
        (void)pins_concern(table, &snap, &pools[0]);
        if (i % 7 == 0)
            pins_drop(table, 10, slice_of(name));
    }
    return NULL;
}

static void all_threads_at_once(void **state)
{
    static const int numbers[] = {1, 2, 3};
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)&numbers[i]),
                         0);
    for (int i = 0; i < 20; i++) {
        pins_sweep_begin(table);
        pins_sweep(table, &snap, clock_mono_ms());
    }
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(pins_count(table) <= 50);
}

static void without_memory_nothing_is_noted(void **state)
{
    struct pin p = pin("files/a", 10, 1);
    for (int n = 1; n <= 2; n++) {
        mem_fail_after(n, 0);
        assert_false(pins_put(table, &p, true));
    }
    mem_fail_after(1, 0);
    pins_stored(table, &p);
    mem_fail_after(0, 0);
    assert_int_equal(pins_count(table), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_name_belongs_to_a_pool),
        T(it_is_replaced_only_by_who_may),
        T(what_another_pool_has_is_not_taken),
        T(it_ends),
        T(the_oldest_make_room),
        T(nobodys_haste_drives_out_what_others_have),
        T(a_pool_without_any_is_not_concerned),
        T(what_the_store_lost_goes),
        T(a_look_at_the_whole_store_costs_no_new_pin),
        T(all_threads_at_once),
        T(without_memory_nothing_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
