/* Refusals, failures and what comes after them: who rests, who is asked next, and when nobody is.
 */
#include "../world.h"

#define ASK                                                                                        \
    "> ask gemini\n"                                                                               \
    "b1 new " GEMINI "\n"                                                                          \
    "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
#define ASK_SOLO                                                                                   \
    "> ask solo\n"                                                                                 \
    "b1 new " GEMINI "\n"                                                                          \
    "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
#define TO(n, account)                                                                             \
    "b" #n " new " GEMINI "\n"                                                                     \
    "b" #n " POST " GENERATE " Bearer tok-" account "-1 | {}\n"

/* ---- 401 ---- */

static void a_refused_token_is_renewed_once_for_the_same_account(void **state)
{
    play(ASK "> b1 says 401 | no\n"
             "invalidate tok-a-1\n"
             "b1 discards\n"
             "fetch a\n"
             "b1 kept\n"
             "b1 reused " GEMINI "\n"
             "b1 POST " GENERATE " Bearer tok-a-2 | {}\n"
             "> b1 says 200 | hello\n"
             "b1 kept\n"
             "client 200 | hello\n"
             "record 200 a:200\n");
}

static void a_second_401_rests_the_account_and_another_is_asked(void **state)
{
    play(ASK "> b1 says 401\n"
             "invalidate tok-a-1\n"
             "b1 discards\n"
             "fetch a\n"
             "b1 kept\n"
             "b1 reused " GEMINI "\n"
             "b1 POST " GENERATE " Bearer tok-a-2 | {}\n"
             "> b1 says 401\n"
             "cool a * 401 5 s\n"
             "invalidate tok-a-2\n"
             "b1 discards\n"
             "b2 new " GEMINI "\n"
             "b1 kept\n"
             "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
             "> b2 says 200 | hello\n"
             "b2 kept\n"
             "client 200 | hello\n"
             "record 200 a:401 b:200\n");
}

static void a_401_is_never_passed_on(void **state)
{
    play(ASK_SOLO "> b1 says 401\n"
                  "invalidate tok-a-1\n"
                  "b1 discards\n"
                  "fetch a\n"
                  "b1 kept\n"
                  "b1 reused " GEMINI "\n"
                  "b1 POST " GENERATE " Bearer tok-a-2 | {}\n"
                  "> b1 says 401\n"
                  "cool a * 401 5 s\n"
                  "invalidate tok-a-2\n"
                  "b1 closed\n"
                  "client 503 destination_unavailable retry-after 1\n"
                  "record 503 own a:401 credential_refused\n");
}

static void a_refused_api_key_is_not_asked_twice(void **state)
{
    play("> ask claude\n"
         "b1 new " CLAUDE "\n"
         "b1 POST /v1/messages sk-one | {\"model\":\"claude-x-1\"}\n"
         "> b1 says 401\n"
         "cool k1 * 401 5 s\n"
         "b1 discards\n"
         "b2 new " CLAUDE "\n"
         "b1 kept\n"
         "b2 POST /v1/messages sk-two | {\"model\":\"claude-x-1\"}\n"
         "> b2 says 200 | ok\n"
         "b2 kept\n"
         "client 200 | ok\n"
         "record 200 k1:401 k2:200\n");
}

/* ---- 429, 529 ---- */

static void a_429_rests_account_and_model_and_another_is_asked(void **state)
{
    play(ASK "> b1 says 429\n"
             "cool a gemini-2.5-pro 429 5 s\n"
             "b1 discards\n"
             "b2 new " GEMINI "\n"
             "b1 kept\n"
             "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
             "> b2 says 200 | hello\n"
             "b2 kept\n"
             "client 200 | hello\n"
             "record 200 a:429 b:200\n"
             /* and stays away from it */
             "> ask gemini\n"
             "b2 reused " GEMINI "\n"
             "b2 POST " GENERATE " Bearer tok-b-1 | {}\n");
}

static void retry_after_says_how_long(void **state)
{
    play(ASK "> b1 says 429 retry-after: 42\n"
             "cool a gemini-2.5-pro 429 42 s\n"
             "b1 discards\n"
             "b2 new " GEMINI "\n"
             "b1 kept\n"
             "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
             "> b2 says 429 retry-after: 99999999\n"
             "cool b gemini-2.5-pro 429 3600 s\n"
             "b2 discards\n"
             "b1 reused " GEMINI "\n"
             "b2 kept\n"
             "b1 POST " GENERATE " Bearer tok-c-1 | {}\n"
             "> b1 says 429 retry-after: tomorrow\n"
             "cool c gemini-2.5-pro 429 5 s\n"
             "b1 kept\n"
             "client 429 retry-after tomorrow\n"
             "record 429 a:429 b:429 c:429\n");
}

static void rests_double_up_to_a_minute(void **state)
{
    static const int rests[] = {5, 10, 20, 40, 60, 60};
    char text[512];
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text,
                 "> ask solo\n"
                 "b1 %s " GEMINI "\n"
                 "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
                 "> b1 says 429\n"
                 "cool a gemini-2.5-pro 429 %d s\n"
                 "b1 kept\n"
                 "client 429\n"
                 "record 429 a:429\n"
                 "> wait %d\n",
                 i ? "reused" : "new", rests[i], rests[i]);
        play(text);
    }
    /* an answer ends the doubling */
    play("> ask solo\n"
         "b1 reused " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> b1 says 200\n"
         "b1 kept\n"
         "client 200\n"
         "record 200 a:200\n"
         "> ask solo\n"
         "b1 reused " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> b1 says 429\n"
         "cool a gemini-2.5-pro 429 5 s\n"
         "b1 kept\n"
         "client 429\n"
         "record 429 a:429\n");
}

static void while_all_rest_the_answer_says_when_to_come_again(void **state)
{
    play(ASK_SOLO "> b1 says 429 retry-after: 30\n"
                  "cool a gemini-2.5-pro 429 30 s\n"
                  "b1 kept\n"
                  "client 429 retry-after 30\n"
                  "record 429 a:429\n"
                  "> wait 10\n"
                  "> ask solo\n"
                  "client 503 destination_unavailable retry-after 20\n"
                  "record 503 own none_available\n");
    assert_non_null(strstr(w.client.p, "Accounts in the pool: 1, 1 cooling down."));
}

static void a_529_is_as_a_429(void **state)
{
    play("> ask claude\n"
         "b1 new " CLAUDE "\n"
         "b1 POST /v1/messages sk-one | {\"model\":\"claude-x-1\"}\n"
         "> b1 says 529 | {}\n"
         "cool k1 claude-x-1 529 5 s\n"
         "b1 discards\n"
         "b2 new " CLAUDE "\n"
         "b1 kept\n"
         "b2 POST /v1/messages sk-two | {\"model\":\"claude-x-1\"}\n"
         "> b2 says 529 retry-after: 9 | {}\n"
         "cool k2 claude-x-1 529 9 s\n"
         "b2 kept\n"
         "client 529 retry-after 9 | {}\n"
         "record 529 k1:529 k2:529\n");
}

/* ---- 5xx ---- */

static void a_failing_host_rests_nobody(void **state)
{
    static const int statuses[] = {500, 502, 503, 504};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 ASK "> b1 says %d | oh\n"
                     "b1 discards\n"
                     "b2 new " GEMINI "\n"
                     "b1 kept\n"
                     "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
                     "> b2 says 200 | hello\n"
                     "b2 kept\n"
                     "client 200 | hello\n"
                     "record 200 a:%d b:200\n",
                 statuses[i], statuses[i]);
        if (i) {
            world_end(state);
            world_make(state);
        }
        play(text);
        assert_int_equal(
            health_cool_until(w.svc.health, &w.accounts[A], SLICE("gemini-2.5-pro"), WALL0_MS), 0);
    }
}

static void with_one_account_429_and_5xx_are_the_clients(void **state)
{
    play(ASK_SOLO "> b1 says 503 retry-after: 3 | busy\n"
                  "b1 kept\n"
                  "client 503 retry-after 3 | busy\n"
                  "record 503 a:503\n"
                  "> ask solo\n"
                  "b1 reused " GEMINI "\n"
                  "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
                  "> b1 says 429 | slow\n"
                  "cool a gemini-2.5-pro 429 5 s\n"
                  "b1 kept\n"
                  "client 429 | slow\n"
                  "record 429 a:429\n");
}

static void the_clients_own_errors_are_the_clients(void **state)
{
    static const int statuses[] = {400, 403, 404, 409, 413, 422, 501, 505, 599};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "> ask gemini\n"
                 "b1 %s " GEMINI "\n"
                 "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
                 "> b1 says %d | why\n"
                 "b1 kept\n"
                 "client %d | why\n"
                 "record %d a:%d\n",
                 i ? "reused" : "new", statuses[i], statuses[i], statuses[i], statuses[i]);
        play(text);
    }
}

/* ---- connections ---- */

static void a_failed_connection_goes_elsewhere_and_rests_nobody(void **state)
{
    static const char *const words[] = {"connect_refused", "certificate",     "tls",
                                        "unresolved",      "connect_timeout", "address_denied"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "> dials wait\n"
                 "> ask gemini\n"
                 "b1 new " GEMINI "\n"
                 "> dial %s\n"
                 "b2 new " GEMINI "\n"
                 "> dial ok\n"
                 "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
                 "> b2 says 200\n"
                 "b2 kept\n"
                 "client 200\n"
                 "record 200 a:%s b:200\n",
                 words[i], words[i]);
        if (i) {
            world_end(state);
            world_make(state);
        }
        play(text);
    }
}

static void when_nobody_can_be_reached_it_is_502_or_504(void **state)
{
    static const struct {
        const char *word, *answer;
    } ends[] = {{"connect_refused", "502 destination_unavailable"},
                {"certificate", "502 tls_certificate_error"},
                {"unresolved", "502 dns_error"},
                {"address_denied", "502 destination_ip_prohibited"},
                {"connect_timeout", "504 http_response_timeout"},
                {"no_descriptors", "503 proxy_internal_error retry-after 1"}};
    for (size_t i = 0; i < ARRAY_LEN(ends) - 1; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "> dials wait\n"
                 "> ask gemini\n"
                 "b1 new " GEMINI "\n"
                 "> dial %s\n"
                 "b2 new " GEMINI "\n"
                 "> dial %s\n"
                 "b3 new " GEMINI "\n"
                 "> dial %s\n"
                 "client %s\n"
                 "record %.3s own a:%s b:%s c:%s %s\n",
                 ends[i].word, ends[i].word, ends[i].word, ends[i].answer, ends[i].answer,
                 ends[i].word, ends[i].word, ends[i].word, ends[i].word);
        if (i) {
            world_end(state);
            world_make(state);
        }
        play(text);
    }
}

static void a_connection_lost_before_the_answer_goes_elsewhere(void **state)
{
    play(ASK "> b1 gone\n"
             "b1 closed\n" TO(2, "b") "> b2 ends\n"
                                      "b2 closed\n" TO(3, "c") "> b3 raw HTTP/1.1 200 O\n"
                                                               "> b3 gone\n"
                                                               "b3 closed\n"
                                                               "client 502 "
                                                               "destination_unavailable\n"
                                                               "record 502 own a:connection_lost "
                                                               "b:connection_lost "
                                                               "c:connection_lost "
                                                               "connection_lost\n");
}

#define SERVED_ONCE                                                                                \
    ASK "> b1 says 200\n"                                                                          \
        "b1 kept\n"                                                                                \
        "client 200\n"                                                                             \
        "record 200 a:200\n"                                                                       \
        "> ask gemini\n"                                                                           \
        "b1 reused " GEMINI "\n"                                                                   \
        "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"

static void a_stale_connection_costs_a_fresh_one_for_the_same_account(void **state)
{
    play("> attempts 1\n" SERVED_ONCE "> b1 gone\n"
         "b1 closed\n" TO(2, "a") "> b2 says 200 | hello\n"
                                  "b2 kept\n"
                                  "client 200 | hello\n"
                                  "record 200 a:200\n");
}

static void a_fresh_connection_that_is_lost_after_a_stale_one_counts(void **state)
{
    play(SERVED_ONCE "> b1 ends\n"
                     "b1 closed\n" TO(2, "a") "> b2 gone\n"
                                              "b2 closed\n" TO(3, "b") "> b3 says 200\n"
                                                                       "b3 kept\n"
                                                                       "client 200\n"
                                                                       "record 200 "
                                                                       "a:connection_lost b:200\n");
}

/* The pool handed out a connection that can take no request any more. */
static void a_stale_connection_that_takes_no_request_is_let_go(void **state)
{
    play(ASK "> b1 says 200\n"
             "b1 kept\n"
             "client 200\n"
             "record 200 a:200\n"
             "> b1 is stale\n"
             "> ask gemini\n"
             "b1 reused " GEMINI "\n"
             "b1 closed\n"
             "client 502 destination_unavailable\n"
             "record 502 own a:- closed\n");
}

/* ---- bounds ---- */

static void attempts_are_bounded(void **state)
{
    play("> attempts 2\n" ASK "> b1 says 500\n"
         "b1 discards\n"
         "b2 new " GEMINI "\n"
         "b1 kept\n"
         "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
         "> b2 says 500 | again\n"
         "b2 kept\n"
         "client 500 | again\n"
         "record 500 a:500 b:500\n");
}

static void nothing_is_tried_again_behind_the_first_byte(void **state)
{
    play(ASK "> b1 raw HTTP/1.1 200 OK~content-length: 10~~hello\n"
             "client 200 | hello\n"
             "> b1 gone\n"
             "b1 closed\n"
             "record 200 a:200 connection_lost\n"
             "client cut\n");
}

static void nothing_is_tried_again_beyond_the_replay_limit(void **state)
{
    play("> replay 4\n"
         "> ask open\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | 12345\n"
         "> send 67890\n"
         "b1 | 67890\n"
         "> b1 says 500 | sorry\n"
         "b1 kept\n"
         "client 500 | sorry\n"
         "record 500 a:500\n");
    world_end(state);
    world_make(state);
    play("> replay 4\n"
         "> ask open\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | 12345\n"
         "> b1 gone\n"
         "b1 closed\n"
         "client 502 destination_unavailable\n"
         "record 502 own a:connection_lost connection_lost\n");
}

static void uploads_go_elsewhere_only_after_a_definite_refusal(void **state)
{
#define UPLOAD(n, account)                                                                         \
    "b" #n " new " GEMINI "\n"                                                                     \
    "b" #n " POST /upload/v1beta/files Bearer tok-" account "-1 | data\n"
    play("> ask upload\n" UPLOAD(1, "a") "> b1 says 429\n"
                                         "cool a - 429 5 s\n"
                                         "b1 discards\n"
                                         "b2 new " GEMINI "\n"
                                         "b1 kept\n"
                                         "b2 POST /upload/v1beta/files Bearer tok-b-1 | data\n"
                                         "> b2 says 500 | no\n"
                                         "b2 kept\n"
                                         "client 500 | no\n"
                                         "record 500 a:429 b:500\n");
    world_end(state);
    world_make(state);
    play("> ask upload\n" UPLOAD(1, "a") "> b1 gone\n"
                                         "b1 closed\n"
                                         "client 502 destination_unavailable\n"
                                         "record 502 own a:connection_lost connection_lost\n");
    world_end(state);
    world_make(state);
    /* before any byte was sent it may go anywhere, and a reused connection is not risked */
    play("> ask get\n"
         "b1 new " GEMINI "\n"
         "b1 GET /v1beta/models Bearer tok-a-1\n"
         "> b1 says 200\n"
         "b1 kept\n"
         "client 200\n"
         "record 200 a:200\n"
         "> dials wait\n"
         "> ask upload\n"
         "b2 new " GEMINI "\n"
         "> dial connect_refused\n"
         "b3 new " GEMINI "\n"
         "> dial ok\n"
         "b3 POST /upload/v1beta/files Bearer tok-b-1 | data\n");
}

/* ---- tokens ---- */

static void without_a_token_another_account_is_asked(void **state)
{
    play("> no tokens\n"
         "> tokens wait\n"
         "> ask gemini\n"
         "fetch a\n"
         "> token fails\n"
         "cool a * mint_failed 30 s\n"
         "fetch b\n"
         "> token comes\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-b-2 | {}\n"
         "> b1 says 200\n"
         "b1 kept\n"
         "client 200\n"
         "record 200 a:invalid_grant b:200\n");
}

static void without_any_token_it_is_503(void **state)
{
    play("> no tokens\n"
         "> tokens fail\n"
         "> ask gemini\n"
         "fetch a\n"
         "cool a * mint_failed 30 s\n"
         "fetch b\n"
         "cool b * mint_failed 30 s\n"
         "fetch c\n"
         "cool c * mint_failed 30 s\n"
         "client 503 destination_unavailable retry-after 30\n"
         "record 503 own a:invalid_grant b:invalid_grant c:invalid_grant none_left\n"
         "> ask solo\n"
         "client 503 destination_unavailable retry-after 30\n"
         "record 503 own none_available\n");
}

static void a_snapshot_that_changes_meanwhile_is_for_the_next_request(void **state)
{
    play("> dials wait\n"
         "> ask gemini\n"
         "b1 new " GEMINI "\n");
    w.snaps[1].pool_count = 0; /* the pools are gone */
    w.svc.snapshot = &w.snaps[1];
    assert_int_equal(w.refs[0], 1);
    play("> dial connect_refused\n"
         "b2 new " GEMINI "\n"
         "> dial ok\n"
         "b2 POST " GENERATE " Bearer tok-b-1 | {}\n"
         "> b2 says 200\n"
         "b2 kept\n"
         "client 200\n"
         "record 200 a:connect_refused b:200\n"
         "> ask gemini\n"
         "client 503 proxy_internal_error\n"
         "record 503 own pool\n"
         "client ended\n");
    assert_int_equal(w.refs[0], 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(a_refused_token_is_renewed_once_for_the_same_account),
        SIM(a_second_401_rests_the_account_and_another_is_asked),
        SIM(a_401_is_never_passed_on),
        SIM(a_refused_api_key_is_not_asked_twice),
        SIM(a_429_rests_account_and_model_and_another_is_asked),
        SIM(retry_after_says_how_long),
        SIM(rests_double_up_to_a_minute),
        SIM(while_all_rest_the_answer_says_when_to_come_again),
        SIM(a_529_is_as_a_429),
        SIM(a_failing_host_rests_nobody),
        SIM(with_one_account_429_and_5xx_are_the_clients),
        SIM(the_clients_own_errors_are_the_clients),
        SIM(a_failed_connection_goes_elsewhere_and_rests_nobody),
        SIM(when_nobody_can_be_reached_it_is_502_or_504),
        SIM(a_connection_lost_before_the_answer_goes_elsewhere),
        SIM(a_stale_connection_costs_a_fresh_one_for_the_same_account),
        SIM(a_fresh_connection_that_is_lost_after_a_stale_one_counts),
        SIM(a_stale_connection_that_takes_no_request_is_let_go),
        SIM(attempts_are_bounded),
        SIM(nothing_is_tried_again_behind_the_first_byte),
        SIM(nothing_is_tried_again_beyond_the_replay_limit),
        SIM(uploads_go_elsewhere_only_after_a_definite_refusal),
        SIM(without_a_token_another_account_is_asked),
        SIM(without_any_token_it_is_503),
        SIM(a_snapshot_that_changes_meanwhile_is_for_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
