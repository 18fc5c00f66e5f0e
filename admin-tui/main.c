/* credswap: the console. Everything is a subcommand (the table is in cli/commands.h); without one,
 * on a terminal, the dashboard. */
#include "base/crypto_heap.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "views/dashboard.h"

#include <cjson/cJSON.h>
#include <locale.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int main(int argc, char **argv)
{
    struct cli c;
    cJSON_Hooks wiping = {mem_alloc, mem_free_wiped}; /* half a key file may be in there */
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none); /* keys pass through this memory */
#ifndef __SANITIZE_ADDRESS__             /* its leak check traces the process */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
    cJSON_InitHooks(&wiping);
    (void)crypto_heap_init_wiping(); /* it cannot be too late: nothing has spoken to OpenSSL */
    (void)setlocale(LC_CTYPE, "");   /* NOLINT(concurrency-mt-unsafe): no other thread */
    cli_init(&c);
    c.dashboard = dashboard_run;
    int code = cli_run(&c, argc, argv);
    cli_finish(&c);
    return code;
}
