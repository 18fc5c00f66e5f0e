/* Between the files of this room. */
#ifndef CONF_INTERNAL_H
#define CONF_INTERNAL_H
#include "base/sbuf.h"
#include "conf/options.h"

enum conf_source {
    SOURCE_DEFAULT,
    SOURCE_FILE,
    SOURCE_ENV
};
struct conf_origin {
    enum conf_source source;
    int line; /* SOURCE_FILE */
};

/* Where an option stands in the file: 0 when it does not. */
struct scan {
    const char *name;  /* of the file, for messages */
    struct sbuf clean; /* the text, comments blanked, line for line */
    int *line_of;      /* of each option of the table */
    int *section_line; /* likewise, counted at the first option of the section */
};

/** What libconfuse would let pass: see scan.c. Fills OUT, whose `clean` and arrays the caller made
 * and frees. */
enum err conf_scan(struct slice text, struct scan *out, struct errmsg *msg) NODISCARD;

/** "CREDSWAP_SECTION_KEY" into BUF. */
void conf_env_name(const struct conf_option *o, char *buf, size_t size);

#endif
