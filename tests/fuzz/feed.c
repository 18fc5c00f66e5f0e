/* room: console_views */
/* drives: admin-tui/views/feed_parse.c common/keys/json.c */
/* dict: json */
/* What the dashboard believes of the daemon: every text is there and ends, every number is one that
 * may be. */
#include "views/feed_parse.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void text(const char *z)
{
    CHECK(z && strlen(z) <= FEED_TEXT_MAX);
}

static void count(int64_t n)
{
    CHECK(n >= 0 && n <= 1LL << 53);
}

static void known(int64_t n)
{
    CHECK(n >= -1 && n <= 1LL << 53);
}

static void figures(const struct feed_figures *f)
{
    CHECK(f->at_ms == 0 && f->member_count >= 0 && f->member_count <= FEED_MEMBERS_MAX);
    CHECK(memchr(f->version, 0, sizeof f->version) && memchr(f->state, 0, sizeof f->state));
    CHECK(memchr(f->name, 0, sizeof f->name));
    count(f->pid);
    count(f->requests_5m);
    count(f->mint_failures);
    known(f->ttfb_p50_ms);
    known(f->ttfb_p95_ms);
    CHECK(f->has_skew || f->clock_skew_s == 0);
    for (int i = 0; i < f->member_count; i++) {
        text(f->members[i].pool);
        text(f->members[i].account);
        count(f->members[i].requests);
        count(f->members[i].open);
    }
}

static void live(const struct feed_live *l)
{
    CHECK(l->at_ms == 0 && l->count >= 0 && l->count <= FEED_LIVE_MAX);
    count(l->total);
    for (int i = 0; i < l->count; i++) {
        const struct feed_exchange *x = &l->rows[i];
        const char *const texts[] = {x->id,   x->phase, x->client, x->peer,  x->account, x->method,
                                     x->host, x->path,  x->model,  x->front, x->back};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            text(texts[k]);
        count(x->age_ms);
        known(x->route_ms);
        known(x->first_ms);
        CHECK(x->attempt_count >= 0 && x->attempt_count <= FEED_ATTEMPTS_MAX);
        for (int k = 0; k < x->attempt_count; k++) {
            text(x->attempts[k].account);
            text(x->attempts[k].reason);
            count(x->attempts[k].status);
        }
    }
}

static void trust(const struct feed_trust *t)
{
    CHECK(t->at_ms == 0 && t->count >= 0 && t->count <= FEED_REFUSALS_MAX);
    for (int i = 0; i < t->count; i++) {
        text(t->rows[i].peer);
        text(t->rows[i].host);
        text(t->rows[i].why);
        count(t->rows[i].last_at);
    }
}

static void leaves(const struct feed_leaves *l)
{
    CHECK(l->at_ms == 0 && l->count >= 0 && l->count <= FEED_LEAVES_MAX);
    for (int i = 0; i < l->count; i++) {
        text(l->rows[i].host);
        count(l->rows[i].hits);
    }
}

static void check(const struct feed_answer *a)
{
    CHECK(a->word < FEED_WORD_COUNT && (a->word != FEED_WORD_NONE || !a->is_ok));
    CHECK(a->is_ok == !a->error[0]);
    if (!a->is_ok)
        return;
    if (a->word == FEED_WORD_FIGURES)
        figures(&a->u.figures);
    if (a->word == FEED_WORD_LIVE)
        live(&a->u.live);
    if (a->word == FEED_WORD_TRUST)
        trust(&a->u.trust);
    if (a->word == FEED_WORD_LEAVES)
        leaves(&a->u.leaves);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed_answer a;
    struct errmsg msg = {""};
    enum err e = feed_parse(slice_make(data, size), &a, &msg);
    CHECK(e == ERR_OK || e == ERR_PROTOCOL || e == ERR_NOMEM);
    if (e == ERR_OK) {
        check(&a);
        feed_answer_finish(&a);
    } else {
        CHECK(slice_search(slice_of(msg.text), SLICE("the daemon's answer")) < strlen(msg.text));
    }
    return 0;
}
