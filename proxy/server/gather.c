/* One question to all workers: a letter to each, which comes back with the answer. On main, but for
 * what is marked. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "exchange/look.h"
#include "server/server_internal.h"

#include <stdio.h>

#define PATIENCE_MS 1000u
#define TEXT_MAX (1u << 20)
#define PATH_MAX_SHOWN 512u
#define OPEN_MAX 65536u /* slots */

/* ---- on a worker ---- */

static struct open_slot *open_slot(struct open_slot *table, size_t size, int64_t pool_id,
                                   int64_t account_id)
{
    uint64_t h = ((uint64_t)pool_id * 1009u + (uint64_t)account_id) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0, at = (size_t)(h >> 40); i < size; i++, at++) {
        struct open_slot *s = &table[at & (size - 1)];
        if (s->account_id == 0 || (s->account_id == account_id && s->pool_id == pool_id))
            return s;
    }
    return NULL;
}

static void count_in(struct gather_part *p, int64_t pool_id, int64_t account_id)
{
    struct open_slot *s = open_slot(p->open, p->open_size, pool_id, account_id);
    if (!s)
        return;
    s->pool_id = pool_id;
    s->account_id = account_id;
    s->count++;
}

static bool count_open(void *arg, const struct exchange_look *look)
{
    const struct exchange_record *e = &look->so_far;
    if (look->is_open && e->account)
        count_in(arg, e->pool_id, e->account->id);
    return true;
}

static void count_token(void *arg, int64_t account_id)
{
    count_in(arg, POOL_NONE, account_id);
}

static void answer_open(struct gather_part *p)
{
    struct worker *w = p->worker;
    if (w->recorder)
        recorder_tell(w->recorder, w->server);        /* comes before us: the figures are of now */
    const struct token_cache *tokens = w->svc.tokens; /* a worker without them holds none */
    size_t most = w->svc.exchange_count + (tokens ? token_cache_count(tokens) : 0);
    p->open_size = 16;
    while (p->open_size < OPEN_MAX && p->open_size < 2u * most)
        p->open_size *= 2;
    p->open = mem_calloc(p->open_size, sizeof *p->open);
    if (!p->open)
        return;
    if (tokens)
        token_cache_each(tokens, clock_wall_s(), count_token, p);
    exchanges_look(&w->svc, count_open, p);
}

static void print_ms(struct sbuf *out, const char *name, int64_t ms)
{
    if (ms < 0)
        sbuf_addf(out, "\"%s\":null", name);
    else
        sbuf_addf(out, "\"%s\":%lld", name, (long long)ms);
}

static void print_text(struct sbuf *out, const char *name, struct slice text)
{
    sbuf_addf(out, ",\"%s\":", name);
    sbuf_add_json(out, text);
}

/* "" when there is none. */
static void print_name(struct sbuf *out, const char *name, struct slice text)
{
    if (text.n)
        print_text(out, name, text);
    else
        sbuf_addf(out, ",\"%s\":null", name);
}

static void print_attempts(struct sbuf *out, const struct exchange_record *e)
{
    sbuf_adds(out, ",\"attempts\":[");
    for (uint32_t i = 0; i < e->attempt_count; i++) {
        const struct attempt *a = &e->attempts[i];
        sbuf_adds(out, i ? ",{\"account\":" : "{\"account\":");
        sbuf_add_json(out, a->account);
        sbuf_addf(out, ",\"status\":%d", a->status);
        print_name(out, "reason", slice_of(a->reason ? a->reason : ""));
        sbuf_addc(out, '}');
    }
    sbuf_addc(out, ']');
}

static void print_row(struct sbuf *out, const struct exchange_look *look, uint32_t worker)
{
    const struct exchange_record *e = &look->so_far;
    sbuf_adds(out, "{\"id\":");
    sbuf_add_json(out, e->request_id);
    sbuf_addf(out, ",\"conn\":%llu,\"worker\":%u,\"age_ms\":%llu,\"phase\":\"%s\"",
              (unsigned long long)e->conn_id, worker, (unsigned long long)e->ms, look->phase);
    print_name(out, "client", e->client ? e->client->name : (struct slice){"", 0});
    print_text(out, "peer", e->peer);
    print_name(out, "account", e->account ? e->account->name : (struct slice){"", 0});
    print_text(out, "method", e->method);
    print_text(out, "host", e->host);
    print_text(out, "path", slice_sub(e->path, 0, PATH_MAX_SHOWN));
    print_text(out, "model", slice_sub(e->model, 0, PATH_MAX_SHOWN));
    sbuf_addf(out, ",\"status\":%d", e->status);
    print_attempts(out, e);
    sbuf_addf(out, ",\"up\":%llu,\"down\":%llu,\"front\":\"%s\"", (unsigned long long)e->bytes_up,
              (unsigned long long)e->bytes_down, e->front_is_h2 ? "h2" : "h1");
    if (look->sent_ms < 0)
        sbuf_adds(out, ",\"back\":null,\"ms\":{");
    else
        sbuf_addf(out, ",\"back\":\"%s\",\"ms\":{", e->back_is_h2 ? "h2" : "h1");
    print_ms(out, "route", look->route_ms);
    sbuf_addc(out, ',');
    print_ms(out, "token", look->token_ms);
    sbuf_addc(out, ',');
    print_ms(out, "sent", look->sent_ms);
    sbuf_addc(out, ',');
    print_ms(out, "first", look->first_ms);
    sbuf_adds(out, "}}");
}

static bool add_row(void *arg, const struct exchange_look *look)
{
    struct gather_part *p = arg;
    size_t from = p->text.n;
    if (p->row_count == p->gather->limit)
        return false;
    print_row(&p->text, look, p->worker->index);
    if (p->text.failed)
        return false; /* what does not fit is not shown; the total says so */
    p->rows[p->row_count++] =
        (struct live_row){.began_ms = look->began_ms, .from = from, .n = p->text.n - from};
    return true;
}

static void answer_live(struct gather_part *p)
{
    struct services *s = &p->worker->svc;
    loop_now(p->worker->loop); /* ages are of now */
    p->total = s->exchange_count;
    p->rows = mem_calloc((size_t)p->gather->limit + 1, sizeof *p->rows);
    if (p->rows)
        exchanges_look(s, add_row, p);
}

static bool note_client(void *arg, const struct exchange_look *look)
{
    struct gather_part *p = arg;
    struct slice name = look->so_far.client ? look->so_far.client->name : SLICE("nobody known");
    (void)slice_copy(slice_sub(name, 0, sizeof p->client - 1), p->client, sizeof p->client);
    return true;
}

static void answer_end(struct gather_part *p)
{
    struct worker *w = p->worker;
    p->has_ended =
        exchange_end(&w->svc, slice_of(p->gather->id), "ended_by_operator", note_client, p);
    if (p->has_ended)
        loop_end_pass(w->loop);
}

static void deliver_back(struct letter *l);

static void deliver_question(struct letter *l)
{
    struct gather_part *p = container_of(l, struct gather_part, letter);
    switch (p->gather->ask) {
    case ASK_OPEN:
        answer_open(p);
        break;
    case ASK_LIVE:
        answer_live(p);
        break;
    case ASK_END:
        answer_end(p);
        break;
    }
    l->deliver = deliver_back;
    mailbox_post(p->worker->server->box, l);
}

/* ---- on main ---- */

static void gather_free(struct gather *g)
{
    deadline_clear(&g->deadline);
    for (uint32_t i = 0; i < g->part_count; i++) {
        mem_free(g->parts[i].open);
        mem_free(g->parts[i].rows);
        sbuf_finish(&g->parts[i].text);
    }
    mem_free(g);
}

static void tell(struct gather *g)
{
    if (g->is_done)
        return;
    g->is_done = true;
    deadline_clear(&g->deadline);
    g->done(g);
}

static void on_late(struct deadline *d)
{
    tell(container_of(d, struct gather, deadline)); /* it goes when its letters are back */
}

/* Written down even when it took so long that nobody waits for the answer any more. */
static void audit_end(const struct gather *g, const struct gather_part *p)
{
    char what[192];
    snprintf(what, sizeof what, "ended request %s of %.128s", g->id, p->client);
    control_audit(g->server, g->uid, what);
}

static void deliver_back(struct letter *l)
{
    struct gather_part *p = container_of(l, struct gather_part, letter);
    struct gather *g = p->gather;
    p->has_come = true;
    if (p->has_ended)
        audit_end(g, p);
    bool is_all = ++g->back_count == g->part_count;
    if (is_all || p->has_ended)
        tell(g);
    if (is_all)
        gather_free(g);
}

enum err gather_begin(struct server *s, const struct gather_ask *q, void (*done)(struct gather *g),
                      void *arg)
{
    struct gather *g = mem_calloc(1, sizeof *g + s->worker_count * sizeof g->parts[0]);
    if (!g)
        return ERR_NOMEM;
    g->server = s;
    g->ask = q->ask;
    g->limit = q->limit;
    g->uid = q->uid;
    g->done = done;
    g->arg = arg;
    g->part_count = s->worker_count;
    g->deadline.fire = on_late;
    (void)slice_copy(slice_sub(q->id, 0, sizeof g->id - 1), g->id, sizeof g->id);
    deadline_set(&s->loop->wheel, &g->deadline, loop_now(s->loop) + PATIENCE_MS);
    for (uint32_t i = 0; i < g->part_count; i++) {
        struct gather_part *p = &g->parts[i];
        p->gather = g;
        p->worker = s->workers[i];
        p->letter.deliver = deliver_question;
        sbuf_init(&p->text, TEXT_MAX);
        mailbox_post(p->worker->box, &p->letter);
    }
    return ERR_OK;
}

uint64_t gather_open(const struct gather *g, int64_t pool_id, int64_t account_id)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->part_count; i++) {
        const struct gather_part *p = &g->parts[i];
        const struct open_slot *s =
            p->has_come && p->open ? open_slot(p->open, p->open_size, pool_id, account_id) : NULL;
        sum += s ? s->count : 0;
    }
    return sum;
}
