/* The terminal: the only room that owns curses. One of it; the thread that started it uses it. */
#ifndef UI_TERM_H
#define UI_TERM_H
#include "base/err.h"
#include "ui/canvas.h"

/* Keys: characters are their Unicode value; others begin here, so that no view includes curses. */
enum term_key {
    TERM_NONE = -1, /* nothing typed */
    TERM_GONE = -2, /* the terminal is closed */
    TERM_ESC = 27,
    TERM_ENTER = 13,
    TERM_TAB = 9,
    TERM_BACKSPACE = 127,
    TERM_UP = 0x110000, /* above all characters */
    TERM_DOWN,
    TERM_LEFT,
    TERM_RIGHT,
    TERM_PAGE_UP,
    TERM_PAGE_DOWN,
    TERM_HOME,
    TERM_END,
    TERM_DELETE,
    TERM_INSERT,
    TERM_BACK_TAB,
    TERM_RESIZE, /* the size is another one by now */
    TERM_CLICK,  /* term_mouse says where */
    TERM_WHEEL_UP,
    TERM_WHEEL_DOWN,
    TERM_PASTE_BEGIN, /* bracketed paste */
    TERM_PASTE_END,
    TERM_OTHER,        /* a key without a meaning here */
    TERM_F1 = 0x110100 /* F2 is one more, to F12 */
};
#define TERM_CTRL(c) ((c)&0x1f)

struct term_options {
    bool no_color, ascii, no_mouse;
};

/** Takes the terminal over: alternate screen, keys at once, signals INT, TERM, HUP, QUIT, WINCH,
 * TSTP and CONT as bytes of term_signal_fd (they are blocked: a child must unblock them), PIPE
 * ignored. NO_COLOR is looked at here. A crash puts the terminal back. ERR_DENIED: standard input
 * or output is no terminal; ERR_INVALID: TERM is unknown or cannot move a cursor; MSG says so and
 * what to use instead. */
enum err term_start(const struct term_options *o, struct errmsg *msg) NODISCARD;
/** Puts the terminal back as it was. Twice, or without a start, is fine; also when it is gone. */
void term_stop(void);

int term_width(void);
int term_height(void);
bool term_is_utf8(void);
/** What the locale says; needs no start. */
bool term_locale_is_utf8(void);
/** Colours on and off. */
void term_toggle_color(void);
/** ASCII and UTF-8, as far as the locale has it. Returns term_is_utf8, with which canvases are to
 * be drawn again. */
bool term_toggle_ascii(void);
/** Forgets what is on the screen: the next term_show draws all of it. */
void term_redraw(void);
/** Shows C (its size should be the terminal's) below the panels; only what differs is sent. Where
 * the terminal takes nothing (Ctrl-S, a slow line) nothing is sent, and the next call tries again.
 */
void term_show(const struct canvas *c);
/** A beep, or a flash. */
void term_bell(void);

/** To be polled for reading. */
int term_input_fd(void);
int term_signal_fd(void);
/** The next key, without waiting; TERM_NONE. Call it until that: keys may wait in here where no
 * poll sees them. Alt with a key, and sequences that nobody knows, are TERM_OTHER. */
int term_key(void);
/** Of the last TERM_CLICK. */
void term_mouse(int *ret_y, int *ret_x);
/** The next signal that came and should end the program: SIGINT, SIGTERM (QUIT too), SIGHUP; 0:
 * none. WINCH is answered
 * inside and gives TERM_RESIZE by term_key; so are TSTP (it stops here, and the screen comes back)
 * and CONT: call term_key and draw after it. */
int term_signal(void);

#endif
