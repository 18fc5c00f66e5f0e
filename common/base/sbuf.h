/* A growing byte buffer with a maximum from birth. Adding past the maximum (or without memory) sets
 * `failed` and adds nothing more, so that a writer checks once at the end. */
#ifndef BASE_SBUF_H
#define BASE_SBUF_H
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct sbuf {
    char *p;
    size_t n, size, max;
    bool failed;
};

/** Owns nothing yet. MAX in bytes. */
void sbuf_init(struct sbuf *b, size_t max);
/** Frees and empties; WIPE variants overwrite first (for buffers that held secrets). */
void sbuf_finish(struct sbuf *b);
void sbuf_finish_wipe(struct sbuf *b);
static inline void sbuf_clear(struct sbuf *b)
{
    b->n = 0;
    b->failed = false;
}
void sbuf_add_slow(struct sbuf *b, const void *p, size_t n);
/** What fits is one copy; the rest grows. */
static inline void sbuf_add(struct sbuf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (b->failed || n >= b->size - b->n || n > b->max - b->n) {
        sbuf_add_slow(b, p, n);
        return;
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}
static inline void sbuf_addc(struct sbuf *b, char c)
{
    sbuf_add(b, &c, 1);
}
static inline void sbuf_adds(struct sbuf *b, const char *z)
{
    sbuf_add(b, z, strlen(z));
}
static inline void sbuf_add_slice(struct sbuf *b, struct slice s)
{
    sbuf_add(b, s.p, s.n);
}
void sbuf_add_u64(struct sbuf *b, uint64_t v);
void sbuf_add_i64(struct sbuf *b, int64_t v);
void sbuf_addf(struct sbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** A JSON string with its quotes; every byte outside printable ASCII is escaped, so it is safe in
 * logs and on terminals. */
void sbuf_add_json(struct sbuf *b, struct slice s);
/** Room for N more bytes, to be filled and then counted by sbuf_commit; NULL (and failed) when over
 * the maximum. */
char *sbuf_reserve(struct sbuf *b, size_t n);
static inline void sbuf_commit(struct sbuf *b, size_t n)
{
    b->n += n;
}
/** NUL-terminated text; "" when failed before anything was added. Valid until the next call. */
const char *sbuf_z(struct sbuf *b);
static inline struct slice sbuf_slice(const struct sbuf *b)
{
    return (struct slice){b->p, b->n};
}

#endif
