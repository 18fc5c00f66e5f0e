/* Requests under way as the daemon tells them and ended ones as the store keeps them, as one list.
 */
#include "base/mem.h"
#include "views/live_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void take(char *to, size_t size, const char *from)
{
    struct slice s = slice_of(from ? from : "");
    if (!slice_copy(slice_sub(s, 0, size - 1), to, size))
        to[0] = '\0';
}
#define TAKE(array, from) take(array, sizeof(array), from)

/* FNV-1a: a request keeps its place when it ends. */
static int64_t key_of(const char *id)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 0x100000001b3u;
    return (int64_t)h;
}

/* ---- under way ---- */

static void take_tries(const struct feed_exchange *x, struct live_row *r)
{
    struct sbuf out = {.p = r->tries, .size = sizeof r->tries, .max = sizeof r->tries - 1};
    for (int i = 0; i < x->attempt_count && x->attempt_count > 1; i++) {
        const struct feed_attempt *a = &x->attempts[i];
        char status[24];
        snprintf(status, sizeof status, "%lld", (long long)a->status);
        sbuf_addf(&out, "%s%s:%s", i ? " " : "", a->account ? a->account : "",
                  a->status                 ? status
                  : a->reason && *a->reason ? a->reason
                                            : "-");
    }
    r->tries[out.failed ? 0 : out.n] = '\0';
}

static void take_live(const struct feed_exchange *x, int64_t now_ms, struct live_row *r)
{
    *r = (struct live_row){.key = key_of(x->id),
                           .is_live = true,
                           .when_ms = now_ms - x->age_ms,
                           .status = x->status,
                           .up = x->up,
                           .down = x->down,
                           .ms = x->age_ms,
                           .ttfb_ms = x->first_ms,
                           .route_ms = x->route_ms,
                           .token_ms = x->token_ms,
                           .sent_ms = x->sent_ms};
    TAKE(r->id, x->id);
    TAKE(r->phase, x->phase);
    TAKE(r->peer, x->peer);
    TAKE(r->client, x->client);
    TAKE(r->account, x->account);
    TAKE(r->method, x->method);
    TAKE(r->host, x->host);
    TAKE(r->path, x->path);
    TAKE(r->model, x->model);
    TAKE(r->front, x->front);
    TAKE(r->back, x->back);
    take_tries(x, r);
}

/* ---- ended ---- */

static void take_ended(const struct board_request *q, struct live_row *r)
{
    *r = (struct live_row){.key = key_of(q->request_id),
                           .has_failed = q->status == 0 || q->status >= 400 || *q->reason,
                           .when_ms = q->at_ms,
                           .status = q->status,
                           .up = q->up,
                           .down = q->down,
                           .ms = q->ms,
                           .ttfb_ms = q->ttfb_ms > 0 ? q->ttfb_ms : -1,
                           .route_ms = -1,
                           .token_ms = -1,
                           .sent_ms = -1};
    TAKE(r->id, q->request_id);
    TAKE(r->phase, r->has_failed ? "FAIL" : "done");
    TAKE(r->peer, q->peer);
    TAKE(r->client, q->client);
    TAKE(r->account, q->account);
    TAKE(r->method, q->method);
    TAKE(r->host, q->host);
    TAKE(r->path, q->path);
    TAKE(r->model, q->model);
    TAKE(r->front, q->front);
    TAKE(r->back, q->back);
    TAKE(r->reason, q->reason);
    TAKE(r->tries, q->tried);
}

/* ---- both ---- */

static bool has_key(const struct live_row *rows, int count, int64_t key)
{
    for (int i = 0; i < count; i++)
        if (rows[i].key == key)
            return true;
    return false;
}

static int newest_first(const void *x, const void *y)
{
    const struct live_row *a = x, *b = y;
    if (a->when_ms != b->when_ms)
        return a->when_ms < b->when_ms ? 1 : -1;
    return (a->key > b->key) - (a->key < b->key);
}

static bool make_room(struct live *v, int n)
{
    if (n <= v->space)
        return true;
    struct live_row *more = mem_realloc(v->rows, (size_t)n * sizeof *more);
    if (!more)
        return false;
    v->rows = more;
    v->space = n;
    return true;
}

void live_collect(struct live *v)
{
    const struct board *b = app_board(v->screen.app);
    const struct feed_live *f = feed_live(app_feed(v->screen.app));
    bool is_live = app_is_live(v->screen.app) && f->at_ms;
    v->live_count = is_live ? f->count : 0;
    v->count = 0;
    if (!make_room(v, b->request_count + v->live_count))
        return;
    for (int i = 0; i < b->request_count && v->show != LIVE_UNDER_WAY; i++)
        take_ended(&b->requests[i], &v->rows[v->count++]);
    int ended = v->count;
    for (int i = 0; i < v->live_count && v->show != LIVE_ENDED; i++) {
        take_live(&f->rows[i], b->now_ms, &v->rows[v->count]);
        /* the store is newer than the daemon's last answer: it has ended meanwhile */
        v->count += !has_key(v->rows, ended, v->rows[v->count].key);
    }
    if (v->count > 1)
        qsort(v->rows, (size_t)v->count, sizeof *v->rows, newest_first);
}
