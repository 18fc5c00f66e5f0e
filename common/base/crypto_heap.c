/* Record buffers from a stock, everything else from malloc(3). Not from mem_alloc: what OpenSSL
 * does when memory is short is its own affair, and counting its allocations would hide ours. */
#include "base/crypto_heap.h"

#include "base/mem.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* free() learns what it gets from malloc_usable_size, so the two kinds differ by more than
 * rounding. OpenSSL 3 asks for 16,712 to read and 16,584 to write. */
#define PLAIN_BYTES 16896u
#define ROUNDING 64u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_KEPT 0 /* each buffer is watched from its malloc to its free */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define IS_KEPT 0
#endif
#endif
#ifndef IS_KEPT
#define IS_KEPT 1
#endif

enum kind {
    PLAIN,
    WIPED,
    KINDS,
    OTHER = KINDS
};
static const size_t bytes_of[KINDS] = {PLAIN_BYTES, CRYPTO_WIPED_BYTES};

struct stock {
    unsigned n;
    void *held[CRYPTO_STOCK_MAX];
};
static _Thread_local struct stock stocks[KINDS];
static bool is_ours;

static enum kind kind_wanted(size_t n)
{
    if (n == CRYPTO_WIPED_BYTES)
        return WIPED;
    return n > 16384 && n <= PLAIN_BYTES ? PLAIN : OTHER;
}

static enum kind kind_of(void *p)
{
    size_t n = malloc_usable_size(p);
    if (n < PLAIN_BYTES || n >= CRYPTO_WIPED_BYTES + ROUNDING)
        return OTHER;
    if (n >= CRYPTO_WIPED_BYTES)
        return WIPED;
    return n < PLAIN_BYTES + ROUNDING ? PLAIN : OTHER;
}

/* CRYPTO_malloc(3): NULL for nothing is no failure. */
static void *take(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    enum kind kind = kind_wanted(n);
    if (kind == OTHER)
        return n ? malloc(n) : NULL;
    struct stock *s = &stocks[kind];
    return s->n ? s->held[--s->n] : malloc(bytes_of[kind]);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    enum kind kind = p ? kind_of(p) : OTHER;
    if (kind == WIPED)
        mem_wipe(p, CRYPTO_WIPED_BYTES);
    if (IS_KEPT && kind != OTHER && stocks[kind].n < CRYPTO_STOCK_MAX)
        stocks[kind].held[stocks[kind].n++] = p;
    else
        free(p);
}

static void *resize(void *p, size_t n, const char *file, int line)
{
    if (!n) {
        give_back(p, file, line);
        return NULL;
    }
    if (p && kind_of(p) == OTHER && kind_wanted(n) == OTHER)
        return realloc(p, n);
    void *q = take(n, file, line);
    if (p && q) {
        size_t old = malloc_usable_size(p);
        memcpy(q, p, old < n ? old : n);
        give_back(p, file, line);
    }
    return q;
}

bool crypto_heap_init(void)
{
    is_ours = CRYPTO_set_mem_functions(take, resize, give_back) == 1;
    return is_ours;
}

bool crypto_heap_wipes(void)
{
    return is_ours;
}

void crypto_heap_forget(void)
{
    for (struct stock *s = stocks; s < stocks + KINDS; s++)
        while (s->n)
            free(s->held[--s->n]);
}
