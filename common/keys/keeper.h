/* The one door to the rare secrets (CA key, service-account private keys): sign this leaf, sign
 * this JWT. In-process for now; the same calls can go to a process without network that holds the
 * keys alone. */
#ifndef KEYS_KEEPER_H
#define KEYS_KEEPER_H
#include "base/err.h"
#include "base/sbuf.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

struct keeper;
struct master_key;

struct keeper_ops {
    enum err (*sign_jwt)(void *self, int64_t account_id, struct slice signing_input,
                         struct sbuf *ret_signature);
    enum err (*sign_leaf)(void *self, struct slice host, EVP_PKEY *leaf_key, X509 **ret);
    void (*forget)(void *self, int64_t account_id); /* NULL: nothing is cached */
    void (*destroy)(void *self);
};

/** In-process: CA from CERT_PATH and KEY_PATH (key 0600 or stricter), private keys from the store
 * at STORE_PATH (own read-only connection, opened on first use), unsealed with KEY. PERMITTED
 * domains: leaves are signed for names equal to or below them only (T-16). Errors carry a sentence.
 */
struct keeper_conf {
    const char *ca_cert_path, *ca_key_path, *store_path;
    struct master_key *key;
    int64_t leaf_days;
    const char *const *permitted;
    size_t permitted_count;
};
enum err keeper_create(const struct keeper_conf *c, struct keeper **ret,
                       struct errmsg *msg) NODISCARD;
void keeper_destroy(struct keeper *k);
/** A keeper that answers with OPS on SELF (a helper process, a fake in a test); CA_PEM_TEXT is the
 * public certificate that it signs with. On success SELF belongs to the keeper. ERR_INVALID when
 * the text holds no certificate. */
enum err keeper_wrap(const struct keeper_ops *ops, void *self, struct slice ca_pem_text,
                     struct keeper **ret) NODISCARD;

/** RS256 (RFC 7515 A.2) over SIGNING_INPUT with the account's private key; the raw signature is
 * appended. ERR_NOT_FOUND: no such account; ERR_CRYPTO: its key does not open or parse. Thread: any
 * (locks inside). */
enum err keeper_sign_jwt(struct keeper *k, int64_t account_id, struct slice signing_input,
                         struct sbuf *ret_signature, struct errmsg *msg) NODISCARD;
/** A leaf for HOST (canonical lower-case name) over the public half of LEAF_KEY: one SAN,
 * serverAuth, 128-bit serial, valid from an hour ago for leaf_days (30 at most). ERR_DENIED for a
 * name outside the permitted domains. Thread: any. */
enum err keeper_sign_leaf(struct keeper *k, struct slice host, EVP_PKEY *leaf_key,
                          X509 **ret) NODISCARD;
/** Forgets a cached private key (account edited or removed). */
void keeper_forget(struct keeper *k, int64_t account_id);
/** The CA certificate, borrowed; PEM text as on disk, and SHA-256 of that text in hex (64 + NUL).
 */
X509 *keeper_ca(const struct keeper *k);
struct slice keeper_ca_pem(const struct keeper *k);
const char *keeper_ca_sha256(const struct keeper *k);

#endif
