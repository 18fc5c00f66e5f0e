/* The benchmark's provider: a TLS server, one thread, that answers what the request's X-Bench field
 * names, plays the token endpoint at /token, and says in X-Swapped whether the real credential
 * arrived. Fields: small; down [BYTES]; up; stall (reads nothing of the body); sse [GAP_MS
 * [EVENTS]]; grpc (says back what it hears, HTTP/2 only). Bodies are the pattern of pattern.h both
 * ways; an upload that differs is answered 422.
 * origin CERT KEY PORT[/h2[/STREAMS]]...: listens on 127.0.0.1, offering HTTP/2 with so many
 * streams at once where it says so; prints "ready", ends by SIGTERM with the line answers=N
 * h2_connections=M, how many requests it answered whole. */
#include "origin.h"

#include "pattern.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    FDS_MAX = 16384,
};

enum state {
    UNUSED,
    LISTENING,
    HANDSHAKE,
    REQUEST, /* head and body are read, the answer is written, and again */
    STREAM,  /* events until the other side leaves, or all are written */
    STALLED, /* reads no more, until the other side leaves */
    STREAMS, /* HTTP/2 */
};

struct conn {
    enum state state;
    SSL *ssl;
    struct h2 *h2;
    uint32_t h2_streams; /* HTTP/2 is offered, with so many; 0: it is not */
    char head[8192], out[4096];
    size_t head_len, out_len, out_done;
    uint64_t body_at, body_left, bulk_at, bulk_left;
    bool is_answering, is_spoiled; /* spoiled: a byte of the upload was wrong */
    int64_t event_due, event_gap;  /* ns */
    unsigned event, events;        /* number of the next one; how many in all, 0: no end */
};

static struct conn conns[FDS_MAX]; /* by descriptor; untouched pages cost nothing */
static int streams[FDS_MAX], stream_count;
static SSL_CTX *tls;
static int poller;
char filler[RECORD_BYTES + PATTERN_PERIOD];
unsigned long long answers;
static volatile sig_atomic_t is_ending;
/* As long as Google's are. */
#define LETTERS "bench-0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
#define LETTERS_5 LETTERS LETTERS LETTERS LETTERS LETTERS
const char TOKEN[] = "{\"access_token\":\"ya29.c." LETTERS_5 LETTERS_5 LETTERS_5 "\","
                     "\"expires_in\":3599,\"token_type\":\"Bearer\"}";

static void fail(const char *what)
{
    fprintf(stderr, "origin: %s: %s\n", what, strerror(errno));
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void watch(int fd, enum state state)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev))
        fail("epoll_ctl");
    conns[fd].state = state;
}

static void end_stream(int fd)
{
    for (int i = 0; i < stream_count; i++)
        if (streams[i] == fd)
            streams[i--] = streams[--stream_count];
}

static void close_conn(int fd)
{
    struct conn *c = &conns[fd];
    if (c->state == STREAM)
        end_stream(fd);
    h2_destroy(c->h2);
    c->h2 = NULL;
    SSL_free(c->ssl);
    c->ssl = NULL;
    c->state = UNUSED;
    close(fd);
}

static void accept_all(int listener)
{
    int fd = -1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int on = 1;
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = &conns[fd];
        c->ssl = SSL_new(tls);
        c->head_len = c->out_len = c->out_done = 0;
        c->body_left = c->bulk_left = c->body_at = 0;
        c->is_answering = c->is_spoiled = false;
        c->h2_streams = conns[listener].h2_streams;
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
        watch(fd, HANDSHAKE);
    }
}

/* ---- answers ---- */

static void add_text(struct conn *c, const char *text)
{
    size_t len = strlen(text);
    memcpy(c->out + c->out_len, text, len);
    c->out_len += len;
}

static void begin_answer(struct conn *c, const char *type, uint64_t length)
{
    bool is_swapped = strcasestr(c->head, "\r\nauthorization: Bearer ya29.") != NULL;
    c->out_len = (size_t)snprintf(c->out, sizeof c->out,
                                  "HTTP/1.1 %s\r\nContent-Type: %s\r\nX-Swapped: %d\r\n"
                                  "Content-Length: %llu\r\n\r\n",
                                  c->is_spoiled ? "422 Spoiled" : "200 OK", type, is_swapped,
                                  (unsigned long long)length);
}

/* The X-Bench field; an empty text without one. */
static const char *asks_of(const struct conn *c)
{
    const char *field = strcasestr(c->head, "\r\nx-bench: ");
    return field ? field + 11 : "";
}

static bool asks_for(const struct conn *c, const char *what)
{
    return !strncmp(asks_of(c), what, strlen(what));
}

uint64_t asked_number(const char *asks, int n, uint64_t otherwise)
{
    for (; n > 0 && asks; n--) {
        asks = strpbrk(asks + 1, " \r");
        if (asks && *asks == '\r')
            asks = NULL;
    }
    return asks ? strtoull(asks, NULL, 10) : otherwise;
}

static void begin_stream(int fd)
{
    struct conn *c = &conns[fd];
    add_text(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
    add_text(c, strcasestr(c->head, "\r\nauthorization: Bearer ya29.") ? "X-Swapped: 1\r\n"
                                                                       : "X-Swapped: 0\r\n");
    add_text(c, "Transfer-Encoding: chunked\r\n\r\n");
    c->state = STREAM;
    int gap_ms = (int)asked_number(asks_of(c), 1, EVENT_EVERY_MS);
    c->event = 0;
    c->events = (unsigned)asked_number(asks_of(c), 2, 0);
    c->event_gap = gap_ms * 1000000LL;
    c->event_due = now_ns() + (1 + fd % gap_ms) * 1000000LL;
    streams[stream_count++] = fd;
}

static void answer(int fd)
{
    struct conn *c = &conns[fd];
    bool is_token = !strncmp(c->head, "POST /token ", 12);
    c->is_answering = true;
    c->is_spoiled = c->is_spoiled && !is_token;
    c->out_len = c->out_done = 0;
    if (asks_for(c, "sse")) {
        begin_stream(fd);
    } else if (asks_for(c, "down")) {
        c->bulk_at = 0;
        c->bulk_left = asked_number(asks_of(c), 1, DOWN_BYTES);
        begin_answer(c, "application/octet-stream", c->bulk_left);
    } else if (asks_for(c, "up")) {
        begin_answer(c, "application/json", 2);
        add_text(c, "{}");
    } else if (is_token) {
        begin_answer(c, "application/json", sizeof TOKEN - 1);
        add_text(c, TOKEN);
    } else {
        begin_answer(c, "application/json", SMALL_BYTES);
        memcpy(c->out + c->out_len, filler, SMALL_BYTES);
        c->out_len += SMALL_BYTES;
    }
}

void event_write(char *to, unsigned number)
{
    char event[EVENT_BYTES + 1];
    int len = snprintf(event, sizeof event, "data: {\"at\":\"@%019lld%010u\",\"text\":\"",
                       (long long)now_ns(), number);
    memset(event + len, 'e', sizeof event - (size_t)len);
    memcpy(event + EVENT_BYTES - 4, "\"}\n\n", 4);
    memcpy(to, event, EVENT_BYTES);
}

static void add_event(struct conn *c)
{
    unsigned number = c->event++;
    if (c->out_done < c->out_len)
        return; /* the reader is behind: an event is dropped, not queued, and its number missing */
    c->out_done = 0;
    c->out_len = (size_t)snprintf(c->out, sizeof c->out, "%x\r\n", (unsigned)EVENT_BYTES);
    event_write(c->out + c->out_len, number);
    c->out_len += EVENT_BYTES;
    c->out[c->out_len] = 0;
    add_text(c, "\r\n");
    if (c->event == c->events)
        add_text(c, "0\r\n\r\n");
}

/* ---- one connection ---- */

/* All that was there is written. Whether the next request may be read. */
static bool end_answer(int fd)
{
    struct conn *c = &conns[fd];
    if (c->state == STREAM) {
        if (!c->events || c->event < c->events)
            return false;
        end_stream(fd);
        c->state = REQUEST;
    }
    answers += strncmp(c->head, "POST /token ", 12) != 0;
    c->is_answering = c->is_spoiled = false;
    return true;
}

/* Whether there is more to do at once. */
static bool write_some(int fd)
{
    struct conn *c = &conns[fd];
    const char *from = c->out + c->out_done;
    size_t len = c->out_len - c->out_done;
    if (!len && c->bulk_left) {
        from = pattern_at(filler, c->bulk_at);
        len = c->bulk_left < RECORD_BYTES ? (size_t)c->bulk_left : RECORD_BYTES;
    }
    bool is_bulk = c->out_done == c->out_len;
    if (!len)
        return end_answer(fd);
    int n = SSL_write(c->ssl, from, (int)len);
    if (n <= 0) {
        if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_WRITE)
            close_conn(fd);
        return false;
    }
    if (is_bulk) {
        c->bulk_at += (uint64_t)n;
        c->bulk_left -= (uint64_t)n;
    } else {
        c->out_done += (size_t)n;
    }
    return true;
}

bool is_pattern(const char *bytes, uint64_t offset, size_t n)
{
    for (size_t i = 0; i < n; i += RECORD_BYTES)
        if (memcmp(bytes + i, pattern_at(filler, offset + i),
                   n - i < RECORD_BYTES ? n - i : RECORD_BYTES) != 0)
            return false;
    return true;
}

static bool head_is_complete(struct conn *c)
{
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end)
        return false;
    const char *field = strcasestr(c->head, "\r\ncontent-length:");
    uint64_t length = field && field < end ? strtoull(field + 17, NULL, 10) : 0;
    size_t head = (size_t)(end + 4 - c->head), extra = c->head_len - head;
    c->body_left = length > extra ? length - extra : 0;
    c->body_at = extra;
    c->is_spoiled = extra && memcmp(end + 4, filler, extra) != 0;
    end[2] = 0;
    c->head_len = 0;
    return true;
}

static bool read_some(int fd)
{
    static char scratch[65536];
    struct conn *c = &conns[fd];
    bool in_body = c->body_left > 0 || c->state == STREAM;
    char *to = in_body ? scratch : c->head + c->head_len;
    size_t room = in_body ? sizeof scratch : sizeof c->head - 1 - c->head_len;
    int n = room ? SSL_read(c->ssl, to, (int)room) : 0;
    if (n <= 0) {
        if (!room || SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
            close_conn(fd);
        return false;
    }
    if (c->state == STREAM)
        return true;
    if (in_body) {
        c->is_spoiled |= !is_pattern(scratch, c->body_at, (size_t)n);
        c->body_at += (uint64_t)n;
        c->body_left -= (uint64_t)n < c->body_left ? (uint64_t)n : c->body_left;
        if (!c->body_left)
            answer(fd);
        return true;
    }
    c->head_len += (size_t)n;
    if (head_is_complete(c) && !c->body_left)
        answer(fd);
    if (c->body_left && asks_for(c, "stall"))
        c->state = STALLED;
    return true;
}

static bool is_h2(SSL *ssl)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(ssl, &name, &n);
    return n == 2;
}

static void advance(int fd)
{
    struct conn *c = &conns[fd];
    if (c->state == HANDSHAKE) {
        int n = SSL_do_handshake(c->ssl);
        if (n != 1) {
            int why = SSL_get_error(c->ssl, n);
            if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
                close_conn(fd);
            return;
        }
        c->state = is_h2(c->ssl) ? STREAMS : REQUEST;
        if (c->state == STREAMS)
            c->h2 = h2_create(c->ssl, c->h2_streams);
    }
    if (c->state == STREAMS && !h2_advance(c->h2))
        close_conn(fd);
    while (c->state == REQUEST && (c->is_answering ? write_some(fd) : read_some(fd)))
        ;
    while (c->state == STREAM && write_some(fd))
        ;
    while (c->state == STREAM && read_some(fd))
        ;
}

static void on_term(int signal)
{
    (void)signal;
    is_ending = 1;
}

/* Whether there are any. */
static bool run_streams(void)
{
    int64_t now = now_ns();
    for (int i = stream_count; i-- > 0;) {
        struct conn *c = &conns[streams[i]];
        if (c->event_due > now)
            continue;
        c->event_due += c->event_gap;
        add_event(c);
        while (c->state == STREAM && write_some(streams[i]))
            ;
    }
    return h2_run_streams(now) || stream_count;
}

/* ---- start ---- */

/* PORT[/h2[/STREAMS]] */
static void listen_on(const char *port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 4096))
        fail("listen");
    watch(fd, LISTENING);
    const char *h2 = strstr(port, "/h2");
    unsigned long most = h2 && h2[3] ? strtoul(h2 + 4, NULL, 10) : STREAMS_MAX;
    conns[fd].h2_streams = h2 ? (uint32_t)most : 0;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                           const unsigned char *offered, unsigned n, void *arg)
{
    static const unsigned char ours[] = "\2h2\10http/1.1";
    (void)arg;
    unsigned char *chosen = NULL;
    if (!conns[SSL_get_fd(ssl)].h2_streams)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, ret_n, ours, sizeof ours - 1, offered, n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_up_tls(const char *cert, const char *key)
{
    tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
}

int main(int argc, char **argv)
{
    struct rlimit files = {FDS_MAX, FDS_MAX};
    struct epoll_event ready[256];
    if (argc < 4) {
        fputs("usage: origin CERT KEY PORT[/h2[/STREAMS]]...\n", stderr);
        return 64;
    }
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    pattern_fill(filler, sizeof filler);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        fail("epoll_create1");
    set_up_tls(argv[1], argv[2]);
    for (int i = 3; i < argc; i++)
        listen_on(argv[i]);
    fputs("ready\n", stdout);
    fflush(stdout);
    bool has_streams = false;
    while (!is_ending) {
        int count = epoll_wait(poller, ready, 256, has_streams ? 1 : -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            ERR_clear_error();
            if (conns[fd].state == LISTENING)
                accept_all(fd);
            else if (conns[fd].state == STALLED && ready[i].events & (EPOLLRDHUP | EPOLLHUP))
                close_conn(fd);
            else if (conns[fd].state != UNUSED)
                advance(fd);
        }
        has_streams = run_streams();
    }
    fprintf(stdout, "answers=%llu h2_connections=%u\n", answers, h2_connections());
    return 0;
}
