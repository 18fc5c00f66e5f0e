/* A connection from a balancer: until it has said for whom it speaks, nobody has asked us anything.
 */
#include "gate/gate_internal.h"

#include "base/check.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/proxy_header.h"

static void end(struct gate *g, const char *why)
{
    g->gates->caller_failed(g->gates, &g->peer, why);
    gate_end(g, why);
}

/* From here on the connection is the client's, whose first bytes may have come already. */
static void enter(struct gate *g, const struct proxy_header *h, const void *seen, size_t n)
{
    if (h->has_peer) {
        g->peer = h->peer;
        gate_print_peer(g);
    }
    g->has_entered = g->gates->may_enter(g->gates, &g->peer);
    if (!g->has_entered) {
        figure_add(&g->gates->counters->connections_refused, 1);
        gate_end(g, "refused");
        return;
    }
    mem_free(g->header);
    g->header = NULL;
    deadline_clear(&g->deadline);
    gate_begin(g, seen, n);
}

static void on_data(struct link *l, const void *p, size_t n)
{
    struct gate *g = obj_from(l->owner, GATE_MAGIC);
    struct proxy_header h;
    size_t before = g->header_n, room = PROXY_HEADER_MAX - before, take = n < room ? n : room;
    memcpy(g->header + before, p, take);
    g->header_n += take;
    switch (proxy_header_parse(g->header, g->header_n, &h)) {
    case PROXY_HEADER_MORE:
        break;
    case PROXY_HEADER_BAD:
        end(g, "proxy_header");
        break;
    case PROXY_HEADER_WHOLE:
        enter(g, &h, (const char *)p + (h.n - before), n - (h.n - before));
        break;
    }
}

static void on_eof(struct link *l)
{
    end(obj_from(l->owner, GATE_MAGIC), "proxy_header");
}

static void on_error(struct link *l, enum err e, const char *why)
{
    (void)e;
    gate_end(obj_from(l->owner, GATE_MAGIC), why);
}

static void on_nothing(struct link *l)
{
    (void)l; /* it is open already */
}

static void on_flushed(struct link *l, size_t n)
{
    (void)l;
    (void)n; /* nothing is said before */
}

static const struct link_ops header_ops = {.on_ready = on_nothing,
                                           .on_data = on_data,
                                           .on_eof = on_eof,
                                           .on_error = on_error,
                                           .on_flushed = on_flushed};

void header_begin(struct gate *g)
{
    struct link *l = g->pump.link;
    struct loop *loop = g->gates->loop;
    g->state = GATE_HEADER;
    l->ops = &header_ops;
    l->owner = g;
    g->header = mem_alloc(PROXY_HEADER_MAX);
    if (!g->header) {
        gate_end(g, "memory");
        return;
    }
    deadline_set(&loop->wheel, &g->deadline,
                 loop->now_ms + (uint64_t)g->gates->conf->limits.header_timeout * 1000u);
}
