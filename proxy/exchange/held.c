/* Body bytes that wait or may be needed again. */
#include "exchange/held.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define WHOLE_MAX (64u * 1024u)

void held_init(struct held *h, struct loop *loop, uint64_t expected)
{
    *h = (struct held){.loop = loop};
    sbuf_init(&h->whole, expected <= WHOLE_MAX ? (size_t)expected : 0);
}

static void free_first(struct held *h)
{
    struct chunk *c = h->first;
    h->first = c->next;
    if (!h->first)
        h->last = NULL;
    mem_wipe(c->data, c->to);
    chunk_put(h->loop, c);
}

/* The first bytes make the block, in its final size. */
static bool add_whole(struct held *h, const void *p, size_t n)
{
    if (h->whole.size == 0)
        (void)sbuf_reserve(&h->whole, h->whole.max);
    sbuf_add(&h->whole, p, n);
    h->n += n;
    return !h->whole.failed;
}

bool held_add(struct held *h, const void *p, size_t n)
{
    const char *from = p;
    if (n == 0)
        return true;
    if (!h->first && h->whole.n + n <= h->whole.max)
        return add_whole(h, p, n);
    while (n) {
        struct chunk *c = h->last;
        if (!c || c->to == CHUNK_BYTES) {
            c = chunk_get(h->loop);
            if (!c)
                return false;
            if (h->last)
                h->last->next = c;
            else
                h->first = c;
            h->last = c;
        }
        size_t room = CHUNK_BYTES - c->to, take = n < room ? n : room;
        memcpy(c->data + c->to, from, take);
        c->to += (uint32_t)take;
        h->n += take;
        from += take;
        n -= take;
    }
    return true;
}

/* From the end of one piece to the begin of the next, once there is one. */
static void step(const struct held *h, struct chunk **at, size_t *off)
{
    if (!*at && *off == h->whole.n && h->first) {
        *at = h->first;
        *off = h->first->from;
    } else if (*at && *off == CHUNK_BYTES && (*at)->next) {
        *at = (*at)->next;
        *off = (*at)->from;
    }
}

size_t held_run(const struct held *h, size_t max, const char **ret)
{
    struct chunk *at = h->at;
    size_t off = h->at_off;
    step(h, &at, &off);
    const char *base = at ? (const char *)at->data : h->whole.p;
    size_t end = at ? at->to : h->whole.n;
    *ret = base ? base + off : "";
    return end - off < max ? end - off : max;
}

void held_advance(struct held *h, size_t n)
{
    step(h, &h->at, &h->at_off);
    h->at_off += n;
    h->sent += n;
    CHECK(h->sent <= h->n);
}

void held_skip_all(struct held *h)
{
    h->sent = h->n;
    h->at = h->last;
    h->at_off = h->last ? h->last->to : h->whole.n;
}

void held_rewind(struct held *h)
{
    h->sent = 0;
    h->at = NULL;
    h->at_off = 0;
}

size_t held_forget_sent(struct held *h)
{
    size_t n = h->sent;
    if (held_all_sent(h)) {
        held_drop(h);
        return n;
    }
    step(h, &h->at, &h->at_off);
    if (!h->at)
        return 0; /* inside the one block: it goes as a whole */
    while (h->first != h->at)
        free_first(h);
    h->first->from = (uint32_t)h->at_off;
    sbuf_finish_wipe(&h->whole);
    h->n -= n;
    h->sent = 0;
    return n;
}

void held_drop(struct held *h)
{
    while (h->first)
        free_first(h);
    sbuf_finish_wipe(&h->whole);
    h->n = 0;
    held_rewind(h);
}
