/* Heads as values: known names, hop-by-hop rules, and the one writer through which every outgoing
 * head goes. */
#include "http/head.h"

#include "base/check.h"

static const struct {
    const char *name;
    uint8_t len;
} names[] = {
    [FIELD_OTHER] = {"", 0},
#define X(id, text) [FIELD_##id] = {text, sizeof(text) - 1},
    FIELD_LIST(X)
#undef X
        [FIELD_X_FORWARDED] = {"x-forwarded-", 12},
};

const char *field_name(enum field_id id)
{
    return names[id].name;
}

/* Asked for each field of each head: only names of its length are looked at. */
static const uint8_t of_length[][4] = {
    [2] = {FIELD_TE},
    [3] = {FIELD_VIA},
    [4] = {FIELD_HOST, FIELD_DATE},
    [6] = {FIELD_EXPECT},
    [7] = {FIELD_UPGRADE, FIELD_TRAILER},
    [9] = {FIELD_X_API_KEY, FIELD_FORWARDED, FIELD_X_REAL_IP},
    [10] = {FIELD_CONNECTION, FIELD_USER_AGENT, FIELD_KEEP_ALIVE},
    [11] = {FIELD_RETRY_AFTER},
    [12] = {FIELD_CONTENT_TYPE, FIELD_PROXY_STATUS},
    [13] = {FIELD_AUTHORIZATION},
    [14] = {FIELD_CONTENT_LENGTH, FIELD_X_GOOG_API_KEY, FIELD_HTTP2_SETTINGS},
    [16] = {FIELD_PROXY_CONNECTION},
    [17] = {FIELD_TRANSFER_ENCODING, FIELD_SEC_WEBSOCKET_KEY},
    [18] = {FIELD_PROXY_AUTHENTICATE},
    [19] = {FIELD_PROXY_AUTHORIZATION, FIELD_X_GOOG_USER_PROJECT},
    [20] = {FIELD_SEC_WEBSOCKET_ACCEPT},
    [21] = {FIELD_X_CREDSWAP_REQUEST_ID},
    [22] = {FIELD_SEC_WEBSOCKET_PROTOCOL},
    [24] = {FIELD_SEC_WEBSOCKET_EXTENSIONS},
    [25] = {FIELD_PROXY_AUTHENTICATION_INFO},
};

enum field_id field_id(struct slice name)
{
    if (name.n >= ARRAY_LEN(of_length))
        return slice_istarts(name, SLICE("x-forwarded-")) ? FIELD_X_FORWARDED : FIELD_OTHER;
    for (const uint8_t *id = of_length[name.n]; *id; id++)
        if (slice_ieq(name, (struct slice){names[*id].name, names[*id].len}))
            return (enum field_id) * id;
    return slice_istarts(name, SLICE("x-forwarded-")) ? FIELD_X_FORWARDED : FIELD_OTHER;
}

const struct field *head_get(const struct head *h, enum field_id id)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (h->fields[i].id == id)
            return &h->fields[i];
    return NULL;
}

const struct field *head_get_name(const struct head *h, struct slice name)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (slice_ieq(h->fields[i].name, name))
            return &h->fields[i];
    return NULL;
}

void head_add(struct head *h, enum field_id id, struct slice name, struct slice value)
{
    h->fields[h->count++] = (struct field){name, value, id};
}

void head_remove(struct head *h, enum field_id id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++)
        if (h->fields[i].id != id)
            h->fields[kept++] = h->fields[i];
    h->count = kept;
}

/* Named by Connection or not, these are not the client's to remove. */
static bool is_protected(enum field_id id)
{
    return id == FIELD_HOST || id == FIELD_CONTENT_LENGTH || id == FIELD_AUTHORIZATION ||
           id == FIELD_X_API_KEY || id == FIELD_X_GOOG_API_KEY || id == FIELD_CONTENT_TYPE;
}

static bool is_hop_by_hop(enum field_id id)
{
    switch ((int)id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_CONNECTION:
    case FIELD_PROXY_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_UPGRADE:
    case FIELD_EXPECT:
    case FIELD_HTTP2_SETTINGS:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHENTICATION_INFO:
        return true;
    default:
        return false;
    }
}

/* Does one of H's Connection fields name it? */
static bool is_named(const struct head *h, struct slice name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice rest = h->fields[i].value, token;
        while (h->fields[i].id == FIELD_CONNECTION && slice_next(&rest, ',', &token))
            if (slice_ieq(slice_trim(token), name))
                return true;
    }
    return false;
}

void head_drop_hop_by_hop(struct head *h)
{
    uint32_t kept = 0;
    if (head_get(h, FIELD_CONNECTION))
        for (uint32_t i = 0; i < h->count; i++) {
            struct field *f = &h->fields[i];
            if (!is_hop_by_hop(f->id) && !is_protected(f->id) && is_named(h, f->name))
                f->id = FIELD_KEEP_ALIVE; /* goes the way of the fixed ones */
        }
    for (uint32_t i = 0; i < h->count; i++)
        if (!is_hop_by_hop(h->fields[i].id))
            h->fields[kept++] = h->fields[i];
    h->count = kept;
}

struct slice head_path_only(const struct head *h)
{
    return slice_sub(h->path, 0, slice_find(h->path, '?', 0));
}

struct slice head_query(const struct head *h)
{
    size_t at = slice_find(h->path, '?', 0);
    return at == h->path.n ? (struct slice){NULL, 0} : slice_sub(h->path, at + 1, h->path.n);
}

enum err head_copy(struct arena *a, const struct head *h, uint32_t extra, struct head *ret)
{
    struct head c = *h;
    struct slice *parts[] = {&c.method, &c.target, &c.scheme, &c.authority, &c.path, &c.reason};
    c.fields = arena_alloc(a, (size_t)(h->count + extra) * sizeof *c.fields);
    size_t need = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        need += parts[i]->n;
    for (uint32_t i = 0; i < h->count; i++)
        need += h->fields[i].name.n + h->fields[i].value.n;
    char *p = arena_alloc(a, need + 1);
    if (!c.fields || !p)
        return ERR_NOMEM;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i]->n)
            memcpy(p, parts[i]->p, parts[i]->n);
        parts[i]->p = p;
        p += parts[i]->n;
    }
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        memcpy(p, f->name.p, f->name.n);
        if (f->value.n)
            memcpy(p + f->name.n, f->value.p, f->value.n);
        c.fields[i] = (struct field){{p, f->name.n}, {p + f->name.n, f->value.n}, f->id};
        p += f->name.n + f->value.n;
    }
    *ret = c;
    return ERR_OK;
}

/* RFC 9110 section 5.6.2, a bit for each byte below 128 */
static bool is_token_byte(unsigned char c)
{
    static const uint64_t bits[2] = {0x03ff6cfa00000000u, 0x57ffffffc7fffffeu};
    return c < 128 && (bits[c >> 6] >> (c & 63) & 1) != 0;
}

bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_byte((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

static bool has_ctl(struct slice s)
{
    for (size_t i = 0; (i = slice_printable(s, i)) < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

bool field_value_ok(struct slice v)
{
    return !has_ctl(v) && slice_trim(v).n == v.n;
}

static bool add_fields(const struct head *h, struct sbuf *out)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (!is_token(f->name) || has_ctl(f->value))
            return false;
        char *to = sbuf_reserve(out, f->name.n + f->value.n + 4);
        if (!to)
            return false;
        memcpy(to, f->name.p, f->name.n);
        to += f->name.n;
        *to++ = ':';
        *to++ = ' ';
        if (f->value.n)
            memcpy(to, f->value.p, f->value.n);
        to += f->value.n;
        *to++ = '\r';
        *to = '\n';
        sbuf_commit(out, f->name.n + f->value.n + 4);
    }
    return true;
}

static void add_length(const struct head *h, struct sbuf *out)
{
    sbuf_add_slice(out, SLICE("content-length: "));
    sbuf_add_u64(out, h->content_length);
    sbuf_add_slice(out, SLICE("\r\n"));
}

static void add_connection(const struct head *h, bool close, struct sbuf *out)
{
    if (h->is_websocket)
        sbuf_add_slice(out, SLICE("connection: upgrade\r\nupgrade: websocket\r\n"));
    else if (close)
        sbuf_add_slice(out, SLICE("connection: close\r\n"));
}

bool head_target_ok(struct slice t)
{
    return t.n > 0 && slice_printable(t, 0) == t.n && !memchr(t.p, ' ', t.n);
}

enum err head_write_request(const struct head *h, struct slice host, bool close, struct sbuf *out)
{
    if (!is_token(h->method) || !head_target_ok(h->path) || (host.n && !head_target_ok(host)))
        return ERR_INVALID;
    sbuf_add_slice(out, h->method);
    sbuf_addc(out, ' ');
    sbuf_add_slice(out, h->path);
    sbuf_add_slice(out, SLICE(" HTTP/1.1\r\n"));
    if (host.n) {
        sbuf_add_slice(out, SLICE("host: "));
        sbuf_add_slice(out, host);
        sbuf_add_slice(out, SLICE("\r\n"));
    }
    if (!add_fields(h, out))
        return ERR_INVALID;
    if (h->body == BODY_LENGTH)
        add_length(h, out);
    else if (h->body != BODY_NONE)
        sbuf_add_slice(out, SLICE("transfer-encoding: chunked\r\n"));
    add_connection(h, close, out);
    sbuf_add_slice(out, SLICE("\r\n"));
    return out->failed ? ERR_NOMEM : ERR_OK;
}

enum err head_write_answer(const struct head *h, bool close, struct sbuf *out)
{
    if (h->status < 100 || h->status > 599 || has_ctl(h->reason))
        return ERR_INVALID;
    sbuf_add_slice(out, SLICE("HTTP/1.1 "));
    sbuf_add_u64(out, (uint64_t)h->status);
    sbuf_addc(out, ' ');
    sbuf_add_slice(out, h->reason);
    sbuf_add_slice(out, SLICE("\r\n"));
    if (!add_fields(h, out))
        return ERR_INVALID;
    if (h->body == BODY_LENGTH)
        add_length(h, out);
    else if (h->body == BODY_CHUNKED)
        sbuf_add_slice(out, SLICE("transfer-encoding: chunked\r\n"));
    add_connection(h, close, out);
    sbuf_add_slice(out, SLICE("\r\n"));
    return out->failed ? ERR_NOMEM : ERR_OK;
}
