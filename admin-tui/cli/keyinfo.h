/* From a parsed key file to the fields of an account. Pure. */
#ifndef CLI_KEYINFO_H
#define CLI_KEYINFO_H
#include "keys/keyfile.h"
#include "store/account.h"

/** Fills project, email, key_id and token_uri; they borrow from K. */
void keyinfo_fields(const struct keyfile *k, struct account_fields *f);
/** The part of client_email before the @, cut to 64 characters. Returns BUF. */
char *keyinfo_name(const struct keyfile *k, char buf[65]);

#endif
