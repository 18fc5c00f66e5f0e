/* `credswap import` on key files made here. */
#include "desk.h"

#include <sys/stat.h>
#include <time.h>

static const char map[] =
    "{\"clients\":["
    "{\"client_token\":\"gemini-client-key-aaaa\",\"enable\":true,\"key_filename_gemini\":[{\"key_"
    "filename\":\"v1.json\",\"key_weight\":1}]},"
    "{\"client_token\":\"gemini-client-key-bbbb\",\"enable\":false,\"key_filename_gemini\":["
    "{\"key_filename\":\"v1.json\",\"key_weight\":2},{\"key_filename\":\"v2.json\",\"key_weight\":"
    "1}]},"
    "{\"client_token\":\"mistral-client-key\",\"enable\":true}],"
    "\"key_filename_gemini\":[{\"key_filename\":\"v1.json\",\"models\":[{\"model\":\"gemini-2.5-"
    "pro\",\"domain\":\"aiplatform.googleapis.com\"}]}]}";

static struct desk prepared(const char *text)
{
    struct desk d;
    desk_open(&d);
    desk_write(d.dir, "map.json", text);
    desk_key_file(d.dir, "v1");
    desk_key_file(d.dir, "v2");
    return d;
}

static int import(struct desk *d, const char *more)
{
    return desk_run(d, "import %s/map.json --keys %s %s", d->dir, d->dir, more);
}

static char *dump(struct desk *d)
{
    static const char *const listings[] = {"account list --json", "pool list --json",
                                           "client list --json", "model list --json"};
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(desk_run(d, "%s", listings[i]), 0);
        sbuf_adds(&b, d->out);
    }
    char *text = strdup(sbuf_z(&b));
    sbuf_finish(&b);
    return text;
}

static void the_map_arrives_in_one_transaction(void **state)
{
    struct desk d = prepared(map);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_int_equal(import(&d, ""), 0);
    assert_null(strstr(d.out, "client-key-"));
    assert_non_null(strstr(d.out, "mistral-cli"));
    assert_int_equal(desk_run(&d, "client list"), 0);
    assert_non_null(strstr(d.out, "gemini-cli-1"));
    assert_int_equal(desk_run(&d, "client show gemini-cli-2 --json"), 0);
    assert_non_null(strstr(d.out, "\"state\": \"off\""));
    assert_non_null(strstr(d.out, "\"pool\": \"v1_2+v2\""));
    assert_int_equal(desk_run(&d, "events --kind audit --json"), 0);
    cJSON *events = cJSON_Parse(d.out);
    assert_int_equal(cJSON_GetArraySize(events), 2); /* ca init, import */
    cJSON_Delete(events);
    desk_close(&d);
}

static void the_second_time_changes_nothing(void **state)
{
    struct desk d = prepared(map);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_int_equal(import(&d, ""), 0);
    assert_int_equal(desk_run(&d, "pool set v1 v1=7"), 0);
    assert_int_equal(desk_run(&d, "client set gemini-cli-1 state=off"), 0);
    char *before = dump(&d);
    assert_int_equal(import(&d, ""), 0);
    assert_non_null(strstr(d.out, "\n0 changes\n"));
    char *after = dump(&d);
    assert_string_equal(before, after);
    free(before);
    free(after);
    desk_close(&d);
}

static void a_revoked_client_stays_revoked(void **state)
{
    struct desk d = prepared(map);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_int_equal(import(&d, ""), 0);
    assert_int_equal(desk_run(&d, "client revoke gemini-cli-1"), 0);
    assert_int_equal(import(&d, ""), 0);
    assert_non_null(strstr(d.out, "\n0 changes\n"));
    desk_close(&d);
}

static void a_dry_run_needs_no_store_and_makes_none(void **state)
{
    struct desk d = prepared(map);
    char path[128];
    assert_int_equal(import(&d, "--dry-run"), 0);
    assert_non_null(strstr(d.out, "v1_2+v2"));
    assert_non_null(strstr(d.out, "would be made"));
    snprintf(path, sizeof path, "%s/db", d.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    char *before = dump(&d);
    assert_int_equal(import(&d, "--dry-run --json"), 0);
    cJSON *o = cJSON_Parse(d.out);
    assert_true(cJSON_GetObjectItem(o, "changes")->valueint > 0);
    cJSON_Delete(o);
    char *after = dump(&d);
    assert_string_equal(before, after);
    free(before);
    free(after);
    desk_close(&d);
}

static void a_broken_key_file_stops_all_unless_skipped(void **state)
{
    struct desk d = prepared(map);
    char path[128];
    assert_int_equal(desk_run(&d, "ca init"), 0);
    char *before = dump(&d);
    snprintf(path, sizeof path, "%s/v2.json", d.dir);
    unlink(path);
    assert_int_equal(import(&d, ""), EX_DATAERR);
    assert_int_equal(desk_talk_lines(&d), 1);
    assert_non_null(strstr(d.talk, "v2.json"));
    assert_non_null(strstr(d.out, "touches 1 client"));
    char *after = dump(&d);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(import(&d, "--skip-broken"), 0);
    assert_int_equal(desk_run(&d, "client show gemini-cli-2"), 0);
    desk_key_file(d.dir, "v2"); /* mended: the rest arrives */
    assert_int_equal(import(&d, ""), 0);
    assert_int_equal(desk_run(&d, "account show v2 --json"), 0);
    assert_non_null(strstr(d.out, "v1_2+v2"));
    desk_close(&d);
}

static void tokens_still_good_are_taken_over(void **state)
{
    struct desk d = prepared(map);
    char text[200], jwt[128];
    assert_int_equal(desk_run(&d, "ca init"), 0);
    snprintf(jwt, sizeof jwt, "%s/jwt", d.dir);
    assert_int_equal(mkdir(jwt, 0700), 0);
    long long now = (long long)time(NULL);
    snprintf(text, sizeof text,
             "{\"access_token\":\"ya29.SECRET\",\"expires_at\":%lld,\"token_type\":\"Bearer\"}",
             now + 2000);
    desk_write(jwt, "v1.json", text);
    snprintf(text, sizeof text, "{\"access_token\":\"ya29.SECRET\",\"expires_at\":%lld}", now - 5);
    desk_write(jwt, "v2.json", text);
    snprintf(text, sizeof text, "--tokens %s", jwt);
    assert_int_equal(import(&d, text), 0);
    assert_null(strstr(d.out, "SECRET"));
    assert_int_equal(desk_run(&d, "tokens --json"), 0);
    cJSON *rows = cJSON_Parse(d.out);
    assert_int_equal(cJSON_GetArraySize(rows), 1);
    assert_true(cJSON_GetObjectItem(rows->child, "expires_at")->valuedouble ==
                (double)(now + 2000));
    cJSON_Delete(rows);
    assert_int_equal(import(&d, text), 0);
    assert_non_null(strstr(d.out, "\n0 changes\n"));
    desk_close(&d);
}

static void an_account_of_somebody_else_is_not_taken(void **state)
{
    struct desk d = prepared(map);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    desk_key_file(d.dir, "other");
    assert_int_equal(desk_run(&d, "account add %s/other.json --name v1", d.dir), 0);
    assert_int_equal(import(&d, ""), EX_CANTCREAT);
    assert_int_equal(desk_run(&d, "client list --json"), 0);
    assert_string_equal(d.out, "[]\n");
    desk_close(&d);
}

static void a_domain_outside_swap_domains_is_refused(void **state)
{
    struct desk d = prepared(
        "{\"clients\":[],\"key_filename_gemini\":[{\"key_filename\":\"v1.json\",\"models\":["
        "{\"model\":\"m\",\"domain\":\"evil.test\"}]}]}");
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_int_equal(import(&d, ""), EX_DATAERR);
    assert_int_equal(import(&d, "--skip-broken"), EX_DATAERR);
    desk_close(&d);
}

static void explain_uses_the_pool(void **state)
{
    struct desk d = prepared(map);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_int_equal(import(&d, ""), 0);
    assert_int_equal(desk_run(&d, "explain --client gemini-cli-1 --model gemini-2.5-pro --json"),
                     0);
    assert_non_null(strstr(d.out, "\"chance_pct\": 100"));
    assert_int_equal(desk_run(&d, "explain --client gemini-cli-1 --model other --json"), 0);
    assert_non_null(strstr(d.out, "does not serve this model"));
    assert_int_equal(desk_run(&d, "explain --client nobody --model m"), EX_FAILED);
    assert_int_equal(desk_run(&d, "explain"), EX_USAGE);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_arrives_in_one_transaction),
        cmocka_unit_test(the_second_time_changes_nothing),
        cmocka_unit_test(a_revoked_client_stays_revoked),
        cmocka_unit_test(a_dry_run_needs_no_store_and_makes_none),
        cmocka_unit_test(a_broken_key_file_stops_all_unless_skipped),
        cmocka_unit_test(tokens_still_good_are_taken_over),
        cmocka_unit_test(an_account_of_somebody_else_is_not_taken),
        cmocka_unit_test(a_domain_outside_swap_domains_is_refused),
        cmocka_unit_test(explain_uses_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
