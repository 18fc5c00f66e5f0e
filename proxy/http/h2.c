/* HTTP/2 in both roles: many message pairs on one link. nghttp2 frames, compresses and checks; here
 * are streams as values, bodies under both windows, and the limits that keep a flood small.
 *
 * Bytes for a stream wait in its queue (the rule of credit bounds it) until both windows and the
 * link have room; a link that does not drain gets no more than OUT_AHEAD. No event comes from
 * inside a verb: what a verb or a frame caused is told by settle(), at the end of feed and of
 * flushed. */
#include "http/h2.h"

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/h2_head.h"
#include "http/h2_secret.h"

#define H2_MAGIC MAGIC('h', '2', 's', 'e')
#define STREAMS_MAX 100u
#define CONTINUATIONS_MAX 32u
#define SESSION_WINDOW (1u << 20) /* for all streams of a connection together */
#define OUT_AHEAD (64u * 1024u)   /* bytes given to the link that have not left */
#define OUT_STOP (256u * 1024u)   /* with so many, nothing is read either */
#define INTERIMS_MAX 20u
/* Frames that cost us and bring nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones,
 * DATA without bytes or of padding alone. So many without a byte of a body in either direction are
 * a flood; a reset counts as several. */
#define CHEAP_MAX 1000u
#define CHEAP_RESET 5u
/* Streams that the peer opens and resets, at once and then for each second; and those that it makes
 * us reset, in all. */
#define RESETS_AT_ONCE 200u
#define RESETS_A_SECOND 20u
#define FAULTS_MAX 100u
#define BARREN_MAX                                                                                 \
    (16u << 20) /* bytes received, likewise: frames that nobody knows come unseen                  \
                 */
#define FRAME_HEAD 9u
#define PIECE_BYTES 16384u
#define ENDING_BYTES (128u * 1024u)

/* Body bytes that wait for a window. */
struct piece {
    struct piece *next;
    size_t from, to;
    unsigned char data[PIECE_BYTES];
};

struct ending {
    struct arena arena;
    struct head trailers;
};

struct h2_stream {
    struct stream stream;
    struct h2 *h2;
    struct list all;                              /* of the session's */
    struct list settle;                           /* something is to be told */
    int32_t id;                                   /* 0: client role, before the head */
    bool is_owned;                                /* the owner waits for on_close */
    bool is_head_sent, is_end_put, is_end_framed; /* what we send */
    bool is_head_told, is_end_told;               /* what we receive */
    bool is_over;                                 /* nghttp2 knows it no more */
    bool is_bad;                                  /* the peer broke the protocol */
    bool is_deferred;                             /* nghttp2 waits for more of the body */
    bool is_bodiless; /* the answer has no body, whatever is sent (HEAD, 204, 304) */
    bool is_head_method, expects_continue, has_length;
    struct ending *ending;          /* trailers that wait for the body to be framed; else NULL */
    bool is_websocket, is_switched; /* it was asked for; it is one */
    bool is_end_early;
    struct sbuf early; /* with its end: what came of a WebSocket before its answer */
    uint32_t interims;
    uint32_t error; /* of the end: RFC 9113 section 7 */
    struct piece *first, *last;
    const unsigned char *direct; /* the caller's bytes, during send_body */
    size_t direct_n, queued;
    size_t untold; /* framed, and not told by on_sent */
    uint64_t tx_left;
    struct h2_secret secret; /* client role: until the head has left */
    struct h2_gather gather; /* the header block at hand */
};

struct h2 {
    struct session session;
    uint32_t magic;
    nghttp2_session *ng;
    struct list all, settle, dead;
    uint32_t count;           /* streams with an owner */
    int32_t last_id;          /* server role: the highest that was asked on */
    int32_t gap_from, gap_to; /* the last ids that were passed over */
    uint32_t faults;
    uint32_t cheap; /* frames, and bytes, since the last that brought something */
    size_t barren;
    size_t unflushed;
    struct session_limits limits;
    bool in_ng; /* inside nghttp2: it must not be asked to send */
    bool is_settling;
    bool is_draining, is_notice_sent, is_last_said, is_goaway_seen, is_finished;
    bool is_failed; /* no memory: nghttp2 is not asked any more */
};

static struct h2 *h2_of(struct session *s)
{
    struct h2 *h = container_of(s, struct h2, session);
    DCHECK(h->magic == H2_MAGIC);
    return h;
}

static const struct h2 *h2_of_const(const struct session *s)
{
    return container_of(s, const struct h2, session);
}

static struct h2_stream *of_stream(struct stream *st)
{
    return container_of(st, struct h2_stream, stream);
}

/* ---- memory: nghttp2's is ours, and wiped, for header blocks go through it ---- */

static void *ng_malloc(size_t n, void *user)
{
    (void)user;
    return mem_alloc(n);
}

static void ng_free(void *p, void *user)
{
    (void)user;
    mem_free_wiped(p);
}

static void *ng_calloc(size_t count, size_t size, void *user)
{
    (void)user;
    return mem_calloc(count, size);
}

static void *ng_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return mem_realloc_wiped(p, n);
}

/* ---- streams ---- */

static const struct stream_ops stream_ops;

static struct h2_stream *stream_create(struct h2 *h, int32_t id)
{
    struct h2_stream *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->stream.ops = &stream_ops;
    s->stream.session = &h->session;
    s->h2 = h;
    s->id = id;
    list_init(&s->settle);
    sbuf_init(&s->early, STREAM_WINDOW);
    h2_gather_init(&s->gather, &h->limits);
    list_add_last(&h->all, &s->all);
    return s;
}

static void drop_queue(struct h2_stream *s)
{
    while (s->first) {
        struct piece *p = s->first;
        s->first = p->next;
        mem_wipe(p->data, p->to);
        mem_free(p);
    }
    s->last = NULL;
    s->queued = 0;
}

static void drop_ending(struct h2_stream *s)
{
    if (s->ending)
        arena_finish(&s->ending->arena, true);
    mem_free(s->ending);
    s->ending = NULL;
}

static void stream_free(struct h2_stream *s)
{
    drop_queue(s);
    drop_ending(s);
    sbuf_finish_wipe(&s->early);
    h2_secret_drop(&s->secret);
    h2_gather_finish(&s->gather);
    list_remove(&s->all);
    list_remove(&s->settle);
    mem_free(s);
}

static void own(struct h2_stream *s)
{
    s->is_owned = true;
    s->h2->count++;
    s->h2->session.has_stream = true;
}

/* Something about S is to be told, or S is to be freed. */
static void mark(struct h2_stream *s)
{
    if (list_empty(&s->settle))
        list_add_last(&s->h2->settle, &s->settle);
}

/* The owner hears the end, exactly once. S lives until the next settle. */
static void close_stream(struct h2_stream *s, enum why why)
{
    if (!s->is_owned)
        return;
    s->is_owned = false;
    s->h2->count--;
    s->h2->session.has_stream = s->h2->count > 0;
    drop_queue(s);
    if (s->stream.sink)
        s->stream.sink->on_close(&s->stream, why);
}

static enum why why_of(const struct h2_stream *s)
{
    if (s->is_bad)
        return WHY_PROTO;
    if (s->error == NGHTTP2_REFUSED_STREAM)
        return WHY_REFUSED;
    bool is_whole = s->h2->session.role == ROLE_SERVER
                        ? s->is_end_framed && s->error == NGHTTP2_NO_ERROR
                        : s->is_end_told && s->is_end_framed && s->error == NGHTTP2_NO_ERROR;
    return is_whole ? WHY_DONE : WHY_RESET;
}

static void progress(struct h2 *h)
{
    h->cheap = 0;
    h->barren = 0;
}

/* ---- what waits to be sent ---- */

static bool queue_add(struct h2_stream *s, const unsigned char *p, size_t n)
{
    while (n) {
        struct piece *last = s->last;
        if (!last || last->to == PIECE_BYTES) {
            struct piece *fresh = mem_alloc(sizeof *fresh);
            if (!fresh)
                return false;
            fresh->next = NULL;
            fresh->from = fresh->to = 0;
            if (last)
                last->next = fresh;
            else
                s->first = fresh;
            s->last = last = fresh;
        }
        size_t room = PIECE_BYTES - last->to, take = n < room ? n : room;
        memcpy(last->data + last->to, p, take);
        last->to += take;
        s->queued += take;
        p += take;
        n -= take;
    }
    return true;
}

static void put(struct h2 *h, const void *p, size_t n)
{
    h->unflushed += n;
    h->session.out->put(h->session.out, p, n);
}

/* N bytes of S, what was queued first. */
static void put_body(struct h2_stream *s, size_t n)
{
    while (n && s->first) {
        struct piece *p = s->first;
        size_t have = p->to - p->from, take = n < have ? n : have;
        put(s->h2, p->data + p->from, take);
        p->from += take;
        s->queued -= take;
        n -= take;
        if (p->from < p->to)
            continue;
        s->first = p->next;
        if (!s->first)
            s->last = NULL;
        mem_wipe(p->data, p->to);
        mem_free(p);
    }
    if (n) {
        put(s->h2, s->direct, n);
        s->direct += n;
        s->direct_n -= n;
    }
}

/* A frame of fields overtakes a body that waits for a window, so nghttp2 gets them with its last
 * byte. */
static bool submit_trailers(struct h2_stream *s)
{
    struct h2_block *b = h2_block();
    bool ok = h2_write_trailers(&s->ending->trailers, b) == ERR_OK &&
              nghttp2_submit_trailer(s->h2->ng, s->id, b->nv, b->n) == 0;
    h2_block_finish(b);
    drop_ending(s);
    return ok;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t on_read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)ng;
    (void)id;
    (void)buf;
    (void)user;
    struct h2_stream *s = source->ptr;
    size_t have = s->queued + s->direct_n, n = have < max ? have : max;
    bool is_last = s->is_end_put && n == have;
    if (n == 0 && !is_last) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (is_last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->ending)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (s->ending && !submit_trailers(s))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the peer must see a cut */
    }
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t n, nghttp2_data_source *source, void *user)
{
    (void)ng;
    (void)frame; /* we never pad */
    struct h2_stream *s = source->ptr;
    struct h2 *h = user;
    put(h, frame_head, FRAME_HEAD);
    put_body(s, n);
    s->untold += n;
    if (n)
        progress(h);
    mark(s);
    return 0;
}

/* ---- sending ---- */

static void wake(struct h2 *h)
{
    if (h->unflushed == 0 && !h->is_finished && (h->is_failed || !list_empty(&h->settle)))
        h->session.out->put(h->session.out, "", 0); /* flushed(0) follows, and settles */
}

/* The stream whose head FRAME is, if its credential belongs to it. */
static struct h2_stream *secret_of(struct h2 *h, const uint8_t *frame, size_t n)
{
    if (h->session.role != ROLE_CLIENT || n < FRAME_HEAD || frame[3] != NGHTTP2_HEADERS)
        return NULL;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(
        h->ng, frame[5] << 24 | frame[6] << 16 | frame[7] << 8 | frame[8]);
    return s && s->secret.p ? s : NULL;
}

static void put_frame(struct h2 *h, const uint8_t *frame, size_t n)
{
    uint8_t head[FRAME_HEAD], field[H2_SECRET_ROOM];
    struct h2_stream *s = secret_of(h, frame, n);
    if (!s) {
        put(h, frame, n);
        return;
    }
    size_t field_n = h2_secret_frame(&s->secret, frame, head, field);
    put(h, head, sizeof head);
    put(h, frame + FRAME_HEAD, n - FRAME_HEAD);
    put(h, field, field_n);
    put(h, s->secret.p, s->secret.n);
    h2_secret_drop(&s->secret);
}

/* Frames what may leave now. Not from inside nghttp2: the end of feed does it then. */
static void send_frames(struct h2 *h)
{
    if (h->in_ng)
        return;
    while (!h->is_failed && h->unflushed < OUT_AHEAD) {
        const uint8_t *p;
        h->in_ng = true;
        ssize_t n = nghttp2_session_mem_send(h->ng, &p);
        h->in_ng = false;
        if (n < 0)
            h->is_failed = true; /* no memory: settle() ends it */
        if (n <= 0)
            break;
        put_frame(h, p, (size_t)n);
    }
    wake(h);
}

static void reset(struct h2_stream *s, uint32_t error)
{
    if (s->id && !s->is_over)
        (void)nghttp2_submit_rst_stream(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, error);
}

static void resume(struct h2_stream *s)
{
    if (!s->is_deferred)
        return;
    s->is_deferred = false;
    (void)nghttp2_session_resume_data(s->h2->ng, s->id);
}

/* A WebSocket is opened by what HTTP/1 says with 101, and by no other answer: the client would take
 * each 2xx for it (RFC 8441 section 4). */
static bool may_answer(const struct h2_stream *s, const struct head *head)
{
    return head->is_websocket ? s->is_websocket : !s->is_websocket || head->status / 100 != 2;
}

static enum err submit_answer(struct h2_stream *s, const struct head *head, bool end)
{
    if (!may_answer(s, head))
        return ERR_INVALID;
    bool bodiless = s->is_head_method || head->status == 204 || head->status == 304;
    struct h2_block *b = h2_block();
    bool is_known = head->body == BODY_LENGTH && head->status != 204;
    struct head given = *head;
    if (end && !bodiless && !is_known) {
        given.body = BODY_LENGTH;
        given.content_length = 0;
        is_known = true;
    }
    enum err e = h2_write_answer(&given, is_known, b);
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = on_read_body};
    if (e == ERR_OK &&
        nghttp2_submit_response(s->h2->ng, s->id, b->nv, b->n, end || bodiless ? NULL : &body) != 0)
        e = ERR_NOMEM;
    h2_block_finish(b);
    s->is_bodiless = bodiless;
    s->has_length = !bodiless && is_known;
    s->tx_left = given.content_length;
    s->is_end_put = end || bodiless;
    s->is_switched = e == ERR_OK && head->is_websocket;
    if (s->is_switched)
        mark(s); /* what came before is told */
    return e;
}

static enum err submit_request(struct h2_stream *s, const struct head *head, bool end)
{
    struct h2_block *b = h2_block();
    enum err e = h2_write_request(head, b);
    if (e == ERR_OK && b->credential.p)
        e = h2_secret_keep(&s->secret, b->credential);
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = on_read_body};
    if (e == ERR_OK) {
        int32_t id = nghttp2_submit_request(s->h2->ng, NULL, b->nv, b->n, end ? NULL : &body, s);
        if (id < 0)
            e = id == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_CLOSED;
        else
            s->id = id;
    }
    h2_block_finish(b);
    s->is_head_method = slice_eq(head->method, SLICE("HEAD"));
    s->has_length = head->body == BODY_LENGTH;
    s->tx_left = head->content_length;
    s->is_end_put = end;
    return e;
}

static enum err h2_send_head(struct stream *st, const struct head *head, bool end)
{
    struct h2_stream *s = of_stream(st);
    CHECK(s->is_owned && !s->is_head_sent);
    if (s->is_over)
        return ERR_OK; /* gone meanwhile; on_close is about to say so */
    enum err e = s->h2->session.role == ROLE_SERVER ? submit_answer(s, head, end)
                                                    : submit_request(s, head, end);
    if (e != ERR_OK)
        return e;
    s->is_head_sent = true;
    send_frames(s->h2);
    return ERR_OK;
}

static enum err h2_send_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct h2_stream *s = of_stream(st);
    CHECK(s->is_owned && s->is_head_sent);
    if (s->is_over)
        return ERR_OK;
    if (s->is_bodiless) {
        s->untold += n;
        mark(s);
        wake(s->h2);
        return ERR_OK;
    }
    if (s->is_end_put)
        return n == 0 ? ERR_OK : ERR_PROTOCOL;
    if (s->has_length && (n > s->tx_left || (end && n != s->tx_left)))
        return ERR_PROTOCOL;
    s->tx_left -= s->has_length ? n : 0;
    s->is_end_put = end;
    s->direct = p;
    s->direct_n = n;
    resume(s);
    send_frames(s->h2);
    n = s->direct_n;
    s->direct_n = 0;
    return queue_add(s, s->direct, n) ? ERR_OK : ERR_PROTOCOL;
}

static enum err keep_trailers(struct h2_stream *s, const struct head *trailers)
{
    s->ending = mem_alloc(sizeof *s->ending);
    if (!s->ending)
        return ERR_NOMEM;
    arena_init(&s->ending->arena, ENDING_BYTES);
    return head_copy(&s->ending->arena, trailers, 0, &s->ending->trailers);
}

static enum err h2_send_trailers(struct stream *st, const struct head *trailers)
{
    struct h2_stream *s = of_stream(st);
    CHECK(s->is_owned && s->is_head_sent);
    if (s->is_over || s->is_bodiless || s->is_end_put)
        return ERR_OK;
    if (s->has_length && s->tx_left)
        return ERR_PROTOCOL;
    struct h2_block *b = h2_block();
    enum err e = h2_write_trailers(trailers, b);
    if (e == ERR_OK && b->n)
        e = keep_trailers(s, trailers);
    h2_block_finish(b);
    if (e != ERR_OK)
        return ERR_PROTOCOL;
    s->is_end_put = true;
    resume(s);
    send_frames(s->h2);
    return ERR_OK;
}

static void h2_send_continue(struct stream *st)
{
    struct h2_stream *s = of_stream(st);
    if (!s->expects_continue || s->is_head_sent || s->is_over || s->is_end_told)
        return;
    s->expects_continue = false;
    nghttp2_nv nv = {.name = (uint8_t *)(uintptr_t) ":status",
                     .value = (uint8_t *)(uintptr_t) "100",
                     .namelen = 7,
                     .valuelen = 3};
    (void)nghttp2_submit_headers(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL);
    send_frames(s->h2);
}

static void h2_credit(struct stream *st, size_t n)
{
    struct h2_stream *s = of_stream(st);
    if (s->is_over)
        return;
    (void)nghttp2_session_consume_stream(s->h2->ng, s->id, n);
    send_frames(s->h2);
}

static void h2_reset(struct stream *st)
{
    struct h2_stream *s = of_stream(st);
    struct h2 *h = s->h2;
    reset(s, h->session.role == ROLE_SERVER && !s->is_websocket ? NGHTTP2_INTERNAL_ERROR
                                                                : NGHTTP2_CANCEL);
    if (s->id && !s->is_over)
        (void)nghttp2_session_set_stream_user_data(h->ng, s->id, NULL);
    s->is_over = true;
    close_stream(s, WHY_LOCAL);
    mark(s); /* freed later: its owner's caller may still look */
    send_frames(h);
}

static const struct stream_ops stream_ops = {
    .send_head = h2_send_head,
    .send_body = h2_send_body,
    .send_trailers = h2_send_trailers,
    .send_continue = h2_send_continue,
    .credit = h2_credit,
    .reset = h2_reset,
};

/* ---- receiving ---- */

static struct h2_stream *find(struct h2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->ng, id);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = find(h, frame->hd.stream_id);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s = stream_create(h, frame->hd.stream_id);
        if (!s)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        (void)nghttp2_session_set_stream_user_data(ng, s->id, s);
    }
    if (s)
        h2_gather_init(&s->gather, &h->limits);
    return 0;
}

static int on_field(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    (void)ng;
    (void)flags;
    struct h2_stream *s = find(user, frame->hd.stream_id);
    if (s)
        h2_gather_add(&s->gather, slice_make((const char *)name, name_n),
                      slice_make((const char *)value, value_n));
    return 0;
}

/* Without this nghttp2 would drop the field and go on. */
static int on_invalid_field(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                            size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                            void *user)
{
    (void)ng;
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    (void)flags;
    struct h2_stream *s = find(user, frame->hd.stream_id);
    if (s)
        s->is_bad = true;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void tell_end(struct h2_stream *s)
{
    if (s->is_end_told)
        return;
    if (s->is_websocket && !s->is_switched && !s->is_head_sent) {
        s->is_end_early = true;
        return;
    }
    s->is_end_told = true;
    if (s->is_websocket && !s->is_switched)
        return; /* it became none */
    if (s->is_owned && s->is_head_told)
        s->stream.sink->on_body(&s->stream, NULL, 0, true);
}

static void tell_early(struct h2_stream *s)
{
    struct sbuf early = s->early;
    bool end = s->is_end_early;
    if (!s->is_switched || (early.n == 0 && !end))
        return;
    sbuf_init(&s->early, early.max);
    s->is_end_early = false;
    if (early.n && s->is_owned && !s->is_over)
        s->stream.sink->on_body(&s->stream, early.p, early.n, false);
    sbuf_finish_wipe(&early);
    if (end)
        tell_end(s);
}

/* Bytes of a WebSocket that is none yet wait for the answer; if that makes none of it, they are
 * nobody's. */
static void hold_early(struct h2_stream *s, const void *p, size_t n)
{
    if (s->is_head_sent)
        return;
    sbuf_add(&s->early, p, n);
    if (s->early.failed)
        reset(s, NGHTTP2_INTERNAL_ERROR);
}

/* A request that is none gets its status here, and nobody else hears of it. */
static void answer_fault(struct h2_stream *s, const struct fault *fault)
{
    struct head head = {.status = fault->status, .reason = SLICE("")};
    struct h2_block *b = h2_block();
    if (h2_write_answer(&head, false, b) != ERR_OK ||
        nghttp2_submit_response(s->h2->ng, s->id, b->nv, b->n, NULL) != 0)
        reset(s, NGHTTP2_INTERNAL_ERROR);
    h2_block_finish(b);
    s->is_head_sent = s->is_end_put = true;
    if (s->h2->session.sink->on_refused)
        s->h2->session.sink->on_refused(&s->h2->session, fault);
}

/* The number of the last stream that is served: those behind it are the peer's to send again. */
static void say_last(struct h2 *h)
{
    if (h->is_last_said)
        return;
    h->is_last_said = true;
    (void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
                                NULL, 0);
}

/* RFC 9113 section 6.8: a notice first, and the number once the peer has seen that. Only a peer
 * that goes on asking is told while its streams run: some take the first GOAWAY for the end of all.
 */
static void say_notice(struct h2 *h)
{
    if (!h->is_draining || h->is_notice_sent || h->is_last_said)
        return;
    h->is_notice_sent = true;
    (void)nghttp2_submit_shutdown_notice(h->ng);
    (void)nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
}

static void request_head(struct h2_stream *s, bool end)
{
    struct h2 *h = s->h2;
    struct head head;
    struct fault fault;
    if (!h2_request_head(&s->gather, end, &head, &fault)) {
        answer_fault(s, &fault);
        return;
    }
    s->is_head_method = slice_eq(head.method, SLICE("HEAD"));
    s->is_websocket = head.is_websocket;
    s->expects_continue = head.expects_continue && !end;
    say_notice(h);
    own(s);
    h->session.sink->on_open(&h->session, &s->stream);
    if (!s->is_owned)
        return; /* no memory: it was reset */
    if (!s->stream.sink) {
        h2_reset(&s->stream);
        return;
    }
    s->is_head_told = true;
    s->is_end_told = end;
    s->stream.sink->on_head(&s->stream, &head, end);
}

static void proto_error(struct h2_stream *s, const char *word)
{
    s->is_bad = true;
    s->h2->session.fault = (struct fault){502, word};
    reset(s, NGHTTP2_PROTOCOL_ERROR);
}

static void answer_head(struct h2_stream *s, bool end)
{
    struct head head;
    struct fault fault;
    if (!h2_answer_head(&s->gather, end, &head, &fault)) {
        proto_error(s, fault.reason);
        return;
    }
    if (head.status < 200) {
        if (head.status == 101 || ++s->interims > INTERIMS_MAX)
            proto_error(s, "interim");
        return;
    }
    if (end && !s->is_head_method && head.status != 304 && head.content_length) {
        proto_error(s, "content_length");
        return;
    }
    s->is_head_told = true;
    s->is_end_told = end;
    s->stream.sink->on_head(&s->stream, &head, end);
}

static void trailers(struct h2_stream *s)
{
    struct head head;
    if (s->is_websocket || !h2_trailers(&s->gather, &head)) { /* RFC 9113 section 8.5 */
        if (s->h2->session.role == ROLE_CLIENT)
            proto_error(s, "trailers");
        else
            reset(s, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    if (!s->is_owned || !s->stream.sink->on_trailers) {
        tell_end(s);
        return;
    }
    s->is_end_told = true;
    s->stream.sink->on_trailers(&s->stream, &head);
}

static void header_block(struct h2_stream *s, const nghttp2_frame *frame)
{
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        request_head(s, end);
    else if (!s->is_owned || s->is_over)
        return;
    else if (s->is_head_told)
        trailers(s);
    else
        answer_head(s, end);
}

static void flooded(struct h2 *h)
{
    if (h->session.fault.status)
        return;
    h->session.fault = (struct fault){h->session.role == ROLE_SERVER ? 400 : 502, "flood"};
    (void)nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void cheap(struct h2 *h, uint32_t cost)
{
    h->cheap += cost;
    if (h->cheap > CHEAP_MAX)
        flooded(h);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    (void)ng;
    struct h2 *h = user;
    struct h2_stream *s = frame->hd.stream_id ? find(h, frame->hd.stream_id) : NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s) {
            header_block(s, frame);
            h2_gather_finish(&s->gather);
        }
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length && frame->hd.length == frame->data.padlen)
            cheap(h, 1);
        if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            tell_end(s);
        break;
    case NGHTTP2_GOAWAY:
        h->is_goaway_seen = true;
        break;
    case NGHTTP2_PING:
        if (h->is_notice_sent && (frame->hd.flags & NGHTTP2_FLAG_ACK))
            say_last(h); /* what was on its way when the notice went is here now */
        break;
    default:
        break;
    }
    return 0;
}

/* RFC 9113 section 5.1.1: whoever asks on an id has done with those below it. nghttp2 knows no more
 * which of them were ever used, and passes over what comes on the others. */
static void look_at_id(struct h2 *h, int32_t id)
{
    if (id > h->last_id) {
        if (id > h->last_id + 2) {
            h->gap_from = h->last_id + 1;
            h->gap_to = id - 1;
        }
        h->last_id = id;
    } else if (id >= h->gap_from && id <= h->gap_to && !h->session.fault.status) {
        h->session.fault = (struct fault){400, "stream_id"};
        (void)nghttp2_session_terminate_session(h->ng, NGHTTP2_PROTOCOL_ERROR);
    }
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    (void)ng;
    struct h2 *h = user;
    if (hd->type == NGHTTP2_HEADERS && h->session.role == ROLE_SERVER)
        look_at_id(h, hd->stream_id);
    if (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION ||
        (hd->type == NGHTTP2_DATA && hd->length))
        return 0;
    if (hd->type == NGHTTP2_WINDOW_UPDATE && h->session.role == ROLE_CLIENT)
        return 0; /* the provider's; a large upload earns many */
    cheap(h, hd->type == NGHTTP2_RST_STREAM ? CHEAP_RESET : 1);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    (void)flags;
    struct h2 *h = user;
    struct h2_stream *s = find(h, id);
    progress(h);
    /* One stream that stalls must not stall the others: what each holds is bounded by its own
     * window. */
    (void)nghttp2_session_consume_connection(ng, n);
    if (!s || !s->is_owned || !s->is_head_told || s->is_over) {
        (void)nghttp2_session_consume_stream(ng, id, n);
    } else if (s->is_websocket && !s->is_switched) {
        hold_early(s, p, n);
    } else {
        tell_early(s);
        if (s->is_owned && !s->is_over)
            s->stream.sink->on_body(&s->stream, p, n, false);
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
    (void)ng;
    (void)code;
    struct h2 *h = user;
    struct h2_stream *s = frame->hd.stream_id ? find(h, frame->hd.stream_id) : NULL;
    h->cheap += CHEAP_RESET; /* it makes us reset */
    if (++h->faults > FAULTS_MAX)
        flooded(h);
    if (s) {
        s->is_bad = true;
        h->session.fault =
            h->session.role == ROLE_CLIENT ? (struct fault){502, "frame"} : h->session.fault;
    }
    return 0;
}

static int on_stream_over(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    (void)ng;
    struct h2_stream *s = find(user, id);
    if (!s)
        return 0;
    s->is_over = true;
    s->error = error;
    mark(s);
    return 0;
}

/* A request that was still waiting when the peer said GOAWAY. */
static int on_frame_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
    (void)ng;
    (void)code;
    struct h2 *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS || h->session.role != ROLE_CLIENT)
        return 0;
    for (struct list *l = h->all.next; l != &h->all; l = l->next) {
        struct h2_stream *s = container_of(l, struct h2_stream, all);
        if (s->id != frame->hd.stream_id || s->is_over)
            continue;
        s->is_over = true;
        s->error = NGHTTP2_REFUSED_STREAM;
        mark(s);
        break;
    }
    return 0;
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
        (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
        return 0;
    struct h2_stream *s = find(user, frame->hd.stream_id);
    if (!s)
        return 0;
    s->is_end_framed = true;
    /* An answer that came before its request ended: the rest of that is of no use (RFC 9113
     * section 8.1). */
    if (s->h2->session.role == ROLE_SERVER && !s->is_end_told)
        (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- telling ---- */

static void tell(struct h2_stream *s)
{
    size_t n = s->untold;
    s->untold = 0;
    if (n && s->is_owned && s->stream.sink)
        s->stream.sink->on_sent(&s->stream, n);
    tell_early(s);
    if (s->is_over)
        close_stream(s, why_of(s));
}

static void end_all(struct h2 *h, enum why why)
{
    while (!list_empty(&h->all)) {
        struct h2_stream *s = container_of(h->all.next, struct h2_stream, all);
        list_remove(&s->all);
        list_add_last(&h->dead, &s->all);
        s->is_over = true;
        if (s->id)
            (void)nghttp2_session_set_stream_user_data(h->ng, s->id, NULL);
        close_stream(s, why);
    }
}

static void sweep(struct h2 *h)
{
    while (!list_empty(&h->dead))
        stream_free(container_of(h->dead.next, struct h2_stream, all));
}

static void finish(struct h2 *h)
{
    if (h->is_finished)
        return;
    h->is_finished = true;
    if (h->session.sink->on_finished)
        h->session.sink->on_finished(&h->session);
}

/* What happened is told here, outside of nghttp2 and of verbs. */
static void settle(struct h2 *h)
{
    if (h->is_settling)
        return;
    h->is_settling = true;
    while (!list_empty(&h->settle)) {
        struct h2_stream *s = container_of(h->settle.next, struct h2_stream, settle);
        list_remove(&s->settle);
        tell(s);
        if (s->is_over && list_empty(&s->settle)) {
            list_remove(&s->all);
            list_add_last(&h->dead, &s->all);
        }
    }
    h->is_settling = false;
    sweep(h);
    if (h->is_draining && h->count == 0 && list_empty(&h->all))
        say_last(h);
    send_frames(h);
    bool is_spent = !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
    if (h->is_failed || is_spent) {
        h->session.is_broken = h->is_failed;
        end_all(h, WHY_RESET);
        sweep(h);
        finish(h);
    } else if (h->session.role == ROLE_SERVER && h->is_last_said && h->count == 0 &&
               h->unflushed == 0) {
        finish(h);
    }
}

/* ---- the session's verbs ---- */

static enum err h2_feed(struct session *session, const void *p, size_t n)
{
    struct h2 *h = h2_of(session);
    if (h->is_finished)
        return ERR_OK;
    if (h->is_failed)
        return ERR_PROTOCOL;
    h->in_ng = true;
    ssize_t r = nghttp2_session_mem_recv(h->ng, p, n);
    h->in_ng = false;
    if (r < 0) {
        if (!session->fault.status)
            session->fault = (struct fault){session->role == ROLE_SERVER ? 400 : 502, "h2"};
        h->is_failed = r == NGHTTP2_ERR_NOMEM;
        if (!h->is_failed)
            (void)nghttp2_session_terminate_session(h->ng, r == NGHTTP2_ERR_FLOODED
                                                               ? NGHTTP2_ENHANCE_YOUR_CALM
                                                               : NGHTTP2_PROTOCOL_ERROR);
        send_frames(h);
        end_all(h, session->role == ROLE_CLIENT ? WHY_PROTO : WHY_RESET);
        return ERR_PROTOCOL;
    }
    h->barren += n;
    if (h->barren > BARREN_MAX)
        flooded(h);
    send_frames(h);
    settle(h);
    return ERR_OK;
}

static void h2_abort(struct session *session)
{
    struct h2 *h = h2_of(session);
    h->is_goaway_seen = true;
    end_all(h, WHY_RESET);
}

/* The peer says no more: nothing that is under way can end well. */
static void h2_eof(struct session *session)
{
    h2_abort(session);
    finish(h2_of(session));
}

static void h2_flushed(struct session *session, size_t n)
{
    struct h2 *h = h2_of(session);
    bool was_full = h->unflushed >= OUT_STOP;
    h->unflushed -= n < h->unflushed ? n : h->unflushed;
    send_frames(h);
    settle(h);
    if (was_full && h->unflushed < OUT_STOP)
        session->out->readable(session->out);
}

static bool h2_has_room(const struct session *session)
{
    const struct h2 *h = h2_of_const(session);
    if (h->is_finished || h->is_goaway_seen || session->fault.status ||
        !nghttp2_session_check_request_allowed(h->ng))
        return false;
    uint32_t max =
        nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return h->count < (max < STREAMS_MAX ? max : STREAMS_MAX);
}

static struct stream *h2_open(struct session *session)
{
    struct h2 *h = h2_of(session);
    struct h2_stream *s = h2_has_room(session) ? stream_create(h, 0) : NULL;
    if (!s)
        return NULL;
    own(s);
    return &s->stream;
}

static bool h2_wants_read(const struct session *session)
{
    return h2_of_const(session)->unflushed < OUT_STOP;
}

static bool h2_is_idle(const struct session *session)
{
    const struct h2 *h = h2_of_const(session);
    if (session->role == ROLE_CLIENT)
        return h->count == 0 && h2_has_room(session);
    return h->count == 0 && list_empty(&h->all);
}

static void h2_drain(struct session *session)
{
    struct h2 *h = h2_of(session);
    if (h->is_draining || session->role == ROLE_CLIENT)
        return;
    h->is_draining = true;
    if (h2_is_idle(session))
        say_last(h);
    send_frames(h);
}

static void h2_destroy(struct session *session)
{
    struct h2 *h = h2_of(session);
    end_all(h, WHY_RESET);
    sweep(h);
    nghttp2_session_del(h->ng);
    h->magic = 0;
    mem_free(h);
}

static const struct session_ops session_ops = {
    .feed = h2_feed,
    .eof = h2_eof,
    .abort = h2_abort,
    .flushed = h2_flushed,
    .open = h2_open,
    .wants_read = h2_wants_read,
    .is_idle = h2_is_idle,
    .has_room = h2_has_room,
    .drain = h2_drain,
    .destroy = h2_destroy,
};

/* ---- making one ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_field);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_field);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_over);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    return c;
}

static nghttp2_option *make_option(void)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_peer_max_concurrent_streams(o, STREAMS_MAX);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_continuations(o, CONTINUATIONS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(o, RESETS_AT_ONCE, RESETS_A_SECOND);
    return o;
}

static int make_session(struct h2 *h)
{
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = make_option();
    nghttp2_mem mem = {
        .malloc = ng_malloc, .free = ng_free, .calloc = ng_calloc, .realloc = ng_realloc};
    int r = NGHTTP2_ERR_NOMEM;
    if (callbacks && option)
        r = h->session.role == ROLE_SERVER
                ? nghttp2_session_server_new3(&h->ng, callbacks, h, option, &mem)
                : nghttp2_session_client_new3(&h->ng, callbacks, h, option, &mem);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return r;
}

static int say_settings(struct h2 *h)
{
    bool is_server = h->session.role == ROLE_SERVER;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->limits.header_bytes},
        {is_server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
         is_server ? STREAMS_MAX : 0},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* RFC 8441: a server's alone */
    };
    size_t count = sizeof entries / sizeof *entries;
    int r = nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, entries, count - !is_server);
    return r ? r
             : nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
                                                     (int32_t)SESSION_WINDOW);
}

struct session *h2_create(enum role role, const struct session_limits *limits, struct outlet *out,
                          const struct session_sink *sink, void *owner)
{
    struct h2 *h = mem_calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->magic = H2_MAGIC;
    h->session = (struct session){
        .ops = &session_ops, .sink = sink, .out = out, .owner = owner, .role = role, .is_h2 = true};
    h->limits = *limits;
    list_init(&h->all);
    list_init(&h->settle);
    list_init(&h->dead);
    if (make_session(h) != 0 || say_settings(h) != 0) {
        nghttp2_session_del(h->ng);
        mem_free(h);
        return NULL;
    }
    return &h->session;
}
