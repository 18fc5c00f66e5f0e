/* A line of the daemon's as values, every member checked. Pure: bytes from a socket are believed
 * here or nowhere. */
#ifndef VIEWS_FEED_PARSE_H
#define VIEWS_FEED_PARSE_H
#include "base/arena.h"
#include "views/feed.h"

#define FEED_LINE_MAX (4u << 20)
#define FEED_MEMBERS_MAX 20000
#define FEED_LIVE_MAX 500
#define FEED_ATTEMPTS_MAX 64
#define FEED_REFUSALS_MAX 64
#define FEED_LEAVES_MAX 500
#define FEED_TEXT_MAX 8192

enum feed_word {
    FEED_WORD_NONE, /* a refusal that does not say of what */
    FEED_WORD_FIGURES,
    FEED_WORD_LIVE,
    FEED_WORD_TRUST,
    FEED_WORD_LEAVES,
    FEED_WORD_END,
    FEED_WORD_COUNT
};

struct feed_answer {
    enum feed_word word;
    bool is_ok;
    char error[256]; /* the daemon's sentence when it is not */
    union {
        struct feed_figures figures;
        struct feed_live live;
        struct feed_trust trust;
        struct feed_leaves leaves;
    } u;                /* by WORD, when IS_OK; at_ms is 0 */
    struct arena arena; /* owns the rows and all text */
};

const char *feed_word_name(enum feed_word w);
/** LINE without its line end. ERR_PROTOCOL: it makes no sense, MSG says why and RET is untouched;
 * ERR_NOMEM. Else RET is to be finished. */
enum err feed_parse(struct slice line, struct feed_answer *ret, struct errmsg *msg) NODISCARD;
void feed_answer_finish(struct feed_answer *a);

#endif
