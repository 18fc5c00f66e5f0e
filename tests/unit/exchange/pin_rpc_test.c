/* Names out of protobuf messages of any type, however deep they stand. */
#include "base/check.h"
#include "base/sbuf.h"
#include "exchange/pin_rpc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOST SLICE("generativelanguage.googleapis.com")
#define FILE_URL "https://generativelanguage.googleapis.com/v1beta/files/"

static void on_name(void *arg, const struct pin_name *n)
{
    struct sbuf *out = arg;
    if (out->n)
        sbuf_addc(out, ' ');
    sbuf_add_slice(out, n->name);
}

static void number(struct sbuf *out, size_t n)
{
    for (; n > 127; n >>= 7)
        sbuf_addc(out, (char)(n | 128));
    sbuf_addc(out, (char)n);
}

static void field(struct sbuf *out, unsigned key, struct slice value)
{
    number(out, key << 3 | 2);
    number(out, value.n);
    sbuf_add_slice(out, value);
}

/* IN becomes a message that holds it. */
static void wrap(struct sbuf *in, unsigned key)
{
    struct sbuf out;
    sbuf_init(&out, in->max);
    field(&out, key, sbuf_slice(in));
    sbuf_finish(in);
    *in = out;
}

static void reads(struct slice message, const char *want, bool is_readable)
{
    struct sbuf names;
    sbuf_init(&names, 65536);
    assert_int_equal(pin_rpc_read(message, HOST, on_name, &names), is_readable);
    assert_string_equal(names.n ? sbuf_z(&names) : "", want);
    sbuf_finish(&names);
}

static void names_are_found_however_deep(void **state)
{
    struct sbuf m;
    sbuf_init(&m, 65536);
    field(&m, 1, SLICE("text/plain"));
    field(&m, 2, SLICE(FILE_URL "a"));
    sbuf_addc(&m, 6 << 3); /* a number behind it, whose key could be part of an id */
    sbuf_addc(&m, '2');
    for (unsigned i = 0; i < 90; i++)
        wrap(&m, i % 3 ? 2 : 6);
    field(&m, 11, SLICE("projects/p/locations/l/cachedContents/7"));
    field(&m, 3, SLICE("see files/no and \"cachedContents/no\""));
    field(&m, 4, SLICE("tunedModels/t"));
    reads(sbuf_slice(&m), "files/a cachedContents/7 tunedModels/t", true);
    sbuf_finish(&m);
}

static void what_stands_before_hides_nothing(void **state)
{
    static const struct slice before[] = {
        {"\x0b\x0c", 2},                                      /* a group */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* a large number */
        {"\x8a\x80\x80\x80\x00\x01x", 7}, /* a key that is longer than it need be */
        {"\x09"
         "12345678",
         9},
        {"\x0d"
         "1234",
         5},
        {"\x0a\x02{\x05", 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        struct sbuf m;
        sbuf_init(&m, 4096);
        sbuf_add_slice(&m, before[i]);
        field(&m, 7, SLICE("files/a"));
        reads(sbuf_slice(&m), "files/a", true);
        sbuf_finish(&m);
    }
}

static void json_in_it_is_read(void **state)
{
    struct sbuf m;
    sbuf_init(&m, 4096);
    field(&m, 2, SLICE(" {\"contents\":[{\"fileUri\":\"" FILE_URL "a\"}]}"));
    wrap(&m, 2);
    reads(sbuf_slice(&m), "files/a", true);
    sbuf_finish(&m);
}

static void what_is_broken_names_nothing_more(void **state)
{
    static const struct slice broken[] = {{"", 0},
                                          {"\x0a", 1},
                                          {"\x0a\x09"
                                           "files/a",
                                           9},
                                          {"\x02\x07"
                                           "files/a",
                                           9},
                                          {"\x0e\x07"
                                           "files/a",
                                           9},
                                          {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        reads(broken[i], "", true);
}

static void a_long_name_and_endless_json_cannot_be_read(void **state)
{
    char text[2 * PIN_TEXT_MAX];
    struct sbuf m;
    memset(text, 'a', sizeof text);
    sbuf_init(&m, 1u << 20);
    field(&m, 2, slice_make(text, sizeof text));
    reads(sbuf_slice(&m), "", true);
    memcpy(text, "files/", 6);
    field(&m, 2, slice_make(text, sizeof text));
    reads(sbuf_slice(&m), "", false);
    sbuf_clear(&m);
    field(&m, 1, SLICE("x"));
    for (unsigned i = 0; i < 60; i++) { /* "{", which begins a group, and JSON again in it */
        struct sbuf out;
        sbuf_init(&out, m.max);
        sbuf_addc(&out, '{');
        field(&out, 1, sbuf_slice(&m));
        sbuf_finish(&m);
        m = out;
    }
    reads(sbuf_slice(&m), "", false);
    sbuf_finish(&m);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_however_deep),
        cmocka_unit_test(what_stands_before_hides_nothing),
        cmocka_unit_test(json_in_it_is_read),
        cmocka_unit_test(what_is_broken_names_nothing_more),
        cmocka_unit_test(a_long_name_and_endless_json_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
