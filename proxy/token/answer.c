/* The table of what a token endpoint can say. Nothing of its text is passed on: reasons and
 * sentences are ours. */
#include "token/answer.h"

#include "keys/json.h"

#include <curl/curl.h>

static const struct token_answer garbage = {
    .fault = FAULT_TRANSIENT,
    .err = ERR_PROTOCOL,
    .reason = "endpoint_garbage",
    .advice = "the token endpoint's answer makes no sense: is something in between?",
};

/* First match counts; NEEDLE is looked for in error_description without case, NULL matches any. */
static const struct {
    const char *error, *needle;
    struct token_answer answer;
} known[] = {
    {"invalid_grant",
     "invalid jwt signature",
     {.fault = FAULT_KEY,
      .err = ERR_DENIED,
      .reason = "invalid_grant",
      .advice =
          "the key was deleted or rotated at Google, or is not this account's: add a new key"}},
    {"invalid_grant",
     "account not found",
     {.fault = FAULT_ACCOUNT,
      .err = ERR_DENIED,
      .reason = "account_not_found",
      .advice = "Google knows no such service account: it was deleted, or the e-mail is wrong"}},
    {"invalid_grant",
     "iat and exp",
     {.fault = FAULT_CLOCK,
      .err = ERR_AGAIN,
      .reason = "clock_skew",
      .advice = "this machine's clock is wrong (the account is fine): synchronise it"}},
    {"invalid_grant",
     "short-lived token",
     {.fault = FAULT_CLOCK,
      .err = ERR_AGAIN,
      .reason = "clock_skew",
      .advice = "this machine's clock is wrong (the account is fine): synchronise it"}},
    {"invalid_grant",
     "no valid verifier",
     {.fault = FAULT_YOUNG,
      .err = ERR_AGAIN,
      .reason = "not_propagated",
      .advice = "the service account is too new for Google's token endpoint: a matter of minutes"}},
    {"invalid_grant",
     NULL,
     {.fault = FAULT_KEY,
      .err = ERR_DENIED,
      .reason = "invalid_grant",
      .advice = "Google refuses the account's assertions: check key and account"}},
    {"invalid_scope",
     NULL,
     {.fault = FAULT_CONFIG,
      .err = ERR_CONFIG,
      .reason = "invalid_scope",
      .advice = "Google does not know a scope of this account: correct its scope"}},
    {"invalid_request",
     NULL,
     {.fault = FAULT_CONFIG,
      .err = ERR_PROTOCOL,
      .reason = "invalid_request",
      .advice = "the token endpoint does not understand the request: please report this"}},
    {"invalid_client",
     NULL,
     {.fault = FAULT_ACCOUNT,
      .err = ERR_DENIED,
      .reason = "invalid_client",
      .advice = "the service account may not get tokens"}},
    {"unauthorized_client",
     NULL,
     {.fault = FAULT_ACCOUNT,
      .err = ERR_DENIED,
      .reason = "unauthorized_client",
      .advice = "the service account may not get tokens with these scopes"}},
    {"disabled_client",
     NULL,
     {.fault = FAULT_ACCOUNT,
      .err = ERR_DENIED,
      .reason = "disabled_client",
      .advice = "the service account is disabled"}},
    {"admin_policy_enforced",
     NULL,
     {.fault = FAULT_ACCOUNT,
      .err = ERR_DENIED,
      .reason = "admin_policy_enforced",
      .advice = "a policy of the organisation forbids tokens for this account"}},
    {"internal_failure",
     NULL,
     {.fault = FAULT_TRANSIENT,
      .err = ERR_AGAIN,
      .reason = "endpoint_unavailable",
      .advice = "the token endpoint has a failure of its own"}},
    {"server_error",
     NULL,
     {.fault = FAULT_TRANSIENT,
      .err = ERR_AGAIN,
      .reason = "endpoint_unavailable",
      .advice = "the token endpoint has a failure of its own"}},
    {"temporarily_unavailable",
     NULL,
     {.fault = FAULT_TRANSIENT,
      .err = ERR_AGAIN,
      .reason = "endpoint_unavailable",
      .advice = "the token endpoint is not available right now"}},
};

/* NEEDLE is lower case. */
static bool holds(struct slice text, struct slice needle)
{
    for (size_t i = 0; i + needle.n <= text.n; i++)
        if (slice_istarts(slice_sub(text, i, text.n), needle))
            return true;
    return false;
}

static struct slice text_member(const cJSON *root, const char *name)
{
    const cJSON *m = NULL;
    if (json_member(root, name, &m) != ERR_OK || !cJSON_IsString(m))
        return SLICE("");
    return slice_of(m->valuestring);
}

static struct token_answer judge_error(const cJSON *root)
{
    struct slice error = text_member(root, "error");
    struct slice description = text_member(root, "error_description");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_eq(error, slice_of(known[i].error)) &&
            (!known[i].needle || holds(description, slice_of(known[i].needle))))
            return known[i].answer;
    return garbage;
}

/* Statuses that speak for themselves, whatever the body says. */
static bool judge_status(int status, struct token_answer *ret)
{
    if (status == 429)
        *ret = (struct token_answer){.fault = FAULT_TRANSIENT,
                                     .err = ERR_LIMIT,
                                     .reason = "endpoint_rate_limited",
                                     .advice = "the token endpoint asks for fewer requests"};
    else if (status == 408 || (status >= 500 && status <= 599))
        *ret = (struct token_answer){.fault = FAULT_TRANSIENT,
                                     .err = ERR_AGAIN,
                                     .reason = "endpoint_unavailable",
                                     .advice = "the token endpoint has a failure of its own"};
    else
        return false;
    return true;
}

/* It becomes a header value: nothing but 0x21..0x7e may ever stand in it. */
static bool is_token(struct slice s)
{
    if (s.n == 0 || s.n > TOKEN_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return false;
    return true;
}

/* A number, or the same in quotes, as some endpoints have it. */
static bool life_of(const cJSON *root, int64_t *ret)
{
    const cJSON *m = NULL;
    uint64_t v = 0;
    if (json_member(root, "expires_in", &m) != ERR_OK)
        return false;
    if (cJSON_IsString(m) && !slice_to_u64(slice_of(m->valuestring), &v))
        return false;
    if (cJSON_IsNumber(m) && m->valuedouble >= 0 && m->valuedouble <= TOKEN_LIFE_MAX_S)
        v = (uint64_t)m->valuedouble;
    *ret = (int64_t)v;
    return v >= TOKEN_LIFE_MIN_S && v <= TOKEN_LIFE_MAX_S;
}

static struct token_answer read_token(const cJSON *root)
{
    struct token_answer a = {.fault = FAULT_NONE};
    struct slice token = text_member(root, "access_token");
    if (!is_token(token) || !slice_ieq(text_member(root, "token_type"), SLICE("bearer")) ||
        !life_of(root, &a.expires_in_s))
        return garbage;
    a.token = secret_new(token.p, token.n);
    if (!a.token)
        return (struct token_answer){.fault = FAULT_TRANSIENT,
                                     .err = ERR_NOMEM,
                                     .reason = "no_memory",
                                     .advice = "this machine is out of memory"};
    return a;
}

void token_answer_parse(int status, struct slice body, struct token_answer *ret)
{
    if (judge_status(status, ret))
        return;
    cJSON *root = NULL;
    *ret = garbage;
    if (json_object_parse(body, TOKEN_ANSWER_MAX, &root, NULL) != ERR_OK)
        return;
    if (status == 200)
        *ret = read_token(root);
    else if (status >= 400)
        *ret = judge_error(root);
    json_object_destroy(root);
}

static const struct {
    uint32_t first_s, max_s;
    bool is_permanent;
} delays[FAULT_COUNT] = {
    [FAULT_NONE] = {0, 0, false},       [FAULT_TRANSIENT] = {1, 60, false},
    [FAULT_CLOCK] = {5, 60, false},     [FAULT_YOUNG] = {2, 60, false},
    [FAULT_KEY] = {300, 3600, true},    [FAULT_ACCOUNT] = {300, 3600, true},
    [FAULT_CONFIG] = {300, 3600, true},
};

void token_answer_field(struct slice line, int64_t *date_s, uint32_t *retry_after_s)
{
    char value[64];
    uint64_t seconds;
    while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
        line.n--;
    if (slice_istarts(line, SLICE("date:")) &&
        slice_copy(slice_trim(slice_sub(line, 5, line.n)), value, sizeof value)) {
        time_t t = curl_getdate(value, NULL);
        *date_s = t > 0 ? (int64_t)t : 0;
    } else if (slice_istarts(line, SLICE("retry-after:")) &&
               slice_to_u64(slice_trim(slice_sub(line, 12, line.n)), &seconds)) {
        *retry_after_s = (uint32_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S);
    }
}

uint32_t fault_delay_s(enum token_fault fault, uint64_t fails)
{
    uint32_t s = delays[fault].first_s;
    for (uint64_t i = 1; i < fails && s < delays[fault].max_s; i++)
        s *= 2;
    return s < delays[fault].max_s ? s : delays[fault].max_s;
}

bool fault_is_permanent(enum token_fault fault)
{
    return delays[fault].is_permanent;
}
