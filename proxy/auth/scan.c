/* The placeholder must not leave (T-05). Every spelling becomes a pattern; one pass looks for all
 * of them and skips ahead by the two bytes at the end of its window (Wu and Manber), so an ordinary
 * head costs a look at every tenth byte. Percent signs are taken away once and twice before a
 * second and a third pass over what they hid. */
#include "auth/scan.h"

#include "auth/percent.h"
#include "base/mem.h"

#define WINDOW_MAX 64 /* what the shift table knows of a pattern */
#define CHUNK 4096

static const char std_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static unsigned pair_hash(const char *p)
{
    return ((unsigned)(unsigned char)p[0] << 5 ^ (unsigned char)p[1]) & 1023;
}

/* The next N bytes of the text are a pattern. */
static void take_pattern(struct auth_scan *s, size_t n)
{
    s->pattern[s->count].at = s->used;
    s->pattern[s->count++].n = (uint16_t)n;
    s->used = (uint16_t)(s->used + n);
    if (n > s->longest)
        s->longest = (uint16_t)n;
    if (n < s->shortest)
        s->shortest = (uint16_t)n;
}

static void add_pattern(struct auth_scan *s, const char *text, size_t n)
{
    memcpy(s->text + s->used, text, n);
    take_pattern(s, n);
}

/* The characters of the base64 text that the placeholder alone decides when LEAD bytes stand before
 * it: the whole text goes to BUF, and the slice is what to look for. */
static struct slice encode(struct slice p, size_t lead, char *buf)
{
    size_t first = (8 * lead + 5) / 6, end = 8 * (lead + p.n) / 6, n = 0;
    unsigned group = 0, have = (unsigned)lead; /* bytes in GROUP; those before are as good as 0 */
    for (size_t i = 0; i < p.n; i++) {
        group = group << 8 | (unsigned char)p.p[i];
        if (++have < 3)
            continue;
        buf[n++] = std_alphabet[group >> 18 & 63];
        buf[n++] = std_alphabet[group >> 12 & 63];
        buf[n++] = std_alphabet[group >> 6 & 63];
        buf[n++] = std_alphabet[group & 63];
        group = have = 0;
    }
    group <<= 8 * (3 - have);
    for (unsigned shift = 18; n < end; shift -= 6)
        buf[n++] = std_alphabet[group >> shift & 63];
    return slice_make(buf + first, end - first);
}

/* The other alphabet. False when the text has no character that differs. */
static bool to_url_form(char *p, size_t n)
{
    if (!memchr(p, '+', n) && !memchr(p, '/', n))
        return false;
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
    return true;
}

static void add_base64(struct auth_scan *s, struct slice placeholder)
{
    char buf[SCAN_BASE64_MAX];
    for (size_t lead = 0; lead < 3; lead++) {
        struct slice text = encode(placeholder, lead, buf);
        if (text.n < 8) /* so short that ordinary text would match by chance */
            continue;
        add_pattern(s, text.p, text.n);
        if (to_url_form(buf + (text.p - buf), text.n))
            add_pattern(s, text.p, text.n);
    }
    mem_wipe(buf, sizeof buf);
}

static void add_hex(struct auth_scan *s, struct slice placeholder, const char digits[16])
{
    char *text = s->text + s->used;
    for (size_t i = 0; i < placeholder.n; i++) {
        text[2 * i] = digits[(unsigned char)placeholder.p[i] >> 4];
        text[2 * i + 1] = digits[(unsigned char)placeholder.p[i] & 15];
    }
    take_pattern(s, 2 * placeholder.n);
}

void auth_scan_init(struct auth_scan *s, struct slice placeholder)
{
    s->count = s->longest = s->used = 0;
    s->shortest = UINT16_MAX;
    if (placeholder.n < 2 || placeholder.n > PLACEHOLDER_MAX)
        return;
    add_pattern(s, placeholder.p, placeholder.n);
    add_base64(s, placeholder);
    add_hex(s, placeholder, "0123456789abcdef");
    add_hex(s, placeholder, "0123456789ABCDEF");
    if (s->shortest > WINDOW_MAX)
        s->shortest = WINDOW_MAX;
    memset(s->shift, (int)s->shortest - 1, sizeof s->shift);
    for (uint16_t i = 0; i < s->count; i++) {
        const char *p = s->text + s->pattern[i].at;
        for (unsigned end = 1; end < s->shortest; end++) {
            uint8_t *shift = &s->shift[pair_hash(p + end - 1)];
            unsigned far = s->shortest - 1u - end;
            if (far < *shift)
                *shift = (uint8_t)far;
        }
    }
}

void auth_scan_finish(struct auth_scan *s)
{
    mem_wipe(s->text, s->used);
    s->count = s->used = 0;
}

static bool begins_with_any(const struct auth_scan *s, struct slice text)
{
    for (uint16_t i = 0; i < s->count; i++)
        if (slice_starts(text, slice_make(s->text + s->pattern[i].at, s->pattern[i].n)))
            return true;
    return false;
}

static bool holds_pattern(const struct auth_scan *s, struct slice text)
{
    size_t window = s->shortest;
    for (size_t end = window - 1; end < text.n;) {
        size_t shift = s->shift[pair_hash(text.p + end - 1)];
        if (shift == 0) {
            if (begins_with_any(s, slice_sub(text, end + 1 - window, text.n)))
                return true;
            shift = 1;
        }
        end += shift;
    }
    return false;
}

/* Takes percent signs away from a stream of bytes. */
struct unpercent {
    char window[3];
    size_t n;
};

/* What is decoded, scanned whenever it is full; the end stays, as a pattern may begin in it. */
struct chunk {
    size_t n;
    char bytes[CHUNK];
};

static bool chunk_scan(const struct auth_scan *s, struct chunk *c)
{
    if (holds_pattern(s, slice_make(c->bytes, c->n)))
        return true;
    size_t keep = (size_t)s->longest - 1;
    if (c->n > keep) {
        memmove(c->bytes, c->bytes + c->n - keep, keep);
        c->n = keep;
    }
    return false;
}

/* Puts C in; up to three bytes come out. */
static size_t unpercent_push(struct unpercent *u, char c, char out[3])
{
    size_t n = 0, i = 0;
    u->window[u->n++] = c;
    if (u->window[0] == '%' && u->n < 3)
        return 0;
    out[n++] = percent_next(slice_make(u->window, u->n), &i);
    while (i < u->n && u->window[i] != '%')
        out[n++] = u->window[i++];
    memmove(u->window, u->window + i, u->n - i);
    u->n -= i;
    return n;
}

static bool chunk_add(const struct auth_scan *s, struct chunk *c, const char *p, size_t n)
{
    if (c->n + n > sizeof c->bytes && chunk_scan(s, c))
        return true;
    memcpy(c->bytes + c->n, p, n);
    c->n += n;
    return false;
}

static bool holds_encoded(const struct auth_scan *s, struct slice text)
{
    struct unpercent twice = {.n = 0};
    struct chunk one, two;
    char out[3];
    one.n = two.n = 0;
    for (size_t i = 0; i < text.n;) {
        char c = percent_next(text, &i);
        size_t n = unpercent_push(&twice, c, out);
        if (chunk_add(s, &one, &c, 1) || chunk_add(s, &two, out, n))
            return true;
    }
    return chunk_add(s, &two, twice.window, twice.n) || chunk_scan(s, &one) || chunk_scan(s, &two);
}

bool auth_scan_leaks(const struct auth_scan *s, struct slice text)
{
    if (s->count == 0)
        return true;
    if (text.n < s->shortest)
        return false;
    return holds_pattern(s, text) ||
           (memchr(text.p, '%', text.n) != NULL && holds_encoded(s, text));
}

bool auth_scan_head(const struct auth_scan *s, const struct head *h)
{
    if (auth_scan_leaks(s, h->method) || auth_scan_leaks(s, h->authority) ||
        auth_scan_leaks(s, h->path))
        return true;
    for (uint32_t i = 0; i < h->count; i++)
        if (auth_scan_leaks(s, h->fields[i].name) || auth_scan_leaks(s, h->fields[i].value))
            return true;
    return false;
}

bool auth_leaks(struct slice text, struct slice placeholder)
{
    struct auth_scan s;
    auth_scan_init(&s, placeholder);
    bool is_found = auth_scan_leaks(&s, text);
    auth_scan_finish(&s);
    return is_found;
}
