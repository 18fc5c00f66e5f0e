/* "gemini-va1-" or "claude-va1-", then base64url of id (8 bytes), end (8 bytes) and hash (32). */
#include "auth/pass.h"

#include "base/check.h"
#include "base/mem.h"
#include "keys/jwt.h"
#include "store/client.h"

#include <openssl/crypto.h>

#define PREFIX_SIZE 11
#define PLAIN_SIZE 16
#define RAW_SIZE (PLAIN_SIZE + HMAC_SIZE)
#define HASHED_MAX 16384 /* key id and PEM are 128 and 8192 bytes at most */

_Static_assert(PASS_SIZE == PREFIX_SIZE + RAW_SIZE / 3 * 4, "base64url has no padding here");

static const struct slice prefixes[] = {
    [SERVICE_GEMINI] = {"gemini-va1-", PREFIX_SIZE},
    [SERVICE_CLAUDE] = {"claude-va1-", PREFIX_SIZE},
};

static void put_u64(unsigned char *to, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (unsigned char)(v >> (56 - 8 * i));
}

static uint64_t get_u64(const char *from)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)from[i];
    return v;
}

/* Lengths stand before what varies, so that no two clients' texts are the same. */
static enum err hash_of(const struct master_key *k, const struct snap_client *c,
                        const unsigned char plain[PLAIN_SIZE], unsigned char ret[HMAC_SIZE])
{
    static const unsigned char none[HMAC_SIZE];
    unsigned char lengths[16];
    struct sbuf text;
    sbuf_init(&text, HASHED_MAX);
    put_u64(lengths, c->sa_key_id.n);
    put_u64(lengths + 8, c->sa_public_key.n);
    sbuf_add(&text, plain, PLAIN_SIZE);
    sbuf_addc(&text, c->placeholder_hash ? 1 : 0);
    sbuf_add(&text, c->placeholder_hash ? c->placeholder_hash : none, HMAC_SIZE);
    sbuf_add(&text, lengths, sizeof lengths);
    sbuf_add_slice(&text, c->sa_key_id);
    sbuf_add_slice(&text, c->sa_public_key);
    enum err e = text.failed ? ERR_NOMEM : pass_mac(k, sbuf_slice(&text), ret);
    sbuf_finish(&text);
    return e;
}

enum err pass_add(const struct master_key *k, const struct snap_client *c, int64_t expires_at,
                  struct sbuf *out)
{
    unsigned char raw[RAW_SIZE];
    put_u64(raw, (uint64_t)c->id);
    put_u64(raw + 8, (uint64_t)expires_at);
    enum err e = hash_of(k, c, raw, raw + PLAIN_SIZE);
    if (e == ERR_OK) {
        sbuf_add_slice(out, prefixes[c->service]);
        base64url_add(out, slice_make(raw, sizeof raw));
        e = out->failed ? ERR_NOMEM : ERR_OK;
    }
    mem_wipe(raw, sizeof raw);
    return e;
}

static bool has_prefix(struct slice text)
{
    return slice_starts(text, prefixes[SERVICE_GEMINI]) ||
           slice_starts(text, prefixes[SERVICE_CLAUDE]);
}

bool pass_is_one(struct slice text)
{
    return text.n == PASS_SIZE && has_prefix(text);
}

bool pass_verify(struct slice text, const struct snapshot *s, const struct master_key *k,
                 const struct snap_client **ret, int64_t *ret_expires_at)
{
    char raw[RAW_SIZE + 1];
    unsigned char hash[HMAC_SIZE];
    struct sbuf b = {.p = raw, .size = sizeof raw, .max = RAW_SIZE};
    if (!pass_is_one(text) || !base64url_decode(slice_sub(text, PREFIX_SIZE, text.n), &b) ||
        b.n != RAW_SIZE)
        return false;
    const struct snap_client *c = snapshot_client_by_id(s, (int64_t)get_u64(b.p));
    bool ok = c && slice_starts(text, prefixes[c->service]) &&
              hash_of(k, c, (const unsigned char *)b.p, hash) == ERR_OK &&
              CRYPTO_memcmp(hash, b.p + PLAIN_SIZE, HMAC_SIZE) == 0;
    if (ok) {
        *ret = c;
        *ret_expires_at = (int64_t)get_u64(b.p + 8);
    }
    mem_wipe(hash, sizeof hash);
    mem_wipe(raw, sizeof raw);
    return ok;
}

static bool is_digit(char c)
{
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool pass_is_in(struct slice text)
{
    for (size_t at = 0; text.n - at >= PASS_SIZE; at++) {
        struct slice here = slice_sub(text, at, at + PASS_SIZE);
        if (!has_prefix(here))
            continue;
        size_t n = PREFIX_SIZE;
        while (n < here.n && is_digit(here.p[n]))
            n++;
        if (n == here.n)
            return true;
    }
    return false;
}

bool pass_is_in_head(const struct head *h)
{
    bool is_in = pass_is_in(h->path);
    for (uint32_t i = 0; i < h->count && !is_in; i++)
        is_in = pass_is_in(h->fields[i].name) || pass_is_in(h->fields[i].value);
    return is_in;
}
