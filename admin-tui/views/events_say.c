/* One event in words: who changed what, from what to what, and who took it back. */
#include "base/check.h"
#include "base/clock.h"
#include "cli/out.h"
#include "cli/quantity.h"
#include "keys/json.h"
#include "views/events_internal.h"

#include <stdio.h>

#define CHANGES_MAX (1u << 20)
#define CELL_WIDTH 26

/* ---- before and after ---- */

/* The rows of an event's BEFORE or AFTER; NULL: it is no list of rows. Free with cJSON_Delete. */
static cJSON *parse_rows(const char *text, const cJSON **ret_rows)
{
    struct sbuf b;
    cJSON *root = NULL;
    *ret_rows = NULL;
    if (*text != '[')
        return NULL;
    sbuf_init(&b, CHANGES_MAX);
    sbuf_adds(&b, "{\"rows\":");
    sbuf_adds(&b, text);
    sbuf_addc(&b, '}');
    if (b.failed || json_object_parse(sbuf_slice(&b), CHANGES_MAX, &root, NULL) != ERR_OK)
        root = NULL;
    sbuf_finish(&b);
    *ret_rows = root ? cJSON_GetObjectItemCaseSensitive(root, "rows") : NULL;
    return root;
}

static int64_t member_int(const cJSON *o, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static const cJSON *find_row(const cJSON *rows, const cJSON *like)
{
    const cJSON *at;
    cJSON_ArrayForEach(at, rows)
    {
        if (strcmp(json_get_z(at, "table"), json_get_z(like, "table")) == 0 &&
            member_int(at, "id") == member_int(like, "id"))
            return cJSON_GetObjectItemCaseSensitive(at, "row");
    }
    return NULL;
}

/* What TABLE's ROW is to people: "account sa-1", "sa-1 in pool gemini". */
static void say_thing(const char *table, const cJSON *row, struct sbuf *out)
{
    if (strcmp(table, "pool_member") == 0)
        sbuf_addf(out, "%s in pool %s", json_get_z(row, "account"), json_get_z(row, "pool"));
    else if (strcmp(table, "account_model") == 0)
        sbuf_addf(out, "model %s of %s", json_get_z(row, "model"), json_get_z(row, "account"));
    else if (strcmp(table, "host_rule") == 0)
        sbuf_addf(out, "rule %s", json_get_z(row, "pattern"));
    else
        sbuf_addf(out, "%s %s", table, json_get_z(row, "name"));
}

static const char *number_text(const char *column, double n, char *buf, size_t size)
{
    char text[32];
    bool is_time = strcmp(column, "expires_at") == 0 || strcmp(column, "cleared_at_ms") == 0;
    if (is_time && n <= 0)
        snprintf(buf, size, "%s", *column == 'e' ? "never" : "--");
    else if (is_time)
        snprintf(buf, size, "%s",
                 clock_format_utc((int64_t)n / (*column == 'c' ? 1000 : 1), text, sizeof text));
    else
        snprintf(buf, size, "%.15g", n);
    return buf;
}

static const char *value_text(const char *column, const cJSON *v, char *buf, size_t size)
{
    if (cJSON_IsNumber(v))
        number_text(column, v->valuedouble, buf, size);
    else if (cJSON_IsString(v))
        snprintf(buf, size, "%s", *v->valuestring ? v->valuestring : "(empty)");
    else
        snprintf(buf, size, "--");
    for (char *z = buf; *z; z++)
        *z = (unsigned char)*z < 0x20 ? '?' : *z; /* a line stays one */
    return buf;
}

/* The account and the pool of a member are its name already. */
static bool is_name(const char *table, const char *column)
{
    bool is_pair = strcmp(table, "pool_member") == 0 || strcmp(table, "account_model") == 0;
    return strcmp(column, "id") == 0 || (is_pair && strcmp(column, "account") == 0) ||
           (is_pair && strcmp(column, "pool") == 0);
}

/* What an added or removed row does not say is not shown. */
static bool is_blank(const cJSON *v)
{
    return !v || cJSON_IsNull(v) || (cJSON_IsString(v) && !*v->valuestring);
}

static void say_columns(const char *table, const cJSON *row, const cJSON *before,
                        const cJSON *after, struct sbuf *out)
{
    char was[256], is[256];
    const cJSON *at;
    cJSON_ArrayForEach(at, row)
    {
        const cJSON *old = cJSON_GetObjectItemCaseSensitive(before, at->string);
        const cJSON *new = after ? at : NULL;
        if (is_name(table, at->string) || (old && new &&cJSON_Compare(old, new, true)) ||
            (is_blank(old) && is_blank(new)))
            continue;
        sbuf_addf(out, "    %-16s %-*s %s\n", at->string, CELL_WIDTH,
                  before ? value_text(at->string, old, was, sizeof was) : "",
                  after ? value_text(at->string, new, is, sizeof is) : "");
    }
}

static void say_row(const cJSON *entry, const cJSON *before, const cJSON *after, struct sbuf *out)
{
    const char *table = json_get_z(entry, "table");
    const cJSON *row = after ? after : before;
    if (!cJSON_IsObject(row))
        return; /* no row of ours */
    sbuf_adds(out, "  ");
    say_thing(table, row, out);
    if (!before || !after)
        sbuf_adds(out, before ? "   (removed)" : "   (added)");
    sbuf_addc(out, '\n');
    say_columns(table, row, before, after, out);
}

static void say_text(const char *label, const char *text, struct sbuf *out)
{
    if (*text)
        sbuf_addf(out, "  %s  %s\n", label, text);
}

void events_changes(const struct board_event *e, struct sbuf *out)
{
    const cJSON *before, *after, *at;
    cJSON *before_root = parse_rows(e->before, &before), *after_root = parse_rows(e->after, &after);
    if (before_root || after_root)
        sbuf_addf(out, "    %-16s %-*s %s\n", "WHAT", CELL_WIDTH, "BEFORE", "AFTER");
    cJSON_ArrayForEach(at, before)
        say_row(at, cJSON_GetObjectItemCaseSensitive(at, "row"), find_row(after, at), out);
    cJSON_ArrayForEach(at, after)
    {
        if (!find_row(before, at))
            say_row(at, NULL, cJSON_GetObjectItemCaseSensitive(at, "row"), out);
    }
    if (!before_root)
        say_text("before", e->before, out);
    if (!after_root)
        say_text("after", e->after, out);
    cJSON_Delete(before_root);
    cJSON_Delete(after_root);
}

/* ---- in lines ---- */

static const struct board_event *find_event(const struct board *b, int64_t id)
{
    for (int i = 0; i < b->event_count; i++)
        if (b->events[i].id == id)
            return &b->events[i];
    return NULL;
}

static void say_undo(const struct board *b, const struct board_event *e, struct sbuf *out)
{
    char when[24];
    const struct board_event *by = e->undone_by ? find_event(b, e->undone_by) : NULL;
    if (by)
        sbuf_addf(out, "! undone by %s at %s (v%lld)\n", by->who,
                  clock_format_utc(by->at_ms / 1000, when, sizeof when), (long long)by->generation);
    else if (e->undone_by)
        sbuf_addf(out, "! undone by event %lld\n", (long long)e->undone_by);
    else if (strcmp(e->kind, "audit") == 0 && (*e->before || *e->after))
        sbuf_adds(out, "  u undoes it: the old values are written back, history stays\n");
    else if (strcmp(e->kind, "audit") == 0)
        sbuf_adds(out, "  an act that changed no setting: there is nothing to undo\n");
}

void events_describe(const struct board *b, const struct board_event *e, struct sbuf *out)
{
    char when[24];
    clock_format_utc(e->at_ms / 1000, when, sizeof when);
    if (e->generation)
        sbuf_addf(out, "v%lld  ", (long long)e->generation);
    sbuf_addf(out, "%s  %s  %s", e->kind, e->who, when);
    if (e->times > 1)
        sbuf_addf(out, "  %lld times, the last then", (long long)e->times);
    sbuf_addf(out, "\n  %s\n", e->what);
    say_undo(b, e, out);
    events_changes(e, out);
}

/* ---- as JSON ---- */

static void add_rows(cJSON *o, const char *name, const char *text)
{
    const cJSON *rows;
    cJSON *root = parse_rows(text, &rows);
    if (root)
        json_add(o, name, cJSON_DetachItemFromObjectCaseSensitive(root, "rows"));
    else
        json_z(o, name, text);
    cJSON_Delete(root);
}

void events_json(const struct board_event *e, struct sbuf *out)
{
    char when[24];
    cJSON *o = json_object();
    json_int(o, "id", e->id);
    json_z(o, "at", clock_format_utc(e->at_ms / 1000, when, sizeof when));
    json_z(o, "kind", e->kind);
    json_z(o, "who", e->who);
    json_z(o, "what", e->what);
    json_int(o, "times", e->times);
    json_int(o, "generation", e->generation);
    json_int(o, "undone_by", e->undone_by);
    json_flag(o, "is_undo", e->is_undo);
    add_rows(o, "before", e->before);
    add_rows(o, "after", e->after);
    json_compact(out, o);
    sbuf_addc(out, '\n');
    cJSON_Delete(o);
}
