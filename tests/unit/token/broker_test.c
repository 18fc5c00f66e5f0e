/* The broker as workers see it, with a real store, a real keeper and an endpoint on loopback. */
#include "base/clock.h"
#include "base/mailbox.h"
#include "conf/conf.h"
#include "keys/jwt.h"
#include "keys/keeper.h"
#include "store/account.h"
#include "store/event.h"
#include "store/token.h"
#include "store/writer.h"
#include "token/token.h"
#include "unit/keys/make.h"
#include "unit/token/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/stat.h>

#define URI "https://oauth2.googleapis.com/token"

/* ---- the surroundings ---- */

struct worker {
    struct event_base *base;
    struct mailbox *mailbox;
    struct token_cache *cache;
};

static char dir[512], cert[600], key_path[600], db[600], connect_to[128];
static struct ca *ca;
static struct endpoint ep;
static struct conf conf;
static struct master_key *master;
static struct store *store;
static struct writer *writer;
static struct keeper *keeper;
static struct broker *broker;
static struct worker w;
static struct snapshot *snap;
static const struct snap_account *account;

static void worker_init(struct worker *x)
{
    x->base = event_base_new();
    assert_int_equal(mailbox_create(x->base, &x->mailbox), ERR_OK);
    assert_int_equal(token_cache_create(broker, x->mailbox, &x->cache), ERR_OK);
}

static void worker_finish(struct worker *x)
{
    token_cache_destroy(x->cache);
    mailbox_destroy(x->mailbox);
    event_base_free(x->base);
}

static void take_snapshot(void)
{
    size_t bad = 0;
    struct errmsg msg = {""};
    snapshot_unref(&snap);
    assert_int_equal(snapshot_load(store, master, &snap, &bad, &msg), ERR_OK);
    account = snapshot_account_by_name(snap, SLICE("acc"));
}

static void add_account(void)
{
    struct sbuf pem;
    struct errmsg msg = {""};
    sbuf_init(&pem, 65536);
    make_pem(make_rsa(), 0, &pem);
    struct account_fields f = {.name = SLICE("acc"),
                               .project = SLICE("proj-1"),
                               .email = SLICE("bot@proj-1.iam.gserviceaccount.com"),
                               .key_id = SLICE("kid1"),
                               .scope = SLICE("s1 s2"),
                               .token_uri = SLICE(URI)};
    assert_int_equal(account_add(store, master, ACCOUNT_SERVICE, &f, sbuf_slice(&pem), NULL, &msg),
                     ERR_OK);
    sbuf_finish_wipe(&pem);
}

static void start_broker(void)
{
    struct broker_conf c = {&conf, db, master, keeper, writer};
    struct errmsg msg;
    assert_int_equal(broker_start(&c, &broker, &msg), ERR_OK);
    broker_set_snapshot(broker, snap);
    worker_init(&w);
}

static void stop_broker(void)
{
    broker_stop(broker);
    broker = NULL;
    worker_finish(&w);
}

static void set_conf(void)
{
    static char *uris[] = {(char *)URI}, *to[] = {connect_to}, none[] = "";
    snprintf(connect_to, sizeof connect_to, "*.googleapis.com:443:127.0.0.1:%d", ep.port);
    conf = (struct conf){0};
    conf.upstream.ca_file = cert;
    conf.upstream.parent_proxy = none;
    conf.upstream.connect_timeout = 5;
    conf.upstream.connect_to.v = to;
    conf.upstream.connect_to.n = 1;
    conf.oauth.timeout = 5;
    conf.oauth.early_refresh = 300;
    conf.oauth.token_uri_allow.v = uris;
    conf.oauth.token_uri_allow.n = 1;
}

static int setup(void **state)
{
    static const char *const domains[] = {"googleapis.com"};
    struct errmsg msg = {""};
    unsigned char bytes[MASTER_KEY_SIZE] = {1, 2, 3};
    snprintf(dir, sizeof dir, "%s", make_dir());
    snprintf(cert, sizeof cert, "%s/ca.pem", dir);
    snprintf(key_path, sizeof key_path, "%s/ca.key", dir);
    snprintf(db, sizeof db, "%s/t.db", dir);
    struct ca_params p = {.permitted = domains, .permitted_count = 1};
    if (ca_create(&p, cert, key_path, &msg) != ERR_OK ||
        ca_load(cert, key_path, &ca, &msg) != ERR_OK)
        return -1;
    endpoint_start(&ep, ca, "oauth2.googleapis.com");
    set_conf();
    if (master_key_new(slice_make(bytes, sizeof bytes), &master) != ERR_OK ||
        store_open(db, STORE_CREATE, &store, &msg) != ERR_OK ||
        store_migrate(store, &msg) != ERR_OK)
        return -1;
    add_account();
    struct keeper_conf kc = {cert, key_path, db, master, 7, domains, 1};
    if (keeper_create(&kc, &keeper, &msg) != ERR_OK ||
        writer_start(db, master, &writer, &msg) != ERR_OK)
        return -1;
    take_snapshot();
    start_broker();
    return 0;
}

static int teardown(void **state)
{
    if (broker)
        stop_broker();
    writer_stop(writer);
    keeper_destroy(keeper);
    snapshot_unref(&snap);
    store_close(store);
    master_key_unref(&master);
    endpoint_stop(&ep);
    ca_destroy(ca);
    ca = NULL;
    clock_unset_fake();
    remove_dir(dir);
    return 0;
}

/* ---- asking ---- */

struct reply {
    int calls;
    char token[64];
    struct token_failure failure;
};

static void on_reply(void *arg, struct token *t, const struct token_failure *f)
{
    struct reply *r = arg;
    r->calls++;
    if (t)
        assert_true(slice_copy(token_bytes(t), r->token, sizeof r->token));
    else
        r->failure = *f;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
}

/* Turns the loop until *COUNT reaches WANT; gives up after 20 s. */
static void turn_until(struct worker *x, const int *count, int want)
{
    struct timeval tv = {0, 5000};
    struct event *tick = event_new(x->base, -1, EV_PERSIST, on_tick, NULL);
    event_add(tick, &tv);
    for (int i = 0; i < 4000 && *count < want; i++)
        event_base_loop(x->base, EVLOOP_ONCE);
    event_free(tick);
    assert_true(*count >= want);
}

static void turn_for(struct worker *x, int ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    event_base_loopexit(x->base, &tv);
    event_base_loop(x->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

/* Turns the loop until the endpoint was asked WANT times and has nothing more to do. */
static void turn_until_asked(int want)
{
    struct broker_stats s = {.in_flight = 1};
    for (int i = 0; i < 2000 && (atomic_load(&ep.asked) < want || s.in_flight); i++) {
        turn_for(&w, 10);
        broker_stats(broker, &s);
    }
    turn_for(&w, 10);
    assert_int_equal(atomic_load(&ep.asked), want);
}

static void turn_until_dropped(const struct snap_account *a)
{
    for (int i = 0; i < 2000 && token_peek(w.cache, a); i++)
        turn_for(&w, 10);
    assert_null(token_peek(w.cache, a));
}

static struct reply ask(void)
{
    struct reply r = {0};
    struct token_wait *wait;
    assert_int_equal(token_fetch(w.cache, account, on_reply, &r, &wait), ERR_OK);
    assert_int_equal(r.calls, 0);
    turn_until(&w, &r.calls, 1);
    assert_int_equal(r.calls, 1);
    return r;
}

static struct reply refresh(void)
{
    struct reply r = {0};
    assert_int_equal(broker_refresh(broker, account->id, w.mailbox, on_reply, &r), ERR_OK);
    turn_until(&w, &r.calls, 1);
    return r;
}

static struct broker_stats stats(void)
{
    struct broker_stats s;
    broker_stats(broker, &s);
    return s;
}

/* The clock stands and is moved by the test from now on. */
static void stop_clock(void)
{
    clock_set_fake(clock_mono_ms(), clock_wall_ms());
}

/* Everything that the broker told the writer is in the store after this. */
static void settle(void)
{
    assert_int_equal(writer_flush(writer, 5000), ERR_OK);
}

struct state_copy {
    int64_t fails, retry_at, mints, expires_at;
    bool has_token;
    char error[300];
};

static enum err copy_state(void *arg, const struct token_state *t)
{
    struct state_copy *c = arg;
    *c = (struct state_copy){t->fails, t->retry_at, t->mints, t->expires_at, t->has_token, ""};
    snprintf(c->error, sizeof c->error, "%.*s", SLICE_FMT(t->last_error));
    return ERR_OK;
}

static struct state_copy stored(void)
{
    struct state_copy c = {0};
    settle();
    enum err e = token_state_get(store, account->id, SLICE("s1 s2"), copy_state, &c, NULL);
    assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
    return c;
}

/* ---- one flight ---- */

static void two_hundred_ask_and_one_token_is_minted(void **state)
{
    static struct reply r;
    r = (struct reply){0};
    atomic_store(&ep.next, SAY_LATE);
    for (int i = 0; i < 200; i++) {
        struct token_wait *wait;
        assert_int_equal(token_fetch(w.cache, account, on_reply, &r, &wait), ERR_OK);
    }
    turn_until(&w, &r.calls, 200);
    assert_string_equal(r.token, "ya29.1....");
    turn_until_asked(1);
    assert_non_null(token_peek(w.cache, account));
    assert_int_equal(stats().mints, 1);
    assert_int_equal(stats().waits, 200);
    assert_int_equal(stats().in_flight, 0);
    struct state_copy s = stored();
    assert_true(s.has_token);
    assert_int_equal(s.mints, 1);
}

struct thread_arg {
    pthread_t thread;
    struct reply reply;
};

static void *ask_on_a_thread(void *arg)
{
    struct thread_arg *t = arg;
    struct worker own;
    worker_init(&own);
    for (int i = 0; i < 50; i++) {
        struct token_wait *wait;
        if (token_fetch(own.cache, account, on_reply, &t->reply, &wait) != ERR_OK)
            return NULL;
        if (i % 10 == 9) {
            token_wait_cancel(wait);
            t->reply.calls++;
        }
    }
    turn_until(&own, &t->reply.calls, 50);
    struct token *tok = token_peek(own.cache, account);
    if (tok)
        token_invalidate(own.cache, account, tok);
    worker_finish(&own);
    return NULL;
}

static void workers_on_threads_share_a_flight(void **state)
{
    static struct thread_arg t[4];
    memset(t, 0, sizeof t);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i].thread, NULL, ask_on_a_thread, &t[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].reply.calls, 50);
    }
    assert_true(atomic_load(&ep.asked) <= 4); /* at most one for each refusal */
}

static void the_assertion_is_what_google_wants(void **state)
{
    ask();
    struct sbuf json;
    sbuf_init(&json, 65536);
    pthread_mutex_lock(&ep.lock);
    struct slice all = slice_of(ep.request);
    assert_true(
        slice_starts(all, SLICE("POST /token HTTP/1.1\r\nHost: oauth2.googleapis.com\r\n")));
    assert_true(slice_search(all, SLICE("User-Agent: credswap/")) < all.n);
    assert_true(slice_search(all, SLICE("Content-Type: application/x-www-form-urlencoded\r\n")) <
                all.n);
    assert_true(slice_search(all, SLICE("Cookie")) == all.n);
    struct slice form = slice_sub(all, slice_search(all, SLICE("\r\n\r\n")) + 4, all.n);
    struct slice prefix =
        SLICE("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    assert_true(slice_starts(form, prefix));
    struct slice jwt = slice_sub(form, prefix.n, form.n), header, claims, signature;
    struct slice signed_part = slice_sub(jwt, 0, slice_find(jwt, '.', slice_find(jwt, '.', 0) + 1));
    assert_true(slice_next(&jwt, '.', &header) && slice_next(&jwt, '.', &claims) &&
                slice_next(&jwt, '.', &signature));
    assert_true(base64url_decode(claims, &json));
    assert_true(slice_search(sbuf_slice(&json),
                             SLICE("\"aud\":\"https://oauth2.googleapis.com/token\"")) < json.n);
    assert_true(slice_search(sbuf_slice(&json), SLICE("\"scope\":\"s1 s2\"")) < json.n);
    sbuf_clear(&json);
    assert_true(base64url_decode(signature, &json));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, make_rsa()), 1);
    assert_int_equal(EVP_DigestVerify(md, (unsigned char *)json.p, json.n,
                                      (const unsigned char *)signed_part.p, signed_part.n),
                     1);
    EVP_MD_CTX_free(md);
    pthread_mutex_unlock(&ep.lock);
    sbuf_finish(&json);
}

/* ---- memory, store ---- */

static void a_stored_token_is_used_again(void **state)
{
    struct reply r = ask();
    settle();
    stop_broker();
    start_broker();
    struct reply again = ask();
    assert_string_equal(again.token, r.token);
    assert_int_equal(atomic_load(&ep.asked), 1);
    assert_int_equal(stats().from_store, 1);
    assert_int_equal(stats().mints, 0);
}

static void nothing_is_minted_before_it_is_used(void **state)
{
    turn_for(&w, 100);
    assert_null(token_peek(w.cache, account));
    assert_int_equal(atomic_load(&ep.asked), 0);
}

static void note_held(void *arg, int64_t account_id)
{
    assert_int_equal(account_id, account->id);
    ++*(int *)arg;
}

static int held_by(const struct worker *one, int64_t now)
{
    int n = 0;
    token_cache_each(one->cache, now, note_held, &n);
    return n;
}

static void another_worker_gets_it_without_asking(void **state)
{
    struct worker other;
    worker_init(&other);
    assert_int_equal(held_by(&other, clock_wall_s()), 0);
    ask();
    turn_for(&other, 50);
    assert_non_null(token_peek(other.cache, account));
    assert_int_equal(token_cache_count(other.cache), 1);
    assert_int_equal(held_by(&other, clock_wall_s()), 1);
    assert_int_equal(held_by(&other, clock_wall_s() + 3600), 0); /* it ended */
    worker_finish(&other);
}

static void the_last_thirty_seconds_are_not_used(void **state)
{
    stop_clock();
    ask();
    clock_advance_fake((3599 - 31) * 1000);
    assert_non_null(token_peek(w.cache, account));
    clock_advance_fake(2000);
    assert_null(token_peek(w.cache, account));
    assert_string_equal(ask().token, "ya29.2....");
}

static void an_old_token_is_renewed_in_the_background(void **state)
{
    stop_clock();
    ask();
    clock_advance_fake((3599 - 361) * 1000);
    assert_non_null(token_peek(w.cache, account));
    turn_for(&w, 100);
    assert_int_equal(atomic_load(&ep.asked), 1);
    clock_advance_fake(122 * 1000);
    struct token *t = token_peek(w.cache, account);
    assert_non_null(t);
    assert_true(slice_eq(token_bytes(t), SLICE("ya29.1....")));
    for (int i = 0; i < 100; i++)
        token_peek(w.cache, account);
    turn_until_asked(2);
    assert_true(slice_eq(token_bytes(token_peek(w.cache, account)), SLICE("ya29.2....")));
}

static void a_failing_renewal_leaves_the_token_in_use(void **state)
{
    stop_clock();
    ask();
    atomic_store(&ep.manner, SAY_500);
    clock_advance_fake((3599 - 200) * 1000);
    for (int i = 0; i < 20; i++) {
        struct token *t = token_peek(w.cache, account);
        assert_non_null(t);
        turn_for(&w, 20);
    }
    turn_until_asked(2);
    assert_string_equal(ask().token, "ya29.1....");
    struct state_copy s = stored();
    assert_int_equal(s.fails, 1);
    assert_true(s.has_token);
    clock_advance_fake(20 * 1000);
    assert_non_null(token_peek(w.cache, account));
    turn_until_asked(3);
}

static void a_short_life_is_no_reason_to_chase(void **state)
{
    stop_clock();
    atomic_store(&ep.manner, SAY_SHORT);
    ask();
    for (int i = 0; i < 3; i++) {
        assert_non_null(token_peek(w.cache, account));
        turn_for(&w, 50);
        clock_advance_fake(10 * 1000);
    }
    assert_int_equal(atomic_load(&ep.asked), 1);
    clock_advance_fake(26 * 1000);
    assert_non_null(token_peek(w.cache, account));
    turn_until_asked(2);
}

/* ---- refusals ---- */

static void a_refused_token_is_not_used_again(void **state)
{
    struct worker other;
    worker_init(&other);
    ask();
    turn_for(&other, 50);
    settle();
    struct token *t = token_ref(token_peek(w.cache, account));
    token_invalidate(w.cache, account, t);
    assert_null(token_peek(w.cache, account));
    assert_string_equal(ask().token, "ya29.2....");
    turn_for(&other, 50);
    assert_true(slice_eq(token_bytes(token_peek(other.cache, account)), SLICE("ya29.2....")));
    /* The other worker hears of the old one's refusal late: the new one stays. */
    token_invalidate(other.cache, account, t);
    assert_non_null(token_peek(other.cache, account));
    turn_for(&w, 50);
    assert_true(slice_eq(token_bytes(token_peek(w.cache, account)), SLICE("ya29.2....")));
    assert_int_equal(atomic_load(&ep.asked), 2);
    assert_true(stored().has_token);
    token_unref(&t);
    worker_finish(&other);
}

/* The writer is behind: the store has the first token while the second is refused already. */
static void the_one_before_it_is_not_used_again_either(void **state)
{
    stop_clock();
    ask();
    settle();
    assert_int_equal(store_begin(store, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        clock_advance_fake(61 * 1000);
        token_invalidate(w.cache, account, token_peek(w.cache, account));
        assert_string_equal(ask().token, i ? "ya29.3...." : "ya29.2....");
    }
    store_rollback(store);
    assert_int_equal(atomic_load(&ep.asked), 3);
    settle();
    assert_true(stored().has_token);
}

static void tokens_that_are_always_refused_are_not_minted_without_end(void **state)
{
    stop_clock();
    int backoffs = 0;
    for (int i = 0; i < 20; i++) {
        struct reply r = ask();
        struct token *t = token_peek(w.cache, account);
        if (t)
            token_invalidate(w.cache, account, t);
        else
            backoffs += strcmp(r.failure.reason, "backoff") == 0;
    }
    assert_int_equal(atomic_load(&ep.asked), 2);
    assert_int_equal(backoffs, 18);
    clock_advance_fake(2000);
    assert_string_equal(ask().token, "ya29.3....");
}

/* A provider that refuses one request in a hundred must not cost the account more and more. */
static void tokens_that_served_are_replaced_without_a_growing_pause(void **state)
{
    stop_clock();
    for (int i = 0; i < 20; i++) {
        assert_true(*ask().token != '\0');
        struct token *t = token_peek(w.cache, account);
        token_accepted(t);
        clock_advance_fake(1000);
        token_invalidate(w.cache, account, t);
    }
    assert_int_equal(atomic_load(&ep.asked), 20);
    /* within one second the first costs nothing, and each later one a second */
    for (int i = 0; i < 4; i++) {
        assert_true(*ask().token != '\0');
        struct token *t = token_peek(w.cache, account);
        token_accepted(t);
        token_invalidate(w.cache, account, t);
        if (i == 0)
            continue;
        assert_string_equal(ask().failure.reason, "backoff");
        clock_advance_fake(1100);
    }
    assert_int_equal(atomic_load(&ep.asked), 24);
}

/* ---- what goes wrong at the endpoint ---- */

static void each_failure_has_its_reason(void **state)
{
    static const struct {
        int manner;
        const char *reason;
        enum err err;
    } v[] = {{SAY_429, "endpoint_rate_limited", ERR_LIMIT},
             {SAY_GARBAGE, "endpoint_garbage", ERR_PROTOCOL},
             {SAY_CRLF, "endpoint_garbage", ERR_PROTOCOL},
             {SAY_HUGE, "endpoint_garbage", ERR_TOO_LARGE},
             {SAY_500, "endpoint_unavailable", ERR_AGAIN},
             {SAY_NOTHING, "endpoint_broken", ERR_PROTOCOL},
             {SAY_REDIRECT, "endpoint_garbage", ERR_PROTOCOL},
             {SAY_SIGNATURE, "invalid_grant", ERR_DENIED}};
    stop_clock();
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        atomic_store(&ep.manner, v[i].manner);
        struct reply r = ask();
        assert_string_equal(r.token, "");
        assert_string_equal(r.failure.reason, v[i].reason);
        assert_int_equal(r.failure.err, v[i].err);
        assert_true(r.failure.retry_after_s >= 1);
        if (v[i].manner == SAY_429)
            assert_in_range(r.failure.retry_after_s, 7, 9);
        if (v[i].manner == SAY_SIGNATURE)
            assert_true(r.failure.retry_after_s >= 240);
        assert_int_equal(atomic_load(&ep.asked), i + 1);
        struct state_copy s = stored();
        assert_int_equal(s.fails, i + 1);
        assert_true(slice_starts(slice_of(s.error), slice_of(v[i].reason)));
        assert_true(s.retry_at > clock_wall_s());
        clock_advance_fake(1000 * (uint64_t)r.failure.retry_after_s + 1000);
    }
    atomic_store(&ep.manner, SAY_TOKEN);
    assert_string_equal(ask().token, "ya29.1....");
    struct state_copy s = stored();
    assert_int_equal(s.fails, 0);
    assert_int_equal(s.retry_at, 0);
    assert_string_equal(s.error, "");
    assert_int_equal(stats().mint_failures, sizeof v / sizeof *v);
}

static void a_failing_endpoint_is_not_hammered(void **state)
{
    stop_clock();
    atomic_store(&ep.manner, SAY_500);
    assert_string_equal(ask().failure.reason, "endpoint_unavailable");
    uint64_t waited = 0;
    int asked = 1;
    while (waited < 600000) {
        struct reply r = ask();
        if (atomic_load(&ep.asked) > asked) {
            asked++;
            assert_string_equal(r.failure.reason, "endpoint_unavailable");
        } else {
            assert_string_equal(r.failure.reason, "backoff");
            assert_int_equal(r.failure.err, ERR_AGAIN);
        }
        assert_in_range(r.failure.retry_after_s, 1, 72);
        clock_advance_fake(500);
        waited += 500;
        if (waited > 130000) {
            clock_advance_fake(5000);
            waited += 5000;
        }
    }
    /* 1 2 4 8 16 32 60 60 ... over 600 s, each a fifth more or less. */
    assert_in_range(asked, 12, 20);
}

static void a_wrong_clock_is_corrected_and_signed_once_more(void **state)
{
    atomic_store(&ep.date_offset, -7200); /* we are two hours ahead */
    atomic_store(&ep.next, SAY_CLOCK);
    assert_string_equal(ask().token, "ya29.1....");
    assert_int_equal(atomic_load(&ep.asked), 2);
    assert_in_range(stats().skew_s, 7198, 7202);
    pthread_mutex_lock(&ep.lock);
    char *jwt = strstr(ep.request, "assertion="), *claims = strchr(jwt, '.') + 1;
    struct sbuf json;
    sbuf_init(&json, 65536);
    assert_true(
        base64url_decode(slice_make(claims, (size_t)(strchr(claims, '.') - claims)), &json));
    pthread_mutex_unlock(&ep.lock);
    long iat = strtol(strstr(sbuf_z(&json), "\"iat\":") + 6, NULL, 10);
    assert_in_range(time(NULL) - iat, 7200 + 25, 7200 + 45);
    sbuf_finish(&json);
    assert_int_equal(stats().mint_failures, 0);
}

static void a_clock_complaint_is_not_repeated_without_end(void **state)
{
    atomic_store(&ep.manner, SAY_CLOCK);
    struct reply r = ask();
    assert_string_equal(r.failure.reason, "clock_skew");
    assert_in_range(r.failure.retry_after_s, 1, 10);
    assert_int_equal(atomic_load(&ep.asked), 2);
}

static void a_slow_endpoint_times_out(void **state)
{
    stop_broker();
    conf.oauth.timeout = 1;
    start_broker();
    atomic_store(&ep.manner, SAY_NEVER);
    struct reply r = ask();
    atomic_store(&ep.manner, SAY_TOKEN);
    assert_string_equal(r.failure.reason, "endpoint_timeout");
    assert_int_equal(r.failure.err, ERR_TIMEOUT);
}

static void an_unknown_certificate_gets_no_assertion(void **state)
{
    stop_broker();
    static char none[] = "";
    conf.upstream.ca_file = none;
    start_broker();
    struct reply r = ask();
    assert_string_equal(r.failure.reason, "endpoint_certificate");
    assert_int_equal(r.failure.err, ERR_CERT);
    assert_int_equal(atomic_load(&ep.asked), 0);
}

static void a_certificate_of_another_host_gets_no_assertion(void **state)
{
    endpoint_stop(&ep);
    endpoint_start(&ep, ca, "storage.googleapis.com");
    stop_broker();
    set_conf();
    start_broker();
    assert_string_equal(ask().failure.reason, "endpoint_certificate");
    assert_int_equal(atomic_load(&ep.asked), 0);
}

static void the_environment_does_not_count(void **state)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                        "http_proxy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        setenv(names[i], "http://127.0.0.1:1", 1);
    struct reply r = ask();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    assert_string_equal(r.token, "ya29.1....");
}

static void a_parent_proxy_is_used(void **state)
{
    stop_broker();
    static char dead[] = "http://127.0.0.1:1";
    conf.upstream.parent_proxy = dead;
    setenv("no_proxy", "*", 1);
    start_broker();
    struct reply r = ask();
    unsetenv("no_proxy");
    assert_string_equal(r.failure.reason, "endpoint_unreachable");
    assert_int_equal(atomic_load(&ep.asked), 0);
}

/* ---- accounts that change ---- */

static void a_foreign_token_uri_gets_no_assertion(void **state)
{
    struct account_fields f = {.token_uri = SLICE("https://storage.googleapis.com/token")};
    assert_int_equal(account_set(store, SLICE("acc"), &f, NULL), ERR_OK);
    struct reply r = ask();
    assert_string_equal(r.failure.reason, "token_uri_denied");
    assert_int_equal(atomic_load(&ep.asked), 0);
}

static void an_edit_counts_at_once(void **state)
{
    atomic_store(&ep.manner, SAY_SIGNATURE);
    assert_string_equal(ask().failure.reason, "invalid_grant");
    assert_string_equal(ask().failure.reason, "backoff");
    struct account_fields f = {.key_id = SLICE("kid2")};
    assert_int_equal(account_set(store, SLICE("acc"), &f, NULL), ERR_OK);
    take_snapshot();
    broker_set_snapshot(broker, snap);
    atomic_store(&ep.manner, SAY_TOKEN);
    assert_string_equal(ask().token, "ya29.1....");
    /* And a token of the key before is not used any more. */
    f.key_id = SLICE("kid3");
    assert_int_equal(account_set(store, SLICE("acc"), &f, NULL), ERR_OK);
    take_snapshot();
    broker_set_snapshot(broker, snap);
    turn_until_dropped(account);
}

static void an_unrelated_edit_changes_nothing(void **state)
{
    ask();
    struct account_fields f = {.note = SLICE("hello")};
    assert_int_equal(account_set(store, SLICE("acc"), &f, NULL), ERR_OK);
    take_snapshot();
    broker_set_snapshot(broker, snap);
    turn_for(&w, 100);
    assert_non_null(token_peek(w.cache, account));
    assert_string_equal(ask().token, "ya29.1....");
}

static void clearing_ends_the_back_off(void **state)
{
    atomic_store(&ep.manner, SAY_SIGNATURE);
    ask();
    atomic_store(&ep.manner, SAY_TOKEN);
    assert_string_equal(ask().failure.reason, "backoff");
    assert_int_equal(account_clear(store, SLICE("acc"), NULL), ERR_OK);
    take_snapshot();
    broker_set_snapshot(broker, snap);
    assert_string_equal(ask().token, "ya29.1....");
}

static void a_removed_account_is_forgotten(void **state)
{
    ask();
    settle();
    struct snapshot *before = snapshot_ref(snap);
    const struct snap_account *old = account;
    assert_int_equal(account_remove(store, SLICE("acc"), NULL), ERR_OK);
    take_snapshot();
    broker_set_snapshot(broker, snap);
    turn_until_dropped(old);
    account = old;
    assert_string_equal(ask().failure.reason, "no_account");
    assert_int_equal(atomic_load(&ep.asked), 1);
    snapshot_unref(&before);
}

static void refresh_mints_whatever_is_there(void **state)
{
    ask();
    assert_string_equal(refresh().token, "ya29.2....");
    turn_for(&w, 50);
    assert_true(slice_eq(token_bytes(token_peek(w.cache, account)), SLICE("ya29.2....")));
    atomic_store(&ep.manner, SAY_SIGNATURE);
    assert_string_equal(refresh().failure.reason, "invalid_grant");
    assert_string_equal(refresh().failure.reason, "invalid_grant"); /* a person may insist */
    assert_string_equal(ask().token, "ya29.2....");
    struct reply r = {0};
    assert_int_equal(broker_refresh(broker, 4711, w.mailbox, on_reply, &r), ERR_OK);
    turn_until(&w, &r.calls, 1);
    assert_string_equal(r.failure.reason, "no_account");
}

static int alarms;

static enum err count_alarm(void *arg, const struct event_row *e)
{
    alarms += e->kind == EVENT_ALARM && slice_eq(e->who, SLICE("acc"));
    return ERR_OK;
}

static void a_forgotten_token_is_minted_anew(void **state)
{
    struct worker other;
    worker_init(&other);
    ask();
    assert_true(stored().has_token);
    assert_int_equal(broker_forget(broker, account->id), ERR_OK);
    turn_until_dropped(account);
    turn_for(&other, 50);
    assert_null(token_peek(other.cache, account));
    assert_false(stored().has_token);
    assert_string_equal(ask().token, "ya29.2....");
    assert_int_equal(stats().from_store, 0);
    worker_finish(&other);
}

/* The console empties the store, then tells the daemon; a write that was under way then may bring
 * the token back for a moment. */
static void a_forgotten_token_is_not_taken_from_the_store(void **state)
{
    ask();
    settle();
    assert_int_equal(token_drop_all(store, account->id, NULL), ERR_OK);
    assert_int_equal(broker_forget(broker, account->id), ERR_OK);
    turn_until_dropped(account);
    settle();
    int64_t now = clock_wall_s();
    assert_int_equal(token_store(store, master, account->id, SLICE("s1 s2"), SLICE("ya29.1...."),
                                 now + 3000, now, 5, NULL),
                     ERR_OK);
    assert_string_equal(ask().token, "ya29.2....");
    assert_int_equal(atomic_load(&ep.asked), 2);
}

static void to_forget_what_was_never_asked_for_is_fine(void **state)
{
    assert_int_equal(broker_forget(broker, account->id), ERR_OK);
    assert_int_equal(broker_forget(broker, 4711), ERR_OK);
    assert_string_equal(ask().token, "ya29.1....");
}

static void a_dead_key_raises_an_alarm(void **state)
{
    atomic_store(&ep.manner, SAY_SIGNATURE);
    ask();
    settle();
    alarms = 0;
    struct event_filter f = {0};
    assert_int_equal(event_list(store, &f, count_alarm, NULL, NULL), ERR_OK);
    assert_int_equal(alarms, 1);
}

/* ---- endings ---- */

static void a_cancelled_wait_is_not_called(void **state)
{
    struct reply a = {0}, b = {0};
    struct token_wait *wait, *other;
    atomic_store(&ep.next, SAY_LATE);
    assert_int_equal(token_fetch(w.cache, account, on_reply, &a, &wait), ERR_OK);
    assert_int_equal(token_fetch(w.cache, account, on_reply, &b, &other), ERR_OK);
    token_wait_cancel(wait);
    turn_until(&w, &b.calls, 1);
    assert_int_equal(a.calls, 0);
}

static void stopping_answers_all_who_wait(void **state)
{
    struct reply r = {0};
    struct token_wait *wait;
    atomic_store(&ep.manner, SAY_NEVER);
    for (int i = 0; i < 20; i++)
        assert_int_equal(token_fetch(w.cache, account, on_reply, &r, &wait), ERR_OK);
    broker_stop(broker);
    broker = NULL;
    turn_until(&w, &r.calls, 20);
    assert_int_equal(r.failure.err, ERR_DRAINING);
    assert_int_equal(token_fetch(w.cache, account, on_reply, &r, &wait), ERR_DRAINING);
    assert_null(token_peek(w.cache, account));
    worker_finish(&w);
}

static void a_worker_may_leave_while_it_waits(void **state)
{
    struct worker other;
    struct reply r = {0};
    struct token_wait *wait;
    atomic_store(&ep.next, SAY_LATE);
    worker_init(&other);
    for (int i = 0; i < 20; i++)
        assert_int_equal(token_fetch(other.cache, account, on_reply, &r, &wait), ERR_OK);
    worker_finish(&other);
    assert_string_equal(ask().token, "ya29.1....");
    assert_int_equal(r.calls, 0);
}

static void api_keys_are_none_of_its_business(void **state)
{
    struct snap_account a = *account;
    struct token_wait *wait;
    a.kind = ACCOUNT_API_KEY;
    assert_int_equal(token_fetch(w.cache, &a, on_reply, NULL, &wait), ERR_INVALID);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(two_hundred_ask_and_one_token_is_minted),
        T(workers_on_threads_share_a_flight),
        T(the_assertion_is_what_google_wants),
        T(a_stored_token_is_used_again),
        T(nothing_is_minted_before_it_is_used),
        T(another_worker_gets_it_without_asking),
        T(the_last_thirty_seconds_are_not_used),
        T(an_old_token_is_renewed_in_the_background),
        T(a_failing_renewal_leaves_the_token_in_use),
        T(a_short_life_is_no_reason_to_chase),
        T(a_refused_token_is_not_used_again),
        T(the_one_before_it_is_not_used_again_either),
        T(tokens_that_are_always_refused_are_not_minted_without_end),
        T(tokens_that_served_are_replaced_without_a_growing_pause),
        T(each_failure_has_its_reason),
        T(a_failing_endpoint_is_not_hammered),
        T(a_wrong_clock_is_corrected_and_signed_once_more),
        T(a_clock_complaint_is_not_repeated_without_end),
        T(a_slow_endpoint_times_out),
        T(an_unknown_certificate_gets_no_assertion),
        T(a_certificate_of_another_host_gets_no_assertion),
        T(the_environment_does_not_count),
        T(a_parent_proxy_is_used),
        T(a_foreign_token_uri_gets_no_assertion),
        T(an_edit_counts_at_once),
        T(an_unrelated_edit_changes_nothing),
        T(clearing_ends_the_back_off),
        T(a_removed_account_is_forgotten),
        T(refresh_mints_whatever_is_there),
        T(a_forgotten_token_is_minted_anew),
        T(a_forgotten_token_is_not_taken_from_the_store),
        T(to_forget_what_was_never_asked_for_is_fine),
        T(a_dead_key_raises_an_alarm),
        T(a_cancelled_wait_is_not_called),
        T(stopping_answers_all_who_wait),
        T(a_worker_may_leave_while_it_waits),
        T(api_keys_are_none_of_its_business),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(make_rsa());
    return rc;
}
