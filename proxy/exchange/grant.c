/* The token endpoint, in Google's place: a client that signs with its virtual service account's key
 * gets a pass, which is worth something at this proxy only. Whatever else is asked there goes on to
 * Google, byte for byte. */
#include "exchange/exchange_internal.h"

#include "auth/pass.h"
#include "auth/percent.h"
#include "auth/virtual.h"
#include "base/check.h"
#include "base/clock.h"
#include "keys/assertion.h"

#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:jwt-bearer"

/* What we say in Google's words where it has some: people search for them. */
static const struct {
    const char *reason, *description;
} faults[ASSERTION_FAULTS] = {
    [ASSERTION_MALFORMED] = {"assertion_malformed",
                             "Invalid JWT: its header or its claims cannot be read."},
    [ASSERTION_ALGORITHM] = {"assertion_algorithm", "Invalid JWT Signature: alg must be RS256."},
    [ASSERTION_KEY] = {"assertion_key", "Invalid JWT Signature: this key is not (or no longer) "
                                        "the client's. Ask your operator for a new file."},
    [ASSERTION_SIGNATURE] = {"assertion_signature", "Invalid JWT Signature."},
    [ASSERTION_AUDIENCE] = {"assertion_audience",
                            "Invalid JWT: Failed audience check. The right audience is "
                            "https://oauth2.googleapis.com/token"},
    [ASSERTION_TIME] = {"assertion_time",
                        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                        "reasonable timeframe. Check your iat and exp values in the JWT claim."},
    [ASSERTION_ID_TOKEN] = {"assertion_id_token",
                            "This is a virtual service account: it gets access tokens, no id "
                            "tokens (target_audience)."},
    [ASSERTION_SUBJECT] = {"assertion_subject", "This is a virtual service account: it cannot act "
                                                "for a user (sub)."},
};

bool grant_is_asked(const struct exchange *x, const struct head *h)
{
    struct slice host = authority_host(&x->info.authority);
    const struct field *type = head_get(h, FIELD_CONTENT_TYPE);
    bool is_old = slice_eq(host, SLICE(TOKEN_HOST_OLD));
    struct slice path = slice_sub(x->base.path, 0, slice_find(x->base.path, '?', 0));
    return slice_eq(h->method, SLICE("POST")) &&
           slice_eq(path, is_old ? SLICE("/oauth2/v4/token") : SLICE("/token")) && type &&
           slice_istarts(type->value, SLICE("application/x-www-form-urlencoded")) &&
           !head_get_name(h, SLICE("content-encoding"));
}

/* A form's value, decoded; false when it does not fit. */
static bool decode(struct slice value, struct sbuf *out)
{
    for (size_t i = 0; i < value.n;) {
        char c = percent_next(value, &i);
        sbuf_addc(out, c == '+' && value.p[i - 1] == '+' ? ' ' : c);
    }
    return !out->failed;
}

/* The one assertion of a form that asks for this grant. */
static bool take_form(struct slice body, struct sbuf *ret_assertion)
{
    struct sbuf type;
    struct slice one;
    unsigned types = 0, assertions = 0;
    bool ok = true;
    sbuf_init(&type, 256);
    while (ok && slice_next(&body, '&', &one)) {
        size_t at = slice_find(one, '=', 0);
        struct slice name = slice_sub(one, 0, at), value = slice_sub(one, at + 1, one.n);
        if (slice_eq(name, SLICE("grant_type"))) {
            types++;
            ok = decode(value, &type);
        } else if (slice_eq(name, SLICE("assertion"))) {
            assertions++;
            ok = decode(value, ret_assertion);
        }
    }
    ok = ok && types == 1 && assertions == 1 && slice_eq(sbuf_slice(&type), SLICE(GRANT_TYPE));
    sbuf_finish(&type);
    return ok;
}

static void refuse(struct exchange *x, const char *description, const char *reason)
{
    struct sbuf body;
    sbuf_init(&body, 1024);
    sbuf_addf(&body,
              "{\"error\":\"invalid_grant\",\"error_description\":\"%s (credswap, request %s)\"}\n",
              description, x->request_id);
    reply_json(x, 400, sbuf_slice(&body), reason);
    sbuf_finish(&body);
}

/* The pass ends with the client, if that is sooner. */
static void give(struct exchange *x, const struct snap_client *c, int64_t now_s)
{
    struct sbuf body;
    int64_t end = now_s + PASS_LIFE_S;
    if (c->expires_at && c->expires_at < end)
        end = c->expires_at;
    sbuf_init(&body, 1024);
    sbuf_adds(&body, "{\"access_token\":\"");
    if (pass_add(x->svc->key, c, end, &body) == ERR_OK) {
        sbuf_addf(&body, "\",\"expires_in\":%lld,\"token_type\":\"Bearer\"}\n",
                  (long long)(end - now_s - 1));
        reply_json(x, 200, sbuf_slice(&body), NULL);
    } else {
        reply_error(x, REPLY_INTERNAL, "pass", 1);
    }
    sbuf_finish_wipe(&body);
}

static void judge(struct exchange *x, const struct snap_client *c, const struct assertion *a)
{
    int64_t now_s = clock_wall_s();
    enum assertion_fault fault =
        assertion_judge(a, ASSERTION_GRANT, c->sa_key_id, c->sa_public_key, now_s);
    if (fault != ASSERTION_OK) {
        refuse(x, faults[fault].description, faults[fault].reason);
        return;
    }
    x->client = c;
    if (!c->enabled || (c->expires_at && now_s >= c->expires_at))
        refuse(x, "Invalid grant: this client is switched off or expired. Ask your operator.",
               c->enabled ? "expired" : "disabled");
    else
        give(x, c, now_s);
}

bool grant_answer(struct exchange *x, struct slice body)
{
    struct sbuf text;
    struct assertion a;
    const struct snap_client *c = NULL;
    sbuf_init(&text, ASSERTION_MAX);
    if (take_form(body, &text) && assertion_parse(sbuf_slice(&text), &a) == ERR_OK) {
        c = virtual_issuer(x->snap, a.issuer);
        if (c)
            judge(x, c, &a);
        assertion_finish(&a);
    }
    sbuf_finish_wipe(&text);
    return c != NULL;
}
