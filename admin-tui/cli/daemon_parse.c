/* What the daemon said, from bytes to values: no socket here. */
#include "cli/daemon.h"
#include "cli/out.h"

enum err daemon_parse_line(struct slice line, cJSON **ret, struct errmsg *msg)
{
    line = slice_sub(line, 0, slice_find(line, '\n', 0));
    cJSON *v = cJSON_ParseWithLength(line.p, line.n);
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(v, "ok");
    enum err e = ERR_OK;
    if (!cJSON_IsObject(v) || !cJSON_IsBool(ok))
        e = err_set(msg, ERR_PROTOCOL,
                    "the daemon's answer is not understood; is it another version?");
    else if (cJSON_IsFalse(ok))
        e = err_set(msg, ERR_INVALID, "%s", json_get_z(v, "error"));
    if (e == ERR_OK)
        *ret = v;
    else
        cJSON_Delete(v);
    return e;
}

bool daemon_parse_http(struct slice answer, int *ret_status, struct slice *ret_body)
{
    uint64_t status;
    if (!slice_starts(answer, SLICE("HTTP/1.")) || answer.n < 12 ||
        !slice_to_u64(slice_sub(answer, 9, 12), &status))
        return false;
    size_t end = slice_search(answer, SLICE("\r\n\r\n"));
    if (end == answer.n)
        return false;
    *ret_status = (int)status;
    *ret_body = slice_sub(answer, end + 4, answer.n);
    return true;
}
