/* room: stub */
/* drives: proxy/stub/pages.c */
/* Lines: path, query, User-Agent, the configured host, patterns; the first byte has flags. No byte
 * of a request reaches a page: what comes out depends on which of a few things was asked, alone. */
#include "stub/pages.h"

#include "base/check.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice make_ca(void)
{
    static char text[4096];
    static size_t n;
    if (n == 0) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *x = X509_new();
        BIO *out = BIO_new(BIO_s_mem());
        CHECK(key && x && out && X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()) &&
              PEM_write_bio_X509(out, x) && PEM_write_bio_X509(out, x));
        int got = BIO_read(out, text, sizeof text);
        CHECK(got > 0 && got < (int)sizeof text);
        n = (size_t)got;
        BIO_free(out);
        X509_free(x);
        EVP_PKEY_free(key);
    }
    return slice_make(text, n);
}

static bool is_off(struct slice query)
{
    struct slice part;
    while (slice_next(&query, '&', &part))
        if (slice_starts(part, SLICE("off")) && (part.n == 3 || part.p[3] == '='))
            return true;
    return false;
}

static enum err render(struct slice path, struct slice query, struct slice agent,
                       const struct page_facts *f, struct sbuf *body)
{
    const char *type = NULL;
    sbuf_init(body, 512 * 1024);
    enum err e = page_render(path, query, agent, f, body, &type);
    CHECK((e == ERR_OK) == (type != NULL));
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice lines[5] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0}};
    char host[300] = "proxy.test";
    if (size < 1)
        return 0;
    struct slice rest = slice_make(data + 1, size - 1);
    for (size_t i = 0; i < 5 && slice_next(&rest, '\n', &lines[i]); i++)
        continue;
    if (lines[3].n)
        (void)slice_copy(lines[3], host, sizeof host);
    unsigned flags = data[0];
    struct slice patterns[2] = {lines[4], {"*.googleapis.com", 16}};
    struct page_facts f = {.ca_pem = make_ca(),
                           .ca_sha256 = flags & 1 ? "zz" : "00ff",
                           .proxy_host = host,
                           .proxy_port = 8080,
                           .is_tls = flags & 2,
                           .version = flags & 4 ? "1 \"'`$(x)" : "1.0",
                           .swap_patterns = patterns,
                           .swap_pattern_count = flags & 8 ? 0 : 2};
    if (flags & 16)
        f.ca_pem = lines[4];
    struct sbuf body, plain;
    enum err e = render(lines[0], lines[1], lines[2], &f, &body);
    struct slice agent = lines[2];
    bool is_browser = slice_search(agent, SLICE("Mozilla/")) < agent.n &&
                      slice_search(agent, SLICE("PowerShell")) == agent.n;
    enum err same = render(lines[0], is_off(lines[1]) ? SLICE("off") : SLICE(""),
                           is_browser ? SLICE("Mozilla/5.0") : SLICE("curl"), &f, &plain);
    CHECK(e == same);
    if (e == ERR_OK)
        CHECK(slice_eq(sbuf_slice(&body), sbuf_slice(&plain)));
    sbuf_finish(&body);
    sbuf_finish(&plain);
    return 0;
}
