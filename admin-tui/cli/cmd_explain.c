/* explain: the proxy's own choice (pick_account), asked once for each member of the pool. */
#include "base/check.h"
#include "base/clock.h"
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/host_look.h"
#include "conf/conf.h"
#include "policy/policy.h"
#include "route/route.h"
#include "store/snapshot.h"

struct question {
    const struct snapshot *snap;
    const struct snap_client *client;
    const struct snap_pool *pool;
    const struct snap_rule *rule;
    struct authority host;
    struct slice model;
    struct route_match match;
    struct health *health;
    char path[400];
};

static const struct snap_client *find_client(const struct snapshot *s, struct slice name)
{
    for (size_t i = 0; i < s->client_count; i++)
        if (slice_eq(s->clients[i].name, name))
            return &s->clients[i];
    return NULL;
}

/* Where the client would probably ask: an API key has one host, service accounts serve Vertex. */
static const char *guess_host(const struct question *q)
{
    if (q->pool->member_count == 0)
        return "aiplatform.googleapis.com";
    const struct snap_account *a = &q->snap->accounts[q->pool->members[0].account];
    return a->kind == ACCOUNT_API_KEY && a->host.n ? a->host.p : "aiplatform.googleapis.com";
}

static void match_path(struct question *q)
{
    const char *model = q->model.n ? q->model.p : "";
    bool is_claude = slice_starts(q->model, SLICE("claude"));
    if (q->rule->api == API_ANTHROPIC)
        snprintf(q->path, sizeof q->path, "/v1/messages");
    else if (q->rule->api == API_GEMINI)
        snprintf(q->path, sizeof q->path, "/v1beta/models/%.128s:generateContent", model);
    else
        snprintf(q->path, sizeof q->path,
                 "/v1/projects/p/locations/global/publishers/%s/models/%.128s:%s",
                 is_claude ? "anthropic" : "google", model,
                 is_claude ? "rawPredict" : "generateContent");
    route_match(q->rule->api, q->rule, SLICE("POST"), slice_of(q->path), &q->match);
}

static enum pick_status pick(const struct question *q, const struct snap_pool *pool,
                             struct pick_result *ret)
{
    uint64_t rng[4];
    struct pick_request r = {.snap = q->snap,
                             .pool = pool,
                             .api = q->rule->api,
                             .host = authority_host(&q->host),
                             .match = &q->match,
                             .model = q->model};
    rng_seed(rng, 1);
    *ret = (struct pick_result){0};
    return pick_account(&r, q->health, rng, clock_wall_ms(), ret);
}

static const char *reason(enum pick_status s, const struct pick_result *r)
{
    const struct {
        uint32_t count;
        const char *why;
    } reasons[] = {{r->wrong_kind, "cannot serve this host (kind or host of the account)"},
                   {r->wrong_model, "does not serve this model"},
                   {r->off, "off"},
                   {r->drained, "draining"},
                   {r->zero_weight, "weight 0"},
                   {r->cooling, "cooling down"}};
    if (s == PICK_OK)
        return "may be chosen";
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].count)
            return reasons[i].why;
    return s == PICK_NO_MODEL  ? "does not serve this model"
           : s == PICK_NO_KIND ? "cannot serve this host (kind or host of the account)"
                               : "cannot serve now";
}

static cJSON *ask_members(const struct question *q)
{
    cJSON *rows = json_array();
    double sum = 0;
    for (size_t i = 0; i < q->pool->member_count; i++) {
        struct snap_pool one = *q->pool;
        struct pick_result r;
        one.members = &q->pool->members[i];
        one.member_count = 1;
        enum pick_status s = pick(q, &one, &r);
        cJSON *o = json_object();
        json_text(o, "account", q->snap->accounts[one.members->account].name);
        json_real(o, "weight", one.members->weight);
        json_flag(o, "eligible", s == PICK_OK);
        json_z(o, "reason", reason(s, &r));
        json_text(o, "domain", s == PICK_OK ? r.domain : (struct slice){NULL, 0});
        json_int(o, "retry_after_s", s == PICK_OK ? 0 : r.retry_after_s);
        json_push(rows, o);
        sum += s == PICK_OK ? one.members->weight : 0;
    }
    cJSON *o;
    cJSON_ArrayForEach(o, rows)
    {
        bool is_in = cJSON_IsTrue(cJSON_GetObjectItem(o, "eligible")) && sum > 0;
        json_real(o, "chance_pct",
                  is_in ? 100 * cJSON_GetObjectItem(o, "weight")->valuedouble / sum : 0);
    }
    return rows;
}

/* What would refuse the request before any account is looked at; NULL nothing. */
static const char *refusal(const struct question *q, int64_t now_s)
{
    if (!q->client->enabled)
        return "the client is off or revoked: 403";
    if (q->client->expires_at && q->client->expires_at <= now_s)
        return "the client has expired: 403";
    bool is_allowed = q->client->model_count == 0 || q->model.n == 0;
    for (size_t i = 0; i < q->client->model_count; i++)
        is_allowed |= slice_glob(q->client->models[i], q->model);
    return is_allowed ? NULL : "the client may not use this model: 403";
}

static const struct column explain_columns[] = {
    {"account", "ACCOUNT", COLUMN_TEXT},      {"weight", "WEIGHT", COLUMN_WEIGHT},
    {"chance_pct", "CHANCE", COLUMN_PERCENT}, {"domain", "DIALS", COLUMN_TEXT},
    {"reason", "WHY", COLUMN_TEXT},           {NULL, NULL, COLUMN_TEXT}};

static int answer(struct cli *c, const struct question *q)
{
    const char *refused = refusal(q, c->now_s);
    cJSON *rows = ask_members(q);
    if (!c->args.json) {
        cli_say(c, "client %s, pool %s, host %s, model %s", q->client->name.p, q->pool->name.p,
                q->host.host, q->model.n ? q->model.p : "(none)");
        if (refused)
            cli_say(c, "%s", refused);
        return cli_list(c, explain_columns, rows);
    }
    cJSON *o = json_object();
    json_text(o, "client", q->client->name);
    json_text(o, "pool", q->pool->name);
    json_z(o, "host", q->host.host);
    json_text(o, "model", q->model);
    json_z(o, "refused", refused);
    json_add(o, "accounts", rows);
    return cli_record(c, explain_columns, o);
}

static int ask(struct cli *c, struct question *q, const struct policy *p)
{
    const char *host = args_get(&c->args, "--host");
    const char *name = args_get(&c->args, "--client");
    q->client = find_client(q->snap, slice_of(name));
    if (!q->client)
        return cli_fail(c, EX_FAILED, "there is no client %.64s; credswap client list has them",
                        name);
    q->pool = &q->snap->pools[q->client->pool];
    host = host ? host : guess_host(q);
    if (authority_parse(slice_of(host), 443, &q->host) != ERR_OK)
        return cli_fail(c, EX_USAGE, "--host %.80s is no host name", host);
    struct decision d = policy_decide(p, q->snap, &q->host);
    if (d.verdict != VERDICT_SWAP || !d.rule)
        return cli_fail(c, EX_FAILED, "%.100s is not swapped (%s, %s): no account is chosen for it",
                        host, d.verdict == VERDICT_DENY ? "denied" : "tunnelled", d.reason);
    q->rule = d.rule;
    match_path(q);
    enum err e = host_look_health(q->snap, clock_wall_ms(), &q->health);
    return e == ERR_OK ? answer(c, q) : cli_fail_err(c, e, NULL);
}

static int run_explain(struct cli *c)
{
    struct question q = {.model = cli_option(c, "--model")};
    struct errmsg msg = {0};
    struct policy *p = NULL;
    struct snapshot *s = NULL;
    size_t bad = 0;
    if (!args_get(&c->args, "--client"))
        return cli_fail(c, EX_USAGE, "whose request? give --client NAME and --model MODEL");
    int code = cli_reads(c);
    if (code == 0)
        code = cli_key(c);
    if (code)
        return code;
    enum err e = policy_create(c->conf, &p, &msg);
    if (e == ERR_OK)
        e = snapshot_load(c->store, c->key, &s, &bad, &msg);
    q.snap = s;
    code = e == ERR_OK ? ask(c, &q, p) : cli_fail_err(c, e, &msg);
    health_destroy(q.health);
    snapshot_unref(&s);
    policy_destroy(p);
    return code;
}

static const struct option_def explain_options[] = {
    {"--client", "NAME", "who asks"},
    {"--model", "MODEL", "for what"},
    {"--host", "HOST", "where; default: the host that fits the pool's first account"},
    {NULL, NULL, NULL}};
const struct command command_explain = {
    "explain", NULL,
    "",        "which account would serve a request, and why not the others",
    NULL,      explain_options,
    0,         0,
    true,      run_explain};
