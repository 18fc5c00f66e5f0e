/* room: http */
/* drives: proxy/http/h1_parse.c proxy/http/h1.c */
/* dict: http */
/* The first byte seeds how the rest is cut and what the owner does meanwhile. Even: answered in
 * order, the events are the same whole and cut, and what was sent can be read. Odd: the owner does
 * anything that is legal, at any time. */
#include "../unit/http/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static void settle(struct wire *w)
{
    bool more = true;
    while (more) {
        more = false;
        if (w->st && w->request_over && !w->answer_over) {
            CHECK(wire_answer(w, 200, "") == ERR_OK);
            more = true;
        }
        more |= wire_flush(w);
    }
}

/* An exact copy lets the sanitizer see reads past the end. */
static enum err feed_exact(struct wire *w, const uint8_t *p, size_t n)
{
    char *exact = mem_dupn(p, n);
    CHECK(exact);
    enum err e = session_feed(w->s, exact, n);
    mem_free(exact);
    return e;
}

static void talk(struct wire *w, const uint8_t *data, size_t size, unsigned seed, bool whole)
{
    CHECK(wire_init(w, ROLE_SERVER));
    enum err e = ERR_OK;
    for (size_t at = 0; at < size && e == ERR_OK && !w->is_finished && !w->faults;) {
        size_t n = whole ? size : next(&seed) % 17 + 1;
        n = n < size - at ? n : size - at;
        e = feed_exact(w, data + at, n);
        if (e == ERR_OK)
            settle(w);
        at += n;
    }
    CHECK((e == ERR_OK) == (w->s->fault.status == 0 || w->faults > 0));
    const struct fault *f = w->faults ? &w->fault : &w->s->fault;
    sbuf_addf(&w->log, " | %d %d %d %s", w->opens, w->finished, f->status,
              f->reason ? f->reason : "-");
}

/* What we sent, read by our own client role. */
static void check_sent(const struct wire *w)
{
    struct wire c;
    struct slice rest = sbuf_slice(&w->sent);
    CHECK(wire_init(&c, ROLE_CLIENT));
    while (rest.n) {
        size_t end = slice_search(rest, SLICE("\r\n\r\n"));
        CHECK(end < rest.n);
        struct slice one = slice_sub(rest, 0, end + 4);
        rest = slice_sub(rest, end + 4, rest.n);
        int before = c.closes;
        wire_ask(&c, "GET");
        CHECK(wire_feed(&c, one) == ERR_OK && c.closes == before + 1 && c.why == WHY_DONE);
        if (!session_is_idle(c.s)) {
            CHECK(rest.n == 0);
            break;
        }
    }
    wire_finish(&c);
}

static void act(struct wire *w, unsigned what)
{
    struct head h = {.status = 200, .body = BODY_UNTIL_CLOSE};
    switch (what % 12) {
    case 0:
        session_drain(w->s);
        break;
    case 1:
        if (w->st)
            stream_reset(w->st);
        break;
    case 2:
        session_eof(w->s);
        break;
    case 3:
        session_abort(w->s);
        break;
    case 4:
    case 5:
        if (w->st && !w->answer_over) {
            w->answer_over = true;
            CHECK(stream_send_head(w->st, &h, false) == ERR_OK);
        }
        break;
    case 6:
        if (w->st && w->answer_over)
            (void)!stream_send_body(w->st, "abc", what >> 8 & 3, what & 128);
        break;
    case 7:
        if (w->st)
            w->st->ops->send_continue(w->st);
        break;
    case 8:
        if (w->st)
            stream_credit(w->st, what >> 4);
        break;
    case 9:
        if (w->st && !w->answer_over)
            CHECK(wire_answer(w, 401, "no") == ERR_OK);
        break;
    default:
        wire_flush(w);
        break;
    }
}

static void meddle(const uint8_t *data, size_t size, unsigned seed)
{
    struct wire w;
    CHECK(wire_init(&w, ROLE_SERVER));
    enum err e = ERR_OK;
    for (size_t at = 0; at < size && e == ERR_OK && !w.is_finished && !w.faults;) {
        size_t n = next(&seed) % 64 + 1;
        n = n < size - at ? n : size - at;
        e = feed_exact(&w, data + at, n);
        at += n;
        (void)session_wants_read(w.s);
        for (unsigned k = next(&seed) % 4; k && e == ERR_OK && !w.is_finished; k--)
            act(&w, next(&seed));
    }
    CHECK(w.closes + (w.st != NULL) == w.opens);
    wire_finish(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 8192)
        return 0;
    if (data[0] & 1) {
        meddle(data + 1, size - 1, data[0]);
        return 0;
    }
    struct wire whole, cut;
    talk(&whole, data + 1, size - 1, data[0], true);
    talk(&cut, data + 1, size - 1, data[0], false);
    if (whole.opens < 20) { /* more of them in one piece end the connection */
        CHECK(slice_eq(sbuf_slice(&whole.log), sbuf_slice(&cut.log)));
        CHECK(slice_eq(sbuf_slice(&whole.sent), sbuf_slice(&cut.sent)));
    }
    check_sent(&whole);
    wire_finish(&whole);
    wire_finish(&cut);
    return 0;
}
