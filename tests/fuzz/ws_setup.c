/* room: exchange */
/* drives: proxy/exchange/setup.c */
/* dict: websocket */
/* Client bytes of a WebSocket: the first byte seeds how they are cut. However that is, the outcome
 * is one; what comes out unchanged is what came in, and what was rewritten reads again as the same
 * message with the other project. The payloads are masked with zeros more often than not, so that
 * the fuzzer's words show through. */
#include "base/check.h"
#include "base/mem.h"
#include "exchange/setup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct setup *s, const struct sbuf *out)
{
    struct setup again;
    const struct slice prefix = SLICE("projects/ours");
    setup_init(&again);
    CHECK(setup_feed(&again, out->p, out->n) == SETUP_WHOLE);
    CHECK(slice_starts(slice_of(again.model), prefix));
    size_t at = slice_find(slice_of(s->model), '/', sizeof "projects/" - 1);
    CHECK(strcmp(again.model + prefix.n, s->model + at) == 0);
    CHECK(again.raw.n - again.at == s->raw.n - s->at);
    setup_finish(&again);
}

static void take(const struct setup *s)
{
    struct sbuf out;
    sbuf_init(&out, 4 * SETUP_MAX);
    CHECK(setup_take(s, SLICE(""), &out) == ERR_OK);
    CHECK(slice_eq(sbuf_slice(&out), sbuf_slice(&s->raw)));
    sbuf_clear(&out);
    CHECK(setup_take(s, SLICE("ours"), &out) == ERR_OK);
    if (!slice_eq(sbuf_slice(&out), sbuf_slice(&s->raw)))
        read_back(s, &out);
    sbuf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct setup whole, cut;
    if (size < 1)
        return 0;
    unsigned seed = *data++;
    size--;
    setup_init(&whole);
    setup_init(&cut);
    (void)setup_feed(&whole, data, size);
    for (size_t at = 0; at < size && cut.state != SETUP_REFUSED;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = 1 + (seed >> 16) % 9;
        n = n < size - at ? n : size - at;
        char *exact = mem_dupn(data + at, n);
        CHECK(exact);
        (void)setup_feed(&cut, exact, n);
        mem_free(exact);
        at += n;
    }
    CHECK(whole.state == cut.state && strcmp(whole.model, cut.model) == 0);
    CHECK((whole.state == SETUP_REFUSED) == (whole.reason != NULL));
    if (whole.state == SETUP_REFUSED)
        CHECK(whole.code == cut.code && whole.reason == cut.reason);
    if (whole.state == SETUP_WHOLE)
        take(&whole);
    setup_finish(&whole);
    setup_finish(&cut);
    struct sbuf text;
    sbuf_init(&text, 4 * (size + 64));
    if (setup_extensions(slice_make(data, size), &text))
        CHECK(slice_search(sbuf_slice(&text), SLICE("client_no_context_takeover")) < text.n);
    sbuf_finish(&text);
    return 0;
}
