/* The command line against the table, and what --help says. */
#include "desk.h"

#include "cli/commands.h"

static bool parse(struct args *a, int argc, const char *const *argv)
{
    char *copy[32] = {0};
    for (int i = 0; i < argc; i++)
        copy[i] = (char *)(uintptr_t)argv[i];
    return args_parse(&console_commands, argc, copy, a);
}
#define PARSE(a, ...)                                                                              \
    parse(a, sizeof((const char *[]){"credswap", __VA_ARGS__}) / sizeof(char *),                   \
          (const char *[]){"credswap", __VA_ARGS__})

static void options_stand_anywhere(void **state)
{
    static struct args a;
    assert_true(PARSE(&a, "--config", "f", "account", "--json", "list"));
    assert_string_equal(a.config, "f");
    assert_true(a.json);
    assert_ptr_equal(a.command, &command_account_list);
    assert_true(
        PARSE(&a, "account", "add", "--weight=3", "k.json", "--pool", "p", "--weight", "4"));
    assert_string_equal(args_get(&a, "--weight"), "4");
    assert_string_equal(args_get(&a, "--pool"), "p");
    assert_null(args_get(&a, "--name"));
    assert_string_equal(args_operand(&a, 0), "k.json");
    assert_null(args_operand(&a, 1));
}

static void a_dash_is_an_operand_and_two_end_the_options(void **state)
{
    static struct args a;
    assert_true(PARSE(&a, "account", "add", "-"));
    assert_string_equal(args_operand(&a, 0), "-");
    assert_true(PARSE(&a, "account", "show", "--", "--name"));
    assert_string_equal(args_operand(&a, 0), "--name");
}

static void what_is_not_in_the_table_is_refused(void **state)
{
    static struct args a;
    assert_false(PARSE(&a, "no-such-verb"));
    assert_non_null(strstr(a.problem, "no-such-verb"));
    assert_false(PARSE(&a, "account", "frob"));
    assert_false(PARSE(&a, "account"));
    assert_false(PARSE(&a, "account", "list", "--weight", "3"));
    assert_false(PARSE(&a, "account", "add", "k", "--weight"));
    assert_false(PARSE(&a, "account", "list", "--json=yes"));
    assert_false(PARSE(&a, "account", "show"));
    assert_false(PARSE(&a, "account", "show", "a", "b"));
    assert_false(PARSE(&a, "account", "rm", "a", "--json"));
}

static void too_many_of_anything_is_refused(void **state)
{
    static struct args a;
    static char *argv[ARGS_OPERANDS_MAX + 8];
    char word[] = "a=1", pool[] = "pool", set[] = "set", option[] = "--yes", add[] = "add",
         name[] = "--name";
    int n = 0;
    argv[n++] = word, argv[n++] = pool, argv[n++] = set;
    while (n < ARGS_OPERANDS_MAX + 8)
        argv[n++] = word;
    assert_false(args_parse(&console_commands, n, argv, &a));
    n = 1;
    char account[] = "account";
    argv[n++] = account, argv[n++] = add;
    while (n < 100)
        argv[n++] = name, argv[n++] = option;
    assert_false(args_parse(&console_commands, n, argv, &a));
}

static void help_wins_over_everything(void **state)
{
    static struct args a;
    assert_true(PARSE(&a, "account", "show", "--help"));
    assert_true(a.help);
    assert_true(PARSE(&a, "help"));
    assert_true(PARSE(&a, "-h"));
    assert_true(PARSE(&a, "--version"));
    assert_true(a.version);
}

static int lines_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void every_help_fits_a_screen(void **state)
{
    static char text[HELP_MAX];
    assert_in_range(lines_of(args_help(&console_commands, NULL, NULL, text)), 5, 24);
    for (size_t i = 0; i < console_commands.n; i++) {
        const struct command *c = console_commands.v[i];
        assert_in_range(lines_of(args_help(&console_commands, c->noun, c, text)), 2, 24);
        assert_in_range(lines_of(args_help(&console_commands, c->noun, NULL, text)), 2, 24);
        for (const char *z = text; *z;) {
            size_t width = strcspn(z, "\n");
            assert_in_range(width, 0, 100);
            z += width + (z[width] == '\n');
        }
    }
}

static void every_noun_is_in_the_overview(void **state)
{
    static char text[HELP_MAX];
    args_help(&console_commands, NULL, NULL, text);
    for (size_t i = 0; i < console_commands.n; i++) {
        char word[32];
        snprintf(word, sizeof word, " %s", console_commands.v[i]->noun);
        assert_non_null(strstr(text, word));
    }
}

static void every_command_is_there_once(void **state)
{
    for (size_t i = 0; i < console_commands.n; i++) {
        const struct command *a = console_commands.v[i];
        assert_non_null(a->run);
        assert_true(a->min <= a->max);
        for (size_t k = i + 1; k < console_commands.n; k++) {
            const struct command *b = console_commands.v[k];
            bool same = strcmp(a->noun, b->noun) == 0 &&
                        (!a->verb || !b->verb || strcmp(a->verb, b->verb) == 0);
            assert_false(same);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(a_dash_is_an_operand_and_two_end_the_options),
        cmocka_unit_test(what_is_not_in_the_table_is_refused),
        cmocka_unit_test(too_many_of_anything_is_refused),
        cmocka_unit_test(help_wins_over_everything),
        cmocka_unit_test(every_help_fits_a_screen),
        cmocka_unit_test(every_noun_is_in_the_overview),
        cmocka_unit_test(every_command_is_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
