/* The worker's side: a table of tokens that a request looks into without lock or call, and the door
 * to the broker when there is none. */
#include "base/clock.h"
#include "base/mem.h"
#include "token/token_internal.h"

#define SLOTS_MIN 64

struct slot {
    int64_t id; /* 0: free; never freed again, accounts are few */
    struct token *token;
    struct token *before; /* somebody may have borrowed it in this turn of the loop */
    int64_t ask_at;       /* Unix s: when a renewal may be asked for */
};

struct token_cache {
    struct port *port;
    struct broker *broker;
    struct slot *slots;
    size_t size, used; /* size is a power of two, at most half is used */
    struct list waits;
    uint64_t hits;
};

/* ---- the table ---- */

static struct slot *probe(struct slot *slots, size_t size, int64_t id)
{
    size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 32) & (size - 1);
    while (slots[at].id != 0 && slots[at].id != id)
        at = (at + 1) & (size - 1);
    return &slots[at];
}

static bool grow(struct token_cache *c)
{
    size_t size = c->size * 2;
    struct slot *slots = mem_calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < c->size; i++)
        if (c->slots[i].id)
            *probe(slots, size, c->slots[i].id) = c->slots[i];
    mem_free(c->slots);
    c->slots = slots;
    c->size = size;
    return true;
}

static struct slot *slot_for(struct token_cache *c, int64_t id)
{
    struct slot *s = probe(c->slots, c->size, id);
    if (s->id == id)
        return s;
    if (2 * (c->used + 1) > c->size) {
        if (!grow(c))
            return NULL;
        s = probe(c->slots, c->size, id);
    }
    c->used++;
    s->id = id;
    return s;
}

static void slot_set(struct slot *s, struct token *t)
{
    token_unref(&s->before);
    s->before = s->token;
    s->token = t ? token_ref(t) : NULL;
    s->ask_at = t ? t->soft_at : 0;
}

/* ---- create, destroy ---- */

enum err token_cache_create(struct broker *b, struct mailbox *worker_mailbox,
                            struct token_cache **ret)
{
    struct token_cache *c = mem_calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    list_init(&c->waits);
    c->broker = b;
    c->size = SLOTS_MIN;
    c->slots = mem_calloc(c->size, sizeof *c->slots);
    enum err e = c->slots ? broker_join(b, worker_mailbox, c, &c->port) : ERR_NOMEM;
    if (e != ERR_OK) {
        mem_free(c->slots);
        mem_free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

void token_cache_destroy(struct token_cache *c)
{
    if (!c)
        return;
    /* First the waits, then the port: the broker frees letters that find it closed. Those under way
     * free themselves on arrival. */
    while (!list_empty(&c->waits)) {
        struct token_wait *w = container_of(c->waits.next, struct token_wait, cache_link);
        list_remove(&w->cache_link);
        token_wait_cancel(w);
    }
    pthread_mutex_lock(&c->port->lock);
    c->port->worker = NULL;
    pthread_mutex_unlock(&c->port->lock);
    c->port->cache = NULL;
    for (size_t i = 0; i < c->size; i++) {
        token_unref(&c->slots[i].token);
        token_unref(&c->slots[i].before);
    }
    port_unref(&c->port);
    mem_free(c->slots);
    mem_free(c);
}

/* ---- verbs ---- */

static bool post_note(struct token_cache *c, int64_t account_id, struct token *t, bool is_refused)
{
    struct token_note *n = mem_calloc(1, sizeof *n);
    if (!n)
        return false;
    n->letter.deliver = broker_on_note;
    n->broker = c->broker;
    n->is_refused = is_refused;
    n->account_id = account_id;
    n->token = token_ref(t);
    if (port_post_broker(c->port, &n->letter))
        return true;
    token_unref(&n->token);
    mem_free(n);
    return false;
}

struct token *token_peek(struct token_cache *c, const struct snap_account *a)
{
    struct slot *s = probe(c->slots, c->size, a->id);
    int64_t now = clock_wall_s();
    if (!token_is_usable(s->token, now))
        return NULL;
    c->hits++;
    if (now >= s->ask_at) {
        s->ask_at = now + ASK_AGAIN_S;
        post_note(c, a->id, s->token, false);
    }
    return s->token;
}

uint64_t token_cache_hits(const struct token_cache *c)
{
    return c->hits;
}

size_t token_cache_count(const struct token_cache *c)
{
    return c->used;
}

void token_cache_each(const struct token_cache *c, int64_t now,
                      void (*cb)(void *arg, int64_t account_id), void *arg)
{
    for (size_t i = 0; i < c->size; i++)
        if (c->slots[i].id && token_is_usable(c->slots[i].token, now))
            cb(arg, c->slots[i].id);
}

enum err token_fetch(struct token_cache *c, const struct snap_account *a, token_cb cb, void *arg,
                     struct token_wait **ret_wait)
{
    if (a->kind != ACCOUNT_SERVICE)
        return ERR_INVALID;
    struct token_wait *w = wait_new(a->id, a->name);
    if (!w)
        return ERR_NOMEM;
    w->letter.deliver = broker_on_wait;
    w->broker = c->broker;
    w->port = port_ref(c->port);
    w->cb = cb;
    w->arg = arg;
    list_add_last(&c->waits, &w->cache_link);
    *ret_wait = w;
    if (port_post_broker(c->port, &w->letter))
        return ERR_OK;
    *ret_wait = NULL;
    list_remove(&w->cache_link);
    wait_destroy(w);
    return ERR_DRAINING;
}

void token_wait_cancel(struct token_wait *w)
{
    if (!w)
        return;
    w->is_cancelled = true;
    w->cb = NULL;
    w->arg = NULL;
}

void token_invalidate(struct token_cache *c, const struct snap_account *a, struct token *t)
{
    struct slot *s = probe(c->slots, c->size, a->id);
    if (token_same(s->token, t))
        slot_set(s, NULL);
    post_note(c, a->id, t, true);
}

void push_deliver(struct letter *l)
{
    struct token_push *p = container_of(l, struct token_push, letter);
    struct token_cache *c = p->port->cache;
    struct slot *s = c ? slot_for(c, p->account_id) : NULL;
    if (s && p->token)
        slot_set(s, p->token);
    else if (s && (!p->drop || token_same(s->token, p->drop)))
        slot_set(s, NULL);
    token_unref(&p->token);
    token_unref(&p->drop);
    port_unref(&p->port);
    mem_free(p);
}
