/* Requests: those under way as the daemon tells them, and the last ended ones from the store. */
#include "base/mem.h"
#include "ui/term.h"
#include "views/lines.h"
#include "views/list.h"
#include "views/live_internal.h"

#include <stdio.h>

enum column {
    COL_AGE,
    COL_PHASE,
    COL_CLIENT,
    COL_TARGET,
    COL_ACCOUNT,
    COL_STATUS,
    COL_MS,
    COL_UP,
    COL_DOWN,
    COL_FIRST,
    COL_PEER,
    COL_ID,
    COLUMNS
};

static const struct table_column wide[COLUMNS] = {[COL_AGE] = {"AGE", 4, 0, 4, true},
                                                  [COL_PHASE] = {"PHASE", 6, 0, 0, false},
                                                  [COL_CLIENT] = {"CLIENT", 11, 24, 0, false},
                                                  [COL_TARGET] = {"TARGET", 21, 60, 0, false},
                                                  [COL_ACCOUNT] = {"ACCOUNT", 10, 36, 1, false},
                                                  [COL_STATUS] = {"ST", 3, 0, 0, true},
                                                  [COL_MS] = {"MS", 6, 0, 0, true},
                                                  [COL_UP] = {"UP", 5, 0, 5, true},
                                                  [COL_DOWN] = {"DOWN", 5, 0, 6, true},
                                                  [COL_FIRST] = {"TTFB", 6, 0, 7, true},
                                                  [COL_PEER] = {"PEER", 21, 45, 8, false},
                                                  [COL_ID] = {"ID", 19, 0, 9, false}};
static const struct table_column narrow[COLUMNS] = {[COL_AGE] = {"AGE", 0, 0, 4, true},
                                                    [COL_PHASE] = {"PHASE", 6, 0, 0, false},
                                                    [COL_CLIENT] = {"CLIENT", 9, 24, 0, false},
                                                    [COL_TARGET] = {"TARGET", 11, 40, 1, false},
                                                    [COL_ACCOUNT] = {"ACCOUNT", 0, 0, 3, false},
                                                    [COL_STATUS] = {"ST", 3, 0, 0, true},
                                                    [COL_MS] = {"MS", 6, 0, 0, true},
                                                    [COL_UP] = {"UP", 0, 0, 5, true},
                                                    [COL_DOWN] = {"DOWN", 0, 0, 6, true},
                                                    [COL_FIRST] = {"TTFB", 0, 0, 7, true},
                                                    [COL_PEER] = {"PEER", 0, 0, 8, false},
                                                    [COL_ID] = {"ID", 0, 0, 9, false}};

static const char failures[] = "phase=FAIL";

/* ---- rows ---- */

static int64_t key_of(void *arg, int row)
{
    const struct live *v = arg;
    return v->rows[row].key;
}

/* "59s" "12m" "23h" "99d": four columns. */
static void put_age(struct table_cell *ret, int64_t ms)
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    ret->value = (double)s;
    ret->has_value = true;
    if (s < 60)
        snprintf(ret->text, sizeof ret->text, "%llds", (long long)s);
    else if (s < 3600)
        snprintf(ret->text, sizeof ret->text, "%lldm", (long long)s / 60);
    else if (s < 86400)
        snprintf(ret->text, sizeof ret->text, "%lldh", (long long)s / 3600);
    else
        snprintf(ret->text, sizeof ret->text, "%lldd", (long long)s / 86400);
}

/* Milliseconds as they are, as long as six columns hold them. */
static void put_ms(struct table_cell *ret, int64_t ms)
{
    char text[16];
    if (ms < 0)
        snprintf(ret->text, sizeof ret->text, "--");
    else if (ms < 1000000)
        snprintf(ret->text, sizeof ret->text, "%lld", (long long)ms);
    else
        snprintf(ret->text, sizeof ret->text, "%s", show_count(ms, text));
    ret->value = (double)ms;
    ret->has_value = ms >= 0;
}

static void put_bytes(struct table_cell *ret, int64_t n)
{
    char text[16];
    snprintf(ret->text, sizeof ret->text, "%s", show_count(n, text));
    ret->value = (double)n;
    ret->has_value = true;
}

static void put_status(struct table_cell *ret, const struct live_row *r)
{
    if (r->status)
        snprintf(ret->text, sizeof ret->text, "%lld", (long long)r->status);
    else
        snprintf(ret->text, sizeof ret->text, "--");
    ret->value = (double)r->status;
    ret->has_value = r->status > 0;
}

static void cell_figure(const struct live *v, const struct live_row *r, int column,
                        struct table_cell *ret)
{
    if (column == COL_AGE)
        put_age(ret, app_board(v->screen.app)->now_ms - r->when_ms);
    else if (column == COL_STATUS)
        put_status(ret, r);
    else if (column == COL_MS)
        put_ms(ret, r->ms);
    else if (column == COL_FIRST)
        put_ms(ret, r->ttfb_ms);
    else
        put_bytes(ret, column == COL_UP ? r->up : r->down);
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct live *v = arg;
    const struct live_row *r = &v->rows[row];
    bool is_phase = column == COL_PHASE || column == COL_STATUS;
    if (column == COL_PHASE)
        snprintf(ret->text, sizeof ret->text, "%s", r->phase);
    else if (column == COL_CLIENT)
        snprintf(ret->text, sizeof ret->text, "%s", *r->client ? r->client : "(none)");
    else if (column == COL_TARGET)
        live_target(r, ret->text, sizeof ret->text);
    else if (column == COL_ACCOUNT)
        live_accounts(r, ret->text, sizeof ret->text);
    else if (column == COL_PEER)
        snprintf(ret->text, sizeof ret->text, "%s", *r->peer ? r->peer : "--");
    else if (column == COL_ID)
        snprintf(ret->text, sizeof ret->text, "%s", r->id);
    else
        cell_figure(v, r, column, ret);
    ret->style = is_phase && r->has_failed ? STYLE_FAIL : r->is_live ? STYLE_PLAIN : STYLE_DIM;
}

static struct table_source source(struct live *v)
{
    return (struct table_source){.arg = v, .count = v->count, .key = key_of, .cell = cell};
}

static void update(void *state)
{
    struct live *v = state;
    table_follow_top(&v->screen.table, &v->follows);
    live_collect(v);
    struct table_source src = source(v);
    table_update(&v->screen.table, &src);
}

/* ---- drawing ---- */

static void draw_rate(struct live *v, struct canvas *c, int y)
{
    const struct feed_figures *f = feed_figures(app_feed(v->screen.app));
    uint8_t style = app_figures_style(app_is_live(v->screen.app));
    char p50[24] = "--", p95[24] = "--";
    uint32_t most = 0;
    if (!f->at_ms) {
        canvas_put(c, y, 0, c->width, STYLE_DIM, SLICE("req/s 60s --   first byte p50 -- p95 --"));
        return;
    }
    for (int i = 0; i < FEED_RATE; i++)
        most = f->rate[i] > most ? f->rate[i] : most;
    if (f->ttfb_p50_ms >= 0)
        snprintf(p50, sizeof p50, "%lld ms", (long long)f->ttfb_p50_ms);
    if (f->ttfb_p95_ms >= 0)
        snprintf(p95, sizeof p95, "%lld ms", (long long)f->ttfb_p95_ms);
    int n = c->width >= 120 ? FEED_RATE : c->width >= 70 ? c->width - 60 : 10;
    int x = canvas_putf(c, y, 0, c->width, style, "req/s %ds ", n);
    canvas_spark(c, y, x, n, style, f->rate, FEED_RATE, most);
    canvas_putf(c, y, x + n, c->width - x - n, style, " now %u max %u  first byte p50 %s p95 %s",
                f->rate[FEED_RATE - 1], most, p50, p95);
}

static void draw_summary(struct live *v, struct canvas *c, int y)
{
    static const char *const shows[] = {"all", "under way only", "ended only"};
    int x;
    if (app_is_live(v->screen.app) && feed_live(app_feed(v->screen.app))->at_ms)
        x = canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "%d under way   ", v->live_count);
    else if (app_is_live(v->screen.app))
        x = canvas_put(c, y, 0, c->width, STYLE_PLAIN, SLICE("-- under way   "));
    else
        x = canvas_put(c, y, 0, c->width, STYLE_WARN,
                       SLICE("daemon away: only requests that have ended   "));
    x += canvas_putf(c, y, x, c->width - x, STYLE_PLAIN, "shown %d of %d, %s   FOLLOW %s",
                     v->screen.table.shown, v->count, shows[v->show], v->follows ? "on" : "off");
    if (v->screen.table.filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   filter: %s",
                    v->screen.table.filter.text);
}

static void draw_detail(struct live *v, struct canvas *c, int y, int height)
{
    int row = table_row(&v->screen.table);
    struct sbuf b;
    if (row < 0 || row >= v->count || height < 1)
        return;
    sbuf_init(&b, 16384);
    live_describe(&v->rows[row], &b);
    lines_draw(c, y, height, sbuf_slice(&b));
    sbuf_finish(&b);
}

static void draw_empty(struct live *v, struct canvas *c, int y)
{
    const char *text = v->count                     ? "none passes the filter: Esc clears it"
                       : app_is_live(v->screen.app) ? "no request yet"
                                                    : "no request in the store";
    canvas_put(c, y, 1, c->width - 1, STYLE_DIM, slice_of(text));
}

#define DETAIL_LINES 8

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct live *v = state;
    struct table_source src = source(v);
    int list = height;
    if (!app_is_small(v->screen.app)) {
        draw_rate(v, c, y++);
        draw_summary(v, c, y++);
        height -= 2;
        list = screen_list_height(&v->screen, height, DETAIL_LINES);
    }
    v->screen.table_y = y;
    table_draw(&v->screen.table, &src, c, y, 0, c->width, list);
    if (v->screen.table.shown == 0)
        draw_empty(v, c, y + 1);
    if (!app_is_small(v->screen.app))
        draw_detail(v, c, y + list + 1, height - list - 1);
}

/* ---- keys ---- */

static void set_filter(struct live *v, const char *text)
{
    char problem[160];
    if (!table_filter(&v->screen.table, slice_of(text), problem, sizeof problem))
        app_say(v->screen.app, STYLE_FAIL, "ERROR  %s", problem);
    update(v);
}

static void follow(struct live *v, bool follows)
{
    v->follows = follows;
    if (follows) {
        v->screen.table.sort = -1;
        v->screen.table.cursor = 0;
    }
    update(v);
}

/* The slowest on top; again: by time. */
static void sort_slowest(struct live *v)
{
    bool was = v->screen.table.sort == COL_MS && v->screen.table.sort_is_down;
    v->screen.table.sort = was ? -1 : COL_MS;
    v->screen.table.sort_is_down = true;
    v->screen.table.cursor = v->screen.table.top = 0;
    v->screen.table.has_cursor = false;
    update(v);
}

static void end_now(void *state)
{
    struct live *v = state;
    feed_end(app_feed(v->screen.app), v->chosen);
}

static void ask_end(struct live *v, const struct live_row *r)
{
    char text[640], target[256], age[16];
    if (!r->is_live) {
        app_say(v->screen.app, STYLE_PLAIN, "it has ended already");
        return;
    }
    if (!app_is_live(v->screen.app)) {
        app_say(v->screen.app, STYLE_FAIL, "the daemon does not answer: nothing can be ended now");
        return;
    }
    live_target(r, target, sizeof target);
    snprintf(v->chosen, sizeof v->chosen, "%s", r->id);
    snprintf(text, sizeof text,
             "%s\n%s   %s\n%s for %s\n\n! the client's connection breaks off in the middle of the "
             "answer\n! the provider may have counted it already\n",
             r->id, *r->client ? r->client : "(no client)", target, r->phase,
             show_span(r->ms / 1000, age));
    app_confirm(v->screen.app, "end this request?", text, end_now, v);
}

static void show_page(struct live *v, const struct live_row *r)
{
    struct sbuf b;
    sbuf_init(&b, 16384);
    live_describe(r, &b);
    app_page(v->screen.app, "request", sbuf_slice(&b), false);
    sbuf_finish(&b);
}

static bool key_of_list(struct live *v, int key)
{
    switch (key) {
    case 'f':
        follow(v, !v->follows);
        return true;
    case 'x':
        set_filter(v, v->screen.table.filter.count &&
                              strcmp(v->screen.table.filter.text, failures) == 0
                          ? ""
                          : failures);
        return true;
    case 'm':
        sort_slowest(v);
        return true;
    case 'o':
        v->show = (enum live_show)((v->show + 1) % LIVE_SHOWS);
        update(v);
        return true;
    default:
        return false;
    }
}

static bool key(void *state, int key)
{
    struct live *v = state;
    if (key_of_list(v, key))
        return true;
    int row = table_row(&v->screen.table);
    if (row < 0 || row >= v->count)
        return key == 'K' || key == 'c' || key == TERM_ENTER;
    switch (key) {
    case 'K':
        ask_end(v, &v->rows[row]);
        return true;
    case 'c':
        app_page(v->screen.app, "request id", slice_of(v->rows[row].id), false);
        return true;
    case TERM_ENTER:
        show_page(v, &v->rows[row]);
        return true;
    default:
        return false;
    }
}

/* ---- the whole ---- */

static void init(void *state)
{
    struct live *v = state;
    v->follows = true;
}

static void finish(void *state)
{
    struct live *v = state;
    mem_free(v->rows);
}

const struct view live_view = {
    .name = "live",
    .tab = "Live",
    .board_needs = BOARD_REQUESTS,
    .feed_needs = FEED_FIGURES | FEED_LIVE,
    .keys = "{x} failures {m} slowest {o} which {f} follow {K} end {c} id {Enter} all",
    .short_keys = "{x} fail {m} slow {f}ollow {K} end {?} {q}",
    .help = "REQUESTS\n"
            "  x  failures only      m  the slowest first       o  all, under way, ended\n"
            "  f  follow the newest (moving away stops it)    Enter  everything about it\n"
            "  K  end this request   c  its id alone, for copying\n"
            "  why did a client get 401?   x, then /client=NAME: the lines below say why\n"
            "  AGE    since it began, or ended   MS  how long it took, or takes so far\n"
            "  PHASE  head model token dial send stream reply end; done, FAIL: it is over\n"
            "  ACCOUNT  a>b: a was tried before   TTFB  ms to the answer's first byte\n",
    .state_size = sizeof(struct live),
    .columns = wide,
    .narrow = narrow,
    .column_count = COLUMNS,
    .init = init,
    .finish = finish,
    .update = update,
    .draw = draw,
    .key = key};
