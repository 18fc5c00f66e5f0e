/* Key files and API keys as the commands take them. */
#ifndef CLI_KEYINFO_H
#define CLI_KEYINFO_H
#include "cli/cli.h"
#include "keys/keyfile.h"
#include "store/account.h"

/** Fills project, email, key_id and token_uri; they borrow from K. */
void keyinfo_fields(const struct keyfile *k, struct account_fields *f);
/** The part of client_email before the @, cut to 64 characters. Returns BUF. */
char *keyinfo_name(const struct keyfile *k, char buf[65]);
/** Reads a service account's key file (or standard input for "-"). 0, or the exit code after
 * cli_fail. */
int keyinfo_read(struct cli *c, const char *path, struct keyfile **ret);
/** Says so when others may read the file. */
void keyinfo_warn_mode(struct cli *c, const char *path);
/** 8 visible characters at least, and nothing else. */
bool keyinfo_is_api_key(struct slice key);

#endif
