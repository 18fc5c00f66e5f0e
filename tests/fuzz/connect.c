/* room: gate */
/* drives: proxy/http/h1.c proxy/gate/target.c proxy/auth/basic.c common/policy/authority.c */
/* dict: http */
/* The first byte seeds how the rest is cut. What a client says first, as the gate reads it: a
 * CONNECT to one canonical authority that its Host agrees with, a whole address, or gateway mode;
 * the bytes behind a CONNECT are all of them and no more; credentials only by the exact
 * placeholder. */
#include "auth/find.h"
#include "front.h"
#include "gate/target.h"

#include <openssl/evp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLACEHOLDER "gemini-alice-0123456789abcdef"
static const struct snap_client alice = {.id = 1, .enabled = true};
static const struct snap_client ended = {.id = 2, .enabled = true, .expires_at = 5};
static struct master_key *key;

const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE])
{
    unsigned char h[HMAC_SIZE];
    (void)s;
    CHECK(placeholder_hash(key, SLICE(PLACEHOLDER), h) == ERR_OK);
    if (memcmp(h, hash, sizeof h) == 0)
        return &alice;
    CHECK(placeholder_hash(key, SLICE("ended-client"), h) == ERR_OK);
    return memcmp(h, hash, sizeof h) == 0 ? &ended : NULL;
}

static void check_authority(const struct authority *a)
{
    char buf[HOST_MAX + 10];
    struct authority again;
    CHECK(a->port && a->host_len && a->host_len <= HOST_MAX && !a->host[a->host_len]);
    for (size_t i = 0; i < a->host_len; i++)
        CHECK(a->host[i] == '-' || a->host[i] == '.' || (a->is_ipv6 && a->host[i] == ':') ||
              (a->host[i] >= '0' && a->host[i] <= '9') || (a->host[i] >= 'a' && a->host[i] <= 'z'));
    authority_print(a, buf, sizeof buf);
    CHECK(authority_parse(slice_of(buf), 0, &again) == ERR_OK && authority_eq(a, &again));
}

/* The name in TEXT as a reader sees it: without its port, trailing dot or case. */
static void check_same_name(struct slice text, const struct authority *a)
{
    struct slice name = text;
    size_t end = name.n;
    while (end > 0 && name.p[end - 1] >= '0' && name.p[end - 1] <= '9')
        end--;
    if (a->is_ipv6)
        return; /* it has many spellings */
    if (end > 0 && name.p[end - 1] == ':')
        name.n = end - 1;
    if (slice_ends(name, SLICE(".")))
        name.n--;
    CHECK(slice_ieq(name, authority_host(a)));
}

/* Credentials are "any user:placeholder", or "placeholder:". */
static void check_login(struct slice value)
{
    const struct snap_client *c = NULL;
    enum err e = auth_basic(value, &(struct snapshot){0}, key, 10, &c, NULL);
    CHECK((e == ERR_OK) == (c != NULL) && (c == NULL || c == &alice));
    if (!c)
        return;
    struct slice coded = slice_trim(slice_sub(slice_trim(value), 6, value.n));
    unsigned char text[2 * PLACEHOLDER_MAX + 8], padded[4 * PLACEHOLDER_MAX];
    while (slice_ends(coded, SLICE("=")))
        coded.n--;
    CHECK(coded.n < sizeof padded - 4);
    memset(padded, 'A', sizeof padded); /* zero bits */
    memcpy(padded, coded.p, coded.n);
    CHECK(EVP_DecodeBlock(text, padded, (int)((coded.n + 3) / 4 * 4)) > 0);
    struct slice pair = slice_make(text, coded.n * 3 / 4);
    CHECK(slice_ends(pair, SLICE(":" PLACEHOLDER)) || slice_eq(pair, SLICE(PLACEHOLDER)) ||
          slice_eq(pair, SLICE(PLACEHOLDER ":")));
}

static void check_connect(const struct front *f, const struct request *r, struct slice all)
{
    struct authority a = {.port = 0};
    const struct field *host = head_get(&r->head, FIELD_HOST);
    CHECK(r->head.path.n == 0 && r->head.authority.n > 0);
    struct slice fed = slice_sub(all, 0, f->used), rest = sbuf_slice(&f->rest);
    CHECK(slice_ends(fed, rest));
    CHECK(slice_ends(slice_sub(fed, 0, fed.n - rest.n), SLICE("\r\n\r\n")) || r->body.n);
    switch (connect_target(&r->head, r->head.body == BODY_NONE, &a)) {
    case TARGET_OK:
        check_authority(&a);
        check_same_name(r->head.authority, &a);
        if (host)
            check_same_name(host->value, &a);
        break;
    case TARGET_OTHER_HOST:
        check_authority(&a);
        CHECK(host);
        break;
    default:
        break;
    }
}

static void check_local(const struct head *h)
{
    struct authority a;
    char host[HOST_MAX + 1];
    struct slice path = {NULL, 0};
    enum target t = local_target(h, &a);
    CHECK(t != TARGET_ORIGIN || h->scheme.n == 0);
    if (t == TARGET_OK) {
        check_authority(&a);
        check_same_name(h->authority, &a);
        CHECK(slice_ieq(h->scheme, SLICE("http")));
    }
    if (gateway_target(h, host, sizeof host, &path)) {
        CHECK(path.n && path.p[0] == '/' && path.p + path.n == h->path.p + h->path.n);
        if (authority_parse(slice_of(host), 443, &a) == ERR_OK)
            check_authority(&a);
        CHECK(slice_ends(slice_of(host), SLICE(".googleapis.com")) ||
              slice_eq(slice_of(host), SLICE("aiplatform.googleapis.com")) ||
              slice_eq(slice_of(host), SLICE("api.anthropic.com")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct front f;
    if (!key)
        CHECK(master_key_new(SLICE("0123456789abcdef0123456789abcdef"), &key) == ERR_OK);
    if (size < 2)
        return 0;
    front_init(&f);
    front_feed(&f, data + 1, size - 1, data[0]);
    for (size_t i = 0; i < f.count; i++) {
        const struct request *r = &f.got[i];
        for (uint32_t k = 0; k < r->head.count; k++)
            if (r->head.fields[k].id == FIELD_PROXY_AUTHORIZATION)
                check_login(r->head.fields[k].value);
        if (f.is_connect && i == f.count - 1)
            check_connect(&f, r, slice_make(data + 1, size - 1));
        else
            check_local(&r->head);
    }
    front_finish(&f);
    return 0;
}
