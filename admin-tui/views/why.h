/* Why a request failed, in words: the cause, and what to do about it, for each word that the proxy
 * notes and each status that a provider answers. */
#ifndef VIEWS_WHY_H
#define VIEWS_WHY_H
#include "base/slice.h"

#include <stdint.h>

struct why {
    const char *words; /* one, or several with spaces that mean the same to an operator */
    const char *cause, *next;
};

/** Of a static word of the proxy; NULL: it is none of them. */
const struct why *why_word(struct slice word);
/** Of an answer that came from the provider; 0: none came. NULL: it is no failure. */
const struct why *why_status(int64_t status);
/** Of a request that ended so; NULL: it went well. */
const struct why *why_request(int64_t status, struct slice reason);

#endif
