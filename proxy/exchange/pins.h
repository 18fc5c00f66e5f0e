/* Which account has what: one table for all workers, since an upload begun on one goes on at
 * another in the next moment, before any letter would arrive. Under a lock that is held for one
 * look, and only by requests that name a file, an upload, a cache or an operation; all others ask a
 * few counters. Thread: any, where nothing else is said. */
#ifndef EXCHANGE_PINS_H
#define EXCHANGE_PINS_H
#include "policy/policy.h"
#include "route/resource.h"

#define PINS_MAX 20000 /* the oldest of the pool that has most make room; as in data/schema */

struct pins;

struct pin {
    char name[RESOURCE_MAX];
    int64_t pool_id, account_id;
    int64_t expires_at;        /* Unix s */
    char domain[HOST_MAX + 1]; /* where it was made */
};

enum pin_status {
    PIN_UNKNOWN,
    PIN_OURS,
    PIN_FOREIGN /* another pool's */
};

enum err pins_create(struct pins **ret) NODISCARD;
void pins_destroy(struct pins *p);
/** *RET is filled for PIN_OURS only. */
enum pin_status pins_find(struct pins *p, int64_t pool_id, struct slice name, int64_t now_s,
                          struct pin *ret);
/** Adds. REPLACES: the pool's own one of that name goes; else nothing is added when any pool has
 * one of that name. False: nothing changed, or no memory. */
bool pins_put(struct pins *p, const struct pin *pin, bool replaces);
bool pins_drop(struct pins *p, int64_t pool_id, struct slice name);
/** Does an account of this pool hold anything, for whomever? Asks no lock. */
bool pins_concern(const struct pins *p, const struct snapshot *s, const struct snap_pool *pool);
size_t pins_count(const struct pins *p);

/** The writer has committed it: when the store has it no more, somebody took it out. */
void pins_written(struct pins *p, int64_t pool_id, struct slice name);

/* ---- following the store; thread: main ---- */

/** All rows are going to be given, up to pins_sweep. */
void pins_sweep_begin(struct pins *p);
/** A row as the store has it. */
void pins_stored(struct pins *p, const struct pin *pin);
/** After all rows were given: what the store has no more goes, unless its account was removed: such
 * a name must not go elsewhere, so it stays until it expires; or unless it is so young that the
 * writer may not have written it: then the result is when to do this again, else 0. */
uint64_t pins_sweep(struct pins *p, const struct snapshot *s, uint64_t now_ms);

#endif
