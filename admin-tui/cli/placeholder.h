/* What a placeholder may look like. Pure. */
#ifndef CLI_PLACEHOLDER_H
#define CLI_PLACEHOLDER_H
#include "base/err.h"
#include "base/slice.h"
#include "store/snapshot.h"

/** ERR_INVALID with a sentence (never with a byte of it) unless it begins with the service's name
 * and "-", is 12..512 long, and is visible ASCII. */
enum err placeholder_check(enum service service, struct slice placeholder,
                           struct errmsg *msg) NODISCARD;

#endif
