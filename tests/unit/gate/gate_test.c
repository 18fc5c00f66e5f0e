/* One client connection over a socket pair: what it may ask, what it is told, and when it ends. The
 * snapshot and the pool are replaced; the clock stands unless a test moves it. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "gate/gate.h"
#include "stub/pages.h"

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

#define ALICE "gemini-alice-0123456789abcdef"
#define BASIC_ALICE "eDpnZW1pbmktYWxpY2UtMDEyMzQ1Njc4OWFiY2RlZg==" /* x:ALICE */

static struct {
    struct loop *loop;
    struct conf conf;
    struct policy *policy;
    struct resolver *resolver;
    struct master_key *key;
    struct services svc;
    struct gates gates;
    struct gate_counters counters;
    atomic_uint_fast64_t replay_bytes;
    int listener;
    char target[64], port[8];
    int gone, records, dials;
    char failed[256];
    char *ports[2];
} w;

/* ---- replaced rooms ---- */

static const struct snap_client clients[] = {{.id = 1, .name = {"alice", 5}, .enabled = true}};
static const struct snap_pool pools[] = {{.id = 1, .name = {"none", 4}}};
static const struct snap_rule rules[] = {
    {.id = 1,
     .pattern = {"generativelanguage.googleapis.com", 33},
     .action = RULE_SWAP,
     .api = API_GEMINI},
    {.id = 2, .pattern = {"no.test", 7}, .action = RULE_DENY},
};
static struct snapshot snap = {.pools = pools,
                               .pool_count = 1,
                               .clients = clients,
                               .client_count = 1,
                               .rules = rules,
                               .rule_count = 2};

struct snapshot *snapshot_ref(struct snapshot *s)
{
    return s;
}

void snapshot_unref(struct snapshot **s)
{
    *s = NULL;
}

const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE])
{
    unsigned char h[HMAC_SIZE];
    assert_int_equal(placeholder_hash(w.key, SLICE(ALICE), h), ERR_OK);
    return memcmp(h, hash, sizeof h) == 0 ? &s->clients[0] : NULL;
}

enum err pool_acquire(struct pool *p, const struct authority *to, unsigned how, pool_cb cb,
                      void *arg, struct back **ret_back, struct back_wait **ret_wait)
{
    w.dials++;
    return ERR_LIMIT;
}

void pool_cancel(struct back_wait *wait)
{
}
struct stream *back_open(struct back *b)
{
    return NULL;
}
bool back_is_reused(const struct back *b)
{
    return false;
}
void back_distrust(struct back *b)
{
    (void)b;
}

bool back_is_h2(const struct back *b)
{
    return false;
}
const char *back_why(const struct back *b)
{
    return "";
}
void pool_release(struct back *b)
{
}
void back_destroy(struct back *b)
{
}
void back_discard(struct back *b, struct stream *st)
{
}

/* ---- what the server lends ---- */

static bool is_self(struct gates *g, const struct authority *a)
{
    return slice_eq(authority_host(a), SLICE("proxy.test"));
}

static void page_facts(struct gates *g, struct page_facts *ret)
{
    *ret = (struct page_facts){
        .ca_pem = SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        .ca_sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        .proxy_host = "proxy.test",
        .proxy_port = 3128,
        .version = "1"};
}

static void caller_status(struct gates *g, const struct sockaddr_storage *p, struct sbuf *out)
{
    sbuf_adds(out, "{\"address\":1}\n");
}

static void client_status(struct gates *g, const struct snap_client *c, struct sbuf *out)
{
    sbuf_adds(out, "{\"client\":\"");
    sbuf_add_slice(out, c->name);
    sbuf_adds(out, "\"}\n");
}

static void caller_failed(struct gates *g, const struct sockaddr_storage *p, const char *word)
{
    snprintf(w.failed, sizeof w.failed, "%s", word);
}

static void distrusted(struct gates *g, const struct sockaddr_storage *p, struct slice host,
                       const char *word)
{
    snprintf(w.failed, sizeof w.failed, "%.*s: %s", (int)host.n, host.p, word);
}

static uint64_t next_id(struct gates *g)
{
    return 7;
}

static void gone(struct gates *g, const struct sockaddr_storage *p)
{
    w.gone++;
}

static uint32_t wait_s(struct services *s, const struct snap_client *c)
{
    return 0;
}

static void on_record(struct services *s, const struct exchange_record *r)
{
    w.records++;
}

/* ---- a world ---- */

static int make(void **state)
{
    static char *any[] = {"private"}, *allow[] = {"127.0.0.1/32"}, *proxy[] = {"127.0.0.1:3128"},
                *swap[] = {"googleapis.com"};
    static const char key[] = "0123456789abcdef0123456789abcde";
    struct errmsg msg;
    memset(&w, 0, sizeof w);
    log_set("error", "json");
    clock_set_fake(1000000, INT64_C(1700000000000));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    w.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(w.listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(w.listener, 8) != 0 ||
        getsockname(w.listener, (struct sockaddr *)&a, &n) != 0)
        return 1;
    snprintf(w.port, sizeof w.port, "%u", ntohs(a.sin_port));
    snprintf(w.target, sizeof w.target, "127.0.0.1:%s", w.port);
    w.ports[0] = "443";
    w.ports[1] = w.port;
    struct conf *c = &w.conf;
    c->listen.proxy = (struct conf_list){proxy, 1};
    c->policy.clients = c->policy.deny_networks = (struct conf_list){any, 1};
    c->policy.allow_networks = (struct conf_list){allow, 1};
    c->policy.swap_domains = (struct conf_list){swap, 1};
    c->policy.ports = (struct conf_list){w.ports, 2};
    c->policy.tunnel = "";
    c->policy.proxy_auth = "optional";
    c->limits.header_timeout = 10;
    c->limits.idle_timeout = 120;
    c->upstream.read_timeout = 300;
    c->retry.attempts = 3;
    c->retry.replay_bytes = c->retry.replay_total_bytes = 1 << 20;
    if (policy_create(c, &w.policy, &msg) != ERR_OK || loop_create(&w.loop) != ERR_OK ||
        resolver_create(w.loop, "", &w.resolver) != ERR_OK ||
        master_key_new(slice_make(key, 32), &w.key) != ERR_OK)
        return 1;
    w.svc = (struct services){.loop = w.loop,
                              .conf = c,
                              .policy = w.policy,
                              .key = w.key,
                              .snapshot = &snap,
                              .replay_bytes = &w.replay_bytes,
                              .client_wait_s = wait_s,
                              .record = on_record};
    list_init(&w.svc.exchanges);
    rng_seed(w.svc.rng, 1);
    if (health_create(&w.svc.health) != ERR_OK)
        return 1;
    w.gates = (struct gates){.svc = &w.svc,
                             .loop = w.loop,
                             .conf = c,
                             .policy = w.policy,
                             .dialer = {.loop = w.loop,
                                        .resolver = w.resolver,
                                        .policy = w.policy,
                                        .connect_timeout_ms = 10000},
                             .limits = {65536, 128},
                             .counters = &w.counters,
                             .is_self = is_self,
                             .page_facts = page_facts,
                             .caller_status = caller_status,
                             .client_status = client_status,
                             .caller_failed = caller_failed,
                             .distrusted = distrusted,
                             .next_conn_id = next_id,
                             .gone = gone};
    list_init(&w.gates.all);
    return 0;
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
    mem_fail_after(0, 0);
    gates_abort(&w.gates);
    spin();
    bool clean = w.gates.count == 0 && list_empty(&w.svc.exchanges);
    health_destroy(w.svc.health);
    resolver_destroy(w.resolver);
    loop_destroy(w.loop);
    policy_destroy(w.policy);
    master_key_unref(&w.key);
    close(w.listener);
    clock_unset_fake();
    return clean ? 0 : 1;
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 500) {
        clock_advance_fake(500);
        wheel_turn(&w.loop->wheel, loop_now(w.loop));
        loop_end_pass(w.loop);
    }
    spin();
}

/* The client's end of a new connection. */
static int enter(void)
{
    int fds[2];
    struct sockaddr_storage peer = {.ss_family = AF_INET};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    gate_accept(&w.gates, fds[1], &peer, false);
    spin();
    return fds[0];
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    spin();
}

/* What came since; *RET_ENDED: and then the end. */
static const char *hear(int fd, bool *ret_ended)
{
    static char text[65536];
    size_t n = 0;
    *ret_ended = false;
    for (;;) {
        ssize_t r = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (r > 0) {
            n += (size_t)r;
            continue;
        }
        *ret_ended = r == 0 || errno != EAGAIN;
        break;
    }
    text[n] = '\0';
    return text;
}

/* One request on a connection of its own: the status, a word of the answer, whether it closes. */
static void ask(const char *request, const char *want, bool closes)
{
    bool ended;
    int before = w.gone, fd = enter();
    say(fd, request);
    const char *got = hear(fd, &ended);
    if (!strstr(got, want) || ended != closes)
        fail_msg("%s\n--- wanted %s%s\n--- got\n%s%s", request, want, closes ? " and the end" : "",
                 got, ended ? "(end)" : "");
    close(fd);
    spin();
    assert_int_equal(w.gone, before + 1);
    assert_int_equal(w.gates.count, 0);
}

/* ---- CONNECT ---- */

static void a_connect_that_is_no_authority_is_400(void **state)
{
    static const char *const bad[] = {"example.test",     "example.test:0", "example.test:70000",
                                      "user@host.test:1", "http://a.test/", "0x7f.1:443",
                                      "a..b:443",         "[::1:443",       "/"};
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "CONNECT %s HTTP/1.1\r\n\r\n", bad[i]);
        ask(text, "HTTP/1.1 400 ", true);
    }
    ask("CONNECT a.test:443 HTTP/1.1\r\ncontent-length: 1\r\n\r\nx", "HTTP/1.1 400 ", true);
}

static void a_connect_that_policy_refuses_is_403(void **state)
{
    ask("CONNECT no.test:443 HTTP/1.1\r\nhost: no.test:443\r\n\r\n", "HTTP/1.1 403 ", true);
    ask("CONNECT a.test:25 HTTP/1.1\r\nhost: a.test:25\r\n\r\n", "http_request_denied", true);
    ask("CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n", "destination_ip_prohibited", true);
    ask("CONNECT 169.254.169.254:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ", true);
    ask("CONNECT [::ffff:10.0.0.1]:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ", true);
    assert_int_equal(w.counters.connects_denied, 5);
    assert_string_not_equal(w.failed, "");
}

static void a_connect_with_another_host_is_421(void **state)
{
    ask("CONNECT a.test:443 HTTP/1.1\r\nhost: b.test:443\r\n\r\n", "HTTP/1.1 421 ", true);
}

static void credentials_of_the_proxy_are_asked_for_and_taken(void **state)
{
    w.conf.policy.proxy_auth = "required";
    bool ended;
    int fd = enter();
    say(fd, "CONNECT no.test:443 HTTP/1.1\r\n\r\n");
    const char *got = hear(fd, &ended);
    assert_non_null(strstr(got, "HTTP/1.1 407 "));
    assert_non_null(strcasestr(got, "proxy-authenticate: Basic"));
    assert_false(ended); /* it may try again here */
    say(fd, "CONNECT no.test:443 HTTP/1.1\r\nproxy-authorization: Basic eDp5\r\n\r\n");
    assert_non_null(strstr(hear(fd, &ended), "HTTP/1.1 407 "));
    say(fd, "CONNECT no.test:443 HTTP/1.1\r\nproxy-authorization: Basic " BASIC_ALICE "\r\n\r\n");
    assert_non_null(strstr(hear(fd, &ended), "HTTP/1.1 403 "));
    assert_true(ended);
    close(fd);
}

/* ---- tunnels ---- */

static int accept_target(void)
{
    spin();
    return accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void a_tunnel_carries_bytes_both_ways(void **state)
{
    char text[256];
    bool ended;
    int fd = enter();
    snprintf(text, sizeof text, "CONNECT %s HTTP/1.1\r\nhost: %s\r\n\r\nearly", w.target, w.target);
    say(fd, text);
    int target = accept_target();
    assert_true(target >= 0);
    spin();
    assert_string_equal(hear(fd, &ended), "HTTP/1.1 200 Connection Established\r\n\r\n");
    assert_string_equal(hear(target, &ended), "early");
    say(fd, "up");
    assert_string_equal(hear(target, &ended), "up");
    say(target, "down");
    assert_string_equal(hear(fd, &ended), "down");
    shutdown(target, SHUT_WR); /* half-closed: the other way goes on */
    spin();
    assert_string_equal(hear(fd, &ended), "");
    assert_true(ended);
    say(fd, "more");
    assert_string_equal(hear(target, &ended), "more");
    assert_false(ended);
    close(fd);
    spin();
    hear(target, &ended);
    assert_true(ended);
    assert_int_equal(w.gone, 1);
    assert_int_equal(w.counters.connects_tunnel, 1);
    assert_int_equal(w.counters.tunnel_bytes_up, 11);
    assert_int_equal(w.counters.tunnel_bytes_down, 4);
    close(target);
}

static void a_target_that_refuses_is_502(void **state)
{
    char text[256];
    close(w.listener);
    snprintf(text, sizeof text, "CONNECT %s HTTP/1.1\r\n\r\n", w.target);
    ask(text, "HTTP/1.1 502 ", true);
    w.listener = socket(AF_INET, SOCK_STREAM, 0);
}

static void a_client_that_goes_while_its_target_is_dialled_leaves_nothing(void **state)
{
    char text[256];
    struct sockaddr_storage peer = {.ss_family = AF_INET};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    gate_accept(&w.gates, fds[1], &peer, false);
    snprintf(text, sizeof text, "CONNECT %s HTTP/1.1\r\n\r\n", w.target);
    assert_true(send(fds[0], text, strlen(text), MSG_NOSIGNAL) > 0);
    close(fds[0]);
    spin();
    spin();
    assert_int_equal(w.gates.count, 0);
    assert_int_equal(w.gone, 1);
}

/* ---- pages, gateway, relay ---- */

static void our_own_pages_are_served(void **state)
{
    bool ended;
    int fd = enter();
    static const char *const pages[] = {"/", "/ca.pem", "/status"};
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        char text[256];
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nhost: proxy.test:3128\r\n\r\n", pages[i]);
        say(fd, text);
        const char *got = hear(fd, &ended);
        if (strncmp(got, "HTTP/1.1 200 ", 13) != 0 || ended)
            fail_msg("%s: %s", pages[i], got);
    }
    say(fd, "GET http://proxy.test/ca.pem HTTP/1.1\r\nhost: proxy.test\r\n\r\n");
    assert_non_null(strstr(hear(fd, &ended), "BEGIN CERTIFICATE"));
    say(fd, "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_non_null(strstr(hear(fd, &ended), "HTTP/1.1 404 "));
    close(fd);
}

static void a_client_sees_its_own_figures_only(void **state)
{
    ask("GET /me HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 401 ", false);
    ask("GET /me HTTP/1.1\r\nhost: x\r\nx-api-key: gemini-unknown-0123456789\r\n\r\n",
        "HTTP/1.1 401 ", false);
    ask("GET /me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " ALICE "\r\n\r\n",
        "{\"client\":\"alice\"}", false);
}

static void a_gateway_prefix_begins_an_exchange(void **state)
{
    /* an empty pool: as far as that, it is the exchange's */
    ask("GET /gemini/v1beta/models HTTP/1.1\r\nhost: x\r\nx-goog-api-key: " ALICE "\r\n\r\n",
        "\"status\":\"UNAVAILABLE\"", false);
    ask("GET /gemini/v1beta/models HTTP/1.1\r\nhost: x\r\n\r\n", "\"code\":401", false);
    ask("GET /gemini/elsewhere HTTP/1.1\r\nhost: x\r\nx-goog-api-key: " ALICE "\r\n\r\n",
        "\"code\":404", false);
    ask("GET /vertex/v1/projects/p/locations/../x HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 4",
        false);
    assert_int_equal(w.records >= 3, 1);
    assert_int_equal(w.dials, 0);
}

static void what_is_asked_in_clear_gets_no_token(void **state)
{
    ask("GET http://generativelanguage.googleapis.com:443/v1beta/models HTTP/1.1\r\nhost: "
        "generativelanguage.googleapis.com:443\r\nx-api-key: " ALICE "\r\n\r\n",
        "HTTP/1.1 403 ", true);
    ask("GET http://a.test/ HTTP/1.1\r\nhost: b.test\r\n\r\n", "HTTP/1.1 421 ", true);
    ask("GET https://a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n", "HTTP/1.1 400 ", true);
    ask("GET ftp://a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n", "HTTP/1.1 400 ", true);
    assert_int_equal(w.dials, 0);
}

/* ---- faults and time ---- */

static void a_malformed_request_is_answered_and_the_connection_closed(void **state)
{
    ask("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "HTTP/1.1 400 ", true);
    ask("GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 400 ", true);
    ask("GET  / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", true);
    ask("\x16\x03\x01\x02", "HTTP/1.1 400 ", true);
    assert_int_equal(w.counters.requests_malformed, 4);
}

static void a_malformed_second_request_is_answered_after_the_first(void **state)
{
    bool ended;
    int fd = enter();
    say(fd, "GET /status HTTP/1.1\r\nhost: x\r\n\r\nGET  / HTTP/1.1\r\n\r\n");
    const char *got = hear(fd, &ended), *second = strstr(got, "HTTP/1.1 400 ");
    if (strncmp(got, "HTTP/1.1 200 ", 13) != 0 || !second || !ended)
        fail_msg("%s%s", got, ended ? "(end)" : "");
    close(fd);
}

static void a_connection_without_a_word_is_closed(void **state)
{
    bool ended;
    int fd = enter();
    pass_ms(9000);
    assert_string_equal(hear(fd, &ended), "");
    assert_false(ended);
    pass_ms(2000);
    assert_string_equal(hear(fd, &ended), "");
    assert_true(ended);
    assert_int_equal(w.gone, 1);
    close(fd);
}

static void a_head_that_does_not_end_is_408(void **state)
{
    bool ended;
    int fd = enter();
    say(fd, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 8; i++) {
        pass_ms(1000);
        say(fd, "x: y\r\n"); /* dripping does not help */
    }
    assert_string_equal(hear(fd, &ended), "");
    pass_ms(3000);
    assert_non_null(strstr(hear(fd, &ended), "HTTP/1.1 408 "));
    assert_true(ended);
    close(fd);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    bool ended;
    int fd = enter();
    say(fd, "GET /status HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_non_null(strstr(hear(fd, &ended), "HTTP/1.1 200 "));
    pass_ms(118000);
    hear(fd, &ended);
    assert_false(ended);
    pass_ms(14000);
    assert_string_equal(hear(fd, &ended), "");
    assert_true(ended);
    close(fd);
}

static void a_drain_ends_what_is_idle(void **state)
{
    bool ended;
    int idle = enter(), busy = enter();
    say(idle, "GET /status HTTP/1.1\r\nhost: x\r\n\r\n");
    hear(idle, &ended);
    say(busy, "POST /status HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n");
    gates_drain(&w.gates);
    loop_end_pass(w.loop);
    spin();
    hear(idle, &ended);
    assert_true(ended);
    close(idle);
    close(busy);
    spin();
    assert_int_equal(w.gone, 2);
}

static void each_failed_allocation_ends_one_connection_at_most(void **state)
{
    for (long n = 1; n < 60; n++) {
        int before = w.gone;
        mem_fail_after(n, 0);
        int fd = enter();
        (void)send(fd, "GET /ca.pem HTTP/1.1\r\nhost: x\r\n\r\n", 34, MSG_NOSIGNAL);
        spin();
        mem_fail_after(0, 0);
        close(fd);
        spin();
        assert_int_equal(w.gone, before + 1);
        assert_int_equal(w.gates.count, 0);
    }
}

#define GATE(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        GATE(a_connect_that_is_no_authority_is_400),
        GATE(a_connect_that_policy_refuses_is_403),
        GATE(a_connect_with_another_host_is_421),
        GATE(credentials_of_the_proxy_are_asked_for_and_taken),
        GATE(a_tunnel_carries_bytes_both_ways),
        GATE(a_target_that_refuses_is_502),
        GATE(a_client_that_goes_while_its_target_is_dialled_leaves_nothing),
        GATE(our_own_pages_are_served),
        GATE(a_client_sees_its_own_figures_only),
        GATE(a_gateway_prefix_begins_an_exchange),
        GATE(what_is_asked_in_clear_gets_no_token),
        GATE(a_malformed_request_is_answered_and_the_connection_closed),
        GATE(a_malformed_second_request_is_answered_after_the_first),
        GATE(a_connection_without_a_word_is_closed),
        GATE(a_head_that_does_not_end_is_408),
        GATE(an_idle_connection_is_closed_without_a_word),
        GATE(a_drain_ends_what_is_idle),
        GATE(each_failed_allocation_ends_one_connection_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
