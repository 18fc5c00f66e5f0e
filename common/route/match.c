/* What a path says. First the spellings that two parsers could read differently are refused for
 * good; then the provider's own forms are taken apart. Default paths let inference through and
 * leave management out: the token that goes with them could do far more than the client may. */
#include "base/check.h"
#include "route/route.h"

#define SEGMENTS_MAX 24

struct segments {
    struct slice v[SEGMENTS_MAX];
    size_t n;
};

/* The byte at *I, decoded once; moves *I behind it. -1 for a broken percent sign. */
static int next_byte(struct slice s, size_t *i)
{
    if (s.p[*i] != '%')
        return (unsigned char)s.p[(*i)++];
    if (s.n - *i < 3 || hex_value(s.p[*i + 1]) < 0 || hex_value(s.p[*i + 2]) < 0)
        return -1;
    int v = hex_value(s.p[*i + 1]) * 16 + hex_value(s.p[*i + 2]);
    *i += 3;
    return v;
}

/* "." and "..", also encoded, also with ";parameters" behind, which some servers cut off before
 * they resolve. */
static bool is_dots(struct slice segment)
{
    size_t dots = 0;
    for (size_t i = 0; i < segment.n;) {
        int c = next_byte(segment, &i);
        if (c == ';')
            break;
        if (c != '.' || ++dots > 2)
            return false;
    }
    return dots > 0;
}

static bool is_safe_segment(struct slice s, bool is_plain)
{
    if (is_plain) /* as most are */
        return s.n == 0 || s.p[0] != '.' || !is_dots(s);
    for (size_t i = 0; i < s.n;) {
        bool is_encoded = s.p[i] == '%';
        int c = next_byte(s, &i);
        if (c < ' ' || c == '\\' || c == 0x7f || (is_encoded && c == '/'))
            return false;
        if (!is_encoded && (c == ' ' || c > 0x7f || c == '?' || c == '#'))
            return false;
    }
    return !is_dots(s);
}

/* Splits "/a/b"; false for a path that is never forwarded. */
static bool split(struct slice path, struct segments *ret)
{
    struct slice part;
    ret->n = 0;
    if (path.n == 0 || path.p[0] != '/')
        return false;
    bool is_plain = slice_path_plain(path, 0) == path.n;
    path = slice_sub(path, 1, path.n);
    while (slice_next(&path, '/', &part)) {
        if (part.n == 0 && path.p) /* "//"; a slash at the end is one empty last segment */
            return false;
        if (!is_safe_segment(part, is_plain))
            return false;
        if (ret->n < SEGMENTS_MAX) /* no form that we know is longer */
            ret->v[ret->n++] = part;
    }
    return true;
}

/* Inline: the words are constants, and so are their lengths. */
static inline __attribute__((always_inline)) bool is(const struct segments *s, size_t i,
                                                     const char *word)
{
    return i < s->n && s->v[i].n == strlen(word) && memcmp(s->v[i].p, word, strlen(word)) == 0;
}

static bool is_any(struct slice v, const char *const *globs)
{
    for (; *globs; globs++)
        if (slice_glob(slice_of(*globs), v))
            return true;
    return false;
}

/* New inference verbs come every year, so these are shapes; setIamPolicy, deployModel and their
 * like fit none. */
static bool is_inference_verb(struct slice verb)
{
    static const char *const shapes[] = {
        "generate*", "*enerate*Content*", "*redict",       "predict*", "fetch*Operation",
        "*mbed*",    "count*Tokens",      "computeTokens", "explain",  NULL};
    return is_any(verb, shapes);
}

static bool is_lasting_verb(struct slice verb)
{
    static const char *const shapes[] = {"predictLongRunning", "fetchPredictOperation",
                                         "batchGenerateContent", "asyncBatch*", NULL};
    return is_any(verb, shapes);
}

/* "model:verb" at segment I, the last one. */
static bool take_model(const struct segments *s, size_t i, struct route_match *m)
{
    struct slice text = s->v[i];
    size_t at = text.n;
    while (at > 0 && text.p[at - 1] != ':')
        at--;
    m->verb = at ? slice_sub(text, at, text.n) : slice_sub(text, 0, 0);
    m->model = slice_sub(text, 0, at ? at - 1 : text.n);
    m->wants_stream =
        slice_starts(m->verb, SLICE("stream")) || slice_starts(m->verb, SLICE("serverStreaming"));
    m->is_resumable = is_lasting_verb(m->verb);
    /* An encoded colon would hide the verb from us, not from the provider. */
    struct slice rest = text;
    for (size_t p; (p = slice_find(rest, '%', 0)) < rest.n; rest = slice_sub(rest, p + 3, rest.n))
        if (slice_istarts(slice_sub(rest, p, rest.n), SLICE("%3a")))
            return false;
    return m->model.n > 0;
}

static bool is_reading(struct slice method)
{
    return slice_eq(method, SLICE("GET")) || slice_eq(method, SLICE("HEAD"));
}

/* publishers/P/models[/M[:verb]] and publishers/P/models/M/operations/ID, from segment I on. */
static bool take_publisher(const struct segments *s, size_t i, struct slice method,
                           struct route_match *m)
{
    if (!is(s, i + 2, "models"))
        return false;
    m->publisher = s->v[i + 1];
    if (s->n == i + 3)
        return is_reading(method);
    if (!take_model(s, i + 3, m))
        return false;
    if (s->n == i + 4)
        return m->verb.n ? is_inference_verb(m->verb) : is_reading(method);
    return is(s, i + 4, "operations") && s->n == i + 6;
}

/* endpoints/ID:verb (a tuned model) and endpoints/ID/chat/completions; ID openapi serves any model.
 */
static bool take_endpoint(const struct segments *s, size_t i, struct slice method,
                          struct route_match *m)
{
    if (i + 1 >= s->n)
        return false;
    if (is(s, i + 1, "openapi")) {
        m->model_in_body = true;
        m->publisher = SLICE("");
        return (s->n == i + 4 && is(s, i + 2, "chat") && is(s, i + 3, "completions")) ||
               (s->n == i + 3 && (is(s, i + 2, "embeddings") || is(s, i + 2, "completions")));
    }
    if (!take_model(s, i + 1, m))
        return false;
    if (s->n == i + 2)
        return m->verb.n ? is_inference_verb(m->verb) : is_reading(method);
    return s->n == i + 4 && is(s, i + 2, "chat") && is(s, i + 3, "completions");
}

/* gRPC: "PACKAGE.VERSION.Service/Method"; what it is about stands in the message. */
struct rpc {
    const char *service, *method; /* globs */
};

static bool match_rpc(const struct segments *s, struct slice method, const struct rpc *rpc,
                      struct route_match *m)
{
    if (s->n != 2 || !slice_eq(method, SLICE("POST")))
        return false;
    for (; rpc->service; rpc++)
        if (slice_glob(slice_of(rpc->service), s->v[0]) &&
            slice_glob(slice_of(rpc->method), s->v[1])) {
            m->is_rpc = m->model_in_body = true;
            return true;
        }
    return false;
}

/* Caches are left out: what lives at one account is known by paths alone. */
static bool match_vertex_rpc(const struct segments *s, struct slice method, struct route_match *m)
{
    static const struct rpc served[] = {
        {"google.cloud.aiplatform.v1*.PredictionService", "*"},
        {"google.cloud.aiplatform.v1*.LlmUtilityService", "*Tokens"},
        {NULL, NULL}};
    return match_rpc(s, method, served, m);
}

/* Not BidiGenerateContent, whose model is not where a scan of the outermost fields finds it: the
 * Live API is a WebSocket. */
static bool match_gemini_rpc(const struct segments *s, struct slice method, struct route_match *m)
{
    static const struct rpc served[] = {
        {"google.ai.generativelanguage.v1*.GenerativeService", "GenerateContent"},
        {"google.ai.generativelanguage.v1*.GenerativeService", "StreamGenerateContent"},
        {"google.ai.generativelanguage.v1*.GenerativeService", "CountTokens"},
        {"google.ai.generativelanguage.v1*.GenerativeService", "*EmbedContent*"},
        {"google.ai.generativelanguage.v1*.GenerativeService", "GenerateAnswer"},
        {"google.ai.generativelanguage.v1*.PredictionService", "Predict"},
        {NULL, NULL}};
    return match_rpc(s, method, served, m);
}

static bool match_vertex(const struct segments *s, struct slice method, struct route_match *m)
{
    m->is_websocket = is(s, 0, "ws");
    if (m->is_websocket)
        return s->n == 3 &&
               slice_glob(SLICE("google.cloud.aiplatform.*.LlmBidiService"), s->v[1]) &&
               is(s, 2, "BidiGenerateContent");
    if (!is(s, 0, "v1") && !is(s, 0, "v1beta1"))
        return match_vertex_rpc(s, method, m);
    if (is(s, 1, "publishers")) /* "express": no project in the path */
        return take_publisher(s, 1, method, m);
    if (!is(s, 1, "projects") || !is(s, 3, "locations") || s->n < 6 || s->v[2].n == 0)
        return false;
    m->project = s->v[2];
    m->location = s->v[4];
    if (is(s, 5, "publishers"))
        return take_publisher(s, 5, method, m);
    if (is(s, 5, "endpoints"))
        return take_endpoint(s, 5, method, m);
    if (is(s, 5, "models"))
        return s->n <= 7 && is_reading(method);
    if (is(s, 5, "operations"))
        return s->n >= 7;
    m->is_resumable = is(s, 5, "batchPredictionJobs") || is(s, 5, "cachedContents");
    return m->is_resumable && s->n <= 7;
}

static bool is_gemini_version(const struct segments *s, size_t i)
{
    return is(s, i, "v1") || is(s, i, "v1beta") || is(s, i, "v1alpha");
}

static bool match_gemini_models(const struct segments *s, struct slice method,
                                struct route_match *m)
{
    if (s->n == 2)
        return is_reading(method);
    if (!take_model(s, 2, m))
        return false;
    if (s->n == 3)
        return m->verb.n ? is_inference_verb(m->verb) : is_reading(method);
    return s->n == 5 && is(s, 3, "operations");
}

static bool match_gemini_openai(const struct segments *s, struct slice method,
                                struct route_match *m)
{
    if (is(s, 2, "models"))
        return s->n <= 4 && is_reading(method);
    m->model_in_body = true;
    return (s->n == 4 && is(s, 2, "chat") && is(s, 3, "completions")) ||
           (s->n == 3 && is(s, 2, "embeddings"));
}

/* auth_tokens is left out on purpose: it would hand the client a real credential. */
static bool match_gemini(const struct segments *s, struct slice method, struct route_match *m)
{
    m->is_websocket = is(s, 0, "ws");
    if (m->is_websocket)
        return s->n == 2 &&
               slice_glob(SLICE("google.ai.generativelanguage.*.GenerativeService.BidiGenerate*"),
                          s->v[1]);
    if (is(s, 0, "upload") || is(s, 0, "download")) {
        m->is_resumable = true;
        return is_gemini_version(s, 1) && is(s, 2, "files") && s->n <= 4;
    }
    if (!is_gemini_version(s, 0))
        return match_gemini_rpc(s, method, m);
    m->is_tuned = is(s, 1, "tunedModels");
    if (m->is_tuned || is(s, 1, "models"))
        return match_gemini_models(s, method, m);
    if (is(s, 1, "openai"))
        return match_gemini_openai(s, method, m);
    if (is(s, 1, "operations"))
        return s->n >= 3;
    m->is_resumable = is(s, 1, "files") || is(s, 1, "cachedContents") || is(s, 1, "batches");
    return m->is_resumable && s->n <= 3;
}

static bool match_anthropic(const struct segments *s, struct slice method, struct route_match *m)
{
    if (!is(s, 0, "v1"))
        return false;
    if (is(s, 1, "models")) {
        m->model = s->n == 3 ? s->v[2] : m->model;
        return s->n <= 3 && is_reading(method);
    }
    if (is(s, 1, "files") || (is(s, 1, "messages") && is(s, 2, "batches"))) {
        m->is_resumable = true;
        return true;
    }
    m->model_in_body = (s->n == 2 && (is(s, 1, "messages") || is(s, 1, "complete"))) ||
                       (s->n == 3 && is(s, 1, "messages") && is(s, 2, "count_tokens"));
    return m->model_in_body;
}

static bool match_api(enum api api, const struct segments *s, struct slice method,
                      struct route_match *m)
{
    switch (api) {
    case API_GEMINI:
        return match_gemini(s, method, m);
    case API_VERTEX:
        return match_vertex(s, method, m);
    case API_ANTHROPIC:
        return match_anthropic(s, method, m);
    case API_NONE:
        break;
    }
    return false;
}

void route_match(enum api api, const struct snap_rule *rule, struct slice method, struct slice path,
                 struct route_match *ret)
{
    struct segments s;
    struct slice none = SLICE("");
    *ret = (struct route_match){
        .model = none, .publisher = none, .verb = none, .project = none, .location = none};
    if (!split(path, &s))
        return;
    ret->is_allowed = match_api(api, &s, method, ret);
    ret->is_sticky = ret->is_resumable;
    for (size_t i = 0; i < s.n; i++)
        ret->is_sticky |= slice_eq(s.v[i], SLICE("operations"));
    if (!rule || rule->path_count == 0)
        return;
    ret->is_allowed = false;
    for (size_t i = 0; i < rule->path_count; i++)
        if (slice_glob(rule->paths[i], path))
            ret->is_allowed = true;
}

bool route_model_text(struct slice raw, char *buf, size_t size, struct slice *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.n;) {
        int c = next_byte(raw, &i);
        if (c <= ' ' || c > '~' || n + 1 >= size)
            return false;
        buf[n++] = (char)c;
    }
    buf[n] = '\0';
    *ret = slice_make(buf, n);
    return true;
}

struct slice route_model_bare(struct slice model)
{
    size_t at = model.n;
    while (at > 0 && model.p[at - 1] != '/')
        at--;
    return slice_sub(model, at, model.n);
}

struct slice route_domain_location(struct slice domain)
{
    struct slice multi = SLICE(".rep.googleapis.com"),
                 regional = SLICE("-aiplatform.googleapis.com"), location = SLICE("");
    if (slice_eq(domain, SLICE("aiplatform.googleapis.com")))
        return SLICE("global");
    if (slice_starts(domain, SLICE("aiplatform.")) && slice_ends(domain, multi) &&
        domain.n > multi.n + 11)
        location = slice_sub(domain, 11, domain.n - multi.n);
    else if (slice_ends(domain, regional))
        location = slice_sub(domain, 0, domain.n - regional.n);
    return slice_find(location, '.', 0) == location.n ? location : SLICE("");
}
