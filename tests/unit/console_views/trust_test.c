/* The screen of the CA, with the certificate of golden/ca.pem (its key was thrown away). */
#define FAKE_NOW 1795788131 /* 2026-11-27 14:02:11 UTC */
#include "fake_app.h"
#include "views/trust_internal.h"

#include <fcntl.h>
#include <unistd.h>

static const struct feed_leaf leaves[] = {
    {"generativelanguage.googleapis.com", FAKE_NOW + 597600, FAKE_NOW - 7200, 41218},
    {"us-central1-aiplatform.googleapis.com", FAKE_NOW + 594000, FAKE_NOW - 10800, 17004},
    {"api.anthropic.com", FAKE_NOW + 180000, FAKE_NOW - 424800, 12511},
    {"europe-west4-aiplatform.googleapis.com", FAKE_NOW + 68400, FAKE_NOW - 536400, 212},
};
static const struct feed_refusal refusals[] = {
    {"10.8.3.41", "api.anthropic.com", "unknown ca", 7, FAKE_NOW - 72},
    {"10.8.9.2", "generativelanguage.googleapis.com", "bad certificate", 1, FAKE_NOW - 40000},
};

static char ca_path[512];

static void *view_of(struct app *a)
{
    fake_open(a, NULL);
    golden_path("ca.pem", ca_path, sizeof ca_path);
    a->conf->ca.cert = ca_path;
    a->is_live = true;
    a->feed.leaves = (struct feed_leaves){.at_ms = FAKE_NOW * 1000ll,
                                          .cached = 41,
                                          .max = 1024,
                                          .hits = 70945,
                                          .signed_count = 17,
                                          .rows = leaves,
                                          .count = 4};
    a->feed.trust = (struct feed_trust){.at_ms = FAKE_NOW * 1000ll,
                                        .ok_24h = 61204,
                                        .refused_24h = 8,
                                        .rows = refusals,
                                        .count = 2};
    void *state = view_create(&trust_view, a);
    assert_non_null(state);
    view_update(&trust_view, state);
    return state;
}

static void finish(struct app *a, void *state)
{
    view_destroy(&trust_view, state);
    fake_close(a);
}

static void ca_and_leaves_are_shown(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    assert_screens(&a, &trust_view, state, "trust");
    finish(&a, state);
}

static void who_refuses_is_told_with_cause_and_next_step(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    assert_true(trust_view.key(state, 't'));
    assert_screens(&a, &trust_view, state, "trust-refusals");
    assert_true(trust_view.key(state, TERM_ENTER));
    assert_non_null(strstr(a.text, "10.8.3.41"));
    assert_non_null(strstr(a.text, "curl -fsS http://10.0.0.5:3128/setup"));
    assert_true(trust_view.key(state, 't'));
    assert_true(trust_view.key(state, TERM_ENTER));
    assert_non_null(strstr(a.text, "generativelanguage.googleapis.com"));
    finish(&a, state);
}

static void without_the_daemon_its_figures_are_grey_or_dashes(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    a.is_live = false;
    assert_screen(&a, &trust_view, state, "trust-down");
    assert_int_equal(a.canvas.cells[7 * 80 + 8].style, STYLE_DIM);
    a.feed = (struct feed){0};
    assert_screens(&a, &trust_view, state, "trust-never");
    finish(&a, state);
}

static void nothing_yet_is_said_in_words(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    a.feed.leaves.count = a.feed.trust.count = 0;
    a.feed.leaves.cached = a.feed.leaves.hits = a.feed.leaves.signed_count = 0;
    a.feed.trust.ok_24h = a.feed.trust.refused_24h = 0;
    assert_screen(&a, &trust_view, state, "trust-empty");
    assert_true(trust_view.key(state, 't'));
    assert_screen(&a, &trust_view, state, "trust-nobody");
    finish(&a, state);
}

static void a_missing_ca_is_said_with_what_makes_one(void **unused)
{
    static char nowhere[] = "/nonexistent/ca.pem";
    struct app a;
    char *text;
    void *state = view_of(&a);
    a.conf->ca.cert = nowhere;
    assert_screen(&a, &trust_view, state, "trust-missing");
    a.yes = NULL;
    assert_true(trust_view.key(state, 'R'));
    assert_null(a.yes);
    assert_non_null(strstr(a.said, "there is no CA"));
    a.conf->ca.cert = ca_path; /* it came back */
    text = fake_text(&a, &trust_view, state);
    assert_non_null(strstr(text, "credswap CA on prod-eu-1"));
    free(text);
    finish(&a, state);
}

static void a_file_that_changed_is_read_again(void **unused)
{
    struct app a;
    char path[] = "/tmp/credswap-ca-XXXXXX", pem[4096];
    void *state = view_of(&a);
    struct trust *v = state;
    int fd = mkstemp(path), from = open(ca_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(from, pem, sizeof pem);
    close(from);
    assert_true(n > 0 && write(fd, "junk", 4) == 4);
    a.conf->ca.cert = path;
    view_update(&trust_view, state);
    assert_string_equal(v->problem, "the CA's file holds no certificate");
    assert_true(pwrite(fd, pem, (size_t)n, 0) == n);
    view_update(&trust_view, state);
    assert_string_equal(v->problem, "");
    assert_int_equal(v->facts.certificates, 1);
    assert_true(pwrite(fd, pem, (size_t)n, n) == n);
    view_update(&trust_view, state);
    assert_int_equal(v->facts.certificates, 2);
    close(fd);
    unlink(path);
    finish(&a, state);
}

static void the_ca_is_replaced_only_behind_a_typed_word(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    struct trust *v = state;
    assert_true(trust_view.key(state, 'R'));
    assert_string_equal(a.word, "rotate");
    assert_string_equal(a.ran, "");
    a.yes(a.state);
    assert_string_equal(a.ran, "ca rotate");
    v->is_rotating = true;
    a.ran[0] = '\0';
    assert_true(trust_view.key(state, 'R'));
    assert_string_equal(a.word, "finish");
    assert_string_equal(a.ran, "");
    a.yes(a.state);
    assert_string_equal(a.ran, "ca rotate --finish");
    finish(&a, state);
}

static void pages_come_from_subcommands(void **unused)
{
    static const struct {
        int key;
        const char *words;
    } pages[] = {{'f', "ca show"}, {'e', "ca export"}, {'i', "env"}};
    struct app a;
    void *state = view_of(&a);
    for (size_t i = 0; i < 3; i++) {
        assert_true(trust_view.key(state, pages[i].key));
        assert_string_equal(a.ran, pages[i].words);
    }
    assert_false(trust_view.key(state, 's'));
    finish(&a, state);
}

static void the_time_left_is_judged(void **unused)
{
    char words[96];
    struct ca_info i = {.not_before = FAKE_NOW - 100, .not_after = FAKE_NOW + 91 * 86400};
    assert_int_equal(trust_validity(&i, FAKE_NOW, words), STYLE_PLAIN);
    assert_string_equal(words, "91 d left");
    assert_int_equal(trust_validity(&i, FAKE_NOW + 2 * 86400, words), STYLE_WARN);
    assert_string_equal(words, "89 d left: R replaces it");
    assert_int_equal(trust_validity(&i, FAKE_NOW + 80 * 86400, words), STYLE_FAIL);
    assert_string_equal(words, "11 d left: R replaces it, do it now");
    assert_int_equal(trust_validity(&i, i.not_after, words), STYLE_FAIL);
    assert_string_equal(words, "EXPIRED: R replaces it");
    assert_int_equal(trust_validity(&i, FAKE_NOW - 200, words), STYLE_FAIL);
    assert_non_null(strstr(words, "NOT VALID YET"));
}

static void no_size_is_too_small(void **unused)
{
    struct app a;
    void *state = view_of(&a);
    draw_all_sizes(&a, &trust_view, state);
    trust_view.key(state, 't');
    draw_all_sizes(&a, &trust_view, state);
    finish(&a, state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ca_and_leaves_are_shown),
        cmocka_unit_test(who_refuses_is_told_with_cause_and_next_step),
        cmocka_unit_test(without_the_daemon_its_figures_are_grey_or_dashes),
        cmocka_unit_test(nothing_yet_is_said_in_words),
        cmocka_unit_test(a_missing_ca_is_said_with_what_makes_one),
        cmocka_unit_test(a_file_that_changed_is_read_again),
        cmocka_unit_test(the_ca_is_replaced_only_behind_a_typed_word),
        cmocka_unit_test(pages_come_from_subcommands),
        cmocka_unit_test(the_time_left_is_judged),
        cmocka_unit_test(no_size_is_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
