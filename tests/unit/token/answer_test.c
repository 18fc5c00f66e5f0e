#include "token/answer.h"
#include "token/oauth2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct token_answer parse(int status, const char *body)
{
    struct token_answer a = {0};
    token_answer_parse(status, slice_of(body), &a);
    return a;
}

static void a_token_is_taken(void **state)
{
    static const char *const good[] = {
        "{\"access_token\":\"ya29.c.x...\",\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"token_type\":\"bEARER\",\"expires_in\":\"3599\",\"access_token\":\"ya29.c.x...\"}",
        "{\"access_token\":\"ya29.c.x...\",\"expires_in\":3599.9,\"token_type\":\"Bearer\","
        "\"scope\":\"s\"}\r\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct token_answer a = parse(200, good[i]);
        assert_int_equal(a.fault, FAULT_NONE);
        assert_true(secret_eq(a.token, SLICE("ya29.c.x...")));
        assert_int_equal(a.expires_in_s, 3599);
        secret_unref(&a.token);
    }
}

static void nonsense_is_never_a_token(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        "{\"access_token\":\"x\"",
        "{\"access_token\":\"\",\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":7,\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a b\",\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\\r\\nX-Evil: 1\",\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\\u00e9\",\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\\u0000b\",\"expires_in\":3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"access_token\":\"b\",\"expires_in\":3599,\"token_type\":"
        "\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":3599}",
        "{\"access_token\":\"a\",\"expires_in\":3599,\"token_type\":\"mac\"}",
        "{\"access_token\":\"a\",\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":59,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":86401,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":-3599,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":1e300,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":\"3599s\",\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":\"-1\",\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":\"18446744073709551615\",\"token_type\":"
        "\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":true,\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"expires_in\":3599,\"token_type\":\"Bearer\"} {}",
        "{\"id_token\":\"a\",\"expires_in\":3599,\"token_type\":\"Bearer\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct token_answer a = parse(200, bad[i]);
        assert_null(a.token);
        assert_int_equal(a.fault, FAULT_TRANSIENT);
        assert_string_equal(a.reason, "endpoint_garbage");
    }
    struct token_answer a =
        parse(201, "{\"access_token\":\"a\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
    assert_int_equal(a.fault, FAULT_TRANSIENT);
    a = parse(302, "{\"access_token\":\"a\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
    assert_int_equal(a.fault, FAULT_TRANSIENT);
}

static void sizes_are_bounded(void **state)
{
    char *body = malloc(2 * TOKEN_ANSWER_MAX);
    for (size_t n = TOKEN_MAX; n <= TOKEN_MAX + 1; n++) {
        int at = snprintf(body, TOKEN_ANSWER_MAX,
                          "{\"expires_in\":3599,\"token_type\":\"Bearer\",\"access_token\":\"");
        memset(body + at, 'x', n);
        memcpy(body + at + n, "\"}", 3);
        struct token_answer a = parse(200, body);
        assert_int_equal(a.fault, n <= TOKEN_MAX ? FAULT_NONE : FAULT_TRANSIENT);
        secret_unref(&a.token);
    }
    int at = snprintf(body, TOKEN_ANSWER_MAX,
                      "{\"access_token\":\"a\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
    memset(body + at, ' ', TOKEN_ANSWER_MAX);
    struct token_answer a;
    token_answer_parse(200, slice_make(body, TOKEN_ANSWER_MAX + 1), &a);
    assert_int_equal(a.fault, FAULT_TRANSIENT);
    token_answer_parse(200, slice_make(body, TOKEN_ANSWER_MAX), &a);
    assert_int_equal(a.fault, FAULT_NONE);
    secret_unref(&a.token);
    free(body);
}

static void every_refusal_has_its_fault(void **state)
{
    static const struct {
        int status;
        const char *error, *description;
        enum token_fault fault;
        const char *reason;
    } v[] = {
        {400, "invalid_grant", "Invalid JWT Signature.", FAULT_KEY, "invalid_grant"},
        {400, "invalid_grant", "Invalid grant: account not found", FAULT_ACCOUNT,
         "account_not_found"},
        {400, "invalid_grant",
         "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
         "timeframe. Check your iat "
         "and exp values in the JWT claim.",
         FAULT_CLOCK, "clock_skew"},
        {400, "invalid_grant", "Invalid JWT: No valid verifier found for issuer.", FAULT_YOUNG,
         "not_propagated"},
        {400, "invalid_grant", "something new", FAULT_KEY, "invalid_grant"},
        {400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.", FAULT_CONFIG,
         "invalid_scope"},
        {401, "invalid_scope", "", FAULT_CONFIG, "invalid_scope"},
        {400, "invalid_request", "Bad Request", FAULT_CONFIG, "invalid_request"},
        {401, "unauthorized_client", "", FAULT_ACCOUNT, "unauthorized_client"},
        {401, "disabled_client", "The OAuth client was disabled.", FAULT_ACCOUNT,
         "disabled_client"},
        {401, "admin_policy_enforced", "", FAULT_ACCOUNT, "admin_policy_enforced"},
        {400, "internal_failure", "", FAULT_TRANSIENT, "endpoint_unavailable"},
        {400, "server_error", "", FAULT_TRANSIENT, "endpoint_unavailable"},
        {400, "temporarily_unavailable", "", FAULT_TRANSIENT, "endpoint_unavailable"},
        {400, "who knows", "", FAULT_TRANSIENT, "endpoint_garbage"},
        {408, "x", "", FAULT_TRANSIENT, "endpoint_unavailable"},
        {429, "x", "", FAULT_TRANSIENT, "endpoint_rate_limited"},
        {500, "invalid_grant", "Invalid JWT Signature.", FAULT_TRANSIENT, "endpoint_unavailable"},
        {503, "x", "", FAULT_TRANSIENT, "endpoint_unavailable"},
        {504, "x", "", FAULT_TRANSIENT, "endpoint_unavailable"},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        char body[512];
        snprintf(body, sizeof body, "{\"error\":\"%s\",\"error_description\":\"%s\"}", v[i].error,
                 v[i].description);
        struct token_answer a = parse(v[i].status, body);
        assert_int_equal(a.fault, v[i].fault);
        assert_string_equal(a.reason, v[i].reason);
        assert_int_not_equal(a.err, ERR_OK);
        assert_non_null(a.advice);
    }
    assert_int_equal(parse(404, "<html>").fault, FAULT_TRANSIENT);
    assert_int_equal(
        parse(403, "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\"}}").fault,
        FAULT_TRANSIENT);
}

static void delays_double_up_to_their_bound(void **state)
{
    assert_int_equal(fault_delay_s(FAULT_TRANSIENT, 1), 1);
    assert_int_equal(fault_delay_s(FAULT_TRANSIENT, 2), 2);
    assert_int_equal(fault_delay_s(FAULT_TRANSIENT, 6), 32);
    assert_int_equal(fault_delay_s(FAULT_TRANSIENT, 7), 60);
    assert_int_equal(fault_delay_s(FAULT_TRANSIENT, UINT64_MAX), 60);
    assert_int_equal(fault_delay_s(FAULT_KEY, 1), 300);
    assert_int_equal(fault_delay_s(FAULT_KEY, 4), 2400);
    assert_int_equal(fault_delay_s(FAULT_KEY, 5), 3600);
    assert_true(fault_is_permanent(FAULT_KEY) && fault_is_permanent(FAULT_ACCOUNT));
    assert_false(fault_is_permanent(FAULT_TRANSIENT) || fault_is_permanent(FAULT_CLOCK));
}

static void connect_to_matches_as_curl_does(void **state)
{
    static char *list[] = {"other.example:443:10.0.0.1:1",
                           "junk",
                           "[::1]:443:[::2]:444",
                           "*-aiplatform.googleapis.com:443:127.0.0.1:9443",
                           "oauth2.googleapis.com:443:[::1]:9444",
                           "oauth2.googleapis.com:443:127.0.0.1:1",
                           "::10.0.0.9:"};
    static const struct {
        const char *host;
        uint16_t port;
        const char *want;
    } v[] = {{"OAuth2.googleapis.com", 443, "::[::1]:9444"},
             {"eu-aiplatform.googleapis.com", 443, "::127.0.0.1:9443"},
             {"-aiplatform.googleapis.com", 443, "::10.0.0.9:"},
             {"[::1]", 443, "::[::2]:444"},
             {"oauth2.googleapis.com", 8443, "::10.0.0.9:"}};
    char to[64];
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        assert_true(connect_to_match(list, 7, slice_of(v[i].host), v[i].port, to, sizeof to));
        assert_string_equal(to, v[i].want);
    }
    assert_false(connect_to_match(list, 6, SLICE("oauth2.googleapis.com"), 8443, to, sizeof to));
    assert_false(connect_to_match(NULL, 0, SLICE("oauth2.googleapis.com"), 443, to, sizeof to));
    assert_false(connect_to_match(list + 4, 1, SLICE("oauth2.googleapis.com"), 443, to, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_taken),
        cmocka_unit_test(nonsense_is_never_a_token),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(every_refusal_has_its_fault),
        cmocka_unit_test(delays_double_up_to_their_bound),
        cmocka_unit_test(connect_to_matches_as_curl_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
