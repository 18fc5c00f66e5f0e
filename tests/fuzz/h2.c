/* room: http */
/* drives: proxy/http/h2.c proxy/http/h2_head.c */
/* dict: h2 */
/* The first byte says which role and seeds how the rest is cut and what the owners do meanwhile:
 * anything that is legal, at any time. Whatever head comes through can be written in HTTP/1 without
 * a line of the peer's own. */
#include "http/h2.h"
#include "base/check.h"
#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define OWNERS 220

struct owner {
    struct stream *st;
    bool is_head_seen, is_over, is_closed, is_head_sent, is_end_sent;
    size_t held, put, sent;
};

static struct owner owners[OWNERS];
static size_t owner_count;
static unsigned seed;
static struct session *session;
static size_t unflushed;
static bool is_finished;

static unsigned next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 16;
}

static void check_head(const struct head *h)
{
    static char bytes[300000];
    struct sbuf b = {.p = bytes, .size = sizeof bytes, .max = sizeof bytes - 1};
    struct head own = *h;
    CHECK(own.status ? head_write_answer(&own, false, &b) == ERR_OK
                     : slice_eq(h->method, SLICE("CONNECT")) ||
                           head_write_request(&own, SLICE("h"), false, &b) == ERR_OK);
    for (uint32_t i = 0; i < h->count; i++)
        CHECK(is_token(h->fields[i].name) && field_value_ok(h->fields[i].value));
}

static void act(struct owner *o);

static void on_head(struct stream *st, const struct head *h, bool end)
{
    struct owner *o = st->owner;
    CHECK(!o->is_closed && !o->is_head_seen);
    o->is_head_seen = true;
    o->is_over = end;
    check_head(h);
    act(o);
}

static void on_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct owner *o = st->owner;
    volatile unsigned char sum = 0;
    CHECK(!o->is_closed && o->is_head_seen && !o->is_over);
    for (size_t i = 0; i < n; i++)
        sum = (unsigned char)(sum + ((const unsigned char *)p)[i]);
    o->held += n;
    CHECK(o->held <= STREAM_WINDOW);
    o->is_over = end;
    act(o);
}

static void on_trailers(struct stream *st, const struct head *h)
{
    struct owner *o = st->owner;
    CHECK(!o->is_closed && o->is_head_seen && !o->is_over);
    o->is_over = true;
    for (uint32_t i = 0; i < h->count; i++)
        CHECK(is_token(h->fields[i].name) && field_value_ok(h->fields[i].value));
    act(o);
}

static void on_sent(struct stream *st, size_t n)
{
    struct owner *o = st->owner;
    CHECK(!o->is_closed);
    o->sent += n;
    CHECK(o->sent <= o->put);
}

static void on_close(struct stream *st, enum why why)
{
    struct owner *o = st->owner;
    (void)why;
    CHECK(!o->is_closed);
    o->is_closed = true;
    o->st = NULL;
}

static const struct stream_sink sink = {.on_head = on_head,
                                        .on_body = on_body,
                                        .on_trailers = on_trailers,
                                        .on_sent = on_sent,
                                        .on_close = on_close};

static struct owner *take(struct stream *st)
{
    struct owner *o = &owners[owner_count++];
    *o = (struct owner){.st = st};
    st->sink = &sink;
    st->owner = o;
    return o;
}

static void on_open(struct session *s, struct stream *st)
{
    if (owner_count == OWNERS)
        stream_reset(st);
    else
        (void)take(st);
    (void)s;
}

static void on_finished(struct session *s)
{
    (void)s;
    CHECK(!is_finished);
    is_finished = true;
}

static const struct session_sink session_sink = {.on_open = on_open, .on_finished = on_finished};

static void out_put(struct outlet *o, const void *p, size_t n)
{
    volatile unsigned char sum = 0;
    (void)o;
    for (size_t i = 0; i < n; i++)
        sum = (unsigned char)(sum + ((const unsigned char *)p)[i]);
    unflushed += n;
}

static void out_readable(struct outlet *o)
{
    (void)o;
}

/* One verb. */
static void act(struct owner *o)
{
    static const char bytes[40000];
    struct field field = {SLICE("x-a"), SLICE("b"), FIELD_OTHER};
    bool is_server = session->role == ROLE_SERVER;
    if (!o->st)
        return;
    unsigned what = next() % 8;
    size_t n = next() % (next() % 8 ? 100 : sizeof bytes);
    if (what == 0) {
        stream_reset(o->st);
    } else if (what == 1) {
        stream_credit(o->st, o->held);
        o->held = 0;
    } else if (what == 2 && is_server) {
        o->st->ops->send_continue(o->st);
    } else if (!o->is_head_sent && is_server) {
        struct head h = {.status = next() % 4 ? 200 : 204, .fields = &field, .count = 1};
        bool end = next() % 2;
        h.body = h.status == 204 ? BODY_NONE : BODY_CHUNKED;
        CHECK(stream_send_head(o->st, &h, end) == ERR_OK);
        o->is_head_sent = true;
        o->is_end_sent = end || h.status == 204;
    } else if (o->is_head_sent && !o->is_end_sent && what == 3) {
        struct head h = {.fields = &field, .count = 1};
        if (stream_send_trailers(o->st, &h) == ERR_OK)
            o->is_end_sent = true;
    } else if (o->is_head_sent && !o->is_end_sent && o->put - o->sent < 200000) {
        o->put += n;
        o->is_end_sent = next() % 3 == 0;
        (void)!stream_send_body(o->st, bytes, n, o->is_end_sent);
    }
}

static void open_some(unsigned count)
{
    struct head h = {
        .method = SLICE("POST"), .path = SLICE("/"), .authority = SLICE("h"), .body = BODY_CHUNKED};
    for (unsigned i = 0; i < count && owner_count < OWNERS; i++) {
        struct stream *st = session_open(session);
        if (!st)
            return;
        struct owner *o = take(st);
        bool end = next() % 2;
        CHECK(stream_send_head(st, &h, end) == ERR_OK);
        o->is_head_sent = true;
        o->is_end_sent = end;
    }
}

static void flush(size_t n)
{
    n = n < unflushed ? n : unflushed;
    unflushed -= n;
    session_flushed(session, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct session_limits limits = {.header_bytes = 8192, .header_count = 40};
    struct outlet out = {.put = out_put, .readable = out_readable};
    if (size < 1)
        return 0;
    enum role role = data[0] & 1 ? ROLE_CLIENT : ROLE_SERVER;
    seed = data[0];
    owner_count = unflushed = 0;
    is_finished = false;
    session = h2_create(role, &limits, &out, &session_sink, NULL);
    CHECK(session != NULL);
    enum err e = ERR_OK;
    if (role == ROLE_SERVER)
        e = session_feed(session, PREFACE, sizeof PREFACE - 1);
    else
        open_some(1 + next() % 4);
    for (size_t at = 1; at < size && e == ERR_OK && !is_finished;) {
        size_t n = next() % 3 ? next() % 400 + 1 : next() % 9 + 1;
        n = n < size - at ? n : size - at;
        char *exact = mem_dupn(data + at, n);
        CHECK(exact);
        e = session_feed(session, exact, n);
        mem_free(exact);
        at += n;
        for (size_t i = 0; i < owner_count && e == ERR_OK; i++)
            act(&owners[i]);
        if (role == ROLE_CLIENT && next() % 8 == 0)
            open_some(1);
        if (next() % 2)
            flush(next() % 4 ? unflushed : next() % 1000);
        if (next() % 64 == 0)
            session_drain(session);
    }
    if (next() % 2)
        session_eof(session);
    else if (next() % 2)
        session_abort(session);
    session_destroy(session);
    for (size_t i = 0; i < owner_count; i++)
        CHECK(owners[i].is_closed);
    return 0;
}
