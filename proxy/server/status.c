/* How it goes: one JSON object, one page of metrics, one word. */
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "keys/keeper.h"
#include "server/server_internal.h"
#include "store/writer.h"

#include <unistd.h>

uint64_t sum_figures(const struct server *s, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        const char *w = (const char *)s->workers[i];
        sum += atomic_load((const atomic_uint_fast64_t *)(const void *)(w + offset));
    }
    return sum;
}

const char *state_word(const struct server *s)
{
    switch (atomic_load(&s->state)) {
    case SERVER_RUNNING:
        return "running";
    case SERVER_DRAINING:
        return "draining";
    default:
        return "starting";
    }
}

bool ready_print(struct server *s, struct sbuf *out)
{
    struct writer_stats w;
    writer_stats(s->writer, &w);
    size_t before = out->n;
    if (atomic_load(&s->state) != SERVER_RUNNING)
        sbuf_addf(out, "%s\n", state_word(s));
    if (!s->snapshot)
        sbuf_adds(out, "no snapshot of the store\n");
    if (!s->store_ok || !w.is_healthy)
        sbuf_adds(out, "the store cannot be read or written\n");
    if (s->ca_expires_at <= clock_wall_s())
        sbuf_adds(out, "the CA certificate has expired\n");
    if (out->n != before)
        return false;
    sbuf_adds(out, "ok\n");
    return true;
}

static void print_accounts(const struct server *s, struct sbuf *out)
{
    static const char *const states[] = {"up", "drain", "off"};
    sbuf_adds(out, ",\"accounts\":[");
    for (size_t i = 0; i < s->snapshot->account_count; i++) {
        const struct snap_account *a = &s->snapshot->accounts[i];
        struct account_figures f = {.id = a->id};
        for (size_t k = 0; k < s->account_count; k++)
            if (s->accounts[k].id == a->id)
                f = s->accounts[k];
        sbuf_adds(out, i ? ",{\"name\":" : "{\"name\":");
        sbuf_add_json(out, a->name);
        sbuf_addf(out,
                  ",\"kind\":\"%s\",\"state\":\"%s\",\"requests\":%llu,\"limited\":%llu,"
                  "\"errors\":%llu}",
                  a->kind == ACCOUNT_API_KEY ? "api-key" : "service-account", states[a->state],
                  (unsigned long long)f.requests, (unsigned long long)f.limited,
                  (unsigned long long)f.errors);
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
              ",\"tokens\":{\"mints\":%llu,\"mint_failures\":%llu,\"from_store\":%llu,"
              "\"in_flight\":%llu,\"clock_skew_s\":%lld}",
              (unsigned long long)b.mints, (unsigned long long)b.mint_failures,
              (unsigned long long)b.from_store, (unsigned long long)b.in_flight,
              (long long)b.skew_s);
    sbuf_addf(out,
              ",\"store\":{\"ok\":%s,\"generation\":%lld,\"bad_rows\":%zu,\"queue\":%llu,"
              "\"dropped\":%llu,\"failed\":%llu,\"commits\":%llu}",
              s->store_ok && w.is_healthy ? "true" : "false", (long long)s->snapshot->generation,
              s->bad_rows, (unsigned long long)w.queue, (unsigned long long)w.dropped,
              (unsigned long long)w.failed, (unsigned long long)w.commits);
}

void status_print(struct server *s, struct sbuf *out)
{
    char when[32];
    sbuf_addf(out,
              "{\"version\":\"%s\",\"state\":\"%s\",\"pid\":%ld,\"workers\":%u,"
              "\"uptime_s\":%lld,\"connections\":%llu,\"exchanges\":%llu",
              CREDSWAP_VERSION, state_word(s), (long)getpid(), s->worker_count,
              (long long)(clock_wall_s() - s->started_at),
              (unsigned long long)atomic_load(&s->connections),
              (unsigned long long)SUM(s, figures.exchanges));
    sbuf_addf(out, ",\"listen\":\"%s:%u\",\"ca\":{\"sha256\":\"%s\",\"expires_at\":\"%s\"}",
              s->page_host, s->page_port, keeper_ca_sha256(s->keeper),
              clock_format_utc(s->ca_expires_at, when, sizeof when));
    sbuf_adds(out, ",\"requests\":{");
    for (uint32_t i = 0; i < STATUS_CLASSES; i++)
        if (i != 1)
            sbuf_addf(out, "\"%s\":%llu,",
                      (const char *const[]){"none", "", "2xx", "3xx", "4xx", "5xx"}[i],
                      (unsigned long long)SUM(s, figures.requests[i]));
    sbuf_addf(out, "\"own_answers\":%llu,\"retries\":%llu}",
              (unsigned long long)SUM(s, figures.own_answers),
              (unsigned long long)SUM(s, figures.retries));
    print_parts(s, out);
    print_accounts(s, out);
    sbuf_adds(out, "}\n");
}

/* ---- metrics ---- */

static void metric(struct sbuf *out, const char *name, const char *type, const char *help,
                   uint64_t v)
{
    sbuf_addf(out, "# HELP credswap_%s %s\n# TYPE credswap_%s %s\ncredswap_%s %llu\n", name, help,
              name, type, name, (unsigned long long)v);
}

static void print_requests(const struct server *s, struct sbuf *out)
{
    static const char *const classes[STATUS_CLASSES] = {"none", NULL, "2xx", "3xx", "4xx", "5xx"};
    sbuf_adds(out, "# HELP credswap_requests_total answered requests by class of status\n"
                   "# TYPE credswap_requests_total counter\n");
    for (uint32_t i = 0; i < STATUS_CLASSES; i++)
        if (classes[i])
            sbuf_addf(out, "credswap_requests_total{code=\"%s\"} %llu\n", classes[i],
                      (unsigned long long)SUM(s, figures.requests[i]));
    sbuf_adds(out, "# HELP credswap_request_duration_seconds time from head to the last byte\n"
                   "# TYPE credswap_request_duration_seconds histogram\n");
    uint64_t below = 0;
    for (uint32_t i = 0; i < DURATION_BUCKETS; i++) {
        below += SUM(s, figures.duration[i]);
        sbuf_addf(out, "credswap_request_duration_seconds_bucket{le=\"%g\"} %llu\n",
                  duration_bounds_s[i], (unsigned long long)below);
    }
    uint64_t count = SUM(s, figures.duration_count);
    sbuf_addf(out,
              "credswap_request_duration_seconds_bucket{le=\"+Inf\"} %llu\n"
              "credswap_request_duration_seconds_sum %g\n"
              "credswap_request_duration_seconds_count %llu\n",
              (unsigned long long)count, (double)SUM(s, figures.duration_us_sum) / 1e6,
              (unsigned long long)count);
}

static void print_account_metrics(const struct server *s, struct sbuf *out)
{
    sbuf_adds(out, "# HELP credswap_account_requests_total requests by account and outcome\n"
                   "# TYPE credswap_account_requests_total counter\n");
    for (size_t i = 0; i < s->account_count; i++) {
        const struct account_figures *f = &s->accounts[i];
        const struct snap_account *a = snapshot_account_by_id(s->snapshot, f->id);
        if (!a)
            continue;
        const struct {
            const char *word;
            uint64_t n;
        } rows[] = {{"ok", f->requests - f->limited - f->errors},
                    {"limited", f->limited},
                    {"error", f->errors}};
        for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
            sbuf_adds(out, "credswap_account_requests_total{account=");
            sbuf_add_json(out, a->name);
            sbuf_addf(out, ",outcome=\"%s\"} %llu\n", rows[k].word, (unsigned long long)rows[k].n);
        }
    }
}

static void print_gate_metrics(const struct server *s, struct sbuf *out)
{
#define X(name, help) metric(out, #name "_total", "counter", help, SUM(s, counters.name));
    GATE_COUNTERS(X)
#undef X
}

void metrics_print(struct server *s, struct sbuf *out)
{
    struct broker_stats b;
    struct writer_stats w;
    broker_stats(s->broker, &b);
    writer_stats(s->writer, &w);
    sbuf_addf(out,
              "# HELP credswap_build_info version of this program\n"
              "# TYPE credswap_build_info gauge\ncredswap_build_info{version=\"%s\"} 1\n",
              CREDSWAP_VERSION);
    metric(out, "start_time_seconds", "gauge", "when the process began to serve",
           (uint64_t)s->started_at);
    metric(out, "connections", "gauge", "open client connections", atomic_load(&s->connections));
    metric(out, "exchanges", "gauge", "requests under way", SUM(s, figures.exchanges));
    print_gate_metrics(s, out);
    print_requests(s, out);
    print_account_metrics(s, out);
    metric(out, "retries_total", "counter", "attempts beyond the first", SUM(s, figures.retries));
    metric(out, "own_answers_total", "counter", "answers given in a provider's place",
           SUM(s, figures.own_answers));
    metric(out, "swap_bytes_up_total", "counter", "request body bytes", SUM(s, figures.bytes_up));
    metric(out, "swap_bytes_down_total", "counter", "answer body bytes",
           SUM(s, figures.bytes_down));
    metric(out, "upstream_connections", "gauge", "open connections to providers",
           SUM(s, figures.open_backs));
    metric(out, "upstream_idle_connections", "gauge", "of them, waiting for use",
           SUM(s, figures.idle_backs));
    metric(out, "upstream_dials_total", "counter", "connections begun", SUM(s, figures.dials));
    metric(out, "upstream_dial_failures_total", "counter", "connections that failed",
           SUM(s, figures.dial_failures));
    metric(out, "upstream_reuses_total", "counter", "requests on a kept connection",
           SUM(s, figures.reuses));
    metric(out, "token_mints_total", "counter", "tokens fetched", b.mints);
    metric(out, "token_mint_failures_total", "counter", "fetches that failed", b.mint_failures);
    metric(out, "token_from_store_total", "counter", "tokens taken from the store", b.from_store);
    metric(out, "store_commits_total", "counter", "transactions written", w.commits);
    metric(out, "store_dropped_total", "counter", "jobs dropped by a full queue", w.dropped);
    metric(out, "store_failed_total", "counter", "jobs that failed", w.failed);
    metric(out, "store_queue", "gauge", "jobs waiting for the writer", w.queue);
    metric(out, "log_dropped_total", "counter", "log lines lost", log_dropped());
}
