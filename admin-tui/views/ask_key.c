/* A new key file for an account, asked for from more than one screen. */
#include "cli/cli.h"
#include "views/app.h"

#include <stdio.h>

struct asking {
    struct app *app;
    char account[STAGE_NAME], file[ENTRY_TEXT_MAX];
};

static void run(void *state)
{
    const struct asking *k = state;
    app_run(k->app, 0, "key replaced", WORDS("account", "key", k->account, k->file));
}

static bool take(void *state, struct slice text, struct errmsg *problem)
{
    struct asking *k = state;
    char ask[ENTRY_TEXT_MAX + 512];
    if (text.n == 0 || text.p[0] == '-' || !slice_copy(text, k->file, sizeof k->file))
        return err_set(problem, ERR_INVALID, "the name of a key file") == ERR_OK;
    snprintf(ask, sizeof ask,
             "%s gets the key of %s\n\nits token is dropped, the next request mints one;\n"
             "the old key is gone from the store, and no undo brings it back\n",
             k->account, k->file);
    app_confirm(k->app, "replace its key?", ask, run, k);
    return true;
}

void app_ask_key(struct app *a, const char *account)
{
    static struct asking k; /* one question at a time */
    k.app = a;
    snprintf(k.account, sizeof k.account, "%s", account);
    app_ask_line(a, "new key file: ", "", take, &k);
}
