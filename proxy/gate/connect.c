/* CONNECT: who may, where to, and how: intercepted, tunnelled, or refused with a sentence. */
#include "gate/gate_internal.h"

#include "auth/find.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "gate/target.h"
#include "tls/tls.h"

#include <string.h>
#include <unistd.h>

#define ESTABLISHED "HTTP/1.1 200 Connection Established\r\n\r\n"
#define REST_MAX (256u * 1024u)

static void refuse(struct gate *g, int status, const char *proxy_status, const char *sentence,
                   const char *reason)
{
    figure_add(&g->gates->counters->connects_denied, 1);
    g->reason = reason;
    g->gates->caller_failed(g->gates, &g->peer, reason);
    answer_refusal(g->stream, status, proxy_status, sentence, status != 407);
}

static bool proxy_auth_ok(struct gate *g, const struct head *h)
{
    if (strcmp(g->gates->conf->policy.proxy_auth, "required") != 0)
        return true;
    const struct field *f = head_get(h, FIELD_PROXY_AUTHORIZATION);
    const struct snap_client *c = NULL;
    return f && auth_basic(f->value, g->gates->svc->snapshot, g->gates->svc->key, clock_wall_s(),
                           &c, NULL) == ERR_OK;
}

static void on_dialed(void *arg, enum err e, int fd);

static void begin_tunnel(struct gate *g)
{
    enum err e = dial_start(&g->gates->dialer, &g->info.authority, on_dialed, g, &g->dial);
    if (e != ERR_OK) {
        refuse(g, 503, "proxy_internal_error", "The proxy is out of resources.\n", "dial");
        return;
    }
    g->state = GATE_DIAL;
    g->pump.link->cut_on_hangup = false; /* what a client sent before its end is the target's */
    link_pause(g->pump.link);
}

static void refuse_by(struct gate *g, const struct decision *d)
{
    if (strcmp(d->reason, "address") == 0)
        refuse(g, 403, "destination_ip_prohibited",
               "This address must not be reached through this proxy.\n", d->reason);
    else if (strcmp(d->reason, "port") == 0)
        refuse(g, 403, "http_request_denied", "This port is not allowed through this proxy.\n",
               d->reason);
    else
        refuse(g, 403, "http_request_denied",
               "This host is not allowed through this proxy. Ask your operator for a rule.\n",
               d->reason);
}

void connect_begin(struct gate *g, struct stream *st, const struct head *h, bool end)
{
    g->stream = st;
    enum target target = connect_target(h, end, &g->info.authority);
    if (target == TARGET_BAD) {
        refuse(g, 400, "http_request_error", "CONNECT needs host:port and no body.\n",
               "bad_authority");
        return;
    }
    struct decision d =
        policy_decide(g->gates->policy, g->gates->svc->snapshot, &g->info.authority);
    if (d.verdict != VERDICT_SWAP &&
        auth_is_known_host(h->authority, g->gates->svc->snapshot, g->gates->svc->key)) {
        g->info.authority = (struct authority){0};
        refuse(g, 400, "http_request_error", "A client token is no host name.\n",
               "token_misplaced");
        return;
    }
    if (target == TARGET_OTHER_HOST) {
        refuse(g, 421, "http_request_error", "Host and CONNECT name different hosts.\n", "host");
        return;
    }
    if (!proxy_auth_ok(g, h)) {
        refuse(g, 407, "http_request_denied",
               "This proxy wants credentials: any user name, and a client token as password.\n",
               "proxy_auth");
        return;
    }
    g->info.is_token_host =
        policy_answers_tokens(g->gates->policy, g->gates->svc->snapshot, &g->info.authority, &d);
    if (g->info.is_token_host) {
        g->want = "tls";
        return;
    }
    switch (d.verdict) {
    case VERDICT_SWAP:
        g->api = d.rule ? d.rule->api : API_NONE;
        g->want = "tls";
        break;
    case VERDICT_TUNNEL:
        begin_tunnel(g);
        break;
    case VERDICT_DENY:
        refuse_by(g, &d);
        break;
    }
}

/* What the client sent behind its CONNECT, and the end of the first session. */
static bool leave_first_session(struct gate *g, struct sbuf *rest)
{
    sbuf_init(rest, REST_MAX);
    h1_take_rest(g->pump.session, rest);
    g->stream = NULL;
    g->old_session = g->pump.session;
    link_put(g->pump.link, ESTABLISHED, sizeof ESTABLISHED - 1);
    return link_flush_now(g->pump.link) && !rest->failed;
}

void connect_continue(struct gate *g)
{
    if (!g->want)
        return;
    g->want = NULL;
    struct sbuf rest;
    SSL_CTX *ctx;
    SSL *ssl = NULL;
    bool ok = leave_first_session(g, &rest);
    if (ok && g->state != GATE_OVER &&
        tls_server_ctx(g->gates->tls, authority_host(&g->info.authority), &ctx) == ERR_OK)
        ssl = SSL_new(ctx);
    if (ssl) {
        figure_add(&g->gates->counters->connects_swap, 1);
        g->state = GATE_TLS;
        struct loop *loop = g->gates->loop;
        deadline_set(&loop->wheel, &g->deadline,
                     loop->now_ms + (uint64_t)g->gates->conf->limits.header_timeout * 1000u);
        ok = link_start_tls(g->pump.link, ssl, true, rest.p, rest.n) == ERR_OK;
    } else {
        ok = false;
    }
    sbuf_finish_wipe(&rest);
    if (!ok)
        gate_end(g, "no_leaf");
}

/* ---- tunnels ---- */

static void on_tunnel_end(void *arg, const char *why, uint64_t up, uint64_t down)
{
    struct gate *g = obj_from(arg, GATE_MAGIC);
    g->tunnel = NULL;
    g->bytes_up = up;
    g->bytes_down = down;
    figure_add(&g->gates->counters->tunnel_bytes_up, up);
    figure_add(&g->gates->counters->tunnel_bytes_down, down);
    gate_end(g, why);
}

static void refuse_dial(struct gate *g, enum err e)
{
    g->pump.link->cut_on_hangup = true;
    link_resume(g->pump.link);
    g->state = GATE_FIRST;
    switch ((int)e) {
    case ERR_DENIED:
        refuse(g, 403, "destination_ip_prohibited",
               "This name resolves to an address that must not be reached through this proxy.\n",
               "address");
        break;
    case ERR_UNRESOLVED:
        refuse(g, 502, "dns_error", "This name does not resolve.\n", "unresolved");
        break;
    case ERR_TIMEOUT:
        refuse(g, 504, "connection_timeout", "The target did not answer in time.\n",
               "connect_timeout");
        break;
    case ERR_LIMIT:
    case ERR_NOMEM:
        refuse(g, 503, "proxy_internal_error", "The proxy is out of resources.\n",
               "no_descriptors");
        break;
    default:
        refuse(g, 502, "connection_refused", "The target could not be reached.\n",
               "connect_refused");
        break;
    }
}

static void on_dialed(void *arg, enum err e, int fd)
{
    struct gate *g = obj_from(arg, GATE_MAGIC);
    g->dial = NULL;
    if (e != ERR_OK) {
        refuse_dial(g, e);
        return;
    }
    struct sbuf rest;
    bool ok = leave_first_session(g, &rest) && g->state != GATE_OVER;
    struct link *front = g->pump.link;
    if (!ok) {
        close(fd);
        sbuf_finish(&rest);
        gate_end(g, "client_gone");
        return;
    }
    g->state = GATE_TUNNEL;
    g->pump.link = NULL;
    deadline_clear(&g->deadline);
    figure_add(&g->gates->counters->connects_tunnel, 1);
    uint64_t silence = (uint64_t)g->gates->conf->upstream.read_timeout * 1000u;
    if (tunnel_join(front, fd, rest.p, rest.n, silence, on_tunnel_end, g, &g->tunnel) != ERR_OK)
        gate_end(g, "memory");
    sbuf_finish(&rest);
}
