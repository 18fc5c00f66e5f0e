/* The one list of things that can go wrong. Functions return enum err; people read err_str(). */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include <stddef.h>

#define ERR_LIST(X)                                                                                \
    X(OK, "ok")                                                                                    \
    X(AGAIN, "not now, try again")                                                                 \
    X(NOMEM, "out of memory")                                                                      \
    X(INVALID, "invalid value")                                                                    \
    X(TOO_LARGE, "too large")                                                                      \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "exists already")                                                                    \
    X(DENIED, "not allowed")                                                                       \
    X(IO, "input/output error")                                                                    \
    X(TIMEOUT, "timed out")                                                                        \
    X(CLOSED, "connection closed")                                                                 \
    X(REFUSED, "connection refused")                                                               \
    X(UNRESOLVED, "name does not resolve")                                                         \
    X(TLS, "TLS failure")                                                                          \
    X(CERT, "certificate does not verify")                                                         \
    X(PROTOCOL, "protocol violation")                                                              \
    X(CRYPTO, "cryptography failure")                                                              \
    X(CONFIG, "bad configuration")                                                                 \
    X(BUSY, "busy")                                                                                \
    X(DB, "database failure")                                                                      \
    X(SCHEMA, "database schema is newer than this program")                                        \
    X(PERMISSION, "permissions are too wide")                                                      \
    X(DRAINING, "shutting down")                                                                   \
    X(LIMIT, "limit reached")

enum err {
#define X(name, text) ERR_##name,
    ERR_LIST(X)
#undef X
    ERR_COUNT
};

#define NODISCARD __attribute__((warn_unused_result))

/** One sentence fragment for people; never NULL. Thread: any. */
const char *err_str(enum err e);

/** A sentence for people that goes up with an enum err on cold paths (conf, store, CA). */
struct errmsg {
    char text[512];
};

/** Formats into M (may be NULL) and returns E, so that `return err_set(...)` reads well.
 *  Never pass a secret. */
enum err err_set(struct errmsg *m, enum err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
