/* What one thread of the data plane owns: its event base, its clock, its deadlines and its buffers.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H
#include "base/err.h"
#include "base/later.h"
#include "base/wheel.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#define LOOP_READ_BYTES (64u * 1024u)
#define CHUNK_BYTES 16384u
#define LOOP_WRITE_BYTES (64u * 1024u + 2u * CHUNK_BYTES)

struct link;

/* A run of bytes that wait: plaintext for the wire, or ciphertext that the socket did not take. */
struct chunk {
    struct chunk *next;
    uint32_t from, to;
    unsigned char data[CHUNK_BYTES];
};

struct loop {
    struct event_base *base;
    struct later *later;
    struct wheel wheel;
    struct event *tick;
    struct event *flush;   /* the last of a turn's events, when something was put */
    unsigned passes;       /* that put something since the last flush */
    uint64_t now_ms;       /* monotonic, refreshed by loop_now() at each event */
    struct list dirty;     /* links with bytes to send, sent at the end of the turn */
    struct list finishing; /* links that nobody owns any more */
    struct list unheard;   /* links whose socket nobody waits for, looked at by the tick */
    struct chunk *free_chunks;
    uint32_t free_count;
    /* One buffer each for the thread, not for the connection. */
    unsigned char *in;    /* LOOP_READ_BYTES as they come from a socket */
    unsigned char *plain; /* CHUNK_BYTES + some, out of TLS */
    unsigned char *out;   /* LOOP_WRITE_BYTES of records for one write */
    size_t in_from, in_to;
    size_t in_used, plain_used; /* clear text in them, to be wiped at the end of the pass */
    struct link *in_owner;
    size_t out_n;
    struct link *out_owner;
    void *bio_method; /* of links */
    void *nested_method;
    uint64_t oom; /* times a chunk could not be had */
    bool in_pass;
};

/** Makes base, deadlines and buffers; the tick keeps the base awake a few times a second. */
enum err loop_create(struct loop **ret) NODISCARD;
/** After all links are gone. */
void loop_destroy(struct loop *l);
/** Refreshes and returns the loop's clock. */
uint64_t loop_now(struct loop *l);
/** From the free list, else the heap; NULL on no memory. */
struct chunk *chunk_get(struct loop *l);
void chunk_put(struct loop *l, struct chunk *c);

#endif
