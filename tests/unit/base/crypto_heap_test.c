#include "base/crypto_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#define SECRET "gemini-0123456789abcdef"

/* What is in freed memory cannot be looked at under a sanitizer, and nothing is kept there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_KEPT 0
#else
#define IS_KEPT 1
#endif

static void fill(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i % 26);
}

static void test_records_come_back_wiped(void **state)
{
    assert_true(crypto_heap_wipes());
    char *p = OPENSSL_malloc(CRYPTO_WIPED_BYTES);
    fill(p, CRYPTO_WIPED_BYTES);
    memcpy(p + 9000, SECRET, sizeof SECRET);
    OPENSSL_free(p);
    if (!IS_KEPT)
        return;
    char *q = OPENSSL_malloc(CRYPTO_WIPED_BYTES);
    assert_ptr_equal(q, p);
    for (size_t i = 0; i < CRYPTO_WIPED_BYTES; i++)
        assert_int_equal(q[i], 0);
    OPENSSL_free(q);
}

/* What was announced is wiped, wherever in the buffer, and of several at once. */
static void test_what_was_filled_is_wiped(void **state)
{
    if (!IS_KEPT)
        skip();
    enum {
        N = 5
    };
    char *p[N], elsewhere[32];
    for (size_t i = 0; i < N; i++)
        p[i] = OPENSSL_malloc(CRYPTO_WIPED_BYTES);
    for (size_t i = 0; i < N; i++) {
        fill(p[i], 1000);
        crypto_heap_filled(p[i], 3); /* in pieces */
        crypto_heap_filled(p[i] + 3, 997);
        memcpy(p[i] + 9000 + i, SECRET, sizeof SECRET);
        if (i != 2)
            crypto_heap_filled(p[i] + 9000 + i, sizeof SECRET);
        crypto_heap_filled(p[i] + 10, 5); /* less than before */
    }
    crypto_heap_filled(elsewhere, sizeof elsewhere);
    crypto_heap_filled(p, sizeof p);
    for (size_t i = 0; i < N; i++)
        OPENSSL_free(p[i]);
    for (size_t i = 0; i < N; i++) {
        bool is_there = memmem(p[i], CRYPTO_WIPED_BYTES, SECRET, sizeof SECRET) != NULL;
        assert_int_equal(is_there, i == 2); /* the one that lied */
        assert_int_equal(p[i][500], 0);
    }
    char *q = OPENSSL_malloc(CRYPTO_WIPED_BYTES); /* what was known is known no more */
    assert_ptr_equal(q, p[N - 1]);
    fill(q, CRYPTO_WIPED_BYTES);
    OPENSSL_free(q);
    for (size_t i = 0; i < CRYPTO_WIPED_BYTES; i++)
        assert_int_equal(q[i], 0);
    for (size_t i = 0; i < N; i++) /* so that the one that lied is clean, too */
        p[i] = OPENSSL_malloc(CRYPTO_WIPED_BYTES);
    for (size_t i = 0; i < N; i++)
        OPENSSL_free(p[i]);
}

/* What realloc copies nobody announces. */
static void test_what_was_moved_is_wiped(void **state)
{
    if (!IS_KEPT)
        skip();
    char *p = OPENSSL_malloc(9000);
    fill(p, 9000);
    p = OPENSSL_realloc(p, CRYPTO_WIPED_BYTES);
    crypto_heap_filled(p, 10);
    OPENSSL_free(p);
    for (size_t i = 0; i < 9000; i++)
        assert_int_equal(p[i], 0);
}

static void test_the_last_is_the_next(void **state)
{
    if (!IS_KEPT)
        skip();
    static const size_t sizes[] = {16385, 16584, 16712, 16896};
    char *a = OPENSSL_malloc(16584), *b = OPENSSL_malloc(16712);
    OPENSSL_free(a);
    OPENSSL_free(b);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = OPENSSL_malloc(sizes[i]);
        assert_ptr_equal(p, b);
        fill(p, sizes[i]);
        OPENSSL_free(p);
    }
    char *wiped = OPENSSL_malloc(CRYPTO_WIPED_BYTES);
    assert_true(wiped != a && wiped != b);
    OPENSSL_free(wiped);
}

static void test_other_sizes_stay_out(void **state)
{
    static const size_t sizes[] = {1,     100,   16383, 16384, 16897,
                                   17000, 17407, 17409, 20000, 1 << 20};
    char *held = OPENSSL_malloc(16584);
    OPENSSL_free(held);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = OPENSSL_malloc(sizes[i]);
        fill(p, sizes[i]);
        if (IS_KEPT)
            assert_ptr_not_equal(p, held);
        OPENSSL_free(p);
        p = OPENSSL_zalloc(sizes[i]);
        assert_int_equal(p[0], 0);
        assert_int_equal(p[sizes[i] - 1], 0);
        OPENSSL_free(p);
    }
    assert_null(OPENSSL_malloc(0));
    OPENSSL_free(NULL);
}

static void test_no_more_than_the_stock_is_kept(void **state)
{
    static char *many[3 * CRYPTO_STOCK_MAX];
    enum {
        N = sizeof many / sizeof *many
    };
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            many[i] = OPENSSL_malloc(i % 2 ? CRYPTO_WIPED_BYTES : 16584);
            fill(many[i], 16584);
        }
        for (size_t i = 0; i < N; i++)
            OPENSSL_free(many[i]);
    }
    crypto_heap_forget();
    crypto_heap_forget();
}

static void test_resized_buffers_keep_their_bytes(void **state)
{
    static const size_t sizes[] = {
        10, 16584, 100, CRYPTO_WIPED_BYTES, 16712, 40000, CRYPTO_WIPED_BYTES, 300, 16896, 64};
    size_t least = 10;
    char want[64];
    fill(want, sizeof want);
    char *p = OPENSSL_realloc(NULL, 10);
    fill(p, 10);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        p = OPENSSL_realloc(p, sizes[i]);
        assert_memory_equal(p, want, least);
        least = sizes[i] < sizeof want ? sizes[i] : sizeof want;
        fill(p, sizes[i]);
    }
    assert_null(OPENSSL_realloc(p, 0));
}

/* The sizes are OpenSSL's to choose: another version may ask for others. */
static void test_openssl_reads_clients_into_wiped_buffers(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL_CTX_set_default_read_buffer_len(ctx, CRYPTO_WIPED_BYTES);
    char *p = OPENSSL_malloc(CRYPTO_WIPED_BYTES);
    OPENSSL_free(p);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    /* a record that is not whole yet stays in the buffer */
    assert_int_equal(BIO_write(in, "\x16\x03\x01\x40\x00" SECRET, 5 + sizeof SECRET),
                     5 + sizeof SECRET);
    assert_int_equal(SSL_get_error(ssl, SSL_accept(ssl)), SSL_ERROR_WANT_READ);
    if (IS_KEPT) {
        assert_non_null(memmem(p, CRYPTO_WIPED_BYTES, SECRET, sizeof SECRET));
        SSL_free(ssl);
        assert_null(memmem(p, CRYPTO_WIPED_BYTES, SECRET, sizeof SECRET));
    } else {
        SSL_free(ssl);
    }
    SSL_CTX_free(ctx);
}

int main(void)
{
    if (!crypto_heap_init())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_back_wiped),
        cmocka_unit_test(test_what_was_filled_is_wiped),
        cmocka_unit_test(test_what_was_moved_is_wiped),
        cmocka_unit_test(test_the_last_is_the_next),
        cmocka_unit_test(test_other_sizes_stay_out),
        cmocka_unit_test(test_no_more_than_the_stock_is_kept),
        cmocka_unit_test(test_resized_buffers_keep_their_bytes),
        cmocka_unit_test(test_openssl_reads_clients_into_wiped_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
