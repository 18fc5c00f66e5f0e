/* Expected shares: what the weights of a pool promise. Pure. */
#ifndef CLI_SHARE_H
#define CLI_SHARE_H
#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/slice.h"

struct store;

/** Adds "expected_pct" to each member {"account","weight","state",...}: its part of the weights of
 * those that can serve now (state up, weight > 0, no "cooling_until"), in percent; the others get
 * 0. */
void share_fill(cJSON *members);
/** [{"name","clients","members":[{"account","weight","state","kind","cooling_until","expected_pct"}]}]. NAME empty: all. */
enum err share_pools(struct store *s, struct slice name, int64_t now_s, cJSON **ret,
                     struct errmsg *msg) NODISCARD;
/** The members of such pools as one flat array, each with "pool"; an empty pool is one row. */
cJSON *share_flat(const cJSON *pools);

#endif
