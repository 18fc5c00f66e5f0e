/* What balancers say first, and what must not pass for it. */
#include "base/check.h"
#include "base/slice.h"
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SIGN "\r\n\r\n\0\r\nQUIT\n"
#define HEX16 "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10"

struct vector {
    struct slice raw;
    const char *peer; /* NULL: bad; "": no peer */
    size_t behind;    /* bytes that are the client's */
};
#define V(text, peer, behind)                                                                      \
    {                                                                                              \
        {text, sizeof text - 1}, peer, behind                                                      \
    }

static const struct vector vectors[] = {
    V("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET", "192.0.2.1 56324", 3),
    V("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255 65535", 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 0 0\r\n", "1.2.3.4 0", 0),
    V("PROXY TCP6 2001:db8::1 ::1 1 2\r\n\r\n", "2001:db8::1 1", 2),
    V("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
      "65535 65535\r\n",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535", 0),
    V("PROXY UNKNOWN\r\nx", "", 1),
    V("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", /* the longest of all: 107 */
      "", 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", NULL, 0),
    V("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY TCP4 0x1.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4 evil 1 2\r\n", NULL, 0),
    V("PROXY TCP4 ::1 ::1 1 2\r\n", NULL, 0),
    V("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY TCP6 fe80::1%lo ::1 1 2\r\n", NULL, 0),
    V("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("PROXY UNKNOWNS\r\n", NULL, 0),
    V("PROXY \r\n", NULL, 0),
    V("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", NULL, 0),
    V("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", NULL, 0),
    V("GET / HTTP/1.1\r\n", NULL, 0),
    V("CONNECT a:443 HTTP/1.1\r\n", NULL, 0),
    V("\x16\x03\x01", NULL, 0),
    V("\r\nPROXY", NULL, 0),
    V(SIGN "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb"
           "GET",
      "192.0.2.1 56324", 3),
    V(SIGN "\x21\x21\0\x24" HEX16 HEX16 "\0\1\0\2", "102:304:506:708:102:304:506:708 1", 0),
    V(SIGN "\x21\x11\0\x14\1\2\3\4\1\2\3\4\0\1\0\2\4\0\5hello!", "1.2.3.4 1", 1),
    V(SIGN "\x20\0\0\0x", "", 1),
    V(SIGN "\x20\x11\0\3abcx", "", 1), /* a health check: what it carries is not looked at */
    V(SIGN "\x20\xff\0\0", "", 0),
    V(SIGN "\x21\0\0\0", "", 0),
    V(SIGN "\x21\0\0\2ab", "", 0),
    V(SIGN "\x21\x31\0\1x", "", 0),
    V(SIGN "\x21\x11\0\x0b\1\2\3\4\1\2\3\4\0\1\0", NULL, 0),
    V(SIGN "\x21\x21\0\x23", NULL, 0),
    V(SIGN "\x21\x12\0\x0c", NULL, 0),
    V(SIGN "\x21\x22\0\x24", NULL, 0),
    V(SIGN "\x21\x32\0\xd8", NULL, 0),
    V(SIGN "\x21\x41\0\x0c", NULL, 0),
    V(SIGN "\x22\x11\0\x0c", NULL, 0),
    V(SIGN "\x11", NULL, 0),
    V(SIGN "\x31", NULL, 0),
    V(SIGN "\x21\x11\2\x09", NULL, 0), /* one byte more than we take */
    V(SIGN "\x20\0\xff\xff", NULL, 0),
    V("\r\n\r\n\0\r\nQUIT\r", NULL, 0),
};

static void print(const struct proxy_header *h, char *buf, size_t size)
{
    char ip[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const void *)&h->peer;
    const struct sockaddr_in6 *v6 = (const void *)&h->peer;
    bool is_v4 = h->peer.ss_family == AF_INET;
    *buf = '\0';
    if (!h->has_peer)
        return;
    inet_ntop(h->peer.ss_family, is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr,
              ip, sizeof ip);
    snprintf(buf, size, "%s %u", ip, ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
}

static void each_header_says_who(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct proxy_header h;
        char peer[80];
        enum proxy_header_state s = proxy_header_parse(v->raw.p, v->raw.n, &h);
        if (!v->peer) {
            if (s != PROXY_HEADER_BAD)
                fail_msg("vector %zu is not refused", i);
            continue;
        }
        if (s != PROXY_HEADER_WHOLE)
            fail_msg("vector %zu is refused", i);
        print(&h, peer, sizeof peer);
        assert_string_equal(peer, v->peer);
        assert_int_equal(v->raw.n - h.n, v->behind);
    }
}

/* Until its last byte a good one is good so far, and no verdict needs a byte more than it must. */
static void a_header_may_come_byte_by_byte(void **state)
{
    struct proxy_header h;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        const struct vector *v = &vectors[i];
        for (size_t n = 0; v->peer && n < v->raw.n - v->behind; n++)
            assert_int_equal(proxy_header_parse(v->raw.p, n, &h), PROXY_HEADER_MORE);
    }
    assert_int_equal(proxy_header_parse("G", 1, &h), PROXY_HEADER_BAD);
    assert_int_equal(proxy_header_parse("PX", 2, &h), PROXY_HEADER_BAD);
    assert_int_equal(proxy_header_parse("\r\r", 2, &h), PROXY_HEADER_BAD);
    assert_int_equal(proxy_header_parse("PROXY \t", 7, &h), PROXY_HEADER_BAD);
    assert_int_equal(proxy_header_parse(SIGN "\x01", 13, &h), PROXY_HEADER_BAD);
}

static void lengths_are_bounded(void **state)
{
    char text[PROXY_HEADER_MAX + 1];
    struct proxy_header h;
    memset(text, 'f', sizeof text);
    memcpy(text, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_header_parse(text, PROXY_HEADER_V1_MAX - 1, &h), PROXY_HEADER_MORE);
    assert_int_equal(proxy_header_parse(text, PROXY_HEADER_V1_MAX, &h), PROXY_HEADER_BAD);
    memcpy(text + 105, "\r\n", 2);
    assert_int_equal(proxy_header_parse(text, sizeof text, &h), PROXY_HEADER_WHOLE);
    assert_int_equal(h.n, PROXY_HEADER_V1_MAX);
    memcpy(text + 105, "f\r\n", 3);
    assert_int_equal(proxy_header_parse(text, sizeof text, &h), PROXY_HEADER_BAD);
    memcpy(text, SIGN "\x21\0\2\x08", 16);
    assert_int_equal(proxy_header_parse(text, PROXY_HEADER_MAX - 1, &h), PROXY_HEADER_MORE);
    assert_int_equal(proxy_header_parse(text, PROXY_HEADER_MAX, &h), PROXY_HEADER_WHOLE);
    assert_int_equal(h.n, PROXY_HEADER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_header_says_who),
        cmocka_unit_test(a_header_may_come_byte_by_byte),
        cmocka_unit_test(lengths_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
