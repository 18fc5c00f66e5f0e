/* The first message of a WebSocket: frames in, the same message with another project out. */
#include "exchange/setup.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <zlib.h>

#define MODEL "projects/theirs/locations/l/publishers/google/models/m"
#define SETUP(model) "{\"setup\": {\"model\": \"" model "\", \"x\": [1, {\"model\": \"no\"}]}}"

static struct setup s;
static struct sbuf in, out;

static int start(void **state)
{
    (void)state;
    setup_init(&s);
    sbuf_init(&in, 8 << 20);
    sbuf_init(&out, 8 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    setup_finish(&s);
    sbuf_finish(&in);
    sbuf_finish(&out);
    return 0;
}

enum {
    LAST = 0x80,
    DEFLATED = 0x40,
    TEXT = 1,
    BINARY = 2,
    CLOSE = 8,
    PING = 9
};

static void add_frame(struct sbuf *b, int first, const void *p, size_t n)
{
    const unsigned char mask[4] = {1, 2, 200, 77}, *from = p;
    sbuf_addc(b, (char)first);
    sbuf_addc(b, (char)(0x80 | (n < 126 ? n : n < 65536 ? 126u : 127u)));
    for (int i = n < 126 ? 0 : n < 65536 ? 2 : 8; i > 0; i--)
        sbuf_addc(b, (char)(n >> 8 * (i - 1)));
    sbuf_add(b, mask, 4);
    for (size_t i = 0; i < n; i++)
        sbuf_addc(b, (char)(from[i] ^ mask[i & 3]));
}

static void frame_z(int first, const char *text)
{
    add_frame(&in, first, text, strlen(text));
}

/* Feeds what was added, N bytes at a time. */
static enum setup_state feed(size_t n)
{
    for (size_t at = 0; at < in.n && s.state != SETUP_REFUSED; at += n)
        (void)setup_feed(&s, in.p + at, n < in.n - at ? n : in.n - at);
    return s.state;
}

/* The payload of the frame at *AT of OUT; RET is allocated. */
static char *unmask(size_t *at, int want_first)
{
    const unsigned char *p = (const unsigned char *)out.p + *at;
    size_t n = p[1] & 0x7f, more = n == 126 ? 2 : n == 127 ? 8 : 0;
    assert_int_equal(p[0], want_first);
    assert_true(p[1] & 0x80);
    if (more)
        n = 0;
    for (size_t i = 0; i < more; i++)
        n = n << 8 | p[2 + i];
    const unsigned char *mask = p + 2 + more, *from = mask + 4;
    assert_true((size_t)(from + n - (const unsigned char *)out.p) <= out.n);
    char *text = test_malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(from[i] ^ mask[i & 3]);
    text[n] = '\0';
    *at += 2 + more + 4 + n;
    return text;
}

static void took(const char *project)
{
    sbuf_clear(&out);
    assert_int_equal(setup_take(&s, slice_of(project), &out), ERR_OK);
}

static void as_it_came(const char *project)
{
    took(project);
    assert_true(slice_eq(sbuf_slice(&out), sbuf_slice(&in)));
}

static void became(int first, const char *want)
{
    size_t at = 0;
    took("ours-1");
    char *text = unmask(&at, first);
    assert_string_equal(text, want);
    assert_int_equal(at, out.n);
    test_free(text);
}

static void the_project_becomes_ours(void **state)
{
    frame_z(LAST | TEXT, SETUP(MODEL));
    assert_int_equal(feed(in.n), SETUP_WHOLE);
    assert_string_equal(s.model, MODEL);
    became(LAST | TEXT, SETUP("projects/ours-1/locations/l/publishers/google/models/m"));
    as_it_came("theirs");
    as_it_came("");
}

static void it_reads_the_same_however_it_is_cut(void **state)
{
    frame_z(LAST | PING, "ab");
    add_frame(&in, BINARY, SETUP(MODEL), 30);
    frame_z(LAST | PING, "");
    add_frame(&in, 0, "", 0);
    frame_z(LAST, SETUP(MODEL) + 30);
    frame_z(LAST | TEXT, "behind");
    for (size_t n = 1; n <= in.n; n++) {
        size_t at = 0;
        setup_finish(&s);
        setup_init(&s);
        assert_int_equal(feed(n), SETUP_WHOLE);
        as_it_came("theirs");
        took("o");
        const int firsts[] = {LAST | PING, LAST | PING, LAST | BINARY, LAST | TEXT};
        const char *const texts[] = {
            "ab", "", SETUP("projects/o/locations/l/publishers/google/models/m"), "behind"};
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            char *text = unmask(&at, firsts[i]);
            assert_string_equal(text, texts[i]);
            test_free(text);
        }
        assert_int_equal(at, out.n);
    }
}

static void lengths_of_every_kind(void **state)
{
    static const size_t sizes[] = {0, 1, 30, 60, 61, 62, 100, 65000, 65400, 65500, 65536, 900000};
    static char filler[900001];
    memset(filler, 'f', sizeof filler - 1);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t at = 0;
        struct sbuf text;
        sbuf_init(&text, 2 << 20);
        sbuf_adds(&text, "{\"setup\":{\"model\":\"projects/p/m\",\"f\":\"");
        sbuf_add(&text, filler, sizes[i]);
        sbuf_adds(&text, "\"}}");
        end(NULL);
        start(NULL);
        add_frame(&in, LAST | TEXT, text.p, text.n);
        assert_int_equal(feed(7777), SETUP_WHOLE);
        as_it_came("p");
        took("quite-another");
        char *got = unmask(&at, LAST | TEXT);
        assert_int_equal(strlen(got), text.n + strlen("quite-another") - 1);
        assert_ptr_equal(strstr(got, "{\"setup\":{\"model\":\"projects/quite-another/m\""), got);
        test_free(got);
        sbuf_finish(&text);
    }
}

static const struct {
    const char *text, *model; /* NULL: refused */
} messages[] = {
    {SETUP(MODEL), MODEL},
    {"{}", ""},
    {" { } ", ""},
    {"{\"setup\":{}}", ""},
    {"{\"x\":{\"setup\":{\"model\":\"a\"}},\"y\":[{\"model\":\"b\"}]}", ""},
    {"{\"model\":\"a\"}", ""},
    {"{\"setup\":{\"x\":{\"model\":\"a\"}}}", ""},
    {"{\"setup\":{\"model\":\"models\\/m\"}}", "models/m"},
    {"\t{\"a\":-1.5e+3,\"setup\":\n{\"b\":null,\"model\" : \"m\"},\"c\":true}\r\n", "m"},
    {"{\"setup\":{\"s\":\"\\\"model\\\":\\\\\",\"model\":\"m\"}}", "m"},
    {"{\"setup\":{\"model\":\"\"}}", ""},
    {"{\"realtimeInput\":{\"a\":[[],[{}]]}}", ""},
    {"", NULL},
    {"x", NULL},
    {"[]", NULL},
    {"\"setup\"", NULL},
    {"{\"setup\":{\"model\":\"a\"}", NULL},
    {"{\"setup\":{\"model\":\"a\"}}}", NULL},
    {"{\"setup\":{\"model\":\"a\"}} x", NULL},
    {"{\"setup\":{\"model\":\"a\",\"model\":\"b\"}}", NULL},
    {"{\"setup\":{\"model\":\"a\"},\"setup\":{}}", NULL},
    {"{\"setup\":{\"mod\\u0065l\":\"a\"}}", NULL},
    {"{\"s\\u0065tup\":{\"model\":\"a\"}}", NULL},
    {"{\"setup\":{\"model\":5}}", NULL},
    {"{\"setup\":{\"model\":[\"a\"]}}", NULL},
    {"{\"setup\":[{\"model\":\"a\"}]}", NULL},
    {"{\"setup\":\"a\"}", NULL},
    {"{\"setup\":{\"model\":\"a b\"}}", NULL},
    {"{\"setup\":{\"model\":\"a\\n\"}}", NULL},
    {"{\"setup\":{\"model\":\"\303\244\"}}", NULL},
    {"{\"setup\":{\"model\":\"a\n\"}}", NULL},
    {"{\"setup\":{\"model\":\"a\\", NULL},
    {"{\"setup\":{,}}", NULL},
    {"{\"setup\":{\"model\" \"a\"}}", NULL},
    {"{\"setup\":{\"model\":}}", NULL},
    {"{\"a\":1 \"setup\":{\"model\":\"a\"}}", NULL},
    {"{'setup':{'model':'a'}}", NULL},
};

static void what_is_found_in_which_message(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        end(NULL);
        start(NULL);
        frame_z(LAST | TEXT, messages[i].text);
        enum setup_state got = feed(in.n);
        if (got != (messages[i].model ? SETUP_WHOLE : SETUP_REFUSED))
            fail_msg("%s: %d", messages[i].text, (int)got);
        if (messages[i].model)
            assert_string_equal(s.model, messages[i].model);
        else
            assert_int_equal(s.code, 1007);
    }
}

static void deep_ones_have_an_end(void **state)
{
    for (int depth = 100; depth <= 100000; depth *= 10) {
        struct sbuf text;
        end(NULL);
        start(NULL);
        sbuf_init(&text, 1 << 20);
        sbuf_adds(&text, "{\"a\":");
        for (int i = 0; i < depth; i++)
            sbuf_addc(&text, '[');
        for (int i = 0; i < depth; i++)
            sbuf_addc(&text, ']');
        sbuf_addc(&text, '}');
        add_frame(&in, LAST | TEXT, text.p, text.n);
        assert_int_equal(feed(in.n), depth == 100 ? SETUP_WHOLE : SETUP_REFUSED);
        sbuf_finish(&text);
    }
}

static void frames_that_no_client_sends(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int code;
    } bad[] = {
        {"\x81\x02{}", 4, 1002},                        /* not masked */
        {"\xa1\x82\1\2\3\4zz", 8, 1002},                /* RSV2 */
        {"\x91\x82\1\2\3\4zz", 8, 1002},                /* RSV3 */
        {"\x83\x82\1\2\3\4zz", 8, 1002},                /* an opcode that is none */
        {"\x8b\x80\1\2\3\4", 6, 1002},                  /* the same */
        {"\x80\x82\1\2\3\4zz", 8, 1002},                /* more of nothing */
        {"\x09\x80\1\2\3\4", 6, 1002},                  /* a ping in pieces */
        {"\x89\xfe\0\x7f", 4, 1002},                    /* a long ping */
        {"\xc9\x80\1\2\3\4", 6, 1002},                  /* a compressed one */
        {"\x01\x80\1\2\3\4\x01\x80\1\2\3\4", 12, 1002}, /* a message within a message */
        {"\x01\x80\1\2\3\4\x40\x80\1\2\3\4", 12, 1002}, /* RSV1 on a later piece */
        {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\3\4", 14, 1009},
        {"\x81\xff\0\0\0\0\0\x10\0\1\1\2\3\4", 14, 1009},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        end(NULL);
        start(NULL);
        sbuf_add(&in, bad[i].bytes, bad[i].n);
        if (feed(1) != SETUP_REFUSED || s.code != bad[i].code)
            fail_msg("%zu: %d %d", i, (int)s.state, (int)s.code);
        assert_non_null(s.reason);
    }
}

static void one_that_never_ends_is_refused(void **state)
{
    static char piece[60000];
    memset(piece, ' ', sizeof piece);
    add_frame(&in, TEXT, piece, sizeof piece);
    for (int i = 0; i < 40; i++)
        add_frame(&in, 0, piece, sizeof piece);
    assert_int_equal(feed(65536), SETUP_REFUSED);
    assert_int_equal(s.code, 1009);
    end(NULL);
    start(NULL);
    for (int i = 0; i < 200000; i++)
        frame_z(LAST | PING, "0123456789");
    assert_int_equal(feed(65536), SETUP_REFUSED);
    assert_int_equal(s.code, 1009);
}

static void who_closes_first_is_let_go(void **state)
{
    frame_z(LAST | CLOSE, "\3\xe8");
    assert_int_equal(feed(1), SETUP_WHOLE);
    assert_false(s.in_message);
    as_it_came("ours");
}

static void deflate_it(const char *text, size_t n, int pieces)
{
    static unsigned char packed[1 << 20];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)text,
                  .avail_in = (unsigned)n,
                  .next_out = packed,
                  .avail_out = sizeof packed};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    size_t size = sizeof packed - z.avail_out - 4, part = size / (size_t)pieces;
    deflateEnd(&z);
    for (int i = 0; i < pieces; i++)
        add_frame(&in, (i ? 0 : TEXT | DEFLATED) | (i == pieces - 1 ? LAST : 0),
                  packed + part * (size_t)i, i == pieces - 1 ? size - part * (size_t)i : part);
}

static void compressed_ones_become_plain(void **state)
{
    for (int pieces = 1; pieces <= 4; pieces++) {
        end(NULL);
        start(NULL);
        deflate_it(SETUP(MODEL), sizeof(SETUP(MODEL)) - 1, pieces);
        assert_int_equal(feed(3), SETUP_WHOLE);
        as_it_came("theirs");
        became(LAST | TEXT, SETUP("projects/ours-1/locations/l/publishers/google/models/m"));
    }
}

static void a_bomb_is_refused(void **state)
{
    size_t n = 64 << 20;
    char *zeros = test_calloc(1, n);
    memset(zeros, ' ', n);
    deflate_it(zeros, n, 1);
    test_free(zeros);
    assert_true(in.n < 200000);
    assert_int_equal(feed(in.n), SETUP_REFUSED);
    assert_int_equal(s.code, 1007);
    end(NULL);
    start(NULL);
    frame_z(LAST | TEXT | DEFLATED, "this is not compressed");
    assert_int_equal(feed(in.n), SETUP_REFUSED);
}

static void a_close_frame_fits_its_reason(void **state)
{
    unsigned char buf[128];
    char reason[300];
    assert_int_equal(setup_close_frame(1008, "no", buf), 6);
    assert_memory_equal(buf, "\x88\x04\x03\xf0no", 6);
    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    assert_int_equal(setup_close_frame(1002, reason, buf), 104);
    assert_int_equal(buf[1], 102);
}

static void an_answer_may_promise_less(void **state)
{
    static const char *const vectors[][2] = {
        {"permessage-deflate", "permessage-deflate; client_no_context_takeover"},
        {" PerMessage-Deflate ; server_max_window_bits=12",
         "PerMessage-Deflate ; server_max_window_bits=12; client_no_context_takeover"},
        {"x, permessage-deflate, y; a=permessage-deflate",
         "x, permessage-deflate; client_no_context_takeover, y; a=permessage-deflate"},
        {"permessage-deflate; client_no_context_takeover", NULL},
        {"permessage-deflate; Client_No_Context_Takeover ; server_no_context_takeover", NULL},
        {"x-webkit-deflate-frame", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        sbuf_clear(&out);
        assert_int_equal(setup_extensions(slice_of(vectors[i][0]), &out), vectors[i][1] != NULL);
        if (vectors[i][1])
            assert_string_equal(sbuf_z(&out), vectors[i][1]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_project_becomes_ours),       TEST(it_reads_the_same_however_it_is_cut),
        TEST(lengths_of_every_kind),          TEST(what_is_found_in_which_message),
        TEST(deep_ones_have_an_end),          TEST(frames_that_no_client_sends),
        TEST(one_that_never_ends_is_refused), TEST(who_closes_first_is_let_go),
        TEST(compressed_ones_become_plain),   TEST(a_bomb_is_refused),
        TEST(a_close_frame_fits_its_reason),  TEST(an_answer_may_promise_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
