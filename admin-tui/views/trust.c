/* CA and trust: how long the CA lasts, what it signed, and whose programs do not take it. Two
 * lists: leaves, and callers that refused one. */
#include "base/mem.h"
#include "ui/term.h"
#include "views/list.h"
#include "views/trust_internal.h"

#include <stdio.h>

enum leaf_column {
    LEAF_HOST,
    LEAF_LEFT,
    LEAF_SIGNED,
    LEAF_HITS,
    LEAF_COLUMNS
};

static const struct table_column leaf_wide[LEAF_COLUMNS] = {
    [LEAF_HOST] = {"LEAF FOR", 40, 90, 0, false},
    [LEAF_LEFT] = {"EXPIRES", 8, 0, 0, true},
    [LEAF_SIGNED] = {"SIGNED", 11, 0, 2, true},
    [LEAF_HITS] = {"HITS", 8, 0, 1, true}};
static const struct table_column leaf_narrow[LEAF_COLUMNS] = {
    [LEAF_HOST] = {"LEAF FOR", 22, 60, 0, false},
    [LEAF_LEFT] = {"EXPIRES", 7, 0, 0, true},
    [LEAF_SIGNED] = {"SIGNED", 0, 0, 2, true},
    [LEAF_HITS] = {"HITS", 7, 0, 1, true}};

enum refusal_column {
    REFUSAL_PEER,
    REFUSAL_HOST,
    REFUSAL_WHY,
    REFUSAL_TIMES,
    REFUSAL_LAST,
    REFUSAL_COLUMNS
};

static const struct table_column refusal_wide[REFUSAL_COLUMNS] = {
    [REFUSAL_PEER] = {"WHO REFUSES", 15, 40, 0, false},
    [REFUSAL_HOST] = {"CERTIFICATE FOR", 25, 60, 2, false},
    [REFUSAL_WHY] = {"BECAUSE", 20, 30, 1, false},
    [REFUSAL_TIMES] = {"TIMES", 6, 0, 0, true},
    [REFUSAL_LAST] = {"LAST", 7, 0, 0, true}};
static const struct table_column refusal_narrow[REFUSAL_COLUMNS] = {
    [REFUSAL_PEER] = {"WHO REFUSES", 15, 40, 0, false},
    [REFUSAL_HOST] = {"CERTIFICATE FOR", 0, 0, 3, false},
    [REFUSAL_WHY] = {"BECAUSE", 10, 20, 1, false},
    [REFUSAL_TIMES] = {"TIMES", 5, 0, 0, true},
    [REFUSAL_LAST] = {"LAST", 5, 0, 0, true}};

/* ---- rows ---- */

static uint64_t add_name(uint64_t h, const char *z)
{
    for (; *z; z++)
        h = (h ^ (unsigned char)*z) * 0x100000001b3u;
    return (h ^ 0xff) * 0x100000001b3u;
}
#define NAME_BEGIN 0xcbf29ce484222325u

static int64_t leaf_key(void *arg, int row)
{
    const struct trust *v = arg;
    const struct feed_leaf *l = &feed_leaves(app_feed(v->screen.app))->rows[row];
    return (int64_t)(add_name(NAME_BEGIN, l->host) >> 1);
}

static int64_t refusal_key(void *arg, int row)
{
    const struct trust *v = arg;
    const struct feed_refusal *r = &feed_trust(app_feed(v->screen.app))->rows[row];
    return (int64_t)(add_name(add_name(add_name(NAME_BEGIN, r->peer), r->host), r->why) >> 1);
}

static void put_span(struct table_cell *ret, int64_t s)
{
    char text[16];
    snprintf(ret->text, sizeof ret->text, "%s", show_span(s > 0 ? s : 0, text));
    ret->value = (double)s;
    ret->has_value = true;
}

static void put_count(struct table_cell *ret, int64_t n)
{
    char text[16];
    snprintf(ret->text, sizeof ret->text, "%s", n ? show_count(n, text) : "0");
    ret->value = (double)n;
    ret->has_value = true;
}

static void leaf_cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct trust *v = arg;
    const struct feed_leaf *l = &feed_leaves(app_feed(v->screen.app))->rows[row];
    int64_t now = app_board(v->screen.app)->now_s;
    char text[16];
    ret->style = app_figures_style(app_is_live(v->screen.app));
    if (column == LEAF_HOST) {
        snprintf(ret->text, sizeof ret->text, "%.190s", l->host);
    } else if (column == LEAF_LEFT && l->expires_at <= now) {
        snprintf(ret->text, sizeof ret->text, "over");
        ret->style = STYLE_WARN;
    } else if (column == LEAF_LEFT) {
        put_span(ret, l->expires_at - now);
    } else if (column == LEAF_SIGNED) {
        snprintf(ret->text, sizeof ret->text, "%s", show_time(l->signed_at, now, text));
        ret->value = (double)l->signed_at;
        ret->has_value = true;
    } else {
        put_count(ret, l->hits);
    }
}

static void refusal_cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct trust *v = arg;
    const struct feed_refusal *r = &feed_trust(app_feed(v->screen.app))->rows[row];
    ret->style = app_figures_style(app_is_live(v->screen.app));
    if (column == REFUSAL_PEER)
        snprintf(ret->text, sizeof ret->text, "%.190s", r->peer);
    else if (column == REFUSAL_HOST)
        snprintf(ret->text, sizeof ret->text, "%.190s", r->host);
    else if (column == REFUSAL_WHY)
        snprintf(ret->text, sizeof ret->text, "%.190s", r->why);
    else if (column == REFUSAL_TIMES)
        put_count(ret, r->times);
    else
        put_span(ret, app_board(v->screen.app)->now_s - r->last_at);
}

static struct table_source leaf_source(struct trust *v)
{
    return (struct table_source){.arg = v,
                                 .count = feed_leaves(app_feed(v->screen.app))->count,
                                 .key = leaf_key,
                                 .cell = leaf_cell};
}

static struct table_source refusal_source(struct trust *v)
{
    return (struct table_source){.arg = v,
                                 .count = feed_trust(app_feed(v->screen.app))->count,
                                 .key = refusal_key,
                                 .cell = refusal_cell};
}

struct table *trust_table(struct trust *v)
{
    return v->is_refusals ? &v->refusals : &v->screen.table;
}

void trust_update(struct trust *v)
{
    struct table_source leaves = leaf_source(v), refusals = refusal_source(v);
    v->refusals.columns = app_is_small(v->screen.app) ? refusal_narrow : refusal_wide;
    table_update(&v->screen.table, &leaves);
    table_update(&v->refusals, &refusals);
}

static void update(void *state)
{
    trust_look(state);
    trust_update(state);
}

/* ---- drawing ---- */

static int draw_ca(const struct trust *v, struct canvas *c, int y)
{
    const struct ca_facts *f = &v->facts;
    int64_t now = app_board(v->screen.app)->now_s;
    char day[16], words[96];
    if (*v->problem) {
        canvas_putf(c, y, 0, c->width, STYLE_FAIL, "CA      %s", v->problem);
        return 1;
    }
    trust_day(f->info.not_after, day);
    int x = canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "CA      %.34s   %s   until %s   ",
                        f->info.name, f->key_type, day);
    uint8_t style = trust_validity(&f->info, now, words);
    canvas_put(c, y, x, c->width - x, style, slice_of(words));
    canvas_putf(c, y + 1, 0, c->width, STYLE_PLAIN, "        signs only below: %s",
                *f->info.permitted ? f->info.permitted : "everything");
    canvas_putf(c, y + 2, 0, c->width, STYLE_PLAIN, "Print   %s (cert)", f->info.sha256);
    if (!v->is_rotating)
        return 3;
    canvas_put(c, y + 3, 0, c->width, STYLE_WARN,
               SLICE("        a new CA is handed out with it already; R lets it sign"));
    return 4;
}

static void draw_leaves_line(const struct trust *v, struct canvas *c, int y)
{
    const struct feed_leaves *l = feed_leaves(app_feed(v->screen.app));
    char hits[16], made[16];
    uint8_t style = app_figures_style(app_is_live(v->screen.app));
    double asked = (double)l->hits + (double)l->signed_count;
    if (!l->at_ms) {
        canvas_put(c, y, 0, c->width, STYLE_DIM, SLICE("Leaves  --"));
        return;
    }
    int soon = 0;
    for (int i = 0; i < l->count; i++)
        soon += l->rows[i].expires_at - app_board(v->screen.app)->now_s < 86400;
    int x = canvas_putf(c, y, 0, c->width, style, "Leaves  %lld of %lld cached   ",
                        (long long)l->cached, (long long)l->max);
    if (asked > 0)
        x += canvas_putf(c, y, x, c->width - x, style, "hits %.2f%% of %s   ",
                         100 * (double)l->hits / asked, show_count((int64_t)asked, hits));
    canvas_putf(c, y, x, c->width - x, style, "signed %s   ends <24h: %d",
                l->signed_count ? show_count(l->signed_count, made) : "0", soon);
}

static void draw_trust_line(const struct trust *v, struct canvas *c, int y)
{
    const struct feed_trust *t = feed_trust(app_feed(v->screen.app));
    bool is_live = app_is_live(v->screen.app);
    char ok[16], no[16];
    if (!t->at_ms) {
        canvas_put(c, y, 0, c->width, STYLE_DIM, SLICE("Trust   --"));
        return;
    }
    int x = canvas_putf(c, y, 0, c->width, app_figures_style(is_live),
                        "Trust   24h: %s handshakes ok   ",
                        t->ok_24h ? show_count(t->ok_24h, ok) : "0");
    uint8_t style = !is_live ? STYLE_DIM : t->refused_24h ? STYLE_WARN : STYLE_PLAIN;
    x += canvas_putf(c, y, x, c->width - x, style, "%s refused by clients   ",
                     t->refused_24h ? show_count(t->refused_24h, no) : "0");
    if (t->count)
        canvas_put_keys(c, y, x, c->width - x,
                        v->is_refusals ? SLICE("{t} the leaves") : SLICE("{t} who refuses"));
}

static int draw_top(const struct trust *v, struct canvas *c, int y)
{
    int n = draw_ca(v, c, y);
    draw_leaves_line(v, c, y + n);
    draw_trust_line(v, c, y + n + 1);
    return n + 2;
}

/* The last lines: what a person gets who is to use the proxy. */
static void draw_handout(const struct trust *v, struct canvas *c, int y)
{
    canvas_putf(c, y, 0, c->width, STYLE_PLAIN,
                "hand out %.160s/  ca.pem  ca.crt  env.sh  env.ps1  setup", v->proxy);
    if (!*v->problem)
        canvas_putf(c, y + 1, 0, c->width, STYLE_PLAIN, "sha256   %s ca.pem", v->facts.file_sha256);
}

static void draw_empty(const struct trust *v, struct canvas *c, int y)
{
    const struct feed *f = app_feed(v->screen.app);
    int64_t at = v->is_refusals ? feed_trust(f)->at_ms : feed_leaves(f)->at_ms;
    struct slice text = v->is_refusals ? SLICE("nobody has refused a certificate")
                                       : SLICE("no leaf was signed yet: the first request to a "
                                               "swapped host makes one");
    canvas_put(c, y, 1, c->width - 1, STYLE_DIM,
               at ? text : SLICE("-- the daemon knows, and does not answer"));
}

static void draw_list(struct trust *v, struct canvas *c, int y, int height)
{
    struct table_source src = v->is_refusals ? refusal_source(v) : leaf_source(v);
    v->screen.table_y = y;
    table_draw(trust_table(v), &src, c, y, 0, c->width, height);
    if (src.count == 0 && height > 1)
        draw_empty(v, c, y + 1);
}

/* A small window: the CA in one line, and the list. */
static void draw_small(struct trust *v, struct canvas *c, int y, int height)
{
    char words[96];
    if (*v->problem) {
        canvas_put(c, y, 0, c->width, STYLE_FAIL, slice_of(v->problem));
    } else {
        uint8_t style = trust_validity(&v->facts.info, app_board(v->screen.app)->now_s, words);
        int x = canvas_put(c, y, 0, c->width, STYLE_PLAIN, SLICE("CA "));
        canvas_put(c, y, x, c->width - x, style, slice_of(words));
    }
    draw_list(v, c, y + 1, height - 1);
}

#define LEAF_LINES 2
#define REFUSAL_LINES 4
#define HANDOUT_LINES 2

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct trust *v = state;
    struct sbuf b;
    if (app_is_small(v->screen.app)) {
        draw_small(v, c, y, height);
        return;
    }
    int end = y + height;
    y += draw_top(v, c, y) + 1;
    int rows = v->is_refusals ? refusal_source(v).count : leaf_source(v).count;
    int detail = v->is_refusals ? REFUSAL_LINES : LEAF_LINES;
    int room = end - y - HANDOUT_LINES - detail - 2, list = (rows ? rows : 1) + 1;
    list = list < room ? list : room > 3 ? room : 3;
    draw_list(v, c, y, list);
    y += list + 1;
    sbuf_init(&b, 4096);
    trust_describe(v, &b);
    int used = lines_draw(c, y, end - y - HANDOUT_LINES - 1, sbuf_slice(&b));
    sbuf_finish(&b);
    y += used > 0 ? used + 1 : 0;
    if (end - y >= HANDOUT_LINES)
        draw_handout(v, c, y);
}

/* ---- the view ---- */

static bool key(void *state, int key)
{
    return trust_key(state, key);
}

static void init(void *state)
{
    struct trust *v = state;
    v->screen.table.sort = LEAF_HITS;
    v->screen.table.sort_is_down = true;
    table_init(&v->refusals, refusal_wide, REFUSAL_COLUMNS, -1, false);
}

static void finish(void *state)
{
    struct trust *v = state;
    table_finish(&v->refusals);
}

static struct table *table(void *state)
{
    return trust_table(state);
}

const struct view trust_view = {
    .name = "trust",
    .tab = "CA",
    .board_needs = BOARD_ACCOUNTS,
    .feed_needs = FEED_FIGURES | FEED_TRUST | FEED_LEAVES,
    .keys = "{t} who refuses  {f} fingerprints  {e} PEM  {i} env  {R} rotate",
    .short_keys = "{t} {f}prints {e} PEM {i} env {?} {q}",
    .help = "CA AND TRUST\n"
            "  t  the leaves, or who refuses our certificates\n"
            "  f  fingerprints. Who gets ca.pem compares its sha256, which should come by\n"
            "     another way than the file; browsers show the fingerprint (Print)\n"
            "  e  the certificate itself (PEM)\n"
            "  i  what a client's shell must set (env.sh)\n"
            "  R  replace the CA in two steps: first both are handed out and the old one\n"
            "     signs; when all clients have fetched ca.pem again, R lets the new one sign\n"
            "  Enter  all about the row\n"
            "  Leaves are the short-lived certificates that clients see. They are signed\n"
            "  when a host is first asked for, and anew before they end.\n",
    .state_size = sizeof(struct trust),
    .columns = leaf_wide,
    .narrow = leaf_narrow,
    .column_count = LEAF_COLUMNS,
    .init = init,
    .finish = finish,
    .update = update,
    .draw = draw,
    .key = key,
    .table = table};
