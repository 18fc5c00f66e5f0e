/* The one JWT we make: RFC 7523 assertions for Google's token endpoint. */
#ifndef KEYS_JWT_H
#define KEYS_JWT_H
#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

#include <openssl/evp.h>
#include <stdint.h>

#define JWT_AUDIENCE_GOOGLE "https://oauth2.googleapis.com/token"
#define JWT_LIFE_S 3600
#define JWT_BACKDATE_S 30 /* for an endpoint whose clock is a little behind ours */

/** Appends base64url without padding. Source: RFC 4648 5, RFC 7515 2. */
void base64url_add(struct sbuf *out, struct slice bytes);
/** Appends the bytes; false for padding, other alphabets, impossible lengths and stray trailing
 * bits. */
bool base64url_decode(struct slice text, struct sbuf *out) NODISCARD;

struct jwt_claims {
    struct slice kid;   /* header; may be empty */
    struct slice iss;   /* client_email */
    struct slice scope; /* space-joined */
    struct slice aud;
    struct slice sub; /* empty: left out */
    int64_t iat, exp; /* Unix s */
};
/** iat and exp for an assertion signed at NOW_S (our clock), SKEW_S being our clock minus the
 * endpoint's: backdated, and never longer than the hour that Google allows. */
void jwt_set_times(struct jwt_claims *c, int64_t now_s, int64_t skew_s);
/** Appends "header.claims", both base64url: what RS256 signs. */
void jwt_add_signing_input(struct sbuf *out, const struct jwt_claims *c);
/** Appends the raw RS256 signature (RSASSA-PKCS1-v1_5 with SHA-256). Source: RFC 7515 A.2. */
enum err jwt_sign(EVP_PKEY *key, struct slice signing_input, struct sbuf *ret_signature) NODISCARD;

#endif
