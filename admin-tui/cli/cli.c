/* The ground under the subcommands. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/seal.h"
#include "cli/commands.h"
#include "conf/conf.h"
#include "store/event.h"
#include "store/store.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static void find_who(char *who, size_t size)
{
    char space[2048];
    struct passwd pw, *found = NULL;
    uid_t uid = getuid();
    if (getpwuid_r(uid, &pw, space, sizeof space, &found) == 0 && found)
        snprintf(who, size, "%.60s (uid %u)", found->pw_name, (unsigned)uid);
    else
        snprintf(who, size, "uid %u", (unsigned)uid);
}

void cli_init(struct cli *c)
{
    *c = (struct cli){.out = stdout, .talk = stderr, .now_s = clock_wall_s()};
    find_who(c->who, sizeof c->who);
}

void cli_finish(struct cli *c)
{
    store_close(c->store);
    master_key_unref(&c->key);
    conf_destroy(c->conf);
    c->store = NULL;
    c->conf = NULL;
}

/* ---- talking ---- */

__attribute__((format(printf, 2, 0))) static void talk_line(struct cli *c, const char *fmt,
                                                            va_list ap)
{
    char text[2048];
    vsnprintf(text, sizeof text, fmt, ap);
    text_print(c->talk, text);
    fputc('\n', c->talk);
}

int cli_fail(struct cli *c, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fflush(c->out); /* on one terminal the order should be that of events */
    fputs("credswap: ", c->talk);
    talk_line(c, fmt, ap);
    va_end(ap);
    return code;
}

void cli_say(struct cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fflush(c->out);
    talk_line(c, fmt, ap);
    va_end(ap);
}

/* Errors that have a code or an advice of their own; all others exit 1. */
static const struct {
    enum err err;
    int code;
    const char *advice;
} fates[] = {
    {ERR_AGAIN, EX_TEMPFAIL, "try again"},
    {ERR_NOMEM, EX_TEMPFAIL, "free some memory and try again"},
    {ERR_INVALID, EX_DATAERR, NULL},
    {ERR_TOO_LARGE, EX_DATAERR, NULL},
    {ERR_EXISTS, EX_CANTCREAT, NULL},
    {ERR_DENIED, EX_NOPERM, NULL},
    {ERR_TIMEOUT, EX_TEMPFAIL, "try again"},
    {ERR_REFUSED, EX_UNAVAILABLE, "start credswapd"},
    {ERR_CLOSED, EX_UNAVAILABLE, "start credswapd"},
    {ERR_UNRESOLVED, EX_UNAVAILABLE, NULL},
    {ERR_CRYPTO, EX_DATAERR, "is this the master key that the store was made with?"},
    {ERR_CONFIG, EX_CONFIG, NULL},
    {ERR_BUSY, EX_TEMPFAIL, "another program holds the store; try again"},
    {ERR_IO, EX_IOERR, NULL},
    {ERR_DB, EX_FAILED, "credswap doctor says more"},
    {ERR_SCHEMA, EX_DATAERR, "use the credswap that is as new as the store"},
    {ERR_PERMISSION, EX_NOPERM, NULL},
    {ERR_LIMIT, EX_TEMPFAIL, "try again later"},
};

int cli_exit_code(enum err e)
{
    for (size_t i = 0; i < ARRAY_LEN(fates); i++)
        if (fates[i].err == e)
            return fates[i].code;
    return e == ERR_OK ? EX_OK : EX_FAILED;
}

int cli_fail_err(struct cli *c, enum err e, const struct errmsg *msg)
{
    const char *why = msg && msg->text[0] ? msg->text : err_str(e);
    for (size_t i = 0; i < ARRAY_LEN(fates); i++)
        if (fates[i].err == e && fates[i].advice)
            return cli_fail(c, fates[i].code, "%s; %s", why, fates[i].advice);
    return cli_fail(c, cli_exit_code(e), "%s", why);
}

/* ---- configuration, key, store ---- */

int cli_conf(struct cli *c)
{
    struct errmsg msg = {0};
    if (c->conf)
        return 0;
    enum err e = conf_load(c->args.config, &c->conf, &msg);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

const char *cli_key_path(struct cli *c, char *buf, size_t size)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY"); /* NOLINT(concurrency-mt-unsafe) */
    snprintf(buf, size, "%s", c->conf->store.master_key_file);
    if (dir && (!*buf || access(buf, F_OK) != 0)) {
        char other[4096];
        snprintf(other, sizeof other, "%s/master.key", dir);
        if (access(other, F_OK) == 0)
            snprintf(buf, size, "%s", other);
    }
    return buf;
}

int cli_key(struct cli *c)
{
    char path[4096];
    struct errmsg msg = {0};
    int code = cli_conf(c);
    if (code || c->key)
        return code;
    enum err e = master_key_load(cli_key_path(c, path, sizeof path), &c->key, &msg);
    if (e == ERR_NOT_FOUND)
        return cli_fail(c, EX_NOINPUT, "no master key at %s; credswap ca init makes one", path);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

static int open_store(struct cli *c, unsigned flags)
{
    struct errmsg msg = {0};
    enum err e = store_open(c->conf->store_path, flags, &c->store, &msg);
    if (e == ERR_NOT_FOUND)
        return cli_fail(c, EX_NOINPUT, "no store at %s; credswap ca init makes one",
                        c->conf->store_path);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

int cli_writes(struct cli *c)
{
    struct errmsg msg = {0};
    int code = cli_conf(c);
    if (code || c->store)
        return code;
    const char *path = c->conf->store_path;
    if (access(path, F_OK) != 0 &&
        store_is_served(path)) /* an empty one would mislead the daemon */
        return cli_fail(c, EX_NOINPUT, "no store at %s, though credswapd runs; restore a backup",
                        path);
    code = open_store(c, STORE_CREATE | STORE_PATIENT);
    if (code)
        return code;
    enum err e = store_migrate(c->store, &msg);
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

int cli_reads(struct cli *c)
{
    int code = cli_conf(c);
    if (code || c->store)
        return code;
    code = open_store(c, STORE_READ_ONLY | STORE_PATIENT | STORE_ALLOW_NEWER);
    if (code || store_schema(c->store) >= store_schema_newest())
        return code;
    store_close(c->store); /* older than we are: bring it forward, as any writing command would */
    c->store = NULL;
    return cli_writes(c);
}

static enum err on_last_change(void *arg, const struct event_row *e)
{
    struct errmsg *msg = arg;
    err_set(msg, ERR_AGAIN, "%.*s did \"%.*s\" meanwhile; nothing was changed, look again",
            (int)(e->who.n < 96 ? e->who.n : 96), e->who.p,
            (int)(e->what.n < 200 ? e->what.n : 200), e->what.p);
    return ERR_OK;
}

/* What was reviewed is what is changed, or nothing is: nobody's edit is overwritten unseen. */
static enum err check_reviewed(struct cli *c, struct errmsg *msg)
{
    int64_t now = 0;
    struct event_filter last = {.kinds = 1U << EVENT_AUDIT, .limit = 1};
    enum err e = c->reviewed ? store_generation(c->store, &now, msg) : ERR_OK;
    if (e != ERR_OK || now == c->reviewed)
        return e;
    err_set(msg, ERR_AGAIN, "the settings were changed meanwhile; nothing was changed, look again");
    e = event_list(c->store, &last, on_last_change, msg, NULL);
    return e == ERR_OK ? ERR_INVALID : e;
}

int cli_change(struct cli *c, cli_change_cb change, void *arg, const char *what, bool *ret_changed)
{
    struct errmsg msg = {0};
    int64_t event = 0;
    enum err e = store_change_begin(c->store, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    e = check_reviewed(c, &msg);
    if (e == ERR_OK)
        e = change(c, arg, &msg);
    if (e != ERR_OK) {
        store_rollback(c->store);
        return cli_fail_err(c, e, &msg);
    }
    e = store_change_commit(c->store, slice_of(c->who), slice_of(what), &event, &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    if (ret_changed)
        *ret_changed = event != 0;
    return 0;
}

/* ---- small things ---- */

bool cli_may_ask(const struct cli *c)
{
    return !c->args.no_input && !c->input && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool cli_confirm(struct cli *c, const char *question)
{
    if (c->args.yes)
        return true;
    if (c->args.no_input) {
        cli_fail(c, EX_FAILED, "%s Nothing is asked with --no-input: add --yes", question);
        return false;
    }
    if (!cli_may_ask(c))
        return true;
    text_print(c->talk, question);
    fputs(" [y/N] ", c->talk);
    (void)fflush(c->talk);
    char answer[16] = "";
    bool is_yes = fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
    if (!is_yes)
        cli_say(c, "nothing changed");
    return is_yes;
}

struct slice cli_option(const struct cli *c, const char *name)
{
    return slice_of(args_get(&c->args, name));
}

int cli_list(struct cli *c, const struct column *columns, cJSON *rows)
{
    if (c->args.json)
        json_print(c->out, rows);
    else
        table_print(c->out, columns, rows, c->now_s);
    cJSON_Delete(rows);
    return 0;
}

int cli_record(struct cli *c, const struct column *columns, cJSON *row)
{
    if (c->args.json)
        json_print(c->out, row);
    else
        record_print(c->out, columns, row, c->now_s);
    cJSON_Delete(row);
    return 0;
}

bool name_is_valid(struct slice name)
{
    static const struct slice marks = {"._-@+", 5};
    if (name.n < 1 || name.n > 64)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = ascii_lower(name.p[i]);
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && (i == 0 || slice_find(marks, c, 0) == marks.n))
            return false;
    }
    return true;
}

/* ---- running ---- */

static int usage(struct cli *c, FILE *to, int code)
{
    char text[HELP_MAX];
    fputs(args_help(&console_commands, c->args.noun, c->args.command, text), to);
    return code;
}

int cli_run(struct cli *c, int argc, char *const *argv)
{
    bool is_ok = args_parse(&console_commands, argc, argv, &c->args);
    if (c->args.help)
        return usage(c, c->out, 0);
    if (!is_ok)
        return cli_fail(c, EX_USAGE, "%s", c->args.problem);
    if (c->args.version) {
        fprintf(c->out, "credswap %s\n", CREDSWAP_VERSION);
        return 0;
    }
    if (!c->args.command)
        return isatty(STDOUT_FILENO) && c->dashboard ? c->dashboard(c)
                                                     : usage(c, c->talk, EX_USAGE);
    int code = c->args.command->run(c);
    if ((fflush(c->out) != 0 || ferror(c->out)) && !out_is_unread(c->out))
        return cli_fail(c, EX_FAILED, "cannot write the output; is the disk full?");
    return code;
}
