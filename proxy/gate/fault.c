/* What a request that the parser refused is told: written without any session. */
#include "gate/gate_internal.h"

static void add_fault_body(const struct gate *g, int status, struct sbuf *out)
{
    static const char sentence[] = "This request is malformed; nothing of it was forwarded.";
    if (g->state != GATE_SWAP)
        sbuf_addf(out, "%s\n", sentence);
    else if (g->api == API_ANTHROPIC)
        sbuf_addf(out,
                  "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
                  "\"%s\"}}\n",
                  sentence);
    else
        sbuf_addf(out,
                  "{\"error\":{\"code\":%d,\"message\":\"%s\",\"status\":\"INVALID_ARGUMENT\"}}\n",
                  status, sentence);
}

void answer_fault(struct gate *g, const struct fault *f)
{
    struct sbuf body, out;
    sbuf_init(&body, 1024);
    sbuf_init(&out, 2048);
    add_fault_body(g, f->status, &body);
    sbuf_addf(&out,
              "HTTP/1.1 %d %s\r\nx-credswap-request-id: cs_%016llx\r\ncontent-type: "
              "%s\r\nproxy-status: credswap; "
              "error=http_request_error\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n",
              f->status, answer_phrase(f->status), (unsigned long long)rng_next(g->gates->svc->rng),
              g->state == GATE_SWAP ? "application/json" : "text/plain; charset=utf-8", body.n);
    sbuf_add_slice(&out, sbuf_slice(&body));
    if (!out.failed)
        link_put(g->pump.link, out.p, out.n);
    sbuf_finish(&body);
    sbuf_finish(&out);
}
