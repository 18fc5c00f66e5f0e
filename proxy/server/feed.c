/* Answers to the console, one line each, from what main knows and what the workers said. */
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "server/server_internal.h"
#include "store/writer.h"
#include "tls/tls.h"

#include <stdio.h>
#include <unistd.h>

#define TAIL_ROOM 16u /* what ends a line of rows */

/* ---- figures ---- */

static void print_head(struct server *s, struct sbuf *out)
{
    char name[128] = "";
    if (gethostname(name, sizeof name - 1) != 0 || !*name)
        snprintf(name, sizeof name, "localhost");
    sbuf_addf(out,
              "{\"ok\":true,\"cmd\":\"figures\",\"at_ms\":%lld,\"version\":\"%s\",\"state\":\"%s\","
              "\"pid\":%ld,\"name\":",
              (long long)clock_wall_ms(), CREDSWAP_VERSION, state_word(s), (long)getpid());
    sbuf_add_json(out, slice_of(name));
    sbuf_addf(out,
              ",\"uptime_s\":%lld,\"connections\":%llu,\"exchanges\":%llu,\"generation\":%lld,"
              "\"workers\":%u",
              (long long)(clock_wall_s() - s->started_at),
              (unsigned long long)atomic_load(&s->connections),
              (unsigned long long)SUM(s, figures.exchanges), (long long)s->snapshot->generation,
              s->worker_count);
}

static void print_totals(const struct server *s, uint64_t now_s, struct sbuf *out)
{
    struct window_totals t;
    uint64_t requests = 0;
    window_totals(s->window, now_s, &t);
    for (uint32_t i = 0; i < STATUS_CLASSES; i++)
        requests += SUM(s, figures.requests[i]);
    sbuf_adds(out, ",\"rate\":[");
    for (uint32_t i = 0; i < RATE_S; i++)
        sbuf_addf(out, i ? ",%u" : "%u", t.rate[i]);
    sbuf_addf(out, "],\"requests\":%llu,\"errors_5m\":%llu,\"requests_5m\":%llu,\"ttfb_ms\":",
              (unsigned long long)requests, (unsigned long long)t.failures,
              (unsigned long long)t.requests);
    if (t.has_first_byte)
        sbuf_addf(out, "{\"p50\":%llu,\"p95\":%llu}", (unsigned long long)t.p50_ms,
                  (unsigned long long)t.p95_ms);
    else
        sbuf_adds(out, "null");
}

static void print_members(const struct server *s, const struct gather *g, uint64_t now_s,
                          struct sbuf *out)
{
    sbuf_adds(out, ",\"members\":[");
    for (size_t i = 0; i < window_member_count(s->window); i++) {
        struct window_member m;
        window_member(s->window, i, now_s, &m);
        sbuf_adds(out, i ? ",{\"pool\":" : "{\"pool\":");
        sbuf_add_json(out, m.pool->name);
        sbuf_adds(out, ",\"account\":");
        sbuf_add_json(out, m.account->name);
        sbuf_addf(out,
                  ",\"window_s\":%llu,\"requests\":%llu,\"limited\":%llu,\"errors\":%llu,"
                  "\"recent\":%llu,\"open\":%llu,\"held\":%llu}",
                  (unsigned long long)m.window_s, (unsigned long long)m.requests,
                  (unsigned long long)m.limited, (unsigned long long)m.errors,
                  (unsigned long long)m.recent,
                  (unsigned long long)gather_open(g, m.pool_id, m.account_id),
                  (unsigned long long)gather_open(g, POOL_NONE, m.account_id));
    }
    sbuf_addc(out, ']');
}

static void print_parts(const struct server *s, struct sbuf *out)
{
    struct broker_stats b;
    struct writer_stats w;
    broker_stats(s->broker, &b);
    writer_stats(s->writer, &w);
    sbuf_addf(out,
              ",\"writer\":{\"queue\":%llu,\"healthy\":%s},\"tokens\":{\"memory\":%llu,"
              "\"store\":%llu,\"mints\":%llu,\"mint_failures\":%llu,\"flights\":%llu,"
              "\"waited\":%llu,\"clock_skew_s\":",
              (unsigned long long)w.queue, w.is_healthy ? "true" : "false",
              (unsigned long long)SUM(s, figures.token_hits), (unsigned long long)b.from_store,
              (unsigned long long)b.mints, (unsigned long long)b.mint_failures,
              (unsigned long long)b.in_flight, (unsigned long long)b.waits);
    if (b.mints + b.mint_failures)
        sbuf_addf(out, "%lld}", (long long)b.skew_s);
    else
        sbuf_adds(out, "null}");
}

void feed_figures(struct server *s, const struct gather *g, struct sbuf *out)
{
    uint64_t now_s = loop_now(s->loop) / 1000u;
    print_head(s, out);
    print_totals(s, now_s, out);
    print_members(s, g, now_s, out);
    print_parts(s, out);
    sbuf_adds(out, "}\n");
}

/* ---- live ---- */

/* The part whose next row is the oldest; NULL: all were taken. */
static const struct gather_part *oldest(const struct gather *g, const uint32_t *taken)
{
    const struct gather_part *best = NULL;
    uint64_t began = 0;
    for (uint32_t i = 0; i < g->part_count; i++) {
        const struct gather_part *p = &g->parts[i];
        if (!p->has_come || taken[i] == p->row_count)
            continue;
        if (best && p->rows[taken[i]].began_ms >= began)
            continue;
        best = p;
        began = p->rows[taken[i]].began_ms;
    }
    return best;
}

void feed_live(const struct gather *g, struct sbuf *out)
{
    uint32_t taken[WORKERS_MAX] = {0}, silent = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < g->part_count; i++) {
        silent += !g->parts[i].has_come;
        total += g->parts[i].has_come ? g->parts[i].total : 0;
    }
    sbuf_addf(out, "{\"ok\":true,\"cmd\":\"live\",\"total\":%llu,\"silent\":%u,\"live\":[",
              (unsigned long long)total, silent);
    const struct gather_part *p;
    for (uint32_t n = 0; n < g->limit && (p = oldest(g, taken)); n++) {
        const struct live_row *row = &p->rows[taken[p - g->parts]++];
        if (out->n + row->n + TAIL_ROOM > out->max)
            break; /* the total tells that there are more */
        if (n)
            sbuf_addc(out, ',');
        sbuf_add(out, p->text.p + row->from, row->n);
    }
    sbuf_adds(out, "]}\n");
}

/* ---- trust, leaves ---- */

void feed_trust(struct server *s, struct sbuf *out)
{
    sbuf_adds(out, "{\"ok\":true,\"cmd\":\"trust\",");
    trust_print(s->trust, clock_wall_s(), out);
    sbuf_adds(out, "}\n");
}

static void print_leaf(void *arg, const struct leaf_facts *f)
{
    struct sbuf *out = arg;
    sbuf_adds(out, out->n ? ",{\"host\":" : "{\"host\":");
    sbuf_add_json(out, f->host);
    sbuf_addf(out, ",\"expires_at\":%lld,\"signed_at\":%lld,\"hits\":%llu}",
              (long long)f->expires_at, (long long)f->signed_at, (unsigned long long)f->hits);
}

void feed_leaves(struct server *s, uint32_t limit, struct sbuf *out)
{
    struct sbuf rows;
    struct leaf_sums sums;
    sbuf_init(&rows, out->max / 2);
    leaf_cache_look(s->leaves, limit, print_leaf, &rows, &sums);
    sbuf_addf(out,
              "{\"ok\":true,\"cmd\":\"leaves\",\"cached\":%zu,\"max\":%zu,\"hits\":%llu,"
              "\"signed\":%llu,\"leaves\":[",
              sums.cached, sums.max, (unsigned long long)sums.hits,
              (unsigned long long)sums.signed_count);
    sbuf_add_slice(out, sbuf_slice(&rows));
    sbuf_adds(out, "]}\n");
    out->failed |= rows.failed;
    sbuf_finish(&rows);
}
