/* The only door to the heap. */
#include "base/mem.h"

#include "base/slice.h"

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* fail_in counts down to the allocation that fails; 0 is off. One relaxed load in the common case.
 * Tests of the whole program count in a file instead, which they write while it runs. */
static atomic_long own_fail_in;
#ifdef NDEBUG
#define fail_in (&own_fail_in)
#else
static atomic_long *fail_in = &own_fail_in;
#endif
static atomic_int fail_sticky;
static atomic_ulong allocations;

static int must_fail(void)
{
#ifndef NDEBUG
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
#endif
    if (__builtin_expect(atomic_load_explicit(fail_in, memory_order_relaxed) == 0, 1))
        return 0;
    long left = atomic_fetch_sub(fail_in, 1);
    if (left != 1)
        return 0;
    if (atomic_load(&fail_sticky))
        atomic_store(fail_in, 1);
    return 1;
}

void *mem_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *mem_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *mem_realloc(void *p, size_t size)
{
    return must_fail() ? NULL : realloc(p, size ? size : 1);
}

char *mem_dupn(const void *s, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *p = mem_alloc(n + 1);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

char *mem_dup(const char *s)
{
    return mem_dupn(s, strlen(s));
}

void mem_free(void *p)
{
    free(p);
}

void mem_free_wiped(void *p)
{
    if (p)
        mem_wipe(p, malloc_usable_size(p));
    free(p);
}

void *mem_realloc_wiped(void *p, size_t size)
{
    void *q = mem_alloc(size);
    if (p && q) {
        size_t old = malloc_usable_size(p);
        memcpy(q, p, old < size ? old : size);
        mem_free_wiped(p);
    }
    return q;
}

/* The C library promises what OPENSSL_cleanse does, at a fifth of its cost. */
void mem_wipe(void *p, size_t n)
{
    if (p && n)
        explicit_bzero(p, n);
}

#ifndef NDEBUG
static void count_in_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED
                     : mmap(NULL, sizeof *fail_in, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (p != MAP_FAILED)
        fail_in = p;
}

/* For tests of the whole program (tests/fault): CREDSWAP_FAIL_ALLOC=N fails the N-th allocation; a
 * path names a file that holds N, a long, and is counted down in. Not in release builds. */
__attribute__((constructor)) static void fail_from_environment(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before main */
    const char *n = getenv("CREDSWAP_FAIL_ALLOC");
    uint64_t at;
    if (n && *n == '/')
        count_in_file(n);
    else if (n && slice_to_u64(slice_of(n), &at) && at < LONG_MAX)
        atomic_store(fail_in, (long)at);
}
#endif

void mem_fail_after(long n, int sticky)
{
    atomic_store(&fail_sticky, sticky);
    atomic_store(fail_in, n);
}

unsigned long mem_count(void)
{
    return atomic_load(&allocations);
}
