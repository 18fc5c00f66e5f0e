/* Between live.c (the list), live_rows.c (what is in it) and live_say.c (one request in words). */
#ifndef VIEWS_LIVE_INTERNAL_H
#define VIEWS_LIVE_INTERNAL_H
#include "views/app.h"

enum live_show {
    LIVE_ALL,
    LIVE_UNDER_WAY,
    LIVE_ENDED,
    LIVE_SHOWS
};

/* One request, under way or ended: a copy, so that it stays as it was shown while the daemon and
 * the store go on. */
struct live_row {
    int64_t key;
    bool is_live, has_failed;
    int64_t when_ms; /* it began, or ended */
    int64_t status, up, down, ms, ttfb_ms;
    int64_t route_ms, token_ms, sent_ms; /* -1: not yet, or not kept */
    char id[32], phase[12], peer[64], client[96], account[96], method[12], host[160], path[256];
    char model[96], front[4], back[4], reason[40];
    char tries[256]; /* "name:status name:word", the last one included; "" only one */
};

struct live {
    struct screen screen;
    bool follows;
    enum live_show show;
    struct live_row *rows; /* newest first */
    int count, space;
    int live_count;
    char chosen[32]; /* the request that a question is about */
};

/** Copies what daemon and store say now into rows. */
void live_collect(struct live *v);
/** "gemini-2.5-pro stream", or host and path where no model is known. */
void live_target(const struct live_row *r, char *buf, size_t size);
/** "sa-1>sa-2": all that were tried. */
void live_accounts(const struct live_row *r, char *buf, size_t size);
/** What is known of it in lines; those that begin with "!" say why it failed. */
void live_describe(const struct live_row *r, struct sbuf *out);

#endif
