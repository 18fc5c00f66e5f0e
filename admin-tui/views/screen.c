/* What all screens' states have in common. */
#include "base/mem.h"
#include "views/app.h"

void *view_create(const struct view *v, struct app *a)
{
    struct screen *s = mem_calloc(1, v->state_size);
    if (!s)
        return NULL;
    s->app = a;
    table_init(&s->table, v->columns, v->column_count, -1, false);
    if (v->init)
        v->init(s);
    return s;
}

void view_destroy(const struct view *v, void *state)
{
    struct screen *s = state;
    if (!s)
        return;
    if (v->finish)
        v->finish(s);
    table_finish(&s->table);
    mem_free(s);
}

void view_update(const struct view *v, void *state)
{
    struct screen *s = state;
    s->table.columns = app_is_small(s->app) ? v->narrow : v->columns;
    v->update(s);
}

struct table *view_table(const struct view *v, void *state)
{
    struct screen *s = state;
    return v->table ? v->table(s) : &s->table;
}

int screen_list_height(const struct screen *s, int height, int detail)
{
    int most = height - detail - 1, rows = s->table.shown > 0 ? s->table.shown : 1;
    if (most < 4)
        return height;
    return rows + 1 < most ? rows + 1 : most;
}
