/* Host rules: what happens to a CONNECT for a host, and which paths a swap serves. */
#ifndef STORE_RULE_H
#define STORE_RULE_H
#include "store/snapshot.h"
#include "store/store.h"

struct rule {
    int64_t id;
    struct slice pattern; /* lower case: "host", "*.domain", "*-suffix", "*" */
    enum rule_action action;
    enum api api;       /* API_NONE unless swap */
    struct slice paths; /* globs with commas, "" the API's defaults */
};
typedef enum err (*rule_cb)(void *arg, const struct rule *r);

/** Most specific first, the order in which they decide. */
enum err rule_list(struct store *s, rule_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** Adds or replaces the rule for PATTERN (any case; stored lower). A swap needs an API, others must
 * have none. */
enum err rule_set(struct store *s, struct slice pattern, enum rule_action action, enum api api,
                  struct slice paths, struct errmsg *msg) NODISCARD;
enum err rule_remove(struct store *s, struct slice pattern, struct errmsg *msg) NODISCARD;
/** "host", "*.domain", "*-suffix" or "*", lower case, 253 bytes at most. */
bool rule_pattern_is_valid(struct slice pattern);
/** < 0 when A decides before B: whole names first, then longer patterns, "*" last. */
int rule_pattern_compare(struct slice a, struct slice b);

/* "swap", "tunnel", "deny"; "gemini", "vertex", "anthropic" (api_name is in snapshot.h) */
const char *rule_action_name(enum rule_action a);
bool rule_action_from(struct slice text, enum rule_action *ret);
bool api_from(struct slice text, enum api *ret);

#endif
