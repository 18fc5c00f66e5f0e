/* The list of every screen. */
#include "ui/table.h"

#include "base/check.h"
#include "base/mem.h"
#include "ui/term.h"

#include <stdlib.h>

void table_init(struct table *t, const struct table_column *columns, int count, int sort,
                bool is_down)
{
    CHECK(count > 0 && count <= TABLE_COLUMNS_MAX);
    *t = (struct table){
        .columns = columns, .column_count = count, .sort = sort, .sort_is_down = is_down};
}

void table_finish(struct table *t)
{
    mem_free(t->order);
    t->order = NULL;
    t->shown = t->space = 0;
}

/* ---- which rows, in which order ---- */

static struct table_cell *cell_of(const struct table_source *src, int row, int column,
                                  struct table_cell *space)
{
    *space = (struct table_cell){0};
    src->cell(src->arg, row, column, space);
    return space;
}

struct asked {
    const struct table_source *src;
    int row;
    struct table_cell cell;
};

static struct slice text_of(void *arg, int column)
{
    struct asked *a = arg;
    return slice_of(cell_of(a->src, a->row, column, &a->cell)->text);
}

struct sorted {
    int row;
    bool has_value;
    double value;
    char text[48];
};

static int compare_values(const struct sorted *a, const struct sorted *b)
{
    if (a->has_value && b->has_value)
        return (a->value > b->value) - (a->value < b->value);
    if (a->has_value != b->has_value)
        return a->has_value ? 1 : -1; /* what nobody knows is least */
    return strcmp(a->text, b->text);
}

static int ascending(const void *x, const void *y)
{
    const struct sorted *a = x, *b = y;
    int d = compare_values(a, b);
    return d ? d : (a->row > b->row) - (a->row < b->row);
}

static int descending(const void *x, const void *y)
{
    const struct sorted *a = x, *b = y;
    int d = compare_values(b, a);
    return d ? d : (a->row > b->row) - (a->row < b->row);
}

static void sort_rows(struct table *t, const struct table_source *src)
{
    if (t->sort < 0 || t->shown < 2)
        return;
    struct sorted *v = mem_calloc((size_t)t->shown, sizeof *v);
    struct table_cell cell;
    if (!v)
        return;
    for (int i = 0; i < t->shown; i++) {
        cell_of(src, t->order[i], t->sort, &cell);
        v[i] =
            (struct sorted){.row = t->order[i], .has_value = cell.has_value, .value = cell.value};
        (void)slice_copy(slice_sub(slice_of(cell.text), 0, sizeof v[i].text - 1), v[i].text,
                         sizeof v[i].text);
    }
    qsort(v, (size_t)t->shown, sizeof *v, t->sort_is_down ? descending : ascending);
    for (int i = 0; i < t->shown; i++)
        t->order[i] = v[i].row;
    mem_free(v);
}

static void clamp_cursor(struct table *t)
{
    if (t->cursor >= t->shown)
        t->cursor = t->shown - 1;
    if (t->cursor < 0)
        t->cursor = 0;
    if (t->top > t->cursor)
        t->top = t->cursor;
    if (t->height > 0 && t->cursor >= t->top + t->height)
        t->top = t->cursor - t->height + 1;
    if (t->height > 0 && t->top > t->shown - t->height)
        t->top = t->shown > t->height ? t->shown - t->height : 0;
}

static void keep_cursor(struct table *t, const struct table_source *src)
{
    if (t->follows_end)
        t->cursor = t->shown - 1;
    else if (t->has_cursor)
        for (int i = 0; i < t->shown; i++)
            if (src->key(src->arg, t->order[i]) == t->cursor_key) {
                t->cursor = i;
                break;
            }
    clamp_cursor(t);
    t->has_cursor = t->shown > 0;
    if (t->has_cursor)
        t->cursor_key = src->key(src->arg, t->order[t->cursor]);
}

void table_update(struct table *t, const struct table_source *src)
{
    if (src->count > t->space) {
        int *more = mem_realloc(t->order, (size_t)src->count * sizeof *more);
        if (!more)
            return; /* what was shown stays in reach: fewer rows than there are */
        t->order = more;
        t->space = src->count;
    }
    t->shown = 0;
    struct asked a = {.src = src};
    for (a.row = 0; a.row < src->count; a.row++)
        if (t->filter.count == 0 || filter_passes(&t->filter, t->column_count, text_of, &a))
            t->order[t->shown++] = a.row;
    sort_rows(t, src);
    keep_cursor(t, src);
}

void table_follow_top(struct table *t, bool *follows)
{
    if ((t->cursor != 0 && t->shown > 0) || t->sort >= 0)
        *follows = false;
    if (*follows) {
        t->cursor = t->top = 0;
        t->has_cursor = false;
    }
}

/* ---- drawing ---- */

/* Widths of the columns that fit, 0 for those left out. */
static void lay_out(const struct table *t, int width, int widths[TABLE_COLUMNS_MAX])
{
    int sum = 1; /* the mark before each row */
    for (int i = 0; i < t->column_count; i++) {
        widths[i] = t->columns[i].width;
        sum += widths[i] ? widths[i] + 1 : 0;
    }
    while (sum - 1 > width) {
        int worst = -1;
        for (int i = 0; i < t->column_count; i++)
            if (widths[i] && t->columns[i].priority &&
                (worst < 0 || t->columns[i].priority >= t->columns[worst].priority))
                worst = i;
        if (worst < 0)
            break;
        sum -= widths[worst] + 1;
        widths[worst] = 0;
    }
    for (int i = 0; i < t->column_count && sum - 1 < width; i++) {
        int room = t->columns[i].most - widths[i];
        if (!widths[i] || room <= 0)
            continue;
        int more = room < width - sum + 1 ? room : width - sum + 1;
        widths[i] += more;
        sum += more;
    }
}

static void draw_titles(const struct table *t, struct canvas *c, int y, int x, int end,
                        const int widths[TABLE_COLUMNS_MAX])
{
    x++;
    for (int i = 0; i < t->column_count; i++) {
        int n = widths[i] < end - x ? widths[i] : end - x;
        if (n <= 0)
            continue;
        struct slice title = slice_of(t->columns[i].title);
        if (t->columns[i].is_right)
            canvas_put_right(c, y, x, n, STYLE_TITLE, title);
        else
            canvas_put(c, y, x, n, STYLE_TITLE, title);
        if (i == t->sort)
            canvas_reverse(c, y, x, n);
        x += widths[i] + 1;
    }
}

static void draw_row(const struct table *t, const struct table_source *src, int at,
                     struct canvas *c, int y, int x, int width, const int widths[TABLE_COLUMNS_MAX])
{
    struct table_cell cell;
    int row = t->order[at], end = x + width, begin = x;
    bool is_marked = table_is_marked(t, src->key(src->arg, row));
    if (at == t->cursor || is_marked)
        canvas_put(c, y, x, 1, STYLE_TITLE, is_marked ? SLICE("*") : SLICE(">"));
    x++;
    for (int i = 0; i < t->column_count; i++) {
        int n = widths[i] < end - x ? widths[i] : end - x;
        if (n <= 0)
            continue;
        struct slice text = slice_of(cell_of(src, row, i, &cell)->text);
        if (t->columns[i].is_right)
            canvas_put_right(c, y, x, n, cell.style, text);
        else
            canvas_put(c, y, x, n, cell.style, text);
        x += widths[i] + 1;
    }
    if (at == t->cursor)
        canvas_reverse(c, y, begin, width);
}

void table_draw(struct table *t, const struct table_source *src, struct canvas *c, int y, int x,
                int width, int height)
{
    int widths[TABLE_COLUMNS_MAX] = {0};
    lay_out(t, width, widths);
    if (height > 0)
        draw_titles(t, c, y, x, x + width, widths);
    t->height = height > 1 ? height - 1 : 0;
    clamp_cursor(t);
    for (int i = 0; i < t->height && t->top + i < t->shown; i++)
        if (t->order[t->top + i] < src->count)
            draw_row(t, src, t->top + i, c, y + 1 + i, x, width, widths);
}

/* ---- keys ---- */

static void move_to(struct table *t, int at)
{
    t->cursor = at;
    t->follows_end = false;
    t->has_cursor = false; /* table_update takes the key of the row that is there */
    clamp_cursor(t);
}

static void toggle_mark(struct table *t)
{
    if (!t->has_cursor)
        return;
    for (int i = 0; i < t->mark_count; i++)
        if (t->marks[i] == t->cursor_key) {
            t->marks[i] = t->marks[--t->mark_count];
            return;
        }
    if (t->mark_count < TABLE_MARKS_MAX)
        t->marks[t->mark_count++] = t->cursor_key;
}

static void sort_by_next(struct table *t)
{
    t->sort = t->sort + 1 < t->column_count ? t->sort + 1 : 0;
    t->sort_is_down = t->columns[t->sort].is_right; /* of numbers one wants the largest first */
}

bool table_key(struct table *t, int key)
{
    int page = t->height > 1 ? t->height - 1 : 1;
    switch (key) {
    case 'j':
    case TERM_DOWN:
    case TERM_WHEEL_DOWN:
        move_to(t, t->cursor + 1);
        return true;
    case 'k':
    case TERM_UP:
    case TERM_WHEEL_UP:
        move_to(t, t->cursor - 1);
        return true;
    case TERM_PAGE_DOWN:
    case TERM_CTRL('f'):
        move_to(t, t->cursor + page);
        return true;
    case TERM_PAGE_UP:
    case TERM_CTRL('b'):
        move_to(t, t->cursor - page);
        return true;
    case 'g':
    case TERM_HOME:
        move_to(t, 0);
        return true;
    case 'G':
    case TERM_END:
        move_to(t, t->shown - 1);
        return true;
    case 's':
        sort_by_next(t);
        return true;
    case 'S':
        t->sort_is_down = !t->sort_is_down;
        return true;
    case ' ':
        toggle_mark(t);
        move_to(t, t->cursor + 1);
        return true;
    default:
        return false;
    }
}

void table_click(struct table *t, int line)
{
    if (line >= 1 && line <= t->height && t->top + line - 1 < t->shown)
        move_to(t, t->top + line - 1);
}

int table_row(const struct table *t)
{
    return t->shown > 0 && t->cursor < t->shown ? t->order[t->cursor] : -1;
}

bool table_is_marked(const struct table *t, int64_t key)
{
    for (int i = 0; i < t->mark_count; i++)
        if (t->marks[i] == key)
            return true;
    return false;
}

void table_unmark(struct table *t)
{
    t->mark_count = 0;
}

bool table_filter(struct table *t, struct slice text, char *problem, size_t size)
{
    const char *titles[TABLE_COLUMNS_MAX];
    for (int i = 0; i < t->column_count; i++)
        titles[i] = t->columns[i].title;
    return filter_set(&t->filter, text, titles, t->column_count, problem, size);
}
