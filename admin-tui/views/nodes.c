/* Nodes: the proxies on this store, by what each wrote last into its row there. */
#include "base/clock.h"
#include "base/mem.h"
#include "ui/term.h"
#include "views/app.h"
#include "views/lines.h"
#include "views/list.h"

#include <stdio.h>

#define SILENT_S 15 /* a sign of life is due every 10 s */
#define LAG_S 3     /* a running node follows a change sooner */

enum column {
    COL_NAME,
    COL_STATE,
    COL_VERSION,
    COL_PID,
    COL_ADDRESS,
    COL_UP,
    COL_SEEN,
    COL_GENERATION,
    COL_NUMBER,
    COLUMNS
};

static const struct table_column wide[COLUMNS] = {
    [COL_NAME] = {"NODE", 12, 48, 0, false},
    [COL_STATE] = {"STATE", 8, 0, 0, false},
    [COL_VERSION] = {"VERSION", 7, 16, 4, false},
    [COL_PID] = {"PID", 7, 0, 5, true},
    [COL_ADDRESS] = {"ADDRESS", 17, 40, 3, false},
    [COL_UP] = {"UP", 6, 0, 2, true},
    [COL_SEEN] = {"SEEN", 6, 0, 1, true},
    [COL_GENERATION] = {"SETTINGS", 8, 0, 0, true},
    [COL_NUMBER] = {"VERSION OF THEM", 15, 0, 6, true}};
static const struct table_column narrow[COLUMNS] = {
    [COL_NAME] = {"NODE", 12, 30, 0, false},
    [COL_STATE] = {"STATE", 8, 0, 0, false},
    [COL_VERSION] = {"VERSION", 0, 0, 4, false},
    [COL_PID] = {"PID", 0, 0, 5, true},
    [COL_ADDRESS] = {"ADDRESS", 0, 0, 3, false},
    [COL_UP] = {"UP", 0, 0, 2, true},
    [COL_SEEN] = {"SEEN", 6, 0, 1, true},
    [COL_GENERATION] = {"SETTINGS", 8, 0, 0, true},
    [COL_NUMBER] = {"VERSION OF THEM", 0, 0, 6, true}};

struct nodes {
    struct screen screen;
    char file[ENTRY_TEXT_MAX]; /* of a backup */
};

/* ---- what is so ---- */

static bool is_stopped(const struct board_node *n)
{
    return strcmp(n->state, "stopped") == 0;
}

static bool is_silent(const struct board *b, const struct board_node *n)
{
    return !is_stopped(n) && b->now_s - n->seen_at > SILENT_S;
}

/* Is it the one whose socket this console speaks with? */
static bool is_ours(const struct nodes *v, const struct board_node *n)
{
    const struct feed_figures *f = feed_figures(app_feed(v->screen.app));
    return app_is_live(v->screen.app) && f->pid == n->pid && strcmp(f->name, n->name) == 0;
}

static int64_t generation_of(const struct nodes *v, const struct board_node *n)
{
    int64_t now = is_ours(v, n) ? feed_figures(app_feed(v->screen.app))->generation : 0;
    return now > n->generation ? now : n->generation;
}

enum lag {
    LAG_UNKNOWN, /* it does not run, or has not written its row since the change */
    LAG_NONE,
    LAG_BEHIND
};

/* A node writes its row every few seconds: what it wrote before the last change says nothing. */
static enum lag lag_of(const struct nodes *v, const struct board_node *n)
{
    const struct board *b = app_board(v->screen.app);
    if (is_stopped(n) || is_silent(b, n))
        return LAG_UNKNOWN;
    if (generation_of(v, n) >= b->generation)
        return LAG_NONE;
    return n->seen_at > b->generation_at + LAG_S ? LAG_BEHIND : LAG_UNKNOWN;
}

/* ---- cells ---- */

static void put_dash(struct table_cell *ret)
{
    snprintf(ret->text, sizeof ret->text, "--");
    ret->style = STYLE_DIM;
}

static void put_span(struct table_cell *ret, int64_t s)
{
    char text[16];
    s = s > 0 ? s : 0;
    snprintf(ret->text, sizeof ret->text, "%s", show_span(s, text));
    ret->value = (double)s;
    ret->has_value = true;
}

static void cell_state(const struct board *b, const struct board_node *n, struct table_cell *ret)
{
    bool is_running = strcmp(n->state, "running") == 0;
    snprintf(ret->text, sizeof ret->text, "%s", is_silent(b, n) ? "SILENT" : n->state);
    ret->style = is_silent(b, n) ? STYLE_FAIL
                 : is_running    ? STYLE_PLAIN
                 : is_stopped(n) ? STYLE_DIM
                                 : STYLE_WARN;
}

static void cell_generation(const struct nodes *v, const struct board_node *n,
                            struct table_cell *ret)
{
    const struct board *b = app_board(v->screen.app);
    enum lag lag = lag_of(v, n);
    if (lag == LAG_UNKNOWN) {
        put_dash(ret);
        return;
    }
    int64_t behind = lag == LAG_NONE ? 0 : b->generation - generation_of(v, n);
    if (behind)
        snprintf(ret->text, sizeof ret->text, "%lld OLD", (long long)behind);
    else
        snprintf(ret->text, sizeof ret->text, "newest");
    ret->style = behind ? STYLE_WARN : STYLE_PLAIN;
    ret->value = (double)behind;
    ret->has_value = true;
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct nodes *v = arg;
    const struct board *b = app_board(v->screen.app);
    const struct board_node *n = &b->nodes[row];
    bool is_gone = is_stopped(n) || is_silent(b, n);
    if (column == COL_NAME)
        snprintf(ret->text, sizeof ret->text, "%s", n->name);
    else if (column == COL_STATE)
        cell_state(b, n, ret);
    else if (column == COL_VERSION)
        snprintf(ret->text, sizeof ret->text, "%s", n->version);
    else if (column == COL_ADDRESS)
        snprintf(ret->text, sizeof ret->text, "%s", n->address);
    else if (column == COL_SEEN)
        put_span(ret, b->now_s - n->seen_at);
    else if (column == COL_GENERATION)
        cell_generation(v, n, ret);
    else if (column == COL_NUMBER)
        snprintf(ret->text, sizeof ret->text, "v%lld", (long long)generation_of(v, n));
    else if (is_gone)
        put_dash(ret);
    else if (column == COL_UP)
        put_span(ret, b->now_s - n->started_at);
    else
        snprintf(ret->text, sizeof ret->text, "%lld", (long long)n->pid);
    if (is_stopped(n))
        ret->style = STYLE_DIM;
}

/* There is no number in a node's row, but its name is there once. */
static int64_t key_of(void *arg, int row)
{
    const struct nodes *v = arg;
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *z = app_board(v->screen.app)->nodes[row].name; *z; z++)
        h = (h ^ (unsigned char)*z) * 0x100000001b3u;
    return (int64_t)(h >> 1);
}

static struct table_source source(struct nodes *v)
{
    return (struct table_source){
        .arg = v, .count = app_board(v->screen.app)->node_count, .key = key_of, .cell = cell};
}

static void update(void *state)
{
    struct nodes *v = state;
    struct table_source src = source(v);
    table_update(&v->screen.table, &src);
}

/* ---- in words ---- */

static void describe_silence(const struct board *b, const struct board_node *n, struct sbuf *out)
{
    char ago[16];
    sbuf_addf(out, "! no sign of it for %s, though it did not stop in good order\n",
              show_span(b->now_s - n->seen_at, ago));
    sbuf_adds(out, "  likely: it crashed, was killed, or cannot write the store any more\n");
    sbuf_adds(out,
              "  next step there: systemctl status credswapd; journalctl -u credswapd -n 50\n");
}

static void describe_lag(const struct nodes *v, const struct board_node *n, struct sbuf *out)
{
    const struct board *b = app_board(v->screen.app);
    char ago[16];
    sbuf_addf(out, "! it works with settings v%lld, the newest are v%lld, from %s ago\n",
              (long long)generation_of(v, n), (long long)b->generation,
              show_span(b->generation_at ? b->now_s - b->generation_at : -1, ago));
    sbuf_adds(out, "  likely: it cannot read the store, or refuses what is in there\n");
    sbuf_adds(out, "  next step: :doctor on that host; :events says what it refused\n");
}

static void describe(const struct nodes *v, const struct board_node *n, struct sbuf *out)
{
    const struct board *b = app_board(v->screen.app);
    char since[16], ago[16];
    sbuf_addf(out, "%s   credswapd %s   pid %lld   %s\n", n->name, n->version, (long long)n->pid,
              n->address);
    sbuf_addf(out, "started %s   %s, as it said %s ago%s\n",
              show_time(n->started_at, b->now_s, since), n->state,
              show_span(b->now_s > n->seen_at ? b->now_s - n->seen_at : 0, ago),
              is_ours(v, n) ? "   this console speaks with it" : "");
    if (is_silent(b, n))
        describe_silence(b, n, out);
    else if (lag_of(v, n) == LAG_BEHIND)
        describe_lag(v, n, out);
    else if (is_stopped(n))
        sbuf_adds(out, "it stopped in good order; its row stays until it starts again\n");
    else if (lag_of(v, n) == LAG_NONE)
        sbuf_addf(out, "it works with the newest settings, v%lld\n", (long long)b->generation);
    else
        sbuf_adds(out,
                  "the settings changed just now; it tells within seconds what it works with\n");
}

/* ---- drawing ---- */

static void draw_summary(const struct nodes *v, struct canvas *c, int y)
{
    const struct board *b = app_board(v->screen.app);
    int running = 0, silent = 0, behind = 0;
    for (int i = 0; i < b->node_count; i++) {
        const struct board_node *n = &b->nodes[i];
        silent += is_silent(b, n);
        running += !is_silent(b, n) && strcmp(n->state, "running") == 0;
        behind += lag_of(v, n) == LAG_BEHIND;
    }
    int x = canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "Nodes  %d running  ", running);
    x += canvas_putf(c, y, x, c->width - x, silent ? STYLE_FAIL : STYLE_PLAIN, "%d silent", silent);
    x += canvas_putf(c, y, x, c->width - x, behind ? STYLE_WARN : STYLE_PLAIN, "  %d behind",
                     behind);
    if (v->screen.table.filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   filter: %s",
                    v->screen.table.filter.text);
    else
        canvas_putf(c, y, x, c->width - x, STYLE_PLAIN, "   newest settings v%lld",
                    (long long)b->generation);
}

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct nodes *v = state;
    struct table_source src = source(v);
    bool is_small = app_is_small(v->screen.app);
    if (!is_small) {
        draw_summary(v, c, y++);
        height--;
    }
    int list = height;
    if (!is_small)
        list = screen_list_height(&v->screen, height, 6);
    v->screen.table_y = y;
    table_draw(&v->screen.table, &src, c, y, 0, c->width, list);
    int row = table_row(&v->screen.table);
    if (src.count == 0)
        canvas_put(c, y + 1, 1, c->width - 1, STYLE_DIM,
                   SLICE("no proxy has ever run on this store"));
    if (row < 0 || is_small)
        return;
    struct sbuf b;
    sbuf_init(&b, 4096);
    describe(v, &app_board(v->screen.app)->nodes[row], &b);
    lines_draw(c, y + list + 1, height - list - 1, sbuf_slice(&b));
    sbuf_finish(&b);
}

/* ---- keys ---- */

static void show_one(struct nodes *v, const struct board_node *n)
{
    struct sbuf b;
    sbuf_init(&b, 4096);
    describe(v, n, &b);
    app_page(v->screen.app, n->name, sbuf_slice(&b), false);
    sbuf_finish(&b);
}

static void run_restore(void *state)
{
    struct nodes *v = state;
    app_run(v->screen.app, 0, "restored", WORDS("restore", v->file));
}

static bool take_file(struct nodes *v, struct slice text, struct errmsg *problem)
{
    if (text.n == 0 || *text.p == '-' || !slice_copy(text, v->file, sizeof v->file))
        return err_set(problem, ERR_INVALID, "the name of a file on this host") == ERR_OK;
    return true;
}

/* A new file, which is never written over one that is there: nothing to be asked. */
static bool take_backup(void *state, struct slice text, struct errmsg *problem)
{
    struct nodes *v = state;
    if (!take_file(v, text, problem))
        return false;
    app_run(v->screen.app, 0, "backup written", WORDS("backup", v->file));
    return true;
}

static bool take_restore(void *state, struct slice text, struct errmsg *problem)
{
    struct nodes *v = state;
    char ask[ENTRY_TEXT_MAX + 512];
    if (!take_file(v, text, problem))
        return false;
    snprintf(ask, sizeof ask,
             "from %.1000s\n\n! accounts, clients, weights, rules, events: all are as they were "
             "then\nit is checked first, and what is there now is kept in a file beside the "
             "store\n",
             v->file);
    app_confirm_typed(v->screen.app, "replace the whole store?", ask, "restore", run_restore, v);
    return true;
}

static void ask_backup(struct nodes *v)
{
    char at[32], name[64];
    clock_format_utc(app_board(v->screen.app)->now_s, at, sizeof at);
    snprintf(name, sizeof name, "credswap-%s.db", at);
    app_ask_line(v->screen.app, "backup to: ", name, take_backup, v);
}

static void ask_restore(struct nodes *v)
{
    if (app_is_live(v->screen.app))
        app_say(v->screen.app, STYLE_WARN,
                "stop credswapd first (systemctl stop credswapd), then R; this screen stays");
    else
        app_ask_line(v->screen.app, "restore from: ", "", take_restore, v);
}

static bool key(void *state, int key)
{
    struct nodes *v = state;
    int row = table_row(&v->screen.table);
    if (key == 'b' || key == 'R') {
        (key == 'b' ? ask_backup : ask_restore)(v);
        return true;
    }
    if (row < 0 || key != TERM_ENTER)
        return false;
    const struct board_node *n = &app_board(v->screen.app)->nodes[row];
    if (is_ours(v, n))
        app_run(v->screen.app, APP_SHOWS, n->name, WORDS("status"));
    else
        show_one(v, n);
    return true;
}

/* ---- the view ---- */

const struct view nodes_view = {
    .name = "nodes",
    .tab = "Nodes",
    .board_needs = BOARD_ACCOUNTS | BOARD_NODES,
    .feed_needs = FEED_FIGURES,
    .keys = "{Enter} all it says of itself  {b} back the store up  {R} restore",
    .short_keys = "{Enter} all {b}ackup {R}estore {?} {q}",
    .help = "NODES\n"
            "  the proxies on this store; each writes its row every ten seconds\n"
            "  Enter  all that it says of itself (the one on this host: live)\n"
            "  b      copies the store into a new file, while all goes on\n"
            "  R      replaces the store by such a file: stop credswapd first. What was\n"
            "         there is kept in a file beside it\n"
            "  SILENT    no sign of it for more than 15 s, though it did not stop\n"
            "  SETTINGS  newest: it works with what the store says now\n"
            "            2 OLD: two changes of the settings have not reached it\n"
            "            --: it has not told yet\n",
    .state_size = sizeof(struct nodes),
    .columns = wide,
    .narrow = narrow,
    .column_count = COLUMNS,
    .update = update,
    .draw = draw,
    .key = key};
