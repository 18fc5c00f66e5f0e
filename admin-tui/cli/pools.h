/* What account, pool and import commands all do to pools. */
#ifndef CLI_POOLS_H
#define CLI_POOLS_H
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>

struct cli;
struct store;

/** The account is in the pool with this weight; the pool is made when missing. */
enum err pools_join(struct store *s, struct slice pool, struct slice account, double weight,
                    struct errmsg *msg) NODISCARD;
enum err pools_exists(struct store *s, struct slice pool, bool *ret, struct errmsg *msg) NODISCARD;
/** The one pool that the account is in; ERR_INVALID with a sentence when there is none or several.
 */
enum err pools_only_one(struct store *s, struct slice account, char ret[65],
                        struct errmsg *msg) NODISCARD;
/** Says on stderr which pools have clients but nobody left who can serve: those of ACCOUNT, or the
 * one called POOL. */
void pools_warn(struct cli *c, struct slice account, struct slice pool);

#endif
