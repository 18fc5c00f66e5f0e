/* The benchmark's client: one thread, through CONNECT on a proxy or (-d) straight to a TLS server.
 * It drives one mode for some seconds, reads the CPU time of the proxy's process tree at both ends
 * of the window, and prints one line of name=value. Nothing is printed when the proxy failed. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS_MAX = 16000,
    TREE_MAX = 64,
    POST_BYTES = 1024,
    UP_BYTES = 16 << 20,
    OPENING_MAX = 16,   /* handshakes at once while connections are built up */
    IDLE_WARM = 16,     /* connections before the first look at memory */
    READY_SECONDS = 20, /* until all connections have had an answer */
    ERRORS_MAX = 20,
};

#define SECOND INT64_C(1000000000)
#define MS INT64_C(1000000)

enum mode {
    KEEPALIVE,
    FRESH,
    RESUME,
    DOWN,
    UP,
    SSE,
    IDLE,
    MODES
};

static const struct {
    const char *name, *asks; /* the request's X-Bench field */
    unsigned slots;
} MODE[MODES] = {
    [KEEPALIVE] = {"keepalive", "small", 32},
    [FRESH] = {"fresh", "small", 8},
    [RESUME] = {"resume", "small", 8},
    [DOWN] = {"down", "down", 4},
    [UP] = {"up", "up", 4},
    [SSE] = {"sse", "sse", 200},
    [IDLE] = {"idle", "small", 1000},
};

enum state {
    CLOSED,
    CONNECT_OUT,
    CONNECT_IN,
    HANDSHAKE,
    SEND,
    ANSWER_HEAD,
    ANSWER_BODY,
    HELD
};

struct slot {
    enum state state;
    int fd;
    SSL *ssl;
    SSL_SESSION *session;
    char head[4096];
    size_t head_len, sent;
    uint64_t up_left, body_left;
    int64_t begun;
    int stamp_digits; /* of an event's time; -1: no @ yet */
    int64_t stamp;
    bool is_up; /* has had an answer */
};

static struct options {
    enum mode mode;
    unsigned slots, seconds;
    char *host;
    const char *path, *token;
    unsigned proxy_port, port;
    bool is_direct, is_unswapped;
    pid_t tree;
} opt = {.seconds = 2, .port = 443, .path = "/", .token = ""};

static struct {
    uint64_t units, bytes, swapped, answers, resumed, handshakes;
    unsigned errors, up, opening, next; /* next: slots below it were opened */
    bool is_counting;
    uint32_t delays[64 * 16]; /* by logarithm, 16 steps for a doubling */
    uint64_t delay_count;
} run;

static struct slot slots[SLOTS_MAX];
static SSL_CTX *tls;
static int poller;
static char connect_head[512], request[4096], filler[16384];
static size_t connect_len, request_len;

static void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* ---- the proxy's process tree ---- */

static bool read_file(const char *path, char *text, size_t room)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t len = fread(text, 1, room - 1, f);
    text[len] = 0;
    fclose(f);
    return len > 0;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *after = read_file(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    return after && strlen(after) > 4 ? (pid_t)strtol(after + 4, NULL, 10) : 0;
}

/* Calls each with the name of every number in a folder of /proc. */
static void each_number(const char *folder, void (*each)(const char *name, void *arg), void *arg)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (isdigit((unsigned char)e->d_name[0]))
            each(e->d_name, arg);
    if (dir)
        closedir(dir);
}

struct tree {
    pid_t pids[TREE_MAX];
    int count;
};

static void add_if_child(const char *name, void *arg)
{
    struct tree *tree = arg;
    pid_t pid = (pid_t)strtol(name, NULL, 10), up = pid;
    while (up > 1 && up != opt.tree)
        up = parent_of(up);
    if (up == opt.tree && tree->count < TREE_MAX)
        tree->pids[tree->count++] = pid;
}

static void find_tree(struct tree *tree)
{
    tree->count = 0;
    if (opt.tree > 0)
        each_number("/proc", add_if_child, tree);
}

struct thread_sum {
    pid_t pid;
    uint64_t ns;
};

static void add_thread(const char *name, void *arg)
{
    struct thread_sum *sum = arg;
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", sum->pid, name);
    if (read_file(path, text, sizeof text)) {
        sum->ns += strtoull(text, NULL, 10);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", sum->pid, name);
    char *at = read_file(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' '); /* before utime */
    if (at) {
        uint64_t user = strtoull(at, &at, 10), kernel = strtoull(at, NULL, 10);
        sum->ns += (user + kernel) * (uint64_t)(SECOND / sysconf(_SC_CLK_TCK));
    }
}

static uint64_t tree_cpu_ns(void)
{
    struct tree tree;
    uint64_t ns = 0;
    find_tree(&tree);
    for (int i = 0; i < tree.count; i++) {
        struct thread_sum sum = {.pid = tree.pids[i]};
        char folder[64];
        snprintf(folder, sizeof folder, "/proc/%d/task", sum.pid);
        each_number(folder, add_thread, &sum);
        ns += sum.ns;
    }
    return ns;
}

struct memory {
    uint64_t pss_kb, rss_kb;
};

static struct memory tree_memory(void)
{
    struct tree tree;
    struct memory sum = {0};
    char path[64], text[4096];
    find_tree(&tree);
    for (int i = 0; i < tree.count; i++) {
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", tree.pids[i]);
        if (!read_file(path, text, sizeof text))
            continue;
        const char *pss = strstr(text, "\nPss:"), *rss = strstr(text, "\nRss:");
        sum.pss_kb += pss ? strtoull(pss + 5, NULL, 10) : 0;
        sum.rss_kb += rss ? strtoull(rss + 5, NULL, 10) : 0;
    }
    return sum;
}

/* ---- delays ---- */

static void count_delay(int64_t ns)
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

static void close_slot(struct slot *s)
{
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
    if (connect(s->fd, (struct sockaddr *)&addr, sizeof addr) && errno != EINPROGRESS)
        fail("connect");
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

static bool end_badly(struct slot *s, const char *why)
{
    if (++run.errors <= 3)
        fprintf(stderr, "load: %s: %s (state %d)\n", MODE[opt.mode].name, why, (int)s->state);
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
    s->stamp_digits = -1;
    s->up_left = opt.mode == UP ? UP_BYTES : 0;
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
    begin_request(s);
    return true;
}

static bool send_request(struct slot *s)
{
    bool in_head = s->sent < request_len;
    const char *from = in_head ? request + s->sent : filler;
    size_t len = in_head                      ? request_len - s->sent
                 : s->up_left < sizeof filler ? (size_t)s->up_left
                                              : sizeof filler;
    if (!len) {
        s->state = ANSWER_HEAD;
        return true;
    }
    int n = SSL_write(s->ssl, from, (int)len);
    if (n <= 0)
        return stalled(s, n, "request");
    if (in_head) {
        s->sent += (size_t)n;
        return true;
    }
    s->up_left -= (uint64_t)n;
    if (run.is_counting)
        run.bytes += (uint64_t)n;
    return true;
}

static void find_stamps(struct slot *s, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '@') {
            s->stamp_digits = 0;
            s->stamp = 0;
        } else if (s->stamp_digits >= 0) {
            s->stamp = s->stamp * 10 + (text[i] - '0');
            if (++s->stamp_digits < 19)
                continue;
            s->stamp_digits = -1;
            if (run.is_counting) {
                run.units++;
                count_delay(now_ns() - s->stamp);
            }
        }
    }
}

static bool take_body(struct slot *s, const char *text, size_t len)
{
    if (opt.mode == SSE) {
        find_stamps(s, text, len);
        return true;
    }
    if (opt.mode == DOWN && run.is_counting)
        run.bytes += len;
    s->body_left -= len < s->body_left ? len : s->body_left;
    if (s->body_left)
        return true;
    if (run.is_counting) {
        run.units += opt.mode != DOWN && opt.mode != UP;
        count_delay(now_ns() - s->begun);
    }
    if (opt.mode == IDLE) {
        s->state = HELD;
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
    if (!s->is_up) {
        s->is_up = true;
        run.up++;
        run.opening--;
    }
    const char *length = strcasestr(s->head, "\r\ncontent-length:");
    s->body_left = length ? strtoull(length + 17, NULL, 10) : UINT64_MAX;
    s->state = ANSWER_BODY;
    size_t head = (size_t)(end + 4 - s->head);
    return head == s->head_len || take_body(s, s->head + head, s->head_len - head);
}

static bool read_answer(struct slot *s)
{
    static char scratch[65536];
    bool in_head = s->state == ANSWER_HEAD;
    char *to = in_head ? s->head + s->head_len : scratch;
    int n = SSL_read(s->ssl, to, in_head ? (int)(sizeof s->head - 1 - s->head_len) : 65536);
    if (n <= 0)
        return stalled(s, n, "answer");
    if (!in_head)
        return s->state == HELD || take_body(s, scratch, (size_t)n);
    s->head_len += (size_t)n;
    return take_head(s);
}

static bool advance(struct slot *s)
{
    switch (s->state) {
    case CONNECT_OUT:
        return send_connect(s);
    case CONNECT_IN:
        return read_connect(s);
    case HANDSHAKE:
        return shake_hands(s);
    case SEND:
        return send_request(s);
    case ANSWER_HEAD:
    case ANSWER_BODY:
    case HELD:
        return read_answer(s);
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
    while (is_fresh() ? run.answers < target : run.up < target) {
        if (now_ns() > end)
            fail("the connections did not come up");
        turn(target);
    }
}

static void begin_line(void)
{
    fprintf(stdout, "mode=%s slots=%u", MODE[opt.mode].name, opt.slots);
}

static void end_line(void)
{
    fprintf(stdout, " swapped=%llu/%llu errors=%u\n", (unsigned long long)run.swapped,
            (unsigned long long)run.answers, run.errors);
}

static void run_window(void)
{
    turn_until_up(opt.slots);
    turn_until(now_ns() + SECOND / 2);
    uint64_t cpu = tree_cpu_ns();
    int64_t begun = now_ns();
    run.is_counting = true;
    turn_until(begun + opt.seconds * SECOND);
    run.is_counting = false;
    double seconds = (double)(now_ns() - begun) / 1e9;
    double cpu_us = (double)(tree_cpu_ns() - cpu) / 1e3;
    double units = opt.mode == DOWN || opt.mode == UP ? (double)run.bytes / 1e9 : (double)run.units;
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

static void run_idle(void)
{
    unsigned warm = opt.slots < IDLE_WARM ? opt.slots / 2 : IDLE_WARM;
    turn_until_up(warm);
    for (int64_t end = now_ns() + SECOND; now_ns() < end;)
        turn(warm);
    struct memory before = tree_memory();
    turn_until_up(opt.slots);
    turn_until(now_ns() + SECOND);
    struct memory after = tree_memory();
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
    fputs("usage: load -m MODE -H HOST -p PORT [options]\n"
          "  -m keepalive|fresh|resume|down|up|sse|idle\n"
          "  -H HOST -p PORT  what CONNECT and SNI name; with -d the port is dialled on loopback\n"
          "  -x PORT          the proxy's port on loopback\n"
          "  -d               straight to the TLS server: no CONNECT\n"
          "  -u               the credential need not arrive (tunnels)\n"
          "  -t TOKEN -f PATH placeholder and path of each request\n"
          "  -c N -s SECONDS  connections, length of the window\n"
          "  -P PID           the root of the process tree whose CPU time is read\n",
          stderr);
    exit(64);
}

static enum mode mode_named(const char *name)
{
    for (enum mode m = 0; m < MODES; m++)
        if (!strcmp(name, MODE[m].name))
            return m;
    usage();
    return MODES;
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

static void read_options(int argc, char **argv)
{
    int c = 0;
    opt.mode = MODES;
    while ((c = getopt(argc, argv, "m:H:p:x:dut:f:c:s:P:")) != -1) {
        switch (c) {
        case 'm':
            opt.mode = mode_named(optarg);
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
            opt.slots = number(optarg);
            break;
        case 's':
            opt.seconds = number(optarg);
            break;
        case 'P':
            opt.tree = (pid_t)number(optarg);
            break;
        default:
            usage();
        }
    }
    if (opt.mode == MODES || !opt.host || (!opt.proxy_port && !opt.is_direct) || !opt.seconds)
        usage();
    if (!opt.slots)
        opt.slots = MODE[opt.mode].slots;
    if (opt.slots > SLOTS_MAX)
        fail("too many connections");
}

static void write_requests(void)
{
    unsigned body = opt.mode == UP ? UP_BYTES : POST_BYTES;
    connect_len = (size_t)snprintf(connect_head, sizeof connect_head,
                                   "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", opt.host,
                                   opt.port, opt.host, opt.port);
    char port[16] = "";
    if (opt.port != 443)
        snprintf(port, sizeof port, ":%u", opt.port);
    int len = snprintf(request, sizeof request - POST_BYTES,
                       "POST %s HTTP/1.1\r\nHost: %s%s\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "X-Bench: %s\r\nContent-Length: %u\r\n\r\n",
                       opt.path, opt.host, port, opt.token, MODE[opt.mode].asks, body);
    if (len < 0 || (size_t)len >= sizeof request - POST_BYTES)
        fail("path or token is too long");
    request_len = (size_t)len;
    memset(filler, 'q', sizeof filler);
    if (opt.mode != UP) {
        memcpy(request + request_len, filler, POST_BYTES);
        request_len += POST_BYTES;
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
    tls = SSL_CTX_new(TLS_client_method());
    if (poller < 0 || !tls)
        fail("no epoll or no TLS");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls, 1);
    if (opt.mode == RESUME) {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls, keep_session);
    }
    if (opt.mode == IDLE)
        run_idle();
    else
        run_window();
    return 0;
}
