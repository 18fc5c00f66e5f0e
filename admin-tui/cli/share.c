/* Pools with their members and expected shares. */
#include "cli/share.h"

#include "cli/out.h"
#include "cli/rows.h"
#include "store/pool.h"

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static bool can_serve(const cJSON *m)
{
    return strcmp(json_get_z(m, "state"), "up") == 0 && number(m, "weight") > 0 &&
           number(m, "cooling_until") <= 0;
}

void share_fill(cJSON *members)
{
    double sum = 0;
    cJSON *m;
    cJSON_ArrayForEach(m, members) sum += can_serve(m) ? number(m, "weight") : 0;
    cJSON_ArrayForEach(m, members)
    {
        double part = can_serve(m) ? 100 * number(m, "weight") / sum : 0;
        json_real(m, "expected_pct", (double)(int64_t)(part * 100 + 0.5) / 100);
    }
}

struct collect {
    cJSON *pools;
    struct slice name;
};

static enum err on_pool(void *arg, const struct pool *p)
{
    struct collect *c = arg;
    if (c->name.n && !slice_eq(c->name, p->name))
        return ERR_OK;
    cJSON *o = json_object();
    json_text(o, "name", p->name);
    json_int(o, "clients", p->clients);
    json_add(o, "members", json_array());
    json_push(c->pools, o);
    return ERR_OK;
}

/* Until when the whole account rests, 0 when it does not. */
static int64_t cooling_until(const cJSON *cooldowns, const char *account)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, cooldowns) if (strcmp(json_get_z(row, "account"), account) == 0 &&
                                           *json_get_z(row, "model") == '\0')
    {
        return (int64_t)number(row, "until");
    }
    return 0;
}

static void fill_members(cJSON *pool, const cJSON *members, const cJSON *cooldowns)
{
    cJSON *own = cJSON_GetObjectItemCaseSensitive(pool, "members");
    const cJSON *m;
    cJSON_ArrayForEach(m, members)
    {
        if (strcmp(json_get_z(m, "pool"), json_get_z(pool, "name")) != 0)
            continue;
        cJSON *copy = cJSON_Duplicate(m, 1);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "pool");
        json_int(copy, "cooling_until", cooling_until(cooldowns, json_get_z(m, "account")));
        json_push(own, copy);
    }
    share_fill(own);
}

enum err share_pools(struct store *s, struct slice name, int64_t now_s, cJSON **ret,
                     struct errmsg *msg)
{
    struct collect c = {json_array(), name};
    cJSON *members = NULL, *cooldowns = NULL;
    enum err e = pool_list(s, on_pool, &c, msg);
    if (e == ERR_OK)
        e = rows_pool_members(s, name, &members, msg);
    if (e == ERR_OK)
        e = rows_cooldowns(s, now_s, &cooldowns, msg);
    cJSON *pool;
    cJSON_ArrayForEach(pool, c.pools) fill_members(pool, members, cooldowns);
    cJSON_Delete(members);
    cJSON_Delete(cooldowns);
    if (e == ERR_OK)
        *ret = c.pools;
    else
        cJSON_Delete(c.pools);
    return e;
}

cJSON *share_flat(const cJSON *pools)
{
    cJSON *flat = json_array();
    const cJSON *pool, *m;
    cJSON_ArrayForEach(pool, pools)
    {
        const cJSON *members = cJSON_GetObjectItemCaseSensitive(pool, "members");
        cJSON_ArrayForEach(m, members)
        {
            cJSON *row = cJSON_Duplicate(m, 1);
            json_z(row, "pool", json_get_z(pool, "name"));
            json_real(row, "clients", number(pool, "clients"));
            json_push(flat, row);
        }
        if (cJSON_GetArraySize(members) > 0)
            continue;
        cJSON *row = json_object();
        json_z(row, "pool", json_get_z(pool, "name"));
        json_real(row, "clients", number(pool, "clients"));
        json_push(flat, row);
    }
    return flat;
}
