/* Two links that know nothing but each other. Past a megabyte both sockets of a plain tunnel are
 * joined by pipes. */
#include "net/tunnel.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define QUEUE_MAX (64u * 1024u)
#define SPLICE_AFTER (1024u * 1024u)
#define PIPE_BYTES (256 * 1024)
#define TUNNEL_MAGIC MAGIC('t', 'u', 'n', 'l')

/* One direction once it runs in the kernel: from sockets[i] through a pipe to sockets[!i]. */
struct flow {
    int pipe[2];
    size_t in_pipe;
    bool is_done; /* end seen and passed on */
    bool saw_end;
    struct event read_ev, write_ev;
};

struct tunnel {
    uint32_t magic;
    struct loop *loop;
    struct link *links[2]; /* client, target; NULL when spliced */
    bool has_ended[2];
    uint64_t bytes[2]; /* from links[i] */
    int fds[2];
    struct flow flows[2];
    bool is_spliced, no_splice, is_over;
    uint64_t silence_ms;
    struct deadline deadline;
    tunnel_cb cb;
    void *arg;
    struct later_link later;
};

static void free_tunnel(struct later_link *later)
{
    mem_free(container_of(later, struct tunnel, later));
}

static void close_flows(struct tunnel *t)
{
    for (int i = 0; i < 2; i++) {
        event_del(&t->flows[i].read_ev);
        event_del(&t->flows[i].write_ev);
        close(t->flows[i].pipe[0]);
        close(t->flows[i].pipe[1]);
        close(t->fds[i]);
    }
}

void tunnel_destroy(struct tunnel *t)
{
    if (!t || t->is_over)
        return;
    t->is_over = true;
    for (int i = 0; i < 2; i++)
        link_destroy(t->links[i], false);
    if (t->is_spliced)
        close_flows(t);
    deadline_clear(&t->deadline);
    later_destroy(t->loop->later, &t->later, free_tunnel);
}

static void end(struct tunnel *t, const char *why)
{
    if (t->is_over)
        return;
    tunnel_cb cb = t->cb;
    void *arg = t->arg;
    uint64_t up = t->bytes[0], down = t->bytes[1];
    tunnel_destroy(t);
    cb(arg, why, up, down);
}

static void on_silence(struct deadline *d)
{
    end(container_of(d, struct tunnel, deadline), "silence");
}

static void touch(struct tunnel *t)
{
    deadline_set(&t->loop->wheel, &t->deadline, t->loop->now_ms + t->silence_ms);
}

/* ---- in the kernel ---- */

static void want(struct event *ev, bool on)
{
    if (on)
        event_add(ev, NULL);
    else
        event_del(ev);
}

/* From the socket into the pipe. -1 broken, 0 nothing now, 1 moved. */
static int flow_fill(struct tunnel *t, int i)
{
    struct flow *f = &t->flows[i];
    if (f->saw_end || f->in_pipe)
        return 0;
    ssize_t r =
        splice(t->fds[i], NULL, f->pipe[1], NULL, PIPE_BYTES, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (r < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    f->saw_end = r == 0;
    f->in_pipe = (size_t)r;
    t->bytes[i] += (uint64_t)r;
    return r > 0;
}

/* From the pipe into the other socket. */
static int flow_empty(struct tunnel *t, int i)
{
    struct flow *f = &t->flows[i];
    if (f->in_pipe == 0)
        return 0;
    ssize_t r =
        splice(f->pipe[0], NULL, t->fds[!i], NULL, f->in_pipe, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (r < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    f->in_pipe -= (size_t)r;
    return r > 0;
}

/* Moves one direction as far as it goes, for a while. False: broken. */
static bool flow_step(struct tunnel *t, int i)
{
    struct flow *f = &t->flows[i];
    int filled = 1, emptied = 0;
    for (int round = 0; round < 8 && filled + emptied > 0; round++) {
        filled = flow_fill(t, i);
        emptied = flow_empty(t, i);
        if (filled < 0 || emptied < 0)
            return false;
    }
    if (f->saw_end && f->in_pipe == 0 && !f->is_done) {
        shutdown(t->fds[!i], SHUT_WR);
        f->is_done = true;
    }
    want(&f->read_ev, !f->saw_end && f->in_pipe == 0);
    want(&f->write_ev, f->in_pipe > 0);
    return true;
}

static void flow_event(struct tunnel *t, int i)
{
    loop_now(t->loop);
    touch(t);
    if (!flow_step(t, i))
        end(t, "reset");
    else if (t->flows[0].is_done && t->flows[1].is_done)
        end(t, "done");
    loop_end_pass(t->loop);
}

static void on_flow_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flow_event(obj_from(arg, TUNNEL_MAGIC), 0);
}

static void on_flow_down(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flow_event(obj_from(arg, TUNNEL_MAGIC), 1);
}

static bool make_pipes(struct tunnel *t)
{
    if (pipe2(t->flows[0].pipe, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    if (pipe2(t->flows[1].pipe, O_NONBLOCK | O_CLOEXEC) != 0) {
        close(t->flows[0].pipe[0]);
        close(t->flows[0].pipe[1]);
        return false;
    }
    fcntl(t->flows[0].pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    fcntl(t->flows[1].pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    return true;
}

/* Both sockets leave their links; a pipe that cannot be had leaves all as it was. */
static void start_splice(struct tunnel *t)
{
    if (!make_pipes(t)) {
        t->no_splice = true;
        return;
    }
    for (int i = 0; i < 2; i++) {
        t->fds[i] = link_take_fd(t->links[i]);
        t->links[i] = NULL;
    }
    t->is_spliced = true;
    for (int i = 0; i < 2; i++) {
        struct flow *f = &t->flows[i];
        event_assign(&f->read_ev, t->loop->base, t->fds[i], EV_READ | EV_PERSIST,
                     i ? on_flow_down : on_flow_up, t);
        event_assign(&f->write_ev, t->loop->base, t->fds[!i], EV_WRITE | EV_PERSIST,
                     i ? on_flow_down : on_flow_up, t);
        event_priority_set(&f->read_ev, 1);
        event_priority_set(&f->write_ev, 1);
        event_add(&f->read_ev, NULL);
    }
}

static bool may_splice(const struct tunnel *t)
{
    if (t->no_splice || t->bytes[0] + t->bytes[1] < SPLICE_AFTER)
        return false;
    for (int i = 0; i < 2; i++)
        if (t->has_ended[i] || t->links[i]->ssl || t->links[i]->state != LINK_OPEN ||
            link_queued(t->links[i]))
            return false;
    return true;
}

/* ---- over links ---- */

static int side_of(const struct tunnel *t, const struct link *l)
{
    return t->links[1] == l;
}

static void on_ready(struct link *l)
{
    (void)l;
}

static void on_data(struct link *l, const void *p, size_t n)
{
    struct tunnel *t = obj_from(l->owner, TUNNEL_MAGIC);
    int i = side_of(t, l);
    t->bytes[i] += n;
    touch(t);
    link_put(t->links[!i], p, n);
    if (link_queued(t->links[!i]) > QUEUE_MAX)
        link_pause(l);
}

static void on_flushed(struct link *l, size_t n)
{
    (void)n;
    struct tunnel *t = obj_from(l->owner, TUNNEL_MAGIC);
    int i = side_of(t, l);
    touch(t);
    if (link_queued(l) <= QUEUE_MAX / 2)
        link_resume(t->links[!i]);
    if (may_splice(t))
        start_splice(t);
}

static void on_eof(struct link *l)
{
    struct tunnel *t = obj_from(l->owner, TUNNEL_MAGIC);
    int i = side_of(t, l);
    t->has_ended[i] = true;
    if (!t->has_ended[!i] && !l->is_write_broken) { /* else the other way is of no use any more */
        link_shut(t->links[!i]);
        return;
    }
    for (int k = 0; k < 2; k++) { /* what was put still leaves, both ways */
        struct link *last = t->links[k];
        t->links[k] = NULL;
        link_finish(last, false);
    }
    end(t, "done");
}

static void on_error(struct link *l, enum err e, const char *why)
{
    (void)e;
    end(obj_from(l->owner, TUNNEL_MAGIC), why);
}

static const struct link_ops tunnel_ops = {.on_ready = on_ready,
                                           .on_data = on_data,
                                           .on_eof = on_eof,
                                           .on_error = on_error,
                                           .on_flushed = on_flushed};

enum err tunnel_join(struct link *front, int fd, const void *seen, size_t n, uint64_t silence_ms,
                     tunnel_cb cb, void *arg, struct tunnel **ret)
{
    struct tunnel *t = mem_calloc(1, sizeof *t);
    struct link *back = t ? link_create(front->loop, fd, &tunnel_ops, t) : NULL;
    if (!back) {
        if (!t)
            close(fd);
        mem_free(t);
        link_destroy(front, false);
        return ERR_NOMEM;
    }
    t->magic = TUNNEL_MAGIC;
    t->loop = front->loop;
    t->links[0] = front;
    t->links[1] = back;
    t->silence_ms = silence_ms;
    t->cb = cb;
    t->arg = arg;
    t->deadline.fire = on_silence;
    front->ops = &tunnel_ops;
    front->owner = t;
    touch(t);
    t->bytes[0] = n;
    link_put(back, seen, n);
    link_resume(front);
    *ret = t;
    return ERR_OK;
}
