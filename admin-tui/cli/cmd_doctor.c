/* doctor: one line for each thing that must be right. Looks only. */
#include "base/check.h"
#include "base/seal.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/quantity.h"
#include "cli/share.h"
#include "conf/conf.h"
#include "keys/ca.h"
#include "keys/keyfile.h"
#include "policy/policy.h"
#include "store/account.h"
#include "store/store.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

enum finding {
    OK,
    WARN,
    FAIL
};

struct doctor {
    struct cli *c;
    cJSON *rows;
    int counts[3];
    bool has_store, is_daemon_up;
};

__attribute__((format(printf, 4, 5))) static void found(struct doctor *d, enum finding f,
                                                        const char *check, const char *fmt, ...)
{
    static const char *const words[] = {[OK] = "ok", [WARN] = "warn", [FAIL] = "fail"};
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cJSON *o = json_object();
    json_z(o, "state", words[f]);
    json_z(o, "check", check);
    json_z(o, "text", text);
    json_push(d->rows, o);
    d->counts[f]++;
}

static void check_config(struct doctor *d)
{
    struct policy *p = NULL;
    struct errmsg msg = {0};
    const char *path = d->c->conf->path;
    if (policy_create(d->c->conf, &p, &msg) == ERR_OK)
        found(d, OK, "config", "%s", *path ? path : "no file, all defaults");
    else
        found(d, FAIL, "config", "%s", msg.text);
    policy_destroy(p);
}

static void check_master_key(struct doctor *d)
{
    char path[4096];
    struct errmsg msg = {0};
    enum err e = master_key_load(cli_key_path(d->c, path, sizeof path), &d->c->key, &msg);
    if (e == ERR_OK)
        found(d, OK, "master key", "%s, readable by its owner only", path);
    else if (e == ERR_NOT_FOUND)
        found(d, FAIL, "master key", "%s is missing; credswap ca init makes one for a new store",
              path);
    else
        found(d, FAIL, "master key", "%s", msg.text);
}

#define CA_WARN_S (14 * 86400)

static void check_ca(struct doctor *d)
{
    const struct conf *conf = d->c->conf;
    struct ca *ca = NULL;
    struct ca_info info;
    struct errmsg msg = {0};
    char left[QUANTITY_TEXT];
    enum err e = ca_load(conf->ca.cert, conf->ca.key, &ca, &msg);
    if (e != ERR_OK || ca_info_of(ca_cert(ca), &info) != ERR_OK) {
        found(d, FAIL, "ca", "%s", e == ERR_OK ? "the certificate cannot be read" : msg.text);
        ca_destroy(ca);
        return;
    }
    int64_t rest = info.not_after - d->c->now_s;
    duration_print(rest, left);
    if (rest < CA_WARN_S)
        found(d, rest <= 0 ? FAIL : WARN, "ca", "ends in %s; credswap ca rotate begins a new one",
              left);
    else
        found(d, OK, "ca", "%s, ends in %s, key readable by its owner only", info.name, left);
    for (size_t i = 0; i < conf->policy.swap_domains.n; i++)
        if (!ca_permits(ca_cert(ca), slice_of(conf->policy.swap_domains.v[i])))
            found(d, WARN, "ca", "it may not sign for %s (policy.swap_domains); rotate it",
                  conf->policy.swap_domains.v[i]);
    ca_destroy(ca);
}

static void check_store(struct doctor *d)
{
    struct errmsg msg = {0};
    const char *path = d->c->conf->store_path;
    enum err e =
        store_open(path, STORE_READ_ONLY | STORE_PATIENT | STORE_ALLOW_NEWER, &d->c->store, &msg);
    if (e != ERR_OK) {
        found(d, FAIL, "store", "%s",
              e == ERR_NOT_FOUND ? "not made yet; credswap ca init makes it" : msg.text);
        return;
    }
    d->has_store = true;
    int has = store_schema(d->c->store), newest = store_schema_newest();
    if (has > newest)
        found(d, FAIL, "store", "schema %d is newer than this program's %d; upgrade credswap", has,
              newest);
    else if (has < newest)
        found(d, WARN, "store", "schema %d; %d comes with the next start or change", has, newest);
    else
        found(d, OK, "store", "%s, schema %d", path, has);
    if (!store_is_wal(d->c->store))
        found(d, WARN, "store", "not in WAL mode: readers and the writer block each other");
    if (store_check(d->c->store, &msg) == ERR_OK)
        found(d, OK, "integrity", "every page, index and reference is sound");
    else
        found(d, FAIL, "integrity", "%s; restore a backup", msg.text);
}

static void check_disk(struct doctor *d)
{
    struct statvfs v;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", d->c->conf->store_path);
    char *cut = strrchr(folder, '/');
    snprintf(cut ? cut + (cut == folder) : folder, 2, "%s", cut ? "" : ".");
    if (statvfs(folder, &v) != 0)
        return;
    uint64_t mib = (uint64_t)v.f_bavail * v.f_frsize >> 20;
    found(d, mib < 100 ? WARN : OK, "disk", "%llu MiB free beside the store",
          (unsigned long long)mib);
}

struct key_check {
    struct doctor *d;
    int good, bad;
};

static enum err check_key(void *arg, const struct account *a)
{
    struct key_check *k = arg;
    struct cli *c = k->d->c;
    struct secret *key = NULL;
    EVP_PKEY *parsed = NULL;
    struct errmsg msg = {0};
    enum err e = account_key_unseal(c->store, c->key, a->id, &key, &msg);
    if (e == ERR_OK && a->kind == ACCOUNT_SERVICE)
        e = private_key_parse(secret_bytes(key), &parsed, &msg);
    if (e != ERR_OK)
        found(k->d, FAIL, "account key", "%s: %s", a->name.p, msg.text[0] ? msg.text : err_str(e));
    k->good += e == ERR_OK;
    k->bad += e != ERR_OK;
    EVP_PKEY_free(parsed);
    secret_unref(&key);
    return ERR_OK;
}

static void check_accounts(struct doctor *d)
{
    struct key_check k = {d, 0, 0};
    struct errmsg msg = {0};
    if (!d->has_store || !d->c->key)
        return;
    if (account_list(d->c->store, check_key, &k, &msg) != ERR_OK)
        found(d, FAIL, "account key", "%s", msg.text);
    else if (k.good + k.bad == 0)
        found(d, WARN, "account key",
              "there are no accounts; credswap account add KEYFILE.json adds one");
    else if (k.bad == 0)
        found(d, OK, "account key", "%d of %d open and parse", k.good, k.good);
}

static void check_pools(struct doctor *d)
{
    cJSON *pools = NULL;
    const cJSON *p, *m;
    if (!d->has_store ||
        share_pools(d->c->store, (struct slice){NULL, 0}, d->c->now_s, &pools, NULL) != ERR_OK)
        return;
    cJSON_ArrayForEach(p, pools)
    {
        double share = 0;
        const cJSON *clients = cJSON_GetObjectItemCaseSensitive(p, "clients");
        cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(p, "members")) share +=
            cJSON_GetObjectItemCaseSensitive(m, "expected_pct")->valuedouble;
        if (clients->valuedouble > 0 && share <= 0)
            found(d, WARN, "pool", "%s has %d clients and no account that can serve now",
                  json_get_z(p, "name"), (int)clients->valuedouble);
    }
    cJSON_Delete(pools);
}

static void check_limits(struct doctor *d)
{
    struct rlimit r;
    rlim_t wanted = (rlim_t)d->c->conf->limits.connections * 2 + 256;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    found(d, r.rlim_max < wanted ? WARN : OK, "open files",
          "the limit is %llu; limits.connections = %lld wants %llu", (unsigned long long)r.rlim_max,
          (long long)d->c->conf->limits.connections, (unsigned long long)wanted);
}

#define CLOCK_SANE 1735689600 /* 2025-01-01 */

static void check_clock(struct doctor *d)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    if (d->c->now_s < CLOCK_SANE)
        found(d, FAIL, "clock", "it stands before 2025; Google refuses every assertion");
    else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        found(d, WARN, "clock",
              "not known to be synchronised; Google refuses assertions that are minutes off");
    else
        found(d, OK, "clock", "synchronised");
}

#define LOOK_MS 2000

static void check_daemon(struct doctor *d)
{
    const struct conf *conf = d->c->conf;
    struct errmsg msg = {0};
    cJSON *answer = NULL;
    int status = 0;
    enum err e = daemon_ask(conf->listen.socket, "status", NULL, LOOK_MS, &answer, &msg);
    cJSON_Delete(answer);
    d->is_daemon_up = e == ERR_OK;
    found(d,
          e == ERR_OK        ? OK
          : e == ERR_REFUSED ? WARN
                             : FAIL,
          "daemon", "%s", e == ERR_OK ? "answers on its socket" : msg.text);
    if (!*conf->listen.admin)
        return;
    e = daemon_get(conf->listen.admin, "/readyz", LOOK_MS, &status, NULL, &msg);
    if (e != ERR_OK)
        found(d, d->is_daemon_up ? FAIL : WARN, "ready", "%s", msg.text);
    else
        found(d, status == 200 ? OK : FAIL, "ready", "/readyz says %d", status);
}

static void check_listeners(struct doctor *d)
{
    const struct conf_list lists[] = {d->c->conf->listen.proxy, d->c->conf->listen.proxy_tls};
    for (size_t l = 0; l < ARRAY_LEN(lists) && d->is_daemon_up; l++)
        for (size_t i = 0; i < lists[l].n; i++) {
            struct errmsg msg = {0};
            int status = 0;
            /* An answer of any kind means that somebody listens; inside TLS there is none. */
            enum err e = daemon_get(lists[l].v[i], "/ca.sha256", LOOK_MS, &status, NULL, &msg);
            bool is_there = e == ERR_OK || (l == 1 && e != ERR_REFUSED && e != ERR_TIMEOUT);
            found(d, is_there ? OK : FAIL, "listener", "%s %s", lists[l].v[i],
                  is_there ? "answers" : msg.text);
        }
}

static const struct column doctor_columns[] = {{"state", "STATE", COLUMN_TEXT},
                                               {"check", "CHECK", COLUMN_TEXT},
                                               {"text", "FINDING", COLUMN_TEXT},
                                               {NULL, NULL, COLUMN_TEXT}};

static int run_doctor(struct cli *c)
{
    static void (*const checks[])(struct doctor *) = {
        check_config, check_master_key, check_ca,    check_store,  check_disk,     check_accounts,
        check_pools,  check_limits,     check_clock, check_daemon, check_listeners};
    struct doctor d = {.c = c};
    int code = cli_conf(c);
    if (code)
        return code;
    d.rows = json_array();
    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        checks[i](&d);
    code = cli_list(c, doctor_columns, d.rows);
    cli_say(c, "%d ok, %d warnings, %d failures", d.counts[OK], d.counts[WARN], d.counts[FAIL]);
    return code;
}

const struct command command_doctor = {
    "doctor", NULL, "",        "look at everything that must be right", NULL, NULL, 0,
    0,        true, run_doctor};
