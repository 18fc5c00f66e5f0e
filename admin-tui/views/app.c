/* The loop: keys, signals, the daemon's answers and ended jobs come in; one canvas goes out. What a
 * key does on every screen stands here, what it does on one in that screen's file. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "ui/term.h"
#include "views/app_internal.h"
#include "views/list.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#define SMALL_WIDTH 60
#define SMALL_HEIGHT 16
#define PLAIN_WIDTH 100
#define PLAIN_HEIGHT 200
#define ONCE_WAIT_MS 2000u
#define ONCE_SUM_MS 20000u
#define FIRST_WAIT_MS 25u   /* of the first paint's 100 */
#define PASTE_LOST_MS 1000u /* nothing for so long: the end of a paste will not come any more */

const struct board *app_board(const struct app *a)
{
    return board_get(a->source);
}

struct feed *app_feed(const struct app *a)
{
    return a->feed;
}

const struct conf *app_conf(const struct app *a)
{
    return a->cli->conf;
}

struct stage *app_stage(struct app *a)
{
    return &a->stage;
}

bool app_is_live(const struct app *a)
{
    return feed_is_up(a->feed);
}

bool app_is_small(const struct app *a)
{
    return a->canvas.width < SMALL_WIDTH || a->canvas.height < SMALL_HEIGHT;
}

void app_say(struct app *a, uint8_t style, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->said, sizeof a->said, fmt, ap);
    va_end(ap);
    a->said_style = style;
    a->is_dirty = true;
}

static const struct view *view_of(const struct app *a)
{
    return views[a->view];
}

static struct table *table_of(const struct app *a)
{
    return view_table(view_of(a), a->states[a->view]);
}

/* ---- what is shown is brought up to date ---- */

static void overlay_figures(struct app *a)
{
    const struct feed_figures *f = feed_figures(a->feed);
    for (int i = 0; i < f->member_count; i++) {
        const struct feed_member *from = &f->members[i];
        struct board_member *to = board_member_find(a->source, from->pool, from->account);
        if (to)
            to->figures = (struct board_figures){.is_known = true,
                                                 .window_s = from->window_s,
                                                 .requests = from->requests,
                                                 .limited = from->limited,
                                                 .errors = from->errors,
                                                 .recent_s = 10,
                                                 .recent = from->recent,
                                                 .open = from->open};
    }
}

static void update_view(struct app *a)
{
    if (feed_figures(a->feed)->at_ms)
        overlay_figures(a);
    view_update(view_of(a), a->states[a->view]);
    a->is_dirty = true;
}

static unsigned board_needs(const struct app *a)
{
    unsigned needs = view_of(a)->board_needs;
    if (!feed_is_up(a->feed))
        needs |= needs & BOARD_ACCOUNTS ? BOARD_USAGE : 0; /* the store's own figures, then */
    return needs;
}

static void refresh(struct app *a)
{
    a->now_s = clock_wall_s();
    (void)board_refresh(a->source, board_needs(a));
    feed_ask(a->feed, view_of(a)->feed_needs | FEED_FIGURES);
    update_view(a); /* ages and countdowns move, whatever was read */
    a->refresh_due_ms = clock_mono_ms() + (uint64_t)a->interval_ms;
}

void app_go(struct app *a, const char *view, const char *filter)
{
    char problem[160];
    for (int i = 0; i < VIEWS_MAX && views[i]; i++)
        if (strcmp(views[i]->name, view) == 0) {
            a->view = i;
            refresh(a);
            if (filter && table_filter(table_of(a), slice_of(filter), problem, sizeof problem))
                update_view(a);
        }
}

static void go_to(struct app *a, int view)
{
    if (view >= 0 && view < VIEWS_MAX && views[view]) {
        a->view = view;
        a->said[0] = '\0';
        refresh(a);
    }
}

static void go_by(struct app *a, int by)
{
    int n = 0;
    while (n < VIEWS_MAX && views[n])
        n++;
    if (n > 0)
        go_to(a, (a->view + by + n) % n);
}

/* ---- jobs ---- */

void app_run_words(struct app *a, unsigned flags, const char *what, const char *const *words,
                   int count, struct slice input)
{
    if (a->reviewed)
        job_reviewed(a->jobs, a->reviewed);
    enum err e = job_run(a->jobs, words, count, input, what);
    if (e != ERR_OK) {
        app_say(a, STYLE_FAIL, "ERROR  %s",
                e == ERR_BUSY ? "something else is being done; try again" : err_str(e));
        return;
    }
    a->job_flags = flags;
    a->applies_stage = false;
    a->is_dirty = true;
}

void app_run(struct app *a, unsigned flags, const char *what, const char *const *words)
{
    int n = 0;
    while (words[n])
        n++;
    app_run_words(a, flags, what, words, n, (struct slice){"", 0});
}

void app_change(struct app *a, app_change_cb change, void *arg, void (*free_arg)(void *arg),
                const char *what)
{
    enum err e = job_change(a->jobs, change, arg, free_arg, what);
    if (e != ERR_OK && free_arg)
        free_arg(arg);
    if (e != ERR_OK)
        app_say(a, STYLE_FAIL, "ERROR  %s",
                e == ERR_BUSY ? "something else is being done; try again" : err_str(e));
    else
        a->job_flags = 0;
    a->is_dirty = true;
}

/* The first line, which is the one that matters. */
static struct slice first_line(struct slice text)
{
    return slice_sub(text, 0, slice_find(text, '\n', 0));
}

/* A question that is open stays: who is typing into it means it, and not what comes up. */
static void show_page(struct app *a, const char *title, struct slice text, bool is_secret)
{
    struct late_page *late = &a->late;
    if (!modal_is_open(a)) {
        app_page(a, title, text, is_secret);
        return;
    }
    sbuf_init(&late->text, text.n + 1);
    if (!sbuf_reserve(&late->text, text.n)) {
        app_say(a, STYLE_FAIL, "ERROR  %s", err_str(ERR_NOMEM));
        return;
    }
    sbuf_add_slice(&late->text, text);
    snprintf(late->title, sizeof late->title, "%s", title);
    late->is_secret = is_secret;
    late->is_waiting = true;
}

static void show_late(struct app *a)
{
    struct late_page *late = &a->late;
    if (!late->is_waiting || modal_is_open(a))
        return;
    late->is_waiting = false;
    app_page(a, late->title, sbuf_slice(&late->text), late->is_secret);
    sbuf_finish_wipe(&late->text);
}

/* What it said about itself stands above what it printed. */
static void show_result(struct app *a, const struct job_result *r)
{
    bool is_secret = a->job_flags & APP_SECRET;
    struct sbuf text;
    if (slice_find(r->out, '\n', 0) + 1 >= r->out.n && !is_secret && !r->talk.n && r->code == 0) {
        app_say(a, STYLE_GOOD, "OK  %.*s", SLICE_FMT(first_line(r->out)));
        return;
    }
    sbuf_init(&text, r->talk.n + r->out.n + 2);
    if (!sbuf_reserve(&text, r->talk.n + r->out.n + 1)) { /* at once: no copy stays behind */
        app_say(a, STYLE_FAIL, "ERROR  %s", err_str(ERR_NOMEM));
        return;
    }
    sbuf_add_slice(&text, r->talk);
    sbuf_adds(&text, r->talk.n ? "\n" : "");
    sbuf_add_slice(&text, r->out);
    show_page(a, r->what, sbuf_slice(&text), is_secret);
    sbuf_finish_wipe(&text);
}

/* The next step stands at a sentence's end: what does not fit is shown whole. */
static void say_failed(struct app *a, struct slice said)
{
    app_say(a, STYLE_FAIL, "ERROR  %.*s", SLICE_FMT(said));
    if (text_columns(slice_of(a->said), a->canvas.is_utf8) > a->canvas.width && !modal_is_open(a))
        app_page(a, "it was not done", said, false);
}

static void say_done(struct app *a, const struct job_result *r)
{
    char when[16];
    struct slice said = first_line(r->talk);
    bool prints = (a->job_flags & APP_SHOWS) && r->out.n;
    if (prints)
        show_result(a, r);
    if (r->code != 0)
        say_failed(a, said);
    else if (!prints && !(a->job_flags & APP_QUIET))
        app_say(a, STYLE_GOOD, "OK  %s  %.*s", show_time(clock_wall_s(), clock_wall_s(), when),
                SLICE_FMT(said.n ? said : slice_of(r->what)));
}

static void take_result(struct app *a)
{
    struct job_result r;
    if (a->late.is_waiting || !job_result(a->jobs, &r))
        return;
    if (a->applies_stage && r.code == 0)
        stage_applied(&a->stage, &a->applied);
    a->applies_stage = false;
    say_done(a, &r);
    job_forget(a->jobs);
    board_touch(a->source);
    refresh(a);
}

/* ---- staged edits ---- */

static void apply_stage(void *state)
{
    struct app *a = state;
    char what[512];
    struct stage *copy = mem_alloc(sizeof *copy);
    if (!copy) {
        app_say(a, STYLE_FAIL, "ERROR  %s", err_str(ERR_NOMEM));
        return;
    }
    *copy = a->stage;
    stage_sentence(copy, what, sizeof what);
    bool was_busy = job_is_running(a->jobs);
    app_change(a, stage_apply, copy, stage_free, what);
    if (was_busy || !job_is_running(a->jobs))
        return; /* what runs may be the stage's own, of before */
    a->applies_stage = true;
    a->applied = a->stage;
}

static void review_stage(struct app *a)
{
    struct sbuf text;
    char title[64];
    if (a->stage.count == 0) {
        app_say(a, STYLE_PLAIN, "nothing is staged");
        return;
    }
    sbuf_init(&text, 1u << 20);
    stage_review(&a->stage, app_board(a), &text);
    int starving = stage_starves(&a->stage, app_board(a));
    snprintf(title, sizeof title, "apply %d staged change%s", a->stage.count,
             a->stage.count == 1 ? "" : "s");
    if (starving >= 0)
        app_confirm_typed(a, title, sbuf_z(&text), app_board(a)->pools[starving].name, apply_stage,
                          a);
    else
        app_confirm(a, title, sbuf_z(&text), apply_stage, a);
    sbuf_finish(&text);
}

/* ---- undo ---- */

struct undoing {
    struct app *app;
    char event[24];
};

static void undo_now(void *state)
{
    struct undoing *u = state;
    app_run(u->app, 0, "undone", WORDS("undo", u->event));
}

/* What others wrote is one line, whatever it holds: no line of a question is theirs to make. */
static void add_one_line(struct sbuf *b, const char *z)
{
    for (; *z; z++)
        sbuf_addc(b, *z == '\n' ? '?' : *z);
}

void app_undo(struct app *a, int64_t event)
{
    static struct undoing u;
    char when[16];
    (void)board_refresh(a->source, view_of(a)->board_needs | BOARD_EVENTS);
    update_view(a); /* its rows were those of the board before */
    const struct board *b = app_board(a);
    const struct board_event *found = NULL;
    for (int i = 0; i < b->event_count && !found; i++) {
        const struct board_event *e = &b->events[i];
        bool can_be = strcmp(e->kind, "audit") == 0 && !e->undone_by && (*e->before || *e->after);
        if (can_be && (event ? e->id == event : !e->is_undo))
            found = e;
    }
    if (!found) {
        app_say(a, STYLE_PLAIN,
                event ? "that is no change that can be undone" : "there is nothing to undo");
        return;
    }
    struct sbuf text;
    sbuf_init(&text, 4096);
    add_one_line(&text, found->what);
    sbuf_adds(&text, "\nby ");
    add_one_line(&text, found->who);
    sbuf_addf(&text, " at %s\n\nit is written back as a change of its own; history stays\n",
              show_time(found->at_ms / 1000, a->now_s, when));
    u.app = a;
    snprintf(u.event, sizeof u.event, "%lld", (long long)found->id);
    app_confirm(a, "undo this?", sbuf_z(&text), undo_now, &u);
    sbuf_finish(&text);
}

/* ---- keys ---- */

static void leave(void *state)
{
    struct app *a = state;
    a->is_over = true;
}

void app_leave(struct app *a)
{
    char text[128];
    if (a->stage.count == 0) {
        leave(a);
        return;
    }
    snprintf(text, sizeof text, "%d staged edit%s not applied and would be lost\n", a->stage.count,
             a->stage.count == 1 ? " is" : "s are");
    app_confirm(a, "leave?", text, leave, a);
}

static void change_interval(struct app *a, int by)
{
    static const int steps[] = {500, 1000, 2000, 5000, 10000};
    int at = 0;
    while (at + 1 < (int)ARRAY_LEN(steps) && steps[at] < a->interval_ms)
        at++;
    at += by;
    if (at >= 0 && at < (int)ARRAY_LEN(steps))
        a->interval_ms = steps[at];
    app_say(a, STYLE_PLAIN, "refreshed every %.1f s", a->interval_ms / 1000.0);
    refresh(a);
}

static bool take_filter(void *state, struct slice text, struct errmsg *problem)
{
    struct app *a = state;
    if (!table_filter(table_of(a), text, problem->text, sizeof problem->text))
        return false;
    update_view(a);
    return true;
}

static void ask_filter(struct app *a)
{
    app_ask_line(a, "/", "", take_filter, a); /* as in less: anew */
}

static bool clear_filter(struct app *a)
{
    struct table *t = table_of(a);
    char problem[160];
    if (t->filter.count == 0 || !table_filter(t, SLICE(""), problem, sizeof problem))
        return false;
    update_view(a);
    return true;
}

static void go_back(struct app *a)
{
    struct table *t = table_of(a);
    if (clear_filter(a))
        return;
    if (t->mark_count) {
        table_unmark(t);
    } else if (a->stage.count) {
        app_say(a, STYLE_PLAIN, "dropped %d staged edit%s", a->stage.count,
                a->stage.count == 1 ? "" : "s");
        stage_drop(&a->stage);
        update_view(a);
    }
}

static void click(struct app *a)
{
    int y, x, at = 0;
    term_mouse(&y, &x);
    const struct screen *here = a->states[a->view];
    if (y == 1 && !app_is_small(a)) {
        for (int i = 0; i < VIEWS_MAX && views[i]; i++) {
            int n = (int)strlen(views[i]->tab) + 4;
            if (x >= at && x < at + n)
                go_to(a, i);
            at += n;
        }
    } else {
        table_click(table_of(a), y - here->table_y);
        update_view(a);
    }
}

/* Keys that mean the same on every screen. */
static bool key_everywhere(struct app *a, int key)
{
    switch (key) {
    case '?':
    case TERM_F1:
        help_show(a);
        return true;
    case ':':
        command_ask(a);
        return true;
    case '/':
        ask_filter(a);
        return true;
    case 'w':
        review_stage(a);
        return true;
    case 'u':
        app_undo(a, 0);
        return true;
    case 'q':
        app_leave(a);
        return true;
    case TERM_F1 + 9:
        leave(a);
        return true;
    case TERM_ESC:
        go_back(a);
        return true;
    case TERM_CLICK:
        click(a);
        return true;
    default:
        return false;
    }
}

/* How it looks and how often. */
static bool key_look(struct app *a, int key)
{
    switch (key) {
    case 'p':
        a->is_paused = !a->is_paused;
        app_say(a, STYLE_PLAIN, a->is_paused ? "paused: p goes on, r looks once" : "going on");
        return true;
    case 'r':
        a->looks_once = true;
        board_touch(a->source);
        refresh(a);
        return true;
    case '<':
        change_interval(a, -1);
        return true;
    case '>':
        change_interval(a, 1);
        return true;
    case 'C':
        term_toggle_color();
        return true;
    case 'A':
        a->canvas.is_utf8 = term_toggle_ascii();
        return true;
    case TERM_CTRL('l'):
        term_redraw();
        return true;
    default:
        return false;
    }
}

static bool key_screens(struct app *a, int key)
{
    if (key >= '1' && key <= '9') {
        go_to(a, key - '1');
        return true;
    }
    if (key == TERM_TAB || key == TERM_BACK_TAB) {
        go_by(a, key == TERM_TAB ? 1 : -1);
        return true;
    }
    return false;
}

static bool key_table(struct app *a, int key)
{
    struct table *t = table_of(a);
    if (t->filter.count && (key == 'n' || key == 'N'))
        key = key == 'n' ? TERM_DOWN : TERM_UP;
    if (!table_key(t, key))
        return false;
    update_view(a);
    return true;
}

static void resize(struct app *a)
{
    if (!canvas_reset(&a->canvas, term_width(), term_height()))
        a->is_over = true;
    modal_resize(a);
    update_view(a);
}

/* What is pasted is text, and no key. It goes to the field that was open when it began, and nowhere
 * when there was none, or when that one is through with it. */
static bool key_pasted(struct app *a, int key)
{
    uint64_t now = clock_mono_ms(), quiet = now - a->paste_ms;
    if (!a->is_pasting && key != TERM_PASTE_BEGIN)
        return key == TERM_PASTE_END;
    if (key == TERM_PASTE_BEGIN) {
        a->is_pasting = true;
        a->paste_number = a->modal_number;
    } else if (key == TERM_ESC) { /* its own are as little keys as the rest */
        key = quiet >= PASTE_LOST_MS ? TERM_PASTE_END : TERM_OTHER;
    }
    a->paste_ms = now;
    if (key == TERM_PASTE_END)
        a->is_pasting = false;
    if (modal_takes_text(a) && a->modal_number == a->paste_number)
        modal_key(a, key);
    else if (key == TERM_PASTE_END && !modal_is_open(a))
        app_say(a, STYLE_PLAIN, "what was pasted was left out: there is no field for it");
    return true;
}

static void take_key(struct app *a, int key)
{
    a->is_dirty = true;
    if (key == TERM_GONE)
        a->is_over = true;
    else if (key == TERM_RESIZE)
        resize(a);
    else if (key_pasted(a, key))
        return;
    else if (modal_is_open(a))
        modal_key(a, key);
    else {
        a->said[0] = '\0';
        bool is_taken = view_of(a)->key(a->states[a->view], key) || key_everywhere(a, key) ||
                        key_look(a, key) || key_screens(a, key) || key_table(a, key);
        (void)is_taken; /* a key without a meaning does nothing */
    }
}

/* ---- the loop ---- */

static void draw(struct app *a)
{
    a->canvas.is_utf8 = term_is_utf8();
    canvas_blank(&a->canvas, 0, 0, a->canvas.width, a->canvas.height);
    chrome_draw(a);
    if (modal_is_open(a))
        modal_show(a);
    term_show(&a->canvas);
    a->is_dirty = false;
}

static int wait_ms(const struct app *a)
{
    uint64_t now = clock_mono_ms(), due = a->refresh_due_ms, feed = feed_due_ms(a->feed);
    if (a->is_paused)
        due = now + 10000;
    if (feed && feed < due)
        due = feed;
    if (a->is_dirty || due <= now)
        return 0;
    return (int)(due - now < 10000 ? due - now : 10000);
}

static void wait_for_something(struct app *a)
{
    short feed_events = 0;
    struct pollfd fds[4] = {{.fd = term_input_fd(), .events = POLLIN},
                            {.fd = term_signal_fd(), .events = POLLIN},
                            {.fd = a->late.is_waiting ? -1 : job_fd(a->jobs), .events = POLLIN},
                            {.fd = feed_fd(a->feed, &feed_events)}};
    fds[3].events = feed_events;
    (void)poll(fds, ARRAY_LEN(fds), wait_ms(a));
}

static void take_signals(struct app *a)
{
    for (int n = term_signal(); n; n = term_signal())
        if (n == SIGINT || n == SIGTERM || n == SIGHUP)
            a->is_over = true;
}

static void take_keys(struct app *a)
{
    for (int key = term_key(); key != TERM_NONE && !a->is_over; key = term_key())
        take_key(a, key);
}

/* The keys that came before it could be read do not count. Those that closed it and opened another
 * leave that one unseen. */
static void show_question(struct app *a)
{
    unsigned number = a->modal_number;
    take_keys(a);
    if (a->modal_number == number)
        modal_seen(a);
}

static void turn(struct app *a)
{
    wait_for_something(a);
    take_signals(a);
    take_keys(a);
    if (feed_run(a->feed) && (!a->is_paused || a->looks_once)) {
        a->looks_once = false;
        bool ok = false;
        const char *said = feed_result(a->feed, &ok);
        if (said)
            app_say(a, ok ? STYLE_GOOD : STYLE_FAIL, "%s  %s", ok ? "OK" : "ERROR", said);
        update_view(a);
    }
    take_result(a);
    show_late(a);
    if (!a->is_paused && clock_mono_ms() >= a->refresh_due_ms)
        refresh(a);
    if (a->is_dirty && !a->is_over)
        draw(a);
    if (modal_is_open(a) && !a->modal.is_seen && !a->is_over)
        show_question(a);
}

/* ---- begin and end ---- */

static void app_finish(struct app *a)
{
    job_box_destroy(a->jobs);
    modal_close(a);
    sbuf_finish_wipe(&a->late.text);
    for (int i = 0; i < VIEWS_MAX && views[i]; i++)
        view_destroy(views[i], a->states[i]);
    feed_destroy(a->feed);
    board_destroy(a->source);
    canvas_finish(&a->canvas);
    mem_free(a);
}

static enum err make_parts(struct app *a)
{
    enum err e = board_create(a->cli->conf, &a->source);
    if (e == ERR_OK)
        e = feed_create(a->cli->conf->listen.socket, &a->feed);
    if (e == ERR_OK)
        e = job_box_create(a->cli->args.config, &a->jobs);
    for (int i = 0; e == ERR_OK && i < VIEWS_MAX && views[i]; i++) {
        a->states[i] = view_create(views[i], a);
        e = a->states[i] ? ERR_OK : ERR_NOMEM;
    }
    return e;
}

static int find_view(const char *name)
{
    for (int i = 0; name && i < VIEWS_MAX && views[i]; i++)
        if (strcmp(views[i]->name, name) == 0 || (name[0] == '1' + i && !name[1]))
            return i;
    return name ? -1 : 0;
}

/* What the daemon has to say is awaited for MS at most. */
static void look_first(struct app *a, unsigned ms)
{
    refresh(a);
    uint64_t now = clock_mono_ms(), until = now + ms;
    for (; now < until && feed_is_waiting(a->feed); now = clock_mono_ms()) {
        short events = 0;
        struct pollfd p = {.fd = feed_fd(a->feed, &events)};
        p.events = events;
        (void)poll(&p, 1, (int)(until - now));
        (void)feed_run(a->feed);
    }
    refresh(a); /* of the store, what the daemon does not tell */
}

/* Usage is summed in pieces, for a screen that goes on; here it is awaited as a whole. */
static void sum_up(struct app *a)
{
    uint64_t until = clock_mono_ms() + ONCE_SUM_MS;
    while (app_board(a)->is_summing && clock_mono_ms() < until)
        (void)board_refresh(a->source, board_needs(a) | BOARD_AT_ONCE);
    update_view(a);
}

/* One screen as text. */
static int print_once(struct app *a, const struct app_options *o)
{
    struct sbuf out;
    int height = o->height ? o->height : PLAIN_HEIGHT;
    a->canvas.is_utf8 = term_locale_is_utf8() && !o->ascii;
    if (!canvas_reset(&a->canvas, o->width ? o->width : PLAIN_WIDTH, height))
        return cli_fail(a->cli, EX_OSERR, "%s", err_str(ERR_NOMEM));
    look_first(a, ONCE_WAIT_MS);
    sum_up(a);
    a->is_plain = true;
    chrome_draw(a);
    sbuf_init(&out, 1u << 20);
    canvas_print(&a->canvas, &out);
    fputs(sbuf_z(&out), a->cli->out);
    sbuf_finish(&out);
    return fflush(a->cli->out) == 0
               ? 0
               : cli_fail(a->cli, EX_FAILED, "cannot write the output; is the disk full?");
}

static int run_on_terminal(struct app *a, const struct app_options *o)
{
    struct errmsg msg = {0};
    struct term_options t = {.no_color = o->no_color, .ascii = o->ascii, .no_mouse = o->no_mouse};
    enum err e = term_start(&t, &msg);
    if (e != ERR_OK)
        return cli_fail(a->cli, e == ERR_DENIED ? EX_USAGE : EX_UNAVAILABLE, "%s", msg.text);
    if (!canvas_reset(&a->canvas, term_width(), term_height()))
        a->is_over = true;
    look_first(a, FIRST_WAIT_MS);
    draw(a);
    while (!a->is_over)
        turn(a);
    term_stop();
    if (job_is_running(a->jobs))
        cli_say(a->cli, "waiting until what is being done has ended ...");
    return 0;
}

int app_main(struct cli *c, const struct app_options *o)
{
    int code = cli_conf(c);
    if (code)
        return code;
    int view = find_view(o->screen);
    if (view < 0)
        return cli_fail(c, EX_USAGE,
                        "there is no screen %.40s; accounts, tokens, clients, live, hosts, events, "
                        "trust, nodes",
                        o->screen);
    struct app *a = mem_calloc(1, sizeof *a);
    if (!a)
        return cli_fail(c, EX_OSERR, "%s", err_str(ERR_NOMEM));
    a->cli = c;
    a->view = view;
    a->interval_ms = o->interval_ms ? o->interval_ms : 1000;
    enum err e = make_parts(a);
    if (e != ERR_OK)
        code = cli_fail_err(c, e, NULL);
    else
        code = o->once || o->plain ? print_once(a, o) : run_on_terminal(a, o);
    app_finish(a);
    return code;
}
