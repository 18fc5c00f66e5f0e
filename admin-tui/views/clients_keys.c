/* What is done on the clients screen: each is a subcommand, asked for y. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/quantity.h"
#include "store/client.h"
#include "ui/term.h"
#include "views/clients_internal.h"

#include <stdio.h>

#define FIELD(label_, value_, hint_, width_)                                                       \
    {                                                                                              \
        .label = (label_), .value = (value_), .hint = (hint_), .width = (width_),                  \
        .most = CLIENT_TEXT - 1                                                                    \
    }

/* Of the form that adds one; that of the limits has the last four and a note. */
enum field {
    F_NAME,
    F_SERVICE,
    F_POOL,
    F_EXPIRES,
    F_RPM,
    F_TOKENS,
    F_MODELS
};
#define F_NOTE F_NAME /* of the limits: a name is not changed there */

static bool refuse(struct errmsg *problem, const char *sentence)
{
    (void)err_set(problem, ERR_INVALID, "%s", sentence);
    return false;
}

/* ---- values ---- */

static bool take_text(struct slice text, char to[CLIENT_TEXT], struct errmsg *problem)
{
    return slice_copy(text, to, CLIENT_TEXT) || refuse(problem, "that is too long");
}

static bool check_limits(const struct clients *v, struct errmsg *problem)
{
    int64_t n;
    if (*v->form[F_EXPIRES] && strcmp(v->form[F_EXPIRES], v->was[F_EXPIRES]) != 0 &&
        !expiry_parse(v->form[F_EXPIRES], app_board(v->screen.app)->now_s, &n))
        return refuse(problem, "expires: a time ahead, such as 30d, 12h, 2027-01-31, or never");
    if (*v->form[F_RPM] && !quantity_parse(v->form[F_RPM], &n))
        return refuse(problem, "requests/min: a number such as 60 or 1k; 0 is no limit");
    if (*v->form[F_TOKENS] && !quantity_parse(v->form[F_TOKENS], &n))
        return refuse(problem, "tokens/day: a number such as 500k or 10M; 0 is no limit");
    return true;
}

static bool check_pool(const struct clients *v, const char *pool, struct errmsg *problem)
{
    if (board_pool_find(app_board(v->screen.app), pool) >= 0)
        return true;
    (void)err_set(problem, ERR_INVALID, "there is no pool %.64s; 1 shows those that are", pool);
    return false;
}

/* ---- adding ---- */

static void add_now(void *state)
{
    struct clients *v = state;
    static const char *const options[CLIENT_FIELDS] = {
        [F_SERVICE] = "--service",       [F_POOL] = "--pool",
        [F_EXPIRES] = "--expires",       [F_RPM] = "--rpm",
        [F_TOKENS] = "--tokens-per-day", [F_MODELS] = "--models"};
    const char *words[3 + 2 * CLIENT_FIELDS] = {"client", "add", v->form[F_NAME]};
    int n = 3;
    for (int i = F_SERVICE; i <= F_MODELS; i++)
        if (*v->form[i]) {
            words[n++] = options[i];
            words[n++] = v->form[i];
        }
    app_run_words(v->screen.app, APP_SHOWS | APP_SECRET, "client added", words, n, SLICE(""));
}

static const char *or_else(const char *text, const char *other)
{
    return *text ? text : other;
}

static void review_add(struct clients *v)
{
    char text[4 * CLIENT_TEXT];
    snprintf(
        text, sizeof text,
        "name          %.64s\nservice       %.10s\npool          %.64s\n"
        "expires       %.40s\nrequests/min  %.20s\ntokens/day    %.20s\nmodels        %.300s\n\n"
        "its placeholder is shown once, and never again\n",
        v->form[F_NAME], v->form[F_SERVICE], or_else(v->form[F_POOL], v->form[F_SERVICE]),
        or_else(v->form[F_EXPIRES], "never"), or_else(v->form[F_RPM], "no limit"),
        or_else(v->form[F_TOKENS], "no limit"), or_else(v->form[F_MODELS], "every one"));
    app_confirm(v->screen.app, "add this client?", text, add_now, v);
}

static bool take_add(void *state, struct entry *e, struct errmsg *problem)
{
    struct clients *v = state;
    enum service service;
    v->was[F_EXPIRES][0] = '\0';
    for (int i = F_NAME; i <= F_MODELS; i++)
        if (!take_text(entry_text(e, i), v->form[i], problem))
            return false;
    if (!name_is_valid(slice_of(v->form[F_NAME])))
        return refuse(problem, "a name has 1 to 64 letters, digits or ._-");
    const struct board *b = app_board(v->screen.app);
    for (int i = 0; i < b->client_count; i++)
        if (strcmp(b->clients[i].name, v->form[F_NAME]) == 0)
            return refuse(problem, "there is a client of that name");
    if (!service_from(slice_of(v->form[F_SERVICE]), &service))
        return refuse(problem, "the service is gemini or claude");
    if (*v->form[F_POOL] && !check_pool(v, v->form[F_POOL], problem))
        return false;
    if (!check_limits(v, problem))
        return false;
    review_add(v);
    return true;
}

static void ask_add(struct clients *v)
{
    static const struct entry_field fields[CLIENT_FIELDS] = {
        [F_NAME] = FIELD("name", "", "who it is, for people: alice, ci-monorepo", 32),
        [F_SERVICE] = FIELD("service", "gemini", "gemini or claude", 12),
        [F_POOL] = FIELD("pool", "", "whose accounts serve it; empty: the service's own", 32),
        [F_EXPIRES] = FIELD("expires", "", "30d, 12h, 2027-01-31; empty: never", 16),
        [F_RPM] = FIELD("requests/min", "", "60, 1k; empty: no limit", 12),
        [F_TOKENS] = FIELD("tokens/day", "", "500k, 10M; empty: no limit", 12),
        [F_MODELS] = FIELD("models", "", "patterns with commas, gemini-*; empty: every one", 40)};
    app_ask_form(v->screen.app, "add a client", fields, CLIENT_FIELDS, take_add, v);
}

/* ---- limits ---- */

static const struct {
    enum field field;
    const char *key, *title;
} limits[] = {{F_EXPIRES, "expires", "expires"},
              {F_RPM, "rpm", "requests/min"},
              {F_TOKENS, "tokens-per-day", "tokens/day"},
              {F_MODELS, "models", "models"},
              {F_NOTE, "note", "note"}};

static bool is_new(const struct clients *v, enum field f)
{
    return strcmp(v->form[f], v->was[f]) != 0;
}

static void set_limits_now(void *state)
{
    struct clients *v = state;
    static char pairs[ARRAY_LEN(limits)][CLIENT_TEXT + 32];
    const char *words[3 + ARRAY_LEN(limits)] = {"client", "set", v->chosen};
    int n = 3;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        enum field f = limits[i].field;
        bool is_number = f == F_RPM || f == F_TOKENS;
        if (!is_new(v, f))
            continue;
        snprintf(pairs[i], sizeof pairs[i], "%s=%s", limits[i].key,
                 *v->form[f] ? v->form[f]
                 : is_number ? "0"
                             : (f == F_EXPIRES ? "never" : ""));
        words[n++] = pairs[i];
    }
    app_run_words(v->screen.app, 0, "limits set", words, n, SLICE(""));
}

static bool take_limits(void *state, struct entry *e, struct errmsg *problem)
{
    struct clients *v = state;
    struct sbuf text;
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (!take_text(entry_text(e, (int)i), v->form[limits[i].field], problem))
            return false;
    if (!check_limits(v, problem))
        return false;
    sbuf_init(&text, 8192);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        enum field f = limits[i].field;
        const char *none = f == F_MODELS ? "every one" : f == F_EXPIRES ? "never" : "none";
        if (!is_new(v, f))
            continue;
        sbuf_addf(&text, "%-12s  %.200s -> %.200s\n", limits[i].title, or_else(v->was[f], none),
                  or_else(v->form[f], none));
        n++;
    }
    sbuf_adds(&text, "\nit counts from the next request on\n");
    if (n)
        app_confirm(v->screen.app, v->chosen, sbuf_z(&text), set_limits_now, v);
    sbuf_finish(&text);
    return n > 0 || refuse(problem, "nothing is different; Esc goes back");
}

static void ask_limits(struct clients *v, const struct board_client *c)
{
    char utc[32];
    clock_format_utc(c->expires_at, utc, sizeof utc);
    snprintf(v->was[F_EXPIRES], CLIENT_TEXT, "%s", c->expires_at ? utc : "never");
    snprintf(v->was[F_RPM], CLIENT_TEXT, "%lld", (long long)c->rpm);
    snprintf(v->was[F_TOKENS], CLIENT_TEXT, "%lld", (long long)c->tokens_per_day);
    snprintf(v->was[F_MODELS], CLIENT_TEXT, "%s", c->models);
    snprintf(v->was[F_NOTE], CLIENT_TEXT, "%s", c->note);
    const struct entry_field fields[] = {
        FIELD("expires", v->was[F_EXPIRES], "30d, 12h, 2027-01-31 or never", 24),
        FIELD("requests/min", v->was[F_RPM], "60, 1k; 0: no limit", 16),
        FIELD("tokens/day", v->was[F_TOKENS], "500k, 10M; 0: no limit", 16),
        FIELD("models", v->was[F_MODELS], "patterns with commas; empty: every one", 40),
        FIELD("note", v->was[F_NOTE], "for people", 40)};
    if (strlen(c->models) >= CLIENT_TEXT || strlen(c->note) >= CLIENT_TEXT)
        app_say(v->screen.app, STYLE_FAIL,
                "ERROR  its models or note are too long for a form: use :");
    else
        app_ask_form(v->screen.app, v->chosen, fields, ARRAY_LEN(fields), take_limits, v);
}

/* ---- on and off ---- */

struct switching {
    bool is_on;
    int count;
    char (*names)[STAGE_NAME];
};

static void switching_free(void *arg)
{
    struct switching *s = arg;
    mem_free(s->names);
    mem_free(s);
}

static enum err switch_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct switching *s = arg;
    const struct client_fields f = {.is_on = &s->is_on};
    enum err e = ERR_OK;
    for (int i = 0; e == ERR_OK && i < s->count; i++)
        e = client_set(c->store, slice_of(s->names[i]), &f, msg);
    return e;
}

static void switch_now(struct clients *v, bool is_on)
{
    struct table_source src = clients_source(v);
    struct switching *s = mem_calloc(1, sizeof *s);
    struct sbuf what;
    if (s)
        s->names = mem_calloc((size_t)src.count + 1, sizeof *s->names);
    if (!s || !s->names) {
        mem_free(s);
        app_say(v->screen.app, STYLE_FAIL, "ERROR  %s", err_str(ERR_NOMEM));
        return;
    }
    s->is_on = is_on;
    sbuf_init(&what, 400);
    for (int i = 0; i < src.count; i++) {
        const struct board_client *c = clients_at(v, i);
        bool is_meant = v->screen.table.mark_count ? table_is_marked(&v->screen.table, c->id)
                                                   : strcmp(c->name, v->chosen) == 0;
        if (!is_meant)
            continue;
        snprintf(s->names[s->count++], STAGE_NAME, "%s", c->name);
        if (what.n < 300)
            sbuf_addf(&what, "%s%.64s", what.n ? ", " : "client ", c->name);
        else if (what.n < 303)
            sbuf_adds(&what, " ...");
    }
    sbuf_addf(&what, ": state=%s", is_on ? "on" : "off");
    app_change(v->screen.app, switch_change, s, switching_free, sbuf_z(&what));
    table_unmark(&v->screen.table);
    sbuf_finish(&what);
}

static void switch_on(void *state)
{
    switch_now(state, true);
}

static void switch_off(void *state)
{
    switch_now(state, false);
}

static void add_marked(const struct clients *v, struct sbuf *text)
{
    struct table_source src = clients_source((struct clients *)(uintptr_t)v);
    if (!v->screen.table.mark_count)
        sbuf_addf(text, "%s\n", v->chosen);
    for (int i = 0; v->screen.table.mark_count && i < src.count; i++)
        if (table_is_marked(&v->screen.table, clients_at(v, i)->id))
            sbuf_addf(text, "%s\n", clients_at(v, i)->name);
}

static void ask_switch(struct clients *v, const struct board_client *c, bool is_on)
{
    struct sbuf text;
    if (is_on && !v->screen.table.mark_count && strcmp(c->state, "revoked") == 0) {
        app_say(v->screen.app, STYLE_PLAIN,
                "it has no placeholder: t makes one, then e puts it on");
        return;
    }
    sbuf_init(&text, 1u << 20);
    add_marked(v, &text);
    sbuf_adds(&text, is_on ? "\nanswered again from the next request on\n"
                           : "\nanswered with 403 from the next request on\n"
                             "requests under way go on to their end\n");
    if (is_on && !v->screen.table.mark_count && strcmp(c->state, "expired") == 0)
        sbuf_adds(&text, "! it has expired: it stays refused until l sets another day\n");
    app_confirm(v->screen.app, is_on ? "put on?" : "switch off?", sbuf_z(&text),
                is_on ? switch_on : switch_off, v);
    sbuf_finish(&text);
}

/* ---- one client ---- */

static void rotate_now(void *state)
{
    struct clients *v = state;
    app_run(v->screen.app, APP_SHOWS | APP_SECRET, "new token",
            WORDS("client", "rotate", v->chosen));
}

static void ask_rotate(struct clients *v, const struct board_client *c)
{
    char text[512];
    bool is_revoked = strcmp(c->state, "revoked") == 0;
    snprintf(text, sizeof text,
             "%.64s gets a new placeholder, which is shown once\n"
             "! the old one (%.20s..) ends at once: whoever uses it gets 401\n%s",
             v->chosen, *c->visible ? c->visible : "--",
             is_revoked ? "it stays off: e puts it on afterwards\n" : "");
    app_confirm(v->screen.app, "a new token?", text, rotate_now, v);
}

static void revoke_now(void *state)
{
    struct clients *v = state;
    app_run(v->screen.app, 0, "revoked", WORDS("client", "revoke", v->chosen));
}

static void ask_revoke(struct clients *v)
{
    char text[512];
    snprintf(text, sizeof text,
             "%.64s loses its placeholder and its service-account file, at once\n"
             "! they cannot be brought back: undo makes no new ones\n"
             "to rest it, use x (off); for another placeholder, t\n",
             v->chosen);
    app_confirm_typed(v->screen.app, "revoke this client?", text, v->chosen, revoke_now, v);
}

static void move_now(void *state)
{
    struct clients *v = state;
    app_run(v->screen.app, 0, "moved", WORDS("client", "set", v->chosen, v->path));
}

static bool take_pool(void *state, struct slice text, struct errmsg *problem)
{
    struct clients *v = state;
    char pool[STAGE_NAME], ask[512];
    if (!slice_copy(text, pool, sizeof pool) || !check_pool(v, pool, problem))
        return *problem->text ? false : refuse(problem, "that is too long");
    snprintf(v->path, sizeof v->path, "pool=%s", pool);
    snprintf(ask, sizeof ask,
             "%.64s: pool %.64s -> %.64s\n\nits next request goes to an account of that pool\n"
             "! files, caches and operations that it made at the old one's accounts stay there\n",
             v->chosen, v->was[F_POOL], pool);
    app_confirm(v->screen.app, "another pool?", ask, move_now, v);
    return true;
}

static void ask_pool(struct clients *v, const struct board_client *c)
{
    char prompt[STAGE_NAME + 16];
    snprintf(v->was[F_POOL], CLIENT_TEXT, "%s", c->pool);
    snprintf(prompt, sizeof prompt, "pool of %s: ", v->chosen);
    app_ask_line(v->screen.app, prompt, c->pool, take_pool, v);
}

static void virtual_now(void *state)
{
    struct clients *v = state;
    app_run(v->screen.app, 0, "service-account file written",
            WORDS("client", "service-account", v->chosen, "--out", v->path));
}

static bool take_path(void *state, struct slice text, struct errmsg *problem)
{
    struct clients *v = state;
    char ask[CLIENT_TEXT + 512];
    if (text.n == 0 || text.p[0] == '-')
        return refuse(problem, "the name of a new file");
    if (!take_text(text, v->path, problem))
        return false;
    snprintf(ask, sizeof ask,
             "%.64s gets a service-account file of our own making:\n%s (mode 0600)\n\n"
             "it works through this proxy only, and nothing of it is shown here\n"
             "! an earlier file of this client ends at once\n",
             v->chosen, v->path);
    app_confirm(v->screen.app, "write this file?", ask, virtual_now, v);
    return true;
}

static void ask_virtual(struct clients *v)
{
    char name[STAGE_NAME + 8];
    snprintf(name, sizeof name, "%s.json", v->chosen);
    app_ask_line(v->screen.app, "write its service-account file to: ", name, take_path, v);
}

static bool take_explain(void *state, struct entry *e, struct errmsg *problem)
{
    struct clients *v = state;
    char model[CLIENT_TEXT], host[CLIENT_TEXT];
    const char *words[8] = {"explain", "--client", v->chosen};
    int n = 3;
    if (!take_text(entry_text(e, 0), model, problem) || !take_text(entry_text(e, 1), host, problem))
        return false;
    if (*model) {
        words[n++] = "--model";
        words[n++] = model;
    }
    if (*host) {
        words[n++] = "--host";
        words[n++] = host;
    }
    app_run_words(v->screen.app, APP_SHOWS, "who would serve it", words, n, SLICE(""));
    return true;
}

static void ask_explain(struct clients *v)
{
    static const struct entry_field fields[] = {
        FIELD("model", "", "gemini-2.5-pro; empty: a request that names none", 40),
        FIELD("host", "", "empty: the one that fits its pool's first account", 40)};
    app_ask_form(v->screen.app, "explain: which account would serve it?", fields, 2, take_explain,
                 v);
}

static bool key_one(struct clients *v, const struct board_client *c, int key)
{
    switch (key) {
    case TERM_ENTER:
        app_run(v->screen.app, APP_SHOWS, v->chosen, WORDS("client", "show", v->chosen));
        return true;
    case 't':
        ask_rotate(v, c);
        return true;
    case 'l':
        ask_limits(v, c);
        return true;
    case 'x':
    case 'e':
        ask_switch(v, c, key == 'e');
        return true;
    case 'R':
        ask_revoke(v);
        return true;
    case 'o':
        ask_pool(v, c);
        return true;
    case 'V':
        ask_virtual(v);
        return true;
    case 'E':
        ask_explain(v);
        return true;
    default:
        return false;
    }
}

bool clients_key(struct clients *v, int key)
{
    if (key == 'a') {
        ask_add(v);
        return true;
    }
    int row = table_row(&v->screen.table);
    if (row < 0)
        return false;
    const struct board_client *c = clients_at(v, row);
    snprintf(v->chosen, sizeof v->chosen, "%s", c->name);
    return key_one(v, c, key);
}
