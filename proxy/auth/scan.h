/* The last look at an outgoing head: is the caller's placeholder still in it, in any spelling? */
#ifndef AUTH_SCAN_H
#define AUTH_SCAN_H
#include "base/slice.h"
#include "http/head.h"
#include "store/client.h"

/* base64 of n bytes has less than 4n/3 + 4 characters; three alignments, two alphabets. */
#define SCAN_BASE64_MAX (PLACEHOLDER_MAX * 4 / 3 + 4)
#define SCAN_PATTERNS 9

/* All spellings as one set of patterns, found in one pass. Holds the placeholder: finish it. */
struct auth_scan {
    uint16_t count;
    uint16_t shortest, longest; /* of the patterns, in bytes */
    uint16_t used;              /* of TEXT */
    struct {
        uint16_t at, n;
    } pattern[SCAN_PATTERNS];
    uint8_t shift[1024]; /* by the last two bytes of the window: how far no pattern can begin */
    char text[5 * PLACEHOLDER_MAX + 6 * SCAN_BASE64_MAX];
};

/** PLACEHOLDER of 2..PLACEHOLDER_MAX bytes; for any other every text counts as leaking. */
void auth_scan_init(struct auth_scan *s, struct slice placeholder);
void auth_scan_finish(struct auth_scan *s);
/** What it looks for, as it was given; empty when that was no placeholder. */
static inline struct slice auth_scan_placeholder(const struct auth_scan *s)
{
    return slice_make(s->text, s->count ? s->pattern[0].n : 0);
}
/** True when TEXT holds the placeholder raw; percent-encoded in whole or in part, once or twice; or
 * in base64 (either alphabet, any alignment, with or without padding) or in hex (either case),
 * those also percent-encoded.
 * Thread: any. */
bool auth_scan_leaks(const struct auth_scan *s, struct slice text);
/** The same over a whole outgoing head: method, authority, path with query, and each field's name
 * and value. */
bool auth_scan_head(const struct auth_scan *s, const struct head *h);
/** For one text. */
bool auth_leaks(struct slice text, struct slice placeholder);

#endif
