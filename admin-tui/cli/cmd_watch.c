/* status, tokens, usage, requests, events, explain, wait, undo, and what is shown without
 * arguments. */
#include "base/check.h"
#include "base/clock.h"
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/quantity.h"
#include "cli/rows.h"
#include "cli/share.h"
#include "conf/conf.h"
#include "store/event.h"
#include "store/request.h"
#include "store/store.h"
#include "store/usage.h"

#include <unistd.h>

#define STATUS_TIMEOUT_MS 3000

/* ---- status ---- */

/* One line for each member of the daemon's answer; objects and arrays as compact JSON. */
static void print_members(struct cli *c, const cJSON *o)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, o)
    {
        struct sbuf b;
        if (strcmp(v->string, "ok") == 0)
            continue;
        sbuf_init(&b, 1 << 20);
        if (cJSON_IsString(v))
            sbuf_adds(&b, v->valuestring);
        else
            json_compact(&b, v);
        struct sbuf line;
        sbuf_init(&line, 1 << 22);
        text_escape(&line, slice_of(v->string));
        for (size_t n = line.n; n < 20; n++)
            sbuf_addc(&line, ' ');
        sbuf_addc(&line, ' ');
        text_escape(&line, sbuf_slice(&b));
        fprintf(c->out, "%s\n", sbuf_z(&line));
        sbuf_finish(&line);
        sbuf_finish(&b);
    }
}

/* The daemon's object, or one that says why there is none. */
static cJSON *ask_status(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *answer = NULL;
    enum err e =
        daemon_ask(c->conf->listen.socket, "status", NULL, STATUS_TIMEOUT_MS, &answer, &msg);
    cJSON *inner = cJSON_DetachItemFromObjectCaseSensitive(answer, "status");
    if (cJSON_IsObject(inner)) { /* the same object as the admin port's /status */
        cJSON_Delete(answer);
        return inner;
    }
    cJSON_Delete(inner);
    if (e != ERR_OK) {
        answer = json_object();
        json_flag(answer, "ok", false);
        json_z(answer, "state", e == ERR_REFUSED ? "down" : "unreachable");
        json_z(answer, "error", msg.text);
    }
    return answer;
}

static int run_status(struct cli *c)
{
    int code = cli_conf(c);
    if (code)
        return code;
    cJSON *answer = ask_status(c);
    if (c->args.json)
        json_print(c->out, answer);
    else
        print_members(c, answer);
    cJSON_Delete(answer);
    return 0;
}

const struct command command_status = {
    "status", NULL, "",        "what the running daemon says of itself", NULL, NULL, 0,
    0,        true, run_status};

static const struct column overview_columns[] = {{"pool", "POOL", COLUMN_TEXT},
                                                 {"account", "ACCOUNT", COLUMN_TEXT},
                                                 {"state", "STATE", COLUMN_TEXT},
                                                 {"weight", "WEIGHT", COLUMN_WEIGHT},
                                                 {"expected_pct", "EXPECT", COLUMN_PERCENT},
                                                 {"cooling_until", "COOL", COLUMN_UNTIL},
                                                 {"clients", "CLIENTS", COLUMN_NUMBER},
                                                 {NULL, NULL, COLUMN_TEXT}};

int command_overview(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *pools = NULL;
    int code = run_status(c);
    fputc('\n', c->out);
    if (code == 0)
        code = cli_reads(c);
    if (code)
        return code;
    enum err e = share_pools(c->store, (struct slice){NULL, 0}, c->now_s, &pools, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    cJSON *flat = share_flat(pools);
    table_print(c->out, overview_columns, flat, c->now_s);
    cJSON_Delete(flat);
    cJSON_Delete(pools);
    cli_say(c, "credswap --help lists the subcommands");
    return 0;
}

/* ---- tokens, usage ---- */

static const struct column token_columns[] = {
    {"account", "ACCOUNT", COLUMN_TEXT},       {"has_token", "TOKEN", COLUMN_FLAG},
    {"expires_at", "LEFT", COLUMN_UNTIL},      {"fingerprint", "FINGERPRINT", COLUMN_TEXT},
    {"mints", "MINTS", COLUMN_NUMBER},         {"mint_ms", "MINT MS", COLUMN_NUMBER},
    {"fails", "FAILS", COLUMN_NUMBER},         {"retry_at", "NEXT TRY", COLUMN_UNTIL},
    {"last_error", "LAST ERROR", COLUMN_TEXT}, {NULL, NULL, COLUMN_TEXT}};

static int run_tokens(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_tokens(c->store, &rows, &msg);
    return e == ERR_OK ? cli_list(c, token_columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_tokens = {
    "tokens", NULL,      "", "cached access tokens: how long, how often, last error",
    NULL,     NULL,      0,  0,
    true,     run_tokens};

static int option_time(struct cli *c, const char *name, int64_t default_s, int64_t *ret_since)
{
    const char *text = args_get(&c->args, name);
    int64_t span = default_s;
    if (text && !duration_parse(text, &span))
        return cli_fail(c, EX_USAGE, "%s %.40s is no duration; use 24h, 90m or 7d", name, text);
    *ret_since = c->now_s - span;
    return 0;
}

static const struct column usage_columns[] = {{"requests", "REQUESTS", COLUMN_QUANTITY},
                                              {"errors", "ERRORS", COLUMN_QUANTITY},
                                              {"limited", "LIMITED", COLUMN_QUANTITY},
                                              {"tokens_in", "IN", COLUMN_QUANTITY},
                                              {"tokens_out", "OUT", COLUMN_QUANTITY},
                                              {"tokens_cache_read", "CACHED", COLUMN_QUANTITY},
                                              {"bytes_up", "UP", COLUMN_QUANTITY},
                                              {"bytes_down", "DOWN", COLUMN_QUANTITY},
                                              {NULL, NULL, COLUMN_TEXT}};
static const struct column usage_groups[] = {
    [USAGE_BY_ALL] = {NULL, NULL, COLUMN_TEXT},
    [USAGE_BY_CLIENT] = {"client", "CLIENT", COLUMN_TEXT},
    [USAGE_BY_ACCOUNT] = {"account", "ACCOUNT", COLUMN_TEXT},
    [USAGE_BY_MODEL] = {"model", "MODEL", COLUMN_TEXT},
    [USAGE_BY_MINUTE] = {"minute", "MINUTE", COLUMN_TIME},
    [USAGE_BY_HOUR] = {"minute", "HOUR", COLUMN_TIME}};

static int run_usage(struct cli *c)
{
    struct errmsg msg = {0};
    struct usage_filter f = {.client = cli_option(c, "--client"),
                             .account = cli_option(c, "--account"),
                             .model = cli_option(c, "--model")};
    enum usage_by by = USAGE_BY_CLIENT;
    cJSON *rows = NULL;
    const char *text = args_get(&c->args, "--by");
    if (text && !usage_by_from(slice_of(text), &by))
        return cli_fail(c, EX_USAGE,
                        "--by %.40s is none of client, account, model, hour, minute, all", text);
    int code = option_time(c, "--since", 86400, &f.since);
    if (code == 0)
        code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_usage(c->store, by, &f, &rows, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    struct column columns[11];
    size_t n = 0;
    if (usage_groups[by].key)
        columns[n++] = usage_groups[by];
    memcpy(columns + n, usage_columns, sizeof usage_columns);
    return cli_list(c, columns, rows);
}

static const struct option_def usage_options[] = {
    {"--by", "WHAT", "client (default), account, model, hour, minute, all"},
    {"--since", "24h", "how far back, default 24h"},
    {"--client", "NAME", "only this client"},
    {"--account", "NAME", "only this account"},
    {"--model", "MODEL", "only this model"},
    {NULL, NULL, NULL}};
const struct command command_usage = {
    "usage", NULL, "",       "requests and model tokens, summed", NULL, usage_options, 0,
    0,       true, run_usage};

/* ---- requests, events: the last ones, or as they come ---- */

static const struct column request_columns[] = {
    {"at", "TIME", COLUMN_TIME},          {"client", "CLIENT", COLUMN_TEXT},
    {"account", "ACCOUNT", COLUMN_TEXT},  {"model", "MODEL", COLUMN_TEXT},
    {"host", "HOST", COLUMN_TEXT},        {"status", "STATUS", COLUMN_NUMBER},
    {"attempts", "TRIES", COLUMN_NUMBER}, {"ms", "MS", COLUMN_NUMBER},
    {"tokens_in", "IN", COLUMN_QUANTITY}, {"tokens_out", "OUT", COLUMN_QUANTITY},
    {"reason", "REASON", COLUMN_TEXT},    {NULL, NULL, COLUMN_TEXT}};
static const struct column event_columns[] = {
    {"at", "TIME", COLUMN_TIME},       {"kind", "KIND", COLUMN_TEXT}, {"who", "WHO", COLUMN_TEXT},
    {"times", "TIMES", COLUMN_NUMBER}, {"what", "WHAT", COLUMN_TEXT}, {NULL, NULL, COLUMN_TEXT}};

typedef enum err (*fetch_cb)(struct cli *c, int64_t after_id, cJSON **ret, struct errmsg *msg);

static size_t option_limit(const struct cli *c)
{
    int64_t n = 100;
    const char *text = args_get(&c->args, "--limit");
    if (text && (!quantity_parse(text, &n) || n < 1 || n > 10000))
        n = 100;
    return (size_t)n;
}

static enum err fetch_requests(struct cli *c, int64_t after_id, cJSON **ret, struct errmsg *msg)
{
    const char *status = args_get(&c->args, "--status");
    struct request_filter f = {.after_id = after_id,
                               .client = cli_option(c, "--client"),
                               .account = cli_option(c, "--account"),
                               .model = cli_option(c, "--model"),
                               .limit = option_limit(c)};
    if (status && status[0] >= '1' && status[0] <= '5') {
        f.status_min = (status[0] - '0') * 100;
        f.status_max = f.status_min + 99;
    }
    return rows_requests(c->store, &f, ret, msg);
}

static enum err fetch_events(struct cli *c, int64_t after_id, cJSON **ret, struct errmsg *msg)
{
    struct event_filter f = {
        .after_id = after_id, .who = cli_option(c, "--who"), .limit = option_limit(c)};
    enum event_kind kind;
    struct slice text = cli_option(c, "--kind");
    if (text.p && event_kind_from(text, &kind))
        f.kinds = 1U << kind;
    return rows_events(c->store, &f, ret, msg);
}

/* With --follow a line (or, with --json, an object a line) for each new row, until Ctrl-C or a
 * closed pipe. */
static int64_t print_follow(struct cli *c, const struct column *columns, const cJSON *rows,
                            int64_t last)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(row, "id");
        last = cJSON_IsNumber(id) ? (int64_t)id->valuedouble : last;
        struct sbuf b;
        sbuf_init(&b, 1 << 20);
        if (c->args.json)
            json_compact(&b, row);
        else
            table_line(&b, columns, row, c->now_s);
        fprintf(c->out, "%s\n", sbuf_z(&b));
        sbuf_finish(&b);
    }
    (void)fflush(c->out);
    return last;
}

static int watch(struct cli *c, fetch_cb fetch, const struct column *columns)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    bool follows = args_get(&c->args, "--follow") != NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = fetch(c, 0, &rows, &msg);
    if (e == ERR_OK && !follows)
        return cli_list(c, columns, rows);
    for (int64_t last = 0; e == ERR_OK || e == ERR_BUSY;) {
        if (e == ERR_OK) {
            last = print_follow(c, columns, rows, last);
            cJSON_Delete(rows);
        }
        if (ferror(c->out))
            return 0;
        usleep(500 * 1000);
        c->now_s = clock_wall_s();
        e = fetch(c, last, &rows, &msg);
    }
    return cli_fail_err(c, e, &msg);
}

static int run_requests(struct cli *c)
{
    return watch(c, fetch_requests, request_columns);
}

static int run_events(struct cli *c)
{
    return watch(c, fetch_events, event_columns);
}

static const struct option_def request_options[] = {
    {"--follow", NULL, "go on with new ones as they come (-f)"},
    {"--client", "NAME", "only this client"},
    {"--account", "NAME", "only this account"},
    {"--model", "MODEL", "only this model"},
    {"--status", "Nxx", "only answers of this class, e.g. 5xx"},
    {"--limit", "N", "how many, default 100"},
    {NULL, NULL, NULL}};
const struct command command_requests = {
    "requests", NULL, "", "the last requests", NULL, request_options, 0, 0, true, run_requests};
static const struct option_def event_options[] = {
    {"--follow", NULL, "go on with new ones as they come (-f)"},
    {"--kind", "KIND", "only audit, alarm or info"},
    {"--who", "WHO", "only by this person, or about this account or client"},
    {"--limit", "N", "how many, default 100"},
    {NULL, NULL, NULL}};
const struct command command_events = {"events", NULL,          "", "audit of changes, and alarms",
                                       NULL,     event_options, 0,  0,
                                       true,     run_events};

/* ---- wait ---- */

static int run_wait(struct cli *c)
{
    struct errmsg msg = {0};
    int64_t timeout = 30;
    int status = 0;
    const char *text = args_get(&c->args, "--timeout");
    if (text && !duration_parse(text, &timeout))
        return cli_fail(c, EX_USAGE, "--timeout %.40s is no duration; use 30 or 2m", text);
    int code = cli_conf(c);
    if (code)
        return code;
    if (!*c->conf->listen.admin)
        return cli_fail(
            c, EX_CONFIG,
            "listen.admin is empty, so nobody can say whether the proxy is ready; set it");
    uint64_t deadline = clock_mono_ms() + (uint64_t)timeout * 1000;
    struct sbuf body;
    sbuf_init(&body, 1 << 16);
    while (clock_mono_ms() < deadline) {
        uint64_t left = deadline - clock_mono_ms();
        sbuf_clear(&body);
        enum err e = daemon_get(c->conf->listen.admin, "/readyz",
                                (int)(left < 2000 ? left + 1 : 2000), &status, &body, &msg);
        if (e == ERR_OK && status == 200)
            break;
        if (e == ERR_OK)
            snprintf(msg.text, sizeof msg.text, "/readyz says %d: %.300s", status, sbuf_z(&body));
        status = 0;
        usleep(100 * 1000);
    }
    sbuf_finish(&body);
    if (status == 200)
        return 0;
    for (char *z = msg.text; *z; z++)
        *z = *z == '\n' || *z == '\r' ? ' ' : *z;
    return cli_fail(c, EX_TEMPFAIL, "not ready within %lld s: %s; look at its log",
                    (long long)timeout, msg.text);
}

static const struct option_def wait_options[] = {
    {"--ready", NULL, "until /readyz says 200 (the only thing to wait for)"},
    {"--timeout", "30", "seconds, or 2m; 75 when they are over"},
    {NULL, NULL, NULL}};
const struct command command_wait = {
    "wait", NULL, "", "wait until the proxy serves", NULL, wait_options, 0, 0, false, run_wait};

/* ---- undo ---- */

static int run_undo(struct cli *c)
{
    struct errmsg msg = {0}, what = {0};
    uint64_t event = 0;
    const char *text = args_operand(&c->args, 0);
    if (text && !slice_to_u64(slice_of(text), &event))
        return cli_fail(c, EX_USAGE,
                        "\"%.40s\" is no event number; credswap events --json has them as id",
                        text);
    int code = cli_writes(c);
    if (code)
        return code;
    enum err e = store_undo(c->store, slice_of(c->who), (int64_t)event, &what, &msg);
    if (e == ERR_EXISTS)
        return cli_fail(c, EX_CANTCREAT, "%s", msg.text);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    cli_say(c, "undone: %s", what.text);
    return 0;
}

const struct command command_undo = {
    "undo", NULL,  "[EVENT]", "take back the last change, or one of credswap events", NULL, NULL, 0,
    1,      false, run_undo};
