/* The answers that the proxy gives in a provider's place: their status, their shape, and that they
 * tell nothing of the request. */
#include "../world.h"

#include <cJSON.h>

#define SECRET "Sup3rS3cretBytes"

static const struct expectation {
    const char *what, *host, *text;
    int status;
    const char *google, *anthropic;
    bool should_retry;
} expectations[] = {
    {"no token", NULL, "GET %s HTTP/1.1~host: %s~x-" SECRET ": 1~~", 401, "UNAUTHENTICATED",
     "authentication_error", false},
    {"unknown token", NULL, "GET %s HTTP/1.1~host: %s~x-api-key: gemini-" SECRET "-0123456789~~",
     401, "UNAUTHENTICATED", "authentication_error", false},
    {"several tokens", NULL,
     "GET %s HTTP/1.1~host: %s~x-api-key: " ALICE "~authorization: Bearer " SECRET "abcdef~~", 400,
     "INVALID_ARGUMENT", "invalid_request_error", false},
    {"misplaced token", NULL,
     "GET %s HTTP/1.1~host: %s~x-api-key: " ALICE "~x-" SECRET ": " ALICE "~~", 400,
     "INVALID_ARGUMENT", "invalid_request_error", false},
    {"expired client", NULL, "GET %s HTTP/1.1~host: %s~x-api-key: " LATE "~x: " SECRET "~~", 403,
     "PERMISSION_DENIED", "permission_error", false},
    {"another method", NULL, "LINK %s HTTP/1.1~host: %s~x-api-key: " ALICE "~x: " SECRET "~~", 405,
     "INVALID_ARGUMENT", "invalid_request_error", false},
    {"a trace", NULL, "TRACE %s HTTP/1.1~host: %s~x-api-key: " ALICE "~x: " SECRET "~~", 405,
     "INVALID_ARGUMENT", "invalid_request_error", false},
    {"another path", NULL,
     "GET /" SECRET "%s HTTP/1.1~host: %s~x-api-key: " ALICE "~x: " SECRET "~~", 404, "NOT_FOUND",
     "not_found_error", false},
    {"another host", NULL,
     "GET %s HTTP/1.1~host: " SECRET ".test~x: %s~x-api-key: " ALICE "~x: " SECRET "~~", 421,
     "INVALID_ARGUMENT", "invalid_request_error", false},
    {"over the limit", NULL, "GET %s HTTP/1.1~host: %s~x-api-key: " BUSY "~x: " SECRET "~~", 429,
     "RESOURCE_EXHAUSTED", "rate_limit_error", true},
    {"an empty pool", NULL, "GET %s HTTP/1.1~host: %s~x-api-key: " NOBODY "~x: " SECRET "~~", 503,
     "UNAVAILABLE", NULL, true},
};

static void has_no_request_bytes(const char *text)
{
    assert_null(strcasestr(text, SECRET));
    assert_null(strcasestr(text, "alice"));
    assert_null(strcasestr(text, "tok-"));
    assert_null(strcasestr(text, "sk-"));
}

/* The last answer that the client got. */
static void check_answer(const char *what, bool is_anthropic, const struct expectation *e)
{
    const char *p = w.client.p, *end = p ? strstr(p, "\r\n\r\n") : NULL;
    if (!end)
        fail_msg("%s: no answer", what);
    if (strtol(p + 9, NULL, 10) != e->status)
        fail_msg("%s: %.12s instead of %d", what, p, e->status);
    has_no_request_bytes(p);
    assert_string_equal(field_of(p, end, "content-type", NULL), "application/json");
    assert_int_equal(strncmp(field_of(p, end, "proxy-status", NULL), "credswap; error=", 16), 0);
    char id[64];
    snprintf(id, sizeof id, "%s", field_of(p, end, "x-credswap-request-id", NULL));
    assert_true(strlen(id) == 19 && strncmp(id, "cs_", 3) == 0);
    const char *should = field_of(p, end, "x-should-retry", NULL);
    assert_string_equal(should, is_anthropic && !e->should_retry ? "false" : "");
    const char *length = field_of(p, end, "content-length", NULL);
    assert_int_equal(strtol(length, NULL, 10), strlen(end + 4));

    cJSON *json = cJSON_Parse(end + 4);
    if (!json)
        fail_msg("%s: no JSON: %s", what, end + 4);
    const cJSON *error = cJSON_GetObjectItem(json, "error");
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(error, "message"));
    assert_non_null(message);
    assert_non_null(strstr(message, id));
    if (is_anthropic) {
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "type")), "error");
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "request_id")), id);
        assert_string_equal(field_of(p, end, "request-id", NULL), id);
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(error, "type"));
        assert_non_null(type);
        if (e->anthropic)
            assert_string_equal(type, e->anthropic);
    } else {
        assert_string_equal(field_of(p, end, "request-id", NULL), "");
        assert_int_equal(cJSON_GetObjectItem(error, "code")->valueint, e->status);
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(error, "status")), e->google);
    }
    cJSON_Delete(json);
}

static void each_refusal_has_the_shape_of_its_api(void **state)
{
    static const struct {
        const char *host, *path;
        bool is_anthropic;
    } apis[] = {{GEMINI, "/v1beta/models", false},
                {VERTEX, "/v1/projects/p/locations/us-central1/models", false},
                {CLAUDE, "/v1/models", true}};
    for (size_t a = 0; a < ARRAY_LEN(apis); a++)
        for (size_t i = 0; i < ARRAY_LEN(expectations); i++) {
            const struct expectation *e = &expectations[i];
            char text[1024], what[128];
            snprintf(what, sizeof what, "%s at %s", e->what, apis[a].host);
/* the formats stand in the table */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(text, sizeof text, e->text, apis[a].path, apis[a].host);
#pragma GCC diagnostic pop
            w.client_wait_s = 17;
            assert_true(connect_client(apis[a].host));
            send_text(text);
            check_answer(what, apis[a].is_anthropic, e);
            assert_int_equal(w.back_count, 0);
        }
}

static void over_its_limit_a_client_learns_when_to_come_again(void **state)
{
    w.client_wait_s = 17;
    assert_true(connect_client(GEMINI));
    play("> send GET /v1beta/models HTTP/1.1~host: " GEMINI "~x-goog-api-key: " BUSY "~~\n"
         "client 429 http_request_denied retry-after 17\n"
         "record 429 own client_limit\n");
    w.client_wait_s = 0;
    play("> send GET /v1beta/models HTTP/1.1~host: " GEMINI "~x-goog-api-key: " BUSY "~~\n"
         "b1 new " GEMINI "\n"
         "b1 GET /v1beta/models Bearer tok-a-1\n");
}

static void failures_on_the_way_have_the_shape_too(void **state)
{
    static const struct {
        const char *dial;
        struct expectation e;
    } ends[] = {
        {"connect_refused", {.status = 502, .anthropic = "api_error", .should_retry = true}},
        {"certificate", {.status = 502, .anthropic = "api_error", .should_retry = true}},
        {"unresolved", {.status = 502, .anthropic = "api_error", .should_retry = true}},
        {"address_denied", {.status = 502, .anthropic = "api_error", .should_retry = true}},
        {"connect_timeout", {.status = 504, .anthropic = "timeout_error", .should_retry = true}},
    };
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        w.dials = "wait";
        assert_true(connect_client(CLAUDE));
        do_ask("claude");
        while (finish_dial(ends[i].dial))
            settle();
        settle();
        check_answer(ends[i].dial, true, &ends[i].e);
    }
}

static void a_google_account_never_serves_another_host(void **state)
{
    assert_true(connect_client(CLAUDE));
    play("> send GET /v1/models HTTP/1.1~host: " CLAUDE "~x-api-key: " ALICE "~~\n"
         "client 503 destination_unavailable\n"
         "record 503 own no_kind\n");
}

static void a_host_without_a_rule_is_refused_inside_too(void **state)
{
    assert_true(connect_client("www.googleapis.com"));
    play("> send GET / HTTP/1.1~host: www.googleapis.com~x-api-key: " ALICE "~~\n"
         "client 403 http_request_denied\n"
         "record 403 own default\n"
         "client ended\n");
}

static void a_refusal_keeps_the_connection_where_it_can(void **state)
{
    assert_true(connect_client(GEMINI));
    play("> send GET /v1beta/models HTTP/1.1~host: " GEMINI "~~\n"
         "client 401 http_request_denied\n"
         "record 401 own none\n"
         "> ask get\n"
         "b1 new " GEMINI "\n"
         "b1 GET /v1beta/models Bearer tok-a-1\n"
         "> b1 says 200 | []\n"
         "b1 kept\n"
         "client 200 | []\n"
         "record 200 a:200\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SIM(each_refusal_has_the_shape_of_its_api),
        SIM(over_its_limit_a_client_learns_when_to_come_again),
        SIM(failures_on_the_way_have_the_shape_too),
        SIM(a_google_account_never_serves_another_host),
        SIM(a_host_without_a_rule_is_refused_inside_too),
        SIM(a_refusal_keeps_the_connection_where_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
