/* HTTP/2 sessions without sockets: ours against ours, and ours against frames made by hand. */
#include "base/mem.h"
#include "base/sbuf.h"
#include "http/h2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define MANY 100

/* ---- one end of a wire ---- */

struct end {
    struct session *s;
    struct outlet outlet;
    char *out; /* put, not delivered; not from mem_alloc, which some tests let fail */
    size_t out_n;
    size_t flush_due;
    bool wants_flush, is_full; /* full: its bytes do not leave */
    int finished, refused;
    struct fault refusal;
    struct talk *first; /* streams that the peer opened, the newest first */
};

/* One message pair as its owner sees it. */
struct talk {
    struct stream *st;
    struct end *end;
    struct talk *next;
    struct sbuf log; /* the head, the body's bytes, the end */
    size_t got, sent;
    bool hold_credit, reset_on_head, is_closed;
    enum why why;
};

static struct talk talks[2 * MANY + 20];
static size_t talk_count;

static struct talk *talk_new(struct end *e, struct stream *st)
{
    struct talk *t = &talks[talk_count++];
    assert_true(talk_count < sizeof talks / sizeof *talks);
    *t = (struct talk){.st = st, .end = e, .next = e->first};
    sbuf_init(&t->log, 1 << 20);
    e->first = t;
    st->owner = t;
    return t;
}

static void log_head(struct talk *t, const struct head *h)
{
    if (h->status) {
        sbuf_addf(&t->log, "%d", h->status);
        assert_true(h->reason.n > 0); /* HTTP/1 wants one */
    } else
        sbuf_addf(&t->log, "%.*s %.*s %.*s %.*s", (int)h->method.n, h->method.p, (int)h->scheme.n,
                  h->scheme.p, (int)h->authority.n, h->authority.p, (int)h->path.n, h->path.p);
    for (uint32_t i = 0; i < h->count; i++)
        sbuf_addf(&t->log, " %.*s=%.*s", (int)h->fields[i].name.n, h->fields[i].name.p,
                  (int)h->fields[i].value.n, h->fields[i].value.p);
}

static void on_head(struct stream *st, const struct head *h, bool end)
{
    struct talk *t = st->owner;
    log_head(t, h);
    sbuf_adds(&t->log, end ? " END" : " |");
    if (t->reset_on_head)
        stream_reset(st);
}

static void on_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct talk *t = st->owner;
    t->got += n;
    if (t->log.n < 4096)
        sbuf_add(&t->log, p, n < 64 ? n : 64);
    if (end)
        sbuf_adds(&t->log, " END");
    if (!t->hold_credit)
        stream_credit(st, n);
}

static void on_trailers(struct stream *st, const struct head *h)
{
    struct talk *t = st->owner;
    sbuf_adds(&t->log, " TRAILERS");
    for (uint32_t i = 0; i < h->count; i++)
        sbuf_addf(&t->log, " %.*s=%.*s", (int)h->fields[i].name.n, h->fields[i].name.p,
                  (int)h->fields[i].value.n, h->fields[i].value.p);
}

static void on_sent(struct stream *st, size_t n)
{
    struct talk *t = st->owner;
    t->sent += n;
}

static void on_close(struct stream *st, enum why why)
{
    struct talk *t = st->owner;
    assert_false(t->is_closed);
    t->is_closed = true;
    t->why = why;
    t->st = NULL;
}

static const struct stream_sink talk_sink = {.on_head = on_head,
                                             .on_body = on_body,
                                             .on_trailers = on_trailers,
                                             .on_sent = on_sent,
                                             .on_close = on_close};

static void on_open(struct session *s, struct stream *st)
{
    talk_new(s->owner, st);
    st->sink = &talk_sink;
}

static void on_finished(struct session *s)
{
    struct end *e = s->owner;
    e->finished++;
}

static void on_refused(struct session *s, const struct fault *f)
{
    struct end *e = s->owner;
    e->refused++;
    e->refusal = *f;
}

static const struct session_sink end_sink = {
    .on_open = on_open, .on_finished = on_finished, .on_refused = on_refused};

static void end_put(struct outlet *o, const void *p, size_t n)
{
    struct end *e = o->owner;
    e->out = realloc(e->out, e->out_n + n + 1);
    assert_non_null(e->out);
    if (n)
        memcpy(e->out + e->out_n, p, n);
    e->out_n += n;
    e->wants_flush = true;
}

static void end_readable(struct outlet *o)
{
    (void)o;
}

static const struct session_limits limits = {.header_bytes = 65536, .header_count = 100};

static bool end_init(struct end *e, enum role role)
{
    *e = (struct end){.outlet = {.put = end_put, .readable = end_readable}};
    e->outlet.owner = e;
    e->s = h2_create(role, &limits, &e->outlet, &end_sink, e);
    return e->s != NULL;
}

static void end_finish(struct end *e)
{
    session_destroy(e->s);
    free(e->out);
    e->out = NULL;
    e->out_n = 0;
    e->s = NULL;
}

static struct end c, s;

static int setup(void **state)
{
    return end_init(&c, ROLE_CLIENT) && end_init(&s, ROLE_SERVER) ? 0 : -1;
}

static int teardown(void **state)
{
    mem_fail_after(0, 0);
    end_finish(&c);
    end_finish(&s);
    for (size_t i = 0; i < talk_count; i++)
        sbuf_finish(&talks[i].log);
    talk_count = 0;
    return 0;
}

static size_t piece = 100000; /* bytes delivered at once */

/* What A put goes to B. False: nothing moved. */
static bool carry(struct end *a, struct end *b)
{
    bool moved = a->wants_flush && !a->is_full;
    if (!moved)
        return false;
    char *out = a->out;
    size_t n = a->out_n;
    a->wants_flush = false;
    a->out = NULL;
    a->out_n = 0;
    for (size_t at = 0; at < n; at += piece)
        if (session_feed(b->s, out + at, n - at < piece ? n - at : piece) != ERR_OK)
            break;
    session_flushed(a->s, n);
    free(out);
    return true;
}

static void run(void)
{
    for (int i = 0; i < 100000; i++) {
        bool moved = carry(&c, &s);
        moved |= carry(&s, &c);
        if (!moved)
            return;
    }
    fail_msg("the two never come to rest");
}

/* ---- messages ---- */

static struct field fields[8];

static struct head request_of(const char *method, const char *path, uint32_t count)
{
    return (struct head){.method = slice_of(method),
                         .path = slice_of(path),
                         .authority = SLICE("h.test"),
                         .fields = fields,
                         .count = count};
}

static void set(uint32_t i, const char *name, const char *value)
{
    fields[i] = (struct field){slice_of(name), slice_of(value), field_id(slice_of(name))};
}

static struct talk *ask(const struct head *h, bool end)
{
    struct stream *st = session_open(c.s);
    assert_non_null(st);
    struct talk *t = talk_new(&c, st);
    st->sink = &talk_sink;
    assert_int_equal(stream_send_head(st, h, end), ERR_OK);
    return t;
}

static void answer(struct talk *t, int status, const char *body)
{
    struct head h = {.status = status, .body = BODY_LENGTH, .content_length = strlen(body)};
    assert_int_equal(stream_send_head(t->st, &h, *body == '\0'), ERR_OK);
    if (*body)
        assert_int_equal(stream_send_body(t->st, body, strlen(body), true), ERR_OK);
}

static void logged(struct talk *t, const char *want)
{
    assert_string_equal(sbuf_z(&t->log), want);
}

static void heads_and_bodies_go_both_ways(void **state)
{
    static const size_t pieces[] = {1, 2, 7, 100000};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        piece = pieces[i];
        set(0, "Authorization", "Bearer x");
        set(1, "accept", "*/*");
        struct head h = request_of("POST", "/v1/x?y=z", 2);
        h.body = BODY_LENGTH;
        h.content_length = 5;
        struct talk *t = ask(&h, false);
        run();
        assert_non_null(s.first);
        logged(s.first, "POST https h.test /v1/x?y=z accept=*/* content-length=5 "
                        "authorization=Bearer x |");
        assert_int_equal(stream_send_body(t->st, "hel", 3, false), ERR_OK);
        run();
        assert_int_equal(stream_send_body(t->st, "lo", 2, true), ERR_OK);
        run();
        assert_int_equal(t->sent, 5);
        answer(s.first, 200, "world!");
        run();
        logged(s.first, "POST https h.test /v1/x?y=z accept=*/* content-length=5 "
                        "authorization=Bearer x |hello END");
        logged(t, "200 content-length=6 |world! END");
        assert_true(t->is_closed && t->why == WHY_DONE);
        assert_true(s.first->is_closed && s.first->why == WHY_DONE);
        assert_true(session_is_idle(c.s) && session_is_idle(s.s));
    }
    piece = 100000;
}

/* A text of N bytes; lives until the next call. */
static const char *text_of(size_t n, char letter)
{
    static char text[40000];
    assert_true(n < sizeof text);
    memset(text, letter, n);
    text[n] = '\0';
    return text;
}

/* What the server got of a request with this credential, another field and a third of ROOM bytes.
 */
static void credential_arrives(const char *credential, size_t room, bool is_plain)
{
    char other[20001];
    memcpy(other, text_of(room, 'o'), room + 1);
    set(0, "x-other", other);
    set(1, "Authorization", credential);
    set(2, "accept", "*/*");
    struct head h = request_of("GET", "/", 3);
    struct talk *t = ask(&h, true);
    bool is_seen = memmem(c.out, c.out_n, credential, strlen(credential)) != NULL;
    assert_int_equal(is_seen, is_plain);
    run();
    size_t authorizations = 0;
    for (const char *at = sbuf_z(&s.first->log); (at = strstr(at, " authorization=")); at++)
        authorizations++;
    assert_int_equal(authorizations, 1);
    const char *at = strstr(sbuf_z(&s.first->log), " authorization=") + 15;
    assert_memory_equal(at, credential, strlen(credential));
    assert_true(at[strlen(credential)] == ' ');
    assert_non_null(strstr(sbuf_z(&s.first->log), " accept=*/*"));
    assert_non_null(strstr(sbuf_z(&s.first->log), other));
    answer(s.first, 200, "");
    run();
    assert_true(t->is_closed && t->why == WHY_DONE);
}

static void credentials_of_any_length_arrive(void **state)
{
    static const size_t lengths[] = {1, 14, 15, 16, 126, 127, 128, 254, 255, 256, 1024, 16000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *credential = strdup(text_of(lengths[i], 'c'));
        credential_arrives(credential, 10, true);
        free(credential);
    }
}

/* In more than one frame nghttp2 writes it. */
static void a_credential_in_a_large_block_arrives(void **state)
{
    char *credential = strdup(text_of(1000, 'c'));
    credential_arrives(credential, 15000, true);
    credential_arrives(credential, 15400, false);
    credential_arrives(credential, 20000, false);
    credential_arrives(credential, 10, true);
    free(credential);
}

static void two_credentials_are_left_to_the_other_side(void **state)
{
    set(0, "authorization", "one");
    set(1, "authorization", "two");
    struct head h = request_of("GET", "/", 2);
    ask(&h, true);
    run();
    logged(s.first, "GET https h.test / authorization=one authorization=two END");
}

/* The link is full: the heads wait in nghttp2, their credentials here. One of them never leaves. */
static void a_credential_waits_with_its_head(void **state)
{
    char body[1000];
    memset(body, 'b', sizeof body);
    run();
    struct head h = request_of("POST", "/large", 0);
    struct talk *large = ask(&h, false);
    run();
    c.is_full = true;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(stream_send_body(large->st, body, sizeof body, i == 99), ERR_OK);
    size_t before = c.out_n;
    set(0, "authorization", "Bearer first");
    h = request_of("GET", "/first", 1);
    struct talk *first = ask(&h, true);
    set(0, "authorization", "Bearer gone");
    h = request_of("GET", "/gone", 1);
    struct talk *gone = ask(&h, true);
    stream_reset(gone->st);
    assert_true(gone->is_closed);
    set(0, "authorization", "Bearer second");
    h = request_of("GET", "/second", 1);
    ask(&h, true);
    assert_int_equal(c.out_n, before);
    set(0, "authorization", "Bearer nobody's"); /* what the heads pointed to has changed */
    c.is_full = false;
    run();
    logged(s.first, "GET https h.test /second authorization=Bearer second END");
    logged(s.first->next, "GET https h.test /first authorization=Bearer first END");
    assert_false(first->is_closed);
}

static void trailers_end_a_message(void **state)
{
    struct head h = request_of("POST", "/grpc", 0);
    h.wants_trailers = true;
    h.body = BODY_CHUNKED;
    struct talk *t = ask(&h, false);
    assert_int_equal(stream_send_body(t->st, "m", 1, true), ERR_OK);
    run();
    logged(s.first, "POST https h.test /grpc te=trailers |m END");
    struct head a = {.status = 200, .body = BODY_CHUNKED};
    assert_int_equal(stream_send_head(s.first->st, &a, false), ERR_OK);
    assert_int_equal(stream_send_body(s.first->st, "n", 1, false), ERR_OK);
    set(0, "Grpc-Status", "0");
    set(1, "grpc-message", "fine");
    a = (struct head){.fields = fields, .count = 2};
    assert_int_equal(stream_send_trailers(s.first->st, &a), ERR_OK);
    run();
    logged(t, "200 |n TRAILERS grpc-status=0 grpc-message=fine");
    assert_int_equal(t->why, WHY_DONE);
    assert_int_equal(s.first->why, WHY_DONE);
}

/* FROM sends more than TO's window takes, and then trailers: they come behind it, not before. */
static void trailers_after_much(struct talk *from, struct talk *to)
{
    static char bytes[100000];
    struct head trailers = {.fields = fields, .count = 1};
    set(0, "grpc-status", "0");
    memset(bytes, 'b', sizeof bytes);
    to->hold_credit = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(stream_send_body(from->st, bytes, sizeof bytes, false), ERR_OK);
    assert_int_equal(stream_send_trailers(from->st, &trailers), ERR_OK);
    set(0, "grpc-status", "overwritten"); /* the head was borrowed */
    run();
    assert_int_equal(to->got, STREAM_WINDOW);
    assert_null(strstr(sbuf_z(&to->log), "TRAILERS"));
    while (to->got < 3 * sizeof bytes) {
        size_t before = to->got;
        stream_credit(to->st, STREAM_WINDOW);
        run();
        assert_true(to->got > before);
    }
    assert_int_equal(to->got, 3 * sizeof bytes);
    assert_non_null(strstr(sbuf_z(&to->log), " TRAILERS grpc-status=0"));
}

static void trailers_wait_for_the_body_before_them(void **state)
{
    struct head h = request_of("POST", "/grpc", 0), a = {.status = 200, .body = BODY_CHUNKED};
    h.wants_trailers = true;
    h.body = BODY_CHUNKED;
    struct talk *t = ask(&h, false);
    run();
    struct talk *of_server = s.first;
    trailers_after_much(t, of_server);
    assert_int_equal(stream_send_head(of_server->st, &a, false), ERR_OK);
    trailers_after_much(of_server, t);
    assert_int_equal(t->why, WHY_DONE);
    assert_int_equal(of_server->why, WHY_DONE);
}

static void an_answer_without_body_is_a_head_alone(void **state)
{
    struct head h = request_of("HEAD", "/", 0);
    struct talk *t = ask(&h, true);
    run();
    logged(s.first, "HEAD https h.test / END");
    struct head a = {.status = 200, .body = BODY_LENGTH, .content_length = 1234};
    assert_int_equal(stream_send_head(s.first->st, &a, true), ERR_OK);
    run();
    logged(t, "200 content-length=1234 END");
    assert_int_equal(t->why, WHY_DONE);
    h = request_of("DELETE", "/", 0);
    t = ask(&h, true);
    run();
    a = (struct head){.status = 204};
    assert_int_equal(stream_send_head(s.first->st, &a, true), ERR_OK);
    run();
    logged(t, "204 END");
    assert_int_equal(t->why, WHY_DONE);
}

static void lengths_are_kept(void **state)
{
    struct head h = request_of("POST", "/", 0);
    h.body = BODY_LENGTH;
    h.content_length = 3;
    struct talk *t = ask(&h, false);
    assert_int_equal(stream_send_body(t->st, "abcd", 4, true), ERR_PROTOCOL);
    assert_int_equal(stream_send_body(t->st, "ab", 2, true), ERR_PROTOCOL);
    stream_reset(t->st);
    run();
    assert_int_equal(t->why, WHY_LOCAL);
    assert_int_equal(s.first->why, WHY_RESET);
}

/* Bodies of COUNT streams, all at once, LONG bytes each way. */
static void crowd(size_t count, size_t size)
{
    static char bytes[65536];
    struct talk *ts[MANY];
    struct head h = request_of("POST", "/", 0);
    h.body = BODY_CHUNKED;
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < count; i++)
        ts[i] = ask(&h, false);
    size_t left[MANY], ahead[MANY] = {0};
    for (size_t i = 0; i < count; i++)
        left[i] = size;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            size_t n = left[i] < sizeof bytes ? left[i] : sizeof bytes;
            if (left[i] == 0 || ahead[i] - ts[i]->sent > STREAM_WINDOW)
                continue;
            assert_int_equal(stream_send_body(ts[i]->st, bytes, n, n == left[i]), ERR_OK);
            left[i] -= n;
            ahead[i] += n;
            more = true;
        }
        run();
        for (size_t i = 0; i < count; i++)
            more |= left[i] > 0;
    }
    size_t seen = 0;
    for (struct talk *t = s.first; t; t = t->next) {
        assert_int_equal(t->got, size);
        answer(t, 200, "ok");
        seen++;
    }
    assert_int_equal(seen, count);
    run();
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ts[i]->sent, size);
        assert_int_equal(ts[i]->why, WHY_DONE);
    }
}

static void many_streams_share_a_connection(void **state)
{
    crowd(MANY, 300000);
    assert_true(session_is_idle(c.s));
}

static void no_more_streams_than_the_peer_takes(void **state)
{
    struct head h = request_of("GET", "/", 0);
    for (int i = 0; i < MANY; i++)
        ask(&h, true);
    assert_false(session_has_room(c.s));
    assert_null(session_open(c.s));
    run();
    answer(s.first, 200, "");
    run();
    assert_true(session_has_room(c.s));
}

static void one_that_stalls_does_not_stall_the_others(void **state)
{
    static char bytes[2 << 20];
    struct head h = request_of("POST", "/stalled", 0);
    h.body = BODY_CHUNKED;
    struct talk *stalled = ask(&h, false);
    run();
    struct talk *far = s.first;
    far->hold_credit = true;
    for (size_t at = 0; at < sizeof bytes && stalled->sent + STREAM_WINDOW >= at; at += 65536)
        assert_int_equal(stream_send_body(stalled->st, bytes, 65536, false), ERR_OK);
    run();
    assert_int_equal(far->got, STREAM_WINDOW);
    assert_int_equal(stalled->sent, STREAM_WINDOW);
    for (int i = 0; i < 20; i++) { /* together more than the connection's window */
        h.path = SLICE("/other");
        struct talk *t = ask(&h, false);
        assert_int_equal(stream_send_body(t->st, bytes, 100000, true), ERR_OK);
        run();
        assert_int_equal(s.first->got, 100000);
        answer(s.first, 200, "ok");
        run();
        assert_int_equal(t->why, WHY_DONE);
    }
    stream_credit(far->st, 65536);
    run();
    assert_int_equal(far->got, STREAM_WINDOW + 65536);
}

static void a_link_that_does_not_drain_gets_little(void **state)
{
    static char bytes[65536];
    struct head h = request_of("POST", "/", 0);
    h.body = BODY_CHUNKED;
    run();
    c.is_full = true;
    for (int i = 0; i < 50; i++) {
        struct talk *t = ask(&h, false);
        assert_int_equal(stream_send_body(t->st, bytes, 65536, false), ERR_OK);
        assert_true(t->sent == 0);
    }
    assert_true(c.out_n <= 64 * 1024 + 2 * 16384 + 100);
    c.is_full = false;
    run();
    for (struct talk *t = s.first; t; t = t->next)
        assert_int_equal(t->got, 65536);
}

static void resets_reach_the_other_side(void **state)
{
    struct head h = request_of("GET", "/", 0);
    struct talk *t = ask(&h, true);
    run();
    stream_reset(t->st);
    run();
    assert_int_equal(t->why, WHY_LOCAL);
    assert_int_equal(s.first->why, WHY_RESET);
    t = ask(&h, true);
    run();
    struct head a = {.status = 200, .body = BODY_CHUNKED};
    assert_int_equal(stream_send_head(s.first->st, &a, false), ERR_OK);
    assert_int_equal(stream_send_body(s.first->st, "half", 4, false), ERR_OK);
    run();
    stream_reset(s.first->st);
    run();
    logged(t, "200 |half");
    assert_int_equal(t->why, WHY_RESET);
    t = ask(&h, true);
    t->reset_on_head = true;
    run();
    answer(s.first, 200, "x");
    run();
    assert_int_equal(t->why, WHY_LOCAL);
    assert_true(session_is_idle(c.s));
}

static void an_early_answer_ends_the_exchange(void **state)
{
    struct head h = request_of("POST", "/", 0);
    h.body = BODY_CHUNKED;
    struct talk *t = ask(&h, false);
    assert_int_equal(stream_send_body(t->st, "a", 1, false), ERR_OK);
    run();
    answer(s.first, 413, "no");
    run();
    assert_int_equal(s.first->why, WHY_DONE);
    logged(t, "413 content-length=2 |no END");
    assert_true(t->is_closed);
    assert_true(session_has_room(c.s));
}

static void draining_loses_no_request(void **state)
{
    struct head h = request_of("GET", "/", 0);
    struct talk *before = ask(&h, true);
    run();
    session_drain(s.s);
    run();
    assert_true(session_has_room(c.s)); /* nothing is said yet: it may ask no more anyway */
    struct talk *during = ask(&h, true);
    run();
    assert_false(session_has_room(c.s));
    assert_false(during->is_closed);
    assert_int_equal(s.finished, 0);
    for (struct talk *t = s.first; t; t = t->next)
        answer(t, 200, "ok");
    run();
    assert_int_equal(before->why, WHY_DONE);
    assert_int_equal(during->why, WHY_DONE);
    assert_int_equal(s.finished, 1);
}

static void draining_says_goodbye_after_the_last_answer(void **state)
{
    struct head h = request_of("GET", "/", 0);
    struct talk *t = ask(&h, true);
    run();
    session_drain(s.s);
    run();
    assert_int_equal(s.finished, 0);
    answer(s.first, 200, "ok");
    run();
    assert_int_equal(t->why, WHY_DONE);
    assert_int_equal(s.finished, 1);
    assert_false(session_has_room(c.s));
}

static void the_end_of_a_link_ends_all(void **state)
{
    struct head h = request_of("GET", "/", 0);
    struct talk *a = ask(&h, true), *b = ask(&h, true);
    run();
    session_abort(c.s);
    assert_true(a->is_closed && b->is_closed && a->why == WHY_RESET && b->why == WHY_RESET);
    assert_false(session_has_room(c.s));
    session_eof(s.s);
    assert_int_equal(s.first->why, WHY_RESET);
    assert_int_equal(s.finished, 1);
}

/* ---- frames by hand ---- */

static void add_frame(struct sbuf *b, unsigned type, unsigned flags, uint32_t id, const void *p,
                      size_t n)
{
    const unsigned char head[9] = {
        (unsigned char)(n >> 16),  (unsigned char)(n >> 8),  (unsigned char)n,
        (unsigned char)type,       (unsigned char)flags,     (unsigned char)(id >> 24),
        (unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};
    sbuf_add(b, head, sizeof head);
    sbuf_add(b, p, n);
}

/* A literal field, never indexed (RFC 7541 section 6.2.3). */
static void add_literal(struct sbuf *b, const char *name, const char *value)
{
    size_t lengths[2] = {strlen(name), strlen(value)};
    const char *texts[2] = {name, value};
    sbuf_addc(b, 0x10);
    for (int i = 0; i < 2; i++) {
        size_t n = lengths[i];
        if (n < 127) {
            sbuf_addc(b, (char)n);
        } else {
            sbuf_addc(b, 127);
            for (n -= 127; n >= 128; n >>= 7)
                sbuf_addc(b, (char)((n & 127) | 128));
            sbuf_addc(b, (char)n);
        }
        sbuf_add(b, texts[i], lengths[i]);
    }
}

static uint32_t next_id;

/* One request of the fields given, NAME VALUE ... NULL, to a fresh server. */
static void raw_request(struct end *e, bool end, const char *const *given)
{
    struct sbuf block, b;
    sbuf_init(&block, 1 << 20);
    sbuf_init(&b, 2 << 20);
    for (; *given; given += 2)
        add_literal(&block, given[0], given[1]);
    sbuf_add(&b, PREFACE, sizeof PREFACE - 1);
    add_frame(&b, 4, 0, 0, "", 0);
    next_id = 1;
    size_t at = 0, n = block.n < 16384 ? block.n : 16384;
    add_frame(&b, 1, (end ? 1u : 0u) | (n == block.n ? 4u : 0u), next_id, block.p, n);
    for (at = n; at < block.n; at += n) {
        n = block.n - at < 16384 ? block.n - at : 16384;
        add_frame(&b, 9, at + n == block.n ? 4 : 0, next_id, block.p + at, n);
    }
    (void)!session_feed(e->s, b.p, b.n);
    sbuf_finish(&b);
    sbuf_finish(&block);
}

#define WS                                                                                         \
    ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "h",         \
        ":path", "/ws"
#define P ":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/"

static const struct {
    const char *what;
    bool is_good;
    int status; /* of a refusal with an answer; 0: the stream or the connection is broken off */
    const char *fields[18];
} vectors[] = {
    {"plain", true, 0, {P}},
    {"te: trailers", true, 0, {P, "te", "trailers"}},
    {"host instead", true, 0, {":method", "GET", ":scheme", "https", ":path", "/", "host", "h"}},
    {"empty value", true, 0, {P, "x-a", ""}},
    {"two cookies", true, 0, {P, "cookie", "a=b", "cookie", "c=d"}},
    {"asterisk",
     true,
     0,
     {":method", "OPTIONS", ":scheme", "https", ":authority", "h", ":path", "*"}},
    {"no method", false, 0, {":scheme", "https", ":authority", "h", ":path", "/"}},
    {"no path", false, 0, {":method", "GET", ":scheme", "https", ":authority", "h"}},
    {"no scheme", false, 0, {":method", "GET", ":authority", "h", ":path", "/"}},
    {"empty path",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", ""}},
    {"method twice", false, 0, {P, ":method", "GET"}},
    {"pseudo last", false, 0, {":method", "GET", ":scheme", "https", "x-a", "b", ":path", "/"}},
    {"unknown pseudo", false, 0, {P, ":other", "x"}},
    {"status", false, 0, {P, ":status", "200"}},
    {"upper case", false, 0, {P, "X-A", "b"}},
    {"name with space", false, 0, {P, "x a", "b"}},
    {"name with colon", false, 0, {P, "x:a", "b"}},
    {"no name", false, 0, {P, "", "b"}},
    {"underscore", false, 400, {P, "x_api_key", "b"}},
    {"CR LF", false, 0, {P, "x-a", "b\r\nx-c: d"}},
    {"LF", false, 0, {P, "x-a", "b\nc"}},
    {"edge space", false, 0, {P, "x-a", " b"}},
    {"edge space last", false, 0, {P, "x-a", "b "}},
    {"DEL", false, 0, {P, "x-a", "\x7f"}},
    {"connection", false, 0, {P, "connection", "close"}},
    {"keep-alive", false, 0, {P, "keep-alive", "x"}},
    {"proxy-connection", false, 0, {P, "proxy-connection", "x"}},
    {"transfer-encoding", false, 0, {P, "transfer-encoding", "chunked"}},
    {"upgrade", false, 0, {P, "upgrade", "x"}},
    {"te: gzip", false, 0, {P, "te", "gzip"}},
    {"length twice", false, 0, {P, "content-length", "0", "content-length", "0"}},
    {"length of no body", false, 0, {P, "content-length", "5"}},
    {"length no number", false, 0, {P, "content-length", "+5"}},
    {"host twice", false, 0, {P, "host", "h", "host", "h"}},
    {"no authority", false, 0, {":method", "GET", ":scheme", "https", ":path", "/"}},
    {"method no token",
     false,
     0,
     {":method", "G T", ":scheme", "https", ":authority", "h", ":path", "/"}},
    {"path with space",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/a b"}},
    {"path with CR",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/a\rb"}},
    {"path with fragment",
     false,
     400,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/a#b"}},
    {"path with 8 bit",
     false,
     400,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/\xc3\xa4"}},
    {"path relative",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "a"}},
    {"path absolute",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "http://x/"}},
    {"extended CONNECT", true, 0, {WS}},
    {"extended CONNECT in capitals",
     true,
     0,
     {":method", "CONNECT", ":protocol", "WebSocket", ":scheme", "https", ":authority", "h",
      ":path", "/"}},
    {"another protocol",
     false,
     501,
     {":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", "h",
      ":path", "/"}},
    {"protocol of a GET", false, 0, {P, ":protocol", "websocket"}},
    {"protocol twice", false, 0, {WS, ":protocol", "websocket"}},
    {"protocol last",
     false,
     0,
     {":method", "CONNECT", ":scheme", "https", ":authority", "h", ":path", "/", "x-a", "b",
      ":protocol", "websocket"}},
    {"extended CONNECT without path",
     false,
     0,
     {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "h"}},
    {"extended CONNECT without scheme",
     false,
     0,
     {":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":authority", "h"}},
    {"extended CONNECT without authority",
     false,
     0,
     {":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":scheme", "https", "host",
      "h"}},
    {"extended CONNECT of an asterisk",
     false,
     0,
     {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "h",
      ":path", "*"}},
    {"extended CONNECT with fragment",
     false,
     400,
     {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "h",
      ":path", "/a#b"}},
    {"extended CONNECT with length", false, 400, {WS, "content-length", "5"}},
    {"extended CONNECT with upgrade", false, 0, {WS, "upgrade", "websocket"}},
    {"extended CONNECT with underscore", false, 400, {WS, "x_api_key", "b"}},
    {"CONNECT with path",
     false,
     0,
     {":method", "CONNECT", ":authority", "h", ":path", "/", ":scheme", "https"}},
    {"asterisk for GET",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h", ":path", "*"}},
    {"authority with user",
     false,
     0,
     {":method", "GET", ":scheme", "https", ":authority", "h\x01", ":path", "/"}},
};

/* Such a request does not end. */
static bool is_extended(const char *const *given)
{
    return strcmp(given[1], "CONNECT") == 0;
}

static void what_is_no_request_reaches_nobody(void **state)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct end e;
        assert_true(end_init(&e, ROLE_SERVER));
        raw_request(&e, !is_extended(vectors[i].fields), vectors[i].fields);
        bool is_told = e.first && e.first->log.n > 0;
        if (is_told != vectors[i].is_good)
            fail_msg("%s: %s", vectors[i].what, is_told ? sbuf_z(&e.first->log) : "refused");
        if ((e.refused ? e.refusal.status : 0) != vectors[i].status)
            fail_msg("%s: status %d", vectors[i].what, e.refused ? e.refusal.status : 0);
        session_flushed(e.s, e.out_n);
        if (!vectors[i].is_good && e.first)
            assert_true(e.first->is_closed);
        end_finish(&e);
    }
}

static void cookies_become_one_field(void **state)
{
    static const char *const given[] = {P, "cookie", "a=b", "x-y", "z", "cookie", "c=d", NULL};
    raw_request(&s, true, given);
    logged(s.first, "GET https h / x-y=z cookie=a=b; c=d END");
}

static void empty_cookies_leave_no_space(void **state)
{
    static const char *const given[] = {P, "cookie", "", "cookie", "a=b", "cookie", "", NULL};
    raw_request(&s, true, given);
    logged(s.first, "GET https h / cookie=a=b END");
}

static void heads_that_are_too_large_are_431(void **state)
{
    static char name[100][8], value[20000];
    const char *given[8 + 2 * 101 + 1] = {P};
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 4; i++) {
        given[8 + 2 * i] = "x-a";
        given[9 + 2 * i] = value;
    }
    given[16] = NULL;
    raw_request(&s, true, given);
    assert_int_equal(s.refusal.status, 431);
    struct end e;
    assert_true(end_init(&e, ROLE_SERVER));
    for (int i = 0; i < 101; i++) {
        snprintf(name[i % 100], sizeof *name, "x-%d", i);
        given[8 + 2 * i] = name[i % 100];
        given[9 + 2 * i] = "v";
    }
    given[8 + 2 * 101] = NULL;
    raw_request(&e, true, given);
    assert_int_equal(e.refusal.status, 431);
    assert_null(e.first);
    end_finish(&e);
}

/* COUNT frames of a kind, and nothing else. True: the session had enough of it. */
static bool floods(unsigned type, unsigned flags, bool on_stream, size_t size, int count)
{
    static const char *const given[] = {P, NULL};
    static const char zeros[16] = "\0\0\0\1";
    struct end e;
    struct sbuf b;
    sbuf_init(&b, 4u << 20);
    assert_true(end_init(&e, ROLE_SERVER));
    raw_request(&e, false, given);
    for (int i = 0; i < count; i++)
        add_frame(&b, type, flags, on_stream ? 1 : 0, zeros, size);
    bool ok = session_feed(e.s, b.p, b.n) == ERR_OK;
    sbuf_finish(&b);
    for (int i = 0; i < 10; i++)
        session_flushed(e.s, 1u << 20);
    bool over = !ok || e.finished;
    end_finish(&e);
    return over;
}

static void floods_end_the_connection(void **state)
{
    assert_false(floods(6, 0, false, 8, 500)); /* PING */
    assert_true(floods(6, 0, false, 8, 1100));
    assert_true(floods(4, 0, false, 0, 1100)); /* SETTINGS */
    assert_true(floods(0, 0, true, 0, 1100));  /* DATA without bytes */
    assert_true(floods(0, 8, true, 1, 1100));  /* DATA of padding */
    assert_true(floods(2, 0, true, 5, 1100));  /* PRIORITY */
    assert_true(floods(8, 0, false, 4, 1100)); /* WINDOW_UPDATE */
    assert_true(floods(9, 0, true, 9, 1));     /* CONTINUATION of nothing */
}

/* RFC 9113 section 5.1.1. nghttp2 takes one that was never used for one that is closed. */
static void ids_that_go_down_end_the_connection(void **state)
{
    static const char *const given[] = {P, NULL};
    static const struct {
        uint32_t ids[4];
        bool is_bad;
    } rows[] = {{{3, 5, 5, 7}, false}, {{3, 9, 7}, true},      {{5, 3}, true},
                {{3, 5, 3}, false},    {{9, 11, 13, 5}, true}, {{3, 7, 9, 5}, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct end e;
        struct sbuf block, b;
        sbuf_init(&block, 1 << 16);
        sbuf_init(&b, 1 << 16);
        for (const char *const *f = given; *f; f += 2)
            add_literal(&block, f[0], f[1]);
        assert_true(end_init(&e, ROLE_SERVER));
        raw_request(&e, true, given);
        for (size_t j = 0; j < 4 && rows[i].ids[j]; j++) {
            add_frame(&b, 1, 5, rows[i].ids[j], block.p, block.n);
            (void)!session_feed(e.s, b.p, b.n);
            sbuf_clear(&b);
            for (struct talk *t = e.first; t; t = t->next)
                if (t->st) /* each is closed before the next comes */
                    answer(t, 200, "");
            session_flushed(e.s, 1u << 20);
        }
        if ((e.finished > 0) != rows[i].is_bad)
            fail_msg("row %zu: %d", i, e.finished);
        end_finish(&e);
        sbuf_finish(&b);
        sbuf_finish(&block);
    }
}

/* nghttp2 says nothing of frames that it does not know; their bytes are counted. */
static void unknown_frames_without_end_do_too(void **state)
{
    static const char *const given[] = {P, NULL};
    static char bytes[9 + 16384] = {0, 64, 0, (char)0xb0};
    raw_request(&s, false, given);
    int i = 0;
    while (i < 2000 && session_feed(s.s, bytes, sizeof bytes) == ERR_OK && !s.finished) {
        i++;
        session_flushed(s.s, s.out_n);
    }
    assert_in_range(i, 900, 1100);
}

static void rapid_resets_end_the_connection(void **state)
{
    static const char *const given[] = {P, NULL};
    struct sbuf block, b;
    sbuf_init(&block, 1 << 16);
    sbuf_init(&b, 1 << 20);
    for (const char *const *f = given; *f; f += 2)
        add_literal(&block, f[0], f[1]);
    raw_request(&s, true, given);
    for (uint32_t id = 3; id < 3 + 2 * 300; id += 2) {
        add_frame(&b, 1, 5, id, block.p, block.n);
        add_frame(&b, 3, 0, id, "\0\0\0\x8", 4);
        if (session_feed(s.s, b.p, b.n) != ERR_OK || s.finished)
            break;
        sbuf_clear(&b);
        session_flushed(s.s, 1u << 20);
        while (talk_count > 20)
            sbuf_finish(&talks[--talk_count].log);
    }
    assert_int_equal(s.finished, 1);
    sbuf_finish(&b);
    sbuf_finish(&block);
}

static void endless_continuations_end_the_connection(void **state)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    sbuf_add(&b, PREFACE, sizeof PREFACE - 1);
    add_frame(&b, 4, 0, 0, "", 0);
    add_frame(&b, 1, 1, 1, "\x82", 1);
    for (int i = 0; i < 40; i++)
        add_frame(&b, 9, 0, 1, "", 0);
    assert_true(session_feed(s.s, b.p, b.n) != ERR_OK || s.finished);
    sbuf_finish(&b);
}

static void garbage_is_an_error(void **state)
{
    assert_int_equal(session_feed(s.s, "GET / HTTP/1.1\r\nhost: h\r\n\r\n", 27), ERR_PROTOCOL);
    struct head h = request_of("GET", "/", 0);
    struct talk *t = ask(&h, true);
    (void)!session_feed(c.s, "HTTP/1.1 200 OK\r\n\r\n", 19);
    session_flushed(c.s, c.out_n);
    assert_true(t->is_closed && t->why != WHY_DONE);
    assert_false(session_has_room(c.s));
}

static void refused_streams_say_so(void **state)
{
    struct head h = request_of("GET", "/", 0);
    struct talk *a = ask(&h, true), *b = ask(&h, true);
    struct sbuf f;
    sbuf_init(&f, 1 << 16);
    add_frame(&f, 4, 0, 0, "", 0);
    add_frame(&f, 3, 0, 1, "\0\0\0\x7", 4);         /* RST_STREAM REFUSED_STREAM */
    add_frame(&f, 7, 0, 0, "\0\0\0\x1\0\0\0\0", 8); /* GOAWAY, the last was 1 */
    assert_int_equal(session_feed(c.s, f.p, f.n), ERR_OK);
    session_flushed(c.s, c.out_n);
    assert_int_equal(a->why, WHY_REFUSED);
    assert_int_equal(b->why, WHY_REFUSED);
    assert_false(session_has_room(c.s));
    sbuf_finish(&f);
}

/* ---- WebSockets (RFC 8441) ---- */

/* Another frame for the server of raw_request. */
static void raw_frame(struct end *e, unsigned type, unsigned flags, const void *p, size_t n)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    add_frame(&b, type, flags, next_id, p, n);
    assert_int_equal(session_feed(e->s, b.p, b.n), ERR_OK);
    sbuf_finish(&b);
}

static void let_leave(struct end *e)
{
    size_t n = e->out_n;
    e->out_n = 0;
    session_flushed(e->s, n);
}

/* The payload of the last frame of TYPE that E put; -1: there is none. FLAGS are its. */
static int last_frame(const struct end *e, unsigned type, unsigned *flags, const char **payload)
{
    int found = -1;
    for (size_t at = 0; at + 9 <= e->out_n;) {
        const unsigned char *f = (const unsigned char *)e->out + at;
        size_t n = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
        if (f[3] == type) {
            found = (int)n;
            *flags = f[4];
            *payload = e->out + at + 9;
        }
        at += 9 + n;
    }
    return found;
}

static void switch_protocols(struct talk *t)
{
    set(0, "Sec-WebSocket-Accept", "whatever");
    set(1, "Sec-WebSocket-Protocol", "live");
    struct head h = {.status = 101, .is_websocket = true, .fields = fields, .count = 2};
    assert_int_equal(stream_send_head(t->st, &h, false), ERR_OK);
}

static void extended_connect_is_announced(void **state)
{
    const char *p;
    unsigned flags;
    session_flushed(s.s, 0); /* their SETTINGS leave */
    session_flushed(c.s, 0);
    int n = last_frame(&s, 4, &flags, &p);
    assert_true(n > 0);
    bool said = false;
    for (int i = 0; i < n; i += 6)
        said |= memcmp(p + i, "\0\x8\0\0\0\1", 6) == 0;
    assert_true(said);
    n = last_frame(&c, 4, &flags, &p);
    for (int i = 0; i < n; i += 6)
        assert_int_not_equal(p[i + 1], 8); /* a server's alone */
}

static void a_websocket_goes_over_a_stream(void **state)
{
    static const char *const given[] = {
        WS, "sec-websocket-key", "x", "sec-websocket-version", "13", NULL};
    const char *p;
    unsigned flags;
    raw_request(&s, false, given);
    logged(s.first, "GET https h /ws sec-websocket-version=13 |");
    raw_frame(&s, 0, 0, "early", 5);
    logged(s.first, "GET https h /ws sec-websocket-version=13 |");
    let_leave(&s);
    switch_protocols(s.first);
    assert_in_range(last_frame(&s, 1, &flags, &p), 20, 30);
    assert_int_equal(p[0], (char)0x88); /* :status 200, and no Sec-WebSocket-Accept */
    assert_int_equal(flags, 4);
    let_leave(&s);
    logged(s.first, "GET https h /ws sec-websocket-version=13 |early");
    raw_frame(&s, 0, 0, " late", 5);
    assert_int_equal(stream_send_body(s.first->st, "back", 4, false), ERR_OK);
    assert_int_equal(last_frame(&s, 0, &flags, &p), 4);
    let_leave(&s);
    assert_int_equal(s.first->sent, 4);
    raw_frame(&s, 0, 1, "", 0);
    logged(s.first, "GET https h /ws sec-websocket-version=13 |early late END");
    assert_int_equal(stream_send_body(s.first->st, "", 0, true), ERR_OK);
    assert_int_equal(last_frame(&s, 0, &flags, &p), 0);
    assert_int_equal(flags, 1);
    let_leave(&s);
    assert_int_equal(s.first->why, WHY_DONE);
}

static void an_end_before_the_answer_waits_too(void **state)
{
    static const char *const given[] = {WS, NULL};
    raw_request(&s, false, given);
    raw_frame(&s, 0, 0, "a", 1);
    raw_frame(&s, 0, 1, "b", 1);
    let_leave(&s);
    logged(s.first, "GET https h /ws |");
    switch_protocols(s.first);
    let_leave(&s);
    logged(s.first, "GET https h /ws |ab END");
    stream_reset(s.first->st);
}

/* More of it than was held comes in the same breath as the answer. */
static void early_bytes_keep_their_order(void **state)
{
    static const char *const given[] = {WS, NULL};
    raw_request(&s, false, given);
    raw_frame(&s, 0, 0, "a", 1);
    let_leave(&s);
    switch_protocols(s.first);
    raw_frame(&s, 0, 0, "b", 1);
    raw_frame(&s, 0, 1, "c", 1);
    let_leave(&s);
    logged(s.first, "GET https h /ws |abc END");
    stream_reset(s.first->st);
}

static void no_more_early_bytes_than_the_window(void **state)
{
    static const char *const given[] = {WS, NULL};
    static char bytes[16384];
    session_flushed(s.s, 0);
    raw_request(&s, false, given);
    next_id = 0;
    raw_frame(&s, 4, 1, "", 0); /* SETTINGS count from their ACK on */
    next_id = 1;
    for (unsigned i = 0; i < STREAM_WINDOW / sizeof bytes; i++)
        raw_frame(&s, 0, 0, bytes, sizeof bytes);
    let_leave(&s);
    assert_false(s.first->is_closed);
    raw_frame(&s, 0, 0, bytes,
              1); /* against the window: nghttp2 ends the connection, or the stream */
    let_leave(&s);
    assert_true(s.first->is_closed);
    assert_int_equal(s.first->got, 0);
}

static void a_refused_websocket_is_an_answer(void **state)
{
    static const char *const given[] = {WS, NULL};
    raw_request(&s, false, given);
    raw_frame(&s, 0, 0, "early", 5);
    struct head h = {.status = 200, .body = BODY_LENGTH, .content_length = 2};
    assert_int_equal(stream_send_head(s.first->st, &h, false), ERR_INVALID); /* it would be open */
    h.status = 204;
    assert_int_equal(stream_send_head(s.first->st, &h, true), ERR_INVALID);
    answer(s.first, 403, "no");
    raw_frame(&s, 0, 0, "more", 4);
    let_leave(&s);
    logged(s.first, "GET https h /ws |");
    assert_int_equal(s.first->why, WHY_DONE);
}

/* RFC 9113 section 8.5: only DATA may follow. */
static void a_websocket_has_no_trailers(void **state)
{
    static const char *const given[] = {WS, NULL};
    const char *p;
    unsigned flags;
    struct sbuf block;
    sbuf_init(&block, 4096);
    add_literal(&block, "x-a", "b");
    for (int answered = 0; answered < 2; answered++) {
        struct end e;
        assert_true(end_init(&e, ROLE_SERVER));
        raw_request(&e, false, given);
        if (answered)
            switch_protocols(e.first);
        let_leave(&e);
        raw_frame(&e, 1, 5, block.p, block.n);
        assert_int_equal(last_frame(&e, 3, &flags, &p), 4);
        assert_memory_equal(p, "\0\0\0\1", 4);
        let_leave(&e);
        logged(e.first, "GET https h /ws |");
        assert_int_equal(e.first->why, WHY_RESET);
        end_finish(&e);
    }
    sbuf_finish(&block);
}

static void a_websocket_is_broken_off_by_cancel(void **state)
{
    static const char *const given[] = {WS, NULL};
    const char *p;
    unsigned flags;
    raw_request(&s, false, given);
    switch_protocols(s.first);
    let_leave(&s);
    stream_reset(s.first->st);
    assert_int_equal(last_frame(&s, 3, &flags, &p), 4);
    assert_memory_equal(p, "\0\0\0\x8", 4);
    assert_int_equal(s.first->why, WHY_LOCAL);
}

static void only_who_asked_for_a_websocket_gets_one(void **state)
{
    static const char *const given[] = {P, NULL};
    raw_request(&s, true, given);
    struct head h = {.status = 101, .is_websocket = true};
    assert_int_equal(stream_send_head(s.first->st, &h, false), ERR_INVALID);
    struct head q = request_of("GET", "/", 0);
    q.is_websocket = true; /* providers are asked by HTTP/1.1 */
    struct stream *st = session_open(c.s);
    talk_new(&c, st);
    st->sink = &talk_sink;
    assert_int_equal(stream_send_head(st, &q, false), ERR_INVALID);
}

/* ---- answers by hand ---- */

static const struct {
    const char *what;
    const char *want; /* the log, or NULL: broken */
    const char *fields[10];
} answers[] = {
    {"plain", "200 x-a=b END", {":status", "200", "x-a", "b"}},
    {"underscore dropped", "200 END", {":status", "200", "x_a", "b"}},
    {"no status", NULL, {"x-a", "b"}},
    {"status twice", NULL, {":status", "200", ":status", "200"}},
    {"status of two digits", NULL, {":status", "20"}},
    {"status no number", NULL, {":status", "2x0"}},
    {"status 999", NULL, {":status", "999"}},
    {"101", NULL, {":status", "101"}},
    {"connection", NULL, {":status", "200", "connection", "close"}},
    {"transfer-encoding", NULL, {":status", "200", "transfer-encoding", "chunked"}},
    {"CR LF", NULL, {":status", "200", "x-a", "b\r\nc: d"}},
    {"request's", NULL, {":status", "200", ":path", "/"}},
    {"body that does not come", NULL, {":status", "200", "content-length", "7"}},
};

static void what_is_no_answer_is_an_error(void **state)
{
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct head h = request_of("GET", "/", 0);
        end_finish(&c);
        assert_true(end_init(&c, ROLE_CLIENT));
        struct talk *t = ask(&h, true);
        struct sbuf block, b;
        sbuf_init(&block, 1 << 16);
        sbuf_init(&b, 1 << 16);
        for (const char *const *f = answers[i].fields; *f; f += 2)
            add_literal(&block, f[0], f[1]);
        add_frame(&b, 4, 0, 0, "", 0);
        add_frame(&b, 1, 5, 1, block.p, block.n);
        (void)!session_feed(c.s, b.p, b.n);
        session_flushed(c.s, c.out_n);
        if (answers[i].want && strcmp(sbuf_z(&t->log), answers[i].want) != 0)
            fail_msg("%s: %s", answers[i].what, sbuf_z(&t->log));
        if (!answers[i].want && (t->log.n || !t->is_closed || t->why == WHY_DONE))
            fail_msg("%s: %s, %d", answers[i].what, sbuf_z(&t->log),
                     t->is_closed ? (int)t->why : -1);
        sbuf_finish(&b);
        sbuf_finish(&block);
    }
}

static void interim_answers_are_counted(void **state)
{
    struct head h = request_of("GET", "/", 0);
    struct talk *t = ask(&h, true);
    struct sbuf b;
    sbuf_init(&b, 1 << 16);
    add_frame(&b, 4, 0, 0, "", 0);
    struct sbuf block;
    sbuf_init(&block, 1 << 10);
    add_literal(&block, ":status", "103");
    for (int i = 0; i < 30; i++)
        add_frame(&b, 1, 4, 1, block.p, block.n);
    (void)!session_feed(c.s, b.p, b.n);
    session_flushed(c.s, c.out_n);
    assert_true(t->is_closed);
    assert_int_equal(t->why, WHY_PROTO);
    sbuf_finish(&b);
    sbuf_finish(&block);
}

/* ---- memory ---- */

static void without_memory_a_stream_or_all_end(void **state)
{
    end_finish(&c);
    end_finish(&s);
    for (long n = 1; n < 120; n++) {
        set(0, "authorization", "Bearer x");
        struct head h = request_of("POST", "/", 1);
        h.body = BODY_CHUNKED;
        mem_fail_after(n, 0);
        if (!end_init(&c, ROLE_CLIENT) || !end_init(&s, ROLE_SERVER)) {
            mem_fail_after(0, 0);
            if (c.s)
                end_finish(&c);
            if (s.s)
                end_finish(&s);
            continue;
        }
        struct stream *st = session_open(c.s);
        struct talk *t = st ? talk_new(&c, st) : NULL;
        if (st) {
            st->sink = &talk_sink;
            if (stream_send_head(st, &h, false) != ERR_OK ||
                (t->st && stream_send_body(st, "abc", 3, true) != ERR_OK)) {
                if (t->st)
                    stream_reset(st);
            }
        }
        run();
        mem_fail_after(0, 0);
        end_finish(&c);
        end_finish(&s);
        assert_true(!t || t->is_closed);
        for (size_t i = 0; i < talk_count; i++)
            sbuf_finish(&talks[i].log);
        talk_count = 0;
    }
    assert_int_equal(setup(NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(heads_and_bodies_go_both_ways),
        TEST(credentials_of_any_length_arrive),
        TEST(a_credential_in_a_large_block_arrives),
        TEST(two_credentials_are_left_to_the_other_side),
        TEST(a_credential_waits_with_its_head),
        TEST(trailers_end_a_message),
        TEST(trailers_wait_for_the_body_before_them),
        TEST(an_answer_without_body_is_a_head_alone),
        TEST(lengths_are_kept),
        TEST(many_streams_share_a_connection),
        TEST(no_more_streams_than_the_peer_takes),
        TEST(one_that_stalls_does_not_stall_the_others),
        TEST(a_link_that_does_not_drain_gets_little),
        TEST(resets_reach_the_other_side),
        TEST(an_early_answer_ends_the_exchange),
        TEST(draining_loses_no_request),
        TEST(draining_says_goodbye_after_the_last_answer),
        TEST(the_end_of_a_link_ends_all),
        TEST(what_is_no_request_reaches_nobody),
        TEST(cookies_become_one_field),
        TEST(empty_cookies_leave_no_space),
        TEST(heads_that_are_too_large_are_431),
        TEST(floods_end_the_connection),
        TEST(ids_that_go_down_end_the_connection),
        TEST(unknown_frames_without_end_do_too),
        TEST(rapid_resets_end_the_connection),
        TEST(endless_continuations_end_the_connection),
        TEST(garbage_is_an_error),
        TEST(refused_streams_say_so),
        TEST(extended_connect_is_announced),
        TEST(a_websocket_goes_over_a_stream),
        TEST(an_end_before_the_answer_waits_too),
        TEST(early_bytes_keep_their_order),
        TEST(no_more_early_bytes_than_the_window),
        TEST(a_refused_websocket_is_an_answer),
        TEST(a_websocket_has_no_trailers),
        TEST(a_websocket_is_broken_off_by_cancel),
        TEST(only_who_asked_for_a_websocket_gets_one),
        TEST(what_is_no_answer_is_an_error),
        TEST(interim_answers_are_counted),
        TEST(without_memory_a_stream_or_all_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
