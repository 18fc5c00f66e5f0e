/* The pass before libconfuse. libconfuse 3.3 skips characters that it does not know (an unquoted
 * *), takes the end of the file for the end of a section, lets a later value or section silently
 * replace an earlier one, expands ${NAME} inside strings, reads 010 as eight, counts a line too
 * many after some comments, and keeps its string state when a file ends inside quotes. So this pass
 * refuses those, notes where each option stands, and blanks the comments. */
#include <stdarg.h>
#include <stdio.h>

#include "conf/conf_internal.h"

enum token {
    T_END,
    T_WORD,
    T_STRING,
    T_VALUE,
    T_OPEN,
    T_CLOSE,
    T_EQUALS,
    T_COMMA
};

struct scanner {
    struct slice text;
    size_t at;
    int line;
    struct scan *out;
    struct errmsg *msg;
    enum token token, last;
    struct slice value; /* of the token: a word, or a string without its quotes */
    struct slice word;  /* the last word outside a value */
    struct slice section;
    const struct conf_option *option; /* whose value comes */
    int depth;                        /* 0 file, 1 section, 2 list */
    int opened[2];                    /* lines of the section and of the list */
};

__attribute__((format(printf, 2, 3))) static enum err fail(struct scanner *s, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(s->msg, ERR_CONFIG, "%s:%d: %s", s->out->name, s->line, text);
}

static char peek(const struct scanner *s, size_t ahead)
{
    return s->at + ahead < s->text.n ? s->text.p[s->at + ahead] : '\0';
}

/* Copies the next byte to the clean text, as it is or as a blank; newlines always stay. */
static void advance(struct scanner *s, bool blank)
{
    char c = s->text.p[s->at++];
    if (c == '\n')
        s->line++;
    sbuf_addc(&s->out->clean, blank && c != '\n' ? ' ' : c);
}

static enum err skip_comment(struct scanner *s)
{
    if (peek(s, 0) != '/' || peek(s, 1) != '*') {
        while (s->at < s->text.n && peek(s, 0) != '\n')
            advance(s, true);
        return ERR_OK;
    }
    int opened = s->line;
    advance(s, true);
    advance(s, true);
    while (peek(s, 0) != '*' || peek(s, 1) != '/') {
        if (s->at >= s->text.n) {
            s->line = opened;
            return fail(s, "this comment is not closed");
        }
        advance(s, true);
    }
    advance(s, true);
    advance(s, true);
    return ERR_OK;
}

static enum err read_string(struct scanner *s)
{
    advance(s, false);
    size_t from = s->at;
    while (peek(s, 0) != '"') {
        char c = peek(s, 0);
        if (s->at >= s->text.n || c == '\n')
            return fail(s, "this string is not closed on its line");
        if ((unsigned char)c < ' ' || c == 0x7f)
            return fail(s, "control character in a string");
        if (c == '$' && peek(s, 1) == '{')
            return fail(s, "${...} in a string: the environment is not expanded here, set "
                           "CREDSWAP_<SECTION>_<KEY> instead");
        if (c == '\\') {
            if (peek(s, 1) != '"' && peek(s, 1) != '\\')
                return fail(s, "only \\\" and \\\\ may follow a backslash");
            advance(s, false);
        }
        advance(s, false);
    }
    s->value = slice_sub(s->text, from, s->at);
    advance(s, false);
    s->token = T_STRING;
    return ERR_OK;
}

static bool is_word_char(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_' ||
           c == '-';
}

static enum err read_word(struct scanner *s)
{
    size_t from = s->at;
    while (s->at < s->text.n && is_word_char(peek(s, 0)))
        advance(s, false);
    s->value = slice_sub(s->text, from, s->at);
    s->token = T_WORD;
    return ERR_OK;
}

static enum err read_token(struct scanner *s)
{
    static const char marks[] = "{}=,";
    static const enum token tokens[] = {T_OPEN, T_CLOSE, T_EQUALS, T_COMMA};
    for (;;) {
        if (s->at >= s->text.n) {
            s->token = T_END;
            return ERR_OK;
        }
        char c = peek(s, 0);
        if (c == '#' || (c == '/' && (peek(s, 1) == '/' || peek(s, 1) == '*'))) {
            enum err e = skip_comment(s);
            if (e)
                return e;
        } else if (c == ' ' || c == '\t' || c == '\n' || (c == '\r' && peek(s, 1) == '\n')) {
            advance(s, true);
        } else {
            break;
        }
    }
    char c = peek(s, 0);
    if (c == '"')
        return read_string(s);
    if (is_word_char(c))
        return read_word(s);
    const char *mark = c ? strchr(marks, c) : NULL;
    if (!mark)
        return c > ' ' && c < 0x7f ? fail(s, "unexpected '%c' (strings stand in double quotes)", c)
                                   : fail(s, "unexpected byte 0x%02x", (unsigned)(unsigned char)c);
    advance(s, false);
    s->token = tokens[mark - marks];
    return ERR_OK;
}

static bool is_decimal(struct slice v)
{
    if (v.n && v.p[0] == '-')
        v = slice_sub(v, 1, v.n);
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < '0' || v.p[i] > '9')
            return false;
    return v.n == 1 || (v.n > 1 && v.p[0] != '0');
}

/* The value fits the option's type in kind; libconfuse would take "4" for a number and 4 for a
 * string. */
static enum err check_kind(struct scanner *s)
{
    const struct conf_option *o = s->option;
    bool is_string = o->type == OPTION_STR || o->type == OPTION_STR_LIST;
    if (is_string && s->token != T_STRING)
        return fail(s, "%s.%s: a string needs double quotes", o->section, o->key);
    if (!is_string && s->token != T_WORD)
        return fail(s, "%s.%s: a value of this kind stands without quotes", o->section, o->key);
    if ((o->type == OPTION_INT || o->type == OPTION_INT_LIST) && !is_decimal(s->value))
        return fail(s, "%s.%s: '%.*s' is no decimal number", o->section, o->key,
                    SLICE_FMT(slice_sub(s->value, 0, 40)));
    s->token = T_VALUE; /* so that the next word is a name again */
    return ERR_OK;
}

static enum err open_section(struct scanner *s)
{
    size_t n, i;
    const struct conf_option *o = conf_options(&n);
    s->section = s->word;
    s->opened[0] = s->line;
    s->depth = 1;
    for (i = 0; i < n && !slice_eq(slice_of(o[i].section), s->section); i++)
        ;
    if (i == n)
        return fail(s, "no such section '%.*s'", SLICE_FMT(slice_sub(s->section, 0, 40)));
    if (s->out->section_line[i])
        return fail(s, "section '%s' stands at line %d already", o[i].section,
                    s->out->section_line[i]);
    s->out->section_line[i] = s->line;
    return ERR_OK;
}

static enum err open_key(struct scanner *s)
{
    size_t n, i;
    const struct conf_option *o = conf_options(&n);
    for (i = 0; i < n; i++)
        if (slice_eq(slice_of(o[i].section), s->section) && slice_eq(slice_of(o[i].key), s->word))
            break;
    if (i == n)
        return fail(s, "no such key '%.*s' in section '%.*s'", SLICE_FMT(slice_sub(s->word, 0, 40)),
                    SLICE_FMT(s->section));
    s->option = &o[i];
    if (s->out->line_of[i])
        return fail(s, "%s.%s stands at line %d already", o[i].section, o[i].key,
                    s->out->line_of[i]);
    s->out->line_of[i] = s->line;
    return ERR_OK;
}

static enum err take_brace(struct scanner *s)
{
    if (s->token == T_CLOSE) {
        if (s->depth == 0)
            return fail(s, "a closing brace without an opening one");
        s->depth--;
        return ERR_OK;
    }
    if (s->depth == 1 && s->last == T_EQUALS) {
        s->opened[1] = s->line;
        s->depth = 2;
        return ERR_OK;
    }
    if (s->depth == 0 && s->last == T_WORD)
        return open_section(s);
    return fail(s, "unexpected '{'");
}

static enum err take_token(struct scanner *s)
{
    bool is_value = s->last == T_EQUALS || s->depth == 2;
    switch (s->token) {
    case T_WORD:
        if (is_value)
            return check_kind(s);
        if (s->last == T_WORD)
            return fail(s, "unexpected '%.*s'", SLICE_FMT(slice_sub(s->value, 0, 40)));
        s->word = s->value;
        return ERR_OK;
    case T_STRING:
        return is_value ? check_kind(s) : fail(s, "a string where a name belongs");
    case T_EQUALS:
        if (s->depth != 1 || s->last != T_WORD)
            return fail(s, "unexpected '='");
        return open_key(s);
    case T_COMMA:
        return s->depth == 2 ? ERR_OK : fail(s, "unexpected ','");
    case T_OPEN:
    case T_CLOSE:
        return take_brace(s);
    case T_VALUE:
    case T_END:
        break;
    }
    return ERR_OK;
}

static enum err check_end(struct scanner *s)
{
    if (s->depth == 0)
        return ERR_OK;
    s->line = s->opened[s->depth - 1];
    if (s->depth == 2)
        return fail(s, "this list is not closed");
    return fail(s, "section '%.*s' is not closed", SLICE_FMT(slice_sub(s->section, 0, 40)));
}

enum err conf_scan(struct slice text, struct scan *out, struct errmsg *msg)
{
    struct scanner s = {.text = text, .line = 1, .out = out, .msg = msg, .last = T_END};
    do {
        enum err e = read_token(&s);
        if (!e)
            e = take_token(&s);
        if (e)
            return e;
        s.last = s.token;
    } while (s.token != T_END);
    if (out->clean.failed)
        return err_set(msg, ERR_NOMEM, "%s: too large", out->name);
    return check_end(&s);
}
