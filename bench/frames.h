/* What load and origin do alike over HTTP/2. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    WINDOW_BYTES = 256 << 10,           /* of a stream */
    CONNECTION_WINDOW_BYTES = 16 << 20, /* streams that are not read must not use it up */
};

/* Frames on their way into TLS. */
struct frames_out {
    size_t n, done;
    char bytes[65536];
};

/** Sends all that may go, in as few writes as it can. 1: it has left, or the socket takes no more;
 * otherwise what SSL_write gave. */
int frames_send(struct frames_out *out, nghttp2_session *ng, SSL *ssl);
/** A header field; borrows both texts. */
nghttp2_nv frames_field(const char *name, const char *value);
/** Whether a name that was received is WANTED. */
bool frames_is(const uint8_t *name, size_t n, const char *wanted);

#endif
