/* One request and its answer: the story.
 *
 *   begin > (auth) > [MODEL] > route > [TOKEN] > [DIAL] > SEND > STREAM > over
 *                                ^________another account, until committed____|
 *
 * The only code that sees both sides: front (the client's stream) and back (the provider's). */
#ifndef EXCHANGE_EXCHANGE_H
#define EXCHANGE_EXCHANGE_H
#include "exchange/services.h"
#include "http/stream.h"

/* Where a request came in. Copied. */
struct front_info {
    struct authority authority; /* what the client asked to be connected to */
    bool is_intercepted;        /* inside our TLS: Host must be the authority */
    bool sni_differs;           /* the ClientHello named another host */
    bool is_plain;        /* an http:// request of a proxy client: relayed, nothing is swapped */
    bool is_token_host;   /* where virtual service accounts are answered; all else is relayed */
    struct slice path;    /* gateway mode: instead of the head's path; "" not */
    struct slice gateway; /* of an upload in gateway mode: what the client writes before such a
                             path, "http://proxy:3128/gemini" */
    uint64_t conn_id;
    const char *peer; /* text; outlives the exchange */
};

/** Takes the stream over (its sink and owner) with the head that has come. Never fails: what goes
 * wrong is answered. */
void exchange_begin(struct services *s, const struct front_info *info, struct stream *front,
                    const struct head *h, bool end);
/** Ends it: the client sees a cut. For the end of a drain. */
void exchange_abort(struct exchange *x, const char *why);
/** All of the worker's, when the drain time is over. */
void exchanges_abort_all(struct services *s, const char *why);

#endif
