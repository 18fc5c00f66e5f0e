/* A request that names what lives at one account goes there, with that account's project, and each
 * allocation on the way may fail. */
#include "../world.h"

#define CACHES "/v1/projects/mine/locations/us-central1/cachedContents"
#define USE                                                                                        \
    "/v1/projects/mine/locations/us-central1/publishers/google/models/"                            \
    "gemini-2.5-pro:generateContent"

static struct pins *table;

static void fake_pinned(struct services *s, const struct pin *p, const struct snap_client *client)
{
    (void)s;
    tell("pinned %s %lld %s by %s", p->name, (long long)p->account_id, p->domain, client->name.p);
}

static void fake_unpinned(struct services *s, int64_t pool_id, struct slice name)
{
    (void)s;
    (void)pool_id;
    tell("unpinned %.*s", SLICE_FMT(name));
}

static void with_pins(void)
{
    w.svc.pins = table;
    w.svc.pinned = fake_pinned;
    w.svc.unpinned = fake_unpinned;
}

static int make(void **state)
{
    clock_set_fake(T0_MS, WALL0_MS);
    if (pins_create(&table) != ERR_OK || world_make(state))
        return 1;
    with_pins();
    return 0;
}

static int end(void **state)
{
    int r = world_end(state);
    pins_destroy(table);
    return r;
}

static void pin(const char *name, int64_t pool_id, int account)
{
    struct pin p = {.pool_id = pool_id,
                    .account_id = account + 1,
                    .expires_at = WALL0_MS / 1000 + 1000,
                    .domain = "europe-west4-aiplatform.googleapis.com"};
    snprintf(p.name, sizeof p.name, "%s", name);
    assert_true(pins_put(table, &p, true));
}

static int64_t alices_pool(void)
{
    return w.snaps[0].pools[w.snaps[0].clients[0].pool].id;
}

static void send_post(const char *path, const char *body)
{
    char text[2048];
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1~host: " VERTEX "~x-goog-api-key: " ALICE "~content-length: %zu~~%s",
             path, strlen(body), body);
    send_text(text);
}

static void post(const char *path, const char *body)
{
    assert_true(connect_client(VERTEX));
    w.log_n = 0;
    send_post(path, body);
}

static const char *last(void)
{
    return w.back_count ? w.backs[w.back_count - 1].wire.p : "";
}

static void the_body_is_rewritten_for_the_account_and_its_place(void **state)
{
    pin("cachedContents/7", alices_pool(), B);
    post(USE, "{\"cachedContent\":\"projects\\/mine/locations/europe-west4/cachedContents/"
              "7\",\"x\":\"projects/mine/\"}");
    assert_string_equal(
        last(), "POST /v1/projects/proj-b/locations/europe-west4/publishers/google/models/"
                "gemini-2.5-pro:generateContent HTTP/1.1\r\n"
                "host: europe-west4-aiplatform.googleapis.com\r\n"
                "authorization: Bearer tok-b-1\r\n"
                "content-length: 97\r\n\r\n"
                "{\"cachedContent\":\"projects\\/proj-b/locations/europe-west4/cachedContents/7\","
                "\"x\":\"projects/mine/\"}");
}

static void what_an_answer_makes_is_pinned_and_what_is_deleted_is_not(void **state)
{
    post(CACHES, "{}");
    do_says(&w.backs[0], "200 | {\"name\":\"projects/1/locations/l/cachedContents/9\"}");
    settle();
    assert_non_null(strstr(w.log, "pinned cachedContents/9 "));
    assert_true(connect_client(VERTEX));
    send_text("DELETE " CACHES "/9 HTTP/1.1~host: " VERTEX "~x-goog-api-key: " ALICE "~~");
    do_says(&w.backs[w.back_count - 1], "200 | {}");
    settle();
    assert_non_null(strstr(w.log, "unpinned cachedContents/9"));
    assert_int_equal(pins_count(table), 0);
}

static void a_result_shows_files_and_takes_none_away(void **state)
{
    pin("operations/1", alices_pool(), A);
    pin("files/theirs", alices_pool() + 1000, B);
    assert_true(connect_client(VERTEX));
    send_text("GET /v1/projects/mine/locations/us-central1/operations/1 HTTP/1.1~host: " VERTEX
              "~x-goog-api-key: " ALICE "~~");
    do_says(&w.backs[0], "200 | {\"response\":[{\"uri\":\"files/theirs\"},{\"uri\":\"files/new\"},"
                         "{\"uri\":\"cachedContents/5\"},{\"uri\":\"batches/6\"}]}");
    settle();
    assert_non_null(strstr(w.log, "pinned files/new "));
    assert_null(strstr(w.log, "pinned files/theirs"));
    assert_int_equal(pins_count(table), 3);
}

static void a_failed_answer_pins_nothing(void **state)
{
    post(CACHES, "{}");
    do_says(&w.backs[0], "400 | {\"name\":\"projects/1/locations/l/cachedContents/9\"}");
    settle();
    assert_int_equal(pins_count(table), 0);
}

static void nobody_else_is_asked(void **state)
{
    static const char *const bodies[] = {
        "{\"cachedContent\":\"cachedContents/theirs\"}",
        "{\"cachedContent\":\"cachedContents/7\",\"x\":{\"cachedContent\":\"cachedContents/8\"}}",
        "{\"cachedContent\":\"cachedContents/off\"}"};
    static const char *const words[] = {"record 403 own pin_foreign", "record 400 own pins_differ",
                                        "record 404 own pin_gone"};
    pin("cachedContents/7", alices_pool(), A);
    pin("cachedContents/8", alices_pool(), B);
    pin("cachedContents/off", alices_pool(), 98);
    pin("cachedContents/theirs", alices_pool() + 1000, A);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        post(USE, bodies[i]);
        settle();
        if (!strstr(w.log, words[i]) || w.back_count)
            fail_msg("%s: %s", bodies[i], w.log);
    }
}

/* When all that may be held is held, a name that is here counts, and one that is not is waited for
 * by nobody. */
static void what_cannot_be_held_is_not_guessed(void **state)
{
    const char *body = "{\"cachedContent\":\"projects/mine/locations/l/cachedContents/7\"}";
    char text[1024];
    pin("cachedContents/7", alices_pool(), B);
    w.conf.retry.replay_total_bytes = 100;
    atomic_store(&w.replay_bytes, 95);
    post(USE, body);
    assert_non_null(strstr(last(), "projects/proj-b/locations/"));
    assert_null(strstr(last(), "projects/mine"));
    do_says(&w.backs[0], "200 | {}");
    settle();
    assert_true(connect_client(VERTEX));
    w.log_n = 0;
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1~host: " VERTEX "~x-goog-api-key: " ALICE
             "~content-length: %zu~~{\"cachedContent\":",
             USE, strlen(body));
    send_text(text);
    settle();
    if (!strstr(w.log, "record 503 own replay_total_bytes"))
        fail_msg("%s", w.log);
    atomic_store(&w.replay_bytes, 0);
}

static void one_pinned_exchange(void)
{
    send_post(USE, "{\"cachedContent\":\"projects/mine/locations/l/cachedContents/7\"}");
    if (w.back_count && !w.backs[0].is_dead)
        do_says(&w.backs[0], "200 x: y | hello");
    settle();
}

static void one_that_makes(void)
{
    send_post(CACHES, "{\"a\":1}");
    if (w.back_count && !w.backs[0].is_dead)
        do_says(&w.backs[0], "200 x: y | {\"name\":\"cachedContents/9\"}");
    settle();
}

static void a_pinned_exchange_survives_each_failure(void **state)
{
    pin("cachedContents/7", alices_pool(), B);
    fail_each(state, VERTEX, with_pins, one_pinned_exchange);
}

static void one_that_makes_something_survives_each_failure(void **state)
{
    fail_each(state, VERTEX, with_pins, one_that_makes);
}

#define P(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        P(the_body_is_rewritten_for_the_account_and_its_place),
        P(what_an_answer_makes_is_pinned_and_what_is_deleted_is_not),
        P(a_result_shows_files_and_takes_none_away),
        P(a_failed_answer_pins_nothing),
        P(nobody_else_is_asked),
        P(what_cannot_be_held_is_not_guessed),
        P(a_pinned_exchange_survives_each_failure),
        P(one_that_makes_something_survives_each_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
