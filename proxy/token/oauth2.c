/* POST /token. libcurl speaks HTTP and TLS; libevent tells it when. */
#include "token/oauth2.h"

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "conf/conf.h"
#include "token/answer.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#define CONNECTIONS_KEPT 4
#define GRANT "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="

struct oauth2 {
    const struct conf *conf;
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    struct curl_slist *headers;
    struct list calls;
};

struct oauth2_call {
    struct list link;
    struct oauth2 *o;
    CURL *easy;
    struct curl_slist *connect_to;
    char host[256]; /* whom the certificate must name */
    struct sbuf form, body;
    struct oauth2_result result;
    oauth2_cb cb;
    void *arg;
};

/* ---- connect_to ---- */

/* Cuts the next field up to a colon; an IPv6 literal stands in brackets. */
static bool next_field(struct slice *rest, struct slice *ret)
{
    if (!rest->p || rest->n == 0 || rest->p[0] != '[')
        return slice_next(rest, ':', ret);
    size_t end = slice_find(*rest, ']', 0);
    if (end == rest->n || (end + 1 < rest->n && rest->p[end + 1] != ':'))
        return false;
    *ret = slice_sub(*rest, 0, end + 1);
    *rest = end + 1 < rest->n ? slice_sub(*rest, end + 2, rest->n) : (struct slice){NULL, 0};
    return true;
}

static bool host_fits(struct slice pattern, struct slice host)
{
    if (pattern.n && pattern.p[0] == '*') {
        struct slice end = slice_sub(pattern, 1, pattern.n);
        return host.n > end.n && slice_ieq(slice_sub(host, host.n - end.n, host.n), end);
    }
    return pattern.n == 0 || slice_ieq(pattern, host);
}

bool connect_to_match(char *const *list, size_t count, struct slice host, uint16_t port, char *ret,
                      size_t size)
{
    for (size_t i = 0; i < count; i++) {
        struct slice rest = slice_of(list[i]), from, from_port, to, to_port;
        uint64_t n = port;
        if (!next_field(&rest, &from) || !next_field(&rest, &from_port) ||
            !next_field(&rest, &to) || !next_field(&rest, &to_port))
            continue;
        if (!host_fits(from, host) || (from_port.n && (!slice_to_u64(from_port, &n) || n != port)))
            continue;
        struct sbuf b;
        sbuf_init(&b, size - 1);
        sbuf_adds(&b, "::");
        sbuf_add_slice(&b, to);
        sbuf_addc(&b, ':');
        sbuf_add_slice(&b, to_port);
        bool ok = !b.failed && slice_copy(sbuf_slice(&b), ret, size);
        sbuf_finish(&b);
        return ok;
    }
    return false;
}

/* ---- what libcurl asks of us ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct oauth2_call *c = arg;
    sbuf_add(&c->body, p, size * n);
    return c->body.failed ? 0 : size * n; /* 0 ends the transfer */
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct oauth2_call *c = arg;
    token_answer_field(slice_make(p, size * n), &c->result.date_s, &c->result.retry_after_s);
    return size * n;
}

/* curl takes the common name when a certificate has no names of its own (RFC 6125 6.4.4, gone with
 * RFC 9525); towards providers we do not. OpenSSL looks for itself, as strictly as there. */
static CURLcode on_tls_context(CURL *easy, void *tls_context, void *arg)
{
    (void)easy;
    const struct oauth2_call *c = arg;
    X509_VERIFY_PARAM *p = SSL_CTX_get0_param(tls_context);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    bool ok = X509_VERIFY_PARAM_set1_ip_asc(p, c->host) == 1 ||
              X509_VERIFY_PARAM_set1_host(p, c->host, 0) == 1;
    return ok ? CURLE_OK : CURLE_ABORTED_BY_CALLBACK;
}

static const struct {
    CURLcode code;
    enum err err;
    const char *reason;
} failures[] = {
    {CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT, "endpoint_timeout"},
    {CURLE_COULDNT_RESOLVE_HOST, ERR_UNRESOLVED, "endpoint_unresolved"},
    {CURLE_COULDNT_RESOLVE_PROXY, ERR_UNRESOLVED, "parent_proxy_unresolved"},
    {CURLE_COULDNT_CONNECT, ERR_REFUSED, "endpoint_unreachable"},
    {CURLE_PEER_FAILED_VERIFICATION, ERR_CERT, "endpoint_certificate"},
    {CURLE_SSL_CONNECT_ERROR, ERR_TLS, "endpoint_tls"},
    {CURLE_WRITE_ERROR, ERR_TOO_LARGE, "endpoint_garbage"},
    {CURLE_OUT_OF_MEMORY, ERR_NOMEM, "no_memory"},
};

static void judge(struct oauth2_result *r, CURLcode code)
{
    if (code == CURLE_OK)
        return;
    r->err = ERR_PROTOCOL;
    r->reason = "endpoint_broken";
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        if (failures[i].code == code) {
            r->err = failures[i].err;
            r->reason = failures[i].reason;
        }
    }
}

static void call_destroy(struct oauth2_call *c)
{
    list_remove(&c->link);
    if (c->easy) {
        curl_multi_remove_handle(c->o->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    curl_slist_free_all(c->connect_to);
    sbuf_finish_wipe(&c->form);
    sbuf_finish_wipe(&c->body);
    mem_free(c);
}

static void finish_calls(struct oauth2 *o)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(o->multi, &left));) {
        struct oauth2_call *c = NULL;
        long status = 0;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result; /* m dies with the handle's removal */
        CHECK(curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c) == CURLE_OK && c);
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        judge(&c->result, code);
        c->result.status = (int)status;
        c->result.body = sbuf_slice(&c->body);
        oauth2_cb cb = c->cb;
        void *arg = c->arg;
        list_remove(&c->link); /* the callback may not abort it any more */
        cb(arg, &c->result);
        call_destroy(c);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct oauth2 *o = arg;
    int running;
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(o->multi, fd, flags, &running);
    finish_calls(o);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct oauth2 *o = arg;
    int running;
    curl_multi_socket_action(o->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_calls(o);
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct oauth2 *o = arg;
    if (ms < 0) {
        evtimer_del(o->timer);
        return 0;
    }
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    return evtimer_add(o->timer, &tv);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct oauth2 *o = arg;
    if (socket_arg)
        event_free(socket_arg);
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(o->multi, fd, NULL);
        return 0;
    }
    int in = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
    int out = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
    short flags = (short)(EV_PERSIST | (in ? EV_READ : 0) | (out ? EV_WRITE : 0));
    struct event *ev = event_new(o->base, fd, flags, on_event, o);
    curl_multi_assign(o->multi, fd, ev);
    return ev && event_add(ev, NULL) == 0 ? 0 : -1;
}

/* ---- calls ---- */

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum err oauth2_create(struct event_base *base, const struct conf *conf, struct oauth2 **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    struct oauth2 *o = mem_calloc(1, sizeof *o);
    if (!o)
        return ERR_NOMEM;
    list_init(&o->calls);
    o->base = base;
    o->conf = conf;
    o->multi = curl_multi_init();
    o->timer = evtimer_new(base, on_timeout, o);
    o->headers = curl_slist_append(NULL, "Accept: application/json");
    if (!o->multi || !o->timer || !o->headers) {
        oauth2_destroy(o);
        return ERR_NOMEM;
    }
    curl_multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
    curl_multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
    curl_multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    *ret = o;
    return ERR_OK;
}

void oauth2_destroy(struct oauth2 *o)
{
    if (!o)
        return;
    while (!list_empty(&o->calls))
        call_destroy(container_of(o->calls.next, struct oauth2_call, link));
    if (o->multi)
        curl_multi_cleanup(o->multi);
    if (o->timer)
        event_free(o->timer);
    curl_slist_free_all(o->headers);
    mem_free(o);
}

/* True when all options were taken. In this room curl is told what to do by these lines only. */
static bool set_transport(struct oauth2_call *c, const struct conf *conf)
{
    CURL *e = c->easy;
    long connect_ms = 1000 * (conf->upstream.connect_timeout < conf->oauth.timeout
                                  ? conf->upstream.connect_timeout
                                  : conf->oauth.timeout);
    bool ok =
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, 1000 * (long)conf->oauth.timeout) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK;
    /* "" is no proxy at all; unset would mean the environment's. NOPROXY "" likewise: the parent
     * proxy is for all. */
    ok = ok && curl_easy_setopt(e, CURLOPT_PROXY, conf->upstream.parent_proxy) == CURLE_OK &&
         curl_easy_setopt(e, CURLOPT_NOPROXY, *conf->upstream.parent_proxy ? "" : "*") == CURLE_OK;
    /* CAPATH too: its default, the system's roots, would count beside the file. */
    if (*conf->upstream.ca_file)
        ok = ok && curl_easy_setopt(e, CURLOPT_CAINFO, conf->upstream.ca_file) == CURLE_OK &&
             curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;
    return ok;
}

static bool set_target(struct oauth2_call *c, const struct conf *conf, const char *uri)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, to[600];
    uint64_t n = 0;
    bool ok = u && curl_url_set(u, CURLUPART_URL, uri, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              slice_to_u64(slice_of(port), &n) && n > 0 && n < 65536 &&
              slice_copy(slice_of(host), c->host, sizeof c->host) &&
              curl_easy_setopt(c->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context) == CURLE_OK &&
              curl_easy_setopt(c->easy, CURLOPT_SSL_CTX_DATA, c) == CURLE_OK &&
              curl_easy_setopt(c->easy, CURLOPT_URL, uri) == CURLE_OK;
    if (ok && connect_to_match(conf->upstream.connect_to.v, conf->upstream.connect_to.n,
                               slice_of(host), (uint16_t)n, to, sizeof to)) {
        c->connect_to = curl_slist_append(NULL, to);
        ok = c->connect_to &&
             curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, c->connect_to) == CURLE_OK;
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return ok;
}

static bool set_request(struct oauth2_call *c, struct slice assertion)
{
    CURL *e = c->easy;
    sbuf_adds(&c->form, GRANT);
    sbuf_add_slice(&c->form, assertion); /* base64url and dots: nothing to escape */
    return !c->form.failed &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)c->form.n) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->form.p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->o->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, "credswap/" CREDSWAP_VERSION) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, c) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERDATA, c) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, c) == CURLE_OK;
}

enum err oauth2_fetch(struct oauth2 *o, const char *uri, struct slice assertion, oauth2_cb cb,
                      void *arg, struct oauth2_call **ret)
{
    if (!slice_starts(slice_of(uri), SLICE("https://")))
        return ERR_DENIED;
    struct oauth2_call *c = mem_calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    sbuf_init(&c->form, TOKEN_ANSWER_MAX);
    sbuf_init(&c->body, TOKEN_ANSWER_MAX);
    c->o = o;
    c->cb = cb;
    c->arg = arg;
    list_add_last(&o->calls, &c->link);
    c->easy = curl_easy_init();
    if (!c->easy || !set_transport(c, o->conf) || !set_target(c, o->conf, uri) ||
        !set_request(c, assertion) || curl_multi_add_handle(o->multi, c->easy) != CURLM_OK) {
        call_destroy(c);
        return ERR_NOMEM;
    }
    *ret = c;
    return ERR_OK;
}

void oauth2_abort(struct oauth2_call *c)
{
    if (c)
        call_destroy(c);
}
