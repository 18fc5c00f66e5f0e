/* What each answer means: whose fault, who rests, what next. */
#include "exchange/exchange_internal.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>

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
        cmocka_unit_test(the_words_of_a_rest_are_those_of_the_store),
        cmocka_unit_test(a_retry_is_allowed_until_something_is_lost),
        cmocka_unit_test(retry_after_is_seconds_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
