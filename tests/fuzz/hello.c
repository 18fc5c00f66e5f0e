/* room: tls */
/* drives: proxy/tls/hello.c */
/* The first byte says how many of the rest are an SNI extension; what remains is a list for ALPN. A
 * name that OpenSSL takes out of a real ClientHello with them is the name that we saw, and what it
 * lets through of the list has our protocol when, and only when, we say so. */
#include "tls/hello.h"

#include "base/check.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char proto[] = "\x08http/1.1";
static struct slice host;

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *p;
    size_t n;
    (void)alert;
    (void)arg;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) == 1)
        host = hello_host(p, n);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    (void)arg;
    CHECK(!name || slice_eq(slice_of(name), host));
    return SSL_TLSEXT_ERR_OK;
}

/* Protocols one by one, as the RFC says. */
static bool has_proto(const unsigned char *p, unsigned n)
{
    unsigned at = 0;
    while (at < n) {
        if (p[at] == proto[0] && n - at > proto[0] && !memcmp(p + at + 1, proto + 1, proto[0]))
            return true;
        at += p[at] + 1u;
    }
    return false;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned in_n, void *arg)
{
    (void)ssl;
    (void)arg;
    CHECK(hello_offers(in, in_n, proto) == has_proto(in, in_n));
    *out = proto + 1;
    *out_n = proto[0];
    return has_proto(in, in_n) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context(void)
{
    static SSL_CTX *ctx;
    if (!ctx) {
        ctx = SSL_CTX_new(TLS_server_method());
        CHECK(ctx && SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1);
        CHECK(SSL_CTX_set_cipher_list(ctx, "ADH-AES128-SHA256:@SECLEVEL=0") == 1);
        SSL_CTX_set_dh_auto(ctx, 1);
        SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
        SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    }
    return ctx;
}

static size_t put16(unsigned char *p, size_t v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
    return 2;
}

static size_t extension(unsigned char *to, unsigned type, const uint8_t *p, size_t n)
{
    put16(to, type);
    put16(to + 2, n);
    memcpy(to + 4, p, n);
    return n + 4;
}

/* A record with one ClientHello of TLS 1.2. */
static size_t hello(unsigned char *to, const uint8_t *sni, size_t sni_n, const uint8_t *alpn,
                    size_t alpn_n)
{
    size_t n = 9;
    n += put16(to + n, TLS1_2_VERSION);
    memset(to + n, 7, 32);
    n += 32;
    to[n++] = 0;
    n += put16(to + n, 2);
    n += put16(to + n, 0x006c); /* ADH-AES128-SHA256 */
    to[n++] = 1;
    to[n++] = 0;
    size_t at = n;
    n += 2;
    n += extension(to + n, TLSEXT_TYPE_server_name, sni, sni_n);
    if (alpn_n)
        n += extension(to + n, TLSEXT_TYPE_application_layer_protocol_negotiation, alpn, alpn_n);
    put16(to + at, n - at - 2);
    to[0] = 22;
    put16(to + 1, TLS1_2_VERSION);
    put16(to + 3, n - 5);
    to[5] = 1;
    to[6] = 0;
    put16(to + 7, n - 9);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char record[4096];
    if (size < 1 || size > 2048)
        return 0;
    size_t n = data[0] < size - 1 ? data[0] : size - 1;
    const uint8_t *sni = data + 1, *alpn = data + 1 + n;
    host = hello_host(sni, n);
    CHECK(host.n == 0 || (host.p >= (const char *)sni && host.p + host.n <= (const char *)sni + n));
    (void)hello_offers(alpn, size - 1 - n, proto);
    SSL *ssl = SSL_new(context());
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    CHECK(ssl && in && out);
    SSL_set_bio(ssl, in, out);
    size_t total = hello(record, sni, n, alpn, size - 1 - n);
    CHECK(BIO_write(in, record, (int)total) == (int)total);
    (void)SSL_accept(ssl);
    ERR_clear_error();
    SSL_free(ssl);
    return 0;
}
