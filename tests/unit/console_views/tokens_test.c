/* The screen of the tokens, from a board and a feed filled by hand. */
#define FAKE_NOW 1795788131 /* 2026-11-27 14:02:11 UTC */
#include "fake_app.h"
#include "views/token_words.h"

#define SCOPES                                                                                     \
    "https://www.googleapis.com/auth/cloud-platform "                                              \
    "https://www.googleapis.com/auth/generative-language.retriever"

static const struct board_token tokens[] = {
    {"sa-prod-1", SCOPES, "", "9b1e77a0", true, FAKE_NOW + 2467, FAKE_NOW - 1132, 26, 182, 0, 0},
    {"sa-prod-2", SCOPES, "", "03c1ffe2", true, FAKE_NOW + 290, FAKE_NOW - 3309, 25, 176, 0, 0},
    {"sa-prod-3", SCOPES, "endpoint_timeout: the token endpoint cannot be reached", "77aa0912",
     true, FAKE_NOW + 1200, FAKE_NOW - 2399, 25, 190, 3, FAKE_NOW + 12},
    {"sa-eu-9", SCOPES,
     "invalid_grant: the key was deleted or rotated at Google, or is not this account's: add a "
     "new key",
     "", false, 0, 0, 0, 0, 3, FAKE_NOW + 52},
    {"sa-dev-1", SCOPES, "", "", false, 0, FAKE_NOW - 14000, 9, 202, 0, 0},
};

#define ACCOUNT(n, i, t, s)                                                                        \
    {                                                                                              \
        .id = i, .name = n, .email = n "@acme-ml.iam.gserviceaccount.com", .project = "acme-ml",   \
        .location = "", .host = "", .key_id = "4f1c99e0aa17", .key_fingerprint = "aa01bb02",       \
        .note = "", .cool_reason = "", .state = s, .token = t                                      \
    }

static struct board_account accounts[] = {
    ACCOUNT("sa-prod-1", 1, &tokens[0], ACCOUNT_UP),
    ACCOUNT("sa-prod-2", 2, &tokens[1], ACCOUNT_UP),
    ACCOUNT("sa-prod-3", 3, &tokens[2], ACCOUNT_UP),
    ACCOUNT("sa-eu-9", 4, &tokens[3], ACCOUNT_UP),
    ACCOUNT("sa-dev-1", 5, &tokens[4], ACCOUNT_UP),
    ACCOUNT("sa-new", 6, NULL, ACCOUNT_OFF),
    {.id = 7,
     .name = "claude-key",
     .kind = ACCOUNT_API_KEY,
     .email = "",
     .host = "api.anthropic.com",
     .key_id = "",
     .key_fingerprint = "c0ffee00"},
};

/* Of which accounts a worker has the token; of the third no one does, of the second nobody says. */
static const struct feed_member members[] = {{.pool = "gemini", .account = "sa-prod-1", .held = 4},
                                             {.pool = "gemini", .account = "sa-prod-2", .held = -1},
                                             {.pool = "gemini", .account = "sa-prod-3"}};

static void *view_of(struct app *a)
{
    fake_open(a, NULL);
    a->board.accounts = accounts;
    a->board.account_count = 7;
    a->board.tokens = tokens;
    a->board.token_count = 5;
    a->is_live = true;
    a->feed.figures = (struct feed_figures){.at_ms = FAKE_NOW * 1000ll,
                                            .members = members,
                                            .member_count = 3,
                                            .tokens_memory = 99970,
                                            .tokens_store = 20,
                                            .mints = 10,
                                            .mint_failures = 6,
                                            .has_skew = true,
                                            .clock_skew_s = 0};
    void *state = view_create(&tokens_view, a);
    assert_non_null(state);
    view_update(&tokens_view, state);
    return state;
}

static void finish(struct app *a, void *state)
{
    view_destroy(&tokens_view, state);
    fake_close(a);
}

static void move(struct app *a, void *state, int rows)
{
    for (int i = 0; i < rows; i++) {
        assert_true(table_key(view_table(&tokens_view, state), 'j'));
        view_update(&tokens_view, state);
    }
}

static void a_good_token_is_shown_with_its_time(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    assert_screens(&a, &tokens_view, state, "tokens");
    a.canvas.is_utf8 = true;
    fake_resize(&a, 80, 24);
    assert_screen(&a, &tokens_view, state, "tokens-utf8");
    finish(&a, state);
}

static void a_failure_is_told_with_cause_and_next_step(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 3);
    assert_screens(&a, &tokens_view, state, "tokens-fail");
    a.feed.figures.clock_skew_s = -95;
    fake_resize(&a, 80, 24);
    assert_screen(&a, &tokens_view, state, "tokens-clock");
    finish(&a, state);
}

static void a_failing_renewal_is_told_while_the_token_still_serves(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 2);
    assert_screen(&a, &tokens_view, state, "tokens-renewal");
    finish(&a, state);
}

static void without_the_daemon_nothing_is_guessed(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    a.is_live = false;
    assert_screen(&a, &tokens_view, state, "tokens-down"); /* its last figures, and they are grey */
    assert_int_equal(a.canvas.cells[4 * 80 + 40].style, STYLE_DIM);
    a.feed.figures = (struct feed_figures){0};
    move(&a, state, 4);
    assert_screen(&a, &tokens_view, state, "tokens-never");
    finish(&a, state);
}

static void no_account_is_said_in_words(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    a.board.account_count = 0;
    assert_screens(&a, &tokens_view, state, "tokens-empty");
    finish(&a, state);
}

static void what_came_from_outside_cannot_move_the_cursor(void **unused)
{
    struct app a;
    char *text;
    struct board_token bad = tokens[3];
    void *state = view_of(&a);
    bad.last_error = "\x1b]0;owned\a\x1b[2J \xff\xc3 odd";
    accounts[3].token = &bad;
    move(&a, state, 3);
    text = fake_text(&a, &tokens_view, state);
    for (const char *z = text; *z; z++)
        assert_true(*z == '\n' || (*z >= 0x20 && *z < 0x7f));
    assert_non_null(strstr(text, "likely: nothing that this console knows"));
    free(text);
    accounts[3].token = &tokens[3];
    finish(&a, state);
}

static void keys_ask_before_they_change_anything(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    struct errmsg problem = {{0}};
    assert_true(tokens_view.key(state, 'm'));
    assert_string_equal(a.ran, "account refresh sa-prod-1");
    assert_true(tokens_view.key(state, 'v'));
    assert_string_equal(a.ran, "account test sa-prod-1");
    a.ran[0] = '\0';
    assert_true(tokens_view.key(state, 'D'));
    assert_string_equal(a.ran, "");
    assert_non_null(strstr(a.text, "sa-prod-1"));
    a.yes(a.state);
    assert_string_equal(a.ran, "account forget sa-prod-1");
    a.ran[0] = '\0';
    assert_true(tokens_view.key(state, 'K'));
    assert_false(a.line(a.state, SLICE(""), &problem));
    assert_false(a.line(a.state, SLICE("--yes"), &problem));
    assert_true(a.line(a.state, SLICE("/root/new.json"), &problem));
    assert_string_equal(a.ran, "");
    a.yes(a.state);
    assert_string_equal(a.ran, "account key sa-prod-1 /root/new.json");
    assert_false(tokens_view.key(state, 'q'));
    finish(&a, state);
}

static void an_api_key_has_no_token_to_forget(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 6);
    a.yes = NULL;
    assert_true(tokens_view.key(state, 'D'));
    assert_true(tokens_view.key(state, 'm'));
    assert_true(tokens_view.key(state, 'K'));
    assert_null(a.yes);
    assert_string_equal(a.ran, "");
    assert_screen(&a, &tokens_view, state, "tokens-key");
    finish(&a, state);
}

static void no_size_is_too_small(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    move(&a, state, 3);
    draw_all_sizes(&a, &tokens_view, state);
    finish(&a, state);
}

/* ---- words ---- */

static char *source_of(const char *file)
{
    char path[512];
    const char *root = getenv("CREDSWAP_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/proxy/token/%s", root ? root : ".", file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

/* Each string behind BEFORE in FILE is a word that has a cause and a next step. */
static int assert_known(const char *file, const char *before, const char *after)
{
    char *text = source_of(file), word[64];
    const struct token_words *none = token_words("?");
    int n = 0;
    for (char *at = text; (at = strstr(at, before));) {
        at += strlen(before);
        size_t len = strcspn(at, "\"");
        bool is_word =
            len > 0 && len < sizeof word - 2 && strncmp(at + len + 1, after, strlen(after)) == 0;
        if (!is_word)
            continue;
        snprintf(word, sizeof word, "%.*s:", (int)len, at);
        if (token_words(word) == none)
            fail_msg("%s of %s is not in the table", word, file);
        n++;
    }
    free(text);
    return n;
}

static void every_word_of_the_proxy_has_a_cause_and_a_step(void **unused)
{
    assert_true(assert_known("answer.c", ".reason = \"", "") >= 15);
    assert_true(assert_known("mint.c", ".reason = \"", "") >= 4);
    assert_true(assert_known("mint.c", "\"no_memory\" : \"", "") == 1);
    assert_true(assert_known("oauth2.c", ", \"", "}") >= 8);
    assert_true(assert_known("oauth2.c", "r->reason = \"", ";") == 1);
}

static void a_deleted_key_and_a_refused_account_are_told_apart(void **unused)
{
    const struct token_words *key = token_words("invalid_grant: the key was deleted or rotated");
    const struct token_words *any = token_words("invalid_grant: Google refuses the account's");
    assert_ptr_not_equal(key, any);
    assert_non_null(strstr(key->likely, "deleted"));
    assert_ptr_equal(token_words(""), token_words("what is this"));
}

static void the_clock_is_judged(void **unused)
{
    char words[96];
    assert_string_equal(token_clock_words(0, words), "+0 s (fine)");
    assert_string_equal(token_clock_words(-5, words), "-5 s (fine)");
    assert_string_equal(token_clock_words(30, words), "+30 s (a little off)");
    assert_false(token_clock_is_off(30));
    assert_true(token_clock_is_off(31));
    assert_true(token_clock_is_off(-31));
    assert_string_equal(token_clock_words(-400, words), "-400 s (WRONG: set this host's clock)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_is_shown_with_its_time),
        cmocka_unit_test(a_failure_is_told_with_cause_and_next_step),
        cmocka_unit_test(a_failing_renewal_is_told_while_the_token_still_serves),
        cmocka_unit_test(without_the_daemon_nothing_is_guessed),
        cmocka_unit_test(no_account_is_said_in_words),
        cmocka_unit_test(what_came_from_outside_cannot_move_the_cursor),
        cmocka_unit_test(keys_ask_before_they_change_anything),
        cmocka_unit_test(an_api_key_has_no_token_to_forget),
        cmocka_unit_test(no_size_is_too_small),
        cmocka_unit_test(every_word_of_the_proxy_has_a_cause_and_a_step),
        cmocka_unit_test(a_deleted_key_and_a_refused_account_are_told_apart),
        cmocka_unit_test(the_clock_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
