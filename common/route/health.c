/* Cool-downs of one worker: a fixed set of entries, chained by account, so that a look-up costs
 * nothing as long as nobody rests, and the table cannot grow by what clients ask for. */
#include "base/check.h"
#include "base/mem.h"
#include "route/route.h"

#define ENTRIES 1024
#define BUCKETS 256
#define NONE UINT16_MAX
#define FIRST_S 5
#define LONGEST_S 60
#define RETRY_AFTER_MAX_S 3600
#define BEHIND_MS 1000 /* between the clocks of two threads */
#define MEMORY_MS                                                                                  \
    (5 * 60 * 1000) /* a cool-down that begins so soon after the last one's end doubles */

struct entry {
    struct cooldown c;
    uint16_t model_len;
    uint16_t next;
    bool is_forgiven; /* an answer came since: the doubling starts anew */
};

struct health {
    uint16_t heads[BUCKETS];
    uint16_t count;
    struct entry entries[ENTRIES];
};

static uint16_t *bucket(struct health *h, int64_t account_id)
{
    return &h->heads[((uint64_t)account_id * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

enum err health_create(struct health **ret)
{
    struct health *h = mem_calloc(1, sizeof *h);
    if (!h)
        return ERR_NOMEM;
    for (size_t i = 0; i < BUCKETS; i++)
        h->heads[i] = NONE;
    *ret = h;
    return ERR_OK;
}

void health_destroy(struct health *h)
{
    mem_free(h);
}

/* A longer model name shares the entry of its first 127 bytes. */
static struct slice model_key(struct slice model)
{
    return slice_sub(model, 0, sizeof((struct cooldown *)NULL)->model - 1);
}

static struct entry *find(const struct health *h, int64_t account_id, struct slice model)
{
    struct health *mine =
        (struct health *)(uintptr_t)h; /* both sorts of caller look up the same way */
    if (h->count == 0)
        return NULL;
    for (uint16_t i = *bucket(mine, account_id); i != NONE; i = h->entries[i].next) {
        struct entry *e = &mine->entries[i];
        if (e->c.account_id == account_id && slice_eq(slice_make(e->c.model, e->model_len), model))
            return e;
    }
    return NULL;
}

static void unlink_entry(struct health *h, uint16_t at)
{
    uint16_t *i = bucket(h, h->entries[at].c.account_id);
    while (*i != at)
        i = &h->entries[*i].next;
    *i = h->entries[at].next;
}

/* A free entry, else the one that ended first. */
static uint16_t take_slot(struct health *h)
{
    uint16_t oldest = 0;
    if (h->count < ENTRIES)
        return h->count++;
    for (uint16_t i = 1; i < ENTRIES; i++)
        if (h->entries[i].c.until_ms < h->entries[oldest].c.until_ms)
            oldest = i;
    unlink_entry(h, oldest);
    return oldest;
}

static struct entry *add(struct health *h, int64_t account_id, struct slice model)
{
    uint16_t at = take_slot(h), *head = bucket(h, account_id);
    struct entry *e = &h->entries[at];
    *e = (struct entry){.c = {.account_id = account_id}, .next = *head};
    memcpy(e->c.model, model.p, model.n);
    e->model_len = (uint16_t)model.n;
    *head = at;
    return e;
}

static int64_t rest_s(int64_t retry_after_s, uint32_t step)
{
    if (retry_after_s < 0) {
        int64_t s = step < 8 ? (int64_t)FIRST_S << step : LONGEST_S;
        return s < LONGEST_S ? s : LONGEST_S;
    }
    if (retry_after_s == 0)
        return 1;
    return retry_after_s < RETRY_AFTER_MAX_S ? retry_after_s : RETRY_AFTER_MAX_S;
}

void health_cool(struct health *h, const struct snap_account *a, struct slice model,
                 const char *reason, int64_t retry_after_s, int64_t now_ms, struct cooldown *ret)
{
    struct slice key = model_key(model);
    struct entry *e = find(h, a->id, key);
    bool is_known = e && e->c.since_ms >= a->cleared_at_ms;
    if (is_known && now_ms < e->c.until_ms && now_ms >= e->c.since_ms) {
        /* Requests that were under way when the first refusal came: the provider may ask for
         * longer, no more. */
        int64_t until = now_ms + rest_s(retry_after_s, 0) * INT64_C(1000);
        if (retry_after_s >= 0 && until > e->c.until_ms)
            e->c.until_ms = until;
        *ret = e->c;
        return;
    }
    uint32_t step = 0;
    if (is_known && !e->is_forgiven && now_ms >= e->c.until_ms &&
        now_ms - e->c.until_ms < MEMORY_MS)
        step = e->c.step < 16 ? e->c.step + 1 : 16;
    if (!e)
        e = add(h, a->id, key);
    e->is_forgiven = false;
    e->c.since_ms = now_ms;
    e->c.until_ms = now_ms + rest_s(retry_after_s, step) * 1000;
    e->c.step = step;
    e->c.reason = reason;
    *ret = e->c;
}

/* It began in a future that the clock has taken back: nobody knows how much of it is left, and the
 * provider says so if any is. */
static bool is_unreal(const struct cooldown *c, int64_t now_ms)
{
    return now_ms + BEHIND_MS < c->since_ms;
}

void health_merge(struct health *h, const struct cooldown *c, int64_t now_ms)
{
    struct slice key = model_key(slice_make(c->model, strnlen(c->model, sizeof c->model)));
    struct entry *e = find(h, c->account_id, key);
    if (is_unreal(c, now_ms))
        return;
    if (e && !is_unreal(&e->c, now_ms) &&
        (c->since_ms < e->c.since_ms ||
         (c->since_ms == e->c.since_ms && c->until_ms <= e->c.until_ms)))
        return; /* news that is older than what we know */
    if (!e)
        e = add(h, c->account_id, key);
    e->is_forgiven = false;
    e->c.since_ms = c->since_ms;
    e->c.until_ms = c->until_ms;
    e->c.step = c->step;
    e->c.reason = c->reason;
}

static int64_t until_of(const struct health *h, const struct snap_account *a, struct slice key,
                        int64_t now_ms)
{
    const struct entry *e = find(h, a->id, key);
    if (!e || e->c.since_ms < a->cleared_at_ms || now_ms >= e->c.until_ms)
        return 0;
    return is_unreal(&e->c, now_ms) ? 0 : e->c.until_ms;
}

int64_t health_cool_until(const struct health *h, const struct snap_account *a, struct slice model,
                          int64_t now_ms)
{
    if (!h || h->count == 0)
        return 0;
    int64_t whole = until_of(h, a, SLICE(""), now_ms);
    int64_t one = model.n ? until_of(h, a, model_key(model), now_ms) : 0;
    return whole > one ? whole : one;
}

void health_ok(struct health *h, const struct snap_account *a, struct slice model)
{
    struct entry *one = find(h, a->id, model_key(model)), *whole = find(h, a->id, SLICE(""));
    if (one)
        one->is_forgiven = true;
    if (whole)
        whole->is_forgiven = true;
}
