/* One structured line for each thing worth telling. Lines gather in a buffer of the thread and go
 * to a log thread, so that no worker waits for a disk or a pipe. Never give it a secret, a header
 * value or a body. */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
    LOG_TRACE
};

enum log_type {
    LOG_SLICE,
    LOG_U64,
    LOG_I64
};
struct log_kv {
    struct slice key;
    enum log_type type;
    union {
        struct slice s;
        uint64_t u;
        int64_t i;
    };
};
#define KV_S(k, ...)                                                                               \
    (struct log_kv)                                                                                \
    {                                                                                              \
        .key = SLICE(k), .type = LOG_SLICE, .s = (__VA_ARGS__)                                     \
    }
#define KV_Z(k, v) KV_S(k, slice_of(v))
#define KV_U(k, v)                                                                                 \
    (struct log_kv)                                                                                \
    {                                                                                              \
        .key = SLICE(k), .type = LOG_U64, .u = (uint64_t)(v)                                       \
    }
#define KV_I(k, v)                                                                                 \
    (struct log_kv)                                                                                \
    {                                                                                              \
        .key = SLICE(k), .type = LOG_I64, .i = (int64_t)(v)                                        \
    }

/** LOG(LOG_WARN, "tls_failed", KV_Z("reason", why), KV_U("conn", id)); values are escaped, keys and
 * events are literals. A slice without bytes is left out. */
#define LOG(level, event, ...)                                                                     \
    do {                                                                                           \
        if (log_wants(level)) {                                                                    \
            const struct log_kv kv_[] = {__VA_ARGS__};                                             \
            log_write(level, event, kv_, sizeof kv_ / sizeof *kv_);                                \
        }                                                                                          \
    } while (0)

/** FILE "-" is stderr; FORMAT json or logfmt. Thread: main, before others start. */
enum err log_open(const char *file, const char *level, const char *format,
                  struct errmsg *msg) NODISCARD;
/** Reopens the file by name (USR1, after logrotate). A failure keeps the old one. Thread: any. */
void log_reopen(void);
/** Level and format from now on (HUP). */
void log_set(const char *level, const char *format);
/** Lines go through a thread from now on; without it they are written at once. */
enum err log_thread_start(void) NODISCARD;
/** Writes what waits and ends the thread. */
void log_thread_stop(void);
bool log_wants(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_kv *kv, size_t count);
/** Hands this thread's lines over; each loop calls it a few times a second and before it ends. */
void log_flush(void);
/** Lines lost because nobody could write them fast enough. */
uint64_t log_dropped(void);
bool log_level_parse(const char *word, enum log_level *ret);

#endif
