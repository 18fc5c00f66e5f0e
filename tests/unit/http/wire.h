/* One end of a session without sockets: an outlet that collects, a sink that writes down what it is
 * told, in words that do not depend on how the bytes were cut. */
#ifndef UNIT_HTTP_WIRE_H
#define UNIT_HTTP_WIRE_H
#include "base/check.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "http/stream.h"

#include <stdio.h>

struct wire {
    struct session *s;
    struct outlet out;
    struct stream *st; /* open, or NULL */
    struct sbuf sent;  /* all that was put */
    struct sbuf log;   /* what happened */
    size_t flushed;    /* of sent */
    size_t on_sent;    /* body bytes reported */
    size_t body;       /* body bytes received */
    int opens, heads, closes, finished, faults, readable;
    enum why why;
    struct fault fault; /* by on_fault */
    bool in_body, request_over, answer_over;
    bool is_finished, nudged;
    bool refuse_open, reset_on_head, reset_on_body, credit, idle_at_close, reopened;
    bool forget_body; /* count it only */
    struct session_limits limits;
};

static inline struct wire *wire_of(struct session *s)
{
    return s->owner;
}

static inline void wire_put(struct outlet *o, const void *p, size_t n)
{
    struct wire *w = o->owner;
    w->nudged |= n == 0;
    sbuf_add(&w->sent, p, n);
}

static inline void wire_readable(struct outlet *o)
{
    ((struct wire *)o->owner)->readable++;
}

static inline const char *wire_framing(const struct head *h, char buf[32])
{
    switch (h->body) {
    case BODY_NONE:
        return "none";
    case BODY_CHUNKED:
        return "chunked";
    case BODY_UNTIL_CLOSE:
        return "close-delimited";
    case BODY_LENGTH:
        break;
    }
    snprintf(buf, 32, "%llu", (unsigned long long)h->content_length);
    return buf;
}

/* The normal form of vectors.h. */
static inline void wire_normal(enum role role, const struct head *h, bool end, struct sbuf *to)
{
    char buf[32];
    if (role == ROLE_SERVER) {
        sbuf_add_slice(to, h->method);
        sbuf_addc(to, ' ');
        sbuf_add_slice(to, h->path);
        if (h->authority.n) {
            sbuf_addc(to, ' ');
            sbuf_add_slice(to, h->authority);
        }
    } else {
        sbuf_addf(to, "%d ", h->status);
        sbuf_add_slice(to, h->reason);
    }
    sbuf_addf(to, " 1.%u %s ", (unsigned)h->minor, h->keep_alive ? "keep" : "close");
    sbuf_adds(to, wire_framing(h, buf));
    if (h->wants_upgrade)
        sbuf_adds(to, " upgrade");
    if (h->expects_continue)
        sbuf_adds(to, " expects");
    if (end && h->body == BODY_LENGTH && h->content_length)
        sbuf_adds(to, " bodiless");
    for (uint32_t i = 0; i < h->count; i++) {
        sbuf_adds(to, "; ");
        sbuf_add_slice(to, h->fields[i].name);
        sbuf_adds(to, ": ");
        sbuf_add_slice(to, h->fields[i].value);
    }
}

static inline void wire_on_head(struct stream *st, const struct head *h, bool end)
{
    struct wire *w = st->owner;
    CHECK(w->st == st);
    w->heads++;
    w->in_body = false;
    sbuf_adds(&w->log, "[");
    wire_normal(w->s->role, h, end, &w->log);
    sbuf_adds(&w->log, "]");
    w->request_over = end;
    if (w->reset_on_head)
        stream_reset(st);
}

static inline void wire_on_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct wire *w = st->owner;
    CHECK(w->st == st && w->heads > 0 && !w->request_over);
    if (!w->forget_body)
        sbuf_add(&w->log, p, n);
    w->body += n;
    if (w->credit)
        stream_credit(st, n);
    if (end) {
        sbuf_adds(&w->log, "<end>");
        w->request_over = true;
    }
    if (w->reset_on_body)
        stream_reset(st);
}

static inline void wire_on_sent(struct stream *st, size_t n)
{
    struct wire *w = st->owner;
    CHECK(w->st == st);
    w->on_sent += n;
}

static inline void wire_on_close(struct stream *st, enum why why)
{
    struct wire *w = st->owner;
    CHECK(w->st == st); /* exactly once */
    w->st = NULL;
    w->closes++;
    w->why = why;
    w->idle_at_close = session_is_idle(w->s);
    static const char *const words[] = {"done", "reset", "proto", "local"};
    sbuf_addf(&w->log, "(%s)", words[why]);
}

static const struct stream_sink wire_sink = {.on_head = wire_on_head,
                                             .on_body = wire_on_body,
                                             .on_sent = wire_on_sent,
                                             .on_close = wire_on_close};

static inline void wire_on_open(struct session *s, struct stream *st)
{
    struct wire *w = wire_of(s);
    CHECK(!w->st && !w->is_finished);
    w->opens++;
    w->heads = 0;
    w->request_over = w->answer_over = false;
    if (w->refuse_open) { /* no memory for an owner */
        stream_reset(st);
        return;
    }
    w->st = st;
    st->sink = &wire_sink;
    st->owner = w;
}

static inline void wire_on_finished(struct session *s)
{
    struct wire *w = wire_of(s);
    CHECK(!w->is_finished);
    w->is_finished = true;
    w->finished++;
}

static inline void wire_on_fault(struct session *s, const struct fault *f)
{
    struct wire *w = wire_of(s);
    w->faults++;
    w->fault = *f;
}

static const struct session_sink wire_session_sink = {
    .on_open = wire_on_open, .on_finished = wire_on_finished, .on_fault = wire_on_fault};

static inline bool wire_init(struct wire *w, enum role role)
{
    *w = (struct wire){.limits = {.header_bytes = 65536, .header_count = 128}};
    w->out = (struct outlet){.put = wire_put, .readable = wire_readable, .owner = w};
    sbuf_init(&w->sent, 64u << 20);
    sbuf_init(&w->log, 64u << 20);
    w->s = h1_create(role, &w->limits, &w->out, &wire_session_sink, w);
    return w->s != NULL;
}

static inline void wire_finish(struct wire *w)
{
    session_destroy(w->s);
    CHECK(!w->st);
    sbuf_finish(&w->sent);
    sbuf_finish(&w->log);
}

static inline enum err wire_feed(struct wire *w, struct slice s)
{
    return session_feed(w->s, s.p, s.n);
}

/* All that was put leaves; true when there was something. */
static inline bool wire_flush(struct wire *w)
{
    size_t n = w->sent.n - w->flushed;
    bool any = n || w->nudged;
    w->flushed = w->sent.n;
    w->nudged = false;
    if (any)
        session_flushed(w->s, n);
    return any;
}

static inline enum err wire_answer(struct wire *w, int status, const char *body)
{
    struct head h = {.status = status,
                     .reason = SLICE("OK"),
                     .body = BODY_LENGTH,
                     .content_length = strlen(body)};
    w->answer_over = true;
    enum err e = stream_send_head(w->st, &h, !*body);
    return e == ERR_OK && *body ? stream_send_body(w->st, body, strlen(body), true) : e;
}

/* Client role: opens, sends H. */
static inline void wire_ask_head(struct wire *w, const struct head *h, bool end)
{
    w->st = session_open(w->s);
    CHECK(w->st != NULL);
    w->heads = 0;
    w->request_over = false;
    w->st->sink = &wire_sink;
    w->st->owner = w;
    CHECK(stream_send_head(w->st, h, end) == ERR_OK);
    wire_flush(w);
}

/* METHOD /, all of it. */
static inline void wire_ask(struct wire *w, const char *method)
{
    struct head h = {.method = slice_of(method), .path = SLICE("/"), .authority = SLICE("h")};
    wire_ask_head(w, &h, true);
}

static inline void wire_ask_websocket(struct wire *w)
{
    struct head h = {
        .method = SLICE("GET"), .path = SLICE("/"), .authority = SLICE("h"), .is_websocket = true};
    wire_ask_head(w, &h, false);
}

#endif
