/* Cells: text becomes columns, and nothing that a terminal would obey gets through. */
#include "ui/canvas.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <locale.h>

static const char *line(const struct canvas *c, int y)
{
    static struct sbuf b;
    sbuf_finish(&b);
    sbuf_init(&b, 65536);
    canvas_line(c, y, &b);
    return sbuf_z(&b);
}

static void text_is_cut_with_a_mark(void **state)
{
    struct canvas c;
    canvas_init(&c);
    assert_true(canvas_reset(&c, 10, 2));
    assert_int_equal(canvas_put(&c, 0, 0, 5, STYLE_PLAIN, SLICE("abcdefgh")), 5);
    assert_string_equal(line(&c, 0), "abcd~");
    assert_int_equal(canvas_put(&c, 1, 8, 9, STYLE_PLAIN, SLICE("xyz")), 3);
    assert_string_equal(line(&c, 1), "        xy");
    canvas_put(&c, 7, 0, 5, STYLE_PLAIN, SLICE("nowhere"));
    canvas_put(&c, -1, -3, 5, STYLE_PLAIN, SLICE("nowhere"));
    assert_string_equal(line(&c, 0), "abcd~");
    canvas_finish(&c);
}

static void what_a_terminal_obeys_is_a_question_mark(void **state)
{
    static const struct {
        const char *text, *ascii, *utf8;
    } rows[] = {{"a\x1b[31mb", "a?[31mb", "a?[31mb"},
                {"a\x7f\x01", "a??", "a??"},
                {"\xc2\x9b"
                 "31m",
                 "?31m", "?31m"}, /* CSI as one character */
                {"\xe2\x80\xae"
                 "x",
                 "?x", "?x"}, /* right to left */
                {"caf\xc3\xa9", "caf?", "caf\xc3\xa9"},
                {"\xc0\xaf", "??", "??"},   /* overlong */
                {"\xed\xa0\x80", "?", "?"}, /* half of a pair */
                {"\xf5\x80\x80\x80", "????", "????"},
                {"\xe2\x82", "?", "?"},     /* cut off */
                {"\xe6\xbc\xa2", "?", "?"}, /* two columns wide */
                {"e\xcc\x81", "e?", "e?"}}; /* none */
    struct canvas c;
    canvas_init(&c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int utf8 = 0; utf8 < 2; utf8++) {
            assert_true(canvas_reset(&c, 20, 1));
            c.is_utf8 = utf8;
            int n = canvas_put(&c, 0, 0, 20, STYLE_PLAIN, slice_of(rows[i].text));
            assert_string_equal(line(&c, 0), utf8 ? rows[i].utf8 : rows[i].ascii);
            assert_int_equal(n, text_columns(slice_of(rows[i].text), utf8));
        }
    canvas_finish(&c);
}

static void keys_are_marked(void **state)
{
    struct canvas c;
    canvas_init(&c);
    assert_true(canvas_reset(&c, 20, 1));
    assert_int_equal(canvas_put_keys(&c, 0, 0, 20, SLICE("{d} drain {Esc}")), 11);
    assert_string_equal(line(&c, 0), "d drain Esc");
    assert_int_equal(c.cells[0].style, STYLE_KEY);
    assert_int_equal(c.cells[2].style, STYLE_PLAIN);
    assert_int_equal(c.cells[9].style, STYLE_KEY);
    canvas_finish(&c);
}

static void bars_and_sparks(void **state)
{
    static const uint32_t values[] = {9, 0, 1, 2, 3, 4, 5, 6};
    struct canvas c;
    canvas_init(&c);
    assert_true(canvas_reset(&c, 10, 2));
    canvas_bar(&c, 0, 0, 10, STYLE_PLAIN, 0.72);
    assert_string_equal(line(&c, 0), "#######...");
    canvas_bar(&c, 0, 0, 10, STYLE_PLAIN, 7);
    assert_string_equal(line(&c, 0), "##########");
    canvas_bar(&c, 0, 0, 10, STYLE_PLAIN, -1.0 / 0.0);
    assert_string_equal(line(&c, 0), "..........");
    canvas_spark(&c, 1, 0, 7, STYLE_PLAIN, values, 8, 0);
    assert_string_equal(line(&c, 1), "_.-=+*#");
    c.is_utf8 = true;
    canvas_spark(&c, 1, 0, 2, STYLE_PLAIN, values, 8, 0);
    assert_int_equal(c.cells[10].ch, 0x2587);
    assert_int_equal(c.cells[11].ch, 0x2588);
    canvas_finish(&c);
}

static void printed_without_what_is_empty(void **state)
{
    struct canvas c;
    struct sbuf b;
    canvas_init(&c);
    sbuf_init(&b, 4096);
    assert_true(canvas_reset(&c, 12, 9));
    canvas_box(&c, 1, 0, 10, 3, SLICE("hi"));
    canvas_print(&c, &b);
    assert_string_equal(sbuf_z(&b), "\n+- hi ---+\n|        |\n+--------+\n");
    assert_true(canvas_reset(&c, 1, 1));
    canvas_box(&c, 0, 0, 10, 3, SLICE("hi"));
    sbuf_finish(&b);
    canvas_finish(&c);
}

int main(void)
{
    (void)setlocale(LC_ALL, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_is_cut_with_a_mark),
                                       cmocka_unit_test(what_a_terminal_obeys_is_a_question_mark),
                                       cmocka_unit_test(keys_are_marked),
                                       cmocka_unit_test(bars_and_sparks),
                                       cmocka_unit_test(printed_without_what_is_empty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
