/* The load over HTTP/2: a connection with opt.streams requests under way, each of which begins anew
 * when it was answered. As a client would, it reads all that has come before it sends what follows
 * from that, in as few writes as it can. */
#include "base/mem.h"
#include "frames.h"
#include "load.h"
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct stream {
    struct h2 *h2;
    enum mode mode;
    int32_t id;
    int status, grpc_status; /* -1: not said */
    bool is_swapped, is_headed;
    uint64_t up_at, up_left, body_at, body_left; /* left: UINT64_MAX when nobody said */
    int64_t begun;
    struct events events;
    uint64_t answers; /* that were whole */
};

struct h2 {
    struct slot *slot;
    nghttp2_session *ng;
    const char *wrong; /* a callback found it */
    unsigned done;     /* streams that asked their one time (-o) */
    struct frames_out out;
    struct stream streams[STREAMS_MAX];
};

static int found(struct h2 *h, const char *wrong)
{
    if (!h->wrong)
        h->wrong = wrong;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- asking ---- */

/* Of MIXED, a tenth of the streams is not read, of another tenth the provider takes nothing, three
 * tenths are streams of events. */
static enum mode mode_of(unsigned index)
{
    if (opt.mode != MIXED)
        return opt.mode;
    if (index % 10 == 0)
        return UNREAD;
    if (index % 10 == 9)
        return STALL;
    return index % 10 <= 3 ? SSE : KEEPALIVE;
}

static bool is_upload(const struct stream *st)
{
    return st->mode == UP || st->mode == STALL || st->mode == GRPC;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t on_up(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                     nghttp2_data_source *source, void *user)
{
    (void)ng;
    (void)id;
    (void)user;
    struct stream *st = source->ptr;
    size_t n = st->up_left < max ? (size_t)st->up_left : max;
    if (n > RECORD_BYTES)
        n = RECORD_BYTES;
    if (st->mode == GRPC)
        messages_fill((char *)to, filler, st->up_at, n);
    else
        memcpy(to, pattern_at(filler, st->up_at), n);
    st->up_at += n;
    st->up_left -= n;
    if (st->up_left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (run.is_counting && opt.mode == UP)
        run.bytes += n;
    return (ssize_t)n;
}

static void ask(struct stream *st)
{
    char asks[80], bearer[256], length[24], authority[280];
    bool is_grpc = st->mode == GRPC;
    uint64_t up = is_upload(st) ? opt.body : POST_BYTES;
    write_asks(st->mode, asks, sizeof asks);
    snprintf(bearer, sizeof bearer, "Bearer %s", opt.token);
    snprintf(length, sizeof length, "%llu", (unsigned long long)up);
    snprintf(authority, sizeof authority, opt.port == 443 ? "%s" : "%s:%u", opt.host, opt.port);
    const nghttp2_nv fields[] = {
        frames_field(":method", "POST"),
        frames_field(":scheme", "https"),
        frames_field(":authority", authority),
        frames_field(":path", opt.path),
        frames_field("user-agent", "bench/1"),
        frames_field("accept", "*/*"),
        frames_field("authorization", bearer),
        frames_field("content-type", is_grpc ? "application/grpc" : "application/json"),
        frames_field("x-bench", asks),
        is_grpc ? frames_field("te", "trailers") : frames_field("content-length", length),
    };
    struct h2 *h = st->h2;
    *st = (struct stream){.h2 = h,
                          .mode = st->mode,
                          .answers = st->answers,
                          .grpc_status = -1,
                          .up_left = up,
                          .body_left = UINT64_MAX,
                          .begun = now_ns(),
                          .events = {.digits = -1}};
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = on_up};
    st->id = nghttp2_submit_request(h->ng, NULL, fields, sizeof fields / sizeof *fields, &body, st);
    if (st->id < 0)
        found(h, "a request cannot be made");
}

/* ---- answers ---- */

static struct stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static int on_field(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    (void)value_n; /* a NUL stands behind it */
    (void)flags;
    (void)user;
    struct stream *st = stream_of(ng, frame->hd.stream_id);
    if (!st)
        return 0;
    if (frames_is(name, name_n, ":status"))
        st->status = (int)strtol((const char *)value, NULL, 10);
    else if (frames_is(name, name_n, "x-swapped"))
        st->is_swapped = value[0] == '1';
    else if (frames_is(name, name_n, "content-length"))
        st->body_left = strtoull((const char *)value, NULL, 10);
    else if (frames_is(name, name_n, "grpc-status"))
        st->grpc_status = (int)strtol((const char *)value, NULL, 10);
    return 0;
}

static int take_head(struct h2 *h, struct stream *st)
{
    if (st->status != 200)
        return found(h, "answer is not 200");
    run.answers++;
    run.swapped += st->is_swapped;
    if (!st->is_swapped && !opt.is_unswapped)
        return found(h, "the credential did not arrive");
    st->is_headed = true;
    count_up(h->slot);
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct stream *st = stream_of(ng, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && st && !st->is_headed)
        return take_head(h, st);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        return found(h, "the connection was given up");
    return 0;
}

static bool is_as_sent(const struct stream *st, const char *text, size_t n)
{
    static char wanted[RECORD_BYTES];
    if (st->mode != GRPC)
        return is_upload(st) || !memcmp(text, pattern_at(filler, st->body_at), n);
    messages_fill(wanted, filler, st->body_at, n);
    return !memcmp(text, wanted, n);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                   void *user)
{
    (void)flags;
    struct h2 *h = user;
    struct stream *st = stream_of(ng, id);
    const char *text = (const char *)bytes;
    (void)nghttp2_session_consume_connection(ng, n);
    if (!st)
        return found(h, "bytes of a stream that has ended");
    if (st->mode != UNREAD)
        (void)nghttp2_session_consume_stream(ng, id, n);
    if (st->mode == SSE)
        events_take(&st->events, text, n);
    else if (st->body_left < n)
        return found(h, "the answer is too long");
    else if (n <= RECORD_BYTES && !is_as_sent(st, text, n))
        return found(h, "a byte of the answer is wrong");
    if (run.is_counting && (st->mode == DOWN || st->mode == GRPC))
        run.bytes += n;
    st->body_at += n;
    st->body_left -= st->body_left == UINT64_MAX ? 0 : n;
    return 0;
}

static const char *fault_of(const struct stream *st, uint32_t error)
{
    if (error)
        return "a stream was reset";
    if (!st->is_headed)
        return "a stream ended without an answer";
    if (st->mode == SSE)
        return st->events.next == opt.events ? NULL : "the stream has too few events";
    if (st->mode != GRPC)
        return st->body_left ? "the answer is too short" : NULL;
    if (st->body_at != opt.body || st->up_left)
        return "messages are missing";
    return st->grpc_status ? "the call has no status, or a bad one" : NULL;
}

static int on_stream_over(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct h2 *h = user;
    struct stream *st = stream_of(ng, id);
    if (!st)
        return 0;
    const char *wrong = fault_of(st, error);
    if (wrong)
        return found(h, wrong);
    st->answers++;
    if (run.is_counting && st->mode == KEEPALIVE) {
        run.units++;
        count_delay(now_ns() - st->begun);
    }
    if (opt.is_once)
        h->done++;
    else
        ask(st);
    return 0;
}

/* ---- the connection ---- */

static nghttp2_session *make_session(struct h2 *h)
{
    nghttp2_session_callbacks *c;
    nghttp2_option *o;
    nghttp2_session *ng = NULL;
    if (nghttp2_session_callbacks_new(&c) != 0 || nghttp2_option_new(&o) != 0)
        fail("no memory");
    nghttp2_session_callbacks_set_on_header_callback(c, on_field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_over);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_peer_max_concurrent_streams(o, STREAMS_MAX);
    if (nghttp2_session_client_new2(&ng, c, h, o) != 0)
        fail("no memory");
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(o);
    return ng;
}

void h2_begin(struct slot *s)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(s->ssl, &name, &n);
    if (!n || !frames_is(name, n, "h2"))
        fail("HTTP/2 was not agreed");
    struct h2 *h = mem_calloc(1, sizeof *h);
    if (!h)
        fail("no memory");
    h->slot = s;
    h->ng = make_session(h);
    s->h2 = h;
    s->state = STREAMS;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES}};
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES);
    for (unsigned i = 0; i < opt.streams; i++) {
        h->streams[i] = (struct stream){.h2 = h, .mode = mode_of(i)};
        ask(&h->streams[i]);
    }
}

void h2_end(struct slot *s)
{
    if (s->h2)
        nghttp2_session_del(s->h2->ng);
    mem_free(s->h2);
    s->h2 = NULL;
}

void h2_print_mixed(const struct slot *all, unsigned count)
{
    uint64_t least = UINT64_MAX, unread = UINT64_MAX, untaken = 0;
    for (unsigned i = 0; i < count * opt.streams; i++) {
        const struct h2 *h = all[i / opt.streams].h2;
        const struct stream *st = h ? &h->streams[i % opt.streams] : NULL;
        if (!st || (st->mode == KEEPALIVE && st->answers < least))
            least = st ? st->answers : 0;
        if (st && st->mode == UNREAD && st->body_at < unread)
            unread = st->body_at;
        if (st && st->mode == STALL && st->up_at > untaken)
            untaken = st->up_at;
    }
    fprintf(stdout, " least=%llu unread=%llu untaken=%llu", (unsigned long long)least,
            (unsigned long long)unread, (unsigned long long)untaken);
}

static bool end_once(struct slot *s)
{
    run.done++;
    close_slot(s);
    return false;
}

bool h2_advance(struct slot *s)
{
    static uint8_t scratch[SCRATCH_BYTES];
    struct h2 *h = s->h2;
    int n = SSL_read(s->ssl, scratch, sizeof scratch);
    if (n > 0) {
        if (nghttp2_session_mem_recv(h->ng, scratch, (size_t)n) < 0 || h->wrong)
            return end_badly(s, h->wrong ? h->wrong : "frames are wrong");
        if (opt.is_once && h->done == opt.streams)
            return end_once(s);
        return true;
    }
    if (SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_READ)
        return end_badly(s, "the connection ended");
    if (frames_send(&h->out, h->ng, s->ssl) <= 0 || h->wrong)
        return end_badly(s, h->wrong ? h->wrong : "sending");
    return false;
}
