/* The model's name out of a body that is still arriving. */
#include "base/check.h"
#include "route/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* WANT NULL: there is none; "": not yet. Whole, byte by byte, and at each cut. */
static void reads_n(struct slice body, const char *want)
{
    for (size_t cut = 0; cut <= body.n; cut++) {
        struct model_scan m;
        model_scan_init(&m);
        if (cut == body.n) {
            for (size_t i = 0; i < body.n; i++)
                model_scan_feed(&m, body.p + i, 1);
        } else {
            model_scan_feed(&m, body.p, cut);
            model_scan_feed(&m, body.p + cut, body.n - cut);
        }
        enum model_scan_state s = model_scan_feed(&m, "", 0);
        enum model_scan_state expected = !want ? MODEL_NONE : *want ? MODEL_FOUND : MODEL_MORE;
        if (s != expected ||
            (s == MODEL_FOUND && !slice_eq((struct slice){m.name, m.name_n}, slice_of(want))))
            fail_msg("%.*s (cut at %zu): %d %.*s", SLICE_FMT(body), cut, (int)s, (int)m.name_n,
                     m.name);
        /* what follows changes nothing any more */
        if (s != MODEL_MORE)
            assert_int_equal(model_scan_feed(&m, "{\"model\":\"late\"}", 16), s);
    }
}

static void reads(const char *body, const char *want)
{
    reads_n(slice_of(body), want);
}

static void the_top_level_member_is_found(void **state)
{
    reads("{\"model\":\"claude-opus-4\"}", "claude-opus-4");
    reads(" \r\n\t{ \"model\" \n:\t\"m@1/x:y\" , \"a\":1}", "m@1/x:y");
    reads("{\"a\":1,\"b\":[1,{\"c\":\"}\"}],\"d\":null,\"model\":\"m\"", "m");
    reads("{\"a\":{\"model\":\"no\"},\"model\":\"yes\"}", "yes");
    reads("{\"a\":[\"model\",\"no\"],\"model\":\"yes\"}", "yes");
    reads("{\"a\":\"model\",\"b\":\"no\",\"model\":\"yes\"}", "yes");
    reads("{\"models\":\"a\",\"mode\":\"b\",\"Model\":\"c\",\"\":\"d\",\"model\":\"m\"}", "m");
    reads("{\"a\":\"\\\"model\\\":\\\"no\\\"\",\"model\":\"m\"}", "m");
    reads("{\"a\":\"\\\\\",\"model\":\"m\"}", "m");
    reads("{\"model\":\"first\",\"model\":\"second\"}", "first");
}

/* For clients that may use some models only: the body is read to its end, whichever name the
 * provider takes. */
static void whole_reading_takes_no_second_name(void **state)
{
    static const struct {
        const char *body, *want; /* NULL: refused */
    } v[] = {{"{\"model\":\"m\",\"a\":[1,{\"model\":\"inner\"}]}", "m"},
             {"{\"a\":1,\"model\":\"m\"} \n", "m"},
             {"{\"model\":\"m\",\"model\":\"n\"}", NULL},
             {"{\"model\":\"m\",\"mod\\u0065l\":\"n\"}", NULL},
             {"{\"mod\\u0065l\":\"n\",\"model\":\"m\"}", NULL},
             {"{\"model\":\"m\"", NULL},
             {"{\"model\":\"m\"}{\"model\":\"n\"}", NULL},
             {"{\"model\":\"m\",'model':\"n\"}", NULL},
             {"{\"model\":\"m\",model:\"n\"}", NULL},
             {"{\"model\":\"m\",\"a\":'x'}", NULL},
             {"{\"model\":\"m\"/*,*/}", NULL},
             {"{\"model\":\"m\",\"a\":[-1.5e+3,true,{\"b\":null}],\"c\":false}", "m"},
             {"{\"a\":1}", NULL},
             {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        for (size_t cut = 0; cut <= strlen(v[i].body); cut++) {
            struct model_scan m;
            model_scan_init(&m);
            m.whole = true;
            model_scan_feed(&m, v[i].body, cut);
            model_scan_feed(&m, v[i].body + cut, strlen(v[i].body) - cut);
            enum model_scan_state s = model_scan_end(&m);
            if (s != (v[i].want ? MODEL_FOUND : MODEL_NONE) ||
                (v[i].want && !slice_eq((struct slice){m.name, m.name_n}, slice_of(v[i].want))))
                fail_msg("%s (cut at %zu): %d", v[i].body, cut, (int)s);
        }
}

static void what_is_no_name_is_none(void **state)
{
    reads("{}", NULL);
    reads("{\"a\":{\"model\":\"m\"}}", NULL);
    reads("[{\"model\":\"m\"}]", NULL);
    reads("\"model\"", NULL);
    reads("hello", NULL);
    reads("\xef\xbb\xbf{\"model\":\"m\"}", NULL);
    reads("{\"model\":5}", NULL);
    reads("{\"model\":null}", NULL);
    reads("{\"model\":\"\"}", NULL);
    reads("{\"model\":[\"m\"]}", NULL);
    reads("{\"model\":{\"model\":\"m\"}}", NULL);
    reads("{\"mod\\u0065l\":\"m\"}", NULL);
    reads("{\"model\":\"a\\u0041\"}", NULL);
    reads("{\"model\":\"a b\"}", NULL);
    reads("{\"model\":\"a\r\nb\"}", NULL);
    reads("{\"model\":\"a\x7f\"}", NULL);
    reads("{\"model\":\"\xc3\xa4\"}", NULL);
    reads_n(SLICE("{\"model\":\"a\0b\"}"), NULL);
}

static void more_is_asked_for_until_it_is_clear(void **state)
{
    reads("", "");
    reads("  ", "");
    reads("{", "");
    reads("{\"mod", "");
    reads("{\"model\"", "");
    reads("{\"model\":", "");
    reads("{\"model\":\"cla", "");
    reads("{\"messages\":[{\"content\":\"very lo", "");
}

static void lengths_have_bounds(void **state)
{
    char body[400];
    for (int n = MODEL_MAX - 1; n <= MODEL_MAX + 1; n++) {
        snprintf(body, sizeof body, "{\"model\":\"%0*d\"}", n, 7);
        struct model_scan m;
        model_scan_init(&m);
        assert_int_equal(model_scan_feed(&m, body, strlen(body)),
                         n > MODEL_MAX ? MODEL_NONE : MODEL_FOUND);
        if (n <= MODEL_MAX)
            assert_int_equal(m.name_n, n);
    }
    struct model_scan m; /* deeper than anyone means */
    model_scan_init(&m);
    model_scan_feed(&m, "{\"a\":", 5);
    for (int i = 0; i < 100000; i++)
        model_scan_feed(&m, "[", 1);
    assert_int_equal(m.state, MODEL_NONE);
    model_scan_init(&m); /* long, but fine */
    model_scan_feed(&m, "{\"a\":\"", 6);
    static char run[100000];
    memset(run, 'x', sizeof run);
    for (int i = 0; i < 50; i++)
        assert_int_equal(model_scan_feed(&m, run, sizeof run), MODEL_MORE);
    assert_int_equal(model_scan_feed(&m, "\",\"model\":\"m\"", 13), MODEL_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_top_level_member_is_found),
        cmocka_unit_test(whole_reading_takes_no_second_name),
        cmocka_unit_test(what_is_no_name_is_none),
        cmocka_unit_test(more_is_asked_for_until_it_is_clear),
        cmocka_unit_test(lengths_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
