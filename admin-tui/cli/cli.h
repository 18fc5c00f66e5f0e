/* What every subcommand works with: arguments, configuration, store, and one way to fail. */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"
#include "cli/args.h"
#include "cli/out.h"

#include <stdio.h>
#include <sysexits.h>

struct conf;
struct store;
struct master_key;

#define EX_FAILED 1

struct cli {
    struct args args;
    FILE *out, *talk; /* data; everything else */
    const struct slice
        *input; /* stands for standard input, never a terminal; NULL: the process's own */
    int64_t now_s;
    int64_t reviewed; /* generation that the person saw; cli_change refuses when it is another by
                         now. 0: no matter */
    char who[96];     /* "mia (uid 1001)", for the audit */
    int (*dashboard)(struct cli *c); /* the full screen; NULL: there is none here */
    struct conf *conf;               /* after cli_conf */
    struct store *store;             /* after cli_reads, cli_writes */
    struct master_key *key;          /* after cli_key */
};

/** Fills ARGS-independent fields. */
void cli_init(struct cli *c);
void cli_finish(struct cli *c);
/** Runs the command that ARGS name; the exit code. */
int cli_run(struct cli *c, int argc, char *const *argv);

/** One line on stderr, "credswap: " and the sentence; returns CODE. Control bytes are escaped. */
int cli_fail(struct cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** The same for an error of a room below: MSG's sentence (or err_str), with what to do where it is
 * known. */
int cli_fail_err(struct cli *c, enum err e, const struct errmsg *msg);
int cli_exit_code(enum err e);
/** Talk on stderr, one line. */
void cli_say(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Each returns 0, or has failed with the code that it returns. Calling twice is fine. */
int cli_conf(struct cli *c);
int cli_key(struct cli *c);
int cli_reads(struct cli *c);  /* the store, read-only */
int cli_writes(struct cli *c); /* the store, made and migrated when needed */
/** Where the master key is: store.master_key_file, else $CREDENTIALS_DIRECTORY/master.key. */
const char *cli_key_path(struct cli *c, char *buf, size_t size);

/** One audited transaction: CHANGE works on c->store; WHAT is the audit sentence. 0, or the exit
 * code after cli_fail_err. RET_CHANGED (may be NULL): whether any row is different now. */
typedef enum err (*cli_change_cb)(struct cli *c, void *arg, struct errmsg *msg);
int cli_change(struct cli *c, cli_change_cb change, void *arg, const char *what, bool *ret_changed);

/** True with --yes, without a terminal, or when the person says y. With --no-input alone: false. */
bool cli_confirm(struct cli *c, const char *question);
bool cli_may_ask(const struct cli *c);

/** The option's value as a slice; {NULL, 0} when it was not given. */
struct slice cli_option(const struct cli *c, const char *name);
/** Prints ROWS as JSON or as a table, and deletes them. Returns 0. */
int cli_list(struct cli *c, const struct column *columns, cJSON *rows);
int cli_record(struct cli *c, const struct column *columns, cJSON *row);

/** 1..64 letters, digits, and . _ - @ + from the second one on: names of accounts, clients and
 * pools. */
bool name_is_valid(struct slice name);

#endif
