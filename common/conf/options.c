/* The one option table. A new key is one line here and one member of struct conf; parsing, the
 * environment, `config show --origin` and the sample file follow from it. */
#include "conf/options.h"

#include "base/check.h"
#include "conf/conf.h"
#include "conf/values.h"

#define AT(section, key) #section, #key
#define IN(section, key) offsetof(struct conf, section.key)
#define INT(section, key, lo, hi, unit, def, help)                                                 \
    {                                                                                              \
        AT(section, key), OPTION_INT, IN(section, key), lo, hi, unit, def, help, NULL              \
    }
#define BOOL(section, key, def, help)                                                              \
    {                                                                                              \
        AT(section, key), OPTION_BOOL, IN(section, key), 0, 0, "", def, help, NULL                 \
    }
#define STR(section, key, check, def, help)                                                        \
    {                                                                                              \
        AT(section, key), OPTION_STR, IN(section, key), 0, 0, "", def, help, check                 \
    }
#define LIST(section, key, check, def, help)                                                       \
    {                                                                                              \
        AT(section, key), OPTION_STR_LIST, IN(section, key), 0, 0, "", def, help, check            \
    }
#define INTS(section, key, lo, hi, def, help)                                                      \
    {                                                                                              \
        AT(section, key), OPTION_INT_LIST, IN(section, key), lo, hi, "", def, help, NULL           \
    }

#define GIB (INT64_C(1) << 30)

static const struct conf_option options[] = {
    LIST(listen, proxy, check_listen, "127.0.0.1:3128",
         "HTTP proxy: CONNECT, absolute-form http://, its own pages"),
    LIST(listen, proxy_tls, check_listen, "",
         "the same inside TLS (HTTPS_PROXY=https://...), certificate from our CA"),
    LIST(listen, proxy_protocol, check_clients, "",
         "balancers that say whom they speak for (PROXY protocol v1, v2) and must: CIDRs, "
         "\"private\" or \"any\"; empty: none"),
    STR(listen, admin, check_listen_or_empty, "127.0.0.1:9180",
        "/healthz /readyz /status /metrics; empty: none"),
    STR(listen, socket, NULL, "data/run/credswap.sock",
        "the console's live feed and commands; 0660, peer uid goes into the audit"),
    STR(listen, advertise, check_advertise, "",
        "host:port that clients use, for /env.sh and invitations; empty: the first proxy listener"),

    INT(run, workers, 0, 256, "", "0", "worker threads; 0: one for each core"),
    INT(run, drain_timeout, 0, 86400, "s", "30", "time that exchanges get to finish after TERM"),
    INT(run, seed, 0, INT64_MAX, "", "0", "of the account choice, for repeatable tests; 0: random"),

    STR(store, url, check_store_url, "sqlite:data/run/credswap.db",
        "the database; its folder is made 0700, a wider mode is refused"),
    STR(store, master_key_file, NULL, "data/run/master.key",
        "32 random bytes, 0600; seals keys and tokens. Else $CREDENTIALS_DIRECTORY/master.key"),

    STR(ca, cert, check_not_empty, "certs/ca.pem", "the CA certificate that clients trust"),
    STR(ca, key, check_not_empty, "data/run/ca.key", "its private key, 0600"),
    INT(ca, leaf_days, 1, 30, "days", "7", "life of the certificates that we mint"),

    STR(upstream, ca_file, check_ca_file, "",
        "trust roots for upstreams and the token endpoint; empty: the system's"),
    LIST(upstream, connect_to, check_connect_to, "",
         "HOST:PORT:DIALHOST:DIALPORT, as curl's --connect-to; SNI, Host and verification keep "
         "HOST"),
    LIST(upstream, dns, check_dns, "", "name servers; empty: the system's"),
    STR(upstream, parent_proxy, check_parent_proxy, "",
        "http://[user:pass@]host:port of a company proxy; *_proxy variables are ignored"),
    INT(upstream, connect_timeout, 1, 600, "s", "10", "to reach a provider, TLS included"),
    INT(upstream, read_timeout, 1, 86400, "s", "300",
        "silence, not total: a stream may last hours"),
    INT(upstream, keepalive, 0, 86400, "s", "65", "how long an idle connection is kept"),
    BOOL(upstream, http2, "true", "HTTP/2 to providers that offer it"),

    INT(oauth, early_refresh, 0, 3500, "s", "300", "a token is renewed so long before it ends"),
    INT(oauth, timeout, 1, 300, "s", "10", "for one answer of the token endpoint"),
    LIST(oauth, token_uri_allow, check_token_uri, "https://oauth2.googleapis.com/token",
         "the only addresses that signed assertions may be sent to"),

    INT(retry, attempts, 1, 20, "", "3", "accounts tried for one request"),
    INT(retry, replay_bytes, 0, GIB, "bytes", "1048576",
        "a request body up to this size can be sent again"),
    INT(retry, replay_total_bytes, 0, 64 * GIB, "bytes", "67108864", "for all exchanges together"),

    LIST(policy, clients, check_clients, "private",
         "who may connect at all: \"private\" (loopback, RFC 1918, RFC 4193), \"any\", or CIDRs"),
    STR(policy, tunnel, check_tunnel, "",
        "allow, list or deny for hosts without a rule. Empty: allow while every listener is on "
        "loopback or proxy_auth is required, else list"),
    INTS(policy, ports, 1, 65535, "443", "the only ports that CONNECT may name"),
    LIST(policy, swap_domains, check_swap_domain, "googleapis.com,anthropic.com",
         "the only domains a real token may ever be sent to, whatever the store says"),
    LIST(policy, deny_networks, check_deny_network, "private",
         "never dialled, in every spelling, after resolving; \"private\" is every special network"),
    LIST(policy, allow_networks, check_allow_network, "", "exceptions to deny_networks, CIDR"),
    STR(policy, proxy_auth, check_proxy_auth, "optional", "off, optional or required"),
    BOOL(policy, virtual_accounts, "true",
         "answer the token endpoint for clients with a service-account file; its hosts are "
         "intercepted while there is one"),
    BOOL(policy, metadata_server, "false",
         "answer Google's metadata server (its token, too) for clients with proxy credentials"),

    INT(limits, connections, 1, 10000000, "", "20000", "client connections"),
    INT(limits, connections_per_client, 1, 10000000, "", "512", "of them from one address"),
    INT(limits, header_bytes, 1024, 1048576, "bytes", "65536", "of one message head"),
    INT(limits, header_count, 8, 256, "", "128", "fields of one message head"),
    INT(limits, header_timeout, 1, 3600, "s", "10", "for a whole message head"),
    INT(limits, idle_timeout, 1, 86400, "s", "120", "for a client connection between requests"),

    STR(log, level, check_level, "info", "error, warn, info, debug or trace"),
    STR(log, format, check_format, "json", "json or logfmt"),
    STR(log, file, check_not_empty, "-", "- is stderr"),
};

const struct conf_option *conf_options(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(options);
    return options;
}
