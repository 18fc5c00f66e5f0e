/* room: console_cli */
/* drives: admin-tui/cli/daemon_parse.c */
/* dict: http */
/* What the console believes of whoever answers at the daemon's socket or its admin port. */
#include "../../admin-tui/cli/daemon.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_make(data, size), body = {NULL, 0};
    struct errmsg msg = {""};
    cJSON *v = NULL;
    int status = -1;
    enum err e = daemon_parse_line(all, &v, &msg);
    CHECK((e == ERR_OK) == (v != NULL));
    if (v)
        CHECK(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(v, "ok")));
    else
        CHECK(e == ERR_INVALID || *msg.text);
    cJSON_Delete(v);
    if (daemon_parse_http(all, &status, &body)) {
        CHECK(status >= 0 && status <= 999 && slice_ends(all, body));
        CHECK(slice_ends(slice_sub(all, 0, size - body.n), SLICE("\r\n\r\n")));
    } else {
        CHECK(status == -1);
    }
    return 0;
}
