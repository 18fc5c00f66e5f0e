/* import: the files of the old system, read first and completely; then one transaction. */
#include "base/check.h"
#include "base/mem.h"
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/import.h"
#include "cli/input.h"
#include "conf/conf.h"
#include "keys/keyfile.h"
#include "policy/policy.h"
#include "store/store.h"

#include <stdlib.h>
#include <unistd.h>

struct job {
    struct legacy_map map;
    struct import im;
    struct sbuf app; /* lines for --app */
    char first_broken[300];
    int broken;
    char folder[64]; /* of the store that a dry run makes for itself, "" none */
};

/* ---- reading ---- */

static void add_broken(struct job *j, const char *what, const char *name, const char *why,
                       size_t clients)
{
    import_row(&j->im, what, name, "broken", "%s; touches %zu client%s", why, clients,
               clients == 1 ? "" : "s");
    if (j->broken++ == 0)
        snprintf(j->first_broken, sizeof j->first_broken, "%.100s: %.150s", name, why);
}

/* The file, without a word on stderr when it cannot be had. */
static enum err read_quietly(struct cli *c, const char *dir, struct slice file, struct sbuf *out)
{
    char path[4096];
    snprintf(path, sizeof path, "%.3800s/%s", dir, file.p);
    if (access(path, F_OK) != 0)
        return ERR_NOT_FOUND;
    FILE *talk = c->talk;
    c->talk = fopen("/dev/null", "we");
    int code = c->talk ? input_read(c, path, out) : EX_FAILED;
    if (c->talk)
        (void)fclose(c->talk);
    c->talk = talk;
    return code == 0 ? ERR_OK : code == EX_DATAERR ? ERR_TOO_LARGE : ERR_DENIED;
}

static void read_key(struct cli *c, struct job *j, size_t i, const char *dir)
{
    const struct legacy_account *a = &j->map.accounts[i];
    struct sbuf json;
    struct errmsg msg = {0};
    sbuf_init(&json, KEYFILE_MAX);
    enum err e = read_quietly(c, dir, a->file, &json);
    if (e == ERR_NOT_FOUND)
        err_set(&msg, e, "missing in %.200s", dir);
    else if (e != ERR_OK)
        err_set(&msg, e, "unreadable or larger than %d bytes", KEYFILE_MAX);
    else
        e = keyfile_parse(sbuf_slice(&json), (const char *const *)c->conf->oauth.token_uri_allow.v,
                          c->conf->oauth.token_uri_allow.n, &j->im.accounts[i].key, &msg);
    if (e != ERR_OK)
        add_broken(j, "key file", a->file.p, msg.text, a->clients);
    sbuf_finish_wipe(&json);
}

static void read_token(struct cli *c, struct job *j, size_t i, const char *dir)
{
    struct import_account *f = &j->im.accounts[i];
    struct sbuf json;
    struct errmsg msg = {0};
    sbuf_init(&json, 1 << 16);
    enum err e = read_quietly(c, dir, j->map.accounts[i].file, &json);
    if (e == ERR_OK)
        e = legacy_token(sbuf_slice(&json), &f->token, &f->token_expires_at, &msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        import_row(&j->im, "token", j->map.accounts[i].name, "skipped", "%s",
                   msg.text[0] ? msg.text : "unreadable");
    sbuf_finish_wipe(&json);
}

/* Model rows decide where a real token goes: each domain must be one that may be swapped. */
static int check_domains(struct cli *c, struct job *j)
{
    struct policy *p = NULL;
    struct errmsg msg = {0};
    enum err e = policy_create(c->conf, &p, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    int code = 0;
    for (size_t i = 0; code == 0 && i < j->map.account_count; i++)
        for (size_t k = 0; code == 0 && k < j->map.accounts[i].model_count; k++) {
            struct slice d = j->map.accounts[i].models[k].domain;
            struct authority a;
            if (d.n == 0 || (authority_parse(d, 443, &a) == ERR_OK && a.port == 443 && !a.is_ip &&
                             policy_is_swap_domain(p, authority_host(&a))))
                continue;
            code = cli_fail(c, EX_DATAERR,
                            "%s: the domain %.100s lies outside policy.swap_domains, where no real "
                            "token may go; nothing was imported",
                            j->map.accounts[i].file.p, d.p);
        }
    policy_destroy(p);
    return code;
}

static int read_app(struct cli *c, struct job *j)
{
    struct sbuf json;
    struct errmsg msg = {0};
    const char *path = args_get(&c->args, "--app");
    if (!path)
        return 0;
    sbuf_init(&json, LEGACY_MAX);
    int code = input_read(c, path, &json);
    if (code == 0 && legacy_app(sbuf_slice(&json), &j->app, &msg) != ERR_OK)
        code = cli_fail(c, EX_DATAERR, "%s: %s", path, msg.text);
    sbuf_finish(&json);
    return code;
}

static int read_map(struct cli *c, struct job *j)
{
    struct sbuf json;
    struct errmsg msg = {0};
    const char *path = args_operand(&c->args, 0);
    sbuf_init(&json, LEGACY_MAX);
    int code = input_read(c, path, &json);
    if (code == 0 && legacy_parse(sbuf_slice(&json), &j->map, &msg) != ERR_OK)
        code = cli_fail(c, EX_DATAERR, "%s: %s", path, msg.text);
    sbuf_finish_wipe(&json);
    return code;
}

static int read_files(struct cli *c, struct job *j)
{
    const char *keys = args_get(&c->args, "--keys"), *tokens = args_get(&c->args, "--tokens");
    int code = read_map(c, j);
    if (code == 0)
        code = check_domains(c, j);
    if (code == 0)
        code = read_app(c, j);
    if (code)
        return code;
    j->im.accounts = mem_calloc(j->map.account_count + 1, sizeof *j->im.accounts);
    if (!j->im.accounts)
        return cli_fail_err(c, ERR_NOMEM, NULL);
    for (size_t i = 0; i < j->map.account_count; i++) {
        sbuf_init(&j->im.accounts[i].token, 1 << 15);
        read_key(c, j, i, keys);
        if (tokens)
            read_token(c, j, i, tokens);
    }
    return 0;
}

/* ---- store ---- */

/* A dry run must leave nothing behind, so where there is no store yet it works on one of its own.
 */
static int open_for_dry_run(struct cli *c, struct job *j)
{
    unsigned char bytes[MASTER_KEY_SIZE];
    struct errmsg msg = {0};
    char path[80], key_path[4096];
    bool has_key = access(cli_key_path(c, key_path, sizeof key_path), F_OK) == 0;
    if (access(c->conf->store_path, F_OK) == 0 && has_key) {
        int code = cli_writes(c);
        return code ? code : cli_key(c);
    }
    snprintf(j->folder, sizeof j->folder, "/tmp/credswap-dry-XXXXXX");
    if (!mkdtemp(j->folder)) {
        j->folder[0] = '\0';
        return cli_fail(c, EX_CANTCREAT, "no folder could be made in /tmp for the dry run");
    }
    snprintf(path, sizeof path, "%s/db", j->folder);
    random_bytes(bytes, sizeof bytes);
    enum err e = master_key_new(slice_make(bytes, sizeof bytes), &c->key);
    if (e == ERR_OK)
        e = store_open(path, STORE_CREATE | STORE_PATIENT, &c->store, &msg);
    if (e == ERR_OK)
        e = store_migrate(c->store, &msg);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

static void close_dry_run(struct cli *c, struct job *j)
{
    static const char *const names[] = {"db", "db-wal", "db-shm", "db.lock"};
    char path[96];
    if (!j->folder[0])
        return;
    store_close(c->store);
    c->store = NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", j->folder, names[i]);
        unlink(path);
    }
    rmdir(j->folder);
}

static int open_store(struct cli *c, struct job *j, bool is_dry)
{
    if (is_dry)
        return open_for_dry_run(c, j);
    int code = cli_key(c);
    return code ? code : cli_writes(c);
}

static int apply(struct cli *c, struct job *j, bool is_dry)
{
    struct errmsg msg = {0};
    char what[200];
    j->im.store = c->store;
    j->im.key = c->key;
    enum err e = store_change_begin(c->store, &msg);
    if (e == ERR_OK) {
        e = import_apply(&j->im, &msg);
        if (e != ERR_OK || is_dry)
            store_rollback(c->store);
    }
    if (e == ERR_OK && !is_dry) {
        snprintf(what, sizeof what,
                 "import: %zu accounts, %zu pools, %zu clients in the map; %d changes",
                 j->map.account_count, j->map.pool_count, j->map.client_count, j->im.changes);
        e = store_change_commit(c->store, slice_of(c->who), slice_of(what), NULL, &msg);
    }
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

/* ---- the report ---- */

static const struct column plan_columns[] = {{"what", "WHAT", COLUMN_TEXT},
                                             {"name", "NAME", COLUMN_TEXT},
                                             {"action", "ACTION", COLUMN_TEXT},
                                             {"detail", "DETAIL", COLUMN_TEXT},
                                             {NULL, NULL, COLUMN_TEXT}};

static void report(struct cli *c, struct job *j, bool is_dry)
{
    if (c->args.json) {
        cJSON *o = json_object();
        json_flag(o, "dry_run", is_dry);
        json_int(o, "changes", j->im.changes);
        json_int(o, "broken", j->broken);
        json_add(o, "rows", j->im.rows);
        json_z(o, "config", j->app.n ? sbuf_z(&j->app) : NULL);
        json_print(c->out, o);
        cJSON_Delete(o);
    } else {
        table_print(c->out, plan_columns, j->im.rows, c->now_s);
        if (j->app.n)
            fprintf(c->out, "\n# for credswap.conf:\n%s", sbuf_z(&j->app));
        cJSON_Delete(j->im.rows);
    }
    j->im.rows = NULL;
}

static int import_all(struct cli *c, struct job *j)
{
    bool is_dry = args_get(&c->args, "--dry-run") != NULL;
    bool skips = args_get(&c->args, "--skip-broken") != NULL;
    int code = read_files(c, j);
    if (code)
        return code;
    if (j->broken && !skips) {
        report(c, j, is_dry);
        return cli_fail(c, EX_DATAERR,
                        "%d key file%s cannot be used (%s), so nothing was imported; mend %s, or "
                        "leave %s out with --skip-broken",
                        j->broken, j->broken == 1 ? "" : "s", j->first_broken,
                        j->broken == 1 ? "it" : "them", j->broken == 1 ? "it" : "them");
    }
    code = open_store(c, j, is_dry);
    if (code == 0)
        code = apply(c, j, is_dry);
    if (code)
        return code;
    report(c, j, is_dry);
    if (!c->args.json)
        fprintf(c->out, "%d change%s%s\n", j->im.changes, j->im.changes == 1 ? "" : "s",
                is_dry ? " would be made (dry run)" : "");
    return 0;
}

static int run_import(struct cli *c)
{
    struct job j = {.im = {.now_s = c->now_s}};
    if (!args_get(&c->args, "--keys"))
        return cli_fail(c, EX_USAGE,
                        "where are the key files? give --keys DIR (data/json of the old system)");
    int code = cli_conf(c);
    if (code)
        return code;
    j.im.rows = json_array();
    j.im.map = &j.map;
    sbuf_init(&j.app, 1 << 16);
    code = import_all(c, &j);
    close_dry_run(c, &j);
    for (size_t i = 0; j.im.accounts && i < j.map.account_count; i++) {
        keyfile_destroy(j.im.accounts[i].key);
        sbuf_finish_wipe(&j.im.accounts[i].token);
    }
    mem_free(j.im.accounts);
    cJSON_Delete(j.im.rows);
    sbuf_finish(&j.app);
    legacy_finish(&j.map);
    return code;
}

static const struct option_def import_options[] = {
    {"--keys", "DIR", "the key files, data/json of the old system"},
    {"--tokens", "DIR", "its token cache, data/jwt: tokens still good are taken over"},
    {"--app", "FILE", "its app_config.json: prints the lines for our configuration"},
    {"--dry-run", NULL, "print the plan, change nothing"},
    {"--skip-broken", NULL, "import the rest when a key file is missing or broken"},
    {NULL, NULL, NULL}};
const struct command command_import = {
    "import",
    NULL,
    "MAP-CONFIG.json",
    "take over accounts, pools and clients of the OpenResty system",
    "Adds what is missing and touches nothing that is there, so a second run changes nothing.\n",
    import_options,
    1,
    1,
    true,
    run_import};
