/* What the screens show: rows of the store as plain structs, read anew when the store moved, and
 * only the tables that are needed. Every string is NUL-terminated and lives until the next
 * board_refresh. Never a secret. One thread. */
#ifndef VIEWS_BOARD_H
#define VIEWS_BOARD_H
#include "base/err.h"
#include "store/snapshot.h"

struct conf;

enum board_need {
    BOARD_ACCOUNTS = 1 << 0, /* accounts, pools, members, cool-downs, models: always read */
    BOARD_TOKENS = 1 << 1,
    BOARD_CLIENTS = 1 << 2,
    BOARD_RULES = 1 << 3,
    BOARD_EVENTS = 1 << 4,   /* the last BOARD_EVENTS_MAX */
    BOARD_REQUESTS = 1 << 5, /* the last BOARD_REQUESTS_MAX */
    BOARD_NODES = 1 << 6,
    BOARD_MODELS = 1 << 7, /* the rows; how many an account has is always known */
    BOARD_USAGE = 1 << 8,  /* of the last five minutes by pool member, and of today by client */
    BOARD_AT_ONCE = 1 << 9 /* usage without rests between its pieces: somebody waits for it */
};
#define BOARD_EVENTS_MAX 500
#define BOARD_REQUESTS_MAX 500

/* Of one member, or summed. is_known false: nobody can say, and the screen shows a dash. As the
 * usage rows tell it: RECENT_S reaches back to the start of the last whole minute, and OPEN is
 * unknown. */
struct board_figures {
    bool is_known;
    int64_t window_s; /* REQUESTS were answered in this time */
    int64_t requests, limited, errors;
    int64_t recent_s, recent; /* requests in the last RECENT_S seconds */
    int64_t open;             /* under way; -1 unknown */
};

struct board_token {
    const char *account, *scope, *last_error, *fingerprint;
    bool has_token;
    int64_t expires_at, minted_at, mints, mint_ms, fails, retry_at; /* Unix s */
};

struct board_account {
    int64_t id;
    const char *name, *project, *location, *email, *host, *scope, *key_id, *key_fingerprint, *note;
    enum account_kind kind;
    enum account_state state;
    int64_t cool_until, cool_since; /* the whole account; Unix s, 0 not cooling */
    const char *cool_reason;
    int model_cools;                 /* models of it that cool */
    int models;                      /* rows; 0: every model */
    const struct board_token *token; /* of its scope; NULL: none known, or not asked for */
    int64_t created_at;
};

struct board_member {
    int pool, account; /* indices */
    double weight;
    struct board_figures figures;
};

struct board_pool {
    int64_t id;
    const char *name;
    int first, count; /* its members: members[first..first + count) */
    int64_t clients;
};

struct board_client {
    int64_t id;
    const char *name, *pool, *visible, *models, *note;
    enum service service;
    const char *state; /* "on", "off", "expired", "revoked" */
    bool has_virtual;
    int64_t expires_at, rpm, tokens_per_day, created_at, last_seen_at;
    bool has_usage;          /* false: today is not summed yet. It begins at midnight, UTC */
    int64_t minute_requests; /* in the last whole minute */
    int64_t today_requests, today_errors, today_limited, today_tokens_in, today_tokens_out;
};

struct board_rule {
    int64_t id;
    const char *pattern, *action, *api, *paths;
};

struct board_model {
    int64_t id;
    const char *account, *model, *domain; /* domain "": the request's own host */
};

struct board_event {
    int64_t id, at_ms, times, generation, undone_by;
    const char *kind, *who, *what; /* kind: "audit", "alarm", "info" */
    const char *before, *after;    /* JSON, "" none */
    bool is_undo;
};

struct board_request {
    int64_t id, at_ms, status, attempts, up, down, ttfb_ms, ms;
    const char *request_id, *peer, *client, *account, *tried, *method, *host, *path, *model, *front,
        *back, *reason;
};

struct board_node {
    const char *name, *version, *state, *address;
    int64_t pid, started_at, seen_at, generation;
};

struct board {
    int64_t now_s, now_ms; /* wall clock of the last board_refresh */
    bool is_there;         /* something was read, now or before */
    int64_t read_at_ms;    /* when that was */
    char problem[256];     /* why the last refresh read nothing, "" it did */
    bool is_newer;         /* the schema is newer than we are: look, do not touch */
    int64_t generation;
    int64_t generation_at; /* Unix s of the last audit row, 0 unknown */
    const struct board_account *accounts;
    int account_count;
    const struct board_pool *pools;
    int pool_count;
    struct board_member *members; /* by pool, then account */
    int member_count;
    const struct board_token *tokens;
    int token_count;
    const struct board_client *clients;
    int client_count;
    const struct board_rule *rules; /* as the store lists them */
    int rule_count;
    const struct board_model *models; /* by account, then model */
    int model_count;
    const struct board_event *events; /* newest first */
    int event_count;
    const struct board_request *requests; /* newest first */
    int request_count;
    const struct board_node *nodes;
    int node_count;
    int64_t usage_at_ms; /* when usage was summed last; 0 never */
    bool is_summing;     /* usage was asked for, and pieces of it are still to come */
};

struct board_source;

/** Opens nothing yet. Borrows CONF. */
enum err board_create(const struct conf *conf, struct board_source **ret) NODISCARD;
void board_destroy(struct board_source *b);
/** Reads what NEEDS says if the store moved since (or needs more than was read); opens the store
 * when it is closed, follows a restored one. Never waits longer than 50 ms for a lock. What cannot
 * be read stays as it was, and board.problem says why. Usage is summed at most so often that it
 * takes a hundredth of the time, a long day in pieces. True: something may look different now, and
 * the figures of all members are those of the usage again: what the daemon tells is to be written
 * over them once more. */
bool board_refresh(struct board_source *b, unsigned needs);
/** Forgets what was read: the next refresh reads in any case. */
void board_touch(struct board_source *b);
const struct board *board_get(const struct board_source *b);
/** For what the daemon tells of members: writable, NULL when there is none of these names. */
struct board_member *board_member_find(struct board_source *b, const char *pool,
                                       const char *account);
int board_account_find(const struct board *b, const char *name); /* index, -1 */
int board_pool_find(const struct board *b, const char *name);

#endif
