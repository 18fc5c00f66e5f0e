/* The conversation with the running daemon: questions over its socket, answered in its own time.
 * Never blocks. Connects again by itself, after 1, 2, 4 and then every 5 seconds. Text is ""
 * where the daemon knows none, never NULL. One thread. */
#ifndef VIEWS_FEED_H
#define VIEWS_FEED_H
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct feed;

struct feed_member {
    const char *pool, *account;
    int64_t window_s, requests, limited, errors, recent, open;
    int64_t held; /* workers that have its token in memory; -1 unknown */
};

#define FEED_RATE 60

/* What the daemon said last of itself. */
struct feed_figures {
    int64_t at_ms; /* our wall clock when it came; 0: never */
    char version[32], state[16], name[65];
    int64_t pid, uptime_s, connections, exchanges, generation;
    uint32_t rate[FEED_RATE]; /* requests a second, oldest first */
    int64_t requests_5m, errors_5m;
    int64_t ttfb_p50_ms, ttfb_p95_ms; /* -1 unknown */
    int64_t tokens_memory, tokens_store, mints, mint_failures, clock_skew_s;
    bool has_skew, writer_healthy;
    int64_t writer_queue;
    const struct feed_member *members;
    int member_count;
};

struct feed_attempt {
    const char *account, *reason;
    int64_t status;
};

struct feed_exchange {
    const char *id, *phase, *client, *peer, *account, *method, *host, *path, *model, *front, *back;
    int64_t conn, age_ms, status, up, down;
    int64_t route_ms, token_ms, sent_ms, first_ms; /* since it began; -1 not yet */
    const struct feed_attempt *attempts;
    int attempt_count;
};

struct feed_live {
    int64_t at_ms, total;
    const struct feed_exchange *rows; /* oldest first */
    int count;
};

struct feed_refusal {
    const char *peer, *host, *why;
    int64_t times, last_at;
};

struct feed_trust {
    int64_t at_ms, ok_24h, refused_24h;
    const struct feed_refusal *rows;
    int count;
};

struct feed_leaf {
    const char *host;
    int64_t expires_at, signed_at, hits;
};

struct feed_leaves {
    int64_t at_ms, cached, max, hits, signed_count;
    const struct feed_leaf *rows;
    int count;
};

enum feed_need {
    FEED_FIGURES = 1 << 0,
    FEED_LIVE = 1 << 1,
    FEED_TRUST = 1 << 2,
    FEED_LEAVES = 1 << 3
};

/** PATH of the socket; "" is one that is never there. */
enum err feed_create(const char *path, struct feed **ret) NODISCARD;
void feed_destroy(struct feed *f);
/** Asks for what NEEDS says, except what is awaited still; connects first, unless that failed just
 * now. */
void feed_ask(struct feed *f, unsigned needs);
/** Ends a request; the answer comes as feed_result. */
void feed_end(struct feed *f, const char *request_id);
/** Reads and writes what is possible now. True: something came, was lost, or is to be said
 * otherwise. */
bool feed_run(struct feed *f);
/** Does not wait any longer with the next try. */
void feed_retry(struct feed *f);
/** To be polled, -1 none; and for what (poll's events). */
int feed_fd(const struct feed *f, short *ret_events);
/** When feed_run wants to be called at the latest, mono ms; 0: no need. */
uint64_t feed_due_ms(const struct feed *f);

bool feed_is_up(const struct feed *f);          /* it answered the last question */
bool feed_is_waiting(const struct feed *f);     /* for the answer to one */
const char *feed_problem(const struct feed *f); /* a sentence, "" when all is well */
int64_t feed_next_try_s(const struct feed *f);  /* seconds until it is tried again, 0 now */
/** Valid until the next feed_run; they stay when the daemon goes, with their age. */
const struct feed_figures *feed_figures(const struct feed *f);
const struct feed_live *feed_live(const struct feed *f);
const struct feed_trust *feed_trust(const struct feed *f);
const struct feed_leaves *feed_leaves(const struct feed *f);
/** What became of feed_end, once: a sentence, or NULL. */
const char *feed_result(struct feed *f, bool *ret_ok);

#endif
