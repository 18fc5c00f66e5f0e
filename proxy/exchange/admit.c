/* Is this a request that may be served, and whose? Nobody is asked before that is settled. */
#include "exchange/exchange_internal.h"

#include "auth/pass.h"
#include "base/clock.h"
#include "conf/conf.h"

static const struct objection none;

static struct objection object(enum reply what, const char *reason)
{
    return (struct objection){.reason = reason, .what = what, .retry_after_s = -1};
}

static bool method_ok(struct slice m)
{
    struct slice rest = SLICE(EXCHANGE_METHODS), one;
    while (slice_next(&rest, ',', &one))
        if (slice_eq(m, slice_trim(one)))
            return true;
    return false;
}

/* "host." and "host.:443" mean the same host to DNS, but not to a provider's certificate and
 * routing. */
static bool has_trailing_dot(struct slice host)
{
    return slice_ends(host, SLICE(".")) || slice_search(host, SLICE(".:")) < host.n;
}

/* One identity for each tunnel: Host, and the target when it is absolute, are the authority of the
 * CONNECT (T-01). */
static bool same_authority(const struct exchange *x, const struct head *h,
                           const struct authority *host)
{
    struct authority a;
    if (x->info.sni_differs)
        return false;
    const struct field *f = head_get(h, FIELD_HOST);
    if (f && (!authority_eq(host, &x->info.authority) || has_trailing_dot(f->value)))
        return false;
    if (h->scheme.n == 0)
        return true;
    return slice_ieq(h->scheme, SLICE("https")) &&
           authority_parse(h->authority, 443, &a) == ERR_OK &&
           authority_eq(&a, &x->info.authority) && !has_trailing_dot(h->authority);
}

/* Does a Host say exactly the tunnel's authority? Then nothing of it need be taken apart. */
static bool is_tunnels_own(const struct exchange *x, const struct head *h)
{
    const struct authority *a = &x->info.authority;
    const struct field *host = head_get(h, FIELD_HOST);
    return host && x->info.is_intercepted && !x->info.sni_differs && h->scheme.n == 0 &&
           a->port == 443 && !a->is_ipv6 && slice_eq(host->value, authority_host(a));
}

static bool host_field_ok(const struct head *h, struct authority *ret)
{
    const struct field *host = head_get(h, FIELD_HOST);
    return !host || authority_parse(host->value, 443, ret) == ERR_OK;
}

static bool are_passes_given(const struct exchange *x)
{
    return x->snap->virtual_count || x->svc->conf->policy.metadata_server;
}

/* Switched off is switched off, for those that are out as well. */
static bool is_withdrawn(const struct exchange *x, const struct auth_result *a)
{
    bool by_file = x->svc->conf->policy.virtual_accounts;
    bool by_metadata = x->svc->conf->policy.metadata_server && a->is_pass;
    return (a->is_pass || a->is_signed) && !by_file && !by_metadata;
}

static bool is_leaked(const struct exchange *x, const struct auth_result *a)
{
    struct auth_scan scan;
    if (are_passes_given(x) && pass_is_in_head(&x->base))
        return true;
    if ((a->is_pass || a->is_signed) && auth_has_known_word(&x->base, x->snap, x->svc->key))
        return true;
    if (a->known)
        return auth_scan_head(&a->known->scan, &x->base);
    auth_scan_init(&scan, a->placeholder);
    bool leaks = auth_scan_head(&scan, &x->base);
    auth_scan_finish(&scan);
    return leaks;
}

/* Says who the client is. */
static struct objection authenticate(struct exchange *x, const struct head *h)
{
    struct auth_result a;
    struct head seen = *h;
    if (x->info.path.n)
        seen.path = x->info.path;
    auth_find(&seen, x->snap, x->svc->key, x->svc->memo, clock_wall_s(), x->api, &a);
    if (!a.client || a.status) {
        enum reply what = a.status == 400                         ? REPLY_SEVERAL_TOKENS
                          : a.status == 403                       ? REPLY_CLIENT_OFF
                          : strcmp(a.reason, "pass_expired") == 0 ? REPLY_PASS_EXPIRED
                          : a.placeholder.n                       ? REPLY_UNKNOWN_TOKEN
                                                                  : REPLY_NO_TOKEN;
        return object(what, a.reason);
    }
    if (is_withdrawn(x, &a))
        return object(REPLY_UNKNOWN_TOKEN, "unknown");
    x->client = a.client;
    x->placeholder = arena_dup(&x->arena, a.placeholder);
    x->scan.whole = a.client->model_count > 0;
    const struct field *protocols = head_get(h, FIELD_SEC_WEBSOCKET_PROTOCOL);
    x->offers_token =
        protocols && slice_search(protocols->value, x->placeholder) < protocols->value.n;
    return is_leaked(x, &a) ? object(REPLY_TOKEN_MISPLACED, "token_misplaced") : none;
}

bool client_may(const struct exchange *x)
{
    const struct snap_client *c = x->client;
    if (c->model_count == 0)
        return true;
    if (slice_istarts(x->match.verb, SLICE("batchGenerate")) ||
        slice_istarts(x->match.verb, SLICE("asyncBatch")))
        return false; /* each request of a batch may name its own */
    for (size_t i = 0; i < c->model_count; i++)
        if (x->model.n && slice_glob(c->models[i], x->model))
            return true;
    /* a path that names no model: looking is fine, batches and files could name any */
    return x->model.n == 0 && !x->match.model_in_body && !x->match.is_sticky;
}

static struct objection look_at_host(const struct exchange *x, const struct head *h)
{
    struct authority host;
    if (!is_tunnels_own(x, h)) {
        if (!host_field_ok(h, &host))
            return object(REPLY_BAD_REQUEST, "host");
        if (x->info.is_intercepted && !same_authority(x, h, &host))
            return object(REPLY_MISDIRECTED, x->info.sni_differs ? "sni" : "authority");
    }
    return none;
}

/* Is it one of ours, whoever asks? */
static struct objection look_at(struct exchange *x, const struct head *h)
{
    struct decision d = policy_decide(x->svc->policy, x->snap, &x->info.authority);
    x->rule = d.rule;
    x->api = d.rule ? d.rule->api : API_NONE;
    struct objection o = look_at_host(x, h);
    if (o.reason)
        return o;
    if (d.verdict != VERDICT_SWAP)
        return object(REPLY_HOST_DENIED, d.reason);
    if (!method_ok(h->method))
        return object(REPLY_METHOD, "method");
    return none;
}

/* The model as rows and client patterns spell it. */
static bool model_of_path(struct exchange *x)
{
    char text[MODEL_MAX + 1];
    struct slice model;
    if (x->match.model.n == 0)
        return true;
    if (!route_model_text(x->match.model, text, sizeof text, &model))
        return false;
    x->model = arena_dup(&x->arena, model);
    return x->model.p != NULL;
}

struct objection admit(struct exchange *x, const struct head *h)
{
    struct objection o = look_at(x, h);
    if (!o.reason)
        o = authenticate(x, h);
    if (o.reason)
        return o;
    route_match(x->api, x->rule, x->base.method, head_path_only(&x->base), &x->match);
    if (!x->match.is_allowed)
        return object(REPLY_PATH, "path");
    uint32_t wait_s = x->svc->client_wait_s(x->svc, x->client);
    if (wait_s)
        return (struct objection){
            .reason = "client_limit", .what = REPLY_CLIENT_LIMIT, .retry_after_s = wait_s};
    if (x->client->pool >= x->snap->pool_count)
        return object(REPLY_INTERNAL, "pool");
    if (!model_of_path(x))
        return object(REPLY_PATH, "model");
    return none;
}

/* Since the tunnel was opened the host may have become another's business. A swap host's requests
 * are never relayed. */
struct objection admit_token_host(struct exchange *x, const struct head *h)
{
    struct decision d = policy_decide(x->svc->policy, x->snap, &x->info.authority);
    struct objection o = look_at_host(x, h);
    if (o.reason)
        return o;
    x->may_relay = d.verdict == VERDICT_TUNNEL;
    x->may_grant = policy_answers_tokens(x->svc->policy, x->snap, &x->info.authority, &d);
    if (!x->may_relay && !x->may_grant)
        return object(REPLY_HOST_DENIED, d.reason);
    return method_ok(h->method) ? none : object(REPLY_METHOD, "method");
}
