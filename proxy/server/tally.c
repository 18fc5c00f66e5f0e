/* Counting for the console's live figures. */
#include "server/tally.h"

#define ROOM_LEFT ATTEMPTS_MAX

const uint32_t first_byte_bounds_ms[FIRST_BYTE_BUCKETS - 1] = {
    1,   2,   3,   5,    7,    10,   15,   20,   30,   50,    70,    100,   150,   200,
    300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10000, 15000, 20000, 30000, 60000};

bool tally_has_room(const struct tally *t)
{
    return t->used < TALLY_SLOTS - ROOM_LEFT;
}

struct tally_slot *tally_slot(struct tally *t, int64_t pool_id, int64_t account_id,
                              int64_t generation)
{
    uint64_t h = ((uint64_t)pool_id * 1009u + (uint64_t)account_id) * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = (uint32_t)(h >> 40);; i++) { /* never full: it ends at a free one */
        struct tally_slot *s = &t->slots[i % TALLY_SLOTS];
        if (s->account_id == account_id && s->pool_id == pool_id && s->generation == generation)
            return s;
        if (s->account_id)
            continue;
        s->pool_id = pool_id;
        s->account_id = account_id;
        s->generation = generation;
        t->used++;
        return s;
    }
}

/* Did the client itself end it, or leave it unfinished? Then nobody else failed. */
static bool is_clients_doing(const char *reason)
{
    return !reason || strcmp(reason, "body_timeout") == 0;
}

static void add_attempt(struct tally *t, const struct exchange_record *e, const struct attempt *a)
{
    bool limited = a->status == 429 || a->status == 529;
    bool failed =
        a->status == 0 ? !is_clients_doing(a->reason) : a->status == 401 || a->status >= 500;
    if (!limited && !failed)
        return;
    struct tally_slot *s = tally_slot(t, e->pool_id, a->account_id, e->generation);
    s->limited += limited;
    s->errors += !limited;
}

static uint32_t bucket_of(uint64_t ms)
{
    uint32_t i = 0;
    while (i < FIRST_BYTE_BUCKETS - 1 && ms > first_byte_bounds_ms[i])
        i++;
    return i;
}

static bool is_failure(const struct exchange_record *e)
{
    if (e->status)
        return e->status >= 500;
    return !e->reason ||
           (strcmp(e->reason, "client_gone") != 0 && strcmp(e->reason, "ended_by_operator") != 0);
}

void tally_add(struct tally *t, const struct exchange_record *e)
{
    t->requests++;
    t->failures += is_failure(e);
    if (e->status && !e->is_own_answer)
        t->first_byte[bucket_of(e->ttfb_ms)]++;
    for (uint32_t i = 0; e->pool_id && i < e->attempt_count; i++)
        add_attempt(t, e, &e->attempts[i]);
}
