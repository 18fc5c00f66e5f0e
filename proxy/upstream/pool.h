/* Connections to providers: kept alive by authority, handed out newest first, taken back only when
 * provably clean. Over HTTP/2 many exchanges share one. One pool for each worker; the credential is
 * in the request, so a connection serves any account. */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H
#include "net/dial.h"
#include "net/pump.h"

struct pool;
struct back;
struct back_wait;
struct tls_ctxs;

struct pool_conf {
    struct dialer dialer;
    struct tls_ctxs *tls;
    struct session_limits limits;
    uint64_t keepalive_ms; /* an idle connection lives so long */
    uint64_t handshake_ms; /* connect and TLS together */
    uint32_t idle_per_host, idle_total;
    bool http2; /* is offered */
};

enum err pool_create(const struct pool_conf *c, struct pool **ret) NODISCARD;
void pool_destroy(struct pool *p);
/** From now on (reload). */
void pool_set_policy(struct pool *p, const struct policy *policy);
/** Closes every idle connection (reload, drain). */
void pool_drain(struct pool *p);

/** E ERR_OK: BACK is the callee's, ready for session_open. WHY is a static word. Never from inside
 * pool_acquire. */
typedef void (*pool_cb)(void *arg, enum err e, const char *why, struct back *back);

/* How an exchange wants its connection; may be added. */
enum pool_how {
    POOL_PLAIN = 0, /* http:// */
    POOL_TLS = 1,
    POOL_FRESH = 2, /* a new one, and its own */
    POOL_HTTP1 = 4  /* a new one on which HTTP/2 is not offered; with POOL_FRESH */
};
/** A part of a connection at once (ERR_OK, *ret_back), unless POOL_FRESH; else a new one is
 * dialled, or one that dials is waited for: ERR_AGAIN, *ret_wait, CB later. */
enum err pool_acquire(struct pool *p, const struct authority *to, unsigned how, pool_cb cb,
                      void *arg, struct back **ret_back, struct back_wait **ret_wait) NODISCARD;
/** No callback follows. */
void pool_cancel(struct back_wait *w);

/** The stream for one message pair; NULL when the connection died meanwhile. */
struct stream *back_open(struct back *b);
/** It fell silent: over HTTP/2 nobody new gets its connection, which may be dead; those who have a
 * part of it go on. */
void back_distrust(struct back *b);
bool back_is_reused(const struct back *b);
bool back_is_h2(const struct back *b);
/** Why the connection ended, after its stream closed with WHY_RESET or WHY_PROTO: a static word. */
const char *back_why(const struct back *b);
/** After the stream closed: back to the pool when it ended clean, else closed. */
void pool_release(struct back *b);
/** After the stream closed or was reset: an HTTP/1 connection is closed in any case. */
void back_destroy(struct back *b);
/** A refused answer nobody reads: swallows up to 64 KB of it within 5 s, so that the connection may
 * live. The stream's owner is forgotten. */
void back_discard(struct back *b, struct stream *st);

struct pool_stats {
    uint64_t dials, reuses, dial_failures, idle, open;
};
void pool_stats(const struct pool *p, struct pool_stats *ret);

#endif
