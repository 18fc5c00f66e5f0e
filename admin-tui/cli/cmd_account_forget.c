/* account forget: a cached token is dropped, in the store and in the running daemon. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "conf/conf.h"
#include "store/account.h"
#include "store/event.h"
#include "store/store.h"
#include "store/token.h"

#define FORGET_TIMEOUT_MS 5000

struct known {
    int64_t id;
    enum account_kind kind;
};

static enum err on_account(void *arg, const struct account *a)
{
    struct known *k = arg;
    *k = (struct known){a->id, a->kind};
    return ERR_OK;
}

struct dropping {
    int64_t id;
    const char *what;
};

static enum err forget_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct dropping *d = arg;
    enum err e = token_drop_all(c->store, d->id, msg);
    if (e == ERR_OK) /* tokens are no configuration, so the row is written by hand */
        e = event_audit(c->store, slice_of(c->who), slice_of(d->what), SLICE(""), SLICE(""), NULL,
                        msg);
    return e;
}

/* The store first: a proxy that has nothing in memory looks there next. */
static int forget_in_daemon(struct cli *c, const char *name)
{
    struct errmsg msg = {0};
    cJSON *answer = NULL;
    enum err e =
        daemon_ask(c->conf->listen.socket, "forget", name, FORGET_TIMEOUT_MS, &answer, &msg);
    cJSON_Delete(answer);
    if (e == ERR_OK)
        cli_say(c, "token of %.64s forgotten, in the store and in the running daemon", name);
    else if (e == ERR_REFUSED)
        cli_say(c, "token of %.64s forgotten in the store; no daemon runs here that has a copy",
                name);
    else
        return cli_fail(c, EX_FAILED,
                        "token of %.64s is forgotten in the store, but the daemon may still use "
                        "its copy: %s",
                        name, msg.text);
    return 0;
}

static int run_forget(struct cli *c)
{
    struct known a = {0};
    struct errmsg msg = {0};
    char what[160];
    const char *name = args_operand(&c->args, 0);
    int code = cli_writes(c);
    if (code)
        return code;
    enum err e = account_get(c->store, slice_of(name), on_account, &a, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    if (a.kind == ACCOUNT_API_KEY)
        return cli_fail(c, EX_DATAERR,
                        "%.64s is an API key: it goes out as it is, there is no token to forget",
                        name);
    snprintf(what, sizeof what, "account %.64s: token forgotten", name);
    struct dropping d = {a.id, what};
    code = cli_change(c, forget_change, &d, what, NULL);
    return code ? code : forget_in_daemon(c, name);
}

const struct command command_account_forget = {
    "account",
    "forget",
    "NAME",
    "drop its cached token; the next request mints one",
    "Proxies on other machines keep their copy until it ends. The token stays good at\n"
    "Google until then: to end that, delete the key in IAM.\n",
    NULL,
    1,
    1,
    false,
    run_forget};
