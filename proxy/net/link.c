/* The relay path's lowest floor. Between recv(2) and on_data, and between link_put and send(2),
 * there is nothing but TLS. */
#include "net/link.h"

#include "base/check.h"
#include "base/crypto_heap.h"
#include "base/mem.h"
#include "net/net_internal.h"
#include "tls/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <unistd.h>

#define LINK_MAGIC MAGIC('l', 'i', 'n', 'k')
#define READ_ROUNDS 4      /* of 64 KB, before others get their turn */
#define DIRECT_BYTES 4096u /* runs from this size on are encrypted where they lie */
#define RECORD_ROOM (CHUNK_BYTES + 512u)
#define LISTEN_AT_ONCE 64 /* paused links in one tick */
#define PASSES_MAX 16     /* that wait for each other's end */
#define FINISH_MS 10000u
#define LINGER_MS 2000u

/* ---- chains ---- */

static void chain_free(struct loop *loop, struct chunk **first)
{
    while (*first) {
        struct chunk *c = *first;
        *first = c->next;
        mem_wipe(c->data + c->from, c->to - c->from);
        chunk_put(loop, c);
    }
}

/* False on no memory; the chain is then incomplete, and the link must die. */
static bool chain_add(struct loop *loop, struct chunk **first, struct chunk **last, const void *p,
                      size_t n)
{
    const unsigned char *from = p;
    while (n) {
        struct chunk *c = *last;
        if (!*first || c->to == CHUNK_BYTES) {
            c = chunk_get(loop);
            if (!c)
                return false;
            if (*first)
                (*last)->next = c;
            else
                *first = c;
            *last = c;
        }
        size_t room = CHUNK_BYTES - c->to, take = n < room ? n : room;
        memcpy(c->data + c->to, from, take);
        c->to += (uint32_t)take;
        from += take;
        n -= take;
    }
    return true;
}

static void chain_drop_first(struct loop *loop, struct chunk **first)
{
    struct chunk *c = *first;
    mem_wipe(c->data, c->to); /* heads carry credentials */
    *first = c->next;
    chunk_put(loop, c);
}

/* ---- the BIOs: TLS reads from the thread's buffer and writes to it ---- */

static size_t chain_take(struct loop *loop, struct chunk **first, char *to, size_t n)
{
    struct chunk *c = *first;
    size_t have = c->to - c->from, take = n < have ? n : have;
    memcpy(to, c->data + c->from, take);
    c->from += (uint32_t)take;
    if (c->from == c->to)
        chain_drop_first(loop, first);
    return take;
}

static int read_some(BIO *b, struct link *l, char *to, size_t n)
{
    struct loop *loop = l->loop;
    if (l->stash)
        return (int)chain_take(loop, &l->stash, to, n);
    size_t have = loop->in_owner == l ? loop->in_to - loop->in_from : 0;
    if (have == 0 && l->saw_eof)
        return 0;
    if (have == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t take = n < have ? n : have;
    memcpy(to, loop->in + loop->in_from, take);
    loop->in_from += take;
    return (int)take;
}

static int bio_read(BIO *b, char *to, int n)
{
    BIO_clear_retry_flags(b);
    if (n <= 0)
        return 0;
    int r = read_some(b, BIO_get_data(b), to, (size_t)n);
    crypto_heap_filled(to, r > 0 ? (size_t)r : 0);
    return r;
}

static bool send_out(struct link *l);

static int bio_write(BIO *b, const char *p, int n)
{
    struct link *l = BIO_get_data(b);
    struct loop *loop = l->loop;
    BIO_clear_retry_flags(b);
    if (n <= 0)
        return 0;
    if (loop->out_owner && loop->out_owner != l)
        (void)send_out(loop->out_owner);
    loop->out_owner = l;
    if (l->sealed || LOOP_WRITE_BYTES - loop->out_n < (size_t)n) {
        BIO_set_retry_write(b);
        return -1;
    }
    memcpy(loop->out + loop->out_n, p, (size_t)n);
    loop->out_n += (size_t)n;
    return n;
}

/* TLS inside TLS: the inner one's BIO is the outer SSL. */
static int nested_read(BIO *b, char *to, int n)
{
    struct link *l = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (l->seen && n > 0)
        return (int)chain_take(l->loop, &l->seen, to, (size_t)n);
    int r = SSL_read(l->outer, to, n);
    if (r > 0)
        return r;
    if (SSL_get_error(l->outer, r) == SSL_ERROR_WANT_READ) {
        BIO_set_retry_read(b);
        return -1;
    }
    return 0;
}

static int nested_write(BIO *b, const char *p, int n)
{
    struct link *l = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    int r = SSL_write(l->outer, p, n);
    if (r > 0)
        return r;
    BIO_set_retry_write(b);
    return -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_EOF) {
        struct link *l = BIO_get_data(b);
        return l->saw_eof && !l->stash;
    }
    return cmd == BIO_CTRL_FLUSH;
}

bool links_init(struct loop *loop)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");
    BIO_METHOD *nested = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nested");
    loop->bio_method = m;
    loop->nested_method = nested;
    return m && nested && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
           BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_read(nested, nested_read) &&
           BIO_meth_set_write(nested, nested_write) && BIO_meth_set_ctrl(nested, bio_ctrl);
}

void links_end(struct loop *loop)
{
    while (!list_empty(&loop->finishing))
        link_destroy(container_of(loop->finishing.next, struct link, finishing), false);
}

void links_finish(struct loop *loop)
{
    BIO_meth_free(loop->bio_method);
    BIO_meth_free(loop->nested_method);
}

/* ---- interest ---- */

static void set_reading(struct link *l, bool on)
{
    list_remove(&l->unheard);
    if (l->is_reading == on)
        return;
    l->is_reading = on;
    if (on)
        event_add(&l->read_ev, NULL);
    else
        event_del(&l->read_ev);
}

static void set_writing(struct link *l, bool on)
{
    if (l->is_writing == on)
        return;
    l->is_writing = on;
    if (on)
        event_add(&l->write_ev, NULL);
    else
        event_del(&l->write_ev);
}

static void fail(struct link *l, enum err e, const char *why)
{
    if (l->state == LINK_DEAD)
        return;
    if (l->state == LINK_FINISHING) {
        link_destroy(l, false);
        return;
    }
    if (l->is_failed)
        return; /* what another event of this turn put is still to be flushed */
    l->is_failed = true;
    set_reading(l, false);
    set_writing(l, false);
    l->ops->on_error(l, e, why);
}

/* Runs the read event soon, without asking the socket. */
static void poke(struct link *l)
{
    event_active(&l->read_ev, EV_TIMEOUT, 0);
}

static void mark_dirty(struct link *l)
{
    if (list_empty(&l->dirty))
        list_add_last(&l->loop->dirty, &l->dirty);
}

/* ---- writing ---- */

static ssize_t send_some(struct link *l, const void *p, size_t n)
{
    for (;;) {
        ssize_t r = send(l->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r >= 0)
            return r;
        if (errno == EINTR)
            continue;
        return errno == EAGAIN ? 0 : -1;
    }
}

/* Sends the thread's out buffer, which is L's; what the socket does not take waits in the link.
 * False: broken. */
static bool send_out(struct link *l)
{
    struct loop *loop = l->loop;
    size_t at = 0;
    bool ok = true;
    CHECK(loop->out_owner == l);
    while (at < loop->out_n && ok) {
        ssize_t r = send_some(l, loop->out + at, loop->out_n - at);
        if (r < 0)
            ok = false;
        else if (r == 0)
            break;
        else
            at += (size_t)r;
    }
    if (ok && at < loop->out_n) {
        if (!chain_add(loop, &l->sealed, &l->sealed_last, loop->out + at, loop->out_n - at)) {
            shutdown(l->fd, SHUT_RDWR); /* no memory: both sides must see a cut */
            ok = false;
        }
    }
    loop->out_n = 0;
    loop->out_owner = NULL;
    if (l->sealed)
        mark_dirty(l);
    return ok;
}

static bool send_sealed(struct link *l)
{
    while (l->sealed) {
        struct chunk *c = l->sealed;
        ssize_t r = send_some(l, c->data + c->from, c->to - c->from);
        if (r < 0)
            return false;
        c->from += (uint32_t)r;
        if (c->from < c->to)
            return true;
        chain_drop_first(l->loop, &l->sealed);
    }
    return true;
}

/* Before a call whose failure SSL_get_error explains. The queue is empty but after a failure, and
 * to look costs a tenth of clearing it. */
static void clear_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* Encrypts N bytes into the out buffer; returns how many were taken (0: blocked), -1 when broken.
 */
static ssize_t encrypt_some(struct link *l, const void *p, size_t n)
{
    struct loop *loop = l->loop;
    if (loop->out_owner == l && LOOP_WRITE_BYTES - loop->out_n < 2 * RECORD_ROOM && !send_out(l))
        return -1;
    if (l->sealed)
        return 0;
    clear_errors();
    int r = SSL_write(l->ssl, p, n > CHUNK_BYTES ? (int)CHUNK_BYTES : (int)n);
    if (r > 0)
        return r;
    int e = SSL_get_error(l->ssl, r);
    return e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ ? 0 : -1;
}

static bool flush_tls(struct link *l)
{
    while (l->out && !l->sealed) {
        struct chunk *c = l->out;
        ssize_t r = encrypt_some(l, c->data + c->from, c->to - c->from);
        if (r < 0)
            return false;
        if (r == 0)
            break;
        c->from += (uint32_t)r;
        l->unreported += (size_t)r;
        if (c->from == c->to)
            chain_drop_first(l->loop, &l->out);
    }
    return l->loop->out_owner != l || send_out(l);
}

static bool flush_plain(struct link *l)
{
    while (l->out) {
        struct chunk *c = l->out;
        ssize_t r = send_some(l, c->data + c->from, c->to - c->from);
        if (r < 0)
            return false;
        c->from += (uint32_t)r;
        l->unreported += (size_t)r;
        if (c->from < c->to)
            return true;
        chain_drop_first(l->loop, &l->out);
    }
    return true;
}

static void report_flushed(struct link *l)
{
    size_t n = l->unreported;
    if ((n == 0 && !l->report_wanted) || l->sealed)
        return;
    l->unreported = 0;
    l->report_wanted = false;
    l->out_bytes -= n;
    l->bytes_out += n;
    if (l->state == LINK_OPEN)
        l->ops->on_flushed(l, n);
}

/* A peer that closed while we were sending may have answered first (an early refusal): its words
 * are still in the socket. They are read, and the end that follows them is what is reported. */
static void write_broke(struct link *l)
{
    if (l->state != LINK_OPEN || l->is_paused || !l->is_reading) {
        fail(l, ERR_CLOSED, "write");
        return;
    }
    l->is_write_broken = true;
    set_writing(l, false);
    chain_free(l->loop, &l->out);
    chain_free(l->loop, &l->sealed);
    l->out_bytes = l->unreported = 0;
}

static void finish_step(struct link *l);
static void say_goodbye(struct link *l);

static void flush(struct link *l)
{
    if (l->state == LINK_DEAD || l->state == LINK_CONNECTING || l->is_failed || l->is_write_broken)
        return;
    bool ok = send_sealed(l);
    if (ok && !l->sealed && (l->state != LINK_HANDSHAKE || l->loop->out_owner == l)) {
        if (l->state == LINK_HANDSHAKE)
            ok = send_out(l);
        else
            ok = l->ssl ? flush_tls(l) : flush_plain(l);
    }
    if (!ok) {
        write_broke(l);
        return;
    }
    bool blocked = l->sealed || (l->out && l->state != LINK_HANDSHAKE);
    set_writing(l, blocked);
    if (l->is_read_blocked && !l->sealed && l->state == LINK_OPEN) {
        l->is_read_blocked = false;
        if (!l->is_paused && !l->saw_eof)
            set_reading(l, true);
        poke(l);
    }
    report_flushed(l);
    blocked = blocked || l->out || l->sealed; /* on_flushed may have put more: it leaves first */
    if (l->shut_wanted && !blocked && l->state == LINK_OPEN) {
        l->shut_wanted = false;
        say_goodbye(l);
        shutdown(l->fd, SHUT_WR);
    }
    if (l->state == LINK_FINISHING && !blocked)
        finish_step(l);
}

void links_flush(struct loop *loop)
{
    loop->passes = 0;
    while (!list_empty(&loop->dirty)) {
        struct link *l = container_of(loop->dirty.next, struct link, dirty);
        list_remove(&l->dirty);
        flush(l);
        if (l->is_writing)
            list_remove(&l->dirty); /* the socket will wake it */
    }
}

/* What the links that are read in one turn put leaves together: each send wakes a peer on another
 * core, and those that follow at once find it awake. */
void links_flush_soon(struct loop *loop)
{
    if (list_empty(&loop->dirty))
        return;
    if (++loop->passes >= PASSES_MAX)
        loop_flush(loop);
    else
        event_active(loop->flush, EV_TIMEOUT, 0);
}

bool link_flush_now(struct link *l)
{
    list_remove(&l->dirty);
    flush(l);
    return l->state == LINK_OPEN && !l->out && !l->sealed;
}

void loop_end_pass(struct loop *loop)
{
    if (!loop->in_pass)
        links_flush(loop);
}

/* Large runs skip the chain when nothing waits before them. Returns how many bytes were dealt with;
 * -1 broken. */
static ssize_t put_direct(struct link *l, const unsigned char *p, size_t n)
{
    size_t done = 0;
    while (n - done >= DIRECT_BYTES) {
        ssize_t r = l->ssl ? encrypt_some(l, p + done, n - done) : send_some(l, p + done, n - done);
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

void link_put(struct link *l, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    if (l->state == LINK_DEAD || l->state == LINK_FINISHING || l->is_failed || l->is_write_broken)
        return;
    l->out_bytes += n;
    l->report_wanted = true;
    mark_dirty(l);
    if (l->state == LINK_OPEN && n >= DIRECT_BYTES && !l->out && !l->sealed) {
        ssize_t r = put_direct(l, p, n);
        if (r > 0) {
            l->unreported += (size_t)r;
            p += r;
            n -= (size_t)r;
        }
        /* A broken socket shows again at the flush, outside of the caller's verb. */
    }
    if (!chain_add(l->loop, &l->out, &l->out_last, p, n)) {
        /* Half a message must not leave as if it were whole: the flush fails. */
        shutdown(l->fd, SHUT_RDWR);
    }
}

/* ---- reading ---- */

static bool stash_rest(struct link *l)
{
    struct loop *loop = l->loop;
    bool ok = true;
    if (loop->in_owner == l && loop->in_from < loop->in_to)
        ok = chain_add(loop, &l->stash, &l->stash_last, loop->in + loop->in_from,
                       loop->in_to - loop->in_from);
    if (loop->in_owner == l) {
        loop->in_owner = NULL;
        loop->in_from = loop->in_to = 0;
    }
    return ok;
}

static void tell_eof(struct link *l)
{
    if (l->is_eof_told)
        return;
    l->is_eof_told = true;
    set_reading(l, false);
    if (l->state == LINK_FINISHING)
        link_destroy(l, l->clean_close);
    else
        l->ops->on_eof(l);
}

/* What TLS owes the peer does not fit any more: nothing is received until that has left. */
static void block_reading(struct link *l)
{
    l->is_read_blocked = true;
    set_reading(l, false);
    mark_dirty(l);
}

/* Is there anything for SSL_read to read? Asking it in vain takes a record's buffer and gives it
 * back. */
static bool has_input(const struct link *l)
{
    const struct loop *loop = l->loop;
    return l->saw_eof || l->outer || (loop->in_owner == l && loop->in_from < loop->in_to) ||
           link_has_unread(l);
}

/* Decrypts and hands up until nothing is left, the owner pauses, or the link ends. */
static void read_tls(struct link *l)
{
    struct loop *loop = l->loop;
    while (l->state == LINK_OPEN && !l->is_paused && has_input(l)) {
        clear_errors();
        int r = SSL_read(l->ssl, loop->plain, CHUNK_BYTES);
        if (loop->out_owner == l)
            mark_dirty(l); /* TLS answered by itself (KeyUpdate, alert) */
        if (r > 0) {
            l->bytes_in += (size_t)r;
            if (loop->plain_used < (size_t)r)
                loop->plain_used = (size_t)r;
            l->ops->on_data(l, loop->plain, (size_t)r);
            continue;
        }
        int e = SSL_get_error(l->ssl, r);
        if (e == SSL_ERROR_WANT_WRITE)
            block_reading(l);
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
            break;
        if (e == SSL_ERROR_ZERO_RETURN)
            tell_eof(l);
        else
            fail(l, ERR_CLOSED, l->saw_eof ? "truncated" : "tls");
        break;
    }
}

static void shake_hands(struct link *l)
{
    clear_errors();
    int r = SSL_do_handshake(l->ssl);
    if (l->loop->out_owner == l)
        mark_dirty(l);
    if (r == 1) {
        l->state = LINK_OPEN;
        if (l->out)
            mark_dirty(l);
        l->ops->on_ready(l);
        return;
    }
    int e = SSL_get_error(l->ssl, r);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return;
    const char *why = l->saw_eof ? "peer_closed" : tls_failure(l->ssl, e);
    bool cert = !SSL_is_server(l->ssl) && SSL_get_verify_result(l->ssl) != X509_V_OK;
    if (l->loop->out_owner == l)
        (void)send_out(l); /* the alert */
    fail(l, cert ? ERR_CERT : ERR_TLS, why);
}

static void consume(struct link *l)
{
    if (l->state == LINK_HANDSHAKE)
        shake_hands(l);
    if (l->state == LINK_OPEN && l->ssl)
        read_tls(l);
}

/* One recv; false when the socket has nothing more (or the link ended). */
static bool read_round(struct link *l)
{
    struct loop *loop = l->loop;
    ssize_t n;
    do
        n = recv(l->fd, loop->in, LOOP_READ_BYTES, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (l->state == LINK_FINISHING) {
        if (n <= 0)
            link_destroy(l, false);
        return n > 0;
    }
    if (n < 0) {
        fail(l, ERR_CLOSED, "reset");
        return false;
    }
    if (n == 0) {
        l->saw_eof = true;
        set_reading(l, false); /* a level-triggered end would come again and again */
    }
    if (!l->ssl) {
        if (n == 0) {
            tell_eof(l);
            return false;
        }
        l->bytes_in += (size_t)n;
        if (loop->in_used < (size_t)n)
            loop->in_used = (size_t)n;
        l->ops->on_data(l, loop->in, (size_t)n);
        return (size_t)n == LOOP_READ_BYTES;
    }
    loop->in_owner = l;
    loop->in_from = 0;
    loop->in_to = (size_t)n;
    consume(l);
    if (l->state == LINK_DEAD) {
        loop->in_owner = NULL;
        return false;
    }
    if (!stash_rest(l) && l->state != LINK_DEAD)
        fail(l, ERR_NOMEM, "memory");
    return (size_t)n == LOOP_READ_BYTES;
}

/* The thread's buffers are for ever, and heads with credentials went through them. What TLS has
 * sealed may stay. */
static void forget_clear_text(struct loop *loop)
{
    mem_wipe(loop->plain, loop->plain_used);
    mem_wipe(loop->in, loop->in_used);
    loop->plain_used = loop->in_used = 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct link *l = obj_from(arg, LINK_MAGIC);
    struct loop *loop = l->loop;
    if (l->is_failed)
        return;
    if ((what & EV_READ) && l->is_paused && l->state == LINK_OPEN) {
        set_reading(l, false); /* the pause outlasted what was there: now it is worth a call */
        if (l->cut_on_hangup)
            list_add_last(&loop->unheard, &l->unheard);
        return;
    }
    loop_now(loop);
    loop->in_pass = true;
    if (l->ssl && (l->state == LINK_HANDSHAKE || link_has_unread(l) || l->saw_eof))
        consume(l); /* what a pause (or the owner) left */
    for (int i = 0; (what & EV_READ) && i < READ_ROUNDS && l->state != LINK_DEAD; i++) {
        if (l->is_paused || l->is_eof_told || l->saw_eof || !l->is_reading)
            break;
        if (!read_round(l))
            break;
        if (i + 1 < READ_ROUNDS)
            links_flush(loop);
    }
    forget_clear_text(loop);
    loop->in_pass = false;
    links_flush_soon(loop);
}

/* A level-triggered event cannot wait for an end without the bytes before it. */
void links_listen(struct loop *loop)
{
    struct pollfd fds[LISTEN_AT_ONCE];
    struct link *links[LISTEN_AT_ONCE];
    nfds_t n = 0;
    for (struct list *next = loop->unheard.next; n < LISTEN_AT_ONCE && next != &loop->unheard;
         n++) {
        struct link *l = container_of(next, struct link, unheard);
        next = next->next;
        links[n] = l;
        fds[n] = (struct pollfd){.fd = l->fd, .events = POLLRDHUP};
    }
    if (n == 0 || poll(fds, n, 0) < 0)
        return;
    for (nfds_t i = 0; i < n; i++) {
        struct link *l = links[i]; /* dead ones live until the next turn */
        if (list_empty(&l->unheard))
            continue;
        list_remove(&l->unheard);
        if (!l->cut_on_hangup)
            continue; /* its owner has changed its mind */
        if (fds[i].revents)
            fail(l, ERR_CLOSED, "hangup");
        else
            list_add_last(&loop->unheard, &l->unheard); /* the others come first next time */
    }
}

static void on_connected(struct link *l)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        fail(l, error == ETIMEDOUT ? ERR_TIMEOUT : ERR_REFUSED, "connect");
        return;
    }
    l->state = LINK_OPEN;
    set_writing(l, false);
    set_reading(l, true);
    if (l->out)
        mark_dirty(l);
    l->ops->on_ready(l);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct link *l = obj_from(arg, LINK_MAGIC);
    struct loop *loop = l->loop;
    loop_now(loop);
    loop->in_pass = true;
    if (l->state == LINK_CONNECTING)
        on_connected(l);
    else
        flush(l);
    links_flush(loop);
    loop->in_pass = false;
}

/* ---- life ---- */

static struct link *create(struct loop *loop, int fd, const struct link_ops *ops, void *owner)
{
    struct link *l = mem_calloc(1, sizeof *l);
    if (!l) {
        close(fd);
        return NULL;
    }
    l->magic = LINK_MAGIC;
    l->fd = fd;
    l->loop = loop;
    l->ops = ops;
    l->owner = owner;
    list_init(&l->dirty);
    list_init(&l->unheard);
    list_init(&l->finishing);
    event_assign(&l->read_ev, loop->base, fd, EV_READ | EV_PERSIST, on_readable, l);
    event_assign(&l->write_ev, loop->base, fd, EV_WRITE | EV_PERSIST, on_writable, l);
    event_priority_set(&l->read_ev, 1);
    event_priority_set(&l->write_ev, 1);
    return l;
}

struct link *link_create(struct loop *loop, int fd, const struct link_ops *ops, void *owner)
{
    struct link *l = create(loop, fd, ops, owner);
    if (l) {
        l->state = LINK_OPEN;
        set_reading(l, true);
    }
    return l;
}

struct link *link_create_connecting(struct loop *loop, int fd, const struct link_ops *ops,
                                    void *owner)
{
    struct link *l = create(loop, fd, ops, owner);
    if (l) {
        l->state = LINK_CONNECTING;
        set_writing(l, true);
    }
    return l;
}

enum err link_start_tls(struct link *l, SSL *ssl, bool is_server, const void *seen, size_t n)
{
    bool nested = l->ssl != NULL;
    struct chunk **first = nested ? &l->seen : &l->stash;
    struct chunk **last = nested ? &l->seen_last : &l->stash_last;
    BIO *b = BIO_new(nested ? l->loop->nested_method : l->loop->bio_method);
    if (!b || !chain_add(l->loop, first, last, seen, n)) {
        BIO_free(b);
        SSL_free(ssl);
        return ERR_NOMEM;
    }
    BIO_set_data(b, l);
    BIO_set_init(b, 1);
    BIO_up_ref(b);
    SSL_set0_rbio(ssl, b);
    SSL_set0_wbio(ssl, b);
    if (is_server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    l->outer = l->ssl;
    l->ssl = ssl;
    l->state = LINK_HANDSHAKE;
    if (!is_server || n || nested)
        poke(l);
    return ERR_OK;
}

/* The socket's event stays until it fires: most pauses end before that, and cost no system call. */
void link_pause(struct link *l)
{
    l->is_paused = true;
}

bool link_has_unread(const struct link *l)
{
    return l->stash || l->seen || (l->ssl && SSL_has_pending(l->ssl)) ||
           (l->outer && SSL_has_pending(l->outer));
}

void link_resume(struct link *l)
{
    if (!l->is_paused)
        return;
    l->is_paused = false;
    if (l->state != LINK_OPEN || l->is_eof_told || l->is_read_blocked)
        return;
    if (!l->saw_eof)
        set_reading(l, true);
    if (link_has_unread(l) || l->saw_eof)
        poke(l);
}

void link_set_idle(struct link *l, bool idle)
{
    event_priority_set(&l->read_ev, idle ? 0 : 1);
}

static void free_link(struct later_link *later)
{
    struct link *l = container_of(later, struct link, later);
    chain_free(l->loop, &l->out);
    chain_free(l->loop, &l->sealed);
    chain_free(l->loop, &l->stash);
    chain_free(l->loop, &l->seen);
    SSL_free(l->ssl);
    SSL_free(l->outer);
    l->magic = 0;
    mem_free(l);
}

static void say_goodbye(struct link *l)
{
    if (!l->ssl || l->sealed || l->state == LINK_HANDSHAKE || l->state == LINK_CONNECTING)
        return;
    clear_errors();
    SSL_shutdown(l->ssl);
    if (l->outer)
        SSL_shutdown(l->outer);
    if (l->loop->out_owner == l)
        (void)send_out(l);
}

void link_shut(struct link *l)
{
    l->shut_wanted = true;
    mark_dirty(l);
}

int link_take_fd(struct link *l)
{
    CHECK(!l->ssl && !l->out && l->state == LINK_OPEN);
    int fd = l->fd;
    l->fd = -1;
    link_destroy(l, false);
    return fd;
}

void link_abort(struct link *l)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (l->state != LINK_DEAD)
        setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    link_destroy(l, false);
}

void link_destroy(struct link *l, bool clean)
{
    if (!l || l->state == LINK_DEAD)
        return;
    if (clean && !l->out)
        say_goodbye(l);
    if (l->loop->out_owner == l) {
        l->loop->out_owner = NULL;
        l->loop->out_n = 0;
    }
    if (l->loop->in_owner == l)
        l->loop->in_owner = NULL;
    l->state = LINK_DEAD;
    set_reading(l, false);
    set_writing(l, false);
    event_del(&l->read_ev); /* also when only event_active made it pending */
    list_remove(&l->dirty);
    list_remove(&l->unheard);
    list_remove(&l->finishing);
    deadline_clear(&l->deadline);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    later_destroy(l->loop->later, &l->later, free_link);
}

static void on_finish_deadline(struct deadline *d)
{
    link_destroy(container_of(d, struct link, deadline), false);
}

/* All has left. */
static void finish_step(struct link *l)
{
    if (!l->clean_close) {
        l->clean_close = true;
        say_goodbye(l);
        if (l->sealed)
            return;
    }
    if (!l->linger || l->saw_eof || l->is_eof_told) { /* the peer has nothing more to lose */
        link_destroy(l, false);
        return;
    }
    shutdown(l->fd, SHUT_WR);
    deadline_set(&l->loop->wheel, &l->deadline, l->loop->now_ms + LINGER_MS);
    set_reading(l, true);
}

void link_finish(struct link *l, bool linger)
{
    if (l->state == LINK_CONNECTING || l->state == LINK_HANDSHAKE || l->is_failed ||
        l->is_write_broken) {
        link_destroy(l, false);
        return;
    }
    if (l->state != LINK_OPEN)
        return;
    l->state = LINK_FINISHING;
    list_add_last(&l->loop->finishing, &l->finishing);
    l->ops = NULL;
    l->owner = NULL;
    l->linger = linger;
    l->is_paused = false;
    set_reading(l, false);
    deadline_clear(&l->deadline);
    l->deadline.fire = on_finish_deadline;
    deadline_set(&l->loop->wheel, &l->deadline, l->loop->now_ms + FINISH_MS);
    mark_dirty(l);
}
