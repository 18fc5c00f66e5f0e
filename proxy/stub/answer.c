/* Short answers of our own: constant sentences, never a byte of what the client sent. */
#include "stub/answer.h"

#include "base/check.h"

#include <stdio.h>

static const struct {
    int status;
    const char *phrase;
} phrases[] = {{200, "OK"},
               {304, "Not Modified"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {407, "Proxy Authentication Required"},
               {408, "Request Timeout"},
               {414, "URI Too Long"},
               {421, "Misdirected Request"},
               {431, "Request Header Fields Too Large"},
               {502, "Bad Gateway"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"}};

const struct field answer_allow = {{"allow", 5}, {"GET, HEAD", 9}, FIELD_OTHER};

const char *answer_phrase(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Error";
}

void answer_send(struct stream *st, const struct answer *a)
{
    struct field fields[10];
    struct head h = {.status = a->status, .fields = fields, .body = BODY_LENGTH};
    if (a->status == 304)
        h.body = BODY_NONE;
    h.reason = slice_of(answer_phrase(a->status));
    h.content_length = a->body.n;
    if (a->content_type)
        head_add(&h, FIELD_CONTENT_TYPE, SLICE("content-type"), slice_of(a->content_type));
    CHECK(a->extra_count < ARRAY_LEN(fields) - 1);
    for (uint32_t i = 0; i < a->extra_count; i++)
        fields[h.count++] = a->extra[i];
    if (stream_send_head(st, &h, a->body.n == 0) != ERR_OK ||
        (a->body.n && stream_send_body(st, a->body.p, a->body.n, true) != ERR_OK))
        stream_reset(st);
}

void answer_refusal(struct stream *st, int status, const char *proxy_status, const char *sentence,
                    bool closes)
{
    char text[128];
    snprintf(text, sizeof text, "credswap; error=%s", proxy_status);
    struct field extra[3] = {{SLICE("proxy-status"), slice_of(text), FIELD_PROXY_STATUS}};
    uint32_t count = 1;
    if (status == 407)
        extra[count++] = (struct field){SLICE("proxy-authenticate"),
                                        SLICE("Basic realm=\"credswap\", charset=\"UTF-8\""),
                                        FIELD_PROXY_AUTHENTICATE};
    if (status == 405)
        extra[count++] = answer_allow;
    if (closes)
        session_drain(st->session);
    answer_send(st, &(struct answer){status, "text/plain; charset=utf-8", slice_of(sentence), extra,
                                     count});
}
