#include "base/clock.h"
#include "base/mem.h"
#include "keys/ca.h"
#include "keys/keeper.h"
#include "keys/keys_internal.h"
#include "tls/tls.h"
#include "unit/keys/make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define HOST "api.anthropic.com"
#define HOST2 "generativelanguage.googleapis.com"

static char dir[512], cert[600], key[600];
static struct ca *ca;
static struct keeper *keeper;
static struct leaf_cache *leaves;
static struct tls_ctxs *w1, *w2; /* two workers */
static int minted;

/* ---- a keeper without store ---- */

static enum err fake_leaf(void *self, struct slice host, EVP_PKEY *leaf_key, X509 **ret)
{
    minted++;
    return leaf_sign(ca_cert(ca), ca_key(ca), host, leaf_key, 9, ret);
}

static void fake_destroy(void *self)
{
}

static const struct keeper_ops ops = {.sign_leaf = fake_leaf, .destroy = fake_destroy};

static int setup(void **state)
{
    static const char *const domains[] = {"googleapis.com", "anthropic.com", "127.0.0.1"};
    snprintf(dir, sizeof dir, "%s", make_dir());
    snprintf(cert, sizeof cert, "%s/ca.pem", dir);
    snprintf(key, sizeof key, "%s/ca.key", dir);
    struct ca_params p = {.permitted = domains, .permitted_count = 3};
    if (ca_create(&p, cert, key, NULL) != ERR_OK || ca_load(cert, key, &ca, NULL) != ERR_OK ||
        keeper_wrap(&ops, NULL, ca_pem(ca), &keeper) != ERR_OK ||
        leaf_cache_create(keeper, &leaves, NULL) != ERR_OK)
        return -1;
    struct tls_conf c = {leaves, cert};
    minted = 0;
    return tls_ctxs_create(&c, &w1, NULL) == ERR_OK && tls_ctxs_create(&c, &w2, NULL) == ERR_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    clock_unset_fake();
    tls_ctxs_destroy(w1);
    tls_ctxs_destroy(w2);
    leaf_cache_destroy(leaves);
    keeper_destroy(keeper);
    ca_destroy(ca);
    remove_dir(dir);
    return 0;
}

/* ---- two ends in one program ---- */

struct pair {
    SSL *s, *c;
    const char *server_word, *client_word; /* why it failed */
    bool ok;
};

static void step(SSL *ssl, bool *done, const char **word)
{
    if (*done || *word)
        return;
    ERR_clear_error();
    int rc = SSL_do_handshake(ssl);
    int why = SSL_get_error(ssl, rc);
    *done = rc == 1;
    if (rc != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        *word = tls_failure(ssl, why);
}

/* S and C are owned from here on. */
static struct pair shake(SSL *s, SSL *c)
{
    struct pair p = {.s = s, .c = c};
    BIO *sb, *cb;
    assert_int_equal(BIO_new_bio_pair(&sb, 65536, &cb, 65536), 1);
    SSL_set_bio(s, sb, sb);
    SSL_set_bio(c, cb, cb);
    SSL_set_accept_state(s);
    SSL_set_connect_state(c);
    bool s_done = false, c_done = false;
    for (int i = 0; i < 20 && !(s_done && c_done); i++) {
        step(c, &c_done, &p.client_word);
        step(s, &s_done, &p.server_word);
    }
    char byte;
    if (c_done && !p.server_word) { /* takes the tickets, or the alert that comes late in TLS 1.3 */
        ERR_clear_error();
        int rc = SSL_read(c, &byte, 1);
        if (SSL_get_error(c, rc) != SSL_ERROR_WANT_READ)
            p.client_word = tls_failure(c, SSL_get_error(c, rc));
    }
    p.ok = s_done && c_done && !p.client_word && !p.server_word;
    return p;
}

static void close_pair(struct pair *p)
{
    SSL_shutdown(p->c);
    SSL_free(p->s);
    SSL_free(p->c);
    ERR_clear_error();
}

static SSL *server(struct tls_ctxs *w, const char *host)
{
    SSL_CTX *ctx = NULL;
    assert_int_equal(tls_server_ctx(w, slice_of(host), &ctx), ERR_OK);
    return SSL_new(ctx);
}

/* A client that trusts our CA, as curl would be. */
static SSL *client(const char *sni, int max_version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_file(ctx, cert);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (max_version) {
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_max_proto_version(ctx, max_version);
    }
    SSL *c = SSL_new(ctx);
    if (sni)
        SSL_set_tlsext_host_name(c, sni);
    SSL_CTX_free(ctx);
    return c;
}

/* ---- towards clients ---- */

static void a_handshake_uses_the_best_that_openssl_has(void **state)
{
    SSL *c = client(HOST, 0);
    SSL_set1_host(c, HOST);
    struct pair p = shake(server(w1, HOST), c);
    assert_true(p.ok);
    assert_string_equal(SSL_get_version(p.c), "TLSv1.3");
    assert_string_equal(SSL_get_cipher_name(p.c), "TLS_AES_256_GCM_SHA384");
    assert_int_equal(SSL_get_negotiated_group(p.s), NID_X25519);
    assert_true(tls_sni_matches(p.s, SLICE(HOST)));
    assert_false(tls_sni_matches(p.s, SLICE(HOST2)));
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(p.c)), 1);
    const long modes = SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
    assert_int_equal(SSL_get_mode(p.s) & modes, modes);
    assert_true(SSL_get_options(p.s) & SSL_OP_NO_RENEGOTIATION);
    assert_false(SSL_get_options(p.s) & SSL_OP_IGNORE_UNEXPECTED_EOF);
    close_pair(&p);
}

static void old_versions_are_refused(void **state)
{
    struct pair p = shake(server(w1, HOST), client(HOST, TLS1_1_VERSION));
    assert_false(p.ok);
    assert_string_equal(p.server_word, "protocol_version");
    assert_string_equal(p.client_word, "protocol_version");
    close_pair(&p);
    p = shake(server(w1, HOST), client(HOST, TLS1_2_VERSION));
    assert_true(p.ok);
    assert_string_equal(SSL_get_version(p.c), "TLSv1.2");
    close_pair(&p);
}

static void alpn_is_the_servers_choice(void **state)
{
    static const struct {
        const char *offer, *chosen; /* chosen NULL: refused */
    } v[] = {{"", ""},
             {"\x08http/1.1", "http/1.1"},
             {"\x02h2\x08http/1.1", "h2"},
             {"\x08http/1.1\x02h2", "h2"}, /* undici and httpx say so and mean either */
             {"\x02h2", "h2"},
             {"\x08grpc-exp\x02h2", "h2"},
             {"\x03h2c", NULL},
             {"\x08http/1.0", "http/1.0"},
             {"\x08http/1.0\x08http/1.1", "http/1.1"},
             {"\x08http/1.2", NULL},
             {"\x07http/1.", NULL}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        SSL *c = client(HOST, 0);
        if (*v[i].offer)
            SSL_set_alpn_protos(c, (const unsigned char *)v[i].offer, (unsigned)strlen(v[i].offer));
        struct pair p = shake(server(w1, HOST), c);
        assert_int_equal(p.ok, v[i].chosen != NULL);
        if (!v[i].chosen) {
            assert_string_equal(p.server_word, "no_application_protocol");
            assert_string_equal(p.client_word, "no_application_protocol");
        } else {
            const unsigned char *got = NULL;
            unsigned n = 0;
            SSL_get0_alpn_selected(p.s, &got, &n);
            assert_true(slice_eq(slice_make(n ? (const char *)got : "", n), slice_of(v[i].chosen)));
            assert_int_equal(tls_chose_h2(p.s), n == 2);
            assert_int_equal(tls_chose_h2(p.c), n == 2);
        }
        close_pair(&p);
    }
}

/* CONNECT over HTTP/2 is not spoken: on the proxy port HTTP/1 is chosen. */
static void on_the_proxy_port_http1_is_chosen(void **state)
{
    static const char *const offers[] = {"\x02h2\x08http/1.1", "\x08http/1.1\x02h2", "\x02h2"};
    for (int i = 0; i < 3; i++) {
        SSL *c = client(HOST, 0), *s = server(w1, HOST);
        SSL_set_alpn_protos(c, (const unsigned char *)offers[i], (unsigned)strlen(offers[i]));
        tls_set_outer(s);
        struct pair p = shake(s, c);
        assert_int_equal(p.ok, i < 2);
        assert_false(p.ok && tls_chose_h2(p.s));
        close_pair(&p);
    }
}

static void a_foreign_sni_is_seen(void **state)
{
    struct pair p = shake(server(w1, HOST), client("API.Anthropic.COM", 0));
    assert_true(p.ok && tls_sni_matches(p.s, SLICE(HOST)));
    close_pair(&p);
    p = shake(server(w1, HOST), client(NULL, 0));
    assert_true(p.ok && tls_sni_matches(p.s, SLICE(HOST)));
    close_pair(&p);
    p = shake(server(w1, HOST), client("evil.example", 0));
    assert_true(p.ok);
    assert_false(tls_sni_matches(p.s, SLICE(HOST)));
    close_pair(&p);
}

static bool resumes(struct tls_ctxs *w, const char *host, SSL_SESSION *sess, const char *sni,
                    int max, struct pair *ret)
{
    SSL *c = client(sni, max);
    SSL_set_session(c, sess);
    *ret = shake(server(w, host), c);
    assert_true(ret->ok);
    return SSL_session_reused(ret->s) == 1;
}

static SSL_SESSION *ticket(struct tls_ctxs *w, int max)
{
    struct pair p = shake(server(w, HOST), client(HOST, max));
    assert_true(p.ok);
    SSL_SESSION *sess = SSL_get1_session(p.c);
    assert_true(SSL_SESSION_is_resumable(sess));
    close_pair(&p);
    return sess;
}

static void who_resumes_gets_the_next_ticket(void **state)
{
    SSL_SESSION *sess = ticket(w1, TLS1_3_VERSION);
    for (int i = 0; i < 3; i++) {
        struct pair p;
        assert_true(resumes(w1, HOST, sess, HOST, TLS1_3_VERSION, &p));
        SSL_SESSION *next = SSL_get1_session(p.c);
        assert_true(next != sess && SSL_SESSION_is_resumable(next));
        close_pair(&p);
        SSL_SESSION_free(sess);
        sess = next;
    }
    SSL_SESSION_free(sess);
}

static void tickets_work_on_every_worker_until_the_second_rotation(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct pair p;
        SSL_SESSION *sess = ticket(w1, versions[i]);
        assert_true(resumes(w2, HOST, sess, HOST, versions[i], &p));
        close_pair(&p);
        leaf_cache_rotate_tickets(leaves);
        assert_true(resumes(w1, HOST, sess, HOST, versions[i], &p));
        close_pair(&p);
        leaf_cache_rotate_tickets(leaves);
        assert_false(resumes(w2, HOST, sess, HOST, versions[i], &p));
        close_pair(&p);
        SSL_SESSION_free(sess);
    }
}

static void a_session_of_one_host_does_not_open_another(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct pair p;
        SSL_SESSION *sess = ticket(w1, versions[i]);
        SSL *c = client(HOST2, versions[i]);
        SSL_set_session(c, sess);
        p = shake(server(w1, HOST2), c);
        assert_false(p.ok && SSL_session_reused(p.s));
        close_pair(&p);
        SSL_SESSION_free(sess);
    }
}

static void a_foreign_sni_is_seen_on_resumption_too(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct pair p;
        SSL_SESSION *sess = ticket(w1, versions[i]);
        resumes(w1, HOST, sess, "evil.example", versions[i], &p);
        assert_false(tls_sni_matches(p.s, SLICE(HOST)));
        close_pair(&p);
        SSL_SESSION_free(sess);
    }
}

static int tickets_seen;

static int count_ticket(SSL *ssl, SSL_SESSION *s)
{
    tickets_seen++;
    return 0;
}

static void one_ticket_a_connection(void **state)
{
    SSL *c = client(HOST, 0);
    SSL_CTX_set_session_cache_mode(SSL_get_SSL_CTX(c), SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(SSL_get_SSL_CTX(c), count_ticket);
    tickets_seen = 0;
    struct pair p = shake(server(w1, HOST), c);
    assert_true(p.ok);
    assert_int_equal(tickets_seen, 1);
    close_pair(&p);
}

static void a_client_without_our_ca_is_named(void **state)
{
    SSL *c = client(HOST, 0);
    X509_STORE *empty = X509_STORE_new();
    SSL_set1_verify_cert_store(c, empty);
    X509_STORE_free(empty);
    struct pair p = shake(server(w1, HOST), c);
    assert_false(p.ok);
    assert_string_equal(p.server_word, "unknown_ca");
    assert_string_equal(p.client_word, "unable to get local issuer certificate");
    close_pair(&p);
}

static void words_for_what_is_no_tls(void **state)
{
    static const struct {
        const char *bytes, *word;
    } v[] = {{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plain_http"},
             {"SSH-2.0-x\r\n\r\n\r\n\r\n", "not_tls"}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        SSL *s = server(w1, HOST);
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        BIO_write(in, v[i].bytes, (int)strlen(v[i].bytes));
        SSL_set_bio(s, in, out);
        SSL_set_accept_state(s);
        ERR_clear_error();
        int rc = SSL_do_handshake(s);
        assert_string_equal(tls_failure(s, SSL_get_error(s, rc)), v[i].word);
        assert_int_equal(ERR_peek_error(), 0);
        SSL_free(s);
    }
}

/* ---- leaves and contexts kept ---- */

static void a_leaf_is_made_once_and_again_near_its_end(void **state)
{
    X509 *a = NULL, *b = NULL;
    int64_t now = clock_wall_ms();
    clock_set_fake(1000, now);
    assert_int_equal(leaf_get(leaves, SLICE(HOST), &a), ERR_OK);
    assert_int_equal(leaf_get(leaves, SLICE(HOST), &b), ERR_OK);
    assert_ptr_equal(a, b);
    assert_int_equal(minted, 1);
    X509_free(b);
    SSL_CTX *first = NULL, *again = NULL;
    assert_int_equal(tls_server_ctx(w1, SLICE(HOST), &first), ERR_OK);
    clock_advance_fake(5 * 86400000L);
    assert_int_equal(tls_server_ctx(w1, SLICE(HOST), &again), ERR_OK);
    assert_ptr_equal(first, again);
    clock_advance_fake(86400000L + 3600000L);
    assert_int_equal(tls_server_ctx(w1, SLICE(HOST), &again), ERR_OK);
    assert_int_equal(minted, 2);
    assert_int_equal(leaf_get(leaves, SLICE(HOST), &b), ERR_OK);
    assert_ptr_not_equal(a, b);
    assert_int_equal(minted, 2);
    X509_free(a);
    X509_free(b);
}

static char looked[256];

static void note_leaf(void *arg, const struct leaf_facts *f)
{
    size_t n = strlen(looked);
    assert_ptr_equal(arg, leaves);
    assert_true(f->expires_at > f->signed_at);
    snprintf(looked + n, sizeof looked - n, "%.*s:%llu ", (int)f->host.n, f->host.p,
             (unsigned long long)f->hits);
}

static struct leaf_sums look(size_t limit)
{
    struct leaf_sums sums;
    looked[0] = '\0';
    leaf_cache_look(leaves, limit, note_leaf, leaves, &sums);
    return sums;
}

static void leaves_know_how_often_they_were_ready(void **state)
{
    SSL_CTX *ctx = NULL;
    assert_int_equal(look(10).cached, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(tls_server_ctx(w1, SLICE(HOST), &ctx), ERR_OK);
    struct leaf_sums sums = look(10);
    assert_string_equal(looked, HOST ":0 "); /* not told yet */
    assert_int_equal(sums.signed_count, 1);
    tls_report_hits(w1);
    tls_report_hits(w1);
    assert_int_equal(tls_server_ctx(w2, SLICE(HOST), &ctx), ERR_OK); /* its first, and ready */
    sums = look(10);
    assert_string_equal(looked, HOST ":5 ");
    assert_int_equal(sums.hits, 5);
    assert_int_equal(sums.cached, 1);
    look(0);
    assert_string_equal(looked, "");
    /* a renewal is a signature more, and forgets nothing */
    clock_set_fake(1000, clock_wall_ms() + 7 * INT64_C(86400000));
    assert_int_equal(tls_server_ctx(w1, SLICE(HOST), &ctx), ERR_OK);
    sums = look(10);
    assert_string_equal(looked, HOST ":5 ");
    assert_int_equal(sums.signed_count, 2);
}

static void alerts_about_our_certificate_are_told_from_others(void **state)
{
    assert_true(tls_is_distrust("unknown_ca"));
    assert_true(tls_is_distrust("bad_certificate"));
    assert_true(tls_is_distrust("certificate_unknown"));
    assert_false(tls_is_distrust("connection_closed"));
    assert_false(tls_is_distrust("protocol_version"));
    assert_false(tls_is_distrust("peer_closed"));
    assert_false(tls_is_distrust(""));
}

static void foreign_hosts_get_no_context(void **state)
{
    SSL_CTX *ctx = NULL;
    assert_int_equal(tls_server_ctx(w1, SLICE("www.example.com"), &ctx), ERR_DENIED);
    assert_int_equal(tls_server_ctx(w1, SLICE(""), &ctx), ERR_INVALID);
    assert_null(ctx);
    assert_int_equal(tls_server_ctx(w1, SLICE("127.0.0.1"), &ctx), ERR_OK);
}

static void many_hosts_stay_within_the_bounds(void **state)
{
    char host[64];
    struct pair p = shake(server(w1, HOST), client(HOST, 0));
    for (int i = 0; i < 300; i++) {
        snprintf(host, sizeof host, "h%d.googleapis.com", i);
        SSL_free(server(w1, host));
    }
    assert_int_equal(minted, 301);
    assert_int_equal(SSL_write(p.s, "x", 1), 1); /* its context is gone from the map, not from it */
    close_pair(&p);
    SSL_free(server(w2, "h299.googleapis.com"));
    SSL_free(server(w2, HOST));
    assert_int_equal(minted, 301); /* leaves are shared, and more of them are kept */
}

static void without_memory_nothing_leaks(void **state)
{
    for (int n = 1; n < 40; n++) {
        SSL_CTX *ctx = NULL;
        SSL *ssl = NULL;
        char host[64];
        snprintf(host, sizeof host, "n%d.googleapis.com", n);
        mem_fail_after(n, 1);
        (void)!tls_server_ctx(w1, slice_of(host), &ctx);
        if (tls_client_new(w1, SLICE(HOST), SLICE("k"), true, &ssl) == ERR_OK)
            SSL_free(ssl);
        mem_fail_after(0, 0);
        assert_int_equal(tls_server_ctx(w1, slice_of(host), &ctx), ERR_OK);
    }
}

/* ---- towards upstreams ---- */

static SSL *upstream(struct tls_ctxs *w, const char *host)
{
    SSL *c = NULL;
    char session_key[300];
    snprintf(session_key, sizeof session_key, "%s:443", host);
    assert_int_equal(tls_client_new(w, slice_of(host), slice_of(session_key), true, &c), ERR_OK);
    return c;
}

/* A server with a certificate of its own making. */
static SSL *odd_server(X509 *x, EVP_PKEY *k)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, x);
    SSL_CTX_use_PrivateKey(ctx, k);
    SSL *s = SSL_new(ctx);
    SSL_CTX_free(ctx);
    return s;
}

static X509 *odd_leaf(EVP_PKEY *k, const char *cn, const char *san, long from_s, long to_s)
{
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    cert_set_serial(x);
    cert_set_times(x, clock_wall_s() + from_s, clock_wall_s() + to_s);
    cert_name_add(X509_get_subject_name(x), "CN", cn);
    X509_set_issuer_name(x, X509_get_subject_name(ca_cert(ca)));
    if (san)
        assert_true(cert_add_ext(x, ca_cert(ca), NID_subject_alt_name, san));
    X509_set_pubkey(x, k);
    X509_sign(x, ca_key(ca), EVP_sha256());
    return x;
}

static void the_right_host_is_accepted_and_its_session_kept(void **state)
{
    struct pair p = shake(server(w2, HOST), upstream(w1, HOST));
    assert_true(p.ok);
    const unsigned char *got = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(p.c, &got, &n);
    assert_true(slice_eq(slice_make((const char *)got, n), SLICE("h2")));
    assert_true(tls_sni_matches(p.s, SLICE(HOST)));
    assert_false(SSL_session_reused(p.c));
    close_pair(&p);
    p = shake(server(w2, HOST), upstream(w1, HOST));
    assert_true(p.ok && SSL_session_reused(p.c));
    close_pair(&p);
    p = shake(server(w2, HOST), upstream(w2, HOST)); /* kept by worker */
    assert_true(p.ok && !SSL_session_reused(p.c));
    close_pair(&p);
}

static void an_address_is_verified_as_one(void **state)
{
    struct pair p = shake(server(w2, "127.0.0.1"), upstream(w1, "127.0.0.1"));
    assert_true(p.ok);
    assert_null(SSL_get_servername(p.s, TLSEXT_NAMETYPE_host_name));
    close_pair(&p);
}

static void wrong_certificates_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *cn, *san;
        long from_s, to_s;
        const char *word;
    } v[] = {{"x", "DNS:" HOST2, -60, 3600, "hostname mismatch"},
             {HOST, NULL, -60, 3600, "hostname mismatch"},
             {"x", "DNS:ap*.anthropic.com", -60, 3600, "hostname mismatch"},
             {"x", "DNS:" HOST, -7200, -3600, "certificate has expired"},
             {"x", "DNS:" HOST, 3600, 7200, "certificate is not yet valid"},
             {"x", "DNS:evil.example,DNS:" HOST, -60, 3600, "permitted subtree violation"},
             {"x", "DNS:*.anthropic.com", -60, 3600, NULL}};
    EVP_PKEY *k = EVP_EC_gen("P-256");
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        X509 *x = odd_leaf(k, v[i].cn, v[i].san, v[i].from_s, v[i].to_s);
        struct pair p = shake(odd_server(x, k), upstream(w1, HOST));
        assert_int_equal(p.ok, v[i].word == NULL);
        if (v[i].word)
            assert_string_equal(p.client_word, v[i].word);
        close_pair(&p);
        X509_free(x);
    }
    EVP_PKEY_free(k);
}

static void only_the_given_roots_count(void **state)
{
    struct tls_ctxs *system_roots = NULL;
    struct errmsg msg;
    assert_int_equal(
        tls_ctxs_create(&(struct tls_conf){.upstream_ca_file = ""}, &system_roots, &msg), ERR_OK);
    struct pair p = shake(server(w1, HOST), upstream(system_roots, HOST));
    assert_false(p.ok);
    assert_string_equal(p.client_word, "unable to get local issuer certificate");
    close_pair(&p);
    SSL_CTX *ctx = NULL;
    assert_int_equal(tls_server_ctx(system_roots, SLICE(HOST), &ctx), ERR_DENIED);
    tls_ctxs_destroy(system_roots);
}

static void a_ca_file_that_is_none_is_an_error(void **state)
{
    struct tls_ctxs *t = NULL;
    struct errmsg msg;
    assert_int_equal(tls_ctxs_create(&(struct tls_conf){.upstream_ca_file = key}, &t, &msg),
                     ERR_CONFIG);
    assert_non_null(strstr(msg.text, key));
    assert_int_equal(tls_ctxs_create(&(struct tls_conf){.upstream_ca_file = "/nowhere"}, &t, &msg),
                     ERR_CONFIG);
    assert_null(t);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_handshake_uses_the_best_that_openssl_has),
        T(old_versions_are_refused),
        T(alpn_is_the_servers_choice),
        T(on_the_proxy_port_http1_is_chosen),
        T(a_foreign_sni_is_seen),
        T(tickets_work_on_every_worker_until_the_second_rotation),
        T(a_session_of_one_host_does_not_open_another),
        T(who_resumes_gets_the_next_ticket),
        T(a_foreign_sni_is_seen_on_resumption_too),
        T(one_ticket_a_connection),
        T(a_client_without_our_ca_is_named),
        T(words_for_what_is_no_tls),
        T(a_leaf_is_made_once_and_again_near_its_end),
        T(leaves_know_how_often_they_were_ready),
        T(alerts_about_our_certificate_are_told_from_others),
        T(foreign_hosts_get_no_context),
        T(many_hosts_stay_within_the_bounds),
        T(without_memory_nothing_leaks),
        T(the_right_host_is_accepted_and_its_session_kept),
        T(an_address_is_verified_as_one),
        T(wrong_certificates_are_refused_with_a_reason),
        T(only_the_given_roots_count),
        T(a_ca_file_that_is_none_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
