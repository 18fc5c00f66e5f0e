/* Sentences below a list: wrapped where the window is narrow, warnings marked by their style too.
 */
#ifndef VIEWS_LINES_H
#define VIEWS_LINES_H
#include "ui/canvas.h"

/** Draws the lines of TEXT into HEIGHT lines at Y, one column in. A line that begins with "!" is a
 * warning; what is too long goes on below, as far in as its line begins. Returns how many lines it
 * took. */
int lines_draw(struct canvas *c, int y, int height, struct slice text);

#endif
