/* A client in words, and above all why it would be refused now: the checks of the proxy in their
 * order, as far as the store tells. */
#include "base/check.h"
#include "base/clock.h"
#include "cli/quantity.h"
#include "policy/policy.h"
#include "views/clients_internal.h"

#define DAY 86400

bool client_has_tokens(const struct board_client *c)
{
    int64_t tokens = c->today_tokens_in + c->today_tokens_out;
    return c->has_usage && (tokens > 0 || c->today_requests == 0);
}

bool client_is_at_limit(const struct board_client *c)
{
    int64_t tokens = c->today_tokens_in + c->today_tokens_out;
    return c->tokens_per_day > 0 && client_has_tokens(c) && tokens >= c->tokens_per_day;
}

/* ---- itself ---- */

static int check_state(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    char ago[16];
    if (strcmp(c->state, "revoked") == 0) {
        sbuf_adds(out, "401  its placeholder was revoked: t makes a new one, then e puts it on\n");
        return 1;
    }
    if (strcmp(c->state, "off") == 0) {
        sbuf_adds(out, "403  it is off: e puts it on\n");
        return 1;
    }
    if (strcmp(c->state, "expired") == 0) {
        sbuf_addf(out, "403  it expired %s ago: l sets another day\n",
                  show_span(b->now_s - c->expires_at, ago));
        return 1;
    }
    return 0;
}

static int check_limits(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    char used[16], most[16], left[16];
    int n = 0;
    if (c->rpm > 0 && c->has_usage && c->minute_requests >= c->rpm) {
        sbuf_addf(out, "429  %s requests in the last minute, and it may send %s: l changes that\n",
                  show_count(c->minute_requests, used), show_count(c->rpm, most));
        n++;
    }
    if (client_is_at_limit(c)) {
        sbuf_addf(out, "429  %s of %s tokens of today are used: more in %s (00:00 UTC), or l\n",
                  show_count(c->today_tokens_in + c->today_tokens_out, used),
                  show_count(c->tokens_per_day, most), show_span(DAY - b->now_s % DAY, left));
        n++;
    }
    return n;
}

/* ---- rules ---- */

static bool is_its_api(enum service s, const char *api)
{
    if (s == SERVICE_CLAUDE)
        return strcmp(api, "anthropic") == 0 || strcmp(api, "vertex") == 0;
    return strcmp(api, "gemini") == 0 || strcmp(api, "vertex") == 0;
}

static const char *host_of(enum service s)
{
    return s == SERVICE_CLAUDE ? "api.anthropic.com" : "generativelanguage.googleapis.com";
}

/* The rule that decides about its service's own host. */
static const struct board_rule *rule_for(const struct board *b, struct slice host)
{
    for (int i = 0; i < b->rule_count; i++)
        if (rule_matches(slice_of(b->rules[i].pattern), host))
            return &b->rules[i];
    return NULL;
}

static int check_rules(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    const char *host = host_of(c->service);
    for (int i = 0; i < b->rule_count; i++)
        if (strcmp(b->rules[i].action, "swap") == 0 && is_its_api(c->service, b->rules[i].api))
            return 0;
    const struct board_rule *r = rule_for(b, slice_of(host));
    if (r && strcmp(r->action, "deny") == 0)
        sbuf_addf(out, "403  rule %.80s denies %s: 5 shows the rules\n", r->pattern, host);
    else
        sbuf_addf(out,
                  "401  no rule swaps %s: the provider sees the placeholder (or 403: 5 t tries)\n",
                  host);
    return 1;
}

/* ---- its pool ---- */

struct census {
    int members, away, off, drained, zero, cooling, failing, serving;
    int64_t back_at; /* when the first that cools is back */
};

/* May its credential go to a host of this service? */
static bool may_go(const struct board_account *a, enum service s)
{
    if (a->kind == ACCOUNT_SERVICE)
        return true;
    struct slice host = slice_of(a->host);
    return s == SERVICE_CLAUDE ? slice_ends(host, SLICE("anthropic.com"))
                               : slice_ends(host, SLICE("googleapis.com"));
}

static bool has_no_token(const struct board *b, const struct board_account *a)
{
    char word[16];
    show_account_state(b, a, word);
    return strcmp(word, "FAIL") == 0;
}

static void count_member(const struct board *b, const struct board_member *m, enum service s,
                         struct census *n)
{
    const struct board_account *a = &b->accounts[m->account];
    n->members++;
    if (!may_go(a, s)) {
        n->away++;
    } else if (a->state == ACCOUNT_OFF) {
        n->off++;
    } else if (a->state == ACCOUNT_DRAIN) {
        n->drained++;
    } else if (!(m->weight > 0)) {
        n->zero++;
    } else if (a->cool_until > b->now_s) {
        n->back_at = n->cooling++ && n->back_at < a->cool_until ? n->back_at : a->cool_until;
    } else if (has_no_token(b, a)) {
        n->failing++;
    } else {
        n->serving++;
    }
}

static void add_reasons(const struct census *n, const struct board *b, struct sbuf *out)
{
    char back[16];
    const struct {
        int count;
        const char *what;
    } reasons[] = {
        {n->off, "off"},         {n->drained, "draining"},        {n->zero, "of weight 0"},
        {n->cooling, "cooling"}, {n->failing, "without a token"}, {n->away, "for other hosts"}};
    const char *gap = "";
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].count) {
            sbuf_addf(out, "%s%d %s", gap, reasons[i].count, reasons[i].what);
            gap = ", ";
        }
    if (n->cooling)
        sbuf_addf(out, "; the first is back in %s", show_span(n->back_at - b->now_s, back));
    else if (n->failing)
        sbuf_adds(out, "; 2 says why");
    sbuf_adds(out, "\n");
}

static int check_pool(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    int at = board_pool_find(b, c->pool);
    struct census n = {0};
    if (at < 0) {
        sbuf_addf(out, "503  there is no pool %.64s: o gives it another one\n", c->pool);
        return 1;
    }
    const struct board_pool *p = &b->pools[at];
    for (int i = 0; i < p->count; i++)
        count_member(b, &b->members[p->first + i], c->service, &n);
    if (n.serving)
        return 0;
    if (n.members == 0) {
        sbuf_addf(out, "503  its pool %.64s has no account: o gives it another one, 1 a adds one\n",
                  p->name);
        return 1;
    }
    if (n.cooling == n.members)
        sbuf_addf(out, "503  all accounts of its pool %.64s cool: ", p->name);
    else
        sbuf_addf(out, "503  no account of its pool %.64s serves now: ", p->name);
    add_reasons(&n, b, out);
    return 1;
}

/* ---- models ---- */

/* What find_row of the proxy's choice says, for one model. */
static bool account_has_model(const struct board *b, const struct board_account *a,
                              struct slice model)
{
    for (int i = 0; i < b->model_count; i++)
        if (strcmp(b->models[i].account, a->name) == 0 &&
            slice_glob(slice_of(b->models[i].model), model))
            return true;
    return a->models == 0;
}

static bool pool_has_model(const struct board *b, const struct board_pool *p, struct slice model)
{
    for (int i = 0; i < p->count; i++)
        if (account_has_model(b, &b->accounts[b->members[p->first + i].account], model))
            return true;
    return false;
}

/* Models that it is allowed by name (not by a pattern) and that nobody serves. */
static int check_models(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    struct slice rest = slice_of(c->models), item;
    int n = 0, at = board_pool_find(b, c->pool);
    while (at >= 0 && b->pools[at].count && slice_next(&rest, ',', &item)) {
        item = slice_trim(item);
        bool is_name = item.n && slice_find(item, '*', 0) == item.n;
        if (!is_name || pool_has_model(b, &b->pools[at], item))
            continue;
        sbuf_addf(out,
                  "404  for %.*s: no account of its pool serves that model; 5 M has the rows\n",
                  (int)(item.n < 80 ? item.n : 80), item.p);
        n++;
    }
    return n;
}

int client_obstacles(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    int n = check_rules(b, c, out);
    n += check_state(b, c, out);
    n += check_limits(b, c, out);
    n += check_models(b, c, out);
    return n + check_pool(b, c, out);
}

/* ---- all of it ---- */

static void describe_expiry(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    char left[16], utc[32];
    if (c->expires_at > b->now_s)
        sbuf_addf(out, "   expires in %s (%.10s)", show_span(c->expires_at - b->now_s, left),
                  clock_format_utc(c->expires_at, utc, sizeof utc));
    else if (!c->expires_at)
        sbuf_adds(out, "   never expires");
}

static void describe_limits(const struct board_client *c, struct sbuf *out)
{
    char rpm[16], tokens[16];
    if (c->rpm)
        sbuf_addf(out, "limits  %s requests a minute", show_count(c->rpm, rpm));
    else
        sbuf_adds(out, "limits  any number of requests");
    if (c->tokens_per_day)
        sbuf_addf(out, ", %s tokens a day", show_count(c->tokens_per_day, tokens));
    else
        sbuf_adds(out, ", any number of tokens");
    sbuf_adds(out, c->has_virtual ? "   has a service-account file\n" : "\n");
    sbuf_addf(out, "models  %s%s\n", *c->models ? c->models : "every one",
              *c->models ? "   (others get 403)" : "");
}

static void describe_today(const struct board_client *c, struct sbuf *out)
{
    char n[16], errors[16], limited[16], in[16], outs[16];
    if (!c->has_usage) {
        sbuf_adds(out, "today   -- requests\n");
        return;
    }
    sbuf_addf(out, "today   %s requests, %s failed, %s limited (429)   ",
              show_count(c->today_requests, n), show_count(c->today_errors, errors),
              show_count(c->today_limited, limited));
    if (client_has_tokens(c))
        sbuf_addf(out, "tokens %s in, %s out\n", show_count(c->today_tokens_in, in),
                  show_count(c->today_tokens_out, outs));
    else
        sbuf_adds(out, "tokens --\n");
}

static void describe_obstacles(const struct board *b, const struct board_client *c,
                               struct sbuf *out)
{
    struct sbuf lines;
    struct slice rest, line;
    sbuf_init(&lines, 8192);
    if (client_obstacles(b, c, &lines) == 0) {
        sbuf_adds(out,
                  "nothing stands in its way; a 401 means that it sends some other token: t\n");
        sbuf_finish(&lines);
        return;
    }
    rest = sbuf_slice(&lines);
    while (slice_next(&rest, '\n', &line))
        if (line.n)
            sbuf_addf(out, "! %.*s\n", SLICE_FMT(line));
    sbuf_finish(&lines);
}

void client_describe(const struct board *b, const struct board_client *c, struct sbuf *out)
{
    sbuf_addf(out, "%s   %s..   pool %s", c->name, *c->visible ? c->visible : "--", c->pool);
    describe_expiry(b, c, out);
    sbuf_adds(out, "\n");
    describe_obstacles(b, c, out);
    describe_limits(c, out);
    describe_today(c, out);
    if (*c->note)
        sbuf_addf(out, "note    %s\n", c->note);
}
