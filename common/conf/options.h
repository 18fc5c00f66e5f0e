/* The one option table: it drives parsing, the environment, `config show` and the sample file. */
#ifndef CONF_OPTIONS_H
#define CONF_OPTIONS_H
#include "base/err.h"
#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_INT,
    OPTION_BOOL,
    OPTION_STR,
    OPTION_STR_LIST,
    OPTION_INT_LIST
};

struct conf_option {
    const char *section, *key;
    enum option_type type;
    size_t offset;    /* of the member in struct conf */
    int64_t min, max; /* OPTION_INT and each of OPTION_INT_LIST */
    const char *unit; /* "s", "bytes" or "" */
    const char *def;  /* as in the environment: lists separated by commas */
    const char *help; /* one line */
    /** Checks one string (each one of a list); NULL: any. On failure *RET_WHY is a static phrase.
     */
    bool (*check)(struct slice value, const char **ret_why);
};

/** The table, section by section in the order of the sample file. */
const struct conf_option *conf_options(size_t *ret_count);

#endif
