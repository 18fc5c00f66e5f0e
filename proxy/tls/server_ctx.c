/* Towards clients: one ready context for each host, with its leaf; tickets under keys that all
 * workers share. */
#include "base/clock.h"
#include "base/crypto_heap.h"
#include "base/mem.h"
#include "base/seal.h"
#include "tls/hello.h"
#include "tls/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/sha.h>

struct server_entry {
    SSL_CTX *ctx;
    int64_t renew_at; /* Unix s: a fresh leaf is due */
    uint64_t hits;    /* not yet reported */
};

static void entry_free(void *p)
{
    struct server_entry *e = p;
    SSL_CTX_free(e->ctx);
    mem_free(e);
}

enum err server_ctxs_init(struct tls_ctxs *t)
{
    t->leaf_key = EVP_PKEY_dup(leaf_cache_key(t->leaves));
    t->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!t->leaf_key || !t->ticket_cipher)
        return ERR_CRYPTO;
    return lru_create(SERVER_CTXS_MAX, entry_free, &t->servers);
}

/* ---- callbacks of the handshake ---- */

/* Protocols that we speak, the best first, each with its length before it. curl --http1.0 offers
 * the last one alone. */
static const unsigned char server_alpn[] = "\x02h2\x08http/1.1\x08http/1.0";
static const unsigned char *const only_h1 = server_alpn + 3;

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned in_n, void *arg)
{
    (void)arg;
    bool is_outer = SSL_get_ex_data(ssl, tls_slot(SLOT_OUTER)) != NULL;
    for (const unsigned char *p = is_outer ? only_h1 : server_alpn; *p; p += 1 + *p) {
        if (hello_offers(in, in_n, p)) {
            *out = p + 1;
            *out_n = *p;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol (RFC 7301 3.2) */
}

/* Looked at here and not by SSL_get_servername alone: that forgets the name on a resumed TLS 1.2
 * connection. */
/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's signature */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    const unsigned char *p;
    size_t n;
    const char *host = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tls_slot(SLOT_CTX_HOST));
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) == 1 &&
        !slice_ieq(hello_host(p, n), slice_of(host))) {
        static char other;
        SSL_set_ex_data(ssl, tls_slot(SLOT_SNI), &other);
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static bool start_ticket_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Two generations: tickets of the keys before are still read, and renewed. Returns as the manual
 * page says. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_new)
{
    struct tls_ctxs *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key *k = &t->tickets.now;
    /* A TLS 1.3 ticket is for one use: who resumes gets the next one (RFC 8446 C.4). */
    int known = is_new || SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
    if (is_new) {
        memcpy(name, k->name, sizeof k->name);
        random_bytes(iv, (size_t)EVP_CIPHER_get_iv_length(t->ticket_cipher));
    } else if (memcmp(name, k->name, sizeof k->name) != 0) {
        k = &t->tickets.before;
        known = 2;
        if (t->tickets.version < 2 || memcmp(name, k->name, sizeof k->name) != 0)
            return 0;
    }
    if (EVP_CipherInit_ex2(cipher, t->ticket_cipher, k->cipher, iv, is_new, NULL) != 1 ||
        !start_ticket_mac(mac, k))
        return -1;
    return known;
}

/* ---- contexts ---- */

static bool bind_host(SSL_CTX *ctx, struct slice host)
{
    unsigned char id[SHA256_DIGEST_LENGTH];
    char *copy = mem_dupn(host.p, host.n);
    if (!copy || SSL_CTX_set_ex_data(ctx, tls_slot(SLOT_CTX_HOST), copy) != 1) {
        mem_free(copy);
        return false;
    }
    SHA256((const unsigned char *)host.p, host.n, id);
    return SSL_CTX_set_session_id_context(ctx, id, sizeof id) == 1;
}

/* A copy, for the reason that leaf_key is one. */
static bool use_leaf(SSL_CTX *ctx, struct tls_ctxs *t, X509 *leaf)
{
    X509 *own = X509_dup(leaf);
    bool ok = own && SSL_CTX_use_certificate(ctx, own) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, t->leaf_key) == 1;
    X509_free(own);
    return ok;
}

static SSL_CTX *build(struct tls_ctxs *t, struct slice host, X509 *leaf)
{
    SSL_CTX *ctx = tls_ctx_new(TLS_server_method(), t);
    if (!ctx)
        return NULL;
    /* Clients send credentials: what they were read into is wiped when it is given back. */
    if (crypto_heap_wipes())
        SSL_CTX_set_default_read_buffer_len(ctx, CRYPTO_WIPED_BYTES);
    else
        SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    if (bind_host(ctx, host) && use_leaf(ctx, t, leaf) && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static enum err make_entry(struct tls_ctxs *t, struct slice host, struct server_entry **ret)
{
    X509 *leaf = NULL;
    int64_t renew_at;
    enum err err = leaf_get_until(t->leaves, host, &leaf, &renew_at);
    if (err != ERR_OK)
        return err;
    struct server_entry *e = mem_calloc(1, sizeof *e);
    if (e) {
        e->renew_at = renew_at;
        e->ctx = build(t, host, leaf);
    }
    X509_free(leaf);
    if (!e || !e->ctx) {
        mem_free(e);
        return ERR_NOMEM;
    }
    *ret = e;
    return lru_put(t->servers, host, e);
}

enum err tls_server_ctx(struct tls_ctxs *t, struct slice host, SSL_CTX **ret)
{
    if (!t->leaves)
        return ERR_DENIED;
    leaf_cache_tickets(t->leaves, &t->tickets);
    struct server_entry *e = lru_get(t->servers, host);
    if (!e || clock_wall_s() >= e->renew_at) {
        enum err err = make_entry(t, host, &e);
        if (err != ERR_OK)
            return err;
    } else {
        e->hits++;
        t->unreported++;
    }
    *ret = e->ctx;
    return ERR_OK;
}

static bool report_entry(void *arg, struct slice host, void *value)
{
    struct tls_ctxs *t = arg;
    struct server_entry *e = value;
    if (e->hits)
        leaf_cache_add_hits(t->leaves, host, e->hits);
    e->hits = 0;
    return true;
}

void tls_report_hits(struct tls_ctxs *t)
{
    if (t->unreported)
        lru_each(t->servers, report_entry, t);
    t->unreported = 0;
}
