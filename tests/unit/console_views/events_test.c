/* The events' screen: what it shows, undo, and what is exported. */
#define FAKE_NOW INT64_C(1795356151) /* 2026-11-22T14:02:31Z */
#include "fake_app.h"

#include <cjson/cJSON.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENT(n, ago_s, k, ...)                                                                    \
    {                                                                                              \
        .id = n, .at_ms = (FAKE_NOW - (ago_s)) * 1000, .kind = k, .times = 1, .before = "",        \
        .after = "", __VA_ARGS__                                                                   \
    }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct board_event events[] = {
    EVENT(20, 20, "audit", .who = "mia (uid 1001)", .what = "weight sa-prod-1 50 -> 70",
          .generation = 214,
          .before = "[{\"table\":\"pool_member\",\"id\":4,\"row\":{\"id\":4,"
                    "\"pool\":\"gemini-main\",\"account\":\"sa-prod-1\",\"weight\":50.0}}]",
          .after = "[{\"table\":\"pool_member\",\"id\":4,\"row\":{\"id\":4,"
                   "\"pool\":\"gemini-main\",\"account\":\"sa-prod-1\",\"weight\":70.0}}]"),
    EVENT(19, 41, "alarm", .who = "nightly", .what = "daily limit reached, 10.0M tokens"),
    EVENT(18, 268, "alarm", .who = "sa-eu-9", .what = "mint failed: invalid_grant", .times = 3),
    EVENT(17, 600, "audit", .who = "mia (uid 1001)", .what = "undo of 16: sa-dev-2 drain",
          .generation = 213, .is_undo = true,
          .before = "[{\"table\":\"account\",\"id\":9,\"row\":{\"id\":9,\"name\":\"sa-dev-2\","
                    "\"state\":\"drain\",\"note\":\"\"}}]",
          .after = "[{\"table\":\"account\",\"id\":9,\"row\":{\"id\":9,\"name\":\"sa-dev-2\","
                   "\"state\":\"up\",\"note\":\"\"}}]"),
    EVENT(16, 700, "audit", .who = "joe (uid 1002)", .what = "sa-dev-2 drain", .generation = 212,
          .undone_by = 17,
          .before = "[{\"table\":\"account\",\"id\":9,\"row\":{\"id\":9,\"name\":\"sa-dev-2\","
                    "\"state\":\"up\",\"note\":\"\"}}]",
          .after = "[{\"table\":\"account\",\"id\":9,\"row\":{\"id\":9,\"name\":\"sa-dev-2\","
                   "\"state\":\"drain\",\"note\":\"\"}}]"),
    EVENT(15, 7351, "audit", .who = "system", .what = "backup ok, 1.9 MiB"),
    EVENT(14, 86400 * 2, "info", .who = "ca", .what = "issuing CA renewed"),
    EVENT(13, 86400 * 3, "audit", .who = "joe (uid 1002)", .what = "client dave added",
          .generation = 211,
          .after = "[{\"table\":\"client\",\"id\":3,\"row\":{\"id\":3,\"name\":\"dave\","
                   "\"service\":\"gemini\",\"pool\":\"gemini-main\",\"state\":\"on\",\"expires_"
                   "at\":1795442551,"
                   "\"rpm\":60,\"tokens_per_day\":0,\"models\":\"\",\"note\":\"a\\u001b[2Jb\\nc\","
                   "\"visible\":\"gemini-d0\"}}]"),
    EVENT(12, 86400 * 4, "audit", .who = "joe (uid 1002)", .what = "host *.test removed",
          .generation = 210,
          .before = "[{\"table\":\"host_rule\",\"id\":3,\"row\":{\"id\":3,\"pattern\":\"*.test\","
                    "\"action\":\"tunnel\",\"api\":null,\"paths\":\"\"}},7,{\"table\":\"pool\","
                    "\"row\":[1]}]")};
#pragma GCC diagnostic pop
static const struct board_account accounts[] = {{.id = 7, .name = "sa-prod-1"}};
static const struct board_pool pools[] = {{.id = 1, .name = "gemini-main"}};

static struct app stand;
static void *state;

static int setup(void **unused)
{
    fake_open(&stand, NULL);
    stand.board.accounts = accounts;
    stand.board.account_count = 1;
    stand.board.pools = pools;
    stand.board.pool_count = 1;
    stand.board.events = events;
    stand.board.event_count = (int)ARRAY_LEN(events);
    state = view_create(&events_view, &stand);
    return state ? 0 : -1;
}

static int teardown(void **unused)
{
    view_destroy(&events_view, state);
    fake_close(&stand);
    return 0;
}

static void draws(void **unused)
{
    assert_screen_at(&stand, &events_view, state, "events", 80, 24);
    assert_screen_at(&stand, &events_view, state, "events", 40, 10);
    stand.canvas.is_utf8 = true;
    assert_screen_at(&stand, &events_view, state, "events", 200, 50);
}

static void draws_without_the_daemon(void **unused)
{
    stand.is_live = false;
    assert_screen_at(&stand, &events_view, state, "events_down", 80, 24);
    stand.board.event_count = 0;
    assert_screen_at(&stand, &events_view, state, "events_none", 80, 24);
}

static void draws_in_any_size(void **unused)
{
    draw_all_sizes(&stand, &events_view, state);
}

static void choose(int64_t id)
{
    struct table *t = view_table(&events_view, state);
    t->cursor = 0;
    t->has_cursor = false;
    view_update(&events_view, state);
    for (int i = 0; i < t->shown && events[t->order[i]].id != id; i++)
        fake_press(&events_view, state, 'j');
}

static void what_came_last_stands_first(void **unused)
{
    static const struct board_event two[] = {{.id = 2,
                                              .at_ms = (FAKE_NOW - 100) * 1000,
                                              .kind = "audit",
                                              .who = "mia",
                                              .what = "made later, once",
                                              .times = 1,
                                              .before = "",
                                              .after = ""},
                                             {.id = 1,
                                              .at_ms = (FAKE_NOW - 5) * 1000,
                                              .kind = "alarm",
                                              .who = "sa-1",
                                              .what = "made earlier, last just now",
                                              .times = 9,
                                              .before = "",
                                              .after = ""}};
    stand.board.events = two;
    stand.board.event_count = 2;
    view_update(&events_view, state);
    fake_press(&events_view, state, TERM_ENTER); /* the row on top */
    assert_non_null(strstr(stand.text, "last just now"));
}

static void says_who_undid_it(void **unused)
{
    view_update(&events_view, state);
    choose(16);
    assert_screen_at(&stand, &events_view, state, "events_undone", 80, 24);
}

static void says_what_was_added_and_removed(void **unused)
{
    view_update(&events_view, state);
    choose(13);
    assert_screen_at(&stand, &events_view, state, "events_added", 80, 24);
    fake_press(&events_view, state, TERM_ENTER);
    golden_check("events_added_page", stand.text);
    choose(12);
    assert_screen_at(&stand, &events_view, state, "events_removed", 80, 24);
}

static void undoes_the_row_under_the_cursor(void **unused)
{
    view_update(&events_view, state);
    fake_press(&events_view, state, 'u');
    assert_int_equal(stand.undone, 20);
    choose(17);
    fake_press(&events_view, state, 'u');
    assert_int_equal(stand.undone, 17);
    assert_int_equal(stand.undo_count, 2);
}

static void undoes_nothing_else(void **unused)
{
    view_update(&events_view, state);
    choose(16);
    fake_press(&events_view, state, 'u');
    assert_string_equal(stand.said, "it is undone already, by event 17");
    choose(15);
    fake_press(&events_view, state, 'u');
    assert_string_equal(stand.said, "only a change of a setting can be undone: o shows changes");
    choose(19);
    fake_press(&events_view, state, 'u');
    stand.board.event_count = 0;
    assert_true(events_view.key(state, 'u')); /* not the last change of all, by the app */
    assert_int_equal(stand.undo_count, 0);
}

static void shows_kinds(void **unused)
{
    struct table *t = view_table(&events_view, state);
    view_update(&events_view, state);
    assert_int_equal(t->shown, 9);
    fake_press(&events_view, state, 'o');
    assert_int_equal(t->shown, 6);
    fake_press(&events_view, state, 't');
    assert_int_equal(t->shown, 2);
    fake_press(&events_view, state, 't');
    assert_int_equal(t->shown, 1);
    fake_press(&events_view, state, 'i'); /* none is no choice */
    assert_int_equal(t->shown, 9);
    fake_press(&events_view, state, 'i');
    assert_int_equal(t->shown, 8);
}

static void exports_what_is_shown(void **unused)
{
    char dir[] = "/tmp/credswap-events-XXXXXX", path[64], problem_text[160], *text;
    struct errmsg problem = {0};
    struct stat st;
    struct table *t = view_table(&events_view, state);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out", dir);
    assert_true(table_filter(t, SLICE("who:mia"), problem_text, sizeof problem_text));
    view_update(&events_view, state);
    fake_press(&events_view, state, 'e');
    assert_false(stand.line(stand.state, SLICE(""), &problem));
    assert_true(stand.line(stand.state, slice_of(path), &problem));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_non_null(strstr(stand.said, "OK  wrote 2 events to "));
    text = golden_read(path);
    golden_check("events_export", text);
    for (char *at = text, *line; (line = strsep(&at, "\n")) && *line;) {
        cJSON *o = cJSON_Parse(line);
        assert_true(cJSON_IsArray(cJSON_GetObjectItem(o, "before")));
        cJSON_Delete(o);
    }
    assert_false(stand.line(stand.state, slice_of(path), &problem)); /* never over another file */
    assert_non_null(strstr(problem.text, "File exists"));
    free(text);
    unlink(path);
    rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(draws),
                                       TEST(draws_without_the_daemon),
                                       TEST(draws_in_any_size),
                                       TEST(what_came_last_stands_first),
                                       TEST(says_who_undid_it),
                                       TEST(says_what_was_added_and_removed),
                                       TEST(undoes_the_row_under_the_cursor),
                                       TEST(undoes_nothing_else),
                                       TEST(shows_kinds),
                                       TEST(exports_what_is_shown)};
    setlocale(LC_ALL, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
