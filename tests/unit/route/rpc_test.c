/* Model and project out of the first message of a gRPC call, and another project in its place. */
#include "base/check.h"
#include "route/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PRE "projects/p/locations/us-central1/publishers/google/models/"

static char body[4096];
static size_t body_n;

static void add(const char *p, size_t n)
{
    memcpy(body + body_n, p, n);
    body_n += n;
}

static void begin(void)
{
    body_n = 0;
    add("\0\0\0\0", 5);
}

/* A field of bytes; its length in as many bytes as need be. */
static void field(unsigned number, const char *p, size_t n)
{
    char key = (char)(number << 3 | 2u), more = (char)(n | 128u), last = (char)(n >> 7);
    add(&key, 1);
    if (n > 127)
        add(&more, 1);
    add(n > 127 ? &last : (const char[]){(char)n}, 1);
    add(p, n);
}

static void text(unsigned number, const char *z)
{
    field(number, z, strlen(z));
}

static void end(void)
{
    size_t n = body_n - RPC_HEAD;
    body[3] = (char)(n >> 8);
    body[4] = (char)n;
}

static void scan(struct rpc_scan *r, size_t cut)
{
    rpc_scan_init(r);
    rpc_scan_feed(r, body, cut);
    rpc_scan_feed(r, body + cut, body_n - cut);
}

/* At each cut the same. */
static void says(enum rpc_state state, const char *model, size_t names)
{
    for (size_t cut = 0; cut <= body_n; cut++) {
        struct rpc_scan r;
        scan(&r, cut);
        if (r.state != state || r.count != names ||
            !slice_eq(slice_make(r.model, r.model_n), slice_of(model)))
            fail_msg("cut at %zu: state %d, %zu names, model %.*s", cut, (int)r.state, r.count,
                     (int)r.model_n, r.model);
    }
}

static void a_model_is_found_wherever_it_stands(void **state)
{
    begin();
    text(2, "contents come before it: \x12\x05hello");
    text(5, PRE "gemini-2.5-pro");
    add("\x20\x96\x01\x0d\1\2\3\4\x09\1\2\3\4\5\6\7\x08", 17); /* other kinds of fields */
    end();
    says(RPC_WHOLE, "gemini-2.5-pro", 1);
    add("\0\0\0\0\x7f", 5); /* the next message is nobody's business */
    says(RPC_WHOLE, "gemini-2.5-pro", 1);
}

static void names_without_a_project_have_a_model(void **state)
{
    static const char *const names[] = {"models/m-1", "publishers/google/models/m-1",
                                        "projects/p/models/m-1"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        begin();
        text(1, names[i]);
        end();
        says(RPC_WHOLE, "m-1", 0);
    }
    begin();
    text(1, "projects/p/locations/us-central1/endpoints/123");
    end();
    says(RPC_WHOLE, "123", 1);
}

static void two_models_are_none(void **state)
{
    begin();
    text(1, PRE "allowed");
    text(3, PRE "allowed");
    end();
    says(RPC_WHOLE, "allowed", 2);
    text(5, PRE "other");
    end();
    says(RPC_WHOLE, "", 3);
    text(6, PRE "allowed");
    end();
    says(RPC_WHOLE, "", 4);
    text(7, PRE "allowed");
    end();
    says(RPC_OTHER, "", 0);
}

/* The provider skips a field that it does not know. */
static void a_name_where_no_method_has_its_model_is_no_claim(void **state)
{
    static const unsigned elsewhere[] = {2, 4, 6, 9, 15};
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
        begin();
        text(elsewhere[i], "models/allowed");
        end();
        says(RPC_WHOLE, "", 0);
    }
    begin();
    add("\xc2\x3e\x0emodels/allowed", 17); /* field 1000 */
    end();
    says(RPC_WHOLE, "", 0);
}

static void what_is_no_name_is_left_alone(void **state)
{
    static const char *const texts[] = {"",
                                        "projects/",
                                        "projects//locations/x",
                                        "projects/p",
                                        "projects/p/location/x",
                                        "Projects/p/locations/x",
                                        "xprojects/p/locations/l",
                                        "projects/p/locations/l/models/a b",
                                        "models/",
                                        "models/a/b",
                                        "/models/"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        begin();
        text(1, texts[i]);
        end();
        says(RPC_WHOLE, "", 0);
    }
    char longer[RPC_NAME_MAX + 40];
    int n = snprintf(longer, sizeof longer, PRE "%0*d", (int)(RPC_NAME_MAX + 1 - strlen(PRE)), 0);
    begin();
    field(1, longer, (size_t)n);
    end();
    says(RPC_WHOLE, "", 0);
}

static void broken_messages_tell_nothing(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\1\0\0\0\0", 5},             /* compressed */
        {"\0\0\0\0\1\x0a", 6},         /* a length is missing */
        {"\0\0\0\0\2\x0a\1", 7},       /* so are its bytes */
        {"\0\0\0\0\2\x0a\x80", 7},     /* a number goes on */
        {"\0\0\0\0\1\x80", 6},         /* so does a key */
        {"\0\0\0\0\1\x08", 6},         /* a value is missing */
        {"\0\0\0\0\5\x0d\1\2\3\4", 9}, /* whole but for one byte: see below */
        {"\0\0\0\0\4\x0d\1\2\3", 9},   /* a fixed value beyond the end */
        {"\0\0\0\0\1\x0b", 6},         /* a group */
        {"\0\0\0\0\1\x0f", 6},         /* no type */
        {"\0\0\0\0\1\x02", 6},         /* field 0 */
        {"\0\0\0\0\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 18},
        {"\0\0\0\0\x0b\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 16},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct rpc_scan r;
        rpc_scan_init(&r);
        enum rpc_state s = rpc_scan_feed(&r, bad[i].bytes, bad[i].n);
        if (s != (i == 6 ? RPC_MORE : RPC_OTHER))
            fail_msg("%zu: %d", i, (int)s);
        assert_int_equal(r.model_n, 0);
    }
}

static void an_empty_message_is_whole(void **state)
{
    begin();
    says(RPC_WHOLE, "", 0);
}

static void rewrites(const char *project, const char *want_model)
{
    struct rpc_scan r, again;
    struct sbuf out;
    scan(&r, body_n);
    sbuf_init(&out, 8192);
    sbuf_adds(&out, "before");
    rpc_scan_rewrite(&r, body, slice_of(project), &out);
    assert_false(out.failed);
    rpc_scan_init(&again);
    assert_int_equal(rpc_scan_feed(&again, out.p + 6, out.n - 6), RPC_WHOLE);
    assert_int_equal(rpc_scan_size(&again), out.n - 6);
    assert_int_equal(again.count, r.count);
    for (size_t i = 0; i < again.count; i++)
        assert_true(
            slice_eq(slice_make(out.p + 6 + again.names[i].at + 9, again.names[i].project_n),
                     slice_of(project)));
    assert_true(slice_eq(slice_make(again.model, again.model_n), slice_of(want_model)));
    sbuf_finish(&out);
}

static void a_project_gives_way_to_another(void **state)
{
    char longer[200];
    memset(longer, 'q', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    begin();
    text(2, "words");
    text(5, PRE "gemini-2.5-pro");
    text(9, "projects/p/locations/us-central1/cachedContents/7");
    text(3, "more words");
    end();
    rewrites("p", "gemini-2.5-pro");
    rewrites("another-project-of-an-account", "gemini-2.5-pro");
    rewrites(longer, "gemini-2.5-pro"); /* the length takes a byte more */
}

static void without_a_name_it_stays_as_it_is(void **state)
{
    struct rpc_scan r;
    struct sbuf out;
    begin();
    text(2, "words");
    end();
    scan(&r, body_n);
    sbuf_init(&out, 100);
    rpc_scan_rewrite(&r, body, SLICE("project"), &out);
    assert_true(slice_eq(sbuf_slice(&out), slice_make(body, body_n)));
    sbuf_finish(&out);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_found_wherever_it_stands),
        cmocka_unit_test(names_without_a_project_have_a_model),
        cmocka_unit_test(two_models_are_none),
        cmocka_unit_test(a_name_where_no_method_has_its_model_is_no_claim),
        cmocka_unit_test(what_is_no_name_is_left_alone),
        cmocka_unit_test(broken_messages_tell_nothing),
        cmocka_unit_test(an_empty_message_is_whole),
        cmocka_unit_test(a_project_gives_way_to_another),
        cmocka_unit_test(without_a_name_it_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
