/* The CA's file, what a refusal means, and what is done on the screen of the CA. */
#include "base/clock.h"
#include "cli/env.h"
#include "cli/handout.h"
#include "conf/conf.h"
#include "ui/term.h"
#include "views/trust_internal.h"

#include <stdio.h>

#define DAY_S 86400
#define CA_SOON_S (90 * DAY_S) /* a rotation needs every client to fetch a file */
#define CA_LATE_S (14 * DAY_S) /* as doctor has it */

/* ---- the file ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void trust_look(struct trust *v)
{
    const struct conf *conf = app_conf(v->screen.app);
    struct stat now;
    struct errmsg msg = {0};
    char hostname[256];
    if (env_proxy(conf, handout_hostname(hostname), v->proxy, &msg) != ERR_OK)
        snprintf(v->proxy, sizeof v->proxy, "http://PROXY:PORT");
    v->is_rotating = ca_is_rotating(conf->ca.cert);
    bool is_there = stat(conf->ca.cert, &now) == 0;
    if (is_there && v->has_seen && is_same_file(&v->seen, &now))
        return;
    v->has_seen = false;
    if (ca_facts_load(conf->ca.cert, &v->facts, &msg) != ERR_OK) {
        snprintf(v->problem, sizeof v->problem, "%.255s", msg.text);
        return;
    }
    v->problem[0] = '\0';
    v->has_seen = is_there;
    v->seen = now;
}

uint8_t trust_validity(const struct ca_info *i, int64_t now_s, char ret[96])
{
    char left[16];
    int64_t s = i->not_after - now_s;
    if (i->not_before > now_s) {
        snprintf(ret, 96, "NOT VALID YET: is this host's clock right?");
        return STYLE_FAIL;
    }
    if (s <= 0) {
        snprintf(ret, 96, "EXPIRED: R replaces it");
        return STYLE_FAIL;
    }
    if (s < DAY_S)
        snprintf(ret, 96, "%s left: R replaces it", show_span(s, left));
    else
        snprintf(ret, 96, "%lld d left%s", (long long)(s / DAY_S),
                 s < CA_LATE_S   ? ": R replaces it, do it now"
                 : s < CA_SOON_S ? ": R replaces it"
                                 : "");
    return s < CA_LATE_S ? STYLE_FAIL : s < CA_SOON_S ? STYLE_WARN : STYLE_PLAIN;
}

char *trust_day(int64_t at_s, char ret[16])
{
    char utc[32];
    clock_format_utc(at_s, utc, sizeof utc);
    snprintf(ret, 16, "%.10s", utc);
    return ret;
}

/* ---- in words ---- */

/* The client's TLS library gives one word; most libraries say the same for what a person knows as
 * "it is not installed". */
static const struct {
    const char *begins, *likely;
} causes[] = {
    {"unknown ca", "our CA is not installed there, or not where this program looks"},
    {"certificate unknown", "our CA is not installed there, or the program has a list of its own"},
    {"bad certificate", "the program expects one certificate (pinning), or has a list of its own"},
    {"certificate expired", "the clock over there is wrong, or the CA has ended"},
    {"certificate revoked", "the program thinks that the CA was revoked: it has an old list"},
    {"unsupported certificate", "the program's TLS is too old for P-256"},
};

static const char *likely(const char *why)
{
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (slice_istarts(slice_of(why), slice_of(causes[i].begins)))
            return causes[i].likely;
    return "the program over there does not take our certificate";
}

static void describe_refusal(const struct trust *v, const struct feed_refusal *r, struct sbuf *out)
{
    char ago[16];
    int64_t s = app_board(v->screen.app)->now_s - r->last_at;
    sbuf_addf(out, "! %s refused our certificate for %s: \"%s\"\n", r->peer, r->host, r->why);
    sbuf_addf(out, "  %lld time%s, last %s ago\n", (long long)r->times, r->times == 1 ? "" : "s",
              show_span(s > 0 ? s : 0, ago));
    sbuf_addf(out, "  likely: %s\n", likely(r->why));
    sbuf_addf(out, "  send them: curl -fsS %s/setup\n", v->proxy);
}

static void describe_leaf(const struct trust *v, const struct feed_leaf *l, struct sbuf *out)
{
    int64_t now = app_board(v->screen.app)->now_s;
    char left[16], at[16];
    sbuf_addf(out, "%s   signed %s", l->host, show_time(l->signed_at, now, at));
    if (l->expires_at > now)
        sbuf_addf(out, "   good for %s\n", show_span(l->expires_at - now, left));
    else
        sbuf_adds(out, "   over: the next request makes another\n");
    sbuf_addf(out, "shown to clients %lld time%s; signed anew before it ends\n", (long long)l->hits,
              l->hits == 1 ? "" : "s");
}

void trust_describe(struct trust *v, struct sbuf *out)
{
    int row = table_row(trust_table(v));
    const struct feed_trust *t = feed_trust(app_feed(v->screen.app));
    const struct feed_leaves *l = feed_leaves(app_feed(v->screen.app));
    if (v->is_refusals && row >= 0 && row < t->count)
        describe_refusal(v, &t->rows[row], out);
    else if (!v->is_refusals && row >= 0 && row < l->count)
        describe_leaf(v, &l->rows[row], out);
}

/* ---- keys ---- */

static void run_begin(void *state)
{
    struct trust *v = state;
    app_run(v->screen.app, 0, "rotation begun", WORDS("ca", "rotate"));
}

static void run_finish(void *state)
{
    struct trust *v = state;
    app_run(v->screen.app, 0, "the new CA signs", WORDS("ca", "rotate", "--finish"));
}

static void ask_rotate(struct trust *v)
{
    if (*v->problem) {
        app_say(v->screen.app, STYLE_FAIL, "ERROR  %s", v->problem);
    } else if (v->is_rotating) {
        app_confirm_typed(
            v->screen.app, "let the new CA sign?",
            "! clients that have not fetched ca.pem since the rotation began refuse us from then "
            "on\n\nit signs after a restart of credswapd; the old certificate stays in ca.pem\n"
            "this cannot be taken back\n",
            "finish", run_finish, v);
    } else {
        app_confirm_typed(
            v->screen.app, "begin to replace the CA?",
            "ca.pem will hold a new certificate beside the one of now, which goes on signing\n"
            "nobody notices anything until the second step: R again, once every client\n"
            "has fetched ca.pem or env.sh anew\n\nthe new certificate stays in ca.pem; there is "
            "no step back\n",
            "rotate", run_begin, v);
    }
}

static void show_row(struct trust *v)
{
    struct sbuf b;
    sbuf_init(&b, 4096);
    trust_describe(v, &b);
    if (b.n)
        app_page(v->screen.app, v->is_refusals ? "refused" : "leaf", sbuf_slice(&b), false);
    sbuf_finish(&b);
}

bool trust_key(struct trust *v, int key)
{
    switch (key) {
    case 't':
        v->is_refusals = !v->is_refusals;
        trust_update(v);
        return true;
    case 'f':
        app_run(v->screen.app, APP_SHOWS, "fingerprints", WORDS("ca", "show"));
        return true;
    case 'e':
        app_run(v->screen.app, APP_SHOWS, "ca.pem", WORDS("ca", "export"));
        return true;
    case 'i':
        app_run(v->screen.app, APP_SHOWS, "env.sh", WORDS("env"));
        return true;
    case 'R':
        ask_rotate(v);
        return true;
    case TERM_ENTER:
        show_row(v);
        return true;
    default:
        return false;
    }
}
