/* host list|set|rm|test and model list|set|rm. */
#include "base/clock.h"
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/host_look.h"
#include "cli/rows.h"
#include "conf/conf.h"
#include "policy/policy.h"
#include "route/route.h"
#include "store/model.h"
#include "store/rule.h"
#include "store/snapshot.h"

static const struct column list_columns[] = {{"pattern", "HOST", COLUMN_TEXT},
                                             {"action", "ACTION", COLUMN_TEXT},
                                             {"api", "API", COLUMN_TEXT},
                                             {"paths", "PATHS", COLUMN_LIST},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_rules(c->store, &rows, &msg);
    return e == ERR_OK ? cli_list(c, list_columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_host_list = {
    "host", "list", "", "the rules, the one that decides first", NULL, NULL, 0, 0, true, run_list};

/* ---- set ---- */

struct setting {
    char pattern[256];
    enum rule_action action;
    enum api api;
    struct slice paths;
};

static enum err set_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct setting *x = arg;
    return rule_set(c->store, slice_of(x->pattern), x->action, x->api, x->paths, msg);
}

/* The API that a pattern of one of the known providers speaks. */
static enum api guess_api(struct slice pattern)
{
    static const struct {
        const char *end;
        enum api api;
    } known[] = {{"generativelanguage.googleapis.com", API_GEMINI},
                 {"aiplatform.googleapis.com", API_VERTEX},
                 {"rep.googleapis.com", API_VERTEX},
                 {"anthropic.com", API_ANTHROPIC}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_ends(pattern, slice_of(known[i].end)))
            return known[i].api;
    return API_NONE;
}

static int check_swap(struct cli *c, struct setting *x)
{
    struct policy *p = NULL;
    struct errmsg msg = {0};
    struct slice host = slice_of(x->pattern);
    const char *api = args_get(&c->args, "--api");
    x->api = guess_api(host);
    if (api && !api_from(slice_of(api), &x->api))
        return cli_fail(c, EX_USAGE, "--api %.40s is none of gemini, vertex, anthropic", api);
    if (x->api == API_NONE)
        return cli_fail(c, EX_USAGE,
                        "which API does %.80s speak? give --api gemini, vertex or anthropic",
                        x->pattern);
    enum err e = policy_create(c->conf, &p, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    if (host.n && host.p[0] == '*')
        host =
            slice_sub(host, host.n > 1 && (host.p[1] == '.' || host.p[1] == '-') ? 2 : 1, host.n);
    bool is_inside = host.n && policy_is_swap_domain(p, host);
    policy_destroy(p);
    return is_inside ? 0
                     : cli_fail(c, EX_DATAERR,
                                "%.80s lies outside policy.swap_domains, where no real token may "
                                "go; add its domain there first",
                                x->pattern);
}

static int run_set(struct cli *c)
{
    struct setting x = {.paths = cli_option(c, "--paths")};
    const char *pattern = args_operand(&c->args, 0), *action = args_operand(&c->args, 1);
    char what[512];
    bool is_changed = false;
    size_t n = strlen(pattern);
    for (size_t i = 0; i < n && i < sizeof x.pattern - 1; i++)
        x.pattern[i] = ascii_lower(pattern[i]);
    if (n >= sizeof x.pattern || !rule_pattern_is_valid(slice_of(x.pattern)))
        return cli_fail(c, EX_USAGE,
                        "\"%.80s\" is no host pattern; use host, *.domain, *-suffix or *", pattern);
    if (!rule_action_from(slice_of(action), &x.action))
        return cli_fail(c, EX_USAGE, "\"%.40s\" is none of swap, tunnel, deny", action);
    if (x.action != RULE_SWAP && (args_get(&c->args, "--api") || x.paths.p))
        return cli_fail(c, EX_USAGE, "--api and --paths are for swap rules");
    int code = cli_writes(c);
    if (code == 0 && x.action == RULE_SWAP)
        code = check_swap(c, &x);
    if (code)
        return code;
    if (!x.paths.p)
        x.paths = SLICE("");
    snprintf(what, sizeof what, "host %.100s: %s%s%s%s%.200s", x.pattern,
             rule_action_name(x.action), x.api ? " " : "", x.api ? api_name(x.api) : "",
             x.paths.n ? " paths " : "", x.paths.p);
    code = cli_change(c, set_change, &x, what, &is_changed);
    if (code == 0)
        cli_say(c, "%s%s", what, is_changed ? "" : " (was so already)");
    return code;
}

static const struct option_def set_options[] = {
    {"--api", "gemini|vertex|anthropic", "swap: which one it speaks (known for their own hosts)"},
    {"--paths", "'GLOB,...'", "swap: the paths served instead of the API's own; '*' all"},
    {NULL, NULL, NULL}};
const struct command command_host_set = {
    "host",
    "set",
    "PATTERN swap|tunnel|deny",
    "what happens to a CONNECT for these hosts",
    "A pattern is host, *.domain, *-suffix or *; whole names decide before patterns.\n"
    "  credswap host set '*.github.com' tunnel\n",
    set_options,
    2,
    2,
    false,
    run_set};

static enum err rm_change(struct cli *c, void *arg, struct errmsg *msg)
{
    return rule_remove(c->store, slice_of(arg), msg);
}

static int run_rm(struct cli *c)
{
    char pattern[256], what[300];
    snprintf(pattern, sizeof pattern, "%s", args_operand(&c->args, 0));
    snprintf(what, sizeof what, "host %.200s: rule removed", pattern);
    int code = cli_writes(c);
    if (code == 0)
        code = cli_change(c, rm_change, pattern, what, NULL);
    if (code == 0)
        cli_say(c, "%s", what);
    return code;
}

const struct command command_host_rm = {"host", "rm", "PATTERN", "remove a rule", NULL,
                                        NULL,   1,    1,         false,           run_rm};

/* ---- test ---- */

static const struct column test_columns[] = {{"host", "host", COLUMN_TEXT},
                                             {"port", "port", COLUMN_NUMBER},
                                             {"verdict", "verdict", COLUMN_TEXT},
                                             {"reason", "because of", COLUMN_TEXT},
                                             {"rule", "rule", COLUMN_TEXT},
                                             {"api", "api", COLUMN_TEXT},
                                             {"dialled_as", "dialled as", COLUMN_TEXT},
                                             {"eligible_accounts", "accounts now", COLUMN_NUMBER},
                                             {NULL, NULL, COLUMN_TEXT}};

static enum err fill_look(cJSON *o, const struct policy *p, const struct snapshot *s,
                          const struct authority *a)
{
    struct host_look l;
    struct health *h = NULL;
    int64_t now_ms = clock_wall_ms();
    host_look(p, s, a, &l);
    json_text(o, "host", authority_host(a));
    json_int(o, "port", a->port);
    json_z(o, "verdict", l.word);
    json_z(o, "reason", l.reason);
    json_text(o, "rule", l.rule ? l.rule->pattern : (struct slice){NULL, 0});
    json_z(o, "api", l.rule && l.rule->api ? api_name(l.rule->api) : NULL);
    json_z(o, "dialled_as", *l.dialled_as ? l.dialled_as : NULL);
    if (l.verdict != VERDICT_SWAP)
        return ERR_OK;
    enum err e = host_look_health(s, now_ms, &h);
    if (e == ERR_OK)
        json_int(o, "eligible_accounts", host_look_accounts(s, &l, h, now_ms));
    health_destroy(h);
    return e;
}

static int run_test(struct cli *c)
{
    struct authority a;
    struct errmsg msg = {0};
    struct policy *p = NULL;
    struct snapshot *s = NULL;
    size_t bad = 0;
    const char *text = args_operand(&c->args, 0);
    if (authority_parse(slice_of(text), 443, &a) != ERR_OK)
        return cli_fail(c, EX_DATAERR,
                        "\"%.80s\" is no host[:port]; the proxy would refuse it with 400", text);
    int code = cli_reads(c);
    if (code == 0)
        code = cli_key(c);
    if (code)
        return code;
    enum err e = policy_create(c->conf, &p, &msg);
    if (e == ERR_OK)
        e = snapshot_load(c->store, c->key, &s, &bad, &msg);
    cJSON *o = json_object();
    if (e == ERR_OK)
        e = fill_look(o, p, s, &a);
    code = e == ERR_OK ? cli_record(c, test_columns, o) : cli_fail_err(c, e, &msg);
    if (e != ERR_OK)
        cJSON_Delete(o);
    snapshot_unref(&s);
    policy_destroy(p);
    return code;
}

const struct command command_host_test = {
    "host", "test", "HOST[:PORT]", "what would happen to a CONNECT, and why", NULL, NULL, 1,
    1,      true,   run_test};

/* ---- model rows ---- */

static const struct column model_columns[] = {{"account", "ACCOUNT", COLUMN_TEXT},
                                              {"model", "MODEL", COLUMN_TEXT},
                                              {"domain", "DOMAIN", COLUMN_TEXT},
                                              {NULL, NULL, COLUMN_TEXT}};

static int run_model_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_models(c->store, slice_of(args_operand(&c->args, 0)), &rows, &msg);
    return e == ERR_OK ? cli_list(c, model_columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_model_list = {
    "model", "list", "[ACCOUNT]",   "which models each account serves, and where", NULL, NULL, 0,
    1,       true,   run_model_list};

static enum err model_set_change(struct cli *c, void *arg, struct errmsg *msg)
{
    return model_set(c->store, slice_of(args_operand(&c->args, 0)),
                     slice_of(args_operand(&c->args, 1)), *(struct slice *)arg, msg);
}

/* "" is the request's own host; everything else must be a swap host. */
static int check_domain(struct cli *c, struct slice domain)
{
    struct policy *p = NULL;
    struct authority a;
    struct errmsg msg = {0};
    if (domain.n == 0)
        return 0;
    if (authority_parse(domain, 443, &a) != ERR_OK || a.is_ip || a.port != 443)
        return cli_fail(c, EX_USAGE, "\"%.80s\" is no host name", domain.p);
    enum err e = policy_create(c->conf, &p, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    bool is_inside = policy_is_swap_domain(p, authority_host(&a));
    policy_destroy(p);
    return is_inside
               ? 0
               : cli_fail(c, EX_DATAERR,
                          "%.80s lies outside policy.swap_domains, where no real token may go",
                          domain.p);
}

static int run_model_set(struct cli *c)
{
    char what[512];
    bool is_changed = false;
    const char *text = args_operand(&c->args, 2);
    struct slice domain = text ? slice_of(text) : SLICE("");
    int code = cli_writes(c);
    if (code == 0)
        code = check_domain(c, domain);
    if (code)
        return code;
    snprintf(what, sizeof what, "model %.128s of %.64s: %s%.200s", args_operand(&c->args, 1),
             args_operand(&c->args, 0), domain.n ? "at " : "at the request's host", domain.p);
    code = cli_change(c, model_set_change, &domain, what, &is_changed);
    if (code == 0)
        cli_say(c, "%s%s", what, is_changed ? "" : " (was so already)");
    return code;
}

const struct command command_model_set = {
    "model",
    "set",
    "ACCOUNT MODEL [DOMAIN]",
    "an account serves a model, at a domain of its own",
    "  credswap model set team-1 'gemini-*' europe-west4-aiplatform.googleapis.com\n"
    "Without rows an account serves every model of its kind; with rows only these.\n",
    NULL,
    2,
    3,
    false,
    run_model_set};

static enum err model_rm_change(struct cli *c, void *arg, struct errmsg *msg)
{
    (void)arg;
    return model_remove(c->store, slice_of(args_operand(&c->args, 0)),
                        slice_of(args_operand(&c->args, 1)), msg);
}

static int run_model_rm(struct cli *c)
{
    char what[300];
    snprintf(what, sizeof what, "model %.128s of %.64s: removed", args_operand(&c->args, 1),
             args_operand(&c->args, 0));
    int code = cli_writes(c);
    if (code == 0)
        code = cli_change(c, model_rm_change, NULL, what, NULL);
    if (code == 0)
        cli_say(c, "%s", what);
    return code;
}

const struct command command_model_rm = {
    "model", "rm", "ACCOUNT MODEL", "remove a model row", NULL, NULL, 2, 2, false, run_model_rm};
