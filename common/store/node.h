/* Nodes: the proxies on this store, each with a heartbeat. */
#ifndef STORE_NODE_H
#define STORE_NODE_H
#include "store/store.h"

struct node {
    struct slice name; /* host name, one row each */
    int64_t pid;
    struct slice version, state; /* "starting", "running", "draining", "stopped" */
    struct slice address;        /* of the first proxy listener */
    int64_t started_at, seen_at; /* Unix s */
    int64_t generation;          /* of the snapshot it works with */
};
typedef enum err (*node_cb)(void *arg, const struct node *n);

enum err node_list(struct store *s, node_cb cb, void *arg, struct errmsg *msg) NODISCARD;
/** Adds or replaces by name. For the writer. */
enum err node_put(struct store *s, const struct node *n, struct errmsg *msg) NODISCARD;

#endif
