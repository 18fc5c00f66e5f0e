/* Arenas over chunks that the thread keeps. */
#include "base/arena.h"

#include "base/mem.h"

#define KEEP_CHUNKS 64

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    _Alignas(16) char data[];
};

static _Thread_local struct arena_chunk *kept;
static _Thread_local unsigned kept_count;

static struct arena_chunk *chunk_get(size_t need)
{
    if (need <= ARENA_CHUNK && kept) {
        struct arena_chunk *c = kept;
        kept = c->next;
        kept_count--;
        return c;
    }
    size_t size = need > ARENA_CHUNK ? need : ARENA_CHUNK;
    struct arena_chunk *c = mem_alloc(sizeof *c + size);
    if (c)
        c->size = size;
    return c;
}

static void chunk_put(struct arena_chunk *c)
{
    if (c->size != ARENA_CHUNK || kept_count >= KEEP_CHUNKS) {
        mem_free(c);
        return;
    }
    c->next = kept;
    kept = c;
    kept_count++;
}

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > a->max)
        return NULL;
    n = (n + 15) & ~(size_t)15;
    if (!a->chunks || a->chunks->size - a->used < n) {
        if (a->total + n > a->max)
            return NULL;
        struct arena_chunk *c = chunk_get(n);
        if (!c)
            return NULL;
        c->next = a->chunks;
        a->chunks = c;
        a->total += c->size;
        a->used = 0;
    }
    void *p = a->chunks->data + a->used;
    a->used += n;
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return (struct slice){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct slice){p, s.n};
}

void arena_finish(struct arena *a, bool wipe)
{
    size_t used = a->used;
    while (a->chunks) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        if (wipe)
            mem_wipe(c->data, used);
        used = a->chunks ? a->chunks->size : 0;
        chunk_put(c);
    }
    a->used = a->total = 0;
}

void arena_thread_finish(void)
{
    while (kept) {
        struct arena_chunk *c = kept;
        kept = c->next;
        mem_free(c);
    }
    kept_count = 0;
}
