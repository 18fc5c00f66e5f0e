/* The dashboard as a whole: what every screen may use, and what a screen is. One thread. */
#ifndef VIEWS_APP_H
#define VIEWS_APP_H
#include "base/sbuf.h"
#include "ui/canvas.h"
#include "ui/entry.h"
#include "ui/table.h"
#include "views/board.h"
#include "views/feed.h"
#include "views/stage.h"

struct app;
struct cli;
struct conf;

/* What the state of each screen begins with. */
struct screen {
    struct app *app;
    struct table table; /* its list, or the first of them */
    int table_y;        /* line of the list's titles when drawn last */
};

/* A screen. Its state is made at the start and lives to the end. */
struct view {
    const char *name; /* "accounts": for the dashboard's operand and ':' */
    const char *tab;  /* "Accts" */
    unsigned board_needs, feed_needs;
    const char *keys;       /* its line of keys, "{d} drain  {e} enable"; the app adds / ? q */
    const char *short_keys; /* for 40 columns */
    const char *help;       /* lines of its help page */
    size_t state_size;      /* of its state, a struct screen and more; zeroed */
    const struct table_column *columns; /* of the list, COLUMN_COUNT */
    const struct table_column *narrow;  /* the same in a small window */
    int column_count;
    void (*init)(void *state);   /* what zeros and an empty list do not say; NULL: nothing */
    void (*finish)(void *state); /* what it owns besides them; NULL: nothing */
    void (*update)(void *state); /* board or feed may say something else now */
    /* The body: HEIGHT lines from line Y on, the whole width. */
    void (*draw)(void *state, struct canvas *c, int y, int height);
    bool (*key)(void *state, int key);   /* false: not one of its keys */
    struct table *(*table)(void *state); /* the list shown, when there are several; NULL: the one */
};

/** The state of V: app.c's, or a test's. NULL: no memory. */
void *view_create(const struct view *v, struct app *a) NODISCARD;
void view_destroy(const struct view *v, void *state);
/** Board or feed may say something else now, or the window has another size. */
void view_update(const struct view *v, void *state);
/** Lines of HEIGHT that its list takes, title included, when DETAIL lines stand below it and one is
 * free between them: no more than it has rows for; all of HEIGHT when that is too little for both.
 */
int screen_list_height(const struct screen *s, int height, int detail);
/** The list that '/' filters and a click chooses in. */
struct table *view_table(const struct view *v, void *state);

extern const struct view *const views[]; /* by the digits, ended by NULL: list.c */
#define VIEWS_MAX 9

/* ---- what a screen may use ---- */

const struct board *app_board(const struct app *a);
struct feed *app_feed(const struct app *a);
const struct conf *app_conf(const struct app *a);
struct stage *app_stage(struct app *a);
/** Is the daemon there, so that its figures are of now? */
bool app_is_live(const struct app *a);
/** In a narrow or low window (under 60 columns or 16 lines) a screen shows its list alone. */
bool app_is_small(const struct app *a);

/** The result line, until the next one: "OK 14:02:11 ..." */
void app_say(struct app *a, uint8_t style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** Goes to another screen; FILTER (NULL: as it was) is set there. */
void app_go(struct app *a, const char *view, const char *filter);

/** Asks for one line below the screen. TAKE gets it at Enter; false: it stays open, and PROBLEM is
 * shown. */
typedef bool (*app_line_cb)(void *state, struct slice text, struct errmsg *problem);
void app_ask_line(struct app *a, const char *prompt, const char *value, app_line_cb take,
                  void *state);
/** Asks for several fields. TAKE reads them with entry_text. */
typedef bool (*app_form_cb)(void *state, struct entry *e, struct errmsg *problem);
void app_ask_form(struct app *a, const char *title, const struct entry_field *fields, int count,
                  app_form_cb take, void *state);
/** A review: TEXT (lines; those that begin with "! " are warnings), and y runs YES; n and Esc do
 * not, Enter does nothing. YES is called after the dialog has closed. */
typedef void (*app_yes_cb)(void *state);
void app_confirm(struct app *a, const char *title, const char *text, app_yes_cb yes, void *state);
/** The same where a slip would hurt: WORD must be typed. */
void app_confirm_typed(struct app *a, const char *title, const char *text, const char *word,
                       app_yes_cb yes, void *state);
/** When the question that was just opened is closed without a yes, in whatever way: GONE(STATE),
 * which is that question's. */
void app_if_refused(struct app *a, void (*gone)(void *state), void *state);
/** Text to read, with scrolling. IS_SECRET: wiped when it is closed. */
void app_page(struct app *a, const char *title, struct slice text, bool is_secret);
/** What is pasted or typed goes to TAKE without being shown, up to Ctrl-D or until it is whole;
 * IS_WHOLE is asked at each line's end. The bytes are wiped. */
typedef bool (*app_whole_cb)(void *state, struct slice so_far);
void app_ask_paste(struct app *a, const char *title, const char *text, app_whole_cb is_whole,
                   app_line_cb take, void *state);

enum app_run {
    APP_SHOWS = 1 << 0,  /* what it prints is shown in a page */
    APP_SECRET = 1 << 1, /* ... once, and wiped */
    APP_QUIET = 1 << 2   /* no "OK" when it went well and said nothing */
};
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
/** Runs a subcommand (WORDS up to NULL) beside the screen, which then follows the store. WHAT names
 * it for people. Whoever calls has asked for y where that is due. */
void app_run(struct app *a, unsigned flags, const char *what, const char *const *words);
void app_run_words(struct app *a, unsigned flags, const char *what, const char *const *words,
                   int count, struct slice input);
/** One audited change of the store (see cli_change) beside the screen. */
struct errmsg;
typedef enum err (*app_change_cb)(struct cli *c, void *arg, struct errmsg *msg);
void app_change(struct app *a, app_change_cb change, void *arg, void (*free_arg)(void *arg),
                const char *what);

/** Asks for a new key file of ACCOUNT, then for y. */
void app_ask_key(struct app *a, const char *account);
/** Asks whether to take back audit row EVENT; 0: the last change. */
void app_undo(struct app *a, int64_t event);

/* ---- small things that several screens draw ---- */

/** Of figures that are of now, or not. */
static inline uint8_t app_figures_style(bool is_now)
{
    return is_now ? STYLE_PLAIN : STYLE_DIM;
}
/** "41m", "3d04h", "12s" of a span in s; "--" for negative ones. */
char *show_span(int64_t s, char buf[16]);
/** "14:02:11" (UTC), or "11-20 08:00" when it is not of the last day. */
char *show_time(int64_t at_s, int64_t now_s, char buf[16]);
/** "950", "12.3K", "1.2M". */
char *show_count(int64_t n, char buf[16]);
/** An account's state as a word, and how it is to be shown: "up", "DRAIN", "COOL 38s", "OFF",
 * "FAIL". */
uint8_t show_account_state(const struct board *b, const struct board_account *a, char buf[16]);
/** Time left of its token: "41m", "FAIL", "--". */
uint8_t show_token_left(const struct board *b, const struct board_account *a, char buf[16]);
/** Would it be chosen by weight now: up, not cooling? */
bool account_serves(const struct board *b, const struct board_account *a);

/* ---- the whole ---- */

struct app_options {
    bool once, plain, no_color, ascii, no_mouse;
    int interval_ms;    /* 0: 1000 */
    int width, height;  /* of --once; 0: those of the terminal, or 80 and as many as needed */
    const char *screen; /* NULL: the first */
};

/** The dashboard until it is left; C has its arguments. Returns an exit code. */
int app_main(struct cli *c, const struct app_options *o);

#endif
