/* Between app.c, chrome.c, modal.c and work.c. */
#ifndef VIEWS_APP_INTERNAL_H
#define VIEWS_APP_INTERNAL_H
#include "ui/dialog.h"
#include "views/app.h"
#include "views/job.h"

enum modal_kind {
    MODAL_NONE,
    MODAL_LINE,    /* one line at the bottom */
    MODAL_FORM,    /* several fields */
    MODAL_CONFIRM, /* a text and y */
    MODAL_TYPED,   /* a text and a word */
    MODAL_PAGE,    /* a text to read */
    MODAL_PASTE    /* bytes that are not shown */
};

struct modal {
    enum modal_kind kind;
    struct dialog *dialog;
    struct entry *entry;
    struct sbuf text, pasted;
    char title[96], word[STAGE_NAME], search[FILTER_TEXT_MAX];
    bool is_secret, is_searching; /* page: '/' is being typed into entry */
    bool is_seen;                 /* it stood on the screen before the keys that come now */
    int64_t generation;           /* of the settings when it was opened */
    int top;                      /* first line shown */
    app_line_cb take_line;
    app_form_cb take_form;
    app_yes_cb yes;
    void (*gone)(void *state); /* instead of it; may be NULL */
    app_whole_cb is_whole;
    void *state;
};

/* What an ended job printed, while a question stands in its place. */
struct late_page {
    struct sbuf text;
    char title[96];
    bool is_secret, is_waiting;
};

struct app {
    struct cli *cli;
    struct board_source *source;
    struct feed *feed;
    struct job_box *jobs;
    struct stage stage;
    struct canvas canvas;
    struct modal modal;
    unsigned modal_number; /* of the one that is open; goes up with each */
    struct late_page late;
    bool is_pasting;
    unsigned paste_number; /* the modal that the paste goes to */
    uint64_t paste_ms;     /* when the last key of it came */
    void *states[VIEWS_MAX];
    int view; /* index into views */
    int64_t now_s;
    int interval_ms;
    bool is_paused, is_over, is_dirty;
    bool looks_once; /* paused, but the next answer is shown */
    bool is_plain;   /* no keys, no result line: it is printed */
    uint64_t refresh_due_ms;
    char said[512];
    uint8_t said_style;
    unsigned job_flags;
    bool applies_stage;   /* the job that runs is the stage's, */
    struct stage applied; /* as it was when that began */
    int64_t reviewed; /* while an answer of y is carried out: the generation that was looked at */
    int body_y, body_height;
};

/* app.c: at once, or after a question while edits are staged */
void app_leave(struct app *a);

/* chrome.c: everything around the body */
void chrome_draw(struct app *a);

/* modal.c: one question at a time, above the screen */
bool modal_is_open(const struct app *a);
/** KEY goes to it. */
void modal_key(struct app *a, int key);
/** Does it take text, so that a paste has a place to go to? */
bool modal_takes_text(const struct app *a);
/** It is on the screen, and the keys from before that are gone: from now on it can be answered. */
void modal_seen(struct app *a);
void modal_show(struct app *a);
void modal_resize(struct app *a);
void modal_close(struct app *a);

/* command.c: the ':' line */
void command_ask(struct app *a);
bool command_take(void *state, struct slice text, struct errmsg *problem);

/* help.c */
void help_show(struct app *a);

#endif
