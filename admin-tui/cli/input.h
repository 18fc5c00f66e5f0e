/* Files and standard input of the console: bounded reads, secrets without echo, whole-or-nothing
 * writes. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H
#include "cli/cli.h"

/** Appends the file (or standard input for "-": C's own where it has one) to OUT, which must have
 * its maximum. 0, or the exit code after cli_fail: 66 missing or unreadable, 65 larger than the
 * maximum. */
int input_read(struct cli *c, const char *path, struct sbuf *out);
/** One secret from standard input: on a terminal asked for (PROMPT) without echo, else the whole
 * input without its last line end. The caller wipes OUT. */
int input_secret(struct cli *c, const char *prompt, struct sbuf *out);
/** Makes PATH with MODE and these bytes; ERR_EXISTS when it is there. Never half a file. */
enum err output_new(const char *path, unsigned mode, struct slice bytes,
                    struct errmsg *msg) NODISCARD;
/** Makes the folder of PATH (0700) with its parents when missing. */
enum err output_folder(const char *path, struct errmsg *msg) NODISCARD;

#endif
