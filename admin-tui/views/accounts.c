/* Accounts and weights: who serves what, by how much it should, and what staged edits would do. */
#include "base/mem.h"
#include "cli/quantity.h"
#include "ui/term.h"
#include "views/accounts_internal.h"
#include "views/lines.h"
#include "views/list.h"

#include <math.h>
#include <stdio.h>

enum column {
    COL_NAME,
    COL_STATE,
    COL_WEIGHT,
    COL_EXPECT,
    COL_NEW,
    COL_ACTUAL,
    COL_DIFF,
    COL_RATE,
    COL_OPEN,
    COL_LIMITED,
    COL_ERRORS,
    COL_TOKEN,
    COL_PROJECT,
    COL_PLACE,
    COLUMNS
};

static const struct table_column wide[COLUMNS] = {[COL_NAME] = {"NAME", 11, 40, 0, false},
                                                  [COL_STATE] = {"STATE", 8, 0, 0, false},
                                                  [COL_WEIGHT] = {"WEIGHT", 6, 12, 0, false},
                                                  [COL_EXPECT] = {"EXPECT", 6, 0, 2, true},
                                                  [COL_NEW] = {">NEW", 5, 0, 4, true},
                                                  [COL_ACTUAL] = {"ACTUAL", 6, 0, 3, true},
                                                  [COL_DIFF] = {"DIFF", 5, 0, 5, true},
                                                  [COL_RATE] = {"REQ/s", 5, 0, 6, true},
                                                  [COL_OPEN] = {"INF", 3, 0, 7, true},
                                                  [COL_LIMITED] = {"429", 3, 6, 8, true},
                                                  [COL_ERRORS] = {"5xx", 3, 6, 9, true},
                                                  [COL_TOKEN] = {"TOKEN", 5, 0, 1, true},
                                                  [COL_PROJECT] = {"PROJECT", 16, 32, 10, false},
                                                  [COL_PLACE] = {"LOCATION", 12, 20, 11, false}};
static const struct table_column narrow[COLUMNS] = {
    [COL_NAME] = {"NAME", 9, 40, 0, false},       [COL_STATE] = {"ST", 5, 8, 0, false},
    [COL_WEIGHT] = {"WEIGHT", 6, 0, 0, false},    [COL_EXPECT] = {"EXP", 4, 5, 2, true},
    [COL_NEW] = {">NEW", 0, 0, 4, true},          [COL_ACTUAL] = {"ACT", 4, 5, 3, true},
    [COL_DIFF] = {"DIFF", 0, 0, 5, true},         [COL_RATE] = {"REQ/s", 0, 0, 6, true},
    [COL_OPEN] = {"INF", 0, 0, 7, true},          [COL_LIMITED] = {"429", 0, 0, 8, true},
    [COL_ERRORS] = {"5xx", 0, 0, 9, true},        [COL_TOKEN] = {"TOK", 4, 5, 1, true},
    [COL_PROJECT] = {"PROJECT", 0, 0, 10, false}, [COL_PLACE] = {"LOCATION", 0, 0, 11, false}};

/* ---- rows ---- */

const struct board_member *accounts_member(const struct accounts *v, int row)
{
    const struct board *b = app_board(v->screen.app);
    return v->pool < b->pool_count ? &b->members[b->pools[v->pool].first + row] : NULL;
}

const struct board_account *accounts_account(const struct accounts *v, int row)
{
    const struct board *b = app_board(v->screen.app);
    const struct board_member *m = accounts_member(v, row);
    return m ? &b->accounts[m->account] : row < v->loose_count ? &b->accounts[v->loose[row]] : NULL;
}

static int64_t key_of(void *arg, int row)
{
    const struct board_account *a = accounts_account(arg, row);
    return a ? a->id : 0;
}

/* What the window says is worth something: it has begun, and somebody counted. */
static bool is_seen(const struct accounts *v, const struct board_member *m)
{
    return m->figures.is_known && v->answers > 0;
}

static void put_part(const struct accounts *v, struct table_cell *ret, double part)
{
    snprintf(ret->text, sizeof ret->text, "%.*f%%", app_is_small(v->screen.app) ? 0 : 1,
             100 * part);
    ret->value = part;
    ret->has_value = true;
}

static void put_count(struct table_cell *ret, bool is_known, int64_t n)
{
    char text[16];
    snprintf(ret->text, sizeof ret->text, "%s", is_known ? show_count(n, text) : "--");
    if (is_known && n == 0)
        snprintf(ret->text, sizeof ret->text, "0");
    ret->value = (double)n;
    ret->has_value = is_known;
    ret->style = app_figures_style(is_known);
}

static void cell_weight(const struct accounts *v, const struct board_member *m,
                        struct table_cell *ret)
{
    char now[QUANTITY_TEXT], to[QUANTITY_TEXT];
    const struct board *b = app_board(v->screen.app);
    weight_print(m->weight, now);
    ret->value = m->weight;
    ret->has_value = true;
    if (!stage_has_weight(app_stage(v->screen.app), b, m)) {
        snprintf(ret->text, sizeof ret->text, "%s", now);
        return;
    }
    snprintf(ret->text, sizeof ret->text, "%s>%s", now,
             weight_print(stage_weight(app_stage(v->screen.app), b, m), to));
    ret->style = STYLE_STAGED;
}

/* A daemon that has not taken over the newest settings has not yet answered by them. */
static bool is_of_these_shares(const struct accounts *v)
{
    return !app_is_live(v->screen.app) || feed_figures(app_feed(v->screen.app))->generation >=
                                              app_board(v->screen.app)->generation;
}

static void cell_diff(const struct accounts *v, const struct board_member *m, int row,
                      struct table_cell *ret)
{
    double expected = v->expected[row], seen = (double)m->figures.requests / (double)v->answers;
    bool is_off = expected > 0 && is_of_these_shares(v) &&
                  share_is_off(expected, m->figures.requests, v->answers);
    if (expected <= 0 && m->figures.requests == 0)
        snprintf(ret->text, sizeof ret->text, "--");
    else if (expected <= 0)
        snprintf(ret->text, sizeof ret->text, "left"); /* of before it was drained */
    else
        snprintf(ret->text, sizeof ret->text, "%+.*f%s", fabs(seen - expected) < 0.0995 ? 1 : 0,
                 100 * (seen - expected), is_off ? "!" : "");
    if (is_off)
        ret->style = STYLE_WARN;
    ret->value = seen - expected;
    ret->has_value = true;
}

static void cell_member(const struct accounts *v, const struct board_member *m, int row, int column,
                        struct table_cell *ret)
{
    const struct board_figures *f = &m->figures;
    snprintf(ret->text, sizeof ret->text, "--"); /* what nobody can tell */
    if (column == COL_WEIGHT)
        cell_weight(v, m, ret);
    else if (column == COL_EXPECT)
        put_part(v, ret, v->expected[row]);
    else if (column == COL_NEW && app_stage(v->screen.app)->count)
        put_part(v, ret, v->after[row]);
    else if (column == COL_LIMITED)
        put_count(ret, f->is_known, f->limited);
    else if (column == COL_ERRORS)
        put_count(ret, f->is_known, f->errors);
    else if (column == COL_OPEN)
        put_count(ret, f->is_known && f->open >= 0, f->open);
    else if (column == COL_RATE && f->is_known && f->recent_s > 0) {
        ret->value = (double)f->recent / (double)f->recent_s;
        ret->has_value = true;
        snprintf(ret->text, sizeof ret->text, "%.1f", ret->value);
    } else if (column == COL_ACTUAL && is_seen(v, m))
        put_part(v, ret, (double)f->requests / (double)v->answers);
    else if (column == COL_DIFF && is_seen(v, m))
        cell_diff(v, m, row, ret);
    bool is_figure = column >= COL_ACTUAL && column <= COL_ERRORS;
    if (is_figure && !app_is_live(v->screen.app))
        ret->style = STYLE_DIM;
}

static void cell_state(const struct accounts *v, const struct board_account *a,
                       struct table_cell *ret)
{
    static const char *const words[] = {"up", "drain", "off"};
    const struct stage *s = app_stage(v->screen.app);
    char text[16];
    ret->style = show_account_state(app_board(v->screen.app), a, text);
    snprintf(ret->text, sizeof ret->text, "%s", text);
    if (stage_has_state(s, a)) {
        snprintf(ret->text, sizeof ret->text, ">%s", words[stage_state(s, a)]);
        ret->style = STYLE_STAGED;
    }
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct accounts *v = arg;
    const struct board_account *a = accounts_account(v, row);
    const struct board_member *m = accounts_member(v, row);
    char text[16];
    if (!a) /* rows are of the board; one that is gone is blank until the table is made anew */
        return;
    if (column == COL_NAME) {
        snprintf(ret->text, sizeof ret->text, "%s", a->name);
    } else if (column == COL_STATE) {
        cell_state(v, a, ret);
    } else if (column == COL_TOKEN) {
        ret->style = show_token_left(app_board(v->screen.app), a, text);
        snprintf(ret->text, sizeof ret->text, "%s", text);
        ret->has_value = a->token != NULL;
        ret->value = a->token ? (double)a->token->expires_at : 0;
    } else if (column == COL_PROJECT) {
        snprintf(ret->text, sizeof ret->text, "%s", *a->project ? a->project : a->host);
    } else if (column == COL_PLACE) {
        snprintf(ret->text, sizeof ret->text, "%s", *a->location ? a->location : "any");
    } else if (m) {
        cell_member(v, m, row, column, ret);
    } else {
        snprintf(ret->text, sizeof ret->text, "--");
    }
}

struct table_source accounts_source(struct accounts *v)
{
    const struct board *b = app_board(v->screen.app);
    int count = v->pool < b->pool_count ? b->pools[v->pool].count : v->loose_count;
    return (struct table_source){.arg = v, .count = count, .key = key_of, .cell = cell};
}

/* ---- update ---- */

/* Accounts that are in no pool: nobody's requests reach them. */
static void find_loose(struct accounts *v)
{
    const struct board *b = app_board(v->screen.app);
    int *loose = mem_realloc(v->loose, ((size_t)b->account_count + 1) * sizeof *loose);
    v->loose_count = 0;
    if (!loose)
        return;
    v->loose = loose;
    for (int i = 0; i < b->account_count; i++) {
        bool is_member = false;
        for (int k = 0; k < b->member_count && !is_member; k++)
            is_member = b->members[k].account == i;
        if (!is_member)
            v->loose[v->loose_count++] = i;
    }
}

static int pool_choices(const struct accounts *v)
{
    return app_board(v->screen.app)->pool_count + (v->loose_count > 0);
}

/* The pool chosen stays chosen, whatever others come and go; at first the first one that has
 * members. */
static void find_pool(struct accounts *v)
{
    const struct board *b = app_board(v->screen.app);
    int at = *v->pool_name ? board_pool_find(b, v->pool_name) : -1;
    for (int i = 0; at < 0 && !v->wants_loose && i < b->pool_count; i++)
        if (b->pools[i].count)
            at = i;
    if (v->wants_loose && v->loose_count)
        at = b->pool_count;
    v->pool = at >= 0 ? at : 0;
}

static void sum_answers(struct accounts *v, const struct board *b, const struct board_pool *p)
{
    v->answers = v->window_s = 0;
    v->eligible = 0;
    for (int i = 0; i < p->count; i++) {
        const struct board_figures *f = &b->members[p->first + i].figures;
        v->answers += f->is_known ? f->requests : 0;
        v->window_s = f->is_known && f->window_s > v->window_s ? f->window_s : v->window_s;
        v->eligible += v->expected[i] > 0;
    }
}

static void update(void *state)
{
    struct accounts *v = state;
    const struct board *b = app_board(v->screen.app);
    find_loose(v);
    find_pool(v);
    if (v->pool < b->pool_count) {
        const struct board_pool *p = &b->pools[v->pool];
        double *shares = mem_realloc(v->expected, ((size_t)p->count * 2 + 1) * sizeof *shares);
        if (!shares)
            return;
        v->expected = shares;
        v->after = shares + p->count;
        for (int i = 0; i < 2 * p->count; i++)
            shares[i] = 0;
        share_expected(b, p, NULL, v->expected);
        share_expected(b, p, app_stage(v->screen.app), v->after);
        sum_answers(v, b, p);
    }
    struct table_source src = accounts_source(v);
    table_update(&v->screen.table, &src);
}

void accounts_view_update(struct accounts *v)
{
    update(v);
}

/* ---- drawing ---- */

static void draw_summary(struct accounts *v, struct canvas *c, int y)
{
    const struct board *b = app_board(v->screen.app);
    char window[16], n[16], at[32] = "";
    if (pool_choices(v) > 1)
        snprintf(at, sizeof at, " (%d of %d, P next)", v->pool + 1, pool_choices(v));
    if (v->pool >= b->pool_count) {
        canvas_putf(c, y, 0, c->width, STYLE_PLAIN,
                    "In no pool%s   %d account%s that nobody's requests reach", at, v->loose_count,
                    v->loose_count == 1 ? "" : "s");
        return;
    }
    const struct board_pool *p = &b->pools[v->pool];
    int x =
        canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "Pool %.32s%s   %d accounts, %d eligible   ",
                    p->name, at, p->count, v->eligible);
    if (v->window_s)
        x += canvas_putf(c, y, x, c->width - x, app_figures_style(app_is_live(v->screen.app)),
                         "window %s n=%s", show_span(v->window_s, window),
                         show_count(v->answers, n));
    else
        x += canvas_put(c, y, x, c->width - x, STYLE_DIM, SLICE("window --"));
    if (v->screen.table.filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   filter: %s",
                    v->screen.table.filter.text);
}

/* One line of segments, each as wide as its share and named where there is room. */
static void draw_segments(struct accounts *v, struct canvas *c, int y, const char *label,
                          const double *parts, uint8_t style)
{
    const struct board *b = app_board(v->screen.app);
    const struct board_pool *p = &b->pools[v->pool];
    int begin = 15, room = c->width - begin - 2;
    double sum = 0;
    canvas_put(c, y, 1, 14, STYLE_PLAIN, slice_of(label));
    canvas_put(c, y, begin - 1, 1, STYLE_PLAIN, SLICE("|"));
    int at = 0;
    for (int i = 0; i < p->count; i++) {
        sum += parts[i];
        int to = (int)(sum * room + 0.5);
        if (to <= at)
            continue;
        int n = to - at;
        for (int k = 0; k < n; k++)
            canvas_put(c, y, begin + at + k, 1, style, SLICE("#"));
        struct slice name = slice_of(b->accounts[b->members[p->first + i].account].name);
        if ((int)name.n + 2 <= n)
            canvas_put(c, y, begin + at + (n - (int)name.n) / 2, (int)name.n, style, name);
        if (to < room)
            canvas_put(c, y, begin + to - 1, 1, STYLE_PLAIN, SLICE("|"));
        at = to;
    }
    canvas_put(c, y, begin + room, 1, STYLE_PLAIN, SLICE("|"));
}

static void draw_bars(struct accounts *v, struct canvas *c, int y)
{
    const struct board *b = app_board(v->screen.app);
    const struct board_pool *p = &b->pools[v->pool];
    draw_segments(v, c, y++, "expected now", v->expected, STYLE_PLAIN);
    double *seen = v->answers > 0 ? mem_calloc((size_t)p->count, sizeof *seen) : NULL;
    for (int i = 0; seen && i < p->count; i++)
        seen[i] = (double)b->members[p->first + i].figures.requests / (double)v->answers;
    if (seen)
        draw_segments(v, c, y, "actual", seen, app_figures_style(app_is_live(v->screen.app)));
    else
        canvas_put(c, y, 1, c->width, STYLE_DIM, SLICE("actual        --"));
    mem_free(seen);
    if (app_stage(v->screen.app)->count)
        draw_segments(v, c, y + 1, "after apply", v->after, STYLE_STAGED);
}

static void draw_detail(struct accounts *v, struct canvas *c, int y, int height)
{
    int row = table_row(&v->screen.table);
    if (row < 0 || height < 1)
        return;
    struct sbuf b;
    sbuf_init(&b, 8192);
    accounts_describe(v, row, &b);
    lines_draw(c, y, height, sbuf_slice(&b));
    sbuf_finish(&b);
}

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct accounts *v = state;
    struct table_source src = accounts_source(v);
    bool is_small = app_is_small(v->screen.app);
    if (!is_small) {
        draw_summary(v, c, y++);
        height--;
    }
    int list = src.count + 1, least = height < 13 ? height : 13;
    if (is_small)
        list = height;
    else if (list > least && height - list < 7)
        list = height - 7 > least ? height - 7 : least;
    v->screen.table_y = y;
    table_draw(&v->screen.table, &src, c, y, 0, c->width, list < height ? list : height);
    if (src.count == 0)
        canvas_put(c, y + 1, 1, c->width, STYLE_DIM, SLICE("no account yet: a adds one"));
    y += list + 1;
    height -= list + 1;
    if (height >= 3 && v->pool < app_board(v->screen.app)->pool_count && src.count) {
        draw_bars(v, c, y);
        y += app_stage(v->screen.app)->count ? 4 : 3;
        height -= app_stage(v->screen.app)->count ? 4 : 3;
    }
    draw_detail(v, c, y, height);
}

/* ---- keys ---- */

static void next_pool(struct accounts *v, int by)
{
    const struct board *b = app_board(v->screen.app);
    int n = pool_choices(v);
    if (n == 0)
        return;
    v->pool = (v->pool + by + n) % n;
    v->wants_loose = v->pool >= b->pool_count;
    snprintf(v->pool_name, sizeof v->pool_name, "%s", v->wants_loose ? "" : b->pools[v->pool].name);
    v->screen.table.has_cursor = false;
    v->screen.table.cursor = v->screen.table.top = 0;
    table_unmark(&v->screen.table);
    update(v);
}

static bool key(void *state, int key)
{
    struct accounts *v = state;
    if (key == 'P' || key == TERM_RIGHT)
        next_pool(v, 1);
    else if (key == TERM_LEFT)
        next_pool(v, -1);
    else
        return accounts_key(v, key);
    return true;
}

static void init(void *state)
{
    struct accounts *v = state;
    sbuf_init(&v->pasted, 1 << 16);
}

static void finish(void *state)
{
    struct accounts *v = state;
    sbuf_finish_wipe(&v->pasted);
    mem_free(v->expected);
    mem_free(v->loose);
}

const struct view accounts_view = {
    .name = "accounts",
    .tab = "Accts",
    .board_needs = BOARD_ACCOUNTS | BOARD_TOKENS,
    .feed_needs = FEED_FIGURES,
    .keys = "{+ -} 1 {] [} 10 {=} set {d} drain {e} enable {x} off {a} add {w} apply {u} undo",
    .short_keys = "{+ - =} {d}rain {e} on {x} off {w} {?} {q}",
    .help = "ACCOUNTS AND WEIGHTS\n"
            "  + -  weight by 1      ] [  by 10        =  type a weight or a share:\n"
            "     5 the weight, 40% its share of the pool, +20% -20% so many points\n"
            "  d  drain (no new requests)  e  enable   x  off\n"
            "       all of these are staged: w reviews, y applies, Esc drops\n"
            "  P  arrows  next pool  o  join or move to a pool   O  leave this pool\n"
            "  a  add an account     K  replace its key   D  remove it\n"
            "  c  end its cool-down  m  mint a token now   v  try it\n"
            "  Enter  everything about it\n",
    .state_size = sizeof(struct accounts),
    .columns = wide,
    .narrow = narrow,
    .column_count = COLUMNS,
    .init = init,
    .finish = finish,
    .update = update,
    .draw = draw,
    .key = key};
