/* What the screens hand to subcommands and cannot see themselves: a service-account file that is
 * never printed, and how many accounts could serve a host. */
#include "desk.h"

#include "keys/keyfile.h"

#include <sys/stat.h>

static struct desk started(void)
{
    struct desk d;
    desk_open(&d);
    assert_int_equal(desk_run(&d, "ca init --name box"), 0);
    return d;
}

static char *read_file(const char *path)
{
    static char text[16384];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static bool has_file(struct desk *d)
{
    assert_int_equal(desk_run(d, "client show alice --json"), 0);
    return strstr(d->out, "\"service_account\": true") != NULL;
}

static void a_service_account_file_is_written_and_not_printed(void **state)
{
    struct desk d = started();
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/alice.json", d.dir);
    assert_int_equal(desk_run(&d, "client add alice --service gemini"), 0);
    assert_int_equal(desk_run(&d, "client service-account alice --out %s", path), 0);
    assert_string_equal(d.out, "");
    assert_null(strstr(d.talk, "PRIVATE"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    cJSON *o = cJSON_Parse(read_file(path));
    assert_string_equal(json_get_z(o, "type"), "service_account");
    EVP_PKEY *key = NULL;
    assert_int_equal(private_key_parse(slice_of(json_get_z(o, "private_key")), &key, NULL), ERR_OK);
    EVP_PKEY_free(key);
    cJSON_Delete(o);
    assert_true(has_file(&d));
    desk_close(&d);
}

static void a_file_that_is_there_is_kept_and_ends_no_key(void **state)
{
    struct desk d = started();
    char path[128];
    snprintf(path, sizeof path, "%s/there.json", d.dir);
    desk_write(d.dir, "there.json", "mine");
    assert_int_equal(desk_run(&d, "client add alice --service gemini"), 0);
    assert_int_equal(desk_run(&d, "client service-account alice --out %s", path), EX_CANTCREAT);
    assert_string_equal(read_file(path), "mine");
    assert_false(has_file(&d));
    snprintf(path, sizeof path, "%s/none/a.json", d.dir);
    assert_int_not_equal(desk_run(&d, "client service-account alice --out %s", path), 0);
    assert_false(has_file(&d));
    desk_close(&d);
}

static void a_client_that_is_not_there_leaves_no_file(void **state)
{
    struct desk d = started();
    char path[128];
    snprintf(path, sizeof path, "%s/bob.json", d.dir);
    assert_int_not_equal(desk_run(&d, "client service-account bob --out %s", path), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    desk_close(&d);
}

static int eligible(struct desk *d, const char *host)
{
    assert_int_equal(desk_run(d, "host test %s --json", host), 0);
    cJSON *o = cJSON_Parse(d->out);
    const cJSON *n = cJSON_GetObjectItem(o, "eligible_accounts");
    int ret = n ? (int)n->valuedouble : -1;
    cJSON_Delete(o);
    return ret;
}

static void a_test_counts_the_accounts_that_could_serve(void **state)
{
    struct desk d = started();
    static const char host[] = "generativelanguage.googleapis.com";
    assert_int_equal(eligible(&d, host), 0);
    desk_key_file(d.dir, "team");
    assert_int_equal(desk_run(&d, "account add %s/team.json", d.dir), 0);
    assert_int_equal(desk_run(&d, "pool set other team=1"), 0); /* in two pools, counted once */
    assert_int_equal(eligible(&d, host), 1);
    assert_int_equal(eligible(&d, "api.anthropic.com"), 0);
    assert_int_equal(eligible(&d, "example.org"), -1); /* no account is chosen there */
    assert_int_equal(desk_run(&d, "account set team state=off"), 0);
    assert_int_equal(eligible(&d, host), 0);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_account_file_is_written_and_not_printed),
        cmocka_unit_test(a_file_that_is_there_is_kept_and_ends_no_key),
        cmocka_unit_test(a_client_that_is_not_there_leaves_no_file),
        cmocka_unit_test(a_test_counts_the_accounts_that_could_serve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
