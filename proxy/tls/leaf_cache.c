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
    int64_t renew_at;
};

struct leaf_cache {
    struct keeper *keeper;
    EVP_PKEY *key;
    pthread_mutex_t lock; /* guards leaves and tickets */
    struct lru *leaves;
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

static enum err mint(struct leaf_cache *c, struct slice host, struct leaf **ret)
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
    *ret = l;
    return lru_put(c->leaves, host, l);
}

enum err leaf_get_until(struct leaf_cache *c, struct slice host, X509 **ret, int64_t *ret_renew_at)
{
    int64_t now = clock_wall_s();
    enum err e = ERR_OK;
    pthread_mutex_lock(&c->lock);
    struct leaf *l = lru_get(c->leaves, host);
    if (!l || now >= l->renew_at)
        e = mint(c, host, &l);
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
