/* Key files, from the disk to fields. */
#include "cli/keyinfo.h"

#include "cli/input.h"
#include "conf/conf.h"

#include <stdio.h>
#include <sys/stat.h>

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

int keyinfo_read(struct cli *c, const char *path, struct keyfile **ret)
{
    struct sbuf json;
    struct errmsg msg = {0};
    sbuf_init(&json, KEYFILE_MAX);
    int code = cli_conf(c);
    if (code == 0)
        code = input_read(c, path, &json);
    if (code == 0) {
        enum err e =
            keyfile_parse(sbuf_slice(&json), (const char *const *)c->conf->oauth.token_uri_allow.v,
                          c->conf->oauth.token_uri_allow.n, ret, &msg);
        if (e != ERR_OK)
            code = cli_fail(c, EX_DATAERR, "%s: %s", strcmp(path, "-") ? path : "standard input",
                            msg.text);
    }
    sbuf_finish_wipe(&json);
    return code;
}

void keyinfo_warn_mode(struct cli *c, const char *path)
{
    struct stat st;
    if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && (st.st_mode & 077))
        cli_say(c,
                "warning: others may read %s (mode %03o); chmod 600 it, or delete it now: the "
                "store has the key",
                path, (unsigned)(st.st_mode & 0777));
}

bool keyinfo_is_api_key(struct slice key)
{
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] <= 0x20 || key.p[i] >= 0x7f)
            return false;
    return key.n >= 8;
}
