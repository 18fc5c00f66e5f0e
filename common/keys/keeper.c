/* The keeper's door, and the keeper that lives in this process. A request never waits for it:
 * leaves are made once for a host, assertions once an hour for an account. */
#include "keys/keeper.h"

#include "base/mem.h"
#include "base/seal.h"
#include "keys/ca.h"
#include "keys/jwt.h"
#include "keys/keyfile.h"
#include "keys/keys_internal.h"
#include "store/account.h"
#include "store/store.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>

/* ---- the door ---- */

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

/* ---- in this process ---- */

/* Private keys are not kept: an assertion is made about once an hour, reading and opening a key
 * costs a fraction of a millisecond, and so an edited key counts at once and a core dump holds
 * none. */
struct local {
    struct ca *ca;
    struct master_key *key;
    char *store_path;
    int64_t leaf_days;
    char **permitted;
    size_t permitted_count;
    pthread_mutex_t lock; /* of store */
    struct store *store;  /* opened on first use */
};

static void local_destroy(void *self)
{
    struct local *l = self;
    store_close(l->store);
    pthread_mutex_destroy(&l->lock);
    ca_destroy(l->ca);
    master_key_unref(&l->key);
    mem_free(l->store_path);
    for (size_t i = 0; l->permitted && i < l->permitted_count; i++)
        mem_free(l->permitted[i]);
    mem_free(l->permitted);
    mem_free(l);
}

static enum err unseal_key(struct local *l, int64_t account_id, struct secret **ret)
{
    enum err e = ERR_OK;
    pthread_mutex_lock(&l->lock);
    if (!l->store)
        e = store_open(l->store_path, STORE_READ_ONLY, &l->store, NULL);
    if (e == ERR_OK)
        e = account_key_unseal(l->store, l->key, account_id, ret, NULL);
    pthread_mutex_unlock(&l->lock);
    return e;
}

static enum err local_sign_jwt(void *self, int64_t account_id, struct slice signing_input,
                               struct sbuf *ret_signature)
{
    struct secret *pem = NULL;
    EVP_PKEY *key = NULL;
    enum err e = unseal_key(self, account_id, &pem);
    if (e == ERR_OK)
        e = private_key_parse(secret_bytes(pem), &key, NULL);
    if (e == ERR_OK)
        e = jwt_sign(key, signing_input, ret_signature);
    EVP_PKEY_free(key);
    secret_unref(&pem);
    return e;
}

static enum err local_sign_leaf(void *self, struct slice host, EVP_PKEY *leaf_key, X509 **ret)
{
    struct local *l = self;
    for (size_t i = 0; i < l->permitted_count; i++)
        if (host_is_below(host, slice_of(l->permitted[i])))
            return leaf_sign(ca_cert(l->ca), ca_key(l->ca), host, leaf_key, l->leaf_days, ret);
    return ERR_DENIED;
}

static const struct keeper_ops local_ops = {
    .sign_jwt = local_sign_jwt,
    .sign_leaf = local_sign_leaf,
    .destroy = local_destroy,
};

static bool copy_conf(struct local *l, const struct keeper_conf *c)
{
    l->leaf_days = c->leaf_days;
    l->key = c->key ? master_key_ref(c->key) : NULL;
    l->store_path = mem_dup(c->store_path ? c->store_path : "");
    l->permitted = mem_calloc(c->permitted_count, sizeof *l->permitted);
    if (!l->store_path || !l->permitted)
        return false;
    for (; l->permitted_count < c->permitted_count; l->permitted_count++) {
        l->permitted[l->permitted_count] = mem_dup(c->permitted[l->permitted_count]);
        if (!l->permitted[l->permitted_count])
            return false;
    }
    return true;
}

enum err keeper_create(const struct keeper_conf *c, struct keeper **ret, struct errmsg *msg)
{
    struct local *l = mem_calloc(1, sizeof *l);
    if (!l)
        return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    pthread_mutex_init(&l->lock, NULL);
    enum err e = copy_conf(l, c) ? ERR_OK : err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    if (e == ERR_OK)
        e = ca_load(c->ca_cert_path, c->ca_key_path, &l->ca, msg);
    if (e == ERR_OK && (e = keeper_wrap(&local_ops, l, ca_pem(l->ca), ret)) != ERR_OK)
        err_set(msg, e, "%s", err_str(e));
    if (e != ERR_OK)
        local_destroy(l);
    return e;
}
