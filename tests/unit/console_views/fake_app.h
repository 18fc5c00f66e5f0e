/* A dashboard that only remembers, for the tests of one screen: its functions are called as app.c
 * would, with a board and a feed filled by hand, and what the screen asks for is kept to be looked
 * at. Linked instead of app.c, feed.c and board.c. */
#ifndef CONSOLE_VIEWS_FAKE_APP_H
#define CONSOLE_VIEWS_FAKE_APP_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "conf/conf.h"
#include "ui/term.h"
#include "views/app.h"
#include "views/list.h"

#include <stdio.h>

#ifndef FAKE_NOW
#define FAKE_NOW 1795356131 /* 2026-11-22T14:02:11Z */
#endif

struct feed {
    struct feed_trust trust;
    struct feed_figures figures;
    struct feed_leaves leaves;
    struct feed_live live;
    char ended[64];
};

struct entry {
    const char *text[ENTRY_FIELDS_MAX];
};

struct app {
    struct board board;
    struct feed feed;
    struct stage stage;
    struct conf *conf; /* parsed, or PLAIN */
    struct conf plain;
    struct canvas canvas;
    bool is_live;
    /* what was asked last */
    char said[512], title[128], text[8192], word[160], prompt[160], value[512];
    struct entry_field fields[ENTRY_FIELDS_MAX];
    char field_values[ENTRY_FIELDS_MAX][512];
    int field_count;
    app_yes_cb yes;
    app_form_cb form;
    app_line_cb line;
    void *state;
    char ran[2048]; /* words with single spaces */
    unsigned run_flags;
    app_change_cb change;
    void *change_arg;
    void (*change_free)(void *arg);
    char change_what[512];
    int64_t undone;
    int undo_count;
};

/** A window of that size. */
static inline void fake_resize(struct app *a, int width, int height)
{
    assert_true(canvas_reset(&a->canvas, width, height));
}

/** 80x24, the daemon there, board and feed empty; CONF (NULL: none but a listener) as in a file. */
static inline void fake_open(struct app *a, const char *conf)
{
    static char none[] = "", proxy[] = "10.0.0.5:3128";
    static char *listeners[] = {proxy};
    struct errmsg msg = {0};
    *a = (struct app){.is_live = true};
    canvas_init(&a->canvas);
    fake_resize(a, 80, 24);
    a->board.now_s = FAKE_NOW;
    a->board.now_ms = FAKE_NOW * 1000LL;
    a->board.is_there = true;
    a->board.generation = 213;
    a->board.generation_at = FAKE_NOW - 600;
    a->plain.oauth.early_refresh = 300;
    a->plain.listen.advertise = a->plain.ca.cert = none;
    a->plain.listen.proxy.v = listeners;
    a->plain.listen.proxy.n = 1;
    a->conf = &a->plain;
    if (conf)
        assert_int_equal(conf_parse(slice_of(conf), "test", &a->conf, &msg), ERR_OK);
}

static inline void fake_close(struct app *a)
{
    if (a->change_free)
        a->change_free(a->change_arg);
    if (a->conf != &a->plain)
        conf_destroy(a->conf);
    canvas_finish(&a->canvas);
}

const struct board *app_board(const struct app *a)
{
    return &a->board;
}
struct feed *app_feed(const struct app *a)
{
    return (struct feed *)(uintptr_t)&a->feed;
}
struct stage *app_stage(struct app *a)
{
    return &a->stage;
}
const struct conf *app_conf(const struct app *a)
{
    return a->conf;
}
bool app_is_live(const struct app *a)
{
    return a->is_live;
}
bool app_is_small(const struct app *a)
{
    return a->canvas.width < 60 || a->canvas.height < 16;
}
const struct feed_trust *feed_trust(const struct feed *f)
{
    return &f->trust;
}
const struct feed_figures *feed_figures(const struct feed *f)
{
    return &f->figures;
}
const struct feed_leaves *feed_leaves(const struct feed *f)
{
    return &f->leaves;
}
const struct feed_live *feed_live(const struct feed *f)
{
    return &f->live;
}
void feed_end(struct feed *f, const char *request_id)
{
    snprintf(f->ended, sizeof f->ended, "%s", request_id);
}
int board_pool_find(const struct board *b, const char *name)
{
    for (int i = 0; i < b->pool_count; i++)
        if (strcmp(b->pools[i].name, name) == 0)
            return i;
    return -1;
}
int board_account_find(const struct board *b, const char *name)
{
    for (int i = 0; i < b->account_count; i++)
        if (strcmp(b->accounts[i].name, name) == 0)
            return i;
    return -1;
}

void app_say(struct app *a, uint8_t style, const char *fmt, ...)
{
    va_list ap;
    (void)style;
    va_start(ap, fmt);
    vsnprintf(a->said, sizeof a->said, fmt, ap);
    va_end(ap);
}
void app_ask_line(struct app *a, const char *prompt, const char *value, app_line_cb take,
                  void *state)
{
    snprintf(a->prompt, sizeof a->prompt, "%s", prompt);
    snprintf(a->value, sizeof a->value, "%s", value);
    a->line = take;
    a->state = state;
}
void app_ask_form(struct app *a, const char *title, const struct entry_field *fields, int count,
                  app_form_cb take, void *state)
{
    snprintf(a->title, sizeof a->title, "%s", title);
    for (int i = 0; i < count; i++) {
        a->fields[i] = fields[i];
        snprintf(a->field_values[i], sizeof a->field_values[i], "%s",
                 fields[i].value ? fields[i].value : "");
    }
    a->field_count = count;
    a->form = take;
    a->state = state;
}
void app_confirm(struct app *a, const char *title, const char *text, app_yes_cb yes, void *state)
{
    snprintf(a->title, sizeof a->title, "%s", title);
    snprintf(a->text, sizeof a->text, "%s", text);
    a->word[0] = '\0';
    a->yes = yes;
    a->state = state;
}
void app_confirm_typed(struct app *a, const char *title, const char *text, const char *word,
                       app_yes_cb yes, void *state)
{
    app_confirm(a, title, text, yes, state);
    snprintf(a->word, sizeof a->word, "%s", word);
}
void app_run_words(struct app *a, unsigned flags, const char *what, const char *const *words,
                   int count, struct slice input)
{
    size_t n = 0;
    (void)what;
    (void)input;
    for (int i = 0; i < count; i++)
        n += (size_t)snprintf(a->ran + n, sizeof a->ran - n, "%s%s", i ? " " : "", words[i]);
    a->run_flags = flags;
}
void app_run(struct app *a, unsigned flags, const char *what, const char *const *words)
{
    int n = 0;
    while (words[n])
        n++;
    app_run_words(a, flags, what, words, n, slice_of(""));
}
void app_change(struct app *a, app_change_cb change, void *arg, void (*free_arg)(void *arg),
                const char *what)
{
    if (a->change_free)
        a->change_free(a->change_arg);
    a->change = change;
    a->change_arg = arg;
    a->change_free = free_arg;
    snprintf(a->change_what, sizeof a->change_what, "%s", what);
}
void app_page(struct app *a, const char *title, struct slice text, bool is_secret)
{
    assert_false(is_secret);
    snprintf(a->title, sizeof a->title, "%s", title);
    snprintf(a->text, sizeof a->text, "%.*s", SLICE_FMT(text));
}
void app_undo(struct app *a, int64_t event)
{
    a->undone = event;
    a->undo_count++;
}
struct slice entry_text(struct entry *e, int i)
{
    return slice_of(e->text[i] ? e->text[i] : "");
}

/** What a person types into the form that was asked, NULL: as it stands. False: refused, and
 * a->said says why. */
static inline bool fake_fill(struct app *a, const char *const *texts)
{
    struct entry e = {{0}};
    struct errmsg problem = {0};
    assert_non_null(a->form);
    for (int i = 0; i < a->field_count; i++)
        e.text[i] = texts[i] ? texts[i] : a->field_values[i];
    a->text[0] = '\0';
    a->yes = NULL;
    bool is_taken = a->form(a->state, &e, &problem);
    snprintf(a->said, sizeof a->said, "%s", problem.text);
    assert_true(is_taken || *problem.text);
    return is_taken;
}

static inline bool fake_type(struct app *a, const char *text)
{
    struct errmsg problem = {0};
    assert_non_null(a->line);
    bool is_taken = a->line(a->state, slice_of(text), &problem);
    snprintf(a->said, sizeof a->said, "%s", problem.text);
    assert_true(is_taken || *problem.text);
    return is_taken;
}

static inline void fake_yes(struct app *a)
{
    assert_non_null(a->yes);
    a->yes(a->state);
    a->yes = NULL;
}

/** A key as app.c gives it: the screen's own first, then the list's. */
static inline void fake_press(const struct view *v, void *state, int key)
{
    if (!v->key(state, key) && table_key(view_table(v, state), key))
        view_update(v, state);
}

/** The body as app.c and chrome.c draw it: below two lines (one in a small window, and two more, or
 * one, while the daemon is away), above two. */
static inline void fake_draw(struct app *a, const struct view *v, void *state)
{
    struct canvas *c = &a->canvas;
    int y = app_is_small(a) ? 1 : 2;
    y += a->is_live ? 0 : y;
    canvas_blank(c, 0, 0, c->width, c->height);
    view_update(v, state);
    if (c->height - 2 - y > 0)
        v->draw(state, c, y, c->height - 2 - y);
}

/** What it draws now; the caller frees the text. */
static inline char *fake_text(struct app *a, const struct view *v, void *state)
{
    struct sbuf out;
    fake_draw(a, v, state);
    sbuf_init(&out, 1u << 20);
    canvas_print(&a->canvas, &out);
    char *text = strdup(sbuf_z(&out));
    sbuf_finish(&out);
    return text;
}

static inline void golden_path(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/tests/unit/console_views/golden/%s", getenv("CREDSWAP_SOURCE_DIR"),
             name);
}

/** The file; free with free. */
static inline char *golden_read(const char *path)
{
    char *text = calloc(1, 1 << 16);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("no %s: CREDSWAP_GOLDEN=write makes it", path);
    text[fread(text, 1, (1 << 16) - 1, f)] = '\0';
    fclose(f);
    return text;
}

/** IS is golden/NAME.txt. With CREDSWAP_GOLDEN=write the file is written instead, to be read by a
 * person: git diff shows what changed. */
static inline void golden_check(const char *name, const char *is)
{
    char path[512], file[128];
    const char *mode = getenv("CREDSWAP_GOLDEN");
    snprintf(file, sizeof file, "%s.txt", name);
    golden_path(file, path, sizeof path);
    if (mode && strcmp(mode, "write") == 0) {
        FILE *f = fopen(path, "w");
        assert_true(f && fputs(is, f) >= 0 && fclose(f) == 0);
        return;
    }
    char *should = golden_read(path);
    if (strcmp(is, should) != 0)
        print_error("---- %s should be\n%s---- but is\n%s----\n", name, should, is);
    assert_string_equal(is, should);
    free(should);
}

/** The screen as it is drawn now is that of golden/NAME.txt. */
static inline void assert_screen(struct app *a, const struct view *v, void *state, const char *name)
{
    char *is = fake_text(a, v, state);
    golden_check(name, is);
    free(is);
}

/** In a window of that size, as NAME-80x24 and so on. */
static inline void assert_screen_at(struct app *a, const struct view *v, void *state,
                                    const char *name, int width, int height)
{
    char file[96];
    snprintf(file, sizeof file, "%s-%dx%d", name, width, height);
    fake_resize(a, width, height);
    assert_screen(a, v, state, file);
}

/** 80x24, 40x10 and 200x50. */
static inline void assert_screens(struct app *a, const struct view *v, void *state,
                                  const char *name)
{
    assert_screen_at(a, v, state, name, 80, 24);
    assert_screen_at(a, v, state, name, 40, 10);
    assert_screen_at(a, v, state, name, 200, 50);
}

/** Draws in every small size and some large ones: nothing outside the canvas is touched. */
static inline void draw_all_sizes(struct app *a, const struct view *v, void *state)
{
    for (int w = 1; w <= 130; w += w < 24 ? 1 : 7)
        for (int h = 1; h <= 60; h += h < 30 ? 1 : 11) {
            fake_resize(a, w, h);
            fake_draw(a, v, state);
        }
}

#endif
