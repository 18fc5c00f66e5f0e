/* Certificates kept ready and TLS contexts: one set for each worker, so that OpenSSL's locks stay
 * uncontended. */
#ifndef TLS_TLS_H
#define TLS_TLS_H
#include "base/err.h"
#include "base/slice.h"

#include <openssl/ssl.h>
#include <stdint.h>

struct keeper;

/* Shared by all workers: the process-wide P-256 leaf key, minted leaves (bounded, by host), ticket
 * keys. */
struct leaf_cache;
enum err leaf_cache_create(struct keeper *k, struct leaf_cache **ret, struct errmsg *msg) NODISCARD;
void leaf_cache_destroy(struct leaf_cache *c);
/** The leaf for HOST, minted on first use and again when less than a third of its life is left. +1
 * reference. Thread: any (a lock; workers keep contexts, so this is rare). */
enum err leaf_get(struct leaf_cache *c, struct slice host, X509 **ret) NODISCARD;
/** New ticket keys from now on (tickets of the keys before stay good until the next rotation). Main
 * calls it twice a day. */
void leaf_cache_rotate_tickets(struct leaf_cache *c);

/* What is known of a leaf; of one that was renewed since it was first asked for. */
struct leaf_facts {
    struct slice host;
    int64_t signed_at, expires_at; /* Unix s */
    uint64_t hits;                 /* times it was ready */
};
struct leaf_sums {
    size_t cached, max;
    uint64_t hits, signed_count; /* since the start */
};
typedef void (*leaf_facts_cb)(void *arg, const struct leaf_facts *f);
/** At most LIMIT, the one used last first. CB runs under the lock: it only takes notes. Thread:
 * any.
 */
void leaf_cache_look(struct leaf_cache *c, size_t limit, leaf_facts_cb cb, void *arg,
                     struct leaf_sums *ret);

/* One for each worker. Not thread-safe. */
struct tls_ctxs;
struct tls_conf {
    struct leaf_cache *leaves;
    const char *upstream_ca_file; /* "" : the system's roots */
};
enum err tls_ctxs_create(const struct tls_conf *c, struct tls_ctxs **ret,
                         struct errmsg *msg) NODISCARD;
void tls_ctxs_destroy(struct tls_ctxs *t);
/** The ready server context for HOST (a name the policy wants swapped, or our own for proxy_tls):
 * TLS 1.2 at least, ALPN answer h2 or http/1.1 by server preference, no ALPN is fine, one
 * ticket, session id context bound to HOST, no renegotiation, read_ahead off (links feed it from
 * memory), RELEASE_BUFFERS, PARTIAL_WRITE, MOVING_WRITE_BUFFER. Borrowed; valid until the next loop
 * turn at least. At most 256 are kept. */
enum err tls_server_ctx(struct tls_ctxs *t, struct slice host, SSL_CTX **ret) NODISCARD;
/** What tls_server_ctx counted goes to the leaves. Once a second will do. */
void tls_report_hits(struct tls_ctxs *t);
/** The client context: verification always on, TLS 1.2 at least. */
SSL_CTX *tls_client_ctx(struct tls_ctxs *t);
/** A client SSL that will accept only a certificate for HOST (RFC 6125 rules, no partial
 * wildcards), SNI set, a session for "HOST:PORT" offered when one is kept (sessions are kept per
 * key, bounded). H2: that is offered, too. */
enum err tls_client_new(struct tls_ctxs *t, struct slice host, struct slice session_key, bool h2,
                        SSL **ret) NODISCARD;
/** True when the SNI that the client sent (if any) is HOST; case-insensitive. */
bool tls_sni_matches(const SSL *ssl, struct slice host);
/** Before the handshake of a server SSL that CONNECT will come over: HTTP/1 only. */
void tls_set_outer(SSL *ssl);
/** After the handshake: did the two agree on HTTP/2? */
bool tls_chose_h2(const SSL *ssl);
/** A short word for the last TLS failure on SSL ("unknown_ca", "certificate has expired", ...),
 * never bytes of the peer. */
const char *tls_failure(const SSL *ssl, int ssl_error);
/** Is this word of tls_failure an alert by which the peer refuses our certificate? */
bool tls_is_distrust(const char *word);

#endif
