/* Accounts: whose real credentials requests go out with. The private key or API key lies sealed in
 * its row. */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H
#include "store/snapshot.h"
#include "store/store.h"

#define ACCOUNT_DEFAULT_SCOPE                                                                      \
    "https://www.googleapis.com/auth/cloud-platform "                                              \
    "https://www.googleapis.com/auth/generative-language.retriever"
#define ACCOUNT_DEFAULT_TOKEN_URI "https://oauth2.googleapis.com/token"

struct account {
    int64_t id;
    struct slice name;
    enum account_kind kind;
    enum account_state state;
    struct slice project, location, email, host, key_id;
    struct slice key_fingerprint; /* 8 hex digits, "" without a key */
    struct slice scope, quota_project, token_uri, note;
    int64_t cleared_at_ms, created_at; /* Unix ms, Unix s */
};
typedef enum err (*account_cb)(void *arg, const struct account *a);

/* For account_add all fields but name and key may be empty; for account_set a NULL .p leaves the
 * field as it is. */
struct account_fields {
    struct slice name, project, location, email, host, key_id, scope, quota_project, token_uri,
        note;
    const enum account_state *state; /* NULL: up, or as it is */
};

/** All accounts by name. */
enum err account_list(struct store *s, account_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** One account. ERR_NOT_FOUND. */
enum err account_get(struct store *s, struct slice name, account_cb cb, void *arg,
                     struct errmsg *msg) NODISCARD;
enum err account_id(struct store *s, struct slice name, int64_t *ret, struct errmsg *msg) NODISCARD;
/** Adds an account. KEY: the PEM private key of a service account or the API key, sealed with K and
 * bound to the row. RET_ID may be NULL. ERR_EXISTS. Pools are joined by pool_set. */
enum err account_add(struct store *s, const struct master_key *k, enum account_kind kind,
                     const struct account_fields *f, struct slice key, int64_t *ret_id,
                     struct errmsg *msg) NODISCARD;
/** Changes the fields that are given; a new name is followed by pools, models, tokens and
 * cool-downs. */
enum err account_set(struct store *s, struct slice name, const struct account_fields *f,
                     struct errmsg *msg) NODISCARD;
/** Replaces the key; KEY_ID may be empty. Cached tokens of the account are dropped. */
enum err account_set_key(struct store *s, const struct master_key *k, struct slice name,
                         struct slice key, struct slice key_id, struct errmsg *msg) NODISCARD;
/** Removes it with its memberships, model rows, tokens and cool-downs. */
enum err account_remove(struct store *s, struct slice name, struct errmsg *msg) NODISCARD;
/** Ends its cool-downs: those begun before now no longer count, in running proxies too. */
enum err account_clear(struct store *s, struct slice name, struct errmsg *msg) NODISCARD;
/** The sealed key of account ID. ERR_NOT_FOUND no such account or no key; ERR_CRYPTO it does not
 * open (another master key, or a row copied by hand). For the keeper; nobody else needs it. */
enum err account_key_unseal(struct store *s, const struct master_key *k, int64_t id,
                            struct secret **ret, struct errmsg *msg) NODISCARD;
/** *ret_bad: how many accounts have no key, or one that does not open with K; MSG then says which
 * (doctor). */
enum err account_check_keys(struct store *s, const struct master_key *k, size_t *ret_bad,
                            struct errmsg *msg) NODISCARD;

/* "service", "api-key"; "up", "drain", "off" */
const char *account_kind_name(enum account_kind k);
const char *account_state_name(enum account_state s);
bool account_kind_from(struct slice text, enum account_kind *ret);
bool account_state_from(struct slice text, enum account_state *ret);

#endif
