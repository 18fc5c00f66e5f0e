/* A loop that is turned by hand, links that write down what they are told, and certificates made
 * for the occasion. */
#ifndef UNIT_NET_RIG_H
#define UNIT_NET_RIG_H
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct rig {
    struct loop *loop;
    SSL_CTX *server, *client;
};

/* One end. */
struct end {
    struct link *link;
    struct sbuf got;
    size_t count, flushed; /* bytes */
    int ready, eofs, errors;
    enum err err;
    const char *why;
    bool count_only;
    bool destroy_in_data, destroy_in_ready, destroy_in_eof, destroy_in_flushed, finish_in_eof;
    size_t pause_each; /* bytes after which to pause; resumed by hand */
    uint64_t hash;
};

static inline void end_gone(struct end *e)
{
    e->link = NULL;
}

static inline void end_ready(struct link *l)
{
    struct end *e = l->owner;
    e->ready++;
    if (e->destroy_in_ready) {
        link_destroy(l, false);
        end_gone(e);
    }
}

static inline uint64_t hash_bytes(uint64_t h, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static inline void end_data(struct link *l, const void *p, size_t n)
{
    struct end *e = l->owner;
    CHECK(e->link == l && !l->is_paused && n > 0 && e->eofs == 0 && e->errors == 0);
    size_t before = e->count;
    e->count += n;
    e->hash = hash_bytes(e->hash, p, n);
    if (!e->count_only)
        sbuf_add(&e->got, p, n);
    if (e->pause_each && before / e->pause_each != e->count / e->pause_each)
        link_pause(l);
    if (e->destroy_in_data) {
        link_destroy(l, false);
        end_gone(e);
    }
}

static inline void end_eof(struct link *l)
{
    struct end *e = l->owner;
    CHECK(e->link == l && e->eofs == 0 && e->errors == 0);
    e->eofs++;
    if (e->destroy_in_eof || e->finish_in_eof) {
        if (e->finish_in_eof)
            link_finish(l, true);
        else
            link_destroy(l, true);
        end_gone(e);
    }
}

static inline void end_error(struct link *l, enum err err, const char *why)
{
    struct end *e = l->owner;
    CHECK(e->link == l && e->errors == 0);
    e->errors++;
    e->err = err;
    e->why = why;
}

static inline void end_flushed(struct link *l, size_t n)
{
    struct end *e = l->owner;
    CHECK(e->link == l);
    e->flushed += n;
    if (e->destroy_in_flushed) {
        link_destroy(l, false);
        end_gone(e);
    }
}

static const struct link_ops end_ops = {.on_ready = end_ready,
                                        .on_data = end_data,
                                        .on_eof = end_eof,
                                        .on_error = end_error,
                                        .on_flushed = end_flushed};

static inline void end_open(struct rig *r, struct end *e, int fd)
{
    *e = (struct end){.hash = 14695981039346656037u};
    sbuf_init(&e->got, 64u << 20);
    e->link = link_create(r->loop, fd, &end_ops, e);
    CHECK(e->link != NULL);
}

static inline void end_close(struct end *e)
{
    link_destroy(e->link, false);
    e->link = NULL;
    sbuf_finish(&e->got);
}

/* A connected pair; TCP, as the real ones are. SEGMENT: bytes, 0 loopback's own. */
static inline void make_pair_of(int fd[2], int segment)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (segment) {
        setsockopt(l, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
        setsockopt(fd[0], IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    CHECK(l >= 0 && fd[0] >= 0 && bind(l, (struct sockaddr *)&a, sizeof a) == 0 &&
          listen(l, 1) == 0 && getsockname(l, (struct sockaddr *)&a, &n) == 0 &&
          connect(fd[0], (struct sockaddr *)&a, sizeof a) == 0);
    fd[1] = accept(l, NULL, NULL);
    CHECK(fd[1] >= 0);
    close(l);
    for (int i = 0; i < 2; i++) { /* as the listener and the dialer make theirs */
        int on = 1;
        fcntl(fd[i], F_SETFL, O_NONBLOCK);
        setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

static inline void make_pair(int fd[2])
{
    make_pair_of(fd, 0);
}

/* An Ethernet's: with loopback's 64 KiB, small buffers would wait for the kernel's window probes.
 */
#define SMALL_SEGMENT 1460

static inline void small_buffers(int fd)
{
    int n = 8192;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n);
}

/* Turns the loop until COND, five seconds at most. */
#define TURN_UNTIL(r, cond)                                                                        \
    do {                                                                                           \
        uint64_t start_ = clock_mono_ms();                                                         \
        while (!(cond)) {                                                                          \
            if (clock_mono_ms() - start_ > 20000)                                                  \
                fail_msg("waited in vain for %s", #cond);                                          \
            event_base_loop((r)->loop->base, EVLOOP_ONCE);                                         \
        }                                                                                          \
    } while (0)

/* All that is ready now, and a little more. */
static inline void turn(struct rig *r, unsigned ms)
{
    uint64_t start = clock_mono_ms();
    do {
        event_base_loop(r->loop->base, EVLOOP_NONBLOCK);
        poll(NULL, 0, 1);
    } while (clock_mono_ms() - start < ms);
}

static inline SSL_CTX *make_server_ctx(X509 **ret_cert)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    CHECK(key && x && ctx);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"host.test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:host.test");
    CHECK(ext && X509_add_ext(x, ext, -1) && X509_sign(x, key, EVP_sha256()));
    X509_EXTENSION_free(ext);
    CHECK(SSL_CTX_use_certificate(ctx, x) && SSL_CTX_use_PrivateKey(ctx, key));
    EVP_PKEY_free(key);
    *ret_cert = x;
    return ctx;
}

#define RIG_TLS_MODES                                                                              \
    (SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS)

static inline void rig_open(struct rig *r)
{
    X509 *cert = NULL;
    signal(SIGPIPE, SIG_IGN);
    CHECK(loop_create(&r->loop) == ERR_OK);
    r->server = make_server_ctx(&cert);
    r->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(r->client, SSL_VERIFY_PEER, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(r->client), cert);
    X509_free(cert);
    SSL_CTX_set_mode(r->client, RIG_TLS_MODES);
    SSL_CTX_set_mode(r->server, RIG_TLS_MODES);
}

static inline void rig_close(struct rig *r)
{
    turn(r, 5);
    SSL_CTX_free(r->server);
    SSL_CTX_free(r->client);
    loop_destroy(r->loop);
}

static inline enum err start_tls(struct rig *r, struct end *e, bool is_server)
{
    SSL *ssl = SSL_new(is_server ? r->server : r->client);
    CHECK(ssl);
    if (!is_server)
        SSL_set1_host(ssl, "host.test");
    e->ready = 0;
    return link_start_tls(e->link, ssl, is_server, NULL, 0);
}

/* Bytes that tell when one is missing or doubled. */
static inline void fill(unsigned char *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (unsigned char)(seed >> 24);
    }
}

#endif
