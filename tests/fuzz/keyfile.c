/* room: keys */
/* A key file is whatever a person gives to `account add`: any bytes end in fields within bounds or
 * in a sentence. */
#include "keys/keyfile.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *z)
{
    CHECK(z != NULL && strlen(z) <= 256);
    for (; *z; z++)
        CHECK(*z > 0x20 && *z < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allow[] = {"https://oauth2.googleapis.com/token"};
    struct keyfile *k = NULL;
    struct errmsg msg = {""};
    struct slice json = slice_make(data, size);
    if (keyfile_parse(json, allow, 1, &k, &msg) == ERR_OK) {
        check_text(k->project_id);
        check_text(k->private_key_id);
        check_text(k->client_email);
        check_text(k->universe_domain);
        CHECK(strcmp(k->token_uri, allow[0]) == 0);
        CHECK(k->bits >= RSA_BITS_MIN && k->bits <= RSA_BITS_MAX);
        keyfile_destroy(k);
    } else {
        CHECK(k == NULL && *msg.text);
        for (const char *z = msg.text; *z; z++)
            CHECK(*z >= 0x20 && *z < 0x7f);
    }
    EVP_PKEY *key = NULL;
    if (private_key_parse(json, &key, NULL) == ERR_OK)
        EVP_PKEY_free(key);
    return 0;
}
