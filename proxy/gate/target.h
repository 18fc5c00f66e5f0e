/* Where a request at the front door wants to go: from the bytes of strangers to one authority.
 * Pure. */
#ifndef GATE_TARGET_H
#define GATE_TARGET_H
#include "http/head.h"
#include "policy/policy.h"

enum target {
    TARGET_OK,
    TARGET_ORIGIN,     /* a path of our own: a page, or gateway mode */
    TARGET_BAD,        /* 400: no authority, an odd Host, or a body where none may be */
    TARGET_NOT_HTTP,   /* 400: a whole address that is no http:// one */
    TARGET_OTHER_HOST, /* 421: Host names another host than the target */
};

/** Of a CONNECT. Host may lack the port (undici, aiohttp) or be missing (urllib); a different name
 * or port is an attack or a mistake. *RET is set with TARGET_OTHER_HOST, too. */
enum target connect_target(const struct head *h, bool end, struct authority *ret);
/** Of any other request. Absolute-form: Host is replaced by the target's authority (RFC 9112
 * section 3.2.2), but a Host that differs is refused. */
enum target local_target(const struct head *h, struct authority *ret);
/** Gateway mode: true when the path is a provider's; HOST (of SIZE bytes) and PATH, a part of the
 * head's, say which. */
bool gateway_target(const struct head *h, char *host, size_t size, struct slice *ret_path);

#endif
