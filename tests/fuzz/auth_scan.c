/* room: auth */
/* drives: proxy/auth/scan.c */
/* A placeholder of the first byte's length, two bytes that say how much filler goes before the
 * rest, and a text. The scan must say what a slow reading of its promise says: raw, percent-encoded
 * in whole or part once or twice, base64 in either alphabet and any alignment, or hex. Then the
 * placeholder is put in by a spelling that the bytes choose, and must be seen in any part of a
 * head. */
#include "auth/scan.h"

#include "auth/percent.h"
#include "base/check.h"
#include "base/mem.h"

#include <openssl/evp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 16384
#define CODED_MAX (4 * PLACEHOLDER_MAX)

static struct slice unpercent(struct slice s, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n;)
        to[n++] = percent_next(s, &i);
    return slice_make(to, n);
}

/* PLACEHOLDER in base64 behind LEAD bytes of FILL and before more of them. */
static size_t base64(struct slice placeholder, size_t lead, unsigned char fill, char *to)
{
    unsigned char plain[PLACEHOLDER_MAX + 6];
    memset(plain, fill, sizeof plain);
    memcpy(plain + lead, placeholder.p, placeholder.n);
    return (size_t)EVP_EncodeBlock((unsigned char *)to, plain,
                                   (int)((lead + placeholder.n + 2) / 3 * 3));
}

/* What no neighbour changes. */
static struct slice stable(struct slice placeholder, size_t lead, bool for_urls, char *to)
{
    char other[CODED_MAX];
    size_t n = base64(placeholder, lead, 0x00, to), from = 0;
    CHECK(base64(placeholder, lead, 0xff, other) == n);
    while (from < n && to[from] != other[from])
        from++;
    while (n > from && to[n - 1] != other[n - 1])
        n--;
    for (size_t i = from; for_urls && i < n; i++)
        to[i] = (char)(to[i] == '+' ? '-' : to[i] == '/' ? '_' : to[i]);
    return slice_make(to + from, n - from);
}

static bool has(struct slice text, struct slice part)
{
    return text.n >= part.n && memmem(text.p, text.n, part.p, part.n) != NULL;
}

/* Two digits a byte, of one case. */
static bool holds_hex(struct slice text, struct slice placeholder)
{
    static const char *const digits[] = {"0123456789abcdef", "0123456789ABCDEF"};
    char coded[2 * PLACEHOLDER_MAX];
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < placeholder.n; i++) {
            coded[2 * i] = digits[k][(unsigned char)placeholder.p[i] >> 4];
            coded[2 * i + 1] = digits[k][(unsigned char)placeholder.p[i] & 15];
        }
        if (has(text, slice_make(coded, 2 * placeholder.n)))
            return true;
    }
    return false;
}

static bool holds(struct slice text, struct slice placeholder)
{
    char coded[CODED_MAX];
    if (has(text, placeholder))
        return true;
    for (size_t lead = 0; lead < 6; lead++) {
        struct slice s = stable(placeholder, lead % 3, lead >= 3, coded);
        if (s.n >= 8 && has(text, s))
            return true;
    }
    return holds_hex(text, placeholder);
}

static void check_promise(const struct auth_scan *s, struct slice placeholder, struct slice text)
{
    static char once[TEXT_MAX], twice[TEXT_MAX];
    struct slice one = unpercent(text, once), two = unpercent(one, twice);
    bool says = holds(text, placeholder) || holds(one, placeholder) || holds(two, placeholder);
    bool seen = auth_scan_leaks(s, text);
    CHECK(seen == says);
    CHECK(auth_leaks(text, placeholder) == seen);
}

static size_t percent(struct slice s, unsigned seed, bool all, char *to)
{
    static const char hex[2][17] = {"0123456789abcdef", "0123456789ABCDEF"};
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned char c = (unsigned char)s.p[i];
        if (!all && seed >> 31 && c != '%') {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = hex[seed >> 30 & 1][c >> 4];
        to[n++] = hex[seed >> 29 & 1][c & 15];
    }
    return n;
}

/* One spelling of the placeholder between what stands around it. */
static struct slice spell(struct slice placeholder, unsigned how, char *to)
{
    static char coded[CODED_MAX], once[3 * CODED_MAX];
    struct slice s = placeholder;
    if (how & 1)
        s = stable(placeholder, (how >> 1) % 3, how & 8, coded);
    if (how & 16)
        s = slice_make(once, percent(s, how, how & 64, once));
    size_t n = how & 32 && how & 16 ? percent(s, how * 7, how & 128, to) : 0;
    if (n)
        return slice_make(to, n);
    memcpy(to, s.p, s.n);
    return slice_make(to, s.n);
}

static void check_head(const struct auth_scan *s, struct slice filler, struct slice spelled)
{
    static char text[TEXT_MAX + 9 * CODED_MAX];
    size_t n = 0;
    memcpy(text, filler.p, filler.n);
    n += filler.n;
    memcpy(text + n, spelled.p, spelled.n);
    n += spelled.n;
    text[n++] = '.';
    struct slice bad = slice_make(text, n);
    struct field f[2] = {{SLICE("x"), SLICE("y"), FIELD_OTHER}, {SLICE("a"), bad, FIELD_OTHER}};
    struct head h = {.path = SLICE("/"), .fields = f, .count = 2};
    CHECK(auth_scan_head(s, &h));
    f[1] = (struct field){bad, SLICE("b"), FIELD_OTHER};
    CHECK(auth_scan_head(s, &h));
    h.count = 1;
    h.path = bad;
    CHECK(auth_scan_head(s, &h));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX], spelled[9 * CODED_MAX];
    struct auth_scan s;
    if (size < 6)
        return 0;
    size_t want = 2 + data[0] * 2u, filler = data[2] % 64;
    if (data[1] == 0xfe) /* a long one is slow, and matters where the scan's chunks end only */
        filler = 3900 + 2u * data[2];
    unsigned how = data[3];
    data += 4;
    size -= 4;
    struct slice placeholder = slice_make(data, want < size ? want : size);
    struct slice rest = slice_make(data + placeholder.n, size - placeholder.n);
    if (rest.n > TEXT_MAX - 5000 || placeholder.n > PLACEHOLDER_MAX)
        return 0;
    auth_scan_init(&s, placeholder);
    memset(text, how & 2 ? 'x' : '%', filler);
    if (rest.n)
        memcpy(text + filler, rest.p, rest.n);
    struct slice all = slice_make(text, filler + rest.n);
    check_promise(&s, placeholder, all);
    bool has_base64 = !(how & 1) || placeholder.n >= 9; /* shorter ones would match by chance */
    bool has_percent = slice_find(placeholder, '%', 0) < placeholder.n; /* decoding would eat it */
    if (has_base64 && !has_percent && !(filler + rest.n && text[filler + rest.n - 1] == '%') &&
        !(filler + rest.n > 1 && text[filler + rest.n - 2] == '%'))
        check_head(&s, all, spell(placeholder, how, spelled));
    auth_scan_finish(&s);
    CHECK(auth_scan_leaks(&s, all)); /* without a placeholder all text counts as leaking */
    return 0;
}
