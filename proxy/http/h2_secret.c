/* A block of HPACK is a row of fields, and one that enters no table may stand behind it without
 * the encoder's knowledge (RFC 7541 section 6.2.3). So the token is written by us: nghttp2 would
 * spell it by Huffman's code, 26,000 instructions for a kilobyte, and keep what it wrote in its
 * buffers. */
#include "http/h2_secret.h"

#include "base/mem.h"

#define FRAME_HEAD 9u
#define NEVER_INDEXED 0x10u /* and the low half for the name's number */
#define AUTHORIZATION 23u   /* of the static table */

enum err h2_secret_keep(struct h2_secret *s, struct slice value)
{
    char *p = mem_dupn(value.p, value.n);
    if (!p)
        return ERR_NOMEM;
    h2_secret_drop(s);
    *s = (struct h2_secret){p, value.n};
    return ERR_OK;
}

void h2_secret_drop(struct h2_secret *s)
{
    if (s->p)
        mem_wipe(s->p, s->n);
    mem_free(s->p);
    *s = (struct h2_secret){0};
}

/* RFC 7541 section 5.1; the bits above the prefix are FLAGS. */
static size_t write_number(uint8_t *to, uint8_t flags, unsigned prefix_bits, size_t number)
{
    size_t most = (1u << prefix_bits) - 1, n = 0;
    if (number < most) {
        to[n++] = (uint8_t)(flags | number);
        return n;
    }
    to[n++] = (uint8_t)(flags | most);
    for (number -= most; number >= 128; number >>= 7)
        to[n++] = (uint8_t)(128 | (number & 127));
    to[n++] = (uint8_t)number;
    return n;
}

size_t h2_secret_frame(const struct h2_secret *s, const uint8_t *frame, uint8_t head[9],
                       uint8_t field[H2_SECRET_ROOM])
{
    size_t n = write_number(field, NEVER_INDEXED, 4, AUTHORIZATION);
    n += write_number(field + n, 0, 7, s->n);
    size_t length = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
    length += n + s->n;
    memcpy(head, frame, FRAME_HEAD);
    head[0] = (uint8_t)(length >> 16);
    head[1] = (uint8_t)(length >> 8);
    head[2] = (uint8_t)length;
    return n;
}
