/* Sums of usage. What is over is asked once: minutes that nobody adds to any more stay as they were
 * summed, and the day grows by them. */
#include "views/board_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/usage.h"

#define MINUTE 60
#define DAY 86400
#define SHARE 100           /* of the time may be spent on this */
#define QUIET_US 1000000    /* between two sums of a store that goes on */
#define PIECE_US 20000      /* for the day that is not summed yet, each time */
#define PIECE_LONG_US 10000 /* a piece that took longer is followed by a shorter one */
#define SUMS_MAX (1u << 22)

/* ---- a small map ---- */

static struct sum *slot_of(struct sum *v, size_t size, int64_t a, int64_t b)
{
    uint64_t h = ((uint64_t)a * 0x9e3779b97f4a7c15u) ^ ((uint64_t)b * 0xc2b2ae3d27d4eb4fu);
    for (size_t at = (size_t)(h >> 20);; at++) {
        struct sum *s = &v[at & (size - 1)];
        if (s->a == 0 || (s->a == a && s->b == b))
            return s;
    }
}

static bool sums_grow(struct sums *t)
{
    size_t size = t->size ? 2 * t->size : 64;
    struct sum *v = size <= SUMS_MAX ? mem_calloc(size, sizeof *v) : NULL;
    if (!v)
        return false;
    for (size_t i = 0; i < t->size; i++)
        if (t->v[i].a)
            *slot_of(v, size, t->v[i].a, t->v[i].b) = t->v[i];
    mem_free(t->v);
    t->v = v;
    t->size = size;
    return true;
}

static const struct sum *sums_get(const struct sums *t, int64_t a, int64_t b)
{
    static const struct sum none;
    const struct sum *s = t->size ? slot_of(t->v, t->size, a, b) : &none;
    return s->a ? s : &none;
}

static void sum_add(struct sum *to, const struct sum *from)
{
    to->requests += from->requests;
    to->errors += from->errors;
    to->limited += from->limited;
    to->tokens_in += from->tokens_in;
    to->tokens_out += from->tokens_out;
}

static enum err sums_add(struct sums *t, int64_t a, int64_t b, const struct sum *more)
{
    if (2 * (t->n + 1) > t->size && !sums_grow(t))
        return ERR_NOMEM;
    struct sum *s = slot_of(t->v, t->size, a, b);
    if (s->a == 0) {
        s->a = a;
        s->b = b;
        t->n++;
    }
    sum_add(s, more);
    return ERR_OK;
}

static void sums_clear(struct sums *t)
{
    if (t->size)
        memset(t->v, 0, t->size * sizeof *t->v);
    t->n = 0;
}

static void sums_finish(struct sums *t)
{
    mem_free(t->v);
    *t = (struct sums){0};
}

void usage_finish(struct usage_sums *u)
{
    for (int i = 0; i < USAGE_MINUTES; i++) {
        sums_finish(&u->minutes[i].members);
        sums_finish(&u->minutes[i].clients);
    }
    sums_finish(&u->day);
    *u = (struct usage_sums){0};
}

/* ---- rows ---- */

struct pass {
    struct usage_sums *u;
    struct store *s;
    const struct board *b;
    int64_t now;      /* its minute */
    char client[192]; /* of the last row: they come in the order of clients */
    const struct board_client *known;
    int64_t pool_id;
};

static int client_find(const struct board *b, const char *name)
{
    const struct part p = {.rows = (char *)(uintptr_t)b->clients,
                           .row_size = sizeof *b->clients,
                           .count = b->client_count};
    return part_find(&p, name);
}

static void look_up(struct pass *p, struct slice name)
{
    if (p->client[0] && strcmp(p->client, name.p) == 0)
        return;
    int i = client_find(p->b, name.p);
    p->known = i < 0 ? NULL : &p->b->clients[i];
    int pool = p->known ? board_pool_find(p->b, p->known->pool) : -1;
    p->pool_id = pool < 0 ? 0 : p->b->pools[pool].id;
    if (!slice_copy(name, p->client, sizeof p->client))
        p->client[0] = '\0';
}

static struct sum sum_of(const struct usage *row)
{
    return (struct sum){.requests = row->requests,
                        .errors = row->errors,
                        .limited = row->limited,
                        .tokens_in = row->tokens_in,
                        .tokens_out = row->tokens_out};
}

static struct usage_minute *minute_at(struct usage_sums *u, int64_t minute)
{
    return &u->minutes[minute / MINUTE % USAGE_MINUTES];
}

/* A client that is gone belongs to no pool and no row. */
static enum err on_pair(void *arg, const struct usage *row)
{
    struct pass *p = arg;
    struct usage_minute *m = minute_at(p->u, row->minute);
    if (m->minute != row->minute || m->is_over)
        return ERR_OK; /* of a clock that runs before ours */
    look_up(p, row->client);
    if (!p->known)
        return ERR_OK;
    const struct sum more = sum_of(row);
    enum err e = sums_add(&m->clients, p->known->id, 0, &more);
    int account = board_account_find(p->b, row->account.p);
    if (e != ERR_OK || account < 0 || p->pool_id == 0)
        return e;
    return sums_add(&m->members, p->pool_id, p->b->accounts[account].id, &more);
}

static enum err on_day(void *arg, const struct usage *row)
{
    struct pass *p = arg;
    int i = client_find(p->b, row->client.p);
    const struct sum more = sum_of(row);
    return i < 0 ? ERR_OK : sums_add(&p->u->day, p->b->clients[i].id, 0, &more);
}

/* ---- minutes ---- */

static int64_t oldest_of(int64_t now)
{
    return now - (USAGE_MINUTES - 1) * MINUTE;
}

/* Makes room for the minutes that must be asked; returns the first of them. */
static int64_t open_minutes(struct usage_sums *u, int64_t now)
{
    int64_t first = now;
    for (int64_t at = now; at >= oldest_of(now); at -= MINUTE) {
        struct usage_minute *m = minute_at(u, at);
        if (m->minute == at && m->is_over)
            continue;
        first = at;
        m->minute = at;
        m->is_over = false;
        sums_clear(&m->members);
        sums_clear(&m->clients);
    }
    return first;
}

static void close_minutes(struct usage_sums *u, int64_t now)
{
    for (int i = 0; i < USAGE_MINUTES; i++)
        u->minutes[i].is_over = u->minutes[i].minute <= now - 2 * MINUTE;
}

static enum err sum_minutes(struct pass *p, struct errmsg *msg)
{
    const struct usage_filter f = {.since = open_minutes(p->u, p->now)};
    enum err e = usage_list(p->s, USAGE_BY_PAIR, &f, on_pair, p, msg);
    if (e == ERR_OK)
        close_minutes(p->u, p->now);
    return e;
}

/* ---- the day ---- */

static void begin_day(struct usage_sums *u, int64_t now)
{
    int64_t start = now - now % DAY;
    if (u->day_start == start && u->until <= now)
        return;
    sums_clear(&u->day);
    u->day_start = u->until = start;
    u->piece_s = MINUTE;
}

/* What lies before the minutes at hand, at most PIECE_US of it. */
static enum err sum_pieces(struct pass *p, struct errmsg *msg)
{
    struct usage_sums *u = p->u;
    uint64_t start = clock_mono_us();
    while (u->until < oldest_of(p->now)) {
        uint64_t before = clock_mono_us();
        if (before - start > PIECE_US)
            break;
        int64_t end = u->until + u->piece_s;
        end = end < oldest_of(p->now) ? end : oldest_of(p->now);
        const struct usage_filter f = {.since = u->until, .until = end};
        enum err e = usage_list(p->s, USAGE_BY_CLIENT, &f, on_day, p, msg);
        if (e != ERR_OK) {
            u->day_start = -1; /* half a piece may have been added: from the start again */
            return e;
        }
        u->until = end;
        bool is_long = clock_mono_us() - before > PIECE_LONG_US;
        u->piece_s = !is_long ? u->piece_s * 2 : u->piece_s > MINUTE ? u->piece_s / 2 : MINUTE;
    }
    return ERR_OK;
}

/* A minute that is over goes from the minutes at hand into the day. */
static enum err fold_minutes(struct usage_sums *u, int64_t now)
{
    while (u->until >= oldest_of(now) && u->until <= now - 2 * MINUTE) {
        const struct usage_minute *m = minute_at(u, u->until);
        for (size_t i = 0; i < m->clients.size; i++) {
            const struct sum *s = &m->clients.v[i];
            if (s->a && sums_add(&u->day, s->a, s->b, s) != ERR_OK) {
                u->day_start = -1;
                return ERR_NOMEM;
            }
        }
        u->until += MINUTE;
    }
    return ERR_OK;
}

bool usage_is_due(const struct usage_sums *u, uint64_t look, int64_t now_s)
{
    if (clock_mono_us() < u->due_us)
        return false;
    int64_t now = now_s - now_s % MINUTE;
    const struct usage_minute *m = &u->minutes[now / MINUTE % USAGE_MINUTES];
    return u->look != look || m->minute != now || u->until < oldest_of(now);
}

enum err usage_sum(struct usage_sums *u, struct store *s, const struct board *b, uint64_t look,
                   struct errmsg *msg)
{
    uint64_t start = clock_mono_us();
    struct pass p = {.u = u, .s = s, .b = b, .now = b->now_s - b->now_s % MINUTE};
    begin_day(u, p.now);
    enum err e = sum_minutes(&p, msg);
    if (e == ERR_OK)
        e = sum_pieces(&p, msg);
    if (e == ERR_OK)
        e = fold_minutes(u, p.now);
    uint64_t end = clock_mono_us(), rest = (end - start) * SHARE;
    u->due_us = end + (rest > QUIET_US ? rest : QUIET_US);
    u->look = e == ERR_OK ? look : 0;
    u->window_s = e == ERR_OK ? b->now_s - oldest_of(p.now) : 0;
    return e;
}

/* ---- into the board ---- */

static void show_member(const struct usage_sums *u, const struct board *b, struct board_member *m,
                        int64_t now)
{
    int64_t pool = b->pools[m->pool].id, account = b->accounts[m->account].id;
    m->figures = (struct board_figures){.open = -1};
    if (u->window_s == 0)
        return;
    for (int i = 0; i < USAGE_MINUTES; i++) {
        const struct usage_minute *at = &u->minutes[i];
        const struct sum *s = sums_get(&at->members, pool, account);
        m->figures.requests += s->requests;
        m->figures.errors += s->errors;
        m->figures.limited += s->limited;
        m->figures.recent += at->minute >= now - MINUTE ? s->requests : 0;
    }
    m->figures.is_known = true;
    m->figures.window_s = u->window_s;
    m->figures.recent_s = u->window_s - (USAGE_MINUTES - 2) * MINUTE;
}

static void show_client(const struct usage_sums *u, struct board_client *c, int64_t now)
{
    c->has_usage = u->window_s > 0 && u->until >= oldest_of(now);
    c->minute_requests = 0;
    struct sum today = {0};
    if (c->has_usage)
        sum_add(&today, sums_get(&u->day, c->id, 0));
    for (int i = 0; c->has_usage && i < USAGE_MINUTES; i++) {
        const struct usage_minute *at = &u->minutes[i];
        const struct sum *s = sums_get(&at->clients, c->id, 0);
        if (at->minute >= u->until && at->minute >= u->day_start)
            sum_add(&today, s);
        if (at->minute == now - MINUTE)
            c->minute_requests = s->requests;
    }
    c->today_requests = today.requests;
    c->today_errors = today.errors;
    c->today_limited = today.limited;
    c->today_tokens_in = today.tokens_in;
    c->today_tokens_out = today.tokens_out;
}

void usage_show(const struct usage_sums *u, struct board *b, struct board_client *clients)
{
    int64_t now = 0; /* the newest that was summed */
    for (int i = 0; i < USAGE_MINUTES; i++)
        now = u->minutes[i].minute > now ? u->minutes[i].minute : now;
    for (int i = 0; i < b->member_count; i++)
        show_member(u, b, &b->members[i], now);
    for (int i = 0; i < b->client_count; i++)
        show_client(u, &clients[i], now);
}
