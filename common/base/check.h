/* CHECK stays in release builds: memory, money, secrets, state moves. Input is never checked, it is
 * refused. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H
#include <stddef.h>
#include <stdint.h>

/** Prints file, line and expression (never values) to stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *expr);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (__builtin_expect(!(x), 0))                                                             \
            check_failed(__FILE__, __LINE__, #x);                                                  \
    } while (0)
#ifdef NDEBUG
#define DCHECK(x) ((void)sizeof(x))
#else
#define DCHECK(x) CHECK(x)
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
/* through an integer, so that it serves const pointers too */
#define container_of(p, type, member) ((type *)((uintptr_t)(p)-offsetof(type, member)))

/** Objects that travel through void * begin with a magic; obj_from() verifies it. */
#define MAGIC(a, b, c, d)                                                                          \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
static inline void *obj_from(void *arg, uint32_t magic)
{
    CHECK(arg != NULL && *(const uint32_t *)arg == magic);
    return arg;
}

#endif
