/* The table of commands as a table of words in a shell's language; the code around it stands in
 * completion/. What may stand in a place is read off the usage line: "up|drain|off" are its words,
 * POOL is the name of one. */
#include "cli/completion.h"

#include "base/check.h"
#include "base/embed.h"

#include <stdio.h>
#include <string.h>

extern const struct embedded_file console_shells[];
extern const size_t console_shells_count;

static const char *const shells[] = {
    [COMPLETION_BASH] = "bash", [COMPLETION_ZSH] = "zsh", [COMPLETION_FISH] = "fish"};

bool completion_shell_from(const char *text, enum completion_shell *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (strcmp(shells[i], text) == 0) {
            *ret = (enum completion_shell)i;
            return true;
        }
    return false;
}

/* ---- one entry: a key, and the lines that it stands for ---- */

#define KEY_MAX 160
#define WORDS_MAX (1 << 16)

struct table {
    struct sbuf *out;
    enum completion_shell shell;
};

/* In single quotes. */
static void add_quoted(struct table *t, struct slice text)
{
    sbuf_addc(t->out, '\'');
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (t->shell == COMPLETION_FISH && (c == '\'' || c == '\\'))
            sbuf_addc(t->out, '\\');
        else if (c == '\'')
            sbuf_adds(t->out, "'\\'");
        sbuf_addc(t->out, c);
    }
    sbuf_addc(t->out, '\'');
}

/* LINES: each ends in a newline; none: something stands there, nobody knows what. */
static void add_entry(struct table *t, const char *key, const struct sbuf *lines)
{
    struct slice rest = sbuf_slice(lines), line;
    bool is_fish = t->shell == COMPLETION_FISH;
    sbuf_adds(t->out, is_fish ? "        case " : "  ");
    add_quoted(t, slice_of(key));
    sbuf_adds(t->out, is_fish ? "\n" : ") ");
    if (rest.n)
        sbuf_adds(t->out, is_fish ? "            printf '%s\\n'" : "printf '%s\\n'");
    while (rest.n && slice_next(&rest, '\n', &line))
        if (line.n) {
            sbuf_addc(t->out, ' ');
            add_quoted(t, line);
        }
    sbuf_adds(t->out, is_fish ? (lines->n ? "\n" : "") : lines->n ? " ;;\n" : ";;\n");
}

/* ---- what a place takes ---- */

static bool is_one_of(struct slice text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(text, slice_of(words[i])))
            return true;
    return false;
}

/* "a|b|N": a line for each word that is meant literally. */
static void add_choices(struct sbuf *lines, struct slice text)
{
    struct slice word;
    while (slice_next(&text, '|', &word))
        if (word.n && !(word.p[0] >= 'A' && word.p[0] <= 'Z'))
            sbuf_addf(lines, "%.*s\n", (int)word.n, word.p);
}

static void add_option_value(struct sbuf *lines, const struct option_def *o)
{
    struct slice value = slice_of(o->value);
    if (slice_find(value, '|', 0) < value.n || slice_eq(value, SLICE("-")))
        add_choices(lines, value);
    else if (slice_eq(value, SLICE("POOL")))
        sbuf_adds(lines, "@pool\n");
    else if (slice_eq(value, SLICE("FILE")))
        sbuf_adds(lines, "@file\n");
    else if (slice_eq(value, SLICE("DIR")))
        sbuf_adds(lines, "@dir\n");
    else if (strcmp(o->name, "--client") == 0 || strcmp(o->name, "--account") == 0)
        sbuf_addf(lines, "@%s\n", o->name + 2);
}

/* KEY=VALUE: what the options of the same command are called, or the words of account set. */
static void add_assignments(struct sbuf *lines, const struct command *c)
{
    if (strcmp(c->noun, "account") == 0)
        sbuf_adds(lines, "state=up\nstate=drain\nstate=off\nweight=\nname=\nproject=\nlocation=\n"
                         "scope=\nquota_project=\nnote=\n");
    for (const struct option_def *o = strcmp(c->noun, "client") == 0 ? c->options : NULL;
         o && o->name; o++) {
        struct slice value = slice_of(o->value), word;
        if (slice_find(value, '|', 0) == value.n)
            sbuf_addf(lines, "%s=\n", o->name + 2);
        else
            while (slice_next(&value, '|', &word))
                sbuf_addf(lines, "%s=%.*s\n", o->name + 2, (int)word.n, word.p);
    }
}

static void add_operand(struct sbuf *lines, const struct command *c, struct slice word)
{
    static const char *const files[] = {"FILE", "KEYFILE.json|-", "MAP-CONFIG.json"};
    bool is_named = strcmp(c->noun, "account") == 0 || strcmp(c->noun, "client") == 0;
    bool is_new = c->verb && strcmp(c->verb, "add") == 0;
    if (is_one_of(word, files, ARRAY_LEN(files)))
        sbuf_adds(lines, "@file\n");
    else if (slice_eq(word, SLICE("NAME")) && is_named && !is_new)
        sbuf_addf(lines, "@%s\n", c->noun);
    else if (slice_eq(word, SLICE("ACCOUNT")))
        sbuf_adds(lines, "@account\n");
    else if (slice_eq(word, SLICE("ACCOUNT=WEIGHT")))
        sbuf_adds(lines, "@account=\n");
    else if (slice_eq(word, SLICE("POOL")))
        sbuf_adds(lines, "@pool\n");
    else if (slice_eq(word, SLICE("PATTERN")))
        sbuf_adds(lines, "@host\n");
    else if (slice_eq(word, SLICE("KEY=VALUE")))
        add_assignments(lines, c);
    else if (slice_find(word, '|', 0) < word.n)
        add_choices(lines, word);
}

/* ---- the table ---- */

static void command_key(const struct command *c, const char *tail, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%s%s%s %s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "", tail);
}

static void add_operands(struct table *t, const struct command *c)
{
    struct slice rest = slice_of(c->operands), word;
    struct sbuf lines;
    char key[KEY_MAX], number[16];
    sbuf_init(&lines, WORDS_MAX);
    for (int n = 1; rest.n && slice_next(&rest, ' ', &word);) {
        bool is_repeated = slice_starts(word, SLICE("..."));
        while (word.n && word.p[0] == '[')
            word = slice_sub(word, 1, word.n);
        while (word.n && word.p[word.n - 1] == ']')
            word = slice_sub(word, 0, word.n - 1);
        if (!is_repeated) { /* else what stood before, once more */
            sbuf_clear(&lines);
            add_operand(&lines, c, word);
        }
        snprintf(number, sizeof number, "%d", n++);
        command_key(c, is_repeated ? "+" : number, key);
        add_entry(t, key, &lines);
    }
    sbuf_finish(&lines);
}

/* "" is in front of the options that every command has. */
static void add_options(struct table *t, const char *prefix, const struct option_def *options)
{
    struct sbuf names, lines;
    char key[KEY_MAX];
    sbuf_init(&names, WORDS_MAX);
    sbuf_init(&lines, WORDS_MAX);
    for (const struct option_def *o = options; o && o->name; o++) {
        sbuf_addf(&names, "%s:%s\n", o->name, o->help);
        if (!o->value)
            continue;
        sbuf_clear(&lines);
        add_option_value(&lines, o);
        snprintf(key, sizeof key, "%s%s", prefix, o->name);
        add_entry(t, key, &lines);
    }
    snprintf(key, sizeof key, "%s--", prefix);
    if (names.n)
        add_entry(t, key, &names);
    sbuf_finish(&names);
    sbuf_finish(&lines);
}

/* The nouns, and behind those that have some the verbs. */
static void add_nouns(struct table *t, const struct command_table *table)
{
    struct sbuf nouns, verbs;
    sbuf_init(&nouns, WORDS_MAX);
    sbuf_init(&verbs, WORDS_MAX);
    for (size_t i = 0; i < table->n; i++) {
        const struct command *c = table->v[i];
        bool is_last = i + 1 == table->n || strcmp(table->v[i + 1]->noun, c->noun) != 0;
        if (!c->verb) {
            sbuf_addf(&nouns, "%s:%s\n", c->noun, c->summary);
            continue;
        }
        sbuf_addf(&verbs, "%s:%s\n", c->verb, c->summary);
        if (!is_last)
            continue;
        sbuf_addf(&nouns, "%s\n", c->noun);
        add_entry(t, c->noun, &verbs);
        sbuf_clear(&verbs);
    }
    add_entry(t, " 1", &nouns); /* the first word */
    sbuf_finish(&nouns);
    sbuf_finish(&verbs);
}

static void add_table(struct table *t, const struct command_table *table)
{
    char key[KEY_MAX];
    add_nouns(t, table);
    for (size_t i = 0; i < table->n; i++) {
        command_key(table->v[i], "", key);
        add_operands(t, table->v[i]);
        add_options(t, key, table->v[i]->options);
    }
    add_options(t, " ", args_options);
}

/* ---- the script ---- */

static struct slice part(const char *name)
{
    for (size_t i = 0; i < console_shells_count; i++)
        if (strcmp(console_shells[i].name, name) == 0)
            return slice_make(console_shells[i].bytes, console_shells[i].size);
    CHECK(false);
    return (struct slice){NULL, 0};
}

void completion_print(const struct command_table *table, enum completion_shell shell,
                      struct sbuf *out)
{
    static const char *const parts[][3] = {
        [COMPLETION_BASH] = {"head.bash", "find.shell", "tail.bash"},
        [COMPLETION_ZSH] = {"head.zsh", "find.shell", "tail.zsh"},
        [COMPLETION_FISH] = {"head.fish", "find.fish", NULL},
    };
    struct table t = {out, shell};
    struct slice body = part(parts[shell][1]);
    size_t at = slice_search(body, SLICE("@TABLE@\n"));
    CHECK(at < body.n);
    sbuf_add_slice(out, part(parts[shell][0]));
    sbuf_add_slice(out, slice_sub(body, 0, at));
    add_table(&t, table);
    sbuf_add_slice(out, slice_sub(body, at + strlen("@TABLE@\n"), body.n));
    if (parts[shell][2])
        sbuf_add_slice(out, part(parts[shell][2]));
}
