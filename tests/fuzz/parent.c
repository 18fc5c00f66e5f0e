/* room: net */
/* drives: proxy/net/parent.c */
/* dict: http */
/* An odd first byte: the rest is a parent proxy's URL; a login is one line that says the user of
 * the URL. Else: a parent's answer, the same yes or no whole and cut, and never one byte of what
 * comes behind its head. */
#include "net/parent.h"

#include "base/check.h"
#include "base/mem.h"

#include <openssl/evp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_url(const uint8_t *data, size_t size)
{
    struct parent_proxy p;
    char *url = mem_dupn(data, size);
    CHECK(url);
    if (parent_proxy_parse(url, &p) == ERR_OK) {
        struct slice login = slice_of(p.login);
        const char *at = strrchr(url, '@');
        CHECK(p.at.port && p.at.host_len);
        CHECK((at == NULL || at == url + 7) == (login.n == 0));
        if (login.n) {
            unsigned char text[400];
            CHECK(slice_starts(login, SLICE("Proxy-Authorization: Basic ")) &&
                  slice_find(login, '\r', 0) == login.n - 2 &&
                  slice_find(login, '\n', 0) == login.n - 1);
            struct slice coded = slice_sub(login, 27, login.n - 2);
            int n = EVP_DecodeBlock(text, (const unsigned char *)coded.p, (int)coded.n);
            CHECK(n > 0 && n <= at - url);
            if (!memchr(url, '%', (size_t)(at - url)))
                CHECK(memcmp(text, url + 7, (size_t)(at - url) - 7) == 0);
        }
    }
    mem_free(url);
}

static void check_answer(const uint8_t *data, size_t size)
{
    size_t whole_n = 0, n = 0;
    struct slice all = slice_make(data, size < PARENT_ANSWER_MAX ? size : PARENT_ANSWER_MAX);
    enum parent_says whole = parent_answer(all, &whole_n), says = PARENT_MORE;
    for (size_t i = 1; i <= all.n && says == PARENT_MORE; i++)
        says = parent_answer(slice_sub(all, 0, i), &n);
    CHECK(says == whole && n == whole_n);
    if (n)
        CHECK(slice_ends(slice_sub(all, 0, n), SLICE("\r\n\r\n")));
    if (says == PARENT_YES)
        CHECK(n > 12 && slice_starts(all, SLICE("HTTP/1.")) && all.p[9] == '2');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] & 1)
        check_url(data + 1, size - 1);
    else if (size)
        check_answer(data + 1, size - 1);
    return 0;
}
