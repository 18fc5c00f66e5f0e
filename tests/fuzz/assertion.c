/* room: keys */
/* drives: common/keys/assertion.c */
/* dict: assertion */
/* What a stranger posts as an assertion is judged, never believed: without the private key no bytes
 * at all pass, and with it only claims that a second, plain reading of the JSON finds right. Byte 0
 * says how the rest is used: as the whole text; or as header and claims (cut at the first newline),
 * signed by the client's key, by a stranger's, or not at all. */
#include "keys/assertion.h"
#include "base/check.h"
#include "keys/jwt.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW INT64_C(1800000000)
#define KID "0123456789abcdef"

enum how {
    HOW_RAW,
    HOW_SIGNED,
    HOW_STRANGER,
    HOW_UNSIGNED,
    HOW_COUNT
};

/* One pair of keys for the life of the process. */
static EVP_PKEY *keys[2];
static BIO *out; /* of PUBLIC_TEXT */
static char *public_text;
static size_t public_n;

static void make_keys(void)
{
    out = BIO_new(BIO_s_mem());
    keys[0] = EVP_RSA_gen(2048);
    keys[1] = EVP_RSA_gen(2048);
    CHECK(out && keys[0] && keys[1] && PEM_write_bio_PUBKEY(out, keys[0]) == 1);
    public_n = (size_t)BIO_get_mem_data(out, &public_text);
}

static void build(enum how how, struct slice rest, struct sbuf *text)
{
    struct sbuf signature;
    size_t cut = slice_find(rest, '\n', 0);
    base64url_add(text, slice_sub(rest, 0, cut));
    sbuf_addc(text, '.');
    base64url_add(text, slice_sub(rest, cut + 1, rest.n));
    sbuf_init(&signature, 4096);
    if (how == HOW_UNSIGNED)
        sbuf_adds(&signature, "no signature");
    else
        CHECK(jwt_sign(keys[how == HOW_STRANGER], sbuf_slice(text), &signature) == ERR_OK);
    sbuf_addc(text, '.');
    base64url_add(text, sbuf_slice(&signature));
    sbuf_finish(&signature);
}

/* A second opinion by cJSON's own functions, on text without tricks: the last of several members
 * would do for it, but judge has refused those. */
static double number(const cJSON *o, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(o, name);
    CHECK(cJSON_IsNumber(m));
    return m->valuedouble;
}

static void check_accepted(const struct assertion *a)
{
    double iat = number(a->claims, "iat"), exp = number(a->claims, "exp");
    const char *aud = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a->claims, "aud"));
    CHECK(aud && strncmp(aud, "https://", 8) == 0 && strstr(aud, "/token"));
    CHECK(exp - iat < ASSERTION_LIFE_S + 1 && exp >= iat);
    CHECK(iat < (double)(NOW + ASSERTION_SKEW_S + 1) && exp > (double)(NOW - ASSERTION_SKEW_S));
    CHECK(!cJSON_GetObjectItemCaseSensitive(a->claims, "target_audience"));
}

static void check(enum how how, struct slice text)
{
    struct assertion a;
    if (assertion_parse(text, &a) != ERR_OK)
        return;
    CHECK(text.n <= ASSERTION_MAX && a.issuer.n > 0 && a.signing_input.p == text.p);
    CHECK(a.signing_input.n + 1 + a.signature.n == text.n);
    struct slice pem = slice_make(public_text, public_n);
    enum assertion_fault f = assertion_judge(&a, ASSERTION_GRANT, SLICE(KID), pem, NOW),
                         b = assertion_judge(&a, ASSERTION_BEARER, SLICE(KID), pem, NOW);
    CHECK(f < ASSERTION_FAULTS && b < ASSERTION_FAULTS);
    CHECK((f != ASSERTION_OK && b != ASSERTION_OK) || how == HOW_SIGNED);
    CHECK(f != ASSERTION_OK || b != ASSERTION_OK); /* nothing is both */
    if (f == ASSERTION_OK)
        check_accepted(&a);
    CHECK(assertion_judge(&a, ASSERTION_BEARER, SLICE("other"), SLICE("no key"), NOW) !=
          ASSERTION_OK);
    assertion_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!keys[0])
        make_keys();
    if (size == 0)
        return 0;
    enum how how = (enum how)(data[0] % HOW_COUNT);
    struct slice rest = slice_make(data + 1, size - 1);
    struct sbuf text;
    sbuf_init(&text, 1 << 16);
    if (how == HOW_RAW)
        sbuf_add_slice(&text, rest);
    else if (rest.n <= 3 * ASSERTION_MAX / 4)
        build(how, rest, &text);
    if (!text.failed && text.n)
        check(how, sbuf_slice(&text));
    sbuf_finish(&text);
    return 0;
}
