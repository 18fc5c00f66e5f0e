/* room: policy */
/* drives: common/policy/authority.c */
/* Any bytes as an authority: what is accepted is canonical, prints and parses back to itself. */
#include "base/check.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct authority a, b;
    char buf[HOST_MAX + 10];
    if (authority_parse(slice_make(data, size), size % 2 ? 443 : 0, &a) != ERR_OK)
        return 0;
    CHECK(a.port != 0 && a.host_len > 0 && a.host_len <= HOST_MAX && a.host[a.host_len] == '\0');
    for (size_t i = 0; i < a.host_len; i++)
        CHECK(a.host[i] > ' ' && a.host[i] < 0x7f && !(a.host[i] >= 'A' && a.host[i] <= 'Z') &&
              !strchr("%@/\\?#_", a.host[i]));
    authority_print(&a, buf, sizeof buf);
    CHECK(authority_parse(slice_of(buf), 0, &b) == ERR_OK && authority_eq(&a, &b));
    CHECK(a.is_ip == b.is_ip && a.is_ipv6 == b.is_ipv6);
    return 0;
}
