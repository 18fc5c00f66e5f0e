/* Each word that the proxy's sources note as a reason has a sentence for people. The sources are
 * read: whoever adds a word adds its sentence (admin-tui/views/why.c), or, when it is no reason,
 * its place in `others`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "views/why.h"

#include <dirent.h>
#include <stdio.h>

static const char *const rooms[] = {"proxy/exchange", "proxy/gate",     "proxy/auth",
                                    "proxy/token",    "proxy/upstream", "proxy/net",
                                    "proxy/tls",      "proxy/http",     "common/policy"};

/* Words in those sources that are no reasons: fields, phases, kinds of objects, settings, others'
 * names. */
static const char others[] =
    " "
    "access_token allow api_error authentication_error broker cached_content "
    "connection_refused connection_timeout cs_ destination_ip_prohibited "
    "destination_not_found destination_unavailable direct dns_error drained end error "
    "error_description expires_in file_name file_uri h2 http http_protocol_error "
    "http_request_denied http_request_error http_response_timeout https internal_failure "
    "invalid_request_error link nested not_found_error off operation_name overloaded_error "
    "permission_error proxy_internal_error rate_limit_error reply required responses_file "
    "send server_error setup stream swap temporarily_unavailable timeout_error "
    "tls_certificate_error token token_failed token_type tried tunnel uri ";

#define CAUSE_MAX 72 /* behind "why: " */
#define NEXT_MAX 71

static int words_seen;
static char missing[4096];

static bool is_other(struct slice word)
{
    char text[80];
    snprintf(text, sizeof text, " %.*s ", SLICE_FMT(word));
    return strstr(others, text) != NULL;
}

static bool is_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '_' ||
              (i && s.p[i] >= '0' && s.p[i] <= '9')))
            return false;
    return s.n > 1 && s.n < 64;
}

/* A name for a slice or for the log, or one of the constant names with their length. */
static bool is_name(struct slice before, const char *after)
{
    while (before.n && strchr(" \n", before.p[before.n - 1]))
        before.n--;
    size_t from = before.n < 24 ? 0 : before.n - 24;
    struct slice near = slice_sub(before, from, before.n);
    after += strspn(after, " \n");
    size_t digits = *after == ',' ? strspn(after + 1, " 0123456789") : 0;
    bool has_length = digits > 1 && after[1 + digits] == '}';
    size_t open = near.n;
    while (open > 0 && near.p[open - 1] != '(')
        open--;
    struct slice call = slice_sub(near, 0, open);
    return has_length ||
           (open == near.n &&
            (slice_ends(call, SLICE("SLICE(")) || slice_search(call, SLICE("KV_")) < call.n)) ||
           slice_search(near, SLICE("LOG(")) < near.n;
}

static void take_word(struct slice word, const char *file)
{
    if (is_other(word))
        return;
    words_seen++;
    const struct why *w = why_word(word);
    if (w) { /* each is one line of a screen of 80 columns */
        assert_in_range(strlen(w->cause), 1, CAUSE_MAX);
        assert_in_range(strlen(w->next), 1, NEXT_MAX);
        return;
    }
    size_t n = strlen(missing);
    snprintf(missing + n, sizeof missing - n, "%.*s (%s) ", SLICE_FMT(word), file);
}

/* Where the literal, comment or directive that begins at P ends. */
static const char *end_of(const char *p, const char *begin)
{
    if (p[0] == '/' && p[1] == '*') {
        const char *end = strstr(p + 2, "*/");
        return end ? end + 2 : p + strlen(p);
    }
    if (p[0] == '/' && p[1] == '/')
        return p + strcspn(p, "\n");
    if (*p == '#' && (p == begin || p[-1] == '\n'))
        return p + strcspn(p, "\n");
    if (*p == '"' || *p == '\'') {
        char quote = *p++;
        for (; *p && *p != quote; p++)
            p += *p == '\\' && p[1];
        return *p ? p + 1 : p;
    }
    return p + 1;
}

static void read_source(const char *text, const char *file)
{
    for (const char *p = text; *p;) {
        const char *end = end_of(p, text);
        struct slice literal = {p + 1, (size_t)(end - p) >= 2 ? (size_t)(end - p) - 2 : 0};
        if (*p == '"' && is_word(literal) && !is_name(slice_make(text, (size_t)(p - text)), end))
            take_word(literal, file);
        p = end;
    }
}

static void read_file(const char *path, const char *name)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    assert_true(n < sizeof text - 1);
    fclose(f);
    read_source(text, name);
}

static void read_room(const char *room)
{
    char dir[512], path[800];
    snprintf(dir, sizeof dir, "%s/%s", getenv("CREDSWAP_SOURCE_DIR"), room);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (slice_ends(slice_of(e->d_name), SLICE(".c"))) {
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            read_file(path, e->d_name);
        }
    closedir(d);
}

static void each_word_of_the_sources_has_a_sentence(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
        read_room(rooms[i]);
    assert_true(words_seen > 150); /* else they were not found at all */
    if (*missing)
        fail_msg("no sentence in why.c for: %s", missing);
}

static void a_new_word_would_be_missed(void **state)
{
    missing[0] = '\0';
    read_source("/* \"in_comment\" */ f(x, '\"', \"known_not\"); SLICE(\"a_field\");\n"
                "KV_Z(\"a_key\", x); LOG(LOG_INFO, \"a_line\"); {\"a_header\", 8};\n"
                "fail_with(x, REPLY_PATH, y ? \"brand_new\"\n : \"client_gone\", -1);",
                "x.c");
    assert_string_equal(missing, "known_not (x.c) brand_new (x.c) ");
    missing[0] = '\0';
}

static void every_end_has_a_cause_and_a_next_step(void **state)
{
    assert_null(why_request(200, SLICE("")));
    assert_null(why_request(302, SLICE("")));
    for (int64_t status = 400; status < 600; status++) {
        const struct why *w = why_request(status, SLICE(""));
        assert_true(w && *w->cause && *w->next);
    }
    assert_non_null(why_request(0, SLICE("")));
    const struct why *strange = why_request(502, SLICE("no_such_word"));
    assert_non_null(strstr(strange->cause, "does not know"));
    assert_ptr_not_equal(why_request(401, SLICE("none")), why_request(401, SLICE("unknown")));
    assert_non_null(why_word(SLICE("ended_by_operator"))); /* of the server's commands */
    assert_null(why_word(SLICE("client_gone connection")));
    assert_null(why_word(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_word_of_the_sources_has_a_sentence),
                                       cmocka_unit_test(a_new_word_would_be_missed),
                                       cmocka_unit_test(every_end_has_a_cause_and_a_next_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
