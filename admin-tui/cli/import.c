/* The order is that of what needs what: accounts with models, pools with members, clients, tokens.
 */
#include "cli/import.h"

#include "base/check.h"
#include "cli/keyinfo.h"
#include "cli/out.h"
#include "cli/pools.h"
#include "cli/quantity.h"
#include "store/client.h"
#include "store/model.h"
#include "store/pool.h"
#include "store/token.h"

#include <stdarg.h>

void import_row(struct import *im, const char *what, const char *name, const char *action,
                const char *fmt, ...)
{
    char detail[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    cJSON *o = json_object();
    json_z(o, "what", what);
    json_z(o, "name", name);
    json_z(o, "action", action);
    json_z(o, "detail", detail);
    json_push(im->rows, o);
    im->changes += strcmp(action, "new") == 0;
}

/* ---- accounts ---- */

struct known_account {
    int64_t id;
    char email[256], scope[512], fingerprint[FINGERPRINT_SIZE];
};

static enum err on_account(void *arg, const struct account *a)
{
    struct known_account *k = arg;
    k->id = a->id;
    bool fits = slice_copy(a->email, k->email, sizeof k->email) &&
                slice_copy(a->scope, k->scope, sizeof k->scope) &&
                slice_copy(a->key_fingerprint, k->fingerprint, sizeof k->fingerprint);
    return fits ? ERR_OK : ERR_TOO_LARGE;
}

static enum err add_account(struct import *im, const struct legacy_account *a,
                            const struct keyfile *k, struct errmsg *msg)
{
    struct account_fields f = {.name = slice_of(a->name)};
    keyinfo_fields(k, &f);
    enum err e = account_add(im->store, im->key, ACCOUNT_SERVICE, &f, secret_bytes(k->private_key),
                             NULL, msg);
    if (e == ERR_OK)
        import_row(im, "account", a->name, "new", "%s, project %s", k->client_email, k->project_id);
    return e;
}

/* One that is there must be the same service account; its key stays the one of the store. */
static enum err compare_account(struct import *im, const struct legacy_account *a,
                                const struct keyfile *k, const struct known_account *known,
                                struct errmsg *msg)
{
    char print[FINGERPRINT_SIZE];
    if (strcmp(known->email, k->client_email) != 0)
        return err_set(msg, ERR_EXISTS,
                       "account %s is there already with another e-mail; rename it: credswap "
                       "account set %s name=OTHER",
                       a->name, a->name);
    fingerprint(secret_bytes(k->private_key), print);
    import_row(im, "account", a->name, "kept", "%s",
               strcmp(print, known->fingerprint) == 0 ? "there already"
                                                      : "there already, with another key");
    return ERR_OK;
}

static enum err on_model(void *arg, const struct model *m)
{
    cJSON *known = arg;
    cJSON *o = json_object();
    json_text(o, "model", m->model);
    json_push(known, o);
    return ERR_OK;
}

static bool is_known(const cJSON *known, struct slice model)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, known) if (slice_eq(slice_of(json_get_z(o, "model")), model))
    {
        return true;
    }
    return false;
}

static enum err add_models(struct import *im, const struct legacy_account *a, struct errmsg *msg)
{
    cJSON *known = json_array();
    int added = 0;
    enum err e = model_list(im->store, slice_of(a->name), on_model, known, msg);
    for (size_t i = 0; e == ERR_OK && i < a->model_count; i++) {
        if (is_known(known, a->models[i].model))
            continue;
        e = model_set(im->store, slice_of(a->name), a->models[i].model, a->models[i].domain, msg);
        added++;
    }
    if (e == ERR_OK && added)
        import_row(im, "models", a->name, "new", "%d of %zu", added, a->model_count);
    else if (e == ERR_OK && a->model_count == 0)
        import_row(im, "models", a->name, "kept", "none listed: it serves every model of its kind");
    cJSON_Delete(known);
    return e;
}

static enum err import_account(struct import *im, size_t i, struct errmsg *msg)
{
    const struct legacy_account *a = &im->map->accounts[i];
    const struct keyfile *k = im->accounts[i].key;
    struct known_account known = {0};
    if (!k)
        return ERR_OK;
    enum err e = account_get(im->store, slice_of(a->name), on_account, &known, msg);
    if (e == ERR_NOT_FOUND)
        e = add_account(im, a, k, msg);
    else if (e == ERR_OK)
        e = compare_account(im, a, k, &known, msg);
    return e == ERR_OK ? add_models(im, a, msg) : e;
}

/* ---- pools ---- */

static enum err on_member(void *arg, const struct pool_member *m)
{
    (void)m;
    ++*(int *)arg;
    return ERR_OK;
}

static enum err add_member(struct import *im, const struct legacy_pool *p,
                           const struct legacy_member *m, int *added, struct errmsg *msg)
{
    int known = 0;
    struct slice account = slice_of(im->map->accounts[m->account].name);
    if (!im->accounts[m->account].key)
        return ERR_OK;
    enum err e = pool_member_list(im->store, slice_of(p->name), account, on_member, &known, msg);
    if (e != ERR_OK || known)
        return e;
    ++*added;
    return pool_set(im->store, slice_of(p->name), account, m->weight, msg);
}

static void describe_pool(const struct import *im, const struct legacy_pool *p, struct sbuf *b)
{
    char weight[QUANTITY_TEXT];
    for (size_t i = 0; i < p->member_count; i++)
        sbuf_addf(b, "%s%s=%s", i ? " " : "", im->map->accounts[p->members[i].account].name,
                  weight_print(p->members[i].weight, weight));
}

static enum err import_pool(struct import *im, const struct legacy_pool *p, struct errmsg *msg)
{
    bool is_there = false;
    int added = 0;
    struct sbuf text;
    enum err e = pools_exists(im->store, slice_of(p->name), &is_there, msg);
    if (e == ERR_OK && !is_there)
        e = pool_add(im->store, slice_of(p->name), msg);
    for (size_t i = 0; e == ERR_OK && i < p->member_count; i++)
        e = add_member(im, p, &p->members[i], &added, msg);
    if (e != ERR_OK)
        return e;
    sbuf_init(&text, 1 << 16);
    describe_pool(im, p, &text);
    import_row(im, "pool", p->name, is_there && !added ? "kept" : "new", "%.300s", sbuf_z(&text));
    sbuf_finish(&text);
    return ERR_OK;
}

/* ---- clients ---- */

struct known_client {
    char name[65];
    bool has_placeholder;
};

static enum err on_client(void *arg, const struct client *c)
{
    struct known_client *k = arg;
    k->has_placeholder = c->has_placeholder;
    return slice_copy(c->name, k->name, sizeof k->name) ? ERR_OK : ERR_TOO_LARGE;
}

static enum err add_client(struct import *im, const struct legacy_client *cl, const char *name,
                           struct errmsg *msg)
{
    const struct legacy_pool *p = &im->map->pools[cl->pool];
    struct client_fields f = {
        .name = slice_of(name), .pool = slice_of(p->name), .is_on = &cl->is_on};
    enum err e = client_add(im->store, im->key, cl->service, &f, cl->token, NULL, msg);
    if (e == ERR_OK && !cl->is_on) /* whether or not adding looks at the state */
        e = client_set(im->store, slice_of(name), &(struct client_fields){.is_on = &cl->is_on},
                       msg);
    if (e == ERR_OK)
        import_row(im, "client", name, "new", "%s, %s, pool %s", service_name(cl->service),
                   cl->is_on ? "on" : "off", p->name);
    return e;
}

static enum err import_client(struct import *im, const struct legacy_client *cl, struct errmsg *msg)
{
    struct known_client known = {0};
    char name[65];
    if (cl->skipped) {
        import_row(im, "client", cl->name, "skipped", "%s", cl->skipped);
        return ERR_OK;
    }
    enum err e = client_find(im->store, im->key, cl->token, on_client, &known, msg);
    if (e == ERR_OK) {
        import_row(im, "client", known.name, "kept", "there already");
        return ERR_OK;
    }
    memcpy(name, cl->name, sizeof name);
    for (unsigned i = 2; e == ERR_NOT_FOUND; i++) {
        known = (struct known_client){{0}, true};
        e = client_get(im->store, slice_of(name), on_client, &known, msg);
        if (e == ERR_NOT_FOUND)
            return add_client(im, cl, name, msg);
        if (e != ERR_OK)
            break;
        if (!known.has_placeholder &&
            i == 2) { /* revoked since: an import does not bring it back */
            import_row(im, "client", name, "kept", "revoked here");
            return ERR_OK;
        }
        snprintf(name, sizeof name, "%.54s-%u", cl->name, i);
        e = ERR_NOT_FOUND;
    }
    return e;
}

/* ---- tokens ---- */

static enum err on_token(void *arg, const struct token_state *t)
{
    *(int64_t *)arg = t->has_token ? t->expires_at : 0;
    return ERR_OK;
}

#define TOKEN_LEAST_S 60
#define TOKEN_LIFE_S 3600

static enum err import_token(struct import *im, size_t i, struct errmsg *msg)
{
    const struct import_account *f = &im->accounts[i];
    const char *name = im->map->accounts[i].name;
    struct known_account known = {0};
    int64_t has = 0;
    char left[QUANTITY_TEXT];
    if (!f->key || !f->token.n)
        return ERR_OK;
    if (f->token_expires_at < im->now_s + TOKEN_LEAST_S) {
        import_row(im, "token", name, "skipped", "expired");
        return ERR_OK;
    }
    enum err e = account_get(im->store, slice_of(name), on_account, &known, msg);
    if (e == ERR_OK)
        e = token_state_get(im->store, known.id, slice_of(known.scope), on_token, &has, msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (has >= f->token_expires_at) {
        import_row(im, "token", name, "kept", "the store has one that lasts as long");
        return ERR_OK;
    }
    e = token_store(im->store, im->key, known.id, slice_of(known.scope), sbuf_slice(&f->token),
                    f->token_expires_at, f->token_expires_at - TOKEN_LIFE_S, 0, msg);
    if (e == ERR_OK)
        import_row(im, "token", name, "new", "%s left",
                   duration_print(f->token_expires_at - im->now_s, left));
    return e;
}

enum err import_apply(struct import *im, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < im->map->account_count; i++)
        e = import_account(im, i, msg);
    for (size_t i = 0; e == ERR_OK && i < im->map->pool_count; i++)
        e = import_pool(im, &im->map->pools[i], msg);
    for (size_t i = 0; e == ERR_OK && i < im->map->client_count; i++)
        e = import_client(im, &im->map->clients[i], msg);
    for (size_t i = 0; e == ERR_OK && i < im->map->account_count; i++)
        e = import_token(im, i, msg);
    return e;
}
