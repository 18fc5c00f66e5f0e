/* client add|list|show|set|rotate|revoke|rm|service-account. */
#include "base/check.h"
#include "base/mem.h"
#include "base/seal.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/handout.h"
#include "cli/input.h"
#include "cli/placeholder.h"
#include "cli/pools.h"
#include "cli/quantity.h"
#include "cli/rows.h"
#include "keys/assertion.h"
#include "store/client.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

/* ---- fields: as options of add and set, and as KEY=VALUE of set ---- */

struct fields {
    struct client_fields f;
    bool is_on;
    int64_t expires_at, rpm, tokens_per_day;
};

static int put_field(struct cli *c, struct fields *x, struct slice key, const char *value)
{
    const struct {
        const char *key;
        struct slice *to;
    } texts[] = {{"pool", &x->f.pool}, {"models", &x->f.models}, {"note", &x->f.note}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (slice_eq(key, slice_of(texts[i].key))) {
            *texts[i].to = slice_of(value);
            return 0;
        }
    if (slice_eq(key, SLICE("expires"))) {
        x->f.expires_at = &x->expires_at;
        return expiry_parse(value, c->now_s, &x->expires_at)
                   ? 0
                   : cli_fail(c, EX_USAGE,
                              "expires %.40s is no time ahead; use 30d, 12h, 2027-01-31 or never",
                              value);
    }
    if (slice_eq(key, SLICE("rpm"))) {
        x->f.rpm = &x->rpm;
        return quantity_parse(value, &x->rpm)
                   ? 0
                   : cli_fail(c, EX_USAGE, "rpm %.40s is no number; use 60, 1k, or 0 for no limit",
                              value);
    }
    if (slice_eq(key, SLICE("tokens-per-day")) || slice_eq(key, SLICE("tokens_per_day"))) {
        x->f.tokens_per_day = &x->tokens_per_day;
        return quantity_parse(value, &x->tokens_per_day)
                   ? 0
                   : cli_fail(c, EX_USAGE,
                              "tokens-per-day %.40s is no number; use 500k, 10M, or 0 for no limit",
                              value);
    }
    if (slice_eq(key, SLICE("state"))) {
        x->f.is_on = &x->is_on;
        x->is_on = strcmp(value, "on") == 0;
        return x->is_on || strcmp(value, "off") == 0
                   ? 0
                   : cli_fail(c, EX_USAGE, "state %.40s is neither on nor off", value);
    }
    return cli_fail(
        c, EX_USAGE,
        "\"%.*s\" cannot be set; pool, models, expires, rpm, tokens-per-day, state, note can",
        (int)(key.n < 40 ? key.n : 40), key.p);
}

static int put_options(struct cli *c, struct fields *x)
{
    static const char *const names[] = {"--pool", "--models",         "--note", "--expires",
                                        "--rpm",  "--tokens-per-day", "--state"};
    int code = 0;
    for (size_t i = 0; code == 0 && i < ARRAY_LEN(names); i++)
        if (args_get(&c->args, names[i]))
            code = put_field(c, x, slice_of(names[i] + 2), args_get(&c->args, names[i]));
    return code;
}

/* A pool that does not exist is a slip of the pen here; pool set and account add make pools. */
static int check_pool(struct cli *c, struct slice pool)
{
    struct errmsg msg = {0};
    bool is_there = true;
    enum err e = pool.n ? pools_exists(c->store, pool, &is_there, &msg) : ERR_OK;
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    return is_there ? 0
                    : cli_fail(c, EX_FAILED, "there is no pool %.64s; credswap pool set makes one",
                               pool.p);
}

/* ---- placeholders ---- */

/* From standard input with --token -, else new. *RET_IS_OURS: made here, so it must be shown. */
static int get_placeholder(struct cli *c, enum service service, struct sbuf *out, bool *ret_is_ours)
{
    const char *token = args_get(&c->args, "--token");
    struct errmsg msg = {0};
    *ret_is_ours = token == NULL;
    if (!token) {
        char made[PLACEHOLDER_NEW_SIZE];
        client_new_placeholder(service, made);
        sbuf_adds(out, made);
        mem_wipe(made, sizeof made);
        return 0;
    }
    if (strcmp(token, "-") != 0)
        return cli_fail(c, EX_USAGE,
                        "a placeholder on the command line is seen by every user of this machine; "
                        "use --token - and standard input");
    int code = input_secret(c, "the placeholder", out);
    if (code == 0 && placeholder_check(service, sbuf_slice(out), &msg) != ERR_OK)
        code = cli_fail(c, EX_DATAERR, "%s", msg.text);
    return code;
}

struct addition {
    struct fields x;
    enum service service;
    struct slice name, placeholder;
};

static enum err add_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct addition *a = arg;
    enum err e = client_add(c->store, c->key, a->service, &a->x.f, a->placeholder, NULL, msg);
    if (e == ERR_OK && a->x.f.is_on)
        e = client_set(c->store, a->name, &a->x.f, msg);
    return e;
}

static int add_with(struct cli *c, struct addition *a)
{
    struct sbuf placeholder;
    char what[200];
    bool is_ours;
    sbuf_init(&placeholder, PLACEHOLDER_MAX + 2);
    int code = get_placeholder(c, a->service, &placeholder, &is_ours);
    a->placeholder = sbuf_slice(&placeholder);
    snprintf(what, sizeof what, "client %.64s added (%s)", a->name.p, service_name(a->service));
    if (code == 0)
        code = cli_change(c, add_change, a, what, NULL);
    if (code == 0) {
        cli_say(c, "%s%s", what, is_ours ? "; the placeholder is shown now and never again" : "");
        handout_print(c, a->name, a->service, is_ours ? a->placeholder : (struct slice){NULL, 0});
    }
    sbuf_finish_wipe(&placeholder);
    return code;
}

static int run_add(struct cli *c)
{
    struct addition a = {.name = slice_of(args_operand(&c->args, 0))};
    const char *service = args_get(&c->args, "--service");
    if (!name_is_valid(a.name))
        return cli_fail(c, EX_USAGE,
                        "\"%.70s\" is no client name; use 1 to 64 letters, digits or ._-",
                        a.name.p);
    if (!service || !service_from(slice_of(service), &a.service))
        return cli_fail(c, EX_USAGE,
                        "which service may %.64s use? give --service gemini or --service claude",
                        a.name.p);
    int code = put_options(c, &a.x);
    if (code == 0)
        code = cli_key(c);
    if (code == 0)
        code = cli_writes(c);
    if (code == 0)
        code = check_pool(c, a.x.f.pool);
    a.x.f.name = a.name;
    return code ? code : add_with(c, &a);
}

#define FIELD_OPTIONS                                                                              \
    {"--pool", "POOL", "whose accounts serve it; default: the service's own"},                     \
        {"--expires", "30d", "or 12h, 2027-01-31, never"},                                         \
        {"--rpm", "N", "requests a minute, 0 no limit"},                                           \
        {"--tokens-per-day", "10M", "0 no limit"},                                                 \
        {"--models", "'gemini-*'", "the models that it may use, with commas"},                     \
        {"--note", "TEXT", "for people"},                                                          \
    {                                                                                              \
        "--state", "on|off", "off: answered with 403"                                              \
    }
static const struct option_def add_options[] = {
    {"--service", "gemini|claude", "needed"},
    FIELD_OPTIONS,
    {"--token", "-", "take the placeholder from standard input"},
    {NULL, NULL, NULL}};
const struct command command_client_add = {
    "client",
    "add",
    "NAME",
    "add a client; prints its placeholder once",
    "  credswap client add alice --service gemini --expires 30d --tokens-per-day 10M\n",
    add_options,
    1,
    1,
    true,
    run_add};

/* ---- list, show ---- */

static const struct column list_columns[] = {{"name", "NAME", COLUMN_TEXT},
                                             {"service", "SERVICE", COLUMN_TEXT},
                                             {"pool", "POOL", COLUMN_TEXT},
                                             {"state", "STATE", COLUMN_TEXT},
                                             {"visible", "PLACEHOLDER", COLUMN_TEXT},
                                             {"rpm", "RPM", COLUMN_QUANTITY},
                                             {"tokens_per_day", "TOKENS/D", COLUMN_QUANTITY},
                                             {"expires_at", "EXPIRES", COLUMN_UNTIL},
                                             {"last_seen_at", "LAST SEEN", COLUMN_TIME},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_list(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_clients(c->store, (struct slice){NULL, 0}, c->now_s, &rows, &msg);
    return e == ERR_OK ? cli_list(c, list_columns, rows) : cli_fail_err(c, e, &msg);
}

const struct command command_client_list = {"client", "list", "", "all clients", NULL,
                                            NULL,     0,      0,  true,          run_list};

static const struct column show_columns[] = {{"name", "name", COLUMN_TEXT},
                                             {"service", "service", COLUMN_TEXT},
                                             {"pool", "pool", COLUMN_TEXT},
                                             {"state", "state", COLUMN_TEXT},
                                             {"visible", "placeholder", COLUMN_TEXT},
                                             {"service_account", "service account", COLUMN_TEXT},
                                             {"models", "models", COLUMN_LIST},
                                             {"rpm", "requests a minute", COLUMN_QUANTITY},
                                             {"tokens_per_day", "tokens a day", COLUMN_QUANTITY},
                                             {"expires_at", "expires", COLUMN_TIME},
                                             {"created_at", "created", COLUMN_TIME},
                                             {"last_seen_at", "last seen", COLUMN_TIME},
                                             {"note", "note", COLUMN_TEXT},
                                             {NULL, NULL, COLUMN_TEXT}};

static int run_show(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *rows = NULL;
    int code = cli_reads(c);
    if (code)
        return code;
    enum err e = rows_clients(c->store, slice_of(args_operand(&c->args, 0)), c->now_s, &rows, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    code = cli_record(c, show_columns, cJSON_DetachItemFromArray(rows, 0));
    cJSON_Delete(rows);
    return code;
}

const struct command command_client_show = {
    "client", "show", "NAME", "everything about one client", NULL, NULL, 1, 1, true, run_show};

/* ---- set ---- */

struct named {
    struct slice name;
    void *arg;
};

static enum err set_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct named *n = arg;
    const struct fields *x = n->arg;
    return client_set(c->store, n->name, &x->f, msg);
}

static int put_assignments(struct cli *c, struct fields *x, struct sbuf *what)
{
    int code = 0;
    for (int i = 1; code == 0 && i < c->args.operand_count; i++) {
        const char *text = args_operand(&c->args, i);
        struct slice key = slice_make(text, slice_find(slice_of(text), '=', 0));
        if (!text[key.n])
            return cli_fail(c, EX_USAGE, "\"%.60s\" is not KEY=VALUE, e.g. rpm=60 or state=off",
                            text);
        code = put_field(c, x, key, text + key.n + 1);
        sbuf_addf(what, " %s", text);
    }
    for (int i = 0; i < c->args.option_count; i++)
        sbuf_addf(what, " %s=%s", c->args.option[i].name + 2, c->args.option[i].value);
    return code;
}

static int run_set(struct cli *c)
{
    struct fields x = {0};
    struct named n = {slice_of(args_operand(&c->args, 0)), &x};
    struct sbuf what;
    bool is_changed = false;
    if (c->args.operand_count < 2 && c->args.option_count == 0)
        return cli_fail(c, EX_USAGE, "what shall be set? e.g. rpm=60 or state=off");
    sbuf_init(&what, 4096);
    sbuf_addf(&what, "client %.64s:", n.name.p);
    int code = put_assignments(c, &x, &what);
    if (code == 0)
        code = put_options(c, &x);
    if (code == 0)
        code = cli_writes(c);
    if (code == 0)
        code = check_pool(c, x.f.pool);
    if (code == 0)
        code = cli_change(c, set_change, &n, sbuf_z(&what), &is_changed);
    if (code == 0)
        cli_say(c, "%s%s", sbuf_z(&what), is_changed ? "" : " (was so already)");
    sbuf_finish(&what);
    return code;
}

static const struct option_def set_options[] = {FIELD_OPTIONS, {NULL, NULL, NULL}};
const struct command command_client_set = {
    "client",
    "set",
    "NAME [KEY=VALUE ...]",
    "change limits, pool or state of a client",
    "  credswap client set alice rpm=60 state=off        (or --rpm 60 --state off)\n",
    set_options,
    1,
    16,
    false,
    run_set};

/* ---- rotate, revoke, rm ---- */

static enum err note_service(void *arg, const struct client *cl)
{
    *(enum service *)arg = cl->service;
    return ERR_OK;
}

static enum err rotate_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct addition *a = arg;
    return client_rotate(c->store, c->key, a->name, a->placeholder, msg);
}

static int run_rotate(struct cli *c)
{
    struct addition a = {.name = slice_of(args_operand(&c->args, 0))};
    struct errmsg msg = {0};
    struct sbuf placeholder;
    char what[200];
    bool is_ours = false;
    int code = cli_key(c);
    if (code == 0)
        code = cli_writes(c);
    if (code)
        return code;
    enum err e = client_get(c->store, a.name, note_service, &a.service, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    sbuf_init(&placeholder, PLACEHOLDER_MAX + 2);
    code = get_placeholder(c, a.service, &placeholder, &is_ours);
    a.placeholder = sbuf_slice(&placeholder);
    snprintf(what, sizeof what, "client %.64s: new placeholder, the old one ends now", a.name.p);
    if (code == 0)
        code = cli_change(c, rotate_change, &a, what, NULL);
    if (code == 0) {
        cli_say(c, "%s", what);
        handout_print(c, a.name, a.service, is_ours ? a.placeholder : (struct slice){NULL, 0});
    }
    sbuf_finish_wipe(&placeholder);
    return code;
}

static const struct option_def rotate_options[] = {
    {"--token", "-", "take the placeholder from standard input"}, {NULL, NULL, NULL}};
const struct command command_client_rotate = {
    "client", "rotate",       "NAME", "a new placeholder; the old one ends at once",
    NULL,     rotate_options, 1,      1,
    true,     run_rotate};

static enum err revoke_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct named *n = arg;
    return client_revoke(c->store, n->name, msg);
}

static enum err rm_change(struct cli *c, void *arg, struct errmsg *msg)
{
    const struct named *n = arg;
    return client_remove(c->store, n->name, msg);
}

static int end_client(struct cli *c, cli_change_cb change, const char *verb, const char *question)
{
    struct named n = {slice_of(args_operand(&c->args, 0)), NULL};
    char text[200];
    snprintf(text, sizeof text, "Client %.64s: %s", n.name.p, question);
    if (!cli_confirm(c, text))
        return EX_FAILED;
    snprintf(text, sizeof text, "client %.64s %s", n.name.p, verb);
    int code = cli_writes(c);
    if (code == 0)
        code = cli_change(c, change, &n, text, NULL);
    if (code == 0)
        cli_say(c, "%s", text);
    return code;
}

static int run_revoke(struct cli *c)
{
    return end_client(c, revoke_change, "revoked",
                      "revoke? Its placeholder ends now and cannot be brought back.");
}

static int run_rm(struct cli *c)
{
    return end_client(c, rm_change, "removed", "remove it for good?");
}

const struct command command_client_revoke = {
    "client", "revoke", "NAME",    "end its placeholder; rotate gives a new one", NULL, NULL, 1,
    1,        false,    run_revoke};
const struct command command_client_rm = {"client", "rm",  "NAME", "remove a client", NULL, NULL, 1,
                                          1,        false, run_rm};

/* ---- service-account: for SDKs that take nothing else ---- */

struct sa {
    struct slice name;
    char key_id[41];
    struct sbuf private_pem, public_pem;
};

static enum err sa_make(struct sa *sa)
{
    unsigned char id[20];
    random_bytes(id, sizeof id);
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(sa->key_id + 2 * i, 3, "%02x", id[i]);
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *out = BIO_new(BIO_s_secmem()), *pub = BIO_new(BIO_s_mem());
    enum err e = ERR_CRYPTO;
    char *p = NULL;
    if (key && out && pub &&
        PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
        PEM_write_bio_PUBKEY(pub, key) == 1) {
        long n = BIO_get_mem_data(out, &p);
        sbuf_add(&sa->private_pem, p, (size_t)n);
        n = BIO_get_mem_data(pub, &p);
        sbuf_add(&sa->public_pem, p, (size_t)n);
        e = ERR_OK;
    }
    BIO_free(out);
    BIO_free(pub);
    EVP_PKEY_free(key);
    return e;
}

static enum err sa_change(struct cli *c, void *arg, struct errmsg *msg)
{
    struct sa *sa = arg;
    return client_set_sa_key(c->store, sa->name, slice_of(sa->key_id), sbuf_slice(&sa->public_pem),
                             msg);
}

/* The caller deletes it, and wipes what it printed. */
static cJSON *sa_json(struct sa *sa)
{
    struct sbuf email;
    sbuf_init(&email, VIRTUAL_EMAIL_MAX);
    virtual_email_add(&email, sa->name);
    cJSON *o = json_object();
    json_z(o, "type", "service_account");
    json_z(o, "project_id", VIRTUAL_PROJECT);
    json_z(o, "private_key_id", sa->key_id);
    json_z(o, "private_key", sbuf_z(&sa->private_pem));
    json_z(o, "client_email", sbuf_z(&email));
    json_z(o, "client_id", "0");
    json_z(o, "auth_uri", "https://accounts.google.com/o/oauth2/auth");
    json_z(o, "token_uri", "https://oauth2.googleapis.com/token");
    json_z(o, "universe_domain", "googleapis.com");
    sbuf_finish(&email);
    return o;
}

/* The file is whole before the store knows its key: the earlier one must not end for nothing. */
static int sa_write(struct cli *c, struct sa *sa, const char *path)
{
    struct sbuf text;
    struct errmsg msg = {0};
    cJSON *o = sa_json(sa);
    sbuf_init(&text, 16384);
    if (!sbuf_reserve(&text, 16000)) { /* at once: no copy may stay behind where it grew */
        cJSON_Delete(o);
        return cli_fail_err(c, ERR_NOMEM, NULL);
    }
    json_compact(&text, o);
    sbuf_addc(&text, '\n');
    enum err e = text.failed ? ERR_TOO_LARGE : output_new(path, 0600, sbuf_slice(&text), &msg);
    cJSON_Delete(o);
    sbuf_finish_wipe(&text);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

static int sa_keep(struct cli *c, struct sa *sa, const char *path, const char *what)
{
    int code = path ? sa_write(c, sa, path) : 0;
    if (code)
        return code;
    code = cli_change(c, sa_change, sa, what, NULL);
    if (code && path)
        (void)unlink(path);
    if (code == 0 && !path) {
        cJSON *o = sa_json(sa);
        json_print(c->out, o);
        cJSON_Delete(o);
    }
    if (code == 0)
        cli_say(c, "%s%s%s; it works through the proxy only, and an earlier one no longer does",
                what, path ? " in " : "", path ? path : "");
    return code;
}

static int run_service_account(struct cli *c)
{
    struct sa sa = {.name = slice_of(args_operand(&c->args, 0))};
    char what[160];
    int code = cli_writes(c);
    if (code)
        return code;
    sbuf_init(&sa.private_pem, 8192);
    sbuf_init(&sa.public_pem, 8192);
    snprintf(what, sizeof what, "client %.64s: new service-account file", sa.name.p);
    if (sa_make(&sa) != ERR_OK)
        code =
            cli_fail(c, EX_SOFTWARE, "no RSA key could be made; check the OpenSSL of this machine");
    if (code == 0)
        code = sa_keep(c, &sa, args_get(&c->args, "--out"), what);
    sbuf_finish_wipe(&sa.private_pem);
    sbuf_finish(&sa.public_pem);
    return code;
}

static const struct option_def sa_options[] = {
    {"--out", "FILE", "write it to a new file (mode 0600) and print nothing"}, {NULL, NULL, NULL}};
const struct command command_client_service_account = {
    "client",
    "service-account",
    "NAME",
    "print a service-account JSON that works through the proxy only",
    "For SDKs that take no bearer token: keep the output in a file (mode 0600) and name it in\n"
    "GOOGLE_APPLICATION_CREDENTIALS. It is shown once; the private key is not kept here.\n",
    sa_options,
    1,
    1,
    false,
    run_service_account};
