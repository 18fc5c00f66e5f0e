/* The growing buffer with a maximum. */
#include "base/sbuf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void sbuf_init(struct sbuf *b, size_t max)
{
    *b = (struct sbuf){.max = max};
}

void sbuf_finish(struct sbuf *b)
{
    mem_free(b->p);
    *b = (struct sbuf){.max = b->max};
}

void sbuf_finish_wipe(struct sbuf *b)
{
    mem_wipe(b->p, b->size);
    sbuf_finish(b);
}

char *sbuf_reserve(struct sbuf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n > b->max || b->n > b->max - n) {
        b->failed = true;
        return NULL;
    }
    if (b->size - b->n <= n) { /* one more than asked, for sbuf_z's NUL */
        size_t size = b->size ? b->size : 64;
        while (size - b->n <= n)
            size *= 2;
        /* Not realloc: what was here may be secret, and must not stay behind in a freed block. */
        char *p = mem_alloc(size);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        if (b->n)
            memcpy(p, b->p, b->n);
        mem_wipe(b->p, b->n);
        mem_free(b->p);
        b->p = p;
        b->size = size;
    }
    return b->p + b->n;
}

void sbuf_add_slow(struct sbuf *b, const void *p, size_t n)
{
    char *to = sbuf_reserve(b, n);
    if (!to)
        return;
    memcpy(to, p, n);
    b->n += n;
}

void sbuf_add_u64(struct sbuf *b, uint64_t v)
{
    char tmp[20];
    size_t at = sizeof tmp;
    do {
        tmp[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    sbuf_add(b, tmp + at, sizeof tmp - at);
}

void sbuf_add_i64(struct sbuf *b, int64_t v)
{
    if (v < 0)
        sbuf_addc(b, '-');
    sbuf_add_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void sbuf_addf(struct sbuf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *to = n < 0 ? NULL : sbuf_reserve(b, (size_t)n); /* leaves one byte for the NUL */
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

static void add_escaped(struct sbuf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (c == '"' || c == '\\') {
        esc[1] = (char)c;
        sbuf_add(b, esc, 2);
    } else {
        sbuf_add(b, esc, sizeof esc);
    }
}

void sbuf_add_json(struct sbuf *b, struct slice s)
{
    sbuf_addc(b, '"');
    for (size_t i = 0; i < s.n;) {
        size_t end = slice_json_plain(s, i);
        sbuf_add(b, s.p + i, end - i);
        if (end < s.n)
            add_escaped(b, (unsigned char)s.p[end++]);
        i = end;
    }
    sbuf_addc(b, '"');
}

const char *sbuf_z(struct sbuf *b)
{
    if (!b->p)
        return "";
    b->p[b->n] = '\0'; /* sbuf_reserve always leaves one byte */
    return b->p;
}
