/* room: exchange */
/* drives: proxy/exchange/pin_rpc.c */
/* The same names each time, each in its short form; and none of them gets lost when the message is
 * one within another, behind a group and a number, in which case it is found again. */
#include "exchange/pin_rpc.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/sbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOST SLICE("generativelanguage.googleapis.com")

static void on_name(void *arg, const struct pin_name *n)
{
    char buf[RESOURCE_MAX];
    struct slice again;
    CHECK(n->name.n > 0 && n->name.n < RESOURCE_MAX);
    CHECK(resource_from_text(n->name, HOST, buf, &again) && slice_eq(again, n->name));
    sbuf_add_slice(arg, n->name);
    sbuf_addc(arg, '\n');
}

static void wrap(struct slice message, struct sbuf *out)
{
    sbuf_add(out, "\x0b\x0c\x10\x96\x01\x1a", 6);
    for (size_t n = message.n;; n >>= 7) {
        sbuf_addc(out, (char)(n > 127 ? n | 128 : n));
        if (n <= 127)
            break;
    }
    sbuf_add_slice(out, message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbuf names, inner, wrapped;
    char *exact = mem_dupn((const char *)data, size);
    CHECK(exact);
    struct slice message = slice_make(exact, size);
    size_t max = RESOURCE_MAX * 4 * (size + 16);
    sbuf_init(&names, max);
    sbuf_init(&inner, max);
    sbuf_init(&wrapped, size + 64);
    bool is_readable = pin_rpc_read(message, HOST, on_name, &names);
    wrap(message, &wrapped);
    CHECK(!wrapped.failed);
    bool still = pin_rpc_read(sbuf_slice(&wrapped), HOST, on_name, &inner);
    CHECK(!names.failed && !inner.failed);
    /* the message itself may be a name or JSON now, which comes first */
    if (is_readable && still && names.n)
        CHECK(slice_ends(sbuf_slice(&inner), sbuf_slice(&names)));
    sbuf_finish(&names);
    sbuf_finish(&inner);
    sbuf_finish(&wrapped);
    mem_free(exact);
    return 0;
}
