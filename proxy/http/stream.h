/* clang-format off */
/* The contract in the middle: one HTTP message pair (stream) in one protocol on one link (session),
 * in either role. Nobody above http/ knows which protocol it is.
 *
 *   verbs, down:  stream_send_head  stream_send_body  stream_credit  stream_reset      session_feed
 * ... events, up:   on_head  on_body  on_sent  on_close
 *
 * Rules: on_close comes exactly once and last; its owner clears its pointer there; verbs on a
 * closed stream are not legal. No event comes from inside a verb, except on_sent from a flush.
 * Back-pressure is one rule: bytes reported by on_sent on one side are credited on the other.
 *
 * How a message ends, protocol by protocol:
 *
 * | what happened                | HTTP/1 server role (front)     | HTTP/1 client role (back)    | HTTP/2 (either)   |
 * | ---------------------------- | ------------------------------ | ---------------------------- | ----------------- |
 * | message complete             | on_body(end=true)              | on_body(end=true)            | END_STREAM        |
 * | the peer cut it short        | on_close(WHY_RESET)            | on_close(WHY_RESET)          | RST_STREAM or EOF |
 * | the peer broke the protocol  | 400, on_close(WHY_PROTO)       | on_close(WHY_PROTO)          | GOAWAY            |
 * | we finish                    | end=true; keep-alive or close  | end=true; session reused     | END_STREAM        |
 * | we break it off              | closed without the last chunk  | connection closed            | RST_STREAM        |
 * | body of unknown length       | chunked (HTTP/1.1), close (1.0)| chunked                      | DATA to END_STREAM|
 */
/* clang-format on */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H
#include "http/head.h"

#include <stdbool.h>

enum why {
    WHY_DONE,    /* both messages are complete */
    WHY_RESET,   /* the peer (or the link) went away, or broke it off */
    WHY_PROTO,   /* the peer broke the protocol; session->fault says how */
    WHY_LOCAL,   /* we broke it off */
    WHY_REFUSED, /* the peer says that it did nothing with it (RFC 9113 section 8.7) */
};

struct stream;
struct session;

struct stream_ops {
    /** Sends the head; END: no body follows. ERR_INVALID when it cannot be written (nothing was
     * sent). */
    enum err (*send_head)(struct stream *s, const struct head *h, bool end) NODISCARD;
    /** Sends body bytes; END: these are the last. ERR_PROTOCOL when they do not fit the announced
     * length (the message is broken then: reset). */
    enum err (*send_body)(struct stream *s, const void *p, size_t n, bool end) NODISCARD;
    /** Ends the message with trailers. HTTP/1 ends it without them. Errors as of send_body. */
    enum err (*send_trailers)(struct stream *s, const struct head *trailers) NODISCARD;
    /** An interim answer without fields (100). Front only. */
    void (*send_continue)(struct stream *s);
    /** N received body bytes are no longer held by the owner. */
    void (*credit)(struct stream *s, size_t n);
    /** Breaks off; on_close(WHY_LOCAL) follows before this returns. */
    void (*reset)(struct stream *s);
};

struct stream_sink {
    /** A final head. Slices live until it returns. END: no body follows. */
    void (*on_head)(struct stream *s, const struct head *h, bool end);
    void (*on_body)(struct stream *s, const void *p, size_t n, bool end);
    /** Instead of on_body(end): the message ends with these. NULL: on_body(NULL, 0, true) comes. */
    void (*on_trailers)(struct stream *s, const struct head *trailers);
    /** N body bytes left for the wire. */
    void (*on_sent)(struct stream *s, size_t n);
    void (*on_close)(struct stream *s, enum why why);
};

struct stream {
    const struct stream_ops *ops;
    const struct stream_sink *sink;
    void *owner;
    struct session *session;
};

enum role {
    ROLE_SERVER,
    ROLE_CLIENT
};

/* Where a session puts bytes for the wire. Implemented by net/pump and by tests. */
struct outlet {
    /** N may be 0: flushed(0) then follows, as it does for bytes. */
    void (*put)(struct outlet *o, const void *p, size_t n);
    /** wants_read() may have become true again. */
    void (*readable)(struct outlet *o);
    /** Nothing more will be put; the peer hears so when all has left, and may still speak. NULL:
     * cannot be said. */
    void (*shut)(struct outlet *o);
    void *owner;
};

struct session_limits {
    uint32_t header_bytes, header_count;
};

/* A refusal by the codec, before any stream exists: what to answer (server role) or report (client
 * role). */
struct fault {
    int status;         /* 400, 414, 431, 501, 505; client role: 502 */
    const char *reason; /* static word; never bytes of the message */
};

struct session_ops {
    /** Eats received bytes; keeps what it cannot use yet (bounded; then wants_read is false).
     * ERR_PROTOCOL: fault is set, nothing more will be eaten. */
    enum err (*feed)(struct session *s, const void *p, size_t n) NODISCARD;
    /** The peer will send no more. */
    void (*eof)(struct session *s);
    /** The link broke or was cut short (no close_notify): whatever is open ends with WHY_RESET. */
    void (*abort)(struct session *s);
    /** N bytes given to the outlet have left. */
    void (*flushed)(struct session *s, size_t n);
    /** Client role: starts an exchange; NULL when busy, or when the peer takes no more. */
    struct stream *(*open)(struct session *s);
    bool (*wants_read)(const struct session *s);
    /** Client role: the last exchange ended provably clean, so another may follow (threats: reuse
     * rule). Server role: no request is under way. */
    bool (*is_idle)(const struct session *s);
    /** Client role: would open() give a stream? */
    bool (*has_room)(const struct session *s);
    /** Server role: the present request, or the next one when there is none, is the last. */
    void (*drain)(struct session *s);
    void (*destroy)(struct session *s);
};

struct session_sink {
    /** Server role: a request begins. The owner sets st->sink and st->owner, or on no memory resets
     * it. */
    void (*on_open)(struct session *s, struct stream *st);
    /** Server role: nothing more will be said. The link goes, cleanly once its bytes have left, or,
     * when session->is_broken, at once as a cut. */
    void (*on_finished)(struct session *s);
    /** A pipelined request, kept back until its turn, turned out bad (feed says it of all others).
     */
    void (*on_fault)(struct session *s, const struct fault *f);
    /** A request that the codec refused and answered by itself (HTTP/2). NULL is fine. */
    void (*on_refused)(struct session *s, const struct fault *f);
};

struct session {
    const struct session_ops *ops;
    const struct session_sink *sink;
    struct outlet *out;
    void *owner;
    enum role role;
    bool is_h2;        /* many message pairs at once */
    bool has_stream;   /* a message pair is under way */
    bool is_answering; /* server role: the final head of an answer went out, and its end has not
                          left */
    bool is_answered; /* server role: a whole answer to the request at hand was put; what is left of
                         it gets none */
    bool is_broken;   /* a message was broken off: the peer must see a cut, never a clean end */
    struct fault fault;
};

/* thin words, so that callers read well */
static inline enum err stream_send_head(struct stream *s, const struct head *h, bool end)
{
    return s->ops->send_head(s, h, end);
}
static inline enum err stream_send_body(struct stream *s, const void *p, size_t n, bool end)
{
    return s->ops->send_body(s, p, n, end);
}
static inline enum err stream_send_trailers(struct stream *s, const struct head *trailers)
{
    return s->ops->send_trailers(s, trailers);
}
static inline void stream_credit(struct stream *s, size_t n)
{
    if (s && n)
        s->ops->credit(s, n);
}
static inline void stream_reset(struct stream *s)
{
    s->ops->reset(s);
}
static inline enum err session_feed(struct session *s, const void *p, size_t n)
{
    return s->ops->feed(s, p, n);
}
static inline void session_eof(struct session *s)
{
    s->ops->eof(s);
}
static inline void session_abort(struct session *s)
{
    s->ops->abort(s);
}
static inline void session_flushed(struct session *s, size_t n)
{
    s->ops->flushed(s, n);
}
static inline struct stream *session_open(struct session *s)
{
    return s->ops->open(s);
}
static inline bool session_wants_read(const struct session *s)
{
    return s->ops->wants_read(s);
}
static inline bool session_is_idle(const struct session *s)
{
    return s->ops->is_idle(s);
}
static inline bool session_has_room(const struct session *s)
{
    return s->ops->has_room(s);
}
static inline void session_drain(struct session *s)
{
    s->ops->drain(s);
}
static inline void session_destroy(struct session *s)
{
    if (s)
        s->ops->destroy(s);
}

/** Body bytes a session may hand up before credit comes back. */
#define STREAM_WINDOW (128u * 1024u)

/** Server role, after a CONNECT: moves the bytes behind its head into OUT; the session is of no
 * more use. */
void h1_take_rest(struct session *s, struct sbuf *out);

/** HTTP/1.1 session. Borrows OUT, SINK, OWNER. NULL on no memory. */
struct session *h1_create(enum role role, const struct session_limits *limits, struct outlet *out,
                          const struct session_sink *sink, void *owner);

#endif
