/* The one map of this room: leaves and sessions by name, server contexts by host. */
#include "tls/lru.h"

#include "base/list.h"
#include "base/mem.h"

/* FNV-1a: names here come from the policy, not from whoever connects. */
static unsigned hash_text(const char *p, unsigned n)
{
    unsigned h = 2166136261u;
    for (unsigned i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h;
}

#define HASH_FUNCTION(key, n, ret) ((ret) = hash_text((const char *)(key), n))
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
#define uthash_nonfatal_oom(entry) ((entry)->is_lost = true)
#include <uthash.h>

struct lru_entry {
    UT_hash_handle hh;
    struct list by_age;
    char *key;
    void *value;
    bool is_lost; /* uthash had no memory for it */
};

struct lru {
    struct lru_entry *table;
    struct list by_age; /* oldest first */
    size_t count, max;
    lru_free_cb free_value;
};

enum err lru_create(size_t max, lru_free_cb free_value, struct lru **ret)
{
    struct lru *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    list_init(&l->by_age);
    l->max = max;
    l->free_value = free_value;
    *ret = l;
    return ERR_OK;
}

static struct lru_entry *find(struct lru *l, struct slice key)
{
    struct lru_entry *e = NULL;
    HASH_FIND(hh, l->table, key.p, (unsigned)key.n, e);
    return e;
}

static void drop(struct lru *l, struct lru_entry *e)
{
    HASH_DELETE(hh, l->table, e);
    list_remove(&e->by_age);
    l->count--;
    l->free_value(e->value);
    mem_free(e->key);
    mem_free(e);
}

void lru_destroy(struct lru *l)
{
    if (!l)
        return;
    while (!list_empty(&l->by_age))
        drop(l, container_of(l->by_age.next, struct lru_entry, by_age));
    mem_free(l);
}

void *lru_get(struct lru *l, struct slice key)
{
    struct lru_entry *e = find(l, key);
    if (!e)
        return NULL;
    list_remove(&e->by_age);
    list_add_last(&l->by_age, &e->by_age);
    return e->value;
}

static struct lru_entry *add(struct lru *l, struct slice key)
{
    struct lru_entry *e = mem_calloc(1, sizeof *e);
    if (e && (e->key = mem_dupn(key.p, key.n))) {
        HASH_ADD_KEYPTR(hh, l->table, e->key, (unsigned)key.n, e);
        if (!e->is_lost) {
            list_add_last(&l->by_age, &e->by_age);
            l->count++;
            return e;
        }
        mem_free(e->key);
    }
    mem_free(e);
    return NULL;
}

enum err lru_put(struct lru *l, struct slice key, void *value)
{
    struct lru_entry *e = find(l, key);
    if (e) {
        l->free_value(e->value);
        e->value = value;
        return ERR_OK;
    }
    if (l->count >= l->max)
        drop(l, container_of(l->by_age.next, struct lru_entry, by_age));
    e = add(l, key);
    if (!e) {
        l->free_value(value);
        return ERR_NOMEM;
    }
    e->value = value;
    return ERR_OK;
}

void lru_each(const struct lru *l, lru_each_cb cb, void *arg)
{
    for (const struct list *at = l->by_age.prev; at != &l->by_age; at = at->prev) {
        const struct lru_entry *e = container_of(at, struct lru_entry, by_age);
        if (!cb(arg, slice_make(e->key, e->hh.keylen), e->value))
            return;
    }
}

void lru_remove(struct lru *l, struct slice key)
{
    struct lru_entry *e = find(l, key);
    if (e)
        drop(l, e);
}

size_t lru_count(const struct lru *l)
{
    return l->count;
}
