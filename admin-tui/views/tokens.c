/* Tokens: how long each is good, and why one cannot be had. Their text never gets here: the board
 * knows fingerprints only. */
#include "base/mem.h"
#include "conf/conf.h"
#include "ui/term.h"
#include "views/app.h"
#include "views/lines.h"
#include "views/list.h"
#include "views/token_words.h"

#include <stdio.h>

#define SCOPE_PREFIX "https://www.googleapis.com/auth/"
#define BAR 10

enum column {
    COL_NAME,
    COL_SCOPE,
    COL_TIER,
    COL_LEFT,
    COL_LIFE,
    COL_MINTS,
    COL_MS,
    COL_STATE,
    COL_FAILS,
    COL_NEXT,
    COL_PRINT,
    COL_ERROR,
    COLUMNS
};

static const struct table_column wide[COLUMNS] = {
    [COL_NAME] = {"ACCOUNT", 12, 30, 0, false},    [COL_SCOPE] = {"SCOPE", 16, 24, 5, false},
    [COL_TIER] = {"TIER", 4, 0, 4, false},         [COL_LEFT] = {"LEFT", 6, 0, 0, true},
    [COL_LIFE] = {"OF ITS LIFE", 12, 0, 3, false}, [COL_MINTS] = {"MINTS", 5, 7, 2, true},
    [COL_MS] = {"MINT ms", 7, 0, 6, true},         [COL_STATE] = {"STATE", 10, 0, 0, false},
    [COL_FAILS] = {"FAILED", 6, 0, 7, true},       [COL_NEXT] = {"NEXT TRY", 8, 0, 8, true},
    [COL_PRINT] = {"PRINT", 8, 0, 9, false},       [COL_ERROR] = {"LAST ERROR", 20, 90, 10, false}};
static const struct table_column narrow[COLUMNS] = {
    [COL_NAME] = {"ACCOUNT", 12, 40, 0, false},   [COL_SCOPE] = {"SCOPE", 0, 0, 5, false},
    [COL_TIER] = {"TIER", 0, 0, 4, false},        [COL_LEFT] = {"LEFT", 6, 0, 0, true},
    [COL_LIFE] = {"OF ITS LIFE", 0, 0, 3, false}, [COL_MINTS] = {"MINTS", 5, 0, 2, true},
    [COL_MS] = {"MINT ms", 0, 0, 6, true},        [COL_STATE] = {"STATE", 10, 0, 0, false},
    [COL_FAILS] = {"FAILED", 0, 0, 7, true},      [COL_NEXT] = {"NEXT TRY", 0, 0, 8, true},
    [COL_PRINT] = {"PRINT", 0, 0, 9, false},      [COL_ERROR] = {"LAST ERROR", 0, 0, 10, false}};

struct tokens {
    struct screen screen;
    bool is_utf8;    /* of the canvas drawn last */
    bool *in_memory; /* by account: a worker has its token */
    int memory_count, memory_space;
    char chosen[STAGE_NAME];
};

/* ---- what is so ---- */

enum state {
    STATE_KEY,     /* an API key: there is no token */
    STATE_OK,      /* good for a while */
    STATE_RENEW,   /* good, and renewed as soon as somebody uses it */
    STATE_FAILING, /* good, but its renewal failed */
    STATE_FAIL,    /* none, and none can be had */
    STATE_IDLE,    /* the last one ended; nobody has asked since */
    STATE_NONE     /* nobody ever asked */
};

static int64_t seconds_left(const struct board *b, const struct board_token *t)
{
    return t && t->has_token && t->expires_at > b->now_s ? t->expires_at - b->now_s : 0;
}

static enum state state_of(const struct tokens *v, const struct board_account *a)
{
    const struct board *b = app_board(v->screen.app);
    const struct board_token *t = a->token;
    int64_t left = seconds_left(b, t);
    if (a->kind == ACCOUNT_API_KEY)
        return STATE_KEY;
    if (t && t->fails)
        return left ? STATE_FAILING : STATE_FAIL;
    if (left)
        return left <= app_conf(v->screen.app)->oauth.early_refresh ? STATE_RENEW : STATE_OK;
    return t && t->mints ? STATE_IDLE : STATE_NONE;
}

static void put_state(const struct tokens *v, enum state s, struct table_cell *ret)
{
    static const struct {
        const char *word;
        uint8_t style;
    } words[] = {
        [STATE_KEY] = {"key", STYLE_PLAIN},     [STATE_OK] = {"ok", STYLE_PLAIN},
        [STATE_RENEW] = {"renew", STYLE_PLAIN}, [STATE_FAILING] = {"renew FAIL", STYLE_WARN},
        [STATE_FAIL] = {"FAIL", STYLE_FAIL},    [STATE_IDLE] = {"idle", STYLE_DIM},
        [STATE_NONE] = {"none", STYLE_DIM}};
    char span[16];
    snprintf(ret->text, sizeof ret->text, "%s", words[s].word);
    if (s == STATE_RENEW)
        snprintf(ret->text, sizeof ret->text, "renew <%s",
                 show_span(app_conf(v->screen.app)->oauth.early_refresh, span));
    ret->style = words[s].style;
}

/* ---- cells ---- */

/* "41m07s": the filter understands it, and it has the same length all the time. */
static char *show_left(int64_t s, char buf[16])
{
    if (s < 3600)
        snprintf(buf, 16, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    else
        show_span(s, buf);
    return buf;
}

static void put_bar(const struct tokens *v, const struct board_token *t, int64_t left,
                    struct table_cell *ret)
{
    int64_t life = t ? t->expires_at - t->minted_at : 0;
    int full = life > 0 ? (int)((left * BAR + life / 2) / life) : 0;
    size_t at = 0;
    full = full > BAR ? BAR : full == 0 && left ? 1 : full;
    ret->text[at++] = '[';
    for (int i = 0; i < BAR; i++) {
        const char *mark =
            i < full ? (v->is_utf8 ? "\xe2\x96\x88" : "#") : (v->is_utf8 ? "\xc2\xb7" : ".");
        at += (size_t)snprintf(ret->text + at, sizeof ret->text - at, "%s", mark);
    }
    snprintf(ret->text + at, sizeof ret->text - at, "]");
}

static void put_number(struct table_cell *ret, bool is_known, int64_t n)
{
    char text[16];
    snprintf(ret->text, sizeof ret->text, "%s", !is_known ? "--" : n ? show_count(n, text) : "0");
    ret->value = (double)n;
    ret->has_value = is_known;
    ret->style = is_known ? STYLE_PLAIN : STYLE_DIM;
}

static void put_dash(struct table_cell *ret)
{
    snprintf(ret->text, sizeof ret->text, "--");
    ret->style = STYLE_DIM;
}

/* The first scope without what they all begin with, and how many more. */
static void put_scope(const struct board_token *t, struct table_cell *ret)
{
    struct slice rest = slice_of(t->scope), first, one;
    int more = 0;
    if (!slice_next(&rest, ' ', &first)) {
        put_dash(ret);
        return;
    }
    while (slice_next(&rest, ' ', &one))
        more += one.n > 0;
    if (slice_starts(first, SLICE(SCOPE_PREFIX)))
        first = slice_sub(first, sizeof SCOPE_PREFIX - 1, first.n);
    if (more)
        snprintf(ret->text, sizeof ret->text, "%.*s+%d", (int)(first.n < 100 ? first.n : 100),
                 first.p, more);
    else
        snprintf(ret->text, sizeof ret->text, "%.*s", (int)(first.n < 100 ? first.n : 100),
                 first.p);
}

static void cell_token(const struct tokens *v, const struct board_token *t, int row, int column,
                       struct table_cell *ret)
{
    const struct board *b = app_board(v->screen.app);
    int64_t left = seconds_left(b, t);
    char text[16];
    if (column == COL_SCOPE)
        put_scope(t, ret);
    else if (column == COL_TIER && left)
        snprintf(ret->text, sizeof ret->text, "%s",
                 row < v->memory_count && v->in_memory[row] ? "mem" : "db");
    else if (column == COL_LEFT && left) {
        snprintf(ret->text, sizeof ret->text, "%s", show_left(left, text));
        ret->value = (double)left;
        ret->has_value = true;
    } else if (column == COL_MINTS)
        put_number(ret, true, t->mints);
    else if (column == COL_MS)
        put_number(ret, t->mints > 0, t->mint_ms);
    else if (column == COL_FAILS)
        put_number(ret, true, t->fails);
    else if (column == COL_NEXT && t->fails)
        snprintf(ret->text, sizeof ret->text, "%s",
                 show_span(t->retry_at > b->now_s ? t->retry_at - b->now_s : 0, text));
    else if (column == COL_PRINT && left)
        snprintf(ret->text, sizeof ret->text, "%s", t->fingerprint);
    else if (column == COL_ERROR && t->fails)
        snprintf(ret->text, sizeof ret->text, "%.180s", t->last_error);
    else
        put_dash(ret);
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct tokens *v = arg;
    const struct board *b = app_board(v->screen.app);
    const struct board_account *a = &b->accounts[row];
    const struct board_token *t = a->kind == ACCOUNT_API_KEY ? NULL : a->token;
    if (column == COL_NAME)
        snprintf(ret->text, sizeof ret->text, "%s", a->name);
    else if (column == COL_STATE)
        put_state(v, state_of(v, a), ret);
    else if (column == COL_LIFE && a->kind != ACCOUNT_API_KEY)
        put_bar(v, t, seconds_left(b, t), ret);
    else if (t)
        cell_token(v, t, row, column, ret);
    else
        put_dash(ret);
}

static int64_t key_of(void *arg, int row)
{
    const struct tokens *v = arg;
    return app_board(v->screen.app)->accounts[row].id;
}

static struct table_source source(struct tokens *v)
{
    return (struct table_source){
        .arg = v, .count = app_board(v->screen.app)->account_count, .key = key_of, .cell = cell};
}

/* Without memory for it, or without a daemon that tells: none is known to be there. */
static void note_memory(struct tokens *v)
{
    const struct board *b = app_board(v->screen.app);
    const struct feed_figures *f = feed_figures(app_feed(v->screen.app));
    v->memory_count = 0;
    if (b->account_count > v->memory_space) {
        bool *more = mem_realloc(v->in_memory, (size_t)b->account_count * sizeof *more);
        if (!more)
            return;
        v->in_memory = more;
        v->memory_space = b->account_count;
    }
    v->memory_count = b->account_count;
    for (int i = 0; i < v->memory_count; i++)
        v->in_memory[i] = false;
    for (int i = 0; app_is_live(v->screen.app) && i < f->member_count; i++) {
        int at = f->members[i].held > 0 ? board_account_find(b, f->members[i].account) : -1;
        if (at >= 0)
            v->in_memory[at] = true;
    }
}

static void update(void *state)
{
    struct tokens *v = state;
    struct table_source src = source(v);
    note_memory(v);
    table_update(&v->screen.table, &src);
}

static void finish(void *state)
{
    struct tokens *v = state;
    mem_free(v->in_memory);
}

/* ---- in words ---- */

static void describe_clock(const struct tokens *v, struct sbuf *out)
{
    const struct feed_figures *f = feed_figures(app_feed(v->screen.app));
    char words[96];
    if (!app_is_live(v->screen.app))
        sbuf_adds(out, "clock of this host against the token endpoint's: -- (the daemon knows)\n");
    else if (!f->has_skew)
        sbuf_adds(out, "clock of this host against the token endpoint's: -- (no answer yet)\n");
    else
        sbuf_addf(out, "%sclock of this host against the token endpoint's: %s\n",
                  token_clock_is_off(f->clock_skew_s) ? "! " : "",
                  token_clock_words(f->clock_skew_s, words));
}

static void describe_failure(const struct board *b, const struct board_token *t, struct sbuf *out)
{
    char span[16];
    const struct token_words *w = token_words(t->last_error);
    int64_t wait = t->retry_at > b->now_s ? t->retry_at - b->now_s : 0;
    sbuf_addf(out, "! %lld mint%s failed in a row", (long long)t->fails, t->fails == 1 ? "" : "s");
    if (wait)
        sbuf_addf(out, "   next try in %s at the earliest\n", show_span(wait, span));
    else
        sbuf_adds(out, "   the next request that needs it tries again\n");
    sbuf_addf(out, "  said: %s\n", *t->last_error ? t->last_error : "--");
    sbuf_addf(out, "  likely: %s\n", w->likely);
    sbuf_addf(out, "  next step: %s\n", w->step);
}

static void describe_token(const struct board *b, const struct board_token *t, struct sbuf *out)
{
    char left[16], end[16], age[16];
    int64_t s = seconds_left(b, t);
    if (s) {
        sbuf_addf(out, "token %s   good for %s, to %s", t->fingerprint, show_left(s, left),
                  show_time(t->expires_at, b->now_s, end));
        sbuf_addf(out, "   minted %s ago in %lld ms\n", show_span(b->now_s - t->minted_at, age),
                  (long long)t->mint_ms);
    } else if (t && t->mints) {
        sbuf_addf(out, "no token now: the last one was minted %s ago\n",
                  show_span(b->now_s - t->minted_at, age));
    }
}

static void describe_rest(const struct tokens *v, const struct board_account *a, enum state s,
                          struct sbuf *out)
{
    char span[16];
    if (a->state == ACCOUNT_OFF)
        sbuf_adds(out, "it is off: nobody's requests ask for a token of it\n");
    else if (s == STATE_IDLE || s == STATE_NONE)
        sbuf_adds(out, "the next request that needs one mints it, or m does now\n");
    else if (s == STATE_OK || s == STATE_RENEW)
        sbuf_addf(out, "renewed in the background when it is used in its last %s\n",
                  show_span(app_conf(v->screen.app)->oauth.early_refresh, span));
}

static void describe(const struct tokens *v, int row, struct sbuf *out)
{
    const struct board *b = app_board(v->screen.app);
    const struct board_account *a = &b->accounts[row];
    enum state s = state_of(v, a);
    sbuf_addf(out, "%s   %s", a->name, *a->email ? a->email : a->host);
    if (a->kind == ACCOUNT_API_KEY) {
        sbuf_addf(out, "   key %s\nan API key goes out as it is: nothing is minted, nothing ends\n",
                  *a->key_fingerprint ? a->key_fingerprint : "--");
        return;
    }
    sbuf_addf(out, "   key %.8s%s\n", *a->key_id ? a->key_id : "--",
              strlen(a->key_id) > 8 ? ".." : "");
    if (s == STATE_FAIL || s == STATE_FAILING)
        describe_failure(b, a->token, out);
    describe_token(b, a->token, out);
    describe_rest(v, a, s, out);
    describe_clock(v, out);
}

/* ---- drawing ---- */

static void count_states(const struct tokens *v, int ret[STATE_NONE + 1])
{
    const struct board *b = app_board(v->screen.app);
    for (int i = 0; i < b->account_count; i++)
        ret[state_of(v, &b->accounts[i])]++;
}

/* Of the requests that needed a token since the daemon began. */
static void draw_hits(const struct tokens *v, struct canvas *c, int y, int x)
{
    const struct feed_figures *f = feed_figures(app_feed(v->screen.app));
    double sum = (double)f->tokens_memory + (double)f->tokens_store + (double)f->mints;
    char mints[16], failed[16];
    uint8_t style = app_figures_style(app_is_live(v->screen.app));
    if (!f->at_ms || sum <= 0) {
        canvas_put(c, y, x, c->width - x, STYLE_DIM,
                   SLICE("served from memory --  db --  mint --"));
        return;
    }
    canvas_putf(c, y, x, c->width - x, style, "memory %.2f%%  db %.2f%%  mints %s, failed %s",
                100 * (double)f->tokens_memory / sum, 100 * (double)f->tokens_store / sum,
                f->mints ? show_count(f->mints, mints) : "0",
                f->mint_failures ? show_count(f->mint_failures, failed) : "0");
}

static void draw_summary(const struct tokens *v, struct canvas *c, int y)
{
    int n[STATE_NONE + 1] = {0};
    count_states(v, n);
    int x = canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "Tokens  %d ok  ",
                        n[STATE_OK] + n[STATE_RENEW]);
    int failing = n[STATE_FAIL] + n[STATE_FAILING];
    x += canvas_putf(c, y, x, c->width - x, failing ? STYLE_FAIL : STYLE_PLAIN, "%d FAIL", failing);
    x += canvas_putf(c, y, x, c->width - x, STYLE_PLAIN, "  %d idle   ",
                     n[STATE_IDLE] + n[STATE_NONE]);
    if (v->screen.table.filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "filter: %s", v->screen.table.filter.text);
    else
        draw_hits(v, c, y, x);
}

static void draw_detail(struct tokens *v, struct canvas *c, int y, int height)
{
    struct sbuf b;
    int row = table_row(&v->screen.table);
    if (row < 0 || height < 1)
        return;
    sbuf_init(&b, 8192);
    describe(v, row, &b);
    lines_draw(c, y, height, sbuf_slice(&b));
    sbuf_finish(&b);
}

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct tokens *v = state;
    struct table_source src = source(v);
    v->is_utf8 = c->is_utf8;
    if (!app_is_small(v->screen.app)) {
        draw_summary(v, c, y++);
        height--;
    }
    int list = height;
    if (!app_is_small(v->screen.app))
        list = screen_list_height(&v->screen, height, 8);
    v->screen.table_y = y;
    table_draw(&v->screen.table, &src, c, y, 0, c->width, list);
    if (src.count == 0)
        canvas_put(c, y + 1, 1, c->width - 1, STYLE_DIM,
                   SLICE("no account yet: a on screen 1 adds one"));
    draw_detail(v, c, y + list + 1, height - list - 1);
}

/* ---- keys ---- */

static void run_forget(void *state)
{
    struct tokens *v = state;
    app_run(v->screen.app, 0, "token forgotten", WORDS("account", "forget", v->chosen));
}

static void ask_forget(struct tokens *v)
{
    char text[512];
    snprintf(text, sizeof text,
             "%.128s: its token goes from the store and from the daemon's memory\n\n"
             "requests under way go on; the next one that needs a token mints one\n",
             v->chosen);
    app_confirm(v->screen.app, "forget this token?", text, run_forget, v);
}

static bool key_of_account(struct tokens *v, const struct board_account *a, int key)
{
    bool is_key = a->kind == ACCOUNT_API_KEY;
    snprintf(v->chosen, sizeof v->chosen, "%s", a->name);
    switch (key) {
    case TERM_ENTER:
        app_run(v->screen.app, APP_SHOWS, v->chosen, WORDS("account", "show", v->chosen));
        return true;
    case 'm':
    case 'D':
        if (is_key)
            app_say(v->screen.app, STYLE_PLAIN, "an API key has no token");
        else if (key == 'D')
            ask_forget(v);
        else
            app_run(v->screen.app, APP_SHOWS, "mint", WORDS("account", "refresh", v->chosen));
        return true;
    case 'v':
        app_run(v->screen.app, APP_SHOWS, "test", WORDS("account", "test", v->chosen));
        return true;
    case 'K':
        if (is_key)
            app_say(v->screen.app, STYLE_PLAIN,
                    "an API key is replaced on the command line: credswap account key %.64s -",
                    v->chosen);
        else
            app_ask_key(v->screen.app, v->chosen);
        return true;
    default:
        return false;
    }
}

static bool key(void *state, int key)
{
    struct tokens *v = state;
    int row = table_row(&v->screen.table);
    return row >= 0 && key_of_account(v, &app_board(v->screen.app)->accounts[row], key);
}

/* ---- the view ---- */

const struct view tokens_view = {
    .name = "tokens",
    .tab = "Tokens",
    .board_needs = BOARD_ACCOUNTS | BOARD_TOKENS,
    .feed_needs = FEED_FIGURES,
    .keys = "{m} mint now  {v} verify  {D} forget  {K} replace key  {Enter} all",
    .short_keys = "{m}int {v}erify {D}rop {K}ey {?} {q}",
    .help = "TOKENS\n"
            "  m  mint a token now          v  does its key work?\n"
            "  D  forget the cached token   K  give the account a new key file\n"
            "  Enter  everything about the account\n"
            "  TIER   mem: a worker has it in memory   db: the store has it\n"
            "  ok     good        renew <5m  good, renewed when somebody uses it\n"
            "  idle   its last token ended and nobody asked since\n"
            "  none   nobody ever asked      key  an API key: there is no token\n"
            "  FAIL   none can be had: likely cause and next step stand below the list\n"
            "  renew FAIL  still good, but its renewal failed\n"
            "  A token's text is never shown, only its fingerprint.\n",
    .state_size = sizeof(struct tokens),
    .columns = wide,
    .narrow = narrow,
    .column_count = COLUMNS,
    .finish = finish,
    .update = update,
    .draw = draw,
    .key = key};
