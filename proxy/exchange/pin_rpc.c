/* https://protobuf.dev/programming-guides/encoding. No byte is a key or a length on two levels, so
 * the walk takes no more steps than there are bytes; JSON, which could be read again on each level,
 * has a budget. */
#include "exchange/pin_rpc.h"

struct walk {
    const unsigned char *p;
    size_t at;
    size_t ends[PIN_RPC_DEPTH_MAX]; /* of the messages around us, the outermost first */
    size_t depth;
    uint64_t json_left;
    struct slice host;
    pin_name_cb found;
    void *arg;
    bool is_unreadable;
};

static size_t left(const struct walk *w)
{
    return w->ends[w->depth - 1] - w->at;
}

static bool number(struct walk *w, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 70 && left(w); shift += 7) {
        unsigned char c = w->p[w->at++];
        *ret |= shift < 64 ? (uint64_t)(c & 127u) << shift : 0;
        if (!(c & 128u))
            return true;
    }
    return false;
}

static bool skip(struct walk *w, uint64_t n)
{
    if (n > left(w))
        return false;
    w->at += (size_t)n;
    return true;
}

static void take_json(struct walk *w, struct slice text)
{
    struct pin_scan s;
    if (text.n > w->json_left) {
        w->is_unreadable = true;
        return;
    }
    w->json_left -= text.n;
    pin_scan_init(&s, PIN_SCAN_USED, w->host, w->found, w->arg);
    (void)pin_scan_feed(&s, text.p, text.n);
    w->is_unreadable |= s.is_unreadable;
}

static void take_text(struct walk *w, struct slice text)
{
    char buf[RESOURCE_MAX];
    struct pin_name n = {.project_n = 0};
    if (text.n > PIN_TEXT_MAX)
        w->is_unreadable |= resource_may_begin(slice_sub(text, 0, PIN_TEXT_MAX), w->host);
    else if (resource_from_text(text, w->host, buf, &n.name))
        w->found(w->arg, &n);
    struct slice json = slice_trim(text);
    if (json.n && (json.p[0] == '{' || json.p[0] == '['))
        take_json(w, json);
}

/* What it holds is looked at next, as a message. */
static bool take_bytes(struct walk *w)
{
    uint64_t n;
    if (!number(w, &n) || n > left(w))
        return false;
    take_text(w, slice_make(w->p + w->at, (size_t)n));
    if (w->depth == PIN_RPC_DEPTH_MAX) { /* deeper than any provider reads */
        w->is_unreadable = true;
        return skip(w, n);
    }
    w->ends[w->depth++] = w->at + (size_t)n;
    return true;
}

static bool take_field(struct walk *w)
{
    uint64_t key, value;
    if (!number(w, &key) || key >> 3 == 0)
        return false;
    switch (key & 7) {
    case 0:
        return number(w, &value);
    case 1:
        return skip(w, 8);
    case 2:
        return take_bytes(w);
    case 3: /* a group: what is in it is taken as if it stood beside it */
    case 4:
        return true;
    case 5:
        return skip(w, 4);
    default:
        return false;
    }
}

bool pin_rpc_read(struct slice message, struct slice host, pin_name_cb found, void *arg)
{
    struct walk w = {.p = (const unsigned char *)message.p,
                     .ends = {message.n},
                     .depth = 1,
                     .json_left = 2 * (uint64_t)message.n,
                     .host = host,
                     .found = found,
                     .arg = arg};
    while (w.depth) {
        if (left(&w) == 0)
            w.depth--;
        else if (!take_field(&w)) /* no message, or broken */
            w.at = w.ends[--w.depth];
    }
    return !w.is_unreadable;
}
