/* room: token */
/* What the token endpoint (or whoever stands in its place) says: any status and bytes end in a
 * token that is safe in a header, or in a fault with words of our own. The first two bytes are the
 * status. */
#include "base/check.h"
#include "token/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int status = size < 2 ? 200 : (data[0] << 8 | data[1]) % 700;
    struct slice body = size < 2 ? slice_make(data, size) : slice_make(data + 2, size - 2);
    struct token_answer a;
    token_answer_parse(status, body, &a);
    if (a.fault != FAULT_NONE) {
        CHECK(a.fault < FAULT_COUNT && a.err != ERR_OK && a.reason && a.advice);
        CHECK(fault_delay_s(a.fault, 1) >= 1 && fault_delay_s(a.fault, size) <= 3600);
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
