/* Lists and what filters them. */
#include "ui/table.h"
#include "ui/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct person {
    int64_t id;
    const char *name, *state;
    int age;
};

static const struct table_column columns[] = {
    {"NAME", 6, 10, 0, false}, {"STATE", 5, 0, 1, false}, {"AGE", 4, 0, 2, true}};

static struct person people[8];
static int people_count;

static int64_t key_of(void *arg, int row)
{
    return people[row].id;
}

static void cell(void *arg, int row, int column, struct table_cell *ret)
{
    const struct person *p = &people[row];
    if (column == 2) {
        snprintf(ret->text, sizeof ret->text, "%ds", p->age);
        ret->value = p->age;
        ret->has_value = true;
    } else {
        snprintf(ret->text, sizeof ret->text, "%s", column ? p->state : p->name);
    }
}

static struct table_source source(void)
{
    return (struct table_source){NULL, people_count, key_of, cell};
}

static void fill(void)
{
    static const struct person some[] = {{1, "carol", "up", 30},
                                         {2, "alice", "off", 7},
                                         {3, "bob", "up", 120},
                                         {4, "dave", "DRAIN", 61}};
    memcpy(people, some, sizeof some);
    people_count = 4;
}

static const char *shown(struct table *t)
{
    static char text[256];
    struct table_source s = source();
    size_t n = 0;
    text[0] = '\0';
    table_update(t, &s);
    for (int i = 0; i < t->shown; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? " " : "",
                              people[t->order[i]].name);
    return text;
}

static void filters(void **state)
{
    static const struct {
        const char *filter, *shown;
    } rows[] = {{"", "carol alice bob dave"},
                {"a", "carol alice dave"},
                {"-a", "bob"},
                {"state=up", "carol bob"},
                {"STATE!=up", "alice dave"},
                {"age>=61", "bob dave"},
                {"age>1m", "bob dave"},
                {"age<=7s", "alice"},
                {"na:AR", "carol"},
                {"state=up age<1m", "carol"},
                {"bob or alice", "alice bob"},
                {"state=up carol or dave", "carol dave"},
                {"state=up and -carol", "bob"},
                {"x:y", ""},
                {"age=30s", "carol"},
                {"age=30", "carol"}};
    struct table t;
    char problem[128];
    fill();
    table_init(&t, columns, 3, -1, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(table_filter(&t, slice_of(rows[i].filter), problem, sizeof problem));
        assert_string_equal(shown(&t), rows[i].shown);
    }
    assert_false(table_filter(&t, SLICE("age>old"), problem, sizeof problem));
    assert_string_equal(problem, "\"old\" is no number");
    assert_false(table_filter(&t, SLICE("colour=red"), problem, sizeof problem));
    assert_string_equal(problem, "no column begins with \"colour\"");
    assert_string_equal(shown(&t), "carol"); /* the one before holds */
    char many[400];
    for (int i = 0; i < 17; i++)
        memcpy(many + i * 2, "a ", 3);
    assert_false(table_filter(&t, slice_of(many), problem, sizeof problem));
    memset(many, 'a', 200);
    many[200] = '\0';
    assert_false(table_filter(&t, slice_of(many), problem, sizeof problem));
    table_finish(&t);
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},          {"1.5K", 1500}, {"38.5%", 38.5}, {"2m10s", 130},
                {"3d04h", 273600}, {"-0.3", -0.3}, {" 7 ", 7}};
    static const char *const bad[] = {"",    "up",  "--",   "1x", "0x10", "nan",
                                      "inf", "1%2", "5K/s", "1e", "-"};
    double v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(filter_number(slice_of(good[i].text), &v));
        assert_true(v > good[i].value - 1e-9 && v < good[i].value + 1e-9);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(filter_number(slice_of(bad[i]), &v));
}

static void sorts_and_reverses(void **state)
{
    struct table t;
    fill();
    table_init(&t, columns, 3, -1, false);
    assert_string_equal(shown(&t), "carol alice bob dave");
    assert_true(table_key(&t, 's'));
    assert_string_equal(shown(&t), "alice bob carol dave");
    assert_true(table_key(&t, 'S'));
    assert_string_equal(shown(&t), "dave carol bob alice");
    table_key(&t, 's');
    table_key(&t, 's');
    assert_string_equal(shown(&t), "bob dave carol alice"); /* of numbers the largest first */
    table_finish(&t);
}

static void the_cursor_follows_its_row(void **state)
{
    struct table t;
    struct table_source s;
    fill();
    table_init(&t, columns, 3, 0, false);
    shown(&t);
    table_key(&t, 'j');
    shown(&t);
    assert_string_equal(people[table_row(&t)].name, "bob");
    people[people_count++] = (struct person){9, "aaron", "up", 1};
    shown(&t);
    assert_string_equal(people[table_row(&t)].name, "bob");
    people[2] = people[--people_count]; /* bob is gone; aaron took his place in memory */
    s = source();
    table_update(&t, &s);
    assert_true(table_row(&t) >= 0);
    table_key(&t, 'G');
    shown(&t);
    assert_string_equal(people[table_row(&t)].name, "dave");
    people_count = 0;
    assert_string_equal(shown(&t), "");
    assert_int_equal(table_row(&t), -1);
    table_key(&t, 'j');
    table_key(&t, ' ');
    table_key(&t, TERM_PAGE_UP);
    shown(&t);
    assert_int_equal(table_row(&t), -1);
    table_finish(&t);
}

static void marks_stay_with_their_rows(void **state)
{
    struct table t;
    fill();
    table_init(&t, columns, 3, 0, false);
    shown(&t);
    table_key(&t, ' ');
    shown(&t);
    assert_string_equal(people[table_row(&t)].name, "bob");
    assert_true(table_is_marked(&t, 2));
    table_key(&t, 'S');
    shown(&t);
    assert_true(table_is_marked(&t, 2));
    assert_int_equal(t.mark_count, 1);
    table_key(&t, 'G');
    shown(&t);
    table_key(&t, ' ');
    assert_int_equal(t.mark_count, 0);
    table_finish(&t);
}

static void draw(struct table *t, struct canvas *c, int width, int height, struct sbuf *out)
{
    struct table_source s = source();
    table_update(t, &s);
    assert_true(canvas_reset(c, width, height));
    table_draw(t, &s, c, 0, 0, width, height);
    sbuf_clear(out);
    canvas_print(c, out);
}

static void narrow_windows_lose_the_least_important(void **state)
{
    struct table t;
    struct canvas c;
    struct sbuf out;
    fill();
    canvas_init(&c);
    sbuf_init(&out, 65536);
    table_init(&t, columns, 3, -1, false);
    draw(&t, &c, 24, 5, &out);
    assert_string_equal(sbuf_z(&out), " NAME       STATE  AGE\n"
                                      ">carol      up     30s\n"
                                      " alice      off     7s\n"
                                      " bob        up    120s\n"
                                      " dave       DRAIN  61s\n");
    draw(&t, &c, 14, 3, &out);
    assert_string_equal(sbuf_z(&out), " NAME    STATE\n>carol   up\n alice   off\n");
    table_key(&t, 'G');
    draw(&t, &c, 7, 3, &out);
    assert_string_equal(sbuf_z(&out), " NAME\n bob\n>dave\n");
    for (int w = 1; w < 30; w++)
        for (int h = 1; h < 8; h++)
            draw(&t, &c, w, h, &out);
    sbuf_finish(&out);
    canvas_finish(&c);
    table_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(filters),
                                       cmocka_unit_test(numbers),
                                       cmocka_unit_test(sorts_and_reverses),
                                       cmocka_unit_test(the_cursor_follows_its_row),
                                       cmocka_unit_test(marks_stay_with_their_rows),
                                       cmocka_unit_test(narrow_windows_lose_the_least_important)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
