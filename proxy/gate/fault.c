/* What a request that the parser refused is told: written without any session. */
#include "gate/gate_internal.h"

#include <stdio.h>

static void add_fault_body(const struct gate *g, int status, const char *id, struct sbuf *out)
{
    static const char sentence[] = "This request is malformed; nothing of it was forwarded.";
    if (g->state != GATE_SWAP)
        sbuf_addf(out, "%s\n", sentence);
    else if (g->api == API_ANTHROPIC)
        sbuf_addf(out,
                  "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
                  "\"%s\"},\"request_id\":\"%s\"}\n",
                  sentence, id);
    else
        sbuf_addf(out,
                  "{\"error\":{\"code\":%d,\"message\":\"%s\",\"status\":\"INVALID_ARGUMENT\"}}\n",
                  status, sentence);
}

void answer_fault(struct gate *g, const struct fault *f)
{
    struct sbuf body, out;
    char id[24];
    bool is_swap = g->state == GATE_SWAP;
    sbuf_init(&body, 1024);
    sbuf_init(&out, 2048);
    snprintf(id, sizeof id, "cs_%016llx", (unsigned long long)rng_next(g->gates->svc->rng));
    add_fault_body(g, f->status, id, &body);
    sbuf_addf(&out,
              "HTTP/1.1 %d %s\r\nx-credswap-request-id: %s\r\ncontent-type: "
              "%s\r\nproxy-status: credswap; "
              "error=http_request_error\r\ncontent-length: %zu\r\nconnection: close\r\n",
              f->status, answer_phrase(f->status), id,
              is_swap ? "application/json" : "text/plain; charset=utf-8", body.n);
    if (is_swap && g->api == API_ANTHROPIC)
        sbuf_addf(&out, "request-id: %s\r\n%s", id,
                  f->status == 408 ? "" : "x-should-retry: false\r\n");
    sbuf_adds(&out, "\r\n");
    sbuf_add_slice(&out, sbuf_slice(&body));
    if (!out.failed)
        link_put(g->pump.link, out.p, out.n);
    sbuf_finish(&body);
    sbuf_finish(&out);
}
