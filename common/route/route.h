/* Host, path and model to an account: what the request asks for, who may serve it, who is cooling.
 * Pure: no sockets, no clock of its own. */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H
#include "base/err.h"
#include "base/slice.h"
#include "store/snapshot.h"

#include <stdint.h>

/* What a path says (match.c). All slices point into the path given. */
struct route_match {
    bool is_allowed;        /* the rule (or the API's default paths) serves it */
    struct slice model;     /* "" when the path names none */
    struct slice publisher; /* Vertex: google, anthropic, ... */
    struct slice verb;      /* after the last ':', or "" */
    struct slice project;   /* Vertex: the client's project id in the path, to be replaced */
    struct slice location;  /* Vertex: the client's location in the path, to be replaced */
    bool model_in_body;     /* anthropic: the model stands in the JSON body */
    bool is_rpc;            /* gRPC: model, project and location stand in the first message */
    bool is_resumable; /* upload, batch, long-running: once bytes were sent only a definite refusal
                          is retried */
    bool is_sticky;    /* about something that lives at one account: an upload, a file, a cache, a
                          batch, an operation */
    bool is_tuned;     /* about a tuned model, which lives at one account too */
    bool is_websocket; /* Live API */
    bool wants_stream; /* the answer is a stream by the path's word */
};
/** PATH without query, as received (percent signs kept). A path with an encoded slash, dot segments
 * ("..", ".", also encoded), "//", a backslash, or a control byte is never allowed. */
void route_match(enum api api, const struct snap_rule *rule, struct slice method, struct slice path,
                 struct route_match *ret);
/** A model as the path spells it, percent signs decoded once, into BUF of SIZE. False when it holds
 * anything but visible ASCII or does not fit. Compare rules and rows with this text, not with the
 * path's. */
bool route_model_text(struct slice raw, char *buf, size_t size, struct slice *ret) NODISCARD;
/** What follows the last slash: bodies say "google/gemini-2.5-pro" or "models/gemini-2.5-pro". */
struct slice route_model_bare(struct slice model);
/** The location that a Vertex domain serves: "us-central1-aiplatform.googleapis.com" us-central1,
 * "aiplatform.googleapis.com" global, "aiplatform.eu.rep.googleapis.com" eu; empty for others. */
struct slice route_domain_location(struct slice domain);

/* Cool-downs, one table for each worker, fed by broadcasts; bounded (oldest ended first). Key:
 * account and model ("" is the whole account). */
struct health;
enum err health_create(struct health **ret) NODISCARD;
void health_destroy(struct health *h);
struct cooldown {
    int64_t account_id;
    char model[128];
    int64_t since_ms, until_ms; /* wall clock */
    uint32_t step;
    const char *reason; /* static word: "429", "529", "401", "mint_failed" */
};
/** What a refusal means for the account: computes and stores the cool-down and returns it for the
 * broadcast. RETRY_AFTER_S < 0: none was given, then 5 s doubling to 60 s with each new cool-down
 * that begins within 5 minutes of the last one's end; a refusal that lands while one is open does
 * not escalate. Retry-After is capped at 1 hour. */
void health_cool(struct health *h, const struct snap_account *a, struct slice model,
                 const char *reason, int64_t retry_after_s, int64_t now_ms, struct cooldown *ret);
/** Takes over another worker's (or the store's) cool-down, unless what we know is newer. One that
 * begins in the future (the clock was set back) counts for nothing. */
void health_merge(struct health *h, const struct cooldown *c, int64_t now_ms);
/** Wall ms until which the account rests for this model, or 0. */
int64_t health_cool_until(const struct health *h, const struct snap_account *a, struct slice model,
                          int64_t now_ms);
/** An answer that was not a refusal ends the doubling for that key. */
void health_ok(struct health *h, const struct snap_account *a, struct slice model);

/* The choice. */
struct pick_request {
    const struct snapshot *snap;
    const struct snap_pool *pool;
    enum api api;
    struct slice host; /* canonical request host */
    const struct route_match *match;
    struct slice model;      /* from path or body; "" unknown */
    const int64_t *excluded; /* account ids tried already */
    size_t excluded_count;
    uint64_t sticky; /* not 0: the same account each time for the same value, as long as the pool
                        stays; shares hold over many values */
    bool forbid_location_change; /* nothing in the path to rewrite */
    int64_t only; /* not 0: this account, which has what the request names. Drained, resting or of
                     weight 0 it serves that all the same; off, excluded or no member it does not,
                     and then nobody does */
};
enum pick_status {
    PICK_OK,
    PICK_NO_MODEL,
    PICK_NO_KIND,
    PICK_UNAVAILABLE
};
struct pick_result {
    const struct snap_account *account;
    struct slice domain;   /* where to dial: the model row's domain or the request's host */
    struct slice location; /* to put into a Vertex path; "" leave */
    /* for the 503: how many of the pool are in which state, and when the first may be back */
    uint32_t total, drained, off, zero_weight, cooling, excluded, wrong_kind, wrong_model;
    int64_t retry_after_s;
};
/** Weighted random choice among the eligible members: kind fits the host (a service account for
 * *.googleapis.com only, an API key for its own host only), a model row fits (none: every model),
 * state up, weight > 0, not cooling, not excluded. RNG is advanced once. */
enum pick_status pick_account(const struct pick_request *q, const struct health *h, uint64_t rng[4],
                              int64_t now_ms, struct pick_result *ret);
/** Why this member would not be chosen: a static word ("kind", "model", "off", "drain", "weight 0",
 * "tried", "cooling"), or NULL when it may be. H may be NULL: nobody rests. */
const char *pick_why_not(const struct pick_request *q, const struct health *h,
                         const struct snap_member *m, int64_t now_ms);
/** xoshiro256** from a seed (0: from the system). */
void rng_seed(uint64_t rng[4], uint64_t seed);
uint64_t rng_next(uint64_t rng[4]);

#endif
