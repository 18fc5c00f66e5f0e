/* Cells: the one place where text becomes columns. */
#include "ui/canvas.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <wchar.h>

void canvas_init(struct canvas *c)
{
    *c = (struct canvas){0};
}

void canvas_finish(struct canvas *c)
{
    mem_free(c->cells);
    *c = (struct canvas){0};
}

static int clamp(int n, int least, int most)
{
    if (n < least)
        return least;
    return n > most ? most : n;
}

bool canvas_reset(struct canvas *c, int width, int height)
{
    width = clamp(width, 1, CANVAS_WIDTH_MAX);
    height = clamp(height, 1, CANVAS_HEIGHT_MAX);
    if (width != c->width || height != c->height) {
        struct cell *more = mem_realloc(c->cells, (size_t)width * (size_t)height * sizeof *more);
        if (!more)
            return false;
        c->cells = more;
        c->width = width;
        c->height = height;
    }
    canvas_blank(c, 0, 0, width, height);
    return true;
}

static struct cell *cell_at(struct canvas *c, int y, int x)
{
    if (y < 0 || x < 0 || y >= c->height || x >= c->width)
        return NULL;
    return &c->cells[(size_t)y * (size_t)c->width + (size_t)x];
}

static void set(struct canvas *c, int y, int x, uint8_t style, uint32_t ch)
{
    struct cell *at = cell_at(c, y, x);
    if (at)
        *at = (struct cell){ch, style};
}

/* ---- text ---- */

/* The next character of TEXT from *AT on, as it may be shown. */
static uint32_t next_char(struct slice text, size_t *at, bool is_utf8)
{
    unsigned char lead = (unsigned char)text.p[(*at)++];
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f ? lead : '?';
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t ch = lead & (0x3fU >> more);
    if (lead < 0xc2 || lead > 0xf4)
        return '?';
    for (; more > 0 && *at < text.n && ((unsigned char)text.p[*at] & 0xc0) == 0x80; more--)
        ch = ch << 6 | ((unsigned char)text.p[(*at)++] & 0x3f);
    bool is_odd = ch < 0xa0 || (ch >= 0xd800 && ch < 0xe000) || ch > 0x10ffff ||
                  (ch >= 0x200b && ch <= 0x200f) || (ch >= 0x202a && ch <= 0x202e) ||
                  (ch >= 0x2066 && ch <= 0x2069);
    return more == 0 && is_utf8 && !is_odd && wcwidth((wchar_t)ch) == 1 ? ch : '?';
}

int text_columns(struct slice text, bool is_utf8)
{
    int n = 0;
    for (size_t at = 0; at < text.n; n++)
        (void)next_char(text, &at, is_utf8);
    return n;
}

int canvas_put(struct canvas *c, int y, int x, int width, uint8_t style, struct slice text)
{
    int used = 0;
    size_t at = 0;
    while (at < text.n && used < width) {
        uint32_t ch = next_char(text, &at, c->is_utf8);
        bool is_cut = used + 1 == width && at < text.n;
        set(c, y, x + used, style, is_cut ? '~' : ch);
        used++;
    }
    return used;
}

int canvas_putf(struct canvas *c, int y, int x, int width, uint8_t style, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return canvas_put(c, y, x, width, style, slice_of(text));
}

int canvas_put_right(struct canvas *c, int y, int x, int width, uint8_t style, struct slice text)
{
    int n = text_columns(text, c->is_utf8);
    int skip = n < width ? width - n : 0;
    return skip + canvas_put(c, y, x + skip, width - skip, style, text);
}

int canvas_put_keys(struct canvas *c, int y, int x, int width, struct slice text)
{
    int used = 0;
    uint8_t style = STYLE_PLAIN;
    while (text.n && used < width) {
        size_t cut = slice_find(text, style == STYLE_KEY ? '}' : '{', 0);
        used += canvas_put(c, y, x + used, width - used, style, slice_sub(text, 0, cut));
        if (cut == text.n)
            break;
        text = slice_sub(text, cut + 1, text.n);
        style = style == STYLE_KEY ? STYLE_PLAIN : STYLE_KEY;
    }
    return used;
}

void canvas_style(struct canvas *c, int y, int x, int width, uint8_t style)
{
    for (int i = 0; i < width; i++) {
        struct cell *at = cell_at(c, y, x + i);
        if (at)
            at->style = style;
    }
}

void canvas_reverse(struct canvas *c, int y, int x, int width)
{
    for (int i = 0; i < width; i++) {
        struct cell *at = cell_at(c, y, x + i);
        if (at)
            at->style |= STYLE_REVERSE;
    }
}

void canvas_blank(struct canvas *c, int y, int x, int width, int height)
{
    for (int i = 0; i < height; i++)
        for (int k = 0; k < width; k++)
            set(c, y + i, x + k, STYLE_PLAIN, ' ');
}

/* ---- figures ---- */

void canvas_bar(struct canvas *c, int y, int x, int width, uint8_t style, double part)
{
    double limited = part > 0 ? part < 1 ? part : 1 : 0; /* NaN is nothing */
    int eighths = (int)(limited * width * 8 + 0.5);
    for (int i = 0; i < width; i++) {
        int here = clamp(eighths - i * 8, 0, 8);
        uint32_t ch = here >= 4 ? '#' : '.';
        if (c->is_utf8)
            ch = here == 0 ? 0xb7 : 0x2590u - (uint32_t)here; /* middle dot; eighths of a block */
        set(c, y, x + i, here ? style : STYLE_DIM, ch);
    }
}

void canvas_spark(struct canvas *c, int y, int x, int width, uint8_t style, const uint32_t *values,
                  int n, uint32_t most)
{
    static const char steps[] = "_.-=+*#";
    int from = n > width ? n - width : 0;
    for (int i = from; i < n && !most; i++)
        most = values[i] > most ? values[i] : most;
    for (int i = from; i < n && most == 0; i++)
        most = 1;
    for (int i = from; i < n; i++)
        if (values[i] > most)
            most = values[i];
    for (int i = from; i < n; i++) {
        uint64_t v = values[i];
        uint32_t ch = (uint32_t)(unsigned char)steps[(v * 6 + most - 1) / most];
        if (c->is_utf8)
            ch = v ? 0x2580u + (uint32_t)((v * 8 + most - 1) / most) : ' ';
        set(c, y, x + i - from, style, ch);
    }
}

void canvas_box(struct canvas *c, int y, int x, int width, int height, struct slice title)
{
    static const uint32_t lines[2][6] = {{'-', '|', '+', '+', '+', '+'},
                                         {0x2500, 0x2502, 0x250c, 0x2510, 0x2514, 0x2518}};
    const uint32_t *l = lines[c->is_utf8];
    for (int i = 1; i < width - 1; i++) {
        set(c, y, x + i, STYLE_PLAIN, l[0]);
        set(c, y + height - 1, x + i, STYLE_PLAIN, l[0]);
    }
    for (int i = 1; i < height - 1; i++) {
        set(c, y + i, x, STYLE_PLAIN, l[1]);
        set(c, y + i, x + width - 1, STYLE_PLAIN, l[1]);
    }
    set(c, y, x, STYLE_PLAIN, l[2]);
    set(c, y, x + width - 1, STYLE_PLAIN, l[3]);
    set(c, y + height - 1, x, STYLE_PLAIN, l[4]);
    set(c, y + height - 1, x + width - 1, STYLE_PLAIN, l[5]);
    if (title.n && width > 6) {
        int n = canvas_put(c, y, x + 3, width - 6, STYLE_TITLE, title);
        set(c, y, x + 2, STYLE_PLAIN, ' ');
        set(c, y, x + 3 + n, STYLE_PLAIN, ' ');
    }
}

/* ---- as text ---- */

static void add_char(struct sbuf *out, uint32_t ch)
{
    if (ch < 0x80) {
        sbuf_addc(out, (char)ch);
        return;
    }
    char bytes[4];
    size_t n = ch < 0x800 ? 2 : ch < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (ch & 0x3f));
        ch >>= 6;
    }
    bytes[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | ch);
    sbuf_add(out, bytes, n);
}

void canvas_line(const struct canvas *c, int y, struct sbuf *out)
{
    const struct cell *row = &c->cells[(size_t)y * (size_t)c->width];
    int n = c->width;
    while (n > 0 && row[n - 1].ch == ' ')
        n--;
    for (int i = 0; i < n; i++)
        add_char(out, row[i].ch);
}

void canvas_print(const struct canvas *c, struct sbuf *out)
{
    int lines = 0;
    for (int i = 0; i < c->width * c->height; i++)
        if (c->cells[i].ch != ' ')
            lines = i / c->width + 1;
    for (int y = 0; y < lines; y++) {
        canvas_line(c, y, out);
        sbuf_addc(out, '\n');
    }
}
