/* One callback for each noun of the store; names of members are part of what scripts rely on. */
#include "cli/rows.h"

#include "cli/out.h"
#include "store/account.h"
#include "store/client.h"
#include "store/cooldown.h"
#include "store/event.h"
#include "store/model.h"
#include "store/node.h"
#include "store/pin.h"
#include "store/pool.h"
#include "store/request.h"
#include "store/rule.h"
#include "store/token.h"

struct collect {
    cJSON *rows;
    int64_t now_s;
};

static enum err collected(enum err e, struct collect *c, cJSON **ret)
{
    if (e == ERR_OK)
        *ret = c->rows;
    else
        cJSON_Delete(c->rows);
    return e;
}

static cJSON *push(void *arg)
{
    struct collect *c = arg;
    cJSON *o = json_object();
    json_push(c->rows, o);
    return o;
}

cJSON *rows_split(struct slice list)
{
    return rows_split_at(list, ',');
}

cJSON *rows_split_at(struct slice list, char sep)
{
    cJSON *a = json_array();
    struct slice item;
    while (slice_next(&list, sep, &item)) {
        item = slice_trim(item);
        if (item.n == 0)
            continue;
        cJSON *o = json_object();
        json_text(o, "x", item);
        json_push(a, cJSON_DetachItemFromObjectCaseSensitive(o, "x"));
        cJSON_Delete(o);
    }
    return a;
}

/* ---- accounts ---- */

static enum err on_account(void *arg, const struct account *a)
{
    cJSON *o = push(arg);
    json_text(o, "name", a->name);
    json_z(o, "kind", account_kind_name(a->kind));
    json_z(o, "state", account_state_name(a->state));
    json_text(o, "project", a->project);
    json_text(o, "location", a->location);
    json_text(o, "host", a->host);
    json_text(o, "email", a->email);
    json_text(o, "key_id", a->key_id);
    json_text(o, "key_fingerprint", a->key_fingerprint);
    json_text(o, "scope", a->scope);
    json_text(o, "quota_project", a->quota_project);
    json_text(o, "token_uri", a->token_uri);
    json_text(o, "note", a->note);
    json_int(o, "created_at", a->created_at);
    return ERR_OK;
}

/* Copies the members of ROWS whose "account" is that of O into a new array of O, without that name.
 */
static void attach(cJSON *o, const char *key, const cJSON *rows)
{
    cJSON *own = json_array();
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        if (strcmp(json_get_z(row, "account"), json_get_z(o, "name")) != 0)
            continue;
        cJSON *copy = cJSON_Duplicate(row, 1);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "account");
        json_push(own, copy);
    }
    json_add(o, key, own);
}

/* The greatest KEY in the array LIST of O, 0 none. */
static int64_t greatest(const cJSON *o, const char *list, const char *key)
{
    int64_t most = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(o, list))
    {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, key);
        if (cJSON_IsNumber(v) && (int64_t)v->valuedouble > most)
            most = (int64_t)v->valuedouble;
    }
    return most;
}

/* The first KEY in the array LIST of O that says something, NULL none does. */
static const char *first_text(const cJSON *o, const char *list, const char *key)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(
                                o, list)) if (*json_get_z(row, key)) return json_get_z(row, key);
    return NULL;
}

static enum err join_accounts(struct store *s, cJSON *accounts, int64_t now_s, struct errmsg *msg)
{
    cJSON *members = NULL, *models = NULL, *tokens = NULL, *cooling = NULL;
    const struct slice all = {NULL, 0};
    enum err e = rows_pool_members(s, all, &members, msg);
    if (e == ERR_OK)
        e = rows_models(s, all, &models, msg);
    if (e == ERR_OK)
        e = rows_tokens(s, &tokens, msg);
    if (e == ERR_OK)
        e = rows_cooldowns(s, now_s, &cooling, msg);
    cJSON *row;
    cJSON_ArrayForEach(row, accounts)
    {
        attach(row, "pools", members);
        attach(row, "models", models);
        attach(row, "tokens", tokens);
        attach(row, "cooldowns", cooling);
        json_int(row, "token_expires_at", greatest(row, "tokens", "expires_at"));
        json_int(row, "cooling_until", greatest(row, "cooldowns", "until"));
        json_z(row, "cooling_reason", first_text(row, "cooldowns", "reason"));
        json_z(row, "last_error", first_text(row, "tokens", "last_error"));
        json_int(row, "model_count", cJSON_GetArraySize(cJSON_GetObjectItem(row, "models")));
    }
    cJSON_Delete(members);
    cJSON_Delete(models);
    cJSON_Delete(tokens);
    cJSON_Delete(cooling);
    return e;
}

enum err rows_accounts(struct store *s, struct slice name, int64_t now_s, cJSON **ret,
                       struct errmsg *msg)
{
    struct collect c = {json_array(), now_s};
    enum err e =
        name.n ? account_get(s, name, on_account, &c, msg) : account_list(s, on_account, &c, msg);
    if (e == ERR_OK)
        e = join_accounts(s, c.rows, now_s, msg);
    return collected(e, &c, ret);
}

/* ---- pools, clients, rules, models ---- */

static enum err on_member(void *arg, const struct pool_member *m)
{
    cJSON *o = push(arg);
    json_text(o, "pool", m->pool);
    json_text(o, "account", m->account);
    json_real(o, "weight", m->weight);
    json_z(o, "state", account_state_name(m->state));
    json_z(o, "kind", account_kind_name(m->kind));
    return ERR_OK;
}

enum err rows_pool_members(struct store *s, struct slice pool, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(pool_member_list(s, pool, (struct slice){NULL, 0}, on_member, &c, msg), &c,
                     ret);
}

static const char *client_state(const struct client *c, int64_t now_s)
{
    if (!c->has_placeholder)
        return "revoked";
    if (!c->is_on)
        return "off";
    return c->expires_at && c->expires_at <= now_s ? "expired" : "on";
}

static enum err on_client(void *arg, const struct client *c)
{
    const struct collect *into = arg;
    cJSON *o = push(arg);
    json_text(o, "name", c->name);
    json_z(o, "service", service_name(c->service));
    json_text(o, "pool", c->pool);
    json_z(o, "state", client_state(c, into->now_s));
    json_text(o, "visible", c->visible);
    json_int(o, "expires_at", c->expires_at);
    json_int(o, "rpm", c->rpm);
    json_int(o, "tokens_per_day", c->tokens_per_day);
    json_add(o, "models", rows_split(c->models));
    json_flag(o, "service_account", c->sa_key_id.n > 0);
    json_text(o, "note", c->note);
    json_int(o, "created_at", c->created_at);
    json_int(o, "last_seen_at", c->last_seen_at);
    return ERR_OK;
}

enum err rows_clients(struct store *s, struct slice name, int64_t now_s, cJSON **ret,
                      struct errmsg *msg)
{
    struct collect c = {json_array(), now_s};
    enum err e =
        name.n ? client_get(s, name, on_client, &c, msg) : client_list(s, on_client, &c, msg);
    return collected(e, &c, ret);
}

static enum err on_rule(void *arg, const struct rule *r)
{
    cJSON *o = push(arg);
    json_text(o, "pattern", r->pattern);
    json_z(o, "action", rule_action_name(r->action));
    json_z(o, "api", r->api == API_NONE ? NULL : api_name(r->api));
    json_add(o, "paths", rows_split(r->paths));
    return ERR_OK;
}

enum err rows_rules(struct store *s, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(rule_list(s, on_rule, &c, msg), &c, ret);
}

static enum err on_model(void *arg, const struct model *m)
{
    cJSON *o = push(arg);
    json_text(o, "account", m->account);
    json_text(o, "model", m->model);
    json_text(o, "domain", m->domain);
    return ERR_OK;
}

enum err rows_models(struct store *s, struct slice account, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(model_list(s, account, on_model, &c, msg), &c, ret);
}

/* ---- what the proxy writes ---- */

static enum err on_token(void *arg, const struct token_state *t)
{
    cJSON *o = push(arg);
    json_text(o, "account", t->account);
    json_text(o, "scope", t->scope);
    json_flag(o, "has_token", t->has_token);
    json_text(o, "fingerprint", t->fingerprint);
    json_int(o, "expires_at", t->expires_at);
    json_int(o, "minted_at", t->minted_at);
    json_int(o, "mint_ms", t->mint_ms);
    json_int(o, "mints", t->mints);
    json_int(o, "fails", t->fails);
    json_int(o, "retry_at", t->retry_at);
    json_text(o, "last_error", t->last_error);
    return ERR_OK;
}

enum err rows_tokens(struct store *s, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(token_list(s, on_token, &c, msg), &c, ret);
}

static enum err on_cooldown(void *arg, const struct cooldown_row *r)
{
    cJSON *o = push(arg);
    json_text(o, "account", r->account);
    json_text(o, "model", r->model);
    json_int(o, "since", r->since_ms / 1000);
    json_int(o, "until", (r->until_ms + 999) / 1000);
    json_text(o, "reason", r->reason);
    return ERR_OK;
}

enum err rows_cooldowns(struct store *s, int64_t now_s, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(cooldown_list(s, now_s * 1000, on_cooldown, &c, msg), &c, ret);
}

struct collect_pins {
    struct collect collect;
    struct slice account;
};

static enum err on_pin(void *arg, const struct pin_row *p)
{
    struct collect_pins *c = arg;
    if (c->account.n && !slice_eq(c->account, p->account))
        return ERR_OK;
    cJSON *o = push(&c->collect);
    json_text(o, "name", p->name);
    json_text(o, "account", p->account);
    json_text(o, "pool", p->pool);
    json_text(o, "client", p->client);
    json_text(o, "domain", p->domain);
    json_int(o, "made_at", p->made_at);
    json_int(o, "expires_at", p->expires_at);
    return ERR_OK;
}

enum err rows_pins(struct store *s, struct slice account, int64_t now_s, cJSON **ret,
                   struct errmsg *msg)
{
    struct collect_pins c = {{json_array(), 0}, account};
    return collected(pin_list(s, 0, now_s, on_pin, &c, msg), &c.collect, ret);
}

#define SILENT_S 30 /* three signs of life that did not come */

static enum err on_node(void *arg, const struct node *n)
{
    const struct collect *into = arg;
    cJSON *o = push(arg);
    bool is_silent = !slice_eq(n->state, SLICE("stopped")) && n->seen_at + SILENT_S < into->now_s;
    json_text(o, "name", n->name);
    json_text(o, "state", is_silent ? SLICE("silent") : n->state);
    json_text(o, "address", n->address);
    json_text(o, "version", n->version);
    json_int(o, "pid", n->pid);
    json_int(o, "started_at", n->started_at);
    json_int(o, "seen_at", n->seen_at);
    json_int(o, "generation", n->generation);
    return ERR_OK;
}

enum err rows_nodes(struct store *s, int64_t now_s, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), now_s};
    return collected(node_list(s, on_node, &c, msg), &c, ret);
}

static enum err on_usage(void *arg, const struct usage *u)
{
    cJSON *o = push(arg);
    json_int(o, "minute", u->minute);
    json_text(o, "client", u->client);
    json_text(o, "account", u->account);
    json_text(o, "model", u->model);
    json_int(o, "requests", u->requests);
    json_int(o, "errors", u->errors);
    json_int(o, "limited", u->limited);
    json_int(o, "bytes_up", u->bytes_up);
    json_int(o, "bytes_down", u->bytes_down);
    json_int(o, "tokens_in", u->tokens_in);
    json_int(o, "tokens_out", u->tokens_out);
    json_int(o, "tokens_cache_read", u->tokens_cache_read);
    json_int(o, "tokens_cache_write", u->tokens_cache_write);
    json_int(o, "ms", u->ms);
    return ERR_OK;
}

enum err rows_usage(struct store *s, enum usage_by by, const struct usage_filter *f, cJSON **ret,
                    struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(usage_list(s, by, f, on_usage, &c, msg), &c, ret);
}

static enum err on_request(void *arg, const struct request_row *r)
{
    cJSON *o = push(arg);
    json_int(o, "id", r->id);
    json_int(o, "at", r->at_ms / 1000);
    json_int(o, "at_ms", r->at_ms);
    json_text(o, "request_id", r->request_id);
    json_text(o, "peer", r->peer);
    json_text(o, "client", r->client);
    json_text(o, "account", r->account);
    json_text(o, "tried", r->tried);
    json_text(o, "method", r->method);
    json_text(o, "host", r->host);
    json_text(o, "path", r->path);
    json_text(o, "model", r->model);
    json_text(o, "front", r->front);
    json_text(o, "back", r->back);
    json_int(o, "status", r->status);
    json_int(o, "attempts", r->attempts);
    json_text(o, "reason", r->reason);
    json_int(o, "bytes_up", r->bytes_up);
    json_int(o, "bytes_down", r->bytes_down);
    json_int(o, "tokens_in", r->tokens_in);
    json_int(o, "tokens_out", r->tokens_out);
    json_int(o, "tokens_cache_read", r->tokens_cache_read);
    json_int(o, "tokens_cache_write", r->tokens_cache_write);
    json_int(o, "ttfb_ms", r->ttfb_ms);
    json_int(o, "ms", r->ms);
    return ERR_OK;
}

enum err rows_requests(struct store *s, const struct request_filter *f, cJSON **ret,
                       struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(request_list(s, f, on_request, &c, msg), &c, ret);
}

static void add_parsed(cJSON *o, const char *key, struct slice json)
{
    cJSON *v = json.n ? cJSON_ParseWithLength(json.p, json.n) : NULL;
    if (v)
        json_add(o, key, v);
    else
        json_z(o, key, NULL);
}

static enum err on_event(void *arg, const struct event_row *r)
{
    cJSON *o = push(arg);
    json_int(o, "id", r->id);
    json_int(o, "at", r->at_ms / 1000);
    json_int(o, "at_ms", r->at_ms);
    json_z(o, "kind", event_kind_name(r->kind));
    json_text(o, "who", r->who);
    json_text(o, "what", r->what);
    json_int(o, "times", r->times);
    add_parsed(o, "before", r->before);
    add_parsed(o, "after", r->after);
    json_int(o, "generation", r->generation);
    json_int(o, "undone_by", r->undone_by);
    return ERR_OK;
}

enum err rows_events(struct store *s, const struct event_filter *f, cJSON **ret, struct errmsg *msg)
{
    struct collect c = {json_array(), 0};
    return collected(event_list(s, f, on_event, &c, msg), &c, ret);
}
