/* The certificate file in words. The key is never looked at. */
#include "cli/ca_facts.h"

#include "cli/handout.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <unistd.h>

#define PEM_FILE_MAX (1 << 20)

static int count_certificates(struct slice pem)
{
    int n = 0;
    for (size_t at; (at = slice_search(pem, SLICE("-----BEGIN CERTIFICATE-----"))) < pem.n; n++)
        pem = slice_sub(pem, at + 1, pem.n);
    return n;
}

static void describe_key(X509 *x, char *ret, size_t size)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    char group[24] = "";
    size_t n = 0;
    snprintf(ret, size, "unknown");
    if (!key)
        return;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        snprintf(ret, size, "RSA %d", EVP_PKEY_get_bits(key));
    else if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
        snprintf(ret, size, "%.20s", OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
    else if (EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1)
        snprintf(ret, size, "%s", strcmp(group, "prime256v1") == 0 ? "P-256" : group);
}

enum err ca_facts_of(struct slice pem, struct ca_facts *ret, struct errmsg *msg)
{
    struct ca_facts f = {.certificates = count_certificates(pem)};
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    enum err e = x ? ca_info_of(x, &f.info) : ERR_INVALID;
    if (x)
        describe_key(x, f.key_type, sizeof f.key_type);
    X509_free(x);
    BIO_free(in);
    if (e != ERR_OK)
        return err_set(msg, e, "the CA's file holds no certificate");
    handout_sha256(pem, f.file_sha256);
    *ret = f;
    return ERR_OK;
}

static enum err read_file(const char *path, struct sbuf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : errno == EACCES ? ERR_DENIED : ERR_IO;
    enum err e = ERR_OK;
    for (ssize_t n = 1; n > 0 && e == ERR_OK;) {
        char *to = sbuf_reserve(out, 4096);
        n = to ? read(fd, to, 4096) : 0;
        if (!to || n < 0)
            e = to ? ERR_IO : ERR_TOO_LARGE;
        else
            sbuf_commit(out, (size_t)n);
    }
    close(fd);
    return e;
}

enum err ca_facts_load(const char *cert_path, struct ca_facts *ret, struct errmsg *msg)
{
    struct sbuf pem;
    sbuf_init(&pem, PEM_FILE_MAX);
    enum err e = read_file(cert_path, &pem);
    if (e == ERR_NOT_FOUND)
        err_set(msg, e, "there is no CA at %s; credswap ca init makes one", cert_path);
    else if (e != ERR_OK)
        err_set(msg, e, "cannot read the CA %s: %s", cert_path, err_str(e));
    else
        e = ca_facts_of(sbuf_slice(&pem), ret, msg);
    sbuf_finish(&pem);
    return e;
}

void ca_next_path(const char *path, char ret[CA_NEXT_PATH])
{
    snprintf(ret, CA_NEXT_PATH, "%.4000s.next", path);
}

bool ca_is_rotating(const char *cert_path)
{
    char next[CA_NEXT_PATH];
    ca_next_path(cert_path, next);
    return access(next, F_OK) == 0;
}
