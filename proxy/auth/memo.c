/* One slot for each of 64 values of a hash; the newer takes it. */
#include "auth/memo.h"

#include "base/mem.h"

#include <openssl/crypto.h>

#define SLOTS 64u

struct auth_memo {
    uint64_t salt[2]; /* which placeholders share a slot is nobody's to choose */
    struct auth_known *slots[SLOTS];
};

enum err auth_memo_create(struct auth_memo **ret)
{
    struct auth_memo *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_NOMEM;
    random_bytes(m->salt, sizeof m->salt);
    *ret = m;
    return ERR_OK;
}

static void forget(struct auth_known **slot)
{
    if (*slot)
        mem_wipe(*slot, sizeof **slot);
    mem_free(*slot);
    *slot = NULL;
}

void auth_memo_destroy(struct auth_memo *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < SLOTS; i++)
        forget(&m->slots[i]);
    mem_free(m);
}

/* The ends of placeholders differ most. */
static struct auth_known **slot_of(struct auth_memo *m, struct slice p)
{
    uint64_t middle, end;
    memcpy(&middle, p.p + p.n / 2 - 4, sizeof middle);
    memcpy(&end, p.p + p.n - 8, sizeof end);
    uint64_t h = (middle ^ m->salt[0]) * 0x9e3779b97f4a7c15u;
    h = ((h ^ h >> 32) + (end ^ m->salt[1])) * 0xd6e8feb86659fd93u;
    return &m->slots[h >> 58];
}

static bool is_keepable(struct slice p)
{
    return p.n >= 8 && p.n <= PLACEHOLDER_MAX;
}

const struct auth_known *auth_memo_find(struct auth_memo *m, struct slice placeholder)
{
    if (!is_keepable(placeholder))
        return NULL;
    struct auth_known *k = *slot_of(m, placeholder);
    struct slice mine = k ? auth_scan_placeholder(&k->scan) : SLICE("");
    if (mine.n != placeholder.n || CRYPTO_memcmp(mine.p, placeholder.p, mine.n) != 0)
        return NULL;
    k->is_asked_for = true;
    return k;
}

const struct auth_known *auth_memo_add(struct auth_memo *m, struct slice placeholder,
                                       const unsigned char hash[HMAC_SIZE])
{
    if (!is_keepable(placeholder))
        return NULL;
    struct auth_known **slot = slot_of(m, placeholder);
    if (*slot)
        mem_wipe(*slot, sizeof **slot);
    else
        *slot = mem_alloc(sizeof **slot);
    if (!*slot)
        return NULL;
    memcpy((*slot)->hash, hash, HMAC_SIZE);
    (*slot)->is_asked_for = true;
    auth_scan_init(&(*slot)->scan, placeholder);
    return *slot;
}

void auth_memo_age(struct auth_memo *m)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (m->slots[i] && !m->slots[i]->is_asked_for)
            forget(&m->slots[i]);
        else if (m->slots[i])
            m->slots[i]->is_asked_for = false;
}
