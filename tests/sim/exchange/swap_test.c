/* What goes to a provider: exactly one credential, in its place, and nothing of the client's. */
#include "../world.h"

static const char *sent(int number)
{
    return w.backs[number - 1].wire.p;
}

/* Sends the request and returns what the first new connection got. */
static const char *swap(const char *host, const char *text)
{
    int before = w.back_count;
    assert_true(connect_client(host));
    w.log_n = 0;
    send_text(text);
    if (w.back_count == before)
        fail_msg("nothing was sent: %s", w.log);
    return sent(w.back_count);
}

static void refused(const char *host, const char *text, const char *want)
{
    int before = w.back_count;
    assert_true(connect_client(host));
    w.log_n = 0;
    send_text(text);
    if (w.back_count != before || !strstr(w.log, want))
        fail_msg("%s: %s", text, w.log);
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strcasestr(p, word)); p++)
        n++;
    return n;
}

static void a_plain_swap_is_one_round(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> b1 says 200 | hello\n"
         "b1 kept\n"
         "client 200 | hello\n"
         "record 200 a:200\n");
}

static void the_whole_head_is_what_it_should_be(void **state)
{
    const char *got = swap(GEMINI, "POST " GENERATE "?alt=sse&key=" ALICE "&x=%20y HTTP/1.1~"
                                   "Host: " GEMINI "~"
                                   "X-Custom: kept~"
                                   "Authorization: Bearer " ALICE "~"
                                   "content-length: 2~~{}");
    assert_string_equal(got, "POST " GENERATE "?alt=sse&x=%20y HTTP/1.1\r\n"
                             "host: " GEMINI "\r\n"
                             "X-Custom: kept\r\n"
                             "authorization: Bearer tok-a-1\r\n"
                             "content-length: 2\r\n"
                             "\r\n{}");
}

static void every_place_of_a_credential_is_stripped(void **state)
{
    static const char *const places[] = {
        "POST " GENERATE " HTTP/1.1~host: " GEMINI "~AUTHORIZATION: bearer " ALICE "~",
        "POST " GENERATE " HTTP/1.1~host: " GEMINI "~X-Api-Key: " ALICE "~",
        "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~",
        "POST " GENERATE "?key=" ALICE " HTTP/1.1~host: " GEMINI "~",
        "POST " GENERATE "?access_token=" ALICE " HTTP/1.1~host: " GEMINI "~",
        "POST " GENERATE "?%6bey=gemini%2Dalice-0123456789abcdef HTTP/1.1~host: " GEMINI "~",
        "POST " GENERATE "?KEY=" ALICE " HTTP/1.1~host: " GEMINI "~Authorization: Bearer " ALICE
        "~x-api-key: " ALICE "~X-Goog-Api-Key: " ALICE "~x-goog-api-key: " ALICE "~",
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char text[1024];
        snprintf(text, sizeof text, "%scontent-length: 0~~", places[i]);
        const char *got = swap(GEMINI, text);
        assert_int_equal(count(got, "alice"), 0);
        assert_int_equal(count(got, "authorization:"), 1);
        assert_int_equal(count(got, "api-key"), 0);
        assert_int_equal(count(got, "tok-"), 1);
        assert_int_equal(count(got, "key="), 0);
    }
}

static void a_placeholder_elsewhere_is_refused_and_nothing_is_sent(void **state)
{
    static const char *const places[] = {
        "cookie: s=" ALICE "~",
        "x-custom: " ALICE "~",
        "x-custom: gemini%2Dalice%2D0123456789abcdef~",
        "x-custom: Z2VtaW5pLWFsaWNlLTAxMjM0NTY3ODlhYmNkZWY=~", /* base64 */
        "sec-websocket-protocol: a, b." ALICE "~",
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
                 "~%scontent-length: 0~~",
                 places[i]);
        refused(GEMINI, text, "client 400 http_request_denied");
    }
    refused(GEMINI,
            "POST " GENERATE "?x=" ALICE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
            "~content-length: 0~~",
            "client 400 http_request_denied");
    refused(GEMINI,
            "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~x-api-key: " SOLO
            "~content-length: 0~~",
            "client 400 http_request_denied");
}

static void hop_by_hop_and_forwarding_fields_are_gone(void **state)
{
    const char *got =
        swap(GEMINI, "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
                     "~connection: keep-alive, x-hop~x-hop: 1~keep-alive: 5~"
                     "proxy-authorization: Basic eDp5~proxy-connection: x~te: "
                     "trailers~trailer: x~via: 1.1 me~"
                     "forwarded: for=10.0.0.1~x-forwarded-for: 10.0.0.1~"
                     "x-forwarded-proto: https~x-real-ip: 10.0.0.1~"
                     "x-goog-user-project: theirs~x-credswap-request-id: mine~"
                     "expect: 100-continue~accept: */*~content-length: 2~~{}");
    static const char *const gone[] = {"connection",  "x-hop",       "keep-alive",   "proxy-",
                                       "te:",         "trailer",     "via:",         "forwarded",
                                       "x-real",      "10.0.0.1",    "user-project", "theirs",
                                       "x-credswap-", "100-continue"};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        if (strcasestr(got, gone[i]))
            fail_msg("%s in %s", gone[i], got);
    assert_non_null(strstr(got, "accept: */*\r\n"));
    assert_int_equal(strncmp(w.client.p, "HTTP/1.1 100 Continue\r\n\r\n", 25), 0);
}

static void the_method_cannot_be_changed_by_a_field(void **state)
{
    const char *got = swap(GEMINI, "GET /v1beta/models HTTP/1.1~host: " GEMINI
                                   "~x-http-method-override: DELETE~X-HTTP-Method: DELETE~"
                                   "x-method-override: DELETE~x-goog-api-key: " ALICE "~~");
    assert_int_equal(count(got, "delete"), 0);
}

static void an_api_key_goes_into_its_own_field(void **state)
{
    const char *got =
        swap(CLAUDE, "POST /v1/messages HTTP/1.1~host: " CLAUDE "~authorization: Bearer " CAROL
                     "~anthropic-version: 2023-06-01~content-length: 2~~{}");
    assert_int_equal(count(got, "authorization"), 0);
    assert_int_equal(count(got, "x-api-key: sk-one\r\n"), 1);
    assert_int_equal(count(got, "anthropic-version: 2023-06-01\r\n"), 1);
}

static void an_api_key_that_does_not_open_is_503(void **state)
{
    secret_unref(&w.accounts[K1].api_key);
    secret_unref(&w.accounts[K2].api_key);
    w.accounts[K1].api_key = secret_new("", 0);
    w.accounts[K2].api_key = secret_new("", 0);
    play("> ask claude\n"
         "b1 new " CLAUDE "\n"
         "b1 closed\n"
         "client 503 proxy_internal_error retry-after 1\n"
         "record 503 own k1:- api_key_sealed\n"
         "client ended\n");
}

static void project_and_location_become_the_accounts(void **state)
{
    play("> ask vertex\n"
         "b1 new " VERTEX "\n"
         "b1 POST /v1/projects/proj-a/locations/us-central1/publishers/google/models/"
         "gemini-2.5-pro:generateContent Bearer tok-a-1 | {}\n"
         "> b1 says 429\n"
         "cool a gemini-2.5-pro 429 5 s\n"
         "b1 discards\n"
         "b2 new " VERTEX "\n"
         "b1 kept\n"
         "b2 POST /v1/projects/proj-b/locations/us-central1/publishers/google/models/"
         "gemini-2.5-pro:generateContent Bearer tok-b-1 | {}\n");
}

static void the_domain_of_the_model_row_is_dialled(void **state)
{
    play("> ask rows\n"
         "b1 new europe-west4-aiplatform.googleapis.com\n"
         "b1 POST /v1/projects/proj-d/locations/europe-west4/publishers/google/models/"
         "gemini-2.5-pro:generateContent Bearer tok-d-1 | {}\n"
         "> b1 says 200\n"
         "b1 kept\n"
         "client 200\n"
         "record 200 d:200\n");
    assert_non_null(strstr(sent(1), "\r\nhost: europe-west4-aiplatform.googleapis.com\r\n"));
}

static void a_row_outside_the_swap_domains_gets_no_token(void **state)
{
    static const struct snap_model astray[] = {{S("gemini-2.5-*"), S("evil.test")}};
    w.accounts[D].models = astray;
    play("> ask rows\n"
         "client 404 destination_not_found\n"
         "record 404 own no_model\n");
    /* a Google domain, but not one of those that the configuration names */
    static char *narrow[] = {VERTEX};
    struct policy *p;
    struct errmsg msg;
    w.conf.policy.swap_domains = (struct conf_list){narrow, 1};
    assert_int_equal(policy_create(&w.conf, &p, &msg), ERR_OK);
    w.svc.policy = p;
    w.accounts[D].models = d_models;
    play("> ask rows\n"
         "client 503 proxy_internal_error\n"
         "record 503 own d:- model_domain\n"
         "client ended\n");
    assert_int_equal(w.back_count, 0);
    policy_destroy(p);
}

static void a_quota_project_is_the_accounts(void **state)
{
    w.accounts[A].quota_project = SLICE("pays");
    const char *got = swap(GEMINI, "GET /v1beta/models HTTP/1.1~host: " GEMINI
                                   "~x-goog-user-project: theirs~x-goog-api-key: " ALICE "~~");
    assert_int_equal(count(got, "x-goog-user-project"), 1);
    assert_non_null(strstr(got, "x-goog-user-project: pays\r\n"));
}

static void one_tunnel_has_one_authority(void **state)
{
#define TO_HOST(host) "GET /v1beta/models HTTP/1.1~host: " host "~x-goog-api-key: " ALICE "~~"
    static const char *const others[] = {CLAUDE,     "evil.test",    GEMINI ":444",
                                         GEMINI ".", GEMINI ".:443", "127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "GET /v1beta/models HTTP/1.1~host: %s~x-goog-api-key: " ALICE "~~", others[i]);
        refused(GEMINI, text, "client 421 http_request_denied");
    }
    refused(GEMINI,
            "GET https://" CLAUDE "/v1beta/models HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
            "~~",
            "client 4");
    refused(GEMINI,
            "GET http://" GEMINI "/v1beta/models HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
            "~~",
            "client 4");
    w.info.sni_differs = true;
    refused(GEMINI, TO_HOST(GEMINI), "client 421 http_request_denied");
    w.info.sni_differs = false;
    swap(GEMINI, TO_HOST("GenerativeLanguage.googleapis.com:443"));
    swap(GEMINI, "GET https://" GEMINI "/v1beta/models HTTP/1.1~host: " GEMINI
                 "~x-goog-api-key: " ALICE "~~");
    assert_int_equal(strncmp(sent(2), "GET /v1beta/models HTTP/1.1\r\n", 29), 0);
}

static void what_a_provider_says_is_passed_on_without_hops(void **state)
{
    play("> ask gemini\n"
         "b1 new " GEMINI "\n"
         "b1 POST " GENERATE " Bearer tok-a-1 | {}\n"
         "> b1 raw HTTP/1.1 200 Fine~content-type: text/x~connection: keep-alive, x-hop~x-hop: "
         "1~keep-alive: timeout=5~alt-svc: h3=\":443\"~x-credswap-request-id: "
         "forged~set-cookie: a~set-cookie: b~transfer-encoding: chunked~~2~ok~0~~\n"
         "b1 kept\n"
         "client 200 | 2~ok~0~~\n"
         "record 200 a:200\n");
    const char *got = w.client.p;
    assert_int_equal(count(got, "x-hop"), 0);
    assert_int_equal(count(got, "keep-alive"), 0);
    assert_int_equal(count(got, "alt-svc"), 0);
    assert_int_equal(count(got, "forged"), 0);
    assert_int_equal(count(got, "set-cookie"), 2);
    assert_int_equal(count(got, "x-credswap-request-id: cs_"), 1);
    assert_int_equal(count(got, "proxy-status"), 0);
}

static void an_answer_to_head_has_no_body(void **state)
{
    assert_true(connect_client(GEMINI));
    play("> send HEAD /v1beta/models HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~~\n"
         "b1 new " GEMINI "\n"
         "b1 HEAD /v1beta/models Bearer tok-a-1\n"
         "> b1 raw HTTP/1.1 200 OK~content-length: 77~~\n"
         "b1 closed\n"
         "client 200\n"
         "record 200 a:200\n"
         "> send HEAD /v1beta/nothing HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~~\n"
         "client 404 http_request_denied\n"
         "record 404 own path\n");
    const char *end = w.client.p + w.client.n;
    assert_string_equal(end - 4, "\r\n\r\n"); /* no body behind the head */
}

static void in_gateway_mode_the_given_path_counts(void **state)
{
    w.info.path = SLICE("/v1beta/models?key=" ALICE "&x=1");
    w.info.is_intercepted = false;
    const char *got = swap(GEMINI, "GET /gemini/v1beta/models?key=" ALICE
                                   "&x=1 HTTP/1.1~host: proxy.local:3128~~");
    assert_int_equal(strncmp(got, "GET /v1beta/models?x=1 HTTP/1.1\r\nhost: " GEMINI "\r\n",
                             strlen("GET /v1beta/models?x=1 HTTP/1.1\r\nhost: " GEMINI "\r\n")),
                     0);
    assert_int_equal(count(got, "alice"), 0);
}

static void a_plain_request_is_relayed_as_it_is(void **state)
{
    w.info.is_plain = true;
    w.info.is_intercepted = false;
    assert_true(connect_client("plain.test:8080"));
    play("> send POST http://plain.test:8080/a?key=1 HTTP/1.1~host: plain.test:8080~x-api-key: "
         "own~proxy-authorization: Basic eDp5~content-length: 2~~hi\n"
         "b1 new plain plain.test:8080\n"
         "b1 POST /a?key=1 own | hi\n"
         "> b1 says 401 www-authenticate: x | no\n"
         "b1 distrusted\n"
         "b1 closed\n"
         "client 401 | no\n"
         "record 401\n");
    assert_int_equal(count(sent(1), "proxy-"), 0);
    assert_int_equal(count(w.client.p, "x-credswap"), 0);
    assert_non_null(strstr(sent(1), "\r\nhost: plain.test:8080\r\n"));
    /* such a connection may carry one client's login: it serves nobody else */
    play("> send GET http://plain.test:8080/ HTTP/1.1~host: plain.test:8080~~\n"
         "b2 new plain plain.test:8080\n"
         "b2 GET / \n"
         "> b2 gone\n"
         "b2 closed\n"
         "client 502 destination_unavailable\n"
         "record 502 own connection_lost\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(a_plain_swap_is_one_round),
        SIM(the_whole_head_is_what_it_should_be),
        SIM(every_place_of_a_credential_is_stripped),
        SIM(a_placeholder_elsewhere_is_refused_and_nothing_is_sent),
        SIM(hop_by_hop_and_forwarding_fields_are_gone),
        SIM(the_method_cannot_be_changed_by_a_field),
        SIM(an_api_key_goes_into_its_own_field),
        SIM(an_api_key_that_does_not_open_is_503),
        SIM(project_and_location_become_the_accounts),
        SIM(the_domain_of_the_model_row_is_dialled),
        SIM(a_row_outside_the_swap_domains_gets_no_token),
        SIM(a_quota_project_is_the_accounts),
        SIM(one_tunnel_has_one_authority),
        SIM(what_a_provider_says_is_passed_on_without_hops),
        SIM(an_answer_to_head_has_no_body),
        SIM(in_gateway_mode_the_given_path_counts),
        SIM(a_plain_request_is_relayed_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
