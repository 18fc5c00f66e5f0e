/* The scripts hold the whole table, in words that no shell takes apart. */
#include "desk.h"

#include "cli/commands.h"
#include "cli/completion.h"

static void every_command_and_option_is_in_each(void **state)
{
    for (int shell = COMPLETION_BASH; shell <= COMPLETION_FISH; shell++) {
        struct sbuf b;
        char key[160];
        sbuf_init(&b, 1 << 20);
        completion_print(&console_commands, (enum completion_shell)shell, &b);
        assert_false(b.failed);
        for (size_t i = 0; i < console_commands.n; i++) {
            const struct command *c = console_commands.v[i];
            snprintf(key, sizeof key, "'%s:", c->verb ? c->verb : c->noun);
            assert_non_null(strstr(sbuf_z(&b), key));
            for (const struct option_def *o = c->options; o && o->name; o++) {
                snprintf(key, sizeof key, "'%s%s%s %s'", c->noun, c->verb ? " " : "",
                         c->verb ? c->verb : "", o->value ? o->name : "--");
                assert_non_null(strstr(sbuf_z(&b), key));
            }
        }
        assert_null(strstr(sbuf_z(&b), "@TABLE@"));
        sbuf_finish(&b);
    }
}

static int nothing(struct cli *c)
{
    return 0;
}

static void quotes_are_kept_from_the_shell(void **state)
{
    static const struct option_def options[] = {{"--odd", "x|$(y)|UP", "it's a \\ $(z)"},
                                                {NULL, NULL, NULL}};
    static const struct command odd = {
        "odd", "do", "NAME [x|y] FILE ...", "summary", NULL, options, 0, 9, false, nothing};
    static const struct command *const list[] = {&odd};
    const struct command_table table = {list, 1};
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    completion_print(&table, COMPLETION_BASH, &b);
    assert_non_null(
        strstr(sbuf_z(&b), "'odd do --') printf '%s\\n' '--odd:it'\\''s a \\ $(z)' ;;\n"));
    assert_non_null(strstr(sbuf_z(&b), "'odd do --odd') printf '%s\\n' 'x' '$(y)' ;;\n"));
    assert_non_null(strstr(sbuf_z(&b), "'odd do 1') ;;\n"));
    assert_non_null(strstr(sbuf_z(&b), "'odd do 2') printf '%s\\n' 'x' 'y' ;;\n"));
    assert_non_null(strstr(sbuf_z(&b), "'odd do 3') printf '%s\\n' '@file' ;;\n"));
    assert_non_null(strstr(sbuf_z(&b), "'odd do +') printf '%s\\n' '@file' ;;\n"));
    sbuf_clear(&b);
    completion_print(&table, COMPLETION_FISH, &b);
    assert_non_null(strstr(sbuf_z(&b), "'--odd:it\\'s a \\\\ $(z)'"));
    sbuf_finish(&b);
}

static void only_three_shells_are_known(void **state)
{
    enum completion_shell shell;
    assert_true(completion_shell_from("fish", &shell));
    assert_int_equal(shell, COMPLETION_FISH);
    assert_false(completion_shell_from("names", &shell));
    assert_false(completion_shell_from("", &shell));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_and_option_is_in_each),
        cmocka_unit_test(quotes_are_kept_from_the_shell),
        cmocka_unit_test(only_three_shells_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
