/* Clocks, deadlines, and what crosses threads or turns of the loop. */
#include "base/check.h"
#include "base/clock.h"
#include "base/later.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/wheel.h"

#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- clock ---- */

static void the_fake_clock_stands_until_it_is_moved(void **state)
{
    clock_set_fake(1000, 1700000000123);
    assert_int_equal(clock_mono_ms(), 1000);
    assert_int_equal(clock_mono_us(), 1000000);
    assert_int_equal(clock_wall_s(), 1700000000);
    assert_int_equal(clock_wall_ms(), 1700000000123);
    clock_advance_fake(877);
    assert_int_equal(clock_mono_ms(), 1877);
    assert_int_equal(clock_wall_s(), 1700000001);
    clock_unset_fake();
    uint64_t a = clock_mono_us(), b = clock_mono_us();
    assert_true(b >= a);
    assert_true(clock_wall_s() > 1700000000);
}

static void times_are_printed_in_utc(void **state)
{
    char buf[32];
    assert_string_equal(clock_format_utc(0, buf, sizeof buf), "1970-01-01T00:00:00Z");
    assert_string_equal(clock_format_utc(1795356131, buf, sizeof buf), "2026-11-22T14:02:11Z");
    assert_string_equal(clock_format_utc(-1, buf, sizeof buf), "1969-12-31T23:59:59Z");
    assert_string_equal(clock_format_utc(0, buf, 5), "-");
}

/* ---- wheel ---- */

#define N 40
static struct wheel wheel;
static struct deadline deadlines[N];
static uint64_t want_at[N];  /* 0: must not fire */
static uint64_t due[N];      /* not before it was set */
static uint64_t now, turned; /* the wheel was last turned then */
static int fired;

static void on_fire(struct deadline *d)
{
    size_t i = (size_t)(d - deadlines);
    fired++;
    if (want_at[i] == 0)
        fail_msg("%zu fired and was cleared", i);
    if (now < want_at[i])
        fail_msg("%zu fired %llu ms early", i, (unsigned long long)(want_at[i] - now));
    want_at[i] = 0;
}

static void wheel_start(uint64_t at)
{
    memset(deadlines, 0, sizeof deadlines);
    memset(want_at, 0, sizeof want_at);
    fired = 0;
    now = turned = at;
    wheel_init(&wheel, now);
    for (size_t i = 0; i < N; i++)
        deadlines[i].fire = on_fire;
}

static void set(size_t i, uint64_t at)
{
    want_at[i] = at ? at : 1;
    due[i] = at > now ? at : now;
    deadline_set(&wheel, &deadlines[i], at);
}

/* Turns as a loop does: a tick, or now and then a long sleep. */
static void advance(uint64_t ms)
{
    now += ms;
    wheel_turn(&wheel, now);
    for (size_t i = 0; i < N; i++)
        if (want_at[i] && now >= due[i] + 2 * WHEEL_TICK_MS)
            fail_msg("%zu is %llu ms late", i, (unsigned long long)(now - due[i]));
}

static void a_deadline_is_never_early_and_at_most_two_ticks_late(void **state)
{
    static const uint64_t starts[] = {0, 1, 127, 128, 1000000, 0xffffffffffu};
    static const uint64_t after[] = {0,     1,     127,   128,    129,    255,     256,
                                     257,   65000, 65407, 65408,  65409,  65535,   65536,
                                     65537, 66000, 70000, 131072, 200000, 10000000};
    for (size_t s = 0; s < ARRAY_LEN(starts); s++) {
        wheel_start(starts[s]);
        for (size_t i = 0; i < ARRAY_LEN(after); i++)
            set(i, now + after[i]);
        while (fired < (int)ARRAY_LEN(after))
            advance(fired < (int)ARRAY_LEN(after) - 1 ? 1 + now % 128 : 128);
    }
}

static void a_deadline_can_be_moved_both_ways(void **state)
{
    wheel_start(5000);
    set(0, now + 1000);
    set(0, now + 5000); /* later */
    set(1, now + 60000);
    set(1, now + 300); /* earlier */
    set(2, now + 1000);
    set(2, now + 200000); /* much later */
    set(2, now + 1500);   /* and back */
    set(3, now + 400);
    deadline_clear(&deadlines[3]);
    want_at[3] = 0;
    deadline_clear(&deadlines[3]);
    for (int i = 0; i < 100; i++)
        advance(64);
    assert_int_equal(fired, 3);
    assert_int_equal(deadlines[0].at_ms, 0);
}

static void a_long_sleep_fires_all_that_is_due_once(void **state)
{
    wheel_start(77);
    for (size_t i = 0; i < 30; i++)
        set(i, now + i * 5000);
    set(30, now + 20000000);
    now += 10000000;
    wheel_turn(&wheel, now);
    assert_int_equal(fired, 30);
    now = want_at[30] - 1;
    wheel_turn(&wheel, now);
    assert_int_equal(fired, 30);
    advance(WHEEL_TICK_MS);
    advance(WHEEL_TICK_MS);
    assert_int_equal(fired, 31);
    wheel_turn(&wheel, now - 1000); /* time does not go back; nor do we */
}

static void fire_that_meddles(struct deadline *d)
{
    size_t i = (size_t)(d - deadlines);
    on_fire(d);
    if (i == 0) { /* all of one slot */
        deadline_clear(&deadlines[1]);
        want_at[1] = 0;
        set(2, now + 1000);
        set(0, now + 500);
        set(5, 1); /* long ago */
    }
}

static void fire_may_set_and_clear_any_deadline(void **state)
{
    wheel_start(1280);
    for (size_t i = 0; i < 5; i++) {
        deadlines[i].fire = fire_that_meddles;
        set(i, now + 300);
    }
    advance(512);
    assert_int_equal(fired, 4); /* 0, 3, 4, 5 */
    deadlines[0].fire = on_fire;
    for (int i = 0; i < 20; i++)
        advance(128);
    assert_int_equal(fired, 6);
}

static void ten_thousand_random_operations_agree_with_a_model(void **state)
{
    unsigned seed = 42;
    for (int round = 0; round < 5; round++) {
        wheel_start((uint64_t)round * 99999);
        for (int k = 0; k < 10000; k++) {
            seed = seed * 1664525u + 1013904223u;
            unsigned r = seed >> 8;
            size_t i = r % N;
            switch (r / N % 8) {
            case 0:
            case 1:
                set(i, now + r % 1000);
                break;
            case 2:
                set(i, now + r % 200000);
                break;
            case 3:
                set(i, r % 3 ? now + r % 70000 : r % 1000);
                break;
            case 4:
                deadline_clear(&deadlines[i]);
                want_at[i] = 0;
                break;
            case 5:
                advance(r % 128 + 1);
                break;
            case 6:
                advance(128);
                break;
            case 7:
                if (k % 50 == 0)
                    now += 100000; /* asleep: late is forgiven, early and never are not */
                wheel_turn(&wheel, now);
                break;
            }
            for (size_t j = 0; j < N; j++)
                assert_int_equal(deadlines[j].at_ms, want_at[j]);
        }
        now += 300000;
        for (int k = 0; k < 3; k++)
            advance(128);
        for (size_t j = 0; j < N; j++)
            assert_int_equal(want_at[j], 0);
    }
}

/* ---- later ---- */

struct dying {
    struct later_link link;
    struct later *list;
    struct dying *next;
    int *deaths;
};

static void die(struct later_link *l)
{
    struct dying *d = container_of(l, struct dying, link);
    ++*d->deaths;
    if (d->next)
        later_destroy(d->list, &d->next->link, die);
    mem_free(d);
}

static struct dying *make_dying(struct later *list, int *deaths, struct dying *next)
{
    struct dying *d = mem_calloc(1, sizeof *d);
    assert_non_null(d);
    d->list = list;
    d->deaths = deaths;
    d->next = next;
    return d;
}

static void objects_die_in_the_next_turn(void **state)
{
    struct event_base *base = event_base_new();
    struct later *list;
    int deaths = 0;
    assert_int_equal(later_create(base, &list), ERR_OK);
    for (int i = 0; i < 3; i++)
        later_destroy(list, &make_dying(list, &deaths, NULL)->link, die);
    assert_int_equal(deaths, 0);
    event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(deaths, 3);
    later_destroy(list, &make_dying(list, &deaths, make_dying(list, &deaths, NULL))->link, die);
    event_base_loop(base, EVLOOP_ONCE);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(deaths, 5);
    later_destroy(list, &make_dying(list, &deaths, make_dying(list, &deaths, NULL))->link, die);
    later_destroy_list(list); /* nothing is left behind */
    assert_int_equal(deaths, 7);
    later_destroy_list(NULL);
    for (long n = 1; n < 2; n++) {
        mem_fail_after(n, 1);
        assert_int_equal(later_create(base, &list), ERR_NOMEM);
        mem_fail_after(0, 0);
    }
    event_base_free(base);
}

/* ---- mailbox ---- */

#define POSTERS 4
#define LETTERS 5000

struct note {
    struct letter letter;
    int poster, number;
};

static struct mailbox *box;
static int next_number[POSTERS], delivered;
static pthread_t reader;

static void deliver(struct letter *l)
{
    struct note *n = container_of(l, struct note, letter);
    assert_true(pthread_equal(pthread_self(), reader));
    assert_int_equal(n->number, next_number[n->poster]++);
    delivered++;
    mem_free(n);
}

static void post(int poster, int number)
{
    struct note *n = mem_calloc(1, sizeof *n);
    if (!n)
        abort();
    n->letter.deliver = deliver;
    n->poster = poster;
    n->number = number;
    mailbox_post(box, &n->letter);
}

static void *poster_main(void *arg)
{
    for (int i = 0; i < LETTERS; i++)
        post((int)(intptr_t)arg, i);
    return NULL;
}

static void letters_arrive_once_in_order_on_the_readers_thread(void **state)
{
    struct event_base *base = event_base_new();
    pthread_t t[POSTERS];
    reader = pthread_self();
    assert_int_equal(mailbox_create(base, &box), ERR_OK);
    for (int i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, poster_main, (void *)(intptr_t)i), 0);
    while (delivered < POSTERS * LETTERS)
        event_base_loop(base, EVLOOP_ONCE);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(t[i], NULL);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(delivered, POSTERS * LETTERS);
    post(0, LETTERS);
    post(0, LETTERS + 1);
    mailbox_destroy(box); /* delivers what is left */
    assert_int_equal(delivered, POSTERS * LETTERS + 2);
    mailbox_destroy(NULL);
    mem_fail_after(1, 0);
    assert_int_equal(mailbox_create(base, &box), ERR_NOMEM);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fake_clock_stands_until_it_is_moved),
        cmocka_unit_test(times_are_printed_in_utc),
        cmocka_unit_test(a_deadline_is_never_early_and_at_most_two_ticks_late),
        cmocka_unit_test(a_deadline_can_be_moved_both_ways),
        cmocka_unit_test(a_long_sleep_fires_all_that_is_due_once),
        cmocka_unit_test(fire_may_set_and_clear_any_deadline),
        cmocka_unit_test(ten_thousand_random_operations_agree_with_a_model),
        cmocka_unit_test(objects_die_in_the_next_turn),
        cmocka_unit_test(letters_arrive_once_in_order_on_the_readers_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
