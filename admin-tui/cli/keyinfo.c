/* Key file fields. */
#include "cli/keyinfo.h"

#include <stdio.h>

void keyinfo_fields(const struct keyfile *k, struct account_fields *f)
{
    f->project = slice_of(k->project_id);
    f->email = slice_of(k->client_email);
    f->key_id = slice_of(k->private_key_id);
    f->token_uri = slice_of(k->token_uri);
}

char *keyinfo_name(const struct keyfile *k, char buf[65])
{
    size_t n = slice_find(slice_of(k->client_email), '@', 0);
    snprintf(buf, 65, "%.*s", (int)(n < 64 ? n : 64), k->client_email);
    return buf;
}
