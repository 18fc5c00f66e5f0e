/* Shared by the files of this room only. */
#ifndef KEYS_KEYS_INTERNAL_H
#define KEYS_KEYS_INTERNAL_H
#include "base/err.h"
#include "base/slice.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#define LEAF_DAYS_MAX 30

/** A positive 128-bit random serial. */
bool cert_set_serial(X509 *x);
/** notBefore and notAfter from Unix seconds. */
bool cert_set_times(X509 *x, int64_t from_s, int64_t to_s);
/** Unix s; 0 for a time that is none. */
int64_t cert_unix(const ASN1_TIME *t);
/** Adds a text entry to a name. */
bool cert_name_add(X509_NAME *name, const char *field, const char *value);
/** Adds an extension in OpenSSL's configuration syntax; ISSUER for authorityKeyIdentifier. */
bool cert_add_ext(X509 *x, X509 *issuer, int nid, const char *value);

/** A pem_password_cb that has none; without it OpenSSL would ask the terminal. */
int pem_no_passphrase(char *buf, int size, int rwflag, void *arg);

enum host_kind {
    HOST_BAD,
    HOST_NAME,
    HOST_IPV4,
    HOST_IPV6
};
/** What HOST is; a name is lower-case letters, digits and hyphens in labels. */
enum host_kind host_kind(struct slice host);
/** True when HOST is PERMITTED or a name below it. */
bool host_is_below(struct slice host, struct slice permitted);

/** A leaf for HOST over LEAF_KEY's public half, signed by the CA; see keeper_sign_leaf. */
enum err leaf_sign(X509 *ca, EVP_PKEY *ca_key, struct slice host, EVP_PKEY *leaf_key, int64_t days,
                   X509 **ret) NODISCARD;

#endif
