/* The templates say @NAME@; what goes in comes from a narrow alphabet, so no quoting of any shell
 * can be left. */
#include "cli/env.h"

#include "base/check.h"
#include "base/embed.h"
#include "conf/conf.h"

#include <stdio.h>

extern const struct embedded_file console_pages[];
extern const size_t console_pages_count;

/* Variables that replace a client's trust store, and those that only add to it. */
#define BASE_VARS                                                                                  \
    "SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT AWS_CA_BUNDLE "       \
    "HTTPLIB2_CA_CERTS CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE GRPC_DEFAULT_SSL_ROOTS_FILE_PATH "       \
    "CARGO_HTTP_CAINFO NIX_SSL_CERT_FILE"
#define EXTRA_VARS "NODE_EXTRA_CA_CERTS DENO_CERT"
#define PROXY_VARS                                                                                 \
    "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY no_proxy NO_PROXY NODE_USE_ENV_PROXY"

static const struct {
    const char *name, *file, *inner;
} shells[] = {
    [ENV_SH] = {"sh", "env.sh", NULL},
    [ENV_FISH] = {"fish", "env.fish", NULL},
    [ENV_POWERSHELL] = {"powershell", "env.ps1", NULL},
    [ENV_DOTENV] = {"dotenv", NULL, NULL},
    [ENV_GITHUB] = {"github", "env.github", "env.sh"},
    [ENV_GITLAB] = {"gitlab", "env.gitlab", "env.sh"},
};

bool env_shell_from(const char *text, enum env_shell *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (strcmp(shells[i].name, text) == 0) {
            *ret = (enum env_shell)i;
            return true;
        }
    return false;
}

/* ---- the address ---- */

static bool split(struct slice s, struct slice *ret_host, struct slice *ret_port)
{
    size_t cut = s.n;
    while (cut > 0 && s.p[cut - 1] != ':')
        cut--;
    if (cut < 2)
        return false;
    *ret_host = slice_sub(s, 0, cut - 1);
    *ret_port = slice_sub(s, cut, s.n);
    return ret_port->n > 0;
}

enum err env_proxy(const struct conf *conf, const char *hostname, char ret[300], struct errmsg *msg)
{
    bool is_tls = conf->listen.proxy.n == 0 && conf->listen.proxy_tls.n > 0;
    const struct conf_list *list = is_tls ? &conf->listen.proxy_tls : &conf->listen.proxy;
    const char *address = conf->listen.advertise;
    if (!*address)
        address = list->n ? list->v[0] : "";
    struct slice host, port;
    if (!split(slice_of(address), &host, &port))
        return err_set(msg, ERR_CONFIG,
                       "no address that clients could use; set listen.proxy or listen.advertise");
    bool is_any = slice_eq(host, SLICE("0.0.0.0")) || slice_eq(host, SLICE("[::]"));
    if (is_any)
        host = slice_of(hostname);
    bool is_bare_v6 = host.n && host.p[0] != '[' && slice_find(host, ':', 0) < host.n;
    snprintf(ret, 300, "http%s://%s%.*s%s:%.*s", is_tls ? "s" : "", is_bare_v6 ? "[" : "",
             (int)(host.n < 250 ? host.n : 250), host.p, is_bare_v6 ? "]" : "",
             (int)(port.n < 6 ? port.n : 6), port.p);
    return ERR_OK;
}

/* ---- scripts ---- */

#define VALUES 7
struct values {
    const char *names[VALUES];
    struct slice v[VALUES];
};

static const struct embedded_file *page(const char *name)
{
    for (size_t i = 0; i < console_pages_count; i++)
        if (strcmp(console_pages[i].name, name) == 0)
            return &console_pages[i];
    return NULL;
}

/* TEXT with each known @NAME@ replaced; any other @ stays. */
static void expand(struct slice text, const struct values *values, struct sbuf *out)
{
    while (text.n > 0) {
        size_t at = slice_find(text, '@', 0), end = slice_find(text, '@', at + 1);
        struct slice name = slice_sub(text, at + 1, end);
        size_t i = VALUES;
        if (at < text.n && end < text.n)
            for (i = 0; i < VALUES; i++)
                if (slice_eq(name, slice_of(values->names[i])))
                    break;
        sbuf_add(out, text.p, i < VALUES || at == text.n ? at : at + 1);
        if (i < VALUES)
            sbuf_add_slice(out, values->v[i]);
        text = slice_sub(text, i < VALUES ? end + 1 : at + 1, text.n);
    }
}

/* Base64 and dashes only: of the file nothing but its certificates goes in, without the last line
 * end. */
static bool certificates(struct slice pem, struct sbuf *out)
{
    static const struct slice begin = {"-----BEGIN CERTIFICATE-----", 27},
                              end = {"-----END CERTIFICATE-----", 25};
    static const char legal[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n";
    for (;;) {
        size_t from = slice_search(pem, begin);
        pem = slice_sub(pem, from, pem.n);
        size_t to = slice_search(pem, end);
        if (pem.n == 0 || to == pem.n)
            return out->n > 0 && pem.n == 0;
        struct slice inside = slice_sub(pem, begin.n, to);
        for (size_t i = 0; i < inside.n; i++)
            if (!memchr(legal, inside.p[i], sizeof legal - 1))
                return false;
        sbuf_adds(out, out->n ? "\n" : "");
        sbuf_add(out, pem.p, to + end.n);
        pem = slice_sub(pem, to + end.n, pem.n);
    }
}

static bool is_plain(const char *z)
{
    static const char legal[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:/-_+~[]";
    return *z && strspn(z, legal) == strlen(z);
}

static enum err render_script(const struct env_facts *f, enum env_shell shell, struct sbuf *out)
{
    struct sbuf pem, inner;
    struct values v = {{"PEM", "PROXY", "VERSION", "BASE_VARS", "EXTRA_VARS", "PROXY_VARS", "ENV"},
                       {{NULL, 0},
                        slice_of(f->proxy),
                        SLICE(CREDSWAP_VERSION),
                        SLICE(BASE_VARS),
                        SLICE(EXTRA_VARS),
                        SLICE(PROXY_VARS),
                        {NULL, 0}}};
    const struct embedded_file *t = page(shells[shell].file);
    CHECK(t != NULL);
    sbuf_init(&pem, 1 << 16);
    sbuf_init(&inner, 1 << 18);
    enum err e = certificates(f->ca_pem, &pem) ? ERR_OK : ERR_INVALID;
    v.v[0] = sbuf_slice(&pem);
    if (e == ERR_OK && shells[shell].inner) {
        const struct embedded_file *i = page(shells[shell].inner);
        CHECK(i != NULL);
        expand(slice_make(i->bytes, i->size), &v, &inner);
        v.v[6] = sbuf_slice(&inner);
    }
    if (e == ERR_OK)
        expand(slice_make(t->bytes, t->size), &v, out);
    e = e == ERR_OK && (inner.failed || out->failed) ? ERR_NOMEM : e;
    sbuf_finish(&pem);
    sbuf_finish(&inner);
    return e;
}

/* ---- plain lines, for this machine ---- */

static void add_lines(struct sbuf *out, const char *names, const char *value)
{
    struct slice rest = slice_of(names), name;
    while (slice_next(&rest, ' ', &name))
        if (name.n)
            sbuf_addf(out, "%.*s=%s\n", (int)name.n, name.p, value);
}

static enum err render_dotenv(const struct env_facts *f, struct sbuf *out)
{
    if (!is_plain(f->ca_path) || !is_plain(f->bundle_path))
        return ERR_INVALID;
    sbuf_addf(out, "# make the bundle once: cat /etc/ssl/certs/ca-certificates.crt %s > %s\n",
              f->ca_path, f->bundle_path);
    add_lines(out, "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY", f->proxy);
    add_lines(out, "no_proxy NO_PROXY", "localhost,127.0.0.1,::1");
    add_lines(out, "NODE_USE_ENV_PROXY", "1");
    add_lines(out, EXTRA_VARS, f->ca_path);
    add_lines(out, BASE_VARS, f->bundle_path);
    return out->failed ? ERR_NOMEM : ERR_OK;
}

enum err env_render(const struct env_facts *f, enum env_shell shell, struct sbuf *out)
{
    if (!is_plain(f->proxy))
        return ERR_INVALID;
    return shell == ENV_DOTENV ? render_dotenv(f, out) : render_script(f, shell, out);
}
