/* The events' screen: what it shows, undo, and what is exported. */
#include "screen_stand.h"

#include <cjson/cJSON.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENT(n, ago_s, k, ...)                                                                    \
    {                                                                                              \
        .id = n, .at_ms = (NOW_S - (ago_s)) * 1000, .kind = k, .times = 1, .before = "",           \
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

static void *state;

static int setup(void **unused)
{
    stand = (struct app){.is_live = true,
                         .board = {.now_s = NOW_S,
                                   .now_ms = NOW_S * 1000,
                                   .is_there = true,
                                   .accounts = accounts,
                                   .account_count = 1,
                                   .pools = pools,
                                   .pool_count = 1,
                                   .events = events,
                                   .event_count = (int)ARRAY_LEN(events)}};
    state = events_view.create(&stand);
    return state ? 0 : -1;
}

static int teardown(void **unused)
{
    events_view.destroy(state);
    return 0;
}

static void draws(void **unused)
{
    golden_draw(&events_view, state, "events_80x24", 80, 24, false);
    golden_draw(&events_view, state, "events_40x10", 40, 10, false);
    golden_draw(&events_view, state, "events_200x50", 200, 50, true);
}

static void draws_the_same_without_the_daemon(void **unused)
{
    stand.is_live = false;
    golden_draw(&events_view, state, "events_80x24", 80, 24, false);
    stand.board.event_count = 0;
    golden_draw(&events_view, state, "events_none_80x24", 80, 24, false);
}

static void draws_in_any_size(void **unused)
{
    struct canvas c;
    canvas_init(&c);
    for (int width = 1; width < 140; width += 3)
        for (int height = 1; height < 40; height++) {
            stand.is_small = width < 60 || height < 16;
            assert_true(canvas_reset(&c, width, height));
            events_view.update(state);
            events_view.draw(state, &c, 0, height);
        }
    canvas_finish(&c);
}

static void choose(int64_t id)
{
    struct table *t = events_view.table(state);
    t->cursor = 0;
    t->has_cursor = false;
    events_view.update(state);
    for (int i = 0; i < t->shown && events[t->order[i]].id != id; i++)
        press(&events_view, state, 'j');
}

static void what_came_last_stands_first(void **unused)
{
    static const struct board_event two[] = {{.id = 2,
                                              .at_ms = (NOW_S - 100) * 1000,
                                              .kind = "audit",
                                              .who = "mia",
                                              .what = "made later, once",
                                              .times = 1,
                                              .before = "",
                                              .after = ""},
                                             {.id = 1,
                                              .at_ms = (NOW_S - 5) * 1000,
                                              .kind = "alarm",
                                              .who = "sa-1",
                                              .what = "made earlier, last just now",
                                              .times = 9,
                                              .before = "",
                                              .after = ""}};
    stand.board.events = two;
    stand.board.event_count = 2;
    events_view.update(state);
    press(&events_view, state, TERM_ENTER); /* the row on top */
    assert_non_null(strstr(stand.text, "last just now"));
}

static void says_who_undid_it(void **unused)
{
    events_view.update(state);
    choose(16);
    golden_draw(&events_view, state, "events_undone_80x24", 80, 24, false);
}

static void says_what_was_added_and_removed(void **unused)
{
    events_view.update(state);
    choose(13);
    golden_draw(&events_view, state, "events_added_80x24", 80, 24, false);
    press(&events_view, state, TERM_ENTER);
    golden_check("events_added_page", stand.text);
    choose(12);
    golden_draw(&events_view, state, "events_removed_80x24", 80, 24, false);
}

static void undoes_the_row_under_the_cursor(void **unused)
{
    events_view.update(state);
    press(&events_view, state, 'u');
    assert_int_equal(stand.undone, 20);
    choose(17);
    press(&events_view, state, 'u');
    assert_int_equal(stand.undone, 17);
    assert_int_equal(stand.undo_count, 2);
}

static void undoes_nothing_else(void **unused)
{
    events_view.update(state);
    choose(16);
    press(&events_view, state, 'u');
    assert_string_equal(stand.said, "it is undone already, by event 17");
    choose(15);
    press(&events_view, state, 'u');
    assert_string_equal(stand.said, "only a change of a setting can be undone: o shows changes");
    choose(19);
    press(&events_view, state, 'u');
    stand.board.event_count = 0;
    assert_true(events_view.key(state, 'u')); /* not the last change of all, by the app */
    assert_int_equal(stand.undo_count, 0);
}

static void shows_kinds(void **unused)
{
    struct table *t = events_view.table(state);
    events_view.update(state);
    assert_int_equal(t->shown, 9);
    press(&events_view, state, 'o');
    assert_int_equal(t->shown, 6);
    press(&events_view, state, 't');
    assert_int_equal(t->shown, 2);
    press(&events_view, state, 't');
    assert_int_equal(t->shown, 1);
    press(&events_view, state, 'i'); /* none is no choice */
    assert_int_equal(t->shown, 9);
    press(&events_view, state, 'i');
    assert_int_equal(t->shown, 8);
}

static void exports_what_is_shown(void **unused)
{
    char dir[] = "/tmp/credswap-events-XXXXXX", path[64], problem_text[160], *text;
    struct errmsg problem = {0};
    struct stat st;
    struct table *t = events_view.table(state);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out", dir);
    assert_true(table_filter(t, SLICE("who:mia"), problem_text, sizeof problem_text));
    events_view.update(state);
    press(&events_view, state, 'e');
    assert_false(stand.take(stand.asked, SLICE(""), &problem));
    assert_true(stand.take(stand.asked, slice_of(path), &problem));
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
    assert_false(stand.take(stand.asked, slice_of(path), &problem)); /* never over another file */
    assert_non_null(strstr(problem.text, "File exists"));
    free(text);
    unlink(path);
    rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(draws),
                                       TEST(draws_the_same_without_the_daemon),
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
