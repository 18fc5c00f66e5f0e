/* What a worker remembers of the placeholders that it lately found good: their keyed hash, and
 * their spellings ready for the last look. The verdict is not in it: each request asks the snapshot
 * of the day. */
#ifndef AUTH_MEMO_H
#define AUTH_MEMO_H
#include "auth/scan.h"
#include "base/err.h"
#include "base/seal.h"

/* Holds placeholders in clear, as a worker's token cache holds tokens: wiped when it goes. */
struct auth_memo;

struct auth_known {
    unsigned char hash[HMAC_SIZE]; /* placeholder_hash */
    bool is_asked_for;             /* since the last auth_memo_age */
    struct auth_scan scan;
};

/** Empty; grows to 64 placeholders (7 KB each) by use. For one master key. Not thread-safe. */
enum err auth_memo_create(struct auth_memo **ret) NODISCARD;
void auth_memo_destroy(struct auth_memo *m);
/** NULL when it is not there. Compares in constant time. Borrowed until the next add or age. */
const struct auth_known *auth_memo_find(struct auth_memo *m, struct slice placeholder);
/** In the place of another, if need be. NULL when it cannot be kept. Borrowed as above. */
const struct auth_known *auth_memo_add(struct auth_memo *m, struct slice placeholder,
                                       const unsigned char hash[HMAC_SIZE]);
/** Forgets what nobody asked for since the last call; the worker calls it each half minute. */
void auth_memo_age(struct auth_memo *m);

#endif
