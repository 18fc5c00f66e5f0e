/* What a CA certificate says, for people and for the question whom it lets us sign for. Pure: the
 * certificate may be anybody's. */
#include "base/sbuf.h"
#include "keys/ca.h"
#include "keys/keys_internal.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static void add_printable(struct sbuf *out, const unsigned char *p, int n)
{
    for (int i = 0; i < n; i++)
        sbuf_addc(out, p[i] > 0x20 && p[i] < 0x7f ? (char)p[i] : '?');
}

static void add_subtree(struct sbuf *out, const GENERAL_NAME *g)
{
    char text[INET6_ADDRSTRLEN];
    if (g->type == GEN_DNS) {
        add_printable(out, ASN1_STRING_get0_data(g->d.dNSName), ASN1_STRING_length(g->d.dNSName));
    } else if (g->type == GEN_IPADD) {
        int n = ASN1_STRING_length(g->d.iPAddress); /* address and mask */
        if ((n == 8 || n == 32) &&
            inet_ntop(n == 8 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(g->d.iPAddress), text,
                      sizeof text))
            sbuf_adds(out, text);
    }
}

static void describe_permitted(X509 *cert, char *ret, size_t size)
{
    NAME_CONSTRAINTS *nc = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);
    struct sbuf out;
    sbuf_init(&out, size - 1);
    for (int i = 0; nc && i < sk_GENERAL_SUBTREE_num(nc->permittedSubtrees); i++) {
        if (i)
            sbuf_addc(&out, ' ');
        add_subtree(&out, sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, i)->base);
    }
    snprintf(ret, size, "%s", sbuf_z(&out));
    sbuf_finish(&out);
    NAME_CONSTRAINTS_free(nc);
}

enum err ca_info_of(X509 *cert, struct ca_info *ret)
{
    struct ca_info info = {.not_before = cert_unix(X509_get0_notBefore(cert)),
                           .not_after = cert_unix(X509_get0_notAfter(cert))};
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), md, &n) != 1 || n != 32)
        return ERR_CRYPTO;
    for (unsigned i = 0; i < n; i++)
        snprintf(info.sha256 + 2 * (size_t)i, 3, "%02x", md[i]);
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, info.name,
                                        sizeof info.name);
    for (int i = 0; i < len; i++)
        if (info.name[i] < 0x20 || info.name[i] > 0x7e)
            info.name[i] = '?';
    describe_permitted(cert, info.permitted, sizeof info.permitted);
    *ret = info;
    return ERR_OK;
}

bool ca_permits(X509 *cert, struct slice host)
{
    struct ca_info info;
    if (host_kind(host) == HOST_BAD || ca_info_of(cert, &info) != ERR_OK)
        return false;
    if (!*info.permitted)
        return X509_get_ext_by_NID(cert, NID_name_constraints, -1) < 0;
    struct slice rest = slice_of(info.permitted), one;
    while (slice_next(&rest, ' ', &one))
        if (host_is_below(host, one))
            return true;
    return false;
}
