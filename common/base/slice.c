/* Words about borrowed bytes. Pure. */
#include "base/slice.h"

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static const uint64_t ones = 0x0101010101010101u;

static inline uint64_t load8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Eight bytes at once: where they differ, they differ in the bit of case alone and are letters. */
static inline bool word_ieq(const char *p, const char *q)
{
    uint64_t a = load8(p), differ = a ^ load8(q);
    if (differ == 0)
        return true;
    if (differ & ~(ones * 0x20))
        return false;
    uint64_t low = (a & ones * 0x7f) | ones * 0x20;
    uint64_t letters = (low + ones * (0x80 - 'a')) & ~(low + ones * (0x7f - 'z')) & ~a;
    return ((differ << 2) & ~letters) == 0;
}

bool slice_ieq(struct slice a, struct slice b)
{
    size_t i = 0;
    if (a.n != b.n)
        return false;
    for (; i + 8 <= a.n; i += 8)
        if (!word_ieq(a.p + i, b.p + i))
            return false;
    if (i < a.n && a.n >= 8)
        return word_ieq(a.p + a.n - 8, b.p + a.n - 8);
    for (; i < a.n; i++)
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

/* ---- runs of printable bytes ----
 * Sixteen or eight bytes at a time, in what gcc and clang make vector instructions of. As signed
 * numbers the bytes from 0x80 on are the smallest. */

typedef signed char bytes16 __attribute__((vector_size(16)));
typedef uint64_t words16 __attribute__((vector_size(16)));
typedef signed char bytes8 __attribute__((vector_size(8)));
typedef uint64_t word8 __attribute__((vector_size(8)));

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE bool is_odd(char c, char least, const char *without)
{
    bool odd = (signed char)c < least || c == 0x7f;
    for (; *without; without++)
        odd |= c == *without;
    return odd;
}

static ALWAYS_INLINE bool has_odd16(const char *p, char least, const char *without)
{
    bytes16 v;
    memcpy(&v, p, sizeof v);
    bytes16 odd = (v < (signed char)least) | (v == 0x7f);
    for (const char *c = without; *c; c++)
        odd |= v == (signed char)*c;
    words16 halves = (words16)odd;
    return (halves[0] | halves[1]) != 0;
}

static ALWAYS_INLINE bool has_odd8(const char *p, char least, const char *without)
{
    bytes8 v;
    memcpy(&v, p, sizeof v);
    bytes8 odd = (v < (signed char)least) | (v == 0x7f);
    for (const char *c = without; *c; c++)
        odd |= v == (signed char)*c;
    return ((word8)odd)[0] != 0;
}

/* Where the run of bytes from LEAST to 0x7e that are none of WITHOUT, which begins at FROM, ends.
 * Both are constants where this is used. */
static ALWAYS_INLINE size_t run_end(struct slice s, size_t from, char least, const char *without)
{
    size_t i = from;
    while (i + 16 <= s.n && !has_odd16(s.p + i, least, without))
        i += 16;
    if (i + 8 <= s.n && !has_odd8(s.p + i, least, without))
        i += 8;
    if (i < s.n && i + 8 > s.n && s.n - from >= 8 && !has_odd8(s.p + s.n - 8, least, without))
        return s.n; /* the last eight, some of them for the second time */
    while (i < s.n && !is_odd(s.p[i], least, without))
        i++;
    return i;
}

size_t slice_printable(struct slice s, size_t from)
{
    return run_end(s, from, ' ', "");
}

size_t slice_json_plain(struct slice s, size_t from)
{
    return run_end(s, from, ' ', "\"\\");
}

size_t slice_path_plain(struct slice s, size_t from)
{
    return run_end(s, from, '!', "#%?\\");
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
