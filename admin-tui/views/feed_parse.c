/* Members by tables: where each goes, of which kind it is and how large it may be. */
#include "views/feed_parse.h"

#include "base/check.h"
#include "keys/json.h"

#include <math.h>
#include <stdio.h>

#define COUNT_MAX 9007199254740992.0 /* whole numbers are exact up to here */
#define ARENA_MAX (64u << 20)

enum kind {
    WHOLE, /* int64_t, 0 or more */
    KNOWN, /* the same, or null: -1 */
    FLAG,  /* bool */
    NAMED, /* const char *, or null: "" */
    CELL,  /* char[most + 1] */
};

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t most; /* bytes of text; 0: FEED_TEXT_MAX */
};
#define END_OF_FIELDS                                                                              \
    {                                                                                              \
        NULL, WHOLE, 0, 0                                                                          \
    }

struct parse {
    struct arena *arena;
    struct errmsg *msg;
};

static enum err bad(const struct parse *p, const char *name, const char *why)
{
    return err_set(p->msg, ERR_PROTOCOL, "the daemon's answer is not understood (\"%s\" %s)", name,
                   why);
}

static enum err no_memory(const struct parse *p)
{
    return err_set(p->msg, ERR_NOMEM, "there is no memory for the daemon's answer");
}

/* *RET is NULL for a member that is missing or null. */
static enum err member(const struct parse *p, const cJSON *o, const char *name, const cJSON **ret)
{
    const cJSON *v = NULL;
    if (json_member(o, name, &v) != ERR_OK)
        return bad(p, name, "is there twice");
    *ret = v && !cJSON_IsNull(v) ? v : NULL;
    return ERR_OK;
}

static bool whole_of(const cJSON *v, double least, int64_t *ret)
{
    if (!cJSON_IsNumber(v))
        return false;
    double d = v->valuedouble;
    if (!(d >= least && d <= COUNT_MAX) || floor(d) < d)
        return false;
    *ret = (int64_t)d;
    return true;
}

static enum err take_number(const struct parse *p, const struct field *f, const cJSON *v, void *to)
{
    int64_t *n = to; /* the table says so: a field of that kind is one */
    *n = -1;
    if (!v && f->kind == WHOLE)
        return bad(p, f->name, "is missing");
    if (v && !whole_of(v, 0, n))
        return bad(p, f->name, "is no count");
    return ERR_OK;
}

static enum err take_text(const struct parse *p, const struct field *f, const cJSON *v, void *to)
{
    size_t most = f->most ? f->most : FEED_TEXT_MAX;
    if (v && !cJSON_IsString(v))
        return bad(p, f->name, "is no text");
    struct slice s = slice_of(v ? v->valuestring : "");
    if (s.n > most)
        return bad(p, f->name, "is too long");
    if (f->kind == CELL) {
        CHECK(slice_copy(s, to, most + 1));
        return ERR_OK;
    }
    struct slice copy = s.n ? arena_dup(p->arena, s) : SLICE("");
    if (!copy.p)
        return no_memory(p);
    memcpy(to, &copy.p, sizeof copy.p);
    return ERR_OK;
}

static enum err take_flag(const struct parse *p, const struct field *f, const cJSON *v, void *to)
{
    bool is = cJSON_IsTrue(v);
    if (!cJSON_IsBool(v))
        return bad(p, f->name, "is neither true nor false");
    memcpy(to, &is, sizeof is);
    return ERR_OK;
}

static enum err take_fields(const struct parse *p, const cJSON *o, const struct field *fields,
                            void *into)
{
    enum err e = ERR_OK;
    for (const struct field *f = fields; e == ERR_OK && f->name; f++) {
        const cJSON *v = NULL;
        void *to = (char *)into + f->offset;
        e = member(p, o, f->name, &v);
        if (e != ERR_OK)
            return e;
        if (f->kind == WHOLE || f->kind == KNOWN)
            e = take_number(p, f, v, to);
        else if (f->kind == FLAG)
            e = take_flag(p, f, v, to);
        else
            e = take_text(p, f, v, to);
    }
    return e;
}

/* The fields of the object NAME in O. */
static enum err take_object(const struct parse *p, const cJSON *o, const char *name,
                            const struct field *fields, void *into)
{
    const cJSON *v = NULL;
    enum err e = member(p, o, name, &v);
    if (e == ERR_OK && !cJSON_IsObject(v))
        e = bad(p, name, "is no object");
    return e == ERR_OK ? take_fields(p, v, fields, into) : e;
}

/* What an array of objects is made of. */
struct rows {
    const char *name;
    size_t row_size, most;
    const struct field *fields;
    enum err (*more)(const struct parse *p, const cJSON *o, void *row); /* or NULL */
};

static enum err take_rows(const struct parse *p, const cJSON *o, const struct rows *how,
                          void **ret_rows, int *ret_count)
{
    const cJSON *list = NULL, *item = NULL;
    enum err e = member(p, o, how->name, &list);
    if (e == ERR_OK && !cJSON_IsArray(list))
        e = bad(p, how->name, "is no list");
    if (e != ERR_OK)
        return e;
    size_t n = 0, at = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (++n > how->most)
            return bad(p, how->name, "is too long");
    }
    char *rows = arena_alloc(p->arena, n * how->row_size);
    if (!rows)
        return no_memory(p);
    memset(rows, 0, n * how->row_size);
    cJSON_ArrayForEach(item, list)
    {
        char *row = rows + at++ * how->row_size;
        e = cJSON_IsObject(item) ? take_fields(p, item, how->fields, row)
                                 : bad(p, how->name, "holds what is no object");
        if (e == ERR_OK && how->more)
            e = how->more(p, item, row);
        if (e != ERR_OK)
            return e;
    }
    *ret_rows = rows;
    *ret_count = (int)n;
    return ERR_OK;
}

/* ---- figures ---- */

#define IN(type, name, kind)                                                                       \
    {                                                                                              \
#name, kind, offsetof(struct type, name), 0                                                \
    }
#define AS(type, name, member, kind)                                                               \
    {                                                                                              \
        name, kind, offsetof(struct type, member), 0                                               \
    }
#define CELL_IN(type, name)                                                                        \
    {                                                                                              \
#name, CELL, offsetof(struct type, name), sizeof(((struct type *)NULL)->name) - 1          \
    }

static const struct field figure_fields[] = {CELL_IN(feed_figures, version),
                                             CELL_IN(feed_figures, state),
                                             CELL_IN(feed_figures, name),
                                             IN(feed_figures, pid, WHOLE),
                                             IN(feed_figures, uptime_s, WHOLE),
                                             IN(feed_figures, connections, WHOLE),
                                             IN(feed_figures, exchanges, WHOLE),
                                             IN(feed_figures, generation, WHOLE),
                                             IN(feed_figures, requests_5m, WHOLE),
                                             IN(feed_figures, errors_5m, WHOLE),
                                             END_OF_FIELDS};
static const struct field ttfb_fields[] = {AS(feed_figures, "p50", ttfb_p50_ms, WHOLE),
                                           AS(feed_figures, "p95", ttfb_p95_ms, WHOLE),
                                           END_OF_FIELDS};
static const struct field writer_fields[] = {AS(feed_figures, "queue", writer_queue, WHOLE),
                                             AS(feed_figures, "healthy", writer_healthy, FLAG),
                                             END_OF_FIELDS};
static const struct field token_fields[] = {AS(feed_figures, "memory", tokens_memory, WHOLE),
                                            AS(feed_figures, "store", tokens_store, WHOLE),
                                            IN(feed_figures, mints, WHOLE),
                                            IN(feed_figures, mint_failures, WHOLE), END_OF_FIELDS};
static const struct field member_fields[] = {
    IN(feed_member, pool, NAMED),     IN(feed_member, account, NAMED),
    IN(feed_member, window_s, WHOLE), IN(feed_member, requests, WHOLE),
    IN(feed_member, limited, WHOLE),  IN(feed_member, errors, WHOLE),
    IN(feed_member, recent, WHOLE),   IN(feed_member, open, WHOLE),
    IN(feed_member, held, KNOWN),     END_OF_FIELDS};

static enum err take_rate(const struct parse *p, const cJSON *o, struct feed_figures *f)
{
    const cJSON *list = NULL, *item = NULL;
    size_t n = 0;
    enum err e = member(p, o, "rate", &list);
    if (e != ERR_OK || !cJSON_IsArray(list))
        return e != ERR_OK ? e : bad(p, "rate", "is no list");
    cJSON_ArrayForEach(item, list)
    {
        int64_t v = 0;
        if (n == FEED_RATE || !whole_of(item, 0, &v) || v > UINT32_MAX)
            return bad(p, "rate", "is no list of sixty counts");
        f->rate[n++] = (uint32_t)v;
    }
    return n == FEED_RATE ? ERR_OK : bad(p, "rate", "is no list of sixty counts");
}

static enum err take_ttfb(const struct parse *p, const cJSON *o, struct feed_figures *f)
{
    const cJSON *v = NULL;
    enum err e = member(p, o, "ttfb_ms", &v);
    f->ttfb_p50_ms = f->ttfb_p95_ms = -1;
    return e != ERR_OK || !v ? e : take_object(p, o, "ttfb_ms", ttfb_fields, f);
}

static enum err take_skew(const struct parse *p, const cJSON *o, struct feed_figures *f)
{
    const cJSON *tokens = NULL, *v = NULL;
    enum err e = member(p, o, "tokens", &tokens);
    if (e == ERR_OK)
        e = member(p, tokens, "clock_skew_s", &v);
    if (e == ERR_OK && v && !whole_of(v, -COUNT_MAX, &f->clock_skew_s))
        e = bad(p, "clock_skew_s", "is no whole number");
    f->has_skew = e == ERR_OK && v;
    return e;
}

static enum err take_figures(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    static const struct rows members = {"members", sizeof(struct feed_member), FEED_MEMBERS_MAX,
                                        member_fields, NULL};
    struct feed_figures *f = &a->u.figures;
    void *rows = NULL;
    enum err e = take_fields(p, o, figure_fields, f);
    if (e == ERR_OK)
        e = take_rate(p, o, f);
    if (e == ERR_OK)
        e = take_ttfb(p, o, f);
    if (e == ERR_OK)
        e = take_object(p, o, "writer", writer_fields, f);
    if (e == ERR_OK)
        e = take_object(p, o, "tokens", token_fields, f);
    if (e == ERR_OK)
        e = take_skew(p, o, f);
    if (e == ERR_OK)
        e = take_rows(p, o, &members, &rows, &f->member_count);
    f->members = rows;
    return e;
}

/* ---- live, trust, leaves ---- */

static const struct field exchange_fields[] = {IN(feed_exchange, id, NAMED),
                                               IN(feed_exchange, phase, NAMED),
                                               IN(feed_exchange, client, NAMED),
                                               IN(feed_exchange, peer, NAMED),
                                               IN(feed_exchange, account, NAMED),
                                               IN(feed_exchange, method, NAMED),
                                               IN(feed_exchange, host, NAMED),
                                               IN(feed_exchange, path, NAMED),
                                               IN(feed_exchange, model, NAMED),
                                               IN(feed_exchange, front, NAMED),
                                               IN(feed_exchange, back, NAMED),
                                               IN(feed_exchange, conn, WHOLE),
                                               IN(feed_exchange, age_ms, WHOLE),
                                               IN(feed_exchange, status, WHOLE),
                                               IN(feed_exchange, up, WHOLE),
                                               IN(feed_exchange, down, WHOLE),
                                               END_OF_FIELDS};
static const struct field phase_fields[] = {
    AS(feed_exchange, "route", route_ms, KNOWN), AS(feed_exchange, "token", token_ms, KNOWN),
    AS(feed_exchange, "sent", sent_ms, KNOWN), AS(feed_exchange, "first", first_ms, KNOWN),
    END_OF_FIELDS};
static const struct field attempt_fields[] = {IN(feed_attempt, account, NAMED),
                                              IN(feed_attempt, reason, NAMED),
                                              IN(feed_attempt, status, WHOLE), END_OF_FIELDS};
static const struct field live_fields[] = {IN(feed_live, total, WHOLE), END_OF_FIELDS};

static enum err more_of_exchange(const struct parse *p, const cJSON *o, void *row)
{
    static const struct rows attempts = {"attempts", sizeof(struct feed_attempt), FEED_ATTEMPTS_MAX,
                                         attempt_fields, NULL};
    struct feed_exchange *x = row;
    void *rows = NULL;
    enum err e = take_object(p, o, "ms", phase_fields, x);
    if (e == ERR_OK)
        e = take_rows(p, o, &attempts, &rows, &x->attempt_count);
    x->attempts = rows;
    return e;
}

static enum err take_live(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    static const struct rows live = {"live", sizeof(struct feed_exchange), FEED_LIVE_MAX,
                                     exchange_fields, more_of_exchange};
    void *rows = NULL;
    enum err e = take_fields(p, o, live_fields, &a->u.live);
    if (e == ERR_OK)
        e = take_rows(p, o, &live, &rows, &a->u.live.count);
    a->u.live.rows = rows;
    return e;
}

static const struct field trust_fields[] = {IN(feed_trust, ok_24h, WHOLE),
                                            IN(feed_trust, refused_24h, WHOLE), END_OF_FIELDS};
static const struct field refusal_fields[] = {
    IN(feed_refusal, peer, NAMED),  IN(feed_refusal, host, NAMED),    IN(feed_refusal, why, NAMED),
    IN(feed_refusal, times, WHOLE), IN(feed_refusal, last_at, WHOLE), END_OF_FIELDS};

static enum err take_trust(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    static const struct rows refused = {"refused", sizeof(struct feed_refusal), FEED_REFUSALS_MAX,
                                        refusal_fields, NULL};
    void *rows = NULL;
    enum err e = take_fields(p, o, trust_fields, &a->u.trust);
    if (e == ERR_OK)
        e = take_rows(p, o, &refused, &rows, &a->u.trust.count);
    a->u.trust.rows = rows;
    return e;
}

static const struct field leaves_fields[] = {
    IN(feed_leaves, cached, WHOLE), IN(feed_leaves, max, WHOLE), IN(feed_leaves, hits, WHOLE),
    AS(feed_leaves, "signed", signed_count, WHOLE), END_OF_FIELDS};
static const struct field leaf_fields[] = {
    IN(feed_leaf, host, NAMED), IN(feed_leaf, expires_at, WHOLE), IN(feed_leaf, signed_at, WHOLE),
    IN(feed_leaf, hits, WHOLE), END_OF_FIELDS};

static enum err take_leaves(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    static const struct rows leaves = {"leaves", sizeof(struct feed_leaf), FEED_LEAVES_MAX,
                                       leaf_fields, NULL};
    void *rows = NULL;
    enum err e = take_fields(p, o, leaves_fields, &a->u.leaves);
    if (e == ERR_OK)
        e = take_rows(p, o, &leaves, &rows, &a->u.leaves.count);
    a->u.leaves.rows = rows;
    return e;
}

static enum err take_nothing(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    (void)p;
    (void)o;
    (void)a;
    return ERR_OK;
}

/* ---- a line ---- */

static const struct {
    const char *name;
    enum err (*take)(const struct parse *p, const cJSON *o, struct feed_answer *a);
} words[FEED_WORD_COUNT] = {
    [FEED_WORD_NONE] = {"", NULL},
    [FEED_WORD_FIGURES] = {"figures", take_figures},
    [FEED_WORD_LIVE] = {"live", take_live},
    [FEED_WORD_TRUST] = {"trust", take_trust},
    [FEED_WORD_LEAVES] = {"leaves", take_leaves},
    [FEED_WORD_END] = {"end", take_nothing},
};

const char *feed_word_name(enum feed_word w)
{
    return words[w].name;
}

static enum err take_word(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    const cJSON *v = NULL;
    enum err e = member(p, o, "cmd", &v);
    if (e != ERR_OK)
        return e;
    if (!v)
        return a->is_ok ? bad(p, "cmd", "is missing") : ERR_OK;
    const char *name = cJSON_IsString(v) ? v->valuestring : "";
    for (int w = FEED_WORD_NONE + 1; w < FEED_WORD_COUNT; w++)
        if (strcmp(words[w].name, name) == 0)
            a->word = (enum feed_word)w;
    return a->word == FEED_WORD_NONE ? bad(p, "cmd", "is no word that was asked") : ERR_OK;
}

static enum err take_refusal(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    const cJSON *v = NULL;
    enum err e = member(p, o, "error", &v);
    if (e != ERR_OK)
        return e;
    if (!v || !cJSON_IsString(v) || !*v->valuestring)
        return bad(p, "error", "is no sentence");
    snprintf(a->error, sizeof a->error, "%s", v->valuestring);
    return ERR_OK;
}

static enum err take_answer(const struct parse *p, const cJSON *o, struct feed_answer *a)
{
    const cJSON *ok = NULL;
    enum err e = member(p, o, "ok", &ok);
    if (e == ERR_OK && !cJSON_IsBool(ok))
        e = bad(p, "ok", "is neither true nor false");
    if (e != ERR_OK)
        return e;
    a->is_ok = cJSON_IsTrue(ok);
    e = take_word(p, o, a);
    if (e != ERR_OK)
        return e;
    return a->is_ok ? words[a->word].take(p, o, a) : take_refusal(p, o, a);
}

enum err feed_parse(struct slice line, struct feed_answer *ret, struct errmsg *msg)
{
    cJSON *root = NULL;
    const char *why = NULL;
    if (json_object_parse(line, FEED_LINE_MAX, &root, &why) != ERR_OK)
        return err_set(msg, ERR_PROTOCOL, "the daemon's answer %s", why);
    struct feed_answer a = {.word = FEED_WORD_NONE};
    arena_init(&a.arena, ARENA_MAX);
    const struct parse p = {&a.arena, msg};
    enum err e = take_answer(&p, root, &a);
    cJSON_Delete(root);
    if (e == ERR_OK)
        *ret = a;
    else
        feed_answer_finish(&a);
    return e;
}

void feed_answer_finish(struct feed_answer *a)
{
    arena_finish(&a->arena, false);
    *a = (struct feed_answer){.word = FEED_WORD_NONE};
}
