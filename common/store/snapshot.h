/* What the workers know of the store: one immutable, reference-counted picture of the configuration
 * tables. */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H
#include "base/seal.h"
#include "base/secret.h"

#include <stdint.h>
#include <string.h>

struct store;

enum account_kind {
    ACCOUNT_SERVICE = 0,
    ACCOUNT_API_KEY = 1
};
enum account_state {
    ACCOUNT_UP = 0,
    ACCOUNT_DRAIN = 1,
    ACCOUNT_OFF = 2
};
enum rule_action {
    RULE_SWAP = 0,
    RULE_TUNNEL = 1,
    RULE_DENY = 2
};
enum api {
    API_NONE = 0,
    API_GEMINI = 1,
    API_VERTEX = 2,
    API_ANTHROPIC = 3
};
enum service {
    SERVICE_GEMINI = 0,
    SERVICE_CLAUDE = 1
};

/** One model row: the account serves MODEL (a pattern with *) at DOMAIN ("" when the request's host
 * is right). */
struct snap_model {
    struct slice model, domain;
};

struct snap_account {
    int64_t id;        /* rowid, stable over snapshots, > 0 */
    struct slice name; /* all text is NUL-terminated too */
    enum account_kind kind;
    enum account_state state;
    struct slice project, location;        /* location may be empty */
    struct slice host;                     /* API key: the one host it may go to */
    struct slice scope;                    /* service account: OAuth2 scopes, space-joined */
    struct slice quota_project;            /* x-goog-user-project to set, or empty */
    struct slice email, token_uri, key_id; /* service account: what its JWT says */
    struct slice key_fingerprint;          /* changes when the key is replaced */
    struct secret *api_key;                /* API key: unsealed; NULL when it does not open */
    int64_t cleared_at_ms;                 /* cool-downs begun before this moment no longer count */
    const struct snap_model *models;
    size_t model_count; /* 0: every model of its kind */
};

struct snap_member {
    uint32_t account; /* index into accounts */
    double weight;    /* >= 0 */
};

struct snap_pool {
    int64_t id;
    struct slice name;
    const struct snap_member *members;
    size_t member_count;
};

struct snap_client {
    int64_t id;
    struct slice name;
    enum service service;
    bool enabled;
    uint32_t pool;               /* index into pools */
    int64_t expires_at;          /* Unix s, 0 never */
    int64_t rpm, tokens_per_day; /* 0: no limit */
    const struct slice *models;  /* allowed patterns; none: all */
    size_t model_count;
    struct slice sa_key_id, sa_public_key; /* virtual service account (PEM), "" none */
    const unsigned char *placeholder_hash; /* HMAC_SIZE bytes; NULL: none (revoked) */
};

struct snap_rule {
    int64_t id;
    struct slice pattern; /* lower case: "host", "*.domain", "*-suffix", "*" */
    enum rule_action action;
    enum api api;
    const struct slice *paths; /* globs; none: the API's defaults (route/match.h) */
    size_t path_count;
};

/* A cool-down that the store remembers from before the start. */
struct snap_cooldown {
    int64_t account_id;
    struct slice model;         /* "" : the whole account */
    int64_t since_ms, until_ms; /* wall clock */
    uint32_t step;              /* how often it doubled */
};

struct snapshot {
    int64_t generation;
    const struct snap_account *accounts;
    size_t account_count;
    const struct snap_pool *pools;
    size_t pool_count;
    const struct snap_client *clients; /* in the order of their ids */
    size_t client_count;
    size_t virtual_count;          /* of them have a virtual service account */
    const struct snap_rule *rules; /* most specific first: the first that matches decides */
    size_t rule_count;
    const struct snap_cooldown *cooldowns;
    size_t cooldown_count;
};

/** Reads every configuration table in one read transaction. K may be NULL (console without the key:
 * no API keys). A row that makes no sense (a sealed key that does not open, a bad pattern) costs
 * that row only; *ret_bad_rows counts them. Returns with one reference. Thread: the one that owns
 * S. */
enum err snapshot_load(struct store *s, const struct master_key *k, struct snapshot **ret,
                       size_t *ret_bad_rows, struct errmsg *msg) NODISCARD;
/** Thread: any. */
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s);

/** The client whose placeholder has this keyed hash, or NULL. Constant time in the bytes of the
 * hash. */
const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE]);
/** The place of ID in COUNT rows of SIZE bytes, which begin with their ids and stand in their
 * order; COUNT: there is none. */
static inline size_t snapshot_place(const void *rows, size_t count, size_t size, int64_t id)
{
    size_t lo = 0, hi = count;
    int64_t at = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        memcpy(&at, (const char *)rows + mid * size, sizeof at);
        if (at < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < count)
        memcpy(&at, (const char *)rows + lo * size, sizeof at);
    return lo < count && at == id ? lo : count;
}
static inline const struct snap_account *snapshot_account_by_id(const struct snapshot *s,
                                                                int64_t id)
{
    size_t at = snapshot_place(s->accounts, s->account_count, sizeof *s->accounts, id);
    return at < s->account_count ? &s->accounts[at] : NULL;
}
static inline const struct snap_client *snapshot_client_by_id(const struct snapshot *s, int64_t id)
{
    size_t at = snapshot_place(s->clients, s->client_count, sizeof *s->clients, id);
    return at < s->client_count ? &s->clients[at] : NULL;
}
const struct snap_account *snapshot_account_by_name(const struct snapshot *s, struct slice name);
const char *api_name(enum api a); /* "gemini", "vertex", "anthropic" */

#endif
