/* The life of one client connection, and the list of all of a worker's. */
#include "gate/gate_internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "http/h2.h"
#include "stub/pages.h"
#include "tls/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the end ---- */

static void free_gate(struct later_link *later)
{
    struct gate *g = container_of(later, struct gate, later);
    if (g->pump.session != g->old_session)
        session_destroy(g->pump.session);
    session_destroy(g->old_session);
    g->magic = 0;
    mem_free(g);
}

static const char *kind_of(const struct gate *g)
{
    if (g->state == GATE_TUNNEL || g->state == GATE_DIAL)
        return "tunnel";
    return g->state == GATE_SWAP || g->state == GATE_TLS ? "swap" : "direct";
}

static void log_end(const struct gate *g)
{
    const struct link *l = g->pump.link;
    const SSL *ssl = l ? l->ssl : NULL;
    LOG(LOG_INFO, "connection", KV_U("conn", g->info.conn_id), KV_Z("peer", g->peer_text),
        KV_Z("kind", kind_of(g)), KV_S("host", authority_host(&g->info.authority)),
        KV_U("port", g->info.authority.port), KV_Z("tls", ssl ? SSL_get_version(ssl) : ""),
        KV_U("requests", g->requests), KV_U("up", l ? l->bytes_in : g->bytes_up),
        KV_U("down", l ? l->bytes_out : g->bytes_down),
        KV_U("ms", g->gates->loop->now_ms - g->began_ms), KV_Z("reason", g->reason));
}

/* Ends the gate; the link has been let go already, or goes now. */
void gate_over(struct gate *g, const char *why)
{
    if (g->state == GATE_OVER)
        return;
    if (!g->reason)
        g->reason = why;
    log_end(g);
    g->state = GATE_OVER;
    deadline_clear(&g->deadline);
    dial_cancel(g->dial);
    tunnel_destroy(g->tunnel);
    list_remove(&g->link_all);
    g->gates->count--;
    mem_free(g->header);
    g->header = NULL;
    g->gates->gone(g->gates, g->has_entered ? &g->peer : NULL);
    later_destroy(g->gates->loop->later, &g->later, free_gate);
}

static void drop_link(struct gate *g)
{
    struct link *l = g->pump.link;
    if (l) {
        if (g->pump.session && g->pump.session->has_stream)
            session_abort(g->pump.session);
        link_destroy(l, false);
    }
}

void gate_end(struct gate *g, const char *why)
{
    if (g->state == GATE_OVER)
        return;
    drop_link(g);
    gate_over(g, why);
}

/* ---- what the session says ---- */

static void on_open(struct session *s, struct stream *st);

static void on_finished(struct session *s)
{
    struct gate *g = obj_from(s->owner, GATE_MAGIC);
    if (g->state == GATE_OVER || s != g->pump.session)
        return;
    struct link *l = g->pump.link;
    if (s->is_broken) {
        /* What came before the cut is the client's; then the reset. */
        if (!link_flush_now(l) && g->state == GATE_OVER)
            return;
        link_abort(l);
    } else {
        link_finish(l, true);
    }
    gate_over(g, s->is_broken ? "broken_off" : s->fault.status ? s->fault.reason : "done");
}

static void fault(struct gate *g, const struct fault *f)
{
    struct link *l = g->pump.link;
    if (g->state == GATE_OVER)
        return;
    figure_add(&g->gates->counters->requests_malformed, 1);
    g->gates->caller_failed(g->gates, &g->peer, f->reason);
    if (g->pump.session->is_answered || g->pump.session->is_h2) {
        link_finish(l, true); /* told already: a second answer would be taken for the next one */
    } else if (g->pump.session->is_answering) {
        link_destroy(l, false);
    } else {
        answer_fault(g, f);
        link_finish(l, true);
    }
    gate_over(g, f->reason);
}

static void on_late_fault(struct session *s, const struct fault *f)
{
    fault(obj_from(s->owner, GATE_MAGIC), f);
}

/* One stream was no request; the codec has said so, and the others go on. */
static void on_refused(struct session *s, const struct fault *f)
{
    struct gate *g = obj_from(s->owner, GATE_MAGIC);
    figure_add(&g->gates->counters->requests_malformed, 1);
    g->gates->caller_failed(g->gates, &g->peer, f->reason);
}

static const struct session_sink session_sink = {.on_open = on_open,
                                                 .on_finished = on_finished,
                                                 .on_fault = on_late_fault,
                                                 .on_refused = on_refused};

/* ---- streams that we answer ourselves, or hand to an exchange ---- */

static void stream_head(struct stream *st, const struct head *h, bool end)
{
    struct gate *g = obj_from(st->owner, GATE_MAGIC);
    g->requests++;
    g->head_began_ms = 0;
    if (g->state == GATE_SWAP)
        exchange_begin(g->gates->svc, &g->info, st, h, end);
    else if (slice_eq(h->method, SLICE("CONNECT")))
        connect_begin(g, st, h, end);
    else
        local_begin(g, st, h, end);
}

static void stream_body(struct stream *st, const void *p, size_t n, bool end)
{
    (void)p;
    (void)end;
    stream_credit(st, n); /* a body for a page: nobody wants it */
}

static void stream_sent(struct stream *st, size_t n)
{
    (void)st;
    (void)n;
}

static void stream_close(struct stream *st, enum why why)
{
    (void)why;
    struct gate *g = obj_from(st->owner, GATE_MAGIC);
    g->stream = NULL;
    g->want = NULL;
    dial_cancel(g->dial);
    g->dial = NULL;
}

static const struct stream_sink own_sink = {.on_head = stream_head,
                                            .on_body = stream_body,
                                            .on_sent = stream_sent,
                                            .on_close = stream_close};

static void on_open(struct session *s, struct stream *st)
{
    st->sink = &own_sink;
    st->owner = s->owner;
}

/* ---- what the link says, by way of the pump ---- */

static const struct pump_ops gate_pump_ops;

static bool start_session(struct gate *g, enum gate_state state)
{
    bool is_h2 = state == GATE_SWAP && tls_chose_h2(g->pump.link->ssl);
    struct session *s =
        is_h2 ? h2_create(ROLE_SERVER, &g->gates->limits, &g->pump.outlet, &session_sink, g)
              : h1_create(ROLE_SERVER, &g->gates->limits, &g->pump.outlet, &session_sink, g);
    if (!s)
        return false;
    pump_attach(&g->pump, g->pump.link, s, &gate_pump_ops, g);
    g->pump.link->cut_on_hangup = true; /* whoever is gone gets no answer: the provider must know */
    if (g->gates->is_draining)
        session_drain(s); /* one request yet, then it ends */
    g->state = state;
    struct loop *loop = g->gates->loop;
    g->active_ms = loop->now_ms;
    g->head_began_ms = loop->now_ms; /* the first head is due at once */
    deadline_set(&loop->wheel, &g->deadline,
                 loop->now_ms + (uint64_t)g->gates->conf->limits.header_timeout * 1000u);
    if (is_h2)
        session_flushed(s, 0); /* its SETTINGS leave */
    return true;
}

static void on_ready(struct pump *p)
{
    struct gate *g = obj_from(p->owner, GATE_MAGIC);
    if (g->state == GATE_TLS) {
        g->info.sni_differs = !tls_sni_matches(p->link->ssl, authority_host(&g->info.authority));
        figure_add(&g->gates->counters->tls_swaps, 1);
    }
    g->info.is_intercepted = g->state == GATE_TLS;
    if (!start_session(g, g->state == GATE_TLS ? GATE_SWAP : GATE_FIRST)) {
        gate_end(g, "memory");
        return;
    }
    session_destroy(g->old_session); /* an idle connection holds nothing that it does not need */
    g->old_session = NULL;
}

static void on_fault(struct pump *p)
{
    struct gate *g = obj_from(p->owner, GATE_MAGIC);
    fault(g, &p->session->fault);
}

static void on_end(struct pump *p, enum err e, const char *why)
{
    struct gate *g = obj_from(p->owner, GATE_MAGIC);
    if (g->state == GATE_TLS || g->state == GATE_OUTER_TLS) {
        figure_add(&g->gates->counters->tls_failures, 1);
        g->gates->caller_failed(g->gates, &g->peer, why);
    }
    if (g->state == GATE_TLS && tls_is_distrust(why)) {
        figure_add(&g->gates->counters->tls_distrusts, 1);
        g->gates->distrusted(g->gates, &g->peer, authority_host(&g->info.authority), why);
    }
    if (g->state == GATE_OVER)
        return;
    link_destroy(p->link, e == ERR_OK);
    gate_over(g, why);
}

static void on_fed(struct pump *p)
{
    struct gate *g = obj_from(p->owner, GATE_MAGIC);
    g->active_ms = g->gates->loop->now_ms;
    if (g->want)
        connect_continue(g);
    if (g->state == GATE_OVER || p->session->has_stream || session_is_idle(p->session) ||
        g->head_began_ms)
        return;
    g->head_began_ms = g->active_ms; /* the first bytes of a head */
    deadline_set(&g->gates->loop->wheel, &g->deadline,
                 g->active_ms + (uint64_t)g->gates->conf->limits.header_timeout * 1000u);
}

static const struct pump_ops gate_pump_ops = {
    .on_ready = on_ready, .on_fault = on_fault, .on_end = on_end, .on_fed = on_fed};

/* ---- time ---- */

static void head_late(struct gate *g)
{
    struct fault f = {408, "header_timeout"};
    struct link *l = g->pump.link;
    if (g->pump.session->is_h2)
        session_drain(g->pump.session);
    else
        answer_fault(g, &f);
    link_finish(l, true);
    gate_over(g, f.reason);
}

static void on_deadline(struct deadline *d)
{
    struct gate *g = container_of(d, struct gate, deadline);
    struct loop *loop = g->gates->loop;
    uint64_t now = loop->now_ms;
    uint64_t head_ms = (uint64_t)g->gates->conf->limits.header_timeout * 1000u;
    uint64_t idle_ms = (uint64_t)g->gates->conf->limits.idle_timeout * 1000u;
    if (g->state == GATE_TLS || g->state == GATE_OUTER_TLS) {
        figure_add(&g->gates->counters->tls_failures, 1);
        gate_end(g, "tls_timeout");
        return;
    }
    if (g->state == GATE_HEADER) {
        gate_end(g, "proxy_header_timeout");
        return;
    }
    if (g->state == GATE_DIAL || g->state == GATE_TUNNEL || g->state == GATE_OVER)
        return; /* theirs are other deadlines */
    bool has_stream = g->pump.session->has_stream;
    bool is_ours = g->stream != NULL; /* no exchange watches over it */
    if (is_ours && now >= g->active_ms + idle_ms && g->pump.link->bytes_out == g->bytes_seen) {
        gate_end(g, "silence");
        return;
    }
    if (has_stream && (!is_ours || g->pump.link->bytes_out != g->bytes_seen))
        g->active_ms = now;
    g->bytes_seen = g->pump.link->bytes_out;
    if (!has_stream && g->head_began_ms && now >= g->head_began_ms + head_ms) {
        if (session_is_idle(g->pump.session) && g->requests == 0 && g->state == GATE_FIRST)
            gate_end(g, "header_timeout"); /* not a byte: nothing to answer */
        else
            head_late(g);
        return;
    }
    if (!has_stream && !g->head_began_ms && now >= g->active_ms + idle_ms) {
        struct link *l = g->pump.link;
        session_drain(g->pump.session); /* HTTP/2 says so; HTTP/1 has no word for it */
        link_finish(l, false);
        gate_over(g, "idle");
        return;
    }
    uint64_t next =
        g->head_began_ms && !has_stream ? g->head_began_ms + head_ms : g->active_ms + idle_ms;
    if (has_stream || next > now + head_ms)
        next = now + head_ms; /* a look now and then */
    deadline_set(&loop->wheel, &g->deadline, next);
}

/* ---- the verbs of the room ---- */

void gate_print_peer(struct gate *g)
{
    const struct sockaddr_storage *a = &g->peer;
    char ip[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)a;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        port = ntohs(v4->sin_port);
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)a;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        port = ntohs(v6->sin6_port);
    }
    snprintf(g->peer_text, sizeof g->peer_text, a->ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
             port);
}

static enum err start_outer_tls(struct gate *g, const void *seen, size_t n)
{
    struct page_facts facts;
    SSL_CTX *ctx;
    g->gates->page_facts(g->gates, &facts);
    enum err e = tls_server_ctx(g->gates->tls, slice_of(facts.proxy_host), &ctx);
    SSL *ssl = e == ERR_OK ? SSL_new(ctx) : NULL;
    if (!ssl)
        return e == ERR_OK ? ERR_NOMEM : e;
    tls_set_outer(ssl);
    g->state = GATE_OUTER_TLS;
    struct loop *loop = g->gates->loop;
    deadline_set(&loop->wheel, &g->deadline,
                 loop->now_ms + (uint64_t)g->gates->conf->limits.header_timeout * 1000u);
    return link_start_tls(g->pump.link, ssl, true, seen, n);
}

void gate_begin(struct gate *g, const void *seen, size_t n)
{
    struct link *l = g->pump.link;
    pump_attach(&g->pump, l, NULL, &gate_pump_ops, g);
    bool ok = g->tls_first ? start_outer_tls(g, seen, n) == ERR_OK : start_session(g, GATE_FIRST);
    if (!ok)
        gate_end(g, "memory");
    else if (n && !g->tls_first)
        pump_link_ops.on_data(l, seen, n);
}

/* PEER has its place in the limits, or (HAS_ENTERED false) is still to say for whom it speaks. */
static struct gate *make_gate(struct gates *gates, int fd, const struct sockaddr_storage *peer,
                              bool tls_first, bool has_entered)
{
    struct gate *g = mem_calloc(1, sizeof *g);
    struct link *l = g ? link_create(gates->loop, fd, &pump_link_ops, &g->pump) : NULL;
    if (!l) {
        if (!g)
            close(fd);
        mem_free(g);
        gates->gone(gates, has_entered ? peer : NULL);
        return NULL;
    }
    g->magic = GATE_MAGIC;
    g->gates = gates;
    g->peer = *peer;
    g->has_entered = has_entered;
    g->tls_first = tls_first;
    g->began_ms = gates->loop->now_ms;
    g->deadline.fire = on_deadline;
    pump_init(&g->pump);
    g->pump.link = l;
    gate_print_peer(g);
    g->info.conn_id = gates->next_conn_id(gates);
    g->info.peer = g->peer_text;
    list_add_last(&gates->all, &g->link_all);
    gates->count++;
    figure_add(&gates->counters->connections, 1);
    return g;
}

void gate_accept(struct gates *gates, int fd, const struct sockaddr_storage *peer, bool tls_first)
{
    struct gate *g = make_gate(gates, fd, peer, tls_first, true);
    if (g)
        gate_begin(g, NULL, 0);
}

void gate_accept_for(struct gates *gates, int fd, const struct sockaddr_storage *balancer,
                     bool tls_first)
{
    struct gate *g = make_gate(gates, fd, balancer, tls_first, false);
    if (g)
        header_begin(g);
}

void gates_drain(struct gates *gates)
{
    gates->is_draining = true;
    struct list *next;
    for (struct list *l = gates->all.next; l != &gates->all; l = next) {
        struct gate *g = container_of(l, struct gate, link_all);
        next = l->next;
        if (g->state == GATE_HEADER) {
            gate_end(g, "drain");
            continue;
        }
        if (g->state != GATE_SWAP && g->state != GATE_FIRST)
            continue;
        session_drain(g->pump.session);
        if (session_is_idle(g->pump.session)) {
            link_finish(g->pump.link, false);
            gate_over(g, "drain");
        }
    }
}

void gates_abort(struct gates *gates)
{
    while (!list_empty(&gates->all))
        gate_end(container_of(gates->all.next, struct gate, link_all), "shutdown");
}
