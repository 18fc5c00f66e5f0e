/* env, config show|sample. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/env.h"
#include "cli/handout.h"
#include "cli/input.h"
#include "conf/conf.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static void absolute(const char *path, char *buf, size_t size)
{
    char real[PATH_MAX];
    snprintf(buf, size, "%s", realpath(path, real) ? real : path);
}

static int render(struct cli *c, enum env_shell shell, struct slice pem)
{
    char hostname[256], ca[4096], bundle[4096];
    struct env_facts f = {.ca_pem = pem, .ca_path = ca, .bundle_path = bundle};
    struct errmsg msg = {0};
    const char *wanted = args_get(&c->args, "--bundle");
    enum err e = env_proxy(c->conf, handout_hostname(hostname), f.proxy, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    absolute(c->conf->ca.cert, ca, sizeof ca);
    if (wanted)
        snprintf(bundle, sizeof bundle, "%s", wanted);
    else
        snprintf(bundle, sizeof bundle, "%.4000s.bundle", ca);
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    e = env_render(&f, shell, &out);
    if (e == ERR_OK)
        (void)fwrite(out.p, 1, out.n, c->out);
    sbuf_finish(&out);
    if (e == ERR_INVALID)
        return cli_fail(c, EX_CONFIG,
                        "the address %s or a path holds characters that a shell might take apart; "
                        "set listen.advertise, ca.cert or --bundle",
                        f.proxy);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, NULL);
}

static int run_env(struct cli *c)
{
    enum env_shell shell = ENV_SH;
    struct sbuf pem;
    const char *name = args_get(&c->args, "--shell");
    if (name && !env_shell_from(name, &shell))
        return cli_fail(c, EX_USAGE,
                        "--shell %.40s is none of sh, fish, powershell, dotenv, github, gitlab",
                        name);
    int code = cli_conf(c);
    if (code)
        return code;
    if (access(c->conf->ca.cert, F_OK) != 0)
        return cli_fail(c, EX_NOINPUT, "there is no CA at %s; credswap ca init makes one",
                        c->conf->ca.cert);
    sbuf_init(&pem, 1 << 20);
    code = input_read(c, c->conf->ca.cert, &pem);
    if (code == 0)
        code = render(c, shell, sbuf_slice(&pem));
    sbuf_finish(&pem);
    return code;
}

static const struct option_def env_options[] = {
    {"--shell", "sh|fish|powershell|dotenv|github|gitlab", "default sh"},
    {"--bundle", "FILE", "dotenv: roots of the system and our CA in one file"},
    {NULL, NULL, NULL}};
const struct command command_env = {
    "env",
    NULL,
    "",
    "print the variables that clients need, as a script",
    "  eval \"$(credswap env)\"                  this shell, on this machine\n"
    "  credswap env --shell github >ci/env.sh  the CA is inside; commit it\n",
    env_options,
    0,
    0,
    false,
    run_env};

static int run_show(struct cli *c)
{
    int code = cli_conf(c);
    if (code == 0)
        conf_dump(c->conf, c->out, args_get(&c->args, "--origin") != NULL, c->args.json);
    return code;
}

static const struct option_def show_options[] = {
    {"--origin", NULL, "where each value came from: default, file:line, variable"},
    {NULL, NULL, NULL}};
const struct command command_config_show = {
    "config", "show", "",      "the configuration that counts", NULL, show_options, 0,
    0,        true,   run_show};

static int run_sample(struct cli *c)
{
    conf_print_sample(c->out);
    return 0;
}

const struct command command_config_sample = {
    "config", "sample",  "", "a configuration file with every option and its default",
    NULL,     NULL,      0,  0,
    false,    run_sample};
