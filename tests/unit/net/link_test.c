/* Links over sockets: plain, TLS, and TLS inside TLS. */
#include <setjmp.h>
#include <stdarg.h>

#include "unit/net/rig.h"

#include <cmocka.h>

enum depth {
    PLAIN,
    TLS,
    NESTED,
    DEPTHS
};

/* Two links that talk to each other, over DEPTH layers of TLS. */
static void join(struct rig *r, struct end e[2], enum depth depth, bool small)
{
    int fd[2];
    rig_open(r);
    make_pair_of(fd, small ? SMALL_SEGMENT : 0);
    if (small) {
        small_buffers(fd[0]);
        small_buffers(fd[1]);
    }
    end_open(r, &e[0], fd[0]);
    end_open(r, &e[1], fd[1]);
    for (int layer = 0; layer < (int)depth; layer++) {
        assert_int_equal(start_tls(r, &e[0], false), ERR_OK);
        assert_int_equal(start_tls(r, &e[1], true), ERR_OK);
        TURN_UNTIL(r, (e[0].ready && e[1].ready) || e[0].errors || e[1].errors);
        assert_int_equal(e[0].errors + e[1].errors, 0);
    }
}

static void part(struct rig *r, struct end e[2])
{
    end_close(&e[0]);
    end_close(&e[1]);
    rig_close(r);
}

static void put(struct end *e, const char *z)
{
    link_put(e->link, z, strlen(z));
    loop_end_pass(e->link->loop);
}

static void bytes_go_both_ways(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        put(&e[0], "hello");
        put(&e[1], "world");
        TURN_UNTIL(&r, e[0].count == 5 && e[1].count == 5);
        assert_string_equal(sbuf_z(&e[1].got), "hello");
        assert_string_equal(sbuf_z(&e[0].got), "world");
        assert_int_equal(e[0].flushed, 5);
        assert_int_equal(link_queued(e[0].link), 0);
        put(&e[0], "");
        assert_int_equal(e[0].flushed, 5);
        part(&r, e);
    }
}

static void an_end_is_told_and_the_other_way_stays_open(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        link_put(e[0].link, "last", 4);
        link_shut(e[0].link);
        loop_end_pass(r.loop);
        TURN_UNTIL(&r, e[1].eofs || e[1].errors);
        assert_int_equal(e[1].errors, 0);
        assert_string_equal(sbuf_z(&e[1].got), "last");
        assert_int_equal(e[0].eofs, 0);
        put(&e[1], "still here");
        TURN_UNTIL(&r, e[0].count == 10);
        link_shut(e[1].link);
        loop_end_pass(r.loop);
        TURN_UNTIL(&r, e[0].eofs || e[0].errors);
        assert_int_equal(e[0].errors, 0);
        part(&r, e);
    }
}

/* Half of it is put in odd sizes, the reader pauses and is resumed at odd times. */
static void transfer(enum depth d, bool small, size_t pause_each, size_t total)
{
    struct rig r;
    struct end e[2];
    join(&r, e, d, small);
    unsigned char *bytes = mem_alloc(total);
    assert_non_null(bytes);
    fill(bytes, total, (uint32_t)(total + pause_each));
    e[1].count_only = true;
    e[1].pause_each = pause_each;
    size_t at = 0, most = 0;
    unsigned seed = 1, idle = 0;
    while (e[1].count < total) {
        size_t before = e[1].count + at;
        while (at < total && link_queued(e[0].link) < 200000) {
            seed = seed * 1664525u + 1013904223u;
            size_t n = seed % 4 ? seed >> 8 & 0x1fff : seed >> 8 & 0x1ffff;
            n = n > total - at ? total - at : n;
            link_put(e[0].link, bytes + at, n);
            at += n;
        }
        if (link_queued(e[0].link) > most)
            most = link_queued(e[0].link);
        loop_end_pass(r.loop);
        event_base_loop(r.loop->base, EVLOOP_NONBLOCK);
        if (e[1].link->is_paused && (seed >> 20) % 3)
            link_resume(e[1].link);
        seed = seed * 1664525u + 1013904223u;
        if (e[0].errors || e[1].errors)
            fail_msg("%s", e[0].errors ? e[0].why : e[1].why);
        idle = e[1].count + at == before ? idle + 1 : 0;
        if (idle > 100)
            poll(NULL, 0, 1);
        if (idle > 2000)
            fail_msg("stuck at %zu of %zu (depth %d)", e[1].count, total, (int)d);
    }
    assert_int_equal(e[1].count, total);
    assert_true(e[1].hash == hash_bytes(14695981039346656037u, bytes, total));
    TURN_UNTIL(&r, e[0].flushed == total);
    assert_int_equal(e[0].link->bytes_out, total);
    assert_int_equal(e[1].link->bytes_in, total);
    mem_free(bytes);
    part(&r, e);
}

static void a_big_transfer_arrives_as_it_was(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        transfer(d, false, 0, 5000000);
        transfer(d, true, 0, 1000000);
    }
}

static void pausing_loses_and_holds_up_nothing(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        transfer(d, false, 1000, 1500000);
        transfer(d, false, 50000, 3000000);
        transfer(d, true, 3000, 500000);
    }
}

/* Many small records in one segment, the reader pauses after each: what waits inside TLS comes out
 * without a new byte from the socket. */
static void what_waits_inside_comes_out_on_resume(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        e[1].pause_each = 1;
        for (int i = 0; i < 50; i++) {
            link_put(e[0].link, "0123456789", 10);
            assert_true(link_flush_now(e[0].link));
        }
        link_shut(e[0].link);
        loop_end_pass(r.loop);
        for (int i = 0; i < 200 && !e[1].eofs; i++) {
            turn(&r, 2);
            link_resume(e[1].link);
        }
        assert_int_equal(e[1].count, 500);
        assert_int_equal(e[1].eofs, 1);
        assert_int_equal(e[1].errors, 0);
        part(&r, e);
    }
}

/* A peer that is gone, with bytes that nobody reads before its end: who wants to know, knows. */
static void a_paused_reader_hears_of_a_hangup_if_it_wants(void **state)
{
    enum {
        CLEAN,
        CUT,
        RESET,
        MANNERS
    };
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        for (int how = CLEAN; how < MANNERS; how++) {
            for (int wants = 0; wants < 2; wants++) {
                struct rig r;
                struct end e[2];
                join(&r, e, d, false);
                e[1].link->cut_on_hangup = wants;
                link_pause(e[1].link);
                put(&e[0], "what was sent before");
                loop_end_pass(r.loop);
                turn(&r, 5);
                if (how == RESET)
                    link_abort(e[0].link);
                else
                    link_destroy(e[0].link, how == CLEAN);
                e[0].link = NULL;
                if (wants) {
                    TURN_UNTIL(&r, e[1].errors);
                    assert_int_equal(e[1].err, ERR_CLOSED);
                    assert_int_equal(e[1].count + (size_t)e[1].eofs, 0);
                } else {
                    turn(&r, 20);
                    assert_int_equal(e[1].errors + e[1].eofs, 0);
                    link_resume(e[1].link);
                    TURN_UNTIL(&r, e[1].errors || e[1].eofs);
                    assert_true(how == RESET || strstr(sbuf_z(&e[1].got), "sent before"));
                }
                part(&r, e);
            }
        }
    }
}

/* Paused for long, watched for its end, and resumed: nothing is lost. */
static void a_watched_pause_ends_like_any_other(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        e[1].link->cut_on_hangup = true;
        for (int i = 0; i < 5; i++) {
            link_pause(e[1].link);
            put(&e[0], "0123456789");
            loop_end_pass(r.loop);
            turn(&r, 5);
            assert_int_equal(e[1].count, 10u * (unsigned)i);
            link_resume(e[1].link);
            TURN_UNTIL(&r, e[1].count == 10u * (unsigned)(i + 1));
        }
        link_destroy(e[0].link, true);
        e[0].link = NULL;
        TURN_UNTIL(&r, e[1].eofs || e[1].errors);
        assert_int_equal(e[1].errors, 0);
        part(&r, e);
    }
}

/* As a request that waits behind others turns out to be a CONNECT. */
static void who_does_not_want_to_hear_any_more_hears_nothing(void **state)
{
    struct rig r;
    struct end e[2];
    join(&r, e, PLAIN, false);
    e[1].link->cut_on_hangup = true;
    link_pause(e[1].link);
    put(&e[0], "all that was sent");
    turn(&r, 20);
    e[1].link->cut_on_hangup = false;
    link_destroy(e[0].link, true);
    e[0].link = NULL;
    turn(&r, 400);
    assert_int_equal(e[1].errors, 0);
    link_resume(e[1].link);
    TURN_UNTIL(&r, e[1].eofs || e[1].errors);
    assert_int_equal(e[1].errors, 0);
    assert_string_equal(sbuf_z(&e[1].got), "all that was sent");
    part(&r, e);
}

static void a_reader_that_stalls_holds_back_the_writer(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        static unsigned char bytes[100000];
        join(&r, e, d, true);
        link_pause(e[1].link);
        fill(bytes, sizeof bytes, 3);
        size_t put_bytes = 0;
        for (int i = 0; i < 40; i++) {
            link_put(e[0].link, bytes, sizeof bytes);
            put_bytes += sizeof bytes;
        }
        loop_end_pass(r.loop);
        turn(&r, 50);
        assert_true(link_queued(e[0].link) > 1000000);
        assert_int_equal(e[0].flushed + link_queued(e[0].link), put_bytes);
        assert_int_equal(e[1].count, 0);
        e[1].count_only = true;
        link_resume(e[1].link);
        TURN_UNTIL(&r, e[1].count == put_bytes);
        TURN_UNTIL(&r, e[0].flushed == put_bytes);
        part(&r, e);
    }
}

static void a_cut_tls_stream_is_an_error(void **state)
{
    for (enum depth d = TLS; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        put(&e[0], "half of it");
        link_destroy(e[0].link, false); /* no close_notify */
        e[0].link = NULL;
        TURN_UNTIL(&r, e[1].eofs || e[1].errors);
        assert_int_equal(e[1].eofs, 0);
        assert_int_equal(e[1].err, ERR_CLOSED);
        assert_string_equal(sbuf_z(&e[1].got), "half of it");
        part(&r, e);
        join(&r, e, d, false);
        link_destroy(e[0].link, true); /* with it */
        e[0].link = NULL;
        TURN_UNTIL(&r, e[1].eofs || e[1].errors);
        assert_int_equal(e[1].eofs, 1);
        part(&r, e);
    }
}

/* Paused when the cut comes: what came before it is still handed up first. */
static void a_cut_is_seen_after_a_pause(void **state)
{
    for (enum depth d = TLS; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        e[1].pause_each = 1;
        put(&e[0], "one");
        put(&e[0], "two");
        link_destroy(e[0].link, false);
        e[0].link = NULL;
        for (int i = 0; i < 100 && !e[1].errors && !e[1].eofs; i++) {
            turn(&r, 2);
            link_resume(e[1].link);
        }
        assert_int_equal(e[1].errors, 1);
        assert_string_equal(sbuf_z(&e[1].got), "onetwo");
        part(&r, e);
    }
}

static void garbage_instead_of_tls_is_an_error(void **state)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff zzzzz"};
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++)
        for (int is_server = 0; is_server < 2; is_server++) {
            struct rig r;
            struct end e[2];
            join(&r, e, PLAIN, false);
            assert_int_equal(start_tls(&r, &e[1], is_server), ERR_OK);
            put(&e[0], garbage[i]);
            if (i)
                link_shut(e[0].link);
            loop_end_pass(r.loop);
            TURN_UNTIL(&r, e[1].errors);
            assert_int_equal(e[1].err, ERR_TLS);
            assert_non_null(e[1].why);
            assert_int_equal(e[1].ready, 0);
            part(&r, e);
        }
}

static void a_certificate_for_another_name_is_an_error(void **state)
{
    struct rig r;
    struct end e[2];
    join(&r, e, PLAIN, false);
    SSL *ssl = SSL_new(r.client);
    SSL_set1_host(ssl, "other.test");
    assert_int_equal(link_start_tls(e[0].link, ssl, false, NULL, 0), ERR_OK);
    assert_int_equal(start_tls(&r, &e[1], true), ERR_OK);
    TURN_UNTIL(&r, e[0].errors && e[1].errors);
    assert_int_equal(e[0].err, ERR_CERT);
    part(&r, e);
}

/* A ClientHello that came in the same segment as what was before it. */
static void bytes_seen_early_belong_to_the_handshake(void **state)
{
    struct rig r;
    struct end e[2];
    join(&r, e, PLAIN, false);
    assert_int_equal(start_tls(&r, &e[0], false), ERR_OK);
    TURN_UNTIL(&r, e[1].count > 0); /* read as plain bytes */
    SSL *ssl = SSL_new(r.server);
    assert_int_equal(link_start_tls(e[1].link, ssl, true, e[1].got.p, e[1].got.n), ERR_OK);
    sbuf_clear(&e[1].got);
    e[1].count = 0;
    TURN_UNTIL(&r, e[0].ready && e[1].ready);
    put(&e[0], "x");
    TURN_UNTIL(&r, e[1].count == 1);
    part(&r, e);
}

static void what_was_put_before_the_handshake_follows_it(void **state)
{
    struct rig r;
    struct end e[2];
    join(&r, e, PLAIN, false);
    assert_int_equal(start_tls(&r, &e[0], false), ERR_OK);
    assert_int_equal(start_tls(&r, &e[1], true), ERR_OK);
    link_put(e[0].link, "early", 5);
    TURN_UNTIL(&r, e[1].count == 5);
    assert_string_equal(sbuf_z(&e[1].got), "early");
    assert_int_equal(e[0].flushed, 5);
    part(&r, e);
}

/* ---- letting go ---- */

static void what_was_put_leaves_after_the_owner_has_gone(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++)
        for (int linger = 0; linger < 2; linger++) {
            struct rig r;
            struct end e[2];
            static unsigned char bytes[700000];
            join(&r, e, d, true);
            put(&e[1], "x"); /* behind the server's tickets: who does not linger has read those */
            TURN_UNTIL(&r, e[0].count == 1);
            fill(bytes, sizeof bytes, 5);
            e[1].count_only = true;
            link_put(e[0].link, bytes, sizeof bytes);
            link_finish(e[0].link, linger);
            loop_end_pass(r.loop);
            e[0].link = NULL;
            TURN_UNTIL(&r, e[1].eofs || e[1].errors);
            assert_int_equal(e[1].errors, 0);
            assert_int_equal(e[1].count, sizeof bytes);
            assert_true(e[1].hash == hash_bytes(14695981039346656037u, bytes, sizeof bytes));
            part(&r, e);
        }
}

/* Unread bytes would turn our last words into a reset. */
static void lingering_swallows_what_the_peer_still_sends(void **state)
{
    struct rig r;
    struct end e[2];
    static unsigned char bytes[200000];
    join(&r, e, PLAIN, false);
    link_pause(e[0].link);
    link_put(e[1].link, bytes, sizeof bytes);
    loop_end_pass(r.loop);
    turn(&r, 10);
    link_put(e[0].link, "no", 2);
    link_finish(e[0].link, true);
    e[0].link = NULL;
    loop_end_pass(r.loop);
    TURN_UNTIL(&r, e[1].eofs || e[1].errors);
    assert_int_equal(e[1].errors, 0);
    assert_string_equal(sbuf_z(&e[1].got), "no");
    TURN_UNTIL(&r, e[1].flushed == sizeof bytes);
    part(&r, e);
}

static uint64_t cpu_us(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Finished right after the peer's end: nothing to linger for, and nothing to spin on. */
static void finishing_after_the_peers_end_goes_quietly(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++) {
        struct rig r;
        struct end e[2];
        join(&r, e, d, false);
        e[1].finish_in_eof = true;
        link_destroy(e[0].link, true);
        e[0].link = NULL;
        TURN_UNTIL(&r, e[1].eofs);
        uint64_t before = cpu_us();
        for (int i = 0; i < 4; i++) /* the tick ends each */
            event_base_loop(r.loop->base, EVLOOP_ONCE);
        uint64_t start = clock_mono_ms();
        int turns = 0;
        while (clock_mono_ms() - start < 300) {
            event_base_loop(r.loop->base, EVLOOP_ONCE);
            turns++;
        }
        if (turns > 20)
            fail_msg("the loop spins: %d turns, %llu us", turns,
                     (unsigned long long)(cpu_us() - before));
        part(&r, e);
    }
}

static void a_link_may_be_destroyed_in_any_of_its_callbacks(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++)
        for (int where = 0; where < 4; where++) {
            struct rig r;
            struct end e[2];
            join(&r, e, d, false);
            e[1].destroy_in_data = where == 0;
            e[1].destroy_in_eof = where == 1;
            e[1].destroy_in_flushed = where == 2;
            if (where == 3) {
                link_put(e[1].link, "x", 1);
                link_destroy(e[1].link, true);
                e[1].link = NULL;
            } else if (where == 2) {
                put(&e[1], "x");
            } else {
                static unsigned char bytes[300000];
                link_put(e[0].link, bytes, where ? 10 : sizeof bytes);
                link_shut(e[0].link);
                loop_end_pass(r.loop);
            }
            TURN_UNTIL(&r, !e[1].link);
            turn(&r, 5);
            part(&r, e);
        }
    struct rig r;
    struct end e[2];
    join(&r, e, PLAIN, false);
    e[1].destroy_in_ready = true;
    assert_int_equal(start_tls(&r, &e[0], false), ERR_OK);
    assert_int_equal(start_tls(&r, &e[1], true), ERR_OK);
    TURN_UNTIL(&r, !e[1].link);
    part(&r, e);
}

/* ---- connecting ---- */

static void connecting_ends_in_ready_or_error(void **state)
{
    for (int refused = 0; refused < 2; refused++) {
        struct rig r;
        rig_open(&r);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t n = sizeof a;
        int l = socket(AF_INET, SOCK_STREAM, 0),
            fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
        if (!refused)
            assert_int_equal(listen(l, 1), 0);
        (void)!connect(fd, (struct sockaddr *)&a, sizeof a);
        struct end e = {.hash = 1};
        sbuf_init(&e.got, 100);
        e.link = link_create_connecting(r.loop, fd, &end_ops, &e);
        assert_non_null(e.link);
        link_put(e.link, "x", 1); /* waits */
        TURN_UNTIL(&r, e.ready || e.errors);
        assert_int_equal(e.errors, refused);
        if (refused)
            assert_int_equal(e.err, ERR_REFUSED);
        else
            TURN_UNTIL(&r, e.flushed == 1);
        end_close(&e);
        close(l);
        rig_close(&r);
    }
}

/* The peer answered, closed and takes no more: its answer is still read. */
static void an_answer_is_read_although_the_peer_takes_no_more(void **state)
{
    for (enum depth d = PLAIN; d < NESTED; d++) {
        struct rig r;
        struct end e[2];
        static unsigned char bytes[100000];
        join(&r, e, d, false);
        link_put(e[1].link, "413 no", 6);
        loop_end_pass(r.loop);
        link_destroy(e[1].link, true);
        e[1].link = NULL;
        link_put(e[0].link, "a", 1); /* provokes the reset */
        (void)!link_flush_now(e[0].link);
        for (int i = 0; i < 5; i++) {
            link_put(e[0].link, bytes, sizeof bytes);
            loop_end_pass(r.loop);
            turn(&r, 2);
        }
        TURN_UNTIL(&r, e[0].eofs || e[0].errors);
        /* The kernel may have dropped it with the reset, but never may half of it be there. */
        assert_true(e[0].count == 6 || e[0].count == 0);
        part(&r, e);
    }
}

static void memory_that_fails_breaks_the_link_and_nothing_else(void **state)
{
    for (enum depth d = PLAIN; d < DEPTHS; d++)
        for (long n = 1; n < 12; n++) {
            struct rig r;
            struct end e[2];
            static unsigned char bytes[300000];
            join(&r, e, d, true);
            fill(bytes, sizeof bytes, 9);
            e[1].count_only = true;
            mem_fail_after(n, 1);
            link_put(e[0].link, bytes, sizeof bytes);
            loop_end_pass(r.loop);
            turn(&r, 10);
            mem_fail_after(0, 0);
            TURN_UNTIL(&r, e[1].count == sizeof bytes || e[0].errors || e[1].errors || e[1].eofs);
            if (e[1].count == sizeof bytes)
                assert_int_equal(e[0].errors + e[1].errors, 0);
            else /* never a whole end behind half a message, where TLS can tell */
                assert_true(e[0].errors || e[1].errors || (d == PLAIN && e[1].eofs));
            assert_true(e[1].count <= sizeof bytes);
            part(&r, e);
        }
}

/* ---- one turn, many links ---- */

#define CROWD 20
static char order[3 * CROWD];
static struct end *doomed; /* the next one that is read destroys it */

static void crowd_data(struct link *l, const void *p, size_t n)
{
    order[strlen(order)] = 'r'; /* the rest is zero */
    link_put(l, p, n);
    if (doomed && doomed->link != l) {
        end_close(doomed);
        doomed = NULL;
    }
}

static void crowd_flushed(struct link *l, size_t n)
{
    order[strlen(order)] = 'f';
}

static const struct link_ops crowd_ops = {.on_ready = end_ready,
                                          .on_data = crowd_data,
                                          .on_eof = end_eof,
                                          .on_error = end_error,
                                          .on_flushed = crowd_flushed};

/* COUNT echoes are asked in one turn. Returns how many answered in that turn. */
static int crowd_turn(struct rig *r, int count, bool with_doomed)
{
    static struct end e[CROWD];
    int peer[CROWD], answered = 0;
    char byte;
    memset(order, 0, sizeof order);
    for (int i = 0; i < count; i++) {
        int fd[2];
        make_pair(fd);
        end_open(r, &e[i], fd[0]);
        e[i].link->ops = &crowd_ops;
        peer[i] = fd[1];
        assert_int_equal(write(peer[i], "x", 1), 1);
    }
    doomed = with_doomed ? &e[0] : NULL;
    event_base_loop(r->loop->base, EVLOOP_ONCE);
    for (int i = 0; i < count; i++) {
        answered += recv(peer[i], &byte, 1, MSG_DONTWAIT) == 1;
        if (e[i].link)
            end_close(&e[i]);
        close(peer[i]);
    }
    doomed = NULL;
    return answered;
}

static void what_a_turn_puts_leaves_at_its_end(void **state)
{
    struct rig r;
    rig_open(&r);
    turn(&r, 1);
    assert_int_equal(crowd_turn(&r, 1, false), 1);
    assert_string_equal(order, "rf");
    assert_int_equal(crowd_turn(&r, 3, false), 3);
    assert_string_equal(order, "rrrfff");
    assert_int_equal(crowd_turn(&r, CROWD, false), CROWD);
    assert_string_equal(order, "rrrrrrrrrrrrrrrrffffffffffffffffrrrrffff");
    rig_close(&r);
}

static void a_link_that_ends_before_the_turn_sends_nothing(void **state)
{
    struct rig r;
    rig_open(&r);
    turn(&r, 1);
    assert_int_equal(crowd_turn(&r, 3, true), 2);
    assert_string_equal(order, strlen(order) == 4 ? "rrff" : "rrrff");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(an_end_is_told_and_the_other_way_stays_open),
        cmocka_unit_test(a_big_transfer_arrives_as_it_was),
        cmocka_unit_test(pausing_loses_and_holds_up_nothing),
        cmocka_unit_test(what_waits_inside_comes_out_on_resume),
        cmocka_unit_test(a_paused_reader_hears_of_a_hangup_if_it_wants),
        cmocka_unit_test(who_does_not_want_to_hear_any_more_hears_nothing),
        cmocka_unit_test(a_watched_pause_ends_like_any_other),
        cmocka_unit_test(a_reader_that_stalls_holds_back_the_writer),
        cmocka_unit_test(a_cut_tls_stream_is_an_error),
        cmocka_unit_test(a_cut_is_seen_after_a_pause),
        cmocka_unit_test(garbage_instead_of_tls_is_an_error),
        cmocka_unit_test(a_certificate_for_another_name_is_an_error),
        cmocka_unit_test(bytes_seen_early_belong_to_the_handshake),
        cmocka_unit_test(what_was_put_before_the_handshake_follows_it),
        cmocka_unit_test(what_was_put_leaves_after_the_owner_has_gone),
        cmocka_unit_test(lingering_swallows_what_the_peer_still_sends),
        cmocka_unit_test(finishing_after_the_peers_end_goes_quietly),
        cmocka_unit_test(a_link_may_be_destroyed_in_any_of_its_callbacks),
        cmocka_unit_test(connecting_ends_in_ready_or_error),
        cmocka_unit_test(an_answer_is_read_although_the_peer_takes_no_more),
        cmocka_unit_test(memory_that_fails_breaks_the_link_and_nothing_else),
        cmocka_unit_test(what_a_turn_puts_leaves_at_its_end),
        cmocka_unit_test(a_link_that_ends_before_the_turn_sends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
