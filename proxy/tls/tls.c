/* A worker's set of contexts: what server and client side share, and words for failures. */
#include "tls/tls.h"

#include "base/mem.h"
#include "tls/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>

/* With these every cipher is AEAD with forward secrecy; TLS 1.3 keeps OpenSSL's own order. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS "X25519:P-256:P-384"

/* ---- slots ---- */

static int slots[SLOT_COUNT];
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

static void free_text(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    mem_free(p);
}

static void make_slots(void)
{
    slots[SLOT_CTX_HOST] = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_text);
    slots[SLOT_SNI] = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    slots[SLOT_OUTER] = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    slots[SLOT_SESSION_KEY] = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_text);
}

int tls_slot(enum tls_slot slot)
{
    return slots[slot];
}

/* ---- contexts ---- */

SSL_CTX *tls_ctx_new(const SSL_METHOD *method, struct tls_ctxs *t)
{
    char groups[] = GROUPS;
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    /* SSL_OP_IGNORE_UNEXPECTED_EOF stays off: a cut answer must look cut. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_app_data(ctx, t);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) == 1 &&
        SSL_CTX_set1_groups_list(ctx, groups) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

enum err tls_ctxs_create(const struct tls_conf *c, struct tls_ctxs **ret, struct errmsg *msg)
{
    pthread_once(&slots_once, make_slots);
    struct tls_ctxs *t = mem_calloc(1, sizeof *t);
    if (!t)
        return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    t->leaves = c->leaves;
    enum err e = ERR_OK;
    if (t->leaves && (e = server_ctxs_init(t)) != ERR_OK)
        err_set(msg, e, "cannot prepare TLS towards clients");
    if (e == ERR_OK)
        e = client_ctx_init(t, c->upstream_ca_file, msg);
    ERR_clear_error();
    if (e == ERR_OK)
        *ret = t;
    else
        tls_ctxs_destroy(t);
    return e;
}

void tls_ctxs_destroy(struct tls_ctxs *t)
{
    if (!t)
        return;
    lru_destroy(t->servers);
    if (t->client)
        SSL_CTX_set_app_data(t->client, NULL); /* a connection may outlive us */
    SSL_CTX_free(t->client);
    lru_destroy(t->sessions);
    EVP_PKEY_free(t->leaf_key);
    EVP_CIPHER_free(t->ticket_cipher);
    mem_wipe(&t->tickets, sizeof t->tickets);
    mem_free(t);
}

/* ---- words ---- */

static const struct {
    int reason;
    const char *word;
} words[] = {
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "unknown_ca"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "bad_certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "certificate_unknown"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "certificate_expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "certificate_revoked"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "unsupported_certificate"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "handshake_failure"},
    {SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER, "illegal_parameter"},
    {SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE, "unexpected_message"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, "access_denied"},
    {SSL_R_TLSV1_ALERT_DECODE_ERROR, "decode_error"},
    {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, "decrypt_error"},
    {SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, "insufficient_security"},
    {SSL_R_TLSV1_ALERT_INTERNAL_ERROR, "peer_internal_error"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "protocol_version"},
    {SSL_R_TLSV1_ALERT_USER_CANCELLED, "user_cancelled"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, "unrecognized_name"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "certificate_required"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "protocol_version"},
    {SSL_R_NO_SHARED_CIPHER, "no_shared_cipher"},
    {SSL_R_NO_SHARED_GROUPS, "no_shared_group"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
    {SSL_R_HTTP_REQUEST, "plain_http"},
    {SSL_R_HTTPS_PROXY_REQUEST, "plain_http"},
    {SSL_R_WRONG_VERSION_NUMBER, "not_tls"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, "connection_closed"},
};

static const char *word_of(const SSL *ssl, unsigned long code)
{
    if (ERR_SYSTEM_ERROR(code))
        return "connection_lost";
    int reason = ERR_GET_REASON(code);
    if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
        /* OpenSSL's sentence says which rule the certificate broke; it is a constant too. */
        if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
            return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (words[i].reason == reason)
                return words[i].word;
    }
    const char *known = ERR_reason_error_string(code);
    return known ? known : "tls_failure";
}

const char *tls_failure(const SSL *ssl, int ssl_error)
{
    unsigned long code = ERR_peek_error();
    const char *word = "tls_failure";
    if (ssl_error == SSL_ERROR_ZERO_RETURN)
        word = "connection_closed";
    else if (code)
        word = word_of(ssl, code);
    else if (ssl_error == SSL_ERROR_SYSCALL)
        word = "connection_lost";
    ERR_clear_error();
    return word;
}

bool tls_is_distrust(const char *word)
{
    static const char *const alerts[] = {"unknown_ca",          "bad_certificate",
                                         "certificate_unknown", "certificate_expired",
                                         "certificate_revoked", "unsupported_certificate"};
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
        if (strcmp(word, alerts[i]) == 0)
            return true;
    return false;
}

bool tls_sni_matches(const SSL *ssl, struct slice host)
{
    if (SSL_get_ex_data(ssl, tls_slot(SLOT_SNI)))
        return false;
    const char *sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return !sent || slice_ieq(slice_of(sent), host);
}

void tls_set_outer(SSL *ssl)
{
    static char outer;
    SSL_set_ex_data(ssl, tls_slot(SLOT_OUTER), &outer);
}

bool tls_chose_h2(const SSL *ssl)
{
    const unsigned char *p = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl, &p, &n);
    return n == 2 && memcmp(p, "h2", 2) == 0;
}
