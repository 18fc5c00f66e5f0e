/* Leaves for all workers: made by the keeper on first use, over one key. And the ticket keys, which
 * workers copy. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/seal.h"
#include "keys/keeper.h"
#include "tls/tls_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct leaf {
    X509 *x;
    int64_t renew_at, signed_at, expires_at; /* Unix s */
    uint64_t hits;                           /* also of those that it replaced */
};

struct leaf_cache {
    struct keeper *keeper;
    EVP_PKEY *key;
    pthread_mutex_t lock; /* guards leaves, their sums and tickets */
    struct lru *leaves;
    uint64_t hits, signed_count;
    struct ticket_keys tickets;
    atomic_uint_fast64_t version; /* of tickets */
};

static void leaf_free(void *p)
{
    struct leaf *l = p;
    X509_free(l->x);
    mem_free(l);
}

enum err leaf_cache_create(struct keeper *k, struct leaf_cache **ret, struct errmsg *msg)
{
    struct leaf_cache *c = mem_calloc(1, sizeof *c);
    if (!c)
        return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    pthread_mutex_init(&c->lock, NULL);
    c->keeper = k;
    c->key = EVP_EC_gen("P-256");
    if (!c->key || lru_create(LEAVES_MAX, leaf_free, &c->leaves) != ERR_OK) {
        leaf_cache_destroy(c);
        return err_set(msg, ERR_CRYPTO, "cannot make the key of the leaf certificates");
    }
    leaf_cache_rotate_tickets(c);
    *ret = c;
    return ERR_OK;
}

void leaf_cache_destroy(struct leaf_cache *c)
{
    if (!c)
        return;
    lru_destroy(c->leaves);
    EVP_PKEY_free(c->key);
    mem_wipe(&c->tickets, sizeof c->tickets);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

EVP_PKEY *leaf_cache_key(const struct leaf_cache *c)
{
    return c->key;
}

/* ---- leaves ---- */

static int64_t unix_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* With a third of its life left there is time for clients whose clock is ahead. */
static int64_t renewal(X509 *x)
{
    int64_t from = unix_of(X509_get0_notBefore(x)), to = unix_of(X509_get0_notAfter(x));
    return to - (to - from) / 3;
}

/* HITS: of the one before. */
static enum err mint(struct leaf_cache *c, struct slice host, uint64_t hits, struct leaf **ret)
{
    struct leaf *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    enum err e = keeper_sign_leaf(c->keeper, host, c->key, &l->x);
    if (e != ERR_OK) {
        mem_free(l);
        return e;
    }
    l->renew_at = renewal(l->x);
    l->signed_at = clock_wall_s();
    l->expires_at = unix_of(X509_get0_notAfter(l->x));
    l->hits = hits;
    c->signed_count++;
    *ret = l;
    return lru_put(c->leaves, host, l);
}

enum err leaf_get_until(struct leaf_cache *c, struct slice host, X509 **ret, int64_t *ret_renew_at)
{
    int64_t now = clock_wall_s();
    enum err e = ERR_OK;
    pthread_mutex_lock(&c->lock);
    struct leaf *l = lru_get(c->leaves, host);
    if (!l || now >= l->renew_at) {
        e = mint(c, host, l ? l->hits : 0, &l);
    } else {
        l->hits++;
        c->hits++;
    }
    if (e == ERR_OK) {
        X509_up_ref(l->x);
        *ret = l->x;
        /* A CA at its end gives leaves that are due at once: do not make one for each connection.
         */
        *ret_renew_at = l->renew_at > now ? l->renew_at : now + 60;
        l->renew_at = *ret_renew_at;
    }
    pthread_mutex_unlock(&c->lock);
    return e;
}

enum err leaf_get(struct leaf_cache *c, struct slice host, X509 **ret)
{
    int64_t renew_at;
    return leaf_get_until(c, host, ret, &renew_at);
}

void leaf_cache_add_hits(struct leaf_cache *c, struct slice host, uint64_t n)
{
    pthread_mutex_lock(&c->lock);
    struct leaf *l = lru_get(c->leaves, host);
    if (l)
        l->hits += n;
    c->hits += n;
    pthread_mutex_unlock(&c->lock);
}

struct looking {
    size_t left;
    leaf_facts_cb cb;
    void *arg;
};

static bool look_at(void *arg, struct slice host, void *value)
{
    struct looking *k = arg;
    const struct leaf *l = value;
    if (k->left == 0)
        return false;
    k->left--;
    k->cb(k->arg, &(struct leaf_facts){host, l->signed_at, l->expires_at, l->hits});
    return true;
}

void leaf_cache_look(struct leaf_cache *c, size_t limit, leaf_facts_cb cb, void *arg,
                     struct leaf_sums *ret)
{
    struct looking k = {limit, cb, arg};
    pthread_mutex_lock(&c->lock);
    *ret = (struct leaf_sums){lru_count(c->leaves), LEAVES_MAX, c->hits, c->signed_count};
    lru_each(c->leaves, look_at, &k);
    pthread_mutex_unlock(&c->lock);
}

/* ---- ticket keys ---- */

void leaf_cache_rotate_tickets(struct leaf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    c->tickets.before = c->tickets.now;
    random_bytes(&c->tickets.now, sizeof c->tickets.now);
    c->tickets.version++;
    atomic_store_explicit(&c->version, c->tickets.version, memory_order_release);
    pthread_mutex_unlock(&c->lock);
}

void leaf_cache_tickets(struct leaf_cache *c, struct ticket_keys *keys)
{
    if (atomic_load_explicit(&c->version, memory_order_acquire) == keys->version)
        return;
    pthread_mutex_lock(&c->lock);
    *keys = c->tickets;
    pthread_mutex_unlock(&c->lock);
}
