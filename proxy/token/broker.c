/* The broker's thread: letters in, letters out, one loop with libcurl in it. */
#include "base/arena.h"
#include "base/crypto_heap.h"
#include "base/log.h"
#include "base/seal.h"
#include "keys/keeper.h"
#include "token/broker_internal.h"

#include <event2/event.h>
#include <signal.h>

/* ---- letters ---- */

void broker_on_wait(struct letter *l)
{
    struct token_wait *w = container_of(l, struct token_wait, letter);
    cell_ask(w->broker, w);
}

void broker_on_note(struct letter *l)
{
    struct token_note *n = container_of(l, struct token_note, letter);
    if (n->is_refused)
        cell_refuse(n->broker, n->account_id, n->token);
    else
        cell_renew(n->broker, n->account_id, n->token);
    token_unref(&n->token);
    mem_free(n);
}

struct snapshot_letter {
    struct letter letter;
    struct broker *broker;
    struct snapshot *snapshot;
};

static void on_snapshot(struct letter *l)
{
    struct snapshot_letter *s = container_of(l, struct snapshot_letter, letter);
    struct broker *b = s->broker;
    snapshot_unref(&b->snapshot);
    b->snapshot = s->snapshot;
    mem_free(s);
    cells_sync(b);
    log_flush();
}

void broker_set_snapshot(struct broker *b, struct snapshot *s)
{
    struct snapshot_letter *l = mem_calloc(1, sizeof *l);
    if (!l)
        return; /* the next one will come */
    l->letter.deliver = on_snapshot;
    l->broker = b;
    l->snapshot = snapshot_ref(s);
    mailbox_post(b->mailbox, &l->letter);
}

enum err broker_refresh(struct broker *b, int64_t account_id, struct mailbox *m, token_cb cb,
                        void *arg)
{
    struct token_wait *w = wait_new(account_id, SLICE(""));
    if (!w)
        return ERR_NOMEM;
    w->letter.deliver = broker_on_wait;
    w->broker = b;
    w->mailbox = m;
    w->is_forced = true;
    w->cb = cb;
    w->arg = arg;
    mailbox_post(b->mailbox, &w->letter);
    return ERR_OK;
}

struct forget_letter {
    struct letter letter;
    struct broker *broker;
    int64_t account_id;
};

static void on_forget(struct letter *l)
{
    struct forget_letter *f = container_of(l, struct forget_letter, letter);
    cell_drop(f->broker, f->account_id);
    mem_free(f);
}

enum err broker_forget(struct broker *b, int64_t account_id)
{
    struct forget_letter *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->letter.deliver = on_forget;
    l->broker = b;
    l->account_id = account_id;
    mailbox_post(b->mailbox, &l->letter);
    return ERR_OK;
}

/* ---- ports ---- */

enum err broker_join(struct broker *b, struct mailbox *worker, struct token_cache *cache,
                     struct port **ret)
{
    struct port *p = mem_calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    atomic_init(&p->refs, 2); /* the cache's and the list's */
    pthread_mutex_init(&p->lock, NULL);
    p->worker = worker;
    p->broker = b->mailbox;
    p->cache = cache;
    pthread_mutex_lock(&b->ports_lock);
    list_add_last(&b->ports, &p->link);
    pthread_mutex_unlock(&b->ports_lock);
    *ret = p;
    return ERR_OK;
}

static void push_one(struct port *p, int64_t account_id, struct token *t, struct token *drop)
{
    struct token_push *l = mem_calloc(1, sizeof *l);
    if (!l)
        return; /* that worker asks when its token ends */
    l->letter.deliver = push_deliver;
    l->port = port_ref(p);
    l->account_id = account_id;
    l->token = t ? token_ref(t) : NULL;
    l->drop = drop ? token_ref(drop) : NULL;
    if (port_post_worker(p, &l->letter))
        return;
    token_unref(&l->token);
    token_unref(&l->drop);
    port_unref(&l->port);
    mem_free(l);
}

void broker_push(struct broker *b, int64_t account_id, struct token *t, struct token *drop)
{
    pthread_mutex_lock(&b->ports_lock);
    for (struct list *i = b->ports.next, *next; i != &b->ports; i = next) {
        struct port *p = container_of(i, struct port, link);
        next = i->next;
        push_one(p, account_id, t, drop);
    }
    pthread_mutex_unlock(&b->ports_lock);
}

/* No letters from workers any more; with UNLINK the list lets go of the ports too. */
static void close_ports(struct broker *b, bool unlink)
{
    pthread_mutex_lock(&b->ports_lock);
    for (struct list *i = b->ports.next, *next; i != &b->ports; i = next) {
        struct port *p = container_of(i, struct port, link);
        next = i->next;
        pthread_mutex_lock(&p->lock);
        p->broker = NULL;
        pthread_mutex_unlock(&p->lock);
        if (unlink) {
            list_remove(&p->link);
            port_unref(&p);
        }
    }
    pthread_mutex_unlock(&b->ports_lock);
}

/* ---- start, stop ---- */

static void *run(void *arg)
{
    struct broker *b = arg;
    event_base_loop(b->base, EVLOOP_NO_EXIT_ON_EMPTY);
    log_flush();
    arena_thread_finish(); /* snapshots that ended here */
    crypto_heap_forget();
    return NULL;
}

static void broker_free(struct broker *b)
{
    mailbox_destroy(b->mailbox);
    oauth2_destroy(b->oauth2);
    if (b->base)
        event_base_free(b->base);
    store_close(b->store);
    snapshot_unref(&b->snapshot);
    master_key_unref(&b->key);
    pthread_mutex_destroy(&b->ports_lock);
    mem_free(b->store_path);
    mem_free(b);
}

static enum err start_thread(struct broker *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are main's */
    int rc = pthread_create(&b->thread, NULL, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(b->thread, "broker");
    return rc == 0 ? ERR_OK : ERR_LIMIT;
}

enum err broker_start(const struct broker_conf *c, struct broker **ret, struct errmsg *msg)
{
    struct broker *b = mem_calloc(1, sizeof *b);
    if (!b)
        return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    pthread_mutex_init(&b->ports_lock, NULL);
    list_init(&b->ports);
    list_init(&b->queue);
    b->conf = c->conf;
    b->key = master_key_ref(c->key);
    b->keeper = c->keeper;
    b->writer = c->writer;
    b->store_path = mem_dup(c->store_path);
    b->base = event_base_new();
    enum err e = b->store_path && b->base ? mailbox_create(b->base, &b->mailbox) : ERR_NOMEM;
    if (e == ERR_OK)
        e = oauth2_create(b->base, b->conf, &b->oauth2);
    if (e == ERR_OK) { /* now, so that a store that goes away later is still ours to read */
        (void)!store_open(b->store_path, STORE_READ_ONLY, &b->store, NULL);
        e = start_thread(b);
    }
    if (e != ERR_OK) {
        broker_free(b);
        return err_set(msg, e, "the token broker cannot start: %s", err_str(e));
    }
    *ret = b;
    return ERR_OK;
}

struct stop_letter {
    struct letter letter;
    struct broker *broker;
};

/* Everything posted before it has been heard: those who wait get their answer. */
static void on_stop(struct letter *l)
{
    struct stop_letter *s = container_of(l, struct stop_letter, letter);
    cells_destroy(s->broker);
    event_base_loopbreak(s->broker->base);
}

void broker_stop(struct broker *b)
{
    if (!b)
        return;
    struct stop_letter stop = {.letter.deliver = on_stop, .broker = b};
    close_ports(b, false);
    mailbox_post(b->mailbox, &stop.letter);
    pthread_join(b->thread, NULL);
    close_ports(b, true);
    broker_free(b);
}

void broker_stats(struct broker *b, struct broker_stats *ret)
{
    int64_t skew = atomic_load(&b->stats.skew_s);
    *ret = (struct broker_stats){
        .mints = atomic_load(&b->stats.mints),
        .mint_failures = atomic_load(&b->stats.mint_failures),
        .from_store = atomic_load(&b->stats.from_store),
        .waits = atomic_load(&b->stats.waits),
        .in_flight = atomic_load(&b->stats.in_flight),
        .mint_ms_sum = atomic_load(&b->stats.mint_ms_sum),
        .last_skew_s_abs = (uint64_t)(skew < 0 ? -skew : skew),
        .skew_s = skew,
    };
}
