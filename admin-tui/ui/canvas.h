/* A screen as cells in memory: what is drawn here, term.c shows, and `--once --plain` prints. Pure:
 * no terminal, no clock. One cell is one column: wider and combining characters show as '?'. */
#ifndef UI_CANVAS_H
#define UI_CANVAS_H
#include "base/sbuf.h"
#include "base/slice.h"

#include <stdint.h>

/* What a cell means; term.c decides how that looks. Words carry the meaning, styles only help. */
enum style {
    STYLE_PLAIN,
    STYLE_TITLE,
    STYLE_DIM,
    STYLE_GOOD,
    STYLE_WARN,
    STYLE_FAIL,
    STYLE_KEY,
    STYLE_STAGED,
    STYLE_COUNT
};
#define STYLE_REVERSE 0x80u /* added to one: the row of the cursor, the tab at hand */

struct cell {
    uint32_t ch; /* a character of one column */
    uint8_t style;
};

#define CANVAS_WIDTH_MAX 512
#define CANVAS_HEIGHT_MAX 256

struct canvas {
    int width, height;
    bool is_utf8; /* else ASCII alone is put */
    struct cell *cells;
};

/** Owns nothing yet. */
void canvas_init(struct canvas *c);
void canvas_finish(struct canvas *c);
/** Blank, of that size (clamped to 1..MAX). False: no memory, the old size stays. */
bool canvas_reset(struct canvas *c, int width, int height) NODISCARD;

/** Puts TEXT at most WIDTH columns wide; what does not fit ends in '~'. Control characters, broken
 * UTF-8 and (in ASCII) all else show as '?'. Outside the canvas nothing is put. Returns the columns
 * used. */
int canvas_put(struct canvas *c, int y, int x, int width, uint8_t style, struct slice text);
int canvas_putf(struct canvas *c, int y, int x, int width, uint8_t style, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/** The same, ending at the right edge of the WIDTH columns. */
int canvas_put_right(struct canvas *c, int y, int x, int width, uint8_t style, struct slice text);
/** Puts text with marked words: "{w} review" shows w as a key. Returns the columns used. */
int canvas_put_keys(struct canvas *c, int y, int x, int width, struct slice text);
/** Columns that TEXT takes. */
int text_columns(struct slice text, bool is_utf8);
/** Ors STYLE_REVERSE or sets the style of WIDTH cells. */
void canvas_style(struct canvas *c, int y, int x, int width, uint8_t style);
void canvas_reverse(struct canvas *c, int y, int x, int width);
/** Spaces. */
void canvas_blank(struct canvas *c, int y, int x, int width, int height);
/** A bar of WIDTH columns, PART of it (0..1) full. */
void canvas_bar(struct canvas *c, int y, int x, int width, uint8_t style, double part);
/** The last WIDTH of N values as a line of steps, the highest step at MOST (0: the largest of
 * them). */
void canvas_spark(struct canvas *c, int y, int x, int width, uint8_t style, const uint32_t *values,
                  int n, uint32_t most);
/** A box with a title. */
void canvas_box(struct canvas *c, int y, int x, int width, int height, struct slice title);

/** A row as text without spaces at its end. */
void canvas_line(const struct canvas *c, int y, struct sbuf *out);
/** All of it, a line each; empty lines at the end are left out. */
void canvas_print(const struct canvas *c, struct sbuf *out);

#endif
