/* Names out of JSON that passes by, however it is cut. */
#include "base/check.h"
#include "base/sbuf.h"
#include "exchange/pin_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HOST SLICE("generativelanguage.googleapis.com")
#define FILE_URL "https://generativelanguage.googleapis.com/v1beta/files/"

struct seen {
    struct slice body;
    struct sbuf out;
};

/* "name" or "name@project". */
static void on_name(void *arg, const struct pin_name *n)
{
    struct seen *s = arg;
    if (s->out.n)
        sbuf_addc(&s->out, ' ');
    sbuf_add_slice(&s->out, n->name);
    if (n->project_n) {
        sbuf_addc(&s->out, '@');
        sbuf_add_slice(&s->out, slice_sub(s->body, n->project_at, n->project_at + n->project_n));
    }
}

static void reads(enum pin_scan_kind kind, const char *text, const char *want)
{
    struct slice body = slice_of(text);
    for (size_t cut = 0; cut <= body.n; cut++) {
        struct seen seen = {.body = body};
        struct pin_scan s;
        sbuf_init(&seen.out, 4096);
        pin_scan_init(&s, kind, HOST, on_name, &seen);
        if (cut == body.n) {
            for (size_t i = 0; i < body.n; i++)
                (void)pin_scan_feed(&s, body.p + i, 1);
        } else {
            (void)pin_scan_feed(&s, body.p, cut);
            (void)pin_scan_feed(&s, body.p + cut, body.n - cut);
        }
        if (strcmp(sbuf_z(&seen.out), want) != 0)
            fail_msg("%s (cut at %zu): '%s', not '%s'", text, cut, sbuf_z(&seen.out), want);
        sbuf_finish(&seen.out);
    }
}

static void answers_say_what_was_made(void **state)
{
    const enum pin_scan_kind k = PIN_SCAN_MADE;
    reads(k, "{\"name\":\"cachedContents/1\",\"model\":\"models/m\"}", "cachedContents/1");
    reads(k, "{\"file\":{\"name\":\"files/a\",\"uri\":\"" FILE_URL "a\"}}", "files/a");
    reads(k, " {\n \"file\" : { \"displayName\" : \"files\\/b\", \"name\" : \"files\\/a\" } }",
          "files/a");
    reads(k, "{\"na\\u006de\":\"files/a\"}", "files/a");
    reads(k, "{\"metadata\":{\"name\":\"files/no\"},\"name\":\"batches/b\"}", "batches/b");
    reads(k, "{\"response\":{\"file\":{\"name\":\"files/no\"}}}", "");
    reads(k, "{\"file\":[{\"name\":\"files/no\"}]}", "");
    reads(k, "{\"file\":{\"video\":{\"name\":\"files/no\"}}}", "");
    reads(k, "{\"file\":{},\"x\":{\"name\":\"files/no\"}}", "");
    reads(k, "[{\"name\":\"files/no\"}]", "");
    reads(k, "{\"x\":\"name\",\"y\":\"files/no\"}", "");
    reads(k, "{\"name\":\"projects/p/locations/l/operations/7\"}", "operations/7@p");
    reads(k, "not json \"name\":\"files/no\"", "");
    reads(k, "{\"name\":5,\"x\":\"files/no\"}", "");
    reads(k, "{\"name\"}\"files/no\"", "");
}

static void results_show_files(void **state)
{
    const enum pin_scan_kind k = PIN_SCAN_SHOWN;
    reads(k, "{\"response\":{\"a\":[{\"video\":{\"uri\":\"" FILE_URL "a:download?alt=media\"}}]}}",
          "files/a");
    reads(k, "{\"response\":{\"responsesFile\":\"files/batch-1\"}}", "files/batch-1");
    reads(k, "{\"name\":\"operations/1\",\"x\":{\"name\":\"files/no\"}}", "");
}

static void bodies_use_what_was_made(void **state)
{
    const enum pin_scan_kind k = PIN_SCAN_USED;
    reads(k,
          "{\"contents\":[{\"parts\":[{\"fileData\":{\"fileUri\":\"" FILE_URL
          "a\"}},{\"file_data\":{\"file_uri\":\"" FILE_URL "b\"}}]}]}",
          "files/a files/b");
    reads(k, "{\"cachedContent\":\"cachedContents/1\"}", "cachedContents/1");
    reads(k, "{\"cached_content\":\"projects/p-1/locations/l/cachedContents/1\"}",
          "cachedContents/1@p-1");
    reads(k, "{\"operationName\":\"projects\\/p\\u002d1\\/locations\\/l\\/operations\\/1\"}",
          "operations/1@p\\u002d1");
    reads(k, "{\"cachedContent\":\"\\u0070rojects/p/locations/l/cachedContents/1\"}",
          "cachedContents/1@p");
    reads(k, "{\"contents\":[{\"text\":\"\\\"fileUri\\\":\\\"" FILE_URL "no\\\"\"}]}", "");
    reads(k, "{\"data\":\"fileUri\",\"fileUri\":\"https://example.com/v1beta/files/no\"}", "");
    reads(k, "{\"fileUri\":[\"" FILE_URL "no\"]}", "");
    reads(k, "{\"fileUri\":null,\"text\":\"" FILE_URL "no\"}", "");
    reads(k, "{\"a\":{\"fileUri\":1},\"b\":[{\"fileUri\":\"" FILE_URL "a\"}]}", "files/a");
    reads(k, "{\"fileUri\":\"" FILE_URL "a\\x\"}", "");     /* no escape: no JSON */
    reads(k, "{\"fileUri\":\"" FILE_URL "a\\u00e4\"}", ""); /* no id */
    reads(k, "{\"thisKeyIsLongerThanAnyOfOurs\":1,\"fileUri\":\"" FILE_URL "a\"}", "files/a");
    reads(k, "{\"a\":[1,2}", "");
    reads(k, "\xef\xbb\xbf{\"fileUri\":\"files/a\"}", "files/a");
    reads(k, "\x05{\"fileUri\":\"files/no\"}", "");
    reads(k, "{}{\"fileUri\":\"" FILE_URL "no\"}", "");
}

static void what_is_too_deep_or_too_long_is_not_looked_at(void **state)
{
    struct sbuf deep;
    sbuf_init(&deep, 65536);
    for (int i = 0; i < PIN_DEPTH_MAX - 1; i++)
        sbuf_adds(&deep, i % 2 ? "[" : "{\"a\":");
    size_t at = deep.n;
    sbuf_adds(&deep, "[{\"fileUri\":\"" FILE_URL "no\"}");
    reads(PIN_SCAN_USED, sbuf_z(&deep), "");
    deep.n = at;
    sbuf_adds(&deep, "{\"fileUri\":\"" FILE_URL "a\"}");
    reads(PIN_SCAN_USED, sbuf_z(&deep), "files/a");
    sbuf_clear(&deep);
    sbuf_adds(&deep, "{\"fileUri\":\"" FILE_URL);
    for (int i = 0; i < PIN_TEXT_MAX; i++)
        sbuf_addc(&deep, 'a');
    sbuf_adds(&deep, "\",\"uri\":\"files/b\"}");
    reads(PIN_SCAN_USED, sbuf_z(&deep), "files/b");
    sbuf_finish(&deep);
}

static void nothing(void *arg, const struct pin_name *n)
{
    (void)arg;
    (void)n;
}

static void a_long_value_that_may_be_a_name_is_told(void **state)
{
    static const struct {
        const char *begin;
        size_t more;
        bool is_unreadable;
    } table[] = {
        {"{\"fileUri\":\"" FILE_URL, PIN_TEXT_MAX, true},
        {"{\"fileUri\":\"" FILE_URL, 9, false},
        {"{\"cachedContent\":\"projects\\/", PIN_TEXT_MAX, true},
        {"{\"fileUri\":\"https://example.com/", PIN_TEXT_MAX, false},
        {"{\"uri\":\"data:image/png;base64,", PIN_TEXT_MAX, false},
        {"{\"text\":\"files/", PIN_TEXT_MAX, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct pin_scan s;
        pin_scan_init(&s, PIN_SCAN_USED, HOST, nothing, NULL);
        (void)pin_scan_feed(&s, table[i].begin, strlen(table[i].begin));
        for (size_t n = 0; n < table[i].more; n++)
            (void)pin_scan_feed(&s, "a", 1);
        (void)pin_scan_feed(&s, "\"}", 2);
        if (s.is_unreadable != table[i].is_unreadable)
            fail_msg("%s", table[i].begin);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_say_what_was_made),
        cmocka_unit_test(results_show_files),
        cmocka_unit_test(bodies_use_what_was_made),
        cmocka_unit_test(what_is_too_deep_or_too_long_is_not_looked_at),
        cmocka_unit_test(a_long_value_that_may_be_a_name_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
