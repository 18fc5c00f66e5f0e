/* One table of shapes decides what is a name; everything else is nobody's. */
#include "route/resource.h"

#include "base/check.h"

#include <openssl/sha.h>

#define SEGMENTS_MAX 12
#define PATH_MAX_TEXT 1024 /* decoded; with the longest ids it is half of that */
#define DAY_S ((int64_t)86400)

struct parts {
    struct slice v[SEGMENTS_MAX];
    size_t n;
};

/* "*" is an id. The longest that fits the beginning counts. */
static const char *const shapes[] = {
    "publishers/*/models/*/operations/*",
    "cachedContents/*/operations/*",
    "tunedModels/*/operations/*",
    "endpoints/*/operations/*",
    "models/*/operations/*",
    "batchPredictionJobs/*",
    "cachedContents/*",
    "tunedModels/*",
    "operations/*",
    "batches/*",
    "files/*",
};

static bool is_id(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr("-._~@", c))
            return false;
    }
    return s.n > 0 && s.p[0] != '.';
}

/* Percent signs decoded once, as the provider does. False: too long, or broken. */
static bool decode(struct slice s, char *buf, size_t size, struct slice *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 1 < s.n ? hex_value(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (n == size)
            return false;
        buf[n++] = c;
    }
    *ret = slice_make(buf, n);
    return true;
}

static bool cut(struct slice text, struct parts *ret)
{
    struct slice one;
    ret->n = 0;
    while (slice_next(&text, '/', &one)) {
        if (ret->n == SEGMENTS_MAX)
            return false;
        ret->v[ret->n++] = one;
    }
    return true;
}

static struct slice without_verb(struct slice segment)
{
    return slice_sub(segment, 0, slice_find(segment, ':', 0));
}

/* How many segments of P from FROM on are this shape; 0: it does not fit. */
static size_t fit(const char *shape, const struct parts *p, size_t from)
{
    struct slice rest = slice_of(shape), want;
    size_t n = 0;
    while (slice_next(&rest, '/', &want)) {
        if (from + n >= p->n)
            return 0;
        struct slice have = p->v[from + n++];
        bool is_last = from + n == p->n;
        if (slice_eq(want, SLICE("*")) ? !is_id(is_last ? without_verb(have) : have)
                                       : !slice_eq(want, have))
            return 0;
    }
    return n;
}

/* Joins COUNT segments, the last one without its verb. */
static bool join(const struct parts *p, size_t from, size_t count, char *buf, struct slice *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice s = p->v[from + i];
        if (from + i + 1 == p->n)
            s = without_verb(s);
        if (!s.p || n + s.n + 2 > RESOURCE_MAX)
            return false;
        if (i)
            buf[n++] = '/';
        memcpy(buf + n, s.p, s.n);
        n += s.n;
    }
    buf[n] = '\0';
    *ret = slice_make(buf, n);
    return true;
}

/* Where the name begins: behind "projects/P/locations/L" and "locations/L". */
static size_t skip_place(const struct parts *p, size_t from)
{
    if (from + 1 < p->n && slice_eq(p->v[from], SLICE("projects")))
        from += 2;
    if (from + 1 < p->n && slice_eq(p->v[from], SLICE("locations")))
        from += 2;
    return from;
}

/* How many segments from FROM on are a name; 0: none. */
static size_t name_length(const struct parts *p, size_t from)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(shapes) && n == 0; i++)
        n = fit(shapes[i], p, from);
    return n;
}

static bool name_of(const struct parts *p, size_t from, char *buf, struct slice *ret)
{
    size_t n = name_length(p, from);
    return n && join(p, from, n, buf, ret);
}

static bool is_one_of(struct slice s, const char *const *words)
{
    for (; *words; words++)
        if (slice_glob(slice_of(*words), s))
            return true;
    return false;
}

static bool is_version(struct slice s)
{
    return slice_eq(s, SLICE("v1")) || slice_eq(s, SLICE("v1beta")) ||
           slice_eq(s, SLICE("v1alpha")) || slice_eq(s, SLICE("v1beta1"));
}

/* Is TEXT a URL? Then *PATH is what stands behind its host, if that is HOST, else nothing. */
static bool take_url(struct slice text, struct slice host, struct slice *path)
{
    if (!slice_istarts(text, SLICE("https://")))
        return false;
    text = slice_sub(text, 8, text.n);
    size_t end = slice_find(text, '/', 0);
    struct slice at = slice_sub(text, 0, end);
    if (slice_ends(at, SLICE(":443")))
        at.n -= 4;
    *path = host.n && slice_ieq(at, host) ? slice_sub(text, end + 1, text.n) : SLICE("");
    return true;
}

bool resource_from_text(struct slice text, struct slice host, char buf[RESOURCE_MAX],
                        struct slice *ret)
{
    char plain[PATH_MAX_TEXT];
    struct parts p = {.n = 0};
    size_t from = 0;
    bool is_url = take_url(text, host, &text);
    if (is_url && !decode(slice_sub(text, 0, slice_find(text, '?', 0)), plain, sizeof plain, &text))
        return false;
    if (!cut(text, &p))
        return false;
    if (is_url && from < p.n && slice_eq(p.v[from], SLICE("download")))
        from++;
    if (is_url && (from >= p.n || !is_version(p.v[from++])))
        return false;
    return name_of(&p, skip_place(&p, from), buf, ret);
}

bool resource_may_begin(struct slice text, struct slice host)
{
    static const char *const words[] = {
        "projects/*",       "locations/*",   "publishers/*",
        "cachedContents/*", "tunedModels/*", "batchPredictionJobs/*",
        "endpoints/*",      "models/*",      "operations/*",
        "batches/*",        "files/*",       NULL};
    struct slice path;
    if (take_url(text, host, &path))
        return path.n > 0;
    return is_one_of(text, words) && slice_find(text, ' ', 0) == text.n &&
           slice_printable(text, 0) == text.n;
}

/* ---- uploads ---- */

struct slice resource_upload(struct slice upload_id, char buf[RESOURCE_MAX])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)upload_id.p, upload_id.n, sum);
    memcpy(buf, "uploads/", 8);
    for (size_t i = 0; i < 16; i++) {
        buf[8 + 2 * i] = hex[sum[i] >> 4];
        buf[9 + 2 * i] = hex[sum[i] & 15];
    }
    buf[40] = '\0';
    return slice_make(buf, 40);
}

static bool is_broken(struct slice raw)
{
    for (size_t i = 0; (i = slice_find(raw, '%', i)) < raw.n; i++)
        if (i + 2 >= raw.n || hex_value(raw.p[i + 1]) < 0 || hex_value(raw.p[i + 2]) < 0)
            return true;
    return false;
}

/* Is the name, decoded, the one of uploads? */
static bool is_upload_name(struct slice raw)
{
    char text[16];
    struct slice name;
    return decode(raw, text, sizeof text, &name) && slice_ieq(name, SLICE("upload_id"));
}

/* Does the query name an upload? *ID is then its id, empty if that is not clear. So is a name that
 * we cannot decode: whoever reads it otherwise would find an upload that we did not see. */
static bool find_upload(struct slice query, struct slice *id)
{
    struct slice pair;
    bool is_named = false, is_clear = true;
    *id = SLICE("");
    while (query.n && slice_next(&query, '&', &pair)) {
        size_t at = slice_find(pair, '=', 0);
        struct slice name = slice_sub(pair, 0, at), value = slice_sub(pair, at + 1, pair.n);
        bool is_strange = is_broken(name);
        if (!is_strange && !is_upload_name(name))
            continue;
        is_clear &= !is_strange && (!is_named || slice_eq(*id, value));
        is_named = true;
        *id = value;
    }
    if (!is_clear)
        *id = SLICE("");
    return is_named;
}

struct slice resource_upload_id(struct slice query)
{
    struct slice id;
    (void)find_upload(query, &id);
    return id;
}

/* ---- requests ---- */

static bool makes_something(const struct parts *p, size_t from)
{
    static const char *const collections[] = {"files",       "cachedContents",      "batches",
                                              "tunedModels", "batchPredictionJobs", NULL};
    static const char *const verbs[] = {"predictLongRunning", "batchGenerateContent", "asyncBatch*",
                                        NULL};
    if (from >= p->n)
        return false;
    if (from + 1 == p->n && is_one_of(p->v[from], collections))
        return true;
    struct slice last = p->v[p->n - 1];
    return is_one_of(slice_sub(last, slice_find(last, ':', 0) + 1, last.n), verbs);
}

static bool shows_results(struct slice name)
{
    return slice_starts(name, SLICE("batches/")) ||
           slice_search(name, SLICE("operations/")) < name.n;
}

static enum resource_effect effect_of(struct slice method, const struct parts *p, size_t from,
                                      struct slice name)
{
    if (slice_eq(method, SLICE("POST")) && makes_something(p, from))
        return EFFECT_MAKES;
    if (slice_eq(method, SLICE("GET")) && shows_results(name))
        return EFFECT_SHOWS;
    if (slice_eq(method, SLICE("DELETE")) && name.n)
        return EFFECT_ENDS;
    return EFFECT_NONE;
}

void resource_request(enum api api, struct slice method, struct slice target,
                      struct resource_request *ret)
{
    char text[PATH_MAX_TEXT];
    struct parts p = {.n = 0};
    size_t path_end = slice_find(target, '?', 0), from = 0;
    struct slice query = slice_sub(target, path_end + 1, target.n), path;
    ret->name = SLICE("");
    ret->is_upload = ret->is_unreadable = false;
    ret->effect = EFFECT_NONE;
    if ((api != API_GEMINI && api != API_VERTEX) || target.n == 0)
        return;
    ret->is_unreadable =
        !decode(slice_sub(target, 1, path_end), text, sizeof text, &path) || !cut(path, &p);
    if (ret->is_unreadable)
        return;
    bool is_upload = slice_eq(p.v[0], SLICE("upload"));
    if (is_upload || slice_eq(p.v[0], SLICE("download")))
        from = 1;
    if (from >= p.n || !is_version(p.v[from++]))
        return;
    if (is_upload) {
        struct slice id;
        ret->effect = EFFECT_UPLOAD;
        ret->is_upload = find_upload(query, &id);
        if (id.n)
            ret->name = resource_upload(id, ret->buf);
        return;
    }
    from = skip_place(&p, from);
    size_t n = name_length(&p, from);
    ret->is_unreadable = n && !join(&p, from, n, ret->buf, &ret->name);
    ret->effect = effect_of(method, &p, from, ret->name);
}

/* ---- how long, and with what ---- */

int64_t resource_life_s(struct slice name)
{
    if (slice_starts(name, SLICE("files/")))
        return 2 * DAY_S; /* the provider's own */
    if (slice_starts(name, SLICE("uploads/")))
        return 7 * DAY_S;
    if (slice_search(name, SLICE("operations/")) < name.n)
        return 30 * DAY_S;
    if (slice_starts(name, SLICE("tunedModels/")) ||
        slice_starts(name, SLICE("batchPredictionJobs/")))
        return 365 * DAY_S; /* they stay until somebody deletes them */
    return 30 * DAY_S;
}

struct slice resource_parent(struct slice name)
{
    size_t at = slice_search(name, SLICE("/operations/"));
    return slice_starts(name, SLICE("tunedModels/")) && at < name.n ? slice_sub(name, 0, at)
                                                                    : SLICE("");
}
