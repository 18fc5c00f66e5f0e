/* live list|end, ca leaves|refused: what only the running daemon knows. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/quantity.h"
#include "conf/conf.h"

#define TIMEOUT_MS 5000
#define LIMIT_MAX 500

static int say(struct cli *c, cJSON *question, cJSON **ret)
{
    struct errmsg msg = {0};
    int code = cli_conf(c);
    enum err e =
        code ? ERR_OK : daemon_say(c->conf->listen.socket, question, TIMEOUT_MS, ret, &msg);
    cJSON_Delete(question);
    if (e == ERR_INVALID)
        return cli_fail(c, EX_FAILED, "%s", msg.text);
    if (e != ERR_OK)
        return cli_fail_err(c, e == ERR_IO || e == ERR_PROTOCOL ? ERR_REFUSED : e, &msg);
    return code;
}

static cJSON *question(const char *cmd)
{
    cJSON *q = json_object();
    json_z(q, "cmd", cmd);
    return q;
}

static int add_limit(struct cli *c, cJSON *q)
{
    int64_t n = 100;
    const char *text = args_get(&c->args, "--limit");
    if (text && (!quantity_parse(text, &n) || n < 1 || n > LIMIT_MAX))
        return cli_fail(c, EX_USAGE, "--limit %.40s is not a number from 1 to %d", text, LIMIT_MAX);
    json_int(q, "limit", n);
    return 0;
}

/* Asks, and prints the array KEY of the answer. */
static int list(struct cli *c, cJSON *q, const char *key, const struct column *columns)
{
    cJSON *answer = NULL;
    int code = say(c, q, &answer);
    if (code)
        return code;
    cJSON *rows = cJSON_DetachItemFromObjectCaseSensitive(answer, key);
    cJSON_Delete(answer);
    if (cJSON_IsArray(rows))
        return cli_list(c, columns, rows);
    cJSON_Delete(rows);
    return cli_fail(c, EX_UNAVAILABLE,
                    "the daemon's answer is not understood; is it another version?");
}

static const struct column live_columns[] = {{"id", "ID", COLUMN_TEXT},
                                             {"age_ms", "AGE MS", COLUMN_NUMBER},
                                             {"phase", "PHASE", COLUMN_TEXT},
                                             {"client", "CLIENT", COLUMN_TEXT},
                                             {"account", "ACCOUNT", COLUMN_TEXT},
                                             {"model", "MODEL", COLUMN_TEXT},
                                             {"host", "HOST", COLUMN_TEXT},
                                             {"status", "STATUS", COLUMN_NUMBER},
                                             {"up", "UP", COLUMN_QUANTITY},
                                             {"down", "DOWN", COLUMN_QUANTITY},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_live(struct cli *c)
{
    cJSON *q = question("live");
    int code = add_limit(c, q);
    if (code == 0)
        return list(c, q, "live", live_columns);
    cJSON_Delete(q);
    return code;
}

static int run_end(struct cli *c)
{
    cJSON *q = question("end"), *answer = NULL;
    json_z(q, "id", args_operand(&c->args, 0));
    int code = say(c, q, &answer);
    cJSON_Delete(answer);
    if (code == 0)
        cli_say(c, "request %.80s ended", args_operand(&c->args, 0));
    return code;
}

static const struct option_def limit_options[] = {{"--limit", "N", "how many, default 100"},
                                                  {NULL, NULL, NULL}};
const struct command command_live_list = {
    "live", "list",        "", "requests under way, the oldest first (needs the daemon)",
    NULL,   limit_options, 0,  0,
    true,   run_live};
const struct command command_live_end = {
    "live", "end",  "ID", "end a request: its client sees a cut answer (needs the daemon)",
    NULL,   NULL,   1,    1,
    false,  run_end};

static const struct column leaf_columns[] = {{"host", "HOST", COLUMN_TEXT},
                                             {"expires_at", "ENDS IN", COLUMN_UNTIL},
                                             {"signed_at", "SIGNED", COLUMN_TIME},
                                             {"hits", "HITS", COLUMN_NUMBER},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_leaves(struct cli *c)
{
    cJSON *q = question("leaves");
    int code = add_limit(c, q);
    if (code == 0)
        return list(c, q, "leaves", leaf_columns);
    cJSON_Delete(q);
    return code;
}

static const struct column refused_columns[] = {{"peer", "CLIENT'S ADDRESS", COLUMN_TEXT},
                                                {"host", "HOST", COLUMN_TEXT},
                                                {"why", "WHY", COLUMN_TEXT},
                                                {"times", "TIMES", COLUMN_NUMBER},
                                                {"last_at", "LAST", COLUMN_TIME},
                                                {NULL, NULL, COLUMN_TEXT}};

static int run_refused(struct cli *c)
{
    return list(c, question("trust"), "refused", refused_columns);
}

const struct command command_ca_leaves = {
    "ca", "leaves", "",        "certificates that the daemon keeps ready", NULL, limit_options, 0,
    0,    true,     run_leaves};
const struct command command_ca_refused = {
    "ca",
    "refused",
    "",
    "clients that refuse our certificate",
    "\"unknown ca\": they do not have our CA yet; credswap env has the lines for them.\n",
    NULL,
    0,
    0,
    true,
    run_refused};
