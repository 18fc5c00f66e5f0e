/* Two lists of a ClientHello, which we look at ourselves. */
#include "tls/hello.h"

#include <openssl/tls1.h>

struct slice hello_host(const unsigned char *p, size_t n)
{
    if (n < 5 || p[2] != TLSEXT_NAMETYPE_host_name)
        return slice_make("", 0);
    size_t len = (size_t)p[3] << 8 | p[4];
    return len <= n - 5 ? slice_make(p + 5, len) : slice_make("", 0);
}

bool hello_offers(const unsigned char *list, size_t n, const unsigned char *proto)
{
    for (size_t i = 0; i < n && i + 1 + list[i] <= n; i += 1u + list[i])
        if (list[i] == proto[0] && memcmp(list + i + 1, proto + 1, proto[0]) == 0)
            return true;
    return false;
}
