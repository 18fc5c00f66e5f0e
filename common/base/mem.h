/* The only door to the heap, so that tests can make the n-th allocation fail. */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include <stddef.h>

/* gcc follows a result to its destructor (wrong free, double free, leaks); clang knows the plain
 * attribute only. */
#ifdef __clang__
#define MEM_MADE_FOR(destroy) malloc
#else
#define MEM_MADE_FOR(destroy) malloc(destroy, 1)
#endif

/** Frees anything the functions below returned; NULL is fine. */
void mem_free(void *p);
/** The same of something that held a secret, all of it overwritten first. */
void mem_free_wiped(void *p);
/** As mem_realloc; nothing stays behind in what it leaves. */
void *mem_realloc_wiped(void *p, size_t size);
/** SIZE bytes, not zeroed. NULL when there is no memory (or the fault hook says so). Thread: any.
 */
void *mem_alloc(size_t size) __attribute__((MEM_MADE_FOR(mem_free), alloc_size(1)));
/** COUNT * SIZE zeroed bytes; NULL on overflow or no memory. */
void *mem_calloc(size_t count, size_t size)
    __attribute__((MEM_MADE_FOR(mem_free), alloc_size(1, 2)));
/** As realloc(3); on failure NULL, and P is untouched. */
void *mem_realloc(void *p, size_t size);
/** Copies of a string; mem_dupn copies N bytes and adds a NUL. NULL on no memory. */
char *mem_dup(const char *s) __attribute__((MEM_MADE_FOR(mem_free)));
char *mem_dupn(const void *s, size_t n) __attribute__((MEM_MADE_FOR(mem_free)));

/** Fault hook: the N-th allocation from now (1 is the next) fails, and each one after it when
 * STICKY. 0 switches it off. Also set from CREDSWAP_FAIL_ALLOC=N in builds with assertions. */
void mem_fail_after(long n, int sticky);
/** Allocations since the start; for tests that count. */
unsigned long mem_count(void);

/** Overwrites P so that the compiler cannot remove it. */
void mem_wipe(void *p, size_t n);

#endif
