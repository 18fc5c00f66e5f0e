/* A window above the screen (a curses panel). Enter never confirms: whoever opens one names the
 * keys. */
#ifndef UI_DIALOG_H
#define UI_DIALOG_H
#include "ui/canvas.h"

struct dialog;

/** In the middle, at most as large as the terminal; WIDTH and HEIGHT are of what is inside its
 * frame. NULL: no memory. */
struct dialog *dialog_open(struct slice title, int width, int height) NODISCARD;
void dialog_close(struct dialog *d);
/** Draw into this (it has the size inside the frame, maybe smaller than asked), then dialog_show.
 */
struct canvas *dialog_canvas(struct dialog *d);
void dialog_show(struct dialog *d);
/** After a change of the terminal's size: in the middle again; the canvas is blank afterwards. */
void dialog_resize(struct dialog *d);

#endif
