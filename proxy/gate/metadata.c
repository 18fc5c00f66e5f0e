/* Google's metadata server, in its place (policy.metadata_server): SDKs on a machine of Google's
 * ask it for a token without any key file. Here they get a pass, and only when proxy credentials
 * say who asks. Nothing else of a machine's metadata is invented. */
#include "gate/gate_internal.h"

#include "auth/find.h"
#include "auth/pass.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "keys/assertion.h"

#define ROOT "/computeMetadata/v1"
#define ACCOUNTS "/instance/service-accounts"
#define SCOPE_CLOUD "https://www.googleapis.com/auth/cloud-platform"
#define SCOPE_GEMINI "https://www.googleapis.com/auth/generative-language.retriever"

bool metadata_is_host(const struct gate *g, const struct authority *a)
{
    static const char *const names[] = {"metadata.google.internal", "metadata.goog", "metadata",
                                        "169.254.169.254"};
    if (!g->gates->conf->policy.metadata_server || a->port != 80)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(authority_host(a), slice_of(names[i])))
            return true;
    return false;
}

bool metadata_is_path(const struct gate *g, struct slice path)
{
    return g->gates->conf->policy.metadata_server && slice_starts(path, SLICE("/computeMetadata/"));
}

static void answer_with(struct stream *st, int status, const char *type, struct slice body)
{
    const struct field extra[2] = {{SLICE("metadata-flavor"), SLICE("Google"), FIELD_OTHER},
                                   {SLICE("cache-control"), SLICE("no-store"), FIELD_OTHER}};
    answer_send(st, &(struct answer){status, type, body, extra, ARRAY_LEN(extra)});
}

static void refuse(struct gate *g, struct stream *st, int status, const char *sentence)
{
    g->gates->caller_failed(g->gates, &g->peer, "metadata");
    answer_refusal(st, status, "http_request_denied", sentence, false);
}

/* Proxy-Authorization; or Authorization, for SDKs that are pointed at our own port and so are not
 * aware of a proxy. Several of them are nobody. */
static const struct snap_client *caller(const struct gate *g, const struct head *h,
                                        bool *ret_is_lasting)
{
    const struct services *svc = g->gates->svc;
    const struct snap_client *c = NULL;
    const struct field *found = NULL;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id != FIELD_PROXY_AUTHORIZATION && f->id != FIELD_AUTHORIZATION)
            continue;
        if (found)
            return NULL;
        found = f;
    }
    if (!found || auth_basic(found->value, svc->snapshot, svc->key, clock_wall_s(), &c,
                             ret_is_lasting) != ERR_OK)
        return NULL;
    return c;
}

static bool wants_all(struct slice query)
{
    struct slice one;
    while (slice_next(&query, '&', &one))
        if (slice_ieq(one, SLICE("recursive=true")))
            return true;
    return false;
}

static enum err add_token(const struct gate *g, const struct snap_client *c, struct sbuf *out)
{
    int64_t now_s = clock_wall_s(), end = now_s + PASS_LIFE_S;
    if (c->expires_at && c->expires_at < end)
        end = c->expires_at;
    sbuf_adds(out, "{\"access_token\":\"");
    enum err e = pass_add(g->gates->svc->key, c, end, out);
    sbuf_addf(out, "\",\"expires_in\":%lld,\"token_type\":\"Bearer\"}",
              (long long)(end - now_s - 1));
    if (e == ERR_OK)
        LOG(LOG_INFO, "pass_given", KV_U("conn", g->info.conn_id), KV_Z("peer", g->peer_text),
            KV_S("client", c->name), KV_Z("by", "metadata"));
    return e;
}

static void add_account(struct sbuf *out, struct slice email)
{
    sbuf_adds(out, "{\"aliases\":[\"default\"],\"email\":");
    sbuf_add_json(out, email);
    sbuf_adds(out, ",\"scopes\":[\"" SCOPE_CLOUD "\",\"" SCOPE_GEMINI "\"]}");
}

/* What stands under service-accounts/NAME. */
static enum err add_member(const struct gate *g, const struct snap_client *c, struct slice email,
                           struct slice member, bool is_all, struct sbuf *out)
{
    if (member.n == 0 && is_all)
        add_account(out, email);
    else if (member.n == 0)
        sbuf_adds(out, "aliases\nemail\nscopes\ntoken\n");
    else if (slice_eq(member, SLICE("email")))
        sbuf_add_slice(out, email);
    else if (slice_eq(member, SLICE("aliases")))
        sbuf_adds(out, "default\n");
    else if (slice_eq(member, SLICE("scopes")))
        sbuf_adds(out, SCOPE_CLOUD "\n" SCOPE_GEMINI "\n");
    else if (slice_eq(member, SLICE("token")))
        return add_token(g, c, out);
    else
        return ERR_NOT_FOUND;
    return ERR_OK;
}

static enum err add_accounts(const struct gate *g, const struct snap_client *c, struct slice rest,
                             bool is_all, struct sbuf *out)
{
    struct sbuf text;
    enum err e = ERR_OK;
    sbuf_init(&text, VIRTUAL_EMAIL_MAX);
    virtual_email_add(&text, c->name);
    struct slice email = sbuf_slice(&text), name = slice_sub(rest, 0, slice_find(rest, '/', 0));
    if (text.failed) {
        e = ERR_NOMEM;
    } else if (rest.n == 0 && is_all) {
        sbuf_adds(out, "{\"default\":");
        add_account(out, email);
        sbuf_adds(out, "}");
    } else if (rest.n == 0) {
        sbuf_adds(out, "default/\n");
        sbuf_add_slice(out, email);
        sbuf_adds(out, "/\n");
    } else if (slice_eq(name, SLICE("default")) || slice_eq(name, email)) {
        e = add_member(g, c, email, slice_sub(rest, name.n + 1, rest.n), is_all, out);
    } else {
        e = ERR_NOT_FOUND;
    }
    sbuf_finish(&text);
    return e;
}

/* PATH without query and without a slash at its end. */
static enum err add_page(const struct gate *g, const struct snap_client *c, struct slice path,
                         bool is_all, struct sbuf *out)
{
    static const struct {
        const char *path, *text;
    } pages[] = {
        {"", "computeMetadata/\n"},
        {"/computeMetadata", "v1/\n"},
        {ROOT, "instance/\nproject/\nuniverse/\n"},
        {ROOT "/instance", "service-accounts/\n"},
        {ROOT "/project", "numeric-project-id\nproject-id\n"},
        {ROOT "/project/project-id", VIRTUAL_PROJECT},
        {ROOT "/project/numeric-project-id", "0"},
        {ROOT "/universe", "universe-domain\n"},
        {ROOT "/universe/universe-domain", "googleapis.com"},
        {ROOT "/universe/universe_domain", "googleapis.com"},
    };
    const struct slice accounts = SLICE(ROOT ACCOUNTS);
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (slice_eq(path, slice_of(pages[i].path))) {
            sbuf_adds(out, pages[i].text);
            return ERR_OK;
        }
    if (slice_eq(path, accounts) || slice_starts(path, SLICE(ROOT ACCOUNTS "/")))
        return add_accounts(g, c, slice_sub(path, accounts.n + 1, path.n), is_all, out);
    return ERR_NOT_FOUND;
}

static void serve(struct gate *g, struct stream *st, const struct head *h,
                  const struct snap_client *c, bool is_lasting)
{
    struct slice path = head_path_only(h);
    struct sbuf body;
    if (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (!is_lasting && slice_ends(path, SLICE("/token"))) {
        refuse(g, st, 403, "A pass gets no other pass: it would never end.\n");
        return;
    }
    sbuf_init(&body, 4096);
    enum err e = add_page(g, c, path, wants_all(head_query(h)), &body);
    if (e == ERR_OK && !body.failed)
        answer_with(st, 200, body.n && body.p[0] == '{' ? "application/json" : "application/text",
                    sbuf_slice(&body));
    else if (e == ERR_NOT_FOUND)
        answer_with(st, 404, "text/plain; charset=utf-8",
                    SLICE("No such metadata here: a token, its account and its project only.\n"));
    else
        answer_refusal(st, 503, "proxy_internal_error", "No token can be made right now.\n", false);
    sbuf_finish_wipe(&body);
}

void metadata_serve(struct gate *g, struct stream *st, const struct head *h)
{
    const struct field *flavor = head_get_name(h, SLICE("metadata-flavor"));
    bool is_lasting = false;
    const struct snap_client *c = caller(g, h, &is_lasting);
    figure_add(&g->gates->counters->pages, 1);
    if (!slice_eq(h->method, SLICE("GET")) && !slice_eq(h->method, SLICE("HEAD")))
        answer_refusal(st, 405, "http_request_denied", "Metadata is for GET.\n", true);
    else if (!flavor || !slice_ieq(flavor->value, SLICE("Google")) ||
             head_get(h, FIELD_X_FORWARDED))
        refuse(g, st, 403,
               "Metadata is given to those who send Metadata-Flavor: Google, and are "
               "not forwarded from elsewhere.\n");
    else if (!c)
        refuse(g, st, 403,
               "The proxy does not know who asks: send proxy credentials (any user name, and a "
               "client token as password).\n");
    else
        serve(g, st, h, c, is_lasting);
}
