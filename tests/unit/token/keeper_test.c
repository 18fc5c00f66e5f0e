/* The keeper in this process, with a real store. It stands here because room keys alone does not
 * link the store. */
#include "keys/ca.h"
#include "keys/jwt.h"
#include "keys/keeper.h"
#include "store/account.h"
#include "unit/keys/make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

static char dir[512], cert[600], ca_key_path[600], db[600];
static const char *const domains[] = {"googleapis.com", "anthropic.com"};
static struct master_key *master;
static struct store *store;
static struct keeper *keeper;
static int64_t id;

static enum err make_keeper(struct master_key *k, const char *const *permitted, size_t n,
                            struct keeper **ret)
{
    struct keeper_conf c = {cert, ca_key_path, db, k, 7, permitted, n};
    struct errmsg msg;
    return keeper_create(&c, ret, &msg);
}

static int setup(void **state)
{
    unsigned char bytes[MASTER_KEY_SIZE] = {7};
    snprintf(dir, sizeof dir, "%s", make_dir());
    snprintf(cert, sizeof cert, "%s/ca.pem", dir);
    snprintf(ca_key_path, sizeof ca_key_path, "%s/ca.key", dir);
    snprintf(db, sizeof db, "%s/t.db", dir);
    struct ca_params p = {.permitted = domains, .permitted_count = 2};
    struct sbuf pem;
    sbuf_init(&pem, 65536);
    make_pem(make_rsa(), 1, &pem);
    struct account_fields f = {.name = SLICE("acc"), .email = SLICE("a@b.c")};
    bool ok =
        ca_create(&p, cert, ca_key_path, NULL) == ERR_OK &&
        master_key_new(slice_make(bytes, sizeof bytes), &master) == ERR_OK &&
        store_open(db, STORE_CREATE, &store, NULL) == ERR_OK &&
        store_migrate(store, NULL) == ERR_OK &&
        account_add(store, master, ACCOUNT_SERVICE, &f, sbuf_slice(&pem), &id, NULL) == ERR_OK &&
        make_keeper(master, domains, 1, &keeper) ==
            ERR_OK; /* anthropic.com: the CA may, the keeper not */
    sbuf_finish_wipe(&pem);
    return ok ? 0 : -1;
}

static int teardown(void **state)
{
    keeper_destroy(keeper);
    store_close(store);
    master_key_unref(&master);
    remove_dir(dir);
    return 0;
}

static bool verifies(struct slice input, struct slice signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, make_rsa()) == 1 &&
              EVP_DigestVerify(md, (const unsigned char *)signature.p, signature.n,
                               (const unsigned char *)input.p, input.n) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static void it_signs_with_the_accounts_key(void **state)
{
    struct sbuf sig;
    sbuf_init(&sig, 4096);
    assert_int_equal(keeper_sign_jwt(keeper, id, SLICE("a.b"), &sig, NULL), ERR_OK);
    assert_true(verifies(SLICE("a.b"), sbuf_slice(&sig)));
    sbuf_finish(&sig);
}

static void what_cannot_be_signed_is_told_apart(void **state)
{
    struct sbuf sig;
    struct errmsg msg = {""};
    sbuf_init(&sig, 4096);
    assert_int_equal(keeper_sign_jwt(keeper, id + 1, SLICE("a.b"), &sig, &msg), ERR_NOT_FOUND);
    assert_true(*msg.text);
    unsigned char bytes[MASTER_KEY_SIZE] = {8};
    struct master_key *other = NULL;
    struct keeper *k = NULL;
    assert_int_equal(master_key_new(slice_make(bytes, sizeof bytes), &other), ERR_OK);
    assert_int_equal(make_keeper(other, domains, 1, &k), ERR_OK);
    assert_int_equal(keeper_sign_jwt(k, id, SLICE("a.b"), &sig, &msg), ERR_CRYPTO);
    keeper_destroy(k);
    master_key_unref(&other);
    assert_int_equal(
        account_set_key(store, master, SLICE("acc"), SLICE("no key"), SLICE("k"), NULL), ERR_OK);
    assert_int_equal(keeper_sign_jwt(keeper, id, SLICE("a.b"), &sig, &msg), ERR_CRYPTO);
    assert_int_equal(sig.n, 0);
    sbuf_finish(&sig);
}

static void an_edited_key_counts_at_once(void **state)
{
    struct sbuf sig, pem;
    EVP_PKEY *second = EVP_RSA_gen(2048);
    sbuf_init(&sig, 4096);
    sbuf_init(&pem, 65536);
    make_pem(second, 0, &pem);
    assert_int_equal(keeper_sign_jwt(keeper, id, SLICE("a.b"), &sig, NULL), ERR_OK);
    sbuf_clear(&sig);
    assert_int_equal(
        account_set_key(store, master, SLICE("acc"), sbuf_slice(&pem), SLICE("k"), NULL), ERR_OK);
    keeper_forget(keeper, id);
    assert_int_equal(keeper_sign_jwt(keeper, id, SLICE("a.b"), &sig, NULL), ERR_OK);
    assert_false(verifies(SLICE("a.b"), sbuf_slice(&sig)));
    sbuf_finish(&sig);
    sbuf_finish(&pem);
    EVP_PKEY_free(second);
}

static void leaves_are_for_its_own_domains_only(void **state)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = NULL;
    assert_int_equal(keeper_sign_leaf(keeper, SLICE("api.anthropic.com"), k, &x), ERR_DENIED);
    assert_int_equal(keeper_sign_leaf(keeper, SLICE("evilgoogleapis.com"), k, &x), ERR_DENIED);
    assert_int_equal(keeper_sign_leaf(keeper, SLICE("*.googleapis.com"), k, &x), ERR_DENIED);
    assert_int_equal(keeper_sign_leaf(keeper, SLICE(""), k, &x), ERR_DENIED);
    assert_null(x);
    assert_int_equal(keeper_sign_leaf(keeper, SLICE("eu-aiplatform.googleapis.com"), k, &x),
                     ERR_OK);
    assert_int_equal(X509_check_issued(keeper_ca(keeper), x), X509_V_OK);
    X509_free(x);
    EVP_PKEY_free(k);
}

static void it_shows_the_certificate_and_nothing_else(void **state)
{
    assert_true(slice_starts(keeper_ca_pem(keeper), SLICE("-----BEGIN CERTIFICATE-----\n")));
    assert_true(slice_search(keeper_ca_pem(keeper), SLICE("PRIVATE")) == keeper_ca_pem(keeper).n);
    assert_int_equal(strlen(keeper_ca_sha256(keeper)), 64);
}

static void without_a_ca_there_is_no_keeper(void **state)
{
    struct keeper *k = NULL;
    unlink(ca_key_path);
    assert_int_equal(make_keeper(master, domains, 1, &k), ERR_NOT_FOUND);
    assert_null(k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_signs_with_the_accounts_key),
        T(what_cannot_be_signed_is_told_apart),
        T(an_edited_key_counts_at_once),
        T(leaves_are_for_its_own_domains_only),
        T(it_shows_the_certificate_and_nothing_else),
        T(without_a_ca_there_is_no_keeper),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(make_rsa());
    return rc;
}
