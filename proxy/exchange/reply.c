/* Our own answers, in the shape of the API in whose place we speak. Constant sentences and counts;
 * no byte of a request is ever echoed. */
#include "exchange/exchange_internal.h"

#include "base/check.h"
#include "store/snapshot.h"

#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *google, *anthropic; /* their words for it */
    const char *proxy_status;       /* RFC 9209 section 2.3 */
    const char *sentence;
    bool closes;
} replies[REPLY_COUNT] = {
    [REPLY_NO_TOKEN] = {401, "UNAUTHENTICATED", "authentication_error", "http_request_denied",
                        "No client token in this request. Send the placeholder token that your "
                        "operator gave you as you would send a real key.",
                        false},
    [REPLY_UNKNOWN_TOKEN] =
        {401, "UNAUTHENTICATED", "authentication_error", "http_request_denied",
         "This client token is not known here. Ask your operator for a new one.", false},
    [REPLY_PASS_EXPIRED] = {401, "UNAUTHENTICATED", "authentication_error", "http_request_denied",
                            "This access token has expired. Ask for another one.", false},
    [REPLY_SEVERAL_TOKENS] = {400, "INVALID_ARGUMENT", "invalid_request_error",
                              "http_request_denied",
                              "This request carries several different client tokens. Send one.",
                              true},
    [REPLY_TOKEN_MISPLACED] = {400, "INVALID_ARGUMENT", "invalid_request_error",
                               "http_request_denied",
                               "This request carries its client token in a place where it would "
                               "be sent on. Send it as a credential only.",
                               true},
    [REPLY_CLIENT_OFF] = {403, "PERMISSION_DENIED", "permission_error", "http_request_denied",
                          "This client token is disabled or expired. Ask your operator.", false},
    [REPLY_MODEL_DENIED] = {403, "PERMISSION_DENIED", "permission_error", "http_request_denied",
                            "This client may not use this model. Ask your operator.", false},
    [REPLY_NO_MODEL] = {404, "NOT_FOUND", "not_found_error", "destination_not_found",
                        "No account of this client's pool serves this model.", false},
    [REPLY_NO_KIND] = {503, "UNAVAILABLE", "api_error", "destination_unavailable",
                       "No account of this client's pool can serve this host: a Google token goes "
                       "to googleapis.com only, an API key to its own host only.",
                       false},
    [REPLY_UNAVAILABLE] = {503, "UNAVAILABLE", "overloaded_error", "destination_unavailable",
                           "No account of this client's pool can be used right now.", false},
    [REPLY_CLIENT_LIMIT] = {429, "RESOURCE_EXHAUSTED", "rate_limit_error", "http_request_denied",
                            "This client is over its limit. Wait as Retry-After says.", false},
    [REPLY_UPSTREAM] = {502, "UNAVAILABLE", "api_error", "destination_unavailable",
                        "The provider could not be reached.", false},
    [REPLY_UPSTREAM_CERT] = {502, "UNAVAILABLE", "api_error", "tls_certificate_error",
                             "The provider's certificate does not verify; nothing was sent.",
                             false},
    [REPLY_UPSTREAM_NAME] = {502, "UNAVAILABLE", "api_error", "dns_error",
                             "The provider's name does not resolve.", false},
    [REPLY_UPSTREAM_ADDRESS] = {502, "UNAVAILABLE", "api_error", "destination_ip_prohibited",
                                "The provider's name resolves to an address that must not be "
                                "dialled.",
                                false},
    [REPLY_RELAY_ADDRESS] = {403, "PERMISSION_DENIED", "permission_error",
                             "destination_ip_prohibited",
                             "This name resolves to an address that must not be reached through "
                             "this proxy.",
                             true},
    [REPLY_UPSTREAM_ANSWER] = {502, "UNAVAILABLE", "api_error", "http_protocol_error",
                               "The provider's answer was broken.", false},
    [REPLY_TIMEOUT] = {504, "DEADLINE_EXCEEDED", "timeout_error", "http_response_timeout",
                       "The provider did not answer in time.", false},
    [REPLY_CLIENT_TIMEOUT] = {408, "DEADLINE_EXCEEDED", "invalid_request_error",
                              "http_request_error", "The request did not arrive in time.", true},
    [REPLY_PIN_FOREIGN] = {403, "PERMISSION_DENIED", "permission_error", "http_request_denied",
                           "You do not have permission to access the file, cache or operation that "
                           "this request names, or it may not exist.",
                           false},
    [REPLY_PIN_GONE] = {404, "NOT_FOUND", "not_found_error", "http_request_denied",
                        "The account that holds what this request names is switched off or was "
                        "taken away here. Make it anew.",
                        false},
    [REPLY_PIN_UPLOAD] = {404, "NOT_FOUND", "not_found_error", "http_request_denied",
                          "This upload is not known here: it was begun elsewhere or too long ago. "
                          "Begin it anew.",
                          false},
    [REPLY_PINS_DIFFER] = {400, "INVALID_ARGUMENT", "invalid_request_error", "http_request_denied",
                           "This request names files, caches or operations that live at different "
                           "accounts, and one account must serve it. Upload or make them anew, "
                           "then they come to one.",
                           false},
    [REPLY_PINS_MANY] = {400, "INVALID_ARGUMENT", "invalid_request_error", "http_request_denied",
                         "This request names more than 64 files, caches or operations.", false},
    [REPLY_PIN_UNREADABLE] = {400, "INVALID_ARGUMENT", "invalid_request_error",
                              "http_request_denied",
                              "This body may name files, caches or operations and cannot be read "
                              "here. Send it as JSON, uncompressed or as gzip, with names of at "
                              "most 512 bytes.",
                              false},
    [REPLY_PATH] = {404, "NOT_FOUND", "not_found_error", "http_request_denied",
                    "This path is not served through this proxy.", false},
    [REPLY_METHOD] = {405, "INVALID_ARGUMENT", "invalid_request_error", "http_request_denied",
                      "This method is not served through this proxy.", true},
    [REPLY_MISDIRECTED] = {421, "INVALID_ARGUMENT", "invalid_request_error", "http_request_denied",
                           "The host of this request is not the one that this connection was "
                           "opened to.",
                           true},
    [REPLY_BAD_REQUEST] = {400, "INVALID_ARGUMENT", "invalid_request_error", "http_request_error",
                           "This request is malformed.", true},
    [REPLY_HOST_DENIED] = {403, "PERMISSION_DENIED", "permission_error", "http_request_denied",
                           "This host is not allowed through this proxy.", true},
    [REPLY_INTERNAL] = {503, "UNAVAILABLE", "api_error", "proxy_internal_error",
                        "The proxy could not serve this request right now.", true},
};

/* "No account ...: 3 in the pool, 2 cooling down, 1 drained." */
static void add_counts(const struct exchange *x, struct sbuf *out)
{
    const struct pick_result *p = &x->pick;
    const struct {
        uint32_t n;
        const char *word;
    } parts[] = {{p->cooling, "cooling down"},
                 {p->drained, "drained"},
                 {p->off, "off"},
                 {p->zero_weight, "of weight 0"},
                 {p->excluded, "tried"},
                 {p->wrong_model, "without this model"},
                 {p->wrong_kind, "for other hosts"}};
    sbuf_addf(out, " Accounts in the pool: %u", (unsigned)p->total);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].n)
            sbuf_addf(out, ", %u %s", (unsigned)parts[i].n, parts[i].word);
    sbuf_addc(out, '.');
}

static void add_message(const struct exchange *x, enum reply what, struct sbuf *out)
{
    sbuf_adds(out, replies[what].sentence);
    if (what == REPLY_UNAVAILABLE)
        add_counts(x, out);
    sbuf_addf(out, " (credswap, request %s)", x->request_id);
}

static void add_body(const struct exchange *x, enum reply what, struct sbuf *out)
{
    bool google = x->api != API_ANTHROPIC;
    if (x->info.is_plain) {
        sbuf_addf(out, "%s\n", replies[what].sentence);
        return;
    }
    if (google)
        sbuf_addf(out, "{\"error\":{\"code\":%d,\"message\":\"", replies[what].status);
    else
        sbuf_addf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"",
                  replies[what].anthropic);
    add_message(x, what, out);
    if (google)
        sbuf_addf(out, "\",\"status\":\"%s\"}}\n", replies[what].google);
    else
        sbuf_addf(out, "\"},\"request_id\":\"%s\"}\n", x->request_id);
}

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } phrases[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {421, "Misdirected Request"},
                   {429, "Too Many Requests"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"}};
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].text;
    return "Error";
}

/* A client's SDK multiplies our own failover: what cannot get better by asking again says so. */
static bool is_permanent(int status)
{
    return status < 500 && status != 408 && status != 429;
}

/* BODY of a head that lacks only its length. */
static void send_own(struct exchange *x, struct head *h, struct slice body)
{
    struct stream *front = x->front;
    h->reason = slice_of(phrase(h->status));
    h->body = BODY_LENGTH;
    h->content_length = body.n;
    if (body.p == NULL || stream_send_head(front, h, body.n == 0) != ERR_OK ||
        stream_send_body(front, body.p, body.n, true) != ERR_OK)
        stream_reset(front);
    else
        x->bytes_down += body.n;
}

/* google/rpc/code.proto has the same words. */
static unsigned grpc_code(const char *word)
{
    static const struct {
        const char *word;
        unsigned code;
    } codes[] = {{"INVALID_ARGUMENT", 3},  {"DEADLINE_EXCEEDED", 4},  {"NOT_FOUND", 5},
                 {"PERMISSION_DENIED", 7}, {"RESOURCE_EXHAUSTED", 8}, {"UNAVAILABLE", 14},
                 {"UNAUTHENTICATED", 16}};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (strcmp(codes[i].word, word) == 0)
            return codes[i].code;
    return 2;
}

/* Only over HTTP/2 can it be a client of gRPC. */
static bool wants_grpc(const struct exchange *x)
{
    const struct field *type = head_get(&x->base, FIELD_CONTENT_TYPE);
    return x->front_is_h2 && type && slice_istarts(type->value, SLICE("application/grpc"));
}

/* The head alone, with the sentence in it: of a body such a client shows nothing. */
static void send_grpc_reply(struct exchange *x, enum reply what, const char *proxy_status)
{
    struct field fields[5];
    struct head h = {.status = 200, .fields = fields};
    char code[8];
    struct sbuf message;
    snprintf(code, sizeof code, "%u", grpc_code(replies[what].google));
    sbuf_init(&message, 4096);
    add_message(x, what, &message); /* no '%' in it, so nothing to encode */
    head_add(&h, FIELD_CONTENT_TYPE, SLICE("content-type"), SLICE("application/grpc"));
    head_add(&h, FIELD_OTHER, SLICE("grpc-status"), slice_of(code));
    head_add(&h, FIELD_OTHER, SLICE("grpc-message"), sbuf_slice(&message));
    head_add(&h, FIELD_PROXY_STATUS, SLICE("proxy-status"), slice_of(proxy_status));
    head_add(&h, FIELD_X_CREDSWAP_REQUEST_ID, SLICE("x-credswap-request-id"),
             slice_of(x->request_id));
    struct stream *front = x->front;
    if (message.failed || stream_send_head(front, &h, true) != ERR_OK)
        stream_reset(front);
    sbuf_finish(&message);
}

static void send_reply(struct exchange *x, enum reply what, int64_t retry_after)
{
    char seconds[24], status[128];
    struct field fields[7];
    snprintf(status, sizeof status, "credswap; error=%s", replies[what].proxy_status);
    if (wants_grpc(x)) {
        send_grpc_reply(x, what, status);
        return;
    }
    struct head h = {.status = replies[what].status, .fields = fields};
    head_add(&h, FIELD_CONTENT_TYPE, SLICE("content-type"),
             x->info.is_plain ? SLICE("text/plain; charset=utf-8") : SLICE("application/json"));
    head_add(&h, FIELD_PROXY_STATUS, SLICE("proxy-status"), slice_of(status));
    head_add(&h, FIELD_X_CREDSWAP_REQUEST_ID, SLICE("x-credswap-request-id"),
             slice_of(x->request_id));
    if (retry_after >= 0) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)(retry_after ? retry_after : 1));
        head_add(&h, FIELD_RETRY_AFTER, SLICE("retry-after"), slice_of(seconds));
    }
    if (what == REPLY_METHOD)
        head_add(&h, FIELD_OTHER, SLICE("allow"), SLICE(EXCHANGE_METHODS));
    if (x->api == API_ANTHROPIC && is_permanent(h.status))
        head_add(&h, FIELD_OTHER, SLICE("x-should-retry"), SLICE("false"));
    if (x->api == API_ANTHROPIC)
        head_add(&h, FIELD_OTHER, SLICE("request-id"), slice_of(x->request_id));
    struct sbuf body;
    sbuf_init(&body, 4096);
    add_body(x, what, &body);
    if (replies[what].closes && !x->front_is_h2) /* there the stream is the message's end */
        session_drain(x->front->session);
    send_own(x, &h, body.failed ? (struct slice){NULL, 0} : sbuf_slice(&body));
    sbuf_finish(&body);
}

static void begin_own(struct exchange *x, int status, const char *reason)
{
    CHECK(!x->is_committed);
    exchange_goto(x, X_REPLY);
    x->is_committed = x->is_own_answer = true;
    x->answer_ended = true;
    x->status = status;
    x->reason = reason;
}

void reply_json(struct exchange *x, int status, struct slice body, const char *reason)
{
    struct field fields[5];
    struct head h = {.status = status, .fields = fields};
    if (x->front_closed)
        return;
    begin_own(x, status, reason);
    head_add(&h, FIELD_CONTENT_TYPE, SLICE("content-type"),
             SLICE("application/json; charset=UTF-8"));
    head_add(&h, FIELD_OTHER, SLICE("cache-control"), SLICE("no-store"));
    head_add(&h, FIELD_OTHER, SLICE("pragma"), SLICE("no-cache"));
    head_add(&h, FIELD_X_CREDSWAP_REQUEST_ID, SLICE("x-credswap-request-id"),
             slice_of(x->request_id));
    send_own(x, &h, body);
}

#define LATE_MAX 64u /* for a worker: strangers must not make it hold much */

/* Such a body needs no window but the one that it has. */
static bool awaits_body(const struct exchange *x)
{
    return x->front_is_h2 && !x->request_ended && !x->base.expects_continue &&
           x->base.body == BODY_LENGTH && x->base.content_length <= STREAM_WINDOW;
}

void reply_error(struct exchange *x, enum reply what, const char *reason, int64_t retry_after)
{
    if (x->front_closed)
        return;
    begin_own(x, replies[what].status, reason);
    x->is_late = what != REPLY_CLIENT_TIMEOUT && awaits_body(x) && x->svc->late_count < LATE_MAX;
    x->late_what = (int)what;
    x->late_retry_s = retry_after;
    if (x->is_late)
        x->svc->late_count++;
    else
        send_reply(x, what, retry_after);
}

void reply_forget_late(struct exchange *x)
{
    x->svc->late_count -= x->is_late;
    x->is_late = false;
}

void reply_late(struct exchange *x)
{
    reply_forget_late(x);
    send_reply(x, (enum reply)x->late_what, x->late_retry_s);
}
