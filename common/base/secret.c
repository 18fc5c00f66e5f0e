/* Secrets by reference count. Their memory stays out of core dumps as the whole process does
 * (server). */
#include "base/secret.h"

#include "base/check.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>

struct secret {
    atomic_uint refs;
    size_t n;
    char bytes[];
};

struct secret *secret_new(const void *p, size_t n)
{
    if (n > (size_t)1 << 24)
        return NULL;
    struct secret *s = mem_alloc(sizeof *s + n + 1);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    s->n = n;
    if (n)
        memcpy(s->bytes, p, n);
    s->bytes[n] = '\0';
    return s;
}

struct secret *secret_ref(struct secret *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void secret_unref(struct secret **sp)
{
    struct secret *s = *sp;
    *sp = NULL;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_wipe(s->bytes, s->n);
    mem_free(s);
}

struct slice secret_bytes(const struct secret *s)
{
    return s ? (struct slice){s->bytes, s->n} : (struct slice){NULL, 0};
}

bool secret_eq(const struct secret *a, struct slice b)
{
    return a && a->n == b.n && CRYPTO_memcmp(a->bytes, b.p, b.n) == 0;
}

void fingerprint(struct slice bytes, char ret[FINGERPRINT_SIZE])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(bytes.p, bytes.n, md, &n, EVP_sha256(), NULL) != 1)
        memset(md, 0, 4);
    snprintf(ret, FINGERPRINT_SIZE, "%02x%02x%02x%02x", md[0], md[1], md[2], md[3]);
}
