/* room: route */
/* drives: common/route/match.c */
/* Any bytes as a path, for each API: what is allowed has no spelling that another parser could read
 * otherwise. */
#include "base/check.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice part, struct slice path)
{
    CHECK(part.n == 0 || (part.p >= path.p && part.p + part.n <= path.p + path.n));
    CHECK(slice_find(part, '/', 0) == part.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice all[] = {{"*", 1}};
    static const struct snap_rule any = {.paths = all, .path_count = 1};
    struct slice path = slice_make(data, size), location = route_domain_location(path);
    CHECK(slice_find(location, '.', 0) == location.n);
    for (int i = 0; i < 12; i++) {
        struct route_match m;
        char buf[256];
        struct slice text;
        route_match((enum api)(i % 4), i % 2 ? &any : NULL, i % 3 ? SLICE("POST") : SLICE("GET"),
                    path, &m);
        struct slice bare = route_model_bare(m.model);
        CHECK(slice_ends(m.model, bare) && slice_find(bare, '/', 0) == bare.n);
        check_inside(m.model, path);
        check_inside(m.verb, path);
        check_inside(m.publisher, path);
        check_inside(m.project, path);
        check_inside(m.location, path);
        if (m.is_allowed)
            CHECK(path.n && path.p[0] == '/' && slice_search(path, SLICE("//")) == path.n &&
                  slice_search(path, SLICE("/../")) == path.n && !slice_ends(path, SLICE("/..")) &&
                  slice_find(path, '\\', 0) == path.n);
        if (route_model_text(m.model, buf, sizeof buf, &text))
            CHECK(text.n <= m.model.n);
    }
    return 0;
}
