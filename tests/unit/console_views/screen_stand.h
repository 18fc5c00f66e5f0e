/* What stands in for the whole dashboard in the tests of one screen: a board and a feed filled by
 * hand, and what the screen asked for. The screen is compared as text with golden/NAME.txt;
 * CREDSWAP_GOLDEN_WRITE=1 writes that file instead. */
#ifndef CONSOLE_VIEWS_SCREEN_STAND_H
#define CONSOLE_VIEWS_SCREEN_STAND_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "ui/term.h"
#include "views/app.h"
#include "views/list.h"

#include <stdio.h>

#define NOW_S INT64_C(1795356151) /* 2026-11-22T14:02:31Z */

struct app {
    struct board board;
    bool is_live, is_small;
    char said[512], title[128], text[8192], ended[64];
    app_yes_cb yes;
    app_line_cb take;
    void *asked;
    int64_t undone;
    int undo_count;
};

static struct feed_figures stand_figures;
static struct feed_live stand_live;
static struct app stand;

const struct board *app_board(const struct app *a)
{
    return &a->board;
}

struct feed *app_feed(const struct app *a)
{
    return (struct feed *)(uintptr_t)a;
}

bool app_is_live(const struct app *a)
{
    return a->is_live;
}

bool app_is_small(const struct app *a)
{
    return a->is_small;
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
    (void)value;
    snprintf(a->title, sizeof a->title, "%s", prompt);
    a->take = take;
    a->asked = state;
}

void app_confirm(struct app *a, const char *title, const char *text, app_yes_cb yes, void *state)
{
    snprintf(a->title, sizeof a->title, "%s", title);
    snprintf(a->text, sizeof a->text, "%s", text);
    a->yes = yes;
    a->asked = state;
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

const struct feed_figures *feed_figures(const struct feed *f)
{
    (void)f;
    return &stand_figures;
}

const struct feed_live *feed_live(const struct feed *f)
{
    (void)f;
    return &stand_live;
}

void feed_end(struct feed *f, const char *request_id)
{
    (void)f;
    snprintf(stand.ended, sizeof stand.ended, "%s", request_id);
}

/** The file golden/NAME.txt; free with free. */
static inline char *golden_read(const char *path)
{
    char *text = calloc(1, 1 << 16);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("no %s: CREDSWAP_GOLDEN_WRITE=1 makes it", path);
    text[fread(text, 1, (1 << 16) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static inline void golden_check(const char *name, const char *is)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/unit/console_views/golden/%s.txt",
             getenv("CREDSWAP_SOURCE_DIR"), name);
    if (getenv("CREDSWAP_GOLDEN_WRITE")) {
        FILE *f = fopen(path, "w");
        assert_true(f && fputs(is, f) >= 0 && fclose(f) == 0);
        return;
    }
    char *should = golden_read(path);
    assert_string_equal(is, should);
    free(should);
}

/** Draws V as the dashboard would in a window of that size, and compares the body. */
static inline void golden_draw(const struct view *v, void *state, const char *name, int width,
                               int height, bool is_utf8)
{
    struct canvas c;
    struct sbuf text;
    canvas_init(&c);
    c.is_utf8 = is_utf8;
    assert_true(canvas_reset(&c, width, height));
    stand.is_small = width < 60 || height < 16;
    v->update(state);
    int top = stand.is_small ? 1 : 2;
    v->draw(state, &c, top, height - top - 2);
    sbuf_init(&text, 1 << 20);
    canvas_print(&c, &text);
    golden_check(name, sbuf_z(&text));
    sbuf_finish(&text);
    canvas_finish(&c);
}

/** A key as the dashboard gives it: the screen's own first, then the table's. */
static inline void press(const struct view *v, void *state, int key)
{
    if (!v->key(state, key) && table_key(v->table(state), key))
        v->update(state);
}

#endif
