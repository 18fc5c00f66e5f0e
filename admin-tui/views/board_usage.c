/* Sums of usage, in pieces: the screen must answer a key meanwhile, and a busy store has more rows
 * in a minute than that allows. A pass walks the five minutes at hand; one that is over and was
 * walked stays as it is, and goes into the day. What is shown is that of the last pass that came to
 * its end. */
#include "views/board_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/usage.h"

#define MINUTE 60
#define DAY 86400
#define PIECE_US 10000   /* at once */
#define SHARE 100        /* of the time may go into this, */
#define FIRST_SHARE 10   /* and more while nothing can be shown yet */
#define QUIET_US 1000000 /* between two passes */
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
    to->recent += from->recent;
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
    sums_finish(&u->walked.members);
    sums_finish(&u->walked.clients);
    sums_finish(&u->day);
    sums_finish(&u->members);
    sums_finish(&u->clients);
    *u = (struct usage_sums){0};
}

/* ---- rows ---- */

struct pass {
    struct usage_sums *u;
    struct store *s;
    const struct board *b;
    uint64_t end_us;
    bool is_day;      /* into the day, else into u->walked */
    char *from;       /* where it goes on, of the same size as CLIENT */
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

static void look_up(struct pass *p)
{
    int i = client_find(p->b, p->client);
    p->known = i < 0 ? NULL : &p->b->clients[i];
    int pool = p->known ? board_pool_find(p->b, p->known->pool) : -1;
    p->pool_id = pool < 0 ? 0 : p->b->pools[pool].id;
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
static enum err add_row(struct pass *p, const struct usage *row)
{
    const struct sum more = sum_of(row);
    struct usage_minute *m = &p->u->walked;
    if (!p->known)
        return ERR_OK;
    enum err e = sums_add(p->is_day ? &p->u->day : &m->clients, p->known->id, 0, &more);
    int account = p->is_day || p->pool_id == 0 ? -1 : board_account_find(p->b, row->account.p);
    if (e != ERR_OK || account < 0)
        return e;
    return sums_add(&m->members, p->pool_id, p->b->accounts[account].id, &more);
}

/* Stops before a client: there the walk can be taken up. */
static enum err on_row(void *arg, const struct usage *row)
{
    struct pass *p = arg;
    bool is_first = !p->known && !p->client[0];
    if (!is_first && strcmp(p->client, row->client.p) == 0)
        return add_row(p, row);
    if (!is_first && clock_mono_us() > p->end_us) {
        return slice_copy(row->client, p->from, sizeof p->client) ? ERR_AGAIN : ERR_TOO_LARGE;
    }
    if (!slice_copy(row->client, p->client, sizeof p->client))
        return ERR_TOO_LARGE; /* the store keeps no such name */
    look_up(p);
    return add_row(p, row);
}

static enum err walk_minute(struct pass *p, int64_t minute, struct errmsg *msg)
{
    p->from = p->is_day ? p->u->day_from : p->u->from;
    p->client[0] = '\0';
    p->known = NULL;
    enum err e = usage_minute(p->s, minute, slice_of(p->from), on_row, p, msg);
    if (e == ERR_OK)
        p->from[0] = '\0';
    return e;
}

/* ---- minutes ---- */

static int64_t oldest_of(int64_t now)
{
    return now - (USAGE_MINUTES - 1) * MINUTE;
}

static void clear_walked(struct usage_sums *u)
{
    sums_clear(&u->walked.members);
    sums_clear(&u->walked.clients);
}

static void keep_walked(struct usage_sums *u)
{
    struct usage_minute *m = minute_at(u, u->at), was = *m;
    *m = u->walked;
    m->minute = u->at;
    m->is_over = u->at <= u->pass - 2 * MINUTE;
    u->walked = was;
    clear_walked(u);
}

static enum err walk_minutes(struct pass *p, struct errmsg *msg)
{
    struct usage_sums *u = p->u;
    for (; u->at <= u->pass; u->at += MINUTE) {
        const struct usage_minute *m = minute_at(u, u->at);
        if (m->minute == u->at && m->is_over)
            continue;
        p->is_day = false;
        enum err e = walk_minute(p, u->at, msg);
        if (e != ERR_OK)
            return e;
        keep_walked(u);
    }
    return ERR_OK;
}

/* ---- the day ---- */

static void begin_day(struct usage_sums *u)
{
    int64_t start = u->pass - u->pass % DAY;
    if (u->day_start == start && u->until <= u->pass)
        return;
    sums_clear(&u->day);
    u->day_start = u->until = start;
    u->day_from[0] = '\0';
}

/* What lies before the minutes at hand. */
static enum err walk_day(struct pass *p, struct errmsg *msg)
{
    struct usage_sums *u = p->u;
    p->is_day = true;
    p->end_us = clock_mono_us() + PIECE_US;
    while (u->until < oldest_of(u->pass)) {
        enum err e = walk_minute(p, u->until, msg);
        if (e != ERR_OK)
            return e;
        u->until += MINUTE;
        if (clock_mono_us() > p->end_us)
            return ERR_AGAIN;
    }
    return ERR_OK;
}

/* A minute that is over goes from the minutes at hand into the day. */
static enum err fold_minutes(struct usage_sums *u)
{
    while (u->until <= u->pass - 2 * MINUTE) {
        const struct usage_minute *m = minute_at(u, u->until);
        for (size_t i = 0; i < m->clients.size; i++) {
            const struct sum *s = &m->clients.v[i];
            enum err e = s->a ? sums_add(&u->day, s->a, s->b, s) : ERR_OK;
            if (e != ERR_OK)
                return e;
        }
        u->until += MINUTE;
    }
    return ERR_OK;
}

/* ---- what is shown ---- */

static enum err add_up(struct sums *to, const struct sums *from, bool is_recent)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < from->size; i++) {
        struct sum s = from->v[i];
        s.recent = is_recent ? s.requests : 0;
        if (s.a)
            e = sums_add(to, s.a, s.b, &s);
    }
    return e;
}

static enum err show_members(struct usage_sums *u)
{
    enum err e = ERR_OK;
    sums_clear(&u->members);
    for (int i = 0; e == ERR_OK && i < USAGE_MINUTES; i++)
        e = add_up(&u->members, &u->minutes[i].members, u->minutes[i].minute >= u->pass - MINUTE);
    u->window_s = e == ERR_OK ? u->pass_s - oldest_of(u->pass) : 0;
    return e;
}

static enum err show_clients(struct usage_sums *u)
{
    sums_clear(&u->clients);
    enum err e = add_up(&u->clients, &u->day, false);
    for (int i = 0; e == ERR_OK && i < USAGE_MINUTES; i++) {
        const struct usage_minute *m = &u->minutes[i];
        if (m->minute >= u->until)
            e = add_up(&u->clients, &m->clients, m->minute == u->pass - MINUTE);
    }
    u->has_day = e == ERR_OK;
    return e;
}

/* ---- a piece of a pass ---- */

static void begin(struct usage_sums *u, int64_t now_s, uint64_t look)
{
    u->pass_s = now_s;
    u->pass = now_s - now_s % MINUTE;
    u->at = oldest_of(u->pass);
    u->from[0] = '\0';
    u->look = look;
    u->is_under_way = true;
    clear_walked(u);
    begin_day(u);
}

/* The minutes come first: a day that is long in coming does not keep them waiting. */
static enum err go_on(struct pass *p, struct errmsg *msg)
{
    struct usage_sums *u = p->u;
    enum err e = walk_minutes(p, msg);
    if (e == ERR_OK)
        e = show_members(u);
    if (e != ERR_OK)
        return e;
    u->is_under_way = false;
    e = walk_day(p, msg);
    if (e == ERR_OK)
        e = fold_minutes(u);
    return e == ERR_OK ? show_clients(u) : e;
}

/* Half of something may have been added: from the start again. */
static void give_up(struct usage_sums *u)
{
    u->is_under_way = false;
    u->look = 0;
    u->day_start = -1;
    u->window_s = 0;
    u->has_day = false;
}

bool usage_is_partial(const struct usage_sums *u)
{
    return u->is_under_way || !u->has_day;
}

bool usage_is_due(const struct usage_sums *u, uint64_t look, int64_t now_s, bool at_once)
{
    if (!at_once && clock_mono_us() < u->due_us)
        return false;
    return usage_is_partial(u) || u->look != look || u->pass != now_s - now_s % MINUTE;
}

enum err usage_sum(struct usage_sums *u, struct store *s, const struct board *b, uint64_t look,
                   struct errmsg *msg)
{
    uint64_t start = clock_mono_us();
    struct pass p = {.u = u, .s = s, .b = b, .end_us = start + PIECE_US};
    if (!u->is_under_way)
        begin(u, b->now_s, look);
    enum err e = go_on(&p, msg);
    uint64_t end = clock_mono_us();
    uint64_t rest = (end - start) * (u->window_s && u->has_day ? SHARE : FIRST_SHARE);
    u->due_us = end + (e == ERR_OK && rest < QUIET_US ? QUIET_US : rest);
    if (e == ERR_AGAIN)
        return ERR_OK;
    if (e != ERR_OK)
        give_up(u);
    return e;
}

/* ---- into the board ---- */

static void show_member(const struct usage_sums *u, const struct board *b, struct board_member *m)
{
    m->figures = (struct board_figures){.open = -1};
    if (u->window_s == 0)
        return;
    const struct sum *s = sums_get(&u->members, b->pools[m->pool].id, b->accounts[m->account].id);
    m->figures = (struct board_figures){
        .is_known = true,
        .window_s = u->window_s,
        .requests = s->requests,
        .limited = s->limited,
        .errors = s->errors,
        .recent_s = u->window_s - (USAGE_MINUTES - 2) * MINUTE,
        .recent = s->recent,
        .open = -1,
    };
}

static void show_client(const struct usage_sums *u, struct board_client *c)
{
    static const struct sum none;
    const struct sum *s = u->has_day ? sums_get(&u->clients, c->id, 0) : &none;
    c->has_usage = u->has_day;
    c->minute_requests = s->recent;
    c->today_requests = s->requests;
    c->today_errors = s->errors;
    c->today_limited = s->limited;
    c->today_tokens_in = s->tokens_in;
    c->today_tokens_out = s->tokens_out;
}

void usage_show(const struct usage_sums *u, struct board *b, struct board_client *clients)
{
    for (int i = 0; i < b->member_count; i++)
        show_member(u, b, &b->members[i]);
    for (int i = 0; i < b->client_count; i++)
        show_client(u, &clients[i]);
}
