/* The dashboard around one screen, for tests of it: a board and a feed filled by hand, a canvas,
 * and notes of what the screen asked for. Linked instead of app.c, feed.c and board.c. */
#ifndef CONSOLE_VIEWS_PAPER_APP_H
#define CONSOLE_VIEWS_PAPER_APP_H
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
#include "views/list.h"

#include <stdio.h>

#define NOW 1795788131 /* 2026-11-27 14:02:11 UTC */

struct feed {
    bool is_up;
    struct feed_figures figures;
    struct feed_trust trust;
    struct feed_leaves leaves;
};

struct app {
    struct board board;
    struct feed feed;
    struct stage stage;
    struct conf conf;
    struct canvas canvas;
    /* what the screen asked for, in words */
    char said[512], ran[512], title[96], text[8192], word[64];
    app_yes_cb yes;
    app_line_cb take;
    void *state; /* of YES or TAKE */
};

const struct board *app_board(const struct app *a)
{
    return &a->board;
}

struct feed *app_feed(const struct app *a)
{
    return (struct feed *)(uintptr_t)&a->feed;
}

const struct conf *app_conf(const struct app *a)
{
    return &a->conf;
}

struct stage *app_stage(struct app *a)
{
    return &a->stage;
}

bool app_is_live(const struct app *a)
{
    return a->feed.is_up;
}

bool app_is_small(const struct app *a)
{
    return a->canvas.width < 60 || a->canvas.height < 16;
}

const struct feed_figures *feed_figures(const struct feed *f)
{
    return &f->figures;
}

const struct feed_trust *feed_trust(const struct feed *f)
{
    return &f->trust;
}

const struct feed_leaves *feed_leaves(const struct feed *f)
{
    return &f->leaves;
}

void app_say(struct app *a, uint8_t style, const char *fmt, ...)
{
    va_list ap;
    (void)style;
    va_start(ap, fmt);
    vsnprintf(a->said, sizeof a->said, fmt, ap);
    va_end(ap);
}

static void fake_note(struct app *a, const char *title, const char *text, const char *word)
{
    snprintf(a->title, sizeof a->title, "%s", title);
    snprintf(a->text, sizeof a->text, "%s", text);
    snprintf(a->word, sizeof a->word, "%s", word);
}

void app_ask_line(struct app *a, const char *prompt, const char *value, app_line_cb take,
                  void *state)
{
    fake_note(a, prompt, value, "");
    a->take = take;
    a->state = state;
}

void app_confirm(struct app *a, const char *title, const char *text, app_yes_cb yes, void *state)
{
    fake_note(a, title, text, "");
    a->yes = yes;
    a->state = state;
}

void app_confirm_typed(struct app *a, const char *title, const char *text, const char *word,
                       app_yes_cb yes, void *state)
{
    fake_note(a, title, text, word);
    a->yes = yes;
    a->state = state;
}

void app_page(struct app *a, const char *title, struct slice text, bool is_secret)
{
    char z[sizeof a->text];
    (void)is_secret;
    assert_true(slice_copy(text, z, sizeof z));
    fake_note(a, title, z, "");
}

void app_run(struct app *a, unsigned flags, const char *what, ...)
{
    va_list ap;
    (void)flags;
    va_start(ap, what);
    a->ran[0] = '\0';
    for (const char *w = va_arg(ap, const char *); w; w = va_arg(ap, const char *)) {
        size_t n = strlen(a->ran);
        snprintf(a->ran + n, sizeof a->ran - n, "%s%s", n ? " " : "", w);
    }
    va_end(ap);
}

/* ---- for the tests ---- */

/** A screen of this size with its board and feed empty. */
static inline void fake_init(struct app *a, int width, int height)
{
    static char none[] = "", proxy[] = "10.0.0.5:3128";
    static char *listeners[] = {proxy};
    *a = (struct app){0};
    canvas_init(&a->canvas);
    assert_true(canvas_reset(&a->canvas, width, height));
    a->board.now_s = NOW;
    a->board.is_there = true;
    a->board.generation = 213;
    a->board.generation_at = NOW - 600;
    a->conf.oauth.early_refresh = 300;
    a->conf.listen.advertise = none;
    a->conf.listen.proxy.v = listeners;
    a->conf.listen.proxy.n = 1;
    a->conf.ca.cert = none;
}

/** Draws the body as the app would, with the lines around it left blank. */
static inline void fake_draw(struct app *a, const struct view *v, void *state)
{
    struct canvas *c = &a->canvas;
    int y = app_is_small(a) ? 1 : 2;
    canvas_blank(c, 0, 0, c->width, c->height);
    v->update(state);
    if (c->height - 2 - y > 0)
        v->draw(state, c, y, c->height - 2 - y);
}

/** What is on the screen now, owned by OUT. */
static inline const char *fake_text(const struct app *a, struct sbuf *out)
{
    sbuf_init(out, 1u << 20);
    canvas_print(&a->canvas, out);
    return sbuf_z(out);
}

static inline void fake_resize(struct app *a, int width, int height)
{
    assert_true(canvas_reset(&a->canvas, width, height));
}

static inline void golden_path(const char *name, char *path, size_t size)
{
    const char *root = getenv("CREDSWAP_SOURCE_DIR");
    snprintf(path, size, "%s/tests/unit/console_views/golden/%s", root ? root : ".", name);
}

static inline bool golden_is_written(void)
{
    const char *mode = getenv("CREDSWAP_GOLDEN");
    return mode && strcmp(mode, "write") == 0;
}

/** The whole screen is that of golden/NAME.txt. With CREDSWAP_GOLDEN=write the file is written
 * instead: git diff shows what changed. */
static inline void assert_screen(const struct app *a, const char *name)
{
    char file[96], path[512], want[65536] = "";
    struct sbuf out;
    const char *is = fake_text(a, &out);
    snprintf(file, sizeof file, "%s.txt", name);
    golden_path(file, path, sizeof path);
    if (golden_is_written()) {
        FILE *to = fopen(path, "w");
        assert_non_null(to);
        fputs(is, to);
        fclose(to);
    }
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    want[fread(want, 1, sizeof want - 1, f)] = '\0';
    fclose(f);
    if (strcmp(is, want) != 0)
        print_error("---- %s should be\n%s---- but is\n%s----\n", name, want, is);
    assert_string_equal(is, want);
    sbuf_finish(&out);
}

/** 80x24, 40x10 and 200x50, as NAME-80x24 and so on. */
static inline void assert_screens(struct app *a, const struct view *v, void *state,
                                  const char *name)
{
    static const int sizes[][2] = {{80, 24}, {40, 10}, {200, 50}};
    char file[96];
    for (size_t i = 0; i < 3; i++) {
        fake_resize(a, sizes[i][0], sizes[i][1]);
        fake_draw(a, v, state);
        snprintf(file, sizeof file, "%s-%dx%d", name, sizes[i][0], sizes[i][1]);
        assert_screen(a, file);
    }
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
