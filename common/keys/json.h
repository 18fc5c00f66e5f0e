/* JSON from strangers: bounds are settled before cJSON sees a byte. */
#ifndef KEYS_JSON_H
#define KEYS_JSON_H
#include "base/err.h"
#include "base/slice.h"

#include <cjson/cJSON.h>

#define JSON_DEPTH_MAX 8

/** One JSON object of at most MAX bytes and JSON_DEPTH_MAX levels, without NUL (escaped or not),
 * nothing behind it. ERR_TOO_LARGE, ERR_INVALID; *RET_WHY (may be NULL) is then a constant that
 * continues "the text ...". */
enum err json_object_parse(struct slice text, size_t max, cJSON **ret,
                           const char **ret_why) NODISCARD;
/** Wipes the text of ROOT's own members before freeing. NULL is fine. */
void json_object_destroy(cJSON *root);
/** ROOT's member NAME, or NULL in *RET; ERR_EXISTS when there are two: readers disagree about which
 * one counts. */
enum err json_member(const cJSON *root, const char *name, const cJSON **ret) NODISCARD;

#endif
