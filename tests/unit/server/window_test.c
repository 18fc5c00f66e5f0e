/* The console's live figures: seconds that add up and go, windows that begin anew when shares
 * change, and the line that asks for them. */
#include "server/window.h"

#include "base/check.h"
#include "base/mem.h"
#include "server/command.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WALL_MS INT64_C(1700000000000)
#define T0 5000u
#define ONE 11
#define TWO 12
#define POOL 3
#define OTHER 4

static struct snap_account accounts[2] = {{.id = ONE, .name = {"one", 3}},
                                          {.id = TWO, .name = {"two", 3}}};

/* Snapshots are counted objects of the store's; here each is static, and so are the counts. */
static int refs[8];
static struct snapshot snaps[8];
static struct snap_member members[8][2];
static struct snap_pool pools[8][2];

struct snapshot *snapshot_ref(struct snapshot *s)
{
    refs[s - snaps]++;
    return s;
}

void snapshot_unref(struct snapshot **s)
{
    if (*s)
        refs[*s - snaps]--;
    *s = NULL;
}

/* Number N: two pools of the same two accounts; the first with these weights. */
static struct snapshot *snap(int n, double one, double two)
{
    members[n][0] = (struct snap_member){0, one};
    members[n][1] = (struct snap_member){1, two};
    static const struct snap_member same[] = {{0, 1}, {1, 1}};
    pools[n][0] = (struct snap_pool){
        .id = POOL, .name = SLICE("p"), .members = members[n], .member_count = 2};
    pools[n][1] =
        (struct snap_pool){.id = OTHER, .name = SLICE("o"), .members = same, .member_count = 2};
    snaps[n] = (struct snapshot){.generation = n + 1,
                                 .accounts = accounts,
                                 .account_count = 2,
                                 .pools = pools[n],
                                 .pool_count = 2};
    return &snaps[n];
}

static struct window *w;
static struct health *health;

static int make(void **state)
{
    accounts[0].state = accounts[1].state = ACCOUNT_UP;
    memset(refs, 0, sizeof refs);
    return window_create(&w) != ERR_OK || health_create(&health) != ERR_OK ||
           window_follow(w, snap(0, 1, 1), health, T0, WALL_MS) != ERR_OK;
}

static int end(void **state)
{
    window_destroy(w);
    health_destroy(health);
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        if (refs[i])
            return 1;
    return 0;
}

static void follow(struct snapshot *s, uint64_t now_s)
{
    assert_int_equal(window_follow(w, s, health, now_s, WALL_MS + (int64_t)(now_s - T0) * 1000),
                     ERR_OK);
}

static void answers(int64_t account, uint32_t n, uint64_t second, int64_t generation)
{
    static struct tally t;
    t = (struct tally){.second = second};
    tally_slot(&t, POOL, account, generation)->answers = n;
    window_add(w, &t);
}

static struct window_member see(int64_t account, uint64_t now_s)
{
    struct window_member m;
    for (size_t i = 0; i < window_member_count(w); i++) {
        window_member(w, i, now_s, &m);
        if (m.pool_id == POOL && m.account_id == account)
            return m;
    }
    fail_msg("no such member");
    return (struct window_member){.pool_id = 0};
}

static void members_are_those_of_the_snapshot_in_order(void **state)
{
    struct window_member m;
    assert_int_equal(window_member_count(w), 4);
    for (size_t i = 0; i < 4; i++) {
        window_member(w, i, T0, &m);
        assert_int_equal(m.pool_id, i < 2 ? POOL : OTHER);
        assert_int_equal(m.account_id, i % 2 ? TWO : ONE);
        assert_string_equal(m.account->name.p, i % 2 ? "two" : "one");
        assert_string_equal(m.pool->name.p, i < 2 ? "p" : "o");
        assert_int_equal(m.requests + m.recent + m.limited + m.errors + m.window_s, 0);
    }
}

static void seconds_add_up_and_go_after_five_minutes(void **state)
{
    answers(ONE, 3, T0, 1);
    answers(ONE, 4, T0 + 1, 1);
    answers(ONE, 5, T0, 1); /* another worker's, a little later */
    assert_int_equal(see(ONE, T0 + 1).requests, 12);
    assert_int_equal(see(ONE, T0 + 1).window_s, 1);
    assert_int_equal(see(TWO, T0 + 1).requests, 0);
    assert_int_equal(see(ONE, T0 + 9).recent, 12);
    assert_int_equal(see(ONE, T0 + 10).recent, 4);
    assert_int_equal(see(ONE, T0 + 11).recent, 0);
    assert_int_equal(see(ONE, T0 + 299).requests, 12);
    assert_int_equal(see(ONE, T0 + 300).requests, 4);
    assert_int_equal(see(ONE, T0 + 301).requests, 0);
    assert_int_equal(see(ONE, T0 + 100000).requests, 0);
    assert_int_equal(see(ONE, T0 + 100000).window_s, 300);
}

static void a_slot_is_used_again_and_a_late_tally_finds_its_own(void **state)
{
    answers(ONE, 1, T0, 1);
    answers(ONE, 2, T0 + 300, 1); /* the same slot */
    assert_int_equal(see(ONE, T0 + 300).requests, 2);
    answers(ONE, 7, T0, 1); /* too late to count */
    assert_int_equal(see(ONE, T0 + 300).requests, 2);
    answers(ONE, 4, T0 + 1, 1);
    assert_int_equal(see(ONE, T0 + 300).requests, 6);
    answers(ONE, 1, T0 + 5000, 1);
    assert_int_equal(see(ONE, T0 + 5000).requests, 1);
}

static void a_new_weight_begins_a_new_window_in_its_pool_only(void **state)
{
    static struct tally t;
    answers(ONE, 10, T0 + 1, 1);
    t = (struct tally){.second = T0 + 1};
    tally_slot(&t, OTHER, ONE, 1)->answers = 6;
    tally_slot(&t, POOL, ONE, 1)->limited = 2;
    tally_slot(&t, POOL, ONE, 1)->errors = 1;
    window_add(w, &t);
    follow(snap(1, 1, 3), T0 + 20);
    struct window_member m = see(ONE, T0 + 21);
    assert_int_equal(m.requests, 0);
    assert_int_equal(m.window_s, 1);
    assert_int_equal(m.limited, 2); /* these are of the last five minutes all the same */
    assert_int_equal(m.errors, 1);
    answers(ONE, 5, T0 + 21, 1); /* chosen by the old weights */
    answers(ONE, 7, T0 + 21, 2);
    m = see(ONE, T0 + 22);
    assert_int_equal(m.requests, 7);
    assert_int_equal(m.recent, 12);
    window_member(w, 2, T0 + 22, &m);
    assert_int_equal(m.pool_id, OTHER);
    assert_int_equal(m.requests, 6);
    assert_int_equal(m.window_s, 22);
    assert_int_equal(refs[0], 0);
}

static void a_snapshot_that_changes_no_share_changes_no_window(void **state)
{
    answers(ONE, 10, T0 + 1, 1);
    follow(snap(1, 1, 1), T0 + 2);
    answers(ONE, 1, T0 + 2, 1);
    assert_int_equal(see(ONE, T0 + 3).requests, 11);
    assert_int_equal(see(ONE, T0 + 3).window_s, 3);
}

static void a_drain_begins_a_new_window(void **state)
{
    answers(ONE, 10, T0 + 1, 1);
    accounts[1].state = ACCOUNT_DRAIN;
    follow(snap(1, 1, 1), T0 + 2);
    assert_int_equal(see(ONE, T0 + 3).requests, 0);
}

static void a_rest_begins_a_window_and_its_end_another(void **state)
{
    struct cooldown c;
    answers(ONE, 10, T0 + 1, 1);
    health_cool(health, &accounts[1], SLICE("some-model"), "429", 3, WALL_MS + 2000, &c);
    follow(&snaps[0], T0 + 2); /* one model's is no rest of the whole account */
    assert_int_equal(see(ONE, T0 + 2).requests, 10);
    health_cool(health, &accounts[1], SLICE(""), "401", 5, WALL_MS + 3000, &c);
    follow(&snaps[0], T0 + 3);
    assert_int_equal(see(ONE, T0 + 3).requests, 0);
    answers(ONE, 2, T0 + 4, 1);
    follow(&snaps[0], T0 + 7);
    assert_int_equal(see(ONE, T0 + 7).requests, 2);
    assert_int_equal(see(ONE, T0 + 7).window_s, 4);
    follow(&snaps[0], T0 + 9);
    assert_int_equal(see(ONE, T0 + 9).requests, 0);
    assert_int_equal(see(ONE, T0 + 9).window_s, 0);
}

static void who_left_the_pool_is_forgotten(void **state)
{
    answers(ONE, 10, T0 + 1, 1);
    struct snapshot *s = snap(1, 1, 1);
    pools[1][0].member_count = 1;
    pools[1][0].members = &members[1][1]; /* two */
    follow(s, T0 + 2);
    assert_int_equal(window_member_count(w), 3);
    answers(ONE, 1, T0 + 2, 1);
    answers(TWO, 1, T0 + 2, 2);
    assert_int_equal(see(TWO, T0 + 2).requests, 1);
    follow(snap(2, 1, 1), T0 + 3);
    assert_int_equal(see(ONE, T0 + 3).recent, 0);
}

static void without_memory_the_old_members_stay_until_the_next_try(void **state)
{
    for (uint32_t n = 1; n <= 2; n++) {
        answers(ONE, 10, T0 + 1, 1);
        mem_fail_after(n, 0);
        assert_int_equal(window_follow(w, snap(1, 2, 1), health, T0 + 2, WALL_MS), ERR_NOMEM);
        mem_fail_after(0, 0);
        assert_int_equal(see(ONE, T0 + 2).requests, 10 * n);
    }
    follow(&snaps[1], T0 + 2);
    assert_int_equal(see(ONE, T0 + 2).requests, 0);
}

static void rates_are_of_whole_seconds(void **state)
{
    static struct tally t;
    struct window_totals all;
    for (uint32_t i = 0; i < 70; i++) {
        t = (struct tally){.second = T0 + i, .requests = i, .failures = i == 69};
        window_add(w, &t);
    }
    window_totals(w, T0 + 69, &all);
    assert_int_equal(all.rate[59], 68);
    assert_int_equal(all.rate[0], 9);
    assert_int_equal(all.requests, 70 * 69 / 2);
    assert_int_equal(all.failures, 1);
    assert_false(all.has_first_byte);
    window_totals(w, T0 + 72, &all);
    assert_int_equal(all.rate[59], 0);
    assert_int_equal(all.rate[57], 69 + 0);
    window_totals(w, T0 + 1000, &all);
    assert_int_equal(all.requests, 0);
}

static void first_bytes_lie_between_the_bounds_of_their_bucket(void **state)
{
    static struct tally t;
    struct window_totals all;
    struct exchange_record e = {.status = 200};
    t = (struct tally){.second = T0};
    for (int i = 0; i < 100; i++) {
        e.ttfb_ms = i < 90 ? 150 : 450; /* the buckets up to 150 and up to 500 */
        tally_add(&t, &e);
    }
    e.ttfb_ms = 0;
    e.is_own_answer = true;
    tally_add(&t, &e); /* nobody's first byte */
    window_add(w, &t);
    window_totals(w, T0, &all);
    assert_true(all.has_first_byte);
    assert_in_range(all.p50_ms, 101, 150);
    assert_in_range(all.p95_ms, 301, 500);
    t = (struct tally){.second = T0 + 400};
    e = (struct exchange_record){.status = 200, .ttfb_ms = 900000};
    tally_add(&t, &e);
    window_add(w, &t);
    window_totals(w, T0 + 400, &all);
    assert_int_equal(all.p50_ms, 60000); /* at least */
}

static void attempts_that_failed_count_at_their_account(void **state)
{
    static struct tally t;
    const struct attempt tries[] = {{.account = SLICE("one"), .account_id = ONE, .status = 429},
                                    {.account = SLICE("one"), .account_id = ONE, .status = 503},
                                    {.account_id = ONE, .reason = "connect_timeout"},
                                    {.account_id = TWO, .status = 529},
                                    {.account_id = TWO, .status = 401},
                                    {.account_id = TWO, .status = 404},
                                    {.account_id = TWO, .reason = "body_timeout"},
                                    {.account_id = TWO, .status = 0}};
    struct exchange_record e = {
        .pool_id = POOL, .generation = 1, .attempts = tries, .attempt_count = 8, .status = 404};
    t = (struct tally){.second = T0};
    tally_add(&t, &e);
    window_add(w, &t);
    struct window_member one = see(ONE, T0), two = see(TWO, T0);
    assert_int_equal(one.limited, 1);
    assert_int_equal(one.errors, 2);
    assert_int_equal(two.limited, 1);
    assert_int_equal(two.errors, 1);
    assert_int_equal(one.requests + two.requests, 0); /* answers are counted when they begin */
    assert_int_equal(t.failures, 0);
    e = (struct exchange_record){.status = 0, .reason = "client_gone"};
    tally_add(&t, &e);
    assert_int_equal(t.failures, 0);
    e.reason = "shutdown";
    tally_add(&t, &e);
    e.status = 502;
    tally_add(&t, &e);
    assert_int_equal(t.failures, 2);
    assert_int_equal(t.requests, 4);
}

static void a_full_tally_says_so_in_time(void **state)
{
    static struct tally t;
    int64_t n = 1;
    t = (struct tally){.second = T0};
    for (; tally_has_room(&t); n++)
        tally_slot(&t, POOL, n, 1)->answers++;
    int64_t some = n; /* the first of them was within the last room there was */
    for (int i = 1; i < ATTEMPTS_MAX; i++)
        tally_slot(&t, OTHER, n++, 1)->answers++;
    for (int64_t id = 1; id < n; id++)
        assert_int_equal(tally_slot(&t, id < some ? POOL : OTHER, id, 1)->answers, 1);
    assert_int_equal(t.used, n - 1);
    assert_in_range(t.used, TALLY_SLOTS - ATTEMPTS_MAX, TALLY_SLOTS - 1);
}

/* ---- the line ---- */

static void lines_are_read(void **state)
{
    static const struct {
        const char *line;
        enum command_kind kind;
        uint32_t limit;
        const char *id;
    } cases[] = {
        {"{\"cmd\":\"figures\"}", COMMAND_FIGURES, 0, NULL},
        {"{\"cmd\":\"live\",\"limit\":500}", COMMAND_LIVE, 500, NULL},
        {"{\"cmd\":\"live\",\"limit\":1e3}", COMMAND_LIVE, 1000, NULL},
        {"{\"cmd\":\"live\",\"limit\":0}", COMMAND_LIVE, COMMAND_LIMIT_BAD, NULL},
        {"{\"cmd\":\"live\",\"limit\":-1}", COMMAND_LIVE, COMMAND_LIMIT_BAD, NULL},
        {"{\"cmd\":\"live\",\"limit\":1.5}", COMMAND_LIVE, COMMAND_LIMIT_BAD, NULL},
        {"{\"cmd\":\"live\",\"limit\":1e300}", COMMAND_LIVE, COMMAND_LIMIT_BAD, NULL},
        {"{\"cmd\":\"live\",\"limit\":\"5\"}", COMMAND_LIVE, COMMAND_LIMIT_BAD, NULL},
        {"{\"cmd\":\"live\",\"limit\":5,\"limit\":6}", COMMAND_LIVE, COMMAND_LIMIT_BAD, NULL},
        {"{\"cmd\":\"end\",\"id\":\"cs_1\"}", COMMAND_END, 0, "cs_1"},
        {"{\"cmd\":\"end\",\"id\":7}", COMMAND_END, 0, NULL},
        {"{\"cmd\":\"trust\"}", COMMAND_TRUST, 0, NULL},
        {"{\"cmd\":\"leaves\"}\r", COMMAND_LEAVES, 0, NULL},
        {"{\"cmd\":\"test\",\"account\":\"a\"}", COMMAND_TEST, 0, NULL},
        {"{\"cmd\":\"Live\"}", COMMAND_UNKNOWN, 0, NULL},
        {"{\"limit\":1}", COMMAND_BAD, 1, NULL},
        {"live", COMMAND_BAD, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command c;
        command_parse(slice_of(cases[i].line), &c);
        if (c.kind != cases[i].kind || c.limit != cases[i].limit)
            fail_msg("%s: kind %d, limit %u", cases[i].line, c.kind, c.limit);
        if (cases[i].id)
            assert_string_equal(c.id, cases[i].id);
        else
            assert_null(c.id);
        command_finish(&c);
    }
}

#define WINDOW(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WINDOW(members_are_those_of_the_snapshot_in_order),
        WINDOW(seconds_add_up_and_go_after_five_minutes),
        WINDOW(a_slot_is_used_again_and_a_late_tally_finds_its_own),
        WINDOW(a_new_weight_begins_a_new_window_in_its_pool_only),
        WINDOW(a_snapshot_that_changes_no_share_changes_no_window),
        WINDOW(a_drain_begins_a_new_window),
        WINDOW(a_rest_begins_a_window_and_its_end_another),
        WINDOW(who_left_the_pool_is_forgotten),
        WINDOW(without_memory_the_old_members_stay_until_the_next_try),
        WINDOW(rates_are_of_whole_seconds),
        WINDOW(first_bytes_lie_between_the_bounds_of_their_bucket),
        WINDOW(attempts_that_failed_count_at_their_account),
        WINDOW(a_full_tally_says_so_in_time),
        cmocka_unit_test(lines_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
