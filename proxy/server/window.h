/* What the workers' tallies come to on main: for each account of each pool since its share last
 * changed, and for all requests of the last minutes. No clock of its own; seconds are monotonic. */
#ifndef SERVER_WINDOW_H
#define SERVER_WINDOW_H
#include "base/err.h"
#include "route/route.h"
#include "server/tally.h"

#define WINDOW_S 300u
#define RECENT_S 10u
#define RATE_S 60u

struct window;
enum err window_create(struct window **ret) NODISCARD;
void window_destroy(struct window *w);

/** S holds from now on (a reference is taken), and H knows who rests. What is known of a member
 * goes with it; a pool whose expected shares differ from those of the last call begins a new
 * window. To be called before workers learn of S. On no memory all stays as it was: call again. */
enum err window_follow(struct window *w, struct snapshot *s, const struct health *h, uint64_t now_s,
                       int64_t wall_ms) NODISCARD;
/** What came later than WINDOW_S ago counts. Of an account chosen by an older snapshot than the one
 * that began the pool's window no answer counts in it. */
void window_add(struct window *w, const struct tally *t);

struct window_member {
    int64_t pool_id, account_id;
    const struct snap_pool *pool; /* of the snapshot that the window follows */
    const struct snap_account *account;
    uint64_t window_s, requests; /* since the pool's window began, at most WINDOW_S */
    uint64_t limited, errors;    /* attempts, the last WINDOW_S */
    uint64_t recent;             /* answers, the last RECENT_S */
};
size_t window_member_count(const struct window *w);
/** By pool, and within it by account, in the order of their ids. */
void window_member(const struct window *w, size_t at, uint64_t now_s, struct window_member *ret);

struct window_totals {
    uint32_t rate[RATE_S];       /* requests of the last whole seconds, oldest first */
    uint64_t requests, failures; /* the last WINDOW_S */
    bool has_first_byte;
    uint64_t p50_ms, p95_ms; /* of what came in the last WINDOW_S, between the buckets' bounds */
};
void window_totals(const struct window *w, uint64_t now_s, struct window_totals *ret);

#endif
