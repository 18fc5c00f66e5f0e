/* The choice of an account: shares, exclusions, states, and which refusal it is when nobody is
 * left. */
#include "base/check.h"
#include "route/route.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 INT64_C(1700000000000)
#define S(lit)                                                                                     \
    {                                                                                              \
        lit, sizeof(lit) - 1                                                                       \
    }
#define HOST SLICE("us-central1-aiplatform.googleapis.com")

static const struct snap_model rows_c[] = {
    {S("gemini-2.5-*"), S("europe-west4-aiplatform.googleapis.com")},
    {S("gemini-2.5-pro"), S("aiplatform.googleapis.com")},
    {S("here"), S("")},
    {S("astray"), S("evil.test")},
    {S("gl"), S("generativelanguage.googleapis.com")},
};

struct world {
    struct snap_account a[4];
    struct snap_member m[4];
    struct snap_pool pool;
    struct snapshot snap;
    struct route_match match;
    struct pick_request q;
    struct health *h;
    uint64_t rng[4];
};

static void world_init(struct world *w)
{
    *w = (struct world){0};
    for (int i = 0; i < 4; i++) {
        w->a[i] = (struct snap_account){.id = i + 1, .kind = ACCOUNT_SERVICE};
        w->m[i].account = (uint32_t)i;
        w->m[i].weight = (const double[]){5, 3, 2, 0}[i];
    }
    w->pool = (struct snap_pool){.id = 1, .members = w->m, .member_count = 4};
    w->snap =
        (struct snapshot){.accounts = w->a, .account_count = 4, .pools = &w->pool, .pool_count = 1};
    w->match = (struct route_match){.is_allowed = true, .location = SLICE("us-central1")};
    w->q = (struct pick_request){.snap = &w->snap,
                                 .pool = &w->pool,
                                 .api = API_VERTEX,
                                 .host = HOST,
                                 .match = &w->match,
                                 .model = SLICE("gemini-2.5-pro")};
    assert_int_equal(health_create(&w->h), ERR_OK);
    rng_seed(w->rng, 42);
}

static enum pick_status pick(struct world *w, struct pick_result *r)
{
    *r = (struct pick_result){0};
    return pick_account(&w->q, w->h, w->rng, T0, r);
}

static void shares_follow_the_weights(void **state)
{
    struct world w;
    struct pick_result r;
    world_init(&w);
    enum {
        N = 200000
    };
    double n[5] = {0};
    for (int i = 0; i < N; i++) {
        assert_int_equal(pick(&w, &r), PICK_OK);
        n[r.account->id]++;
    }
    static const double share[5] = {0, 0.5, 0.3, 0.2, 0};
    for (int i = 1; i < 5; i++) { /* within 3 sigma, squared */
        double off = n[i] - N * share[i];
        assert_true(off * off <= 9 * N * share[i] * (1 - share[i]));
    }
    assert_int_equal(n[4], 0);
    health_destroy(w.h);
}

static void the_same_seed_makes_the_same_choices(void **state)
{
    struct world w;
    struct pick_result r;
    int64_t first[100];
    world_init(&w);
    for (int i = 0; i < 100; i++)
        first[i] = pick(&w, &r) == PICK_OK ? r.account->id : 0;
    rng_seed(w.rng, 42);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pick(&w, &r), PICK_OK);
        assert_int_equal(r.account->id, first[i]);
    }
    uint64_t a[4], b[4];
    rng_seed(a, 0);
    rng_seed(b, 0);
    assert_memory_not_equal(a, b, sizeof a);
    /* The reference implementation's first output from the state 1 2 3 4. */
    uint64_t s[4] = {1, 2, 3, 4};
    assert_true(rng_next(s) == 11520);
    assert_true(rng_next(s) == 0);
    assert_true(rng_next(s) == 1509978240);
    health_destroy(w.h);
}

static void exclusions_states_and_odd_weights_take_part_never(void **state)
{
    struct world w;
    struct pick_result r;
    world_init(&w);
    const int64_t tried[] = {1};
    w.q.excluded = tried;
    w.q.excluded_count = 1;
    w.a[1].state = ACCOUNT_DRAIN;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(pick(&w, &r), PICK_OK);
        assert_int_equal(r.account->id, 3);
    }
    assert_int_equal(r.total, 4);
    assert_int_equal(r.excluded, 1);
    assert_int_equal(r.drained, 1);
    assert_int_equal(r.zero_weight, 1);
    w.a[2].state = ACCOUNT_OFF;
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    assert_int_equal(r.off, 1);
    assert_int_equal(r.retry_after_s, 30);
    assert_null(r.account);
    static const double odd[] = {-1, NAN, INFINITY, -INFINITY, 0};
    w.a[2].state = ACCOUNT_UP;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        w.m[2].weight = odd[i];
        assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    }
    w.m[2].weight = 1e308;
    w.m[3].weight = 1e308;
    assert_int_equal(pick(&w, &r), PICK_OK);
    health_destroy(w.h);
}

static void cooling_accounts_rest_for_that_model(void **state)
{
    struct world w;
    struct pick_result r;
    struct cooldown c;
    world_init(&w);
    health_cool(w.h, &w.a[0], w.q.model, "429", 7, T0, &c);
    health_cool(w.h, &w.a[1], SLICE(""), "401", 90, T0, &c);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(pick(&w, &r), PICK_OK);
        assert_int_equal(r.account->id, 3);
        assert_int_equal(r.cooling, 2);
    }
    health_cool(w.h, &w.a[2], w.q.model, "429", 20, T0, &c);
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    assert_int_equal(r.cooling, 3);
    assert_int_equal(r.retry_after_s, 7);
    assert_string_equal(pick_why_not(&w.q, w.h, &w.m[0], T0), "cooling");
    assert_string_equal(pick_why_not(&w.q, w.h, &w.m[3], T0), "weight 0");
    assert_null(pick_why_not(&w.q, NULL, &w.m[0], T0));
    assert_int_equal(pick_account(&w.q, w.h, w.rng, T0 + 6999, &r), PICK_UNAVAILABLE);
    assert_int_equal(r.retry_after_s, 1);
    w.q.model = SLICE("another");
    assert_int_equal(pick(&w, &r), PICK_OK);
    health_destroy(w.h);
}

static void only_kinds_that_fit_the_host_are_asked(void **state)
{
    struct world w;
    struct pick_result r;
    struct secret *key = secret_new("k", 1);
    world_init(&w);
    w.q.api = API_ANTHROPIC;
    w.q.host = SLICE("api.anthropic.com");
    assert_int_equal(pick(&w, &r), PICK_NO_KIND);
    assert_int_equal(r.wrong_kind, 4);
    w.a[1].kind = ACCOUNT_API_KEY;
    w.a[1].host = SLICE("api.anthropic.com");
    w.a[1].api_key = key;
    assert_int_equal(pick(&w, &r), PICK_OK);
    assert_int_equal(r.account->id, 2);
    assert_true(slice_eq(r.domain, SLICE("api.anthropic.com")));
    w.a[1].api_key = NULL; /* it did not open */
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    assert_int_equal(r.off, 1);
    w.a[1].api_key = key;
    w.q.host = SLICE("api.anthropic.com.evil.test");
    assert_int_equal(pick(&w, &r), PICK_NO_KIND);
    w.q.api = API_GEMINI;
    w.q.host = SLICE("evilgoogleapis.com");
    assert_int_equal(pick(&w, &r), PICK_NO_KIND);
    w.q.host = SLICE("generativelanguage.googleapis.com");
    assert_int_equal(pick(&w, &r), PICK_OK);
    w.pool.member_count = 0;
    assert_int_equal(pick(&w, &r), PICK_NO_KIND);
    secret_unref(&key);
    health_destroy(w.h);
}

static void only_with_rows(struct world *w)
{
    world_init(w);
    w->pool.members = &w->m[2];
    w->pool.member_count = 1;
    w->a[2].models = rows_c;
    w->a[2].model_count = ARRAY_LEN(rows_c);
}

static void serves(struct world *w, const char *model, const char *domain, const char *location)
{
    struct pick_result r;
    w->q.model = slice_of(model);
    assert_int_equal(pick(w, &r), PICK_OK);
    if (!slice_eq(r.domain, slice_of(domain)) || !slice_eq(r.location, slice_of(location)))
        fail_msg("%s: %.*s %.*s", model, SLICE_FMT(r.domain), SLICE_FMT(r.location));
}

static void the_model_row_names_domain_and_location(void **state)
{
    struct world w;
    struct pick_result r;
    only_with_rows(&w);
    serves(&w, "gemini-2.5-pro", "aiplatform.googleapis.com", "global");
    serves(&w, "gemini-2.5-flash", "europe-west4-aiplatform.googleapis.com", "europe-west4");
    serves(&w, "google/gemini-2.5-pro", "aiplatform.googleapis.com", "global");
    serves(&w, "here", "us-central1-aiplatform.googleapis.com", "");
    serves(&w, "", "us-central1-aiplatform.googleapis.com", "");
    static const char *const missing[] = {"gemini-2.0", "astray", "gl", "gemini-2.5",
                                          "GEMINI-2.5-pro"};
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        w.q.model = slice_of(missing[i]);
        if (pick(&w, &r) != PICK_NO_MODEL)
            fail_msg("%s", missing[i]);
        assert_int_equal(r.wrong_model, 1);
    }
    /* A path without a location has nothing to rewrite. */
    w.match.location = SLICE("");
    serves(&w, "gemini-2.5-pro", "aiplatform.googleapis.com", "");
    w.q.forbid_location_change = true;
    w.q.model = SLICE("gemini-2.5-pro");
    assert_int_equal(pick(&w, &r), PICK_NO_MODEL);
    w.q.host = SLICE("aiplatform.googleapis.com");
    serves(&w, "gemini-2.5-pro", "aiplatform.googleapis.com", "");
    health_destroy(w.h);
}

static void a_vertex_row_restricts_the_gemini_api_but_does_not_redirect(void **state)
{
    struct world w;
    struct pick_result r;
    only_with_rows(&w);
    w.q.api = API_GEMINI;
    w.q.host = SLICE("generativelanguage.googleapis.com");
    w.match.location = SLICE("");
    serves(&w, "gemini-2.5-pro", "generativelanguage.googleapis.com", "");
    serves(&w, "gl", "generativelanguage.googleapis.com", "");
    w.q.model = SLICE("gemini-2.0");
    assert_int_equal(pick(&w, &r), PICK_NO_MODEL);
    health_destroy(w.h);
}

static void who_serves_the_model_decides_between_404_and_503(void **state)
{
    struct world w;
    struct pick_result r;
    only_with_rows(&w);
    w.pool.members = w.m;
    w.pool.member_count = 3;
    w.q.model = SLICE("gemini-2.0");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pick(&w, &r), PICK_OK);
        assert_true(r.account->id < 3); /* accounts without rows serve every model */
    }
    w.a[0].state = w.a[1].state = ACCOUNT_OFF;
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    w.a[0].kind = w.a[1].kind = ACCOUNT_API_KEY;
    assert_int_equal(pick(&w, &r), PICK_NO_MODEL);
    assert_int_equal(r.wrong_kind, 2);
    assert_int_equal(r.wrong_model, 1);
    health_destroy(w.h);
}

static void the_one_that_has_it_serves_and_nobody_else(void **state)
{
    struct world w;
    struct pick_result r;
    world_init(&w);
    for (int64_t id = 1; id <= 4; id++) { /* the fourth has no weight */
        w.q.only = id;
        assert_int_equal(pick(&w, &r), PICK_OK);
        assert_int_equal(r.account->id, id);
    }
    w.q.only = 2;
    w.a[1].state = ACCOUNT_DRAIN;
    struct cooldown c;
    health_cool(w.h, &w.a[1], w.q.model, "429", 60, T0, &c);
    assert_int_equal(pick(&w, &r), PICK_OK);
    assert_int_equal(r.account->id, 2);
    w.q.excluded = &w.a[1].id;
    w.q.excluded_count = 1;
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    w.q.excluded_count = 0;
    w.a[1].state = ACCOUNT_OFF;
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    w.a[1].state = ACCOUNT_UP;
    w.a[1].kind = ACCOUNT_API_KEY;
    assert_int_equal(pick(&w, &r), PICK_NO_KIND);
    w.a[1].kind = ACCOUNT_SERVICE;
    w.a[1].models = rows_c;
    w.a[1].model_count = 1;
    w.q.model = SLICE("claude-haiku");
    assert_int_equal(pick(&w, &r), PICK_NO_MODEL);
    w.q.only = 99;
    assert_int_equal(pick(&w, &r), PICK_UNAVAILABLE);
    assert_null(r.account);
    health_destroy(w.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_that_has_it_serves_and_nobody_else),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(the_same_seed_makes_the_same_choices),
        cmocka_unit_test(exclusions_states_and_odd_weights_take_part_never),
        cmocka_unit_test(cooling_accounts_rest_for_that_model),
        cmocka_unit_test(only_kinds_that_fit_the_host_are_asked),
        cmocka_unit_test(the_model_row_names_domain_and_location),
        cmocka_unit_test(a_vertex_row_restricts_the_gemini_api_but_does_not_redirect),
        cmocka_unit_test(who_serves_the_model_decides_between_404_and_503),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
