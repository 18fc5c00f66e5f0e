/* ca init|show|export|rotate|install|uninstall. init also makes what else a first start needs:
 * master key and store. */
#include "base/check.h"
#include "base/mem.h"
#include "base/seal.h"
#include "cli/ca_facts.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/env.h"
#include "cli/handout.h"
#include "cli/input.h"
#include "cli/rows.h"
#include "conf/conf.h"
#include "keys/ca.h"
#include "store/account.h"
#include "store/client.h"
#include "store/event.h"
#include "store/store.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEM_FILE_MAX (1 << 20)

/* ---- init: master key ---- */

static enum err one_more_account(void *arg, const struct account *a)
{
    (void)a;
    ++*(int *)arg;
    return ERR_OK;
}

static enum err one_more_client(void *arg, const struct client *cl)
{
    (void)cl;
    ++*(int *)arg;
    return ERR_OK;
}

/* A store whose values were sealed with a key that is gone must not get another one. */
static int check_orphans(struct cli *c, const char *key_path)
{
    struct errmsg msg = {0};
    int sealed = 0;
    if (access(c->conf->store_path, F_OK) != 0)
        return 0;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = account_list(c->store, one_more_account, &sealed, &msg);
    if (e == ERR_OK)
        e = client_list(c->store, one_more_client, &sealed, &msg);
    store_close(c->store);
    c->store = NULL;
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    return sealed == 0 ? 0
                       : cli_fail(c, EX_CONFIG,
                                  "the master key %s is missing, but %s holds values sealed with "
                                  "it; bring the key file back from your backup",
                                  key_path, c->conf->store_path);
}

static int init_master_key(struct cli *c, bool *ret_made)
{
    char path[4096];
    unsigned char bytes[MASTER_KEY_SIZE];
    struct errmsg msg = {0};
    cli_key_path(c, path, sizeof path);
    if (access(path, F_OK) == 0)
        return cli_key(c);
    int code = check_orphans(c, path);
    if (code)
        return code;
    random_bytes(bytes, sizeof bytes);
    enum err e = output_folder(path, &msg);
    if (e == ERR_OK)
        e = output_new(path, 0600, slice_make(bytes, sizeof bytes), &msg);
    mem_wipe(bytes, sizeof bytes);
    if (e != ERR_OK)
        return cli_fail(c, EX_CANTCREAT, "%s; check store.master_key_file", msg.text);
    *ret_made = true;
    cli_say(c, "made the master key %s; keep a copy of it apart from the backups of the store",
            path);
    return cli_key(c);
}

/* ---- init: the CA ---- */

#define PERMITTED_MAX 64

/* swap_domains, and where clients reach us inside TLS: our own names. */
static size_t permitted(const struct conf *conf, const char *host, char tls_hosts[][256],
                        size_t tls_max, const char **ret)
{
    size_t n = 0, hosts = 0;
    for (size_t i = 0; i < conf->policy.swap_domains.n && n < PERMITTED_MAX / 2; i++)
        ret[n++] = conf->policy.swap_domains.v[i];
    if (conf->listen.proxy_tls.n == 0)
        return n;
    if (*host)
        ret[n++] = host;
    for (size_t i = 0; i <= conf->listen.proxy_tls.n && hosts < tls_max; i++) {
        struct slice s = slice_of(i ? conf->listen.proxy_tls.v[i - 1] : conf->listen.advertise);
        size_t cut = s.n;
        while (cut > 0 && s.p[cut - 1] != ':')
            cut--;
        s = slice_sub(s, 0, cut ? cut - 1 : 0);
        if (s.n > 2 && s.p[0] == '[')
            s = slice_sub(s, 1, s.n - 1);
        if (s.n == 0 || slice_eq(s, SLICE("0.0.0.0")) || slice_eq(s, SLICE("::")))
            continue;
        if (slice_copy(s, tls_hosts[hosts], sizeof tls_hosts[0]))
            ret[n++] = tls_hosts[hosts++];
    }
    return n;
}

#define CA_NAME "credswap CA on "

static int make_ca(struct cli *c, const char *cert, const char *key)
{
    char hostname[256], tls_hosts[16][256];
    const char *names[PERMITTED_MAX];
    const char *host = args_get(&c->args, "--name");
    struct ca_info old;
    struct errmsg msg = {0};
    static const struct slice had = {CA_NAME, sizeof CA_NAME - 1};
    if (!host && ca_info_load(c->conf->ca.cert, &old, &msg) == ERR_OK &&
        slice_starts(slice_of(old.name), had))
        host = old.name + had.n; /* a rotation keeps the name */
    host = host ? host : handout_hostname(hostname);
    struct ca_params p = {.host = host, .permitted = names};
    p.permitted_count = permitted(c->conf, host, tls_hosts, ARRAY_LEN(tls_hosts), names);
    enum err e = output_folder(cert, &msg);
    if (e == ERR_OK)
        e = output_folder(key, &msg);
    if (e == ERR_OK)
        e = ca_create(&p, cert, key, &msg);
    if (e == ERR_OK)
        return 0;
    return cli_fail(c, e == ERR_INVALID ? EX_DATAERR : EX_CANTCREAT, "the CA could not be made: %s",
                    msg.text);
}

static int init_ca(struct cli *c, bool *ret_made)
{
    const char *cert = c->conf->ca.cert, *key = c->conf->ca.key;
    bool has_cert = access(cert, F_OK) == 0, has_key = access(key, F_OK) == 0;
    struct errmsg msg = {0};
    struct ca *ca = NULL;
    if (has_cert != has_key)
        return cli_fail(
            c, EX_CANTCREAT,
            "%s is there but %s is not; bring it back, or move the other away to begin anew",
            has_cert ? cert : key, has_cert ? key : cert);
    if (!has_cert) {
        *ret_made = true;
        return make_ca(c, cert, key);
    }
    enum err e = ca_load(cert, key, &ca, &msg);
    ca_destroy(ca);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

/* ---- show ---- */

static const struct column show_columns[] = {{"name", "name", COLUMN_TEXT},
                                             {"not_before", "valid from", COLUMN_TIME},
                                             {"not_after", "valid until", COLUMN_TIME},
                                             {"permitted", "may sign below", COLUMN_LIST},
                                             {"key_type", "key", COLUMN_TEXT},
                                             {"file", "file", COLUMN_TEXT},
                                             {"file_sha256", "sha256 of the file", COLUMN_TEXT},
                                             {"fingerprint_sha256", "fingerprint", COLUMN_TEXT},
                                             {"certificates", "certificates", COLUMN_NUMBER},
                                             {NULL, NULL, COLUMN_TEXT}};

static int show(struct cli *c)
{
    struct ca_facts f;
    struct errmsg msg = {0};
    enum err e = ca_facts_load(c->conf->ca.cert, &f, &msg);
    if (e == ERR_NOT_FOUND)
        return cli_fail(c, EX_NOINPUT, "%s", msg.text);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    cJSON *o = json_object();
    json_z(o, "name", f.info.name);
    json_int(o, "not_before", f.info.not_before);
    json_int(o, "not_after", f.info.not_after);
    json_add(o, "permitted", rows_split_at(slice_of(f.info.permitted), ' '));
    json_z(o, "key_type", f.key_type);
    json_z(o, "file", c->conf->ca.cert);
    json_z(o, "file_sha256", f.file_sha256);
    json_z(o, "fingerprint_sha256", f.info.sha256);
    json_int(o, "certificates", f.certificates);
    return cli_record(c, show_columns, o);
}

static int run_show(struct cli *c)
{
    int code = cli_conf(c);
    return code ? code : show(c);
}

const struct command command_ca_show = {
    "ca", "show", "",      "name, validity, fingerprints; the sum for invitations", NULL, NULL, 0,
    0,    true,   run_show};

static int run_init(struct cli *c)
{
    bool made_key = false, made_ca = false;
    struct errmsg msg = {0};
    int code = cli_conf(c);
    if (code == 0)
        code = init_master_key(c, &made_key);
    bool had_store = code == 0 && access(c->conf->store_path, F_OK) == 0;
    if (code == 0)
        code = cli_writes(c);
    if (code == 0)
        code = init_ca(c, &made_ca);
    if (code)
        return code;
    cli_say(c, "%s the store %s", had_store ? "already there:" : "made", c->conf->store_path);
    cli_say(c, "%s the CA %s", made_ca ? "made" : "already there:", c->conf->ca.cert);
    if (made_ca || made_key) {
        enum err e = event_audit(c->store, slice_of(c->who),
                                 slice_of(made_ca ? "CA made" : "master key made"), SLICE(""),
                                 SLICE(""), NULL, &msg);
        if (e != ERR_OK)
            return cli_fail_err(c, e, &msg);
    }
    return show(c);
}

static const struct option_def init_options[] = {
    {"--name", "HOST", "shown in the CA's name; default: this host's name"}, {NULL, NULL, NULL}};
const struct command command_ca_init = {
    "ca",
    "init",
    "",
    "make CA, master key and store where missing",
    "What is there stays as it is. The CA may only sign below policy.swap_domains.\n",
    init_options,
    0,
    0,
    true,
    run_init};

/* ---- export ---- */

static int run_export(struct cli *c)
{
    struct sbuf pem;
    int code = cli_conf(c);
    if (code)
        return code;
    sbuf_init(&pem, PEM_FILE_MAX);
    code = input_read(c, c->conf->ca.cert, &pem);
    if (code == 0 && !args_get(&c->args, "--der")) {
        (void)fwrite(pem.p, 1, pem.n, c->out);
    } else if (code == 0) {
        BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
        X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
        if (!x || i2d_X509_fp(c->out, x) != 1)
            code = cli_fail(c, EX_DATAERR, "%s holds no certificate", c->conf->ca.cert);
        X509_free(x);
        BIO_free(in);
    }
    sbuf_finish(&pem);
    return code;
}

static const struct option_def export_options[] = {
    {"--der", NULL, "binary, for Windows and Java; the first certificate"}, {NULL, NULL, NULL}};
const struct command command_ca_export = {
    "ca",  "export",  "", "the CA certificate on standard output (PEM)", NULL, export_options, 0, 0,
    false, run_export};

/* ---- rotate: first both are handed out and the old one signs; with --finish the new one signs
 * ---- */

static enum err replace_file(const char *path, unsigned mode, struct slice bytes,
                             struct errmsg *msg)
{
    char next[4096];
    snprintf(next, sizeof next, "%s.new", path);
    unlink(next);
    enum err e = output_new(next, mode, bytes, msg);
    if (e == ERR_OK && rename(next, path) != 0)
        e = err_set(msg, ERR_IO, "cannot replace %s", path);
    return e;
}

static int first_certificate(struct slice pem, struct slice *ret_first, struct slice *ret_rest)
{
    size_t end = slice_search(pem, SLICE("-----END CERTIFICATE-----"));
    if (end == pem.n)
        return EX_DATAERR;
    end = slice_find(pem, '\n', end);
    *ret_first = slice_sub(pem, 0, end + 1);
    *ret_rest = slice_sub(pem, end + 1, pem.n);
    return 0;
}

/* cert = one certificate after the other, in this order. */
static int write_both(struct cli *c, struct slice one, struct slice two)
{
    struct sbuf b;
    struct errmsg msg = {0};
    sbuf_init(&b, PEM_FILE_MAX);
    sbuf_add_slice(&b, one);
    sbuf_add_slice(&b, two);
    enum err e = b.failed ? ERR_NOMEM : replace_file(c->conf->ca.cert, 0644, sbuf_slice(&b), &msg);
    sbuf_finish(&b);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

static int rotate_begin(struct cli *c, struct slice now, const char *next_cert,
                        const char *next_key)
{
    struct sbuf pem;
    struct slice first, rest;
    if (first_certificate(now, &first, &rest) != 0)
        return cli_fail(c, EX_DATAERR, "%s holds no certificate", c->conf->ca.cert);
    int code = make_ca(c, next_cert, next_key);
    if (code)
        return code;
    sbuf_init(&pem, PEM_FILE_MAX);
    code = input_read(c, next_cert, &pem);
    if (code == 0)
        code = write_both(c, first, sbuf_slice(&pem));
    sbuf_finish(&pem);
    if (code == 0)
        cli_say(c, "ca.pem now holds the new certificate too; let every client fetch it, then run "
                   "credswap ca rotate --finish");
    return code;
}

static int rotate_finish(struct cli *c, struct slice now, const char *next_cert,
                         const char *next_key)
{
    struct sbuf pem;
    struct slice old, rest;
    struct errmsg msg = {0};
    if (access(next_key, F_OK) != 0)
        return cli_fail(c, EX_NOINPUT, "no rotation was begun; run credswap ca rotate first");
    if (first_certificate(now, &old, &rest) != 0)
        return cli_fail(c, EX_DATAERR, "%s holds no certificate", c->conf->ca.cert);
    sbuf_init(&pem, PEM_FILE_MAX);
    int code = input_read(c, next_cert, &pem);
    if (code == 0)
        code = write_both(c, sbuf_slice(&pem), old);
    sbuf_finish(&pem);
    if (code == 0 && rename(next_key, c->conf->ca.key) != 0) {
        (void)write_both(c, old, rest); /* as it was: certificate and key belong together */
        return cli_fail_err(c, err_set(&msg, ERR_IO, "cannot replace %s", c->conf->ca.key), &msg);
    }
    unlink(next_cert);
    if (code == 0)
        cli_say(c, "the new CA signs after a restart of credswapd; the old certificate stays in "
                   "ca.pem for those who need it");
    return code;
}

static int run_rotate(struct cli *c)
{
    char next_cert[CA_NEXT_PATH], next_key[CA_NEXT_PATH];
    struct sbuf pem;
    struct errmsg msg = {0};
    bool is_finish = args_get(&c->args, "--finish") != NULL;
    int code = cli_writes(c);
    if (code)
        return code;
    if (!cli_confirm(c, is_finish
                            ? "Let the new CA sign? Clients that do not have it yet will refuse it."
                            : "Begin a rotation of the CA? Clients keep working."))
        return EX_FAILED;
    ca_next_path(c->conf->ca.cert, next_cert);
    ca_next_path(c->conf->ca.key, next_key);
    sbuf_init(&pem, PEM_FILE_MAX);
    code = input_read(c, c->conf->ca.cert, &pem);
    if (code == 0)
        code = is_finish ? rotate_finish(c, sbuf_slice(&pem), next_cert, next_key)
                         : rotate_begin(c, sbuf_slice(&pem), next_cert, next_key);
    sbuf_finish(&pem);
    if (code == 0 && event_audit(c->store, slice_of(c->who),
                                 slice_of(is_finish ? "CA rotated" : "CA rotation begun"),
                                 SLICE(""), SLICE(""), NULL, &msg) != ERR_OK)
        return cli_fail_err(c, ERR_DB, &msg);
    return code;
}

static const struct option_def rotate_options[] = {
    {"--finish", NULL, "the second step: the new CA signs from now on"},
    {"--name", "HOST", "shown in the CA's name; default: this host's name"},
    {NULL, NULL, NULL}};
const struct command command_ca_rotate = {
    "ca",
    "rotate",
    "",
    "replace the CA in two steps, without an outage",
    "1. credswap ca rotate            ca.pem holds both certificates, the old one signs\n"
    "2. clients fetch ca.pem or env.sh again\n"
    "3. credswap ca rotate --finish   and restart credswapd: the new one signs\n",
    rotate_options,
    0,
    0,
    false,
    run_rotate};

/* ---- install into this machine's own trust store ---- */

#define ANCHORS_DEBIAN "/usr/local/share/ca-certificates/credswap.crt"
#define ANCHORS_RHEL "/etc/pki/ca-trust/source/anchors/credswap.pem"

static const struct {
    const char *folder, *file, *program, *argument;
} trust_stores[] = {
    {"/usr/local/share/ca-certificates", ANCHORS_DEBIAN, "update-ca-certificates", NULL},
    {"/etc/pki/ca-trust/source/anchors", ANCHORS_RHEL, "update-ca-trust", "extract"},
};

static int update_trust(struct cli *c, size_t i)
{
    char program[64], argument[16] = "";
    char *argv[] = {program, NULL, NULL};
    pid_t pid;
    int status = 0;
    snprintf(program, sizeof program, "%s", trust_stores[i].program);
    if (trust_stores[i].argument) {
        snprintf(argument, sizeof argument, "%s", trust_stores[i].argument);
        argv[1] = argument;
    }
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&fa);
    if (c->talk != stderr) /* a screen is there: what the program says would lie across it */
        posix_spawn_file_actions_addopen(&fa, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
    int failed = posix_spawnp(&pid, program, &fa, &how, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&how);
    if (failed || waitpid(pid, &status, 0) != pid || status != 0)
        return cli_fail(c, EX_FAILED, "%s failed; run it by hand", program);
    return 0;
}

static int find_trust(struct cli *c, size_t *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(trust_stores); i++)
        if (access(trust_stores[i].folder, F_OK) == 0) {
            *ret = i;
            return 0;
        }
    return cli_fail(
        c, EX_UNAVAILABLE,
        "this system's trust store is not known; import the file of credswap ca export by hand");
}

static int run_install(struct cli *c)
{
    size_t i = 0;
    struct sbuf pem;
    struct errmsg msg = {0};
    int code = cli_conf(c);
    if (code == 0)
        code = find_trust(c, &i);
    if (code)
        return code;
    sbuf_init(&pem, PEM_FILE_MAX);
    code = input_read(c, c->conf->ca.cert, &pem);
    if (code == 0) {
        enum err e = replace_file(trust_stores[i].file, 0644, sbuf_slice(&pem), &msg);
        if (e != ERR_OK)
            code = cli_fail(c, e == ERR_DENIED ? EX_NOPERM : EX_CANTCREAT, "%s; run this as root",
                            msg.text);
    }
    sbuf_finish(&pem);
    return code ? code : update_trust(c, i);
}

static int run_uninstall(struct cli *c)
{
    size_t i = 0;
    int code = find_trust(c, &i);
    if (code)
        return code;
    if (access(trust_stores[i].file, F_OK) != 0) {
        cli_say(c, "not installed: %s is not there", trust_stores[i].file);
        return 0;
    }
    if (unlink(trust_stores[i].file) != 0)
        return cli_fail(c, EX_NOPERM, "cannot remove %s; run this as root", trust_stores[i].file);
    return update_trust(c, i);
}

const struct command command_ca_install = {
    "ca", "install", "",         "let this machine trust the CA (root)", NULL, NULL, 0,
    0,    false,     run_install};
const struct command command_ca_uninstall = {
    "ca", "uninstall", "", "undo ca install (root)", NULL, NULL, 0, 0, false, run_uninstall};
