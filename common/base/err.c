/* Words for errors. Every room returns these values; replies and logs say their sentence. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const texts[ERR_COUNT] = {
#define X(name, text) [ERR_##name] = text,
    ERR_LIST(X)
#undef X
};

const char *err_str(enum err e)
{
    return (unsigned)e < ERR_COUNT ? texts[e] : "unknown error";
}

enum err err_set(struct errmsg *m, enum err e, const char *fmt, ...)
{
    if (m) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(m->text, sizeof m->text, fmt, ap);
        va_end(ap);
    }
    return e;
}
