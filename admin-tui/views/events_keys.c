/* What is done on the events screen: kinds, undo, export. */
#include "cli/input.h"
#include "ui/term.h"
#include "views/events_internal.h"

#include <stdio.h>

#define EXPORT_MAX (64u << 20)

/* ---- which kinds ---- */

static void next_kinds(struct events *v)
{
    static const unsigned turns[] = {EVENTS_ALL, EVENTS_AUDIT, EVENTS_ALARM, EVENTS_INFO};
    size_t at = 0, n = sizeof turns / sizeof *turns;
    while (at < n && turns[at] != v->kinds)
        at++;
    v->kinds = at < n ? turns[(at + 1) % n] : EVENTS_ALL;
    events_update(v);
}

static void toggle_kind(struct events *v, unsigned kind)
{
    v->kinds ^= kind;
    if (v->kinds == 0)
        v->kinds = EVENTS_ALL;
    events_update(v);
}

static void follow(struct events *v)
{
    v->follows = !v->follows;
    if (v->follows) {
        v->screen.table.sort = -1;
        v->screen.table.cursor = 0;
    }
    events_update(v);
}

/* ---- undo ---- */

static void undo(struct events *v, const struct board_event *e)
{
    if (strcmp(e->kind, "audit") != 0 || (!*e->before && !*e->after))
        app_say(v->screen.app, STYLE_PLAIN,
                "only a change of a setting can be undone: o shows changes");
    else if (e->undone_by)
        app_say(v->screen.app, STYLE_PLAIN, "it is undone already, by event %lld",
                (long long)e->undone_by);
    else
        app_undo(v->screen.app, e->id);
}

/* ---- export ---- */

static bool take_file(void *state, struct slice text, struct errmsg *problem)
{
    struct events *v = state;
    char path[1024];
    struct sbuf out;
    if (text.n == 0 || !slice_copy(text, path, sizeof path))
        return err_set(problem, ERR_INVALID, "the name of a file that is not there yet") == ERR_OK;
    sbuf_init(&out, EXPORT_MAX);
    int lines = 0;
    for (int i = 0; i < v->screen.table.shown; i++) {
        const struct board_event *e = events_event(v, v->screen.table.order[i]);
        if (e) {
            events_json(e, &out);
            lines++;
        }
    }
    enum err e = out.failed ? err_set(problem, ERR_TOO_LARGE, "that is too much for one file")
                            : output_new(path, 0600, sbuf_slice(&out), problem);
    sbuf_finish(&out);
    if (e == ERR_OK)
        app_say(v->screen.app, STYLE_GOOD, "OK  wrote %d event%s to %.200s", lines,
                lines == 1 ? "" : "s", path);
    return e == ERR_OK;
}

/* ---- keys ---- */

static void show_page(struct events *v, const struct board_event *e)
{
    struct sbuf b;
    sbuf_init(&b, 1u << 20);
    events_describe(app_board(v->screen.app), e, &b);
    app_page(v->screen.app, "event", sbuf_slice(&b), false);
    sbuf_finish(&b);
}

static bool key_list(struct events *v, int key)
{
    switch (key) {
    case 't':
        next_kinds(v);
        return true;
    case 'o':
        v->kinds = v->kinds == EVENTS_AUDIT ? EVENTS_ALL : EVENTS_AUDIT;
        events_update(v);
        return true;
    case 'i':
        toggle_kind(v, EVENTS_INFO);
        return true;
    case 'f':
        follow(v);
        return true;
    case 'e':
        app_ask_line(v->screen.app, "write what is shown as JSON lines to: ", "", take_file, v);
        return true;
    default:
        return false;
    }
}

bool events_key(struct events *v, int key)
{
    if (key_list(v, key))
        return true;
    int row = table_row(&v->screen.table);
    const struct board_event *e = row >= 0 ? events_event(v, row) : NULL;
    if (key != 'u' && key != TERM_ENTER)
        return false;
    if (e)
        (key == 'u' ? undo : show_page)(v, e);
    return true;
}
