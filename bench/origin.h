/* What the two halves of the origin share: origin.c listens and speaks HTTP/1, origin_h2.c HTTP/2.
 */
#ifndef BENCH_ORIGIN_H
#define BENCH_ORIGIN_H
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SMALL_BYTES = 2048,
    DOWN_BYTES = 16 << 20,
    RECORD_BYTES = 16384,
    EVENT_BYTES = 120,
    EVENT_EVERY_MS = 20,
    STREAMS_MAX = 100, /* of a connection, unless the command line says otherwise */
};

extern char filler[];              /* the pattern, RECORD_BYTES and a period of it */
extern const char TOKEN[];         /* the token endpoint's answer */
extern unsigned long long answers; /* that were given whole, the token endpoint's not counted */

int64_t now_ns(void);
/** The Nth number behind the first word of an X-Bench field, which ends with a CR or a NUL. */
uint64_t asked_number(const char *asks, int n, uint64_t otherwise);
/** EVENT_BYTES: an event that carries the time, 19 digits, and its number, 10 digits. */
void event_write(char *to, unsigned number);
/** Whether N bytes at OFFSET of an upload are those of the pattern. */
bool is_pattern(const char *bytes, uint64_t offset, size_t n);

struct h2;
/** A connection that agreed on HTTP/2, with at most STREAMS at once. Borrows SSL. */
struct h2 *h2_create(SSL *ssl, uint32_t streams);
void h2_destroy(struct h2 *h);
/** Reads and answers all that is there; false: the connection has ended. */
bool h2_advance(struct h2 *h);
/** Sends the events that are due. Whether there are streams of events. */
bool h2_run_streams(int64_t now);
/** Connections over which somebody asked for more than a token, so far. */
unsigned h2_connections(void);

#endif
