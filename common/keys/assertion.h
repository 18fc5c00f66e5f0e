/* Assertions (RFC 7523) that come to us: what a client's virtual service account signed, judged as
 * Google's token endpoint judges. Pure; every byte is a stranger's. */
#ifndef KEYS_ASSERTION_H
#define KEYS_ASSERTION_H
#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

#include <cjson/cJSON.h>
#include <stdint.h>

#define ASSERTION_MAX 8192
#define ASSERTION_LIFE_S 3600 /* from iat to exp, as at Google */
#define ASSERTION_SKEW_S 60   /* a client's clock may be wrong by so much */
#define VIRTUAL_DOMAIN "@credswap.iam.gserviceaccount.com"
#define VIRTUAL_PROJECT "credswap"
#define VIRTUAL_EMAIL_MAX 512

/** Appends the e-mail address of the virtual service account of the client NAME: letters, digits
 * and . _ - stay, any other byte becomes "=XX" (no client's name holds =), so that no two clients
 * share one. */
void virtual_email_add(struct sbuf *out, struct slice name);

/* The parts of an assertion. Nothing in it is proved before assertion_judge. */
struct assertion {
    struct slice header, signing_input, signature; /* into the text; base64url */
    cJSON *claims;
    struct slice issuer; /* into claims */
};

/** Takes TEXT apart as far as its issuer. ERR_INVALID or ERR_TOO_LARGE when it is no assertion or
 * names no one issuer; then there is nothing to finish. TEXT must outlive *RET. */
enum err assertion_parse(struct slice text, struct assertion *ret) NODISCARD;
void assertion_finish(struct assertion *a);

enum assertion_fault {
    ASSERTION_OK,
    ASSERTION_MALFORMED, /* header or claims: no JSON, a member twice or of the wrong kind */
    ASSERTION_ALGORITHM, /* not RS256 */
    ASSERTION_KEY,       /* names another key, or the public key is none */
    ASSERTION_SIGNATURE,
    ASSERTION_AUDIENCE, /* not for us, or for more than one */
    ASSERTION_TIME,     /* expired, from the future, or for more than an hour */
    ASSERTION_ID_TOKEN, /* asks for an identity, which we cannot give */
    ASSERTION_SUBJECT,  /* wants to act for a user, which we cannot do */
    ASSERTION_FAULTS
};
/* What it is for. */
enum assertion_use {
    ASSERTION_GRANT, /* the token endpoint: RFC 7523 */
    ASSERTION_BEARER /* stands in a token's place: AIP-4111 */
};
/** Verifies A against the key whose id is KEY_ID (an assertion need not name it, but must not name
 * another) and whose public half is PUBLIC_PEM (RSA, 2048 to 8192 bits), at NOW_S (Unix s). The
 * signature is judged last, for it is dear; until then the claims can only refuse. */
enum assertion_fault assertion_judge(const struct assertion *a, enum assertion_use use,
                                     struct slice key_id, struct slice public_pem,
                                     int64_t now_s) NODISCARD;

#endif
