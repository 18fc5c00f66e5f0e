/* One request in words: where it went, when it got how far, and why it failed. */
#include "views/live_internal.h"
#include "views/why.h"

#include <stdio.h>

/* ---- in a cell ---- */

static struct slice verb_of(const struct live_row *r)
{
    static const struct {
        struct slice long_name, name;
    } shorts[] = {{{"streamGenerateContent", 21}, {"stream", 6}},
                  {{"generateContent", 15}, {"generate", 8}},
                  {{"streamRawPredict", 16}, {"stream", 6}},
                  {{"rawPredict", 10}, {"raw", 3}},
                  {{"countTokens", 11}, {"count", 5}},
                  {{"embedContent", 12}, {"embed", 5}}};
    struct slice path = slice_of(r->path);
    size_t begin = path.n;
    while (begin > 0 && path.p[begin - 1] != '/' && path.p[begin - 1] != ':')
        begin--;
    struct slice verb = slice_sub(path, begin, path.n);
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        if (slice_eq(verb, shorts[i].long_name))
            return shorts[i].name;
    return verb;
}

/* As it was understood, or as the path spells it: who is refused at the door has none yet. */
static struct slice model_of(const struct live_row *r)
{
    /* its size is said: with the whole program in view the compiler cannot tell that a NUL is there
     */
    size_t n = strnlen(r->model, sizeof r->model);
    if (n)
        return slice_make(r->model, n);
    struct slice path = slice_of(r->path), mark = SLICE("/models/");
    size_t at = slice_search(path, mark);
    path = slice_sub(path, at + mark.n < path.n ? at + mark.n : path.n, path.n);
    size_t end = slice_find(path, ':', 0);
    return end < path.n ? slice_sub(path, 0, end) : SLICE("");
}

void live_target(const struct live_row *r, char *buf, size_t size)
{
    struct slice model = model_of(r), verb = verb_of(r);
    if (model.n)
        snprintf(buf, size, "%.*s %.*s", SLICE_FMT(model), SLICE_FMT(verb));
    else
        snprintf(buf, size, "%s%s", r->host, r->path);
}

/* The next "name:word" of TRIES. */
static bool next_try(struct slice *tries, struct slice *ret_name, struct slice *ret_word)
{
    struct slice one;
    if (tries->n == 0 || !slice_next(tries, ' ', &one))
        return false;
    size_t cut = slice_find(one, ':', 0);
    *ret_name = slice_sub(one, 0, cut);
    *ret_word = slice_sub(one, cut + 1, one.n);
    return true;
}

void live_accounts(const struct live_row *r, char *buf, size_t size)
{
    struct slice rest = slice_of(r->tries), name, word;
    size_t n = 0;
    snprintf(buf, size, "%s", *r->account ? r->account : "--");
    while (next_try(&rest, &name, &word) && n + name.n + 2 < size) {
        int more = snprintf(buf + n, size - n, "%s%.*s", n ? ">" : "", SLICE_FMT(name));
        n += more > 0 ? (size_t)more : 0;
    }
}

/* ---- in lines ---- */

static void say_try(struct slice name, struct slice word, struct sbuf *out)
{
    uint64_t status = 0;
    if (slice_eq(word, SLICE("-"))) {
        sbuf_addf(out, "  tries %.*s now\n", SLICE_FMT(name));
        return;
    }
    bool is_status = slice_to_u64(word, &status);
    const struct why *w = is_status ? why_status((int64_t)status) : why_word(word);
    sbuf_addf(out, "  tried %.*s: %.*s", SLICE_FMT(name), SLICE_FMT(word));
    if (w)
        sbuf_addf(out, ", %s", w->cause);
    sbuf_addc(out, '\n');
}

static void say_mark(const char *what, int64_t ms, struct sbuf *out)
{
    if (ms >= 0)
        sbuf_addf(out, "   +%lld %s", (long long)ms, what);
    else
        sbuf_addf(out, "   -- %s", what);
}

static void say_times(const struct live_row *r, struct sbuf *out)
{
    char age[16];
    sbuf_adds(out, "  ms");
    if (r->is_live) {
        say_mark("route", r->route_ms, out);
        say_mark("token", r->token_ms, out);
        say_mark("sent", r->sent_ms, out);
    }
    say_mark("first byte", r->ttfb_ms, out);
    if (r->is_live)
        sbuf_addf(out, "   ... %s, %s so far\n", r->phase, show_span(r->ms / 1000, age));
    else
        sbuf_addf(out, "   +%lld end\n", (long long)r->ms);
}

static void say_failure(const struct live_row *r, struct sbuf *out)
{
    const struct why *w =
        r->is_live && !r->status ? NULL : why_request(r->status, slice_of(r->reason));
    if (!w)
        return;
    sbuf_addf(out, "! why: %s\n! next: %s\n", w->cause, w->next);
}

void live_describe(const struct live_row *r, struct sbuf *out)
{
    char up[16], down[16];
    struct slice rest = slice_of(r->tries), name, word;
    sbuf_addf(out, "%s   %s   from %s   %s in, %s out\n", *r->id ? r->id : "--",
              *r->client ? r->client : "(no client)", *r->peer ? r->peer : "--",
              *r->front ? r->front : "--", *r->back && *r->account ? r->back : "--");
    say_failure(r, out);
    sbuf_addf(out, "  %s %s%s\n", r->method, r->host, r->path);
    sbuf_addf(out, "  model %s   account %s", *r->model ? r->model : "--",
              *r->account ? r->account : "--");
    if (r->status)
        sbuf_addf(out, "   status %lld", (long long)r->status);
    if (*r->reason)
        sbuf_addf(out, "   reason %s", r->reason);
    sbuf_addf(out, "   up %s   down %s\n", show_count(r->up, up), show_count(r->down, down));
    say_times(r, out);
    while (next_try(&rest, &name, &word))
        say_try(name, word, out);
}
