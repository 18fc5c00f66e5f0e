/* The last requests. Hosts, paths and models come from outside: kept short and printable. */
#include "store/request.h"
#include "store/store_internal.h"

#define NAME_KEPT 128
#define PATH_KEPT 512
#define LIMIT_DEFAULT 100

/* Room for one row's cleaned words. */
struct words {
    char id[64], peer[64], client[NAME_KEPT], account[NAME_KEPT], tried[512], method[16], host[256],
        path[PATH_KEPT], model[NAME_KEPT], front[8], back[8], reason[128];
};

/* A query never gets here, even if the caller forgot to cut it off. */
static struct slice without_query(struct slice path)
{
    return slice_sub(path, 0, slice_find(path, '?', 0));
}

#define CLEAN(field) v_text(db_clean(r->field, w.field, sizeof w.field))

enum err request_add(struct store *s, const struct request_row *r, struct errmsg *msg)
{
    struct words w;
    return db_exec(
        s, msg,
        "INSERT INTO request (at_ms, request_id, peer, client, account, tried, method, host, path, "
        "model, front, back, status, attempts, reason, bytes_up, bytes_down, tokens_in, "
        "tokens_out, tokens_cache_read, tokens_cache_write, ttfb_ms, ms) VALUES (?1, ?2, ?3, ?4, "
        "?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
        VALS(v_int(r->at_ms), v_text(db_clean(r->request_id, w.id, sizeof w.id)), CLEAN(peer),
             CLEAN(client), CLEAN(account), CLEAN(tried), CLEAN(method), CLEAN(host),
             v_text(db_clean(without_query(r->path), w.path, sizeof w.path)), CLEAN(model),
             CLEAN(front), CLEAN(back), v_int(r->status), v_int(r->attempts), CLEAN(reason),
             v_int(r->bytes_up), v_int(r->bytes_down), v_int(r->tokens_in), v_int(r->tokens_out),
             v_int(r->tokens_cache_read), v_int(r->tokens_cache_write), v_int(r->ttfb_ms),
             v_int(r->ms)));
}

struct walk {
    request_cb cb;
    void *arg;
};

static enum err request_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct request_row r = {
        .id = col_int(q, 0),
        .at_ms = col_int(q, 1),
        .request_id = col_text(q, 2),
        .peer = col_text(q, 3),
        .client = col_text(q, 4),
        .account = col_text(q, 5),
        .tried = col_text(q, 6),
        .method = col_text(q, 7),
        .host = col_text(q, 8),
        .path = col_text(q, 9),
        .model = col_text(q, 10),
        .front = col_text(q, 11),
        .back = col_text(q, 12),
        .status = col_int(q, 13),
        .attempts = col_int(q, 14),
        .reason = col_text(q, 15),
        .bytes_up = col_int(q, 16),
        .bytes_down = col_int(q, 17),
        .tokens_in = col_int(q, 18),
        .tokens_out = col_int(q, 19),
        .tokens_cache_read = col_int(q, 20),
        .tokens_cache_write = col_int(q, 21),
        .ttfb_ms = col_int(q, 22),
        .ms = col_int(q, 23),
    };
    return w->cb(w->arg, &r);
}

#define PASSING                                                                                    \
    "SELECT id, at_ms, request_id, peer, client, account, tried, method, host, path, model, "      \
    "front, back, status, attempts, reason, bytes_up, bytes_down, tokens_in, tokens_out, "         \
    "tokens_cache_read, tokens_cache_write, ttfb_ms, ms FROM request "                             \
    "WHERE id > ?1 AND (?2 = '' OR client = ?2) AND (?3 = '' OR account = ?3) "                    \
    "AND (?4 = '' OR model = ?4) AND status >= ?5 AND (?6 = 0 OR status <= ?6) "

enum err request_list(struct store *s, const struct request_filter *f, request_cb cb, void *arg,
                      struct errmsg *msg)
{
    struct walk w = {cb, arg};
    int64_t limit = f->limit ? (int64_t)f->limit : LIMIT_DEFAULT;
    return db_each(s, request_row, &w, msg,
                   f->from_oldest ? PASSING "ORDER BY id LIMIT ?7"
                                  : "SELECT * FROM (" PASSING
                                    "ORDER BY id DESC LIMIT ?7) ORDER BY id",
                   VALS(v_int(f->after_id), v_text(f->client), v_text(f->account), v_text(f->model),
                        v_int(f->status_min), v_int(f->status_max), v_int(limit)));
}
