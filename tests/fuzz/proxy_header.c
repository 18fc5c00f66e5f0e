/* room: net */
/* drives: proxy/net/proxy_header.c */
/* dict: proxy_header */
/* A balancer's first bytes. However they are cut, the verdict is the same and comes once; more
 * bytes behind a whole header change nothing; the address of version 1 is the one that the text
 * spells, and that of version 2 the one in the bytes. Written again, it is the same header. */
#include "net/proxy_header.h"
#include "base/check.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly its size. */
static enum proxy_header_state parse(const uint8_t *data, size_t n, struct proxy_header *ret)
{
    uint8_t *copy = malloc(n ? n : 1);
    CHECK(copy);
    memcpy(copy, data, n);
    enum proxy_header_state s = proxy_header_parse(copy, n, ret);
    free(copy);
    return s;
}

static void print_v1(const struct proxy_header *h, char *buf, size_t size)
{
    char ip[INET6_ADDRSTRLEN];
    bool is_v4 = h->peer.ss_family == AF_INET;
    const struct sockaddr_in *v4 = (const void *)&h->peer;
    const struct sockaddr_in6 *v6 = (const void *)&h->peer;
    CHECK(is_v4 || h->peer.ss_family == AF_INET6);
    CHECK(inet_ntop(is_v4 ? AF_INET : AF_INET6,
                    is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, ip,
                    sizeof ip));
    snprintf(buf, size, "PROXY TCP%d %s %s %u 1\r\n", is_v4 ? 4 : 6, ip,
             is_v4 ? "0.0.0.0" : "::", ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
}

static void check_whole(const uint8_t *data, const struct proxy_header *h)
{
    char text[256];
    struct proxy_header again;
    bool is_v1 = data[0] == 'P';
    CHECK(h->n >= 8 && h->n <= (is_v1 ? PROXY_HEADER_V1_MAX : PROXY_HEADER_MAX));
    CHECK(!is_v1 || (data[h->n - 2] == '\r' && data[h->n - 1] == '\n'));
    if (!h->has_peer)
        return;
    print_v1(h, text, sizeof text);
    CHECK(parse((const uint8_t *)text, strlen(text), &again) == PROXY_HEADER_WHOLE);
    CHECK(again.has_peer && memcmp(&again.peer, &h->peer, sizeof h->peer) == 0);
    if (!is_v1) {
        bool is_v4 = h->peer.ss_family == AF_INET;
        const struct sockaddr_in *v4 = (const void *)&h->peer;
        const struct sockaddr_in6 *v6 = (const void *)&h->peer;
        CHECK(memcmp(data + 16, is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr,
                     is_v4 ? 4 : 16) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h, at_once;
    enum proxy_header_state s = PROXY_HEADER_MORE;
    size_t n = 0;
    if (size > 2000)
        return 0;
    while (s == PROXY_HEADER_MORE && n < size)
        s = parse(data, ++n, &h);
    CHECK(s != PROXY_HEADER_MORE || n < PROXY_HEADER_MAX);
    CHECK(parse(data, size, &at_once) == s);
    if (s != PROXY_HEADER_WHOLE)
        return 0;
    CHECK(h.n == n && at_once.n == n && at_once.has_peer == h.has_peer);
    CHECK(memcmp(&at_once.peer, &h.peer, sizeof h.peer) == 0);
    check_whole(data, &h);
    return 0;
}
