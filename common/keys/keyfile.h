/* Google's service-account key files: parsed once, when an account is added. */
#ifndef KEYS_KEYFILE_H
#define KEYS_KEYFILE_H
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

#include <openssl/evp.h>

#define KEYFILE_MAX 65536
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

/* All strings are owned, printable ASCII without spaces, and never NULL. */
struct keyfile {
    char *project_id, *private_key_id, *client_email;
    char *token_uri;       /* one of the caller's list */
    char *universe_domain; /* "googleapis.com" when the file does not say */
    struct secret
        *private_key; /* PEM, PKCS#8 or PKCS#1; it parses and is RSA of RSA_BITS_MIN at least */
    int bits;
};

void keyfile_destroy(struct keyfile *k);
/** Reads a key file of type service_account. TOKEN_URI_ALLOW: where assertions may be sent; a file
 * that names another place is refused (ERR_DENIED). A file without token_uri gets the first of the
 * list. Errors: ERR_INVALID and ERR_TOO_LARGE, with a sentence that never holds a byte of the
 * file's values. */
enum err keyfile_parse(struct slice json, const char *const *token_uri_allow, size_t allow_count,
                       struct keyfile **ret, struct errmsg *msg) NODISCARD;

/** An RSA private key from PEM text; never asks for a passphrase. ERR_CRYPTO when it is none, is
 * encrypted, or of another kind or size. The caller frees with EVP_PKEY_free. */
enum err private_key_parse(struct slice pem, EVP_PKEY **ret, struct errmsg *msg) NODISCARD;

#endif
