/* The swap: what the client sent, without any of its credentials, and with exactly one real one. */
#include "exchange/exchange_internal.h"

#include "base/check.h"
#include "base/mem.h"

/* Google's front ends take the method from these: a GET that was let through would become a DELETE.
 */
static bool overrides_method(const struct field *f)
{
    static const struct slice names[] = {
        {"x-http-method-override", 22}, {"x-http-method", 13}, {"x-method-override", 17}};
    for (size_t i = 0; f->id == FIELD_OTHER && i < ARRAY_LEN(names); i++)
        if (f->name.n == names[i].n && slice_ieq(f->name, names[i]))
            return true;
    return false;
}

/* Fields that never go on: credentials, routing of others, and what would bill a foreign project.
 */
static bool is_dropped(const struct exchange *x, enum field_id id)
{
    switch ((int)id) {
    case FIELD_HOST:
    case FIELD_FORWARDED:
    case FIELD_VIA:
    case FIELD_X_REAL_IP:
    case FIELD_X_FORWARDED:
    case FIELD_X_CREDSWAP_REQUEST_ID:
        return true;
    case FIELD_AUTHORIZATION:
    case FIELD_X_API_KEY:
    case FIELD_X_GOOG_API_KEY:
    case FIELD_X_GOOG_USER_PROJECT:
        return !x->is_relay;
    default:
        return false;
    }
}

/* "key,alt": which parameters there were, never what they said. */
static enum err list_query_keys(struct exchange *x, struct slice query)
{
    struct sbuf keys;
    sbuf_init(&keys, 512);
    struct slice rest = query, pair;
    while (query.n && slice_next(&rest, '&', &pair)) {
        struct slice name = slice_sub(pair, 0, slice_find(pair, '=', 0));
        if (name.n == 0 || name.n > 24 || name.n == pair.n || keys.n + name.n > 500 ||
            !is_token(name))
            continue;
        if (keys.n)
            sbuf_addc(&keys, ',');
        sbuf_add_slice(&keys, name);
    }
    x->query_keys = arena_dup(&x->arena, sbuf_slice(&keys));
    sbuf_finish(&keys);
    return x->query_keys.p ? ERR_OK : ERR_NOMEM;
}

static enum err strip_query(struct exchange *x, struct head *h)
{
    struct slice path = head_path_only(h), query = head_query(h);
    enum err e = list_query_keys(x, query);
    if (e != ERR_OK || query.n == 0 || x->is_relay)
        return e;
    struct sbuf out;
    sbuf_init(&out, h->path.n + 1);
    sbuf_add_slice(&out, path);
    sbuf_addc(&out, '?');
    size_t before = out.n;
    auth_strip_query(query, &out);
    if (out.n == before)
        out.n--;
    struct slice kept =
        out.failed ? (struct slice){NULL, 0} : arena_dup(&x->arena, sbuf_slice(&out));
    sbuf_finish_wipe(&out);
    if (!kept.p)
        return ERR_NOMEM;
    h->path = kept;
    return ERR_OK;
}

/* LIST without the credentials in it, in the arena; .p is NULL on no memory. */
static struct slice without_tokens(struct exchange *x, struct slice list)
{
    struct slice one;
    char *text = arena_alloc(&x->arena, list.n * 2 + 1), *to = text;
    while (text && slice_next(&list, ',', &one)) {
        one = slice_trim(one);
        if (one.n == 0 || auth_is_protocol_token(one))
            continue;
        if (to != text) {
            *to++ = ',';
            *to++ = ' ';
        }
        memcpy(to, one.p, one.n);
        to += one.n;
    }
    return slice_make(text, (size_t)(to - text));
}

/* A list of subprotocols goes when nothing but credentials was in it. */
static enum err strip_protocols(struct exchange *x, struct head *h)
{
    if (x->is_relay || !head_get(h, FIELD_SEC_WEBSOCKET_PROTOCOL))
        return ERR_OK;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        struct field f = h->fields[i];
        if (f.id == FIELD_SEC_WEBSOCKET_PROTOCOL) {
            f.value = without_tokens(x, f.value);
            if (!f.value.p)
                return ERR_NOMEM;
            if (f.value.n == 0)
                continue;
            x->has_protocols = true;
        }
        h->fields[kept++] = f;
    }
    h->count = kept;
    return ERR_OK;
}

enum err swap_prepare(struct exchange *x, const struct head *h)
{
    struct head c;
    enum err e = head_copy(&x->arena, h, 2, &c);
    if (e != ERR_OK)
        return e;
    if (x->info.path.n) {
        c.path = arena_dup(&x->arena, x->info.path);
        if (x->info.gateway.n)
            x->info.gateway = arena_dup(&x->arena, x->info.gateway);
        if (!c.path.p || (x->info.gateway.n && !x->info.gateway.p))
            return ERR_NOMEM;
    }
    x->original_path = head_path_only(&c);
    head_drop_hop_by_hop(&c);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c.count; i++)
        if (!is_dropped(x, c.fields[i].id) && (x->is_relay || !overrides_method(&c.fields[i])))
            c.fields[kept++] = c.fields[i];
    c.count = kept;
    e = strip_protocols(x, &c);
    if (e == ERR_OK)
        e = strip_query(x, &c);
    c.authority = (struct slice){"", 0};
    x->base = c;
    return e;
}

/* Copies PATH with the client's project and location replaced by the account's. Both point into the
 * path, in this order. */
static struct slice rewrite_path(struct exchange *x, struct slice project, struct slice location)
{
    struct slice path = x->base.path;
    const struct route_match *m = &x->match;
    struct {
        struct slice old, new;
    } cuts[2] = {{m->project, project}, {m->location, location}};
    char *to = arena_alloc(&x->arena, path.n + project.n + location.n + 1);
    if (!to)
        return (struct slice){NULL, 0};
    char *start = to;
    const char *from = path.p, *end = path.p + path.n;
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        if (!cuts[i].old.n || !cuts[i].new.n)
            continue;
        size_t before = (size_t)(cuts[i].old.p - from);
        memcpy(to, from, before);
        to += before;
        memcpy(to, cuts[i].new.p, cuts[i].new.n);
        to += cuts[i].new.n;
        from = cuts[i].old.p + cuts[i].old.n;
    }
    memcpy(to, from, (size_t)(end - from));
    to += end - from;
    return slice_make(start, (size_t)(to - start));
}

/* "Bearer " and the token, in the arena, which is wiped. */
static struct slice bearer(struct exchange *x, struct slice token)
{
    const struct slice scheme = SLICE("Bearer ");
    char *p = arena_alloc(&x->arena, scheme.n + token.n);
    if (!p)
        return (struct slice){NULL, 0};
    memcpy(p, scheme.p, scheme.n);
    memcpy(p + scheme.n, token.p, token.n);
    return slice_make(p, scheme.n + token.n);
}

static enum err add_credential(struct exchange *x, struct head *h)
{
    const struct snap_account *a = x->pick.account;
    if (a->kind == ACCOUNT_API_KEY) {
        struct slice key = secret_bytes(a->api_key);
        if (key.n == 0)
            return ERR_CRYPTO;
        if (x->api == API_ANTHROPIC)
            head_add(h, FIELD_X_API_KEY, SLICE("x-api-key"), key);
        else
            head_add(h, FIELD_X_GOOG_API_KEY, SLICE("x-goog-api-key"), key);
        return ERR_OK;
    }
    CHECK(x->token != NULL);
    struct slice value = bearer(x, token_bytes(x->token));
    if (!value.p)
        return ERR_NOMEM;
    head_add(h, FIELD_AUTHORIZATION, SLICE("authorization"), value);
    if (a->quota_project.n)
        head_add(h, FIELD_X_GOOG_USER_PROJECT, SLICE("x-goog-user-project"), a->quota_project);
    return ERR_OK;
}

enum err swap_head(struct exchange *x, struct head *ret)
{
    struct head h = x->base; /* its fields have room for two more */
    h.authority = x->pick.domain;
    const struct snap_account *a = x->pick.account;
    if (a->kind == ACCOUNT_SERVICE && x->match.project.n) {
        h.path = rewrite_path(x, a->project, x->pick.location);
        if (!h.path.p)
            return ERR_NOMEM;
    }
    enum err e = add_credential(x, &h);
    if (e == ERR_OK)
        *ret = h;
    return e;
}
