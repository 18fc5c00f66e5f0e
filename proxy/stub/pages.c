/* Gate hands us requests that name the proxy itself; we answer from templates in pages/ (built into
 * the program). Templates say @NAME@; every value that goes in is checked against a narrow alphabet
 * first, so that no quoting of any shell can be escaped from. */
#include "stub/pages.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "base/check.h"
#include "base/embed.h"

extern const struct embedded_file credswap_pages[];
extern const size_t credswap_pages_count;

/* Variables that replace a client's trust store, and those that only add to it. */
#define BASE_VARS                                                                                  \
    "SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT AWS_CA_BUNDLE "       \
    "HTTPLIB2_CA_CERTS CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE GRPC_DEFAULT_SSL_ROOTS_FILE_PATH "       \
    "CARGO_HTTP_CAINFO NIX_SSL_CERT_FILE"
#define EXTRA_VARS "NODE_EXTRA_CA_CERTS DENO_CERT"
#define PROXY_VARS                                                                                 \
    "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY no_proxy NO_PROXY NODE_USE_ENV_PROXY"

#define TEXT "text/plain; charset=utf-8"

enum {
    VALUE_MAX = 512,
    CERTS_MAX = 8
};

enum var {
    VAR_PEM,
    VAR_PROXY,
    VAR_PAC_PROXY,
    VAR_HOST,
    VAR_PORT,
    VAR_SHA256,
    VAR_VERSION,
    VAR_BASE_VARS,
    VAR_EXTRA_VARS,
    VAR_PROXY_VARS,
    VAR_PATTERNS,
    VAR_CURL_ONCE,
    VAR_CURL_THEN,
    VAR_ENV,
    VAR_COUNT
};

static const char *const var_names[VAR_COUNT] = {
    [VAR_PEM] = "PEM",
    [VAR_PROXY] = "PROXY",
    [VAR_PAC_PROXY] = "PAC_PROXY",
    [VAR_HOST] = "HOST",
    [VAR_PORT] = "PORT",
    [VAR_SHA256] = "SHA256",
    [VAR_VERSION] = "VERSION",
    [VAR_BASE_VARS] = "BASE_VARS",
    [VAR_EXTRA_VARS] = "EXTRA_VARS",
    [VAR_PROXY_VARS] = "PROXY_VARS",
    [VAR_PATTERNS] = "PATTERNS",
    [VAR_CURL_ONCE] = "CURL_ONCE",
    [VAR_CURL_THEN] = "CURL_THEN",
    [VAR_ENV] = "ENV",
};

struct values {
    struct slice v[VAR_COUNT];
    char proxy[VALUE_MAX], pac_proxy[VALUE_MAX], host[VALUE_MAX], port[8];
    struct sbuf pem, patterns;
};

static bool all_of(const char *z, const char *alphabet)
{
    return z != NULL && *z != '\0' && strspn(z, alphabet) == strlen(z);
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const struct embedded_file *template_find(const char *name)
{
    for (size_t i = 0; i < credswap_pages_count; i++)
        if (strcmp(credswap_pages[i].name, name) == 0)
            return &credswap_pages[i];
    return NULL;
}

/* Copies TEXT with each @NAME@ replaced; an @ that names nothing stays. */
static void expand(struct slice text, const struct values *values, struct sbuf *out)
{
    while (text.n > 0) {
        size_t at = slice_find(text, '@', 0);
        sbuf_add(out, text.p, at);
        text = slice_sub(text, at, text.n);
        size_t end = slice_find(text, '@', 1);
        size_t skip = text.n > 0 ? 1 : 0;
        size_t i = VAR_COUNT;
        if (end < text.n) {
            struct slice name = slice_sub(text, 1, end);
            for (i = 0; i < VAR_COUNT; i++)
                if (slice_eq(name, slice_of(var_names[i])))
                    break;
        }
        if (i < VAR_COUNT) {
            sbuf_add_slice(out, values->v[i]);
            skip = end + 1;
        } else {
            sbuf_add(out, text.p, skip);
        }
        text = slice_sub(text, skip, text.n);
    }
}

/* The certificates of ca_pem, written anew: comments or anything else in the file reach no script.
 * As DER only the first. */
static enum err certificates(struct slice ca_pem, bool as_der, struct sbuf *out)
{
    enum err e = ERR_NOMEM;
    int count = 0;
    long n = 0;
    char *bytes = NULL;
    X509 *cert = NULL;
    if (ca_pem.n == 0 || ca_pem.n > 1024 * 1024)
        return ERR_INVALID;
    BIO *in = BIO_new_mem_buf(ca_pem.p, (int)ca_pem.n);
    BIO *text = BIO_new(BIO_s_mem());
    if (in == NULL || text == NULL)
        goto out;
    while (count < CERTS_MAX && (cert = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        int written = as_der ? i2d_X509_bio(text, cert) : PEM_write_bio_X509(text, cert);
        X509_free(cert);
        if (written != 1)
            goto out;
        count++;
        if (as_der)
            break;
    }
    n = BIO_get_mem_data(text, &bytes);
    if (!as_der && n > 0 && bytes[n - 1] == '\n')
        n--; /* templates end the line themselves */
    sbuf_add(out, bytes, n > 0 ? (size_t)n : 0);
    e = count > 0 ? ERR_OK : ERR_INVALID;
out:
    ERR_clear_error();
    BIO_free(in);
    BIO_free(text);
    return e;
}

static enum err set_proxy(struct values *values, const struct page_facts *f)
{
    if (!all_of(f->proxy_host, LETTERS DIGITS ".:-_[]") || strlen(f->proxy_host) > 255)
        return ERR_INVALID;
    bool is_bare_v6 = f->proxy_host[0] != '[' && strchr(f->proxy_host, ':') != NULL;
    (void)snprintf(values->host, sizeof values->host, is_bare_v6 ? "[%s]" : "%s", f->proxy_host);
    (void)snprintf(values->port, sizeof values->port, "%u", (unsigned)f->proxy_port);
    (void)snprintf(values->proxy, sizeof values->proxy, "%s://%.260s:%s",
                   f->is_tls ? "https" : "http", values->host, values->port);
    (void)snprintf(values->pac_proxy, sizeof values->pac_proxy, "%s %.260s:%s",
                   f->is_tls ? "HTTPS" : "PROXY", values->host, values->port);
    values->v[VAR_HOST] = slice_of(values->host);
    values->v[VAR_PORT] = slice_of(values->port);
    values->v[VAR_PROXY] = slice_of(values->proxy);
    values->v[VAR_PAC_PROXY] = slice_of(values->pac_proxy);
    /* A listener inside TLS is verified only once ca.pem is there: the first fetch relies on the
     * sum alone. */
    values->v[VAR_CURL_ONCE] = slice_of(f->is_tls ? "k" : "");
    values->v[VAR_CURL_THEN] = slice_of(f->is_tls ? " --cacert \"$d/ca.pem\"" : "");
    return ERR_OK;
}

static void set_patterns(struct values *values, const struct page_facts *f)
{
    static const struct slice defaults[] = {{"*.googleapis.com", 16}, {"*.anthropic.com", 15}};
    const struct slice *patterns = f->swap_pattern_count > 0 ? f->swap_patterns : defaults;
    size_t count = f->swap_pattern_count > 0 ? f->swap_pattern_count : ARRAY_LEN(defaults);
    for (size_t i = 0; i < count; i++) {
        char name[256];
        if (!slice_copy(patterns[i], name, sizeof name) || !all_of(name, LETTERS DIGITS ".-_*"))
            continue;
        sbuf_addf(&values->patterns, "%s\"%s\"", values->patterns.n > 0 ? ", " : "", name);
    }
    values->v[VAR_PATTERNS] = sbuf_slice(&values->patterns);
}

static enum err values_init(struct values *values, const struct page_facts *f)
{
    *values = (struct values){.v = {{NULL, 0}}};
    sbuf_init(&values->pem, 64 * 1024);
    sbuf_init(&values->patterns, 256 * 1024);
    enum err e = set_proxy(values, f);
    if (e != ERR_OK)
        return e;
    set_patterns(values, f);
    bool is_plain = all_of(f->version, LETTERS DIGITS ".+~-_");
    values->v[VAR_VERSION] = slice_of(is_plain ? f->version : "");
    values->v[VAR_SHA256] = slice_of(all_of(f->ca_sha256, "abcdef" DIGITS) ? f->ca_sha256 : "");
    values->v[VAR_BASE_VARS] = SLICE(BASE_VARS);
    values->v[VAR_EXTRA_VARS] = SLICE(EXTRA_VARS);
    values->v[VAR_PROXY_VARS] = SLICE(PROXY_VARS);
    return ERR_OK;
}

static void values_finish(struct values *values)
{
    sbuf_finish(&values->pem);
    sbuf_finish(&values->patterns);
}

static void add_html(struct sbuf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        switch (text.p[i]) {
        case '&':
            sbuf_adds(out, "&amp;");
            break;
        case '<':
            sbuf_adds(out, "&lt;");
            break;
        case '>':
            sbuf_adds(out, "&gt;");
            break;
        default:
            sbuf_addc(out, text.p[i]);
        }
    }
}

/* The text page for browsers: its first line is the title, lines before an indented block are
 * headings. */
static void text_to_html(struct slice text, struct sbuf *out)
{
    struct slice title = {NULL, 0}, line;
    (void)slice_next(&text, '\n', &title);
    sbuf_adds(out,
              "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>credswap</title>\n"
              "<style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
              "pre{background:#f3f3f3;padding:.6em;overflow:auto}</style>\n<h1>");
    add_html(out, title);
    sbuf_adds(out, "</h1>\n");
    const char *open = "";
    while (slice_next(&text, '\n', &line)) {
        const char *want = line.n == 0 ? "" : slice_starts(line, SLICE("  ")) ? "pre" : "p";
        if (strcmp(open, want) != 0) {
            if (*open != '\0')
                sbuf_addf(out, "</%s>\n", open);
            if (*want != '\0')
                sbuf_addf(out, "<%s>", want);
            open = want;
        }
        add_html(out, line);
        sbuf_addc(out, '\n');
    }
    if (*open != '\0')
        sbuf_addf(out, "</%s>\n", open);
    sbuf_adds(out, "</html>\n");
}

/* PowerShell calls itself Mozilla too. */
static bool is_browser(struct slice user_agent)
{
    return slice_search(user_agent, SLICE("Mozilla/")) < user_agent.n &&
           slice_search(user_agent, SLICE("PowerShell")) == user_agent.n;
}

static enum err finish(const struct sbuf *out)
{
    if (!out->failed)
        return ERR_OK;
    return out->n >= out->max / 2 ? ERR_TOO_LARGE : ERR_NOMEM;
}

static enum err render_template(const char *name, const struct values *values, struct sbuf *out)
{
    const struct embedded_file *file = template_find(name);
    CHECK(file != NULL);
    expand(slice_make(file->bytes, file->size), values, out);
    return finish(out);
}

/* CI scripts wrap the shell script of the same kind. */
static enum err render_script(const char *name, const char *inner, const struct page_facts *f,
                              struct values *values, struct sbuf *out)
{
    struct sbuf text;
    sbuf_init(&text, 256 * 1024);
    enum err e = certificates(f->ca_pem, false, &values->pem);
    values->v[VAR_PEM] = sbuf_slice(&values->pem);
    if (e == ERR_OK && inner != NULL)
        e = render_template(inner, values, &text);
    values->v[VAR_ENV] = sbuf_slice(&text);
    if (e == ERR_OK)
        e = render_template(name, values, out);
    sbuf_finish(&text);
    return e;
}

static enum err render_setup(const struct values *values, bool as_html, struct sbuf *out)
{
    if (!as_html)
        return render_template("setup.txt", values, out);
    struct sbuf text;
    sbuf_init(&text, 256 * 1024);
    enum err e = render_template("setup.txt", values, &text);
    if (e == ERR_OK) {
        text_to_html(sbuf_slice(&text), out);
        e = finish(out);
    }
    sbuf_finish(&text);
    return e;
}

static bool wants_off(struct slice query)
{
    struct slice part;
    while (slice_next(&query, '&', &part))
        if (slice_eq(part, SLICE("off")) || slice_starts(part, SLICE("off=")))
            return true;
    return false;
}

enum page {
    PAGE_SETUP,
    PAGE_PEM,
    PAGE_DER,
    PAGE_SUM,
    PAGE_SCRIPT,
    PAGE_PAC
};

static const struct page_row {
    const char *path;
    enum page page;
    const char *content_type;
    const char *on, *on_inner, *off, *off_inner; /* templates of scripts */
} page_rows[] = {
    {"/", PAGE_SETUP, TEXT, NULL, NULL, NULL, NULL},
    {"/setup", PAGE_SETUP, TEXT, NULL, NULL, NULL, NULL},
    {"/ca.pem", PAGE_PEM, "application/x-pem-file", NULL, NULL, NULL, NULL},
    {"/ca.crt", PAGE_DER, "application/x-x509-ca-cert", NULL, NULL, NULL, NULL},
    {"/ca.sha256", PAGE_SUM, TEXT, NULL, NULL, NULL, NULL},
    {"/env.sh", PAGE_SCRIPT, TEXT, "env.sh", NULL, "env-off.sh", NULL},
    {"/env.fish", PAGE_SCRIPT, TEXT, "env.fish", NULL, "env-off.fish", NULL},
    {"/env.ps1", PAGE_SCRIPT, TEXT, "env.ps1", NULL, "env-off.ps1", NULL},
    {"/env.github", PAGE_SCRIPT, TEXT, "env.github", "env.sh", "env-off.github", "env-off.sh"},
    {"/env.gitlab", PAGE_SCRIPT, TEXT, "env.gitlab", "env.sh", "env-off.sh", NULL},
    {"/proxy.pac", PAGE_PAC, "application/x-ns-proxy-autoconfig", NULL, NULL, NULL, NULL},
};

static const struct page_row *page_find(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(page_rows); i++)
        if (slice_eq(path, slice_of(page_rows[i].path)))
            return &page_rows[i];
    return NULL;
}

enum err page_render(struct slice path, struct slice query, struct slice user_agent,
                     const struct page_facts *f, struct sbuf *body, const char **ret_content_type)
{
    const struct page_row *row = page_find(path);
    if (row == NULL)
        return ERR_NOT_FOUND;
    const char *content_type = row->content_type;
    struct values values;
    enum err e = values_init(&values, f);
    if (e != ERR_OK)
        goto out;
    switch (row->page) {
    case PAGE_SETUP: {
        bool as_html = is_browser(user_agent);
        e = render_setup(&values, as_html, body);
        content_type = as_html ? "text/html; charset=utf-8" : content_type;
        break;
    }
    case PAGE_PEM:
        sbuf_add_slice(body, f->ca_pem);
        e = finish(body);
        break;
    case PAGE_DER:
        e = certificates(f->ca_pem, true, body);
        break;
    case PAGE_SUM:
        sbuf_addf(body, "%s  ca.pem\n", f->ca_sha256);
        e = finish(body);
        break;
    case PAGE_SCRIPT: {
        bool is_off = wants_off(query);
        e = render_script(is_off ? row->off : row->on, is_off ? row->off_inner : row->on_inner, f,
                          &values, body);
        break;
    }
    case PAGE_PAC:
        e = render_template("proxy.pac", &values, body);
        break;
    }
out:
    values_finish(&values);
    if (e == ERR_OK)
        *ret_content_type = content_type;
    return e;
}
