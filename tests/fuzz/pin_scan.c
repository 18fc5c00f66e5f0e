/* room: exchange */
/* drives: proxy/exchange/pin_scan.c common/route/resource.c */
/* dict: json */
/* with: cjson */
/* The first byte says what is looked for and seeds how the JSON is cut: the same names however that
 * is, each in its short form, the projects where they stand; and what cJSON finds by walking the
 * whole tree, where both call it JSON. */
#include "exchange/pin_scan.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/sbuf.h"

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOST SLICE("generativelanguage.googleapis.com")

struct seen {
    struct slice body;
    struct sbuf names;
};

static void add(struct sbuf *to, struct slice name)
{
    char buf[RESOURCE_MAX];
    struct slice again;
    CHECK(name.n > 0 && name.n < RESOURCE_MAX);
    CHECK(resource_from_text(name, HOST, buf, &again) && slice_eq(again, name));
    CHECK(resource_life_s(name) > 0 && resource_parent(name).n < name.n);
    sbuf_add_slice(to, name);
    sbuf_addc(to, '\n');
}

static void on_name(void *arg, const struct pin_name *n)
{
    struct seen *s = arg;
    add(&s->names, n->name);
    if (n->project_n == 0)
        return;
    CHECK(n->project_at + n->project_n < s->body.n);
    struct slice project =
        slice_sub(s->body, (size_t)n->project_at, (size_t)(n->project_at + n->project_n));
    CHECK(slice_find(project, '"', 0) == project.n && slice_find(project, '/', 0) == project.n);
}

static bool is_used(const char *key)
{
    static const char *const keys[] = {"fileUri",        "file_uri",       "uri",
                                       "cachedContent",  "cached_content", "operationName",
                                       "operation_name", "fileName",       "file_name"};
    for (size_t i = 0; key && i < ARRAY_LEN(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* The next of TREE in the order of the text, NULL at the end; no recursion, no parents in cJSON. */
static void walk(const cJSON *tree, struct sbuf *names)
{
    const cJSON *stack[PIN_DEPTH_MAX + 2];
    size_t n = 0;
    stack[n++] = tree->child;
    while (n > 0) {
        const cJSON *item = stack[n - 1];
        char buf[RESOURCE_MAX];
        struct slice name;
        if (!item) {
            n--;
            continue;
        }
        stack[n - 1] = item->next;
        if (cJSON_IsString(item) && is_used(item->string) &&
            strlen(item->valuestring) <= PIN_TEXT_MAX &&
            resource_from_text(slice_of(item->valuestring), HOST, buf, &name))
            add(names, name);
        if (item->child) {
            CHECK(n <= PIN_DEPTH_MAX);
            stack[n++] = item->child;
        }
    }
}

static size_t depth_of(struct slice s)
{
    size_t depth = 0, most = 0;
    for (size_t i = 0; i < s.n; i++) {
        depth += s.p[i] == '{' || s.p[i] == '[';
        most = depth > most ? depth : most;
    }
    return most; /* or more: all that open */
}

/* cJSON takes four bytes that are no hex digits for \u0000, and ends a string there. */
static bool has_nul(struct slice s)
{
    struct slice rest = s;
    for (size_t at; (at = slice_search(rest, SLICE("\\u"))) < rest.n;
         rest = slice_sub(rest, at + 2, rest.n)) {
        struct slice hex = slice_sub(rest, at + 2, at + 6);
        if (hex.n < 4 || slice_eq(hex, SLICE("0000")))
            return true;
        for (size_t i = 0; i < 4; i++)
            if (!strchr("0123456789abcdefABCDEF", hex.p[i]))
                return true;
    }
    return memchr(s.p, 0, s.n) != NULL;
}

static void compare(struct slice body, const struct sbuf *ours)
{
    if (body.n == 0 || (body.p[0] != '{' && body.p[0] != '[') || depth_of(body) >= PIN_DEPTH_MAX ||
        has_nul(body))
        return;
    cJSON *tree = cJSON_ParseWithLength(body.p, body.n);
    if (!tree)
        return;
    struct sbuf names;
    sbuf_init(&names, ours->max);
    walk(tree, &names);
    CHECK(slice_eq(sbuf_slice(&names), sbuf_slice(ours)));
    sbuf_finish(&names);
    cJSON_Delete(tree);
}

static void ask(struct slice target)
{
    static const char *const methods[] = {"GET", "POST", "DELETE", "PUT"};
    char *exact = mem_dupn(target.p, target.n);
    CHECK(exact);
    for (size_t i = 0; i < 8; i++) {
        struct resource_request r;
        resource_request(i % 2 ? API_GEMINI : API_VERTEX, slice_of(methods[i / 2]),
                         slice_make(exact, target.n), &r);
        CHECK(r.name.n < RESOURCE_MAX && (r.name.n == 0 || r.name.p == r.buf));
        CHECK(!r.is_upload || r.effect == EFFECT_UPLOAD);
        CHECK(!r.is_unreadable || r.name.n == 0);
    }
    mem_free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned seed = *data++;
    enum pin_scan_kind kind = (enum pin_scan_kind)(seed % 3);
    struct slice body = slice_make(data, --size);
    struct seen whole = {.body = body}, cut = {.body = body};
    struct pin_scan a, b;
    sbuf_init(&whole.names, RESOURCE_MAX * (size + 1));
    sbuf_init(&cut.names, RESOURCE_MAX * (size + 1));
    pin_scan_init(&a, kind, HOST, on_name, &whole);
    pin_scan_init(&b, kind, HOST, on_name, &cut);
    bool more = pin_scan_feed(&a, body.p, body.n), more_b = !b.is_over;
    for (size_t at = 0; at < size;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = (seed >> 16) % 9;
        n = n < size - at ? n : size - at;
        char *exact = mem_dupn(body.p + at, n);
        CHECK(exact);
        more_b = pin_scan_feed(&b, exact, n);
        mem_free(exact);
        at += n;
    }
    CHECK(more == more_b && a.at == b.at && a.depth == b.depth);
    CHECK(a.is_unreadable == b.is_unreadable);
    CHECK(slice_eq(sbuf_slice(&whole.names), sbuf_slice(&cut.names)));
    if (kind == PIN_SCAN_USED)
        compare(body, &whole.names);
    sbuf_finish(&whole.names);
    sbuf_finish(&cut.names);
    ask(body);
    return 0;
}
