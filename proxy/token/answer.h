/* What the token endpoint said, as a value: a token, or whose fault it is and for how long. Pure.
 */
#ifndef TOKEN_ANSWER_H
#define TOKEN_ANSWER_H
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

#include <stdint.h>

#define TOKEN_ANSWER_MAX 65536
#define TOKEN_MAX 16384
#define TOKEN_LIFE_MIN_S 60
#define TOKEN_LIFE_MAX_S 86400
#define RETRY_AFTER_MAX_S 3600

enum token_fault {
    FAULT_NONE,
    FAULT_TRANSIENT, /* the endpoint or the way to it: asked again soon */
    FAULT_CLOCK,   /* ours is wrong: signed anew once with the endpoint's time; never the account's
                      fault */
    FAULT_YOUNG,   /* the account is too new, the endpoint does not know it everywhere yet */
    FAULT_KEY,     /* the key was deleted, rotated or is not the account's */
    FAULT_ACCOUNT, /* the account was deleted or disabled */
    FAULT_CONFIG,  /* scope, token_uri */
    FAULT_COUNT
};

struct token_answer {
    enum token_fault fault;
    /* FAULT_NONE: */
    struct secret *token; /* owned by the caller; visible ASCII only */
    int64_t expires_in_s;
    /* else: */
    enum err err;
    const char *reason; /* static word */
    const char *advice; /* static sentence for people */
};

/** Judges an answer: STATUS and the whole body. Never fails: what makes no sense is FAULT_TRANSIENT
 * with reason "endpoint_garbage". Only a 200 with a JSON object of at most TOKEN_ANSWER_MAX bytes,
 * a bearer token of visible ASCII and a life of TOKEN_LIFE_MIN_S..TOKEN_LIFE_MAX_S is a token.
 * Source: RFC 6749 5. */
void token_answer_parse(int status, struct slice body, struct token_answer *ret);

/** One line of the answer's head: takes the endpoint's time (Unix s; 0 when it makes no sense) from
 * Date, and the wait from Retry-After in seconds (RETRY_AFTER_MAX_S at most). */
void token_answer_field(struct slice line, int64_t *date_s, uint32_t *retry_after_s);

/** Seconds to wait after the FAILS-th failure in a row (1 is the first), without jitter. */
uint32_t fault_delay_s(enum token_fault fault, uint64_t fails);
/** True when a person has to do something: goes out as an alarm. */
bool fault_is_permanent(enum token_fault fault);

#endif
