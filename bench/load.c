/* The benchmark's client: one thread, through CONNECT on a proxy or (-d) straight to a TLS server.
 * It drives one mode for some seconds, reads the CPU time of the proxy's process tree at both ends
 * of the window, and prints one line of name=value. Nothing is printed when the proxy failed.
 * Every body is compared with the pattern, every event with its number. */
#include "load.h"

#include "pattern.h"
#include "tree.h"

#include <arpa/inet.h>
#include <errno.h>
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
    SLOTS_MAX = 16000,
    BULK_BYTES = 16 << 20,
    ABORT_STEPS = 40,   /* an aborted connection makes fewer */
    OPENING_MAX = 16,   /* handshakes at once while connections are built up */
    IDLE_WARM = 16,     /* connections before the first look at memory */
    READY_SECONDS = 20, /* without one more connection that had an answer */
    ERRORS_MAX = 20,
};

#define SECOND INT64_C(1000000000)
#define MS INT64_C(1000000)

static const struct {
    const char *name;
    enum mode mode;
    unsigned slots, streams; /* streams: of each connection, over HTTP/2 */
} MODES[] = {
    {"keepalive", KEEPALIVE, 32, 0},
    {"single", KEEPALIVE, 1, 0},
    {"fresh", FRESH, 8, 0},
    {"resume", RESUME, 8, 0},
    {"down", DOWN, 4, 0},
    {"up", UP, 4, 0},
    {"sse", SSE, 200, 0},
    {"idle", IDLE, 1000, 0},
    {"unread", UNREAD, 64, 0},
    {"stall", STALL, 64, 0},
    {"abort", ABORT, 8, 0},
    {"h2-32", KEEPALIVE, 1, 32},
    {"h2-1", KEEPALIVE, 32, 1},
    {"h2-single", KEEPALIVE, 1, 1},
    {"h2-sse", SSE, 2, 100},
    {"h2-down", DOWN, 1, 4},
    {"h2-up", UP, 1, 4},
    {"h2-mixed", MIXED, 1, 100},
    {"h2-grpc", GRPC, 1, 1},
};

struct options opt = {
    .body = BULK_BYTES, .gap_ms = 20, .seconds = 2, .port = 443, .path = "/", .token = ""};
struct run run;
char filler[SCRATCH_BYTES + PATTERN_PERIOD];

static struct slot slots[SLOTS_MAX];
static SSL_CTX *tls;
static int poller;
static char connect_head[512], request[4096];
static size_t connect_len, request_len;

void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* The same numbers in every run (xorshift): which moments connections are aborted at. */
static unsigned next_number(void)
{
    static unsigned x = 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

/* ---- delays ---- */

void count_delay(int64_t ns)
{
    uint64_t us16 = ns > 0 ? (uint64_t)ns / 63 + 1 : 1; /* about 1/16 us */
    unsigned top = 63u - (unsigned)__builtin_clzll(us16);
    unsigned low = top >= 4 ? (unsigned)(us16 >> (top - 4)) & 15 : 0;
    run.delays[top * 16 + low]++;
    run.delay_count++;
}

static double delay_us(unsigned percent)
{
    uint64_t left = run.delay_count * percent / 100;
    for (unsigned i = 0; i < 64 * 16; i++) {
        if (run.delays[i] > left)
            return (double)(UINT64_C(1) << (i / 16)) * (1 + (i % 16) / 16.0) * 63 / 1000;
        left -= run.delays[i];
    }
    return 0;
}

/* ---- one connection ---- */

void close_slot(struct slot *s)
{
    h2_end(s);
    SSL_free(s->ssl);
    s->ssl = NULL;
    close(s->fd);
    if (s->state != CLOSED && !s->is_up)
        run.opening--;
    if (s->is_up)
        run.up--;
    s->is_up = false;
    s->state = CLOSED;
}

static void open_slot(struct slot *s)
{
    int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port =
                                   htons((uint16_t)(opt.is_direct ? opt.port : opt.proxy_port)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        fail("no more descriptors");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bool is_refused = connect(s->fd, (struct sockaddr *)&addr, sizeof addr) && errno != EINPROGRESS;
    if (is_refused && (!opt.may_leave || errno != ECONNREFUSED))
        fail("connect");
    if (is_refused) {
        close(s->fd);
        run.left++;
        return;
    }
    s->ssl = SSL_new(tls);
    SSL_set_fd(s->ssl, s->fd);
    SSL_set_connect_state(s->ssl);
    SSL_set_tlsext_host_name(s->ssl, opt.host);
    SSL_set_app_data(s->ssl, (char *)s);
    if (s->session)
        SSL_set_session(s->ssl, s->session);
    s->state = opt.is_direct ? HANDSHAKE : CONNECT_OUT;
    s->head_len = s->sent = 0;
    s->begun = now_ns();
    s->steps_left = 1 + next_number() % ABORT_STEPS;
    run.opening++;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &ev))
        fail("epoll_ctl");
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct slot *s = (struct slot *)SSL_get_app_data(ssl);
    SSL_SESSION_free(s->session);
    s->session = session;
    return 1;
}

static bool is_fresh(void)
{
    return opt.mode == FRESH || opt.mode == RESUME;
}

static bool is_upload(void)
{
    return opt.mode == UP || opt.mode == STALL;
}

/* The server may go away, but not in the middle of an answer. */
static bool has_left(const struct slot *s)
{
    return opt.may_leave && (s->state < ANSWER_HEAD || (s->state == ANSWER_HEAD && !s->head_len));
}

bool end_badly(struct slot *s, const char *why)
{
    if (has_left(s)) {
        run.left++;
        close_slot(s);
        return false;
    }
    if (++run.errors <= 3)
        fprintf(stderr, "load: %s: %s (state %d)\n", opt.name, why, (int)s->state);
    if (run.errors > ERRORS_MAX)
        fail("too many errors");
    close_slot(s);
    open_slot(s);
    return false;
}

/* What to do about an SSL call that gave n: false, wait or open anew. */
static bool stalled(struct slot *s, int n, const char *what)
{
    int why = SSL_get_error(s->ssl, n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return false;
    return end_badly(s, what);
}

static bool send_connect(struct slot *s)
{
    ssize_t n = send(s->fd, connect_head, connect_len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
        return false;
    if (n != (ssize_t)connect_len)
        return end_badly(s, "CONNECT was not sent");
    s->state = CONNECT_IN;
    return true;
}

static bool read_connect(struct slot *s)
{
    ssize_t n = recv(s->fd, s->head + s->head_len, sizeof s->head - 1 - s->head_len, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        return end_badly(s, "CONNECT got no answer");
    s->head_len += (size_t)n;
    s->head[s->head_len] = 0;
    if (!strstr(s->head, "\r\n\r\n"))
        return true;
    if (strncmp(s->head, "HTTP/1.", 7) || strncmp(s->head + 8, " 200", 4))
        return end_badly(s, "CONNECT was refused");
    s->state = HANDSHAKE;
    return true;
}

static void begin_request(struct slot *s)
{
    s->state = SEND;
    s->sent = s->head_len = 0;
    s->events = (struct events){.digits = -1};
    s->up_at = is_upload() ? 0 : opt.body;
    if (!is_fresh())
        s->begun = now_ns();
}

static bool shake_hands(struct slot *s)
{
    int n = SSL_do_handshake(s->ssl);
    if (n != 1)
        return stalled(s, n, "handshake");
    if (run.is_counting) {
        run.handshakes++;
        run.resumed += (uint64_t)SSL_session_reused(s->ssl);
    }
    if (opt.streams)
        h2_begin(s);
    else
        begin_request(s);
    return true;
}

void count_up(struct slot *s)
{
    if (s->is_up)
        return;
    s->is_up = true;
    run.up++;
    run.opening--;
}

static bool send_request(struct slot *s)
{
    bool in_head = s->sent < request_len;
    const char *from = in_head ? request + s->sent : pattern_at(filler, s->up_at);
    uint64_t left = in_head ? request_len - s->sent : opt.body - s->up_at;
    size_t len = left < RECORD_BYTES ? (size_t)left : RECORD_BYTES;
    if (!len) {
        s->state = ANSWER_HEAD;
        return true;
    }
    int n = SSL_write(s->ssl, from, (int)len);
    if (n <= 0 && opt.mode == STALL && s->up_at && SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_WRITE)
        count_up(s);
    if (n <= 0)
        return stalled(s, n, "request");
    if (in_head) {
        s->sent += (size_t)n;
        return true;
    }
    s->up_at += (uint64_t)n;
    if (run.is_counting)
        run.bytes += (uint64_t)n;
    return true;
}

/* Time and number of an event are complete. */
static void take_event(struct events *e)
{
    if (e->number != e->next) {
        run.lost += e->number > e->next ? e->number - e->next : 1;
        fprintf(stderr, "load: event %u came, %u was due\n", e->number, e->next);
    }
    e->next = e->number + 1;
    run.event_count++;
    if (run.is_counting && opt.mode == SSE) {
        run.units++;
        count_delay(now_ns() - e->stamp);
    }
}

void events_take(struct events *e, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '@') {
            e->digits = 0;
            e->stamp = e->number = 0;
        } else if (e->digits >= 0) {
            if (e->digits < 19)
                e->stamp = e->stamp * 10 + (text[i] - '0');
            else
                e->number = e->number * 10 + (unsigned)(text[i] - '0');
            if (++e->digits < 29)
                continue;
            e->digits = -1;
            take_event(e);
        }
    }
}

/* Whether a chunked answer ends here: the bytes of its last chunk stand nowhere else in it. */
static bool is_last_chunk(struct slot *s, const char *text, size_t len)
{
    size_t n = len < sizeof s->tail ? len : sizeof s->tail;
    memmove(s->tail, s->tail + n, sizeof s->tail - n);
    memcpy(s->tail + sizeof s->tail - n, text + len - n, n);
    return !memcmp(s->tail, "0\r\n\r\n", sizeof s->tail);
}

static bool end_request(struct slot *s)
{
    if (opt.mode == IDLE) {
        s->state = HELD;
    } else if (opt.is_once) {
        run.done++;
        close_slot(s);
        return false;
    } else if (is_fresh()) {
        SSL_shutdown(s->ssl);
        close_slot(s);
        open_slot(s);
        return false;
    } else {
        begin_request(s);
    }
    return true;
}

static bool take_events(struct slot *s, const char *text, size_t len)
{
    events_take(&s->events, text, len);
    if (!is_last_chunk(s, text, len))
        return true;
    if (s->events.next != opt.events)
        return end_badly(s, "the stream has too few events");
    return end_request(s);
}

static bool take_body(struct slot *s, const char *text, size_t len)
{
    if (opt.mode == SSE)
        return take_events(s, text, len);
    if (s->body_left < len)
        return end_badly(s, "the answer is too long");
    if (!is_upload() && memcmp(text, pattern_at(filler, s->body_at), len) != 0)
        return end_badly(s, "a byte of the answer is wrong");
    if (opt.mode == DOWN && run.is_counting)
        run.bytes += len;
    s->body_at += len;
    s->body_left -= len;
    if (s->body_left)
        return true;
    if (run.is_counting) {
        run.units += opt.mode != DOWN && opt.mode != UP;
        count_delay(now_ns() - s->begun);
    }
    return end_request(s);
}

static bool take_head(struct slot *s)
{
    s->head[s->head_len] = 0;
    char *end = strstr(s->head, "\r\n\r\n");
    if (!end)
        return s->head_len < sizeof s->head - 1 || end_badly(s, "no end of the head");
    if (strncmp(s->head, "HTTP/1.1 200", 12)) {
        if (!run.errors)
            fprintf(stderr, "%.*s\n", (int)(end - s->head), s->head);
        return end_badly(s, "answer is not 200");
    }
    bool is_swapped = strcasestr(s->head, "\r\nx-swapped: 1") != NULL;
    run.answers++;
    run.swapped += is_swapped;
    if (!is_swapped && !opt.is_unswapped)
        return end_badly(s, "the credential did not arrive");
    count_up(s);
    const char *length = strcasestr(s->head, "\r\ncontent-length:");
    s->body_at = 0;
    s->body_left = length ? strtoull(length + 17, NULL, 10) : UINT64_MAX;
    s->state = opt.mode == UNREAD ? HELD : ANSWER_BODY;
    if (opt.mode == UNREAD)
        return false;
    size_t head = (size_t)(end + 4 - s->head);
    return head == s->head_len || take_body(s, s->head + head, s->head_len - head);
}

static bool read_answer(struct slot *s)
{
    static char scratch[SCRATCH_BYTES];
    bool in_head = s->state == ANSWER_HEAD;
    char *to = in_head ? s->head + s->head_len : scratch;
    int n = SSL_read(s->ssl, to, in_head ? (int)(sizeof s->head - 1 - s->head_len) : SCRATCH_BYTES);
    if (n <= 0)
        return stalled(s, n, "answer");
    if (!in_head)
        return s->state == HELD || take_body(s, scratch, (size_t)n);
    s->head_len += (size_t)n;
    return take_head(s);
}

static bool abort_slot(struct slot *s)
{
    struct linger at_once = {1, 0};
    if (next_number() & 1)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    run.units += run.is_counting;
    close_slot(s);
    open_slot(s);
    return false;
}

static bool advance(struct slot *s)
{
    if (opt.mode == ABORT && s->state != CLOSED && !s->steps_left--)
        return abort_slot(s);
    switch (s->state) {
    case CONNECT_OUT:
        return send_connect(s);
    case CONNECT_IN:
        return read_connect(s);
    case HANDSHAKE:
        return shake_hands(s);
    case SEND:
        return send_request(s);
    case HELD:
        if (opt.mode == UNREAD)
            return false;
        return read_answer(s);
    case ANSWER_HEAD:
    case ANSWER_BODY:
        return read_answer(s);
    case STREAMS:
        return h2_advance(s);
    case CLOSED:
    default:
        return false;
    }
}

/* ---- the run ---- */

static void turn(unsigned target)
{
    struct epoll_event ready[256];
    while (run.next < target && run.opening < OPENING_MAX)
        open_slot(&slots[run.next++]);
    int count = epoll_wait(poller, ready, 256, 5);
    for (int i = 0; i < count; i++) {
        ERR_clear_error();
        while (advance(ready[i].data.ptr))
            ;
    }
}

static void turn_until(int64_t end)
{
    while (now_ns() < end)
        turn(opt.slots);
}

static void turn_until_up(unsigned target)
{
    int64_t end = now_ns() + READY_SECONDS * SECOND;
    unsigned most = 0;
    while (is_fresh() ? run.answers < target : run.up < target) {
        if (now_ns() > end)
            fail("the connections did not come up");
        if (run.up > most) {
            most = run.up;
            end = now_ns() + READY_SECONDS * SECOND;
        }
        turn(target);
    }
}

static void begin_line(void)
{
    fprintf(stdout, "mode=%s slots=%u", opt.name, opt.slots);
    if (opt.streams)
        fprintf(stdout, " streams=%u", opt.streams);
}

static void end_line(void)
{
    if (opt.mode == SSE || opt.mode == MIXED)
        fprintf(stdout, " events=%llu lost=%u", (unsigned long long)run.event_count, run.lost);
    if (opt.mode == MIXED)
        h2_print_mixed(slots, opt.slots);
    fprintf(stdout, " swapped=%llu/%llu errors=%u\n", (unsigned long long)run.swapped,
            (unsigned long long)run.answers, run.errors);
}

static void run_window(void)
{
    if (opt.mode != ABORT)
        turn_until_up(opt.slots);
    turn_until(now_ns() + SECOND / 2);
    uint64_t cpu = tree_cpu_ns(opt.tree);
    int64_t begun = now_ns();
    run.is_counting = true;
    turn_until(begun + opt.seconds * SECOND);
    run.is_counting = false;
    double seconds = (double)(now_ns() - begun) / 1e9;
    double cpu_us = (double)(tree_cpu_ns(opt.tree) - cpu) / 1e3;
    bool is_bulk = opt.mode == DOWN || opt.mode == UP || opt.mode == GRPC;
    double units = is_bulk ? (double)run.bytes / 1e9 : (double)run.units;
    if (units <= 0)
        fail("nothing was done in the window");
    begin_line();
    fprintf(stdout, " seconds=%.2f units=%.3f cpu_us=%.0f", seconds, units, cpu_us);
    fprintf(stdout, " cpu_us_per_unit=%.2f busy=%.2f", cpu_us / units, cpu_us / 1e6 / seconds);
    fprintf(stdout, " p50_us=%.0f p99_us=%.0f", delay_us(50), delay_us(99));
    if (run.handshakes)
        fprintf(stdout, " resumed=%.2f", (double)run.resumed / (double)run.handshakes);
    end_line();
}

/* Each connection asks once (or, with -k, until the server leaves); the rest is silence. */
static void run_until_done(void)
{
    int64_t begun = now_ns();
    run.is_counting = true;
    while (run.done + run.left < opt.slots) {
        if (now_ns() > begun + opt.seconds * SECOND)
            fail("not all answers came in time");
        turn(opt.slots);
    }
    begin_line();
    fprintf(stdout, " seconds=%.2f units=%llu bytes=%llu left=%u", (double)(now_ns() - begun) / 1e9,
            (unsigned long long)run.units, (unsigned long long)run.bytes, run.left);
    end_line();
}

static void run_held(void)
{
    unsigned warm = opt.slots < IDLE_WARM ? opt.slots / 2 : IDLE_WARM;
    turn_until_up(warm);
    for (int64_t end = now_ns() + SECOND; now_ns() < end;)
        turn(warm);
    struct memory before = tree_memory(opt.tree);
    turn_until_up(opt.slots);
    turn_until(now_ns() + opt.seconds * SECOND);
    struct memory after = tree_memory(opt.tree);
    double count = opt.slots - warm;
    begin_line();
    fprintf(stdout, " pss_kb_per_conn=%.2f rss_kb_per_conn=%.2f pss_kb=%llu",
            ((double)after.pss_kb - (double)before.pss_kb) / count,
            ((double)after.rss_kb - (double)before.rss_kb) / count,
            (unsigned long long)after.pss_kb);
    end_line();
}

/* ---- start ---- */

static void usage(void)
{
    fputs(
        "usage: load -m MODE -H HOST -p PORT [options]\n"
        "  -m keepalive|single|fresh|resume|down|up|sse|idle|unread|stall|abort, and over HTTP/2\n"
        "     h2-32|h2-1|h2-single|h2-sse|h2-down|h2-up|h2-mixed|h2-grpc\n"
        "  -H HOST -p PORT  what CONNECT and SNI name; with -d the port is dialled on loopback\n"
        "  -x PORT          the proxy's port on loopback\n"
        "  -d               straight to the TLS server: no CONNECT\n"
        "  -u               the credential need not arrive (tunnels)\n"
        "  -t TOKEN -f PATH placeholder and path of each request\n"
        "  -c N -s SECONDS  connections, length of the window\n"
        "  -n N             streams of each connection (h2-)\n"
        "  -b BYTES         body of each answer or upload\n"
        "  -g MS -e N       gap between events of a stream; their number (0: no end)\n"
        "  -o               each connection asks once; -s is then the longest that it may take\n"
        "  -k               the server may leave between answers: ends when it is gone\n"
        "  -P PID           the root of the process tree whose CPU time is read\n",
        stderr);
    exit(64);
}

static void take_mode(const char *name)
{
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        if (strcmp(name, MODES[i].name) != 0)
            continue;
        opt.name = MODES[i].name;
        opt.mode = MODES[i].mode;
        opt.slots = MODES[i].slots;
        opt.streams = MODES[i].streams;
    }
    if (!opt.name)
        usage();
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

static void read_options(int argc, char **argv)
{
    int c = 0;
    unsigned count = 0, streams = 0;
    while ((c = getopt(argc, argv, "m:H:p:x:dut:f:c:n:s:P:b:g:e:ok")) != -1) {
        switch (c) {
        case 'm':
            take_mode(optarg);
            break;
        case 'H':
            opt.host = optarg;
            break;
        case 'p':
            opt.port = number(optarg);
            break;
        case 'x':
            opt.proxy_port = number(optarg);
            break;
        case 'd':
            opt.is_direct = true;
            break;
        case 'u':
            opt.is_unswapped = true;
            break;
        case 't':
            opt.token = optarg;
            break;
        case 'f':
            opt.path = optarg;
            break;
        case 'c':
            count = number(optarg);
            break;
        case 'n':
            streams = number(optarg);
            break;
        case 's':
            opt.seconds = number(optarg);
            break;
        case 'b':
            opt.body = strtoull(optarg, NULL, 10);
            break;
        case 'g':
            opt.gap_ms = number(optarg);
            break;
        case 'e':
            opt.events = number(optarg);
            break;
        case 'o':
            opt.is_once = true;
            break;
        case 'k':
            opt.may_leave = true;
            break;
        case 'P':
            opt.tree = (pid_t)number(optarg);
            break;
        default:
            usage();
        }
    }
    if (!opt.name || !opt.host || (!opt.proxy_port && !opt.is_direct) || !opt.seconds ||
        !opt.gap_ms)
        usage();
    opt.slots = count ? count : opt.slots;
    opt.streams = streams && opt.streams ? streams : opt.streams;
    if (opt.slots > SLOTS_MAX || opt.streams > STREAMS_MAX)
        fail("too many connections or streams");
}

void write_asks(enum mode mode, char *to, size_t room)
{
    static const char *const what[] = {
        [DOWN] = "down", [UNREAD] = "down", [ABORT] = "down", [SSE] = "sse",
        [UP] = "up",     [STALL] = "stall", [GRPC] = "grpc"};
    const char *asks = what[mode] ? what[mode] : "small";
    if (mode == SSE)
        snprintf(to, room, "%s %u %u", asks, opt.gap_ms, opt.events);
    else if (!strcmp(asks, "down"))
        snprintf(to, room, "%s %llu", asks, (unsigned long long)opt.body);
    else
        snprintf(to, room, "%s", asks);
}

static void write_requests(void)
{
    char port[16] = "", asks[80];
    connect_len = (size_t)snprintf(connect_head, sizeof connect_head,
                                   "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", opt.host,
                                   opt.port, opt.host, opt.port);
    if (opt.port != 443)
        snprintf(port, sizeof port, ":%u", opt.port);
    write_asks(opt.mode, asks, sizeof asks);
    int len = snprintf(request, sizeof request - POST_BYTES,
                       "POST %s HTTP/1.1\r\nHost: %s%s\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "X-Bench: %s\r\nContent-Length: %llu\r\n\r\n",
                       opt.path, opt.host, port, opt.token, asks,
                       (unsigned long long)(is_upload() ? opt.body : POST_BYTES));
    if (len < 0 || (size_t)len >= sizeof request - POST_BYTES)
        fail("path or token is too long");
    request_len = (size_t)len;
    pattern_fill(filler, sizeof filler);
    if (!is_upload()) {
        memcpy(request + request_len, filler, POST_BYTES);
        request_len += POST_BYTES;
    }
}

static void set_up_tls(void)
{
    static const unsigned char h2[] = "\2h2";
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls)
        fail("no TLS");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls, 1);
    if (opt.streams && SSL_CTX_set_alpn_protos(tls, h2, sizeof h2 - 1) != 0)
        fail("no ALPN");
    if (opt.mode == RESUME) {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls, keep_session);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files = {SLOTS_MAX + 100, SLOTS_MAX + 100};
    read_options(argc, argv);
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    write_requests();
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        fail("no epoll");
    set_up_tls();
    if (opt.mode == IDLE || opt.mode == UNREAD || opt.mode == STALL)
        run_held();
    else if (opt.is_once || opt.may_leave)
        run_until_done();
    else
        run_window();
    return 0;
}
