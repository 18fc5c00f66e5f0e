/* Authorities: one canonical form, and no second spelling of an address. */
#include "base/check.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void reads(const char *text, uint16_t port, const char *canonical)
{
    struct authority a;
    char buf[HOST_MAX + 10];
    if (authority_parse(slice_of(text), port, &a) != ERR_OK)
        fail_msg("refused: %s", text);
    assert_string_equal(authority_print(&a, buf, sizeof buf), canonical);
    assert_int_equal(strlen(a.host), a.host_len);
    /* The canonical form is a fixed point. */
    struct authority again;
    assert_int_equal(authority_parse(slice_of(buf), 0, &again), ERR_OK);
    assert_true(authority_eq(&a, &again));
}

static void names_and_literals_become_canonical(void **state)
{
    reads("Api.Anthropic.COM:443", 0, "api.anthropic.com:443");
    reads("api.anthropic.com.:443", 0, "api.anthropic.com:443");
    reads("localhost", 80, "localhost:80");
    reads("xn--bcher-kva.example:65535", 0, "xn--bcher-kva.example:65535");
    reads("1password.com:443", 0, "1password.com:443");
    reads("host.3com:1", 0, "host.3com:1");
    reads("10.1.2.3:443", 0, "10.1.2.3:443");
    reads("10.1.2.3.:443", 0, "10.1.2.3:443");
    reads("[2001:DB8:0:0:0:0:0:1]:443", 0, "[2001:db8::1]:443");
    reads("[::FFFF:7f00:1]:443", 0, "[::ffff:127.0.0.1]:443");
    reads("[::1]", 443, "[::1]:443");
    struct authority a;
    assert_int_equal(authority_parse(SLICE("8.8.8.8:53"), 0, &a), ERR_OK);
    assert_true(a.is_ip && !a.is_ipv6);
    assert_int_equal(authority_parse(SLICE("[::1]:53"), 0, &a), ERR_OK);
    assert_true(a.is_ip && a.is_ipv6);
    assert_int_equal(authority_parse(SLICE("a.b:53"), 0, &a), ERR_OK);
    assert_false(a.is_ip || a.is_ipv6);
}

static void odd_spellings_are_refused(void **state)
{
    static const char *const bad[] = {
        /* other spellings of an IPv4 address */
        "2130706433:443",
        "0x7f000001:443",
        "0X7F.1:443",
        "127.1:443",
        "127.0.1:443",
        "0177.0.0.1:443",
        "127.0.0.01:443",
        "127.0.0.256:443",
        "127.0.0.1.1:443",
        "1.2.3.4..:443",
        "0:443",
        "a.1:443",
        "a.0x1f:443",
        "08.8.8.8:443",
        "a.0x:443",
        /* what does not belong into an authority */
        "user@host:443",
        "user:pw@host:443",
        "host%00:443",
        "host%2e:443",
        "ho st:443",
        " host:443",
        "host :443",
        "host#:443",
        "host?:443",
        "host/:443",
        "host\\:443",
        "host_name:443",
        "h\303\266st:443",
        "host,other:443",
        "*.host:443",
        "host;:443",
        "host\t:443",
        /* labels and lengths */
        ".:443",
        ".host:443",
        "host..:443",
        "a..b:443",
        ":443",
        "",
        "a:b:443",
        "::1:443",
        "::1",
        /* ports */
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:+443",
        "host:-1",
        "host: 443",
        "host:443 ",
        "host:443x",
        "host:0443",
        "host:99999999999999999999",
        "host:443/x",
        "host:0x1bb",
        /* brackets */
        "[::1]443",
        "[::1",
        "::1]:443",
        "[]:443",
        "[127.0.0.1]:443",
        "[::1%eth0]:443",
        "[::1%251]:443",
        "[host]:443",
        "[::1]:443:1",
        "[[::1]]:443",
        "[::1]x:443",
        "[::1 ]:443",
        "[1::2::3]:443",
    };
    struct authority a;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (authority_parse(slice_of(bad[i]), 0, &a) == ERR_OK)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(authority_parse(SLICE("ho\0st:443"), 0, &a), ERR_INVALID);
    assert_int_equal(authority_parse(SLICE("[::1\0]:443"), 0, &a), ERR_INVALID);
    assert_int_equal(authority_parse(SLICE("[::1"), 443, &a), ERR_INVALID);
    assert_int_equal(authority_parse(SLICE("["), 443, &a), ERR_INVALID);
    assert_int_equal(authority_parse(SLICE(""), 443, &a), ERR_INVALID);
}

static void lengths_have_bounds(void **state)
{
    char text[512];
    struct authority a;
    snprintf(text, sizeof text, "%063d%s:443", 0, "a.test");
    assert_int_equal(authority_parse(slice_of(text), 0, &a), ERR_INVALID);
    int n = 0;
    for (int i = 0; i < 25; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "abcdefghi.");
    snprintf(text + n, sizeof text - (size_t)n, "abc"); /* 253 */
    assert_int_equal(authority_parse(slice_of(text), 443, &a), ERR_OK);
    assert_int_equal(a.host_len, 253);
    snprintf(text + n, sizeof text - (size_t)n, "abcd");
    assert_int_equal(authority_parse(slice_of(text), 443, &a), ERR_INVALID);
}

static void ports_and_kinds_tell_authorities_apart(void **state)
{
    struct authority a, b;
    assert_int_equal(authority_parse(SLICE("host:443"), 0, &a), ERR_OK);
    assert_int_equal(authority_parse(SLICE("HOST."), 443, &b), ERR_OK);
    assert_true(authority_eq(&a, &b));
    b.port = 444;
    assert_false(authority_eq(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_literals_become_canonical),
        cmocka_unit_test(odd_spellings_are_refused),
        cmocka_unit_test(lengths_have_bounds),
        cmocka_unit_test(ports_and_kinds_tell_authorities_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
