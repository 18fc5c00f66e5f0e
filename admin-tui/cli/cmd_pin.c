/* pin list|rm: which account has which file, cache, operation or upload. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/rows.h"
#include "store/event.h"
#include "store/pin.h"

static const struct column columns[] = {
    {"name", "NAME", COLUMN_TEXT},           {"account", "ACCOUNT", COLUMN_TEXT},
    {"pool", "POOL", COLUMN_TEXT},           {"client", "MADE BY", COLUMN_TEXT},
    {"domain", "AT", COLUMN_TEXT},           {"made_at", "MADE", COLUMN_TIME},
    {"expires_at", "ENDS IN", COLUMN_UNTIL}, {NULL, NULL, COLUMN_TEXT}};

static int run_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_pins(c->store, slice_of(args_operand(&c->args, 0)), c->now_s, &rows, &msg);
    return e == ERR_OK ? cli_list(c, columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_pin_list = {
    "pin",
    "list",
    "[ACCOUNT]",
    "files, caches, operations and uploads, and the account that has each",
    "Requests that name one of these go to its account and to no other. An upload is shown by a\n"
    "hash of its id.\n",
    NULL,
    0,
    1,
    true,
    run_list};

static enum err rm_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const char *pool = args_get(&c->args, "--pool");
    enum err e = pin_remove_named(c->store, pool ? slice_of(pool) : SLICE(""),
                                  slice_of(args_operand(&c->args, 0)), msg);
    /* no row of the configuration changes, so the audit row is written by hand */
    return e == ERR_OK ? event_audit(c->store, slice_of(c->who), slice_of(arg), SLICE(""),
                                     SLICE(""), NULL, msg)
                       : e;
}

static int run_rm(struct cli *c)
{
    char what[320];
    snprintf(what, sizeof what, "pin %.255s: removed", args_operand(&c->args, 0));
    int code = cli_writes(c);
    if (code == 0)
        code = cli_change(c, rm_change, what, what, NULL);
    if (code == 0)
        cli_say(c, "%s", what);
    return code;
}

static const struct option_def rm_options[] = {{"--pool", "POOL", "in this pool only"},
                                               {NULL, NULL, NULL}};
const struct command command_pin_rm = {
    "pin",
    "rm",
    "NAME",
    "forget which account has it",
    "The provider keeps it. Whoever names it afterwards goes to any account, an upload to none.\n"
    "  credswap pin rm files/abc-123\n",
    rm_options,
    1,
    1,
    false,
    run_rm};
