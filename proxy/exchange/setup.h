/* The first message of a WebSocket (Live API): {"setup": {"model": "projects/P/..."}}. It names the
 * client's project and the model, so it is read before it goes on, and rewritten like a path when
 * the account's project is another. Everything after it is nobody's business. Pure. */
#ifndef EXCHANGE_SETUP_H
#define EXCHANGE_SETUP_H
#include "base/sbuf.h"

/* A setup with its tools and instructions; more is refused. */
#define SETUP_MAX (1024u * 1024u)
#define SETUP_MODEL_MAX 512

enum setup_state {
    SETUP_MORE,   /* feed what comes next */
    SETUP_WHOLE,  /* the message is here: setup_take may be called */
    SETUP_REFUSED /* setup->reason and ->code say why */
};

struct setup {
    enum setup_state state;
    struct sbuf raw;     /* the client's bytes, as they came */
    struct sbuf control; /* of them, the control frames before the message's end */
    struct sbuf text;    /* the message, unmasked */
    size_t at;           /* in raw: the first frame that was not looked at */
    bool in_message, is_compressed;
    unsigned char opcode;
    const char *reason;          /* static word */
    uint16_t code;               /* RFC 6455 section 7.4.1 */
    size_t model_at, model_n;    /* in text, between the quotes; 0: none */
    char model[SETUP_MODEL_MAX]; /* the same, decoded and with a NUL; "": none */
};

/** May be called again after setup_finish. */
void setup_init(struct setup *s);
void setup_finish(struct setup *s);
/** Eats N bytes of the client's; returns the state. Bytes behind the message are kept for
 * setup_take. */
enum setup_state setup_feed(struct setup *s, const void *p, size_t n);
/** After SETUP_WHOLE: adds to OUT all that was fed, with PROJECT in the place of the model's
 * project (empty, the same or no project there: as it came). ERR_NOMEM when OUT failed. */
enum err setup_take(const struct setup *s, struct slice project, struct sbuf *out) NODISCARD;
/** A close frame for the client (RFC 6455 section 5.5.1); returns its length. REASON at most 100
 * bytes. */
size_t setup_close_frame(uint16_t code, const char *reason, unsigned char buf[128]);
/** What the answer's Sec-WebSocket-Extensions must say so that a first message may be replaced by
 * an uncompressed one: true, and OUT, which was empty, holds it, when VALUE agrees to
 * permessage-deflate without client_no_context_takeover (RFC 7692 section 7.1.1.2). */
bool setup_extensions(struct slice value, struct sbuf *out);

#endif
