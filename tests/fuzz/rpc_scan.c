/* room: route */
/* drives: common/route/rpc.c */
/* The first byte seeds how a body is cut: the same model and names or none, however it came; names
 * lie within the message; rewritten, it says the same with another project. */
#include "base/check.h"
#include "base/mem.h"
#include "route/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite(const struct rpc_scan *r, const uint8_t *data, struct slice project)
{
    struct rpc_scan again;
    struct sbuf out;
    sbuf_init(&out, 1u << 20);
    rpc_scan_rewrite(r, (const char *)data, project, &out);
    CHECK(!out.failed);
    rpc_scan_init(&again);
    CHECK(rpc_scan_feed(&again, out.p, out.n) == RPC_WHOLE && rpc_scan_size(&again) == out.n);
    bool stays_short = true;
    for (size_t i = 0; i < r->count; i++)
        stays_short &= r->names[i].n - r->names[i].project_n + project.n <= RPC_NAME_MAX;
    if (stays_short) {
        CHECK(again.count == r->count && again.model_n == r->model_n);
        CHECK(memcmp(again.model, r->model, r->model_n) == 0);
    }
    sbuf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct rpc_scan whole, cut;
    unsigned seed = *data++;
    size--;
    rpc_scan_init(&whole);
    rpc_scan_init(&cut);
    rpc_scan_feed(&whole, data, size);
    for (size_t at = 0; at < size;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = (seed >> 16) % 9;
        n = n < size - at ? n : size - at;
        char *exact = mem_dupn(data + at, n);
        CHECK(exact);
        enum rpc_state before = cut.state, now = rpc_scan_feed(&cut, exact, n);
        mem_free(exact);
        CHECK(now == cut.state && (before == RPC_MORE || now == before));
        at += n;
    }
    CHECK(whole.state == cut.state && whole.count == cut.count && whole.model_n == cut.model_n);
    CHECK(memcmp(whole.model, cut.model, whole.model_n) == 0);
    if (whole.state != RPC_WHOLE)
        return 0;
    CHECK(rpc_scan_size(&whole) <= size && whole.count <= RPC_NAMES_MAX);
    for (size_t i = 0; i < whole.count; i++) {
        const struct rpc_name *n = &whole.names[i];
        CHECK(n->length_at < n->at && n->at + n->n <= rpc_scan_size(&whole));
        CHECK(9 + n->project_n < n->n && memcmp(data + n->at, "projects/", 9) == 0);
    }
    rewrite(&whole, data, SLICE("x"));
    rewrite(&whole, data, SLICE("a-project-with-a-longer-name"));
    return 0;
}
