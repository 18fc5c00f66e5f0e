/* Commands as an operator gives them, in-process, on a throw-away store. */
#include "desk.h"

#include <sys/stat.h>

static void assert_failed(struct desk *d, int code, int want)
{
    assert_int_equal(code, want);
    assert_int_equal(desk_talk_lines(d), 1);
    assert_memory_equal(d->talk, "credswap: ", 10);
}

static struct desk started(void)
{
    struct desk d;
    desk_open(&d);
    assert_int_equal(desk_run(&d, "ca init --name box"), 0);
    return d;
}

static void init_makes_what_is_missing_and_once(void **state)
{
    struct desk d;
    struct stat st;
    char path[128];
    desk_open(&d);
    assert_failed(&d, desk_run(&d, "account list"), EX_NOINPUT);
    assert_failed(&d, desk_run(&d, "client add a --service gemini"), EX_NOINPUT);
    snprintf(path, sizeof path, "%s/db", d.dir);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing half done */
    assert_int_equal(desk_run(&d, "ca init"), 0);
    snprintf(path, sizeof path, "%s/master.key", d.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 32);
    assert_int_equal(desk_run(&d, "ca export"), 0);
    char *pem = strdup(d.out);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_non_null(strstr(d.talk, "already there"));
    assert_int_equal(desk_run(&d, "ca export"), 0);
    assert_string_equal(d.out, pem);
    free(pem);
    desk_close(&d);
}

static void a_lost_master_key_is_not_replaced(void **state)
{
    struct desk d = started();
    char path[128];
    assert_int_equal(desk_run(&d, "client add a --service gemini"), 0);
    snprintf(path, sizeof path, "%s/master.key", d.dir);
    unlink(path);
    assert_failed(&d, desk_run(&d, "ca init"), EX_CONFIG);
    assert_int_not_equal(access(path, F_OK), 0);
    desk_close(&d);
}

static void a_key_file_becomes_an_account(void **state)
{
    struct desk d = started();
    desk_key_file(d.dir, "team");
    assert_int_equal(
        desk_run(&d, "account add %s/team.json --weight 2.5 --models a,b* --location eu", d.dir),
        0);
    assert_string_equal(d.out, "");
    assert_int_equal(desk_run(&d, "account show team --json"), 0);
    cJSON *o = cJSON_Parse(d.out);
    assert_string_equal(json_get_z(o, "kind"), "service");
    assert_string_equal(json_get_z(o, "location"), "eu");
    assert_string_equal(json_get_z(o, "project"), "proj");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(o, "models")), 2);
    const cJSON *pool = cJSON_GetArrayItem(cJSON_GetObjectItem(o, "pools"), 0);
    assert_string_equal(json_get_z(pool, "pool"), "gemini");
    assert_true(cJSON_GetObjectItem(pool, "weight")->valuedouble == 2.5);
    assert_null(strstr(d.out, "PRIVATE KEY"));
    cJSON_Delete(o);
    assert_failed(&d, desk_run(&d, "account add %s/team.json", d.dir), EX_CANTCREAT);
    desk_close(&d);
}

static void a_wide_key_file_is_taken_with_a_warning(void **state)
{
    struct desk d = started();
    char path[128];
    desk_key_file(d.dir, "wide");
    snprintf(path, sizeof path, "%s/wide.json", d.dir);
    chmod(path, 0644);
    assert_int_equal(desk_run(&d, "account add %s", path), 0);
    assert_non_null(strstr(d.talk, "warning"));
    desk_close(&d);
}

static void bad_accounts_change_nothing(void **state)
{
    const struct {
        const char *words, *input;
        int code;
    } bad[] = {
        {"account add -", "{}", EX_DATAERR},
        {"account add -", "", EX_DATAERR},
        {"account add /nonexistent.json", "", EX_NOINPUT},
        {"account add --kind api-key --host api.anthropic.com --name k -", "", EX_NOINPUT},
        {"account add --kind api-key --host api.anthropic.com --name k -", "a b c d e f g h",
         EX_DATAERR},
        {"account add --kind api-key --host evil.test --name k -", "sk-0123456789", EX_DATAERR},
        {"account add --kind api-key --name k -", "sk-0123456789", EX_USAGE},
        {"account add --kind api-key --host api.anthropic.com --name a/b -", "sk-0123456789",
         EX_USAGE},
        {"account add --kind api-key --host api.anthropic.com --name k key.txt", "", EX_USAGE},
        {"account add --kind odd -", "", EX_USAGE},
        {"account set none weight=1", "", EX_FAILED},
        {"account set none state=up", "", EX_FAILED},
        {"account set none state=odd", "", EX_USAGE},
        {"account set none colour=red", "", EX_USAGE},
        {"account rm none", "", EX_FAILED},
        {"pool set gemini none=1", "", EX_FAILED},
        {"pool set gemini none", "", EX_USAGE},
        {"host set example.org swap --api vertex", "", EX_DATAERR},
        {"host set a*b tunnel", "", EX_USAGE},
        {"host set a.test jump", "", EX_USAGE},
        {"host set a.test tunnel --api vertex", "", EX_USAGE},
        {"host test http://a", "", EX_DATAERR},
        {"model set none m", "", EX_FAILED},
        {"requests --limit many", "", EX_USAGE},
        {"requests --limit 0", "", EX_USAGE},
        {"requests --limit 10001", "", EX_USAGE},
        {"requests --status 6xx", "", EX_USAGE},
        {"requests --status 99", "", EX_USAGE},
        {"requests --status ok", "", EX_USAGE},
        {"events --limit -1", "", EX_USAGE},
        {"events --kind odd", "", EX_USAGE},
        {"usage --by day", "", EX_USAGE},
        {"usage --since soon", "", EX_USAGE},
        {"completion tcsh", "", EX_USAGE},
        {"completion names", "", EX_USAGE},
        {"undo 0", "", EX_USAGE},
        {"undo -- -1", "", EX_USAGE},
        {"undo 99999999999999999999", "", EX_USAGE},
        {"undo 9223372036854775808", "", EX_USAGE},
        {"undo 4711", "", EX_FAILED},
        {"undo", "", EX_FAILED}};
    struct desk d = started();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_failed(&d, desk_run_with(&d, bad[i].input, "%s", bad[i].words), bad[i].code);
    assert_int_equal(desk_run(&d, "account list --json"), 0);
    assert_string_equal(d.out, "[]\n");
    assert_int_equal(desk_run(&d, "events --kind audit --json"), 0);
    cJSON *events = cJSON_Parse(d.out);
    assert_int_equal(cJSON_GetArraySize(events), 1); /* ca init's */
    cJSON_Delete(events);
    desk_close(&d);
}

static void each_change_is_one_audit_row_by_name(void **state)
{
    struct desk d = started();
    assert_int_equal(
        desk_run_with(&d, "sk-0123456789\n",
                      "account add --kind api-key --host API.Anthropic.com --name k -"),
        0);
    assert_int_equal(desk_run(&d, "account set k weight=3 state=drain note=x"), 0);
    assert_int_equal(desk_run(&d, "account set k weight=3"), 0); /* as it is: no row */
    assert_non_null(strstr(d.talk, "was so already"));
    assert_int_equal(desk_run(&d, "events --json"), 0);
    cJSON *events = cJSON_Parse(d.out);
    assert_int_equal(cJSON_GetArraySize(events), 3);
    assert_non_null(strstr(json_get_z(cJSON_GetArrayItem(events, 2), "who"), "uid"));
    assert_non_null(
        strstr(json_get_z(cJSON_GetArrayItem(events, 2), "what"), "weight=3 state=drain"));
    assert_null(strstr(d.out, "sk-0123456789"));
    cJSON_Delete(events);
    assert_int_equal(desk_run(&d, "undo"), 0);
    assert_int_equal(desk_run(&d, "account show k --json"), 0);
    assert_non_null(strstr(d.out, "\"state\": \"up\""));
    assert_non_null(strstr(d.out, "\"host\": \"api.anthropic.com\""));
    desk_close(&d);
}

static void a_new_placeholder_is_shown_once(void **state)
{
    struct desk d = started();
    char token[64];
    assert_int_equal(desk_run(&d, "client add alice --service gemini --expires 30d --rpm 60 "
                                  "--tokens-per-day 10M --models gemini-*"),
                     0);
    snprintf(token, sizeof token, "%.*s", (int)strcspn(d.out, "\n"), d.out);
    assert_memory_equal(token, "gemini-", 7);
    assert_true(strlen(token) >= 39);
    assert_non_null(strstr(d.out, "sha256sum -c"));
    assert_null(strstr(d.talk, token));
    assert_int_equal(desk_run(&d, "client show alice --json"), 0);
    assert_null(strstr(d.out, token));
    assert_non_null(strstr(d.out, "\"rpm\": 60"));
    assert_non_null(strstr(d.out, "\"tokens_per_day\": 10000000"));
    assert_int_equal(desk_run(&d, "client rotate alice --json"), 0);
    assert_null(strstr(d.out, token));
    assert_int_equal(desk_run(&d, "client revoke alice"), 0);
    assert_int_equal(desk_run(&d, "client list"), 0);
    assert_non_null(strstr(d.out, "revoked"));
    desk_close(&d);
}

static void a_placeholder_of_their_own_is_checked_and_not_shown(void **state)
{
    const char *const bad[] = {"gemini-short", "claude-0123456789abcdef",
                               "gemini-0123 456789abcdef", "gemini-\001123456789abcdef", ""};
    struct desk d = started();
    assert_int_equal(desk_run_with(&d, "gemini-alice-0123456789abcdef\r\n",
                                   "client add alice --service gemini --token -"),
                     0);
    assert_null(strstr(d.out, "0123456789"));
    assert_failed(&d,
                  desk_run_with(&d, "gemini-alice-0123456789abcdef",
                                "client add again --service gemini --token -"),
                  EX_CANTCREAT);
    for (size_t i = 1; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(desk_run_with(&d, bad[i], "client add bob --service gemini --token -"),
                             0);
    assert_failed(&d, desk_run(&d, "client add bob --service gemini --token gemini-0123456789"),
                  EX_USAGE);
    assert_failed(&d, desk_run(&d, "client add bob"), EX_USAGE);
    assert_failed(&d, desk_run(&d, "client add bob --service gemini --pool none"), EX_FAILED);
    assert_failed(&d, desk_run(&d, "client add bob --service gemini --expires soon"), EX_USAGE);
    assert_int_equal(desk_run(&d, "client list --json"), 0);
    cJSON *rows = cJSON_Parse(d.out);
    assert_int_equal(cJSON_GetArraySize(rows), 1);
    cJSON_Delete(rows);
    desk_close(&d);
}

static void limits_are_set_by_either_spelling(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "client add a --service claude --json"), 0);
    assert_int_equal(desk_run(&d, "client set a rpm=5 tokens-per-day=1k state=off"), 0);
    assert_int_equal(desk_run(&d, "client set a --rpm 6 --state on"), 0);
    assert_int_equal(desk_run(&d, "client show a --json"), 0);
    assert_non_null(strstr(d.out, "\"rpm\": 6"));
    assert_non_null(strstr(d.out, "\"tokens_per_day\": 1000"));
    assert_non_null(strstr(d.out, "\"state\": \"on\""));
    assert_failed(&d, desk_run(&d, "client set a"), EX_USAGE);
    assert_failed(&d, desk_run(&d, "client set a rpm=many"), EX_USAGE);
    assert_failed(&d, desk_run(&d, "client set a pool=none"), EX_FAILED);
    desk_close(&d);
}

static void weights_belong_to_pools(void **state)
{
    struct desk d = started();
    assert_int_equal(
        desk_run_with(&d, "sk-0123456789",
                      "account add --kind api-key --host api.anthropic.com --name k --pool p1 -"),
        0);
    assert_int_equal(desk_run(&d, "pool set p2 k=4"), 0);
    assert_failed(&d, desk_run(&d, "account set k weight=1"), EX_DATAERR); /* which pool? */
    assert_int_equal(desk_run(&d, "account set k weight=1 --pool p2"), 0);
    assert_failed(&d, desk_run(&d, "pool set p2 k=9 none=1"), EX_FAILED); /* all or nothing */
    assert_int_equal(desk_run(&d, "pool list --json"), 0);
    assert_null(strstr(d.out, "\"weight\": 9"));
    assert_int_equal(desk_run(&d, "pool rm p2 k"), 0);
    assert_int_equal(desk_run(&d, "pool rm p2"), 0);
    assert_int_equal(desk_run(&d, "client add c --service claude --pool p1 --json"), 0);
    assert_int_equal(desk_run(&d, "account drain k"), 0);
    assert_non_null(strstr(d.talk, "warning: pool p1"));
    desk_close(&d);
}

static void without_input_danger_needs_a_yes(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "client add a --service claude --json"), 0);
    assert_failed(&d, desk_run(&d, "client rm a --no-input"), EX_FAILED);
    assert_failed(&d, desk_run(&d, "client revoke a --no-input"), EX_FAILED);
    assert_int_equal(desk_run(&d, "client show a"), 0);
    assert_int_equal(desk_run(&d, "client rm a --no-input --yes"), 0);
    assert_failed(&d, desk_run(&d, "client show a"), EX_FAILED);
    desk_close(&d);
}

static void one_event_is_undone_by_its_number(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "host set a.test tunnel"), 0);
    assert_int_equal(desk_run(&d, "host set b.test tunnel"), 0);
    assert_int_equal(desk_run(&d, "events --json"), 0);
    cJSON *events = cJSON_Parse(d.out);
    const cJSON *id = cJSON_GetObjectItem(cJSON_GetArrayItem(events, 1), "id");
    assert_true(cJSON_IsNumber(id));
    assert_int_equal(desk_run(&d, "undo %d", id->valueint), 0);
    assert_non_null(strstr(d.talk, "undone: host a.test: tunnel"));
    assert_failed(&d, desk_run(&d, "undo %d", id->valueint), EX_FAILED);
    assert_non_null(strstr(d.talk, "undone already"));
    assert_int_equal(desk_run(&d, "host list"), 0);
    assert_null(strstr(d.out, "a.test"));
    assert_non_null(strstr(d.out, "b.test"));
    cJSON_Delete(events);
    assert_failed(&d, desk_run(&d, "undo 1"), EX_FAILED); /* ca init: no row to put back */
    assert_non_null(strstr(d.talk, "no row"));
    assert_failed(&d, desk_run(&d, "undo 4711"), EX_FAILED);
    assert_non_null(strstr(d.talk, "no event 4711"));
    desk_close(&d);
}

static void names_are_given_or_nothing_is_said(void **state)
{
    struct desk d;
    char path[128];
    desk_open(&d);
    assert_int_equal(desk_run(&d, "completion names pool"), 0); /* no store, and none is made */
    assert_string_equal(d.out, "");
    assert_string_equal(d.talk, "");
    snprintf(path, sizeof path, "%s/db", d.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(desk_run(&d, "ca init"), 0);
    assert_int_equal(desk_run(&d, "client add bob --service claude --json"), 0);
    assert_int_equal(desk_run(&d, "completion names pool"), 0);
    assert_non_null(strstr(d.out, "gemini\n"));
    assert_int_equal(desk_run(&d, "completion names client"), 0);
    assert_string_equal(d.out, "bob\n");
    assert_int_equal(desk_run(&d, "completion names odd"), 0);
    assert_string_equal(d.out, "");
    desk_close(&d);
}

static int64_t generation_of(struct desk *d)
{
    assert_int_equal(desk_run(d, "events --kind audit --limit 1 --json"), 0);
    const char *at = strstr(d->out, "\"generation\":");
    assert_non_null(at);
    return strtoll(at + strlen("\"generation\":"), NULL, 10);
}

static void what_was_reviewed_is_changed_or_nothing_is(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "client add a --service gemini"), 0);
    d.reviewed = generation_of(&d);
    assert_int_equal(desk_run(&d, "client set a rpm=5"), 0);
    assert_failed(&d, desk_run(&d, "client set a rpm=7"),
                  EX_DATAERR); /* reviewed before that one */
    assert_non_null(strstr(d.talk, "did \"client a: rpm=5\" meanwhile; nothing was changed"));
    assert_int_equal(desk_run(&d, "client show a --json"), 0);
    assert_non_null(strstr(d.out, "\"rpm\": 5"));
    d.reviewed = generation_of(&d);
    assert_int_equal(desk_run(&d, "client set a rpm=7"), 0);
    desk_close(&d);
}

static void rules_say_what_happens_to_a_host(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "host set *.Example.org tunnel"), 0);
    assert_int_equal(desk_run(&d, "host test www.example.org --json"), 0);
    assert_non_null(strstr(d.out, "\"verdict\": \"tunnel\""));
    assert_int_equal(desk_run(&d, "host test us-central1-aiplatform.googleapis.com:443 --json"), 0);
    assert_non_null(strstr(d.out, "\"verdict\": \"swap\""));
    assert_int_equal(desk_run(&d, "host test 127.0.0.1:443 --json"), 0);
    assert_non_null(strstr(d.out, "\"verdict\": \"deny\""));
    assert_int_equal(desk_run(&d, "host rm *.example.org"), 0);
    assert_failed(&d, desk_run(&d, "host rm *.example.org"), EX_FAILED);
    desk_close(&d);
}

static void the_daemon_is_away(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "status --json"), 0);
    assert_non_null(strstr(d.out, "\"ok\": false"));
    assert_failed(&d, desk_run(&d, "account refresh a"), EX_UNAVAILABLE);
    assert_failed(&d, desk_run(&d, "account test a"), EX_UNAVAILABLE);
    assert_failed(&d, desk_run(&d, "live list"), EX_UNAVAILABLE);
    assert_failed(&d, desk_run(&d, "live list --limit 501"), EX_USAGE);
    assert_failed(&d, desk_run(&d, "live end 01JD"), EX_UNAVAILABLE);
    assert_failed(&d, desk_run(&d, "ca leaves"), EX_UNAVAILABLE);
    assert_failed(&d, desk_run(&d, "ca refused"), EX_UNAVAILABLE);
    assert_failed(&d, desk_run(&d, "wait --ready --timeout 1"), EX_TEMPFAIL);
    assert_int_equal(desk_run(&d, "doctor --json"), 0);
    cJSON *rows = cJSON_Parse(d.out);
    assert_true(cJSON_IsArray(rows) && cJSON_GetArraySize(rows) > 5);
    assert_null(strstr(d.out, "\"fail\""));
    cJSON_Delete(rows);
    desk_close(&d);
}

static void backups_go_back(void **state)
{
    struct desk d = started();
    assert_int_equal(desk_run(&d, "client add a --service gemini --json"), 0);
    assert_int_equal(desk_run(&d, "backup %s/copy", d.dir), 0);
    assert_failed(&d, desk_run(&d, "backup %s/copy", d.dir), EX_CANTCREAT);
    assert_int_equal(desk_run(&d, "client rm a"), 0);
    assert_failed(&d, desk_run(&d, "restore %s/none", d.dir), EX_NOINPUT);
    desk_write(d.dir, "rubbish", "this is no database, and long enough to be looked at");
    assert_int_equal(desk_run(&d, "restore %s/rubbish", d.dir), EX_DATAERR);
    assert_int_equal(desk_run(&d, "client list --json"), 0);
    assert_string_equal(d.out, "[]\n");
    assert_int_equal(desk_run(&d, "restore %s/copy", d.dir), 0);
    assert_int_equal(desk_run(&d, "client show a"), 0);
    desk_close(&d);
}

static void a_rotation_hands_out_both_certificates(void **state)
{
    struct desk d = started();
    assert_failed(&d, desk_run(&d, "ca rotate --finish"), EX_NOINPUT);
    assert_int_equal(desk_run(&d, "ca rotate"), 0);
    assert_int_equal(desk_run(&d, "ca show --json"), 0);
    assert_non_null(strstr(d.out, "\"certificates\": 2"));
    assert_int_equal(desk_run(&d, "doctor"), 0);
    assert_null(strstr(d.out, "fail"));
    assert_int_equal(desk_run(&d, "ca rotate --finish"), 0);
    assert_int_equal(desk_run(&d, "doctor"), 0);
    assert_null(strstr(d.out, "fail"));
    desk_close(&d);
}

static void bad_configuration_is_78(void **state)
{
    struct desk d;
    desk_open(&d);
    desk_write(d.dir, "credswap.conf", "listen {\n  prxy = {}\n}\n");
    assert_failed(&d, desk_run(&d, "account list"), EX_CONFIG);
    assert_non_null(strstr(d.talk, "credswap.conf:2"));
    assert_failed(&d, desk_run(&d, "doctor"), EX_CONFIG);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_makes_what_is_missing_and_once),
        cmocka_unit_test(a_lost_master_key_is_not_replaced),
        cmocka_unit_test(a_key_file_becomes_an_account),
        cmocka_unit_test(a_wide_key_file_is_taken_with_a_warning),
        cmocka_unit_test(bad_accounts_change_nothing),
        cmocka_unit_test(each_change_is_one_audit_row_by_name),
        cmocka_unit_test(a_new_placeholder_is_shown_once),
        cmocka_unit_test(a_placeholder_of_their_own_is_checked_and_not_shown),
        cmocka_unit_test(limits_are_set_by_either_spelling),
        cmocka_unit_test(weights_belong_to_pools),
        cmocka_unit_test(without_input_danger_needs_a_yes),
        cmocka_unit_test(one_event_is_undone_by_its_number),
        cmocka_unit_test(names_are_given_or_nothing_is_said),
        cmocka_unit_test(what_was_reviewed_is_changed_or_nothing_is),
        cmocka_unit_test(rules_say_what_happens_to_a_host),
        cmocka_unit_test(the_daemon_is_away),
        cmocka_unit_test(backups_go_back),
        cmocka_unit_test(a_rotation_hands_out_both_certificates),
        cmocka_unit_test(bad_configuration_is_78),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
