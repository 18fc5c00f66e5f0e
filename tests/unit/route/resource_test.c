/* Every spelling of a name comes to the same short one; what is no name comes to none. */
#include "base/check.h"
#include "route/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HOST SLICE("generativelanguage.googleapis.com")
#define URL "https://generativelanguage.googleapis.com"

static void texts_name_what_they_name(void **state)
{
    static const struct {
        const char *text, *name; /* NULL: nothing */
    } table[] = {
        {"files/abc-1", "files/abc-1"},
        {URL "/v1beta/files/abc-1", "files/abc-1"},
        {URL "/v1beta/files/abc-1:download?alt=media", "files/abc-1"},
        {URL "/download/v1beta/files/abc-1:download?alt=media", "files/abc-1"},
        {"https://GenerativeLanguage.googleapis.com/v1/files/abc-1", "files/abc-1"},
        {URL ":443/v1beta/files/abc-1", "files/abc-1"},
        {URL "/v1beta/files/%61bc-1", "files/abc-1"},
        {URL "/v1beta/%66iles%2Fabc-1?x=%", "files/abc-1"},
        {URL "/v1beta/files/%2561bc", NULL},
        {URL "/v1beta/files/%6", NULL},
        {URL ":444/v1beta/files/abc-1", NULL},
        {"cachedContents/1", "cachedContents/1"},
        {"projects/p/locations/l/cachedContents/1", "cachedContents/1"},
        {"projects/123456/locations/l/cachedContents/1", "cachedContents/1"},
        {"locations/l/cachedContents/1", "cachedContents/1"},
        {"projects/p/locations/l/operations/1", "operations/1"},
        {"projects/p/locations/l/publishers/google/models/veo-3/operations/u-1",
         "publishers/google/models/veo-3/operations/u-1"},
        {"models/veo-3/operations/x", "models/veo-3/operations/x"},
        {"tunedModels/t/operations/x", "tunedModels/t/operations/x"},
        {"tunedModels/t", "tunedModels/t"},
        {"batches/b", "batches/b"},
        {"projects/p/locations/l/batchPredictionJobs/7", "batchPredictionJobs/7"},
        {"https://example.com/v1beta/files/abc", NULL},
        {"http://generativelanguage.googleapis.com/v1beta/files/abc", NULL},
        {URL ".evil.test/v1beta/files/abc", NULL},
        {URL "/v2/files/abc", NULL},
        {URL, NULL},
        {URL "/", NULL},
        {"gs://bucket/files/abc", NULL},
        {"files/", NULL},
        {"files", NULL},
        {"files//abc", NULL},
        {"files/a b", NULL},
        {"files/a%62", NULL},
        {"files/..", NULL},
        {"models/gemini-2.5-pro", NULL},
        {"auth_tokens/abc", NULL},
        {"projects/p", NULL},
        {"projects/p/locations/l", NULL},
        {"projects", NULL},
        {"", NULL},
        {"/", NULL},
        {"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o", NULL},
    };
    char buf[RESOURCE_MAX];
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct slice got = SLICE("");
        bool ok = resource_from_text(slice_of(table[i].text), HOST, buf, &got);
        if (ok != (table[i].name != NULL) || (ok && !slice_eq(got, slice_of(table[i].name))))
            fail_msg("%s: %.*s", table[i].text, SLICE_FMT(got));
    }
    char long_name[RESOURCE_MAX + 8] = "files/";
    memset(long_name + 6, 'a', RESOURCE_MAX - 7);
    struct slice got;
    assert_true(resource_from_text(slice_of(long_name), HOST, buf, &got));
    assert_int_equal(got.n, RESOURCE_MAX - 1);
    long_name[RESOURCE_MAX - 1] = 'a';
    assert_false(resource_from_text(slice_of(long_name), HOST, buf, &got));
}

static void requests_say_what_they_are_about(void **state)
{
    static const struct {
        const char *method, *target, *name;
        enum resource_effect effect;
    } table[] = {
        {"GET", "/v1beta/files/abc", "files/abc", EFFECT_NONE},
        {"GET", "/v1beta/files/abc?fields=name", "files/abc", EFFECT_NONE},
        {"GET", "/v1beta/files/%61bc", "files/abc", EFFECT_NONE},
        {"GET", "/v1beta/files/%2561bc", "", EFFECT_NONE},
        {"GET", "/v1beta/files/abc:download?alt=media", "files/abc", EFFECT_NONE},
        {"GET", "/download/v1beta/files/abc:download", "files/abc", EFFECT_NONE},
        {"DELETE", "/v1beta/files/abc", "files/abc", EFFECT_ENDS},
        {"GET", "/v1beta/files", "", EFFECT_NONE},
        {"POST", "/v1beta/files", "", EFFECT_MAKES},
        {"POST", "/v1beta/cachedContents", "", EFFECT_MAKES},
        {"PATCH", "/v1beta/cachedContents/1", "cachedContents/1", EFFECT_NONE},
        {"GET", "/v1beta/batches/b", "batches/b", EFFECT_SHOWS},
        {"POST", "/v1beta/batches/b:cancel", "batches/b", EFFECT_NONE},
        {"GET", "/v1beta/models/veo/operations/x", "models/veo/operations/x", EFFECT_SHOWS},
        {"POST", "/v1beta/models/veo:predictLongRunning", "", EFFECT_MAKES},
        {"POST", "/v1beta/models/m:batchGenerateContent", "", EFFECT_MAKES},
        {"POST", "/v1beta/models/m:asyncBatchEmbedContent", "", EFFECT_MAKES},
        {"POST", "/v1beta/models/m:generateContent", "", EFFECT_NONE},
        {"POST", "/v1beta/tunedModels/t:generateContent", "tunedModels/t", EFFECT_NONE},
        {"POST", "/v1beta/tunedModels/t:batchGenerateContent", "tunedModels/t", EFFECT_MAKES},
        {"POST", "/v1beta/tunedModels", "", EFFECT_MAKES},
        {"POST", "/upload/v1beta/files", "", EFFECT_UPLOAD},
        {"POST", "/v1/projects/p/locations/l/cachedContents", "", EFFECT_MAKES},
        {"GET", "/v1beta1/projects/p/locations/l/cachedContents/1", "cachedContents/1",
         EFFECT_NONE},
        {"POST", "/v1/projects/p/locations/l/batchPredictionJobs", "", EFFECT_MAKES},
        {"GET", "/v1/projects/p/locations/l/operations/1", "operations/1", EFFECT_SHOWS},
        {"POST", "/v1/projects/p/locations/l/publishers/google/models/veo:predictLongRunning", "",
         EFFECT_MAKES},
        {"GET", "/v1beta/auth_tokens/abc", "", EFFECT_NONE},
        {"GET", "/", "", EFFECT_NONE},
        {"GET", "/%", "", EFFECT_NONE},
        {"GET", "/upload", "", EFFECT_NONE},
    };
    struct resource_request r;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        resource_request(API_VERTEX, slice_of(table[i].method), slice_of(table[i].target), &r);
        if (!slice_eq(r.name, slice_of(table[i].name)) || r.effect != table[i].effect)
            fail_msg("%s %s: %.*s %d", table[i].method, table[i].target, SLICE_FMT(r.name),
                     (int)r.effect);
    }
    resource_request(API_ANTHROPIC, SLICE("GET"), SLICE("/v1/files/abc"), &r);
    assert_int_equal(r.name.n, 0);
}

static void what_is_too_long_may_still_be_told_from_the_rest(void **state)
{
    static const struct {
        const char *text;
        bool may;
    } table[] = {
        {URL "/v1beta/fi", true},
        {URL ":443/v1", true},
        {"projects/aaaa", true},
        {"files/aaa", true},
        {"cachedContents/", true},
        {"projects/a b", false},
        {"https://example.com/", false},
        {URL, false},
        {"data:image/png;base64,", false},
        {"once upon a time", false},
        {"files/\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (resource_may_begin(slice_of(table[i].text), HOST) != table[i].may)
            fail_msg("%s", table[i].text);
}

static void what_cannot_be_read_says_so(void **state)
{
    char target[2048];
    char a[1200];
    static const struct {
        const char *before;
        size_t n;
        const char *behind;
        bool is_unreadable;
    } table[] = {
        {"/v1/projects/", 1100, "/locations/l/cachedContents/1", true},
        {"/v1/projects/", 100, "/locations/l/cachedContents/1", false},
        {"/v1beta/files/", 250, "", true},
        {"/v1beta/files/", 249, "", false},
        {"/v1beta/files/", 1, "%6", true},
        {"/v1beta/files/", 1, "%6g", true},
        {"/v1/operations/", 1, "/2/3/4/5/6/7/8/9/10/11/12", true},
        {"/v1beta/models/", 300, ":generateContent", false},
        {"/v1beta/files/a?", 1100, "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct resource_request r;
        memset(a, 'a', sizeof a);
        a[table[i].n] = '\0';
        snprintf(target, sizeof target, "%s%s%s", table[i].before, a, table[i].behind);
        resource_request(API_VERTEX, SLICE("GET"), slice_of(target), &r);
        if (r.is_unreadable != table[i].is_unreadable || (r.is_unreadable && r.name.n))
            fail_msg("%s", target);
    }
}

static void an_upload_is_named_by_a_hash_of_its_id(void **state)
{
    struct resource_request a, b;
    char buf[RESOURCE_MAX];
    resource_request(API_GEMINI, SLICE("POST"),
                     SLICE("/upload/v1beta/files?upload_id=secret-1&upload_protocol=resumable"),
                     &a);
    assert_true(a.is_upload);
    assert_true(slice_starts(a.name, SLICE("uploads/")) && a.name.n == 40);
    assert_int_equal(slice_search(a.name, SLICE("secret")), a.name.n);
    assert_true(slice_eq(a.name, resource_upload(SLICE("secret-1"), buf)));
    resource_request(API_GEMINI, SLICE("PUT"), SLICE("/upload/v1/files?x=1&upload_id=secret-2"),
                     &b);
    assert_false(slice_eq(a.name, b.name));
    resource_request(API_GEMINI, SLICE("PUT"), SLICE("/upload/v1/files?upload%5Fid=secret-1"), &b);
    assert_true(b.is_upload && slice_eq(a.name, b.name));
    static const char *const unclear[] = {"/upload/v1beta/files?upload_id=a&upload_id=b",
                                          "/upload/v1beta/files?upload_id=a&upload%5fid=b",
                                          "/upload/v1beta/files?upload_id=&upload_id=b",
                                          "/upload/v1beta/files?upload%5id=a",
                                          "/upload/v1beta/files?upload_id=a&upload%5",
                                          "/upload/v1beta/files?upload_id",
                                          "/upload/v1beta/files?upload_id="};
    for (size_t i = 0; i < ARRAY_LEN(unclear); i++) {
        resource_request(API_GEMINI, SLICE("POST"), slice_of(unclear[i]), &a);
        assert_true(a.is_upload && a.name.n == 0);
    }
    resource_request(API_GEMINI, SLICE("POST"), SLICE("/upload/v1beta/files?uploadType=media"), &a);
    assert_false(a.is_upload);
}

static void names_last_as_long_as_what_they_name(void **state)
{
    assert_int_equal(resource_life_s(SLICE("files/a")), 48 * 3600);
    assert_true(resource_life_s(SLICE("uploads/a")) >= 48 * 3600);
    assert_true(resource_life_s(SLICE("cachedContents/a")) >= 24 * 3600);
    assert_true(resource_life_s(SLICE("tunedModels/a/operations/b")) <
                resource_life_s(SLICE("tunedModels/a")));
    assert_true(
        slice_eq(resource_parent(SLICE("tunedModels/a/operations/b")), SLICE("tunedModels/a")));
    assert_int_equal(resource_parent(SLICE("models/a/operations/b")).n, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_name_what_they_name),
        cmocka_unit_test(requests_say_what_they_are_about),
        cmocka_unit_test(what_is_too_long_may_still_be_told_from_the_rest),
        cmocka_unit_test(what_cannot_be_read_says_so),
        cmocka_unit_test(an_upload_is_named_by_a_hash_of_its_id),
        cmocka_unit_test(names_last_as_long_as_what_they_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
