/* From what the store remembers of a failed mint to what a person can do about it. Pure. */
#ifndef VIEWS_TOKEN_WORDS_H
#define VIEWS_TOKEN_WORDS_H
#include <stdbool.h>
#include <stdint.h>

struct token_words {
    const char *likely, *step; /* sentences */
};

/** LAST_ERROR as the proxy wrote it, "word: sentence". What is not known gets
 * sentences that say so; never NULL. */
const struct token_words *token_words(const char *last_error);

/** Clock of this host minus the token endpoint's, in s: "+0 s (fine)". Returns BUF. */
char *token_clock_words(int64_t skew_s, char buf[96]);
/** Should somebody look at the clock? */
bool token_clock_is_off(int64_t skew_s);

#endif
