/* Values at rest, and the hash of a placeholder. */
#include "base/check.h"
#include "base/mem.h"
#include "base/seal.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_A "0123456789abcdef0123456789abcdef"
#define KEY_B "0123456789abcdef0123456789abcdeF"

static struct master_key *a, *b;

static int setup(void **state)
{
    return master_key_new(SLICE(KEY_A), &a) != ERR_OK || master_key_new(SLICE(KEY_B), &b) != ERR_OK;
}

static int teardown(void **state)
{
    master_key_unref(&a);
    master_key_unref(&b);
    master_key_unref(&b);
    return 0;
}

static const struct seal_place here = {"account", "17", "key"};

static void opens(const struct master_key *k, const struct seal_place *at, struct slice sealed,
                  const char *want)
{
    struct secret *s = NULL;
    enum err e = unseal(k, at, sealed, &s);
    if (!want) {
        assert_int_equal(e, ERR_CRYPTO);
        assert_null(s);
        return;
    }
    assert_int_equal(e, ERR_OK);
    assert_true(secret_eq(s, slice_of(want)));
    secret_unref(&s);
}

static void what_was_sealed_opens_in_its_place(void **state)
{
    static const char *const texts[] = {"", "x", "a private key of some length"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct sbuf out, again;
        sbuf_init(&out, 4096);
        sbuf_init(&again, 4096);
        assert_int_equal(seal(a, &here, slice_of(texts[i]), &out), ERR_OK);
        assert_int_equal(seal(a, &here, slice_of(texts[i]), &again), ERR_OK);
        assert_int_equal(out.n, strlen(texts[i]) + 29);
        assert_false(slice_eq(sbuf_slice(&out), sbuf_slice(&again))); /* a nonce of its own */
        opens(a, &here, sbuf_slice(&out), texts[i]);
        opens(a, &here, sbuf_slice(&again), texts[i]);
        sbuf_finish(&out);
        sbuf_finish(&again);
    }
}

static void it_opens_nowhere_else_and_with_no_other_key(void **state)
{
    static const struct seal_place others[] = {
        {"account", "18", "key"}, {"accoun", "t17", "key"}, {"account", "17", "token"},
        {"account", "1", "7key"}, {"account", "17k", "ey"}, {"token", "17", "key"},
        {"", "account17", "key"}, {"account", "", "17key"}, {"account", "17", ""}};
    struct sbuf out;
    sbuf_init(&out, 4096);
    assert_int_equal(seal(a, &here, SLICE("secret"), &out), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        opens(a, &others[i], sbuf_slice(&out), NULL);
    opens(b, &here, sbuf_slice(&out), NULL);
    opens(a, &here, sbuf_slice(&out), "secret");
    sbuf_finish(&out);
}

static void no_bit_may_flip_and_no_byte_may_be_missing(void **state)
{
    struct sbuf out;
    sbuf_init(&out, 4096);
    assert_int_equal(seal(a, &here, SLICE("secret"), &out), ERR_OK);
    for (size_t i = 0; i < out.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            out.p[i] = (char)(out.p[i] ^ 1 << bit);
            opens(a, &here, sbuf_slice(&out), NULL);
            out.p[i] = (char)(out.p[i] ^ 1 << bit);
        }
    for (size_t n = 0; n < out.n; n++) {
        opens(a, &here, slice_sub(sbuf_slice(&out), 0, n), NULL);
        opens(a, &here, slice_sub(sbuf_slice(&out), n + 1, out.n), NULL);
    }
    sbuf_addc(&out, 'x');
    opens(a, &here, sbuf_slice(&out), NULL);
    sbuf_finish(&out);
}

static void sealing_has_bounds(void **state)
{
    struct sbuf out;
    static char large[(1 << 20) + 1];
    sbuf_init(&out, 2 << 20);
    assert_int_equal(seal(a, &here, slice_make(large, sizeof large), &out), ERR_TOO_LARGE);
    assert_int_equal(out.n, 0);
    assert_int_equal(seal(a, &here, slice_make(large, sizeof large - 1), &out), ERR_OK);
    struct secret *s = NULL;
    assert_int_equal(unseal(a, &here, sbuf_slice(&out), &s), ERR_OK);
    assert_int_equal(secret_bytes(s).n, sizeof large - 1);
    secret_unref(&s);
    mem_fail_after(1, 1);
    assert_int_equal(unseal(a, &here, sbuf_slice(&out), &s), ERR_NOMEM);
    mem_fail_after(2, 1);
    assert_int_equal(unseal(a, &here, sbuf_slice(&out), &s), ERR_NOMEM);
    mem_fail_after(0, 0);
    sbuf_finish(&out);
    sbuf_init(&out, 10);
    assert_int_equal(seal(a, &here, SLICE("x"), &out), ERR_NOMEM);
    sbuf_finish(&out);
}

/* ---- the master key ---- */

static void a_master_key_is_32_bytes(void **state)
{
    struct master_key *k = NULL;
    assert_int_equal(master_key_new(SLICE(""), &k), ERR_INVALID);
    assert_int_equal(master_key_new(slice_make(KEY_A, 31), &k), ERR_INVALID);
    assert_int_equal(master_key_new(SLICE(KEY_A "x"), &k), ERR_INVALID);
    mem_fail_after(1, 0);
    assert_int_equal(master_key_new(SLICE(KEY_A), &k), ERR_NOMEM);
    assert_null(k);
    assert_int_equal(master_key_new(SLICE(KEY_A), &k), ERR_OK);
    struct master_key *other = master_key_ref(k);
    master_key_unref(&k);
    assert_null(k);
    unsigned char h[HMAC_SIZE];
    assert_int_equal(placeholder_hash(other, SLICE("x"), h), ERR_OK);
    master_key_unref(&other);
}

static void a_master_key_file_is_its_owners_alone(void **state)
{
    char path[] = "/tmp/credswap-seal-XXXXXX";
    int fd = mkstemp(path);
    struct master_key *k = NULL;
    struct errmsg msg;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, KEY_A, 32), 32);
    static const mode_t wide[] = {0640, 0604, 0660, 0777, 0610};
    for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
        fchmod(fd, wide[i]);
        assert_int_equal(master_key_load(path, &k, &msg), ERR_PERMISSION);
    }
    fchmod(fd, 0600);
    assert_int_equal(master_key_load(path, &k, &msg), ERR_OK);
    unsigned char h1[HMAC_SIZE], h2[HMAC_SIZE];
    assert_int_equal(placeholder_hash(k, SLICE("x"), h1), ERR_OK);
    assert_int_equal(placeholder_hash(a, SLICE("x"), h2), ERR_OK);
    assert_memory_equal(h1, h2, HMAC_SIZE);
    master_key_unref(&k);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(master_key_load(path, &k, &msg), ERR_INVALID);
    assert_int_equal(ftruncate(fd, 31), 0);
    assert_int_equal(master_key_load(path, &k, &msg), ERR_INVALID);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(master_key_load(path, &k, NULL), ERR_INVALID);
    close(fd);
    unlink(path);
    assert_int_equal(master_key_load(path, &k, &msg), ERR_NOT_FOUND);
    assert_int_equal(master_key_load("/tmp", &k, &msg), ERR_IO);
    assert_null(k);
}

/* ---- the hash ---- */

/* HKDF-SHA256 (RFC 5869), then HMAC-SHA256, each by OpenSSL's one-shot way. */
static void plain_hash(struct slice text, unsigned char ret[HMAC_SIZE])
{
    unsigned char prk[32], okm[32], info[] = "placeholder\x01";
    unsigned n = 0;
    assert_non_null(
        HMAC(EVP_sha256(), "credswap v1", 11, (const unsigned char *)KEY_A, 32, prk, &n));
    assert_non_null(HMAC(EVP_sha256(), prk, 32, info, sizeof info - 1, okm, &n));
    assert_non_null(HMAC(EVP_sha256(), okm, 32, (const unsigned char *)text.p, text.n, ret, &n));
}

static void a_placeholder_hash_is_hmac_sha256_under_a_derived_key(void **state)
{
    char text[300];
    for (size_t n = 0; n < sizeof text; n += n < 140 ? 1 : 37) {
        for (size_t i = 0; i < n; i++)
            text[i] = (char)(i * 7 + n);
        unsigned char got[HMAC_SIZE], want[HMAC_SIZE], other[HMAC_SIZE];
        assert_int_equal(placeholder_hash(a, slice_make(text, n), got), ERR_OK);
        plain_hash(slice_make(text, n), want);
        assert_memory_equal(got, want, HMAC_SIZE);
        assert_int_equal(placeholder_hash(b, slice_make(text, n), other), ERR_OK);
        assert_memory_not_equal(got, other, HMAC_SIZE);
    }
}

static void *hash_many(void *arg)
{
    unsigned char *want = arg, got[HMAC_SIZE], other[HMAC_SIZE];
    for (int i = 0; i < 3000; i++) {
        if (placeholder_hash(a, SLICE("alice"), got) != ERR_OK ||
            memcmp(got, want, HMAC_SIZE) != 0 ||
            placeholder_hash(b, SLICE("alice"), other) != ERR_OK)
            return want;
    }
    return NULL;
}

static void threads_hash_beside_each_other(void **state)
{
    unsigned char want[HMAC_SIZE];
    pthread_t t[4];
    assert_int_equal(placeholder_hash(a, SLICE("alice"), want), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, hash_many, want), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        void *failed;
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
}

static void random_bytes_differ(void **state)
{
    unsigned char x[32] = {0}, y[32] = {0};
    random_bytes(x, sizeof x);
    random_bytes(y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_in_its_place),
        cmocka_unit_test(it_opens_nowhere_else_and_with_no_other_key),
        cmocka_unit_test(no_bit_may_flip_and_no_byte_may_be_missing),
        cmocka_unit_test(sealing_has_bounds),
        cmocka_unit_test(a_master_key_is_32_bytes),
        cmocka_unit_test(a_master_key_file_is_its_owners_alone),
        cmocka_unit_test(a_placeholder_hash_is_hmac_sha256_under_a_derived_key),
        cmocka_unit_test(threads_hash_beside_each_other),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
