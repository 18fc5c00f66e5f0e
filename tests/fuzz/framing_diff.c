/* room: http */
/* with: http_parser */
/* drives: proxy/http/h1.c proxy/http/h1_parse.c */
/* dict: http */
/* Two readers of the same bytes. Whatever our front end takes for a request, a second parser
 * (http_parser, the one before llhttp) must frame in the same way: as many messages, the same
 * method, target and body, and no connection that we keep and it does not. Then the smuggling
 * question: what we send upstream of it, one request behind the other on one connection, must be
 * these requests to that parser and nothing else. What it takes and we refuse is fine. */
#include "../unit/http/wire.h"
#include "front.h"

#include <http_parser.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define THEIRS_MAX (FRONT_MAX + 1)

struct theirs {
    struct slice method;
    struct sbuf target, fields, body; /* fields: "name: value\n" */
    bool is_whole, keeps, in_value, is_connection, has_tab_in_connection;
};

struct second {
    size_t count, whole;
    bool is_upgraded;
    enum http_errno error;
    struct theirs got[THEIRS_MAX]; /* each is made when it begins */
};

/* Debian builds it without its strict mode; that it takes more than we do is no matter here.
 *
 * What it refuses of what we take, each looked at; a refusal smuggles nothing:
 *   HPE_INVALID_METHOD            it knows fewer methods than llhttp.
 *   HPE_INVALID_URL               a whole address with an odd scheme or authority, which the gate
 *                                 refuses after the parser.
 *   HPE_INVALID_TRANSFER_ENCODING, HPE_UNEXPECTED_CONTENT_LENGTH
 *                                 it takes a field whose name only begins with "transfer-encoding"
 *                                 for half a Transfer-Encoding (its bug).
 * What it reads otherwise:
 *   Upgrade            it stops at "Connection: upgrade" with an Upgrade field. We switch protocols
 *                      for nobody and drop both fields, so it is told to go on.
 *   Proxy-Connection   counts as Connection to it. To us it is nothing, and goes nowhere. */
static bool is_excused(enum http_errno e, const struct head *h)
{
    bool knows = false, has_longer_name = false;
    for (int i = 0; i <= HTTP_SOURCE; i++)
        knows |= slice_eq(h->method, slice_of(http_method_str((enum http_method)i)));
    for (uint32_t i = 0; i < h->count; i++)
        has_longer_name |= h->fields[i].name.n > 17 &&
                           slice_istarts(h->fields[i].name, SLICE("transfer-encoding"));
    switch ((int)e) {
    case HPE_INVALID_METHOD:
        return !knows;
    case HPE_INVALID_URL:
        return h->target.p[0] != '/';
    case HPE_INVALID_TRANSFER_ENCODING:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return has_longer_name;
    default:
        return false;
    }
}

static struct theirs *last(http_parser *p)
{
    struct second *s = p->data;
    return &s->got[s->count - 1];
}

static int on_begin(http_parser *p)
{
    struct second *s = p->data;
    if (s->count == THEIRS_MAX)
        return 1;
    struct theirs *m = &s->got[s->count++];
    *m = (struct theirs){.is_whole = false};
    sbuf_init(&m->target, 1 << 20);
    sbuf_init(&m->fields, 1 << 20);
    sbuf_init(&m->body, 1 << 20);
    return 0;
}

static int on_target(http_parser *p, const char *at, size_t n)
{
    sbuf_add(&last(p)->target, at, n);
    return 0;
}

static void end_value(struct theirs *m)
{
    while (m->in_value && m->fields.n &&
           (m->fields.p[m->fields.n - 1] == ' ' || m->fields.p[m->fields.n - 1] == '\t'))
        m->fields.n--;
    if (m->in_value)
        sbuf_addc(&m->fields, '\n');
    m->in_value = false;
}

static int on_name(http_parser *p, const char *at, size_t n)
{
    end_value(last(p));
    sbuf_add(&last(p)->fields, at, n);
    return 0;
}

static struct slice last_line(const struct sbuf *b)
{
    size_t at = b->n;
    while (at > 0 && b->p[at - 1] != '\n')
        at--;
    return slice_sub(sbuf_slice(b), at, b->n);
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct theirs *m = last(p);
    if (!m->in_value) {
        m->is_connection = slice_ieq(last_line(&m->fields), SLICE("connection"));
        sbuf_adds(&m->fields, ": ");
    }
    m->in_value = true;
    m->has_tab_in_connection |= m->is_connection && memchr(at, '\t', n);
    sbuf_add(&m->fields, at, n);
    return 0;
}

static int on_fields_end(http_parser *p)
{
    struct theirs *m = last(p);
    end_value(m);
    m->method = slice_of(http_method_str((enum http_method)p->method));
    m->keeps = http_should_keep_alive(p);
    if (p->method != HTTP_CONNECT)
        p->upgrade = 0;
    return 0;
}

static int on_their_body(http_parser *p, const char *at, size_t n)
{
    sbuf_add(&last(p)->body, at, n);
    return 0;
}

static int on_end(http_parser *p)
{
    struct second *s = p->data;
    last(p)->is_whole = true;
    s->whole++;
    return 0;
}

static void read_second(struct second *s, const void *bytes, size_t n)
{
    static const http_parser_settings settings = {.on_message_begin = on_begin,
                                                  .on_url = on_target,
                                                  .on_header_field = on_name,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_fields_end,
                                                  .on_body = on_their_body,
                                                  .on_message_complete = on_end};
    http_parser p;
    http_parser_init(&p, HTTP_REQUEST);
    memset(s, 0, offsetof(struct second, got));
    p.data = s;
    http_parser_execute(&p, &settings, bytes, n);
    s->error = HTTP_PARSER_ERRNO(&p);
    s->is_upgraded = p.upgrade;
}

static void second_finish(struct second *s)
{
    for (size_t i = 0; i < s->count; i++) {
        sbuf_finish(&s->got[i].target);
        sbuf_finish(&s->got[i].fields);
        sbuf_finish(&s->got[i].body);
    }
}

static void check_same(const struct request *r, const struct theirs *t)
{
    CHECK(t->is_whole && slice_eq(t->method, r->head.method));
    CHECK(slice_eq(sbuf_slice(&t->target), r->head.target));
    CHECK(slice_eq(sbuf_slice(&t->body), sbuf_slice(&r->body)));
    CHECK(t->keeps || !r->head.keep_alive || head_get(&r->head, FIELD_PROXY_CONNECTION) ||
          t->has_tab_in_connection);
}

static void check_front(const struct front *f, const uint8_t *data, size_t size)
{
    static struct second s;
    size_t whole = 0;
    read_second(&s, data, f->used < size ? f->used : size);
    for (; whole < f->count && f->got[whole].is_whole; whole++)
        if (whole < s.whole)
            check_same(&f->got[whole], &s.got[whole]);
    if (s.whole < whole)
        CHECK(is_excused(s.error, &f->got[s.whole].head));
    /* A body that goes on for us goes on for it, and was the same so far. (Within a head nothing
     * was forwarded: there it may end a head at a bare CR, which we refuse when the line is whole.)
     */
    if (f->err == ERR_OK && f->count > whole && s.error == HPE_OK) {
        CHECK(s.whole == whole && s.count == whole + 1);
        CHECK(slice_eq(sbuf_slice(&s.got[whole].body), sbuf_slice(&f->got[whole].body)));
    }
    second_finish(&s);
}

/* As exchange/swap.c does it, with a credential of ours. */
static bool make_ours(struct arena *a, const struct request *r, struct head *ret)
{
    if (!r->is_whole || r->head.path.n == 0 || slice_eq(r->head.method, SLICE("CONNECT")))
        return false;
    CHECK(head_copy(a, &r->head, 2, ret) == ERR_OK);
    ret->target = ret->path;
    head_drop_hop_by_hop(ret);
    head_remove(ret, FIELD_HOST);
    head_remove(ret, FIELD_AUTHORIZATION);
    head_add(ret, FIELD_AUTHORIZATION, SLICE("authorization"), SLICE("Bearer real"));
    ret->authority = SLICE("up.test");
    return true;
}

static void send_one(struct wire *w, const struct request *r, const struct head *h)
{
    bool end = h->body == BODY_NONE || (h->body == BODY_LENGTH && h->content_length == 0);
    w->st = session_open(w->s);
    CHECK(w->st);
    w->heads = 0;
    w->request_over = false;
    w->st->sink = &wire_sink;
    w->st->owner = w;
    CHECK(stream_send_head(w->st, h, end) == ERR_OK);
    if (!end) {
        struct slice body = sbuf_slice(&r->body), rest = slice_sub(body, body.n / 2, body.n);
        if (body.n / 2) /* in two pieces: two chunks where it is chunked */
            CHECK(stream_send_body(w->st, body.p, body.n / 2, false) == ERR_OK);
        CHECK(stream_send_body(w->st, rest.p, rest.n, true) == ERR_OK);
    }
    wire_flush(w);
    /* an answer to HEAD that names a body would be the last on its connection */
    const char *answer = slice_eq(h->method, SLICE("HEAD"))
                             ? "HTTP/1.1 200 OK\r\n\r\n"
                             : "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    CHECK(wire_feed(w, slice_of(answer)) == ERR_OK && !w->st && session_is_idle(w->s));
}

static void check_one_sent(const struct request *r, const struct head *h, const struct theirs *t)
{
    struct sbuf want;
    sbuf_init(&want, 1 << 20);
    CHECK(t->is_whole && t->keeps && slice_eq(t->method, h->method));
    CHECK(slice_eq(sbuf_slice(&t->target), h->path));
    CHECK(slice_eq(sbuf_slice(&t->body), sbuf_slice(&r->body)));
    sbuf_adds(&want, "host: up.test\n");
    for (uint32_t i = 0; i < h->count; i++) {
        sbuf_add_slice(&want, h->fields[i].name);
        sbuf_adds(&want, h->fields[i].value.n ? ": " : ":");
        sbuf_add_slice(&want, h->fields[i].value);
        sbuf_addc(&want, '\n');
    }
    if (h->body == BODY_LENGTH)
        sbuf_addf(&want, "content-length: %llu\n", (unsigned long long)h->content_length);
    else if (h->body == BODY_CHUNKED)
        sbuf_adds(&want, "transfer-encoding: chunked\n");
    CHECK(slice_eq(sbuf_slice(&want), sbuf_slice(&t->fields)));
    sbuf_finish(&want);
}

static void check_upstream(const struct front *f)
{
    static struct second s;
    static struct head heads[FRONT_MAX];
    static const struct request *sent[FRONT_MAX];
    struct arena a;
    struct wire w;
    size_t n = 0;
    arena_init(&a, 4 << 20);
    CHECK(wire_init(&w, ROLE_CLIENT));
    for (size_t i = 0; i < f->count; i++) {
        if (!make_ours(&a, &f->got[i], &heads[n]))
            continue;
        sent[n] = &f->got[i];
        send_one(&w, sent[n], &heads[n]);
        n++;
    }
    read_second(&s, w.sent.p, w.sent.n);
    for (size_t i = 0; i < n && i < s.whole; i++)
        check_one_sent(sent[i], &heads[i], &s.got[i]);
    if (s.whole < n)
        CHECK(is_excused(s.error, &heads[s.whole]));
    else
        CHECK(s.error == HPE_OK && s.count == n && !s.is_upgraded);
    second_finish(&s);
    wire_finish(&w);
    arena_finish(&a, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct front f;
    if (size < 2 || size > 16384)
        return 0;
    front_init(&f);
    front_feed(&f, data + 1, size - 1, data[0]);
    check_front(&f, data + 1, size - 1);
    check_upstream(&f);
    front_finish(&f);
    return 0;
}
