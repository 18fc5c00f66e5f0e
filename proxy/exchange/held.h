/* The body bytes that an exchange keeps: until there is somebody to send them to, and until it is
 * certain that they need not be sent again. They lie in the worker's chunks (a short body of known
 * length in one block of its own size), so that a long body costs neither growth nor fresh pages.
 */
#ifndef EXCHANGE_HELD_H
#define EXCHANGE_HELD_H
#include "base/sbuf.h"
#include "net/loop.h"

struct held {
    struct loop *loop;   /* whose chunks */
    struct sbuf whole;   /* the bytes before the first chunk's */
    struct chunk *first; /* the rest */
    struct chunk *last;
    size_t n;    /* bytes kept */
    size_t sent; /* of them, before the cursor */
    struct chunk *at;
    size_t at_off; /* the cursor: in `whole` while `at` is NULL, else in at->data */
};

/** Empty. LOOP's chunks are used; all calls come from its thread. EXPECTED: the body's length, 0
 * when it is not known. */
void held_init(struct held *h, struct loop *loop, uint64_t expected);
/** Copies N bytes behind the others. False on no memory: what is held is then of no use. */
bool held_add(struct held *h, const void *p, size_t n) NODISCARD;
/** The next bytes behind the cursor that lie together, at most MAX; *RET is their address, valid
 * until the next call. 0: all are sent. */
size_t held_run(const struct held *h, size_t max, const char **ret);
/** Moves the cursor over N bytes of the last run. */
void held_advance(struct held *h, size_t n);
/** The cursor behind the last byte, and before the first. */
void held_skip_all(struct held *h);
void held_rewind(struct held *h);
/** Lets the bytes before the cursor go; returns how many. */
size_t held_forget_sent(struct held *h);
/** Wipes and lets all go; the rest of its life it is empty and may be used again. */
void held_drop(struct held *h);

static inline bool held_all_sent(const struct held *h)
{
    return h->sent == h->n;
}

#endif
