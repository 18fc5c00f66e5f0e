/* Assertions from strangers: what proves a virtual account, and every forgery that must not. */
#include "base/check.h"
#include "keys/assertion.h"
#include "keys/jwt.h"
#include "unit/keys/make.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>

#define NOW INT64_C(1800000000)
#define KID "0123456789abcdef"
#define AUD "https://oauth2.googleapis.com/token"
#define ISS "ci" VIRTUAL_DOMAIN
#define HEADER "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"" KID "\"}"
/* With room for what a test changes; later members come first where a test wants them twice. */
#define CLAIMS(more)                                                                               \
    "{\"iss\":\"" ISS "\",\"aud\":\"" AUD "\",\"iat\":1800000000,\"exp\":1800003600" more "}"

static EVP_PKEY *key, *other;
static struct sbuf pem, other_pem;

static void public_pem(EVP_PKEY *k, struct sbuf *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p = NULL;
    assert_int_equal(PEM_write_bio_PUBKEY(b, k), 1);
    long n = BIO_get_mem_data(b, &p);
    sbuf_init(out, 16384);
    sbuf_add(out, p, (size_t)n);
    BIO_free(b);
}

static int make_keys(void **state)
{
    key = EVP_RSA_gen(2048);
    other = EVP_RSA_gen(2048);
    public_pem(key, &pem);
    public_pem(other, &other_pem);
    return key && other ? 0 : -1;
}

static int drop_keys(void **state)
{
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    sbuf_finish(&pem);
    sbuf_finish(&other_pem);
    return 0;
}

static struct slice made(const char *header, struct slice claims, EVP_PKEY *by)
{
    static struct sbuf text;
    struct sbuf signature;
    sbuf_finish(&text);
    sbuf_init(&text, 65536);
    sbuf_init(&signature, 4096);
    base64url_add(&text, slice_of(header));
    sbuf_addc(&text, '.');
    base64url_add(&text, claims);
    assert_int_equal(jwt_sign(by, sbuf_slice(&text), &signature), ERR_OK);
    sbuf_addc(&text, '.');
    base64url_add(&text, sbuf_slice(&signature));
    sbuf_finish(&signature);
    return sbuf_slice(&text);
}

static enum assertion_fault judged_at(struct slice text, int64_t now_s)
{
    struct assertion a;
    assert_int_equal(assertion_parse(text, &a), ERR_OK);
    assert_true(slice_eq(a.issuer, SLICE(ISS)));
    enum assertion_fault f =
        assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), sbuf_slice(&pem), now_s);
    assertion_finish(&a);
    return f;
}

static enum assertion_fault judged(const char *header, const char *claims)
{
    return judged_at(made(header, slice_of(claims), key), NOW);
}

static void what_libraries_write_is_accepted(void **state)
{
    static const char *const headers[] = {HEADER, "{\"alg\":\"RS256\"}",
                                          " {\"alg\" : \"RS256\", \"typ\":\"jwt\",\"kid\":\"\"} ",
                                          "{\"\\u0061lg\":\"RS256\",\"more\":{\"a\":[1]}}"};
    static const char *const claims[] = {
        CLAIMS(""), CLAIMS(",\"scope\":\"a b\""), CLAIMS(",\"sub\":\"" ISS "\""),
        CLAIMS(",\"jti\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""),
        "{\"iss\":\"" ISS "\",\"aud\":\"https://www.googleapis.com/oauth2/v4/token\",\"iat\":1.8e9,"
        "\"exp\":1800000060}"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        for (size_t j = 0; j < ARRAY_LEN(claims); j++)
            assert_int_equal(judged(headers[i], claims[j]), ASSERTION_OK);
}

static void only_rs256_counts(void **state)
{
    static const char *const bad[] = {"none",  "None",  "NONE",  "HS256",  "RS384", "RS512",
                                      "PS256", "ES256", "rs256", "RS256 ", ""};
    char header[64];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", bad[i]);
        assert_int_equal(judged(header, CLAIMS("")), ASSERTION_ALGORITHM);
    }
    assert_int_equal(judged("{}", CLAIMS("")), ASSERTION_ALGORITHM);
}

/* The classic: the public key as the secret of an HMAC, which a verifier that asks the header would
 * accept. */
static void hs256_with_the_public_key_is_no_proof(void **state)
{
    struct sbuf text;
    unsigned char mac[32];
    unsigned n = 0;
    sbuf_init(&text, 65536);
    base64url_add(&text, SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    sbuf_addc(&text, '.');
    base64url_add(&text, SLICE(CLAIMS("")));
    HMAC(EVP_sha256(), pem.p, (int)pem.n, (unsigned char *)text.p, text.n, mac, &n);
    sbuf_addc(&text, '.');
    base64url_add(&text, slice_make(mac, n));
    assert_int_equal(judged_at(sbuf_slice(&text), NOW), ASSERTION_ALGORITHM);
    sbuf_finish(&text);
}

static void headers_that_cannot_be_read_are_malformed(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "\"RS256\"",
                                      "{\"alg\":\"RS256\"",
                                      "{\"alg\":\"RS256\",\"alg\":\"none\"}",
                                      "{\"alg\":\"RS256\",\"kid\":\"a\",\"kid\":\"" KID "\"}",
                                      "{\"alg\":[\"RS256\"]}",
                                      "{\"alg\":\"RS256\",\"kid\":7}",
                                      "{\"alg\":\"RS256\",\"typ\":\"JWE\"}",
                                      "{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":false}",
                                      "{\"alg\":\"RS256\",\"crit\":null}",
                                      "{\"alg\":\"RS256\\u0000\"}",
                                      "{\"alg\":\"RS256\",\"x\":\"\xff\"}",
                                      "{\"alg\":\"RS256\"}x",
                                      "{\"a\":[[[[[[[[[[1]]]]]]]]]]}"};
    for (size_t i = 1; i < ARRAY_LEN(bad); i++)
        assert_int_equal(judged(bad[i], CLAIMS("")), ASSERTION_MALFORMED);
}

static void the_key_decides(void **state)
{
    struct assertion a;
    assert_int_equal(judged("{\"alg\":\"RS256\",\"kid\":\"another\"}", CLAIMS("")), ASSERTION_KEY);
    assert_int_equal(judged_at(made(HEADER, SLICE(CLAIMS("")), other), NOW), ASSERTION_SIGNATURE);
    assert_int_equal(assertion_parse(made(HEADER, SLICE(CLAIMS("")), key), &a), ERR_OK);
    assert_int_equal(assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), sbuf_slice(&other_pem), NOW),
                     ASSERTION_SIGNATURE);
    assert_int_equal(assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), SLICE(""), NOW),
                     ASSERTION_KEY);
    assert_int_equal(assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), SLICE("no pem"), NOW),
                     ASSERTION_KEY);
    assertion_finish(&a);
}

static void keys_of_another_kind_or_size_are_none(void **state)
{
    EVP_PKEY *small = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-256");
    EVP_PKEY *const keys[] = {small, curve};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct sbuf text;
        struct assertion a;
        public_pem(keys[i], &text);
        assert_int_equal(assertion_parse(made(HEADER, SLICE(CLAIMS("")), keys[i]), &a), ERR_OK);
        assert_int_equal(assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), sbuf_slice(&text), NOW),
                         ASSERTION_KEY);
        assertion_finish(&a);
        sbuf_finish(&text);
        EVP_PKEY_free(keys[i]);
    }
}

/* Each bit of the text counts, but for what makes it unreadable. */
static void a_changed_byte_is_noticed(void **state)
{
    struct slice good = made(HEADER, SLICE(CLAIMS("")), key);
    char copy[2048];
    size_t checked = 0;
    assert_true(good.n < sizeof copy);
    for (size_t i = 0; i < good.n; i++) {
        struct assertion a;
        memcpy(copy, good.p, good.n);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        if (assertion_parse(slice_make(copy, good.n), &a) != ERR_OK)
            continue;
        assert_int_not_equal(
            assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), sbuf_slice(&pem), NOW), ASSERTION_OK);
        assertion_finish(&a);
        checked++;
    }
    assert_true(checked > good.n / 2);
}

static void times_are_an_hour_at_most_and_now(void **state)
{
    static const struct {
        int64_t iat, exp;
        enum assertion_fault fault;
    } cases[] = {
        {NOW, NOW + 3600, ASSERTION_OK},
        {NOW, NOW + 3601, ASSERTION_TIME},
        {NOW, NOW, ASSERTION_TIME},
        {NOW, NOW - 1, ASSERTION_TIME},
        {NOW + 60, NOW + 3660, ASSERTION_OK},
        {NOW + 61, NOW + 3600, ASSERTION_TIME},
        {NOW - 3600, NOW - 59, ASSERTION_OK},
        {NOW - 3600, NOW - 60, ASSERTION_TIME},
        {0, 3600, ASSERTION_TIME},
        {-5, NOW + 5, ASSERTION_TIME},
    };
    char claims[256];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(claims, sizeof claims,
                 "{\"iss\":\"" ISS "\",\"aud\":\"" AUD "\",\"iat\":%lld,\"exp\":%lld}",
                 (long long)cases[i].iat, (long long)cases[i].exp);
        assert_int_equal(judged(HEADER, claims), cases[i].fault);
    }
    static const char *const odd[] = {"\"iat\":1800000000",
                                      "\"exp\":1800000060",
                                      "\"iat\":\"1800000000\",\"exp\":\"1800000060\"",
                                      "\"iat\":1800000000,\"exp\":1e300",
                                      "\"iat\":1800000000,\"exp\":null",
                                      "\"iat\":1800000000,\"exp\":1800000060,\"exp\":1800000061",
                                      "\"iat\":true,\"exp\":1800000060"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        snprintf(claims, sizeof claims, "{\"iss\":\"" ISS "\",\"aud\":\"" AUD "\",%s}", odd[i]);
        assert_int_equal(judged(HEADER, claims), ASSERTION_TIME);
    }
}

static void audiences_and_wishes(void **state)
{
#define TIMES ",\"iat\":1800000000,\"exp\":1800003600"
    static const char *const elsewhere[] = {"\"https://oauth2.googleapis.com/token/\"",
                                            "\"https://evil.test/token\"",
                                            "\"\"",
                                            "[\"" AUD "\"]",
                                            "[]",
                                            "{}",
                                            "null",
                                            "\"" AUD "\",\"aud\":\"" AUD "\""};
    char claims[512];
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
        snprintf(claims, sizeof claims, "{\"iss\":\"" ISS "\",\"aud\":%s" TIMES "}", elsewhere[i]);
        assert_int_equal(judged(HEADER, claims), ASSERTION_AUDIENCE);
    }
    assert_int_equal(judged(HEADER, "{\"iss\":\"" ISS "\"" TIMES "}"), ASSERTION_AUDIENCE);
    assert_int_equal(judged(HEADER, CLAIMS(",\"target_audience\":\"https://x\"")),
                     ASSERTION_ID_TOKEN);
    assert_int_equal(judged(HEADER, CLAIMS(",\"target_audience\":null")), ASSERTION_ID_TOKEN);
    assert_int_equal(judged(HEADER, CLAIMS(",\"sub\":\"boss@corp.test\"")), ASSERTION_SUBJECT);
    assert_int_equal(judged(HEADER, CLAIMS(",\"sub\":7")), ASSERTION_SUBJECT);
}

static enum assertion_fault judged_bearer(const char *claims)
{
    struct assertion a;
    assert_int_equal(assertion_parse(made(HEADER, slice_of(claims), key), &a), ERR_OK);
    enum assertion_fault f =
        assertion_judge(&a, ASSERTION_BEARER, SLICE(KID), sbuf_slice(&pem), NOW);
    assertion_finish(&a);
    return f;
}

/* AIP-4111: for one service, or for scopes; never what the token endpoint takes, nor the reverse.
 */
static void a_token_of_its_own_making_is_for_a_service(void **state)
{
#define BEARER(more) "{\"iss\":\"" ISS "\",\"sub\":\"" ISS "\"" TIMES more "}"
    static const char *const good[] = {
        BEARER(",\"aud\":\"https://us-central1-aiplatform.googleapis.com/\""),
        BEARER(",\"aud\":\"https://aiplatform.googleapis.com/google.cloud.x.v1.Y\""),
        BEARER(",\"scope\":\"https://www.googleapis.com/auth/cloud-platform\"")};
    static const char *const bad[] = {
        BEARER(""),
        BEARER(",\"scope\":\"\""),
        BEARER(",\"aud\":\"" AUD "\""),
        BEARER(",\"aud\":\"http://aiplatform.googleapis.com/\""),
        BEARER(",\"aud\":\"https://aiplatform.googleapis.com.evil.test/\""),
        BEARER(",\"aud\":\"https://evil.test/.googleapis.com\""),
        BEARER(",\"aud\":\"https://evil.test?x.googleapis.com\""),
        BEARER(",\"aud\":\"https://u@x.googleapis.com/\""),
        BEARER(",\"aud\":[\"" AUD "\"]"),
        BEARER(",\"aud\":\"x\",\"scope\":\"a\"")};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(judged_bearer(good[i]), ASSERTION_OK);
        assert_int_equal(judged(HEADER, good[i]), ASSERTION_AUDIENCE);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(judged_bearer(bad[i]), ASSERTION_AUDIENCE);
}

static void what_has_no_issuer_is_no_assertion(void **state)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "...",
                                        "a.b",
                                        "a.b.c",
                                        "a.b.c.d",
                                        "e30.e30.AA",
                                        "e30..AA",
                                        ".e30.AA",
                                        "e30.e30.",
                                        "e30.eyJpc3MiOiJhIn0",
                                        "e30.eyJpc3MiOiJhIn0==.AA",
                                        "e30.eyJpc3MiOiJhIn1.AA",
                                        "e30.eyJpc3MiOiIifQ.AA",
                                        "e30.eyJpc3MiOiJhIn0.AA.",
                                        "e30 .eyJpc3MiOiJhIn0.A A\n."};
    struct assertion a;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(assertion_parse(slice_of(texts[i]), &a), ERR_INVALID);
    static const char *const claims[] = {"{\"iss\":\"a\",\"iss\":\"a\"}",
                                         "{\"iss\":[\"a\"]}",
                                         "{\"iss\":\"\xff\xfe\"}",
                                         "{\"iss\":\"a\\u0000b\"}",
                                         "{\"iss\":\"\xed\xa0\x80\"}",
                                         "{\"iss\":\"\xc0\xaf\"}",
                                         "{\"iss\":\"\xf4\x90\x80\x80\"}",
                                         "{\"iss\":\"\xe2\x82\"}",
                                         "[\"iss\"]",
                                         "{\"ISS\":\"a\"}"};
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        assert_int_equal(assertion_parse(made(HEADER, slice_of(claims[i]), key), &a), ERR_INVALID);
    assert_int_equal(assertion_parse(made(HEADER, SLICE("{\"iss\":\"a\0b\"}"), key), &a),
                     ERR_INVALID);
}

static void size_is_bounded_before_anything_is_read(void **state)
{
    struct sbuf claims;
    struct assertion a;
    sbuf_init(&claims, 1 << 16);
    sbuf_adds(&claims, "{\"iss\":\"a\",\"x\":\"");
    while (claims.n < 9000)
        sbuf_addc(&claims, 'y');
    sbuf_adds(&claims, "\"}");
    assert_int_equal(assertion_parse(made(HEADER, sbuf_slice(&claims), key), &a), ERR_TOO_LARGE);
    sbuf_finish(&claims);
}

/* google-auth for Python pads, and the padding is part of what it signs. */
static void padding_is_taken_where_it_belongs(void **state)
{
    struct sbuf text, signature;
    sbuf_init(&text, 8192);
    sbuf_init(&signature, 4096);
    base64url_add(&text, SLICE("{\"alg\":\"RS256\"}")); /* 15 bytes: none */
    sbuf_addc(&text, '.');
    const char *claims = CLAIMS("");
    base64url_add(&text, slice_of(claims));
    for (size_t n = strlen(claims); n % 3; n++)
        sbuf_addc(&text, '=');
    assert_int_equal(jwt_sign(key, sbuf_slice(&text), &signature), ERR_OK);
    sbuf_addc(&text, '.');
    base64url_add(&text, sbuf_slice(&signature));
    sbuf_adds(&text, "=="); /* 256 bytes */
    assert_int_equal(judged_at(sbuf_slice(&text), NOW), ASSERTION_OK);
    text.n--;
    assert_int_equal(judged_at(sbuf_slice(&text), NOW), ASSERTION_SIGNATURE);
    sbuf_finish(&text);
    sbuf_finish(&signature);
}

static void no_two_names_share_an_address(void **state)
{
    static const struct {
        const char *name, *email;
    } cases[] = {
        {"ci", "ci" VIRTUAL_DOMAIN},         {"CI-1_x.y", "CI-1_x.y" VIRTUAL_DOMAIN},
        {"a b", "a=20b" VIRTUAL_DOMAIN},     {"a@b", "a=40b" VIRTUAL_DOMAIN},
        {"a+b%", "a=2Bb=25" VIRTUAL_DOMAIN}, {"\xc3\xa4", "=C3=A4" VIRTUAL_DOMAIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sbuf b;
        sbuf_init(&b, VIRTUAL_EMAIL_MAX);
        virtual_email_add(&b, slice_of(cases[i].name));
        assert_string_equal(sbuf_z(&b), cases[i].email);
        sbuf_finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_libraries_write_is_accepted),
        cmocka_unit_test(only_rs256_counts),
        cmocka_unit_test(hs256_with_the_public_key_is_no_proof),
        cmocka_unit_test(headers_that_cannot_be_read_are_malformed),
        cmocka_unit_test(the_key_decides),
        cmocka_unit_test(keys_of_another_kind_or_size_are_none),
        cmocka_unit_test(a_changed_byte_is_noticed),
        cmocka_unit_test(times_are_an_hour_at_most_and_now),
        cmocka_unit_test(audiences_and_wishes),
        cmocka_unit_test(a_token_of_its_own_making_is_for_a_service),
        cmocka_unit_test(what_has_no_issuer_is_no_assertion),
        cmocka_unit_test(size_is_bounded_before_anything_is_read),
        cmocka_unit_test(padding_is_taken_where_it_belongs),
        cmocka_unit_test(no_two_names_share_an_address),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
