/* HTTP/1.1 in both roles: one message pair at a time on one link. Heads go through h1_parse; bodies
 * by length are counted here, chunked ones are cut by llhttp. No sockets: bytes come by feed and
 * leave through the outlet. */
#include "base/check.h"
#include "base/mem.h"
#include "http/h1_parse.h"
#include "http/ws_key.h"

#define DISCARD_MAX (256u * 1024u) /* of a request body nobody wants, to keep the connection */
#define CHUNK_EXTRA_MAX 4096u      /* chunk extensions and trailers together (T-07) */
#define CHUNK_LINE_MAX 20u         /* 16 digits and the two CRLFs of a chunk */
#define CHUNK_SIZE_MAX 999999999999999999u /* as for a Content-Length: 18 digits */
#define INTERIM_MAX 20u
#define RUN_MAX                                                                                    \
    128u /* requests that came in one piece; then the connection closes: nobody may keep a worker  \
           busy so */
#define H1_MAGIC MAGIC('h', '1', 's', 'e')

enum rx {
    RX_HEAD,    /* gathering a head; the peer wakes us; deadline: header_timeout */
    RX_WAIT,    /* client role, nothing asked: any byte is stray */
    RX_LENGTH,  /* body by length */
    RX_CHUNKED, /* body in chunks */
    RX_CLOSE,   /* answer body, or a WebSocket, until the peer closes */
    RX_UPGRADE, /* server role: would be a WebSocket; the answer decides what follows */
    RX_DONE,    /* message complete; server role: until our answer has left */
    RX_DEAD     /* a fault, or the end: bytes are dropped */
};

enum tx {
    TX_IDLE,
    TX_LENGTH,
    TX_CHUNKED,
    TX_CLOSE,
    TX_UPGRADE, /* client role: asked for a WebSocket; nothing may be sent before the answer */
    TX_DONE
};

/* where in the lines behind the last chunk's size we are */
enum trailer {
    TRAILER_NOT_YET, /* in the size line */
    TRAILER_START,   /* of a line: a name, or the CR of the last one */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_CR
};

struct h1 {
    struct session session;
    uint32_t magic;
    struct stream stream;
    bool is_open;      /* stream has an owner that waits for on_close */
    bool is_head_sent; /* final head */
    bool keep_alive;   /* the connection may serve another message pair */
    bool is_draining, is_finished;
    bool is_head_method, http10, expects_continue;
    bool swallows_body; /* server role: the answer must not have the body that is sent (HEAD, 204,
                           304) */
    bool discard;       /* server role: swallow what is left of the request */
    bool close_told;    /* server role: our head said close */
    bool in_feed;
    enum rx rx;
    enum tx tx;
    uint64_t rx_left, tx_left;
    size_t window;    /* body bytes we may still hand up */
    size_t unsent;    /* body bytes put and not yet flushed */
    size_t unflushed; /* all bytes put and not yet flushed */
    size_t discarded;
    uint32_t interims;
    uint32_t run; /* requests served since bytes were last received */
    struct session_limits limits;
    llhttp_t parser;
    bool is_last_chunk;
    enum trailer trailer;
    bool in_extension;  /* behind the ';' of a chunk-size line: swallowed up to its CR */
    bool at_chunk_line; /* the next byte begins a chunk-size line */
    uint32_t chunk_digits;
    size_t chunk_extra, chunk_allowed;
    size_t body_in_call; /* set by on_chunk_body within one execute */
    bool body_end;
    struct sbuf held; /* part of a head, or pipelined bytes */
    size_t scanned;
    char accept[WS_ACCEPT_SIZE]; /* client role: the answer to a key of our own; else empty */
};

static struct h1 *h1_of(struct session *s)
{
    struct h1 *h = container_of(s, struct h1, session);
    DCHECK(h->magic == H1_MAGIC);
    return h;
}

static struct h1 *h1_of_stream(struct stream *st)
{
    return container_of(st, struct h1, stream);
}

/* ---- closing ---- */

static void close_stream(struct h1 *h, enum why why)
{
    if (!h->is_open)
        return;
    h->is_open = h->session.has_stream = false;
    if (why != WHY_DONE)
        h->keep_alive = false;
    if (h->stream.sink) /* none: reset inside on_open, or destroyed before anyone took it */
        h->stream.sink->on_close(&h->stream, why);
}

static void finish(struct h1 *h)
{
    if (h->is_finished)
        return;
    h->is_finished = true;
    h->rx = RX_DEAD;
    if (h->session.sink->on_finished)
        h->session.sink->on_finished(&h->session);
}

static void fail(struct h1 *h, int status, const char *reason)
{
    h->session.fault = (struct fault){status, reason};
    h->rx = RX_DEAD;
    h->keep_alive = false;
}

/* ---- chunked bodies ---- */

static int on_chunk_body(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = p->data;
    h->body_in_call += n;
    if (h->discard) {
        h->discarded += n;
        return 0;
    }
    h->window -= n < h->window ? n : h->window;
    h->stream.sink->on_body(&h->stream, at, n, false);
    return h->is_open ? 0 : HPE_USER; /* the owner reset us inside on_body */
}

static int on_chunk_head(llhttp_t *p)
{
    struct h1 *h = p->data;
    h->chunk_allowed += CHUNK_LINE_MAX;
    h->is_last_chunk = p->content_length == 0;
    return p->content_length <= CHUNK_SIZE_MAX ? 0 : -1;
}

static int on_chunk_end(llhttp_t *p)
{
    /* Paused so that the next size line is looked at from its first byte. Behind the last chunk
     * there is none, and a pause would wait for a byte that never comes. */
    const struct h1 *h = p->data;
    return h->is_last_chunk ? 0 : HPE_PAUSED;
}

static int on_message_end(llhttp_t *p)
{
    struct h1 *h = p->data;
    h->body_end = true;
    return HPE_PAUSED;
}

/* While a head is parsed, parser->data is not ours (h1_parse). */
static int on_head_end(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED;
}

static const llhttp_settings_t body_settings = {
    .on_body = on_chunk_body,
    .on_chunk_header = on_chunk_head,
    .on_chunk_complete = on_chunk_end,
    .on_message_complete = on_message_end,
};
static const llhttp_settings_t head_settings = {.on_message_complete = on_head_end};

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* The size line, byte by byte: 16 digits at most (llhttp takes any number of leading zeros), and an
 * extension is swallowed (llhttp's strict mode knows no quoted ones). *SKIP says how many bytes of
 * P llhttp must not see. False on a fault. */
static bool scan_size_line(struct h1 *h, const char *p, size_t n, size_t *digits, size_t *skip)
{
    size_t i = 0;
    *digits = *skip = 0;
    while (h->at_chunk_line && !h->in_extension && i < n) {
        if (is_hex(p[i])) {
            if (++h->chunk_digits > 16)
                return false;
            i++;
        } else {
            h->in_extension = p[i] == ';' && h->chunk_digits > 0;
            h->at_chunk_line = h->in_extension;
        }
    }
    *digits = i;
    for (; h->in_extension && i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '\r')
            h->in_extension = h->at_chunk_line = false;
        else if ((c < 0x20 && c != '\t') || c == 0x7f || ++h->chunk_extra > CHUNK_EXTRA_MAX)
            return false;
        else
            ++*skip;
        if (c == '\r')
            break;
    }
    return true;
}

/* One with '_' is refused in a request and only odd in an answer, as in heads (h1_parse.c). */
static bool is_trailer_name(const struct h1 *h, char c)
{
    return is_token(slice_make(&c, 1)) && (c != '_' || h->session.role == ROLE_CLIENT);
}

static enum trailer after_trailer(const struct h1 *h, char c, bool *ok)
{
    switch (h->trailer) {
    case TRAILER_NOT_YET:
        return c == '\n' ? TRAILER_START : TRAILER_NOT_YET;
    case TRAILER_START:
        *ok = c == '\r' || is_trailer_name(h, c);
        return c == '\r' ? TRAILER_CR : TRAILER_NAME;
    case TRAILER_NAME:
        *ok = c == ':' || is_trailer_name(h, c);
        return c == ':' ? TRAILER_VALUE : TRAILER_NAME;
    case TRAILER_VALUE:
        *ok = c != '\n';
        return c == '\r' ? TRAILER_CR : TRAILER_VALUE;
    case TRAILER_CR:
        *ok = c == '\n';
        return TRAILER_START;
    }
    return h->trailer;
}

/* In trailers llhttp takes a bare LF, folded lines and empty names. They are dropped, but by
 * nobody's leave may one parser see their end where another does not. */
static bool trailers_ok(struct h1 *h, const char *p, size_t n)
{
    bool ok = true;
    for (size_t i = 0; h->is_last_chunk && ok && i < n; i++)
        h->trailer = after_trailer(h, p[i], &ok);
    return ok;
}

/* Lets llhttp eat N bytes; *TOOK says how many it did. */
static bool run_chunked(struct h1 *h, const char *p, size_t n, size_t *took)
{
    h->body_in_call = 0;
    llhttp_errno_t e = llhttp_execute(&h->parser, p, n);
    *took = n;
    if (e == HPE_PAUSED) {
        *took = (size_t)(llhttp_get_error_pos(&h->parser) - p);
        llhttp_resume(&h->parser);
        h->at_chunk_line = true;
        h->chunk_digits = 0;
    } else if (e != HPE_OK) {
        return false;
    }
    h->chunk_extra += *took - h->body_in_call;
    return h->chunk_extra <= h->chunk_allowed + CHUNK_EXTRA_MAX && trailers_ok(h, p, *took);
}

/* Eats chunked bytes; *USED says how many. False on a fault (or when the owner reset the stream).
 */
static bool eat_chunked(struct h1 *h, const char *p, size_t n, size_t *used)
{
    size_t at = 0;
    while (at < n && !h->body_end) {
        size_t digits, skip, took = 0;
        if (!scan_size_line(h, p + at, n - at, &digits, &skip))
            return false;
        /* with an extension in sight llhttp gets the digits before it first, and the CR behind it
         * next */
        size_t give = skip || h->in_extension ? digits : n - at;
        if (give && !run_chunked(h, p + at, give, &took))
            return false;
        at += took < give ? took : give + skip;
    }
    *used = at;
    return true;
}

static void start_chunked(struct h1 *h)
{
    h->rx = RX_CHUNKED;
    h->at_chunk_line = true;
    h->in_extension = false;
    h->chunk_digits = 0;
    h->chunk_extra = 0;
    h->chunk_allowed = CHUNK_LINE_MAX;
    h->body_end = h->is_last_chunk = false;
    h->trailer = TRAILER_NOT_YET;
    h->parser.settings = (void *)(uintptr_t)&body_settings;
    h->parser.data = h;
}

/* ---- heads ---- */

static void start_body(struct h1 *h, const struct head *head)
{
    switch (head->body) {
    case BODY_LENGTH:
        h->rx_left = head->content_length;
        h->rx = head->content_length ? RX_LENGTH : RX_DONE;
        break;
    case BODY_CHUNKED:
        start_chunked(h);
        break;
    case BODY_UNTIL_CLOSE:
        h->rx = RX_CLOSE;
        break;
    case BODY_NONE:
        h->rx = head->is_websocket ? RX_UPGRADE : RX_DONE;
        break;
    }
}

static void request_head(struct h1 *h, const struct head *head)
{
    h->is_head_method = slice_eq(head->method, SLICE("HEAD"));
    h->http10 = head->minor == 0;
    h->expects_continue = head->expects_continue && head->minor == 1;
    h->keep_alive = head->keep_alive && !h->is_draining;
    h->is_head_sent = h->discard = h->close_told = h->session.is_answered = false;
    h->discarded = 0;
    h->tx = TX_IDLE;
    h->window = STREAM_WINDOW;
    start_body(h, head);
    h->is_open = h->session.has_stream = true;
    h->stream.sink = NULL;
    h->stream.owner = NULL;
    h->session.sink->on_open(&h->session, &h->stream);
    if (h->is_open)
        h->stream.sink->on_head(&h->stream, head, h->rx == RX_DONE);
}

/* An answer without a body whatever its fields say (RFC 9112 section 6.3, rule 1). */
static bool is_bodiless(const struct h1 *h, int status)
{
    return h->is_head_method || status == 204 || status == 304;
}

/* It is a WebSocket from here on, in both directions, until one side closes. */
static void switched(struct h1 *h)
{
    h->rx = RX_CLOSE;
    h->tx = TX_CLOSE;
    h->keep_alive = false;
}

/* The owner knows nothing of a key of ours, nor of the answer to it. */
static bool accepts_key(const struct h1 *h, struct head *head)
{
    if (!*h->accept)
        return true;
    const struct field *f = head_get(head, FIELD_SEC_WEBSOCKET_ACCEPT);
    bool ok = f && slice_eq(f->value, slice_of(h->accept));
    uint32_t before = head->count;
    head_remove(head, FIELD_SEC_WEBSOCKET_ACCEPT);
    return ok && head->count + 1 == before;
}

static void answer_head(struct h1 *h, struct head *head)
{
    if (h->tx == TX_UPGRADE && head->is_websocket) {
        if (!accepts_key(h, head)) {
            fail(h, 502, "websocket_accept");
            close_stream(h, WHY_PROTO);
            return;
        }
        switched(h);
        h->stream.sink->on_head(&h->stream, head, false);
        return;
    }
    if (h->tx == TX_UPGRADE && head->status >= 200)
        h->tx = TX_DONE;
    head->is_websocket = false;
    if (head->status < 200) {
        if (head->status == 101 || ++h->interims > INTERIM_MAX) {
            fail(h, 502, head->status == 101 ? "unasked_101" : "too_many_interim");
            close_stream(h, WHY_PROTO);
        }
        return; /* 100, 102, 103: not passed on */
    }
    h->keep_alive = h->keep_alive && head->keep_alive;
    if (head->body == BODY_NONE)
        head->body = BODY_UNTIL_CLOSE;
    if (is_bodiless(h, head->status)) {
        /* A body that it names must not come; should it come late, it would be the next one's
         * answer. */
        if (head->body == BODY_CHUNKED || (head->body == BODY_LENGTH && head->content_length))
            h->keep_alive = false;
        if (head->body != BODY_LENGTH)
            head->body = BODY_NONE;
        h->rx = RX_DONE;
    } else {
        start_body(h, head);
        h->keep_alive = h->keep_alive && head->body != BODY_UNTIL_CLOSE;
    }
    h->stream.sink->on_head(&h->stream, head, h->rx == RX_DONE);
}

/* Client role: the answer is complete. Clean only when the request is, too, and nothing (MORE) came
 * behind it. */
static void answer_done(struct h1 *h, bool more)
{
    h->rx = RX_DONE;
    if (more)
        h->keep_alive = false;
    if (h->tx != TX_DONE) {
        h->keep_alive = false;
        return; /* an early answer: the owner decides, and resets */
    }
    h->rx = RX_WAIT; /* before the owner looks whether we can be used again */
    close_stream(h, WHY_DONE);
}

static bool take_head(struct h1 *h, const char *p, size_t len, bool more)
{
    static _Thread_local struct field fields[HEAD_MAX_FIELDS + 1];
    struct head head;
    if (!h1_parse_head(h->session.role, &h->parser, &head_settings, p, len, &h->limits, fields,
                       &head, &h->session.fault)) {
        struct fault f = h->session.fault;
        fail(h, f.status, f.reason);
        return false;
    }
    if (h->session.role == ROLE_SERVER) {
        request_head(h, &head);
        return true;
    }
    answer_head(h, &head);
    if (h->rx == RX_DONE && h->is_open)
        answer_done(h, more);
    return h->rx != RX_DEAD;
}

/* RFC 9112 section 2.2: an empty line before a request is skipped; its CR may come alone. True when
 * it was that. */
static bool skip_empty_line(struct h1 *h, const char *p, size_t n, size_t *used)
{
    bool has_cr = h->held.n == 1 && h->held.p[0] == '\r';
    if (has_cr ? p[0] != '\n' : h->held.n != 0 || p[0] != '\r' || (n > 1 && p[1] != '\n'))
        return false;
    *used = n > 1 && !has_cr ? 2 : 1;
    if (*used == 1 && !has_cr) {
        sbuf_addc(&h->held, '\r');
        if (h->held.failed)
            fail(h, 503, "memory");
        return true;
    }
    sbuf_clear(&h->held);
    if (++h->interims > 2)
        fail(h, 400, "start_line");
    return true;
}

/* Eats bytes of a head from HELD and P; *USED of P. False on a fault. */
static bool eat_head(struct h1 *h, const char *p, size_t n, size_t *used)
{
    size_t len = 0;
    if (h->session.role == ROLE_SERVER && skip_empty_line(h, p, n, used))
        return h->rx != RX_DEAD;
    size_t before = h->held.n;
    if (before) {
        sbuf_add(&h->held, p, n);
        if (h->held.failed) {
            fail(h, 431, "head_too_large");
            return false;
        }
        p = h->held.p;
        n = h->held.n;
    }
    enum h1_scan scan = h1_scan_head(h->session.role, p, n, &h->scanned, &len, &h->session.fault);
    if (scan == H1_BAD) {
        fail(h, h->session.role == ROLE_CLIENT ? 502 : h->session.fault.status,
             h->session.fault.reason);
        return false;
    }
    if (scan == H1_MORE ? n > h->limits.header_bytes : len > h->limits.header_bytes) {
        fail(h, h->session.role == ROLE_CLIENT ? 502 : 431, "head_too_large");
        return false;
    }
    if (scan == H1_MORE) {
        if (!before)
            sbuf_add(&h->held, p, n);
        *used = n - before;
        if (h->held.failed)
            fail(h, 503, "memory");
        return !h->held.failed;
    }
    h->scanned = 0;
    h->interims = h->session.role == ROLE_SERVER ? 0 : h->interims;
    struct sbuf held = h->held; /* the callbacks may end us, and the bytes must outlive them */
    sbuf_init(&h->held, held.max);
    *used = len - before;
    bool ok = take_head(h, p, len, n > len);
    mem_wipe(held.p, held.n);
    sbuf_finish(&held);
    return ok;
}

/* ---- bodies ---- */

static void body_complete(struct h1 *h, bool more)
{
    if (h->session.role == ROLE_CLIENT) {
        answer_done(h, more);
        return;
    }
    h->rx = RX_DONE;
}

static size_t eat_length(struct h1 *h, const char *p, size_t n)
{
    size_t take = n < h->rx_left ? n : (size_t)h->rx_left;
    h->rx_left -= take;
    bool end = h->rx_left == 0;
    if (end)
        h->rx = RX_DONE;
    if (h->discard) {
        h->discarded += take;
    } else {
        h->window -= take < h->window ? take : h->window;
        h->stream.sink->on_body(&h->stream, p, take, end);
    }
    if (end && h->rx == RX_DONE)
        body_complete(h, n > take);
    return take;
}

static bool eat_body_chunked(struct h1 *h, const char *p, size_t n, size_t *used)
{
    if (!eat_chunked(h, p, n, used)) {
        if (h->is_open || h->discard)
            fail(h, h->session.role == ROLE_CLIENT ? 502 : 400, "chunk");
        return false;
    }
    if (h->body_end) {
        h->rx = RX_DONE;
        if (!h->discard)
            h->stream.sink->on_body(&h->stream, "", 0, true);
        if (h->rx == RX_DONE)
            body_complete(h, n > *used);
    }
    return true;
}

static bool server_answered(struct h1 *h);
static void next_request(struct h1 *h);

/* One step; false when no more can be eaten now. */
static bool eat(struct h1 *h, const char *p, size_t n, size_t *used)
{
    *used = 0;
    switch (h->rx) {
    case RX_HEAD:
        return eat_head(h, p, n, used);
    case RX_LENGTH:
        *used = eat_length(h, p, n);
        return true;
    case RX_CHUNKED:
        return eat_body_chunked(h, p, n, used);
    case RX_CLOSE:
        *used = n;
        h->window -= n < h->window ? n : h->window;
        h->stream.sink->on_body(&h->stream, p, n, false);
        return true;
    case RX_WAIT:
        fail(h, 502, "stray_bytes");
        return false;
    case RX_UPGRADE:
    case RX_DONE:
    case RX_DEAD:
        return false;
    }
    return false;
}

/* Server role, message complete, more came: the next request waits here for its turn. */
static void keep_for_later(struct h1 *h, const char *p, size_t n)
{
    if (h->rx != RX_DONE && h->rx != RX_UPGRADE)
        return;
    if (h->session.role == ROLE_CLIENT) {
        h->keep_alive = false; /* bytes behind an answer */
        return;
    }
    sbuf_add(&h->held, p, n);
    if (h->held.failed)
        h->keep_alive = false;
}

void h1_take_rest(struct session *s, struct sbuf *out)
{
    struct h1 *h = h1_of(s);
    sbuf_add(out, h->held.p, h->held.n);
    sbuf_finish_wipe(&h->held);
    h->is_open = h->session.has_stream = false;
    h->rx = RX_DEAD;
}

static enum err eat_all(struct h1 *h, const char *p, size_t n)
{
    h->in_feed = true;
    while (n) {
        size_t used = 0;
        if (!eat(h, p, n, &used))
            break;
        p += used;
        n -= used;
        if (h->discard && h->discarded > DISCARD_MAX)
            h->rx = RX_DEAD;
    }
    if (n && h->session.fault.status == 0)
        keep_for_later(h, p, n);
    h->in_feed = false;
    if (h->session.fault.status == 0)
        return ERR_OK;
    close_stream(h, WHY_PROTO);
    return ERR_PROTOCOL;
}

static enum err h1_feed(struct session *s, const void *bytes, size_t n)
{
    struct h1 *h = h1_of(s);
    h->run = 0;
    enum err e = eat_all(h, bytes, n);
    if (e == ERR_OK && h->discard && !server_answered(h))
        next_request(h);
    return e;
}

static void h1_eof(struct session *s)
{
    struct h1 *h = h1_of(s);
    h->keep_alive = false;
    if (h->rx == RX_CLOSE) {
        h->rx = RX_DONE;
        h->stream.sink->on_body(&h->stream, "", 0, true);
        if (h->is_open)
            close_stream(h, h->tx == TX_DONE ? WHY_DONE : WHY_RESET);
        return;
    }
    h->rx = RX_DEAD;
    close_stream(h, WHY_RESET);
}

static void h1_abort(struct session *s)
{
    struct h1 *h = h1_of(s);
    h->rx = RX_DEAD;
    h->keep_alive = false;
    close_stream(h, WHY_RESET);
}

/* ---- sending ---- */

static void put(struct h1 *h, const void *p, size_t n)
{
    h->unflushed += n;
    h->session.out->put(h->session.out, p, n);
}

/* Heads are written in one scratch buffer for each thread: no allocation for a request. */
static struct sbuf *scratch(void)
{
    static _Thread_local char bytes[160 * 1024];
    static _Thread_local struct sbuf b;
    b = (struct sbuf){.p = bytes, .size = sizeof bytes, .max = sizeof bytes - 1};
    return &b;
}

/* May this connection go on after the answer? Only when what is left of the request is known, small
 * and coming. */
static bool can_keep(const struct h1 *h)
{
    if (!h->keep_alive || h->is_draining)
        return false;
    switch (h->rx) {
    case RX_DONE:
        return true;
    case RX_LENGTH:
        return h->rx_left <= DISCARD_MAX && !h->expects_continue;
    case RX_CHUNKED:
        return !h->expects_continue;
    case RX_UPGRADE:
    case RX_HEAD:
    case RX_WAIT:
    case RX_CLOSE:
    case RX_DEAD:
        return false;
    }
    return false;
}

static void start_sending(struct h1 *h, const struct head *head, bool end)
{
    h->tx_left = head->body == BODY_LENGTH ? head->content_length : 0;
    if (end)
        h->tx = TX_DONE;
    else if (head->is_websocket)
        h->tx = TX_UPGRADE;
    else if (head->body == BODY_LENGTH)
        h->tx = TX_LENGTH;
    else
        h->tx = head->body == BODY_CHUNKED ? TX_CHUNKED : TX_CLOSE;
}

/* HTTP/1.0 closes unless this is said. The caller's fields are not ours to write behind. */
static void add_keep_alive(struct head *head)
{
    static _Thread_local struct field fields[HEAD_MAX_FIELDS + 1];
    if (head->count)
        memcpy(fields, head->fields, head->count * sizeof *fields);
    head->fields = fields;
    head_add(head, FIELD_CONNECTION, SLICE("connection"), SLICE("keep-alive"));
}

static enum err send_switch(struct h1 *h, const struct head *head)
{
    struct sbuf *out = scratch();
    enum err e = h->rx == RX_UPGRADE ? head_write_answer(head, false, out) : ERR_INVALID;
    if (e != ERR_OK)
        return e;
    switched(h);
    h->close_told = true;
    h->is_head_sent = h->session.is_answering = true;
    put(h, out->p, out->n);
    return ERR_OK;
}

static enum err send_answer_head(struct h1 *h, const struct head *given, bool end)
{
    struct head head = *given;
    if (head.is_websocket)
        return send_switch(h, given);
    if (h->rx == RX_UPGRADE)
        h->rx = RX_DONE;
    bool bodiless = h->is_head_method || head.status == 204 || head.status == 304;
    if (!bodiless && end && head.body != BODY_LENGTH) {
        head.body = BODY_LENGTH;
        head.content_length = 0;
    } else if (!bodiless && !end && head.body != BODY_LENGTH) {
        head.body = h->http10 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
    } else if (head.status == 204 || (bodiless && head.body != BODY_LENGTH)) {
        head.body = BODY_NONE;
    }
    bool keep = can_keep(h) && head.body != BODY_UNTIL_CLOSE;
    struct sbuf *out = scratch();
    if (h->http10 && keep && head.count <= HEAD_MAX_FIELDS)
        add_keep_alive(&head);
    enum err e = head_write_answer(&head, !keep, out);
    if (e != ERR_OK)
        return e;
    h->close_told = !keep;
    h->is_head_sent = h->session.is_answering = true;
    start_sending(h, &head, end || bodiless);
    h->session.is_answered = h->tx == TX_DONE;
    h->swallows_body = bodiless;
    put(h, out->p, out->n);
    return ERR_OK;
}

/* RFC 6455 section 4.1, for a client that needs none. KEY lives until the head is written. */
static enum err add_key(struct h1 *h, struct head *head, char key[WS_KEY_SIZE])
{
    static _Thread_local struct field fields[HEAD_MAX_FIELDS + 3];
    if (head->count > HEAD_MAX_FIELDS + 2)
        return ERR_INVALID;
    if (!ws_key_make(key, h->accept))
        return ERR_CRYPTO;
    if (head->count)
        memcpy(fields, head->fields, head->count * sizeof *fields);
    head->fields = fields;
    head_add(head, FIELD_SEC_WEBSOCKET_KEY, SLICE("sec-websocket-key"), slice_of(key));
    return ERR_OK;
}

static enum err send_request_head(struct h1 *h, const struct head *given, bool end)
{
    struct sbuf *out = scratch();
    const struct head *head = given;
    struct head own;
    char key[WS_KEY_SIZE];
    enum err e = ERR_OK;
    *h->accept = '\0';
    if (given->is_extended_connect) {
        own = *given;
        head = &own;
        e = add_key(h, &own, key);
    }
    if (e == ERR_OK)
        e = head_write_request(head, head->authority, false, out);
    if (e == ERR_OK) {
        h->is_head_method = slice_eq(head->method, SLICE("HEAD"));
        h->interims = 0;
        h->is_head_sent = true;
        h->keep_alive = true;
        h->rx = RX_HEAD;
        start_sending(h, head, end);
        put(h, out->p, out->n);
    }
    mem_wipe(out->p, out->n); /* it held a real credential */
    return e;
}

static enum err h1_send_head(struct stream *st, const struct head *head, bool end)
{
    struct h1 *h = h1_of_stream(st);
    CHECK(h->is_open && !h->is_head_sent);
    return h->session.role == ROLE_SERVER ? send_answer_head(h, head, end)
                                          : send_request_head(h, head, end);
}

static void put_chunk(struct h1 *h, const void *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    char line[18];
    size_t at = sizeof line;
    line[--at] = '\n';
    line[--at] = '\r';
    for (size_t left = n; left; left >>= 4)
        line[--at] = hex[left & 15];
    put(h, line + at, sizeof line - at);
    put(h, p, n);
    put(h, "\r\n", 2);
}

static enum err h1_send_body(struct stream *st, const void *p, size_t n, bool end)
{
    struct h1 *h = h1_of_stream(st);
    CHECK(h->is_open && h->is_head_sent && h->tx != TX_IDLE);
    if (h->tx == TX_UPGRADE)
        return ERR_PROTOCOL;
    if (h->tx == TX_DONE)
        return n == 0 || h->swallows_body ? ERR_OK : ERR_PROTOCOL;
    h->unsent += n;
    if (h->tx == TX_LENGTH) {
        if (n > h->tx_left || (end && n != h->tx_left))
            return ERR_PROTOCOL;
        h->tx_left -= n;
        if (n)
            put(h, p, n);
    } else if (h->tx == TX_CHUNKED) {
        if (n)
            put_chunk(h, p, n);
        if (end)
            put(h, "0\r\n\r\n", 5);
    } else if (n) {
        put(h, p, n);
    }
    bool half_closes = end && h->tx == TX_CLOSE && h->session.role == ROLE_CLIENT;
    if (end) {
        h->tx = TX_DONE;
        h->session.is_answered = h->session.role == ROLE_SERVER;
    }
    if (half_closes && h->session.out->shut)
        h->session.out->shut(h->session.out);
    if (end && h->unflushed == 0)
        put(h, "", 0); /* all has left already: the flush that follows closes the stream */
    return ERR_OK;
}

static enum err h1_send_trailers(struct stream *st, const struct head *trailers)
{
    (void)trailers; /* few HTTP/1 clients look for any, and none that we serve needs them */
    return h1_send_body(st, NULL, 0, true);
}

static void h1_send_continue(struct stream *st)
{
    struct h1 *h = h1_of_stream(st);
    if (!h->expects_continue || h->is_head_sent || h->rx == RX_DONE)
        return;
    h->expects_continue = false;
    put(h, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void h1_credit(struct stream *st, size_t n)
{
    struct h1 *h = h1_of_stream(st);
    bool was_shut = h->window == 0;
    h->window += n;
    if (h->window > STREAM_WINDOW)
        h->window = STREAM_WINDOW;
    if (was_shut)
        h->session.out->readable(h->session.out);
}

static void h1_reset(struct stream *st)
{
    struct h1 *h = h1_of_stream(st);
    h->keep_alive = false;
    h->rx = RX_DEAD;
    h->tx = TX_DONE;
    h->session.is_broken = true;
    close_stream(h, WHY_LOCAL);
    if (h->session.role == ROLE_SERVER)
        finish(h);
}

/* ---- after the bytes have left ---- */

/* Server role: our answer is out. What is left of the request is swallowed, then the next may come.
 * True when the session is over. */
static bool server_answered(struct h1 *h)
{
    if (h->rx == RX_LENGTH || h->rx == RX_CHUNKED) {
        if (!h->close_told && h->discarded <= DISCARD_MAX)
            return false; /* still discarding */
        h->keep_alive = false;
    }
    if (!h->keep_alive || h->close_told || h->rx == RX_DEAD || h->is_draining) {
        finish(h);
        return true;
    }
    h->rx = RX_HEAD;
    h->discard = h->session.is_answered = false;
    h->interims = 0;
    return false;
}

static void next_request(struct h1 *h)
{
    if (h->rx != RX_HEAD || h->held.n == 0 || h->scanned)
        return;
    if (++h->run >= RUN_MAX)
        h->is_draining = true;
    struct sbuf held = h->held;
    sbuf_init(&h->held, held.max);
    enum err e = eat_all(h, held.p, held.n);
    if (e != ERR_OK && h->session.sink->on_fault)
        h->session.sink->on_fault(&h->session, &h->session.fault);
    mem_wipe(held.p, held.n);
    sbuf_finish(&held);
}

/* What the client sent of a WebSocket before it had the answer. */
static void first_frames(struct h1 *h)
{
    struct sbuf held = h->held;
    sbuf_init(&h->held, held.max);
    if (h->is_open)
        (void)!eat_all(h, held.p, held.n); /* in this state nothing is a fault */
    mem_wipe(held.p, held.n);
    sbuf_finish(&held);
}

static void h1_flushed(struct session *s, size_t n)
{
    struct h1 *h = h1_of(s);
    h->unflushed -= n < h->unflushed ? n : h->unflushed;
    size_t sent = n < h->unsent ? n : h->unsent;
    if (h->unflushed == 0)
        sent = h->unsent;
    h->unsent -= sent;
    if (sent && h->is_open)
        h->stream.sink->on_sent(&h->stream, sent);
    if (h->rx == RX_CLOSE && h->held.n)
        first_frames(h);
    if (h->session.role == ROLE_CLIENT || h->unflushed || !h->is_head_sent || h->tx != TX_DONE)
        return;
    if (h->is_open) {
        h->is_head_sent = h->session.is_answering = false;
        h->discard = h->rx == RX_LENGTH || h->rx == RX_CHUNKED;
        bool keep =
            h->keep_alive; /* an answered exchange is done, whatever is left of its request */
        close_stream(h, WHY_DONE);
        h->keep_alive = keep;
        if (!server_answered(h))
            next_request(h);
    }
}

/* ---- the rest of the session's verbs ---- */

static const struct stream_ops stream_ops = {
    .send_head = h1_send_head,
    .send_body = h1_send_body,
    .send_trailers = h1_send_trailers,
    .send_continue = h1_send_continue,
    .credit = h1_credit,
    .reset = h1_reset,
};

static bool h1_has_room(const struct session *s)
{
    const struct h1 *h = container_of(s, const struct h1, session);
    return !h->is_open && h->rx == RX_WAIT && h->keep_alive;
}

static struct stream *h1_open(struct session *s)
{
    struct h1 *h = h1_of(s);
    if (!h1_has_room(s))
        return NULL;
    h->is_open = h->session.has_stream = true;
    h->is_head_sent = false;
    h->tx = TX_IDLE;
    h->window = STREAM_WINDOW;
    h->stream.sink = NULL;
    h->stream.owner = NULL;
    return &h->stream;
}

static bool h1_wants_read(const struct session *s)
{
    const struct h1 *h = container_of(s, const struct h1, session);
    if ((h->rx == RX_DONE || h->rx == RX_UPGRADE) && h->session.role == ROLE_SERVER)
        return h->held.n < h->limits.header_bytes;
    return h->discard || h->window > 0 || h->rx == RX_HEAD || h->rx == RX_WAIT;
}

static bool h1_is_idle(const struct session *s)
{
    const struct h1 *h = container_of(s, const struct h1, session);
    if (h->is_open || h->session.fault.status != 0)
        return false;
    if (h->session.role == ROLE_SERVER)
        return h->rx == RX_HEAD && h->held.n == 0;
    return h->keep_alive && h->rx == RX_WAIT && h->held.n == 0 && h->unflushed == 0;
}

static void h1_drain(struct session *s)
{
    struct h1 *h = h1_of(s);
    h->is_draining = true;
}

static void h1_destroy(struct session *s)
{
    struct h1 *h = h1_of(s);
    close_stream(h, WHY_RESET);
    sbuf_finish_wipe(&h->held);
    h->magic = 0;
    mem_free(h);
}

static const struct session_ops session_ops = {
    .feed = h1_feed,
    .eof = h1_eof,
    .abort = h1_abort,
    .flushed = h1_flushed,
    .open = h1_open,
    .wants_read = h1_wants_read,
    .is_idle = h1_is_idle,
    .has_room = h1_has_room,
    .drain = h1_drain,
    .destroy = h1_destroy,
};

struct session *h1_create(enum role role, const struct session_limits *limits, struct outlet *out,
                          const struct session_sink *sink, void *owner)
{
    struct h1 *h = mem_calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->magic = H1_MAGIC;
    h->session = (struct session){
        .ops = &session_ops, .sink = sink, .out = out, .owner = owner, .role = role};
    h->stream.ops = &stream_ops;
    h->stream.session = &h->session;
    h->limits = *limits;
    h->keep_alive = true;
    h->rx = role == ROLE_SERVER ? RX_HEAD : RX_WAIT;
    h->window = STREAM_WINDOW;
    sbuf_init(&h->held, (size_t)limits->header_bytes + 80 * 1024);
    return &h->session;
}
