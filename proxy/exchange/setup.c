/* Frames (RFC 6455 section 5) up to the end of the first message, and one name in its JSON. */
#include "exchange/setup.h"

#include "base/seal.h"

#include <zlib.h>

#define RAW_MAX (SETUP_MAX + 128u * 1024u) /* and what comes behind it in one go */
#define DEPTH_MAX 200u

enum {
    OP_MORE = 0,
    OP_TEXT = 1,
    OP_BINARY = 2,
    OP_CLOSE = 8
};

void setup_init(struct setup *s)
{
    memset(s, 0, sizeof *s);
    sbuf_init(&s->raw, RAW_MAX);
    sbuf_init(&s->control, RAW_MAX);
    sbuf_init(&s->text, SETUP_MAX);
}

void setup_finish(struct setup *s)
{
    sbuf_finish_wipe(&s->raw);
    sbuf_finish_wipe(&s->control);
    sbuf_finish_wipe(&s->text);
}

static enum setup_state refuse(struct setup *s, uint16_t code, const char *reason)
{
    s->code = code;
    s->reason = reason;
    s->state = SETUP_REFUSED;
    return SETUP_REFUSED;
}

/* ---- the name in the JSON ---- */

struct cursor {
    const char *p, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n'))
        c->p++;
}

static bool eat(struct cursor *c, char what)
{
    skip_space(c);
    if (c->p == c->end || *c->p != what)
        return false;
    c->p++;
    return true;
}

/* A string; RET lies between its quotes, escapes and all. */
static bool eat_string(struct cursor *c, struct slice *ret)
{
    if (!eat(c, '"'))
        return false;
    const char *start = c->p;
    while (c->p < c->end && *c->p != '"') {
        if ((unsigned char)*c->p < 0x20)
            return false;
        c->p += *c->p == '\\' && c->end - c->p > 1 ? 2 : 1;
    }
    if (c->p == c->end)
        return false;
    *ret = slice_make(start, (size_t)(c->p - start));
    c->p++;
    return true;
}

/* What may stand in a number, true, false and null: whether it is one, the provider looks. */
static bool skip_word(struct cursor *c)
{
    const char *start = c->p;
    while (c->p < c->end && ((*c->p >= 'a' && *c->p <= 'z') || (*c->p >= '0' && *c->p <= '9') ||
                             *c->p == '-' || *c->p == '+' || *c->p == '.' || *c->p == 'E'))
        c->p++;
    return c->p > start;
}

static bool eat_key(struct cursor *c)
{
    struct slice key;
    return eat_string(c, &key) && eat(c, ':');
}

/* A string or a word. */
static bool skip_plain(struct cursor *c)
{
    struct slice text;
    return c->p < c->end && (*c->p == '"' ? eat_string(c, &text) : skip_word(c));
}

/* After a value: what ends with it, or the comma, and in an object the key, of the next one. */
static bool go_on(struct cursor *c, const char *awaited, unsigned *n)
{
    while (*n && eat(c, awaited[*n - 1]))
        --*n;
    return *n == 0 || (eat(c, ',') && (awaited[*n - 1] != '}' || eat_key(c)));
}

/* A value of any kind; AWAITED are the brackets that are still to be closed. */
static bool skip_value(struct cursor *c)
{
    char awaited[DEPTH_MAX];
    unsigned n = 0;
    do {
        bool is_object = eat(c, '{');
        if (is_object || eat(c, '[')) {
            if (n == DEPTH_MAX)
                return false;
            awaited[n] = is_object ? '}' : ']';
            if (!eat(c, awaited[n])) { /* it is not empty: its first value */
                n++;
                if (is_object && !eat_key(c))
                    return false;
                continue;
            }
        } else if (!skip_plain(c)) {
            return false;
        }
        if (!go_on(c, awaited, &n))
            return false;
    } while (n);
    return true;
}

/* Runs over an object's members up to and with its '}'; leaves the cursor before the value of WORD,
 * which may be there once, and says how far it got. */
enum member {
    MEMBER_BAD,
    MEMBER_NONE,
    MEMBER_FOUND
};

static enum member find_member(struct cursor *c, const char *word, struct cursor *ret)
{
    bool is_first = true, is_found = false;
    if (!eat(c, '{'))
        return MEMBER_BAD;
    while (!eat(c, '}')) {
        struct slice key;
        if ((!is_first && !eat(c, ',')) || !eat_string(c, &key) || !eat(c, ':'))
            return MEMBER_BAD;
        is_first = false;
        if (slice_find(key, '\\', 0) < key.n)
            return MEMBER_BAD; /* it may spell our name */
        skip_space(c);
        if (slice_eq(key, slice_of(word))) {
            if (is_found)
                return MEMBER_BAD; /* readers differ in which one counts */
            is_found = true;
            *ret = *c;
        }
        if (!skip_value(c))
            return MEMBER_BAD;
    }
    return is_found ? MEMBER_FOUND : MEMBER_NONE;
}

/* Into BUF with a NUL. "\/" is what some writers make of a slash; nothing else in a model's name
 * needs an escape. */
static bool decode_name(struct slice raw, char *buf, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '\\' && (++i == raw.n || (c = raw.p[i]) != '/'))
            return false;
        if (c < 0x21 || c > 0x7e || n + 1 >= size)
            return false;
        buf[n++] = c;
    }
    buf[n] = '\0';
    return true;
}

/* Finds setup.model. False: this is no JSON that we can vouch for. */
static bool find_model(struct setup *s)
{
    struct slice name;
    struct cursor c = {s->text.p, s->text.p + s->text.n}, inner, value;
    enum member m = find_member(&c, "setup", &inner);
    skip_space(&c);
    if (m == MEMBER_BAD || c.p != c.end)
        return false;
    if (m == MEMBER_NONE)
        return true;
    m = find_member(&inner, "model", &value);
    if (m != MEMBER_FOUND)
        return m == MEMBER_NONE;
    if (!eat_string(&value, &name) || !decode_name(name, s->model, sizeof s->model))
        return false;
    s->model_at = (size_t)(name.p - s->text.p);
    s->model_n = name.n;
    return true;
}

/* ---- the message ---- */

static bool inflate_text(struct setup *s)
{
    static const unsigned char tail[4] = {0, 0, 0xff, 0xff}; /* RFC 7692 section 7.2.2 */
    struct sbuf plain;
    z_stream z = {0};
    sbuf_init(&plain, SETUP_MAX);
    sbuf_add(&s->text, tail, sizeof tail);
    if (s->text.failed || inflateInit2(&z, -15) != Z_OK)
        return false;
    z.next_in = (unsigned char *)s->text.p;
    z.avail_in = (unsigned)s->text.n;
    int r = Z_OK;
    while (r == Z_OK && (z.avail_in || z.avail_out == 0)) {
        char *to = sbuf_reserve(&plain, 16384);
        if (!to)
            break;
        z.next_out = (unsigned char *)to;
        z.avail_out = 16384;
        r = inflate(&z, Z_SYNC_FLUSH);
        sbuf_commit(&plain, 16384 - z.avail_out);
    }
    bool ok = !plain.failed && z.avail_in == 0 && (r == Z_OK || r == Z_BUF_ERROR);
    inflateEnd(&z);
    sbuf_finish_wipe(&s->text);
    s->text = plain;
    return ok;
}

static enum setup_state message_over(struct setup *s)
{
    if (s->is_compressed && !inflate_text(s))
        return refuse(s, 1007, "setup_compression");
    if (!find_model(s))
        return refuse(s, 1007, "setup_json");
    s->state = SETUP_WHOLE;
    return SETUP_WHOLE;
}

struct frame {
    unsigned char opcode;
    bool is_last, is_compressed;
    const unsigned char *mask;
    size_t head, n; /* bytes of the head and of the payload */
};

enum read {
    READ_ONE,
    READ_MORE, /* bytes are needed */
    READ_BAD,  /* no frame of a client (RFC 6455 section 5.2) */
    READ_LARGE
};

static enum read read_frame(const unsigned char *p, size_t n, struct frame *ret)
{
    if (n < 2)
        return READ_MORE;
    bool is_control = p[0] & 0x08;
    uint64_t length = p[1] & 0x7f;
    size_t more = length == 126 ? 2 : length == 127 ? 8 : 0, head = 2 + more + 4;
    ret->opcode = p[0] & 0x0f;
    ret->is_last = p[0] & 0x80;
    ret->is_compressed = p[0] & 0x40;
    if ((p[0] & 0x30) || !(p[1] & 0x80) || ret->opcode > (is_control ? 10 : 2) ||
        (is_control && (more || !ret->is_last || ret->is_compressed)))
        return READ_BAD;
    if (n < head)
        return READ_MORE;
    if (more)
        length = 0;
    for (size_t i = 0; i < more; i++)
        length = length << 8 | p[2 + i];
    if (length > SETUP_MAX)
        return READ_LARGE;
    ret->mask = p + head - 4;
    ret->head = head;
    ret->n = (size_t)length;
    return n - head < length ? READ_MORE : READ_ONE;
}

static bool add_unmasked(struct setup *s, const unsigned char *p, const struct frame *f)
{
    char *to = sbuf_reserve(&s->text, f->n);
    if (!to)
        return false;
    for (size_t i = 0; i < f->n; i++)
        to[i] = (char)(p[f->head + i] ^ f->mask[i & 3]);
    sbuf_commit(&s->text, f->n);
    return true;
}

/* One whole frame. */
static enum setup_state take_frame(struct setup *s, const unsigned char *p, const struct frame *f)
{
    s->at += f->head + f->n;
    if (f->opcode & 0x08) {
        sbuf_add(&s->control, p, f->head + f->n);
        if (f->opcode == OP_CLOSE) /* it thought better of it */
            s->state = SETUP_WHOLE;
        return s->state;
    }
    if ((f->opcode == OP_MORE) != s->in_message || (s->in_message && f->is_compressed))
        return refuse(s, 1002, "setup_frame");
    if (!s->in_message) {
        s->in_message = true;
        s->opcode = f->opcode;
        s->is_compressed = f->is_compressed;
    }
    if (!add_unmasked(s, p, f))
        return refuse(s, 1009, "setup_too_large");
    return f->is_last ? message_over(s) : SETUP_MORE;
}

enum setup_state setup_feed(struct setup *s, const void *p, size_t n)
{
    sbuf_add(&s->raw, p, n);
    if (s->raw.failed)
        return refuse(s, 1009, "setup_too_large");
    while (s->state == SETUP_MORE && s->at < s->raw.n) {
        struct frame f;
        const unsigned char *at = (const unsigned char *)s->raw.p + s->at;
        enum read r = read_frame(at, s->raw.n - s->at, &f);
        if (r == READ_BAD)
            return refuse(s, 1002, "setup_frame");
        if (r == READ_LARGE)
            return refuse(s, 1009, "setup_too_large");
        if (r == READ_MORE)
            break;
        (void)take_frame(s, at, &f);
    }
    return s->state;
}

/* ---- what goes on ---- */

/* The project in "projects/P/...": where it begins in the decoded name, and its length. */
static struct slice project_of(const struct setup *s)
{
    struct slice m = slice_of(s->model), prefix = SLICE("projects/");
    if (!slice_starts(m, prefix))
        return SLICE("");
    m = slice_sub(m, prefix.n, m.n);
    return slice_sub(m, 0, slice_find(m, '/', 0));
}

static void add_frame_head(struct sbuf *out, unsigned char opcode, size_t n,
                           const unsigned char mask[4])
{
    unsigned more = n < 126 ? 0 : n < 65536 ? 2 : 8;
    sbuf_addc(out, (char)(0x80 | opcode));
    sbuf_addc(out, (char)(0x80 | (more == 0 ? n : more == 2 ? 126 : 127)));
    for (unsigned i = more; i > 0; i--)
        sbuf_addc(out, (char)(n >> 8 * (i - 1)));
    sbuf_add(out, mask, 4);
}

static void add_masked(struct sbuf *out, struct slice s, const unsigned char mask[4], size_t *at)
{
    char *to = sbuf_reserve(out, s.n);
    for (size_t i = 0; to && i < s.n; i++)
        to[i] = (char)(s.p[i] ^ mask[(*at + i) & 3]);
    if (to)
        sbuf_commit(out, s.n);
    *at += s.n;
}

enum err setup_take(const struct setup *s, struct slice project, struct sbuf *out)
{
    struct slice old = project_of(s), name = slice_of(s->model);
    if (old.n == 0 || project.n == 0 || slice_eq(old, project)) {
        sbuf_add(out, s->raw.p, s->raw.n);
        return out->failed ? ERR_NOMEM : ERR_OK;
    }
    unsigned char mask[4];
    size_t end = s->model_at + s->model_n, masked = 0;
    struct slice text = sbuf_slice(&s->text);
    struct slice parts[] = {slice_sub(text, 0, s->model_at),
                            slice_make(name.p, (size_t)(old.p - name.p)), project,
                            slice_make(old.p + old.n, (size_t)(name.p + name.n - old.p) - old.n),
                            slice_sub(text, end, text.n)};
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        n += parts[i].n;
    random_bytes(mask, sizeof mask);
    sbuf_add(out, s->control.p, s->control.n);
    add_frame_head(out, s->opcode, n, mask);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        add_masked(out, parts[i], mask, &masked);
    sbuf_add(out, s->raw.p + s->at, s->raw.n - s->at);
    return out->failed ? ERR_NOMEM : ERR_OK;
}

size_t setup_close_frame(uint16_t code, const char *reason, unsigned char buf[128])
{
    size_t n = strnlen(reason, 100);
    buf[0] = 0x80 | OP_CLOSE;
    buf[1] = (unsigned char)(n + 2);
    buf[2] = (unsigned char)(code >> 8);
    buf[3] = (unsigned char)(code & 0xff);
    memcpy(buf + 4, reason, n);
    return n + 4;
}

/* Adds one extension with its parameters; true when something was put to it. */
static bool add_extension(struct sbuf *out, struct slice extension)
{
    struct slice rest = extension, parameter;
    bool is_deflate = false, is_first = true, is_there = false;
    while (slice_next(&rest, ';', &parameter)) {
        struct slice name = slice_trim(slice_sub(parameter, 0, slice_find(parameter, '=', 0)));
        is_deflate |= is_first && slice_ieq(name, SLICE("permessage-deflate"));
        is_there |= slice_ieq(name, SLICE("client_no_context_takeover"));
        is_first = false;
    }
    sbuf_add_slice(out, extension);
    if (!is_deflate || is_there)
        return false;
    sbuf_add_slice(out, SLICE("; client_no_context_takeover"));
    return true;
}

bool setup_extensions(struct slice value, struct sbuf *out)
{
    struct slice rest = value, extension;
    bool is_changed = false;
    while (slice_next(&rest, ',', &extension)) {
        if (out->n)
            sbuf_add_slice(out, SLICE(", "));
        is_changed |= add_extension(out, slice_trim(extension));
    }
    return is_changed && !out->failed;
}
