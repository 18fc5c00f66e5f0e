/* Between clients.c (what is shown), clients_why.c (in words) and clients_keys.c (what is done). */
#ifndef VIEWS_CLIENTS_INTERNAL_H
#define VIEWS_CLIENTS_INTERNAL_H
#include "views/app.h"

#define CLIENT_FIELDS 7
#define CLIENT_TEXT 512

struct clients {
    struct screen screen;
    bool is_utf8;            /* of the canvas drawn last: bars are cells of the table */
    char proxy[300];         /* where clients reach us: "http://proxy.corp:3128" */
    char chosen[STAGE_NAME]; /* what a question is about */
    char form[CLIENT_FIELDS][CLIENT_TEXT], was[CLIENT_FIELDS][CLIENT_TEXT];
    char path[CLIENT_TEXT];
};

const struct board_client *clients_at(const struct clients *v, int row);
struct table_source clients_source(struct clients *v);
bool clients_key(struct clients *v, int key);

/** Has it used up the tokens of today, as far as the store tells? */
bool client_is_at_limit(const struct board_client *c);
/** Are its tokens of today known: counted, or nothing was asked? */
bool client_has_tokens(const struct board_client *c);
/** What stands between it and an answer now: a line for each, which begins with the status that it
 * would get. Returns how many. Needs accounts, tokens, rules, models and usage of B. */
int client_obstacles(const struct board *b, const struct board_client *c, struct sbuf *out);
/** Everything known of it in lines; obstacles begin with "! ". */
void client_describe(const struct board *b, const struct board_client *c, struct sbuf *out);

#endif
