/* The company's proxy (upstream.parent_proxy): every connection goes to it and on by CONNECT.
 * Pure. */
#ifndef NET_PARENT_H
#define NET_PARENT_H
#include "policy/policy.h"

#define PARENT_ANSWER_MAX 8192u /* of the head of its answer */

struct parent_proxy {
    struct authority at;
    char login[512]; /* "Proxy-Authorization: Basic ...\r\n", or "" */
};
/** From "http://[user:pass@]host:port", percent-decoded. ERR_INVALID. */
enum err parent_proxy_parse(const char *url, struct parent_proxy *ret) NODISCARD;

enum parent_says {
    PARENT_MORE, /* the head is not whole yet */
    PARENT_YES,
    PARENT_NO /* refused, or no HTTP */
};
/** What came in answer to a CONNECT. *RET_N, set once the head is whole: its length. */
enum parent_says parent_answer(struct slice seen, size_t *ret_n);

#endif
