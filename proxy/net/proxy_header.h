/* The PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2): a balancer's first bytes,
 * which say for whom it speaks. Pure. */
#ifndef NET_PROXY_HEADER_H
#define NET_PROXY_HEADER_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define PROXY_HEADER_V1_MAX 107 /* with its CRLF */
#define PROXY_HEADER_MAX 536    /* version 2: 16 and as much again of addresses and TLVs */

enum proxy_header_state {
    PROXY_HEADER_MORE, /* good so far */
    PROXY_HEADER_WHOLE,
    PROXY_HEADER_BAD
};

struct proxy_header {
    size_t n; /* bytes of it; what follows is the client's */
    bool
        has_peer; /* false: LOCAL, UNKNOWN, or no internet address: the balancer's own connection */
    struct sockaddr_storage peer; /* the client's address and port */
};

/** P: the first N bytes of a connection. *RET is set with PROXY_HEADER_WHOLE only. What can no
 * longer become a header is bad at once; PROXY_HEADER_MAX bytes are never too few. TLVs are skipped
 * unread. */
enum proxy_header_state proxy_header_parse(const void *p, size_t n, struct proxy_header *ret);

#endif
