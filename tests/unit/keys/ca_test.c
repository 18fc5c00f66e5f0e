#include "base/clock.h"
#include "keys/ca.h"
#include "keys/keys_internal.h"
#include "unit/keys/make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[512], cert[600], key[600];
static const char *const domains[] = {"googleapis.com", "anthropic.com", "proxy.example.org",
                                      "10.1.2.3"};

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "%s", make_dir());
    snprintf(cert, sizeof cert, "%s/ca.pem", dir);
    snprintf(key, sizeof key, "%s/ca.key", dir);
    return 0;
}

static int teardown(void **state)
{
    clock_unset_fake();
    remove_dir(dir);
    return 0;
}

static enum err create(void)
{
    return ca_create(
        &(struct ca_params){.host = "gw.example.org", .permitted = domains, .permitted_count = 4},
        cert, key, NULL);
}

static struct ca *load(void)
{
    struct ca *ca = NULL;
    struct errmsg msg;
    assert_int_equal(ca_load(cert, key, &ca, &msg), ERR_OK);
    return ca;
}

/* What a strict client says of LEAF at host. */
static int verify(struct ca *ca, X509 *leaf, const char *host)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, ca_cert(ca));
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_CTX_init(ctx, store, leaf, NULL);
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_SERVER);
    if (strchr("0123456789", host[0]))
        X509_VERIFY_PARAM_set1_ip_asc(p, host);
    else
        X509_VERIFY_PARAM_set1_host(p, host, 0);
    int ok = X509_verify_cert(ctx);
    int why = ok == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return why;
}

static void files_are_made_with_their_modes_and_never_replaced(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct stat st;
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(cert, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(create(), ERR_EXISTS);
    assert_int_equal(unlink(cert), 0);
    off_t before = (stat(key, &st), st.st_size);
    assert_int_equal(create(), ERR_EXISTS); /* the key alone is kept too */
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_size, before);
    assert_int_not_equal(access(cert, F_OK), 0);
}

static void a_certificate_that_cannot_be_written_leaves_no_key(void **state)
{
    char nowhere[700];
    snprintf(nowhere, sizeof nowhere, "%s/no/ca.pem", dir);
    struct ca_params p = {.permitted = domains, .permitted_count = 1};
    assert_int_equal(ca_create(&p, nowhere, key, NULL), ERR_IO);
    assert_int_not_equal(access(key, F_OK), 0);
}

static void the_ca_is_constrained(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = load();
    X509 *x = ca_cert(ca);
    int critical = -1;
    BASIC_CONSTRAINTS *bc = X509_get_ext_d2i(x, NID_basic_constraints, &critical, NULL);
    assert_int_equal(critical, 1);
    assert_true(bc->ca);
    assert_int_equal(ASN1_INTEGER_get(bc->pathlen), 0);
    BASIC_CONSTRAINTS_free(bc);
    NAME_CONSTRAINTS *nc = X509_get_ext_d2i(x, NID_name_constraints, &critical, NULL);
    assert_int_equal(critical, 1);
    assert_int_equal(sk_GENERAL_SUBTREE_num(nc->permittedSubtrees), 4);
    NAME_CONSTRAINTS_free(nc);
    assert_int_equal(X509_get_key_usage(x), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(x)), 16);
    struct ca_info info;
    assert_int_equal(ca_info_of(x, &info), ERR_OK);
    assert_string_equal(info.permitted, "googleapis.com anthropic.com proxy.example.org 10.1.2.3");
    assert_string_equal(info.name, "credswap CA on gw.example.org");
    assert_true(info.not_after - clock_wall_s() > 1800 * 86400L);
    assert_true(ca_permits(x, SLICE("a.b.googleapis.com")));
    assert_true(ca_permits(x, SLICE("10.1.2.3")));
    assert_false(ca_permits(x, SLICE("evilgoogleapis.com")));
    assert_false(ca_permits(x, SLICE("10.1.2.4")));
    ca_destroy(ca);
}

static X509 *leaf_for(struct ca *ca, const char *host, enum err want)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = NULL;
    assert_int_equal(leaf_sign(ca_cert(ca), ca_key(ca), slice_of(host), k, 7, &x), want);
    EVP_PKEY_free(k);
    return x;
}

static void a_leaf_satisfies_a_strict_client(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = load();
    static const char *const hosts[] = {"googleapis.com", "generativelanguage.googleapis.com",
                                        "api.anthropic.com", "10.1.2.3",
                                        "a-name-that-is-longer-than-a-common-name-may-be-"
                                        "0123456789.europe-west4-aiplatform.googleapis.com"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        X509 *x = leaf_for(ca, hosts[i], ERR_OK);
        assert_int_equal(verify(ca, x, hosts[i]), X509_V_OK);
        assert_int_not_equal(verify(ca, x, "other.googleapis.com"), X509_V_OK);
        GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
        assert_int_equal(sk_GENERAL_NAME_num(san), 1);
        GENERAL_NAMES_free(san);
        assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(x)), 16);
        assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
        int days, seconds;
        ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x));
        assert_int_equal(days, 7);
        assert_int_equal(seconds, 3600);
        X509_free(x);
    }
    ca_destroy(ca);
}

static void foreign_names_get_no_leaf(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = load();
    leaf_for(ca, "www.example.com", ERR_DENIED);
    leaf_for(ca, "evilgoogleapis.com", ERR_DENIED);
    leaf_for(ca, "10.1.2.4", ERR_DENIED);
    leaf_for(ca, "::1", ERR_DENIED);
    leaf_for(ca, "0x7f000001", ERR_DENIED);
    static const char *const odd[] = {
        "",
        "a..b",
        "*.googleapis.com",
        "A.googleapis.com",
        "x,DNS:evil.com",
        "a_b.googleapis.com",
        "-a.googleapis.com",
        "googleapis.com.",
        "1.2.3",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        leaf_for(ca, odd[i], ERR_INVALID);
    ca_destroy(ca);
}

static void odd_domains_make_no_ca(void **state)
{
    static const char *const odd[] = {
        "", "*.googleapis.com", "a,permitted;DNS:com", "Google.com", "a b", "."};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct ca_params p = {.permitted = &odd[i], .permitted_count = 1};
        struct errmsg msg = {""};
        assert_int_equal(ca_create(&p, cert, key, &msg), ERR_INVALID);
        assert_true(*msg.text);
    }
    struct ca_params none = {0};
    assert_int_equal(ca_create(&none, cert, key, NULL), ERR_INVALID);
    assert_int_not_equal(access(key, F_OK), 0);
}

static void wide_permissions_are_refused(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = NULL;
    struct errmsg msg;
    assert_int_equal(chmod(key, 0640), 0);
    assert_int_equal(ca_load(cert, key, &ca, &msg), ERR_PERMISSION);
    assert_non_null(strstr(msg.text, "chmod 600"));
    assert_int_equal(chmod(key, 0400), 0);
    assert_int_equal(chmod(cert, 0666), 0);
    assert_int_equal(ca_load(cert, key, &ca, &msg), ERR_PERMISSION);
    assert_int_equal(chmod(cert, 0444), 0);
    assert_int_equal(ca_load(cert, key, &ca, &msg), ERR_OK);
    ca_destroy(ca);
}

static void wrong_files_are_told_apart(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = NULL;
    struct errmsg msg;
    char other[620];
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(ca_load(other, key, &ca, &msg), ERR_NOT_FOUND);
    assert_int_equal(ca_load(cert, other, &ca, &msg), ERR_NOT_FOUND);
    assert_int_equal(ca_load(dir, key, &ca, &msg), ERR_INVALID);
    int fd = open(other, O_WRONLY | O_CREAT, 0600);
    close(fd);
    assert_int_equal(ca_load(other, key, &ca, &msg), ERR_INVALID);
    assert_int_equal(ca_load(cert, other, &ca, &msg), ERR_INVALID);
    unlink(other);
    char key2[620];
    snprintf(key2, sizeof key2, "%s/k2", dir);
    struct ca_params p = {.permitted = domains, .permitted_count = 1};
    assert_int_equal(ca_create(&p, other, key2, NULL), ERR_OK);
    assert_int_equal(ca_load(cert, key2, &ca, &msg), ERR_INVALID);
    assert_non_null(strstr(msg.text, "does not belong"));
    assert_null(ca);
}

static void an_expired_ca_says_so(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = NULL;
    struct errmsg msg;
    int64_t now = clock_wall_ms();
    clock_set_fake(1000, now + 6 * 366 * 86400000L);
    assert_int_equal(ca_load(cert, key, &ca, &msg), ERR_CERT);
    assert_non_null(strstr(msg.text, "expired"));
    clock_set_fake(1000, now - 3 * 86400000L);
    assert_int_equal(ca_load(cert, key, &ca, &msg), ERR_CERT);
    assert_non_null(strstr(msg.text, "clock"));
}

static void a_leaf_never_outlives_its_ca(void **state)
{
    assert_int_equal(create(), ERR_OK);
    struct ca *ca = load();
    clock_set_fake(1000, clock_wall_ms() + (CA_DAYS_DEFAULT - 2) * 86400000L);
    X509 *x = leaf_for(ca, "api.anthropic.com", ERR_OK);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca_cert(ca))), 0);
    X509_free(x);
    ca_destroy(ca);
}

/* certs/make-ca.sh promises the same fields with OpenSSL's tool alone. */
static void the_script_makes_a_ca_like_ours(void **state)
{
    const char *source = getenv("CREDSWAP_SOURCE_DIR");
    char script[1024];
    if (!source)
        skip();
    snprintf(script, sizeof script, "%s/certs/make-ca.sh", source);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        execl(script, script, "--cert", cert, "--key", key, "--host", "gw.example.org",
              "googleapis.com", "anthropic.com", "proxy.example.org", "10.1.2.3", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct ca *ca = load();
    struct ca_info info;
    assert_int_equal(ca_info_of(ca_cert(ca), &info), ERR_OK);
    assert_string_equal(info.permitted, "googleapis.com anthropic.com proxy.example.org 10.1.2.3");
    assert_string_equal(info.name, "credswap CA on gw.example.org");
    assert_int_equal(X509_get_key_usage(ca_cert(ca)), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    X509 *x = leaf_for(ca, "api.anthropic.com", ERR_OK);
    assert_int_equal(verify(ca, x, "api.anthropic.com"), X509_V_OK);
    X509_free(x);
    leaf_for(ca, "www.example.com", ERR_DENIED);
    ca_destroy(ca);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(files_are_made_with_their_modes_and_never_replaced),
        T(a_certificate_that_cannot_be_written_leaves_no_key),
        T(the_ca_is_constrained),
        T(a_leaf_satisfies_a_strict_client),
        T(foreign_names_get_no_leaf),
        T(odd_domains_make_no_ca),
        T(wide_permissions_are_refused),
        T(wrong_files_are_told_apart),
        T(an_expired_ca_says_so),
        T(a_leaf_never_outlives_its_ca),
        T(the_script_makes_a_ca_like_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
