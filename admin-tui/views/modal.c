/* One question at a time, above the screen that goes on living below. Enter confirms nothing. */
#include "base/check.h"
#include "ui/term.h"
#include "views/app_internal.h"
#include "views/lines.h"

#include <stdarg.h>
#include <stdio.h>

#define PASTE_MAX 65536u

bool modal_is_open(const struct app *a)
{
    return a->modal.kind != MODAL_NONE;
}

void modal_close(struct app *a)
{
    struct modal *m = &a->modal;
    dialog_close(m->dialog);
    entry_close(m->entry);
    sbuf_finish_wipe(&m->text);
    sbuf_finish_wipe(&m->pasted);
    if (m->gone)
        m->gone(m->state);
    *m = (struct modal){.kind = MODAL_NONE};
    a->modal_number++;
    a->is_dirty = true;
}

bool modal_takes_text(const struct app *a)
{
    return a->modal.entry || a->modal.kind == MODAL_PASTE;
}

void modal_seen(struct app *a)
{
    a->modal.is_seen = true;
}

/* Who typed before it was there did not mean it: a question would be answered, a placeholder gone
 * before anybody read it. */
static bool is_too_early(const struct modal *m, int key)
{
    bool can_hurt = m->kind == MODAL_CONFIRM || m->kind == MODAL_TYPED ||
                    (m->kind == MODAL_PAGE && m->is_secret);
    return can_hurt && !m->is_seen && (key != TERM_ESC || m->kind == MODAL_PAGE);
}

static struct modal *begin(struct app *a, enum modal_kind kind, const char *title, void *state)
{
    modal_close(a);
    struct modal *m = &a->modal;
    m->kind = kind;
    m->state = state;
    m->generation = a->reviewed ? a->reviewed : app_board(a)->generation;
    snprintf(m->title, sizeof m->title, "%s", title);
    sbuf_init(&m->text, 1u << 22);
    sbuf_init(&m->pasted, PASTE_MAX + 1);
    return m;
}

/* It could not be opened: no memory. */
static void give_up(struct app *a)
{
    modal_close(a);
    app_say(a, STYLE_FAIL, "ERROR  there is no memory for a dialog");
}

void app_ask_line(struct app *a, const char *prompt, const char *value, app_line_cb take,
                  void *state)
{
    struct modal *m = begin(a, MODAL_LINE, prompt, state);
    m->take_line = take;
    m->entry = entry_open_line(a->canvas.height - 2, prompt, value);
    if (!m->entry)
        give_up(a);
}

void app_ask_form(struct app *a, const char *title, const struct entry_field *fields, int count,
                  app_form_cb take, void *state)
{
    struct modal *m = begin(a, MODAL_FORM, title, state);
    m->take_form = take;
    m->entry = entry_open(title, fields, count);
    if (!m->entry)
        give_up(a);
}

/* ---- texts ---- */

static bool next_line(struct slice *rest, struct slice *ret)
{
    return slice_next(rest, '\n', ret);
}

static void measure(struct slice text, bool is_utf8, int *ret_width, int *ret_height)
{
    struct slice line;
    *ret_width = *ret_height = 0;
    while (next_line(&text, &line)) {
        int n = text_columns(line, is_utf8);
        *ret_width = n > *ret_width ? n : *ret_width;
        ++*ret_height;
    }
}

static int lines_of(const struct modal *m)
{
    int width, height;
    measure(sbuf_slice(&m->text), false, &width, &height);
    return height;
}

static const char *foot_of(const struct modal *m)
{
    switch (m->kind) {
    case MODAL_CONFIRM:
        return "{y} apply    {n} or {Esc} back (default)";
    case MODAL_TYPED:
        return "{Enter} with that word applies    {Esc} back";
    case MODAL_PAGE:
        return "{j k} scroll   {/} search {n} next   {Esc} closes";
    case MODAL_PASTE:
        return "{Ctrl-D} that was all    {Esc} gives up";
    case MODAL_NONE:
    case MODAL_LINE:
    case MODAL_FORM:
        break;
    }
    return "";
}

static bool line_holds(struct slice line, const char *what)
{
    struct slice w = slice_of(what);
    for (size_t i = 0; w.n && i + w.n <= line.n; i++)
        if (slice_ieq(slice_sub(line, i, i + w.n), w))
            return true;
    return false;
}

static void draw_text(struct modal *m, struct canvas *c)
{
    struct slice rest = sbuf_slice(&m->text), line;
    int room = c->height - 2;
    for (int i = 0; next_line(&rest, &line); i++) {
        int y = i - m->top;
        if (y < 0 || y >= room)
            continue;
        bool is_warning = slice_starts(line, SLICE("! "));
        canvas_put(c, y, 0, c->width, is_warning ? STYLE_WARN : STYLE_PLAIN, line);
        if (line_holds(line, m->search))
            canvas_reverse(c, y, 0, c->width);
    }
    if (m->kind == MODAL_PASTE)
        canvas_putf(c, c->height - 2, 0, c->width, STYLE_STAGED,
                    "%zu bytes so far, none of them shown", m->pasted.n);
    int used = canvas_put_keys(c, c->height - 1, 0, c->width, slice_of(foot_of(m)));
    int more = lines_of(m) - m->top - room;
    if (more > 0) { /* a warning may stand there */
        char text[32];
        snprintf(text, sizeof text, " %d more: j", more);
        int n = (int)strlen(text), x = used + n <= c->width ? c->width - n : 0;
        canvas_put(c, c->height - (x ? 1 : 2), x ? x : c->width - n, n, STYLE_WARN, slice_of(text));
    }
}

static struct dialog *open_text(struct app *a, struct modal *m)
{
    int width, height, foot = text_columns(slice_of(foot_of(m)), false);
    measure(sbuf_slice(&m->text), a->canvas.is_utf8, &width, &height);
    width = width < foot ? foot : width;
    width = width < 40 ? 40 : width;
    m->dialog = dialog_open(slice_of(m->title), width, height + 2);
    if (!m->dialog)
        give_up(a);
    return m->dialog;
}

/* Lines that are wider than the window go on in the next one: what is handed out or reviewed must
 * be whole. */
static void add_folded(struct modal *m, struct slice text, int width, bool is_utf8)
{
    struct slice line;
    width = width > 10 ? width : 10;
    if (!sbuf_reserve(&m->text, text.n + text.n / 4 + 8)) /* no copy stays where it grew */
        return;
    while (slice_next(&text, '\n', &line)) {
        if (line.n == 0 && !text.p)
            break;
        do {
            size_t n = lines_fit(line, width, is_utf8);
            sbuf_add_slice(&m->text, slice_sub(line, 0, n));
            sbuf_addc(&m->text, '\n');
            line = slice_sub(line, n, line.n);
        } while (line.n);
    }
}

void app_confirm(struct app *a, const char *title, const char *text, app_yes_cb yes, void *state)
{
    struct modal *m = begin(a, MODAL_CONFIRM, title, state);
    m->yes = yes;
    add_folded(m, slice_of(text), a->canvas.width - 2, a->canvas.is_utf8);
    (void)open_text(a, m);
}

void app_if_refused(struct app *a, void (*gone)(void *state), void *state)
{
    if (modal_is_open(a))
        a->modal.gone = gone;
    else
        gone(state); /* it could not be opened */
}

void app_confirm_typed(struct app *a, const char *title, const char *text, const char *word,
                       app_yes_cb yes, void *state)
{
    struct modal *m = begin(a, MODAL_TYPED, title, state);
    char prompt[STAGE_NAME + 16];
    m->yes = yes;
    snprintf(m->word, sizeof m->word, "%s", word);
    add_folded(m, slice_of(text), a->canvas.width - 2, a->canvas.is_utf8);
    snprintf(prompt, sizeof prompt, "type %s: ", word);
    if (!open_text(a, m))
        return;
    m->entry = entry_open_line(a->canvas.height - 2, prompt, "");
    if (!m->entry)
        give_up(a);
}

void app_page(struct app *a, const char *title, struct slice text, bool is_secret)
{
    struct modal *m = begin(a, MODAL_PAGE, title, NULL);
    m->is_secret = is_secret;
    add_folded(m, text, a->canvas.width - 2, a->canvas.is_utf8);
    (void)open_text(a, m);
}

void app_ask_paste(struct app *a, const char *title, const char *text, app_whole_cb is_whole,
                   app_line_cb take, void *state)
{
    struct modal *m = begin(a, MODAL_PASTE, title, state);
    m->take_line = take;
    m->is_whole = is_whole;
    sbuf_adds(&m->text, text);
    sbuf_adds(&m->text, "\n\n");
    if (!sbuf_reserve(&m->pasted, PASTE_MAX)) { /* at once: nothing may stay behind when it grows */
        give_up(a);
        return;
    }
    (void)open_text(a, m);
}

/* ---- showing ---- */

void modal_show(struct app *a)
{
    struct modal *m = &a->modal;
    if (m->dialog) {
        struct canvas *c = dialog_canvas(m->dialog);
        canvas_blank(c, 0, 0, c->width, c->height);
        draw_text(m, c);
        dialog_show(m->dialog);
    }
    if (m->entry)
        entry_show(m->entry);
}

void modal_resize(struct app *a)
{
    struct modal *m = &a->modal;
    if (m->dialog)
        dialog_resize(m->dialog);
    if (m->entry)
        entry_resize(m->entry, a->canvas.height - 2);
}

/* ---- keys ---- */

/* What was asked is taken: the question goes first, since the answer may open another one. */
static void take_entry(struct app *a)
{
    struct modal *m = &a->modal;
    struct errmsg problem = {0};
    unsigned number = a->modal_number;
    struct slice text = entry_text(m->entry, 0);
    a->reviewed =
        m->generation; /* what follows is about the settings as they were when it opened */
    bool is_taken = m->kind == MODAL_FORM ? m->take_form(m->state, m->entry, &problem)
                                          : m->take_line(m->state, text, &problem);
    a->reviewed = 0;
    bool is_same = a->modal_number == number;
    if (is_taken && is_same)
        modal_close(a);
    else if (!is_taken && is_same)
        entry_complain(m->entry, problem.text);
}

static void key_entry(struct app *a, int key)
{
    switch (entry_key(a->modal.entry, key)) {
    case ENTRY_LEFT:
        modal_close(a);
        break;
    case ENTRY_DONE:
        take_entry(a);
        break;
    case ENTRY_GOES_ON:
        break;
    }
}

static void confirm(struct app *a)
{
    app_yes_cb yes = a->modal.yes;
    void *state = a->modal.state;
    a->reviewed = a->modal.generation;
    a->modal.gone = NULL;
    modal_close(a);
    yes(state);
    a->reviewed = 0;
}

static bool scroll(struct modal *m, int key)
{
    int room = dialog_canvas(m->dialog)->height - 2, to = m->top;
    int last = lines_of(m) > room ? lines_of(m) - room : 0;
    if (key == 'j' || key == TERM_DOWN || key == TERM_WHEEL_DOWN)
        to++;
    else if (key == 'k' || key == TERM_UP || key == TERM_WHEEL_UP)
        to--;
    else if (key == TERM_PAGE_DOWN || key == ' ')
        to += room;
    else if (key == TERM_PAGE_UP)
        to -= room;
    else if (key == 'g' || key == TERM_HOME)
        to = 0;
    else if (key == 'G' || key == TERM_END)
        to = last;
    else
        return false;
    m->top = to > last ? last : to < 0 ? 0 : to;
    return true;
}

static void search_next(struct modal *m)
{
    struct slice rest = sbuf_slice(&m->text), line;
    int first = -1, next = -1;
    for (int i = 0; next_line(&rest, &line); i++) {
        if (!line_holds(line, m->search))
            continue;
        first = first < 0 ? i : first;
        next = next < 0 && i > m->top ? i : next;
    }
    int to = next >= 0 ? next : first;
    int room = dialog_canvas(m->dialog)->height - 2;
    int last = lines_of(m) > room ? lines_of(m) - room : 0;
    if (to >= 0)
        m->top = to > last ? last : to;
}

static void key_search(struct app *a, int key)
{
    struct modal *m = &a->modal;
    enum entry_result r = entry_key(m->entry, key);
    if (r == ENTRY_GOES_ON)
        return;
    if (r == ENTRY_DONE && slice_copy(entry_text(m->entry, 0), m->search, sizeof m->search))
        search_next(m);
    entry_close(m->entry);
    m->entry = NULL;
    m->is_searching = false;
}

static void key_page(struct app *a, int key)
{
    struct modal *m = &a->modal;
    if (m->is_searching) {
        key_search(a, key);
    } else if (key == '/') {
        m->entry = entry_open_line(a->canvas.height - 2, "search: ", m->search);
        m->is_searching = m->entry != NULL;
    } else if (key == 'n' && *m->search) {
        search_next(m);
    } else if (!scroll(m, key) &&
               (key == TERM_ESC || key == 'q' || (key == '?' && !m->is_secret))) {
        modal_close(a);
    }
}

static void take_pasted(struct app *a)
{
    struct modal *m = &a->modal;
    struct errmsg problem = {0};
    a->reviewed = m->generation;
    bool is_taken = m->take_line(m->state, sbuf_slice(&m->pasted), &problem);
    a->reviewed = 0;
    if (!is_taken)
        app_say(a, STYLE_FAIL, "ERROR  %s", problem.text);
    if (m->kind == MODAL_PASTE)
        modal_close(a);
}

static void key_paste(struct app *a, int key)
{
    struct modal *m = &a->modal;
    if (key == TERM_ESC) {
        modal_close(a);
        return;
    }
    bool is_end = key == TERM_CTRL('d');
    if (key == TERM_ENTER)
        key = '\n';
    if (!is_end && (key == '\n' || key == TERM_TAB || (key >= 0x20 && key < 0x7f)))
        sbuf_addc(&m->pasted, (char)key);
    if (m->pasted.failed || m->pasted.n > PASTE_MAX) {
        modal_close(a);
        app_say(a, STYLE_FAIL, "ERROR  that was more than %u bytes: nothing was taken", PASTE_MAX);
    } else if (is_end ||
               ((key == '\n' || key == '}') && m->is_whole(m->state, sbuf_slice(&m->pasted)))) {
        take_pasted(a);
    }
}

static void key_typed(struct app *a, int key)
{
    struct modal *m = &a->modal;
    enum entry_result r = entry_key(m->entry, key);
    if (r == ENTRY_LEFT)
        modal_close(a);
    else if (r == ENTRY_DONE && slice_eq(entry_text(m->entry, 0), slice_of(m->word)))
        confirm(a);
    else if (r == ENTRY_DONE)
        entry_complain(m->entry, "that is another word; Esc goes back");
}

void modal_key(struct app *a, int key)
{
    struct modal *m = &a->modal;
    a->is_dirty = true;
    if (is_too_early(m, key))
        return;
    switch (m->kind) {
    case MODAL_LINE:
    case MODAL_FORM:
        key_entry(a, key);
        break;
    case MODAL_CONFIRM:
        if (key == 'y')
            confirm(a);
        else if (key == 'n' || key == TERM_ESC || key == 'q')
            modal_close(a);
        else
            (void)scroll(m, key);
        break;
    case MODAL_TYPED:
        key_typed(a, key);
        break;
    case MODAL_PAGE:
        key_page(a, key);
        break;
    case MODAL_PASTE:
        key_paste(a, key);
        break;
    case MODAL_NONE:
        break;
    }
}
