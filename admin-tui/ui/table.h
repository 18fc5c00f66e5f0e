/* Rows under columns: cursor, scrolling, sorting, filter, marks. It follows a row by its key when
 * rows come and go. Pure; drawn into a canvas. */
#ifndef UI_TABLE_H
#define UI_TABLE_H
#include "ui/canvas.h"
#include "ui/filter.h"

struct table_column {
    const char *title;
    uint8_t width;    /* columns it needs */
    uint8_t most;     /* it may grow to that; 0: it does not */
    uint8_t priority; /* 0 is never left out; in a narrow window the highest goes first */
    bool is_right;
};

#define TABLE_CELL_MAX 192
struct table_cell {
    char text[TABLE_CELL_MAX];
    uint8_t style;
    double value; /* what it sorts by, when has_value */
    bool has_value;
};

/* Where the rows come from; only valid during a call. */
struct table_source {
    void *arg;
    int count;
    int64_t (*key)(void *arg, int row); /* stable name of the row */
    void (*cell)(void *arg, int row, int column, struct table_cell *ret); /* RET is zeroed before */
};

#define TABLE_COLUMNS_MAX 20
#define TABLE_MARKS_MAX 1024

struct table {
    const struct table_column *columns;
    int column_count;
    int sort; /* column, -1: as they come */
    bool sort_is_down;
    struct filter filter;
    int *order; /* rows that pass, in order */
    int shown, space;
    int cursor, top; /* in order */
    int64_t cursor_key;
    bool has_cursor, follows_end;
    int height; /* rows drawn last, for PgUp and PgDn */
    int64_t marks[TABLE_MARKS_MAX];
    int mark_count;
};

/** Borrows COLUMNS. SORT -1: as they come. */
void table_init(struct table *t, const struct table_column *columns, int count, int sort,
                bool is_down);
void table_finish(struct table *t);
/** The rows may be others: filters, sorts, and keeps the cursor at its row. */
void table_update(struct table *t, const struct table_source *src);
/** Of a list whose newest stands first, before table_update: *FOLLOWS stays true until somebody
 * moves away from the top or sorts by a column, and as long as it does the cursor is at the top. */
void table_follow_top(struct table *t, bool *follows);
/** Title line and rows into the area of HEIGHT lines at Y, X. */
void table_draw(struct table *t, const struct table_source *src, struct canvas *c, int y, int x,
                int width, int height);
/** Cursor, paging, s S (sort by the next column, reverse), Space (mark). KEY as term_key gives it.
 * False: not a key of a table. Call table_update afterwards. */
bool table_key(struct table *t, int key);
/** A click or wheel: the line of the area drawn last. */
void table_click(struct table *t, int line);
/** Row under the cursor, an index of the source; -1: there is none. */
int table_row(const struct table *t);
bool table_is_marked(const struct table *t, int64_t key);
void table_unmark(struct table *t);
/** False: PROBLEM says why. */
bool table_filter(struct table *t, struct slice text, char *problem, size_t size) NODISCARD;

#endif
