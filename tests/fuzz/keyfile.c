/* room: keys */
/* drives: common/keys/keyfile.c common/keys/json.c */
/* dict: json */
/* A key file is whatever a person gives to `account add`: any bytes end in fields within bounds or
 * in a sentence. A byte 1, 2 or 3 stands for a private key (RSA, elliptic, too short), in one line.
 */
#include "keys/keyfile.h"
#include "base/check.h"
#include "base/sbuf.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *z)
{
    CHECK(z != NULL && strlen(z) <= 256);
    for (; *z; z++)
        CHECK(*z > 0x20 && *z < 0x7f);
}

/* PEM with its line ends escaped, as it stands in JSON. */
static void add_key(struct sbuf *out, int kind)
{
    static struct sbuf made[4];
    struct sbuf *b = &made[kind];
    if (b->n == 0) {
        EVP_PKEY *key = kind == 2 ? EVP_EC_gen("P-256") : EVP_RSA_gen(kind == 1 ? 2048u : 1024u);
        BIO *text = BIO_new(BIO_s_mem());
        char *p = NULL;
        CHECK(key && text && PEM_write_bio_PKCS8PrivateKey(text, key, NULL, NULL, 0, NULL, NULL));
        long n = BIO_get_mem_data(text, &p);
        sbuf_init(b, 1 << 16);
        for (long i = 0; i < n; i++)
            if (p[i] == '\n')
                sbuf_adds(b, "\\n");
            else
                sbuf_addc(b, p[i]);
        BIO_free(text);
        EVP_PKEY_free(key);
    }
    sbuf_add(out, b->p, b->n);
}

static void check(struct slice json)
{
    static const char *const allow[] = {"https://oauth2.googleapis.com/token"};
    struct keyfile *k = NULL;
    struct errmsg msg = {""};
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbuf text;
    sbuf_init(&text, 1 << 20);
    for (size_t i = 0; i < size; i++)
        if (data[i] >= 1 && data[i] <= 3)
            add_key(&text, data[i]);
        else
            sbuf_addc(&text, (char)data[i]);
    if (!text.failed)
        check(text.n ? sbuf_slice(&text) : slice_make(data, 0));
    sbuf_finish(&text);
    return 0;
}
