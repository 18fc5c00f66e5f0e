/* Text fields of libform, in a dialog or in a line. A form cannot change its size: it is made
 * again, with what was typed. Its fields are as long as they may become from the start, so that no
 * copy of the text is left behind where one grew. */
#include "ui/entry.h"

#include "base/check.h"
#include "base/mem.h"
#include "ui/term_internal.h"

#include <form.h>
#include <stdio.h>
#include <wchar.h>
#include <wctype.h>

#define MOST_USUALLY 256
#define FOOT 4 /* an empty line, two for a sentence, one for the keys */

struct field {
    char label[64], hint[192];
    int width, most;
    bool is_hidden;
    char *first; /* as given, wiped */
    char *shown; /* the same as the field can hold it, wiped */
    char *text;  /* what entry_text gave last, wiped */
};

struct entry {
    struct dialog *dialog;
    struct dialog *note; /* of a line: a complaint in a row of its own */
    bool is_line, is_pasting, was_line_end;
    int y;
    int count, at; /* fields, and the one with the cursor */
    struct field fields[ENTRY_FIELDS_MAX];
    FIELD *made[ENTRY_FIELDS_MAX + 1];
    FORM *form;
    WINDOW *sub;
    int rows, label_width, field_width; /* rows: shown at a time */
    char complaint[256];
};

/* ---- text ---- */

static bool can_hold(wchar_t ch)
{
    return ch >= L' ' && ch != 0x7f && wcwidth(ch) == 1;
}

/* The characters of Z that a field can hold; others as '?'. NULL: no memory. */
static char *clean_copy(const char *z, int most)
{
    size_t left = strlen(z);
    char *copy = mem_calloc(left + 1, 1), *to = copy;
    mbstate_t state = {0};
    for (int i = 0; copy && left > 0 && i < most; i++) {
        wchar_t ch = 0;
        size_t n = mbrtowc(&ch, z, left, &state); /* NOLINT(concurrency-mt-unsafe): own state */
        if (n == 0 || n > left) {                 /* broken: one byte */
            n = 1;
            ch = 0;
            state = (mbstate_t){0};
        }
        if (can_hold(ch)) {
            memcpy(to, z, n);
            to += n;
        } else {
            *to++ = '?';
        }
        z += n;
        left -= n;
    }
    return copy;
}

static size_t text_size(const struct field *f)
{
    return (size_t)f->most * 4 + 1;
}

/* Takes what field I holds into its text, without spaces at the ends. */
static void fetch(struct entry *e, int i)
{
    struct field *f = &e->fields[i];
    if (!e->form)
        return;
    if (i == e->at)
        (void)form_driver(e->form, REQ_VALIDATION); /* from the window into the buffer */
    char *held = field_buffer(e->made[i], 0);
    if (!held)
        return;
    size_t n = strlen(held);
    if (!slice_copy(slice_trim(slice_make(held, n)), f->text, text_size(f)))
        f->text[0] = '\0';
    mem_wipe(held, n);
}

static void fetch_all(struct entry *e)
{
    for (int i = 0; i < e->count; i++)
        fetch(e, i);
}

/* ---- making the form ---- */

static void cover_with_stars(FIELD *made, int most)
{
    char stars[ENTRY_TEXT_MAX + 1];
    memset(stars, '*', (size_t)most);
    stars[most] = '\0';
    (void)set_field_buffer(made, 0, stars);
}

static void drop_form(struct entry *e)
{
    term_cursor(NULL); /* it may be in a window that goes */
    if (e->form) {
        (void)unpost_form(e->form);
        (void)free_form(e->form);
    }
    for (int i = 0; i < e->count && e->made[i]; i++) {
        cover_with_stars(e->made[i], e->fields[i].most);
        (void)free_field(e->made[i]);
        e->made[i] = NULL;
    }
    if (e->sub)
        (void)delwin(e->sub);
    e->form = NULL;
    e->sub = NULL;
}

static FIELD *make_field(const struct entry *e, int i)
{
    const struct field *f = &e->fields[i];
    char spaces[ENTRY_TEXT_MAX + 1];
    int width = e->field_width < f->most ? e->field_width : f->most;
    FIELD *made =
        new_field(1, width < f->width || e->is_line ? width : f->width, i % e->rows, 0, 0, 0);
    if (!made)
        return NULL;
    const unsigned off = O_STATIC | O_AUTOSKIP | O_BLANK | (f->is_hidden ? O_PUBLIC : 0u);
    (void)field_opts_off(made, (Field_Options)off);
    (void)set_max_field(made, f->most);
    (void)set_field_back(made, termattrs() & A_UNDERLINE ? A_UNDERLINE : A_REVERSE);
    (void)set_new_page(made, i % e->rows == 0);
    memset(spaces, ' ', (size_t)f->most);
    spaces[f->most] = '\0';
    (void)set_field_buffer(made, 0, spaces);
    (void)set_field_buffer(made, 0, f->text);
    return made;
}

/* How many rows and columns there are for what. */
static void lay_out(struct entry *e)
{
    const struct canvas *c = dialog_canvas(e->dialog);
    int longest = 0;
    for (int i = 0; i < e->count; i++) {
        int n = text_columns(slice_of(e->fields[i].label), term_is_utf8());
        longest = n > longest ? n : longest;
    }
    e->label_width = longest > 0 ? longest + (e->is_line ? 0 : 2) : 0;
    if (e->label_width > c->width / 2)
        e->label_width = c->width / 2;
    e->field_width = c->width - e->label_width;
    e->rows = c->height > FOOT + 1 ? c->height - FOOT : c->height - 1;
    if (e->rows > e->count)
        e->rows = e->count;
    if (e->rows < 1)
        e->rows = 1;
}

/* The cursor behind the text of field I. */
static void go_to(struct entry *e, int i)
{
    if (!e->form || i < 0 || i >= e->count)
        return;
    e->at = i;
    (void)set_current_field(e->form, e->made[i]);
    (void)form_driver(e->form, REQ_END_LINE);
}

static bool make_form(struct entry *e)
{
    int edge = dialog_edge(e->dialog);
    WINDOW *w = dialog_window(e->dialog);
    lay_out(e);
    for (int i = 0; i < e->count; i++)
        if (!(e->made[i] = make_field(e, i)))
            return false;
    e->form = new_form(e->made);
    e->sub = derwin(w, e->rows, e->field_width, edge, edge + e->label_width);
    if (!e->form || !e->sub)
        return false;
    (void)set_form_win(e->form, w);
    (void)set_form_sub(e->form, e->sub);
    if (post_form(e->form) != E_OK)
        return false;
    go_to(e, e->at);
    return true;
}

/* ---- open and close ---- */

static void drop_text(struct field *f)
{
    char *all[] = {f->first, f->shown, f->text};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free_wiped(all[i]);
}

void entry_close(struct entry *e)
{
    if (!e)
        return;
    drop_form(e);
    for (int i = 0; i < e->count; i++)
        drop_text(&e->fields[i]);
    dialog_close(e->note);
    dialog_close(e->dialog);
    mem_free_wiped(e);
}

static bool take_field(struct field *f, const struct entry_field *from)
{
    const char *value = from->value ? from->value : "";
    (void)snprintf(f->label, sizeof f->label, "%s", from->label ? from->label : "");
    (void)snprintf(f->hint, sizeof f->hint, "%s", from->hint ? from->hint : "");
    f->most = from->most > 0 ? from->most : MOST_USUALLY;
    if (f->most > ENTRY_TEXT_MAX)
        f->most = ENTRY_TEXT_MAX;
    f->width = from->width > 0 ? from->width : 1;
    f->is_hidden = from->is_hidden;
    f->first = mem_dup(value);
    f->shown = clean_copy(value, f->most);
    f->text = mem_calloc(text_size(f), 1);
    if (!f->first || !f->shown || !f->text)
        return false;
    (void)slice_copy(slice_of(f->shown), f->text, text_size(f));
    return true;
}

static struct entry *take_fields(const struct entry_field *fields, int count)
{
    struct entry *e = mem_calloc(1, sizeof *e);
    if (!e)
        return NULL;
    for (int i = 0; i < count && i < ENTRY_FIELDS_MAX; i++) {
        e->count = i + 1;
        if (!take_field(&e->fields[i], &fields[i])) {
            entry_close(e);
            return NULL;
        }
    }
    return e;
}

static int width_wanted(const struct entry *e)
{
    int label = 0, most = 50; /* for sentences */
    for (int i = 0; i < e->count; i++) {
        int n = text_columns(slice_of(e->fields[i].label), true);
        label = n > label ? n : label;
    }
    for (int i = 0; i < e->count; i++) {
        int n = label + 2 + e->fields[i].width;
        most = n > most ? n : most;
    }
    return most < 76 ? most : 76;
}

struct entry *entry_open(const char *title, const struct entry_field *fields, int count)
{
    CHECK(count > 0 && count <= ENTRY_FIELDS_MAX);
    struct entry *e = take_fields(fields, count);
    if (!e)
        return NULL;
    e->dialog = dialog_open(slice_of(title), width_wanted(e), count + FOOT);
    if (!e->dialog || !make_form(e)) {
        entry_close(e);
        return NULL;
    }
    return e;
}

struct entry *entry_open_line(int y, const char *prompt, const char *value)
{
    struct entry_field field = {.label = prompt, .value = value, .width = 1};
    struct entry *e = take_fields(&field, 1);
    if (!e)
        return NULL;
    e->is_line = true;
    e->y = y;
    e->dialog = dialog_open_line(y);
    if (!e->dialog || !make_form(e)) {
        entry_close(e);
        return NULL;
    }
    return e;
}

void entry_resize(struct entry *e, int y)
{
    fetch_all(e);
    drop_form(e);
    e->y = y;
    if (e->is_line)
        dialog_move_line(e->dialog, y);
    else
        dialog_resize(e->dialog);
    dialog_close(e->note);
    e->note = NULL;
    if (!make_form(e)) /* what was typed stays in our own text */
        drop_form(e);
}

/* ---- keys ---- */

/* Whether the cell at column X of the field is empty. */
static bool is_blank_at(const struct entry *e, int x)
{
    cchar_t cell;
    wchar_t text[CCHARW_MAX + 1] = {0};
    attr_t attr = 0;
    short pair = 0;
    if (mvwin_wch(e->form->w, 0, x, &cell) == ERR ||
        getcchar(&cell, text, &attr, &pair, NULL) == ERR)
        return true;
    return text[0] == L' ' || text[0] == 0;
}

static bool has_text_behind(const struct entry *e)
{
    for (int x = e->form->curcol; x < e->fields[e->at].most; x++)
        if (!is_blank_at(e, x))
            return true;
    return false;
}

static void delete_word(struct entry *e)
{
    while (e->form->curcol > 0 && is_blank_at(e, e->form->curcol - 1))
        if (form_driver(e->form, REQ_DEL_PREV) != E_OK)
            return;
    while (e->form->curcol > 0 && !is_blank_at(e, e->form->curcol - 1))
        if (form_driver(e->form, REQ_DEL_PREV) != E_OK)
            return;
}

static void insert(struct entry *e, int key)
{
    if (key >= TERM_UP)
        return;
    if (!can_hold((wchar_t)key)) {
        if (!e->is_pasting)
            term_bell();
        return;
    }
    if (form_driver_w(e->form, OK, (wchar_t)key) != E_OK) {
        char sentence[96];
        (void)snprintf(sentence, sizeof sentence,
                       "at most %d characters fit here; the rest was left out",
                       e->fields[e->at].most);
        entry_complain(e, sentence);
    }
}

static void edit(struct entry *e, int key)
{
    static const int requests[][2] = {
        {TERM_HOME, REQ_BEG_LINE},       {TERM_CTRL('a'), REQ_BEG_LINE},
        {TERM_END, REQ_END_LINE},        {TERM_CTRL('e'), REQ_END_LINE},
        {TERM_LEFT, REQ_PREV_CHAR},      {TERM_CTRL('b'), REQ_PREV_CHAR},
        {TERM_BACKSPACE, REQ_DEL_PREV},  {TERM_CTRL('h'), REQ_DEL_PREV},
        {TERM_DELETE, REQ_DEL_CHAR},     {TERM_CTRL('d'), REQ_DEL_CHAR},
        {TERM_CTRL('u'), REQ_CLR_FIELD}, {TERM_CTRL('k'), REQ_CLR_EOL},
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        if (requests[i][0] == key) {
            (void)form_driver(e->form, requests[i][1]);
            return;
        }
    if (key == TERM_CTRL('w'))
        delete_word(e);
    else if (key != TERM_RIGHT && key != TERM_CTRL('f'))
        insert(e, key);
    else if (has_text_behind(e))
        (void)form_driver(e->form, REQ_NEXT_CHAR);
}

/* In a paste no key has a meaning; an end of line, and CR LF as one, is a space. */
static void paste(struct entry *e, int key)
{
    bool is_line_end = key == TERM_ENTER || key == TERM_TAB;
    if (key == TERM_PASTE_END || key == TERM_ESC) {
        e->is_pasting = false;
        return;
    }
    if (!is_line_end)
        insert(e, key);
    else if (!e->was_line_end)
        insert(e, ' ');
    e->was_line_end = is_line_end;
}

static void forget_complaint(struct entry *e)
{
    e->complaint[0] = '\0';
    dialog_close(e->note);
    e->note = NULL;
}

enum entry_result entry_key(struct entry *e, int key)
{
    if (e->is_pasting && e->form) {
        paste(e, key);
        return ENTRY_GOES_ON;
    }
    if (key == TERM_NONE || key == TERM_GONE || key == TERM_RESIZE)
        return ENTRY_GOES_ON;
    forget_complaint(e);
    if (key == TERM_ESC)
        return ENTRY_LEFT;
    if (!e->form)
        return ENTRY_GOES_ON; /* no memory for it; the next resize tries again */
    switch (key) {
    case TERM_PASTE_BEGIN:
        e->is_pasting = true;
        e->was_line_end = false;
        break;
    case TERM_ENTER:
        if (e->at == e->count - 1)
            return ENTRY_DONE;
        go_to(e, e->at + 1);
        break;
    case TERM_CTRL('x'):
        return ENTRY_DONE;
    case TERM_TAB:
    case TERM_DOWN:
        go_to(e, (e->at + 1) % e->count);
        break;
    case TERM_BACK_TAB:
    case TERM_UP:
        go_to(e, (e->at + e->count - 1) % e->count);
        break;
    default:
        edit(e, key);
    }
    return ENTRY_GOES_ON;
}

struct slice entry_text(struct entry *e, int i)
{
    CHECK(i >= 0 && i < e->count);
    struct field *f = &e->fields[i];
    fetch(e, i);
    bool is_as_given = slice_eq(slice_of(f->text), slice_trim(slice_of(f->shown)));
    return slice_trim(slice_of(is_as_given ? f->first : f->text));
}

void entry_complain(struct entry *e, const char *sentence)
{
    (void)snprintf(e->complaint, sizeof e->complaint, "%s", sentence);
}

/* ---- drawing ---- */

/* TEXT in up to LINES lines, broken at spaces. */
static void put_sentence(struct canvas *c, int y, int lines, uint8_t style, struct slice text)
{
    for (int i = 0; i < lines && text.n > 0; i++) {
        size_t room = (size_t)c->width, cut = text.n;
        if (cut > room && i + 1 < lines) {
            cut = room;
            while (cut > 0 && text.p[cut] != ' ')
                cut--;
            cut = cut > 0 ? cut : room;
        }
        (void)canvas_put(c, y + i, 0, c->width, style, slice_sub(text, 0, cut));
        text = slice_trim(slice_sub(text, cut, text.n));
    }
}

static void draw_sentence(struct entry *e, struct canvas *c)
{
    const struct field *f = &e->fields[e->at];
    char count[64];
    bool is_roomy = c->height - e->rows >= FOOT;
    int y = e->rows + is_roomy, lines = is_roomy ? 2 : 1;
    if (e->complaint[0]) {
        put_sentence(c, y, lines, STYLE_FAIL, slice_of(e->complaint));
        return;
    }
    size_t n = 0;
    if (f->is_hidden) {
        fetch(e, e->at);
        n = strlen(f->text);
    }
    (void)snprintf(count, sizeof count, "%zu characters, not shown", n);
    put_sentence(c, y, lines, STYLE_DIM, slice_of(n > 0 ? count : f->hint));
}

static void draw_labels(struct entry *e, struct canvas *c)
{
    int first = e->at - e->at % e->rows;
    for (int i = first; i < e->count && i < first + e->rows; i++)
        (void)canvas_put(c, i - first, 0, e->label_width, i == e->at ? STYLE_KEY : STYLE_PLAIN,
                         slice_of(e->fields[i].label));
    for (int y = 0; y < e->rows; y++)
        for (int x = e->label_width; x < c->width && e->form; x++)
            c->cells[y * c->width + x].ch = CELL_HOLE;
}

/* A line has no room for a sentence: the row above (or below) has. */
static void draw_note(struct entry *e)
{
    if (!e->complaint[0] || LINES < 2)
        return;
    if (!e->note)
        e->note = dialog_open_line(e->y > 0 ? e->y - 1 : 1);
    if (!e->note)
        return;
    struct canvas *c = dialog_canvas(e->note);
    canvas_blank(c, 0, 0, c->width, 1);
    (void)canvas_put(c, 0, 0, c->width, STYLE_FAIL, slice_of(e->complaint));
    dialog_draw(e->note);
}

void entry_show(struct entry *e)
{
    struct canvas *c = dialog_canvas(e->dialog);
    canvas_blank(c, 0, 0, c->width, c->height);
    draw_labels(e, c);
    if (e->is_line) {
        draw_note(e);
    } else {
        draw_sentence(e, c);
        if (c->height - e->rows >= FOOT)
            (void)canvas_put_keys(c, c->height - 1, 0, c->width,
                                  e->at == e->count - 1
                                      ? SLICE("{Enter} done  {Tab} next  {Esc} back")
                                      : SLICE("{Enter} {Tab} next  {Ctrl-X} done  {Esc} back"));
    }
    dialog_draw(e->dialog);
    if (e->form)
        (void)pos_form_cursor(e->form);
    term_cursor(e->form ? e->sub : NULL);
    term_flush();
}
