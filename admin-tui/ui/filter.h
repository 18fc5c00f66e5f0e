/* What a person types behind '/': words and terms, joined by space (and) or "or". Pure.
 *
 *   alice                 any column holds it (letters compare without case)
 *   -alice                none does
 *   state=up state!=up    the column says exactly this, or not
 *   client:ci             the column holds it
 *   status>=400 age>30s   numbers, with K M G, %, and s m h d as the columns show them
 *
 * A column is named by the beginning of its title, or by a word that begins with it. */
#ifndef UI_FILTER_H
#define UI_FILTER_H
#include "base/err.h"
#include "base/slice.h"

#define FILTER_TERMS_MAX 16
#define FILTER_TEXT_MAX 128

enum filter_op {
    FILTER_HOLDS,
    FILTER_LACKS,
    FILTER_EQ,
    FILTER_NE,
    FILTER_LT,
    FILTER_LE,
    FILTER_GT,
    FILTER_GE
};

struct filter_term {
    enum filter_op op;
    int column; /* -1: any */
    bool is_or; /* "or" stands before it */
    struct slice text;
    double number;
};

struct filter {
    char text[FILTER_TEXT_MAX]; /* as typed; terms point into it */
    struct filter_term terms[FILTER_TERMS_MAX];
    int count;
};

typedef struct slice (*filter_cell_cb)(void *arg, int column);

/** TITLES: of COUNT columns. False: PROBLEM (of SIZE) says what is wrong with it, and nothing has
 * changed. Empty: everything passes. */
bool filter_set(struct filter *f, struct slice text, const char *const *titles, int count,
                char *problem, size_t size) NODISCARD;
/** CELL gives the text of one column of the row in question. */
bool filter_passes(const struct filter *f, int columns, filter_cell_cb cell, void *arg);
/** "1.5K" 1500, "38%" 38, "2m10s" 130; false: no number. */
bool filter_number(struct slice text, double *ret);

#endif
