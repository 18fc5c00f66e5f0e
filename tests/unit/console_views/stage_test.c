/* What is staged, what it would do, and that nobody is overwritten. */
#include "views/stage.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct board_account accounts[3];
static struct board_member members[3];
static const struct board_pool pools[] = {
    {.id = 1, .name = "gemini", .first = 0, .count = 3, .clients = 2}};
static struct board board;

static int set_up(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    static const double weights[] = {5, 3, 2};
    for (int i = 0; i < 3; i++) {
        accounts[i] = (struct board_account){.id = i + 1, .name = names[i], .state = ACCOUNT_UP};
        members[i] = (struct board_member){.pool = 0, .account = i, .weight = weights[i]};
    }
    board = (struct board){.now_s = 1000,
                           .generation = 213,
                           .accounts = accounts,
                           .account_count = 3,
                           .pools = pools,
                           .pool_count = 1,
                           .members = members,
                           .member_count = 3};
    return 0;
}

/* board.c has them; here the board is made by hand */
int board_account_find(const struct board *b, const char *name)
{
    for (int i = 0; i < b->account_count; i++)
        if (strcmp(b->accounts[i].name, name) == 0)
            return i;
    return -1;
}

static void assert_share(double have, double wanted)
{
    assert_true(have > wanted - 1e-9 && have < wanted + 1e-9);
}

static void shares_are_of_those_that_can_serve(void **state)
{
    double p[3];
    struct stage s = {.count = 0};
    share_expected(&board, &pools[0], NULL, p);
    assert_share(p[0], 0.5);
    assert_share(p[2], 0.2);
    accounts[0].state = ACCOUNT_DRAIN;
    share_expected(&board, &pools[0], NULL, p);
    assert_share(p[0], 0);
    assert_share(p[1], 0.6);
    accounts[0].state = ACCOUNT_UP;
    accounts[1].cool_until = 1001;
    share_expected(&board, &pools[0], NULL, p);
    assert_share(p[0], 5.0 / 7);
    assert_share(p[1], 0);
    accounts[1].cool_until = 1000; /* over */
    assert_true(stage_set_weight(&s, &board, &members[0], 0));
    assert_true(stage_set_state(&s, &board, &accounts[1], ACCOUNT_OFF));
    share_expected(&board, &pools[0], &s, p);
    assert_share(p[0], 0);
    assert_share(p[1], 0);
    assert_share(p[2], 1);
    assert_true(stage_set_weight(&s, &board, &members[2], 0));
    share_expected(&board, &pools[0], &s, p);
    assert_share(p[2], 0);
}

static void an_edit_back_is_none(void **state)
{
    struct stage s = {.count = 0};
    assert_true(stage_set_weight(&s, &board, &members[0], 7));
    assert_true(stage_set_weight(&s, &board, &members[1], 4));
    assert_true(stage_set_state(&s, &board, &accounts[0], ACCOUNT_DRAIN));
    assert_int_equal(s.count, 3);
    assert_int_equal(s.generation, 213);
    assert_true(stage_set_weight(&s, &board, &members[0], 5));
    assert_int_equal(s.count, 2);
    assert_false(stage_has_weight(&s, &board, &members[0]));
    assert_share(stage_weight(&s, &board, &members[1]), 4);
    assert_true(stage_set_state(&s, &board, &accounts[0], ACCOUNT_UP));
    assert_true(stage_set_weight(&s, &board, &members[1], 3));
    assert_int_equal(s.count, 0);
}

static void an_edit_after_somebody_elses_starts_from_theirs(void **state)
{
    struct stage s = {.count = 0};
    stage_set_weight(&s, &board, &members[0], 7);
    stage_set_state(&s, &board, &accounts[1], ACCOUNT_DRAIN);
    members[0].weight = 6;
    accounts[1].state = ACCOUNT_OFF;
    assert_share(s.edits[0].from, 5); /* not seen yet: the review warns */
    stage_set_weight(&s, &board, &members[0], 8);
    stage_set_state(&s, &board, &accounts[1], ACCOUNT_UP);
    assert_share(s.edits[0].from, 6);
    assert_int_equal(s.edits[1].from_state, ACCOUNT_OFF);
    stage_set_weight(&s, &board, &members[0], 6);
    assert_int_equal(s.count, 1);
}

/* A share of the others' weights, as they are staged. */
static void a_share_is_a_weight(void **state)
{
    struct stage s = {.count = 0};
    double w = -1;
    assert_true(share_to_weight(&s, &board, &members[0], 0.75, &w)); /* the others: 3 + 2 */
    assert_true(w > 14.9 && w < 15.1);
    assert_true(share_to_weight(&s, &board, &members[0], 0, &w));
    assert_share(w, 0);
    assert_false(share_to_weight(&s, &board, &members[0], 1, &w));
    assert_false(share_to_weight(&s, &board, &members[0], -0.1, &w));
    stage_set_weight(&s, &board, &members[1], 0);
    stage_set_weight(&s, &board, &members[2], 0);
    assert_false(share_to_weight(&s, &board, &members[0], 0.5, &w)); /* nobody else serves */
}

static void three_sigma(void **state)
{
    assert_false(share_is_off(0.5, 230, 400));   /* 57.5 %: exactly 3 sigma is not beyond */
    assert_true(share_is_off(0.5, 233, 400));    /* 58.25 % */
    assert_false(share_is_off(0.5, 2600, 5000)); /* 52.0 % */
    assert_true(share_is_off(0.5, 2610, 5000));  /* 52.2 % */
    assert_false(share_is_off(0.5, 19, 19));     /* too few to say */
    assert_true(share_is_off(0, 5, 100));        /* nothing was expected */
    assert_true(share_is_off(1, 95, 100));
    assert_false(share_is_off(1, 100, 100));
}

static void the_last_one_is_not_taken_unseen(void **state)
{
    struct stage s = {.count = 0};
    stage_set_state(&s, &board, &accounts[0], ACCOUNT_DRAIN);
    stage_set_weight(&s, &board, &members[1], 0);
    assert_int_equal(stage_starves(&s, &board), -1);
    stage_set_state(&s, &board, &accounts[2], ACCOUNT_OFF);
    assert_int_equal(stage_starves(&s, &board), 0);
    accounts[0].state = accounts[1].state = accounts[2].state = ACCOUNT_OFF;
    stage_drop(&s);
    assert_int_equal(stage_starves(&s, &board), -1); /* not ours to say */
}

static void a_share_is_turned_into_its_weight(void **state)
{
    struct stage s = {.count = 0};
    double w = -1, p[3];
    assert_true(share_to_weight(&s, &board, &members[0], 0.3, &w)); /* 20 points less */
    assert_share(w, 2.14);
    assert_true(stage_set_weight(&s, &board, &members[0], w));
    share_expected(&board, &pools[0], &s, p);
    assert_true(p[0] > 0.295 && p[0] < 0.305);
    assert_true(share_to_weight(&s, &board, &members[0], 0, &w));
    assert_share(w, 0);
    assert_false(share_to_weight(&s, &board, &members[0], 1, &w));
    assert_false(share_to_weight(&s, &board, &members[0], -0.1, &w));
    accounts[1].state = ACCOUNT_OFF;
    assert_false(share_to_weight(&s, &board, &members[1], 0.5, &w)); /* it gets nothing */
    accounts[2].state = ACCOUNT_OFF;
    assert_false(share_to_weight(&s, &board, &members[0], 0.5, &w)); /* nobody else does */
    assert_share(w, 0);
}

static void a_pool_is_named_once(void **state)
{
    struct stage s = {.count = 0};
    char what[512];
    assert_true(stage_set_weight(&s, &board, &members[0], 6));
    assert_true(stage_set_weight(&s, &board, &members[1], 4));
    stage_sentence(&s, what, sizeof what);
    assert_string_equal(what, "pool gemini: weight of a 5 -> 6, b 3 -> 4");
}

static void the_review_says_what_it_does(void **state)
{
    struct stage s = {.count = 0};
    struct sbuf b;
    sbuf_init(&b, 65536);
    members[0].figures = (struct board_figures){.is_known = true, .recent = 60, .recent_s = 10};
    members[1].figures = members[2].figures =
        (struct board_figures){.is_known = true, .recent = 20, .recent_s = 10};
    stage_set_weight(&s, &board, &members[0], 15);
    stage_set_state(&s, &board, &accounts[2], ACCOUNT_DRAIN);
    members[0].weight = 6; /* somebody else, meanwhile */
    stage_review(&s, &board, &b);
    assert_non_null(
        strstr(sbuf_z(&b), "  a              6 -> 15        54.5% ->  83.3%   +28.8\n"));
    assert_non_null(
        strstr(sbuf_z(&b), "  c              up -> drain    18.2% ->   0.0%   -18.2\n"));
    assert_non_null(strstr(sbuf_z(&b), "  at 10.0 req/s a gets about 8.3 req/s\n"));
    assert_non_null(
        strstr(sbuf_z(&b), "! the weight of a is 6 by now, not 5: somebody changed it\n"));
    char what[200];
    stage_sentence(&s, what, sizeof what);
    assert_string_equal(what, "pool gemini: weight of a 5 -> 15; account c up -> drain");
    stage_sentence(&s, what, 60);
    assert_true(strlen(what) < 60);
    sbuf_finish(&b);
}

static void what_was_staged_meanwhile_stays(void **state)
{
    struct stage s = {.count = 0};
    (void)state;
    assert_true(stage_set_weight(&s, &board, &members[0], 7));
    assert_true(stage_set_weight(&s, &board, &members[1], 4));
    assert_true(stage_set_state(&s, &board, &accounts[2], ACCOUNT_DRAIN));
    const struct stage applied = s;
    assert_true(stage_set_weight(&s, &board, &members[1], 6));
    assert_true(stage_set_state(&s, &board, &accounts[0], ACCOUNT_OFF));
    stage_applied(&s, &applied);
    members[0].weight = 7;
    members[1].weight = 4;
    assert_int_equal(s.count, 2);
    assert_false(stage_has_weight(&s, &board, &members[0]));
    assert_false(stage_has_state(&s, &accounts[2]));
    assert_share(stage_weight(&s, &board, &members[1]), 6);
    assert_int_equal(stage_state(&s, &accounts[0]), ACCOUNT_OFF);
    assert_true(stage_set_weight(&s, &board, &members[1], 4)); /* back to what is live */
    assert_int_equal(s.count, 1);
    stage_applied(&s, &s);
    assert_int_equal(s.count, 0);
}

static void there_is_an_end(void **state)
{
    struct stage *s = mem_calloc(1, sizeof *s);
    char name[16];
    struct board_account a = {.name = name, .state = ACCOUNT_UP};
    for (int i = 0; i < STAGE_MAX; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_true(stage_set_state(s, &board, &a, ACCOUNT_OFF));
    }
    snprintf(name, sizeof name, "more");
    assert_false(stage_set_state(s, &board, &a, ACCOUNT_OFF));
    snprintf(name, sizeof name, "x0");
    assert_true(stage_set_state(s, &board, &a, ACCOUNT_UP));
    assert_int_equal(s->count, STAGE_MAX - 1);
    mem_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(shares_are_of_those_that_can_serve, set_up),
        cmocka_unit_test_setup(an_edit_back_is_none, set_up),
        cmocka_unit_test_setup(an_edit_after_somebody_elses_starts_from_theirs, set_up),
        cmocka_unit_test_setup(a_share_is_a_weight, set_up),
        cmocka_unit_test_setup(three_sigma, set_up),
        cmocka_unit_test_setup(the_last_one_is_not_taken_unseen, set_up),
        cmocka_unit_test_setup(a_share_is_turned_into_its_weight, set_up),
        cmocka_unit_test_setup(a_pool_is_named_once, set_up),
        cmocka_unit_test_setup(the_review_says_what_it_does, set_up),
        cmocka_unit_test_setup(what_was_staged_meanwhile_stays, set_up),
        cmocka_unit_test_setup(there_is_an_end, set_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
