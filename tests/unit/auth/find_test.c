/* From a head to a client: where placeholders may stand, and every trick that must not work. */
#include "auth/find.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW INT64_C(1700000000)
#define ALICE "gemini-alice-0123456789abcdef"
#define PLUS "gemini-bob+/=%~.0123456789"

/* The store's room is replaced: who has which hash is said here. */
static struct master_key *key;
static const struct snap_client clients[] = {
    {.id = 1, .name = {"alice", 5}, .enabled = true},
    {.id = 2, .name = {"off", 3}, .enabled = false},
    {.id = 3, .name = {"late", 4}, .enabled = true, .expires_at = NOW},
    {.id = 4, .name = {"bob", 3}, .enabled = true, .expires_at = NOW + 1},
};
static const char *const placeholders[] = {ALICE, "gemini-off-0123456789", "claude-late-0123456789",
                                           PLUS};
static const struct snapshot snap = {.clients = clients, .client_count = ARRAY_LEN(clients)};

const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE])
{
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++) {
        unsigned char h[HMAC_SIZE];
        assert_int_equal(placeholder_hash(key, slice_of(placeholders[i]), h), ERR_OK);
        if (memcmp(h, hash, sizeof h) == 0)
            return &s->clients[i];
    }
    return NULL;
}

static struct auth_memo *memo;

static int make_key(void **state)
{
    static const char bytes[32] = "0123456789abcdef0123456789abcde";
    return auth_memo_create(&memo) == ERR_OK ? (int)master_key_new(slice_make(bytes, 32), &key)
                                             : -1;
}

static int drop_key(void **state)
{
    auth_memo_destroy(memo);
    master_key_unref(&key);
    return 0;
}

static struct field fields[8];
static struct head head_of(const char *path, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fields[i].id = field_id(fields[i].name);
    return (struct head){
        .method = SLICE("POST"), .path = slice_of(path), .fields = fields, .count = count};
}

static void set(uint32_t i, const char *name, const char *value)
{
    fields[i] = (struct field){slice_of(name), slice_of(value), FIELD_OTHER};
}

static struct auth_result result;

/* With a memory of what was found before, and without one, it is the same. */
static const struct auth_result *find(const struct head *h)
{
    struct auth_result with;
    auth_find(h, &snap, key, memo, NOW, API_VERTEX, &with);
    auth_find(h, &snap, key, NULL, NOW, API_VERTEX, &result);
    assert_null(result.known);
    assert_ptr_equal(with.client, result.client);
    assert_int_equal(with.status, result.status);
    assert_true(with.reason == result.reason);
    assert_true(slice_eq(with.placeholder, result.placeholder));
    assert_true(!with.client || with.known);
    assert_true((result.client != NULL) == (result.status == 0));
    assert_true((result.client == NULL) == (result.reason != NULL));
    return &result;
}

static void one(const char *name, const char *value, int status, const char *reason)
{
    set(0, name, value);
    struct head h = head_of("/v1/x", 1);
    const struct auth_result *r = find(&h);
    if (r->status != status || (reason && strcmp(r->reason, reason) != 0))
        fail_msg("%s: %s: %d %s", name, value, r->status, r->reason ? r->reason : "");
}

static void query(const char *path, int status, const char *reason)
{
    struct head h = head_of(path, 0);
    const struct auth_result *r = find(&h);
    if (r->status != status || (reason && strcmp(r->reason, reason) != 0))
        fail_msg("%s: %d %s", path, r->status, r->reason ? r->reason : "");
}

static void each_carrier_names_the_client(void **state)
{
    one("Authorization", "Bearer " ALICE, 0, NULL);
    assert_int_equal(result.client->id, 1);
    assert_true(slice_eq(result.placeholder, SLICE(ALICE)));
    one("AUTHORIZATION", "bEARER   " ALICE, 0, NULL);
    one("X-Api-Key", ALICE, 0, NULL);
    one("x-goog-api-key", " " ALICE " ", 0, NULL);
    one("authorization", "Bearer " PLUS, 0, NULL);
    assert_int_equal(result.client->id, 4);
    one("Sec-WebSocket-Protocol", ALICE, 0, NULL);
    one("sec-websocket-protocol", "live ,\t" ALICE ", v2", 0, NULL);
    assert_true(slice_eq(result.placeholder, SLICE(ALICE)));
    query("/v1/x?key=" ALICE, 0, NULL);
    query("/v1/x?alt=sse&access_token=" ALICE "&x=y", 0, NULL);
    query("/v1/x?KEY=" ALICE, 0, NULL);
    query("/v1/x?%6Bey=gemini%2dalice%2D0123456789abcdef", 0, NULL);
    assert_true(slice_eq(result.placeholder, SLICE(ALICE)));
    query("/v1/x?key=gemini-bob%2B%2f%3D%25~.0123456789", 0, NULL);
}

static void none_and_unknown_are_401(void **state)
{
    struct head h = head_of("/v1/x", 0);
    assert_string_equal(find(&h)->reason, "none");
    assert_int_equal(result.status, 401);
    one("Authorization", "Bearer ", 401, "none");
    one("Authorization", "Bearer", 401, "none");
    one("Authorization", ALICE, 401, "none");
    one("Authorization", "Token auth_tokens/abcdef0123456789", 401, "none");
    one("Authorization", "Basic Z2VtaW5pOng=", 401, "none");
    one("Authorization", "Bearer\t" ALICE, 401, "none");
    one("Authorization", "Bearer" ALICE, 401, "none");
    one("x-api-key", "", 401, "none");
    one("x-other-key", ALICE, 401, "none");
    one("Sec-WebSocket-Protocol", "live, gemini-live-v1, bearer." ALICE, 401, "none");
    one("Sec-WebSocket-Protocol", "gemini-0123456789abcdef", 401, "unknown");
    one("Cookie", "key=" ALICE, 401, "none");
    query("/v1/x?mykey=" ALICE, 401, "none");
    query("/v1/x?key", 401, "none");
    query("/v1/x?key=", 401, "none");
    query("/v1/x?key[]=" ALICE, 401, "none");
    query("/v1/x?a=key=" ALICE, 401, "none");
    one("Authorization", "Bearer gemini-nobody", 401, "unknown");
}

static void only_the_exact_bytes_count(void **state)
{
    static const char *const tricks[] = {
        "gemini-alice-0123456789abcde",
        ALICE "0",
        "Gemini-alice-0123456789abcdef",
        "gemini-*",
        "*",
        "gemini-%",
        "gemini-alice-0123456789abcdef,",
        ALICE " " ALICE,
        ALICE ", Bearer " ALICE,
        "\"" ALICE "\"",
        "'" ALICE "'",
        "gemini%2Dalice-0123456789abcdef",
        "\xe2\x80\x8b" ALICE,
        ALICE "\x7f",
        "gemini-alice-0123456789abcde\xe6",
    };
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++)
        one("x-goog-api-key", tricks[i], 401, "unknown");
    fields[0] = (struct field){SLICE("x-api-key"), SLICE(ALICE "\0"), FIELD_OTHER};
    struct head h = head_of("/", 1);
    assert_string_equal(find(&h)->reason, "unknown");
    query("/v1/x?key=" ALICE "%00", 401, "unknown");
    query("/v1/x?key=" ALICE "%0a", 401, "unknown");
    query("/v1/x?key=" ALICE "+", 401, "unknown");
    query("/v1/x?key=gemini%252Dalice-0123456789abcdef", 401, "unknown");
    static char longest[2000] = "/v1/x?key=%61";
    memset(longest + 13, 'a', sizeof longest - 14);
    query(longest, 401, "unknown");
}

static void disabled_and_expired_clients_are_403(void **state)
{
    one("x-api-key", "gemini-off-0123456789", 403, "disabled");
    one("x-api-key", "claude-late-0123456789", 403, "expired");
}

static void the_same_placeholder_may_stand_twice_but_not_two(void **state)
{
    set(0, "Authorization", "Bearer " ALICE);
    set(1, "x-api-key", ALICE);
    set(2, "X-GOOG-API-KEY", "");
    struct head h = head_of("/x?key=" ALICE "&access_token=gemini%2Dalice-0123456789abcdef", 3);
    assert_int_equal(find(&h)->status, 0);
    set(2, "X-GOOG-API-KEY", "other");
    h = head_of("/x", 3);
    assert_int_equal(find(&h)->status, 400);
    assert_string_equal(result.reason, "several");
    assert_null(result.client);
    set(1, "Authorization", "Bearer " PLUS);
    h = head_of("/x", 2);
    assert_int_equal(find(&h)->status, 400);
    h = head_of("/x?key=" ALICE "&key=gemini%2Doff-0123456789", 1);
    assert_int_equal(find(&h)->status, 400);
    h = head_of("/x?key=gemini%2Doff-0123456789&key=" ALICE, 0);
    assert_int_equal(find(&h)->status, 400);
}

static void any_client_is_known_wherever_it_stands(void **state)
{
    static const struct {
        const char *path, *name, *value;
        bool want;
    } cases[] = {
        {"/x", "x-api-key", "theirs-0123456789", false},
        {"/x?key=theirs-0123456789", "cookie", ALICE, false},
        {"/x", "authorization", "Basic YTpi", false},
        {"/x", "authorization", "Bearer " ALICE, true},
        {"/x", "x-goog-api-key", "gemini-off-0123456789", true},
        {"/x", "x-api-key", "claude-late-0123456789", true},
        {"/x?key=theirs-0123456789&access_token=gemini%2Doff-0123456789", "x-api-key", "a", true},
        {"/x?key=theirs-0123456789", "authorization", "Bearer " ALICE, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set(0, cases[i].name, cases[i].value);
        struct head h = head_of(cases[i].path, 1);
        assert_int_equal(auth_holds_known(&h, &snap, key), cases[i].want);
    }
}

static void a_client_is_known_as_a_host(void **state)
{
    static const struct {
        const char *authority;
        bool want;
    } cases[] = {{"", false},
                 {":443", false},
                 {"x.test:443", false},
                 {"theirs-0123456789:443", false},
                 {"[::1]:443", false},
                 {ALICE, true},
                 {ALICE ":443", true},
                 {ALICE ".test:443", true},
                 {"a." ALICE ".b.test", true},
                 {"a.b." ALICE, true},
                 {"x" ALICE ":443", false},
                 {"gemini-off-0123456789:443", true},
                 {"claude-late-0123456789.", true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(auth_is_known_host(slice_of(cases[i].authority), &snap, key),
                         cases[i].want);
}

static void strips(const char *in, const char *want)
{
    struct sbuf b;
    sbuf_init(&b, 1000);
    auth_strip_query(slice_of(in), &b);
    assert_string_equal(sbuf_z(&b), want);
    sbuf_finish(&b);
}

static void the_query_is_rebuilt_without_keys(void **state)
{
    strips("", "");
    strips("alt=sse", "alt=sse");
    strips("key=a", "");
    strips("key", "");
    strips("alt=sse&key=a", "alt=sse");
    strips("key=a&alt=sse&access_token=b&x=%2F", "alt=sse&x=%2F");
    strips("k%65y=a&%41ccess%5ftoken=b&KEY=c&z", "z");
    strips("monkey=a&keys=b&a=key", "monkey=a&keys=b&a=key");
    strips("a&&b", "a&&b");
    strips("a=\r\nX: y\x7f\x80#", "a=%0D%0AX:%20y%7F%80%23");
}

static bool word(const char *path, const char *value)
{
    struct head h = head_of(path, 1);
    fields[0] = (struct field){SLICE("x-note"), slice_of(value), FIELD_OTHER};
    return auth_has_known_word(&h, &snap, key);
}

static void a_known_word_is_found_anywhere(void **state)
{
    const char *path = "/v1beta/models/gemini-2.5-pro:generateContent";
    char many[8 * 70 + 1];
    assert_false(word(path, "gemini-2.5-pro, claude-x"));
    assert_true(word(path, ALICE));
    assert_true(word(path, "a=\"" ALICE "\"; b"));
    assert_true(word(path, "gemini-2.5-pro," ALICE));
    assert_true(word(path, "gemini-off-0123456789"));
    assert_true(word("/v1beta/files/x?note=" ALICE "&b", "-"));
    assert_false(word(path, ALICE "x"));
    for (size_t i = 0; i < sizeof many - 1; i++)
        many[i] = "gemini- "[i % 8];
    many[sizeof many - 1] = '\0';
    assert_true(word(path, many));
}

static void basic(const char *value, enum err want, int64_t id)
{
    const struct snap_client *c = NULL;
    enum err e = auth_basic(slice_of(value), &snap, key, NOW, &c, NULL);
    if (e != want || (c ? c->id : 0) != id)
        fail_msg("%s: %s", value, err_str(e));
}

static void proxy_credentials_are_user_or_password(void **state)
{
    /* me:ALICE, ALICE:, ALICE, me:wrong, me:off, me:late */
    basic("Basic bWU6Z2VtaW5pLWFsaWNlLTAxMjM0NTY3ODlhYmNkZWY=", ERR_OK, 1);
    basic("bASIC  bWU6Z2VtaW5pLWFsaWNlLTAxMjM0NTY3ODlhYmNkZWY", ERR_OK, 1);
    basic("Basic Z2VtaW5pLWFsaWNlLTAxMjM0NTY3ODlhYmNkZWY6", ERR_OK, 1);
    basic("Basic Z2VtaW5pLWFsaWNlLTAxMjM0NTY3ODlhYmNkZWY=", ERR_OK, 1);
    basic("Basic bWU6d3Jvbmc=", ERR_NOT_FOUND, 0);
    basic("Basic bWU6Z2VtaW5pLW9mZi0wMTIzNDU2Nzg5", ERR_DENIED, 0);
    basic("Basic bWU6Y2xhdWRlLWxhdGUtMDEyMzQ1Njc4OQ==", ERR_DENIED, 0);
    basic("Basic", ERR_INVALID, 0);
    basic("Basic !!!!", ERR_INVALID, 0);
    basic("Basic bWU6d3Jvbmc==", ERR_INVALID, 0);
    basic("Basic bWU6d3Jvbmd=", ERR_INVALID, 0); /* bits past the end */
    basic("Basic b", ERR_INVALID, 0);
    basic("Basic ===", ERR_INVALID, 0);
    basic("Basic bW=6", ERR_INVALID, 0);
    basic("Basic ", ERR_INVALID, 0);
    basic("", ERR_INVALID, 0);
    basic("Bearer " ALICE, ERR_INVALID, 0);
    static char huge[4000] = "Basic ";
    memset(huge + 6, 'A', sizeof huge - 10);
    basic(huge, ERR_INVALID, 0);
}

/* The memo keeps a hash, not a verdict. */
static void a_remembered_client_is_refused_once_the_snapshot_does(void **state)
{
    struct snap_client now[ARRAY_LEN(clients)];
    const struct snapshot later = {.clients = now, .client_count = ARRAY_LEN(now)};
    memcpy(now, clients, sizeof now);
    set(0, "x-api-key", ALICE);
    struct head h = head_of("/v1/x", 1);
    for (int i = 0; i < 2; i++) {
        auth_find(&h, &later, key, memo, NOW, API_VERTEX, &result);
        assert_ptr_equal(result.client, &now[0]);
        assert_non_null(result.known);
    }
    now[0].enabled = false;
    auth_find(&h, &later, key, memo, NOW, API_VERTEX, &result);
    assert_int_equal(result.status, 403);
    assert_null(result.client);
    now[0].enabled = true;
    now[0].expires_at = NOW;
    auth_find(&h, &later, key, memo, NOW, API_VERTEX, &result);
    assert_int_equal(result.status, 403);
    assert_string_equal(result.reason, "expired");
}

static void what_was_refused_is_not_remembered(void **state)
{
    static const char *const refused[] = {"gemini-off-0123456789", "claude-late-0123456789",
                                          "gemini-stranger-0123456789"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        set(0, "x-api-key", refused[i]);
        struct head h = head_of("/v1/x", 1);
        auth_find(&h, &snap, key, memo, NOW, API_VERTEX, &result);
        assert_null(result.client);
        assert_null(auth_memo_find(memo, slice_of(refused[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_carrier_names_the_client),
        cmocka_unit_test(none_and_unknown_are_401),
        cmocka_unit_test(only_the_exact_bytes_count),
        cmocka_unit_test(disabled_and_expired_clients_are_403),
        cmocka_unit_test(the_same_placeholder_may_stand_twice_but_not_two),
        cmocka_unit_test(any_client_is_known_wherever_it_stands),
        cmocka_unit_test(a_client_is_known_as_a_host),
        cmocka_unit_test(a_known_word_is_found_anywhere),
        cmocka_unit_test(the_query_is_rebuilt_without_keys),
        cmocka_unit_test(proxy_credentials_are_user_or_password),
        cmocka_unit_test(a_remembered_client_is_refused_once_the_snapshot_does),
        cmocka_unit_test(what_was_refused_is_not_remembered),
    };
    return cmocka_run_group_tests(tests, make_key, drop_key);
}
