/* Bodies on their way: early answers, slow ends, models that stand in the body, clients and
 * providers that go away in the middle. */
#include "../world.h"

#define POST(n, account, body) "b" #n " POST " GENERATE " Bearer tok-" account "-1 | " body "\n"

/* ---- early answers ---- */

static void an_early_answer_is_passed_on_and_the_request_is_given_up(void **state)
{
    play("> ask open\n"
         "b1 new " GEMINI "\n" POST(1, "a", "12345") "> b1 says 400 | no\n"
                                                     "b1 closed\n"
                                                     "client 400 | no\n"
                                                     "record 400 a:400\n"
                                                     /* what is left of it is swallowed */
                                                     "> send 67890\n"
                                                     "> ask gemini\n"
                                                     "b2 new " GEMINI "\n" POST(2, "a", "{}"));
}

static void an_early_stream_and_its_request_run_side_by_side(void **state)
{
    play("> ask stream\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1\n"
         "> send 2~hi~\n"
         "b1 | 2~hi~\n"
         "> b1 raw HTTP/1.1 200 OK~transfer-encoding: chunked~~3~one~\n"
         "client 200 | 3~one~\n"
         "> send 2~ho~\n"
         "b1 | 2~ho~\n"
         "> b1 raw 3~two~\n"
         "client | 3~two~\n"
         "> send 0~~\n"
         "b1 | 0~~\n"
         "> b1 raw 0~~\n"
         "b1 kept\n"
         "client | 0~~\n"
         "record 200 a:200\n");
}

static void an_early_refusal_goes_elsewhere_with_what_came_so_far(void **state)
{
    play("> ask open\n"
         "b1 new " GEMINI
         "\n" POST(1, "a", "12345") "> b1 says 429\n"
                                    "cool a gemini-2.5-pro 429 5 s\n"
                                    "b1 closed\n"
                                    "b2 new " GEMINI
                                    "\n" POST(2, "b", "12345") "> send 67890\n"
                                                               "b2 | 67890\n"
                                                               "> b2 says 200\n"
                                                               "b2 kept\n"
                                                               "client 200\n"
                                                               "record 200 a:429 b:200\n");
}

/* ---- big bodies ---- */

static size_t feed_body(size_t n)
{
    static char x[65536];
    memset(x, 'x', sizeof x);
    size_t taken = 0;
    while (taken < n) {
        size_t piece = n - taken < sizeof x ? n - taken : sizeof x;
        size_t took = client_sends(x, piece);
        taken += took;
        if (took < piece)
            break;
    }
    return taken;
}

static void send_big_head(const char *type, size_t n)
{
    char text[512];
    assert_true(connect_client(GEMINI));
    snprintf(text, sizeof text,
             "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: %s"
             "~content-length: %zu~~",
             type, n);
    send_text(text);
}

static void a_body_beyond_the_replay_limit_streams_with_constant_memory(void **state)
{
    enum {
        N = 8 << 20
    };
    w.is_quiet = true;
    w.conf.retry.replay_bytes = 65536;
    send_big_head(ALICE, N);
    assert_int_equal(feed_body(N), N);
    assert_true(w.most_held <= 65536);
    assert_int_equal(atomic_load(&w.replay_bytes), 0);
    assert_true(w.backs[0].wire.n > N && w.backs[0].wire.n < N + 1024);
    w.is_quiet = false;
    play("> b1 says 200 | big\n"
         "b1 kept\n"
         "client 200 | big\n"
         "record 200 a:200\n");
}

static void a_provider_that_takes_nothing_stops_the_client(void **state)
{
    enum {
        N = 8 << 20
    };
    w.is_quiet = w.holds_back = true;
    send_big_head(ALICE, N);
    size_t taken = feed_body(N);
    assert_true(taken >= STREAM_WINDOW && taken <= STREAM_WINDOW + 65536);
    w.holds_back = false;
    settle();
    assert_int_equal(feed_body(N - taken), N - taken);
    assert_int_equal(w.backs[0].wire.told, w.backs[0].wire.n);
}

static void a_client_that_takes_nothing_stops_the_provider(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    static char chunk[6 + 16384 + 2];
    w.is_quiet = true;
    send_big_head(ALICE, 2);
    feed_body(2);
    w.holds_front = true;
    back_says(&w.backs[0], head, sizeof head - 1);
    memset(chunk, 'y', sizeof chunk);
    memcpy(chunk, "4000\r\n", 6);
    memcpy(chunk + sizeof chunk - 2, "\r\n", 2);
    size_t chunks = 0;
    for (; chunks < 1000 && session_wants_read(w.backs[0].session); chunks++)
        back_says(&w.backs[0], chunk, sizeof chunk);
    assert_true(chunks >= 8 && chunks <= 10);
    w.holds_front = false;
    settle();
    for (; chunks < 1000; chunks++) {
        assert_true(session_wants_read(w.backs[0].session));
        back_says(&w.backs[0], chunk, sizeof chunk);
    }
    w.is_quiet = false;
    play("> b1 raw 0~~\n"
         "b1 kept\n"
         "client | 0~~\n"
         "record 200 a:200\n");
}

/* Each flush of the provider lets the client send more, so what is held is never all sent. */
static void a_client_that_is_always_ahead_fills_no_buffer(void **state)
{
    enum {
        N = 8 << 20
    };
    w.is_quiet = true;
    w.dials = "wait";
    send_big_head(ALICE, N);
    size_t taken = feed_body(N);
    w.holds_back = true;
    assert_true(finish_dial("ok"));
    for (int i = 0; i < 1000 && taken < N; i++) {
        taken += feed_body(N - taken);
        flush_back(&w.backs[0]);
        turn();
        assert_false(w.is_front_over);
    }
    assert_int_equal(taken, N);
    assert_true(w.most_held <= (1u << 20) + STREAM_WINDOW);
    w.holds_back = false;
    w.dials = "ok";
    settle();
    w.is_quiet = false;
    play("> b1 says 200 | big\n"
         "b1 kept\n"
         "client 200 | big\n"
         "record 200 a:200\n");
}

/* What was credited once is not credited again while it is sent again. */
static void a_body_that_is_sent_again_opens_no_second_window(void **state)
{
    enum {
        N = 8 << 20,
        BEFORE = 900 << 10
    };
    w.is_quiet = true;
    send_big_head(ALICE, N);
    assert_int_equal(feed_body(BEFORE), BEFORE);
    w.holds_back = true; /* from here on we flush by hand */
    session_abort(w.backs[0].session);
    settle();
    assert_int_equal(w.back_count, 2);
    size_t taken = BEFORE;
    for (int i = 0; i < 1000 && taken < N; i++) {
        taken += feed_body(N - taken);
        flush_back(&w.backs[1]);
        turn();
        assert_false(w.is_front_over);
    }
    assert_int_equal(taken, N);
    assert_true(w.most_held <= (1u << 20) + STREAM_WINDOW + 65536);
    w.holds_back = false;
    settle();
    w.is_quiet = false;
    play("> b2 says 200 | big\n"
         "b2 kept\n"
         "client 200 | big\n"
         "record 200 a:connection_lost b:200\n");
}

static void all_exchanges_together_hold_no_more_than_they_may(void **state)
{
    w.is_quiet = true;
    w.conf.retry.replay_total_bytes = 100000;
    atomic_store(&w.replay_bytes, 90000);
    send_big_head(ALICE, 50000);
    assert_int_equal(feed_body(50000), 50000);
    assert_int_equal(atomic_load(&w.replay_bytes), 90000);
    w.is_quiet = false;
    play("> b1 says 500\n"
         "b1 kept\n"
         "client 500\n"
         "record 500 a:500\n");
    atomic_store(&w.replay_bytes, 0);
}

/* ---- the model in the body ---- */

#define ASK_MESSAGES(token, n)                                                                     \
    "POST /v1/messages HTTP/1.1~host: " CLAUDE "~x-api-key: " token "~content-length: " #n "~~"

static void the_model_is_waited_for(void **state)
{
    play("> ask open claude\n"
         "> send \"model\":\"claude-y\",\"x\":1\n"
         "b1 new " CLAUDE "\n"
         "b1 POST /v1/messages sk-one | {\"max\":1,\"model\":\"claude-y\",\"x\":1\n"
         "> b1 says 429\n"
         "cool k1 claude-y 429 5 s\n"
         "b1 closed\n"
         "b2 new " CLAUDE "\n"
         "b2 POST /v1/messages sk-two | {\"max\":1,\"model\":\"claude-y\",\"x\":1\n");
}

static void a_body_without_a_model_goes_to_any_account(void **state)
{
    assert_true(connect_client(CLAUDE));
    play("> send " ASK_MESSAGES(CAROL, 7) "{\"a\":1}\n"
                                          "b1 new " CLAUDE "\n"
                                          "b1 POST /v1/messages sk-one | {\"a\":1}\n"
                                          "> b1 says 429\n"
                                          "cool k1 - 429 5 s\n"
                                          "b1 discards\n"
                                          "b2 new " CLAUDE "\n"
                                          "b1 kept\n"
                                          "b2 POST /v1/messages sk-two | {\"a\":1}\n");
}

static void a_model_that_comes_too_late_is_none(void **state)
{
    assert_true(connect_client(CLAUDE));
    play("> replay 16\n"
         "> send " ASK_MESSAGES(CAROL, 40) "{\"max\":12345\n"
                                           "> send ,\"model\":\n"
                                           "b1 new " CLAUDE "\n"
                                           "b1 POST /v1/messages sk-one | "
                                           "{\"max\":12345,\"model\":\n"
                                           "> send \"claude-y\",\"x\":1}\n"
                                           "b1 | \"claude-y\",\"x\":1}\n");
}

/* Nothing more may be held: who may use any model goes on, who may not waits for a better time. */
static void a_model_that_cannot_be_waited_for(void **state)
{
    w.conf.retry.replay_total_bytes = 100;
    atomic_store(&w.replay_bytes, 95);
    assert_true(connect_client(CLAUDE));
    play("> send " ASK_MESSAGES(CAROL, 30) "{\"max\":12345\n"
                                           "b1 new " CLAUDE "\n"
                                           "b1 POST /v1/messages sk-one | {\"max\":12345\n");
    assert_true(connect_client(CLAUDE));
    w.log_n = 0;
    send_text("POST /v1/messages HTTP/1.1~host: " CLAUDE "~x-api-key: " PAT
              "~content-length: 30~~{\"max\":12345");
    settle();
    if (!strstr(w.log, "record 503 own replay_total_bytes"))
        fail_msg("%s", w.log);
    atomic_store(&w.replay_bytes, 0);
}

static void a_client_with_patterns_needs_a_model_that_fits(void **state)
{
    static const struct {
        const char *what, *body;
        int n;
        bool is_allowed;
    } cases[] = {
        {"fits", "{\"model\":\"claude-y\"}", 20, true},
        {"does not", "{\"model\":\"grok\"}", 16, false},
        {"none", "{\"a\":1}", 7, false},
        {"no JSON", "model=claude-y", 14, false},
        {"escaped", "{\"model\":\"claude\\u002dy\"}", 25, false},
        {"deeper", "{\"a\":{\"model\":\"claude-y\"}}", 26, false},
        {"twice", "{\"model\":\"claude-y\",\"model\":\"grok\"}", 35, false},
        {"an escaped key", "{\"model\":\"claude-y\",\"mode\\u006c\":\"grok\"}", 40, false},
        {"not ended", "{\"model\":\"claude-y\"", 19, false},
        {"another key", "{\"models\":\"claude-y\"}", 21, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "POST /v1/messages HTTP/1.1~host: " CLAUDE "~x-api-key: " PAT
                 "~content-length: %d~~%s",
                 cases[i].n, cases[i].body);
        assert_true(connect_client(CLAUDE));
        w.log_n = 0;
        send_text(text);
        /* her pool has no API key: a model that fits meets that refusal */
        const char *want =
            cases[i].is_allowed ? "record 503 own no_kind\n" : "record 403 own model_denied\n";
        if (!strstr(w.log, want))
            fail_msg("%s: %s", cases[i].what, w.log);
    }
}

static void the_model_of_a_path_counts_too(void **state)
{
    assert_true(connect_client(GEMINI));
    play("> send POST /v1beta/models/gemini-1.0:generateContent HTTP/1.1~host: " GEMINI
         "~x-goog-api-key: " PAT "~content-length: 0~~\n"
         "client 403 http_request_denied\n"
         "record 403 own model_denied\n"
         "> send POST /v1beta/models/gemini%2D2.5-pro:generateContent HTTP/1.1~host: " GEMINI
         "~x-goog-api-key: " PAT "~content-length: 0~~\n"
         "b1 new " GEMINI "\n"
         "b1 POST /v1beta/models/gemini%2D2.5-pro:generateContent Bearer tok-a-1\n"
         "> b1 says 429\n"
         "cool a gemini-2.5-pro 429 5 s\n"
         "b1 discards\n"
         "b2 new " GEMINI "\n"
         "b1 kept\n"
         "b2 POST /v1beta/models/gemini%2D2.5-pro:generateContent Bearer tok-b-1\n");
}

/* ---- somebody goes ---- */

static void a_client_that_goes_while_its_model_is_awaited_leaves_nothing(void **state)
{
    play("> ask open claude\n"
         "> client gone\n"
         "record 0 client_gone\n");
}

static void a_client_that_goes_while_a_token_is_fetched_cancels_it(void **state)
{
    play("> no tokens\n"
         "> tokens wait\n"
         "> ask gemini\n"
         "fetch a\n"
         "> client gone\n"
         "fetch cancelled\n"
         "record 0 a:- client_gone\n");
}

static void a_client_that_goes_while_we_dial_cancels_it(void **state)
{
    play("> dials wait\n"
         "> ask gemini\n"
         "b1 new " GEMINI "\n"
         "> client gone\n"
         "b1 cancelled\n"
         "record 0 a:- client_gone\n");
}

static void a_client_that_goes_while_it_sends_ends_the_back(void **state)
{
    play("> ask open\n"
         "b1 new " GEMINI "\n" POST(1, "a", "12345") "> client gone\n"
                                                     "b1 closed\n"
                                                     "record 0 a:- client_gone\n");
}

static void a_client_that_goes_while_it_waits_ends_the_back(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(1, "a", "{}") "> client gone\n"
                                                  "b1 closed\n"
                                                  "record 0 a:- client_gone\n");
}

static void a_client_that_goes_in_a_stream_ends_the_back(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI
         "\n" POST(1, "a", "{}") "> b1 raw HTTP/1.1 200 OK~transfer-encoding: chunked~~3~one~\n"
                                 "client 200 | 3~one~\n"
                                 "> client gone\n"
                                 "b1 closed\n"
                                 "record 200 a:200 client_gone\n");
}

static void a_client_that_breaks_the_protocol_ends_the_back(void **state)
{
    play("> ask stream\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1\n"
         "> send zz~\n"
         "b1 closed\n"
         "record 0 a:- client_protocol\n"
         "client fault 400 chunk\n");
}

static void a_stream_that_is_cut_looks_cut(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI
         "\n" POST(1, "a", "{}") "> b1 raw HTTP/1.1 200 OK~transfer-encoding: chunked~~3~one~\n"
                                 "client 200 | 3~one~\n"
                                 "> b1 raw 3~tw\n"
                                 "client | 2~tw~\n"
                                 "> b1 ends\n"
                                 "b1 closed\n"
                                 "record 200 a:200 connection_lost\n"
                                 "client cut\n");
}

static void a_stream_that_breaks_the_protocol_looks_cut(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI
         "\n" POST(1, "a", "{}") "> b1 raw HTTP/1.1 200 OK~transfer-encoding: chunked~~3~one~\n"
                                 "client 200 | 3~one~\n"
                                 "> b1 raw zz~\n"
                                 "b1 closed\n"
                                 "record 200 a:200 answer_malformed\n"
                                 "client cut\n");
}

static void an_answer_without_a_length_ends_with_its_connection(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(1, "a", "{}") "> b1 raw HTTP/1.1 200 OK~~hello\n"
                                                  "client 200 | 5~hello~\n"
                                                  "> b1 ends\n"
                                                  "b1 closed\n"
                                                  "client | 0~~\n"
                                                  "record 200 a:200\n");
    /* but a broken connection is no end */
    play("> ask gemini\n"
         "b2 new " GEMINI "\n" POST(2, "a", "{}") "> b2 raw HTTP/1.1 200 OK~~hello\n"
                                                  "client 200 | 5~hello~\n"
                                                  "> b2 gone\n"
                                                  "b2 closed\n"
                                                  "record 200 a:200 connection_lost\n"
                                                  "client cut\n");
}

static void a_malformed_answer_is_502_and_asks_nobody_else(void **state)
{
    static const char *const answers[] = {
        "HTTP/0.9 200 OK~~",
        "ICY 200 OK~~",
        "HTTP/1.1 20 OK~~",
        "HTTP/1.1 200 OK~content-length: 1~transfer-encoding: chunked~~",
        "HTTP/1.1 200 OK~content-length: 1~content-length: 2~~",
        "HTTP/1.1 200 OK~content-length: -1~~",
        "HTTP/1.1 200 OK~bad name: x~~",
        "HTTP/1.1 200 OK~x: a~ folded~~",
        "HTTP/1.1 101 Switching Protocols~upgrade: x~connection: upgrade~~",
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "> ask gemini\n"
                 "b1 new " GEMINI "\n" POST(1, "a", "{}") "> b1 raw %s\n"
                                                          "b1 closed\n"
                                                          "client 502 http_protocol_error\n"
                                                          "record 502 own a:%s answer_malformed\n",
                 answers[i], "answer_malformed");
        if (i) {
            world_end(state);
            world_make(state);
        }
        play(text);
    }
}

static void interim_answers_are_not_passed_on(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(
             1, "a", "{}") "> b1 raw HTTP/1.1 100 Continue~~HTTP/1.1 103 Early Hints~link: x~~\n"
                           "> b1 says 200 | hello\n"
                           "b1 kept\n"
                           "client 200 | hello\n"
                           "record 200 a:200\n");
}

static void bytes_behind_an_answer_cost_the_connection(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(
             1, "a", "{}") "> b1 raw HTTP/1.1 200 OK~connection: close~content-length: 2~~ok\n"
                           "b1 closed\n"
                           "client 200 | ok\n"
                           "record 200 a:200\n");
}

static void a_drain_that_is_over_cuts_everybody(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n" POST(1, "a", "{}"));
    w.log_n = 0;
    exchanges_abort_all(&w.svc, "drain");
    assert_string_equal(w.log, "b1 closed\nrecord 0 a:- drain\nclient cut\n");
    assert_true(list_empty(&w.svc.exchanges));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(an_early_answer_is_passed_on_and_the_request_is_given_up),
        SIM(an_early_stream_and_its_request_run_side_by_side),
        SIM(an_early_refusal_goes_elsewhere_with_what_came_so_far),
        SIM(a_body_beyond_the_replay_limit_streams_with_constant_memory),
        SIM(a_provider_that_takes_nothing_stops_the_client),
        SIM(a_client_that_takes_nothing_stops_the_provider),
        SIM(a_client_that_is_always_ahead_fills_no_buffer),
        SIM(a_body_that_is_sent_again_opens_no_second_window),
        SIM(all_exchanges_together_hold_no_more_than_they_may),
        SIM(the_model_is_waited_for),
        SIM(a_body_without_a_model_goes_to_any_account),
        SIM(a_model_that_comes_too_late_is_none),
        SIM(a_model_that_cannot_be_waited_for),
        SIM(a_client_with_patterns_needs_a_model_that_fits),
        SIM(the_model_of_a_path_counts_too),
        SIM(a_client_that_goes_while_its_model_is_awaited_leaves_nothing),
        SIM(a_client_that_goes_while_a_token_is_fetched_cancels_it),
        SIM(a_client_that_goes_while_we_dial_cancels_it),
        SIM(a_client_that_goes_while_it_sends_ends_the_back),
        SIM(a_client_that_goes_while_it_waits_ends_the_back),
        SIM(a_client_that_goes_in_a_stream_ends_the_back),
        SIM(a_client_that_breaks_the_protocol_ends_the_back),
        SIM(a_stream_that_is_cut_looks_cut),
        SIM(a_stream_that_breaks_the_protocol_looks_cut),
        SIM(an_answer_without_a_length_ends_with_its_connection),
        SIM(a_malformed_answer_is_502_and_asks_nobody_else),
        SIM(interim_answers_are_not_passed_on),
        SIM(bytes_behind_an_answer_cost_the_connection),
        SIM(a_drain_that_is_over_cuts_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
