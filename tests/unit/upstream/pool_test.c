/* The pool over loopback: which connection serves again, and which never. The providers are sockets
 * in this same thread; the clock stands unless a test moves it. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "tls/tls.h"
#include "upstream/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define KEEPALIVE_MS 65000u
#define ONE "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

/* What became of one dial, and of the message pair on it. */
struct call {
    struct back *back;
    struct back_wait *wait;
    struct stream *st;
    enum err err;
    const char *word;
    int calls, status;
    size_t body;
    bool is_closed;
    enum why why;
};

static struct world {
    struct loop *loop;
    struct policy *policy;
    struct resolver *resolver;
    struct tls_ctxs *tls;
    struct pool *pool;
    struct pool_conf conf;
    int listener;
    struct authority to;
} w;

/* ---- a world ---- */

static int listen_on(struct authority *ret)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(authority_parse(slice_of(text), 0, ret), ERR_OK);
    return fd;
}

static int make(void **state)
{
    static char *any[] = {"private"}, *allow[] = {"127.0.0.1/32"}, *ports[] = {"443"},
                *proxy[] = {"127.0.0.1:3128"};
    struct conf c = {0};
    struct errmsg msg;
    (void)state;
    memset(&w, 0, sizeof w);
    clock_set_fake(1000000, INT64_C(1700000000000));
    c.listen.proxy = (struct conf_list){proxy, 1};
    c.policy.clients = c.policy.deny_networks = (struct conf_list){any, 1};
    c.policy.allow_networks = (struct conf_list){allow, 1};
    c.policy.ports = (struct conf_list){ports, 1};
    c.policy.tunnel = "";
    c.policy.proxy_auth = "optional";
    struct tls_conf t = {.upstream_ca_file = ""};
    if (policy_create(&c, &w.policy, &msg) != ERR_OK || loop_create(&w.loop) != ERR_OK ||
        resolver_create(w.loop, "", &w.resolver) != ERR_OK ||
        tls_ctxs_create(&t, &w.tls, &msg) != ERR_OK)
        return 1;
    w.conf = (struct pool_conf){.dialer = {w.loop, w.resolver, w.policy, 10000},
                                .tls = w.tls,
                                .limits = {65536, 128},
                                .keepalive_ms = KEEPALIVE_MS,
                                .handshake_ms = 10000,
                                .idle_per_host = 8,
                                .idle_total = 16};
    w.listener = listen_on(&w.to);
    return pool_create(&w.conf, &w.pool) != ERR_OK;
}

static void spin(void)
{
    for (int i = 0; i < 20; i++) {
        event_base_loop(w.loop->base, EVLOOP_NONBLOCK);
        struct pollfd nothing = {.fd = -1};
        poll(&nothing, 0, 1);
    }
}

static int end(void **state)
{
    (void)state;
    spin();
    pool_destroy(w.pool);
    spin();
    tls_ctxs_destroy(w.tls);
    resolver_destroy(w.resolver);
    loop_destroy(w.loop);
    policy_destroy(w.policy);
    close(w.listener);
    clock_unset_fake();
    mem_fail_after(0, 0);
    return 0;
}

static struct pool_stats stats(void)
{
    struct pool_stats s;
    pool_stats(w.pool, &s);
    return s;
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 500) {
        clock_advance_fake(500);
        wheel_turn(&w.loop->wheel, loop_now(w.loop));
    }
    spin();
}

/* ---- the caller's side ---- */

static void on_back(void *arg, enum err e, const char *why, struct back *b)
{
    struct call *c = arg;
    c->calls++;
    c->err = e;
    c->word = why;
    c->back = b;
    c->wait = NULL;
    assert_true((e == ERR_OK) == (b != NULL));
}

static enum err acquire_at(struct call *c, const struct authority *to, bool is_tls, bool fresh)
{
    *c = (struct call){0};
    enum err e = pool_acquire(w.pool, to, (is_tls ? POOL_TLS : 0u) | (fresh ? POOL_FRESH : 0u),
                              on_back, c, &c->back, &c->wait);
    assert_int_equal(c->calls, 0);
    for (int i = 0; i < 100 && e == ERR_AGAIN && !c->calls; i++)
        spin();
    return e;
}

static void on_head(struct stream *st, const struct head *h, bool end)
{
    struct call *c = st->owner;
    (void)end;
    c->status = h->status;
}

static void on_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct call *c = st->owner;
    (void)p;
    (void)end;
    c->body += n;
    stream_credit(st, n);
}

static void on_sent(struct stream *st, size_t n)
{
    (void)st;
    (void)n;
}

static void on_close(struct stream *st, enum why why)
{
    struct call *c = st->owner;
    c->is_closed = true;
    c->why = why;
    c->st = NULL;
    struct back *b = c->back;
    c->back = NULL;
    if (why == WHY_DONE)
        pool_release(b);
    else
        back_destroy(b);
}

static const struct stream_sink sink = {
    .on_head = on_head, .on_body = on_body, .on_sent = on_sent, .on_close = on_close};

static void send_request(struct call *c, size_t body)
{
    struct field fields[4];
    struct head h = {.method = SLICE("POST"),
                     .path = SLICE("/x"),
                     .authority = SLICE("h.test"),
                     .fields = fields,
                     .body = body ? BODY_LENGTH : BODY_NONE,
                     .content_length = body};
    c->st = back_open(c->back);
    assert_non_null(c->st);
    c->st->sink = &sink;
    c->st->owner = c;
    assert_int_equal(stream_send_head(c->st, &h, body == 0), ERR_OK);
    loop_end_pass(w.loop);
    spin();
}

/* A connection with a request on it; the provider's end of it when it is new, else -1. */
static int begin(struct call *c, size_t body)
{
    enum err e = acquire_at(c, &w.to, false, false);
    int fd = -1;
    if (e == ERR_AGAIN) {
        assert_int_equal(c->err, ERR_OK);
        assert_false(back_is_reused(c->back));
        fd = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(fd >= 0);
    } else {
        assert_int_equal(e, ERR_OK);
        assert_true(back_is_reused(c->back));
    }
    send_request(c, body);
    return fd;
}

/* ---- the provider's side ---- */

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    spin();
}

/* Reads what is there; true when the connection has ended. */
static bool is_ended(int fd)
{
    char buf[4096];
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        if (n < 0)
            return false;
    }
}

static size_t has_got(int fd)
{
    char buf[4096];
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    return n > 0 ? (size_t)n : 0;
}

/* One clean round; the connection is idle then. */
static int serve_one(void)
{
    struct call c;
    int fd = begin(&c, 0);
    assert_true(fd < 0 || has_got(fd) > 0);
    if (fd >= 0)
        say(fd, ONE);
    assert_true(c.is_closed && c.why == WHY_DONE && c.status == 200 && c.body == 2);
    return fd;
}

/* ---- tests ---- */

static void a_clean_connection_serves_again(void **state)
{
    int fd = serve_one();
    assert_int_equal(stats().idle, 1);
    for (int i = 0; i < 3; i++) {
        struct call c;
        assert_int_equal(begin(&c, 0), -1);
        assert_int_equal(stats().idle, 0);
        assert_true(has_got(fd) > 0);
        say(fd, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        assert_true(c.is_closed && c.why == WHY_DONE);
    }
    assert_int_equal(stats().dials, 1);
    assert_int_equal(stats().reuses, 3);
    assert_int_equal(stats().open, 1);
    close(fd);
}

static void only_a_provably_clean_connection_serves_again(void **state)
{
    static const struct {
        const char *what, *answer;
    } answers[] = {
        {"close is said", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"},
        {"HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"},
        {"a stray byte", ONE "\n"},
        {"a second answer", ONE ONE},
        {"a stray byte behind chunks",
         "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nx"},
        {"a stray answer behind one without a body", "HTTP/1.1 204 No Content\r\n\r\n" ONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct call c;
        int fd = begin(&c, 0);
        assert_true(fd >= 0);
        say(fd, answers[i].answer);
        assert_true(c.is_closed);
        if (stats().idle != 0 || stats().open != 0 || !is_ended(fd))
            fail_msg("kept after: %s", answers[i].what);
        close(fd);
    }
}

static void interim_answers_are_no_stray_bytes(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    say(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
    assert_int_equal(c.status, 0);
    say(fd, ONE);
    assert_int_equal(stats().idle, 1);
    /* but behind the answer they are */
    say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(stats().idle, 0);
    assert_true(is_ended(fd));
    close(fd);
}

static void an_early_answer_costs_the_connection(void **state)
{
    struct call c;
    int fd = begin(&c, 5);
    say(fd, ONE);
    assert_int_equal(c.status, 200);
    assert_false(c.is_closed); /* the owner decides */
    stream_reset(c.st);
    assert_true(c.is_closed && c.why == WHY_LOCAL);
    spin();
    assert_int_equal(stats().open, 0);
    assert_true(is_ended(fd));
    close(fd);
}

static void an_answer_that_ends_with_its_connection_does_not_serve_again(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    has_got(fd); /* closing with bytes unread would be a reset */
    say(fd, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
    assert_false(c.is_closed);
    close(fd);
    spin();
    assert_true(c.is_closed && c.why == WHY_DONE && c.body == 13);
    assert_int_equal(stats().open, 0);
}

static void a_cut_answer_is_reported_as_cut(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    say(fd, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    close(fd);
    spin();
    assert_true(c.is_closed && c.why == WHY_RESET && c.body == 4);
    assert_int_equal(stats().open, 0);
}

static void a_broken_answer_is_reported_as_broken(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    say(fd, "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n");
    assert_true(c.is_closed && c.why == WHY_PROTO);
    assert_int_equal(stats().open, 0);
    close(fd);
}

static void the_newest_is_taken_first(void **state)
{
    struct call a, b, c;
    int one = begin(&a, 0), two = begin(&b, 0);
    say(one, ONE);
    say(two, ONE);
    assert_int_equal(stats().idle, 2);
    assert_true(has_got(one) > 0 && has_got(two) > 0);
    begin(&c, 0);
    assert_true(has_got(two) > 0);
    assert_int_equal(has_got(one), 0);
    say(two, ONE);
    close(one);
    close(two);
}

static void fresh_means_fresh(void **state)
{
    int fd = serve_one();
    struct call c;
    assert_int_equal(acquire_at(&c, &w.to, false, true), ERR_AGAIN);
    assert_non_null(c.back);
    assert_false(back_is_reused(c.back));
    assert_int_equal(stats().idle, 1);
    back_destroy(c.back);
    spin();
    assert_int_equal(stats().open, 1);
    close(fd);
}

static void another_authority_is_another_connection(void **state)
{
    int fd = serve_one();
    struct authority other;
    int second = listen_on(&other);
    struct call c;
    assert_int_equal(acquire_at(&c, &other, false, false), ERR_AGAIN);
    assert_non_null(c.back);
    back_destroy(c.back);
    /* nor does a plain connection serve where TLS is wanted */
    assert_int_equal(pool_acquire(w.pool, &w.to, POOL_TLS, on_back, &c, &c.back, &c.wait),
                     ERR_AGAIN);
    pool_cancel(c.wait);
    assert_int_equal(stats().idle, 1);
    close(second);
    close(fd);
}

static void an_idle_connection_that_ends_is_not_handed_out(void **state)
{
    int fd = serve_one();
    close(fd);
    spin();
    assert_int_equal(stats().idle, 0);
    assert_int_equal(stats().open, 0);
    struct call c;
    fd = begin(&c, 0);
    assert_true(fd >= 0);
    struct back *b = c.back;
    c.back = NULL;
    back_destroy(b); /* in use: its stream is told */
    spin();
    assert_true(c.is_closed && c.why == WHY_RESET);
    close(fd);
}

static void an_idle_connection_is_closed_in_time(void **state)
{
    int fd = serve_one();
    has_got(fd);
    pass_ms(KEEPALIVE_MS - 1000);
    assert_int_equal(stats().idle, 1);
    pass_ms(2000);
    assert_int_equal(stats().idle, 0);
    assert_true(is_ended(fd));
    close(fd);
}

static void no_more_than_a_share_stays_idle(void **state)
{
    enum {
        N = 20
    };
    struct authority home = w.to, other;
    int second = listen_on(&other), first = w.listener, fds[2 * N];
    static struct call calls[2 * N];
    for (int i = 0; i < 2 * N; i++) {
        w.to = i < N ? home : other;
        w.listener = i < N ? first : second;
        fds[i] = begin(&calls[i], 0);
    }
    w.listener = first;
    assert_int_equal(stats().open, 2 * N);
    for (int i = 0; i < N; i++)
        say(fds[i], ONE);
    assert_int_equal(stats().idle, 8);
    for (int i = N; i < 2 * N; i++)
        say(fds[i], ONE);
    assert_int_equal(stats().idle, 16);
    assert_int_equal(stats().open, 16);
    for (int i = 0; i < 2 * N; i++)
        close(fds[i]);
    close(second);
}

static void beyond_the_total_the_oldest_goes(void **state)
{
    pool_destroy(w.pool);
    w.conf.idle_total = 2;
    assert_int_equal(pool_create(&w.conf, &w.pool), ERR_OK);
    static struct call c[3];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = begin(&c[i], 0);
        has_got(fds[i]);
    }
    for (int i = 0; i < 3; i++)
        say(fds[i], ONE);
    assert_int_equal(stats().idle, 2);
    assert_true(is_ended(fds[0]));
    assert_false(is_ended(fds[1]));
    assert_false(is_ended(fds[2]));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void a_pool_that_keeps_nothing_keeps_nothing(void **state)
{
    for (int i = 0; i < 2; i++) {
        pool_destroy(w.pool);
        w.conf.idle_total = i == 0 ? 0 : 16;
        w.conf.idle_per_host = i == 1 ? 0 : 8;
        assert_int_equal(pool_create(&w.conf, &w.pool), ERR_OK);
        int fd = serve_one();
        assert_int_equal(stats().open, 0);
        assert_true(is_ended(fd));
        close(fd);
    }
}

static void a_drain_closes_what_is_idle_only(void **state)
{
    struct call c;
    int idle = serve_one();
    has_got(idle);
    int busy = -1;
    assert_int_equal(acquire_at(&c, &w.to, false, true), ERR_AGAIN);
    busy = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    send_request(&c, 0);
    has_got(busy);
    pool_drain(w.pool);
    spin();
    assert_true(is_ended(idle));
    assert_int_equal(stats().idle, 0);
    assert_int_equal(stats().open, 1);
    say(busy, ONE);
    assert_true(c.is_closed && c.why == WHY_DONE && c.body == 2);
    close(idle);
    close(busy);
}

/* ---- refused answers ---- */

static void a_refused_answer_is_swallowed_and_its_connection_lives(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    say(fd, "HTTP/1.1 429 Slow\r\ncontent-length: 10\r\n\r\nhalf");
    back_discard(c.back, c.st);
    assert_int_equal(stats().idle, 0);
    say(fd, "-the-");
    say(fd, "!");
    assert_int_equal(stats().idle, 1);
    assert_false(c.is_closed); /* we were forgotten */
    close(fd);
}

static void a_refused_answer_that_is_too_long_costs_its_connection(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    has_got(fd);
    static char x[4097];
    memset(x, 'x', sizeof x - 1);
    say(fd, "HTTP/1.1 429 Slow\r\ncontent-length: 10000000\r\n\r\n");
    back_discard(c.back, c.st);
    for (int i = 0; i < 15; i++)
        say(fd, x);
    assert_false(is_ended(fd));
    for (int i = 0; i < 3 && !is_ended(fd); i++)
        say(fd, x);
    assert_true(is_ended(fd));
    assert_int_equal(stats().open, 0);
    close(fd);
}

static void a_refused_answer_that_never_ends_costs_its_connection(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    has_got(fd);
    say(fd, "HTTP/1.1 429 Slow\r\ncontent-length: 10\r\n\r\nhalf");
    back_discard(c.back, c.st);
    pass_ms(4000);
    assert_false(is_ended(fd));
    pass_ms(2000);
    assert_true(is_ended(fd));
    assert_int_equal(stats().open, 0);
    close(fd);
}

static void a_refused_answer_that_is_cut_costs_its_connection(void **state)
{
    struct call c;
    int fd = begin(&c, 0);
    say(fd, "HTTP/1.1 429 Slow\r\ncontent-length: 10\r\n\r\nhalf");
    back_discard(c.back, c.st);
    close(fd);
    spin();
    assert_int_equal(stats().open, 0);
}

/* ---- dials that fail ---- */

static void a_refused_dial_says_so(void **state)
{
    struct call c;
    struct authority nobody;
    close(listen_on(&nobody));
    assert_int_equal(acquire_at(&c, &nobody, false, false), ERR_AGAIN);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.err, ERR_REFUSED);
    assert_string_equal(c.word, "connect_refused");
    assert_int_equal(stats().dial_failures, 1);
    assert_int_equal(stats().open, 0);
}

static void a_forbidden_address_is_not_dialled(void **state)
{
    struct call c;
    struct authority to;
    assert_int_equal(authority_parse(SLICE("127.0.0.2:443"), 0, &to), ERR_OK);
    assert_int_equal(acquire_at(&c, &to, false, false), ERR_AGAIN);
    assert_int_equal(c.err, ERR_DENIED);
    assert_string_equal(c.word, "address_denied");
}

static void no_tls_where_tls_is_wanted_fails(void **state)
{
    struct call c = {0};
    assert_int_equal(pool_acquire(w.pool, &w.to, POOL_TLS, on_back, &c, &c.back, &c.wait),
                     ERR_AGAIN);
    spin();
    int fd = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(has_got(fd) > 0); /* the ClientHello */
    assert_int_equal(c.calls, 0);
    say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.err, ERR_TLS);
    assert_int_equal(stats().open, 0);
    close(fd);
}

static void a_handshake_that_takes_too_long_is_given_up(void **state)
{
    struct call c = {0};
    assert_int_equal(pool_acquire(w.pool, &w.to, POOL_TLS, on_back, &c, &c.back, &c.wait),
                     ERR_AGAIN);
    spin();
    pass_ms(9000);
    assert_int_equal(c.calls, 0);
    pass_ms(2000);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.err, ERR_TIMEOUT);
    assert_string_equal(c.word, "tls_timeout");
}

static void a_dial_that_is_cancelled_calls_nobody(void **state)
{
    struct call c = {0};
    assert_int_equal(pool_acquire(w.pool, &w.to, POOL_PLAIN, on_back, &c, &c.back, &c.wait),
                     ERR_AGAIN);
    pool_cancel(c.wait);
    spin();
    assert_int_equal(pool_acquire(w.pool, &w.to, POOL_TLS, on_back, &c, &c.back, &c.wait),
                     ERR_AGAIN);
    spin(); /* connected, within the handshake */
    pool_cancel(c.wait);
    spin();
    assert_int_equal(c.calls, 0);
    assert_int_equal(stats().open, 0);
}

static void a_dial_survives_each_failed_allocation(void **state)
{
    for (long n = 1; n < 40; n++) {
        struct call c = {0};
        mem_fail_after(n, 0);
        enum err e = pool_acquire(w.pool, &w.to, POOL_FRESH, on_back, &c, &c.back, &c.wait);
        for (int i = 0; i < 20 && e == ERR_AGAIN && !c.calls; i++)
            spin();
        mem_fail_after(0, 0);
        assert_true(e == ERR_NOMEM || c.calls == 1);
        if (c.back)
            back_destroy(c.back);
        pool_drain(w.pool); /* one that nobody could take is kept */
        spin();
        assert_int_equal(stats().open, 0);
        int fd = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
    }
}

#define POOL(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        POOL(a_clean_connection_serves_again),
        POOL(only_a_provably_clean_connection_serves_again),
        POOL(interim_answers_are_no_stray_bytes),
        POOL(an_early_answer_costs_the_connection),
        POOL(an_answer_that_ends_with_its_connection_does_not_serve_again),
        POOL(a_cut_answer_is_reported_as_cut),
        POOL(a_broken_answer_is_reported_as_broken),
        POOL(the_newest_is_taken_first),
        POOL(fresh_means_fresh),
        POOL(another_authority_is_another_connection),
        POOL(an_idle_connection_that_ends_is_not_handed_out),
        POOL(an_idle_connection_is_closed_in_time),
        POOL(no_more_than_a_share_stays_idle),
        POOL(beyond_the_total_the_oldest_goes),
        POOL(a_pool_that_keeps_nothing_keeps_nothing),
        POOL(a_drain_closes_what_is_idle_only),
        POOL(a_refused_answer_is_swallowed_and_its_connection_lives),
        POOL(a_refused_answer_that_is_too_long_costs_its_connection),
        POOL(a_refused_answer_that_never_ends_costs_its_connection),
        POOL(a_refused_answer_that_is_cut_costs_its_connection),
        POOL(a_refused_dial_says_so),
        POOL(a_forbidden_address_is_not_dialled),
        POOL(no_tls_where_tls_is_wanted_fails),
        POOL(a_handshake_that_takes_too_long_is_given_up),
        POOL(a_dial_that_is_cancelled_calls_nobody),
        POOL(a_dial_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
