/* From an account's row to an assertion, and from the endpoint's answer to a verdict. */
#include "base/clock.h"
#include "base/log.h"
#include "keys/jwt.h"
#include "keys/keeper.h"
#include "store/account.h"
#include "store/token.h"
#include "token/broker_internal.h"

#include <stdlib.h>

#define ASSERTION_MAX 32768

/* ---- facts ---- */

void facts_finish(struct facts *f)
{
    mem_free(f->block);
    *f = (struct facts){0};
}

struct facts_read {
    int64_t id;
    struct facts *ret;
    struct slice name;
};

static struct slice put(char **at, struct slice s)
{
    struct slice copy = slice_make(*at, s.n);
    if (s.n)
        memcpy(*at, s.p, s.n);
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return copy;
}

static enum err on_row(void *arg, const struct account *a)
{
    struct facts_read *r = arg;
    if (a->id != r->id)
        return ERR_NOT_FOUND; /* another account has the name by now */
    struct slice uri = a->token_uri.n ? a->token_uri : SLICE(ACCOUNT_DEFAULT_TOKEN_URI);
    struct slice scope = a->scope.n ? a->scope : SLICE(ACCOUNT_DEFAULT_SCOPE);
    size_t size = a->email.n + a->key_id.n + uri.n + scope.n + a->key_fingerprint.n + 5;
    char *at = mem_alloc(size);
    if (!at)
        return ERR_NOMEM;
    struct facts *f = r->ret;
    f->block = at;
    f->email = put(&at, a->email);
    f->key_id = put(&at, a->key_id);
    f->token_uri = put(&at, uri);
    f->scope = put(&at, scope);
    put(&at, a->key_fingerprint);
    fingerprint(slice_make(f->block, size), f->identity);
    return ERR_OK;
}

enum err facts_load(struct cell *c, bool *ret_changed)
{
    struct broker *b = c->b;
    struct facts now = {0};
    struct facts_read r = {.id = c->id, .ret = &now};
    enum err e = ERR_OK;
    if (!b->store)
        e = store_open(b->store_path, STORE_READ_ONLY, &b->store, NULL);
    else
        (void)!store_follow(&b->store, NULL); /* what we have still knows the account */
    if (e == ERR_OK)
        e = account_get(b->store, slice_of(c->name), on_row, &r, NULL);
    if (e != ERR_OK) {
        facts_finish(&now);
        return e;
    }
    *ret_changed = c->facts.block && strcmp(c->facts.identity, now.identity) != 0;
    facts_finish(&c->facts);
    c->facts = now;
    return ERR_OK;
}

struct token *stored_token(struct cell *c)
{
    struct broker *b = c->b;
    struct secret *bytes = NULL;
    int64_t expires_at = 0, now = clock_wall_s();
    if (token_load(b->store, b->key, c->id, c->facts.scope, &bytes, &expires_at, NULL) != ERR_OK)
        return NULL;
    struct token *t = token_new(bytes, expires_at, expires_at - now, b->conf->oauth.early_refresh);
    /* The writer may be behind: what ends no later than the refused one is no successor of it. */
    if (t && (!token_is_usable(t, now) || (c->refused && t->expires_at <= c->refused->expires_at)))
        token_unref(&t);
    return t;
}

/* ---- sending ---- */

static bool uri_is_allowed(const struct conf_list *allow, struct slice uri)
{
    for (size_t i = 0; i < allow->n; i++)
        if (slice_eq(slice_of(allow->v[i]), uri))
            return true;
    return false;
}

/* Our own failures, before anything was sent. */
static struct token_answer local_failure(enum err e, bool is_key)
{
    if (is_key && e == ERR_NOT_FOUND)
        return (struct token_answer){.fault = FAULT_KEY,
                                     .err = e,
                                     .reason = "no_key",
                                     .advice = "the account has no key in the store"};
    if (is_key && e == ERR_CRYPTO)
        return (struct token_answer){
            .fault = FAULT_KEY,
            .err = e,
            .reason = "key_unreadable",
            .advice = "the account's key does not open: is this its master key?"};
    if (e == ERR_NOT_FOUND)
        return (struct token_answer){.fault = FAULT_TRANSIENT,
                                     .err = e,
                                     .reason = "no_account",
                                     .advice = "the account is not in the store any more"};
    if (e == ERR_DENIED)
        return (struct token_answer){.fault = FAULT_CONFIG,
                                     .err = e,
                                     .reason = "token_uri_denied",
                                     .advice = "the account's token_uri is not one of "
                                               "oauth.token_uri_allow, or not https"};
    return (struct token_answer){.fault = FAULT_TRANSIENT,
                                 .err = e,
                                 .reason = e == ERR_NOMEM ? "no_memory" : "store",
                                 .advice = "the store cannot be read right now"};
}

static enum err sign(struct cell *c, struct sbuf *assertion)
{
    struct jwt_claims claims = {.kid = c->facts.key_id,
                                .iss = c->facts.email,
                                .scope = c->facts.scope,
                                .aud = SLICE(JWT_AUDIENCE_GOOGLE)};
    struct sbuf signature;
    sbuf_init(&signature, 4096);
    jwt_set_times(&claims, clock_wall_s(), c->b->correction_s);
    jwt_add_signing_input(assertion, &claims);
    enum err e = assertion->failed ? ERR_NOMEM
                                   : keeper_sign_jwt(c->b->keeper, c->id, sbuf_slice(assertion),
                                                     &signature, NULL);
    sbuf_addc(assertion, '.');
    base64url_add(assertion, sbuf_slice(&signature));
    sbuf_finish_wipe(&signature);
    return e == ERR_OK && assertion->failed ? ERR_NOMEM : e;
}

static void on_result(void *arg, const struct oauth2_result *r);

bool mint_send(struct cell *c, struct token_answer *ret)
{
    struct sbuf assertion;
    bool has_changed, is_key = false;
    sbuf_init(&assertion, ASSERTION_MAX);
    enum err e = facts_load(c, &has_changed);
    if (e == ERR_OK && !uri_is_allowed(&c->b->conf->oauth.token_uri_allow, c->facts.token_uri))
        e = ERR_DENIED;
    if (e == ERR_OK) {
        e = sign(c, &assertion);
        is_key = e != ERR_OK;
    }
    if (e == ERR_OK)
        e = oauth2_fetch(c->b->oauth2, c->facts.token_uri.p, sbuf_slice(&assertion), on_result, c,
                         &c->call);
    sbuf_finish_wipe(&assertion);
    if (e != ERR_OK)
        *ret = local_failure(e, is_key);
    return e == ERR_OK;
}

/* ---- receiving ---- */

static void measure_skew(struct broker *b, const struct oauth2_result *r)
{
    if (r->date_s)
        atomic_store(&b->stats.skew_s, clock_wall_s() - r->date_s);
}

/* The endpoint says that our clock is wrong, and what time it is there: signed anew with that,
 * once. */
static bool resign(struct cell *c, const struct oauth2_result *r, struct token_answer *a)
{
    struct broker *b = c->b;
    if (a->fault != FAULT_CLOCK || c->has_resigned)
        return false;
    int64_t ahead_s = r->date_s ? clock_wall_s() - r->date_s : 0;
    LOG(LOG_ERROR, "clock_skew", KV_I("ahead_s", ahead_s), KV_Z("account", c->name));
    persist_alarm(b, SLICE("clock"),
                  SLICE("this machine's clock differs from the token endpoint's: synchronise it"));
    if (!r->date_s)
        return false;
    c->has_resigned = true;
    b->correction_s = ahead_s;
    return mint_send(c, a);
}

static void on_result(void *arg, const struct oauth2_result *r)
{
    struct cell *c = arg;
    struct broker *b = c->b;
    struct token_answer a = {.fault = FAULT_TRANSIENT,
                             .err = r->err,
                             .reason = r->reason,
                             .advice = "the token endpoint cannot be reached"};
    c->call = NULL;
    measure_skew(b, r);
    if (r->err == ERR_OK)
        token_answer_parse(r->status, r->body, &a);
    if (!resign(c, r, &a))
        mint_landed(c, &a, r->retry_after_s);
    flights_pump(b);
    log_flush();
}
