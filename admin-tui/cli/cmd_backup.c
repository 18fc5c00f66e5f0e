/* backup FILE, restore FILE. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "conf/conf.h"
#include "store/event.h"
#include "store/store.h"

#include <unistd.h>

static int run_backup(struct cli *c)
{
    struct errmsg msg = {0};
    const char *file = args_operand(&c->args, 0);
    char what[600];
    int code = cli_writes(c);
    if (code)
        return code;
    enum err e = store_backup(c->store, file, &msg);
    if (e == ERR_EXISTS)
        return cli_fail(c, EX_CANTCREAT, "%s is there already; name another file", file);
    snprintf(what, sizeof what, "backup to %.500s", file);
    if (e == ERR_OK)
        e = event_audit(c->store, slice_of(c->who), slice_of(what), SLICE(""), SLICE(""), NULL,
                        &msg);
    if (e != ERR_OK)
        return cli_fail_err(c, e, &msg);
    cli_say(c,
            "wrote %s; without the master key nobody can read its keys, so keep that one elsewhere",
            file);
    return 0;
}

const struct command command_backup = {
    "backup",
    NULL,
    "FILE",
    "copy the store into a new file, while others go on",
    "Keys and tokens in it stay sealed; the master key and the CA are not in it.\n",
    NULL,
    1,
    1,
    false,
    run_backup};

static void aside_name(const struct cli *c, const char *word, char *buf, size_t size)
{
    char at[32];
    clock_format_utc(c->now_s, at, sizeof at);
    snprintf(buf, size, "%.3900s.%s-%s", c->conf->store_path, word, at);
}

/* A damaged store cannot be copied: it is moved as it is, with its journal. */
static int move_damaged(struct cli *c)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    char aside[4096], from[4096], to[4200];
    aside_name(c, "damaged", aside, sizeof aside);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(from, sizeof from, "%.4000s%s", c->conf->store_path, tails[i]);
        snprintf(to, sizeof to, "%s%s", aside, tails[i]);
        if (access(from, F_OK) == 0 && rename(from, to) != 0)
            return cli_fail(c, EX_CANTCREAT, "cannot move the damaged %s aside; move it by hand",
                            from);
    }
    cli_say(c, "the damaged store is kept as %s", aside);
    return 0;
}

/* Opens, or makes, the store; what was there goes into *ASIDE, "" when there was nothing. */
static int open_for_restore(struct cli *c, char *aside, size_t size)
{
    struct errmsg msg = {0};
    const char *path = c->conf->store_path;
    bool had_store = access(path, F_OK) == 0;
    enum err e = store_open(path, STORE_CREATE | STORE_PATIENT, &c->store, &msg);
    if (e == ERR_DB) {
        int code = move_damaged(c);
        if (code)
            return code;
        had_store = false;
        e = store_open(path, STORE_CREATE | STORE_PATIENT, &c->store, &msg);
    }
    if (e == ERR_OK)
        e = store_migrate(c->store, &msg);
    if (e == ERR_OK && had_store) {
        aside_name(c, "before-restore", aside, size);
        for (size_t n = strlen(aside), i = 2; access(aside, F_OK) == 0 && i < 1000; i++)
            snprintf(aside + n, size - n, "-%zu", i);
        e = store_backup(c->store, aside, &msg);
    }
    return e == ERR_OK ? 0 : cli_fail_err(c, e, &msg);
}

static int restore_from(struct cli *c, const char *file)
{
    struct errmsg msg = {0};
    char what[600], aside[4200] = "";
    int code = open_for_restore(c, aside, sizeof aside);
    if (code)
        return code;
    enum err e = store_restore(c->store, file, &msg);
    if (e != ERR_OK && *aside)
        unlink(aside); /* nothing was replaced */
    snprintf(what, sizeof what, "restored from %.500s", file);
    if (e == ERR_OK)
        e = event_audit(c->store, slice_of(c->who), slice_of(what), SLICE(""), SLICE(""), NULL,
                        &msg);
    if (e != ERR_OK)
        return e == ERR_DB ? cli_fail(c, EX_DATAERR, "%s", msg.text) : cli_fail_err(c, e, &msg);
    cli_say(c, "%s", what);
    if (*aside)
        cli_say(c, "what was there is kept as %s", aside);
    return 0;
}

static int run_restore(struct cli *c)
{
    struct errmsg msg = {0};
    const char *file = args_operand(&c->args, 0);
    int lock = -1, code = cli_conf(c);
    if (code)
        return code;
    if (access(file, R_OK) != 0)
        return cli_fail(c, EX_NOINPUT, "cannot read %s; give the file that credswap backup wrote",
                        file);
    if (!cli_confirm(c, "Replace the whole store by the backup?"))
        return EX_FAILED;
    enum err e = ERR_OK;
    if (access(c->conf->store_path, F_OK) == 0)
        e = store_lock_daemon(c->conf->store_path, &lock, &msg);
    if (e == ERR_BUSY)
        return cli_fail(c, EX_TEMPFAIL, "%s; stop it first", msg.text);
    code = e == ERR_OK ? restore_from(c, file) : cli_fail_err(c, e, &msg);
    if (lock >= 0)
        store_unlock_daemon(lock);
    return code;
}

const struct command command_restore = {
    "restore",
    NULL,
    "FILE",
    "replace the store by a backup (not while the daemon runs)",
    "The backup is checked first, and what was there is kept aside.\n",
    NULL,
    1,
    1,
    false,
    run_restore};
