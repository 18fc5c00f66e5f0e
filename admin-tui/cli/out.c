/* Printing. A listing is made once, as a JSON array of objects; table_print and json_print are two
 * views of it. */
#include "cli/out.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/quantity.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>

#define CELL_MAX 512
#define COLUMNS_MAX 16

/* Length of one well-formed UTF-8 sequence at P, 0 when it is none; *ret the code point. */
static size_t utf8_at(const unsigned char *p, size_t n, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (len == 0 || len > n || p[0] > 0xf4)
        return 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fU);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret = c;
    return len;
}

static bool is_harmless(uint32_t c)
{
    static const uint32_t bad[][2] = {{0, 0x1f},        {0x7f, 0x9f},     {0x200b, 0x200f},
                                      {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (c >= bad[i][0] && c <= bad[i][1])
            return false;
    return true;
}

size_t text_escape(struct sbuf *b, struct slice text)
{
    size_t columns = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t c = 0;
        const unsigned char *p = (const unsigned char *)text.p + i;
        size_t len = utf8_at(p, text.n - i, &c);
        if (len && is_harmless(c)) {
            sbuf_add(b, p, len);
            columns++;
            i += len;
            continue;
        }
        for (size_t end = i + (len ? len : 1); i < end; i++, columns += 4)
            sbuf_addf(b, "\\x%02x", (unsigned)(unsigned char)text.p[i]);
    }
    return columns;
}

void text_print(FILE *f, const char *text)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    text_escape(&b, slice_of(text));
    (void)fwrite(sbuf_z(&b), 1, b.n, f);
    sbuf_finish(&b);
}

/* ---- cells ---- */

/* An object in a list is its first member, and its second one behind it: gemini=3,
 * veo@us-central1-... */
static void cell_pair(struct sbuf *b, const cJSON *o)
{
    const cJSON *first = o->child, *second = first ? first->next : NULL;
    char text[QUANTITY_TEXT];
    if (first && cJSON_IsString(first))
        sbuf_adds(b, first->valuestring);
    if (!second)
        return;
    if (cJSON_IsNumber(second))
        sbuf_addf(b, "=%s", weight_print(second->valuedouble, text));
    else if (cJSON_IsString(second) && *second->valuestring)
        sbuf_addf(b, " at %s", second->valuestring);
}

static void cell_list(struct sbuf *b, const cJSON *v)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, v)
    {
        if (b->n)
            sbuf_adds(b, cJSON_IsString(item) ? "," : ", ");
        if (cJSON_IsString(item))
            sbuf_adds(b, item->valuestring);
        else if (cJSON_IsObject(item))
            cell_pair(b, item);
    }
    if (!b->n)
        sbuf_adds(b, "-");
}

static void cell_time(struct sbuf *b, int64_t at, int64_t now_s, bool is_left)
{
    char text[QUANTITY_TEXT];
    if (at == 0)
        sbuf_adds(b, "-");
    else if (!is_left)
        sbuf_adds(b, clock_format_utc(at, text, sizeof text));
    else if (at <= now_s)
        sbuf_adds(b, "over");
    else
        sbuf_adds(b, duration_print(at - now_s, text));
}

static void cell_number(struct sbuf *b, enum column_kind kind, double d, int64_t now_s)
{
    char text[QUANTITY_TEXT];
    int64_t n = fabs(d) < 9e15 ? (int64_t)d : 0;
    if (kind == COLUMN_TIME || kind == COLUMN_UNTIL)
        cell_time(b, n, now_s, kind == COLUMN_UNTIL);
    else if (kind == COLUMN_QUANTITY)
        sbuf_adds(b, n ? quantity_print(n, text) : "-");
    else if (kind == COLUMN_PERCENT)
        sbuf_addf(b, "%.1f%%", d);
    else
        sbuf_adds(b, weight_print(d, text));
}

static void cell_text(struct sbuf *b, const struct column *c, const cJSON *v, int64_t now_s)
{
    if (cJSON_IsString(v))
        sbuf_adds(b, *v->valuestring ? v->valuestring : "-");
    else if (cJSON_IsBool(v))
        sbuf_adds(b, cJSON_IsTrue(v) ? "yes" : "no");
    else if (cJSON_IsArray(v))
        cell_list(b, v);
    else if (cJSON_IsNumber(v))
        cell_number(b, c->kind, v->valuedouble, now_s);
    else
        sbuf_adds(b, "-");
}

/* The escaped cell; returns its columns. */
static size_t cell(struct sbuf *out, const struct column *c, const cJSON *row, int64_t now_s)
{
    struct sbuf raw;
    sbuf_init(&raw, 1 << 16);
    cell_text(&raw, c, cJSON_GetObjectItemCaseSensitive(row, c->key), now_s);
    sbuf_clear(out);
    size_t columns = text_escape(out, sbuf_slice(&raw));
    sbuf_finish(&raw);
    return columns;
}

static bool is_right(enum column_kind k)
{
    return k == COLUMN_NUMBER || k == COLUMN_QUANTITY || k == COLUMN_WEIGHT || k == COLUMN_PERCENT;
}

static void pad(FILE *f, size_t n)
{
    while (n--)
        fputc(' ', f);
}

static void put_cell(FILE *f, const struct column *c, size_t width, size_t taken, const char *text)
{
    size_t gap = width > taken ? width - taken : 0;
    bool is_last = c[1].key == NULL;
    if (is_right(c->kind))
        pad(f, gap);
    fputs(text, f);
    if (!is_right(c->kind) && !is_last)
        pad(f, gap);
    fputs(is_last ? "\n" : "  ", f);
}

void table_print(FILE *f, const struct column *columns, const cJSON *rows, int64_t now_s)
{
    size_t width[COLUMNS_MAX] = {0};
    struct sbuf b;
    sbuf_init(&b, 1 << 18);
    for (size_t i = 0; columns[i].key; i++) {
        CHECK(i < COLUMNS_MAX);
        width[i] = strlen(columns[i].title);
        const cJSON *row;
        cJSON_ArrayForEach(row, rows)
        {
            size_t n = cell(&b, &columns[i], row, now_s);
            width[i] = n > width[i] ? n : width[i];
        }
    }
    for (size_t i = 0; columns[i].key; i++)
        put_cell(f, &columns[i], width[i], strlen(columns[i].title), columns[i].title);
    const cJSON *row;
    cJSON_ArrayForEach(row, rows) for (size_t i = 0; columns[i].key; i++)
    {
        size_t n = cell(&b, &columns[i], row, now_s);
        put_cell(f, &columns[i], width[i], n, sbuf_z(&b));
    }
    sbuf_finish(&b);
}

void table_line(struct sbuf *out, const struct column *columns, const cJSON *row, int64_t now_s)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 18);
    for (size_t i = 0; columns[i].key; i++) {
        size_t least = columns[i].kind == COLUMN_TIME ? 20 : is_right(columns[i].kind) ? 6 : 14;
        size_t n = cell(&b, &columns[i], row, now_s);
        for (size_t pads = n; is_right(columns[i].kind) && pads < least; pads++)
            sbuf_addc(out, ' ');
        sbuf_add_slice(out, sbuf_slice(&b));
        for (; !is_right(columns[i].kind) && n < least && columns[i + 1].key; n++)
            sbuf_addc(out, ' ');
        sbuf_adds(out, columns[i + 1].key ? "  " : "");
    }
    sbuf_finish(&b);
}

void record_print(FILE *f, const struct column *columns, const cJSON *row, int64_t now_s)
{
    int width = 0;
    for (size_t i = 0; columns[i].key; i++)
        width = (int)strlen(columns[i].title) > width ? (int)strlen(columns[i].title) : width;
    struct sbuf b;
    sbuf_init(&b, 1 << 18);
    for (size_t i = 0; columns[i].key; i++) {
        cell(&b, &columns[i], row, now_s);
        fprintf(f, "%-*s  %s\n", width, columns[i].title, sbuf_z(&b));
    }
    sbuf_finish(&b);
}

bool out_is_unread(FILE *f)
{
    struct pollfd p = {.fd = fileno(f)};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* ---- JSON ---- */

static void json_string(struct sbuf *b, struct slice s)
{
    sbuf_addc(b, '"');
    for (size_t i = 0; i < s.n;) {
        uint32_t c = 0;
        size_t len = utf8_at((const unsigned char *)s.p + i, s.n - i, &c);
        if (len == 0) {
            c = 0xfffd;
            len = 1;
        }
        if (c == '"' || c == '\\')
            sbuf_addf(b, "\\%c", (int)c);
        else if (c >= 0x20 && c < 0x7f)
            sbuf_addc(b, (char)c);
        else if (c < 0x10000)
            sbuf_addf(b, "\\u%04x", c);
        else
            sbuf_addf(b, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
        i += len;
    }
    sbuf_addc(b, '"');
}

static void json_number(struct sbuf *b, double d)
{
    if (isfinite(d) && fabs(d) < 9007199254740992.0 && !((double)(int64_t)d < d) &&
        !((double)(int64_t)d > d))
        sbuf_add_i64(b, (int64_t)d);
    else if (isfinite(d))
        sbuf_addf(b, "%.15g", d);
    else
        sbuf_adds(b, "null");
}

static void json_scalar(struct sbuf *b, const cJSON *v)
{
    if (cJSON_IsString(v))
        json_string(b, slice_of(v->valuestring));
    else if (cJSON_IsNumber(v))
        json_number(b, v->valuedouble);
    else
        sbuf_adds(b, cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false" : "null");
}

static void newline(struct sbuf *b, int depth)
{
    if (depth < 0)
        return;
    sbuf_addc(b, '\n');
    for (int i = 0; i < depth; i++)
        sbuf_adds(b, "  ");
}

/* Walks by pointers and a stack of the boxes around: answers from the socket come through here too.
 * Deeper ones are cut. */
#define JSON_DEPTH_MAX 64
struct walk {
    struct sbuf *b;
    const cJSON *boxes[JSON_DEPTH_MAX];
    int depth;
    bool is_indented;
};

static void walk_line(struct walk *w)
{
    newline(w->b, w->is_indented ? w->depth : -1);
}

/* Writes V, or its opening bracket; returns the first value inside, or NULL when V is done. */
static const cJSON *walk_value(struct walk *w, const cJSON *v)
{
    bool is_object = cJSON_IsObject(v);
    if (w->depth && cJSON_IsObject(w->boxes[w->depth - 1])) {
        json_string(w->b, slice_of(v->string));
        sbuf_adds(w->b, w->is_indented ? ": " : ":");
    }
    if (!is_object && !cJSON_IsArray(v)) {
        json_scalar(w->b, v);
        return NULL;
    }
    if (!v->child || w->depth == JSON_DEPTH_MAX) {
        sbuf_adds(w->b, is_object ? "{}" : "[]");
        return NULL;
    }
    sbuf_addc(w->b, is_object ? '{' : '[');
    w->boxes[w->depth++] = v;
    walk_line(w);
    return v->child;
}

/* V is done: closes what ends with it; returns the next value, NULL at the end of all. */
static const cJSON *walk_next(struct walk *w, const cJSON *v)
{
    while (w->depth && !v->next) {
        v = w->boxes[--w->depth];
        walk_line(w);
        sbuf_addc(w->b, cJSON_IsObject(v) ? '}' : ']');
    }
    if (w->depth == 0)
        return NULL;
    sbuf_addc(w->b, ',');
    walk_line(w);
    return v->next;
}

static void json_write(struct sbuf *b, const cJSON *v, bool is_indented)
{
    struct walk w = {.b = b, .is_indented = is_indented};
    while (v) {
        const cJSON *inside = walk_value(&w, v);
        v = inside ? inside : walk_next(&w, v);
    }
}

void json_print(FILE *f, const cJSON *v)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 28);
    json_write(&b, v, true);
    sbuf_addc(&b, '\n');
    (void)fwrite(sbuf_z(&b), 1, b.n, f);
    sbuf_finish(&b);
}

void json_compact(struct sbuf *b, const cJSON *v)
{
    json_write(b, v, false);
}

static cJSON *must(cJSON *v)
{
    CHECK(v != NULL);
    return v;
}

cJSON *json_object(void)
{
    return must(cJSON_CreateObject());
}

cJSON *json_array(void)
{
    return must(cJSON_CreateArray());
}

void json_add(cJSON *o, const char *key, cJSON *v)
{
    CHECK(cJSON_AddItemToObject(o, key, must(v)));
}

void json_push(cJSON *array, cJSON *v)
{
    CHECK(cJSON_AddItemToArray(array, must(v)));
}

void json_text(cJSON *o, const char *key, struct slice s)
{
    char *z = s.p ? mem_dupn(s.p, s.n) : NULL;
    json_z(o, key, z);
    mem_free(z);
}

void json_z(cJSON *o, const char *key, const char *z)
{
    json_add(o, key, z ? cJSON_CreateString(z) : cJSON_CreateNull());
}

void json_int(cJSON *o, const char *key, int64_t n)
{
    json_add(o, key, cJSON_CreateNumber((double)n));
}

void json_real(cJSON *o, const char *key, double d)
{
    json_add(o, key, cJSON_CreateNumber(d));
}

void json_flag(cJSON *o, const char *key, bool is_set)
{
    json_add(o, key, cJSON_CreateBool(is_set));
}

const char *json_get_z(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? v->valuestring : "";
}
