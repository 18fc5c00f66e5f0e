/* The proxy's only writing connection, on a thread of its own: jobs are batched into transactions.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H
#include "base/err.h"
#include "base/seal.h"

#include <stdint.h>

struct store;
struct writer;

/** A job runs on the writer thread inside a transaction that other jobs share (at most 100 ms or
 * 512 jobs). RUN may use any store function; its error drops that job only, after logging. FREE_ARG
 * is called once, after RUN or when the queue is over its limit (usage and requests are droppable;
 * tokens and events are not: DROPPABLE says so). */
struct writer_job {
    enum err (*run)(struct store *s, void *arg);
    void (*free_arg)(void *arg);
    void *arg;
    bool droppable;
};

/** Opens its own connection to the store at PATH. KEY is referenced. */
enum err writer_start(const char *path, struct master_key *key, struct writer **ret,
                      struct errmsg *msg) NODISCARD;
/** Never blocks; takes ARG over in any case. Thread: any. */
void writer_post(struct writer *w, struct writer_job job);
/** Waits until all jobs posted before are committed or have failed, or TIMEOUT_MS. */
enum err writer_flush(struct writer *w, uint64_t timeout_ms) NODISCARD;
/** Flushes (5 s at most) and joins. */
void writer_stop(struct writer *w);

struct writer_stats {
    uint64_t jobs, dropped, failed, commits;
    uint64_t queue, oldest_ms; /* right now */
    bool is_healthy;           /* the last commit went through */
    int64_t last_error_at_ms;  /* Unix ms, 0 never */
    char last_error[200];      /* sentence of the last failed job or commit, "" never */
};
void writer_stats(struct writer *w, struct writer_stats *ret);

#endif
