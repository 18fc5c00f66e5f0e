/* The store as it is now, for the screens: opened, followed and read anew where it moved. Each
 * table is read into memory of its own, and takes the place of the older one when all of them are
 * there. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "store/event.h"
#include "views/board_internal.h"

#include <stdio.h>

#define FLAGS (STORE_READ_ONLY | STORE_ALLOW_NEWER)

struct board_source {
    struct board board;
    const char *path;
    struct store *store;
    int64_t version;     /* of its data, as its connection counts */
    uint64_t look;       /* goes up when something may have moved */
    unsigned unreadable; /* needs that a newer schema does not let us read */
    struct part parts[PART_COUNT];
    struct usage_sums usage;
};

static const unsigned need_of[PART_COUNT] = {
    [PART_ACCOUNTS] = BOARD_ACCOUNTS, [PART_POOLS] = BOARD_ACCOUNTS,
    [PART_MEMBERS] = BOARD_ACCOUNTS,  [PART_TOKENS] = BOARD_TOKENS,
    [PART_CLIENTS] = BOARD_CLIENTS,   [PART_RULES] = BOARD_RULES,
    [PART_MODELS] = BOARD_MODELS,     [PART_EVENTS] = BOARD_EVENTS,
    [PART_REQUESTS] = BOARD_REQUESTS, [PART_NODES] = BOARD_NODES,
};

enum err board_create(const struct conf *conf, struct board_source **ret)
{
    struct board_source *b = mem_calloc(1, sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->path = conf->store_path;
    b->look = 1;
    *ret = b;
    return ERR_OK;
}

static void let_go(struct board_source *b)
{
    store_close(b->store);
    b->store = NULL;
}

void board_destroy(struct board_source *b)
{
    if (!b)
        return;
    let_go(b);
    for (int i = 0; i < PART_COUNT; i++)
        part_finish(&b->parts[i]);
    usage_finish(&b->usage);
    mem_free(b);
}

void board_touch(struct board_source *b)
{
    b->look++;
    b->usage.due_us = 0;
}

const struct board *board_get(const struct board_source *b)
{
    return &b->board;
}

int board_account_find(const struct board *b, const char *name)
{
    const struct part p = {.rows = (char *)(uintptr_t)b->accounts,
                           .row_size = sizeof *b->accounts,
                           .count = b->account_count};
    return part_find(&p, name);
}

int board_pool_find(const struct board *b, const char *name)
{
    for (int i = 0; i < b->pool_count; i++)
        if (strcmp(b->pools[i].name, name) == 0)
            return i;
    return -1;
}

/* Its members lie in the order of their accounts, as the accounts do in that of their names. */
struct board_member *board_member_find(struct board_source *b, const char *pool,
                                       const char *account)
{
    struct board *d = &b->board;
    int p = board_pool_find(d, pool), a = board_account_find(d, account);
    if (p < 0 || a < 0)
        return NULL;
    int lo = d->pools[p].first, hi = lo + d->pools[p].count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (d->members[mid].account == a)
            return &d->members[mid];
        if (d->members[mid].account < a)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ---- the store ---- */

static enum err be_open(struct board_source *b, struct errmsg *msg)
{
    struct store *was = b->store;
    enum err e = was ? store_follow(&b->store, msg) : store_open(b->path, FLAGS, &b->store, msg);
    if (e == ERR_OK && b->store != was)
        b->version = -1;
    return e;
}

/* A cool-down or a client that ends by itself is news too, once. */
static void look_at_clock(struct board_source *b)
{
    bool is_due = false;
    for (int i = 0; i < PART_COUNT; i++) {
        struct part *p = &b->parts[i];
        if (p->due_s == 0 || p->due_s > b->board.now_s)
            continue;
        p->due_s = 0;
        is_due = true;
    }
    b->look += is_due;
}

/* Has anything moved since? What a newer program has done to the schema meanwhile is seen here. */
static enum err look(struct board_source *b, struct errmsg *msg)
{
    int64_t version = 0;
    enum err e = store_data_version(b->store, &version, msg);
    if (e != ERR_OK)
        return e;
    look_at_clock(b);
    if (version == b->version)
        return ERR_OK;
    e = store_check_schema(b->store, msg);
    if (e != ERR_OK && e != ERR_SCHEMA)
        return e;
    b->board.is_newer = e == ERR_SCHEMA;
    b->version = version;
    b->look++;
    return ERR_OK;
}

/* ---- reading ---- */

struct fresh {
    struct part parts[PART_COUNT];
    bool is_read[PART_COUNT];
    int64_t generation, generation_at;
};

static enum err last_audit(void *arg, const struct event_row *e)
{
    *(int64_t *)arg = e->at_ms / 1000;
    return ERR_OK;
}

static enum err read_generation(struct board_source *b, struct fresh *f, struct errmsg *msg)
{
    const struct event_filter last = {.kinds = 1u << EVENT_AUDIT, .limit = 1};
    enum err e = store_generation(b->store, &f->generation, msg);
    return e == ERR_OK ? event_list(b->store, &last, last_audit, &f->generation_at, msg) : e;
}

static void forget(struct fresh *f, unsigned need)
{
    for (int i = 0; i < PART_COUNT; i++)
        if (need_of[i] & need) {
            part_finish(&f->parts[i]);
            f->is_read[i] = false;
        }
}

/* The tables of one need. A newer schema may have other columns there: then they stay as they were.
 */
static enum err read_need(struct board_source *b, struct fresh *f, struct reading *r, unsigned need,
                          struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (int i = 0; e == ERR_OK && i < PART_COUNT; i++) {
        if (need_of[i] != need)
            continue;
        f->is_read[i] = true;
        r->v[i] = &f->parts[i];
        e = board_read_part(r, (enum board_part)i, msg);
    }
    if (e == ERR_DB && b->board.is_newer) {
        forget(f, need);
        b->unreadable |= need;
        return ERR_OK;
    }
    b->unreadable &= ~need;
    return e;
}

static enum err read_all(struct board_source *b, struct fresh *f, unsigned needs,
                         struct errmsg *msg)
{
    struct reading r = {.s = b->store, .now_ms = b->board.now_ms};
    enum err e = read_generation(b, f, msg);
    if (e == ERR_DB && b->board.is_newer)
        e = ERR_OK;
    for (unsigned need = 1; e == ERR_OK && need < BOARD_USAGE; need <<= 1)
        if (needs & need)
            e = read_need(b, f, &r, need, msg);
    return e;
}

/* ---- into the board ---- */

static void link_tokens(struct board *d)
{
    struct board_account *accounts = (struct board_account *)(uintptr_t)d->accounts;
    for (int i = 0; i < d->account_count; i++)
        accounts[i].token = NULL;
    for (int i = 0; i < d->token_count; i++) {
        const struct board_token *t = &d->tokens[i];
        int a = board_account_find(d, t->account);
        if (a >= 0 && strcmp(accounts[a].scope, t->scope) == 0)
            accounts[a].token = t;
    }
}

#define SHOW(d, parts, which, rows_, count_)                                                       \
    do {                                                                                           \
        (d)->rows_ = (void *)(parts)[which].rows;                                                  \
        (d)->count_ = (parts)[which].count;                                                        \
    } while (0)

static void show(struct board_source *b)
{
    struct board *d = &b->board;
    SHOW(d, b->parts, PART_ACCOUNTS, accounts, account_count);
    SHOW(d, b->parts, PART_POOLS, pools, pool_count);
    SHOW(d, b->parts, PART_MEMBERS, members, member_count);
    SHOW(d, b->parts, PART_TOKENS, tokens, token_count);
    SHOW(d, b->parts, PART_CLIENTS, clients, client_count);
    SHOW(d, b->parts, PART_RULES, rules, rule_count);
    SHOW(d, b->parts, PART_MODELS, models, model_count);
    SHOW(d, b->parts, PART_EVENTS, events, event_count);
    SHOW(d, b->parts, PART_REQUESTS, requests, request_count);
    SHOW(d, b->parts, PART_NODES, nodes, node_count);
    link_tokens(d);
}

static void take(struct board_source *b, struct fresh *f, unsigned needs)
{
    for (int i = 0; i < PART_COUNT; i++) {
        if (f->is_read[i]) {
            part_finish(&b->parts[i]);
            b->parts[i] = f->parts[i];
        }
        if (need_of[i] & needs)
            b->parts[i].look = b->look;
    }
    b->board.generation = f->generation;
    b->board.generation_at = f->generation_at;
    b->board.is_there = true;
    b->board.read_at_ms = b->board.now_ms;
    show(b);
}

static unsigned stale(const struct board_source *b, unsigned needs)
{
    unsigned found = 0;
    for (int i = 0; i < PART_COUNT; i++)
        if (b->parts[i].look != b->look)
            found |= need_of[i] & needs;
    return found;
}

/* All of one moment. */
static enum err refresh(struct board_source *b, unsigned needs, bool *ret_changed,
                        struct errmsg *msg)
{
    struct fresh f = {.generation = 0};
    needs = stale(b, needs);
    if (needs == 0)
        return ERR_OK;
    enum err e = store_read_begin(b->store, msg);
    if (e != ERR_OK)
        return e;
    e = read_all(b, &f, needs, msg);
    store_read_end(b->store);
    if (e != ERR_OK) {
        forget(&f, ~0u);
        return e;
    }
    take(b, &f, needs);
    *ret_changed = true;
    return ERR_OK;
}

static enum err refresh_usage(struct board_source *b, bool *ret_changed, struct errmsg *msg)
{
    enum err e = usage_sum(&b->usage, b->store, &b->board, b->look, msg);
    *ret_changed = true;
    if (e == ERR_OK)
        b->board.usage_at_ms = b->board.now_ms;
    return e;
}

static void say(struct board_source *b, enum err e, unsigned needs, const struct errmsg *msg)
{
    char *to = b->board.problem;
    size_t size = sizeof b->board.problem;
    int pid = e == ERR_BUSY ? store_locked_by(b->path) : 0;
    if (pid)
        snprintf(to, size, "the store is locked by pid %d", pid);
    else if (e == ERR_BUSY)
        snprintf(to, size, "the store is locked by another program");
    else if (e == ERR_NOT_FOUND && b->board.is_there)
        snprintf(to, size, "the store is gone: nothing lies at %.160s; restore a backup", b->path);
    else if (e == ERR_NOT_FOUND)
        snprintf(to, size, "no store at %.160s; credswap ca init makes one", b->path);
    else if (e != ERR_OK)
        snprintf(to, size, "%.*s", (int)size - 1, msg->text[0] ? msg->text : err_str(e));
    else
        snprintf(to, size, "%s",
                 b->unreadable & needs
                     ? "the store is of a newer credswap: some of it cannot be read here"
                     : "");
}

/* What cannot be read now may be read by a connection that looks at the file anew. */
static bool is_lasting(enum err e)
{
    return e != ERR_OK && e != ERR_BUSY && e != ERR_NOMEM && e != ERR_NOT_FOUND;
}

bool board_refresh(struct board_source *b, unsigned needs)
{
    struct errmsg msg = {""};
    char was[sizeof b->board.problem];
    bool was_newer = b->board.is_newer, has_changed = false;
    memcpy(was, b->board.problem, sizeof was);
    b->board.now_ms = clock_wall_ms();
    b->board.now_s = b->board.now_ms / 1000;
    needs |= BOARD_ACCOUNTS;
    enum err e = be_open(b, &msg);
    if (e == ERR_OK)
        e = look(b, &msg);
    bool sums = e == ERR_OK && needs & BOARD_USAGE &&
                usage_is_due(&b->usage, b->look, b->board.now_s, needs & BOARD_AT_ONCE);
    if (e == ERR_OK)
        e = refresh(b, sums ? needs | BOARD_CLIENTS : needs, &has_changed, &msg);
    if (e == ERR_OK && sums)
        e = refresh_usage(b, &has_changed, &msg);
    if (has_changed)
        usage_show(&b->usage, &b->board, (struct board_client *)(uintptr_t)b->board.clients);
    b->board.is_summing = e == ERR_OK && needs & BOARD_USAGE && usage_is_partial(&b->usage);
    say(b, e, needs, &msg);
    if (is_lasting(e))
        let_go(b);
    return has_changed || was_newer != b->board.is_newer || strcmp(was, b->board.problem) != 0;
}
