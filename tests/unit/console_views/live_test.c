/* The requests' screen: what it shows, and what its keys do. */
#define FAKE_NOW INT64_C(1795356151) /* 2026-11-22T14:02:31Z */
#include "fake_app.h"

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
        .id = n, .at_ms = FAKE_NOW * 1000 - (ago_ms), .model = "", .account = "", .tried = "",     \
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

static struct app stand;
static void *state;

static int setup(void **unused)
{
    fake_open(&stand, NULL);
    stand.board.requests = ended;
    stand.board.request_count = 4;
    stand.feed.figures =
        (struct feed_figures){.at_ms = FAKE_NOW * 1000, .ttfb_p50_ms = 412, .ttfb_p95_ms = 1890};
    for (uint32_t i = 0; i < FEED_RATE; i++)
        stand.feed.figures.rate[i] = i < 8 ? 0 : (i * 7) % 61;
    stand.feed.live =
        (struct feed_live){.at_ms = FAKE_NOW * 1000, .total = 3, .rows = under_way, .count = 3};
    state = view_create(&live_view, &stand);
    return state ? 0 : -1;
}

static int teardown(void **unused)
{
    view_destroy(&live_view, state);
    fake_close(&stand);
    return 0;
}

static void draws(void **unused)
{
    assert_screen_at(&stand, &live_view, state, "live", 80, 24);
    assert_screen_at(&stand, &live_view, state, "live", 40, 10);
    stand.canvas.is_utf8 = true;
    assert_screen_at(&stand, &live_view, state, "live", 200, 50);
}

static void draws_what_the_store_has_when_the_daemon_is_down(void **unused)
{
    stand.is_live = false;
    assert_screen_at(&stand, &live_view, state, "live_down", 80, 24);
    assert_screen_at(&stand, &live_view, state, "live_down", 40, 10);
    stand.canvas.is_utf8 = true;
    assert_screen_at(&stand, &live_view, state, "live_down", 200, 50);
    stand.feed.figures.at_ms = 0; /* never seen it */
    stand.board.request_count = 0;
    assert_screen_at(&stand, &live_view, state, "live_never", 80, 24);
}

static void draws_in_any_size(void **unused)
{
    draw_all_sizes(&stand, &live_view, state);
}

static const char *shown_id(void)
{
    stand.text[0] = '\0';
    fake_press(&live_view, state, 'c');
    return stand.text;
}

static void failures_and_their_reason(void **unused)
{
    view_update(&live_view, state);
    fake_press(&live_view, state, 'x');
    struct table *t = view_table(&live_view, state);
    assert_int_equal(t->shown, 3);
    assert_string_equal(shown_id(), "cs_00000000000000b1");
    assert_screen_at(&stand, &live_view, state, "live_401", 80, 24);
    fake_press(&live_view, state, 'j');
    assert_screen_at(&stand, &live_view, state, "live_tries", 80, 24);
    fake_press(&live_view, state, TERM_ENTER);
    assert_non_null(strstr(stand.text, "why: the provider is overloaded or down"));
    assert_non_null(strstr(stand.text, "tried sa-prod-1: connection_lost, the connection was"));
    fake_press(&live_view, state, 'x');
    assert_int_equal(t->shown, 6);
}

static void slowest_is_one_key(void **unused)
{
    view_update(&live_view, state);
    fake_press(&live_view, state, 'm');
    assert_string_equal(shown_id(), "cs_00000000000000b4");
    fake_press(&live_view, state, 'j');
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    fake_press(&live_view, state, 'm');
    assert_string_equal(shown_id(), "cs_00000000000000a2"); /* by time again, at the top */
}

static void status_is_a_column(void **unused)
{
    char problem[160];
    struct table *t = view_table(&live_view, state);
    assert_true(table_filter(t, SLICE("status>=400"), problem, sizeof problem));
    view_update(&live_view, state);
    assert_int_equal(t->shown, 2);
    assert_false(table_filter(t, SLICE("nothing=4"), problem, sizeof problem));
}

static void follows_until_one_moves(void **unused)
{
    view_update(&live_view, state);
    assert_string_equal(shown_id(), "cs_00000000000000a2");
    stand.board.request_count = 0;
    stand.feed.live.count = 1;
    view_update(&live_view, state);
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    stand.board.request_count = 4;
    view_update(&live_view, state);
    assert_string_equal(shown_id(), "cs_00000000000000b1");
    fake_press(&live_view, state, 'j');
    assert_string_equal(shown_id(), "cs_00000000000000b2");
    stand.feed.live.count = 2;
    view_update(&live_view, state);
    assert_string_equal(shown_id(), "cs_00000000000000b2");
    fake_press(&live_view, state, 'f');
    assert_string_equal(shown_id(), "cs_00000000000000a2");
}

static void a_request_keeps_the_cursor_when_it_ends(void **unused)
{
    struct board_request over = ended[1];
    view_update(&live_view, state);
    fake_press(&live_view, state, 'f'); /* off */
    fake_press(&live_view, state, TERM_END);
    fake_press(&live_view, state, 'k');
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    over.request_id = "cs_00000000000000a1";
    over.at_ms = FAKE_NOW * 1000;
    stand.board.requests = &over;
    stand.board.request_count = 1;
    view_update(&live_view, state);
    assert_string_equal(shown_id(), "cs_00000000000000a1");
    stand.is_live = false;
    view_update(&live_view, state);
    assert_string_equal(shown_id(), "cs_00000000000000a1");
}

static void shows_one_kind(void **unused)
{
    struct table *t = view_table(&live_view, state);
    view_update(&live_view, state);
    fake_press(&live_view, state, 'o');
    assert_int_equal(t->shown, 3);
    fake_press(&live_view, state, 'o');
    assert_int_equal(t->shown, 4);
    fake_press(&live_view, state, 'o');
    assert_int_equal(t->shown, 6);
}

static void ends_one_after_a_yes(void **unused)
{
    view_update(&live_view, state);
    fake_press(&live_view, state, 'K');
    assert_string_equal(stand.title, "end this request?");
    assert_non_null(strstr(stand.text, "cs_00000000000000a2"));
    assert_string_equal(stand.feed.ended, "");
    stand.feed.live.count = 0; /* the list goes on below the question */
    view_update(&live_view, state);
    stand.yes(stand.state);
    assert_string_equal(stand.feed.ended, "cs_00000000000000a2");
}

static void ends_nothing_that_is_over(void **unused)
{
    view_update(&live_view, state);
    fake_press(&live_view, state, 'j');
    fake_press(&live_view, state, 'K');
    assert_string_equal(stand.said, "it has ended already");
    fake_press(&live_view, state, 'g');
    stand.is_live = false;
    fake_press(&live_view, state, 'K'); /* what is shown is of before */
    assert_string_equal(stand.said, "the daemon does not answer: nothing can be ended now");
    assert_null(stand.yes);
    stand.board.request_count = 0;
    view_update(&live_view, state);
    fake_press(&live_view, state, 'K');
    fake_press(&live_view, state, TERM_ENTER);
    fake_press(&live_view, state, 'c');
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
