/* Record buffers from a stock, everything else from malloc(3). Not from mem_alloc: what OpenSSL
 * does when memory is short is its own affair, and counting its allocations would hide ours. */
#include "base/crypto_heap.h"

#include "base/check.h"
#include "base/mem.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Record buffers begin where few others do: a look at the address tells most others from them when
 * they are freed, and an address inside one tells where it begins. The two kinds differ in
 * malloc_usable_size by more than rounding. OpenSSL 3 asks for 16,712 to read and 16,584 to write.
 */
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
/* A sanitizer pays for an alignment with as much memory again; there all is wiped. */
#define ALIGNMENT (IS_KEPT ? (size_t)32768 : sizeof(void *))

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
/* How much of which wiped buffer was written to. Nothing is known of one that is not here, or that
 * nobody told of. A buffer stays with its thread, as its connection does. */
static _Thread_local struct filled {
    void *block;
    size_t high;
    bool is_told;
} filled[64];
static bool is_ours;

static struct filled *filled_of(const void *block)
{
    return &filled[(uintptr_t)block / ALIGNMENT % ARRAY_LEN(filled)];
}

static enum kind kind_wanted(size_t n)
{
    if (n == CRYPTO_WIPED_BYTES)
        return WIPED;
    return n > 16384 && n <= PLAIN_BYTES ? PLAIN : OTHER;
}

static enum kind kind_of(void *p)
{
    if ((uintptr_t)p % ALIGNMENT)
        return OTHER;
    size_t n = malloc_usable_size(p);
    if (n < PLAIN_BYTES || n >= CRYPTO_WIPED_BYTES + ROUNDING)
        return OTHER;
    if (n >= CRYPTO_WIPED_BYTES)
        return WIPED;
    return n < PLAIN_BYTES + ROUNDING ? PLAIN : OTHER;
}

static __attribute__((noinline)) void *take_record(size_t n)
{
    enum kind kind = kind_wanted(n);
    if (kind == OTHER)
        return n ? malloc(n) : NULL; /* CRYPTO_malloc(3): NULL for nothing is no failure */
    struct stock *s = &stocks[kind];
    void *p = s->n ? s->held[--s->n] : NULL;
    if (!p && posix_memalign(&p, ALIGNMENT, bytes_of[kind]) != 0)
        return NULL;
    if (kind == WIPED)
        *filled_of(p) = (struct filled){.block = p};
    return p;
}

static void *take(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return n - 1 < 16384 ? malloc(n) : take_record(n);
}

void crypto_heap_filled(const void *p, size_t n)
{
#if IS_KEPT
    size_t at = (uintptr_t)p % ALIGNMENT;
    struct filled *f = filled_of(p);
    if ((uintptr_t)f->block != (uintptr_t)p - at)
        return;
    f->is_told = true;
    if (n && at + n > f->high)
        f->high = at + n;
#else
    (void)p;
    (void)n;
#endif
}

static void wipe(void *p)
{
    struct filled *f = filled_of(p);
    bool is_known = f->block == p && f->is_told && f->high < CRYPTO_WIPED_BYTES;
    mem_wipe(p, is_known ? f->high : CRYPTO_WIPED_BYTES);
    if (f->block == p)
        f->block = NULL;
}

static __attribute__((noinline)) void give_back_record(void *p)
{
    enum kind kind = kind_of(p);
    if (kind == WIPED)
        wipe(p);
    if (IS_KEPT && kind != OTHER && stocks[kind].n < CRYPTO_STOCK_MAX)
        stocks[kind].held[stocks[kind].n++] = p;
    else
        free(p);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!p)
        return;
    if ((uintptr_t)p % ALIGNMENT)
        free(p);
    else
        give_back_record(p);
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
        filled_of(q)->block = NULL; /* what was copied nobody announced */
        give_back(p, file, line);
    }
    return q;
}

bool crypto_heap_init(void)
{
    is_ours = CRYPTO_set_mem_functions(take, resize, give_back) == 1;
    return is_ours;
}

static void *take_plain(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return n ? malloc(n) : NULL;
}

static void give_back_wiped(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    mem_free_wiped(p);
}

static void *resize_wiped(void *p, size_t n, const char *file, int line)
{
    if (n)
        return mem_realloc_wiped(p, n);
    give_back_wiped(p, file, line);
    return NULL;
}

bool crypto_heap_init_wiping(void)
{
    is_ours = CRYPTO_set_mem_functions(take_plain, resize_wiped, give_back_wiped) == 1;
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
