/* What is done on the accounts screen. Weights and states are staged; the rest is asked for y. */
#include "cli/cli.h"
#include "cli/quantity.h"
#include "keys/json.h"
#include "ui/term.h"
#include "views/accounts_internal.h"

#include <stdio.h>

#define WEIGHT_MOST 1000000.0

enum add_field {
    ADD_FILE,
    ADD_NAME,
    ADD_POOL,
    ADD_WEIGHT,
    ADD_MODELS,
    ADD_PROJECT
};

/* ---- in words ---- */

static void describe_cool(const struct board *b, const struct board_account *a, struct sbuf *out)
{
    char left[16];
    if (a->cool_until > b->now_s)
        sbuf_addf(out, "! cooling for %s after %s; c ends it\n",
                  show_span(a->cool_until - b->now_s, left), a->cool_reason);
    if (a->model_cools)
        sbuf_addf(out,
                  "! %d of its models cool%s: others get those requests; 6 says why, c ends it\n",
                  a->model_cools, a->model_cools == 1 ? "s" : "");
}

static void describe_token(const struct board *b, const struct board_account *a, struct sbuf *out)
{
    char left[16], next[16];
    const struct board_token *t = a->token;
    if (a->kind == ACCOUNT_API_KEY)
        return;
    if (!t) {
        sbuf_adds(out, "no token yet: it is fetched when the first request needs one, or with m\n");
        return;
    }
    if (t->has_token && t->expires_at > b->now_s)
        sbuf_addf(out, "token %s, good for %s\n", t->fingerprint,
                  show_span(t->expires_at - b->now_s, left));
    if (t->fails)
        sbuf_addf(out, "! %lld mints failed in a row, next try in %s: %s\n", (long long)t->fails,
                  show_span(t->retry_at > b->now_s ? t->retry_at - b->now_s : 0, next),
                  t->last_error);
}

void accounts_describe(const struct accounts *v, int row, struct sbuf *out)
{
    const struct board *b = app_board(v->screen.app);
    const struct board_account *a = accounts_account(v, row);
    if (a->kind == ACCOUNT_API_KEY)
        sbuf_addf(out, "%s   API key for %s   fingerprint %s\n", a->name, a->host,
                  a->key_fingerprint);
    else
        sbuf_addf(out, "%s   project %s\n", *a->email ? a->email : a->name,
                  *a->project ? a->project : "--");
    if (a->models)
        sbuf_addf(out, "location %s   serves %d model pattern%s\n",
                  *a->location ? a->location : "any", a->models, a->models == 1 ? "" : "s");
    else
        sbuf_addf(out, "location %s   serves every model of its kind\n",
                  *a->location ? a->location : "any");
    describe_cool(b, a, out);
    describe_token(b, a, out);
    if (*a->note)
        sbuf_addf(out, "note: %s\n", a->note);
}

/* ---- staging ---- */

typedef void (*row_cb)(struct accounts *v, int row, double by);

/* The marked rows, or the one under the cursor. */
static void for_rows(struct accounts *v, row_cb cb, double by)
{
    struct table_source src = accounts_source(v);
    int here = table_row(&v->screen.table);
    for (int i = 0; i < src.count; i++)
        if (v->screen.table.mark_count ? table_is_marked(&v->screen.table, src.key(src.arg, i))
                                       : i == here)
            cb(v, i, by);
}

static void stage_to(struct accounts *v, const struct board_member *m, double to)
{
    to = to < 0 ? 0 : to > WEIGHT_MOST ? WEIGHT_MOST : to;
    if (!stage_set_weight(app_stage(v->screen.app), app_board(v->screen.app), m, to))
        app_say(v->screen.app, STYLE_FAIL, "ERROR  %d edits are staged: w applies them", STAGE_MAX);
}

static void add_weight(struct accounts *v, int row, double by)
{
    const struct board_member *m = accounts_member(v, row);
    if (m)
        stage_to(v, m, stage_weight(app_stage(v->screen.app), app_board(v->screen.app), m) + by);
    else
        app_say(v->screen.app, STYLE_PLAIN, "it is in no pool: o puts it into one");
}

static void set_weight(struct accounts *v, int row, double to)
{
    const struct board_member *m = accounts_member(v, row);
    if (m)
        stage_to(v, m, to);
}

static void set_state(struct accounts *v, int row, double to)
{
    if (!stage_set_state(app_stage(v->screen.app), app_board(v->screen.app),
                         accounts_account(v, row), (enum account_state)to))
        app_say(v->screen.app, STYLE_FAIL, "ERROR  %d edits are staged: w applies them", STAGE_MAX);
}

/* The row whose weight was asked for; -1: it is not there any more, and the cursor is on another.
 */
static int asked_row(const struct accounts *v)
{
    int row = table_row(&v->screen.table);
    const struct board_account *a = row >= 0 ? accounts_account(v, row) : NULL;
    return a && a->id == v->asked ? row : -1;
}

/* "40%": the weight that makes it its share; "+20%" and "-20%": so many points more or less. */
static bool take_share(struct accounts *v, struct slice text, struct errmsg *problem)
{
    const struct board *b = app_board(v->screen.app);
    char z[QUANTITY_TEXT];
    double by = 0, to = 0;
    bool is_more = slice_starts(text, SLICE("+")), is_less = slice_starts(text, SLICE("-"));
    struct slice number = slice_trim(slice_sub(text, is_more || is_less, text.n - 1));
    if (v->screen.table.mark_count)
        return err_set(problem, ERR_INVALID, "a share is of one account: Esc unmarks") == ERR_OK;
    if (!slice_copy(number, z, sizeof z) || !weight_parse(z, &by))
        return err_set(problem, ERR_INVALID, "a share is 40%%, or +20%% or -20%% of the pool") ==
               ERR_OK;
    int row = asked_row(v);
    const struct board_member *m = accounts_member(v, row);
    double now = v->after[row];
    by /= 100;
    if (!share_to_weight(app_stage(v->screen.app), b, m,
                         is_more   ? now + by
                         : is_less ? now - by
                                   : by,
                         &to))
        return err_set(problem, ERR_INVALID,
                       "its share is %.1f%% now; it must stay from 0 to below 100%%, and others "
                       "must serve too",
                       100 * now) == ERR_OK;
    stage_to(v, m, to);
    return true;
}

static bool take_weight(void *state, struct slice text, struct errmsg *problem)
{
    struct accounts *v = state;
    char z[QUANTITY_TEXT];
    double to = 0;
    text = slice_trim(text);
    if (v->screen.table.mark_count == 0 && asked_row(v) < 0)
        return err_set(problem, ERR_NOT_FOUND, "that account left this list: Esc") == ERR_OK;
    if (text.n > 1 && text.p[text.n - 1] == '%') {
        if (!take_share(v, text, problem))
            return false;
        accounts_view_update(v);
        return true;
    }
    if (!slice_copy(text, z, sizeof z) || !weight_parse(z, &to))
        return err_set(problem, ERR_INVALID,
                       "a weight such as 3 or 0.5, a share such as 40%%, or -20%% of the pool") ==
               ERR_OK;
    for_rows(v, set_weight, to);
    return true;
}

static void ask_weight(struct accounts *v)
{
    char prompt[STAGE_NAME + 48];
    int row = table_row(&v->screen.table);
    const struct board_member *m = row >= 0 ? accounts_member(v, row) : NULL;
    if (!m)
        return;
    v->asked = accounts_account(v, row)->id;
    if (v->screen.table.mark_count)
        snprintf(prompt, sizeof prompt, "weight of %d marked: ", v->screen.table.mark_count);
    else
        snprintf(prompt, sizeof prompt,
                 "weight of %s (or 40%%, -20%%): ", accounts_account(v, row)->name);
    app_ask_line(v->screen.app, prompt, "", take_weight, v);
}

/* ---- adding ---- */

static void add_now(void *state)
{
    struct accounts *v = state;
    static const char *const options[] = {[ADD_NAME] = "--name",
                                          [ADD_POOL] = "--pool",
                                          [ADD_WEIGHT] = "--weight",
                                          [ADD_MODELS] = "--models",
                                          [ADD_PROJECT] = "--project"};
    const char *words[16] = {"account", "add", *v->add[ADD_FILE] ? v->add[ADD_FILE] : "-"};
    int n = 3;
    for (int i = ADD_NAME; i <= ADD_PROJECT; i++)
        if (*v->add[i]) {
            words[n++] = options[i];
            words[n++] = v->add[i];
        }
    app_run_words(v->screen.app, 0, "account added", words, n, sbuf_slice(&v->pasted));
    sbuf_finish_wipe(&v->pasted);
}

static void forget_pasted(void *state)
{
    sbuf_finish_wipe(&((struct accounts *)state)->pasted);
}

static void review_add(struct accounts *v)
{
    char text[3 * ENTRY_TEXT_MAX];
    snprintf(
        text, sizeof text,
        "key file  %.200s\nname      %.80s\npool      %.80s\nweight    %.20s\nmodels    %.200s\n\n"
        "it gets requests of that pool at once\n",
        *v->add[ADD_FILE] ? v->add[ADD_FILE] : "as pasted",
        *v->add[ADD_NAME] ? v->add[ADD_NAME] : "from the key file",
        *v->add[ADD_POOL] ? v->add[ADD_POOL] : "gemini",
        *v->add[ADD_WEIGHT] ? v->add[ADD_WEIGHT] : "1",
        *v->add[ADD_MODELS] ? v->add[ADD_MODELS] : "every one of its kind");
    app_confirm(v->screen.app, "add this account?", text, add_now, v);
    app_if_refused(v->screen.app, forget_pasted, v);
}

static bool is_whole(void *state, struct slice so_far)
{
    cJSON *json = NULL;
    (void)state;
    bool is_whole = json_object_parse(so_far, so_far.n, &json, NULL) == ERR_OK;
    json_object_destroy(json); /* wiped: it is a key */
    return is_whole;
}

static bool take_paste(void *state, struct slice text, struct errmsg *problem)
{
    struct accounts *v = state;
    sbuf_finish_wipe(&v->pasted);
    sbuf_init(&v->pasted, 1 << 17);
    if (!sbuf_reserve(&v->pasted, text.n + 1))
        return err_set(problem, ERR_NOMEM, "%s", err_str(ERR_NOMEM)) == ERR_OK;
    sbuf_add_slice(&v->pasted, text);
    review_add(v);
    return true;
}

static bool take_add(void *state, struct entry *e, struct errmsg *problem)
{
    struct accounts *v = state;
    for (int i = 0; i <= ADD_PROJECT; i++)
        if (!slice_copy(entry_text(e, i), v->add[i], sizeof v->add[i]))
            return err_set(problem, ERR_TOO_LARGE, "that is too long") == ERR_OK;
    double weight = 0;
    if (*v->add[ADD_WEIGHT] && !weight_parse(v->add[ADD_WEIGHT], &weight))
        return err_set(problem, ERR_INVALID,
                       "a weight is a number from 0 to 1000000, such as 3 or 0.5") == ERR_OK;
    if (v->add[ADD_FILE][0] == '-')
        return err_set(problem, ERR_INVALID, "a file name; leave it empty to paste the key") ==
               ERR_OK;
    sbuf_finish_wipe(&v->pasted);
    if (*v->add[ADD_FILE])
        review_add(v);
    else
        app_ask_paste(v->screen.app, "paste the key file",
                      "Paste the service account's JSON now.\nNothing of it is shown.", is_whole,
                      take_paste, v);
    return true;
}

static void ask_add(struct accounts *v)
{
    const struct board *b = app_board(v->screen.app);
    const char *pool = v->pool < b->pool_count ? b->pools[v->pool].name : "gemini";
    const struct entry_field fields[] = {
        [ADD_FILE] = {.label = "key file",
                      .hint = "the JSON that Google gave; empty: paste it in the next step",
                      .width = 44,
                      .most = ENTRY_TEXT_MAX - 1},
        [ADD_NAME] = {.label = "name",
                      .hint = "empty: what stands before the @ of its email",
                      .width = 44},
        [ADD_POOL] = {.label = "pool",
                      .value = pool,
                      .hint = "whose requests it gets",
                      .width = 44},
        [ADD_WEIGHT] = {.label = "weight",
                        .value = "1",
                        .hint = "its share is its weight by the sum of the pool's",
                        .width = 12},
        [ADD_MODELS] = {.label = "models",
                        .hint = "patterns with commas, gemini-*; empty: every one of its kind",
                        .width = 44},
        [ADD_PROJECT] = {.label = "project", .hint = "empty: the key file's", .width = 44}};
    app_ask_form(v->screen.app, "add an account", fields, 6, take_add, v);
}

/* ---- one account, at once ---- */

static void run_clear(void *state)
{
    struct accounts *v = state;
    app_run(v->screen.app, 0, "cool-down ended", WORDS("account", "clear", v->chosen));
}

static void run_remove(void *state)
{
    struct accounts *v = state;
    app_run(v->screen.app, 0, "account removed", WORDS("account", "rm", v->chosen));
}

static void run_leave(void *state)
{
    struct accounts *v = state;
    app_run(v->screen.app, 0, "left the pool", WORDS("pool", "rm", v->pool_name, v->chosen));
}

static void run_join(void *state)
{
    struct accounts *v = state;
    app_run(v->screen.app, 0, "joined the pool",
            WORDS("pool", "set", v->add[ADD_POOL], v->add[ADD_NAME]));
}

static bool take_join(void *state, struct entry *e, struct errmsg *problem)
{
    struct accounts *v = state;
    char weight[QUANTITY_TEXT], text[512];
    double w = 0;
    if (!slice_copy(entry_text(e, 0), v->add[ADD_POOL], sizeof v->add[ADD_POOL]) ||
        !name_is_valid(slice_of(v->add[ADD_POOL])))
        return err_set(problem, ERR_INVALID, "a pool's name has letters, digits and ._-") == ERR_OK;
    if (!slice_copy(entry_text(e, 1), weight, sizeof weight) || !weight_parse(weight, &w))
        return err_set(problem, ERR_INVALID,
                       "a weight is a number from 0 to 1000000, such as 3 or 0.5") == ERR_OK;
    snprintf(v->add[ADD_NAME], sizeof v->add[ADD_NAME], "%s=%s", v->chosen, weight);
    snprintf(text, sizeof text,
             "%.128s joins pool %.128s with weight %s\n\na pool of that name is made when there is "
             "none\n",
             v->chosen, v->add[ADD_POOL], weight);
    app_confirm(v->screen.app, "join this pool?", text, run_join, v);
    return true;
}

static void ask_join(struct accounts *v)
{
    static const struct entry_field fields[] = {
        {.label = "pool", .hint = "whose requests it gets, too", .width = 40},
        {.label = "weight",
         .value = "1",
         .hint = "its share is its weight by the sum of the pool's",
         .width = 12}};
    app_ask_form(v->screen.app, v->chosen, fields, 2, take_join, v);
}

static void ask_remove(struct accounts *v)
{
    char text[512];
    snprintf(text, sizeof text,
             "%.128s goes from the store, with its key, its token and its weights\n"
             "! the key cannot be brought back: undo makes no new one\n"
             "to rest it, use d (drain) or x (off)\n",
             v->chosen);
    app_confirm_typed(v->screen.app, "remove this account?", text, v->chosen, run_remove, v);
}

static void ask_leave(struct accounts *v)
{
    char text[512];
    const struct board *b = app_board(v->screen.app);
    if (v->pool >= b->pool_count)
        return;
    snprintf(v->pool_name, sizeof v->pool_name, "%s", b->pools[v->pool].name);
    snprintf(text, sizeof text, "%.128s leaves pool %.128s\n", v->chosen, v->pool_name);
    app_confirm(v->screen.app, "leave this pool?", text, run_leave, v);
}

static void show_all(struct accounts *v)
{
    app_run(v->screen.app, APP_SHOWS, v->chosen, WORDS("account", "show", v->chosen));
}

static bool is_cooling(const struct accounts *v)
{
    const struct board *b = app_board(v->screen.app);
    int at = board_account_find(b, v->chosen);
    return at >= 0 && (b->accounts[at].cool_until > b->now_s || b->accounts[at].model_cools);
}

static bool key_one(struct accounts *v, int key)
{
    char text[256];
    switch (key) {
    case TERM_ENTER:
        show_all(v);
        return true;
    case 'm':
        app_run(v->screen.app, APP_SHOWS, "mint", WORDS("account", "refresh", v->chosen));
        return true;
    case 'v':
        app_run(v->screen.app, APP_SHOWS, "test", WORDS("account", "test", v->chosen));
        return true;
    case 'c':
        if (!is_cooling(v)) {
            app_say(v->screen.app, STYLE_PLAIN, "%.128s does not cool", v->chosen);
            return true;
        }
        snprintf(text, sizeof text, "%.128s gets requests again at once\n", v->chosen);
        app_confirm(v->screen.app, "end its cool-down?", text, run_clear, v);
        return true;
    case 'o':
        ask_join(v);
        return true;
    case 'O':
        ask_leave(v);
        return true;
    case 'K':
        app_ask_key(v->screen.app, v->chosen);
        return true;
    case 'D':
        ask_remove(v);
        return true;
    default:
        return false;
    }
}

bool accounts_key(struct accounts *v, int key)
{
    static const struct {
        int key;
        row_cb cb;
        double by;
    } stagers[] = {
        {'+', add_weight, 1},         {'-', add_weight, -1},           {']', add_weight, 10},
        {'[', add_weight, -10},       {'d', set_state, ACCOUNT_DRAIN}, {'e', set_state, ACCOUNT_UP},
        {'x', set_state, ACCOUNT_OFF}};
    for (size_t i = 0; i < sizeof stagers / sizeof *stagers; i++)
        if (stagers[i].key == key) {
            for_rows(v, stagers[i].cb, stagers[i].by);
            accounts_view_update(v);
            return true;
        }
    if (key == '=' || key == 'a') {
        (key == '=' ? ask_weight : ask_add)(v);
        return true;
    }
    int row = table_row(&v->screen.table);
    if (row < 0)
        return false;
    snprintf(v->chosen, sizeof v->chosen, "%s", accounts_account(v, row)->name);
    return key_one(v, key);
}
