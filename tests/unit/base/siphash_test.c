/* The values of the paper's appendix and of the reference implementation's table. */
#include "base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

static void it_is_the_papers(void **state)
{
    static const struct {
        size_t n;
        uint64_t want;
    } table[] = {{0, 0x726fdb47dd0e0e31u},
                 {1, 0x74f839c593dc67fdu},
                 {8, 0x93f5f5799a932462u},
                 {15, 0xa129ca6149be45e5u}};
    unsigned char key[SIPHASH_KEY], bytes[16];
    (void)state;
    for (unsigned char i = 0; i < 16; i++)
        key[i] = bytes[i] = i;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(siphash(key, slice_make(bytes, table[i].n)), table[i].want);
    key[15] ^= 1;
    assert_int_not_equal(siphash(key, slice_make(bytes, 15)), 0xa129ca6149be45e5u);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_the_papers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
