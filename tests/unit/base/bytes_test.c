/* Slices, buffers, arenas, secrets, lists, errors. */
#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- slice ---- */

static void slices_compare_exactly_or_without_case(void **state)
{
    assert_true(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
    assert_false(slice_eq(SLICE("a\0b"), SLICE("a\0c")));
    assert_false(slice_eq(SLICE("a"), SLICE("A")));
    assert_true(slice_eq(SLICE(""), (struct slice){NULL, 0}));
    assert_true(slice_ieq(SLICE("aZ-9"), SLICE("Az-9")));
    assert_false(slice_ieq(SLICE("["), SLICE("{"))); /* 0x20 apart, and no letters */
    assert_false(slice_ieq(SLICE("@"), SLICE("`")));
    assert_false(slice_ieq(SLICE("\xc4"), SLICE("\xe4")));
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts(SLICE("abc"), SLICE("")));
    assert_false(slice_starts(SLICE("ab"), SLICE("abc")));
    assert_true(slice_istarts(SLICE("ABc"), SLICE("ab")));
    assert_true(slice_ends(SLICE("abc"), SLICE("bc")));
    assert_false(slice_ends(SLICE("c"), SLICE("bc")));
    assert_int_equal(slice_of(NULL).n, 0);
}

static void slices_are_searched_and_cut(void **state)
{
    assert_int_equal(slice_find(SLICE("abca"), 'a', 1), 3);
    assert_int_equal(slice_find(SLICE("abc"), 'x', 0), 3);
    assert_int_equal(slice_find(SLICE("abc"), 'a', 9), 3);
    assert_int_equal(slice_search(SLICE("hello"), SLICE("ll")), 2);
    assert_int_equal(slice_search(SLICE("hello"), SLICE("lx")), 5);
    assert_int_equal(slice_search(SLICE("a"), SLICE("ab")), 1);
    assert_int_equal(slice_search(SLICE("a"), SLICE("")), 0);
    assert_true(slice_eq(slice_sub(SLICE("hello"), 1, 3), SLICE("el")));
    assert_int_equal(slice_sub(SLICE("hello"), 4, 99).n, 1);
    assert_int_equal(slice_sub(SLICE("hello"), 99, 100).n, 0);
    assert_int_equal(slice_sub(SLICE("hello"), 3, 1).n, 0);
    assert_true(slice_eq(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
    assert_int_equal(slice_trim(SLICE(" \t ")).n, 0);
    assert_true(slice_eq(slice_trim(SLICE("\r\va\n")), SLICE("\r\va\n")));
}

/* Each byte at each place of a word, against the plain definition. */
static void a_printable_run_ends_at_the_first_byte_that_is_not(void **state)
{
    char text[40];
    for (size_t n = 0; n <= 20; n++)
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, c % 3 ? '~' : ' ', sizeof text);
                text[at] = (char)c;
                size_t want = c >= 0x20 && c <= 0x7e ? n : at;
                assert_int_equal(slice_printable(slice_make(text, n), 0), want);
                if (at > 3)
                    assert_int_equal(slice_printable(slice_make(text, n), 3), want);
                assert_int_equal(slice_printable(slice_make(text, n), at), want);
            }
    assert_int_equal(slice_printable(SLICE("abc"), 3), 3);
    assert_int_equal(slice_printable((struct slice){NULL, 0}, 0), 0);
}

/* The same for runs that leave out more. */
static void a_run_ends_at_the_first_byte_left_out(void **state)
{
    char text[40];
    for (size_t n = 0; n <= 36; n++)
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, c % 3 ? '~' : '!', sizeof text);
                text[at] = (char)c;
                struct slice s = slice_make(text, n);
                bool is_print = c >= 0x20 && c <= 0x7e;
                bool json = is_print && c != '"' && c != '\\';
                bool path = is_print && !strchr(" #%?\\", c);
                assert_int_equal(slice_json_plain(s, 0), json ? n : at);
                assert_int_equal(slice_path_plain(s, 0), path ? n : at);
                assert_int_equal(slice_path_plain(s, at), path ? n : at);
            }
    assert_int_equal(slice_json_plain((struct slice){NULL, 0}, 0), 0);
    assert_int_equal(slice_path_plain(SLICE("/a"), 2), 2);
}

/* Each pair of bytes at each place of a word: equal without case when they are the same letter, and
 * in no other case. */
static void words_are_compared_without_case(void **state)
{
    char a[20], b[20];
    for (size_t n = 1; n <= 19; n += n < 8 ? 3 : 1)
        for (size_t at = 0; at < n; at += 3)
            for (int c = 0; c < 256; c++)
                for (int d = 0; d < 256; d++) {
                    memset(a, 'k', sizeof a);
                    memset(b, 'K', sizeof b);
                    a[at] = (char)c;
                    b[at] = (char)d;
                    bool want = ascii_lower((char)c) == ascii_lower((char)d);
                    if (slice_ieq(slice_make(a, n), slice_make(b, n)) != want)
                        fail_msg("%#x and %#x at %zu of %zu", (unsigned)c, (unsigned)d, at, n);
                }
    assert_true(slice_ieq((struct slice){NULL, 0}, (struct slice){"", 0}));
    assert_false(slice_ieq(SLICE("Content-Length"), SLICE("content-lengt")));
}

/* clang's sanitizer counts an offset of zero to NULL, too. */
static void a_part_of_nothing_is_nothing(void **state)
{
    struct slice none = {NULL, 0};
    assert_null(slice_sub(none, 0, 5).p);
    assert_int_equal(slice_sub(none, 3, 5).n, 0);
}

static void tokens_come_one_by_one_also_empty_ones(void **state)
{
    static const char *const want[] = {"a", "", "b", ""};
    struct slice rest = SLICE("a,,b,"), token;
    size_t n = 0;
    while (slice_next(&rest, ',', &token)) {
        assert_true(n < ARRAY_LEN(want));
        assert_true(slice_eq(token, slice_of(want[n++])));
    }
    assert_int_equal(n, ARRAY_LEN(want));
    rest = SLICE("");
    assert_true(slice_next(&rest, ',', &token));
    assert_int_equal(token.n, 0);
    assert_false(slice_next(&rest, ',', &token));
    rest = (struct slice){NULL, 0};
    assert_false(slice_next(&rest, ',', &token));
}

static void numbers_are_digits_only(void **state)
{
    uint64_t v = 77;
    static const char *const bad[] = {"",   " 1",  "1 ", "+1",  "-1",
                                      "1a", "0x1", "1.", "\t1", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(slice_to_u64(slice_of(bad[i]), &v));
    assert_int_equal(v, 77);
    assert_true(slice_to_u64(SLICE("9999999999999999999"), &v));
    assert_true(v == 9999999999999999999u);
    assert_true(slice_to_u64(SLICE("007"), &v));
    assert_int_equal(v, 7);
}

static void a_copy_fits_or_leaves_the_buffer_alone(void **state)
{
    char buf[4] = "xyz";
    assert_false(slice_copy(SLICE("abcd"), buf, sizeof buf));
    assert_false(slice_copy(SLICE("a\0b"), buf, sizeof buf));
    assert_string_equal(buf, "xyz");
    assert_true(slice_copy(SLICE("abc"), buf, sizeof buf));
    assert_string_equal(buf, "abc");
    assert_true(slice_copy((struct slice){NULL, 0}, buf, sizeof buf));
    assert_string_equal(buf, "");
}

static void a_star_stands_for_any_run(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {{"", "", true},       {"", "a", false},           {"*", "", true},
                 {"*", "abc", true},   {"a*c", "abc", true},       {"a*c", "ac", true},
                 {"a*c", "ab", false}, {"a*b*c", "axbxbxc", true}, {"*ab", "aab", true},
                 {"**", "x", true},    {"a?c", "abc", false},      {"[a]", "a", false},
                 {"a", "A", false},    {"*a*", "bbb", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(slice_glob(slice_of(cases[i].pattern), slice_of(cases[i].text)),
                         cases[i].match);
    char many[201], text[2001]; /* ends soon all the same */
    memset(many, '*', 200);
    for (int i = 0; i < 200; i += 2)
        many[i] = 'a';
    memset(text, 'a', 2000);
    assert_true(slice_glob((struct slice){many, 200}, (struct slice){text, 2000}));
    many[198] = 'b';
    assert_false(slice_glob((struct slice){many, 199}, (struct slice){text, 2000}));
}

/* ---- sbuf ---- */

static void a_buffer_grows_up_to_its_maximum(void **state)
{
    for (size_t max = 0; max < 300; max += 7) {
        struct sbuf b;
        sbuf_init(&b, max);
        assert_string_equal(sbuf_z(&b), "");
        for (size_t i = 0; i < max; i++)
            sbuf_addc(&b, (char)('a' + i % 26));
        assert_false(b.failed);
        assert_int_equal(b.n, max);
        assert_int_equal(strlen(sbuf_z(&b)), max);
        sbuf_addc(&b, '!');
        assert_true(b.failed);
        assert_int_equal(b.n, max);
        sbuf_add(&b, "", 0);
        sbuf_addf(&b, "%s", "");
        assert_int_equal(b.n, max);
        sbuf_clear(&b);
        assert_false(b.failed);
        sbuf_finish_wipe(&b);
        assert_int_equal(b.max, max);
    }
}

static void every_way_of_adding_may_fill_it_exactly(void **state)
{
    struct sbuf b;
    sbuf_init(&b, 5);
    sbuf_addf(&b, "%d-%s", 12, "ab");
    assert_false(b.failed);
    assert_string_equal(sbuf_z(&b), "12-ab");
    sbuf_clear(&b);
    sbuf_add_u64(&b, 12345);
    assert_string_equal(sbuf_z(&b), "12345");
    sbuf_clear(&b);
    sbuf_adds(&b, "12345");
    assert_false(b.failed);
    sbuf_clear(&b);
    sbuf_add_json(&b, SLICE("abc"));
    assert_string_equal(sbuf_z(&b), "\"abc\"");
    sbuf_clear(&b);
    sbuf_addf(&b, "%s", "123456");
    assert_true(b.failed);
    assert_int_equal(b.n, 0);
    sbuf_clear(&b);
    assert_null(sbuf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    assert_null(sbuf_reserve(&b, 1)); /* and stays so */
    sbuf_finish(&b);
}

static void numbers_are_written_whole(void **state)
{
    struct sbuf b;
    sbuf_init(&b, 200);
    sbuf_add_u64(&b, 0);
    sbuf_addc(&b, ' ');
    sbuf_add_u64(&b, UINT64_MAX);
    sbuf_addc(&b, ' ');
    sbuf_add_i64(&b, INT64_MIN);
    sbuf_addc(&b, ' ');
    sbuf_add_i64(&b, INT64_MAX);
    sbuf_addc(&b, ' ');
    sbuf_add_i64(&b, -1);
    assert_string_equal(sbuf_z(&b), "0 18446744073709551615 -9223372036854775808 "
                                    "9223372036854775807 -1");
    sbuf_finish(&b);
}

static void json_shows_only_printable_ascii(void **state)
{
    for (int c = 0; c < 256; c++) {
        char in[3] = {'a', (char)c, 'b'}, want[16];
        struct sbuf b;
        sbuf_init(&b, 100);
        sbuf_add_json(&b, (struct slice){in, 3});
        if (c == '"' || c == '\\')
            snprintf(want, sizeof want, "\"a\\%cb\"", c);
        else if (c >= 0x20 && c < 0x7f)
            snprintf(want, sizeof want, "\"a%cb\"", c);
        else
            snprintf(want, sizeof want, "\"a\\u%04xb\"", (unsigned)c);
        assert_string_equal(sbuf_z(&b), want);
        sbuf_finish(&b);
    }
}

static void a_buffer_without_memory_fails_and_keeps_what_it_had(void **state)
{
    struct sbuf b;
    sbuf_init(&b, 1000);
    sbuf_adds(&b, "kept");
    mem_fail_after(1, 1);
    for (int i = 0; i < 100; i++)
        sbuf_addc(&b, 'x');
    mem_fail_after(0, 0);
    assert_true(b.failed);
    assert_true(slice_starts(sbuf_slice(&b), SLICE("keptx")));
    sbuf_finish(&b);
}

/* ---- arena ---- */

static void an_arena_gives_aligned_memory_that_does_not_overlap(void **state)
{
    struct arena a;
    unsigned char *p[400];
    size_t n[400];
    arena_init(&a, 4u << 20);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        n[i] = i * 37 % 1000 + (i % 50 == 0 ? 20000 : 0);
        p[i] = arena_alloc(&a, n[i]);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], (int)i, n[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        for (size_t k = 0; k < n[i]; k++)
            assert_int_equal(p[i][k], (unsigned char)i);
    arena_finish(&a, true);
    arena_finish(&a, true);
    arena_thread_finish();
    arena_thread_finish();
}

static void an_arena_has_a_maximum(void **state)
{
    struct arena a;
    arena_init(&a, 100000);
    assert_null(arena_alloc(&a, 100001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    size_t sum = 0;
    while (arena_alloc(&a, 1000))
        sum += 1000;
    assert_true(sum >= 90000 && sum <= 100000 + ARENA_CHUNK);
    arena_finish(&a, false);
    assert_non_null(arena_alloc(&a, 1000)); /* usable again */
    arena_finish(&a, false);
    arena_thread_finish();
}

static void an_arena_copies_with_a_nul(void **state)
{
    struct arena a;
    arena_init(&a, 10000);
    struct slice s = arena_dup(&a, SLICE("a\0b"));
    assert_memory_equal(s.p, "a\0b", 4);
    s = arena_dup(&a, (struct slice){NULL, 0});
    assert_string_equal(s.p, "");
    mem_fail_after(1, 1);
    assert_null(arena_dup(&a, (struct slice){"x", 9000}).p);
    mem_fail_after(0, 0);
    arena_finish(&a, false);
    arena_thread_finish();
}

static void an_arena_in_a_steady_state_touches_no_heap(void **state)
{
    unsigned long before = 0;
    for (int i = 0; i < 10; i++) {
        struct arena a;
        arena_init(&a, 1 << 20);
        for (int k = 0; k < 100; k++)
            assert_non_null(arena_alloc(&a, 500));
        arena_finish(&a, true);
        if (i == 0)
            before = mem_count();
    }
    assert_int_equal(mem_count(), before);
    arena_thread_finish();
}

static void an_arena_wipes_what_was_in_it(void **state)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    char *p = arena_alloc(&a, 64);
    memset(p, 's', 64);
    arena_finish(&a, true);
    arena_init(&a, 1 << 20);
    char *again = arena_alloc(&a, 64); /* the chunk that the thread kept */
    assert_ptr_equal(again, p);
    for (int i = 0; i < 64; i++)
        assert_int_equal(again[i], 0);
    arena_finish(&a, false);
    arena_thread_finish();
}

/* ---- secret ---- */

static void a_secret_lives_until_its_last_owner_lets_go(void **state)
{
    char mine[] = "sec\0ret";
    struct secret *s = secret_new(mine, 7), *other = secret_ref(s);
    memset(mine, 0, sizeof mine);
    assert_memory_equal(secret_bytes(s).p, "sec\0ret", 8);
    secret_unref(&s);
    assert_null(s);
    assert_memory_equal(secret_bytes(other).p, "sec\0ret", 8);
    assert_true(secret_eq(other, SLICE("sec\0ret")));
    assert_false(secret_eq(other, SLICE("sec\0rex")));
    assert_false(secret_eq(other, SLICE("sec")));
    assert_false(secret_eq(NULL, SLICE("")));
    secret_unref(&other);
    secret_unref(&other);
    assert_null(secret_ref(NULL));
    assert_int_equal(secret_bytes(NULL).n, 0);
    s = secret_new("", 0);
    assert_int_equal(secret_bytes(s).n, 0);
    assert_true(secret_eq(s, SLICE("")));
    secret_unref(&s);
    assert_null(secret_new("x", ((size_t)1 << 24) + 1));
    mem_fail_after(1, 0);
    assert_null(secret_new("x", 1));
}

static void fingerprints_are_the_head_of_sha256(void **state)
{
    char f[FINGERPRINT_SIZE];
    fingerprint(SLICE("abc"), f);
    assert_string_equal(f, "ba7816bf");
    fingerprint(SLICE(""), f);
    assert_string_equal(f, "e3b0c442");
}

/* ---- list, err, mem ---- */

struct item {
    int n;
    struct list link;
};

static void list_is(struct list *head, const char *want)
{
    char got[32];
    size_t n = 0;
    for (struct list *l = head->next; l != head; l = l->next) {
        assert_ptr_equal(l->prev->next, l);
        got[n++] = (char)('0' + container_of(l, struct item, link)->n);
    }
    got[n] = '\0';
    assert_string_equal(got, want);
}

static void a_list_keeps_its_order(void **state)
{
    struct list head;
    struct item items[5] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
    list_init(&head);
    assert_true(list_empty(&head));
    list_remove(&items[0].link); /* all zero: on no list */
    assert_true(list_empty(&items[0].link));
    list_add_last(&head, &items[1].link);
    list_add_last(&head, &items[2].link);
    list_add_first(&head, &items[0].link);
    list_is(&head, "012");
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    list_is(&head, "02");
    list_add_first(&head, &items[1].link);
    list_is(&head, "102");
    while (!list_empty(&head))
        list_remove(head.next);
    list_is(&head, "");
}

static void every_error_has_its_own_sentence(void **state)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *s = err_str((enum err)i);
        assert_non_null(s);
        assert_true(strlen(s) >= 2);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(s, err_str((enum err)k));
    }
    assert_string_equal(err_str((enum err)ERR_COUNT), "unknown error");
    assert_string_equal(err_str((enum err) - 1), "unknown error");
    struct errmsg m;
    assert_int_equal(err_set(&m, ERR_IO, "%s: %d", "x", 5), ERR_IO);
    assert_string_equal(m.text, "x: 5");
    assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
    char large[2000];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_int_equal(err_set(&m, ERR_DB, "%s", large), ERR_DB);
    assert_int_equal(strlen(m.text), sizeof m.text - 1);
}

static void the_nth_allocation_fails_when_told_so(void **state)
{
    mem_fail_after(2, 0);
    void *a = mem_alloc(1), *b = mem_alloc(1), *c = mem_alloc(0);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    mem_fail_after(1, 1);
    assert_null(mem_calloc(1, 1));
    assert_null(mem_realloc(a, 10));
    assert_null(mem_dup("x"));
    mem_fail_after(0, 0);
    volatile size_t most = SIZE_MAX;
    assert_null(mem_dupn("x", most));
    mem_free(a);
    mem_free(c);
    mem_free(NULL);
    mem_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_exactly_or_without_case),
        cmocka_unit_test(slices_are_searched_and_cut),
        cmocka_unit_test(a_run_ends_at_the_first_byte_left_out),
        cmocka_unit_test(words_are_compared_without_case),
        cmocka_unit_test(a_printable_run_ends_at_the_first_byte_that_is_not),
        cmocka_unit_test(a_part_of_nothing_is_nothing),
        cmocka_unit_test(tokens_come_one_by_one_also_empty_ones),
        cmocka_unit_test(numbers_are_digits_only),
        cmocka_unit_test(a_copy_fits_or_leaves_the_buffer_alone),
        cmocka_unit_test(a_star_stands_for_any_run),
        cmocka_unit_test(a_buffer_grows_up_to_its_maximum),
        cmocka_unit_test(every_way_of_adding_may_fill_it_exactly),
        cmocka_unit_test(numbers_are_written_whole),
        cmocka_unit_test(json_shows_only_printable_ascii),
        cmocka_unit_test(a_buffer_without_memory_fails_and_keeps_what_it_had),
        cmocka_unit_test(an_arena_gives_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(an_arena_has_a_maximum),
        cmocka_unit_test(an_arena_copies_with_a_nul),
        cmocka_unit_test(an_arena_in_a_steady_state_touches_no_heap),
        cmocka_unit_test(an_arena_wipes_what_was_in_it),
        cmocka_unit_test(a_secret_lives_until_its_last_owner_lets_go),
        cmocka_unit_test(fingerprints_are_the_head_of_sha256),
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(every_error_has_its_own_sentence),
        cmocka_unit_test(the_nth_allocation_fails_when_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
