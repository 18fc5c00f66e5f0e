/* Bodies of the load and the origin: a byte's value follows from its place, so that a byte that is
 * lost, doubled or moved shows. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_PERIOD = 61 /* prime: no buffer's size is a multiple of it */
};

static inline void pattern_fill(char *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)('0' + i % PATTERN_PERIOD);
}

/** What stands from OFFSET of a body on; FILLER holds PATTERN_PERIOD bytes more than are used. */
static inline const char *pattern_at(const char *filler, uint64_t offset)
{
    return filler + offset % PATTERN_PERIOD;
}
#endif
