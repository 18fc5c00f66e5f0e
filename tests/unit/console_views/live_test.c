/* The requests' screen: what it shows, and what its keys do. */
#include "screen_stand.h"

#include <locale.h>

static const struct feed_attempt two[] = {{"sa-eu-9", NULL, 429}, {"sa-prod-3", NULL, 0}};
static const struct feed_attempt one[] = {{"sa-prod-1", NULL, 200}};
static const struct feed_exchange under_way[] = {
    {.id = "cs_00000000000000a1",
     .phase = "stream",
     .client = "ci-monorepo",
     .peer = "10.8.2.17:51544",
     .account = "sa-prod-1",
     .method = "POST",
     .host = "aiplatform.googleapis.com",
     .path = "/v1/projects/-/locations/global/publishers/google/models/"
             "gemini-2.5-pro:streamGenerateContent",
     .model = "gemini-2.5-pro",
     .front = "h2",
     .back = "h2",
     .age_ms = 124000,
     .status = 200,
     .up = 1200000,
     .down = 340000,
     .route_ms = 2,
     .token_ms = 3,
     .sent_ms = 3,
     .first_ms = 416,
     .attempts = one,
     .attempt_count = 1},
    {.id = "cs_00000000000000a2",
     .phase = "dial",
     .client = "bob",
     .peer = "10.8.2.18:40000",
     .account = "sa-prod-3",
     .method = "POST",
     .host = "generativelanguage.googleapis.com",
     .path = "/v1beta/models/gemini-2.5-flash:generateContent",
     .model = "gemini-2.5-flash",
     .front = "h1",
     .back = "h1",
     .age_ms = 300,
     .up = 12000,
     .route_ms = 1,
     .token_ms = -1,
     .sent_ms = -1,
     .first_ms = -1,
     .attempts = two,
     .attempt_count = 2},
    {.id = "cs_00000000000000b2", /* the store has its end already */
     .phase = "stream",
     .method = "POST",
     .host = "api.anthropic.com",
     .path = "/v1/messages",
     .front = "h2",
     .back = "h2",
     .age_ms = 41000}};

#define REQUEST(n, ago_ms, ...)                                                                    \
    {                                                                                              \
        .id = n, .at_ms = NOW_S * 1000 - (ago_ms), .model = "", .account = "", .tried = "",        \
        .client = "", .reason = "", .method = "POST", .front = "h1", .back = "h1", __VA_ARGS__     \
    }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct board_request ended[] = {
    REQUEST(9, 1200, .request_id = "cs_00000000000000b1", .peer = "10.8.3.41:50001",
            .host = "generativelanguage.googleapis.com",
            .path = "/v1beta/models/gemini-2.5-pro:generateContent", .status = 401,
            .reason = "unknown", .up = 2000, .down = 1000, .ms = 1),
    REQUEST(8, 3000, .request_id = "cs_00000000000000b2", .peer = "10.8.2.19:41000",
            .client = "alice", .account = "sa-prod-2", .host = "api.anthropic.com",
            .path = "/v1/messages", .model = "claude-sonnet-4", .status = 200, .up = 88000,
            .down = 41000, .ttfb_ms = 812, .ms = 41250, .attempts = 1, .front = "h2"),
    REQUEST(7, 90000, .request_id = "cs_00000000000000b3", .peer = "10.8.2.18:40002",
            .client = "bob", .account = "sa-prod-3",
            .tried = "sa-eu-9:429 sa-prod-1:connection_lost sa-prod-3:503",
            .host = "aiplatform.googleapis.com",
            .path = "/v1/projects/-/locations/global/publishers/google/models/"
                    "gemini-2.5-flash:generateContent",
            .model = "gemini-2.5-flash", .status = 503, .up = 12000, .down = 512, .ttfb_ms = 1890,
            .ms = 1893, .attempts = 3),
    REQUEST(6, 7300000, .request_id = "cs_00000000000000b4", .peer = "10.8.2.20:40002",
            .client = "a\x1b[31mb", .host = "example.org", .path = "/", .method = "GET",
            .status = 0, .reason = "client_gone", .ms = 2500000)};
#pragma GCC diagnostic pop

static void *state;

static int setup(void **unused)
{
    stand = (struct app){.is_live = true,
                         .board = {.now_s = NOW_S,
                                   .now_ms = NOW_S * 1000,
                                   .is_there = true,
                                   .requests = ended,
                                   .request_count = 4}};
    stand_figures =
        (struct feed_figures){.at_ms = NOW_S * 1000, .ttfb_p50_ms = 412, .ttfb_p95_ms = 1890};
    for (uint32_t i = 0; i < FEED_RATE; i++)
        stand_figures.rate[i] = i < 8 ? 0 : (i * 7) % 61;
    stand_live =
        (struct feed_live){.at_ms = NOW_S * 1000, .total = 3, .rows = under_way, .count = 3};
    state = live_view.create(&stand);
    return state ? 0 : -1;
}

static int teardown(void **unused)
{
    live_view.destroy(state);
    return 0;
}

static void draws(void **unused)
{
    golden_draw(&live_view, state, "live_80x24", 80, 24, false);
    golden_draw(&live_view, state, "live_40x10", 40, 10, false);
    golden_draw(&live_view, state, "live_200x50", 200, 50, true);
}

static void draws_what_the_store_has_when_the_daemon_is_down(void **unused)
{
    stand.is_live = false;
    golden_draw(&live_view, state, "live_down_80x24", 80, 24, false);
    golden_draw(&live_view, state, "live_down_40x10", 40, 10, false);
    golden_draw(&live_view, state, "live_down_200x50", 200, 50, true);
    stand_figures.at_ms = 0; /* never seen it */
    stand.board.request_count = 0;
    golden_draw(&live_view, state, "live_never_80x24", 80, 24, false);
}

static void draws_in_any_size(void **unused)
{
    struct canvas c;
    canvas_init(&c);
    live_view.update(state);
    for (int width = 1; width < 140; width += 3)
        for (int height = 1; height < 40; height++) {
            stand.is_small = width < 60 || height < 16;
            assert_true(canvas_reset(&c, width, height));
            live_view.update(state);
            live_view.draw(state, &c, 0, height);
        }
    canvas_finish(&c);
}

static const char *shown_id(void)
{
    stand.text[0] = '\0';
    press(&live_view, state, 'c');
    return stand.text;
}

static void failures_and_their_reason(void **unused)
{
    live_view.update(state);
    press(&live_view, state, 'x');
    struct table *t = live_view.table(state);
    assert_int_equal(t->shown, 3);
    assert_string_equal(shown_id(), "cs_00000000000000b1");
    golden_draw(&live_view, state, "live_401_80x24", 80, 24, false);
    press(&live_view, state, 'j');
    golden_draw(&live_view, state, "live_tries_80x24", 80, 24, false);
    press(&live_view, state, TERM_ENTER);
    assert_non_null(strstr(stand.text, "why: the provider is overloaded or down"));
    assert_non_null(strstr(stand.text, "tried sa-prod-1: connection_lost, the connection was"));
    press(&live_view, state, 'x');
    assert_int_equal(t->shown, 6);
}

static void slowest_is_one_key(void **unused)
{
    live_view.update(state);
    press(&live_view, state, 'm');
    assert_string_equal(shown_id(), "cs_00000000000000b4");
    press(&live_view, state, 'j');
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    press(&live_view, state, 'm');
    assert_string_equal(shown_id(), "cs_00000000000000a2"); /* by time again, at the top */
}

static void status_is_a_column(void **unused)
{
    char problem[160];
    struct table *t = live_view.table(state);
    assert_true(table_filter(t, SLICE("status>=400"), problem, sizeof problem));
    live_view.update(state);
    assert_int_equal(t->shown, 2);
    assert_false(table_filter(t, SLICE("nothing=4"), problem, sizeof problem));
}

static void follows_until_one_moves(void **unused)
{
    live_view.update(state);
    assert_string_equal(shown_id(), "cs_00000000000000a2");
    stand.board.request_count = 0;
    stand_live.count = 1;
    live_view.update(state);
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    stand.board.request_count = 4;
    live_view.update(state);
    assert_string_equal(shown_id(), "cs_00000000000000b1");
    press(&live_view, state, 'j');
    assert_string_equal(shown_id(), "cs_00000000000000b2");
    stand_live.count = 2;
    live_view.update(state);
    assert_string_equal(shown_id(), "cs_00000000000000b2");
    press(&live_view, state, 'f');
    assert_string_equal(shown_id(), "cs_00000000000000a2");
}

static void a_request_keeps_the_cursor_when_it_ends(void **unused)
{
    struct board_request over = ended[1];
    live_view.update(state);
    press(&live_view, state, 'f'); /* off */
    press(&live_view, state, TERM_END);
    press(&live_view, state, 'k');
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    over.request_id = "cs_00000000000000a1";
    over.at_ms = NOW_S * 1000;
    stand.board.requests = &over;
    stand.board.request_count = 1;
    live_view.update(state);
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    stand.is_live = false;
    live_view.update(state);
    assert_string_equal(shown_id(), "cs_00000000000000a1");
}

static void shows_one_kind(void **unused)
{
    struct table *t = live_view.table(state);
    live_view.update(state);
    press(&live_view, state, 'o');
    assert_int_equal(t->shown, 3);
    press(&live_view, state, 'o');
    assert_int_equal(t->shown, 4);
    press(&live_view, state, 'o');
    assert_int_equal(t->shown, 6);
}

static void ends_one_after_a_yes(void **unused)
{
    live_view.update(state);
    press(&live_view, state, 'K');
    assert_string_equal(stand.title, "end this request?");
    assert_non_null(strstr(stand.text, "cs_00000000000000a2"));
    assert_string_equal(stand.ended, "");
    stand_live.count = 0; /* the list goes on below the question */
    live_view.update(state);
    stand.yes(stand.asked);
    assert_string_equal(stand.ended, "cs_00000000000000a2");
}

static void ends_nothing_that_is_over(void **unused)
{
    live_view.update(state);
    press(&live_view, state, 'j');
    press(&live_view, state, 'K');
    assert_string_equal(stand.said, "it has ended already");
    press(&live_view, state, 'g');
    stand.is_live = false;
    press(&live_view, state, 'K'); /* what is shown is of before */
    assert_string_equal(stand.said, "the daemon does not answer: nothing can be ended now");
    assert_null(stand.yes);
    stand.board.request_count = 0;
    live_view.update(state);
    press(&live_view, state, 'K');
    press(&live_view, state, TERM_ENTER);
    press(&live_view, state, 'c');
    assert_null(stand.yes);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(draws),
                                       TEST(draws_what_the_store_has_when_the_daemon_is_down),
                                       TEST(draws_in_any_size),
                                       TEST(failures_and_their_reason),
                                       TEST(slowest_is_one_key),
                                       TEST(status_is_a_column),
                                       TEST(follows_until_one_moves),
                                       TEST(a_request_keeps_the_cursor_when_it_ends),
                                       TEST(shows_one_kind),
                                       TEST(ends_one_after_a_yes),
                                       TEST(ends_nothing_that_is_over)};
    setlocale(LC_ALL, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
