/* The server role of HTTP/1 as targets use it: it takes down each whole request, answers it at
 * once, and stops behind a CONNECT. */
#ifndef FUZZ_FRONT_H
#define FUZZ_FRONT_H
#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "http/stream.h"

#define FRONT_PIECE 8192u
/* Two pieces of the shortest request, which has 18 bytes. */
#define FRONT_MAX (2 * FRONT_PIECE / 18)

struct request {
    struct head head; /* in the arena */
    struct arena arena;
    struct sbuf body;
    bool is_whole;
};

struct front {
    struct session *s;
    struct outlet out;
    struct stream *st;
    size_t count;
    size_t unflushed;
    bool is_over, is_connect;
    size_t used;      /* bytes that were fed */
    struct sbuf rest; /* behind a CONNECT: what the session had not used */
    enum err err;
    struct request got[FRONT_MAX]; /* each is made when it begins */
};

static inline void front_put(struct outlet *o, const void *p, size_t n)
{
    struct front *f = o->owner;
    (void)p;
    f->unflushed += n;
}

static inline void front_readable(struct outlet *o)
{
    (void)o;
}

static inline struct request *front_last(struct front *f)
{
    return &f->got[f->count - 1];
}

static inline void front_on_head(struct stream *st, const struct head *h, bool end)
{
    struct request *r = front_last(st->owner);
    CHECK(head_copy(&r->arena, h, 2, &r->head) == ERR_OK);
    r->is_whole = end || h->is_websocket; /* which is answered as if it were none */
    r->head.is_websocket = false;
}

static inline void front_on_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct request *r = front_last(st->owner);
    sbuf_add(&r->body, p, n);
    r->is_whole = end;
    stream_credit(st, n);
}

static inline void front_on_sent(struct stream *st, size_t n)
{
    (void)st;
    (void)n;
}

static inline void front_on_close(struct stream *st, enum why why)
{
    struct front *f = st->owner;
    (void)why;
    f->st = NULL;
}

static const struct stream_sink front_stream = {.on_head = front_on_head,
                                                .on_body = front_on_body,
                                                .on_sent = front_on_sent,
                                                .on_close = front_on_close};

static inline void front_on_open(struct session *s, struct stream *st)
{
    struct front *f = s->owner;
    CHECK(!f->st && f->count < FRONT_MAX);
    struct request *r = &f->got[f->count++];
    *r = (struct request){.is_whole = false};
    arena_init(&r->arena, 1 << 20);
    sbuf_init(&r->body, 1 << 20);
    f->st = st;
    st->sink = &front_stream;
    st->owner = f;
}

static inline void front_on_finished(struct session *s)
{
    ((struct front *)s->owner)->is_over = true;
}

static inline void front_on_fault(struct session *s, const struct fault *fault)
{
    struct front *f = s->owner;
    CHECK(fault->status && fault->reason);
    f->err = ERR_PROTOCOL;
}

static const struct session_sink front_session = {
    .on_open = front_on_open, .on_finished = front_on_finished, .on_fault = front_on_fault};

static inline void front_init(struct front *f)
{
    static const struct session_limits limits = {65536, 128};
    memset(f, 0, offsetof(struct front, got));
    f->out = (struct outlet){.put = front_put, .readable = front_readable, .owner = f};
    sbuf_init(&f->rest, 1 << 20);
    f->s = h1_create(ROLE_SERVER, &limits, &f->out, &front_session, f);
    CHECK(f->s);
}

static inline void front_finish(struct front *f)
{
    session_destroy(f->s);
    sbuf_finish(&f->rest);
    for (size_t i = 0; i < f->count; i++) {
        arena_finish(&f->got[i].arena, false);
        sbuf_finish(&f->got[i].body);
    }
}

/* Whole requests are answered, and what was held back comes. */
static inline void front_settle(struct front *f)
{
    while (f->st && front_last(f)->is_whole && !f->is_over && f->err == ERR_OK) {
        if (slice_eq(front_last(f)->head.method, SLICE("CONNECT"))) {
            f->is_connect = true;
            h1_take_rest(f->s, &f->rest);
            f->st = NULL;
            return;
        }
        struct head h = {.status = 200, .body = BODY_LENGTH};
        CHECK(stream_send_head(f->st, &h, true) == ERR_OK);
        size_t n = f->unflushed;
        f->unflushed = 0;
        session_flushed(f->s, n);
    }
}

/* Feeds all, in pieces that SEED makes (0: as large as they may be), each in memory of exactly its
 * size. */
static inline void front_feed(struct front *f, const uint8_t *p, size_t n, unsigned seed)
{
    bool is_cut = seed != 0;
    while (f->used < n && !f->is_over && !f->is_connect && f->err == ERR_OK &&
           f->count < FRONT_MAX / 2) {
        seed = seed * 1664525u + 1013904223u;
        size_t take = is_cut ? (seed >> 16) % 17 + 1 : FRONT_PIECE;
        take = take < n - f->used ? take : n - f->used;
        char *exact = mem_dupn(p + f->used, take);
        CHECK(exact);
        f->used += take;
        enum err e = session_feed(f->s, exact, take);
        mem_free(exact);
        f->err = f->err == ERR_OK ? e : f->err;
        if (e == ERR_OK)
            front_settle(f);
        (void)session_wants_read(f->s);
    }
    CHECK((f->err == ERR_OK) == (f->s->fault.status == 0));
}

#endif
