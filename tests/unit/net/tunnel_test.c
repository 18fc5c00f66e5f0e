/* Blind tunnels, in the program and in the kernel; listeners; dialling. */
#include <setjmp.h>
#include <stdarg.h>

#include "unit/net/rig.h"

#include "conf/conf.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/tunnel.h"

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void no_op(struct link *l)
{
    (void)l;
}
static void no_data(struct link *l, const void *p, size_t n)
{
    (void)l;
    (void)p;
    (void)n;
}
static void no_error(struct link *l, enum err e, const char *why)
{
    (void)l;
    (void)e;
    (void)why;
}
static void no_flushed(struct link *l, size_t n)
{
    (void)l;
    (void)n;
}
static const struct link_ops no_ops = {.on_ready = no_op,
                                       .on_data = no_data,
                                       .on_eof = no_op,
                                       .on_error = no_error,
                                       .on_flushed = no_flushed};

struct joined {
    struct rig rig;
    struct tunnel *tunnel;
    int client, target; /* the far ends */
    int ends;
    const char *why;
    uint64_t up, down;
};

static void on_tunnel_end(void *arg, const char *why, uint64_t up, uint64_t down)
{
    struct joined *j = arg;
    j->ends++;
    j->why = why;
    j->up = up;
    j->down = down;
    j->tunnel = NULL;
}

static void join_with(struct joined *j, const char *seen, uint64_t silence_ms, bool small)
{
    int front[2], back[2];
    *j = (struct joined){0};
    rig_open(&j->rig);
    make_pair(front);
    make_pair(back);
    for (int i = 0; small && i < 2; i++) {
        small_buffers(front[i]);
        small_buffers(back[i]);
    }
    j->client = front[0];
    j->target = back[0];
    struct link *l = link_create(j->rig.loop, front[1], &no_ops, NULL);
    assert_non_null(l);
    assert_int_equal(
        tunnel_join(l, back[1], seen, strlen(seen), silence_ms, on_tunnel_end, j, &j->tunnel),
        ERR_OK);
    loop_end_pass(j->rig.loop);
}

static void join(struct joined *j, const char *seen, uint64_t silence_ms)
{
    join_with(j, seen, silence_ms, false);
}

static void part(struct joined *j)
{
    tunnel_destroy(j->tunnel);
    close(j->client);
    close(j->target);
    rig_close(&j->rig);
}

/* One far end: sends so many bytes, then its end; reads until the other's. */
struct peer {
    int fd;
    size_t to_send, sent, got;
    uint64_t sent_hash, got_hash;
    bool saw_end, shut_early, broken;
};

static unsigned char pattern(size_t at, int fd_salt)
{
    return (unsigned char)((at * 2654435761u >> 13) + (unsigned)fd_salt);
}

static void peer_step(struct peer *p, int salt, bool reads)
{
    unsigned char buf[30000];
    if (p->to_send && p->sent < p->to_send) {
        size_t n = p->to_send - p->sent < sizeof buf ? p->to_send - p->sent : sizeof buf;
        for (size_t i = 0; i < n; i++)
            buf[i] = pattern(p->sent + i, salt);
        ssize_t r = send(p->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r > 0) {
            p->sent_hash = hash_bytes(p->sent_hash, buf, (size_t)r);
            p->sent += (size_t)r;
        }
        if (p->sent == p->to_send)
            shutdown(p->fd, SHUT_WR);
    }
    if (!reads || p->saw_end)
        return;
    ssize_t r = recv(p->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (r > 0) {
        p->got_hash = hash_bytes(p->got_hash, buf, (size_t)r);
        p->got += (size_t)r;
    } else if (r == 0) {
        p->saw_end = true;
    } else if (errno != EAGAIN) {
        p->broken = p->saw_end = true;
    }
}

static void medium_buffers(int fd)
{
    int n = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n);
}

static void run(size_t up, size_t down, int stall)
{
    struct joined j;
    join(&j, "", 60000);
    struct peer c = {.fd = j.client, .to_send = up}, t = {.fd = j.target, .to_send = down};
    medium_buffers(j.client);
    uint64_t start = clock_mono_ms();
    for (unsigned i = 0; !(c.saw_end && t.saw_end); i++) {
        peer_step(&c, 0, !stall || i > 300);
        peer_step(&t, 0, true);
        event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
        if (stall && i < 300 && i % 30 == 0)
            poll(NULL, 0, 1);
        if (clock_mono_ms() - start > 20000)
            fail_msg("stuck: %zu of %zu up, %zu of %zu down", t.got, up, c.got, down);
    }
    assert_false(c.broken || t.broken);
    assert_int_equal(t.got, up);
    assert_int_equal(c.got, down);
    assert_true(t.got_hash == c.sent_hash);
    assert_true(c.got_hash == t.sent_hash);
    TURN_UNTIL(&j.rig, j.ends);
    assert_int_equal(j.ends, 1);
    assert_string_equal(j.why, "done");
    assert_int_equal(j.up, up);
    assert_int_equal(j.down, down);
    part(&j);
}

static void a_small_tunnel_carries_both_ways(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {10, 200000}, {200000, 10}, {300000, 300000}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int stall = 0; stall < 2; stall++)
            run(sizes[i][0], sizes[i][1], stall);
}

static void a_big_tunnel_goes_through_the_kernel_unharmed(void **state)
{
    static const size_t sizes[][2] = {
        {10, 5000000}, {5000000, 10}, {4000000, 4000000}, {1048575, 1}, {1048577, 1048576}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int stall = 0; stall < 2; stall++)
            run(sizes[i][0], sizes[i][1], stall);
}

static void bytes_that_came_early_are_passed_on(void **state)
{
    struct joined j;
    char buf[100];
    join(&j, "early", 60000);
    assert_int_equal(send(j.client, " late", 5, 0), 5);
    size_t n = 0;
    while (n < 10) {
        event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
        ssize_t r = recv(j.target, buf + n, sizeof buf - n, MSG_DONTWAIT);
        n += r > 0 ? (size_t)r : 0;
    }
    assert_memory_equal(buf, "early late", 10);
    part(&j);
}

/* The target said all it had and closed, the client takes its time, and closes its own way first.
 */
static void a_slow_reader_that_has_ended_still_gets_all(void **state)
{
    struct joined j;
    join(&j, "", 60000);
    struct peer c = {.fd = j.client, .to_send = 0}, t = {.fd = j.target, .to_send = 3000000};
    medium_buffers(j.client);
    for (int i = 0; i < 400; i++) { /* until all is stuck */
        peer_step(&t, 0, true);
        event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
        if (i == 300) { /* below what the kernel joins by pipes */
            t.to_send = t.sent;
            shutdown(j.target, SHUT_WR);
        }
    }
    shutdown(j.client, SHUT_WR);
    turn(&j.rig, 50);
    uint64_t start = clock_mono_ms();
    while (!c.saw_end && clock_mono_ms() - start < 10000) {
        peer_step(&c, 0, true);
        event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
    }
    assert_false(c.broken);
    assert_int_equal(c.got, t.sent);
    part(&j);
}

static void the_same_with_little_data(void **state)
{
    struct joined j;
    join(&j, "", 60000);
    static char bytes[200000];
    small_buffers(j.client);
    size_t sent = 0, got = 0;
    for (int i = 0; i < 400; i++) {
        ssize_t r =
            sent < sizeof bytes ? send(j.target, bytes, sizeof bytes - sent, MSG_DONTWAIT) : 0;
        sent += r > 0 ? (size_t)r : 0;
        event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
    }
    shutdown(j.target, SHUT_WR);
    turn(&j.rig, 20);
    shutdown(j.client, SHUT_WR);
    turn(&j.rig, 20);
    uint64_t start = clock_mono_ms();
    for (ssize_t r = 1; r != 0 && clock_mono_ms() - start < 8000;) {
        char buf[4096];
        r = recv(j.client, buf, sizeof buf, MSG_DONTWAIT);
        assert_true(r >= 0 || errno == EAGAIN);
        got += r > 0 ? (size_t)r : 0;
        event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(got, sent);
    part(&j);
}

static void silence_and_resets_end_it(void **state)
{
    struct joined j;
    join(&j, "", 300);
    TURN_UNTIL(&j.rig, j.ends);
    assert_string_equal(j.why, "silence");
    part(&j);
    for (size_t before = 0; before < 3000000; before += 2900000) {
        join(&j, "", 60000);
        struct peer c = {.fd = j.client, .to_send = 100000000}, t = {.fd = j.target};
        uint64_t start = clock_mono_ms();
        while (t.got < before && clock_mono_ms() - start < 10000) {
            peer_step(&c, 0, true);
            peer_step(&t, 0, true);
            event_base_loop(j.rig.loop->base, EVLOOP_NONBLOCK);
        }
        assert_true(t.got >= before);
        struct linger cut = {1, 0};
        setsockopt(j.target, SOL_SOCKET, SO_LINGER, &cut, sizeof cut);
        close(j.target);
        j.target = -1;
        TURN_UNTIL(&j.rig, j.ends);
        assert_string_equal(j.why, "reset");
        part(&j);
    }
}

/* One end reads nothing until all is stuck, and goes by a reset; what the other still sends is for
 * nobody, and no reason to stay. */
static void a_reset_of_who_does_not_read_ends_it(void **state)
{
    static char bytes[30000];
    for (int to_client = 0; to_client < 2; to_client++) {
        struct joined j;
        join_with(&j, "", 60000, true);
        int from = to_client ? j.target : j.client, *to = to_client ? &j.client : &j.target;
        size_t sent = 0;
        for (int i = 0; i < 200 && sent < 900000; i++) {
            ssize_t r = send(from, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += r > 0 ? (size_t)r : 0;
            turn(&j.rig, 1);
        }
        assert_true(sent > 100000 && sent < 900000);
        struct linger cut = {1, 0};
        setsockopt(*to, SOL_SOCKET, SO_LINGER, &cut, sizeof cut);
        close(*to);
        *to = -1;
        TURN_UNTIL(&j.rig, j.ends);
        part(&j);
    }
}

/* ---- listener ---- */

static int accepted;

static void on_accept(void *arg, int fd, const struct sockaddr_storage *peer)
{
    (void)arg;
    (void)peer;
    accepted++;
    close(fd);
}

static void accept_without_descriptors(void)
{
    struct rig r;
    struct listener *l = NULL;
    int fd = -1;
    rig_open(&r);
    CHECK(listener_bind("127.0.0.1:0", false, &fd, NULL) == ERR_OK);
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    CHECK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    CHECK(listener_start(r.loop, fd, on_accept, NULL, &l) == ERR_OK);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit limit, none = {(rlim_t)c + 1, (rlim_t)c + 1};
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    none.rlim_max = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    while (dup(0) >= 0) /* all that is left */
        ;
    CHECK(connect(c, (struct sockaddr *)&a, sizeof a) == 0);
    uint64_t start = clock_mono_ms();
    int turns = 0;
    while (clock_mono_ms() - start < 700) {
        event_base_loop(r.loop->base, EVLOOP_ONCE);
        turns++;
    }
    CHECK(turns < 30 && accepted == 0); /* it rests */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (!accepted && clock_mono_ms() - start < 4000)
        event_base_loop(r.loop->base, EVLOOP_ONCE);
    CHECK(accepted == 1);
    listener_stop(l);
    rig_close(&r);
}

static void a_listener_without_descriptors_rests_and_comes_back(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        accept_without_descriptors();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void addresses_are_bound_or_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:x", "300.0.0.1:1",
                                      "127.0.0.1:99999999999999999"};
    struct errmsg msg;
    int fd = -1, again = -1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        msg.text[0] = '\0';
        assert_int_equal(listener_bind(bad[i], false, &fd, &msg), ERR_CONFIG);
        assert_true(msg.text[0] != '\0');
    }
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &msg), ERR_OK);
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    char text[64];
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(listener_bind(text, false, &again, &msg), ERR_IO);
    assert_non_null(strstr(msg.text, "in use"));
    close(fd);
    assert_int_equal(listener_bind(":0", true, &fd, &msg), ERR_OK); /* both families */
    close(fd);
}

/* ---- dial ---- */

struct dialled {
    int calls, fd;
    enum err err;
};

static void on_dialled(void *arg, enum err e, int fd)
{
    struct dialled *d = arg;
    d->calls++;
    d->err = e;
    d->fd = fd;
}

static struct policy *make_policy(char *map)
{
    static char *proxy[] = {"127.0.0.1:3128"}, *clients[] = {"private"}, *ports[] = {"443"},
                *domains[] = {"googleapis.com"}, *deny[] = {"private"};
    struct conf c = {0};
    struct policy *p = NULL;
    c.listen.proxy = (struct conf_list){proxy, 1};
    c.policy.clients = (struct conf_list){clients, 1};
    c.policy.ports = (struct conf_list){ports, 1};
    c.policy.swap_domains = (struct conf_list){domains, 1};
    c.policy.deny_networks = (struct conf_list){deny, 1};
    c.policy.tunnel = "";
    c.policy.proxy_auth = "optional";
    c.upstream.connect_to = (struct conf_list){&map, map ? 1 : 0};
    struct errmsg msg;
    if (policy_create(&c, &p, &msg) != ERR_OK)
        fail_msg("%s", msg.text);
    return p;
}

static struct dialled dial_one(struct rig *r, char *map, const char *to, bool cancel)
{
    struct policy *p = make_policy(map);
    struct resolver *res = NULL;
    struct authority a;
    struct dialled got = {.fd = -1};
    struct dial *d = NULL;
    assert_int_equal(resolver_create(r->loop, "", &res), ERR_OK);
    assert_int_equal(authority_parse(slice_of(to), 0, &a), ERR_OK);
    struct dialer dialer = {
        .loop = r->loop, .resolver = res, .policy = p, .connect_timeout_ms = 2000};
    assert_int_equal(dial_start(&dialer, &a, on_dialled, &got, &d), ERR_OK);
    assert_int_equal(got.calls, 0); /* never from inside */
    if (cancel) {
        dial_cancel(d);
        turn(r, 20);
        assert_int_equal(got.calls, 0);
    } else {
        TURN_UNTIL(r, got.calls);
    }
    turn(r, 2);
    resolver_destroy(res);
    policy_destroy(p);
    return got;
}

static void dialling_follows_policy_and_connect_to(void **state)
{
    struct rig r;
    rig_open(&r);
    int fd = -1;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, NULL), ERR_OK);
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    char map[100], self[64];
    snprintf(map, sizeof map, "api.test:443:127.0.0.1:%u", ntohs(a.sin_port));
    snprintf(self, sizeof self, "127.0.0.1:%u", ntohs(a.sin_port));
    struct dialled d = dial_one(&r, map, "api.test:443", false);
    assert_int_equal(d.err, ERR_OK);
    assert_true(d.fd >= 0);
    close(d.fd);
    (void)dial_one(&r, map, "api.test:443", true);
    d = dial_one(&r, NULL, self, false); /* no private address by itself */
    assert_int_equal(d.err, ERR_DENIED);
    assert_int_equal(d.fd, -1);
    d = dial_one(&r, map, "[::1]:443", false);
    assert_int_equal(d.err, ERR_DENIED);
    /* a name with several addresses, of which one or none answers (hosts file: ::1, 127.0.0.1) */
    snprintf(map, sizeof map, "api.test:443:localhost:%u", ntohs(a.sin_port));
    d = dial_one(&r, map, "api.test:443", false);
    assert_int_equal(d.err, ERR_OK);
    close(d.fd);
    (void)dial_one(&r, map, "api.test:443", true);
    d = dial_one(&r, NULL, "localhost:443", false);
    assert_int_equal(d.err, ERR_DENIED);
    close(fd); /* nobody listens any more */
    d = dial_one(&r, map, "api.test:443", false);
    assert_int_equal(d.err, ERR_REFUSED);
    assert_int_equal(d.calls, 1);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_tunnel_carries_both_ways),
        cmocka_unit_test(a_big_tunnel_goes_through_the_kernel_unharmed),
        cmocka_unit_test(bytes_that_came_early_are_passed_on),
        cmocka_unit_test(a_slow_reader_that_has_ended_still_gets_all),
        cmocka_unit_test(the_same_with_little_data),
        cmocka_unit_test(silence_and_resets_end_it),
        cmocka_unit_test(a_reset_of_who_does_not_read_ends_it),
        cmocka_unit_test(a_listener_without_descriptors_rests_and_comes_back),
        cmocka_unit_test(addresses_are_bound_or_refused_with_a_sentence),
        cmocka_unit_test(dialling_follows_policy_and_connect_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
