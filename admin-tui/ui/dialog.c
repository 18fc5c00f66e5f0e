/* Windows above the screen. Each keeps what it put last, as the screen does. */
#include "ui/dialog.h"

#include "base/mem.h"
#include "ui/term_internal.h"

#define IN_THE_MIDDLE (-1)

struct dialog {
    PANEL *panel;
    struct canvas canvas, last;
    unsigned look;     /* of LAST */
    int width, height; /* as asked for */
    int line;          /* its row, or IN_THE_MIDDLE */
    int edge;          /* 1: it has a frame, 0: there is no room for one */
    char title[128];
};

struct place {
    int y, x, height, width;
};

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static struct place place_of(struct dialog *d)
{
    if (d->line != IN_THE_MIDDLE) {
        int y = smaller(d->line, LINES - 1);
        d->edge = 0;
        return (struct place){y > 0 ? y : 0, 0, 1, COLS};
    }
    d->edge = LINES >= 3 && COLS >= 3;
    int height = smaller(d->height + 2 * d->edge, LINES);
    int width = smaller(d->width + 2 * d->edge, COLS);
    return (struct place){(LINES - height) / 2, (COLS - width) / 2, height, width};
}

/* A new window of the right size and place; the panel's old one goes. */
static bool set_window(struct dialog *d)
{
    struct place at = place_of(d);
    WINDOW *w = newwin(at.height, at.width, at.y, at.x);
    WINDOW *old = d->panel ? panel_window(d->panel) : NULL;
    if (!w)
        return false;
    (void)leaveok(w, FALSE);
    if (!canvas_reset(&d->canvas, at.width - 2 * d->edge, at.height - 2 * d->edge)) {
        (void)delwin(w);
        return false;
    }
    d->canvas.is_utf8 = term_is_utf8();
    canvas_finish(&d->last);
    if (!old) {
        d->panel = new_panel(w);
        if (!d->panel)
            (void)delwin(w);
        return d->panel != NULL;
    }
    (void)replace_panel(d->panel, w);
    (void)delwin(old);
    return true;
}

static struct dialog *open_at(struct slice title, int width, int height, int line)
{
    struct dialog *d = mem_calloc(1, sizeof *d);
    if (!d)
        return NULL;
    canvas_init(&d->canvas);
    canvas_init(&d->last);
    d->width = width > 1 ? smaller(width, CANVAS_WIDTH_MAX) : 1;
    d->height = height > 1 ? smaller(height, CANVAS_HEIGHT_MAX) : 1;
    d->line = line;
    (void)slice_copy(slice_sub(title, 0, sizeof d->title - 1), d->title, sizeof d->title);
    if (!set_window(d)) {
        dialog_close(d);
        return NULL;
    }
    return d;
}

struct dialog *dialog_open(struct slice title, int width, int height)
{
    return open_at(title, width, height, IN_THE_MIDDLE);
}

struct dialog *dialog_open_line(int y)
{
    return open_at(SLICE(""), 1, 1, y > 0 ? y : 0);
}

void dialog_close(struct dialog *d)
{
    if (!d)
        return;
    if (d->panel) {
        WINDOW *w = panel_window(d->panel);
        (void)werase(w);
        (void)del_panel(d->panel);
        (void)delwin(w);
    }
    canvas_finish(&d->canvas);
    canvas_finish(&d->last);
    mem_free(d);
}

struct canvas *dialog_canvas(struct dialog *d)
{
    d->canvas.is_utf8 = term_is_utf8();
    return &d->canvas;
}

WINDOW *dialog_window(struct dialog *d)
{
    return panel_window(d->panel);
}

int dialog_edge(const struct dialog *d)
{
    return d->edge;
}

void dialog_draw(struct dialog *d)
{
    WINDOW *w = panel_window(d->panel);
    if (term_paint(w, d->edge, d->edge, &d->canvas, &d->last, &d->look) && d->edge)
        term_frame(w, slice_of(d->title));
}

void dialog_show(struct dialog *d)
{
    dialog_draw(d);
    term_flush();
}

void dialog_resize(struct dialog *d)
{
    if (!set_window(d)) /* what there was stays, cut by curses */
        canvas_blank(&d->canvas, 0, 0, d->canvas.width, d->canvas.height);
}

void dialog_move_line(struct dialog *d, int y)
{
    d->line = y > 0 ? y : 0;
    dialog_resize(d);
}
