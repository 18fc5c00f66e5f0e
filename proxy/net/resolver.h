/* Names to addresses without waiting: c-ares on the thread's event base (the system's name servers
 * and hosts file, or upstream.dns). */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H
#include "base/err.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define RESOLVED_MAX 8

struct loop;
struct resolver;
struct lookup;

struct resolved {
    struct sockaddr_storage addr[RESOLVED_MAX];
    int count;
};
/** E is ERR_OK (count > 0), ERR_UNRESOLVED, ERR_TIMEOUT or ERR_NOMEM. Never from inside
 * resolver_lookup. */
typedef void (*resolved_cb)(void *arg, enum err e, const struct resolved *r);

/** SERVERS: comma-separated, "" for the system's. */
enum err resolver_create(struct loop *loop, const char *servers, struct resolver **ret) NODISCARD;
void resolver_destroy(struct resolver *r);
enum err resolver_lookup(struct resolver *r, const char *host, uint16_t port, resolved_cb cb,
                         void *arg, struct lookup **ret) NODISCARD;
/** No callback follows. */
void lookup_cancel(struct lookup *l);

#endif
