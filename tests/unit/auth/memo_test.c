#include "auth/find.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MANY 1000

static struct auth_memo *memo;

static struct slice name(unsigned i)
{
    static char text[64];
    snprintf(text, sizeof text, "gemini-developer-%08x", i * 2654435761u);
    return slice_of(text);
}

static void hash_of(unsigned i, unsigned char ret[HMAC_SIZE])
{
    memset(ret, (int)(i & 0xff), HMAC_SIZE);
}

static int setup(void **state)
{
    return auth_memo_create(&memo) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    auth_memo_destroy(memo);
    return 0;
}

static const struct auth_known *add(unsigned i)
{
    unsigned char hash[HMAC_SIZE];
    hash_of(i, hash);
    return auth_memo_add(memo, name(i), hash);
}

static void what_was_added_is_found_and_nothing_else(void **state)
{
    unsigned char hash[HMAC_SIZE];
    char text[64];
    assert_null(auth_memo_find(memo, name(1)));
    assert_non_null(add(1));
    const struct auth_known *k = auth_memo_find(memo, name(1));
    assert_non_null(k);
    hash_of(1, hash);
    assert_memory_equal(k->hash, hash, HMAC_SIZE);
    struct slice own = name(1);
    assert_true(slice_eq(auth_scan_placeholder(&k->scan), own));
    for (size_t at = 0; at < own.n; at++) { /* one bit of it wrong */
        memcpy(text, own.p, own.n);
        text[at] ^= 1;
        assert_null(auth_memo_find(memo, slice_make(text, own.n)));
    }
    for (size_t n = 0; n < own.n; n++)
        assert_null(auth_memo_find(memo, slice_make(own.p, n)));
    snprintf(text, sizeof text, "%.*sx", (int)own.n, own.p);
    assert_null(auth_memo_find(memo, slice_of(text)));
}

static void its_spellings_are_those_of_the_placeholder(void **state)
{
    const struct auth_known *k = add(7);
    struct auth_scan fresh;
    auth_scan_init(&fresh, name(7));
    assert_true(auth_scan_leaks(&k->scan, name(7)));
    assert_int_equal(k->scan.count, fresh.count);
    assert_memory_equal(k->scan.text, fresh.text, fresh.used);
    auth_scan_finish(&fresh);
}

static void many_share_the_slots_and_none_gets_anothers_hash(void **state)
{
    unsigned char hash[HMAC_SIZE];
    unsigned found = 0;
    for (unsigned i = 0; i < MANY; i++)
        assert_non_null(add(i));
    for (unsigned i = 0; i < MANY; i++) {
        const struct auth_known *k = auth_memo_find(memo, name(i));
        if (!k)
            continue;
        found++;
        hash_of(i, hash);
        assert_memory_equal(k->hash, hash, HMAC_SIZE);
        assert_true(slice_eq(auth_scan_placeholder(&k->scan), name(i)));
    }
    assert_true(found > 40 && found <= 64);
}

static void what_nobody_asks_for_is_forgotten(void **state)
{
    (void)add(1);
    (void)add(2);
    auth_memo_age(memo);
    assert_non_null(auth_memo_find(memo, name(2)));
    auth_memo_age(memo);
    assert_null(auth_memo_find(memo, name(1)));
    assert_non_null(auth_memo_find(memo, name(2)));
    auth_memo_age(memo);
    auth_memo_age(memo);
    assert_null(auth_memo_find(memo, name(2)));
}

static void without_memory_nothing_is_kept(void **state)
{
    mem_fail_after(1, 0);
    assert_null(add(1));
    mem_fail_after(0, 0);
    assert_null(auth_memo_find(memo, name(1)));
    static char longest[PLACEHOLDER_MAX + 1];
    unsigned char hash[HMAC_SIZE] = {0};
    memset(longest, 'a', sizeof longest);
    assert_null(auth_memo_add(memo, slice_make(longest, sizeof longest), hash));
    assert_non_null(auth_memo_add(memo, slice_make(longest, PLACEHOLDER_MAX), hash));
    assert_null(auth_memo_add(memo, SLICE("short"), hash));
    assert_null(auth_memo_find(memo, SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_added_is_found_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(its_spellings_are_those_of_the_placeholder, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_share_the_slots_and_none_gets_anothers_hash, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_nobody_asks_for_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
