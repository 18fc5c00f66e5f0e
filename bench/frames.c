/* The way out: nghttp2 gives frames one by one, TLS and the socket want them together. */
#include "frames.h"

#include <string.h>

enum {
    RECORD_BYTES = 16384,
    FRAME_MAX = RECORD_BYTES + 9,
};

static void fill(struct frames_out *out, nghttp2_session *ng)
{
    out->n = out->done = 0;
    while (sizeof out->bytes - out->n >= FRAME_MAX) {
        const uint8_t *frame;
        ssize_t n = nghttp2_session_mem_send(ng, &frame);
        if (n <= 0)
            return;
        memcpy(out->bytes + out->n, frame, (size_t)n);
        out->n += (size_t)n;
    }
}

int frames_send(struct frames_out *out, nghttp2_session *ng, SSL *ssl)
{
    for (;;) {
        if (out->done == out->n)
            fill(out, ng);
        size_t left = out->n - out->done;
        if (!left)
            return 1;
        int n =
            SSL_write(ssl, out->bytes + out->done, left < RECORD_BYTES ? (int)left : RECORD_BYTES);
        if (n <= 0)
            return SSL_get_error(ssl, n) == SSL_ERROR_WANT_WRITE ? 1 : n;
        out->done += (size_t)n;
    }
}

nghttp2_nv frames_field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

bool frames_is(const uint8_t *name, size_t n, const char *wanted)
{
    return n == strlen(wanted) && !memcmp(name, wanted, n);
}
