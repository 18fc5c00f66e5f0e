/* A borrowed run of bytes: never NUL-terminated, never owned. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit) ((struct slice){"" lit, sizeof(lit) - 1})
#define SLICE_FMT(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *z)
{
    return (struct slice){z, z ? strlen(z) : 0};
}
static inline struct slice slice_make(const void *p, size_t n)
{
    return (struct slice){p, n};
}
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}
/** -1: no digit. */
static inline int hex_value(char c)
{
    c = ascii_lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/** Exact bytes. */
bool slice_eq(struct slice a, struct slice b);
/** ASCII letters compare without case; no locale. */
bool slice_ieq(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_istarts(struct slice s, struct slice prefix);
/** Index of the first C from FROM on, or s.n. */
size_t slice_find(struct slice s, char c, size_t from);
/** Index of NEEDLE in S, or s.n. */
size_t slice_search(struct slice s, struct slice needle);
/** Where the run of printable ASCII (0x20..0x7e) that begins at FROM ends: an index, or s.n. */
size_t slice_printable(struct slice s, size_t from);
/** The same without the quote and the backslash: what a JSON string holds as it is. */
size_t slice_json_plain(struct slice s, size_t from);
/** The same without the space and #%?\: what means itself in a path to every server. */
size_t slice_path_plain(struct slice s, size_t from);
/** Bytes from..to; both are clamped. */
struct slice slice_sub(struct slice s, size_t from, size_t to);
/** Without spaces and tabs at either end. */
struct slice slice_trim(struct slice s);
/** Cuts the next token up to SEP off *REST; false when nothing is left. Empty tokens are returned.
 */
bool slice_next(struct slice *rest, char sep, struct slice *ret_token);
/** Decimal digits only (1..19 of them), no sign or space. */
bool slice_to_u64(struct slice s, uint64_t *ret);
/** Copies into BUF of SIZE with a NUL; false (BUF untouched) when it does not fit or holds a NUL.
 */
bool slice_copy(struct slice s, char *buf, size_t size);
/** Matches a pattern in which each * stands for any run of bytes (also none); no other magic,
 * linear in practice. */
bool slice_glob(struct slice pattern, struct slice s);

#endif
