/* What one worker's exchanges came to within one second: for each account of each pool, and in all.
 * Pure. */
#ifndef SERVER_TALLY_H
#define SERVER_TALLY_H
#include "exchange/services.h"

#define TALLY_SLOTS 512u /* a power of two */
#define FIRST_BYTE_BUCKETS 29u

/* Upper bounds in ms of all buckets but the last, which has none. */
extern const uint32_t first_byte_bounds_ms[FIRST_BYTE_BUCKETS - 1];

struct tally_slot {
    int64_t pool_id, account_id; /* 0: the slot is free */
    int64_t generation;          /* of the snapshot by which the account was chosen */
    uint32_t answers;            /* that began to go to a client */
    uint32_t limited, errors;    /* attempts that failed: 429 and 529; no answer, 401, 5xx */
};

struct tally {
    uint64_t second;             /* monotonic */
    uint32_t requests, failures; /* that ended; of them with 5xx or without an answer */
    uint32_t first_byte[FIRST_BYTE_BUCKETS];
    uint32_t used;
    struct tally_slot slots[TALLY_SLOTS];
};

/** All of its slots may be asked for at once, whatever came before. */
bool tally_has_room(const struct tally *t);
/** The slot, made when need be; tally_has_room() said so. */
struct tally_slot *tally_slot(struct tally *t, int64_t pool_id, int64_t account_id,
                              int64_t generation);
/** At the end of an exchange. Answers are counted when they begin. */
void tally_add(struct tally *t, const struct exchange_record *e);

#endif
