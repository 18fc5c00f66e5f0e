/* Clients: who may call us. Their placeholder is known by its keyed hash only. */
#ifndef STORE_CLIENT_H
#define STORE_CLIENT_H
#include "store/snapshot.h"
#include "store/store.h"

#define PLACEHOLDER_MIN 12
#define PLACEHOLDER_MAX 512

struct client {
    int64_t id;
    struct slice name;
    enum service service;
    struct slice pool;
    bool is_on;
    bool has_placeholder;        /* false after revoke */
    int64_t expires_at;          /* Unix s, 0 never */
    int64_t rpm, tokens_per_day; /* 0: no limit */
    struct slice models;         /* patterns with commas, "" all */
    struct slice visible;        /* "gemini-7Kq": service and three characters */
    struct slice sa_key_id;      /* virtual service account: id of its key, "" none */
    struct slice sa_public_key;  /* PEM */
    struct slice note;
    int64_t created_at, last_seen_at; /* Unix s */
};
typedef enum err (*client_cb)(void *arg, const struct client *c);

/* For client_add name is needed, an empty pool is the service's own; for client_set NULL leaves a
 * field. */
struct client_fields {
    struct slice name, pool, models, note;
    const bool *is_on;
    const int64_t *expires_at, *rpm, *tokens_per_day;
};

enum err client_list(struct store *s, client_cb cb, void *arg, struct errmsg *msg) NODISCARD;
enum err client_get(struct store *s, struct slice name, client_cb cb, void *arg,
                    struct errmsg *msg) NODISCARD;
/** Adds a client that calls with PLACEHOLDER (12..512 visible ASCII characters). ERR_EXISTS: the
 * name or the placeholder is taken. RET_ID may be NULL. */
enum err client_add(struct store *s, const struct master_key *k, enum service service,
                    const struct client_fields *f, struct slice placeholder, int64_t *ret_id,
                    struct errmsg *msg) NODISCARD;
enum err client_set(struct store *s, struct slice name, const struct client_fields *f,
                    struct errmsg *msg) NODISCARD;
/** The old placeholder ends now; the client stays as it is. */
enum err client_rotate(struct store *s, const struct master_key *k, struct slice name,
                       struct slice placeholder, struct errmsg *msg) NODISCARD;
/** Off for good: no placeholder, no virtual service account. client_rotate and client_set bring it
 * back. */
enum err client_revoke(struct store *s, struct slice name, struct errmsg *msg) NODISCARD;
enum err client_remove(struct store *s, struct slice name, struct errmsg *msg) NODISCARD;
/** The key pair under which the client's virtual service account signs (its private half leaves
 * with the client and is not kept). Empty values end it. */
enum err client_set_sa_key(struct store *s, struct slice name, struct slice key_id,
                           struct slice public_key_pem, struct errmsg *msg) NODISCARD;
/** Which client has this placeholder? ERR_NOT_FOUND. */
enum err client_find(struct store *s, const struct master_key *k, struct slice placeholder,
                     client_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** Remembers when it was last seen (Unix s); no configuration change. For the writer. */
enum err client_seen(struct store *s, int64_t id, int64_t at, struct errmsg *msg) NODISCARD;

/** A new placeholder of its own making: "gemini-" and 32 letters and digits from the system's
 * randomness. RET is NUL-terminated; the caller wipes it. */
#define PLACEHOLDER_NEW_SIZE 48
void client_new_placeholder(enum service service, char ret[PLACEHOLDER_NEW_SIZE]);

/* "gemini", "claude" */
const char *service_name(enum service s);
bool service_from(struct slice text, enum service *ret);

#endif
