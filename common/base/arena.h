/* Memory that dies together: a request's strings. Chunks come from a per-thread cache, so that a
 * request in a steady state touches the heap not at all. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include "base/slice.h"

#define ARENA_CHUNK 8192

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
    size_t used; /* of the first chunk */
    size_t total, max;
};

/** Owns nothing yet; at most MAX bytes in all. */
void arena_init(struct arena *a, size_t max);
/** Aligned to 16, not zeroed; NULL over the maximum or without memory. Lives until arena_finish. */
void *arena_alloc(struct arena *a, size_t n);
/** Copy with a NUL behind it; .p NULL on failure. */
struct slice arena_dup(struct arena *a, struct slice s);
/** Frees all; what was here is wiped when WIPE (heads carry placeholders). */
void arena_finish(struct arena *a, bool wipe);
/** Gives the chunks that this thread keeps back to the heap; at the end of a thread. */
void arena_thread_finish(void);

#endif
