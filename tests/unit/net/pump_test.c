/* A session on a link, over sockets: what the wire says reaches the stream, and back. */
#include <setjmp.h>
#include <stdarg.h>

#include "unit/net/rig.h"

#include "net/pump.h"
#include "unit/http/wire.h"

#include <cmocka.h>

struct side {
    struct pump pump;
    struct wire wire;
    int faults, ends, ready;
    enum err err;
};

static void on_ready(struct pump *p)
{
    ((struct side *)p->owner)->ready++;
}

static void on_fault(struct pump *p)
{
    ((struct side *)p->owner)->faults++;
    link_pause(p->link);
}

static void on_end(struct pump *p, enum err e, const char *why)
{
    struct side *s = p->owner;
    assert_non_null(why);
    s->ends++;
    s->err = e;
}

static const struct pump_ops ops = {.on_ready = on_ready, .on_fault = on_fault, .on_end = on_end};

static void side_open(struct rig *r, struct side *s, enum role role, int fd)
{
    *s = (struct side){0};
    assert_true(wire_init(&s->wire, role));
    pump_init(&s->pump);
    session_destroy(s->wire.s);
    s->wire.s = h1_create(role, &s->wire.limits, &s->pump.outlet, &wire_session_sink, &s->wire);
    assert_non_null(s->wire.s);
    struct link *l = link_create(r->loop, fd, &pump_link_ops, &s->pump);
    assert_non_null(l);
    pump_attach(&s->pump, l, s->wire.s, &ops, s);
}

static void side_close(struct side *s)
{
    link_destroy(s->pump.link, false);
    s->pump.link = NULL;
    wire_finish(&s->wire);
}

static void ask(struct rig *r, struct side *c, enum body_kind body, bool end)
{
    struct wire *w = &c->wire;
    struct head h = {
        .method = SLICE("POST"), .path = SLICE("/"), .authority = SLICE("h"), .body = body};
    w->st = session_open(w->s);
    assert_non_null(w->st);
    w->heads = 0;
    w->request_over = false;
    w->st->sink = &wire_sink;
    w->st->owner = w;
    assert_int_equal(stream_send_head(w->st, &h, end), ERR_OK);
    loop_end_pass(r->loop);
}

struct both {
    struct rig rig;
    struct side server, client;
};

static void join(struct both *b)
{
    int fd[2];
    rig_open(&b->rig);
    make_pair(fd);
    side_open(&b->rig, &b->client, ROLE_CLIENT, fd[0]);
    side_open(&b->rig, &b->server, ROLE_SERVER, fd[1]);
}

static void part(struct both *b)
{
    side_close(&b->client);
    side_close(&b->server);
    rig_close(&b->rig);
}

static void requests_and_answers_cross_one_after_the_other(void **state)
{
    struct both b;
    join(&b);
    for (int i = 1; i <= 5; i++) {
        ask(&b.rig, &b.client, BODY_NONE, true);
        TURN_UNTIL(&b.rig, b.server.wire.opens == i && b.server.wire.request_over);
        assert_int_equal(wire_answer(&b.server.wire, 200, "ok"), ERR_OK);
        loop_end_pass(b.rig.loop);
        TURN_UNTIL(&b.rig, b.client.wire.closes == i && b.server.wire.closes == i);
        assert_true(session_is_idle(b.client.wire.s));
        assert_true(session_is_idle(b.server.wire.s));
    }
    assert_int_equal(b.client.faults + b.server.faults + b.client.ends + b.server.ends, 0);
    part(&b);
}

/* The receiver gives no credit: the window fills, the sockets fill, the sender waits. */
static void without_credit_the_wire_stands_still(void **state)
{
    static unsigned char bytes[65536];
    struct both b;
    join(&b);
    b.server.wire.forget_body = true;
    ask(&b.rig, &b.client, BODY_CHUNKED, false);
    size_t sent = 0;
    for (int i = 0; i < 400; i++) {
        if (link_queued(b.client.pump.link) < 1000000) {
            assert_int_equal(stream_send_body(b.client.wire.st, bytes, sizeof bytes, false),
                             ERR_OK);
            sent += sizeof bytes;
        }
        loop_end_pass(b.rig.loop);
        event_base_loop(b.rig.loop->base, EVLOOP_NONBLOCK);
    }
    turn(&b.rig, 20);
    assert_true(b.server.wire.body >= STREAM_WINDOW);
    assert_true(b.server.wire.body <= STREAM_WINDOW + LOOP_READ_BYTES);
    assert_true(b.client.wire.on_sent < sent);
    b.server.wire.credit = true; /* from now on, and for what is there */
    stream_credit(b.server.wire.st, b.server.wire.body);
    assert_int_equal(stream_send_body(b.client.wire.st, "", 0, true), ERR_OK);
    loop_end_pass(b.rig.loop);
    TURN_UNTIL(&b.rig, b.server.wire.request_over);
    assert_int_equal(b.server.wire.body, sent);
    assert_int_equal(b.client.wire.on_sent, sent);
    part(&b);
}

/* The end of a close-delimited body moves no byte; the connection must close all the same. */
static void an_end_without_bytes_reaches_the_wire(void **state)
{
    struct rig r;
    struct side s;
    int fd[2];
    char buf[300];
    rig_open(&r);
    make_pair(fd);
    side_open(&r, &s, ROLE_SERVER, fd[1]);
    assert_int_equal(send(fd[0], "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
    TURN_UNTIL(&r, s.wire.request_over);
    struct head h = {.status = 200, .body = BODY_UNTIL_CLOSE};
    assert_int_equal(stream_send_head(s.wire.st, &h, false), ERR_OK);
    assert_int_equal(stream_send_body(s.wire.st, "hello", 5, false), ERR_OK);
    loop_end_pass(r.loop);
    TURN_UNTIL(&r, s.wire.on_sent == 5);
    assert_int_equal(s.wire.closes, 0);
    assert_int_equal(stream_send_body(s.wire.st, "", 0, true), ERR_OK);
    loop_end_pass(r.loop);
    TURN_UNTIL(&r, s.wire.is_finished);
    assert_int_equal(s.wire.why, WHY_DONE);
    assert_true(recv(fd[0], buf, sizeof buf, 0) > 5);
    close(fd[0]);
    side_close(&s);
    rig_close(&r);
}

static void ends_and_faults_are_told(void **state)
{
    struct both b;
    join(&b);
    ask(&b.rig, &b.client, BODY_NONE, true);
    TURN_UNTIL(&b.rig, b.server.wire.request_over);
    link_destroy(b.server.pump.link, false);
    b.server.pump.link = NULL;
    TURN_UNTIL(&b.rig, b.client.ends);
    assert_int_equal(b.client.wire.closes, 1);
    assert_int_equal(b.client.wire.why, WHY_RESET);
    part(&b);

    struct rig r;
    struct side s;
    int fd[2];
    rig_open(&r);
    make_pair(fd);
    side_open(&r, &s, ROLE_SERVER, fd[1]);
    assert_int_equal(send(fd[0], "nonsense\r\n", 10, 0), 10);
    TURN_UNTIL(&r, s.faults);
    assert_int_equal(s.wire.opens, 0);
    close(fd[0]);
    side_close(&s);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_answers_cross_one_after_the_other),
        cmocka_unit_test(without_credit_the_wire_stands_still),
        cmocka_unit_test(an_end_without_bytes_reaches_the_wire),
        cmocka_unit_test(ends_and_faults_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
