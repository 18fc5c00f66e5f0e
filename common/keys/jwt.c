/* Assertions: text in, text out; the signature is the keeper's. */
#include "keys/jwt.h"

#include <openssl/err.h>

#define JWT_PART_MAX 16384

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_add(struct sbuf *out, struct slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? (uint32_t)p[i + 2] : 0);
        char quad[4] = {alphabet[v >> 18 & 63], alphabet[v >> 12 & 63], alphabet[v >> 6 & 63],
                        alphabet[v & 63]};
        sbuf_add(out, quad, left > 2 ? 4 : left + 1);
    }
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct slice text, struct sbuf *out)
{
    if (text.n % 4 == 1)
        return false;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit_of(text.p[i]);
        if (d < 0)
            return false;
        acc = acc << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            sbuf_addc(out, (char)(acc >> bits & 0xff));
            acc &= (1u << bits) - 1;
        }
    }
    return acc == 0 && !out->failed;
}

void jwt_set_times(struct jwt_claims *c, int64_t now_s, int64_t skew_s)
{
    c->iat = now_s - skew_s - JWT_BACKDATE_S;
    c->exp = c->iat + JWT_LIFE_S;
}

static void add_member(struct sbuf *b, const char *name, struct slice value)
{
    sbuf_addf(b, "%s\"%s\":", b->n > 1 ? "," : "", name);
    sbuf_add_json(b, value);
}

void jwt_add_signing_input(struct sbuf *out, const struct jwt_claims *c)
{
    struct sbuf part;
    sbuf_init(&part, JWT_PART_MAX);
    sbuf_adds(&part, "{");
    add_member(&part, "alg", SLICE("RS256"));
    add_member(&part, "typ", SLICE("JWT"));
    if (c->kid.n)
        add_member(&part, "kid", c->kid);
    sbuf_adds(&part, "}");
    base64url_add(out, sbuf_slice(&part));
    sbuf_addc(out, '.');
    bool failed = part.failed;
    sbuf_clear(&part);
    sbuf_adds(&part, "{");
    add_member(&part, "iss", c->iss);
    if (c->sub.n)
        add_member(&part, "sub", c->sub);
    add_member(&part, "scope", c->scope);
    add_member(&part, "aud", c->aud);
    sbuf_adds(&part, ",\"iat\":");
    sbuf_add_i64(&part, c->iat);
    sbuf_adds(&part, ",\"exp\":");
    sbuf_add_i64(&part, c->exp);
    sbuf_adds(&part, "}");
    base64url_add(out, sbuf_slice(&part));
    out->failed |= failed | part.failed;
    sbuf_finish(&part);
}

enum err jwt_sign(EVP_PKEY *key, struct slice signing_input, struct sbuf *ret_signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        return ERR_NOMEM;
    enum err e = ERR_CRYPTO;
    size_t n = 0;
    const unsigned char *in = (const unsigned char *)signing_input.p;
    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, NULL, &n, in, signing_input.n) == 1) {
        unsigned char *to = (unsigned char *)sbuf_reserve(ret_signature, n);
        if (!to) {
            e = ERR_NOMEM;
        } else if (EVP_DigestSign(ctx, to, &n, in, signing_input.n) == 1) {
            sbuf_commit(ret_signature, n);
            e = ERR_OK;
        }
    }
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return e;
}
