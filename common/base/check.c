/* The last words of a process that found itself broken. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *expr)
{
    fprintf(stderr, "credswap: bug at %s:%d: %s\n", file, line, expr);
    abort();
}
