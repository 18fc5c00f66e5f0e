/* The screen of the nodes. */
#define FAKE_NOW 1795788131 /* 2026-11-27 14:02:11 UTC */
#include "fake_app.h"

static const struct board_node nodes[] = {
    {"prod-eu-1", "0.1.0", "running", "10.0.0.5:3128", 4711, FAKE_NOW - 273600, FAKE_NOW - 4, 213},
    {"prod-eu-2", "0.1.0", "running", "10.0.0.6:3128", 812, FAKE_NOW - 7200, FAKE_NOW - 9, 211},
    {"prod-eu-3", "0.1.0", "running", "10.0.0.7:3128", 99, FAKE_NOW - 86400, FAKE_NOW - 340, 213},
    {"prod-us-1", "0.1.0", "draining", "10.1.0.5:3128", 31, FAKE_NOW - 50000, FAKE_NOW - 2, 213},
    {"old-box", "0.0.9", "stopped", "10.9.0.1:3128", 7, FAKE_NOW - 900000, FAKE_NOW - 800000, 101},
};

static void *view_of(struct app *a)
{
    fake_open(a, NULL);
    a->board.nodes = nodes;
    a->board.node_count = 5;
    a->is_live = true;
    a->feed.figures = (struct feed_figures){
        .at_ms = FAKE_NOW * 1000ll, .pid = 4711, .name = "prod-eu-1", .generation = 213};
    void *state = view_create(&nodes_view, a);
    assert_non_null(state);
    view_update(&nodes_view, state);
    return state;
}

static void finish(struct app *a, void *state)
{
    view_destroy(&nodes_view, state);
    fake_close(a);
}

static void move(struct app *a, void *state, int rows)
{
    for (int i = 0; i < rows; i++) {
        assert_true(table_key(view_table(&nodes_view, state), 'j'));
        view_update(&nodes_view, state);
    }
}

static void nodes_are_shown_with_what_they_said_last(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    assert_screens(&a, &nodes_view, state, "nodes");
    finish(&a, state);
}

static void one_that_lags_is_told_in_words(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 1);
    assert_screen(&a, &nodes_view, state, "nodes-lag");
    /* It wrote its row before the change: that says nothing. */
    a.board.generation_at = FAKE_NOW - 8;
    assert_screen(&a, &nodes_view, state, "nodes-just-now");
    finish(&a, state);
}

static void one_that_is_silent_is_told_in_words(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 2);
    assert_screen(&a, &nodes_view, state, "nodes-silent");
    finish(&a, state);
}

static void fifteen_seconds_are_not_silence(void **unused)
{
    struct app a;
    char *text;
    struct board_node one = nodes[0];
    void *state = view_of(&a);
    a.board.nodes = &one;
    a.board.node_count = 1;
    one.seen_at = FAKE_NOW - 15;
    text = fake_text(&a, &nodes_view, state);
    assert_null(strstr(text, "SILENT"));
    free(text);
    one.seen_at--;
    text = fake_text(&a, &nodes_view, state);
    assert_non_null(strstr(text, "SILENT"));
    free(text);
    finish(&a, state);
}

static void without_the_daemon_the_store_still_tells(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    a.feed = (struct feed){0};
    assert_screen(&a, &nodes_view, state, "nodes-down");
    assert_true(nodes_view.key(state, TERM_ENTER));
    assert_string_equal(a.ran, "");
    assert_non_null(strstr(a.text, "it works with the newest settings"));
    a.board.node_count = 0;
    assert_screens(&a, &nodes_view, state, "nodes-empty");
    finish(&a, state);
}

static void enter_asks_the_one_at_hand(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    assert_true(nodes_view.key(state, TERM_ENTER));
    assert_string_equal(a.ran, "status");
    a.ran[0] = '\0';
    move(&a, state, 4);
    assert_true(nodes_view.key(state, TERM_ENTER));
    assert_string_equal(a.ran, "");
    assert_string_equal(a.title, "old-box");
    assert_false(nodes_view.key(state, 'D'));
    finish(&a, state);
}

static void a_backup_is_written_and_read_back_with_care(void **unused)
{
    struct app a;
    struct errmsg problem = {0};
    void *state = view_of(&a);
    assert_true(nodes_view.key(state, 'b'));
    assert_true(strncmp(a.value, "credswap-20", 11) == 0); /* a name is there to be taken */
    assert_false(a.line(a.state, SLICE("--help"), &problem));
    assert_true(a.line(a.state, SLICE("/b/one.db"), &problem));
    assert_string_equal(a.ran, "backup /b/one.db");
    a.ran[0] = '\0';
    a.line = NULL;
    assert_true(nodes_view.key(state, 'R')); /* the daemon runs */
    assert_null(a.line);
    assert_non_null(strstr(a.said, "stop credswapd first"));
    a.is_live = false;
    assert_true(nodes_view.key(state, 'R'));
    assert_true(a.line(a.state, SLICE("/b/one.db"), &problem));
    assert_string_equal(a.word, "restore");
    assert_non_null(strstr(a.text, "/b/one.db"));
    assert_string_equal(a.ran, "");
    a.yes(a.state);
    assert_string_equal(a.ran, "restore /b/one.db");
    finish(&a, state);
}

static void no_size_is_too_small(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 2);
    draw_all_sizes(&a, &nodes_view, state);
    finish(&a, state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_shown_with_what_they_said_last),
        cmocka_unit_test(one_that_lags_is_told_in_words),
        cmocka_unit_test(one_that_is_silent_is_told_in_words),
        cmocka_unit_test(fifteen_seconds_are_not_silence),
        cmocka_unit_test(without_the_daemon_the_store_still_tells),
        cmocka_unit_test(enter_asks_the_one_at_hand),
        cmocka_unit_test(a_backup_is_written_and_read_back_with_care),
        cmocka_unit_test(no_size_is_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
