/* ':' and a line in the words of the command line. What only looks runs at once; what changes
 * something is asked for y first. */
#include "base/check.h"
#include "cli/commands.h"
#include "views/app_internal.h"

#include <stdio.h>

#define WORDS_MAX 64

struct words {
    char text[ENTRY_TEXT_MAX];
    const char *v[WORDS_MAX];
    int count;
};

/* Words at spaces; quotes of both kinds hold a word together. */
static bool split(struct slice line, struct words *w, struct errmsg *problem)
{
    size_t n = 0;
    w->count = 0;
    for (size_t at = 0; at < line.n;) {
        if (line.p[at] == ' ') {
            at++;
            continue;
        }
        if (w->count == WORDS_MAX || line.n >= sizeof w->text)
            return err_set(problem, ERR_TOO_LARGE, "too many words") == ERR_OK;
        w->v[w->count++] = &w->text[n];
        char quote = '\0';
        for (; at < line.n && (quote || line.p[at] != ' '); at++) {
            char c = line.p[at];
            if (quote ? c == quote : c == '"' || c == '\'')
                quote = quote ? '\0' : c;
            else
                w->text[n++] = c;
        }
        if (quote)
            return err_set(problem, ERR_INVALID, "a %c is not closed", quote) == ERR_OK;
        w->text[n++] = '\0';
    }
    return true;
}

/* Nothing of the store, the disk or the daemon is different afterwards. */
static const char *const lookers[][2] = {
    {"status", NULL},    {"tokens", NULL},    {"usage", NULL},    {"requests", NULL},
    {"events", NULL},    {"explain", NULL},   {"doctor", NULL},   {"wait", NULL},
    {"account", "list"}, {"account", "show"}, {"pool", "list"},   {"client", "list"},
    {"client", "show"},  {"host", "list"},    {"host", "test"},   {"model", "list"},
    {"pin", "list"},     {"ca", "show"},      {"config", "show"}, {"env", NULL},
    {"account", "test"}};

static bool only_looks(const struct command *c)
{
    for (size_t i = 0; i < ARRAY_LEN(lookers); i++)
        if (strcmp(c->noun, lookers[i][0]) == 0 &&
            (lookers[i][1] ? c->verb && strcmp(c->verb, lookers[i][1]) == 0 : c->verb == NULL))
            return true;
    return false;
}

struct asked {
    struct app *app;
    struct words words;
    char line[ENTRY_TEXT_MAX];
};

static void run(void *state)
{
    struct asked *q = state;
    app_run_words(q->app, APP_SHOWS, q->line, q->words.v, q->words.count, (struct slice){"", 0});
}

static bool go_to_screen(struct app *a, const char *word)
{
    for (int i = 0; i < VIEWS_MAX && views[i]; i++)
        if (strcmp(views[i]->name, word) == 0) {
            app_go(a, word, NULL);
            return true;
        }
    return false;
}

/* One word that is the console's own. */
static bool run_own(struct app *a, const struct words *w)
{
    if (w->count != 1)
        return false;
    if (strcmp(w->v[0], "q") == 0 || strcmp(w->v[0], "quit") == 0) {
        app_leave(a);
        return true;
    }
    if (strcmp(w->v[0], "help") == 0) {
        help_show(a);
        return true;
    }
    return go_to_screen(a, w->v[0]);
}

/* It would go on for ever, or change what nobody reviewed. */
static const char *objection(const struct app *a, const struct args *args)
{
    if (!args->command)
        return "say which: a noun and a verb, as on the command line";
    if (args_get(args, "--follow"))
        return "screens 4 and 6 follow; leave --follow away";
    if (args->config)
        return "this console has its configuration; leave --config away";
    if (args->command == &command_restore && app_is_live(a))
        return "credswapd runs: stop it first (systemctl stop credswapd); this screen stays";
    return NULL;
}

bool command_take(void *state, struct slice text, struct errmsg *problem)
{
    struct app *a = state;
    static struct asked q; /* one line at a time; it outlives the question */
    struct args args;
    q.app = a;
    if (!slice_copy(slice_trim(text), q.line, sizeof q.line) ||
        !split(slice_of(q.line), &q.words, problem))
        return false;
    if (q.words.count == 0 || run_own(a, &q.words))
        return true;
    char *argv[WORDS_MAX + 1] = {q.line};
    for (int i = 0; i < q.words.count; i++)
        argv[i + 1] = &q.words.text[q.words.v[i] - q.words.text];
    if (!args_parse(&console_commands, q.words.count + 1, argv, &args))
        return err_set(problem, ERR_INVALID, "%s", args.problem) == ERR_OK;
    if (args.help) {
        char help[HELP_MAX];
        app_page(a, "help", slice_of(args_help(&console_commands, args.noun, args.command, help)),
                 false);
        return true;
    }
    const char *why = objection(a, &args);
    if (why)
        return err_set(problem, ERR_INVALID, "%s", why) == ERR_OK;
    if (only_looks(args.command)) {
        run(&q);
        return true;
    }
    char ask[ENTRY_TEXT_MAX + 1024];
    snprintf(ask, sizeof ask, "credswap %s\n\n%.200s\n%.600s", q.line, args.command->summary,
             args.command->more ? args.command->more : "");
    app_confirm(a, "run this?", ask, run, &q);
    return true;
}

void command_ask(struct app *a)
{
    app_ask_line(a, ":", "", command_take, a);
}
