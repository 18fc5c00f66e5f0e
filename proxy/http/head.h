/* A message head as values: what a codec parsed, or what it shall write. Slices are borrowed from
 * the bytes the codec was fed (valid inside on_head only) or from the exchange's arena. */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H
#include "base/arena.h"
#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

#include <stdint.h>

/* name on the wire, X(ID, "name") ; all others are FIELD_OTHER */
#define FIELD_LIST(X)                                                                              \
    X(HOST, "host")                                                                                \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(CONNECTION, "connection")                                                                    \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(UPGRADE, "upgrade")                                                                          \
    X(EXPECT, "expect")                                                                            \
    X(HTTP2_SETTINGS, "http2-settings")                                                            \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(PROXY_AUTHENTICATION_INFO, "proxy-authentication-info")                                      \
    X(AUTHORIZATION, "authorization")                                                              \
    X(X_API_KEY, "x-api-key")                                                                      \
    X(X_GOOG_API_KEY, "x-goog-api-key")                                                            \
    X(X_GOOG_USER_PROJECT, "x-goog-user-project")                                                  \
    X(FORWARDED, "forwarded")                                                                      \
    X(VIA, "via")                                                                                  \
    X(X_REAL_IP, "x-real-ip")                                                                      \
    X(RETRY_AFTER, "retry-after")                                                                  \
    X(PROXY_STATUS, "proxy-status")                                                                \
    X(X_CREDSWAP_REQUEST_ID, "x-credswap-request-id")                                              \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(USER_AGENT, "user-agent")                                                                    \
    X(DATE, "date")                                                                                \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                      \
    X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept")                                                \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                            \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")

enum field_id {
    FIELD_OTHER,
#define X(id, name) FIELD_##id,
    FIELD_LIST(X)
#undef X
    FIELD_X_FORWARDED, /* any x-forwarded-... */
};

struct field {
    struct slice name, value;
    enum field_id id;
};

/* How the end of the body is known (RFC 9112 section 6.3). */
enum body_kind {
    BODY_NONE,
    BODY_LENGTH,
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE
};

struct head {
    /* request */
    struct slice method;
    struct slice target;            /* the request target as received */
    struct slice scheme, authority; /* absolute-form and CONNECT; else empty */
    struct slice path; /* origin-form with its query, "*" for OPTIONS *, empty for CONNECT */
    /* answer */
    int status;
    struct slice reason;
    /* both */
    uint8_t minor;   /* HTTP/1.minor */
    bool keep_alive; /* what version and Connection say */
    /* A request: GET that asks to become a WebSocket (RFC 6455 section 4.1); no body, but what both
     * sides send after the 101 are body bytes. An answer: that 101. */
    bool is_websocket;
    /* A request for a WebSocket that came by extended CONNECT (RFC 8441): it has no key, and
     * nothing else may come of it. */
    bool is_extended_connect;
    bool expects_continue;
    bool wants_trailers; /* TE: trailers */
    bool wants_upgrade;  /* Connection: upgrade and Upgrade: are both there */
    enum body_kind body;
    uint64_t content_length;
    struct field *fields;
    uint32_t count;
};

#define HEAD_MAX_FIELDS 256
#define TARGET_MAX 16384u

enum field_id field_id(struct slice name);
const char *field_name(enum field_id id);

/** The first field with this id (name), or NULL. */
const struct field *head_get(const struct head *h, enum field_id id);
const struct field *head_get_name(const struct head *h, struct slice name);
/** Appends; FIELDS must have room for it (the caller sized it). */
void head_add(struct head *h, enum field_id id, struct slice name, struct slice value);
/** Removes all fields with this id. */
void head_remove(struct head *h, enum field_id id);
/** Removes hop-by-hop fields (RFC 9110 section 7.6.1): the fixed list and those Connection names,
 * except that framing, Host and credentials cannot be named away (T-08). Content-Length and
 * Transfer-Encoding go too: the codec writes the framing anew from body and content_length. */
void head_drop_hop_by_hop(struct head *h);
/** path up to '?', and what follows it (without '?'); HAS_QUERY tells "/x?" from "/x". */
struct slice head_path_only(const struct head *h);
struct slice head_query(const struct head *h);

/** Copies H into the arena with room for EXTRA more fields; the result borrows nothing. */
enum err head_copy(struct arena *a, const struct head *h, uint32_t extra,
                   struct head *ret) NODISCARD;
/** Writes request or answer head in HTTP/1.1 form with its framing fields. Refuses (ERR_INVALID,
 * nothing usable in OUT) any name that is no token and any value or target with CTL, so nothing can
 * inject a line (T-20). HOST is written first when not empty. CLOSE adds Connection: close. */
enum err head_write_request(const struct head *h, struct slice host, bool close,
                            struct sbuf *out) NODISCARD;
enum err head_write_answer(const struct head *h, bool close, struct sbuf *out) NODISCARD;
/** Is every byte a field-value byte (visible, space, tab, obs-text) with no edge whitespace? */
bool field_value_ok(struct slice v);
bool is_token(struct slice s);
/** Printable ASCII without a space: what a request target, or a Host, is made of. */
bool head_target_ok(struct slice t);

#endif
