/* One client connection: CONNECT, verdict, then TLS and exchanges, a tunnel, or a page of our own.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H
#include "exchange/exchange.h"
#include "net/tunnel.h"

struct gate;
struct conf;
struct tls_ctxs;
struct page_facts;
struct sbuf;

/* Counters of a worker; read by others without a lock, so they are atomic and only their worker
 * adds. */
#define GATE_COUNTERS(X)                                                                           \
    X(connections, "client connections accepted")                                                  \
    X(connections_refused, "client connections refused (policy or limits)")                        \
    X(connects_swap, "CONNECTs answered by interception")                                          \
    X(connects_tunnel, "CONNECTs tunnelled")                                                       \
    X(connects_denied, "CONNECTs refused")                                                         \
    X(tls_failures, "client TLS handshakes that failed")                                           \
    X(tls_swaps, "client TLS handshakes done in the place of a provider")                          \
    X(tls_distrusts, "of those that failed: our certificate was refused")                          \
    X(requests_malformed, "requests refused by the parser")                                        \
    X(pages, "own pages served")                                                                   \
    X(tunnel_bytes_up, "bytes tunnelled to targets")                                               \
    X(tunnel_bytes_down, "bytes tunnelled to clients")

/** Only the worker that owns the figure adds; others read. No locked instruction. */
static inline void figure_add(atomic_uint_fast64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

struct gate_counters {
#define X(name, help) atomic_uint_fast64_t name;
    GATE_COUNTERS(X)
#undef X
};

/* What all gates of a worker share. */
struct gates {
    struct services *svc;
    struct loop *loop;
    const struct conf *conf;
    const struct policy *policy;
    struct tls_ctxs *tls;
    struct dialer dialer;
    struct session_limits limits;
    struct list all;
    uint32_t count;
    bool is_draining;
    struct gate_counters *counters;
    void *server;

    /** Our own names: "host:port" that clients use for us. */
    bool (*is_self)(struct gates *g, const struct authority *a);
    void (*page_facts)(struct gates *g, struct page_facts *ret);
    /** JSON about the caller's address, and about a client. */
    void (*caller_status)(struct gates *g, const struct sockaddr_storage *peer, struct sbuf *out);
    void (*client_status)(struct gates *g, const struct snap_client *c, struct sbuf *out);
    /** Something went wrong for this caller: a static word, for its /status. */
    void (*caller_failed)(struct gates *g, const struct sockaddr_storage *peer, const char *word);
    /** This caller does not take our certificate for HOST: the alert's word, a static one. */
    void (*distrusted)(struct gates *g, const struct sockaddr_storage *peer, struct slice host,
                       const char *word);
    uint64_t (*next_conn_id)(struct gates *g);
    /** A client for whom a balancer speaks: do policy and limits let it in? Then gone gives its
     * place back. */
    bool (*may_enter)(struct gates *g, const struct sockaddr_storage *peer);
    /** The connection is over: its place in the limits is free again. PEER NULL: it never said whom
     * it was from. */
    void (*gone)(struct gates *g, const struct sockaddr_storage *peer);
};

/** Takes FD over. PEER was let in by policy and limits. TLS_FIRST: the listener speaks TLS
 * (proxy_tls). */
void gate_accept(struct gates *g, int fd, const struct sockaddr_storage *peer, bool tls_first);
/** The same from BALANCER, which says first for whom it speaks, by the PROXY protocol; only then
 * the client must be let in. */
void gate_accept_for(struct gates *g, int fd, const struct sockaddr_storage *balancer,
                     bool tls_first);
/** No new requests; idle connections go now, the others after their exchange. */
void gates_drain(struct gates *g);
/** Everything ends now, visibly broken where a message was under way. */
void gates_abort(struct gates *g);

#endif
