/* Bytes that are kept come back in order, however they are read, rewound and forgotten. */
#include "exchange/held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct loop *loop;

static int begin(void **state)
{
    return loop_create(&loop) == ERR_OK ? 0 : -1;
}

static int end(void **state)
{
    loop_destroy(loop);
    return 0;
}

static char byte_at(size_t i)
{
    return (char)('a' + (i * 7 + i / 251) % 26);
}

/* Adds bytes number FROM to TO of the pattern in pieces of PIECE. */
static void fill(struct held *h, size_t from, size_t to, size_t piece)
{
    char buf[20000];
    while (from < to) {
        size_t n = to - from < piece ? to - from : piece;
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_at(from + i);
        assert_true(held_add(h, buf, n));
        from += n;
    }
}

/* Reads up to N bytes, at most MAX in a run; they must be the pattern's from FROM on. */
static size_t take(struct held *h, size_t from, size_t n, size_t max)
{
    size_t got = 0;
    while (got < n) {
        const char *p;
        size_t run = held_run(h, n - got < max ? n - got : max, &p);
        if (run == 0)
            break;
        for (size_t i = 0; i < run; i++)
            assert_int_equal(p[i], byte_at(from + got + i));
        held_advance(h, run);
        got += run;
    }
    return got;
}

static void lengths(uint64_t expected, size_t n, size_t piece)
{
    struct held h;
    held_init(&h, loop, expected);
    assert_true(held_all_sent(&h));
    fill(&h, 0, n, piece);
    assert_int_equal(h.n, n);
    assert_int_equal(take(&h, 0, n + 1, SIZE_MAX), n);
    assert_true(held_all_sent(&h));
    held_rewind(&h);
    assert_int_equal(take(&h, 0, n + 1, 777), n);
    held_rewind(&h);
    held_skip_all(&h);
    assert_true(held_all_sent(&h));
    fill(&h, n, n + 3000, 1000); /* behind what was sent */
    assert_int_equal(take(&h, n, 5000, SIZE_MAX), 3000);
    held_rewind(&h);
    assert_int_equal(take(&h, 0, n + 5000, SIZE_MAX), n + 3000);
    held_drop(&h);
    assert_int_equal(h.n, 0);
    fill(&h, 5, 105, 10); /* empty, and as new */
    assert_int_equal(take(&h, 5, 100, 3), 100);
    held_drop(&h);
}

static void what_goes_in_comes_out(void **state)
{
    static const size_t sizes[] = {
        0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 65536, 65537, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lengths(0, sizes[i], 16384);
        lengths(0, sizes[i], 333);
        lengths(sizes[i], sizes[i], 16384);
        lengths(sizes[i], sizes[i], 333);
        lengths(sizes[i] / 2, sizes[i],
                1000); /* an expectation that was wrong costs nothing but memory */
    }
}

/* A cursor anywhere, then forgotten: the rest is still there, and no more than the rest. */
static void forgotten_bytes_go(void **state)
{
    for (size_t sent = 0; sent <= 100000; sent += 4999) {
        struct held h;
        held_init(&h, loop, 0);
        fill(&h, 0, 100000, 16000);
        assert_int_equal(take(&h, 0, sent, SIZE_MAX), sent);
        assert_int_equal(held_forget_sent(&h), sent);
        assert_int_equal(h.n, 100000 - sent);
        assert_int_equal(h.sent, 0);
        fill(&h, 100000, 130000, 16000);
        assert_int_equal(take(&h, sent, 40000, 5000),
                         130000 - sent < 40000 ? 130000 - sent : 40000);
        held_rewind(&h);
        assert_int_equal(take(&h, sent, 200000, SIZE_MAX), 130000 - sent);
        held_forget_sent(&h);
        assert_int_equal(h.n, 0);
        held_drop(&h);
    }
}

/* A client that is always ahead: the window slides, and the chunks go round. */
static void a_sliding_window_stays_small(void **state)
{
    struct held h;
    struct loop *own;
    size_t in = 0, out = 0;
    assert_int_equal(loop_create(&own), ERR_OK);
    held_init(&h, own, 0);
    while (out < 5000000) {
        fill(&h, in, in + 12345, 12345);
        in += 12345;
        out += take(&h, out, in - out > 100000 ? 20000 : 7000, 4096);
        (void)held_forget_sent(&h);
        assert_int_equal(h.n, in - out);
        assert_true(h.n <= 120000);
    }
    held_drop(&h);
    assert_true(own->free_count > 0 && own->free_count < 12);
    loop_destroy(own);
}

static void a_short_body_in_one_block(void **state)
{
    struct held h;
    const char *p;
    held_init(&h, loop, 20000);
    uint32_t free_before = loop->free_count;
    fill(&h, 0, 20000, 1000);
    assert_null(h.first);
    assert_int_equal(loop->free_count, free_before);
    assert_int_equal(held_run(&h, SIZE_MAX, &p), 20000);
    held_advance(&h, 15000);
    assert_int_equal(held_forget_sent(&h), 0); /* inside the block */
    assert_int_equal(take(&h, 15000, 9000, SIZE_MAX), 5000);
    assert_int_equal(held_forget_sent(&h), 20000);
    assert_int_equal(h.n, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(forgotten_bytes_go),
        cmocka_unit_test(a_sliding_window_stays_small),
        cmocka_unit_test(a_short_body_in_one_block),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
