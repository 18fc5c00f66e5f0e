/* The nouns: what goes in comes out, what must not open does not. */
#include "unit/store/fixture.h"

#include "store/cooldown.h"
#include "store/event.h"
#include "store/model.h"
#include "store/node.h"
#include "store/pin.h"
#include "store/request.h"
#include "store/rule.h"
#include "store/token.h"
#include "store/usage.h"

static const struct slice scope = {"s1 s2", 5};

static enum err count_account(void *arg, const struct account *a)
{
    (void)a;
    ++*(size_t *)arg;
    return ERR_OK;
}

static enum err check_account(void *arg, const struct account *a)
{
    int64_t *id = arg;
    assert_int_equal(a->id, *id);
    assert_string_equal(a->name.p, "a");
    assert_int_equal(a->kind, ACCOUNT_SERVICE);
    assert_int_equal(a->state, ACCOUNT_UP);
    assert_string_equal(a->project.p, "acme-1");
    assert_string_equal(a->location.p, "us-central1");
    assert_string_equal(a->scope.p, ACCOUNT_DEFAULT_SCOPE);
    assert_string_equal(a->token_uri.p, ACCOUNT_DEFAULT_TOKEN_URI);
    assert_int_equal(a->key_fingerprint.n, 8);
    assert_int_equal(a->created_at, 1700000000);
    return ERR_OK;
}

static void accounts_are_added_changed_and_removed(void **state)
{
    struct fix *f = *state;
    clock_set_fake(1, 1700000000000);
    int64_t id = add_account(f, "a");
    assert_ok(f, account_get(f->s, SLICE("a"), check_account, &id, &f->msg));
    assert_err(f, ERR_NOT_FOUND, account_get(f->s, SLICE("b\n"), check_account, &id, &f->msg));
    assert_string_equal(f->msg.text, "no such account: b?");
    struct account_fields again = {.name = SLICE("a")};
    assert_err(f, ERR_EXISTS,
               account_add(f->s, f->key, ACCOUNT_SERVICE, &again, SLICE("k"), NULL, &f->msg));
    assert_string_equal(f->msg.text, "an account a exists already");
    enum account_state drain = ACCOUNT_DRAIN;
    struct account_fields change = {
        .name = SLICE("b"), .state = &drain, .quota_project = SLICE("q")};
    assert_ok(f, account_set(f->s, SLICE("a"), &change, &f->msg));
    assert_err(f, ERR_NOT_FOUND, account_set(f->s, SLICE("a"), &change, &f->msg));
    assert_int_equal(shell_int(f,
                               "SELECT count(*) FROM account WHERE name='b' AND state='drain' AND "
                               "quota_project='q' AND project='acme-1'"),
                     1);
    struct account_fields bad = {.location = SLICE("us/../x")};
    assert_err(f, ERR_INVALID, account_set(f->s, SLICE("b"), &bad, &f->msg));
    assert_string_equal(f->msg.text, "a location has lower-case letters, digits and - only");
    size_t n = 0;
    assert_ok(f, account_list(f->s, count_account, &n, &f->msg));
    assert_int_equal(n, 1);
    assert_ok(f, account_remove(f->s, SLICE("b"), &f->msg));
    assert_err(f, ERR_NOT_FOUND, account_remove(f->s, SLICE("b"), &f->msg));
    /* an id never comes back: sealed values and caches are bound to it */
    assert_true(add_account(f, "a") > id);
}

static void a_failed_add_leaves_no_row(void **state)
{
    struct fix *f = *state;
    struct account_fields a = {.name = SLICE("a")};
    assert_err(f, ERR_INVALID,
               account_add(f->s, f->key, ACCOUNT_SERVICE, &a, SLICE(""), NULL, &f->msg));
    assert_err(f, ERR_CRYPTO,
               account_add(f->s, NULL, ACCOUNT_SERVICE, &a, SLICE("k"), NULL, &f->msg));
    assert_err(f, ERR_INVALID,
               account_add(f->s, f->key, ACCOUNT_API_KEY, &a, SLICE("k"), NULL, &f->msg));
    a.host = SLICE("api.anthropic.com");
    assert_err(f, ERR_INVALID,
               account_add(f->s, f->key, ACCOUNT_API_KEY, &a, SLICE("k\r\nX: y"), NULL, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account"), 0);
    /* inside a transaction that goes on, too */
    assert_ok(f, store_begin(f->s, &f->msg));
    assert_err(f, ERR_CRYPTO,
               account_add(f->s, NULL, ACCOUNT_SERVICE, &a, SLICE("k"), NULL, &f->msg));
    add_account(f, "other");
    assert_ok(f, store_commit(f->s, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account"), 1);
}

static void assert_key(struct fix *f, int64_t id, const char *want)
{
    struct secret *key = NULL;
    assert_ok(f, account_key_unseal(f->s, f->key, id, &key, &f->msg));
    assert_true(secret_eq(key, slice_of(want)));
    secret_unref(&key);
}

static void a_sealed_key_opens_in_its_own_row_only(void **state)
{
    struct fix *f = *state;
    int64_t a = add_api_key(f, "a", "sk-ant-aaaa"), b = add_api_key(f, "b", "sk-ant-bbbb");
    assert_key(f, a, "sk-ant-aaaa");
    assert_int_equal(shell_int(f, "SELECT count(*) FROM account WHERE instr(key_sealed, 'sk-ant')"),
                     0);
    /* a rename does not break the seal */
    struct account_fields name = {.name = SLICE("c")};
    assert_ok(f, account_set(f->s, SLICE("a"), &name, &f->msg));
    assert_key(f, a, "sk-ant-aaaa");
    size_t bad = 9;
    assert_ok(f, account_check_keys(f->s, f->key, &bad, &f->msg));
    assert_int_equal(bad, 0);
    /* a copy does not open */
    shell(f, "UPDATE account SET key_sealed = (SELECT key_sealed FROM account WHERE name = 'c') "
             "WHERE name = 'b'");
    struct secret *key = NULL;
    assert_err(f, ERR_CRYPTO, account_key_unseal(f->s, f->key, b, &key, &f->msg));
    assert_null(key);
    /* nor does another master key open anything */
    struct master_key *other = NULL;
    unsigned char bytes[MASTER_KEY_SIZE] = {1};
    assert_int_equal(master_key_new(slice_make(bytes, sizeof bytes), &other), ERR_OK);
    assert_err(f, ERR_CRYPTO, account_key_unseal(f->s, other, a, &key, &f->msg));
    master_key_unref(&other);
    assert_err(f, ERR_NOT_FOUND, account_key_unseal(f->s, f->key, 99, &key, &f->msg));
    shell(f, "UPDATE account SET key_sealed = NULL WHERE name = 'c'");
    assert_err(f, ERR_NOT_FOUND, account_key_unseal(f->s, f->key, a, &key, &f->msg));
    assert_ok(f, account_check_keys(f->s, f->key, &bad, &f->msg));
    assert_int_equal(bad, 2);
}

static void a_new_key_drops_the_tokens(void **state)
{
    struct fix *f = *state;
    int64_t id = add_account(f, "a");
    assert_ok(f, token_store(f->s, f->key, id, scope, SLICE("ya29.x"), 9, 1, 5, &f->msg));
    assert_ok(f, account_set_key(f->s, f->key, SLICE("a"), SLICE("new key"), SLICE("k2"), &f->msg));
    assert_key(f, id, "new key");
    assert_int_equal(shell_int(f, "SELECT count(*) FROM token"), 0);
    assert_int_equal(shell_int(f, "SELECT key_id = 'k2' FROM account"), 1);
    assert_err(f, ERR_NOT_FOUND,
               account_set_key(f->s, f->key, SLICE("b"), SLICE("x"), SLICE(""), &f->msg));
}

static void clearing_ends_cool_downs(void **state)
{
    struct fix *f = *state;
    int64_t id = add_account(f, "a");
    clock_set_fake(1, 5000);
    struct cooldown_row c = {
        .account_id = id, .model = SLICE("m"), .since_ms = 4000, .until_ms = 9000};
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    assert_ok(f, account_clear(f->s, SLICE("a"), &f->msg));
    assert_int_equal(shell_int(f, "SELECT cleared_at_ms FROM account"), 5000);
    assert_int_equal(shell_int(f, "SELECT count(*) FROM cooldown"), 0);
    assert_err(f, ERR_NOT_FOUND, account_clear(f->s, SLICE("b"), &f->msg));
}

static enum err one_member(void *arg, const struct pool_member *m)
{
    double *sum = arg;
    *sum += m->weight;
    assert_string_equal(m->pool.p, "gemini");
    return ERR_OK;
}

static enum err sum_pools(void *arg, const struct pool *p)
{
    int64_t *sum = arg;
    *sum += p->members * 100 + p->clients;
    return ERR_OK;
}

static void pools_weigh_accounts(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    add_account(f, "b");
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 2, &f->msg));
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("b"), 0, &f->msg));
    assert_ok(f, pool_set(f->s, SLICE("gemini"), SLICE("a"), 2.5, &f->msg));
    assert_err(f, ERR_INVALID, pool_set(f->s, SLICE("gemini"), SLICE("a"), -1, &f->msg));
    assert_err(f, ERR_NOT_FOUND, pool_set(f->s, SLICE("gemini"), SLICE("x"), 1, &f->msg));
    assert_string_equal(f->msg.text, "no such account");
    double sum = 0;
    assert_ok(f, pool_member_list(f->s, SLICE("gemini"), SLICE(""), one_member, &sum, &f->msg));
    assert_true(sum == 2.5);
    int64_t serving = 0, all = 0;
    assert_ok(f, pool_serving(f->s, SLICE("gemini"), &serving, &f->msg));
    assert_int_equal(serving, 1);
    add_client(f, "c", "gemini-abcdefgh");
    assert_ok(f, pool_list(f->s, sum_pools, &all, &f->msg));
    assert_int_equal(all, 201);
    assert_err(f, ERR_INVALID, pool_remove(f->s, SLICE("gemini"), &f->msg));
    assert_string_equal(f->msg.text, "clients use this pool");
    assert_ok(f, pool_unset(f->s, SLICE("gemini"), SLICE("a"), &f->msg));
    assert_err(f, ERR_NOT_FOUND, pool_unset(f->s, SLICE("gemini"), SLICE("a"), &f->msg));
    assert_err(f, ERR_EXISTS, pool_add(f->s, SLICE("gemini"), &f->msg));
    assert_ok(f, pool_remove(f->s, SLICE("claude"), &f->msg));
}

static enum err keep_client(void *arg, const struct client *c)
{
    struct client *ret = arg;
    static char name[64], visible[64];
    snprintf(name, sizeof name, "%s", c->name.p);
    snprintf(visible, sizeof visible, "%s", c->visible.p);
    *ret = *c;
    ret->name = slice_of(name);
    ret->visible = slice_of(visible);
    return ERR_OK;
}

static void clients_are_known_by_their_placeholder(void **state)
{
    struct fix *f = *state;
    struct client c;
    add_client(f, "ci", "gemini-7Kqabcdefgh");
    assert_ok(f, client_find(f->s, f->key, SLICE("gemini-7Kqabcdefgh"), keep_client, &c, &f->msg));
    assert_string_equal(c.name.p, "ci");
    assert_string_equal(c.visible.p, "gemini-7Kq");
    assert_int_equal(shell_int(f,
                               "SELECT count(*) FROM client WHERE instr(placeholder_hash, 'abcd') "
                               "OR instr(visible, 'abcd')"),
                     0);
    struct client_fields twice = {.name = SLICE("other")}, same = {.name = SLICE("ci")};
    assert_err(f, ERR_EXISTS,
               client_add(f->s, f->key, SERVICE_GEMINI, &twice, SLICE("gemini-7Kqabcdefgh"), NULL,
                          &f->msg));
    assert_string_equal(f->msg.text, "another client has this placeholder already");
    assert_err(f, ERR_EXISTS,
               client_add(f->s, f->key, SERVICE_GEMINI, &same, SLICE("gemini-somethingelse"), NULL,
                          &f->msg));
    assert_string_equal(f->msg.text, "a client ci exists already");
    assert_err(f, ERR_INVALID,
               client_add(f->s, f->key, SERVICE_GEMINI, &twice, SLICE("short"), NULL, &f->msg));
    assert_err(f, ERR_INVALID,
               client_add(f->s, f->key, SERVICE_GEMINI, &twice, SLICE("gemini-with space in"), NULL,
                          &f->msg));
    assert_ok(f, client_rotate(f->s, f->key, SLICE("ci"), SLICE("gemini-new1234567"), &f->msg));
    assert_err(f, ERR_NOT_FOUND,
               client_find(f->s, f->key, SLICE("gemini-7Kqabcdefgh"), keep_client, &c, &f->msg));
    assert_ok(f, client_find(f->s, f->key, SLICE("gemini-new1234567"), keep_client, &c, &f->msg));
    assert_ok(f, client_revoke(f->s, SLICE("ci"), &f->msg));
    assert_ok(f, client_get(f->s, SLICE("ci"), keep_client, &c, &f->msg));
    assert_false(c.is_on || c.has_placeholder);
    assert_ok(f, client_remove(f->s, SLICE("ci"), &f->msg));
    assert_err(f, ERR_NOT_FOUND, client_revoke(f->s, SLICE("ci"), &f->msg));
}

static void clients_have_limits(void **state)
{
    struct fix *f = *state;
    struct client c;
    int64_t soon = 99, few = 5;
    bool off = false;
    struct client_fields n = {
        .name = SLICE("c"), .expires_at = &soon, .models = SLICE("gemini-*,x")};
    assert_ok(
        f, client_add(f->s, f->key, SERVICE_CLAUDE, &n, SLICE("sk-ant-0123456789"), NULL, &f->msg));
    struct client_fields change = {.rpm = &few, .is_on = &off};
    assert_ok(f, client_set(f->s, SLICE("c"), &change, &f->msg));
    assert_ok(f, client_get(f->s, SLICE("c"), keep_client, &c, &f->msg));
    assert_int_equal(c.service, SERVICE_CLAUDE);
    assert_string_equal(c.visible.p, "claude-sk-");
    assert_true(c.expires_at == 99 && c.rpm == 5 && c.tokens_per_day == 0 && !c.is_on);
    assert_ok(f, client_seen(f->s, c.id, 50, &f->msg));
    assert_ok(f, client_seen(f->s, c.id, 40, &f->msg));
    assert_int_equal(shell_int(f, "SELECT last_seen_at FROM client"), 50);
    assert_ok(f, client_set_sa_key(f->s, SLICE("c"), SLICE("kid"), SLICE("PEM"), &f->msg));
    struct client_fields wrong = {.pool = SLICE("nowhere")};
    assert_err(f, ERR_NOT_FOUND, client_set(f->s, SLICE("c"), &wrong, &f->msg));
    char p[PLACEHOLDER_NEW_SIZE], q[PLACEHOLDER_NEW_SIZE];
    client_new_placeholder(SERVICE_CLAUDE, p);
    client_new_placeholder(SERVICE_CLAUDE, q);
    assert_int_equal(strlen(p), 39);
    assert_memory_equal(p, "claude-", 7);
    assert_string_not_equal(p, q);
}

static enum err rule_names(void *arg, const struct rule *r)
{
    struct sbuf *out = arg;
    sbuf_addf(out, "%s ", r->pattern.p);
    return ERR_OK;
}

static void rules_are_listed_as_they_decide(void **state)
{
    struct fix *f = *state;
    shell(f, "DELETE FROM host_rule");
    assert_ok(f, rule_set(f->s, SLICE("*"), RULE_DENY, API_NONE, SLICE(""), &f->msg));
    assert_ok(f, rule_set(f->s, SLICE("*.Example.COM"), RULE_TUNNEL, API_NONE, SLICE(""), &f->msg));
    assert_ok(f,
              rule_set(f->s, SLICE("*-a.example.com"), RULE_SWAP, API_VERTEX, SLICE(""), &f->msg));
    assert_ok(f, rule_set(f->s, SLICE("b.io"), RULE_SWAP, API_GEMINI, SLICE("/v1/*"), &f->msg));
    assert_ok(f, rule_set(f->s, SLICE("B.io"), RULE_SWAP, API_GEMINI, SLICE("*"), &f->msg));
    struct sbuf names;
    sbuf_init(&names, 1024);
    assert_ok(f, rule_list(f->s, rule_names, &names, &f->msg));
    assert_string_equal(sbuf_z(&names), "b.io *-a.example.com *.example.com * ");
    sbuf_finish(&names);
    assert_err(f, ERR_INVALID,
               rule_set(f->s, SLICE("*"), RULE_SWAP, API_GEMINI, SLICE(""), &f->msg));
    assert_err(f, ERR_INVALID, rule_set(f->s, SLICE("x"), RULE_SWAP, API_NONE, SLICE(""), &f->msg));
    assert_err(f, ERR_INVALID,
               rule_set(f->s, SLICE("x"), RULE_DENY, API_GEMINI, SLICE(""), &f->msg));
    assert_err(f, ERR_INVALID,
               rule_set(f->s, SLICE("*x"), RULE_DENY, API_NONE, SLICE(""), &f->msg));
    assert_err(f, ERR_INVALID,
               rule_set(f->s, SLICE("x"), RULE_SWAP, API_GEMINI, SLICE("/a,b"), &f->msg));
    assert_ok(f, rule_remove(f->s, SLICE("B.IO"), &f->msg));
    assert_err(f, ERR_NOT_FOUND, rule_remove(f->s, SLICE("b.io"), &f->msg));
}

static void patterns_agree_with_the_schema(void **state)
{
    struct fix *f = *state;
    static const char *const patterns[] = {
        "*", "a",   "a.b", "*.a", "*-a", "*.",   "*-",  "*a",   "a*",   "*.*",        "A.b",
        "",  "a b", "a/b", "::1", "a_b", "*..a", "a%b", "**.a", "*-a*", "\xc3\xa4.de"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char *sql = sqlite3_mprintf("INSERT INTO host_rule (pattern, action) VALUES (%Q, 'deny')",
                                    patterns[i]);
        int rc = shell(f, sql);
        sqlite3_free(sql);
        if ((rc == SQLITE_OK) != rule_pattern_is_valid(slice_of(patterns[i])))
            fail_msg("the schema and rule_pattern_is_valid differ on '%s'", patterns[i]);
    }
}

static enum err count_model(void *arg, const struct model *m)
{
    (void)m;
    ++*(size_t *)arg;
    return ERR_OK;
}

static void models_belong_to_accounts(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    assert_ok(f, model_set(f->s, SLICE("a"), SLICE("gemini-*"), SLICE(""), &f->msg));
    assert_ok(f, model_set(f->s, SLICE("a"), SLICE("gemini-*"), SLICE("x.com"), &f->msg));
    assert_err(f, ERR_NOT_FOUND, model_set(f->s, SLICE("b"), SLICE("m"), SLICE(""), &f->msg));
    assert_err(f, ERR_INVALID, model_set(f->s, SLICE("a"), SLICE(""), SLICE(""), &f->msg));
    size_t n = 0;
    assert_ok(f, model_list(f->s, SLICE("a"), count_model, &n, &f->msg));
    assert_ok(f, model_list(f->s, SLICE("zz"), count_model, &n, &f->msg));
    assert_int_equal(n, 1);
    assert_ok(f, model_remove(f->s, SLICE("a"), SLICE("gemini-*"), &f->msg));
    assert_err(f, ERR_NOT_FOUND, model_remove(f->s, SLICE("a"), SLICE("gemini-*"), &f->msg));
}

static enum err keep_state(void *arg, const struct token_state *t)
{
    struct token_state *ret = arg;
    *ret = *t;
    static char error[64], print[16];
    snprintf(error, sizeof error, "%s", t->last_error.p);
    snprintf(print, sizeof print, "%s", t->fingerprint.p);
    ret->last_error = slice_of(error);
    ret->fingerprint = slice_of(print);
    return ERR_OK;
}

static void tokens_are_sealed_for_account_and_scope(void **state)
{
    struct fix *f = *state;
    int64_t a = add_account(f, "a"), b = add_account(f, "b"), until = 0;
    struct secret *token = NULL;
    struct token_state st;
    assert_err(f, ERR_NOT_FOUND, token_load(f->s, f->key, a, scope, &token, &until, &f->msg));
    assert_ok(f, token_store(f->s, f->key, a, scope, SLICE("ya29.aaa"), 100, 50, 180, &f->msg));
    assert_ok(f, token_store(f->s, f->key, a, scope, SLICE("ya29.bbb"), 200, 60, 90, &f->msg));
    assert_ok(f, token_store(f->s, f->key, b, scope, SLICE("ya29.ccc"), 300, 60, 90, &f->msg));
    assert_ok(f, token_load(f->s, f->key, a, scope, &token, &until, &f->msg));
    assert_true(secret_eq(token, SLICE("ya29.bbb")) && until == 200);
    secret_unref(&token);
    assert_ok(f, token_state_get(f->s, a, scope, keep_state, &st, &f->msg));
    assert_true(st.mints == 2 && st.fails == 0 && st.has_token && st.mint_ms == 90);
    char print[FINGERPRINT_SIZE];
    fingerprint(SLICE("ya29.bbb"), print);
    assert_string_equal(st.fingerprint.p, print);
    /* to another account, to another scope */
    shell(f, "UPDATE token SET sealed = (SELECT sealed FROM token WHERE account = 'a') "
             "WHERE account = 'b'");
    assert_err(f, ERR_CRYPTO, token_load(f->s, f->key, b, scope, &token, &until, &f->msg));
    shell(f, "UPDATE token SET scope = 'wider' WHERE account = 'a'");
    assert_err(f, ERR_CRYPTO, token_load(f->s, f->key, a, SLICE("wider"), &token, &until, &f->msg));
    assert_err(f, ERR_NOT_FOUND,
               token_store(f->s, f->key, 99, scope, SLICE("ya29.x"), 1, 1, 1, &f->msg));
    assert_err(f, ERR_INVALID, token_store(f->s, f->key, a, scope, SLICE(""), 1, 1, 1, &f->msg));
}

static void failed_mints_are_remembered(void **state)
{
    struct fix *f = *state;
    int64_t a = add_account(f, "a"), until = 0;
    struct secret *token = NULL;
    struct token_state st;
    assert_ok(f, token_fail(f->s, a, scope, 1, 500, SLICE("400 invalid_grant\x1b[2J"), &f->msg));
    assert_ok(f, token_state_get(f->s, a, scope, keep_state, &st, &f->msg));
    assert_true(st.fails == 1 && st.retry_at == 500 && !st.has_token);
    assert_string_equal(st.last_error.p, "400 invalid_grant?[2J");
    assert_ok(f, token_store(f->s, f->key, a, scope, SLICE("ya29.a"), 100, 50, 9, &f->msg));
    assert_ok(f, token_fail(f->s, a, scope, 1, 500, SLICE("timeout"), &f->msg));
    assert_ok(f, token_load(f->s, f->key, a, scope, &token, &until, &f->msg)); /* it stays */
    secret_unref(&token);
    /* dropping looks whether it is still the one */
    assert_ok(f, token_drop(f->s, a, scope, SLICE("00000000"), &f->msg));
    assert_int_equal(shell_int(f, "SELECT sealed IS NOT NULL FROM token"), 1);
    char print[FINGERPRINT_SIZE];
    fingerprint(SLICE("ya29.a"), print);
    assert_ok(f, token_drop(f->s, a, scope, slice_of(print), &f->msg));
    assert_err(f, ERR_NOT_FOUND, token_load(f->s, f->key, a, scope, &token, &until, &f->msg));
    assert_ok(f, token_store(f->s, f->key, a, scope, SLICE("ya29.b"), 100, 50, 9, &f->msg));
    assert_ok(f, token_state_get(f->s, a, scope, keep_state, &st, &f->msg));
    assert_true(st.mints == 2 && st.fails == 0 && st.retry_at == 0 && st.last_error.n == 0);
    assert_ok(f, token_drop_all(f->s, 0, &f->msg));
    assert_err(f, ERR_NOT_FOUND, token_load(f->s, f->key, a, scope, &token, &until, &f->msg));
    assert_err(f, ERR_NOT_FOUND, token_fail(f->s, 99, scope, 1, 1, SLICE("x"), &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM token"), 1);
}

static enum err sum_cooldown(void *arg, const struct cooldown_row *c)
{
    *(int64_t *)arg += c->until_ms;
    return ERR_OK;
}

static void cool_downs_are_kept(void **state)
{
    struct fix *f = *state;
    int64_t a = add_account(f, "a"), sum = 0;
    struct cooldown_row c = {a, SLICE(""), SLICE("m"), 100, 1000, 1, SLICE("429")};
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    c.until_ms = 2000;
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    c.model = SLICE("");
    c.until_ms = 500;
    assert_ok(f, cooldown_put(f->s, &c, &f->msg));
    assert_ok(f, cooldown_list(f->s, 0, sum_cooldown, &sum, &f->msg));
    assert_int_equal(sum, 2500);
    assert_ok(f, cooldown_prune(f->s, 600, &f->msg));
    assert_ok(f, cooldown_remove(f->s, a, SLICE("nothing"), &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM cooldown"), 1);
    assert_ok(f, cooldown_remove(f->s, a, SLICE("m"), &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM cooldown"), 0);
    c.account_id = 99;
    assert_err(f, ERR_NOT_FOUND, cooldown_put(f->s, &c, &f->msg));
}

static enum err note_pin(void *arg, const struct pin_row *p)
{
    struct sbuf *out = arg;
    sbuf_addf(out, "%lld:%s:%s@%s/%s ", (long long)p->id, p->name.p, p->account.p, p->pool.p,
              p->client.p);
    return ERR_OK;
}

static void pins_are_kept(void **state)
{
    struct fix *f = *state;
    int64_t a = add_account(f, "a"), b = add_account(f, "b"), was = 0, now = 0;
    int64_t pool = shell_int(f, "SELECT id FROM pool WHERE name = 'gemini'");
    struct pin_row p = {.name = SLICE("files/x"),
                        .pool_id = pool,
                        .account_id = a,
                        .client = SLICE("c"),
                        .domain = SLICE("d.test"),
                        .made_at = 1,
                        .expires_at = 1000};
    struct sbuf out;
    sbuf_init(&out, 4096);
    assert_ok(f, pin_put(f->s, &p, &f->msg));
    assert_ok(f, pin_changes(f->s, &was, &f->msg));
    p.name = SLICE("files/y");
    assert_ok(f, pin_put(f->s, &p, &f->msg));
    assert_ok(f, pin_changes(f->s, &now, &f->msg));
    assert_int_equal(was, now); /* what is new has a new id */
    p.account_id = b;
    assert_ok(f, pin_put(f->s, &p, &f->msg));
    assert_ok(f, pin_changes(f->s, &now, &f->msg));
    assert_true(now > was);
    assert_ok(f, pin_list(f->s, 0, 0, note_pin, &out, &f->msg));
    assert_ok(f, pin_list(f->s, 1, 0, note_pin, &out, &f->msg));
    assert_ok(f, pin_list(f->s, 0, 1000, note_pin, &out, &f->msg)); /* over by then */
    assert_string_equal(sbuf_z(&out),
                        "1:files/x:a@gemini/c 2:files/y:b@gemini/c 2:files/y:b@gemini/c ");
    sbuf_finish(&out);
    was = now;
    assert_err(f, ERR_NOT_FOUND, pin_remove_named(f->s, SLICE("claude"), p.name, &f->msg));
    assert_ok(f, pin_remove_named(f->s, SLICE("gemini"), p.name, &f->msg));
    assert_ok(f, pin_changes(f->s, &now, &f->msg));
    assert_true(now > was);
    assert_ok(f, pin_remove(f->s, pool, p.name, &f->msg));
    assert_ok(f, pin_prune(f->s, 1000, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pin"), 1);
    assert_ok(f, pin_prune(f->s, 1001, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM pin"), 0);
    p.account_id = 99;
    assert_err(f, ERR_NOT_FOUND, pin_put(f->s, &p, &f->msg));
}

static void an_older_backup_knows_no_pins(void **state)
{
    struct fix *f = *state;
    int64_t n = 0;
    assert_int_equal(shell(f, "DROP TABLE pin_change"), SQLITE_OK);
    assert_err(f, ERR_DB, pin_changes(f->s, &n, &f->msg));
    assert_int_equal(shell(f, "PRAGMA user_version = 1"), SQLITE_OK);
    assert_err(f, ERR_SCHEMA, pin_changes(f->s, &n, &f->msg));
}

static enum err usage_line(void *arg, const struct usage *u)
{
    struct sbuf *out = arg;
    sbuf_addf(out, "%lld/%s%s%s:%lld,%lld ", (long long)u->minute, u->client.p, u->account.p,
              u->model.p, (long long)u->requests, (long long)u->tokens_in);
    return ERR_OK;
}

static void assert_usage(struct fix *f, enum usage_by by, struct usage_filter filter,
                         const char *want)
{
    struct sbuf got;
    sbuf_init(&got, 1024);
    assert_ok(f, usage_list(f->s, by, &filter, usage_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), want);
    sbuf_finish(&got);
}

static enum err usage_line_then_enough(void *arg, const struct usage *u)
{
    (void)usage_line(arg, u);
    return ERR_AGAIN;
}

static void a_minute_of_usage_is_walked_in_pieces(void **state)
{
    struct fix *f = *state;
    static const char *const names[][3] = {
        {"c", "b", "m"}, {"c", "a", "n"}, {"c", "a", "m"}, {"d", "a", "m"}};
    struct usage u = {.minute = 3600, .requests = 1};
    struct sbuf got;
    sbuf_init(&got, 1024);
    for (size_t i = 0; i < 4; i++) {
        u.client = slice_of(names[i][0]);
        u.account = slice_of(names[i][1]);
        u.model = slice_of(names[i][2]);
        assert_ok(f, usage_add(f->s, &u, &f->msg));
    }
    u.minute = 3660;
    assert_ok(f, usage_add(f->s, &u, &f->msg));
    assert_ok(f, usage_minute(f->s, 3600, SLICE(""), usage_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "3600/ca:2,0 3600/cb:1,0 3600/da:1,0 ");
    sbuf_clear(&got);
    assert_int_equal(usage_minute(f->s, 3600, SLICE(""), usage_line_then_enough, &got, &f->msg),
                     ERR_AGAIN);
    assert_ok(f, usage_minute(f->s, 3600, SLICE("d"), usage_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "3600/ca:2,0 3600/da:1,0 ");
    sbuf_finish(&got);
}

static void usage_adds_up(void **state)
{
    struct fix *f = *state;
    struct usage u = {.minute = 3661,
                      .client = SLICE("c"),
                      .account = SLICE("a"),
                      .model = SLICE("m"),
                      .requests = 2,
                      .tokens_in = 10};
    assert_ok(f, usage_add(f->s, &u, &f->msg));
    u.minute = 3659;
    assert_ok(f, usage_add(f->s, &u, &f->msg));
    u.minute = 3600;
    u.model = SLICE("n\x1b");
    assert_ok(f, usage_add(f->s, &u, &f->msg));
    assert_ok(f, usage_add(f->s, &u, &f->msg));
    assert_int_equal(shell_int(f, "SELECT count(*) FROM usage"), 3);
    assert_usage(f, USAGE_BY_ALL, (struct usage_filter){0}, "0/:8,40 ");
    assert_usage(f, USAGE_BY_MODEL, (struct usage_filter){0}, "0/m:4,20 0/n?:4,20 ");
    assert_usage(f, USAGE_BY_CLIENT, (struct usage_filter){.model = SLICE("m")}, "0/c:4,20 ");
    assert_usage(f, USAGE_BY_ACCOUNT, (struct usage_filter){.account = SLICE("x")}, "");
    assert_usage(f, USAGE_BY_ALL, (struct usage_filter){.client = SLICE("x")}, "0/:0,0 ");
    assert_usage(f, USAGE_BY_MINUTE, (struct usage_filter){.since = 3601},
                 "3600/:6,30 3660/:2,10 ");
    assert_usage(f, USAGE_BY_MINUTE, (struct usage_filter){.until = 3660}, "3600/:6,30 ");
    assert_usage(f, USAGE_BY_HOUR, (struct usage_filter){0}, "3600/:8,40 ");
    assert_ok(f, usage_prune(f->s, 3660, &f->msg));
    assert_usage(f, USAGE_BY_ALL, (struct usage_filter){0}, "0/:2,10 ");
    enum usage_by by;
    assert_true(usage_by_from(SLICE("model"), &by) && by == USAGE_BY_MODEL);
    assert_false(usage_by_from(SLICE("colour"), &by));
}

static enum err request_line(void *arg, const struct request_row *r)
{
    struct sbuf *out = arg;
    sbuf_addf(out, "%lld:%s:%s ", (long long)r->id, r->request_id.p, r->path.p);
    return ERR_OK;
}

static void requests_are_listed_newest_last(void **state)
{
    struct fix *f = *state;
    struct sbuf got;
    sbuf_init(&got, 1024);
    struct request_row r = {.at_ms = 1,
                            .request_id = SLICE("r1"),
                            .client = SLICE("c"),
                            .host = SLICE("h"),
                            .path = SLICE("/v1/x?key=secret"),
                            .status = 200};
    for (int i = 0; i < 4; i++) {
        r.status = i == 2 ? 429 : 200;
        assert_ok(f, request_add(f->s, &r, &f->msg));
    }
    struct request_filter two = {.limit = 2}, errors = {.status_min = 400}, after = {.after_id = 3};
    assert_ok(f, request_list(f->s, &two, request_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "3:r1:/v1/x 4:r1:/v1/x ");
    sbuf_clear(&got);
    assert_ok(f, request_list(f->s, &errors, request_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "3:r1:/v1/x ");
    sbuf_clear(&got);
    assert_ok(f, request_list(f->s, &after, request_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "4:r1:/v1/x ");
    struct request_filter oldest = {.after_id = 1, .from_oldest = true, .limit = 2};
    sbuf_clear(&got);
    assert_ok(f, request_list(f->s, &oldest, request_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "2:r1:/v1/x 3:r1:/v1/x ");
    sbuf_finish(&got);
}

static enum err event_line(void *arg, const struct event_row *e)
{
    struct sbuf *out = arg;
    sbuf_addf(out, "%s %s %lld;", event_kind_name(e->kind), e->what.p, (long long)e->times);
    return ERR_OK;
}

static void repeated_events_are_counted(void **state)
{
    struct fix *f = *state;
    struct sbuf got;
    sbuf_init(&got, 1024);
    clock_set_fake(1, 1000000);
    for (int i = 0; i < 3; i++)
        assert_ok(f, event_put(f->s, EVENT_ALARM, SLICE("a"), SLICE("mint failed"), &f->msg));
    assert_ok(f, event_put(f->s, EVENT_ALARM, SLICE("b"), SLICE("mint failed"), &f->msg));
    clock_advance_fake(700000);
    assert_ok(f, event_put(f->s, EVENT_ALARM, SLICE("a"), SLICE("mint failed"), &f->msg));
    assert_ok(f, event_put(f->s, EVENT_INFO, SLICE("ca"), SLICE("renewed"), &f->msg));
    int64_t id = 0;
    assert_ok(f, event_audit(f->s, SLICE("mia (uid 7)"), SLICE("backup"), SLICE(""), SLICE(""), &id,
                             &f->msg));
    struct event_filter alarms = {.kinds = 1 << EVENT_ALARM}, all = {0},
                        mia = {.who = SLICE("mia")};
    assert_ok(f, event_list(f->s, &alarms, event_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got),
                        "alarm mint failed 3;alarm mint failed 1;alarm mint failed 1;");
    sbuf_clear(&got);
    assert_ok(f, event_list(f->s, &mia, event_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "audit backup 1;");
    sbuf_clear(&got);
    mia.who = SLICE("mi");
    assert_ok(f, event_list(f->s, &mia, event_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "");
    all.after_id = 3;
    assert_ok(f, event_list(f->s, &all, event_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "info renewed 1;audit backup 1;");
    struct event_filter oldest = {.from_oldest = true, .limit = 1, .after_id = 2};
    sbuf_clear(&got);
    assert_ok(f, event_list(f->s, &oldest, event_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "alarm mint failed 1;");
    sbuf_finish(&got);
}

static enum err node_line(void *arg, const struct node *n)
{
    sbuf_addf(arg, "%s %lld %s", n->name.p, (long long)n->pid, n->state.p);
    return ERR_OK;
}

static void nodes_beat(void **state)
{
    struct fix *f = *state;
    struct sbuf got;
    sbuf_init(&got, 1024);
    struct node n = {.name = SLICE("h1"), .pid = 7, .state = SLICE("starting")};
    assert_ok(f, node_put(f->s, &n, &f->msg));
    n.state = SLICE("running");
    assert_ok(f, node_put(f->s, &n, &f->msg));
    assert_ok(f, node_list(f->s, node_line, &got, &f->msg));
    assert_string_equal(sbuf_z(&got), "h1 7 running");
    sbuf_finish(&got);
}

static enum err stop_early(void *arg, const struct account *a)
{
    struct fix *f = arg;
    size_t n = 0;
    /* the same listing again, inside its own callback */
    assert_ok(f, account_list(f->s, count_account, &n, &f->msg));
    assert_int_equal(n, 2);
    return slice_eq(a->name, SLICE("a")) ? ERR_LIMIT : ERR_OK;
}

static void a_callback_may_stop_and_may_ask_again(void **state)
{
    struct fix *f = *state;
    add_account(f, "a");
    add_account(f, "b");
    assert_int_equal(account_list(f->s, stop_early, f, &f->msg), ERR_LIMIT);
    assert_ok(f, store_begin(f->s, &f->msg)); /* nothing is left open */
    assert_ok(f, store_commit(f->s, &f->msg));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
    const struct CMUnitTest tests[] = {
        T(accounts_are_added_changed_and_removed),
        T(a_failed_add_leaves_no_row),
        T(a_sealed_key_opens_in_its_own_row_only),
        T(a_new_key_drops_the_tokens),
        T(clearing_ends_cool_downs),
        T(pools_weigh_accounts),
        T(clients_are_known_by_their_placeholder),
        T(clients_have_limits),
        T(rules_are_listed_as_they_decide),
        T(patterns_agree_with_the_schema),
        T(models_belong_to_accounts),
        T(tokens_are_sealed_for_account_and_scope),
        T(failed_mints_are_remembered),
        T(cool_downs_are_kept),
        T(pins_are_kept),
        T(an_older_backup_knows_no_pins),
        T(usage_adds_up),
        T(a_minute_of_usage_is_walked_in_pieces),
        T(requests_are_listed_newest_last),
        T(repeated_events_are_counted),
        T(nodes_beat),
        T(a_callback_may_stop_and_may_ask_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
