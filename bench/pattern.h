/* Bodies of the load and the origin: a byte's value follows from its place, so that a byte that is
 * lost, doubled or moved shows. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    PATTERN_PERIOD = 61, /* prime: no buffer's size is a multiple of it */
    MESSAGE_BYTES = 16384,
    MESSAGE_HEAD = 5, /* of a message of gRPC: no compression, its length */
};

static inline void pattern_fill(char *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)('0' + i % PATTERN_PERIOD);
}

/** What stands from OFFSET of a body on; PERIOD holds PATTERN_PERIOD bytes more than are used. */
static inline const char *pattern_at(const char *period, uint64_t offset)
{
    return period + offset % PATTERN_PERIOD;
}

/** N bytes from OFFSET on of messages as gRPC has them, their payload the pattern. */
static inline void messages_fill(char *to, const char *period, uint64_t offset, size_t n)
{
    enum {
        PAYLOAD = MESSAGE_BYTES - MESSAGE_HEAD
    };
    static const char head[MESSAGE_HEAD] = {0, 0, 0, PAYLOAD >> 8, (char)(PAYLOAD & 255)};
    for (size_t i = 0; i < n;) {
        size_t at = (size_t)((offset + i) % MESSAGE_BYTES), left = MESSAGE_BYTES - at;
        size_t take = at < MESSAGE_HEAD ? 1 : left < n - i ? left : n - i;
        if (at < MESSAGE_HEAD)
            to[i] = head[at];
        else
            memcpy(to + i, pattern_at(period, offset + i), take);
        i += take;
    }
}
#endif
