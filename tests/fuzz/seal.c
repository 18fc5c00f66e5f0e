/* room: base */
/* drives: common/base/seal.c */
/* The first byte chooses. 0: any bytes as a sealed value do not open. 1: a value that was sealed
 * opens at its place only, and not when one bit of it changed. 2: any bytes as a key file. 3: the
 * n-th allocation fails. */
#include "base/seal.h"

#include "base/check.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct seal_place here = {"account", "7", "private_key"};
static const struct seal_place others[] = {{"account", "77", "private_key"},
                                           {"account7", "", "private_key"},
                                           {"token", "7", "private_key"},
                                           {"account", "7", "private_key2"}};
static struct master_key *key;

static enum err open_as(const struct seal_place *at, struct slice sealed)
{
    struct secret *s = NULL;
    enum err e = unseal(key, at, sealed, &s);
    CHECK((e == ERR_OK) == (s != NULL));
    secret_unref(&s);
    return e;
}

static void check_round(struct slice plain, unsigned bit)
{
    struct sbuf b;
    struct secret *s = NULL;
    sbuf_init(&b, plain.n + 64);
    CHECK(seal(key, &here, plain, &b) == ERR_OK);
    CHECK(unseal(key, &here, sbuf_slice(&b), &s) == ERR_OK && slice_eq(secret_bytes(s), plain));
    secret_unref(&s);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        CHECK(open_as(&others[i], sbuf_slice(&b)) == ERR_CRYPTO);
    b.p[bit / 8 % b.n] ^= (char)(1 << bit % 8);
    CHECK(open_as(&here, sbuf_slice(&b)) == ERR_CRYPTO);
    CHECK(open_as(&here, slice_sub(sbuf_slice(&b), 0, b.n - 1)) == ERR_CRYPTO);
    sbuf_finish(&b);
}

static void check_file(const uint8_t *p, size_t n, mode_t mode)
{
    char path[64];
    struct master_key *k = NULL;
    struct errmsg msg = {""};
    int fd = memfd_create("key", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n && fchmod(fd, mode) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum err e = master_key_load(path, &k, &msg);
    CHECK((e == ERR_OK) == (k != NULL) && (e == ERR_OK || *msg.text));
    CHECK((e == ERR_OK) == (n == MASTER_KEY_SIZE && (mode & 077) == 0));
    CHECK(master_key_load("/dev/null", &k, &msg) == ERR_IO);
    CHECK(master_key_load("/nowhere/key", &k, &msg) == ERR_NOT_FOUND);
    struct master_key *same = master_key_ref(k);
    master_key_unref(&same);
    master_key_unref(&k);
    close(fd);
}

static void check_no_memory(struct slice text, unsigned n)
{
    struct sbuf b;
    struct secret *s = NULL;
    struct master_key *k = NULL;
    sbuf_init(&b, 1 << 16);
    mem_fail_after(n, 0);
    if (master_key_new(SLICE("0123456789abcdef0123456789abcdef"), &k) == ERR_OK &&
        seal(k, &here, text, &b) == ERR_OK && unseal(k, &here, sbuf_slice(&b), &s) == ERR_OK)
        CHECK(slice_eq(secret_bytes(s), text));
    mem_fail_after(0, 0);
    secret_unref(&s);
    master_key_unref(&k);
    sbuf_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!key)
        CHECK(master_key_new(SLICE("0123456789abcdef0123456789abcdef"), &key) == ERR_OK);
    if (size < 3 || size > 4096)
        return 0;
    struct slice text = slice_make(data + 3, size - 3);
    unsigned number = (unsigned)data[1] << 8 | data[2];
    unsigned char hash[HMAC_SIZE];
    CHECK(placeholder_hash(key, text, hash) == ERR_OK);
    switch (data[0] % 4) {
    case 0:
        CHECK(open_as(&here, text) == ERR_CRYPTO);
        break;
    case 1:
        check_round(text, number);
        break;
    case 2:
        check_file(data + 3, size - 3, number & 1 ? 0600 : 0640);
        break;
    default:
        check_no_memory(text, number % 8 + 1);
        break;
    }
    return 0;
}
