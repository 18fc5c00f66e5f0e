/* The picture of the configuration that workers route by: read in one transaction, then never
 * changed. All its text and arrays lie in one arena. Where a row makes no sense the doubt goes
 * against it: it may vanish, be off or deny, but never allow more than it says. */
#include "store/snapshot.h"
#include "store/account.h"
#include "store/client.h"
#include "store/rule.h"
#include "store/store_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ARENA_MAX ((size_t)1 << 30)
#define LIST_MAX 4096

struct snap {
    struct snapshot pub; /* first */
    atomic_uint refs;
    struct arena arena;
    struct snap_account *accounts; /* for their secrets */
    unsigned char (*hashes)[HMAC_SIZE];
    uint32_t *slots; /* open addressing by the first bytes of the hash: index of the client + 1 */
    size_t slot_mask;
};

struct loader {
    struct store *s;
    const struct master_key *key;
    struct snap *snap;
    size_t bad;
    struct snap_account *accounts;
    bool *has_models; /* of each account: there was a row, sensible or not */
    struct snap_model *models;
    struct snap_pool *pools;
    struct snap_member *members;
    struct snap_client *clients;
    struct snap_rule *rules;
    struct snap_cooldown *cooldowns;
    size_t model_count, member_count, hash_count;
};

static void snap_destroy(struct snap *n)
{
    for (size_t i = 0; i < n->pub.account_count; i++)
        secret_unref(&n->accounts[i].api_key);
    arena_finish(&n->arena, false);
    mem_free(n);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    if (s)
        atomic_fetch_add_explicit(&container_of(s, struct snap, pub)->refs, 1,
                                  memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot **sp)
{
    struct snapshot *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    struct snap *n = container_of(s, struct snap, pub);
    if (atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1)
        snap_destroy(n);
}

/* COUNT zeroed things from the arena; at least room for one, so that NULL is always no memory. */
static void *array(struct loader *l, size_t count, size_t size)
{
    if (count > ARENA_MAX / size - 1)
        return NULL;
    void *p = arena_alloc(&l->snap->arena, (count + 1) * size);
    if (p)
        memset(p, 0, (count + 1) * size);
    return p;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    return false;
}

/* A row's text, copied. The state collects what is wrong with the row. */
struct text_state {
    bool is_bad, is_full;
};
static struct slice text(struct loader *l, struct query *q, int i, struct text_state *st)
{
    struct slice s = col_text(q, i);
    if (has_control(s))
        st->is_bad = true;
    struct slice copy = arena_dup(&l->snap->arena, s);
    if (!copy.p)
        st->is_full = true;
    return copy;
}

static enum err bad_row(struct loader *l)
{
    l->bad++;
    return ERR_OK;
}

/* "a, b,c" to patterns. *RET_COUNT 0 with text that is not empty is for the caller to refuse. */
static enum err split(struct loader *l, struct slice list, const struct slice **ret,
                      size_t *ret_count)
{
    size_t count = 0, n = 0;
    struct slice rest = list, word;
    while (rest.n > 0 && slice_next(&rest, ',', &word))
        count++;
    if (count > LIST_MAX)
        count = LIST_MAX;
    struct slice *words = array(l, count, sizeof *words);
    if (!words)
        return ERR_NOMEM;
    rest = list;
    while (n < count && slice_next(&rest, ',', &word)) {
        word = slice_trim(word);
        if (word.n == 0) {
            count--;
            continue;
        }
        words[n] = arena_dup(&l->snap->arena, word);
        if (!words[n++].p)
            return ERR_NOMEM;
    }
    *ret = words;
    *ret_count = n;
    return ERR_OK;
}

/* An API key that does not open leaves the account in the list, without a key: nobody picks it. */
static enum err open_api_key(struct loader *l, struct query *q, int col, struct snap_account *a)
{
    char row[24];
    struct seal_place at = {"account", seal_row(a->id, row), "key"};
    if (!l->key)
        return ERR_OK;
    enum err e = unseal(l->key, &at, col_blob(q, col), &a->api_key);
    if (e == ERR_NOMEM)
        return e;
    struct slice key = secret_bytes(a->api_key);
    bool ok = e == ERR_OK && key.n > 0;
    for (size_t i = 0; ok && i < key.n; i++)
        ok = key.p[i] > ' ' && key.p[i] <= '~';
    if (ok)
        return ERR_OK;
    secret_unref(&a->api_key);
    return bad_row(l);
}

static enum err account_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct text_state st = {false, false};
    struct snap_account a = {
        .id = col_int(q, 0),
        .name = text(l, q, 1, &st),
        .project = text(l, q, 4, &st),
        .location = text(l, q, 5, &st),
        .host = text(l, q, 6, &st),
        .scope = text(l, q, 7, &st),
        .quota_project = text(l, q, 8, &st),
        .email = text(l, q, 9, &st),
        .token_uri = text(l, q, 10, &st),
        .key_id = text(l, q, 11, &st),
        .key_fingerprint = text(l, q, 12, &st),
        .cleared_at_ms = col_int(q, 13),
    };
    if (st.is_full)
        return ERR_NOMEM;
    if (st.is_bad || a.id <= 0 || !account_kind_from(col_text(q, 2), &a.kind) ||
        !account_state_from(col_text(q, 3), &a.state))
        return bad_row(l);
    enum err e = a.kind == ACCOUNT_API_KEY ? open_api_key(l, q, 14, &a) : ERR_OK;
    if (e == ERR_OK)
        l->accounts[l->snap->pub.account_count++] = a;
    return e;
}

static struct snap_account *find_account(const struct snapshot *s, struct snap_account *accounts,
                                         int64_t id)
{
    size_t at = snapshot_place(accounts, s->account_count, sizeof *accounts, id);
    return at < s->account_count ? &accounts[at] : NULL;
}

/* Columns: account id, model, domain; in the order of accounts, so that each one's rows lie
 * together. */
static enum err model_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct text_state st = {false, false};
    struct snap_account *a = find_account(&l->snap->pub, l->accounts, col_int(q, 0));
    if (!a)
        return bad_row(l);
    l->has_models[a - l->accounts] = true;
    struct snap_model m = {text(l, q, 1, &st), text(l, q, 2, &st)};
    if (st.is_full)
        return ERR_NOMEM;
    if (st.is_bad || m.model.n == 0)
        return bad_row(l);
    if (a->model_count == 0)
        a->models = &l->models[l->model_count];
    l->models[l->model_count++] = m;
    a->model_count++;
    return ERR_OK;
}

static enum err pool_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct text_state st = {false, false};
    struct snap_pool p = {.id = col_int(q, 0), .name = text(l, q, 1, &st)};
    if (st.is_full)
        return ERR_NOMEM;
    if (st.is_bad)
        return bad_row(l);
    l->pools[l->snap->pub.pool_count++] = p;
    return ERR_OK;
}

/* Pools are in the order of their ids. */
static struct snap_pool *find_pool(struct loader *l, int64_t id)
{
    size_t count = l->snap->pub.pool_count;
    size_t at = snapshot_place(l->pools, count, sizeof *l->pools, id);
    return at < count ? &l->pools[at] : NULL;
}

/* Columns: pool id, account id, weight; in the order of pools. */
static enum err member_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct snap_pool *p = find_pool(l, col_int(q, 0));
    struct snap_account *a = find_account(&l->snap->pub, l->accounts, col_int(q, 1));
    double weight = col_real(q, 2);
    if (!p || !a || !(weight >= 0 && weight <= 1e9))
        return bad_row(l);
    if (p->member_count == 0)
        p->members = &l->members[l->member_count];
    l->members[l->member_count++] = (struct snap_member){(uint32_t)(a - l->accounts), weight};
    p->member_count++;
    return ERR_OK;
}

/* Without a placeholder (revoked) a client is still there by name, but no hash leads to it. */
static enum err client_hash(struct loader *l, struct query *q, int col, size_t client)
{
    struct slice hash = col_blob(q, col);
    if (hash.n != HMAC_SIZE)
        return col_is_null(q, col) ? ERR_OK : bad_row(l);
    memcpy(l->snap->hashes[client], hash.p, HMAC_SIZE);
    l->clients[client].placeholder_hash = l->snap->hashes[client];
    uint64_t at;
    memcpy(&at, hash.p, sizeof at);
    while (l->snap->slots[at & l->snap->slot_mask])
        at++;
    l->snap->slots[at & l->snap->slot_mask] = (uint32_t)client + 1;
    return ERR_OK;
}

static enum err client_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct text_state st = {false, false};
    struct snap_client c = {
        .id = col_int(q, 0),
        .name = text(l, q, 1, &st),
        .enabled = slice_eq(col_text(q, 4), SLICE("on")),
        .expires_at = col_int(q, 5),
        .rpm = col_int(q, 6),
        .tokens_per_day = col_int(q, 7),
        .sa_key_id = text(l, q, 9, &st),
        .sa_public_key = arena_dup(&l->snap->arena, col_text(q, 10)),
    };
    struct slice models = text(l, q, 8, &st);
    if (st.is_full || !c.sa_public_key.p)
        return ERR_NOMEM;
    struct snap_pool *p = find_pool(l, col_int(q, 3));
    if (st.is_bad || !p || !service_from(col_text(q, 2), &c.service) || c.rpm < 0 ||
        c.tokens_per_day < 0 || c.expires_at < 0)
        return bad_row(l);
    c.pool = (uint32_t)(p - l->pools);
    enum err e = split(l, models, &c.models, &c.model_count);
    if (e != ERR_OK)
        return e;
    if (models.n > 0 && c.model_count == 0)
        return bad_row(l);
    size_t at = l->snap->pub.client_count++;
    l->clients[at] = c;
    l->snap->pub.virtual_count += c.sa_key_id.n && c.sa_public_key.n;
    return client_hash(l, q, 11, at);
}

/* A rule that cannot be read for certain denies its host. */
static enum err rule_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct text_state st = {false, false};
    struct snap_rule r = {.id = col_int(q, 0), .pattern = text(l, q, 1, &st)};
    struct slice paths = text(l, q, 4, &st);
    if (st.is_full)
        return ERR_NOMEM;
    if (!rule_pattern_is_valid(r.pattern))
        return bad_row(l);
    bool ok = !st.is_bad && rule_action_from(col_text(q, 2), &r.action) &&
              api_from(col_text(q, 3), &r.api) && (r.action == RULE_SWAP) == (r.api != API_NONE);
    enum err e = split(l, paths, &r.paths, &r.path_count);
    if (e != ERR_OK)
        return e;
    if (!ok || (paths.n > 0 && r.path_count == 0)) {
        r = (struct snap_rule){.id = r.id, .pattern = r.pattern, .action = RULE_DENY};
        l->bad++;
    }
    l->rules[l->snap->pub.rule_count++] = r;
    return ERR_OK;
}

static int compare_rules(const void *a, const void *b)
{
    return rule_pattern_compare(((const struct snap_rule *)a)->pattern,
                                ((const struct snap_rule *)b)->pattern);
}

static enum err cooldown_row(struct query *q, void *arg)
{
    struct loader *l = arg;
    struct text_state st = {false, false};
    struct snap_cooldown c = {
        .account_id = col_int(q, 0),
        .model = text(l, q, 1, &st),
        .since_ms = col_int(q, 2),
        .until_ms = col_int(q, 3),
    };
    int64_t steps = col_int(q, 4);
    c.step = steps < 0 ? 0 : steps > 64 ? 64 : (uint32_t)steps;
    if (st.is_full)
        return ERR_NOMEM;
    if (st.is_bad)
        return bad_row(l);
    l->cooldowns[l->snap->pub.cooldown_count++] = c;
    return ERR_OK;
}

/* How many rows; inside the same transaction, so the arrays fit. */
static enum err count(struct loader *l, const char *sql, size_t *ret, struct errmsg *msg)
{
    int64_t n = 0;
    enum err e = db_int(l->s, &n, msg, sql, NO_VALS);
    if (e == ERR_OK && (n < 0 || n >= INT32_MAX))
        return db_set(l->s, msg, ERR_TOO_LARGE, "store: too many rows");
    *ret = (size_t)n;
    return e;
}

static enum err load_accounts(struct loader *l, struct errmsg *msg)
{
    size_t n = 0, models = 0;
    enum err e = count(l, "SELECT count(*) FROM account", &n, msg);
    if (e == ERR_OK)
        e = count(l, "SELECT count(*) FROM account_model", &models, msg);
    if (e != ERR_OK)
        return e;
    l->accounts = array(l, n, sizeof *l->accounts);
    l->has_models = array(l, n, sizeof *l->has_models);
    l->models = array(l, models, sizeof *l->models);
    if (!l->accounts || !l->has_models || !l->models)
        return ERR_NOMEM;
    l->snap->accounts = l->accounts;
    l->snap->pub.accounts = l->accounts;
    e = db_each(
        l->s, account_row, l, msg,
        "SELECT id, name, kind, state, project, location, host, scope, quota_project, email, "
        "token_uri, key_id, key_fingerprint, cleared_at_ms, "
        "CASE kind WHEN 'api-key' THEN key_sealed END FROM account ORDER BY id",
        NO_VALS);
    if (e == ERR_OK)
        e = db_each(l->s, model_row, l, msg,
                    "SELECT a.id, m.model, m.domain FROM account_model m "
                    "LEFT JOIN account a ON a.name = m.account ORDER BY a.id, m.id",
                    NO_VALS);
    /* No row means every model. When all its rows were bad that is not what was meant. */
    for (size_t i = 0; e == ERR_OK && i < l->snap->pub.account_count; i++)
        if (l->has_models[i] && l->accounts[i].model_count == 0)
            l->accounts[i].state = ACCOUNT_OFF;
    return e;
}

static enum err load_pools(struct loader *l, struct errmsg *msg)
{
    size_t n = 0, members = 0;
    enum err e = count(l, "SELECT count(*) FROM pool", &n, msg);
    if (e == ERR_OK)
        e = count(l, "SELECT count(*) FROM pool_member", &members, msg);
    if (e != ERR_OK)
        return e;
    l->pools = array(l, n, sizeof *l->pools);
    l->members = array(l, members, sizeof *l->members);
    if (!l->pools || !l->members)
        return ERR_NOMEM;
    l->snap->pub.pools = l->pools;
    e = db_each(l->s, pool_row, l, msg, "SELECT id, name FROM pool ORDER BY id", NO_VALS);
    if (e == ERR_OK)
        e = db_each(l->s, member_row, l, msg,
                    "SELECT p.id, a.id, m.weight FROM pool_member m LEFT JOIN pool p ON p.name = "
                    "m.pool LEFT JOIN account a ON a.name = m.account ORDER BY p.id, a.id",
                    NO_VALS);
    return e;
}

static enum err load_clients(struct loader *l, struct errmsg *msg)
{
    size_t n = 0, slots = 16;
    enum err e = count(l, "SELECT count(*) FROM client", &n, msg);
    if (e != ERR_OK)
        return e;
    while (slots < 2 * n)
        slots *= 2;
    l->clients = array(l, n, sizeof *l->clients);
    l->snap->hashes = array(l, n, sizeof *l->snap->hashes);
    l->snap->slots = array(l, slots, sizeof *l->snap->slots);
    l->snap->slot_mask = slots - 1;
    if (!l->clients || !l->snap->hashes || !l->snap->slots)
        return ERR_NOMEM;
    l->snap->pub.clients = l->clients;
    return db_each(l->s, client_row, l, msg,
                   "SELECT c.id, c.name, c.service, p.id, c.state, c.expires_at, c.rpm, "
                   "c.tokens_per_day, c.models, c.sa_key_id, c.sa_public_key, c.placeholder_hash "
                   "FROM client c LEFT JOIN pool p ON p.name = c.pool ORDER BY c.id",
                   NO_VALS);
}

static enum err load_rules(struct loader *l, struct errmsg *msg)
{
    size_t n = 0;
    enum err e = count(l, "SELECT count(*) FROM host_rule", &n, msg);
    if (e != ERR_OK)
        return e;
    l->rules = array(l, n, sizeof *l->rules);
    if (!l->rules)
        return ERR_NOMEM;
    l->snap->pub.rules = l->rules;
    e = db_each(l->s, rule_row, l, msg, "SELECT id, pattern, action, api, paths FROM host_rule",
                NO_VALS);
    if (e == ERR_OK)
        qsort(l->rules, l->snap->pub.rule_count, sizeof *l->rules, compare_rules);
    return e;
}

static enum err load_cooldowns(struct loader *l, struct errmsg *msg)
{
    size_t n = 0;
    enum err e = count(l, "SELECT count(*) FROM cooldown", &n, msg);
    if (e != ERR_OK)
        return e;
    l->cooldowns = array(l, n, sizeof *l->cooldowns);
    if (!l->cooldowns)
        return ERR_NOMEM;
    l->snap->pub.cooldowns = l->cooldowns;
    return db_each(l->s, cooldown_row, l, msg,
                   "SELECT a.id, c.model, c.since_ms, c.until_ms, c.step FROM cooldown c JOIN "
                   "account a ON a.name = c.account WHERE c.until_ms > ?1 AND c.since_ms >= "
                   "a.cleared_at_ms ORDER BY a.id, c.model",
                   VALS(v_int(clock_wall_ms())));
}

static enum err load_all(struct loader *l, struct errmsg *msg)
{
    static enum err (*const parts[])(struct loader *, struct errmsg *) = {
        load_accounts, load_pools, load_clients, load_rules, load_cooldowns};
    enum err e = store_generation(l->s, &l->snap->pub.generation, msg);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(parts); i++)
        e = parts[i](l, msg);
    return e == ERR_NOMEM ? db_set(l->s, msg, e, "store: no memory for a snapshot") : e;
}

/* One read transaction, unless the caller is in one already. */
static enum err load_at_once(struct loader *l, struct errmsg *msg)
{
    if (l->s->in_tx)
        return load_all(l, msg);
    enum err e = db_exec(l->s, msg, "BEGIN", NO_VALS);
    if (e != ERR_OK)
        return e;
    l->s->in_tx = true;
    e = load_all(l, msg);
    store_rollback(l->s); /* nothing was written */
    return e;
}

enum err snapshot_load(struct store *s, const struct master_key *k, struct snapshot **ret,
                       size_t *ret_bad_rows, struct errmsg *msg)
{
    struct snap *n = mem_calloc(1, sizeof *n);
    if (!n)
        return db_set(s, msg, ERR_NOMEM, "store: no memory for a snapshot");
    atomic_init(&n->refs, 1);
    arena_init(&n->arena, ARENA_MAX);
    struct loader l = {.s = s, .key = k, .snap = n};
    enum err e = load_at_once(&l, msg);
    if (e != ERR_OK) {
        snap_destroy(n);
        return e;
    }
    *ret = &n->pub;
    if (ret_bad_rows)
        *ret_bad_rows = l.bad;
    return ERR_OK;
}

/* The slot comes from bits of a keyed hash, which a caller cannot choose; the comparison takes the
 * same time wherever the bytes differ. */
const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE])
{
    const struct snap *n = (const struct snap *)(const void *)s;
    uint64_t at;
    memcpy(&at, hash, sizeof at);
    for (uint32_t i; (i = n->slots[at & n->slot_mask]) != 0; at++)
        if (CRYPTO_memcmp(n->hashes[i - 1], hash, HMAC_SIZE) == 0)
            return &s->clients[i - 1];
    return NULL;
}

const struct snap_account *snapshot_account_by_name(const struct snapshot *s, struct slice name)
{
    for (size_t i = 0; i < s->account_count; i++)
        if (slice_eq(s->accounts[i].name, name))
            return &s->accounts[i];
    return NULL;
}
