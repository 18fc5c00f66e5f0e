/* What a CONNECT, a whole address or a path of our own asks for, before policy is asked. */
#include "gate/target.h"

#include <stdio.h>

enum target connect_target(const struct head *h, bool end, struct authority *ret)
{
    struct authority host;
    const struct field *f = head_get(h, FIELD_HOST);
    if (!end || authority_parse(h->authority, 0, ret) != ERR_OK)
        return TARGET_BAD;
    if (f && (authority_parse(f->value, ret->port, &host) != ERR_OK || !authority_eq(&host, ret)))
        return TARGET_OTHER_HOST;
    return TARGET_OK;
}

enum target local_target(const struct head *h, struct authority *ret)
{
    struct authority host;
    const struct field *f = head_get(h, FIELD_HOST);
    if (h->path.n == 0 || (f && authority_parse(f->value, 80, &host) != ERR_OK))
        return TARGET_BAD;
    if (h->scheme.n == 0)
        return TARGET_ORIGIN;
    if (!slice_ieq(h->scheme, SLICE("http")) || authority_parse(h->authority, 80, ret) != ERR_OK)
        return TARGET_NOT_HTTP;
    return f && !authority_eq(ret, &host) ? TARGET_OTHER_HOST : TARGET_OK;
}

/* "/vertex/v1/projects/P/locations/L/..." names its host by the location. */
static bool vertex_host(struct slice path, char *buf, size_t size)
{
    path = slice_sub(path, 0, slice_find(path, '?', 0)); /* a query names no host */
    size_t at = slice_search(path, SLICE("/locations/"));
    struct slice rest = slice_sub(path, at == path.n ? at : at + 11, path.n);
    struct slice location = slice_sub(rest, 0, slice_find(rest, '/', 0));
    if (location.n == 0 || slice_eq(location, SLICE("global")))
        return slice_copy(SLICE("aiplatform.googleapis.com"), buf, size);
    int n;
    if (slice_eq(location, SLICE("us")) || slice_eq(location, SLICE("eu")))
        n = snprintf(buf, size, "aiplatform.%.*s.rep.googleapis.com", SLICE_FMT(location));
    else
        n = snprintf(buf, size, "%.*s-aiplatform.googleapis.com", SLICE_FMT(location));
    return n > 0 && (size_t)n < size;
}

bool gateway_target(const struct head *h, char *host, size_t size, struct slice *ret_path)
{
    static const struct {
        struct slice prefix;
        const char *host;
    } prefixes[] = {
        {{"/anthropic/", 11}, "api.anthropic.com"},
        {{"/gemini/", 8}, "generativelanguage.googleapis.com"},
        {{"/vertex/", 8}, NULL},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (!slice_starts(h->path, prefixes[i].prefix))
            continue;
        *ret_path = slice_sub(h->path, prefixes[i].prefix.n - 1, h->path.n);
        if (prefixes[i].host)
            return slice_copy(slice_of(prefixes[i].host), host, size);
        return vertex_host(*ret_path, host, size);
    }
    *ret_path = h->path;
    return slice_starts(h->path, SLICE("/v1/projects/")) && vertex_host(h->path, host, size);
}
