/* Percent signs, byte by byte: shared by the query and the scan. */
#ifndef AUTH_PERCENT_H
#define AUTH_PERCENT_H
#include "base/slice.h"

/** The byte at *I, decoded once; moves *I behind it. A percent sign without two digits stands for
 * itself. */
static inline char percent_next(struct slice s, size_t *i)
{
    char c = s.p[(*i)++];
    if (c != '%' || s.n - *i < 2)
        return c;
    int hi = hex_value(s.p[*i]), lo = hex_value(s.p[*i + 1]);
    if (hi < 0 || lo < 0)
        return c;
    *i += 2;
    return (char)(unsigned char)(hi * 16 + lo);
}

#endif
