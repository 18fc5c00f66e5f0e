/* Key files come from people and browsers' download folders: every bound is checked before anything
 * is stored. */
#include "keys/keyfile.h"

#include "base/mem.h"
#include "keys/json.h"
#include "keys/keys_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#define EMAIL_MAX 254
#define FIELD_MAX 256

void keyfile_destroy(struct keyfile *k)
{
    if (!k)
        return;
    mem_free(k->project_id);
    mem_free(k->private_key_id);
    mem_free(k->client_email);
    mem_free(k->token_uri);
    mem_free(k->universe_domain);
    secret_unref(&k->private_key);
    mem_free(k);
}

/* ---- the private key ---- */

enum err private_key_parse(struct slice pem, EVP_PKEY **ret, struct errmsg *msg)
{
    if (pem.n == 0 || pem.n > KEYFILE_MAX)
        return err_set(msg, ERR_CRYPTO, "the private key is empty or too large");
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, pem_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error(); /* its texts may quote what was read */
    if (!key)
        return err_set(msg, ERR_CRYPTO,
                       "the private key is not PEM text of an unencrypted key (PKCS#8 or PKCS#1)");
    int bits = EVP_PKEY_get_bits(key);
    enum err e = ERR_OK;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        e = err_set(msg, ERR_CRYPTO, "the private key is not an RSA key");
    else if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        e = err_set(msg, ERR_CRYPTO, "the private key has %d bits; %d to %d are accepted", bits,
                    RSA_BITS_MIN, RSA_BITS_MAX);
    if (e == ERR_OK)
        *ret = key;
    else
        EVP_PKEY_free(key);
    return e;
}

/* A damaged number inside a well-formed key would only show at the first mint. */
static enum err check_key_pair(EVP_PKEY *key, struct errmsg *msg)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok ? ERR_OK : err_set(msg, ERR_CRYPTO, "the private key is damaged");
}

/* ---- the JSON around it ---- */

static enum err get_text(const cJSON *root, const char *name, struct slice *ret, struct errmsg *msg)
{
    const cJSON *found = NULL;
    if (json_member(root, name, &found) != ERR_OK)
        return err_set(msg, ERR_INVALID, "the key file has two members called %s", name);
    if (found && !cJSON_IsString(found))
        return err_set(msg, ERR_INVALID, "%s in the key file is not a string", name);
    *ret = slice_of(found ? found->valuestring : NULL);
    return ERR_OK;
}

static bool is_visible(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    return true;
}

static bool is_identifier(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._:", c))))
            return false;
    }
    return true;
}

static bool is_email(struct slice s)
{
    size_t at = slice_find(s, '@', 0);
    return s.n <= EMAIL_MAX && at > 0 && at + 1 < s.n && slice_find(s, '@', at + 1) == s.n &&
           !memchr(s.p, '"', s.n) && !memchr(s.p, '\\', s.n);
}

/* A visible, bounded member, copied; DEFLT (NULL: required) stands in for a missing one. */
static enum err take(const cJSON *root, const char *name, const char *deflt,
                     bool (*is_good)(struct slice), char **ret, struct errmsg *msg)
{
    struct slice s = {NULL, 0};
    enum err e = get_text(root, name, &s, msg);
    if (e != ERR_OK)
        return e;
    if (!s.p && deflt)
        s = slice_of(deflt);
    if (!s.p)
        return err_set(msg, ERR_INVALID, "%s is missing in the key file", name);
    if (s.n > FIELD_MAX || (s.n == 0 && !deflt) || !is_visible(s) || !is_good(s))
        return err_set(msg, ERR_INVALID,
                       "%s in the key file is not well-formed (empty, too long, or with characters "
                       "that do not belong there)",
                       name);
    *ret = mem_dupn(s.p, s.n);
    return *ret ? ERR_OK : err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
}

static enum err check_type(const cJSON *root, struct errmsg *msg)
{
    struct slice type = {NULL, 0};
    enum err e = get_text(root, "type", &type, msg);
    if (e != ERR_OK)
        return e;
    if (type.p && slice_eq(type, SLICE("service_account")))
        return ERR_OK;
    if (type.p && slice_eq(type, SLICE("authorized_user")))
        return err_set(msg, ERR_INVALID,
                       "this is a person's login (type authorized_user): make a key of a service "
                       "account instead");
    return err_set(msg, ERR_INVALID,
                   "the file's type is not service_account: download a key of a service account "
                   "in JSON form");
}

static enum err check_token_uri(const char *uri, const char *const *allow, size_t n,
                                struct errmsg *msg)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(uri, allow[i]) == 0)
            return ERR_OK;
    return err_set(msg, ERR_DENIED,
                   "token_uri in the key file is not one of oauth.token_uri_allow: signed "
                   "assertions are sent nowhere else");
}

static enum err take_key(cJSON *root, struct keyfile *k, struct errmsg *msg)
{
    struct slice pem = {NULL, 0};
    EVP_PKEY *key = NULL;
    enum err e = get_text(root, "private_key", &pem, msg);
    if (e != ERR_OK)
        return e;
    if (!pem.p)
        return err_set(msg, ERR_INVALID, "private_key is missing in the key file");
    e = private_key_parse(pem, &key, msg);
    if (e == ERR_OK)
        e = check_key_pair(key, msg);
    if (e == ERR_OK) {
        k->bits = EVP_PKEY_get_bits(key);
        k->private_key = secret_new(pem.p, pem.n);
        if (!k->private_key)
            e = err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    }
    EVP_PKEY_free(key);
    return e == ERR_CRYPTO ? ERR_INVALID : e;
}

static enum err fill(cJSON *root, const char *const *allow, size_t allow_count, struct keyfile *k,
                     struct errmsg *msg)
{
    enum err e = check_type(root, msg);
    if (e == ERR_OK)
        e = take(root, "project_id", NULL, is_identifier, &k->project_id, msg);
    if (e == ERR_OK)
        e = take(root, "private_key_id", "", is_identifier, &k->private_key_id, msg);
    if (e == ERR_OK)
        e = take(root, "client_email", NULL, is_email, &k->client_email, msg);
    if (e == ERR_OK)
        e = take(root, "universe_domain", "googleapis.com", is_identifier, &k->universe_domain,
                 msg);
    if (e == ERR_OK)
        e = take(root, "token_uri", allow_count ? allow[0] : NULL, is_visible, &k->token_uri, msg);
    if (e == ERR_OK)
        e = check_token_uri(k->token_uri, allow, allow_count, msg);
    if (e == ERR_OK)
        e = take_key(root, k, msg);
    return e;
}

enum err keyfile_parse(struct slice json, const char *const *token_uri_allow, size_t allow_count,
                       struct keyfile **ret, struct errmsg *msg)
{
    cJSON *root = NULL;
    const char *why = NULL;
    enum err e = json_object_parse(json, KEYFILE_MAX, &root, &why);
    if (e != ERR_OK)
        return err_set(msg, e, "the key file %s", why);
    struct keyfile *k = mem_calloc(1, sizeof *k);
    e = k ? fill(root, token_uri_allow, allow_count, k, msg)
          : err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    json_object_destroy(root);
    if (e == ERR_OK)
        *ret = k;
    else
        keyfile_destroy(k);
    return e;
}
