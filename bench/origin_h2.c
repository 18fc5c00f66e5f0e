/* The origin over HTTP/2: the same answers, and the echo of gRPC's messages, on many streams of one
 * connection. Each event of a stream leaves in a write of its own, as it would from a provider;
 * everything else leaves when what has come was read. */
#include "origin.h"

#include "base/mem.h"
#include "frames.h"
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream {
    struct h2 *h2;
    struct stream *next, **before; /* of all streams of events */
    int32_t id;
    char asks[64];
    bool is_token, is_swapped, is_answered, is_spoiled;
    bool is_stalled; /* nothing of its body is taken */
    bool is_ended;   /* the request */
    uint64_t body_at;
    const char *text; /* of an answer that lies somewhere */
    size_t text_left;
    uint64_t bulk_at, bulk_left;
    int64_t event_due, event_gap;
    unsigned event, events;
    char event_text[EVENT_BYTES];
    char *echo; /* what has come and did not go back yet, at most a window */
    size_t echo_from, echo_to;
};

struct h2 {
    SSL *ssl;
    nghttp2_session *ng;
    bool is_counted;
    struct frames_out out;
};

static struct stream *with_events;
static unsigned connection_count;

unsigned h2_connections(void)
{
    return connection_count;
}

static struct stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static bool asks_for(const struct stream *st, const char *what)
{
    return !strncmp(st->asks, what, strlen(what));
}

/* ---- bodies of answers ---- */

static size_t take_text(struct stream *st, uint8_t *to, size_t max)
{
    size_t n = st->text_left < max ? st->text_left : max;
    memcpy(to, st->text, n);
    st->text += n;
    st->text_left -= n;
    return n;
}

static size_t take_bulk(struct stream *st, uint8_t *to, size_t max)
{
    size_t n = st->bulk_left < max ? (size_t)st->bulk_left : max;
    n = n < RECORD_BYTES ? n : RECORD_BYTES;
    memcpy(to, pattern_at(filler, st->bulk_at), n);
    st->bulk_at += n;
    st->bulk_left -= n;
    return n;
}

/* What goes back makes room for as much to come. */
static size_t take_echo(struct stream *st, uint8_t *to, size_t max)
{
    size_t have = st->echo_to - st->echo_from, n = have < max ? have : max;
    memcpy(to, st->echo + st->echo_from, n);
    st->echo_from += n;
    if (st->echo_from == st->echo_to)
        st->echo_from = st->echo_to = 0;
    (void)nghttp2_session_consume_stream(st->h2->ng, st->id, n);
    return n;
}

static void end_call(struct stream *st, uint32_t *flags)
{
    static const nghttp2_nv status = {.name = (uint8_t *)(uintptr_t) "grpc-status",
                                      .value = (uint8_t *)(uintptr_t) "0",
                                      .namelen = 11,
                                      .valuelen = 1};
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    (void)nghttp2_submit_trailer(st->h2->ng, st->id, &status, 1);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t on_down(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    (void)ng;
    (void)id;
    (void)user;
    struct stream *st = source->ptr;
    size_t n = st->echo ? take_echo(st, to, max) : take_text(st, to, max);
    if (!n)
        n = take_bulk(st, to, max);
    bool has_more = st->text_left || st->bulk_left || st->echo_to > st->echo_from;
    bool will_have =
        st->event_gap ? !st->events || st->event < st->events : st->echo && !st->is_ended;
    if (!n && will_have)
        return NGHTTP2_ERR_DEFERRED;
    if (!has_more && !will_have && st->echo)
        end_call(st, flags);
    else if (!has_more && !will_have)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* ---- answers ---- */

static void begin_events(struct stream *st)
{
    int gap_ms = (int)asked_number(st->asks, 1, EVENT_EVERY_MS);
    st->events = (unsigned)asked_number(st->asks, 2, 0);
    st->event_gap = gap_ms * 1000000LL;
    st->event_due = now_ns() + (1 + (st->id / 2) % gap_ms) * 1000000LL;
    st->next = with_events;
    st->before = &with_events;
    if (st->next)
        st->next->before = &st->next;
    with_events = st;
}

/* Chooses the body; returns its type. *ret_length: UINT64_MAX when it has none. */
static const char *choose_body(struct stream *st, uint64_t *ret_length)
{
    *ret_length = UINT64_MAX;
    if (asks_for(st, "sse")) {
        begin_events(st);
        return "text/event-stream";
    }
    if (asks_for(st, "grpc")) {
        st->echo = mem_alloc(WINDOW_BYTES);
        return "application/grpc";
    }
    if (asks_for(st, "down")) {
        *ret_length = st->bulk_left = asked_number(st->asks, 1, DOWN_BYTES);
        return "application/octet-stream";
    }
    bool is_up = asks_for(st, "up");
    st->text = st->is_token ? TOKEN : is_up ? "{}" : filler;
    *ret_length = st->text_left = st->is_token ? strlen(TOKEN) : is_up ? 2 : SMALL_BYTES;
    return "application/json";
}

static void answer(struct stream *st)
{
    char length[24];
    uint64_t bytes = 0;
    st->is_answered = true;
    st->is_spoiled = st->is_spoiled && !st->is_token;
    const char *type = choose_body(st, &bytes);
    snprintf(length, sizeof length, "%llu", (unsigned long long)bytes);
    const nghttp2_nv fields[] = {frames_field(":status", st->is_spoiled ? "422" : "200"),
                                 frames_field("content-type", type),
                                 frames_field("x-swapped", st->is_swapped ? "1" : "0"),
                                 frames_field("content-length", length)};
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = on_down};
    (void)nghttp2_submit_response(st->h2->ng, st->id, fields, bytes == UINT64_MAX ? 3 : 4, &body);
    if (st->is_token || st->h2->is_counted)
        return;
    st->h2->is_counted = true;
    connection_count++;
}

/* ---- requests ---- */

static int on_begin(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct stream *st = mem_calloc(1, sizeof *st);
    if (!st)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    st->h2 = user;
    st->id = frame->hd.stream_id;
    return nghttp2_session_set_stream_user_data(ng, st->id, st);
}

static int on_field(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    (void)value_n; /* a NUL stands behind it */
    (void)flags;
    (void)user;
    struct stream *st = stream_of(ng, frame->hd.stream_id);
    const char *text = (const char *)value;
    if (st && frames_is(name, name_n, ":path"))
        st->is_token = !strcmp(text, "/token");
    else if (st && frames_is(name, name_n, "authorization"))
        st->is_swapped = !strncmp(text, "Bearer ya29.", 12);
    else if (st && frames_is(name, name_n, "x-bench"))
        snprintf(st->asks, sizeof st->asks, "%s", text);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                   void *user)
{
    (void)flags;
    (void)user;
    struct stream *st = stream_of(ng, id);
    (void)nghttp2_session_consume_connection(ng, n);
    if (!st || st->is_stalled)
        return 0;
    if (st->echo) {
        size_t have = st->echo_to - st->echo_from;
        memmove(st->echo, st->echo + st->echo_from, have);
        memcpy(st->echo + have, bytes, n); /* fits: no more comes than a window */
        st->echo_from = 0;
        st->echo_to = have + n;
        (void)nghttp2_session_resume_data(ng, id);
    } else {
        st->is_spoiled |= !is_pattern((const char *)bytes, st->body_at, n);
        (void)nghttp2_session_consume_stream(ng, id, n);
    }
    st->body_at += n;
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct stream *st = stream_of(ng, frame->hd.stream_id);
    if (!st || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    st->is_stalled = asks_for(st, "stall");
    st->is_ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (!st->is_answered && (st->is_ended || asks_for(st, "grpc")))
        answer(st);
    else if (st->echo)
        (void)nghttp2_session_resume_data(ng, st->id);
    return 0;
}

static int on_stream_over(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    (void)user;
    struct stream *st = stream_of(ng, id);
    if (!st)
        return 0;
    answers += !st->is_token && !error;
    if (st->before)
        *st->before = st->next;
    if (st->before && st->next)
        st->next->before = st->before;
    mem_free(st->echo);
    mem_free(st);
    return 0;
}

/* ---- the connection ---- */

static nghttp2_session *make_session(struct h2 *h)
{
    nghttp2_session_callbacks *c;
    nghttp2_option *o;
    nghttp2_session *ng = NULL;
    if (nghttp2_session_callbacks_new(&c) != 0 || nghttp2_option_new(&o) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_over);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    if (nghttp2_session_server_new2(&ng, c, h, o) != 0)
        abort();
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(o);
    return ng;
}

struct h2 *h2_create(SSL *ssl, uint32_t streams)
{
    struct h2 *h = mem_calloc(1, sizeof *h);
    if (!h)
        abort();
    h->ssl = ssl;
    h->ng = make_session(h);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES}};
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES);
    return h;
}

/* nghttp2 does not tell of streams that end with their session. */
static void free_streams_of(const struct h2 *h)
{
    for (int32_t id = 1; id <= nghttp2_session_get_last_proc_stream_id(h->ng); id += 2)
        if (stream_of(h->ng, id))
            (void)on_stream_over(h->ng, id, NGHTTP2_CANCEL, NULL);
}

void h2_destroy(struct h2 *h)
{
    if (!h)
        return;
    free_streams_of(h);
    nghttp2_session_del(h->ng);
    mem_free(h);
}

bool h2_advance(struct h2 *h)
{
    static uint8_t scratch[65536];
    int n;
    while ((n = SSL_read(h->ssl, scratch, sizeof scratch)) > 0)
        if (nghttp2_session_mem_recv(h->ng, scratch, (size_t)n) < 0)
            return false;
    if (SSL_get_error(h->ssl, n) != SSL_ERROR_WANT_READ)
        return false;
    return frames_send(&h->out, h->ng, h->ssl) > 0 &&
           (nghttp2_session_want_read(h->ng) || nghttp2_session_want_write(h->ng));
}

/* A reader that is behind does not get the event: its number will be missing. */
bool h2_run_streams(int64_t now)
{
    struct stream *next;
    for (struct stream *st = with_events; st; st = next) {
        next = st->next;
        if (st->event_due > now || (st->events && st->event == st->events))
            continue;
        st->event_due += st->event_gap;
        unsigned number = st->event++;
        if (st->text_left)
            continue;
        event_write(st->event_text, number);
        st->text = st->event_text;
        st->text_left = EVENT_BYTES;
        (void)nghttp2_session_resume_data(st->h2->ng, st->id);
        (void)frames_send(&st->h2->out, st->h2->ng,
                          st->h2->ssl); /* an error shows when it is read */
    }
    return with_events != NULL;
}
