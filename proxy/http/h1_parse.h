/* HTTP/1 heads: from bytes to values. llhttp parses; what even its strict mode lets pass is refused
 * here. Pure. */
#ifndef HTTP_H1_PARSE_H
#define HTTP_H1_PARSE_H
#include "http/stream.h"

#include <llhttp.h>

enum h1_scan {
    H1_MORE,
    H1_WHOLE,
    H1_BAD
};

/** Looks for the empty line that ends a head in P[0..N). *FROM (0 at first) remembers how far
 * earlier calls came. H1_BAD as soon as a line cannot be part of a good head (bare CR or LF, NUL, a
 * bad first line, a field line that is none), so that garbage is answered at once and not by a time
 * limit. */
enum h1_scan h1_scan_head(enum role role, const char *p, size_t n, size_t *from, size_t *ret_len,
                          struct fault *fault);

/** Parses the LEN bytes of one whole head. PARSER is initialised here and can go on with a chunked
 * body. FIELDS has room for HEAD_MAX_FIELDS. False: fault is set (RFC 9112; every check beyond
 * llhttp's has a vector in tests/unit/http). */
bool h1_parse_head(enum role role, llhttp_t *parser, const llhttp_settings_t *settings,
                   const char *p, size_t len, const struct session_limits *limits,
                   struct field *fields, struct head *ret, struct fault *fault);

#endif
