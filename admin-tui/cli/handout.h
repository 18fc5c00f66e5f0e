/* The lines that a client's owner pastes. */
#ifndef CLI_HANDOUT_H
#define CLI_HANDOUT_H
#include "cli/cli.h"
#include "store/snapshot.h"

/** Prints on c->out how to use PLACEHOLDER (empty: it came from the operator and is not shown
 * again), as text, or with --json as one object with NAME. The store and configuration must be
 * open. */
void handout_print(struct cli *c, struct slice name, enum service service,
                   struct slice placeholder);
/** SHA-256 of the bytes as 64 hex digits. */
void handout_sha256(struct slice bytes, char ret[65]);
/** The host name of this machine, "localhost" when it has none. */
const char *handout_hostname(char buf[256]);

#endif
