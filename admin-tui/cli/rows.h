/* Rows of the store as JSON objects: what listings print. No secret is in any of them. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H
#include "base/err.h"
#include "base/slice.h"
#include "store/usage.h"

#include <cjson/cJSON.h>
#include <stdint.h>

struct store;
struct request_filter;
struct event_filter;

/* Each makes an array that the caller deletes; NAME empty: all of them. *RET is untouched on
 * failure. ERR_NOT_FOUND when NAME names nothing. */
enum err rows_accounts(struct store *s, struct slice name, int64_t now_s, cJSON **ret,
                       struct errmsg *msg) NODISCARD;
enum err rows_pool_members(struct store *s, struct slice pool, cJSON **ret,
                           struct errmsg *msg) NODISCARD;
enum err rows_clients(struct store *s, struct slice name, int64_t now_s, cJSON **ret,
                      struct errmsg *msg) NODISCARD;
enum err rows_rules(struct store *s, cJSON **ret, struct errmsg *msg) NODISCARD;
enum err rows_models(struct store *s, struct slice account, cJSON **ret,
                     struct errmsg *msg) NODISCARD;
enum err rows_tokens(struct store *s, cJSON **ret, struct errmsg *msg) NODISCARD;
/** ACCOUNT filters when not empty; those that have expired are left out. */
enum err rows_pins(struct store *s, struct slice account, int64_t now_s, cJSON **ret,
                   struct errmsg *msg) NODISCARD;
enum err rows_cooldowns(struct store *s, int64_t now_s, cJSON **ret, struct errmsg *msg) NODISCARD;
/** State "silent": not stopped, and seen too long ago. */
enum err rows_nodes(struct store *s, int64_t now_s, cJSON **ret, struct errmsg *msg) NODISCARD;
enum err rows_usage(struct store *s, enum usage_by by, const struct usage_filter *f, cJSON **ret,
                    struct errmsg *msg) NODISCARD;
enum err rows_requests(struct store *s, const struct request_filter *f, cJSON **ret,
                       struct errmsg *msg) NODISCARD;
enum err rows_events(struct store *s, const struct event_filter *f, cJSON **ret,
                     struct errmsg *msg) NODISCARD;

/** "a,b" to ["a","b"]; empty parts are dropped. */
cJSON *rows_split(struct slice list);
cJSON *rows_split_at(struct slice list, char sep);

#endif
