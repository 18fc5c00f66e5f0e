/* Key files and answers of token endpoints come through here. */
#include "keys/json.h"

#include "base/mem.h"

/* cJSON recurses and cuts strings at an escaped NUL, so depth and that escape are settled on the
 * bytes. */
static const char *scan(struct slice text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\0')
            return "holds a NUL byte";
        if (in_string) {
            if (c == '\\' && slice_starts(slice_sub(text, i + 1, text.n), SLICE("u0000")))
                return "holds an escaped NUL";
            if (c == '\\')
                i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return "is nested too deeply";
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return NULL;
}

static cJSON *parse(struct slice text)
{
    const char *end = text.p;
    cJSON *root = text.n ? cJSON_ParseWithLengthOpts(text.p, text.n, &end, 0) : NULL;
    bool ok = cJSON_IsObject(root);
    while (ok && end < text.p + text.n && (*end == ' ' || (*end >= '\t' && *end <= '\r')))
        end++;
    if (ok && end == text.p + text.n)
        return root;
    json_object_destroy(root);
    return NULL;
}

enum err json_object_parse(struct slice text, size_t max, cJSON **ret, const char **ret_why)
{
    const char *why = text.n > max ? "is too large" : scan(text);
    cJSON *root = why ? NULL : parse(text);
    if (root) {
        *ret = root;
        return ERR_OK;
    }
    if (ret_why)
        *ret_why = why ? why : "is not a JSON object";
    return text.n > max ? ERR_TOO_LARGE : ERR_INVALID;
}

void json_object_destroy(cJSON *root)
{
    cJSON *item = NULL;
    cJSON_ArrayForEach(item, root)
    {
        if (item->valuestring)
            mem_wipe(item->valuestring, strlen(item->valuestring));
    }
    cJSON_Delete(root);
}

enum err json_member(const cJSON *root, const char *name, const cJSON **ret)
{
    const cJSON *found = NULL, *item = NULL;
    cJSON_ArrayForEach(item, root)
    {
        if (!item->string || strcmp(item->string, name) != 0)
            continue;
        if (found)
            return ERR_EXISTS;
        found = item;
    }
    *ret = found;
    return ERR_OK;
}
