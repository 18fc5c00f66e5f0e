/* Heads as values, and the one writer. */
#include "base/check.h"
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct field fields[HEAD_MAX_FIELDS];

static struct head make(const char *const *lines)
{
    struct head h = {.method = SLICE("GET"),
                     .target = SLICE("/p?q"),
                     .scheme = SLICE("https"),
                     .authority = SLICE("h"),
                     .path = SLICE("/p?q"),
                     .status = 200,
                     .reason = SLICE("Fine"),
                     .minor = 1,
                     .keep_alive = true,
                     .fields = fields};
    for (; *lines; lines += 2)
        head_add(&h, field_id(slice_of(lines[0])), slice_of(lines[0]), slice_of(lines[1]));
    return h;
}

static void names_are_known_in_any_case(void **state)
{
    for (int id = FIELD_OTHER + 1; id < FIELD_X_FORWARDED; id++) {
        char upper[64];
        const char *name = field_name((enum field_id)id);
        size_t n = strlen(name);
        for (size_t i = 0; i <= n; i++)
            upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
        assert_int_equal(field_id(slice_of(name)), id);
        assert_int_equal(field_id(slice_of(upper)), id);
        assert_int_equal(field_id((struct slice){name, n - 1}), FIELD_OTHER);
        upper[n] = 'x';
        assert_int_equal(field_id((struct slice){upper, n + 1}), FIELD_OTHER);
    }
    assert_int_equal(field_id(SLICE("X-Forwarded-For")), FIELD_X_FORWARDED);
    assert_int_equal(field_id(SLICE("x-forwarded-anything")), FIELD_X_FORWARDED);
    assert_int_equal(field_id(SLICE("x-forwarded")), FIELD_OTHER);
    assert_int_equal(field_id(SLICE("")), FIELD_OTHER);
}

static void fields_are_found_and_removed(void **state)
{
    static const char *const lines[] = {"A", "1", "Host", "h", "authorization", "x", "a",
                                        "2", "X", "last", NULL};
    struct head h = make(lines);
    assert_string_equal(head_get(&h, FIELD_HOST)->value.p, "h");
    assert_null(head_get(&h, FIELD_VIA));
    assert_string_equal(head_get_name(&h, SLICE("a"))->value.p, "1");
    assert_null(head_get_name(&h, SLICE("b")));
    head_remove(&h, FIELD_AUTHORIZATION);
    assert_int_equal(h.count, 4);
    assert_string_equal(h.fields[2].value.p, "2");
    head_remove(&h, FIELD_OTHER);
    assert_int_equal(h.count, 1);
    head_remove(&h, FIELD_HOST);
    assert_int_equal(h.count, 0);
}

static void printed(struct head *h, const char *want)
{
    struct sbuf b;
    sbuf_init(&b, 65536);
    for (uint32_t i = 0; i < h->count; i++)
        sbuf_addf(&b, "%.*s=%.*s;", SLICE_FMT(h->fields[i].name), SLICE_FMT(h->fields[i].value));
    assert_string_equal(sbuf_z(&b), want);
    sbuf_finish(&b);
}

static void hop_by_hop_fields_stay_on_their_hop(void **state)
{
    static const char *const fixed[] = {"Connection",
                                        "close",
                                        "keep-alive",
                                        "5",
                                        "Proxy-Connection",
                                        "x",
                                        "TE",
                                        "trailers",
                                        "Trailer",
                                        "x",
                                        "Upgrade",
                                        "h2c",
                                        "HTTP2-Settings",
                                        "x",
                                        "proxy-authorization",
                                        "x",
                                        "proxy-authenticate",
                                        "x",
                                        "transfer-encoding",
                                        "chunked",
                                        "content-length",
                                        "5",
                                        "expect",
                                        "100-continue",
                                        "accept",
                                        "a",
                                        NULL};
    struct head h = make(fixed);
    head_drop_hop_by_hop(&h);
    printed(&h, "accept=a;");
    static const char *const named[] = {
        "connection", "X-A , x-b,,\t x-c", "x-a", "1", "X-B", "2", "x-c", "3", "x-d", "4", "a",
        "5",          "Connection",        "X-D", NULL};
    h = make(named);
    head_drop_hop_by_hop(&h);
    printed(&h, "a=5;");
}

static void framing_host_and_credentials_cannot_be_named_away(void **state)
{
    static const char *const lines[] = {
        "connection",
        "host, authorization, x-api-key, x-goog-api-key, content-type, content-length, other",
        "Host",
        "h",
        "Authorization",
        "a",
        "X-Api-Key",
        "b",
        "x-goog-api-key",
        "c",
        "Content-Type",
        "d",
        "other",
        "e",
        NULL};
    struct head h = make(lines);
    head_drop_hop_by_hop(&h);
    printed(&h, "Host=h;Authorization=a;X-Api-Key=b;x-goog-api-key=c;Content-Type=d;");
}

/* However many names Connection has: each of them is dropped. */
static void many_names_in_connection_are_all_dropped(void **state)
{
    static char names[2048], each[100][8];
    struct head h = {.fields = fields};
    size_t n = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(each[i], sizeof each[i], "x-%d", i);
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? "," : "", each[i]);
        head_add(&h, FIELD_OTHER, slice_of(each[i]), SLICE("v"));
    }
    head_add(&h, FIELD_CONNECTION, SLICE("connection"), slice_of(names));
    head_add(&h, FIELD_OTHER, SLICE("stays"), SLICE("v"));
    head_drop_hop_by_hop(&h);
    printed(&h, "stays=v;");
}

static void a_path_has_a_query_or_not(void **state)
{
    static const struct {
        const char *path, *only, *query;
    } cases[] = {{"/a?b=c?d", "/a", "b=c?d"},
                 {"/a?", "/a", ""},
                 {"/a", "/a", NULL},
                 {"", "", NULL},
                 {"?", "", ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct head h = {.path = slice_of(cases[i].path)};
        assert_true(slice_eq(head_path_only(&h), slice_of(cases[i].only)));
        struct slice q = head_query(&h);
        assert_int_equal(q.p != NULL, cases[i].query != NULL);
        assert_true(slice_eq(q, slice_of(cases[i].query)));
    }
}

static void a_copy_borrows_nothing(void **state)
{
    struct arena a;
    char bytes[] = "GET/p?qhttpshFineNameValue";
    struct field one[1] = {{{bytes + 17, 4}, {bytes + 21, 5}, FIELD_OTHER}};
    struct head h = {.method = {bytes, 3},
                     .target = {bytes + 3, 4},
                     .path = {bytes + 3, 4},
                     .scheme = {bytes + 7, 5},
                     .authority = {bytes + 12, 1},
                     .reason = {bytes + 13, 4},
                     .content_length = 7,
                     .body = BODY_LENGTH,
                     .fields = one,
                     .count = 1};
    struct head c;
    arena_init(&a, 65536);
    assert_int_equal(head_copy(&a, &h, 2, &c), ERR_OK);
    memset(bytes, '!', sizeof bytes);
    memset(one, 0xff, sizeof one);
    head_add(&c, FIELD_OTHER, SLICE("a"), SLICE("b"));
    head_add(&c, FIELD_OTHER, SLICE("c"), SLICE(""));
    assert_true(slice_eq(c.method, SLICE("GET")));
    assert_true(slice_eq(c.target, SLICE("/p?q")));
    assert_true(slice_eq(c.path, SLICE("/p?q")));
    assert_true(slice_eq(c.scheme, SLICE("https")));
    assert_true(slice_eq(c.authority, SLICE("h")));
    assert_true(slice_eq(c.reason, SLICE("Fine")));
    assert_int_equal(c.content_length, 7);
    printed(&c, "Name=Value;a=b;c=;");
    arena_finish(&a, true);

    struct head empty = {0};
    arena_init(&a, 65536);
    assert_int_equal(head_copy(&a, &empty, 0, &c), ERR_OK);
    assert_int_equal(c.count, 0);
    arena_finish(&a, false);
    arena_init(&a, 16);
    struct head big = make((const char *const[]){"a", "b", NULL});
    assert_int_equal(head_copy(&a, &big, 0, &c), ERR_NOMEM);
    arena_finish(&a, false);
    arena_thread_finish();
}

/* ---- the writer ---- */

static void written(const struct head *h, bool answer, const char *host, bool close,
                    const char *want)
{
    struct sbuf b;
    sbuf_init(&b, 65536);
    enum err e =
        answer ? head_write_answer(h, close, &b) : head_write_request(h, slice_of(host), close, &b);
    assert_int_equal(e, want ? ERR_OK : ERR_INVALID);
    if (want)
        assert_string_equal(sbuf_z(&b), want);
    sbuf_finish(&b);
}

static void heads_are_written_in_one_form(void **state)
{
    static const char *const lines[] = {"Accept", "*/*", "x", "", NULL};
    struct head h = make(lines);
    written(&h, false, "a:1", false,
            "GET /p?q HTTP/1.1\r\nhost: a:1\r\nAccept: */*\r\nx: \r\n\r\n");
    written(&h, false, "", true,
            "GET /p?q HTTP/1.1\r\nAccept: */*\r\nx: \r\nconnection: close\r\n\r\n");
    written(&h, true, "", false, "HTTP/1.1 200 Fine\r\nAccept: */*\r\nx: \r\n\r\n");
    h.count = 0;
    h.body = BODY_LENGTH;
    h.content_length = 0;
    written(&h, false, "a", false, "GET /p?q HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    written(&h, true, "", false, "HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n");
    h.body = BODY_CHUNKED;
    written(&h, false, "a", false,
            "GET /p?q HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    written(&h, true, "", true,
            "HTTP/1.1 200 Fine\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    h.body = BODY_UNTIL_CLOSE;
    written(&h, true, "", true, "HTTP/1.1 200 Fine\r\nconnection: close\r\n\r\n");
    h.reason = SLICE("");
    written(&h, true, "", true, "HTTP/1.1 200 \r\nconnection: close\r\n\r\n");
}

/* Every byte at every place: what gets through is one line, and no control byte. */
static void no_byte_of_a_value_makes_a_line(void **state)
{
    for (int place = 0; place < 6; place++)
        for (int c = 0; c < 256; c++) {
            char text[] = {'a', (char)c, 'b', '\0'};
            struct slice s = {text, 3};
            struct field f = {place == 0 ? s : SLICE("n"), place == 1 ? s : SLICE("v"), 0};
            struct head h = {.method = place == 2 ? s : SLICE("GET"),
                             .path = place == 3 ? s : SLICE("/"),
                             .status = 200,
                             .reason = place == 4 ? s : SLICE("r"),
                             .fields = &f,
                             .count = 1};
            struct sbuf b;
            sbuf_init(&b, 1000);
            bool is_answer = place == 4;
            enum err e = is_answer ? head_write_answer(&h, false, &b)
                                   : head_write_request(&h, place == 5 ? s : SLICE("h"), false, &b);
            bool ctl = c < 0x20 || c == 0x7f;
            if (ctl && c != '\t')
                assert_int_equal(e, ERR_INVALID);
            if (place == 0 || place == 2)
                assert_int_equal(e == ERR_OK, is_token(s));
            if (place == 3)
                assert_int_equal(e == ERR_OK, c > 0x20 && c < 0x7f);
            if (place == 1)
                assert_int_equal(e == ERR_OK, !ctl || c == '\t');
            if (place == 5 && (c == '\t' || c == ' ')) /* not even white space */
                assert_int_equal(e, ERR_INVALID);
            if (e == ERR_OK) {
                int lines = 0;
                for (size_t i = 0; i < b.n; i++)
                    lines += b.p[i] == '\n';
                assert_int_equal(lines, is_answer ? 3 : 4);
            }
            sbuf_finish(&b);
        }
}

static void what_is_empty_or_out_of_range_is_refused(void **state)
{
    struct field f = {SLICE(""), SLICE("v"), FIELD_OTHER};
    struct head h = {.method = SLICE("GET"), .path = SLICE("/"), .fields = &f, .count = 1};
    written(&h, false, "h", false, NULL);
    h.count = 0;
    h.path = SLICE("");
    written(&h, false, "h", false, NULL);
    h.path = SLICE("/");
    h.method = SLICE("");
    written(&h, false, "h", false, NULL);
    for (int status = -1; status < 1100; status++) {
        h.status = status;
        struct sbuf b;
        sbuf_init(&b, 1000);
        assert_int_equal(head_write_answer(&h, false, &b) == ERR_OK, status >= 100 && status < 600);
        sbuf_finish(&b);
    }
    struct sbuf small;
    sbuf_init(&small, 20);
    assert_int_not_equal(head_write_request(&(struct head){.method = SLICE("GET"),
                                                           .path = SLICE("/aaaaaaaaaaaaaaaaaaa")},
                                            SLICE("h"), false, &small),
                         ERR_OK);
    sbuf_finish(&small);
}

static void tokens_and_values_are_what_the_rfc_says(void **state)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        char b[] = {(char)c};
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        assert_int_equal(is_token((struct slice){b, 1}), alnum || (c && strchr(marks, c)));
        char v[] = {'a', (char)c, 'b'};
        assert_int_equal(field_value_ok((struct slice){v, 3}),
                         c == '\t' || (c >= 0x20 && c != 0x7f));
    }
    assert_false(is_token(SLICE("")));
    assert_true(field_value_ok(SLICE("")));
    assert_false(field_value_ok(SLICE(" a")));
    assert_false(field_value_ok(SLICE("a\t")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_in_any_case),
        cmocka_unit_test(fields_are_found_and_removed),
        cmocka_unit_test(hop_by_hop_fields_stay_on_their_hop),
        cmocka_unit_test(framing_host_and_credentials_cannot_be_named_away),
        cmocka_unit_test(many_names_in_connection_are_all_dropped),
        cmocka_unit_test(a_path_has_a_query_or_not),
        cmocka_unit_test(a_copy_borrows_nothing),
        cmocka_unit_test(heads_are_written_in_one_form),
        cmocka_unit_test(no_byte_of_a_value_makes_a_line),
        cmocka_unit_test(what_is_empty_or_out_of_range_is_refused),
        cmocka_unit_test(tokens_and_values_are_what_the_rfc_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
