/* Passes: short-lived placeholders that we hand out for an assertion, or as the metadata server.
 * They stand wherever a placeholder stands, and lead to the same client. Nothing is kept of them:
 * a pass carries its client's id and its end, and a keyed hash over both and over all that revokes
 * it. So every worker knows it, and so does the next start. */
#ifndef AUTH_PASS_H
#define AUTH_PASS_H
#include "base/sbuf.h"
#include "base/seal.h"
#include "http/head.h"
#include "store/snapshot.h"

#define PASS_LIFE_S 3600
#define PASS_SIZE 75 /* bytes of each */

/** Appends a pass for C that ends at EXPIRES_AT (Unix s). It ends earlier when the client is
 * switched off or expires, or when its placeholder, its service account's key or the key's id
 * changes. Thread: any. */
enum err pass_add(const struct master_key *k, const struct snap_client *c, int64_t expires_at,
                  struct sbuf *out) NODISCARD;

/** By its looks alone: is this one, good or not? */
bool pass_is_one(struct slice text);
/** The client that TEXT was made for by pass_add, and its end; false for all else, a revoked one
 * included. Whether the client may, and whether the end has come, is for the caller. Compares in
 * constant time. Thread: any. */
bool pass_verify(struct slice text, const struct snapshot *s, const struct master_key *k,
                 const struct snap_client **ret, int64_t *ret_expires_at);
/** Does TEXT hold one anywhere, in clear? */
bool pass_is_in(struct slice text);
/** Does any part of H? */
bool pass_is_in_head(const struct head *h);

#endif
