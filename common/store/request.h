/* The last requests, one row each; a trigger keeps the newest 10,000. */
#ifndef STORE_REQUEST_H
#define STORE_REQUEST_H
#include "store/store.h"

#define REQUEST_KEEP 10000

struct request_row {
    int64_t id;                      /* goes up by one */
    int64_t at_ms;                   /* Unix ms, when it ended */
    struct slice request_id;         /* as in x-credswap-request-id */
    struct slice peer;               /* address of the caller */
    struct slice client, account;    /* names, "" none */
    struct slice tried;              /* accounts tried before, with spaces */
    struct slice method, host, path; /* path without its query */
    struct slice model;
    struct slice front, back; /* "h1", "h2" */
    int64_t status;           /* 0: no answer was sent */
    int64_t attempts;
    struct slice reason; /* why it failed, "" fine */
    int64_t bytes_up, bytes_down, tokens_in, tokens_out, tokens_cache_read, tokens_cache_write;
    int64_t ttfb_ms, ms;
};
typedef enum err (*request_cb)(void *arg, const struct request_row *r);

/* Empty slices and 0 do not filter. */
struct request_filter {
    int64_t after_id; /* only newer ones, for --follow */
    bool from_oldest; /* the oldest LIMIT of them, so that whoever follows misses none */
    struct slice client, account, model;
    int64_t status_min, status_max;
    size_t limit; /* 0: 100 */
};

/** For the writer. row.id is ignored. */
enum err request_add(struct store *s, const struct request_row *r, struct errmsg *msg) NODISCARD;
/** The newest LIMIT that pass the filter (or the oldest), oldest of them first. */
enum err request_list(struct store *s, const struct request_filter *f, request_cb cb, void *arg,
                      struct errmsg *msg) NODISCARD;

#endif
