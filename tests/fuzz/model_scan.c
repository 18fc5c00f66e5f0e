/* room: route */
/* drives: common/route/model.c */
/* dict: json */
/* The first byte says whether the whole is read and seeds how a body is cut: the same name or none,
 * however it came, and only bytes that may stand in a path or a log. */
#include "base/check.h"
#include "base/mem.h"
#include "route/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct model_scan whole, cut;
    unsigned seed = *data++;
    size--;
    model_scan_init(&whole);
    model_scan_init(&cut);
    whole.whole = cut.whole = seed & 128;
    model_scan_feed(&whole, data, size);
    for (size_t at = 0; at < size;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = (seed >> 16) % 9;
        n = n < size - at ? n : size - at;
        char *exact = mem_dupn(data + at, n);
        CHECK(exact);
        enum model_scan_state before = cut.state, now = model_scan_feed(&cut, exact, n);
        mem_free(exact);
        CHECK(now == cut.state && (before == MODEL_MORE || now == before));
        at += n;
    }
    CHECK(model_scan_end(&whole) == model_scan_end(&cut));
    CHECK(whole.state == cut.state && whole.name_n == cut.name_n && whole.name_n <= MODEL_MAX);
    CHECK(memcmp(whole.name, cut.name, whole.name_n) == 0);
    if (whole.state == MODEL_FOUND) {
        CHECK(whole.name_n > 0);
        for (size_t i = 0; i < whole.name_n; i++)
            CHECK(whole.name[i] > 0x20 && whole.name[i] < 0x7f);
    }
    return 0;
}
