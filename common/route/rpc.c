/* A walk over the outermost fields. Lengths are believed only as far as the message goes. */
#include "route/rpc.h"

#include "base/check.h"

enum step {
    STEP_FLAGS,
    STEP_SIZE,
    STEP_KEY,    /* a field's number and type */
    STEP_NUMBER, /* a varint that is the value */
    STEP_LENGTH,
    STEP_TEXT, /* a field short enough to be a name */
    STEP_SKIP
};

void rpc_scan_init(struct rpc_scan *r)
{
    memset(r, 0, sizeof *r);
}

size_t rpc_scan_size(const struct rpc_scan *r)
{
    return RPC_HEAD + (size_t)r->size;
}

static void give_up(struct rpc_scan *r)
{
    r->state = RPC_OTHER;
    r->model_n = 0;
    r->count = 0;
}

static void next(struct rpc_scan *r, enum step step)
{
    r->step = (unsigned char)step;
    r->shift = 0;
    r->number = 0;
}

static void take_model(struct rpc_scan *r, struct slice model)
{
    if (model.n == 0 || model.n > MODEL_MAX || slice_find(model, '/', 0) < model.n)
        return;
    bool is_first = r->model_n == 0 && !r->differs;
    if (!is_first && slice_eq(model, slice_make(r->model, r->model_n)))
        return;
    r->differs = !is_first;
    r->model_n = is_first ? model.n : 0;
    if (is_first)
        memcpy(r->model, model.p, model.n);
}

static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return false;
    return true;
}

/* Where a served method has its model: GenerateContent of Vertex 5, CountTokens 3, all else 1. A
 * name in a field that the provider does not know is no claim. */
static bool is_model_field(unsigned number)
{
    return number == 1 || number == 3 || number == 5;
}

/* A field's bytes: a name? */
static void take_text(struct rpc_scan *r)
{
    static const struct slice kinds[] = {{"/models/", 8}, {"/endpoints/", 11}};
    struct slice text = slice_make(r->text, r->text_n), projects = SLICE("projects/");
    if (!is_visible(text))
        return;
    bool may_be_model = is_model_field(r->field);
    for (size_t i = 0; may_be_model && i < ARRAY_LEN(kinds); i++) {
        size_t at = slice_search(text, kinds[i]);
        if (at < text.n)
            take_model(r, slice_sub(text, at + kinds[i].n, text.n));
    }
    if (may_be_model && slice_starts(text, SLICE("models/")))
        take_model(r, slice_sub(text, 7, text.n));
    if (!slice_starts(text, projects))
        return;
    struct slice rest = slice_sub(text, projects.n, text.n);
    size_t n = slice_find(rest, '/', 0);
    if (n == 0 || !slice_starts(slice_sub(rest, n, rest.n), SLICE("/locations/")))
        return;
    if (r->count == RPC_NAMES_MAX) {
        give_up(r);
        return;
    }
    r->names[r->count++] = (struct rpc_name){
        .length_at = r->length_at, .at = r->at - text.n, .n = text.n, .project_n = n};
}

static void begin_value(struct rpc_scan *r)
{
    static const unsigned char fixed[8] = {[1] = 8, [5] = 4};
    unsigned type = (unsigned)r->number & 7u;
    bool is_known = type == 0 || type == 2 || fixed[type];
    if (!is_known || r->number >> 3 == 0) {
        give_up(r);
        return;
    }
    r->field = (unsigned char)(r->number >> 3 < 16 ? r->number >> 3 : 0);
    r->left = fixed[type];
    r->length_at = r->at;
    next(r, type == 0 ? STEP_NUMBER : type == 2 ? STEP_LENGTH : STEP_SKIP);
}

static void begin_bytes(struct rpc_scan *r)
{
    if (r->number > r->end - r->at) {
        give_up(r);
        return;
    }
    r->left = (size_t)r->number;
    r->text_n = 0;
    next(r, r->left == 0 ? STEP_KEY : r->left <= RPC_NAME_MAX ? STEP_TEXT : STEP_SKIP);
}

/* One byte of a number. */
static void number_byte(struct rpc_scan *r, unsigned char c)
{
    if (r->shift > 63) {
        give_up(r);
        return;
    }
    r->number |= (uint64_t)(c & 127u) << r->shift;
    r->shift = (unsigned char)(r->shift + 7);
    if (c & 128u)
        return;
    if (r->step == STEP_KEY)
        begin_value(r);
    else if (r->step == STEP_LENGTH)
        begin_bytes(r);
    else
        next(r, STEP_KEY);
}

static void head_byte(struct rpc_scan *r, unsigned char c)
{
    if (r->step == STEP_FLAGS) {
        if (c) /* compressed: nobody but the provider can read it */
            give_up(r);
        r->step = STEP_SIZE;
        return;
    }
    r->size = r->size << 8 | c;
    if (r->at < RPC_HEAD)
        return;
    r->end = rpc_scan_size(r);
    next(r, STEP_KEY);
}

/* Bytes of a field's value; returns how many. */
static size_t value_bytes(struct rpc_scan *r, const unsigned char *p, size_t n)
{
    size_t take = n < r->left ? n : r->left;
    if (r->left > r->end - r->at) {
        give_up(r);
        return 0;
    }
    if (r->step == STEP_TEXT) {
        memcpy(r->text + r->text_n, p, take);
        r->text_n += take;
    }
    r->at += take;
    r->left -= take;
    if (r->left)
        return take;
    if (r->step == STEP_TEXT)
        take_text(r);
    next(r, STEP_KEY);
    return take;
}

enum rpc_state rpc_scan_feed(struct rpc_scan *r, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t i = 0;
    while (i < n && r->state == RPC_MORE) {
        if (r->step >= STEP_TEXT) {
            i += value_bytes(r, p + i, n - i);
        } else {
            r->at++;
            if (r->step <= STEP_SIZE)
                head_byte(r, p[i++]);
            else
                number_byte(r, p[i++]);
        }
        if (r->state != RPC_MORE || r->at < RPC_HEAD || r->at < r->end)
            continue;
        if (r->step == STEP_KEY && r->shift == 0)
            r->state = RPC_WHOLE;
        else
            give_up(r); /* the message ends within a field */
    }
    return r->state;
}

static size_t varint(size_t value, unsigned char buf[10])
{
    size_t n = 0;
    for (; value > 127; value >>= 7)
        buf[n++] = (unsigned char)(value | 128u);
    buf[n++] = (unsigned char)value;
    return n;
}

void rpc_scan_rewrite(const struct rpc_scan *r, const char *from, struct slice project,
                      struct sbuf *out)
{
    const size_t prefix = sizeof "projects/" - 1;
    size_t at = RPC_HEAD, begin = out->n;
    sbuf_add(out, from, RPC_HEAD);
    for (size_t i = 0; i < r->count; i++) {
        const struct rpc_name *name = &r->names[i];
        unsigned char length[10];
        size_t length_n = varint(name->n - name->project_n + project.n, length);
        sbuf_add(out, from + at, name->length_at - at);
        sbuf_add(out, length, length_n);
        sbuf_add(out, from + name->at, prefix);
        sbuf_add_slice(out, project);
        at = name->at + prefix + name->project_n;
    }
    sbuf_add(out, from + at, rpc_scan_size(r) - at);
    if (out->failed)
        return;
    size_t size = out->n - begin - RPC_HEAD;
    for (unsigned i = 0; i < 4; i++)
        out->p[begin + 1 + i] = (char)(size >> (24 - 8 * i));
}
