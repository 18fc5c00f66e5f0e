/* The choice of an account: who can serve the host, who serves the model, who is up, then chance by
 * weight. */
#include "base/check.h"
#include "route/route.h"

#include <math.h>

#define WEIGHT_MAX 1e9
#define IDLE_RETRY_S 30 /* nobody rests, so nobody comes back by time alone: a person must act */

/* Why a member is not chosen, in the order in which the reasons are looked for. */
enum fit {
    FIT_YES,
    FIT_WRONG_KIND,
    FIT_WRONG_MODEL,
    FIT_OFF,
    FIT_DRAINED,
    FIT_ZERO_WEIGHT,
    FIT_EXCLUDED,
    FIT_COOLING,
    FIT_COUNT
};

static const char *const fit_words[FIT_COUNT] = {
    [FIT_YES] = NULL,         [FIT_WRONG_KIND] = "kind", [FIT_WRONG_MODEL] = "model",
    [FIT_OFF] = "off",        [FIT_DRAINED] = "drain",   [FIT_ZERO_WEIGHT] = "weight 0",
    [FIT_EXCLUDED] = "tried", [FIT_COOLING] = "cooling",
};

static bool is_google(struct slice host)
{
    return slice_ends(host, SLICE(".googleapis.com"));
}

/* Where a real credential may go: a service account's token to Google only, an API key to its own
 * host only. */
static bool fits_host(const struct snap_account *a, enum api api, struct slice host)
{
    if (a->kind == ACCOUNT_API_KEY)
        return a->host.n > 0 && slice_eq(a->host, host);
    return (api == API_GEMINI || api == API_VERTEX) && is_google(host);
}

/* The exact row, else the longest pattern. */
static const struct snap_model *find_row(const struct snap_account *a, struct slice model)
{
    const struct snap_model *best = NULL;
    for (size_t i = 0; i < a->model_count; i++) {
        const struct snap_model *row = &a->models[i];
        if (slice_eq(row->model, model))
            return row;
        if ((!best || row->model.n > best->model.n) && slice_glob(row->model, model))
            best = row;
    }
    return best;
}

/* Decides where the account would serve the request; false when its rows do not serve the model
 * there. */
static bool fits_model(const struct pick_request *q, const struct snap_account *a,
                       struct slice *ret_domain, struct slice *ret_location)
{
    *ret_domain = q->host;
    *ret_location = SLICE("");
    if (q->model.n == 0 || a->model_count == 0)
        return true;
    const struct snap_model *row = find_row(a, q->model);
    if (!row)
        row = find_row(a, route_model_bare(q->model));
    if (!row)
        return false;
    if (row->domain.n == 0)
        return true;
    /* A row of a Vertex domain says which models the account serves; it cannot serve a Gemini API
     * path. */
    if (q->api == API_GEMINI)
        return true;
    bool is_same = slice_eq(row->domain, q->host);
    if (!is_same &&
        (q->forbid_location_change || q->api != API_VERTEX || !fits_host(a, q->api, row->domain)))
        return false;
    struct slice location = route_domain_location(row->domain);
    if (!is_same && location.n == 0)
        return false;
    *ret_domain = row->domain;
    if (!q->forbid_location_change && q->match && q->match->location.n)
        *ret_location = location;
    return true;
}

static bool is_excluded(const struct pick_request *q, int64_t id)
{
    for (size_t i = 0; i < q->excluded_count; i++)
        if (q->excluded[i] == id)
            return true;
    return false;
}

static enum fit judge(const struct pick_request *q, const struct health *h,
                      const struct snap_member *m, int64_t now_ms, struct pick_result *r,
                      int64_t *ret_until_ms)
{
    const struct snap_account *a = &q->snap->accounts[m->account];
    *ret_until_ms = 0;
    if (!fits_host(a, q->api, q->host))
        return FIT_WRONG_KIND;
    if (!fits_model(q, a, &r->domain, &r->location))
        return FIT_WRONG_MODEL;
    if (a->state == ACCOUNT_OFF || (a->kind == ACCOUNT_API_KEY && !a->api_key))
        return FIT_OFF; /* a key that does not open is as good as none */
    if (a->state == ACCOUNT_DRAIN && !q->only)
        return FIT_DRAINED;
    if ((!isfinite(m->weight) || m->weight <= 0) && !q->only)
        return FIT_ZERO_WEIGHT;
    if (is_excluded(q, a->id))
        return FIT_EXCLUDED;
    if (q->only)
        return FIT_YES;
    *ret_until_ms = health_cool_until(h, a, q->model.n ? q->model : SLICE("-"), now_ms);
    return *ret_until_ms ? FIT_COOLING : FIT_YES;
}

static double weight_of(const struct snap_member *m)
{
    return m->weight < WEIGHT_MAX ? m->weight : WEIGHT_MAX;
}

/* Counts every member's state; returns the sum of the eligible weights. */
static double survey(const struct pick_request *q, const struct health *h, int64_t now_ms,
                     struct pick_result *r)
{
    uint32_t count[FIT_COUNT] = {0};
    int64_t earliest_ms = 0, until_ms;
    double sum = 0;
    for (size_t i = 0; i < q->pool->member_count; i++) {
        const struct snap_member *m = &q->pool->members[i];
        enum fit f = judge(q, h, m, now_ms, r, &until_ms);
        count[f]++;
        if (f == FIT_YES)
            sum += weight_of(m);
        if (until_ms && (!earliest_ms || until_ms < earliest_ms))
            earliest_ms = until_ms;
    }
    *r = (struct pick_result){.total = (uint32_t)q->pool->member_count,
                              .drained = count[FIT_DRAINED],
                              .off = count[FIT_OFF],
                              .zero_weight = count[FIT_ZERO_WEIGHT],
                              .cooling = count[FIT_COOLING],
                              .excluded = count[FIT_EXCLUDED],
                              .wrong_kind = count[FIT_WRONG_KIND],
                              .wrong_model = count[FIT_WRONG_MODEL],
                              .retry_after_s = IDLE_RETRY_S};
    if (earliest_ms)
        r->retry_after_s = (earliest_ms - now_ms + 999) / 1000;
    return sum;
}

/* splitmix64: every bit of the key moves every bit of the result */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Weighted rendezvous: the lowest wins. Taking an account away moves only what was at it. */
static double rank_of(uint64_t sticky, const struct snap_account *a, double weight)
{
    double u = ((double)(mix(sticky ^ mix((uint64_t)a->id)) >> 11) + 1) * 0x1p-53;
    return -log(u) / weight;
}

/* No choice: the one that has it, or nobody. */
static enum pick_status pick_only(const struct pick_request *q, struct pick_result *ret)
{
    *ret = (struct pick_result){.retry_after_s = IDLE_RETRY_S};
    for (size_t i = 0; i < q->pool->member_count; i++) {
        const struct snap_member *m = &q->pool->members[i];
        const struct snap_account *a = &q->snap->accounts[m->account];
        int64_t until_ms;
        if (a->id != q->only)
            continue;
        enum fit f = judge(q, NULL, m, 0, ret, &until_ms);
        ret->total = 1;
        ret->account = f == FIT_YES ? a : NULL;
        return f == FIT_YES           ? PICK_OK
               : f == FIT_WRONG_KIND  ? PICK_NO_KIND
               : f == FIT_WRONG_MODEL ? PICK_NO_MODEL
                                      : PICK_UNAVAILABLE;
    }
    return PICK_UNAVAILABLE;
}

enum pick_status pick_account(const struct pick_request *q, const struct health *h, uint64_t rng[4],
                              int64_t now_ms, struct pick_result *ret)
{
    struct pick_result chosen = {0};
    int64_t until_ms;
    double point =
        (double)(rng_next(rng) >> 11) * 0x1p-53; /* once in any case: runs stay comparable */
    if (q->only)
        return pick_only(q, ret);
    double sum = survey(q, h, now_ms, ret);
    if (sum <= 0) {
        if (ret->wrong_kind == ret->total)
            return PICK_NO_KIND;
        if (ret->wrong_kind + ret->wrong_model == ret->total)
            return PICK_NO_MODEL;
        return PICK_UNAVAILABLE;
    }
    point *= sum;
    double best = HUGE_VAL;
    for (size_t i = 0; i < q->pool->member_count; i++) {
        const struct snap_member *m = &q->pool->members[i];
        if (judge(q, h, m, now_ms, &chosen, &until_ms) != FIT_YES)
            continue;
        const struct snap_account *a = &q->snap->accounts[m->account];
        double rank = q->sticky ? rank_of(q->sticky, a, weight_of(m)) : 0;
        if (rank >= best && q->sticky)
            continue;
        best = rank;
        ret->account = a;
        ret->domain = chosen.domain;
        ret->location = chosen.location;
        point -= weight_of(m);
        if (point < 0 && !q->sticky)
            break; /* rounding may leave the last one as it is: chosen all the same */
    }
    CHECK(ret->account);
    return PICK_OK;
}

const char *pick_why_not(const struct pick_request *q, const struct health *h,
                         const struct snap_member *m, int64_t now_ms)
{
    struct pick_result r;
    int64_t until_ms;
    return fit_words[judge(q, h, m, now_ms, &r, &until_ms)];
}
