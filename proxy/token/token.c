/* Tokens as shared values, and the ports and letters by which threads hand them around. */
#include "token/token.h"

#include "base/mem.h"
#include "base/seal.h"
#include "token/token_internal.h"

/* ---- tokens ---- */

/* A renewal comes early_refresh before the end, a little sooner or later so that accounts spread
 * out; a token of short life is used for half of it at least, or renewals would chase each other.
 */
static int64_t soft_moment(int64_t expires_at, int64_t life_s, int64_t early_s)
{
    int64_t early = early_s < life_s / 2 ? early_s : life_s / 2;
    int64_t spread = early / 4 < SOFT_JITTER_S ? early / 4 : SOFT_JITTER_S;
    uint32_t r;
    random_bytes(&r, sizeof r);
    return expires_at - early + (spread ? (int64_t)(r % (uint64_t)(2 * spread + 1)) - spread : 0);
}

struct token *token_new(struct secret *bytes, int64_t expires_at, int64_t life_s,
                        int64_t early_refresh_s)
{
    struct token *t = bytes ? mem_calloc(1, sizeof *t) : NULL;
    if (!t) {
        secret_unref(&bytes);
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->expires_at = expires_at;
    t->minted_at = expires_at - life_s;
    t->soft_at = soft_moment(expires_at, life_s, early_refresh_s);
    t->bytes = bytes;
    return t;
}

struct token *token_ref(struct token *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void token_unref(struct token **t)
{
    struct token *old = *t;
    *t = NULL;
    if (!old || atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) != 1)
        return;
    secret_unref(&old->bytes);
    mem_free(old);
}

struct slice token_bytes(const struct token *t)
{
    return secret_bytes(t->bytes);
}

void token_accepted(struct token *t)
{
    if (!atomic_load_explicit(&t->has_served, memory_order_relaxed)) /* keeps the line shared */
        atomic_store_explicit(&t->has_served, true, memory_order_relaxed);
}

int64_t token_expires_at(const struct token *t)
{
    return t->expires_at;
}

bool token_is_usable(const struct token *t, int64_t now_s)
{
    return t && t->expires_at - now_s > HARD_STOP_S;
}

bool token_same(const struct token *a, const struct token *b)
{
    return a && b && (a == b || secret_eq(a->bytes, secret_bytes(b->bytes)));
}

/* ---- ports ---- */

struct port *port_ref(struct port *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void port_unref(struct port **p)
{
    struct port *old = *p;
    *p = NULL;
    if (!old || atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&old->lock);
    mem_free(old);
}

bool port_post_worker(struct port *p, struct letter *l)
{
    pthread_mutex_lock(&p->lock);
    bool is_open = p->worker != NULL;
    if (is_open)
        mailbox_post(p->worker, l);
    pthread_mutex_unlock(&p->lock);
    return is_open;
}

bool port_post_broker(struct port *p, struct letter *l)
{
    pthread_mutex_lock(&p->lock);
    bool is_open = p->broker != NULL;
    if (is_open)
        mailbox_post(p->broker, l);
    pthread_mutex_unlock(&p->lock);
    return is_open;
}

/* ---- waits ---- */

struct token_wait *wait_new(int64_t account_id, struct slice name)
{
    struct token_wait *w = mem_calloc(1, sizeof *w + name.n + 1);
    if (!w)
        return NULL;
    char *text = (char *)(w + 1);
    if (name.n)
        memcpy(text, name.p, name.n);
    w->account_id = account_id;
    w->name = slice_make(text, name.n);
    return w;
}

void wait_destroy(struct token_wait *w)
{
    token_unref(&w->token);
    port_unref(&w->port);
    mem_free(w);
}

void wait_deliver_answer(struct letter *l)
{
    struct token_wait *w = container_of(l, struct token_wait, letter);
    list_remove(&w->cache_link);
    if (!w->is_cancelled)
        w->cb(w->arg, w->token, w->token ? NULL : &w->failure);
    wait_destroy(w);
}
