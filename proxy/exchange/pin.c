/* What lives at one account goes back to it: the names in paths, bodies and answers, for one
 * exchange. Requests that name nothing of the kind never come here. */
#include "exchange/exchange_internal.h"
#include "exchange/pin_rpc.h"
#include "exchange/pin_scan.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"

#include <zlib.h>

#define ANSWER_MAX (64u * 1024u)  /* looked at, of an answer that says what was made */
#define RESULT_MAX (256u * 1024u) /* the same of an operation's result */
#define INFLATE_BYTES 4096u
#define CUTS_MAX 8
#define USED_MAX 64    /* different names in one body */
#define LEARNT_MAX 256 /* names out of one answer */

/* A JSON body that passes by, compressed or not. */
struct reader {
    struct pin_scan scan;
    z_stream z;
    bool is_on, is_compressed;
    bool has_ended;     /* the compressed data has: nothing may be behind it */
    bool is_unreadable; /* broken, or in a coding that we do not know */
    uint64_t left;      /* bytes that are looked at yet, decompressed */
};

struct pinning {
    struct resource_request request;
    struct pin pin; /* the account, when has_pin */
    bool has_pin, is_foreign, differs, has_many, is_unreadable, has_failed;
    bool wants_body, wants_call;
    struct sbuf used; /* the names in the body, each once: a mark, the name, a line's end */
    size_t used_count, learnt;
    struct reader reader;
    struct {
        uint64_t at, n;
    } cuts[CUTS_MAX]; /* the client's project in the body */
    size_t cut_count;
};

/* ---- reading ---- */

static void reader_stop(struct reader *r)
{
    if (r->is_compressed)
        inflateEnd(&r->z);
    r->is_on = r->is_compressed = false;
}

/* False: a coding that we cannot read, or several. *RET: is it compressed? */
static bool read_coding(const struct head *h, bool *ret)
{
    static const struct slice known[] = {{"gzip", 4}, {"x-gzip", 6}, {"deflate", 7}};
    const struct field *coding = NULL;
    *ret = false;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id != FIELD_OTHER || !slice_ieq(f->name, SLICE("content-encoding")))
            continue;
        if (coding)
            return false;
        coding = f;
    }
    if (!coding || slice_ieq(coding->value, SLICE("identity")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        *ret |= slice_ieq(coding->value, known[i]);
    return *ret;
}

/* False: a coding that we cannot read. */
static bool reader_start(struct reader *r, const struct head *h, uint64_t max)
{
    bool is_compressed;
    r->left = max;
    r->is_compressed = false;
    if (!read_coding(h, &is_compressed))
        return false;
    if (is_compressed) {
        memset(&r->z, 0, sizeof r->z);
        /* 15 + 32: zlib or gzip, as its first bytes say */
        if (inflateInit2(&r->z, 15 + 32) != Z_OK)
            return false;
        r->is_compressed = true;
    }
    r->is_on = true;
    return true;
}

static bool reader_plain(struct reader *r, const void *p, size_t n)
{
    size_t take = n < r->left ? n : (size_t)r->left;
    r->left -= take;
    return pin_scan_feed(&r->scan, p, take) && r->left > 0;
}

static bool reader_inflate(struct reader *r, const void *p, size_t n)
{
    unsigned char plain[INFLATE_BYTES];
    int status = Z_OK;
    r->z.next_in = (unsigned char *)(uintptr_t)p; /* zlib's own const is an option */
    r->z.avail_in = (unsigned)n;
    r->is_unreadable |= r->has_ended && n > 0;
    if (r->has_ended)
        return n == 0;
    do {
        r->z.next_out = plain;
        r->z.avail_out = sizeof plain;
        status = inflate(&r->z, Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
            r->is_unreadable = true;
            return false;
        }
        size_t got = sizeof plain - r->z.avail_out;
        if (got && !reader_plain(r, plain, got))
            return false;
    } while (status == Z_OK && (r->z.avail_in || r->z.avail_out == 0));
    r->has_ended = status == Z_STREAM_END;
    r->is_unreadable |= r->has_ended && r->z.avail_in > 0;
    return !r->is_unreadable;
}

static bool reader_feed(struct reader *r, const void *p, size_t n)
{
    if (!r->is_on)
        return false;
    if (r->is_compressed ? !reader_inflate(r, p, n) : !reader_plain(r, p, n))
        reader_stop(r);
    return r->is_on;
}

/* ---- what the client names ---- */

static int64_t pool_id(const struct exchange *x)
{
    return x->snap->pools[x->client->pool].id;
}

/* Notes whose NAME is. */
static enum pin_status look_up(struct exchange *x, struct slice name)
{
    struct pinning *g = x->pinning;
    struct pin found;
    enum pin_status s = pins_find(x->svc->pins, pool_id(x), name, clock_wall_s(), &found);
    if (s == PIN_FOREIGN)
        g->is_foreign = true;
    if (s != PIN_OURS)
        return s;
    if (g->has_pin && g->pin.account_id != found.account_id) {
        g->differs = true;
    } else if (!g->has_pin) {
        g->has_pin = true;
        g->pin = found;
    }
    return s;
}

#define MARK_OURS 'o'
#define MARK_OTHER '-'

/* Is it our pool's? Each name is looked up once, however often it stands in the body. */
static bool is_ours(struct exchange *x, struct slice name)
{
    struct pinning *g = x->pinning;
    struct slice rest = sbuf_slice(&g->used), one;
    while (rest.n && slice_next(&rest, '\n', &one))
        if (slice_eq(slice_sub(one, 1, one.n), name))
            return one.p[0] == MARK_OURS;
    g->has_many |= g->used_count == USED_MAX;
    if (g->has_many)
        return false;
    bool ours = look_up(x, name) == PIN_OURS;
    g->used_count++;
    sbuf_addc(&g->used, ours ? MARK_OURS : MARK_OTHER);
    sbuf_add_slice(&g->used, name);
    sbuf_addc(&g->used, '\n');
    g->has_failed |= g->used.failed;
    return ours;
}

static void on_used(void *arg, const struct pin_name *n)
{
    struct exchange *x = arg;
    struct pinning *g = x->pinning;
    if (!is_ours(x, n->name) || n->project_n == 0 || g->cut_count == CUTS_MAX ||
        g->reader.is_compressed || x->call)
        return;
    g->cuts[g->cut_count].at = n->project_at;
    g->cuts[g->cut_count++].n = n->project_n;
}

static struct objection object(enum reply what, const char *reason)
{
    return (struct objection){.reason = reason, .what = what, .retry_after_s = -1};
}

static struct objection judge_names(const struct exchange *x)
{
    const struct pinning *g = x->pinning;
    if (g->is_foreign)
        return object(REPLY_PIN_FOREIGN, "pin_foreign");
    if (g->differs)
        return object(REPLY_PINS_DIFFER, "pins_differ");
    if (g->has_many)
        return object(REPLY_PINS_MANY, "pins_many");
    if (g->is_unreadable)
        return object(REPLY_PIN_UNREADABLE, "pin_unreadable");
    if (g->has_failed)
        return object(REPLY_INTERNAL, "memory");
    return (struct objection){.reason = NULL};
}

/* May the body name something, and does an account that could be chosen hold anything? */
static bool body_matters(const struct exchange *x)
{
    bool is_sent =
        slice_eq(x->base.method, SLICE("POST")) || slice_eq(x->base.method, SLICE("PATCH"));
    return is_sent && x->base.body != BODY_NONE && !x->request_ended && !x->base.is_websocket &&
           !slice_starts(x->base.path, SLICE("/upload/")) &&
           pins_concern(x->svc->pins, x->snap, &x->snap->pools[x->client->pool]);
}

/* The providers take these in the place of JSON. */
static bool is_protobuf(const struct head *h)
{
    const struct field *f = head_get(h, FIELD_CONTENT_TYPE);
    return f && (slice_istarts(f->value, SLICE("application/x-protobuf")) ||
                 slice_istarts(f->value, SLICE("application/protobuf")));
}

/* With frames as they are: not in base64 for a browser, nor around JSON. */
static bool is_grpc(const struct head *h)
{
    const struct field *f = head_get(h, FIELD_CONTENT_TYPE);
    struct slice type =
        f ? slice_trim(slice_sub(f->value, 0, slice_find(f->value, ';', 0))) : SLICE("");
    return slice_ieq(type, SLICE("application/grpc")) ||
           slice_ieq(type, SLICE("application/grpc+proto"));
}

/* Of gRPC the first message is looked at, when it is here: the client may wait for an answer to it
 * before it goes on. */
static struct objection begin_body(struct exchange *x)
{
    struct pinning *g = x->pinning;
    g->wants_call = x->match.is_rpc;
    if (g->wants_call) {
        g->is_unreadable = !is_grpc(&x->base);
        return judge_names(x);
    }
    pin_scan_init(&g->reader.scan, PIN_SCAN_USED, authority_host(&x->info.authority), on_used, x);
    g->wants_body = !is_protobuf(&x->base) &&
                    reader_start(&g->reader, &x->base, (uint64_t)x->svc->conf->retry.replay_bytes);
    g->is_unreadable = !g->wants_body;
    return judge_names(x);
}

/* A coding that we can read, if the answer is to be looked at. */
static void narrow_codings(struct exchange *x)
{
    for (uint32_t i = 0; i < x->base.count; i++) {
        struct field *f = &x->base.fields[i];
        if (f->id != FIELD_OTHER || !slice_ieq(f->name, SLICE("accept-encoding")))
            continue;
        f->value =
            slice_search(f->value, SLICE("gzip")) < f->value.n ? SLICE("gzip") : SLICE("identity");
    }
}

static struct objection path_names(struct exchange *x)
{
    struct pinning *g = x->pinning;
    resource_request(x->api, x->base.method, x->base.path, &g->request);
    if (g->request.is_unreadable)
        return object(REPLY_PATH, "pin_unreadable");
    if (g->request.effect != EFFECT_NONE && g->request.effect != EFFECT_ENDS)
        narrow_codings(x);
    enum pin_status s = g->request.name.n ? look_up(x, g->request.name) : PIN_UNKNOWN;
    /* The bytes of an upload are for one account; whoever else got them could not use them. */
    if (s == PIN_UNKNOWN && g->request.is_upload)
        return object(REPLY_PIN_UPLOAD, "upload_unknown");
    return judge_names(x);
}

struct objection pin_begin(struct exchange *x)
{
    struct objection none = {.reason = NULL};
    if (!x->svc->pins || (x->api != API_GEMINI && x->api != API_VERTEX))
        return none;
    bool by_path = x->match.is_sticky || x->match.is_tuned;
    if (!by_path && pins_count(x->svc->pins) == 0)
        return none; /* as nearly all */
    bool by_body = body_matters(x);
    if (!by_path && !by_body)
        return none;
    struct pinning *g = x->pinning = mem_calloc(1, sizeof *g);
    if (!g)
        return object(REPLY_INTERNAL, "memory");
    g->request.name = SLICE("");
    sbuf_init(&g->used, USED_MAX * (RESOURCE_MAX + 1) + 1);
    struct objection o = by_path ? path_names(x) : none;
    return o.reason || !by_body ? o : begin_body(x);
}

bool pin_wants_body(const struct exchange *x)
{
    return x->pinning && x->pinning->wants_body;
}

bool pin_wants_call(const struct exchange *x)
{
    return x->pinning && x->pinning->wants_call;
}

bool pin_body(struct exchange *x, const void *p, size_t n)
{
    bool more = reader_feed(&x->pinning->reader, p, n);
    return more || x->pinning->cut_count > 0; /* to be rewritten it must be whole */
}

/* ---- the body, with the account's project ---- */

static bool cut_in(const struct pinning *g, struct slice raw, struct slice project,
                   struct sbuf *out)
{
    size_t at = 0;
    for (size_t i = 0; i < g->cut_count; i++) {
        size_t from = (size_t)g->cuts[i].at, n = (size_t)g->cuts[i].n;
        if (from < at || from + n > raw.n)
            return false;
        sbuf_add_slice(out, slice_sub(raw, at, from));
        sbuf_add_slice(out, project);
        at = from + n;
    }
    sbuf_add_slice(out, slice_sub(raw, at, raw.n));
    return !out->failed;
}

/* All that is held, in one piece. */
static void gather(struct exchange *x, struct sbuf *out)
{
    const char *p;
    size_t n;
    held_rewind(&x->held);
    while ((n = held_run(&x->held, SIZE_MAX, &p)) > 0) {
        sbuf_add(out, p, n);
        held_advance(&x->held, n);
    }
    held_rewind(&x->held);
}

static enum err replace_held(struct exchange *x, struct slice body)
{
    atomic_fetch_sub_explicit(x->svc->replay_bytes, x->counted, memory_order_relaxed);
    x->counted = 0;
    held_drop(&x->held);
    if (!held_add(&x->held, body.p, body.n))
        return ERR_NOMEM;
    x->counted = body.n;
    atomic_fetch_add_explicit(x->svc->replay_bytes, body.n, memory_order_relaxed);
    x->credited = body.n; /* all of it, whatever its length is now */
    if (x->base.body == BODY_LENGTH)
        x->base.content_length = body.n;
    return ERR_OK;
}

/* There is one account that can serve this, so the body is rewritten once. */
static enum err rewrite_body(struct exchange *x)
{
    const struct pinning *g = x->pinning;
    const struct snap_account *a = snapshot_account_by_id(x->snap, g->pin.account_id);
    if (!a || a->kind != ACCOUNT_SERVICE || a->project.n == 0 || !x->request_ended)
        return ERR_OK;
    size_t max = x->held.n + g->cut_count * a->project.n + 1;
    struct sbuf raw, out;
    sbuf_init(&raw, max);
    sbuf_init(&out, max);
    gather(x, &raw);
    enum err e = !raw.failed && cut_in(g, sbuf_slice(&raw), a->project, &out)
                     ? replace_held(x, sbuf_slice(&out))
                     : ERR_NOMEM;
    sbuf_finish_wipe(&raw);
    sbuf_finish_wipe(&out);
    return e;
}

/* A compressed message and what is beyond the replay limit pass. */
static void read_call(struct exchange *x)
{
    struct pinning *g = x->pinning;
    struct sbuf raw;
    sbuf_init(&raw, x->held.n + 1);
    if (!call_first(x, &raw))
        g->has_failed = true;
    else if (raw.n > RPC_HEAD)
        g->is_unreadable |= !pin_rpc_read(slice_sub(sbuf_slice(&raw), RPC_HEAD, raw.n),
                                          authority_host(&x->info.authority), on_used, x);
    sbuf_finish_wipe(&raw);
}

struct objection pin_settle(struct exchange *x)
{
    struct pinning *g = x->pinning;
    if (g->wants_call && x->call)
        read_call(x);
    g->is_unreadable |= g->reader.is_unreadable || g->reader.scan.is_unreadable;
    reader_stop(&g->reader);
    g->wants_body = g->wants_call = false;
    struct objection o = judge_names(x);
    if (!o.reason && g->has_pin && g->cut_count && rewrite_body(x) != ERR_OK)
        return object(REPLY_INTERNAL, "memory");
    return o;
}

int64_t pin_account(const struct exchange *x)
{
    return x->pinning && x->pinning->has_pin ? x->pinning->pin.account_id : 0;
}

void pin_place(const struct exchange *x, struct pick_result *r)
{
    struct slice domain = slice_of(x->pinning->pin.domain);
    struct slice location = route_domain_location(domain);
    if (x->api != API_VERTEX || location.n == 0 || x->match.location.n == 0)
        return; /* nothing in the path says where */
    r->domain = domain;
    r->location = location;
}

/* ---- what the answer names ---- */

static void keep(struct exchange *x, struct slice name, bool replaces)
{
    struct pin p = {.pool_id = pool_id(x),
                    .account_id = x->pick.account->id,
                    .expires_at = clock_wall_s() + resource_life_s(name)};
    if (!slice_copy(name, p.name, sizeof p.name) ||
        !slice_copy(x->pick.domain, p.domain, sizeof p.domain))
        return;
    if (pins_put(x->svc->pins, &p, replaces))
        x->svc->pinned(x->svc, &p, x->client);
}

/* Nobody makes so many at once. */
static bool may_learn(struct exchange *x)
{
    return x->pinning->learnt++ < LEARNT_MAX;
}

static void on_made(void *arg, const struct pin_name *n)
{
    struct exchange *x = arg;
    struct slice parent = resource_parent(n->name);
    if (!may_learn(x))
        return;
    keep(x, n->name, true);
    if (parent.n)
        keep(x, parent, true);
}

/* A result may quote a model's words, so it never takes a name away from another account or pool,
 * and what the provider itself makes for one is a file. */
static void on_shown(void *arg, const struct pin_name *n)
{
    if (slice_starts(n->name, SLICE("files/")) && may_learn(arg))
        keep(arg, n->name, false);
}

static bool is_upload_address(const struct field *f)
{
    static const struct slice names[] = {
        {"x-goog-upload-url", 17}, {"x-goog-upload-control-url", 25}, {"location", 8}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_ieq(f->name, names[i]))
            return true;
    return false;
}

/* Through CONNECT the address passes as it is, if the client will find us there again. At any other
 * host it would send its placeholder, and the upload, through a tunnel or past us: refused.
 * The gateway serves one host for a prefix. */
static enum err take_address(struct exchange *x, struct field *f)
{
    char buf[RESOURCE_MAX];
    struct authority a = x->info.authority;
    struct slice path = f->value;
    if (!slice_starts(path, SLICE("/")) || slice_starts(path, SLICE("//"))) {
        struct slice rest = slice_sub(f->value, 8, f->value.n);
        size_t path_at = slice_find(rest, '/', 0);
        if (!slice_istarts(f->value, SLICE("https://")) ||
            authority_parse(slice_sub(rest, 0, path_at), 443, &a) != ERR_OK)
            return ERR_PROTOCOL;
        path = slice_sub(rest, path_at, rest.n);
    }
    struct slice id = resource_upload_id(slice_sub(path, slice_find(path, '?', 0) + 1, path.n));
    if (id.n == 0)
        return ERR_PROTOCOL;
    if (x->info.gateway.n ? !authority_eq(&a, &x->info.authority)
                          : policy_decide(x->svc->policy, x->snap, &a).verdict != VERDICT_SWAP)
        return ERR_PROTOCOL;
    keep(x, resource_upload(id, buf), true);
    if (x->info.gateway.n == 0)
        return ERR_OK;
    char *text = arena_alloc(&x->arena, x->info.gateway.n + path.n);
    if (!text)
        return ERR_NOMEM;
    memcpy(text, x->info.gateway.p, x->info.gateway.n);
    memcpy(text + x->info.gateway.n, path.p, path.n);
    f->value = slice_make(text, x->info.gateway.n + path.n);
    return ERR_OK;
}

static enum err take_addresses(struct exchange *x, struct head *out)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < out->count && e == ERR_OK; i++)
        if (is_upload_address(&out->fields[i]))
            e = take_address(x, &out->fields[i]);
    return e;
}

static void watch(struct exchange *x, const struct head *h)
{
    struct pinning *g = x->pinning;
    bool shows = g->request.effect == EFFECT_SHOWS;
    pin_scan_init(&g->reader.scan, shows ? PIN_SCAN_SHOWN : PIN_SCAN_MADE,
                  authority_host(&x->info.authority), shows ? on_shown : on_made, x);
    g->reader.has_ended = false; /* of the request's body */
    (void)reader_start(&g->reader, h, shows ? RESULT_MAX : ANSWER_MAX);
}

enum err pin_answer(struct exchange *x, struct head *out)
{
    struct pinning *g = x->pinning;
    enum err e = ERR_OK;
    if (out->status < 200 || out->status > 299)
        return ERR_OK;
    switch (g->request.effect) {
    case EFFECT_NONE:
        return ERR_OK;
    case EFFECT_UPLOAD:
        e = take_addresses(x, out);
        break;
    case EFFECT_ENDS:
        if (pins_drop(x->svc->pins, pool_id(x), g->request.name))
            x->svc->unpinned(x->svc, pool_id(x), g->request.name);
        return ERR_OK;
    case EFFECT_MAKES:
    case EFFECT_SHOWS:
        break;
    }
    if (e == ERR_OK)
        watch(x, out);
    return e;
}

void pin_answer_body(struct exchange *x, const void *p, size_t n)
{
    (void)reader_feed(&x->pinning->reader, p, n);
}

void pin_finish(struct exchange *x)
{
    if (!x->pinning)
        return;
    reader_stop(&x->pinning->reader);
    sbuf_finish(&x->pinning->used);
    mem_free(x->pinning);
    x->pinning = NULL;
}
