#include "keys/keyfile.h"
#include "unit/keys/make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const allow[] = {"https://oauth2.googleapis.com/token",
                                    "https://127.0.0.1:9443/token"};

static enum err parse(const struct keyfile_parts *p, struct keyfile **ret, struct errmsg *msg)
{
    struct sbuf json;
    sbuf_init(&json, 1 << 20);
    make_keyfile(p, &json);
    enum err e = keyfile_parse(sbuf_slice(&json), allow, 2, ret, msg);
    sbuf_finish(&json);
    return e;
}

static void refuse(const struct keyfile_parts *p, enum err want, const char *word)
{
    struct keyfile *k = NULL;
    struct errmsg msg = {""};
    assert_int_equal(parse(p, &k, &msg), want);
    assert_null(k);
    assert_non_null(strstr(msg.text, word));
}

static void refuse_json(struct slice json, const char *word)
{
    struct keyfile *k = NULL;
    struct errmsg msg = {""};
    assert_int_not_equal(keyfile_parse(json, allow, 2, &k, &msg), ERR_OK);
    assert_null(k);
    assert_non_null(strstr(msg.text, word));
}

static void a_good_file_gives_its_fields(void **state)
{
    struct keyfile *k = NULL;
    assert_int_equal(parse(&(struct keyfile_parts){.uri = allow[1]}, &k, NULL), ERR_OK);
    assert_string_equal(k->project_id, "proj-1");
    assert_string_equal(k->private_key_id, "0123456789abcdef");
    assert_string_equal(k->client_email, "bot@proj-1.iam.gserviceaccount.com");
    assert_string_equal(k->token_uri, allow[1]);
    assert_string_equal(k->universe_domain, "googleapis.com");
    assert_int_equal(k->bits, 2048);
    assert_true(slice_starts(secret_bytes(k->private_key), SLICE("-----BEGIN PRIVATE KEY-----\n")));
    keyfile_destroy(k);
}

static void pkcs1_keys_work_too(void **state)
{
    struct sbuf pem;
    sbuf_init(&pem, 65536);
    make_pem(make_rsa(), 1, &pem);
    struct keyfile *k = NULL;
    assert_int_equal(parse(&(struct keyfile_parts){.pem = sbuf_z(&pem)}, &k, NULL), ERR_OK);
    keyfile_destroy(k);
    sbuf_finish(&pem);
}

static void a_foreign_token_uri_is_refused(void **state)
{
    refuse(&(struct keyfile_parts){.uri = "https://evil.example/token"}, ERR_DENIED, "token_uri");
    refuse(&(struct keyfile_parts){.uri = "https://oauth2.googleapis.com/token/"}, ERR_DENIED,
           "token_uri");
    refuse(&(struct keyfile_parts){.uri = "http://oauth2.googleapis.com/token"}, ERR_DENIED,
           "token_uri");
}

static void bad_fields_are_named_but_not_shown(void **state)
{
    refuse(&(struct keyfile_parts){.email = "a@b\\r\\nX-Evil: 1"}, ERR_INVALID, "client_email");
    refuse(&(struct keyfile_parts){.email = "a@b\\u00e9"}, ERR_INVALID, "client_email");
    refuse(&(struct keyfile_parts){.email = "nobody"}, ERR_INVALID, "client_email");
    refuse(&(struct keyfile_parts){.email = "a@b@c"}, ERR_INVALID, "client_email");
    refuse(&(struct keyfile_parts){.email = ""}, ERR_INVALID, "client_email");
    refuse(&(struct keyfile_parts){.email = "a@b\\u0000c"}, ERR_INVALID, "NUL");
    refuse(&(struct keyfile_parts){.project = "p/../x"}, ERR_INVALID, "project_id");
    refuse(&(struct keyfile_parts){.kid = "a b"}, ERR_INVALID, "private_key_id");
    refuse(&(struct keyfile_parts){.type = "authorized_user"}, ERR_INVALID, "authorized_user");
    refuse(&(struct keyfile_parts){.type = "external_account"}, ERR_INVALID, "service_account");
    refuse(&(struct keyfile_parts){.extra = ",\"project_id\":\"other\""}, ERR_INVALID,
           "two members");
}

static void bad_keys_are_refused(void **state)
{
    refuse(&(struct keyfile_parts){.pem = "sesame"}, ERR_INVALID, "PEM");
    refuse(&(struct keyfile_parts){.pem = ""}, ERR_INVALID, "private key");
    struct sbuf pem;
    sbuf_init(&pem, 65536);
    EVP_PKEY *small = EVP_RSA_gen(1024), *ec = EVP_EC_gen("P-256");
    make_pem(small, 0, &pem);
    refuse(&(struct keyfile_parts){.pem = sbuf_z(&pem)}, ERR_INVALID, "1024 bits");
    sbuf_clear(&pem);
    make_pem(ec, 0, &pem);
    refuse(&(struct keyfile_parts){.pem = sbuf_z(&pem)}, ERR_INVALID, "not an RSA key");
    EVP_PKEY_free(small);
    EVP_PKEY_free(ec);
    sbuf_finish(&pem);
}

static void an_encrypted_key_is_refused_without_asking(void **state)
{
    BIO *b = BIO_new(BIO_s_mem());
    char pass[] = "secret";
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(b, make_rsa(), EVP_aes_256_cbc(), pass, 6, NULL, NULL), 1);
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    EVP_PKEY *key = NULL;
    assert_int_equal(private_key_parse(slice_make(p, (size_t)n), &key, NULL), ERR_CRYPTO);
    BIO_free(b);
}

static void junk_is_refused(void **state)
{
    refuse_json(SLICE(""), "JSON");
    refuse_json(SLICE("[]"), "JSON");
    refuse_json(SLICE("{"), "JSON");
    refuse_json(SLICE("{} x"), "JSON");
    refuse_json(SLICE("{}\0"), "NUL");
    refuse_json(SLICE("{\"type\":7}"), "type");
    refuse_json(SLICE("{\"a\":[[[[[[[[[[]]]]]]]]]]}"), "nested");
    static char big[KEYFILE_MAX + 2];
    memset(big, ' ', sizeof big);
    refuse_json(slice_make(big, KEYFILE_MAX + 1), "too large");
    memset(big, '[', sizeof big);
    refuse_json(slice_make(big, KEYFILE_MAX), "nested");
}

static void a_file_without_token_uri_gets_the_first_allowed(void **state)
{
    struct sbuf json;
    sbuf_init(&json, 65536);
    make_keyfile(&(struct keyfile_parts){0}, &json);
    char *at = strstr(sbuf_z(&json), ",\"token_uri\"");
    assert_non_null(at);
    json.n = (size_t)(at - json.p);
    sbuf_adds(&json, "}");
    struct keyfile *k = NULL;
    assert_int_equal(keyfile_parse(sbuf_slice(&json), allow, 2, &k, NULL), ERR_OK);
    assert_string_equal(k->token_uri, allow[0]);
    keyfile_destroy(k);
    sbuf_finish(&json);
}

static void every_prefix_and_flipped_byte_is_survived(void **state)
{
    struct sbuf json;
    sbuf_init(&json, 65536);
    make_keyfile(&(struct keyfile_parts){0}, &json);
    for (size_t n = 0; n + 2 < json.n; n += 37) {
        struct keyfile *k = NULL;
        assert_int_not_equal(keyfile_parse(slice_make(json.p, n), allow, 2, &k, NULL), ERR_OK);
    }
    for (size_t i = 0; i < json.n; i += 53) {
        struct keyfile *k = NULL;
        json.p[i] ^= 0x20;
        if (keyfile_parse(sbuf_slice(&json), allow, 2, &k, NULL) == ERR_OK)
            keyfile_destroy(k);
        json.p[i] ^= 0x20;
    }
    sbuf_finish(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_gives_its_fields),
        cmocka_unit_test(pkcs1_keys_work_too),
        cmocka_unit_test(a_foreign_token_uri_is_refused),
        cmocka_unit_test(bad_fields_are_named_but_not_shown),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(an_encrypted_key_is_refused_without_asking),
        cmocka_unit_test(junk_is_refused),
        cmocka_unit_test(a_file_without_token_uri_gets_the_first_allowed),
        cmocka_unit_test(every_prefix_and_flipped_byte_is_survived),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(make_rsa());
    return rc;
}
