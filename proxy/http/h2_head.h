/* Heads in HTTP/2: from header blocks to values and back (RFC 9113 section 8). Pure. */
#ifndef HTTP_H2_HEAD_H
#define HTTP_H2_HEAD_H
#include "base/arena.h"
#include "http/stream.h"

#include <nghttp2/nghttp2.h>

/* One header block in the making. */
struct h2_gather {
    struct arena arena;
    struct field *fields;
    uint32_t count, max;
    size_t bytes, max_bytes; /* RFC 9113 section 6.5.2: with 32 for each field */
    struct slice method, scheme, authority, path, status, protocol;
    const char *bad; /* static word: what is wrong with it already */
    int bad_status;  /* 400, 431, 500 */
};

/** Nothing is owned before the first add. */
void h2_gather_init(struct h2_gather *g, const struct session_limits *limits);
/** A field as it came, its name beginning with ':' for a pseudo field. Copied. What is too much, or
 * finds no memory, is remembered in BAD, and the rest of the block is dropped. */
void h2_gather_add(struct h2_gather *g, struct slice name, struct slice value);
/** Wiped: blocks carry credentials. */
void h2_gather_finish(struct h2_gather *g);

/** The gathered block as a request's head; END: no body follows. Its slices live as long as the
 * gather. An extended CONNECT for a WebSocket (RFC 8441) becomes the GET that asks for one in
 * HTTP/1.1, without a key. False: FAULT says what to answer. */
bool h2_request_head(struct h2_gather *g, bool end, struct head *ret,
                     struct fault *fault) NODISCARD;
/** As an answer's head, interim or final. */
bool h2_answer_head(struct h2_gather *g, bool end, struct head *ret, struct fault *fault) NODISCARD;
/** As trailers: fields that may stand there. */
bool h2_trailers(struct h2_gather *g, struct head *ret) NODISCARD;

/* A header block to be sent; points into the head and into TEXT. */
struct h2_block {
    nghttp2_nv nv[HEAD_MAX_FIELDS + 6];
    size_t n;
    size_t bytes;            /* that the block will have at most, in HPACK */
    struct slice credential; /* of "authorization", not in NV: it is for h2_secret */
    struct sbuf text;        /* names in lower case, numbers */
};

/** The thread's one, empty. */
struct h2_block *h2_block(void);
/** Wipes what was written. */
void h2_block_finish(struct h2_block *b);
/** Adds H to the block. Refuses (ERR_INVALID) what HTTP/1 would refuse as well: CTL in values,
 * names that are no tokens, fields of a connection; and a request for a WebSocket, which goes out
 * by HTTP/1.1. The 101 is written as the 200 of RFC 8441. Credentials are never indexed (RFC 7541
 * section 7.1.3); that of a request becomes B's credential, if all fits into one frame. */
enum err h2_write_request(const struct head *h, struct h2_block *b) NODISCARD;
enum err h2_write_answer(const struct head *h, bool with_length, struct h2_block *b) NODISCARD;
enum err h2_write_trailers(const struct head *h, struct h2_block *b) NODISCARD;

#endif
