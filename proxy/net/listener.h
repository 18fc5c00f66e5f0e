/* A listening socket of one worker; the kernel spreads connections over the workers (SO_REUSEPORT).
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H
#include "net/loop.h"

#include <sys/socket.h>

struct listener;
/** FD is the callee's. */
typedef void (*accept_cb)(void *arg, int fd, const struct sockaddr_storage *peer);

/** A bound and listening socket: "127.0.0.1:3128", "[::1]:3128", ":3128" (both families). Errors
 * carry a sentence. Thread: main, so that a taken port is known before any thread starts. */
enum err listener_bind(const char *address, bool reuse_port, int *ret_fd,
                       struct errmsg *msg) NODISCARD;
/** Takes FD over. Accepts until stopped; without descriptors it rests for a second instead of
 * spinning. */
enum err listener_start(struct loop *loop, int fd, accept_cb cb, void *arg,
                        struct listener **ret) NODISCARD;
void listener_stop(struct listener *l);

#endif
