/* room: http */
/* drives: proxy/http/h2.c proxy/http/h2_head.c */
/* dict: h2 */
/* The first byte says which role and seeds how the rest is cut and what the owners do meanwhile:
 * anything that is legal, at any time, and now and then memory is refused. Whatever head comes
 * through can be written in HTTP/1 without a line of the peer's own; no byte of a WebSocket comes
 * before its answer. With 0x7e to 0x7f in the first byte's lower seven bits the rest are fields,
 * past nghttp2: what it lets through in no version is refused by ours. */
#include "http/h2.h"
#include "base/check.h"
#include "base/mem.h"
#include "http/h2_head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define OWNERS 220

struct owner {
    struct stream *st;
    bool is_head_seen, is_over, is_closed, is_head_sent, is_end_sent;
    bool is_websocket, is_switched, is_head_method;
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
    CHECK(!h->is_websocket || (h->is_extended_connect && !head_get(h, FIELD_SEC_WEBSOCKET_KEY)));
}

static void act(struct owner *o);

static void on_head(struct stream *st, const struct head *h, bool end)
{
    struct owner *o = st->owner;
    CHECK(!o->is_closed && !o->is_head_seen);
    o->is_head_seen = true;
    o->is_over = end;
    o->is_websocket = h->is_websocket;
    o->is_head_method = slice_eq(h->method, SLICE("HEAD"));
    check_head(h);
    act(o);
}

static void on_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct owner *o = st->owner;
    volatile unsigned char sum = 0;
    CHECK(!o->is_closed && o->is_head_seen && !o->is_over);
    CHECK(!o->is_websocket || o->is_switched);
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
    CHECK(!o->is_closed && o->is_head_seen && !o->is_over && !o->is_websocket);
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

static void on_refused(struct session *s, const struct fault *f)
{
    CHECK(s->role == ROLE_SERVER && f->status >= 400 && f->status < 600 && f->reason);
}

static const struct session_sink session_sink = {
    .on_open = on_open, .on_finished = on_finished, .on_refused = on_refused};

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

static struct field some_fields[] = {
    {{"X-Upper", 7}, {"b", 1}, FIELD_OTHER},
    {{"cookie", 6}, {"a=b", 3}, FIELD_OTHER},
    {{"authorization", 13}, {"c", 1}, FIELD_AUTHORIZATION},
    {{"host", 4}, {"h", 1}, FIELD_HOST},
    {{"sec-websocket-accept", 20}, {"d", 1}, FIELD_SEC_WEBSOCKET_ACCEPT},
    {{"connection", 10}, {"close", 5}, FIELD_CONNECTION}}; /* the last one is none to be sent */

/* E is what a verb said of a message that is (not) one: without memory it may say so. */
static void said(struct owner *o, enum err e, bool is_good)
{
    CHECK(e == ERR_NOMEM || e == ERR_CLOSED || (e == ERR_OK) == is_good);
    if (e != ERR_OK && o->st && (e != ERR_INVALID || next() % 2))
        stream_reset(o->st);
}

static void answer(struct owner *o)
{
    static const int statuses[] = {200, 200, 200, 204, 304, 404, 101, 99};
    struct head h = {.status = statuses[next() % 8], .fields = some_fields, .body = BODY_CHUNKED};
    h.count = next() % 16 ? next() % 5 : 6;
    h.is_websocket = h.status == 101;
    bool end = next() % 2 && !h.is_websocket;
    if (next() % 4 == 0 && !h.is_websocket && (!end || o->is_head_method)) {
        h.body = BODY_LENGTH;
        h.content_length = next() % 3000;
    }
    bool opens = h.is_websocket || h.status / 100 == 2;
    bool is_good = h.status != 99 && h.count < 6 &&
                   (h.is_websocket ? o->is_websocket : !(o->is_websocket && opens));
    /* what it causes may come before it returns */
    o->is_switched = is_good && h.is_websocket;
    enum err e = stream_send_head(o->st, &h, end);
    o->is_head_sent = e == ERR_OK;
    o->is_end_sent = end || h.status == 204 || h.status == 304 || o->is_head_method;
    said(o, e, is_good);
}

/* One verb. */
static void act(struct owner *o)
{
    static const char bytes[40000];
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
        answer(o);
    } else if (o->is_head_sent && !o->is_end_sent && what == 3) {
        struct head h = {.fields = some_fields, .count = next() % 8 ? next() % 4 : 6};
        enum err e = stream_send_trailers(o->st, &h);
        o->is_end_sent = e == ERR_OK;
        if (e != ERR_OK && o->st)
            stream_reset(o->st);
    } else if (o->is_head_sent && (!o->is_end_sent || o->is_head_method) &&
               o->put - o->sent < 200000) {
        o->put += n;
        bool end = next() % 3 == 0;
        o->is_end_sent |= end;
        if (stream_send_body(o->st, bytes, n, end) != ERR_OK && o->st)
            stream_reset(o->st);
    }
}

static void open_some(unsigned count)
{
    static const struct slice methods[] = {{"POST", 4}, {"GET", 3}, {"HEAD", 4}, {"B D", 3}};
    for (unsigned i = 0; i < count && owner_count < OWNERS; i++) {
        struct stream *st = session_open(session);
        if (!st)
            return;
        CHECK(session_has_room(session) || owner_count);
        struct owner *o = take(st);
        struct head h = {.method = methods[next() % 16 ? next() % 3 : 3],
                         .path = SLICE("/"),
                         .authority = SLICE("h"),
                         .body = BODY_CHUNKED,
                         .fields = some_fields,
                         .count = next() % 4,
                         .wants_trailers = next() % 4 == 0,
                         .is_websocket = next() % 32 == 0};
        bool end = next() % 2;
        if (!end && next() % 4 == 0) {
            h.body = BODY_LENGTH;
            h.content_length = next() % 3000;
        }
        bool is_good = is_token(h.method) && !h.is_websocket;
        enum err e = stream_send_head(st, &h, end);
        o->is_head_sent = e == ERR_OK;
        o->is_end_sent = end;
        CHECK(e == ERR_NOMEM || e == ERR_CLOSED || (e == ERR_OK) == is_good);
        if (e != ERR_OK && o->st)
            stream_reset(st);
    }
}

static void flush(size_t n)
{
    n = n < unflushed ? n : unflushed;
    unflushed -= n;
    session_flushed(session, n);
}

/* Fields as nghttp2 would never give them: NAME 0xff VALUE 0xff ... */
static void fields_alone(const uint8_t *data, size_t size)
{
    static const struct session_limits limits = {.header_bytes = 20000, .header_count = 40};
    struct h2_gather g;
    struct head h;
    struct fault fault;
    const uint8_t *end = data + size;
    unsigned how = size ? *data++ : 0;
    h2_gather_init(&g, &limits);
    mem_fail_after(how & 8 ? how >> 4 : 0, 0);
    while (data < end) {
        struct slice parts[2] = {{"", 0}, {"", 0}};
        for (int i = 0; i < 2 && data < end; i++) {
            const uint8_t *to = memchr(data, 0xff, (size_t)(end - data));
            to = to ? to : end;
            parts[i] = slice_make((const char *)data, (size_t)(to - data));
            data = to < end ? to + 1 : end;
        }
        h2_gather_add(&g, parts[0], parts[1]);
    }
    struct h2_block *b = h2_block();
    bool ends = how & 4;
    fault.status = 0;
    if ((how & 3) == 0 && h2_request_head(&g, ends, &h, &fault)) {
        check_head(&h);
        h.authority = SLICE("h"); /* the exchange's */
        enum err e = slice_eq(h.method, SLICE("CONNECT")) ? ERR_OK : h2_write_request(&h, b);
        CHECK(e == (h.is_websocket ? ERR_INVALID : ERR_OK) || e == ERR_NOMEM);
    } else if ((how & 3) == 1 && h2_answer_head(&g, ends, &h, &fault)) {
        check_head(&h);
        CHECK(h2_write_answer(&h, true, b) != ERR_INVALID);
    } else if ((how & 3) >= 2 && h2_trailers(&g, &h)) {
        CHECK(h2_write_trailers(&h, b) != ERR_INVALID);
    }
    CHECK(fault.status == 0 || fault.reason);
    mem_fail_after(0, 0);
    h2_block_finish(b);
    h2_gather_finish(&g);
}

static void step(const uint8_t *p, size_t n, enum err *e)
{
    char *exact = malloc(n ? n : 1);
    CHECK(exact);
    memcpy(exact, p, n);
    if (next() % 24 == 0)
        mem_fail_after((long)(next() % 12) + 1, next() % 4 == 0);
    *e = session_feed(session, exact, n);
    free(exact);
    for (size_t i = 0; i < owner_count && *e == ERR_OK; i++)
        act(&owners[i]);
    if (session->role == ROLE_CLIENT && next() % 8 == 0)
        open_some(1);
    if (next() % 2)
        flush(next() % 4 ? unflushed : next() % 1000);
    mem_fail_after(0, 0);
    CHECK(session_wants_read(session) || unflushed >= 256 * 1024);
    if (next() % 64 == 0)
        session_drain(session);
    (void)session_is_idle(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct session_limits limits = {.header_bytes = 8192, .header_count = 40};
    struct outlet out = {.put = out_put, .readable = out_readable};
    if (size < 1)
        return 0;
    if ((data[0] & 0x7e) == 0x7e) {
        fields_alone(data + 1, size - 1);
        return 0;
    }
    enum role role = data[0] & 1 ? ROLE_CLIENT : ROLE_SERVER;
    seed = data[0];
    owner_count = unflushed = 0;
    is_finished = false;
    if (next() % 24 == 0)
        mem_fail_after((long)(next() % 40) + 1, 0);
    session = h2_create(role, &limits, &out, &session_sink, NULL);
    mem_fail_after(0, 0);
    if (!session)
        return 0;
    enum err e = ERR_OK;
    if (role == ROLE_SERVER)
        e = session_feed(session, PREFACE, sizeof PREFACE - 1);
    else
        open_some(1 + next() % 4);
    for (size_t at = 1; at < size && e == ERR_OK && !is_finished;) {
        size_t n = next() % 3 ? next() % 400 + 1 : next() % 9 + 1;
        n = n < size - at ? n : size - at;
        step(data + at, n, &e);
        at += n;
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
