/* What an answer means for the account and for us: whose fault, what next. Pure; one table. */
#include "exchange/exchange_internal.h"

#include "conf/conf.h"

static const struct {
    int status;
    struct refusal refusal;
} refusals[] = {
    {429, {JUDGE_OTHER, "429", false, true}},
    {529, {JUDGE_OTHER, "529", false, true}},
    /* a host that blips must not drain the pool: nobody cools */
    {500, {JUDGE_OTHER, NULL, false, false}},
    {502, {JUDGE_OTHER, NULL, false, false}},
    {503, {JUDGE_OTHER, NULL, false, false}},
    {504, {JUDGE_OTHER, NULL, false, false}},
};

struct refusal judge_answer(int status, enum account_kind kind, bool token_renewed)
{
    if (status == 401) {
        if (kind == ACCOUNT_SERVICE && !token_renewed)
            return (struct refusal){JUDGE_NEW_TOKEN, NULL, false, true};
        return (struct refusal){JUDGE_OTHER, "401", true, true};
    }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i].status == status)
            return refusals[i].refusal;
    return (struct refusal){JUDGE_PASS, NULL, false, false};
}

/* Only before the first answer byte, while the body is wholly held; and once bytes of a batch,
 * upload or long-running request were sent, only after a definite refusal. */
bool retry_allowed(const struct exchange *x, bool is_definite)
{
    if (x->is_committed || !x->is_replayable || x->front_closed)
        return false;
    return is_definite || !x->match.is_resumable || !x->is_forwarded;
}

int64_t retry_after_s(const struct head *h)
{
    const struct field *f = head_get(h, FIELD_RETRY_AFTER);
    uint64_t s;
    if (!f || f->value.n > 9 || !slice_to_u64(f->value, &s))
        return -1;
    return (int64_t)s;
}

int grpc_http_status(const struct head *h, bool end)
{
    static const int http[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                               400, 409, 400, 501, 500, 503, 500, 401};
    const struct field *f = end && h->status == 200 ? head_get_name(h, SLICE("grpc-status")) : NULL;
    uint64_t code;
    if (!f || !slice_to_u64(f->value, &code) || code >= sizeof http / sizeof *http)
        return h->status;
    return http[code];
}
