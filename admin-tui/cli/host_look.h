/* What would happen to a CONNECT, and who could serve it: the proxy's own verdict (policy_decide)
 * and choice (pick_why_not), as values. Pure. */
#ifndef CLI_HOST_LOOK_H
#define CLI_HOST_LOOK_H
#include "base/err.h"
#include "policy/policy.h"

struct health;

struct host_look {
    struct authority at;
    enum verdict verdict;
    const char *word;               /* "swap", "tunnel", "deny", "answer" (the token endpoint's) */
    const char *reason;             /* static: struct decision's, or "virtual_accounts" */
    const struct snap_rule *rule;   /* of the snapshot; NULL: none matched */
    char dialled_as[HOST_MAX + 10]; /* "" as it is called */
};

void host_look(const struct policy *p, const struct snapshot *s, const struct authority *a,
               struct host_look *ret);
/** How many members of POOL may be chosen now for this host, whatever the model. H may be NULL:
 * nobody rests. */
int host_look_eligible(const struct snapshot *s, const struct snap_pool *pool,
                       const struct host_look *l, const struct health *h, int64_t now_ms);
/** The same for accounts of any pool, each counted once. */
int host_look_accounts(const struct snapshot *s, const struct host_look *l, const struct health *h,
                       int64_t now_ms);
/** What the snapshot remembers of cool-downs; *RET is the caller's. */
enum err host_look_health(const struct snapshot *s, int64_t now_ms, struct health **ret) NODISCARD;

#endif
