/* The verifying end of RFC 7515 and 7523, one algorithm wide: the header is allowed to say RS256
 * and nothing else, so that no choice of an attacker's ever leads to another check. */
#include "keys/assertion.h"

#include "base/check.h"
#include "keys/json.h"
#include "keys/jwt.h"
#include "keys/keyfile.h"
#include "keys/keys_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#define PEM_MAX 8192
#define TIME_MAX 1e11 /* beyond it a double still counts seconds, but nobody's clock does */

void virtual_email_add(struct sbuf *out, struct slice name)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        char lower = ascii_lower(name.p[i]);
        if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
            c == '-') {
            sbuf_addc(out, name.p[i]);
        } else {
            char code[3] = {'=', hex[c >> 4], hex[c & 15]};
            sbuf_add(out, code, sizeof code);
        }
    }
    sbuf_adds(out, VIRTUAL_DOMAIN);
}

/* How many bytes follow LEAD in UTF-8, and where the first of them lies (RFC 3629 section 4:
 * neither overlong nor surrogates nor beyond U+10FFFF). False when nothing begins with it. */
static bool utf8_tail(unsigned char lead, unsigned *ret_more, unsigned char *ret_lo,
                      unsigned char *ret_hi)
{
    static const struct {
        unsigned char from, to, more, lo, hi;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
        {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
        {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f}};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (lead < forms[i].from || lead > forms[i].to)
            continue;
        *ret_more = forms[i].more;
        *ret_lo = forms[i].lo;
        *ret_hi = forms[i].hi;
        return true;
    }
    return false;
}

/* cJSON takes any byte. */
static bool is_utf8(struct slice s)
{
    unsigned more = 0;
    unsigned char lo = 0, hi = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (more == 0) {
            if (!utf8_tail(c, &more, &lo, &hi))
                return false;
            continue;
        }
        if (c < lo || c > hi)
            return false;
        more--;
        lo = 0x80;
        hi = 0xbf;
    }
    return more == 0;
}

/* RFC 7515 has no padding, but google-auth for Python wrote it until 1.6, and Google takes it. */
static bool decode(struct slice part, struct sbuf *out)
{
    if (part.n && part.n % 4 == 0)
        for (unsigned i = 0; i < 2 && part.p[part.n - 1] == '='; i++)
            part.n--;
    return base64url_decode(part, out);
}

static enum err parse_part(struct slice part, cJSON **ret)
{
    struct sbuf text;
    sbuf_init(&text, ASSERTION_MAX);
    enum err e = decode(part, &text) && is_utf8(sbuf_slice(&text)) ? ERR_OK : ERR_INVALID;
    if (e == ERR_OK)
        e = json_object_parse(sbuf_slice(&text), ASSERTION_MAX, ret, NULL);
    sbuf_finish(&text);
    return e;
}

/* A member that is a string, or "" when there is none. */
static bool text_member(const cJSON *root, const char *name, struct slice *ret)
{
    const cJSON *m = NULL;
    if (json_member(root, name, &m) != ERR_OK || (m && !cJSON_IsString(m)))
        return false;
    *ret = m ? slice_of(m->valuestring) : SLICE("");
    return true;
}

enum err assertion_parse(struct slice text, struct assertion *ret)
{
    struct slice rest = text, header, claims, signature;
    if (text.n > ASSERTION_MAX)
        return ERR_TOO_LARGE;
    if (!slice_next(&rest, '.', &header) || !slice_next(&rest, '.', &claims) ||
        !slice_next(&rest, '.', &signature) || rest.p || !header.n || !claims.n || !signature.n)
        return ERR_INVALID;
    struct assertion a = {.header = header,
                          .signing_input = slice_sub(text, 0, header.n + 1 + claims.n),
                          .signature = signature};
    enum err e = parse_part(claims, &a.claims);
    if (e != ERR_OK)
        return e;
    if (!text_member(a.claims, "iss", &a.issuer) || a.issuer.n == 0) {
        assertion_finish(&a);
        return ERR_INVALID;
    }
    *ret = a;
    return ERR_OK;
}

void assertion_finish(struct assertion *a)
{
    json_object_destroy(a->claims);
    a->claims = NULL;
}

/* "crit" names extensions that a reader must know (RFC 7515 section 4.1.11), and we know none. */
static enum assertion_fault judge_header(struct slice part, struct slice key_id)
{
    cJSON *header = NULL;
    struct slice alg, typ, kid;
    const cJSON *crit = NULL;
    if (parse_part(part, &header) != ERR_OK)
        return ASSERTION_MALFORMED;
    enum assertion_fault fault = ASSERTION_OK;
    if (!text_member(header, "alg", &alg) || !text_member(header, "typ", &typ) ||
        !text_member(header, "kid", &kid) || json_member(header, "crit", &crit) != ERR_OK || crit ||
        (typ.n && !slice_ieq(typ, SLICE("JWT"))))
        fault = ASSERTION_MALFORMED;
    else if (!slice_eq(alg, SLICE("RS256")))
        fault = ASSERTION_ALGORITHM;
    else if (kid.n && !slice_eq(kid, key_id))
        fault = ASSERTION_KEY;
    json_object_destroy(header);
    return fault;
}

static EVP_PKEY *read_public_key(struct slice pem)
{
    BIO *in = pem.n && pem.n <= PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, pem_no_passphrase, NULL) : NULL;
    BIO_free(in);
    if (key && (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
                EVP_PKEY_get_bits(key) < RSA_BITS_MIN || EVP_PKEY_get_bits(key) > RSA_BITS_MAX)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static enum assertion_fault judge_signature(const struct assertion *a, struct slice public_pem)
{
    struct sbuf raw;
    EVP_PKEY *key = read_public_key(public_pem);
    EVP_MD_CTX *ctx = key ? EVP_MD_CTX_new() : NULL;
    enum assertion_fault fault = key ? ASSERTION_SIGNATURE : ASSERTION_KEY;
    sbuf_init(&raw, ASSERTION_MAX);
    if (ctx && decode(a->signature, &raw) &&
        EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(ctx, (const unsigned char *)raw.p, raw.n,
                         (const unsigned char *)a->signing_input.p, a->signing_input.n) == 1)
        fault = ASSERTION_OK;
    sbuf_finish(&raw);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return fault;
}

static bool time_member(const cJSON *claims, const char *name, int64_t *ret)
{
    const cJSON *m = NULL;
    if (json_member(claims, name, &m) != ERR_OK || !cJSON_IsNumber(m) || !(m->valuedouble >= 0) ||
        !(m->valuedouble <= TIME_MAX))
        return false;
    *ret = (int64_t)m->valuedouble;
    return true;
}

/* Our clock is the one that counts; ours and the client's may differ by the skew. */
static bool times_ok(const cJSON *claims, int64_t now_s)
{
    int64_t iat, exp;
    return time_member(claims, "iat", &iat) && time_member(claims, "exp", &exp) && exp > iat &&
           exp - iat <= ASSERTION_LIFE_S && iat <= now_s + ASSERTION_SKEW_S &&
           exp > now_s - ASSERTION_SKEW_S;
}

/* Both addresses of the endpoint, and the one before them, which old libraries still write. */
static bool audience_ok(struct slice aud)
{
    static const char *const known[] = {"https://oauth2.googleapis.com/token",
                                        "https://www.googleapis.com/oauth2/v4/token",
                                        "https://accounts.google.com/o/oauth2/token"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(aud, slice_of(known[i])))
            return true;
    return false;
}

/* "https://HOST/..." of a service of Google's; or none, when there are scopes instead. */
static bool service_ok(const cJSON *claims, struct slice aud)
{
    struct slice scope, prefix = SLICE("https://");
    if (aud.n == 0)
        return text_member(claims, "scope", &scope) && scope.n;
    struct slice rest = slice_sub(aud, prefix.n, aud.n);
    struct slice host = slice_sub(rest, 0, slice_find(rest, '/', 0));
    for (size_t i = 0; i < host.n; i++)
        if (!((host.p[i] >= 'a' && host.p[i] <= 'z') || (host.p[i] >= '0' && host.p[i] <= '9') ||
              host.p[i] == '-' || host.p[i] == '.'))
            return false;
    return slice_starts(aud, prefix) && slice_ends(host, SLICE(".googleapis.com")) &&
           !audience_ok(aud);
}

static enum assertion_fault judge_claims(const struct assertion *a, enum assertion_use use,
                                         int64_t now_s)
{
    struct slice aud, sub;
    const cJSON *target = NULL;
    if (!text_member(a->claims, "aud", &aud) ||
        !(use == ASSERTION_GRANT ? audience_ok(aud) : service_ok(a->claims, aud)))
        return ASSERTION_AUDIENCE;
    if (!times_ok(a->claims, now_s))
        return ASSERTION_TIME;
    if (json_member(a->claims, "target_audience", &target) != ERR_OK || target)
        return ASSERTION_ID_TOKEN;
    if (!text_member(a->claims, "sub", &sub) || (sub.n && !slice_eq(sub, a->issuer)))
        return ASSERTION_SUBJECT;
    return ASSERTION_OK;
}

enum assertion_fault assertion_judge(const struct assertion *a, enum assertion_use use,
                                     struct slice key_id, struct slice public_pem, int64_t now_s)
{
    enum assertion_fault fault = judge_header(a->header, key_id);
    if (fault == ASSERTION_OK)
        fault = judge_claims(a, use, now_s);
    /* last, for it is dear: a stranger must have got all else right */
    return fault == ASSERTION_OK ? judge_signature(a, public_pem) : fault;
}
