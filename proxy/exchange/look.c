/* An exchange as it is told: to the record at its end, to an operator before that. */
#include "exchange/look.h"

#include "exchange/exchange_internal.h"

void exchange_tell(const struct exchange *x, struct exchange_record *ret)
{
    *ret = (struct exchange_record){
        .conn_id = x->info.conn_id,
        .pool_id = x->client ? x->snap->pools[x->client->pool].id : 0,
        .generation = x->snap->generation,
        .request_id = slice_of(x->request_id),
        .peer = slice_of(x->info.peer),
        .method = x->base.method,
        .host = authority_host(&x->info.authority),
        .path = x->is_forwarded ? x->original_path : (struct slice){"", 0},
        .query_keys = x->is_forwarded ? x->query_keys : (struct slice){"", 0},
        .client = x->client,
        .account = x->attempt_count ? x->pick.account : NULL,
        /* only what a provider took for a model: a client may write anything there */
        .model = (x->status == 101 || (x->status >= 200 && x->status < 300)) && !x->is_own_answer
                     ? x->model
                     : (struct slice){"", 0},
        .attempts = x->attempts,
        .attempt_count = x->attempt_count,
        .status = x->status,
        .is_own_answer = x->is_own_answer,
        .reason = x->reason,
        .bytes_up = x->bytes_up,
        .bytes_down = x->bytes_down,
        .ttfb_ms = x->first_byte_ms ? x->first_byte_ms - x->began_ms : 0,
        .ms = x->svc->loop->now_ms - x->began_ms,
        .is_swap = !x->is_relay,
        .front_is_h2 = x->front_is_h2,
        .back_is_h2 = x->back_is_h2,
    };
}

static const char *phase_of(const struct exchange *x)
{
    static const char *const words[X_STATES] = {
        [X_BEGIN] = "head",    [X_GRANT] = "model", [X_MODEL] = "model",
        [X_TOKEN] = "token",   [X_DIAL] = "dial",   [X_SEND] = "send",
        [X_STREAM] = "stream", [X_REPLY] = "reply", [X_OVER] = "end"};
    return x->state == X_STREAM && x->answer_ended ? "end" : words[x->state];
}

static int64_t stamp_ms(uint32_t stamp)
{
    return (int64_t)stamp - 1;
}

static void look_at(const struct exchange *x, struct exchange_look *ret)
{
    exchange_tell(x, &ret->so_far);
    if (x->is_forwarded)
        ret->so_far.model = x->model;
    ret->phase = phase_of(x);
    ret->began_ms = x->began_ms;
    ret->is_open = !x->is_relay && x->client && x->attempt_count && x->state >= X_TOKEN &&
                   x->state <= X_STREAM;
    ret->route_ms = stamp_ms(x->stamps.route);
    ret->token_ms = stamp_ms(x->stamps.token);
    ret->sent_ms = stamp_ms(x->stamps.sent);
    ret->first_ms = stamp_ms(x->stamps.first);
}

void exchanges_look(const struct services *s, exchange_look_cb cb, void *arg)
{
    for (const struct list *l = s->exchanges.next; l && l != &s->exchanges; l = l->next) {
        struct exchange_look look;
        look_at(container_of(l, struct exchange, link), &look);
        if (!cb(arg, &look))
            return;
    }
}

bool exchange_end(struct services *s, struct slice request_id, const char *why, exchange_look_cb cb,
                  void *arg)
{
    for (struct list *l = s->exchanges.next; l && l != &s->exchanges; l = l->next) {
        struct exchange *x = container_of(l, struct exchange, link);
        struct exchange_look look;
        if (!slice_eq(slice_of(x->request_id), request_id))
            continue;
        look_at(x, &look);
        cb(arg, &look);
        exchange_abort(x, why);
        return true;
    }
    return false;
}
