/* room: http */
/* drives: proxy/http/h1_parse.c proxy/http/h1.c */
/* dict: http */
/* The first byte seeds how the answer that follows is cut, what was asked and how it ends: the same
 * events whole and cut, on_close once, and a connection that saw anything odd is not used again. A
 * run of 28 '@' stands for the right answer to the key of a WebSocket that came without one. */
#include "../unit/http/wire.h"
#include "http/ws_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLANK "@@@@@@@@@@@@@@@@@@@@@@@@@@@@"

/* A WebSocket without a key of its own: the provider's answer to ours, filled in. */
static void ask_extended(struct wire *w, char accept[WS_ACCEPT_SIZE])
{
    struct head h = {.method = SLICE("GET"),
                     .path = SLICE("/"),
                     .authority = SLICE("h"),
                     .is_websocket = true,
                     .is_extended_connect = true};
    struct slice name = SLICE("sec-websocket-key: ");
    wire_ask_head(w, &h, false);
    struct slice sent = sbuf_slice(&w->sent);
    size_t at = slice_search(sent, name) + name.n;
    CHECK(ws_accept_of(slice_sub(sent, at, at + WS_KEY_SIZE - 1), accept));
}

static void replace(char *p, size_t n, const char *what, const char *by)
{
    for (size_t i = 0; i + WS_ACCEPT_SIZE - 1 <= n; i++)
        if (memcmp(p + i, what, WS_ACCEPT_SIZE - 1) == 0)
            memcpy(p + i, by, WS_ACCEPT_SIZE - 1);
}

static void shut(struct outlet *o)
{
    (void)o;
}

static void hear(struct wire *w, const uint8_t *given, size_t size, unsigned how, bool whole)
{
    static char data[16384];
    char accept[WS_ACCEPT_SIZE] = BLANK;
    unsigned seed = how;
    memcpy(data, given, size);
    CHECK(wire_init(w, ROLE_CLIENT));
    w->out.shut = shut;
    w->credit = how & 8;
    w->reset_on_head = (how & 0x30) == 0x30;
    if ((how & 0xc0) == 0xc0) {
        if (how & 1)
            ask_extended(w, accept);
        else
            wire_ask_websocket(w);
        CHECK(stream_send_body(w->st, "early", 5, false) == ERR_PROTOCOL);
    } else {
        wire_ask(w, how & 1 ? "HEAD" : "GET");
    }
    replace(data, size, BLANK, accept);
    enum err e = ERR_OK;
    for (size_t at = 0; at < size && e == ERR_OK;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = whole ? size : (seed >> 16) % 17 + 1;
        n = n < size - at ? n : size - at;
        char *exact = mem_dupn(data + at, n);
        CHECK(exact);
        e = session_feed(w->s, exact, n);
        mem_free(exact);
        at += n;
    }
    CHECK((e == ERR_OK) == (w->s->fault.status == 0));
    if ((how & 0xc1) == 0xc1 && w->st) /* after its 101 alone it may say its last */
        (void)!stream_send_body(w->st, "last", 4, true);
    if (e == ERR_OK && how & 2)
        session_eof(w->s);
    else if (e == ERR_OK && how & 4)
        session_abort(w->s);
    bool idle = session_is_idle(w->s);
    CHECK(!idle || (e == ERR_OK && !w->st && w->why == WHY_DONE && w->request_over));
    sbuf_addf(&w->log, " | %d %d %s", e, (int)idle, e == ERR_OK ? "-" : w->s->fault.reason);
    replace(w->log.p, w->log.n, accept, BLANK); /* it is another one each time */
    if (idle) {                                 /* used again, it is as good as new */
        int before = w->closes;
        w->reset_on_head = false;
        wire_ask(w, "GET");
        CHECK(wire_feed(w, SLICE("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) == ERR_OK);
        CHECK(w->closes == before + 1 && w->why == WHY_DONE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 16384)
        return 0;
    struct wire whole, cut;
    hear(&whole, data + 1, size - 1, data[0], true);
    hear(&cut, data + 1, size - 1, data[0], false);
    CHECK(slice_eq(sbuf_slice(&whole.log), sbuf_slice(&cut.log)));
    wire_finish(&whole);
    wire_finish(&cut);
    return 0;
}
