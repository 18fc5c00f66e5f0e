/* Terms over the columns' own texts, so that a person filters by what the screen shows. */
#include "ui/filter.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool holds(struct slice text, struct slice part)
{
    if (part.n > text.n)
        return false;
    for (size_t i = 0; i + part.n <= text.n; i++)
        if (slice_ieq(slice_sub(text, i, i + part.n), part))
            return true;
    return false;
}

/* ---- numbers as the columns show them ---- */

static double unit_of(char c)
{
    static const struct {
        char unit;
        double times;
    } units[] = {{'K', 1e3}, {'k', 1e3}, {'M', 1e6},  {'G', 1e9},
                 {'s', 1},   {'m', 60},  {'h', 3600}, {'d', 86400}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == c)
            return units[i].times;
    return 0;
}

bool filter_number(struct slice text, double *ret)
{
    char z[64];
    double sum = 0;
    text = slice_trim(text);
    if (text.n == 0 || !slice_copy(text, z, sizeof z))
        return false;
    for (const char *at = z; *at;) {
        char *end = z;
        bool is_number =
            (*at >= '0' && *at <= '9') || ((*at == '-' || *at == '+') && at == z && at[1]);
        if (!is_number || strpbrk(at, "xXnNpP"))
            return false;
        double n = strtod(at, &end);
        if (end == at)
            return false;
        double times = unit_of(*end);
        if ((*end == '%' && !end[1]) || times > 0)
            end++;
        else if (*end)
            return false;
        sum += n * (times > 0 ? times : 1);
        at = end;
    }
    *ret = sum;
    return true;
}

/* ---- reading ---- */

static const struct {
    const char *text;
    enum filter_op op;
} ops[] = {{"!=", FILTER_NE}, {"<=", FILTER_LE}, {">=", FILTER_GE},  {"=", FILTER_EQ},
           {"<", FILTER_LT},  {">", FILTER_GT},  {":", FILTER_HOLDS}};

static int find_column(struct slice name, const char *const *titles, int count)
{
    for (int i = 0; i < count; i++)
        if (name.n && slice_istarts(slice_of(titles[i]), name))
            return i;
    for (int i = 0; i < count; i++) /* "status" of a column that has room for ST only */
        if (strlen(titles[i]) > 1 && slice_istarts(name, slice_of(titles[i])))
            return i;
    return -1;
}

__attribute__((format(printf, 3, 4))) static bool refuse(char *problem, size_t size,
                                                         const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(problem, size, fmt, ap);
    va_end(ap);
    return false;
}

static bool read_term(struct slice word, const char *const *titles, int count,
                      struct filter_term *ret, char *problem, size_t size)
{
    *ret = (struct filter_term){.op = FILTER_HOLDS, .column = -1, .text = word};
    for (size_t at = 1; at < word.n; at++)
        for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
            struct slice rest = slice_sub(word, at, word.n);
            if (!slice_starts(rest, slice_of(ops[i].text)))
                continue;
            struct slice name = slice_sub(word, 0, at);
            ret->column = find_column(name, titles, count);
            if (ret->column < 0 && ops[i].op == FILTER_HOLDS)
                return true; /* a colon in what is searched */
            if (ret->column < 0)
                return refuse(problem, size, "no column begins with \"%.*s\"", (int)name.n, name.p);
            ret->op = ops[i].op;
            ret->text = slice_sub(rest, strlen(ops[i].text), rest.n);
            if (ret->op >= FILTER_LT && !filter_number(ret->text, &ret->number))
                return refuse(problem, size, "\"%.*s\" is no number", (int)ret->text.n,
                              ret->text.p);
            return true;
        }
    if (word.n > 1 && word.p[0] == '-') {
        ret->op = FILTER_LACKS;
        ret->text = slice_sub(word, 1, word.n);
    }
    return true;
}

bool filter_set(struct filter *f, struct slice text, const char *const *titles, int count,
                char *problem, size_t size)
{
    struct filter fresh = {.count = 0};
    bool is_or = false;
    if (!slice_copy(slice_trim(text), fresh.text, sizeof fresh.text))
        return refuse(problem, size, "a filter has at most %d characters", FILTER_TEXT_MAX - 1);
    struct filter *to = &fresh;
    struct slice rest = slice_of(to->text), word;
    while (slice_next(&rest, ' ', &word)) {
        if (word.n == 0)
            continue;
        if (slice_ieq(word, SLICE("or")) && to->count) {
            is_or = true;
            continue;
        }
        if (slice_ieq(word, SLICE("and")) && to->count)
            continue;
        if (to->count == FILTER_TERMS_MAX)
            return refuse(problem, size, "a filter has at most %d terms", FILTER_TERMS_MAX);
        if (!read_term(word, titles, count, &to->terms[to->count], problem, size))
            return false;
        to->terms[to->count++].is_or = is_or;
        is_or = false;
    }
    *f = fresh;
    for (int i = 0; i < f->count; i++) /* they pointed into the other copy */
        f->terms[i].text.p = f->text + (f->terms[i].text.p - fresh.text);
    return true;
}

/* ---- asking ---- */

static bool compare(enum filter_op op, double have, double wanted)
{
    if (op == FILTER_LT)
        return have < wanted;
    if (op == FILTER_LE)
        return have <= wanted;
    return op == FILTER_GT ? have > wanted : have >= wanted;
}

static bool any_holds(struct slice part, int columns, filter_cell_cb cell, void *arg)
{
    for (int i = 0; i < columns; i++)
        if (holds(cell(arg, i), part))
            return true;
    return false;
}

static bool term_passes(const struct filter_term *t, int columns, filter_cell_cb cell, void *arg)
{
    double have = 0;
    if (t->op == FILTER_LACKS)
        return !any_holds(t->text, columns, cell, arg);
    if (t->column < 0)
        return any_holds(t->text, columns, cell, arg);
    struct slice text = cell(arg, t->column);
    if (t->op == FILTER_HOLDS)
        return holds(text, t->text);
    if (t->op == FILTER_EQ || t->op == FILTER_NE) {
        double wanted = 0;
        bool is_same =
            slice_ieq(text, t->text) ||
            (filter_number(text, &have) && filter_number(t->text, &wanted) && have == wanted);
        return is_same == (t->op == FILTER_EQ);
    }
    return filter_number(text, &have) && compare(t->op, have, t->number);
}

/* "a b or c" is (a and b) or c. */
bool filter_passes(const struct filter *f, int columns, filter_cell_cb cell, void *arg)
{
    bool passes = true;
    for (int i = 0; i < f->count; i++) {
        if (f->terms[i].is_or) {
            if (passes)
                return true;
            passes = true;
        }
        passes = passes && term_passes(&f->terms[i], columns, cell, arg);
    }
    return passes;
}
