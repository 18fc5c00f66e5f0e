/* From an e-mail to its client: rare, so a walk over all of them will do. */
#include "auth/virtual.h"

#include "keys/assertion.h"
#include "store/client.h"

const struct snap_client *virtual_issuer(const struct snapshot *s, struct slice issuer)
{
    const struct snap_client *found = NULL;
    struct sbuf email;
    if (!slice_ends(issuer, SLICE(VIRTUAL_DOMAIN)) || issuer.n > VIRTUAL_EMAIL_MAX)
        return NULL;
    sbuf_init(&email, VIRTUAL_EMAIL_MAX);
    for (size_t i = 0; i < s->client_count && !found; i++) {
        const struct snap_client *c = &s->clients[i];
        if (c->sa_key_id.n == 0 || c->sa_public_key.n == 0 || c->name.n >= issuer.n)
            continue;
        sbuf_clear(&email);
        virtual_email_add(&email, c->name);
        if (!email.failed && slice_eq(sbuf_slice(&email), issuer))
            found = c;
    }
    sbuf_finish(&email);
    return found;
}

/* Every JWT's header begins with {" */
static const struct snap_client *parse(struct slice text, const struct snapshot *s,
                                       struct assertion *ret)
{
    if (s->virtual_count == 0 || !slice_starts(text, SLICE("eyJ")) ||
        assertion_parse(text, ret) != ERR_OK)
        return NULL;
    const struct snap_client *c = virtual_issuer(s, ret->issuer);
    if (!c)
        assertion_finish(ret);
    return c;
}

bool virtual_is_signed(struct slice text, const struct snapshot *s)
{
    struct assertion a;
    if (!parse(text, s, &a))
        return false;
    assertion_finish(&a);
    return true;
}

const struct snap_client *virtual_bearer(struct slice text, const struct snapshot *s, int64_t now_s)
{
    struct assertion a;
    const struct snap_client *c = parse(text, s, &a);
    if (!c)
        return NULL;
    if (assertion_judge(&a, ASSERTION_BEARER, c->sa_key_id, c->sa_public_key, now_s) !=
        ASSERTION_OK)
        c = NULL;
    assertion_finish(&a);
    return c;
}

struct slice virtual_tail(struct slice text)
{
    return text.n > PLACEHOLDER_MAX ? slice_sub(text, text.n - PLACEHOLDER_MAX, text.n) : text;
}
