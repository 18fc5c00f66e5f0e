/* Events: who changed what, what people should know, and what is good to know; newest first. */
#include "base/mem.h"
#include "views/events_internal.h"
#include "views/lines.h"
#include "views/list.h"

#include <stdio.h>
#include <stdlib.h>

enum column {
    COL_TIME,
    COL_KIND,
    COL_WHO,
    COL_TIMES,
    COL_WHAT,
    COL_VERSION,
    COLUMNS
};

static const struct table_column wide[COLUMNS] = {
    [COL_TIME] = {"TIME", 11, 0, 0, false},   [COL_KIND] = {"KIND", 5, 0, 3, false},
    [COL_WHO] = {"WHO", 12, 0, 0, false},     [COL_TIMES] = {"xN", 4, 0, 2, true},
    [COL_WHAT] = {"WHAT", 20, 200, 0, false}, [COL_VERSION] = {"VER", 5, 0, 4, true}};
static const struct table_column narrow[COLUMNS] = {
    [COL_TIME] = {"TIME", 5, 0, 0, false},    [COL_KIND] = {"KIND", 0, 0, 3, false},
    [COL_WHO] = {"WHO", 8, 0, 0, false},      [COL_TIMES] = {"xN", 0, 0, 2, true},
    [COL_WHAT] = {"WHAT", 20, 200, 0, false}, [COL_VERSION] = {"VER", 0, 0, 4, true}};

/* ---- rows ---- */

unsigned events_kind_of(const struct board_event *e)
{
    if (strcmp(e->kind, "audit") == 0)
        return EVENTS_AUDIT;
    return strcmp(e->kind, "alarm") == 0 ? EVENTS_ALARM : EVENTS_INFO;
}

const struct board_event *events_event(const struct events *v, int row)
{
    const struct board *b = app_board(v->screen.app);
    bool is_there = row >= 0 && row < v->count && v->rows[row] < b->event_count;
    return is_there ? &b->events[v->rows[row]] : NULL;
}

static int64_t key_of(void *arg, int row)
{
    const struct board_event *e = events_event(arg, row);
    return e ? e->id : 0;
}

static void put_time(const struct events *v, const struct board_event *e, struct table_cell *ret)
{
    char text[16];
    show_time(e->at_ms / 1000, app_board(v->screen.app)->now_s, text);
    snprintf(ret->text, sizeof ret->text, "%.*s", app_is_small(v->screen.app) ? 5 : 15, text);
    ret->value = (double)e->at_ms;
    ret->has_value = true;
}

/* Without the uid, which the lines below have: who=mia is enough for a filter. */
static void put_who(const struct board_event *e, struct table_cell *ret)
{
    struct slice who = slice_of(e->who);
    size_t cut = slice_search(who, SLICE(" (uid "));
    snprintf(ret->text, sizeof ret->text, "%.*s", (int)cut, who.p);
}

static void put_number(struct table_cell *ret, const char *mark, int64_t n, int64_t least)
{
    if (n >= least)
        snprintf(ret->text, sizeof ret->text, "%s%lld", mark, (long long)n);
    ret->value = (double)n;
    ret->has_value = n >= least;
}

static uint8_t style_of(const struct board_event *e)
{
    if (e->undone_by)
        return STYLE_DIM;
    return events_kind_of(e) == EVENTS_ALARM ? STYLE_WARN : STYLE_PLAIN;
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct events *v = arg;
    const struct board_event *e = events_event(v, row);
    if (!e)
        return;
    if (column == COL_TIME)
        put_time(v, e, ret);
    else if (column == COL_KIND)
        snprintf(ret->text, sizeof ret->text, "%s", e->kind);
    else if (column == COL_WHO)
        put_who(e, ret);
    else if (column == COL_TIMES)
        put_number(ret, "x", e->times, 2);
    else if (column == COL_WHAT)
        snprintf(ret->text, sizeof ret->text, "%s%s", e->undone_by ? "(undone) " : "", e->what);
    else if (column == COL_VERSION)
        put_number(ret, "v", e->generation, 1);
    ret->style = style_of(e);
}

static struct table_source source(struct events *v)
{
    return (struct table_source){.arg = v, .count = v->count, .key = key_of, .cell = cell};
}

/* What came last stands first; an event that is counted came last at its last time. */
static int by_time(const void *a, const void *b, void *arg)
{
    const struct board_event *e = arg;
    int x = *(const int *)a, y = *(const int *)b;
    if (e[x].at_ms != e[y].at_ms)
        return e[x].at_ms > e[y].at_ms ? -1 : 1;
    return x - y; /* as they come: newest first */
}

static void collect(struct events *v)
{
    const struct board *b = app_board(v->screen.app);
    v->count = 0;
    if (b->event_count > v->space) {
        int *more = mem_realloc(v->rows, (size_t)b->event_count * sizeof *more);
        if (!more)
            return;
        v->rows = more;
        v->space = b->event_count;
    }
    for (int i = 0; i < b->event_count; i++)
        if (events_kind_of(&b->events[i]) & v->kinds)
            v->rows[v->count++] = i;
    if (v->count > 1)
        qsort_r(v->rows, (size_t)v->count, sizeof *v->rows, by_time, (void *)(uintptr_t)b->events);
}

void events_update(struct events *v)
{
    table_follow_top(&v->screen.table, &v->follows);
    collect(v);
    struct table_source src = source(v);
    table_update(&v->screen.table, &src);
}

static void update(void *state)
{
    events_update(state);
}

/* ---- drawing ---- */

static void draw_summary(struct events *v, struct canvas *c, int y)
{
    const struct board *b = app_board(v->screen.app);
    int x = canvas_putf(c, y, 0, c->width, STYLE_PLAIN,
                        "show [%c]audit [%c]alarm [%c]info   %d of %d   FOLLOW %s",
                        v->kinds & EVENTS_AUDIT ? 'x' : ' ', v->kinds & EVENTS_ALARM ? 'x' : ' ',
                        v->kinds & EVENTS_INFO ? 'x' : ' ', v->screen.table.shown, b->event_count,
                        v->follows ? "on" : "off");
    if (v->screen.table.filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   filter: %s",
                    v->screen.table.filter.text);
}

static void draw_detail(struct events *v, struct canvas *c, int y, int height)
{
    int row = table_row(&v->screen.table);
    const struct board_event *e = row >= 0 ? events_event(v, row) : NULL;
    struct sbuf b;
    if (!e || height < 1)
        return;
    sbuf_init(&b, 1u << 20);
    events_describe(app_board(v->screen.app), e, &b);
    lines_draw(c, y, height, sbuf_slice(&b));
    sbuf_finish(&b);
}

static void draw_empty(struct events *v, struct canvas *c, int y)
{
    const char *text = v->count                 ? "none passes the filter: Esc clears it"
                       : v->kinds != EVENTS_ALL ? "none of this kind: t shows others"
                                                : "nothing has happened yet";
    canvas_put(c, y, 1, c->width - 1, STYLE_DIM, slice_of(text));
}

#define DETAIL_LINES 9

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct events *v = state;
    struct table_source src = source(v);
    int list = height;
    if (!app_is_small(v->screen.app)) {
        draw_summary(v, c, y++);
        height--;
        list = screen_list_height(&v->screen, height, DETAIL_LINES);
    }
    v->screen.table_y = y;
    table_draw(&v->screen.table, &src, c, y, 0, c->width, list);
    if (v->screen.table.shown == 0)
        draw_empty(v, c, y + 1);
    if (!app_is_small(v->screen.app))
        draw_detail(v, c, y + list + 1, height - list - 1);
}

/* ---- the whole ---- */

static bool key(void *state, int key)
{
    return events_key(state, key);
}

static void init(void *state)
{
    struct events *v = state;
    v->follows = true;
    v->kinds = EVENTS_ALL;
}

static void finish(void *state)
{
    struct events *v = state;
    mem_free(v->rows);
}

const struct view events_view = {
    .name = "events",
    .tab = "Events",
    .board_needs = BOARD_ACCOUNTS | BOARD_EVENTS,
    .feed_needs = FEED_FIGURES,
    .keys = "{u} undo this {o} changes {t} kinds {e} export {f} follow {Enter} all",
    .short_keys = "{u}ndo {o} changes {t} kinds {?} {q}",
    .help = "EVENTS\n"
            "  who changed what?   o shows changes only; /who=NAME those of one person\n"
            "  u  undo the change under the cursor: asks first, is an event itself\n"
            "  t  audit, alarm, info, all     i  info on and off\n"
            "  e  write what is shown as JSON lines to a new file of mode 0600\n"
            "  f  follow the newest (moving away stops it)     Enter  all of this one\n"
            "  xN  so many within ten minutes     VER  version of the settings afterwards\n",
    .state_size = sizeof(struct events),
    .columns = wide,
    .narrow = narrow,
    .column_count = COLUMNS,
    .init = init,
    .finish = finish,
    .update = update,
    .draw = draw,
    .key = key};
