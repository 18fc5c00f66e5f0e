#include "keys/jwt.h"
#include "keys/keyfile.h"
#include "unit/keys/make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

/* RFC 7515 appendix A.2: the modulus, exponents and primes of the example key, as base64url. */
static const char A2_N[] =
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4"
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re"
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX"
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
static const char A2_E[] = "AQAB";
static const char A2_D[] =
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXO"
    "oAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51"
    "gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3c"
    "cPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
static const char A2_INPUT[] =
    "eyJhbGciOiJSUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
    "fQ";
static const char A2_SIGNATURE[] =
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

static BIGNUM *number(const char *b64)
{
    struct sbuf b;
    sbuf_init(&b, 4096);
    assert_true(base64url_decode(slice_of(b64), &b));
    BIGNUM *n = BN_bin2bn((unsigned char *)b.p, (int)b.n, NULL);
    sbuf_finish(&b);
    return n;
}

static EVP_PKEY *a2_key(void)
{
    BIGNUM *n = number(A2_N), *e = number(A2_E), *d = number(A2_D);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_D, d);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    BN_free(d);
    return key;
}

static void rs256_matches_rfc_7515_a2(void **state)
{
    EVP_PKEY *key = a2_key();
    struct sbuf sig, text;
    sbuf_init(&sig, 4096);
    sbuf_init(&text, 4096);
    assert_int_equal(jwt_sign(key, slice_of(A2_INPUT), &sig), ERR_OK);
    base64url_add(&text, sbuf_slice(&sig));
    assert_string_equal(sbuf_z(&text), A2_SIGNATURE);
    sbuf_finish(&sig);
    sbuf_finish(&text);
    EVP_PKEY_free(key);
}

static void base64url_has_the_vectors_of_rfc_4648_without_padding(void **state)
{
    static const struct {
        const char *bytes, *text;
    } v[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xff\xef\xbe", "_---"},
        {"\xff\xff", "__8"}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct sbuf to, back;
        sbuf_init(&to, 64);
        sbuf_init(&back, 64);
        base64url_add(&to, slice_of(v[i].bytes));
        assert_string_equal(sbuf_z(&to), v[i].text);
        assert_true(base64url_decode(slice_of(v[i].text), &back));
        assert_string_equal(sbuf_z(&back), v[i].bytes);
        sbuf_finish(&to);
        sbuf_finish(&back);
    }
}

static void base64url_refuses_what_is_not_canonical(void **state)
{
    static const char *const bad[] = {"A",  "AAAAA", "Zg==", "Zm8=",  "a+b/",
                                      "Zh", "Zm9",   "a b",  "Zm9v\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sbuf b;
        sbuf_init(&b, 64);
        assert_false(base64url_decode(slice_of(bad[i]), &b));
        sbuf_finish(&b);
    }
}

static void an_assertion_says_what_google_wants(void **state)
{
    struct jwt_claims c = {.kid = SLICE("k1"),
                           .iss = SLICE("a@b.iam.gserviceaccount.com"),
                           .scope = SLICE("s1 s2"),
                           .aud = SLICE(JWT_AUDIENCE_GOOGLE)};
    jwt_set_times(&c, 1800000000, 0);
    struct sbuf in, json;
    sbuf_init(&in, 4096);
    sbuf_init(&json, 4096);
    jwt_add_signing_input(&in, &c);
    size_t dot = slice_find(sbuf_slice(&in), '.', 0);
    assert_true(base64url_decode(slice_sub(sbuf_slice(&in), 0, dot), &json));
    assert_string_equal(sbuf_z(&json), "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}");
    sbuf_clear(&json);
    assert_true(base64url_decode(slice_sub(sbuf_slice(&in), dot + 1, in.n), &json));
    assert_string_equal(sbuf_z(&json),
                        "{\"iss\":\"a@b.iam.gserviceaccount.com\",\"scope\":\"s1 s2\","
                        "\"aud\":\"https://oauth2.googleapis.com/token\","
                        "\"iat\":1799999970,\"exp\":1800003570}");
    sbuf_finish(&in);
    sbuf_finish(&json);
}

static void a_clock_that_is_ahead_is_corrected(void **state)
{
    struct jwt_claims c = {0};
    jwt_set_times(&c, 1800000000, 600);
    assert_int_equal(c.iat, 1800000000 - 600 - 30);
    assert_int_equal(c.exp - c.iat, 3600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rs256_matches_rfc_7515_a2),
        cmocka_unit_test(base64url_has_the_vectors_of_rfc_4648_without_padding),
        cmocka_unit_test(base64url_refuses_what_is_not_canonical),
        cmocka_unit_test(an_assertion_says_what_google_wants),
        cmocka_unit_test(a_clock_that_is_ahead_is_corrected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
