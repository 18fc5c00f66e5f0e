/* A worker: one thread, one event base, and everything on it. Other threads reach it by letters
 * only. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/crypto_heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "keys/keeper.h"
#include "server/server_internal.h"
#include "store/cooldown.h"
#include "store/event.h"
#include "store/writer.h"
#include "tls/tls.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define SECOND_MS 1000u
#define MEMO_AGE_MS 30000u

/* ---- what exchanges and gates ask of their worker ---- */

struct cool_letter {
    struct letter letter;
    struct health *to;
    struct cooldown cooldown;
};

static void deliver_cool(struct letter *l)
{
    struct cool_letter *c = container_of(l, struct cool_letter, letter);
    health_merge(c->to, &c->cooldown, clock_wall_ms());
    mem_free(c);
}

static void post_cool(struct mailbox *box, struct health *to, const struct cooldown *cooldown)
{
    struct cool_letter *l = mem_calloc(1, sizeof *l);
    if (!l)
        return;
    l->letter.deliver = deliver_cool;
    l->to = to;
    l->cooldown = *cooldown;
    mailbox_post(box, &l->letter);
}

struct cool_job {
    struct cooldown cooldown;
    char account[96], sentence[256];
};

static enum err write_cool(struct store *s, void *arg)
{
    const struct cool_job *j = arg;
    struct cooldown_row row = {.account_id = j->cooldown.account_id,
                               .model = slice_of(j->cooldown.model),
                               .since_ms = j->cooldown.since_ms,
                               .until_ms = j->cooldown.until_ms,
                               .step = j->cooldown.step,
                               .reason = slice_of(j->cooldown.reason)};
    enum err e = cooldown_put(s, &row, NULL);
    if (e == ERR_NOT_FOUND)
        return ERR_OK; /* the account was removed meanwhile */
    if (e == ERR_OK)
        e = event_put(s, EVENT_ALARM, slice_of(j->account), slice_of(j->sentence), NULL);
    return e;
}

static void store_cooldown(struct server *s, const struct snap_account *a, const struct cooldown *c)
{
    struct cool_job *j = mem_calloc(1, sizeof *j);
    if (!j)
        return;
    j->cooldown = *c;
    (void)slice_copy(slice_sub(a->name, 0, sizeof j->account - 1), j->account, sizeof j->account);
    snprintf(j->sentence, sizeof j->sentence, "cooling down %s%s after %s",
             *c->model ? "for model " : "(whole account)", c->model, c->reason);
    writer_post(s->writer, (struct writer_job){write_cool, mem_free, j, false});
}

static void on_cooled(struct services *svc, const struct snap_account *a, const struct cooldown *c)
{
    struct worker *w = svc->worker;
    LOG(LOG_WARN, "account_cooling", KV_S("account", a->name), KV_Z("model", c->model),
        KV_Z("reason", c->reason), KV_I("ms", c->until_ms - clock_wall_ms()));
    store_cooldown(w->server, a, c);
    for (uint32_t i = 0; i < w->server->worker_count; i++) {
        struct worker *other = w->server->workers[i];
        if (other != w)
            post_cool(other->box, other->svc.health, c);
    }
    post_cool(w->server->box, w->server->health, c);
}

static uint32_t on_client_wait(struct services *svc, const struct snap_client *c)
{
    const struct worker *w = svc->worker;
    return c->rpm <= 0 ? 0 : limits_client_wait_s(w->server->limits, c, svc->loop->now_ms);
}

static void count_duration(struct worker_figures *f, uint64_t ms)
{
    figure_add(&f->duration_count, 1);
    figure_add(&f->duration_us_sum, ms * 1000u);
    for (uint32_t i = 0; i < DURATION_BUCKETS; i++)
        if ((double)ms / 1000.0 <= duration_bounds_s[i]) {
            figure_add(&f->duration[i], 1);
            break;
        }
}

static void on_answered(struct services *svc, const struct snapshot *snap,
                        const struct snap_client *c, const struct snap_account *a)
{
    const struct worker *w = svc->worker;
    recorder_answered(w->recorder, snap->pools[c->pool].id, a->id, snap->generation,
                      svc->loop->now_ms);
}

static void on_record(struct services *svc, const struct exchange_record *r)
{
    struct worker *w = svc->worker;
    struct worker_figures *f = &w->figures;
    int class = r->status / 100;
    figure_add(&f->requests[class >= 0 && class < (int)STATUS_CLASSES ? class : 0], 1);
    figure_add(&f->own_answers, r->is_own_answer);
    figure_add(&f->retries, r->attempt_count > 1 ? r->attempt_count - 1 : 0);
    figure_add(&f->bytes_up, r->bytes_up);
    figure_add(&f->bytes_down, r->bytes_down);
    count_duration(f, r->ms);
    recorder_add(w->recorder, r, svc->loop->now_ms);
}

static bool on_is_self(struct gates *g, const struct authority *a)
{
    const struct server *s = g->server;
    for (uint32_t i = 0; i < s->self_count; i++)
        if (authority_eq(a, &s->self[i]))
            return true;
    return false;
}

static void on_page_facts(struct gates *g, struct page_facts *ret)
{
    const struct server *s = g->server;
    *ret = (struct page_facts){.ca_pem = keeper_ca_pem(s->keeper),
                               .ca_sha256 = keeper_ca_sha256(s->keeper),
                               .proxy_host = s->page_host,
                               .proxy_port = s->page_port,
                               .is_tls = s->page_is_tls,
                               .version = CREDSWAP_VERSION};
}

static void on_caller_status(struct gates *g, const struct sockaddr_storage *peer, struct sbuf *out)
{
    const struct server *s = g->server;
    char when[32];
    int64_t expires = s->ca_expires_at;
    sbuf_adds(out, "{");
    limits_print_caller(s->limits, peer, out);
    sbuf_addf(out, ",\"ca_expires_at\":\"%s\",\"version\":\"%s\"}\n",
              clock_format_utc(expires, when, sizeof when), CREDSWAP_VERSION);
}

static void on_client_status(struct gates *g, const struct snap_client *c, struct sbuf *out)
{
    const struct server *s = g->server;
    limits_print_client(s->limits, c, clock_wall_s(), out);
}

static void on_caller_failed(struct gates *g, const struct sockaddr_storage *peer, const char *word)
{
    const struct server *s = g->server;
    limits_note_failure(s->limits, peer, word);
}

static void on_distrusted(struct gates *g, const struct sockaddr_storage *peer, struct slice host,
                          const char *word)
{
    const struct server *s = g->server;
    trust_refused(s->trust, peer, host, word, clock_wall_s());
}

static uint64_t on_next_conn_id(struct gates *g)
{
    struct worker *w = g->svc->worker;
    return w->next_conn++ * WORKERS_MAX + w->index;
}

static void on_gone(struct gates *g, const struct sockaddr_storage *peer)
{
    struct server *s = g->server;
    atomic_fetch_sub_explicit(&s->connections, 1, memory_order_relaxed);
    if (peer)
        limits_leave(s->limits, peer);
}

/* ---- accepting ---- */

static bool on_may_enter(struct gates *g, const struct sockaddr_storage *peer)
{
    const struct server *s = g->server;
    return policy_may_connect(g->policy, (const struct sockaddr *)peer) &&
           limits_enter(s->limits, peer, (uint32_t)g->conf->limits.connections_per_client);
}

static void accept_one(struct worker *w, int fd, const struct sockaddr_storage *peer, bool tls)
{
    struct server *s = w->server;
    bool is_balancer = policy_is_balancer(w->gates.policy, (const struct sockaddr *)peer);
    uint64_t before = atomic_fetch_add_explicit(&s->connections, 1, memory_order_relaxed);
    if (before >= (uint64_t)w->gates.conf->limits.connections ||
        (!is_balancer && !on_may_enter(&w->gates, peer))) {
        atomic_fetch_sub_explicit(&s->connections, 1, memory_order_relaxed);
        figure_add(&w->counters.connections_refused, 1);
        close(fd);
        return;
    }
    if (is_balancer)
        gate_accept_for(&w->gates, fd, peer, tls);
    else
        gate_accept(&w->gates, fd, peer, tls);
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *peer)
{
    accept_one(arg, fd, peer, false);
}

static void on_accept_tls(void *arg, int fd, const struct sockaddr_storage *peer)
{
    accept_one(arg, fd, peer, true);
}

/* ---- each second ---- */

static void publish(struct worker *w)
{
    struct pool_stats p;
    pool_stats(w->svc.pool, &p);
    atomic_store(&w->figures.gates, w->gates.count);
    atomic_store(&w->figures.exchanges, w->svc.exchange_count);
    atomic_store(&w->figures.idle_backs, p.idle);
    atomic_store(&w->figures.open_backs, p.open);
    atomic_store(&w->figures.dials, p.dials);
    atomic_store(&w->figures.dial_failures, p.dial_failures);
    atomic_store(&w->figures.reuses, p.reuses);
    atomic_store(&w->figures.oom, w->loop->oom);
    atomic_store(&w->figures.token_hits, token_cache_hits(w->svc.tokens));
}

static void on_second(struct deadline *d)
{
    struct worker *w = container_of(d, struct worker, second);
    publish(w);
    recorder_flush(w->recorder, w->server);
    tls_report_hits(w->tls);
    log_flush();
    if (w->loop->now_ms >= w->memo_age_ms) {
        auth_memo_age(w->svc.memo);
        w->memo_age_ms = w->loop->now_ms + MEMO_AGE_MS;
    }
    uint64_t next = w->gates.is_draining ? 100u : SECOND_MS;
    deadline_set(&w->loop->wheel, d, w->loop->now_ms + next);
}

/* ---- letters from main ---- */

struct worker_letter {
    struct letter letter;
    struct worker *w;
    struct snapshot *snapshot;
    const struct conf *conf;
    const struct policy *policy;
};

void cooldowns_merge(struct health *h, const struct snapshot *s)
{
    for (size_t i = 0; i < s->cooldown_count; i++) {
        const struct snap_cooldown *c = &s->cooldowns[i];
        struct cooldown mine = {.account_id = c->account_id,
                                .since_ms = c->since_ms,
                                .until_ms = c->until_ms,
                                .step = c->step,
                                .reason = "stored"};
        if (slice_copy(c->model, mine.model, sizeof mine.model))
            health_merge(h, &mine, clock_wall_ms());
    }
}

static void deliver_snapshot(struct letter *l)
{
    struct worker_letter *m = container_of(l, struct worker_letter, letter);
    struct services *svc = &m->w->svc;
    snapshot_unref(&svc->snapshot);
    svc->snapshot = m->snapshot;
    mem_free(m);
}

static void deliver_conf(struct letter *l)
{
    struct worker_letter *m = container_of(l, struct worker_letter, letter);
    struct worker *w = m->w;
    w->svc.conf = w->gates.conf = m->conf;
    w->svc.policy = w->gates.policy = w->gates.dialer.policy = m->policy;
    pool_set_policy(w->svc.pool, m->policy);
    mem_free(m);
}

static void deliver_drain(struct letter *l)
{
    struct worker *w = container_of(l, struct worker, drain_letter);
    for (uint32_t i = 0; i < w->listener_count; i++)
        listener_stop(w->listeners[i]);
    w->listener_count = 0;
    gates_drain(&w->gates);
    pool_drain(w->svc.pool);
    publish(w);
    deadline_set(&w->loop->wheel, &w->second, w->loop->now_ms + 100u);
    loop_end_pass(w->loop);
}

static void deliver_stop(struct letter *l)
{
    struct worker *w = container_of(l, struct worker, stop_letter);
    exchanges_abort_all(&w->svc, "shutdown");
    gates_abort(&w->gates);
    recorder_flush(w->recorder, w->server);
    event_base_loopbreak(w->loop->base);
}

bool worker_post_snapshot(struct worker *w, struct snapshot *s)
{
    struct worker_letter *m = mem_calloc(1, sizeof *m);
    if (!m)
        return false;
    *m = (struct worker_letter){
        .letter = {.deliver = deliver_snapshot}, .w = w, .snapshot = snapshot_ref(s)};
    mailbox_post(w->box, &m->letter);
    return true;
}

struct letter *worker_conf_letter(struct worker *w, const struct conf *c, const struct policy *p)
{
    struct worker_letter *m = mem_calloc(1, sizeof *m);
    if (!m)
        return NULL;
    *m =
        (struct worker_letter){.letter = {.deliver = deliver_conf}, .w = w, .conf = c, .policy = p};
    return &m->letter;
}

void worker_letter_drop(struct letter *l)
{
    if (l)
        mem_free(container_of(l, struct worker_letter, letter));
}

void worker_post_drain(struct worker *w)
{
    w->drain_letter.deliver = deliver_drain;
    mailbox_post(w->box, &w->drain_letter);
}

void worker_post_stop(struct worker *w)
{
    w->stop_letter.deliver = deliver_stop;
    mailbox_post(w->box, &w->stop_letter);
}

/* ---- life ---- */

static enum err make_upstream(struct worker *w, struct errmsg *msg)
{
    struct server *s = w->server;
    const struct conf *c = s->conf;
    struct sbuf servers;
    sbuf_init(&servers, 4096);
    for (size_t i = 0; i < c->upstream.dns.n; i++)
        sbuf_addf(&servers, "%s%s", i ? "," : "", c->upstream.dns.v[i]);
    enum err e = resolver_create(w->loop, sbuf_z(&servers), &w->resolver);
    sbuf_finish(&servers);
    if (e != ERR_OK)
        return err_set(msg, e, "upstream.dns: the resolver cannot be started");
    w->gates.dialer =
        (struct dialer){.loop = w->loop,
                        .resolver = w->resolver,
                        .policy = s->policy,
                        .connect_timeout_ms = (uint64_t)c->upstream.connect_timeout * 1000u};
    if (*c->upstream.parent_proxy) {
        if (parent_proxy_parse(c->upstream.parent_proxy, &w->parent) != ERR_OK)
            return err_set(msg, ERR_CONFIG,
                           "upstream.parent_proxy: wanted http://[user:pass@]host:port");
        w->gates.dialer.parent = &w->parent;
    }
    struct tls_conf t = {.leaves = s->leaves, .upstream_ca_file = c->upstream.ca_file};
    e = tls_ctxs_create(&t, &w->tls, msg);
    if (e != ERR_OK)
        return e;
    struct pool_conf p = {.dialer = w->gates.dialer,
                          .tls = w->tls,
                          .limits = w->gates.limits,
                          .keepalive_ms = (uint64_t)c->upstream.keepalive * 1000u,
                          .handshake_ms = (uint64_t)c->upstream.connect_timeout * 1000u,
                          .idle_per_host = 512,
                          .idle_total = 2048,
                          .http2 = c->upstream.http2};
    return pool_create(&p, &w->svc.pool);
}

static enum err make_services(struct worker *w)
{
    struct server *s = w->server;
    struct services *v = &w->svc;
    v->loop = w->loop;
    v->conf = s->conf;
    v->policy = s->policy;
    v->key = s->key;
    v->snapshot = snapshot_ref(s->snapshot);
    v->replay_bytes = &s->replay_bytes;
    v->pins = s->pins;
    v->worker = w;
    v->token_peek = token_peek;
    v->token_fetch = token_fetch;
    v->token_wait_cancel = token_wait_cancel;
    v->token_invalidate = token_invalidate;
    v->cooled = on_cooled;
    v->pinned = on_pinned;
    v->unpinned = on_unpinned;
    v->client_wait_s = on_client_wait;
    v->answered = on_answered;
    v->record = on_record;
    list_init(&v->exchanges);
    if (auth_memo_create(&v->memo) != ERR_OK)
        return ERR_NOMEM;
    rng_seed(v->rng, s->conf->run.seed ? (uint64_t)s->conf->run.seed + w->index : 0);
    enum err e = health_create(&v->health);
    if (e == ERR_OK)
        e = token_cache_create(s->broker, w->box, &v->tokens);
    if (e == ERR_OK)
        e = recorder_create(&w->recorder);
    return e;
}

static void make_gates(struct worker *w)
{
    struct gates *g = &w->gates;
    const struct conf *c = w->server->conf;
    g->svc = &w->svc;
    g->loop = w->loop;
    g->conf = c;
    g->policy = w->server->policy;
    g->tls = w->tls;
    g->counters = &w->counters;
    g->server = w->server;
    g->is_self = on_is_self;
    g->page_facts = on_page_facts;
    g->caller_status = on_caller_status;
    g->client_status = on_client_status;
    g->caller_failed = on_caller_failed;
    g->distrusted = on_distrusted;
    g->next_conn_id = on_next_conn_id;
    g->may_enter = on_may_enter;
    g->gone = on_gone;
    list_init(&g->all);
}

static enum err make_all(struct worker *w, struct errmsg *msg)
{
    const struct conf *c = w->server->conf;
    w->gates.limits =
        (struct session_limits){(uint32_t)c->limits.header_bytes, (uint32_t)c->limits.header_count};
    enum err e = loop_create(&w->loop);
    if (e == ERR_OK)
        e = mailbox_create(w->loop->base, &w->box);
    if (e == ERR_OK)
        e = make_upstream(w, msg);
    if (e == ERR_OK)
        e = make_services(w);
    if (e != ERR_OK)
        return *msg->text ? e : err_set(msg, e, "a worker cannot be started: %s", err_str(e));
    make_gates(w);
    cooldowns_merge(w->svc.health, w->svc.snapshot);
    for (uint32_t i = 0; i < w->fd_count; i++) {
        e = listener_start(w->loop, w->fds[i], w->fd_is_tls[i] ? on_accept_tls : on_accept, w,
                           &w->listeners[w->listener_count]);
        if (e != ERR_OK)
            return err_set(msg, e, "a listener cannot be started");
        w->listener_count++;
    }
    w->second.fire = on_second;
    deadline_set(&w->loop->wheel, &w->second, w->loop->now_ms + SECOND_MS);
    return ERR_OK;
}

static void destroy_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->listener_count; i++)
        listener_stop(w->listeners[i]);
    recorder_destroy(w->recorder);
    w->recorder = NULL;
    pool_destroy(w->svc.pool);
    resolver_destroy(w->resolver);
    mailbox_destroy(w->box);
    token_cache_destroy(w->svc.tokens);
    health_destroy(w->svc.health);
    auth_memo_destroy(w->svc.memo);
    snapshot_unref(&w->svc.snapshot);
    loop_destroy(w->loop); /* drains what waits to be destroyed, which may still use TLS contexts */
    tls_ctxs_destroy(w->tls);
    arena_thread_finish();
    crypto_heap_forget();
    log_flush();
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    event_base_loop(w->loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    publish(w);
    arena_thread_finish();
    crypto_heap_forget();
    log_flush();
    return NULL;
}

enum err worker_prepare(struct worker *w, struct errmsg *msg)
{
    return make_all(w, msg);
}

enum err worker_start(struct worker *w, struct errmsg *msg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return err_set(msg, ERR_NOMEM, "a worker's thread cannot be started");
    char name[16];
    snprintf(name, sizeof name, "worker-%u", w->index);
    pthread_setname_np(w->thread, name);
    w->is_started = true;
    return ERR_OK;
}

void worker_join(struct worker *w)
{
    if (w->is_started)
        pthread_join(w->thread, NULL);
    w->is_started = false;
    destroy_all(w);
    mem_free(w);
}
