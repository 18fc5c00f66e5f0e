/* Exchanges under way, as others may see them. Their worker's thread only. */
#ifndef EXCHANGE_LOOK_H
#define EXCHANGE_LOOK_H
#include "exchange/services.h"

/* Slices live during the call. */
struct exchange_look {
    struct exchange_record so_far; /* its ms: the age. Path and model only once a provider has had
                                      them: before that they may hold what is nobody's business */
    const char *phase; /* "head", "model", "token", "dial", "send", "stream", "reply", "end" */
    uint64_t began_ms; /* the loop's clock */
    bool is_open;      /* at so_far.account, which has yet to answer or answers now */
    /* ms since it began at which the present attempt had its account, its token, had sent the
     * request's head, got the answer's; -1: not yet */
    int64_t route_ms, token_ms, sent_ms, first_ms;
};

/** False: no more. */
typedef bool (*exchange_look_cb)(void *arg, const struct exchange_look *look);

/** All of the worker's, the oldest first. */
void exchanges_look(const struct services *s, exchange_look_cb cb, void *arg);
/** Ends the one with this id: its client sees a cut. CB hears of it before. False: there is none.
 */
bool exchange_end(struct services *s, struct slice request_id, const char *why, exchange_look_cb cb,
                  void *arg) NODISCARD;

#endif
