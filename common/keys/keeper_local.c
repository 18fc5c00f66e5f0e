/* The keeper that lives in this process. A file of its own, so that a program with another keeper
 * needs no store. */
#include "base/mem.h"
#include "base/seal.h"
#include "keys/ca.h"
#include "keys/jwt.h"
#include "keys/keeper.h"
#include "keys/keyfile.h"
#include "keys/keys_internal.h"
#include "store/account.h"
#include "store/store.h"

#include <pthread.h>

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
    struct store *store;  /* NULL: could not be opened yet */
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
    else
        (void)!store_follow(&l->store, NULL); /* what we have still knows the key */
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
    else /* now, so that a store that goes away later is still ours to read */
        (void)!store_open(l->store_path, STORE_READ_ONLY, &l->store, NULL);
    return e;
}
