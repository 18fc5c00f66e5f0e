/* Sentences below a list: wrapped where the window is narrow, warnings marked by their style too.
 */
#ifndef VIEWS_LINES_H
#define VIEWS_LINES_H
#include "ui/canvas.h"

/** Draws the lines of TEXT into HEIGHT lines at Y, one column in. A line that begins with "!" is a
 * warning; what is too long goes on below, as far in as its line begins; what has no room is said
 * to be there. Returns how many lines it took. */
int lines_draw(struct canvas *c, int y, int height, struct slice text);
/** Bytes of LINE that fit into WIDTH columns, cut at a space when there is one not far before;
 * never half a character, and never none of a line that has some. */
size_t lines_fit(struct slice line, int width, bool is_utf8);

#endif
