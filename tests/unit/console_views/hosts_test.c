/* The hosts screen: the order of the rules, what would happen to a host, and what is asked. */
#include "fake_app.h"

#include "views/hosts_internal.h"
#include "views/list.h"

static const char conf_text[] =
    "listen {\n proxy = {\"0.0.0.0:3128\"}\n}\n"
    "policy {\n ports = {443, 8443}\n tunnel = \"list\"\n}\n"
    "upstream {\n connect_to = {\"inner.example.org:443:10.1.2.3:8443\"}\n}\n";

static const struct board_account accounts[] = {
    {.id = 11, .name = "key-1", .host = "api.anthropic.com", .kind = ACCOUNT_API_KEY},
    {.id = 12, .name = "prod-1", .host = ""},
    {.id = 13, .name = "prod-2", .host = "", .models = 2},
};
static const struct board_pool pools[] = {{.id = 1, .name = "claude", .first = 0, .count = 1},
                                          {.id = 2, .name = "empty", .first = 0, .count = 0},
                                          {.id = 3, .name = "gemini", .first = 1, .count = 2}};
static const struct board_member members[] = {{.pool = 0, .account = 0, .weight = 1},
                                              {.pool = 2, .account = 1, .weight = 10},
                                              {.pool = 2, .account = 2, .weight = 50}};
static const struct board_rule rules[] = {
    {1, "api.anthropic.com", "swap", "anthropic", ""},
    {2, "generativelanguage.googleapis.com", "swap", "gemini", "/v1beta/*,/upload/*"},
    {3, "swap.example.net", "swap", "gemini", ""},
    {4, "*-aiplatform.googleapis.com", "swap", "vertex", ""},
    {5, "telemetry.*", "deny", "", ""}, /* no pattern of ours: matches its own name alone */
    {6, "*.github.com", "tunnel", "", ""},
    {7, "*.bad.example", "deny", "", ""},
};
static const struct board_model models[] = {
    {21, "prod-2", "gemini-2.5-*", "europe-west4-aiplatform.googleapis.com"},
    {22, "prod-2", "gemini-flash", ""}};
static const struct board_client clients[] = {
    {.id = 1, .name = "alice", .pool = "gemini", .state = "on", .has_virtual = true}};

struct desk {
    struct app app;
    struct hosts *v;
    struct board_account accounts[3];
};

static void desk_open_with(struct desk *d, const char *conf)
{
    struct board *b = &d->app.board;
    fake_open(&d->app, conf);
    memcpy(d->accounts, accounts, sizeof accounts);
    b->accounts = d->accounts;
    b->account_count = 3;
    b->pools = pools;
    b->pool_count = 3;
    b->members = (struct board_member *)(uintptr_t)members;
    b->member_count = 3;
    b->rules = rules;
    b->rule_count = 7;
    b->models = models;
    b->model_count = 2;
    d->v = view_create(&hosts_view, &d->app);
    assert_non_null(d->v);
    view_update(&hosts_view, d->v);
}

static void desk_open(struct desk *d)
{
    desk_open_with(d, conf_text);
}

static void desk_close(struct desk *d)
{
    view_destroy(&hosts_view, d->v);
    fake_close(&d->app);
}

static void press(struct desk *d, int key)
{
    assert_true(hosts_view.key(d->v, key));
    view_update(&hosts_view, d->v);
}

static void desk_go(struct desk *d, int row)
{
    struct table *t = view_table(&hosts_view, d->v);
    t->has_cursor = false;
    t->cursor = row;
    view_update(&hosts_view, d->v);
}

static void try_host(struct desk *d, const char *host)
{
    press(d, 't');
    assert_true(fake_type(&d->app, host));
}

static void assert_answer(struct desk *d, const char *host, const char *want)
{
    try_host(d, host);
    assert_string_equal(sbuf_z(&d->v->answer), want);
}

/* ---- drawing ---- */

static void screens_look_as_they_did(void **state)
{
    struct desk d;
    desk_open(&d);
    d.app.board.clients = clients;
    d.app.board.client_count = 1;
    for (int is_live = 1; is_live >= 0; is_live--) {
        d.app.is_live = is_live;
        d.v->tested[0] = '\0';
        assert_screens(&d.app, &hosts_view, d.v, is_live ? "hosts" : "hosts_down");
        try_host(&d, "us-east5-aiplatform.googleapis.com");
        const char *name = is_live ? "hosts_test" : "hosts_test_down";
        assert_screen_at(&d.app, &hosts_view, d.v, name, 80, 24);
        assert_screen_at(&d.app, &hosts_view, d.v, name, 40, 10);
    }
    desk_close(&d);
}

static void models_look_as_they_did(void **state)
{
    struct desk d;
    desk_open(&d);
    press(&d, 'M');
    assert_screens(&d.app, &hosts_view, d.v, "models");
    d.app.is_live = false;
    assert_screen_at(&d.app, &hosts_view, d.v, "models_down", 80, 24);
    d.app.board.model_count = 0;
    view_update(&hosts_view, d.v);
    char *text = fake_text(&d.app, &hosts_view, d.v);
    assert_non_null(strstr(text, "no row: every account serves every model of its kind"));
    free(text);
    press(&d, 'M');
    assert_ptr_equal(view_table(&hosts_view, d.v), &d.v->screen.table);
    desk_close(&d);
}

static void nothing_is_drawn_outside_at_any_size(void **state)
{
    struct desk d;
    desk_open(&d);
    d.app.canvas.is_utf8 = true;
    for (int i = 0; i < 2; i++) {
        draw_all_sizes(&d.app, &hosts_view, d.v);
        try_host(&d, "api.anthropic.com");
    }
    desk_close(&d);
}

static void the_token_endpoint_is_a_row_while_a_client_has_a_file(void **state)
{
    struct desk d;
    enum fixed f = FIXED_COUNT;
    desk_open(&d);
    assert_int_equal(hosts_row_count(d.v), 10);
    assert_null(hosts_rule(d.v, 9, &f));
    assert_int_equal(f, FIXED_REST);
    d.app.board.clients = clients;
    d.app.board.client_count = 1;
    view_update(&hosts_view, d.v);
    assert_int_equal(hosts_row_count(d.v), 11);
    assert_null(hosts_rule(d.v, 9, &f));
    assert_int_equal(f, FIXED_TOKENS);
    assert_ptr_equal(hosts_rule(d.v, 2, &f), &rules[0]);
    assert_int_equal(hosts_number(d.v, 7), 9);
    desk_close(&d);
}

/* ---- testing a host ---- */

static void a_swapped_host_counts_who_could_serve_it(void **state)
{
    struct desk d;
    desk_open(&d);
    assert_answer(&d, "us-east5-aiplatform.googleapis.com",
                  "us-east5-aiplatform.googleapis.com:443\n"
                  "swap, vertex: rule 6, *-aiplatform.googleapis.com\n"
                  "2 accounts could serve it now:  claude 0 of 1  gemini 2 of 2\n");
    d.accounts[1].cool_until = FAKE_NOW + 20;
    d.accounts[1].cool_since = FAKE_NOW - 5;
    view_update(&hosts_view, d.v); /* it is looked at again by itself */
    assert_non_null(strstr(sbuf_z(&d.v->answer), "1 account could serve it now:  claude 0 of 1  "
                                                 "gemini 1 of 2\n"));
    d.accounts[2].state = ACCOUNT_DRAIN;
    view_update(&hosts_view, d.v);
    assert_non_null(strstr(sbuf_z(&d.v->answer), "0 accounts could serve it now:"));
    assert_answer(&d, "API.Anthropic.com.:443",
                  "api.anthropic.com:443\nswap, anthropic: rule 3, api.anthropic.com\n"
                  "1 account could serve it now:  claude 1 of 1  gemini 0 of 2\n");
    desk_close(&d);
}

static void a_denied_host_says_by_what(void **state)
{
    struct desk d;
    desk_open(&d);
    assert_answer(&d, "a.bad.example", "a.bad.example:443\n! deny: rule 9, *.bad.example\n");
    assert_answer(&d, "example.org",
                  "example.org:443\n! deny: no rule matches, and policy.tunnel is list\n");
    assert_answer(&d, "api.anthropic.com:22",
                  "api.anthropic.com:22\n! deny: port 22 is none of policy.ports (443 8443)\n");
    assert_answer(&d, "api.anthropic.com:8443",
                  "api.anthropic.com:8443\n! deny: rule 3, api.anthropic.com, would swap, but a "
                  "token goes to port 443 only\n");
    assert_answer(&d, "169.254.169.254",
                  "169.254.169.254:443\n! deny: this address is never dialled "
                  "(policy.deny_networks: private)\n");
    assert_answer(&d, "swap.example.net",
                  "swap.example.net:443\n! deny: rule 5, swap.example.net, swaps it outside "
                  "policy.swap_domains\n");
    desk_close(&d);
}

static void a_tunnel_and_a_mapped_host_are_said(void **state)
{
    struct desk d;
    desk_open(&d);
    assert_answer(&d, "api.github.com",
                  "api.github.com:443\ntunnel: rule 8, *.github.com\n"
                  "passed on untouched, unless it resolves to a denied network\n");
    assert_answer(&d, "inner.example.org",
                  "inner.example.org:443\n! deny: no rule matches, and policy.tunnel is list\n"
                  "dialled as 10.1.2.3:8443 (upstream.connect_to)\n");
    d.app.board.clients = clients;
    d.app.board.client_count = 1;
    assert_answer(&d, "oauth2.googleapis.com",
                  "oauth2.googleapis.com:443\n"
                  "answer: the token endpoint, for clients with a service-account file\n");
    desk_close(&d);
}

static void what_is_no_host_is_refused(void **state)
{
    struct desk d;
    desk_open(&d);
    press(&d, 't');
    assert_false(fake_type(&d.app, "http://x/"));
    assert_string_equal(d.app.said, "that is no HOST or HOST:PORT; the proxy would answer 400");
    assert_false(fake_type(&d.app, ""));
    assert_string_equal(d.v->tested, "");
    try_host(&d, "example.org");
    assert_true(hosts_view.key(d.v, TERM_ESC)); /* ends it, once */
    assert_string_equal(d.v->tested, "");
    assert_false(hosts_view.key(d.v, TERM_ESC));
    desk_close(&d);
}

static void hosts_without_a_rule_are_tunnelled_where_the_policy_says_so(void **state)
{
    struct desk d;
    desk_open_with(&d, "policy {\n tunnel = \"allow\"\n}\n");
    assert_string_equal(hosts_fixed_word(d.v, FIXED_REST), "tunnel");
    assert_answer(&d, "example.org",
                  "example.org:443\ntunnel: no rule matches, and policy.tunnel is allow\n"
                  "passed on untouched, unless it resolves to a denied network\n");
    desk_close(&d);
}

/* ---- what is done ---- */

static void a_rule_is_reviewed_before_it_is_set(void **state)
{
    static const char *const added[] = {"*.Example.org", "tunnel", "", ""};
    static const char *const changed[] = {NULL, NULL, NULL, "/v1beta/*"};
    struct desk d;
    desk_open(&d);
    press(&d, 'a');
    assert_true(fake_fill(&d.app, added));
    assert_string_equal(d.app.title, "add this rule?");
    assert_string_equal(d.app.text,
                        "host      *.example.org\naction    tunnel\napi       none\n"
                        "paths     none\n\nit counts from the next request on; open tunnels stay "
                        "open\n");
    assert_string_equal(d.app.ran, "");
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "host set *.example.org tunnel");
    desk_go(&d, 3);
    press(&d, 'e');
    assert_string_equal(d.app.field_values[0], "generativelanguage.googleapis.com");
    assert_true(fake_fill(&d.app, changed));
    assert_string_equal(d.app.title, "change this rule?");
    assert_non_null(strstr(d.app.text, "paths     /v1beta/*,/upload/* -> /v1beta/*\n"));
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "host set --api gemini --paths /v1beta/* "
                                   "generativelanguage.googleapis.com swap");
    desk_close(&d);
}

static void what_a_change_costs_is_warned_of(void **state)
{
    static const char *const closed[] = {NULL, "tunnel", "", ""};
    static const char *const open_all[] = {"*", "tunnel", "", ""};
    static const char *const renamed[] = {"other.googleapis.com", NULL, NULL, NULL};
    struct desk d;
    desk_open(&d);
    desk_go(&d, 2);
    press(&d, 'e');
    assert_true(fake_fill(&d.app, closed));
    assert_non_null(strstr(d.app.text, "! clients' requests to it are no longer given a token\n"));
    assert_true(fake_fill(&d.app, renamed));
    assert_string_equal(d.app.title, "add this rule?");
    assert_non_null(strstr(d.app.text, "! the rule for api.anthropic.com stays as it is"));
    press(&d, 'a');
    assert_true(fake_fill(&d.app, open_all));
    assert_non_null(strstr(d.app.text, "! every host that no other rule knows is open"));
    press(&d, 'D');
    assert_non_null(strstr(d.app.text, "! clients' requests to it are no longer given a token\n"));
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "host rm api.anthropic.com");
    desk_close(&d);
}

static void rules_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const char *const texts[4];
        const char *said;
    } bad[] = {{{"a*b", "deny", "", ""}, "the host is a name, *.domain, *-suffix or *"},
               {{"--api", "deny", "", ""}, "the host is a name, *.domain, *-suffix or *"},
               {{"a.b", "allow", "", ""}, "the action is swap, tunnel or deny"},
               {{"a.b", "deny", "gemini", ""}, "api and paths are for swap: empty them"},
               {{"a.b", "swap", "openai", ""}, "the api is gemini, vertex or anthropic"}};
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

static void built_in_rows_cannot_be_changed(void **state)
{
    struct desk d;
    desk_open(&d);
    for (int i = 0; i < 3; i++) {
        static const int rows[] = {0, 1, 9};
        desk_go(&d, rows[i]);
        d.app.said[0] = '\0';
        press(&d, i ? 'D' : 'e');
        assert_string_equal(d.app.said, "this row is of the configuration file, not of the store");
    }
    assert_null(d.app.yes);
    assert_null(d.app.form);
    desk_close(&d);
}

static void model_rows_come_and_go(void **state)
{
    static const char *const first[] = {"prod-1", "gemini-3", ""};
    static const char *const nobody[] = {"nobody", "gemini-3", ""};
    struct desk d;
    desk_open(&d);
    press(&d, 'M');
    press(&d, 'a');
    assert_false(fake_fill(&d.app, nobody));
    assert_true(fake_fill(&d.app, first));
    assert_non_null(strstr(d.app.text, "! it has no rows and serves every model"));
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "model set prod-1 gemini-3");
    press(&d, 'D');
    assert_string_equal(d.app.text, "prod-2 no longer serves gemini-2.5-* by this row\n");
    fake_yes(&d.app);
    assert_string_equal(d.app.ran, "model rm prod-2 gemini-2.5-*");
    d.app.board.model_count = 1;
    view_update(&hosts_view, d.v);
    press(&d, 'D');
    assert_non_null(strstr(d.app.text, "! it is its last one"));
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(screens_look_as_they_did),
        cmocka_unit_test(models_look_as_they_did),
        cmocka_unit_test(nothing_is_drawn_outside_at_any_size),
        cmocka_unit_test(the_token_endpoint_is_a_row_while_a_client_has_a_file),
        cmocka_unit_test(a_swapped_host_counts_who_could_serve_it),
        cmocka_unit_test(a_denied_host_says_by_what),
        cmocka_unit_test(a_tunnel_and_a_mapped_host_are_said),
        cmocka_unit_test(what_is_no_host_is_refused),
        cmocka_unit_test(hosts_without_a_rule_are_tunnelled_where_the_policy_says_so),
        cmocka_unit_test(a_rule_is_reviewed_before_it_is_set),
        cmocka_unit_test(what_a_change_costs_is_warned_of),
        cmocka_unit_test(rules_that_make_no_sense_are_refused),
        cmocka_unit_test(built_in_rows_cannot_be_changed),
        cmocka_unit_test(model_rows_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
