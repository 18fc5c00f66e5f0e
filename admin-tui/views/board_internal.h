/* What the files of the board share: rows with their text, and the sums of usage. */
#ifndef VIEWS_BOARD_INTERNAL_H
#define VIEWS_BOARD_INTERNAL_H
#include "base/arena.h"
#include "store/store.h"
#include "views/board.h"

enum board_part {
    PART_ACCOUNTS,
    PART_POOLS,
    PART_MEMBERS,
    PART_TOKENS,
    PART_CLIENTS,
    PART_RULES,
    PART_MODELS,
    PART_EVENTS,
    PART_REQUESTS,
    PART_NODES,
    PART_COUNT
};

/* The rows of one table and their text; they go together when newer ones are there. */
struct part {
    struct arena text;
    char *rows;
    size_t row_size;
    int count;
    bool has_failed; /* no memory */
    uint64_t look;   /* in which one they were read; 0 never */
    int64_t due_s;   /* then something of it is over; 0 nothing will be */
};

struct reading {
    struct store *s;
    int64_t now_ms;
    struct part *v[PART_COUNT]; /* being read, or as they are */
    struct part *into;
};

enum err board_read_part(struct reading *r, enum board_part which, struct errmsg *msg) NODISCARD;
void part_finish(struct part *p);
/** Index of NAME in rows that begin with an id and a name and lie in the order of their names, -1.
 */
int part_find(const struct part *p, const char *name);

/* Sums by two keys: pool and account, or client alone. */
struct sum {
    int64_t a, b; /* A is never 0 */
    int64_t requests, errors, limited, recent, tokens_in, tokens_out;
};
struct sums {
    struct sum *v; /* SIZE slots, open addressing */
    size_t n, size;
};

#define USAGE_MINUTES 5
struct usage_minute {
    int64_t minute; /* Unix s; 0 nothing is here */
    bool is_over;   /* nobody adds to it any more */
    struct sums members, clients;
};

struct usage_sums {
    struct usage_minute minutes[USAGE_MINUTES]; /* by their number modulo USAGE_MINUTES */
    struct sums day;                            /* by client, from day_start to UNTIL, */
    char day_from[192];                         /* and of that minute up to this client, "" none */
    int64_t day_start, until;

    bool is_under_way;          /* a pass over the minutes */
    int64_t pass_s, pass;       /* when it began, and that minute */
    int64_t at;                 /* the minute that it walks */
    char from[192];             /* the client at which it goes on there, "" the first */
    struct usage_minute walked; /* what it found in AT */
    uint64_t due_us;            /* no piece before */
    uint64_t look;              /* of the store, when it began */

    struct sums members, clients; /* what is shown: of WINDOW_S seconds; of today */
    int64_t window_s;             /* 0: nothing yet */
    bool has_day;
};

/** AT_ONCE: it does not rest after a piece. */
bool usage_is_due(const struct usage_sums *u, uint64_t look, int64_t now_s, bool at_once);
/** Something of what is shown is not there yet. */
bool usage_is_partial(const struct usage_sums *u);
/** Sums a piece of what is new. The accounts, pools and clients of B must have been read. */
enum err usage_sum(struct usage_sums *u, struct store *s, const struct board *b, uint64_t look,
                   struct errmsg *msg) NODISCARD;
/** Writes the sums into members and clients. */
void usage_show(const struct usage_sums *u, struct board *b, struct board_client *clients);
void usage_finish(struct usage_sums *u);

#endif
