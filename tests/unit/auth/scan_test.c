/* The placeholder is found in every spelling, and ordinary text is let through. */
#include "auth/scan.h"
#include "base/check.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ALICE "gemini-alice-0123456789abcdef"

static bool leaks(const char *text, size_t n, const char *placeholder)
{
    /* An exact allocation shows a read past the end. */
    char *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, text, n);
    bool r = auth_leaks(slice_make(exact, n), slice_of(placeholder));
    free(exact);
    return r;
}

static void found(const char *text)
{
    if (!leaks(text, strlen(text), ALICE))
        fail_msg("not found in: %s", text);
}

static void clean(const char *text)
{
    if (leaks(text, strlen(text), ALICE))
        fail_msg("found in: %s", text);
}

static void raw_and_percent_encoded(void **state)
{
    found(ALICE);
    found("x" ALICE);
    found(ALICE "x");
    found("a=1; session=" ALICE "; b=2");
    found("gemini%2dalice-0123456789abcdef");
    found(
        "%67%65%6D%69%6e%69%2D%61%6c%69%63%65%2d%30%31%32%33%34%35%36%37%38%39%61%62%63%64%65%66");
    found("100%!%zz%gemini%252Dalice%252d0123456789abcdef%");
    found("%2567emini-alice%2D0123456789abcde%2566");
    found("%25%36%37emini-alice-0123456789abcdef"); /* %25 %36 %37 -> %67 -> g */
    found("%%367emini-alice-0123456789abcdef");     /* %367 -> 6 7 behind a lone percent sign */
    clean("");
    clean("%");
    clean("%2");
    clean("gemini-alice-0123456789abcde");
    clean("Gemini-Alice-0123456789ABCDEF");
    found("gemini-alice-0123456789abcde%66%");
    clean("gemini-alice-0123456789abcde%67");
}

static void base64_in_each_alignment_and_alphabet(void **state)
{
    static const char *const placeholders[] = {ALICE, "~~~?&?>~>~~~?&?>~>", "gemini-nobody",
                                               "claude-0?>~1?>~2?>~3?>~4?>~5?>~"};
    for (size_t p = 0; p < ARRAY_LEN(placeholders); p++) {
        for (size_t lead = 0; lead < 7; lead++) {
            for (size_t tail = 0; tail < 4; tail++) {
                char plain[200], text[400], url[400];
                int n = snprintf(plain, sizeof plain, "%.*s%s%.*s", (int)lead, "user:ab",
                                 placeholders[p], (int)tail, ":xyz");
                int m = EVP_EncodeBlock((unsigned char *)text, (unsigned char *)plain, n);
                assert_true(leaks(text, (size_t)m, placeholders[p]));
                size_t bare = (size_t)m;
                while (text[bare - 1] == '=')
                    bare--;
                assert_true(leaks(text, bare, placeholders[p]));
                size_t k = 0;
                for (size_t i = 0; i < bare; i++) {
                    text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
                    k +=
                        (size_t)snprintf(url + k, sizeof url - k, i % 3 ? "%c" : "%%%02x", text[i]);
                }
                assert_true(leaks(text, bare, placeholders[p]));
                assert_true(k > 399 || leaks(url, k, placeholders[p]));
            }
        }
    }
}

static void hex_in_either_case(void **state)
{
    static const char *const formats[] = {"%02x", "%02X"};
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        char text[200] = "x-";
        size_t n = 2;
        for (const char *p = ALICE; *p; p++)
            n += (size_t)snprintf(text + n, sizeof text - n, formats[f], (unsigned)*p);
        assert_true(leaks(text, n, ALICE));
        assert_true(leaks(text + 2, n - 2, ALICE));
        assert_false(leaks(text + 3, n - 3, ALICE));
        assert_false(leaks(text, n - 1, ALICE));
    }
}

static void long_texts_are_searched_to_the_end(void **state)
{
    static char text[40000];
    for (size_t at = 3800; at < 9000; at += 7) {
        memset(text, 'a', sizeof text);
        text[0] = '%';
        memcpy(text + at, "gemini%2Dalice-0123456789abcdef", 31);
        assert_true(auth_leaks(slice_make(text, 9100), SLICE(ALICE)));
        text[at + 30] = 'x';
        assert_false(auth_leaks(slice_make(text, 9100), SLICE(ALICE)));
    }
    memcpy(text + sizeof text - sizeof ALICE + 1, ALICE, sizeof ALICE - 1);
    assert_true(auth_leaks(slice_make(text, sizeof text), SLICE(ALICE)));
}

static void lengths_at_the_edge(void **state)
{
    static char p[PLACEHOLDER_MAX + 2];
    memset(p, '~', sizeof p - 1);
    assert_true(auth_leaks(slice_make(p, PLACEHOLDER_MAX), slice_make(p, PLACEHOLDER_MAX)));
    assert_false(auth_leaks(slice_make(p, PLACEHOLDER_MAX - 1), slice_make(p, PLACEHOLDER_MAX)));
    assert_true(auth_leaks(SLICE("clean"), slice_make(p, PLACEHOLDER_MAX + 1)));
    assert_true(auth_leaks(SLICE("clean"), SLICE("")));
    assert_false(auth_leaks(SLICE("clean"), SLICE("ab")));
    assert_true(auth_leaks(SLICE("cab"), SLICE("ab")));
}

static void every_part_of_a_head_is_looked_at(void **state)
{
    struct field f[] = {{SLICE("accept"), SLICE("*/*"), FIELD_OTHER},
                        {SLICE("referer"), SLICE("https://a.test/?x=1%20"), FIELD_OTHER}};
    struct head h = {
        .method = SLICE("POST"), .path = SLICE("/v1/x?alt=sse"), .fields = f, .count = 2};
    struct auth_scan s;
    auth_scan_init(&s, SLICE(ALICE));
    assert_false(auth_scan_head(&s, &h));
    struct slice *const parts[] = {&h.method, &h.authority, &h.path, &f[0].name, &f[1].value};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        struct slice was = *parts[i];
        *parts[i] = SLICE("/a/" ALICE "/b");
        assert_true(auth_scan_head(&s, &h));
        *parts[i] = was;
    }
    assert_false(auth_scan_head(&s, &h));
    auth_scan_finish(&s);
    for (size_t i = 0; i + 8 < sizeof s.text; i++)
        assert_memory_not_equal(s.text + i, "0123456789abcdef", 8);
}

/* Against the plain way: decode, then memmem. */
static void random_texts_agree_with_the_plain_search(void **state)
{
    srand(7);
    for (int round = 0; round < 20000; round++) {
        static const char letters[] = "ab%26 1";
        char text[64];
        size_t n = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] = letters[(size_t)rand() % (sizeof letters - 1)];
        char once[64], twice[64];
        struct slice level[3] = {{text, n}, {once, 0}, {twice, 0}};
        for (int l = 0; l < 2; l++)
            for (size_t i = 0; i < level[l].n;) {
                struct slice s = level[l];
                char *out = l ? twice : once;
                int v = -1;
                char hex[3] = {0};
                if (s.p[i] == '%' && s.n - i > 2 && s.p[i + 1] != ' ' && s.p[i + 2] != ' ') {
                    char *end;
                    memcpy(hex, s.p + i + 1, 2);
                    v = (int)strtol(hex, &end, 16);
                    v = *end ? -1 : v;
                }
                out[level[l + 1].n++] = v >= 0 ? (char)v : s.p[i];
                i += v >= 0 ? 3 : 1;
            }
        bool want = false;
        for (int l = 0; l < 3; l++)
            want = want || slice_search(level[l], SLICE("abba")) < level[l].n;
        assert_int_equal(leaks(text, n, "abba"), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_and_percent_encoded),
        cmocka_unit_test(base64_in_each_alignment_and_alphabet),
        cmocka_unit_test(hex_in_either_case),
        cmocka_unit_test(long_texts_are_searched_to_the_end),
        cmocka_unit_test(lengths_at_the_edge),
        cmocka_unit_test(every_part_of_a_head_is_looked_at),
        cmocka_unit_test(random_texts_agree_with_the_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
