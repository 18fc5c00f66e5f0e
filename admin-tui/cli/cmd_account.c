/* account add|list|show|set|drain|clear|refresh|test|rm. */
#include "base/check.h"
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/input.h"
#include "cli/keyinfo.h"
#include "cli/pools.h"
#include "cli/quantity.h"
#include "cli/rows.h"
#include "conf/conf.h"
#include "policy/policy.h"
#include "store/account.h"
#include "store/event.h"
#include "store/model.h"
#include "store/pool.h"

/* ---- add ---- */

struct addition {
    enum account_kind kind;
    struct account_fields fields;
    struct slice key, pool, models;
    double weight;
    char name[65];
};

static enum err add_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct addition *a = arg;
    enum err e = account_add(c->store, c->key, a->kind, &a->fields, a->key, NULL, msg);
    struct slice rest = a->models, model;
    while (e == ERR_OK && slice_next(&rest, ',', &model)) {
        model = slice_trim(model);
        if (model.n)
            e = model_set(c->store, a->fields.name, model, SLICE(""), msg);
    }
    if (e == ERR_OK && a->pool.n)
        e = pools_join(c->store, a->pool, a->fields.name, a->weight, msg);
    return e;
}

/* What both kinds share: name, pool, weight and the texts. */
static int addition_options(struct cli *c, struct addition *a, const char *default_name,
                            const char *default_pool)
{
    struct slice name = cli_option(c, "--name"), pool = cli_option(c, "--pool");
    const char *weight = args_get(&c->args, "--weight");
    if (!name.p)
        name = slice_of(default_name);
    if (!name_is_valid(name))
        return cli_fail(
            c, EX_USAGE,
            "\"%.70s\" is no account name; give --name with 1 to 64 letters, digits or ._-",
            name.p);
    slice_copy(name, a->name, sizeof a->name);
    a->fields.name = slice_of(a->name);
    a->pool = pool.p ? pool : slice_of(default_pool);
    if (a->pool.n && !name_is_valid(a->pool))
        return cli_fail(c, EX_USAGE, "\"%.70s\" is no pool name; use letters, digits and ._-",
                        a->pool.p);
    a->weight = 1;
    if (weight && !weight_parse(weight, &a->weight))
        return cli_fail(c, EX_USAGE, "--weight %.40s is not a number from 0 to 1000000", weight);
    a->models = cli_option(c, "--models");
    if (cli_option(c, "--project").p)
        a->fields.project = cli_option(c, "--project");
    a->fields.location = cli_option(c, "--location");
    return 0;
}

static int addition_store(struct cli *c, struct addition *a)
{
    char what[256], weight[QUANTITY_TEXT];
    int code = cli_key(c);
    if (code == 0)
        code = cli_writes(c);
    if (code)
        return code;
    weight_print(a->weight, weight);
    snprintf(what, sizeof what, "account %s added (%s), pool %.64s weight %s", a->name,
             account_kind_name(a->kind), a->pool.n ? a->pool.p : "-", weight);
    code = cli_change(c, add_change, a, what, NULL);
    if (code == 0)
        cli_say(c, "%s", what);
    return code;
}

static int add_service(struct cli *c, const char *path)
{
    struct addition a = {.kind = ACCOUNT_SERVICE};
    struct keyfile *k = NULL;
    int code = keyinfo_read(c, path, &k);
    if (code == 0) {
        char local[65];
        keyinfo_fields(k, &a.fields);
        a.key = secret_bytes(k->private_key);
        code = addition_options(c, &a, keyinfo_name(k, local), "gemini");
    }
    if (code == 0)
        code = addition_store(c, &a);
    if (code == 0)
        keyinfo_warn_mode(c, path);
    keyfile_destroy(k);
    return code;
}

static int check_api_host(struct cli *c, const char *host, struct authority *ret)
{
    struct policy *p = NULL;
    struct errmsg msg = {0};
    if (authority_parse(slice_of(host), 443, ret) != ERR_OK || ret->is_ip)
        return cli_fail(c, EX_USAGE, "--host %.80s is no host name", host);
    int code = cli_conf(c);
    if (code)
        return code;
    enum err e = policy_create(c->conf, &p, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    if (!policy_is_swap_domain(p, authority_host(ret)))
        code = cli_fail(c, EX_DATAERR,
                        "%s lies outside policy.swap_domains, so the key would never be sent; add "
                        "its domain there first",
                        ret->host);
    policy_destroy(p);
    return code;
}

static int add_api_key(struct cli *c)
{
    struct addition a = {.kind = ACCOUNT_API_KEY};
    struct authority host;
    struct sbuf key;
    const char *host_text = args_get(&c->args, "--host");
    if (!host_text || !args_get(&c->args, "--name"))
        return cli_fail(c, EX_USAGE, "an API key needs --host (where it may go) and --name");
    int code = check_api_host(c, host_text, &host);
    if (code)
        return code;
    a.fields.host = authority_host(&host);
    bool is_claude = slice_ends(a.fields.host, SLICE("anthropic.com"));
    code = addition_options(c, &a, "", is_claude ? "claude" : "gemini");
    if (code)
        return code;
    sbuf_init(&key, 4096);
    code = input_secret(c, "the API key", &key);
    if (code == 0 && !keyinfo_is_api_key(sbuf_slice(&key)))
        code = cli_fail(c, EX_DATAERR,
                        "standard input holds no API key: 8 to 4096 visible characters are wanted, "
                        "nothing else");
    a.key = sbuf_slice(&key);
    if (code == 0)
        code = addition_store(c, &a);
    sbuf_finish_wipe(&key);
    return code;
}

static int run_add(struct cli *c)
{
    const char *kind = args_get(&c->args, "--kind"), *path = args_operand(&c->args, 0);
    enum account_kind k = ACCOUNT_SERVICE;
    if (kind && !account_kind_from(slice_of(kind), &k))
        return cli_fail(c, EX_USAGE, "--kind %.40s is neither service nor api-key", kind);
    if (k == ACCOUNT_API_KEY && strcmp(path, "-") != 0)
        return cli_fail(c, EX_USAGE,
                        "an API key is read from standard input only: end the command with -");
    if (k == ACCOUNT_SERVICE && args_get(&c->args, "--host"))
        return cli_fail(c, EX_USAGE, "--host is for --kind api-key");
    return k == ACCOUNT_API_KEY ? add_api_key(c) : add_service(c, path);
}

static const struct option_def add_options[] = {
    {"--name", "NAME", "default: the part of client_email before the @"},
    {"--weight", "W", "share within the pool, default 1"},
    {"--pool", "POOL", "default gemini (api.anthropic.com: claude); '' joins none"},
    {"--models", "'A,B*'", "serves these models only"},
    {"--project", "P", "Google project, when not the key file's"},
    {"--location", "L", "Google location, e.g. us-central1"},
    {"--kind", "service|api-key", "default service"},
    {"--host", "HOST", "api-key: the one host that it may go to"},
    {NULL, NULL, NULL}};
const struct command command_account_add = {
    "account",
    "add",
    "KEYFILE.json|-",
    "add an account from a Google key file, or an API key",
    "  credswap account add team-1.json --weight 3\n"
    "  credswap account add --kind api-key --host api.anthropic.com --name claude-1 - <key\n",
    add_options,
    1,
    1,
    false,
    run_add};

/* ---- list, show ---- */

static const struct column list_columns[] = {{"name", "NAME", COLUMN_TEXT},
                                             {"kind", "KIND", COLUMN_TEXT},
                                             {"state", "STATE", COLUMN_TEXT},
                                             {"pools", "POOLS", COLUMN_LIST},
                                             {"model_count", "MODELS", COLUMN_NUMBER},
                                             {"token_expires_at", "TOKEN", COLUMN_UNTIL},
                                             {"cooling_until", "COOL", COLUMN_UNTIL},
                                             {"key_fingerprint", "KEY", COLUMN_TEXT},
                                             {"project", "PROJECT", COLUMN_TEXT},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_accounts(c->store, (struct slice){NULL, 0}, c->now_s, &rows, &msg);
    return e == ERR_OK ? cli_list(c, list_columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_account_list = {
    "account", "list", "",      "all accounts with pools, tokens and cool-downs", NULL, NULL, 0,
    0,         true,   run_list};

static const struct column show_columns[] = {{"name", "name", COLUMN_TEXT},
                                             {"kind", "kind", COLUMN_TEXT},
                                             {"state", "state", COLUMN_TEXT},
                                             {"project", "project", COLUMN_TEXT},
                                             {"location", "location", COLUMN_TEXT},
                                             {"host", "host", COLUMN_TEXT},
                                             {"email", "e-mail", COLUMN_TEXT},
                                             {"key_id", "key id", COLUMN_TEXT},
                                             {"key_fingerprint", "key fingerprint", COLUMN_TEXT},
                                             {"scope", "scope", COLUMN_TEXT},
                                             {"quota_project", "quota project", COLUMN_TEXT},
                                             {"token_uri", "token address", COLUMN_TEXT},
                                             {"token_expires_at", "token left", COLUMN_UNTIL},
                                             {"last_error", "last error", COLUMN_TEXT},
                                             {"cooling_until", "cools for", COLUMN_UNTIL},
                                             {"cooling_reason", "cools because", COLUMN_TEXT},
                                             {"pools", "pools", COLUMN_LIST},
                                             {"models", "models", COLUMN_LIST},
                                             {"created_at", "created", COLUMN_TIME},
                                             {"note", "note", COLUMN_TEXT},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_show(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e =
        rows_accounts(c->store, slice_of(args_operand(&c->args, 0)), c->now_s, &rows, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    code = cli_record(c, show_columns, cJSON_DetachItemFromArray(rows, 0));
    cJSON_Delete(rows);
    return code;
}

const struct command command_account_show = {
    "account", "show", "NAME",  "everything about one account, secrets apart", NULL, NULL, 1,
    1,         true,   run_show};

/* ---- set, drain ---- */

struct edit {
    const char *name;
    struct account_fields fields;
    enum account_state state;
    const char *pool;
    char pool_found[65];
    double weight;
    bool has_fields, has_weight;
};

static enum err edit_change(struct cli *c, void *arg, struct errmsg *msg)
{
    struct edit *x = arg;
    struct slice name = slice_of(x->name);
    int64_t id;
    enum err e = account_id(c->store, name, &id, msg);
    if (e == ERR_OK && (x->has_weight || x->pool)) {
        e = x->pool ? ERR_OK : pools_only_one(c->store, name, x->pool_found, msg);
        if (e == ERR_OK && !x->pool)
            x->pool = x->pool_found;
        if (e == ERR_OK)
            e = pools_join(c->store, slice_of(x->pool), name, x->weight, msg);
    }
    if (e == ERR_OK && x->has_fields)
        e = account_set(c->store, name, &x->fields, msg);
    return e;
}

static int assign(struct cli *c, struct edit *x, const char *text)
{
    const struct {
        const char *key;
        struct slice *to;
    } texts[] = {{"name", &x->fields.name},         {"project", &x->fields.project},
                 {"location", &x->fields.location}, {"scope", &x->fields.scope},
                 {"note", &x->fields.note},         {"quota_project", &x->fields.quota_project}};
    struct slice key = slice_make(text, slice_find(slice_of(text), '=', 0));
    if (!text[key.n])
        return cli_fail(c, EX_USAGE, "\"%.60s\" is not KEY=VALUE, e.g. weight=3 or state=drain",
                        text);
    const char *value = text + key.n + 1;
    if (slice_eq(key, SLICE("weight"))) {
        x->has_weight = weight_parse(value, &x->weight);
        return x->has_weight
                   ? 0
                   : cli_fail(c, EX_USAGE, "weight=%.40s is not a number from 0 to 1000000", value);
    }
    x->has_fields = true;
    if (slice_eq(key, SLICE("state"))) {
        x->fields.state = &x->state;
        return account_state_from(slice_of(value), &x->state)
                   ? 0
                   : cli_fail(c, EX_USAGE, "state=%.40s is none of up, drain, off", value);
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (slice_eq(key, slice_of(texts[i].key))) {
            *texts[i].to = slice_of(value);
            return 0;
        }
    return cli_fail(c, EX_USAGE,
                    "\"%.*s\" cannot be set; weight, state, name, project, location, scope, "
                    "quota_project, note can",
                    (int)(key.n < 40 ? key.n : 40), key.p);
}

static int edit_run(struct cli *c, struct edit *x, const char *changes)
{
    char what[512];
    bool is_changed;
    int code = cli_writes(c);
    if (code)
        return code;
    snprintf(what, sizeof what, "account %.64s: %.380s%s%.50s", x->name, changes,
             x->pool ? " in pool " : "", x->pool ? x->pool : "");
    code = cli_change(c, edit_change, x, what, &is_changed);
    if (code)
        return code;
    cli_say(c, "%s%s", what, is_changed ? "" : " (was so already)");
    pools_warn(c, slice_of(x->fields.name.n ? x->fields.name.p : x->name), (struct slice){NULL, 0});
    return 0;
}

static int run_set(struct cli *c)
{
    struct edit x = {
        .name = args_operand(&c->args, 0), .pool = args_get(&c->args, "--pool"), .weight = 1};
    struct sbuf changes;
    int code = 0;
    sbuf_init(&changes, 4096);
    for (int i = 1; code == 0 && i < c->args.operand_count; i++) {
        code = assign(c, &x, args_operand(&c->args, i));
        sbuf_addf(&changes, "%s%s", i > 1 ? " " : "", args_operand(&c->args, i));
    }
    if (code == 0 && x.fields.name.p && !name_is_valid(x.fields.name))
        code = cli_fail(c, EX_USAGE,
                        "\"%.70s\" is no account name; use 1 to 64 letters, digits or ._-",
                        x.fields.name.p);
    if (code == 0 && x.pool && !name_is_valid(slice_of(x.pool)))
        code = cli_fail(c, EX_USAGE, "\"%.70s\" is no pool name", x.pool);
    if (code == 0 && x.pool && !x.has_weight)
        code = cli_fail(c, EX_USAGE, "--pool %.64s says where a weight counts: add weight=NUMBER",
                        x.pool);
    if (code == 0)
        code = edit_run(c, &x, sbuf_z(&changes));
    sbuf_finish(&changes);
    return code;
}

static const struct option_def set_options[] = {
    {"--pool", "POOL", "the pool that weight= is for, when it is in several"}, {NULL, NULL, NULL}};
const struct command command_account_set = {
    "account",
    "set",
    "NAME KEY=VALUE ...",
    "change weight, state or texts of an account",
    "  weight=3 state=up|drain|off name= project= location= scope= quota_project= note=\n"
    "  drain: no new requests, running ones end; off: the same and no token is renewed\n",
    set_options,
    2,
    16,
    false,
    run_set};

static int run_drain(struct cli *c)
{
    struct edit x = {.name = args_operand(&c->args, 0), .state = ACCOUNT_DRAIN, .has_fields = true};
    x.fields.state = &x.state;
    return edit_run(c, &x, "state=drain");
}

const struct command command_account_drain = {
    "account", "drain", "NAME",   "no new requests; set NAME state=up ends it", NULL, NULL, 1,
    1,         false,   run_drain};

/* ---- clear, rm ---- */

static enum err clear_change(struct cli *c, void *arg, struct errmsg *msg)
{
    return account_clear(c->store, slice_of(arg), msg);
}

static enum err remove_change(struct cli *c, void *arg, struct errmsg *msg)
{
    return account_remove(c->store, slice_of(arg), msg);
}

static int one_name(struct cli *c, cli_change_cb change, const char *verb)
{
    char what[160], name[128];
    int code = cli_writes(c);
    if (code)
        return code;
    snprintf(name, sizeof name, "%s", args_operand(&c->args, 0));
    snprintf(what, sizeof what, "account %s %s", name, verb);
    code = cli_change(c, change, name, what, NULL);
    if (code == 0)
        cli_say(c, "%s", what);
    return code;
}

static int run_clear(struct cli *c)
{
    return one_name(c, clear_change, "cool-down ended");
}

const struct command command_account_clear = {
    "account", "clear", "NAME", "end its cool-downs", NULL, NULL, 1, 1, false, run_clear};

static int run_rm(struct cli *c)
{
    char question[200];
    snprintf(
        question, sizeof question,
        "Remove account %.64s with its key, models and tokens? The key cannot be brought back.",
        args_operand(&c->args, 0));
    return cli_confirm(c, question) ? one_name(c, remove_change, "removed") : EX_FAILED;
}

const struct command command_account_rm = {
    "account", "rm", "NAME", "remove an account with its key", NULL, NULL, 1, 1, false, run_rm};

/* ---- through the daemon ---- */

#define MINT_TIMEOUT_MS 60000

static const struct column answer_columns[] = {{"account", "account", COLUMN_TEXT},
                                               {"expires_at", "token left", COLUMN_UNTIL},
                                               {"fingerprint", "fingerprint", COLUMN_TEXT},
                                               {"ms", "took ms", COLUMN_NUMBER},
                                               {"note", "note", COLUMN_TEXT},
                                               {NULL, NULL, COLUMN_TEXT}};

static int ask(struct cli *c, const char *cmd)
{
    struct errmsg msg = {0};
    cJSON *answer = NULL;
    const char *name = args_operand(&c->args, 0);
    int code = cli_conf(c);
    if (code)
        return code;
    enum err e = daemon_ask(c->conf->listen.socket, cmd, name, MINT_TIMEOUT_MS, &answer, &msg);
    if (e == ERR_INVALID)
        return cli_fail(c, EX_FAILED, "%s of %.64s failed: %s", cmd, name, msg.text);
    if (e != ERR_OK)
        return cli_fail_err(c, e == ERR_IO || e == ERR_PROTOCOL ? ERR_REFUSED : e, &msg);
    if (!cJSON_GetObjectItemCaseSensitive(answer, "account"))
        json_z(answer, "account", name);
    return cli_record(c, answer_columns, answer);
}

static int run_refresh(struct cli *c)
{
    return ask(c, "refresh");
}

static int run_test(struct cli *c)
{
    return ask(c, "test");
}

const struct command command_account_refresh = {
    "account", "refresh", "NAME",     "mint a token now (needs the daemon)", NULL, NULL, 1,
    1,         true,      run_refresh};
const struct command command_account_test = {
    "account", "test", "NAME",  "does its key work? (needs the daemon)", NULL, NULL, 1,
    1,         true,   run_test};
