/* Values at rest: AES-256-GCM under a key derived from the master key, bound to table, row and
 * column. */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H
#include "base/err.h"
#include "base/sbuf.h"
#include "base/secret.h"

#define MASTER_KEY_SIZE 32
#define HMAC_SIZE 32

struct master_key;

void master_key_unref(struct master_key **k);
/** From exactly 32 bytes: derives (HKDF-SHA256, RFC 5869) one key for sealing, one for placeholder
 * hashes and one for passes. */
enum err master_key_new(struct slice bytes, struct master_key **ret) NODISCARD;
/** Reads a file of exactly 32 bytes that only its owner may read (mode 0600 or stricter), else
 * ERR_PERMISSION, ERR_NOT_FOUND, ERR_INVALID with a sentence. */
enum err master_key_load(const char *path, struct master_key **ret, struct errmsg *msg) NODISCARD;
struct master_key *master_key_ref(struct master_key *k);

/** Where a sealed value lives; part of the authenticated data, so a row copied elsewhere does not
 * open. */
struct seal_place {
    const char *table, *row, *column;
};

/** Appends version, nonce, ciphertext and tag to OUT. Thread: any. */
enum err seal(const struct master_key *k, const struct seal_place *at, struct slice plain,
              struct sbuf *out) NODISCARD;
/** ERR_CRYPTO when the key, the place or the bytes are not the ones sealed. */
enum err unseal(const struct master_key *k, const struct seal_place *at, struct slice sealed,
                struct secret **ret) NODISCARD;

/** The keyed hash under which a placeholder is stored: HMAC-SHA256. Thread: any. */
enum err placeholder_hash(const struct master_key *k, struct slice placeholder,
                          unsigned char ret[HMAC_SIZE]) NODISCARD;

/** What makes a pass (a short-lived placeholder) ours: HMAC-SHA256 under a key of its own. Thread:
 * any. */
enum err pass_mac(const struct master_key *k, struct slice bytes,
                  unsigned char ret[HMAC_SIZE]) NODISCARD;

/** Fills P with N random bytes; aborts when the system has none. */
void random_bytes(void *p, size_t n);

#endif
