/* pool list|set|rm. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/pools.h"
#include "cli/quantity.h"
#include "cli/share.h"
#include "store/pool.h"

static const struct column list_columns[] = {{"pool", "POOL", COLUMN_TEXT},
                                             {"account", "ACCOUNT", COLUMN_TEXT},
                                             {"state", "STATE", COLUMN_TEXT},
                                             {"weight", "WEIGHT", COLUMN_WEIGHT},
                                             {"expected_pct", "EXPECT", COLUMN_PERCENT},
                                             {"cooling_until", "COOL", COLUMN_UNTIL},
                                             {"clients", "CLIENTS", COLUMN_NUMBER},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *pools = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = share_pools(c->store, (struct slice){NULL, 0}, c->now_s, &pools, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    if (c->args.json)
        return cli_list(c, list_columns, pools);
    code = cli_list(c, list_columns, share_flat(pools));
    cJSON_Delete(pools);
    return code;
}

const struct command command_pool_list = {
    "pool", "list", "",      "pools, members, weights and expected shares", NULL, NULL, 0,
    0,      true,   run_list};

struct setting {
    struct slice account;
    double weight;
};

static bool parse_setting(const char *text, struct setting *ret)
{
    struct slice s = slice_of(text);
    size_t cut = s.n;
    while (cut > 0 && s.p[cut - 1] != '=')
        cut--;
    if (cut < 2)
        return false;
    ret->account = slice_sub(s, 0, cut - 1);
    return weight_parse(text + cut, &ret->weight);
}

static enum err set_change(struct cli *c, void *arg, struct errmsg *msg)
{
    struct slice pool = slice_of(arg);
    enum err e = ERR_OK;
    for (int i = 1; e == ERR_OK && i < c->args.operand_count; i++) {
        struct setting x;
        if (!parse_setting(args_operand(&c->args, i), &x))
            return err_set(msg, ERR_INVALID,
                           "\"%.80s\" is not ACCOUNT=WEIGHT with a weight from 0 to 1000000",
                           args_operand(&c->args, i));
        e = pools_join(c->store, pool, x.account, x.weight, msg);
    }
    return e;
}

static int run_set(struct cli *c)
{
    struct setting x;
    struct sbuf what;
    char pool[65];
    bool is_changed = false;
    if (!name_is_valid(slice_of(args_operand(&c->args, 0))))
        return cli_fail(c, EX_USAGE,
                        "\"%.70s\" is no pool name; use 1 to 64 letters, digits or ._-",
                        args_operand(&c->args, 0));
    snprintf(pool, sizeof pool, "%s", args_operand(&c->args, 0));
    for (int i = 1; i < c->args.operand_count; i++)
        if (!parse_setting(args_operand(&c->args, i), &x))
            return cli_fail(c, EX_USAGE,
                            "\"%.80s\" is not ACCOUNT=WEIGHT with a weight from 0 to 1000000",
                            args_operand(&c->args, i));
    int code = cli_writes(c);
    if (code)
        return code;
    sbuf_init(&what, 4096);
    sbuf_addf(&what, "pool %s:", pool);
    for (int i = 1; i < c->args.operand_count; i++)
        sbuf_addf(&what, " %s", args_operand(&c->args, i));
    code = cli_change(c, set_change, pool, sbuf_z(&what), &is_changed);
    if (code == 0) {
        cli_say(c, "%s%s", sbuf_z(&what), is_changed ? "" : " (was so already)");
        pools_warn(c, (struct slice){NULL, 0}, slice_of(pool));
    }
    sbuf_finish(&what);
    return code;
}

const struct command command_pool_set = {
    "pool",
    "set",
    "POOL ACCOUNT=WEIGHT ...",
    "put accounts into a pool, or change their weights",
    "  credswap pool set gemini team-1=2 team-2=1\n"
    "A weight is a number >= 0; others of the pool stay as they are. A new pool is made.\n",
    NULL,
    2,
    200,
    false,
    run_set};

static enum err rm_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const char *pool = arg, *account = args_operand(&c->args, 1);
    return account ? pool_unset(c->store, slice_of(pool), slice_of(account), msg)
                   : pool_remove(c->store, slice_of(pool), msg);
}

static int run_rm(struct cli *c)
{
    char what[200], pool[128];
    const char *account = args_operand(&c->args, 1);
    snprintf(pool, sizeof pool, "%s", args_operand(&c->args, 0));
    if (account)
        snprintf(what, sizeof what, "account %.64s left pool %.64s", account, pool);
    else
        snprintf(what, sizeof what, "pool %.64s removed", pool);
    int code = cli_writes(c);
    if (code == 0)
        code = cli_change(c, rm_change, pool, what, NULL);
    if (code == 0) {
        cli_say(c, "%s", what);
        pools_warn(c, (struct slice){NULL, 0}, slice_of(pool));
    }
    return code;
}

const struct command command_pool_rm = {
    "pool",
    "rm",
    "POOL [ACCOUNT]",
    "take an account out of a pool; without one, remove the pool",
    NULL,
    NULL,
    1,
    2,
    false,
    run_rm};
