/* Verdicts, addresses and connect_to. */
#include "base/check.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "policy/policy.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The defaults that policy reads. */
static struct conf base_conf(void)
{
    static char *proxy[] = {"127.0.0.1:3128"}, *clients[] = {"private"}, *ports[] = {"443", "8443"},
                *domains[] = {"googleapis.com", "Anthropic.com"}, *deny[] = {"private"};
    struct conf c = {0};
    c.listen.proxy = (struct conf_list){proxy, 1};
    c.policy.clients = (struct conf_list){clients, 1};
    c.policy.ports = (struct conf_list){ports, 2};
    c.policy.swap_domains = (struct conf_list){domains, 2};
    c.policy.deny_networks = (struct conf_list){deny, 1};
    c.policy.tunnel = "";
    c.policy.proxy_auth = "optional";
    return c;
}

static struct policy *make(const struct conf *c)
{
    struct policy *p = NULL;
    struct errmsg msg;
    if (policy_create(c, &p, &msg) != ERR_OK)
        fail_msg("%s", msg.text);
    return p;
}

static struct authority at(const char *text)
{
    struct authority a;
    if (authority_parse(slice_of(text), 0, &a) != ERR_OK)
        fail_msg("bad authority %s", text);
    return a;
}

static const struct snap_rule rules[] = {
    {.id = 1, .pattern = {"api.anthropic.com", 17}, .action = RULE_SWAP, .api = API_ANTHROPIC},
    {.id = 2, .pattern = {"evil.test", 9}, .action = RULE_SWAP, .api = API_GEMINI},
    {.id = 3, .pattern = {"storage.googleapis.com", 22}, .action = RULE_TUNNEL},
    {.id = 4, .pattern = {"no.googleapis.com", 17}, .action = RULE_DENY},
    {.id = 5, .pattern = {"odd.googleapis.com", 18}, .action = RULE_SWAP},
    {.id = 6,
     .pattern = {"*-aiplatform.googleapis.com", 27},
     .action = RULE_SWAP,
     .api = API_VERTEX},
    {.id = 7, .pattern = {"*.corp.test", 11}, .action = RULE_TUNNEL},
};
static const struct snapshot snap = {.rules = rules, .rule_count = ARRAY_LEN(rules)};

static void decides(const struct policy *p, const char *host, enum verdict v, const char *reason)
{
    struct authority a = at(host);
    struct decision d = policy_decide(p, &snap, &a);
    if (d.verdict != v || strcmp(d.reason, reason) != 0)
        fail_msg("%s: verdict %d (%s)", host, (int)d.verdict, d.reason);
}

static void rules_ports_and_domains_decide(void **state)
{
    struct conf c = base_conf();
    struct policy *p = make(&c);
    decides(p, "API.anthropic.com.:443", VERDICT_SWAP, "rule");
    decides(p, "api.anthropic.com:80", VERDICT_DENY, "port");
    decides(p, "evil.test:443", VERDICT_DENY, "swap_domains");
    decides(p, "storage.googleapis.com:8443", VERDICT_TUNNEL, "rule");
    decides(p, "storage.googleapis.com:22", VERDICT_DENY, "port");
    decides(p, "no.googleapis.com:443", VERDICT_DENY, "rule");
    decides(p, "odd.googleapis.com:443", VERDICT_DENY, "api");
    decides(p, "us-central1-aiplatform.googleapis.com:443", VERDICT_SWAP, "rule");
    decides(p, "a.b-aiplatform.googleapis.com:443", VERDICT_TUNNEL, "default");
    decides(p, "x.y.corp.test:443", VERDICT_TUNNEL, "rule");
    decides(p, "github.com:443", VERDICT_TUNNEL, "default");
    decides(p, "8.8.8.8:443", VERDICT_TUNNEL, "default");
    decides(p, "127.0.0.1:443", VERDICT_DENY, "address");
    decides(p, "[::ffff:10.0.0.1]:443", VERDICT_DENY, "address");
    policy_destroy(p);
}

static void tunnels_are_open_to_loopback_or_known_callers_only(void **state)
{
    struct conf c = base_conf();
    char *open[] = {"127.0.0.1:3128", "0.0.0.0:3129"}, *local[] = {"localhost:1", "[::1]:2"};
    struct policy *p;
    c.listen.proxy = (struct conf_list){local, 2};
    p = make(&c);
    decides(p, "github.com:443", VERDICT_TUNNEL, "default");
    policy_destroy(p);
    c.listen.proxy_tls = (struct conf_list){open, 2};
    p = make(&c);
    decides(p, "github.com:443", VERDICT_DENY, "default");
    decides(p, "x.corp.test:443", VERDICT_TUNNEL, "rule");
    policy_destroy(p);
    c.policy.proxy_auth = "required";
    p = make(&c);
    decides(p, "github.com:443", VERDICT_TUNNEL, "default");
    policy_destroy(p);
    c.policy.tunnel = "list";
    p = make(&c);
    decides(p, "github.com:443", VERDICT_DENY, "default");
    policy_destroy(p);
    c.policy.proxy_auth = "off";
    c.policy.tunnel = "allow";
    p = make(&c);
    decides(p, "github.com:443", VERDICT_TUNNEL, "default");
    policy_destroy(p);
}

static void patterns_match_whole_labels(void **state)
{
    static const struct {
        const char *pattern, *host;
        bool is_match;
    } t[] = {
        {"a.test", "a.test", true},
        {"a.test", "b.a.test", false},
        {"*.a.test", "b.a.test", true},
        {"*.a.test", "c.b.a.test", true},
        {"*.a.test", "a.test", false},
        {"*.a.test", "xa.test", false},
        {"*-a.test", "b-a.test", true},
        {"*-a.test", "c.b-a.test", false},
        {"*-a.test", "-a.test", false},
        {"*", "anything", true},
        {"*a.test", "ba.test", false},
        {"b*.test", "ba.test", false},
        {"", "a", false},
        {"**", "a", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        if (rule_matches(slice_of(t[i].pattern), slice_of(t[i].host)) != t[i].is_match)
            fail_msg("%s on %s", t[i].pattern, t[i].host);
}

static void swap_domains_end_at_a_dot(void **state)
{
    struct conf c = base_conf();
    struct policy *p = make(&c);
    assert_true(policy_is_swap_domain(p, SLICE("googleapis.com")));
    assert_true(policy_is_swap_domain(p, SLICE("a.b.googleapis.com")));
    assert_true(policy_is_swap_domain(p, SLICE("api.anthropic.com")));
    assert_false(policy_is_swap_domain(p, SLICE("evilgoogleapis.com")));
    assert_false(policy_is_swap_domain(p, SLICE("googleapis.com.evil.test")));
    assert_false(policy_is_swap_domain(p, SLICE("com")));
    assert_false(policy_is_swap_domain(p, SLICE("")));
    policy_destroy(p);
}

static struct sockaddr_storage addr(const char *text, uint16_t port)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
    if (inet_pton(AF_INET, text, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        return ss;
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
        fail_msg("bad address %s", text);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    return ss;
}

static bool may_dial(const struct policy *p, const char *text, uint16_t port)
{
    struct sockaddr_storage ss = addr(text, port);
    return policy_may_dial(p, (struct sockaddr *)&ss);
}

static void special_networks_are_never_dialled(void **state)
{
    static const char *const denied[] = {
        "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "10.0.0.1", "172.16.0.1",
        "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
        "100.127.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "168.63.129.16",
        /* IPv6 */
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:169.254.169.254", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::", "2002:0808:0808::1", "2001::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:db8::1", "2001:10::1", "100::1", "3fff::1", "4000::1", "2a00::5efe:127.0.0.1",
        "2a00::200:5efe:10.0.0.1", "5f00::1"};
    static const char *const allowed[] = {
        "8.8.8.8",         "1.1.1.1",           "172.32.0.1",
        "172.15.255.255",  "100.63.255.255",    "100.128.0.1",
        "192.167.255.255", "198.17.255.255",    "198.20.0.0",
        "223.255.255.255", "11.0.0.0",          "126.255.255.255",
        "128.0.0.1",       "2a00:1450:4001::1", "2600::1",
        "::ffff:8.8.8.8",  "64:ff9b::8.8.8.8",  "2a00::5efe:8.8.8.8",
        "2001:200::1"};
    struct conf c = base_conf();
    struct policy *p = make(&c);
    for (size_t i = 0; i < ARRAY_LEN(denied); i++)
        if (may_dial(p, denied[i], 443))
            fail_msg("dials %s", denied[i]);
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        if (!may_dial(p, allowed[i], 443))
            fail_msg("does not dial %s", allowed[i]);
    struct sockaddr un = {.sa_family = AF_UNIX};
    assert_false(policy_may_dial(p, &un));
    policy_destroy(p);
}

static void explicit_denial_beats_exception_beats_private(void **state)
{
    struct conf c = base_conf();
    char *deny[] = {"private", "10.1.0.0/16", "8.8.4.0/24"};
    char *allow[] = {"10.0.0.0/8", "::1", "0.0.0.0/0"};
    c.policy.deny_networks = (struct conf_list){deny, 3};
    c.policy.allow_networks = (struct conf_list){allow, 2};
    struct policy *p = make(&c);
    assert_true(may_dial(p, "10.2.0.1", 443));
    assert_true(may_dial(p, "::ffff:10.2.0.1", 443));
    assert_true(may_dial(p, "64:ff9b::10.2.0.1", 443));
    assert_false(may_dial(p, "10.1.0.1", 443));
    assert_false(may_dial(p, "::ffff:10.1.0.1", 443));
    assert_false(may_dial(p, "64:ff9b::10.1.0.1", 443));
    assert_false(may_dial(p, "8.8.4.4", 443));
    assert_true(may_dial(p, "8.8.8.8", 443));
    assert_true(may_dial(p, "::1", 443));
    assert_false(may_dial(p, "127.0.0.1", 443));
    policy_destroy(p);
    /* Not even everything makes an address out of none. */
    c.policy.allow_networks = (struct conf_list){allow, 3};
    p = make(&c);
    assert_true(may_dial(p, "127.0.0.1", 443));
    assert_false(may_dial(p, "0.0.0.0", 443));
    assert_false(may_dial(p, "224.0.0.1", 443));
    policy_destroy(p);
    c.policy.deny_networks.n = c.policy.allow_networks.n = 0;
    p = make(&c);
    assert_true(may_dial(p, "127.0.0.1", 443));
    assert_false(may_dial(p, "255.255.255.255", 443));
    policy_destroy(p);
}

static void own_listeners_are_not_dialled(void **state)
{
    struct conf c = base_conf();
    c.policy.deny_networks.n = 0;
    struct policy *p = make(&c);
    struct sockaddr_storage self = addr("127.0.0.1", 3128), any = addr("0.0.0.0", 3129);
    struct sockaddr un = {.sa_family = AF_UNIX};
    assert_int_equal(policy_add_self(p, (struct sockaddr *)&self), ERR_OK);
    assert_int_equal(policy_add_self(p, (struct sockaddr *)&any), ERR_OK);
    assert_int_equal(policy_add_self(p, &un), ERR_OK);
    assert_false(may_dial(p, "127.0.0.1", 3128));
    assert_false(may_dial(p, "::ffff:127.0.0.1", 3128));
    assert_true(may_dial(p, "127.0.0.2", 3128));
    assert_false(may_dial(p, "127.0.0.1", 3129));
    assert_true(may_dial(p, "127.0.0.1", 3130));
    policy_destroy(p);
}

static bool may_connect(const struct policy *p, const char *text)
{
    struct sockaddr_storage ss = addr(text, 50000);
    return policy_may_connect(p, (struct sockaddr *)&ss);
}

static void callers_are_private_by_default(void **state)
{
    struct conf c = base_conf();
    struct policy *p = make(&c);
    static const char *const yes[] = {"127.0.0.1", "10.1.1.1", "172.20.0.1",        "192.168.0.1",
                                      "::1",       "fd00::1",  "::ffff:192.168.0.1"};
    static const char *const no[] = {"8.8.8.8", "169.254.1.1", "100.64.0.1",
                                     "fe80::1", "2600::1",     "::ffff:8.8.8.8"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_true(may_connect(p, yes[i]));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_false(may_connect(p, no[i]));
    struct sockaddr un = {.sa_family = AF_UNIX};
    assert_false(policy_may_connect(p, &un));
    policy_destroy(p);
    char *some[] = {"8.8.8.0/24", "2600::/16"}, *any[] = {"any"};
    c.policy.clients = (struct conf_list){some, 2};
    p = make(&c);
    assert_true(may_connect(p, "8.8.8.8") && may_connect(p, "2600::1"));
    assert_false(may_connect(p, "127.0.0.1") || may_connect(p, "8.8.9.8"));
    policy_destroy(p);
    c.policy.clients = (struct conf_list){any, 1};
    p = make(&c);
    assert_true(may_connect(p, "8.8.4.4") && may_connect(p, "fe80::1"));
    policy_destroy(p);
}

static const char *dials(const struct policy *p, const char *text)
{
    static char buf[HOST_MAX + 10];
    struct authority a = at(text);
    const struct connect_to *to = policy_connect_to(p, &a);
    return to ? authority_print(&to->to, buf, sizeof buf) : "-";
}

static void connect_to_is_as_curls(void **state)
{
    struct conf c = base_conf();
    char *list[] = {"a.test:443:127.0.0.1:9443",
                    "a.test::[::1]:1",
                    "*-aiplatform.GoogleApis.com:443:127.0.0.1:2",
                    "*.b.test:443:c.test:3",
                    "d.test:443::8443",
                    "e.test:443:f.test:",
                    ":4444:127.0.0.1:4",
                    "127.0.0.1:443:127.0.0.1:9"};
    c.upstream.connect_to = (struct conf_list){list, ARRAY_LEN(list)};
    struct policy *p = make(&c);
    assert_string_equal(dials(p, "a.test:443"), "127.0.0.1:9443");
    assert_string_equal(dials(p, "a.test:8443"), "[::1]:1");
    assert_string_equal(dials(p, "us-aiplatform.googleapis.com:443"), "127.0.0.1:2");
    assert_string_equal(dials(p, "aiplatform.googleapis.com:443"), "-");
    assert_string_equal(dials(p, "x.y.b.test:443"), "c.test:3");
    assert_string_equal(dials(p, "b.test:443"), "-");
    assert_string_equal(dials(p, "d.test:443"), "d.test:8443");
    assert_string_equal(dials(p, "e.test:443"), "f.test:443");
    assert_string_equal(dials(p, "any.test:4444"), "127.0.0.1:4");
    assert_string_equal(dials(p, "any.test:443"), "-");
    decides(p, "127.0.0.1:443", VERDICT_TUNNEL, "default");
    decides(p, "127.0.0.2:443", VERDICT_DENY, "address");
    policy_destroy(p);
    static const char *const bad[] = {
        "a.test:443:b.test", "*::b.test:",          "::b.test:", "*:443::1",
        "a.test:x:b.test:1", "a.test:443:0x7f.1:1", ""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct errmsg msg;
        list[0] = (char *)(uintptr_t)bad[i];
        if (policy_create(&c, &p, &msg) != ERR_CONFIG)
            fail_msg("accepted %s", bad[i]);
    }
}

static void no_memory_leaks_nothing(void **state)
{
    struct conf c = base_conf();
    char *list[] = {"a.test:443:127.0.0.1:9443"};
    c.upstream.connect_to = (struct conf_list){list, 1};
    for (long n = 1;; n++) {
        struct policy *p = NULL;
        mem_fail_after(n, 0);
        enum err e = policy_create(&c, &p, NULL);
        mem_fail_after(0, 0);
        if (e == ERR_OK) {
            policy_destroy(p);
            break;
        }
        assert_null(p);
    }
    policy_destroy(NULL);
}

static bool answers(const struct conf *c, const struct snapshot *s, const char *authority)
{
    struct policy *p = make(c);
    struct authority a = at(authority);
    struct decision d = policy_decide(p, s, &a);
    bool is_ours = policy_answers_tokens(p, s, &a, &d);
    policy_destroy(p);
    return is_ours;
}

static void token_hosts_are_ours_only_while_somebody_needs_them(void **state)
{
    static const struct snap_rule own[] = {
        {.id = 1, .pattern = {"www.googleapis.com", 18}, .action = RULE_DENY},
        {.id = 2, .pattern = {"oauth2.googleapis.com", 21}, .action = RULE_TUNNEL},
    };
    static const struct snap_rule swaps[] = {
        {.id = 1, .pattern = {"*.googleapis.com", 16}, .action = RULE_SWAP, .api = API_GEMINI}};
    static char *other[] = {"anthropic.com"};
    struct snapshot s = snap;
    struct conf c = base_conf();
    c.policy.virtual_accounts = true;
    assert_false(answers(&c, &s, "oauth2.googleapis.com:443"));
    s.virtual_count = 1;
    assert_true(answers(&c, &s, "oauth2.googleapis.com:443"));
    assert_true(answers(&c, &s, "WWW.googleapis.com:443"));
    assert_false(answers(&c, &s, "oauth2.googleapis.com:8443"));
    assert_false(answers(&c, &s, "oauth2.googleapis.com:80"));
    assert_false(answers(&c, &s, "storage.googleapis.com:443"));
    assert_false(answers(&c, &s, "oauth2.googleapis.com.evil.test:443"));
    c.policy.tunnel = "list"; /* our own are answered, the rest is not let through */
    assert_true(answers(&c, &s, "oauth2.googleapis.com:443"));
    s.rules = own;
    s.rule_count = ARRAY_LEN(own);
    assert_true(answers(&c, &s, "oauth2.googleapis.com:443"));
    assert_false(answers(&c, &s, "www.googleapis.com:443"));
    s.rules = swaps;
    s.rule_count = 1;
    assert_false(answers(&c, &s, "oauth2.googleapis.com:443"));
    s.rule_count = 0;
    c.policy.swap_domains = (struct conf_list){other, 1};
    assert_false(answers(&c, &s, "oauth2.googleapis.com:443"));
    c = base_conf();
    assert_false(answers(&c, &s, "oauth2.googleapis.com:443"));
}

static void only_listed_balancers_speak_for_others(void **state)
{
    static char *nets[] = {"10.1.0.0/16", "fd00::/8"};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct conf c = base_conf();
    struct policy *p = make(&c);
    inet_pton(AF_INET, "10.1.2.3", &in.sin_addr);
    assert_false(policy_is_balancer(p, (struct sockaddr *)&in));
    policy_destroy(p);
    c.listen.proxy_protocol = (struct conf_list){nets, 2};
    p = make(&c);
    assert_true(policy_is_balancer(p, (struct sockaddr *)&in));
    inet_pton(AF_INET6, "::ffff:10.1.2.3", &six.sin6_addr);
    assert_true(policy_is_balancer(p, (struct sockaddr *)&six));
    inet_pton(AF_INET6, "fd00::1", &six.sin6_addr);
    assert_true(policy_is_balancer(p, (struct sockaddr *)&six));
    inet_pton(AF_INET, "10.2.0.1", &in.sin_addr);
    assert_false(policy_is_balancer(p, (struct sockaddr *)&in));
    policy_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_ports_and_domains_decide),
        cmocka_unit_test(tunnels_are_open_to_loopback_or_known_callers_only),
        cmocka_unit_test(patterns_match_whole_labels),
        cmocka_unit_test(swap_domains_end_at_a_dot),
        cmocka_unit_test(special_networks_are_never_dialled),
        cmocka_unit_test(explicit_denial_beats_exception_beats_private),
        cmocka_unit_test(own_listeners_are_not_dialled),
        cmocka_unit_test(callers_are_private_by_default),
        cmocka_unit_test(connect_to_is_as_curls),
        cmocka_unit_test(no_memory_leaks_nothing),
        cmocka_unit_test(token_hosts_are_ours_only_while_somebody_needs_them),
        cmocka_unit_test(only_listed_balancers_speak_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
