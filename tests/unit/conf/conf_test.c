/* The configuration file: what is read, what is refused and where it says so. */
#include "base/check.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct conf *load_ok(const char *text)
{
    struct conf *c = NULL;
    struct errmsg msg = {{0}};
    enum err e = conf_parse(slice_of(text), "t.conf", &c, &msg);
    if (e)
        fail_msg("refused: %s", msg.text);
    return c;
}

static void refuses(const char *text, const char *says)
{
    struct conf *c = NULL;
    struct errmsg msg = {{0}};
    enum err e = conf_parse(slice_of(text), "t.conf", &c, &msg);
    if (e != ERR_CONFIG)
        fail_msg("accepted: %s", text);
    assert_null(c);
    if (!strstr(msg.text, says))
        fail_msg("'%s' does not say '%s' for: %s", msg.text, says, text);
}

static void defaults_are_those_of_the_manual(void **state)
{
    struct conf *c = load_ok("");
    assert_int_equal(c->listen.proxy.n, 1);
    assert_string_equal(c->listen.proxy.v[0], "127.0.0.1:3128");
    assert_int_equal(c->listen.proxy_tls.n, 0);
    assert_string_equal(c->listen.admin, "127.0.0.1:9180");
    assert_string_equal(c->listen.socket, "data/run/credswap.sock");
    assert_int_equal(c->run.workers, 0);
    assert_int_equal(c->run.drain_timeout, 30);
    assert_int_equal(c->run.seed, 0);
    assert_string_equal(c->store.url, "sqlite:data/run/credswap.db");
    assert_string_equal(c->store_path, "data/run/credswap.db");
    assert_int_equal(c->ca.leaf_days, 7);
    assert_int_equal(c->upstream.read_timeout, 300);
    assert_true(c->upstream.http2);
    assert_string_equal(c->oauth.token_uri_allow.v[0], "https://oauth2.googleapis.com/token");
    assert_int_equal(c->retry.replay_total_bytes, 67108864);
    assert_string_equal(c->policy.clients.v[0], "private");
    assert_string_equal(c->policy.ports.v[0], "443");
    assert_int_equal(c->policy.swap_domains.n, 2);
    assert_string_equal(c->policy.swap_domains.v[1], "anthropic.com");
    assert_int_equal(c->limits.connections, 20000);
    assert_string_equal(c->log.file, "-");
    assert_string_equal(c->path, "t.conf");
    conf_destroy(c);
}

static void the_manual_page_example_is_read(void **state)
{
    struct conf *c = load_ok("listen {\n"
                             "  proxy = {\"127.0.0.1:3190\"}   # a comment {\n"
                             "  proxy_tls = {}\n"
                             "}\n"
                             "run { workers = 2             # 0: one for each core\n"
                             "  drain_timeout = 7 }         # s\n"
                             "// another\n/* and { \" one\n more */\n"
                             "upstream {\n"
                             "  connect_to = {\"*-aiplatform.googleapis.com:443:127.0.0.1:9\",\n"
                             "    # inside a list\n"
                             "    \"tunnel.test:443:[::1]:9\", }\n"
                             "  http2 = false\n"
                             "}\n"
                             "policy { clients = \"any\"\r\n ports = {443, 9444} }");
    assert_string_equal(c->listen.proxy.v[0], "127.0.0.1:3190");
    assert_int_equal(c->run.workers, 2);
    assert_int_equal(c->run.drain_timeout, 7);
    assert_int_equal(c->upstream.connect_to.n, 2);
    assert_false(c->upstream.http2);
    assert_string_equal(c->policy.clients.v[0], "any");
    assert_string_equal(c->policy.ports.v[1], "9444");
    conf_destroy(c);
}

static void what_the_parser_would_swallow_is_refused(void **state)
{
    refuses("run {\n workers = 2\n", "t.conf:1: section 'run' is not closed");
    refuses("policy {\n ports = {443\n", "t.conf:2: this list is not closed");
    refuses("run { workers = 2 }\n}\n", "t.conf:2: a closing brace");
    refuses("run { workers = 2 }\ngarbage", "t.conf:2:");
    refuses("run { workers = 2 }\n*", "t.conf:2: unexpected '*'");
    refuses("upstream {\n connect_to = {*.a.test:443:b.test:1}\n}", "t.conf:2: unexpected '*'");
    refuses("run {\n workers = 1\n workers = 2\n}", "t.conf:3: run.workers stands at line 2");
    refuses("run { workers = 1 }\nrun { seed = 2 }", "t.conf:2: section 'run' stands at line 1");
    refuses("policy {\n ports = {1}\n ports = {2}\n}", "t.conf:3: policy.ports stands at line 2");
    refuses("policy { ports += {2} }", "unexpected '+'");
    refuses("include(\"/etc/passwd\")", "t.conf:1: unexpected '('");
    refuses("log {\n file = \"${HOME}/x\"\n}", "t.conf:2: ${...} in a string");
    refuses("log {\n file = ${HOME}\n}", "t.conf:2: unexpected '$'");
    refuses("log { file = \"abc\n", "t.conf:1: this string is not closed");
    refuses("log { file = 'abc' }", "strings stand in double quotes");
    refuses("log { file = \"a\\x41\" }", "may follow a backslash");
    refuses("log { file = \"a\tb\" }", "control character");
    refuses("/* never closed\n\n", "t.conf:1: this comment is not closed");
    refuses("run { workers 2 }", "t.conf:1:");
    refuses("run { workers = }", "t.conf:1:");
    refuses("run { = 2 }", "unexpected '='");
    refuses("workers = 2", "unexpected '='");
    refuses("run", "t.conf:1:");
    refuses("policy { ports = {443 444} }", "t.conf:1:");
    refuses("policy { ports = {{443}} }", "unexpected '{'");
    refuses("\"run\" { }", "a string where a name belongs");
    refuses("listen|proxy { }", "unexpected '|'");
    struct conf *c = NULL;
    struct errmsg msg;
    assert_int_equal(conf_parse(SLICE("run { }\0run { }"), "t.conf", &c, &msg), ERR_CONFIG);
}

static void unknown_names_and_wrong_types_are_refused_with_their_line(void **state)
{
    refuses("policy {\n  tunel = \"allow\"\n}",
            "t.conf:2: no such key 'tunel' in section 'policy'");
    refuses("\nrnu { }", "t.conf:2: no such section 'rnu'");
    refuses("run { workers = \"2\" }", "run.workers: a value of this kind stands without quotes");
    refuses("run { workers = many }", "'many' is no decimal number");
    refuses("run { workers = 010 }", "'010' is no decimal number");
    refuses("run { workers = 0x10 }", "no decimal number");
    refuses("run { workers = 1s }", "no decimal number");
    refuses("run { workers = {1} }", "t.conf:1:");
    refuses("run { seed = 99999999999999999999 }", "t.conf:1:");
    refuses("log { file = 3 }", "log.file: a string needs double quotes");
    refuses("policy { tunnel = allow }", "policy.tunnel: a string needs double quotes");
    refuses("upstream { http2 = 1 }", "t.conf:1:");
    refuses("upstream { http2 = \"true\" }", "without quotes");
    refuses("policy { tunnel = {\"allow\"} }", "t.conf:1:");
}

static void ranges_are_checked(void **state)
{
    refuses("ca {\n\n leaf_days = 31 }", "t.conf:3: ca.leaf_days must be from 1 to 30 days");
    refuses("ca { leaf_days = 0 }", "ca.leaf_days");
    refuses("run { workers = -1 }", "run.workers must be from 0 to 256");
    refuses("policy { ports = {443, 0} }", "policy.ports must be from 1 to 65535");
    refuses("policy { ports = {65536} }", "policy.ports");
    refuses("retry { attempts = 0 }", "retry.attempts");
    refuses("limits { header_bytes = 1 }", "limits.header_bytes");
    refuses("retry { replay_bytes = 100\n replay_total_bytes = 10 }", "more than");
}

static void forms_are_checked(void **state)
{
    static const char *const bad[] = {
        "listen { proxy = {\"3128\"} }",
        "listen { proxy = {\"127.0.0.1\"} }",
        "listen { proxy = {\"127.1:3128\"} }",
        "listen { proxy = {\"0x7f000001:3128\"} }",
        "listen { proxy = {\"127.0.0.1:65536\"} }",
        "listen { proxy = {\"127.0.0.1:+1\"} }",
        "listen { proxy = {\"::1:3128\"} }",
        "listen { proxy = {\"*:3128\"} }",
        "listen { proxy = {\"\"} }",
        "listen { admin = \"nowhere\" }",
        "listen { advertise = \"host:0\" }",
        "store { url = \"postgres:x\" }",
        "store { url = \"sqlite:\" }",
        "store { url = \"data/x.db\" }",
        "ca { cert = \"\" }",
        "upstream { ca_file = \"/nonexistent/ca.pem\" }",
        "upstream { connect_to = {\"a.test:443:b.test\"} }",
        "upstream { connect_to = {\"a.test:443:b.test:0\"} }",
        "upstream { connect_to = {\"a*.test:443:b.test:1\"} }",
        "upstream { connect_to = {\"a.test:443::\"} }",
        "upstream { connect_to = {\"a.test:443:b.test:1:2\"} }",
        "upstream { dns = {\"dns.test\"} }",
        "upstream { parent_proxy = \"https://p.test:1\" }",
        "upstream { parent_proxy = \"http://p.test\" }",
        "oauth { token_uri_allow = {\"http://oauth2.googleapis.com/token\"} }",
        "oauth { token_uri_allow = {\"https://\"} }",
        "policy { clients = \"public\" }",
        "policy { clients = {\"10.0.0.1/8\"} }",
        "policy { clients = {\"10.0.0.0/33\"} }",
        "policy { allow_networks = {\"private\"} }",
        "policy { allow_networks = {\"10.0.0.0/08\"} }",
        "policy { deny_networks = {\"10/8\"} }",
        "policy { swap_domains = {\"com\"} }",
        "policy { swap_domains = {\".googleapis.com\"} }",
        "policy { swap_domains = {\"*.googleapis.com\"} }",
        "policy { tunnel = \"yes\" }",
        "policy { proxy_auth = \"on\" }",
        "log { level = \"INFO\" }",
        "log { format = \"text\" }",
        "log { file = \"\" }",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refuses(bad[i], "t.conf:1: ");
    conf_destroy(load_ok("listen { proxy = {\"[::]:0\", \"localhost:1\"}\n admin = \"\" }\n"
                         "upstream { dns = {\"9.9.9.9\", \"[::1]:53\", \"::1\"}\n"
                         " parent_proxy = \"http://u:p@ss@proxy.corp.test:8080/\"\n"
                         " connect_to = {\"::127.0.0.1:9\", \"a.test:443::8443\"} }\n"
                         "policy { clients = {\"10.0.0.0/8\", \"::1\"} }"));
}

static void a_missing_named_file_is_an_error(void **state)
{
    struct conf *c = NULL;
    struct errmsg msg;
    assert_int_equal(conf_load("/nonexistent/x.conf", &c, &msg), ERR_CONFIG);
    assert_non_null(strstr(msg.text, "/nonexistent/x.conf: "));
    assert_int_equal(conf_load("/tmp", &c, &msg), ERR_CONFIG);
    assert_int_equal(conf_load("", &c, &msg), ERR_CONFIG);
    assert_null(c);
    refuses("\nupstream {\n ca_file = \"/nonexistent/ca.pem\" }",
            "t.conf:3: upstream.ca_file names");
}

static char tmp_path[] = "/tmp/credswap-conf-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(tmp_path);
    assert_true(fd >= 0);
    static const char text[] = "run { workers = 3\n drain_timeout = 9 }\n"
                               "upstream { parent_proxy = \"http://bob:hunter2@p.test:8080\" }\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    return 0;
}

static int drop_file(void **state)
{
    unsetenv("CREDSWAP_RUN_WORKERS");
    unsetenv("CREDSWAP_LISTEN_PROXY");
    unsetenv("CREDSWAP_CONFIG");
    return unlink(tmp_path);
}

static char *dump(const struct conf *c, bool origin, bool as_json)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    conf_dump(c, f, origin, as_json);
    fclose(f);
    return text;
}

static void the_environment_wins_over_the_file(void **state)
{
    struct conf *c = NULL;
    struct errmsg msg;
    setenv("CREDSWAP_CONFIG", tmp_path, 1);
    setenv("CREDSWAP_RUN_WORKERS", "5", 1);
    setenv("CREDSWAP_LISTEN_PROXY", "0.0.0.0:3128, [::]:3128", 1);
    assert_int_equal(conf_load(NULL, &c, &msg), ERR_OK);
    assert_int_equal(c->run.workers, 5);
    assert_int_equal(c->run.drain_timeout, 9);
    assert_int_equal(c->listen.proxy.n, 2);
    assert_string_equal(c->listen.proxy.v[1], "[::]:3128");
    char *text = dump(c, true, false), line[128];
    assert_non_null(strstr(text, "run.workers = 5  # CREDSWAP_RUN_WORKERS\n"));
    snprintf(line, sizeof line, "run.drain_timeout = 9  # %s:2\n", tmp_path);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "ca.leaf_days = 7  # default\n"));
    assert_non_null(strstr(text, "upstream.parent_proxy = \"http://bob:***@p.test:8080\""));
    assert_null(strstr(text, "hunter2"));
    free(text);
    text = dump(c, true, true);
    assert_non_null(strstr(text, "\"run.workers\": {\"value\": 5, \"origin\": "));
    assert_null(strstr(text, "hunter2"));
    free(text);
    conf_destroy(c);
    c = NULL;
    setenv("CREDSWAP_RUN_WORKERS", "5x", 1);
    assert_int_equal(conf_load(tmp_path, &c, &msg), ERR_CONFIG);
    assert_non_null(strstr(msg.text, "CREDSWAP_RUN_WORKERS: run.workers must be"));
    setenv("CREDSWAP_RUN_WORKERS", "", 1);
    assert_int_equal(conf_load(tmp_path, &c, &msg), ERR_CONFIG);
    setenv("CREDSWAP_RUN_WORKERS", "1", 1);
    setenv("CREDSWAP_LISTEN_PROXY", "nowhere", 1);
    assert_int_equal(conf_load(tmp_path, &c, &msg), ERR_CONFIG);
    assert_non_null(strstr(msg.text, "CREDSWAP_LISTEN_PROXY: "));
}

static void the_sample_and_the_dump_mean_the_defaults(void **state)
{
    char *sample = NULL;
    size_t n;
    FILE *f = open_memstream(&sample, &n);
    assert_non_null(f);
    conf_print_sample(f);
    fclose(f);
    struct conf *a = load_ok(""), *b = load_ok(sample);
    char *x = dump(a, false, false), *y = dump(b, false, false);
    assert_string_equal(x, y);
    assert_null(strstr(x, "default"));
    free(x);
    free(y);
    free(sample);
    conf_destroy(a);
    conf_destroy(b);
    size_t count;
    const struct conf_option *o = conf_options(&count);
    for (size_t i = 0; i < count; i++)
        assert_true(o[i].help[0] != '\0');
}

static void a_refusal_leaves_the_next_reading_whole(void **state)
{
    refuses("log { file = \"abc", "not closed");
    refuses("run { workers = 2 x", "t.conf:1");
    conf_destroy(load_ok("run { workers = 2 }"));
}

static void no_memory_is_an_error_and_leaks_nothing(void **state)
{
    for (long n = 1; n < 400; n++) {
        struct conf *c = NULL;
        struct errmsg msg;
        mem_fail_after(n, 0);
        enum err e = conf_parse(SLICE("policy { ports = {1, 2} }"), "t.conf", &c, &msg);
        mem_fail_after(0, 0);
        if (e == ERR_OK) {
            conf_destroy(c);
            return;
        }
        assert_null(c);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_manual),
        cmocka_unit_test(the_manual_page_example_is_read),
        cmocka_unit_test(what_the_parser_would_swallow_is_refused),
        cmocka_unit_test(unknown_names_and_wrong_types_are_refused_with_their_line),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(forms_are_checked),
        cmocka_unit_test(a_missing_named_file_is_an_error),
        cmocka_unit_test_setup_teardown(the_environment_wins_over_the_file, make_file, drop_file),
        cmocka_unit_test(the_sample_and_the_dump_mean_the_defaults),
        cmocka_unit_test(a_refusal_leaves_the_next_reading_whole),
        cmocka_unit_test(no_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
