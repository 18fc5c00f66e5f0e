/* The AUTH step of an exchange: from the places where clients put credentials to one client, by
 * exact bytes and one keyed hash (T-06). Nothing is sent anywhere before this said yes. */
#include "auth/find.h"

#include "auth/pass.h"
#include "auth/percent.h"
#include "auth/virtual.h"
#include "base/mem.h"

struct finder {
    struct auth_result *ret;
    bool has_one, has_several;
    const struct snapshot *known_to; /* set: is any candidate known? */
    const struct master_key *key;
    bool has_known;
};

static bool is_placeholder_shaped(struct slice s)
{
    if (s.n < PLACEHOLDER_MIN || s.n > PLACEHOLDER_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

/* C, if it may. */
static const struct snap_client *check(const struct snap_client *c, int64_t now_s,
                                       const char **ret_reason, int *ret_status)
{
    *ret_reason = "unknown";
    *ret_status = 401;
    if (!c)
        return NULL;
    *ret_status = 403;
    if (!c->enabled) {
        *ret_reason = "disabled";
        return NULL;
    }
    if (c->expires_at != 0 && now_s >= c->expires_at) {
        *ret_reason = "expired";
        return NULL;
    }
    *ret_reason = NULL;
    *ret_status = 0;
    return c;
}

/* The client that HASH belongs to, and whether it may. */
static const struct snap_client *look_up(const unsigned char hash[HMAC_SIZE],
                                         const struct snapshot *s, int64_t now_s,
                                         const char **ret_reason, int *ret_status)
{
    return check(snapshot_find_client(s, hash), now_s, ret_reason, ret_status);
}

/* A pass is judged anew each time; of the memo it takes the spellings only. */
static const struct snap_client *verify_pass(struct slice pass, const struct snapshot *s,
                                             const struct master_key *k, struct auth_memo *memo,
                                             int64_t now_s, const struct auth_known **ret_known,
                                             const char **ret_reason, int *ret_status)
{
    static const unsigned char none[HMAC_SIZE];
    const struct snap_client *c = NULL;
    int64_t expires_at;
    *ret_known = NULL;
    *ret_reason = "unknown";
    *ret_status = 401;
    if (!pass_verify(pass, s, k, &c, &expires_at))
        return NULL;
    if (now_s >= expires_at) {
        *ret_reason = "pass_expired";
        return NULL;
    }
    c = check(c, now_s, ret_reason, ret_status);
    if (c && memo)
        *ret_known = auth_memo_find(memo, pass);
    if (c && memo && !*ret_known)
        *ret_known = auth_memo_add(memo, pass, none);
    return c;
}

static const struct snap_client *verify(struct slice placeholder, const struct snapshot *s,
                                        const struct master_key *k, struct auth_memo *memo,
                                        int64_t now_s, const struct auth_known **ret_known,
                                        const char **ret_reason, int *ret_status)
{
    unsigned char hash[HMAC_SIZE];
    if (pass_is_one(placeholder))
        return verify_pass(placeholder, s, k, memo, now_s, ret_known, ret_reason, ret_status);
    const struct auth_known *known = memo ? auth_memo_find(memo, placeholder) : NULL;
    *ret_known = known;
    if (known)
        return look_up(known->hash, s, now_s, ret_reason, ret_status);
    *ret_reason = "unknown";
    *ret_status = 401;
    if (placeholder.n > PLACEHOLDER_MAX) {
        const struct snap_client *by = virtual_bearer(placeholder, s, now_s);
        return by ? check(by, now_s, ret_reason, ret_status) : NULL;
    }
    if (!is_placeholder_shaped(placeholder))
        return NULL;
    if (placeholder_hash(k, placeholder, hash) != ERR_OK) {
        *ret_reason = "internal";
        *ret_status = 500;
        return NULL;
    }
    const struct snap_client *c = look_up(hash, s, now_s, ret_reason, ret_status);
    if (c && memo)
        *ret_known = auth_memo_add(memo, placeholder, hash);
    mem_wipe(hash, sizeof hash);
    return c;
}

const struct snap_client *auth_verify(struct slice placeholder, const struct snapshot *s,
                                      const struct master_key *k, int64_t now_s,
                                      const char **ret_reason, int *ret_status)
{
    const struct auth_known *none;
    return verify(placeholder, s, k, NULL, now_s, &none, ret_reason, ret_status);
}

/* An empty one is no candidate: SDKs send an empty key beside the real one. */
static void take(struct finder *f, struct slice candidate)
{
    const char *reason;
    int status;
    if (candidate.n == 0)
        return;
    if (f->known_to && !f->has_known)
        f->has_known = pass_is_one(candidate) || virtual_is_signed(candidate, f->known_to) ||
                       auth_verify(candidate, f->known_to, f->key, 0, &reason, &status) != NULL ||
                       status != 401;
    if (!f->has_one) {
        f->has_one = true;
        f->ret->placeholder = candidate;
    } else if (!slice_eq(candidate, f->ret->placeholder)) {
        f->has_several = true;
    }
}

/* Decodes once. One that is too long to be a placeholder stays as it is: a candidate all the same,
 * and unknown. */
static void take_encoded(struct finder *f, struct slice value)
{
    char text[PLACEHOLDER_MAX];
    size_t n = 0;
    if (slice_find(value, '%', 0) == value.n) {
        take(f, value);
        return;
    }
    for (size_t i = 0; i < value.n;) {
        if (n == sizeof text) {
            take(f, value);
            return;
        }
        text[n++] = percent_next(value, &i);
    }
    if (!f->has_one) {
        memcpy(f->ret->decoded, text, n);
        take(f, slice_make(f->ret->decoded, n));
    } else {
        take(f, slice_make(text, n));
    }
    mem_wipe(text, sizeof text);
}

/* "Bearer" and at least one space before the token; other schemes carry no placeholder. */
static void take_authorization(struct finder *f, struct slice value)
{
    value = slice_trim(value);
    if (slice_istarts(value, SLICE("bearer ")))
        take(f, slice_trim(slice_sub(value, 7, value.n)));
}

/* Is the name, decoded, one under which Google takes a credential? */
static bool is_key_name(struct slice name)
{
    static const struct slice words[] = {
        {"key", 3}, {"access_token", 12}, {"oauth_token", 11}, {"bearer_token", 12}};
    char text[16];
    size_t n = 0;
    for (size_t i = 0; i < name.n;) {
        if (n == sizeof text)
            return false;
        text[n++] = percent_next(name, &i);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_ieq(slice_make(text, n), words[i]))
            return true;
    return false;
}

static void take_query(struct finder *f, struct slice query)
{
    struct slice parameter;
    while (slice_next(&query, '&', &parameter)) {
        size_t at = slice_find(parameter, '=', 0);
        if (is_key_name(slice_sub(parameter, 0, at)))
            take_encoded(f, slice_sub(parameter, at + 1, parameter.n));
    }
}

bool auth_is_protocol_token(struct slice element)
{
    return element.n >= PROTOCOL_TOKEN_MIN &&
           (slice_starts(element, SLICE("gemini-")) || slice_starts(element, SLICE("claude-")));
}

static void take_protocols(struct finder *f, struct slice list)
{
    struct slice one;
    while (slice_next(&list, ',', &one))
        if (auth_is_protocol_token(slice_trim(one)))
            take(f, slice_trim(one));
}

static void look(struct finder *f, const struct head *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *field = &h->fields[i];
        if (field->id == FIELD_AUTHORIZATION)
            take_authorization(f, field->value);
        else if (field->id == FIELD_X_API_KEY || field->id == FIELD_X_GOOG_API_KEY)
            take(f, slice_trim(field->value));
        else if (field->id == FIELD_SEC_WEBSOCKET_PROTOCOL)
            take_protocols(f, field->value);
    }
    take_query(f, head_query(h));
}

void auth_find(const struct head *h, const struct snapshot *s, const struct master_key *k,
               struct auth_memo *memo, int64_t now_s, enum api api, struct auth_result *ret)
{
    struct finder f = {.ret = ret};
    (void)api; /* see the header: no place belongs to one API only */
    ret->client = NULL;
    ret->known = NULL;
    ret->placeholder = SLICE("");
    ret->is_pass = ret->is_signed = false;
    look(&f, h);
    if (f.has_several || !f.has_one) {
        ret->reason = f.has_several ? "several" : "none";
        ret->status = f.has_several ? 400 : 401;
        return;
    }
    ret->client =
        verify(ret->placeholder, s, k, memo, now_s, &ret->known, &ret->reason, &ret->status);
    ret->is_pass = pass_is_one(ret->placeholder);
    ret->is_signed = ret->placeholder.n > PLACEHOLDER_MAX;
    ret->placeholder = virtual_tail(ret->placeholder);
}

bool auth_holds_known(const struct head *h, const struct snapshot *s, const struct master_key *k)
{
    struct auth_result found;
    struct finder f = {.ret = &found, .known_to = s, .key = k};
    look(&f, h);
    mem_wipe(&found, sizeof found);
    return f.has_known;
}

/* Fails closed: what cannot be told counts as known. */
static bool is_known(struct slice text, const struct snapshot *s, const struct master_key *k)
{
    const char *reason;
    int status;
    (void)auth_verify(text, s, k, 0, &reason, &status);
    return status != 401;
}

#define WORDS_MAX 64u

static bool holds_word(struct slice text, struct slice prefix, unsigned *left,
                       const struct snapshot *s, const struct master_key *k)
{
    static const char ends[] = " \t,;\"'&=<>()[]{}";
    for (size_t at; (at = slice_search(text, prefix)) < text.n;) {
        size_t n = prefix.n;
        text = slice_sub(text, at, text.n);
        while (n < text.n && !strchr(ends, text.p[n]))
            n++;
        if ((*left)-- == 0 || is_known(slice_sub(text, 0, n), s, k))
            return true;
        text = slice_sub(text, n, text.n);
    }
    return false;
}

bool auth_has_known_word(const struct head *h, const struct snapshot *s, const struct master_key *k)
{
    static const struct slice prefixes[] = {{"gemini-", 7}, {"claude-", 7}};
    unsigned left = WORDS_MAX;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (holds_word(h->path, prefixes[i], &left, s, k))
            return true;
        for (uint32_t j = 0; j < h->count; j++)
            if (holds_word(h->fields[j].value, prefixes[i], &left, s, k))
                return true;
    }
    return false;
}

bool auth_is_known_host(struct slice authority, const struct snapshot *s,
                        const struct master_key *k)
{
    struct slice host = slice_sub(authority, 0, slice_find(authority, ':', 0));
    struct slice rest = host, label;
    if (is_known(host, s, k))
        return true;
    while (slice_next(&rest, '.', &label))
        if (is_known(label, s, k))
            return true;
    return false;
}

void auth_strip_query(struct slice query, struct sbuf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    struct slice parameter;
    for (bool is_first = true; slice_next(&query, '&', &parameter);) {
        if (is_key_name(slice_sub(parameter, 0, slice_find(parameter, '=', 0))))
            continue;
        if (!is_first)
            sbuf_addc(out, '&');
        is_first = false;
        for (size_t i = 0; i < parameter.n; i++) {
            unsigned char c = (unsigned char)parameter.p[i];
            if (c > ' ' && c <= '~' && c != '#') {
                sbuf_addc(out, (char)c);
            } else {
                char code[3] = {'%', hex[c >> 4], hex[c & 15]};
                sbuf_add(out, code, 3);
            }
        }
    }
}
