/* account key: another key for an account that is there. */
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/keyinfo.h"

#include <stdio.h>

struct replacement {
    struct slice name, key, key_id;
    enum account_kind kind;
    char email[321];
};

static enum err on_account(void *arg, const struct account *a)
{
    struct replacement *r = arg;
    r->kind = a->kind;
    return slice_copy(a->email, r->email, sizeof r->email) ? ERR_OK : ERR_TOO_LARGE;
}

static enum err replace(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct replacement *r = arg;
    return account_set_key(c->store, c->key, r->name, r->key, r->key_id, msg);
}

static int put_key(struct cli *c, struct replacement *r)
{
    char what[128];
    snprintf(what, sizeof what, "account %.64s: key replaced", r->name.p);
    int code = cli_key(c);
    if (code == 0)
        code = cli_change(c, replace, r, what, NULL);
    if (code == 0)
        cli_say(c, "%s", what);
    return code;
}

/* The key of another service account would send its requests under a name that is not its own. */
static int from_file(struct cli *c, struct replacement *r, const char *path)
{
    struct keyfile *k = NULL;
    int code = keyinfo_read(c, path, &k);
    if (code == 0 && *r->email && strcmp(k->client_email, r->email) != 0)
        code = cli_fail(
            c, EX_DATAERR,
            "that is the key of %.200s, and account %.64s is %.200s; add it as an account of "
            "its own",
            k->client_email, r->name.p, r->email);
    if (code == 0) {
        r->key = secret_bytes(k->private_key);
        r->key_id = slice_of(k->private_key_id);
        code = put_key(c, r);
    }
    if (code == 0)
        keyinfo_warn_mode(c, path);
    keyfile_destroy(k);
    return code;
}

static int from_input(struct cli *c, struct replacement *r, const char *path)
{
    struct sbuf key;
    if (strcmp(path, "-") != 0)
        return cli_fail(c, EX_USAGE,
                        "an API key is read from standard input only: end the command with -");
    sbuf_init(&key, 4096);
    int code = input_secret(c, "the API key", &key);
    if (code == 0 && !keyinfo_is_api_key(sbuf_slice(&key)))
        code = cli_fail(c, EX_DATAERR,
                        "standard input holds no API key: 8 to 4096 visible characters are wanted, "
                        "nothing else");
    r->key = sbuf_slice(&key);
    if (code == 0)
        code = put_key(c, r);
    sbuf_finish_wipe(&key);
    return code;
}

static int run_key(struct cli *c)
{
    struct errmsg msg = {0};
    const char *path = args_operand(&c->args, 1);
    struct replacement r = {.name = slice_of(args_operand(&c->args, 0))};
    int code = cli_writes(c);
    if (code)
        return code;
    enum err e = account_get(c->store, r.name, on_account, &r, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    return r.kind == ACCOUNT_API_KEY ? from_input(c, &r, path) : from_file(c, &r, path);
}

const struct command command_account_key = {
    "account",
    "key",
    "NAME KEYFILE.json|-",
    "give it another key of the same service account",
    "  its cached token is dropped; an API key is read from standard input (-)\n",
    NULL,
    2,
    2,
    false,
    run_key};
