/* A small program of the console's own parts, for tests/tui: a screen, a dialog, entries. Keys are
 * told on the screen; d opens a dialog, e an entry of fields, h a hidden one, : a line, q ends, X
 * crashes. */
#include "ui/dialog.h"
#include "ui/entry.h"
#include "ui/term.h"

#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    struct canvas canvas;
    struct dialog *dialog;
    struct entry *entry;
    int fields;
    char keys[256]; /* the last ones */
    char result[512];
    int code;
    bool ends;
} d;

static void draw_screen(void)
{
    struct canvas *c = &d.canvas;
    if (!canvas_reset(c, term_width(), term_height()))
        exit(70);
    c->is_utf8 = term_is_utf8();
    canvas_putf(c, 0, 0, c->width, STYLE_TITLE, "ui driver %dx%d", c->width, c->height);
    canvas_put(c, 1, 0, c->width, STYLE_GOOD, SLICE("good"));
    canvas_put(c, 1, 6, c->width, STYLE_WARN, SLICE("warn"));
    canvas_put(c, 1, 12, c->width, STYLE_FAIL, SLICE("fail"));
    canvas_put(c, 1, 18, c->width, STYLE_DIM, SLICE("dim"));
    canvas_put(c, 1, 24, c->width, STYLE_PLAIN | STYLE_REVERSE, SLICE("reverse"));
    canvas_bar(c, 2, 0, 20, STYLE_GOOD, 0.5);
    canvas_put(c, 3, 0, c->width, STYLE_PLAIN, SLICE("Z\xc3\xbcrich \x1b[31m\xc2\x9b"));
    canvas_putf(c, 4, 0, c->width, STYLE_PLAIN, "keys%s", d.keys);
    canvas_putf(c, 5, 0, c->width, STYLE_PLAIN, "result %s", d.result);
    for (int y = 6; y < c->height; y++)
        canvas_putf(c, y, 0, c->width, STYLE_PLAIN,
                    "row %d ................................................", y);
    canvas_put_right(c, c->height - 1, 0, c->width, STYLE_PLAIN, SLICE("END"));
}

static void show(void)
{
    draw_screen();
    term_show(&d.canvas);
    if (d.dialog) {
        struct canvas *c = dialog_canvas(d.dialog);
        canvas_blank(c, 0, 0, c->width, c->height);
        canvas_putf(c, 0, 0, c->width, STYLE_PLAIN, "inside %dx%d", c->width, c->height);
        dialog_show(d.dialog);
    }
    if (d.entry)
        entry_show(d.entry);
}

static void note_key(int key)
{
    static const char *const names[] = {
        "up",     "down",    "left",   "right", "pgup",    "pgdn",      "home",  "end",    "delete",
        "insert", "backtab", "resize", "click", "wheelup", "wheeldown", "paste", "pasted", "other"};
    char text[32];
    size_t n = strlen(d.keys);
    if (key >= TERM_F1)
        snprintf(text, sizeof text, " F%d", key - TERM_F1 + 1);
    else if (key >= TERM_UP && key <= TERM_OTHER)
        snprintf(text, sizeof text, " %s", names[key - TERM_UP]);
    else
        snprintf(text, sizeof text, " %x", (unsigned)key);
    if (n + strlen(text) > 60)
        n = 0;
    snprintf(d.keys + n, sizeof d.keys - n, "%s", text);
}

static void open_fields(bool is_hidden)
{
    static const struct entry_field three[] = {
        {.label = "Name", .hint = "letters and digits", .width = 12, .most = 20},
        {.label = "Label", .value = "Z\xc3\xbcrich", .width = 10},
        {.label = "Weight", .value = "10", .hint = "0 to 1000", .width = 4, .most = 4},
    };
    static const struct entry_field one[] = {
        {.label = "Key", .width = 20, .most = 4096, .is_hidden = true}};
    d.fields = is_hidden ? 1 : 3;
    d.entry = entry_open("Entry", is_hidden ? one : three, d.fields);
}

static void close_entry(bool is_done)
{
    size_t n = 0;
    snprintf(d.result, sizeof d.result, "left");
    for (int i = 0; i < d.fields && is_done; i++) {
        struct slice text = entry_text(d.entry, i);
        if (text.n > 40)
            n += (size_t)snprintf(d.result + n, sizeof d.result - n, "[%zu bytes]", text.n);
        else
            n += (size_t)snprintf(d.result + n, sizeof d.result - n, "[%.*s]", SLICE_FMT(text));
    }
    entry_close(d.entry);
    d.entry = NULL;
}

static void entry_takes(int key)
{
    enum entry_result r = entry_key(d.entry, key);
    if (r == ENTRY_DONE && slice_eq(entry_text(d.entry, 0), SLICE("bad")))
        entry_complain(d.entry, "this one is not taken");
    else if (r != ENTRY_GOES_ON)
        close_entry(r == ENTRY_DONE);
}

static void resize(void)
{
    if (d.dialog)
        dialog_resize(d.dialog);
    if (d.entry)
        entry_resize(d.entry, term_height() - 1);
}

static void take(int key)
{
    if (key == TERM_RESIZE)
        resize();
    if (d.entry) {
        entry_takes(key);
        return;
    }
    note_key(key);
    if (key == TERM_ESC) {
        dialog_close(d.dialog);
        d.dialog = NULL;
    } else if (key == TERM_CLICK) {
        int y = 0, x = 0;
        term_mouse(&y, &x);
        snprintf(d.result, sizeof d.result, "click %d %d", y, x);
    } else if (key == 'd' && !d.dialog) {
        d.dialog = dialog_open(SLICE("Title"), 30, 5);
    } else if (key == 'e' || key == 'h') {
        open_fields(key == 'h');
    } else if (key == ':') {
        d.fields = 1;
        d.entry = entry_open_line(term_height() - 1, ":", NULL);
    } else if (key == 'C') {
        term_toggle_color();
    } else if (key == 'A') {
        (void)term_toggle_ascii();
    } else if (key == TERM_CTRL('l')) {
        term_redraw();
    } else if (key == 'b') {
        term_bell();
    } else if (key == 'X') {
        abort();
    } else if (key == 'S') {
        (void)raise(SIGSEGV);
    }
    d.ends = d.ends || key == 'q';
}

static void turn(void)
{
    struct pollfd fds[] = {{.fd = term_input_fd(), .events = POLLIN},
                           {.fd = term_signal_fd(), .events = POLLIN}};
    (void)poll(fds, 2, 300);
    for (int number = term_signal(); number; number = term_signal()) {
        d.code = 100 + number;
        d.ends = true;
    }
    for (int key = term_key(); key != TERM_NONE && !d.ends; key = term_key()) {
        if (key == TERM_GONE) {
            d.code = 3;
            d.ends = true;
        } else {
            take(key);
        }
    }
}

int main(int argc, char **argv)
{
    struct term_options o = {0};
    struct errmsg msg = {{0}};
    for (int i = 1; i < argc; i++) {
        o.ascii = o.ascii || strcmp(argv[i], "--ascii") == 0;
        o.no_color = o.no_color || strcmp(argv[i], "--no-color") == 0;
        o.no_mouse = o.no_mouse || strcmp(argv[i], "--no-mouse") == 0;
    }
    setlocale(LC_CTYPE, "");
    enum err e = term_start(&o, &msg);
    if (e != ERR_OK) {
        fprintf(stderr, "%s\n", msg.text);
        return e == ERR_INVALID ? 69 : 64;
    }
    canvas_init(&d.canvas);
    while (!d.ends) {
        show();
        turn();
    }
    entry_close(d.entry);
    dialog_close(d.dialog);
    term_stop();
    canvas_finish(&d.canvas);
    printf("ended %d\n", d.code);
    return d.code;
}
