/* Hosts and rules: what happens to a CONNECT, in the order in which it is decided; which models
 * each account serves; and what would happen to one host. */
#include "base/mem.h"
#include "conf/conf.h"
#include "ui/term.h"
#include "views/hosts_internal.h"
#include "views/list.h"

#include <stdio.h>

enum rule_column {
    COL_NUMBER,
    COL_HOST,
    COL_ACTION,
    COL_API,
    COL_PATHS,
    COL_HITS,
    RULE_COLUMNS
};
enum model_column {
    COL_ACCOUNT,
    COL_MODEL,
    COL_DOMAIN,
    MODEL_COLUMNS
};

static const struct table_column wide[RULE_COLUMNS] = {
    [COL_NUMBER] = {"#", 3, 0, 0, true},       [COL_HOST] = {"HOST", 33, 64, 0, false},
    [COL_ACTION] = {"ACTION", 6, 0, 0, false}, [COL_API] = {"API", 9, 0, 1, false},
    [COL_PATHS] = {"PATHS", 16, 60, 2, false}, [COL_HITS] = {"HITS/h", 6, 0, 3, true}};
static const struct table_column narrow[RULE_COLUMNS] = {
    [COL_NUMBER] = {"#", 2, 0, 0, true},       [COL_HOST] = {"HOST", 20, 64, 0, false},
    [COL_ACTION] = {"ACTION", 6, 0, 0, false}, [COL_API] = {"API", 0, 0, 1, false},
    [COL_PATHS] = {"PATHS", 0, 0, 2, false},   [COL_HITS] = {"HITS/h", 0, 0, 3, true}};
static const struct table_column model_columns[MODEL_COLUMNS] = {
    [COL_ACCOUNT] = {"ACCOUNT", 14, 40, 0, false},
    [COL_MODEL] = {"MODEL", 24, 60, 0, false},
    [COL_DOMAIN] = {"DOMAIN", 39, 60, 1, false}};

/* ---- rows ---- */

/* Before the rules: ports and addresses. Behind: the token endpoint, and the rest. */
#define FIXED_BEFORE 2

static int fixed_behind(const struct hosts *v)
{
    return v->has_virtual ? 2 : 1;
}

int hosts_row_count(const struct hosts *v)
{
    return FIXED_BEFORE + app_board(v->screen.app)->rule_count + fixed_behind(v);
}

const struct board_rule *hosts_rule(const struct hosts *v, int row, enum fixed *ret_fixed)
{
    const struct board *b = app_board(v->screen.app);
    int behind = row - FIXED_BEFORE - b->rule_count;
    if (row >= FIXED_BEFORE && behind < 0)
        return &b->rules[row - FIXED_BEFORE];
    if (row < FIXED_BEFORE)
        *ret_fixed = row == 0 ? FIXED_PORT : FIXED_ADDRESS;
    else
        *ret_fixed = behind == 0 && v->has_virtual ? FIXED_TOKENS : FIXED_REST;
    return NULL;
}

int hosts_number(const struct hosts *v, int64_t rule_id)
{
    const struct board *b = app_board(v->screen.app);
    for (int i = 0; i < b->rule_count; i++)
        if (b->rules[i].id == rule_id)
            return FIXED_BEFORE + i + 1;
    return 0;
}

const char *hosts_fixed_word(const struct hosts *v, enum fixed f)
{
    if (f == FIXED_TOKENS)
        return "answer";
    return f == FIXED_REST && v->rest == VERDICT_TUNNEL ? "tunnel" : "deny";
}

static int64_t rule_key(void *arg, int row)
{
    enum fixed f = FIXED_REST;
    const struct board_rule *r = hosts_rule(arg, row, &f);
    return r ? r->id : -1 - (int64_t)f;
}

static const char *fixed_host(const struct hosts *v, enum fixed f, char *buf, size_t size)
{
    if (f == FIXED_PORT)
        snprintf(buf, size, "any, on ports other than %s", v->ports);
    else if (f == FIXED_ADDRESS)
        snprintf(buf, size, "addresses: %s", v->deny);
    else if (f == FIXED_TOKENS)
        snprintf(buf, size, "oauth2 and www.googleapis.com");
    else
        snprintf(buf, size, "any other host");
    return buf;
}

static const char *fixed_option(enum fixed f)
{
    static const char *const names[FIXED_COUNT] = {[FIXED_PORT] = "policy.ports",
                                                   [FIXED_ADDRESS] = "policy.deny_networks",
                                                   [FIXED_TOKENS] = "policy.virtual_accounts",
                                                   [FIXED_REST] = "policy.tunnel"};
    return names[f];
}

static void cell_fixed(const struct hosts *v, enum fixed f, int column, struct table_cell *ret)
{
    char host[TABLE_CELL_MAX];
    const char *text = "";
    ret->style = STYLE_DIM;
    if (column == COL_HOST)
        text = fixed_host(v, f, host, sizeof host);
    else if (column == COL_ACTION)
        text = hosts_fixed_word(v, f);
    else if (column == COL_API)
        text = "built in";
    else if (column == COL_PATHS)
        text = fixed_option(f) + strlen("policy.");
    snprintf(ret->text, sizeof ret->text, "%s", text);
}

static const char *paths_of(const struct board_rule *r)
{
    if (*r->paths)
        return r->paths;
    return strcmp(r->action, "swap") == 0 ? "the API's own" : "--";
}

static void cell_rule(const struct board_rule *r, int column, struct table_cell *ret)
{
    const char *text = column == COL_HOST     ? r->pattern
                       : column == COL_ACTION ? r->action
                       : column == COL_PATHS  ? paths_of(r)
                       : *r->api              ? r->api
                                              : "--";
    snprintf(ret->text, sizeof ret->text, "%s", text);
    if (strcmp(r->action, "deny") == 0)
        ret->style = STYLE_WARN;
}

static void rule_cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct hosts *v = arg;
    enum fixed f = FIXED_REST;
    const struct board_rule *r = hosts_rule(v, row, &f);
    if (column == COL_NUMBER) {
        snprintf(ret->text, sizeof ret->text, "%d", row + 1);
        ret->value = row + 1;
        ret->has_value = true;
    } else if (column == COL_HITS) {
        snprintf(ret->text, sizeof ret->text, "--"); /* nobody counts them */
        ret->style = STYLE_DIM;
    } else if (r) {
        cell_rule(r, column, ret);
    } else {
        cell_fixed(v, f, column, ret);
    }
}

static int64_t model_key(void *arg, int row)
{
    const struct hosts *v = arg;
    return app_board(v->screen.app)->models[row].id;
}

static void model_cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct hosts *v = arg;
    const struct board_model *m = &app_board(v->screen.app)->models[row];
    snprintf(ret->text, sizeof ret->text, "%s",
             column == COL_ACCOUNT ? m->account
             : column == COL_MODEL ? m->model
             : *m->domain          ? m->domain
                                   : "the request's own host");
}

static struct table_source rule_source(struct hosts *v)
{
    return (struct table_source){
        .arg = v, .count = hosts_row_count(v), .key = rule_key, .cell = rule_cell};
}

static struct table_source model_source(struct hosts *v)
{
    return (struct table_source){.arg = v,
                                 .count = app_board(v->screen.app)->model_count,
                                 .key = model_key,
                                 .cell = model_cell};
}

static void update(void *state)
{
    struct hosts *v = state;
    const struct board *b = app_board(v->screen.app);
    v->has_virtual = false;
    for (int i = 0; app_conf(v->screen.app)->policy.virtual_accounts && i < b->client_count; i++)
        v->has_virtual |= b->clients[i].has_virtual;
    struct table_source rules = rule_source(v), models = model_source(v);
    table_update(&v->screen.table, &rules);
    table_update(&v->models, &models);
    hosts_look(v);
}

/* ---- drawing ---- */

static void draw_summary(struct hosts *v, struct canvas *c, int y)
{
    const struct board *b = app_board(v->screen.app);
    const struct table *t = v->shows_models ? &v->models : &v->screen.table;
    int x =
        v->shows_models
            ? canvas_putf(c, y, 0, c->width, STYLE_PLAIN,
                          "Model rows %d   an account without rows serves every model",
                          b->model_count)
            : canvas_putf(c, y, 0, c->width, STYLE_PLAIN, "Rules %d, first match decides   v%lld",
                          b->rule_count, (long long)b->generation);
    if (t->filter.count)
        canvas_putf(c, y, x, c->width - x, STYLE_WARN, "   filter: %s", t->filter.text);
}

static int answer_lines(const struct hosts *v)
{
    int n = 0;
    for (size_t i = 0; i < v->answer.n; i++)
        n += v->answer.p[i] == '\n';
    return *v->tested ? n : 1;
}

static void draw_answer(struct hosts *v, struct canvas *c, int y, int height)
{
    struct slice rest = sbuf_slice(&v->answer), line;
    if (!*v->tested) {
        canvas_put(c, y, 1, c->width - 1, STYLE_DIM, SLICE("test a host: t"));
        return;
    }
    for (int i = 0; i < height && slice_next(&rest, '\n', &line); i++)
        if (i == 0)
            canvas_putf(c, y, 1, c->width - 1, STYLE_TITLE, "test a host: %.*s", SLICE_FMT(line));
        else
            canvas_put(c, y + i, 3, c->width - 3,
                       slice_starts(line, SLICE("!")) ? STYLE_WARN : STYLE_PLAIN, line);
}

/* What the row under the cursor means. */
static void draw_meaning(struct hosts *v, struct canvas *c, int y)
{
    enum fixed f = FIXED_REST;
    int row = table_row(&v->screen.table);
    static const char *const fixed[FIXED_COUNT] = {
        [FIXED_PORT] = "a CONNECT to any other port is refused with 403",
        [FIXED_ADDRESS] = "never dialled, also when a name resolves to one; metadata servers, too",
        [FIXED_TOKENS] = "clients' service-account files are answered here, all else passes",
        [FIXED_REST] = "allow, list or deny for hosts without a rule"};
    if (row < 0)
        return;
    const struct board_rule *r = hosts_rule(v, row, &f);
    if (!r)
        canvas_putf(c, y, 1, c->width - 1, STYLE_DIM, "%s: %s", fixed_option(f), fixed[f]);
    else if (strcmp(r->action, "swap") == 0)
        canvas_putf(c, y, 1, c->width - 1, STYLE_PLAIN,
                    "rule %d: an account's token takes the placeholder's place   paths: %s",
                    row + 1, *r->paths ? r->paths : "the API's own");
    else
        canvas_putf(c, y, 1, c->width - 1, STYLE_PLAIN, "rule %d: %s", row + 1,
                    strcmp(r->action, "tunnel") == 0 ? "passed on untouched, unread"
                                                     : "refused with 403");
}

static void draw_list(struct hosts *v, struct canvas *c, int y, int height)
{
    v->screen.table_y = y;
    struct table_source src = v->shows_models ? model_source(v) : rule_source(v);
    table_draw(v->shows_models ? &v->models : &v->screen.table, &src, c, y, 0, c->width, height);
    if (src.count == 0)
        canvas_put(c, y + 1, 1, c->width - 1, STYLE_DIM,
                   SLICE("no row: every account serves every model of its kind; a adds one"));
}

static void draw(void *state, struct canvas *c, int y, int height)
{
    struct hosts *v = state;
    int end = y + height, answer = answer_lines(v);
    bool is_small = app_is_small(v->screen.app);
    if (!is_small)
        draw_summary(v, c, y++);
    int count = v->shows_models ? app_board(v->screen.app)->model_count : hosts_row_count(v);
    int list = (count > 0 ? count : 1) + 1, room = end - y;
    int below = is_small ? (*v->tested ? 3 : 0) : answer + 3;
    if (list > room - below)
        list = room - below > 4 ? room - below : 4;
    list = list < room ? list : room;
    if (list <= 0)
        return;
    draw_list(v, c, y, list);
    y += list;
    if (is_small) {
        if (*v->tested)
            draw_answer(v, c, y, end - y < 3 ? end - y : 3);
        return;
    }
    if (!v->shows_models && y < end)
        draw_meaning(v, c, y + 1);
    if (y + 3 < end)
        draw_answer(v, c, y + 3, end - y - 3);
}

/* ---- the screen ---- */

static void init(void *state)
{
    struct hosts *v = state;
    sbuf_init(&v->answer, 4096);
    table_init(&v->models, model_columns, MODEL_COLUMNS, -1, false);
    hosts_read_conf(v);
}

static void finish(void *state)
{
    struct hosts *v = state;
    table_finish(&v->models);
    policy_destroy(v->policy);
    sbuf_finish(&v->answer);
}

static bool key(void *state, int key)
{
    struct hosts *v = state;
    if (key == 'M')
        v->shows_models = !v->shows_models;
    else if (key == TERM_ESC && *v->tested && !v->screen.table.filter.count &&
             !v->models.filter.count)
        v->tested[0] = '\0';
    else
        return hosts_key(v, key);
    update(v);
    return true;
}

static struct table *table(void *state)
{
    struct hosts *v = state;
    return v->shows_models ? &v->models : &v->screen.table;
}

const struct view hosts_view = {
    .name = "hosts",
    .tab = "Hosts",
    .board_needs = BOARD_ACCOUNTS | BOARD_CLIENTS | BOARD_RULES | BOARD_MODELS,
    .feed_needs = FEED_FIGURES,
    .keys = "{t} test a host {a} add {e} edit {D} remove {M} models {u} undo",
    .short_keys = "{t}est {a}dd {e}dit {D}el {M}odels {?} {q}",
    .help = "HOSTS AND RULES\n"
            "  The first row that matches decides: whole names before patterns, longer\n"
            "  patterns before shorter ones. Built-in rows come from the configuration.\n"
            "  t  test a host: which rule decides, and how many accounts could serve it\n"
            "     (Esc ends it; it is looked at again whenever something changes)\n"
            "  a  add a rule    e Enter  change it    D  remove it\n"
            "  M  model rows and back: which models an account serves, and where\n"
            "     there: a  add a row    D  remove it\n"
            "\n"
            "  swap    TLS ends here, and a token of an account takes the placeholder's place\n"
            "  tunnel  passed on untouched         deny  refused with 403\n"
            "  host  *.domain (any depth)  *-suffix (one label)  *  are patterns\n",
    .state_size = sizeof(struct hosts),
    .columns = wide,
    .narrow = narrow,
    .column_count = RULE_COLUMNS,
    .init = init,
    .finish = finish,
    .update = update,
    .draw = draw,
    .key = key,
    .table = table};
