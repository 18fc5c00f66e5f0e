/* Short answers of our own, on a stream. */
#ifndef STUB_ANSWER_H
#define STUB_ANSWER_H
#include "http/stream.h"

struct answer {
    int status;
    const char *content_type;
    struct slice body;
    const struct field *extra;
    uint32_t extra_count;
};
void answer_send(struct stream *st, const struct answer *a);
/** text/plain, one sentence, with Proxy-Status; CLOSES ends the connection after it. */
void answer_refusal(struct stream *st, int status, const char *proxy_status, const char *sentence,
                    bool closes);
/** What belongs to a 405: pages and the admin port take GET and HEAD. */
extern const struct field answer_allow;
/** "Not Found" */
const char *answer_phrase(int status);

#endif
