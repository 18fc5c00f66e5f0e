/* Bytes that no format, log or core may see: a type of their own, wiped when the last owner lets
 * go. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H
#include "base/err.h"
#include "base/slice.h"

struct secret;

/** Drops one reference and clears *S; the last one wipes and frees. */
void secret_unref(struct secret **s);
/** A copy of N bytes with one reference; NULL on no memory. The caller wipes its own copy. */
struct secret *secret_new(const void *p, size_t n);
struct secret *secret_ref(struct secret *s);
/** The bytes, borrowed: for the one place that writes them to the wire or into a key. */
struct slice secret_bytes(const struct secret *s);
/** Constant time for equal lengths. */
bool secret_eq(const struct secret *a, struct slice b);

#define FINGERPRINT_SIZE 9
/** First 8 hex digits of SHA-256, NUL-terminated: how keys and tokens are shown to people. */
void fingerprint(struct slice bytes, char ret[FINGERPRINT_SIZE]);

#endif
