/* Silence: whose it is, and what it costs. The clock is ours. */
#include "../world.h"

#define POST(n, body) "b" #n " POST " GENERATE " Bearer tok-a-1 | " body "\n"

static void a_client_silent_before_its_model_gets_408(void **state)
{
    play("> ask open claude\n"
         "> wait 119\n"
         "> send \"x\":2,\n"
         "> wait 119\n"
         "> wait 2\n"
         "client 408 http_request_error\n"
         "record 408 own body_timeout\n"
         "client ended\n");
}

static void a_client_silent_within_its_body_gets_408(void **state)
{
    play("> ask open\n"
         "b1 new " GEMINI "\n" POST(1, "12345") "> wait 119\n"
                                                "> send 67\n"
                                                "b1 | 67\n"
                                                "> wait 119\n"
                                                "> wait 2\n"
                                                "b1 closed\n"
                                                "client 408 http_request_error\n"
                                                "record 408 own a:body_timeout body_timeout\n"
                                                "client ended\n");
}

static void a_provider_silent_before_its_answer_is_504(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(1, "{}") "> wait 299\n"
                                             "> b1 raw HTTP/1.1 100 Continue~~\n"
                                             "> wait 2\n"
                                             "b1 distrusted\n"
                                             "b1 closed\n"
                                             "client 504 http_response_timeout\n"
                                             "record 504 own a:answer_timeout answer_timeout\n");
}

static void a_provider_that_does_not_take_the_body_is_504(void **state)
{
    play("> hold back\n"
         "> ask open\n"
         "b1 new " GEMINI "\n"
         "> send 67890\n"
         "> wait 299\n"
         "> wait 2\n"
         "b1 distrusted\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | 1234567890\n"
         "b1 closed\n"
         "client 504 http_response_timeout\n"
         "record 504 own a:answer_timeout answer_timeout\n");
}

static void a_stream_may_last_for_hours_but_not_be_silent(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI
         "\n" POST(1, "{}") "> b1 raw HTTP/1.1 200 OK~transfer-encoding: chunked~~3~one~\n"
                            "client 200 | 3~one~\n"
                            "> wait 299\n"
                            "> b1 raw 3~two~\n"
                            "client | 3~two~\n"
                            "> wait 299\n"
                            "> b1 raw 3~six~\n"
                            "client | 3~six~\n"
                            "> wait 299\n"
                            "> wait 2\n"
                            "b1 distrusted\n"
                            "b1 closed\n"
                            "record 200 a:200 silence\n"
                            "client cut\n");
}

static void a_client_that_takes_no_answer_is_cut(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(1, "{}") "> hold front\n"
                                             "> b1 says 200 | hello\n"
                                             "b1 kept\n"
                                             "> wait 299\n"
                                             "> wait 2\n"
                                             "record 200 a:200 silence\n"
                                             "client 200 | hello\n"
                                             "client cut\n");
}

/* Its provider is silent because nobody takes what it says. */
static void a_client_that_takes_no_more_is_no_fault_of_the_provider(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(1, "{}") "> hold front\n"
                                             "> b1 raw HTTP/1.1 200 OK~transfer-encoding: "
                                             "chunked~~3~one~\n"
                                             "> wait 299\n"
                                             "> wait 2\n"
                                             "b1 closed\n"
                                             "record 200 a:200 silence\n"
                                             "client 200 | 3~one~\n"
                                             "client cut\n");
}

static void a_client_that_takes_no_refusal_is_cut(void **state)
{
    assert_true(connect_client(GEMINI));
    play("> hold front\n"
         "> send GET /nowhere HTTP/1.1~host: " GEMINI "~x-api-key: " ALICE "~~\n"
         "> wait 119\n"
         "> wait 2\n"
         "record 404 own path\n"
         "client 404 http_request_denied\n"
         "client cut\n");
}

/* The broker and the pool have their own time limits, and say when they are over. */
static void waiting_for_token_and_connection_is_theirs_to_bound(void **state)
{
    play("> no tokens\n"
         "> tokens wait\n"
         "> dials wait\n"
         "> ask gemini\n"
         "fetch a\n"
         "> wait 1000\n"
         "> token comes\n"
         "b1 new " GEMINI "\n"
         "> wait 1000\n"
         "> dial connect_timeout\n"
         "fetch b\n"
         "> token fails\n"
         "cool b * mint_failed 30 s\n"
         "fetch c\n"
         "> token fails\n"
         "cool c * mint_failed 30 s\n"
         "client 503 destination_unavailable retry-after 30\n"
         "record 503 own a:connect_timeout b:invalid_grant c:invalid_grant none_left\n");
}

static void the_body_of_a_request_that_waits_is_not_timed(void **state)
{
    play("> dials wait\n"
         "> ask open\n"
         "b1 new " GEMINI "\n"
         "> wait 200\n"
         "> dial ok\n" POST(1, "12345") "> wait 119\n"
                                        "> send 67890\n"
                                        "b1 | 67890\n"
                                        "> wait 290\n"
                                        "> b1 says 200\n"
                                        "b1 kept\n"
                                        "client 200\n"
                                        "record 200 a:200\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(a_client_silent_before_its_model_gets_408),
        SIM(a_client_silent_within_its_body_gets_408),
        SIM(a_provider_silent_before_its_answer_is_504),
        SIM(a_provider_that_does_not_take_the_body_is_504),
        SIM(a_stream_may_last_for_hours_but_not_be_silent),
        SIM(a_client_that_takes_no_answer_is_cut),
        SIM(a_client_that_takes_no_more_is_no_fault_of_the_provider),
        SIM(a_client_that_takes_no_refusal_is_cut),
        SIM(waiting_for_token_and_connection_is_theirs_to_bound),
        SIM(the_body_of_a_request_that_waits_is_not_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
