/* The proxy's own pages: what it is, its CA, and scripts that set up a client. Pure: facts in,
 * bytes out. */
#ifndef STUB_PAGES_H
#define STUB_PAGES_H
#include "base/sbuf.h"

#include <stdint.h>

struct page_facts {
    struct slice ca_pem;    /* the bytes of ca.cert; two certificates during a rotation */
    const char *ca_sha256;  /* 64 hex digits, of ca_pem */
    const char *proxy_host; /* from the configuration (listen.advertise), never from a request */
    uint16_t proxy_port;
    bool is_tls; /* clients reach us by https:// */
    const char *version;
    /* What /proxy.pac sends to us: host patterns of the swap rules. None: the domains of a new
     * store. */
    const struct slice *swap_patterns;
    size_t swap_pattern_count;
};

/** Renders PATH (without its query) into BODY: / /setup /ca.pem /ca.crt /ca.sha256 /env.sh
 * /env.fish /env.ps1 /env.github /env.gitlab (each env with ?off too) /proxy.pac. USER_AGENT
 * decides between text and HTML. ca_sha256 makes a good ETag for all of them. *ret_content_type is
 * static. Errors: ERR_NOT_FOUND no such page; ERR_INVALID facts that no script may carry (odd host,
 * no certificate); ERR_NOMEM, ERR_TOO_LARGE. BODY holds rubbish then. Thread: any. */
enum err page_render(struct slice path, struct slice query, struct slice user_agent,
                     const struct page_facts *f, struct sbuf *body,
                     const char **ret_content_type) NODISCARD;

#endif
