/* From the parent proxy's URL to its address and our login, and from its answer to yes or no. */
#include "net/parent.h"

#include "base/mem.h"

#include <openssl/evp.h>
#include <stdio.h>

static bool hex_byte(const char *p, unsigned *ret)
{
    *ret = 0;
    for (int i = 0; i < 2; i++) {
        char c = ascii_lower(p[i]);
        if (c >= '0' && c <= '9')
            *ret = *ret * 16 + (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *ret = *ret * 16 + (unsigned)(c - 'a') + 10;
        else
            return false;
    }
    return true;
}

static void write_login(struct slice user, char *buf, size_t size)
{
    char plain[260];
    unsigned char coded[360];
    size_t n = 0;
    for (size_t i = 0; i < user.n; i++) {
        unsigned v;
        if (user.p[i] == '%' && i + 2 < user.n && hex_byte(user.p + i + 1, &v)) {
            plain[n++] = (char)v;
            i += 2;
        } else {
            plain[n++] = user.p[i];
        }
    }
    EVP_EncodeBlock(coded, (const unsigned char *)plain, (int)n);
    snprintf(buf, size, "Proxy-Authorization: Basic %s\r\n", (char *)coded);
    mem_wipe(plain, sizeof plain);
    mem_wipe(coded, sizeof coded);
}

enum err parent_proxy_parse(const char *url, struct parent_proxy *ret)
{
    struct slice s = slice_of(url);
    if (!slice_istarts(s, SLICE("http://")))
        return ERR_INVALID;
    s = slice_sub(s, 7, s.n);
    if (slice_ends(s, SLICE("/")))
        s.n--;
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '@')
        at--;
    struct slice user = slice_sub(s, 0, at ? at - 1 : 0);
    ret->login[0] = '\0';
    if (authority_parse(slice_sub(s, at, s.n), 0, &ret->at) != ERR_OK || user.n > 256)
        return ERR_INVALID;
    if (user.n)
        write_login(user, ret->login, sizeof ret->login);
    return ERR_OK;
}

enum parent_says parent_answer(struct slice seen, size_t *ret_n)
{
    size_t end = slice_search(seen, SLICE("\r\n\r\n"));
    if (end == seen.n)
        return seen.n < PARENT_ANSWER_MAX ? PARENT_MORE : PARENT_NO;
    *ret_n = end + 4;
    bool is_yes =
        slice_starts(seen, SLICE("HTTP/1.")) && seen.n > 12 && seen.p[8] == ' ' && seen.p[9] == '2';
    return is_yes ? PARENT_YES : PARENT_NO;
}
