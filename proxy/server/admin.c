/* The admin port: health, readiness, status, metrics. Never on the proxy port. Runs on main's loop.
 */
#include "base/mem.h"
#include "conf/conf.h"
#include "net/pump.h"
#include "server/server_internal.h"
#include "stub/answer.h"

#include <unistd.h>

#define ADMIN_MAGIC MAGIC('a', 'd', 'm', 'n')
#define ADMIN_MAX 64u
#define ADMIN_IDLE_MS 30000u

struct admin_conn {
    uint32_t magic;
    struct server *server;
    struct list link;
    struct pump pump;
    struct deadline deadline;
    struct later_link later;
    bool is_over;
};

static void free_conn(struct later_link *later)
{
    struct admin_conn *c = container_of(later, struct admin_conn, later);
    session_destroy(c->pump.session);
    c->magic = 0;
    mem_free(c);
}

static void over(struct admin_conn *c)
{
    if (c->is_over)
        return;
    c->is_over = true;
    list_remove(&c->link);
    deadline_clear(&c->deadline);
    later_destroy(c->server->loop->later, &c->later, free_conn);
}

static void serve(struct admin_conn *c, struct stream *st, const struct head *h)
{
    struct server *s = c->server;
    struct slice path = head_path_only(h);
    struct sbuf body;
    struct answer a = {.status = 200, .content_type = "text/plain; charset=utf-8"};
    sbuf_init(&body, 4u << 20);
    if (!slice_eq(h->method, SLICE("GET")) && !slice_eq(h->method, SLICE("HEAD"))) {
        a.status = 405;
        a.extra = &answer_allow;
        a.extra_count = 1;
    } else if (slice_eq(path, SLICE("/healthz"))) {
        sbuf_adds(&body, "ok\n");
    } else if (slice_eq(path, SLICE("/readyz"))) {
        a.status = ready_print(s, &body) ? 200 : 503;
    } else if (slice_eq(path, SLICE("/status"))) {
        a.content_type = "application/json";
        status_print(s, &body);
    } else if (slice_eq(path, SLICE("/metrics"))) {
        a.content_type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_print(s, &body);
    } else {
        a.status = 404;
        sbuf_adds(&body, "/healthz /readyz /status /metrics\n");
    }
    a.body = sbuf_slice(&body);
    answer_send(st, &a);
    sbuf_finish(&body);
}

static void touch(struct admin_conn *c)
{
    struct loop *loop = c->server->loop;
    deadline_set(&loop->wheel, &c->deadline, loop->now_ms + ADMIN_IDLE_MS);
}

static void on_head(struct stream *st, const struct head *h, bool end)
{
    (void)end;
    struct admin_conn *c = obj_from(st->owner, ADMIN_MAGIC);
    touch(c); /* the time runs from the last question: a scraper keeps its connection */
    serve(c, st, h);
}

static void on_body(struct stream *st, const void *p, size_t n, bool end)
{
    (void)p;
    (void)end;
    stream_credit(st, n);
}

static void on_sent(struct stream *st, size_t n)
{
    (void)st;
    (void)n;
}

static void on_close(struct stream *st, enum why why)
{
    (void)st;
    (void)why;
}

static const struct stream_sink stream_sink = {
    .on_head = on_head, .on_body = on_body, .on_sent = on_sent, .on_close = on_close};

static void on_open(struct session *s, struct stream *st)
{
    st->sink = &stream_sink;
    st->owner = s->owner;
}

static void on_finished(struct session *s)
{
    struct admin_conn *c = obj_from(s->owner, ADMIN_MAGIC);
    if (c->is_over)
        return;
    link_finish(c->pump.link, true);
    over(c);
}

/* As on the proxy port: one answer, no byte of the request in it, and the end. */
static void refuse(struct session *s, const struct fault *f)
{
    struct admin_conn *c = obj_from(s->owner, ADMIN_MAGIC);
    struct sbuf out;
    if (c->is_over)
        return;
    sbuf_init(&out, 512);
    sbuf_addf(&out, "HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", f->status,
              answer_phrase(f->status));
    if (!s->is_answered && !s->is_answering && !out.failed)
        link_put(c->pump.link, out.p, out.n);
    sbuf_finish(&out);
    if (s->is_answering && !s->is_answered)
        link_destroy(c->pump.link, false);
    else
        link_finish(c->pump.link, true);
    over(c);
}

static const struct session_sink session_sink = {
    .on_open = on_open, .on_finished = on_finished, .on_fault = refuse};

static void drop(struct admin_conn *c)
{
    link_destroy(c->pump.link, false);
    over(c);
}

static void on_ready(struct pump *p)
{
    (void)p;
}

static void on_fault(struct pump *p)
{
    refuse(p->session, &p->session->fault);
}

static void on_end(struct pump *p, enum err e, const char *why)
{
    (void)e;
    (void)why;
    drop(obj_from(p->owner, ADMIN_MAGIC));
}

static const struct pump_ops pump_ops = {
    .on_ready = on_ready, .on_fault = on_fault, .on_end = on_end};

static void on_deadline(struct deadline *d)
{
    drop(container_of(d, struct admin_conn, deadline));
}

static uint32_t count_conns(const struct server *s)
{
    uint32_t n = 0;
    for (const struct list *l = s->admin_conns.next; l != &s->admin_conns; l = l->next)
        n++;
    return n;
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *peer)
{
    (void)peer;
    struct server *s = arg;
    static const struct session_limits limits = {16384, 64};
    struct admin_conn *c = count_conns(s) < ADMIN_MAX ? mem_calloc(1, sizeof *c) : NULL;
    struct link *l = c ? link_create(s->loop, fd, &pump_link_ops, &c->pump) : NULL;
    if (!l) {
        if (!c)
            close(fd);
        mem_free(c);
        return;
    }
    c->magic = ADMIN_MAGIC;
    c->server = s;
    pump_init(&c->pump);
    struct session *session = h1_create(ROLE_SERVER, &limits, &c->pump.outlet, &session_sink, c);
    pump_attach(&c->pump, l, session, &pump_ops, c);
    list_add_last(&s->admin_conns, &c->link);
    c->deadline.fire = on_deadline;
    touch(c);
    if (!session)
        drop(c);
}

enum err admin_start(struct server *s, struct errmsg *msg)
{
    int fd = s->admin_fd;
    s->admin_fd = -1;
    if (fd < 0)
        return ERR_OK;
    enum err e = listener_start(s->loop, fd, on_accept, s, &s->admin);
    return e == ERR_OK ? e : err_set(msg, e, "listen.admin cannot be started");
}

void admin_stop(struct server *s)
{
    listener_stop(s->admin);
    s->admin = NULL;
    while (!list_empty(&s->admin_conns))
        drop(container_of(s->admin_conns.next, struct admin_conn, link));
}
