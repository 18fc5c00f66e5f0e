/* The order in which everything begins, changes and ends. */
#include "server/server_internal.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "keys/ca.h"
#include "keys/keeper.h"
#include "store/account.h"
#include "store/node.h"
#include "store/store.h"
#include "store/usage.h"
#include "store/writer.h"
#include "tls/tls.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_MS 200u   /* an edit by any SQLite client is live within a second */
#define NODE_MS 10000u /* between two signs of life in the store */
#define TICKET_MS (12u * 3600u * 1000u)

/* ---- opening ---- */

static enum err load_master_key(const struct conf *c, struct master_key **ret, struct errmsg *msg)
{
    enum err e = master_key_load(c->store.master_key_file, ret, msg);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts */
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    if (e != ERR_NOT_FOUND || !dir)
        return e;
    char path[1024];
    snprintf(path, sizeof path, "%s/master.key", dir);
    return master_key_load(path, ret, msg);
}

static enum err open_store(struct server *s, struct errmsg *msg)
{
    enum err e = store_lock_daemon(s->conf->store_path, &s->lock_fd, msg);
    if (e != ERR_OK)
        return e;
    struct store *w = NULL;
    e = store_open(s->conf->store_path, STORE_CREATE | STORE_PATIENT, &w, msg);
    if (e == ERR_OK)
        e = store_migrate(w, msg);
    store_close(w);
    if (e == ERR_OK)
        e = store_open(s->conf->store_path, STORE_READ_ONLY, &s->store, msg);
    return e;
}

struct key_check {
    struct server *server;
    size_t seen, opened;
};

static enum err try_key(void *arg, const struct account *a)
{
    struct key_check *k = arg;
    struct secret *plain = NULL;
    k->seen++;
    if (account_key_unseal(k->server->store, k->server->key, a->id, &plain, NULL) == ERR_OK)
        k->opened++;
    secret_unref(&plain);
    return k->opened ? ERR_EXISTS : ERR_OK; /* one is enough */
}

/* A master key that opens nothing is the wrong one: better said at once than by every request. */
static enum err check_master_key(struct server *s, struct errmsg *msg)
{
    struct key_check k = {.server = s};
    (void)!account_list(s->store, try_key, &k, NULL);
    if (k.seen == 0 || k.opened)
        return ERR_OK;
    return err_set(msg, ERR_CONFIG,
                   "store.master_key_file %s: this key opens none of the %zu accounts in %s; put "
                   "back the key that belongs to this store",
                   s->conf->store.master_key_file, k.seen, s->conf->store_path);
}

static enum err open_keeper(struct server *s, struct errmsg *msg)
{
    const struct conf *c = s->conf;
    const char *permitted[34];
    size_t count = 0;
    for (size_t i = 0; i < c->policy.swap_domains.n && count < ARRAY_LEN(permitted) - 2; i++)
        permitted[count++] = c->policy.swap_domains.v[i];
    if (c->listen.proxy_tls.n && *s->page_host)
        permitted[count++] = s->page_host; /* our own name, for listeners inside TLS */
    struct keeper_conf k = {.ca_cert_path = c->ca.cert,
                            .ca_key_path = c->ca.key,
                            .store_path = c->store_path,
                            .key = s->key,
                            .leaf_days = c->ca.leaf_days,
                            .permitted = permitted,
                            .permitted_count = count};
    enum err e = keeper_create(&k, &s->keeper, msg);
    struct ca_info info = {0};
    if (e == ERR_OK)
        e = ca_info_of(keeper_ca(s->keeper), &info);
    s->ca_expires_at = info.not_after;
    if (e == ERR_OK)
        e = leaf_cache_create(s->keeper, &s->leaves, msg);
    return e;
}

static enum err load_snapshot(struct server *s, struct errmsg *msg)
{
    struct snapshot *next = NULL;
    size_t bad = 0;
    enum err e = snapshot_load(s->store, s->key, &next, &bad, msg);
    if (e != ERR_OK)
        return e;
    if (s->is_other_store && next->client_count + next->account_count == 0) {
        snapshot_unref(&next); /* a restore that has only begun, or a mistake */
        return err_set(msg, ERR_NOT_FOUND, "store %s: it was replaced by one without any rows",
                       s->conf->store_path);
    }
    if (bad && bad != s->bad_rows)
        LOG(LOG_WARN, "store_rows_ignored", KV_U("rows", bad));
    s->bad_rows = bad;
    snapshot_unref(&s->snapshot);
    s->snapshot = next;
    return ERR_OK;
}

static enum err load_today(void *arg, const struct usage *u)
{
    struct server *s = arg;
    for (size_t i = 0; i < s->snapshot->client_count; i++) {
        const struct snap_client *c = &s->snapshot->clients[i];
        if (slice_eq(c->name, u->client))
            limits_add_usage(s->limits, c->id, clock_wall_s(), (uint64_t)u->requests,
                             (uint64_t)(u->errors + u->limited), (uint64_t)u->bytes_up,
                             (uint64_t)u->bytes_down);
    }
    return ERR_OK;
}

/* ---- addresses ---- */

static void add_self(struct server *s, const char *host, uint16_t port)
{
    char text[HOST_MAX + 16];
    struct authority a;
    snprintf(text, sizeof text, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    if (s->self_count < ARRAY_LEN(s->self) && authority_parse(slice_of(text), 0, &a) == ERR_OK)
        s->self[s->self_count++] = a;
}

static uint16_t bound_port(int fd, struct sockaddr_storage *ret)
{
    socklen_t len = sizeof *ret;
    if (getsockname(fd, (struct sockaddr *)ret, &len) != 0)
        return 0;
    return ntohs(ret->ss_family == AF_INET6 ? ((struct sockaddr_in6 *)ret)->sin6_port
                                            : ((struct sockaddr_in *)ret)->sin_port);
}

/* Never to be dialled by anybody through us. */
static enum err note_own_port(struct server *s, int fd, struct errmsg *msg)
{
    struct sockaddr_storage a;
    memset(&a, 0, sizeof a);
    if (bound_port(fd, &a) == 0)
        return err_set(msg, ERR_IO, "listen: a bound address cannot be read");
    if (s->listen_count < ARRAY_LEN(s->listen))
        s->listen[s->listen_count++] = a;
    enum err e = policy_add_self(s->policy, (struct sockaddr *)&a);
    return e == ERR_OK ? e : err_set(msg, e, "listen: %s", err_str(e));
}

/* The names under which clients reach this listener. */
static enum err note_listener(struct server *s, int fd, bool is_tls, struct errmsg *msg)
{
    struct sockaddr_storage a;
    memset(&a, 0, sizeof a);
    char ip[INET6_ADDRSTRLEN] = "";
    uint16_t port = bound_port(fd, &a);
    if (port == 0)
        return err_set(msg, ERR_IO, "listen: a bound address cannot be read");
    const void *raw = a.ss_family == AF_INET6
                          ? (const void *)&((struct sockaddr_in6 *)&a)->sin6_addr
                          : (const void *)&((struct sockaddr_in *)&a)->sin_addr;
    inet_ntop(a.ss_family, raw, ip, sizeof ip);
    add_self(s, ip, port);
    add_self(s, "localhost", port);
    if (*s->page_host && port == s->page_port)
        s->page_is_tls |= is_tls; /* listen.advertise names this listener */
    if (!*s->page_host) {
        bool any = strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0;
        (void)slice_copy(slice_of(any ? "localhost" : ip), s->page_host, sizeof s->page_host);
        s->page_port = port;
        s->page_is_tls = is_tls;
    }
    return note_own_port(s, fd, msg);
}

static enum err set_advertise(struct server *s, struct errmsg *msg)
{
    struct authority a;
    if (!*s->conf->listen.advertise)
        return ERR_OK;
    if (authority_parse(slice_of(s->conf->listen.advertise), 3128, &a) != ERR_OK)
        return err_set(msg, ERR_CONFIG, "listen.advertise: %s is no host:port",
                       s->conf->listen.advertise);
    memcpy(s->page_host, a.host, a.host_len + 1);
    s->page_port = a.port;
    add_self(s, a.host, a.port);
    return ERR_OK;
}

static enum err bind_list(struct server *s, const struct conf_list *list, bool is_tls,
                          struct errmsg *msg)
{
    for (size_t i = 0; i < list->n; i++) {
        for (uint32_t k = 0; k < s->worker_count; k++) {
            struct worker *w = s->workers[k];
            if (w->fd_count == LISTENERS_MAX)
                return err_set(msg, ERR_CONFIG, "listen: more than %u addresses", LISTENERS_MAX);
            int fd;
            enum err e = listener_bind(list->v[i], true, &fd, msg);
            if (e != ERR_OK)
                return e;
            w->fds[w->fd_count] = fd;
            w->fd_is_tls[w->fd_count++] = is_tls;
            if (k == 0 && (e = note_listener(s, fd, is_tls, msg)) != ERR_OK)
                return e;
        }
    }
    return ERR_OK;
}

/* All ports are taken before any thread runs, so that a taken one ends the start. */
static enum err bind_all(struct server *s, struct errmsg *msg)
{
    enum err e = set_advertise(s, msg);
    if (e == ERR_OK)
        e = bind_list(s, &s->conf->listen.proxy, false, msg);
    if (e == ERR_OK)
        e = bind_list(s, &s->conf->listen.proxy_tls, true, msg);
    s->admin_fd = -1;
    if (e == ERR_OK && *s->conf->listen.admin)
        e = listener_bind(s->conf->listen.admin, false, &s->admin_fd, msg);
    return e == ERR_OK && s->admin_fd >= 0 ? note_own_port(s, s->admin_fd, msg) : e;
}

static enum err make_workers(struct server *s, struct errmsg *msg)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t n = s->conf->run.workers ? s->conf->run.workers : cores;
    s->worker_count = 0;
    for (int64_t i = 0; i < n && i < (int64_t)WORKERS_MAX; i++) {
        struct worker *w = mem_calloc(1, sizeof *w);
        if (!w)
            return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
        w->server = s;
        w->index = s->worker_count;
        s->workers[s->worker_count++] = w;
    }
    return ERR_OK;
}

static enum err start_workers(struct server *s, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < s->worker_count && e == ERR_OK; i++) {
        s->workers[i]->told = s->snapshot;
        e = worker_prepare(s->workers[i], msg);
    }
    for (uint32_t i = 0; i < s->worker_count && e == ERR_OK; i++)
        e = worker_start(s->workers[i], msg);
    return e;
}

/* ---- while it runs ---- */

/* Reads what was committed since. Busy is no failure: it is asked again in a moment. */
static enum err read_edits(struct server *s, int64_t version, struct errmsg *msg)
{
    int64_t generation = 0;
    enum err e = store_check_schema(s->store, msg);
    if (e == ERR_OK)
        e = store_generation(s->store, &generation, msg);
    bool is_new = e == ERR_OK && (generation != s->snapshot->generation || s->is_other_store);
    if (is_new)
        e = load_snapshot(s, msg);
    if (e != ERR_OK)
        return e == ERR_BUSY ? ERR_OK : e;
    s->data_version = version;
    if (is_new) {
        s->is_other_store = false;
        broker_set_snapshot(s->broker, s->snapshot);
        LOG(LOG_INFO, "snapshot", KV_I("generation", s->snapshot->generation),
            KV_U("accounts", s->snapshot->account_count),
            KV_U("clients", s->snapshot->client_count));
    }
    e = pins_follow(s, msg);
    if (e != ERR_OK)
        s->data_version = -1; /* asked again */
    return e == ERR_BUSY ? ERR_OK : e;
}

static enum err look_at_store(struct server *s, struct errmsg *msg)
{
    const struct store *before = s->store;
    int64_t version = 0;
    enum err e = store_follow(&s->store, msg);
    if (s->store != before) {
        s->data_version = -1; /* each connection counts on its own */
        s->is_other_store = true;
        s->pins_seen.changes = -1;
    }
    if (e == ERR_OK)
        e = store_data_version(s->store, &version, msg);
    uint64_t again_ms = s->pins_seen.again_ms;
    bool is_due = version != s->data_version || (again_ms && again_ms <= clock_mono_ms());
    return e == ERR_OK && is_due ? read_edits(s, version, msg) : e;
}

/* Whatever is wrong with the store is said when it begins and when it ends; the snapshot serves on.
 */
static void follow_store(struct server *s)
{
    struct errmsg msg = {0};
    bool was_ok = s->store_ok;
    enum err e = look_at_store(s, &msg);
    s->store_ok = e == ERR_OK;
    if (was_ok && !s->store_ok)
        LOG(LOG_ERROR, "store_unusable", KV_Z("error", *msg.text ? msg.text : err_str(e)));
    else if (!was_ok && s->store_ok)
        LOG(LOG_INFO, "store_recovered", KV_I("generation", s->snapshot->generation));
}

static void tell_node(struct server *s, struct slice state);

/* Who does not have the newest snapshot gets it; without memory, in a moment. */
static void tell_workers(struct server *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct worker *w = s->workers[i];
        if (w->told != s->snapshot && worker_post_snapshot(w, s->snapshot))
            w->told = s->snapshot;
    }
}

/* Before the workers learn of a snapshot. Without memory it is tried again in a moment. */
static void follow_feed(struct server *s)
{
    (void)!window_follow(s->window, s->snapshot, s->health, s->loop->now_ms / 1000u,
                         clock_wall_ms());
    trust_count(s->trust, SUM(s, counters.tls_swaps), SUM(s, counters.tls_distrusts),
                clock_wall_s());
}

static void on_poll(struct deadline *d)
{
    static uint64_t tickets_at_ms;
    struct server *s = container_of(d, struct server, poll);
    uint64_t now = s->loop->now_ms;
    follow_store(s);
    follow_feed(s);
    tell_workers(s);
    if (tickets_at_ms == 0)
        tickets_at_ms = now + TICKET_MS;
    if (now >= tickets_at_ms) {
        leaf_cache_rotate_tickets(s->leaves);
        tickets_at_ms = now + TICKET_MS;
    }
    if (now >= s->node_told_ms + NODE_MS && atomic_load(&s->state) == SERVER_RUNNING)
        tell_node(s, SLICE("running"));
    heap_follow(&s->crowd, atomic_load(&s->connections), now);
    notify_supervisor("WATCHDOG=1");
    log_flush();
    deadline_set(&s->loop->wheel, d, now + POLL_MS);
}

/* ---- the row of this node ---- */

struct node_job {
    struct node node;
    char name[128], address[HOST_MAX + 16];
};

static enum err write_node(struct store *s, void *arg)
{
    struct node_job *j = arg;
    j->node.name = slice_of(j->name);
    j->node.address = slice_of(j->address);
    return node_put(s, &j->node, NULL);
}

static void tell_node(struct server *s, struct slice state)
{
    struct node_job *j = mem_calloc(1, sizeof *j);
    if (!j)
        return;
    if (gethostname(j->name, sizeof j->name - 1) != 0 || !*j->name)
        snprintf(j->name, sizeof j->name, "localhost");
    snprintf(j->address, sizeof j->address, "%s:%u", s->page_host, s->page_port);
    j->node = (struct node){.pid = getpid(),
                            .version = SLICE(CREDSWAP_VERSION),
                            .state = state,
                            .started_at = s->started_at,
                            .seen_at = clock_wall_s(),
                            .generation = s->snapshot->generation};
    s->node_told_ms = s->loop->now_ms;
    writer_post(s->writer, (struct writer_job){write_node, mem_free, j, false});
}

static void end_loop(struct server *s)
{
    event_base_loopbreak(s->loop->base);
}

static void on_drain_check(struct deadline *d)
{
    struct server *s = container_of(d, struct server, drain_check);
    uint64_t now = s->loop->now_ms;
    if (atomic_load(&s->connections) == 0 || now >= s->drain_until_ms) {
        end_loop(s);
        return;
    }
    deadline_set(&s->loop->wheel, d, now + 100u);
}

static void on_term(evutil_socket_t sig, short what, void *arg)
{
    (void)sig;
    (void)what;
    struct server *s = arg;
    if (atomic_load(&s->state) == SERVER_DRAINING) {
        LOG(LOG_WARN, "stop_now", KV_I("pid", getpid()));
        end_loop(s);
        return;
    }
    atomic_store(&s->state, SERVER_DRAINING);
    LOG(LOG_INFO, "draining", KV_I("drain_timeout_s", s->conf->run.drain_timeout));
    notify_supervisor("STOPPING=1");
    tell_node(s, SLICE("draining"));
    for (uint32_t i = 0; i < s->worker_count; i++)
        worker_post_drain(s->workers[i]);
    uint64_t now = loop_now(s->loop);
    s->drain_until_ms = now + (uint64_t)s->conf->run.drain_timeout * 1000u;
    deadline_set(&s->loop->wheel, &s->drain_check, now + 100u);
}

static enum err take_conf(struct server *s, struct conf *c, struct policy *p)
{
    struct letter *letters[WORKERS_MAX] = {NULL};
    struct former *f = mem_alloc(sizeof *f);
    bool ok = f != NULL;
    for (uint32_t i = 0; i < s->worker_count && ok; i++)
        ok = (letters[i] = worker_conf_letter(s->workers[i], c, p)) != NULL;
    if (!ok) { /* all of them or none */
        for (uint32_t i = 0; i < s->worker_count; i++)
            worker_letter_drop(letters[i]);
        mem_free(f);
        return ERR_NOMEM;
    }
    *f = (struct former){s->formers, s->conf, s->policy};
    s->formers = f;
    s->conf = c;
    s->policy = p;
    log_set(c->log.level, c->log.format);
    for (uint32_t i = 0; i < s->worker_count; i++)
        mailbox_post(s->workers[i]->box, letters[i]);
    return ERR_OK;
}

static enum err reload(struct server *s, struct errmsg *msg)
{
    struct conf *c = NULL;
    struct policy *p = NULL;
    enum err e = conf_load(s->conf_path, &c, msg);
    if (e == ERR_OK)
        e = policy_create(c, &p, msg);
    for (uint32_t i = 0; e == ERR_OK && i < s->listen_count; i++)
        e = policy_add_self(p, (struct sockaddr *)&s->listen[i]);
    if (e == ERR_OK)
        e = take_conf(s, c, p);
    if (e != ERR_OK) {
        policy_destroy(p);
        conf_destroy(c);
    }
    return e;
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
    (void)sig;
    (void)what;
    struct server *s = arg;
    struct errmsg msg = {0};
    notify_supervisor("RELOADING=1");
    enum err e = reload(s, &msg);
    if (e != ERR_OK)
        LOG(LOG_ERROR, "reload_failed", KV_Z("error", *msg.text ? msg.text : err_str(e)));
    else
        LOG(LOG_INFO, "reloaded", KV_I("pid", getpid()));
    log_reopen();
    notify_supervisor("READY=1");
}

static void on_usr1(evutil_socket_t sig, short what, void *arg)
{
    (void)sig;
    (void)what;
    (void)arg;
    log_flush();
    log_reopen();
}

static enum err catch_signals(struct server *s, struct errmsg *msg)
{
    static const struct {
        int sig;
        event_callback_fn fn;
    } table[] = {{SIGTERM, on_term}, {SIGINT, on_term}, {SIGHUP, on_hup}, {SIGUSR1, on_usr1}};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        s->signals[i] = evsignal_new(s->loop->base, table[i].sig, table[i].fn, s);
        if (!s->signals[i] || event_add(s->signals[i], NULL) != 0)
            return err_set(msg, ERR_NOMEM, "signals cannot be caught");
    }
    return ERR_OK;
}

/* ---- the whole ---- */

/* What the console's live figures come from. */
static enum err make_feed(struct server *s)
{
    enum err e = trust_create(&s->trust);
    if (e == ERR_OK)
        e = health_create(&s->health);
    if (e == ERR_OK)
        e = window_create(&s->window);
    if (e != ERR_OK)
        return e;
    cooldowns_merge(s->health, s->snapshot);
    return window_follow(s->window, s->snapshot, s->health, clock_mono_ms() / 1000u,
                         clock_wall_ms());
}

static enum err open_all(struct server *s, struct errmsg *msg)
{
    enum err e = policy_create(s->conf, &s->policy, msg);
    if (e == ERR_OK)
        e = load_master_key(s->conf, &s->key, msg);
    if (e == ERR_OK)
        e = open_store(s, msg);
    if (e == ERR_OK)
        e = check_master_key(s, msg);
    if (e == ERR_OK)
        e = make_workers(s, msg);
    if (e == ERR_OK)
        e = bind_all(s, msg); /* before the keeper, which must know our own name */
    if (e == ERR_OK)
        e = open_keeper(s, msg);
    if (e == ERR_OK)
        e = load_snapshot(s, msg);
    if (e == ERR_OK)
        e = pins_create(&s->pins);
    if (e == ERR_OK)
        e = pins_follow(s, msg);
    if (e == ERR_OK)
        e = limits_create(&s->limits);
    if (e == ERR_OK)
        e = make_feed(s);
    if (e != ERR_OK && !*msg->text)
        err_set(msg, e, "%s", err_str(e));
    return e;
}

static enum err start_threads(struct server *s, struct errmsg *msg)
{
    enum err e = log_thread_start();
    if (e == ERR_OK)
        e = writer_start(s->conf->store_path, s->key, &s->writer, msg);
    struct broker_conf b = {.conf = s->conf,
                            .store_path = s->conf->store_path,
                            .key = s->key,
                            .keeper = s->keeper,
                            .writer = s->writer};
    if (e == ERR_OK)
        e = broker_start(&b, &s->broker, msg);
    if (e == ERR_OK) {
        broker_set_snapshot(s->broker, s->snapshot);
        e = start_workers(s, msg);
    }
    return e;
}

static enum err start_main(struct server *s, struct errmsg *msg)
{
    enum err e = loop_create(&s->loop);
    if (e == ERR_OK)
        e = mailbox_create(s->loop->base, &s->box);
    if (e == ERR_OK)
        e = catch_signals(s, msg);
    return e;
}

static void close_all(struct server *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++)
        if (s->workers[i]->is_started)
            worker_post_stop(s->workers[i]);
    for (uint32_t i = 0; i < s->worker_count; i++)
        if (s->workers[i]->is_started)
            pthread_join(s->workers[i]->thread, NULL);
    broker_stop(s->broker); /* answers who still waits, by letters to boxes that still stand */
    for (uint32_t i = 0; i < s->worker_count; i++) {
        s->workers[i]->is_started = false;
        worker_join(s->workers[i]);
    }
    if (s->loop) {
        admin_stop(s);
        control_stop(s);
        mailbox_destroy(s->box); /* the workers' last figures go to the writer */
    }
    writer_stop(s->writer);
    leaf_cache_destroy(s->leaves);
    keeper_destroy(s->keeper);
    snapshot_unref(&s->snapshot);
    store_close(s->store);
    if (s->lock_fd >= 0)
        store_unlock_daemon(s->lock_fd);
    master_key_unref(&s->key);
    policy_destroy(s->policy);
    limits_destroy(s->limits);
    trust_destroy(s->trust);
    window_destroy(s->window);
    health_destroy(s->health);
    pins_destroy(s->pins);
    for (size_t i = 0; i < ARRAY_LEN(s->signals); i++)
        if (s->signals[i])
            event_free(s->signals[i]);
    loop_destroy(s->loop);
    mem_free(s->accounts);
    while (s->formers) {
        struct former *f = s->formers;
        s->formers = f->next;
        policy_destroy(f->policy);
        conf_destroy(f->conf);
        mem_free(f);
    }
    arena_thread_finish();
    log_thread_stop();
    conf_destroy(s->conf);
    mem_free(s);
}

static struct server *server_create(struct conf *c, const char *conf_path)
{
    struct server *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->conf = c;
    s->conf_path = conf_path;
    s->lock_fd = -1;
    s->admin_fd = -1;
    s->store_ok = true;
    s->started_at = clock_wall_s();
    list_init(&s->admin_conns);
    list_init(&s->control_conns);
    s->poll.fire = on_poll;
    s->drain_check.fire = on_drain_check;
    return s;
}

enum err server_check(const struct conf *c, struct errmsg *msg)
{
    struct policy *p = NULL;
    enum err e = policy_create(c, &p, msg);
    policy_destroy(p);
    return e;
}

enum err server_run(struct conf *c, const char *conf_path, struct errmsg *msg)
{
    harden_process();
    raise_descriptor_limit();
    tune_heap();
    enum err e = log_open(c->log.file, c->log.level, c->log.format, msg);
    struct server *s = e == ERR_OK ? server_create(c, conf_path) : NULL;
    if (!s) {
        conf_destroy(c);
        return e != ERR_OK ? e : err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    }
    e = open_all(s, msg);
    if (e == ERR_OK)
        e = start_main(s, msg);
    if (e == ERR_OK)
        e = start_threads(s, msg);
    if (e == ERR_OK) {
        struct usage_filter today = {.since = clock_wall_s() / 86400 * 86400};
        (void)!usage_list(s->store, USAGE_BY_CLIENT, &today, load_today, s, NULL);
        e = admin_start(s, msg);
    }
    if (e == ERR_OK)
        e = control_start(s, msg);
    if (e == ERR_OK) {
        atomic_store(&s->state, SERVER_RUNNING);
        deadline_set(&s->loop->wheel, &s->poll, s->loop->now_ms + POLL_MS);
        LOG(LOG_INFO, "started", KV_Z("version", CREDSWAP_VERSION),
            KV_U("workers", s->worker_count), KV_Z("listen", s->page_host),
            KV_U("port", s->page_port));
        log_flush();
        notify_supervisor("READY=1");
        tell_node(s, SLICE("running"));
        event_base_loop(s->loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
        tell_node(s, SLICE("stopped"));
        LOG(LOG_INFO, "stopped", KV_I("pid", getpid()));
    }
    close_all(s);
    return e;
}
