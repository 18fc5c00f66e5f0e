/* room: auth */
/* drives: proxy/auth/find.c */
/* Lines "name: value", the first one the path, each byte 1 a pass: no crash, a client only for its
 * exact bytes, and nothing that auth_find takes for the placeholder passes the scan or the rebuilt
 * query. */
#include "auth/find.h"
#include "auth/pass.h"
#include "auth/scan.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLACEHOLDER "gemini-alice-0123456789abcdef"
static const struct snap_client alice = {.id = 1, .enabled = true};
static const struct snap_client disabled = {.id = 2},
                                ended = {.id = 3, .enabled = true, .expires_at = 5};
static const struct snapshot snap = {.clients = &alice, .client_count = 1};
static struct master_key *key;
static char pass[PASS_SIZE + 1];

static void prepare(void)
{
    struct sbuf b = {.p = pass, .size = sizeof pass, .max = PASS_SIZE};
    CHECK(master_key_new(SLICE("0123456789abcdef0123456789abcdef"), &key) == ERR_OK);
    CHECK(pass_add(key, &alice, 100, &b) == ERR_OK && b.n == PASS_SIZE);
}

static const struct {
    struct slice placeholder;
    const struct snap_client *client;
} known[] = {{{PLACEHOLDER, sizeof PLACEHOLDER - 1}, &alice},
             {{"disabled-client", 15}, &disabled},
             {{"ended-client", 12}, &ended}};

const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE])
{
    unsigned char h[HMAC_SIZE];
    (void)s;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK(placeholder_hash(key, known[i].placeholder, h) == ERR_OK);
        if (memcmp(h, hash, sizeof h) == 0)
            return known[i].client;
    }
    return NULL;
}

static void check_query(struct slice query)
{
    struct sbuf b;
    sbuf_init(&b, 3 * query.n + 1);
    auth_strip_query(query, &b);
    CHECK(!b.failed);
    for (size_t i = 0; i < b.n; i++)
        CHECK(b.p[i] > ' ' && b.p[i] < 0x7f);
    struct auth_result r;
    struct sbuf path;
    sbuf_init(&path, b.n + 2);
    sbuf_adds(&path, "/?");
    sbuf_add(&path, b.p, b.n);
    struct head h = {.path = sbuf_slice(&path)};
    auth_find(&h, &snap, key, NULL, 0, API_GEMINI, &r);
    CHECK(strcmp(r.reason, "none") == 0);
    sbuf_finish(&path);
    sbuf_finish(&b);
}

static bool is_known(struct slice text)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_eq(text, known[i].placeholder))
            return true;
    return slice_eq(text, slice_of(pass));
}

/* A host that is a placeholder, or has one for a label, must not be told to anybody. */
static void check_host(struct slice text)
{
    struct slice host = slice_sub(text, 0, slice_find(text, ':', 0)), label;
    bool want = is_known(host);
    for (struct slice rest = host; slice_next(&rest, '.', &label);)
        want |= is_known(label);
    CHECK(auth_is_known_host(text, &snap, key) == want);
}

/* A word that is not found is nowhere a value by itself. */
static void check_words(const struct head *h)
{
    if (auth_has_known_word(h, &snap, key))
        return;
    for (uint32_t i = 0; i < h->count; i++)
        CHECK(!slice_eq(h->fields[i].value, SLICE(PLACEHOLDER)));
}

static void run(struct slice rest)
{
    struct field fields[16];
    struct slice line;
    struct head h = {.method = SLICE("GET"), .path = SLICE("/"), .fields = fields};
    struct auth_result r;
    const struct snap_client *c = NULL;
    if (slice_next(&rest, '\n', &line))
        h.path = line;
    while (h.count < 16 && slice_next(&rest, '\n', &line)) {
        size_t at = slice_find(line, ':', 0);
        struct slice name = slice_sub(line, 0, at);
        fields[h.count++] =
            (struct field){name, slice_trim(slice_sub(line, at + 1, line.n)), field_id(name)};
    }
    auth_find(&h, &snap, key, NULL, 10, API_VERTEX, &r);
    bool holds_known = auth_holds_known(&h, &snap, key);
    CHECK(holds_known || (!r.client && r.status != 403));
    CHECK(!holds_known || !r.reason || strcmp(r.reason, "none") != 0);
    check_host(h.path);
    if (r.client) {
        struct auth_scan s;
        CHECK(slice_eq(r.placeholder, r.is_pass ? slice_of(pass) : SLICE(PLACEHOLDER)));
        auth_scan_init(&s, r.placeholder);
        CHECK(auth_scan_head(&s, &h));
        auth_scan_finish(&s);
    }
    check_query(head_query(&h));
    check_words(&h);
    for (uint32_t i = 0; i < h.count; i++)
        if (auth_basic(fields[i].value, &snap, key, 10, &c, NULL) == ERR_OK)
            CHECK(c == &alice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbuf text;
    if (!key)
        prepare();
    sbuf_init(&text, size * PASS_SIZE + 1);
    for (size_t i = 0; i < size; i++)
        if (data[i] == 1)
            sbuf_adds(&text, pass);
        else
            sbuf_addc(&text, (char)data[i]);
    CHECK(!text.failed);
    run(sbuf_slice(&text));
    sbuf_finish(&text);
    return 0;
}
