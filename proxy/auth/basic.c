/* Proxy-Authorization: Basic, for policy.proxy_auth. */
#include "auth/find.h"
#include "auth/pass.h"
#include "base/mem.h"

#define PAIR_MAX (2 * PLACEHOLDER_MAX)

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict but for missing padding, which some clients leave out. */
static bool decode(struct slice s, char *buf, size_t size, size_t *ret_n)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0, padding = 0;
    while (s.n && s.p[s.n - 1] == '=' && ++padding <= 2)
        s.n--;
    if (s.n % 4 == 1 || (padding && (s.n + padding) % 4 != 0))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int v = base64_value(s.p[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (n == size)
            return false;
        buf[n++] = (char)(unsigned char)(bits >> have);
        bits &= (1u << have) - 1;
    }
    *ret_n = n;
    return bits == 0; /* bits left over make a second spelling of the same bytes */
}

enum err auth_basic(struct slice value, const struct snapshot *s, const struct master_key *k,
                    int64_t now_s, const struct snap_client **ret, bool *ret_is_lasting)
{
    char pair[PAIR_MAX];
    size_t n;
    const char *reason;
    int status;
    value = slice_trim(value);
    if (!slice_istarts(value, SLICE("basic ")))
        return ERR_INVALID;
    if (!decode(slice_trim(slice_sub(value, 6, value.n)), pair, sizeof pair, &n))
        return ERR_INVALID;
    struct slice text = slice_make(pair, n);
    size_t colon = slice_find(text, ':', 0);
    struct slice placeholder = slice_sub(text, colon + 1, n);
    if (placeholder.n == 0)
        placeholder = slice_sub(text, 0, colon);
    const struct snap_client *c = auth_verify(placeholder, s, k, now_s, &reason, &status);
    if (ret_is_lasting)
        *ret_is_lasting = placeholder.n <= PLACEHOLDER_MAX && !pass_is_one(placeholder);
    mem_wipe(pair, sizeof pair);
    if (c)
        *ret = c;
    if (c || status == 500)
        return c ? ERR_OK : ERR_CRYPTO;
    return status == 403 ? ERR_DENIED : ERR_NOT_FOUND;
}
