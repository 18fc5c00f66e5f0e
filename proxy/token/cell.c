/* One account's story: who asks, what is at hand, when the endpoint may be asked again. */
#include "base/clock.h"
#include "base/log.h"
#include "base/seal.h"
#include "keys/keeper.h"
#include "token/broker_internal.h"

/* ---- cells ---- */

static struct cell *cell_find(struct broker *b, int64_t id)
{
    struct cell *c = NULL;
    HASH_FIND(hh, b->cells, &id, sizeof id, c);
    return c;
}

static bool cell_rename(struct cell *c, struct slice name)
{
    if (c->name && slice_eq(slice_of(c->name), name))
        return true;
    char *copy = mem_dupn(name.p, name.n);
    if (copy) {
        mem_free(c->name);
        c->name = copy;
    }
    return copy != NULL;
}

static void cell_free(struct cell *c)
{
    facts_finish(&c->facts);
    token_unref(&c->token);
    token_unref(&c->refused);
    mem_free(c->name);
    mem_free(c);
}

static struct cell *cell_get(struct broker *b, int64_t id, struct slice name)
{
    struct cell *c = cell_find(b, id);
    if (c)
        return name.n == 0 || cell_rename(c, name) ? c : NULL;
    c = mem_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->b = b;
    c->id = id;
    list_init(&c->waits);
    list_init(&c->queue_link);
    if (cell_rename(c, name)) {
        HASH_ADD(hh, b->cells, id, sizeof c->id, c);
        if (!c->is_lost)
            return c;
    }
    cell_free(c);
    return NULL;
}

/* ---- answers ---- */

static void answer(struct token_wait *w, struct token *t, const struct token_failure *f)
{
    w->token = t ? token_ref(t) : NULL;
    if (f)
        w->failure = *f;
    w->letter.deliver = wait_deliver_answer;
    if (!w->port) {
        mailbox_post(w->mailbox, &w->letter);
        return;
    }
    struct port *p = port_ref(w->port); /* W may be gone before the call returns */
    if (!port_post_worker(p, &w->letter))
        wait_destroy(w);
    port_unref(&p);
}

/* A failed renewal is no failure for those who can still use the token at hand. */
static void answer_all(struct cell *c, const struct token_failure *f)
{
    struct token *t = token_is_usable(c->token, clock_wall_s()) ? c->token : NULL;
    while (!list_empty(&c->waits)) {
        struct token_wait *w = container_of(c->waits.next, struct token_wait, link);
        list_remove(&w->link);
        answer(w, f && w->is_forced ? NULL : t, f);
    }
}

static uint32_t seconds_left(const struct cell *c)
{
    uint64_t now = clock_mono_ms();
    return c->retry_at_ms > now ? (uint32_t)((c->retry_at_ms - now + 999) / 1000) : 0;
}

/* ---- flights ---- */

static void adopt(struct cell *c, struct token *t)
{
    token_unref(&c->token);
    c->token = t;
    broker_push(c->b, c->id, t, NULL);
}

void flights_pump(struct broker *b)
{
    while (b->flights < FLIGHTS_MAX && !list_empty(&b->queue)) {
        struct cell *c = container_of(b->queue.next, struct cell, queue_link);
        struct token_answer a;
        list_remove(&c->queue_link);
        b->flights++;
        c->started_ms = clock_mono_ms();
        if (!mint_send(c, &a))
            mint_landed(c, &a, 0);
    }
    atomic_store(&b->stats.in_flight, b->flights);
}

static void take_off(struct cell *c)
{
    c->is_flying = true;
    c->has_resigned = false;
    list_add_last(&c->b->queue, &c->queue_link);
    flights_pump(c->b);
}

/* Called off, without an answer to anybody. */
static void abort_flight(struct cell *c)
{
    if (!c->is_flying)
        return;
    c->is_flying = false;
    if (!c->call) {
        list_remove(&c->queue_link);
        return;
    }
    oauth2_abort(c->call);
    c->call = NULL;
    c->b->flights--;
    atomic_store(&c->b->stats.in_flight, c->b->flights);
}

/* Plus or minus a fifth, so that accounts and proxies that failed together do not come back
 * together. */
static uint64_t with_jitter(uint64_t ms)
{
    uint32_t r;
    random_bytes(&r, sizeof r);
    return ms - ms / 5 + r % (2 * ms / 5 + 1);
}

static void back_off(struct cell *c, uint64_t ms)
{
    c->retry_at_ms = clock_mono_ms() + ms;
    c->failed_at_ms = clock_wall_ms();
}

static void fail(struct cell *c, const struct token_answer *a, uint32_t retry_after_s)
{
    c->same_fails = a->fault == c->fault ? c->same_fails + 1 : 1;
    c->fault = a->fault;
    c->fails++;
    uint32_t s = fault_delay_s(a->fault, c->same_fails);
    uint64_t ms = with_jitter(1000u * (uint64_t)(s > retry_after_s ? s : retry_after_s));
    if (ms < 1000u * (uint64_t)retry_after_s)
        ms = 1000u * (uint64_t)retry_after_s;
    back_off(c, ms);
    atomic_fetch_add(&c->b->stats.mint_failures, 1);
    LOG(fault_is_permanent(a->fault) ? LOG_ERROR : LOG_WARN, "token_failed",
        KV_Z("account", c->name), KV_Z("reason", a->reason), KV_Z("advice", a->advice),
        KV_U("fails", c->fails), KV_U("retry_in_ms", ms));
    persist_failure(c, a, ms);
    struct token_failure f = {a->err, a->reason, seconds_left(c)};
    answer_all(c, &f);
}

static void succeed(struct cell *c, const struct token_answer *a)
{
    struct broker *b = c->b;
    uint64_t took_ms = clock_mono_ms() - c->started_ms;
    /* From the moment of asking: the endpoint's hour began somewhere in between. */
    int64_t minted_at = clock_wall_s() - (int64_t)(took_ms / 1000);
    struct token *t = token_new(a->token, minted_at + a->expires_in_s, a->expires_in_s,
                                b->conf->oauth.early_refresh);
    if (!t) {
        answer_all(c, &(struct token_failure){ERR_NOMEM, "no_memory", 1});
        return;
    }
    c->fails = c->same_fails = c->retry_at_ms = 0;
    c->fault = FAULT_NONE;
    atomic_fetch_add(&b->stats.mints, 1);
    atomic_fetch_add(&b->stats.mint_ms_sum, took_ms);
    LOG(LOG_INFO, "token_minted", KV_Z("account", c->name), KV_I("expires_in_s", a->expires_in_s),
        KV_U("took_ms", took_ms));
    adopt(c, t);
    persist_token(c, t, took_ms);
    answer_all(c, NULL);
}

void mint_landed(struct cell *c, const struct token_answer *a, uint32_t retry_after_s)
{
    c->is_flying = false;
    c->b->flights--;
    if (a->fault == FAULT_NONE)
        succeed(c, a);
    else
        fail(c, a, retry_after_s);
}

/* ---- verbs ---- */

/* What is at hand, in the store too; the store is asked once for a flight, not for each who waits.
 */
static bool serve_from_hand(struct cell *c)
{
    bool has_changed;
    if (token_is_usable(c->token, clock_wall_s()))
        return true;
    if (facts_load(c, &has_changed) != ERR_OK)
        return false; /* the mint will say why */
    struct token *t = stored_token(c);
    if (!t)
        return false;
    atomic_fetch_add(&c->b->stats.from_store, 1);
    adopt(c, t);
    return true;
}

static struct slice name_of(struct broker *b, const struct token_wait *w)
{
    const struct snap_account *a =
        w->name.n || !b->snapshot ? NULL : snapshot_account_by_id(b->snapshot, w->account_id);
    return a && a->kind == ACCOUNT_SERVICE ? a->name : w->name;
}

void cell_ask(struct broker *b, struct token_wait *w)
{
    atomic_fetch_add(&b->stats.waits, 1);
    struct slice name = name_of(b, w);
    struct cell *c = name.n ? cell_get(b, w->account_id, name) : NULL;
    if (!c) {
        answer(w, NULL,
               name.n ? &(struct token_failure){ERR_NOMEM, "no_memory", 1}
                      : &(struct token_failure){ERR_NOT_FOUND, "no_account", 0});
        return;
    }
    if (!w->is_forced && token_is_usable(c->token, clock_wall_s())) {
        answer(w, c->token, NULL);
        return;
    }
    uint32_t left = seconds_left(c);
    if (!c->is_flying && left && !w->is_forced) {
        answer(w, NULL, &(struct token_failure){ERR_AGAIN, "backoff", left});
        return;
    }
    if (!c->is_flying && !w->is_forced && serve_from_hand(c)) {
        answer(w, c->token, NULL);
        return;
    }
    list_add_last(&c->waits, &w->link);
    if (!c->is_flying)
        take_off(c);
}

void cell_renew(struct broker *b, int64_t id, struct token *t)
{
    struct cell *c = cell_find(b, id);
    if (!c || !c->token || c->is_flying || seconds_left(c))
        return;
    if (!token_same(c->token, t)) {
        broker_push(b, id, c->token, NULL); /* renewed already; the wish crossed it */
        return;
    }
    take_off(c);
}

/* One refusal soon after minting is bad luck; more of them are a reason to slow down, or an account
 * whose tokens are never accepted would be minted for each request. */
static void count_refusal(struct cell *c, const struct token *t)
{
    int64_t age_s = clock_wall_s() - t->minted_at;
    bool has_served = atomic_load_explicit(&t->has_served, memory_order_relaxed);
    if (age_s >= (has_served ? 1 : QUICK_REFUSAL_S)) {
        c->quick_refusals = 0;
        return;
    }
    if (++c->quick_refusals < 2)
        return;
    if (has_served) { /* a provider that now serves and now refuses: the pause need not grow */
        back_off(c, 1000);
        return;
    }
    uint64_t s = c->quick_refusals - 2 < 6 ? 1ull << (c->quick_refusals - 2) : QUICK_DELAY_MAX_S;
    back_off(c, with_jitter(1000 * s));
    LOG(LOG_WARN, "token_refused_again", KV_Z("account", c->name), KV_U("times", c->quick_refusals),
        KV_U("retry_in_s", s));
}

void cell_refuse(struct broker *b, int64_t id, struct token *t)
{
    struct cell *c = cell_find(b, id);
    if (!c || (token_same(c->refused, t) && !token_same(c->token, t)))
        return; /* several workers may say so */
    token_unref(&c->refused);
    c->refused = token_ref(t);
    persist_drop(c, t);
    broker_push(b, id, NULL, t);
    if (token_same(c->token, t)) {
        count_refusal(c, c->token);
        token_unref(&c->token);
    }
    LOG(LOG_WARN, "token_refused", KV_Z("account", c->name));
    log_flush();
}

/* A worker may have a token that the cell has lost already, so all are told, whatever is here. */
void cell_drop(struct broker *b, int64_t id)
{
    struct cell *c = cell_find(b, id);
    if (c && c->token) {
        token_unref(&c->refused);
        c->refused = token_ref(c->token); /* it may still be on its way into the store */
        persist_drop(c, c->token);
        token_unref(&c->token);
        LOG(LOG_INFO, "token_forgotten", KV_Z("account", c->name));
        log_flush();
    }
    broker_push(b, id, NULL, NULL);
}

/* ---- edits ---- */

static void forget_token(struct cell *c)
{
    broker_push(c->b, c->id, NULL, NULL);
    token_unref(&c->token);
    token_unref(&c->refused);
    keeper_forget(c->b->keeper, c->id);
    c->retry_at_ms = c->fails = c->same_fails = c->quick_refusals = 0;
}

static void cell_forget(struct cell *c)
{
    struct broker *b = c->b;
    abort_flight(c);
    forget_token(c);
    answer_all(c, &(struct token_failure){ERR_NOT_FOUND, "no_account", 0});
    HASH_DELETE(hh, b->cells, c);
    cell_free(c);
}

static void cell_sync(struct cell *c, const struct snap_account *a)
{
    bool has_changed = false;
    if (!cell_rename(c, a->name) || facts_load(c, &has_changed) != ERR_OK)
        return;
    if (has_changed) {
        abort_flight(c);
        forget_token(c);
        if (!list_empty(&c->waits))
            take_off(c);
    } else if (a->cleared_at_ms >= c->failed_at_ms) {
        c->retry_at_ms = 0;
    }
}

void cells_sync(struct broker *b)
{
    struct cell *c, *next;
    HASH_ITER(hh, b->cells, c, next)
    {
        const struct snap_account *a = snapshot_account_by_id(b->snapshot, c->id);
        if (a && a->kind == ACCOUNT_SERVICE)
            cell_sync(c, a);
        else
            cell_forget(c);
    }
    flights_pump(b);
}

void cells_destroy(struct broker *b)
{
    while (b->cells) {
        struct cell *c = b->cells;
        abort_flight(c);
        token_unref(&c->token);
        answer_all(c, &(struct token_failure){ERR_DRAINING, "draining", 0});
        HASH_DELETE(hh, b->cells, c);
        cell_free(c);
    }
}
