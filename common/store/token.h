/* Access tokens, the second cache level: sealed, one for each account and scope. None of this is
 * configuration. */
#ifndef STORE_TOKEN_H
#define STORE_TOKEN_H
#include "base/seal.h"
#include "base/secret.h"
#include "store/store.h"

/* What is known about an account's token; never the token. Times are Unix s, 0 unknown. */
struct token_state {
    int64_t account_id;
    struct slice account, scope;
    int64_t expires_at, minted_at, mints;
    int64_t fails, retry_at; /* failed mints in a row, and when the next may be tried */
    struct slice last_error; /* "" after a success */
    int64_t mint_ms;         /* how long the last mint took */
    bool has_token;
    struct slice fingerprint; /* of the token, 8 hex digits */
};
typedef enum err (*token_state_cb)(void *arg, const struct token_state *t);

enum err token_list(struct store *s, token_state_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** The state of one; ERR_NOT_FOUND when nothing was ever stored. */
enum err token_state_get(struct store *s, int64_t account_id, struct slice scope, token_state_cb cb,
                         void *arg, struct errmsg *msg) NODISCARD;
/** The token itself. ERR_NOT_FOUND none; ERR_CRYPTO it was not sealed for this account and scope
 * with this key. */
enum err token_load(struct store *s, const struct master_key *k, int64_t account_id,
                    struct slice scope, struct secret **ret, int64_t *ret_expires_at,
                    struct errmsg *msg) NODISCARD;
/** Keeps a token just minted; resets fails, retry_at and last_error, counts the mint.
 *  ERR_NOT_FOUND: the account is gone. */
enum err token_store(struct store *s, const struct master_key *k, int64_t account_id,
                     struct slice scope, struct slice token, int64_t expires_at, int64_t minted_at,
                     int64_t mint_ms, struct errmsg *msg) NODISCARD;
/** A mint failed: FAILS in a row by now, the next try not before RETRY_AT. A token that is there
 * stays. */
enum err token_fail(struct store *s, int64_t account_id, struct slice scope, int64_t fails,
                    int64_t retry_at, struct slice error, struct errmsg *msg) NODISCARD;
/** Forgets the token (not its statistics). FINGERPRINT_OR_ANY not empty: only when it is still this
 * one. Nothing there is fine. */
enum err token_drop(struct store *s, int64_t account_id, struct slice scope,
                    struct slice fingerprint_or_any, struct errmsg *msg) NODISCARD;
/** Forgets every token of the account (0: of all). */
enum err token_drop_all(struct store *s, int64_t account_id, struct errmsg *msg) NODISCARD;

#endif
