/* Between accounts.c (what is shown) and accounts_keys.c (what is done). */
#ifndef VIEWS_ACCOUNTS_INTERNAL_H
#define VIEWS_ACCOUNTS_INTERNAL_H
#include "views/app.h"

struct accounts {
    struct screen screen;
    int pool; /* index of the board's pools; their count: accounts in no pool */
    char pool_name[STAGE_NAME];
    bool wants_loose;
    int *loose, loose_count;
    double *expected, *after; /* of the pool's members; one block */
    int64_t answers, window_s;
    int eligible;
    /* an account that is being added */
    char add[6][ENTRY_TEXT_MAX];
    struct sbuf pasted;
    char chosen[STAGE_NAME]; /* what a question is about */
    int64_t asked;           /* id of the account whose weight is being typed */
};

/** NULL when the rows are accounts in no pool. */
const struct board_member *accounts_member(const struct accounts *v, int row);
const struct board_account *accounts_account(const struct accounts *v, int row);
struct table_source accounts_source(struct accounts *v);
/** What is known of it in lines; those that begin with "!" are warnings. */
void accounts_describe(const struct accounts *v, int row, struct sbuf *out);
void accounts_view_update(struct accounts *v);
bool accounts_key(struct accounts *v, int key);

#endif
