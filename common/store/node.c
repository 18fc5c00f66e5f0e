/* Heartbeats of the proxies on this store. */
#include "store/node.h"
#include "store/store_internal.h"

struct walk {
    node_cb cb;
    void *arg;
};

static enum err node_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct node n = {
        .name = col_text(q, 0),
        .pid = col_int(q, 1),
        .version = col_text(q, 2),
        .state = col_text(q, 3),
        .address = col_text(q, 4),
        .started_at = col_int(q, 5),
        .seen_at = col_int(q, 6),
        .generation = col_int(q, 7),
    };
    return w->cb(w->arg, &n);
}

enum err node_list(struct store *s, node_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, node_row, &w, msg,
                   "SELECT name, pid, version, state, address, started_at, seen_at, generation "
                   "FROM node ORDER BY name",
                   NO_VALS);
}

enum err node_put(struct store *s, const struct node *n, struct errmsg *msg)
{
    char name[128], address[128];
    return db_exec(s, msg, "INSERT OR REPLACE INTO node VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                   VALS(v_text(db_clean(n->name, name, sizeof name)), v_int(n->pid),
                        v_text(n->version), v_text(n->state),
                        v_text(db_clean(n->address, address, sizeof address)), v_int(n->started_at),
                        v_int(n->seen_at), v_int(n->generation)));
}
