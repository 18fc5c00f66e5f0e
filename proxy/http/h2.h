/* HTTP/2 behind the contract of stream.h (RFC 9113), by nghttp2. */
#ifndef HTTP_H2_H
#define HTTP_H2_H
#include "http/stream.h"

/** An HTTP/2 session that has said its SETTINGS. Borrows OUT, SINK, OWNER. Many streams at once:
 * session_open gives another one as long as the peer takes more. NULL on no memory. */
struct session *h2_create(enum role role, const struct session_limits *limits, struct outlet *out,
                          const struct session_sink *sink, void *owner);

#endif
