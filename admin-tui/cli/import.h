/* A map of the old system into an open store: adds what is missing, never touches what is there. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H
#include "base/err.h"
#include "cli/legacy.h"

#include <cjson/cJSON.h>

struct store;
struct master_key;
struct keyfile;

/* The files that belong to one account of the map. */
struct import_account {
    struct keyfile *key; /* NULL: broken, and left out */
    struct sbuf token;   /* empty: none to take over */
    int64_t token_expires_at;
};

struct import {
    struct store *store;
    struct master_key *key;
    const struct legacy_map *map;
    struct import_account *accounts; /* as many as the map has */
    int64_t now_s;
    cJSON *rows; /* of {"what","name","action","detail"}; action: new, kept, skipped */
    int changes; /* rows with action new */
};

/** Inside the caller's transaction. ERR_EXISTS: an account of that name belongs to another e-mail.
 */
enum err import_apply(struct import *im, struct errmsg *msg) NODISCARD;
/** Adds a row to the report. */
void import_row(struct import *im, const char *what, const char *name, const char *action,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
