/* Amounts, placeholders, shares, addresses: small values in and out. */
#include "desk.h"

#include "cli/env.h"
#include "cli/placeholder.h"
#include "cli/quantity.h"
#include "cli/share.h"
#include "conf/conf.h"

static void durations_are_read(void **state)
{
    const struct {
        const char *text;
        int64_t s;
    } good[] = {{"45", 45},       {"45s", 45},     {"90m", 5400},     {"12h", 43200},
                {"30d", 2592000}, {"2w", 1209600}, {"1d12h", 129600}, {"1y", 31536000}};
    const char *const bad[] = {
        "", "0", "d", "1x", "-1d", "1d5", "1 d", "1.5h", "101y", "9999999999999999d", "1d-", "+1"};
    int64_t s;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(duration_parse(good[i].text, &s));
        assert_int_equal(s, good[i].s);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(duration_parse(bad[i], &s));
}

static void quantities_are_read(void **state)
{
    const struct {
        const char *text;
        int64_t n;
    } good[] = {{"0", 0},          {"250", 250},
                {"10k", 10000},    {"10M", 10000000},
                {"1.5M", 1500000}, {"2G", 2000000000},
                {"0.001k", 1},     {"999999999999999", 999999999999999}};
    const char *const bad[] = {"",         "-1",   "M",          "1.M",
                               "1.5",      "10MM", "10 M",       "1e6",
                               "9999999G", "0x10", "1.1234567M", "99999999999999999999"};
    int64_t n;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(quantity_parse(good[i].text, &n));
        assert_int_equal(n, good[i].n);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(quantity_parse(bad[i], &n));
}

static void weights_read_back_as_printed(void **state)
{
    const char *const good[] = {"0", "1", "3", "0.5", "1000000", "0.000001", "12.25"};
    const char *const bad[] = {"",        "-1", "many", "1e3",       "nan", "inf", "0x1",
                               "1000001", "1.", ".5",   "0.0000001", "1,5", " 1"};
    char text[QUANTITY_TEXT];
    double w;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(weight_parse(good[i], &w));
        assert_string_equal(weight_print(w, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(weight_parse(bad[i], &w));
}

static void an_expiry_lies_ahead(void **state)
{
    int64_t at = -1;
    assert_true(expiry_parse("never", 1000, &at));
    assert_int_equal(at, 0);
    assert_true(expiry_parse("1h", 1000, &at));
    assert_int_equal(at, 4600);
    assert_true(expiry_parse("2027-01-31", 1000, &at));
    assert_int_equal(at, 1801353600);
    assert_false(expiry_parse("2027-01-31", 1801353600, &at));
    assert_false(expiry_parse("2027-13-31", 1000, &at));
    assert_false(expiry_parse("2027-1-3", 1000, &at));
    assert_false(expiry_parse("soon", 1000, &at));
}

static void amounts_are_shown_short(void **state)
{
    char text[QUANTITY_TEXT];
    assert_string_equal(duration_print(274000, text), "3d04h");
    assert_string_equal(duration_print(7260, text), "2h01m");
    assert_string_equal(duration_print(119, text), "1m");
    assert_string_equal(duration_print(0, text), "0s");
    assert_string_equal(duration_print(-5, text), "-");
    assert_string_equal(quantity_print(950, text), "950");
    assert_string_equal(quantity_print(12345, text), "12.3K");
    assert_string_equal(quantity_print(10000000, text), "10M");
}

static void a_placeholder_names_its_service(void **state)
{
    struct errmsg msg = {0};
    char longest[520];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "gemini-", 7);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, SLICE("gemini-abcde"), &msg), ERR_OK);
    assert_int_equal(placeholder_check(SERVICE_CLAUDE, SLICE("claude-abcde"), &msg), ERR_OK);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, slice_make(longest, 512), &msg), ERR_OK);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, slice_make(longest, 513), &msg),
                     ERR_INVALID);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, SLICE("claude-abcde"), &msg), ERR_INVALID);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, SLICE("geminixabcde"), &msg), ERR_INVALID);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, SLICE("gemini-abcd"), &msg), ERR_INVALID);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, SLICE("gemini-abc de"), &msg), ERR_INVALID);
    assert_int_equal(placeholder_check(SERVICE_GEMINI,
                                       SLICE("gemini-abc\x7f"
                                             "de"),
                                       &msg),
                     ERR_INVALID);
    assert_int_equal(placeholder_check(SERVICE_GEMINI, SLICE("gemini-SECRET\xc3\xa9"), &msg),
                     ERR_INVALID);
    assert_null(strstr(msg.text, "SECRET"));
}

static void names_are_narrow(void **state)
{
    assert_true(name_is_valid(SLICE("a")) && name_is_valid(SLICE("team-1.eu_2@x+y")));
    assert_false(name_is_valid(SLICE("")) || name_is_valid(SLICE("-a")) ||
                 name_is_valid(SLICE("a b")) || name_is_valid(SLICE("a/b")) ||
                 name_is_valid(SLICE("a=1")) || name_is_valid(SLICE("a\x1b")));
    assert_false(
        name_is_valid(SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

static void shares_count_those_that_can_serve(void **state)
{
    cJSON *m =
        cJSON_Parse("[{\"account\":\"a\",\"weight\":2,\"state\":\"up\"},{\"account\":\"b\","
                    "\"weight\":1,\"state\":\"up\"},"
                    "{\"account\":\"c\",\"weight\":9,\"state\":\"drain\"},{\"account\":\"d\","
                    "\"weight\":0,\"state\":\"up\"},"
                    "{\"account\":\"e\",\"weight\":5,\"state\":\"up\",\"cooling_until\":99}]");
    const double want[] = {66.67, 33.33, 0, 0, 0};
    share_fill(m);
    for (int i = 0; i < 5; i++)
        assert_true(cJSON_GetObjectItem(cJSON_GetArrayItem(m, i), "expected_pct")->valuedouble ==
                    want[i]);
    cJSON_Delete(m);
    m = cJSON_Parse("[{\"account\":\"c\",\"weight\":9,\"state\":\"off\"}]");
    share_fill(m);
    assert_true(cJSON_GetObjectItem(m->child, "expected_pct")->valuedouble == 0);
    cJSON_Delete(m);
}

/* ---- env ---- */

static void address_is(const char *proxy, const char *tls, const char *advertise, const char *want)
{
    char p[64], t[64], a[64], got[300];
    struct errmsg msg = {0};
    snprintf(p, sizeof p, "%s", proxy);
    snprintf(t, sizeof t, "%s", tls);
    snprintf(a, sizeof a, "%s", advertise);
    char *pv[] = {p}, *tv[] = {t};
    struct conf conf = {0};
    conf.listen.proxy = (struct conf_list){pv, *p ? 1 : 0};
    conf.listen.proxy_tls = (struct conf_list){tv, *t ? 1 : 0};
    conf.listen.advertise = a;
    enum err e = env_proxy(&conf, "box", got, &msg);
    assert_int_equal(e, want ? ERR_OK : ERR_CONFIG);
    if (want)
        assert_string_equal(got, want);
}

static void clients_get_an_address_that_they_can_reach(void **state)
{
    address_is("127.0.0.1:3128", "", "", "http://127.0.0.1:3128");
    address_is("0.0.0.0:3128", "", "", "http://box:3128");
    address_is("[::]:3128", "", "", "http://box:3128");
    address_is("[::1]:3128", "", "", "http://[::1]:3128");
    address_is("0.0.0.0:3128", "", "proxy.corp:8080", "http://proxy.corp:8080");
    address_is("", "10.0.0.1:3129", "", "https://10.0.0.1:3129");
    address_is("", "", "", NULL);
}

#define PEM "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

static void scripts_carry_the_ca_and_nothing_else_of_its_file(void **state)
{
    const enum env_shell shells[] = {ENV_SH, ENV_FISH, ENV_POWERSHELL, ENV_GITHUB, ENV_GITLAB};
    struct env_facts f = {.proxy = "http://proxy.corp:3128",
                          .ca_pem = SLICE("it's a comment\n" PEM "$(x)\n" PEM)};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        struct sbuf b;
        sbuf_init(&b, 1 << 20);
        assert_int_equal(env_render(&f, shells[i], &b), ERR_OK);
        assert_non_null(strstr(
            sbuf_z(&b), "BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN"));
        assert_non_null(strstr(sbuf_z(&b), "http://proxy.corp:3128"));
        assert_null(strstr(sbuf_z(&b), "comment"));
        assert_null(strstr(sbuf_z(&b), "$(x)"));
        assert_null(strstr(sbuf_z(&b), "@PEM@"));
        assert_null(strstr(sbuf_z(&b), "@PROXY@"));
        assert_null(strstr(sbuf_z(&b), "@ENV@"));
        sbuf_finish(&b);
    }
}

static void odd_facts_reach_no_shell(void **state)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    struct env_facts f = {.proxy = "http://a$(reboot):1", .ca_pem = SLICE(PEM)};
    assert_int_equal(env_render(&f, ENV_SH, &b), ERR_INVALID);
    snprintf(f.proxy, sizeof f.proxy, "http://a:1");
    f.ca_pem = SLICE("-----BEGIN CERTIFICATE-----\nAA'; reboot\n-----END CERTIFICATE-----\n");
    assert_int_equal(env_render(&f, ENV_SH, &b), ERR_INVALID);
    f.ca_pem = SLICE("");
    assert_int_equal(env_render(&f, ENV_SH, &b), ERR_INVALID);
    f.ca_path = "/etc/ca.pem";
    f.bundle_path = "/tmp/a b";
    assert_int_equal(env_render(&f, ENV_DOTENV, &b), ERR_INVALID);
    f.bundle_path = "/tmp/bundle.pem";
    assert_int_equal(env_render(&f, ENV_DOTENV, &b), ERR_OK);
    assert_non_null(strstr(sbuf_z(&b), "\nHTTPS_PROXY=http://a:1\n"));
    assert_non_null(strstr(sbuf_z(&b), "\nNODE_EXTRA_CA_CERTS=/etc/ca.pem\n"));
    assert_non_null(strstr(sbuf_z(&b), "\nSSL_CERT_FILE=/tmp/bundle.pem\n"));
    sbuf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(quantities_are_read),
        cmocka_unit_test(weights_read_back_as_printed),
        cmocka_unit_test(an_expiry_lies_ahead),
        cmocka_unit_test(amounts_are_shown_short),
        cmocka_unit_test(a_placeholder_names_its_service),
        cmocka_unit_test(names_are_narrow),
        cmocka_unit_test(shares_count_those_that_can_serve),
        cmocka_unit_test(clients_get_an_address_that_they_can_reach),
        cmocka_unit_test(scripts_carry_the_ca_and_nothing_else_of_its_file),
        cmocka_unit_test(odd_facts_reach_no_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
