/* What the two halves of the load share: load.c has options, connections, HTTP/1 and the windows,
 * load_h2.c what is said on a connection that speaks HTTP/2. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    POST_BYTES = 1024,
    RECORD_BYTES = 16384,
    SCRATCH_BYTES = 65536,
    STREAMS_MAX = 100, /* of one connection */
};

/* What a connection, or a stream of it, does. */
enum mode {
    KEEPALIVE,
    FRESH,
    RESUME,
    DOWN,
    UP,
    SSE,
    IDLE,
    UNREAD, /* the answer's head is read, nothing of its body */
    STALL,  /* the provider reads nothing of the upload */
    ABORT,  /* connections are left at any moment, half of them by a reset */
    MIXED,  /* streams that ask, streams of events, some that stall: HTTP/2 only */
    GRPC,   /* messages that come back while further ones go out: HTTP/2 only */
};

enum state {
    CLOSED,
    CONNECT_OUT,
    CONNECT_IN,
    HANDSHAKE,
    SEND,
    ANSWER_HEAD,
    ANSWER_BODY,
    HELD,
    STREAMS, /* HTTP/2 */
};

/* Time and number stand in each event of a stream; begin with {.digits = -1}. */
struct events {
    int digits; /* of time and number that were read; -1: no @ yet */
    int64_t stamp;
    unsigned number, next; /* read now; to come next */
};

struct h2;
struct slot {
    enum state state;
    int fd;
    SSL *ssl;
    SSL_SESSION *session;
    struct h2 *h2;
    char head[4096];
    size_t head_len, sent;
    uint64_t up_at, body_at, body_left;
    int64_t begun;
    struct events events;
    char tail[5];        /* of a chunked answer */
    unsigned steps_left; /* of a connection that will be aborted */
    bool is_up;          /* has had an answer */
};

struct options {
    const char *name; /* of the mode, as it was asked for */
    enum mode mode;
    unsigned slots, streams, seconds; /* streams: of one connection; 0: HTTP/1 */
    char *host;
    const char *path, *token;
    unsigned proxy_port, port, gap_ms, events;
    uint64_t body;
    bool is_direct, is_unswapped, is_once, may_leave;
    pid_t tree;
};
extern struct options opt;

struct run {
    uint64_t units, bytes, swapped, answers, resumed, handshakes;
    uint64_t event_count;
    unsigned errors, up, opening, next; /* next: slots below it were opened */
    unsigned done, left, lost;          /* done: have all they want; left: the server went away */
    bool is_counting;
    uint32_t delays[64 * 16]; /* by logarithm, 16 steps for a doubling */
    uint64_t delay_count;
};
extern struct run run;

extern char filler[]; /* the pattern, SCRATCH_BYTES and a period of it */

/** Says what is wrong, and ends the program. */
void fail(const char *what) __attribute__((noreturn));
int64_t now_ns(void);
void count_delay(int64_t ns);
/** Looks through the bytes of a stream of events. In a window they are units, but those of MIXED.
 */
void events_take(struct events *e, const char *text, size_t n);
/** The X-Bench field of a request. */
void write_asks(enum mode mode, char *to, size_t room);
/** S had an answer: its first counts it as up. */
void count_up(struct slot *s);
void close_slot(struct slot *s);
/** Reports WHY, and opens S anew. Always false: nothing can be done at once. */
bool end_badly(struct slot *s, const char *why);

/** Begins HTTP/2 on a connection that has shaken hands. */
void h2_begin(struct slot *s);
/** Reads all there is, and sends what follows from it. False: wait. */
bool h2_advance(struct slot *s);
void h2_end(struct slot *s);
/** Prints of MIXED: least, the fewest answers that one of the asking streams had; unread, the
 * fewest bytes that came for one that is not read; untaken, the most that were sent of an upload
 * that the provider does not take. */
void h2_print_mixed(const struct slot *all, unsigned count);

#endif
