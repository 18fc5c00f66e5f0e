/* Header blocks. nghttp2 has seen to the order of pseudo fields, to names and to values; what it
 * would let pass and HTTP/1 must not see is refused here (T-09). */
#include "http/h2_head.h"

#include "base/mem.h"
#include "http/h2_secret.h"

#define FIELD_OVERHEAD 32u
#define TEXT_BYTES (32u * 1024u)
#define FRAME_BYTES 16384u /* that every peer takes */
#define FIELD_ROOM 12u     /* of a field in HPACK, beside its name and value */

/* ---- from a block ---- */

void h2_gather_init(struct h2_gather *g, const struct session_limits *limits)
{
    uint32_t max = limits->header_count < HEAD_MAX_FIELDS ? limits->header_count : HEAD_MAX_FIELDS;
    *g = (struct h2_gather){.max = max, .max_bytes = limits->header_bytes};
    arena_init(&g->arena, 2 * g->max_bytes + max * (sizeof *g->fields + 32u) + 2u * ARENA_CHUNK);
}

void h2_gather_finish(struct h2_gather *g)
{
    arena_finish(&g->arena, true);
    g->fields = NULL;
    g->count = 0;
    g->bytes = 0;
}

static void spoil(struct h2_gather *g, int status, const char *word)
{
    if (!g->bad) {
        g->bad = word;
        g->bad_status = status;
    }
}

static struct slice *pseudo(struct h2_gather *g, struct slice name)
{
    if (slice_eq(name, SLICE(":method")))
        return &g->method;
    if (slice_eq(name, SLICE(":scheme")))
        return &g->scheme;
    if (slice_eq(name, SLICE(":authority")))
        return &g->authority;
    if (slice_eq(name, SLICE(":path")))
        return &g->path;
    if (slice_eq(name, SLICE(":protocol")))
        return &g->protocol;
    return slice_eq(name, SLICE(":status")) ? &g->status : NULL;
}

void h2_gather_add(struct h2_gather *g, struct slice name, struct slice value)
{
    g->bytes += name.n + value.n + FIELD_OVERHEAD;
    if (g->bytes > g->max_bytes)
        spoil(g, 431, "head_too_large");
    if (g->bad)
        return;
    bool is_pseudo = name.n && name.p[0] == ':';
    struct slice *place = is_pseudo ? pseudo(g, name) : NULL;
    if (is_pseudo && (!place || place->p)) {
        spoil(g, 400, "pseudo_field");
        return;
    }
    if (!is_pseudo && g->count == g->max) {
        spoil(g, 431, "too_many_fields");
        return;
    }
    if (!g->fields)
        g->fields = arena_alloc(&g->arena, (g->max + 1u) * sizeof *g->fields);
    struct slice own = arena_dup(&g->arena, value);
    struct slice own_name = is_pseudo ? name : arena_dup(&g->arena, name);
    if (!g->fields || !own.p || !own_name.p)
        spoil(g, 500, "memory");
    else if (is_pseudo)
        *place = own;
    else
        g->fields[g->count++] = (struct field){own_name, own, field_id(own_name)};
}

static bool refuse(struct fault *fault, int status, const char *reason)
{
    *fault = (struct fault){status, reason};
    return false;
}

/* Fields that speak of a connection (RFC 9113 section 8.2.2). */
static bool is_of_connection(enum field_id id)
{
    return id == FIELD_CONNECTION || id == FIELD_TRANSFER_ENCODING || id == FIELD_KEEP_ALIVE ||
           id == FIELD_PROXY_CONNECTION || id == FIELD_UPGRADE;
}

static const char *check_fields(struct head *h)
{
    const struct field *length = NULL;
    uint32_t hosts = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (!is_token(f->name) || !field_value_ok(f->value))
            return "field";
        if (is_of_connection(f->id))
            return "connection_field";
        if (f->id == FIELD_TE && !slice_ieq(f->value, SLICE("trailers")))
            return "te";
        hosts += f->id == FIELD_HOST;
        if (f->id != FIELD_CONTENT_LENGTH)
            continue;
        if (length)
            return "content_length_twice";
        length = f;
    }
    if (hosts > 1)
        return "host_count";
    if (length && (length->value.n > 18 || !slice_to_u64(length->value, &h->content_length)))
        return "content_length";
    if (length)
        h->body = BODY_LENGTH;
    return NULL;
}

/* One field, as HTTP/1 wants it (RFC 9113 section 8.2.3). False on no memory. */
static bool join_cookies(struct h2_gather *g, struct head *h)
{
    static const struct slice cookie = {"cookie", 6};
    size_t n = 0;
    uint32_t crumbs = 0, kept = 0;
    for (uint32_t i = 0; i < h->count; i++)
        if (slice_eq(h->fields[i].name, cookie)) {
            n += h->fields[i].value.n + 2;
            crumbs++;
        }
    if (crumbs < 2)
        return true;
    char *text = arena_alloc(&g->arena, n), *to = text;
    if (!text)
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        struct field f = h->fields[i];
        if (!slice_eq(f.name, cookie)) {
            h->fields[kept++] = f;
            continue;
        }
        if (f.value.n == 0)
            continue; /* says nothing, and would leave a space at the end */
        if (to != text) {
            *to++ = ';';
            *to++ = ' ';
        }
        memcpy(to, f.value.p, f.value.n);
        to += f.value.n;
    }
    h->fields[kept++] = (struct field){cookie, slice_make(text, (size_t)(to - text)), FIELD_OTHER};
    h->count = kept;
    return true;
}

static void read_wishes(struct head *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        h->expects_continue |= f->id == FIELD_EXPECT && slice_ieq(f->value, SLICE("100-continue"));
        h->wants_trailers |= f->id == FIELD_TE;
    }
}

static bool has_underscore(const struct head *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (slice_find(h->fields[i].name, '_', 0) < h->fields[i].name.n)
            return true;
    return false;
}

/* RFC 8441 section 4, as RFC 6455 section 4.1 asks for the same. Returns the fault's word. */
static const char *become_websocket(struct head *h, bool end)
{
    if (end || h->body == BODY_LENGTH)
        return "websocket_body";
    head_remove(h, FIELD_SEC_WEBSOCKET_KEY); /* not used there (section 5) */
    head_remove(h, FIELD_SEC_WEBSOCKET_ACCEPT);
    h->method = SLICE("GET");
    h->body = BODY_NONE;
    h->is_websocket = h->is_extended_connect = true;
    return NULL;
}

bool h2_request_head(struct h2_gather *g, bool end, struct head *ret, struct fault *fault)
{
    if (g->bad)
        return refuse(fault, g->bad_status, g->bad);
    struct head h = {.method = g->method,
                     .target = g->path,
                     .scheme = g->scheme,
                     .authority = g->authority,
                     .path = g->path,
                     .minor = 1,
                     .keep_alive = true,
                     .body = BODY_CHUNKED,
                     .fields = g->fields,
                     .count = g->count};
    if (!is_token(h.method) || g->status.p)
        return refuse(fault, 400, "pseudo_field");
    bool is_extended = g->protocol.p;
    bool is_connect = slice_eq(h.method, SLICE("CONNECT"));
    if (is_extended && !is_connect)
        return refuse(fault, 400, "pseudo_field");
    if (is_extended && !slice_ieq(g->protocol, SLICE("websocket")))
        return refuse(fault, 501, "protocol");
    struct slice t = h.path;
    if (t.n > TARGET_MAX)
        return refuse(fault, 414, "target_too_long");
    if ((is_extended || !is_connect) &&
        (!head_target_ok(t) || memchr(t.p, '#', t.n) ||
         (t.p[0] != '/' && !(slice_eq(t, SLICE("*")) && slice_eq(h.method, SLICE("OPTIONS"))))))
        return refuse(fault, 400, "target");
    const struct field *host = head_get(&h, FIELD_HOST);
    if (h.authority.n == 0 && !host)
        return refuse(fault, 400, "host_count");
    if (h.authority.n == 0)
        h.authority = host->value;
    const char *reason = check_fields(&h);
    if (!reason && has_underscore(&h))
        reason = "field_name";
    if (!reason && end && h.body == BODY_LENGTH && h.content_length)
        reason = "content_length";
    if (!reason && is_extended)
        reason = become_websocket(&h, end);
    if (reason)
        return refuse(fault, 400, reason);
    if (end)
        h.body = BODY_NONE;
    read_wishes(&h);
    if (!join_cookies(g, &h))
        return refuse(fault, 500, "memory");
    *ret = h;
    return true;
}

/* Whoever reads '_' for '-' could take a field of ours from it (as in h1_parse). */
static void drop_underscores(struct head *h)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++)
        if (slice_find(h->fields[i].name, '_', 0) == h->fields[i].name.n)
            h->fields[kept++] = h->fields[i];
    h->count = kept;
}

/* HTTP/2 has no reasons, and some clients of HTTP/1 see no status without one. */
static struct slice reason_of(uint64_t status)
{
    static const struct {
        uint64_t status;
        struct slice reason;
    } reasons[] = {{200, {"OK", 2}},
                   {201, {"Created", 7}},
                   {202, {"Accepted", 8}},
                   {204, {"No Content", 10}},
                   {206, {"Partial Content", 15}},
                   {304, {"Not Modified", 12}},
                   {400, {"Bad Request", 11}},
                   {401, {"Unauthorized", 12}},
                   {403, {"Forbidden", 9}},
                   {404, {"Not Found", 9}},
                   {429, {"Too Many Requests", 17}},
                   {500, {"Internal Server Error", 21}},
                   {503, {"Service Unavailable", 19}}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return SLICE("Status");
}

bool h2_answer_head(struct h2_gather *g, bool end, struct head *ret, struct fault *fault)
{
    uint64_t status;
    if (g->bad)
        return refuse(fault, 502, g->bad);
    if (g->status.n != 3 || !slice_to_u64(g->status, &status) || status < 100 || status > 599)
        return refuse(fault, 502, "status");
    struct head h = {.status = (int)status,
                     .reason = reason_of(status),
                     .minor = 1,
                     .keep_alive = true,
                     .body = BODY_CHUNKED,
                     .fields = g->fields,
                     .count = g->count};
    const char *reason = check_fields(&h);
    if (reason)
        return refuse(fault, 502, reason);
    if (end && h.body != BODY_LENGTH)
        h.body = BODY_NONE;
    drop_underscores(&h);
    *ret = h;
    return true;
}

bool h2_trailers(struct h2_gather *g, struct head *ret)
{
    struct head h = {.fields = g->fields, .count = g->count};
    if (g->bad || g->method.p || g->status.p || g->path.p || g->scheme.p || g->authority.p ||
        g->protocol.p || check_fields(&h))
        return false;
    drop_underscores(&h);
    head_drop_hop_by_hop(&h);
    *ret = h;
    return true;
}

/* ---- to a block ---- */

struct h2_block *h2_block(void)
{
    static _Thread_local char bytes[TEXT_BYTES];
    static _Thread_local struct h2_block b;
    b.n = b.bytes = 0;
    b.credential = (struct slice){NULL, 0};
    b.text = (struct sbuf){.p = bytes, .size = sizeof bytes, .max = sizeof bytes - 1};
    return &b;
}

void h2_block_finish(struct h2_block *b)
{
    mem_wipe(b->text.p, b->text.n);
    b->n = b->text.n = 0;
    b->credential = (struct slice){NULL, 0};
}

static void add(struct h2_block *b, struct slice name, struct slice value, bool is_unindexed)
{
    b->bytes += name.n + value.n + FIELD_ROOM;
    /* nghttp2's structure is not const; it copies */
    b->nv[b->n++] =
        (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                     .value = (uint8_t *)(uintptr_t)value.p,
                     .namelen = name.n,
                     .valuelen = value.n,
                     .flags = is_unindexed ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

static bool has_upper(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    return false;
}

/* S itself, or its copy in lower case; empty without room. */
static struct slice lower(struct h2_block *b, struct slice s)
{
    if (!has_upper(s))
        return s;
    char *to = sbuf_reserve(&b->text, s.n);
    if (!to)
        return SLICE("");
    for (size_t i = 0; i < s.n; i++)
        to[i] = ascii_lower(s.p[i]);
    sbuf_commit(&b->text, s.n);
    return slice_make(to, s.n);
}

static struct slice number(struct h2_block *b, uint64_t u)
{
    size_t from = b->text.n;
    sbuf_add_u64(&b->text, u);
    return slice_make(b->text.p + from, b->text.n - from);
}

static bool is_secret_field(const struct field *f)
{
    return f->id == FIELD_AUTHORIZATION || f->id == FIELD_X_API_KEY ||
           f->id == FIELD_X_GOOG_API_KEY || slice_ieq(f->name, SLICE("cookie")) ||
           slice_ieq(f->name, SLICE("set-cookie"));
}

/* Values that never come again. In the table they would push out those that do, and each further
 * one would be compared with all that lie there: nghttp2 keeps values of one name in one chain. */
static bool is_new_each_time(const struct field *f)
{
    return f->id == FIELD_X_CREDSWAP_REQUEST_ID ||
           (f->id == FIELD_OTHER &&
            (slice_ieq(f->name, SLICE("request-id")) || slice_ieq(f->name, SLICE("x-request-id")) ||
             slice_ieq(f->name, SLICE("traceparent")) ||
             slice_ieq(f->name, SLICE("x-cloud-trace-context")) ||
             slice_ieq(f->name, SLICE("server-timing")) || slice_ieq(f->name, SLICE("cf-ray"))));
}

static enum err add_fields(const struct head *h, struct h2_block *b)
{
    if (h->count > HEAD_MAX_FIELDS)
        return ERR_INVALID;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (!is_token(f->name) || !field_value_ok(f->value) || is_of_connection(f->id))
            return ERR_INVALID;
        if (f->id == FIELD_HOST || f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_TE)
            continue; /* written anew */
        if (h->is_websocket && f->id == FIELD_SEC_WEBSOCKET_ACCEPT)
            continue; /* RFC 8441 section 5 */
        struct slice name = lower(b, f->name);
        if (name.n == 0)
            return ERR_NOMEM;
        add(b, name, f->value, is_secret_field(f) || is_new_each_time(f));
    }
    return ERR_OK;
}

/* The one credential of a request is taken out, unless the block may need a second frame. */
static void take_credential(struct h2_block *b)
{
    size_t at = b->n, count = 0;
    for (size_t i = 0; i < b->n; i++)
        if (slice_eq(slice_make((char *)b->nv[i].name, b->nv[i].namelen), SLICE("authorization"))) {
            at = i;
            count++;
        }
    if (count != 1 || b->nv[at].valuelen == 0 || b->bytes + H2_SECRET_ROOM > FRAME_BYTES)
        return;
    b->credential = slice_make((char *)b->nv[at].value, b->nv[at].valuelen);
    b->n--;
    memmove(&b->nv[at], &b->nv[at + 1], (b->n - at) * sizeof *b->nv);
}

enum err h2_write_request(const struct head *h, struct h2_block *b)
{
    if (!is_token(h->method) || !head_target_ok(h->path) || !head_target_ok(h->authority) ||
        h->is_websocket)
        return ERR_INVALID;
    add(b, SLICE(":method"), h->method, false);
    add(b, SLICE(":scheme"), SLICE("https"), false);
    add(b, SLICE(":authority"), h->authority, false);
    add(b, SLICE(":path"), h->path, false);
    enum err e = add_fields(h, b);
    if (h->body == BODY_LENGTH)
        add(b, SLICE("content-length"), number(b, h->content_length), false);
    if (h->wants_trailers)
        add(b, SLICE("te"), SLICE("trailers"), false);
    take_credential(b);
    return e == ERR_OK && b->text.failed ? ERR_NOMEM : e;
}

enum err h2_write_answer(const struct head *h, bool with_length, struct h2_block *b)
{
    if (h->status < 100 || h->status > 599)
        return ERR_INVALID;
    add(b, SLICE(":status"), number(b, h->is_websocket ? 200 : (uint64_t)h->status), false);
    enum err e = add_fields(h, b);
    if (with_length && h->body == BODY_LENGTH)
        add(b, SLICE("content-length"), number(b, h->content_length), false);
    return e == ERR_OK && b->text.failed ? ERR_NOMEM : e;
}

enum err h2_write_trailers(const struct head *h, struct h2_block *b)
{
    enum err e = add_fields(h, b);
    return e == ERR_OK && b->text.failed ? ERR_NOMEM : e;
}
