/* Cool-downs that outlive a restart. Not configuration; account_clear (account.h) is what ends them
 * everywhere. */
#ifndef STORE_COOLDOWN_H
#define STORE_COOLDOWN_H
#include "store/store.h"

struct cooldown_row {
    int64_t account_id;
    struct slice account, model; /* MODEL "": the whole account */
    int64_t since_ms, until_ms;  /* Unix ms */
    int64_t step;
    struct slice reason;
};
typedef enum err (*cooldown_cb)(void *arg, const struct cooldown_row *c);

/** Those that end after NOW_MS (0: all), soonest end first. */
enum err cooldown_list(struct store *s, int64_t now_ms, cooldown_cb cb, void *arg,
                       struct errmsg *msg) NODISCARD;
/** Adds or replaces the one for the account and model (row.account is ignored, the id counts).
 *  ERR_NOT_FOUND: the account is gone. */
enum err cooldown_put(struct store *s, const struct cooldown_row *row,
                      struct errmsg *msg) NODISCARD;
/** Ends one. MODEL "" is the whole account's own row. Nothing there is fine. */
enum err cooldown_remove(struct store *s, int64_t account_id, struct slice model,
                         struct errmsg *msg) NODISCARD;
/** Deletes those that ended before BEFORE_MS. */
enum err cooldown_prune(struct store *s, int64_t before_ms, struct errmsg *msg) NODISCARD;

#endif
