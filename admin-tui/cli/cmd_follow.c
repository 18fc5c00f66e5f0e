/* requests, events: the last ones, and with --follow the next ones as they come. Rows are read from
 * the store, so the daemon may be down, or restart, while somebody follows. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/quantity.h"
#include "cli/rows.h"
#include "store/event.h"
#include "store/request.h"
#include "store/store.h"

#include <poll.h>

#define LIMIT_MAX 10000
#define PAUSE_MS 500
#define PAGE 500

static const struct column request_columns[] = {
    {"at", "TIME", COLUMN_TIME},          {"client", "CLIENT", COLUMN_TEXT},
    {"account", "ACCOUNT", COLUMN_TEXT},  {"model", "MODEL", COLUMN_TEXT},
    {"host", "HOST", COLUMN_TEXT},        {"status", "STATUS", COLUMN_NUMBER},
    {"attempts", "TRIES", COLUMN_NUMBER}, {"ms", "MS", COLUMN_NUMBER},
    {"tokens_in", "IN", COLUMN_QUANTITY}, {"tokens_out", "OUT", COLUMN_QUANTITY},
    {"reason", "REASON", COLUMN_TEXT},    {NULL, NULL, COLUMN_TEXT}};
static const struct column event_columns[] = {
    {"id", "EVENT", COLUMN_NUMBER},    {"at", "TIME", COLUMN_TIME},
    {"kind", "KIND", COLUMN_TEXT},     {"who", "WHO", COLUMN_TEXT},
    {"times", "TIMES", COLUMN_NUMBER}, {"what", "WHAT", COLUMN_TEXT},
    {NULL, NULL, COLUMN_TEXT}};

struct watch {
    const struct column *columns;
    const char *mark; /* what tells one row from another with the same number */
    enum err (*fetch)(struct cli *c, struct watch *w, cJSON **ret, struct errmsg *msg);
    struct request_filter requests;
    struct event_filter events;
    size_t limit;
    /* what to fetch next */
    int64_t after_id;
    bool from_oldest;
    size_t page;
    /* the last row that was printed */
    int64_t last_id;
    struct sbuf last_mark;
    int64_t looked_ms; /* when rows were read last */
    bool is_said;      /* that the store cannot be read just now */
};

static enum err fetch_requests(struct cli *c, struct watch *w, cJSON **ret, struct errmsg *msg)
{
    w->requests.after_id = w->after_id;
    w->requests.from_oldest = w->from_oldest;
    w->requests.limit = w->page;
    return rows_requests(c->store, &w->requests, ret, msg);
}

static enum err fetch_events(struct cli *c, struct watch *w, cJSON **ret, struct errmsg *msg)
{
    w->events.after_id = w->after_id;
    w->events.from_oldest = w->from_oldest;
    w->events.limit = w->page;
    return rows_events(c->store, &w->events, ret, msg);
}

/* ---- printing ---- */

static int64_t row_number(const cJSON *row, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, key);
    return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static void print_row(struct cli *c, struct watch *w, const cJSON *row)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 20);
    if (c->args.json)
        json_compact(&b, row);
    else
        table_line(&b, w->columns, row, c->now_s);
    fprintf(c->out, "%s\n", sbuf_z(&b));
    sbuf_finish(&b);
    w->last_id = row_number(row, "id");
    sbuf_clear(&w->last_mark);
    sbuf_adds(&w->last_mark, json_get_z(row, w->mark));
}

/* ---- one look at the store ---- */

/* The same number with another content: the store was replaced by a backup meanwhile, and numbers
 * were given again. */
static bool is_other(const struct watch *w, const cJSON *row)
{
    return row_number(row, "id") == w->last_id &&
           !slice_eq(slice_of(json_get_z(row, w->mark)), sbuf_slice(&w->last_mark));
}

static enum err newest_id(struct cli *c, struct watch *w, int64_t *ret, struct errmsg *msg)
{
    struct watch newest = {.fetch = w->fetch, .page = 1};
    cJSON *rows = NULL;
    enum err e = w->fetch(c, &newest, &rows, msg);
    if (e == ERR_OK)
        *ret = row_number(rows->child, "id");
    cJSON_Delete(rows);
    return e;
}

/* After a restore: goes on with what was written since the last look. What the backup holds is
 * history. */
static enum err begin_again(struct cli *c, struct watch *w, struct errmsg *msg)
{
    cJSON *rows = NULL;
    const cJSON *row;
    w->after_id = 0;
    w->from_oldest = false;
    w->page = w->limit;
    enum err e = w->fetch(c, w, &rows, msg);
    if (e != ERR_OK)
        return e;
    cli_say(c, "the store was replaced by another one; going on with that");
    w->last_id = 0;
    sbuf_clear(&w->last_mark);
    cJSON_ArrayForEach(row, rows)
    {
        if (row_number(row, "at_ms") >= w->looked_ms)
            print_row(c, w, row);
        w->last_id = row_number(row, "id");
        sbuf_clear(&w->last_mark);
        sbuf_adds(&w->last_mark, json_get_z(row, w->mark));
    }
    cJSON_Delete(rows);
    return ERR_OK;
}

/* Prints the rows behind the last one, page by page from the oldest on: none is skipped, however
 * many came. The last one is read again each time, to see that it is still the same store. */
static enum err look(struct cli *c, struct watch *w, struct errmsg *msg)
{
    for (;;) {
        cJSON *rows = NULL;
        const cJSON *row;
        int64_t newest = 0;
        w->after_id = w->last_id > 0 ? w->last_id - 1 : 0;
        w->from_oldest = true;
        w->page = PAGE;
        enum err e = w->fetch(c, w, &rows, msg);
        if (e == ERR_OK && w->last_id && row_number(rows->child, "id") != w->last_id)
            e = newest_id(c, w, &newest, msg);
        else
            newest = w->last_id;
        bool is_replaced =
            e == ERR_OK && w->last_id && (newest < w->last_id || is_other(w, rows->child));
        int count = cJSON_GetArraySize(rows);
        int64_t before = w->last_id;
        if (e == ERR_OK && !is_replaced)
            cJSON_ArrayForEach(row, rows) if (row_number(row, "id") > before) print_row(c, w, row);
        cJSON_Delete(rows);
        if (is_replaced)
            return begin_again(c, w, msg);
        if (e != ERR_OK || count < PAGE || ferror(c->out))
            return e;
    }
}

/* Waits; false when nobody reads standard output any more. */
static bool pause_while_read(struct cli *c)
{
    struct pollfd p = {.fd = fileno(c->out)};
    (void)poll(&p, 1, PAUSE_MS);
    return !(p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* A lock, or a file that is being replaced, ends by itself. */
static bool is_passing(enum err e)
{
    return e == ERR_BUSY || e == ERR_NOT_FOUND || e == ERR_IO;
}

static int follow(struct cli *c, struct watch *w)
{
    struct errmsg msg = {0};
    enum err e = ERR_OK;
    while (e == ERR_OK || is_passing(e)) {
        if (e != ERR_OK && !w->is_said)
            cli_say(c, "%s; still trying", msg.text);
        w->is_said = e != ERR_OK;
        if (fflush(c->out) != 0 || ferror(c->out) || !pause_while_read(c))
            return 0;
        c->now_s = clock_wall_s();
        int64_t now_ms = clock_wall_ms();
        e = store_follow(&c->store, &msg);
        if (e == ERR_OK)
            e = look(c, w, &msg);
        if (e == ERR_OK)
            w->looked_ms = now_ms;
    }
    return cli_fail_err(c, e, &msg);
}

static int watch(struct cli *c, struct watch *w)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    const cJSON *row;
    int code = cli_reads(c);
    if (code)
        return code;
    w->page = w->limit;
    w->looked_ms = clock_wall_ms();
    enum err e = w->fetch(c, w, &rows, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    if (!args_get(&c->args, "--follow"))
        return cli_list(c, w->columns, rows);
    sbuf_init(&w->last_mark, 1 << 16);
    cJSON_ArrayForEach(row, rows) print_row(c, w, row);
    cJSON_Delete(rows);
    code = follow(c, w);
    sbuf_finish(&w->last_mark);
    return code;
}

/* ---- the two commands ---- */

static int option_limit(struct cli *c, size_t *ret)
{
    int64_t n = 100;
    const char *text = args_get(&c->args, "--limit");
    if (text && (!quantity_parse(text, &n) || n < 1 || n > LIMIT_MAX))
        return cli_fail(c, EX_USAGE, "--limit %.40s is not a number from 1 to %d", text, LIMIT_MAX);
    *ret = (size_t)n;
    return 0;
}

/* "4xx", or one status. */
static int option_status(struct cli *c, struct request_filter *f)
{
    const char *text = args_get(&c->args, "--status");
    uint64_t n = 0;
    if (!text)
        return 0;
    bool is_class = strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' &&
                    ascii_lower(text[1]) == 'x' && ascii_lower(text[2]) == 'x';
    if (is_class) {
        f->status_min = (text[0] - '0') * 100;
        f->status_max = f->status_min + 99;
        return 0;
    }
    if (!slice_to_u64(slice_of(text), &n) || n < 100 || n > 599)
        return cli_fail(c, EX_USAGE, "--status %.40s is neither a class as 5xx nor a status as 429",
                        text);
    f->status_min = f->status_max = (int64_t)n;
    return 0;
}

static int run_requests(struct cli *c)
{
    struct watch w = {.columns = request_columns,
                      .mark = "request_id",
                      .fetch = fetch_requests,
                      .requests = {.client = cli_option(c, "--client"),
                                   .account = cli_option(c, "--account"),
                                   .model = cli_option(c, "--model")}};
    int code = option_limit(c, &w.limit);
    if (code == 0)
        code = option_status(c, &w.requests);
    return code ? code : watch(c, &w);
}

static int run_events(struct cli *c)
{
    struct watch w = {.columns = event_columns,
                      .mark = "what",
                      .fetch = fetch_events,
                      .events = {.who = cli_option(c, "--who")}};
    enum event_kind kind = EVENT_AUDIT;
    struct slice text = cli_option(c, "--kind");
    int code = option_limit(c, &w.limit);
    if (code)
        return code;
    if (text.p && !event_kind_from(text, &kind))
        return cli_fail(c, EX_USAGE, "--kind %.40s is none of audit, alarm, info", text.p);
    if (text.p)
        w.events.kinds = 1U << kind;
    return watch(c, &w);
}

#define FOLLOW_HELP                                                                                \
    "With --follow a line for each, or with --json an object a line, until Ctrl-C or a closed\n"   \
    "pipe; a restart of the daemon or a restored store does not end it.\n"

static const struct option_def request_options[] = {
    {"--follow", NULL, "go on with new ones as they come (-f)"},
    {"--client", "NAME", "only this client"},
    {"--account", "NAME", "only this account"},
    {"--model", "MODEL", "only this model"},
    {"--status", "2xx|3xx|4xx|5xx|N", "only answers of this class, or with this status"},
    {"--limit", "N", "how many, default 100"},
    {NULL, NULL, NULL}};
const struct command command_requests = {
    "requests", NULL, "",   "the last requests", FOLLOW_HELP, request_options,
    0,          0,    true, run_requests};
static const struct option_def event_options[] = {
    {"--follow", NULL, "go on with new ones as they come (-f)"},
    {"--kind", "audit|alarm|info", "only these"},
    {"--who", "WHO", "only by this person, or about this account or client"},
    {"--limit", "N", "how many, default 100"},
    {NULL, NULL, NULL}};
const struct command command_events = {
    "events", NULL, "",        "audit of changes, and alarms", FOLLOW_HELP, event_options, 0,
    0,        true, run_events};
