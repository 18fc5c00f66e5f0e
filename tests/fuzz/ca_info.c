/* room: keys */
/* drives: common/keys/ca_info.c */
/* A host, a newline, and a certificate in PEM or DER, whoever made it: what is shown of it is
 * printable, and it permits good names at or below one of those that are shown only. */
#include "keys/ca.h"

#include "base/check.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static X509 *read_certificate(struct slice text)
{
    const unsigned char *der = (const unsigned char *)text.p;
    X509 *x = d2i_X509(NULL, &der, (long)text.n);
    if (!x) {
        BIO *in = BIO_new_mem_buf(text.p, (int)text.n);
        CHECK(in);
        x = PEM_read_bio_X509(in, NULL, NULL, "");
        BIO_free(in);
    }
    ERR_clear_error();
    return x;
}

static void check_text(const char *text, size_t size)
{
    CHECK(memchr(text, '\0', size));
    for (; *text; text++)
        CHECK(*text >= 0x20 && *text < 0x7f);
}

static void check_permits(struct slice host, const struct ca_info *info)
{
    struct slice rest = slice_of(info->permitted), one;
    for (size_t i = 0; i < host.n; i++)
        CHECK(host.p[i] == '-' || host.p[i] == '.' || host.p[i] == ':' ||
              (host.p[i] >= '0' && host.p[i] <= '9') || ascii_lower(host.p[i]) >= 'a');
    bool is_below = !*info->permitted;
    while (slice_next(&rest, ' ', &one))
        is_below |= slice_ends(host, one);
    CHECK(is_below);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), host;
    struct ca_info info;
    if (size > 8192 || !slice_next(&rest, '\n', &host) || rest.n == 0)
        return 0;
    X509 *x = read_certificate(rest);
    if (!x)
        return 0;
    if (ca_info_of(x, &info) == ERR_OK) {
        check_text(info.name, sizeof info.name);
        check_text(info.permitted, sizeof info.permitted);
        CHECK(strlen(info.sha256) == 64);
        if (ca_permits(x, host))
            check_permits(host, &info);
    }
    X509_free(x);
    ERR_clear_error();
    return 0;
}
