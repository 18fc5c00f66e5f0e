/* Detail text of a screen. */
#include "views/lines.h"

size_t lines_fit(struct slice line, int width, bool is_utf8)
{
    size_t most = 4 * (size_t)(width > 0 ? width : 0) + 4; /* a character has four bytes at most */
    if (line.n <= most && text_columns(line, is_utf8) <= width)
        return line.n;
    size_t fits = 0, cut = 0;
    for (size_t i = 1; i <= line.n; i++) {
        bool is_inside = i < line.n && ((unsigned char)line.p[i] & 0xc0u) == 0x80;
        if (is_inside)
            continue;
        if (text_columns(slice_sub(line, 0, i), is_utf8) > width)
            break;
        fits = i;
        if (i < line.n && line.p[i] == ' ')
            cut = i;
    }
    if (cut > fits / 2 && fits < line.n) /* not where it would leave most of the line empty */
        return cut;
    return fits ? fits : line.n;
}

/* Returns the lines that it took; *REST is what had no room. */
static int draw_one(struct canvas *c, int y, int height, struct slice line, struct slice *rest)
{
    uint8_t style = slice_starts(line, SLICE("!")) ? STYLE_WARN : STYLE_PLAIN;
    size_t indent = 0;
    while (indent < line.n && (line.p[indent] == ' ' || line.p[indent] == '!'))
        indent++;
    int x = 1, n = 0;
    do {
        size_t fits = lines_fit(line, c->width - x, c->is_utf8);
        canvas_put(c, y + n, x, c->width - x, style, slice_sub(line, 0, fits));
        line = slice_trim(slice_sub(line, fits, line.n));
        x = 1 + (int)(indent < 8 ? indent : 8) + 2;
        n++;
    } while (line.n && n < height && c->width > x);
    *rest = line;
    return n;
}

int lines_draw(struct canvas *c, int y, int height, struct slice text)
{
    struct slice line, rest = {"", 0};
    int n = 0;
    while (n < height && text.n && slice_next(&text, '\n', &line))
        n += draw_one(c, y + n, height - n, line, &rest);
    while (text.n && (*text.p == '\n' || *text.p == ' '))
        text = slice_sub(text, 1, text.n);
    if (n > 0 && (rest.n || text.n)) {
        canvas_blank(c, y + n - 1, 0, c->width, 1);
        canvas_put(c, y + n - 1, 1, c->width - 1, STYLE_DIM, SLICE("... Enter shows more"));
    }
    return n;
}
