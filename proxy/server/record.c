/* What an exchange leaves behind: a line in the log at once; figures, and the last requests, once a
 * second by letter. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/server_internal.h"
#include "store/client.h"
#include "store/request.h"
#include "store/usage.h"
#include "store/writer.h"

#include <stdio.h>

#define USAGE_SLOTS 256u
#define ROWS_MAX 64u /* requests kept for each second and worker; failures go first */
#define NAME_SIZE 96u

const double duration_bounds_s[DURATION_BUCKETS] = {0.01, 0.05, 0.1, 0.25, 0.5, 1,
                                                    2.5,  5,    10,  30,   60};

struct usage_slot {
    bool is_used;
    int64_t client_id, account_id;
    uint64_t requests, errors, limited, up, down, ms;
    char client[NAME_SIZE], account[NAME_SIZE], model[NAME_SIZE];
};

struct row {
    char request_id[32], peer[64], client[NAME_SIZE], account[NAME_SIZE], tried[160], method[12];
    char host[160], path[256], model[NAME_SIZE], reason[40];
    int status;
    bool front_is_h2, back_is_h2;
    uint32_t attempts;
    uint64_t up, down, ttfb_ms, ms;
    int64_t at_ms;
};

/* One second's worth. First the figures, then it goes on to the writer. */
struct batch {
    struct letter letter;
    struct server *server;
    int64_t at_s;
    uint32_t usage_count, row_count;
    struct usage_slot usage[USAGE_SLOTS];
    struct row rows[ROWS_MAX];
};

/* On its way to main. */
struct tally_letter {
    struct letter letter;
    struct server *server;
    struct tally_letter *before; /* an older one, until the flush */
    struct tally tally;
};

struct recorder {
    struct batch *now;          /* NULL: nothing since the last flush */
    struct tally_letter *tally; /* the newest; NULL the same */
};

enum err recorder_create(struct recorder **ret)
{
    *ret = mem_calloc(1, sizeof **ret);
    return *ret ? ERR_OK : ERR_NOMEM;
}

void recorder_destroy(struct recorder *r)
{
    if (!r)
        return;
    while (r->tally) {
        struct tally_letter *l = r->tally;
        r->tally = l->before;
        mem_free(l);
    }
    mem_free(r->now);
    mem_free(r);
}

/* ---- the line ---- */

static void print_attempts(const struct exchange_record *e, struct sbuf *out)
{
    for (uint32_t i = 0; i < e->attempt_count; i++) {
        if (i)
            sbuf_addc(out, ' ');
        sbuf_add_slice(out, e->attempts[i].account);
        sbuf_addc(out, ':');
        if (e->attempts[i].status)
            sbuf_add_u64(out, (uint64_t)e->attempts[i].status);
        else
            sbuf_adds(out, e->attempts[i].reason ? e->attempts[i].reason : "-");
    }
}

static void log_line(const struct exchange_record *e)
{
    char text[512];
    struct sbuf tried = {.p = text, .size = sizeof text, .max = sizeof text - 1};
    print_attempts(e, &tried);
    LOG(LOG_INFO, "exchange", KV_U("conn", e->conn_id), KV_S("id", e->request_id),
        KV_S("peer", e->peer), KV_S("client", e->client ? e->client->name : (struct slice){"", 0}),
        KV_S("account", e->account ? e->account->name : (struct slice){"", 0}),
        KV_S("method", e->method), KV_S("host", e->host), KV_S("path", e->path),
        KV_S("query_keys", e->query_keys), KV_S("model", e->model), KV_I("status", e->status),
        KV_S("attempts", sbuf_slice(&tried)), KV_Z("reason", e->reason ? e->reason : ""),
        KV_U("up", e->bytes_up), KV_U("down", e->bytes_down), KV_U("ttfb_ms", e->ttfb_ms),
        KV_U("ms", e->ms));
}

/* ---- figures ---- */

static void set_name(char *to, struct slice s)
{
    if (!slice_copy(slice_sub(s, 0, NAME_SIZE - 1), to, NAME_SIZE))
        to[0] = '\0';
}

static bool same_name(const char *have, struct slice s)
{
    return slice_eq(slice_of(have), slice_sub(s, 0, NAME_SIZE - 1));
}

static struct usage_slot *find_slot(struct batch *b, const struct exchange_record *e)
{
    int64_t client = e->client ? e->client->id : 0, account = e->account ? e->account->id : 0;
    uint64_t h = (uint64_t)client * 31 + (uint64_t)account * 1009;
    for (size_t i = 0; i < e->model.n; i++)
        h = h * 131 + (unsigned char)e->model.p[i];
    for (uint32_t i = 0; i < USAGE_SLOTS; i++) {
        struct usage_slot *s = &b->usage[(h + i) % USAGE_SLOTS];
        if (s->is_used && s->client_id == client && s->account_id == account &&
            same_name(s->model, e->model))
            return s;
        if (s->is_used)
            continue;
        s->is_used = true;
        s->client_id = client;
        s->account_id = account;
        set_name(s->client, e->client ? e->client->name : (struct slice){"", 0});
        set_name(s->account, e->account ? e->account->name : (struct slice){"", 0});
        set_name(s->model, e->model);
        b->usage_count++;
        return s;
    }
    return NULL; /* 256 different ones within a second: what comes on top is not counted by model */
}

static void add_usage(struct batch *b, const struct exchange_record *e)
{
    struct usage_slot *s = find_slot(b, e);
    if (!s)
        return;
    bool limited = e->status == 429 || e->status == 529;
    s->requests++;
    s->limited += limited;
    s->errors += !limited && (e->status >= 400 || e->status == 0);
    s->up += e->bytes_up;
    s->down += e->bytes_down;
    s->ms += e->ms;
}

/* ---- the last requests ---- */

static void set_text(char *to, size_t size, struct slice s)
{
    if (!slice_copy(slice_sub(s, 0, size - 1), to, size))
        to[0] = '\0';
}

static void add_row(struct batch *b, const struct exchange_record *e)
{
    bool failed = e->status == 0 || e->status >= 400;
    if (b->row_count >= (failed ? ROWS_MAX : ROWS_MAX / 2))
        return;
    struct row *r = &b->rows[b->row_count++];
    struct sbuf tried = {.p = r->tried, .size = sizeof r->tried, .max = sizeof r->tried - 1};
    if (e->attempt_count > 1)
        print_attempts(e, &tried);
    r->tried[tried.n] = '\0';
    set_text(r->request_id, sizeof r->request_id, e->request_id);
    set_text(r->peer, sizeof r->peer, e->peer);
    set_text(r->client, sizeof r->client, e->client ? e->client->name : (struct slice){"", 0});
    set_text(r->account, sizeof r->account, e->account ? e->account->name : (struct slice){"", 0});
    set_text(r->method, sizeof r->method, e->method);
    set_text(r->host, sizeof r->host, e->host);
    set_text(r->path, sizeof r->path, e->path);
    set_text(r->model, sizeof r->model, e->model);
    set_text(r->reason, sizeof r->reason, slice_of(e->reason ? e->reason : ""));
    r->status = e->status;
    r->front_is_h2 = e->front_is_h2;
    r->back_is_h2 = e->back_is_h2;
    r->attempts = e->attempt_count;
    r->up = e->bytes_up;
    r->down = e->bytes_down;
    r->ttfb_ms = e->ttfb_ms;
    r->ms = e->ms;
    r->at_ms = clock_wall_ms();
}

/* ---- seconds ---- */

/* The one of this second; NULL without memory. */
static struct tally *tally_at(struct recorder *r, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000u;
    if (r->tally && r->tally->tally.second == second && tally_has_room(&r->tally->tally))
        return &r->tally->tally;
    struct tally_letter *l = mem_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->tally.second = second;
    l->before = r->tally;
    r->tally = l;
    return &l->tally;
}

void recorder_answered(struct recorder *r, int64_t pool_id, int64_t account_id, int64_t generation,
                       uint64_t now_ms)
{
    struct tally *t = tally_at(r, now_ms);
    if (t)
        tally_slot(t, pool_id, account_id, generation)->answers++;
}

static void deliver_tally(struct letter *letter)
{
    struct tally_letter *l = container_of(letter, struct tally_letter, letter);
    window_add(l->server->window, &l->tally);
    mem_free(l);
}

void recorder_tell(struct recorder *r, struct server *s)
{
    while (r->tally) {
        struct tally_letter *l = r->tally;
        r->tally = l->before;
        l->server = s;
        l->letter.deliver = deliver_tally;
        mailbox_post(s->box, &l->letter);
    }
}

void recorder_add(struct recorder *r, const struct exchange_record *e, uint64_t now_ms)
{
    if (log_wants(LOG_INFO))
        log_line(e);
    if (!r->now)
        r->now = mem_calloc(1, sizeof *r->now);
    if (r->now) {
        add_usage(r->now, e);
        add_row(r->now, e);
    }
    struct tally *t = tally_at(r, now_ms);
    if (t)
        tally_add(t, e);
}

/* ---- on the writer ---- */

/* The length never looks past the field: with the whole program in view the compiler cannot tell
 * that a terminator is there. */
#define FIELD(array) slice_make(array, strnlen(array, sizeof(array)))

static enum err write_usage(struct store *s, const struct batch *b)
{
    for (uint32_t i = 0; i < USAGE_SLOTS; i++) {
        const struct usage_slot *u = &b->usage[i];
        if (!u->is_used)
            continue;
        struct usage row = {.minute = b->at_s,
                            .client = FIELD(u->client),
                            .account = FIELD(u->account),
                            .model = FIELD(u->model),
                            .requests = (int64_t)u->requests,
                            .errors = (int64_t)u->errors,
                            .limited = (int64_t)u->limited,
                            .bytes_up = (int64_t)u->up,
                            .bytes_down = (int64_t)u->down,
                            .ms = (int64_t)u->ms};
        enum err e = usage_add(s, &row, NULL);
        if (e == ERR_OK && u->client_id)
            e = client_seen(s, u->client_id, b->at_s, NULL);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static enum err write_batch(struct store *s, void *arg)
{
    const struct batch *b = arg;
    enum err e = write_usage(s, b);
    for (uint32_t i = 0; i < b->row_count && e == ERR_OK; i++) {
        const struct row *r = &b->rows[i];
        struct request_row row = {.at_ms = r->at_ms,
                                  .request_id = FIELD(r->request_id),
                                  .peer = FIELD(r->peer),
                                  .client = FIELD(r->client),
                                  .account = FIELD(r->account),
                                  .tried = FIELD(r->tried),
                                  .method = FIELD(r->method),
                                  .host = FIELD(r->host),
                                  .path = FIELD(r->path),
                                  .model = FIELD(r->model),
                                  .front = r->front_is_h2 ? SLICE("h2") : SLICE("h1"),
                                  .back = r->back_is_h2 ? SLICE("h2") : SLICE("h1"),
                                  .status = r->status,
                                  .attempts = r->attempts,
                                  .reason = FIELD(r->reason),
                                  .bytes_up = (int64_t)r->up,
                                  .bytes_down = (int64_t)r->down,
                                  .ttfb_ms = (int64_t)r->ttfb_ms,
                                  .ms = (int64_t)r->ms};
        e = request_add(s, &row, NULL);
    }
    return e;
}

/* ---- on main ---- */

static void deliver(struct letter *l)
{
    struct batch *b = container_of(l, struct batch, letter);
    struct server *s = b->server;
    for (uint32_t i = 0; i < USAGE_SLOTS; i++) {
        const struct usage_slot *u = &b->usage[i];
        if (!u->is_used)
            continue;
        if (u->client_id)
            limits_add_usage(s->limits, u->client_id, b->at_s, u->requests, u->errors + u->limited,
                             u->up, u->down);
        if (u->account_id)
            server_add_account(s, u->account_id, u->requests, u->limited, u->errors);
    }
    writer_post(s->writer, (struct writer_job){write_batch, mem_free, b, true});
}

void recorder_flush(struct recorder *r, struct server *s)
{
    struct batch *b = r->now;
    recorder_tell(r, s);
    if (!b)
        return;
    r->now = NULL;
    b->server = s;
    b->at_s = clock_wall_s();
    b->letter.deliver = deliver;
    mailbox_post(s->box, &b->letter);
}

void server_add_account(struct server *s, int64_t id, uint64_t requests, uint64_t limited,
                        uint64_t errors)
{
    struct account_figures *a = NULL;
    for (size_t i = 0; i < s->account_count && !a; i++)
        if (s->accounts[i].id == id)
            a = &s->accounts[i];
    if (!a) {
        struct account_figures *more =
            mem_realloc(s->accounts, (s->account_count + 1) * sizeof *more);
        if (!more)
            return;
        s->accounts = more;
        a = &more[s->account_count++];
        *a = (struct account_figures){.id = id};
    }
    a->requests += requests;
    a->limited += limited;
    a->errors += errors;
}
