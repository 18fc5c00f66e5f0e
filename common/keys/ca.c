/* Making and reading the CA. The key file is born with its final mode and never replaced. */
#include "keys/ca.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "base/seal.h"
#include "keys/keys_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX 65536
#define BACKDATE_S 86400

struct ca {
    X509 *cert;
    EVP_PKEY *key;
    char *pem;
    size_t pem_n;
};

/* ---- making ---- */

/* "critical,permitted;DNS:a,...": with no address permitted at all, addresses are excluded by name,
 * because a constraint on names says nothing about addresses. */
static enum err write_constraints(const struct ca_params *p, struct sbuf *out, struct errmsg *msg)
{
    bool has_v4 = false, has_v6 = false;
    sbuf_adds(out, "critical");
    for (size_t i = 0; i < p->permitted_count; i++) {
        const char *name = p->permitted[i];
        switch (host_kind(slice_of(name))) {
        case HOST_NAME:
            sbuf_addf(out, ",permitted;DNS:%s", name);
            break;
        case HOST_IPV4:
            sbuf_addf(out, ",permitted;IP:%s/255.255.255.255", name);
            has_v4 = true;
            break;
        case HOST_IPV6:
            sbuf_addf(out, ",permitted;IP:%s/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", name);
            has_v6 = true;
            break;
        case HOST_BAD:
        default:
            return err_set(msg, ERR_INVALID,
                           "the CA cannot be limited to item %zu of its domains: it is neither a "
                           "lower-case domain name nor an address",
                           i + 1);
        }
    }
    if (!has_v4)
        sbuf_adds(out, ",excluded;IP:0.0.0.0/0.0.0.0");
    if (!has_v6)
        sbuf_adds(out, ",excluded;IP:::/::");
    return out->failed ? err_set(msg, ERR_TOO_LARGE, "too many domains for one CA") : ERR_OK;
}

static bool name_ca(X509 *x, const char *host)
{
    /* The host is the operator's own; anything odd in it is left out rather than refused. */
    char cn[65];
    bool plain = host && *host && host_kind(slice_of(host)) != HOST_BAD && strlen(host) < 40;
    snprintf(cn, sizeof cn, plain ? "credswap CA on %s" : "credswap CA%s", plain ? host : "");
    X509_NAME *name = X509_get_subject_name(x);
    return cert_name_add(name, "O", "credswap") && cert_name_add(name, "CN", cn) &&
           X509_set_issuer_name(x, name) == 1;
}

static X509 *build_ca(const struct ca_params *p, const char *constraints, EVP_PKEY *key)
{
    int64_t now = clock_wall_s();
    int64_t days = p->days ? p->days : CA_DAYS_DEFAULT;
    X509 *x = X509_new();
    if (x && X509_set_version(x, X509_VERSION_3) == 1 && cert_set_serial(x) &&
        cert_set_times(x, now - BACKDATE_S, now + days * 86400) && name_ca(x, p->host) &&
        X509_set_pubkey(x, key) == 1 &&
        cert_add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        cert_add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        cert_add_ext(x, x, NID_subject_key_identifier, "hash") &&
        cert_add_ext(x, x, NID_name_constraints, constraints) && X509_sign(x, key, EVP_sha256()))
        return x;
    X509_free(x);
    return NULL;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

/* From TMP to PATH unless PATH exists. Not every file system knows the flag; a hard link asks the
 * same. */
static int rename_new(const char *tmp, const char *path)
{
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(tmp, path) != 0)
        return -1;
    unlink(tmp);
    return 0;
}

static enum err write_new(const char *path, mode_t mode, struct slice text, struct errmsg *msg)
{
    char tmp[4096];
    unsigned char r[4];
    random_bytes(r, sizeof r);
    int n = snprintf(tmp, sizeof tmp, "%s.%02x%02x%02x%02x", path, r[0], r[1], r[2], r[3]);
    if (n < 0 || (size_t)n >= sizeof tmp)
        return err_set(msg, ERR_INVALID, "the path of the CA is too long");
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(msg, ERR_IO, "cannot create %s: %s", path, strerrordesc_np(errno));
    bool ok = write_all(fd, text.p, text.n) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    int why = errno;
    if (close(fd) == 0 && ok && rename_new(tmp, path) == 0)
        return ERR_OK;
    if (ok)
        why = errno;
    unlink(tmp);
    if (why == EEXIST)
        return err_set(msg, ERR_EXISTS, "%s exists already and is not overwritten", path);
    return err_set(msg, ERR_IO, "cannot write %s: %s", path, strerrordesc_np(why));
}

static enum err write_pair(X509 *cert, EVP_PKEY *key, const char *cert_path, const char *key_path,
                           struct errmsg *msg)
{
    enum err e = ERR_NOMEM;
    char *p = NULL;
    long n;
    BIO *key_bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    BIO *cert_bio = BIO_new(BIO_s_mem());
    if (!key_bio || !cert_bio ||
        PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_bio, cert) != 1)
        goto out;
    n = BIO_get_mem_data(key_bio, &p);
    e = write_new(key_path, 0600, slice_make(p, (size_t)n), msg);
    if (e != ERR_OK)
        goto out;
    n = BIO_get_mem_data(cert_bio, &p);
    e = write_new(cert_path, 0644, slice_make(p, (size_t)n), msg);
    if (e != ERR_OK)
        unlink(key_path); /* ours, made just now: half a CA is none */
out:
    BIO_free(key_bio);
    BIO_free(cert_bio);
    return e;
}

enum err ca_create(const struct ca_params *p, const char *cert_path, const char *key_path,
                   struct errmsg *msg)
{
    if (p->permitted_count == 0 ||
        (p->days != 0 && (p->days < CA_DAYS_MIN || p->days > CA_DAYS_MAX)))
        return err_set(msg, ERR_INVALID,
                       "a CA needs at least one domain and a life of %d to %d days", CA_DAYS_MIN,
                       CA_DAYS_MAX);
    if (access(cert_path, F_OK) == 0)
        return err_set(msg, ERR_EXISTS, "%s exists already and is not overwritten", cert_path);
    struct sbuf constraints;
    sbuf_init(&constraints, 16384);
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    enum err e = write_constraints(p, &constraints, msg);
    if (e == ERR_OK) {
        key = EVP_EC_gen("P-256");
        cert = key ? build_ca(p, sbuf_z(&constraints), key) : NULL;
        e = cert ? write_pair(cert, key, cert_path, key_path, msg)
                 : err_set(msg, ERR_CRYPTO, "OpenSSL could not make the CA");
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    sbuf_finish(&constraints);
    return e;
}

/* ---- reading ---- */

/* The whole file, after its mode was looked at on the open descriptor. */
static enum err read_file(const char *path, mode_t forbidden, struct sbuf *out, struct errmsg *msg)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(msg, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %s: %s", path,
                       strerrordesc_np(errno));
    struct stat st;
    enum err e = ERR_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        e = err_set(msg, ERR_INVALID, "%s is not a regular file", path);
    else if (st.st_mode & forbidden)
        e = err_set(msg, ERR_PERMISSION, "%s has mode %04o: chmod %s %s", path,
                    (unsigned)(st.st_mode & 07777), forbidden & 0044 ? "600" : "go-w", path);
    ssize_t n = 1;
    while (e == ERR_OK && n > 0) {
        char *to = sbuf_reserve(out, 4096);
        n = to ? read(fd, to, 4096) : -1;
        if (n > 0)
            sbuf_commit(out, (size_t)n);
    }
    if (e == ERR_OK && n < 0)
        e = err_set(msg, ERR_IO, "cannot read %s", path);
    close(fd);
    return e;
}

static enum err load_cert(const char *path, struct sbuf *text, X509 **ret, struct errmsg *msg)
{
    enum err e = read_file(path, 0022, text, msg);
    if (e != ERR_OK)
        return e;
    BIO *bio = BIO_new_mem_buf(text->p ? text->p : "", (int)text->n);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, pem_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!x)
        return err_set(msg, ERR_INVALID, "%s holds no PEM certificate", path);
    *ret = x;
    return ERR_OK;
}

static enum err load_key(const char *path, EVP_PKEY **ret, struct errmsg *msg)
{
    struct sbuf text;
    sbuf_init(&text, PEM_MAX);
    enum err e = read_file(path, 0077, &text, msg);
    if (e == ERR_OK) {
        BIO *bio = BIO_new_mem_buf(text.p ? text.p : "", (int)text.n);
        EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, pem_no_passphrase, NULL) : NULL;
        BIO_free(bio);
        if (key)
            *ret = key;
        else
            e = err_set(msg, ERR_INVALID, "%s holds no PEM private key without passphrase", path);
    }
    sbuf_finish_wipe(&text);
    return e;
}

static enum err check_ca(X509 *x, EVP_PKEY *key, const char *path, struct errmsg *msg)
{
    if (X509_check_ca(x) != 1 || !(X509_get_key_usage(x) & KU_KEY_CERT_SIGN))
        return err_set(msg, ERR_INVALID, "%s is not a CA certificate", path);
    if (X509_check_private_key(x, key) != 1)
        return err_set(msg, ERR_INVALID, "the CA key does not belong to %s", path);
    char at[32];
    int64_t now = clock_wall_s(), from = cert_unix(X509_get0_notBefore(x)),
            to = cert_unix(X509_get0_notAfter(x));
    if (now < from)
        return err_set(msg, ERR_CERT, "%s is valid from %s only: is the clock right?", path,
                       clock_format_utc(from, at, sizeof at));
    if (now >= to)
        return err_set(msg, ERR_CERT, "%s expired on %s: make a new one with `credswap ca rotate`",
                       path, clock_format_utc(to, at, sizeof at));
    return ERR_OK;
}

enum err ca_load(const char *cert_path, const char *key_path, struct ca **ret, struct errmsg *msg)
{
    struct ca *ca = mem_calloc(1, sizeof *ca);
    if (!ca)
        return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    struct sbuf text;
    sbuf_init(&text, PEM_MAX);
    enum err e = load_cert(cert_path, &text, &ca->cert, msg);
    if (e == ERR_OK)
        e = load_key(key_path, &ca->key, msg);
    if (e == ERR_OK)
        e = check_ca(ca->cert, ca->key, cert_path, msg);
    if (e == ERR_OK && !(ca->pem = mem_dupn(text.p, text.n)))
        e = err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
    ca->pem_n = text.n;
    sbuf_finish(&text);
    if (e == ERR_OK)
        *ret = ca;
    else
        ca_destroy(ca);
    return e;
}

void ca_destroy(struct ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    mem_free(ca->pem);
    mem_free(ca);
}

X509 *ca_cert(const struct ca *ca)
{
    return ca->cert;
}

EVP_PKEY *ca_key(const struct ca *ca)
{
    return ca->key;
}

struct slice ca_pem(const struct ca *ca)
{
    return slice_make(ca->pem, ca->pem_n);
}

enum err ca_info_load(const char *cert_path, struct ca_info *ret, struct errmsg *msg)
{
    struct sbuf text;
    sbuf_init(&text, PEM_MAX);
    X509 *x = NULL;
    enum err e = load_cert(cert_path, &text, &x, msg);
    if (e == ERR_OK)
        e = ca_info_of(x, ret);
    X509_free(x);
    sbuf_finish(&text);
    return e;
}
