/* Rows of the store as the screens want them. */
#include "views/board_internal.h"

#include "base/check.h"
#include "base/mem.h"
#include "store/account.h"
#include "store/client.h"
#include "store/cooldown.h"
#include "store/event.h"
#include "store/model.h"
#include "store/node.h"
#include "store/pool.h"
#include "store/request.h"
#include "store/rule.h"
#include "store/token.h"

#define TEXT_MAX (256u << 20)
#define ROWS_MAX (1 << 24)

void part_finish(struct part *p)
{
    arena_finish(&p->text, false);
    mem_free(p->rows);
    *p = (struct part){0};
}

/* A zeroed row behind the others; valid until the next one. */
static void *part_add(struct part *p)
{
    bool is_full = p->count == 0 || (p->count >= 16 && (p->count & (p->count - 1)) == 0);
    if (is_full) {
        size_t size = p->count ? 2 * (size_t)p->count : 16;
        char *rows = p->count < ROWS_MAX ? mem_realloc(p->rows, size * p->row_size) : NULL;
        if (!rows) {
            p->has_failed = true;
            return NULL;
        }
        p->rows = rows;
    }
    void *row = p->rows + (size_t)p->count++ * p->row_size;
    memset(row, 0, p->row_size);
    return row;
}

static const char *text(struct part *p, struct slice s)
{
    if (s.n == 0)
        return "";
    struct slice copy = arena_dup(&p->text, s);
    if (!copy.p)
        p->has_failed = true;
    return copy.p ? copy.p : "";
}

/* What all rows with names begin with. */
struct named {
    int64_t id;
    const char *name;
};

int part_find(const struct part *p, const char *name)
{
    int lo = 0, hi = p->count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        const struct named *at = (const void *)(p->rows + (size_t)mid * p->row_size);
        int order = strcmp(at->name, name);
        if (order == 0)
            return mid;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

static void ends_at(const struct reading *r, int64_t at_s)
{
    struct part *p = r->into;
    if (at_s > r->now_ms / 1000 && (p->due_s == 0 || at_s < p->due_s))
        p->due_s = at_s;
}

/* ---- accounts, pools, members ---- */

static enum err on_account(void *arg, const struct account *a)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_account *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_account){
        .id = a->id,
        .name = text(p, a->name),
        .project = text(p, a->project),
        .location = text(p, a->location),
        .email = text(p, a->email),
        .host = text(p, a->host),
        .scope = text(p, a->scope),
        .key_id = text(p, a->key_id),
        .key_fingerprint = text(p, a->key_fingerprint),
        .note = text(p, a->note),
        .kind = a->kind,
        .state = a->state,
        .cool_reason = "",
        .created_at = a->created_at,
    };
    return ERR_OK;
}

static struct board_account *account_named(struct part *p, struct slice name)
{
    int i = part_find(p, name.p);
    return i < 0 ? NULL : (struct board_account *)(void *)p->rows + i;
}

static enum err on_model(void *arg, const struct model *m)
{
    struct board_account *a = account_named(((struct reading *)arg)->into, m->account);
    if (a)
        a->models++;
    return ERR_OK;
}

static enum err on_cooldown(void *arg, const struct cooldown_row *c)
{
    struct reading *r = arg;
    struct board_account *a = account_named(r->into, c->account);
    if (!a)
        return ERR_OK;
    int64_t until = c->until_ms / 1000 + (c->until_ms % 1000 != 0);
    ends_at(r, until);
    if (c->model.n) {
        a->model_cools++;
        return ERR_OK;
    }
    a->cool_until = until;
    a->cool_since = c->since_ms / 1000;
    a->cool_reason = text(r->into, c->reason);
    return ERR_OK;
}

static enum err read_accounts(struct reading *r, struct errmsg *msg)
{
    enum err e = account_list(r->s, on_account, r, msg);
    if (e == ERR_OK)
        e = model_list(r->s, (struct slice){NULL, 0}, on_model, r, msg);
    return e == ERR_OK ? cooldown_list(r->s, r->now_ms, on_cooldown, r, msg) : e;
}

static enum err on_pool(void *arg, const struct pool *from)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_pool *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row =
        (struct board_pool){.id = from->id, .name = text(p, from->name), .clients = from->clients};
    return ERR_OK;
}

static enum err read_pools(struct reading *r, struct errmsg *msg)
{
    return pool_list(r->s, on_pool, r, msg);
}

/* Members come pool by pool: the last one's is tried first. */
static int pool_of(const struct part *pools, const struct part *members, struct slice name)
{
    const struct board_pool *v = (const void *)pools->rows;
    const struct board_member *m = (const void *)members->rows;
    if (members->count) {
        int last = m[members->count - 1].pool;
        if (strcmp(v[last].name, name.p) == 0)
            return last;
    }
    for (int i = 0; i < pools->count; i++)
        if (strcmp(v[i].name, name.p) == 0)
            return i;
    return -1;
}

static enum err on_member(void *arg, const struct pool_member *m)
{
    struct reading *r = arg;
    struct part *pools = r->v[PART_POOLS];
    int pool = pool_of(pools, r->into, m->pool);
    int account = part_find(r->v[PART_ACCOUNTS], m->account.p);
    if (pool < 0 || account < 0)
        return ERR_OK; /* nobody can make such a row: the store holds references together */
    struct board_member *row = part_add(r->into);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_member){
        .pool = pool, .account = account, .weight = m->weight, .figures = {.open = -1}};
    struct board_pool *p = (struct board_pool *)(void *)pools->rows + pool;
    if (p->count++ == 0)
        p->first = r->into->count - 1;
    return ERR_OK;
}

static enum err read_members(struct reading *r, struct errmsg *msg)
{
    const struct slice all = {NULL, 0};
    return pool_member_list(r->s, all, all, on_member, r, msg);
}

/* ---- the others ---- */

static enum err on_token(void *arg, const struct token_state *t)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_token *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_token){
        .account = text(p, t->account),
        .scope = text(p, t->scope),
        .last_error = text(p, t->last_error),
        .fingerprint = text(p, t->fingerprint),
        .has_token = t->has_token,
        .expires_at = t->expires_at,
        .minted_at = t->minted_at,
        .mints = t->mints,
        .mint_ms = t->mint_ms,
        .fails = t->fails,
        .retry_at = t->retry_at,
    };
    return ERR_OK;
}

static enum err read_tokens(struct reading *r, struct errmsg *msg)
{
    return token_list(r->s, on_token, r, msg);
}

static const char *client_state(const struct reading *r, const struct client *c)
{
    if (!c->has_placeholder)
        return "revoked";
    if (!c->is_on)
        return "off";
    if (c->expires_at && c->expires_at <= r->now_ms / 1000)
        return "expired";
    ends_at(r, c->expires_at);
    return "on";
}

static enum err on_client(void *arg, const struct client *c)
{
    struct reading *r = arg;
    struct part *p = r->into;
    struct board_client *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_client){
        .id = c->id,
        .name = text(p, c->name),
        .pool = text(p, c->pool),
        .visible = text(p, c->visible),
        .models = text(p, c->models),
        .note = text(p, c->note),
        .service = c->service,
        .state = client_state(r, c),
        .has_virtual = c->sa_key_id.n > 0,
        .expires_at = c->expires_at,
        .rpm = c->rpm,
        .tokens_per_day = c->tokens_per_day,
        .created_at = c->created_at,
        .last_seen_at = c->last_seen_at,
    };
    return ERR_OK;
}

static enum err read_clients(struct reading *r, struct errmsg *msg)
{
    return client_list(r->s, on_client, r, msg);
}

static enum err on_rule(void *arg, const struct rule *from)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_rule *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_rule){
        .id = from->id,
        .pattern = text(p, from->pattern),
        .action = rule_action_name(from->action),
        .api = from->api == API_NONE ? "" : api_name(from->api),
        .paths = text(p, from->paths),
    };
    return ERR_OK;
}

static enum err read_rules(struct reading *r, struct errmsg *msg)
{
    return rule_list(r->s, on_rule, r, msg);
}

static enum err on_model_row(void *arg, const struct model *from)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_model *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_model){
        .id = from->id,
        .account = text(p, from->account),
        .model = text(p, from->model),
        .domain = text(p, from->domain),
    };
    return ERR_OK;
}

static enum err read_models(struct reading *r, struct errmsg *msg)
{
    return model_list(r->s, (struct slice){NULL, 0}, on_model_row, r, msg);
}

static void turn_round(struct part *p)
{
    char spare[sizeof(struct board_request)];
    CHECK(p->row_size <= sizeof spare);
    for (int lo = 0, hi = p->count - 1; lo < hi; lo++, hi--) {
        char *a = p->rows + (size_t)lo * p->row_size, *b = p->rows + (size_t)hi * p->row_size;
        memcpy(spare, a, p->row_size);
        memcpy(a, b, p->row_size);
        memcpy(b, spare, p->row_size);
    }
}

static enum err on_event(void *arg, const struct event_row *from)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_event *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_event){
        .id = from->id,
        .at_ms = from->at_ms,
        .times = from->times,
        .generation = from->generation,
        .undone_by = from->undone_by,
        .kind = event_kind_name(from->kind),
        .who = text(p, from->who),
        .what = text(p, from->what),
        .before = text(p, from->before),
        .after = text(p, from->after),
        .is_undo = from->is_undo,
    };
    return ERR_OK;
}

static enum err read_events(struct reading *r, struct errmsg *msg)
{
    const struct event_filter last = {.limit = BOARD_EVENTS_MAX};
    enum err e = event_list(r->s, &last, on_event, r, msg);
    turn_round(r->into);
    return e;
}

static enum err on_request(void *arg, const struct request_row *from)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_request *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_request){
        .id = from->id,
        .at_ms = from->at_ms,
        .status = from->status,
        .attempts = from->attempts,
        .up = from->bytes_up,
        .down = from->bytes_down,
        .ttfb_ms = from->ttfb_ms,
        .ms = from->ms,
        .request_id = text(p, from->request_id),
        .peer = text(p, from->peer),
        .client = text(p, from->client),
        .account = text(p, from->account),
        .tried = text(p, from->tried),
        .method = text(p, from->method),
        .host = text(p, from->host),
        .path = text(p, from->path),
        .model = text(p, from->model),
        .front = text(p, from->front),
        .back = text(p, from->back),
        .reason = text(p, from->reason),
    };
    return ERR_OK;
}

static enum err read_requests(struct reading *r, struct errmsg *msg)
{
    const struct request_filter last = {.limit = BOARD_REQUESTS_MAX};
    enum err e = request_list(r->s, &last, on_request, r, msg);
    turn_round(r->into);
    return e;
}

static enum err on_node(void *arg, const struct node *from)
{
    struct part *p = ((struct reading *)arg)->into;
    struct board_node *row = part_add(p);
    if (!row)
        return ERR_NOMEM;
    *row = (struct board_node){
        .name = text(p, from->name),
        .version = text(p, from->version),
        .state = text(p, from->state),
        .address = text(p, from->address),
        .pid = from->pid,
        .started_at = from->started_at,
        .seen_at = from->seen_at,
        .generation = from->generation,
    };
    return ERR_OK;
}

static enum err read_nodes(struct reading *r, struct errmsg *msg)
{
    return node_list(r->s, on_node, r, msg);
}

static const struct {
    size_t row_size;
    enum err (*read)(struct reading *r, struct errmsg *msg);
} tables[PART_COUNT] = {
    [PART_ACCOUNTS] = {sizeof(struct board_account), read_accounts},
    [PART_POOLS] = {sizeof(struct board_pool), read_pools},
    [PART_MEMBERS] = {sizeof(struct board_member), read_members},
    [PART_TOKENS] = {sizeof(struct board_token), read_tokens},
    [PART_CLIENTS] = {sizeof(struct board_client), read_clients},
    [PART_RULES] = {sizeof(struct board_rule), read_rules},
    [PART_MODELS] = {sizeof(struct board_model), read_models},
    [PART_EVENTS] = {sizeof(struct board_event), read_events},
    [PART_REQUESTS] = {sizeof(struct board_request), read_requests},
    [PART_NODES] = {sizeof(struct board_node), read_nodes},
};

/* part_find goes by these. */
_Static_assert(offsetof(struct board_account, id) == offsetof(struct named, id) &&
                   offsetof(struct board_account, name) == offsetof(struct named, name),
               "an account begins with its id and its name");
_Static_assert(offsetof(struct board_client, id) == offsetof(struct named, id) &&
                   offsetof(struct board_client, name) == offsetof(struct named, name),
               "a client begins with its id and its name");

enum err board_read_part(struct reading *r, enum board_part which, struct errmsg *msg)
{
    struct part *p = r->v[which];
    *p = (struct part){.row_size = tables[which].row_size};
    arena_init(&p->text, TEXT_MAX);
    r->into = p;
    enum err e = tables[which].read(r, msg);
    if (e == ERR_NOMEM || (e == ERR_OK && p->has_failed))
        e = err_set(msg, ERR_NOMEM, "there is no memory for what the store holds");
    return e;
}
