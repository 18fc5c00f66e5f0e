/* Percent signs, byte by byte: shared by the query and the scan. */
#ifndef AUTH_PERCENT_H
#define AUTH_PERCENT_H
#include "base/slice.h"

static inline int percent_hex(char c)
{
    c = ascii_lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** The byte at *I, decoded once; moves *I behind it. A percent sign without two digits stands for
 * itself. */
static inline char percent_next(struct slice s, size_t *i)
{
    char c = s.p[(*i)++];
    if (c != '%' || s.n - *i < 2)
        return c;
    int hi = percent_hex(s.p[*i]), lo = percent_hex(s.p[*i + 1]);
    if (hi < 0 || lo < 0)
        return c;
    *i += 2;
    return (char)(unsigned char)(hi * 16 + lo);
}

#endif
