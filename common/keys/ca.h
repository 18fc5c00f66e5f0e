/* The certificate authority of this installation: made once, constrained to the domains that may be
 * swapped. */
#ifndef KEYS_CA_H
#define KEYS_CA_H
#include "base/err.h"
#include "base/slice.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#define CA_DAYS_MIN (5 * 365)
#define CA_DAYS_MAX (10 * 366)
#define CA_DAYS_DEFAULT (5 * 365)

struct ca_params {
    const char *host; /* of this installation; shown in the name, "" is fine */
    /* Domains (each permits itself and everything below it) and IP literals that leaves may be for:
     * swap_domains, and the proxy's own names when it listens inside TLS. At least one. */
    const char *const *permitted;
    size_t permitted_count;
    int64_t days; /* CA_DAYS_MIN..CA_DAYS_MAX; 0: the default */
};

/** Makes a P-256 CA (critical basicConstraints pathlen 0, keyUsage, nameConstraints; 128-bit
 * serial) and writes KEY_PATH (0600) and CERT_PATH (0644) whole or not at all; neither is ever
 * overwritten. Errors: ERR_EXISTS, ERR_INVALID (a name that is none), ERR_IO, each with a sentence.
 * Source: RFC 5280 4.2.1. */
enum err ca_create(const struct ca_params *p, const char *cert_path, const char *key_path,
                   struct errmsg *msg) NODISCARD;

struct ca;
void ca_destroy(struct ca *ca);
/** Reads both files. ERR_NOT_FOUND; ERR_PERMISSION when the key is readable, or the certificate
 * writable, by others; ERR_INVALID when it is no CA or the two do not belong together; ERR_CERT
 * when it is out of date. */
enum err ca_load(const char *cert_path, const char *key_path, struct ca **ret,
                 struct errmsg *msg) NODISCARD;
/** All borrowed. The PEM text is as on disk. */
X509 *ca_cert(const struct ca *ca);
EVP_PKEY *ca_key(const struct ca *ca);
struct slice ca_pem(const struct ca *ca);

/* What people are shown of a CA certificate; text is printable ASCII. */
struct ca_info {
    char name[96];
    int64_t not_before, not_after; /* Unix s */
    char sha256[65]; /* of the DER form, hex: what browsers and `openssl x509 -fingerprint` show */
    char permitted[1024]; /* "googleapis.com anthropic.com 10.0.0.1", "" when not constrained */
};
enum err ca_info_of(X509 *cert, struct ca_info *ret) NODISCARD;
/** The certificate file alone, for programs that may not read the key. */
enum err ca_info_load(const char *cert_path, struct ca_info *ret, struct errmsg *msg) NODISCARD;
/** Whether the CA's name constraints let it sign for HOST (a name or an IP literal). */
bool ca_permits(X509 *cert, struct slice host);

#endif
