/* c-ares and libevent, glued: one event for each socket that c-ares opens, one timer. */
#include "net/resolver.h"

#include "base/check.h"
#include "base/mem.h"
#include "net/link.h"
#include "net/loop.h"

#include <ares.h>
#include <stdio.h>
#include <string.h>

#define QUERY_TIMEOUT_MS 2000
#define QUERY_TRIES 3

struct ares_sock {
    struct list link;
    struct resolver *resolver;
    ares_socket_t fd;
    struct event *ev;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct list socks;
    struct event *timer;
};

struct lookup {
    resolved_cb cb; /* NULL: cancelled */
    void *arg;
    struct loop *loop;
    struct later_link later;
    enum err err;
    struct resolved result;
};

static void arm_timer(struct resolver *r)
{
    struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);
    if (next)
        event_add(r->timer, next);
    else
        event_del(r->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct resolver *r = arg;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(r);
    loop_end_pass(r->loop);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct resolver *r = ((struct ares_sock *)arg)->resolver;
    ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
                    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
    arm_timer(r);
    loop_end_pass(r->loop);
}

static struct ares_sock *sock_find(struct resolver *r, ares_socket_t fd)
{
    for (struct list *l = r->socks.next; l != &r->socks; l = l->next) {
        struct ares_sock *s = container_of(l, struct ares_sock, link);
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static void sock_free(struct ares_sock *s)
{
    list_remove(&s->link);
    if (s->ev)
        event_free(s->ev);
    mem_free(s);
}

static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct ares_sock *s = sock_find(r, fd);
    if (!readable && !writable) {
        if (s)
            sock_free(s);
        return;
    }
    if (!s) {
        s = mem_calloc(1, sizeof *s);
        if (!s)
            return; /* the query times out */
        s->resolver = r;
        s->fd = fd;
        list_add_last(&r->socks, &s->link);
    } else if (s->ev) {
        event_free(s->ev);
    }
    short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);
    s->ev = event_new(r->loop->base, fd, what, on_socket, s);
    if (s->ev)
        event_add(s->ev, NULL);
}

enum err resolver_create(struct loop *loop, const char *servers, struct resolver **ret)
{
    struct resolver *r = mem_calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->loop = loop;
    list_init(&r->socks);
    struct ares_options o = {.timeout = QUERY_TIMEOUT_MS,
                             .tries = QUERY_TRIES,
                             .sock_state_cb = on_sock_state,
                             .sock_state_cb_data = r};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS) {
        mem_free(r);
        return ERR_NOMEM;
    }
    r->timer = event_new(loop->base, -1, 0, on_timer, r);
    if (!r->timer ||
        (*servers && ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS)) {
        resolver_destroy(r);
        return ERR_CONFIG;
    }
    *ret = r;
    return ERR_OK;
}

void resolver_destroy(struct resolver *r)
{
    if (!r)
        return;
    ares_destroy(r->channel);
    while (!list_empty(&r->socks))
        sock_free(container_of(r->socks.next, struct ares_sock, link));
    if (r->timer)
        event_free(r->timer);
    mem_free(r);
}

static void deliver(struct later_link *later)
{
    struct lookup *l = container_of(later, struct lookup, later);
    if (l->cb)
        l->cb(l->arg, l->err, &l->result);
    mem_free(l);
}

static void take_addresses(struct lookup *l, const struct ares_addrinfo *info)
{
    struct resolved *r = &l->result;
    for (const struct ares_addrinfo_node *n = info->nodes; n && r->count < RESOLVED_MAX;
         n = n->ai_next) {
        if ((size_t)n->ai_addrlen > sizeof r->addr[0] ||
            (n->ai_family != AF_INET && n->ai_family != AF_INET6))
            continue;
        memcpy(&r->addr[r->count++], n->ai_addr, (size_t)n->ai_addrlen);
    }
}

/* May come from inside ares_getaddrinfo (hosts file) or ares_destroy: the answer always goes out a
 * turn later. */
static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct lookup *l = arg;
    if (status == ARES_SUCCESS && info)
        take_addresses(l, info);
    if (info)
        ares_freeaddrinfo(info);
    if (status == ARES_ENOMEM)
        l->err = ERR_NOMEM;
    else if (status == ARES_ETIMEOUT)
        l->err = ERR_TIMEOUT;
    else
        l->err = l->result.count ? ERR_OK : ERR_UNRESOLVED;
    later_destroy(l->loop->later, &l->later, deliver);
}

enum err resolver_lookup(struct resolver *r, const char *host, uint16_t port, resolved_cb cb,
                         void *arg, struct lookup **ret)
{
    struct lookup *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->cb = cb;
    l->arg = arg;
    l->loop = r->loop;
    *ret = l;
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(r->channel, host, service, &hints, on_addresses, l);
    arm_timer(r);
    return ERR_OK;
}

void lookup_cancel(struct lookup *l)
{
    l->cb = NULL;
}
