/* Usage buckets. Model names come from requests: what is kept of them is short and printable. */
#include "store/usage.h"
#include "store/store_internal.h"

#include "base/check.h"

#define NAME_MAX_KEPT 128

static const char *const bys[] = {"all", "client", "account", "model", "minute", "hour"};

bool usage_by_from(struct slice text, enum usage_by *ret)
{
    int i = word_index(bys, ARRAY_LEN(bys), text);
    if (i >= 0)
        *ret = (enum usage_by)i;
    return i >= 0;
}

enum err usage_add(struct store *s, const struct usage *u, struct errmsg *msg)
{
    char client[NAME_MAX_KEPT], account[NAME_MAX_KEPT], model[NAME_MAX_KEPT];
    return db_exec(
        s, msg,
        "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) "
        "ON CONFLICT (minute, client, account, model) DO UPDATE SET "
        "requests = requests + excluded.requests, errors = errors + excluded.errors, "
        "limited = limited + excluded.limited, bytes_up = bytes_up + excluded.bytes_up, "
        "bytes_down = bytes_down + excluded.bytes_down, "
        "tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + "
        "excluded.tokens_out, "
        "tokens_cache_read = tokens_cache_read + excluded.tokens_cache_read, "
        "tokens_cache_write = tokens_cache_write + excluded.tokens_cache_write, "
        "ms = ms + excluded.ms",
        VALS(v_int(u->minute - u->minute % 60), v_text(db_clean(u->client, client, sizeof client)),
             v_text(db_clean(u->account, account, sizeof account)),
             v_text(db_clean(u->model, model, sizeof model)), v_int(u->requests), v_int(u->errors),
             v_int(u->limited), v_int(u->bytes_up), v_int(u->bytes_down), v_int(u->tokens_in),
             v_int(u->tokens_out), v_int(u->tokens_cache_read), v_int(u->tokens_cache_write),
             v_int(u->ms)));
}

#define USAGE_SUMS                                                                                 \
    "coalesce(sum(requests), 0) n, coalesce(sum(errors), 0), coalesce(sum(limited), 0), "          \
    "coalesce(sum(bytes_up), 0), coalesce(sum(bytes_down), 0), coalesce(sum(tokens_in), 0), "      \
    "coalesce(sum(tokens_out), 0), coalesce(sum(tokens_cache_read), 0), "                          \
    "coalesce(sum(tokens_cache_write), 0), coalesce(sum(ms), 0) FROM usage "
#define USAGE_SQL(minute, client, account, model, tail)                                            \
    "SELECT " minute ", " client ", " account ", " model ", " USAGE_SUMS                           \
    "WHERE minute >= ?1 - ?1 % 60 AND (?2 = 0 OR minute < ?2) AND (?3 = '' OR client = ?3) "       \
    "AND (?4 = '' OR account = ?4) AND (?5 = '' OR model = ?5) " tail

static const char *const usage_sql[] = {
    [USAGE_BY_ALL] = USAGE_SQL("0", "''", "''", "''", ""),
    [USAGE_BY_CLIENT] =
        USAGE_SQL("0", "client", "''", "''", "GROUP BY client ORDER BY n DESC, client"),
    [USAGE_BY_ACCOUNT] =
        USAGE_SQL("0", "''", "account", "''", "GROUP BY account ORDER BY n DESC, account"),
    [USAGE_BY_MODEL] = USAGE_SQL("0", "''", "''", "model", "GROUP BY model ORDER BY n DESC, model"),
    [USAGE_BY_MINUTE] = USAGE_SQL("minute", "''", "''", "''", "GROUP BY 1 ORDER BY 1"),
    [USAGE_BY_HOUR] =
        USAGE_SQL("minute - minute % 3600", "''", "''", "''", "GROUP BY 1 ORDER BY 1"),
};

struct walk {
    usage_cb cb;
    void *arg;
};

static enum err usage_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct usage u = {
        .minute = col_int(q, 0),
        .client = col_text(q, 1),
        .account = col_text(q, 2),
        .model = col_text(q, 3),
        .requests = col_int(q, 4),
        .errors = col_int(q, 5),
        .limited = col_int(q, 6),
        .bytes_up = col_int(q, 7),
        .bytes_down = col_int(q, 8),
        .tokens_in = col_int(q, 9),
        .tokens_out = col_int(q, 10),
        .tokens_cache_read = col_int(q, 11),
        .tokens_cache_write = col_int(q, 12),
        .ms = col_int(q, 13),
    };
    return w->cb(w->arg, &u);
}

enum err usage_list(struct store *s, enum usage_by by, const struct usage_filter *f, usage_cb cb,
                    void *arg, struct errmsg *msg)
{
    if ((unsigned)by >= ARRAY_LEN(usage_sql))
        return db_set(s, msg, ERR_INVALID, "usage is summed by one of six");
    struct walk w = {cb, arg};
    return db_each(s, usage_row, &w, msg, usage_sql[by],
                   VALS(v_int(f->since), v_int(f->until), v_text(f->client), v_text(f->account),
                        v_text(f->model)));
}

enum err usage_minute(struct store *s, int64_t minute, struct slice from_client, usage_cb cb,
                      void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, usage_row, &w, msg,
                   "SELECT minute, client, account, '', " USAGE_SUMS
                   "WHERE minute = ?1 AND client >= ?2 GROUP BY client, account "
                   "ORDER BY client, account",
                   VALS(v_int(minute), v_text(from_client)));
}

enum err usage_prune(struct store *s, int64_t before, struct errmsg *msg)
{
    return db_exec(s, msg, "DELETE FROM usage WHERE minute < ?1", VALS(v_int(before)));
}
