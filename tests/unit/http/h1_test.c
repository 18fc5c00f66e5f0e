/* Sessions in both roles without sockets. */
#include "http/ws_key.h"
#include "unit/http/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define GET "GET / HTTP/1.1\r\nhost: h\r\n\r\n"
#define POST(fields) "POST / HTTP/1.1\r\nhost: h\r\n" fields "\r\n"
#define OK200(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"
#define LEN "content-length: "
#define CHUNKED "transfer-encoding: chunked\r\n"

static void feeds(struct wire *w, const char *z)
{
    assert_int_equal(wire_feed(w, slice_of(z)), ERR_OK);
}

static void logged(struct wire *w, const char *want)
{
    assert_string_equal(sbuf_z(&w->log), want);
    sbuf_clear(&w->log);
}

static void was_sent(struct wire *w, const char *want)
{
    assert_string_equal(sbuf_z(&w->sent), want);
}

static void feed_run(struct wire *w, size_t n)
{
    static char xs[65536];
    memset(xs, 'x', sizeof xs);
    for (size_t at = 0; at < n; at += sizeof xs)
        assert_int_equal(session_feed(w->s, xs, n - at < sizeof xs ? n - at : sizeof xs), ERR_OK);
}

/* ---- any cut, the same events ---- */

/* Answers each request that is complete, and lets all leave. */
static void settle(struct wire *w)
{
    bool more = true;
    while (more) {
        more = false;
        if (w->st && w->request_over && !w->answer_over) {
            assert_int_equal(wire_answer(w, 200, "ok"), ERR_OK);
            more = true;
        }
        more |= wire_flush(w);
    }
}

static const char *const conversations[] = {
    GET,
    "\r\n" GET,
    GET GET GET,
    POST(LEN "5\r\n") "hello" GET,
    POST(CHUNKED) "5\r\nhello\r\n0\r\n\r\n" GET,
    POST(CHUNKED) "5;a\r\nhello\r\nb\r\nworld world\r\n0\r\nx: y\r\n\r\n" POST(LEN "0\r\n")
        POST(LEN "2\r\n") "ab" GET,
    POST("expect: 100-continue\r\n" LEN "5\r\n") "hello" GET,
    POST("connection: close\r\n" LEN "5\r\n") "hello" GET,
    "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" GET,
    "GET / HTTP/1.0\r\n\r\n",
    GET "bad",
    POST(CHUNKED) "5\r\nhelloX",
    POST(LEN "5\r\n" CHUNKED) "hello",
    GET POST(CHUNKED) "3\r\nabc\r\n+1\r\n",
    GET "\r\n" GET,
};

static void talk(const char *text, size_t cut1, size_t cut2, struct sbuf *out)
{
    struct wire w;
    struct slice s = slice_of(text);
    assert_true(wire_init(&w, ROLE_SERVER));
    const struct slice parts[] = {slice_sub(s, 0, cut1), slice_sub(s, cut1, cut2),
                                  slice_sub(s, cut2, s.n)};
    enum err e = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(parts) && e == ERR_OK && !w.is_finished && !w.faults; i++) {
        if (parts[i].n)
            e = wire_feed(&w, parts[i]);
        if (e == ERR_OK)
            settle(&w);
    }
    sbuf_add_slice(out, sbuf_slice(&w.log));
    sbuf_adds(out, " | ");
    sbuf_add_slice(out, sbuf_slice(&w.sent));
    sbuf_addf(out, " | %d %d %d", w.opens, w.finished, (int)session_is_idle(w.s));
    /* a fault is told by feed, or, from behind another request, by on_fault */
    const struct fault *f = w.faults ? &w.fault : &w.s->fault;
    sbuf_addf(out, " %d %s", f->status, f->reason ? f->reason : "-");
    wire_finish(&w);
}

static void a_request_reads_the_same_however_it_is_cut(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(conversations); i++) {
        struct sbuf whole, cut;
        size_t n = strlen(conversations[i]);
        sbuf_init(&whole, 65536);
        sbuf_init(&cut, 65536);
        talk(conversations[i], n, n, &whole);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b += 1 + (n > 120 ? 6 : 0)) {
                sbuf_clear(&cut);
                talk(conversations[i], a, b, &cut);
                if (!slice_eq(sbuf_slice(&whole), sbuf_slice(&cut)))
                    fail_msg("conversation %zu cut at %zu and %zu:\n%s\n%s", i, a, b,
                             sbuf_z(&whole), sbuf_z(&cut));
            }
        sbuf_finish(&whole);
        sbuf_finish(&cut);
    }
}

static const struct {
    const char *bytes;
    bool eof;
} replies[] = {
    {OK200(LEN "5\r\n") "hello", false},
    {OK200(LEN "5\r\n") "hel", true},
    {OK200(CHUNKED) "5\r\nhello\r\n0\r\nx: y\r\n\r\n", false},
    {OK200(CHUNKED) "5\r\nhello\r\n", true},
    {OK200("") "hello", true},
    {"HTTP/1.1 100 Continue\r\n\r\n" OK200(LEN "1\r\n") "x", false},
    {"HTTP/1.1 204 No\r\n\r\n", false},
    {"HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n", false},
    {"HTTP/1.1 200", true},
    {OK200(CHUNKED) "z\r\n", false},
    {"HTTP/1.0 200 OK\r\n\r\nhello", true},
    {OK200("connection: close\r\n" LEN "2\r\n") "ok", false},
};

static void reply(size_t i, size_t cut1, size_t cut2, struct sbuf *out)
{
    struct wire w;
    struct slice s = slice_of(replies[i].bytes);
    assert_true(wire_init(&w, ROLE_CLIENT));
    wire_ask(&w, "GET");
    const struct slice parts[] = {slice_sub(s, 0, cut1), slice_sub(s, cut1, cut2),
                                  slice_sub(s, cut2, s.n)};
    enum err e = ERR_OK;
    for (size_t k = 0; k < ARRAY_LEN(parts) && e == ERR_OK; k++)
        if (parts[k].n)
            e = wire_feed(&w, parts[k]);
    if (replies[i].eof && e == ERR_OK)
        session_eof(w.s);
    sbuf_add_slice(out, sbuf_slice(&w.log));
    sbuf_addf(out, " | %d %d %s", e, (int)session_is_idle(w.s),
              w.s->fault.reason ? w.s->fault.reason : "-");
    wire_finish(&w);
}

static void an_answer_reads_the_same_however_it_is_cut(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct sbuf whole, cut;
        size_t n = strlen(replies[i].bytes);
        sbuf_init(&whole, 65536);
        sbuf_init(&cut, 65536);
        reply(i, n, n, &whole);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                sbuf_clear(&cut);
                reply(i, a, b, &cut);
                if (!slice_eq(sbuf_slice(&whole), sbuf_slice(&cut)))
                    fail_msg("reply %zu cut at %zu and %zu:\n%s\n%s", i, a, b, sbuf_z(&whole),
                             sbuf_z(&cut));
            }
        sbuf_finish(&whole);
        sbuf_finish(&cut);
    }
}

/* ---- the server role ---- */

static void a_request_is_answered_and_the_next_one_follows(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    assert_true(session_is_idle(w.s));
    feeds(&w, GET);
    assert_false(session_is_idle(w.s));
    assert_true(w.s->has_stream);
    assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK);
    assert_true(w.s->is_answering);
    assert_int_equal(w.closes, 0);
    session_flushed(w.s, 3); /* not all has left */
    w.flushed = 3;
    assert_int_equal(w.closes, 0);
    wire_flush(&w);
    assert_int_equal(w.closes, 1);
    assert_int_equal(w.on_sent, 2);
    assert_int_equal(w.why, WHY_DONE);
    assert_false(w.s->is_answering);
    assert_true(session_is_idle(w.s));
    assert_false(w.is_finished);
    was_sent(&w, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    feeds(&w, GET);
    assert_int_equal(w.opens, 2);
    wire_finish(&w);
}

static void pipelined_requests_wait_for_their_turn(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET POST(LEN "2\r\n") "ab" GET);
    assert_int_equal(w.opens, 1);
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.opens, 2);
    assert_true(w.request_over);
    feeds(&w, GET); /* behind what waits already */
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.opens, 3);
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.opens, 4);
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_true(session_is_idle(w.s));
    wire_finish(&w);
}

/* Nobody may keep a worker busy with one piece of bytes. */
static void a_long_run_of_requests_in_one_piece_ends_the_connection(void **state)
{
    struct wire w;
    struct sbuf many;
    sbuf_init(&many, 65536);
    for (int i = 0; i < 1000; i++)
        sbuf_adds(&many, GET);
    assert_true(wire_init(&w, ROLE_SERVER));
    assert_int_equal(wire_feed(&w, sbuf_slice(&many)), ERR_OK);
    settle(&w);
    assert_true(w.is_finished);
    assert_true(w.opens >= 100 && w.opens < 200);
    assert_int_equal(w.closes, w.opens);
    sbuf_finish(&many);
    wire_finish(&w);
}

static void pipelined_bytes_have_a_bound(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET);
    assert_true(session_wants_read(w.s));
    feed_run(&w, 65536);
    assert_false(session_wants_read(w.s));
    feed_run(&w, 100000); /* who feeds on loses the connection, not our memory */
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_true(w.is_finished);
    wire_finish(&w);
}

static void a_bad_pipelined_request_is_told_in_its_turn(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET "GET / HTTP/9.9\r\n\r\n");
    assert_int_equal(w.faults, 0);
    assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.faults, 1);
    assert_int_equal(w.fault.status, 400);
    assert_string_equal(w.fault.reason, "request_line");
    assert_int_equal(w.opens, 1);
    assert_int_equal(w.closes, 1);
    wire_finish(&w);
}

static void who_asks_to_close_is_closed(void **state)
{
    static const struct {
        const char *request, *sent;
        bool closed;
    } cases[] = {
        {GET, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false},
        {"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", true},
        {"GET / HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", true},
        {"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_SERVER));
        feeds(&w, cases[i].request);
        assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK);
        was_sent(&w, cases[i].sent);
        wire_flush(&w);
        assert_int_equal(w.is_finished, cases[i].closed);
        assert_false(w.s->is_broken);
        assert_int_equal(w.why, WHY_DONE);
        wire_finish(&w);
    }
}

static void send_unknown(struct wire *w, int status)
{
    struct head h = {.status = status, .reason = SLICE("OK"), .body = BODY_UNTIL_CLOSE};
    assert_int_equal(stream_send_head(w->st, &h, false), ERR_OK);
    assert_int_equal(stream_send_body(w->st, "hello", 5, false), ERR_OK);
    assert_int_equal(stream_send_body(w->st, "", 0, false), ERR_OK);
    assert_int_equal(stream_send_body(w->st, "0123456789abcdef", 16, false), ERR_OK);
    assert_int_equal(stream_send_body(w->st, "", 0, true), ERR_OK);
}

static void a_body_of_unknown_length_is_chunked_or_ends_with_the_connection(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET);
    send_unknown(&w, 200);
    was_sent(&w, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                 "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    wire_flush(&w);
    assert_int_equal(w.on_sent, 21);
    assert_false(w.is_finished);
    wire_finish(&w);

    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    send_unknown(&w, 200);
    was_sent(&w, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello0123456789abcdef");
    wire_flush(&w);
    assert_true(w.is_finished);
    assert_false(w.s->is_broken);
    wire_finish(&w);
}

/* The end alone moves no byte; it must be noticed all the same. */
static void an_end_that_comes_after_all_has_left_is_an_end(void **state)
{
    static const char *const requests[] = {"GET / HTTP/1.0\r\n\r\n", GET};
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        for (int known = 0; known < 2; known++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_SERVER));
            feeds(&w, requests[i]);
            struct head h = {
                .status = 200, .body = known ? BODY_LENGTH : BODY_UNTIL_CLOSE, .content_length = 2};
            assert_int_equal(stream_send_head(w.st, &h, false), ERR_OK);
            assert_int_equal(stream_send_body(w.st, "ok", 2, false), ERR_OK);
            wire_flush(&w);
            assert_int_equal(w.closes, 0);
            assert_int_equal(stream_send_body(w.st, "", 0, true), ERR_OK);
            assert_int_equal(w.closes, 0); /* never from inside a verb */
            wire_flush(&w);
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.why, WHY_DONE);
            assert_int_equal(w.is_finished, i == 0);
            wire_finish(&w);
        }
}

static void a_body_must_fit_its_length(void **state)
{
    struct head h = {
        .status = 200, .reason = SLICE("OK"), .body = BODY_LENGTH, .content_length = 5};
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET);
    assert_int_equal(stream_send_head(w.st, &h, false), ERR_OK);
    assert_int_equal(stream_send_body(w.st, "abcdef", 6, false), ERR_PROTOCOL);
    assert_int_equal(stream_send_body(w.st, "abc", 3, true), ERR_PROTOCOL);
    assert_int_equal(stream_send_body(w.st, "abcde", 5, true), ERR_OK);
    assert_int_equal(stream_send_body(w.st, "f", 1, true), ERR_PROTOCOL);
    assert_int_equal(stream_send_body(w.st, "", 0, true), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.why, WHY_DONE);
    wire_finish(&w);
}

/* 204, 304, HEAD: not a byte of a body may follow, whatever the owner says. */
static void an_answer_that_has_no_body_gets_none(void **state)
{
    static const struct {
        const char *request;
        int status;
        enum body_kind body;
        const char *sent;
    } cases[] = {
        {GET, 204, BODY_NONE, "HTTP/1.1 204 OK\r\n\r\n"},
        {GET, 204, BODY_LENGTH, "HTTP/1.1 204 OK\r\n\r\n"},
        {GET, 204, BODY_UNTIL_CLOSE, "HTTP/1.1 204 OK\r\n\r\n"},
        {GET, 304, BODY_LENGTH, "HTTP/1.1 304 OK\r\ncontent-length: 5\r\n\r\n"},
        {GET, 304, BODY_CHUNKED, "HTTP/1.1 304 OK\r\n\r\n"},
        {"HEAD / HTTP/1.1\r\nhost: h\r\n\r\n", 200, BODY_LENGTH,
         "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
        {"HEAD / HTTP/1.1\r\nhost: h\r\n\r\n", 200, BODY_UNTIL_CLOSE, "HTTP/1.1 200 OK\r\n\r\n"},
        {"HEAD / HTTP/1.1\r\nhost: h\r\n\r\n", 200, BODY_CHUNKED, "HTTP/1.1 200 OK\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int end = 0; end < 2; end++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_SERVER));
            feeds(&w, cases[i].request);
            struct head h = {.status = cases[i].status,
                             .reason = SLICE("OK"),
                             .body = cases[i].body,
                             .content_length = 5};
            assert_int_equal(stream_send_head(w.st, &h, end), ERR_OK);
            if (!end)
                assert_int_equal(stream_send_body(w.st, "hello", 5, true), ERR_OK);
            was_sent(&w, cases[i].sent);
            wire_flush(&w);
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.why, WHY_DONE);
            assert_true(session_is_idle(w.s));
            wire_finish(&w);
        }
}

static void a_head_that_cannot_be_written_sends_nothing(void **state)
{
    struct field bad = {SLICE("x"), SLICE("a\r\nset-cookie: b"), FIELD_OTHER};
    struct head h = {.status = 200, .body = BODY_NONE, .fields = &bad, .count = 1};
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET);
    assert_int_equal(stream_send_head(w.st, &h, true), ERR_INVALID);
    assert_int_equal(w.sent.n, 0);
    assert_false(w.s->is_answering);
    assert_int_equal(wire_answer(&w, 500, ""), ERR_OK); /* another one may be */
    wire_flush(&w);
    assert_int_equal(w.why, WHY_DONE);
    wire_finish(&w);
}

static void continue_is_said_once_and_only_when_asked_for(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST("expect: 100-continue\r\n" LEN "5\r\n"));
    w.st->ops->send_continue(w.st);
    w.st->ops->send_continue(w.st);
    was_sent(&w, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_flush(&w);
    assert_int_equal(w.closes, 0);
    feeds(&w, "hello");
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_true(session_is_idle(w.s));
    feeds(&w, POST(LEN "5\r\n"));
    size_t before = w.sent.n;
    w.st->ops->send_continue(w.st);
    assert_int_equal(w.sent.n, before);
    wire_finish(&w);

    /* HTTP/1.0 knows no 100 */
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, "POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    w.st->ops->send_continue(w.st);
    assert_int_equal(w.sent.n, 0);
    wire_finish(&w);
}

/* The client may or may not send the body that it announced: nobody can tell where the next request
 * begins. */
static void an_answer_instead_of_continue_closes(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST("expect: 100-continue\r\n" LEN "5\r\n"));
    assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
    was_sent(&w, "HTTP/1.1 401 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    wire_flush(&w);
    assert_true(w.is_finished);
    wire_finish(&w);
}

static void what_is_left_of_a_request_is_swallowed(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST(LEN "100000\r\n") "abc");
    assert_int_equal(wire_answer(&w, 401, "no"), ERR_OK);
    assert_null(strstr(sbuf_z(&w.sent), "close"));
    wire_flush(&w);
    assert_int_equal(w.closes, 1);
    assert_int_equal(w.why, WHY_DONE);
    assert_false(session_is_idle(w.s));
    size_t body = w.body;
    feed_run(&w, 99997);
    assert_int_equal(w.body, body); /* nobody hears of it */
    assert_true(session_is_idle(w.s));
    feeds(&w, GET);
    assert_int_equal(w.opens, 2);
    wire_finish(&w);
}

static void a_request_behind_a_swallowed_body_is_served(void **state)
{
    static const char *const rest[] = {"bcde" GET, "bcde" GET GET};
    for (size_t i = 0; i < ARRAY_LEN(rest); i++)
        for (size_t cut = 0; cut < strlen(rest[i]); cut++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_SERVER));
            feeds(&w, POST(LEN "5\r\n") "a");
            assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
            wire_flush(&w);
            struct slice s = slice_of(rest[i]);
            if (cut)
                assert_int_equal(wire_feed(&w, slice_sub(s, 0, cut)), ERR_OK);
            assert_int_equal(wire_feed(&w, slice_sub(s, cut, s.n)), ERR_OK);
            assert_int_equal(w.opens, 2);
            assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
            wire_flush(&w);
            assert_int_equal(w.opens, 2 + (int)i);
            wire_finish(&w);
        }
}

static void a_chunked_body_is_swallowed_up_to_its_end(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST(CHUNKED) "3\r\nab");
    assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
    wire_flush(&w);
    feeds(&w, "c\r\n5\r\nhello\r\n0\r\n\r\n" GET);
    assert_int_equal(w.opens, 2);
    assert_int_equal(w.body, 2);
    wire_finish(&w);

    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST(CHUNKED));
    assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
    wire_flush(&w);
    feeds(&w, "ffffffff\r\n");
    feed_run(&w, 256 * 1024);
    assert_false(w.is_finished);
    feed_run(&w, 1);
    assert_true(w.is_finished);
    wire_finish(&w);
}

static void a_long_rest_of_a_request_closes(void **state)
{
    struct wire w;
    for (int over = 0; over < 2; over++) {
        assert_true(wire_init(&w, ROLE_SERVER));
        feeds(&w, over ? POST(LEN "262145\r\n") : POST(LEN "262144\r\n"));
        assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
        assert_int_equal(strstr(sbuf_z(&w.sent), "connection: close") != NULL, over);
        wire_flush(&w);
        assert_int_equal(w.is_finished, over);
        assert_int_equal(w.closes, 1);
        if (!over) {
            feed_run(&w, 262144);
            assert_true(session_is_idle(w.s));
        }
        wire_finish(&w);
    }
}

static void a_fault_in_a_swallowed_body_is_a_fault(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST(CHUNKED));
    assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
    wire_flush(&w);
    assert_int_equal(wire_feed(&w, SLICE("zz\r\n")), ERR_PROTOCOL);
    assert_int_equal(w.closes, 1);
    wire_finish(&w);
}

/* ---- back-pressure ---- */

static void reading_stops_after_the_window_and_goes_on_with_credit(void **state)
{
    for (int role = ROLE_SERVER; role <= ROLE_CLIENT; role++) {
        struct wire w;
        assert_true(wire_init(&w, role));
        w.forget_body = true;
        if (role == ROLE_CLIENT) {
            wire_ask(&w, "GET");
            feeds(&w, OK200(LEN "1000000\r\n"));
        } else {
            feeds(&w, POST(LEN "1000000\r\n"));
        }
        feed_run(&w, STREAM_WINDOW - 1);
        assert_true(session_wants_read(w.s));
        feed_run(&w, 1);
        assert_false(session_wants_read(w.s));
        assert_int_equal(w.readable, 0);
        stream_credit(w.st, 1);
        assert_int_equal(w.readable, 1);
        assert_true(session_wants_read(w.s));
        stream_credit(w.st, STREAM_WINDOW - 1);
        assert_int_equal(w.readable, 1); /* it was open already */
        feed_run(&w, STREAM_WINDOW);
        assert_false(session_wants_read(w.s));
        stream_credit(w.st, 10 * STREAM_WINDOW); /* never more than one window */
        feed_run(&w, STREAM_WINDOW);
        assert_false(session_wants_read(w.s));
        assert_int_equal(w.body, 3 * STREAM_WINDOW);
        wire_finish(&w);
    }
}

static void a_new_request_has_a_new_window(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    w.forget_body = true;
    feeds(&w, POST(LEN "131072\r\n"));
    feed_run(&w, STREAM_WINDOW);
    assert_true(w.request_over);
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    wire_flush(&w);
    assert_true(session_wants_read(w.s));
    feeds(&w, POST(LEN "131072\r\n"));
    feed_run(&w, STREAM_WINDOW - 1);
    assert_true(session_wants_read(w.s));
    wire_finish(&w);
}

static void a_chunked_body_counts_against_the_window(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    w.forget_body = true;
    feeds(&w, POST(CHUNKED) "40000\r\n");
    feed_run(&w, STREAM_WINDOW);
    assert_false(session_wants_read(w.s));
    stream_credit(w.st, 5);
    assert_true(session_wants_read(w.s));
    wire_finish(&w);
}

/* ---- ends ---- */

static void a_client_that_goes_ends_its_request(void **state)
{
    static const char *const states[] = {POST(LEN "5\r\n") "ab", POST(CHUNKED) "5\r\nab", GET,
                                         POST(CHUNKED)};
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        for (int kind = 0; kind < 4; kind++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_SERVER));
            feeds(&w, states[i]);
            if (kind & 2)
                assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK); /* not flushed */
            if (kind & 1)
                session_eof(w.s);
            else
                session_abort(w.s);
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.why, WHY_RESET);
            assert_false(session_is_idle(w.s));
            session_abort(w.s);
            session_eof(w.s);
            wire_flush(&w);
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.opens, 1);
            wire_finish(&w);
        }
    struct wire w;
    static const char *const idle[] = {"", "GE", "GET / HTTP/1.1\r\nho"};
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        assert_true(wire_init(&w, ROLE_SERVER));
        feeds(&w, idle[i]);
        session_eof(w.s);
        assert_int_equal(w.opens + w.closes + w.faults, 0);
        wire_finish(&w);
    }
}

static void a_reset_breaks_the_connection(void **state)
{
    for (int answered = 0; answered < 2; answered++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_SERVER));
        feeds(&w, POST(LEN "5\r\n") "ab");
        if (answered)
            assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK);
        stream_reset(w.st);
        assert_int_equal(w.closes, 1);
        assert_int_equal(w.why, WHY_LOCAL);
        assert_true(w.is_finished);
        assert_true(w.s->is_broken);
        feeds(&w, "cde" GET); /* dropped */
        wire_flush(&w);
        assert_int_equal(w.opens, 1);
        assert_int_equal(w.closes, 1);
        wire_finish(&w);
    }
}

static void a_reset_inside_an_event_is_fine(void **state)
{
    static const char *const requests[] = {
        GET GET, POST(LEN "5\r\n") "hello" GET, POST(LEN "9\r\n") "hello",
        POST(CHUNKED) "5\r\nhello\r\n0\r\n\r\n" GET, POST(CHUNKED) "5\r\nhel"};
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        for (int where = 0; where < 3; where++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_SERVER));
            w.refuse_open = where == 0;
            w.reset_on_head = where == 1;
            w.reset_on_body = where == 2;
            feeds(&w, requests[i]);
            if (where == 2 && i == 0) {
                wire_finish(&w);
                continue;
            }
            assert_int_equal(w.closes, where == 0 ? 0 : 1);
            assert_true(w.is_finished);
            assert_true(w.s->is_broken);
            assert_int_equal(w.opens, 1);
            wire_finish(&w);
        }
}

static void draining_ends_after_the_request_under_way(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    session_drain(w.s); /* nothing under way: one request yet (its owner may end it before) */
    feeds(&w, GET GET);
    assert_int_equal(wire_answer(&w, 200, ""), ERR_OK);
    was_sent(&w, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    wire_flush(&w);
    assert_true(w.is_finished);
    assert_int_equal(w.opens, 1);
    wire_finish(&w);

    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, GET GET);
    session_drain(w.s);
    assert_false(w.is_finished);
    assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK);
    was_sent(&w, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    wire_flush(&w);
    assert_true(w.is_finished);
    assert_int_equal(w.opens, 1);
    wire_finish(&w);

    assert_true(wire_init(&w, ROLE_SERVER)); /* the head is out already */
    feeds(&w, GET);
    assert_int_equal(wire_answer(&w, 200, "ok"), ERR_OK);
    session_drain(w.s);
    wire_flush(&w);
    assert_true(w.is_finished);
    assert_int_equal(w.why, WHY_DONE);
    wire_finish(&w);
}

static void a_connect_leaves_its_rest_to_the_tunnel(void **state)
{
    struct wire w;
    struct sbuf rest;
    assert_true(wire_init(&w, ROLE_SERVER));
    sbuf_init(&rest, 1000);
    feeds(&w, "CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03\x01");
    logged(&w, "[CONNECT  a:1 1.1 keep none]");
    w.st = NULL; /* h1_take_rest says no more */
    h1_take_rest(w.s, &rest);
    assert_string_equal(sbuf_z(&rest), "\x16\x03\x01");
    sbuf_finish(&rest);
    wire_finish(&w);
}

/* ---- the client role ---- */

static void an_answered_connection_is_used_again(void **state)
{
    static const char *const clean[] = {
        OK200(LEN "5\r\n") "hello",
        OK200(CHUNKED) "5\r\nhello\r\n0\r\n\r\n",
        OK200(CHUNKED) "5\r\nhello\r\n0\r\nodd_name: 1\r\n\r\n",
        OK200(LEN "0\r\n"),
        "HTTP/1.1 204 N\r\n\r\n",
        "HTTP/1.1 304 N\r\n\r\n",
        "HTTP/1.1 204 N\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx",
        "HTTP/1.1 100 C\r\n\r\n" OK200(LEN "0\r\n"),
    };
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    assert_true(session_is_idle(w.s));
    for (size_t i = 0; i < ARRAY_LEN(clean); i++) {
        wire_ask(&w, "GET");
        assert_null(session_open(w.s));
        assert_false(session_is_idle(w.s));
        feeds(&w, clean[i]);
        assert_int_equal(w.closes, (int)i + 1);
        assert_int_equal(w.why, WHY_DONE);
        assert_true(w.idle_at_close);
        assert_true(session_is_idle(w.s));
    }
    wire_finish(&w);
}

static void a_head_answer_has_no_body(void **state)
{
    static const char *const answers[] = {OK200(""), OK200(LEN "0\r\n"), "HTTP/1.1 404 N\r\n\r\n"};
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        wire_ask(&w, "HEAD");
        feeds(&w, answers[i]);
        assert_int_equal(w.closes, (int)i + 1);
        assert_true(session_is_idle(w.s));
    }
    wire_finish(&w);
}

/* Sent all the same and late, that body would be the next request's answer. */
static void an_answer_that_names_a_body_it_cannot_have_is_the_last(void **state)
{
    static const struct {
        const char *method, *answer;
    } cases[] = {
        {"HEAD", OK200(LEN "5\r\n")},
        {"HEAD", OK200(CHUNKED)},
        {"GET", "HTTP/1.1 204 N\r\ncontent-length: 9\r\n\r\n"},
        {"GET", "HTTP/1.1 304 N\r\ncontent-length: 9\r\n\r\n"},
        {"GET", "HTTP/1.1 304 N\r\ntransfer-encoding: chunked\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_CLIENT));
        wire_ask(&w, cases[i].method);
        feeds(&w, cases[i].answer);
        assert_int_equal(w.why, WHY_DONE);
        assert_false(w.idle_at_close);
        assert_null(session_open(w.s));
        wire_finish(&w);
    }
}

static void an_unclean_answer_ends_the_connection(void **state)
{
    static const char *const unclean[] = {
        OK200("connection: close\r\n" LEN "2\r\n") "ok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    };
    for (size_t i = 0; i < ARRAY_LEN(unclean); i++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_CLIENT));
        wire_ask(&w, "GET");
        feeds(&w, unclean[i]);
        assert_int_equal(w.why, WHY_DONE);
        assert_false(w.idle_at_close);
        assert_null(session_open(w.s));
        wire_finish(&w);
    }
}

/* Bytes behind an answer could pass for the answer to the next request. */
static void stray_bytes_behind_an_answer_spoil_the_connection(void **state)
{
    static const char *const strays[] = {
        OK200(LEN "2\r\n") "okX",
        OK200(LEN "2\r\n") "ok" OK200(LEN "0\r\n"),
        OK200(LEN "0\r\n") "X",
        OK200(CHUNKED) "2\r\nok\r\n0\r\n\r\nX",
        "HTTP/1.1 204 N\r\n\r\nX",
        "HTTP/1.1 204 N\r\ncontent-length: 1\r\n\r\nX",
        "HTTP/1.1 304 N\r\ncontent-length: 1\r\n\r\nX",
        OK200(LEN "2\r\n") "ok\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(strays); i++) {
        struct slice s = slice_of(strays[i]);
        for (size_t cut = 0; cut < s.n; cut++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_CLIENT));
            wire_ask(&w, "GET");
            enum err e = cut ? wire_feed(&w, slice_sub(s, 0, cut)) : ERR_OK;
            bool told = w.closes > 0; /* the stray came later: idle was true then */
            if (e == ERR_OK)
                e = wire_feed(&w, slice_sub(s, cut, s.n));
            if (!told && w.idle_at_close)
                fail_msg("%s cut at %zu passed for clean", strays[i], cut);
            assert_false(session_is_idle(w.s));
            assert_null(session_open(w.s));
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.why, WHY_DONE);
            wire_finish(&w);
        }
    }
}

static void bytes_before_a_request_are_stray(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    assert_int_equal(wire_feed(&w, SLICE("H")), ERR_PROTOCOL);
    assert_string_equal(w.s->fault.reason, "stray_bytes");
    assert_null(session_open(w.s));
    wire_finish(&w);
}

static void send_upload_head(struct wire *w, enum body_kind body, uint64_t n)
{
    struct head h = {.method = SLICE("POST"),
                     .path = SLICE("/"),
                     .authority = SLICE("h"),
                     .body = body,
                     .content_length = n};
    w->st = session_open(w->s);
    assert_non_null(w->st);
    w->heads = 0;
    w->request_over = false;
    w->st->sink = &wire_sink;
    w->st->owner = w;
    assert_int_equal(stream_send_head(w->st, &h, false), ERR_OK);
}

static void an_upload_is_framed_anew(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    send_upload_head(&w, BODY_CHUNKED, 0);
    assert_int_equal(stream_send_body(w.st, "abc", 3, false), ERR_OK);
    assert_int_equal(stream_send_body(w.st, "d", 1, true), ERR_OK);
    was_sent(&w, "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    wire_flush(&w);
    feeds(&w, OK200(LEN "0\r\n"));
    assert_true(session_is_idle(w.s));
    sbuf_clear(&w.sent);
    w.flushed = 0;
    send_upload_head(&w, BODY_LENGTH, 3);
    assert_int_equal(stream_send_body(w.st, "abc", 3, true), ERR_OK);
    was_sent(&w, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc");
    wire_flush(&w);
    feeds(&w, OK200(LEN "0\r\n"));
    assert_true(session_is_idle(w.s));
    wire_finish(&w);
}

static void an_early_answer_is_heard_and_not_reused(void **state)
{
    static const char *const early[] = {OK200(LEN "2\r\n") "no",
                                        OK200(CHUNKED) "2\r\nno\r\n0\r\n\r\n", OK200(LEN "0\r\n")};
    for (size_t i = 0; i < ARRAY_LEN(early); i++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_CLIENT));
        send_upload_head(&w, BODY_LENGTH, 10);
        assert_int_equal(stream_send_body(w.st, "abc", 3, false), ERR_OK);
        feeds(&w, early[i]);
        assert_true(w.request_over);
        assert_int_equal(w.closes, 0); /* the owner decides */
        assert_non_null(w.st);
        stream_reset(w.st);
        assert_int_equal(w.closes, 1);
        assert_int_equal(w.why, WHY_LOCAL);
        assert_false(session_is_idle(w.s));
        wire_flush(&w);
        assert_null(session_open(w.s));
        wire_finish(&w);
    }
}

/* The answer is whole before our bytes have left: nothing says that they arrived. */
static void an_answer_before_the_request_has_left_is_not_reused(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    send_upload_head(&w, BODY_LENGTH, 3);
    assert_int_equal(stream_send_body(w.st, "abc", 3, true), ERR_OK);
    feeds(&w, OK200(LEN "0\r\n"));
    assert_int_equal(w.closes, 1);
    assert_false(w.idle_at_close);
    wire_finish(&w);
}

static void an_answer_cut_short_looks_cut_short(void **state)
{
    static const struct {
        const char *bytes;
        enum why on_eof, on_abort;
        bool ended;
    } cases[] = {
        {"", WHY_RESET, WHY_RESET, false},
        {"HTTP/1.1 200 OK\r\n", WHY_RESET, WHY_RESET, false},
        {OK200(LEN "5\r\n") "hel", WHY_RESET, WHY_RESET, false},
        {OK200(CHUNKED) "5\r\nhello\r\n", WHY_RESET, WHY_RESET, false},
        {OK200(CHUNKED) "5\r\nhello\r\n0\r\n", WHY_RESET, WHY_RESET, false},
        {OK200("") "hello", WHY_DONE, WHY_RESET, true},
        {OK200(""), WHY_DONE, WHY_RESET, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int aborted = 0; aborted < 2; aborted++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_CLIENT));
            wire_ask(&w, "GET");
            feeds(&w, cases[i].bytes);
            if (aborted)
                session_abort(w.s);
            else
                session_eof(w.s);
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.why, aborted ? cases[i].on_abort : cases[i].on_eof);
            assert_int_equal(w.request_over, cases[i].ended && !aborted);
            assert_false(session_is_idle(w.s));
            assert_false(w.idle_at_close);
            session_eof(w.s);
            session_abort(w.s);
            assert_int_equal(w.closes, 1);
            wire_finish(&w);
        }
}

static void a_client_reset_is_the_end_of_its_session(void **state)
{
    static const char *const states[] = {"", "HTTP/1.1 2", OK200(LEN "5\r\n") "he",
                                         OK200(CHUNKED) "5\r\nhe", OK200("") "x"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        for (int inside = 0; inside < 3; inside++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_CLIENT));
            wire_ask(&w, "GET");
            w.reset_on_head = inside == 1;
            w.reset_on_body = inside == 2;
            feeds(&w, states[i]);
            if (w.st)
                stream_reset(w.st);
            assert_int_equal(w.closes, 1);
            assert_int_equal(w.why, WHY_LOCAL);
            assert_false(session_is_idle(w.s));
            assert_null(session_open(w.s));
            assert_int_equal(w.finished, 0);
            wire_finish(&w);
        }
}

static void a_session_destroyed_with_a_stream_closes_it(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, POST(LEN "5\r\n"));
    session_destroy(w.s);
    assert_int_equal(w.closes, 1);
    assert_int_equal(w.why, WHY_RESET);
    w.s = NULL;
    wire_finish(&w);

    assert_true(wire_init(&w, ROLE_CLIENT));
    assert_non_null(session_open(w.s)); /* opened, and nobody there yet */
    wire_finish(&w);
    session_destroy(NULL);
}

/* ---- without memory ---- */

/* ---- WebSocket ---- */

#define UPGRADE "GET / HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\r\n"
#define HEARD "[GET / 1.1 keep none upgrade; host: h; connection: Upgrade; upgrade: WebSocket]"
#define SWITCH "HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"

static enum err switch_protocols(struct wire *w)
{
    struct head h = {.status = 101, .reason = SLICE(""), .is_websocket = true};
    return stream_send_head(w->st, &h, false);
}

static void a_websocket_is_bytes_both_ways_until_one_side_ends(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, UPGRADE);
    logged(&w, HEARD);
    assert_int_equal(switch_protocols(&w), ERR_OK);
    was_sent(&w, SWITCH);
    wire_flush(&w);
    feeds(&w, "GET / HT");
    feeds(&w, "\r\n\r\n");
    logged(&w, "GET / HT\r\n\r\n");
    assert_int_equal(stream_send_body(w.st, "\x81\x02hi", 4, false), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.on_sent, 4);
    assert_false(session_is_idle(w.s));
    assert_int_equal(stream_send_body(w.st, "bye", 3, true), ERR_OK);
    wire_flush(&w);
    was_sent(&w, SWITCH "\x81\x02hibye");
    logged(&w, "(done)");
    assert_true(w.is_finished);
    wire_finish(&w);
}

static void a_client_that_ends_its_websocket_ends_it_all(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, UPGRADE);
    assert_int_equal(switch_protocols(&w), ERR_OK);
    wire_flush(&w);
    sbuf_clear(&w.log);
    session_eof(w.s);
    logged(&w, "<end>(reset)");
    wire_finish(&w);
}

/* However early they come, and however they are cut. */
static void frames_wait_for_the_answer(void **state)
{
    const char *const text = UPGRADE "frames and more";
    for (size_t cut = 1; cut <= strlen(text); cut++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_SERVER));
        assert_int_equal(wire_feed(&w, slice_make(text, cut)), ERR_OK);
        assert_int_equal(wire_feed(&w, slice_of(text + cut)), ERR_OK);
        logged(&w, HEARD);
        assert_int_equal(switch_protocols(&w), ERR_OK);
        logged(&w, ""); /* not from inside a verb */
        wire_flush(&w);
        logged(&w, "frames and more");
        wire_finish(&w);
    }
}

static void frames_before_the_answer_have_a_bound(void **state)
{
    struct wire w;
    size_t n = 0;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, UPGRADE);
    while (session_wants_read(w.s) && n < 1000000) {
        feed_run(&w, 1000);
        n += 1000;
    }
    assert_true(n < 100000);
    w.forget_body = true;
    assert_int_equal(switch_protocols(&w), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.body, n);
    wire_finish(&w);
}

static void a_websocket_reads_no_further_than_its_window(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    feeds(&w, UPGRADE);
    assert_int_equal(switch_protocols(&w), ERR_OK);
    wire_flush(&w);
    w.forget_body = true;
    feed_run(&w, STREAM_WINDOW);
    assert_false(session_wants_read(w.s));
    stream_credit(w.st, 10);
    assert_true(session_wants_read(w.s));
    assert_int_equal(w.readable, 1);
    wire_finish(&w);
}

static void one_that_is_refused_is_a_request_like_others(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    for (int i = 0; i < 3; i++) {
        feeds(&w, UPGRADE);
        assert_int_equal(wire_answer(&w, 401, "no"), ERR_OK);
        wire_flush(&w);
        assert_true(session_is_idle(w.s));
    }
    feeds(&w, UPGRADE GET); /* what comes behind it is a request then */
    assert_int_equal(wire_answer(&w, 401, ""), ERR_OK);
    wire_flush(&w);
    assert_int_equal(w.opens, 5);
    wire_finish(&w);
}

static void who_did_not_ask_is_not_switched(void **state)
{
    static const char *const heads[] = {
        GET,
        "GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket, h2c\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n" LEN
        "1\r\n\r\nx",
        "PUT / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct wire w;
        assert_true(wire_init(&w, ROLE_SERVER));
        feeds(&w, heads[i]);
        assert_true(w.request_over);
        assert_int_equal(switch_protocols(&w), ERR_INVALID);
        assert_int_equal(w.sent.n, 0);
        wire_finish(&w);
    }
}

static void a_provider_may_switch(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    wire_ask_websocket(&w);
    was_sent(&w, "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_int_equal(stream_send_body(w.st, "too early", 9, false), ERR_PROTOCOL);
    feeds(&w, "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nfirst");
    logged(&w, "[101 OK 1.1 keep none upgrade; Upgrade: websocket; Connection: upgrade]first");
    sbuf_clear(&w.sent);
    w.flushed = 0;
    assert_int_equal(stream_send_body(w.st, "frames", 6, false), ERR_OK);
    was_sent(&w, "frames");
    wire_flush(&w);
    feeds(&w, "HTTP/1.1 200");
    session_eof(w.s);
    logged(&w, "HTTP/1.1 200<end>(reset)");
    assert_false(session_is_idle(w.s));
    wire_finish(&w);
}

static void a_provider_that_does_not_switch_is_used_again(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    for (int i = 0; i < 2; i++) {
        wire_ask_websocket(&w);
        feeds(&w, "HTTP/1.1 103 Hints\r\n\r\n" OK200(LEN "2\r\n") "no");
        logged(&w, "[200 OK 1.1 keep 2; content-length: 2]no<end>(done)");
        assert_true(session_is_idle(w.s));
    }
    wire_finish(&w);
}

/* RFC 6455 section 1.3 has the example. */
static void the_answer_to_a_key_is_known(void **state)
{
    char accept[WS_ACCEPT_SIZE], key[WS_KEY_SIZE], other[WS_KEY_SIZE];
    assert_true(ws_accept_of(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), accept));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_false(ws_accept_of(SLICE("short"), accept));
    assert_true(ws_key_make(key, accept) && ws_key_make(other, accept));
    assert_string_not_equal(key, other);
    assert_int_equal(strlen(key), 24);
}

static void ask_extended(struct wire *w)
{
    struct head h = {.method = SLICE("GET"),
                     .path = SLICE("/"),
                     .authority = SLICE("h"),
                     .is_websocket = true,
                     .is_extended_connect = true};
    wire_ask_head(w, &h, false);
}

/* The answer to the key that W asked with. */
static void accept_of(const struct wire *w, char accept[WS_ACCEPT_SIZE])
{
    struct slice sent = sbuf_slice(&w->sent), name = SLICE("sec-websocket-key: ");
    size_t at = slice_search(sent, name) + name.n;
    assert_true(at + 24 < sent.n);
    assert_true(ws_accept_of(slice_sub(sent, at, at + 24), accept));
}

static void who_has_no_key_gets_one_and_its_answer_is_checked(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct wire w;
        char accept[WS_ACCEPT_SIZE];
        struct sbuf answer;
        assert_true(wire_init(&w, ROLE_CLIENT));
        ask_extended(&w);
        accept_of(&w, accept);
        accept[0] = (char)(accept[0] ^ (how == 1)); /* another one */
        sbuf_init(&answer, 4096);
        sbuf_adds(&answer, "HTTP/1.1 101 OK\r\nupgrade: websocket\r\nconnection: upgrade\r\n");
        for (int i = 0; i < (how == 2 ? 0 : how == 3 ? 2 : 1); i++)
            sbuf_addf(&answer, "Sec-WebSocket-Accept: %s\r\n", accept);
        sbuf_adds(&answer, "\r\nfirst");
        if (how == 0) {
            assert_int_equal(wire_feed(&w, sbuf_slice(&answer)), ERR_OK);
            logged(&w,
                   "[101 OK 1.1 keep none upgrade; upgrade: websocket; connection: upgrade]first");
        } else {
            assert_int_equal(wire_feed(&w, sbuf_slice(&answer)), ERR_PROTOCOL);
            assert_int_equal(w.why, WHY_PROTO);
            assert_string_equal(w.s->fault.reason, "websocket_accept");
        }
        sbuf_finish(&answer);
        wire_finish(&w);
    }
}

static int shuts;

static void count_shut(struct outlet *o)
{
    (void)o;
    shuts++;
}

static void the_end_of_a_clients_half_is_said_to_the_provider(void **state)
{
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    w.out.shut = count_shut;
    shuts = 0;
    wire_ask_websocket(&w);
    feeds(&w, "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    assert_int_equal(stream_send_body(w.st, "last", 4, true), ERR_OK);
    wire_flush(&w);
    assert_int_equal(shuts, 1);
    feeds(&w, "answer");
    session_eof(w.s);
    assert_int_equal(w.why, WHY_DONE);
    wire_finish(&w);
    assert_true(wire_init(&w, ROLE_CLIENT)); /* requests that end do not close */
    w.out.shut = count_shut;
    wire_ask(&w, "GET");
    feeds(&w, OK200(LEN "2\r\n") "ok");
    assert_int_equal(shuts, 1);
    wire_finish(&w);
}

static void a_101_that_is_none_is_a_fault(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 101 OK\r\n\r\n",
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" LEN "5\r\n\r\nhello",
        "HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" CHUNKED "\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        for (int asked = 0; asked < 2; asked++) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_CLIENT));
            if (asked)
                wire_ask_websocket(&w);
            else
                wire_ask(&w, "GET");
            assert_int_equal(wire_feed(&w, slice_of(answers[i])), ERR_PROTOCOL);
            assert_int_equal(w.why, WHY_PROTO);
            wire_finish(&w);
        }
    struct wire w; /* a whole one that nobody asked for */
    assert_true(wire_init(&w, ROLE_CLIENT));
    wire_ask(&w, "GET");
    assert_int_equal(
        wire_feed(&w,
                  SLICE("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")),
        ERR_PROTOCOL);
    wire_finish(&w);
}

static void each_allocation_may_fail(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(conversations); i++) {
        struct slice s = slice_of(conversations[i]);
        for (long n = 1; n < 30; n++)
            for (size_t step = 1; step <= s.n; step += s.n / 2 + 1) {
                mem_fail_after(n, n & 1);
                struct wire w;
                static char sent[65536], log[65536];
                bool made = wire_init(&w, ROLE_SERVER);
                /* the test's own buffers need no heap */
                w.sent = (struct sbuf){.p = sent, .size = sizeof sent, .max = sizeof sent - 1};
                w.log = (struct sbuf){.p = log, .size = sizeof log, .max = sizeof log - 1};
                enum err e = ERR_OK;
                for (size_t at = 0; made && at < s.n && e == ERR_OK && !w.is_finished && !w.faults;
                     at += step) {
                    e = wire_feed(&w, slice_sub(s, at, at + step));
                    if (e == ERR_OK)
                        settle(&w);
                }
                mem_fail_after(0, 0);
                if (made)
                    session_destroy(w.s);
                assert_null(w.st);
                assert_int_equal(w.closes, w.opens);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_reads_the_same_however_it_is_cut),
        cmocka_unit_test(an_answer_reads_the_same_however_it_is_cut),
        cmocka_unit_test(a_request_is_answered_and_the_next_one_follows),
        cmocka_unit_test(pipelined_requests_wait_for_their_turn),
        cmocka_unit_test(a_long_run_of_requests_in_one_piece_ends_the_connection),
        cmocka_unit_test(pipelined_bytes_have_a_bound),
        cmocka_unit_test(a_bad_pipelined_request_is_told_in_its_turn),
        cmocka_unit_test(who_asks_to_close_is_closed),
        cmocka_unit_test(a_body_of_unknown_length_is_chunked_or_ends_with_the_connection),
        cmocka_unit_test(an_end_that_comes_after_all_has_left_is_an_end),
        cmocka_unit_test(a_body_must_fit_its_length),
        cmocka_unit_test(an_answer_that_has_no_body_gets_none),
        cmocka_unit_test(a_head_that_cannot_be_written_sends_nothing),
        cmocka_unit_test(continue_is_said_once_and_only_when_asked_for),
        cmocka_unit_test(an_answer_instead_of_continue_closes),
        cmocka_unit_test(what_is_left_of_a_request_is_swallowed),
        cmocka_unit_test(a_request_behind_a_swallowed_body_is_served),
        cmocka_unit_test(a_chunked_body_is_swallowed_up_to_its_end),
        cmocka_unit_test(a_long_rest_of_a_request_closes),
        cmocka_unit_test(a_fault_in_a_swallowed_body_is_a_fault),
        cmocka_unit_test(reading_stops_after_the_window_and_goes_on_with_credit),
        cmocka_unit_test(a_new_request_has_a_new_window),
        cmocka_unit_test(a_chunked_body_counts_against_the_window),
        cmocka_unit_test(a_client_that_goes_ends_its_request),
        cmocka_unit_test(a_reset_breaks_the_connection),
        cmocka_unit_test(a_reset_inside_an_event_is_fine),
        cmocka_unit_test(draining_ends_after_the_request_under_way),
        cmocka_unit_test(a_connect_leaves_its_rest_to_the_tunnel),
        cmocka_unit_test(an_answered_connection_is_used_again),
        cmocka_unit_test(a_head_answer_has_no_body),
        cmocka_unit_test(an_answer_that_names_a_body_it_cannot_have_is_the_last),
        cmocka_unit_test(an_unclean_answer_ends_the_connection),
        cmocka_unit_test(stray_bytes_behind_an_answer_spoil_the_connection),
        cmocka_unit_test(bytes_before_a_request_are_stray),
        cmocka_unit_test(an_upload_is_framed_anew),
        cmocka_unit_test(an_early_answer_is_heard_and_not_reused),
        cmocka_unit_test(an_answer_before_the_request_has_left_is_not_reused),
        cmocka_unit_test(an_answer_cut_short_looks_cut_short),
        cmocka_unit_test(a_client_reset_is_the_end_of_its_session),
        cmocka_unit_test(a_session_destroyed_with_a_stream_closes_it),
        cmocka_unit_test(a_websocket_is_bytes_both_ways_until_one_side_ends),
        cmocka_unit_test(a_client_that_ends_its_websocket_ends_it_all),
        cmocka_unit_test(frames_wait_for_the_answer),
        cmocka_unit_test(frames_before_the_answer_have_a_bound),
        cmocka_unit_test(a_websocket_reads_no_further_than_its_window),
        cmocka_unit_test(one_that_is_refused_is_a_request_like_others),
        cmocka_unit_test(who_did_not_ask_is_not_switched),
        cmocka_unit_test(a_provider_may_switch),
        cmocka_unit_test(a_provider_that_does_not_switch_is_used_again),
        cmocka_unit_test(the_answer_to_a_key_is_known),
        cmocka_unit_test(who_has_no_key_gets_one_and_its_answer_is_checked),
        cmocka_unit_test(the_end_of_a_clients_half_is_said_to_the_provider),
        cmocka_unit_test(a_101_that_is_none_is_a_fault),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
