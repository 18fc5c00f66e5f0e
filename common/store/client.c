/* Clients. A placeholder is seen here once, when it is hashed. */
#include "store/client.h"
#include "store/store_internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <string.h>

static const char *const services[] = {"gemini", "claude"};

const char *service_name(enum service s)
{
    return services[(unsigned)s < ARRAY_LEN(services) ? s : 0];
}

bool service_from(struct slice text, enum service *ret)
{
    int i = word_index(services, ARRAY_LEN(services), text);
    if (i >= 0)
        *ret = (enum service)i;
    return i >= 0;
}

#define CLIENT_COLUMNS                                                                             \
    "SELECT id, name, service, pool, state, expires_at, rpm, tokens_per_day, models, visible, "    \
    "sa_key_id, sa_public_key, note, created_at, last_seen_at, placeholder_hash IS NOT NULL "      \
    "FROM client "

struct walk {
    client_cb cb;
    void *arg;
};

static enum err client_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct client c = {
        .id = col_int(q, 0),
        .name = col_text(q, 1),
        .service = SERVICE_GEMINI,
        .pool = col_text(q, 3),
        .is_on = slice_eq(col_text(q, 4), SLICE("on")),
        .has_placeholder = col_int(q, 15) != 0,
        .expires_at = col_int(q, 5),
        .rpm = col_int(q, 6),
        .tokens_per_day = col_int(q, 7),
        .models = col_text(q, 8),
        .visible = col_text(q, 9),
        .sa_key_id = col_text(q, 10),
        .sa_public_key = col_text(q, 11),
        .note = col_text(q, 12),
        .created_at = col_int(q, 13),
        .last_seen_at = col_int(q, 14),
    };
    (void)service_from(col_text(q, 2), &c.service);
    return w->cb(w->arg, &c);
}

enum err client_list(struct store *s, client_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, client_row, &w, msg, CLIENT_COLUMNS "ORDER BY name", NO_VALS);
}

enum err client_get(struct store *s, struct slice name, client_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_one(s, client_row, &w, "client", name, msg, CLIENT_COLUMNS "WHERE name = ?1",
                  VALS(v_text(name)));
}

/* What is kept of a placeholder. */
struct kept {
    unsigned char hash[HMAC_SIZE];
    char visible[16];
};

static struct val kept_hash(const struct kept *k)
{
    return v_blob(slice_make(k->hash, sizeof k->hash));
}

/* "gemini-7Kq": the prefix that names the service stays, and three characters. */
static void make_visible(enum service service, struct slice p, char ret[16])
{
    struct slice name = slice_of(service_name(service));
    size_t from = slice_starts(p, name) && p.n > name.n && p.p[name.n] == '-' ? name.n + 1 : 0;
    memcpy(ret, name.p, name.n);
    ret[name.n] = '-';
    memcpy(ret + name.n + 1, p.p + from, 3);
    ret[name.n + 4] = '\0';
}

static enum err keep(struct store *s, const struct master_key *k, enum service service,
                     struct slice p, struct kept *ret, struct errmsg *msg)
{
    bool ok = p.n >= PLACEHOLDER_MIN && p.n <= PLACEHOLDER_MAX;
    for (size_t i = 0; ok && i < p.n; i++)
        ok = p.p[i] > ' ' && p.p[i] <= '~';
    if (!ok)
        return db_set(s, msg, ERR_INVALID, "a placeholder has %d to %d visible ASCII characters",
                      PLACEHOLDER_MIN, PLACEHOLDER_MAX);
    make_visible(service, p, ret->visible);
    enum err e = k ? placeholder_hash(k, p, ret->hash) : ERR_CRYPTO;
    return e == ERR_OK ? e
                       : db_set(s, msg, e, "the placeholder cannot be hashed: %s",
                                k ? err_str(e) : "no master key");
}

/* SQLite names the column that is taken: "UNIQUE constraint failed: client.placeholder_hash". */
static enum err taken(struct store *s, enum err e, struct slice name, struct errmsg *msg)
{
    if (e != ERR_EXISTS)
        return e;
    char buf[128];
    struct slice shown = db_clean(name, buf, sizeof buf);
    if (strstr(store_last_error(s), "placeholder_hash"))
        return db_set(s, msg, e, "another client has this placeholder already");
    return db_set(s, msg, e, "a client %.*s exists already", SLICE_FMT(shown));
}

enum err client_add(struct store *s, const struct master_key *k, enum service service,
                    const struct client_fields *f, struct slice placeholder, int64_t *ret_id,
                    struct errmsg *msg)
{
    struct kept kept;
    enum err e = keep(s, k, service, placeholder, &kept, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(
        s, msg,
        "INSERT INTO client (name, service, pool, state, expires_at, rpm, tokens_per_day, models, "
        "placeholder_hash, visible, note, created_at) VALUES (?1, ?2, coalesce(nullif(?3, ''), "
        "?2), ?4, coalesce(?5, 0), coalesce(?6, 0), coalesce(?7, 0), ?8, ?9, ?10, ?11, ?12)",
        VALS(v_text(f->name), v_z(service_name(service)), v_text(f->pool),
             v_z(f->is_on && !*f->is_on ? "off" : "on"), v_int_or_null(f->expires_at),
             v_int_or_null(f->rpm), v_int_or_null(f->tokens_per_day), v_text(f->models),
             kept_hash(&kept), v_z(kept.visible), v_text(f->note), v_int(clock_wall_s())));
    e = taken(s, e, f->name, msg);
    if (e == ERR_OK && ret_id)
        *ret_id = db_last_id(s);
    return e;
}

enum err client_set(struct store *s, struct slice name, const struct client_fields *f,
                    struct errmsg *msg)
{
    enum err e = db_exec(
        s, msg,
        "UPDATE client SET name = coalesce(?2, name), pool = coalesce(?3, pool), "
        "models = coalesce(?4, models), note = coalesce(?5, note), state = coalesce(?6, state), "
        "expires_at = coalesce(?7, expires_at), rpm = coalesce(?8, rpm), "
        "tokens_per_day = coalesce(?9, tokens_per_day) WHERE name = ?1",
        VALS(v_text(name), v_text_or_null(f->name), v_text_or_null(f->pool),
             v_text_or_null(f->models), v_text_or_null(f->note),
             f->is_on ? v_z(*f->is_on ? "on" : "off") : v_null(), v_int_or_null(f->expires_at),
             v_int_or_null(f->rpm), v_int_or_null(f->tokens_per_day)));
    return db_need_change(s, taken(s, e, f->name, msg), "client", name, msg);
}

static enum err service_row(void *arg, const struct client *c)
{
    enum service *ret = arg;
    *ret = c->service;
    return ERR_OK;
}

enum err client_rotate(struct store *s, const struct master_key *k, struct slice name,
                       struct slice placeholder, struct errmsg *msg)
{
    struct kept kept;
    enum service service = SERVICE_GEMINI;
    enum err e = client_get(s, name, service_row, &service, msg);
    if (e == ERR_OK)
        e = keep(s, k, service, placeholder, &kept, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(s, msg, "UPDATE client SET placeholder_hash = ?2, visible = ?3 WHERE name = ?1",
                VALS(v_text(name), kept_hash(&kept), v_z(kept.visible)));
    return db_need_change(s, taken(s, e, name, msg), "client", name, msg);
}

enum err client_revoke(struct store *s, struct slice name, struct errmsg *msg)
{
    enum err e = db_exec(s, msg,
                         "UPDATE client SET state = 'off', placeholder_hash = NULL, sa_key_id = "
                         "'', sa_public_key = '' WHERE name = ?1",
                         VALS(v_text(name)));
    return db_need_change(s, e, "client", name, msg);
}

enum err client_remove(struct store *s, struct slice name, struct errmsg *msg)
{
    enum err e = db_exec(s, msg, "DELETE FROM client WHERE name = ?1", VALS(v_text(name)));
    return db_need_change(s, e, "client", name, msg);
}

enum err client_set_sa_key(struct store *s, struct slice name, struct slice key_id,
                           struct slice public_key_pem, struct errmsg *msg)
{
    enum err e =
        db_exec(s, msg, "UPDATE client SET sa_key_id = ?2, sa_public_key = ?3 WHERE name = ?1",
                VALS(v_text(name), v_text(key_id), v_text(public_key_pem)));
    return db_need_change(s, e, "client", name, msg);
}

enum err client_find(struct store *s, const struct master_key *k, struct slice placeholder,
                     client_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    struct kept kept;
    enum err e = placeholder_hash(k, placeholder, kept.hash);
    if (e != ERR_OK)
        return db_set(s, msg, e, "the placeholder cannot be hashed: %s", err_str(e));
    return db_one(s, client_row, &w, "client", SLICE("(by placeholder)"), msg,
                  CLIENT_COLUMNS "WHERE placeholder_hash = ?1", VALS(kept_hash(&kept)));
}

enum err client_seen(struct store *s, int64_t id, int64_t at, struct errmsg *msg)
{
    return db_exec(s, msg,
                   "UPDATE client SET last_seen_at = ?2 WHERE id = ?1 AND last_seen_at < ?2",
                   VALS(v_int(id), v_int(at)));
}

void client_new_placeholder(enum service service, char ret[PLACEHOLDER_NEW_SIZE])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct slice name = slice_of(service_name(service));
    memcpy(ret, name.p, name.n);
    ret[name.n] = '-';
    for (size_t i = 0; i < 32; i++) {
        unsigned char r;
        do {
            random_bytes(&r, 1);
        } while (r >= 248); /* 4 * 62: no letter is likelier than another */
        ret[name.n + 1 + i] = alphabet[r % 62];
    }
    ret[name.n + 33] = '\0';
}
