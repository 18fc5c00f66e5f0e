/* Accepting. */
#include "net/listener.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/net_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define ACCEPT_ROUNDS 64
#define REST_MS 1000u

struct listener {
    struct loop *loop;
    int fd;
    struct event *ev;
    struct deadline rest;
    int batch; /* connections to take in one turn */
    accept_cb cb;
    void *arg;
};

/* "host:port" to its two parts; an empty host is any address. */
static bool split(const char *address, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return false;
    struct slice h = slice_make(address, (size_t)(colon - address));
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = slice_sub(h, 1, h.n - 1);
    return slice_copy(h, host, host_size) && slice_copy(slice_of(colon + 1), port, port_size);
}

static int bind_one(const struct addrinfo *a, bool reuse_port)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* what is accepted inherits it */
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

enum err listener_bind(const char *address, bool reuse_port, int *ret_fd, struct errmsg *msg)
{
    char host[256], port[16];
    if (!split(address, host, sizeof host, port, sizeof port))
        return err_set(msg, ERR_CONFIG, "listen: %s is no host:port", address);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int r = getaddrinfo(*host ? host : "::", port, &hints, &list);
    if (r != 0)
        return err_set(msg, ERR_CONFIG, "listen: %s: %s", address, gai_strerror(r));
    int fd = -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = bind_one(a, reuse_port);
    int e = errno;
    freeaddrinfo(list);
    if (fd < 0)
        return err_set(msg, ERR_IO, "listen: %s: %s", address,
                       e == EADDRINUSE ? "the address is in use" : "cannot be bound");
    *ret_fd = fd;
    return ERR_OK;
}

static bool is_out_of_resources(int e)
{
    return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM;
}

static void rest(struct listener *l)
{
    LOG(LOG_WARN, "accept_paused", KV_Z("reason", "no descriptors"));
    event_del(l->ev);
    deadline_set(&l->loop->wheel, &l->rest, l->loop->now_ms + REST_MS);
}

static void on_rested(struct deadline *d)
{
    struct listener *l = container_of(d, struct listener, rest);
    event_add(l->ev, NULL);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct listener *l = arg;
    struct loop *loop = l->loop;
    loop_now(loop);
    int i = 0;
    for (; i < l->batch; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int c = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (c < 0) {
            if (is_out_of_resources(errno))
                rest(l);
            break;
        }
        l->cb(l->arg, c, &peer);
    }
    /* The call that hears that there is no more is made only when they come in crowds. */
    l->batch = i < l->batch ? 1 : l->batch < ACCEPT_ROUNDS ? l->batch * 2 : l->batch;
    links_flush(loop);
}

enum err listener_start(struct loop *loop, int fd, accept_cb cb, void *arg, struct listener **ret)
{
    struct listener *l = mem_calloc(1, sizeof *l);
    struct event *ev = l ? event_new(loop->base, fd, EV_READ | EV_PERSIST, on_acceptable, l) : NULL;
    if (!ev) {
        close(fd);
        mem_free(l);
        return ERR_NOMEM;
    }
    *l = (struct listener){.loop = loop, .fd = fd, .ev = ev, .batch = 1, .cb = cb, .arg = arg};
    l->rest.fire = on_rested;
    event_priority_set(ev, 1);
    event_add(ev, NULL);
    *ret = l;
    return ERR_OK;
}

void listener_stop(struct listener *l)
{
    if (!l)
        return;
    event_free(l->ev);
    deadline_clear(&l->rest);
    close(l->fd);
    mem_free(l);
}
