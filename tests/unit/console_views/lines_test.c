/* Details: folded where they are too wide, and marked where there is no room for all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "views/lines.h"

#define WIDTH 21 /* 20 after the margin */

/* The text that HEIGHT lines show of TEXT. */
static void shows(const char *text, int height, const char *expected, int lines)
{
    struct canvas c = {0};
    struct sbuf out;
    assert_true(canvas_reset(&c, WIDTH, 6));
    sbuf_init(&out, 4096);
    assert_int_equal(lines_draw(&c, 0, height, slice_of(text)), lines);
    canvas_print(&c, &out);
    const char *got = sbuf_z(&out);
    size_t n = strlen(expected);
    if (strncmp(got, expected, n) != 0 || strspn(got + n, "\n") != strlen(got + n))
        assert_string_equal(got, expected); /* the rest may be blank lines */
    sbuf_finish(&out);
    canvas_finish(&c);
}

static void what_has_room_is_whole(void **state)
{
    shows("one\n  two\n", 4, " one\n   two\n", 2);
    shows("one\ntwo", 2, " one\n two\n", 2);
    shows("", 3, "", 0);
}

static void what_is_too_wide_goes_on_below(void **state)
{
    shows("  a sentence of twenty and more", 4, "   a sentence of\n     twenty and more\n", 2);
    shows("abcdefghijklmnopqrstuvwxyz", 4, " abcdefghijklmnopqrst\n   uvwxyz\n", 2);
}

static void what_has_no_room_is_said_to_be_there(void **state)
{
    shows("one\ntwo\nthree", 2, " one\n ... Enter shows more\n", 2);
    shows("one\na sentence of twenty and more", 2, " one\n ... Enter shows more\n", 2);
    shows("a sentence of twenty and more", 1, " ... Enter shows more\n", 1);
    shows("one\ntwo\n\n \n", 2, " one\n two\n", 2); /* blank lines are no more */
}

static void a_line_is_cut_between_characters(void **state)
{
    assert_int_equal(lines_fit(SLICE("abc def"), 7, true), 7);
    assert_int_equal(lines_fit(SLICE("abcd ef"), 6, true), 4);
    assert_int_equal(lines_fit(SLICE("a bcdefgh"), 6, true),
                     6); /* not where little would be left */
    assert_int_equal(lines_fit(SLICE("\xc3\xa4\xc3\xa4\xc3\xa4"), 2, true), 4);
    assert_int_equal(lines_fit(SLICE("x"), 0, true), 1); /* never none */
    assert_int_equal(lines_fit(SLICE(""), 5, true), 0);
}

/* What lies in the store may be anything: a megabyte without a space is looked at once. */
static void a_huge_line_is_folded_in_one_pass(void **state)
{
    size_t n = 1u << 20, at = 0, folds = 0;
    char *text = mem_alloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    for (; at < n; folds++)
        at += lines_fit((struct slice){text + at, n - at}, 80, true);
    assert_int_equal(folds, (n + 79) / 80);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_room_is_whole),
        cmocka_unit_test(what_is_too_wide_goes_on_below),
        cmocka_unit_test(what_has_no_room_is_said_to_be_there),
        cmocka_unit_test(a_line_is_cut_between_characters),
        cmocka_unit_test(a_huge_line_is_folded_in_one_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
