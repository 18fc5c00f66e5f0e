/* The terminal. Signals are blocked and read from a descriptor, SIGTSTP too: curses' own handler
 * for it draws in the middle of whatever was under way. Bytes become characters here and not in
 * wget_wch(), which loses a character that comes in two reads. */
#include "ui/term_internal.h"

#include "base/check.h"

#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define KEY_PASTE_BEGIN (KEY_MAX + 1)
#define KEY_PASTE_END (KEY_MAX + 2)
#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"
#define MOUSE_EVENTS (BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED)
#define NOTHING (-1)

static struct {
    bool is_running, is_gone, has_resized, was_started;
    bool can_color, is_colored, can_utf8, is_utf8, can_paste, has_acs, is_plain_ascii;
    unsigned look; /* counts what makes everything look different */
    SCREEN *screen;
    WINDOW *keys;   /* a pad: to read from a window would draw it */
    WINDOW *cursor; /* NULL: no cursor is shown */
    int cursor_is;  /* what curs_set was last told, or NOTHING */
    int signal_fd;
    sigset_t old_mask;
    struct sigaction old_pipe;
    struct canvas last;
    unsigned last_look;
    int pushed;   /* one byte read too far, or NOTHING */
    char part[4]; /* of a character */
    int part_n;
    int mouse_y, mouse_x;
} t = {.signal_fd = -1, .pushed = NOTHING};

/* What ends the full screen when the program cannot any more; read by a signal handler. */
static struct {
    volatile sig_atomic_t is_on;
    char text[256];
    size_t n;
    struct termios modes;
} rescue;

/* ---- what the terminal can ---- */

static const char *capability(const char *name)
{
    const char *text = tigetstr(name);
    return text == (const char *)-1 ? NULL : text;
}

static bool is_flag(const char *name)
{
    return tigetflag(name) > 0;
}

static const char *terminal_name(void)
{
    const char *name = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    return name ? name : "";
}

static enum err check_terminal(struct errmsg *msg)
{
    int why = 0;
    struct slice name = slice_of(terminal_name());
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return err_set(msg, ERR_DENIED,
                       "the full screen needs a terminal as input and output; without one: "
                       "credswap --once --plain");
    bool is_known = setupterm(NULL, STDOUT_FILENO, &why) == OK && why == 1;
    bool can_move = is_known && capability("cup") && !is_flag("hc");
    if (cur_term) {
        (void)del_curterm(cur_term);
    }
    if (can_move)
        return ERR_OK;
    if (name.n == 0)
        return err_set(msg, ERR_INVALID,
                       "TERM is not set; set it to what your terminal is (xterm-256color), or: "
                       "credswap --once --plain");
    if (name.n > 40 || slice_printable(name, 0) < name.n)
        name = SLICE("?");
    return err_set(msg, ERR_INVALID,
                   "TERM=%.*s is %s; set TERM to what your terminal is (xterm-256color), or: "
                   "credswap --once --plain",
                   SLICE_FMT(name),
                   is_known ? "a terminal that cannot move its cursor" : "unknown here");
}

/* Those have no Unicode characters, or a font without the blocks (the kernel's). */
static bool is_old_terminal(void)
{
    static const char *const names[] = {"vt",  "ansi", "pcansi", "cons25",
                                        "sun", "mach", "linux",  "hurd"};
    struct slice name = slice_of(terminal_name());
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_starts(name, slice_of(names[i])))
            return true;
    return false;
}

bool term_locale_is_utf8(void)
{
    const char *set = nl_langinfo(CODESET); /* NOLINT(concurrency-mt-unsafe): one thread */
    return slice_ieq(slice_of(set), SLICE("UTF-8"));
}

/* ---- looks ---- */

struct look {
    attr_t attr;
    short many, few; /* colours of 256 that are readable on black and on white; of 8; NOTHING */
};
static const struct look looks[STYLE_COUNT] = {
    [STYLE_PLAIN] = {A_NORMAL, NOTHING, NOTHING}, [STYLE_TITLE] = {A_BOLD, NOTHING, NOTHING},
    [STYLE_DIM] = {A_DIM, NOTHING, NOTHING},      [STYLE_GOOD] = {A_NORMAL, 28, COLOR_GREEN},
    [STYLE_WARN] = {A_BOLD, 130, COLOR_MAGENTA},  [STYLE_FAIL] = {A_BOLD, 160, COLOR_RED},
    [STYLE_KEY] = {A_BOLD, 31, NOTHING},          [STYLE_STAGED] = {A_BOLD, 133, COLOR_MAGENTA},
};

static void start_colors(bool wants)
{
    const char *no = getenv("NO_COLOR"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    t.can_color = has_colors() && start_color() == OK && COLORS >= 8 && COLOR_PAIRS > STYLE_COUNT;
    t.is_colored = t.can_color && wants && !(no && *no);
    if (!t.can_color)
        return;
    short back = use_default_colors() == OK ? -1 : COLOR_BLACK;
    for (int i = 0; i < STYLE_COUNT; i++) {
        short color = COLORS >= 256 ? looks[i].many : looks[i].few;
        if (color != NOTHING)
            (void)init_pair((short)(i + 1), color, back);
    }
}

attr_t term_attr(uint8_t style, short *ret_pair)
{
    uint8_t i = style & (uint8_t)~STYLE_REVERSE;
    const struct look *look = &looks[i < STYLE_COUNT ? i : STYLE_PLAIN];
    short color = COLORS >= 256 ? look->many : look->few;
    bool is_colored = t.is_colored && color != NOTHING;
    *ret_pair = is_colored ? (short)(i + 1) : 0;
    return look->attr | (style & STYLE_REVERSE ? A_REVERSE : A_NORMAL);
}

static void put_cell(WINDOW *w, int y, int x, const struct cell *cell)
{
    wchar_t text[2] = {(wchar_t)cell->ch, 0};
    cchar_t out;
    short pair = 0;
    attr_t attr = term_attr(cell->style, &pair);
    /* The canvas cleans; this is the last door, and costs nothing. */
    if (cell->ch < ' ' || (cell->ch >= 0x7f && (cell->ch < 0xa0 || !t.is_utf8)))
        text[0] = L'?';
    if (setcchar(&out, text, attr, pair, NULL) == OK)
        (void)mvwadd_wch(w, y, x, &out); /* the last cell of a window fails after it was put */
}

static bool is_same_cell(const struct cell *a, const struct cell *b)
{
    return a->ch == b->ch && a->style == b->style;
}

/* True: LAST was of no use, all must be put. */
static bool is_stale(const struct canvas *c, struct canvas *last, unsigned look)
{
    bool has_size = last->cells && last->width == c->width && last->height == c->height;
    if (!has_size && !canvas_reset(last, c->width, c->height))
        canvas_finish(last); /* no memory: all is put each time */
    return !has_size || look != t.look;
}

bool term_paint(WINDOW *w, int y, int x, const struct canvas *c, struct canvas *last,
                unsigned *look)
{
    if (!w || !c->cells)
        return false;
    bool puts_all = is_stale(c, last, *look);
    int height = getmaxy(w) - y, width = getmaxx(w) - x;
    for (int i = 0; i < c->height && i < height; i++)
        for (int j = 0; j < c->width && j < width; j++) {
            const struct cell *now = &c->cells[i * c->width + j];
            struct cell *then = last->cells ? &last->cells[i * c->width + j] : NULL;
            if (now->ch == CELL_HOLE || (!puts_all && then && is_same_cell(now, then)))
                continue;
            put_cell(w, y + i, x + j, now);
            if (then)
                *then = *now;
        }
    *look = t.look;
    return puts_all;
}

/* Corners and lines: of Unicode, of the terminal, or of ASCII. */
static void frame_char(WINDOW *w, int y, int x, uint32_t unicode, chtype line, char ascii)
{
    short pair = 0;
    attr_t attr = term_attr(STYLE_DIM, &pair);
    if (t.is_utf8) {
        put_cell(w, y, x, &(struct cell){unicode, STYLE_DIM});
    } else {
        (void)wattr_set(w, attr, pair, NULL);
        (void)mvwaddch(w, y, x,
                       t.has_acs && !t.is_plain_ascii ? line : (chtype)(unsigned char)ascii);
        (void)wattr_set(w, A_NORMAL, 0, NULL);
    }
}

static void frame_title(WINDOW *w, struct slice title)
{
    struct canvas line;
    int room = getmaxx(w) - 4;
    canvas_init(&line);
    if (room > 2 && canvas_reset(&line, room, 1)) {
        line.is_utf8 = t.is_utf8;
        int used = canvas_put(&line, 0, 1, room - 2, STYLE_TITLE, title);
        for (int x = 0; x < used + 2 && used > 0; x++)
            put_cell(w, 0, 2 + x, &line.cells[x]);
    }
    canvas_finish(&line);
}

void term_frame(WINDOW *w, struct slice title)
{
    int bottom = getmaxy(w) - 1, right = getmaxx(w) - 1;
    for (int x = 1; x < right; x++) {
        frame_char(w, 0, x, 0x2500, ACS_HLINE, '-');
        frame_char(w, bottom, x, 0x2500, ACS_HLINE, '-');
    }
    for (int y = 1; y < bottom; y++) {
        frame_char(w, y, 0, 0x2502, ACS_VLINE, '|');
        frame_char(w, y, right, 0x2502, ACS_VLINE, '|');
    }
    frame_char(w, 0, 0, 0x250c, ACS_ULCORNER, '+');
    frame_char(w, 0, right, 0x2510, ACS_URCORNER, '+');
    frame_char(w, bottom, 0, 0x2514, ACS_LLCORNER, '+');
    frame_char(w, bottom, right, 0x2518, ACS_LRCORNER, '+');
    frame_title(w, title);
}

/* ---- output ---- */

bool term_is_running(void)
{
    return t.is_running && !t.is_gone;
}

void term_cursor(WINDOW *w)
{
    t.cursor = w;
}

/* False: stopped by Ctrl-S, or the line is slower than us; to write would wait, and no signal ends
 * that. */
static bool can_write(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0 && (p.revents & POLLHUP) == 0;
}

/* Where it stands when it cannot be hidden: always the same place, so that a quiet screen is
 * silent. */
static void place_cursor(void)
{
    int y = LINES - 1, x = 0;
    if (t.cursor) {
        int top = 0, left = 0;
        getyx(t.cursor, y, x);
        getbegyx(t.cursor, top, left);
        y += top;
        x += left;
    }
    if (t.cursor_is != (t.cursor != NULL)) {
        t.cursor_is = t.cursor != NULL;
        (void)curs_set(t.cursor_is);
    }
    (void)wmove(newscr, y < LINES ? y : LINES - 1, x < COLS ? x : COLS - 1);
}

void term_flush(void)
{
    if (!term_is_running() || !can_write())
        return; /* windows keep what they hold: the next flush sends it */
    if (panel_above(NULL))
        update_panels();
    else
        (void)wnoutrefresh(stdscr); /* without a panel the panel library knows no screen */
    place_cursor();
    (void)doupdate();
}

void term_show(const struct canvas *c)
{
    if (!term_is_running())
        return;
    (void)term_paint(stdscr, 0, 0, c, &t.last, &t.last_look);
    term_flush();
}

void term_redraw(void)
{
    t.look++;
    if (term_is_running())
        (void)clearok(curscr, TRUE);
}

void term_bell(void)
{
    if (term_is_running() && can_write())
        (void)beep();
}

/* ---- size ---- */

/* Asks the kernel. True: another size than before. */
static bool fit(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = (unsigned short)LINES, .ws_col = (unsigned short)COLS};
    int rows = size.ws_row < CANVAS_HEIGHT_MAX ? size.ws_row : CANVAS_HEIGHT_MAX;
    int width = size.ws_col < CANVAS_WIDTH_MAX ? size.ws_col : CANVAS_WIDTH_MAX;
    if (rows == LINES && width == COLS)
        return false;
    (void)resize_term(rows, width); /* resizeterm would push a key of its own */
    (void)werase(stdscr);
    (void)clearok(curscr, TRUE); /* terminals differ in what they keep */
    t.look++;
    return true;
}

int term_width(void)
{
    return t.was_started ? COLS : 80;
}

int term_height(void)
{
    return t.was_started ? LINES : 24;
}

bool term_is_utf8(void)
{
    return t.is_utf8;
}

void term_toggle_color(void)
{
    t.is_colored = t.can_color && !t.is_colored;
    t.look++;
}

bool term_toggle_ascii(void)
{
    t.is_utf8 = t.can_utf8 && !t.is_utf8;
    t.look++;
    return t.is_utf8;
}

/* ---- rescue ---- */

/* Appends a capability without its padding ("$<5>"). */
static void rescue_add(const char *text)
{
    for (; text && *text; text++) {
        const char *end = text[0] == '$' && text[1] == '<' ? strchr(text, '>') : NULL;
        if (end)
            text = end;
        else if (rescue.n < sizeof rescue.text)
            rescue.text[rescue.n++] = *text;
    }
}

static void rescue_prepare(bool has_mouse)
{
    static const char *const names[] = {"rmacs", "sgr0", "op", "rmkx", "cnorm", "rmcup"};
    rescue.n = 0;
    if (t.can_paste)
        rescue_add(PASTE_OFF);
    if (has_mouse)
        rescue_add("\033[?1006;1000l");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        rescue_add(capability(names[i]));
    rescue_add("\r\n");
}

/* Only what a signal handler may do. */
static void rescue_now(void)
{
    if (!rescue.is_on)
        return;
    rescue.is_on = 0;
    ssize_t n = write(STDOUT_FILENO, rescue.text, rescue.n);
    (void)n; /* there is nothing else that it could try */
    (void)tcsetattr(STDOUT_FILENO, TCSANOW, &rescue.modes);
}

static void on_crash(int number)
{
    rescue_now();
    (void)raise(number); /* the handler was for once: this ends the program as the signal wants */
}

static void guard_crashes(void)
{
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static bool is_guarded;
    if (is_guarded)
        return;
    is_guarded = true;
    (void)atexit(term_stop);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(rescue_now);
#endif
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct sigaction old, mine = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(numbers[i], &mine, NULL);
    }
}

/* Curses knows the words but has no call for them, and putp() would leave them in stdio's buffer.
 */
static void ask_for_pastes(bool is_on)
{
    struct slice words = is_on ? SLICE(PASTE_ON) : SLICE(PASTE_OFF);
    if (!t.can_paste)
        return;
    ssize_t n = write(STDOUT_FILENO, words.p, words.n);
    (void)n; /* a terminal that is gone is found by term_key */
}

/* ---- start and stop ---- */

static bool start_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction stop;
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaddset(&set, numbers[i]);
    /* Whoever started us without job control ignores it, and so do we. */
    if (sigaction(SIGTSTP, NULL, &stop) == 0 && stop.sa_handler != SIG_IGN)
        sigaddset(&set, SIGTSTP);
    if (pthread_sigmask(SIG_BLOCK, &set, &t.old_mask) != 0)
        return false;
    t.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (t.signal_fd < 0) {
        (void)pthread_sigmask(SIG_SETMASK, &t.old_mask, NULL);
        return false;
    }
    (void)sigaction(SIGPIPE, &ignore, &t.old_pipe);
    return true;
}

static void stop_signals(void)
{
    close(t.signal_fd);
    t.signal_fd = -1;
    (void)sigaction(SIGPIPE, &t.old_pipe, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &t.old_mask, NULL);
}

/* Spellings that terminals send although their description has others. */
static void define_keys(void)
{
    static const struct {
        const char *text;
        int key;
    } keys[] = {
        {"\033[200~", KEY_PASTE_BEGIN},
        {"\033[201~", KEY_PASTE_END},
        {"\033[A", KEY_UP},
        {"\033[B", KEY_DOWN},
        {"\033[C", KEY_RIGHT},
        {"\033[D", KEY_LEFT},
        {"\033OA", KEY_UP},
        {"\033OB", KEY_DOWN},
        {"\033OC", KEY_RIGHT},
        {"\033OD", KEY_LEFT},
        {"\033[H", KEY_HOME},
        {"\033[F", KEY_END},
        {"\033OH", KEY_HOME},
        {"\033OF", KEY_END},
        {"\033[1~", KEY_HOME},
        {"\033[4~", KEY_END},
        {"\033[7~", KEY_HOME},
        {"\033[8~", KEY_END},
        {"\033[3~", KEY_DC},
        {"\033[2~", KEY_IC},
        {"\033[5~", KEY_PPAGE},
        {"\033[6~", KEY_NPAGE},
        {"\033[Z", KEY_BTAB},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].key > KEY_MAX || key_defined(keys[i].text) == 0)
            (void)define_key(keys[i].text, keys[i].key);
}

static bool start_keys(bool wants_mouse)
{
    t.keys = newpad(1, 1);
    if (!t.keys)
        return false;
    (void)cbreak();
    (void)noecho();
    (void)nonl();
    (void)intrflush(t.keys, FALSE);
    (void)keypad(t.keys, TRUE);
    (void)nodelay(t.keys, TRUE);
    (void)set_escdelay(25);
    (void)typeahead(-1); /* a held key must not keep the screen from being drawn */
    define_keys();
    if (wants_mouse) {
        (void)mousemask(MOUSE_EVENTS, NULL);
        (void)mouseinterval(0);
    }
    return true;
}

static void start_looks(const struct term_options *o)
{
    t.can_utf8 = term_locale_is_utf8();
    t.is_plain_ascii = o->ascii;
    t.is_utf8 = t.can_utf8 && !o->ascii && !is_old_terminal();
    t.has_acs = capability("acsc") != NULL;
    /* what can report a mouse is of xterm's kind, and takes this or does not mind */
    t.can_paste = capability("BE") != NULL || capability("kmous") != NULL;
    start_colors(!o->no_color);
    t.look++;
    t.cursor = NULL;
    t.cursor_is = NOTHING;
}

enum err term_start(const struct term_options *o, struct errmsg *msg)
{
    DCHECK(!t.is_running);
    enum err e = check_terminal(msg);
    if (e != ERR_OK)
        return e;
    (void)tcgetattr(STDOUT_FILENO, &rescue.modes);
    if (!start_signals())
        return err_set(msg, ERR_IO, "the full screen cannot take signals; try again");
    if (t.screen)
        delscreen(t.screen); /* of the last time: dialogs may have outlived it */
    t.screen = newterm(NULL, stdout, stdin);
    if (!t.screen || !start_keys(!o->no_mouse)) {
        if (t.screen)
            (void)endwin();
        stop_signals();
        return err_set(msg, ERR_IO,
                       "the terminal could not be set up; use credswap --once --plain");
    }
    t.is_running = t.was_started = true;
    t.is_gone = t.has_resized = false;
    t.pushed = NOTHING;
    t.part_n = 0;
    start_looks(o);
    rescue_prepare(!o->no_mouse && capability("kmous"));
    rescue.is_on = 1;
    guard_crashes();
    (void)fit();
    ask_for_pastes(true);
    return ERR_OK;
}

/* What stands in the way of our last words was ours: it goes. A Ctrl-S ends with IXON (tcflow()
 * ends only what tcflow() began). */
static void make_way(void)
{
    struct termios modes;
    if (can_write())
        return;
    (void)tcflush(STDOUT_FILENO, TCOFLUSH);
    if (tcgetattr(STDOUT_FILENO, &modes) == 0) {
        modes.c_iflag &= ~(tcflag_t)IXON;
        (void)tcsetattr(STDOUT_FILENO, TCSANOW, &modes);
    }
}

/* Back to the shell's screen, for a while or for good. */
static void leave_screen(void)
{
    make_way();
    ask_for_pastes(false);
    t.cursor_is = NOTHING;
    (void)endwin();
}

void term_stop(void)
{
    if (!t.is_running)
        return;
    t.is_running = false;
    if (t.is_gone)
        (void)tcsetattr(STDOUT_FILENO, TCSANOW, &rescue.modes);
    else
        leave_screen();
    rescue.is_on = 0;
    canvas_finish(&t.last);
    stop_signals();
}

/* ---- keys ---- */

int term_input_fd(void)
{
    return STDIN_FILENO;
}

int term_signal_fd(void)
{
    return t.signal_fd;
}

static int next_byte(void)
{
    int byte = t.pushed;
    t.pushed = NOTHING;
    return byte != NOTHING ? byte : wgetch(t.keys); /* ERR is NOTHING too */
}

/* A terminal that is closed is readable, and has nothing. */
static bool is_closed(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    int waiting = 0;
    if (poll(&p, 1, 0) != 1)
        return false;
    if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
        return true;
    return ioctl(STDIN_FILENO, FIONREAD, &waiting) != 0 || waiting == 0;
}

/* Behind an ESC. What follows at once is Alt and a key, or a sequence that nobody defined: its
 * bytes must not act as keys. */
static int escaped(void)
{
    int next = next_byte();
    if (next == ERR)
        return TERM_ESC;
    if (next == TERM_ESC) {
        t.pushed = next;
        return TERM_ESC;
    }
    if (next == 'O')
        (void)next_byte();
    if (next != '[')
        return TERM_OTHER;
    for (int i = 0; i < 64; i++) {
        next = next_byte();
        if (next == ERR || (next >= 0x40 && next <= 0x7e) || next > 0xff)
            break;
    }
    return TERM_OTHER;
}

static int moused(void)
{
    MEVENT event;
    if (getmouse(&event) != OK)
        return TERM_OTHER;
    t.mouse_y = event.y;
    t.mouse_x = event.x;
    if (event.bstate & BUTTON4_PRESSED)
        return TERM_WHEEL_UP;
    if (event.bstate & BUTTON5_PRESSED)
        return TERM_WHEEL_DOWN;
    return event.bstate & (BUTTON1_PRESSED | BUTTON1_CLICKED) ? TERM_CLICK : TERM_OTHER;
}

static int named_key(int key)
{
    static const int names[][2] = {
        {KEY_UP, TERM_UP},
        {KEY_DOWN, TERM_DOWN},
        {KEY_LEFT, TERM_LEFT},
        {KEY_RIGHT, TERM_RIGHT},
        {KEY_PPAGE, TERM_PAGE_UP},
        {KEY_NPAGE, TERM_PAGE_DOWN},
        {KEY_HOME, TERM_HOME},
        {KEY_END, TERM_END},
        {KEY_DC, TERM_DELETE},
        {KEY_IC, TERM_INSERT},
        {KEY_BTAB, TERM_BACK_TAB},
        {KEY_BACKSPACE, TERM_BACKSPACE},
        {KEY_ENTER, TERM_ENTER},
        {KEY_PASTE_BEGIN, TERM_PASTE_BEGIN},
        {KEY_A1, TERM_HOME},
        {KEY_C1, TERM_END},
        {KEY_A3, TERM_PAGE_UP},
        {KEY_C3, TERM_PAGE_DOWN},
        {KEY_FIND, TERM_HOME},
        {KEY_SELECT, TERM_END},
        {KEY_PASTE_END, TERM_PASTE_END},
    };
    if (key == KEY_MOUSE)
        return moused();
    if (key >= KEY_F(1) && key <= KEY_F(12))
        return TERM_F1 + key - KEY_F(1);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i][0] == key)
            return names[i][1];
    return TERM_OTHER;
}

/* Bytes that the first one announces; 0: it begins no character. */
static int utf8_length(unsigned char first)
{
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

static int part_value(void)
{
    static const int lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    int value = (unsigned char)t.part[0] & (0x7f >> t.part_n);
    for (int i = 1; i < t.part_n; i++)
        value = value << 6 | (t.part[i] & 0x3f);
    if (value < lowest[t.part_n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return TERM_OTHER;
    return value < 0xa0 ? TERM_OTHER : value; /* C1 controls are no text */
}

/* A byte of a character beyond ASCII; TERM_NONE: more must come. */
static int wide_byte(int byte)
{
    bool is_tail = (byte & 0xc0) == 0x80;
    if (!t.can_utf8 || (t.part_n == 0 && utf8_length((unsigned char)byte) == 0))
        return TERM_OTHER;
    if (t.part_n > 0 && !is_tail) {
        t.part_n = 0;
        t.pushed = byte;
        return TERM_OTHER;
    }
    t.part[t.part_n++] = (char)byte;
    if (t.part_n < utf8_length((unsigned char)t.part[0]))
        return TERM_NONE;
    int value = part_value();
    t.part_n = 0;
    return value;
}

static int plain_byte(int byte)
{
    switch (byte) {
    case TERM_ESC:
        return escaped();
    case '\r':
    case '\n':
        return TERM_ENTER;
    case '\b':
    case 127:
        return TERM_BACKSPACE;
    case 0:
        return TERM_OTHER;
    default:
        return byte;
    }
}

int term_key(void)
{
    int key = TERM_NONE;
    if (t.is_gone)
        return TERM_GONE;
    if (!t.is_running)
        return TERM_NONE;
    if (t.has_resized) {
        t.has_resized = false;
        return TERM_RESIZE;
    }
    while (key == TERM_NONE) {
        int byte = next_byte();
        if (byte == ERR) {
            t.is_gone = is_closed();
            return t.is_gone ? TERM_GONE : TERM_NONE;
        }
        if (byte > 0xff) {
            t.part_n = 0;
            key = named_key(byte);
        } else if (byte >= 0x80 || t.part_n > 0) {
            key = wide_byte(byte);
        } else {
            key = plain_byte(byte);
        }
    }
    return key;
}

void term_mouse(int *ret_y, int *ret_x)
{
    *ret_y = t.mouse_y;
    *ret_x = t.mouse_x;
}

/* ---- signals ---- */

/* The shell had the terminal; what it left on it is unknown. */
static void come_back(void)
{
    if (!isendwin())
        (void)endwin(); /* stopped from outside: takes the screen as if it had been left */
    if (tcgetpgrp(STDOUT_FILENO) ==
        getpgrp()) { /* in the background the modes are the shell's own */
        (void)tcgetattr(STDOUT_FILENO, &rescue.modes);
        (void)def_shell_mode();
    }
    t.has_resized = fit() || t.has_resized;
    t.cursor_is = NOTHING;
    term_redraw();
    rescue.is_on = 1;
    ask_for_pastes(true);
    term_flush();
}

/* Without a shell that could continue us the kernel does not stop us, so this does not wait for
 * SIGCONT. */
static void stop_for_a_while(void)
{
    static const struct timespec no_time = {0, 0};
    struct sigaction old, normal = {.sa_handler = SIG_DFL};
    sigset_t set, going_on;
    leave_screen();
    rescue.is_on = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    (void)sigaction(SIGTSTP, &normal, &old);
    (void)raise(SIGTSTP);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* here we stop */
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGTSTP, &old, NULL);
    sigemptyset(&going_on);
    sigaddset(&going_on, SIGCONT);
    (void)sigtimedwait(&going_on, NULL, &no_time);
    come_back();
}

int term_signal(void)
{
    struct signalfd_siginfo info;
    while (term_is_running() && read(t.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGWINCH) {
            t.has_resized = fit() || t.has_resized;
        } else if (number == SIGTSTP) {
            stop_for_a_while();
        } else if (number == SIGCONT) {
            come_back();
        } else {
            return number == SIGQUIT ? SIGTERM : number;
        }
    }
    return 0;
}
