/* Dialling: the addresses that were checked are the addresses that are dialled, so a name cannot
 * change its mind in between. */
#include "net/dial.h"

#include "base/check.h"
#include "base/mem.h"
#include "net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#define STAGGER_MS 250u /* before the next address is tried beside the first */

struct attempt {
    struct dial *dial;
    int fd; /* -1: not started or over */
    struct event ev;
};

struct dial {
    struct dialer dialer;
    dial_cb cb;
    void *arg;
    struct lookup *lookup;
    struct resolved addrs;
    struct attempt attempts[RESOLVED_MAX];
    int next, open;
    struct event soon; /* a literal address is answered a turn later */
    bool has_soon;
    struct authority target; /* behind a parent proxy */
    int parent_fd;           /* -1: not there yet */
    struct event parent_ev;
    char answer[PARENT_ANSWER_MAX];
    size_t answer_n;
    enum err last;
    bool is_over, is_exempt;
    struct deadline total, stagger;
    struct later_link later;
};

static void free_dial(struct later_link *later)
{
    mem_free(container_of(later, struct dial, later));
}

static void end_attempt(struct attempt *a)
{
    if (a->fd < 0)
        return;
    event_del(&a->ev);
    close(a->fd);
    a->fd = -1;
    a->dial->open--;
}

static void release(struct dial *d)
{
    d->is_over = true;
    if (d->lookup)
        lookup_cancel(d->lookup);
    d->lookup = NULL;
    for (int i = 0; i < RESOLVED_MAX; i++)
        end_attempt(&d->attempts[i]);
    if (d->has_soon)
        event_del(&d->soon);
    if (d->parent_fd >= 0) {
        event_del(&d->parent_ev);
        close(d->parent_fd);
        d->parent_fd = -1;
    }
    deadline_clear(&d->total);
    deadline_clear(&d->stagger);
    later_destroy(d->dialer.loop->later, &d->later, free_dial);
}

static void finish(struct dial *d, enum err e, int fd)
{
    if (d->is_over)
        return;
    dial_cb cb = d->cb;
    void *arg = d->arg;
    release(d);
    cb(arg, e, fd);
}

void dial_cancel(struct dial *d)
{
    if (d && !d->is_over)
        release(d);
}

static void try_next(struct dial *d);

/* ---- through a parent proxy ---- */

/* Bytes behind the answer's head stay in the socket. */
static enum parent_says parent_read(struct dial *d)
{
    size_t room = sizeof d->answer - d->answer_n;
    ssize_t n = recv(d->parent_fd, d->answer + d->answer_n, room, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? PARENT_MORE : PARENT_NO;
    if (n == 0)
        return PARENT_NO;
    size_t take = (size_t)n, end = 0, had = d->answer_n;
    enum parent_says says = parent_answer(slice_make(d->answer, had + take), &end);
    if (end)
        take = end - had;
    if (recv(d->parent_fd, d->answer + had, take, MSG_DONTWAIT) != (ssize_t)take)
        return PARENT_NO;
    d->answer_n += take;
    return says;
}

static void on_parent(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dial *d = arg;
    struct loop *loop = d->dialer.loop;
    loop_now(loop);
    enum parent_says says = parent_read(d);
    if (says == PARENT_YES) {
        event_del(&d->parent_ev);
        d->parent_fd = -1;
        finish(d, ERR_OK, (int)fd);
    } else if (says == PARENT_NO) {
        finish(d, ERR_REFUSED, -1);
    }
    loop_end_pass(loop);
}

static void ask_parent(struct dial *d, int fd)
{
    char host[HOST_MAX + 16], text[HOST_MAX * 2 + 640];
    d->parent_fd = fd;
    event_assign(&d->parent_ev, d->dialer.loop->base, fd, EV_READ | EV_PERSIST, on_parent, d);
    event_priority_set(&d->parent_ev, 1);
    event_add(&d->parent_ev, NULL);
    deadline_clear(&d->stagger);
    for (int i = 0; i < RESOLVED_MAX; i++)
        end_attempt(&d->attempts[i]);
    authority_print(&d->target, host, sizeof host);
    int n = snprintf(text, sizeof text, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, host,
                     d->dialer.parent->login);
    bool ok = n > 0 && (size_t)n < sizeof text &&
              send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
    mem_wipe(text, sizeof text);
    if (!ok)
        finish(d, ERR_REFUSED, -1);
}

static void on_attempt(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct attempt *a = arg;
    struct dial *d = a->dial;
    struct loop *loop = d->dialer.loop;
    loop_now(loop);
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0) {
        event_del(&a->ev);
        a->fd = -1;
        d->open--;
        if (d->dialer.parent)
            ask_parent(d, (int)fd);
        else
            finish(d, ERR_OK, fd);
    } else {
        d->last = error == ETIMEDOUT ? ERR_TIMEOUT : ERR_REFUSED;
        end_attempt(a);
        try_next(d);
    }
    loop_end_pass(loop);
}

static socklen_t addr_len(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static bool start_attempt(struct dial *d, int i)
{
    struct attempt *a = &d->attempts[i];
    const struct sockaddr_storage *to = &d->addrs.addr[i];
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        d->last = errno == EMFILE || errno == ENFILE ? ERR_LIMIT : ERR_REFUSED;
        return false;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)to, addr_len(to)) != 0 && errno != EINPROGRESS) {
        close(fd);
        d->last = ERR_REFUSED;
        return false;
    }
    a->fd = fd;
    d->open++;
    event_assign(&a->ev, d->dialer.loop->base, fd, EV_WRITE, on_attempt, a);
    event_priority_set(&a->ev, 1);
    event_add(&a->ev, NULL);
    return true;
}

static void try_next(struct dial *d)
{
    while (!d->is_over && d->next < d->addrs.count) {
        int i = d->next++;
        if (!start_attempt(d, i))
            continue;
        if (d->next < d->addrs.count)
            deadline_set(&d->dialer.loop->wheel, &d->stagger, d->dialer.loop->now_ms + STAGGER_MS);
        return;
    }
    if (!d->is_over && d->open == 0)
        finish(d, d->last, -1);
}

static void on_stagger(struct deadline *dl)
{
    try_next(container_of(dl, struct dial, stagger));
}

static void on_total(struct deadline *dl)
{
    finish(container_of(dl, struct dial, total), ERR_TIMEOUT, -1);
}

/* Keeps the addresses that policy lets us dial. */
static void keep_allowed(struct dial *d)
{
    int kept = 0;
    for (int i = 0; i < d->addrs.count; i++)
        if (d->is_exempt ||
            policy_may_dial(d->dialer.policy, (const struct sockaddr *)&d->addrs.addr[i]))
            d->addrs.addr[kept++] = d->addrs.addr[i];
    d->addrs.count = kept;
}

static void on_resolved(void *arg, enum err e, const struct resolved *r)
{
    struct dial *d = arg;
    d->lookup = NULL;
    if (e != ERR_OK) {
        finish(d, e == ERR_TIMEOUT ? ERR_UNRESOLVED : e, -1);
    } else {
        d->addrs = *r;
        keep_allowed(d);
        d->last = ERR_REFUSED;
        if (d->addrs.count == 0)
            finish(d, ERR_DENIED, -1);
        else
            try_next(d);
    }
    loop_end_pass(d->dialer.loop);
}

static bool literal(const struct authority *a, struct resolved *r)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&r->addr[0];
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&r->addr[0];
    if (inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
    } else if (inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(a->port);
    } else {
        return false;
    }
    r->count = 1;
    return true;
}

/* Nobody's callback runs inside dial_start. */
static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct dial *d = arg;
    struct resolved r = d->addrs;
    loop_now(d->dialer.loop);
    on_resolved(d, ERR_OK, &r);
}

enum err dial_start(const struct dialer *dialer, const struct authority *to, dial_cb cb, void *arg,
                    struct dial **ret)
{
    struct dial *d = mem_calloc(1, sizeof *d);
    if (!d)
        return ERR_NOMEM;
    struct loop *loop = dialer->loop;
    d->dialer = *dialer;
    d->cb = cb;
    d->arg = arg;
    d->stagger.fire = on_stagger;
    d->total.fire = on_total;
    for (int i = 0; i < RESOLVED_MAX; i++)
        d->attempts[i] = (struct attempt){.dial = d, .fd = -1};
    const struct connect_to *mapped = policy_connect_to(dialer->policy, to);
    const struct authority *real = mapped ? &mapped->to : to;
    d->parent_fd = -1;
    d->is_exempt = mapped != NULL || dialer->parent;
    if (dialer->parent) { /* the operator named it; what it may reach is its own policy */
        d->target = *real;
        real = &dialer->parent->at;
    }
    enum err e = ERR_OK;
    if (literal(real, &d->addrs)) {
        event_assign(&d->soon, loop->base, -1, 0, on_soon, d);
        event_priority_set(&d->soon, 1);
        event_active(&d->soon, EV_TIMEOUT, 0);
        d->has_soon = true;
    } else {
        e = resolver_lookup(dialer->resolver, real->host, real->port, on_resolved, d, &d->lookup);
    }
    if (e != ERR_OK) {
        mem_free(d);
        return e;
    }
    deadline_set(&loop->wheel, &d->total, loop_now(loop) + dialer->connect_timeout_ms);
    *ret = d;
    return ERR_OK;
}
