/* What is done on the hosts screen: rules and model rows, asked for y; a test needs no asking. */
#include "base/check.h"
#include "cli/cli.h"
#include "store/rule.h"
#include "ui/term.h"
#include "views/hosts_internal.h"

#include <stdio.h>

#define FIELD(label_, value_, hint_, width_)                                                       \
    {                                                                                              \
        .label = (label_), .value = (value_), .hint = (hint_), .width = (width_),                  \
        .most = HOST_TEXT - 1                                                                      \
    }

enum rule_field {
    F_PATTERN,
    F_ACTION,
    F_API,
    F_PATHS
};
enum model_field {
    F_ACCOUNT,
    F_MODEL,
    F_DOMAIN
};

static bool refuse(struct errmsg *problem, const char *sentence)
{
    (void)err_set(problem, ERR_INVALID, "%s", sentence);
    return false;
}

static bool take_fields(struct hosts *v, struct entry *e, int count, struct errmsg *problem)
{
    for (int i = 0; i < count; i++)
        if (!slice_copy(entry_text(e, i), v->form[i], HOST_TEXT))
            return refuse(problem, "that is too long");
    return true;
}

static const char *or_else(const char *text, const char *other)
{
    return *text ? text : other;
}

/* ---- testing ---- */

static bool take_test(void *state, struct slice text, struct errmsg *problem)
{
    struct hosts *v = state;
    struct authority a;
    char host[sizeof v->tested];
    if (!slice_copy(text, host, sizeof host) || authority_parse(slice_of(host), 443, &a) != ERR_OK)
        return refuse(problem, "that is no HOST or HOST:PORT; the proxy would answer 400");
    memcpy(v->tested, host, sizeof host);
    hosts_look(v);
    return true;
}

/* At first the host under the cursor, when it is one. */
static void ask_test(struct hosts *v)
{
    enum fixed f = FIXED_REST;
    int row = v->shows_models ? -1 : table_row(&v->screen.table);
    const struct board_rule *r = row >= 0 ? hosts_rule(v, row, &f) : NULL;
    bool is_whole = r && r->pattern[0] != '*' && strlen(r->pattern) < sizeof v->tested;
    app_ask_line(v->screen.app, "test HOST[:PORT]: ", is_whole ? r->pattern : v->tested, take_test,
                 v);
}

/* ---- rules ---- */

static void set_rule(void *state)
{
    struct hosts *v = state;
    const char *words[9] = {"host", "set"};
    int n = 2;
    if (*v->form[F_API]) {
        words[n++] = "--api";
        words[n++] = v->form[F_API];
    }
    if (*v->form[F_PATHS]) {
        words[n++] = "--paths";
        words[n++] = v->form[F_PATHS];
    }
    words[n++] = v->form[F_PATTERN];
    words[n++] = v->form[F_ACTION];
    app_run_words(v->screen.app, 0, "rule set", words, n, SLICE(""));
}

/* Is what is to be added there already? */
static const struct board_rule *find_rule(const struct hosts *v, const char *pattern)
{
    const struct board *b = app_board(v->screen.app);
    for (int i = 0; i < b->rule_count; i++)
        if (slice_ieq(slice_of(b->rules[i].pattern), slice_of(pattern)))
            return &b->rules[i];
    return NULL;
}

static void add_line(struct hosts *v, struct sbuf *text, const char *title, enum rule_field f,
                     const char *none)
{
    const char *to = or_else(v->form[f], none);
    bool is_other = v->is_change && strcmp(v->was[f], v->form[f]) != 0;
    if (is_other)
        sbuf_addf(text, "%-8s  %.200s -> %.200s\n", title, or_else(v->was[f], none), to);
    else
        sbuf_addf(text, "%-8s  %.200s\n", title, to);
}

static void remember(struct hosts *v, const struct board_rule *r)
{
    v->is_change = r != NULL;
    snprintf(v->was[F_PATTERN], HOST_TEXT, "%s", r ? r->pattern : "");
    snprintf(v->was[F_ACTION], HOST_TEXT, "%s", r ? r->action : "");
    snprintf(v->was[F_API], HOST_TEXT, "%s", r ? r->api : "");
    snprintf(v->was[F_PATHS], HOST_TEXT, "%s", r ? r->paths : "");
}

static void review_rule(struct hosts *v)
{
    struct sbuf text;
    bool is_swap = strcmp(v->form[F_ACTION], "swap") == 0;
    remember(v, find_rule(v, v->form[F_PATTERN]));
    sbuf_init(&text, 8192);
    add_line(v, &text, "host", F_PATTERN, "");
    add_line(v, &text, "action", F_ACTION, "");
    add_line(v, &text, "api", F_API, is_swap ? "its own, where it is known" : "none");
    add_line(v, &text, "paths", F_PATHS, is_swap ? "the API's own" : "none");
    sbuf_adds(&text, "\nit counts from the next request on; open tunnels stay open\n");
    if (v->is_change && strcmp(v->was[F_ACTION], "swap") == 0 && !is_swap)
        sbuf_adds(&text, "! clients' requests to it are no longer given a token\n");
    if (strcmp(v->form[F_PATTERN], "*") == 0 && strcmp(v->form[F_ACTION], "tunnel") == 0)
        sbuf_adds(&text, "! every host that no other rule knows is open to whoever may connect\n");
    if (*v->edited && strcmp(v->edited, v->form[F_PATTERN]) != 0)
        sbuf_addf(&text, "! the rule for %.200s stays as it is: D removes it\n", v->edited);
    app_confirm(v->screen.app, v->is_change ? "change this rule?" : "add this rule?", sbuf_z(&text),
                set_rule, v);
    sbuf_finish(&text);
}

static bool take_rule(void *state, struct entry *e, struct errmsg *problem)
{
    struct hosts *v = state;
    enum rule_action action;
    enum api api;
    if (!take_fields(v, e, HOST_FIELDS, problem))
        return false;
    for (char *z = v->form[F_PATTERN]; *z; z++)
        *z = ascii_lower(*z);
    if (v->form[F_PATTERN][0] == '-' || !rule_pattern_is_valid(slice_of(v->form[F_PATTERN])))
        return refuse(problem, "the host is a name, *.domain, *-suffix or *");
    if (!rule_action_from(slice_of(v->form[F_ACTION]), &action))
        return refuse(problem, "the action is swap, tunnel or deny");
    if (action != RULE_SWAP && (*v->form[F_API] || *v->form[F_PATHS]))
        return refuse(problem, "api and paths are for swap: empty them");
    if (*v->form[F_API] && !api_from(slice_of(v->form[F_API]), &api))
        return refuse(problem, "the api is gemini, vertex or anthropic");
    review_rule(v);
    return true;
}

static void ask_rule(struct hosts *v, const struct board_rule *r)
{
    snprintf(v->edited, sizeof v->edited, "%s", r ? r->pattern : "");
    const struct entry_field fields[HOST_FIELDS] = {
        [F_PATTERN] =
            FIELD("host", r ? r->pattern : "", "a name, *.domain, *-suffix (one label), or *", 44),
        [F_ACTION] = FIELD("action", r ? r->action : "tunnel", "swap, tunnel or deny", 10),
        [F_API] =
            FIELD("api", r ? r->api : "", "swap: gemini, vertex or anthropic; empty: as known", 12),
        [F_PATHS] = FIELD("paths", r ? r->paths : "",
                          "swap: globs with commas; empty: the API's own; '*' all", 44)};
    app_ask_form(v->screen.app, r ? "change a rule" : "add a rule", fields, HOST_FIELDS, take_rule,
                 v);
}

static void remove_rule(void *state)
{
    struct hosts *v = state;
    app_run(v->screen.app, 0, "rule removed", WORDS("host", "rm", v->form[F_PATTERN]));
}

static void ask_remove_rule(struct hosts *v, const struct board_rule *r)
{
    char text[1024];
    bool is_swap = strcmp(r->action, "swap") == 0;
    snprintf(v->form[F_PATTERN], HOST_TEXT, "%s", r->pattern);
    snprintf(text, sizeof text,
             "%.253s: %.10s %.12s\n\nthe next rule that matches decides then\n%s", r->pattern,
             r->action, r->api,
             is_swap ? "! clients' requests to it are no longer given a token\n" : "");
    app_confirm(v->screen.app, "remove this rule?", text, remove_rule, v);
}

/* ---- model rows ---- */

static void set_model(void *state)
{
    struct hosts *v = state;
    const char *words[5] = {"model", "set", v->form[F_ACCOUNT], v->form[F_MODEL]};
    int n = 4;
    if (*v->form[F_DOMAIN])
        words[n++] = v->form[F_DOMAIN];
    app_run_words(v->screen.app, 0, "model row set", words, n, SLICE(""));
}

static bool take_model(void *state, struct entry *e, struct errmsg *problem)
{
    struct hosts *v = state;
    char text[3 * HOST_TEXT];
    if (!take_fields(v, e, 3, problem))
        return false;
    int at = board_account_find(app_board(v->screen.app), v->form[F_ACCOUNT]);
    if (at < 0)
        return refuse(problem, "there is no such account; 1 shows those that are");
    if (!*v->form[F_MODEL] || v->form[F_MODEL][0] == '-')
        return refuse(problem, "a model, or a pattern such as gemini-*");
    if (v->form[F_DOMAIN][0] == '-')
        return refuse(problem, "a host name; empty: the request's own host");
    snprintf(text, sizeof text, "account  %.64s\nmodel    %.128s\ndomain   %.253s\n\n%s",
             v->form[F_ACCOUNT], v->form[F_MODEL],
             or_else(v->form[F_DOMAIN], "the request's own host"),
             app_board(v->screen.app)->accounts[at].models
                 ? "it serves this beside the models that it has\n"
                 : "! it has no rows and serves every model: from now on only this one\n");
    app_confirm(v->screen.app, "add this row?", text, set_model, v);
    return true;
}

static void ask_model(struct hosts *v)
{
    int row = table_row(&v->models);
    const struct board_model *m = row >= 0 ? &app_board(v->screen.app)->models[row] : NULL;
    const struct entry_field fields[] = {
        FIELD("account", m ? m->account : "", "who serves it", 40),
        FIELD("model", "", "gemini-2.5-pro, or a pattern: gemini-*", 40),
        FIELD("domain", "", "europe-west4-aiplatform.googleapis.com; empty: the request's own",
              44)};
    app_ask_form(v->screen.app, "add a model row", fields, 3, take_model, v);
}

static void remove_model(void *state)
{
    struct hosts *v = state;
    app_run(v->screen.app, 0, "model row removed",
            WORDS("model", "rm", v->form[F_ACCOUNT], v->form[F_MODEL]));
}

static int rows_of(const struct board *b, const char *account)
{
    int n = 0;
    for (int i = 0; i < b->model_count; i++)
        n += strcmp(b->models[i].account, account) == 0;
    return n;
}

static void ask_remove_model(struct hosts *v, const struct board_model *m)
{
    char text[1024];
    bool is_last = rows_of(app_board(v->screen.app), m->account) == 1;
    snprintf(v->form[F_ACCOUNT], HOST_TEXT, "%s", m->account);
    snprintf(v->form[F_MODEL], HOST_TEXT, "%s", m->model);
    snprintf(
        text, sizeof text, "%.64s no longer serves %.128s by this row\n%s", m->account, m->model,
        is_last ? "! it is its last one: from now on it serves every model of its kind\n" : "");
    app_confirm(v->screen.app, "remove this row?", text, remove_model, v);
}

/* ---- keys ---- */

static bool key_models(struct hosts *v, int key)
{
    int row = table_row(&v->models);
    if (key == 'a')
        ask_model(v);
    else if (key == 'D' && row >= 0)
        ask_remove_model(v, &app_board(v->screen.app)->models[row]);
    else
        return false;
    return true;
}

static bool key_rules(struct hosts *v, int key)
{
    enum fixed f = FIXED_REST;
    int row = table_row(&v->screen.table);
    const struct board_rule *r = row >= 0 ? hosts_rule(v, row, &f) : NULL;
    if (key == 'a') {
        ask_rule(v, NULL);
    } else if (key != 'e' && key != 'D' && key != TERM_ENTER) {
        return false;
    } else if (!r) {
        app_say(v->screen.app, STYLE_PLAIN,
                "this row is of the configuration file, not of the store");
    } else if (key == 'D') {
        ask_remove_rule(v, r);
    } else {
        ask_rule(v, r);
    }
    return true;
}

bool hosts_key(struct hosts *v, int key)
{
    if (key == 't') {
        ask_test(v);
        return true;
    }
    return v->shows_models ? key_models(v, key) : key_rules(v, key);
}
