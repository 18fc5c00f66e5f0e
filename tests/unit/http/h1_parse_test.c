/* Every vector, whole and byte by byte, through a session of its role. */
#include "unit/http/vectors.h"
#include "unit/http/wire.h"

#include "http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int complaints; /* all of a table are told before the test fails */
#define complain(...) (complaints++, print_error(__VA_ARGS__), print_error("\n"))

static const char *shown(struct slice s)
{
    static struct sbuf b = {.max = 1 << 20};
    sbuf_clear(&b);
    sbuf_add_json(&b, s);
    return sbuf_z(&b);
}

/* Feeds RAW in runs of STEP bytes. */
static enum err feed_in_steps(struct wire *w, struct slice raw, size_t step)
{
    enum err e = ERR_OK;
    for (size_t at = 0; at < raw.n && e == ERR_OK; at += step) {
        struct slice part = slice_sub(raw, at, at + step);
        char *exact = mem_dupn(part.p, part.n); /* the sanitizer sees reads past the end */
        assert_non_null(exact);
        e = session_feed(w->s, exact, part.n);
        mem_free(exact);
    }
    return e;
}

static void check(const struct vector *v, enum role role, size_t step)
{
    struct wire w;
    assert_true(wire_init(&w, role));
    if (role == ROLE_CLIENT)
        wire_ask(&w, "GET");
    enum err e = feed_in_steps(&w, v->raw, step);
    if (v->normal) {
        struct slice got = sbuf_slice(&w.log);
        if (e != ERR_OK) {
            complain("refused (%s): %s", w.s->fault.reason, shown(v->raw));
            wire_finish(&w);
            return;
        }
        got = slice_sub(got, 1, got.n);
        struct slice want = slice_of(v->normal);
        if (w.heads != 1 || !slice_starts(got, want) || got.p[want.n] != ']')
            complain("%s: %s", shown(v->raw), sbuf_z(&w.log));
    } else {
        if (e != ERR_PROTOCOL) {
            complain("accepted: %s as %s", shown(v->raw), sbuf_z(&w.log));
            wire_finish(&w);
            return;
        }
        if (w.heads || w.s->fault.status != v->status ||
            (v->fault && strcmp(w.s->fault.reason, v->fault) != 0))
            complain("%s: %d %s", shown(v->raw), w.s->fault.status, w.s->fault.reason);
        assert_false(session_is_idle(w.s));
        assert_int_equal(w.closes, role == ROLE_CLIENT ? 1 : 0);
        assert_int_equal(wire_feed(&w, SLICE("GET / HTTP/1.1\r\n")), ERR_PROTOCOL);
    }
    wire_finish(&w);
}

static void request_heads_are_read_one_way_or_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        for (size_t step = 1; step < requests[i].raw.n + 3; step += requests[i].raw.n / 3 + 1)
            check(&requests[i], ROLE_SERVER, step);
}

static void answer_heads_are_read_one_way_or_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        for (size_t step = 1; step < answers[i].raw.n + 3; step += answers[i].raw.n / 3 + 1)
            check(&answers[i], ROLE_CLIENT, step);
}

static void check_chunked(const struct vector *v, enum role role, size_t step)
{
    struct wire w;
    assert_true(wire_init(&w, role));
    if (role == ROLE_CLIENT) {
        wire_ask(&w, "GET");
        assert_int_equal(wire_feed(&w, SLICE(OK200 CODING("chunked") END)), ERR_OK);
    } else {
        assert_int_equal(wire_feed(&w, SLICE(POST CODING("chunked") END)), ERR_OK);
    }
    sbuf_clear(&w.log);
    enum err e = feed_in_steps(&w, v->raw, step);
    if (v->normal) {
        struct sbuf want;
        sbuf_init(&want, 1000);
        sbuf_addf(&want, "%s<end>%s", v->normal, role == ROLE_CLIENT ? "(done)" : "");
        if (e != ERR_OK || !slice_eq(sbuf_slice(&w.log), sbuf_slice(&want)))
            complain("step %zu: %s: %s", step, shown(v->raw), sbuf_z(&w.log));
        if (role == ROLE_CLIENT)
            assert_true(session_is_idle(w.s));
        sbuf_finish(&want);
    } else {
        if (e != ERR_PROTOCOL || w.request_over) {
            complain("step %zu: accepted: %s as %s", step, shown(v->raw), sbuf_z(&w.log));
            wire_finish(&w);
            return;
        }
        assert_string_equal(w.s->fault.reason, v->fault);
        assert_int_equal(w.s->fault.status, role == ROLE_CLIENT ? 502 : v->status);
        assert_int_equal(w.closes, 1);
        assert_int_equal(w.why, WHY_PROTO);
    }
    wire_finish(&w);
}

static void chunked_bodies_are_cut_one_way_or_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(chunked); i++)
        for (size_t step = 1; step <= chunked[i].raw.n; step++) {
            check_chunked(&chunked[i], ROLE_SERVER, step);
            check_chunked(&chunked[i], ROLE_CLIENT, step);
        }
    static const struct vector odd = BAD("0\r\nx_y: z\r\n\r\n", 400, "chunk");
    for (size_t step = 1; step <= odd.raw.n; step++)
        check_chunked(&odd, ROLE_SERVER, step); /* an answer may have it, as in its head */
}

/* ---- sizes ---- */

static void one_request(struct sbuf *raw, const char *fault, int status)
{
    struct vector v = {sbuf_slice(raw), NULL, fault, status};
    if (fault) {
        check(&v, ROLE_SERVER, 4000);
        check(&v, ROLE_SERVER, raw->n);
    } else {
        for (size_t step = 4000; step <= raw->n; step += raw->n - 4000) {
            struct wire w;
            assert_true(wire_init(&w, ROLE_SERVER));
            assert_int_equal(feed_in_steps(&w, v.raw, step), ERR_OK);
            assert_int_equal(w.heads, 1);
            wire_finish(&w);
            if (raw->n == 4000)
                break;
        }
    }
    sbuf_clear(raw);
}

static void add_run(struct sbuf *b, char c, size_t n)
{
    char *p = sbuf_reserve(b, n);
    assert_non_null(p);
    memset(p, c, n);
    sbuf_commit(b, n);
}

static void sizes_have_bounds(void **state)
{
    struct sbuf raw;
    sbuf_init(&raw, 1 << 20);
    for (size_t n = TARGET_MAX - 1; n <= TARGET_MAX + 1; n++) { /* targets */
        sbuf_adds(&raw, "GET /");
        add_run(&raw, 'a', n - 1);
        sbuf_adds(&raw, " HTTP/1.1\r\n" H END);
        one_request(&raw, n > TARGET_MAX ? "target_too_long" : NULL, 414);
    }
    sbuf_adds(&raw, "GET /");
    add_run(&raw, 'a', 60000);
    sbuf_adds(&raw, " HTTP/1.1\r\n" H END);
    one_request(&raw, "target_too_long", 414);
    for (size_t n = 65535; n <= 65537; n++) { /* whole heads */
        sbuf_adds(&raw, GET H "x: ");
        add_run(&raw, 'a', n - raw.n - 4);
        sbuf_adds(&raw, "\r\n\r\n");
        assert_int_equal(raw.n, n);
        one_request(&raw, n > 65536 ? "head_too_large" : NULL, 431);
    }
    sbuf_adds(&raw, GET H "x: "); /* never ends */
    add_run(&raw, 'a', 70000);
    one_request(&raw, "head_too_large", 431);
    for (int n = 127; n <= 129; n++) { /* fields */
        sbuf_adds(&raw, GET H);
        for (int i = 1; i < n; i++)
            sbuf_addf(&raw, "x-%04d: some value that is rather long\r\n", i);
        sbuf_adds(&raw, "\r\n");
        one_request(&raw, n > 128 ? "too_many_fields" : NULL, 431);
    }
    sbuf_finish(&raw);
}

static void answer_sizes_have_bounds(void **state)
{
    struct sbuf raw;
    sbuf_init(&raw, 1 << 20);
    sbuf_adds(&raw, OK200 "x: ");
    add_run(&raw, 'a', 66000);
    struct vector large = {sbuf_slice(&raw), NULL, "head_too_large", 502};
    check(&large, ROLE_CLIENT, raw.n);
    check(&large, ROLE_CLIENT, 1000);
    sbuf_clear(&raw);
    for (int i = 0; i < 20; i++)
        sbuf_adds(&raw, "HTTP/1.1 103 E\r\n\r\n");
    struct wire w;
    assert_true(wire_init(&w, ROLE_CLIENT));
    wire_ask(&w, "GET");
    assert_int_equal(wire_feed(&w, sbuf_slice(&raw)), ERR_OK);
    assert_int_equal(wire_feed(&w, SLICE("HTTP/1.1 103 E\r\n\r\n")), ERR_PROTOCOL);
    assert_string_equal(w.s->fault.reason, "too_many_interim");
    assert_string_equal(sbuf_z(&w.log), "(proto)");
    wire_finish(&w);
    sbuf_finish(&raw);
}

static void chunk_extras_have_a_bound(void **state)
{
    static const struct {
        const char *before, *after;
    } places[] = {{"1;", "\r\nx\r\n0\r\n\r\n"}, {"1\r\nx\r\n0\r\nx: ", "\r\n\r\n"}};
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        for (size_t n = 3000; n <= 5000; n += 2000)
            for (size_t step = 1; step < 8000; step += 1000) {
                struct sbuf raw;
                sbuf_init(&raw, 1 << 20);
                sbuf_adds(&raw, places[i].before);
                add_run(&raw, 'a', n);
                sbuf_adds(&raw, places[i].after);
                struct vector v = {sbuf_slice(&raw), n > 4096 ? NULL : "x",
                                   n > 4096 ? "chunk" : NULL, 400};
                check_chunked(&v, ROLE_SERVER, step);
                check_chunked(&v, ROLE_CLIENT, step);
                sbuf_finish(&raw);
            }
    /* A little with each of many chunks is too much in the end. */
    struct wire w;
    assert_true(wire_init(&w, ROLE_SERVER));
    assert_int_equal(wire_feed(&w, SLICE(POST CODING("chunked") END)), ERR_OK);
    enum err e = ERR_OK;
    for (int i = 0; i < 200 && e == ERR_OK; i++)
        e = wire_feed(&w,
                      SLICE("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"));
    assert_int_equal(e, ERR_PROTOCOL);
    wire_finish(&w);
    /* Many small chunks without any are fine. */
    assert_true(wire_init(&w, ROLE_SERVER));
    assert_int_equal(wire_feed(&w, SLICE(POST CODING("chunked") END)), ERR_OK);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(wire_feed(&w, SLICE("1\r\nx\r\n")), ERR_OK);
    assert_int_equal(wire_feed(&w, SLICE("0\r\n\r\n")), ERR_OK);
    assert_true(w.request_over);
    wire_finish(&w);
}

/* Each byte value at each place of a small head: accepted or not, the same however it is cut. */
static void any_byte_anywhere_reads_the_same_whole_and_cut(void **state)
{
    static const char good[] = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n";
    char raw[sizeof good];
    for (size_t at = 0; at < sizeof good - 1; at++)
        for (int c = 0; c < 256; c++) {
            memcpy(raw, good, sizeof raw);
            raw[at] = (char)c;
            struct wire w[3];
            enum err e[3];
            for (size_t k = 0; k < 3; k++) {
                static const size_t steps[] = {sizeof good, 1, 17};
                assert_true(wire_init(&w[k], ROLE_SERVER));
                e[k] = feed_in_steps(&w[k], slice_make(raw, sizeof good - 1), steps[k]);
            }
            for (size_t k = 1; k < 3; k++)
                if (e[k] != e[0] || !slice_eq(sbuf_slice(&w[0].log), sbuf_slice(&w[k].log)) ||
                    w[k].s->fault.status != w[0].s->fault.status)
                    complain("byte %d at %zu: %s (%s), %s (%s)", c, at, sbuf_z(&w[0].log),
                             w[0].s->fault.reason, sbuf_z(&w[k].log), w[k].s->fault.reason);
            for (size_t k = 0; k < 3; k++)
                wire_finish(&w[k]);
        }
}

static int nothing_to_complain_about(void **state)
{
    int n = complaints;
    complaints = 0;
    return n;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(request_heads_are_read_one_way_or_refused,
                                  nothing_to_complain_about),
        cmocka_unit_test_teardown(answer_heads_are_read_one_way_or_refused,
                                  nothing_to_complain_about),
        cmocka_unit_test_teardown(chunked_bodies_are_cut_one_way_or_refused,
                                  nothing_to_complain_about),
        cmocka_unit_test_teardown(sizes_have_bounds, nothing_to_complain_about),
        cmocka_unit_test_teardown(answer_sizes_have_bounds, nothing_to_complain_about),
        cmocka_unit_test_teardown(chunk_extras_have_a_bound, nothing_to_complain_about),
        cmocka_unit_test_teardown(any_byte_anywhere_reads_the_same_whole_and_cut,
                                  nothing_to_complain_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
