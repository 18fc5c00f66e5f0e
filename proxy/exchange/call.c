/* A gRPC call: its path names neither project nor model, its first message does. The message is
 * held until it is whole, and goes out with the account's project, like a path. */
#include "exchange/exchange_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define OUT_MAX (64u * 1024u * 1024u) /* what is held is bounded elsewhere */

enum err call_begin(struct exchange *x)
{
    x->call = mem_alloc(sizeof *x->call);
    if (!x->call)
        return ERR_NOMEM;
    rpc_scan_init(&x->call->scan);
    x->call->got = 0;
    sbuf_init(&x->call->out, OUT_MAX);
    return ERR_OK;
}

void call_sent(struct exchange *x)
{
    sbuf_finish_wipe(&x->call->out);
    sbuf_init(&x->call->out, OUT_MAX);
}

void call_finish(struct exchange *x)
{
    if (!x->call)
        return;
    sbuf_finish_wipe(&x->call->out);
    mem_free(x->call);
    x->call = NULL;
}

static void note_head(struct call *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n && c->got + i < RPC_HEAD; i++)
        c->head[c->got + i] = (unsigned char)p[i];
    c->got += n;
}

/* Of the first frame; 0: its head is not here, or it is compressed. */
static uint64_t frame_size(const struct call *c)
{
    uint64_t size = 0;
    if (c->got < RPC_HEAD || c->head[0])
        return 0;
    for (unsigned i = 1; i < RPC_HEAD; i++)
        size = size << 8 | c->head[i];
    return RPC_HEAD + size;
}

/* As its head says, whatever it looks like. */
static bool is_whole(const struct call *c)
{
    return c->got >= RPC_HEAD && c->got >= frame_size(c);
}

bool call_body(struct exchange *x, const void *p, size_t n, bool is_last)
{
    struct rpc_scan *r = &x->call->scan;
    rpc_scan_feed(r, p, n);
    note_head(x->call, p, n);
    bool is_told = r->state != RPC_MORE && (!pin_wants_call(x) || is_whole(x->call));
    if (!is_told && !is_last)
        return false;
    if (r->state == RPC_MORE)
        r->state = RPC_OTHER; /* it passes as it is */
    x->scan.state = r->state == RPC_WHOLE && r->model_n ? MODEL_FOUND : MODEL_NONE;
    x->scan.name_n = r->model_n;
    memcpy(x->scan.name, r->model, r->model_n);
    return true;
}

/* "model=projects%2FP%2Flocations...", by which Google's front ends route. */
static struct slice other_project(struct exchange *x, struct slice value, struct slice project)
{
    static const struct slice words[] = {{"projects%2F", 11}, {"projects/", 9}};
    struct sbuf out;
    sbuf_init(&out, TARGET_MAX);
    while (value.n) {
        size_t at = value.n, begin = at;
        for (size_t i = 0; i < ARRAY_LEN(words) && at == value.n; i++) {
            at = slice_search(value, words[i]);
            begin = at == value.n ? at : at + words[i].n;
        }
        sbuf_add(&out, value.p, begin);
        if (begin < value.n)
            sbuf_add_slice(&out, project);
        while (begin < value.n && !strchr("%/&", value.p[begin]))
            begin++;
        value = slice_sub(value, begin, value.n);
    }
    struct slice made =
        out.failed ? (struct slice){NULL, 0} : arena_dup(&x->arena, sbuf_slice(&out));
    sbuf_finish(&out);
    return made;
}

/* In fields of this attempt's own: the next one begins with the client's. */
static enum err rewrite_params(struct exchange *x, struct head *h, struct slice project)
{
    const struct slice name = SLICE("x-goog-request-params");
    if (!head_get_name(h, name))
        return ERR_OK;
    struct field *own = arena_alloc(&x->arena, h->count * sizeof *own);
    if (!own)
        return ERR_NOMEM;
    memcpy(own, h->fields, h->count * sizeof *own);
    h->fields = own;
    for (uint32_t i = 0; i < h->count; i++) {
        struct field *f = &own[i];
        if (f->id != FIELD_OTHER || !slice_ieq(f->name, name))
            continue;
        f->value = other_project(x, f->value, project);
        if (!f->value.p)
            return ERR_NOMEM;
    }
    return ERR_OK;
}

/* The first N bytes that are held. */
static void copy_held(struct held *held, size_t n, struct sbuf *out)
{
    held_rewind(held);
    while (n && !out->failed) {
        const char *p;
        size_t run = held_run(held, n, &p);
        sbuf_add(out, p, run);
        held_advance(held, run);
        n -= run;
    }
}

bool call_first(struct exchange *x, struct sbuf *out)
{
    uint64_t size = frame_size(x->call);
    copy_held(&x->held, size < x->held.n ? (size_t)size : x->held.n, out);
    held_rewind(&x->held);
    return !out->failed;
}

enum err call_rewrite(struct exchange *x, struct head *h)
{
    struct rpc_scan *r = &x->call->scan;
    struct slice project = x->pick.account->project;
    struct sbuf *out = &x->call->out, raw;
    if (r->state != RPC_WHOLE || r->count == 0 || x->pick.account->kind != ACCOUNT_SERVICE)
        return ERR_OK;
    size_t size = rpc_scan_size(r);
    sbuf_init(&raw, OUT_MAX);
    copy_held(&x->held, size, &raw);
    if (!raw.failed)
        rpc_scan_rewrite(r, raw.p, project, out);
    bool failed = raw.failed || out->failed;
    sbuf_finish_wipe(&raw);
    if (failed || rewrite_params(x, h, project) != ERR_OK)
        return ERR_NOMEM;
    if (h->body == BODY_LENGTH)
        h->content_length = h->content_length - size + out->n;
    return ERR_OK;
}

struct slice call_message(struct exchange *x)
{
    size_t size = rpc_scan_size(&x->call->scan), n = x->call->out.n;
    if (n == 0)
        return SLICE("");
    for (size_t left = size; left;) {
        const char *p;
        size_t run = held_run(&x->held, left, &p);
        held_advance(&x->held, run);
        left -= run;
    }
    x->uncounted = n > size ? n - size : 0;
    x->body_left = n < size ? size - n : 0;
    return sbuf_slice(&x->call->out);
}
