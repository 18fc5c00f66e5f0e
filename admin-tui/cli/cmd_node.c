/* node list: the proxies on this store. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/rows.h"

static const struct column columns[] = {{"name", "NODE", COLUMN_TEXT},
                                        {"state", "STATE", COLUMN_TEXT},
                                        {"address", "ADDRESS", COLUMN_TEXT},
                                        {"version", "VERSION", COLUMN_TEXT},
                                        {"pid", "PID", COLUMN_NUMBER},
                                        {"started_at", "STARTED", COLUMN_TIME},
                                        {"seen_at", "SEEN", COLUMN_TIME},
                                        {"generation", "GENERATION", COLUMN_NUMBER},
                                        {NULL, NULL, COLUMN_TEXT}};

static int run_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_nodes(c->store, c->now_s, &rows, &msg);
    return e == ERR_OK ? cli_list(c, columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_node_list = {
    "node",
    "list",
    "",
    "the proxies on this store, and when each was seen last",
    "silent: no sign of it for half a minute, though it did not end in good order.\n",
    NULL,
    0,
    0,
    true,
    run_list};
