/* Words about borrowed bytes. Pure. */
#include "base/slice.h"

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq((struct slice){s.p, prefix.n}, prefix);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_ieq((struct slice){s.p, prefix.n}, prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq((struct slice){s.p + s.n - suffix.n, suffix.n}, suffix);
}

size_t slice_find(struct slice s, char c, size_t from)
{
    if (from >= s.n)
        return s.n;
    const char *hit = memchr(s.p + from, c, s.n - from);
    return hit ? (size_t)(hit - s.p) : s.n;
}

size_t slice_search(struct slice s, struct slice needle)
{
    if (needle.n == 0)
        return 0;
    if (s.n < needle.n)
        return s.n;
    const char *hit = memmem(s.p, s.n, needle.p, needle.n);
    return hit ? (size_t)(hit - s.p) : s.n;
}

/* The high bits of those among eight bytes that may be no printable ASCII; 0: all are. With no
 * high bit set, a subtraction sets one for each byte that is too small, and for each that is DEL
 * once turned around. */
static inline uint64_t odd_bytes(const char *p)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return ((w - ones * 0x20) | ((w ^ ones * 0x7f) - ones) | w) & (ones * 0x80);
}

size_t slice_printable(struct slice s, size_t from)
{
    size_t i = from;
    while (i + 32 <= s.n && !(odd_bytes(s.p + i) | odd_bytes(s.p + i + 8) |
                              odd_bytes(s.p + i + 16) | odd_bytes(s.p + i + 24)))
        i += 32;
    while (i + 8 <= s.n && !odd_bytes(s.p + i))
        i += 8;
    while (i < s.n && s.p[i] >= 0x20 && s.p[i] < 0x7f)
        i++;
    return i;
}

struct slice slice_sub(struct slice s, size_t from, size_t to)
{
    if (to > s.n)
        to = s.n;
    if (from > to)
        from = to;
    return (struct slice){from ? s.p + from : s.p, to - from}; /* .p may be NULL */
}

struct slice slice_trim(struct slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = (struct slice){s.p + 1, s.n - 1};
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool slice_next(struct slice *rest, char sep, struct slice *ret_token)
{
    if (!rest->p)
        return false;
    size_t at = slice_find(*rest, sep, 0);
    *ret_token = (struct slice){rest->p, at};
    if (at == rest->n)
        *rest = (struct slice){NULL, 0};
    else
        *rest = (struct slice){rest->p + at + 1, rest->n - at - 1};
    return true;
}

bool slice_to_u64(struct slice s, uint64_t *ret)
{
    if (s.n == 0 || s.n > 19)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *ret = v;
    return true;
}

bool slice_copy(struct slice s, char *buf, size_t size)
{
    if (s.n >= size || (s.n && memchr(s.p, 0, s.n)))
        return false;
    if (s.n)
        memcpy(buf, s.p, s.n);
    buf[s.n] = '\0';
    return true;
}

bool slice_glob(struct slice pattern, struct slice s)
{
    size_t p = 0, i = 0, star = SIZE_MAX, mark = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = i;
        } else if (p < pattern.n && pattern.p[p] == s.p[i]) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}
