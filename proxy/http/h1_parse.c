/* One whole head, in one go: the lines are checked here, llhttp cuts them, and the framing is
 * decided here again from the values. */
#include "http/h1_parse.h"

#include "base/check.h"

static enum h1_scan bad(struct fault *f, int status, const char *reason)
{
    *f = (struct fault){status, reason};
    return H1_BAD;
}

static bool refuse(struct fault *f, enum role role, int status, const char *reason)
{
    *f = (struct fault){role == ROLE_CLIENT ? 502 : status, reason};
    return false;
}

/* what the callbacks gather */
struct gather {
    const char *url;
    size_t url_len;
    struct field *fields;
    uint32_t count, max;
    const char *name, *value;
    size_t name_len, value_len;
};

static void grow(const char **p, size_t *n, const char *at, size_t len)
{
    if (!*p)
        *p = at;
    *n += len;
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
    struct gather *g = parser->data;
    grow(&g->url, &g->url_len, at, n);
    return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t n)
{
    struct gather *g = parser->data;
    grow(&g->name, &g->name_len, at, n);
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
    struct gather *g = parser->data;
    grow(&g->value, &g->value_len, at, n);
    return 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct gather *g = parser->data;
    if (g->count == g->max)
        return HPE_USER;
    struct slice name = {g->name, g->name_len};
    struct slice value = {g->value ? g->value : g->name, g->value_len};
    /* check_lines has let one with '_' through in an answer only: whoever reads it for '-' there
     * could take a framing or a field of ours from it, so nobody gets it */
    if (slice_find(name, '_', 0) == name.n)
        g->fields[g->count++] = (struct field){name, slice_trim(value), field_id(name)};
    g->name = g->value = NULL;
    g->name_len = g->value_len = 0;
    return 0;
}

/* What a field's name must not hold; whether it is a token, llhttp looks. */
enum {
    ODD = 1,
    ODD_IN_REQUEST = 2
};
static const unsigned char odd_bytes[256] = {[' '] = ODD, ['\t'] = ODD, ['_'] = ODD_IN_REQUEST};

/* Whole field lines as they came: what values cannot show any more. A name with '_' may carry a
 * credential past those who look for '-', so a request with one is refused. */
static const char *check_lines(enum role role, const char *line, const char *end)
{
    while (line < end) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf)
            return "line";
        if (*line == ' ' || *line == '\t')
            return "obs_fold";
        const char *colon = memchr(line, ':', (size_t)(lf - line));
        if (!colon || colon == line)
            return "field_name";
        unsigned char odd = 0;
        for (const char *c = line; c < colon; c++)
            odd |= odd_bytes[(unsigned char)*c];
        if (odd & (role == ROLE_SERVER ? ODD | ODD_IN_REQUEST : ODD))
            return "field_name";
        line = lf + 1;
    }
    return NULL;
}

/* "METHOD SP target SP HTTP/1.x", exactly. PRI is the one that HTTP/2 keeps for itself (RFC 9113
 * section 3.4), and llhttp takes what follows it for another protocol's. */
static bool check_request_line(struct slice line, struct head *h)
{
    size_t sp1 = slice_find(line, ' ', 0), sp2 = slice_find(line, ' ', sp1 + 1);
    if (sp1 == 0 || sp2 >= line.n || sp2 == sp1 + 1)
        return false;
    h->method = slice_sub(line, 0, sp1);
    if (slice_eq(h->method, SLICE("PRI")))
        return false;
    h->target = slice_sub(line, sp1 + 1, sp2);
    struct slice version = slice_sub(line, sp2 + 1, line.n);
    if (!slice_eq(version, SLICE("HTTP/1.1")) && !slice_eq(version, SLICE("HTTP/1.0")))
        return false;
    h->minor = version.p[7] == '1';
    struct slice t = h->target; /* has no space: it was cut at the first */
    return slice_printable(t, 0) == t.n && !memchr(t.p, '#', t.n);
}

/* "HTTP/1.x SP 3DIGIT [SP reason]" */
static bool check_status_line(struct slice line, struct head *h)
{
    if (line.n < 12 ||
        (!slice_starts(line, SLICE("HTTP/1.1 ")) && !slice_starts(line, SLICE("HTTP/1.0 "))))
        return false;
    h->minor = line.p[7] == '1';
    uint64_t status;
    if (!slice_to_u64(slice_sub(line, 9, 12), &status) || status < 100 || status > 599)
        return false;
    if (line.n > 12 && line.p[12] != ' ')
        return false;
    h->status = (int)status;
    h->reason = line.n > 13 ? slice_sub(line, 13, line.n) : (struct slice){line.p, 0};
    for (size_t i = 0; i < h->reason.n; i++) {
        unsigned char c = (unsigned char)h->reason.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static const char *first_line_word(enum role role)
{
    return role == ROLE_SERVER ? "request_line" : "status_line";
}

static bool check_first_line(enum role role, struct slice line, struct head *h, struct fault *fault)
{
    if (role == ROLE_SERVER && line.n > TARGET_MAX + 32)
        return refuse(fault, role, 414, "target_too_long");
    if (!(role == ROLE_SERVER ? check_request_line(line, h) : check_status_line(line, h)))
        return refuse(fault, role, 400, first_line_word(role));
    if (role == ROLE_SERVER && h->target.n > TARGET_MAX)
        return refuse(fault, role, 414, "target_too_long");
    return true;
}

/* The lines in P[BEGAN..AT) of a head whose end has not come: what is wrong already is not waited
 * for. */
static enum h1_scan check_part(enum role role, const char *p, size_t began, size_t at,
                               struct fault *fault)
{
    struct head h = {0};
    if (began == 0 && at > 0) {
        began = (size_t)((const char *)memchr(p, '\n', at) - p) + 1;
        if (!check_first_line(role, slice_make(p, began - 2), &h, fault))
            return H1_BAD;
    }
    const char *reason = check_lines(role, p + began, p + at);
    return reason ? bad(fault, 400, reason) : H1_MORE;
}

/* The first byte that no line may hold: N bytes of one, without its LF. A CR at the end may be the
 * line's. */
static const char *bad_byte(const char *line, size_t n, const char *cr_word)
{
    const char *cr = memchr(line, '\r', n), *nul = memchr(line, '\0', n);
    if (cr == line + n - 1)
        cr = NULL;
    if (nul && (!cr || nul < cr))
        return "nul";
    return cr ? cr_word : NULL;
}

/* N bytes of a line, with its LF when IS_WHOLE. */
static const char *check_bytes(const char *line, size_t n, bool is_whole, const char *cr_word)
{
    if (is_whole && n >= 2 && line[n - 2] == '\r' &&
        slice_printable(slice_make(line, n - 2), 0) == n - 2)
        return NULL; /* as nearly all are */
    size_t length = is_whole ? n - 1 : n;
    const char *reason = length ? bad_byte(line, length, cr_word) : NULL;
    if (!reason && is_whole && (length == 0 || line[length - 1] != '\r'))
        reason = "bare_lf";
    return reason;
}

enum h1_scan h1_scan_head(enum role role, const char *p, size_t n, size_t *from, size_t *ret_len,
                          struct fault *fault)
{
    size_t began = *from, at = began; /* start of a line not seen whole yet */
    while (at < n) {
        if (at == 0) {
            unsigned char c = (unsigned char)p[0];
            bool fits = role == ROLE_CLIENT ? c == 'H' : c >= 'A' && c <= 'Z';
            if (!fits)
                return bad(fault, 400, "start_line");
        }
        const char *lf = memchr(p + at, '\n', n - at);
        size_t end = lf ? (size_t)(lf - p) : n;
        const char *reason = check_bytes(p + at, end + (lf != NULL) - at, lf != NULL,
                                         at ? "bare_cr" : first_line_word(role));
        if (reason && check_part(role, p, began, at, fault) == H1_BAD)
            return H1_BAD; /* the first fault is told, however the bytes came */
        if (reason)
            return bad(fault, 400, reason);
        if (!lf)
            break;
        if (end == at + 1) {
            *ret_len = end + 1;
            return H1_WHOLE;
        }
        at = end + 1;
        *from = at;
    }
    return check_part(role, p, began, at, fault);
}

/* origin-form, absolute-form, authority-form (CONNECT), asterisk-form (OPTIONS): RFC 9112
 * section 3.2 */
static bool split_target(struct head *h)
{
    struct slice t = h->target;
    if (slice_eq(h->method, SLICE("CONNECT"))) {
        h->authority = t;
        return true;
    }
    if (t.p[0] == '/') {
        h->path = t;
        return true;
    }
    if (slice_eq(t, SLICE("*"))) {
        h->path = t;
        return slice_eq(h->method, SLICE("OPTIONS"));
    }
    size_t at = slice_search(t, SLICE("://"));
    if (at == t.n)
        return false;
    h->scheme = slice_sub(t, 0, at);
    struct slice rest = slice_sub(t, at + 3, t.n);
    size_t slash = slice_find(rest, '/', 0);
    h->authority = slice_sub(rest, 0, slash);
    h->path = slash == rest.n ? SLICE("/") : slice_sub(rest, slash, rest.n);
    return h->authority.n > 0 && slice_find(h->authority, '?', 0) == h->authority.n;
}

/* Connection, Upgrade, Expect: what they ask for. */
static void read_options(struct head *h)
{
    bool close = false, keep = false, upgrade = false;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id == FIELD_EXPECT && slice_ieq(f->value, SLICE("100-continue")))
            h->expects_continue = true;
        if (f->id != FIELD_CONNECTION && f->id != FIELD_TE)
            continue;
        struct slice rest = f->value, token;
        while (slice_next(&rest, ',', &token)) {
            token = slice_trim(token);
            h->wants_trailers |= f->id == FIELD_TE && slice_ieq(token, SLICE("trailers"));
            if (f->id == FIELD_TE)
                continue;
            close |= slice_ieq(token, SLICE("close"));
            keep |= slice_ieq(token, SLICE("keep-alive"));
            upgrade |= slice_ieq(token, SLICE("upgrade"));
        }
    }
    h->keep_alive = !close && (h->minor == 1 || keep);
    const struct field *to = upgrade && h->minor == 1 ? head_get(h, FIELD_UPGRADE) : NULL;
    h->wants_upgrade = to != NULL;
    h->is_websocket = to && slice_ieq(to->value, SLICE("websocket")) && h->body == BODY_NONE &&
                      (h->status == 101 || slice_eq(h->method, SLICE("GET")));
}

/* RFC 9112 section 6.3, without its lenient branches. Returns the fault or NULL. */
static const char *read_framing(struct head *h)
{
    const struct field *length = NULL, *coding = NULL;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id == FIELD_CONTENT_LENGTH) {
            if (length)
                return "content_length_twice";
            length = f;
        } else if (f->id == FIELD_TRANSFER_ENCODING) {
            if (coding)
                return "transfer_encoding_twice";
            coding = f;
        }
    }
    if (length && coding)
        return "length_and_coding";
    if (coding) {
        if (h->minor == 0 || !slice_ieq(coding->value, SLICE("chunked")))
            return "transfer_encoding";
        h->body = BODY_CHUNKED;
    } else if (length) {
        if (length->value.n > 18 || !slice_to_u64(length->value, &h->content_length))
            return "content_length";
        h->body = BODY_LENGTH;
    }
    return NULL;
}

/* A Host with anything that is no authority is refused later, by value; here only how often it is
 * there. */
static bool host_count_ok(const struct head *h)
{
    uint32_t hosts = 0;
    for (uint32_t i = 0; i < h->count; i++)
        hosts += h->fields[i].id == FIELD_HOST;
    if (slice_eq(h->method, SLICE("CONNECT")))
        return hosts <= 1; /* urllib and requests send none */
    return h->minor == 1 ? hosts == 1 : hosts <= 1;
}

/* What follows a CONNECT is the tunnel's (RFC 9110 section 9.3.6), and llhttp cuts no chunks there.
 */
static bool connect_body_ok(const struct head *h)
{
    return !slice_eq(h->method, SLICE("CONNECT")) || h->body == BODY_NONE ||
           (h->body == BODY_LENGTH && h->content_length == 0);
}

static bool run_llhttp(enum role role, llhttp_t *parser, const llhttp_settings_t *settings,
                       const char *p, size_t len, struct gather *g)
{
    llhttp_settings_t s = *settings;
    s.on_url = on_url;
    s.on_header_field = on_name;
    s.on_header_value = on_value;
    s.on_header_value_complete = on_value_complete;
    llhttp_init(parser, role == ROLE_SERVER ? HTTP_REQUEST : HTTP_RESPONSE, &s);
    parser->data = g;
    llhttp_errno_t e = llhttp_execute(parser, p, len);
    parser->settings = NULL;
    parser->data = NULL;
    /* A request without body, or CONNECT, ends here; the caller's settings pause at a message's
     * end. */
    return e == HPE_OK || e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE;
}

bool h1_parse_head(enum role role, llhttp_t *parser, const llhttp_settings_t *settings,
                   const char *p, size_t len, const struct session_limits *limits,
                   struct field *fields, struct head *ret, struct fault *fault)
{
    struct head h = {.fields = fields};
    const char *lf = memchr(p, '\n', len);
    CHECK(lf != NULL && len >= 4);
    struct slice first = {p, (size_t)(lf - p) - 1};
    if (!check_first_line(role, first, &h, fault))
        return false;
    const char *reason = check_lines(role, lf + 1, p + len - 2);
    if (reason)
        return refuse(fault, role, 400, reason);

    uint32_t max = limits->header_count < HEAD_MAX_FIELDS ? limits->header_count : HEAD_MAX_FIELDS;
    struct gather g = {.fields = fields, .max = max};
    if (!run_llhttp(role, parser, settings, p, len, &g))
        return g.count == g.max ? refuse(fault, role, 431, "too_many_fields")
                                : refuse(fault, role, 400, "syntax");
    h.count = g.count;
    reason = read_framing(&h);
    /* llhttp, which will cut the chunks, must have read the same ("chunked" and a tab: it has not)
     */
    if (!reason && h.body == BODY_CHUNKED && !(parser->flags & F_CHUNKED))
        reason = "transfer_encoding";
    if (reason)
        return refuse(fault, role, 400, reason);
    read_options(&h);
    if (role == ROLE_SERVER) {
        if (g.url_len != h.target.n || !split_target(&h))
            return refuse(fault, role, 400, "target");
        if (!host_count_ok(&h))
            return refuse(fault, role, 400, "host_count");
        if (!connect_body_ok(&h))
            return refuse(fault, role, 400, "connect_body");
    }
    *ret = h;
    return true;
}
