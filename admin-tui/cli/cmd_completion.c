/* completion: scripts for three shells, and the names from the store that those ask for. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "conf/conf.h"
#include "store/account.h"
#include "store/client.h"
#include "store/pool.h"
#include "store/rule.h"
#include "store/store.h"

/* Another program may have written the store: only what is a name goes to a shell. */
static enum err put_name(void *arg, struct slice name, bool is_good)
{
    struct cli *c = arg;
    if (is_good)
        fprintf(c->out, "%.*s\n", (int)name.n, name.p);
    return ERR_OK;
}

static enum err on_account(void *arg, const struct account *a)
{
    return put_name(arg, a->name, name_is_valid(a->name));
}

static enum err on_client(void *arg, const struct client *cl)
{
    return put_name(arg, cl->name, name_is_valid(cl->name));
}

static enum err on_pool(void *arg, const struct pool *p)
{
    return put_name(arg, p->name, name_is_valid(p->name));
}

static enum err on_rule(void *arg, const struct rule *r)
{
    return put_name(arg, r->pattern, rule_pattern_is_valid(r->pattern));
}

/* Somebody waits for the answer with a finger on the key: nothing is waited for, made or said, and
 * what cannot be read has no names. */
static int print_names(struct cli *c, const char *kind)
{
    enum err e = conf_load(c->args.config, &c->conf, NULL);
    if (e == ERR_OK)
        e = store_open(c->conf->store_path, STORE_READ_ONLY | STORE_ALLOW_NEWER, &c->store, NULL);
    if (e != ERR_OK)
        return 0;
    if (strcmp(kind, "account") == 0)
        e = account_list(c->store, on_account, c, NULL);
    else if (strcmp(kind, "client") == 0)
        e = client_list(c->store, on_client, c, NULL);
    else if (strcmp(kind, "pool") == 0)
        e = pool_list(c->store, on_pool, c, NULL);
    else if (strcmp(kind, "host") == 0)
        e = rule_list(c->store, on_rule, c, NULL);
    (void)e; /* the names that came are good */
    return 0;
}

static int run_completion(struct cli *c)
{
    const char *word = args_operand(&c->args, 0), *kind = args_operand(&c->args, 1);
    enum completion_shell shell;
    struct sbuf script;
    if (strcmp(word, "names") == 0 && kind)
        return print_names(c, kind);
    if (kind || !completion_shell_from(word, &shell))
        return cli_fail(c, EX_USAGE, "\"%.40s\" is none of bash, zsh, fish", kind ? kind : word);
    sbuf_init(&script, 1 << 20);
    completion_print(&console_commands, shell, &script);
    (void)fwrite(sbuf_z(&script), 1, script.n, c->out);
    bool is_whole = !script.failed;
    sbuf_finish(&script);
    return is_whole ? 0 : cli_fail_err(c, ERR_NOMEM, NULL);
}

const struct command command_completion = {
    "completion",
    NULL,
    "bash|zsh|fish",
    "print the script that lets a shell complete these commands",
    "  bash  eval \"$(credswap completion bash)\"                 in ~/.bashrc\n"
    "  zsh   credswap completion zsh >~/.zfunc/_credswap        a folder of fpath\n"
    "  fish  credswap completion fish >~/.config/fish/completions/credswap.fish\n"
    "An installed credswap has them in their places already.\n",
    NULL,
    1,
    2,
    false,
    run_completion};
