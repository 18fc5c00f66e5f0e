/* Rings of seconds on main, for the console. */
#include "server/window.h"

#include "base/mem.h"

#include <stdlib.h>

struct second {
    uint32_t answers, counted, limited, errors; /* counted: of the answers, in the pool's window */
};

/* Slots of the seconds up to LAST_S, by second modulo WINDOW_S. */
struct ring {
    uint64_t last_s;
    struct second seconds[WINDOW_S];
};

struct member {
    int64_t pool_id, account_id;
    uint32_t pool, account; /* in the snapshot */
    struct ring *ring;      /* NULL: nothing came yet */
};

/* Of the snapshot's pool at the same place. */
struct pool_window {
    int64_t id;
    uint64_t shares; /* a hash of all that the expected shares come from */
    uint64_t since_s;
    int64_t generation; /* of the snapshot that began it */
};

struct total {
    uint32_t requests, failures, first_byte[FIRST_BYTE_BUCKETS];
};

struct window {
    struct snapshot *snap;
    struct member *members; /* in the order of pool_id, account_id */
    size_t member_count;
    struct pool_window *pools;
    uint64_t looked_s; /* when shares were looked at last */
    uint64_t last_s;   /* of totals */
    struct total totals[WINDOW_S];
};

enum err window_create(struct window **ret)
{
    *ret = mem_calloc(1, sizeof **ret);
    return *ret ? ERR_OK : ERR_NOMEM;
}

static void free_members(struct member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mem_free(members[i].ring);
    mem_free(members);
}

void window_destroy(struct window *w)
{
    if (!w)
        return;
    free_members(w->members, w->member_count);
    mem_free(w->pools);
    snapshot_unref(&w->snap);
    mem_free(w);
}

/* ---- seconds ---- */

/* Moves LAST_S on to SECOND, over COUNT slots of SIZE bytes that are emptied. False: SECOND is too
 * long ago to have one. */
static bool move_on(uint64_t *last_s, uint64_t second, void *slots, size_t size)
{
    if (second + WINDOW_S <= *last_s)
        return false;
    if (second <= *last_s)
        return true;
    uint64_t gone = second - *last_s;
    for (uint64_t i = 0; i < gone && i < WINDOW_S; i++)
        memset((char *)slots + (second - i) % WINDOW_S * size, 0, size);
    *last_s = second;
    return true;
}

/* Is there a slot for the second that lies AGO seconds before NOW_S? */
static bool is_kept(uint64_t last_s, uint64_t now_s, uint64_t ago)
{
    return ago <= now_s && now_s - ago <= last_s && now_s - ago + WINDOW_S > last_s;
}

/* ---- members ---- */

static int compare(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    if (a->pool_id != b->pool_id)
        return a->pool_id < b->pool_id ? -1 : 1;
    return (a->account_id > b->account_id) - (a->account_id < b->account_id);
}

static struct member *find(const struct window *w, int64_t pool_id, int64_t account_id)
{
    struct member key = {.pool_id = pool_id, .account_id = account_id};
    return w->member_count ? bsearch(&key, w->members, w->member_count, sizeof *w->members, compare)
                           : NULL;
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)p)[i]) * UINT64_C(1099511628211);
    return h;
}

static uint64_t shares_of(const struct snapshot *s, const struct snap_pool *p,
                          const struct health *h, int64_t wall_ms)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < p->member_count; i++) {
        const struct snap_account *a = &s->accounts[p->members[i].account];
        bool rests = health_cool_until(h, a, SLICE(""), wall_ms) != 0;
        unsigned char state = (unsigned char)(a->state * 2u + rests);
        hash = mix(hash, &a->id, sizeof a->id);
        hash = mix(hash, &p->members[i].weight, sizeof p->members[i].weight);
        hash = mix(hash, &state, sizeof state);
    }
    return hash;
}

static size_t fill_members(const struct snapshot *s, struct member *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < s->pool_count; i++)
        for (size_t k = 0; k < s->pools[i].member_count; k++) {
            uint32_t account = s->pools[i].members[k].account;
            ret[n++] = (struct member){.pool_id = s->pools[i].id,
                                       .account_id = s->accounts[account].id,
                                       .pool = (uint32_t)i,
                                       .account = account};
        }
    if (n)
        qsort(ret, n, sizeof *ret, compare);
    return n;
}

static const struct pool_window *former(const struct window *w, int64_t id)
{
    for (size_t i = 0; w->snap && i < w->snap->pool_count; i++)
        if (w->pools[i].id == id)
            return &w->pools[i];
    return NULL;
}

static enum err take_snapshot(struct window *w, struct snapshot *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->pool_count; i++)
        count += s->pools[i].member_count;
    struct member *members = mem_calloc(count + 1, sizeof *members);
    struct pool_window *pools = mem_calloc(s->pool_count + 1, sizeof *pools);
    if (!members || !pools) {
        mem_free(members);
        mem_free(pools);
        return ERR_NOMEM;
    }
    fill_members(s, members);
    for (size_t i = 0; i < count; i++) {
        struct member *old = find(w, members[i].pool_id, members[i].account_id);
        if (old) {
            members[i].ring = old->ring;
            old->ring = NULL;
        }
    }
    for (size_t i = 0; i < s->pool_count; i++) {
        const struct pool_window *old = former(w, s->pools[i].id);
        pools[i] = old ? *old : (struct pool_window){.id = s->pools[i].id};
    }
    free_members(w->members, w->member_count);
    mem_free(w->pools);
    snapshot_unref(&w->snap);
    w->members = members;
    w->member_count = count;
    w->pools = pools;
    w->snap = snapshot_ref(s);
    return ERR_OK;
}

/* ---- the window of a pool ---- */

static void begin_anew(struct window *w, uint32_t pool, uint64_t shares, uint64_t now_s)
{
    struct pool_window *p = &w->pools[pool];
    p->shares = shares;
    p->since_s = now_s;
    for (size_t i = 0; i < w->member_count; i++) {
        struct ring *r = w->members[i].pool == pool ? w->members[i].ring : NULL;
        for (size_t k = 0; r && k < WINDOW_S; k++)
            r->seconds[k].counted = 0;
    }
}

enum err window_follow(struct window *w, struct snapshot *s, const struct health *h, uint64_t now_s,
                       int64_t wall_ms)
{
    bool is_new = s != w->snap;
    if (!is_new && now_s == w->looked_s)
        return ERR_OK;
    enum err e = is_new ? take_snapshot(w, s) : ERR_OK;
    if (e != ERR_OK)
        return e;
    w->looked_s = now_s;
    for (size_t i = 0; i < s->pool_count; i++) {
        uint64_t shares = shares_of(s, &s->pools[i], h, wall_ms);
        if (shares == w->pools[i].shares)
            continue;
        begin_anew(w, (uint32_t)i, shares, now_s);
        if (is_new)
            w->pools[i].generation = s->generation;
    }
    return ERR_OK;
}

/* ---- adding ---- */

static void add_slot(struct window *w, const struct tally_slot *s, uint64_t second)
{
    struct member *m = find(w, s->pool_id, s->account_id);
    if (!m)
        return; /* it was taken out of the pool meanwhile */
    if (!m->ring)
        m->ring = mem_calloc(1, sizeof *m->ring);
    if (!m->ring || !move_on(&m->ring->last_s, second, m->ring->seconds, sizeof(struct second)))
        return;
    const struct pool_window *p = &w->pools[m->pool];
    struct second *to = &m->ring->seconds[second % WINDOW_S];
    to->answers += s->answers;
    if (s->generation >= p->generation && second >= p->since_s)
        to->counted += s->answers;
    to->limited += s->limited;
    to->errors += s->errors;
}

void window_add(struct window *w, const struct tally *t)
{
    for (uint32_t i = 0; i < TALLY_SLOTS; i++)
        if (t->slots[i].account_id)
            add_slot(w, &t->slots[i], t->second);
    if (!move_on(&w->last_s, t->second, w->totals, sizeof *w->totals))
        return;
    struct total *to = &w->totals[t->second % WINDOW_S];
    to->requests += t->requests;
    to->failures += t->failures;
    for (uint32_t i = 0; i < FIRST_BYTE_BUCKETS; i++)
        to->first_byte[i] += t->first_byte[i];
}

/* ---- reading ---- */

size_t window_member_count(const struct window *w)
{
    return w->member_count;
}

void window_member(const struct window *w, size_t at, uint64_t now_s, struct window_member *ret)
{
    const struct member *m = &w->members[at];
    const struct pool_window *p = &w->pools[m->pool];
    uint64_t long_s = now_s > p->since_s ? now_s - p->since_s : 0;
    *ret = (struct window_member){.pool_id = m->pool_id,
                                  .account_id = m->account_id,
                                  .pool = &w->snap->pools[m->pool],
                                  .account = &w->snap->accounts[m->account],
                                  .window_s = long_s < WINDOW_S ? long_s : WINDOW_S};
    for (uint64_t ago = 0; m->ring && ago < WINDOW_S; ago++) {
        if (!is_kept(m->ring->last_s, now_s, ago))
            continue;
        const struct second *s = &m->ring->seconds[(now_s - ago) % WINDOW_S];
        ret->requests += s->counted;
        ret->limited += s->limited;
        ret->errors += s->errors;
        if (ago < RECENT_S)
            ret->recent += s->answers;
    }
}

/* Where in its bucket a value lies nobody knows: evenly spread is the fairest guess. */
static uint64_t quantile_ms(const uint64_t *buckets, uint64_t count, uint64_t per_mille)
{
    uint64_t want = count * per_mille, below = 0;
    for (uint32_t i = 0; i < FIRST_BYTE_BUCKETS - 1; i++) {
        uint64_t low = i ? first_byte_bounds_ms[i - 1] : 0, high = first_byte_bounds_ms[i];
        uint64_t n = buckets[i] * 1000u;
        if (n && below + n >= want)
            return low + (high - low) * (want - below) / n;
        below += n;
    }
    return first_byte_bounds_ms[FIRST_BYTE_BUCKETS - 2]; /* at least */
}

void window_totals(const struct window *w, uint64_t now_s, struct window_totals *ret)
{
    uint64_t buckets[FIRST_BYTE_BUCKETS] = {0}, count = 0;
    *ret = (struct window_totals){.requests = 0};
    for (uint64_t ago = 0; ago < WINDOW_S; ago++) {
        if (!is_kept(w->last_s, now_s, ago))
            continue;
        const struct total *t = &w->totals[(now_s - ago) % WINDOW_S];
        ret->requests += t->requests;
        ret->failures += t->failures;
        if (ago > 0 && ago <= RATE_S)
            ret->rate[RATE_S - ago] = t->requests;
        for (uint32_t i = 0; i < FIRST_BYTE_BUCKETS; i++)
            buckets[i] += t->first_byte[i];
    }
    for (uint32_t i = 0; i < FIRST_BYTE_BUCKETS; i++)
        count += buckets[i];
    ret->has_first_byte = count > 0;
    if (count) {
        ret->p50_ms = quantile_ms(buckets, count, 500);
        ret->p95_ms = quantile_ms(buckets, count, 950);
    }
}
