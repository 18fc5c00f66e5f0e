/* One socket and its TLS: bytes in, bytes out. The data path's only user of SSL_read and SSL_write.
 *
 * Reading: one recv of up to 64 KB into the thread's buffer, decrypted record by record into
 * another, handed up. Writing: put() only gathers; at the end of the loop's turn (of 16 passes, if
 * it has more) all that was gathered is encrypted into the thread's out buffer and leaves in one
 * write (large runs are encrypted straight from where they lie). A link owns memory of its own only
 * while its peer blocks. */
#ifndef NET_LINK_H
#define NET_LINK_H
#include "net/loop.h"

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

enum link_state {
    LINK_CONNECTING, /* connect(2) is under way; the socket wakes us; the owner's deadline */
    LINK_HANDSHAKE,  /* TLS handshake; the peer wakes us; the owner's deadline */
    LINK_OPEN,       /* bytes flow */
    LINK_FINISHING,  /* no owner any more: sends what is left, lingers, goes; own deadline */
    LINK_DEAD        /* destroyed in the next turn of the loop */
};

struct link;
struct link_ops {
    /** Connected and, with TLS, shaken hands. */
    void (*on_ready)(struct link *l);
    /** N received bytes (plaintext). All are taken; link_pause() stops more. */
    void (*on_data)(struct link *l, const void *p, size_t n);
    /** The peer said that it sends no more (FIN, or close_notify with TLS). */
    void (*on_eof)(struct link *l);
    /** Broken: refused, reset, truncated TLS, handshake failure. WHY is a static word. The link is
     * still the owner's to destroy. */
    void (*on_error)(struct link *l, enum err e, const char *why);
    /** N bytes of those put have left. */
    void (*on_flushed)(struct link *l, size_t n);
};

struct link {
    uint32_t magic;
    int fd;
    enum link_state state;
    struct loop *loop;
    const struct link_ops *ops;
    void *owner;
    SSL *ssl, *outer; /* outer: CONNECT came inside TLS, and ssl runs inside that */
    struct event read_ev, write_ev;
    bool is_reading, is_writing; /* interest that the event base knows */
    bool is_paused;
    bool cut_on_hangup; /* the owner's: an end or a reset while paused is an error within a second,
                           whatever was sent before it */
    bool saw_eof;       /* from the socket */
    bool is_eof_told;
    bool linger, clean_close;
    bool shut_wanted;     /* half-close when all has left */
    bool is_read_blocked; /* TLS must write before it can read on; the flush wakes it */
    bool is_failed;       /* on_error was told, and nothing follows it */
    bool is_write_broken; /* the peer takes no more; what it said before may still be read */
    struct chunk *out, *out_last;       /* plaintext that waits */
    struct chunk *sealed, *sealed_last; /* ciphertext that waits */
    struct chunk *stash, *stash_last;   /* received ciphertext that waits (paused) */
    struct chunk *seen, *seen_last;     /* plaintext of the outer TLS that belongs to the inner */
    bool report_wanted;                 /* something was put, if only nothing */
    size_t out_bytes, unreported;
    struct list dirty;
    struct list unheard;      /* in loop->unheard: paused for long */
    struct list finishing;    /* in loop->finishing */
    struct deadline deadline; /* of LINK_FINISHING; before that the owner's */
    struct later_link later;
    uint64_t bytes_in, bytes_out; /* plaintext */
};

/** Takes FD over (also on failure). Starts in LINK_OPEN, reading. NULL on no memory. */
struct link *link_create(struct loop *loop, int fd, const struct link_ops *ops, void *owner);
/** Takes FD over whose connect(2) is under way; on_ready or on_error follows. */
struct link *link_create_connecting(struct loop *loop, int fd, const struct link_ops *ops,
                                    void *owner);
/** TLS from here on, over whatever the link speaks now (TLS inside TLS too). Takes SSL over. SEEN
 * are bytes already received that belong to the handshake (a ClientHello behind CONNECT). on_ready
 * follows, or on_error, never from inside this call. */
enum err link_start_tls(struct link *l, SSL *ssl, bool is_server, const void *seen,
                        size_t n) NODISCARD;
/** Queues bytes; they leave at the end of this turn. N 0: on_flushed(0) follows then. */
void link_put(struct link *l, const void *bytes, size_t n);
/** Sends what was put now: before the link changes its way of speaking. False when not all of it
 * left. */
bool link_flush_now(struct link *l) NODISCARD;
/** Bytes that were put and have not left. */
static inline size_t link_queued(const struct link *l)
{
    return l->out_bytes;
}
/** No more on_data until link_resume. */
void link_pause(struct link *l);
void link_resume(struct link *l);
/** True when received bytes wait inside TLS or the stash. */
bool link_has_unread(const struct link *l);
/** Idle pooled links learn their fate before others run. */
void link_set_idle(struct link *l, bool idle);
/** Says "no more" to the peer once what was put has left (half-close); reading goes on. */
void link_shut(struct link *l);
/** For splice: the socket of a plain link with nothing queued; the link is destroyed without
 * closing it. */
int link_take_fd(struct link *l);
/** Gone at once, and the peer sees a reset: the only cut that a plain connection knows. */
void link_abort(struct link *l);
/** Gone at once: CLEAN says goodbye with close_notify first (only if nothing waits), else the peer
 * sees a cut. No event follows. */
void link_destroy(struct link *l, bool clean);
/** The owner lets go: what was put still leaves (10 s at most), then close_notify; with LINGER the
 * peer's bytes are then swallowed for up to 2 s so that our last words are not lost to a reset. No
 * event follows. */
void link_finish(struct link *l, bool linger);
/** Ends a callback from outside the event base (mailbox, DNS): sends what was put. Inside link
 * events it happens by itself. */
void loop_end_pass(struct loop *loop);

#endif
