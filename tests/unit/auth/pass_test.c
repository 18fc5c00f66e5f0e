/* Passes: who made them, for whom, and what ends them. */
#include "auth/find.h"
#include "auth/pass.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW INT64_C(1700000000)
#define END (NOW + PASS_LIFE_S)

static struct master_key *key, *other_key;
static struct auth_memo *memo;
static unsigned char hashes[3][HMAC_SIZE] = {{1}, {2}, {3}};
static struct snap_client clients[3];
static struct snapshot snap = {.clients = clients, .client_count = ARRAY_LEN(clients)};

static int make(void **state)
{
    static const char a[32] = "0123456789abcdef0123456789abcde", b[32] = "another";
    return master_key_new(slice_make(a, 32), &key) == ERR_OK &&
                   master_key_new(slice_make(b, 32), &other_key) == ERR_OK &&
                   auth_memo_create(&memo) == ERR_OK
               ? 0
               : -1;
}

static int drop(void **state)
{
    auth_memo_destroy(memo);
    master_key_unref(&key);
    master_key_unref(&other_key);
    return 0;
}

/* Each test begins with the same clients. */
static int fill(void **state)
{
    clients[0] = (struct snap_client){.id = 3,
                                      .name = SLICE("ci"),
                                      .enabled = true,
                                      .placeholder_hash = hashes[0],
                                      .sa_key_id = SLICE("k1"),
                                      .sa_public_key = SLICE("pem1")};
    clients[1] = (struct snap_client){.id = 7,
                                      .name = SLICE("claude"),
                                      .enabled = true,
                                      .service = SERVICE_CLAUDE,
                                      .placeholder_hash = hashes[1],
                                      .sa_key_id = SLICE("k1"),
                                      .sa_public_key = SLICE("pem1")};
    clients[2] = (struct snap_client){.id = INT64_MAX, .name = SLICE("bare"), .enabled = true};
    return 0;
}

static struct slice given(const struct snap_client *c, int64_t end)
{
    static char text[PASS_SIZE + 1];
    struct sbuf b = {.p = text, .size = sizeof text, .max = PASS_SIZE};
    assert_int_equal(pass_add(key, c, end, &b), ERR_OK);
    assert_int_equal(b.n, PASS_SIZE);
    return sbuf_slice(&b);
}

static bool is_good(struct slice text, const struct master_key *k, size_t *ret_client)
{
    const struct snap_client *c = NULL;
    int64_t end = 0;
    bool ok = pass_verify(text, &snap, k, &c, &end);
    assert_true(!ok || end == END);
    if (ok)
        *ret_client = (size_t)(c - clients);
    return ok;
}

static void a_pass_leads_to_its_client(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        size_t got = 9;
        struct slice p = given(&clients[i], END);
        assert_true(pass_is_one(p));
        assert_true(slice_starts(p, i == 1 ? SLICE("claude-va1-") : SLICE("gemini-va1-")));
        assert_true(auth_is_protocol_token(p));
        assert_true(is_good(p, key, &got));
        assert_int_equal(got, i);
        assert_false(is_good(p, other_key, &got));
    }
}

static void every_change_of_the_client_ends_it(void **state)
{
    static const char *const edits[] = {"placeholder", "revoked", "key id", "key", "both", "id"};
    size_t got;
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        fill(NULL);
        struct slice p = given(&clients[0], END);
        assert_true(is_good(p, key, &got));
        switch (i) {
        case 0:
            clients[0].placeholder_hash = hashes[2];
            break;
        case 1:
            clients[0].placeholder_hash = NULL;
            break;
        case 2:
            clients[0].sa_key_id = SLICE("k2");
            break;
        case 3:
            clients[0].sa_public_key = SLICE("pem2");
            break;
        case 4: /* the same bytes, cut elsewhere */
            clients[0].sa_key_id = SLICE("k1p");
            clients[0].sa_public_key = SLICE("em1");
            break;
        default:
            clients[0].id = 4;
        }
        assert_false(is_good(p, key, &got));
    }
}

static void no_bit_of_it_may_change(void **state)
{
    char copy[PASS_SIZE];
    size_t got;
    struct slice p = given(&clients[0], END);
    for (size_t i = 0; i < p.n; i++) {
        for (int c = '!'; c <= '~'; c++) {
            memcpy(copy, p.p, p.n);
            copy[i] = (char)c;
            if (c != p.p[i])
                assert_false(is_good(slice_make(copy, p.n), key, &got));
        }
    }
    memcpy(copy, "claude", 6); /* the other service's prefix on the same bytes */
    memcpy(copy + 6, p.p + 6, p.n - 6);
    assert_false(is_good(slice_make(copy, p.n), key, &got));
    assert_false(is_good(slice_sub(p, 0, p.n - 1), key, &got));
    assert_false(is_good(SLICE(""), key, &got));
}

/* As a request's credential. */
static const struct snap_client *asked(struct slice p, int64_t now_s, struct auth_memo *m,
                                       struct auth_result *ret)
{
    struct field f = {SLICE("x-goog-api-key"), p, FIELD_X_GOOG_API_KEY};
    struct head h = {.method = SLICE("GET"), .path = SLICE("/"), .fields = &f, .count = 1};
    auth_find(&h, &snap, key, m, now_s, API_VERTEX, ret);
    return ret->client;
}

static void it_is_found_as_a_placeholder_is_and_judged_each_time(void **state)
{
    struct auth_result r;
    struct slice p = given(&clients[0], END);
    for (int round = 0; round < 2; round++) { /* the second time from the memo */
        assert_ptr_equal(asked(p, NOW, memo, &r), &clients[0]);
        assert_true(r.known && slice_eq(auth_scan_placeholder(&r.known->scan), p));
    }
    assert_ptr_equal(asked(p, END - 1, NULL, &r), &clients[0]);
    assert_null(asked(p, END, memo, &r));
    assert_string_equal(r.reason, "pass_expired");
    assert_int_equal(r.status, 401);
    clients[0].enabled = false;
    assert_null(asked(p, NOW, memo, &r));
    assert_int_equal(r.status, 403);
    clients[0].enabled = true;
    clients[0].expires_at = NOW;
    assert_null(asked(p, NOW, memo, &r));
    assert_int_equal(r.status, 403);
    clients[0].expires_at = 0;
    clients[0].sa_key_id = SLICE("k2");
    assert_null(asked(p, NOW, memo, &r));
    assert_string_equal(r.reason, "unknown");
    assert_int_equal(r.status, 401);
}

static void what_looks_like_one_never_goes_to_a_stranger(void **state)
{
    struct slice p = given(&clients[0], END);
    char dead[PASS_SIZE + 40];
    snprintf(dead, sizeof dead, "a=%.*s;b", SLICE_FMT(p));
    assert_true(pass_is_in(p) && pass_is_in(slice_of(dead)));
    dead[20] = '!';
    assert_false(pass_is_in(slice_of(dead)));
    assert_false(pass_is_in(SLICE("gemini-va1-")) || pass_is_in(SLICE("")));
    struct field f = {SLICE("authorization"), SLICE("Bearer x"), FIELD_AUTHORIZATION};
    struct head h = {.method = SLICE("GET"), .path = p, .fields = &f, .count = 1};
    assert_true(pass_is_in_head(&h));
    h.path = SLICE("/");
    assert_false(pass_is_in_head(&h));
    f.value = p;
    assert_true(pass_is_in_head(&h));
    struct field bearer = {SLICE("x-api-key"), p, FIELD_X_API_KEY};
    h.fields = &bearer;
    clients[0].sa_key_id = SLICE("k2"); /* revoked, and still nobody else's business */
    assert_true(auth_holds_known(&h, &snap, key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_pass_leads_to_its_client, fill),
        cmocka_unit_test_setup(every_change_of_the_client_ends_it, fill),
        cmocka_unit_test_setup(no_bit_of_it_may_change, fill),
        cmocka_unit_test_setup(it_is_found_as_a_placeholder_is_and_judged_each_time, fill),
        cmocka_unit_test_setup(what_looks_like_one_never_goes_to_a_stranger, fill),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
