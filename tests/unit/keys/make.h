/* What the tests of keys, tls and token make for themselves: keys, key files, folders. */
#ifndef UNIT_KEYS_MAKE_H
#define UNIT_KEYS_MAKE_H
#include "base/sbuf.h"
#include "base/slice.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A 0700 folder of its own under $TMPDIR. */
static inline char *make_dir(void)
{
    const char *base = getenv("TMPDIR");
    static char path[512];
    snprintf(path, sizeof path, "%s/credswap-unit-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path))
        abort();
    return path;
}

static inline void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

/* PEM of KEY, PKCS#8 or (TRADITIONAL) PKCS#1, into OUT. */
static inline void make_pem(EVP_PKEY *key, int traditional, struct sbuf *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    int ok = traditional ? PEM_write_bio_PrivateKey_traditional(b, key, NULL, NULL, 0, NULL, NULL)
                         : PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
    if (ok != 1)
        abort();
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    sbuf_add(out, p, (size_t)n);
    BIO_free(b);
}

/* One RSA-2048 key for a whole test program: making it is slow. */
static inline EVP_PKEY *make_rsa(void)
{
    static EVP_PKEY *key;
    if (!key)
        key = EVP_RSA_gen(2048);
    if (!key)
        abort();
    return key;
}

struct keyfile_parts {
    const char *type, *project, *kid, *email, *uri, *extra;
    const char *pem; /* NULL: make_rsa() as PKCS#8 */
};

/* A Google-shaped key file. */
static inline void make_keyfile(const struct keyfile_parts *p, struct sbuf *out)
{
    struct sbuf pem;
    sbuf_init(&pem, 65536);
    if (p->pem)
        sbuf_adds(&pem, p->pem);
    else
        make_pem(make_rsa(), 0, &pem);
    sbuf_addf(out, "{\"type\":\"%s\",\"project_id\":\"%s\",\"private_key_id\":\"%s\",",
              p->type ? p->type : "service_account", p->project ? p->project : "proj-1",
              p->kid ? p->kid : "0123456789abcdef");
    sbuf_adds(out, "\"private_key\":\"");
    for (size_t i = 0; i < pem.n; i++)
        if (pem.p[i] == '\n')
            sbuf_adds(out, "\\n");
        else
            sbuf_addc(out, pem.p[i]);
    sbuf_addf(out, "\",\"client_email\":\"%s\",\"client_id\":\"1\",",
              p->email ? p->email : "bot@proj-1.iam.gserviceaccount.com");
    sbuf_addf(out, "\"token_uri\":\"%s\"%s}\n",
              p->uri ? p->uri : "https://oauth2.googleapis.com/token", p->extra ? p->extra : "");
    sbuf_finish_wipe(&pem);
}

#endif
