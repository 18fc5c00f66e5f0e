/* Between the files of gate/. */
#ifndef GATE_INTERNAL_H
#define GATE_INTERNAL_H
#include "gate/gate.h"
#include "net/pump.h"
#include "stub/answer.h"

#define GATE_MAGIC MAGIC('g', 'a', 't', 'e')
#define PEER_TEXT 64

enum gate_state {
    GATE_HEADER,    /* a balancer says for whom it speaks; header_timeout */
    GATE_FIRST,     /* reads a CONNECT, an absolute request or a page's; the client wakes us;
                       header_timeout, idle_timeout */
    GATE_OUTER_TLS, /* shakes hands on a proxy_tls listener; handshake time limit */
    GATE_DIAL,      /* a tunnel's target is dialled; connect_timeout */
    GATE_TLS,       /* shakes hands as the intercepted host; handshake time limit */
    GATE_SWAP,      /* requests come, exchanges run; header_timeout, idle_timeout */
    GATE_TUNNEL,    /* bytes go both ways; silence */
    GATE_OVER       /* destroyed in the next turn */
};

struct gate {
    uint32_t magic;
    enum gate_state state;
    struct gates *gates;
    struct list link_all;
    struct pump pump;
    struct session *old_session; /* the one before TLS; freed with us */
    struct stream *stream;       /* a CONNECT or a page that we answer ourselves */
    struct front_info info;
    struct dial *dial;
    struct tunnel *tunnel;
    const char *want; /* after the present feed: "tls" or "tunnel" */
    enum api api;     /* of the intercepted host, for the shape of errors */
    struct deadline deadline;
    uint64_t began_ms, active_ms, head_began_ms;
    uint64_t bytes_seen; /* of the link's bytes_out, at the last look */
    uint64_t requests;
    const char *reason; /* why it ended */
    uint64_t bytes_up, bytes_down;
    struct sockaddr_storage peer;
    bool has_entered; /* PEER counts in the limits */
    bool tls_first;
    char *header; /* in GATE_HEADER: PROXY_HEADER_MAX bytes, of them HEADER_N came */
    size_t header_n;
    char peer_text[PEER_TEXT];
    struct later_link later;
};

/* gate.c */
void gate_end(struct gate *g, const char *why);

/** The first session of a connection, or its outer TLS when that comes first; SEEN are bytes of the
 * client's that came already. */
void gate_begin(struct gate *g, const void *seen, size_t n);
void gate_print_peer(struct gate *g);
/** Ends the gate whose link was let go already. */
void gate_over(struct gate *g, const char *why);

/* header.c: the PROXY protocol */
void header_begin(struct gate *g);

/* fault.c */
/** For a request that the parser refused: written without any session. */
void answer_fault(struct gate *g, const struct fault *f);

/* connect.c */
void connect_begin(struct gate *g, struct stream *st, const struct head *h, bool end);
void connect_continue(struct gate *g); /* after the feed that brought it */

/* metadata.c: Google's metadata server, when policy.metadata_server is on */
bool metadata_is_host(const struct gate *g, const struct authority *a);
bool metadata_is_path(const struct gate *g, struct slice path);
void metadata_serve(struct gate *g, struct stream *st, const struct head *h);

/* local.c: absolute-form, own pages, gateway mode */
void local_begin(struct gate *g, struct stream *st, const struct head *h, bool end);

#endif
