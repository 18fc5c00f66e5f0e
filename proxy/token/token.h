/* Real tokens: memory (each worker), then store, then the token endpoint; one flight for each
 * account. */
#ifndef TOKEN_TOKEN_H
#define TOKEN_TOKEN_H
#include "base/err.h"
#include "base/secret.h"
#include "store/snapshot.h"

#include <stdint.h>

struct broker;
struct token_cache;
struct mailbox;
struct conf;
struct keeper;
struct writer;

/* Immutable but for one flag, shared by reference. */
struct token;
struct token *token_ref(struct token *t);
void token_unref(struct token **t);
struct slice token_bytes(const struct token *t); /* visible ASCII only, checked when it came */
int64_t token_expires_at(const struct token *t); /* Unix s */
/** A provider served a request with it: should one refuse it later, that says nothing about the
 * account. Thread: any. */
void token_accepted(struct token *t);

/* The broker: one thread, curl multi, single flight, back-off, L2 in the store. */
struct broker_conf {
    const struct conf *conf;
    const char *store_path;
    struct master_key *key;
    struct keeper *keeper;
    struct writer *writer;
};
enum err broker_start(const struct broker_conf *c, struct broker **ret,
                      struct errmsg *msg) NODISCARD;
void broker_stop(struct broker *b);
/** The newest snapshot; accounts that vanished or changed their key are forgotten. Takes a
 * reference. Thread: main. */
void broker_set_snapshot(struct broker *b, struct snapshot *s);

/* What a failed token_get says; goes into the exchange's attempt list and the 503. */
struct token_failure {
    enum err err;
    const char *reason; /* static word: "invalid_grant", "endpoint_timeout", "backoff", ... */
    uint32_t retry_after_s;
};
typedef void (*token_cb)(void *arg, struct token *t, const struct token_failure *failure);

/* L1: one for each worker; keyed by account id. Not thread-safe. Registers with the broker for
 * pushes (renewed and dropped tokens). */
enum err token_cache_create(struct broker *b, struct mailbox *worker_mailbox,
                            struct token_cache **ret) NODISCARD;
void token_cache_destroy(struct token_cache *c);
/** A token that is good for at least 30 s more, borrowed until the loop turn ends, or NULL when one
 * must be fetched. Within early_refresh of the end it is still returned and a renewal is asked for
 * once. No lock, no syscall. */
struct token *token_peek(struct token_cache *c, const struct snap_account *a);
/** How often token_peek had one. */
uint64_t token_cache_hits(const struct token_cache *c);
/** Accounts that it ever had a token of. */
size_t token_cache_count(const struct token_cache *c);
/** CB for each account whose token it has, and which is good at NOW (Unix s). */
void token_cache_each(const struct token_cache *c, int64_t now,
                      void (*cb)(void *arg, int64_t account_id), void *arg);
/** Asks the broker; CB comes later on this worker (never inside this call), exactly once unless
 * cancelled. *ret_wait can be cancelled until then. */
struct token_wait;
enum err token_fetch(struct token_cache *c, const struct snap_account *a, token_cb cb, void *arg,
                     struct token_wait **ret_wait) NODISCARD;
void token_wait_cancel(struct token_wait *w);
/** The upstream refused exactly this token: no worker serves it again, the stored copy goes, the
 * next fetch mints. A newer token of the same account is left alone. */
void token_invalidate(struct token_cache *c, const struct snap_account *a, struct token *t);

/** For the console's `refresh` and `test`: mints now whatever is cached; CB on the thread of
 * MAILBOX. ERR_NOMEM: CB never comes. */
enum err broker_refresh(struct broker *b, int64_t account_id, struct mailbox *m, token_cb cb,
                        void *arg) NODISCARD;

/** For the console's `forget`: broker and workers drop what they have of its tokens, and the stored
 * copy of the one in use goes too; the next request mints. ERR_NOMEM: nothing happens. Thread: any.
 */
enum err broker_forget(struct broker *b, int64_t account_id) NODISCARD;

struct broker_stats {
    uint64_t mints, mint_failures, from_store, waits, in_flight;
    uint64_t mint_ms_sum, last_skew_s_abs;
    int64_t skew_s; /* our clock minus the endpoint's Date */
};
void broker_stats(struct broker *b, struct broker_stats *ret);

#endif
