/* tokens, usage, wait, undo. */
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
#include "store/store.h"
#include "store/usage.h"

#include <unistd.h>

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
    {"--by", "client|account|model|hour|minute|all", "default client"},
    {"--since", "24h", "how far back, default 24h"},
    {"--client", "NAME", "only this client"},
    {"--account", "NAME", "only this account"},
    {"--model", "MODEL", "only this model"},
    {NULL, NULL, NULL}};
const struct command command_usage = {
    "usage", NULL, "",       "requests and model tokens, summed", NULL, usage_options, 0,
    0,       true, run_usage};

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
    if (text && (!slice_to_u64(slice_of(text), &event) || event == 0 || event > INT64_MAX))
        return cli_fail(c, EX_USAGE, "\"%.40s\" is no event number; credswap events shows them",
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
