/* A link and the session on it: bytes up, bytes down, reading only while the session wants it. */
#ifndef NET_PUMP_H
#define NET_PUMP_H
#include "http/stream.h"
#include "net/link.h"

struct pump;
struct pump_ops {
    void (*on_ready)(struct pump *p);
    /** The session refused what it was fed; session->fault says why. Its stream, if any, has been
     * closed. */
    void (*on_fault)(struct pump *p);
    /** The peer ended (ERR_OK: with a proper end) or the link broke; the session's stream has been
     * closed. The link is still to be destroyed. */
    void (*on_end)(struct pump *p, enum err e, const char *why);
    /** After each run of received bytes was fed; may be NULL. */
    void (*on_fed)(struct pump *p);
};

struct pump {
    struct outlet outlet;
    struct link *link;
    struct session *session;
    const struct pump_ops *ops;
    void *owner;
};

extern const struct link_ops pump_link_ops;

/** LINK's ops and owner become the pump's; SESSION must use P->outlet. */
void pump_attach(struct pump *p, struct link *link, struct session *session,
                 const struct pump_ops *ops, void *owner);
/** Prepares the outlet before a session or link exists. */
void pump_init(struct pump *p);

#endif
