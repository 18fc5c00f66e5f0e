/* map-config.json, the token cache and app_config.json. Every list is bounded, every name is
 * checked before it becomes a path, and the prefix of a client's token alone says which of its
 * lists counts. */
#include "cli/legacy.h"

#include "base/check.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/quantity.h"
#include "conf/options.h"
#include "store/client.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#define LIST_PREFIX "key_filename_"
#define ARENA_MAX (64 << 20)

struct reader {
    struct legacy_map *map;
    struct errmsg *msg;
    struct legacy_account *accounts; /* room for every entry of every list */
    struct legacy_pool *pools;
    struct legacy_client *clients;
    size_t entries;
};

/* cJSON recurses up to its own limit of 1000; nothing here needs more than a few levels. */
static bool is_shallow(struct slice json)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];
        if (c == '\0' || (in_string && c == '\\' &&
                          slice_starts(slice_sub(json, i + 1, json.n), SLICE("u0000"))))
            return false;
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
        if (depth > 16)
            return false;
    }
    return true;
}

static enum err parse(struct slice json, const char *what, cJSON **ret, struct errmsg *msg)
{
    if (json.n > LEGACY_MAX)
        return err_set(msg, ERR_TOO_LARGE, "%s is larger than %d bytes", what, LEGACY_MAX);
    cJSON *v = json.n && is_shallow(json) ? cJSON_ParseWithLength(json.p, json.n) : NULL;
    if (!cJSON_IsObject(v)) {
        cJSON_Delete(v);
        return err_set(msg, ERR_INVALID, "%s is not a JSON object", what);
    }
    *ret = v;
    return ERR_OK;
}

static bool is_visible(struct slice s, size_t max)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    return s.n > 0 && s.n <= max;
}

static struct slice text_of(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? slice_of(v->valuestring) : (struct slice){NULL, 0};
}

/* ---- accounts ---- */

/* One path component, visible, not hidden: it will be looked for in the folder of keys. */
static bool is_file_name(struct slice s)
{
    return is_visible(s, 200) && s.p[0] != '.' && !memchr(s.p, '/', s.n) && !memchr(s.p, '\\', s.n);
}

/* Every byte that no name may hold becomes '-'. */
static void make_name(struct slice from, char ret[65])
{
    size_t n = from.n < 60 ? from.n : 60;
    for (size_t i = 0; i < n; i++) {
        char one[2] = {from.p[i], 'x'};
        bool is_good = i == 0 ? name_is_valid(slice_make(one, 1))
                              : name_is_valid(slice_make((char[2]){'x', from.p[i]}, 2));
        ret[i] = is_good ? from.p[i] : i == 0 ? 'x' : '-';
    }
    ret[n] = '\0';
    if (n == 0)
        memcpy(ret, "x", 2);
}

static bool account_name_taken(const struct reader *r, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(r->accounts[i].name, name) == 0)
            return true;
    return false;
}

static void name_account(struct reader *r, struct legacy_account *a)
{
    struct slice stem = a->file;
    char base[65];
    if (slice_ends(stem, SLICE(".json")))
        stem.n -= 5;
    make_name(stem, base);
    memcpy(a->name, base, sizeof base);
    for (unsigned i = 2; account_name_taken(r, r->map->account_count, a->name); i++)
        snprintf(a->name, sizeof a->name, "%.54s-%u", base, i);
}

/* The account of FILE, made when it is new. */
static enum err find_account(struct reader *r, struct slice file, const char *where, size_t at,
                             uint32_t *ret)
{
    for (size_t i = 0; i < r->map->account_count; i++)
        if (slice_eq(r->accounts[i].file, file)) {
            *ret = (uint32_t)i;
            return ERR_OK;
        }
    if (!file.p || !is_file_name(file))
        return err_set(r->msg, ERR_INVALID, "%s[%zu].key_filename is not the name of a file", where,
                       at);
    if (r->map->account_count == LEGACY_ROWS_MAX)
        return err_set(r->msg, ERR_TOO_LARGE, "more than %d key files", LEGACY_ROWS_MAX);
    struct legacy_account *a = &r->accounts[r->map->account_count];
    *a = (struct legacy_account){.file = arena_dup(&r->map->arena, file)};
    if (!a->file.p)
        return ERR_NOMEM;
    name_account(r, a);
    *ret = (uint32_t)r->map->account_count++;
    return ERR_OK;
}

static enum err count_entry(struct reader *r)
{
    return ++r->entries <= LEGACY_ROWS_MAX * 4
               ? ERR_OK
               : err_set(r->msg, ERR_TOO_LARGE, "more than %d list entries", LEGACY_ROWS_MAX * 4);
}

static bool has_model(const struct legacy_model *m, size_t n, struct slice model)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(m[i].model, model))
            return true;
    return false;
}

/* Adds the models of one entry to those that the account has from another service's list. */
static enum err add_models(struct reader *r, struct legacy_account *a, const cJSON *list,
                           const char *where, size_t at)
{
    size_t size = a->model_count + (size_t)cJSON_GetArraySize(list), n = a->model_count;
    struct legacy_model *m = arena_alloc(&r->map->arena, (size + 1) * sizeof *m);
    const cJSON *item;
    if (!m)
        return ERR_NOMEM;
    if (n)
        memcpy(m, a->models, n * sizeof *m);
    cJSON_ArrayForEach(item, list)
    {
        struct slice model = text_of(item, "model"), domain = text_of(item, "domain");
        if (count_entry(r) != ERR_OK)
            return ERR_TOO_LARGE;
        if (!model.p || !is_visible(model, 127) || (domain.n && !is_visible(domain, 253)))
            return err_set(r->msg, ERR_INVALID,
                           "%s[%zu].models has an entry without a proper model or domain", where,
                           at);
        if (has_model(m, n, model))
            continue;
        m[n].model = arena_dup(&r->map->arena, model);
        m[n].domain = domain.n ? arena_dup(&r->map->arena, domain) : SLICE("");
        if (!m[n].model.p || !m[n].domain.p)
            return ERR_NOMEM;
        n++;
    }
    a->models = m;
    a->model_count = n;
    return ERR_OK;
}

static enum err read_accounts(struct reader *r, const cJSON *list)
{
    const cJSON *item;
    size_t at = 0;
    if (!cJSON_IsArray(list))
        return err_set(r->msg, ERR_INVALID, "%.60s is not a list", list->string);
    cJSON_ArrayForEach(item, list)
    {
        uint32_t i = 0;
        enum err e = find_account(r, text_of(item, "key_filename"), list->string, at, &i);
        if (e == ERR_OK)
            e = add_models(r, &r->accounts[i], cJSON_GetObjectItemCaseSensitive(item, "models"),
                           list->string, at);
        if (e != ERR_OK)
            return e;
        at++;
    }
    return ERR_OK;
}

/* ---- pools ---- */

static int by_account_name(const void *a, const void *b, void *arg)
{
    const struct reader *r = arg;
    const struct legacy_member *x = a, *y = b;
    return strcmp(r->accounts[x->account].name, r->accounts[y->account].name);
}

static bool same_members(const struct legacy_pool *p, const struct legacy_member *m, size_t n)
{
    if (p->member_count != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (p->members[i].account != m[i].account || p->members[i].weight < m[i].weight ||
            p->members[i].weight > m[i].weight)
            return false;
    return true;
}

/* An account called a_2, or a+b, could make two lists look alike. */
static bool pool_name_taken(const struct reader *r, const char *name)
{
    for (size_t i = 0; i < r->map->pool_count; i++)
        if (strcmp(r->pools[i].name, name) == 0)
            return true;
    return false;
}

/* "team-1_2+team-2": members with their weights where these are not 1. Too long: cut, with a sum of
 * the whole. */
static void name_pool(struct reader *r, struct legacy_pool *p)
{
    struct sbuf b;
    char weight[QUANTITY_TEXT], sum[FINGERPRINT_SIZE];
    sbuf_init(&b, 1 << 20);
    for (size_t i = 0; i < p->member_count; i++) {
        sbuf_addf(&b, "%s%s", i ? "+" : "", r->accounts[p->members[i].account].name);
        if (p->members[i].weight < 1 || p->members[i].weight > 1)
            sbuf_addf(&b, "_%s", weight_print(p->members[i].weight, weight));
    }
    if (b.n <= 64) {
        snprintf(p->name, sizeof p->name, "%s", sbuf_z(&b));
    } else {
        fingerprint(sbuf_slice(&b), sum);
        snprintf(p->name, sizeof p->name, "%.50s-%s", sbuf_z(&b), sum);
    }
    sbuf_finish(&b);
    char base[65];
    memcpy(base, p->name, sizeof base);
    for (unsigned i = 2; pool_name_taken(r, p->name); i++)
        snprintf(p->name, sizeof p->name, "%.54s-%u", base, i);
}

static enum err find_pool(struct reader *r, struct legacy_member *m, size_t n, uint32_t *ret)
{
    qsort_r(m, n, sizeof *m, by_account_name, r);
    for (size_t i = 0; i < r->map->pool_count; i++)
        if (same_members(&r->pools[i], m, n)) {
            *ret = (uint32_t)i;
            return ERR_OK;
        }
    struct legacy_pool *p = &r->pools[r->map->pool_count];
    *p = (struct legacy_pool){.members = m, .member_count = n};
    name_pool(r, p);
    *ret = (uint32_t)r->map->pool_count++;
    return ERR_OK;
}

/* ---- clients ---- */

/* Adds one entry to M; the same file twice in a list adds up, as its choice did. */
static enum err read_member(struct reader *r, const cJSON *item, size_t client,
                            struct legacy_member *m, size_t *n)
{
    const cJSON *weight = cJSON_GetObjectItemCaseSensitive(item, "key_weight");
    uint32_t account = 0;
    enum err e = count_entry(r);
    if (e == ERR_OK)
        e = find_account(r, text_of(item, "key_filename"), "clients", client, &account);
    if (e != ERR_OK)
        return e;
    double w = cJSON_IsNumber(weight) ? weight->valuedouble : 0;
    if (!(w > 0 && w <= 1000000))
        return err_set(r->msg, ERR_INVALID,
                       "clients[%zu]: the key_weight of %s is not a number above 0", client,
                       r->accounts[account].file.p);
    for (size_t i = 0; i < *n; i++)
        if (m[i].account == account) {
            m[i].weight += w;
            return ERR_OK;
        }
    m[(*n)++] = (struct legacy_member){account, w};
    r->accounts[account].clients++;
    return ERR_OK;
}

static enum err read_list(struct reader *r, const cJSON *list, size_t at, struct legacy_client *cl)
{
    size_t n = 0;
    const cJSON *item;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0) {
        cl->skipped = "it has no list of key files for its service";
        return ERR_OK;
    }
    struct legacy_member *m =
        arena_alloc(&r->map->arena, (size_t)cJSON_GetArraySize(list) * sizeof *m);
    if (!m)
        return ERR_NOMEM;
    cJSON_ArrayForEach(item, list)
    {
        enum err e = read_member(r, item, at, m, &n);
        if (e != ERR_OK)
            return e;
    }
    return find_pool(r, m, n, &cl->pool);
}

static const char *check_token(const struct reader *r, struct slice token)
{
    if (token.n < PLACEHOLDER_MIN)
        return "its client_token has fewer than 12 characters; give it a new one";
    if (!is_visible(token, PLACEHOLDER_MAX))
        return "its client_token is too long, or holds characters that no header may carry";
    for (size_t i = 0; i < r->map->client_count; i++)
        if (slice_eq(r->clients[i].token, token))
            return "its client_token is that of a client before it";
    return NULL;
}

static enum err read_client(struct reader *r, const cJSON *item, size_t at)
{
    struct legacy_client *cl = &r->clients[r->map->client_count];
    struct slice token = text_of(item, "client_token");
    if (!cJSON_IsObject(item) || !token.p)
        return err_set(r->msg, ERR_INVALID, "clients[%zu] has no client_token", at);
    *cl = (struct legacy_client){.token = arena_dup(&r->map->arena, token)};
    if (!cl->token.p)
        return ERR_NOMEM;
    struct slice prefix = slice_sub(token, 0, slice_find(token, '-', 0));
    cl->is_on = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "enable"));
    cl->skipped = check_token(r, token);
    if (!cl->skipped && (prefix.n == token.n || !service_from(prefix, &cl->service)))
        cl->skipped = "its client_token begins with no service known here (gemini-, claude-)";
    enum err e = ERR_OK;
    if (!cl->skipped) {
        char key[64];
        snprintf(key, sizeof key, LIST_PREFIX "%s", service_name(cl->service));
        e = read_list(r, cJSON_GetObjectItemCaseSensitive(item, key), at, cl);
    }
    r->map->client_count++;
    return e;
}

/* The service and up to three characters behind it: what the store shows of a placeholder too. */
static void visible_part(const struct legacy_client *cl, char ret[65])
{
    size_t prefix = slice_find(cl->token, '-', 0) + 1;
    size_t n = prefix + 3 < cl->token.n ? prefix + 3 : cl->token.n;
    make_name(slice_sub(cl->token, 0, n), ret);
}

static void name_clients(struct reader *r)
{
    for (size_t i = 0; i < r->map->client_count; i++)
        visible_part(&r->clients[i], r->clients[i].name);
    for (size_t i = 0; i < r->map->client_count; i++) {
        char base[65];
        unsigned number = 1;
        memcpy(base, r->clients[i].name, sizeof base);
        for (size_t k = i + 1; k < r->map->client_count; k++)
            if (strcmp(r->clients[k].name, base) == 0)
                snprintf(r->clients[k].name, sizeof r->clients[k].name, "%.50s-%u", base, ++number);
        if (number > 1)
            snprintf(r->clients[i].name, sizeof r->clients[i].name, "%.50s-1", base);
    }
}

/* ---- the whole ---- */

static enum err read_map(struct reader *r, const cJSON *root)
{
    const cJSON *item, *clients = cJSON_GetObjectItemCaseSensitive(root, "clients");
    enum err e = ERR_OK;
    size_t at = 0;
    cJSON_ArrayForEach(item, root)
    {
        if (e == ERR_OK && slice_starts(slice_of(item->string), SLICE(LIST_PREFIX)))
            e = read_accounts(r, item);
    }
    if (e == ERR_OK && !cJSON_IsArray(clients))
        e = err_set(r->msg, ERR_INVALID, "there is no list of clients; is this a map-config.json?");
    if (e == ERR_OK && cJSON_GetArraySize(clients) > LEGACY_ROWS_MAX)
        e = err_set(r->msg, ERR_TOO_LARGE, "more than %d clients", LEGACY_ROWS_MAX);
    if (e != ERR_OK)
        return e;
    cJSON_ArrayForEach(item, clients)
    {
        e = read_client(r, item, at++);
        if (e != ERR_OK)
            return e;
    }
    name_clients(r);
    return ERR_OK;
}

/* An upper bound of the key files named: every entry of every list. */
static size_t count_files(const cJSON *root, const cJSON *clients)
{
    size_t n = 0;
    const cJSON *item, *list;
    cJSON_ArrayForEach(list, root) n += (size_t)cJSON_GetArraySize(list);
    cJSON_ArrayForEach(item, clients)
    {
        cJSON_ArrayForEach(list, item) n += (size_t)cJSON_GetArraySize(list);
    }
    return n < LEGACY_ROWS_MAX ? n : LEGACY_ROWS_MAX;
}

enum err legacy_parse(struct slice json, struct legacy_map *ret, struct errmsg *msg)
{
    cJSON *root = NULL;
    *ret = (struct legacy_map){0};
    arena_init(&ret->arena, ARENA_MAX);
    enum err e = parse(json, "the map", &root, msg);
    if (e != ERR_OK)
        return e;
    struct reader r = {.map = ret, .msg = msg};
    const cJSON *clients = cJSON_GetObjectItemCaseSensitive(root, "clients");
    size_t files = count_files(root, clients) + 1, rows = (size_t)cJSON_GetArraySize(clients) + 1;
    rows = rows <= LEGACY_ROWS_MAX ? rows : LEGACY_ROWS_MAX + 1;
    r.accounts = arena_alloc(&ret->arena, files * sizeof *r.accounts);
    r.pools = arena_alloc(&ret->arena, rows * sizeof *r.pools);
    r.clients = arena_alloc(&ret->arena, rows * sizeof *r.clients);
    e = r.accounts && r.pools && r.clients ? read_map(&r, root) : ERR_NOMEM;
    ret->accounts = r.accounts;
    ret->pools = r.pools;
    ret->clients = r.clients;
    cJSON_Delete(root);
    if (e == ERR_NOMEM)
        err_set(msg, e, "%s", err_str(e));
    return e;
}

void legacy_finish(struct legacy_map *m)
{
    arena_finish(&m->arena, true);
    *m = (struct legacy_map){0};
}

/* ---- token cache ---- */

enum err legacy_token(struct slice json, struct sbuf *owned, int64_t *ret_expires_at,
                      struct errmsg *msg)
{
    cJSON *root = NULL;
    enum err e = parse(json, "the token file", &root, msg);
    if (e != ERR_OK)
        return e;
    struct slice token = text_of(root, "access_token"), type = text_of(root, "token_type");
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(root, "expires_at");
    double expires = cJSON_IsNumber(at) ? at->valuedouble : 0;
    if (!token.p || !is_visible(token, 16384) || !(expires >= 1 && expires < 1e11) ||
        (type.p && !slice_ieq(type, SLICE("Bearer"))))
        e = err_set(msg, ERR_INVALID, "it holds no bearer token with an expires_at");
    if (e == ERR_OK) {
        sbuf_add_slice(owned, token);
        *ret_expires_at = (int64_t)expires;
        e = owned->failed ? ERR_NOMEM : ERR_OK;
    }
    cJSON_Delete(root);
    return e;
}

/* ---- app_config.json ---- */

static const struct {
    const char *group, *key, *section, *option;
} app_numbers[] = {
    {"token_refresh", "early_refresh", "oauth", "early_refresh"},
    {"timeouts", "proxy_connect", "upstream", "connect_timeout"},
    {"timeouts", "proxy_read", "upstream", "read_timeout"},
    {"timeouts", "keepalive", "upstream", "keepalive"},
};

static int64_t within(const char *section, const char *key, int64_t v)
{
    size_t n;
    const struct conf_option *o = conf_options(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(o[i].section, section) == 0 && strcmp(o[i].key, key) == 0)
            return v < o[i].min ? o[i].min : v > o[i].max ? o[i].max : v;
    return v;
}

/* The lines of one section, in our syntax. */
static void app_section(struct sbuf *out, const cJSON *root, const char *section)
{
    bool is_open = false;
    for (size_t i = 0; i < ARRAY_LEN(app_numbers); i++) {
        const cJSON *g = cJSON_GetObjectItemCaseSensitive(root, app_numbers[i].group);
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(g, app_numbers[i].key);
        if (strcmp(app_numbers[i].section, section) != 0 || !cJSON_IsNumber(v))
            continue;
        double d = v->valuedouble > 0 && v->valuedouble < 1e9 ? v->valuedouble : 0;
        int64_t n = within(section, app_numbers[i].option, (int64_t)d);
        if (!is_open)
            sbuf_addf(out, "%s {\n", section);
        is_open = true;
        sbuf_addf(out, "  %s = %lld%s%s%s%s\n", app_numbers[i].option, (long long)n, "  # was ",
                  app_numbers[i].group, ".", app_numbers[i].key);
    }
    if (is_open)
        sbuf_adds(out, "}\n");
}

static const char *app_level(const cJSON *root)
{
    static const char *const levels[][2] = {
        {"debug", "debug"}, {"info", "info"},  {"notice", "info"}, {"warn", "warn"},
        {"error", "error"}, {"crit", "error"}, {"alert", "error"}, {"emerg", "error"}};
    struct slice had = text_of(root, "log_level");
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "debug_mode")))
        return "debug";
    for (size_t i = 0; had.p && i < ARRAY_LEN(levels); i++)
        if (slice_ieq(had, slice_of(levels[i][0])))
            return levels[i][1];
    return NULL;
}

enum err legacy_app(struct slice json, struct sbuf *out, struct errmsg *msg)
{
    cJSON *root = NULL;
    enum err e = parse(json, "the application configuration", &root, msg);
    if (e != ERR_OK)
        return e;
    const char *level = app_level(root);
    const cJSON *refresh = cJSON_GetObjectItemCaseSensitive(root, "token_refresh");
    const cJSON *test = cJSON_GetObjectItemCaseSensitive(root, "test_output");
    if (level)
        sbuf_addf(out, "log {\n  level = \"%s\"  # was log_level, debug_mode\n}\n", level);
    app_section(out, root, "oauth");
    app_section(out, root, "upstream");
    if (cJSON_GetObjectItemCaseSensitive(refresh, "interval"))
        sbuf_adds(out, "# token_refresh.interval has no counterpart: tokens are renewed when they "
                       "are about to expire\n");
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(test, "enabled")))
        sbuf_adds(out, "# test_output has no counterpart: log.level \"trace\" shows each stage, "
                       "secrets left out\n");
    cJSON_Delete(root);
    return out->failed ? ERR_NOMEM : ERR_OK;
}
