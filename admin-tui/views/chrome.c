/* Around the body: who and how much on top, the screens' tabs, what was said last, the keys at
 * hand. */
#include "cli/cli.h"
#include "views/app_internal.h"

#include <stdio.h>
#include <unistd.h>

/* Of the last minute, without the second that is still going on. */
static double rate_now(const struct feed_figures *f)
{
    double sum = 0;
    for (int i = FEED_RATE - 5; i < FEED_RATE; i++)
        sum += f->rate[i];
    return sum / 5;
}

static void node_name(const struct feed_figures *f, char *buf, size_t size)
{
    if (f->name[0])
        snprintf(buf, size, "%s", f->name);
    else if (gethostname(buf, size) != 0)
        snprintf(buf, size, "--");
    buf[size - 1] = '\0';
}

/* It was asked for the first time, and nothing came yet. */
static bool is_unknown(const struct app *a)
{
    return !feed_is_up(a->feed) && feed_is_waiting(a->feed) && !*feed_problem(a->feed);
}

static const char *state_word(const struct app *a, const struct feed_figures *f)
{
    if (!feed_is_up(a->feed))
        return is_unknown(a) ? "..." : f->at_ms ? "DOWN?" : "DOWN";
    if (!f->at_ms)
        return "UP";
    if (strcmp(f->state, "running") == 0)
        return "RUN";
    return strcmp(f->state, "draining") == 0 ? "DRAIN" : "START";
}

static uint8_t state_style(const struct app *a)
{
    return is_unknown(a) ? STYLE_PLAIN : feed_is_up(a->feed) ? STYLE_GOOD : STYLE_FAIL;
}

static void line_figures(const struct app *a, const struct feed_figures *f, struct sbuf *out)
{
    char up[16], age[16];
    if (is_unknown(a)) {
        sbuf_adds(out, "asking the daemon");
    } else if (feed_is_up(a->feed) && !f->at_ms) {
        sbuf_adds(out, "it does not tell its figures");
    } else if (feed_is_up(a->feed)) {
        double err = f->requests_5m ? 100.0 * (double)f->errors_5m / (double)f->requests_5m : 0;
        sbuf_addf(out, "up %s   %.1f req/s  %lld open  err %.1f%%", show_span(f->uptime_s, up),
                  rate_now(f), (long long)f->exchanges, err);
    } else if (f->at_ms) {
        sbuf_addf(out, "no answer for %s", show_span(a->now_s - f->at_ms / 1000, age));
    } else {
        sbuf_adds(out, "the daemon is not running");
    }
}

static void draw_identity(struct app *a)
{
    const struct feed_figures *f = feed_figures(a->feed);
    const struct board *b = app_board(a);
    struct canvas *c = &a->canvas;
    char name[65], right[80];
    struct sbuf figures;
    node_name(f, name, sizeof name);
    sbuf_init(&figures, 256);
    line_figures(a, f, &figures);
    int x = canvas_putf(c, 0, 0, c->width, STYLE_TITLE, "credswap %.24s  ", name);
    x += canvas_putf(c, 0, x, c->width - x, state_style(a), "%s", state_word(a, f));
    x += canvas_putf(c, 0, x, c->width - x, STYLE_PLAIN, "  %s", sbuf_z(&figures));
    snprintf(right, sizeof right, "%s%.16s %4.1fs",
             b->is_newer    ? "LOOK ONLY  "
             : a->is_paused ? "PAUSED  "
                            : "",
             a->cli->who, a->interval_ms / 1000.0);
    char *uid = strstr(right, " (uid");
    if (uid)
        snprintf(uid, sizeof right - (size_t)(uid - right), " %.1fs", a->interval_ms / 1000.0);
    int n = text_columns(slice_of(right), c->is_utf8);
    if (x + 2 + n <= c->width)
        canvas_put_right(c, 0, c->width - n, n, STYLE_DIM, slice_of(right));
    sbuf_finish(&figures);
}

/* 40 columns: " credswap RUN 42/s 118op err.4% 1/8  ?" */
static void draw_small_identity(struct app *a, int count)
{
    const struct feed_figures *f = feed_figures(a->feed);
    struct canvas *c = &a->canvas;
    char where[32];
    int x = canvas_putf(c, 0, 0, c->width, STYLE_TITLE, "credswap ");
    bool is_up = feed_is_up(a->feed);
    x += canvas_putf(c, 0, x, c->width - x, state_style(a), "%s", state_word(a, f));
    if (is_up && f->at_ms) {
        double err = f->requests_5m ? 100.0 * (double)f->errors_5m / (double)f->requests_5m : 0;
        canvas_putf(c, 0, x, c->width - x, STYLE_PLAIN, " %.0f/s %lldop err%.1f%%", rate_now(f),
                    (long long)f->exchanges, err);
    }
    snprintf(where, sizeof where, " %d/%d ?", a->view + 1, count);
    int n = (int)strlen(where);
    canvas_put_right(c, 0, c->width - n, n, STYLE_PLAIN, slice_of(where));
}

static int count_views(void)
{
    int n = 0;
    while (n < VIEWS_MAX && views[n])
        n++;
    return n;
}

static void draw_tabs(struct app *a, int count)
{
    struct canvas *c = &a->canvas;
    int x = 0;
    for (int i = 0; i < count; i++) {
        bool is_here = i == a->view;
        int n = canvas_putf(c, 1, x, c->width - x, is_here ? STYLE_TITLE : STYLE_PLAIN,
                            is_here ? "[%d %s]" : " %d %s ", i + 1, views[i]->tab);
        if (is_here)
            canvas_reverse(c, 1, x, n);
        x += n;
    }
    canvas_put_right(c, 1, c->width - 5, 5, STYLE_KEY, SLICE("?help"));
}

/* Lines that say why figures are old. Returns how many. */
static int draw_notices(struct app *a, int y)
{
    const struct board *b = app_board(a);
    const struct feed_figures *f = feed_figures(a->feed);
    struct canvas *c = &a->canvas;
    char when[16], age[16], wait[16];
    int n = 0;
    if (*b->problem) {
        canvas_putf(c, y + n++, 0, c->width, STYLE_FAIL, "!! %s", b->problem);
        if (b->is_there)
            canvas_putf(c, y + n++, 0, c->width, STYLE_WARN,
                        "!! below is what the store said at %s, %s ago",
                        show_time(b->read_at_ms / 1000, a->now_s, when),
                        show_span(a->now_s - b->read_at_ms / 1000, age));
    }
    if (b->is_newer)
        canvas_putf(c, y + n++, 0, c->width, STYLE_WARN,
                    "!! a newer credswap made this store: look, but edit with that one");
    if (is_unknown(a) || n >= 2)
        return n;
    if (feed_is_up(a->feed)) {
        if (*feed_problem(a->feed))
            canvas_putf(c, y + n++, 0, c->width, STYLE_WARN, "!! %s", feed_problem(a->feed));
        return n;
    }
    if (f->at_ms)
        canvas_putf(c, y + n++, 0, c->width, STYLE_WARN,
                    "!! figures are from %s, %s old.   next try in %s   r tries now",
                    show_time(f->at_ms / 1000, a->now_s, when),
                    show_span(a->now_s - f->at_ms / 1000, age),
                    show_span(feed_next_try_s(a->feed), wait));
    else
        canvas_putf(c, y + n++, 0, c->width, STYLE_WARN, "!! %s", feed_problem(a->feed));
    if (!app_is_small(a) && !b->is_newer)
        canvas_put(
            c, y + n++, 0, c->width, STYLE_WARN,
            SLICE("!! edits still work: they go to the store and count once the daemon is back"));
    return n;
}

static void draw_foot(struct app *a, int y)
{
    struct canvas *c = &a->canvas;
    if (job_is_running(a->jobs)) {
        canvas_put(c, y, 0, c->width, STYLE_WARN, SLICE("working ..."));
    } else if (*a->said) {
        canvas_put(c, y, 0, c->width, a->said_style, slice_of(a->said));
    } else if (a->stage.count) {
        bool is_newest = a->stage.generation == app_board(a)->generation;
        int x = canvas_putf(c, y, 0, c->width, STYLE_STAGED, "STAGED %d", a->stage.count);
        x += canvas_put_keys(c, y, x + 2, c->width - x - 2,
                             app_is_small(a) ? SLICE("{w} apply {Esc} drop")
                                             : SLICE(" {w} review and apply   {Esc} drop")) +
             2;
        if (!app_is_small(a))
            canvas_putf(c, y, x + 4, c->width - x - 4, is_newest ? STYLE_DIM : STYLE_WARN,
                        "based on v%lld, %s", (long long)a->stage.generation,
                        is_newest ? "still the newest" : "changed since: the review says what");
    }
}

static void draw_keys(struct app *a, int y)
{
    struct canvas *c = &a->canvas;
    const struct view *v = views[a->view];
    const char *text = app_is_small(a) ? v->short_keys : v->keys;
    int x = canvas_put_keys(c, y, 0, c->width, slice_of(text));
    static const char rest[] = "  {/} find {?} help {q}";
    if (!app_is_small(a) && x + 18 <= c->width)
        canvas_put_keys(c, y, x, c->width - x, slice_of(rest));
}

void chrome_draw(struct app *a)
{
    struct canvas *c = &a->canvas;
    int count = count_views(), y = 0, foot = a->is_plain ? c->height : c->height - 2;
    if (app_is_small(a)) {
        draw_small_identity(a, count);
        y = 1;
    } else {
        draw_identity(a);
        draw_tabs(a, count);
        y = 2;
    }
    y += draw_notices(a, y);
    a->body_y = y;
    a->body_height = foot - y;
    if (a->body_height > 0)
        views[a->view]->draw(a->states[a->view], c, y, a->body_height);
    if (a->is_plain)
        return;
    if (foot > 0)
        canvas_blank(c, foot, 0, c->width, 2);
    if (foot > 0)
        draw_foot(a, foot);
    if (foot >= 0)
        draw_keys(a, foot + 1);
}
