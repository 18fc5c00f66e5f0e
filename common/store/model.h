/* Model rows: the account serves these models, each at a domain. No row: every model of its kind.
 */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H
#include "store/store.h"

struct model {
    int64_t id;
    struct slice account, model; /* MODEL may hold * */
    struct slice domain;         /* "": the request's own host */
};
typedef enum err (*model_cb)(void *arg, const struct model *m);

/** By account, then model; ACCOUNT filters when not empty. */
enum err model_list(struct store *s, struct slice account, model_cb cb, void *arg,
                    struct errmsg *msg) NODISCARD;
/** Adds or replaces. ERR_NOT_FOUND: no such account. */
enum err model_set(struct store *s, struct slice account, struct slice model, struct slice domain,
                   struct errmsg *msg) NODISCARD;
enum err model_remove(struct store *s, struct slice account, struct slice model,
                      struct errmsg *msg) NODISCARD;

#endif
