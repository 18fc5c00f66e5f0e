/* credswapd: arguments, configuration, and off it goes. */
#include "base/crypto_heap.h"
#include "conf/conf.h"
#include "server/server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static const char usage[] =
    "usage: credswapd [--config FILE] [--check]\n"
    "\n"
    "The forward proxy: runs in the foreground, logs to stderr or to log.file.\n"
    "\n"
    "  --config FILE  read this configuration (default: $CREDSWAP_CONFIG, data/credswap.conf\n"
    "                 in a checkout, /etc/credswap/credswap.conf)\n"
    "  --check        print what is wrong with the configuration and start nothing\n"
    "  --version      print the version\n"
    "  --help         this text\n"
    "\n"
    "Signals: TERM, INT drain and end; HUP reads the configuration again; USR1 reopens the log.\n"
    "See credswapd(8), credswap.conf(5); the console is credswap(1).\n";

static int exit_code(enum err e)
{
    switch ((int)e) {
    case ERR_OK:
        return EX_OK;
    case ERR_CONFIG:
        return EX_CONFIG;
    case ERR_BUSY:
        return EX_TEMPFAIL;
    case ERR_NOT_FOUND:
        return EX_NOINPUT;
    case ERR_SCHEMA:
    case ERR_DB:
    case ERR_CERT:
    case ERR_INVALID:
        return EX_DATAERR;
    case ERR_PERMISSION:
        return EX_NOPERM;
    case ERR_NOMEM:
        return EX_OSERR;
    default:
        return EX_UNAVAILABLE;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    bool check = false;
    (void)crypto_heap_init(); /* too late for it: OpenSSL wipes by itself, at more cost */
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts */
    for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'V':
            printf("credswapd %s\n", CREDSWAP_VERSION);
            return EX_OK;
        case 'h':
            fputs(usage, stdout);
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "credswapd: no argument expected: %s\n", argv[optind]);
        return EX_USAGE;
    }
    struct errmsg msg = {0};
    struct conf *conf = NULL;
    enum err e = conf_load(path, &conf, &msg);
    if (e == ERR_OK && check) {
        e = server_check(conf, &msg);
        conf_destroy(conf);
        if (e == ERR_OK)
            puts("ok");
    } else if (e == ERR_OK) {
        e = server_run(conf, path, &msg);
    }
    if (e != ERR_OK)
        fprintf(stderr, "credswapd: %s\n", *msg.text ? msg.text : err_str(e));
    return exit_code(e);
}
