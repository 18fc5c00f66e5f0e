/* The story of one request, from its head to the last byte of its answer. */
#include "exchange/exchange_internal.h"

#include "auth/pass.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"

#include <stdio.h>

#define HEAD_ARENA_MAX (1024u * 1024u)
#define SEND_AHEAD (64u * 1024u)        /* of held bytes given to the back at once */
#define REFUSED_MAX 4                   /* HTTP/2: a host that refuses each stream */
#define HELD_AHEAD (4u * STREAM_WINDOW) /* beyond the replay limit: what waits to be sent */

/* ---- states ---- */

/* row: from, bit: to */
static const uint16_t legal[X_STATES] = {
    [X_BEGIN] = 1u << X_GRANT | 1u << X_MODEL | 1u << X_TOKEN | 1u << X_DIAL | 1u << X_SEND |
                1u << X_REPLY | 1u << X_OVER,
    [X_GRANT] = 1u << X_DIAL | 1u << X_REPLY | 1u << X_OVER,
    [X_MODEL] = 1u << X_TOKEN | 1u << X_DIAL | 1u << X_SEND | 1u << X_REPLY | 1u << X_OVER,
    [X_TOKEN] = 1u << X_TOKEN | 1u << X_DIAL | 1u << X_SEND | 1u << X_REPLY | 1u << X_OVER,
    [X_DIAL] = 1u << X_TOKEN | 1u << X_DIAL | 1u << X_SEND | 1u << X_REPLY | 1u << X_OVER,
    [X_SEND] =
        1u << X_TOKEN | 1u << X_DIAL | 1u << X_SEND | 1u << X_STREAM | 1u << X_REPLY | 1u << X_OVER,
    [X_STREAM] = 1u << X_OVER,
    [X_REPLY] = 1u << X_OVER,
    [X_OVER] = 0,
};

void exchange_goto(struct exchange *x, enum x_state to)
{
    CHECK(legal[x->state] >> to & 1);
    x->state = to;
}

static void touch(struct exchange *x, int64_t seconds)
{
    struct loop *loop = x->svc->loop;
    deadline_set(&loop->wheel, &x->deadline, loop->now_ms + (uint64_t)seconds * 1000u);
}

/* ---- the end ---- */

static void drop_held(struct exchange *x)
{
    if (x->counted)
        atomic_fetch_sub_explicit(x->svc->replay_bytes, x->counted, memory_order_relaxed);
    x->counted = 0;
    held_drop(&x->held);
}

static void drop_setup(struct exchange *x)
{
    if (!x->setup)
        return;
    atomic_fetch_sub_explicit(x->svc->replay_bytes, x->setup->raw.n, memory_order_relaxed);
    setup_finish(x->setup);
    mem_free(x->setup);
    x->setup = NULL;
}

static void record(struct exchange *x)
{
    struct exchange_record r = exchange_tell(x);
    x->svc->record(x->svc, &r);
}

static void free_exchange(struct later_link *later)
{
    struct exchange *x = container_of(later, struct exchange, later);
    x->magic = 0;
    mem_free(x);
}

/* Everything that another turn could still touch is let go here; memory goes in the next turn. */
static void over(struct exchange *x)
{
    if (x->state == X_OVER)
        return;
    record(x);
    exchange_goto(x, X_OVER);
    deadline_clear(&x->deadline);
    token_unref(&x->token);
    drop_held(x);
    drop_setup(x);
    reply_forget_late(x);
    call_finish(x);
    pin_finish(x);
    snapshot_unref(&x->snap);
    arena_finish(&x->arena, true);
    list_remove(&x->link);
    x->svc->exchange_count--;
    later_destroy(x->svc->loop->later, &x->later, free_exchange);
}

/* Lets go of whatever the present attempt holds: the pool's or the broker's promise, or a
 * connection in use. */
static void leave_back(struct exchange *x)
{
    if (x->waiting)
        x->svc->token_wait_cancel(x->waiting);
    x->waiting = NULL;
    if (x->dialling)
        pool_cancel(x->dialling);
    x->dialling = NULL;
    struct stream *st = x->back_stream;
    struct back *b = x->back;
    x->back_stream = NULL;
    x->back = NULL;
    if (st) {
        st->owner = NULL;
        stream_reset(st);
    }
    if (b)
        back_destroy(b);
}

static void break_off(struct exchange *x, const char *why)
{
    if (x->state == X_OVER)
        return;
    x->reason = x->reason ? x->reason : why;
    leave_back(x);
    if (!x->front_closed)
        stream_reset(x->front); /* its on_close ends us */
    else
        over(x);
}

void exchange_abort(struct exchange *x, const char *why)
{
    break_off(x, why);
}

void exchanges_abort_all(struct services *s, const char *why)
{
    while (!list_empty(&s->exchanges))
        exchange_abort(container_of(s->exchanges.next, struct exchange, link), why);
}

/* Own answers, whatever state the attempt is in. */
static void fail_with(struct exchange *x, enum reply what, const char *reason, int64_t retry_after)
{
    leave_back(x);
    if (x->is_committed) {
        break_off(x, reason);
        return;
    }
    drop_held(x);
    touch(x, x->svc->conf->limits.idle_timeout);
    reply_error(x, what, reason, retry_after);
    if (x->is_late)
        touch(x, x->svc->conf->limits.header_timeout);
}

/* ---- attempts ---- */

static void begin_attempt(struct exchange *x);
static void route(struct exchange *x, bool is_first);
static void dial(struct exchange *x);

static struct attempt *this_attempt(struct exchange *x)
{
    return x->attempt_count ? &x->attempts[x->attempt_count - 1] : NULL;
}

static void note_attempt(struct exchange *x, int status, const char *reason)
{
    struct attempt *a = this_attempt(x);
    if (!a)
        return;
    a->status = status;
    a->reason = reason;
}

static void cool(struct exchange *x, bool whole_account, const char *reason, int64_t seconds)
{
    struct cooldown c;
    struct slice model = whole_account ? (struct slice){"", 0} : x->model;
    if (!whole_account && model.n == 0)
        model = SLICE("-"); /* requests without a model are a kind of their own */
    health_cool(x->svc->health, x->pick.account, model, reason, seconds, clock_wall_ms(), &c);
    x->svc->cooled(x->svc, x->pick.account, &c);
}

static void exclude(struct exchange *x)
{
    if (x->excluded_count < ATTEMPTS_MAX)
        x->excluded[x->excluded_count++] = x->pick.account->id;
    token_unref(&x->token);
    x->token_renewed = false;
    x->fresh_only = false;
}

static bool attempts_left(const struct exchange *x)
{
    return x->excluded_count < ATTEMPTS_MAX &&
           x->excluded_count < (uint32_t)x->svc->conf->retry.attempts;
}

static enum pick_status pick(struct exchange *x, struct pick_result *ret)
{
    struct pick_request q = {
        .snap = x->snap,
        .pool = &x->snap->pools[x->client->pool],
        .api = x->api,
        .host = authority_host(&x->info.authority),
        .match = &x->match,
        .model = x->model,
        .excluded = x->excluded,
        .excluded_count = x->excluded_count,
        .sticky = x->match.is_sticky ? (uint64_t)x->client->id : 0,
        .forbid_location_change = x->match.location.n == 0,
        .only = x->pinning ? pin_account(x) : 0,
    };
    enum pick_status s = pick_account(&q, x->svc->health, x->svc->rng, clock_wall_ms(), ret);
    if (s == PICK_OK && q.only)
        pin_place(x, ret);
    return s;
}

/* ---- token ---- */

static void on_token(void *arg, struct token *t, const struct token_failure *failure)
{
    struct exchange *x = obj_from(arg, EXCHANGE_MAGIC);
    x->waiting = NULL;
    if (t) {
        x->token = token_ref(t);
        x->stamps.token = exchange_stamp(x);
        dial(x);
    } else {
        note_attempt(x, 0, failure->reason);
        cool(x, true, "mint_failed", failure->retry_after_s);
        exclude(x);
        route(x, false);
    }
    loop_end_pass(x->svc->loop);
}

static void get_token(struct exchange *x)
{
    const struct snap_account *a = x->pick.account;
    token_unref(&x->token);
    x->stamps.token = exchange_stamp(x);
    if (a->kind == ACCOUNT_API_KEY) {
        dial(x);
        return;
    }
    struct token *t = x->svc->token_peek(x->svc->tokens, a);
    if (t) {
        x->token = token_ref(t);
        dial(x);
        return;
    }
    x->stamps.token = 0;
    exchange_goto(x, X_TOKEN);
    deadline_clear(&x->deadline); /* the broker has its own */
    if (x->svc->token_fetch(x->svc->tokens, a, on_token, x, &x->waiting) != ERR_OK)
        fail_with(x, REPLY_INTERNAL, "memory", 1);
}

/* ---- connection ---- */

static const struct stream_sink back_sink;

static enum reply reply_for(const struct exchange *x, enum err e)
{
    switch ((int)e) {
    case ERR_CERT:
    case ERR_TLS:
        return REPLY_UPSTREAM_CERT;
    case ERR_UNRESOLVED:
        return REPLY_UPSTREAM_NAME;
    case ERR_DENIED:
        return x->is_relay ? REPLY_RELAY_ADDRESS : REPLY_UPSTREAM_ADDRESS;
    case ERR_TIMEOUT:
        return REPLY_TIMEOUT;
    case ERR_PROTOCOL:
        return REPLY_UPSTREAM_ANSWER;
    case ERR_NOMEM:
    case ERR_LIMIT:
        return REPLY_INTERNAL;
    default:
        return REPLY_UPSTREAM;
    }
}

/* The connection, not the account, failed: elsewhere if it can be, and nobody cools. */
static void connection_failed(struct exchange *x, enum err e, const char *why)
{
    note_attempt(x, 0, why);
    if (x->is_relay || !retry_allowed(x, false)) {
        fail_with(x, reply_for(x, e), why, -1);
        return;
    }
    exclude(x);
    struct pick_result next;
    if (attempts_left(x) && pick(x, &next) == PICK_OK) {
        x->pick = next;
        begin_attempt(x);
        return;
    }
    fail_with(x, reply_for(x, e), why, -1);
}

static void send_held(struct exchange *x);
static void touch_request(struct exchange *x);
static void give(struct exchange *x, const void *p, size_t n, bool end);

static void start_send(struct exchange *x)
{
    struct head h;
    enum err e = ERR_OK;
    if (x->is_relay) {
        h = x->base;
        h.authority = x->pick.domain;
    } else {
        e = swap_head(x, &h);
    }
    if (e == ERR_OK && x->call)
        e = call_rewrite(x, &h);
    if (e != ERR_OK) {
        fail_with(x, REPLY_INTERNAL, e == ERR_CRYPTO ? "api_key_sealed" : "memory", 1);
        return;
    }
    x->back_stream = back_open(x->back);
    if (!x->back_stream) { /* the pool gives only connections that are ready for one */
        fail_with(x, REPLY_UPSTREAM, back_why(x->back), -1);
        return;
    }
    x->back_is_h2 = back_is_h2(x->back);
    x->back_stream->sink = &back_sink;
    x->back_stream->owner = x;
    exchange_goto(x, X_SEND);
    touch_request(x);
    bool bodiless = !h.is_websocket &&
                    (h.body == BODY_NONE || (h.body == BODY_LENGTH && h.content_length == 0));
    e = stream_send_head(x->back_stream, &h, bodiless);
    if (e != ERR_OK) {
        fail_with(x, e == ERR_INVALID ? REPLY_BAD_REQUEST : REPLY_INTERNAL, "head", -1);
        return;
    }
    x->is_forwarded = true;
    x->stamps.sent = exchange_stamp(x);
    held_rewind(&x->held);
    x->body_left = 0;
    x->uncounted = 0;
    if (x->call) {
        struct slice first = call_message(x);
        if (first.n)
            give(x, first.p, first.n, false);
        if (x->call)
            call_sent(x);
    }
    if (x->back_stream && !bodiless && !h.is_websocket)
        send_held(x);
}

static void on_back(void *arg, enum err e, const char *why, struct back *b)
{
    struct exchange *x = obj_from(arg, EXCHANGE_MAGIC);
    x->dialling = NULL;
    if (e != ERR_OK) {
        connection_failed(x, e, why);
    } else {
        x->back = b;
        start_send(x);
    }
    loop_end_pass(x->svc->loop);
}

static void dial(struct exchange *x)
{
    struct authority to = x->info.authority;
    if (!x->is_relay && !slice_eq(x->pick.domain, authority_host(&to)) &&
        (authority_parse(x->pick.domain, 443, &to) != ERR_OK ||
         !policy_is_swap_domain(x->svc->policy, authority_host(&to)))) {
        fail_with(x, REPLY_INTERNAL, "model_domain", -1);
        return;
    }
    exchange_goto(x, X_DIAL);
    deadline_clear(&x->deadline); /* the pool has its own */
    bool fresh = x->fresh_only || x->match.is_resumable || x->is_relay;
    unsigned how = (x->info.is_plain ? POOL_PLAIN : POOL_TLS) | (fresh ? POOL_FRESH : 0u) |
                   (x->base.is_websocket ? POOL_FRESH | POOL_HTTP1 : 0u);
    enum err e = pool_acquire(x->svc->pool, &to, how, on_back, x, &x->back, &x->dialling);
    if (e == ERR_OK)
        start_send(x);
    else if (e != ERR_AGAIN)
        fail_with(x, reply_for(x, e), "dial", 1);
}

static void begin_attempt(struct exchange *x)
{
    if (x->attempt_count < ATTEMPTS_MAX)
        x->attempts[x->attempt_count++] =
            (struct attempt){.account = x->pick.account->name, .account_id = x->pick.account->id};
    x->stamps = (struct stamps){.route = exchange_stamp(x)};
    get_token(x);
}

/* Chooses an account; what cannot be served is answered. */
static void route(struct exchange *x, bool is_first)
{
    enum pick_status status = attempts_left(x) ? pick(x, &x->pick) : PICK_UNAVAILABLE;
    switch (status) {
    case PICK_OK:
        begin_attempt(x);
        return;
    case PICK_NO_MODEL:
        fail_with(x, REPLY_NO_MODEL, "no_model", -1);
        return;
    case PICK_NO_KIND:
        fail_with(x, REPLY_NO_KIND, "no_kind", -1);
        return;
    case PICK_UNAVAILABLE:
        if (is_first && pin_account(x)) {
            fail_with(x, REPLY_PIN_GONE, "pin_gone", -1);
            return;
        }
        fail_with(x, REPLY_UNAVAILABLE, is_first ? "none_available" : "none_left",
                  x->pick.retry_after_s > 0 ? x->pick.retry_after_s : 1);
        return;
    }
}

/* ---- the request's body ---- */

/* Bytes are held for replay up to the limit, and beyond it only as long as they have not been sent.
 */
static bool hold(struct exchange *x, const void *p, size_t n)
{
    struct services *s = x->svc;
    uint64_t all = atomic_load_explicit(s->replay_bytes, memory_order_relaxed);
    uint64_t limit = (uint64_t)s->conf->retry.replay_bytes;
    bool all_sent = x->back_stream && held_all_sent(&x->held);
    bool fits = x->held.n + n <= limit && all + n <= (uint64_t)s->conf->retry.replay_total_bytes;
    if (!fits && x->is_replayable) {
        x->is_replayable = false;
        if (all_sent)
            drop_held(x);
    }
    if (!x->is_replayable && all_sent)
        return true; /* sent straight on */
    if (x->held.n + n > limit + HELD_AHEAD || !held_add(&x->held, p, n))
        return false;
    x->counted += n;
    atomic_fetch_add_explicit(s->replay_bytes, n, memory_order_relaxed);
    return true;
}

/* Whose silence is it? The client's, while its request has not ended and all that came of it was
 * sent. One that asks for a WebSocket waits for the answer first. */
static bool is_clients_turn(const struct exchange *x)
{
    return !x->request_ended && held_all_sent(&x->held) && !x->base.is_websocket;
}

static void touch_request(struct exchange *x)
{
    bool client = is_clients_turn(x) && !x->is_committed;
    touch(x, client ? x->svc->conf->limits.idle_timeout : x->svc->conf->upstream.read_timeout);
}

static void give(struct exchange *x, const void *p, size_t n, bool end)
{
    if (stream_send_body(x->back_stream, p, n, end) != ERR_OK)
        fail_with(x, REPLY_INTERNAL, "request_length", -1);
}

/* Gives the back what is held and not sent, SEND_AHEAD at a time: the rest follows when that has
 * left. What will not be sent again goes, else a client that is always ahead of the back would fill
 * us. */
static void send_held(struct exchange *x)
{
    size_t given = 0;
    bool end = false;
    while (x->back_stream && given < SEND_AHEAD && !end) {
        const char *p;
        size_t n = held_run(&x->held, SEND_AHEAD - given, &p);
        end = x->request_ended && x->held.sent + n == x->held.n;
        if (n == 0 && !end)
            break;
        held_advance(&x->held, n);
        given += n;
        give(x, p, n, end);
    }
    if (!x->back_stream || x->is_replayable)
        return;
    size_t gone = held_forget_sent(&x->held);
    x->counted -= gone;
    atomic_fetch_sub_explicit(x->svc->replay_bytes, gone, memory_order_relaxed);
}

/* ---- the first message of a WebSocket ---- */

static void refuse_setup(struct exchange *x, uint16_t code, const char *reason)
{
    unsigned char frame[128];
    size_t n = setup_close_frame(code, reason, frame);
    x->reason = reason;
    drop_setup(x);
    if (stream_send_body(x->front, frame, n, true) != ERR_OK) {
        break_off(x, reason);
        return;
    }
    x->answer_ended = true;
    leave_back(x);
}

/* A client that may use some models only must name one of them. */
static bool setup_may(struct exchange *x)
{
    bool is_close = !x->setup->in_message;
    x->model = arena_dup(&x->arena, route_model_bare(slice_of(x->setup->model)));
    if (!x->model.p)
        x->model = SLICE("");
    return x->client->model_count == 0 || is_close || (x->model.n && client_may(x));
}

static void setup_whole(struct exchange *x)
{
    const struct snap_account *a = x->pick.account;
    struct sbuf out;
    if (!setup_may(x)) {
        refuse_setup(x, 1008, "model_denied");
        return;
    }
    sbuf_init(&out, 2 * SETUP_MAX);
    if (setup_take(x->setup, a->kind == ACCOUNT_SERVICE ? a->project : SLICE(""), &out) == ERR_OK) {
        drop_setup(x);
        x->credited = out.n; /* all that was held, whatever its length is now */
        give(x, out.p, out.n, false);
    } else {
        refuse_setup(x, 1011, "memory");
    }
    sbuf_finish_wipe(&out);
}

static void setup_bytes(struct exchange *x, struct stream *st, const void *p, size_t n, bool end)
{
    size_t before = x->setup->raw.n;
    enum setup_state state = setup_feed(x->setup, p, n);
    size_t more = x->setup->raw.n - before;
    uint64_t all = atomic_fetch_add_explicit(x->svc->replay_bytes, more, memory_order_relaxed);
    if (all + more > (uint64_t)x->svc->conf->retry.replay_total_bytes) {
        refuse_setup(x, 1013, "memory");
        return;
    }
    touch_request(x);
    stream_credit(st, n);
    switch (state) {
    case SETUP_MORE:
        break;
    case SETUP_WHOLE:
        setup_whole(x);
        break;
    case SETUP_REFUSED:
        refuse_setup(x, x->setup->code, x->setup->reason);
        break;
    }
    if (end && x->setup)
        refuse_setup(x, 1002, "setup_end");
    else if (end && x->back_stream)
        give(x, NULL, 0, true);
}

static void model_known(struct exchange *x);
static void grant_body_known(struct exchange *x);

/* What is said beyond the replay limit is not waited for. */
static bool is_beyond_limit(const struct exchange *x)
{
    return x->held.n > (uint64_t)x->svc->conf->retry.replay_bytes;
}

/* Is all known that the body must say before an account is chosen? */
static bool body_told(struct exchange *x, const void *p, size_t n, bool end)
{
    bool told = true;
    if (x->call)
        return call_body(x, p, n, end || is_beyond_limit(x));
    if (x->match.model_in_body) {
        model_scan_feed(&x->scan, p, n);
        if (end)
            model_scan_end(&x->scan);
        told = x->scan.state != MODEL_MORE;
    }
    if (x->pinning && pin_wants_body(x) && pin_body(x, p, n) && !end)
        told = false;
    return told || is_beyond_limit(x);
}

/* Would it be served wrongly, not just worse, if the body were not read any further? */
static bool must_be_told(const struct exchange *x)
{
    return x->call || (x->pinning && pin_wants_body(x)) || x->client->model_count > 0;
}

/* More of the body that says where a request goes. */
static void read_body(struct exchange *x, const void *p, size_t n, bool end)
{
    bool told = body_told(x, p, n, end);
    if (!told && x->is_replayable)
        return;
    if (!told && must_be_told(x)) /* all that may be held together is held */
        fail_with(x, REPLY_INTERNAL, "replay_total_bytes", 1);
    else
        model_known(x);
}

static void front_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    x->bytes_up += n;
    if (end)
        x->request_ended = true;
    if (x->state == X_REPLY && x->is_late && end)
        reply_late(x);
    if (x->state == X_REPLY || x->state == X_OVER || x->answer_ended)
        return;
    if (x->setup) {
        setup_bytes(x, st, p, n, end);
        return;
    }
    bool straight = x->back_stream && held_all_sent(&x->held);
    if (n && !hold(x, p, n)) {
        fail_with(x, REPLY_INTERNAL, "memory", 1);
        return;
    }
    if (x->state == X_MODEL) {
        touch(x, x->svc->conf->limits.idle_timeout);
        stream_credit(st, n); /* held within the replay limit: the model may come last */
        x->credited += n;
        read_body(x, p, n, end);
        return;
    }
    if (x->state == X_GRANT) {
        touch(x, x->svc->conf->limits.idle_timeout);
        stream_credit(st, n);
        x->credited += n;
        if (end || x->held.n > GRANT_BODY_MAX)
            grant_body_known(x);
        return;
    }
    if (!x->back_stream)
        return; /* held until there is one */
    touch_request(x);
    if (straight) {
        held_skip_all(&x->held);
        give(x, p, n, end);
    } /* else what is held leaves first, as back_sent makes room, and these bytes with it */
}

static void back_sent(struct stream *st, size_t n)
{
    if (!st->owner)
        return;
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    size_t extra = n < x->uncounted ? n : x->uncounted;
    x->uncounted -= extra;
    x->body_left += n - extra;
    if (x->body_left > x->credited) { /* what is sent again was credited before */
        uint64_t credit = x->body_left - x->credited;
        x->credited = x->body_left;
        if (!x->front_closed)
            stream_credit(x->front, (size_t)credit);
    }
    touch_request(x);
    if (x->back_stream == st && !held_all_sent(&x->held))
        send_held(x);
}

/* ---- the answer ---- */

/* Lets the refused answer go. Its connection may live when the whole request was sent. */
static void discard_answer(struct exchange *x)
{
    struct stream *st = x->back_stream;
    struct back *b = x->back;
    if (!x->request_ended || !held_all_sent(&x->held)) {
        leave_back(x);
        return;
    }
    x->back_stream = NULL;
    x->back = NULL;
    back_discard(b, st);
}

static bool renew_token(struct exchange *x)
{
    x->svc->token_invalidate(x->svc->tokens, x->pick.account, x->token);
    token_unref(&x->token);
    x->token_renewed = true;
    if (!retry_allowed(x, true)) {
        fail_with(x, REPLY_UNAVAILABLE, "token_refused", 1);
        return true;
    }
    discard_answer(x);
    get_token(x);
    return true;
}

/* A refused or failed answer: somewhere else, if that can be. False: it is the client's to see. */
static bool try_elsewhere(struct exchange *x, int status, const struct head *h)
{
    struct refusal r = judge_answer(status, x->pick.account->kind, x->token_renewed);
    if (r.judgement == JUDGE_PASS)
        return false;
    if (r.judgement == JUDGE_NEW_TOKEN)
        return renew_token(x);
    if (r.cool_reason)
        cool(x, r.cools_account, r.cool_reason, retry_after_s(h));
    if (status == 401 && x->token)
        x->svc->token_invalidate(x->svc->tokens, x->pick.account, x->token);
    exclude(x);
    struct pick_result next;
    if (retry_allowed(x, r.is_definite) && attempts_left(x) && pick(x, &next) == PICK_OK) {
        discard_answer(x);
        x->pick = next;
        begin_attempt(x);
        return true;
    }
    if (status != 401)
        return false;
    /* Our own credential was refused: that is not for the client to see. */
    fail_with(x, REPLY_UNAVAILABLE, "credential_refused", 1);
    return true;
}

/* What only we may say (a client tells our answers from the provider's by it), and what would lead
 * the client round us. */
static bool is_answer_field_dropped(const struct field *f)
{
    return f->id == FIELD_X_CREDSWAP_REQUEST_ID || f->id == FIELD_PROXY_STATUS ||
           slice_ieq(f->name, SLICE("alt-svc"));
}

/* What of H the client gets to see, in the thread's own fields, with room for two more. */
static struct head answer_fields(const struct head *h)
{
    static _Thread_local struct field fields[HEAD_MAX_FIELDS + 3];
    struct head out = *h;
    out.fields = fields;
    if (h->count)
        memcpy(fields, h->fields, h->count * sizeof *fields);
    head_drop_hop_by_hop(&out);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out.count; i++)
        if (!is_answer_field_dropped(&fields[i]))
            fields[kept++] = fields[i];
    out.count = kept;
    return out;
}

/* Does the first message name what is the client's, or what it may not have? */
static bool wants_setup(const struct exchange *x)
{
    return x->client->model_count > 0 ||
           (x->api == API_VERTEX && x->pick.account->kind == ACCOUNT_SERVICE);
}

/* The 101. A browser that offered nothing but its credential as a subprotocol wants to see it
 * chosen. */
static enum err switch_fields(struct exchange *x, struct head *out)
{
    if (x->offers_token && !x->has_protocols && !head_get(out, FIELD_SEC_WEBSOCKET_PROTOCOL))
        head_add(out, FIELD_SEC_WEBSOCKET_PROTOCOL, SLICE("sec-websocket-protocol"),
                 x->placeholder);
    if (!wants_setup(x))
        return ERR_OK;
    x->setup = mem_alloc(sizeof *x->setup);
    if (!x->setup)
        return ERR_NOMEM;
    setup_init(x->setup);
    for (uint32_t i = 0; i < out->count; i++) {
        struct field *f = &out->fields[i];
        struct sbuf text;
        if (f->id != FIELD_SEC_WEBSOCKET_EXTENSIONS)
            continue;
        sbuf_init(&text, 4096);
        if (setup_extensions(f->value, &text))
            f->value = arena_dup(&x->arena, sbuf_slice(&text));
        sbuf_finish(&text);
        if (!f->value.p)
            return ERR_NOMEM;
    }
    return ERR_OK;
}

static void pass_head(struct exchange *x, const struct head *h, bool end)
{
    struct head out = answer_fields(h);
    if (x->pinning && pin_answer(x, &out) != ERR_OK) {
        fail_with(x, REPLY_UPSTREAM_ANSWER, "upload_address", -1);
        return;
    }
    if (h->is_websocket && switch_fields(x, &out) != ERR_OK) {
        fail_with(x, REPLY_INTERNAL, "memory", 1);
        return;
    }
    if (!x->info.is_plain)
        head_add(&out, FIELD_X_CREDSWAP_REQUEST_ID, SLICE("x-credswap-request-id"),
                 slice_of(x->request_id));
    if (stream_send_head(x->front, &out, end) != ERR_OK) {
        fail_with(x, REPLY_UPSTREAM_ANSWER, "answer_head", -1);
        return;
    }
    x->status = grpc_http_status(h, end);
    if (!x->is_relay)
        x->svc->answered(x->svc, x->snap, x->client, x->pick.account);
    x->is_committed = true;
    x->is_replayable = false;
    exchange_goto(x, X_STREAM);
    if (held_all_sent(&x->held))
        drop_held(x);
}

/* The answer is complete but the request is not: the connection to the provider is of no more use.
 */
static void answer_ended(struct exchange *x)
{
    x->answer_ended = true;
    if (x->back_stream && (!x->request_ended || !held_all_sent(&x->held)))
        leave_back(x);
}

static void account_served(struct exchange *x)
{
    health_ok(x->svc->health, x->pick.account, x->model);
    if (x->token)
        token_accepted(x->token);
}

static void back_head(struct stream *st, const struct head *h, bool end)
{
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    x->first_byte_ms = x->svc->loop->now_ms;
    x->stamps.first = exchange_stamp(x);
    int status = grpc_http_status(h, end); /* of what it means */
    note_attempt(x, status, NULL);
    if (!x->is_relay) {
        if (try_elsewhere(x, status, h))
            return;
        if (status < 400)
            account_served(x);
    }
    touch(x, x->svc->conf->upstream.read_timeout);
    pass_head(x, h, end);
    if (end && x->state == X_STREAM)
        answer_ended(x);
}

static void back_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    x->bytes_down += n;
    x->front_due += n;
    touch(x, x->svc->conf->upstream.read_timeout);
    if (x->pinning)
        pin_answer_body(x, p, n); /* before the client can know a name */
    if (stream_send_body(x->front, p, n, end) != ERR_OK)
        break_off(x, "answer_length");
    else if (end)
        answer_ended(x);
}

static void back_trailers(struct stream *st, const struct head *h)
{
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    struct head out = answer_fields(h);
    touch(x, x->svc->conf->upstream.read_timeout);
    if (stream_send_trailers(x->front, &out) != ERR_OK)
        break_off(x, "answer_trailers");
    else
        answer_ended(x);
}

/* The connection ended before any answer. A reused one may simply have been closed by the provider
 * in the same moment. */
static void lost(struct exchange *x, enum why why, bool was_reused, const char *word)
{
    if (why == WHY_PROTO) {
        note_attempt(x, 0, word);
        fail_with(x, REPLY_UPSTREAM_ANSWER, word, -1);
        return;
    }
    if (why == WHY_REFUSED && ++x->refused <= REFUSED_MAX && retry_allowed(x, true)) {
        dial(x);
        return;
    }
    if (was_reused && !x->fresh_only && retry_allowed(x, false)) {
        x->fresh_only = true;
        dial(x);
        return;
    }
    connection_failed(x, ERR_CLOSED, word);
}

static void back_close(struct stream *st, enum why why)
{
    if (!st->owner)
        return; /* we let go of it ourselves */
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    struct back *b = x->back;
    x->back_stream = NULL;
    x->back = NULL;
    if (why == WHY_DONE && !x->is_relay) {
        pool_release(b);
        return;
    }
    if (why == WHY_DONE) { /* a stranger's connection may carry one client's login */
        back_distrust(b);
        back_destroy(b);
        return;
    }
    bool was_reused = back_is_reused(b);
    const char *word = why == WHY_PROTO     ? "answer_malformed"
                       : why == WHY_REFUSED ? "refused_stream"
                                            : "connection_lost";
    back_destroy(b);
    if (x->state == X_SEND)
        lost(x, why, was_reused, word);
    else if (x->state == X_STREAM && !x->answer_ended)
        break_off(x, word);
}

static const struct stream_sink back_sink = {.on_head = back_head,
                                             .on_body = back_body,
                                             .on_trailers = back_trailers,
                                             .on_sent = back_sent,
                                             .on_close = back_close};

/* ---- the client's side ---- */

static void front_head(struct stream *st, const struct head *h, bool end)
{
    (void)st;
    (void)h;
    (void)end; /* came with exchange_begin */
}

static void front_sent(struct stream *st, size_t n)
{
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    if (x->state != X_STREAM)
        return;
    x->front_due -= n < x->front_due ? n : x->front_due;
    touch(x, x->svc->conf->upstream.read_timeout);
    stream_credit(x->back_stream, n);
}

static void front_close(struct stream *st, enum why why)
{
    struct exchange *x = obj_from(st->owner, EXCHANGE_MAGIC);
    x->front_closed = true;
    x->front = NULL;
    if (why != WHY_DONE && !x->reason)
        x->reason = why == WHY_PROTO ? "client_protocol" : "client_gone";
    leave_back(x);
    over(x);
}

static const struct stream_sink front_sink = {
    .on_head = front_head, .on_body = front_body, .on_sent = front_sent, .on_close = front_close};

static void on_deadline(struct deadline *d)
{
    struct exchange *x = container_of(d, struct exchange, deadline);
    bool client = is_clients_turn(x);
    switch (x->state) {
    case X_GRANT:
    case X_MODEL:
        fail_with(x, REPLY_CLIENT_TIMEOUT, "body_timeout", -1);
        break;
    case X_SEND:
        if (!client)
            back_distrust(x->back);
        note_attempt(x, 0, client ? "body_timeout" : "answer_timeout");
        fail_with(x, client ? REPLY_CLIENT_TIMEOUT : REPLY_TIMEOUT,
                  client ? "body_timeout" : "answer_timeout", -1);
        break;
    case X_STREAM:
        if (x->back && x->front_due == 0) /* else it is the client who does not read */
            back_distrust(x->back);
        break_off(x, "silence");
        break;
    case X_REPLY:
        if (x->is_late) {
            touch(x, x->svc->conf->limits.idle_timeout);
            reply_late(x);
        } else {
            break_off(x, "silence");
        }
        break;
    case X_BEGIN:
    case X_TOKEN:
    case X_DIAL:
    case X_OVER:
    case X_STATES:
        break;
    }
    loop_end_pass(x->svc->loop);
}

/* ---- the beginning ---- */

static void model_known(struct exchange *x)
{
    bool in_body = x->scan.state == MODEL_FOUND; /* one in the path was looked at with the head */
    struct objection o = {.reason = NULL};
    if (x->pinning)
        o = pin_settle(x);
    if (in_body)
        x->model = route_model_bare(slice_make(x->scan.name, x->scan.name_n));
    if (in_body && auth_leaks(x->model, x->placeholder))
        fail_with(x, REPLY_TOKEN_MISPLACED, "token_misplaced", -1);
    else if (!client_may(x))
        fail_with(x, REPLY_MODEL_DENIED, "model_denied", -1);
    else if (o.reason)
        fail_with(x, o.what, o.reason, o.retry_after_s);
    else
        route(x, true);
}

/* It is a GET like others: Upgrade is the client's wish (RFC 9110 section 7.8). */
static void no_websocket(struct exchange *x)
{
    x->request_ended |= x->base.is_websocket;
    x->base.is_websocket = false;
}

/* Whoever waits for our word before the body comes hears it. */
static void ask_for_body(struct exchange *x)
{
    x->front->ops->send_continue(x->front);
    x->base.expects_continue = false;
}

static void begin_swap(struct exchange *x, const struct head *h)
{
    struct objection o = admit(x, h);
    if (!o.reason)
        o = pin_begin(x);
    if (o.reason) {
        fail_with(x, o.what, o.reason, o.retry_after_s);
        return;
    }
    if (x->base.is_websocket && !x->match.is_websocket) {
        if (x->base.is_extended_connect) {
            fail_with(x, REPLY_METHOD, "no_websocket", -1);
            return;
        }
        no_websocket(x);
    }
    if (x->match.is_rpc && call_begin(x) != ERR_OK) {
        fail_with(x, REPLY_INTERNAL, "memory", 1);
        return;
    }
    ask_for_body(x);
    if ((x->match.model_in_body || pin_wants_body(x)) && !x->request_ended) {
        exchange_goto(x, X_MODEL);
        touch(x, x->svc->conf->limits.idle_timeout);
        return;
    }
    if (x->match.model_in_body)
        x->scan.state = MODEL_NONE;
    model_known(x);
}

/* A request for a host that policy lets through: relayed as it is, but a client token is for us
 * alone. */
static void relay(struct exchange *x)
{
    if (pass_is_in_head(&x->base) || auth_holds_known(&x->base, x->snap, x->svc->key)) {
        fail_with(x, REPLY_TOKEN_MISPLACED, "token_misplaced", -1);
        return;
    }
    x->pick.domain = authority_host(&x->info.authority);
    if (x->info.authority.port != (x->info.is_plain ? 80 : 443)) {
        char text[HOST_MAX + 16];
        authority_print(&x->info.authority, text, sizeof text);
        x->pick.domain = arena_dup(&x->arena, slice_of(text));
    }
    if (!x->pick.domain.p) {
        fail_with(x, REPLY_INTERNAL, "memory", 1);
        return;
    }
    ask_for_body(x);
    dial(x);
}

/* What is ours to answer is answered; all else at a token host is somebody else's business. */
static void relay_foreign(struct exchange *x)
{
    if (x->may_relay)
        relay(x);
    else
        fail_with(x, REPLY_HOST_DENIED, "default", -1);
}

/* The body came, or more of it than any assertion of ours. */
static void grant_body_known(struct exchange *x)
{
    struct sbuf body;
    sbuf_init(&body, GRANT_BODY_MAX);
    const char *p;
    for (size_t n; (n = held_run(&x->held, GRANT_BODY_MAX, &p)) != 0;) {
        sbuf_add(&body, p, n);
        held_advance(&x->held, n);
    }
    held_rewind(&x->held);
    if (!body.failed && pass_is_in(sbuf_slice(&body)))
        fail_with(x, REPLY_TOKEN_MISPLACED, "token_misplaced", -1);
    else if (body.failed || !x->request_ended || !grant_answer(x, sbuf_slice(&body)))
        relay_foreign(x);
    if (x->state == X_REPLY) {
        drop_held(x);
        if (!x->is_late)
            touch(x, x->svc->conf->limits.idle_timeout);
    }
    sbuf_finish_wipe(&body);
}

static void begin_token_host(struct exchange *x, const struct head *h)
{
    struct objection o = admit_token_host(x, h);
    if (o.reason) {
        fail_with(x, o.what, o.reason, o.retry_after_s);
        return;
    }
    if (x->request_ended || !x->may_grant || !grant_is_asked(x, h)) {
        relay_foreign(x);
        return;
    }
    ask_for_body(x);
    exchange_goto(x, X_GRANT);
    touch(x, x->svc->conf->limits.idle_timeout);
}

static void make_request_id(struct exchange *x)
{
    uint64_t number = rng_next(x->svc->rng);
    char *p = x->request_id; /* zeroed with the exchange */
    for (const char *from = "cs_"; *from;)
        *p++ = *from++;
    for (unsigned i = 0; i < 16; i++, number <<= 4)
        *p++ = "0123456789abcdef"[number >> 60];
}

static void begin_relay(struct exchange *x, const struct head *h)
{
    if (x->base.is_extended_connect) {
        fail_with(x, REPLY_METHOD, "no_websocket", -1);
        return;
    }
    no_websocket(x);
    if (x->info.is_plain)
        relay(x);
    else
        begin_token_host(x, h);
}

void exchange_begin(struct services *s, const struct front_info *info, struct stream *front,
                    const struct head *h, bool end)
{
    struct exchange *x = mem_calloc(1, sizeof *x);
    if (!x) {
        stream_reset(front);
        return;
    }
    x->magic = EXCHANGE_MAGIC;
    x->svc = s;
    x->info = *info;
    x->is_relay = info->is_plain || info->is_token_host;
    x->front = front;
    x->front_is_h2 = front->session->is_h2;
    x->snap = snapshot_ref(s->snapshot);
    x->began_ms = s->loop->now_ms;
    x->request_ended = end;
    x->is_replayable = true;
    x->model = SLICE("");
    x->deadline.fire = on_deadline;
    arena_init(&x->arena, HEAD_ARENA_MAX);
    held_init(&x->held, s->loop, h->body == BODY_LENGTH ? h->content_length : 0);
    model_scan_init(&x->scan);
    make_request_id(x);
    list_add_last(&s->exchanges, &x->link);
    s->exchange_count++;
    front->sink = &front_sink;
    front->owner = x;
    if (swap_prepare(x, h) != ERR_OK)
        fail_with(x, REPLY_INTERNAL, "memory", 1);
    else if (x->is_relay)
        begin_relay(x, h);
    else
        begin_swap(x, h);
}
