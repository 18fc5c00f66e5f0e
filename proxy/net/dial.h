/* A connected socket to an authority: resolve once, check each address, try them all (RFC 8305 in
 * small). */
#ifndef NET_DIAL_H
#define NET_DIAL_H
#include "net/loop.h"
#include "net/parent.h"
#include "net/resolver.h"
#include "policy/policy.h"

/* What dialling needs of its thread. */
struct dialer {
    struct loop *loop;
    struct resolver *resolver;
    const struct policy *policy;
    uint64_t connect_timeout_ms;
    const struct parent_proxy *parent; /* NULL: none */
};

struct dial;
/** E ERR_OK: FD is connected and the callee's. Else ERR_UNRESOLVED, ERR_DENIED (every address is
 * forbidden), ERR_REFUSED, ERR_TIMEOUT, ERR_NOMEM, LIMIT (no descriptors). Exactly once, never from
 * inside dial_start. */
typedef void (*dial_cb)(void *arg, enum err e, int fd);

/** Follows upstream.connect_to. */
enum err dial_start(const struct dialer *d, const struct authority *to, dial_cb cb, void *arg,
                    struct dial **ret) NODISCARD;
/** No callback follows. */
void dial_cancel(struct dial *d);

#endif
