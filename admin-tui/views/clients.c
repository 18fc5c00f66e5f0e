/* Clients: who may call, how much of their day is used, what stands in their way, and who does not
 * trust our CA. */
#include "base/mem.h"
#include "cli/env.h"
#include "cli/handout.h"
#include "store/client.h"
#include "ui/term.h"
#include "views/clients_internal.h"
#include "views/lines.h"
#include "views/list.h"

#include <stdio.h>

#define ACTIVE_S 300
#define BAR 10
#define TRUST_LINES 3

enum client_column {
    COL_NAME,
    COL_PLACEHOLDER,
    COL_STATE,
    COL_SEEN,
    COL_RATE,
    COL_TODAY,
    COL_QUOTA,
    COL_POOL,
    COL_SERVICE,
    COL_EXPIRES,
    COL_VIRTUAL,
    COL_MODELS,
    COL_NOTE,
    COLUMNS
};

static const struct table_column wide[COLUMNS] = {
    [COL_NAME] = {"NAME", 11, 32, 0, false},
    [COL_PLACEHOLDER] = {"PLACEHOLDER", 12, 14, 5, false},
    [COL_STATE] = {"STATE", 7, 0, 0, false},
    [COL_SEEN] = {"SEEN", 6, 0, 3, true},
    [COL_RATE] = {"REQ/m", 5, 0, 2, true},
    [COL_TODAY] = {"TODAY", 5, 0, 4, true},
    [COL_QUOTA] = {"QUOTA TODAY", 16, 0, 1, false},
    [COL_POOL] = {"POOL", 10, 24, 6, false},
    [COL_SERVICE] = {"SERVICE", 7, 0, 7, false},
    [COL_EXPIRES] = {"EXPIRES", 7, 0, 8, true},
    [COL_VIRTUAL] = {"FILE", 4, 0, 9, false},
    [COL_MODELS] = {"MODELS", 12, 28, 10, false},
    [COL_NOTE] = {"NOTE", 12, 40, 11, false}};
static const struct table_column narrow[COLUMNS] = {
    [COL_NAME] = {"NAME", 12, 32, 0, false},
    [COL_PLACEHOLDER] = {"PLACEHOLDER", 0, 0, 5, false},
    [COL_STATE] = {"STATE", 7, 0, 0, false},
    [COL_SEEN] = {"SEEN", 6, 0, 3, true},
    [COL_RATE] = {"REQ/m", 5, 0, 2, true},
    [COL_TODAY] = {"TODAY", 0, 0, 4, true},
    [COL_QUOTA] = {"QUOTA", 5, 0, 1, true},
    [COL_POOL] = {"POOL", 0, 0, 6, false},
    [COL_SERVICE] = {"SERVICE", 0, 0, 7, false},
    [COL_EXPIRES] = {"EXPIRES", 0, 0, 8, true},
    [COL_VIRTUAL] = {"FILE", 0, 0, 9, false},
    [COL_MODELS] = {"MODELS", 0, 0, 10, false},
    [COL_NOTE] = {"NOTE", 0, 0, 11, false}};

/* ---- rows ---- */

const struct board_client *clients_at(const struct clients *v, int row)
{
    return &app_board(v->screen.app)->clients[row];
}

static int64_t key_of(void *arg, int row)
{
    return clients_at(arg, row)->id;
}

static void put(struct table_cell *ret, uint8_t style, const char *text)
{
    snprintf(ret->text, sizeof ret->text, "%s", text);
    ret->style = style;
}

static void put_number(struct table_cell *ret, bool is_known, int64_t n)
{
    char text[16];
    put(ret, app_figures_style(is_known), is_known ? show_count(n, text) : "--");
    ret->value = (double)n;
    ret->has_value = is_known;
}

static void cell_state(const struct board_client *c, struct table_cell *ret)
{
    bool is_on = strcmp(c->state, "on") == 0;
    if (is_on && client_is_at_limit(c))
        put(ret, STYLE_WARN, "LIMIT");
    else
        put(ret,
            is_on                          ? STYLE_PLAIN
            : strcmp(c->state, "off") == 0 ? STYLE_DIM
                                           : STYLE_WARN,
            c->state);
}

/* As canvas_bar draws one, but into a cell. */
static void add_bar(struct sbuf *to, double part, bool is_utf8)
{
    int eighths = (int)(part * BAR * 8 + 0.5);
    for (int i = 0; i < BAR; i++) {
        int here = eighths - i * 8;
        if (!is_utf8)
            sbuf_addc(to, here >= 4 ? '#' : '.');
        else if (here <= 0)
            sbuf_adds(to, "\xc2\xb7"); /* middle dot */
        else                           /* eighths of a block, U+258F to U+2588 */
            sbuf_addf(to, "\xe2\x96%c", 0x90 - (here > 8 ? 8 : here));
    }
}

static void cell_quota(const struct clients *v, const struct board_client *c,
                       struct table_cell *ret)
{
    struct sbuf bar;
    if (c->tokens_per_day <= 0) {
        put(ret, STYLE_DIM, app_is_small(v->screen.app) ? "none" : "no limit");
        return;
    }
    if (!client_has_tokens(c)) {
        put(ret, STYLE_DIM, "--");
        return;
    }
    double part = (double)(c->today_tokens_in + c->today_tokens_out) / (double)c->tokens_per_day;
    ret->value = part;
    ret->has_value = true;
    ret->style = part >= 1 ? STYLE_WARN : STYLE_PLAIN;
    double shown = part < 9.99 ? part : 9.99;
    if (app_is_small(v->screen.app)) {
        snprintf(ret->text, sizeof ret->text, "%.0f%%", 100 * shown);
        return;
    }
    sbuf_init(&bar, 64);
    add_bar(&bar, part < 1 ? part : 1, v->is_utf8);
    snprintf(ret->text, sizeof ret->text, "[%s]%3.0f%%", sbuf_z(&bar), 100 * shown);
    sbuf_finish(&bar);
}

static void cell_seen(const struct board *b, const struct board_client *c, struct table_cell *ret)
{
    char ago[16];
    if (!c->last_seen_at) {
        put(ret, STYLE_DIM, "--");
        return;
    }
    int64_t age = b->now_s > c->last_seen_at ? b->now_s - c->last_seen_at : 0;
    put(ret, STYLE_PLAIN, show_span(age, ago));
    ret->value = -(double)age; /* the latest is most */
    ret->has_value = true;
}

static void cell_expires(const struct board *b, const struct board_client *c,
                         struct table_cell *ret)
{
    char left[16];
    bool is_over = c->expires_at && c->expires_at <= b->now_s;
    put(ret, is_over ? STYLE_WARN : STYLE_PLAIN,
        !c->expires_at ? "never"
        : is_over      ? "over"
                       : show_span(c->expires_at - b->now_s, left));
    ret->value = c->expires_at ? (double)c->expires_at : 1e18;
    ret->has_value = true;
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct clients *v = arg;
    const struct board *b = app_board(v->screen.app);
    const struct board_client *c = clients_at(v, row);
    if (column == COL_NAME)
        put(ret, STYLE_PLAIN, c->name);
    else if (column == COL_PLACEHOLDER)
        snprintf(ret->text, sizeof ret->text, *c->visible ? "%.40s.." : "--", c->visible);
    else if (column == COL_STATE)
        cell_state(c, ret);
    else if (column == COL_SEEN)
        cell_seen(b, c, ret);
    else if (column == COL_RATE)
        put_number(ret, c->has_usage, c->minute_requests);
    else if (column == COL_TODAY)
        put_number(ret, c->has_usage, c->today_requests);
    else if (column == COL_QUOTA)
        cell_quota(v, c, ret);
    else if (column == COL_POOL)
        put(ret, STYLE_PLAIN, c->pool);
    else if (column == COL_SERVICE)
        put(ret, STYLE_PLAIN, service_name(c->service));
    else if (column == COL_EXPIRES)
        cell_expires(b, c, ret);
    else if (column == COL_VIRTUAL)
        put(ret, STYLE_PLAIN, c->has_virtual ? "yes" : "no");
    else if (column == COL_MODELS)
        put(ret, STYLE_PLAIN, *c->models ? c->models : "all");
    else
        put(ret, STYLE_PLAIN, c->note);
}

struct table_source clients_source(struct clients *v)
{
    return (struct table_source){
        .arg = v, .count = app_board(v->screen.app)->client_count, .key = key_of, .cell = cell};
}

static void update(void *state)
{
    struct clients *v = state;
    struct table_source src = clients_source(v);
    table_update(&v->screen.table, &src);
}

/* ---- drawing ---- */

static void draw_summary(struct clients *v, struct canvas *c, int y)
{
    const struct board *b = app_board(v->screen.app);
    int active = 0, closed = 0, limited = 0;
    for (int i = 0; i < b->client_count; i++) {
        const struct board_client *one = &b->clients[i];
        bool is_on = strcmp(one->state, "on") == 0;
        active += one->last_seen_at && b->now_s - one->last_seen_at <= ACTIVE_S;
        closed += !is_on;
        limited += is_on && client_is_at_limit(one);
    }
    int x = canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "Clients %d   seen in 5m: %d",
                        b->client_count, active);
    if (closed)
        x += canvas_putf(c, y, x, c->width - x, STYLE_PLAIN, "   not on: %d", closed);
    if (limited)
        x += canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   at their limit: %d", limited);
    if (v->screen.table.filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   filter: %s",
                    v->screen.table.filter.text);
}

/* Returns the lines used. */
static int draw_detail(struct clients *v, struct canvas *c, int y, int height)
{
    int row = table_row(&v->screen.table);
    struct sbuf b;
    if (row < 0)
        return 0;
    sbuf_init(&b, 16384);
    client_describe(app_board(v->screen.app), clients_at(v, row), &b);
    struct slice text = sbuf_slice(&b); /* what stands behind an empty line is for the page */
    text = slice_sub(text, 0, slice_search(text, SLICE("\n\n")));
    int n = lines_draw(c, y, height, text);
    sbuf_finish(&b);
    return n;
}

/* Callers, not clients: whoever refuses our certificate never comes to say who it is. */
static void draw_trust(struct clients *v, struct canvas *c, int y, int height)
{
    const struct feed_trust *t = feed_trust(app_feed(v->screen.app));
    const struct board *b = app_board(v->screen.app);
    char ok[16], ago[16];
    uint8_t style = app_figures_style(app_is_live(v->screen.app));
    if (height < 1)
        return;
    if (!t->at_ms) {
        canvas_put(c, y, 1, c->width - 1, STYLE_DIM,
                   SLICE("who trusts our CA: --   (the daemon tells)"));
        return;
    }
    if (t->count == 0) {
        canvas_putf(c, y, 1, c->width - 1, style,
                    "who trusts our CA: all who came in 24 h (%s handshakes)",
                    show_count(t->ok_24h, ok));
        return;
    }
    canvas_putf(c, y++, 1, c->width - 1, STYLE_WARN,
                "%d caller%s not trust our CA: %lld TLS handshakes refused in 24 h", t->count,
                t->count == 1 ? " does" : "s do", (long long)t->refused_24h);
    for (int i = 0; i < t->count && i < height - 2; i++) {
        const struct feed_refusal *r = &t->rows[i];
        canvas_putf(c, y++, 3, c->width - 3, style, "%s  \"%s\" x%lld, last %s ago, for %s",
                    r->peer, r->why, (long long)r->times,
                    show_span(b->now_s > r->last_at ? b->now_s - r->last_at : 0, ago), r->host);
    }
    canvas_putf(c, y, 3, c->width - 3, STYLE_PLAIN, "send them:  curl -fsS %s/setup", v->proxy);
}

static int trust_lines(const struct clients *v, int height)
{
    const struct feed_trust *t = feed_trust(app_feed(v->screen.app));
    int most = height > 30 ? height / 4 : TRUST_LINES, n = t->at_ms && t->count ? t->count + 2 : 1;
    return n < most ? n : most;
}

/* The list, then what is known of the one under the cursor, then who does not trust us: each gets
 * what it needs, and the list the rest. */
static void draw(void *state, struct canvas *c, int y, int height)
{
    struct clients *v = state;
    int end = y + height, trust = trust_lines(v, height), below = 6 + trust + 1;
    v->is_utf8 = c->is_utf8;
    bool is_small = app_is_small(v->screen.app);
    if (!is_small)
        draw_summary(v, c, y++);
    int room = end - y, list = is_small ? room : app_board(v->screen.app)->client_count + 1;
    if (!is_small && list > room - below)
        list = room - below > 6 ? room - below : 6;
    list = list < room ? list : room;
    struct table_source src = clients_source(v);
    v->screen.table_y = y;
    table_draw(&v->screen.table, &src, c, y, 0, c->width, list);
    if (src.count == 0)
        canvas_put(c, y + 1, 1, c->width - 1, STYLE_DIM, SLICE("no client yet: a adds one"));
    if (is_small)
        return;
    y += (list > 1 ? list : 2) + 1;
    y += draw_detail(v, c, y, end - trust - 1 - y);
    draw_trust(v, c, y + 1 < end - trust ? y + 1 : end - trust, trust);
}

/* ---- the screen ---- */

static void find_proxy(struct clients *v)
{
    char hostname[256];
    struct errmsg msg = {0};
    if (env_proxy(app_conf(v->screen.app), handout_hostname(hostname), v->proxy, &msg) != ERR_OK)
        snprintf(v->proxy, sizeof v->proxy, "http://PROXY:PORT");
}

static void init(void *state)
{
    find_proxy(state);
}

static bool key(void *state, int key)
{
    return clients_key(state, key);
}

const struct view clients_view = {
    .name = "clients",
    .tab = "Clients",
    .board_needs =
        BOARD_ACCOUNTS | BOARD_TOKENS | BOARD_CLIENTS | BOARD_RULES | BOARD_MODELS | BOARD_USAGE,
    .feed_needs = FEED_TRUST,
    .keys = "{a} add {t} token {l} limits {x} off {e} on {R} revoke {o} pool {E} explain",
    .short_keys = "{a}dd {t}ok {l}im {x} off {e} on {?} {q}",
    .help = "CLIENTS\n"
            "  a  add one: its placeholder is shown once, with the lines to hand out\n"
            "  t  a new token for it: the old one ends at once\n"
            "  l  limits: expiry, requests a minute, tokens a day, models, note\n"
            "  x  off (answered with 403)   e  on      both for all marked ones\n"
            "  R  revoke: its placeholder ends for good\n"
            "  o  another pool              V  a service-account file for it\n"
            "  E  explain: which account would serve it, and why not the others\n"
            "  Enter  everything about it\n"
            "\n"
            "  SEEN  since its last request      REQ/m  in the last whole minute\n"
            "  TODAY requests since 00:00 UTC    QUOTA  tokens of its day\n"
            "  LIMIT its tokens of today are used up\n"
            "  Lines with ! say what it would be answered now, and why.\n",
    .state_size = sizeof(struct clients),
    .columns = wide,
    .narrow = narrow,
    .column_count = COLUMNS,
    .init = init,
    .update = update,
    .draw = draw,
    .key = key};
