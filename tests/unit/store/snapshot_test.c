/* What workers see, and what a bad row costs. */
#include "unit/store/fixture.h"

#include "base/arena.h"
#include "store/cooldown.h"
#include "store/model.h"
#include "store/rule.h"
#include "store/snapshot.h"

#include <time.h>

static struct snapshot *load(struct fix *f, size_t bad)
{
    struct snapshot *s = NULL;
    size_t got = 99;
    assert_ok(f, snapshot_load(f->s, f->key, &s, &got, &f->msg));
    assert_int_equal(got, bad);
    return s;
}

static const struct snap_client *find(struct fix *f, struct snapshot *s, const char *placeholder)
{
    unsigned char hash[HMAC_SIZE];
    assert_int_equal(placeholder_hash(f->key, slice_of(placeholder), hash), ERR_OK);
    return snapshot_find_client(s, hash);
}

static void fill(struct fix *f)
{
    add_account(f, "a");
    add_api_key(f, "k", "sk-ant-0123");
    add_account(f, "b");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("b"), 0.5, &f->msg));
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 2, &f->msg));
    assert_ok(f, pool_set(f->s, SLICE("claude"), SLICE("k"), 1, &f->msg));
    assert_ok(f, model_set(f->s, SLICE("b"), SLICE("m1"), SLICE("x.googleapis.com"), &f->msg));
    assert_ok(f, model_set(f->s, SLICE("b"), SLICE("m2"), SLICE(""), &f->msg));
    add_client(f, "c1", "gemini-client-1");
    add_client(f, "c2", "gemini-client-2");
    int64_t rpm = 7;
    struct client_fields limits = {.models = SLICE("gemini-2*, gemini-3*"), .rpm = &rpm};
    assert_ok(f, client_set(f->s, SLICE("c2"), &limits, &f->msg));
}

static void a_snapshot_holds_the_configuration(void **state)
{
    struct fix *f = *state;
    fill(f);
    struct snapshot *s = load(f, 0);
    int64_t g = 0;
    assert_ok(f, store_generation(f->s, &g, &f->msg));
    assert_int_equal(s->generation, g);
    assert_int_equal(s->account_count, 3);
    const struct snap_account *a = snapshot_account_by_name(s, SLICE("a"));
    const struct snap_account *b = snapshot_account_by_name(s, SLICE("b"));
    const struct snap_account *k = snapshot_account_by_name(s, SLICE("k"));
    assert_ptr_equal(snapshot_account_by_id(s, b->id), b);
    assert_null(snapshot_account_by_id(s, 99));
    assert_null(snapshot_account_by_name(s, SLICE("zz")));
    assert_string_equal(a->project.p, "acme-1");
    assert_string_equal(a->email.p, "a@acme-1.iam.gserviceaccount.com");
    assert_string_equal(a->scope.p, ACCOUNT_DEFAULT_SCOPE);
    assert_null(a->api_key);
    assert_int_equal(a->model_count, 0);
    assert_int_equal(b->model_count, 2);
    assert_string_equal(b->models[0].domain.p, "x.googleapis.com");
    assert_true(secret_eq(k->api_key, SLICE("sk-ant-0123")));
    assert_int_equal(s->pool_count, 2);
    const struct snap_pool *p = &s->pools[0];
    assert_string_equal(p->name.p, "gemini");
    assert_int_equal(p->member_count, 2);
    assert_ptr_equal(&s->accounts[p->members[0].account], a);
    assert_true(p->members[0].weight == 2 && p->members[1].weight == 0.5);
    const struct snap_client *c = find(f, s, "gemini-client-2");
    assert_string_equal(c->name.p, "c2");
    assert_true(c->enabled && c->rpm == 7 && c->pool == 0 && c->model_count == 2);
    assert_string_equal(c->models[1].p, "gemini-3*");
    assert_null(find(f, s, "gemini-client-3"));
    assert_int_equal(s->rule_count, 6);
    for (size_t i = 1; i < s->rule_count; i++)
        assert_true(rule_pattern_compare(s->rules[i - 1].pattern, s->rules[i].pattern) < 0);
    assert_string_equal(s->rules[5].pattern.p, "*-aiplatform.googleapis.com");
    snapshot_unref(&s);
    assert_null(s);
    snapshot_unref(&s);
}

static void a_snapshot_does_not_change(void **state)
{
    struct fix *f = *state;
    fill(f);
    struct snapshot *old = load(f, 0), *again = snapshot_ref(old);
    shell(f, "UPDATE pool_member SET weight = 9");
    shell(f, "UPDATE client SET state = 'off' WHERE name = 'c1'");
    shell(f, "DELETE FROM account WHERE name = 'a'");
    struct snapshot *s = load(f, 0);
    assert_true(s->generation > old->generation);
    assert_false(find(f, s, "gemini-client-1")->enabled);
    assert_true(find(f, old, "gemini-client-1")->enabled);
    assert_int_equal(s->pools[0].member_count, 1);
    snapshot_unref(&old);
    assert_int_equal(again->pools[0].member_count, 2);
    snapshot_unref(&again);
    snapshot_unref(&s);
}

static void a_revoked_placeholder_finds_nobody(void **state)
{
    struct fix *f = *state;
    fill(f);
    assert_ok(f, client_revoke(f->s, SLICE("c1"), &f->msg));
    assert_ok(f, client_rotate(f->s, f->key, SLICE("c2"), SLICE("gemini-new-one"), &f->msg));
    struct snapshot *s = load(f, 0);
    assert_int_equal(s->client_count, 2);
    assert_null(find(f, s, "gemini-client-1"));
    assert_null(find(f, s, "gemini-client-2"));
    assert_non_null(find(f, s, "gemini-new-one"));
    snapshot_unref(&s);
}

/* Only a file edited with the checks switched off can hold these. */
static void a_bad_row_costs_itself_and_allows_nothing(void **state)
{
    struct fix *f = *state;
    fill(f);
    assert_int_equal(shell(f, "PRAGMA ignore_check_constraints = 1"), SQLITE_OK);
    static const char *const damage[] = {
        "UPDATE account SET key_sealed = x'0102' WHERE name = 'k'", /* stays, without its key */
        "UPDATE account SET state = 'maybe' WHERE name = 'a'",      /* goes, and its membership */
        "UPDATE account_model SET model = model || char(10) WHERE account = 'b'",
        "UPDATE client SET models = ',' WHERE name = 'c1'",
        "UPDATE client SET placeholder_hash = x'01' WHERE name = 'c2'",
        "UPDATE host_rule SET action = 'perhaps' WHERE pattern = 'api.anthropic.com'",
        "INSERT INTO host_rule (pattern, action) VALUES ('*bad', 'tunnel')",
        "INSERT INTO cooldown (account, model, since_ms, until_ms) VALUES ('b', char(1), 1, 9e15)",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++)
        if (shell(f, damage[i]) != SQLITE_OK)
            fail_msg("%s: %s", damage[i], shell_error(f));
    struct snapshot *s = load(f, 10);
    assert_null(snapshot_account_by_name(s, SLICE("k"))->api_key);
    assert_null(snapshot_account_by_name(s, SLICE("a")));
    /* no good row is left of its models: that must not read as "every model" */
    const struct snap_account *b = snapshot_account_by_name(s, SLICE("b"));
    assert_int_equal(b->model_count, 0);
    assert_int_equal(b->state, ACCOUNT_OFF);
    assert_int_equal(s->pools[0].member_count, 1);
    assert_int_equal(s->client_count, 1);
    assert_null(find(f, s, "gemini-client-1"));
    assert_null(find(f, s, "gemini-client-2"));
    assert_int_equal(s->rule_count, 6);
    for (size_t i = 0; i < s->rule_count; i++)
        if (slice_eq(s->rules[i].pattern, SLICE("api.anthropic.com")))
            assert_int_equal(s->rules[i].action, RULE_DENY);
    assert_int_equal(s->cooldown_count, 0);
    snapshot_unref(&s);
}

static void another_master_key_opens_no_api_key(void **state)
{
    struct fix *f = *state;
    fill(f);
    struct master_key *other = NULL;
    unsigned char bytes[MASTER_KEY_SIZE] = {1};
    assert_int_equal(master_key_new(slice_make(bytes, sizeof bytes), &other), ERR_OK);
    struct snapshot *s = NULL;
    size_t bad = 0;
    assert_ok(f, snapshot_load(f->s, other, &s, &bad, &f->msg));
    assert_int_equal(bad, 1);
    snapshot_unref(&s);
    assert_ok(f, snapshot_load(f->s, NULL, &s, &bad, &f->msg));
    assert_int_equal(bad, 0);
    assert_null(snapshot_account_by_name(s, SLICE("k"))->api_key);
    snapshot_unref(&s);
    master_key_unref(&other);
}

static void cool_downs_that_still_run_come_along(void **state)
{
    struct fix *f = *state;
    clock_set_fake(1, 5000);
    int64_t a = add_account(f, "a"), b = add_account(f, "b");
    struct cooldown_row c = {a, SLICE(""), SLICE("m"), 4000, 9000, 2, SLICE("429")};
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    c.model = SLICE("over");
    c.until_ms = 4500;
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    c = (struct cooldown_row){b, SLICE(""), SLICE("m"), 4000, 9000, 2, SLICE("429")};
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    shell(f, "UPDATE account SET cleared_at_ms = 4001 WHERE name = 'b'");
    struct snapshot *s = load(f, 0);
    assert_int_equal(s->cooldown_count, 1);
    assert_int_equal(s->cooldowns[0].account_id, a);
    assert_int_equal(s->cooldowns[0].step, 2);
    snapshot_unref(&s);
}

static void an_empty_store_makes_an_empty_snapshot(void **state)
{
    struct fix *f = *state;
    shell(f, "DELETE FROM host_rule");
    shell(f, "DELETE FROM pool");
    struct snapshot *s = load(f, 0);
    assert_int_equal(s->account_count + s->pool_count + s->client_count + s->rule_count, 0);
    assert_null(find(f, s, "gemini-client-1"));
    snapshot_unref(&s);
}

static void any_failed_allocation_is_an_error_and_no_leak(void **state)
{
    struct fix *f = *state;
    fill(f);
    char name[64];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "gemini-client-number-%d", i);
        add_api_key(f, name, "sk-ant-0123");
        add_client(f, name, name);
    }
    for (long n = 1;; n++) {
        struct snapshot *s = NULL;
        arena_thread_finish(); /* chunks kept from before are no allocations */
        mem_fail_after(n, n & 1);
        enum err e = snapshot_load(f->s, f->key, &s, NULL, &f->msg);
        mem_fail_after(0, 0);
        if (e == ERR_OK) {
            snapshot_unref(&s);
            assert_true(n > 60);
            break;
        }
        assert_int_equal(e, ERR_NOMEM);
        assert_null(s);
        assert_true(n < 1000);
        assert_ok(f, store_begin(f->s, &f->msg)); /* no read transaction is left open */
        store_rollback(f->s);
    }
}

static void a_thousand_of_each_load_quickly(void **state)
{
    struct fix *f = *state;
    char name[64], placeholder[64];
    assert_ok(f, store_begin(f->s, &f->msg));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        snprintf(placeholder, sizeof placeholder, "gemini-client-%d", i);
        if (i % 2)
            add_api_key(f, name, "sk-ant-0123456789");
        else
            add_account(f, name);
        assert_ok(f, pool_set(f->s, SLICE("gemini"), slice_of(name), i, &f->msg));
        assert_ok(f, model_set(f->s, slice_of(name), SLICE("m*"), SLICE(""), &f->msg));
        add_client(f, name, placeholder);
    }
    assert_ok(f, store_commit(f->s, &f->msg));
    struct timespec t1, t2;
    clock_gettime(CLOCK_MONOTONIC, &t1);
    struct snapshot *s = load(f, 0);
    clock_gettime(CLOCK_MONOTONIC, &t2);
    print_message("1,000 accounts, members, models and clients: %.1f ms\n",
                  (double)(t2.tv_sec - t1.tv_sec) * 1e3 + (double)(t2.tv_nsec - t1.tv_nsec) / 1e6);
    for (int i = 0; i < 1000; i++) {
        snprintf(placeholder, sizeof placeholder, "gemini-client-%d", i);
        snprintf(name, sizeof name, "n%d", i);
        assert_string_equal(find(f, s, placeholder)->name.p, name);
    }
    assert_null(find(f, s, "gemini-client-1000"));
    snapshot_unref(&s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
    const struct CMUnitTest tests[] = {
        T(a_snapshot_holds_the_configuration),     T(a_snapshot_does_not_change),
        T(a_revoked_placeholder_finds_nobody),     T(a_bad_row_costs_itself_and_allows_nothing),
        T(another_master_key_opens_no_api_key),    T(cool_downs_that_still_run_come_along),
        T(an_empty_store_makes_an_empty_snapshot), T(any_failed_allocation_is_an_error_and_no_leak),
        T(a_thousand_of_each_load_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
