/* Audited changes and their undoing. */
#include "unit/store/fixture.h"

#include "store/event.h"
#include "store/model.h"
#include "store/rule.h"

struct last {
    int64_t id, undone_by, generation;
    char who[64], what[256], before[1024], after[1024];
    bool is_undo;
    size_t count;
};

static enum err last_event(void *arg, const struct event_row *e)
{
    struct last *l = arg;
    l->id = e->id;
    l->undone_by = e->undone_by;
    l->generation = e->generation;
    l->is_undo = e->is_undo;
    l->count++;
    snprintf(l->who, sizeof l->who, "%s", e->who.p);
    snprintf(l->what, sizeof l->what, "%s", e->what.p);
    snprintf(l->before, sizeof l->before, "%s", e->before.p);
    snprintf(l->after, sizeof l->after, "%s", e->after.p);
    return ERR_OK;
}

static struct last audit_rows(struct fix *f)
{
    struct last l = {0};
    struct event_filter all = {.kinds = 1 << EVENT_AUDIT, .limit = 1000};
    assert_ok(f, event_list(f->s, &all, last_event, &l, &f->msg));
    return l;
}

static int64_t change_weight(struct fix *f, double weight)
{
    int64_t id = 0;
    assert_ok(f, store_change_begin(f->s, &f->msg));
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), weight, &f->msg));
    assert_ok(
        f, store_change_commit(f->s, SLICE("mia (uid 1001)"), SLICE("weight of a"), &id, &f->msg));
    return id;
}

static double weight(struct fix *f)
{
    return (double)shell_int(f, "SELECT cast(weight * 1000 AS INTEGER) FROM pool_member") / 1000;
}

static void one_change_is_one_audit_row(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    change_weight(f, 50);
    int64_t id = change_weight(f, 70);
    struct last l = audit_rows(f);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.id, id);
    assert_string_equal(l.who, "mia (uid 1001)");
    assert_string_equal(l.before, "[{\"table\":\"pool_member\",\"id\":1,\"row\":{\"id\":1,\"pool\":"
                                  "\"gemini\",\"account\":\"a\",\"weight\":50.0}}]");
    assert_non_null(strstr(l.after, "\"weight\":70.0"));
    int64_t g = 0;
    assert_ok(f, store_generation(f->s, &g, &f->msg));
    assert_int_equal(l.generation, g);
    /* nothing changed, nothing said */
    assert_int_equal(change_weight(f, 70), 0);
    assert_int_equal(audit_rows(f).count, 2);
    /* given up */
    assert_ok(f, store_change_begin(f->s, &f->msg));
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    store_rollback(f->s);
    assert_int_equal(audit_rows(f).count, 2);
    assert_true(weight(f) == 70);
    assert_int_equal(change_weight(f, 70), 0);
}

static void no_secret_gets_into_the_audit(void **state)
{
    struct fix *f = *state;
    assert_ok(f, store_change_begin(f->s, &f->msg));
    add_api_key(f, "k", "sk-ant-very-secret-key");
    add_client(f, "c", "gemini-very-secret-placeholder");
    assert_ok(f, store_change_commit(f->s, SLICE("mia"), SLICE("two"), NULL, &f->msg));
    struct last l = audit_rows(f);
    assert_int_equal(l.count, 1);
    assert_string_equal(l.before, "[]");
    assert_non_null(strstr(l.after, "\"name\":\"k\""));
    assert_non_null(strstr(l.after, "\"visible\":\"gemini-ver\""));
    assert_null(strstr(l.after, "secret"));
    assert_null(strstr(l.after, "sealed"));
}

static void undo_brings_the_rows_back(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    change_weight(f, 50);
    int64_t changed = change_weight(f, 70);
    struct errmsg what;
    assert_ok(f, store_undo(f->s, SLICE("joe"), 0, &what, &f->msg));
    assert_string_equal(what.text, "weight of a");
    assert_true(weight(f) == 50);
    struct last l = audit_rows(f);
    assert_true(l.is_undo);
    assert_string_equal(l.who, "joe");
    assert_non_null(strstr(l.what, "undo of"));
    int64_t undo = l.id;
    /* the next one goes further back: the member was new then */
    assert_ok(f, store_undo(f->s, SLICE("joe"), 0, NULL, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool_member"), 0);
    assert_err(f, ERR_NOT_FOUND, store_undo(f->s, SLICE("joe"), 0, NULL, &f->msg));
    assert_err(f, ERR_NOT_FOUND, store_undo(f->s, SLICE("joe"), changed, NULL, &f->msg));
    /* an undo can be undone by its number, when nothing came after */
    assert_err(f, ERR_INVALID, store_undo(f->s, SLICE("joe"), undo, NULL, &f->msg));
    assert_ok(f, store_undo(f->s, SLICE("joe"), audit_rows(f).id, NULL, &f->msg));
    assert_true(weight(f) == 50);
    assert_ok(f, store_undo(f->s, SLICE("joe"), undo, NULL, &f->msg));
    assert_true(weight(f) == 70);
}

static void undo_refuses_over_a_later_change(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    change_weight(f, 50);
    change_weight(f, 70);
    assert_int_equal(shell(f, "UPDATE pool_member SET weight = 80"), SQLITE_OK);
    assert_err(f, ERR_INVALID, store_undo(f->s, SLICE("joe"), 0, NULL, &f->msg));
    assert_non_null(strstr(f->msg.text, "pool_member"));
    assert_true(weight(f) == 80);
}

static void undo_of_a_rename_and_of_removed_rows(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    change_weight(f, 3);
    assert_ok(f, model_set(f->s, SLICE("a"), SLICE("m*"), SLICE("x.com"), &f->msg));
    assert_ok(f, store_change_begin(f->s, &f->msg));
    struct account_fields fields = {.name = SLICE("b"), .note = SLICE("renamed")};
    assert_ok(f, account_set(f->s, SLICE("a"), &fields, &f->msg));
    assert_ok(f, store_change_commit(f->s, SLICE("mia"), SLICE("rename"), NULL, &f->msg));
    assert_ok(f, store_change_begin(f->s, &f->msg));
    assert_ok(f, pool_unset(f->s, SLICE("gemini"), SLICE("b"), &f->msg));
    assert_ok(f, model_remove(f->s, SLICE("b"), SLICE("m*"), &f->msg));
    assert_ok(f, rule_remove(f->s, SLICE("api.anthropic.com"), &f->msg));
    assert_ok(f, pool_add(f->s, SLICE("night"), &f->msg));
    assert_ok(f, store_change_commit(f->s, SLICE("mia"), SLICE("sweep"), NULL, &f->msg));
    assert_ok(f, store_undo(f->s, SLICE("joe"), 0, NULL, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool_member WHERE account = 'b'"), 1);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account_model WHERE domain = 'x.com'"), 1);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM host_rule"), 6);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool"), 2);
    assert_ok(f, store_undo(f->s, SLICE("joe"), 0, NULL, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool_member WHERE account = 'a'"), 1);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account_model WHERE account = 'a'"), 1);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account WHERE name = 'a' AND note = ''"),
                     1);
    assert_ok(f, store_check(f->s, &f->msg));
}

static void what_was_sealed_does_not_come_back(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    add_client(f, "c", "gemini-abcdefgh");
    int64_t id = 0;
    for (int i = 0; i < 4; i++) {
        assert_ok(f, store_change_begin(f->s, &f->msg));
        if (i == 0)
            assert_ok(
                f, account_set_key(f->s, f->key, SLICE("a"), SLICE("new"), SLICE("k2"), &f->msg));
        else if (i == 1) /* the same visible part */
            assert_ok(f,
                      client_rotate(f->s, f->key, SLICE("c"), SLICE("gemini-abcdXXXX"), &f->msg));
        else if (i == 2)
            assert_ok(f, client_revoke(f->s, SLICE("c"), &f->msg));
        else
            assert_ok(f, account_remove(f->s, SLICE("a"), &f->msg));
        assert_ok(f, store_change_commit(f->s, SLICE("mia"), SLICE("x"), &id, &f->msg));
        assert_true(id > 0);
        assert_err(f, ERR_DENIED, store_undo(f->s, SLICE("mia"), 0, NULL, &f->msg));
        assert_err(f, ERR_DENIED, store_undo(f->s, SLICE("mia"), id, NULL, &f->msg));
    }
}

static void adding_an_account_can_be_undone(void **state)
{
    struct fix *f = *state;
    assert_ok(f, store_change_begin(f->s, &f->msg));
    add_account(f, "a");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 1, &f->msg));
    assert_ok(f, store_change_commit(f->s, SLICE("mia"), SLICE("add"), NULL, &f->msg));
    assert_int_equal(audit_rows(f).count, 1);
    assert_ok(f, store_undo(f->s, SLICE("mia"), 0, NULL, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account"), 0);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pool_member"), 0);
}

static void a_failed_command_changes_nothing(void **state)
{
    struct fix *f = *state;
    assert_ok(f, store_change_begin(f->s, &f->msg));
    add_account(f, "a");
    assert_err(f, ERR_NOT_FOUND, pool_set(f->s, SLICE("nowhere"), SLICE("a"), 1, &f->msg));
    store_rollback(f->s);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account"), 0);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM event"), 0);
    assert_err(f, ERR_INVALID, store_change_commit(f->s, SLICE("mia"), SLICE("x"), NULL, &f->msg));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
    const struct CMUnitTest tests[] = {
        T(one_change_is_one_audit_row),
        T(no_secret_gets_into_the_audit),
        T(undo_brings_the_rows_back),
        T(undo_refuses_over_a_later_change),
        T(undo_of_a_rename_and_of_removed_rows),
        T(what_was_sealed_does_not_come_back),
        T(adding_an_account_can_be_undone),
        T(a_failed_command_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
