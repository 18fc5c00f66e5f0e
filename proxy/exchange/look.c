/* An exchange as an operator sees it, while it runs. */
#include "exchange/look.h"

#include "exchange/exchange_internal.h"

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
    ret->so_far = exchange_tell(x);
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
