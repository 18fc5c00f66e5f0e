/* What an exchange needs of its worker. The server fills it with the real things, tests/sim with
 * fakes: the only indirection made for tests. One for each worker; not thread-safe. */
#ifndef EXCHANGE_SERVICES_H
#define EXCHANGE_SERVICES_H
#include "auth/memo.h"
#include "exchange/pins.h"
#include "policy/policy.h"
#include "route/route.h"
#include "store/snapshot.h"
#include "token/token.h"
#include "upstream/pool.h"

#include <stdatomic.h>

struct conf;
struct exchange;

#define ATTEMPTS_MAX 8

/* One try on one account: who, and how it ended. */
struct attempt {
    struct slice account;
    int64_t account_id;
    int status;         /* 0: no answer */
    const char *reason; /* static word, NULL fine */
};

/* What is told of an exchange when it ends, or while it runs. Slices live during the call. */
struct exchange_record {
    uint64_t conn_id;
    int64_t pool_id;    /* of the client; 0: nobody known */
    int64_t generation; /* of the snapshot that it runs by */
    struct slice request_id, peer, method, host, path, query_keys;
    const struct snap_client *client;   /* NULL: nobody known */
    const struct snap_account *account; /* the last one tried, NULL none */
    struct slice model;
    const struct attempt *attempts;
    uint32_t attempt_count;
    int status;         /* sent to the client; 0 none */
    bool is_own_answer; /* the proxy's, not the provider's */
    const char *reason; /* static word when it failed */
    uint64_t bytes_up, bytes_down, ttfb_ms, ms;
    bool is_swap;
    bool front_is_h2, back_is_h2;
};

struct services {
    struct loop *loop;
    const struct conf *conf;
    const struct policy *policy;
    const struct master_key *key;
    struct auth_memo *memo;    /* NULL: none */
    struct snapshot *snapshot; /* the newest; an exchange keeps the one it began with */
    struct health *health;
    uint64_t rng[4];
    struct pool *pool;
    struct token_cache *tokens;
    struct list exchanges; /* all of them, for drain */
    uint32_t exchange_count;
    uint32_t late_count;                /* own answers that wait for a request's end */
    atomic_uint_fast64_t *replay_bytes; /* held for replay by all workers */
    struct pins *pins;                  /* of all workers; NULL: nothing is pinned */
    void *worker;

    struct token *(*token_peek)(struct token_cache *c, const struct snap_account *a);
    enum err (*token_fetch)(struct token_cache *c, const struct snap_account *a, token_cb cb,
                            void *arg, struct token_wait **ret_wait);
    void (*token_wait_cancel)(struct token_wait *w);
    void (*token_invalidate)(struct token_cache *c, const struct snap_account *a, struct token *t);
    /** A cool-down began here: others must know. */
    void (*cooled)(struct services *s, const struct snap_account *a, const struct cooldown *c);
    /** A pin was added to the table, or dropped from it: the store must know. CLIENT made it. */
    void (*pinned)(struct services *s, const struct pin *p, const struct snap_client *client);
    void (*unpinned)(struct services *s, int64_t pool_id, struct slice name);
    /** May this client go on now? 0, or the seconds to wait. */
    uint32_t (*client_wait_s)(struct services *s, const struct snap_client *c);
    /** The answer of account A to C, both of SNAP, begins to go to the client. */
    void (*answered)(struct services *s, const struct snapshot *snap, const struct snap_client *c,
                     const struct snap_account *a);
    /** The end of an exchange: logs, counts, stores. */
    void (*record)(struct services *s, const struct exchange_record *r);
};

#endif
