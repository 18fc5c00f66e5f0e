/* The proxy's own pages: what they say, and that the scripts do in real shells what they promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sbuf.h"
#include "stub/pages.h"

static char ca_pem[8192];
static size_t ca_pem_size;
static unsigned char ca_der[4096];
static size_t ca_der_size;

#define SUM "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11"
#define BROWSER "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"

static struct page_facts facts(void)
{
    return (struct page_facts){.ca_pem = {ca_pem, ca_pem_size},
                               .ca_sha256 = SUM,
                               .proxy_host = "proxy.corp",
                               .proxy_port = 3128,
                               .version = "1.2.3"};
}

static int make_ca(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test CA", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    BIO *out = BIO_new(BIO_s_mem());
    BIO_puts(out, "a comment'; echo owned; '\n");
    PEM_write_bio_X509(out, cert);
    ca_pem_size = (size_t)BIO_read(out, ca_pem, sizeof ca_pem);
    unsigned char *p = ca_der;
    ca_der_size = (size_t)i2d_X509(cert, &p);
    BIO_free(out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ca_pem_size > 0 && ca_der_size > 0 ? 0 : -1;
}

static enum err render(const char *path, const char *query, const char *agent,
                       const struct page_facts *f, struct sbuf *body, const char **type)
{
    sbuf_init(body, 512 * 1024);
    return page_render(slice_of(path), slice_of(query), slice_of(agent), f, body, type);
}

static void expect_page(const char *path, const char *query, const char *agent,
                        const struct page_facts *f, struct sbuf *body, const char *want_type)
{
    const char *type = NULL;
    assert_int_equal(render(path, query, agent, f, body, &type), ERR_OK);
    assert_string_equal(type, want_type);
}

static bool holds(const struct sbuf *body, const char *text)
{
    return slice_search(sbuf_slice(body), slice_of(text)) < body->n;
}

#define TEXT_TYPE "text/plain; charset=utf-8"

static void ca_pem_is_byte_identical(void **state)
{
    struct page_facts f = facts();
    struct sbuf body;
    expect_page("/ca.pem", "", "curl/8", &f, &body, "application/x-pem-file");
    assert_int_equal(body.n, ca_pem_size);
    assert_memory_equal(body.p, ca_pem, ca_pem_size);
    sbuf_finish(&body);
}

static void ca_crt_is_der(void **state)
{
    struct page_facts f = facts();
    struct sbuf body;
    expect_page("/ca.crt", "", "", &f, &body, "application/x-x509-ca-cert");
    assert_int_equal(body.n, ca_der_size);
    assert_memory_equal(body.p, ca_der, ca_der_size);
    sbuf_finish(&body);
}

static void ca_sha256_is_a_line_for_sha256sum(void **state)
{
    struct page_facts f = facts();
    struct sbuf body;
    expect_page("/ca.sha256", "", "", &f, &body, TEXT_TYPE);
    assert_string_equal(sbuf_z(&body), SUM "  ca.pem\n");
    sbuf_finish(&body);
}

static void setup_is_text_for_curl_and_html_for_browsers(void **state)
{
    static const char *const text_agents[] = {"curl/7.88.1", "Wget/1.21", "", NULL,
                                              "Mozilla/5.0 (Windows NT) WindowsPowerShell/5.1"};
    struct page_facts f = facts();
    struct sbuf body;
    for (size_t i = 0; i < sizeof text_agents / sizeof *text_agents; i++) {
        expect_page("/", "", text_agents[i], &f, &body, TEXT_TYPE);
        assert_true(holds(&body, SUM));
        assert_true(holds(&body, "curl -fsS http://proxy.corp:3128/ca.pem"));
        assert_false(holds(&body, "@"));
        sbuf_finish(&body);
    }
    expect_page("/setup", "", BROWSER, &f, &body, "text/html; charset=utf-8");
    assert_true(holds(&body, "<!doctype html>"));
    assert_true(holds(&body, "<h1>credswap 1.2.3"));
    assert_true(holds(&body, "&amp;&amp;"));
    assert_true(holds(&body, SUM));
    assert_false(holds(&body, "<script"));
    sbuf_finish(&body);
}

static void a_tls_listener_is_named_https(void **state)
{
    struct page_facts f = facts();
    f.is_tls = true;
    struct sbuf body;
    expect_page("/env.sh", "", "", &f, &body, TEXT_TYPE);
    assert_true(holds(&body, "_credswap_to='https://proxy.corp:3128'"));
    sbuf_finish(&body);
    expect_page("/proxy.pac", "", "", &f, &body, "application/x-ns-proxy-autoconfig");
    assert_true(holds(&body, "\"HTTPS proxy.corp:3128\""));
    sbuf_finish(&body);
    expect_page("/", "", "curl/8", &f, &body, TEXT_TYPE);
    assert_true(holds(&body, "curl -fsSk https://proxy.corp:3128/ca.pem"));
    sbuf_finish(&body);
}

static void an_ipv6_address_gets_its_brackets(void **state)
{
    struct page_facts f = facts();
    f.proxy_host = "2001:db8::1";
    struct sbuf body;
    expect_page("/env.fish", "", "", &f, &body, TEXT_TYPE);
    assert_true(holds(&body, "'http://[2001:db8::1]:3128'"));
    sbuf_finish(&body);
}

static void an_odd_host_reaches_no_script(void **state)
{
    static const char *const odd[] = {"a b", "a'b", "a\nb", "$(id)", "`id`",
                                      "a;b", "",    "a\"b", "a\\b",  NULL};
    struct page_facts f = facts();
    struct sbuf body;
    const char *type = NULL;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        f.proxy_host = odd[i];
        assert_int_equal(render("/env.sh", "", "", &f, &body, &type), ERR_INVALID);
        assert_null(type);
        sbuf_finish(&body);
    }
}

static void text_around_the_certificate_reaches_no_script(void **state)
{
    static const char *const paths[] = {"/env.sh", "/env.fish", "/env.ps1", "/env.github",
                                        "/env.gitlab"};
    struct page_facts f = facts();
    struct sbuf body;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        expect_page(paths[i], "", "", &f, &body, TEXT_TYPE);
        assert_true(holds(&body, "-----BEGIN CERTIFICATE-----"));
        assert_false(holds(&body, "owned"));
        assert_false(holds(&body, "@PEM@"));
        assert_false(holds(&body, "_VARS@"));
        sbuf_finish(&body);
        expect_page(paths[i], "off", "", &f, &body, TEXT_TYPE);
        assert_false(holds(&body, "-----BEGIN CERTIFICATE-----"));
        sbuf_finish(&body);
    }
    const char *type = NULL;
    f.ca_pem = SLICE("not a certificate");
    assert_int_equal(render("/env.sh", "", "", &f, &body, &type), ERR_INVALID);
    sbuf_finish(&body);
    f.ca_pem = (struct slice){NULL, 0};
    assert_int_equal(render("/ca.crt", "", "", &f, &body, &type), ERR_INVALID);
    sbuf_finish(&body);
}

static void two_roots_are_both_carried(void **state)
{
    static char both[2 * sizeof ca_pem];
    memcpy(both, ca_pem, ca_pem_size);
    memcpy(both + ca_pem_size, ca_pem, ca_pem_size);
    struct page_facts f = facts();
    f.ca_pem = (struct slice){both, 2 * ca_pem_size};
    struct sbuf body;
    expect_page("/env.sh", "", "", &f, &body, TEXT_TYPE);
    struct slice text = sbuf_slice(&body), begin = SLICE("-----BEGIN CERTIFICATE-----");
    size_t first = slice_search(text, begin);
    assert_true(first < text.n);
    text = slice_sub(text, first + begin.n, text.n);
    assert_true(slice_search(text, begin) < text.n);
    sbuf_finish(&body);
}

static void pac_names_the_swap_hosts_only(void **state)
{
    static const struct slice patterns[] = {{"*-aiplatform.googleapis.com", 27},
                                            {"evil\");x(\"", 10}};
    struct page_facts f = facts();
    struct sbuf body;
    expect_page("/proxy.pac", "", "", &f, &body, "application/x-ns-proxy-autoconfig");
    assert_true(holds(&body, "[\"*.googleapis.com\", \"*.anthropic.com\"]"));
    assert_true(holds(&body, "\"PROXY proxy.corp:3128\""));
    sbuf_finish(&body);
    f.swap_patterns = patterns;
    f.swap_pattern_count = 2;
    expect_page("/proxy.pac", "", "", &f, &body, "application/x-ns-proxy-autoconfig");
    assert_true(holds(&body, "[\"*-aiplatform.googleapis.com\"]"));
    assert_false(holds(&body, "evil"));
    sbuf_finish(&body);
}

static void other_paths_are_not_found(void **state)
{
    static const char *const paths[] = {"",   "/ca.key", "/env",       "/env.sh/",
                                        "//", "/CA.PEM", "/setup.txt", NULL};
    struct page_facts f = facts();
    struct sbuf body;
    const char *type = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(render(paths[i], "", "", &f, &body, &type), ERR_NOT_FOUND);
        assert_int_equal(body.n, 0);
        sbuf_finish(&body);
    }
}

static void a_small_body_limit_is_an_error(void **state)
{
    struct page_facts f = facts();
    struct sbuf body;
    const char *type = NULL;
    sbuf_init(&body, 100);
    assert_int_not_equal(page_render(SLICE("/env.sh"), SLICE(""), SLICE(""), &f, &body, &type),
                         ERR_OK);
    assert_null(type);
    sbuf_finish(&body);
}

static void write_page(const char *dir, const char *name, const char *path, const char *query)
{
    struct page_facts f = facts();
    struct sbuf body;
    expect_page(path, query, "", &f, &body, TEXT_TYPE);
    char file[512];
    assert_true(snprintf(file, sizeof file, "%s/%s", dir, name) < (int)sizeof file);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(body.p, 1, body.n, out), body.n);
    assert_int_equal(fclose(out), 0);
    sbuf_finish(&body);
}

static int run(const char *const *argv)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* env_check.sh says which promise was broken; shells that are not installed are left out by it. */
static void scripts_keep_their_promises_in_real_shells(void **state)
{
    const char *root = getenv("CREDSWAP_SOURCE_DIR");
    if (root == NULL)
        skip();
    char dir[] = "/tmp/credswap-pages-XXXXXX", script[1024];
    assert_non_null(mkdtemp(dir));
    write_page(dir, "env.sh", "/env.sh", "");
    write_page(dir, "off.sh", "/env.sh", "off");
    write_page(dir, "env.fish", "/env.fish", "");
    write_page(dir, "off.fish", "/env.fish", "off");
    write_page(dir, "env.github", "/env.github", "");
    write_page(dir, "off.github", "/env.github", "off");
    write_page(dir, "env.gitlab", "/env.gitlab", "");
    assert_true(snprintf(script, sizeof script, "%s/tests/unit/stub/env_check.sh", root) <
                (int)sizeof script);
    const char *check[] = {"bash", script, dir, NULL}, *clean[] = {"rm", "-rf", dir, NULL};
    int status = run(check);
    assert_int_equal(run(clean), 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ca_pem_is_byte_identical),
        cmocka_unit_test(ca_crt_is_der),
        cmocka_unit_test(ca_sha256_is_a_line_for_sha256sum),
        cmocka_unit_test(setup_is_text_for_curl_and_html_for_browsers),
        cmocka_unit_test(a_tls_listener_is_named_https),
        cmocka_unit_test(an_ipv6_address_gets_its_brackets),
        cmocka_unit_test(an_odd_host_reaches_no_script),
        cmocka_unit_test(text_around_the_certificate_reaches_no_script),
        cmocka_unit_test(two_roots_are_both_carried),
        cmocka_unit_test(pac_names_the_swap_hosts_only),
        cmocka_unit_test(other_paths_are_not_found),
        cmocka_unit_test(a_small_body_limit_is_an_error),
        cmocka_unit_test(scripts_keep_their_promises_in_real_shells),
    };
    return cmocka_run_group_tests_name("unit/stub/pages", tests, make_ca, NULL);
}
