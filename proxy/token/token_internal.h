/* Between the workers' caches and the broker. */
#ifndef TOKEN_TOKEN_INTERNAL_H
#define TOKEN_TOKEN_INTERNAL_H
#include "base/list.h"
#include "base/mailbox.h"
#include "token/answer.h"
#include "token/token.h"

#include <pthread.h>
#include <stdatomic.h>

#define HARD_STOP_S 30   /* before its end a token is no longer handed out */
#define SOFT_JITTER_S 60 /* so that accounts minted together are not renewed together */
#define ASK_AGAIN_S 10   /* a worker repeats its wish for a renewal no sooner */

/* ---- tokens ---- */

struct token {
    atomic_uint refs;
    int64_t expires_at; /* Unix s */
    int64_t soft_at;    /* from here on a renewal is wanted */
    int64_t minted_at;
    atomic_bool has_served;
    struct secret *bytes;
};

/** Takes over *BYTES' reference in any case. LIFE_S: expires_at minus the moment of minting, as far
 * as known. */
struct token *token_new(struct secret *bytes, int64_t expires_at, int64_t life_s,
                        int64_t early_refresh_s);
bool token_is_usable(const struct token *t, int64_t now_s);
bool token_same(const struct token *a, const struct token *b);

/* ---- ports: how broker and cache reach each other while both live ---- */

/* Either side may go first. The lock is held for the length of one mailbox_post. */
struct port {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct mailbox *worker;    /* guarded by lock; NULL when the cache is gone */
    struct mailbox *broker;    /* guarded by lock; NULL when the broker stopped */
    struct token_cache *cache; /* the worker's thread only; NULL when gone */
    struct list link;          /* on the broker's list, guarded by its lock */
};

struct port *port_ref(struct port *p);
void port_unref(struct port **p);
/** Both return false, and keep nothing, when the other side is gone. */
bool port_post_worker(struct port *p, struct letter *l);
bool port_post_broker(struct port *p, struct letter *l);

/* ---- letters ---- */

/* Worker to broker and back: somebody waits. */
struct token_wait {
    struct letter letter;
    struct list link;       /* there: on the cell's waits; here: on the cache's */
    struct list cache_link; /* the worker's thread only */
    struct broker *broker;
    struct port *port; /* NULL for broker_refresh, which has a mailbox */
    struct mailbox *mailbox;
    bool is_forced;    /* mint whatever is cached */
    bool is_cancelled; /* the worker's thread only */
    token_cb cb;
    void *arg;
    int64_t account_id;
    struct slice name; /* inside the same block; empty: as the broker's snapshot has it */
    /* the answer */
    struct token *token;
    struct token_failure failure;
};
struct token_wait *wait_new(int64_t account_id, struct slice name);
void wait_destroy(struct token_wait *w);
/** Runs on the asker's thread. */
void wait_deliver_answer(struct letter *l);

/* Worker to broker: a token was refused, or is getting old. */
struct token_note {
    struct letter letter;
    struct broker *broker;
    bool is_refused;
    int64_t account_id;
    struct token *token;
};

/* Broker to worker: this is the account's token from now on (TOKEN), or this one is not (DROP,
 * NULL: any). */
struct token_push {
    struct letter letter;
    struct port *port;
    int64_t account_id;
    struct token *token, *drop;
};
/** On the worker's thread. */
void push_deliver(struct letter *l);

/* ---- the broker's side of a cache ---- */

enum err broker_join(struct broker *b, struct mailbox *worker, struct token_cache *cache,
                     struct port **ret) NODISCARD;
/** On the broker's thread. */
void broker_on_wait(struct letter *l);
void broker_on_note(struct letter *l);

#endif
