/* Sealing of values at rest, and the keyed hash of placeholders. Contexts are prepared once for
 * each thread: the hash is asked for by requests. */
#include "base/seal.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define NONCE_SIZE 12
#define TAG_SIZE 16
#define SEAL_VERSION 1

struct master_key {
    atomic_uint refs;
    unsigned char seal_key[32];
    /* HMAC as two hashes that have eaten their padded key already: half the work for each
     * placeholder, and no OpenSSL object is made for a request. */
    struct mac {
        EVP_MD_CTX *inner, *outer;
    } placeholders, passes;
};

void random_bytes(void *p, size_t n)
{
    CHECK(n <= INT32_MAX && RAND_bytes(p, (int)n) == 1);
}

static bool derive(struct slice master, const char *label, unsigned char *out, size_t n)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256", salt[] = "credswap v1";
    char info[64], key[MASTER_KEY_SIZE];
    bool ok = false;
    if (ctx && slice_copy(slice_of(label), info, sizeof info) && master.n == sizeof key) {
        memcpy(key, master.p, sizeof key);
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, sizeof key),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof salt - 1),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, strlen(info)),
            OSSL_PARAM_construct_end(),
        };
        ok = EVP_KDF_derive(ctx, out, n, params) == 1;
        mem_wipe(key, sizeof key);
    }
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

static EVP_MD_CTX *keyed(const unsigned char key[32], unsigned char pad)
{
    unsigned char block[SHA256_CBLOCK];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (unsigned char)((i < 32 ? key[i] : 0) ^ pad);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
                EVP_DigestUpdate(ctx, block, sizeof block) != 1)) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    mem_wipe(block, sizeof block);
    return ctx;
}

static bool mac_init(struct mac *m, struct slice master, const char *label)
{
    unsigned char key[32];
    bool ok = derive(master, label, key, sizeof key);
    if (ok) {
        m->inner = keyed(key, 0x36);
        m->outer = keyed(key, 0x5c);
    }
    mem_wipe(key, sizeof key);
    return m->inner && m->outer;
}

static void mac_finish(struct mac *m)
{
    EVP_MD_CTX_free(m->inner);
    EVP_MD_CTX_free(m->outer);
}

enum err master_key_new(struct slice bytes, struct master_key **ret)
{
    if (bytes.n != MASTER_KEY_SIZE)
        return ERR_INVALID;
    struct master_key *k = mem_calloc(1, sizeof *k);
    if (!k)
        return ERR_NOMEM;
    atomic_init(&k->refs, 1);
    if (!derive(bytes, "seal", k->seal_key, sizeof k->seal_key) ||
        !mac_init(&k->placeholders, bytes, "placeholder") || !mac_init(&k->passes, bytes, "pass")) {
        master_key_unref(&k);
        return ERR_CRYPTO;
    }
    *ret = k;
    return ERR_OK;
}

struct master_key *master_key_ref(struct master_key *k)
{
    if (k)
        atomic_fetch_add(&k->refs, 1);
    return k;
}

void master_key_unref(struct master_key **kp)
{
    struct master_key *k = *kp;
    *kp = NULL;
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    mac_finish(&k->placeholders);
    mac_finish(&k->passes);
    mem_wipe(k, sizeof *k);
    mem_free(k);
}

enum err master_key_load(const char *path, struct master_key **ret, struct errmsg *msg)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(msg, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "master key %s: %s", path,
                       errno == ENOENT ? "no such file (`credswap ca init` makes it)"
                                       : "cannot be opened");
    struct stat st;
    unsigned char buf[MASTER_KEY_SIZE + 1];
    enum err e = ERR_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        e = err_set(msg, ERR_IO, "master key %s: not a regular file", path);
    } else if (st.st_mode & 077) {
        e = err_set(msg, ERR_PERMISSION, "master key %s: others may read it; chmod 600 it", path);
    } else {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n != MASTER_KEY_SIZE)
            e = err_set(msg, ERR_INVALID, "master key %s: must be exactly 32 bytes", path);
    }
    close(fd);
    if (e == ERR_OK) {
        e = master_key_new(slice_make(buf, MASTER_KEY_SIZE), ret);
        if (e != ERR_OK)
            err_set(msg, e, "master key %s: %s", path, err_str(e));
    }
    mem_wipe(buf, sizeof buf);
    return e;
}

/* Length before each name, so that ("ab","c") and ("a","bc") differ. */
static bool add_place(EVP_CIPHER_CTX *ctx, const struct seal_place *at, bool sealing)
{
    const char *parts[3] = {at->table, at->row, at->column};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t n = strlen(parts[i]);
        if (n > UINT16_MAX)
            return false;
        unsigned char len[2] = {(unsigned char)(n >> 8), (unsigned char)n};
        int done;
        int (*update)(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int) =
            sealing ? EVP_EncryptUpdate : EVP_DecryptUpdate;
        if (update(ctx, NULL, &done, len, 2) != 1 ||
            update(ctx, NULL, &done, (const unsigned char *)parts[i], (int)n) != 1)
            return false;
    }
    return true;
}

enum err seal(const struct master_key *k, const struct seal_place *at, struct slice plain,
              struct sbuf *out)
{
    if (plain.n > (size_t)1 << 20)
        return ERR_TOO_LARGE;
    size_t need = 1 + NONCE_SIZE + plain.n + TAG_SIZE;
    unsigned char *p = (unsigned char *)sbuf_reserve(out, need);
    if (!p)
        return ERR_NOMEM;
    p[0] = SEAL_VERSION;
    random_bytes(p + 1, NONCE_SIZE);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, last = 0;
    bool ok =
        ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, k->seal_key, p + 1) == 1 &&
        add_place(ctx, at, true) &&
        EVP_EncryptUpdate(ctx, p + 1 + NONCE_SIZE, &n, (const unsigned char *)plain.p,
                          (int)plain.n) == 1 &&
        EVP_EncryptFinal_ex(ctx, p + 1 + NONCE_SIZE + n, &last) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, p + 1 + NONCE_SIZE + plain.n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        return ERR_CRYPTO;
    sbuf_commit(out, need);
    return ERR_OK;
}

enum err unseal(const struct master_key *k, const struct seal_place *at, struct slice sealed,
                struct secret **ret)
{
    if (sealed.n < 1 + NONCE_SIZE + TAG_SIZE || sealed.n > (size_t)1 << 21 ||
        sealed.p[0] != SEAL_VERSION)
        return ERR_CRYPTO;
    size_t n = sealed.n - 1 - NONCE_SIZE - TAG_SIZE;
    const unsigned char *nonce = (const unsigned char *)sealed.p + 1;
    unsigned char tag[TAG_SIZE];
    memcpy(tag, nonce + NONCE_SIZE + n, TAG_SIZE);
    unsigned char *plain = mem_alloc(n + 1);
    if (!plain)
        return ERR_NOMEM;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done = 0, last = 0;
    bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, k->seal_key, nonce) == 1 &&
              add_place(ctx, at, false) &&
              EVP_DecryptUpdate(ctx, plain, &done, nonce + NONCE_SIZE, (int)n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
              EVP_DecryptFinal_ex(ctx, plain + done, &last) == 1;
    EVP_CIPHER_CTX_free(ctx);
    enum err e = ERR_CRYPTO;
    if (ok) {
        *ret = secret_new(plain, n);
        e = *ret ? ERR_OK : ERR_NOMEM;
    }
    mem_wipe(plain, n);
    mem_free(plain);
    return e;
}

static pthread_key_t ctx_key;
static pthread_once_t ctx_once = PTHREAD_ONCE_INIT;

static void free_ctx(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void make_ctx_key(void)
{
    CHECK(pthread_key_create(&ctx_key, free_ctx) == 0);
}

/* One for each thread, freed when it ends: a request makes no OpenSSL object. */
static EVP_MD_CTX *thread_ctx(void)
{
    static _Thread_local EVP_MD_CTX *mine;
    if (!mine) {
        pthread_once(&ctx_once, make_ctx_key);
        mine = EVP_MD_CTX_new();
        pthread_setspecific(ctx_key, mine);
    }
    return mine;
}

static enum err mac_of(const struct mac *m, struct slice bytes, unsigned char ret[HMAC_SIZE])
{
    EVP_MD_CTX *work = thread_ctx();
    if (!work)
        return ERR_NOMEM;
    unsigned char mid[32];
    unsigned n = 0;
    bool ok =
        EVP_MD_CTX_copy_ex(work, m->inner) == 1 && EVP_DigestUpdate(work, bytes.p, bytes.n) == 1 &&
        EVP_DigestFinal_ex(work, mid, &n) == 1 && EVP_MD_CTX_copy_ex(work, m->outer) == 1 &&
        EVP_DigestUpdate(work, mid, sizeof mid) == 1 && EVP_DigestFinal_ex(work, ret, &n) == 1;
    return ok ? ERR_OK : ERR_CRYPTO;
}

enum err placeholder_hash(const struct master_key *k, struct slice placeholder,
                          unsigned char ret[HMAC_SIZE])
{
    return mac_of(&k->placeholders, placeholder, ret);
}

enum err pass_mac(const struct master_key *k, struct slice bytes, unsigned char ret[HMAC_SIZE])
{
    return mac_of(&k->passes, bytes, ret);
}
