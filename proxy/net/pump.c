/* What a link says goes to its session, and back. */
#include "net/pump.h"

#include "base/check.h"

static void check_reading(struct pump *p)
{
    if (!p->session || !p->link)
        return;
    if (session_wants_read(p->session))
        link_resume(p->link);
    else
        link_pause(p->link);
}

static void on_ready(struct link *l)
{
    struct pump *p = l->owner;
    p->ops->on_ready(p);
}

static void on_data(struct link *l, const void *bytes, size_t n)
{
    struct pump *p = l->owner;
    if (session_feed(p->session, bytes, n) != ERR_OK) {
        p->ops->on_fault(p);
        return;
    }
    if (p->ops->on_fed)
        p->ops->on_fed(p);
    if (l->owner == p && l->ops == &pump_link_ops)
        check_reading(p);
}

static void on_eof(struct link *l)
{
    struct pump *p = l->owner;
    session_eof(p->session);
    if (l->owner == p && l->ops == &pump_link_ops)
        p->ops->on_end(p, ERR_OK, "peer_closed");
}

static void on_error(struct link *l, enum err e, const char *why)
{
    struct pump *p = l->owner;
    if (p->session)
        session_abort(p->session);
    if (l->owner == p && l->ops == &pump_link_ops)
        p->ops->on_end(p, e, why);
}

static void on_flushed(struct link *l, size_t n)
{
    struct pump *p = l->owner;
    session_flushed(p->session, n);
    if (p->ops->on_fed && l->owner == p && l->ops == &pump_link_ops)
        p->ops->on_fed(p); /* a pipelined request may have begun */
    if (l->owner == p && l->ops == &pump_link_ops)
        check_reading(p);
}

const struct link_ops pump_link_ops = {.on_ready = on_ready,
                                       .on_data = on_data,
                                       .on_eof = on_eof,
                                       .on_error = on_error,
                                       .on_flushed = on_flushed};

static void outlet_put(struct outlet *o, const void *bytes, size_t n)
{
    struct pump *p = container_of(o, struct pump, outlet);
    if (p->link)
        link_put(p->link, bytes, n);
}

static void outlet_readable(struct outlet *o)
{
    check_reading(container_of(o, struct pump, outlet));
}

static void outlet_shut(struct outlet *o)
{
    struct pump *p = container_of(o, struct pump, outlet);
    if (p->link)
        link_shut(p->link);
}

void pump_init(struct pump *p)
{
    *p = (struct pump){
        .outlet = {.put = outlet_put, .readable = outlet_readable, .shut = outlet_shut}};
}

void pump_attach(struct pump *p, struct link *link, struct session *session,
                 const struct pump_ops *ops, void *owner)
{
    p->link = link;
    p->session = session;
    p->ops = ops;
    p->owner = owner;
    link->ops = &pump_link_ops;
    link->owner = p;
}
