/* What a path says, and which paths are never forwarded. */
#include "base/check.h"
#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define P "/v1/projects/proj/locations/us-central1/"

struct row {
    enum api api;
    const char *method, *path;
    const char *model, *verb, *publisher, *project, *location;
    bool in_body, is_resumable, wants_stream;
};

static const struct row served[] = {
    {API_VERTEX, "POST", P "publishers/google/models/gemini-2.5-pro:generateContent",
     "gemini-2.5-pro", "generateContent", "google", "proj", "us-central1", 0, 0, 0},
    {API_VERTEX, "POST",
     "/v1beta1/projects/p/locations/global/publishers/google/models/m:streamGenerateContent", "m",
     "streamGenerateContent", "google", "p", "global", 0, 0, 1},
    {API_VERTEX, "POST", P "publishers/anthropic/models/claude-haiku-4-5@20251001:streamRawPredict",
     "claude-haiku-4-5@20251001", "streamRawPredict", "anthropic", "proj", "us-central1", 0, 0, 1},
    {API_VERTEX, "POST", P "publishers/anthropic/models/count-tokens:rawPredict", "count-tokens",
     "rawPredict", "anthropic", "proj", "us-central1", 0, 0, 0},
    {API_VERTEX, "POST", P "publishers/google/models/veo-3:predictLongRunning", "veo-3",
     "predictLongRunning", "google", "proj", "us-central1", 0, 1, 0},
    {API_VERTEX, "POST", P "publishers/google/models/veo-3:fetchPredictOperation", "veo-3",
     "fetchPredictOperation", "google", "proj", "us-central1", 0, 1, 0},
    {API_VERTEX, "GET", P "publishers/google/models/veo-3/operations/7", "veo-3", "", "google",
     "proj", "us-central1", 0, 0, 0},
    {API_VERTEX, "GET", P "publishers/google/models", "", "", "google", "proj", "us-central1", 0, 0,
     0},
    {API_VERTEX, "POST", "/v1/publishers/google/models/m:computeTokens", "m", "computeTokens",
     "google", "", "", 0, 0, 0},
    {API_VERTEX, "POST", P "endpoints/123:serverStreamingPredict", "123", "serverStreamingPredict",
     "", "proj", "us-central1", 0, 0, 1},
    {API_VERTEX, "POST", P "endpoints/openapi/chat/completions", "", "", "", "proj", "us-central1",
     1, 0, 0},
    {API_VERTEX, "POST", P "endpoints/123/chat/completions", "123", "", "", "proj", "us-central1",
     0, 0, 0},
    {API_VERTEX, "POST", P "cachedContents", "", "", "", "proj", "us-central1", 0, 1, 0},
    {API_VERTEX, "DELETE", P "cachedContents/9", "", "", "", "proj", "us-central1", 0, 1, 0},
    {API_VERTEX, "POST", P "batchPredictionJobs", "", "", "", "proj", "us-central1", 0, 1, 0},
    {API_VERTEX, "POST", P "batchPredictionJobs/4:cancel", "", "", "", "proj", "us-central1", 0, 1,
     0},
    {API_VERTEX, "GET", P "operations/5", "", "", "", "proj", "us-central1", 0, 0, 0},
    {API_VERTEX, "GET", P "models/77", "", "", "", "proj", "us-central1", 0, 0, 0},
    {API_VERTEX, "GET", "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
     "", "", "", "", "", 0, 0, 0},
    {API_VERTEX, "POST", "/google.cloud.aiplatform.v1.PredictionService/GenerateContent", "", "",
     "", "", "", 1, 0, 0},
    {API_VERTEX, "POST", "/google.cloud.aiplatform.v1beta1.PredictionService/StreamDirectPredict",
     "", "", "", "", "", 1, 0, 0},
    {API_VERTEX, "POST", "/google.cloud.aiplatform.v1.LlmUtilityService/CountTokens", "", "", "",
     "", "", 1, 0, 0},

    {API_GEMINI, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro",
     "generateContent", "", "", "", 0, 0, 0},
    {API_GEMINI, "POST", "/v1/models/m:streamGenerateContent", "m", "streamGenerateContent", "", "",
     "", 0, 0, 1},
    {API_GEMINI, "POST", "/v1beta/models/m:batchEmbedContents", "m", "batchEmbedContents", "", "",
     "", 0, 0, 0},
    {API_GEMINI, "POST", "/v1beta/models/m:batchGenerateContent", "m", "batchGenerateContent", "",
     "", "", 0, 1, 0},
    {API_GEMINI, "GET", "/v1beta/models", "", "", "", "", "", 0, 0, 0},
    {API_GEMINI, "GET", "/v1beta/models/m", "m", "", "", "", "", 0, 0, 0},
    {API_GEMINI, "GET", "/v1beta/models/m/operations/1", "m", "", "", "", "", 0, 0, 0},
    {API_GEMINI, "POST", "/v1beta/tunedModels/t:generateContent", "t", "generateContent", "", "",
     "", 0, 0, 0},
    {API_GEMINI, "POST", "/upload/v1beta/files", "", "", "", "", "", 0, 1, 0},
    {API_GEMINI, "GET", "/v1beta/files/abc:download", "", "", "", "", "", 0, 1, 0},
    {API_GEMINI, "GET", "/download/v1beta/files/abc:download", "", "", "", "", "", 0, 1, 0},
    {API_GEMINI, "POST", "/v1beta/cachedContents", "", "", "", "", "", 0, 1, 0},
    {API_GEMINI, "GET", "/v1beta/batches/5", "", "", "", "", "", 0, 1, 0},
    {API_GEMINI, "GET", "/v1beta/operations/5", "", "", "", "", "", 0, 0, 0},
    {API_GEMINI, "POST", "/v1beta/openai/chat/completions", "", "", "", "", "", 1, 0, 0},
    {API_GEMINI, "GET",
     "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", "", "", "",
     "", "", 0, 0, 0},
    {API_GEMINI, "POST", "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent",
     "", "", "", "", "", 1, 0, 0},

    {API_ANTHROPIC, "POST", "/v1/messages", "", "", "", "", "", 1, 0, 0},
    {API_ANTHROPIC, "POST", "/v1/messages/count_tokens", "", "", "", "", "", 1, 0, 0},
    {API_ANTHROPIC, "POST", "/v1/complete", "", "", "", "", "", 1, 0, 0},
    {API_ANTHROPIC, "POST", "/v1/messages/batches", "", "", "", "", "", 0, 1, 0},
    {API_ANTHROPIC, "GET", "/v1/messages/batches/b/results", "", "", "", "", "", 0, 1, 0},
    {API_ANTHROPIC, "GET", "/v1/models", "", "", "", "", "", 0, 0, 0},
    {API_ANTHROPIC, "GET", "/v1/models/claude-x", "claude-x", "", "", "", "", 0, 0, 0},
    {API_ANTHROPIC, "POST", "/v1/files", "", "", "", "", "", 0, 1, 0},
    {API_ANTHROPIC, "GET", "/v1/files/f/content", "", "", "", "", "", 0, 1, 0},
};

static void same(const struct row *r, const char *what, struct slice got, const char *want)
{
    if (!slice_eq(got, slice_of(want)))
        fail_msg("%s: %s is '%.*s', not '%s'", r->path, what, SLICE_FMT(got), want);
}

static void default_paths_are_taken_apart(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(served); i++) {
        const struct row *r = &served[i];
        struct route_match m;
        route_match(r->api, NULL, slice_of(r->method), slice_of(r->path), &m);
        if (!m.is_allowed)
            fail_msg("refused: %s", r->path);
        same(r, "model", m.model, r->model);
        same(r, "verb", m.verb, r->verb);
        same(r, "publisher", m.publisher, r->publisher);
        same(r, "project", m.project, r->project);
        same(r, "location", m.location, r->location);
        if (m.model_in_body != r->in_body || m.is_resumable != r->is_resumable ||
            m.wants_stream != r->wants_stream)
            fail_msg("flags of %s", r->path);
    }
}

static void all_else_stays_here(void **state)
{
    static const struct {
        enum api api;
        const char *method, *path;
    } t[] = {
        {API_ANTHROPIC, "POST", "/api/event_logging/batch"},
        {API_ANTHROPIC, "POST", "/v1/messagesx"},
        {API_ANTHROPIC, "POST", "/v1/messages/"},
        {API_ANTHROPIC, "POST", "/v1/messages/other"},
        {API_ANTHROPIC, "GET", "/v1/organizations/x"},
        {API_ANTHROPIC, "GET", "/v1/models/a/b"},
        {API_ANTHROPIC, "DELETE", "/v1/models/a"},
        {API_ANTHROPIC, "GET", "/"},
        {API_ANTHROPIC, "GET", ""},
        {API_ANTHROPIC, "OPTIONS", "*"},
        {API_ANTHROPIC, "POST", "v1/messages"},
        {API_GEMINI, "POST", "/v1/messages"},
        {API_GEMINI, "GET",
         "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent"},
        {API_GEMINI, "POST",
         "/google.ai.generativelanguage.v1beta.GenerativeService/BidiGenerateContent"},
        {API_GEMINI, "POST",
         "/google.ai.generativelanguage.v1beta.PermissionService/CreatePermission"},
        {API_GEMINI, "POST", "/google.ai.generativelanguage.v1beta.ModelService/DeleteTunedModel"},
        {API_GEMINI, "POST", "/google.cloud.aiplatform.v1.PredictionService/GenerateContent"},
        {API_VERTEX, "POST", "/google.cloud.aiplatform.v1.EndpointService/DeployModel"},
        {API_VERTEX, "POST", "/google.cloud.aiplatform.v1.PredictionService/Predict/x"},
        {API_VERTEX, "POST", "/google.cloud.aiplatform.v1.PredictionService"},
        {API_VERTEX, "POST", "/google.cloud.aiplatform.v1.GenAiCacheService/GetCachedContent"},
        {API_VERTEX, "POST", "/google.iam.v1.IAMPolicy/SetIamPolicy"},
        {API_GEMINI, "POST", "/v1alpha/auth_tokens"},
        {API_GEMINI, "POST", "/v2/models/m:generateContent"},
        {API_GEMINI, "DELETE", "/v1beta/models/m"},
        {API_GEMINI, "POST", "/v1beta/tunedModels/t:transferOwnership"},
        {API_GEMINI, "POST", "/v1beta/tunedModels"},
        {API_GEMINI, "POST", "/v1beta/models/:generateContent"},
        {API_GEMINI, "POST", "/v1beta/models/m%3AsetIamPolicy"},
        {API_GEMINI, "POST", "/v1beta/models/m%3agenerateContent:countTokens"},
        {API_VERTEX, "POST", "/telemetry/batch"},
        {API_VERTEX, "POST", P "endpoints"},
        {API_VERTEX, "DELETE", P "endpoints/1"},
        {API_VERTEX, "POST", P "endpoints/1:deployModel"},
        {API_VERTEX, "POST", P "models:upload"},
        {API_VERTEX, "POST", P "models/1"},
        {API_VERTEX, "POST", P "customJobs"},
        {API_VERTEX, "POST", P "publishers/google/models/m:setIamPolicy"},
        {API_VERTEX, "GET", "/v1/projects/p/locations/l"},
        {API_VERTEX, "POST", "/v1/projects//locations/l/cachedContents"},
        {API_VERTEX, "POST", "/v1/projects/p/publishers/google/models/m:predict"},
        {API_NONE, "POST", "/v1/messages"},
    };
    struct route_match m;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        route_match(t[i].api, NULL, slice_of(t[i].method), slice_of(t[i].path), &m);
        if (m.is_allowed)
            fail_msg("served: %s", t[i].path);
    }
}

static void ambiguous_paths_are_refused_whatever_the_rule_says(void **state)
{
    static const char *const bad[] = {
        "/v1/messages/..",
        "/v1/./messages",
        "/v1/../v1/messages",
        "/v1/%2e%2e/messages",
        "/v1/.%2E/messages",
        "/v1/%2e/messages",
        "/v1/..;x=y/messages",
        "/v1/.;/messages",
        "//v1/messages",
        "/v1//messages",
        "/v1/messages//",
        "/v1%2fmessages",
        "/v1%2Fmessages",
        "/v1\\messages",
        "/v1/%5c..",
        "/v1/mess%00ages",
        "/v1/mess%0aages",
        "/v1/\x01",
        "/v1/\x7f",
        "/v1/mess%7Fages",
        "/v1/messages%",
        "/v1/messages%2",
        "/v1/messages%zz",
        "/v1/mess ages",
        "/v1/\xc3\xa9",
        "/v1/messages#x",
        "/v1/messages?x",
        "v1/messages",
        "",
        "*",
    };
    static const struct slice all[] = {{"*", 1}};
    const struct snap_rule rule = {.paths = all, .path_count = 1};
    struct route_match m;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        route_match(API_ANTHROPIC, &rule, SLICE("POST"), slice_of(bad[i]), &m);
        if (m.is_allowed)
            fail_msg("served: %s", bad[i]);
        assert_non_null(m.model.p);
    }
    static const char *const good[] = {
        "/",
        "/any/thing",
        "/a..b/...",
        "/x%20y/%C3%A9",
        "/v1/messages/",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        route_match(API_ANTHROPIC, &rule, SLICE("POST"), slice_of(good[i]), &m);
        if (!m.is_allowed)
            fail_msg("refused: %s", good[i]);
    }
}

static void globs_of_the_rule_replace_the_defaults(void **state)
{
    static const struct slice globs[] = {{"/v1/messages", 12}, {"/v1/mod*", 8}};
    const struct snap_rule rule = {.paths = globs, .path_count = 2};
    struct route_match m;
    route_match(API_ANTHROPIC, &rule, SLICE("POST"), SLICE("/v1/messages"), &m);
    assert_true(m.is_allowed && m.model_in_body);
    route_match(API_ANTHROPIC, &rule, SLICE("POST"), SLICE("/v1/models/x"), &m);
    assert_true(m.is_allowed);
    route_match(API_ANTHROPIC, &rule, SLICE("POST"), SLICE("/v1/files"), &m);
    assert_false(m.is_allowed);
}

static void model_texts_are_decoded_once(void **state)
{
    char buf[16];
    struct slice s;
    assert_true(route_model_text(SLICE("claude%402025"), buf, sizeof buf, &s));
    assert_true(slice_eq(s, SLICE("claude@2025")));
    assert_true(route_model_text(SLICE(""), buf, sizeof buf, &s));
    assert_false(route_model_text(SLICE("a%00"), buf, sizeof buf, &s));
    assert_false(route_model_text(SLICE("a%4"), buf, sizeof buf, &s));
    assert_false(route_model_text(SLICE("0123456789abcdef"), buf, sizeof buf, &s));
    assert_true(slice_eq(route_model_bare(SLICE("google/m")), SLICE("m")));
    assert_true(slice_eq(route_model_bare(SLICE("m")), SLICE("m")));
}

static void domains_name_their_location(void **state)
{
    static const struct {
        const char *domain, *location;
    } t[] = {
        {"us-central1-aiplatform.googleapis.com", "us-central1"},
        {"aiplatform.googleapis.com", "global"},
        {"aiplatform.eu.rep.googleapis.com", "eu"},
        {"aiplatform.us.rep.googleapis.com", "us"},
        {"generativelanguage.googleapis.com", ""},
        {"a.b-aiplatform.googleapis.com", ""},
        {"-aiplatform.googleapis.com", ""},
        {"aiplatform..rep.googleapis.com", ""},
        {"aiplatform.rep.googleapis.com", ""},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        if (!slice_eq(route_domain_location(slice_of(t[i].domain)), slice_of(t[i].location)))
            fail_msg("%s", t[i].domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_paths_are_taken_apart),
        cmocka_unit_test(all_else_stays_here),
        cmocka_unit_test(ambiguous_paths_are_refused_whatever_the_rule_says),
        cmocka_unit_test(globs_of_the_rule_replace_the_defaults),
        cmocka_unit_test(model_texts_are_decoded_once),
        cmocka_unit_test(domains_name_their_location),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
