/* The keeper's door. No request waits behind it: leaves are made once for a host, assertions once
 * an hour for an account. Who stands behind it is keeper_local.c, or whatever keeper_wrap was
 * given. */
#include "keys/keeper.h"

#include "base/mem.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>

struct keeper {
    const struct keeper_ops *ops;
    void *self;
    X509 *ca;
    char *pem;
    size_t pem_n;
    char sha256[2 * SHA256_DIGEST_LENGTH + 1];
};

static void hex_sha256(struct slice text, char *ret)
{
    unsigned char md[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text.p, text.n, md);
    for (size_t i = 0; i < sizeof md; i++)
        snprintf(ret + 2 * i, 3, "%02x", md[i]);
}

enum err keeper_wrap(const struct keeper_ops *ops, void *self, struct slice ca_pem_text,
                     struct keeper **ret)
{
    struct keeper *k = mem_calloc(1, sizeof *k);
    if (!k)
        return ERR_NOMEM;
    BIO *bio = BIO_new_mem_buf(ca_pem_text.p, (int)ca_pem_text.n);
    k->ca = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    k->pem = mem_dupn(ca_pem_text.p, ca_pem_text.n);
    k->pem_n = ca_pem_text.n;
    if (!k->ca || !k->pem) {
        X509_free(k->ca);
        mem_free(k->pem);
        mem_free(k);
        return ERR_INVALID;
    }
    hex_sha256(ca_pem_text, k->sha256);
    k->ops = ops;
    k->self = self;
    *ret = k;
    return ERR_OK;
}

void keeper_destroy(struct keeper *k)
{
    if (!k)
        return;
    k->ops->destroy(k->self);
    X509_free(k->ca);
    mem_free(k->pem);
    mem_free(k);
}

enum err keeper_sign_jwt(struct keeper *k, int64_t account_id, struct slice signing_input,
                         struct sbuf *ret_signature, struct errmsg *msg)
{
    enum err e = k->ops->sign_jwt(k->self, account_id, signing_input, ret_signature);
    if (e == ERR_OK)
        return e;
    const char *what = e == ERR_NOT_FOUND ? "the account has no key in the store"
                       : e == ERR_CRYPTO  ? "the account's key does not open with this master key"
                                          : err_str(e);
    return err_set(msg, e, "%s", what);
}

enum err keeper_sign_leaf(struct keeper *k, struct slice host, EVP_PKEY *leaf_key, X509 **ret)
{
    return k->ops->sign_leaf(k->self, host, leaf_key, ret);
}

void keeper_forget(struct keeper *k, int64_t account_id)
{
    if (k->ops->forget)
        k->ops->forget(k->self, account_id);
}

X509 *keeper_ca(const struct keeper *k)
{
    return k->ca;
}

struct slice keeper_ca_pem(const struct keeper *k)
{
    return slice_make(k->pem, k->pem_n);
}

const char *keeper_ca_sha256(const struct keeper *k)
{
    return k->sha256;
}
