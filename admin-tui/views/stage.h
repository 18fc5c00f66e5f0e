/* Edits that are not live yet: weights and states, with what they were when they were made. Pure
 * but for stage_apply. */
#ifndef VIEWS_STAGE_H
#define VIEWS_STAGE_H
#include "base/sbuf.h"
#include "views/board.h"

struct cli;

#define STAGE_MAX 256
#define STAGE_NAME 129

struct stage_edit {
    char pool[STAGE_NAME]; /* of a weight; "" of a state */
    char account[STAGE_NAME];
    double from, to;
    enum account_state from_state, to_state;
};

struct stage {
    struct stage_edit edits[STAGE_MAX];
    int count;
    int64_t generation; /* of the board when the first was staged */
};

/** The weight as staged, or as it is. */
double stage_weight(const struct stage *s, const struct board *b, const struct board_member *m);
enum account_state stage_state(const struct stage *s, const struct board_account *a);
bool stage_has_weight(const struct stage *s, const struct board *b, const struct board_member *m);
bool stage_has_state(const struct stage *s, const struct board_account *a);
/** Stages it; staging what it is already takes the edit back. False: STAGE_MAX are staged. */
bool stage_set_weight(struct stage *s, const struct board *b, const struct board_member *m,
                      double to);
bool stage_set_state(struct stage *s, const struct board *b, const struct board_account *a,
                     enum account_state to);
void stage_drop(struct stage *s);
/** APPLIED, a copy of an earlier moment, is live: what was staged since then stays. */
void stage_applied(struct stage *s, const struct stage *applied);
/** Expected share (0..1) of each of the COUNT members of pool P, as it is (STAGED NULL) or after
 * the edits. */
void share_expected(const struct board *b, const struct board_pool *p, const struct stage *staged,
                    double *ret);
/** The weight with which member M would get SHARE (0..1) of its pool while the others keep theirs,
 * as staged. False: it gets nothing now or nobody else does, or SHARE is not between 0 and 1. */
bool share_to_weight(const struct stage *s, const struct board *b, const struct board_member *m,
                     double share, double *ret_weight);
/** Is what was seen (OF requests of N) further than three sigma from EXPECTED? Never below 20
 * requests. */
bool share_is_off(double expected, int64_t of, int64_t n);
/** Pools that no account would serve after the edits, though clients use them: the first one's
 * index, -1 none. */
int stage_starves(const struct stage *s, const struct board *b);
/** The review: edits, shares before and after, warnings ("! "). */
void stage_review(const struct stage *s, const struct board *b, struct sbuf *out);
/** The audit's sentence, at most SIZE. */
void stage_sentence(const struct stage *s, char *buf, size_t size);

/** Writes it inside a change (app_change; ARG is a copy of the stage, stage_free frees it).
 * ERR_INVALID: somebody changed one of them meanwhile; the sentence says which, and nothing is
 * written. */
enum err stage_apply(struct cli *c, void *arg, struct errmsg *msg);
void stage_free(void *arg);

#endif
