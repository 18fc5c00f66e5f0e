/* room: token */
/* drives: proxy/token/answer.c common/keys/json.c */
/* dict: json */
/* What the token endpoint (or whoever stands in its place) says: any status and bytes end in a
 * token that is safe in a header, or in a fault with words of our own. The first two bytes are the
 * status. The same bytes, line by line, are its head. */
#include "base/check.h"
#include "token/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int status = size < 2 ? 200 : (data[0] << 8 | data[1]) % 700;
    struct slice body = size < 2 ? slice_make(data, size) : slice_make(data + 2, size - 2);
    struct token_answer a;
    struct slice rest = body, line;
    int64_t date_s = -1;
    uint32_t retry_after_s = 0;
    while (slice_next(&rest, '\n', &line)) {
        token_answer_field(line, &date_s, &retry_after_s);
        CHECK(date_s >= -1 && retry_after_s <= RETRY_AFTER_MAX_S);
    }
    token_answer_parse(status, body, &a);
    if (a.fault != FAULT_NONE) {
        CHECK(a.fault < FAULT_COUNT && a.err != ERR_OK && a.reason && a.advice);
        CHECK(!fault_is_permanent(FAULT_TRANSIENT) && fault_delay_s(a.fault, 1) >= 1 &&
              fault_delay_s(a.fault, size) <= 3600);
        return 0;
    }
    CHECK(status == 200 && a.token);
    CHECK(a.expires_in_s >= TOKEN_LIFE_MIN_S && a.expires_in_s <= TOKEN_LIFE_MAX_S);
    struct slice t = secret_bytes(a.token);
    CHECK(t.n > 0 && t.n <= TOKEN_MAX);
    for (size_t i = 0; i < t.n; i++)
        CHECK(t.p[i] > 0x20 && t.p[i] < 0x7f);
    secret_unref(&a.token);
    return 0;
}
