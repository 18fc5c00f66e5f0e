/* The files of the old system, as values. */
#include "desk.h"

#include "cli/legacy.h"

static const char sample[] =
    "{\"clients\":["
    "{\"client_token\":\"gemini-client-key-aaaa\",\"enable\":true,"
    " \"key_filename_gemini\":[{\"key_filename\":\"v1.json\",\"key_weight\":1}],"
    " \"key_filename_claude\":[{\"key_filename\":\"c1.json\",\"key_weight\":1}]},"
    "{\"client_token\":\"gemini-client-key-bbbb\",\"enable\":false,"
    " \"key_filename_gemini\":[{\"key_filename\":\"v1.json\",\"key_weight\":2},{\"key_filename\":"
    "\"v2.json\",\"key_weight\":1}]},"
    "{\"client_token\":\"gemini-client-key-cccc\",\"enable\":true,"
    " \"key_filename_gemini\":[{\"key_filename\":\"v2.json\",\"key_weight\":1},{\"key_filename\":"
    "\"v1.json\",\"key_weight\":2}]},"
    "{\"client_token\":\"claude-client-key-dddd\",\"enable\":true,"
    " \"key_filename_claude\":[{\"key_filename\":\"c1.json\",\"key_weight\":1}]}],"
    "\"key_filename_gemini\":[{\"key_filename\":\"v1.json\",\"models\":["
    " {\"model\":\"gemini-2.5-pro\",\"domain\":\"aiplatform.googleapis.com\"},{\"model\":\"veo\","
    "\"domain\":\"\"}]}],"
    "\"key_filename_claude\":[{\"key_filename\":\"c1.json\",\"models\":[]},{\"key_filename\":\"v1."
    "json\",\"models\":["
    " {\"model\":\"claude\",\"domain\":\"us-east5-aiplatform.googleapis.com\"}]}]}";

static enum err parse(const char *json, struct legacy_map *m, struct errmsg *msg)
{
    *msg = (struct errmsg){{0}};
    return legacy_parse(slice_of(json), m, msg);
}

static const struct legacy_account *account(const struct legacy_map *m, const char *name)
{
    for (size_t i = 0; i < m->account_count; i++)
        if (strcmp(m->accounts[i].name, name) == 0)
            return &m->accounts[i];
    fail_msg("no account %s", name);
    return NULL;
}

static void the_sample_becomes_accounts_pools_and_clients(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    assert_int_equal(parse(sample, &m, &msg), ERR_OK);
    assert_int_equal(m.account_count, 3);
    assert_int_equal(account(&m, "v1")->model_count, 3);
    assert_int_equal(account(&m, "v1")->clients, 3);
    assert_int_equal(account(&m, "v2")->model_count, 0);
    assert_int_equal(account(&m, "c1")->clients, 1); /* the prefix's list alone counts */
    assert_int_equal(m.client_count, 4);
    assert_true(m.clients[0].is_on && !m.clients[1].is_on);
    assert_int_equal(m.clients[3].service, SERVICE_CLAUDE);
    legacy_finish(&m);
}

static void the_same_list_is_the_same_pool(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    assert_int_equal(parse(sample, &m, &msg), ERR_OK);
    assert_int_equal(m.pool_count, 3);
    assert_int_equal(m.clients[1].pool, m.clients[2].pool); /* in another order */
    assert_string_equal(m.pools[m.clients[0].pool].name, "v1");
    assert_string_equal(m.pools[m.clients[1].pool].name, "v1_2+v2");
    assert_string_equal(m.pools[m.clients[3].pool].name, "c1");
    legacy_finish(&m);
}

static void client_names_show_three_characters_at_most(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    assert_int_equal(parse(sample, &m, &msg), ERR_OK);
    assert_string_equal(m.clients[0].name, "gemini-cli-1");
    assert_string_equal(m.clients[1].name, "gemini-cli-2");
    assert_string_equal(m.clients[2].name, "gemini-cli-3");
    assert_string_equal(m.clients[3].name, "claude-cli");
    legacy_finish(&m);
}

static void clients_that_cannot_work_are_skipped_with_a_reason(void **state)
{
    const char *const tokens[] = {"gemini-x", "mistral-abcdefghijk", "nodashatallhere",
                                  "gemini-with space1", "gemini-no-list-at-all"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct legacy_map m;
        struct errmsg msg;
        char json[300];
        snprintf(
            json, sizeof json,
            "{\"clients\":[{\"client_token\":\"%s\",\"enable\":true,\"key_filename_mistral\":[]}]}",
            tokens[i]);
        assert_int_equal(parse(json, &m, &msg), ERR_OK);
        assert_int_equal(m.client_count, 1);
        assert_non_null(m.clients[0].skipped);
        legacy_finish(&m);
    }
}

#define ONE(entry)                                                                                 \
    ("{\"clients\":[{\"client_token\":\"gemini-SECRET-abcdef\",\"enable\":true,"                   \
     "\"key_filename_gemini\":[" entry "]}]}")

static void a_token_given_twice_counts_once(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    const char c[] = "{\"client_token\":\"gemini-abcdefghij\",\"key_filename_gemini\":[{\"key_"
                     "filename\":\"a\",\"key_weight\":1}]}";
    char json[400];
    snprintf(json, sizeof json, "{\"clients\":[%s,%s]}", c, c);
    assert_int_equal(parse(json, &m, &msg), ERR_OK);
    assert_null(m.clients[0].skipped);
    assert_false(m.clients[0].is_on); /* nobody said enable */
    assert_non_null(m.clients[1].skipped);
    legacy_finish(&m);
}

static void one_file_twice_in_a_list_adds_up(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    assert_int_equal(parse(ONE("{\"key_filename\":\"a.json\",\"key_weight\":1},{\"key_filename\":"
                               "\"a.json\",\"key_weight\":2.5}"),
                           &m, &msg),
                     ERR_OK);
    assert_int_equal(m.pools[0].member_count, 1);
    assert_true(m.pools[0].members[0].weight == 3.5);
    assert_string_equal(m.pools[0].name, "a_3.5");
    legacy_finish(&m);
}

static void bad_entries_are_named_and_never_a_token(void **state)
{
    const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"clients\":{}}",
        "{\"clients\":[7]}",
        "{\"clients\":[{\"enable\":true}]}",
        ONE("{\"key_filename\":\"../a.json\",\"key_weight\":1}"),
        ONE("{\"key_filename\":\"a/b\",\"key_weight\":1}"),
        ONE("{\"key_filename\":\".hidden\",\"key_weight\":1}"),
        ONE("{\"key_filename\":\"\",\"key_weight\":1}"),
        ONE("{\"key_filename\":7,\"key_weight\":1}"),
        ONE("{\"key_filename\":\"a\",\"key_weight\":0}"),
        ONE("{\"key_filename\":\"a\",\"key_weight\":-1}"),
        ONE("{\"key_filename\":\"a\",\"key_weight\":\"1\"}"),
        ONE("{\"key_filename\":\"a\"}"),
        ONE("{\"key_filename\":\"a\",\"key_weight\":1e9}"),
        "{\"clients\":[],\"key_filename_gemini\":{}}",
        "{\"clients\":[],\"key_filename_gemini\":[{}]}",
        "{\"clients\":[],\"key_filename_gemini\":[{\"key_filename\":\"a\",\"models\":[{}]}]}",
        "{\"clients\":[],\"key_filename_gemini\":[{\"key_filename\":\"a\",\"models\":[{\"model\":"
        "\"a b\"}]}]}",
        "{\"clients\":[{\"client_token\":\"gemini-\\u0000abcdefghi\"}]}",
        "[[[[[[[[[[[[[[[[[[[[",
        "{\"clients\": ["};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct legacy_map m;
        struct errmsg msg;
        assert_int_not_equal(parse(bad[i], &m, &msg), ERR_OK);
        assert_true(msg.text[0]);
        assert_null(strstr(msg.text, "SECRET"));
        legacy_finish(&m);
    }
}

static void names_stay_unique(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    /* "a b"-like stems fold together; lists that read the same get different pools */
    assert_int_equal(parse("{\"clients\":["
                           "{\"client_token\":\"gemini-abc-1111111\",\"key_filename_gemini\":[{"
                           "\"key_filename\":\"a.json\",\"key_weight\":2}]},"
                           "{\"client_token\":\"gemini-abd-1111111\",\"key_filename_gemini\":[{"
                           "\"key_filename\":\"a_2.json\",\"key_weight\":1}]},"
                           "{\"client_token\":\"gemini-abe-1111111\",\"key_filename_gemini\":[{"
                           "\"key_filename\":\"a\",\"key_weight\":1}]}]}",
                           &m, &msg),
                     ERR_OK);
    for (size_t i = 0; i < m.account_count; i++)
        for (size_t k = i + 1; k < m.account_count; k++)
            assert_string_not_equal(m.accounts[i].name, m.accounts[k].name);
    for (size_t i = 0; i < m.pool_count; i++)
        for (size_t k = i + 1; k < m.pool_count; k++)
            assert_string_not_equal(m.pools[i].name, m.pools[k].name);
    assert_int_equal(m.pool_count, 3);
    legacy_finish(&m);
}

static void long_lists_get_names_that_fit(void **state)
{
    struct legacy_map m;
    struct errmsg msg;
    struct sbuf b;
    sbuf_init(&b, 1 << 16);
    sbuf_adds(&b, "{\"clients\":[{\"client_token\":\"gemini-abcdefghi\",\"key_filename_gemini\":[");
    for (int i = 0; i < 40; i++)
        sbuf_addf(
            &b,
            "%s{\"key_filename\":\"a-rather-long-name-of-an-account-%d.json\",\"key_weight\":%d}",
            i ? "," : "", i, i + 1);
    sbuf_adds(&b, "]}]}");
    assert_int_equal(parse(sbuf_z(&b), &m, &msg), ERR_OK);
    assert_true(name_is_valid(slice_of(m.pools[0].name)));
    assert_int_equal(m.pools[0].member_count, 40);
    legacy_finish(&m);
    sbuf_finish(&b);
}

static void cached_tokens_are_read(void **state)
{
    struct sbuf t;
    int64_t at = 0;
    struct errmsg msg = {0};
    const char *const bad[] = {"",
                               "{}",
                               "{\"access_token\":\"ya29\"}",
                               "{\"access_token\":\"a b\",\"expires_at\":5}",
                               "{\"access_token\":\"x\\r\\ny\",\"expires_at\":5}",
                               "{\"access_token\":\"x\",\"expires_at\":-5}",
                               "{\"access_token\":\"x\",\"expires_at\":\"5\"}",
                               "{\"access_token\":\"x\",\"expires_at\":5,\"token_type\":\"mac\"}"};
    sbuf_init(&t, 4096);
    assert_int_equal(legacy_token(SLICE("{\"access_token\":\"ya29.x\",\"expires_at\":1795387127,"
                                        "\"token_type\":\"Bearer\"}"),
                                  &t, &at, &msg),
                     ERR_OK);
    assert_string_equal(sbuf_z(&t), "ya29.x");
    assert_int_equal(at, 1795387127);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(legacy_token(slice_of(bad[i]), &t, &at, &msg), ERR_OK);
    sbuf_finish_wipe(&t);
}

static void app_config_becomes_our_syntax(void **state)
{
    struct sbuf b;
    struct errmsg msg = {0};
    sbuf_init(&b, 1 << 16);
    assert_int_equal(legacy_app(SLICE("{\"log_level\":\"warn\",\"token_refresh\":{\"interval\":"
                                      "3000,\"early_refresh\":300},"
                                      "\"timeouts\":{\"proxy_read\":300,\"proxy_connect\":60,"
                                      "\"keepalive\":65},\"test_output\":{\"enabled\":true}}"),
                                &b, &msg),
                     ERR_OK);
    const char *const lines[] = {"log {\n  level = \"warn\"",
                                 "oauth {\n  early_refresh = 300",
                                 "upstream {\n  connect_timeout = 60",
                                 "  read_timeout = 300",
                                 "  keepalive = 65",
                                 "# token_refresh.interval",
                                 "# test_output"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(sbuf_z(&b), lines[i]));
    sbuf_clear(&b);
    assert_int_equal(legacy_app(SLICE("{\"log_level\":\"odd\\\"\\n}\",\"debug_mode\":true,"
                                      "\"timeouts\":{\"proxy_read\":1e300,\"keepalive\":\"x\"}}"),
                                &b, &msg),
                     ERR_OK);
    assert_non_null(strstr(sbuf_z(&b), "level = \"debug\""));
    assert_null(strstr(sbuf_z(&b), "odd"));
    sbuf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_becomes_accounts_pools_and_clients),
        cmocka_unit_test(the_same_list_is_the_same_pool),
        cmocka_unit_test(client_names_show_three_characters_at_most),
        cmocka_unit_test(clients_that_cannot_work_are_skipped_with_a_reason),
        cmocka_unit_test(a_token_given_twice_counts_once),
        cmocka_unit_test(one_file_twice_in_a_list_adds_up),
        cmocka_unit_test(bad_entries_are_named_and_never_a_token),
        cmocka_unit_test(names_stay_unique),
        cmocka_unit_test(long_lists_get_names_that_fit),
        cmocka_unit_test(cached_tokens_are_read),
        cmocka_unit_test(app_config_becomes_our_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
