/* The command line as a value: one table of commands decides what is legal and what --help says.
 * Pure. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H
#include <stdbool.h>
#include <stddef.h>

struct cli;

struct option_def {
    const char *name;  /* "--weight"; NULL ends the list */
    const char *value; /* what stands behind it, as the help names it; NULL: a flag */
    const char *help;
};

/* Those of all commands. */
extern const struct option_def args_options[];

struct command {
    const char *noun, *verb;          /* verb NULL: the noun alone is the command */
    const char *operands;             /* as the usage line names them, "" none */
    const char *summary;              /* one line */
    const char *more;                 /* further lines of the help, or NULL */
    const struct option_def *options; /* or NULL */
    int min, max;                     /* operands */
    bool has_json;                    /* --json is understood */
    int (*run)(struct cli *c);
};

struct command_table {
    const struct command *const *v;
    size_t n;
};

#define ARGS_OPERANDS_MAX 256
#define ARGS_OPTIONS_MAX 32

struct args {
    const char *noun; /* as typed, NULL: none */
    const struct command *command;
    const char *operand[ARGS_OPERANDS_MAX];
    int operand_count;
    struct {
        const char *name, *value;
    } option[ARGS_OPTIONS_MAX];
    int option_count;
    const char *config;
    bool json, yes, no_input, help, version;
    char problem[200]; /* one line when args_parse says false */
};

/** Options may stand anywhere (those of all commands before the noun too), "--name=value" or
 * "--name value"; "--" ends them; "-" is an operand. False: *ret.problem says why, exit 64. With
 * help or version set nothing else is checked. Borrows ARGV. */
bool args_parse(const struct command_table *t, int argc, char *const *argv, struct args *ret);
/** The value of an option ("" for a flag) or NULL. Given twice, the last one counts. */
const char *args_get(const struct args *a, const char *name);
const char *args_operand(const struct args *a, int i); /* NULL past the end */

#define HELP_MAX 4096
/** Fills BUF: of COMMAND, else the verbs of NOUN, else (both NULL, or an unknown noun) the
 * overview. At most 24 lines. Returns BUF. */
char *args_help(const struct command_table *t, const char *noun, const struct command *command,
                char buf[HELP_MAX]);

#endif
