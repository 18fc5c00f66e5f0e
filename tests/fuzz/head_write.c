/* room: http */
/* drives: proxy/http/head.c */
/* dict: http */
/* The first byte chooses. Even: a request (or, with bit 1, an answer's head) as it was parsed, its
 * hop-by-hop fields dropped and written again by our other role, is read again as the same message
 * with exactly one framing. Odd: any bytes as names and values are refused, or come out as exactly
 * the lines that were meant. */
#include "../unit/http/wire.h"
#include "front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_framing(enum field_id id)
{
    return id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING;
}

static void check_fields(const struct head *a, const struct head *b)
{
    uint32_t framings = 0, k = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct field *f = &b->fields[i];
        if (f->id == FIELD_HOST && i == 0)
            continue;
        if (is_framing(f->id)) {
            framings++;
            continue;
        }
        CHECK(k < a->count && slice_eq(f->name, a->fields[k].name) &&
              slice_eq(f->value, a->fields[k].value));
        k++;
    }
    CHECK(k == a->count && framings == (b->body != BODY_NONE));
}

/* Named by Connection or on the list: what may not be there any more. */
static void check_dropped(const struct head *before, const struct head *h)
{
    static const struct slice hops[] = {{"connection", 10},
                                        {"keep-alive", 10},
                                        {"proxy-connection", 16},
                                        {"te", 2},
                                        {"trailer", 7},
                                        {"transfer-encoding", 17},
                                        {"upgrade", 7},
                                        {"proxy-authorization", 19},
                                        {"proxy-authenticate", 18},
                                        {"content-length", 14},
                                        {"expect", 6},
                                        {"http2-settings", 14}};
    for (size_t i = 0; i < ARRAY_LEN(hops); i++)
        CHECK(!head_get_name(h, hops[i]));
    for (uint32_t i = 0; i < before->count; i++) {
        struct slice rest = before->fields[i].value, token;
        if (before->fields[i].id != FIELD_CONNECTION)
            continue;
        while (slice_next(&rest, ',', &token)) {
            const struct field *f = head_get_name(h, slice_trim(token));
            CHECK(!f || f->id == FIELD_HOST || f->id == FIELD_AUTHORIZATION ||
                  f->id == FIELD_X_API_KEY || f->id == FIELD_X_GOOG_API_KEY ||
                  f->id == FIELD_CONTENT_TYPE);
        }
    }
}

static void send_again(const struct request *r, struct head *h)
{
    static struct front again;
    struct wire w;
    CHECK(wire_init(&w, ROLE_CLIENT));
    w.st = session_open(w.s);
    w.st->sink = &wire_sink;
    w.st->owner = &w;
    h->authority = SLICE("up.test");
    bool end = h->body == BODY_NONE || (h->body == BODY_LENGTH && h->content_length == 0);
    CHECK(stream_send_head(w.st, h, end) == ERR_OK);
    if (!end)
        CHECK(stream_send_body(w.st, r->body.p, r->body.n, true) == ERR_OK);
    front_init(&again);
    front_feed(&again, (const uint8_t *)w.sent.p, w.sent.n, 1);
    CHECK(again.err == ERR_OK && again.count == 1 && again.used == w.sent.n);
    const struct request *b = &again.got[0];
    CHECK(b->is_whole && slice_eq(b->head.method, h->method) && slice_eq(b->head.path, h->path));
    CHECK(b->head.body == h->body && b->head.keep_alive);
    CHECK(slice_eq(sbuf_slice(&b->body), sbuf_slice(&r->body)));
    CHECK(slice_eq(b->head.fields[0].value, h->authority));
    check_fields(h, &b->head);
    front_finish(&again);
    stream_reset(w.st);
    wire_finish(&w);
}

static void check_request(const struct request *r)
{
    struct arena a;
    struct head h;
    arena_init(&a, 1 << 20);
    CHECK(head_copy(&a, &r->head, 2, &h) == ERR_OK);
    CHECK(head_path_only(&h).n + head_query(&h).n <= h.path.n);
    head_drop_hop_by_hop(&h);
    check_dropped(&r->head, &h);
    head_remove(&h, FIELD_HOST);
    if (r->is_whole && !slice_eq(h.method, SLICE("CONNECT")))
        send_again(r, &h);
    arena_finish(&a, true);
}

struct answer_copy {
    struct head head;
    struct arena arena;
    bool is_there;
};

static void take_answer(struct stream *st, const struct head *h, bool end)
{
    struct answer_copy *c = st->owner;
    (void)end;
    c->is_there = true;
    CHECK(head_copy(&c->arena, h, 0, &c->head) == ERR_OK);
}
static void skip_body(struct stream *st, const void *p, size_t n, bool end)
{
    (void)p;
    (void)end;
    stream_credit(st, n);
}
static void skip_close(struct stream *st, enum why why)
{
    (void)st;
    (void)why;
}
static const struct stream_sink answer_sink = {
    .on_head = take_answer, .on_body = skip_body, .on_sent = front_on_sent, .on_close = skip_close};

/* One answer to a GET, in its own session; false when it has no good head. */
static bool read_answer(struct slice bytes, struct answer_copy *ret)
{
    struct wire w;
    struct head ask = {.method = SLICE("GET"), .path = SLICE("/"), .authority = SLICE("h")};
    *ret = (struct answer_copy){.is_there = false};
    arena_init(&ret->arena, 1 << 20);
    CHECK(wire_init(&w, ROLE_CLIENT));
    struct stream *st = session_open(w.s);
    st->sink = &answer_sink;
    st->owner = ret;
    CHECK(stream_send_head(st, &ask, true) == ERR_OK);
    wire_flush(&w);
    (void)!wire_feed(&w, bytes);
    wire_finish(&w);
    return ret->is_there;
}

static void check_answer(struct slice bytes)
{
    struct answer_copy a, b;
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    if (read_answer(bytes, &a)) {
        head_drop_hop_by_hop(&a.head);
        CHECK(head_write_answer(&a.head, false, &out) == ERR_OK);
        CHECK(read_answer(sbuf_slice(&out), &b));
        CHECK(a.head.status == b.head.status && slice_eq(a.head.reason, b.head.reason));
        uint32_t framings = 0, k = 0;
        for (uint32_t i = 0; i < b.head.count; i++) {
            if (is_framing(b.head.fields[i].id)) {
                framings++;
                continue;
            }
            CHECK(k < a.head.count && slice_eq(a.head.fields[k].name, b.head.fields[i].name) &&
                  slice_eq(a.head.fields[k].value, b.head.fields[i].value));
            k++;
        }
        CHECK(k == a.head.count &&
              framings == (a.head.body == BODY_LENGTH || a.head.body == BODY_CHUNKED));
        arena_finish(&b.arena, true);
    }
    arena_finish(&a.arena, true);
    sbuf_finish(&out);
}

/* OUT is exactly: FIRST, a line for each field, the framing, the end. */
static void check_lines(struct slice out, const struct head *h, struct slice host, bool close)
{
    size_t lines = 0, want = 2u + h->count + (host.n != 0) + (h->body != BODY_NONE) + close;
    if (h->status && h->body == BODY_UNTIL_CLOSE)
        want--;
    for (size_t i = 0; i < out.n; i++) {
        unsigned char c = (unsigned char)out.p[i];
        CHECK(c >= 0x20 || c == '\t' || (c == '\n' && out.p[i - 1] == '\r') ||
              (c == '\r' && i + 1 < out.n && out.p[i + 1] == '\n'));
        CHECK(c != 0x7f);
        lines += c == '\n';
    }
    CHECK(lines == want && slice_ends(out, SLICE("\r\n\r\n")) &&
          slice_search(out, SLICE("\r\n\r\n")) == out.n - 4);
}

static void check_raw(unsigned how, struct slice rest)
{
    struct field fields[8];
    struct head h = {.fields = fields, .content_length = how * 1000003ull};
    struct slice parts[4] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}}, name, value;
    struct sbuf out;
    for (size_t i = 0; i < 3 && slice_next(&rest, (char)0xff, &parts[i]); i++)
        continue;
    while (h.count < 8 && slice_next(&rest, (char)0xff, &name) &&
           slice_next(&rest, (char)0xff, &value))
        head_add(&h, field_id(name), name, value);
    h.body = (enum body_kind)(how >> 2 & 3);
    h.method = parts[0];
    h.path = parts[1];
    sbuf_init(&out, how & 64 ? 64 : 1 << 20);
    if (head_write_request(&h, parts[2], how & 32, &out) == ERR_OK) {
        check_lines(sbuf_slice(&out), &h, parts[2], how & 32);
        CHECK(is_token(h.method) && slice_find(h.path, ' ', 0) == h.path.n && h.path.n);
    }
    sbuf_clear(&out);
    h.reason = parts[2];
    h.status = (int)(parts[0].n ? 95 + 2u * (unsigned char)parts[0].p[0] : 0);
    if (head_write_answer(&h, how & 32, &out) == ERR_OK)
        check_lines(sbuf_slice(&out), &h, (struct slice){NULL, 0}, how & 32);
    for (uint32_t i = 0; i < h.count; i++) {
        CHECK(field_id(h.fields[i].name) == h.fields[i].id);
        if (h.fields[i].id != FIELD_OTHER && h.fields[i].id != FIELD_X_FORWARDED)
            CHECK(slice_ieq(slice_of(field_name(h.fields[i].id)), h.fields[i].name));
        if (field_value_ok(h.fields[i].value))
            CHECK(slice_find(h.fields[i].value, '\n', 0) == h.fields[i].value.n);
    }
    sbuf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct front f;
    if (size < 2 || size > 16384)
        return 0;
    struct slice rest = slice_make(data + 1, size - 1);
    if (data[0] & 1) {
        check_raw(data[0], rest);
    } else if (data[0] & 2) {
        check_answer(rest);
    } else {
        front_init(&f);
        front_feed(&f, data + 1, size - 1, data[0] >> 2);
        for (size_t i = 0; i < f.count; i++)
            check_request(&f.got[i]);
        front_finish(&f);
    }
    return 0;
}
