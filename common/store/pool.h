/* Pools: which accounts share a client's requests, and in what proportion. */
#ifndef STORE_POOL_H
#define STORE_POOL_H
#include "store/snapshot.h"
#include "store/store.h"

struct pool {
    int64_t id;
    struct slice name;
    int64_t members, clients; /* how many */
};
struct pool_member {
    struct slice pool, account;
    double weight;
    enum account_state state; /* of the account */
    enum account_kind kind;
};
typedef enum err (*pool_cb)(void *arg, const struct pool *p);
typedef enum err (*pool_member_cb)(void *arg, const struct pool_member *m);

enum err pool_list(struct store *s, pool_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** Members by pool, then account. POOL and ACCOUNT filter when not empty. */
enum err pool_member_list(struct store *s, struct slice pool, struct slice account,
                          pool_member_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** ERR_EXISTS when there. */
enum err pool_add(struct store *s, struct slice pool, struct errmsg *msg) NODISCARD;
/** ERR_INVALID while a client uses it. Members leave it. */
enum err pool_remove(struct store *s, struct slice pool, struct errmsg *msg) NODISCARD;
/** The account is in the pool with this weight (0..1e9) from now on. ERR_NOT_FOUND: no such pool or
 * account. */
enum err pool_set(struct store *s, struct slice pool, struct slice account, double weight,
                  struct errmsg *msg) NODISCARD;
enum err pool_unset(struct store *s, struct slice pool, struct slice account,
                    struct errmsg *msg) NODISCARD;
/** How many members can serve now: account up, weight > 0. For "the last one cannot be drained". */
enum err pool_serving(struct store *s, struct slice pool, int64_t *ret,
                      struct errmsg *msg) NODISCARD;

#endif
