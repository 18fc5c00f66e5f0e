/* Leaves: what an intercepted client is shown. Minted once for a host and kept by proxy/tls. */
#include "base/clock.h"
#include "keys/keys_internal.h"

#include <openssl/x509v3.h>
#include <stdio.h>

#define BACKDATE_S 3600 /* for clients whose clock is behind */
#define CN_MAX 64       /* RFC 5280 ub-common-name */

static bool set_names(X509 *x, X509 *ca, struct slice host, enum host_kind kind)
{
    char cn[CN_MAX + 1], san[300];
    /* Clients read the SAN. OpenSSL takes an address in the CN for a name and finds it outside the
     * constraints. */
    if (kind != HOST_NAME || host.n > CN_MAX || !slice_copy(host, cn, sizeof cn))
        snprintf(cn, sizeof cn, "credswap leaf");
    snprintf(san, sizeof san, "%s:%.*s", kind == HOST_NAME ? "DNS" : "IP", SLICE_FMT(host));
    return cert_name_add(X509_get_subject_name(x), "CN", cn) &&
           X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
           cert_add_ext(x, ca, NID_subject_alt_name, san);
}

static bool set_times(X509 *x, X509 *ca, int64_t days)
{
    int64_t now = clock_wall_s();
    struct tm tm;
    if (days < 1 || days > LEAF_DAYS_MAX)
        days = LEAF_DAYS_MAX;
    int64_t to = now + days * 86400;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(ca), &tm) != 1)
        return false;
    int64_t ca_end = (int64_t)timegm(&tm);
    return cert_set_times(x, now - BACKDATE_S, to < ca_end ? to : ca_end);
}

static bool set_uses(X509 *x, X509 *ca)
{
    return cert_add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           cert_add_ext(x, ca, NID_key_usage, "critical,digitalSignature") &&
           cert_add_ext(x, ca, NID_ext_key_usage, "serverAuth") &&
           cert_add_ext(x, ca, NID_authority_key_identifier, "keyid:always");
}

enum err leaf_sign(X509 *ca, EVP_PKEY *ca_key, struct slice host, EVP_PKEY *leaf_key, int64_t days,
                   X509 **ret)
{
    enum host_kind kind = host_kind(host);
    if (kind == HOST_BAD)
        return ERR_INVALID;
    X509 *x = X509_new();
    if (!x)
        return ERR_NOMEM;
    NAME_CONSTRAINTS *nc = NULL;
    enum err e = ERR_CRYPTO;
    if (X509_set_version(x, X509_VERSION_3) != 1 || !cert_set_serial(x) ||
        !set_times(x, ca, days) || !set_names(x, ca, host, kind) || !set_uses(x, ca) ||
        X509_set_pubkey(x, leaf_key) != 1)
        goto out;
    if (X509_sign(x, ca_key, EVP_sha256()) == 0 || X509_check_purpose(x, -1, 0) != 1)
        goto out; /* check_purpose: parses the extensions, or the next check would see no names */
    /* A leaf that the CA's own constraints forbid would only puzzle clients. */
    nc = X509_get_ext_d2i(ca, NID_name_constraints, NULL, NULL);
    if (nc && NAME_CONSTRAINTS_check(x, nc) != X509_V_OK) {
        e = ERR_DENIED;
        goto out;
    }
    *ret = x;
    x = NULL;
    e = ERR_OK;
out:
    NAME_CONSTRAINTS_free(nc);
    X509_free(x);
    return e;
}
