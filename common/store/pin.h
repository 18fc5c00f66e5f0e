/* Which account has what (data/schema/002_pin.sql). Not configuration. */
#ifndef STORE_PIN_H
#define STORE_PIN_H
#include "store/store.h"

struct pin_row {
    int64_t id;
    struct slice name;
    int64_t pool_id, account_id;
    struct slice pool, account; /* their names */
    struct slice client, domain;
    int64_t made_at, expires_at; /* Unix s */
};
typedef enum err (*pin_cb)(void *arg, const struct pin_row *p);

/** Those above AFTER_ID that end after NOW_S (0: all), in the order of their ids. */
enum err pin_list(struct store *s, int64_t after_id, int64_t now_s, pin_cb cb, void *arg,
                  struct errmsg *msg) NODISCARD;
/** Adds or replaces the one of that name and pool (the ids count, not the names of account and
 * pool). ERR_NOT_FOUND: one of them is gone. */
enum err pin_put(struct store *s, const struct pin_row *row, struct errmsg *msg) NODISCARD;
/** Nothing there is fine. */
enum err pin_remove(struct store *s, int64_t pool_id, struct slice name,
                    struct errmsg *msg) NODISCARD;
/** For people: by name, in POOL alone unless that is empty. ERR_NOT_FOUND. */
enum err pin_remove_named(struct store *s, struct slice pool, struct slice name,
                          struct errmsg *msg) NODISCARD;
enum err pin_prune(struct store *s, int64_t before_s, struct errmsg *msg) NODISCARD;
/** Goes up whenever a row was changed or went. ERR_SCHEMA: an older backup lies here, which nobody
 * has brought forward yet. */
enum err pin_changes(struct store *s, int64_t *ret, struct errmsg *msg) NODISCARD;

#endif
