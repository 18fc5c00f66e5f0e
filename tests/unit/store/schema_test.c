/* What a hand at the sqlite3 shell may and may not do. */
#include "unit/store/fixture.h"

static void a_new_store_has_pools_and_rules(void **state)
{
    struct fix *f = *state;
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool WHERE name IN ('gemini','claude')"),
                     2);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM host_rule WHERE action='swap'"), 6);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM host_rule WHERE api='vertex'"), 4);
    assert_int_equal(shell_int(f, "PRAGMA user_version"), store_schema_newest());
    assert_int_equal(shell_int(f, "PRAGMA application_id"), 0x43537770);
    assert_true(store_is_wal(f->s));
}

static void nonsense_by_hand_is_refused(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    add_client(f, "c", "gemini-abcdefgh");
    static const char *const bad[] = {
        "UPDATE pool_member SET weight = -1",
        "UPDATE pool_member SET weight = 9e999",
        "UPDATE pool_member SET weight = -9e999",
        "UPDATE pool_member SET weight = NULL",
        "UPDATE pool_member SET weight = 9e999 - 9e999",
        "UPDATE pool_member SET weight = 'heavy'",
        "UPDATE pool_member SET weight = 1000000001",
        "UPDATE pool_member SET account = 'nobody'",
        "UPDATE pool_member SET pool = 'nowhere'",
        "INSERT INTO pool_member (pool, account) VALUES ('gemini', 'a')",
        "INSERT INTO pool_member (pool, account) VALUES ('gemini', 'nobody')",
        "UPDATE account SET state = 'on'",
        "UPDATE account SET state = 'UP'",
        "UPDATE account SET kind = 'api_key'",
        "UPDATE account SET kind = 'api-key'", /* it has no host */
        "UPDATE account SET name = ''",
        "UPDATE account SET name = ' a'",
        "UPDATE account SET name = 'a' || char(10)",
        "UPDATE account SET name = 'a=1'",
        "UPDATE account SET project = 'a/../b'",
        "UPDATE account SET location = 'us-central1/x'",
        "UPDATE account SET token_uri = 'file:///etc/passwd'",
        "UPDATE account SET scope = ''",
        "UPDATE client SET state = 'off ', rpm = 1",
        "UPDATE client SET rpm = -1",
        "UPDATE client SET rpm = 'many'",
        "UPDATE client SET pool = 'nowhere'",
        "UPDATE client SET service = 'openai'",
        "UPDATE client SET placeholder_hash = x'00'",
        "DELETE FROM pool WHERE name = 'gemini'", /* c uses it */
        "INSERT INTO host_rule (pattern, action) VALUES ('*', 'swap')",
        "INSERT INTO host_rule (pattern, action, api) VALUES ('*', 'swap', 'gemini')",
        "INSERT INTO host_rule (pattern, action, api) VALUES ('x.com', 'tunnel', 'gemini')",
        "INSERT INTO host_rule (pattern, action) VALUES ('X.com', 'deny')",
        "INSERT INTO host_rule (pattern, action) VALUES ('*x.com', 'deny')",
        "INSERT INTO host_rule (pattern, action) VALUES ('a.*.com', 'deny')",
        "INSERT INTO host_rule (pattern, action) VALUES ('*.', 'deny')",
        "INSERT INTO host_rule (pattern, action) VALUES ('', 'deny')",
        "INSERT INTO host_rule (pattern, action) VALUES ('x.com/', 'deny')",
        "UPDATE host_rule SET paths = 'v1/models'",
        "UPDATE host_rule SET paths = '/a /b'",
        "INSERT INTO account_model (account, model) VALUES ('nobody', 'm')",
        "INSERT INTO account_model (account, model) VALUES ('a', 'm n')",
        "INSERT INTO account_model (account, model, domain) VALUES ('a', 'm', 'Evil.com:443')",
        "INSERT INTO event (at_ms, kind, who, what) VALUES (1, 'rumour', 'x', 'y')",
        "INSERT INTO generation VALUES (2, 1, 1)",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (shell(f, bad[i]) != SQLITE_CONSTRAINT)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(shell(f, "UPDATE pool_member SET weight = -1"), SQLITE_CONSTRAINT);
    assert_non_null(strstr(shell_error(f), "a weight is a number from 0 to 1000000000"));
}

static void sense_by_hand_is_accepted(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    static const char *const good[] = {
        "UPDATE pool_member SET weight = 5 WHERE account = 'a'",
        "UPDATE pool_member SET weight = 0.25",
        "UPDATE pool_member SET weight = 0",
        "UPDATE account SET state = 'drain' WHERE name = 'a'",
        "UPDATE account SET project = 'example.com:my-proj'",
        "INSERT INTO host_rule (pattern, action) VALUES ('*', 'deny')",
        "INSERT INTO host_rule (pattern, action) VALUES ('*-x.com', 'tunnel')",
        "INSERT INTO host_rule (pattern, action) VALUES ('::1', 'deny')",
        "UPDATE host_rule SET paths = '*' WHERE api = 'gemini'",
        "UPDATE host_rule SET paths = '/v1/*,/v1beta/*:generateContent' WHERE api = 'gemini'",
        "INSERT INTO account_model (account, model) VALUES ('a', 'claude-opus-4-5@20251101')",
        "INSERT INTO pool (name) VALUES ('night')",
        "DELETE FROM pool WHERE name = 'night'",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (shell(f, good[i]) != SQLITE_OK)
            fail_msg("refused: %s (%s)", good[i], shell_error(f));
}

/* Without PRAGMA foreign_keys, as the shell is. */
static void renaming_and_deleting_by_hand_leaves_no_orphans(void **state)
{
    struct fix *f = *state;
    assert_int_equal(shell_int(f, "PRAGMA foreign_keys"), 0);
    add_account(f, "a");
    add_client(f, "c", "gemini-abcdefgh");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    shell(f, "INSERT INTO account_model (account, model) VALUES ('a', 'm')");
    shell(f, "INSERT INTO token (account, scope) VALUES ('a', 's')");
    shell(f, "INSERT INTO cooldown (account, since_ms, until_ms) VALUES ('a', 1, 2001)");
    shell(f,
          "INSERT INTO pin (name, pool, account, expires_at) VALUES ('files/x', 'gemini', 'a', 9)");
    assert_int_equal(shell_int(f, "SELECT until FROM cooldown"), 3);
    assert_int_equal(shell(f, "UPDATE account SET name = 'b'"), SQLITE_OK);
    assert_int_equal(shell(f, "UPDATE pool SET name = 'google' WHERE name = 'gemini'"), SQLITE_OK);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool_member WHERE account = 'b' AND pool = "
                                  "'google'"),
                     1);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM client WHERE pool = 'google'"), 1);
    assert_int_equal(shell_int(f,
                               "SELECT (SELECT count(*) FROM token WHERE account = 'b') + (SELECT "
                               "count(*) FROM cooldown WHERE account = 'b') + (SELECT count(*) "
                               "FROM account_model WHERE account = 'b') + (SELECT count(*) FROM "
                               "pin WHERE account = 'b' AND pool = 'google')"),
                     4);
    assert_ok(f, store_check(f->s, &f->msg));
    assert_int_equal(shell(f, "DELETE FROM account"), SQLITE_OK);
    assert_int_equal(shell_int(f, "SELECT (SELECT count(*) FROM token) + (SELECT count(*) FROM "
                                  "cooldown) + (SELECT count(*) FROM account_model) + (SELECT "
                                  "count(*) FROM pool_member) + (SELECT count(*) FROM pin)"),
                     0);
    assert_ok(f, store_check(f->s, &f->msg));
}

static void generation_counts_configuration_edits_only(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    add_client(f, "c", "gemini-abcdefgh");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    static const struct {
        const char *sql;
        int bumps;
    } edits[] = {
        {"UPDATE pool_member SET weight = 0", 1},
        {"UPDATE account SET state = 'off'", 1},
        {"UPDATE account SET cleared_at_ms = 5", 1},
        {"INSERT INTO pool (name) VALUES ('p')", 1},
        {"UPDATE pool SET name = 'q' WHERE name = 'p'", 1},
        {"DELETE FROM pool WHERE name = 'q'", 1},
        {"UPDATE client SET rpm = 4", 1},
        {"UPDATE client SET placeholder_hash = zeroblob(32)", 1},
        {"INSERT INTO host_rule (pattern, action) VALUES ('x.com', 'deny')", 1},
        {"UPDATE host_rule SET action = 'tunnel' WHERE pattern = 'x.com'", 1},
        {"DELETE FROM host_rule WHERE pattern = 'x.com'", 1},
        {"INSERT INTO account_model (account, model) VALUES ('a', 'm')", 1},
        {"UPDATE account_model SET domain = 'x.com'", 1},
        {"DELETE FROM account_model", 1},
        {"DELETE FROM pool_member", 1},
        {"UPDATE client SET last_seen_at = 77", 0},
        {"INSERT INTO token (account, scope) VALUES ('a', 's')", 0},
        {"UPDATE token SET fails = 1", 0},
        {"DELETE FROM token", 0},
        {"INSERT INTO cooldown (account, since_ms, until_ms) VALUES ('a', 1, 2)", 0},
        {"DELETE FROM cooldown", 0},
        {"INSERT INTO pin (name, pool, account, expires_at) VALUES ('files/x', 'gemini', 'a', 9)",
         0},
        {"DELETE FROM pin", 0},
        {"INSERT INTO usage (minute, client, account, model) VALUES (60, 'c', 'a', 'm')", 0},
        {"INSERT INTO request (at_ms, request_id) VALUES (1, 'r')", 0},
        {"INSERT INTO event (at_ms, kind, who, what) VALUES (1, 'info', 'x', 'y')", 0},
        {"INSERT INTO node (name) VALUES ('n')", 0},
        {"DELETE FROM client", 1},
        {"DELETE FROM account", 1},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        int64_t before = 0, after = 0, v1 = 0, v2 = 0;
        assert_ok(f, store_generation(f->s, &before, &f->msg));
        assert_ok(f, store_data_version(f->s, &v1, &f->msg));
        if (shell(f, edits[i].sql) != SQLITE_OK)
            fail_msg("%s: %s", edits[i].sql, shell_error(f));
        assert_ok(f, store_generation(f->s, &after, &f->msg));
        assert_ok(f, store_data_version(f->s, &v2, &f->msg));
        if (after - before != edits[i].bumps || v1 == v2)
            fail_msg("%s: %lld bumps", edits[i].sql, (long long)(after - before));
    }
}

static void requests_and_events_are_bounded(void **state)
{
    struct fix *f = *state;
    assert_int_equal(
        shell(
            f,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 10500) INSERT "
            "INTO request (at_ms, request_id) SELECT i, 'r' || i FROM n"),
        SQLITE_OK);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM request"), 10000);
    assert_int_equal(shell_int(f, "SELECT max(at_ms) FROM request"), 10500);
    shell(f, "INSERT INTO event (at_ms, kind, who, what) VALUES (0, 'audit', 'mia', 'first')");
    assert_int_equal(
        shell(
            f,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 12000) INSERT "
            "INTO event (at_ms, kind, who, what) SELECT i, 'alarm', 'x', 'y' FROM n"),
        SQLITE_OK);
    int64_t alarms = shell_int(f, "SELECT count(*) FROM event WHERE kind = 'alarm'");
    assert_in_range(alarms, 10000, 10064);
    /* a flood of alarms does not wash the audit trail away */
    assert_int_equal(shell_int(f, "SELECT count(*) FROM event WHERE kind = 'audit'"), 1);
}

static void the_pool_with_most_pins_makes_room(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    assert_int_equal(
        shell(f,
              "INSERT INTO pin (name, pool, account, expires_at) WITH RECURSIVE n(i) AS (SELECT 1 "
              "UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT 'files/c-' || i, 'claude', 'a', 9 "
              "FROM n"),
        SQLITE_OK);
    assert_int_equal(
        shell(f,
              "INSERT INTO pin (name, pool, account, expires_at) WITH RECURSIVE n(i) AS (SELECT 1 "
              "UNION ALL SELECT i + 1 FROM n LIMIT 20500) SELECT 'files/g-' || i, 'gemini', 'a', 9 "
              "FROM n"),
        SQLITE_OK);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pin WHERE pool = 'claude'"), 100);
    assert_true(shell_int(f, "SELECT count(*) FROM pin") <= 20063);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pin WHERE name = 'files/g-1'"), 0);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pin WHERE name = 'files/g-20500'"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
    const struct CMUnitTest tests[] = {
        T(a_new_store_has_pools_and_rules),
        T(nonsense_by_hand_is_refused),
        T(sense_by_hand_is_accepted),
        T(renaming_and_deleting_by_hand_leaves_no_orphans),
        T(generation_counts_configuration_edits_only),
        T(requests_and_events_are_bounded),
        T(the_pool_with_most_pins_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
