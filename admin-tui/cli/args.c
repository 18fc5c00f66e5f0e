/* Arguments against the table. */
#include "cli/args.h"

#include "base/check.h"
#include "base/sbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct option_def args_options[] = {
    {"--config", "FILE", "configuration file (else $CREDSWAP_CONFIG)"},
    {"--json", NULL, "listings as JSON"},
    {"--yes", NULL, "do not ask"},
    {"--no-input", NULL, "never ask; fail where a question would be"},
    {"--help", NULL, "this text"},
    {"--version", NULL, "print the version"},
    {NULL, NULL, NULL}};

__attribute__((format(printf, 2, 3))) static bool refuse(struct args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->problem, sizeof a->problem, fmt, ap);
    va_end(ap);
    return false;
}

static const struct option_def *find_option(const struct option_def *list, struct slice name)
{
    for (; list && list->name; list++)
        if (slice_eq(slice_of(list->name), name))
            return list;
    return NULL;
}

static bool store_global(struct args *a, const char *name, const char *value)
{
    if (strcmp(name, "--config") == 0)
        a->config = value;
    a->json |= strcmp(name, "--json") == 0;
    a->yes |= strcmp(name, "--yes") == 0;
    a->no_input |= strcmp(name, "--no-input") == 0;
    a->help |= strcmp(name, "--help") == 0;
    a->version |= strcmp(name, "--version") == 0;
    return true;
}

static const char *spelled_out(const char *arg)
{
    static const char *const shorts[][2] = {
        {"-h", "--help"}, {"-V", "--version"}, {"-y", "--yes"}, {"-f", "--follow"}};
    for (size_t i = 0; i < ARRAY_LEN(shorts); i++)
        if (strcmp(arg, shorts[i][0]) == 0)
            return shorts[i][1];
    return arg;
}

static const struct command *find_command(const struct command_table *t, const char *noun,
                                          const char *verb);

/* Options without a noun are the dashboard's: `credswap --once`. */
static const struct option_def *find_front_option(const struct command_table *t, struct args *a,
                                                  struct slice name)
{
    const struct command *front = a->noun ? NULL : find_command(t, "dashboard", NULL);
    const struct option_def *o = front ? find_option(front->options, name) : NULL;
    if (o) {
        a->noun = front->noun;
        a->command = front;
    }
    return o;
}

static bool take_option(const struct command_table *t, struct args *a, int argc, char *const *argv,
                        int *i)
{
    const char *arg = spelled_out(argv[*i]);
    size_t cut = slice_find(slice_of(arg), '=', 0);
    struct slice name = slice_make(arg, cut);
    const struct option_def *own = find_option(a->command ? a->command->options : NULL, name);
    const struct option_def *o = own ? own : find_option(args_options, name);
    if (!o)
        o = own = find_front_option(t, a, name);
    if (!o)
        return refuse(a, "unknown option %.*s", (int)(name.n < 60 ? name.n : 60), name.p);
    const char *value = arg[cut] ? arg + cut + 1 : NULL;
    if (!o->value && value)
        return refuse(a, "%s takes no value", o->name);
    if (o->value && !value) {
        if (*i + 1 >= argc)
            return refuse(a, "%s needs a value: %s", o->name, o->value);
        value = argv[++*i];
    }
    if (!own)
        return store_global(a, o->name, value);
    if (a->option_count == ARGS_OPTIONS_MAX)
        return refuse(a, "too many options");
    a->option[a->option_count].name = o->name;
    a->option[a->option_count++].value = value ? value : "";
    return true;
}

static const struct command *find_command(const struct command_table *t, const char *noun,
                                          const char *verb)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct command *c = t->v[i];
        if (strcmp(c->noun, noun) == 0 &&
            (verb ? c->verb && strcmp(c->verb, verb) == 0 : c->verb == NULL))
            return c;
    }
    return NULL;
}

static bool has_noun(const struct command_table *t, const char *noun)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->v[i]->noun, noun) == 0)
            return true;
    return false;
}

/* A word that is not an option: noun, then verb where the noun has verbs, then operands. */
static bool take_word(const struct command_table *t, struct args *a, const char *word)
{
    if (!a->noun && strcmp(word, "help") == 0) {
        a->help = true;
        return true;
    }
    if (!a->noun) {
        a->noun = word;
        a->command = find_command(t, word, NULL);
        return has_noun(t, word) ||
               refuse(a, "there is no \"%.40s\"; credswap --help lists what there is", word);
    }
    if (!a->command) {
        a->command = find_command(t, a->noun, word);
        return a->command || refuse(a, "%s has no \"%.40s\"; credswap %s --help lists its verbs",
                                    a->noun, word, a->noun);
    }
    if (a->operand_count == ARGS_OPERANDS_MAX)
        return refuse(a, "too many operands");
    a->operand[a->operand_count++] = word;
    return true;
}

static bool check_count(struct args *a)
{
    const struct command *c = a->command;
    if (a->help || a->version || !a->noun)
        return true;
    if (!c)
        return refuse(a, "%s needs a verb; credswap %s --help lists them", a->noun, a->noun);
    const char *verb = c->verb ? c->verb : "";
    const char *gap = c->verb ? " " : "";
    if (a->operand_count < c->min || a->operand_count > c->max)
        return refuse(a, "usage: credswap %s%s%s%s%s", c->noun, gap, verb, *c->operands ? " " : "",
                      c->operands);
    if (a->json && !c->has_json)
        return refuse(a, "%s%s%s has no --json", c->noun, gap, verb);
    return true;
}

bool args_parse(const struct command_table *t, int argc, char *const *argv, struct args *ret)
{
    *ret = (struct args){0};
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        bool is_option = !ended && arg[0] == '-' && arg[1];
        if (is_option && strcmp(arg, "--") == 0) {
            ended = true;
            continue;
        }
        if (is_option ? !take_option(t, ret, argc, argv, &i) : !take_word(t, ret, arg))
            return ret->help;
    }
    return check_count(ret);
}

const char *args_get(const struct args *a, const char *name)
{
    const char *value = NULL;
    for (int i = 0; i < a->option_count; i++)
        if (strcmp(a->option[i].name, name) == 0)
            value = a->option[i].value;
    return value;
}

const char *args_operand(const struct args *a, int i)
{
    return i < a->operand_count ? a->operand[i] : NULL;
}

static void add_options(struct sbuf *b, const struct option_def *o)
{
    for (; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        sbuf_addf(b, "  %-24s %s\n", left, o->help);
    }
}

static void help_command(struct sbuf *b, const struct command *c)
{
    sbuf_addf(b, "usage: credswap %s%s%s%s%s%s%s\n%s\n", c->noun, c->verb ? " " : "",
              c->verb ? c->verb : "", *c->operands ? " " : "", c->operands,
              c->options ? " [options]" : "", c->has_json ? " [--json]" : "", c->summary);
    if (c->options) {
        sbuf_adds(b, "\n");
        add_options(b, c->options);
    }
    if (c->more)
        sbuf_addf(b, "\n%s", c->more);
}

static void help_noun(struct sbuf *b, const struct command_table *t, const char *noun)
{
    sbuf_addf(b, "usage: credswap %s VERB ...\n\n", noun);
    for (size_t i = 0; i < t->n; i++) {
        const struct command *c = t->v[i];
        if (strcmp(c->noun, noun) != 0)
            continue;
        sbuf_addf(b, "  %-16s %s\n", c->verb ? c->verb : "", c->summary);
    }
    sbuf_addf(b, "\ncredswap %s VERB --help has the options.\n", noun);
}

/* Needed seldom: these share the last line, so that all fits a screen. */
static bool is_brief(const struct command *c)
{
    static const char *const nouns[] = {"backup", "restore", "undo", "completion"};
    for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
        if (!c->verb && strcmp(c->noun, nouns[i]) == 0)
            return true;
    return false;
}

static void help_brief(struct sbuf *b, const struct command_table *t)
{
    sbuf_adds(b, "  and       ");
    for (size_t i = 0; i < t->n; i++)
        if (is_brief(t->v[i]))
            sbuf_addf(b, " %s", t->v[i]->noun);
    sbuf_adds(b, "\n");
}

/* Each noun once, with its verbs behind it. */
static void help_overview(struct sbuf *b, const struct command_table *t)
{
    sbuf_adds(
        b,
        "usage: credswap [--config FILE] NOUN [VERB] ...   (none, on a terminal: the dashboard)\n");
    for (size_t i = 0; i < t->n; i++) {
        const struct command *c = t->v[i];
        if (is_brief(c))
            continue;
        bool is_next = i > 0 && strcmp(t->v[i - 1]->noun, c->noun) == 0;
        if (!is_next && !c->verb) {
            sbuf_addf(b, "  %-10s %s\n", c->noun, c->summary);
            continue;
        }
        if (!is_next)
            sbuf_addf(b, "  %-10s", c->noun);
        sbuf_addf(b, " %s", c->verb ? c->verb : "");
        if (i + 1 == t->n || strcmp(t->v[i + 1]->noun, c->noun) != 0)
            sbuf_adds(b, "\n");
    }
    help_brief(b, t);
    sbuf_adds(b, "Everywhere: --config FILE --json --yes --no-input --help --version\n");
}

char *args_help(const struct command_table *t, const char *noun, const struct command *command,
                char buf[HELP_MAX])
{
    struct sbuf b;
    sbuf_init(&b, HELP_MAX - 1);
    if (command)
        help_command(&b, command);
    else if (noun && has_noun(t, noun))
        help_noun(&b, t, noun);
    else
        help_overview(&b, t);
    snprintf(buf, HELP_MAX, "%s", sbuf_z(&b));
    sbuf_finish(&b);
    return buf;
}
