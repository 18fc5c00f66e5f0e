/* What goes to a provider: exactly one credential, in its place, and nothing of the client's. */
#include "../world.h"

static void a_plain_swap_is_one_round(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> b1 says 200 | hello\n"
         "b1 kept\n"
         "client 200 | hello\n"
         "record 200 a:200\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(a_plain_swap_is_one_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
