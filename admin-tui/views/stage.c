/* What was typed and is not live yet. Each edit remembers what it changes from: whoever applies it
 * learns when somebody else was there meanwhile. */
#include "views/stage.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/quantity.h"
#include "store/account.h"
#include "store/pool.h"
#include "views/app.h"

#include <math.h>
#include <stdio.h>

static const struct board_account *account_of(const struct board *b, const struct board_member *m)
{
    return &b->accounts[m->account];
}

static const struct stage_edit *find(const struct stage *s, const char *pool, const char *account)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->edits[i].pool, pool) == 0 && strcmp(s->edits[i].account, account) == 0)
            return &s->edits[i];
    return NULL;
}

static const struct stage_edit *find_weight(const struct stage *s, const struct board *b,
                                            const struct board_member *m)
{
    return find(s, b->pools[m->pool].name, account_of(b, m)->name);
}

double stage_weight(const struct stage *s, const struct board *b, const struct board_member *m)
{
    const struct stage_edit *e = find_weight(s, b, m);
    return e ? e->to : m->weight;
}

enum account_state stage_state(const struct stage *s, const struct board_account *a)
{
    const struct stage_edit *e = find(s, "", a->name);
    return e ? e->to_state : a->state;
}

bool stage_has_weight(const struct stage *s, const struct board *b, const struct board_member *m)
{
    return find_weight(s, b, m) != NULL;
}

bool stage_has_state(const struct stage *s, const struct board_account *a)
{
    return find(s, "", a->name) != NULL;
}

/* The edit to write into; NULL when there is no room. */
static struct stage_edit *place(struct stage *s, const struct board *b, const char *pool,
                                const char *account)
{
    const struct stage_edit *have = find(s, pool, account);
    if (have)
        return &s->edits[have - s->edits];
    if (s->count == STAGE_MAX)
        return NULL;
    struct stage_edit *e = &s->edits[s->count];
    *e = (struct stage_edit){.from_state = ACCOUNT_UP};
    if (!slice_copy(slice_of(pool), e->pool, sizeof e->pool) ||
        !slice_copy(slice_of(account), e->account, sizeof e->account))
        return NULL;
    if (s->count++ == 0)
        s->generation = b->generation;
    return e;
}

static void take_back(struct stage *s, struct stage_edit *e)
{
    s->count--;
    for (struct stage_edit *next = e + 1; e < &s->edits[s->count]; e++, next++)
        *e = *next;
}

/* Whoever types sees what is there now, so that is what the edit changes from. */
bool stage_set_weight(struct stage *s, const struct board *b, const struct board_member *m,
                      double to)
{
    struct stage_edit *e = place(s, b, b->pools[m->pool].name, account_of(b, m)->name);
    if (!e)
        return false;
    e->from = m->weight;
    e->to = to;
    if (e->to == e->from) /* both as the store has them */
        take_back(s, e);
    return true;
}

bool stage_set_state(struct stage *s, const struct board *b, const struct board_account *a,
                     enum account_state to)
{
    struct stage_edit *e = place(s, b, "", a->name);
    if (!e)
        return false;
    e->from_state = a->state;
    e->to_state = to;
    if (e->to_state == e->from_state)
        take_back(s, e);
    return true;
}

void stage_drop(struct stage *s)
{
    s->count = 0;
}

void stage_applied(struct stage *s, const struct stage *applied)
{
    for (int i = s->count - 1; i >= 0; i--) {
        struct stage_edit *e = &s->edits[i];
        const struct stage_edit *live = find(applied, e->pool, e->account);
        if (!live)
            continue;
        e->from = live->to;
        e->from_state = live->to_state;
        if (e->to == e->from && e->to_state == e->from_state) /* both as they were typed */
            take_back(s, e);
    }
}

/* ---- shares ---- */

static double counts(const struct board *b, const struct board_member *m,
                     const struct stage *staged)
{
    const struct board_account *a = account_of(b, m);
    enum account_state state = staged ? stage_state(staged, a) : a->state;
    double weight = staged ? stage_weight(staged, b, m) : m->weight;
    bool is_cooling = a->cool_until > b->now_s;
    return state == ACCOUNT_UP && !is_cooling && weight > 0 ? weight : 0;
}

void share_expected(const struct board *b, const struct board_pool *p, const struct stage *staged,
                    double *ret)
{
    double sum = 0;
    for (int i = 0; i < p->count; i++) {
        ret[i] = counts(b, &b->members[p->first + i], staged);
        sum += ret[i];
    }
    for (int i = 0; i < p->count && sum > 0; i++)
        ret[i] /= sum;
}

bool share_to_weight(const struct stage *s, const struct board *b, const struct board_member *m,
                     double share, double *ret_weight)
{
    const struct board_pool *p = &b->pools[m->pool];
    double others = 0;
    for (int i = 0; i < p->count; i++)
        if (&b->members[p->first + i] != m)
            others += counts(b, &b->members[p->first + i], s);
    const struct board_account *a = account_of(b, m);
    bool serves = stage_state(s, a) == ACCOUNT_UP && a->cool_until <= b->now_s;
    if (!serves || others <= 0 || share < 0 || share >= 1)
        return false;
    double weight = others * share / (1 - share);
    double step = weight < 1 ? 1000 : 100; /* as people would write it */
    *ret_weight = round(weight * step) / step;
    return true;
}

bool share_is_off(double expected, int64_t of, int64_t n)
{
    if (n < 20)
        return false;
    double seen = (double)of / (double)n;
    double sigma = sqrt(expected * (1 - expected) / (double)n);
    return fabs(seen - expected) >
           3 * sigma + 0.5 / (double)n; /* half a request: counts are whole */
}

int stage_starves(const struct stage *s, const struct board *b)
{
    for (int i = 0; i < b->pool_count; i++) {
        const struct board_pool *p = &b->pools[i];
        double after = 0;
        bool is_touched = false;
        for (int k = 0; k < p->count; k++) {
            const struct board_member *m = &b->members[p->first + k];
            bool is_up = stage_state(s, account_of(b, m)) == ACCOUNT_UP;
            after += is_up ? stage_weight(s, b, m) : 0;
            is_touched |= stage_has_weight(s, b, m) || stage_has_state(s, account_of(b, m));
        }
        if (is_touched && after <= 0 && p->clients > 0)
            return i;
    }
    return -1;
}

/* ---- in words ---- */

static const char *const states[] = {"up", "drain", "off"};

static void review_member(const struct stage *s, const struct board *b,
                          const struct board_member *m, double before, double after,
                          struct sbuf *out)
{
    const struct board_account *a = account_of(b, m);
    char from[QUANTITY_TEXT], to[QUANTITY_TEXT], change[2 * QUANTITY_TEXT + 8];
    weight_print(m->weight, from);
    weight_print(stage_weight(s, b, m), to);
    if (stage_has_state(s, a))
        snprintf(change, sizeof change, "%s -> %s", states[a->state], states[stage_state(s, a)]);
    else if (stage_has_weight(s, b, m))
        snprintf(change, sizeof change, "%s -> %s", from, to);
    else
        snprintf(change, sizeof change, "%s", from);
    sbuf_addf(out, "  %-14.24s %-13.20s %5.1f%% -> %5.1f%%", a->name, change, 100 * before,
              100 * after);
    if (fabs(after - before) >= 0.0005)
        sbuf_addf(out, "  %+6.1f", 100 * (after - before));
    sbuf_addc(out, '\n');
}

static int64_t recent_rate(const struct board *b, const struct board_pool *p, double *ret)
{
    int64_t n = 0, s = 0;
    for (int i = 0; i < p->count; i++) {
        const struct board_figures *f = &b->members[p->first + i].figures;
        n += f->is_known ? f->recent : 0;
        s = f->is_known && f->recent_s > s ? f->recent_s : s;
    }
    *ret = s > 0 ? (double)n / (double)s : 0;
    return n;
}

static void review_pool(const struct stage *s, const struct board *b, const struct board_pool *p,
                        struct sbuf *out)
{
    double *before = mem_calloc((size_t)p->count * 2, sizeof *before), rate = 0;
    if (!before)
        return;
    double *after = before + p->count;
    share_expected(b, p, NULL, before);
    share_expected(b, p, s, after);
    sbuf_addf(out, "pool %s\n  %-14s %-13s %s\n", p->name, "account", "change", "expected share");
    for (int i = 0; i < p->count; i++)
        review_member(s, b, &b->members[p->first + i], before[i], after[i], out);
    if (recent_rate(b, p, &rate))
        for (int i = 0; i < p->count; i++)
            if (after[i] > before[i] + 0.0005)
                sbuf_addf(out, "  at %.1f req/s %s gets about %.1f req/s\n", rate,
                          account_of(b, &b->members[p->first + i])->name, rate * after[i]);
    sbuf_addc(out, '\n');
    mem_free(before);
}

static bool touches(const struct stage *s, const struct board *b, const struct board_pool *p)
{
    for (int i = 0; i < p->count; i++) {
        const struct board_member *m = &b->members[p->first + i];
        if (stage_has_weight(s, b, m) || stage_has_state(s, account_of(b, m)))
            return true;
    }
    return false;
}

static void review_conflicts(const struct stage *s, const struct board *b, struct sbuf *out)
{
    for (int i = 0; i < s->count; i++) {
        const struct stage_edit *e = &s->edits[i];
        int at = board_account_find(b, e->account);
        if (at < 0)
            sbuf_addf(out, "! %s is gone: somebody removed it\n", e->account);
        else if (!*e->pool && b->accounts[at].state != e->from_state)
            sbuf_addf(out, "! %s is %s by now: somebody changed it\n", e->account,
                      states[b->accounts[at].state]);
    }
    for (int i = 0; i < b->member_count; i++) {
        const struct stage_edit *e = find_weight(s, b, &b->members[i]);
        char now[QUANTITY_TEXT], from[QUANTITY_TEXT];
        if (e && b->members[i].weight != e->from)
            sbuf_addf(out, "! the weight of %s is %s by now, not %s: somebody changed it\n",
                      e->account, weight_print(b->members[i].weight, now),
                      weight_print(e->from, from));
    }
}

void stage_review(const struct stage *s, const struct board *b, struct sbuf *out)
{
    for (int i = 0; i < b->pool_count; i++)
        if (touches(s, b, &b->pools[i]))
            review_pool(s, b, &b->pools[i], out);
    for (int i = 0; i < s->count; i++) { /* accounts of no pool */
        const struct stage_edit *e = &s->edits[i];
        bool is_member = false;
        for (int k = 0; k < b->member_count; k++)
            is_member |= strcmp(account_of(b, &b->members[k])->name, e->account) == 0;
        if (!is_member)
            sbuf_addf(out, "  %-14.24s %s -> %s   (in no pool)\n", e->account,
                      states[e->from_state], states[e->to_state]);
    }
    review_conflicts(s, b, out);
    int starving = stage_starves(s, b);
    if (starving >= 0)
        sbuf_addf(out, "! pool %s has no account left that can serve its %lld client%s\n",
                  b->pools[starving].name, (long long)b->pools[starving].clients,
                  b->pools[starving].clients == 1 ? "" : "s");
    sbuf_adds(out, "new requests at once; open requests stay where they are\n");
}

/* A pool is named once for the weights that stand together. */
static const char *pool_prefix(const struct stage_edit *last, const struct stage_edit *e,
                               char buf[STAGE_NAME + 24])
{
    if (last && strcmp(last->pool, e->pool) == 0)
        return ", ";
    snprintf(buf, STAGE_NAME + 24, "%spool %.64s: weight of ", last ? "; " : "", e->pool);
    return buf;
}

void stage_sentence(const struct stage *s, char *buf, size_t size)
{
    struct sbuf b;
    sbuf_init(&b, 4096);
    for (int i = 0; i < s->count; i++) {
        const struct stage_edit *e = &s->edits[i], *last = i ? e - 1 : NULL;
        char from[QUANTITY_TEXT], to[QUANTITY_TEXT], prefix[STAGE_NAME + 24];
        if (b.n + 160 > size && i + 1 < s->count) {
            sbuf_addf(&b, " and %d more", s->count - i);
            break;
        }
        if (*e->pool)
            sbuf_addf(&b, "%s%.64s %s -> %s", pool_prefix(last, e, prefix), e->account,
                      weight_print(e->from, from), weight_print(e->to, to));
        else
            sbuf_addf(&b, "%saccount %.64s %s -> %s", i ? "; " : "", e->account,
                      states[e->from_state], states[e->to_state]);
    }
    snprintf(buf, size, "%s", sbuf_z(&b));
    sbuf_finish(&b);
}

/* ---- into the store ---- */

struct seen {
    const struct stage_edit *edit;
    bool is_there, is_same;
    double weight;
    enum account_state state;
};

static enum err on_member(void *arg, const struct pool_member *m)
{
    struct seen *x = arg;
    x->is_there = true;
    x->weight = m->weight;
    x->is_same = m->weight == x->edit->from;
    return ERR_OK;
}

static enum err on_account(void *arg, const struct account *a)
{
    struct seen *x = arg;
    x->is_there = true;
    x->state = a->state;
    x->is_same = a->state == x->edit->from_state;
    return ERR_OK;
}

static enum err apply_weight(struct store *s, const struct stage_edit *e, struct errmsg *msg)
{
    struct seen x = {.edit = e};
    char now[QUANTITY_TEXT], from[QUANTITY_TEXT];
    enum err err = pool_member_list(s, slice_of(e->pool), slice_of(e->account), on_member, &x, msg);
    if (err != ERR_OK)
        return err;
    if (!x.is_there)
        return err_set(msg, ERR_INVALID, "%s left pool %s meanwhile; nothing was applied",
                       e->account, e->pool);
    if (!x.is_same)
        return err_set(msg, ERR_INVALID,
                       "the weight of %s is %s by now, not %s; nothing was applied", e->account,
                       weight_print(x.weight, now), weight_print(e->from, from));
    return pool_set(s, slice_of(e->pool), slice_of(e->account), e->to, msg);
}

static enum err apply_state(struct store *s, const struct stage_edit *e, struct errmsg *msg)
{
    struct seen x = {.edit = e};
    enum err err = account_get(s, slice_of(e->account), on_account, &x, msg);
    if (err != ERR_OK)
        return err;
    if (!x.is_same)
        return err_set(msg, ERR_INVALID, "%s is %s by now, not %s; nothing was applied", e->account,
                       states[x.state], states[e->from_state]);
    struct account_fields f = {.state = &e->to_state};
    return account_set(s, slice_of(e->account), &f, msg);
}

enum err stage_apply(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct stage *s = arg;
    enum err e = ERR_OK;
    for (int i = 0; i < s->count && e == ERR_OK; i++)
        e = *s->edits[i].pool ? apply_weight(c->store, &s->edits[i], msg)
                              : apply_state(c->store, &s->edits[i], msg);
    return e;
}

void stage_free(void *arg)
{
    mem_free(arg);
}
