/* Towards upstreams: verification is always on, and sessions are kept for the next dial. */
#include "base/mem.h"
#include "tls/tls_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

static const unsigned char both_alpn[] = "\x02h2\x08http/1.1";
static const unsigned char h1_alpn[] = "\x08http/1.1";

static void session_free(void *p)
{
    SSL_SESSION_free(p);
}

/* OpenSSL hands over one reference when we return 1. */
static int on_session(SSL *ssl, SSL_SESSION *s)
{
    struct tls_ctxs *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *key = SSL_get_ex_data(ssl, tls_slot(SLOT_SESSION_KEY));
    if (!t || !key || SSL_SESSION_is_resumable(s) != 1)
        return 0;
    /* On failure the map has freed it, which is what returning 1 promises too. */
    (void)!lru_put(t->sessions, slice_of(key), s);
    return 1;
}

static bool load_roots(SSL_CTX *ctx, const char *ca_file)
{
    if (ca_file && *ca_file)
        return SSL_CTX_load_verify_file(ctx, ca_file) == 1;
    return SSL_CTX_set_default_verify_paths(ctx) == 1;
}

enum err client_ctx_init(struct tls_ctxs *t, const char *ca_file, struct errmsg *msg)
{
    enum err e = lru_create(SESSIONS_MAX, session_free, &t->sessions);
    if (e != ERR_OK)
        return err_set(msg, e, "%s", err_str(e));
    t->client = tls_ctx_new(TLS_client_method(), t);
    if (!t->client)
        return err_set(msg, ERR_CRYPTO, "cannot prepare TLS towards upstreams");
    if (!load_roots(t->client, ca_file))
        return err_set(msg, ERR_CONFIG, "upstream.ca_file %s holds no readable PEM certificates",
                       ca_file && *ca_file ? ca_file : "(the system's)");
    SSL_CTX_set_verify(t->client, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(t->client),
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    SSL_CTX_set_session_cache_mode(t->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->client, on_session);
    return ERR_OK;
}

SSL_CTX *tls_client_ctx(struct tls_ctxs *t)
{
    return t->client;
}

/* Names go into SNI; addresses may not (RFC 6066 3). */
static bool expect_host(SSL *ssl, char *host)
{
    unsigned char addr[16];
    if (inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool offer_protocols(SSL *ssl, bool h2)
{
    return (h2 ? SSL_set_alpn_protos(ssl, both_alpn, sizeof both_alpn - 1)
               : SSL_set_alpn_protos(ssl, h1_alpn, sizeof h1_alpn - 1)) == 0;
}

/* The host is part of the key: a resumed session is not verified again. */
static bool offer_session(struct tls_ctxs *t, SSL *ssl, struct slice host, struct slice session_key)
{
    char *key = mem_alloc(host.n + session_key.n + 2);
    if (!key)
        return false;
    memcpy(key, host.p, host.n);
    key[host.n] = ' ';
    memcpy(key + host.n + 1, session_key.p, session_key.n);
    key[host.n + 1 + session_key.n] = '\0';
    if (SSL_set_ex_data(ssl, tls_slot(SLOT_SESSION_KEY), key) != 1) {
        mem_free(key);
        return false;
    }
    SSL_SESSION *s = lru_get(t->sessions, slice_of(key));
    return !s || SSL_set_session(ssl, s) == 1;
}

enum err tls_client_new(struct tls_ctxs *t, struct slice host, struct slice session_key, bool h2,
                        SSL **ret)
{
    char name[256];
    if (host.n == 0 || !slice_copy(host, name, sizeof name))
        return ERR_INVALID;
    SSL *ssl = SSL_new(t->client);
    if (!ssl)
        return ERR_NOMEM;
    SSL_set_connect_state(ssl);
    if (!expect_host(ssl, name) || !offer_session(t, ssl, host, session_key) ||
        !offer_protocols(ssl, h2)) {
        SSL_free(ssl);
        ERR_clear_error();
        return ERR_NOMEM;
    }
    *ret = ssl;
    return ERR_OK;
}
