/* The credential of a request over HTTP/2, from our memory to the wire: nghttp2 does not see it. */
#ifndef HTTP_H2_SECRET_H
#define HTTP_H2_SECRET_H
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/** The most that h2_secret_frame adds to a frame, beside the value itself. */
#define H2_SECRET_ROOM 16u

struct h2_secret {
    char *p; /* owned; NULL: none */
    size_t n;
};

/** Keeps a copy of VALUE, of the field "authorization". */
enum err h2_secret_keep(struct h2_secret *s, struct slice value) NODISCARD;
/** Wipes and forgets; none is fine. */
void h2_secret_drop(struct h2_secret *s);
/** FRAME is a HEADERS frame, whole and with a whole block, to which the field is appended: writes
 * to HEAD its first 9 bytes anew, and to FIELD what stands before the value. Returns how many bytes
 * FIELD has. On the wire follow each other: HEAD, FRAME from its byte 9 on, FIELD, the value. */
size_t h2_secret_frame(const struct h2_secret *s, const uint8_t *frame, uint8_t head[9],
                       uint8_t field[H2_SECRET_ROOM]);

#endif
