/* A dashboard that only remembers: a screen's functions are called as app.c would, with a board and
 * a feed filled by hand, and what the screen asks for is kept to be looked at. Includes every
 * function of app.h, so that none of the real ones is linked. */
#ifndef CONSOLE_VIEWS_FAKE_APP_H
#define CONSOLE_VIEWS_FAKE_APP_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "ui/term.h"
#include "views/app.h"

#include <stdio.h>

#define FAKE_NOW 1795356131 /* 2026-11-22T14:02:11Z */

struct feed {
    struct feed_trust trust;
    struct feed_figures figures;
};

struct entry {
    const char *text[ENTRY_FIELDS_MAX];
};

struct app {
    struct board board;
    struct feed feed;
    struct stage stage;
    struct conf *conf;
    bool is_live;
    int width, height;
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
};

static inline void fake_open(struct app *a, const char *conf)
{
    struct errmsg msg = {0};
    *a = (struct app){.is_live = true, .width = 80, .height = 24};
    a->board.now_s = FAKE_NOW;
    a->board.now_ms = FAKE_NOW * 1000LL;
    a->board.is_there = true;
    a->board.generation = 213;
    assert_int_equal(conf_parse(slice_of(conf), "test", &a->conf, &msg), ERR_OK);
}

static inline void fake_close(struct app *a)
{
    if (a->change_free)
        a->change_free(a->change_arg);
    conf_destroy(a->conf);
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
    return a->width < 60 || a->height < 16;
}
const struct feed_trust *feed_trust(const struct feed *f)
{
    return &f->trust;
}
const struct feed_figures *feed_figures(const struct feed *f)
{
    return &f->figures;
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
void app_run(struct app *a, unsigned flags, const char *what, ...)
{
    const char *words[32];
    int n = 0;
    va_list ap;
    va_start(ap, what);
    for (const char *w = va_arg(ap, const char *); w && n < 32; w = va_arg(ap, const char *))
        words[n++] = w;
    va_end(ap);
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

/** As app.c and chrome.c do it: the body below two lines (one in a small window, two more while the
 * daemon is away), above two. The caller frees the text. */
static inline char *fake_screen(struct app *a, const struct view *v, void *state, int width,
                                int height, bool is_utf8)
{
    struct canvas c;
    struct sbuf out;
    a->width = width;
    a->height = height;
    int y = app_is_small(a) ? 1 : 2;
    y += a->is_live ? 0 : app_is_small(a) ? 1 : 2;
    canvas_init(&c);
    c.is_utf8 = is_utf8;
    assert_true(canvas_reset(&c, width, height));
    v->update(state);
    v->draw(state, &c, y, height - 2 - y);
    sbuf_init(&out, 1u << 20);
    canvas_print(&c, &out);
    char *text = strdup(sbuf_z(&out));
    sbuf_finish(&out);
    canvas_finish(&c);
    return text;
}

/** Compares with tests/unit/console_views/screens/NAME.txt; with CREDSWAP_WRITE_SCREENS set that is
 * written, to be read by a person. */
static inline void fake_assert_screen(struct app *a, const struct view *v, void *state,
                                      const char *name, int width, int height)
{
    char path[512], want[65536];
    char *got = fake_screen(a, v, state, width, height, false);
    snprintf(path, sizeof path, "%s/tests/unit/console_views/screens/%s_%dx%d%s.txt",
             getenv("CREDSWAP_SOURCE_DIR"), name, width, height, a->is_live ? "" : "_down");
    bool writes = getenv("CREDSWAP_WRITE_SCREENS") != NULL;
    FILE *f = fopen(path, writes ? "w" : "r");
    assert_non_null(f);
    if (writes) {
        fputs(got, f);
        fclose(f);
    } else {
        size_t n = fread(want, 1, sizeof want - 1, f);
        fclose(f);
        want[n] = '\0';
        assert_string_equal(got, want);
    }
    free(got);
}

#endif
