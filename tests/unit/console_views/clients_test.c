/* The clients screen: what it draws, what it says stands in a client's way, and what it asks before
 * it runs anything. */
#include "fake_app.h"

#include "views/clients_internal.h"
#include "views/list.h"

#include <locale.h>

static const char conf_text[] = "listen {\n advertise = \"proxy.corp:3128\"\n}\n";

static const struct board_token failed = {
    .account = "eu-9", .scope = "s", .last_error = "invalid_grant", .fails = 3};

static const struct board_account accounts[] = {
    {.id = 1, .name = "eu-9", .host = "", .state = ACCOUNT_UP},
    {.id = 2, .name = "key-1", .host = "api.anthropic.com", .kind = ACCOUNT_API_KEY},
    {.id = 3, .name = "prod-1", .host = "", .state = ACCOUNT_UP, .models = 1},
};
static const struct board_pool pools[] = {{.id = 1, .name = "claude", .first = 0, .count = 1},
                                          {.id = 2, .name = "empty", .first = 0, .count = 0},
                                          {.id = 3, .name = "gemini", .first = 1, .count = 2}};
static const struct board_member members[] = {
    {.pool = 0, .account = 1, .weight = 1},
    {.pool = 2, .account = 0, .weight = 10},
    {.pool = 2, .account = 2, .weight = 50},
};
static const struct board_rule rules[] = {
    {.id = 1, .pattern = "api.anthropic.com", .action = "swap", .api = "anthropic", .paths = ""},
    {.id = 2,
     .pattern = "generativelanguage.googleapis.com",
     .action = "swap",
     .api = "gemini",
     .paths = ""},
};
static const struct board_model models[] = {
    {.id = 1, .account = "prod-1", .model = "gemini-2.5-*", .domain = ""}};

static const struct board_client clients[] = {
    {.id = 1,
     .name = "alice",
     .visible = "claude-p2M",
     .pool = "claude",
     .models = "claude-*",
     .note = "laptop of the data team",
     .service = SERVICE_CLAUDE,
     .state = "on",
     .rpm = 60,
     .tokens_per_day = 10000000,
     .expires_at = FAKE_NOW + 29 * 86400 + 3600,
     .last_seen_at = FAKE_NOW - 4,
     .has_usage = true,
     .minute_requests = 22,
     .today_requests = 1240,
     .today_errors = 3,
     .today_tokens_in = 2900000,
     .today_tokens_out = 200000},
    {.id = 2,
     .name = "ci-monorepo",
     .visible = "gemini-7Kq",
     .pool = "gemini",
     .models = "",
     .note = "",
     .state = "on",
     .last_seen_at = FAKE_NOW - 1,
     .has_usage = true,
     .minute_requests = 118,
     .today_requests = 18240},
    {.id = 3,
     .name = "dave",
     .visible = "gemini-o0a",
     .pool = "gemini",
     .models = "",
     .note = "",
     .state = "off",
     .last_seen_at = FAKE_NOW - 12 * 86400,
     .has_usage = true},
    {.id = 4,
     .name = "ide-plugin",
     .visible = "gemini-d3e",
     .pool = "gemini",
     .models = "",
     .note = "",
     .state = "expired",
     .expires_at = FAKE_NOW - 7200,
     .last_seen_at = FAKE_NOW - 8000,
     .has_usage = true},
    {.id = 5,
     .name = "nightly",
     .visible = "gemini-88s",
     .pool = "gemini",
     .models = "",
     .note = "",
     .state = "on",
     .tokens_per_day = 10000000,
     .last_seen_at = FAKE_NOW - 9,
     .has_usage = true,
     .today_requests = 310,
     .today_limited = 12,
     .today_tokens_in = 10000000,
     .today_tokens_out = 41000,
     .has_virtual = true},
    {.id = 6,
     .name = "old\x1b[2Jone",
     .visible = "",
     .pool = "gemini",
     .models = "",
     .note = "",
     .state = "revoked"},
};

static const struct feed_refusal refusals[] = {
    {"10.8.3.41", "api.anthropic.com", "unknown ca", 7, FAKE_NOW - 130},
    {"10.8.3.77", "generativelanguage.googleapis.com", "bad certificate", 1, FAKE_NOW - 7300}};

struct desk {
    struct app app;
    struct clients *v;
    struct board_client clients[6];
    struct board_account accounts[3];
    struct board_member members[3];
};

static void desk_open(struct desk *d)
{
    struct board *b = &d->app.board;
    fake_open(&d->app, conf_text);
    memcpy(d->clients, clients, sizeof clients);
    memcpy(d->accounts, accounts, sizeof accounts);
    memcpy(d->members, members, sizeof members);
    *b = (struct board){.now_s = b->now_s,
                        .now_ms = b->now_ms,
                        .is_there = true,
                        .generation = 213,
                        .clients = d->clients,
                        .client_count = 6,
                        .accounts = d->accounts,
                        .account_count = 3,
                        .pools = pools,
                        .pool_count = 3,
                        .members = d->members,
                        .member_count = 3,
                        .rules = rules,
                        .rule_count = 2,
                        .models = models,
                        .model_count = 1};
    d->app.feed.trust = (struct feed_trust){.at_ms = FAKE_NOW * 1000LL,
                                            .ok_24h = 61204,
                                            .refused_24h = 8,
                                            .rows = refusals,
                                            .count = 2};
    d->v = view_create(&clients_view, &d->app);
    assert_non_null(d->v);
    view_update(&clients_view, d->v);
}

static void desk_close(struct desk *d)
{
    view_destroy(&clients_view, d->v);
    fake_close(&d->app);
}

/* Puts the cursor on the row of that index. */
static void desk_go(struct desk *d, int row)
{
    d->v->screen.table.has_cursor = false;
    d->v->screen.table.cursor = row;
    view_update(&clients_view, d->v);
}

static void press(struct desk *d, int key)
{
    assert_true(clients_view.key(d->v, key));
    view_update(&clients_view, d->v);
}

/* ---- drawing ---- */

static void screens_look_as_they_did(void **state)
{
    struct desk d;
    desk_open(&d);
    for (int is_live = 1; is_live >= 0; is_live--) {
        d.app.is_live = is_live;
        assert_screens(&d.app, &clients_view, d.v, is_live ? "clients" : "clients_down");
    }
    desk_close(&d);
}

static void nothing_is_drawn_outside_at_any_size(void **state)
{
    struct desk d;
    desk_open(&d);
    d.app.canvas.is_utf8 = true;
    draw_all_sizes(&d.app, &clients_view, d.v);
    d.app.board.client_count = 0;
    draw_all_sizes(&d.app, &clients_view, d.v);
    desk_close(&d);
}

static void a_name_cannot_reach_the_terminal_as_control_bytes(void **state)
{
    struct desk d;
    desk_open(&d);
    char *text = fake_text(&d.app, &clients_view, d.v);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "old?[2Jone"));
    free(text);
    desk_close(&d);
}

static void what_nobody_counted_is_a_dash(void **state)
{
    struct desk d;
    struct table_cell cell = {0};
    desk_open(&d);
    d.clients[0].today_tokens_in = d.clients[0].today_tokens_out = 0; /* but requests there were */
    struct table_source src = clients_source(d.v);
    src.cell(src.arg, 0, 6, &cell);
    assert_string_equal(cell.text, "--");
    assert_false(client_has_tokens(&d.clients[0]));
    d.clients[0].today_requests = 0;
    cell = (struct table_cell){0};
    src.cell(src.arg, 0, 6, &cell);
    assert_string_equal(cell.text, "[..........]  0%");
    d.clients[0].has_usage = false;
    cell = (struct table_cell){0};
    src.cell(src.arg, 0, 6, &cell);
    assert_string_equal(cell.text, "--");
    desk_close(&d);
}

static void bars_are_blocks_in_utf8(void **state)
{
    struct desk d;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    desk_open(&d);
    d.app.canvas.is_utf8 = true;
    char *text = fake_text(&d.app, &clients_view, d.v);
    setlocale(LC_CTYPE, "C");
    /* 31 % of ten: three whole blocks, an eighth, six dots */
    assert_non_null(strstr(text, "[\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x8f"
                                 "\xc2\xb7\xc2\xb7\xc2\xb7\xc2\xb7\xc2\xb7\xc2\xb7] 31%"));
    free(text);
    desk_close(&d);
}

/* ---- what stands in its way ---- */

static void assert_obstacles(struct desk *d, int client, int count, const char *want)
{
    struct sbuf out;
    sbuf_init(&out, 4096);
    int n = client_obstacles(&d->app.board, &d->clients[client], &out);
    assert_string_equal(sbuf_z(&out), want);
    assert_int_equal(n, count);
    sbuf_finish(&out);
}

static void nothing_stands_in_the_way_of_a_client_that_works(void **state)
{
    struct desk d;
    desk_open(&d);
    assert_obstacles(&d, 0, 0, "");
    assert_obstacles(&d, 1, 0, "");
    desk_close(&d);
}

static void its_own_state_is_401_or_403(void **state)
{
    struct desk d;
    desk_open(&d);
    assert_obstacles(&d, 2, 1, "403  it is off: e puts it on\n");
    assert_obstacles(&d, 3, 1, "403  it expired 2h00m ago: l sets another day\n");
    assert_obstacles(&d, 5, 1,
                     "401  its placeholder was revoked: t makes a new one, then e puts it on\n");
    desk_close(&d);
}

static void its_limits_are_429(void **state)
{
    struct desk d;
    desk_open(&d);
    assert_obstacles(&d, 4, 1,
                     "429  10M of 10M tokens of today are used: more in 9h57m (00:00 UTC), or l\n");
    d.clients[4].today_tokens_in = 9000000;
    assert_obstacles(&d, 4, 0, "");
    d.clients[4].today_tokens_in = 20000000;
    d.clients[4].has_usage = false; /* not summed yet: no guess */
    assert_obstacles(&d, 4, 0, "");
    d.clients[0].minute_requests = 60;
    assert_obstacles(&d, 0, 1,
                     "429  60 requests in the last minute, and it may send 60: l changes that\n");
    d.clients[0].rpm = 0;
    assert_obstacles(&d, 0, 0, "");
    desk_close(&d);
}

static void a_pool_without_anybody_is_503(void **state)
{
    struct desk d;
    desk_open(&d);
    d.clients[1].pool = "empty";
    assert_obstacles(&d, 1, 1,
                     "503  its pool empty has no account: o gives it another one, 1 a adds one\n");
    d.clients[1].pool = "gone";
    assert_obstacles(&d, 1, 1, "503  there is no pool gone: o gives it another one\n");
    desk_close(&d);
}

static void accounts_that_cannot_serve_are_counted(void **state)
{
    struct desk d;
    desk_open(&d);
    d.accounts[0].state = ACCOUNT_OFF;
    assert_obstacles(&d, 1, 0, ""); /* the other one serves */
    d.accounts[2].state = ACCOUNT_DRAIN;
    assert_obstacles(&d, 1, 1,
                     "503  no account of its pool gemini serves now: 1 off, 1 draining\n");
    d.accounts[0].state = d.accounts[2].state = ACCOUNT_UP;
    d.accounts[0].cool_until = FAKE_NOW + 38;
    d.accounts[2].cool_until = FAKE_NOW + 25;
    assert_obstacles(
        &d, 1, 1,
        "503  all accounts of its pool gemini cool: 2 cooling; the first is back in 25s\n");
    d.accounts[2].cool_until = FAKE_NOW; /* just over */
    assert_obstacles(&d, 1, 0, "");
    d.members[2].weight = 0;
    assert_obstacles(&d, 1, 1,
                     "503  no account of its pool gemini serves now: 1 of weight 0, 1 cooling; "
                     "the first is back in 38s\n");
    d.accounts[0].cool_until = 0;
    d.accounts[0].token = &failed;
    assert_obstacles(&d, 1, 1,
                     "503  no account of its pool gemini serves now: 1 of weight 0, 1 without a "
                     "token; 2 says why\n");
    desk_close(&d);
}

static void a_key_for_another_host_serves_nobody_here(void **state)
{
    struct desk d;
    desk_open(&d);
    d.clients[1].pool = "claude"; /* its one account is a key for api.anthropic.com */
    assert_obstacles(&d, 1, 1,
                     "503  no account of its pool claude serves now: 1 for other hosts\n");
    desk_close(&d);
}

static void a_model_that_nobody_has_is_404(void **state)
{
    struct desk d;
    desk_open(&d);
    d.accounts[0].models = 1; /* whatever its row says, it is not this */
    d.clients[1].models = "gemini-2.5-pro, gemini-9, nothing-*";
    assert_obstacles(
        &d, 1, 1,
        "404  for gemini-9: no account of its pool serves that model; 5 M has the rows\n");
    d.accounts[0].models = 0; /* every model */
    assert_obstacles(&d, 1, 0, "");
    desk_close(&d);
}

static void a_host_without_a_swap_rule_is_said(void **state)
{
    static const struct board_rule denied[] = {
        {.id = 1, .pattern = "*.googleapis.com", .action = "deny", .api = "", .paths = ""}};
    struct desk d;
    desk_open(&d);
    d.app.board.rule_count = 0;
    assert_obstacles(&d, 1, 1,
                     "401  no rule swaps generativelanguage.googleapis.com: the provider sees the "
                     "placeholder (or 403: 5 t tries)\n");
    d.app.board.rules = denied;
    d.app.board.rule_count = 1;
    assert_obstacles(&d, 1, 1,
                     "403  rule *.googleapis.com denies generativelanguage.googleapis.com: 5 shows "
                     "the rules\n");
    desk_close(&d);
}

static void several_obstacles_come_in_the_order_of_the_proxy(void **state)
{
    struct desk d;
    desk_open(&d);
    d.clients[2].pool = "empty";
    d.clients[2].rpm = 5;
    d.clients[2].minute_requests = 9;
    assert_obstacles(&d, 2, 3,
                     "403  it is off: e puts it on\n"
                     "429  9 requests in the last minute, and it may send 5: l changes that\n"
                     "503  its pool empty has no account: o gives it another one, 1 a adds one\n");
    desk_close(&d);
}

/* ---- what is done ---- */

static void adding_is_reviewed_and_shown_once(void **state)
{
    static const char *const filled[] = {"bob", "claude", "", "30d", "60", "10M", "claude-*"};
    struct desk d;
    desk_open(&d);
    press(&d, 'a');
    assert_int_equal(d.app.field_count, 7);
    assert_true(fake_fill(&d.app, filled));
    assert_string_equal(d.app.text,
                        "name          bob\nservice       claude\npool          claude\n"
                        "expires       30d\nrequests/min  60\ntokens/day    10M\n"
                        "models        claude-*\n\n"
                        "its placeholder is shown once, and never again\n");
    assert_string_equal(d.app.ran, ""); /* not before y */
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "client add bob --service claude --expires 30d --rpm 60 "
                                   "--tokens-per-day 10M --models claude-*");
    assert_int_equal(d.app.run_flags, APP_SHOWS | APP_SECRET);
    desk_close(&d);
}

static void adding_refuses_what_the_command_would(void **state)
{
    static const struct {
        const char *const texts[7];
        const char *said;
    } bad[] = {{{"-x", "gemini", "", "", "", "", ""}, "a name has 1 to 64 letters, digits or ._-"},
               {{"alice", "gemini", "", "", "", "", ""}, "there is a client of that name"},
               {{"bob", "openai", "", "", "", "", ""}, "the service is gemini or claude"},
               {{"bob", "gemini", "nope", "", "", "", ""},
                "there is no pool nope; 1 shows those that are"},
               {{"bob", "gemini", "", "yesterday", "", "", ""},
                "expires: a time ahead, such as 30d, 12h, 2027-01-31, or never"},
               {{"bob", "gemini", "", "", "many", "", ""},
                "requests/min: a number such as 60 or 1k; 0 is no limit"},
               {{"bob", "gemini", "", "", "", "-1", ""},
                "tokens/day: a number such as 500k or 10M; 0 is no limit"}};
    struct desk d;
    desk_open(&d);
    press(&d, 'a');
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(fake_fill(&d.app, bad[i].texts));
        assert_string_equal(d.app.said, bad[i].said);
        assert_null(d.app.yes);
    }
    desk_close(&d);
}

static void limits_send_only_what_is_different(void **state)
{
    static const char *const same[] = {NULL, NULL, NULL, NULL, NULL};
    static const char *const other[] = {NULL, "0", "20M", "", NULL};
    struct desk d;
    desk_open(&d);
    press(&d, 'l');
    assert_string_equal(d.app.field_values[0], "2026-12-21T15:02:11Z");
    assert_string_equal(d.app.field_values[2], "10000000");
    assert_false(fake_fill(&d.app, same));
    assert_string_equal(d.app.said, "nothing is different; Esc goes back");
    assert_true(fake_fill(&d.app, other));
    assert_string_equal(d.app.text, "requests/min  60 -> 0\n"
                                    "tokens/day    10000000 -> 20M\n"
                                    "models        claude-* -> every one\n"
                                    "\nit counts from the next request on\n");
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "client set alice rpm=0 tokens-per-day=20M models=");
    desk_close(&d);
}

static void a_new_token_and_a_revocation_are_asked_for(void **state)
{
    struct desk d;
    desk_open(&d);
    press(&d, 't');
    assert_non_null(strstr(d.app.text, "the old one (claude-p2M..) ends at once"));
    assert_string_equal(d.app.word, "");
    assert_string_equal(d.app.ran, "");
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "client rotate alice");
    assert_int_equal(d.app.run_flags, APP_SHOWS | APP_SECRET);
    press(&d, 'R');
    assert_string_equal(d.app.word, "alice"); /* must be typed */
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "client revoke alice");
    desk_close(&d);
}

static void off_and_on_hold_for_all_that_are_marked(void **state)
{
    struct desk d;
    desk_open(&d);
    press(&d, 'x');
    assert_string_equal(d.app.text, "alice\n\nanswered with 403 from the next request on\n"
                                    "requests under way go on to their end\n");
    assert_null(d.app.change);
    fake_yes(&d.app);
    assert_non_null(d.app.change);
    assert_string_equal(d.app.change_what, "client alice: state=off");
    d.v->screen.table.marks[0] = 2;
    d.v->screen.table.marks[1] = 5;
    d.v->screen.table.mark_count = 2;
    press(&d, 'e');
    assert_string_equal(d.app.text,
                        "ci-monorepo\nnightly\n\nanswered again from the next request on\n");
    fake_yes(&d.app);
    assert_string_equal(d.app.change_what, "client ci-monorepo, nightly: state=on");
    assert_int_equal(d.v->screen.table.mark_count, 0);
    desk_close(&d);
}

static void a_revoked_client_is_not_put_on(void **state)
{
    struct desk d;
    desk_open(&d);
    desk_go(&d, 5);
    d.app.yes = NULL;
    press(&d, 'e');
    assert_null(d.app.yes);
    assert_string_equal(d.app.said, "it has no placeholder: t makes one, then e puts it on");
    desk_close(&d);
}

static void a_pool_must_be_there(void **state)
{
    struct desk d;
    desk_open(&d);
    press(&d, 'o');
    assert_string_equal(d.app.prompt, "pool of alice: ");
    assert_string_equal(d.app.value, "claude");
    assert_false(fake_type(&d.app, "nope"));
    assert_true(fake_type(&d.app, "gemini"));
    assert_non_null(strstr(d.app.text, "alice: pool claude -> gemini"));
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "client set alice pool=gemini");
    desk_close(&d);
}

static void a_service_account_file_goes_to_a_file_only(void **state)
{
    struct desk d;
    desk_open(&d);
    press(&d, 'V');
    assert_string_equal(d.app.value, "alice.json");
    assert_false(fake_type(&d.app, ""));
    assert_false(fake_type(&d.app, "-"));
    assert_true(fake_type(&d.app, "/tmp/a.json"));
    assert_string_equal(d.app.ran, "");
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "client service-account alice --out /tmp/a.json");
    assert_int_equal(d.app.run_flags, 0); /* nothing of it is shown */
    desk_close(&d);
}

static void explaining_and_showing_run_at_once(void **state)
{
    static const char *const model[] = {"claude-sonnet-4", ""};
    struct desk d;
    desk_open(&d);
    press(&d, TERM_ENTER);
    assert_string_equal(d.app.ran, "client show alice");
    press(&d, 'E');
    assert_true(fake_fill(&d.app, model));
    assert_string_equal(d.app.ran, "explain --client alice --model claude-sonnet-4");
    assert_int_equal(d.app.run_flags, APP_SHOWS);
    assert_false(clients_view.key(d.v, 'Z'));
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(screens_look_as_they_did),
        cmocka_unit_test(nothing_is_drawn_outside_at_any_size),
        cmocka_unit_test(a_name_cannot_reach_the_terminal_as_control_bytes),
        cmocka_unit_test(what_nobody_counted_is_a_dash),
        cmocka_unit_test(bars_are_blocks_in_utf8),
        cmocka_unit_test(nothing_stands_in_the_way_of_a_client_that_works),
        cmocka_unit_test(its_own_state_is_401_or_403),
        cmocka_unit_test(its_limits_are_429),
        cmocka_unit_test(a_pool_without_anybody_is_503),
        cmocka_unit_test(accounts_that_cannot_serve_are_counted),
        cmocka_unit_test(a_key_for_another_host_serves_nobody_here),
        cmocka_unit_test(a_model_that_nobody_has_is_404),
        cmocka_unit_test(a_host_without_a_swap_rule_is_said),
        cmocka_unit_test(several_obstacles_come_in_the_order_of_the_proxy),
        cmocka_unit_test(adding_is_reviewed_and_shown_once),
        cmocka_unit_test(adding_refuses_what_the_command_would),
        cmocka_unit_test(limits_send_only_what_is_different),
        cmocka_unit_test(a_new_token_and_a_revocation_are_asked_for),
        cmocka_unit_test(off_and_on_hold_for_all_that_are_marked),
        cmocka_unit_test(a_revoked_client_is_not_put_on),
        cmocka_unit_test(a_pool_must_be_there),
        cmocka_unit_test(a_service_account_file_goes_to_a_file_only),
        cmocka_unit_test(explaining_and_showing_run_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
