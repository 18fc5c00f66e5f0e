/* Scripts that let a shell complete what the table knows. Pure. */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H
#include "base/sbuf.h"
#include "cli/args.h"

enum completion_shell {
    COMPLETION_BASH,
    COMPLETION_ZSH,
    COMPLETION_FISH
};

bool completion_shell_from(const char *text, enum completion_shell *ret); /* "bash" ... */
/** The whole script. */
void completion_print(const struct command_table *t, enum completion_shell shell, struct sbuf *out);

#endif
