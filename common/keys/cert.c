/* Small steps of building a certificate, shared by the CA and its leaves. */
#include "base/seal.h"
#include "keys/keys_internal.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

bool cert_set_serial(X509 *x)
{
    unsigned char bytes[16];
    random_bytes(bytes, sizeof bytes);
    /* The top bit would cost a 17th octet in DER, the one below keeps the length constant. */
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

bool cert_set_times(X509 *x, int64_t from_s, int64_t to_s)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from_s) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to_s);
}

int64_t cert_unix(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

bool cert_name_add(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

bool cert_add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(x, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's signature */
int pem_no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return 0;
}

static bool label_ok(struct slice label)
{
    if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
        return false;
    for (size_t i = 0; i < label.n; i++) {
        char c = label.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

enum host_kind host_kind(struct slice host)
{
    char z[254];
    if (host.n == 0 || !slice_copy(host, z, sizeof z))
        return HOST_BAD;
    unsigned char addr[16];
    if (inet_pton(AF_INET, z, addr) == 1)
        return HOST_IPV4;
    if (inet_pton(AF_INET6, z, addr) == 1)
        return HOST_IPV6;
    struct slice label = {NULL, 0};
    for (size_t from = 0; from <= host.n; from += label.n + 1) {
        label = slice_sub(host, from, slice_find(host, '.', from));
        if (!label_ok(label))
            return HOST_BAD;
    }
    /* A last label of digits only would be an address in some spelling. */
    bool has_letter = false;
    for (size_t i = 0; i < label.n; i++)
        has_letter |= label.p[i] >= 'a';
    return has_letter ? HOST_NAME : HOST_BAD;
}

bool host_is_below(struct slice host, struct slice permitted)
{
    if (slice_eq(host, permitted))
        return true;
    return host_kind(permitted) == HOST_NAME && host.n > permitted.n + 1 &&
           slice_ends(host, permitted) && host.p[host.n - permitted.n - 1] == '.' &&
           host_kind(host) == HOST_NAME;
}
