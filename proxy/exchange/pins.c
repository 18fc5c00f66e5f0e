/* A hash table with chains, a list from the oldest to the newest, another for each pool, and
 * counters by account that are read without the lock.
 *
 * A lock breaks the rule that threads share nothing that changes. A letter to each worker would not
 * do: the client gets the upload's address and may be at another worker before the letter is. */
#include "exchange/pins.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/seal.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>

#define BUCKETS 8192u
#define COUNTERS 256u /* some share one: a look too many */
#define AGAIN_MS 5000u
#define KEY_BYTES 16u

/* A pool that has entries. */
struct owner {
    struct owner *next;
    int64_t pool_id;
    size_t count;
    struct list oldest;
};

struct entry {
    struct entry *next;
    struct owner *owner;
    struct list age, owners_age;
    uint64_t hash;
    int64_t pool_id, account_id, expires_at;
    uint64_t
        stored_in; /* the sweep before or in which it was known to be in the store; 0: not yet */
    bool is_seen;
    struct slice name, domain; /* behind us */
};

struct pins {
    pthread_mutex_t lock;
    unsigned char key[KEY_BYTES]; /* random: chains cannot be aimed at */
    struct list oldest;
    struct owner *owners; /* a few */
    size_t count;
    uint64_t sweep; /* from 1 */
    atomic_int all, by_account[COUNTERS], by_pool[COUNTERS];
    struct entry *buckets[BUCKETS];
};

enum err pins_create(struct pins **ret)
{
    struct pins *p = mem_calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    random_bytes(p->key, sizeof p->key);
    list_init(&p->oldest);
    p->sweep = 1;
    *ret = p;
    return ERR_OK;
}

static size_t counter_of(int64_t id)
{
    return (size_t)((uint64_t)id % COUNTERS);
}

/* A relaxed store is enough: the lock is held, and readers want no more than a hint. */
static void count(struct pins *p, const struct entry *e, int by)
{
    p->count += (size_t)by;
    atomic_fetch_add_explicit(&p->all, by, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->by_account[counter_of(e->account_id)], by, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->by_pool[counter_of(e->pool_id)], by, memory_order_relaxed);
}

/* ---- the pools ---- */

static struct owner *owner_of(struct pins *p, int64_t pool_id)
{
    struct owner *o = p->owners;
    while (o && o->pool_id != pool_id)
        o = o->next;
    if (o)
        return o;
    o = mem_calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->pool_id = pool_id;
    list_init(&o->oldest);
    o->next = p->owners;
    p->owners = o;
    return o;
}

static void leave_owner(struct pins *p, struct entry *e)
{
    struct owner *o = e->owner, **at = &p->owners;
    list_remove(&e->owners_age);
    if (--o->count > 0)
        return;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    mem_free(o);
}

static struct owner *largest_owner(const struct pins *p)
{
    struct owner *most = p->owners;
    for (struct owner *o = most; o; o = o->next)
        if (o->count > most->count)
            most = o;
    return most;
}

/* ---- the table ---- */

static void unlink_entry(struct pins *p, struct entry **at)
{
    struct entry *e = *at;
    CHECK(e);
    *at = e->next;
    list_remove(&e->age);
    leave_owner(p, e);
    count(p, e, -1);
    mem_free(e);
}

void pins_destroy(struct pins *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (p->buckets[i])
            unlink_entry(p, &p->buckets[i]);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

static uint64_t hash_of(const struct pins *p, struct slice name)
{
    unsigned char text[KEY_BYTES + RESOURCE_MAX], sum[SHA256_DIGEST_LENGTH];
    uint64_t hash;
    size_t n = name.n < RESOURCE_MAX ? name.n : RESOURCE_MAX;
    memcpy(text, p->key, KEY_BYTES);
    memcpy(text + KEY_BYTES, name.p, n);
    SHA256(text, KEY_BYTES + n, sum);
    memcpy(&hash, sum, sizeof hash);
    return hash;
}

static struct entry **find(struct pins *p, uint64_t hash, int64_t pool_id, struct slice name)
{
    struct entry **at = &p->buckets[hash % BUCKETS];
    while (*at &&
           ((*at)->hash != hash || (*at)->pool_id != pool_id || !slice_eq((*at)->name, name)))
        at = &(*at)->next;
    return at;
}

/* By whichever pool. */
static bool is_known(const struct pins *p, uint64_t hash, struct slice name, int64_t now_s)
{
    for (const struct entry *e = p->buckets[hash % BUCKETS]; e; e = e->next)
        if (e->hash == hash && e->expires_at > now_s && slice_eq(e->name, name))
            return true;
    return false;
}

enum pin_status pins_find(struct pins *p, int64_t pool_id, struct slice name, int64_t now_s,
                          struct pin *ret)
{
    uint64_t hash = hash_of(p, name);
    enum pin_status status = PIN_UNKNOWN;
    pthread_mutex_lock(&p->lock);
    const struct entry *e = *find(p, hash, pool_id, name);
    if (e && e->expires_at > now_s) {
        status = PIN_OURS;
        ret->pool_id = pool_id;
        ret->account_id = e->account_id;
        ret->expires_at = e->expires_at;
        CHECK(slice_copy(e->name, ret->name, sizeof ret->name) &&
              slice_copy(e->domain, ret->domain, sizeof ret->domain));
    } else if (is_known(p, hash, name, now_s)) {
        status = PIN_FOREIGN;
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

static struct entry *make_entry(const struct pins *p, const struct pin *pin)
{
    struct slice name = slice_of(pin->name), domain = slice_of(pin->domain);
    struct entry *e = mem_calloc(1, sizeof *e + name.n + domain.n + 1);
    if (!e)
        return NULL;
    char *text = (char *)(e + 1);
    memcpy(text, name.p, name.n);
    memcpy(text + name.n, domain.p, domain.n);
    e->name = slice_make(text, name.n);
    e->domain = slice_make(text + name.n, domain.n);
    e->hash = hash_of(p, name);
    e->pool_id = pin->pool_id;
    e->account_id = pin->account_id;
    e->expires_at = pin->expires_at;
    return e;
}

/* The pool that has most gives: nobody's haste drives out what others have. */
static void make_room(struct pins *p)
{
    const struct owner *o = largest_owner(p);
    CHECK(o);
    const struct entry *old = container_of(o->oldest.next, struct entry, owners_age);
    for (struct list *l = o->oldest.next; l != &o->oldest; l = l->next) {
        const struct entry *e = container_of(l, struct entry, owners_age);
        if (!e->stored_in)
            continue; /* nothing but the table knows it */
        old = e;
        break;
    }
    unlink_entry(p, find(p, old->hash, old->pool_id, old->name));
}

/* False: no memory; E is freed. */
static bool add(struct pins *p, struct entry *e)
{
    if (p->count == PINS_MAX)
        make_room(p);
    e->owner = owner_of(p, e->pool_id);
    if (!e->owner) {
        mem_free(e);
        return false;
    }
    e->owner->count++;
    list_add_last(&e->owner->oldest, &e->owners_age);
    struct entry **first = &p->buckets[e->hash % BUCKETS];
    e->next = *first;
    *first = e;
    list_add_last(&p->oldest, &e->age);
    count(p, e, 1);
    return true;
}

bool pins_put(struct pins *p, const struct pin *pin, bool replaces)
{
    struct entry *e = make_entry(p, pin);
    if (!e)
        return false;
    pthread_mutex_lock(&p->lock);
    bool takes = replaces || !is_known(p, e->hash, e->name, clock_wall_s());
    if (takes) {
        struct entry **old = find(p, e->hash, e->pool_id, e->name);
        if (*old)
            unlink_entry(p, old);
        takes = add(p, e);
    } else {
        mem_free(e);
    }
    pthread_mutex_unlock(&p->lock);
    return takes;
}

bool pins_drop(struct pins *p, int64_t pool_id, struct slice name)
{
    pthread_mutex_lock(&p->lock);
    struct entry **at = find(p, hash_of(p, name), pool_id, name);
    bool was_there = *at != NULL;
    if (was_there)
        unlink_entry(p, at);
    pthread_mutex_unlock(&p->lock);
    return was_there;
}

size_t pins_count(const struct pins *p)
{
    return (size_t)atomic_load_explicit(&p->all, memory_order_relaxed);
}

bool pins_concern(const struct pins *p, const struct snapshot *s, const struct snap_pool *pool)
{
    if (pins_count(p) == 0)
        return false;
    if (atomic_load_explicit(&p->by_pool[counter_of(pool->id)], memory_order_relaxed))
        return true;
    for (size_t i = 0; i < pool->member_count; i++) {
        int64_t id = s->accounts[pool->members[i].account].id;
        if (atomic_load_explicit(&p->by_account[counter_of(id)], memory_order_relaxed))
            return true;
    }
    return false;
}

/* ---- the store ---- */

void pins_sweep_begin(struct pins *p)
{
    pthread_mutex_lock(&p->lock);
    p->sweep++;
    for (struct list *l = p->oldest.next; l != &p->oldest; l = l->next)
        container_of(l, struct entry, age)->is_seen = false;
    pthread_mutex_unlock(&p->lock);
}

/* In its place: a look at the whole store must not make it the newest. */
static void refresh(struct pins *p, struct entry *e, const struct entry *row)
{
    count(p, e, -1);
    e->account_id = row->account_id;
    e->expires_at = row->expires_at;
    e->stored_in = row->stored_in;
    e->is_seen = true;
    count(p, e, 1);
}

void pins_stored(struct pins *p, const struct pin *pin)
{
    struct entry *e = make_entry(p, pin);
    if (!e)
        return;
    e->is_seen = true;
    pthread_mutex_lock(&p->lock);
    e->stored_in = p->sweep;
    struct entry **at = find(p, e->hash, e->pool_id, e->name);
    if (*at && slice_eq((*at)->domain, e->domain)) {
        refresh(p, *at, e);
        mem_free(e);
    } else {
        if (*at)
            unlink_entry(p, at);
        (void)add(p, e); /* without memory it comes with the next sweep */
    }
    pthread_mutex_unlock(&p->lock);
}

void pins_written(struct pins *p, int64_t pool_id, struct slice name)
{
    pthread_mutex_lock(&p->lock);
    struct entry *e = *find(p, hash_of(p, name), pool_id, name);
    if (e)
        e->stored_in = p->sweep;
    pthread_mutex_unlock(&p->lock);
}

uint64_t pins_sweep(struct pins *p, const struct snapshot *s, uint64_t now_ms)
{
    uint64_t again_ms = 0;
    struct list *next;
    pthread_mutex_lock(&p->lock);
    for (struct list *l = p->oldest.next; l != &p->oldest; l = next) {
        struct entry *e = container_of(l, struct entry, age);
        next = l->next;
        if (e->is_seen)
            continue;
        bool is_alive = e->expires_at > clock_wall_s();
        if (is_alive && (!e->stored_in || !snapshot_account_by_id(s, e->account_id)))
            continue; /* not written yet; or told as gone until its end */
        if (is_alive && e->stored_in == p->sweep) { /* written behind our look, perhaps */
            again_ms = now_ms + AGAIN_MS;
            continue;
        }
        unlink_entry(p, find(p, e->hash, e->pool_id, e->name));
    }
    pthread_mutex_unlock(&p->lock);
    return again_ms;
}
