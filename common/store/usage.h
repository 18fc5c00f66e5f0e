/* Usage: one row for each minute, client, account and model. Names are kept as text, so history
 * outlives them. */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H
#include "store/store.h"

struct usage {
    int64_t minute; /* Unix s, rounded down to 60 when stored */
    struct slice client, account, model;
    int64_t requests, errors,
        limited; /* errors: 4xx and 5xx without limited; limited: 429 and 529 */
    int64_t bytes_up, bytes_down;
    int64_t tokens_in, tokens_out, tokens_cache_read, tokens_cache_write;
    int64_t ms; /* sum of request times */
};
typedef enum err (*usage_cb)(void *arg, const struct usage *u);

enum usage_by {
    USAGE_BY_ALL,
    USAGE_BY_CLIENT,
    USAGE_BY_ACCOUNT,
    USAGE_BY_MODEL,
    USAGE_BY_MINUTE,
    USAGE_BY_HOUR
};

/* Empty slices and 0 do not filter. Since is included, until is not; Unix s. */
struct usage_filter {
    int64_t since, until;
    struct slice client, account, model;
};

/** Adds to the bucket. For the writer. */
enum err usage_add(struct store *s, const struct usage *u, struct errmsg *msg) NODISCARD;
/** Sums by BY, most requests first (times in order). Fields that are not grouped by are "" or 0;
 * USAGE_BY_ALL gives exactly one row. */
enum err usage_list(struct store *s, enum usage_by by, const struct usage_filter *f, usage_cb cb,
                    void *arg, struct errmsg *msg) NODISCARD;
/** Sums of one MINUTE by client and account, in the order of these, from the client FROM_CLIENT (""
 * the first) on: a walk that its callback ends (with ERR_AGAIN, say) can be taken up there. */
enum err usage_minute(struct store *s, int64_t minute, struct slice from_client, usage_cb cb,
                      void *arg, struct errmsg *msg) NODISCARD;
/** Deletes what is older than BEFORE (Unix s). */
enum err usage_prune(struct store *s, int64_t before, struct errmsg *msg) NODISCARD;

bool usage_by_from(struct slice text,
                   enum usage_by *ret); /* "client", "account", "model", "minute", "hour", "all" */

#endif
