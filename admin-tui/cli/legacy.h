/* The files of the OpenResty proxy that came before, as values. Pure: bytes in, facts out. */
#ifndef CLI_LEGACY_H
#define CLI_LEGACY_H
#include "base/arena.h"
#include "base/err.h"
#include "base/sbuf.h"
#include "store/snapshot.h"

#define LEGACY_MAX (4 << 20)
#define LEGACY_ROWS_MAX 10000 /* clients, key files, and entries in all lists together */

struct legacy_model {
    struct slice model, domain;
};

/* A key file that the map names anywhere. */
struct legacy_account {
    struct slice file; /* "team-vertex-1.json": one path component */
    char name[65];     /* of the account: the stem, made a valid and unique name */
    const struct legacy_model *models;
    size_t model_count;
    size_t clients; /* whose list (the one that counts) names it */
};

struct legacy_member {
    uint32_t account; /* index */
    double weight;
};

/* One for each distinct list of accounts and weights. */
struct legacy_pool {
    char name[65]; /* made of its members, so the same list gives the same name in any file */
    const struct legacy_member *members; /* by account name, each account once */
    size_t member_count;
};

struct legacy_client {
    struct slice token;
    char name[65]; /* readable, unique in this file, with at most three characters of the secret
                      part */
    enum service service;
    bool is_on;
    uint32_t pool;       /* index */
    const char *skipped; /* why it is not taken over (static text), NULL: it is */
};

struct legacy_map {
    struct arena arena;
    const struct legacy_account *accounts;
    const struct legacy_pool *pools;
    const struct legacy_client *clients;
    size_t account_count, pool_count, client_count;
};

/** Reads map-config.json. ERR_INVALID, ERR_TOO_LARGE with a sentence that names the place
 * (clients[3].key_weight) and never a token. legacy_finish also after failure. */
enum err legacy_parse(struct slice json, struct legacy_map *ret, struct errmsg *msg) NODISCARD;
void legacy_finish(struct legacy_map *m);

/** Reads data/jwt/NAME. ERR_INVALID when it is no such cache. *RET_TOKEN points into OWNED, which
 * the caller wipes and frees. */
enum err legacy_token(struct slice json, struct sbuf *owned, int64_t *ret_expires_at,
                      struct errmsg *msg) NODISCARD;

/** app_config.json as lines of our configuration, with a comment for what has no counterpart. */
enum err legacy_app(struct slice json, struct sbuf *out, struct errmsg *msg) NODISCARD;

#endif
