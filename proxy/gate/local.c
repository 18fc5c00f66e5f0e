/* Requests that are no CONNECT: a page of our own, gateway mode (a provider's path under our own
 * name), or an http:// request to relay. */
#include "gate/gate_internal.h"

#include "auth/find.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "gate/target.h"
#include "stub/pages.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define PAGE_MAX (512u * 1024u)

static void send_json(struct stream *st, const struct sbuf *body)
{
    const struct field no_store = {SLICE("cache-control"), SLICE("no-store"), FIELD_OTHER};
    answer_send(st, &(struct answer){200, "application/json", sbuf_slice(body), &no_store, 1});
}

/* Only whom the placeholder names, and only that client's own figures. */
static void serve_me(struct gate *g, struct stream *st, const struct head *h)
{
    struct auth_result a;
    auth_find(h, g->gates->svc->snapshot, g->gates->svc->key, NULL, clock_wall_s(), API_NONE, &a);
    if (!a.client || a.status) {
        answer_refusal(st, a.status ? a.status : 401, "http_request_denied",
                       "Send your client token (Authorization: Bearer ...) to see its limits.\n",
                       false);
        return;
    }
    struct sbuf body;
    sbuf_init(&body, 8192);
    g->gates->client_status(g->gates, a.client, &body);
    send_json(st, &body);
    sbuf_finish(&body);
}

static void serve_status(struct gate *g, struct stream *st)
{
    struct sbuf body;
    sbuf_init(&body, 16384);
    g->gates->caller_status(g->gates, &g->peer, &body);
    send_json(st, &body);
    sbuf_finish(&body);
}

/* RFC 9110 section 13.1.2, where "W/" makes no difference; our own marks hold no comma. */
static bool knows(const struct head *h, struct slice etag)
{
    const struct field *f = head_get_name(h, SLICE("if-none-match"));
    struct slice rest = f ? f->value : (struct slice){NULL, 0}, one;
    while (slice_next(&rest, ',', &one)) {
        one = slice_trim(one);
        if (slice_starts(one, SLICE("W/")))
            one = slice_sub(one, 2, one.n);
        if (slice_eq(one, etag) || slice_eq(one, SLICE("*")))
            return true;
    }
    return false;
}

/* Of what the page says: scripts change with the configuration, "/" with the browser. */
static struct slice make_etag(const struct sbuf *body, char buf[36])
{
    unsigned char sum[SHA256_DIGEST_LENGTH];
    static const char hex[] = "0123456789abcdef";
    SHA256((const unsigned char *)body->p, body->n, sum);
    buf[0] = buf[33] = '"';
    for (size_t i = 0; i < 16; i++) {
        buf[1 + 2 * i] = hex[sum[i] >> 4];
        buf[2 + 2 * i] = hex[sum[i] & 15];
    }
    return slice_make(buf, 34);
}

static void serve_rendered(struct gate *g, struct stream *st, const struct head *h)
{
    struct page_facts facts;
    const char *type = NULL;
    const struct field *agent = head_get(h, FIELD_USER_AGENT);
    g->gates->page_facts(g->gates, &facts);
    struct sbuf body;
    sbuf_init(&body, PAGE_MAX);
    enum err e = page_render(head_path_only(h), head_query(h),
                             agent ? agent->value : (struct slice){"", 0}, &facts, &body, &type);
    char text[36];
    struct slice etag = e == ERR_OK ? make_etag(&body, text) : SLICE("");
    const struct field extra[3] = {{SLICE("etag"), etag, FIELD_OTHER},
                                   {SLICE("cache-control"), SLICE("max-age=3600"), FIELD_OTHER},
                                   {SLICE("vary"), SLICE("user-agent"), FIELD_OTHER}};
    if (e == ERR_OK && knows(h, etag))
        answer_send(st, &(struct answer){304, NULL, {"", 0}, extra, 3});
    else if (e == ERR_OK)
        answer_send(st, &(struct answer){200, type, sbuf_slice(&body), extra, 3});
    else
        answer_refusal(st, e == ERR_NOT_FOUND ? 404 : 503, "http_request_denied",
                       e == ERR_NOT_FOUND ? "No such page here. See / for what there is.\n"
                                          : "This page cannot be made right now.\n",
                       false);
    sbuf_finish(&body);
}

static void serve_page(struct gate *g, struct stream *st, const struct head *h)
{
    struct slice path = head_path_only(h);
    figure_add(&g->gates->counters->pages, 1);
    if (!slice_eq(h->method, SLICE("GET")) && !slice_eq(h->method, SLICE("HEAD")))
        answer_refusal(st, 405, "http_request_denied", "Pages here are for GET.\n", true);
    else if (slice_eq(path, SLICE("/me")))
        serve_me(g, st, h);
    else if (slice_eq(path, SLICE("/status")))
        serve_status(g, st);
    else
        serve_rendered(g, st, h);
}

/* ---- gateway mode ---- */

/* How this client reaches us: "http://proxy:3128" as it wrote it, and the prefix before PATH. */
static struct slice own_address(struct gate *g, const struct head *h, struct slice path, char *buf,
                                size_t size)
{
    char text[HOST_MAX + 16];
    struct authority a;
    struct page_facts facts;
    const struct field *host = head_get(h, FIELD_HOST);
    bool is_tls = g->pump.link->ssl != NULL;
    struct slice prefix = slice_sub(h->path, 0, (size_t)(path.p - h->path.p));
    if (host && authority_parse(host->value, is_tls ? 443 : 80, &a) == ERR_OK) {
        authority_print(&a, text, sizeof text);
    } else {
        g->gates->page_facts(g->gates, &facts);
        snprintf(text, sizeof text, strchr(facts.proxy_host, ':') ? "[%s]:%u" : "%s:%u",
                 facts.proxy_host, (unsigned)facts.proxy_port);
    }
    int n = snprintf(buf, size, "%s://%s%.*s", is_tls ? "https" : "http", text, SLICE_FMT(prefix));
    return slice_make(buf, n > 0 && (size_t)n < size ? (size_t)n : 0);
}

static void begin_gateway(struct gate *g, struct stream *st, const struct head *h, bool end,
                          const char *host, struct slice path)
{
    char own[HOST_MAX + 64];
    struct front_info info = {.conn_id = g->info.conn_id, .peer = g->peer_text, .path = path};
    if (slice_starts(path, SLICE("/upload/"))) /* its answer says where the upload goes on */
        info.gateway = own_address(g, h, path, own, sizeof own);
    if (authority_parse(slice_of(host), 443, &info.authority) != ERR_OK) {
        answer_refusal(st, 404, "http_request_denied", "No such location.\n", false);
        return;
    }
    g->info.authority = info.authority;
    g->stream = NULL;
    exchange_begin(g->gates->svc, &info, st, h, end);
}

static void serve_origin(struct gate *g, struct stream *st, const struct head *h, bool end)
{
    char host[HOST_MAX + 1];
    struct slice path;
    if (metadata_is_path(g, h->path))
        metadata_serve(g, st, h);
    else if (gateway_target(h, host, sizeof host, &path))
        begin_gateway(g, st, h, end, host, path);
    else
        serve_page(g, st, h);
}

/* ---- http:// through us ---- */

static void begin_relay(struct gate *g, struct stream *st, const struct head *h, bool end,
                        const struct authority *a)
{
    struct decision d = policy_decide(g->gates->policy, g->gates->svc->snapshot, a);
    if (d.verdict == VERDICT_SWAP) {
        answer_refusal(st, 403, "http_request_denied",
                       "This host is served over https only: a token never goes out in clear.\n",
                       true);
        return;
    }
    if (auth_is_known_host(h->authority, g->gates->svc->snapshot, g->gates->svc->key)) {
        answer_refusal(st, 400, "http_request_error", "A client token is no host name.\n", true);
        return;
    }
    const char *required = g->gates->conf->policy.proxy_auth;
    const struct field *f = head_get(h, FIELD_PROXY_AUTHORIZATION);
    const struct snap_client *c = NULL;
    if (strcmp(required, "required") == 0 &&
        (!f || auth_basic(f->value, g->gates->svc->snapshot, g->gates->svc->key, clock_wall_s(), &c,
                          NULL) != ERR_OK)) {
        answer_refusal(st, 407, "http_request_denied", "This proxy wants credentials.\n", false);
        return;
    }
    if (d.verdict == VERDICT_DENY) {
        figure_add(&g->gates->counters->connects_denied, 1);
        answer_refusal(st, 403, "http_request_denied",
                       "This host or port is not allowed through this proxy.\n", true);
        return;
    }
    struct front_info info = {
        .conn_id = g->info.conn_id, .peer = g->peer_text, .authority = *a, .is_plain = true};
    g->stream = NULL;
    exchange_begin(g->gates->svc, &info, st, h, end);
}

void local_begin(struct gate *g, struct stream *st, const struct head *h, bool end)
{
    struct authority a;
    g->stream = st;
    switch (local_target(h, &a)) {
    case TARGET_ORIGIN:
        serve_origin(g, st, h, end);
        break;
    case TARGET_NOT_HTTP:
        answer_refusal(st, 400, "http_request_error",
                       "Use CONNECT for https; only http:// is relayed by its whole address.\n",
                       true);
        break;
    case TARGET_OTHER_HOST:
        answer_refusal(st, 421, "http_request_error", "Host and target name different hosts.\n",
                       true);
        break;
    case TARGET_BAD:
        answer_refusal(st, 400, "http_request_error", "This request is malformed.\n", true);
        break;
    case TARGET_OK:
        if (g->gates->is_self(g->gates, &a))
            serve_origin(g, st, h, end);
        else if (metadata_is_host(g, &a))
            metadata_serve(g, st, h);
        else
            begin_relay(g, st, h, end, &a);
        break;
    }
}
