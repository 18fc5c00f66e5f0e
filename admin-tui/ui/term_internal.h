/* What dialog.c and entry.c need of the terminal, and entry.c of a dialog. */
#ifndef UI_TERM_INTERNAL_H
#define UI_TERM_INTERNAL_H
#define NCURSES_WIDECHAR 1
#include "ui/dialog.h"
#include "ui/term.h"

#include <curses.h>
#include <panel.h>

/** How STYLE looks now. */
attr_t term_attr(uint8_t style, short *ret_pair);
/* A cell that somebody else draws. */
#define CELL_HOLE 0u
/** Puts the cells of C that differ from LAST into W at Y, X, and notes them in LAST (made as large
 * as C when it is not; all is put then). LOOK says under which looks LAST was drawn. True: all was
 * put. */
bool term_paint(WINDOW *w, int y, int x, const struct canvas *c, struct canvas *last,
                unsigned *look);
/** A frame with a title around all of W. */
void term_frame(WINDOW *w, struct slice title);
/** Where W has its cursor it is shown; NULL: nowhere. */
void term_cursor(WINDOW *w);
/** Sends what changed in windows and panels. */
void term_flush(void);
bool term_is_running(void);

/** One row of the screen, as wide as it is, without a frame. */
struct dialog *dialog_open_line(int y) NODISCARD;
void dialog_move_line(struct dialog *d, int y);
/** As dialog_show, but nothing is sent yet. */
void dialog_draw(struct dialog *d);
WINDOW *dialog_window(struct dialog *d);
/** Where its canvas begins in that window, in both directions. */
int dialog_edge(const struct dialog *d);

#endif
