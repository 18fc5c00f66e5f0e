/* What each answer means: whose fault, who rests, what next. */
#include "exchange/exchange_internal.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void each_status_has_its_judgement(void **state)
{
    for (int status = 200; status < 600; status++)
        for (int kind = 0; kind < 2; kind++)
            for (int renewed = 0; renewed < 2; renewed++) {
                struct refusal r = judge_answer(status, (enum account_kind)kind, renewed);
                bool renews = status == 401 && kind == ACCOUNT_SERVICE && !renewed;
                bool limited = status == 429 || status == 529;
                bool fails = status == 500 || (status >= 502 && status <= 504);
                assert_int_equal(r.judgement, renews                              ? JUDGE_NEW_TOKEN
                                              : status == 401 || limited || fails ? JUDGE_OTHER
                                                                                  : JUDGE_PASS);
                assert_true((r.cool_reason != NULL) == (limited || (status == 401 && !renews)));
                assert_int_equal(r.cools_account, status == 401 && !renews);
                assert_int_equal(r.is_definite, limited || status == 401);
            }
}

/* google/rpc/code.proto, and only in a head that is the whole answer. */
static void a_grpc_status_stands_for_one_of_http(void **state)
{
    static const int want[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                               400, 409, 400, 501, 500, 503, 500, 401};
    char text[24];
    struct field field = {SLICE("grpc-status"), {text, 0}, FIELD_OTHER};
    struct head h = {.status = 200, .fields = &field, .count = 1};
    for (int code = 0; code < 40; code++) {
        field.value.n = (size_t)snprintf(text, sizeof text, "%d", code);
        int status = code < (int)ARRAY_LEN(want) ? want[code] : 200;
        assert_int_equal(grpc_http_status(&h, true), status);
        assert_int_equal(grpc_http_status(&h, false), 200);
    }
    static const char *const odd[] = {"", "x", "-1", "99999999999999999999", "8 "};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        field.value = slice_of(odd[i]);
        assert_int_equal(grpc_http_status(&h, true), 200);
    }
    field.value = SLICE("8");
    h.status = 503;
    assert_int_equal(grpc_http_status(&h, true), 503);
    h.count = 0;
    assert_int_equal(grpc_http_status(&h, true), 503);
}

static void the_words_of_a_rest_are_those_of_the_store(void **state)
{
    assert_string_equal(judge_answer(429, ACCOUNT_SERVICE, false).cool_reason, "429");
    assert_string_equal(judge_answer(529, ACCOUNT_API_KEY, false).cool_reason, "529");
    assert_string_equal(judge_answer(401, ACCOUNT_API_KEY, false).cool_reason, "401");
    assert_string_equal(judge_answer(401, ACCOUNT_SERVICE, true).cool_reason, "401");
}

static void a_retry_is_allowed_until_something_is_lost(void **state)
{
    for (int bits = 0; bits < 64; bits++) {
        struct exchange x = {.is_committed = bits & 1,
                             .is_replayable = bits & 2,
                             .front_closed = bits & 4,
                             .match.is_resumable = bits & 8,
                             .is_forwarded = bits & 16};
        bool definite = bits & 32;
        bool want =
            !(bits & 1) && (bits & 2) && !(bits & 4) && (definite || !((bits & 8) && (bits & 16)));
        assert_int_equal(retry_allowed(&x, definite), want);
    }
}

static void retry_after_is_seconds_or_nothing(void **state)
{
    static const struct {
        const char *value;
        int64_t want;
    } cases[] = {{"0", 0},
                 {"7", 7},
                 {"999999999", 999999999},
                 {"1000000000", -1},
                 {"", -1},
                 {"-1", -1},
                 {"+1", -1},
                 {"1.5", -1},
                 {"1 ", -1},
                 {"0x10", -1},
                 {"Wed, 21 Oct 2026 07:28:00 GMT", -1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct field f = {SLICE("retry-after"), slice_of(cases[i].value), FIELD_RETRY_AFTER};
        struct head h = {.fields = &f, .count = 1};
        if (retry_after_s(&h) != cases[i].want)
            fail_msg("\"%s\"", cases[i].value);
    }
    struct head none = {0};
    assert_int_equal(retry_after_s(&none), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_status_has_its_judgement),
        cmocka_unit_test(a_grpc_status_stands_for_one_of_http),
        cmocka_unit_test(the_words_of_a_rest_are_those_of_the_store),
        cmocka_unit_test(a_retry_is_allowed_until_something_is_lost),
        cmocka_unit_test(retry_after_is_seconds_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
